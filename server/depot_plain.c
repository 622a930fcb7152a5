/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the plain protocol: spaces, items, objects that are garbage, revocations. */
#include "server/depot_sql.h"

static struct sql_stmt *stmt_by_space(struct depot *s, enum stmt st, uint64_t space)
{
	struct sql_stmt *q = sql_stmt(s, st);

	sql_bind_uint(q, 1, space);
	return q;
}

/* --- spaces --- */

int depot_plain_find(struct depot *s, const struct id16 *id, struct depot_plain *ret_sp)
{
	struct sql_stmt *q = sql_stmt(s, ST_PLAIN_FIND);
	struct bytes key, owner;
	int err;

	sql_bind_id(q, 1, id);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	key = sql_bytes(q, 1);
	*ret_sp = (struct depot_plain){
		.no = sql_uint(q, 0),
		.id = *id,
		.root_key_len = (uint8_t)key.len,
		.cursor = sql_uint(q, 2),
		.generation = sql_uint(q, 3),
		.min_generation = sql_uint(q, 4),
		.rewrap = sql_uint(q, 5),
		.members = sql_uint(q, 6),
		.bytes = sql_uint(q, 7),
	};
	owner = sql_bytes(q, 8);
	if (owner.len == sizeof ret_sp->owner.b)
		memcpy(ret_sp->owner.b, owner.p, owner.len);
	if (key.len && key.len <= sizeof ret_sp->root_key)
		memcpy(ret_sp->root_key, key.p, key.len);
	sql_done(q);
	return key.len <= sizeof ret_sp->root_key ? OK : ERR_CORRUPT;
}

int depot_hold(struct depot *s, const struct id16 *space)
{
	static const enum stmt both[] = { ST_SPACE_FIND, ST_PLAIN_FIND };
	int err = OK;

	for (size_t i = 0; i < 2 && err == OK; i++) {
		struct sql_stmt *q = sql_stmt(s, both[i]);

		sql_bind_id(q, 1, space);
		err = sql_run(q);
	}
	return err;
}

static void bind_plain(struct sql_stmt *q, const struct depot_plain *sp)
{
	sql_bind_id(q, 1, &sp->id);
	sql_bind_uint(q, 2, sp->cursor);
	sql_bind_uint(q, 3, sp->generation);
	sql_bind_uint(q, 4, sp->min_generation);
	sql_bind_uint(q, 5, sp->rewrap);
	sql_bind_uint(q, 6, sp->members);
	sql_bind_uint(q, 7, sp->bytes);
}

int depot_plain_create(struct depot *s, struct depot_plain *sp)
{
	struct sql_stmt *q = sql_stmt(s, ST_PLAIN_ADD);

	bind_plain(q, sp);
	sql_bind_bytes(q, 8, sp->owner.b, sizeof sp->owner.b);
	sql_bind_bytes(q, 9, sp->root_key, sp->root_key_len);
	return sql_run_returning(q, &sp->no);
}

int depot_plain_update(struct depot *s, const struct depot_plain *sp)
{
	struct sql_stmt *q = sql_stmt(s, ST_PLAIN_SET);

	bind_plain(q, sp);
	return sql_run(q);
}

int depot_plain_bytes(struct depot *s, const struct id32 *owner, uint64_t *ret_bytes)
{
	struct sql_stmt *q = sql_stmt(s, ST_PLAIN_BYTES);
	int err;

	sql_bind_bytes(q, 1, owner->b, sizeof owner->b);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_INTERNAL;
	*ret_bytes = sql_uint(q, 0);
	sql_done(q);
	return OK;
}

/* --- items --- */

int depot_item_put(struct depot *s, uint64_t space, const struct depot_item *it)
{
	struct sql_stmt *q = stmt_by_space(s, ST_ITEM_SET, space);

	sql_bind_int(q, 2, (int)it->kind);
	sql_bind_id(q, 3, &it->id);
	sql_bind_uint(q, 4, it->cursor);
	sql_bind_int(q, 5, it->deleted);
	sql_bind_uint(q, 6, it->size);
	sql_bind_bytes(q, 7, it->dek.p, it->dek.len);
	sql_bind_bytes(q, 8, it->link.p, it->link.len);
	sql_bind_bytes(q, 9, it->object.p, it->object.len);
	sql_bind_bytes(q, 10, it->blob.p, it->blob.len);
	return sql_run(q);
}

