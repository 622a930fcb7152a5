/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting, the tables, and the statements prepared beforehand. The tables stand in the schema PG_SCHEMA, beside what others have
 * in the database (the reference server has tables of the same names), or in the first one of the search path that the URL,
 * the user or the database gives, so that one database can hold several relays' (?options=-csearch_path%3Dname). Relays made
 * them in PostgreSQL's own search path first: such a store is gone on with where it stands, else it would seem to be empty.
 * "migrations" says which of the steps below were carried out; each is done in a transaction of its own, by one process at a time.
 */
#include "server/depot_pg.h"

#include <stdlib.h>
#include <string.h>
#include "base/log.h"

#define RETRY_NS 1000000000ll

/* As in depot_sqlite.c, with three differences: what comes to a space is added up by the connection (depot_engine.grew), only
 * what goes is taken off by the tables; whole rows of ciphertext are not tried to be compressed; rows of spaces leave
 * room in their page, since each push writes one anew. */
static const char schema_1[] =
	"CREATE TABLE meta(id BIGINT PRIMARY KEY CHECK(id = 1), store BYTEA NOT NULL, boot TEXT NOT NULL);"
	"CREATE TABLE spaces(no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id BYTEA NOT NULL UNIQUE,"
	" cursor BIGINT NOT NULL, versions BIGINT NOT NULL, entries BIGINT NOT NULL, retention BIGINT NOT NULL,"
	" bytes BIGINT NOT NULL DEFAULT 0, owner BYTEA NOT NULL DEFAULT '') WITH (fillfactor = 50);"
	"CREATE INDEX spaces_owner ON spaces(owner);"
	"CREATE TABLE entries(key BIGINT PRIMARY KEY, blob BYTEA NOT NULL);"
	"CREATE TABLE invites(id BYTEA PRIMARY KEY, space BYTEA NOT NULL);"
	"CREATE TABLE steps(key BIGINT PRIMARY KEY, first_version BIGINT NOT NULL, versions BIGINT NOT NULL,"
	" first_entry BIGINT NOT NULL, entries BIGINT NOT NULL, time BIGINT NOT NULL, healed BIGINT NOT NULL,"
	" lines BYTEA NOT NULL);"
	"CREATE TABLE versions(key BIGINT PRIMARY KEY, cursor BIGINT NOT NULL, id BYTEA NOT NULL, passing BIGINT NOT "
	"NULL,"
	" expires BIGINT, blob BYTEA NOT NULL);"
	"ALTER TABLE versions ALTER blob SET STORAGE EXTERNAL;"
	"CREATE INDEX versions_replaced ON versions(id, key) WHERE expires IS NOT NULL;"
	"CREATE INDEX versions_expires ON versions(expires, key) WHERE expires IS NOT NULL;"
	"CREATE TABLE records(space BIGINT NOT NULL, id BYTEA NOT NULL, number BIGINT NOT NULL, cursor BIGINT NOT NULL,"
	" passing BIGINT NOT NULL, hash BYTEA NOT NULL, PRIMARY KEY(space, id));"
	"CREATE TABLE heads(space BIGINT NOT NULL, device BYTEA NOT NULL, cursor BIGINT NOT NULL, blob BYTEA NOT NULL,"
	" PRIMARY KEY(space, device));"
	"CREATE TABLE chunks(space BIGINT NOT NULL, id BYTEA NOT NULL, size BIGINT NOT NULL, refs BIGINT NOT NULL,"
	" blob BIGINT NOT NULL, flags BIGINT NOT NULL, uploaded BIGINT NOT NULL, sum BYTEA NOT NULL,"
	" object BYTEA NOT NULL, PRIMARY KEY(space, id));"
	"CREATE INDEX chunks_object ON chunks(object) WHERE blob = 0;"
	"CREATE INDEX chunks_unnamed ON chunks(uploaded) WHERE refs = 0;"
	"CREATE INDEX chunks_unsynced ON chunks(flags) WHERE (flags & 4) = 0;"
	"CREATE TABLE blobs(key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, blob BYTEA NOT NULL);"
	"ALTER TABLE blobs ALTER blob SET STORAGE EXTERNAL;"
	"CREATE TABLE named(space BIGINT NOT NULL, id BYTEA NOT NULL, ids BYTEA NOT NULL, PRIMARY KEY(space, id));"
	"CREATE TABLE plain(no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id BYTEA NOT NULL UNIQUE,"
	" root_key BYTEA NOT NULL, cursor BIGINT NOT NULL, generation BIGINT NOT NULL, min_generation BIGINT NOT NULL,"
	" rewrap BIGINT NOT NULL, members BIGINT NOT NULL, bytes BIGINT NOT NULL, owner BYTEA NOT NULL)"
	" WITH (fillfactor = 50);"
	"CREATE INDEX plain_owner ON plain(owner);"
	"CREATE TABLE items(space BIGINT NOT NULL, kind BIGINT NOT NULL, id BYTEA NOT NULL, cursor BIGINT NOT NULL,"
	" deleted BIGINT NOT NULL, size BIGINT NOT NULL, dek BYTEA NOT NULL, link BYTEA NOT NULL, object BYTEA NOT "
	"NULL,"
	" blob BYTEA NOT NULL, PRIMARY KEY(space, kind, id));"
	"ALTER TABLE items ALTER blob SET STORAGE EXTERNAL;"
	"CREATE INDEX items_cursor ON items(space, cursor, kind, id);"
	"CREATE INDEX items_object ON items(object) WHERE kind = 2;"
	"CREATE INDEX items_record ON items(space, link) WHERE kind = 2;"
	"CREATE TABLE garbage(space BYTEA NOT NULL, object BYTEA NOT NULL, since BIGINT NOT NULL, PRIMARY KEY(space, "
	"object));"
	"CREATE INDEX garbage_since ON garbage(since);"
	"CREATE TABLE revoked(space BIGINT NOT NULL, cid BYTEA NOT NULL, PRIMARY KEY(space, cid));"
	"CREATE TABLE mail(id BYTEA PRIMARY KEY, mailbox BYTEA NOT NULL, created BIGINT NOT NULL, expires BIGINT NOT "
	"NULL,"
	" payload BYTEA NOT NULL);"
	"CREATE INDEX mail_box ON mail(mailbox, created, id);"
	"CREATE INDEX mail_expires ON mail(expires);"
	"CREATE TABLE deeds(what TEXT NOT NULL, who BYTEA NOT NULL, at BIGINT NOT NULL);"
	"CREATE INDEX deeds_who ON deeds(what, who, at);"
	"CREATE INDEX deeds_at ON deeds(at);"
	"CREATE TABLE facts(name TEXT PRIMARY KEY, value BYTEA NOT NULL);"
	"CREATE FUNCTION chunk_frees() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
	" UPDATE spaces SET bytes = bytes - OLD.size WHERE no = OLD.space; RETURN NULL; END $$;"
	"CREATE TRIGGER chunk_frees AFTER DELETE ON chunks FOR EACH ROW EXECUTE FUNCTION chunk_frees();"
	"CREATE FUNCTION version_frees() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
	" UPDATE spaces SET bytes = bytes - length(OLD.blob) WHERE no = OLD.key >> 40; RETURN NULL; END $$;"
	"CREATE TRIGGER version_frees AFTER DELETE ON versions FOR EACH ROW EXECUTE FUNCTION version_frees();";

