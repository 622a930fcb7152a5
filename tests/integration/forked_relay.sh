#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# A relay that shows two devices different histories, and then one of them the other's: it is said, nothing that was written is lost, and
# the device that noticed neither sends nor fetches any more, also after a restart.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

leave() { # the device is off line and its agent ended
	local pid
	pid=$(agent_pid "$1" 2>/dev/null) || fail "no agent of $1"
	coffer "$1" umount --now "$W/$1.mnt"
	coffer "$1" stop
	await 10 gone "$pid" || fail "the agent of $1 did not end"
}

new_person alice
coffer alice space create Work
echo both > "$W/alice.mnt/Work/both"
coffer alice wait --timeout 60s
new_device desktop alice
await 20 test -e "$W/desktop.mnt/Work/both" || fail "the space did not arrive"
coffer desktop wait --timeout 60s
leave desktop
relay_stop
cp -a "$W/relay" "$W/other"
relay_start

# One history, for alice.
echo one > "$W/alice.mnt/Work/of-alice"
coffer alice wait --timeout 60s
leave alice
relay_stop
rm -rf "$W/relay"
mv "$W/other" "$W/relay"
relay_start

# Another of the same length and more, for the desktop.
mount_of desktop
for i in 1 2 3 4; do
	echo $i > "$W/desktop.mnt/Work/of-desktop$i"
	coffer desktop wait --timeout 60s
done

# Now alice is shown that one.
mount_of alice
forked() { coffer alice status --json | grep -q '"alarm_name": "FORK"'; }
await 30 forked || fail "alice says nothing: $(coffer alice status --json)"
coffer alice status | grep -q 'coffer space create' || fail "no next step is named: $(coffer alice status)"
grep -q one "$W/alice.mnt/Work/of-alice" || fail "alice lost her file"
grep -q both "$W/alice.mnt/Work/both" || fail "alice lost the old file"
grep -q 4 "$W/desktop.mnt/Work/of-desktop4" || fail "the desktop lost its file"

# The desktop is what tells the time: it has all that the relay has after each wait.
nothing_moves() { # ROUND
	echo kept > "$W/alice.mnt/Work/after-fork$1" || fail "alice may not write to her own disk"
	! coffer alice wait --timeout 20s 2> "$W/err" || fail "alice calls it synced"
	for i in 1 2 3; do
		echo "$i" > "$W/desktop.mnt/Work/later$1-$i"
		coffer desktop wait --timeout 60s
	done
	! test -e "$W/desktop.mnt/Work/after-fork$1" || fail "alice sent a file to a relay that forked (round $1)"
	! test -e "$W/alice.mnt/Work/later$1-1" || fail "alice fetched from a relay that forked (round $1)"
	grep -q kept "$W/alice.mnt/Work/after-fork$1" || fail "alice lost what she wrote after it (round $1)"
}
nothing_moves 1
leave alice
mount_of alice
await 30 forked || fail "alice forgot the fork over a restart: $(coffer alice status --json)"
nothing_moves 2
relay_stop
relay_start
nothing_moves 3
forked || fail "alice forgot the fork with a new connection"