static int give_item(struct sql_stmt *q, depot_item_each *each, void *ctx)
{
	struct depot_item it = {
		.kind = (enum depot_kind)sql_int(q, 0),
		.cursor = sql_uint(q, 2),
		.deleted = sql_int(q, 3) != 0,
		.size = sql_uint(q, 4),
		.dek = sql_bytes(q, 5),
		.link = sql_bytes(q, 6),
		.object = sql_bytes(q, 7),
		.blob = sql_bytes(q, 8),
	};
	int err = sql_fixed(q, 1, it.id.b, sizeof it.id.b);

	return err < 0 ? err : each(ctx, &it);
}

int depot_item_get(
	struct depot *s, uint64_t space, enum depot_kind kind, const struct id16 *id, depot_item_each *each, void *ctx)
{
	struct sql_stmt *q = stmt_by_space(s, ST_ITEM_GET, space);
	int err;

	sql_bind_int(q, 2, (int)kind);
	sql_bind_id(q, 3, id);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = give_item(q, each, ctx);
	sql_done(q);
	return err;
}

int depot_item_dek(struct depot *s, uint64_t space, enum depot_kind kind, const struct id16 *id, struct bytes dek)
{
	struct sql_stmt *q = stmt_by_space(s, ST_ITEM_DEK, space);
	int err;

	sql_bind_int(q, 2, (int)kind);
	sql_bind_id(q, 3, id);
	sql_bind_bytes(q, 4, dek.p, dek.len);
	err = sql_run_counted(q);
	return err < 0 ? err : err ? OK : ERR_NOT_FOUND;
}

/* At most SQL_PAGE items behind *at, which moves on; *ret_n: how many there were. */
static int items_page(struct sql_stmt *q, struct depot_place *at, size_t *ret_n, depot_item_each *each, void *ctx)
{
	int err;

	*ret_n = 0;
	while ((err = sql_row(q)) > 0) {
		*at = (struct depot_place){ .cursor = sql_uint(q, 2), .kind = (unsigned)sql_int(q, 0) };
		if ((err = sql_fixed(q, 1, at->id.b, sizeof at->id.b)) < 0 || (err = give_item(q, each, ctx)))
			break;
		++*ret_n;
	}
	sql_done(q);
	return err;
}

int depot_items(struct depot *s, uint64_t space, unsigned kinds, const struct depot_place *from, uint64_t until,
	depot_item_each *each, void *ctx)
{
	struct depot_place at = *from;
	size_t n;
	int err;

	do {
		const struct depot_place start = at;
		struct sql_stmt *q = stmt_by_space(s, ST_ITEMS, space);

		sql_bind_uint(q, 2, start.cursor);
		sql_bind_int(q, 3, (int)start.kind);
		sql_bind_id(q, 4, &start.id);
		sql_bind_uint(q, 5, until);
		sql_bind_int(q, 6, (int)kinds);
		sql_bind_int(q, 7, SQL_PAGE);
		err = items_page(q, &at, &n, each, ctx);
	} while (err == OK && n == SQL_PAGE);
	return err;
}

/* --- files' objects --- */

struct file_of {
	struct id16 space;
	depot_file_each *each;
	void *ctx;
};

static int give_file(void *ctx, const struct depot_item *it)
{
	const struct file_of *f = ctx;

	return f->each(f->ctx, &f->space, it);
}

struct member_of {
	uint64_t no;
	struct id16 space;
	depot_member_each *each;
	void *ctx;
};

static int give_member(void *ctx, const struct depot_item *it)
{
	const struct member_of *m = ctx;

	return m->each(m->ctx, m->no, &m->space, it);
}

int depot_files_all(struct depot *s, const struct id16 *after, uint64_t n, depot_file_each *each, void *ctx)
{
	struct sql_stmt *q = sql_stmt(s, ST_FILES_ALL);
	struct file_of f = { .each = each, .ctx = ctx };
	int err;

	sql_bind_id(q, 1, after);
	sql_bind_uint(q, 2, n);
	while ((err = sql_row(q)) > 0)
		if ((err = sql_fixed(q, 9, f.space.b, sizeof f.space.b)) < 0 || (err = give_item(q, give_file, &f)))
			break;
	sql_done(q);
	return err;
}

