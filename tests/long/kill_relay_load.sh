#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1800
#
# kill -9 of coffer-relay 200 times each with pushes, log entries and chunks of a Coffer space and with pushes, membership entries,
# turns of the key and files of a plain one under way: what was acknowledged is there, nothing twice. DATABASE=postgres: two
# relays on one PostgreSQL instead of one on SQLite.
set -euo pipefail
cd "$(dirname "$0")/../.."
export ROUNDS=${ROUNDS:-200}
for test in test_relay_killed test_plain_killed; do
	if [ "${DATABASE:-sqlite}" = postgres ]; then
		tests/lib/postgres.sh "$BUILD/tests/$test"
	else
		"$BUILD/tests/$test"
	fi
done
