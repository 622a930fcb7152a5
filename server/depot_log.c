/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of spaces, log entries, invites, steps, versions, records and heads. */
#include "server/depot_sql.h"

#define HEADS_PAGE 512 /* of half a KiB each */

/* The key just after the run first .. first+n-1, not past the space's last key. */
static int64_t key_end(uint64_t space, uint64_t first, uint64_t n)
{
	uint64_t end = n > KEY_MAX - first ? KEY_MAX : first + n;

	return depot_key(space, end);
}

static uint64_t key_low(int64_t key)
{
	return (uint64_t)key & KEY_MAX;
}

int depot_space_find(struct depot *s, const struct id16 *id, struct depot_space *ret_sp)
{
	struct sql_stmt *q = sql_stmt(s, ST_SPACE_FIND);
	int err;

	sql_bind_id(q, 1, id);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	*ret_sp = (struct depot_space){
		.no = sql_uint(q, 0),
		.id = *id,
		.cursor = sql_uint(q, 1),
		.versions = sql_uint(q, 2),
		.entries = sql_uint(q, 3),
		.retention = sql_uint(q, 4),
	};
	sql_done(q);
	return OK;
}

int depot_space_create(struct depot *s, struct depot_space *sp)
{
	struct sql_stmt *q = sql_stmt(s, ST_SPACE_ADD);
	int err;

	sql_bind_id(q, 1, &sp->id);
	sql_bind_uint(q, 2, sp->cursor);
	sql_bind_uint(q, 3, sp->versions);
	sql_bind_uint(q, 4, sp->entries);
	sql_bind_uint(q, 5, sp->retention);
	if ((err = sql_run_returning(q, &sp->no)) < 0)
		return err;
	return sp->no >> (63 - KEY_BITS) ? ERR_NO_SPACE : OK;
}

int depot_space_update(struct depot *s, const struct depot_space *sp)
{
	struct sql_stmt *q = sql_stmt(s, ST_SPACE_SET);

	sql_bind_uint(q, 1, sp->no);
	sql_bind_uint(q, 2, sp->cursor);
	sql_bind_uint(q, 3, sp->versions);
	sql_bind_uint(q, 4, sp->entries);
	sql_bind_uint(q, 5, sp->retention);
	return sql_run(q);
}

int depot_space_own(struct depot *s, uint64_t space, const struct id32 *person)
{
	struct sql_stmt *q = sql_stmt(s, ST_SPACE_OWN);

	sql_bind_uint(q, 1, space);
	sql_bind_bytes(q, 2, person->b, sizeof person->b);
	return sql_run(q);
}

int depot_space_bytes(struct depot *s, uint64_t space, uint64_t *ret_bytes, uint64_t *ret_of_owner)
{
	int err = s->engine->flush ? s->engine->flush(s) : OK;
	struct sql_stmt *q = sql_stmt(s, ST_SPACE_BYTES);

	if (err < 0)
		return err;
	sql_bind_uint(q, 1, space);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	*ret_bytes = sql_uint(q, 0);
	*ret_of_owner = sql_uint(q, 1);
	sql_done(q);
	return OK;
}

int depot_entry_put(struct depot *s, uint64_t space, uint64_t seq, struct bytes blob)
{
	struct sql_stmt *q = sql_stmt(s, ST_ENTRY_ADD);

	sql_bind_int(q, 1, depot_key(space, seq));
	sql_bind_bytes(q, 2, blob.p, blob.len);
	return sql_run(q);
}

int depot_entries(struct depot *s, uint64_t space, uint64_t from, uint64_t n, depot_entry_each *each, void *ctx)
{
	int64_t at = depot_key(space, from), end = key_end(space, from, n);
	int err, rows;

	if (from > KEY_MAX)
		return OK;
	do {
		struct sql_stmt *q = sql_stmt(s, ST_ENTRIES);

		sql_bind_int(q, 1, at);
		sql_bind_int(q, 2, end);
		sql_bind_int(q, 3, SQL_PAGE);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			at = sql_int(q, 0) + 1;
			if ((err = each(ctx, key_low(at - 1), sql_bytes(q, 1))))
				break;
		}
		sql_done(q);
	} while (err == OK && rows == SQL_PAGE);
	return err;
}

