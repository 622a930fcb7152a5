#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
#
# More than 10^4 writes with kill -9 of coffer-fs and coffer-syncd between them: no sealed record, chunk or journal entry shares key and
# nonce with another.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
. "$(dirname "$0")/../lib/recording.sh"
need_fuse
world_start
tap_syncd

new_person alice
coffer alice space create Work

# FIRST LAST: a file each; every third is too large to stand in its record, every fourth is written to again
write_files() {
	python3 - "$W/alice.mnt/Work" "$1" "$2" <<-'PY'
	import os, sys
	work, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
	for i in range(first, last):
	    d = f"{work}/d{i // 250}"
	    os.makedirs(d, exist_ok=True)
	    with open(f"{d}/f{i}", "wb") as f:
	        f.write(os.urandom(2000 if i % 3 == 0 else 300))
	    if i % 4 == 0:
	        with open(f"{d}/f{i}", "r+b") as f:
	            f.write(b"again")
	PY
}

copies=()
copy_cache() {
	cp -r --sparse=always "$W/alice/cache" "$W/copy$1"
	copies+=("$W/copy$1")
}

write_files 0 3000
kill -9 "$(syncd_pid alice)"
write_files 3000 6000
pid=$(agent_pid alice)
write_files 6000 7000 2> /dev/null & # is cut off
await 20 test -e "$W/alice.mnt/Work/d24/f6200" || fail "nothing is written"
kill -9 "$pid"
await 10 gone "$pid" || fail "the agent lives on"
wait $! || :
copy_cache 1
mount_of alice
write_files 7000 10000
pid=$(agent_pid alice)
kill -9 "$pid"
await 10 gone "$pid" || fail "the agent lives on"
copy_cache 2
mount_of alice
write_files 10000 11000
coffer alice wait --timeout 120s || fail "alice is not in step"
stop_agent alice
copy_cache 3
"$TOOLS/nonce_scan" --min 10000 --tape "$TAPES" --home "$W/alice" "${copies[@]}" || fail "nonce_scan gave $?"

# A file that a later run wrote to, and an object under a nonce that was used, would have been noticed.
segment=$(ls "$W"/copy1/seg-* | head -n 1)
cp -r "$W/copy1" "$W/changed"
printf xxxxxxxxxxxxxxxx | dd of="$W/changed/${segment##*/}" bs=1 seek=5000 conv=notrunc status=none
rc=0
"$TOOLS/nonce_scan" --tape "$TAPES" --home "$W/alice" "$W/copy1" "$W/changed" 2> "$W/err" || rc=$?
[ $rc = 1 ] && grep -q "written to by a later run" "$W/err" || fail "a changed file gave $rc"
mkdir "$W/twice"
python3 - "$(ls -S "$TAPES"/*.to | head -n 1)" "$W/twice/1.to" <<'PY'
import sys
tape = open(sys.argv[1], "rb").read()
at, out = 0, b""
while at + 4 <= len(tape):
    n = 4 + int.from_bytes(tape[at:at + 4], "big")
    message = tape[at:at + n]
    at += n
    if b"coffer.push" in message[:40]: # its last byte is of a record's signature: another blob, the same nonce
        out = message + message[:-1] + bytes([message[-1] ^ 1])
open(sys.argv[2], "wb").write(out)
PY
rc=0
"$TOOLS/nonce_scan" --tape "$W/twice" --home "$W/alice" "$W/copy1" 2> "$W/err" || rc=$?
[ $rc = 1 ] && grep -q "under one nonce" "$W/err" || fail "a nonce used twice gave $rc: $(cat "$W/err")"
