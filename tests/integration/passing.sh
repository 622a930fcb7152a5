#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# Of a file that is rewritten again and again the first versions of the hour stay, later ones go when they are replaced, and the newest is there.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
new_person alice
coffer alice space create box
A=$W/alice.mnt/box
for i in $(seq 16); do
	echo "text $i" > "$A/hot"
	coffer alice wait --timeout 60s
done
versions=$(coffer alice versions "$A/hot" --json | tr '{' '\n' | sed -n 's/.*"version": *\([0-9]*\).*/\1/p')
n=$(echo "$versions" | wc -l) newest=$(echo "$versions" | head -1)
[ "$newest" -ge 16 ] && [ "$n" = 11 ] || fail "of $newest versions $n are kept"
[ "$(echo "$versions" | tail -1)" = 1 ] || fail "the first one went: $versions"
coffer alice restore "$A/hot" --version "$(echo "$versions" | sed -n 2p)"
grep -q "^text" "$A/hot" || fail "$(cat "$A/hot")"
