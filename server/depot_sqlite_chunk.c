/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of chunks, small chunks' blobs and the ids that index chunks name. */
#include "server/depot_sqlite.h"

enum { FLAG_ADOPTED = 1, FLAG_INDEX = 2, FLAG_DURABLE = 4 };

static sqlite3_stmt *stmt_of(struct depot *s, enum stmt st, uint64_t space, const struct id16 *id, int *ret_err)
{
	sqlite3_stmt *q = depot_stmt(s, st, ret_err);

	if (q) {
		sqlite3_bind_int64(q, 1, (sqlite3_int64)space);
		depot_bind_bytes(q, 2, id->b, sizeof id->b);
	}
	return q;
}

static void read_chunk(sqlite3_stmt *q, int first, struct depot_chunk *c)
{
	int flags = sqlite3_column_int(q, first + 3);

	c->size = (uint64_t)sqlite3_column_int64(q, first);
	c->refs = (uint64_t)sqlite3_column_int64(q, first + 1);
	c->row = (uint64_t)sqlite3_column_int64(q, first + 2);
	c->adopted = flags & FLAG_ADOPTED;
	c->index = flags & FLAG_INDEX;
	c->durable = flags & FLAG_DURABLE;
	c->uploaded = sqlite3_column_int64(q, first + 4);
	c->summed = depot_column_fixed(q, first + 5, c->sum.b, sizeof c->sum.b) == OK;
}

int depot_chunk_find(struct depot *s, uint64_t space, const struct id16 *id, struct depot_chunk *ret_c)
{
	int err;
	sqlite3_stmt *q = stmt_of(s, ST_CHUNK_FIND, space, id, &err);

	if (!q)
		return err;
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	ret_c->id = *id;
	read_chunk(q, 0, ret_c);
	sqlite3_reset(q);
	return OK;
}

static int blob_add(struct depot *s, struct bytes blob, sqlite3_int64 *ret_row)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_BLOB_ADD, &err);

	if (!q)
		return err;
	depot_bind_bytes(q, 1, blob.p, blob.len);
	if ((err = depot_run(s, q)) < 0)
		return err;
	*ret_row = sqlite3_last_insert_rowid(s->db);
	return OK;
}

int depot_chunk_put(struct depot *s, uint64_t space, const struct depot_chunk *c, struct bytes blob, struct bytes named)
{
	int err, flags = (c->adopted ? FLAG_ADOPTED : 0) | (named.len ? FLAG_INDEX : 0);
	sqlite3_int64 row = 0;
	sqlite3_stmt *q;

	if (blob.len && (err = blob_add(s, blob, &row)) < 0)
		return err;
	if (c->durable || row)
		flags |= FLAG_DURABLE;
	if (named.len) {
		if (!(q = stmt_of(s, ST_NAMED_ADD, space, &c->id, &err)))
			return err;
		depot_bind_bytes(q, 3, named.p, named.len);
		if ((err = depot_run(s, q)) < 0)
			return err;
	}
	if (!(q = stmt_of(s, ST_CHUNK_ADD, space, &c->id, &err)))
		return err;
	sqlite3_bind_int64(q, 3, (sqlite3_int64)c->size);
	sqlite3_bind_int64(q, 4, (sqlite3_int64)c->refs);
	sqlite3_bind_int64(q, 5, row);
	sqlite3_bind_int(q, 6, flags);
	sqlite3_bind_int64(q, 7, c->uploaded);
	depot_bind_bytes(q, 8, c->sum.b, c->summed ? sizeof c->sum.b : 0);
	return depot_run(s, q);
}

static int get_bytes(struct depot *s, sqlite3_stmt *q, struct buf *out)
{
	struct bytes b;
	int err = depot_step_row(s, q);

	if (err <= 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	b = depot_column(q, 0);
	err = buf_put(out, b.p, b.len);
	sqlite3_reset(q);
	return err;
}

int depot_chunk_blob(struct depot *s, uint64_t row, struct buf *ret_blob)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_BLOB_GET, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, (sqlite3_int64)row);
	return get_bytes(s, q, ret_blob);
}

