#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Direct writes, several at once, are seen by ordinary reads as soon as they are done; io_uring goes on where it was.
# timeout: 120
. tests/lib/fs.sh

fs_start
"$BUILD/tests/direct_io" "$MNT/file" 2000 || fail "direct_io"
mkdir "$MNT/ring"
rc=0
"$BUILD/tests/ring_write" "$MNT/ring" || rc=$?
[ $rc = 0 ] || [ $rc = 77 ] || fail "ring_write: $rc" # 77: no io_uring here
fs_stop
