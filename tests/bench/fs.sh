#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The file workloads of fs.py on Coffer and, where they are installed, on gocryptfs, securefs, rclone (crypt) and
# passthrough_hp, beside the project's own null file system: all over one tmpfs, in one run, round by round.
#
#	tests/bench/fs.sh [OPTION of fs.py ..]      # default: -n 3 -s 512; root, for cold caches
#
# DIR: where everything lies (default a fresh directory in /dev/shm). PASSTHROUGH_HP: the program, which Debian does
# not package. The relay is stopped while it measures.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
here=$(dirname "$0")
[ "$(id -u)" = 0 ] || echo "fs.sh: without root nothing is cold and the kernel reads ahead less" >&2
world_start "${DIR:-$(mktemp -d /dev/shm/coffer-bench.XXXXXX)}"
[ "$(stat -f -c %T "$W")" = tmpfs ] || echo "fs.sh: $W is no tmpfs: the disk is measured too" >&2
new_person alice
coffer alice space create Bench
relay_stop
targets=("coffer=$W/alice.mnt/Bench:$(agent_pid alice)")

# peer LABEL: its mount, if it came up
peer() {
	await 5 mountpoint -q "$W/$1.mnt" && targets+=("$1=$W/$1.mnt") || echo "fs.sh: $1 does not mount" >&2
}

for p in null gocryptfs securefs rclone passthrough_hp; do
	mkdir "$W/$p.mnt" "$W/$p.store"
done
echo secret > "$W/pw"
"$BUILD/tests/null_fs" "$W/null.mnt" > "$W/null.out" &
WORLD_PIDS="$WORLD_PIDS $!"
peer null
if command -v gocryptfs > /dev/null; then
	gocryptfs -init -q -passfile "$W/pw" "$W/gocryptfs.store" > /dev/null
	gocryptfs -q -passfile "$W/pw" "$W/gocryptfs.store" "$W/gocryptfs.mnt" > /dev/null
	peer gocryptfs
fi
if command -v securefs > /dev/null; then
	securefs create --pass secret "$W/securefs.store" > "$W/securefs.out" 2>&1
	securefs mount -b --pass secret "$W/securefs.store" "$W/securefs.mnt" > "$W/securefs.out" 2>&1
	peer securefs
fi
if command -v rclone > /dev/null; then
	export RCLONE_CONFIG=$W/rclone.conf
	rclone config create p crypt remote="$W/rclone.store" password="$(rclone obscure secret)" > "$W/rclone.out" 2>&1
	rclone mount p: "$W/rclone.mnt" --vfs-cache-mode full --cache-dir "$W/rclone.cache" --daemon > "$W/rclone.out" 2>&1
	peer rclone
fi
hp=${PASSTHROUGH_HP:-$(command -v passthrough_hp || :)}
if [ -n "$hp" ]; then
	"$hp" "$W/passthrough_hp.store" "$W/passthrough_hp.mnt" > "$W/passthrough_hp.out" 2>&1
	peer passthrough_hp
fi
python3 "$here/fs.py" "$@" "${targets[@]}"
