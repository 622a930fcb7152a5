/* SPDX-License-Identifier: Apache-2.0 */
#include "server/depot_sql.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const char *const depot_sql[ST_COUNT] = {
	[ST_SPACE_FIND] = "SELECT no, cursor, versions, entries, retention FROM spaces WHERE id = ?1",
	[ST_SPACE_ADD] = "INSERT INTO spaces(id, cursor, versions, entries, retention) VALUES(?1, ?2, ?3, ?4, ?5)"
			 " RETURNING no",
	[ST_SPACE_SET] = "UPDATE spaces SET cursor = ?2, versions = ?3, entries = ?4, retention = ?5 WHERE no = ?1",
	[ST_SPACE_OWN] = "UPDATE spaces SET owner = ?2 WHERE no = ?1",
	[ST_SPACE_BYTES] = "SELECT bytes, CASE WHEN length(owner) = 0 THEN bytes ELSE"
			   " (SELECT CAST(sum(o.bytes) AS BIGINT) FROM spaces o WHERE o.owner = s.owner) END FROM "
			   "spaces s WHERE no = ?1",
	[ST_ENTRY_ADD] = "INSERT INTO entries(key, blob) VALUES(?1, ?2)",
	[ST_ENTRIES] = "SELECT key, blob FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
	[ST_INVITE_ADD] = "INSERT INTO invites(id, space) VALUES(?1, ?2) ON CONFLICT DO NOTHING",
	[ST_INVITE_FIND] = "SELECT space FROM invites WHERE id = ?1",
	[ST_STEP_ADD] = "INSERT INTO steps(key, first_version, versions, first_entry, entries, lines, time, healed)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[ST_STEPS] = "SELECT key, first_version, versions, first_entry, entries, time, healed, lines FROM steps"
		     " WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3",
	[ST_STEP_GET] =
		"SELECT key, first_version, versions, first_entry, entries, time, healed FROM steps WHERE key = ?1",
	[ST_STEP_LINES] = "SELECT lines FROM steps WHERE key = ?1",
	[ST_STEPS_OF_LOG] = "SELECT t.key, first_version, t.versions, first_entry, t.entries, time, healed, lines, s.id"
			    " FROM steps t JOIN spaces s ON s.no = t.key >> 40 WHERE t.entries > 0 AND t.key > ?1"
			    " ORDER BY t.key LIMIT ?2",
	[ST_VERSION_ADD] = "INSERT INTO versions(key, cursor, id, passing, blob) VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_VERSIONS] = "SELECT key, cursor, id, passing, expires, blob FROM versions WHERE key >= ?1 AND key < ?2"
			" ORDER BY key LIMIT ?3",
	[ST_HISTORY] =
		"SELECT key, cursor, id, passing, expires, blob FROM versions WHERE id = ?1 AND expires IS NOT NULL"
		" AND key >= ?2 AND key < ?3 ORDER BY key DESC LIMIT ?4",
	[ST_REPLACED] = "SELECT key, cursor, id, passing, expires, blob FROM versions WHERE key >= ?1 AND key < ?2"
			" AND expires IS NOT NULL ORDER BY key LIMIT ?3",
	/* A replaced version counts unless a newer one below the limit ?2, replaced or current, is there. */
	[ST_VERSIONS_AT] =
		"SELECT key, cursor, id, passing, expires, blob FROM versions v WHERE key >= ?1 AND key < ?6"
		" AND (expires IS NULL OR (NOT EXISTS (SELECT 1 FROM versions w WHERE w.id = v.id"
		" AND w.expires IS NOT NULL AND w.key > v.key AND w.key < ?2)"
		" AND NOT EXISTS (SELECT 1 FROM records r WHERE r.space = ?3 AND r.id = v.id AND r.number < ?4)))"
		" ORDER BY key LIMIT ?5",
	[ST_VERSION_EXPIRE] = "UPDATE versions SET expires = ?2 WHERE key = ?1",
	[ST_VERSION_DEL] = "DELETE FROM versions WHERE key = ?1",
	[ST_VERSIONS_EXPIRED] = "SELECT key, cursor, id, passing, expires, blob FROM versions"
				" WHERE expires <= ?1 AND (expires, key) > (?2, ?3) ORDER BY expires, key LIMIT ?4",
	[ST_RECORD_FIND] = "SELECT number, cursor, passing, hash FROM records WHERE space = ?1 AND id = ?2",
	[ST_RECORD_SET] = "INSERT INTO records(space, id, number, cursor, passing, hash) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
			  " ON CONFLICT(space, id) DO UPDATE SET number = ?3, cursor = ?4, passing = ?5, hash = ?6",
	[ST_HEAD_SET] = "INSERT INTO heads(space, device, cursor, blob) VALUES(?1, ?2, ?3, ?4)"
			" ON CONFLICT(space, device) DO UPDATE SET cursor = ?3, blob = ?4",
	[ST_HEADS] = "SELECT device, cursor, blob FROM heads WHERE space = ?1 AND device > ?2 ORDER BY device LIMIT ?3",
	[ST_CHUNK_FIND] =
		"SELECT size, refs, blob, flags, uploaded, sum, object FROM chunks WHERE space = ?1 AND id = ?2",
	[ST_CHUNK_ADD] = "INSERT INTO chunks(space, id, size, refs, blob, flags, uploaded, sum, object)"
			 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[ST_CHUNK_REFS] = "UPDATE chunks SET refs = refs + ?3 WHERE space = ?1 AND id = ?2",
	[ST_CHUNK_SET] = "UPDATE chunks SET flags = (flags & 2) | ?3 WHERE space = ?1 AND id = ?2",
	[ST_CHUNK_DEL] = "DELETE FROM chunks WHERE space = ?1 AND id = ?2",
	[ST_CHUNKS_STALE] =
		"SELECT c.space, c.id, c.size, c.refs, c.blob, c.flags, c.uploaded, c.sum, c.object, s.id FROM chunks c"
		" JOIN spaces s ON s.no = c.space WHERE c.refs = 0 AND c.uploaded < ?1 LIMIT ?2",
	[ST_CHUNKS_UNSYNCED] =
		"SELECT c.space, c.id, c.size, c.refs, c.blob, c.flags, c.uploaded, c.sum, c.object, s.id FROM chunks c"
		" JOIN spaces s ON s.no = c.space WHERE (c.flags & 4) = 0 LIMIT ?1",
	[ST_CHUNKS_ALL] =
		"SELECT c.space, c.id, c.size, c.refs, c.blob, c.flags, c.uploaded, c.sum, c.object, s.id FROM chunks c"
		" JOIN spaces s ON s.no = c.space WHERE (c.space, c.id) > (?1, ?2) ORDER BY c.space, c.id LIMIT ?3",
	[ST_OBJECT_OWNED] =
		"SELECT 1 WHERE EXISTS(SELECT 1 FROM chunks c JOIN spaces s ON s.no = c.space WHERE s.id = ?1"
		" AND c.object = ?2 AND c.blob = 0) OR EXISTS(SELECT 1 FROM items i JOIN plain p ON p.no = i.space"
		" WHERE p.id = ?1 AND i.object = ?2 AND i.kind = 2)",
	[ST_OBJECT_NAMED] =
		"SELECT 1 WHERE EXISTS(SELECT 1 FROM chunks c JOIN spaces s ON s.no = c.space WHERE s.id = ?1"
		" AND c.object = ?2 AND c.blob = 0) OR EXISTS(SELECT 1 FROM items i JOIN plain p ON p.no = i.space"
		" WHERE p.id = ?1 AND i.object = ?2 AND i.kind = 2)"
		" OR EXISTS(SELECT 1 FROM garbage WHERE space = ?1 AND object = ?2)",
	[ST_CURRENTS] = "SELECT r.space, r.id, r.number, r.cursor, r.passing, r.hash, v.blob FROM records r"
			" LEFT JOIN versions v ON v.key = (r.space << 40) + r.number"
			" WHERE (r.space, r.id) > (?1, ?2) ORDER BY r.space, r.id LIMIT ?3",
	[ST_BLOB_ADD] = "INSERT INTO blobs(blob) VALUES(?1) RETURNING key",
	[ST_BLOB_GET] = "SELECT blob FROM blobs WHERE key = ?1",
	[ST_BLOB_DEL] = "DELETE FROM blobs WHERE key = ?1",
	[ST_NAMED_ADD] = "INSERT INTO named(space, id, ids) VALUES(?1, ?2, ?3)",
	[ST_NAMED_GET] = "SELECT ids FROM named WHERE space = ?1 AND id = ?2",
	[ST_NAMED_DEL] = "DELETE FROM named WHERE space = ?1 AND id = ?2",
	[ST_SIZES] =
		"SELECT (SELECT count(*) FROM spaces), (SELECT count(*) FROM records), (SELECT count(*) FROM chunks),"
		" (SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM chunks), (SELECT count(*) FROM plain),"
		" (SELECT count(*) FROM items)",
	[ST_PLAIN_FIND] =
		"SELECT no, root_key, cursor, generation, min_generation, rewrap, members, bytes, owner FROM plain"
		" WHERE id = ?1",
	[ST_PLAIN_ADD] = "INSERT INTO plain(id, cursor, generation, min_generation, rewrap, members, bytes, owner,"
			 " root_key) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING no",
	[ST_PLAIN_SET] =
		"UPDATE plain SET cursor = ?2, generation = ?3, min_generation = ?4, rewrap = ?5, members = ?6,"
		" bytes = ?7 WHERE id = ?1",
	[ST_PLAIN_BYTES] = "SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM plain WHERE owner = ?1",
	[ST_ITEM_SET] = "INSERT INTO items(space, kind, id, cursor, deleted, size, dek, link, object, blob)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT(space, kind, id) DO UPDATE SET"
			" cursor = ?4, deleted = ?5, size = ?6, dek = ?7, link = ?8, object = ?9, blob = ?10",
	[ST_ITEM_GET] = "SELECT kind, id, cursor, deleted, size, dek, link, object, blob FROM items"
			" WHERE space = ?1 AND kind = ?2 AND id = ?3",
	[ST_ITEM_DEK] = "UPDATE items SET dek = ?4 WHERE space = ?1 AND kind = ?2 AND id = ?3",
	[ST_ITEMS] = "SELECT kind, id, cursor, deleted, size, dek, link, object, blob FROM items WHERE space = ?1"
		     " AND (cursor, kind, id) > (?2, ?3, ?4) AND cursor <= ?5 AND (kind & ?6) <> 0 ORDER BY cursor, "
		     "kind, id LIMIT ?7",
	[ST_FILES_ALL] = "SELECT kind, i.id, i.cursor, deleted, size, dek, link, object, blob, p.id FROM items i"
			 " JOIN plain p ON p.no = i.space WHERE kind = 2 AND object > ?1 ORDER BY object LIMIT ?2",
	[ST_MEMBERS_ALL] =
		"SELECT kind, i.id, i.cursor, deleted, size, dek, link, object, blob, p.id, i.space FROM items i"
		" JOIN plain p ON p.no = i.space WHERE kind = 4 AND (i.space, kind, i.id) > (?1, 4, ?2)"
		" ORDER BY i.space, kind, i.id LIMIT ?3",
	[ST_FILES_TO_GARBAGE] =
		"INSERT INTO garbage(space, object, since)"
		" SELECT ?3, object, ?4 FROM items WHERE space = ?1 AND kind = 2 AND link = ?2 ON CONFLICT DO NOTHING",
	[ST_FILES_SIZE] = "SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM items"
			  " WHERE space = ?1 AND kind = 2 AND link = ?2",
	[ST_FILES_DEL] = "DELETE FROM items WHERE space = ?1 AND kind = 2 AND link = ?2",
	[ST_GARBAGE_ADD] = "INSERT INTO garbage(space, object, since) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING",
	[ST_GARBAGE] = "SELECT space, object FROM garbage WHERE since < ?1 ORDER BY since LIMIT ?2",
	[ST_GARBAGE_LATER] = "UPDATE garbage SET since = ?3 WHERE space = ?1 AND object = ?2",
	[ST_GARBAGE_DEL] = "DELETE FROM garbage WHERE space = ?1 AND object = ?2",
	[ST_REVOKE] = "INSERT INTO revoked(space, cid) VALUES(?1, ?2) ON CONFLICT DO NOTHING",
	[ST_REVOKED] = "SELECT 1 FROM revoked WHERE space = ?1 AND cid = ?2",
	[ST_MAIL_ADD] = "INSERT INTO mail(id, mailbox, created, expires, payload) VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_MAIL_GET] = "SELECT id, mailbox, created, expires, payload FROM mail WHERE id = ?1",
	[ST_MAILS] = "SELECT id, mailbox, created, expires, payload FROM mail WHERE mailbox = ?1"
		     " AND (created, id) > (?2, ?3) AND expires > ?4 ORDER BY created, id LIMIT ?5",
	[ST_MAIL_DEL] = "DELETE FROM mail WHERE id = ?1",
	[ST_MAIL_EXPIRE] = "DELETE FROM mail WHERE id IN (SELECT id FROM mail WHERE expires <= ?1 LIMIT ?2)",
	[ST_DEED_ADD] = "INSERT INTO deeds(what, who, at) VALUES(?1, ?2, ?3)",
	[ST_DEEDS] = "SELECT count(*) FROM deeds WHERE what = ?1 AND who = ?2 AND at > ?3",
	/* They have no key: up to the time of the one that is ?2 behind the oldest. */
	[ST_DEED_EXPIRE] =
		"DELETE FROM deeds WHERE at < ?1 AND at <= coalesce((SELECT at FROM deeds WHERE at < ?1 ORDER BY at"
		" LIMIT 1 OFFSET ?2), ?1)",
	[ST_FACT_SET] = "INSERT INTO facts(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
	[ST_FACT_GET] = "SELECT value FROM facts WHERE name = ?1",
};