int depot_invite_put(struct depot *s, const struct id16 *invite, const struct id16 *space)
{
	struct sql_stmt *q = sql_stmt(s, ST_INVITE_ADD);

	sql_bind_id(q, 1, invite);
	sql_bind_id(q, 2, space);
	return sql_run(q);
}

int depot_invite_find(struct depot *s, const struct id16 *invite, struct id16 *ret_space)
{
	struct sql_stmt *q = sql_stmt(s, ST_INVITE_FIND);
	int err;

	sql_bind_id(q, 1, invite);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = sql_fixed(q, 0, ret_space->b, sizeof ret_space->b);
	sql_done(q);
	return err;
}

int depot_step_put(struct depot *s, uint64_t space, const struct depot_step *step)
{
	struct sql_stmt *q = sql_stmt(s, ST_STEP_ADD);

	if (step->cursor >= KEY_MAX)
		return ERR_RANGE;
	sql_bind_int(q, 1, depot_key(space, step->cursor));
	sql_bind_uint(q, 2, step->first_version);
	sql_bind_uint(q, 3, step->versions);
	sql_bind_uint(q, 4, step->first_entry);
	sql_bind_uint(q, 5, step->entries);
	sql_bind_bytes(q, 6, step->lines.p, step->lines.len);
	sql_bind_int(q, 7, step->time);
	sql_bind_int(q, 8, step->healed);
	return sql_run(q);
}

/* All but the lines. */
static struct depot_step step_of(struct sql_stmt *q)
{
	return (struct depot_step){
		.cursor = key_low(sql_int(q, 0)),
		.first_version = sql_uint(q, 1),
		.versions = sql_uint(q, 2),
		.first_entry = sql_uint(q, 3),
		.entries = sql_uint(q, 4),
		.time = sql_int(q, 5),
		.healed = sql_int(q, 6) != 0,
	};
}

int depot_step_get(struct depot *s, uint64_t space, uint64_t cursor, struct depot_step *ret_step)
{
	struct sql_stmt *q = sql_stmt(s, ST_STEP_GET);
	int err;

	if (cursor >= KEY_MAX)
		return ERR_NOT_FOUND;
	sql_bind_int(q, 1, depot_key(space, cursor));
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	*ret_step = step_of(q);
	sql_done(q);
	return OK;
}

int depot_step_lines(struct depot *s, uint64_t space, uint64_t cursor, struct buf *ret_lines)
{
	struct sql_stmt *q = sql_stmt(s, ST_STEP_LINES);
	struct bytes lines;
	int err;

	if (cursor >= KEY_MAX)
		return ERR_NOT_FOUND;
	sql_bind_int(q, 1, depot_key(space, cursor));
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	lines = sql_bytes(q, 0);
	err = buf_put(ret_lines, lines.p, lines.len);
	sql_done(q);
	return err;
}

static int give_log_step(struct sql_stmt *q, depot_log_step_each *each, void *ctx)
{
	struct depot_step step = step_of(q);
	struct id16 space;
	int err = sql_fixed(q, 8, space.b, sizeof space.b);

	step.lines = sql_bytes(q, 7);
	return err < 0 ? err : each(ctx, sql_uint(q, 0) >> KEY_BITS, &space, &step);
}

int depot_log_steps(struct depot *s, depot_log_step_each *each, void *ctx)
{
	int64_t after = 0;
	int err, rows;

	do {
		struct sql_stmt *q = sql_stmt(s, ST_STEPS_OF_LOG);

		sql_bind_int(q, 1, after);
		sql_bind_int(q, 2, SQL_PAGE);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			after = sql_int(q, 0);
			if ((err = give_log_step(q, each, ctx)))
				break;
		}
		sql_done(q);
	} while (err == OK && rows == SQL_PAGE);
	return err;
}

static int give_step(struct sql_stmt *q, depot_step_each *each, void *ctx)
{
	struct depot_step step = step_of(q);

	step.lines = sql_bytes(q, 7);
	return each(ctx, &step);
}

