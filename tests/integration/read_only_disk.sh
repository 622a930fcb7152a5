#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
#
# The disk of a profile became read-only while its agent was killed: everything that was written can be read from it, nothing can be
# changed, and status says why and what to do. Nobody else reaches the agent, which listens outside of the profile then. Writable again, all
# goes on.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
[ "$(id -u)" = 0 ] || { echo "needs root: it mounts a tmpfs"; exit 77; }

same() { diff -r "$W/kept" "$W/alice.mnt/Work" > "$W/diff" 2>&1 || fail "what was written is not there: $(head -3 "$W/diff")"; }

read_only() { # COMMAND... is EROFS
	! "$@" 2> "$W/err" || fail "it can be changed: $*"
	grep -q "Read-only file system" "$W/err" || fail "$* says: $(cat "$W/err")"
}

world_start
mkdir "$W/alice" "$W/kept"
mount -t tmpfs -o size=200m coffer-test "$W/alice" || { echo "needs the right to mount tmpfs"; exit 77; }
new_person alice
coffer alice space create Work
m=$W/alice.mnt/Work
mkdir "$W/kept/dir"
for i in $(seq 200); do
	head -c $((i * 300)) /dev/urandom > "$W/kept/dir/f$i"
done
cp -r "$W/kept/dir" "$m/"
coffer alice wait
# Nobody else has this, and the index not all of it.
relay_stop
head -c 20000000 /dev/urandom > "$W/kept/large"
cp "$W/kept/large" "$m/"
mv "$m/dir/f7" "$m/moved" && mv "$W/kept/dir/f7" "$W/kept/moved"
rm "$m/dir/f8" "$W/kept/dir/f8"
ln -s moved "$m/link" && ln -s moved "$W/kept/link"
setfattr -n user.colour -v green "$m/moved"
echo last | tee "$m/last" > "$W/kept/last"
agent=$(agent_pid alice)
kill -9 "$agent"
await 10 gone "$agent" || fail "the agent does not end"
await 10 mount -o remount,ro "$W/alice" || fail "the disk cannot be made read-only" # its other processes end by themselves
sums=$(cd "$W/alice" && find . -type f -print0 | sort -z | xargs -0 sha256sum)

mount_of alice || fail "no mount from a read-only disk"
same
[ "$(getfattr --absolute-names --only-values -n user.colour "$m/moved")" = green ] || fail "an attribute is not there"
read_only touch "$m/new"
read_only rm "$m/last"
read_only bash -c "echo x >> '$m/last'"
mount -i -o remount,rw "$W/alice.mnt" # of the mount alone: the disk is what it was
read_only touch "$m/new"
read_only bash -c "echo x >> '$m/last'"
read_only setfattr -n user.colour -v red "$m/moved"
python3 -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDONLY))' "$m/last" || fail "fsync of what cannot change"
coffer alice status > "$W/status"
grep -q "READ-ONLY: the disk of the profile is read-only: .*copy out" "$W/status" || fail "status says: $(cat "$W/status")"
coffer alice status --json | grep -q '"disk_read_only": true' || fail "status --json does not tell"
refused 74 "sent or fetched: the disk of the profile cannot be written to" coffer alice wait
refused 74 "the disk of the profile cannot be written to" coffer alice space create Other
coffer alice verify > "$W/out" || fail "verify says: $(cat "$W/out")"
same

# The address of the agent has no mode, so others may connect; it does not listen to them.
# shellcheck disable=SC2046
address=coffer-agent/$(printf '%x/%x' $(stat -c '%d %i' "$W/alice"))
grep -q "@$address\$" /proc/net/unix || fail "the agent does not listen at $address"
python3 - "$address" <<'P' || fail "the agent answers to another user"
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect("\0" + sys.argv[1])
s.settimeout(5)
sys.exit(s.recv(100) != b"")
P
coffer alice umount "$W/alice.mnt" || fail "it cannot be unmounted"
agent=$(agent_pid alice)
coffer alice stop
await 10 gone "$agent" || fail "the agent does not stop"
[ "$sums" = "$(cd "$W/alice" && find . -type f -print0 | sort -z | xargs -0 sha256sum)" ] || fail "the disk was changed"

# Another user took the address: coffer says nothing to it.
python3 - "$address" <<'P' &
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.bind("\0" + sys.argv[1])
s.listen()
while s.accept()[0].recv(100) == b"":
    pass
P
thief=$!
WORLD_PIDS="$WORLD_PIDS $thief"
await 10 grep -q "@$address" /proc/net/unix
refused 69 "control socket cannot be opened" coffer alice status
! gone $thief || fail "coffer spoke to another user's program"
kill $thief
await 10 gone $thief || fail "it does not end"

mount -o remount,rw "$W/alice"
relay_start
mount_of alice || fail "no mount once it is writable again"
same
echo more | tee "$m/more" > "$W/kept/more"
coffer alice wait --timeout 30s || fail "not in step once it is writable again"
! coffer alice status | grep -q READ-ONLY || fail "status still says: $(coffer alice status)"
new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not reach the second device"
coffer desktop wait --timeout 30s
diff -r "$W/kept" "$W/desktop.mnt/Work" || fail "the second device has something else"
