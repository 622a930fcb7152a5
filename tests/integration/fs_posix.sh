#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What POSIX and Linux promise of a file system, through a mount; once more after the mount was stopped and started.
# timeout: 120
. tests/lib/fs.sh

options=()
if [ "$(id -u)" = 0 ]; then # some checks need other users
	chmod 711 "$T" "${TMPDIR:-/tmp}"
	options=(allow_other suid dev)
fi
fs_start "${options[@]}"
python3 tests/tools/posix_check.py "$MNT" || fail "posix_check"
(cd "$MNT" && find . -printf '%p %y %m %s %T@ %n %l\n' | sort) > "$T/before"
fs_stop
fs_start
(cd "$MNT" && find . -printf '%p %y %m %s %T@ %n %l\n' | sort) > "$T/after"
cmp "$T/before" "$T/after" || { diff "$T/before" "$T/after" | head; fail "another tree after a restart"; }
fs_stop
