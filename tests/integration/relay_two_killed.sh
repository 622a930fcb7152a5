#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
#
# Two relays on one PostgreSQL, killed about once a second under pushes: no cursor is lost or given twice. A million of them:
# tests/long/kill_two_relays.sh.
set -euo pipefail
exec "$(dirname "$0")/../lib/postgres.sh" "$BUILD/tests/two_relays" 20000 ${SEED:+"$SEED"}
