#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1200
#
# kill -9 of coffer-relay 50 times at random moments during a copy: nothing acknowledged is missing, the devices converge.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
. "$(dirname "$0")/../lib/kill_rounds.sh"
need_fuse
kill_world 3000
kill_rounds relay ${ROUNDS:-50}