const char *const depot_sql_many[ST_COUNT] = {
	[ST_VERSION_ADD] = "INSERT INTO versions(key, cursor, id, passing, blob) SELECT * FROM"
			   " unnest(?1::BIGINT[], ?2::BIGINT[], ?3::BYTEA[], ?4::BIGINT[], ?5::BYTEA[])",
	[ST_RECORD_FIND] = "SELECT number, cursor, passing, hash, place"
			   " FROM unnest(?1::BIGINT[], ?2::BYTEA[]) WITH ORDINALITY AS a(a_space, a_id, place)"
			   " JOIN records ON space = a_space AND id = a_id",
	[ST_RECORD_SET] = "INSERT INTO records(space, id, number, cursor, passing, hash) SELECT * FROM"
			  " unnest(?1::BIGINT[], ?2::BYTEA[], ?3::BIGINT[], ?4::BIGINT[], ?5::BIGINT[], ?6::BYTEA[])"
			  " ON CONFLICT(space, id) DO UPDATE SET number = excluded.number, cursor = excluded.cursor,"
			  " passing = excluded.passing, hash = excluded.hash",
	[ST_CHUNK_FIND] = "SELECT size, refs, blob, flags, uploaded, sum, object, place"
			  " FROM unnest(?1::BIGINT[], ?2::BYTEA[]) WITH ORDINALITY AS a(a_space, a_id, place)"
			  " JOIN chunks ON space = a_space AND id = a_id",
	[ST_CHUNK_ADD] = "INSERT INTO chunks(space, id, size, refs, blob, flags, uploaded, sum, object) SELECT * FROM"
			 " unnest(?1::BIGINT[], ?2::BYTEA[], ?3::BIGINT[], ?4::BIGINT[], ?5::BIGINT[], ?6::BIGINT[],"
			 " ?7::BIGINT[], ?8::BYTEA[], ?9::BYTEA[])",
	/* The same chunk may be named several times, and an UPDATE takes each row once. */
	[ST_CHUNK_REFS] = "UPDATE chunks SET refs = refs + a.delta"
			  " FROM (SELECT space, id, CAST(sum(delta) AS BIGINT) AS delta"
			  " FROM unnest(?1::BIGINT[], ?2::BYTEA[], ?3::BIGINT[]) AS u(space, id, delta)"
			  " GROUP BY space, id) AS a WHERE chunks.space = a.space AND chunks.id = a.id",
	[ST_BLOB_ADD] = "WITH fresh AS MATERIALIZED (SELECT nextval(pg_get_serial_sequence('blobs', 'key')) AS key,"
			" blob, place FROM unnest(?1::BYTEA[]) WITH ORDINALITY AS a(blob, place)),"
			" added AS (INSERT INTO blobs(key, blob) OVERRIDING SYSTEM VALUE SELECT key, blob FROM fresh)"
			" SELECT key, place FROM fresh",
};

