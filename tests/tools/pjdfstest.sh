#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs pjdfstest, which was built elsewhere, over a mount with allow_other, suid and dev (docs/TESTING.md). Root only.
#
#	tests/tools/pjdfstest.sh DIR [file or folder of its tests ...]       # default: all
DIR=$(realpath "$1")
shift
. "$(dirname "$0")/../lib/fs.sh"
chmod 755 "$T"
fs_start allow_other suid dev
(cd "$MNT" && prove -r "${@:-$DIR/tests}") | grep -v '\.\. ok$'
rc=${PIPESTATUS[0]}
fs_stop
exit "$rc"
