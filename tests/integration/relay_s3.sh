#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A relay whose objects stand in a real S3 bucket: the plain protocol's files and Coffer's chunks as over the folder, two
# devices in step, a bucket that hangs, `check`, and a start that says what is wrong with the settings.
# timeout: 240
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
need_fuse
T=$(mktemp -d)
python3 "$(dirname "$0")/../tools/swift.py" "$T/swift" > "$T/url" 2> "$T/swift.log" &
SWIFT=$!
trap 'kill -CONT $SWIFT 2> /dev/null; kill $SWIFT 2> /dev/null; rm -rf "$T"' EXIT
await 180 test -s "$T/url" || { cat "$T/swift.log" >&2; fail "no S3 endpoint"; }
echo testing > "$T/secret"
# by the names of the reference server
export FILE_STORAGE_BACKEND=s3 FILE_S3_BUCKET=coffer FILE_S3_ACCESS_KEY=test:tester FILE_S3_USE_SSL=false
FILE_S3_ENDPOINT=$(sed s,http://,, "$T/url")
export FILE_S3_ENDPOINT COFFER_RELAY_STORAGE_S3_SECRET_FILE=$T/secret COFFER_RELAY_STORAGE_S3_TIMEOUT_SECONDS=2

# What unit tests ask of a relay over its folder, of this one.
for t in test_plain_net test_relay; do
	"$BUILD/tests/$t" > "$T/out" 2>&1 || { tail -40 "$T/out" >&2; fail "$t over S3"; }
done

# A start that cannot work says why.
says() { # WORDS VARIABLE=VALUE...
	local words=$1
	shift
	if env "$@" timeout 60 "$BUILD/coffer-relay" --listen 127.0.0.1:0 --data "$T/none" > "$T/out" 2>&1; then
		fail "a relay started with $*"
	fi
	grep -q "$words" "$T/out" || fail "$*: $(cat "$T/out")"
	grep -q testing "$T/out" && fail "the secret is said: $(cat "$T/out")" || :
}
echo wrong > "$T/wrong"
says 'refuses the key' "COFFER_RELAY_STORAGE_S3_SECRET_FILE=$T/wrong"
says 'no such bucket' FILE_S3_BUCKET=nobodys
says 'does not answer' FILE_S3_ENDPOINT=127.0.0.1:1
says 's3_secret_file or FILE_S3_SECRET_KEY' COFFER_RELAY_STORAGE_S3_SECRET_FILE=
says 'cannot be read' COFFER_RELAY_STORAGE_S3_SECRET_FILE=/nowhere
says 's3_endpoint wants' FILE_S3_ENDPOINT=http://host/path

export COFFER_RELAY_STORAGE_S3_PREFIX=world/
world_start
trap 'kill -CONT $SWIFT 2> /dev/null; kill $SWIFT 2> /dev/null; rm -rf "$T"; world_end' EXIT
new_person alice
new_device desktop alice
coffer alice space create Work
await 60 test -d "$W/desktop.mnt/Work" || fail "no space"
head -c 9000000 /dev/urandom > "$W/large"
cp "$W/large" "$W/alice.mnt/Work/large"
coffer alice wait --timeout 60s || fail "not synced"
await 60 cmp -s "$W/large" "$W/desktop.mnt/Work/large" || fail "not the same on the other device"
[ -z "$(find "$W/relay/chunks" -type f)" ] || fail "objects in the folder: $(find "$W/relay/chunks" -type f)"

# A bucket that hangs holds up what needs it and nothing else.
kill -STOP $SWIFT
head -c 2000000 /dev/urandom > "$W/waits"
cp "$W/waits" "$W/alice.mnt/Work/waits"
echo small > "$W/desktop.mnt/Work/small"
await 60 grep -qs small "$W/alice.mnt/Work/small" || fail "a small file waits for the bucket"
[ "$(curl -s "$RELAY/health")" = '{"status":"healthy"}' ] || fail "not healthy"
kill -CONT $SWIFT
await 90 cmp -s "$W/waits" "$W/desktop.mnt/Work/waits" || fail "what waited did not come"

"$BUILD/coffer-relay" --data "$W/relay" check > "$T/out" 2>&1 || fail "check: $(cat "$T/out")"
grep -q ' 0 damaged' "$T/out" || fail "check: $(cat "$T/out")"
"$BUILD/coffer-relay" --data "$W/relay" backup "$T/copy" > "$T/out" 2>&1 || fail "backup: $(cat "$T/out")"
grep -q 'stay in the bucket coffer' "$T/out" || fail "backup: $(cat "$T/out")"
grep -q testing "$W/relay.log" && fail "the secret is in the log" || :
