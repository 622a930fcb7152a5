#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Processes that work on the same files at once (tests/tools/crowd.c): what must hold of the tree holds, also after kill -9 and a restart.
# timeout: 120
. tests/lib/fs.sh

mkdir "$PLAIN/crowd"
"$BUILD/tests/crowd" "$PLAIN/crowd" 3 100 || fail "the machine's own file system does not stand the test"
listing() {
	(cd "$MNT" && find . -printf '%p %y %m %n %s %T@\n' | sort && cat */log */slots | sha256sum)
}
fs_start
mkdir "$MNT/crowd"
"$BUILD/tests/crowd" "$MNT/crowd" 8 400 || fail "crowd"
listing > "$T/before"
fs_kill
fs_start
listing > "$T/after"
cmp "$T/before" "$T/after" || { diff "$T/before" "$T/after" | head >&2; fail "another tree after a kill"; }
fs_stop
