/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions of sync and agent on meta, spaces, log entries, nodes, links and xattrs. Link counts are derived here: they follow
 * the links, whatever a caller's copy of a node says.
 */
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "cache/txn.h"

enum { KEY_MAX = 200, META_MAX = 4 << 20, BLOB_MAX = 2 << 20 };

/* ---- meta ---- */

static int check_key(const char *key)
{
	size_t len = strnlen(key, KEY_MAX + 1);
	return len == 0 || len > KEY_MAX ? ERR_RANGE : 0;
}

int txn_meta_get(struct store_txn *t, const char *key, struct buf *out)
{
	int err = check_key(key);
	return err < 0 ? err : index_meta_get(t->s->index, bytes_str(key), out);
}

int txn_meta_put(struct store_txn *t, const char *key, struct bytes value)
{
	int err = value.len > META_MAX ? ERR_RANGE : check_key(key);
	return err < 0 ? err : txn_stage(t, &(struct op){ .type = OP_META_PUT, .key = bytes_str(key), .value = value });
}

int txn_meta_del(struct store_txn *t, const char *key)
{
	int err = check_key(key);
	return err < 0 ? err : txn_stage(t, &(struct op){ .type = OP_META_DEL, .key = bytes_str(key) });
}

int txn_meta_each(
	struct store_txn *t, const char *prefix, int (*fn)(void *ctx, const char *key, struct bytes value), void *ctx)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(KEY_MAX), value = BUF_INIT(META_MAX);
	size_t n = strlen(prefix);
	int err = n > KEY_MAX ? ERR_RANGE : buf_put(&key, prefix, n);
	if (err < 0)
		return err;
	if (n > 0) { /* the key equal to the prefix counts */
		err = index_meta_get(t->s->index, bytes_str(prefix), &value);
		if (err == 0 && fn(ctx, prefix, buf_bytes(&value)) == 0)
			return 0;
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
	}
	while ((err = index_meta_next(t->s->index, &key, &value)) == 0) {
		char text[KEY_MAX + 1];
		if (key.len < n || memcmp(key.data, prefix, n) != 0)
			return 0;
		memcpy(text, key.data, key.len);
		text[key.len] = 0;
		if (fn(ctx, text, buf_bytes(&value)) == 0)
			return 0;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* ---- nodes ---- */

int txn_node_get(struct store_txn *t, uint64_t ino, struct node *ret)
{
	return index_node_get(t->s->index, ino, ret);
}

int txn_node_find(struct store_txn *t, uint32_t space, const struct id16 *id, struct node *ret)
{
	uint64_t ino;
	int err = index_node_find(t->s->index, space, id, &ino);
	return err < 0 ? err : index_node_get(t->s->index, ino, ret);
}

int txn_node_add(struct store_txn *t, struct node *node, struct bytes target)
{
	struct node n = *node;
	n.ino = txn_new_row(t);
	n.nlink = n.kind == NODE_DIR ? 2 : 0;
	n.change = 0;
	n.change_bits = 0;
	n.flags &= ~(uint32_t)(NODE_PARTIAL | NODE_ACL);
	int err = txn_stage(t, &(struct op){ .type = OP_NODE_ADD, .node = &n });
	if (err == 0 && n.kind == NODE_SYMLINK)
		err = txn_node_set_target(t, n.ino, target);
	if (err == 0)
		*node = n;
	return err;
}

int txn_node_put(struct store_txn *t, const struct node *node)
{
	struct node before;
	int err = index_node_get(t->s->index, node->ino, &before);
	if (err < 0)
		return err;
	struct node n = *node;
	n.space = before.space;
	n.id = before.id;
	n.kind = before.flags & NODE_UNKNOWN ? node->kind : before.kind;
	n.nlink = before.nlink;
	n.change = before.change;
	n.change_bits = before.change_bits;
	const uint32_t derived = NODE_PARTIAL | NODE_ACL;
	n.flags = (n.flags & ~derived) | (before.flags & derived);
	err = txn_put_node(t, &n, &before);
	bool dies = (n.flags & NODE_DELETED) && !(before.flags & NODE_DELETED) && !holds_has(&t->s->holds, n.ino);
	return err < 0 || !dies ? err : txn_content_clear(t, n.ino);
}

int txn_node_set_target(struct store_txn *t, uint64_t ino, struct bytes target)
{
	if (target.len > NODE_MAX_TARGET)
		return ERR_NAME_TOO_LONG;
	return txn_stage(t, &(struct op){ .type = OP_TARGET_PUT, .ino = ino, .value = target });
}

int txn_node_target(struct store_txn *t, uint64_t ino, struct buf *out)
{
	return index_target_get(t->s->index, ino, out);
}

int txn_node_del(struct store_txn *t, uint64_t ino)
{
	for (;;) {
		struct link_at at = { 0, 0 };
		struct link l;
		int err = index_link_of_next(t->s->index, ino, &at, &l);
		if (err == ERR_NOT_FOUND)
			break;
		if (err == 0)
			err = txn_link_del(t, &l.id);
		if (err < 0)
			return err;
	}
	return txn_stage(t, &(struct op){ .type = OP_NODE_DEL, .ino = ino });
}

/* ---- links ---- */

/* The counts that follow from one shown link more (+1) or less (-1). */
static int count_link(struct store_txn *t, const struct link *l, int by)
{
	struct node before, n;
	if (l->shown_parent == 0)
		return 0;
	int err = index_node_get(t->s->index, l->ino, &before);
	if (err < 0)
		return err;
	n = before;
	if (n.kind == NODE_DIR) {
		err = index_node_get(t->s->index, l->shown_parent, &before);
		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
		n = before;
	}
	n.nlink += (uint32_t)by;
	return txn_put_node(t, &n, &before);
}

int txn_link_get(struct store_txn *t, const struct id16 *id, struct link *ret)
{
	return index_link_get(t->s->index, id, ret);
}

static int link_equal(const struct link *a, const struct link *b)
{
	return a->ino == b->ino && a->parent == b->parent && a->shown_parent == b->shown_parent &&
	       id16_equal(&a->synced_parent, &b->synced_parent) && a->name_len == b->name_len &&
	       a->shown_len == b->shown_len && memcmp(a->name, b->name, a->name_len) == 0 &&
	       memcmp(a->shown, b->shown, a->shown_len) == 0;
}

int txn_link_put(struct store_txn *t, const struct link *l)
{
	struct link old, other;
	int err = index_link_get(t->s->index, &l->id, &old);
	bool had = err == 0;
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	if (had && link_equal(l, &old))
		return 0;
	if (l->shown_parent != 0) {
		err = index_link_shown(t->s->index, l->shown_parent, bytes_of(l->shown, l->shown_len), &other);
		if (err == 0 && !id16_equal(&other.id, &l->id))
			return ERR_EXISTS;
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
	}
	err = had ? count_link(t, &old, -1) : 0;
	if (err == 0)
		err = txn_stage(t, &(struct op){ .type = OP_LINK_PUT, .link = l });
	return err < 0 ? err : count_link(t, l, 1);
}

int txn_link_del(struct store_txn *t, const struct id16 *id)
{
	struct link old;
	int err = index_link_get(t->s->index, id, &old);
	if (err == 0)
		err = count_link(t, &old, -1);
	return err < 0 ? err : txn_stage(t, &(struct op){ .type = OP_LINK_DEL, .id = *id });
}

struct link_list {
	struct link *l;
	size_t n, alloc;
};

static int list_add(struct link_list *list, const struct link *l)
{
	struct link *p = array_room(list->l, &list->alloc, list->n + 1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	list->l = p;
	list->l[list->n++] = *l;
	return 0;
}

static int list_end(struct link_list *list, int err, struct link **ret_links, size_t *ret_n)
{
	if (err < 0 && err != ERR_NOT_FOUND) {
		free(list->l);
		return err;
	}
	*ret_links = list->l;
	*ret_n = list->n;
	return 0;
}

int txn_links_of(struct store_txn *t, uint64_t ino, struct link **ret_links, size_t *ret_n)
{
	struct link_list list = { .l = NULL };
	struct link_at at = { 0, 0 };
	struct link l;
	int err;
	while ((err = index_link_of_next(t->s->index, ino, &at, &l)) == 0)
		if ((err = list_add(&list, &l)) < 0)
			break;
	return list_end(&list, err, ret_links, ret_n);
}

static bool register_is(const struct link *l, uint64_t parent, struct bytes name)
{
	return l->parent == parent &&
	       (name.len == 0 || (l->name_len == name.len && memcmp(l->name, name.p, name.len) == 0));
}

/* Links that claim (parent, name), or anything in parent if name is empty, but are not shown there. */
static int add_claims(struct store_txn *t, struct link_list *list, uint64_t parent, struct bytes name)
{
	struct id16 id = { { 0 } };
	uint64_t hash = 0;
	struct link l;
	int err;
	while ((err = index_claim_next(t->s->index, parent, name, &hash, &id, &l)) == 0)
		if ((err = list_add(list, &l)) < 0)
			break;
	return err;
}

int txn_links_named(struct store_txn *t, uint64_t parent, struct bytes name, struct link **ret_links, size_t *ret_n)
{
	struct link_list list = { .l = NULL };
	struct link l;
	int err = index_link_shown(t->s->index, parent, name, &l);
	if (err == 0 && register_is(&l, parent, name))
		err = list_add(&list, &l);
	if (err == 0 || err == ERR_NOT_FOUND)
		err = add_claims(t, &list, parent, name);
	return list_end(&list, err, ret_links, ret_n);
}

int txn_links_in(struct store_txn *t, uint64_t parent, bool shown, struct link **ret_links, size_t *ret_n)
{
	struct link_list list = { .l = NULL };
	uint64_t cookie = 0;
	struct link l;
	int err;
	while ((err = index_link_next(t->s->index, parent, &cookie, &l)) == 0) {
		bool plain = register_is(&l, parent, bytes_of(l.shown, l.shown_len)); /* the others stand in claim */
		if ((shown || plain) && (err = list_add(&list, &l)) < 0)
			break;
	}
	if (!shown && err == ERR_NOT_FOUND)
		err = add_claims(t, &list, parent, bytes_of(NULL, 0));
	return list_end(&list, err, ret_links, ret_n);
}

int txn_link_shown(struct store_txn *t, uint64_t parent, struct bytes name, struct link *ret)
{
	return index_link_shown(t->s->index, parent, name, ret);
}

/* 0: no space has it, or it is gone. */
static int space_of_dir(struct store_txn *t, uint64_t dir, uint32_t *ret_space)
{
	struct node n;
	int err = index_node_get(t->s->index, dir, &n);
	*ret_space = err == 0 ? n.space : 0;
	return err == ERR_NOT_FOUND ? 0 : err;
}

int txn_touched_take(struct store_txn *t, uint32_t space, uint64_t *parent, char name[NODE_MAX_NAME + 1], uint8_t *len)
{
	CLEANUP(buf_release) struct buf at = BUF_INIT(NODE_MAX_NAME);
	uint64_t dir = *parent;
	uint32_t whose = 0;
	int err = buf_put(&at, name, *len);
	while (err == 0 && (err = index_touched_next(t->s->index, &dir, &at)) == 0) {
		err = space_of_dir(t, dir, &whose);
		if (err == 0 && (whose == space || whose == 0))
			err = txn_stage(t, &(struct op){ .type = OP_TOUCHED_DEL, .ino = dir, .key = buf_bytes(&at) });
		if (err == 0 && whose == space)
			break;
	}
	if (err < 0)
		return err;
	*parent = dir;
	memset(name, 0, NODE_MAX_NAME + 1);
	memcpy(name, at.data, at.len);
	*len = (uint8_t)at.len;
	return 0;
}

/* ---- xattrs ---- */

struct xattr_at {
	size_t name, name_len, value, value_len;
};

static int read_xattrs(struct store_txn *t, uint64_t ino, struct buf *memory, struct xattr_at **ret_at, size_t *ret_n)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT(NODE_MAX_NAME), value = BUF_INIT(NODE_MAX_XATTR_BYTES);
	FREE_AFTER struct xattr_at *at = NULL;
	size_t n = 0;
	int err;
	while ((err = index_xattr_next(t->s->index, ino, &name, &value)) == 0) {
		struct xattr_at *more = realloc(at, (n + 1) * sizeof *at);
		if (!more)
			return ERR_NOMEM;
		at = more;
		at[n++] = (struct xattr_at){ memory->len, name.len, memory->len + name.len, value.len };
		err = buf_put(memory, name.data, name.len);
		if (err == 0)
			err = buf_put(memory, value.data, value.len);
		if (err < 0)
			return err;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	*ret_at = STEAL(&at);
	*ret_n = n;
	return 0;
}

int txn_xattrs(struct store_txn *t, uint64_t ino, struct node_xattr **ret_x, size_t *ret_n, struct buf *memory)
{
	FREE_AFTER struct xattr_at *at = NULL;
	size_t n = 0;
	int err = read_xattrs(t, ino, memory, &at, &n);
	if (err < 0)
		return err;
	struct node_xattr *x = calloc(n ? n : 1, sizeof *x);
	if (!x)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		x[i].name = bytes_of(memory->data + at[i].name, at[i].name_len);
		x[i].value = bytes_of(memory->data + at[i].value, at[i].value_len);
	}
	*ret_x = x;
	*ret_n = n;
	return 0;
}

static int note_acl(struct store_txn *t, uint64_t ino, bool acl)
{
	struct node before, n;
	int err = index_node_get(t->s->index, ino, &before);
	if (err < 0 || acl == ((before.flags & NODE_ACL) != 0))
		return err;
	n = before;
	n.flags ^= NODE_ACL;
	return txn_put_node(t, &n, &before);
}

int txn_xattrs_replace(struct store_txn *t, uint64_t ino, const struct node_xattr *x, size_t n)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT(NODE_MAX_NAME);
	bool acl = false;
	int err;
	while ((err = index_xattr_next(t->s->index, ino, &name, NULL)) == 0) {
		err = txn_stage(t, &(struct op){ .type = OP_XATTR_DEL, .ino = ino, .key = buf_bytes(&name) });
		if (err < 0)
			return err;
	}
	err = err == ERR_NOT_FOUND ? 0 : err;
	for (size_t i = 0; err == 0 && i < n; i++) {
		acl |= txn_is_acl(x[i].name);
		err = txn_stage(
			t, &(struct op){ .type = OP_XATTR_PUT, .ino = ino, .key = x[i].name, .value = x[i].value });
	}
	return err < 0 ? err : note_acl(t, ino, acl);
}

