#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# The main way: a person, a second device by code, a second person by code; all see the same tree, all write.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

same() { diff -r --no-dereference "$1" "$2" > "$W/diff" 2>&1; }

new_person alice
coffer alice space create Work
mkdir -p "$W/alice.mnt/Work/a/b/c"
echo one > "$W/alice.mnt/Work/a/one"
head -c 300000 /dev/urandom > "$W/alice.mnt/Work/a/b/medium"
head -c 3000000 /dev/urandom > "$W/alice.mnt/Work/a/b/c/large"
ln -s ../one "$W/alice.mnt/Work/a/b/link"
ln "$W/alice.mnt/Work/a/one" "$W/alice.mnt/Work/hard"
: > "$W/alice.mnt/Work/empty"
coffer alice wait --timeout 60s

new_device desktop alice
await 20 test -d "$W/desktop.mnt/Work" || fail "the space did not reach the second device"
coffer desktop wait --timeout 60s
same "$W/alice.mnt/Work" "$W/desktop.mnt/Work" || { cat "$W/diff"; fail "the second device differs"; }
[ "$(stat -c %h "$W/desktop.mnt/Work/hard")" = 2 ] || fail "the hard link is not one"

new_person bob
share Work alice bob
coffer bob wait --timeout 60s
same "$W/alice.mnt/Work" "$W/bob.mnt/Work" || { cat "$W/diff"; fail "the second person differs"; }

# Everybody writes, everybody sees.
echo from-desktop > "$W/desktop.mnt/Work/d"
echo from-bob > "$W/bob.mnt/Work/b"
for who in alice desktop bob; do
	await 10 grep -q from-desktop "$W/$who.mnt/Work/d" || fail "$who does not see the desktop's file"
	await 10 grep -q from-bob "$W/$who.mnt/Work/b" || fail "$who does not see Bob's file"
done
mv "$W/bob.mnt/Work/a" "$W/bob.mnt/Work/renamed"
await 10 test -e "$W/alice.mnt/Work/renamed/b/c/large" || fail "the rename did not arrive"
await 5 test ! -e "$W/alice.mnt/Work/a" || fail "the old name stayed"
rm -r "$W/alice.mnt/Work/renamed"
await 10 test ! -e "$W/desktop.mnt/Work/renamed" || fail "the deletion did not arrive"

# A code is used once.
code=$(coffer alice invite Work --json | sed 's/.*"code": "\([^"]*\)".*/\1/')
new_person carol
coffer carol join "$code" --relay "$RELAY" --quiet
new_person dave
rc=0
coffer dave join "$code" --relay "$RELAY" 2> "$W/err" || rc=$?
[ $rc = 77 ] || fail "a used code gave exit $rc"
[ "$(wc -l < "$W/err")" = 1 ] || fail "not one line: $(cat "$W/err")"
[ "$(coffer alice members Work --json | grep -o '"device"' | wc -l)" = 4 ] || fail "members: $(coffer alice members Work)"
