#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# Invites: one whether by code or by link, with uses, an end, and a role; and what a reader's mount says to changes. Then locking.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

# read_only COMMAND...: it fails because the file system is read-only
read_only() {
	if LC_ALL=C "$@" > "$W/out" 2> "$W/err"; then fail "a reader's $* went through"; fi
	grep -q "Read-only file system" "$W/err" || fail "$*: $(cat "$W/err")"
}

# offer WHO VERB ARGS...: sets CODE, LINK, ID
offer() {
	coffer "$@" --json > "$W/offer" || fail "coffer $*"
	CODE=$(jq -r .code "$W/offer") LINK=$(jq -r .link "$W/offer") ID=$(jq -r .id "$W/offer")
}

# The relay counts look-ups of invites by address in memory; this script makes more than a person would.
fresh_limits() {
	relay_stop
	relay_start
}

invites() { coffer alice invite list --json | jq ".invites | length"; }
join() { coffer "$1" join "$2" --relay "$RELAY" --quiet; }
person() { coffer "$1" init --relay "$RELAY" --name "$1" --no-passphrase --quiet > /dev/null || fail "init of $1"; }

new_person alice
coffer alice space create Work
echo one > "$W/alice.mnt/Work/one"
mkdir "$W/alice.mnt/Work/dir" "$W/alice.mnt/Work/empty"
echo two > "$W/alice.mnt/Work/dir/two"
setfattr -n user.x -v 1 "$W/alice.mnt/Work/one"
coffer alice wait --timeout 60s
new_person bob
for who in carol dave erin; do person $who; done

# Code and link are one invite of one use: who comes second is refused, whichever way.
offer alice invite Work
[[ $LINK == "coffer://join/$RELAY#"* ]] || fail "link: $LINK"
[ "$(invites)" = 1 ] || fail "invites: $(coffer alice invite list)"
coffer bob join "$LINK" --quiet || fail "join by link"
await 10 test -e "$W/bob.mnt/Work/dir/two" || fail "bob sees nothing"
refused 77 "used up" join carol "$CODE"
await 10 test "$(invites)" = 0 || fail "a used invite is listed"
offer alice invite Work
refused 64 "does not pair" coffer tablet init --pair "$LINK" --no-passphrase
coffer alice invite cancel "$ID"
offer alice pair
refused 64 "does not invite" join carol "$CODE"
coffer laptop init --pair "$CODE" --relay "$RELAY" --name laptop --no-passphrase --quiet || fail "pair by code"
refused 77 "used up" coffer tablet init --pair "$LINK" --no-passphrase
refused 64 "neither a code nor a link" coffer carol join "${LINK%?}"
refused 64 "neither a code nor a link" coffer tablet init --pair "$LINK$LINK" --no-passphrase

# Two uses.
fresh_limits
offer alice invite Work --uses 2
[ "$(coffer alice invite list --json | jq -r '.invites[0] | .space + .role + (.left | tostring)')" = Workwriter2 ] || fail "list: $(coffer alice invite list)"
join carol "$CODE" || fail "the first use"
coffer dave join "$LINK" --quiet || fail "the second use"
refused 77 "used up" join erin "$CODE"

# Cancelled.
offer alice invite Work --expires 2h
[ "$(invites)" = 1 ] || fail "no invite to cancel"
coffer alice invite cancel "$ID" || fail cancel
[ "$(invites)" = 0 ] || fail "a cancelled invite is listed"
coffer alice invite cancel "$ID" || fail "cancelling twice"
refused 77 "closed" coffer erin join "$LINK"
refused 66 "no such invite" coffer alice invite cancel 00000000-0000-8000-8000-000000000000
refused 64 "not the id" coffer alice invite cancel nonsense
refused 77 "admin" coffer bob invite Work
refused 64 "" coffer alice invite Work --uses 0
refused 64 "role" coffer alice invite Work --role admin

# Expired, by the relay's clock.
fresh_limits
offer alice invite Work --expires 1s
expired() { [ "$(invites)" = 0 ]; }
await 10 expired || fail "still listed"
refused 77 "expired" join erin "$CODE"

