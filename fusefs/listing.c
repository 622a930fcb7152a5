/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/listing.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "wire/cbor.h"

#define LISTING_FORMAT 1
#define LISTING_MAX NODE_INLINE_MAX

void listing_release(struct listing *l)
{
	epoch_ring_free(l->ring);
	l->ring = NULL;
}

int listing_put(
	struct buf *b, const struct id32 *genesis, const char *relay, const char *name, const struct epoch_ring *ring)
{
	CLEANUP(buf_release) struct buf keys = BUF_INIT_SECRET(256);
	struct cbor_enc e = cbor_enc_init(b);

	int err = epoch_ring_encode(ring, &keys);
	if (err < 0)
		return err;
	cbor_put_map(&e, 5);
	cbor_put_uint(&e, 0);
	cbor_put_uint(&e, LISTING_FORMAT);
	cbor_put_uint(&e, 1);
	cbor_put_bytes(&e, genesis->b, sizeof genesis->b);
	cbor_put_uint(&e, 2);
	cbor_put_text(&e, relay);
	cbor_put_uint(&e, 3);
	cbor_put_bytes(&e, name, strlen(name)); /* any bytes that a directory name may hold */
	cbor_put_uint(&e, 4);
	cbor_put_bytes(&e, keys.data, keys.len);
	return cbor_enc_end(&e);
}

static int copy_string(char *out, size_t size, struct bytes in)
{
	if (in.len >= size || (in.len && memchr(in.p, 0, in.len)))
		return ERR_INVALID;
	if (in.len)
		memcpy(out, in.p, in.len);
	out[in.len] = 0;
	return OK;
}

int listing_decode(struct bytes in, struct listing *ret_l)
{
	int err = cbor_check(in, CBOR_STRICT, 16);
	struct cbor_dec d = cbor_dec_init(in);
	struct listing l = { .ring = NULL };

	if (err < 0)
		return err;
	if (cbor_get_map(&d, 5) != 5 || cbor_get_uint(&d) != 0 || cbor_get_uint(&d) != LISTING_FORMAT)
		return cbor_dec_error(&d) < 0 ? cbor_dec_error(&d) : ERR_VERSION;
	if (cbor_get_uint(&d) != 1)
		cbor_dec_fail(&d, ERR_INVALID);
	cbor_get_fixed(&d, l.genesis.b, sizeof l.genesis.b);
	if (cbor_get_uint(&d) != 2)
		cbor_dec_fail(&d, ERR_INVALID);
	struct bytes relay = cbor_get_text(&d, sizeof l.relay - 1);
	if (cbor_get_uint(&d) != 3)
		cbor_dec_fail(&d, ERR_INVALID);
	struct bytes name = cbor_get_bytes(&d, NODE_MAX_NAME);
	if (cbor_get_uint(&d) != 4)
		cbor_dec_fail(&d, ERR_INVALID);
	struct bytes keys = cbor_get_bytes(&d, 256);
	if ((err = cbor_dec_end(&d)) < 0 || (err = copy_string(l.relay, sizeof l.relay, relay)) < 0 ||
		(err = copy_string(l.name, sizeof l.name, name)) < 0)
		return err;
	if (!node_name_valid(name))
		return ERR_INVALID;
	if ((err = epoch_ring_decode(keys, &l.ring)) < 0)
		return err;
	*ret_l = l;
	return OK;
}

struct ino_list {
	uint64_t *inos;
	size_t n, alloc;
	struct store_txn *t;
	uint32_t row;
	int err;
};

static int note_profile_node(void *ctx, const struct id16 *id, const struct id32 *hash, struct bytes blob)
{
	struct ino_list *l = ctx;
	struct node node;

	(void)hash;
	(void)blob;
	if (txn_node_find(l->t, l->row, id, &node) < 0 || node.kind != NODE_PROFILE || (node.flags & NODE_DELETED))
		return 1;
	uint64_t *more = array_room(l->inos, &l->alloc, l->n + 1, sizeof *more);
	if (!more) {
		l->err = ERR_NOMEM;
		return 0;
	}
	l->inos = more;
	l->inos[l->n++] = node.ino;
	return 1;
}

/* Nodes made here and not sealed yet have no record; they stand in the dirty list. */
static int note_dirty_node(void *ctx, const struct node *node)
{
	struct id32 none = { { 0 } };

	return node->version == 0 ? note_profile_node(ctx, &node->id, &none, bytes_of(NULL, 0)) : 1;
}

/* Sealed and not confirmed yet: they stand in the outbox. */
static int note_queued_node(void *ctx, const struct outbox_row *row, struct bytes blob)
{
	return note_profile_node(ctx, &row->id, &row->hash, blob);
}

static int find_nodes(struct store *s, uint32_t row, struct ino_list *l)
{
	int err = store_begin(s, &l->t);

	if (err < 0)
		return err;
	l->row = row;
	err = txn_record_each(l->t, row, note_profile_node, l);
	if (err >= 0)
		err = txn_dirty_each(l->t, row, 0, note_dirty_node, l);
	if (err >= 0)
		err = txn_outbox_each(l->t, row, 0, note_queued_node, l);
	store_abort(&l->t);
	return err < 0 ? err : l->err;
}

int listing_each(
	struct store *s, uint32_t personal_row, int (*fn)(void *ctx, uint64_t ino, const struct listing *l), void *ctx)
{
	struct ino_list list = { 0 };
	int err = find_nodes(s, personal_row, &list);
	int go_on = 1;

	for (size_t i = 0; err >= 0 && go_on && i < list.n; i++) {
		uint8_t content[LISTING_MAX];
		CLEANUP(listing_release) struct listing l = { .ring = NULL };
		uint64_t chunk;
		size_t len;

		if (store_read(s, list.inos[i], 0, content, sizeof content, &len, &chunk) < 0)
			continue;
		if (listing_decode(bytes_of(content, len), &l) == OK)
			go_on = fn(ctx, list.inos[i], &l);
		explicit_bzero(content, sizeof content);
	}
	free(list.inos);
	return err;
}

int listing_write(struct store_txn *t, uint32_t personal_row, uint64_t ino, const struct id32 *owner,
	const struct id16 *fresh_id, struct bytes content, int64_t now_ns)
{
	struct node node = {
		.space = personal_row, .id = *fresh_id, .kind = NODE_PROFILE, .mode = 0600, .owner = *owner
	};
	bool fresh = ino == 0;
	int err = OK;

	if (content.len > LISTING_MAX)
		return ERR_RANGE;
	if (fresh) {
		node.btime = node.atime = now_ns;
		err = txn_node_add(t, &node, bytes_of(NULL, 0));
	} else {
		err = txn_node_get(t, ino, &node);
	}
	if (err < 0 || (err = txn_content_clear(t, node.ino)) < 0 ||
		(err = txn_content_data(t, node.ino, 0, content)) < 0)
		return err;
	node.size = content.len;
	node.mtime = node.ctime = now_ns;
	if ((err = txn_node_put(t, &node)) < 0)
		return err;
	return txn_mark_changed(t, node.ino, fresh ? CHANGE_NEW | CHANGE_CONTENT : CHANGE_CONTENT);
}
