#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Direct writes, several at once, are seen by ordinary reads as soon as they are done.
# timeout: 120
. tests/lib/fs.sh

fs_start
"$BUILD/tests/direct_io" "$MNT/file" 2000 || fail "direct_io"
fs_stop
