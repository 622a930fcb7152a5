/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins. A node is pinned if it has the mark; without a mark, if the folder that shows it is (of several, any). So a mark stands only where
 * a node differs from its folder, and what arrives in a pinned folder later, or is moved there, is pinned without anybody doing anything.
 */
#include "base/cleanup.h"
#include "cache/txn.h"
#include "crypto/secret.h"

#define EVER_KEY "pinned ever" /* there: something was pinned once; most profiles never look further */
#define MARKS ((uint32_t)(NODE_PINNED | NODE_UNPINNED))

enum { DEPTH_MAX = 1 << 20 };

/* The next folder that shows the node. */
static int next_folder(struct store *s, uint64_t ino, struct link_at *at, uint64_t *ret_dir)
{
	struct link l;
	int err;
	do {
		err = index_link_of_next(s->index, ino, at, &l);
	} while (err == 0 && l.shown_parent == 0);
	if (err == 0)
		*ret_dir = l.shown_parent;
	return err;
}

static int folder_pinned(struct store *s, uint64_t dir, bool *ret)
{
	*ret = false;
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		struct link_at at = { 0, 0 };
		struct node n;
		int err = index_node_get(s->index, dir, &n);
		if (err == 0 && (n.flags & MARKS)) {
			*ret = (n.flags & NODE_PINNED) != 0;
			return 0;
		}
		if (err == 0)
			err = next_folder(s, dir, &at, &dir);
		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
	}
	return ERR_CORRUPT;
}

int pin_has(struct store *s, const struct node *n, bool *ret)
{
	struct link_at at = { 0, 0 };
	uint64_t dir;
	int err = 0;
	*ret = (n->flags & NODE_PINNED) != 0;
	if (n->flags & MARKS)
		return 0;
	while (!*ret && (err = next_folder(s, n->ino, &at, &dir)) == 0) {
		err = folder_pinned(s, dir, ret);
		if (err < 0)
			return err;
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

int store_pinned(struct store *s, uint64_t ino, bool *ret)
{
	struct node n;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = index_node_get(s->index, ino, &n);
	if (err == 0)
		err = pin_has(s, &n, ret);
	store_unlock(s);
	return err;
}

/* ERR_NOT_FOUND: nothing was ever pinned. */
static int ever(struct store *s)
{
	CLEANUP(buf_release) struct buf value = BUF_INIT(16);
	return index_meta_get(s->index, bytes_str(EVER_KEY), &value);
}

static int set_mark(struct store_txn *t, uint64_t ino, bool on)
{
	struct node before, n;
	bool folder;
	int err = index_node_get(t->s->index, ino, &before);
	if (err < 0)
		return err;
	n = before;
	n.flags &= ~MARKS;
	err = pin_has(t->s, &n, &folder);
	if (err < 0)
		return err;
	if (folder != on)
		n.flags |= on ? NODE_PINNED : NODE_UNPINNED;
	if (n.flags == before.flags)
		return 0;
	if (on && (err = ever(t->s)) == ERR_NOT_FOUND)
		err = txn_meta_put(t, EVER_KEY, bytes_str("1"));
	return err < 0 ? err : txn_put_node(t, &n, &before);
}

int store_pin(struct store *s, uint64_t ino, bool pinned)
{
	struct store_txn *t;
	int err = txn_call(s, &t);
	return err < 0 ? err : txn_end(t, set_mark(t, ino, pinned));
}

/* ---- what pinned files lack: by steps, for whoever writes to a space chooses how many files name a chunk, and how deep ---- */

static int is_lacking(struct store *s, uint64_t row, struct chunk_row *ret, bool *ret_is)
{
	int err = index_chunk_get(s->index, row, ret);
	secret_wipe(ret->key, sizeof ret->key);
	*ret_is = err == 0 && !ret->here && ret->confirmed && !ret->index;
	return err == ERR_NOT_FOUND ? 0 : err;
}

static void answer(struct pin_look *l, bool pinned, bool *ret_wanted)
{
	l->known[l->folder % PIN_KNOWN].folder = l->folder;
	l->known[l->folder % PIN_KNOWN].pinned = pinned;
	l->folder = l->above = 0;
	*ret_wanted = pinned;
}

static void stand_at(struct pin_look *l, uint64_t above)
{
	l->above = above;
	l->link_above = (struct link_at){ 0, 0 };
}

static int step_above(struct store *s, struct pin_look *l, bool *ret_wanted)
{
	struct node n;
	struct link up;
	int err;
	if (l->known[l->above % PIN_KNOWN].folder == l->above) {
		answer(l, l->known[l->above % PIN_KNOWN].pinned, ret_wanted);
		return 0;
	}
	if (++l->depth > DEPTH_MAX)
		return ERR_CORRUPT;
	err = index_node_get(s->index, l->above, &n);
	if (err == 0 && (n.flags & MARKS)) {
		answer(l, (n.flags & NODE_PINNED) != 0, ret_wanted);
		return 0;
	}
	if (err == 0)
		err = index_link_of_next(s->index, l->above, &l->link_above, &up);
	if (err == 0 && up.shown_parent != 0)
		stand_at(l, up.shown_parent);
	if (err == ERR_NOT_FOUND)
		answer(l, false, ret_wanted);
	return err == ERR_NOT_FOUND ? 0 : err;
}

static int step_link(struct store *s, struct pin_look *l)
{
	struct link link;
	int err = index_link_of_next(s->index, l->owner, &l->link, &link);
	if (err == 0 && link.shown_parent != 0) {
		l->folder = link.shown_parent;
		l->depth = 0;
		stand_at(l, l->folder);
	}
	if (err == ERR_NOT_FOUND)
		l->in_owner = false;
	return err == ERR_NOT_FOUND ? 0 : err;
}

static int step_owner(struct store *s, struct pin_look *l, bool *ret_wanted)
{
	struct node n;
	int err = index_chunk_used(s->index, l->row, &l->owner);
	if (err == ERR_NOT_FOUND)
		l->in_chunk = false;
	if (err == 0)
		err = index_node_get(s->index, l->owner, &n);
	if (err < 0)
		return err == ERR_NOT_FOUND ? 0 : err;
	*ret_wanted = (n.flags & NODE_PINNED) != 0;
	l->in_owner = !(n.flags & MARKS);
	l->link = (struct link_at){ 0, 0 };
	return 0;
}

static int step_chunk(struct store *s, struct pin_look *l)
{
	struct chunk_row c;
	int err = index_chunk_next(s->index, &l->row);
	l->owner = 0;
	return err < 0 ? err : is_lacking(s, l->row, &c, &l->in_chunk);
}

static int look_step(struct store *s, struct pin_look *l, bool *ret_wanted)
{
	if (l->above)
		return step_above(s, l, ret_wanted);
	if (l->in_owner)
		return step_link(s, l);
	return l->in_chunk ? step_owner(s, l, ret_wanted) : step_chunk(s, l);
}

int txn_pinned_absent(struct store_txn *t, struct pin_look *look, size_t *left, struct chunk_row *ret)
{
	int err = ever(t->s);
	while (err == 0 && *left > 0) {
		bool wanted = false;
		--*left;
		err = look_step(t->s, look, &wanted);
		if (err < 0 || !wanted)
			continue;
		look->in_chunk = look->in_owner = false;
		err = is_lacking(t->s, look->row, ret, &wanted); /* it may have come since the look began with it */
		if (err == 0 && wanted)
			return 0;
	}
	if (err == ERR_NOT_FOUND)
		memset(look->known, 0, sizeof look->known);
	return err < 0 ? err : ERR_AGAIN;
}
