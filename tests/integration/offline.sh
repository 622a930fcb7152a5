#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# Off line: the mount works as before, wait and umount say what is left, edits on both sides meet, nothing is lost.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

new_person alice
coffer alice space create Work
echo base > "$W/alice.mnt/Work/shared"
coffer alice wait --timeout 60s
new_device desktop alice
await 20 test -e "$W/desktop.mnt/Work/shared" || fail "no start"
coffer desktop wait --timeout 60s

relay_stop KILL
mkdir "$W/alice.mnt/Work/dir"
echo alice > "$W/alice.mnt/Work/dir/alice"
echo "changed by alice" > "$W/alice.mnt/Work/shared"
echo desktop > "$W/desktop.mnt/Work/desktop"
echo "changed by the desktop" > "$W/desktop.mnt/Work/shared"
mkdir "$W/alice.mnt/New"            # a space made off line
echo new > "$W/alice.mnt/New/file"
rc=0
coffer alice wait --timeout 2s 2> "$W/err" || rc=$?
[ $rc = 75 ] || fail "wait gave $rc while the relay is away"
rc=0
coffer alice umount "$W/alice.mnt" --timeout 1 2> "$W/err" || rc=$?
[ $rc = 75 ] || fail "umount gave $rc with unsent changes"
mountpoint -q "$W/alice.mnt" || fail "umount that was refused unmounted"
coffer alice status > "$W/status"
grep -qi offline "$W/status" || fail "status does not say offline: $(cat "$W/status")"
since() {
	coffer alice --json status | jq -r '.spaces[] | select(.name == "Work").since'
}
first=$(since)
coffer alice wait --timeout 2s 2> /dev/null || true # makes it try again
[ "$(since)" = "$first" ] || fail "off line since the last try, not since the first"

relay_start
for who in alice desktop alice desktop; do
	coffer $who wait --timeout 60s
done
diff -r "$W/alice.mnt/Work" "$W/desktop.mnt/Work" || fail "the two devices differ"
cat "$W"/alice.mnt/Work/shared* | sort > "$W/both"
grep -q "changed by alice" "$W/both" || fail "alice's edit is lost"
grep -q "changed by the desktop" "$W/both" || fail "the desktop's edit is lost"
[ "$(ls "$W/alice.mnt/Work" | grep -c '^shared')" = 2 ] || fail "not two copies: $(ls "$W/alice.mnt/Work")"
await 20 grep -q new "$W/desktop.mnt/New/file" || fail "the space made off line did not arrive"
