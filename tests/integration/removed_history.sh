#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# Versions of a member who was removed: shown where the device's own chain or a later version of another's proves them, else not.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
member() { coffer "$1" members box --json | jq -r ".members[] | select(.device == \"$2\") | .fingerprint"; }
versions() { coffer "$1" versions "$W/$1.mnt/box/file" --json | jq -r '.versions[].version'; }
write() { # WHO TEXT
	echo "$2" | dd of="$W/$1.mnt/box/file" conv=notrunc status=none # one change, one version
	coffer "$1" wait --timeout 60s
	await 20 grep -qx "$2" "$W/alice.mnt/box/file" || fail "$2 did not reach alice"
	await 20 grep -qx "$2" "$W/bob.mnt/box/file" || fail "$2 did not reach bob"
}
new_person alice
coffer alice space create box
new_person bob
share box alice bob
await 20 test -d "$W/bob.mnt/box" || fail "the space did not reach bob"
echo one > "$W/alice.mnt/box/file"
await 20 grep -qx one "$W/bob.mnt/box/file" || fail "one did not reach bob"
for text in two six any; do write bob "$text"; done
write alice ten
all=$(versions alice)
coffer alice remove box "$(member alice bob)"
new_device late alice
await 20 test -e "$W/late.mnt/box/file" || fail "the space did not reach the late device"
coffer late wait --timeout 60s
[ "$(versions late)" = "$all" ] || fail "not believed through alice's: $(versions late), not $all"
[ "$(versions alice)" = "$all" ] || fail "not believed where the chain is: $(versions alice), not $all"

# The version that alice's names is gone, as one that was passing: what is before it is asked for its place.
relay_stop
python3 - "$W/relay/relay.db" <<- 'P'
	import sqlite3, sys
	db = sqlite3.connect(sys.argv[1])
	_, key = db.execute("SELECT count(*), max(key) FROM versions WHERE expires IS NOT NULL GROUP BY id ORDER BY 1 DESC").fetchone()
	db.execute("DELETE FROM versions WHERE key = ?", (key,))
	db.commit()
P
relay_start
shown_so() { [ "$(versions "$1")" = "$2" ]; }
for who in alice late; do
	await 30 shown_so $who "$(sed 2d <<< "$all")" || fail "$who: not believed though its chain proves it: $(versions $who)"
done

# It is put where another was.
relay_stop
python3 - "$W/relay/relay.db" <<- 'P'
	import sqlite3, sys
	db = sqlite3.connect(sys.argv[1])
	_, i, key = db.execute("SELECT count(*), id, max(key) FROM versions WHERE expires IS NOT NULL GROUP BY id ORDER BY 1 DESC").fetchone()
	db.execute("DELETE FROM versions WHERE id = ? AND key < ?", (i, key))
	db.execute("UPDATE versions SET cursor = cursor - 1 WHERE key = ?", (key,))
	db.commit()
P
relay_start
refused_so() { ! "${@:2}" > "$W/out" 2> "$W/err" && grep -q -- "$1" "$W/err"; }
await 30 refused_so "does not show when" coffer late versions "$W/late.mnt/box/file" ||
	fail "shown without proof: $(cat "$W/out" "$W/err")"
