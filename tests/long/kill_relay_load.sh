#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1200
#
# kill -9 of coffer-relay 200 times with pushes, log entries and files under way: what was acknowledged is there, nothing twice.
set -euo pipefail
ROUNDS=${ROUNDS:-200} exec "$BUILD/tests/test_relay_killed"
