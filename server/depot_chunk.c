/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of chunks, small chunks' blobs and the ids that index chunks name. */
#include "server/depot_sql.h"

#include <stdlib.h>
#include "base/cleanup.h"

enum { FLAG_ADOPTED = 1, FLAG_INDEX = 2, FLAG_DURABLE = 4 };

static struct sql_stmt *stmt_of(struct depot *s, enum stmt st, uint64_t space, const struct id16 *id)
{
	struct sql_stmt *q = sql_stmt(s, st);

	sql_bind_uint(q, 1, space);
	sql_bind_id(q, 2, id);
	return q;
}

static int read_chunk(struct sql_stmt *q, int first, struct depot_chunk *c)
{
	int64_t flags = sql_int(q, first + 3);

	c->size = sql_uint(q, first);
	c->refs = sql_uint(q, first + 1);
	c->row = sql_uint(q, first + 2);
	c->adopted = flags & FLAG_ADOPTED;
	c->index = flags & FLAG_INDEX;
	c->durable = flags & FLAG_DURABLE;
	c->uploaded = sql_int(q, first + 4);
	c->summed = sql_fixed(q, first + 5, c->sum.b, sizeof c->sum.b) == OK;
	c->object = (struct id16){ { 0 } };
	return c->row ? OK : sql_fixed(q, first + 6, c->object.b, sizeof c->object.b);
}

struct wanted_chunks {
	uint64_t space;
	const struct id16 *ids;
	depot_chunk_found *each;
	void *ctx;
	int delta;
};

static void bind_wanted(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct wanted_chunks *w = ctx;

	sql_bind_uint(q, 1, w->space);
	sql_bind_id(q, 2, &w->ids[i]);
}

static int give_chunk(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct wanted_chunks *w = ctx;
	struct depot_chunk c = { .id = w->ids[i] };
	int err = read_chunk(q, 0, &c);

	return err < 0 ? err : w->each(w->ctx, i, &c);
}

int depot_chunks_find(
	struct depot *s, uint64_t space, const struct id16 *ids, size_t n, depot_chunk_found *each, void *ctx)
{
	struct wanted_chunks w = { .space = space, .ids = ids, .each = each, .ctx = ctx };
	const struct sql_rows rows = { .n = n, .bind = bind_wanted, .row = give_chunk, .ctx = &w };

	return sql_many(s, ST_CHUNK_FIND, &rows);
}

struct one_chunk {
	struct depot_chunk *c;
	bool found;
};

static int keep_chunk(void *ctx, size_t i, const struct depot_chunk *c)
{
	struct one_chunk *one = ctx;

	(void)i;
	*one->c = *c;
	one->found = true;
	return OK;
}

int depot_chunk_find(struct depot *s, uint64_t space, const struct id16 *id, struct depot_chunk *ret_c)
{
	struct one_chunk one = { .c = ret_c };
	int err = depot_chunks_find(s, space, id, 1, keep_chunk, &one);

	return err < 0 || one.found ? err : ERR_NOT_FOUND;
}

struct new_chunks {
	uint64_t space;
	const struct depot_chunk *c;
	const struct depot_chunk_body *bodies;
	uint64_t *keys; /* of their blobs; NULL: they are objects */
};

static void bind_blob(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct new_chunks *n = ctx;

	sql_bind_bytes(q, 1, n->bodies[i].blob.p, n->bodies[i].blob.len);
}

static int keep_key(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct new_chunks *n = ctx;

	n->keys[i] = sql_uint(q, 0);
	return OK;
}