int depot_steps(struct depot *s, uint64_t space, uint64_t since, depot_step_each *each, void *ctx)
{
	int64_t after = depot_key(space, since);
	int err, rows;

	if (since > KEY_MAX)
		return OK;
	do {
		struct sql_stmt *q = sql_stmt(s, ST_STEPS);

		sql_bind_int(q, 1, after);
		sql_bind_int(q, 2, depot_key(space, KEY_MAX));
		sql_bind_int(q, 3, SQL_PAGE);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			after = sql_int(q, 0);
			if ((err = give_step(q, each, ctx)))
				break;
		}
		sql_done(q);
	} while (err == OK && rows == SQL_PAGE);
	return err;
}

struct new_versions {
	uint64_t space;
	const struct depot_version *v;
	const struct id32 *hashes;
};

static void bind_version(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct new_versions *n = ctx;
	const struct depot_version *v = &n->v[i];

	sql_bind_int(q, 1, depot_key(n->space, v->number));
	sql_bind_uint(q, 2, v->cursor);
	sql_bind_id(q, 3, &v->id);
	sql_bind_int(q, 4, v->passing);
	sql_bind_bytes(q, 5, v->blob.p, v->blob.len);
}

static void bind_record(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct new_versions *n = ctx;
	const struct depot_version *v = &n->v[i];

	sql_bind_uint(q, 1, n->space);
	sql_bind_id(q, 2, &v->id);
	sql_bind_uint(q, 3, v->number);
	sql_bind_uint(q, 4, v->cursor);
	sql_bind_int(q, 5, v->passing);
	sql_bind_bytes(q, 6, n->hashes[i].b, sizeof n->hashes[i].b);
}

int depot_versions_put(
	struct depot *s, uint64_t space, const struct depot_version *v, const struct id32 *hashes, size_t n)
{
	struct new_versions all = { .space = space, .v = v, .hashes = hashes };
	struct sql_rows rows = { .n = n, .bind = bind_version, .ctx = &all };
	uint64_t bytes = 0;
	int err;

	for (size_t i = 0; i < n; i++) {
		if (v[i].number >= KEY_MAX)
			return ERR_RANGE;
		bytes += v[i].blob.len;
	}
	if ((err = sql_many(s, ST_VERSION_ADD, &rows)) < 0 || (err = sql_grew(s, space, bytes)) < 0)
		return err;
	rows.bind = bind_record;
	return sql_many(s, ST_RECORD_SET, &rows);
}

static int give_version(struct sql_stmt *q, depot_version_each *each, void *ctx)
{
	struct depot_version v = {
		.number = key_low(sql_int(q, 0)),
		.cursor = sql_uint(q, 1),
		.passing = sql_int(q, 3) != 0,
		.current = sql_is_null(q, 4),
		.expires = sql_is_null(q, 4) ? 0 : sql_int(q, 4),
		.blob = sql_bytes(q, 5),
	};
	int err = sql_fixed(q, 2, v.id.b, sizeof v.id.b);

	return err < 0 ? err : each(ctx, sql_uint(q, 0) >> KEY_BITS, &v);
}

/* Those with keys from `at` on and below `end`. */
static int give_range(struct depot *s, enum stmt st, int64_t at, int64_t end, depot_version_each *each, void *ctx)
{
	int err, rows;

	do {
		struct sql_stmt *q = sql_stmt(s, st);

		sql_bind_int(q, 1, at);
		sql_bind_int(q, 2, end);
		sql_bind_int(q, 3, SQL_PAGE);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			at = sql_int(q, 0) + 1;
			if ((err = give_version(q, each, ctx)))
				break;
		}
		sql_done(q);
	} while (err == OK && rows == SQL_PAGE);
	return err;
}

int depot_versions(struct depot *s, uint64_t space, uint64_t first, uint64_t n, depot_version_each *each, void *ctx)
{
	if (!n || first > KEY_MAX)
		return OK;
	return give_range(s, ST_VERSIONS, depot_key(space, first), key_end(space, first, n), each, ctx);
}

int depot_replaced(struct depot *s, uint64_t space, depot_version_each *each, void *ctx)
{
	return give_range(s, ST_REPLACED, depot_key(space, 0), key_end(space, 0, KEY_MAX), each, ctx);
}

