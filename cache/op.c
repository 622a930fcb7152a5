/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each op is its number and its fields in the order of the enum's comments. Applying decodes one and calls the index.
 */
#include "cache/op.h"
#include "crypto/secret.h"

enum { MAX_VALUE = 16 << 20, MAX_KEY = 4096 };

static void put_fields(struct pack *k, const struct op *op);

int op_put(struct buf *body, const struct op *op)
{
	struct pack k = pack_init(body);
	pack_u64(&k, (uint64_t)op->type);
	put_fields(&k, op);
	return k.err;
}

static void put_content_fields(struct pack *k, const struct op *op)
{
	pack_u64(k, op->ino);
	pack_u64(k, op->off);
	if (op->type == OP_EXTENT_SHIFT) {
		pack_i64(k, op->delta);
		return;
	}
	pack_u64(k, op->len);
	if (op->type == OP_EXTENT_CLEAR)
		return;
	if (op->type != OP_EXTENT_DATA)
		pack_u64(k, op->chunk);
	pack_u64(k, op->from);
}

static void put_row_fields(struct pack *k, const struct op *op)
{
	pack_u64(k, op->row);
	switch (op->type) {
	case OP_ENTRY_PUT:
		pack_u64(k, op->seq);
		pack_bytes(k, op->value);
		break;
	case OP_RECORD_PUT:
		pack_fixed(k, op->id.b, sizeof op->id.b);
		pack_fixed(k, op->hash.b, sizeof op->hash.b);
		pack_u64(k, op->seq);
		pack_bytes(k, op->value);
		break;
	case OP_OUTBOX_CHUNK:
		pack_u64(k, op->chunk);
		break;
	default:
		break;
	}
}

static void put_key_fields(struct pack *k, const struct op *op)
{
	if (op->type != OP_META_PUT && op->type != OP_META_DEL)
		pack_u64(k, op->ino);
	pack_bytes(k, op->key);
	if (op->type == OP_META_PUT || op->type == OP_XATTR_PUT)
		pack_bytes(k, op->value);
}

static void put_fields(struct pack *k, const struct op *op)
{
	switch (op->type) {
	case OP_NODE_PUT:
		pack_u64(k, op->was);
		pack_u64(k, op->was_flags);
		/* fall through */
	case OP_NODE_ADD:
		pack_u64(k, op->node->ino);
		row_put_node(k, op->node);
		break;
	case OP_NODE_DEL:
		pack_u64(k, op->ino);
		break;
	case OP_TARGET_PUT:
		pack_u64(k, op->ino);
		pack_bytes(k, op->value);
		break;
	case OP_LINK_PUT:
	case OP_LINK_NEW:
		row_put_link(k, op->link);
		break;
	case OP_LINK_DEL:
		pack_fixed(k, op->id.b, sizeof op->id.b);
		break;
	case OP_CHUNK_PUT:
		pack_u64(k, op->chunk_row->row);
		row_put_chunk(k, op->chunk_row);
		break;
	case OP_CHUNK_DEL:
		pack_u64(k, op->chunk);
		break;
	case OP_SPACE_PUT:
		pack_u64(k, op->space->row);
		row_put_space(k, op->space);
		break;
	case OP_OUTBOX_PUT:
		pack_u64(k, op->outbox->row);
		row_put_outbox(k, op->outbox);
		pack_bytes(k, op->value);
		break;
	case OP_EXTENT_DATA:
	case OP_EXTENT_CLEAR:
	case OP_EXTENT_REF:
	case OP_EXTENT_SHARE:
	case OP_EXTENT_SHIFT:
		put_content_fields(k, op);
		break;
	case OP_SPACE_DEL:
	case OP_ENTRY_PUT:
	case OP_RECORD_PUT:
	case OP_OUTBOX_DEL:
	case OP_OUTBOX_CHUNK:
		put_row_fields(k, op);
		break;
	default:
		put_key_fields(k, op);
		break;
	}
}

