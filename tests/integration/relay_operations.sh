#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What an owner needs of a relay: its settings file, a reload, TLS with a new certificate while it runs, sockets that are
# passed to it, word to the service manager, JSON logs, metrics that Prometheus takes, and an orderly end.
# timeout: 120
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lib/world.sh
R=$BUILD/coffer-relay
T=$(mktemp -d)
PID=
trap '[ -z "$PID" ] || kill -9 $PID 2> /dev/null; rm -rf "$T"' EXIT

# start ARGUMENTS...: PORT of the relay that starts
start() {
	: > "$T/log"
	"$R" --data "$T/data" "$@" 2> "$T/log" &
	PID=$!
	await 20 grep -q 'listening on' "$T/log" || fail "no relay: $(cat "$T/log")"
	PORT=$(sed -n 's/.*listening on [^ ]*:\([0-9]*\) for.*/\1/p' "$T/log")
}

stop() {
	local rc=0
	kill -TERM $PID
	wait $PID || rc=$?
	PID=
	[ $rc = 0 ] || fail "exit $rc: $(cat "$T/log")"
}

# The printed defaults are a settings file, commented or not.
"$R" --print-config > "$T/commented.toml"
sed 's/^#\([a-z_]* = \)/\1/' "$T/commented.toml" > "$T/defaults.toml"
[ "$(grep -c '^[a-z_]* = ' "$T/defaults.toml")" -ge 30 ] || fail "few settings"
start --config "$T/commented.toml" --listen 127.0.0.1:0
stop
start --config "$T/defaults.toml" --listen 127.0.0.1:0

# A reload takes what is good, says what needs a restart, and keeps the old settings if the file is bad.
echo 'not toml' > "$T/defaults.toml"
kill -HUP $PID
await 10 grep -q 'reload: .*line 1.*the old settings stay' "$T/log" || fail "a bad file was taken: $(cat "$T/log")"
printf '[server]\nlisten = "127.0.0.1:1"\nreuse_port = "true"\n[storage]\ndata = "/nowhere"\n[log]\nformat = "json"\n[auth]\nself_issued = "owners"\n' > "$T/defaults.toml"
kill -HUP $PID
await 10 grep -q '"message":"reloaded"' "$T/log" || fail "no reload: $(cat "$T/log")"
grep -q '^{.*}$' "$T/log" && grep '^{' "$T/log" | jq -e '.time and .level and .program == "coffer-relay"' > "$T/out" || fail "no JSON: $(cat "$T/log")"
grep -q 'reload: server.reuse_port changes with a restart only' "$T/log" || fail "not said what stays: $(cat "$T/log")"
await 10 grep -q -- '--setup [0-9a-f-]*' "$T/log" || fail "nobody can own it: $(cat "$T/log")"
curl -sf "http://127.0.0.1:$PORT/health" | grep -q healthy || fail "gone after a reload"

# Metrics, in the form that Prometheus reads.
curl -sf "http://127.0.0.1:$PORT/metrics" > "$T/metrics"
grep -q '^coffer_relay_build_info{version=' "$T/metrics" || fail "no build info"
grep -q '^coffer_relay_commit_seconds_bucket{le="+Inf"}' "$T/metrics" || fail "no histogram"
[ "$(grep -c '^# TYPE' "$T/metrics")" = "$(grep '^# TYPE' "$T/metrics" | sort -u | wc -l)" ] || fail "a metric stands twice"
PROMTOOL=$(tests/tools/promtool.sh) || fail "no promtool"
"$PROMTOOL" check metrics < "$T/metrics" || fail "promtool does not take the metrics"
stop

