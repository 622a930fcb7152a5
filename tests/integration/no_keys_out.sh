#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
#
# Every message between coffer-fs and coffer-syncd is read, every sealed object in it opened, and no secret stands anywhere but in
# coffer-fs: not in a message, not at the relay, not on the line, not in the files of a profile, not in coffer-syncd's memory.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
. "$(dirname "$0")/../lib/recording.sh"
need_fuse
world_start
tap_syncd
record_relay

people=(alice desktop bob)

wait_all() {
	local who
	for who in "${people[@]}"; do
		coffer "$who" wait --timeout 60s || fail "$who is not in step"
	done
}

# 80 MiB with 4 KiB of data in each: more slices than a record holds
sparse() {
	python3 - "$1" <<-'PY'
	import os, sys
	with open(sys.argv[1], "wb") as f:
	    for i in range(80):
	        f.seek(i << 20)
	        f.write(os.urandom(4096))
	PY
}

# ---- everything that people do ----

new_person alice
coffer alice space create Work
d=$W/alice.mnt/Work
mkdir -p "$d/a/b"
for i in $(seq 40); do
	echo "small $i" > "$d/a/small$i"
	head -c $((i * 997 + 1100)) /dev/urandom > "$d/a/b/medium$i"
done
head -c 3000000 /dev/urandom > "$d/big"
head -c 1048576 /dev/zero > "$d/zeros"
sparse "$d/sparse"
coffer alice wait --timeout 60s
new_device desktop alice
new_person bob
share Work alice bob
wait_all
cmp "$d/sparse" "$W/bob.mnt/Work/sparse" || fail "bob reads other bytes"
for who in "${people[@]}"; do
	m=$W/$who.mnt/Work
	echo "edit by $who" >> "$m/a/small1"
	echo "edit by $who" | dd of="$m/sparse" bs=1 seek=$((41 << 20)) conv=notrunc status=none
	head -c 100000 /dev/urandom | dd of="$m/big" bs=1000 seek=500 conv=notrunc status=none
	mv "$m/a/b/medium1" "$m/a/b/medium.new" && mv "$m/a/b/medium.new" "$m/a/b/medium1"
	head -c 70000 /dev/urandom > "$m/from-$who"
	rm "$m/a/small3$((${#who} % 3))"
	wait_all
done
kill -9 "$(syncd_pid alice)" # the next one goes on
echo more > "$d/after"
wait_all
cmp "$W/alice.mnt/Work/sparse" "$W/desktop.mnt/Work/sparse" || fail "the desktop reads other bytes"

# ---- what is there then ----

memory=$W/memory
mkdir "$memory"
if dump_memory "$(agent_pid alice)" "$memory/fs" 2>/dev/null && [ -s "$memory/fs" ]; then
	mkdir "$memory/syncd"
	for who in "${people[@]}"; do
		dump_memory "$(pgrep -P "$(syncd_pid "$who")")" "$memory/syncd/$who"
	done
else
	echo "no right to read the memory of processes: that part is left out"
fi
for who in "${people[@]}"; do
	stop_agent "$who"
done
relay_stop
words=$W/words
mkdir "$words"
for who in alice bob; do
	grep -E '^ +[0-9]+ [a-z]' "$W/$who.words" | grep -oE '[0-9]+ [a-z]+' | sort -n | grep -oE '[a-z]+' > "$words/$who"
done

scan() { # MIN PATH.. ; the exit code is key_scan's
	local min=$1 rc=0 who args=()
	shift
	for who in "${people[@]}"; do args+=(--home "$W/$who"); done
	for who in "$words"/*; do args+=(--words "$who"); done
	for who in $CODES; do args+=(--code "$who"); done
	"$TOOLS/key_scan" --min "$min" "${args[@]}" "$@" > "$W/scan" || rc=$?
	return $rc
}

of() { # COUNT KIND: at least
	local n
	n=$(awk -F '\t' -v k="$2" '$1 == k { print $2 }' "$W/scan")
	[ "${n:-0}" -ge "$1" ] || { cat "$W/scan"; fail "only ${n:-no} $2"; }
}

places=("$W/relay" "$W/relay.log" "$WIRE" "$W/alice" "$W/desktop" "$W/bob")
[ ! -d "$memory/syncd" ] || places+=("$memory/syncd")
scan 400 --tape "$TAPES" "${places[@]}" || { rc=$?; cat "$W/scan"; fail "key_scan gave $rc"; }
of 3 'device Ed25519 key'
of 3 'device X25519 key'
of 3 'store key'
of 3 'epoch key'
of 3 'space hash key'
of 2 'root key'
of 2 'invite bundle key'
of 80 'record key'
of 100 'chunk key'
of 4 'index chunk key' # the first of the sparse file, and one for each edit
of 4 'index chunks'
of 200 'records opened'
of 150 'chunks opened'
of 20 'messages of type 3'
of 4 'messages of type 16' # alice's coffer-syncd was started twice
of 1 'objects: delegation'
cat "$W/scan"

# ---- would it have been found? ----

# Each form of a key, put by another program into a copy of a tape.
"$TOOLS/key_scan" --show 'chunk key' --home "$W/alice" > "$W/key"
python3 - "$(ls -S "$TAPES"/*.to | head -n 1)" "$(cat "$W/key")" "$W/planted" <<'PY'
import base64, os, sys
tape, key, out = open(sys.argv[1], "rb").read()[:200000], bytes.fromhex(sys.argv[2]), sys.argv[3]
forms = {"raw": key, "hex": key.hex().encode(), "HEX": key.hex().upper().encode()}
for before in range(3):
    forms[f"base64-{before}"] = base64.b64encode(os.urandom(before) + key + os.urandom(5))
    forms[f"base64url-{before}"] = base64.urlsafe_b64encode(os.urandom(before) + key + os.urandom(5))
os.mkdir(out)
for i, (form, text) in enumerate(forms.items()):
    at = len(tape) * i // len(forms)
    open(f"{out}/{form}", "wb").write(tape[:at] + text + tape[at:])
open(f"{out}/end", "wb").write(tape + key)
open(f"{out}/cut", "wb").write(tape + key[:31])
PY
rc=0
scan 100 "$W/planted" || rc=$?
[ $rc = 1 ] || { cat "$W/scan"; fail "a planted key gave $rc"; }
for f in "$W/planted"/*; do
	case $f in
	*/cut) ! grep -q "FOUND.*of $f\$" "$W/scan" || fail "a part of a key was taken for one" ;;
	*) grep -q "FOUND chunk key .*of $f\$" "$W/scan" || { cat "$W/scan"; fail "not found in $f"; } ;;
	esac
done
if [ -d "$memory/syncd" ]; then
	rc=0
	scan 100 "$memory/fs" || rc=$?
	[ $rc = 1 ] || fail "the keys that coffer-fs holds were not found in its memory: $rc"
fi

# Too few secrets, a message that is none, and a tape of another profile are no success.
refused() {
	local rc=0
	"$@" > "$W/scan" 2>&1 || rc=$?
	[ $rc = 2 ] || { cat "$W/scan"; fail "$* gave $rc"; }
}
refused "$TOOLS/key_scan" --min 100000 --home "$W/alice" "$W/relay"
refused "$TOOLS/key_scan" --home "$W/bob" --tape "$TAPES" # not alice's personal space
mkdir "$W/broken"
{ cat "$(ls -S "$TAPES"/*.to | tail -n 1)"; printf '\0\0\0\1\0'; } > "$W/broken/1.to"
refused "$TOOLS/key_scan" --home "$W/alice" --tape "$W/broken"
