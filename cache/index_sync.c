/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of sync: chunks, spaces, log entries, records, outbox, meta. A walk is a series of look-ups of the next key, so
 * that rows may change under it.
 */
#include "cache/query.h"
#include "crypto/secret.h"

static struct bytes id_bytes(const struct id16 *id)
{
	return bytes_of(id->b, sizeof id->b);
}

static int get_id16(struct bytes from, struct id16 *ret)
{
	if (from.len != sizeof ret->b)
		return ERR_CORRUPT;
	memcpy(ret->b, from.p, sizeof ret->b);
	return 0;
}

static int get_id32(struct bytes from, struct id32 *ret)
{
	if (from.len != sizeof ret->b)
		return ERR_CORRUPT;
	memcpy(ret->b, from.p, sizeof ret->b);
	return 0;
}

static int next_u64(struct index *ix, enum query q, uint64_t *key)
{
	int err = query_row(ix, q, "i", *key);
	if (err < 0)
		return err;
	*key = query_u64(ix, q, 0);
	query_done(ix, q);
	return 0;
}

static int count(struct index *ix, enum query q, uint64_t *ret)
{
	int err = query_row(ix, q, "");
	if (err < 0)
		return err;
	*ret = query_u64(ix, q, 0);
	query_done(ix, q);
	return 0;
}

static void used_row(struct index *ix, uint64_t row)
{
	if (ix->state.next_row <= row)
		ix->state.next_row = row + 1;
}

/* ---- chunks ---- */

int index_chunk_get(struct index *ix, uint64_t row, struct chunk_row *ret)
{
	int err = query_row(ix, Q_CHUNK_GET, "i", row);
	if (err < 0)
		return err;
	struct unpack u = unpack_init(query_blob(ix, Q_CHUNK_GET, 0));
	row_get_chunk(&u, ret);
	ret->row = row;
	err = unpack_end(&u);
	query_done(ix, Q_CHUNK_GET);
	return err;
}

int index_chunk_find(struct index *ix, uint32_t space, const struct id16 *id, uint64_t *ret_row)
{
	int err = query_row(ix, Q_CHUNK_ID_GET, "ib", (uint64_t)space, id_bytes(id));
	if (err < 0)
		return err;
	*ret_row = query_u64(ix, Q_CHUNK_ID_GET, 0);
	query_done(ix, Q_CHUNK_ID_GET);
	return 0;
}

int index_chunk_put(struct index *ix, const struct chunk_row *c)
{
	buf_clear(&ix->row);
	struct pack k = pack_init(&ix->row);
	row_put_chunk(&k, c);
	int err = k.err < 0 ? k.err : query_run(ix, Q_CHUNK_PUT, "ib", c->row, buf_bytes(&ix->row));
	secret_wipe(ix->row.data, ix->row.len);
	used_row(ix, c->row);
	return err < 0 ? err : query_run(ix, Q_CHUNK_ID_PUT, "ibi", (uint64_t)c->space, id_bytes(&c->id), c->row);
}

int index_chunk_del(struct index *ix, uint64_t row)
{
	struct chunk_row c;
	int err = index_chunk_get(ix, row, &c);
	if (err < 0)
		return err;
	err = query_run(ix, Q_CHUNK_ID_DEL, "ib", (uint64_t)c.space, id_bytes(&c.id));
	secret_wipe(c.key, sizeof c.key);
	if (err == 0)
		err = index_extent_clear(ix, row, 0, INT64_MAX);
	if (err == 0)
		err = index_loose_del(ix, row);
	return err < 0 ? err : query_run(ix, Q_CHUNK_DEL, "i", row);
}

int index_chunk_next(struct index *ix, uint64_t *row)
{
	return next_u64(ix, Q_CHUNK_NEXT, row);
}

int index_chunk_queued(struct index *ix, uint64_t row, bool *ret_queued)
{
	int err = query_row(ix, Q_CHUNK_QUEUED, "i", row);
	if (err == 0)
		query_done(ix, Q_CHUNK_QUEUED);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	*ret_queued = err == 0;
	return 0;
}

int index_loose_next(struct index *ix, uint64_t *row)
{
	return next_u64(ix, Q_LOOSE_NEXT, row);
}

int index_loose_del(struct index *ix, uint64_t row)
{
	return query_run(ix, Q_LOOSE_DEL, "i", row);
}

int index_loose_put(struct index *ix, uint64_t row)
{
	return query_run(ix, Q_LOOSE_PUT, "i", row);
}

int index_used_put(struct index *ix, uint64_t row, uint64_t stamp)
{
	return query_run(ix, Q_USED_PUT, "ii", row, stamp);
}

