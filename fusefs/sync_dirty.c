/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed here: reads the store's list of changed nodes from where it was read last, tells the lanes, and lets the tree look again
 * at names that local calls freed or took.
 */
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "fusefs/sync_inner.h"

#define SCAN_MAX 20000
#define PATH_MAX_DEPTH 4096

struct dirty {
	uint64_t ino, change;
	enum node_kind kind;
	uint32_t bits, flags;
	struct id16 id;
};

struct scan {
	struct dirty *d;
	size_t n, alloc;
	int err;
};

static int note(void *ctx, const struct node *node)
{
	struct scan *sc = ctx;

	/* What one transaction changed has one number: it is taken whole, since the next scan begins after that number. */
	if (sc->n >= SCAN_MAX && node->change != sc->d[sc->n - 1].change)
		return 0;
	struct dirty *more = array_room(sc->d, &sc->alloc, sc->n + 1, sizeof *more);

	if (!more) {
		sc->err = ERR_NOMEM;
		return 0;
	}
	sc->d = more;
	sc->d[sc->n++] = (struct dirty){ .ino = node->ino,
		.change = node->change,
		.kind = node->kind,
		.bits = node->change_bits,
		.flags = node->flags,
		.id = node->id };
	return 1;
}

/* The lane of what is directly in `dir`. */
static int lane_in(struct sync_space *ss, struct store_txn *t, uint64_t dir, uint64_t *ret_lane)
{
	uint64_t at = dir, kept;

	*ret_lane = 0;
	for (unsigned i = 0; i < PATH_MAX_DEPTH && at != ss->root_ino && at != 0; i++) {
		FREE_AFTER struct link *links = NULL;
		size_t n = 0;

		if (table_get(&ss->lane_of, at, &kept)) {
			*ret_lane = kept - 1;
			break;
		}
		int err = txn_links_of(t, at, &links, &n);
		if (err < 0)
			return err;
		*ret_lane = at;
		at = n ? (links[0].shown_parent ? links[0].shown_parent : links[0].parent) : 0;
	}
	return dir == ss->root_ino ? OK : table_put(&ss->lane_of, dir, *ret_lane + 1);
}

/* Lanes of a node: of its first link, and of the link that is in another lane. A top-level folder is in its own. */
static int lanes_of(struct sync_space *ss, struct store_txn *t, const struct dirty *d, struct lane_change *c)
{
	FREE_AFTER struct link *links = NULL;
	size_t n = 0;
	int err = d->kind == NODE_PROFILE ? OK : txn_links_of(t, d->ino, &links, &n);

	c->lane = c->other = 0;
	for (size_t i = 0; i < n && err == OK; i++) {
		uint64_t parent = links[i].shown_parent ? links[i].shown_parent : links[i].parent, lane = 0;

		if (parent == ss->root_ino)
			lane = d->kind == NODE_DIR ? d->ino : 0;
		else
			err = lane_in(ss, t, parent, &lane);
		if (i == 0)
			c->lane = c->other = lane;
		else if (lane != c->lane)
			c->other = lane;
	}
	return err;
}

/* The lane that a node was in by its last record: where its last link stood. */
static int lane_before(struct sync_space *ss, struct store_txn *t, const struct dirty *d, uint64_t *ret_lane)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record o = OPENED_RECORD_INIT;
	struct id32 hash;
	struct node parent;
	uint64_t cursor;
	int err = txn_record_get(t, ss->row, &d->id, &hash, &cursor, &blob);

	if (err == ERR_NOT_FOUND || (err == OK && blob.len == 0)) /* sync_heal.c: it follows nothing */
		return ERR_NOT_FOUND;
	if (err == OK)
		err = space_open_record(ss->space, buf_bytes(&blob), &o);
	if (err < 0 || o.body.n_links == 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	err = txn_node_find(t, ss->row, &o.body.links[0].parent, &parent);
	if (err < 0)
		return err;
	if (parent.ino == ss->root_ino) {
		*ret_lane = d->kind == NODE_DIR ? d->ino : 0;
		return OK;
	}
	return lane_in(ss, t, parent.ino, ret_lane);
}

static int tell_lanes(struct sync_space *ss, struct store_txn *t, const struct dirty *d, int64_t now)
{
	struct lane_change c = { .ino = d->ino };
	uint64_t before;

	if (d->kind == NODE_DIR && (d->bits & CHANGE_LINKS))
		table_release(&ss->lane_of);
	int err = lanes_of(ss, t, d, &c);
	if (err == OK && (d->bits & (CHANGE_LINKS | CHANGE_DELETED)) && !(d->bits & CHANGE_NEW)) {
		err = lane_before(ss, t, d, &before);
		if (err == OK && (d->flags & NODE_DELETED))
			c.lane = c.other = before;
		else if (err == OK && before != c.lane)
			c.other = before;
		if (err == ERR_NOT_FOUND)
			err = OK;
	}
	c.growing = d->kind == NODE_FILE && (d->bits & CHANGE_CONTENT) && !(d->bits & CHANGE_FSYNCED) &&
		    !((d->bits & CHANGE_LINKS) && !(d->bits & CHANGE_NEW));
	return err < 0 ? err : lanes_changed(ss->lanes, &c, now);
}

/* Names that local calls freed or took, while others claim them. */
static int settle_touched(struct sync_space *ss, struct store_txn *t, const struct scan *sc, struct tree *tr)
{
	char name[NODE_MAX_NAME + 1] = "";
	uint64_t parent = 0;
	uint8_t len = 0;
	bool any = false;
	int err;

	while ((err = txn_touched_take(t, ss->row, &parent, name, &len)) == OK) {
		any = true;
		if ((err = tree_touch(tr, parent, bytes_of(name, len))) < 0)
			return err;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	err = OK;
	for (size_t i = 0; i < sc->n && err == OK && ss->tree.n_broken > 0; i++) {
		if (sc->d[i].kind != NODE_DIR)
			continue; /* of a directory any change may decide a cycle: it ranks higher now */
		any = true;
		err = tree_dir_moved(tr, sc->d[i].ino);
	}
	return err < 0 || !any ? err : tree_settle(tr);
}

static int scan(struct sync_space *ss, struct store_txn *t, struct scan *sc, struct tree *tr, int64_t now)
{
	int err = txn_dirty_each(t, ss->row, ss->seen_change, note, sc);

	if (err < 0 || sc->err < 0)
		return err < 0 ? err : sc->err;
	for (size_t i = 0; i < sc->n && err == OK; i++)
		err = tell_lanes(ss, t, &sc->d[i], now);
	return err < 0 ? err : settle_touched(ss, t, sc, tr);
}

int sync_dirty_scan(struct sync_space *ss, int64_t now)
{
	struct store_txn *t = NULL;
	struct scan sc = { .d = NULL };
	int err = store_begin(ss->sync->config.store, &t);

	if (err < 0)
		return err;
	struct tree tr = sync_space_tree(ss, t);
	err = scan(ss, t, &sc, &tr, now);
	if (err == OK)
		err = store_commit(&t);
	else
		store_abort(&t);
	err = sync_space_settled(ss, &tr, err);
	if (err == OK && sc.n > 0)
		ss->seen_change = sc.d[sc.n - 1].change;
	if (sc.n >= SCAN_MAX)
		ss->poked = true;
	free(sc.d);
	return err;
}
