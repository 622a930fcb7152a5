/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot_pg: a connection to PostgreSQL, shared by the depot_pg*.c files. Nobody else includes it.
 *
 * The connection stays in libpq's pipeline mode (PostgreSQL 15, 34.5): what gives no answer is only queued, and an
 * answer that is wanted brings all before it in the same round trip. A failure undoes the transaction, so it is early
 * enough to hear of it then, at the commit the latest.
 *
 * Several processes write to one database. A writing transaction holds the store's lock (an advisory one) shared, and
 * the row of each space from the moment that it looks at it (FOR UPDATE); housekeeping, which goes through many spaces,
 * holds the store's lock alone.
 */
#ifndef COFFER_SERVER_DEPOT_PG_H
#define COFFER_SERVER_DEPOT_PG_H

#include <libpq-fe.h>
#include "server/depot_sql.h"

#define PG_FORMAT 1
#define PG_QUEUE_MAX 256 /* statements; their answers must fit the socket's buffers, else both ends wait */
#define PG_GROWN_MAX 64

struct pg_columns;

struct pg_stmt {
	struct pg_columns *columns; /* gathered for many rows at once; else NULL */
	PGresult *res; /* NULL: did not run yet */
	int row;       /* the present one */
	int n;         /* parameters */
	int64_t numbers[SQL_PARAMS_MAX]; /* big-endian */
	const char *values[SQL_PARAMS_MAX];
	int lengths[SQL_PARAMS_MAX];
	int binary[SQL_PARAMS_MAX]; /* all 1 */
};

struct pg {
	struct depot d;
	PGconn *c;       /* NULL: never connected */
	char *url, tag[17]; /* tag: random, says who speaks */
	int64_t lock; /* number of the store's advisory lock; lock + 1: of who migrates */
	bool opened; /* it stood once */
	bool in_tx;
	size_t queued;   /* statements whose answers are to come */
	int err;         /* the transaction has failed: of every statement until it ends */
	int64_t retry_at; /* monotonic ns: not sooner, if it could not connect */
	/* Bytes that came to spaces in this transaction: one UPDATE each at its end. One for every row would leave as
	 * many dead rows in a row's chain, each of which the next has to walk over. */
	struct {
		uint64_t space, bytes;
	} grown[PG_GROWN_MAX];
	size_t n_grown;
	struct pg_stmt stmts[ST_COUNT];
};

extern const struct depot_engine pg_engine;

static inline struct pg *pg_of(struct depot *s)
{
	return (struct pg *)s;
}

/* Of whoever's search path was left as PostgreSQL has it, unless a relay's tables stand there already. */
#define PG_SCHEMA "coffer"

/* Connects, migrates if it is the writer, prepares all statements. ERR_OFFLINE, ERR_PERMISSION, ERR_VERSION,
 * ERR_NOT_FOUND (no such database, or a reader found no tables). */
int pg_connect(struct pg *s) MUST_CHECK;
PGconn *pg_connect_to(const char *url);
/* A connection that stands, made anew if it was lost. Not inside a transaction. Never ERR_NOT_FOUND; ERR_CORRUPT: the
 * store is not there any more, or another one is. */
int pg_ready(struct pg *s) MUST_CHECK;

/* The enum err of an answer that is no success; logs what is not to be expected. Never ERR_NOT_FOUND within a
 * connection. */
int pg_err(const PGresult *res);
int pg_err_of_state(const char *state);

/* After each statement that was sent: `sent` is what libpq gave. */
int pg_note_sent(struct pg *s, int sent) MUST_CHECK;
/* Queues a statement without parameters. */
int pg_send(struct pg *s, const char *text) MUST_CHECK;
/* Waits for the answers of all that is queued. Those of the last n go to `last`, if all succeeded. */
int pg_collect(struct pg *s, PGresult **last, size_t n) MUST_CHECK;

/* depot_pg_many.c: parameters as arrays */
int pg_many(struct depot *s, enum stmt st, const struct sql_rows *rows) MUST_CHECK;
void pg_columns_put_int(struct pg_columns *c, int i, int64_t v);
void pg_columns_put_bytes(struct pg_columns *c, int i, const void *p, size_t n, bool text);

/* depot_pg_ear.c */
int pg_tell(struct depot *s, struct bytes words) MUST_CHECK;

#endif
