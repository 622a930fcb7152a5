#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# A relay that goes back to an older state, and one whose stored chunks were changed or exchanged: it is said, nobody reads a byte that no
# member wrote, and nothing that a device holds is lost. The honest twin is share.sh.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

alarm() { # WHO NAME
	coffer "$1" status --json | grep -q "\"alarm_name\": \"$2"
}

new_person alice
coffer alice space create Work
for f in one two; do # each in one write, so that none is sealed half way
	dd if=/dev/urandom of="$W/alice.mnt/Work/$f" bs=900000 count=1 iflag=fullblock status=none
done
coffer alice wait --timeout 60s
new_device desktop alice
await 20 test -e "$W/desktop.mnt/Work/two" || fail "the space did not arrive"
coffer desktop wait --timeout 60s
relay_stop

# What was read of a file before the error (a file cut while it was written has a first chunk of its own).
true_bytes() { cmp -s -n "$(stat -c %s "$W/got")" "$W/got" "$W/alice.mnt/Work/$1"; }

# The two large chunks in each other's place, under the names that the relay keeps them by.
mapfile -t chunks < <(find "$W/relay" -type f -size +800k ! -name '*.db*' ! -name '*sqlite*')
[ "${#chunks[@]}" = 2 ] || fail "expected two chunks: ${chunks[*]}"
cp -a "$W/relay" "$W/honest"
mv "${chunks[0]}" "$W/t"
mv "${chunks[1]}" "${chunks[0]}"
mv "$W/t" "${chunks[1]}"
relay_start
for f in one two; do
	! timeout 60 cat "$W/desktop.mnt/Work/$f" > "$W/got" 2> "$W/err" || fail "an exchanged chunk was read"
	true_bytes "$f" || fail "bytes of an exchanged chunk were given out"
done
relay_stop

# One byte of each changed.
rm -rf "$W/relay"
cp -a "$W/honest" "$W/relay"
for f in "${chunks[@]}"; do
	printf '\x55\xaa\x55' | dd of="$f" bs=1 seek=500000 conv=notrunc status=none
done
relay_start
for f in one two; do
	! timeout 60 cat "$W/desktop.mnt/Work/$f" > "$W/got" 2> "$W/err" || fail "a changed chunk was read"
	true_bytes "$f" || fail "bytes of a changed chunk were given out"
done
relay_stop

# The honest store again: both files are there, and work goes on.
rm -rf "$W/relay"
cp -a "$W/honest" "$W/relay"
relay_start
for f in one two; do
	await 30 cmp -s "$W/alice.mnt/Work/$f" "$W/desktop.mnt/Work/$f" || fail "$f cannot be read from the honest relay"
done
echo later > "$W/alice.mnt/Work/later"
coffer alice wait --timeout 60s
await 20 grep -q later "$W/desktop.mnt/Work/later" || fail "the later file did not arrive"
! alarm alice '[A-Z]' || fail "an alarm without a reason: $(coffer alice status --json)"
relay_stop

# Back to the older store: what was confirmed is gone there.
rm -rf "$W/relay"
mv "$W/honest" "$W/relay"
relay_start
# Who comes first gives it back, and the other may find all of it there again.
some_alarm() { alarm alice ROLLBACK || alarm desktop ROLLBACK; }
await 30 some_alarm || fail "nobody says anything of the older state: $(coffer alice status --json; coffer desktop status --json)"
for who in alice desktop; do
	grep -q later "$W/$who.mnt/Work/later" || fail "$who lost a file"
	cmp "$W/alice.mnt/Work/one" "$W/$who.mnt/Work/one" || fail "$who reads other bytes"
done
