#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# A relay that refuses for quota: no call on the mount fails for it (the disk here has room), `wait` and `status` name the cause, what
# fits goes on, deletions among it, what does not fit is left behind when it is deleted or made smaller, and with a larger quota
# everything goes on by itself.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
export COFFER_RELAY_STORAGE_SPACE_BYTES=2000000
world_start
new_person alice
coffer alice space create Work
m=$W/alice.mnt/Work
mkdir "$W/kept"
# Less room is left then than the first write of a copy takes: a busy machine may send what there is of a file that grows.
head -c 1870000 /dev/urandom > "$W/kept/fits"
head -c 2500000 /dev/urandom > "$W/other"
cp "$W/kept/fits" "$m/"
head -c 40000 /dev/urandom > "$m/doc"
coffer alice wait --timeout 60s || fail "what fits is not taken"
echo old > "$m/old" && echo doc > "$m/doc"
coffer alice wait --timeout 60s || fail "what fits is not taken"
! coffer alice status | grep -q "the relay keeps" || fail "status says: $(coffer alice status)"
new_device desktop alice
d=$W/desktop.mnt/Work
await 20 test -d "$d" || fail "the space did not reach the second device"
coffer desktop wait --timeout 60s

absent() { [ ! -e "$1" ]; }
state() { getfattr --absolute-names --only-values -n user.coffer.state "$1"; }
is_synced() { [ "$(state "$1")" = synced ]; }
is_uploading() { [ "$(state "$1")" = uploading ]; }
is_full() { coffer alice status | grep -q "relay's storage.* is full"; }

head -c 3000000 /dev/urandom > "$W/kept/large"
cp "$W/kept/large" "$m/" || fail "a write heard of the relay's quota"
refused 75 "relay's storage.* is full" coffer alice wait --timeout 3s
is_full || fail "status says: $(coffer alice status)"
! is_synced "$m/large" || fail "it calls itself synced"
# Chunks are padded: of the first content of doc about 40 KiB are history now.
tells() { coffer alice status | grep -qE "the relay keeps [12]\.[0-9] MiB of this space \(1\.9 MiB at most\), (39|4[0-9])(\.[0-9])? KiB of it history"; }
await 20 tells || fail "status says: $(coffer alice status)"

# What fits goes past it, also in its folder.
rm "$m/old"
echo new > "$m/new" && echo new > "$W/kept/new"
await 20 test -e "$d/new" || fail "a small file waits behind a large one"
await 20 absent "$d/old" || fail "a deletion waits behind what does not fit"
await 20 is_synced "$m/new" || fail "the small file does not call itself synced"
absent "$d/large" || fail "the large file is there"
is_full || fail "the alarm went: $(coffer alice status)"

# What it takes the place of stays elsewhere.
cp "$W/other" "$m/other"
mv "$m/other" "$m/doc"
echo after > "$m/after"
await 20 test -e "$d/after" || fail "a small file waits behind a large one that was renamed"
[ "$(cat "$d/doc")" = doc ] || fail "the second device has neither the old nor the new"

mkdir "$m/dir" && echo report > "$m/dir/report"
await 20 grep -q report "$d/dir/report" || fail "another folder waits"
cp "$W/other" "$m/dir/draft"
await 20 is_uploading "$m/dir/draft" || fail "it was not sealed"
refused 75 "relay's storage.* is full" coffer alice wait --timeout 2s
mv "$m/dir/draft" "$m/dir/report"
echo after > "$m/dir/after"
await 20 test -e "$d/dir/after" || fail "a small file waits behind a large one that took a name"
[ "$(cat "$d/dir/report")" = report ] || fail "the second device has neither the old report nor the new"
rm -r "$m/dir"
await 20 absent "$d/dir" || fail "a folder that was deleted is still there"

# Smaller, or deleted, it does not wait for room any more.
rm "$m/after"
echo smaller > "$m/doc" && echo smaller > "$W/kept/doc"
await 20 grep -q smaller "$d/doc" || fail "a smaller version waits"
mv "$m/large" "$W/large"
coffer alice wait --timeout 60s || fail "it waits for what is not there any more: $(coffer alice status)"
! coffer alice status | grep -q ALARM || fail "the alarm stays: $(coffer alice status)"
coffer desktop wait --timeout 60s
absent "$d/after" && absent "$d/large" || fail "deleted, but there: $(ls "$d")"
cp "$W/large" "$m/large"
await 20 is_full || fail "status says: $(coffer alice status)"

# The mount goes on meanwhile, and after kill -9.
echo small > "$m/small" && echo small > "$W/kept/small"
mv "$m/fits" "$m/moved" && mv "$W/kept/fits" "$W/kept/moved"
sync -f "$m"
agent=$(agent_pid alice)
kill -9 "$agent"
await 10 gone "$agent"
mount_of alice
diff -r "$W/kept" "$m" || fail "another content after kill -9"
await 20 test -e "$d/small" || fail "after a restart a small file waits"

relay_stop
export COFFER_RELAY_STORAGE_SPACE_BYTES=50000000
relay_start
coffer alice wait --timeout 60s || fail "it does not go on by itself: $(coffer alice status)"
! coffer alice status | grep -q ALARM || fail "the alarm stays: $(coffer alice status)"
coffer desktop wait --timeout 60s
! coffer alice status | grep -q "the relay keeps" || fail "status says: $(coffer alice status)"
diff -r "$W/kept" "$d" || fail "another content on the second device"
