#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# Two relays on one PostgreSQL, each killed 500 times with pushes into the same space under way: no cursor is lost or given twice.
set -euo pipefail
ROUNDS=${ROUNDS:-500} exec "$(dirname "$0")/../lib/postgres.sh" "$BUILD/tests/test_relay_killed"
