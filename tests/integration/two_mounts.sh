#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A space mounted twice by itself and once among all: what is done in one of the mounts shows in the others, whatever they showed before.
# timeout: 60
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
new_person alice
coffer alice space create s || fail "space create"
mkdir "$W/one" "$W/two"
coffer alice mount "$W/one" --space s || fail "first mount"
coffer alice mount "$W/two" --space s || fail "second mount"
MOUNTS=("$W/one" "$W/two" "$W/alice.mnt/s")

says() {
	[ "$(cat "$1")" = "$2" ]
}

gone() {
	! test -e "$1"
}

# everywhere CONDITION NAME [ARGUMENT]: it is true of that name in each mount
everywhere() {
	local condition=$1 name=$2 m
	shift 2
	for m in "${MOUNTS[@]}"; do
		await 10 "$condition" "$m/$name" "$@" || fail "$condition $m/$name $*"
	done
}

for m in "${MOUNTS[@]}"; do
	echo first > "$m/file"
	everywhere says file first
	echo "a second line" >> "$m/file"
	everywhere says file "$(printf 'first\na second line')"
	echo short > "$m/file"
	everywhere says file short
	mv "$m/file" "$m/moved"
	everywhere gone file
	everywhere says moved short
	rm "$m/moved"
	everywhere gone moved
done
coffer alice umount "$W/one" || fail "umount"
echo last > "$W/two/file"
await 10 says "$W/alice.mnt/s/file" last || fail "after an unmount"
