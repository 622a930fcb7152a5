#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# Invites and pairing codes work while no device of the inviter runs; the joiner reads what was there before.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

new_person alice
coffer alice space create Work
echo before > "$W/alice.mnt/Work/before"
coffer alice wait --timeout 60s
code=$(coffer alice invite Work --json | sed 's/.*"code": "\([^"]*\)".*/\1/')
link=$(coffer alice pair --json | sed 's/.*"link": "\([^"]*\)".*/\1/')
coffer alice umount "$W/alice.mnt"
coffer alice stop
await 10 test ! -e "$W/alice/agent.sock" || fail "the agent did not end"

new_person bob
coffer bob join "$code" --relay "$RELAY" --quiet
await 10 grep -q before "$W/bob.mnt/Work/before" || fail "the joiner cannot read"
echo meanwhile > "$W/bob.mnt/Work/meanwhile"
coffer bob wait --timeout 60s

coffer desktop init --pair "$link" --name desktop --no-passphrase --quiet
mount_of desktop
await 20 grep -q meanwhile "$W/desktop.mnt/Work/meanwhile" || fail "the paired device cannot read"
echo paired > "$W/desktop.mnt/Work/paired"

mount_of alice
await 20 grep -q meanwhile "$W/alice.mnt/Work/meanwhile" || fail "the inviter missed it"
await 20 grep -q paired "$W/alice.mnt/Work/paired" || fail "the inviter missed the new device's file"
