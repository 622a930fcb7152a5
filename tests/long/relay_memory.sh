#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# The relay's memory stays as it is over a million requests of all kinds, and valgrind finds nothing lost after a hundred thousand.
# REQUESTS and VALGRIND_REQUESTS set how many.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lib/world.sh
R=$BUILD/coffer-relay
T=$(mktemp -d)
PID=
trap '[ -z "$PID" ] || kill -9 $PID 2> /dev/null; rm -rf "$T"' EXIT
PARTS=10

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

memory() { awk '/^RssAnon/ { print $2 }' /proc/$PID/status; } # KiB; pages of the database that are mapped are the kernel's

n=${REQUESTS:-1000000}
start "$R"
for ((i = 1; i <= PARTS; i++)); do
	"$BUILD/tests/relay_requests" "$PORT" $((n / PARTS))
	now=$(memory)
	echo "$((n / PARTS * i)) requests: $now KiB"
	[ $i != 3 ] || warm=$now # by then its caches are as large as they get
done
[ "$now" -le $((warm + 16384)) ] || fail "it grew from $warm to $now KiB"
stop

# Under valgrind: no error, nothing lost, and what the heap holds at the end is what it held in the middle, but for pages that the
# database keeps of what was stored between.
in_use() { # bytes
	vgdb --vgdb-prefix="$T/pipe" --pid=$PID leak_check summary any 2>> "$T/vgdb" | tee -a "$T/vgdb" |
		awk '/(definitely|indirectly|possibly) lost:|still reachable:/ { gsub(",", "", $0); n += $4 } END { print n }'
}

rm -rf "$T/data"
n=${VALGRIND_REQUESTS:-100000}
start valgrind --vgdb=yes --vgdb-prefix="$T/pipe" --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --suppressions=tests/lib/valgrind.supp "$R"
"$BUILD/tests/relay_requests" "$PORT" $((n / 2))
middle=$(in_use)
"$BUILD/tests/relay_requests" "$PORT" $((n / 2))
end=$(in_use)
echo "$n requests under valgrind: the heap holds $middle bytes in the middle, $end at the end"
[ "${middle:-0}" -gt 0 ] && [ "$end" -le $((middle + 262144 + n / 2)) ] || fail "it grew from $middle to $end bytes: $(cat "$T/vgdb")"
stop
grep -q 'ERROR SUMMARY: 0 errors' "$T/log" || fail "$(grep '^==' "$T/log")"
