#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# A change costs what changed, counted at the relay: one place of a large file one small chunk and one record, a folder with 10,000
# files one record when it is renamed, and a file of which only the mode changes no chunk.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
metric() { curl -sf "$RELAY/metrics" | awk -v n="coffer_relay_$1" '$1 == n { print $2 }'; }
# note, and then `cost NAME`: how much NAME has grown since
note() { for m in records_total chunks_received_total chunk_received_bytes_total; do before[$m]=$(metric $m); done; }
cost() { echo $(($(metric "$1") - before[$1])); }
expect() { # WHAT NAME MOST [LEAST]
	local n
	n=$(cost "$2")
	[ "$n" -le "$3" ] && [ "$n" -ge "${4:-0}" ] || fail "$1: $2 grew by $n, not ${4:-0} to $3"
}
declare -A before

new_person alice
coffer alice space create Work
A=$W/alice.mnt/Work
sent() { coffer alice wait --timeout 120s || fail "not sent"; }

# 40 slices stand in the record, 100 in index chunks of which one is sent again.
for mib in 40 100; do
	head -c ${mib}M /dev/urandom > "$A/large"
	sent
	note
	printf 'changed' | dd of="$A/large" bs=1 seek=$((mib * 500000)) conv=notrunc status=none
	sent
	expect "7 bytes in $mib MiB" records_total 1 1
	expect "7 bytes in $mib MiB" chunks_received_total 2 1
	expect "7 bytes in $mib MiB" chunk_received_bytes_total $((128 * 1024)) 7
done

note
chmod 600 "$A/large"
mv "$A/large" "$A/renamed"
sent
expect "mode and name of a file" records_total 2 1
expect "mode and name of a file" chunks_received_total 0

mkdir "$A/folder"
python3 - "$A/folder" <<'PY'
import sys
for i in range(10000):
    open(f"{sys.argv[1]}/file {i}", "w").write(str(i))
PY
sent
note
mv "$A/folder" "$A/another name"
sent
expect "a folder of 10,000 files renamed" records_total 1 1
expect "a folder of 10,000 files renamed" chunks_received_total 0

new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not arrive"
coffer desktop wait --timeout 120s || fail "not here"
cmp "$A/renamed" "$W/desktop.mnt/Work/renamed" || fail "the large file differs"
[ "$(cat "$W/desktop.mnt/Work/another name/file 9999")" = 9999 ] || fail "a file of the renamed folder differs"
