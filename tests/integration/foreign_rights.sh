#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# Alice owns files and gives them what raises rights; Bob, a member, writes them. Nothing of that has effect for Alice once Bob was the author, and it
# does not come back when she changes the file afterwards. Her own rights stay where only she writes. As root, whose mounts show owners as stored.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
[ "$(id -u)" = 0 ] || { echo "needs root: it changes owners"; exit 77; }
world_start

A= B=
new_person alice
coffer alice space create Work
new_person bob
share Work alice bob
A=$W/alice.mnt/Work B=$W/bob.mnt/Work
await 20 test -d "$B" || fail "the space did not reach Bob"

is() { [ "$(stat -c '%a %u' "$1")" = "$2" ]; }
author_changed() { [ "$(getfattr --only-values -n user.coffer.author "$1" 2> /dev/null)" != "$2" ]; }
has_list() { getfacl -cpn "$1" 2> /dev/null | grep -q '^user:4242:'; }

for f in touched edited kept; do
	echo "$f" > "$A/$f"
	chown 4242 "$A/$f"
	chmod 4755 "$A/$f"
	setfacl -m u:4242:rwx "$A/$f"
	setfattr -n trusted.x -v x "$A/$f"
	has_list "$A/$f" || fail "Alice's own list has no effect"
	is "$A/$f" "4775 4242" || fail "Alice's own rights: $(stat -c '%a %u' "$A/$f")"
done
coffer alice wait --timeout 60s
coffer bob wait --timeout 60s
is "$B/touched" "705 0" || fail "Alice's rights count at Bob's: $(stat -c '%a %u' "$B/touched")"
alice=$(getfattr --only-values -n user.coffer.author "$A/touched")

# Bob writes two of them: their records carry what Alice stored, now with his word for it.
mv "$B/touched" "$B/moved"
echo bobs > "$B/edited"
coffer bob wait --timeout 60s
coffer alice wait --timeout 60s
await 20 author_changed "$A/moved" "$alice" || fail "Bob's rename did not arrive"
await 20 author_changed "$A/edited" "$alice" || fail "Bob's edit did not arrive"
for f in moved edited; do
	is "$A/$f" "705 0" || fail "$f by Bob: $(stat -c '%a %u' "$A/$f")"
	has_list "$A/$f" && fail "$f by Bob has a list"
	chown 4242 "$A/$f" 2> /dev/null && fail "$f by Bob could be given away"
done

# Alice touches them, and renames what she alone wrote.
mv "$A/moved" "$A/back"
touch "$A/edited"
mv "$A/kept" "$A/mine"
coffer alice wait --timeout 60s
for f in back edited; do
	[ "$(getfattr --only-values -n user.coffer.author "$A/$f")" = "$alice" ] || fail "$f is not Alice's version"
	is "$A/$f" "705 0" || fail "$f came alive: $(stat -c '%a %u' "$A/$f")"
	has_list "$A/$f" && fail "the list of $f came alive"
	getfattr -n trusted.x "$A/$f" > /dev/null 2>&1 && fail "an attribute of $f came alive"
done
is "$A/mine" "4775 4242" || fail "Alice lost her own rights: $(stat -c '%a %u' "$A/mine")"
has_list "$A/mine" || fail "Alice lost her own list"

# Now they are hers again, and so is what she gives them.
chmod 4755 "$A/edited"
chown 4242 "$A/edited" && chmod 4755 "$A/edited"
is "$A/edited" "4755 4242" || fail "Alice cannot give rights: $(stat -c '%a %u' "$A/edited")"