int depot_versions_expired(struct depot *s, int64_t now, uint64_t n, depot_version_each *each, void *ctx)
{
	int64_t expires = INT64_MIN, key = 0;
	uint64_t rows, page;
	int err;

	do {
		struct sql_stmt *q = sql_stmt(s, ST_VERSIONS_EXPIRED);

		page = n < SQL_PAGE ? n : SQL_PAGE;
		sql_bind_int(q, 1, now);
		sql_bind_int(q, 2, expires);
		sql_bind_int(q, 3, key);
		sql_bind_uint(q, 4, page);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			key = sql_int(q, 0);
			expires = sql_int(q, 4);
			if ((err = give_version(q, each, ctx)))
				break;
		}
		sql_done(q);
		n -= rows;
	} while (err == OK && n && rows == page);
	return err;
}

int depot_history(struct depot *s, uint64_t space, const struct id16 *id, uint64_t below, uint64_t n,
	depot_version_each *each, void *ctx)
{
	int64_t end = key_end(space, 0, below);
	uint64_t rows, page;
	int err;

	do {
		struct sql_stmt *q = sql_stmt(s, ST_HISTORY);

		page = n < SQL_PAGE ? n : SQL_PAGE;
		sql_bind_id(q, 1, id);
		sql_bind_int(q, 2, depot_key(space, 0));
		sql_bind_int(q, 3, end);
		sql_bind_uint(q, 4, page);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			end = sql_int(q, 0);
			if ((err = give_version(q, each, ctx)))
				break;
		}
		sql_done(q);
		n -= rows;
	} while (err == OK && n && rows == page);
	return err;
}

/* *from: the first number there is; *ret_end: behind the last key of one look from there on. ERR_NOT_FOUND: there is none below `end`. */
static int look_window(struct depot *s, uint64_t space, uint64_t *from, int64_t end, int64_t *ret_end)
{
	struct sql_stmt *q = sql_stmt(s, ST_VERSIONS);
	int err;

	sql_bind_int(q, 1, depot_key(space, *from));
	sql_bind_int(q, 2, end);
	sql_bind_int(q, 3, 1);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	int64_t at = sql_int(q, 0);
	sql_done(q);
	*from = key_low(at);
	*ret_end = end - at > DEPOT_AT_NUMBERS ? at + DEPOT_AT_NUMBERS : end;
	return OK;
}

int depot_versions_at(
	struct depot *s, uint64_t space, uint64_t *from, uint64_t below, depot_version_each *each, void *ctx)
{
	int64_t limit = key_end(space, 0, below), end, at;
	uint64_t rows;
	int err;

	if (*from > KEY_MAX || (err = look_window(s, space, from, limit, &end)) == ERR_NOT_FOUND)
		return OK;
	if (err < 0)
		return err;
	do {
		struct sql_stmt *q = sql_stmt(s, ST_VERSIONS_AT);

		at = depot_key(space, *from);
		sql_bind_int(q, 1, at);
		sql_bind_int(q, 2, limit);
		sql_bind_uint(q, 3, space);
		sql_bind_uint(q, 4, below < KEY_MAX ? below : KEY_MAX);
		sql_bind_uint(q, 5, SQL_PAGE);
		sql_bind_int(q, 6, end);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			*from = key_low(sql_int(q, 0)) + 1;
			if ((err = give_version(q, each, ctx)))
				break;
		}
		sql_done(q);
	} while (err == OK && rows == SQL_PAGE);
	if (err)
		return err;
	*from = key_low(end - 1) + 1;
	return end < limit;
}

int depot_version_expire(struct depot *s, uint64_t space, uint64_t number, int64_t expires)
{
	struct sql_stmt *q = sql_stmt(s, ST_VERSION_EXPIRE);

	sql_bind_int(q, 1, depot_key(space, number));
	sql_bind_int(q, 2, expires);
	return sql_run(q);
}

int depot_version_remove(struct depot *s, uint64_t space, uint64_t number)
{
	struct sql_stmt *q = sql_stmt(s, ST_VERSION_DEL);

	sql_bind_int(q, 1, depot_key(space, number));
	return sql_run(q);
}

struct wanted_records {
	uint64_t space;
	const struct id16 *ids;
	depot_record_each *each;
	void *ctx;
};

static void bind_wanted(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct wanted_records *w = ctx;

	sql_bind_uint(q, 1, w->space);
	sql_bind_id(q, 2, &w->ids[i]);
}

