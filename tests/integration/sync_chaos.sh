#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
#
# Two devices of one person and a second person change the same few names at random, on line and off, with processes killed in between.
# Afterwards all three show the same tree, and nothing is lost that nobody overwrote or removed. SEEDS and STEPS make it longer.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start
new_person alice
coffer alice space create S
new_device desktop alice
new_person bob
share S alice bob
await 20 test -d "$W/desktop.mnt/S" || fail "the space did not arrive at the desktop"
await 20 test -d "$W/bob.mnt/S" || fail "the space did not arrive at bob's"
who="alice desktop bob"
tools=$(dirname "$0")/../tools

settle() {
	local n p
	for n in 1 2; do
		for p in $who; do
			coffer "$p" wait --timeout 60s || fail "$p is not in step"
		done
	done
}

compare() {
	local p
	for p in desktop bob; do
		diff -r --no-dereference "$W/alice.mnt/S" "$W/$p.mnt/S" > "$W/diff" || { head -20 "$W/diff" >&2; fail "seed $1: alice and $p differ"; }
		for d in alice "$p"; do
			(cd "$W/$d.mnt/S" && find . -printf '%y %m %p\n' | sort) > "$W/list.$d"
		done
		diff "$W/list.alice" "$W/list.$p" >&2 || fail "seed $1: kinds or modes differ"
	done
}

for seed in ${SEEDS:-2 3}; do
	case $((seed % 4)) in
	0) pid=$(syncd_pid alice) && kill -STOP "$pid" ;;
	1) ;;
	2) relay_stop KILL ;;
	3) pid=$(syncd_pid desktop) && kill -STOP "$pid" ;;
	esac
	i=0
	pids=
	for p in $who; do
		i=$((i + 1))
		python3 "$tools/chaos.py" $((seed * 10 + i)) "${STEPS:-60}" "$W/$p.mnt/S" > "$W/tokens.$p" 2> "$W/ops.$p" &
		pids="$pids $!"
	done
	wait $pids
	case $((seed % 4)) in
	0 | 3) kill -CONT "$pid" ;;
	2) relay_start ;;
	esac
	settle
	compare "$seed"
	cat "$W"/tokens.* | awk '$1 == "gone" { print $2 }' | sort -u > "$W/gone"
	cat "$W"/tokens.* | awk '$1 == "kept" { print $2 }' | sort -u | comm -23 - "$W/gone" > "$W/kept"
	find "$W/alice.mnt/S" -type f -exec cat {} + | tr -s ' ' '\n' | sort -u > "$W/there"
	comm -23 "$W/kept" "$W/there" > "$W/lost"
	unsure=$(cat "$W"/tokens.* | grep -c '^unsure' || :)
	[ ! -s "$W/lost" ] || [ "$unsure" -gt 0 ] || fail "seed $seed: lost $(tr '\n' ' ' < "$W/lost")"
	echo "seed $seed: $(find "$W/alice.mnt/S" | wc -l) names alike on three devices, $(wc -l < "$W/kept") edits kept, $unsure unsure"
done
