#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# fallocate(2) on a disk that becomes full: what was set aside can be written when nothing else can, also after kill -9 and a restart; what
# does not fit is refused by fallocate; and what is set aside goes with the file.
. tests/lib/fs.sh
[ "$(id -u)" = 0 ] && mount -t tmpfs -o size=96m none "$T/store" || { echo "needs the right to mount tmpfs"; exit 77; }
trap 'code=$?; umount -l "$T/store"; (exit $code); fs_cleanup' EXIT

step() {
	timeout 60 python3 - "$MNT" "$@" <<'P' || fail "$1"
import errno, os, sys
MIB = 1 << 20
mnt, what = sys.argv[1:3]

def refused(fn):
    try:
        fn()
    except OSError as e:
        if e.errno == errno.ENOSPC:
            return
        raise
    sys.exit("it did not hear that the disk is full")

def fill():
    fd = os.open(f"{mnt}/hog", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        os.write(fd, os.urandom(MIB // 4))

def write(first, last):
    for i in range(first, last):
        os.pwrite(fd, bytes([i % 251]) * 65536, i * 65536)
    os.fsync(fd)

fd = os.open(f"{mnt}/db", os.O_RDWR | os.O_CREAT)
if what == "set aside":
    os.posix_fallocate(fd, 0, 20 * MIB)
    st = os.fstat(fd)
    assert st.st_size == 20 * MIB and st.st_blocks * 512 == 20 * MIB, st
    refused(lambda: os.posix_fallocate(fd, 0, 500 * MIB))
    refused(lambda: os.posix_fallocate(fd, 0, 1 << 62))
    assert os.fstat(fd).st_size == 20 * MIB
elif what == "fill":
    refused(fill)
elif what == "write the first half":
    write(0, 160)
elif what == "write the second half":
    write(160, 320)
    for i in range(320):
        assert os.pread(fd, 65536, i * 65536) == bytes([i % 251]) * 65536, i
    assert os.fstat(fd).st_blocks * 512 == 20 * MIB
P
}

gone() { [ ! -e "$T/store/reserve-aside" ]; }

fits() { fallocate -l 10M "$MNT/other" 2> /dev/null; }

await() { # until COMMAND is true, 20 s at most
	for _ in $(seq 1000); do
		"$@" && return 0
		read -rt 0.02 <> <(:) || :
	done
	return 1
}

fs_start
step "set aside"
step fill
step "write the first half"
fs_kill
fs_start
step fill
step "write the second half"
fs_stop
fs_start
rm "$MNT/hog"
fits || fail "no room at once after the large file went" # it waits for the turns of housekeeping that takes
[ -e "$T/store/reserve-aside" ] || fail "nothing was set aside"
rm "$MNT/other"
await gone || fail "what was set aside outlived its file"
# More than was free a moment ago, on a disk that was not nearly full.
room() { df --output=avail -B1 "$T/store" | tail -1; }
before=$(room)
head -c 30M /dev/urandom > "$MNT/big"
sync "$MNT/big"
[ "$(room)" -lt $((before - (25 << 20))) ] || fail "30 MiB take no room"
rm "$MNT/big"
fallocate -l $((before - (22 << 20))) "$MNT/other" || fail "no room at once for what a deleted file had"
rm "$MNT/other"
fs_stop
