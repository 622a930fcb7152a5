/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database file: opening, schema, statements, transactions. WAL with synchronous=FULL: a commit that returned is on
 * disk; a process killed at any moment leaves the last commit. The directory is locked by an open-file lock on "lock",
 * which goes with the process.
 */
#include "server/depot_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/cleanup.h"

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

/* What brings format i to format i + 1. */
static const char *const schemas[DEPOT_FORMAT] = { schema_1, schema_2, schema_3 };

static const char *const sql[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_BEGIN_READ] = "BEGIN",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_SPACE_FIND] = "SELECT no, cursor, versions, entries, retention FROM spaces WHERE id = ?1",
	[ST_SPACE_ADD] = "INSERT INTO spaces(id, cursor, versions, entries, retention) VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_SPACE_SET] = "UPDATE spaces SET cursor = ?2, versions = ?3, entries = ?4, retention = ?5 WHERE no = ?1",
	[ST_SPACE_OWN] = "UPDATE spaces SET owner = ?2 WHERE no = ?1",
	[ST_SPACE_BYTES] =
		"SELECT bytes, CASE WHEN owner = x'' THEN bytes ELSE"
		" (SELECT sum(o.bytes) FROM spaces o WHERE o.owner = s.owner) END FROM spaces s WHERE no = ?1",
	[ST_ENTRY_ADD] = "INSERT INTO entries(key, blob) VALUES(?1, ?2)",
	[ST_ENTRIES] = "SELECT key, blob FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key",
	[ST_INVITE_ADD] = "INSERT OR IGNORE INTO invites(id, space) VALUES(?1, ?2)",
	[ST_INVITE_FIND] = "SELECT space FROM invites WHERE id = ?1",
	[ST_STEP_ADD] = "INSERT INTO steps(key, first_version, versions, first_entry, entries, lines)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[ST_STEPS] = "SELECT key, first_version, versions, first_entry, entries, lines FROM steps"
		     " WHERE key > ?1 AND key < ?2 ORDER BY key",
	[ST_VERSION_ADD] = "INSERT INTO versions(key, cursor, id, passing, blob) VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_VERSIONS] = "SELECT key, cursor, id, passing, expires, blob FROM versions WHERE key >= ?1 AND key < ?2"
			" ORDER BY key",
	[ST_VERSION_EXPIRE] = "UPDATE versions SET expires = ?2 WHERE key = ?1",
	[ST_VERSION_DEL] = "DELETE FROM versions WHERE key = ?1",
	[ST_VERSIONS_EXPIRED] = "SELECT key, cursor, id, passing, expires, blob FROM versions"
				" WHERE expires IS NOT NULL AND expires <= ?1 ORDER BY expires LIMIT ?2",
	[ST_RECORD_FIND] = "SELECT number, cursor, passing, hash FROM records WHERE space = ?1 AND id = ?2",
	[ST_RECORD_SET] = "INSERT INTO records(space, id, number, cursor, passing, hash) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
			  " ON CONFLICT(space, id) DO UPDATE SET number = ?3, cursor = ?4, passing = ?5, hash = ?6",
	[ST_HEAD_SET] = "INSERT INTO heads(space, device, cursor, blob) VALUES(?1, ?2, ?3, ?4)"
			" ON CONFLICT(space, device) DO UPDATE SET cursor = ?3, blob = ?4",
	[ST_HEADS] = "SELECT device, cursor, blob FROM heads WHERE space = ?1",
	[ST_CHUNK_FIND] = "SELECT size, refs, blob, flags, uploaded, sum FROM chunks WHERE space = ?1 AND id = ?2",
	[ST_CHUNK_ADD] = "INSERT INTO chunks(space, id, size, refs, blob, flags, uploaded, sum) VALUES(?1, ?2, ?3, ?4, "
			 "?5, ?6, ?7, ?8)",
	[ST_CHUNK_REFS] = "UPDATE chunks SET refs = refs + ?3 WHERE space = ?1 AND id = ?2",
	[ST_CHUNK_SET] = "UPDATE chunks SET flags = (flags & 2) | ?3 WHERE space = ?1 AND id = ?2",
	[ST_CHUNK_DEL] = "DELETE FROM chunks WHERE space = ?1 AND id = ?2",
	[ST_CHUNKS_STALE] =
		"SELECT c.space, c.id, c.size, c.refs, c.blob, c.flags, c.uploaded, c.sum, s.id FROM chunks c"
		" JOIN spaces s ON s.no = c.space WHERE c.refs = 0 AND c.uploaded < ?1 LIMIT ?2",
	[ST_CHUNKS_UNSYNCED] =
		"SELECT c.space, c.id, c.size, c.refs, c.blob, c.flags, c.uploaded, c.sum, s.id FROM chunks c"
		" JOIN spaces s ON s.no = c.space WHERE c.flags & 4 = 0 LIMIT ?1",
	[ST_CHUNKS_ALL] =
		"SELECT c.space, c.id, c.size, c.refs, c.blob, c.flags, c.uploaded, c.sum, s.id FROM chunks c"
		" JOIN spaces s ON s.no = c.space WHERE (c.space, c.id) > (?1, ?2) ORDER BY c.space, c.id LIMIT ?3",
	[ST_CURRENTS] = "SELECT r.space, r.id, r.number, r.cursor, r.passing, r.hash, v.blob FROM records r"
			" LEFT JOIN versions v ON v.key = (r.space << 40) + r.number"
			" WHERE (r.space, r.id) > (?1, ?2) ORDER BY r.space, r.id LIMIT ?3",
	[ST_BLOB_ADD] = "INSERT INTO blobs(blob) VALUES(?1)",
	[ST_BLOB_GET] = "SELECT blob FROM blobs WHERE key = ?1",
	[ST_BLOB_DEL] = "DELETE FROM blobs WHERE key = ?1",
	[ST_NAMED_ADD] = "INSERT INTO named(space, id, ids) VALUES(?1, ?2, ?3)",
	[ST_NAMED_GET] = "SELECT ids FROM named WHERE space = ?1 AND id = ?2",
	[ST_NAMED_DEL] = "DELETE FROM named WHERE space = ?1 AND id = ?2",
	[ST_SIZES] =
		"SELECT (SELECT count(*) FROM spaces), (SELECT count(*) FROM records), (SELECT count(*) FROM chunks),"
		" (SELECT coalesce(sum(size), 0) FROM chunks),"
		" (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())",
	[ST_PLAIN_FIND] =
		"SELECT no, root_key, cursor, generation, min_generation, rewrap, members FROM plain WHERE id = ?1",
	[ST_PLAIN_ADD] = "INSERT INTO plain(id, cursor, generation, min_generation, rewrap, members, root_key)"
			 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[ST_PLAIN_SET] = "UPDATE plain SET cursor = ?2, generation = ?3, min_generation = ?4, rewrap = ?5, members = ?6"
			 " WHERE id = ?1",
	[ST_ITEM_SET] = "INSERT INTO items(space, kind, id, cursor, deleted, size, dek, link, object, blob)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT(space, kind, id) DO UPDATE SET"
			" cursor = ?4, deleted = ?5, size = ?6, dek = ?7, link = ?8, object = ?9, blob = ?10",
	[ST_ITEM_GET] = "SELECT kind, id, cursor, deleted, size, dek, link, object, blob FROM items"
			" WHERE space = ?1 AND kind = ?2 AND id = ?3",
	[ST_ITEM_DEK] = "UPDATE items SET dek = ?4 WHERE space = ?1 AND kind = ?2 AND id = ?3",
	[ST_ITEMS] = "SELECT kind, id, cursor, deleted, size, dek, link, object, blob FROM items WHERE space = ?1"
		     " AND (cursor, kind, id) > (?2, ?3, ?4) AND cursor <= ?5 AND kind & ?6 ORDER BY cursor, kind, id",
	[ST_FILES_TO_GARBAGE] = "INSERT OR IGNORE INTO garbage(space, object, since)"
				" SELECT ?3, object, ?4 FROM items WHERE space = ?1 AND kind = 2 AND link = ?2",
	[ST_FILES_DEL] = "DELETE FROM items WHERE space = ?1 AND kind = 2 AND link = ?2",
	[ST_GARBAGE_ADD] = "INSERT OR IGNORE INTO garbage(space, object, since) VALUES(?1, ?2, ?3)",
	[ST_GARBAGE] = "SELECT space, object FROM garbage WHERE since < ?1 LIMIT ?2",
	[ST_GARBAGE_DEL] = "DELETE FROM garbage WHERE space = ?1 AND object = ?2",
	[ST_REVOKE] = "INSERT OR IGNORE INTO revoked(space, cid) VALUES(?1, ?2)",
	[ST_REVOKED] = "SELECT 1 FROM revoked WHERE space = ?1 AND cid = ?2",
	[ST_MAIL_ADD] = "INSERT INTO mail(id, mailbox, created, expires, payload) VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_MAIL_GET] = "SELECT id, mailbox, created, expires, payload FROM mail WHERE id = ?1",
	[ST_MAILS] = "SELECT id, mailbox, created, expires, payload FROM mail WHERE mailbox = ?1"
		     " AND (created, id) > (?2, ?3) AND expires > ?4 ORDER BY created, id LIMIT ?5",
	[ST_MAIL_DEL] = "DELETE FROM mail WHERE id = ?1",
	[ST_MAIL_EXPIRE] = "DELETE FROM mail WHERE expires <= ?1",
	[ST_DEED_ADD] = "INSERT INTO deeds(what, who, at) VALUES(?1, ?2, ?3)",
	[ST_DEEDS] = "SELECT count(*) FROM deeds WHERE what = ?1 AND who = ?2 AND at > ?3",
	[ST_DEED_EXPIRE] = "DELETE FROM deeds WHERE at < ?1",
	[ST_FACT_SET] = "INSERT INTO facts(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
	[ST_FACT_GET] = "SELECT value FROM facts WHERE name = ?1",
};

