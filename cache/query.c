/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of every statement stands here once; each is prepared at its first use and kept.
 */
#include "cache/query.h"
#include <stdarg.h>

static const char *const sql[Q_COUNT] = {
	[Q_BEGIN] = "BEGIN",
	[Q_COMMIT] = "COMMIT",
	[Q_ROLLBACK] = "ROLLBACK",
	[Q_SAVEPOINT] = "SAVEPOINT s",
	[Q_RELEASE] = "RELEASE s",
	[Q_ROLLBACK_TO] = "ROLLBACK TO s",
	[Q_STATE_GET] = "SELECT segment, pos, seq, next_row, next_segment, nodes, claims FROM state",
	[Q_STATE_PUT] = "REPLACE INTO state VALUES(1,?,?,?,?,?,?,?)",
	[Q_SEGMENT_PUT] = "REPLACE INTO segment VALUES(?,?,?)",
	[Q_SEGMENT_DEL] = "DELETE FROM segment WHERE number=?",
	[Q_SEGMENT_NEXT] = "SELECT number, size, live FROM segment WHERE number>? ORDER BY number LIMIT 1",
	[Q_NODE_GET] = "SELECT attr FROM node WHERE ino=?",
	[Q_NODE_PUT] = "REPLACE INTO node VALUES(?,?)",
	[Q_NODE_DEL] = "DELETE FROM node WHERE ino=?",
	[Q_NODE_ID_ADD] = "INSERT INTO node_id VALUES(?,?,?)",
	[Q_NODE_ID_GET] = "SELECT ino FROM node_id WHERE space=? AND id=?",
	[Q_NODE_ID_DEL] = "DELETE FROM node_id WHERE space=? AND id=?",
	[Q_NODE_ID_NEXT] = "SELECT id, ino FROM node_id WHERE space=? AND id>? ORDER BY id LIMIT 1",
	[Q_TARGET_GET] = "SELECT target FROM target WHERE ino=?",
	[Q_TARGET_PUT] = "REPLACE INTO target VALUES(?,?)",
	[Q_TARGET_DEL] = "DELETE FROM target WHERE ino=?",
	[Q_DIRTY_PUT] = "REPLACE INTO dirty VALUES(?,?,?)",
	[Q_DIRTY_DEL] = "DELETE FROM dirty WHERE space=? AND change=? AND ino=?",
	[Q_DIRTY_NEXT] =
		"SELECT change, ino FROM dirty WHERE space=? AND (change, ino)>(?,?) ORDER BY change, ino LIMIT 1",
	[Q_DIRTY_COUNT] = "SELECT count(*) FROM dirty",
	[Q_ORPHAN_PUT] = "REPLACE INTO orphan VALUES(?)",
	[Q_ORPHAN_DEL] = "DELETE FROM orphan WHERE ino=?",
	[Q_ORPHAN_NEXT] = "SELECT ino FROM orphan WHERE ino>? ORDER BY ino LIMIT 1",
	[Q_LINK_SHOWN] = "SELECT hash, row FROM link WHERE parent=? AND hash>=? AND hash<? ORDER BY hash",
	[Q_LINK_AT] = "SELECT row FROM link WHERE parent=? AND hash=?",
	[Q_LINK_ADD] = "INSERT INTO link VALUES(?,?,?)",
	[Q_LINK_PUT] = "REPLACE INTO link VALUES(?,?,?)",
	[Q_LINK_DEL] = "DELETE FROM link WHERE parent=? AND hash=?",
	[Q_LINK_NEXT] = "SELECT hash, row FROM link WHERE parent=? AND hash>? ORDER BY hash LIMIT 1",
	[Q_LINK_ID_GET] = "SELECT parent, hash FROM link_id WHERE id=?",
	[Q_LINK_ID_PUT] = "REPLACE INTO link_id VALUES(?,?,?)",
	[Q_LINK_ID_DEL] = "DELETE FROM link_id WHERE id=?",
	[Q_LINK_INO_ADD] = "INSERT INTO link_ino VALUES(?,?,?)",
	[Q_LINK_INO_DEL] = "DELETE FROM link_ino WHERE ino=? AND parent=? AND hash=?",
	[Q_LINK_INO_NEXT] =
		"SELECT parent, hash FROM link_ino WHERE ino=? AND (parent, hash)>(?,?) ORDER BY parent, hash LIMIT 1",
	[Q_CLAIM_PUT] = "REPLACE INTO claim VALUES(?,?,?)",
	[Q_CLAIM_DEL] = "DELETE FROM claim WHERE parent=? AND hash=? AND id=?",
	[Q_CLAIM_NEXT] = "SELECT hash, id FROM claim WHERE parent=? AND (hash, id)>(?,?) ORDER BY hash, id LIMIT 1",
	[Q_XATTR_ANY] = "SELECT ino FROM xattr LIMIT 1",
	[Q_XATTR_GET] = "SELECT value FROM xattr WHERE ino=? AND name=?",
	[Q_XATTR_PUT] = "REPLACE INTO xattr VALUES(?,?,?)",
	[Q_XATTR_DEL] = "DELETE FROM xattr WHERE ino=? AND name=?",
	[Q_XATTR_NEXT] = "SELECT name, value FROM xattr WHERE ino=? AND name>? ORDER BY name LIMIT 1",
	[Q_XATTR_CLEAR] = "DELETE FROM xattr WHERE ino=?",
	[Q_EXTENT_BEFORE] = "SELECT off, len, segment, pos, run, skip FROM extent WHERE owner=? AND off<=? ORDER BY "
			    "off DESC LIMIT 1",
	[Q_EXTENT_BELOW] =
		"SELECT off, len, segment, pos, run, skip FROM extent WHERE owner=? AND off<? ORDER BY off DESC",
	[Q_EXTENT_FROM] =
		"SELECT off, len, segment, pos, run, skip FROM extent WHERE owner=? AND off>=? AND off<? ORDER BY off",
	[Q_EXTENT_ADD] = "REPLACE INTO extent VALUES(?,?,?,?,?,?,?)",
	[Q_EXTENT_LEN] = "UPDATE extent SET len=? WHERE owner=? AND off=?",
	[Q_EXTENT_DEL] = "DELETE FROM extent WHERE owner=? AND off>=? AND off<=?",
	[Q_EXTENT_LAST] = "SELECT off, len, segment, pos, run, skip FROM extent WHERE owner=? AND off>=? AND off<? "
			  "ORDER BY off DESC LIMIT 1",
	[Q_EXTENT_MOVE] = "UPDATE extent SET off=? WHERE owner=? AND off=?",
	[Q_EXTENT_WALK] = ("SELECT off, len, segment, pos, run, skip, owner FROM extent WHERE (owner, off)>(?,?) "
			   "ORDER BY owner, off"),
	[Q_EXTENT_CHUNK] = "SELECT owner FROM extent WHERE segment=0 AND pos=? AND owner>? ORDER BY owner LIMIT 1",
	[Q_EXTENT_SUM] = "SELECT ifnull(sum(len), 0) FROM extent WHERE owner=?",
	[Q_CHUNK_GET] = "SELECT data FROM chunk WHERE row=?",
	[Q_CHUNK_PUT] = "REPLACE INTO chunk VALUES(?,?)",
	[Q_CHUNK_DEL] = "DELETE FROM chunk WHERE row=?",
	[Q_CHUNK_NEXT] = "SELECT row FROM chunk WHERE row>? ORDER BY row LIMIT 1",
	[Q_CHUNK_ID_GET] = "SELECT row FROM chunk_id WHERE space=? AND id=?",
	[Q_CHUNK_ID_PUT] = "REPLACE INTO chunk_id VALUES(?,?,?)",
	[Q_CHUNK_ID_DEL] = "DELETE FROM chunk_id WHERE space=? AND id=?",
	[Q_CHUNK_QUEUED] = "SELECT row FROM outbox_chunk WHERE chunk=? LIMIT 1",
	[Q_LOOSE_PUT] = "REPLACE INTO loose VALUES(?)",
	[Q_LOOSE_DEL] = "DELETE FROM loose WHERE chunk=?",
	[Q_LOOSE_NEXT] = "SELECT chunk FROM loose WHERE chunk>? ORDER BY chunk LIMIT 1",
	[Q_USED_PUT] = "REPLACE INTO used VALUES(?,?)",
	[Q_USED_GET] = "SELECT stamp FROM used WHERE row=?",
	[Q_USED_NEXT] = "SELECT row FROM used WHERE row>? ORDER BY row LIMIT 1",
	[Q_USED_DEL] = "DELETE FROM used WHERE row=?",
	[Q_SPACE_GET] = "SELECT data FROM space WHERE row=?",
	[Q_SPACE_PUT] = "REPLACE INTO space VALUES(?,?)",
	[Q_SPACE_DEL] = "DELETE FROM space WHERE row=?",
	[Q_SPACE_NEXT] = "SELECT row, data FROM space WHERE row>? ORDER BY row LIMIT 1",
	[Q_SPACE_ENTRIES_DEL] = "DELETE FROM entry WHERE space=?",
	[Q_SPACE_RECORDS_DEL] = "DELETE FROM record WHERE space=?",
	[Q_ENTRY_PUT] = "REPLACE INTO entry VALUES(?,?,?)",
	[Q_ENTRY_GET] = "SELECT seq, blob FROM entry WHERE space=? AND seq>=? ORDER BY seq LIMIT 1",
	[Q_RECORD_GET] = "SELECT hash, cursor, blob FROM record WHERE space=? AND id=?",
	[Q_RECORD_PUT] = "REPLACE INTO record(space, id, hash, cursor, blob) VALUES(?,?,?,?,?)",
	[Q_RECORD_NEXT] =
		"SELECT id, hash, cursor, length(blob), blob FROM record WHERE space=? AND id>? ORDER BY id LIMIT 1",
	[Q_OUTBOX_PUT] = "REPLACE INTO outbox VALUES(?,?,?)",
	[Q_OUTBOX_NEXT] = "SELECT row, data, blob FROM outbox WHERE row>? ORDER BY row LIMIT 1",
	[Q_OUTBOX_DEL] = "DELETE FROM outbox WHERE row=?",
	[Q_OUTBOX_COUNT] = "SELECT count(*) FROM outbox",
	[Q_OUTBOX_CHUNK_PUT] = "REPLACE INTO outbox_chunk VALUES(?,?)",
	[Q_OUTBOX_CHUNK_NEXT] = "SELECT chunk FROM outbox_chunk WHERE row=? AND chunk>? ORDER BY chunk LIMIT 1",
	[Q_OUTBOX_CHUNK_DEL] = "DELETE FROM outbox_chunk WHERE row=? AND chunk=?",
	[Q_META_GET] = "SELECT value FROM meta WHERE key=?",
	[Q_META_PUT] = "REPLACE INTO meta VALUES(?,?)",
	[Q_META_DEL] = "DELETE FROM meta WHERE key=?",
	[Q_META_NEXT] = "SELECT key, value FROM meta WHERE key>? ORDER BY key LIMIT 1",
	[Q_TOUCHED_PUT] = "REPLACE INTO touched VALUES(?,?)",
	[Q_TOUCHED_DEL] = "DELETE FROM touched WHERE parent=? AND name=?",
	[Q_TOUCHED_NEXT] = "SELECT parent, name FROM touched WHERE (parent,name)>(?,?) ORDER BY parent, name LIMIT 1",
};

