#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# A relay that goes on from a backup: the devices give back what came after it (files, folders, deletions, spaces, members), merge what was
# written since, and are alike afterwards, with a device that comes new as well. What one device alone had when it was off line comes too.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
new_person alice
coffer alice space create box
new_device laptop alice
new_person bob
A=$W/alice.mnt/box L=$W/laptop.mnt/box

all_wait() {
	for who in alice laptop bob; do
		coffer $who wait --timeout 90s || fail "$who: $(coffer $who status --json)"
	done
}
settled() { # nobody owes the relay anything, and nobody is behind
	for who in alice laptop bob; do
		coffer $who wait --timeout 20s && [ "$(coffer $who status --json | tr ',' '\n' | grep -c '"\(pending\|outbox\|behind\)": *[1-9]')" = 0 ] || return 1
	done
}
alike() { diff -r "$A" "$1" > "$W/diff" 2>&1; }

mkdir -p "$A/old/deep"
for i in 1 2 3 4 5; do echo "old $i" > "$A/old/deep/f$i"; done
head -c 900000 /dev/urandom > "$A/old/big"
echo before > "$A/both"
coffer alice wait --timeout 60s
coffer laptop wait --timeout 60s

"$BUILD/coffer-relay" --data "$W/relay" backup "$W/copy" > "$W/out" 2>&1 || fail "backup: $(cat "$W/out")"

# After the backup: several versions of one file, new files small and large, a rename, deletions, a member, a space.
for i in 1 2 3; do
	echo "changed $i" > "$A/old/deep/f1"
	coffer alice wait --timeout 60s
done
mkdir "$L/new"
head -c 2500000 /dev/urandom > "$L/new/large"
echo small > "$L/new/small"
mv "$L/old/deep/f2" "$L/new/moved"
rm "$L/old/deep/f3"
head -c 900000 /dev/urandom > "$L/old/big"
coffer laptop wait --timeout 60s
share box alice bob
await 30 test -d "$W/bob.mnt/box/new" || fail "bob has no box"
echo hello > "$W/bob.mnt/box/of-bob"
coffer alice space create late
echo later > "$W/alice.mnt/late/file"
all_wait
cat "$A/new/large" "$A/old/big" > "$W/out" # here now too

# laptop edits off line, on what the relay is about to lose.
relay_stop
echo "changed 4" > "$L/old/deep/f1"
(cd "$A" && find . | sort) > "$W/names"

mv "$W/relay" "$W/lost"
cp -a "$W/copy" "$W/relay"
relay_start
await 90 settled || fail "not settled: $(coffer alice status --json; coffer laptop status --json; coffer bob status --json)"
for d in "$L" "$W/bob.mnt/box"; do
	await 30 alike "$d" || fail "they differ: $(cat "$W/diff")"
done
(cd "$A" && find . | sort) | cmp - "$W/names" || fail "names: $(cd "$A" && find . | sort | diff - "$W/names")"
[ "$(cat "$A/old/deep/f1")" = "changed 4" ] || fail "the edit made off line: $(cat "$A/old/deep/f1")"
[ "$(cat "$A/new/moved")" = "old 2" ] && [ ! -e "$A/old/deep/f3" ] && [ "$(cat "$A/of-bob")" = hello ] || fail "content"
await 30 test -e "$W/laptop.mnt/late/file" || fail "the space made after the backup"
for who in alice laptop; do
	coffer $who status --json | grep -q '"alarm_name": "ROLLBACK"' || fail "$who says nothing"
done

# Whoever comes new gets all of it from the relay.
new_device tablet alice
await 60 alike "$W/tablet.mnt/box" || fail "a new device differs: $(cat "$W/diff")"
[ "$(cat "$W/tablet.mnt/late/file")" = later ] || fail "a new device lacks a space"
# And it goes on.
echo on > "$L/old/deep/f1"
coffer laptop wait --timeout 60s
await 30 grep -q on "$A/old/deep/f1" || fail "no sync afterwards"
coffer alice stop
coffer laptop stop

# Once more, and this time somebody writes to the restored relay before the others give anything back.
mount_of alice && mount_of laptop
all_wait
coffer tablet wait --timeout 60s
"$BUILD/coffer-relay" --data "$W/relay" backup "$W/copy2" > "$W/out" 2>&1 || fail "backup: $(cat "$W/out")"
coffer tablet stop # knows of nothing that comes now
echo "theirs" > "$L/both"
head -c 5000 /dev/urandom > "$L/extra"
all_wait
echo "theirs, second" > "$L/both"
all_wait
grep -q second "$A/both" || fail "not synced"
for who in laptop bob alice; do
	coffer $who stop
done
relay_stop
rm -rf "$W/relay"
cp -a "$W/copy2" "$W/relay"
relay_start
mount_of tablet
[ "$(cat "$W/tablet.mnt/box/both")" = before ] || fail "the tablet: $(cat "$W/tablet.mnt/box/both")"
echo "of the tablet" > "$W/tablet.mnt/box/both"
coffer tablet wait --timeout 60s
# It lost nothing: the store that is another is noted, and there is nothing to be told; nor later.
for i in 1 2; do
	! coffer tablet status --json | grep -q alarm_name || fail "the tablet: $(coffer tablet status --json)"
	coffer tablet stop
	mount_of tablet
	coffer tablet wait --timeout 60s
done
mount_of alice && mount_of laptop && mount_of bob
await 90 settled || fail "not settled: $(coffer alice status --json; coffer laptop status --json)"
coffer tablet wait --timeout 60s
for d in "$L" "$W/tablet.mnt/box" "$W/bob.mnt/box"; do
	await 60 alike "$d" || fail "they differ: $(cat "$W/diff")"
done
cat "$A"/both* > "$W/out"
grep -q "of the tablet" "$W/out" && grep -q "theirs, second" "$W/out" || fail "an edit was lost: $(ls "$A"; cat "$W/out")"
# Each of the three that had the lost edit keeps it, none makes more than one copy.
copies=$(ls "$A" | grep -c '^both (conflict')
[ "$copies" -ge 1 ] && [ "$copies" -le 3 ] || fail "copies: $(ls "$A")"
