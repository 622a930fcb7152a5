#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random operations on one file, compared with a plain file: small and large files, two at a time.
# timeout: 120
. tests/lib/fs.sh

fs_start
start=${SEED:-$(date +%s)}
for seed in 1 2 3 "$start"; do
	echo "seed $seed"
	"$BUILD/tests/fsx" "$MNT/small$seed" "$PLAIN/small" "$seed" 4000 65536 &
	small=$!
	"$BUILD/tests/fsx" "$MNT/large$seed" "$PLAIN/large" "$seed" 1000 4194304 || fail "large file, seed $seed"
	wait $small || fail "small file, seed $seed"
done
sum=$(cat "$MNT"/small* "$MNT"/large* | sha256sum)
fs_stop
fs_start
[ "$(cat "$MNT"/small* "$MNT"/large* | sha256sum)" = "$sum" ] || fail "other content after a restart"
fs_stop