int query_error(struct index *ix, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_CONSTRAINT:
		return ERR_EXISTS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return ERR_CORRUPT;
	case SQLITE_TOOBIG:
		return ERR_RANGE;
	case SQLITE_IOERR:
		if (rc == SQLITE_IOERR_NOMEM)
			return ERR_NOMEM;
		return rc == SQLITE_IOERR_DATA ? ERR_CORRUPT : ERR_IO;
	case SQLITE_ABORT:
		return ERR_INTERNAL;
	default:
		(void)ix;
		return ERR_IO;
	}
}

static int bind_all(sqlite3_stmt *st, const char *types, va_list args)
{
	int rc = SQLITE_OK;
	for (int i = 1; rc == SQLITE_OK && *types; types++, i++) {
		if (*types == 'i') {
			rc = sqlite3_bind_int64(st, i, (sqlite3_int64)va_arg(args, uint64_t));
		} else {
			struct bytes b = va_arg(args, struct bytes);
			rc = sqlite3_bind_blob64(st, i, b.len > 0 ? (const void *)b.p : "", b.len, SQLITE_STATIC);
		}
	}
	return rc;
}

static int note_error(struct index *ix)
{
	ix->lost = ix->begun && sqlite3_get_autocommit(ix->db);
	return sqlite3_extended_errcode(ix->db);
}