void depot_boot(char ret_text[DEPOT_BOOT])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret_text, DEPOT_BOOT - 1);

	if (fd >= 0)
		close(fd);
	ret_text[n > 0 ? n : 0] = '\0';
}

void depot_init(struct depot *s, const struct depot_engine *engine, const struct env *env)
{
	s->engine = engine;
	s->env = env;
	for (size_t i = 0; i < ST_COUNT; i++)
		s->stmts[i] = (struct sql_stmt){ .s = s, .st = (enum stmt)i };
}

struct sql_stmt *sql_stmt(struct depot *s, enum stmt st)
{
	struct sql_stmt *q = &s->stmts[st];

	q->err = q->impl ? OK : s->engine->prepare(q);
	if (q->err == OK)
		s->engine->reset(q);
	return q;
}

void sql_bind_text(struct sql_stmt *q, int i, const char *text)
{
	if (q->err == OK)
		q->s->engine->bind_bytes(q, i, text, strlen(text), true);
}

int sql_row(struct sql_stmt *q)
{
	return q->err < 0 ? q->err : q->s->engine->row(q);
}

void sql_done(struct sql_stmt *q)
{
	if (q->err == OK)
		q->s->engine->reset(q);
}

int sql_run(struct sql_stmt *q)
{
	return q->err < 0 ? q->err : q->s->engine->run(q, NULL);
}

