#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# Two relays on one PostgreSQL, killed about once a second under a million pushes (PUSHES=n): no cursor is lost or given twice, and
# who listens hears of every one.
set -euo pipefail
exec "$(dirname "$0")/../lib/postgres.sh" "$BUILD/tests/two_relays" "${PUSHES:-1000000}" ${SEED:+"$SEED"}