/* ---- spaces and their logs ---- */

static int show_space(struct store_txn *t, const struct space_row *row)
{
	struct link l = { .ino = row->root_ino, .parent = STORE_ROOT_INO, .shown_parent = STORE_ROOT_INO };
	size_t len = strnlen(row->name, NODE_MAX_NAME);
	struct link *old;
	size_t n;
	int err = txn_links_of(t, row->root_ino, &old, &n);
	if (err < 0)
		return err;
	if (n > 0)
		l.id = old[0].id;
	else
		store_random(t->s, l.id.b, sizeof l.id.b);
	free(old);
	if (len == 0)
		return n > 0 ? txn_link_del(t, &l.id) : 0;
	if (!node_name_valid(bytes_of(row->name, len)))
		return ERR_INVALID;
	memcpy(l.name, row->name, len);
	memcpy(l.shown, row->name, len);
	l.name_len = l.shown_len = (uint8_t)len;
	return txn_link_put(t, &l);
}

int txn_space_add(struct store_txn *t, struct space_row *row)
{
	uint64_t number = txn_new_row(t);
	int64_t now = store_now(t->s);
	if (number > UINT32_MAX)
		return ERR_RANGE;
	struct node root = { .space = (uint32_t)number,
		.kind = NODE_DIR,
		.mode = 0755,
		.owner = row->owner,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.btime = now };
	int err = txn_node_add(t, &root, bytes_of(NULL, 0));
	if (err < 0)
		return err;
	struct space_row r = *row;
	r.row = (uint32_t)number;
	r.root_ino = root.ino;
	err = txn_stage(t, &(struct op){ .type = OP_SPACE_PUT, .space = &r });
	if (err == 0)
		err = show_space(t, &r);
	if (err == 0)
		*row = r;
	return err;
}

