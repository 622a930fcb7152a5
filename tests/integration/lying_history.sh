#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# A relay whose history lies: another file's record, versions in another order, a changed record, a step with other lines, a chunk that is gone. Each
# is refused and said, and the file stays as it is. The honest twin is versions.sh.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
new_person alice
coffer alice space create box
A=$W/alice.mnt/box
for i in 1 2 3; do
	for f in one two; do
		echo "$f $i" > "$A/$f"
	done
	dd if=/dev/urandom of="$A/big" bs=400000 count=1 iflag=fullblock conv=notrunc status=none
	[ $i = 1 ] && cp "$A/big" "$W/big1"
	coffer alice wait --timeout 60s
done
cp "$A/big" "$W/big3"
ln -s one "$A/link"
coffer alice wait --timeout 60s
rm "$A/link"
coffer alice wait --timeout 60s
new_device laptop alice # it has read nothing yet
await 20 test -e "$W/laptop.mnt/box/big" || fail "the space did not arrive"
coffer laptop wait --timeout 60s
oldest() {
	coffer laptop versions "$W/laptop.mnt/box/$1" --json | tr '{' '\n' | sed -n 's/.*"version": *\([0-9]*\).*/\1/p' | tail -1
}
one=$(oldest one)
big=$(oldest big)
relay_stop
cp -a "$W/relay" "$W/honest"

# tampered PYTHON: the honest store, changed by statements on `db`; h: replaced versions of small files, [key, id, blob]
tampered() {
	relay_stop
	rm -rf "$W/relay"
	cp -a "$W/honest" "$W/relay"
	python3 - "$W/relay/relay.db" "$1" <<- 'E'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		h = {}
		for key, i, blob in db.execute("SELECT key, id, blob FROM versions WHERE expires IS NOT NULL ORDER BY key"):
		    h.setdefault(i, []).append((key, blob))
		h = [(i, v) for i, v in h.items() if len(v) >= 2]
		exec(sys.argv[2])
		db.commit()
	E
	relay_start
}
refused_so() { # PATTERN COMMAND...
	! "${@:2}" > "$W/out" 2> "$W/err" && grep -q -- "$1" "$W/err"
}
said() { # PATTERN COMMAND...: refused, for that reason; first it may be that the relay is not reached again yet
	await 30 refused_so "$@" || fail "no '$1' from ${*:2}: $(cat "$W/out" "$W/err")"
}
intact() {
	[ "$(cat "$W/laptop.mnt/box/one")" = "one 3" ] || fail "the file was changed: $(cat "$W/laptop.mnt/box/one")"
}

# Every file's history is the next one's, under its own id.
tampered '
ids = [i for i, v in h]
for n, (i, v) in enumerate(h):
    for (key, blob), (k2, b2) in zip(v, h[(n + 1) % len(h)][1]):
        db.execute("UPDATE versions SET blob = ? WHERE key = ?", (b2, key))'
said "another file" coffer laptop versions "$W/laptop.mnt/box/one"
said "another file" coffer laptop restore "$W/laptop.mnt/box/one" --version "$one"
intact

# Older records where newer ones stood.
tampered '
for i, v in h:
    db.execute("UPDATE versions SET blob = ? WHERE key = ?", (v[0][1], v[1][0]))
    db.execute("UPDATE versions SET blob = ? WHERE key = ?", (v[1][1], v[0][0]))'
said "another order" coffer laptop restore "$W/laptop.mnt/box/one" --version "$one"
intact

# One byte of each record.
tampered '
for i, v in h:
    for key, blob in v:
        b = bytearray(blob); b[len(b) - 100] ^= 1
        db.execute("UPDATE versions SET blob = ? WHERE key = ?", (bytes(b), key))'
said "not genuine" coffer laptop restore "$W/laptop.mnt/box/one" --version "$one"
intact

# The version is put where another was: its line is not there.
tampered '
for i, v in h:
    if v[0][0] + 0 < v[1][0]:
        db.execute("UPDATE versions SET cursor = cursor - 1 WHERE key = ?", (v[0][0],))'
said "does not show when" coffer laptop restore "$W/laptop.mnt/box/one" --version "$one"
intact

# The same for a link that was deleted: it has one version, and no content that could be missed.
tampered '
db.execute("""UPDATE versions SET cursor = cursor - 1 WHERE expires IS NOT NULL
    AND id IN (SELECT id FROM versions WHERE expires IS NOT NULL GROUP BY id HAVING count(*) = 1)""")'
said "does not show when" coffer laptop undelete box link
[ ! -L "$W/laptop.mnt/box/link" ] || fail "a link came back without proof"

# Chunks of the first version of the large file are gone.
tampered 'pass'
relay_stop
find "$W/relay" -type f -size +300k -size -500k ! -name '*.db*' -delete
relay_start
said "does not have all" coffer laptop restore "$W/laptop.mnt/box/big" --version "$big"
intact

# The honest one gives it.
tampered 'pass'
await 30 coffer laptop restore "$W/laptop.mnt/box/big" --version "$big" || fail "the honest relay was refused"
cmp "$W/laptop.mnt/box/big" "$W/big1" || fail "other bytes"
coffer laptop restore "$W/laptop.mnt/box/one" --version "$one"
[ "$(cat "$W/laptop.mnt/box/one")" = "one 1" ] || fail "one: $(cat "$W/laptop.mnt/box/one")"
coffer laptop undelete box link
[ "$(readlink "$W/laptop.mnt/box/link")" = one ] || fail "the link did not come back"
