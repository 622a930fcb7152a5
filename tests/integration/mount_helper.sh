#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The helper of mount(8): mount and umount of a space by type, lines of fstab, remount, options, wrong input, locked profiles; as root
# also the profile of another user. mount(8) runs in a mount namespace of its own, where /sbin holds nothing but the helper.
# timeout: 120
if [ "${1:-}" != inside ] && [ -n "${TMPDIR:-}" ] && unshare -m true 2> /dev/null; then
	exec unshare -m --propagation private bash "$0" inside
fi
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
HELPER=$W/bin/mount.fuse.coffer
mkdir -p "$W/bin" "$W/dir" "$W/all"
cp "$BUILD"/coffer "$BUILD"/coffer-fs "$BUILD"/coffer-syncd "$W/bin/"
BUILD=$W/bin # another user may not reach the build directory
ln -s coffer "$HELPER"
export COFFER_PASSPHRASE_FILE=$W/passphrase # which the helper must not look at
echo "a b" > "$W/passphrase"
coffer alice init --relay "$RELAY" --name alice --quiet > "$W/alice.words" || fail "init"
coffer alice space create "My Photos" || fail "space create"
coffer alice space create coffer || fail "space create"
P=profile=$W/alice

fs_type() {
	awk -v d="$1" '$2 == d { print $1, $3 }' /proc/mounts
}

# expect CODE TEXT COMMAND...: it ends so, with one line of error that holds TEXT
expect() {
	local want=$1 text=$2 code=0
	shift 2
	setsid "$@" > "$W/out" 2>&1 < /dev/null || code=$?
	[ $code = "$want" ] || fail "$* ended with $code: $(cat "$W/out")"
	[[ $(cat "$W/out") == *"$text"* ]] && [ "$(wc -l < "$W/out")" -le 1 ] || fail "$* said: $(cat "$W/out")"
}

ended() {
	! grep -q " $1 fuse.coffer" /proc/mounts && [ "$(coffer alice status --json | jq --arg d "$1" '[.mounts[].dir] | index($d)')" = null ]
}

# As mount(8) calls it.
expect 0 "" "$HELPER" "My Photos" "$W/dir" -sn -o "rw,$P,noatime,nofail,user=alice,x-systemd.automount,comment=x,_netdev,iversion,nomand,silent"
[ "$(fs_type "$W/dir")" = 'My\040Photos fuse.coffer' ] || fail "the table says $(fs_type "$W/dir")"
echo cat > "$W/dir/cat.txt"
expect 32 "is mounted at" "$HELPER" "My Photos" "$W/dir" -o "rw,$P"
umount "$W/dir" 2> /dev/null || fusermount3 -u "$W/dir" || fail "umount"
await 10 ended "$W/dir" || fail "the agent still lists the mount"
expect 0 "" "$HELPER" "/home/My Photos" "$W/dir" -o "ro,$P" # what mount(8) makes of the name of a file
[ "$(cat "$W/dir/cat.txt")" = cat ] || fail "content after mounting again"
! touch "$W/dir/new" 2> /dev/null || fail "a read-only mount was written to"
expect 0 "" "$HELPER" coffer "$W/all" -o "$P"
[ "$(ls "$W/all")" = $'My Photos\ncoffer' ] || fail "all spaces: $(ls "$W/all")"
coffer alice umount "$W/dir" --now && coffer alice umount "$W/all" --now || fail "coffer umount"

# Wrong input.
expect 0 "" "$HELPER" "My Photos" "$W/dir" -fvn -o "$P"
[ -z "$(fs_type "$W/dir")" ] || fail "-f mounted"
expect 1 "usage: mount -t" "$HELPER" "My Photos" -o "$P"
expect 1 "usage: mount -t" "$HELPER" "My Photos" "$W/dir" -q
expect 1 "'banana' is no option" "$HELPER" "My Photos" "$W/dir" -o "$P,banana"
expect 32 "no space 'Photos'" "$HELPER" Photos "$W/dir" -o "$P"
expect 32 "does not exist" "$HELPER" "My Photos" "$W/none" -o "$P"
expect 32 "profile=DIR" "$HELPER" "My Photos" "$W/dir" -o "profile=$W/nobody"
expect 32 "no profile here" "$HELPER" "My Photos" "$W/dir" -o "profile=$W/all"