# A reader reads, and is told at the change that it is none.
offer alice invite Work --role reader
mount_of erin
join erin "$CODE" || fail "join as reader"
E=$W/erin.mnt/Work
await 10 grep -q two "$E/dir/two" || fail "the reader sees nothing"
read_only touch "$E/new"
read_only mkdir "$E/new"
read_only ln -s one "$E/new"
read_only mkfifo "$E/new"
read_only ln "$E/one" "$E/new"
read_only mv "$E/one" "$E/new"
read_only mv "$E/one" "$E/dir/two"
read_only rm "$E/one"
read_only rmdir "$E/empty"
read_only rm -r "$E/dir"
read_only dd if=/dev/zero of="$E/one" bs=1 count=1 conv=notrunc
read_only dd if=/dev/zero of="$E/one" bs=1 count=1
read_only cp /dev/null "$E/new"
read_only truncate -s 1 "$E/one"
read_only fallocate -l 100 "$E/one"
read_only chmod 600 "$E/one"
read_only chmod 700 "$E"
read_only touch -m "$E/one"
read_only setfattr -n user.x -v 2 "$E/one"
read_only setfattr -x user.x "$E/one"
read_only python3 -c 'import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_TMPFILE)' "$E"
cat "$E/one" "$E/dir/two" > /dev/null || fail "reading"
touch -a "$E/one" || fail "the time of access is local"
coffer erin pin "$E/one" || fail "pinning is local"
mv "$E" "$W/erin.mnt/Renamed" || fail "the name of the space is local"
E=$W/erin.mnt/Renamed
diff -r "$W/alice.mnt/Work" "$E" > "$W/diff" || { cat "$W/diff"; fail "the reader's tree changed"; }
[ "$(coffer erin status --json | jq '[.spaces[] | .pending + .outbox] | add')" = 0 ] || fail "a reader's change waits: $(coffer erin status)"
coffer erin wait --timeout 20s || fail "a reader's wait"
echo three > "$W/bob.mnt/Work/three"
await 10 grep -q three "$E/three" || fail "the reader gets no changes"
coffer erin stop
mount_of erin
read_only touch "$E/new" # also after a start
coffer erin space create Own
echo mine > "$W/erin.mnt/Own/mine" || fail "a reader's own space"

# Who is there, and when they were last: who sent something, also while the relay is away; not who only read.
seen() { coffer alice members Work --json | jq --arg d "$1" '.members[] | select(.device == $d) | .seen'; }
now=$(date +%s)
[ "$(seen bob)" -gt $((now - 120)) ] && [ "$(seen bob)" -le $((now + 120)) ] || fail "bob was seen at $(seen bob), now is $now"
[ "$(seen erin)" = 0 ] || fail "a reader was seen at $(seen erin)"
coffer alice members Work > "$W/out"
grep -q 'erin .*reader .* - *$' "$W/out" || fail "no dash: $(cat "$W/out")"
relay_stop
[ "$(seen bob)" -gt $((now - 120)) ] || fail "without the relay bob was seen at $(seen bob)"
relay_start
[ "$(coffer alice members Work --json | jq -r '.members | map(.role) | sort | join(" ")')" = "admin admin reader writer writer writer" ] ||
	fail "members: $(coffer alice members Work)"
[ "$(coffer erin members Renamed --json | jq '.members | length')" = 6 ] || fail "a reader sees: $(coffer erin members Renamed)"
[ "$(coffer alice device list --json | jq -r '.devices | map(.name) | sort | join(" ")')" = "alice laptop" ] || fail "devices: $(coffer alice device list)"
[ "$(coffer alice device list --json | jq '[.devices[] | select(.self)] | length')" = 1 ] || fail "no device is this one"

# Locked while mounted: not under an open file; then the mount is gone, and what was written is there after unlocking.
echo "correct horse" > "$W/pass"
coffer frank init --relay "$RELAY" --name frank --passphrase-file "$W/pass" --quiet > /dev/null || fail "init of frank"
mount_of frank
coffer frank space create Secret
echo kept > "$W/frank.mnt/Secret/kept"
exec 8< "$W/frank.mnt/Secret/kept"
refused 75 "open" coffer frank lock
[ "$(cat "$W/frank.mnt/Secret/kept")" = kept ] || fail "a refused lock took the mount"
exec 8<&-
coffer frank lock || fail lock
! mountpoint -q "$W/frank.mnt" || fail "the mount outlived the lock"
coffer frank status --json | jq -e .locked > /dev/null || fail "not locked: $(coffer frank status)"
echo wrong > "$W/wrong"
refused 77 "passphrase" coffer frank unlock --passphrase-file "$W/wrong"
coffer frank unlock --passphrase-file "$W/pass" || fail unlock
mount_of frank
[ "$(cat "$W/frank.mnt/Secret/kept")" = kept ] || fail "what was written before the lock is lost"
coffer frank wait --timeout 30s || fail "wait after unlocking"
