#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# verify names the files whose blocks are damaged here, evict fetches them again from the relay, and a limit keeps what is here small.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
new_person alice
coffer alice space create Work
m=$W/alice.mnt/Work
mkdir "$m/folder" "$W/kept"
for i in 1 2 3 4 5 6 7 8; do
	head -c 3000000 /dev/urandom > "$W/kept/file$i"
	cp "$W/kept/file$i" "$m/folder/"
done
coffer alice wait
coffer alice verify > "$W/out" || fail "verify finds damage: $(cat "$W/out")"
[ ! -s "$W/out" ] || fail "verify says: $(cat "$W/out")"

# A block of each segment is damaged while nobody looks.
coffer alice stop
for f in "$W"/alice/cache/seg-*; do
	printf 'damage' | dd of="$f" bs=1 seek=2000000 conv=notrunc status=none
done
mount_of alice
rc=0
coffer alice verify > "$W/out" 2> "$W/err" || rc=$?
[ $rc = 65 ] || fail "verify gave $rc with damaged blocks"
grep -q "^Work/folder/file[1-8]$" "$W/out" || fail "verify names: $(cat "$W/out")"
[ "$(wc -l < "$W/err")" = 1 ] && grep -q "damaged; .*evict" "$W/err" || fail "verify says: $(cat "$W/err")"
coffer alice --json verify > "$W/json" 2> /dev/null || :
grep -q '"damaged": *[1-9]' "$W/json" || fail "no number of damaged files in JSON"

# The relay has them whole.
while read -r path; do
	coffer alice evict "$W/alice.mnt/$path"
done < "$W/out"
coffer alice verify || fail "still damaged after evict"
diff -r "$W/kept" "$m/folder" || fail "the content differs"

# What a start put aside of a damaged journal is told until somebody has seen it.
! coffer alice status | grep DAMAGED || fail "status tells of damage"
echo note > "$W/alice/cache/damaged.txt"
coffer alice status | grep -q "DAMAGED: the journal.*$W/alice/cache/damaged.txt" || fail "status: $(coffer alice status)"
rm "$W/alice/cache/damaged.txt"
! coffer alice status | grep DAMAGED || fail "status goes on telling of damage"

# A limit.
coffer alice evict --limit 10M
small() { [ "$(coffer alice --json status | grep -o '"live_bytes": *[0-9]*' | grep -o '[0-9]*$')" -le 10485760 ]; }
await 30 small || fail "more is here than the limit: $(coffer alice --json status)"
diff -r "$W/kept" "$m/folder" || fail "the content differs under a limit"
! coffer alice evict --limit 10x 2> "$W/err" || fail "10x is a limit"
grep -q "no limit; give" "$W/err" || fail "no cause: $(cat "$W/err")"
coffer alice evict --limit none
