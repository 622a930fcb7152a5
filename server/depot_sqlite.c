/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database file: opening, schema, statements, transactions. WAL with synchronous=FULL: a commit that returned is on
 * disk; a process killed at any moment leaves the last commit. The directory is locked by an open-file lock on "lock",
 * which goes with the process.
 */
#include "server/depot_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/cleanup.h"

#define SHRINK_MIN_PAGES 256 /* 1 MiB */

static const char schema_1[] =
	"CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), format INTEGER NOT NULL, store BLOB NOT NULL,"
	" boot TEXT NOT NULL) STRICT;"
	"CREATE TABLE spaces(no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, cursor INTEGER NOT NULL,"
	" versions INTEGER NOT NULL, entries INTEGER NOT NULL, retention INTEGER NOT NULL) STRICT;"
	"CREATE TABLE entries(key INTEGER PRIMARY KEY, blob BLOB NOT NULL) STRICT;"
	"CREATE TABLE invites(id BLOB PRIMARY KEY, space BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE steps(key INTEGER PRIMARY KEY, first_version INTEGER NOT NULL, versions INTEGER NOT NULL,"
	" first_entry INTEGER NOT NULL, entries INTEGER NOT NULL, lines BLOB NOT NULL) STRICT;"
	"CREATE TABLE versions(key INTEGER PRIMARY KEY, cursor INTEGER NOT NULL, id BLOB NOT NULL, passing INTEGER NOT "
	"NULL,"
	" expires INTEGER, blob BLOB NOT NULL) STRICT;"
	"CREATE INDEX versions_expires ON versions(expires) WHERE expires IS NOT NULL;"
	"CREATE TABLE records(space INTEGER NOT NULL, id BLOB NOT NULL, number INTEGER NOT NULL, cursor INTEGER NOT "
	"NULL,"
	" passing INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(space, id)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE heads(space INTEGER NOT NULL, device BLOB NOT NULL, cursor INTEGER NOT NULL, blob BLOB NOT NULL,"
	" PRIMARY KEY(space, device)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE chunks(space INTEGER NOT NULL, id BLOB NOT NULL, size INTEGER NOT NULL, refs INTEGER NOT NULL,"
	" blob INTEGER NOT NULL, flags INTEGER NOT NULL, uploaded INTEGER NOT NULL, PRIMARY KEY(space, id))"
	" STRICT, WITHOUT ROWID;"
	"CREATE INDEX chunks_unnamed ON chunks(uploaded) WHERE refs = 0;"
	"CREATE INDEX chunks_unsynced ON chunks(flags) WHERE flags & 4 = 0;"
	"CREATE TABLE blobs(key INTEGER PRIMARY KEY, blob BLOB NOT NULL) STRICT;"
	"CREATE TABLE named(space INTEGER NOT NULL, id BLOB NOT NULL, ids BLOB NOT NULL, PRIMARY KEY(space, id))"
	" STRICT, WITHOUT ROWID;";

/* The plain protocol's. The blob comes last, so that reading the columns before it touches no overflow page. */
static const char schema_2[] =
	"CREATE TABLE plain(no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, root_key BLOB NOT NULL, cursor INTEGER "
	"NOT "
	"NULL, generation INTEGER NOT NULL, min_generation INTEGER NOT NULL, rewrap INTEGER NOT NULL,"
	" members INTEGER NOT NULL) STRICT;"
	"CREATE TABLE items(no INTEGER PRIMARY KEY, space INTEGER NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL,"
	" cursor INTEGER NOT NULL, deleted INTEGER NOT NULL, size INTEGER NOT NULL, dek BLOB NOT NULL,"
	" link BLOB NOT NULL, object BLOB NOT NULL, blob BLOB NOT NULL) STRICT;"
	"CREATE UNIQUE INDEX items_id ON items(space, kind, id);"
	"CREATE INDEX items_cursor ON items(space, cursor, kind, id);"
	"CREATE INDEX items_record ON items(space, link) WHERE kind = 2;"
	"CREATE TABLE garbage(space BLOB NOT NULL, object BLOB NOT NULL, since INTEGER NOT NULL,"
	" PRIMARY KEY(space, object)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX garbage_since ON garbage(since);"
	"CREATE TABLE revoked(space INTEGER NOT NULL, cid BLOB NOT NULL, PRIMARY KEY(space, cid)) STRICT, WITHOUT "
	"ROWID;"
	"CREATE TABLE mail(id BLOB NOT NULL UNIQUE, mailbox BLOB NOT NULL, created INTEGER NOT NULL,"
	" expires INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;"
	"CREATE INDEX mail_box ON mail(mailbox, created, id);"
	"CREATE INDEX mail_expires ON mail(expires);"
	"CREATE TABLE deeds(what TEXT NOT NULL, who BLOB NOT NULL, at INTEGER NOT NULL) STRICT;"
	"CREATE INDEX deeds_who ON deeds(what, who, at);"
	"CREATE INDEX deeds_at ON deeds(at);"
	"CREATE TABLE facts(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;";

