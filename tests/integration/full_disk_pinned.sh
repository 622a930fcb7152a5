#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# More is pinned than the disk of the profile holds: `status` says so, work goes on, and with room the rest comes by itself.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
[ "$(id -u)" = 0 ] || { echo "needs root: it mounts a small tmpfs"; exit 77; }
world_start
mkdir -p "$W/desktop"
mount -t tmpfs -o size=32m coffer-test "$W/desktop" || { echo "needs the right to mount tmpfs"; exit 77; }

new_person alice
coffer alice space create Work
for i in 1 2 3 4; do
	dd if=/dev/urandom of="$W/alice.mnt/Work/$i" bs=1M count=12 iflag=fullblock status=none
done
coffer alice wait --timeout 60s
new_device desktop alice
coffer desktop wait --timeout 60s
coffer desktop pin "$W/desktop.mnt/Work"
full() { coffer desktop status --json | grep -q '"alarm_name": "NO_SPACE"'; }
await 30 full || fail "a full disk is not told: $(coffer desktop status --json)"
coffer desktop status | grep -q 'of what is pinned to fetch' || fail "nothing is said of what is missing: $(coffer desktop status)"
! coffer desktop wait --timeout 1s 2> "$W/err" || fail "wait calls it all here"
mount -o remount,size=200m "$W/desktop"
coffer desktop wait --timeout 90s || fail "it does not go on with room: $(coffer desktop status --json)"
relay_stop
for i in 1 2 3 4; do
	timeout 20 cmp "$W/alice.mnt/Work/$i" "$W/desktop.mnt/Work/$i" || fail "file $i is not all here"
done
! full || fail "the alarm stays"
