/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot_sql: the statements that keep the depot, and the engines that run them. depot_log.c, depot_chunk.c,
 * depot_plain.c and depot_mail.c say once what is stored and found; depot_sqlite.c and depot_pg.c carry it out. Nobody
 * else includes it.
 *
 *	struct sql_stmt *q = sql_stmt(s, ST_ENTRIES);      // reset, ready to bind; a failure shows at sql_row or
 *	                                                   // sql_run
 *	sql_bind_uint(q, 1, from);
 *	while ((err = sql_row(q)) > 0)
 *		use(sql_uint(q, 0), sql_bytes(q, 1));       // views hold until the next sql_row or sql_done
 *	sql_done(q);
 *
 * The texts (depot_sql.c) are of the SQL that both engines understand: parameters ?1 .. ?9, integers of 64 bits, bytes
 * and text; ON CONFLICT, RETURNING, comparisons of rows; sums cast to BIGINT. Only tables differ, and each engine makes
 * its own. Where one statement for many rows is worth a text of its own, that stands in depot_sql_many. Other
 * statements may run between two rows of one. An engine may hold what sql_run was given until an answer is wanted: then
 * its failure shows there, at depot_commit the latest, which is soon enough because after a failure the transaction is
 * undone. An answer may be read whole at the first sql_row: where rows are many or long, the text has a LIMIT.
 */
#ifndef COFFER_SERVER_DEPOT_SQL_H
#define COFFER_SERVER_DEPOT_SQL_H

#include "server/depot_plain.h"

/* Rows of one space stand together: space number in the high bits, a per-space number in the low ones. */
#define KEY_BITS 40
#define KEY_MAX ((1ull << KEY_BITS) - 1)

#define SQL_PAGE 32 /* rows at once, of those that may hold a whole record */
#define SQL_PARAMS_MAX 12

enum stmt {
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
	ST_STEP_GET,
	ST_STEP_LINES,
	ST_STEPS_OF_LOG,
	ST_VERSION_ADD,
	ST_VERSIONS,
	ST_HISTORY,
	ST_REPLACED,
	ST_VERSIONS_AT,
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
	ST_OBJECT_OWNED,
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
	ST_PLAIN_BYTES,
	ST_ITEM_SET,
	ST_ITEM_GET,
	ST_ITEM_DEK,
	ST_ITEMS,
	ST_FILES_ALL,
	ST_MEMBERS_ALL,
	ST_FILES_TO_GARBAGE,
	ST_FILES_SIZE,
	ST_FILES_DEL,
	ST_GARBAGE_ADD,
	ST_GARBAGE,
	ST_GARBAGE_LATER,
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

struct sql_stmt {
	struct depot *s;
	enum stmt st;
	int err;    /* it could not be prepared */
	void *impl; /* the engine's */
};

/* One statement for each of n rows of parameters. bind() gives those of row i; row() is called if that brought a row:
 * one at most, in any order; NULL if it brings none. row() stops all with a value != 0. */
struct sql_rows {
	size_t n;
	void (*bind)(void *ctx, struct sql_stmt *q, size_t i);
	int (*row)(void *ctx, struct sql_stmt *q, size_t i);
	void *ctx;
};

/* One way of keeping rows. Functions as in depot.h and below; `s` and `q` are always of that engine. */
struct depot_engine {
	bool shared;
	int (*open_reader)(struct depot *writer, struct depot **ret_s);
	int (*set_cache)(struct depot *s, uint64_t kib); /* NULL: the database keeps its own */
	void (*close)(struct depot *s);
	int (*copy)(struct depot *s, const char *path);
	int (*check)(struct depot *s);
	int (*begin)(struct depot *s, bool alone);
	int (*begin_read)(struct depot *s);
	int (*commit)(struct depot *s);
	void (*rollback)(struct depot *s);
	int (*disk_bytes)(struct depot *s, uint64_t *ret_bytes);
	int (*shrink)(struct depot *s); /* NULL: it does so by itself */
	/* Of engines whose tables do not count by themselves (NULL: they do): a row of so many bytes came to a space;
	 * what is counted is to stand in the tables now. */
	int (*grew)(struct depot *s, uint64_t space, uint64_t bytes);
	int (*flush)(struct depot *s);
	int (*tell)(struct depot *s, struct bytes words); /* NULL: nobody else uses the store */
	/* With the text in depot_sql_many; NULL: one by one is as good. */
	int (*many)(struct depot *s, enum stmt st, const struct sql_rows *rows);

