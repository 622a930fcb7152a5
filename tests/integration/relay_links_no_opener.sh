#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The relay cannot open content: nothing of crypto/open_* nor of what seals is linked into it.
set -eu
map=$BUILD/coffer-relay.map
[ -s "$map" ] || { echo "no link map of the relay"; exit 1; }

# The check sees what it looks for: something of crypto/ is linked.
grep -q 'libcrypto\.a(verify\.o)' "$map" || { echo "the map does not name crypto/verify"; exit 1; }

if grep -oE 'libcrypto\.a\((open|seal|xchacha|keyfile|identity)[a-z_]*\.o\)' "$map" | sort -u | grep .; then
	echo "the relay links the above"
	exit 1
fi
