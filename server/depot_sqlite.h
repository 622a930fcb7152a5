/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot_sqlite: what the depot_sqlite*.c files share: the connection, its prepared statements, and error conversion.
 * Nobody else includes it.
 */
#ifndef COFFER_SERVER_DEPOT_SQLITE_H
#define COFFER_SERVER_DEPOT_SQLITE_H

#include <sqlite3.h>
#include "server/depot_plain.h"

/* Rows of one space stand together: space number in the high bits, a per-space number in the low ones. */
#define KEY_BITS 40

enum stmt {
	ST_BEGIN,
	ST_BEGIN_READ,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_SPACE_FIND,
	ST_SPACE_ADD,
	ST_SPACE_SET,
	ST_SPACE_OWN,
	ST_SPACE_BYTES,
	ST_ENTRY_ADD,
	ST_ENTRIES,
	ST_INVITE_ADD,
	ST_INVITE_FIND,
	ST_STEP_ADD,
	ST_STEPS,
	ST_VERSION_ADD,
	ST_VERSIONS,
	ST_VERSION_EXPIRE,
	ST_VERSION_DEL,
	ST_VERSIONS_EXPIRED,
	ST_RECORD_FIND,
	ST_RECORD_SET,
	ST_HEAD_SET,
	ST_HEADS,
	ST_CHUNK_FIND,
	ST_CHUNK_ADD,
	ST_CHUNK_REFS,
	ST_CHUNK_SET,
	ST_CHUNK_DEL,
	ST_CHUNKS_STALE,
	ST_CHUNKS_UNSYNCED,
	ST_CHUNKS_ALL,
	ST_OBJECT_NAMED,
	ST_CURRENTS,
	ST_BLOB_ADD,
	ST_BLOB_GET,
	ST_BLOB_DEL,
	ST_NAMED_ADD,
	ST_NAMED_GET,
	ST_NAMED_DEL,
	ST_SIZES,
	ST_PLAIN_FIND,
	ST_PLAIN_ADD,
	ST_PLAIN_SET,
	ST_ITEM_SET,
	ST_ITEM_GET,
	ST_ITEM_DEK,
	ST_ITEMS,
	ST_FILES_ALL,
	ST_FILES_TO_GARBAGE,
	ST_FILES_DEL,
	ST_GARBAGE_ADD,
	ST_GARBAGE,
	ST_GARBAGE_DEL,
	ST_REVOKE,
	ST_REVOKED,
	ST_MAIL_ADD,
	ST_MAIL_GET,
	ST_MAILS,
	ST_MAIL_DEL,
	ST_MAIL_EXPIRE,
	ST_DEED_ADD,
	ST_DEEDS,
	ST_DEED_EXPIRE,
	ST_FACT_SET,
	ST_FACT_GET,
	ST_COUNT
};

struct depot {
	const struct env *env;
	sqlite3 *db;
	sqlite3_stmt *stmts[ST_COUNT];
	struct id16 id;
	bool same_boot;
	char *path;
	int lock_fd; /* writer only; -1 otherwise */
};

/* The enum err of a SQLite result code that is neither OK, ROW nor DONE. */
int depot_err(struct depot *s, int rc);

/* A statement, prepared at first use, reset and ready to bind; NULL on failure (*ret_err says why). */
sqlite3_stmt *depot_stmt(struct depot *s, enum stmt st, int *ret_err);

/* Runs a statement that gives no row, and resets it. */
int depot_run(struct depot *s, sqlite3_stmt *q);
/* Steps: 1 for a row, 0 at the end (then reset), negative on failure (then reset). */
int depot_step_row(struct depot *s, sqlite3_stmt *q);

static inline int64_t depot_key(uint64_t space, uint64_t n)
{
	return (int64_t)(space << KEY_BITS | n);
}

static inline void depot_bind_bytes(sqlite3_stmt *q, int i, const void *p, size_t n)
{
	sqlite3_bind_blob64(q, i, n ? p : "", n, SQLITE_STATIC);
}

static inline struct bytes depot_column(sqlite3_stmt *q, int i)
{
	const void *p = sqlite3_column_blob(q, i);

	return bytes_of(p, (size_t)sqlite3_column_bytes(q, i));
}

/* A column of exactly n bytes, copied; ERR_CORRUPT otherwise. */
int depot_column_fixed(sqlite3_stmt *q, int i, void *out, size_t n);

#endif
