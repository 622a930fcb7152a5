#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A backup taken while the relay runs is whole, and a relay on it serves a new device; `check` names what a disk damaged.
# timeout: 120
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse

relay() {
	"$BUILD/coffer-relay" --data "$@"
}

# exit CODE WORDS COMMAND...
gives() {
	local code=$1 words=$2 rc=0
	shift 2
	"$@" > "$W/out" 2>&1 || rc=$?
	[ $rc = "$code" ] || fail "$*: exit $rc, not $code: $(cat "$W/out")"
	grep -q "$words" "$W/out" || fail "$*: $(cat "$W/out")"
}

world_start
new_person alice
coffer alice space create Work
mkdir "$W/kept"
for i in 1 2 3 4 5; do
	head -c 900000 /dev/urandom > "$W/kept/large$i"
	echo "small $i" > "$W/kept/small$i"
done
cp "$W"/kept/* "$W/alice.mnt/Work/"
coffer alice wait --timeout 30s || fail "not synced"

gives 0 ' 0 damaged' relay "$W/relay" check
mapfile -t files < <(cd "$W/relay" && find chunks -type f | sort) # of acknowledged pushes, all of them
[ ${#files[@]} -ge 5 ] || fail "few chunk files"
(while :; do head -c 200000 /dev/urandom > "$W/alice.mnt/Work/moving"; done) 2> /dev/null &
writer=$!
WORLD_PIDS="$WORLD_PIDS $writer"
gives 0 'chunk files' relay "$W/relay" backup "$W/copy"
kill $writer
wait $writer 2> /dev/null || :
gives 0 ' 0 damaged' relay "$W/copy" check
gives 73 'is not empty' relay "$W/relay" backup "$W/copy"
gives 66 'no relay keeps its data' relay "$W/nothing" check
gives 64 'unexpected argument' relay "$W/relay" repair
[ "$(sqlite3 "$W/copy/relay.db" 'SELECT hex(store) FROM meta')" != "$(sqlite3 "$W/relay/relay.db" 'SELECT hex(store) FROM meta')" ] ||
	fail "the copy has the original's id"

# Damage of every kind is named, and nothing else is.
relay_stop
cp -r "$W/copy" "$W/damaged"
printf XYZ | dd of="$W/damaged/${files[0]}" bs=1 seek=5000 conv=notrunc 2> /dev/null
truncate -s 100 "$W/damaged/${files[1]}"
rm "$W/damaged/${files[2]}"
sqlite3 "$W/damaged/relay.db" "UPDATE versions SET blob = zeroblob(300) WHERE key = (SELECT max(key) FROM versions WHERE expires IS NULL)"
gives 65 ' 4 damaged' relay "$W/damaged" check
for i in 0 1 2; do
	object=$(basename "${files[$i]}")
	id=$(sqlite3 "$W/copy/relay.db" "SELECT lower(hex(id)) FROM chunks WHERE object = x'${object//-/}'")
	grep -q "^chunk ${id:0:8}-${id:8:4}-${id:12:4}-${id:16:4}-${id:20} " "$W/out" || fail "$object is not named: $(cat "$W/out")"
done
[ "$(grep -c '^record .* has changed' "$W/out")" = 1 ] || fail "the record is not named: $(cat "$W/out")"

# Restored: a device that knows nothing gets all of it.
rm -rf "$W/relay"
mv "$W/copy" "$W/relay"
relay_start
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space is not in the backup"
coffer desktop wait --timeout 30s || :
for f in "$W"/kept/*; do
	await 20 cmp -s "$f" "$W/desktop.mnt/Work/$(basename "$f")" || fail "$(basename "$f") is not in the backup"
done
