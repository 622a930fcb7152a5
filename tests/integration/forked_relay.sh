#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# A relay that shows two devices different histories, and then one of them the other's: it is said, and nothing that was written is lost.
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
await 30 eval 'coffer alice status --json | grep -q "\"alarm_name\": \"FORK\""' || fail "alice says nothing: $(coffer alice status --json)"
grep -q one "$W/alice.mnt/Work/of-alice" || fail "alice lost her file"
grep -q both "$W/alice.mnt/Work/both" || fail "alice lost the old file"
grep -q 4 "$W/desktop.mnt/Work/of-desktop4" || fail "the desktop lost its file"