# TLS by itself, with another certificate after a reload; a key that does not fit changes nothing.
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-addext "subjectAltName=IP:127.0.0.1" -keyout "$T/key.pem" -out "$T/cert.pem" 2> /dev/null
}
served() { # the name in the certificate that the relay shows
	openssl s_client -connect "127.0.0.1:$PORT" < /dev/null 2> /dev/null | openssl x509 -noout -subject 2> /dev/null
}
certificate one
export COFFER_RELAY_SERVER_TLS_CERTIFICATE=$T/cert.pem COFFER_RELAY_SERVER_TLS_KEY=$T/key.pem
start --listen 127.0.0.1:0
curl -sf --cacert "$T/cert.pem" "https://127.0.0.1:$PORT/health" | grep -q healthy || fail "no TLS: $(cat "$T/log")"
grep -q 'for https://' "$T/log" || fail "the origin is not https"
certificate two
kill -HUP $PID
await 10 grep -q reloaded "$T/log"
curl -sf --cacert "$T/cert.pem" "https://127.0.0.1:$PORT/health" | grep -q healthy || fail "the old certificate is served: $(served)"
openssl ecparam -genkey -name prime256v1 -noout -out "$T/key.pem"
kill -HUP $PID
await 10 grep -q 'do not fit; the old ones stay' "$T/log" || fail "a wrong key was taken: $(cat "$T/log")"
curl -sf --cacert "$T/cert.pem" "https://127.0.0.1:$PORT/health" | grep -q healthy || fail "no service after a wrong key"
stop
rc=0
timeout 10 "$R" --listen 127.0.0.1:0 --data "$T/data" 2> "$T/err" || rc=$?
[ $rc = 78 ] && grep -q 'do not belong together' "$T/err" || fail "a wrong key at start: exit $rc, $(cat "$T/err")"
unset COFFER_RELAY_SERVER_TLS_CERTIFICATE COFFER_RELAY_SERVER_TLS_KEY

# As systemd would start it: a passed socket; READY, signs of life, STOPPING.
python3 - "$R" "$T" <<'PYTHON' || fail "not as a service should be: $(cat "$T/log")"
import os, signal, socket, sys, urllib.request
relay, t = sys.argv[1:]
listening = socket.socket(); listening.bind(("127.0.0.1", 0)); listening.listen(16)
notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); notes.bind(t + "/notify"); notes.settimeout(20)
pid = os.fork()
if pid == 0:
    os.dup2(listening.fileno(), 3)
    os.set_inheritable(3, True)
    os.dup2(os.open(t + "/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    env = dict(os.environ, LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", NOTIFY_SOCKET=t + "/notify", WATCHDOG_USEC="200000")
    os.execve(relay, [relay, "--data", t + "/data"], env)
def hear(word):
    while word not in notes.recv(4096).decode().split("\n"):
        pass
try:
    hear("READY=1")
    port = listening.getsockname()[1]
    assert b"healthy" in urllib.request.urlopen("http://127.0.0.1:%d/health" % port, timeout=20).read()
    for _ in range(3):
        hear("WATCHDOG=1")
    os.kill(pid, signal.SIGHUP)
    hear("RELOADING=1")
    hear("READY=1")
    os.kill(pid, signal.SIGTERM)
    hear("STOPPING=1")
    assert os.waitpid(pid, 0)[1] == 0
    pid = 0
finally:
    if pid:
        os.kill(pid, signal.SIGKILL)
PYTHON

# Two processes on one port: each answers when the other is gone; one that cannot start takes no connections meanwhile.
export COFFER_RELAY_SERVER_REUSE_PORT=true
start --listen 127.0.0.1:0
ONE=$PID
"$R" --data "$T/data2" --listen "127.0.0.1:$PORT" 2> "$T/log2" &
TWO=$!
trap 'kill -9 $ONE $TWO 2> /dev/null || :; rm -rf "$T"' EXIT
await 20 grep -q 'listening on' "$T/log2" || fail "no second relay: $(cat "$T/log2")"
answers() {
	for _ in $(seq 20); do
		said=$(curl -sSf "http://127.0.0.1:$PORT/health" 2>&1) && [[ $said == *\"healthy\"* ]] || fail "$1: $said"
	done
}
answers "not with two"
rc=0
timeout 20 "$R" --data "$T/data2" --listen "127.0.0.1:$PORT" 2> "$T/err" || rc=$?
[ $rc = 69 ] && grep -q 'another relay uses' "$T/err" || fail "a third on the second's directory: exit $rc, $(cat "$T/err")"
kill -9 $ONE
wait $ONE 2> /dev/null || : # until then its socket still takes connections
answers "not with the second alone"
PID=$TWO
stop
rc=0
COFFER_RELAY_SERVER_REUSE_PORT=false start --listen "127.0.0.1:$PORT"
timeout 20 "$R" --data "$T/data2" --listen "127.0.0.1:$PORT" 2> "$T/err" || rc=$?
[ $rc = 69 ] && grep -q 'in use' "$T/err" || fail "a port that is not shared: exit $rc, $(cat "$T/err")"
stop
