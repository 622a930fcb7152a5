#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# kill -9 of each program a few times during a copy (tests/long has 50 rounds of each), and SIGSTOP of coffer-syncd.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
. "$(dirname "$0")/../lib/kill_rounds.sh"
need_fuse
kill_world 400
for what in fs syncd relay; do
	rm -rf "$W"/alice.mnt/Work/*
	kill_rounds $what 4
done

# A stopped coffer-syncd: the mount goes on.
pid=$(syncd_pid alice)
kill -STOP "$pid"
timeout 20 bash -c "cp -r '$W/source/d1' '$W/alice.mnt/Work/stopped' && ls -lR '$W/alice.mnt/Work' > /dev/null && rm -r '$W/alice.mnt/Work/d2'" ||
	fail "the mount hangs with coffer-syncd stopped"
kill -CONT "$pid"
coffer alice wait --timeout 60s
coffer desktop wait --timeout 60s
diff -r "$W/alice.mnt/Work" "$W/desktop.mnt/Work" || fail "the trees differ after coffer-syncd went on"
