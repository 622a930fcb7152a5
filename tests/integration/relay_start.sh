#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whatever keeps a relay from starting is one line that names the cause and the next step, with its exit code.
# timeout: 120
set -euo pipefail
cd "$(dirname "$0")/../.."
RELAY=$BUILD/coffer-relay
T=${TMPDIR:-/tmp}/relay_start.$$
mkdir -p "$T"
PIDS=()
trap 'for p in "${PIDS[@]}"; do kill -9 "$p" 2> /dev/null || :; done; rm -rf "$T"' EXIT

fail() {
	echo "$*" >&2
	exit 1
}

# refused CODE WORDS ARGUMENTS...
refused() {
	local code=$1 words=$2 rc=0
	shift 2
	timeout 10 "$RELAY" "$@" > "$T/out" 2> "$T/err" || rc=$?
	[ "$rc" = "$code" ] || fail "$*: exit $rc, not $code: $(cat "$T/err")"
	[ "$(grep -vc '^Try:' "$T/err")" = 1 ] || fail "$*: not one line: $(cat "$T/err")"
	grep -q "$words" "$T/err" || fail "$*: $(cat "$T/err")"
}

# start DIR: a relay on a free port, which becomes PORT
start() {
	: > "$T/log"
	"$RELAY" --listen 127.0.0.1:0 --data "$1" 2>> "$T/log" &
	PIDS+=($!)
	for _ in $(seq 500); do
		PORT=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' "$T/log")
		[ -z "$PORT" ] || return 0
		read -rt 0.02 <> <(:) || :
	done
	fail "no relay: $(cat "$T/log")"
}

start "$T/one"
refused 69 "in use; stop what listens there" --listen "127.0.0.1:$PORT" --data "$T/two"
refused 69 "another relay uses" --listen 127.0.0.1:0 --data "$T/one"
refused 69 "no address of this machine" --listen 192.0.2.1:5379 --data "$T/two"
refused 64 "ADDRESS:PORT" --listen 5379 --data "$T/two"
refused 64 "ADDRESS:PORT" --listen 127.0.0.1:99999 --data "$T/two"
refused 64 "wants a URL" --origin relay.example.org --data "$T/two"
refused 64 "unexpected argument 'more'; coffer-relay --help" --data "$T/two" more
refused 78 "cannot read $T/none.toml: not found; check the path" --config "$T/none.toml"
kill -TERM "${PIDS[0]}"
rc=0
wait "${PIDS[0]}" || rc=$?
[ $rc = 0 ] || fail "SIGTERM: exit $rc"

# Of another version, damaged, not a directory, not writable.
format=$(sqlite3 "$T/one/relay.db" 'SELECT format FROM meta')
sqlite3 "$T/one/relay.db" 'UPDATE meta SET format = 99'
refused 78 "another version" --listen 127.0.0.1:0 --data "$T/one"
sqlite3 "$T/one/relay.db" "UPDATE meta SET format = $format"
start "$T/one"
mkdir "$T/damaged"
head -c 20000 /dev/urandom > "$T/damaged/relay.db"
refused 65 "is damaged" --listen 127.0.0.1:0 --data "$T/damaged"
: > "$T/file"
refused 73 "cannot use" --listen 127.0.0.1:0 --data "$T/file"
refused 73 "cannot use $T/none/data: not found; give another --data" --listen 127.0.0.1:0 --data "$T/none/data"
if [ "$(id -u)" != 0 ]; then
	mkdir -m 500 "$T/closed"
	refused 77 "cannot write to" --listen 127.0.0.1:0 --data "$T/closed"
fi
"$RELAY" --version | grep -q '^coffer-relay [0-9]'
"$RELAY" --help | grep -q 'Example:'