int depot_err(struct depot *s, int rc)
{
	(void)s;
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

sqlite3_stmt *depot_stmt(struct depot *s, enum stmt st, int *ret_err)
{
	int rc;

	if (!s->stmts[st]) {
		rc = sqlite3_prepare_v3(s->db, sql[st], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[st], NULL);
		if (rc != SQLITE_OK) {
			*ret_err = depot_err(s, rc);
			return NULL;
		}
	}
	sqlite3_reset(s->stmts[st]);
	*ret_err = OK;
	return s->stmts[st];
}

int depot_step_row(struct depot *s, sqlite3_stmt *q)
{
	int rc = sqlite3_step(q);

	if (rc == SQLITE_ROW)
		return 1;
	sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : depot_err(s, rc);
}

int depot_run(struct depot *s, sqlite3_stmt *q)
{
	int n = depot_step_row(s, q);

	sqlite3_reset(q);
	return n < 0 ? n : OK;
}

int depot_column_fixed(sqlite3_stmt *q, int i, void *out, size_t n)
{
	struct bytes b = depot_column(q, i);

	if (b.len != n)
		return ERR_CORRUPT;
	memcpy(out, b.p, n);
	return OK;
}

static int run_simple(struct depot *s, enum stmt st)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, st, &err);

	return q ? depot_run(s, q) : err;
}

