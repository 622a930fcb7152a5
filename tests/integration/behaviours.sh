#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# What people of an end-to-end-encrypted sync expect and share.sh, offline.sh, rights.sh and invites.sh do not show: several devices at one file at
# once, deletions at once, edits against deletions, a device that was away for long, nothing said twice, spaces that stay apart.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

all="alice d2 d3 d4 d5"
settle() { for who in ${*:-$all $all}; do coffer "$who" wait --timeout 60s || fail "$who does not settle"; done; }
alike() {
	for who in $all; do
		diff -r "$W/alice.mnt/Work" "$W/$who.mnt/Work" > "$W/diff" || { cat "$W/diff"; fail "$who differs: $1"; }
	done
}
cursor() { coffer alice space list --json | jq -r '.spaces[] | select(.name == "Work") | .cursor'; }
count() { find "$W/$1.mnt/Work" -type f | wc -l; }

new_person alice
coffer alice space create Work
echo first > "$W/alice.mnt/Work/shared"
for d in d2 d3 d4 d5; do new_device $d alice; done
for d in d2 d3 d4 d5; do await 20 test -e "$W/$d.mnt/Work/shared" || fail "$d lacks the space"; done
settle

# Five devices change one file while none can send: no text is lost, and all end with the same files.
relay_stop
for d in $all; do echo "by $d" > "$W/$d.mnt/Work/shared"; done
relay_start
settle
alike "five edits of one file"
for d in $all; do grep -qrx "by $d" "$W/alice.mnt/Work" || fail "the edit of $d is lost"; done

# Three devices delete one file; an edit against a deletion keeps the edit.
for f in gone edited; do echo x > "$W/alice.mnt/Work/$f"; done
settle
relay_stop
for d in alice d2 d3; do rm "$W/$d.mnt/Work/gone"; done
rm "$W/d4.mnt/Work/edited"
echo kept > "$W/d5.mnt/Work/edited"
relay_start
settle
alike "deletions at once"
[ ! -e "$W/d5.mnt/Work/gone" ] || fail "what three deleted is there"
grep -qrx kept "$W/alice.mnt/Work" || fail "an edit was lost to a deletion"

# Settling again and again writes nothing.
was=$(cursor) files=$(count alice)
for i in 1 2 3 4 5 6 7 8 9 10; do settle alice d2; done
[ "$(cursor)" = "$was" ] || fail "nothing changed, and the history grew from $was to $(cursor)"
[ "$(count d2)" = "$files" ] || fail "the number of files moved"

# A device that was away: 200 created, half of them deleted, some renamed and rewritten; exact when it is back, and after a restart nothing returns.
coffer d5 umount "$W/d5.mnt"
coffer d5 stop
mkdir "$W/d2.mnt/Work/many"
for i in $(seq 200); do echo "$i" > "$W/d2.mnt/Work/many/f$i"; done
settle alice d2 d3 d4
for i in $(seq 1 2 200); do rm "$W/alice.mnt/Work/many/f$i"; done
for i in $(seq 2 20 200); do mv "$W/d3.mnt/Work/many/f$i" "$W/d3.mnt/Work/many/g$i"; done
for i in $(seq 4 20 200); do echo again >> "$W/d4.mnt/Work/many/f$i"; done
settle alice d2 d3 d4 alice d2 d3 d4
mount_of d5
settle
alike "a device that was away"
[ "$(ls "$W/d5.mnt/Work/many" | wc -l)" = 100 ] || fail "not 100 files: $(ls "$W/d5.mnt/Work/many" | wc -l)"
coffer d5 umount "$W/d5.mnt"
coffer d5 stop
mount_of d5
[ "$(ls "$W/d5.mnt/Work/many" | wc -l)" = 100 ] || fail "deleted files are back after a restart"

# Two devices write fifty files each, off line.
relay_stop
mkdir "$W/alice.mnt/Work/two" "$W/d2.mnt/Work/two"
for i in $(seq 50); do echo a > "$W/alice.mnt/Work/two/a$i"; echo b > "$W/d2.mnt/Work/two/b$i"; done
relay_start
settle
alike "fifty and fifty"
[ "$(find "$W/d3.mnt/Work" -path '*two*' -name '[ab][0-9]*' | wc -l)" = 100 ] || fail "not a hundred files"

# Spaces stay apart: who is in two and removed from one goes on in the other; who is in none sees none.
coffer alice space create Other
new_person bob
new_person carol
share Work alice bob
share Other alice bob
await 20 test -e "$W/bob.mnt/Work/shared" || fail "bob lacks Work"
await 20 test -d "$W/bob.mnt/Other" || fail "bob lacks Other"
echo moved > "$W/alice.mnt/Work/mover"
mv "$W/alice.mnt/Work/mover" "$W/alice.mnt/Other/mover"
await 20 grep -qx moved "$W/bob.mnt/Other/mover" || fail "what moved to another space does not arrive"
[ ! -e "$W/alice.mnt/Work/mover" ] || fail "it is in both spaces"
coffer alice remove Work bob
echo secret > "$W/alice.mnt/Work/secret"
echo open > "$W/bob.mnt/Other/open"
await 20 grep -qx open "$W/alice.mnt/Other/open" || fail "bob's other space stopped"
[ ! -e "$W/bob.mnt/Work/secret" ] || fail "bob sees the space he was removed from"
[ -z "$(ls "$W/carol.mnt")" ] || fail "a stranger sees: $(ls "$W/carol.mnt")"
