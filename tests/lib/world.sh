# SPDX-License-Identifier: Apache-2.0
#
# world.sh: a relay and any number of profiles in one private directory, for scripts that source this file.
#
#	. tests/lib/world.sh
#	world_start [DIR]            # DIR: default a fresh one; sets W, RELAY; on any exit everything is taken down
#	new_person alice             # profile $W/alice with a mount at $W/alice.mnt
#	new_device alice2 alice      # a further device of alice, mounted at $W/alice2.mnt
#	coffer alice VERB ...        # the command on that profile
#	refused CODE PATTERN COMMAND...   # it ends with that code, and says why and what next on one line of standard error
#	relay_stop [SIGNAL]; relay_start   # same port, same data
#	WORLD_PIDS="$WORLD_PIDS $!"  # further processes that are to end with the world
#
# Ends only processes that it started, by their ids.

BUILD=${BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build}

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

need_fuse() {
	[ -c /dev/fuse ] && [ -r /dev/fuse ] && [ -w /dev/fuse ] || { echo "needs /dev/fuse"; exit 77; }
}

# until COMMAND is true, SECONDS at most: await 10 test -e file
await() {
	local end=$(($(date +%s%N) + $1 * 1000000000))
	shift
	until "$@" 2>/dev/null; do
		[ "$(date +%s%N)" -lt $end ] || return 1
		read -rt 0.02 <> <(:) || :
	done
}

refused() {
	local want=$1 pattern=$2 rc=0
	shift 2
	"$@" > "$W/out" 2> "$W/err" || rc=$?
	[ $rc = "$want" ] || fail "exit $rc instead of $want from: $* ($(cat "$W/err"))"
	[ "$(wc -l < "$W/err")" = 1 ] || fail "not one line from $*: $(cat "$W/err")"
	grep -q -- "$pattern.*; " "$W/err" || fail "no '$pattern' and a next step in: $(cat "$W/err")"
}

free_port() {
	local p
	for _ in $(seq 50); do
		p=$((10000 + RANDOM % 22000)) # below the range of outgoing connections
		(exec 9<> /dev/tcp/127.0.0.1/$p) 2>/dev/null || { echo $p; return 0; }
	done
	return 1
}

coffer() {
	local who=$1
	shift
	"$BUILD/coffer" --home "$W/$who" "$@"
}

relay_answers() {
	local line
	exec 9<> "/dev/tcp/127.0.0.1/$PORT" || return 1
	printf 'GET /health HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$PORT" >&9
	read -r line <&9
	exec 9>&-
	[[ $line == *" 200 "* ]]
}

relay_try() {
	# shellcheck disable=SC2086
	"$BUILD/coffer-relay" --listen "127.0.0.1:$PORT" --data "$W/relay" ${RELAY_ARGS:-} > "$W/relay.out" 2>> "$W/relay.log" &
	RELAY_PID=$!
	await "${1:-20}" relay_answers_or_ended && relay_answers 2> /dev/null
}

relay_answers_or_ended() {
	! kill -0 "$RELAY_PID" 2>/dev/null || relay_answers
}

relay_start() {
	relay_try || { cat "$W/relay.log" >&2; fail "the relay does not answer"; }
}

relay_stop() {
	[ -n "${RELAY_PID:-}" ] || return 0
	kill "-${1:-TERM}" "$RELAY_PID" 2>/dev/null || :
	kill -CONT "$RELAY_PID" 2>/dev/null || : # one that a test stopped
	wait "$RELAY_PID" 2>/dev/null || :
	RELAY_PID=
}

# the agent of a profile: its process id. ("return 0": a bare return in a trap would give the status from before it.)
agent_pid() {
	local f
	for f in /proc/[0-9]*/cmdline; do
		if [[ "$( (tr '\0' ' ' < "$f") 2>/dev/null)" == *"coffer-fs --home $W/$1 "* ]]; then
			f=${f#/proc/}
			echo "${f%/cmdline}"
			return 0
		fi
	done
	return 1
}

syncd_pid() {
	local agent
	agent=$(agent_pid "$1") || return 1
	pgrep -P "$agent" -f coffer-syncd | head -1
}

world_start() {
	W=$(realpath "${1:-$(mktemp -d)}")
	mkdir -p "$W/relay"
	WORLD_PIDS= CODES=
	trap world_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	local try
	for try in 1 2 3 4 5; do # another test may have taken the port meanwhile
		PORT=$(free_port) || fail "no free port"
		RELAY=http://127.0.0.1:$PORT
		relay_try && return 0
	done
	cat "$W/relay.log" >&2
	fail "the relay does not start"
}

world_end() {
	local code=$? p m agents
	trap - EXIT INT TERM HUP
	agents=("$W"/*/agent.sock) # of those, too, whose disk goes now
	for m in $(awk -v w="$W/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r); do
		fusermount3 -uz "$m" 2>/dev/null || umount -l "$m" 2>/dev/null || :
	done
	for p in "${agents[@]}"; do
		p=$(basename "$(dirname "$p")")
		p=$(agent_pid "$p") && { kill -CONT $(pgrep -P "$p") 2>/dev/null || :; kill "$p" 2>/dev/null; await 10 gone "$p" || kill -9 "$p" 2>/dev/null; } || :
	done
	relay_stop
	for p in $WORLD_PIDS; do
		kill "$p" 2>/dev/null || :
	done
	if grep -E 'Sanitizer:|runtime error:' "$W"/relay.log "$W"/*/agent.log >&2 2>/dev/null; then
		code=1
	fi
	if [ $code -ne 0 ] && [ -n "${WORLD_LOGS:-1}" ]; then
		tail -n 20 "$W"/relay.log "$W"/*/agent.log >&2 2>/dev/null || :
	fi
	[ -n "${KEEP_WORLD:-}" ] && echo "kept: $W" >&2 || rm -rf "$W"
	exit $code
}

# A process that ended and that nobody has waited for yet is gone too.
gone() {
	local stat
	read -r stat 2>/dev/null < "/proc/$1/stat" || return 0
	[[ ${stat##*) } == Z* ]]
}

mount_of() {
	mkdir -p "$W/$1.mnt"
	coffer "$1" mount "$W/$1.mnt" "${@:2}"
}

new_person() {
	coffer "$1" init --relay "$RELAY" --name "$1" --no-passphrase --quiet > "$W/$1.words" || fail "init of $1"
	mount_of "$1" || fail "mount of $1"
}

# new_device NAME OF; every code of a world is kept in CODES
new_device() {
	local code
	code=$(coffer "$2" pair --json | sed 's/.*"code": "\([^"]*\)".*/\1/') || fail "pair by $2"
	CODES="$CODES $code"
	coffer "$1" init --pair "$code" --relay "$RELAY" --name "$1" --no-passphrase --quiet || fail "init --pair of $1"
	mount_of "$1" || fail "mount of $1"
}

# share SPACE FROM TO
share() {
	local code
	code=$(coffer "$2" invite "$1" --json | sed 's/.*"code": "\([^"]*\)".*/\1/') || fail "invite by $2"
	CODES="$CODES $code"
	coffer "$3" join "$code" --relay "$RELAY" --quiet || fail "join of $3"
}