/* ---- applying ---- */

static int apply_node(struct index *ix, enum op_type type, struct unpack *u)
{
	struct node n;
	uint64_t was = 0;
	uint32_t was_flags = 0;
	if (type == OP_NODE_PUT) {
		was = unpack_u64(u);
		was_flags = unpack_u32(u);
	}
	uint64_t ino = unpack_u64(u);
	row_get_node(u, &n);
	n.ino = ino;
	if (u->err < 0)
		return u->err;
	return type == OP_NODE_ADD ? index_node_add(ix, &n) : index_node_put(ix, &n, was, was_flags);
}

static int apply_content(struct index *ix, enum op_type type, struct unpack *u, const struct place *data)
{
	uint64_t ino = unpack_u64(u), off = unpack_u64(u), len = 0, chunk = 0;
	if (type == OP_EXTENT_SHIFT) {
		int64_t delta = unpack_i64(u);
		return u->err < 0 ? u->err : index_extent_shift(ix, ino, off, delta);
	}
	len = unpack_u64(u);
	if (type == OP_EXTENT_CLEAR)
		return u->err < 0 ? u->err : index_extent_clear(ix, ino, off, len);
	if (type != OP_EXTENT_DATA)
		chunk = unpack_u64(u);
	uint64_t from = unpack_u64(u);
	if (u->err < 0)
		return u->err;
	if (type == OP_EXTENT_SHARE)
		return index_extent_share(ix, ino, off, len, chunk, from);
	struct piece p = { .off = off, .len = len };
	if (type == OP_EXTENT_DATA)
		p.at = (struct place){ data->segment, data->pos, data->run, data->skip + from };
	else
		p.at = (struct place){ 0, chunk, 0, from };
	return index_extent_put(ix, ino, &p);
}

static int apply_chunk(struct index *ix, enum op_type type, struct unpack *u)
{
	struct chunk_row c;
	uint64_t row = unpack_u64(u);
	if (type == OP_CHUNK_DEL)
		return u->err < 0 ? u->err : index_chunk_del(ix, row);
	row_get_chunk(u, &c);
	c.row = row;
	int err = u->err < 0 ? u->err : index_chunk_put(ix, &c);
	secret_wipe(c.key, sizeof c.key);
	return err;
}

static int apply_space(struct index *ix, struct unpack *u)
{
	struct space_row r;
	uint32_t row = unpack_u32(u);
	row_get_space(u, &r);
	r.row = row;
	return u->err < 0 ? u->err : index_space_put(ix, &r);
}

static int apply_outbox(struct index *ix, struct unpack *u)
{
	struct outbox_row r;
	uint64_t row = unpack_u64(u);
	row_get_outbox(u, &r);
	r.row = row;
	struct bytes blob = unpack_bytes(u, MAX_VALUE);
	return u->err < 0 ? u->err : index_outbox_put(ix, &r, blob);
}

static int apply_row(struct index *ix, enum op_type type, struct unpack *u)
{
	uint64_t row = unpack_u64(u), seq;
	struct id16 id;
	struct id32 hash;
	struct bytes value;
	switch (type) {
	case OP_ENTRY_PUT:
		seq = unpack_u64(u);
		value = unpack_bytes(u, MAX_VALUE);
		return u->err < 0 ? u->err : index_entry_put(ix, (uint32_t)row, seq, value);
	case OP_RECORD_PUT:
		unpack_fixed(u, id.b, sizeof id.b);
		unpack_fixed(u, hash.b, sizeof hash.b);
		seq = unpack_u64(u);
		value = unpack_bytes(u, MAX_VALUE);
		return u->err < 0 ? u->err : index_record_put(ix, (uint32_t)row, &id, &hash, seq, value);
	case OP_OUTBOX_CHUNK:
		seq = unpack_u64(u);
		return u->err < 0 ? u->err : index_outbox_chunk_put(ix, row, seq);
	case OP_OUTBOX_DEL:
		return u->err < 0 ? u->err : index_outbox_del(ix, row);
	default:
		return u->err < 0 ? u->err : index_space_del(ix, (uint32_t)row);
	}
}