int depot_members_all(
	struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n, depot_member_each *each, void *ctx)
{
	struct sql_stmt *q = stmt_by_space(s, ST_MEMBERS_ALL, after_space);
	struct member_of m = { .each = each, .ctx = ctx };
	int err;

	sql_bind_id(q, 2, after);
	sql_bind_uint(q, 3, n < SQL_PAGE ? n : SQL_PAGE);
	while ((err = sql_row(q)) > 0) {
		m.no = sql_uint(q, 10);
		if ((err = sql_fixed(q, 9, m.space.b, sizeof m.space.b)) < 0 || (err = give_item(q, give_member, &m)))
			break;
	}
	sql_done(q);
	return err;
}

int depot_files_drop(struct depot *s, struct depot_plain *sp, const struct id16 *record, int64_t now)
{
	struct sql_stmt *q = stmt_by_space(s, ST_FILES_SIZE, sp->no);
	int err;

	sql_bind_id(q, 2, record);
	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_INTERNAL;
	depot_plain_less(sp, sql_uint(q, 0));
	sql_done(q);
	q = stmt_by_space(s, ST_FILES_TO_GARBAGE, sp->no);
	sql_bind_id(q, 2, record);
	sql_bind_id(q, 3, &sp->id);
	sql_bind_int(q, 4, now);
	if ((err = sql_run(q)) < 0)
		return err;
	q = stmt_by_space(s, ST_FILES_DEL, sp->no);
	sql_bind_id(q, 2, record);
	return sql_run(q);
}

static struct sql_stmt *stmt_by_object(
	struct depot *s, enum stmt st, const struct id16 *space, const struct id16 *object)
{
	struct sql_stmt *q = sql_stmt(s, st);

	sql_bind_id(q, 1, space);
	sql_bind_id(q, 2, object);
	return q;
}

int depot_garbage_put(struct depot *s, const struct id16 *space, const struct id16 *object, int64_t now)
{
	struct sql_stmt *q = stmt_by_object(s, ST_GARBAGE_ADD, space, object);

	sql_bind_int(q, 3, now);
	return sql_run(q);
}

int depot_garbage_put_vain(struct depot *s, const struct id16 *space, const struct id16 *object, int64_t now)
{
	int err = depot_object_owned(s, space, object);

	return err ? (err < 0 ? err : OK) : depot_garbage_put(s, space, object, now);
}

int depot_garbage(struct depot *s, int64_t before, uint64_t n, depot_garbage_each *each, void *ctx)
{
	struct sql_stmt *q = sql_stmt(s, ST_GARBAGE);
	int err;

	sql_bind_int(q, 1, before);
	sql_bind_uint(q, 2, n);
	while ((err = sql_row(q)) > 0) {
		struct id16 space, object;

		if ((err = sql_fixed(q, 0, space.b, sizeof space.b)) < 0 ||
			(err = sql_fixed(q, 1, object.b, sizeof object.b)) < 0 || (err = each(ctx, &space, &object)))
			break;
	}
	sql_done(q);
	return err;
}

int depot_garbage_later(struct depot *s, const struct id16 *space, const struct id16 *object, int64_t now)
{
	struct sql_stmt *q = stmt_by_object(s, ST_GARBAGE_LATER, space, object);

	sql_bind_int(q, 3, now);
	return sql_run(q);
}

int depot_garbage_remove(struct depot *s, const struct id16 *space, const struct id16 *object)
{
	return sql_run(stmt_by_object(s, ST_GARBAGE_DEL, space, object));
}

/* --- revocations --- */

int depot_revoke(struct depot *s, uint64_t space, const struct id32 *cid)
{
	struct sql_stmt *q = stmt_by_space(s, ST_REVOKE, space);

	sql_bind_bytes(q, 2, cid->b, sizeof cid->b);
	return sql_run(q);
}

int depot_is_revoked(struct depot *s, uint64_t space, const struct id32 *cid)
{
	struct sql_stmt *q = stmt_by_space(s, ST_REVOKED, space);
	int err;

	sql_bind_bytes(q, 2, cid->b, sizeof cid->b);
	err = sql_row(q);
	sql_done(q);
	return err;
}
