#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1800
#
# What the store does to the disk, on a real mount: what a synced 4 KiB overwrite in a sparse file of 10 GiB writes, and what the store takes
# after everything in it was overwritten ten times. Prints the figures and fails where they pass the limits.
. tests/lib/fs.sh

at_rest() { # the store's bytes when they have not changed for ten seconds, 180 s at most
	local was=0 now same=0 i
	for ((i = 0; i < 180 && same < 10; i++)); do
		now=$(du -sk "$T/store" | cut -f1)
		[ "$now" = "$was" ] && same=$((same + 1)) || same=0
		was=$now
		sleep 1
	done
	echo "$was"
}

written() { awk '/^write_bytes/ { print $2 }' "/proc/$FS_PID/io"; }

limit() { # NAME VALUE MOST
	echo "disk	$1	$2	at most $3"
	[ "$2" -le "$3" ] || fail "$1: $2, at most $3"
}

fs_start
truncate -s 10G "$MNT/sparse"
python3 - "$MNT/sparse" <<- 'P'
	import os, random, sys
	fd = os.open(sys.argv[1], os.O_RDWR)
	for i in range(4000):
	    os.pwrite(fd, b"x" * 4096, random.randrange(10 << 18) * 4096)
	os.fsync(fd)
P
at_rest > /dev/null
before=$(written)
python3 - "$MNT/sparse" <<- 'P'
	import os, random, sys, time
	fd = os.open(sys.argv[1], os.O_RDWR)
	for i in range(20):
	    os.pwrite(fd, b"y" * 4096, random.randrange(10 << 18) * 4096)
	    os.fsync(fd)
	    time.sleep(1.2)  # so that the index is committed for each by itself
P
limit overwrite_bytes $((($(written) - before) / 20)) 65535
rm "$MNT/sparse"

for round in 0 1 2 3 4 5 6 7 8 9 10; do # the first one makes it
	for ((i = 0; i < 10; i++)); do
		head -c 10M /dev/urandom | dd of="$MNT/large$i" bs=64k iflag=fullblock conv=notrunc status=none
	done
done
cp -r cache fusefs "$MNT/"
live=$(du -sk --apparent-size "$MNT" | cut -f1)
limit store_percent_of_live $(($(at_rest) * 100 / live)) 129
fs_stop
