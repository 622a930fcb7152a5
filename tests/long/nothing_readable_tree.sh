#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
#
# A real tree (TREE=dir, default Debian's linux-source-6.1 as in tests/demo.sh): none of its file names of 6 bytes and more, and no line of
# its files, stands in the relay's data, in the caches, or in a capture of the loopback traffic. Needs root and tcpdump.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
command -v tcpdump > /dev/null || { echo "needs tcpdump"; exit 77; }
world_start
tree=${TREE:-}
if [ -z "$tree" ]; then
	(cd "$W" && apt-get download linux-source-6.1 > /dev/null && dpkg-deb --fsys-tarfile linux-source-6.1_*.deb |
		tar -xO ./usr/src/linux-source-6.1.tar.xz | tar -xJ linux-source-6.1/{drivers/net,fs,kernel,net,Documentation/filesystems})
	tree=$W/linux-source-6.1
fi
tcpdump -i lo -s 0 -B 65536 -w "$W/capture" "tcp port $PORT" 2> "$W/tcpdump.log" &
WORLD_PIDS="${WORLD_PIDS:-} $!"
dump=$!
await 10 grep -q listening "$W/tcpdump.log" || fail "tcpdump does not start: $(cat "$W/tcpdump.log")"

new_person alice
coffer alice space create Source
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Source" || fail "the space did not arrive"
cp -a "$tree/." "$W/alice.mnt/Source/"
coffer alice wait --timeout 300s
coffer desktop wait --timeout 300s
diff -r --no-dereference "$tree" "$W/desktop.mnt/Source" || fail "the trees differ"
for who in alice desktop; do
	coffer $who umount "$W/$who.mnt"
	coffer $who stop
done
kill -INT $dump
wait $dump || :
grep -q "^0 packets dropped" "$W/tcpdump.log" || fail "the capture is not whole: $(tail -1 "$W/tcpdump.log")"

find "$tree" -printf '%f\n' | awk 'length >= 6' | sort -u > "$W/words"
find "$tree" -type f -print0 | xargs -0 -n 200 awk 'FNR > 20 && length >= 24 && length < 200 { print; nextfile }' | sort -u >> "$W/words"
echo "$(wc -l < "$W/words") names and lines, $(du -shc "$W/relay" "$W/alice" "$W/desktop" "$W/capture" | tail -1 | cut -f1) searched"
! LC_ALL=C grep -r -a -o -F -f "$W/words" "$W/relay" "$W/alice" "$W/desktop" "$W/capture" | head -5 | grep . || fail "something can be read"
