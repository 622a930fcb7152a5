#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `make install` puts where, with DESTDIR and without; systemd takes the units as they are, and rates the relay's well.
# timeout: 120
set -eu
T=$(realpath "$(mktemp -d)")
trap 'rm -rf "$T"' EXIT

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

install() { # what is built: nothing is made anew (-o all)
	make -s -o all install BUILD="$BUILD" "$@" > "$T/make.log" 2>&1 || fail "make install $*: $(cat "$T/make.log")"
}

files() {
	(cd "$1" && find . ! -type d | sort | tr '\n' ' ')
}

want="./usr/bin/coffer ./usr/bin/coffer-fs ./usr/bin/coffer-relay ./usr/bin/coffer-syncd \
./usr/lib/systemd/system/coffer-relay.service ./usr/lib/systemd/system/coffer-relay.socket ./usr/lib/systemd/system/coffer-relay@.service ./usr/lib/systemd/user/coffer-agent.service ./usr/lib/systemd/user/coffer@.service "
install DESTDIR="$T/dest" PREFIX=/usr
[ "$(files "$T/dest")" = "./sbin/mount.fuse.coffer $want" ] || fail "installed: $(files "$T/dest")"
[ "$(readlink "$T/dest/sbin/mount.fuse.coffer")" = /usr/bin/coffer ] || fail "the helper leads elsewhere"
! grep -rl "@PREFIX@\|$T" "$T/dest/usr/lib" || fail "a unit with a wrong path"
install PREFIX="$T/home/usr" SBIN=
[ "$(files "$T/home")" = "$want" ] || fail "installed without the helper: $(files "$T/home")"
"$T/home/usr/bin/coffer" --version > /dev/null || fail "what is installed does not run"

rc=0
"$T/home/usr/bin/coffer-fs" --help 2> "$T/err" || rc=$?
[ $rc = 64 ] && grep -q "coffer mount" "$T/err" || fail "coffer-fs does not say who starts it: $rc, $(cat "$T/err")"
make -s uninstall PREFIX="$T/home/usr" SBIN=
[ "$(files "$T/home")" = "" ] || fail "left behind: $(files "$T/home")"
make -s uninstall DESTDIR="$T/dest" PREFIX=/usr
[ "$(files "$T/dest")" = "" ] || fail "left behind: $(files "$T/dest")"
install PREFIX="$T/home/usr" SBIN=

command -v systemd-analyze > /dev/null || exit 0
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$T}
units=$T/home/usr/lib/systemd
verify() { # what systemd-analyze says of other units of this machine is not ours
	systemd-analyze verify --man=no --recursive-errors=no "$@" > "$T/verify" 2>&1 || fail "$*: $(cat "$T/verify")"
	! grep "coffer" "$T/verify" >&2 || fail "$*: warnings"
}
verify "$units/system/coffer-relay.service"
verify "$units/system/coffer-relay.socket"
verify "$units/system/coffer-relay@.service"
cp "$units/user/coffer@.service" "$units/user/coffer@tmp-x.service"
verify --user "$units/user/coffer-agent.service" "$units/user/coffer@tmp-x.service"
systemd-analyze security --offline=yes --no-pager --threshold=20 "$units/system/coffer-relay.service" > "$T/security" 2>&1 ||
	fail "the relay's unit restricts too little: $(cat "$T/security")"