int index_used_get(struct index *ix, uint64_t row, uint64_t *ret_stamp)
{
	int err = query_row(ix, Q_USED_GET, "i", row);
	if (err < 0)
		return err;
	*ret_stamp = query_u64(ix, Q_USED_GET, 0);
	query_done(ix, Q_USED_GET);
	return 0;
}

int index_used_next(struct index *ix, uint64_t *row)
{
	return next_u64(ix, Q_USED_NEXT, row);
}

int index_used_del(struct index *ix, uint64_t row)
{
	return query_run(ix, Q_USED_DEL, "i", row);
}

/* ---- spaces, log entries ---- */

int index_space_put(struct index *ix, const struct space_row *r)
{
	buf_clear(&ix->row);
	struct pack k = pack_init(&ix->row);
	row_put_space(&k, r);
	used_row(ix, r->row);
	return k.err < 0 ? k.err : query_run(ix, Q_SPACE_PUT, "ib", (uint64_t)r->row, buf_bytes(&ix->row));
}

int index_space_get(struct index *ix, uint32_t row, struct space_row *ret)
{
	int err = query_row(ix, Q_SPACE_GET, "i", (uint64_t)row);
	if (err < 0)
		return err;
	struct unpack u = unpack_init(query_blob(ix, Q_SPACE_GET, 0));
	row_get_space(&u, ret);
	ret->row = row;
	err = unpack_end(&u);
	query_done(ix, Q_SPACE_GET);
	return err;
}

int index_space_next(struct index *ix, uint32_t *row, struct space_row *ret)
{
	uint64_t at = *row;
	int err = next_u64(ix, Q_SPACE_NEXT, &at);
	if (err < 0)
		return err;
	*row = (uint32_t)at;
	return index_space_get(ix, *row, ret);
}

int index_space_del(struct index *ix, uint32_t row)
{
	int err = query_run(ix, Q_SPACE_ENTRIES_DEL, "i", (uint64_t)row);
	if (err == 0)
		err = query_run(ix, Q_SPACE_RECORDS_DEL, "i", (uint64_t)row);
	return err < 0 ? err : query_run(ix, Q_SPACE_DEL, "i", (uint64_t)row);
}

int index_space_node_next(struct index *ix, uint32_t space, struct id16 *id, uint64_t *ret_ino)
{
	int err = query_row(ix, Q_NODE_ID_NEXT, "ib", (uint64_t)space, id_bytes(id));
	if (err < 0)
		return err;
	err = get_id16(query_blob(ix, Q_NODE_ID_NEXT, 0), id);
	*ret_ino = query_u64(ix, Q_NODE_ID_NEXT, 1);
	query_done(ix, Q_NODE_ID_NEXT);
	return err;
}

int index_entry_put(struct index *ix, uint32_t space, uint64_t seq, struct bytes blob)
{
	return query_run(ix, Q_ENTRY_PUT, "iib", (uint64_t)space, seq, blob);
}

int index_entry_get(struct index *ix, uint32_t space, uint64_t *seq, struct buf *blob)
{
	int err = query_row(ix, Q_ENTRY_GET, "ii", (uint64_t)space, *seq);
	if (err < 0)
		return err;
	*seq = query_u64(ix, Q_ENTRY_GET, 0);
	err = query_copy(ix, Q_ENTRY_GET, 1, blob);
	query_done(ix, Q_ENTRY_GET);
	return err;
}

/* ---- records, outbox ---- */

int index_record_put(struct index *ix, uint32_t space, const struct id16 *id, const struct id32 *hash, uint64_t cursor,
	struct bytes blob)
{
	return query_run(ix, Q_RECORD_PUT, "ibbib", (uint64_t)space, id_bytes(id), bytes_of(hash->b, sizeof hash->b),
		cursor, blob);
}

int index_record_get(struct index *ix, uint32_t space, const struct id16 *id, struct id32 *ret_hash,
	uint64_t *ret_cursor, struct buf *blob)
{
	int err = query_row(ix, Q_RECORD_GET, "ib", (uint64_t)space, id_bytes(id));
	if (err < 0)
		return err;
	err = get_id32(query_blob(ix, Q_RECORD_GET, 0), ret_hash);
	*ret_cursor = query_u64(ix, Q_RECORD_GET, 1);
	if (err == 0 && blob)
		err = query_copy(ix, Q_RECORD_GET, 2, blob);
	query_done(ix, Q_RECORD_GET);
	return err;
}

int index_record_next(struct index *ix, uint32_t space, struct record_at *at, struct buf *blob)
{
	struct bytes after = at->begun ? id_bytes(&at->id) : bytes_of(NULL, 0);
	int err = query_row(ix, Q_RECORD_NEXT, "ib", (uint64_t)space, after);
	if (err < 0)
		return err;
	at->begun = true;
	err = get_id16(query_blob(ix, Q_RECORD_NEXT, 0), &at->id);
	if (err == 0)
		err = get_id32(query_blob(ix, Q_RECORD_NEXT, 1), &at->hash);
	at->cursor = query_u64(ix, Q_RECORD_NEXT, 2);
	at->len = query_u64(ix, Q_RECORD_NEXT, 3);
	if (err == 0 && blob)
		err = query_copy(ix, Q_RECORD_NEXT, 4, blob);
	query_done(ix, Q_RECORD_NEXT);
	return err;
}

