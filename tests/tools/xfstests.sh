#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs xfstests, which was built elsewhere, over two spaces of a fresh profile (docs/TESTING.md). Root only.
#
#	tests/tools/xfstests.sh DIR [argument of its ./check ...]       # default: -g quick
#	SIZE=9g                  # of the tmpfs that holds the profile
#	RUN=COMMAND              # instead of ./check, in a shell with the test space mounted at /mnt/test
#
# Everything happens in a mount namespace of its own: /mnt, /sbin/mount.fuse.coffer and the users that its tests want are not those of the
# machine. The relay only takes the profile in; sync is off line from then on.
set -eu
if [ -z "${BASE:-}" ]; then
	BASE=$(mktemp -d)
	export BASE
	code=0
	unshare -m --propagation private bash "$0" "$@" || code=$?
	rmdir "$BASE"
	exit $code
fi
DIR=$(realpath "$1")
shift
TOP=$(realpath "$(dirname "$0")/../..")
. "$TOP/tests/lib/world.sh"
mount -t tmpfs -o "size=${SIZE:-9g}" none "$BASE"
mkdir "$BASE/world" "$BASE/up" "$BASE/work"
world_start "$BASE/world"
mkdir "$W/bin"
cp "$BUILD"/coffer "$BUILD"/coffer-fs "$BUILD"/coffer-syncd "$BUILD"/coffer-relay "$W/bin/"
BUILD=$W/bin # may be built anew meanwhile
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$BASE/up,workdir=$BASE/work" /usr/sbin
ln -sf "$W/bin/coffer" /usr/sbin/mount.fuse.coffer
for file in passwd group; do
	cp /etc/$file "$BASE/$file"
	id=64000
	for name in fsgqa fsgqa2 123456-fsgqa; do
		id=$((id + 1))
		grep -q "^$name:" /etc/$file && continue
		[ $file = group ] && echo "$name:*:$id:" || echo "$name:*:$id:$id::/tmp:/bin/bash"
	done >> "$BASE/$file"
	mount --bind "$BASE/$file" /etc/$file
done
mount -t tmpfs none /mnt
mkdir -p /mnt/test /mnt/scratch
coffer me init --relay "$RELAY" --name me --no-passphrase --quiet > "$W/words"
coffer me space create xfs-test
coffer me space create xfs-scratch
relay_stop

export TEST_DEV=xfs-test TEST_DIR=/mnt/test SCRATCH_DEV=xfs-scratch SCRATCH_MNT=/mnt/scratch FSTYP=fuse FUSE_SUBTYP=.coffer
export MOUNT_OPTIONS="-oallow_other,allow_suid,allow_dev,profile=$W/me"
export TEST_FS_MOUNT_OPTS=$MOUNT_OPTIONS
cd "$DIR"
code=0
if [ -n "${RUN:-}" ]; then
	mount -t fuse.coffer xfs-test /mnt/test "$MOUNT_OPTIONS"
	bash -c "$RUN" || code=$?
else
	[ $# -gt 0 ] || set -- -g quick
	./check -fuse "$@" || code=$?
fi
cd /
umount -A /mnt/test /mnt/scratch 2> /dev/null || :
exit $code
