/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes are the rows that are written most, so they are short: times as differences, absent keys and hashes as one bit.
 */
#include "cache/row.h"

enum { HAS_OWNER = 1, HAS_AUTHOR = 2, HAS_BASE = 4 };

void row_put_node(struct pack *k, const struct node *n)
{
	unsigned has = (id32_is_zero(&n->owner) ? 0u : HAS_OWNER) | (id32_is_zero(&n->author) ? 0u : HAS_AUTHOR) |
		       (id32_is_zero(&n->base) ? 0u : HAS_BASE);
	pack_u64(k, n->space);
	pack_fixed(k, n->id.b, sizeof n->id.b);
	pack_u64(k, (uint64_t)n->kind);
	pack_u64(k, n->flags);
	pack_u64(k, n->mode);
	pack_u64(k, n->uid);
	pack_u64(k, n->gid);
	pack_u64(k, n->rdev);
	pack_u64(k, n->size);
	pack_i64(k, n->mtime);
	pack_i64(k, (int64_t)((uint64_t)n->atime - (uint64_t)n->mtime));
	pack_i64(k, (int64_t)((uint64_t)n->ctime - (uint64_t)n->mtime));
	pack_i64(k, (int64_t)((uint64_t)n->btime - (uint64_t)n->mtime));
	pack_u64(k, n->nlink);
	pack_u64(k, n->version);
	pack_u64(k, n->change);
	pack_u64(k, n->change_bits);
	pack_u64(k, has);
	if (has & HAS_OWNER)
		pack_fixed(k, n->owner.b, sizeof n->owner.b);
	if (has & HAS_AUTHOR)
		pack_fixed(k, n->author.b, sizeof n->author.b);
	if (has & HAS_BASE)
		pack_fixed(k, n->base.b, sizeof n->base.b);
}

void row_get_node(struct unpack *u, struct node *n)
{
	memset(n, 0, sizeof *n);
	n->space = unpack_u32(u);
	unpack_fixed(u, n->id.b, sizeof n->id.b);
	n->kind = (enum node_kind)unpack_u32(u);
	n->flags = unpack_u32(u);
	n->mode = unpack_u32(u);
	n->uid = unpack_u32(u);
	n->gid = unpack_u32(u);
	n->rdev = unpack_u64(u);
	n->size = unpack_u64(u);
	n->mtime = unpack_i64(u);
	n->atime = (int64_t)((uint64_t)n->mtime + (uint64_t)unpack_i64(u));
	n->ctime = (int64_t)((uint64_t)n->mtime + (uint64_t)unpack_i64(u));
	n->btime = (int64_t)((uint64_t)n->mtime + (uint64_t)unpack_i64(u));
	n->nlink = unpack_u32(u);
	n->version = unpack_u64(u);
	n->change = unpack_u64(u);
	n->change_bits = unpack_u32(u);
	uint64_t has = unpack_u64(u);
	if (has & HAS_OWNER)
		unpack_fixed(u, n->owner.b, sizeof n->owner.b);
	if (has & HAS_AUTHOR)
		unpack_fixed(u, n->author.b, sizeof n->author.b);
	if (has & HAS_BASE)
		unpack_fixed(u, n->base.b, sizeof n->base.b);
}

/* A link whose register is where it is shown, the usual one, says so in one byte. */
void row_put_link(struct pack *k, const struct link *l)
{
	bool plain = l->parent == l->shown_parent && l->name_len == l->shown_len &&
		     memcmp(l->name, l->shown, l->name_len) == 0;
	pack_fixed(k, l->id.b, sizeof l->id.b);
	pack_u64(k, l->ino);
	pack_u64(k, l->parent);
	pack_fixed(k, l->synced_parent.b, sizeof l->synced_parent.b);
	pack_bytes(k, bytes_of(l->name, l->name_len));
	pack_u64(k, plain);
	if (plain)
		return;
	pack_u64(k, l->shown_parent);
	pack_bytes(k, bytes_of(l->shown, l->shown_len));
}

