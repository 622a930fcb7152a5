#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# A large upload that is cut off goes on where it was: coffer-fs, coffer-syncd and the relay are killed in the middle of one, and the
# relay then receives again only the few chunks that were under way.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
MIB=256
MOST=16 # chunks under way: PUTS_MAX of sync_upload.c, and those whose confirmation was; also index chunks and the like
metric() { curl -sf "$RELAY/metrics" | awk -v n="coffer_relay_$1" '$1 == n { print $2 }'; }
blobs() { find "$W/relay" -type f -size +900k -name '????????-????-????-????-????????????' | wc -l; }

new_person alice
coffer alice space create Work
head -c ${MIB}M /dev/urandom > "$W/source"

# begin NAME: a file is written while the relay is away, so that it is cut once; when some of it is there the relay is stopped: what
# follows meets an upload in its middle. The relay's counters begin anew here.
begin() {
	local had
	had=$(blobs)
	relay_stop
	cp "$W/source" "$W/alice.mnt/Work/$1"
	relay_start
	coffer alice wait --timeout 120s > "$W/wait.out" 2>&1 & # makes it connect at once
	waiter=$!
	while [ "$(blobs)" -lt $((had + 20)) ]; do
		kill -0 "$RELAY_PID" || fail "the relay is gone"
	done
	kill -STOP "$RELAY_PID"
	there=$(($(blobs) - had))
	[ $there -lt $MIB ] || fail "the upload was over before it was cut off"
	echo "$1: cut off after $there of $MIB chunks" >&2
}

# finish NAME NEW: all is sent, about NEW chunks since the counters began, few of them twice
finish() {
	local new again
	coffer alice wait --timeout 120s || fail "$1: not sent"
	wait $waiter || : # it may have been told of the kill
	new=$(metric chunks_received_total) again=$(metric chunks_repeated_total)
	[ "$new" -le $(($2 + MOST)) ] || fail "$1: $new chunks were received, not $2"
	[ "$again" -le $MOST ] || fail "$1: $again chunks were sent again"
	cmp "$W/source" "$W/alice.mnt/Work/$1" || fail "$1: the file differs"
}

begin syncd
pid=$(syncd_pid alice)
kill -9 "$pid"
await 10 gone "$pid"
kill -CONT "$RELAY_PID"
finish syncd $MIB

begin fs
pid=$(agent_pid alice)
kill -9 "$pid"
await 10 gone "$pid"
kill -CONT "$RELAY_PID"
fusermount3 -uz "$W/alice.mnt" 2> /dev/null || :
mount_of alice || fail "the mount does not come back"
finish fs $MIB

begin relay
kill -9 "$RELAY_PID"
wait "$RELAY_PID" 2> /dev/null || :
relay_start
finish relay $((MIB - there))
rows=$(sqlite3 "$W/relay/relay.db" 'SELECT count(*) FROM chunks WHERE blob = 0')
[ "$rows" -eq $((3 * MIB)) ] || fail "$rows chunks are stored, not $((3 * MIB))"
# Objects whose rows the kill cut off go a day later (tests/unit/test_blob.c).
[ "$(blobs)" -le $((3 * MIB + MOST)) ] || fail "$(blobs) objects are stored for $rows chunks"