static void bind_chunk(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct new_chunks *n = ctx;
	const struct depot_chunk *c = &n->c[i];
	const uint64_t row = n->keys ? n->keys[i] : 0;

	sql_bind_uint(q, 1, n->space);
	sql_bind_id(q, 2, &c->id);
	sql_bind_uint(q, 3, c->size);
	sql_bind_uint(q, 4, c->refs);
	sql_bind_uint(q, 5, row);
	sql_bind_int(q, 6,
		(c->adopted ? FLAG_ADOPTED : 0) | (n->bodies[i].named.len ? FLAG_INDEX : 0) |
			(c->durable || row ? FLAG_DURABLE : 0));
	sql_bind_int(q, 7, c->uploaded);
	sql_bind_bytes(q, 8, c->sum.b, c->summed ? sizeof c->sum.b : 0);
	sql_bind_bytes(q, 9, c->object.b, row ? 0 : sizeof c->object.b);
}

static int put_named(struct depot *s, uint64_t space, const struct id16 *id, struct bytes named)
{
	struct sql_stmt *q = stmt_of(s, ST_NAMED_ADD, space, id);

	sql_bind_bytes(q, 3, named.p, named.len);
	return sql_run(q);
}

static int put_chunks(struct depot *s, struct new_chunks *all, size_t n)
{
	struct sql_rows rows = { .n = n, .bind = bind_blob, .row = keep_key, .ctx = all };
	uint64_t bytes = 0;
	int err = all->keys ? sql_many(s, ST_BLOB_ADD, &rows) : OK;

	for (size_t i = 0; i < n && err == OK; i++) {
		const struct bytes named = all->bodies[i].named;

		bytes += all->c[i].size;
		if (all->keys && !all->keys[i])
			err = ERR_INTERNAL;
		if (err == OK && named.len)
			err = put_named(s, all->space, &all->c[i].id, named);
	}
	rows.bind = bind_chunk;
	rows.row = NULL;
	if (err < 0 || (err = sql_many(s, ST_CHUNK_ADD, &rows)) < 0)
		return err;
	return sql_grew(s, all->space, bytes);
}

int depot_chunks_put(
	struct depot *s, uint64_t space, const struct depot_chunk *c, const struct depot_chunk_body *bodies, size_t n)
{
	FREE_AFTER uint64_t *keys = NULL;
	struct new_chunks all = { .space = space, .c = c, .bodies = bodies };

	if (!n)
		return OK;
	if (bodies[0].blob.len && !(keys = calloc(n, sizeof *keys)))
		return ERR_NOMEM;
	all.keys = keys;
	return put_chunks(s, &all, n);
}

int depot_chunk_put(struct depot *s, uint64_t space, const struct depot_chunk *c, struct bytes blob, struct bytes named)
{
	const struct depot_chunk_body body = { blob, named };

	return depot_chunks_put(s, space, c, &body, 1);
}

