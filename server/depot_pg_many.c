/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One statement for many rows: its parameters are arrays, one for each column, in the binary form that the server's array_recv
 * reads: dimensions, whether there are NULLs, the elements' type, length and lower bound, then each element with its length.
 */
#include "server/depot_pg.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"

#define MANY 1000 /* rows at once */
#define COLUMN_BYTES (64u << 20)
#define HEAD_BYTES 20

enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 }; /* pg_type.dat */

struct pg_columns {
	int n, err;
	struct {
		struct buf b;
		uint32_t type;
	} column[SQL_PARAMS_MAX];
};

static int put_element(struct buf *b, const void *p, size_t n)
{
	static const uint8_t head[HEAD_BYTES];
	int err = b->len ? OK : buf_put(b, head, sizeof head);

	if (n > COLUMN_BYTES)
		return ERR_RANGE;
	if (err == OK)
		err = buf_put_u32be(b, (uint32_t)n);
	return err < 0 ? err : buf_put(b, p, n);
}

static void put(struct pg_columns *c, int i, uint32_t type, const void *p, size_t n)
{
	if (c->err < 0)
		return;
	for (; c->n < i; c->n++)
		c->column[c->n].b = (struct buf)BUF_INIT(COLUMN_BYTES);
	c->column[i - 1].type = type;
	c->err = put_element(&c->column[i - 1].b, p, n);
}

void pg_columns_put_int(struct pg_columns *c, int i, int64_t v)
{
	uint8_t be[8];

	for (int k = 0; k < 8; k++)
		be[k] = (uint8_t)((uint64_t)v >> (56 - 8 * k));
	put(c, i, OID_INT8, be, sizeof be);
}

void pg_columns_put_bytes(struct pg_columns *c, int i, const void *p, size_t n, bool text)
{
	put(c, i, text ? OID_TEXT : OID_BYTEA, n ? p : "", n);
}

static void put_heads(struct pg_columns *c, size_t n)
{
	for (int i = 0; i < c->n; i++) {
		const uint32_t words[HEAD_BYTES / 4] = { 1, 0, c->column[i].type, (uint32_t)n, 1 };

		for (size_t k = 0; k < HEAD_BYTES; k++)
			c->column[i].b.data[k] = (uint8_t)(words[k / 4] >> (24 - 8 * (k % 4)));
	}
}

static void columns_release(struct pg_columns *c)
{
	for (int i = 0; i < c->n; i++)
		buf_release(&c->column[i].b);
}

static int send_columns(struct pg *s, enum stmt st, const struct pg_columns *c)
{
	const char *values[SQL_PARAMS_MAX];
	int lengths[SQL_PARAMS_MAX], binary[SQL_PARAMS_MAX], err;
	char name[16];

	if (!s->in_tx && (err = pg_ready(s)) < 0)
		return err;
	if (s->err < 0)
		return s->err;
	for (int i = 0; i < c->n; i++) {
		values[i] = (const char *)c->column[i].b.data;
		lengths[i] = (int)c->column[i].b.len;
		binary[i] = 1;
	}
	snprintf(name, sizeof name, "m%d", (int)st);
	return pg_note_sent(s, PQsendQueryPrepared(s->c, name, c->n, values, lengths, binary, 1));
}

/* The rows of the answer to what was sent last. */
static int give_rows(struct pg *s, struct sql_stmt *q, const struct sql_rows *rows, size_t from, size_t n)
{
	struct pg_stmt *st = q->impl;
	int err = pg_collect(s, &st->res, 1);

	for (st->row = 0; err == OK && st->row < PQntuples(st->res); st->row++) {
		uint64_t place = sql_uint(q, PQnfields(st->res) - 1);

		err = place - 1 < n ? rows->row(rows->ctx, q, from + place - 1) : ERR_INTERNAL;
	}
	sql_done(q);
	return err;
}

static int run_some(struct pg *s, enum stmt no, const struct sql_rows *rows, size_t from, size_t n)
{
	CLEANUP(columns_release) struct pg_columns c = { .n = 0 };
	struct sql_stmt *q = sql_stmt(&s->d, no);
	struct pg_stmt *st = q->impl;
	int err;

	st->columns = &c;
	for (size_t i = 0; i < n; i++)
		rows->bind(rows->ctx, q, from + i);
	st->columns = NULL;
	if (c.err < 0)
		return c.err;
	put_heads(&c, n);
	/* The answer that is wanted must not be collected by the sending of its statement. */
	if (s->queued + 1 >= PG_QUEUE_MAX && (err = pg_collect(s, NULL, 0)) < 0)
		return err;
	if ((err = send_columns(s, no, &c)) < 0)
		return err;
	if (rows->row)
		return give_rows(s, q, rows, from, n);
	return s->in_tx ? OK : pg_collect(s, NULL, 0);
}

int pg_many(struct depot *s, enum stmt st, const struct sql_rows *rows)
{
	int err = OK;

	for (size_t i = 0; i < rows->n && !err; i += MANY)
		err = run_some(pg_of(s), st, rows, i, rows->n - i < MANY ? rows->n - i : MANY);
	return err;
}