static int apply_key(struct index *ix, enum op_type type, struct unpack *u)
{
	uint64_t ino = type == OP_META_PUT || type == OP_META_DEL ? 0 : unpack_u64(u);
	struct bytes key = unpack_bytes(u, MAX_KEY), value;
	switch (type) {
	case OP_META_PUT:
	case OP_XATTR_PUT:
		value = unpack_bytes(u, MAX_VALUE);
		if (u->err < 0)
			return u->err;
		return type == OP_META_PUT ? index_meta_put(ix, key, value) : index_xattr_put(ix, ino, key, value);
	case OP_META_DEL:
		return u->err < 0 ? u->err : index_meta_del(ix, key);
	case OP_XATTR_DEL:
		return u->err < 0 ? u->err : index_xattr_del(ix, ino, key);
	case OP_TOUCHED_PUT:
		return u->err < 0 ? u->err : index_touched_put(ix, ino, key);
	case OP_TOUCHED_DEL:
		return u->err < 0 ? u->err : index_touched_del(ix, ino, key);
	default:
		return ERR_VERSION; /* an op that this program does not know */
	}
}

static int apply_small(struct index *ix, enum op_type type, struct unpack *u)
{
	struct id16 id;
	struct link l;
	uint64_t ino;
	struct bytes value;
	switch (type) {
	case OP_LINK_PUT:
	case OP_LINK_NEW:
		row_get_link(u, &l);
		if (u->err < 0)
			return u->err;
		return type == OP_LINK_NEW ? index_link_new(ix, &l) : index_link_put(ix, &l);
	case OP_LINK_DEL:
		unpack_fixed(u, id.b, sizeof id.b);
		return u->err < 0 ? u->err : index_link_del(ix, &id);
	case OP_TARGET_PUT:
		ino = unpack_u64(u);
		value = unpack_bytes(u, NODE_MAX_TARGET);
		return u->err < 0 ? u->err : index_target_put(ix, ino, value);
	default:
		ino = unpack_u64(u);
		if (u->err < 0)
			return u->err;
		return index_node_del(ix, ino);
	}
}

static int apply_one(struct index *ix, struct unpack *u, const struct place *data)
{
	enum op_type type = (enum op_type)unpack_u32(u);
	switch (type) {
	case OP_NODE_ADD:
	case OP_NODE_PUT:
		return apply_node(ix, type, u);
	case OP_NODE_DEL:
	case OP_TARGET_PUT:
	case OP_LINK_PUT:
	case OP_LINK_NEW:
	case OP_LINK_DEL:
		return apply_small(ix, type, u);
	case OP_EXTENT_DATA:
	case OP_EXTENT_CLEAR:
	case OP_EXTENT_REF:
	case OP_EXTENT_SHARE:
	case OP_EXTENT_SHIFT:
		return apply_content(ix, type, u, data);
	case OP_CHUNK_PUT:
	case OP_CHUNK_DEL:
		return apply_chunk(ix, type, u);
	case OP_SPACE_PUT:
		return apply_space(ix, u);
	case OP_OUTBOX_PUT:
		return apply_outbox(ix, u);
	case OP_SPACE_DEL:
	case OP_ENTRY_PUT:
	case OP_RECORD_PUT:
	case OP_OUTBOX_DEL:
	case OP_OUTBOX_CHUNK:
		return apply_row(ix, type, u);
	default:
		return apply_key(ix, type, u);
	}
}

int op_apply_all(struct index *ix, struct bytes body, const struct place *data)
{
	struct unpack u = unpack_init(body);
	while (u.p < u.end) {
		int err = apply_one(ix, &u, data);
		if (err < 0)
			return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
	}
	return u.err;
}