static int get_bytes(struct sql_stmt *q, struct buf *out)
{
	struct bytes b;
	int err = sql_row(q);

	if (err <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	b = sql_bytes(q, 0);
	err = buf_put(out, b.p, b.len);
	sql_done(q);
	return err;
}

int depot_chunk_blob(struct depot *s, uint64_t row, struct buf *ret_blob)
{
	struct sql_stmt *q = sql_stmt(s, ST_BLOB_GET);

	sql_bind_uint(q, 1, row);
	return get_bytes(q, ret_blob);
}

int depot_chunk_named(struct depot *s, uint64_t space, const struct id16 *id, struct buf *ret_named)
{
	return get_bytes(stmt_of(s, ST_NAMED_GET, space, id), ret_named);
}

static void bind_delta(void *ctx, struct sql_stmt *q, size_t i)
{
	const struct wanted_chunks *w = ctx;

	bind_wanted(ctx, q, i);
	sql_bind_int(q, 3, w->delta);
}

int depot_chunks_refs(struct depot *s, uint64_t space, const struct id16 *ids, size_t n, int delta)
{
	struct wanted_chunks w = { .space = space, .ids = ids, .delta = delta };
	const struct sql_rows rows = { .n = n, .bind = bind_delta, .ctx = &w };

	return sql_many(s, ST_CHUNK_REFS, &rows);
}

int depot_chunk_set(struct depot *s, uint64_t space, const struct id16 *id, bool adopted, bool durable)
{
	struct sql_stmt *q = stmt_of(s, ST_CHUNK_SET, space, id);

	sql_bind_int(q, 3, (adopted ? FLAG_ADOPTED : 0) | (durable ? FLAG_DURABLE : 0));
	return sql_run(q);
}

int depot_chunk_remove(struct depot *s, uint64_t space, const struct depot_chunk *c)
{
	int err = OK;

	if (c->row) {
		struct sql_stmt *q = sql_stmt(s, ST_BLOB_DEL);

		sql_bind_uint(q, 1, c->row);
		err = sql_run(q);
	}
	if (err == OK && c->index)
		err = sql_run(stmt_of(s, ST_NAMED_DEL, space, &c->id));
	return err < 0 ? err : sql_run(stmt_of(s, ST_CHUNK_DEL, space, &c->id));
}

static int each_chunk(struct sql_stmt *q, depot_chunk_each *each, void *ctx)
{
	int err;

	while ((err = sql_row(q)) > 0) {
		struct depot_chunk c;
		struct id16 space;

		if ((err = read_chunk(q, 2, &c)) < 0 || (err = sql_fixed(q, 1, c.id.b, sizeof c.id.b)) < 0 ||
			(err = sql_fixed(q, 9, space.b, sizeof space.b)) < 0 ||
			(err = each(ctx, sql_uint(q, 0), &space, &c)))
			break;
	}
	sql_done(q);
	return err;
}

int depot_chunks_stale(struct depot *s, int64_t before, uint64_t n, depot_chunk_each *each, void *ctx)
{
	struct sql_stmt *q = sql_stmt(s, ST_CHUNKS_STALE);

	sql_bind_int(q, 1, before);
	sql_bind_uint(q, 2, n);
	return each_chunk(q, each, ctx);
}

int depot_chunks_all(
	struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n, depot_chunk_each *each, void *ctx)
{
	struct sql_stmt *q = stmt_of(s, ST_CHUNKS_ALL, after_space, after);

	sql_bind_uint(q, 3, n);
	return each_chunk(q, each, ctx);
}

int depot_chunks_unsynced(struct depot *s, uint64_t n, depot_chunk_each *each, void *ctx)
{
	struct sql_stmt *q = sql_stmt(s, ST_CHUNKS_UNSYNCED);

	sql_bind_uint(q, 1, n);
	return each_chunk(q, each, ctx);
}

static int has_object(struct depot *s, enum stmt no, const struct id16 *space, const struct id16 *object)
{
	struct sql_stmt *q = sql_stmt(s, no);
	int err;

	sql_bind_id(q, 1, space);
	sql_bind_id(q, 2, object);
	err = sql_row(q);
	sql_done(q);
	return err;
}

int depot_object_owned(struct depot *s, const struct id16 *space, const struct id16 *object)
{
	return has_object(s, ST_OBJECT_OWNED, space, object);
}

int depot_object_named(struct depot *s, const struct id16 *space, const struct id16 *object)
{
	return has_object(s, ST_OBJECT_NAMED, space, object);
}

int depot_sizes(struct depot *s, struct depot_sizes *ret_z)
{
	struct sql_stmt *q = sql_stmt(s, ST_SIZES);
	int err;

	if ((err = sql_row(q)) <= 0)
		return err < 0 ? err : ERR_INTERNAL;
	ret_z->spaces = sql_uint(q, 0);
	ret_z->records = sql_uint(q, 1);
	ret_z->chunks = sql_uint(q, 2);
	ret_z->chunk_bytes = sql_uint(q, 3);
	ret_z->plain_spaces = sql_uint(q, 4);
	ret_z->plain_rows = sql_uint(q, 5);
	sql_done(q);
	return s->engine->disk_bytes(s, &ret_z->pages_bytes);
}