int depot_begin(struct depot *s)
{
	return run_simple(s, ST_BEGIN);
}

int depot_commit(struct depot *s)
{
	int err = run_simple(s, ST_COMMIT);

	if (err < 0)
		depot_rollback(s);
	return err;
}

void depot_rollback(struct depot *s)
{
	/* After some errors SQLite has already rolled back; then this one fails, which is what is wanted. */
	if (!sqlite3_get_autocommit(s->db) && run_simple(s, ST_ROLLBACK) < 0)
		return;
}

int depot_begin_read(struct depot *s)
{
	return run_simple(s, ST_BEGIN_READ);
}

void depot_end_read(struct depot *s)
{
	depot_rollback(s);
}

const struct id16 *depot_id(const struct depot *s)
{
	return &s->id;
}

static int exec(struct depot *s, const char *text)
{
	int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? OK : depot_err(s, rc);
}

static int configure(struct depot *s)
{
	int err, on;

	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, 5000);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, &on);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &on);
	if ((err = exec(s, "PRAGMA journal_mode = WAL")) < 0)
		return err;
	/* Everything stored is ciphertext: overwriting freed pages with zeros would only cost writes. */
	return exec(s, "PRAGMA synchronous = FULL; PRAGMA secure_delete = 0; PRAGMA cache_size = -65536;"
		       "PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 8000;"
		       "PRAGMA journal_size_limit = 67108864");
}