	int (*prepare)(struct sql_stmt *q); /* at first use; makes q->impl */
	void (*reset)(struct sql_stmt *q);
	void (*bind_int)(struct sql_stmt *q, int i, int64_t v);
	void (*bind_bytes)(struct sql_stmt *q, int i, const void *p, size_t n, bool text);
	int (*row)(struct sql_stmt *q);
	int (*run)(struct sql_stmt *q, int *ret_changed);
	int64_t (*get_int)(struct sql_stmt *q, int i);
	struct bytes (*get_bytes)(struct sql_stmt *q, int i);
	bool (*is_null)(struct sql_stmt *q, int i);
};

/* What every engine's connection begins with. */
struct depot {
	const struct depot_engine *engine;
	const struct env *env;
	struct id16 id;
	bool same_boot, writer;
	struct sql_stmt stmts[ST_COUNT];
};

/* `sql[st]`: its text. */
extern const char *const depot_sql[ST_COUNT];
/* The same for many rows at once, or NULL: for engines that have arrays. Each parameter is the array of what it is
 * there; of rows the last column is the place in the arrays, from 1. */
extern const char *const depot_sql_many[ST_COUNT];

/* For engines: sets the head of a connection. */
void depot_init(struct depot *s, const struct depot_engine *engine, const struct env *env);

/* For engines: which boot of this machine it is, as the kernel says it (a line); empty: not known. */
#define DEPOT_BOOT 64
void depot_boot(char ret_text[DEPOT_BOOT]);

/* One for each engine; depot_open and depot_open_beside choose. */
int depot_sqlite_open(const struct env *env, const char *dir, struct depot **ret_s) MUST_CHECK;
int depot_sqlite_open_beside(const struct env *env, const char *dir, struct depot **ret_s) MUST_CHECK;
int depot_pg_open(const struct env *env, const char *url, struct depot **ret_s) MUST_CHECK;
int depot_pg_open_beside(const struct env *env, const char *url, struct depot **ret_s) MUST_CHECK;

/* Never NULL. One answer at a time: a second use ends the first. */
struct sql_stmt *sql_stmt(struct depot *s, enum stmt st);

/* What is bound must stay until the statement ran. */
static inline void sql_bind_int(struct sql_stmt *q, int i, int64_t v)
{
	if (q->err == OK)
		q->s->engine->bind_int(q, i, v);
}

static inline void sql_bind_uint(struct sql_stmt *q, int i, uint64_t v)
{
	sql_bind_int(q, i, (int64_t)v);
}

static inline void sql_bind_bytes(struct sql_stmt *q, int i, const void *p, size_t n)
{
	if (q->err == OK)
		q->s->engine->bind_bytes(q, i, p, n, false);
}

void sql_bind_text(struct sql_stmt *q, int i, const char *text);

static inline void sql_bind_id(struct sql_stmt *q, int i, const struct id16 *id)
{
	sql_bind_bytes(q, i, id->b, sizeof id->b);
}

/* 1: there is a row (the next one); 0: no more; negative: failed. After 0 and failures sql_done is not needed. */
int sql_row(struct sql_stmt *q) MUST_CHECK;
void sql_done(struct sql_stmt *q);
/* Runs what gives no rows / the same, and how many rows it changed. */
int sql_run(struct sql_stmt *q) MUST_CHECK;
int sql_run_counted(struct sql_stmt *q) MUST_CHECK;
/* Runs what gives one row with one number. */
int sql_run_returning(struct sql_stmt *q, uint64_t *ret_v) MUST_CHECK;

/* Runs a statement for many rows, at once where the engine can; what comes later may count on all of it. */
int sql_many(struct depot *s, enum stmt st, const struct sql_rows *rows) MUST_CHECK;

static inline int sql_grew(struct depot *s, uint64_t space, uint64_t bytes)
{
	return s->engine->grew ? s->engine->grew(s, space, bytes) : OK;
}

/* Columns of the row, from 0. */
static inline int64_t sql_int(struct sql_stmt *q, int i)
{
	return q->s->engine->get_int(q, i);
}

static inline uint64_t sql_uint(struct sql_stmt *q, int i)
{
	return (uint64_t)sql_int(q, i);
}

static inline struct bytes sql_bytes(struct sql_stmt *q, int i)
{
	return q->s->engine->get_bytes(q, i);
}

static inline bool sql_is_null(struct sql_stmt *q, int i)
{
	return q->s->engine->is_null(q, i);
}

/* A column of exactly n bytes, copied; ERR_CORRUPT otherwise. */
int sql_fixed(struct sql_stmt *q, int i, void *out, size_t n) MUST_CHECK;

static inline int64_t depot_key(uint64_t space, uint64_t n)
{
	return (int64_t)(space << KEY_BITS | n);
}

#endif
