#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# A folder that is pinned on one device is there whole when the relay is away: what was in it, what was changed, added or moved there
# on another device since, also while this one was off. `wait` waits for it. What is not pinned comes when it is read.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

fill() { # FILE MIB: large enough that the content does not travel with the record
	dd if=/dev/urandom of="$1" bs=1M count="$2" iflag=fullblock status=none
}
same() { # FILE...: read on the desktop without the relay
	for f in "$@"; do
		timeout 20 cmp "$mine/$f" "$theirs/$f" || fail "$f is not all at the desktop"
	done
}
state() { getfattr --only-values -n user.coffer.state "$theirs/$1"; }
pinned() { getfattr --only-values -n user.coffer.pinned "$theirs/$1"; }

new_person alice
coffer alice space create Work
mine=$W/alice.mnt/Work theirs=$W/desktop.mnt/Work
mkdir -p "$mine/keep/deep" "$mine/other"
fill "$mine/keep/old" 3
fill "$mine/keep/deep/changed" 2
fill "$mine/other/away" 2
fill "$mine/other/moved" 2
coffer alice wait --timeout 60s
new_device desktop alice
coffer desktop wait --timeout 60s
[ "$(state keep/old)" = remote-only ] || fail "content came before anybody asked: $(state keep/old)"
coffer desktop pin "$theirs/keep"
coffer desktop wait --timeout 60s
[ "$(state keep/old) $(state other/away)" = 'synced remote-only' ] || fail "wait did not wait for what is pinned"

# Changed, added deep down, and moved there from where it is not pinned.
fill "$mine/keep/deep/changed" 3
mkdir "$mine/keep/deep/new"
fill "$mine/keep/deep/new/added" 2
mv "$mine/other/moved" "$mine/keep/moved"
coffer alice wait --timeout 60s
coffer desktop wait --timeout 60s
relay_stop
same keep/old keep/deep/changed keep/deep/new/added keep/moved
[ "$(pinned keep/deep/new/added) $(pinned other/away)" = '1 0' ] || fail "the wrong things are pinned"
[ "$(state other/away)" = remote-only ] || fail "what is not pinned was fetched"
setfattr -n user.coffer.pinned -v 1 "$theirs/other"
[ "$(pinned other)" = 1 ] || fail "setfattr pins nothing"
setfattr -x user.coffer.pinned "$theirs/other"
[ "$(pinned other)" = 0 ] || fail "it is pinned after setfattr -x"

# While the desktop is off; and nobody waits for it then.
pid=$(agent_pid desktop)
coffer desktop umount --now "$W/desktop.mnt"
coffer desktop stop
await 10 gone "$pid" || fail "the agent did not end"
relay_start
fill "$mine/keep/late" 4
coffer alice wait --timeout 60s
mount_of desktop
await 30 test -e "$theirs/keep/late" || fail "late did not arrive"
arrived() { [ "$(state "$1")" = synced ]; }
await 30 arrived keep/late || fail "late was not fetched after the restart: $(coffer desktop status --json)"
coffer desktop status --json | grep -q '"absent_bytes": 0' || fail "status still counts: $(coffer desktop status --json)"

# Taken out again: dropped, and not fetched once more.
coffer desktop evict "$theirs/keep/deep"
fill "$mine/keep/deep/new/more" 2
fill "$mine/keep/last" 2
coffer alice wait --timeout 60s
coffer desktop wait --timeout 60s
[ "$(state keep/deep/changed) $(state keep/deep/new/more) $(state keep/last)" = 'remote-only remote-only synced' ] ||
	fail "evicting a part: $(state keep/deep/changed) $(state keep/deep/new/more) $(state keep/last)"
relay_stop
same keep/old keep/moved keep/late keep/last