/* From format `from` (0: empty) to this one. */
static int migrate(struct depot *s, int from)
{
	int err = OK;

	for (int i = from; i < DEPOT_FORMAT && err == OK; i++)
		err = exec(s, schemas[i]);
	return err;
}

static int upgrade(struct depot *s, int from)
{
	sqlite3_stmt *q = NULL;
	int err;

	if ((err = exec(s, "BEGIN EXCLUSIVE")) < 0 || (err = migrate(s, from)) < 0)
		return err;
	if (sqlite3_prepare_v2(s->db, "UPDATE meta SET format = ?1", -1, &q, NULL) != SQLITE_OK)
		return depot_err(s, sqlite3_errcode(s->db));
	sqlite3_bind_int(q, 1, DEPOT_FORMAT);
	err = depot_run(s, q);
	sqlite3_finalize(q);
	return err < 0 ? err : exec(s, "COMMIT");
}

static int create(struct depot *s)
{
	sqlite3_stmt *q = NULL;
	int err, rc;

	if ((err = exec(s, "BEGIN EXCLUSIVE")) < 0 || (err = migrate(s, 0)) < 0)
		return err;
	s->env->random(s->env->ctx, s->id.b, sizeof s->id.b);
	rc = sqlite3_prepare_v2(s->db, "INSERT INTO meta(id, format, store, boot) VALUES(1, ?1, ?2, '')", -1, &q, NULL);
	if (rc != SQLITE_OK)
		return depot_err(s, rc);
	sqlite3_bind_int(q, 1, DEPOT_FORMAT);
	depot_bind_bytes(q, 2, s->id.b, sizeof s->id.b);
	err = depot_run(s, q);
	sqlite3_finalize(q);
	return err < 0 ? err : exec(s, "COMMIT");
}

/* ERR_NOT_FOUND: an empty database; ERR_VERSION: of a newer format, or not a relay's. */
static int read_meta(struct depot *s, int *ret_format)
{
	sqlite3_stmt *q = NULL;
	int err, tables = 0;

	if (sqlite3_prepare_v2(s->db, "SELECT count(*) FROM sqlite_master", -1, &q, NULL) != SQLITE_OK)
		return depot_err(s, sqlite3_errcode(s->db));
	if ((err = depot_step_row(s, q)) > 0)
		tables = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	if (err < 0)
		return err;
	if (!tables)
		return ERR_NOT_FOUND;
	if (sqlite3_prepare_v2(s->db, "SELECT format, store FROM meta", -1, &q, NULL) != SQLITE_OK)
		return ERR_VERSION;
	err = depot_step_row(s, q);
	if (err > 0) {
		*ret_format = sqlite3_column_int(q, 0);
		err = *ret_format < 1 || *ret_format > DEPOT_FORMAT ? ERR_VERSION
								    : depot_column_fixed(q, 1, s->id.b, 16);
	} else if (!err) {
		err = ERR_CORRUPT;
	}
	sqlite3_finalize(q);
	return err;
}

bool depot_same_boot(const struct depot *s)
{
	return s->same_boot;
}

