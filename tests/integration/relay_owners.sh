#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# A relay that is not open to all: who brings the set-up code owns it, guests come in by a code of theirs, nobody else does; who is
# invited to a space needs none of that.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
export COFFER_RELAY_AUTH_SELF_ISSUED=invited
world_start

code=$(sed -n 's/.*--setup \([0-9a-f-]*\)$/\1/p' "$W/relay.log")
[ -n "$code" ] || fail "no set-up code: $(cat "$W/relay.log")"
init() { coffer "$1" init --relay "$RELAY" --no-passphrase --quiet "${@:2}" > /dev/null; }

refused 77 "let in" init mallory
refused 77 "wrong, used up or expired" init mallory --setup 0000-0000-0000-0000-0000
[ ! -e "$W/mallory/key" ] || fail "a refused init left a profile"
init alice --setup "$code" || fail "the set-up code was not taken"
coffer alice space create Work || fail "the owner makes no spaces"
refused 77 "wrong, used up or expired" init mallory --setup "$code"

# The relay knows its owner after a restart, and says no code any more.
relay_stop
: > "$W/relay.log"
relay_start
! grep -q -- --setup "$W/relay.log" || fail "a set-up code for a relay that has an owner"
coffer alice space create More || fail "the owner is forgotten"

# A guest's code, given out beside the running relay, is good once.
guest=$("$BUILD/coffer-relay" --data "$W/relay" invite 24)
init bob --setup "$guest" || fail "the guest is not let in"
coffer bob space create Own || fail "the guest makes no spaces"
refused 77 "wrong, used up or expired" init mallory --setup "$guest"
refused 64 "number of hours" "$BUILD/coffer-relay" --data "$W/relay" invite soon
COFFER_RELAY_AUTH_SELF_ISSUED=owners refused 78 "no guests" "$BUILD/coffer-relay" --data "$W/relay" invite
