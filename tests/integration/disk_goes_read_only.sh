#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
#
# ext4 finds an error and makes itself read-only below a running agent: all that was written can be read on, changes are EROFS, status and
# wait say why and what to do; and so it is with the next agent, for which the disk is read-only from the start.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
[ "$(id -u)" = 0 ] || { echo "needs root: it mounts an image"; exit 77; }

same() { diff -r "$W/kept" "$W/alice.mnt/Work" > "$W/diff" 2>&1 || fail "what was written is not there: $(head -3 "$W/diff")"; }

read_only() { # COMMAND... is EROFS
	! "$@" 2> "$W/err" || fail "it can be changed: $*"
	grep -q "Read-only file system" "$W/err" || fail "$* says: $(cat "$W/err")"
}

says_read_only() {
	coffer alice status > "$W/status" || fail "no status: $(cat "$W/status")"
	grep -q "READ-ONLY: $1.*coffer stop" "$W/status" || fail "status says: $(cat "$W/status")"
	refused 74 "nothing is sent or fetched: the disk of the profile cannot be written to" coffer alice wait
}

world_start
mkdir "$W/alice" "$W/kept"
truncate -s 200M "$W/image"
mkfs.ext4 -qF "$W/image"
mount -o loop,errors=remount-ro "$W/image" "$W/alice" || { echo "needs a loop device"; exit 77; }
trigger=/sys/fs/ext4/$(basename "$(findmnt -no SOURCE "$W/alice")")/trigger_fs_error
[ -w "$trigger" ] || { echo "needs an ext4 that can be told of an error"; exit 77; }
new_person alice
coffer alice space create Work
m=$W/alice.mnt/Work
for i in $(seq 40); do
	head -c $((i * 5000)) /dev/urandom > "$W/kept/f$i"
done
cp "$W"/kept/* "$m/"
coffer alice wait
relay_stop
echo last | tee "$m/last" > "$W/kept/last"
sync "$m/last"
echo 1 > "$trigger"

same
read_only bash -c "echo x > '$m/new'; sync '$m/new'; echo x > '$m/newer'"
says_read_only "a write to the disk failed"
same
coffer alice umount "$W/alice.mnt" --now
coffer alice stop
mount_of alice || fail "no mount from a read-only disk"
says_read_only "the disk of the profile is read-only"
same
read_only touch "$m/new"
coffer alice umount "$W/alice.mnt"
coffer alice stop
