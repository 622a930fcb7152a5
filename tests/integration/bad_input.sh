#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
#
# What people get wrong: one line that names the cause and the next step, an exit code of sysexits, nothing lost.
set -uo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
world_start

refused 78 "no profile" coffer nobody status
refused 69 "does not answer" coffer x init --relay http://127.0.0.1:1 --no-passphrase
[ ! -e "$W/x/key" ] && [ ! -e "$W/x/cache" ] || fail "a failed init left something"
no_agent() { ! agent_pid "$1" > /dev/null; }
await 20 no_agent x || fail "a failed init left its agent"
refused 64 "address of a relay" coffer x init --relay ftp://x --no-passphrase

# Nobody types a passphrase for what cannot be done (there is no terminal to type on, which would be said).
refused 64 "address of a relay" setsid -w "$BUILD/coffer" --home "$W/x" init --relay ftp://x
refused 64 "neither a code" setsid -w "$BUILD/coffer" --home "$W/x" init --pair nonsense --relay "$RELAY"
refused 66 "no terminal" setsid -w "$BUILD/coffer" --home "$W/x" init --relay "$RELAY"
await 20 no_agent x || fail "an init that was not gone through with left its agent"

# Help, however it is asked for.
for how in "help invite" "invite --help"; do
	# shellcheck disable=SC2086
	coffer x $how | grep -q '^usage: coffer invite SPACE' || fail "no help from: $how"
done
coffer x help | grep -q '^  invite ' || fail "no list of verbs"
coffer x help | grep -q '~/.local/share/coffer' || fail "the default profile is not named"
refused 64 "no command" coffer x help nonsense
for how in --help --version "help invite" help; do
	refused 74 "cannot be written" bash -c "'$BUILD/coffer' $how > /dev/full"
done

# Something else than a relay listens there.
python3 -m http.server --bind 127.0.0.1 0 --directory "$W/relay" > "$W/http.out" 2>&1 &
http=$!
await 10 grep -q 'port [0-9]' "$W/http.out" || { kill $http; fail "http.server"; }
p=$(grep -o 'port [0-9]*' "$W/http.out" | cut -d' ' -f2)
refused 76 "not a Coffer relay" coffer x init --relay "http://127.0.0.1:$p" --no-passphrase
kill $http; wait $http 2>/dev/null

echo "correct horse" > "$W/pass"
echo "wrong horse" > "$W/wrong"
coffer alice init --relay "$RELAY" --name a --passphrase-file "$W/pass" --quiet > /dev/null || fail init
refused 73 "profile at" coffer alice init --relay "$RELAY" --no-passphrase
refused 73 "profile at" setsid -w "$BUILD/coffer" --home "$W/alice" init --relay "$RELAY"
coffer alice lock || fail lock
refused 77 "passphrase" coffer alice unlock --passphrase-file "$W/wrong"
coffer alice unlock --passphrase-file "$W/pass" || fail "unlock"
coffer alice space create Work || fail create
refused 73 "of that name" coffer alice space create Work
refused 66 "no space" coffer alice mount "$W" --space None

mkdir "$W/full" "$W/m"
: > "$W/full/file"
refused 73 "not empty" coffer alice mount "$W/full"
refused 66 "does not exist" coffer alice mount "$W/none"
refused 64 "not a directory" coffer alice mount "$W/full/file"
coffer alice mount "$W/m" || fail mount
refused 75 "already" coffer alice mount "$W/m"
refused 66 "in no mount of this profile" coffer alice versions /etc/passwd
refused 66 "in no mount of this profile" coffer alice pin "$W/full"
refused 66 "nothing at" coffer alice pin "$W/m/Work/none"
refused 64 "arguments of invite" coffer alice invite cancel
refused 64 "cannot give that role" coffer alice invite Work --role king
refused 64 "no such role" coffer alice role Work someone king

# The name of a space goes into invites, which are text.
LC_ALL=C mkdir "$W/m/"$'caf\xe9' 2> "$W/err" && fail "a space whose name is no text"
grep -q "multibyte" "$W/err" || fail "not EILSEQ: $(cat "$W/err")"
LC_ALL=C mv "$W/m/Work" "$W/m/"$'caf\xe9' 2> "$W/err" && fail "a space renamed to what is no text"
mkdir "$W/m/"$'caf\xc3\xa9' && touch "$W/m/"$'caf\xc3\xa9/any\xff' || fail "a name in UTF-8"

refused 77 "invite" coffer alice join AAAA-BBBB-CCCC-DDDD --relay "$RELAY"
refused 64 "neither a code" coffer alice join nonsense
refused 66 "nothing" coffer alice umount "$W/full"

# The agent is killed: the mount point is dead; the next mount frees it, and what was written is there.
echo kept > "$W/m/Work/kept"
kill -9 "$(agent_pid alice)"
ls "$W/m" > /dev/null 2>&1 && fail "the mount outlived its agent"
COFFER_PASSPHRASE_FILE=$W/pass coffer alice mount "$W/m" || fail "mount over a dead mount"
[ "$(cat "$W/m/Work/kept")" = kept ] || fail "what was written is lost"

# A port in use, a data directory in use.
rc=0
"$BUILD/coffer-relay" --listen "127.0.0.1:$PORT" --data "$W/relay2" 2> "$W/err" || rc=$?
[ $rc = 69 ] && grep -q "in use" "$W/err" || fail "port in use: exit $rc $(cat "$W/err")"
rc=0
"$BUILD/coffer-relay" --listen "127.0.0.1:$(free_port)" --data "$W/relay" 2> "$W/err" || rc=$?
[ $rc != 0 ] && grep -q "another relay" "$W/err" || fail "data in use: exit $rc $(cat "$W/err")"

# A damaged key file is not a wrong passphrase; a damaged cache is named.
coffer alice umount "$W/m" || fail umount
coffer alice stop || fail stop
cp -a "$W/alice" "$W/damaged"
printf XXXXXXXX | dd of="$W/damaged/key" bs=1 seek=100 conv=notrunc status=none
refused 65 "damaged" env COFFER_PASSPHRASE_FILE="$W/pass" "$BUILD/coffer" --home "$W/damaged" space list