# Nothing is asked, and no agent need run.
coffer alice stop || fail "stop"
expect 32 "the profile is locked" "$HELPER" "My Photos" "$W/dir" -o "$P"
expect 32 "cannot read" "$HELPER" "My Photos" "$W/dir" -o "$P,passphrase-file=$W/none"
expect 0 "" "$HELPER" "My Photos" "$W/dir" -o "$P,passphrase-file=$W/passphrase"
[ "$(cat "$W/dir/cat.txt")" = cat ] || fail "content after a restart of the agent"
coffer alice umount "$W/dir" --now || fail "coffer umount"

[ "$(id -u)" = 0 ] && [ "${1:-}" = inside ] || exit 0
chmod 711 "$W" "${TMPDIR:-/tmp}"
as_bob() {
	setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"
}

# What another user may on a mount with allow_other is what the modes say.
check_other() { # DIR
	echo mine > "$1/private" && chmod 600 "$1/private"
	echo all > "$1/public" && chmod 644 "$1/public"
	mkdir "$1/drop" && chmod 1777 "$1/drop" && touch "$1/drop/roots"
	[ "$(as_bob cat "$1/public")" = all ] || fail "another user cannot read what all may"
	! as_bob cat "$1/private" 2> /dev/null || fail "another user read a private file"
	! as_bob bash -c "echo x >> '$1/public'" 2> /dev/null || fail "another user wrote a file"
	! as_bob touch "$1/new" 2> /dev/null || fail "another user made a file"
	! as_bob rm -f "$1/drop/roots" 2> /dev/null || fail "another user removed a file of a sticky folder"
	as_bob touch "$1/drop/bobs" && [ "$(stat -c %u "$1/drop/bobs")" = "$(id -u nobody)" ] || fail "another user's file: $(ls -ln "$1/drop")"
	as_bob rm "$1/drop/bobs" || fail "another user cannot remove an own file"
	rm -r "$1/private" "$1/public" "$1/drop"
}

# DIR runs|no: whether a program runs; then whether it does so with setuid, and whether a device is one
check_powers() {
	cp /usr/bin/id "$1/id" && chmod 4755 "$1/id"
	mknod "$1/null" c 1 3 && chmod 666 "$1/null"
	local got=no
	as_bob "$1/id" > /dev/null 2>&1 && got=runs
	[ $got = "$2" ] || fail "a program on $1: $got, not $2"
	got=no
	as_bob "$1/id" 2> /dev/null | grep -q 'euid=0' && got=suid
	[ $got = "$3" ] || fail "setuid on $1: $got, not $3"
	got=no
	as_bob bash -c "echo x > '$1/null'" 2> /dev/null && got=dev
	[ $got = "$4" ] || fail "a device on $1: $got, not $4"
	rm "$1/id" "$1/null"
}

# mount(8) itself.
mount -t tmpfs none /usr/sbin && [ /sbin -ef /usr/sbin ] || mount -t tmpfs none /sbin || fail "a /sbin of its own"
ln -s "$HELPER" /sbin/mount.fuse.coffer
export COFFER_HOME=$W/nobody
cat > "$W/fstab" <<- END
	My\\040Photos $W/dir fuse.coffer noexec,allow_other,$P,x-systemd.automount,nofail 0 0
	coffer $W/all fuse.coffer noauto,user,$P 0 0
