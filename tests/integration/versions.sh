#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# What was overwritten or deleted on one device comes back on another: versions, restore, undelete.
set -eu
. tests/lib/world.sh
need_fuse
world_start
new_person alice
coffer alice space create box
new_device laptop alice
A=$W/alice.mnt/box L=$W/laptop.mnt/box

versions_of() { # PROFILE PATH: their numbers, newest first
	coffer "$1" versions "$2" --json | tr '{' '\n' | sed -n 's/.*"version": *\([0-9]*\).*/\1/p' | tr '\n' ' '
}
synced() {
	coffer alice wait --timeout 60s && coffer laptop wait --timeout 60s
}

# Three versions of a file: one in the record, one of a chunk, one of so many pieces that an index names them.
echo one > "$A/small"
head -c 300000 /dev/urandom > "$W/big1"
head -c 3000000 /dev/urandom > "$W/big2"
cp "$W/big1" "$A/big"
truncate -s 90M "$W/wide1"
for i in $(seq 0 80); do
	head -c 70000 "$W/big2" | dd of="$W/wide1" bs=1M seek="$i" conv=notrunc status=none
done
cp --sparse=always "$W/wide1" "$A/wide"
setfattr -n user.note -v here "$A/small"
synced
echo two > "$L/small"
cp "$W/big2" "$L/big"
echo gone > "$L/wide"
synced
echo three > "$A/small"
synced

[ "$(versions_of laptop "$L/small" | wc -w)" -ge 3 ] || fail "versions: $(versions_of laptop "$L/small")"
first=$(versions_of laptop "$L/small" | awk '{ print $NF }')
for who in alice laptop; do
	coffer $who versions "$W/$who.mnt/box/small" | grep -q laptop || fail "no author: $(coffer $who versions "$W/$who.mnt/box/small")"
done

# The version that has the bytes is looked for: a write may have been sealed in two.
restore_to() { # PROFILE PATH EXPECTED
	local v
	for v in $(versions_of "$1" "$2"); do
		rm -f "$(dirname "$2")/copy"
		coffer "$1" restore "$2" --version "$v" --as copy || fail "restore of $2, version $v"
		cmp -s "$(dirname "$2")/copy" "$3" || continue
		rm "$(dirname "$2")/copy"
		coffer "$1" restore "$2" --version "$v" || fail "restore of $2, version $v"
		cmp "$2" "$3" || fail "$2 is not what it was"
		return 0
	done
	fail "no version of $2 has the bytes: $(coffer "$1" versions "$2")"
}
echo one > "$W/small1"
# On the device that never read the old content: everything comes from the relay.
restore_to laptop "$L/small" "$W/small1"
restore_to laptop "$L/big" "$W/big1"
restore_to laptop "$L/wide" "$W/wide1"
synced
cmp "$A/small" "$W/small1" && cmp "$A/big" "$W/big1" && cmp "$A/wide" "$W/wide1" || fail "the other device has it otherwise"
[ "$(getfattr --only-values -n user.note "$A/small")" = here ] || fail "an attribute went"
# A restored file goes on from there, and what it replaced is a version too.
[ "$(versions_of alice "$A/small" | wc -w)" -ge 4 ] || fail "what was replaced is gone"
refused 66 "no version 99" coffer alice restore "$A/small" --version 99
refused 66 "nothing at" coffer alice versions "$A/none"
refused 73 "is there already" coffer alice restore "$A/big" --version "$first" --as small

# A folder is deleted; the other device brings it back.
mkdir -p "$A/tree/deep/er"
cp "$W/big2" "$A/tree/deep/er/big"
echo x > "$A/tree/deep/x"
ln -s x "$A/tree/deep/link"
chmod 640 "$A/tree/deep/x"
(cd "$A" && find tree | sort > "$W/before")
synced
rm -r "$A/tree"
rm "$A/big"
synced
[ ! -e "$L/tree" ] || fail "the folder is still there"
coffer laptop undelete box | grep -q tree/deep/er/big || fail "not listed: $(coffer laptop undelete box)"
coffer laptop undelete box tree/deep/x
coffer laptop undelete box > "$W/gone" 2> "$W/err"
! grep -q tree/deep/x "$W/gone" && grep -q tree/deep/link "$W/gone" || fail "listed after one is back: $(cat "$W/gone")"
grep -q 'more not shown' "$W/err" || fail "not said that some are back"
[ "$(cat "$L/tree/deep/x")" = x ] && [ "$(stat -c %a "$L/tree/deep/x")" = 640 ] || fail "one file"
coffer laptop undelete box tree
synced
(cd "$A" && find tree | sort | cmp - "$W/before") || fail "the folder is not what it was"
cmp "$A/tree/deep/er/big" "$W/big2" && [ "$(readlink "$A/tree/deep/link")" = x ] || fail "the folder's content"
coffer alice undelete box big && cmp "$A/big" "$W/big1" || fail "a file that was restored and deleted"
! coffer alice undelete box 2> "$W/err" | grep 'tree\|big$' || fail "what is back is listed"
refused 66 "nothing was deleted" coffer alice undelete box never
synced
diff -r "$A" "$L" || fail "the devices differ"

# A hole costs nothing, however large it is.
echo begin > "$A/hole"
truncate -s 1P "$A/hole"
printf x | dd of="$A/hole" bs=1 seek=500T conv=notrunc status=none
synced
hole=$(versions_of laptop "$L/hole" | awk '{ print $1 }')
echo small > "$L/hole"
synced
timeout 60 "$BUILD/coffer" --home "$W/laptop" restore "$L/hole" --version "$hole" || fail "restore of a sparse file"
[ "$(stat -c %s "$L/hole")" = $((1 << 50)) ] && [ "$(head -c 5 "$L/hole")" = begin ] &&
	[ "$(dd if="$L/hole" bs=1 skip=500T count=1 status=none)" = x ] || fail "the sparse file is not what it was"
rm "$L/hole"
synced

# Off line it says so; nothing is changed.
relay_stop
refused 69 "cannot be reached" coffer laptop versions "$L/small"
refused 69 "cannot be reached" coffer laptop restore "$L/small" --version "$first"
[ "$(cat "$L/small")" = one ] || fail "changed off line"