static int note_boot(struct depot *s)
{
	char now[64] = "";
	sqlite3_stmt *q = NULL;
	int err, fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, now, sizeof now - 1);

	if (fd >= 0)
		close(fd);
	now[n > 0 ? n : 0] = '\0';
	if (sqlite3_prepare_v2(s->db, "UPDATE meta SET boot = ?1 WHERE boot <> ?1 OR ?1 = ''", -1, &q, NULL) !=
		SQLITE_OK)
		return depot_err(s, sqlite3_errcode(s->db));
	sqlite3_bind_text(q, 1, now, -1, SQLITE_STATIC);
	err = depot_run(s, q);
	sqlite3_finalize(q);
	s->same_boot = err == OK && sqlite3_changes(s->db) == 0;
	return err;
}

static int lock_dir(struct depot *s, const char *dir)
{
	char path[4096];

	if (snprintf(path, sizeof path, "%s/lock", dir) >= (int)sizeof path)
		return ERR_RANGE;
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_from_errno(errno);
	return flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0 ? ERR_BUSY : OK;
}

static int open_db(struct depot *s)
{
	int rc = sqlite3_open_v2(
		s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return depot_err(s, rc);
	return configure(s);
}

int depot_open(const struct env *env, const char *dir, struct depot **ret_s)
{
	struct depot *s = calloc(1, sizeof *s);
	int err, format = DEPOT_FORMAT;

	if (!s)
		return ERR_NOMEM;
	s->env = env;
	s->lock_fd = -1;
	if (asprintf(&s->path, "%s/relay.db", dir) < 0) {
		s->path = NULL;
		err = ERR_NOMEM;
	} else if ((err = lock_dir(s, dir)) == OK && (err = open_db(s)) == OK) {
		err = read_meta(s, &format);
		if (err == ERR_NOT_FOUND)
			err = create(s);
		else if (err == OK && format < DEPOT_FORMAT)
			err = upgrade(s, format);
		if (err == OK)
			err = note_boot(s);
	}
	if (err < 0) {
		depot_close(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

/* A reader of `dir` as it is now, of this format. */
int depot_open_beside(const struct env *env, const char *dir, struct depot **ret_s)
{
	struct depot *s = calloc(1, sizeof *s);
	int err, format;

	if (!s)
		return ERR_NOMEM;
	s->env = env;
	s->lock_fd = -1;
	if (asprintf(&s->path, "%s/relay.db", dir) < 0) {
		s->path = NULL;
		err = ERR_NOMEM;
	} else if (access(s->path, F_OK) < 0) {
		err = err_from_errno(errno);
	} else if ((err = open_db(s)) == OK && (err = exec(s, "PRAGMA query_only = 1")) == OK) {
		err = read_meta(s, &format);
		if (err == OK && format != DEPOT_FORMAT)
			err = ERR_VERSION;
	}
	if (err < 0) {
		depot_close(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

static int copy_into(struct depot *s, const char *path)
{
	sqlite3_stmt *q = NULL;
	int err;

	if (sqlite3_prepare_v2(s->db, "VACUUM INTO ?1", -1, &q, NULL) != SQLITE_OK)
		return depot_err(s, sqlite3_errcode(s->db));
	sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
	err = depot_run(s, q);
	sqlite3_finalize(q);
	return err;
}

int depot_copy(struct depot *s, const char *path)
{
	struct depot copy = { .env = s->env, .lock_fd = -1, .path = (char *)path };
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

int depot_check(struct depot *s)
{
	sqlite3_stmt *q = NULL;
	int err;

	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK)
		return depot_err(s, sqlite3_errcode(s->db));
	err = depot_step_row(s, q);
	if (err > 0)
		err = strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0 ? OK : ERR_CORRUPT;
	sqlite3_finalize(q);
	return err;
}

int depot_open_reader(struct depot *writer, struct depot **ret_s)
{
	struct depot *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return ERR_NOMEM;
	s->env = writer->env;
	s->lock_fd = -1;
	s->id = writer->id;
	s->path = strdup(writer->path);
	err = s->path ? open_db(s) : ERR_NOMEM;
	if (err == OK)
		err = exec(s, "PRAGMA query_only = 1");
	if (err < 0) {
		depot_close(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

void depot_close(struct depot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(s->stmts[i]);
	sqlite3_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->path);
	free(s);
}