int sql_run_counted(struct sql_stmt *q)
{
	int n = 0, err = q->err < 0 ? q->err : q->s->engine->run(q, &n);

	return err < 0 ? err : n;
}

int sql_run_returning(struct sql_stmt *q, uint64_t *ret_v)
{
	int err = sql_row(q);

	if (err <= 0)
		return err < 0 ? err : ERR_INTERNAL;
	*ret_v = sql_uint(q, 0);
	sql_done(q);
	return OK;
}

static int one_of_many(struct depot *s, enum stmt st, const struct sql_rows *rows, size_t i)
{
	struct sql_stmt *q = sql_stmt(s, st);
	int err;

	rows->bind(rows->ctx, q, i);
	if (!rows->row)
		return sql_run(q);
	if ((err = sql_row(q)) <= 0)
		return err;
	err = rows->row(rows->ctx, q, i);
	sql_done(q);
	return err;
}

int sql_many(struct depot *s, enum stmt st, const struct sql_rows *rows)
{
	int err = OK;

	if (rows->n > 1 && s->engine->many && depot_sql_many[st])
		return s->engine->many(s, st, rows);
	for (size_t i = 0; i < rows->n && !err; i++)
		err = one_of_many(s, st, rows, i);
	return err;
}

int sql_fixed(struct sql_stmt *q, int i, void *out, size_t n)
{
	struct bytes b = sql_bytes(q, i);

	if (b.len != n)
		return ERR_CORRUPT;
	memcpy(out, b.p, n);
	return OK;
}

