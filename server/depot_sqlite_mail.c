/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of mail, of deeds that limits count, and of single facts. */
#include "server/depot_sqlite.h"

static void bind_id32(sqlite3_stmt *q, int i, const struct id32 *id)
{
	depot_bind_bytes(q, i, id->b, sizeof id->b);
}

/* Runs a deletion by time; how many rows it took. */
static int run_before(struct depot *s, enum stmt st, int64_t t)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, st, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, t);
	err = depot_run(s, q);
	return err < 0 ? err : sqlite3_changes(s->db);
}

int depot_mail_put(struct depot *s, const struct depot_mail *m)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_MAIL_ADD, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, m->id.b, sizeof m->id.b);
	bind_id32(q, 2, &m->mailbox);
	sqlite3_bind_int64(q, 3, m->created);
	sqlite3_bind_int64(q, 4, m->expires);
	depot_bind_bytes(q, 5, m->payload.p, m->payload.len);
	return depot_run(s, q);
}

static int give_mail(sqlite3_stmt *q, depot_mail_each *each, void *ctx)
{
	struct depot_mail m = {
		.created = sqlite3_column_int64(q, 2),
		.expires = sqlite3_column_int64(q, 3),
		.payload = depot_column(q, 4),
	};
	int err = depot_column_fixed(q, 0, m.id.b, sizeof m.id.b);

	if (err == OK)
		err = depot_column_fixed(q, 1, m.mailbox.b, sizeof m.mailbox.b);
	return err < 0 ? err : each(ctx, &m);
}

int depot_mail_get(struct depot *s, const struct id16 *id, depot_mail_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_MAIL_GET, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, id->b, sizeof id->b);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = give_mail(q, each, ctx);
	sqlite3_reset(q);
	return err;
}

int depot_mails(struct depot *s, const struct id32 *mailbox, int64_t created, const struct id16 *id, int64_t now,
	uint64_t n, depot_mail_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_MAILS, &err);

	if (!q)
		return err;
	bind_id32(q, 1, mailbox);
	sqlite3_bind_int64(q, 2, created);
	depot_bind_bytes(q, 3, id->b, sizeof id->b);
	sqlite3_bind_int64(q, 4, now);
	sqlite3_bind_int64(q, 5, (sqlite3_int64)n);
	while ((err = depot_step_row(s, q)) > 0)
		if ((err = give_mail(q, each, ctx)))
			break;
	sqlite3_reset(q);
	return err;
}

int depot_mail_remove(struct depot *s, const struct id16 *id)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_MAIL_DEL, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, id->b, sizeof id->b);
	return depot_run(s, q);
}

int depot_mail_expire(struct depot *s, int64_t now)
{
	return run_before(s, ST_MAIL_EXPIRE, now);
}

/* --- deeds --- */

static sqlite3_stmt *stmt_of_deed(
	struct depot *s, enum stmt st, const char *what, const struct id32 *who, int64_t t, int *ret_err)
{
	sqlite3_stmt *q = depot_stmt(s, st, ret_err);

	if (q) {
		sqlite3_bind_text(q, 1, what, -1, SQLITE_STATIC);
		bind_id32(q, 2, who);
		sqlite3_bind_int64(q, 3, t);
	}
	return q;
}

int depot_deed_put(struct depot *s, const char *what, const struct id32 *who, int64_t now)
{
	int err;
	sqlite3_stmt *q = stmt_of_deed(s, ST_DEED_ADD, what, who, now, &err);

	return q ? depot_run(s, q) : err;
}

int64_t depot_deeds(struct depot *s, const char *what, const struct id32 *who, int64_t since)
{
	int err;
	sqlite3_stmt *q = stmt_of_deed(s, ST_DEEDS, what, who, since, &err);
	int64_t n;

	if (!q)
		return err;
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_INTERNAL;
	n = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return n;
}

int depot_deed_expire(struct depot *s, int64_t before)
{
	return run_before(s, ST_DEED_EXPIRE, before);
}

/* --- facts --- */

int depot_fact_put(struct depot *s, const char *name, struct bytes value)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_FACT_SET, &err);

	if (!q)
		return err;
	sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	depot_bind_bytes(q, 2, value.p, value.len);
	return depot_run(s, q);
}

int depot_fact_get(struct depot *s, const char *name, struct buf *ret_value)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_FACT_GET, &err);
	struct bytes b;

	if (!q)
		return err;
	sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	b = depot_column(q, 0);
	err = buf_put(ret_value, b.p, b.len);
	sqlite3_reset(q);
	return err;
}