int depot_chunk_named(struct depot *s, uint64_t space, const struct id16 *id, struct buf *ret_named)
{
	int err;
	sqlite3_stmt *q = stmt_of(s, ST_NAMED_GET, space, id, &err);

	return q ? get_bytes(s, q, ret_named) : err;
}

int depot_chunk_refs(struct depot *s, uint64_t space, const struct id16 *id, int delta)
{
	int err;
	sqlite3_stmt *q = stmt_of(s, ST_CHUNK_REFS, space, id, &err);

	if (!q)
		return err;
	sqlite3_bind_int(q, 3, delta);
	return depot_run(s, q);
}

int depot_chunk_set(struct depot *s, uint64_t space, const struct id16 *id, bool adopted, bool durable)
{
	int err;
	sqlite3_stmt *q = stmt_of(s, ST_CHUNK_SET, space, id, &err);

	if (!q)
		return err;
	sqlite3_bind_int(q, 3, (adopted ? FLAG_ADOPTED : 0) | (durable ? FLAG_DURABLE : 0));
	return depot_run(s, q);
}

int depot_chunk_remove(struct depot *s, uint64_t space, const struct depot_chunk *c)
{
	int err;
	sqlite3_stmt *q;

	if (c->row) {
		if (!(q = depot_stmt(s, ST_BLOB_DEL, &err)))
			return err;
		sqlite3_bind_int64(q, 1, (sqlite3_int64)c->row);
		if ((err = depot_run(s, q)) < 0)
			return err;
	}
	if (c->index) {
		if (!(q = stmt_of(s, ST_NAMED_DEL, space, &c->id, &err)) || (err = depot_run(s, q)) < 0)
			return err;
	}
	q = stmt_of(s, ST_CHUNK_DEL, space, &c->id, &err);
	return q ? depot_run(s, q) : err;
}

static int each_chunk(struct depot *s, sqlite3_stmt *q, depot_chunk_each *each, void *ctx)
{
	int err;

	while ((err = depot_step_row(s, q)) > 0) {
		struct depot_chunk c;
		struct id16 space;

		read_chunk(q, 2, &c);
		if ((err = depot_column_fixed(q, 1, c.id.b, sizeof c.id.b)) < 0 ||
			(err = depot_column_fixed(q, 8, space.b, sizeof space.b)) < 0 ||
			(err = each(ctx, (uint64_t)sqlite3_column_int64(q, 0), &space, &c)))
			break;
	}
	sqlite3_reset(q);
	return err;
}

int depot_chunks_stale(struct depot *s, int64_t before, uint64_t n, depot_chunk_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_CHUNKS_STALE, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, before);
	sqlite3_bind_int64(q, 2, (sqlite3_int64)n);
	return each_chunk(s, q, each, ctx);
}

int depot_chunks_all(
	struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n, depot_chunk_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = stmt_of(s, ST_CHUNKS_ALL, after_space, after, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 3, (sqlite3_int64)n);
	return each_chunk(s, q, each, ctx);
}

int depot_chunks_unsynced(struct depot *s, uint64_t n, depot_chunk_each *each, void *ctx)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_CHUNKS_UNSYNCED, &err);

	if (!q)
		return err;
	sqlite3_bind_int64(q, 1, (sqlite3_int64)n);
	return each_chunk(s, q, each, ctx);
}

int depot_sizes(struct depot *s, struct depot_sizes *ret_z)
{
	int err;
	sqlite3_stmt *q = depot_stmt(s, ST_SIZES, &err);

	if (!q)
		return err;
	if ((err = depot_step_row(s, q)) <= 0)
		return err < 0 ? err : ERR_INTERNAL;
	ret_z->spaces = (uint64_t)sqlite3_column_int64(q, 0);
	ret_z->records = (uint64_t)sqlite3_column_int64(q, 1);
	ret_z->chunks = (uint64_t)sqlite3_column_int64(q, 2);
	ret_z->chunk_bytes = (uint64_t)sqlite3_column_int64(q, 3);
	ret_z->pages_bytes = (uint64_t)sqlite3_column_int64(q, 4);
	sqlite3_reset(q);
	return OK;
}
