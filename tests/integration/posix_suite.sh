#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The POSIX suite (tests/posix/): on the file system of TMPDIR, which judges the cases themselves, and on a mount.
# timeout: 120
. tests/lib/fs.sh

options=()
if [ "$(id -u)" = 0 ]; then # cases with several users
	chmod 711 "$T" "${TMPDIR:-/tmp}"
	options=(allow_other suid dev)
fi
mkdir "$PLAIN/posix"
"$BUILD/tests/posix_suite" -o "$PLAIN/posix" > "$T/oracle" || { cat "$T/oracle" >&2; fail "cases that the machine's own file system contradicts"; }
fs_start "${options[@]}"
"$BUILD/tests/posix_suite" "$MNT" || fail "posix_suite"
fs_stop
