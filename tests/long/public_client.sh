#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# The protocol's public TypeScript client, unmodified, against the relay. It is not part of this project: give a checkout of
# github.com/BetterbaseHQ/betterbase, with Node and what the client imports in it:
#
#	cd CHECKOUT/js && npm install --no-save cborg@4 tsx ws
#	BETTERBASE=CHECKOUT tests/run long public_client
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}

if [ -z "${BETTERBASE:-}" ] || [ ! -x "$BETTERBASE/js/node_modules/.bin/tsx" ]; then
	echo "no checkout of the public client with tsx in it: set BETTERBASE" >&2
	exit 77
fi
"$BETTERBASE/js/node_modules/.bin/tsx" tests/tools/public_client.mts "$BUILD/coffer-relay" "$BETTERBASE" | tee "${TMPDIR:-/tmp}/public_client.out"
grep -qx "all good" "${TMPDIR:-/tmp}/public_client.out"
