# SPDX-License-Identifier: Apache-2.0
# Sourced by the short and the long test of random operations on a mount and on a plain directory (tests/tools/tree_ops.c).
#
#	tree_ops_rounds ROUNDS OPERATIONS    # SEED=n repeats
#
# After each round the file system is killed, stopped or left running in turn; the next one compares both trees first.

. tests/lib/fs.sh

tree_ops_rounds() {
	local start=${SEED:-$(date +%s)} round
	fs_start
	for ((round = 0; round < $1; round++)); do
		"$BUILD/tests/tree_ops" "$MNT" "$PLAIN" $((start + round)) "$2" || fail "round $round, SEED=$start"
		case $((round % 3)) in
		0) fs_kill && fs_start ;;
		1) fs_stop && fs_start ;;
		esac
	done
	"$BUILD/tests/tree_ops" "$MNT" "$PLAIN" "$start" 0 || fail "at the end, SEED=$start"
	echo x >> "$PLAIN/one more"
	! "$BUILD/tests/tree_ops" "$MNT" "$PLAIN" "$start" 0 > /dev/null || fail "tree_ops sees no difference where one is"
	fs_stop
}