/* What brings version i to version i + 1. */
static const char *const schemas[PG_FORMAT] = { schema_1 };

/* --- before the pipeline: one statement, one answer --- */

static int take(struct pg *s, PGresult *res, PGresult **ret_res)
{
	ExecStatusType st = PQresultStatus(res);
	int err = OK;

	if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK)
		err = PQstatus(s->c) == CONNECTION_OK ? pg_err(res) : ERR_OFFLINE;
	if (err == OK && ret_res)
		*ret_res = res;
	else
		PQclear(res);
	return err;
}

static int exec(struct pg *s, const char *text)
{
	return take(s, PQexec(s->c, text), NULL);
}

/* One value as text; "" if there is no row. */
static int ask(struct pg *s, const char *text, char *out, size_t size)
{
	PGresult *res;
	int err = take(s, PQexec(s->c, text), &res);

	if (err < 0)
		return err;
	snprintf(out, size, "%s", PQntuples(res) ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	return OK;
}

static int migrate_to(struct pg *s, int version)
{
	char text[160];
	int err = exec(s, "BEGIN");

	if (err == OK)
		err = exec(s, schemas[version - 1]);
	if (err == OK && version == 1) {
		char id[ID16_TEXT_SIZE];
		struct id16 store;

		s->d.env->random(s->d.env->ctx, store.b, sizeof store.b);
		id16_format(&store, id);
		snprintf(
			text, sizeof text, "INSERT INTO meta VALUES(1, decode(replace('%s', '-', ''), 'hex'), '')", id);
		err = exec(s, text);
	}
	snprintf(text, sizeof text, "INSERT INTO migrations(version) VALUES(%d); COMMIT", version);
	return err < 0 ? err : exec(s, text);
}

static int migrate(struct pg *s)
{
	char text[32];
	int version, err = exec(s, "SET client_min_messages = warning;"
				   "CREATE TABLE IF NOT EXISTS migrations(version BIGINT PRIMARY KEY, at TIMESTAMPTZ "
				   "NOT NULL DEFAULT now())");

	if (err == OK)
		err = ask(s, "SELECT coalesce(max(version), 0) FROM migrations", text, sizeof text);
	if (err < 0)
		return err;
	version = (int)strtol(text, NULL, 10);
	if (version > PG_FORMAT)
		return ERR_VERSION;
	while (version < PG_FORMAT && err == OK)
		err = migrate_to(s, ++version);
	if (err < 0 && PQstatus(s->c) == CONNECTION_OK && exec(s, "ROLLBACK") < 0)
		log_debug("PostgreSQL: the rollback failed");
	return err;
}

/* Who may not make the schema may be given it. */
static int make_schema(struct pg *s)
{
	static const char is_there[] = "SELECT 1 FROM pg_namespace WHERE nspname = '" PG_SCHEMA "'";
	char text[8];
	int err = ask(s, is_there, text, sizeof text);

	if (err < 0 || *text)
		return err;
	if ((err = exec(s, "CREATE SCHEMA IF NOT EXISTS " PG_SCHEMA)) == ERR_AGAIN) /* another process was faster */
		err = OK;
	return err;
}

/* 1: a relay's tables stand in the search path, and none in the schema. The reference server has neither facts nor deeds. */
static int is_outside_schema(struct pg *s)
{
	static const char where[] =
		"SELECT 1 WHERE to_regclass('migrations') IS NOT NULL"
		" AND to_regclass('facts') IS NOT NULL AND to_regclass('deeds') IS NOT NULL AND NOT"
		" EXISTS (SELECT FROM pg_tables WHERE schemaname = '" PG_SCHEMA "' AND tablename = 'migrations')";
	char text[8];
	int err = ask(s, where, text, sizeof text);

	return err < 0 ? err : *text != '\0';
}

static int enter_schema(struct pg *s)
{
	char text[64];
	int err = ask(s, "SHOW search_path", text, sizeof text);

	if (err < 0 || strcmp(text, "\"$user\", public") != 0)
		return err;
	if ((err = is_outside_schema(s)))
		return err < 0 ? err : OK;
	if (s->d.writer && (err = make_schema(s)) < 0)
		return err;
	return exec(s, "SET search_path = " PG_SCHEMA);
}

/* Advisory locks are of the database; their numbers come from the schema's name. */
static int read_lock(struct pg *s)
{
	char text[32];
	int err = ask(s, "SELECT hashtextextended('coffer ' || current_schema(), 0) / 8 * 8", text, sizeof text);

	if (err == OK && !*text)
		return ERR_NOT_FOUND; /* no schema of the search path is there */
	s->lock = strtoll(text, NULL, 10);
	return err;
}

/* One process at a time: the others wait, and find it done. */
static int migrate_alone(struct pg *s)
{
	char text[64];
	int err;

	snprintf(text, sizeof text, "SELECT pg_advisory_lock(%lld)", (long long)s->lock + 1);
	if ((err = exec(s, text)) < 0)
		return err;
	err = migrate(s);
	snprintf(text, sizeof text, "SELECT pg_advisory_unlock(%lld)", (long long)s->lock + 1);
	if (PQstatus(s->c) == CONNECTION_OK && exec(s, text) < 0 && err == OK)
		err = ERR_INTERNAL;
	return err;
}

static int check_version(struct pg *s)
{
	char text[32];
	int err = ask(s, "SELECT to_regclass('migrations')", text, sizeof text);

	if (err < 0 || !*text)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = ask(s, "SELECT max(version) FROM migrations", text, sizeof text);
	return err < 0 ? err : strtol(text, NULL, 10) == PG_FORMAT ? OK : ERR_VERSION;
}

static int read_store(struct pg *s)
{
	char text[64];
	int err = ask(s, "SELECT encode(store, 'hex')::uuid FROM meta", text, sizeof text);

	return err < 0 ? err : id16_parse(text, strlen(text), &s->d.id) < 0 ? ERR_CORRUPT : OK;
}

static int note_boot(struct pg *s)
{
	char now[DEPOT_BOOT], text[256];
	PGresult *res;
	int err;

	depot_boot(now);
	now[strspn(now, "0123456789abcdef-")] = '\0';
	snprintf(text, sizeof text, "UPDATE meta SET boot = '%s' WHERE boot <> '%s' OR boot = ''", now, now);
	if ((err = take(s, PQexec(s->c, text), &res)) < 0)
		return err;
	s->d.same_boot = strcmp(PQcmdTuples(res), "0") == 0;
	PQclear(res);
	return OK;
}

/* --- the connection --- */

static bool locks(const struct pg *s, enum stmt st)
{
	return s->d.writer && (st == ST_SPACE_FIND || st == ST_PLAIN_FIND || st == ST_FACT_GET);
}

static int send_prepare(struct pg *s, char kind, int st, const char *text, const char *more)
{
	char name[16], numbered[1024];

	snprintf(name, sizeof name, "%c%d", kind, st);
	if (snprintf(numbered, sizeof numbered, "%s%s", text, more) >= (int)sizeof numbered)
		return ERR_INTERNAL;
	for (char *p = numbered; *p; p++)
		if (*p == '?')
			*p = '$';
	return PQsendPrepare(s->c, name, numbered, 0, NULL) ? pg_note_sent(s, 1) : ERR_OFFLINE;
}

static int prepare_all(struct pg *s)
{
	int err = OK;

	if (!PQenterPipelineMode(s->c))
		return ERR_OFFLINE;
	for (int i = 0; i < ST_COUNT && err == OK; i++) {
		err = send_prepare(s, 's', i, depot_sql[i], locks(s, (enum stmt)i) ? " FOR UPDATE" : "");
		if (err == OK && depot_sql_many[i])
			err = send_prepare(s, 'm', i, depot_sql_many[i], "");
	}
	return err < 0 ? err : pg_collect(s, NULL, 0);
}

static void say_nothing(void *ctx, const char *message)
{
	(void)ctx, (void)message;
}

/* What the URL says wins over what stands before it. */
PGconn *pg_connect_to(const char *url)
{
	static const char *const words[] = { "fallback_application_name", "connect_timeout", "tcp_user_timeout",
		"keepalives_idle", "client_encoding", "dbname", NULL };
	const char *const values[] = { "coffer-relay", "10", "30000", "30", "UTF8", url, NULL };

	return PQconnectdbParams(words, values, 1);
}

/* The SQLSTATE of a verbose text ("SEVERITY:  28P01: words"), whatever language the words are of. */
static int err_of_text(const char *text)
{
	char state[6];

	for (const char *p = text; (p = strstr(p, ":  ")); p += 3)
		if (sscanf(p, ":  %5[0-9A-Z]:", state) == 1 && strlen(state) == 5 && p[8] == ':')
			return pg_err_of_state(state);
	return ERR_OFFLINE;
}

/* It could not connect. libpq tells the SQLSTATE of that only in its verbose text, so it is tried once more; at a start alone,
 * later on one reason is as good as another. OK: this time it could. */
static int explain(struct pg *s)
{
	const bool needs_password = PQconnectionNeedsPassword(s->c);
	const char *text = PQerrorMessage(s->c);

	log_warn("PostgreSQL: %.*s", (int)strcspn(text, "\n"), text);
	if (s->opened)
		return ERR_OFFLINE;
	if (needs_password)
		return ERR_PERMISSION;
	PQsetErrorVerbosity(s->c, PQERRORS_VERBOSE);
	PQreset(s->c);
	PQsetErrorVerbosity(s->c, PQERRORS_DEFAULT);
	return PQstatus(s->c) == CONNECTION_OK ? OK : err_of_text(PQerrorMessage(s->c));
}

int pg_connect(struct pg *s)
{
	int err;

	PQfinish(s->c);
	s->queued = 0;
	s->err = OK;
	s->c = pg_connect_to(s->url);
	if (!s->c)
		return ERR_NOMEM;
	if (PQstatus(s->c) != CONNECTION_OK && (err = explain(s)) < 0)
		return err;
	PQsetNoticeProcessor(s->c, say_nothing, NULL);
	/* A plan is kept: one that was made while a table was small would read the whole of it when it is large. Every statement has
	 * its index. */
	if ((err = exec(s, "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")) < 0 ||
		(err = enter_schema(s)) < 0 || (err = read_lock(s)) < 0)
		return err;
	err = s->d.writer ? migrate_alone(s) : check_version(s);
	if (err == OK)
		err = read_store(s);
	if (err == OK && s->d.writer)
		err = note_boot(s);
	return err < 0 ? err : prepare_all(s);
}

/* Whether the other end has closed: only reading tells. */
static bool stands(struct pg *s)
{
	return s->c && s->err == OK && PQstatus(s->c) == CONNECTION_OK && PQconsumeInput(s->c) &&
	       PQstatus(s->c) == CONNECTION_OK;
}

int pg_ready(struct pg *s)
{
	const struct id16 id = s->d.id;
	const bool same_boot = s->d.same_boot;
	int64_t now;
	int err;

	if (stands(s))
		return OK;
	now = s->d.env->mono_ns(s->d.env->ctx);
	if (now < s->retry_at)
		return ERR_OFFLINE;
	err = pg_connect(s);
	s->d.same_boot = same_boot;
	/* Another store under the same name: what is kept in memory does not belong to it. */
	if (err == ERR_NOT_FOUND || (err == OK && !id16_equal(&id, &s->d.id)))
		err = ERR_CORRUPT;
	if (err < 0) {
		s->d.id = id;
		s->err = ERR_OFFLINE;
		s->retry_at = s->d.env->mono_ns(s->d.env->ctx) + RETRY_NS;
		return err;
	}
	log_info("PostgreSQL: connected again");
	return OK;
}

static int open_as(const struct env *env, const char *url, bool writer, struct depot **ret_s)
{
	struct pg *s = calloc(1, sizeof *s);
	uint8_t tag[8];
	int err;

	if (!s)
		return ERR_NOMEM;
	depot_init(&s->d, &pg_engine, env);
	s->d.writer = writer;
	env->random(env->ctx, tag, sizeof tag);
	for (size_t i = 0; i < sizeof tag; i++)
		snprintf(s->tag + 2 * i, 3, "%02x", tag[i]);
	s->url = strdup(url);
	err = s->url ? pg_connect(s) : ERR_NOMEM;
	if (err < 0) {
		depot_close(&s->d);
		return err;
	}
	s->opened = true;
	*ret_s = &s->d;
	return OK;
}

int depot_pg_open(const struct env *env, const char *url, struct depot **ret_s)
{
	return open_as(env, url, true, ret_s);
}

int depot_pg_open_beside(const struct env *env, const char *url, struct depot **ret_s)
{
	return open_as(env, url, false, ret_s);
}