/* Sums of chunks; what each space takes, kept by the database itself, so that no way of adding or removing forgets it. */
static const char schema_3[] =
	"ALTER TABLE chunks ADD COLUMN sum BLOB NOT NULL DEFAULT x'';"
	"ALTER TABLE spaces ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE spaces ADD COLUMN owner BLOB NOT NULL DEFAULT x'';"
	"CREATE INDEX spaces_owner ON spaces(owner);"
	"UPDATE spaces SET bytes = (SELECT coalesce(sum(size), 0) FROM chunks WHERE space = no)"
	" + (SELECT coalesce(sum(length(blob)), 0) FROM versions WHERE key >= no << 40 AND key < (no + 1) << 40);"
	"CREATE TRIGGER chunk_adds AFTER INSERT ON chunks BEGIN"
	" UPDATE spaces SET bytes = bytes + NEW.size WHERE no = NEW.space; END;"
	"CREATE TRIGGER chunk_frees AFTER DELETE ON chunks BEGIN"
	" UPDATE spaces SET bytes = bytes - OLD.size WHERE no = OLD.space; END;"
	"CREATE TRIGGER version_adds AFTER INSERT ON versions BEGIN"
	" UPDATE spaces SET bytes = bytes + length(NEW.blob) WHERE no = NEW.key >> 40; END;"
	"CREATE TRIGGER version_frees AFTER DELETE ON versions BEGIN"
	" UPDATE spaces SET bytes = bytes - length(OLD.blob) WHERE no = OLD.key >> 40; END;";

/* When a step was taken; replaced versions by their id. */
static const char schema_4[] = "ALTER TABLE steps ADD COLUMN time INTEGER NOT NULL DEFAULT 0;"
			       "ALTER TABLE steps ADD COLUMN healed INTEGER NOT NULL DEFAULT 0;"
			       "CREATE INDEX versions_replaced ON versions(id) WHERE expires IS NOT NULL;";

/* Objects have names of their own; until then a chunk's object had the chunk's id. */
static const char schema_5[] = "ALTER TABLE chunks ADD COLUMN object BLOB NOT NULL DEFAULT x'';"
			       "UPDATE chunks SET object = id WHERE blob = 0;"
			       "CREATE INDEX chunks_object ON chunks(object) WHERE blob = 0;"
			       "CREATE INDEX items_object ON items(object) WHERE kind = 2;";

/* What each plain space takes, and whose it is. */
static const char schema_6[] = "ALTER TABLE plain ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
			       "ALTER TABLE plain ADD COLUMN owner BLOB NOT NULL DEFAULT x'';"
			       "CREATE INDEX plain_owner ON plain(owner);"
			       "UPDATE plain SET bytes = (SELECT coalesce(sum(CASE kind WHEN 2 THEN size ELSE "
			       "length(blob) + length(dek) END), 0)"
			       " FROM items WHERE space = no);";

/* What brings format i to format i + 1. */
static const char *const schemas[DEPOT_FORMAT] = { schema_1, schema_2, schema_3, schema_4, schema_5, schema_6 };

/* A connection. Its statements' `impl` are sqlite3_stmt. */
struct lite {
	struct depot d;
	sqlite3 *db;
	char *path;
	int lock_fd; /* writer only; -1 otherwise */
	uint64_t cache_kib;
};

static struct lite *lite_of(struct depot *s)
{
	return (struct lite *)s;
}

static int err_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
		return ERR_CORRUPT;
	case SQLITE_READONLY:
		return ERR_READ_ONLY;
	case SQLITE_TOOBIG:
		return ERR_RANGE;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISUSE:
	case SQLITE_RANGE:
	case SQLITE_MISMATCH:
		return ERR_INTERNAL;
	default:
		return ERR_IO;
	}
}

/* --- statements --- */

static int lite_prepare(struct sql_stmt *q)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v3(lite_of(q->s)->db, depot_sql[q->st], -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);

	if (rc != SQLITE_OK)
		return err_of(rc);
	q->impl = st;
	return OK;
}

static void lite_reset(struct sql_stmt *q)
{
	sqlite3_reset(q->impl);
}

static void lite_bind_int(struct sql_stmt *q, int i, int64_t v)
{
	sqlite3_bind_int64(q->impl, i, v);
}

