#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# No name and no content in what the relay keeps, in what the caches keep, or in what passes between them (recorded by a proxy).
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
. "$(dirname "$0")/../lib/recording.sh"
need_fuse
world_start

record_relay

new_person alice
coffer alice space create SpaceNameCanary
d=$W/alice.mnt/SpaceNameCanary
mkdir -p "$d/DirNameCanary"
for i in 1 2 3; do
	head -c $((i * i * 40000)) > "$d/DirNameCanary/FileNameCanary$i" < <(yes "ContentCanary line $i of a text that compresses well")
done
printf 'ContentCanary small' > "$d/SmallNameCanary"
ln -s TargetCanary "$d/LinkNameCanary"
setfattr -n user.AttrNameCanary -v AttrValueCanary "$d/SmallNameCanary"
coffer alice wait --timeout 60s
new_person bob
share SpaceNameCanary alice bob
coffer bob wait --timeout 60s
cat "$W"/bob.mnt/SpaceNameCanary/DirNameCanary/* | cmp - <(cat "$d"/DirNameCanary/*) || fail "bob reads other bytes"
[ "$(getfattr --only-values -n user.AttrNameCanary "$W/bob.mnt/SpaceNameCanary/SmallNameCanary")" = AttrValueCanary ] || fail "xattr"

[ "$(stat -c %s "$WIRE")" -gt 20000 ] || fail "the proxy recorded nothing"
for word in Canary SpaceName; do
	! grep -rlaF "$word" "$W/relay" "$W/alice" "$W/bob" "$WIRE" || fail "'$word' can be read"
done
