#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# Nothing waits for the network but a read of absent content: with the sync process stopped, and with a relay that hangs, listing, df, edits and
# fsync go on; a read of what is not here ends at Ctrl-C, and by itself with an errno; the mount can be taken down.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

# Runs a command that must end well within 20 s.
soon() {
	timeout -k 1 20 "$@" > "$W/soon" 2>&1 || fail "$*: $? $(tail -n 3 "$W/soon")"
}

# What must go on in a space mounted at $1, while `$2` is all that ever was read of it.
check_goes_on() {
	soon ls -lR "$1"
	soon stat "$1/tree/3/file"
	soon df "$1"
	soon find "$1" -type f
	soon getfattr -n user.coffer.state "$1/tree/1/file"
	soon cat "$1/$2"
	soon bash -ec "echo more >> '$1/$2'; mkdir '$1/new'; echo x > '$1/new/x'; mv '$1/new/x' '$1/new/y'; ln '$1/new/y' '$1/z'; rm '$1/z'"
	soon dd if=/dev/zero of="$1/new/synced" bs=64k count=4 conv=fsync
	soon sync -f "$1"
	soon truncate -s 10 "$1/tree/2/file"
	soon rm -r "$1/new"
}

# Ctrl-C ends a read that waits, at once; 124 is what timeout says when it had to send the signal.
check_interrupt() {
	local rc=0 start=$SECONDS
	timeout -k 15 --foreground -s INT 1 cat "$1" > /dev/null 2>&1 || rc=$?
	[ $rc = 124 ] || fail "$1: reading ended with $rc, not by the signal"
	[ $((SECONDS - start)) -lt 10 ] || fail "$1: SIGINT took $((SECONDS - start)) s"
}

# A read that nobody interrupts ends with an errno.
check_errno() {
	local rc=0
	timeout -k 1 50 cat "$1" > /dev/null 2> "$W/errno" || rc=$?
	[ $rc = 1 ] || fail "$1: a read that cannot be served ended with $rc"
	grep -qE 'timed out|unreachable' "$W/errno" || fail "$1: $(cat "$W/errno")"
}

new_person alice
coffer alice space create Work
for i in 1 2 3; do
	mkdir -p "$W/alice.mnt/Work/tree/$i"
	head -c 2000000 /dev/urandom > "$W/alice.mnt/Work/tree/$i/file"
done
echo small > "$W/alice.mnt/Work/small"
coffer alice wait --timeout 60s
for who in desktop laptop; do
	new_device $who alice
	coffer $who wait --timeout 60s
	await 20 test -s "$W/$who.mnt/Work/small" || fail "no start of $who"
done

# The desktop's sync process is stopped. One read is left to itself until the end.
work=$W/desktop.mnt/Work
kill -STOP "$(syncd_pid desktop)"
check_interrupt "$work/tree/1/file"
check_errno "$work/tree/1/file" &
errno_check=$!
check_goes_on "$work" small

# The laptop's relay hangs.
kill -STOP "$RELAY_PID"
work=$W/laptop.mnt/Work
check_interrupt "$work/tree/1/file"
check_goes_on "$work" small
soon "$BUILD/coffer" --home "$W/laptop" status
timeout -k 1 60 cat "$work/tree/3/file" > /dev/null 2>&1 &
reader=$!
soon umount -l "$W/laptop.mnt"

wait $errno_check || fail "with the sync process stopped"
wait $reader || true
kill -CONT "$RELAY_PID" "$(syncd_pid desktop)"
coffer desktop wait --timeout 60s