static void lite_bind_bytes(struct sql_stmt *q, int i, const void *p, size_t n, bool text)
{
	if (text)
		sqlite3_bind_text64(q->impl, i, p, n, SQLITE_STATIC, SQLITE_UTF8);
	else
		sqlite3_bind_blob64(q->impl, i, n ? p : "", n, SQLITE_STATIC);
}

static int step(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : err_of(rc);
}

static int lite_row(struct sql_stmt *q)
{
	return step(q->impl);
}

static int run(sqlite3_stmt *st)
{
	int n = step(st);

	sqlite3_reset(st);
	return n < 0 ? n : OK;
}

static int lite_run(struct sql_stmt *q, int *ret_changed)
{
	int err = run(q->impl);

	if (err == OK && ret_changed)
		*ret_changed = sqlite3_changes(lite_of(q->s)->db);
	return err;
}

static int64_t lite_get_int(struct sql_stmt *q, int i)
{
	return sqlite3_column_int64(q->impl, i);
}

static struct bytes column(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_blob(st, i);

	return bytes_of(p, (size_t)sqlite3_column_bytes(st, i));
}

static struct bytes lite_get_bytes(struct sql_stmt *q, int i)
{
	return column(q->impl, i);
}

static bool lite_is_null(struct sql_stmt *q, int i)
{
	return sqlite3_column_type(q->impl, i) == SQLITE_NULL;
}

/* --- transactions --- */

static int exec(struct lite *s, const char *text)
{
	int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? OK : err_of(rc);
}

static int lite_begin(struct depot *s, bool alone)
{
	(void)alone; /* a writer always is */
	return exec(lite_of(s), "BEGIN IMMEDIATE");
}

static int lite_begin_read(struct depot *s)
{
	return exec(lite_of(s), "BEGIN");
}

static void lite_rollback(struct depot *s)
{
	/* After some errors SQLite has already rolled back; then this one fails, which is what is wanted. */
	if (!sqlite3_get_autocommit(lite_of(s)->db) && exec(lite_of(s), "ROLLBACK") < 0)
		return;
}

static int lite_commit(struct depot *s)
{
	int err = exec(lite_of(s), "COMMIT");

	if (err < 0)
		lite_rollback(s);
	return err;
}

static int ask_number(struct lite *s, const char *question, uint64_t *ret_v)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, question, -1, &st, NULL);
	int err = rc == SQLITE_OK ? step(st) : err_of(rc);

	if (err > 0)
		*ret_v = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return err < 0 ? err : OK;
}

static int lite_disk_bytes(struct depot *s, uint64_t *ret_bytes)
{
	return ask_number(
		lite_of(s), "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()", ret_bytes);
}

/* Pages that are free are taken again soon: only more than an eighth of all goes back, a part at a time. A database that was
 * made before format 6 keeps all (auto_vacuum is chosen when the file is made). */
static int lite_shrink(struct depot *s)
{
	uint64_t all = 0, before = 0, after = 0;
	int err = ask_number(lite_of(s), "PRAGMA page_count", &all);

	if (err < 0 || (err = ask_number(lite_of(s), "PRAGMA freelist_count", &before)) < 0)
		return err;
	if (before < SHRINK_MIN_PAGES || before < all / 8)
		return 0;
	if ((err = exec(lite_of(s), "PRAGMA incremental_vacuum(2048)")) < 0 ||
		(err = ask_number(lite_of(s), "PRAGMA freelist_count", &after)) < 0)
		return err;
	return after < before && after >= SHRINK_MIN_PAGES;
}

/* --- the file --- */

static int configure(struct lite *s)
{
	uint64_t pages = 0;
	int err, on;

	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, 5000);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, &on);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &on);
	if ((err = ask_number(s, "PRAGMA page_count", &pages)) < 0 ||
		(!pages && (err = exec(s, "PRAGMA auto_vacuum = INCREMENTAL")) < 0) ||
		(err = exec(s, "PRAGMA journal_mode = WAL")) < 0)
		return err;
	/* Everything stored is ciphertext: overwriting freed pages with zeros would only cost writes. */
	return exec(s, "PRAGMA synchronous = FULL; PRAGMA secure_delete = 0;"
		       "PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 8000;"
		       "PRAGMA journal_size_limit = 67108864");
}

static int lite_set_cache(struct depot *d, uint64_t kib)
{
	struct lite *s = lite_of(d);
	char text[64];

	snprintf(text, sizeof text, "PRAGMA cache_size = -%" PRIu64, kib);
	s->cache_kib = kib;
	return exec(s, text);
}

