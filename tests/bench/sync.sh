#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Two devices over loopback, Coffer and (if it is installed) Syncthing in turns, medians of the rounds:
#
#	tests/bench/sync.sh [-n ROUNDS] [-o "edit tree file"] [TREE.tar [DIR]]
#
# tree: from the start of untar to the last file at the second device, and until all of it was read there and compared; file: the same of
# 512 MiB of random bytes; edit: from a write of 16 bytes until they are read at the other. Without TREE.tar a tree of 10,000 files
# is made. -cpu: seconds of processor time of all of the peer's processes, which a busy machine changes less. DIR: where everything lies, best on a tmpfs. Rows: name, Coffer, Syncthing, ratio, separated by tabs. KEEP_ROWS=FILE keeps all.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
rounds=3 rows="tree file"
while getopts n:o:r: o; do
	case $o in
	n) rounds=$OPTARG ;;
	o) rows=$OPTARG ;;
	r) round=$OPTARG ;; # internal: one round of Coffer, with the file to copy
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
now() { date +%s%N; }
cpu() { # ns that $pids have taken
	local p
	for p in $pids; do cat "/proc/$p/stat"; done | sed 's/.*) //' | awk '{ n += $12 + $13 } END { printf "%d", n * 1e7 }'
}
row() { awk -v n="$1" -v a="$2" -v b="$3" 'BEGIN { printf "coffer\t%s\t%.3f\n", n, (b - a) / 1e9 }'; }

coffer_round() { # TREE.tar DIR FILE
	. "$here/../lib/world.sh"
	need_fuse
	world_start "$2"
	local a=$W/alice.mnt/Work b=$W/desktop.mnt/Work t c
	new_person alice
	coffer alice space create Work
	new_device desktop alice
	await 20 test -d "$b" || fail "the space did not arrive"
	pids="$(agent_pid alice) $(syncd_pid alice) $(agent_pid desktop) $(syncd_pid desktop) $RELAY_PID"
	arrived() { coffer alice wait --timeout 600s && coffer desktop wait --timeout 600s; }
	if [[ $rows == *edit* ]]; then
		echo start > "$a/edited"
		await 20 grep -q start "$b/edited" || fail "no start"
		python3 "$here/edits.py" "$a/edited" "$b/edited" 20 | sed 's/^/coffer\t/'
	fi
	if [[ $rows == *tree* ]]; then
		t=$(now) c=$(cpu)
		tar -C "$a" -xf "$1"
		row untar "$t" "$(now)"
		arrived
		row tree-arrived "$t" "$(now)"
		diff -r "$a" "$b" || fail "the trees differ"
		row tree-compared "$t" "$(now)"
		row tree-cpu "$c" "$(cpu)"
	fi
	if [[ $rows == *file* ]]; then
		t=$(now) c=$(cpu)
		cp "$3" "$a/big"
		row file-copied "$t" "$(now)"
		arrived
		row file-arrived "$t" "$(now)"
		cmp "$3" "$b/big" || fail "the file differs"
		row file-compared "$t" "$(now)"
		row file-cpu "$c" "$(cpu)"
	fi
	coffer alice status > /dev/null
}

if [ -n "${round:-}" ]; then
	coffer_round "$1" "$2" "$round"
	exit 0
fi

base=$(mktemp -d ${2:+-p "$2"})
trap 'rm -rf "$base"' EXIT
trap 'exit 130' INT TERM HUP
tar=$(realpath "${1:-$base/tree.tar}")
if [ -z "${1:-}" ]; then
	python3 - "$base/tree" <<-'PY'
	import os, random, sys
	r = random.Random(1)
	for i in range(10000):
	    d = f"{sys.argv[1]}/{i % 40}/{i % 13}"
	    os.makedirs(d, exist_ok=True)
	    words = " ".join(str(r.getrandbits(20)) for _ in range(int(r.lognormvariate(6, 1.3))))
	    open(f"{d}/f{i}", "w").write(words)
	PY
	tar -C "$base" -cf "$tar" tree
	rm -rf "$base/tree"
fi
head -c 512M /dev/urandom > "$base/file"
for i in $(seq "$rounds"); do
	mkdir "$base/coffer" "$base/syncthing"
	"$0" -o "$rows" -r "$base/file" "$tar" "$base/coffer" >> "$base/rows"
	if command -v syncthing > /dev/null; then
		python3 "$here/syncthing_round.py" "$rows" "$tar" "$base/syncthing" "$base/file" >> "$base/rows"
	fi
	rm -rf "$base/coffer" "$base/syncthing"
done
[ -z "${KEEP_ROWS:-}" ] || cp "$base/rows" "$KEEP_ROWS"
python3 - "$base/rows" "$rounds" <<'PY'
import statistics, sys
values = {}
for line in open(sys.argv[1]):
    who, name, value = line.rstrip("\n").split("\t")
    values.setdefault(name, {}).setdefault(who, []).append(float(value))
print(f"row\tcoffer-s\tsyncthing-s\tratio\tmedians of {sys.argv[2]}")
for name, of in values.items():
    m = {who: statistics.median(v) for who, v in of.items()}
    c, s = m.get("coffer"), m.get("syncthing")
    cells = ["-" if x is None else f"{x:.3f}" for x in (c, s)]
    print(name, *cells, f"{s / c:.2f}" if c and s else "-", sep="\t")
PY
