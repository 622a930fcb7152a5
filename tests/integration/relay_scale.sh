#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two relay processes over one PostgreSQL database and one folder of objects, behind nginx: devices on either are in step, and go on
# when one process is killed, then the other; one that ends in order sends its clients on.
# timeout: 240
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
. "$(dirname "$0")/../lib/postgres.sh"
need_fuse
command -v nginx > /dev/null || PATH=$PATH:/usr/sbin
command -v nginx > /dev/null || fail "nginx is not installed; make deps installs it"

chmod 711 "${TMPDIR:=/tmp}" 2> /dev/null || : # the server runs as somebody else
base=$(mktemp -d)
chmod 711 "$base"
postgres_start "$base/pg"
FRONT=$(free_port)
SECOND=$(free_port)
export COFFER_RELAY_STORAGE_FOLDER=$base/objects
RELAY_ARGS="--origin http://127.0.0.1:$FRONT"
world_start
WORLD_PIDS="$WORLD_PIDS $(head -1 "$PG_DIR/data/postmaster.pid")"
RELAY=http://127.0.0.1:$FRONT
FIRST_PID=$RELAY_PID

cat > "$W/nginx.conf" <<NGINX
$([ "$(id -u)" != 0 ] || echo "user root;")
daemon off;
pid $W/nginx.pid;
error_log $W/nginx.log;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path $W/nginx.body;
	proxy_temp_path $W/nginx.proxy;
	fastcgi_temp_path $W/nginx.f;
	uwsgi_temp_path $W/nginx.u;
	scgi_temp_path $W/nginx.s;
	map \$http_upgrade \$connection_upgrade { default upgrade; '' ''; }
	upstream coffer {
		least_conn;
		server 127.0.0.1:$PORT max_fails=0;
		server 127.0.0.1:$SECOND max_fails=0;
	}
	server {
		listen 127.0.0.1:$FRONT;
		client_max_body_size 101m;
		location / {
			proxy_pass http://coffer;
			proxy_http_version 1.1;
			proxy_set_header Host \$host;
			proxy_set_header X-Real-IP \$remote_addr;
			proxy_set_header Upgrade \$http_upgrade;
			proxy_set_header Connection \$connection_upgrade;
			proxy_read_timeout 90s;
		}
	}
}
NGINX
second_start() {
	# shellcheck disable=SC2086
	"$BUILD/coffer-relay" --listen "127.0.0.1:$SECOND" --data "$W/relay2" $RELAY_ARGS >> "$W/relay.log" 2>&1 &
	SECOND_PID=$!
	WORLD_PIDS="$WORLD_PIDS $SECOND_PID"
	await 20 curl -sf "http://127.0.0.1:$SECOND/health" > /dev/null || fail "the second process does not answer"
}
second_start
nginx -c "$W/nginx.conf" -p "$W" 2>> "$W/nginx.log" &
WORLD_PIDS="$WORLD_PIDS $!"
await 20 curl -sf "$RELAY/health" > /dev/null || fail "nginx does not answer: $(cat "$W/nginx.log")"

connections() { # of the process at a port
	curl -s "http://127.0.0.1:$1/metrics" | sed -n 's/^coffer_relay_connections_active \([0-9]*\)$/\1/p'
}

new_person alice
new_device desktop alice
coffer alice space create Work
await 60 test -d "$W/desktop.mnt/Work" || fail "no space"
one=$(connections "$PORT") two=$(connections "$SECOND")
[ "$one" -ge 1 ] && [ "$two" -ge 1 ] || fail "all connections are at one process: $one and $two"

# A file from each side comes over to the other, whose device hangs at the other process.
exchange() { # NAME
	head -c 1500000 /dev/urandom > "$W/file"
	cp "$W/file" "$W/alice.mnt/Work/$1"
	echo "small $1" > "$W/desktop.mnt/Work/$1.small"
	await 60 cmp -s "$W/file" "$W/desktop.mnt/Work/$1" || fail "$1 is not at the other device"
	await 60 cmp -s "$W/desktop.mnt/Work/$1.small" "$W/alice.mnt/Work/$1.small" || fail "$1.small is not at the other device"
}
both_at() { # PORT: both devices are connected there
	[ "$(connections "$1")" -ge 2 ]
}
now_ms() {
	echo $(($(date +%s%N) / 1000000))
}
exchange both

kill -9 "$FIRST_PID"
since=$(now_ms)
await 60 both_at "$SECOND" || fail "nobody came to the second process"
echo "back after a kill: $(($(now_ms) - since)) ms"
exchange second
RELAY_PID=
relay_start
FIRST_PID=$RELAY_PID
kill -9 "$SECOND_PID"
await 60 both_at "$PORT" || fail "nobody came back to the first process"
exchange first

second_start
kill -TERM "$FIRST_PID"
since=$(now_ms)
await 60 both_at "$SECOND" || fail "nobody went on to the second process"
echo "back after an orderly end: $(($(now_ms) - since)) ms"
rc=0
wait "$FIRST_PID" || rc=$?
RELAY_PID=
[ $rc = 0 ] || fail "SIGTERM: exit $rc"
exchange drained
"$BUILD/coffer-relay" --data "$W/relay2" check > "$W/out" 2>&1 || fail "check: $(cat "$W/out")"
grep -q ' 0 damaged' "$W/out" || fail "check: $(cat "$W/out")"