int index_outbox_put(struct index *ix, const struct outbox_row *r, struct bytes blob)
{
	buf_clear(&ix->row);
	struct pack k = pack_init(&ix->row);
	row_put_outbox(&k, r);
	used_row(ix, r->row);
	return k.err < 0 ? k.err : query_run(ix, Q_OUTBOX_PUT, "ibb", r->row, buf_bytes(&ix->row), blob);
}

int index_outbox_next(struct index *ix, uint64_t *row, struct outbox_row *ret, struct buf *blob)
{
	int err = query_row(ix, Q_OUTBOX_NEXT, "i", *row);
	if (err < 0)
		return err;
	*row = query_u64(ix, Q_OUTBOX_NEXT, 0);
	struct unpack u = unpack_init(query_blob(ix, Q_OUTBOX_NEXT, 1));
	row_get_outbox(&u, ret);
	ret->row = *row;
	err = unpack_end(&u);
	if (err == 0 && blob)
		err = query_copy(ix, Q_OUTBOX_NEXT, 2, blob);
	query_done(ix, Q_OUTBOX_NEXT);
	return err;
}

/* The chunks it needed may be garbage now. */
int index_outbox_del(struct index *ix, uint64_t row)
{
	int err = 0;
	for (uint64_t chunk = 0; err == 0 && (err = index_outbox_chunk_next(ix, row, &chunk)) == 0;) {
		err = query_run(ix, Q_OUTBOX_CHUNK_DEL, "ii", row, chunk);
		if (err == 0)
			err = index_loose_put(ix, chunk);
	}
	return err != ERR_NOT_FOUND ? err : query_run(ix, Q_OUTBOX_DEL, "i", row);
}

int index_outbox_chunk_put(struct index *ix, uint64_t row, uint64_t chunk)
{
	return query_run(ix, Q_OUTBOX_CHUNK_PUT, "ii", row, chunk);
}

int index_outbox_chunk_next(struct index *ix, uint64_t row, uint64_t *chunk)
{
	int err = query_row(ix, Q_OUTBOX_CHUNK_NEXT, "ii", row, *chunk);
	if (err < 0)
		return err;
	*chunk = query_u64(ix, Q_OUTBOX_CHUNK_NEXT, 0);
	query_done(ix, Q_OUTBOX_CHUNK_NEXT);
	return 0;
}

int index_outbox_count(struct index *ix, uint64_t *ret)
{
	return count(ix, Q_OUTBOX_COUNT, ret);
}

/* ---- meta, names to look at again, safe-saves ---- */

int index_meta_get(struct index *ix, struct bytes key, struct buf *out)
{
	int err = query_row(ix, Q_META_GET, "b", key);
	if (err < 0)
		return err;
	err = query_copy(ix, Q_META_GET, 0, out);
	query_done(ix, Q_META_GET);
	return err;
}

int index_meta_put(struct index *ix, struct bytes key, struct bytes value)
{
	return query_run(ix, Q_META_PUT, "bb", key, value);
}

int index_meta_del(struct index *ix, struct bytes key)
{
	return query_run(ix, Q_META_DEL, "b", key);
}

int index_meta_next(struct index *ix, struct buf *key, struct buf *value)
{
	int err = query_row(ix, Q_META_NEXT, "b", buf_bytes(key));
	if (err < 0)
		return err;
	err = query_copy(ix, Q_META_NEXT, 0, key);
	if (err == 0)
		err = query_copy(ix, Q_META_NEXT, 1, value);
	query_done(ix, Q_META_NEXT);
	return err;
}

int index_touched_put(struct index *ix, uint64_t parent, struct bytes name)
{
	return query_run(ix, Q_TOUCHED_PUT, "ib", parent, name);
}

int index_touched_del(struct index *ix, uint64_t parent, struct bytes name)
{
	return query_run(ix, Q_TOUCHED_DEL, "ib", parent, name);
}

int index_touched_next(struct index *ix, uint64_t *parent, struct buf *name)
{
	int err = query_row(ix, Q_TOUCHED_NEXT, "ib", *parent, buf_bytes(name));
	if (err < 0)
		return err;
	*parent = query_u64(ix, Q_TOUCHED_NEXT, 0);
	err = query_copy(ix, Q_TOUCHED_NEXT, 1, name);
	query_done(ix, Q_TOUCHED_NEXT);
	return err;
}
