#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# postgres.sh: a private PostgreSQL that listens on a socket in a directory of its own, run by an unprivileged user.
#
#	. tests/lib/postgres.sh
#	postgres_start DIR [fsync]   # sets DATABASE_URL; without "fsync" it writes as to a disk that never loses power
#	postgres_stop                # by its process id
#	psql "$DATABASE_URL" ...
#
# Or, for who runs something with it:  tests/lib/postgres.sh COMMAND...   (TEST_DATABASE is its URL then)

PG_BIN=${PG_BIN:-$(for d in /usr/lib/postgresql/*/bin; do echo "$d"; done | sort -t/ -k5 -n | tail -1)}

# a server refuses to run as root
as_postgres() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid=postgres --init-groups --reset-env -- "$@"
	else
		"$@"
	fi
}

postgres_start() {
	PG_DIR=$1
	local sync=${2:-nosync} settings
	[ -x "$PG_BIN/postgres" ] || { echo "needs PostgreSQL"; exit 77; }
	if [ ! -d "$PG_DIR/data" ]; then
		mkdir -p "$PG_DIR"
		chmod 711 "$PG_DIR"
		[ "$(id -u)" != 0 ] || chown postgres: "$PG_DIR"
		(cd / && as_postgres "$PG_BIN/initdb" -D "$PG_DIR/data" -A trust -U postgres -N --no-instructions --locale=C -E UTF8 \
			> "$PG_DIR/initdb.log" 2>&1) || { cat "$PG_DIR/initdb.log" >&2; return 1; }
	fi
	settings="-c listen_addresses= -c unix_socket_directories=$PG_DIR -c max_connections=200 -c shared_buffers=64MB
		-c wal_level=minimal -c max_wal_senders=0 -c logging_collector=off"
	[ "$sync" = fsync ] || settings="$settings -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
	# shellcheck disable=SC2086
	(cd / && as_postgres "$PG_BIN/pg_ctl" -D "$PG_DIR/data" -w -t 60 -l "$PG_DIR/log" -o "$(echo $settings)" start > /dev/null) ||
		{ cat "$PG_DIR/log" >&2; return 1; }
	DATABASE_URL="postgres://postgres@/postgres?host=$PG_DIR"
	export DATABASE_URL
}

postgres_stop() { # [immediate]
	[ -n "${PG_DIR:-}" ] || return 0
	(cd / && as_postgres "$PG_BIN/pg_ctl" -D "$PG_DIR/data" -m "${1:-fast}" -w -t 60 stop > /dev/null 2>&1) || :
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -eu
	dir=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
	chmod 711 "$dir"
	trap 'postgres_stop immediate; rm -rf "$dir"' EXIT
	trap 'exit 143' INT TERM HUP
	postgres_start "$dir/pg"
	TEST_DATABASE=$DATABASE_URL
	export TEST_DATABASE
	unset DATABASE_URL
	"$@"
fi
