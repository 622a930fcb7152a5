#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# A relay that refuses for quota: no call on the mount fails for it (the disk here has room), `wait` and `status` name the cause, and with a
# larger quota everything goes on by itself.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
export COFFER_RELAY_STORAGE_SPACE_BYTES=2000000
world_start
new_person alice
coffer alice space create Work
m=$W/alice.mnt/Work
mkdir "$W/kept"
head -c 1000000 /dev/urandom > "$W/kept/fits"
cp "$W/kept/fits" "$m/"
coffer alice wait --timeout 60s || fail "what fits is not taken"

head -c 3000000 /dev/urandom > "$W/kept/large"
cp "$W/kept/large" "$m/" || fail "a write heard of the relay's quota"
refused 75 "relay's storage.* is full" coffer alice wait --timeout 3s
coffer alice status | grep -q "relay's storage.* is full" || fail "status says: $(coffer alice status)"
[ "$(getfattr --only-values -n user.coffer.state "$m/large")" != synced ] || fail "it calls itself synced"

# The mount goes on meanwhile, and after kill -9.
echo small > "$m/small" && echo small > "$W/kept/small"
mv "$m/fits" "$m/moved" && mv "$W/kept/fits" "$W/kept/moved"
sync -f "$m"
agent=$(agent_pid alice)
kill -9 "$agent"
await 10 gone "$agent"
mount_of alice
diff -r "$W/kept" "$m" || fail "another content after kill -9"

relay_stop
export COFFER_RELAY_STORAGE_SPACE_BYTES=50000000
relay_start
coffer alice wait --timeout 60s || fail "it does not go on by itself: $(coffer alice status)"
! coffer alice status | grep -q ALARM || fail "the alarm stays: $(coffer alice status)"
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not reach the second device"
coffer desktop wait --timeout 60s
diff -r "$W/kept" "$W/desktop.mnt/Work" || fail "another content on the second device"
