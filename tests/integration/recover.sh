#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# All devices of a person are lost. The 24 words make a device that sees every space, reads and writes; wrong words say what is wrong.
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

recover() {
	coffer new init --recover --relay "${2:-$RELAY}" --words-file "$1" --no-passphrase --name new --quiet
}

new_person alice
coffer alice space create Work
coffer alice space create Photos
mkdir "$W/alice.mnt/Work/dir"
head -c 2000000 /dev/urandom > "$W/alice.mnt/Work/dir/large"
echo small > "$W/alice.mnt/Work/small"
ln -s small "$W/alice.mnt/Work/link"
echo picture > "$W/alice.mnt/Photos/picture"
new_device desktop alice
new_person bob
coffer bob space create Theirs
echo from-bob > "$W/bob.mnt/Theirs/file"
share Theirs bob alice
share Work alice bob
await 10 grep -q from-bob "$W/alice.mnt/Theirs/file" || fail "alice does not see Bob's space"
coffer alice wait --timeout 60s
coffer bob wait --timeout 60s
cp -a "$W/alice.mnt/Work" "$W/kept"

# Both devices are gone.
for who in alice desktop; do
	coffer $who stop
	rm -r "${W:?}/$who"
done
grep '^ *[0-9]' "$W/alice.words" > "$W/words"
sed 's/[0-9]//g' "$W/words" | xargs -n 1 > "$W/list"
[ "$(wc -l < "$W/list")" = 24 ] || fail "no 24 words: $(cat "$W/alice.words")"

sed '7s/.*/xyzzy/' "$W/list" > "$W/bad"
refused 65 "word 7 is not one" recover "$W/bad"
head -n 23 "$W/list" > "$W/bad"
refused 65 "these are 23 words" recover "$W/bad"
: > "$W/bad"
refused 65 "these are 0 words" recover "$W/bad"
for i in $(seq 2 24); do # one order in 256 has a right check sum by chance, so look for one that has not
	awk -v i="$i" 'NR == 1 { first = $0; next } { print } NR == i { print first }' "$W/list" > "$W/bad"
	rc=0
	recover "$W/bad" 2> "$W/err" || rc=$?
	! grep -q "does not know the person" "$W/err" || continue
	break
done
refused 65 "not in their order" recover "$W/bad"
refused 66 "cannot read" recover "$W/none"
refused 69 "does not answer" recover "$W/words" http://127.0.0.1:1
rc=0
coffer new init --words-file "$W/words" --relay "$RELAY" --no-passphrase 2> "$W/err" || rc=$?
[ $rc = 64 ] || fail "words without --recover: exit $rc"

# Another relay, which does not know the person.
PORT2=$(free_port)
"$BUILD/coffer-relay" --listen "127.0.0.1:$PORT2" --data "$W/relay2" > "$W/relay2.out" 2> "$W/relay2.log" &
WORLD_PIDS="$WORLD_PIDS $!"
await 10 grep -q listening "$W/relay2.log" || fail "the second relay does not start"
refused 66 "does not know the person" recover "$W/words" "http://127.0.0.1:$PORT2"
[ ! -e "$W/new/key" ] && [ ! -e "$W/new/cache" ] && [ ! -e "$W/new/join.tmp" ] || fail "failed recoveries left something"

# As it was printed, from standard input.
recover - < "$W/words" || fail "recovery"
coffer new space list > "$W/list"
for s in Work Photos Theirs; do
	grep -q "^$s " "$W/list" || fail "$s is not there when init returns: $(cat "$W/list")"
done
mount_of new
for s in Work Photos Theirs; do
	await 20 test -d "$W/new.mnt/$s" || fail "$s did not come back: $(coffer new space list)"
done
coffer new wait --timeout 60s
diff -r --no-dereference "$W/kept" "$W/new.mnt/Work" > "$W/diff" || { cat "$W/diff"; fail "Work differs"; }
[ "$(cat "$W/new.mnt/Photos/picture")" = picture ] || fail "Photos differs"
[ "$(cat "$W/new.mnt/Theirs/file")" = from-bob ] || fail "Theirs differs"

# It writes, and others take it; it is admin of what was hers.
echo again > "$W/new.mnt/Work/again"
echo answer > "$W/new.mnt/Theirs/answer"
await 10 grep -q again "$W/bob.mnt/Work/again" || fail "Bob does not see what the recovered device wrote"
await 10 grep -q answer "$W/bob.mnt/Theirs/answer" || fail "Bob does not see it in his space"
echo reply > "$W/bob.mnt/Work/reply"
await 10 grep -q reply "$W/new.mnt/Work/reply" || fail "the recovered device does not see Bob's reply"
new_person carol
share Work new carol
await 10 grep -q again "$W/carol.mnt/Work/again" || fail "the recovered device cannot invite"
new_device laptop new
await 20 grep -q again "$W/laptop.mnt/Work/again" || fail "the recovered device cannot pair"
coffer laptop wait --timeout 60s
[ "$(coffer new device list --json | grep -o '"fingerprint"' | wc -l)" = 4 ] || fail "devices: $(coffer new device list)"