/* SQLITE_ROW, SQLITE_DONE or an error; statements that gave no row are reset. */
static int step(struct index *ix, enum query q, const char *types, va_list args)
{
	int rc = ix->lost && q != Q_BEGIN ? SQLITE_ABORT : SQLITE_OK;
	if (rc == SQLITE_OK && !ix->st[q])
		rc = sqlite3_prepare_v3(ix->db, sql[q], -1, SQLITE_PREPARE_PERSISTENT, &ix->st[q], NULL);
	if (rc == SQLITE_OK)
		rc = bind_all(ix->st[q], types, args);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(ix->st[q]);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE && !ix->lost)
		rc = note_error(ix);
	if (rc != SQLITE_ROW && ix->st[q])
		sqlite3_reset(ix->st[q]);
	return rc;
}

int query_row(struct index *ix, enum query q, const char *types, ...)
{
	va_list args;
	va_start(args, types);
	int rc = step(ix, q, types, args);
	va_end(args);
	if (rc == SQLITE_ROW)
		return 0;
	return rc == SQLITE_DONE ? ERR_NOT_FOUND : query_error(ix, rc);
}

int query_next(struct index *ix, enum query q)
{
	int rc = sqlite3_step(ix->st[q]);
	if (rc == SQLITE_ROW)
		return 0;
	return rc == SQLITE_DONE ? ERR_NOT_FOUND : query_error(ix, note_error(ix));
}

int query_run(struct index *ix, enum query q, const char *types, ...)
{
	va_list args;
	va_start(args, types);
	int rc = step(ix, q, types, args);
	va_end(args);
	if (rc == SQLITE_ROW)
		sqlite3_reset(ix->st[q]);
	return query_error(ix, rc);
}

void query_done(struct index *ix, enum query q)
{
	sqlite3_reset(ix->st[q]);
}

uint64_t query_u64(struct index *ix, enum query q, int column)
{
	return (uint64_t)sqlite3_column_int64(ix->st[q], column);
}

struct bytes query_blob(struct index *ix, enum query q, int column)
{
	const void *p = sqlite3_column_blob(ix->st[q], column);
	return bytes_of(p, p ? (size_t)sqlite3_column_bytes(ix->st[q], column) : 0);
}

int query_copy(struct index *ix, enum query q, int column, struct buf *out)
{
	struct bytes v = query_blob(ix, q, column);
	buf_clear(out);
	return buf_put(out, v.p, v.len);
}
