#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A relay whose rows are in PostgreSQL: devices sync, a database that goes away and comes back is waited for, and what cannot
# be is said in one line.
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../lib/world.sh"
. "$(dirname "$0")/../lib/postgres.sh"
need_fuse

chmod 711 "${TMPDIR:=/tmp}" 2> /dev/null || : # the server runs as somebody else
base=$(mktemp -d)
chmod 711 "$base"
postgres_start "$base/pg" fsync
# The reference server's tables, of the same names: the relay leaves them alone.
psql -q "$DATABASE_URL" -c 'CREATE TABLE spaces(id uuid); CREATE TABLE records(blob bytea); CREATE TABLE migrations(version text)'
world_start
WORLD_PIDS="$WORLD_PIDS $(head -1 "$PG_DIR/data/postmaster.pid")"

rows() {
	psql -qAt "$DATABASE_URL" -c "SELECT count(*) FROM coffer.$1"
}

new_person alice
coffer alice space create Work
head -c 900000 /dev/urandom > "$W/alice.mnt/Work/large"
for i in 1 2 3; do echo "small $i" > "$W/alice.mnt/Work/small$i"; done
coffer alice wait --timeout 30s || fail "not synced"
[ "$(rows records)" -ge 5 ] || fail "few records in the database"
[ ! -e "$W/relay/relay.db" ] || fail "there is an SQLite database too"
new_device alice2 alice
await 30 cmp "$W/alice.mnt/Work/large" "$W/alice2.mnt/Work/large" || fail "the other device has something else"

# What the database cannot do is said, and what to do instead.
refused 69 'PostgreSQL' "$BUILD/coffer-relay" --data "$W/relay" backup "$W/copy"
"$BUILD/coffer-relay" --data "$W/relay" check | grep -q ' 0 damaged' || fail "the check fails"
refused 78 'storage.database is no PostgreSQL URL' env DATABASE_URL=mysql://x "$BUILD/coffer-relay" --listen 127.0.0.1:0 --data "$W/other"
DATABASE_URL="postgres://postgres@/nosuch?host=$PG_DIR" "$BUILD/coffer-relay" --listen 127.0.0.1:0 --data "$W/other" \
	> "$W/out" 2>&1 && fail "a relay without a database runs"
grep -q 'there is no such database; make it' "$W/out" || fail "$(cat "$W/out")"
psql -q "$DATABASE_URL" -c "CREATE ROLE guest LOGIN" -c "CREATE DATABASE empty"
DATABASE_URL="postgres://guest@/empty?host=$PG_DIR" "$BUILD/coffer-relay" --listen 127.0.0.1:0 --data "$W/other" \
	> "$W/out" 2>&1 && fail "a relay runs without the right to make its tables"
grep -q 'PostgreSQL refuses that user' "$W/out" || fail "$(cat "$W/out")"
DATABASE_URL="postgres://nobody@/postgres?host=$PG_DIR" "$BUILD/coffer-relay" --listen 127.0.0.1:0 --data "$W/other" \
	> "$W/out" 2>&1 && fail "a relay runs as a user whom the database does not know"
grep -q 'PostgreSQL refuses that user' "$W/out" || fail "$(cat "$W/out")"
refused 66 'no relay keeps its data in the database' env DATABASE_URL="postgres://postgres@/empty?host=$PG_DIR" "$BUILD/coffer-relay" --data "$W/other" check

# The database is restarted: the relay stays, and its devices go on by themselves.
postgres_stop
echo "while it was away" > "$W/alice.mnt/Work/meanwhile"
curl -s -o "$W/out" -w '%{http_code}' "$RELAY/health" | grep -q 503 || fail "/health does not tell: $(cat "$W/out")"
postgres_start "$PG_DIR" fsync
WORLD_PIDS="$WORLD_PIDS $(head -1 "$PG_DIR/data/postmaster.pid")"
await 60 coffer alice wait --timeout 60s || fail "the relay did not find its database again"
await 60 cmp "$W/alice.mnt/Work/meanwhile" "$W/alice2.mnt/Work/meanwhile" || fail "not synced after the restart"
kill -0 "$RELAY_PID" || fail "the relay ended"
"$BUILD/coffer-relay" --data "$W/relay" check | grep -q ' 0 damaged' || fail "the check fails after the restart"

# A store from before there was the schema: in public. It is gone on with, not begun anew.
store() {
	psql -qAt "$DATABASE_URL" -c "SELECT store FROM $1.meta"
}
await 30 coffer alice wait --timeout 30s || fail "not synced before the relay ended"
was=$(store coffer)
relay_stop
psql -q "$DATABASE_URL" -c 'ALTER SCHEMA public RENAME TO others' -c 'ALTER SCHEMA coffer RENAME TO public'
for i in 1 2; do
	"$BUILD/coffer-relay" --data "$W/relay" check | grep -q ' 0 damaged' || fail "the check does not find a store in public"
	relay_start
	echo "stored in public, $i" > "$W/alice.mnt/Work/public"
	await 60 coffer alice wait --timeout 60s || fail "not synced with a store in public"
	await 30 cmp "$W/alice.mnt/Work/public" "$W/alice2.mnt/Work/public" || fail "the other device does not hear of it"
	[ "$(store public)" = "$was" ] || fail "another store in public"
	[ -z "$(psql -qAt "$DATABASE_URL" -c "SELECT tablename FROM pg_tables WHERE schemaname = 'coffer'")" ] || fail "a new store beside the old one"
	relay_stop
	psql -q "$DATABASE_URL" -c 'SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS coffer' # which whoever runs the database may give
done
