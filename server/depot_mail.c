/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of mail, of deeds that limits count, and of single facts. */
#include "server/depot_sql.h"

static void bind_id32(struct sql_stmt *q, int i, const struct id32 *id)
{
	sql_bind_bytes(q, i, id->b, sizeof id->b);
}

/* Runs a deletion by time; how many rows it took. */
static int run_before(struct depot *s, enum stmt st, int64_t t, uint64_t n)
{
	struct sql_stmt *q = sql_stmt(s, st);

	sql_bind_int(q, 1, t);
	sql_bind_uint(q, 2, n);
	return sql_run_counted(q);
}

int depot_mail_put(struct depot *s, const struct depot_mail *m)
{
	struct sql_stmt *q = sql_stmt(s, ST_MAIL_ADD);

	sql_bind_id(q, 1, &m->id);
	bind_id32(q, 2, &m->mailbox);
	sql_bind_int(q, 3, m->created);
	sql_bind_int(q, 4, m->expires);
	sql_bind_bytes(q, 5, m->payload.p, m->payload.len);
	return sql_run(q);
}

static int give_mail(struct sql_stmt *q, depot_mail_each *each, void *ctx)
{
	struct depot_mail m = {
		.created = sql_int(q, 2),
		.expires = sql_int(q, 3),
		.payload = sql_bytes(q, 4),
	};
	int err = sql_fixed(q, 0, m.id.b, sizeof m.id.b);

	if (err == OK)
		err = sql_fixed(q, 1, m.mailbox.b, sizeof m.mailbox.b);
	return err < 0 ? err : each(ctx, &m);
}

int depot_mail_get(struct depot *s, const struct id16 *id, depot_mail_each *each, void *ctx)
{
	struct sql_stmt *q = sql_stmt(s, ST_MAIL_GET);
	int err;

	sql_bind_id(q, 1, id);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = give_mail(q, each, ctx);
	sql_done(q);
	return err;
}

int depot_mails(struct depot *s, const struct id32 *mailbox, int64_t created, const struct id16 *id, int64_t now,
	uint64_t n, depot_mail_each *each, void *ctx)
{
	struct id16 from = *id, last = *id;
	uint64_t rows, page;
	int err;

	do {
		struct sql_stmt *q = sql_stmt(s, ST_MAILS);

		page = n < SQL_PAGE ? n : SQL_PAGE;
		bind_id32(q, 1, mailbox);
		sql_bind_int(q, 2, created);
		sql_bind_id(q, 3, &from);
		sql_bind_int(q, 4, now);
		sql_bind_uint(q, 5, page);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			created = sql_int(q, 2);
			if ((err = sql_fixed(q, 0, last.b, sizeof last.b)) < 0 || (err = give_mail(q, each, ctx)))
				break;
		}
		sql_done(q);
		from = last;
		n -= rows;
	} while (err == OK && n && rows == page);
	return err;
}

int depot_mail_remove(struct depot *s, const struct id16 *id)
{
	struct sql_stmt *q = sql_stmt(s, ST_MAIL_DEL);

	sql_bind_id(q, 1, id);
	return sql_run(q);
}

int depot_mail_expire(struct depot *s, int64_t now, uint64_t n)
{
	return run_before(s, ST_MAIL_EXPIRE, now, n);
}

/* --- deeds --- */

static struct sql_stmt *stmt_of_deed(struct depot *s, enum stmt st, const char *what, const struct id32 *who, int64_t t)
{
	struct sql_stmt *q = sql_stmt(s, st);

	sql_bind_text(q, 1, what);
	bind_id32(q, 2, who);
	sql_bind_int(q, 3, t);
	return q;
}

int depot_deed_put(struct depot *s, const char *what, const struct id32 *who, int64_t now)
{
	return sql_run(stmt_of_deed(s, ST_DEED_ADD, what, who, now));
}

int64_t depot_deeds(struct depot *s, const char *what, const struct id32 *who, int64_t since)
{
	uint64_t n = 0;
	int err = sql_run_returning(stmt_of_deed(s, ST_DEEDS, what, who, since), &n);

	return err < 0 ? err : (int64_t)n;
}

int depot_deed_expire(struct depot *s, int64_t before, uint64_t n)
{
	return n ? run_before(s, ST_DEED_EXPIRE, before, n - 1) : 0;
}

/* --- facts --- */

int depot_fact_put(struct depot *s, const char *name, struct bytes value)
{
	struct sql_stmt *q = sql_stmt(s, ST_FACT_SET);

	sql_bind_text(q, 1, name);
	sql_bind_bytes(q, 2, value.p, value.len);
	return sql_run(q);
}

int depot_fact_get(struct depot *s, const char *name, struct buf *ret_value)
{
	struct sql_stmt *q = sql_stmt(s, ST_FACT_GET);
	struct bytes b;
	int err;

	sql_bind_text(q, 1, name);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	b = sql_bytes(q, 0);
	err = buf_put(ret_value, b.p, b.len);
	sql_done(q);
	return err;
}
