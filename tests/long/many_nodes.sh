#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# A space of a million nodes (NODES): how long the mount takes, `ls` of a folder of 1,000, the memory after it and after `find` over everything,
# and how long a start takes after kill -9 amid changes, and when all files were deleted (tombstones). Prints
# the figures and fails where they pass the limits, which TIMES stretches for slow or loaded machines.
set -euo pipefail
. "$(dirname "$0")/../lib/fs.sh"
NODES=${NODES:-1000000}
TIMES=${TIMES:-1}

now_ms() { echo $(($(date +%s%N) / 1000000)); }
memory_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$FS_PID/status"; }

limit() { # NAME VALUE MOST
	echo "many_nodes	$1	$2	at most $3"
	[ "$2" -le "$3" ] || fail "$1: $2, at most $3"
}

timed_start() { # NAME MOST
	local t
	t=$(now_ms)
	fs_start
	limit "$1" $(($(now_ms) - t)) $(($2 * TIMES))
}

"$BUILD/tests/many_nodes" "$T/store" "$NODES"
timed_start mount_ms 2000
t=$(now_ms)
ls "$MNT/d0000001" > "$T/names"
limit ls_ms $(($(now_ms) - t)) $((50 * TIMES))
[ "$(wc -l < "$T/names")" = 1000 ] || fail "ls shows $(wc -l < "$T/names") names"
limit memory_kib "$(memory_kib)" 204800
t=$(now_ms)
[ "$(find "$MNT" | wc -l)" = $((NODES + 1)) ] || fail "find shows other nodes"
echo "many_nodes	find_ms	$(($(now_ms) - t))"
limit memory_after_find_kib "$(memory_kib)" 204800
(while echo x >> "$MNT/d0000007/f0000007" && : > "$MNT/d0000008/new$((RANDOM))"; do :; done) 2> /dev/null &
writer=$!
sleep 5 # so that there is something to replay
fs_kill
wait "$writer" 2> /dev/null || :
timed_start start_after_kill_ms 3000
fs_stop

rm -rf "$T/store" && mkdir "$T/store"
"$BUILD/tests/many_nodes" "$T/store" "$NODES" 1000 deleted
timed_start start_with_tombstones_ms 2000
fs_stop
timed_start second_start_ms 2000
fs_stop
