/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of spaces, log entries, invites, steps, versions, records and heads. */
#include "server/depot_sqlite.h"

#define KEY_MAX ((1ull << KEY_BITS) - 1)

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

static void bind_u64(sqlite3_stmt *q, int i, uint64_t v)
{
	sqlite3_bind_int64(q, i, (sqlite3_int64)v);
}

static uint64_t column_u64(sqlite3_stmt *q, int i)
{
	return (uint64_t)sqlite3_column_int64(q, i);
}

int depot_space_find(struct depot *s, const struct id16 *id, struct depot_space *ret_sp)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_SPACE_FIND, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, id->b, sizeof id->b);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	*ret_sp = (struct depot_space){
		.no = column_u64(q, 0),
		.id = *id,
		.cursor = column_u64(q, 1),
		.versions = column_u64(q, 2),
		.entries = column_u64(q, 3),
		.retention = column_u64(q, 4),
	};
	sqlite3_reset(q);
	return OK;
}

int depot_space_create(struct depot *s, struct depot_space *sp)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_SPACE_ADD, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, sp->id.b, sizeof sp->id.b);
	bind_u64(q, 2, sp->cursor);
	bind_u64(q, 3, sp->versions);
	bind_u64(q, 4, sp->entries);
	bind_u64(q, 5, sp->retention);
	if ((err = depot_run(s, q)) < 0)
		return err;
	sp->no = (uint64_t)sqlite3_last_insert_rowid(s->db);
	return sp->no >> (63 - KEY_BITS) ? ERR_NO_SPACE : OK;
}

int depot_space_update(struct depot *s, const struct depot_space *sp)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_SPACE_SET, &err);

	if (!q)
		return err;
	bind_u64(q, 1, sp->no);
	bind_u64(q, 2, sp->cursor);
	bind_u64(q, 3, sp->versions);
	bind_u64(q, 4, sp->entries);
	bind_u64(q, 5, sp->retention);
	return depot_run(s, q);
}

int depot_space_own(struct depot *s, uint64_t space, const struct id32 *person)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_SPACE_OWN, &err);

	if (!q)
		return err;
	bind_u64(q, 1, space);
	depot_bind_bytes(q, 2, person->b, sizeof person->b);
	return depot_run(s, q);
}

int depot_space_bytes(struct depot *s, uint64_t space, uint64_t *ret_bytes, uint64_t *ret_of_owner)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_SPACE_BYTES, &err);

	if (!q)
		return err;
	bind_u64(q, 1, space);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	*ret_bytes = column_u64(q, 0);
	*ret_of_owner = column_u64(q, 1);
	sqlite3_reset(q);
	return OK;
}

int depot_entry_put(struct depot *s, uint64_t space, uint64_t seq, struct bytes blob)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_ENTRY_ADD, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, depot_key(space, seq));
	depot_bind_bytes(q, 2, blob.p, blob.len);
	return depot_run(s, q);
}

int depot_entries(struct depot *s, uint64_t space, uint64_t from, uint64_t n, depot_entry_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_ENTRIES, &err);

	if (!q)
		return err;
	if (from > KEY_MAX)
		return OK;
	sqlite3_bind_int64(q, 1, depot_key(space, from));
	sqlite3_bind_int64(q, 2, key_end(space, from, n));
	while ((err = depot_step_row(s, q)) > 0) {
		err = each(ctx, key_low(sqlite3_column_int64(q, 0)), depot_column(q, 1));
		if (err)
			break;
	}
	sqlite3_reset(q);
	return err;
}

int depot_invite_put(struct depot *s, const struct id16 *invite, const struct id16 *space)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_INVITE_ADD, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, invite->b, sizeof invite->b);
	depot_bind_bytes(q, 2, space->b, sizeof space->b);
	return depot_run(s, q);
}

int depot_invite_find(struct depot *s, const struct id16 *invite, struct id16 *ret_space)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_INVITE_FIND, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, invite->b, sizeof invite->b);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = depot_column_fixed(q, 0, ret_space->b, sizeof ret_space->b);
	sqlite3_reset(q);
	return err;
}

int depot_step_put(struct depot *s, uint64_t space, const struct depot_step *step)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_STEP_ADD, &err);

	if (!q)
		return err;
	if (step->cursor >= KEY_MAX)
		return ERR_RANGE;
	sqlite3_bind_int64(q, 1, depot_key(space, step->cursor));
	bind_u64(q, 2, step->first_version);
	bind_u64(q, 3, step->versions);
	bind_u64(q, 4, step->first_entry);
	bind_u64(q, 5, step->entries);
	depot_bind_bytes(q, 6, step->lines.p, step->lines.len);
	return depot_run(s, q);
}

int depot_steps(struct depot *s, uint64_t space, uint64_t since, depot_step_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_STEPS, &err);

	if (!q)
		return err;
	if (since > KEY_MAX)
		return OK;
	sqlite3_bind_int64(q, 1, depot_key(space, since));
	sqlite3_bind_int64(q, 2, depot_key(space, KEY_MAX));
	while ((err = depot_step_row(s, q)) > 0) {
		struct depot_step step = {
			.cursor = key_low(sqlite3_column_int64(q, 0)),
			.first_version = column_u64(q, 1),
			.versions = column_u64(q, 2),
			.first_entry = column_u64(q, 3),
			.entries = column_u64(q, 4),
			.lines = depot_column(q, 5),
		};

		if ((err = each(ctx, &step)))
			break;
	}
	sqlite3_reset(q);
	return err;
}

