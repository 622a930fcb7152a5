#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# Full disks: of the profile, and of the relay. A full disk is ENOSPC at the call and nothing else, what was acknowledged stays, deleting works
# and gives room, and with room everything goes on by itself; also over kill -9 in the middle of it.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
[ "$(id -u)" = 0 ] || { echo "needs root: it mounts small tmpfs"; exit 77; }

fail() { # the profile's log goes with its disk
	tail -n 20 "$W/alice/agent.log" >&2 || :
	coffer alice status >&2 || :
	df -k "$W/alice" >&2
	echo "FAIL: $*" >&2
	exit 1
}

small_disk() { # DIR SIZE
	mkdir -p "$1"
	mount -t tmpfs -o "size=$2" coffer-test "$1" || { echo "needs the right to mount tmpfs"; exit 77; }
}

larger_disk() { mount -o "remount,size=$2" "$1"; }

# Writes files of each of the sizes into DIR until no more fit; copies what was acknowledged to KEPT. Any error but ENOSPC fails, and so
# does an fsync of bytes that were taken before.
fill() { # DIR KEPT TAG SIZE...
	timeout 60 python3 - "$@" <<'P' || fail "filling $1: see above"
import errno, os, sys
dir, kept, tag = sys.argv[1:4]
refused, taken = 0, b""
synced = open(f"{dir}/{tag}-synced", "wb", buffering=0)
for size in map(int, sys.argv[4:]):
    for i in range(1000):
        name, data = f"{tag}-{size}-{i}", os.urandom(size)
        try:
            with open(f"{dir}/{name}", "wb") as f:
                f.write(data)
            synced.write(b"x")
            taken += b"x"
        except OSError as e:
            if e.errno != errno.ENOSPC:
                sys.exit(f"{name}: {e}")
            refused += 1
            if os.path.exists(f"{dir}/{name}"):
                os.unlink(f"{dir}/{name}")
            try:
                os.fsync(synced.fileno())
            except OSError as e:
                sys.exit(f"fsync on a full disk: {e}")
            break
        with open(f"{kept}/{name}", "wb") as f:
            f.write(data)
with open(f"{kept}/{tag}-synced", "wb") as f:
    f.write(taken)
if refused == 0:
    sys.exit("the disk did not become full")
P
}

same() { diff -r "$1" "$2" > "$W/diff" 2>&1 || { head -5 "$W/diff"; fail "$1 and $2 differ"; }; }

writes() { cp "$W/megabyte" "$1/room" && cmp -s "$W/megabyte" "$1/room"; }

# ---- the disk of the profile ----

world_start
small_disk "$W/alice" 48m
mkdir "$W/kept"
head -c 1000000 /dev/urandom > "$W/megabyte"
new_person alice
coffer alice space create Work
m=$W/alice.mnt/Work
fill "$m" "$W/kept" first 1000000 100000 10000 1000 100
same "$W/kept" "$m"
ls "$m" > /dev/null
coffer alice status > /dev/null || fail "no status on a full disk"

# Killed while it is full and somebody keeps writing.
(while :; do head -c 300000 /dev/urandom > "$m/never" || rm -f "$m/never" || break; done) 2> /dev/null &
writer=$!
read -rt 0.3 <> <(:) || :
agent=$(agent_pid alice)
kill -9 "$agent"
await 10 gone "$agent"
{ kill "$writer"; wait "$writer"; } 2> /dev/null || :
mount_of alice || fail "no mount on a full disk after kill -9"
rm -f "$m/never"
same "$W/kept" "$m"

# Deleting works and gives room.
for f in "$W"/kept/first-1000000-*[02468]; do
	rm "$m/$(basename "$f")" "$f" || fail "deleting on a full disk"
done
await 20 writes "$m" || fail "no room after deleting: $(coffer alice status)"
cp "$W/megabyte" "$W/kept/room"
coffer alice wait --timeout 30s || fail "not synced after deleting"
same "$W/kept" "$m"