END
expect 0 "" mount -T "$W/fstab" -a
expect 0 "" mount -T "$W/fstab" -a # knows that it is mounted
grep -q " $W/dir fuse.coffer rw,nosuid,nodev,noexec,.*allow_other" /proc/mounts || fail "options: $(grep "$W/dir" /proc/mounts)"
[ -z "$(fs_type "$W/all")" ] || fail "noauto was mounted"
check_other "$W/dir"
check_powers "$W/dir" no no no
expect 0 "" mount -T "$W/fstab" "$W/all"
! as_bob ls "$W/all" 2> /dev/null || fail "another user looked into a mount without allow_other"
expect 0 "" umount "$W/all"
expect 0 "" mount -o remount,ro "$W/dir"
! touch "$W/dir/new" 2> /dev/null || fail "written to after remount,ro"
expect 0 "" mount -o remount,rw "$W/dir"
touch "$W/dir/new" || fail "not writable after remount,rw"
exec 9>> "$W/dir/new"
expect 32 "close the files" mount -o remount,ro "$W/dir"
expect 32 "busy" umount "$W/dir"
exec 9>&-
expect 0 "" umount "$W/dir"
await 10 ended "$W/dir" || fail "the agent still lists the mount"
expect 32 "is it mounted" mount -t fuse.coffer -o remount,ro coffer "$W/dir"
mkdir "$W/here" && touch "$W/here/My Photos"
(cd "$W/here" && expect 0 "" mount -t fuse.coffer "My Photos" "$W/dir" -o "$P,allow_suid,allow_dev,allow_other") || exit 1
check_powers "$W/dir" runs suid dev
! grep -q " $W/dir fuse.coffer .*\(nosuid\|nodev\)" /proc/mounts || fail "allow_suid, allow_dev: $(grep "$W/dir" /proc/mounts)"
expect 0 "" mount -o remount,ro,nosuid "$W/dir"
grep -q " $W/dir fuse.coffer ro,nosuid,relatime" /proc/mounts || fail "remount kept other options: $(grep "$W/dir" /proc/mounts)"
expect 0 "" mount -o remount,rw "$W/dir"
grep -q " $W/dir fuse.coffer rw,nosuid,relatime" /proc/mounts || fail "nosuid went: $(grep "$W/dir" /proc/mounts)"
expect 0 "" umount "$W/dir"
expect 0 "" mount -t fuse.coffer "My Photos" "$W/dir" -o "$P,allow_suid,nosuid,allow_other"
check_powers "$W/dir" runs no no
grep -q " $W/dir fuse.coffer rw,nosuid,nodev" /proc/mounts || fail "allow_suid beat nosuid"
expect 0 "" umount "$W/dir"

# Root mounts what another user's agent holds.
mkdir "$W/bob"
chown nobody "$W/bob"
as_bob test -w /dev/fuse || { mkdir "$W/dev" && mount -t tmpfs none "$W/dev" && mknod -m 666 "$W/dev/fuse" c 10 229 && mount --bind "$W/dev/fuse" /dev/fuse; } ||
	fail "a /dev/fuse for everybody" # as udev makes it
as_bob "$W/bin/coffer" --home "$W/bob" init --relay "$RELAY" --name bob --no-passphrase --quiet > "$W/bob.words" || fail "init of bob"
as_bob "$W/bin/coffer" --home "$W/bob" space create Bobs || fail "space create of bob"
as_bob "$W/bin/coffer" --home "$W/bob" stop || fail "stop of bob"
mkdir "$W/bob.mnt"
expect 1 "may write to" mount -t fuse.coffer Bobs "$W/bob.mnt" -o "profile=$W/bob" # root's directory
chown nobody "$W/bob.mnt"
[ -e /etc/fuse.conf ] && mount --bind /dev/null /etc/fuse.conf
expect 1 "user_allow_other" mount -t fuse.coffer Bobs "$W/bob.mnt" -o "profile=$W/bob,allow_other"
expect 0 "" mount -t fuse.coffer Bobs "$W/bob.mnt" -o "profile=$W/bob,noexec"
grep -q "^Bobs $W/bob.mnt fuse.coffer .*noexec.*user_id=$(id -u nobody)" /proc/mounts || fail "bob's mount: $(grep bob.mnt /proc/mounts)"
as_bob touch "$W/bob.mnt/mine" || fail "bob cannot write"
[ -z "$(find "$W/bob" ! -user nobody)" ] || fail "root left files in bob's profile"
expect 1 "root can" setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$HELPER" Bobs "$W/bob.mnt" -o remount,ro
as_bob umount "$W/bob.mnt" || fail "bob cannot unmount"