void row_get_link(struct unpack *u, struct link *l)
{
	memset(l, 0, sizeof *l);
	unpack_fixed(u, l->id.b, sizeof l->id.b);
	l->ino = unpack_u64(u);
	l->parent = unpack_u64(u);
	unpack_fixed(u, l->synced_parent.b, sizeof l->synced_parent.b);
	struct bytes name = unpack_bytes(u, NODE_MAX_NAME);
	struct bytes shown = name;
	l->shown_parent = l->parent;
	if (unpack_u64(u) == 0) {
		l->shown_parent = unpack_u64(u);
		shown = unpack_bytes(u, NODE_MAX_NAME);
	}
	if (u->err != 0)
		return;
	l->name_len = (uint8_t)name.len;
	if (name.len > 0)
		memcpy(l->name, name.p, name.len);
	l->shown_len = (uint8_t)shown.len;
	if (shown.len > 0)
		memcpy(l->shown, shown.p, shown.len);
}

void row_put_chunk(struct pack *k, const struct chunk_row *c)
{
	pack_u64(k, c->space);
	pack_fixed(k, c->id.b, sizeof c->id.b);
	pack_fixed(k, c->key, sizeof c->key);
	pack_u64(k, c->len);
	pack_fixed(k, c->hash.b, sizeof c->hash.b);
	pack_u64(k, (c->here ? 1u : 0u) | (c->confirmed ? 2u : 0u) | (c->index ? 4u : 0u));
}

void row_get_chunk(struct unpack *u, struct chunk_row *c)
{
	memset(c, 0, sizeof *c);
	c->space = unpack_u32(u);
	unpack_fixed(u, c->id.b, sizeof c->id.b);
	unpack_fixed(u, c->key, sizeof c->key);
	c->len = unpack_u32(u);
	unpack_fixed(u, c->hash.b, sizeof c->hash.b);
	uint64_t flags = unpack_u64(u);
	c->here = (flags & 1) != 0;
	c->confirmed = (flags & 2) != 0;
	c->index = (flags & 4) != 0;
}

static void get_text(struct unpack *u, char *out, size_t size)
{
	struct bytes text = unpack_bytes(u, size - 1);
	memset(out, 0, size);
	if (text.len > 0)
		memcpy(out, text.p, text.len);
}

void row_put_space(struct pack *k, const struct space_row *r)
{
	pack_fixed(k, r->id.b, sizeof r->id.b);
	pack_fixed(k, r->genesis.b, sizeof r->genesis.b);
	pack_fixed(k, r->owner.b, sizeof r->owner.b);
	pack_u64(k, r->root_ino);
	pack_bytes(k, bytes_of(r->name, strnlen(r->name, sizeof r->name - 1)));
	pack_bytes(k, bytes_of(r->relay, strnlen(r->relay, sizeof r->relay - 1)));
	pack_u64(k, r->cursor);
	pack_fixed(k, r->chain.b, sizeof r->chain.b);
	pack_fixed(k, r->store_id.b, sizeof r->store_id.b);
	pack_u64(k, r->log_seq);
}

void row_get_space(struct unpack *u, struct space_row *r)
{
	memset(r, 0, sizeof *r);
	unpack_fixed(u, r->id.b, sizeof r->id.b);
	unpack_fixed(u, r->genesis.b, sizeof r->genesis.b);
	unpack_fixed(u, r->owner.b, sizeof r->owner.b);
	r->root_ino = unpack_u64(u);
	get_text(u, r->name, sizeof r->name);
	get_text(u, r->relay, sizeof r->relay);
	r->cursor = unpack_u64(u);
	unpack_fixed(u, r->chain.b, sizeof r->chain.b);
	unpack_fixed(u, r->store_id.b, sizeof r->store_id.b);
	r->log_seq = unpack_u64(u);
}

void row_put_outbox(struct pack *k, const struct outbox_row *r)
{
	pack_u64(k, r->space);
	pack_u64(k, r->lane);
	pack_u64(k, r->ino);
	pack_fixed(k, r->id.b, sizeof r->id.b);
	pack_fixed(k, r->hash.b, sizeof r->hash.b);
	pack_u64(k, r->change);
	pack_u64(k, r->group);
}

void row_get_outbox(struct unpack *u, struct outbox_row *r)
{
	memset(r, 0, sizeof *r);
	r->space = unpack_u32(u);
	r->lane = unpack_u64(u);
	r->ino = unpack_u64(u);
	unpack_fixed(u, r->id.b, sizeof r->id.b);
	unpack_fixed(u, r->hash.b, sizeof r->hash.b);
	r->change = unpack_u64(u);
	r->group = unpack_u64(u);
}