/* From format `from` (0: empty) to this one. */
static int migrate(struct lite *s, int from)
{
	int err = OK;

	for (int i = from; i < DEPOT_FORMAT && err == OK; i++)
		err = exec(s, schemas[i]);
	return err;
}

static int upgrade(struct lite *s, int from)
{
	sqlite3_stmt *q = NULL;
	int err;

	if ((err = exec(s, "BEGIN EXCLUSIVE")) < 0 || (err = migrate(s, from)) < 0)
		return err;
	if (sqlite3_prepare_v2(s->db, "UPDATE meta SET format = ?1", -1, &q, NULL) != SQLITE_OK)
		return err_of(sqlite3_errcode(s->db));
	sqlite3_bind_int(q, 1, DEPOT_FORMAT);
	err = run(q);
	sqlite3_finalize(q);
	return err < 0 ? err : exec(s, "COMMIT");
}

static int create(struct lite *s)
{
	sqlite3_stmt *q = NULL;
	int err, rc;

	if ((err = exec(s, "BEGIN EXCLUSIVE")) < 0 || (err = migrate(s, 0)) < 0)
		return err;
	s->d.env->random(s->d.env->ctx, s->d.id.b, sizeof s->d.id.b);
	rc = sqlite3_prepare_v2(s->db, "INSERT INTO meta(id, format, store, boot) VALUES(1, ?1, ?2, '')", -1, &q, NULL);
	if (rc != SQLITE_OK)
		return err_of(rc);
	sqlite3_bind_int(q, 1, DEPOT_FORMAT);
	sqlite3_bind_blob(q, 2, s->d.id.b, sizeof s->d.id.b, SQLITE_STATIC);
	err = run(q);
	sqlite3_finalize(q);
	return err < 0 ? err : exec(s, "COMMIT");
}

static int read_id(sqlite3_stmt *q, int i, struct id16 *ret_id)
{
	struct bytes b = column(q, i);

	if (b.len != sizeof ret_id->b)
		return ERR_CORRUPT;
	memcpy(ret_id->b, b.p, b.len);
	return OK;
}

/* ERR_NOT_FOUND: an empty database; ERR_VERSION: of a newer format, or not a relay's. */
static int read_meta(struct lite *s, int *ret_format)
{
	sqlite3_stmt *q = NULL;
	int err, tables = 0;

	if (sqlite3_prepare_v2(s->db, "SELECT count(*) FROM sqlite_master", -1, &q, NULL) != SQLITE_OK)
		return err_of(sqlite3_errcode(s->db));
	if ((err = step(q)) > 0)
		tables = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	if (err < 0)
		return err;
	if (!tables)
		return ERR_NOT_FOUND;
	if (sqlite3_prepare_v2(s->db, "SELECT format, store FROM meta", -1, &q, NULL) != SQLITE_OK)
		return ERR_VERSION;
	err = step(q);
	if (err > 0) {
		*ret_format = sqlite3_column_int(q, 0);
		err = *ret_format < 1 || *ret_format > DEPOT_FORMAT ? ERR_VERSION : read_id(q, 1, &s->d.id);
	} else if (!err) {
		err = ERR_CORRUPT;
	}
	sqlite3_finalize(q);
	return err;
}

static int note_boot(struct lite *s)
{
	char now[DEPOT_BOOT];
	sqlite3_stmt *q = NULL;
	int err;

	depot_boot(now);
	if (sqlite3_prepare_v2(s->db, "UPDATE meta SET boot = ?1 WHERE boot <> ?1 OR ?1 = ''", -1, &q, NULL) !=
		SQLITE_OK)
		return err_of(sqlite3_errcode(s->db));
	sqlite3_bind_text(q, 1, now, -1, SQLITE_STATIC);
	err = run(q);
	sqlite3_finalize(q);
	s->d.same_boot = err == OK && sqlite3_changes(s->db) == 0;
	return err;
}

static int lock_dir(struct lite *s, const char *dir)
{
	char path[4096];

	if (snprintf(path, sizeof path, "%s/lock", dir) >= (int)sizeof path)
		return ERR_RANGE;
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_from_errno(errno);
	return flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0 ? ERR_BUSY : OK;
}

