/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the plain protocol: spaces, items, objects that are garbage, revocations. */
#include "server/depot_sqlite.h"

static sqlite3_stmt *stmt_by_space(struct depot *s, enum stmt st, uint64_t space, int *ret_err)
{
	sqlite3_stmt *q = depot_stmt(s, st, ret_err);

	if (q)
		sqlite3_bind_int64(q, 1, (sqlite3_int64)space);
	return q;
}

static void bind_id(sqlite3_stmt *q, int i, const struct id16 *id)
{
	depot_bind_bytes(q, i, id->b, sizeof id->b);
}

static uint64_t column_u64(sqlite3_stmt *q, int i)
{
	return (uint64_t)sqlite3_column_int64(q, i);
}

/* Runs a deletion; how many rows it took. */
static int run_counted(struct depot *s, sqlite3_stmt *q)
{
	int err = depot_run(s, q);

	return err < 0 ? err : sqlite3_changes(s->db);
}

/* --- spaces --- */

int depot_plain_find(struct depot *s, const struct id16 *id, struct depot_plain *ret_sp)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_PLAIN_FIND, &err);
	struct bytes key;

	if (!q)
		return err;
	bind_id(q, 1, id);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	key = depot_column(q, 1);
	*ret_sp = (struct depot_plain){
		.no = column_u64(q, 0),
		.id = *id,
		.root_key_len = (uint8_t)key.len,
		.cursor = column_u64(q, 2),
		.generation = column_u64(q, 3),
		.min_generation = column_u64(q, 4),
		.rewrap = column_u64(q, 5),
		.members = column_u64(q, 6),
	};
	if (key.len && key.len <= sizeof ret_sp->root_key)
		memcpy(ret_sp->root_key, key.p, key.len);
	sqlite3_reset(q);
	return key.len <= sizeof ret_sp->root_key ? OK : ERR_CORRUPT;
}

static void bind_plain(sqlite3_stmt *q, const struct depot_plain *sp)
{
	bind_id(q, 1, &sp->id);
	sqlite3_bind_int64(q, 2, (sqlite3_int64)sp->cursor);
	sqlite3_bind_int64(q, 3, (sqlite3_int64)sp->generation);
	sqlite3_bind_int64(q, 4, (sqlite3_int64)sp->min_generation);
	sqlite3_bind_int64(q, 5, (sqlite3_int64)sp->rewrap);
	sqlite3_bind_int64(q, 6, (sqlite3_int64)sp->members);
}

int depot_plain_create(struct depot *s, struct depot_plain *sp)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_PLAIN_ADD, &err);

	if (!q)
		return err;
	bind_plain(q, sp);
	depot_bind_bytes(q, 7, sp->root_key, sp->root_key_len);
	if ((err = depot_run(s, q)) < 0)
		return err;
	sp->no = (uint64_t)sqlite3_last_insert_rowid(s->db);
	return OK;
}

int depot_plain_update(struct depot *s, const struct depot_plain *sp)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_PLAIN_SET, &err);

	if (!q)
		return err;
	bind_plain(q, sp);
	return depot_run(s, q);
}

/* --- items --- */

int depot_item_put(struct depot *s, uint64_t space, const struct depot_item *it)
{
	int err;
	sqlite3_stmt *q = stmt_by_space(s, ST_ITEM_SET, space, &err);

	if (!q)
		return err;
	sqlite3_bind_int(q, 2, (int)it->kind);
	bind_id(q, 3, &it->id);
	sqlite3_bind_int64(q, 4, (sqlite3_int64)it->cursor);
	sqlite3_bind_int(q, 5, it->deleted);
	sqlite3_bind_int64(q, 6, (sqlite3_int64)it->size);
	depot_bind_bytes(q, 7, it->dek.p, it->dek.len);
	depot_bind_bytes(q, 8, it->link.p, it->link.len);
	depot_bind_bytes(q, 9, it->object.p, it->object.len);
	depot_bind_bytes(q, 10, it->blob.p, it->blob.len);
	return depot_run(s, q);
}

static int give_item(sqlite3_stmt *q, depot_item_each *each, void *ctx)
{
	struct depot_item it = {
		.kind = (enum depot_kind)sqlite3_column_int(q, 0),
		.cursor = column_u64(q, 2),
		.deleted = sqlite3_column_int(q, 3) != 0,
		.size = column_u64(q, 4),
		.dek = depot_column(q, 5),
		.link = depot_column(q, 6),
		.object = depot_column(q, 7),
		.blob = depot_column(q, 8),
	};
	int err = depot_column_fixed(q, 1, it.id.b, sizeof it.id.b);

	return err < 0 ? err : each(ctx, &it);
}