static int record_set(struct depot *s, uint64_t space, const struct depot_version *v, const struct id32 *hash)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_RECORD_SET, &err);

	if (!q)
		return err;
	bind_u64(q, 1, space);
	depot_bind_bytes(q, 2, v->id.b, sizeof v->id.b);
	bind_u64(q, 3, v->number);
	bind_u64(q, 4, v->cursor);
	sqlite3_bind_int(q, 5, v->passing);
	depot_bind_bytes(q, 6, hash->b, sizeof hash->b);
	return depot_run(s, q);
}

int depot_version_put(struct depot *s, uint64_t space, const struct depot_version *v, const struct id32 *hash)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_VERSION_ADD, &err);

	if (!q)
		return err;
	if (v->number >= KEY_MAX)
		return ERR_RANGE;
	sqlite3_bind_int64(q, 1, depot_key(space, v->number));
	bind_u64(q, 2, v->cursor);
	depot_bind_bytes(q, 3, v->id.b, sizeof v->id.b);
	sqlite3_bind_int(q, 4, v->passing);
	depot_bind_bytes(q, 5, v->blob.p, v->blob.len);
	if ((err = depot_run(s, q)) < 0)
		return err;
	return record_set(s, space, v, hash);
}

static int each_version(struct depot *s, sqlite3_stmt *q, depot_version_each *each, void *ctx)
{
	int err;

	while ((err = depot_step_row(s, q)) > 0) {
		struct depot_version v = {
			.number = key_low(sqlite3_column_int64(q, 0)),
			.cursor = column_u64(q, 1),
			.passing = sqlite3_column_int(q, 3),
			.current = sqlite3_column_type(q, 4) == SQLITE_NULL,
			.blob = depot_column(q, 5),
		};

		if ((err = depot_column_fixed(q, 2, v.id.b, sizeof v.id.b)) < 0 ||
			(err = each(ctx, (uint64_t)sqlite3_column_int64(q, 0) >> KEY_BITS, &v)))
			break;
	}
	sqlite3_reset(q);
	return err;
}

int depot_versions(struct depot *s, uint64_t space, uint64_t first, uint64_t n, depot_version_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q;

	if (!n)
		return OK;
	if (!(q = depot_stmt(s, ST_VERSIONS, &err)))
		return err;
	sqlite3_bind_int64(q, 1, depot_key(space, first));
	sqlite3_bind_int64(q, 2, key_end(space, first, n));
	return each_version(s, q, each, ctx);
}

int depot_versions_expired(struct depot *s, int64_t now, uint64_t n, depot_version_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_VERSIONS_EXPIRED, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, now);
	bind_u64(q, 2, n);
	return each_version(s, q, each, ctx);
}

int depot_version_expire(struct depot *s, uint64_t space, uint64_t number, int64_t expires)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_VERSION_EXPIRE, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, depot_key(space, number));
	sqlite3_bind_int64(q, 2, expires);
	return depot_run(s, q);
}

int depot_version_remove(struct depot *s, uint64_t space, uint64_t number)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_VERSION_DEL, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, depot_key(space, number));
	return depot_run(s, q);
}

int depot_record_find(struct depot *s, uint64_t space, const struct id16 *id, struct depot_record *ret_r)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_RECORD_FIND, &err);

	if (!q)
		return err;
	bind_u64(q, 1, space);
	depot_bind_bytes(q, 2, id->b, sizeof id->b);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	ret_r->number = column_u64(q, 0);
	ret_r->cursor = column_u64(q, 1);
	ret_r->passing = sqlite3_column_int(q, 2);
	err = depot_column_fixed(q, 3, ret_r->hash.b, sizeof ret_r->hash.b);
	sqlite3_reset(q);
	return err;
}

int depot_currents(struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n,
	depot_current_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_CURRENTS, &err);

	if (!q)
		return err;
	bind_u64(q, 1, after_space);
	depot_bind_bytes(q, 2, after->b, sizeof after->b);
	bind_u64(q, 3, n);
	while ((err = depot_step_row(s, q)) > 0) {
		struct depot_version v = { .number = column_u64(q, 2),
			.cursor = column_u64(q, 3),
			.current = true,
			.passing = sqlite3_column_int(q, 4),
			.blob = depot_column(q, 6) };
		struct id32 hash;

		if ((err = depot_column_fixed(q, 1, v.id.b, sizeof v.id.b)) < 0 ||
			(err = depot_column_fixed(q, 5, hash.b, sizeof hash.b)) < 0 ||
			(err = each(ctx, column_u64(q, 0), &v, &hash)))
			break;
	}
	sqlite3_reset(q);
	return err;
}

int depot_head_put(struct depot *s, uint64_t space, const struct id32 *device, uint64_t cursor, struct bytes blob)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_HEAD_SET, &err);

	if (!q)
		return err;
	bind_u64(q, 1, space);
	depot_bind_bytes(q, 2, device->b, sizeof device->b);
	bind_u64(q, 3, cursor);
	depot_bind_bytes(q, 4, blob.p, blob.len);
	return depot_run(s, q);
}

int depot_heads(struct depot *s, uint64_t space, depot_head_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_HEADS, &err);

	if (!q)
		return err;
	bind_u64(q, 1, space);
	while ((err = depot_step_row(s, q)) > 0) {
		struct id32 device;

		if ((err = depot_column_fixed(q, 0, device.b, sizeof device.b)) < 0 ||
			(err = each(ctx, &device, column_u64(q, 1), depot_column(q, 2))))
			break;
	}
	sqlite3_reset(q);
	return err;
}