static int open_db(struct lite *s)
{
	int rc = sqlite3_open_v2(
		s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return err_of(rc);
	return configure(s);
}

static const struct depot_engine sqlite_engine;

static struct lite *lite_new(const struct env *env, const char *dir)
{
	struct lite *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	depot_init(&s->d, &sqlite_engine, env);
	s->lock_fd = -1;
	if (asprintf(&s->path, "%s/relay.db", dir) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

static void lite_close(struct depot *d)
{
	struct lite *s = lite_of(d);

	for (size_t i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(d->stmts[i].impl);
	sqlite3_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->path);
	free(s);
}

/* Hands over what was opened, or closes it. */
static int give(struct lite *s, int err, struct depot **ret_s)
{
	if (err < 0)
		lite_close(&s->d);
	else
		*ret_s = &s->d;
	return err;
}

int depot_sqlite_open(const struct env *env, const char *dir, struct depot **ret_s)
{
	struct lite *s = lite_new(env, dir);
	int err, format = DEPOT_FORMAT;

	if (!s)
		return ERR_NOMEM;
	s->d.writer = true;
	if ((err = lock_dir(s, dir)) == OK && (err = open_db(s)) == OK) {
		err = read_meta(s, &format);
		if (err == ERR_NOT_FOUND)
			err = create(s);
		else if (err == OK && format < DEPOT_FORMAT)
			err = upgrade(s, format);
		if (err == OK)
			err = note_boot(s);
	}
	return give(s, err, ret_s);
}

/* A reader of `dir` as it is now, of this format. */
int depot_sqlite_open_beside(const struct env *env, const char *dir, struct depot **ret_s)
{
	struct lite *s = lite_new(env, dir);
	int err, format;

	if (!s)
		return ERR_NOMEM;
	if (access(s->path, F_OK) < 0) {
		err = err_from_errno(errno);
	} else if ((err = open_db(s)) == OK && (err = exec(s, "PRAGMA query_only = 1")) == OK) {
		err = read_meta(s, &format);
		if (err == OK && format != DEPOT_FORMAT)
			err = ERR_VERSION;
	}
	return give(s, err, ret_s);
}

static int lite_open_reader(struct depot *writer, struct depot **ret_s)
{
	const struct lite *w = lite_of(writer);
	struct lite *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return ERR_NOMEM;
	depot_init(&s->d, &sqlite_engine, writer->env);
	s->lock_fd = -1;
	s->d.id = writer->id;
	s->path = strdup(w->path);
	err = s->path ? open_db(s) : ERR_NOMEM;
	if (err == OK && (err = exec(s, "PRAGMA query_only = 1")) == OK && w->cache_kib)
		err = lite_set_cache(&s->d, w->cache_kib);
	return give(s, err, ret_s);
}

static int copy_into(struct lite *s, const char *path)
{
	sqlite3_stmt *q = NULL;
	int err;

	if (sqlite3_prepare_v2(s->db, "VACUUM INTO ?1", -1, &q, NULL) != SQLITE_OK)
		return err_of(sqlite3_errcode(s->db));
	sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
	err = run(q);
	sqlite3_finalize(q);
	return err;
}

static int lite_copy(struct depot *d, const char *path)
{
	struct lite *s = lite_of(d), copy = { .d = { .env = d->env }, .lock_fd = -1, .path = (char *)path };
	int err, fd;

	if (access(path, F_OK) == 0)
		return ERR_EXISTS;
	if ((err = exec(s, "PRAGMA query_only = 0")) < 0 || (err = copy_into(s, path)) < 0)
		return err;
	/* Devices must see that it is not the store that they knew. */
	err = open_db(&copy);
	if (err == OK)
		err = exec(&copy, "UPDATE meta SET store = randomblob(16), boot = ''; PRAGMA journal_mode = DELETE");
	sqlite3_close(copy.db);
	if (err < 0)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 || fsync(fd) < 0 ? err_from_errno(errno) : OK;
	if (fd >= 0)
		close(fd);
	return err;
}

static int lite_check(struct depot *s)
{
	sqlite3_stmt *q = NULL;
	int err;

	if (sqlite3_prepare_v2(lite_of(s)->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK)
		return err_of(sqlite3_errcode(lite_of(s)->db));
	err = step(q);
	if (err > 0)
		err = strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0 ? OK : ERR_CORRUPT;
	sqlite3_finalize(q);
	return err;
}

static const struct depot_engine sqlite_engine = {
	.open_reader = lite_open_reader,
	.set_cache = lite_set_cache,
	.close = lite_close,
	.copy = lite_copy,
	.check = lite_check,
	.begin = lite_begin,
	.begin_read = lite_begin_read,
	.commit = lite_commit,
	.rollback = lite_rollback,
	.disk_bytes = lite_disk_bytes,
	.shrink = lite_shrink,
	.prepare = lite_prepare,
	.reset = lite_reset,
	.bind_int = lite_bind_int,
	.bind_bytes = lite_bind_bytes,
	.row = lite_row,
	.run = lite_run,
	.get_int = lite_get_int,
	.get_bytes = lite_get_bytes,
	.is_null = lite_is_null,
};
