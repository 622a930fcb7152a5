#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone: it includes what it needs. FLAGS are the preprocessor flags of the Makefile.
set -eu
cd "$(dirname "$0")/.."
shopt -s nullglob
export CC=${CC:-cc}
export FLAGS=${FLAGS:--I. -include banned.h -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64}

check() {
	# shellcheck disable=SC2086
	"$CC" -std=gnu11 -Wall -Wextra -Werror $FLAGS -fsyntax-only -x c - <<< "#include \"$1\"" || {
		echo "$1: does not compile alone" >&2
		return 1
	}
}
export -f check

printf '%s\n' {base,wire,crypto,cache,fusefs,syncd,server,cli}/*.h |
	xargs -P "$(nproc)" -I '{}' bash -c 'check {}'
