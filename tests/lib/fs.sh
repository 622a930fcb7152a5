# SPDX-License-Identifier: Apache-2.0
# Sourced by tests of the file system: a mount without agent or relay. Everything is taken down on any exit.
#
#	. tests/lib/fs.sh
#	fs_start [OPTION..]     # mounts $T/store on $MNT (options of tests/tools/mount_driver.c)
#	fs_stop                 # unmounts, checks that the driver ended well
#	fs_kill                 # kill -9, and removes the dead mount

set -eu
[ -c /dev/fuse ] || { echo "needs /dev/fuse"; exit 77; }
BUILD=${BUILD:-$PWD/build}
T=$(mktemp -d "${TMPDIR:-/tmp}/fs.XXXXXX")
MNT=$T/mnt
PLAIN=$T/plain # a plain directory, to compare with
mkdir "$T/store" "$MNT" "$PLAIN"
FS_PID=

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

fs_start() {
	mkfifo "$T/ready"
	"$BUILD/tests/mount_driver" "$T/store" "$MNT" "$@" > "$T/ready" &
	FS_PID=$!
	local line=
	read -r line < "$T/ready" || true
	rm "$T/ready"
	[ "$line" = ready ] || fail "the mount did not come up"
}

fs_stop() {
	local pid=$FS_PID
	kill -TERM "$pid"
	FS_PID=
	wait "$pid" || fail "the driver ended with $?"
}

fs_kill() {
	local pid=$FS_PID
	FS_PID=
	kill -KILL "$pid"
	wait "$pid" 2> /dev/null || true
	fs_unmount
}

fs_unmount() {
	if grep -q " $MNT " /proc/self/mounts; then
		umount -l "$MNT" 2> /dev/null || fusermount3 -uz "$MNT" || true
	fi
}

fs_cleanup() {
	local rc=$?
	trap - EXIT
	cd /
	if [ -n "$FS_PID" ]; then
		kill -KILL "$FS_PID" 2> /dev/null || true
		wait "$FS_PID" 2> /dev/null || true
	fi
	fs_unmount
	rm -rf "$T"
	exit $rc
}
trap fs_cleanup EXIT
trap 'exit 130' INT TERM HUP
