#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# The memory of the file system stays what it was: over a million opens of 20,000 files that the kernel forgets in between (as root), and over a
# million random operations with files open, unlinked, mapped and moved. Prints what was resident; fails if it grew by more than GROWTH_KIB.
. tests/lib/fs.sh
GROWTH_KIB=${GROWTH_KIB:-8192}
ROUNDS=${ROUNDS:-50}

memory_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$FS_PID/status"; }

forget() { [ "$(id -u)" != 0 ] || echo 2 > /proc/sys/vm/drop_caches; }

# rounds NAME COMMAND...: a fifth of the rounds first, until caches are full
rounds() {
	local name=$1 i first=0 now
	shift
	for ((i = 1; i <= ROUNDS; i++)); do
		"$@" "$i" || fail "$name, round $i"
		forget
		[ $i != $((ROUNDS / 5)) ] || first=$(memory_kib)
	done
	now=$(memory_kib)
	echo "memory	$name	$first KiB after $((ROUNDS / 5)) rounds	$now KiB after $ROUNDS"
	[ $((now - first)) -le "$GROWTH_KIB" ] || fail "$name: grew by $((now - first)) KiB"
}

open_all() {
	python3 - "$MNT/many" <<- 'P'
		import os, sys
		for d in os.scandir(sys.argv[1]):
		    for f in os.scandir(d.path):
		        os.close(os.open(f.path, os.O_RDWR if f.name.endswith("7") else os.O_RDONLY))
	P
}

random_work() {
	mkdir "$MNT/work" "$PLAIN/work"
	"$BUILD/tests/tree_ops" "$MNT/work" "$PLAIN/work" "$1" 20000 || return 1
	rm -rf "$MNT/work" "$PLAIN/work" # else the tree grows, and what is cached of it
}

fs_start
python3 - "$MNT/many" <<- 'P'
	import os, sys
	for d in range(200):
	    os.makedirs(f"{sys.argv[1]}/d{d}")
	    for f in range(100):
	        with open(f"{sys.argv[1]}/d{d}/f{f}", "w") as out:
	            out.write("x" * f * 10)
P
rounds opens open_all
rounds operations random_work
fs_stop
