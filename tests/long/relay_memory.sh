#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# The relay's memory stays as it is over a million requests of all kinds: by what the kernel says, and by what valgrind finds on
# the heap, which also finds nothing lost. Each is looked at ten times at equal distances: from the fourth on, when its caches are
# as large as they get, the line is level. REQUESTS and VALGRIND_REQUESTS set how many; a million under valgrind take a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lib/world.sh
R=$BUILD/coffer-relay
T=$(mktemp -d)
PID=
trap '[ -z "$PID" ] || kill -9 $PID 2> /dev/null; rm -rf "$T"' EXIT

start() { # COMMAND...
	"$@" --listen 127.0.0.1:0 --data "$T/data" 2> "$T/log" &
	PID=$!
	await 60 grep -q 'listening on' "$T/log" || fail "no relay: $(cat "$T/log")"
	PORT=$(sed -n 's/.*listening on [^ ]*:\([0-9]*\) for.*/\1/p' "$T/log")
}

stop() {
	local rc=0
	kill -TERM $PID
	wait $PID || rc=$?
	PID=
	[ $rc = 0 ] || fail "exit $rc: $(cat "$T/log")"
}

# The lines of $1 are requests and bytes; from the fourth on none differs by more than $2 bytes from another.
level() {
	awk -v most="$2" 'NR >= 4 { if (NR == 4 || $2 < low) low = $2; if ($2 > high) high = $2; n++; x += $1; y += $2; xx += $1 * $1; xy += $1 * $2 }
		END {
			printf "from the fourth mark on within %d bytes, %.3f bytes a request\n", high - low, (n * xy - x * y) / (n * xx - x * x)
			exit n < 7 || high - low > most
		}' "$1"
}

# What is anonymous (pages of the database that are mapped are the kernel's), less the database, whose pages the writer keeps: in a
# million requests some hundred rows are left in it. 256 KiB: the allocator's arenas are not one heap.
start "$R"
"$BUILD/tests/relay_requests" "$PORT" "${REQUESTS:-1000000}" 10 \
	"echo \$((\$(awk '/^RssAnon/ { print \$2 }' /proc/$PID/status) * 1024 - \$(stat -c %s $T/data/relay.db)))" | tee "$T/resident"
level "$T/resident" 262144 || fail "it grew"
stop

# Under valgrind: no error, nothing lost, and what the heap holds stays the same. The database's cache is small, as else pages of
# what the requests leave in it come to the heap.
rm -rf "$T/data"
export COFFER_RELAY_STORAGE_CACHE_KIB=64
start valgrind --vgdb=yes --vgdb-prefix="$T/pipe" --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --suppressions=tests/lib/valgrind.supp "$R"
in_use="vgdb --vgdb-prefix=$T/pipe --pid=$PID leak_check summary any 2>> $T/vgdb | tee -a $T/vgdb |
	awk '/(definitely|indirectly|possibly) lost:|still reachable:/ { gsub(\",\", \"\"); for (i = 1; i < NF; i++) if (\$i ~ /:\$/) n += \$(i + 1) } END { print n }'"
"$BUILD/tests/relay_requests" "$PORT" "${VALGRIND_REQUESTS:-1000000}" 10 "$in_use" | tee "$T/heap"
level "$T/heap" 32768 || fail "it grew: $(cat "$T/vgdb")"
stop
grep -q 'ERROR SUMMARY: 0 errors' "$T/log" || fail "$(grep '^==' "$T/log")"
grep -E -q 'All heap blocks were freed|definitely lost: 0 bytes' "$T/log" || fail "$(grep '^==' "$T/log")"