int txn_space_put(struct store_txn *t, const struct space_row *row)
{
	struct space_row r;
	int err = index_space_get(t->s->index, row->row, &r);
	if (err < 0)
		return err;
	bool renamed = strncmp(r.name, row->name, sizeof r.name) != 0;
	memcpy(r.name, row->name, sizeof r.name);
	memcpy(r.relay, row->relay, sizeof r.relay);
	r.cursor = row->cursor;
	r.chain = row->chain;
	r.store_id = row->store_id;
	r.log_seq = row->log_seq;
	err = txn_stage(t, &(struct op){ .type = OP_SPACE_PUT, .space = &r });
	return err < 0 || !renamed ? err : show_space(t, &r);
}

int txn_space_each(struct store_txn *t, int (*fn)(void *ctx, const struct space_row *row), void *ctx)
{
	struct space_row r;
	uint32_t row = 0;
	int err;
	while ((err = index_space_next(t->s->index, &row, &r)) == 0)
		if (fn(ctx, &r) == 0)
			return 0;
	return err == ERR_NOT_FOUND ? 0 : err;
}

static int del_outbox_of(struct store_txn *t, uint32_t space)
{
	struct outbox_row r;
	uint64_t row = 0;
	int err;
	while ((err = index_outbox_next(t->s->index, &row, &r, NULL)) == 0) {
		if (r.space == space && (err = txn_outbox_del(t, row)) < 0)
			return err;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

int txn_space_del(struct store_txn *t, uint32_t row)
{
	struct id16 id = { { 0 } };
	uint64_t ino;
	int err = del_outbox_of(t, row);
	while (err == 0 && (err = index_space_node_next(t->s->index, row, &id, &ino)) == 0)
		err = txn_node_del(t, ino);
	if (err == ERR_NOT_FOUND)
		err = index_node_find(t->s->index, row, &(struct id16){ { 0 } }, &ino); /* the root */
	if (err == 0)
		err = txn_node_del(t, ino);
	return err < 0 && err != ERR_NOT_FOUND ? err : txn_stage(t, &(struct op){ .type = OP_SPACE_DEL, .row = row });
}

int txn_entry_put(struct store_txn *t, uint32_t space, uint64_t seq, struct bytes blob)
{
	return txn_stage(t, &(struct op){ .type = OP_ENTRY_PUT, .row = space, .seq = seq, .value = blob });
}

int txn_entry_each(struct store_txn *t, uint32_t space, uint64_t from_seq,
	int (*fn)(void *ctx, uint64_t seq, struct bytes blob), void *ctx)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(BLOB_MAX);
	int err;
	for (uint64_t seq = from_seq; (err = index_entry_get(t->s->index, space, &seq, &blob)) == 0; seq++)
		if (fn(ctx, seq, buf_bytes(&blob)) == 0)
			return 0;
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* ---- records ---- */

int txn_record_put(struct store_txn *t, uint32_t space, const struct id16 *id, const struct id32 *hash, uint64_t cursor,
	struct bytes blob)
{
	return txn_stage(t,
		&(struct op){
			.type = OP_RECORD_PUT, .row = space, .id = *id, .hash = *hash, .seq = cursor, .value = blob });
}

int txn_record_get(struct store_txn *t, uint32_t space, const struct id16 *id, struct id32 *ret_hash,
	uint64_t *ret_cursor, struct buf *blob)
{
	return index_record_get(t->s->index, space, id, ret_hash, ret_cursor, blob);
}

int txn_record_next(struct store_txn *t, uint32_t space, struct record_at *at)
{
	return index_record_next(t->s->index, space, at, NULL);
}

int txn_record_each(struct store_txn *t, uint32_t space,
	int (*fn)(void *ctx, const struct id16 *id, const struct id32 *hash, struct bytes blob), void *ctx)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(BLOB_MAX);
	struct record_at at = { .begun = false };
	int err;
	while ((err = index_record_next(t->s->index, space, &at, &blob)) == 0)
		if (fn(ctx, &at.id, &at.hash, buf_bytes(&blob)) == 0)
			return 0;
	return err == ERR_NOT_FOUND ? 0 : err;
}

uint64_t txn_position(struct store_txn *t)
{
	return t->s->at.seq;
}
