#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
#
# Rights that are taken and given: rotation, roles, removal, a lost device, coming back. Everybody else goes on, and what was written before stays readable.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

epoch() { coffer "$1" space list --json | jq -r '.spaces[] | select(.name == "Work") | .epoch'; }
member() { coffer "$1" members Work --json | jq -r ".members[] | select(.device == \"$2\") | .fingerprint"; }
persons() { coffer "$1" members Work --json | jq '[.members[].person_id] | unique | length'; }
alarm() { coffer "$1" status --json | jq -r '.spaces[] | select(.name == "Work") | .alarm_name'; }
says() { [ "$("${@:2}")" = "$1" ]; }
sees() { await 15 grep -qx "$2" "$W/$1.mnt/Work/$2" || fail "$1 does not see $2"; }
writes() { echo "$2" > "$W/$1.mnt/Work/$2" || fail "$1 cannot write $2"; }

new_person alice
coffer alice space create Work
writes alice before
new_device desktop alice
new_person bob
new_person carol
share Work alice bob
share Work alice carol
for who in desktop bob carol; do
	await 20 test -d "$W/$who.mnt/Work" || fail "the space did not reach $who"
	sees $who before
done

# A new key: old and new stay readable, all go on.
was=$(epoch alice)
coffer alice rotate Work
[ "$(epoch alice)" = $((was + 1)) ] || fail "the epoch is $(epoch alice) after $was"
for who in bob desktop alice carol; do writes $who "by-$who"; done
for who in alice desktop bob carol; do
	for by in bob desktop alice carol; do sees $who "by-$by"; done
done
coffer alice rotate Work
writes bob twice-later
sees carol twice-later
refused 77 "only admins" coffer bob rotate Work
refused 77 "only admins" coffer bob remove Work "$(member bob alice)"
refused 77 "only admins" coffer bob role Work "$(member bob carol)" reader
refused 66 "no member 'nobody'" coffer alice remove Work nobody
refused 64 "no such role" coffer alice role Work carol owner
refused 64 "yourself" coffer alice remove Work alice
refused 77 "last admin" coffer alice role Work alice writer

# A writer becomes a reader, and a writer again.
coffer alice role Work "$(member alice carol)" reader
role() { coffer "$1" members Work --json | jq -r '.members[] | select(.self) | .role'; }
await 15 says reader role carol || fail "carol is no reader"
read_only() { ! (echo x > "$W/carol.mnt/Work/no") 2> "$W/err" && grep -q "Read-only" "$W/err"; }
await 15 read_only || fail "a reader can write"
writes alice for-readers
sees carol for-readers
coffer alice role Work carol writer
can_write() { (echo again > "$W/carol.mnt/Work/again") 2> /dev/null; }
await 15 can_write || fail "carol cannot write again"
sees bob again

# Removal: the others go on under a new key; who was removed sees nothing more, and what they write reaches nobody.
was=$(epoch alice)
coffer alice remove Work "$(member alice bob)"
[ "$(persons alice)" = 2 ] || fail "members: $(coffer alice members Work)"
[ "$(epoch alice)" = $((was + 1)) ] || fail "a removal without a new key"
writes alice without-bob
sees carol without-bob
writes carol carols
sees alice carols
await 15 says FORBIDDEN alarm bob || fail "bob is not told: $(coffer bob status)"
grep -qx before "$W/bob.mnt/Work/before" || fail "what bob had is gone"
[ ! -e "$W/bob.mnt/Work/without-bob" ] || fail "bob sees what came after"
echo late > "$W/bob.mnt/Work/late"
coffer carol wait --timeout 30s
[ ! -e "$W/carol.mnt/Work/late" ] || fail "what a removed member wrote came through"

# Let in again: everything, old and new; and what was written meanwhile is sent then.
share Work alice bob
sees bob without-bob
sees bob carols
await 15 says null alarm bob || fail "bob's alarm stays: $(coffer bob status)"
writes bob back
sees alice back
sees carol late

# A lost device: out of every space, the personal one too, with new keys; the person's others go on.
was=$(epoch alice)
coffer alice device remove desktop
[ "$(coffer alice device list --json | jq -r '.devices[] | select(.name == "desktop") | .live')" = false ] || fail "it is listed as live"
[ "$(epoch alice)" -gt "$was" ] || fail "no new key after a lost device"
writes bob after-desktop
sees alice after-desktop
await 15 says FORBIDDEN alarm desktop || fail "the lost device is not told: $(coffer desktop status)"
[ ! -e "$W/desktop.mnt/Work/after-desktop" ] || fail "the lost device still sees"
coffer alice space create Later
writes alice last
new_device tablet alice
await 20 test -d "$W/tablet.mnt/Later" || fail "a new device does not get the spaces"
sees tablet last
[ ! -d "$W/desktop.mnt/Later" ] || fail "the lost device gets new spaces"
refused 66 "no device 'nothing'" coffer alice device remove nothing
refused 64 "this device" coffer alice device remove alice

# A member who is no admin takes a device away: an admin's device changes the key.
new_device phone bob
await 20 test -d "$W/phone.mnt/Work" || fail "bob's phone does not get the space"
sees phone last
was=$(epoch alice)
coffer bob device remove phone
grown() { [ "$(epoch alice)" -gt "$was" ]; }
await 20 grown || fail "no admin's device changed the key"
writes bob after-phone
sees alice after-phone
[ ! -e "$W/phone.mnt/Work/after-phone" ] || fail "bob's lost phone still sees"
for who in alice tablet bob carol; do coffer $who wait --timeout 60s; done
diff -r "$W/alice.mnt/Work" "$W/carol.mnt/Work" > "$W/diff" || { cat "$W/diff"; fail "the members differ"; }
diff -r "$W/tablet.mnt/Work" "$W/bob.mnt/Work" > "$W/diff" || { cat "$W/diff"; fail "the members differ"; }
