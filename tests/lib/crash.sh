# SPDX-License-Identifier: Apache-2.0
# Sourced by tests that kill the file system while it is written to: crash_rounds COUNT kills it as often at random moments, each time on
# a new tree, and compares what is there afterwards with what was acknowledged.
. tests/lib/fs.sh

crash_round() { # number seed
	local dir=$MNT/round$1 log=$T/log$1
	mkdir "$dir"
	: > "$log"
	python3 tests/tools/crash_writer.py run "$dir" "$log" "$2" 2> /dev/null &
	local writer=$!
	python3 -c "import random, time; time.sleep(random.Random($2).uniform(0.02, 0.5))" # the moment is the point
	fs_kill
	wait $writer 2> /dev/null || true
	fs_start
	python3 tests/tools/crash_writer.py check "$dir" "$log" "$2" || fail "round $1, seed $2"
	[ "$1" -lt 3 ] || rm -rf "$MNT/round$(($1 - 2))"
}

crash_rounds() {
	local seed=${SEED:-$(date +%s)} i
	fs_start
	for i in $(seq "$1"); do
		crash_round "$i" $((seed + i))
	done
	fs_stop
}
