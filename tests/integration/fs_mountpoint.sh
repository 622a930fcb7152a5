#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Mount points: which are refused and how, a dead mount is taken over, an unmount from outside ends the driver, the list of spaces.
# timeout: 30
. tests/lib/fs.sh

refused() { # directory text
	mkdir -p "$T/store2"
	if "$BUILD/tests/mount_driver" "$T/store2" "$1" > /dev/null 2> "$T/refused"; then
		fail "mounted on $1"
	fi
	grep -q "$2" "$T/refused" || fail "$1: $(cat "$T/refused"), not \"$2\""
}

not_permitted() { # words of a command
	if "$@" 2> "$T/refused"; then
		fail "$* works"
	fi
	grep -q "not permitted\|Permission denied" "$T/refused" || fail "$*: $(cat "$T/refused")"
}

# What is refused.
touch "$T/file"
mkdir "$T/full"
touch "$T/full/x"
refused "$T/none" "not found"
refused "$T/file" "not a directory"
refused "$T/full" "not empty"
fs_start
refused "$MNT" "in use"

# Unmounted from outside: the driver ends well.
echo kept > "$MNT/file"
umount "$MNT" 2> /dev/null || fusermount3 -u "$MNT"
wait "$FS_PID" || fail "the driver ended with $? after an unmount from outside"
FS_PID=

# A killed driver leaves a dead mount: the next one takes it over.
fs_start
[ "$(cat "$MNT/file")" = kept ] || fail "content after a restart"
kill -KILL "$FS_PID"
wait "$FS_PID" 2> /dev/null || true
! ls "$MNT" 2> /dev/null || fail "the mount is not dead"
fs_start
[ "$(cat "$MNT/file")" = kept ] || fail "content after a kill"

# Stopped while a file is open: unmounted lazily, what was written is there.
exec 9>> "$MNT/file"
echo more >&9
fs_stop
exec 9>&-
! grep -q " $MNT " /proc/self/mounts || fail "still mounted"

# Read-only.
fs_start ro
[ "$(cat "$MNT/file")" = $'kept\nmore' ] || fail "content after a lazy unmount"
! touch "$MNT/new" 2> /dev/null || fail "a read-only mount was written to"
fs_stop

# The list of spaces.
fs_start top
[ "$(ls -A "$MNT")" = space ] || fail "spaces: $(ls -A "$MNT")"
mkdir "$MNT/second"
[ "$(ls -A "$MNT")" = $'second\nspace' ] || fail "spaces: $(ls -A "$MNT")"
mv "$MNT/second" "$MNT/zwei"
echo x > "$MNT/zwei/x"
not_permitted touch "$MNT/file"
not_permitted ln -s x "$MNT/link"
not_permitted mkfifo "$MNT/fifo"
not_permitted rmdir "$MNT/zwei"
! mv -T "$MNT/zwei" "$MNT/space" 2> /dev/null || fail "a space replaced another"
! ln "$MNT/zwei/x" "$MNT/space/x" 2> /dev/null || fail "a link between spaces"
python3 -c 'import errno, os, sys
try: os.rename(sys.argv[1] + "/zwei/x", sys.argv[1] + "/space/x")
except OSError as e: sys.exit(e.errno != errno.EXDEV)
sys.exit(1)' "$MNT" || fail "rename between spaces"
mv "$MNT/zwei/x" "$MNT/space/x" # mv copies
[ "$(cat "$MNT/space/x")" = x ] && [ ! -e "$MNT/zwei/x" ] || fail "mv between spaces"
fs_stop
fs_start top
[ "$(cd "$MNT" && find . | sort | tr '\n' ' ')" = ". ./space ./space/file ./space/x ./zwei " ] || fail "spaces after a restart"
fs_stop
