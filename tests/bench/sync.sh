#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Two devices of one person over loopback: the time until a source tree (TREE.tar) and a file of 512 MiB are the same on the second.
#
#	tests/bench/sync.sh TREE.tar [DIR]      # DIR: where stores lie, best on a tmpfs
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
[ -n "${1:-}" ] || { echo "usage: sync.sh TREE.tar [DIR]" >&2; exit 64; }
tar=$(realpath "$1")
world_start "${2:-}"
now() { date +%s%N; }
span() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", (b - a) / 1e9 }'; }

new_person alice
coffer alice space create Work
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not arrive"
coffer desktop pin "$W/desktop.mnt/Work"

t0=$(now)
tar -C "$W/alice.mnt/Work" -xf "$tar"
t1=$(now)
coffer alice wait --timeout 600s
coffer desktop wait --timeout 600s
t2=$(now)
echo "tree-s total $(span "$t0" "$t2") untar $(span "$t0" "$t1") after-untar $(span "$t1" "$t2") files $(find "$W/desktop.mnt/Work" -type f | wc -l)"
diff -r "$W/alice.mnt/Work" "$W/desktop.mnt/Work" || fail "the trees differ"

head -c 512M /dev/urandom > "$W/random"
t0=$(now)
cp "$W/random" "$W/alice.mnt/Work/big"
t1=$(now)
coffer alice wait --timeout 600s
coffer desktop wait --timeout 600s
t2=$(now)
cmp "$W/random" "$W/desktop.mnt/Work/big" || fail "the file differs"
t3=$(now)
echo "file-512MiB-s copied $(span "$t0" "$t1") at-relay-and-known $(span "$t0" "$t2") read-and-compared $(span "$t0" "$t3")"