# Every second small file: what they leave is scattered. And somebody else takes all of the disk.
fill "$m" "$W/kept" second 20000 1000 100
dd if=/dev/zero "of=$W/alice/hog" bs=64k 2> /dev/null || :
for f in "$W"/kept/second-*[13579]; do
	rm "$m/$(basename "$f")" "$f" || fail "deleting while somebody else has the disk"
done
rm "$W/alice/hog"
await 20 writes "$m" || fail "no room after the other went"
coffer alice wait --timeout 30s || fail "not synced after the other went"
same "$W/kept" "$m"

# Full again, stopped, started, enlarged.
fill "$m" "$W/kept" third 100000 1000
coffer alice stop
mount_of alice || fail "no mount on a full disk after stop"
same "$W/kept" "$m"
larger_disk "$W/alice" 200m
await 20 writes "$m" || fail "no room on the larger disk"
cp -r "$W/kept" "$m/more"
cp -r "$W/kept" "$W/more" && mv "$W/more" "$W/kept/more"
coffer alice wait --timeout 60s || fail "not synced on the larger disk"
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not reach the second device"
coffer desktop wait --timeout 60s
same "$W/kept" "$W/desktop.mnt/Work"

# A device whose disk is too small for what it reads: ENOSPC, no hang.
small_disk "$W/tiny" 44m
new_device tiny alice
await 20 test -d "$W/tiny.mnt/Work/more" || fail "the space did not reach the small device: $(coffer tiny status)"
rc=0
timeout 60 cat "$W"/tiny.mnt/Work/*/* "$W"/tiny.mnt/Work/* > /dev/null 2> "$W/err" || rc=$?
[ $rc != 124 ] || fail "reading more than fits hangs"
! grep -v "Is a directory" "$W/err" | grep -qv "No space left" || fail "reading more than fits: $(sort "$W/err" | uniq -c | head -5)"

# ---- the disk of the relay ----

for who in alice desktop tiny; do
	coffer $who stop
done
relay_stop
small_disk "$W/relay2" 8m
rm -rf "$W/relay" && ln -s relay2 "$W/relay"
relay_start
new_person bob
coffer bob space create Work
mkdir "$W/bobs"
for i in $(seq 8); do
	head -c 2000000 /dev/urandom > "$W/bobs/large$i"
	head -c 2000 /dev/urandom > "$W/bobs/small$i"
done
cp "$W"/bobs/* "$W/bob.mnt/Work/"
rc=0
coffer bob wait --timeout 4s 2> "$W/err" || rc=$?
[ $rc = 75 ] || fail "wait gave $rc with a full relay"
[ "$(wc -l < "$W/err")" = 1 ] && grep -q "relay's storage.* is full" "$W/err" || fail "wait says: $(cat "$W/err")"
coffer bob status | grep -q "relay's storage.* is full" || fail "status says: $(coffer bob status)"
rc=0
coffer bob umount "$W/bob.mnt" --timeout 1s 2> "$W/err" || rc=$?
[ $rc = 75 ] && mountpoint -q "$W/bob.mnt" || fail "umount gave $rc with a full relay"
same "$W/bobs" "$W/bob.mnt/Work"
relay_stop KILL
relay_start
agent=$(agent_pid bob)
kill -9 "$agent"
await 10 gone "$agent"
mount_of bob
rc=0
coffer bob wait --timeout 2s 2> "$W/err" || rc=$?
[ $rc = 75 ] || fail "wait gave $rc after kill -9 with a full relay"
larger_disk "$W/relay2" 100m
coffer bob wait --timeout 60s || fail "it does not go on by itself"
! coffer bob status | grep -q ALARM || fail "the alarm stays: $(coffer bob status)"
new_device bob2 bob
coffer bob2 wait --timeout 60s
await 20 test -d "$W/bob2.mnt/Work" || fail "the space did not reach the second device"
coffer bob2 wait --timeout 60s
same "$W/bobs" "$W/bob2.mnt/Work"