static int give_record(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct wanted_records *w = ctx;
	struct depot_record r = { .number = sql_uint(q, 0), .cursor = sql_uint(q, 1), .passing = sql_int(q, 2) != 0 };
	int err = sql_fixed(q, 3, r.hash.b, sizeof r.hash.b);

	return err < 0 ? err : w->each(w->ctx, i, &r);
}

int depot_records_find(
	struct depot *s, uint64_t space, const struct id16 *ids, size_t n, depot_record_each *each, void *ctx)
{
	struct wanted_records w = { .space = space, .ids = ids, .each = each, .ctx = ctx };
	const struct sql_rows rows = { .n = n, .bind = bind_wanted, .row = give_record, .ctx = &w };

	return sql_many(s, ST_RECORD_FIND, &rows);
}

struct one_record {
	struct depot_record *r;
	bool found;
};

static int keep_record(void *ctx, size_t i, const struct depot_record *r)
{
	struct one_record *one = ctx;

	(void)i;
	*one->r = *r;
	one->found = true;
	return OK;
}

int depot_record_find(struct depot *s, uint64_t space, const struct id16 *id, struct depot_record *ret_r)
{
	struct one_record one = { .r = ret_r };
	int err = depot_records_find(s, space, id, 1, keep_record, &one);

	return err < 0 || one.found ? err : ERR_NOT_FOUND;
}

static int give_current(struct sql_stmt *q, depot_current_each *each, void *ctx)
{
	struct depot_version v = { .number = sql_uint(q, 2),
		.cursor = sql_uint(q, 3),
		.current = true,
		.passing = sql_int(q, 4) != 0,
		.blob = sql_bytes(q, 6) };
	struct id32 hash;
	int err;

	if ((err = sql_fixed(q, 1, v.id.b, sizeof v.id.b)) < 0 || (err = sql_fixed(q, 5, hash.b, sizeof hash.b)) < 0)
		return err;
	return each(ctx, sql_uint(q, 0), &v, &hash);
}

int depot_currents(struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n,
	depot_current_each *each, void *ctx)
{
	struct id16 from = *after, last = *after;
	uint64_t rows, page;
	int err;

	do {
		struct sql_stmt *q = sql_stmt(s, ST_CURRENTS);

		page = n < SQL_PAGE ? n : SQL_PAGE;
		sql_bind_uint(q, 1, after_space);
		sql_bind_id(q, 2, &from);
		sql_bind_uint(q, 3, page);
		for (rows = 0; (err = sql_row(q)) > 0; rows++) {
			after_space = sql_uint(q, 0);
			if ((err = sql_fixed(q, 1, last.b, sizeof last.b)) < 0 || (err = give_current(q, each, ctx)))
				break;
		}
		sql_done(q);
		from = last;
		n -= rows;
	} while (err == OK && n && rows == page);
	return err;
}

int depot_head_put(struct depot *s, uint64_t space, const struct id32 *device, uint64_t cursor, struct bytes blob)
{
	struct sql_stmt *q = sql_stmt(s, ST_HEAD_SET);

	sql_bind_uint(q, 1, space);
	sql_bind_bytes(q, 2, device->b, sizeof device->b);
	sql_bind_uint(q, 3, cursor);
	sql_bind_bytes(q, 4, blob.p, blob.len);
	return sql_run(q);
}

int depot_heads(struct depot *s, uint64_t space, depot_head_each *each, void *ctx)
{
	struct id32 from, device = { { 0 } };
	size_t from_len = 0, rows; /* the first page begins behind the empty name */
	int err;

	do {
		struct sql_stmt *q = sql_stmt(s, ST_HEADS);

		sql_bind_uint(q, 1, space);
		sql_bind_bytes(q, 2, from_len ? from.b : NULL, from_len);
		sql_bind_int(q, 3, HEADS_PAGE);
		for (rows = 0; (err = sql_row(q)) > 0; rows++)
			if ((err = sql_fixed(q, 0, device.b, sizeof device.b)) < 0 ||
				(err = each(ctx, &device, sql_uint(q, 1), sql_bytes(q, 2))))
				break;
		sql_done(q);
		from = device;
		from_len = sizeof from.b;
	} while (err == OK && rows == HEADS_PAGE);
	return err;
}