/* --- what every engine does in its own way --- */

bool depot_is_url(const char *where)
{
	return strncmp(where, "postgres://", 11) == 0 || strncmp(where, "postgresql://", 13) == 0;
}

int depot_open(const struct env *env, const char *where, struct depot **ret_s)
{
	return depot_is_url(where) ? depot_pg_open(env, where, ret_s) : depot_sqlite_open(env, where, ret_s);
}

int depot_open_beside(const struct env *env, const char *where, struct depot **ret_s)
{
	return depot_is_url(where) ? depot_pg_open_beside(env, where, ret_s)
				   : depot_sqlite_open_beside(env, where, ret_s);
}

bool depot_is_shared(const struct depot *s)
{
	return s->engine->shared;
}

bool depot_is_writer(const struct depot *s)
{
	return s->writer;
}

int depot_set_cache(struct depot *s, uint64_t kib)
{
	return s->engine->set_cache ? s->engine->set_cache(s, kib) : OK;
}

int depot_open_reader(struct depot *writer, struct depot **ret_s)
{
	return writer->engine->open_reader(writer, ret_s);
}

void depot_close(struct depot *s)
{
	if (s)
		s->engine->close(s);
}

int depot_copy(struct depot *s, const char *path)
{
	return s->engine->copy(s, path);
}

int depot_check(struct depot *s)
{
	return s->engine->check(s);
}

int depot_shrink(struct depot *s)
{
	return s->engine->shrink ? s->engine->shrink(s) : 0;
}

const struct id16 *depot_id(const struct depot *s)
{
	return &s->id;
}

bool depot_same_boot(const struct depot *s)
{
	return s->same_boot;
}

int depot_begin(struct depot *s)
{
	return s->engine->begin(s, false);
}

int depot_begin_alone(struct depot *s)
{
	return s->engine->begin(s, true);
}

int depot_commit(struct depot *s)
{
	return s->engine->commit(s);
}

void depot_rollback(struct depot *s)
{
	s->engine->rollback(s);
}

int depot_tell(struct depot *s, struct bytes words)
{
	return s->engine->tell ? s->engine->tell(s, words) : OK;
}

int depot_begin_read(struct depot *s)
{
	return s->engine->begin_read(s);
}

void depot_end_read(struct depot *s)
{
	s->engine->rollback(s);
}