int depot_item_get(
	struct depot *s, uint64_t space, enum depot_kind kind, const struct id16 *id, depot_item_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = stmt_by_space(s, ST_ITEM_GET, space, &err);

	if (!q)
		return err;
	sqlite3_bind_int(q, 2, (int)kind);
	bind_id(q, 3, id);
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = give_item(q, each, ctx);
	sqlite3_reset(q);
	return err;
}

int depot_item_dek(struct depot *s, uint64_t space, enum depot_kind kind, const struct id16 *id, struct bytes dek)
{
	int err;
	sqlite3_stmt *q = stmt_by_space(s, ST_ITEM_DEK, space, &err);

	if (!q)
		return err;
	sqlite3_bind_int(q, 2, (int)kind);
	bind_id(q, 3, id);
	depot_bind_bytes(q, 4, dek.p, dek.len);
	err = run_counted(s, q);
	return err < 0 ? err : err ? OK : ERR_NOT_FOUND;
}

int depot_items(struct depot *s, uint64_t space, unsigned kinds, const struct depot_place *from, uint64_t until,
	depot_item_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = stmt_by_space(s, ST_ITEMS, space, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 2, (sqlite3_int64)from->cursor);
	sqlite3_bind_int(q, 3, (int)from->kind);
	bind_id(q, 4, &from->id);
	sqlite3_bind_int64(q, 5, (sqlite3_int64)until);
	sqlite3_bind_int(q, 6, (int)kinds);
	while ((err = depot_step_row(s, q)) > 0)
		if ((err = give_item(q, each, ctx)))
			break;
	sqlite3_reset(q);
	return err;
}

/* --- files' objects --- */

int depot_files_drop(struct depot *s, const struct depot_plain *sp, const struct id16 *record, int64_t now)
{
	int err;
	sqlite3_stmt *q = stmt_by_space(s, ST_FILES_TO_GARBAGE, sp->no, &err);

	if (!q)
		return err;
	bind_id(q, 2, record);
	bind_id(q, 3, &sp->id);
	sqlite3_bind_int64(q, 4, now);
	if ((err = depot_run(s, q)) < 0)
		return err;
	if (!(q = stmt_by_space(s, ST_FILES_DEL, sp->no, &err)))
		return err;
	bind_id(q, 2, record);
	return depot_run(s, q);
}

static sqlite3_stmt *stmt_by_object(
	struct depot *s, enum stmt st, const struct id16 *space, const struct id16 *object, int *ret_err)
{
	sqlite3_stmt *q = depot_stmt(s, st, ret_err);

	if (q) {
		bind_id(q, 1, space);
		bind_id(q, 2, object);
	}
	return q;
}

int depot_garbage_put(struct depot *s, const struct id16 *space, const struct id16 *object, int64_t now)
{
	int err;
	sqlite3_stmt *q = stmt_by_object(s, ST_GARBAGE_ADD, space, object, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 3, now);
	return depot_run(s, q);
}

int depot_garbage(struct depot *s, int64_t before, uint64_t n, depot_garbage_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_GARBAGE, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, before);
	sqlite3_bind_int64(q, 2, (sqlite3_int64)n);
	while ((err = depot_step_row(s, q)) > 0) {
		struct id16 space, object;

		if ((err = depot_column_fixed(q, 0, space.b, sizeof space.b)) < 0 ||
			(err = depot_column_fixed(q, 1, object.b, sizeof object.b)) < 0 ||
			(err = each(ctx, &space, &object)))
			break;
	}
	sqlite3_reset(q);
	return err;
}

int depot_garbage_remove(struct depot *s, const struct id16 *space, const struct id16 *object)
{
	int err;
	sqlite3_stmt *q = stmt_by_object(s, ST_GARBAGE_DEL, space, object, &err);

	return q ? depot_run(s, q) : err;
}

/* --- revocations --- */

int depot_revoke(struct depot *s, uint64_t space, const struct id32 *cid)
{
	int err;
	sqlite3_stmt *q = stmt_by_space(s, ST_REVOKE, space, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 2, cid->b, sizeof cid->b);
	return depot_run(s, q);
}

int depot_is_revoked(struct depot *s, uint64_t space, const struct id32 *cid)
{
	int err;
	sqlite3_stmt *q = stmt_by_space(s, ST_REVOKED, space, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 2, cid->b, sizeof cid->b);
	err = depot_step_row(s, q);
	sqlite3_reset(q);
	return err;
}
