/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts. All nodes of a cut are read in one transaction, so that they are one state of the past; hashed, sealed and signed outside of
 * it while a store_keep holds their bytes; and queued in a second transaction together with their chunks. A crash before that one
 * leaves them changed as they were; after it they are sent again byte for byte. What is more than one entry of the journal holds
 * is queued in parts, in order; a crash between them makes another cut of the rest. A node that cannot be sealed goes back to its
 * lane.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "fusefs/rights.h"
#include "fusefs/sync_inner.h"

#define PLAIN_KEEP_MAX (16u << 20)
#define KEPT_AN_HOUR 10     /* versions of one node */
#define REWRITTEN_MAX 20000 /* nodes whose versions are counted */
#define TOMBSTONE_LINKS 4   /* last links that a tombstone keeps */

enum fate {
	FATE_SEND,
	FATE_NOTHING, /* it is gone, or has no changes any more */
	FATE_FORGET,  /* it has no name and nobody has ever seen it: its changes are not to be sent */
	FATE_AGAIN    /* it could not be sealed now: it stays changed */
};

struct sealed {
	struct image img;
	struct content c;
	struct buf before_blob; /* the record before, where it is needed */
	struct opened_record before;
	bool has_before;
	struct buf blob;
	struct id32 hash;
	struct out_row {
		uint64_t row;
		uint32_t len;
		bool has_print;
		struct fingerprint print;
	} * chunks;
	size_t n_chunks;
	uint64_t version;
	bool dead;     /* a tombstone is made of it */
	bool stripped; /* another's device was the author: the rights that it gave stay out */
	enum fate fate;
};

static void sealed_release(struct sealed *x)
{
	image_release(&x->img);
	content_release(&x->c);
	buf_release(&x->before_blob);
	opened_record_release(&x->before);
	buf_release(&x->blob);
	free(x->chunks);
}

struct cut {
	struct sync_space *ss;
	struct sealed *x;
	size_t n;
	uint64_t lane, group;
	bool joined;
	struct store_keep *keep;
	struct content_maker maker;
};

/* The version before is needed for last links, places before a move, and index chunks. */
static bool needs_before(const struct sealed *x)
{
	const struct node *n = &x->img.node;

	if (n->version == 0)
		return false;
	return x->dead || (n->change_bits & (CHANGE_LINKS | CHANGE_DELETED)) || x->img.n_extents > NODE_MAX_SLICES;
}

/* What has no name is deleted or about to be. */
static bool is_dead(const struct node *n, size_t n_links)
{
	if (n->flags & NODE_DELETED)
		return true;
	return n_links == 0 && n->kind != NODE_PROFILE && !id16_is_zero(&n->id);
}

static enum fate fate_of(const struct sealed *x)
{
	const struct node *n = &x->img.node;

	if (n->change == 0)
		return FATE_NOTHING;
	if (n->flags & NODE_UNKNOWN)
		return FATE_AGAIN;
	return x->dead && n->version == 0 ? FATE_FORGET : FATE_SEND;
}

static int snapshot_node(struct cut *cut, struct store_txn *t, uint64_t ino, struct sealed *x)
{
	struct id32 hash;
	uint64_t cursor;
	int err = image_load(t, ino, &x->img);

	if (err == ERR_NOT_FOUND) {
		x->fate = FATE_NOTHING;
		return OK;
	}
	if (err < 0)
		return err;
	x->dead = is_dead(&x->img.node, x->img.n_links);
	x->fate = fate_of(x);
	if (x->fate != FATE_SEND)
		return OK;
	err = x->dead ? OK : content_snapshot(t, &x->img, &x->c);
	if (err == OK && needs_before(x)) {
		err = txn_record_get(t, cut->ss->row, &x->img.node.id, &hash, &cursor, &x->before_blob);
		x->has_before = err == OK;
		if (err == ERR_NOT_FOUND)
			err = OK;
	}
	return err;
}

static int snapshot(struct cut *cut, const uint64_t *inos, size_t n)
{
	struct store *store = cut->ss->sync->config.store;
	struct store_txn *t = NULL;
	int err = store_keep(store, &cut->keep);

	if (err == OK)
		err = store_begin(store, &t);
	if (err < 0)
		return err;
	cut->group = txn_position(t);
	for (; cut->n < n && err == OK; cut->n++) {
		struct sealed *x = &cut->x[cut->n];

		x->img = (struct image)IMAGE_INIT;
		x->before_blob = (struct buf)BUF_INIT(RECORD_MAX_BLOB);
		x->before = (struct opened_record)OPENED_RECORD_INIT;
		x->blob = (struct buf)BUF_INIT(RECORD_MAX_BLOB);
		err = snapshot_node(cut, t, inos[cut->n], x);
	}
	store_abort(&t);
	return err;
}

static const struct node_link *link_before(const struct sealed *x, const struct id16 *id)
{
	for (size_t i = 0; x->has_before && i < x->before.body.n_links; i++) {
		if (id16_equal(&x->before.body.links[i].id, id))
			return &x->before.body.links[i];
	}
	return NULL;
}

/* The parent before, for links that moved since the last synced state. */
static void note_synced_parents(struct sealed *x)
{
	for (size_t i = 0; i < x->img.body.n_links; i++) {
		struct node_link *l = &x->img.body.links[i];
		const struct node_link *b = link_before(x, &l->id);

		if (b)
			l->synced_parent = id16_equal(&b->parent, &l->parent) ? b->synced_parent : b->parent;
		else if (x->img.node.version == 0 || x->has_before)
			l->synced_parent = l->parent;
	}
}

static int make_tombstone(struct sealed *x)
{
	struct node_body *b = &x->img.body;
	size_t n = x->has_before ? x->before.body.n_links : 0;
	uint32_t mode = b->mode;

	node_body_release(b);
	*b = (struct node_body){ .kind = x->img.node.kind, .mode = mode, .deleted = true };
	if (n > TOMBSTONE_LINKS)
		n = TOMBSTONE_LINKS;
	if (n == 0)
		return OK;
	b->links = calloc(n, sizeof *b->links);
	if (!b->links)
		return ERR_NOMEM;
	memcpy(b->links, x->before.body.links, n * sizeof *b->links);
	b->n_links = n;
	return OK;
}

/* Whether this seals, as the own person's, what another's device wrote last: without the rights that it gave (rights.h). Others' nodes keep
 * theirs: they never count here. */
static bool strips(const struct cut *cut, const struct node *n)
{
	const struct sync *s = cut->ss->sync;

	return id32_equal(&n->owner, identity_person(s->config.who)) && !sync_trusts(s, &n->owner, &n->author);
}

/* Whether history may do without the version once it is replaced: one more of a node that is rewritten again and again. What is not known of the
 * past counts as nothing, so that rather a version too many is kept. */
static bool is_passing(struct sync_space *ss, const struct sealed *x)
{
	uint64_t now = (uint64_t)(sync_now(ss->sync) / 1000000000), value, since = now, count = 0;

	if (table_get(&ss->rewritten, x->img.node.ino, &value) && now - (value >> 16) < 3600) {
		since = value >> 16;
		count = value & 0xffff;
	}
	if (ss->rewritten.n >= REWRITTEN_MAX)
		table_release(&ss->rewritten);
	if (count < UINT16_MAX)
		count++;
	return table_put(&ss->rewritten, x->img.node.ino, since << 16 | count) == OK && count > KEPT_AN_HOUR &&
	       !x->dead;
}

static int seal_node(struct cut *cut, struct sealed *x)
{
	struct sync_space *ss = cut->ss;
	const struct node *n = &x->img.node;
	int err = OK;

	if (x->has_before) {
		err = space_open_record(ss->space, buf_bytes(&x->before_blob), &x->before);
		if (err < 0)
			x->has_before = false; /* what it would tell is left out */
	}
	x->stripped = strips(cut, n);
	if (x->stripped)
		rights_strip(&x->img.body);
	if (x->dead) {
		err = make_tombstone(x);
	} else {
		if (n->version == 0 || x->has_before)
			note_synced_parents(x);
		err = content_make(&cut->maker, &x->img, x->has_before ? &x->before.body : NULL, &x->c);
	}
	if (err < 0)
		return err;
	x->version = n->version < RECORD_MAX_VERSION ? n->version + 1 : n->version; /* a member may begin there */
	uint64_t flags = is_passing(ss, x) ? RECORD_PASSING : 0;
	struct bytes prev = n->version ? bytes_of(n->base.b, sizeof n->base.b) : bytes_of(NULL, 0);
	return space_seal_record(
		ss->space, ss->sync->config.who, &n->id, x->version, prev, flags, &x->img.body, &x->blob, &x->hash);
}

static int note_chunks(struct store_txn *t, struct sealed *x)
{
	if (x->c.n_unconfirmed == 0)
		return OK;
	free(x->chunks);
	x->n_chunks = 0;
	x->chunks = calloc(x->c.n_unconfirmed, sizeof *x->chunks);
	if (!x->chunks)
		return ERR_NOMEM;
	for (size_t i = 0, k = 0; i < x->c.n_unconfirmed; i++) {
		const struct content_chunk *made =
			k < x->c.n_chunks ? &x->c.chunks[k] : NULL; /* in the order of both */
		struct chunk_row row;
		int err = txn_chunk_get(t, x->c.unconfirmed[i], &row);

		if (err < 0)
			return err;
		x->chunks[x->n_chunks] = (struct out_row){ .row = row.row, .len = row.len };
		if (made && made->row.row == row.row) {
			x->chunks[x->n_chunks].has_print = made->has_print;
			x->chunks[x->n_chunks].print = made->print;
			k++;
		}
		x->n_chunks++;
		secret_wipe(row.key, sizeof row.key);
	}
	return OK;
}

static int keep_synced_parents(struct store_txn *t, const struct sealed *x)
{
	for (size_t i = 0; i < x->img.n_links && i < x->img.body.n_links; i++) {
		struct link l;

		if (id16_equal(&x->img.links[i].synced_parent, &x->img.body.links[i].synced_parent))
			continue;
		int err = txn_link_get(t, &x->img.links[i].id, &l);
		if (err == ERR_NOT_FOUND)
			continue;
		if (err < 0)
			return err;
		l.synced_parent = x->img.body.links[i].synced_parent;
		if ((err = txn_link_put(t, &l)) < 0)
			return err;
	}
	return OK;
}

static int queue_node(struct cut *cut, struct store_txn *t, struct sealed *x, struct outbox_row *o)
{
	*o = (struct outbox_row){ .space = cut->ss->row,
		.lane = cut->lane,
		.ino = x->img.node.ino,
		.id = x->img.node.id,
		.hash = x->hash,
		.change = x->img.node.change,
		.group = cut->group };
	struct node now;
	int err = txn_node_get(t, o->ino, &now);
	if (err == ERR_NOT_FOUND || (err == OK && now.version == 0 && (now.flags & NODE_ORPHAN))) {
		/* Unlinked before it was ever sealed: nobody will see it, or a tombstone of it. */
		x->fate = FATE_NOTHING;
		return OK;
	}
	if (err == OK && !x->dead)
		err = content_store(t, &x->img, &x->c);
	if (err == OK)
		err = txn_node_get(t, o->ino, &now); /* content_store may have changed it */
	if (err == OK && x->stripped)
		err = rights_strip_row(t, &now);
	if (err == OK) {
		now.author = *identity_device(cut->ss->sync->config.who);
		if (x->dead)
			now.flags |= NODE_DELETED | NODE_ORPHAN | NODE_TOMBSTONE;
		else
			now.flags &= ~(uint32_t)NODE_TOMBSTONE; /* it lives again, by a record too */
		err = txn_node_put(t, &now);
	}
	if (err == OK)
		err = note_chunks(t, x);
	if (err == OK)
		err = keep_synced_parents(t, x);
	if (err == OK)
		err = txn_outbox_add(t, o, buf_bytes(&x->blob), x->version, x->c.unconfirmed, x->c.n_unconfirmed);
	return err;
}

static int forget_node(struct store_txn *t, const struct sealed *x)
{
	struct node now;
	int err = txn_node_get(t, x->img.node.ino, &now);

	if (err == ERR_NOT_FOUND || (err == OK && now.change != x->img.node.change))
		return OK;
	return err < 0 ? err : txn_mark_clean(t, now.ino);
}

/* One transaction for the n nodes from `first` on. ERR_CONFLICT: *ret_at changed meanwhile. */
static int queue(struct cut *cut, struct outbox_row *rows, size_t first, size_t n, size_t *ret_at)
{
	struct store_txn *t = NULL;
	int err = store_begin(cut->ss->sync->config.store, &t);

	for (size_t i = first; i < first + n && err == OK; i++) {
		*ret_at = i;
		if (cut->x[i].fate == FATE_SEND)
			err = queue_node(cut, t, &cut->x[i], &rows[i]);
		else if (cut->x[i].fate == FATE_FORGET)
			err = forget_node(t, &cut->x[i]);
	}
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static int queue_as_cut(struct cut *cut, struct outbox_row *rows, size_t first, size_t n)
{
	size_t at = first, tries = 0;
	int err;

	while ((err = queue(cut, rows, first, n, &at)) == ERR_CONFLICT && tries++ <= n) {
		/* Its bytes as they were at the cut; a file too large for that is left for the next cut. */
		err = content_keep_plain(&cut->maker, &cut->x[at].img, &cut->x[at].c, PLAIN_KEEP_MAX);
		if (err < 0)
			cut->x[at].fate = FATE_AGAIN;
	}
	return err;
}

/* One node that alone is more than a transaction holds: its chunks go ahead of its record. */
static int queue_large(struct cut *cut, struct outbox_row *rows, size_t i)
{
	struct sealed *x = &cut->x[i];
	int err = x->dead ? OK : content_store_ahead(cut->maker.store, &x->img, &x->c);

	if (err == OK || err == ERR_CONFLICT)
		err = queue_as_cut(cut, rows, i, 1);
	if (err != ERR_RANGE)
		return err;
	sync_space_alarm(cut->ss, err, "a file is too large to be sent; it stays on this device");
	x->fate = FATE_AGAIN;
	return OK;
}

static int hand_over(struct cut *cut, const struct outbox_row *rows, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++) {
		struct sealed *x = &cut->x[i];

		if (x->fate != FATE_SEND)
			continue;
		struct out_item *item = sync_push_add(cut->ss, &rows[i]);
		int err = item ? OK : ERR_NOMEM;

		for (size_t k = 0; k < x->n_chunks && err == OK; k++) {
			const struct out_row *c = &x->chunks[k];

			err = out_chunk_add(item, c->row, c->len);
			if (err == OK && c->has_print)
				out_chunk_print(cut->ss, c->row, &c->print);
		}
		if (err < 0) {
			cut->ss->items_lost = true; /* they stand in the store */
			return err;
		}
		item->bytes = x->blob.len;
		item->dead = x->dead;
		/* Lanes that were joined go after everything that any of them has under way; and what follows, after them. */
		item->barrier = cut->joined;
	}
	return OK;
}

/* In one transaction if the journal takes it as one entry; otherwise in parts, in order. */
static int queue_all(struct cut *cut)
{
	FREE_AFTER struct outbox_row *rows = calloc(cut->n, sizeof *rows);
	size_t first = 0, n = cut->n;

	if (!rows)
		return ERR_NOMEM;
	while (first < cut->n) {
		if (n > cut->n - first)
			n = cut->n - first;
		int err = queue_as_cut(cut, rows, first, n);
		if (err == ERR_RANGE && n > 1) {
			n = (n + 1) / 2;
			continue;
		}
		if (err == ERR_RANGE)
			err = queue_large(cut, rows, first);
		if (err == OK)
			err = hand_over(cut, rows, first, n);
		if (err < 0)
			return err;
		first += n;
	}
	return OK;
}

static int seal_all(struct cut *cut)
{
	for (size_t i = 0; i < cut->n; i++) {
		struct sealed *x = &cut->x[i];
		int err = x->fate == FATE_SEND ? seal_node(cut, x) : OK;

		if (err == ERR_NOMEM || err == ERR_STALE)
			return err;
		if (err < 0) {
			/* It stays changed; what it depends on goes without it. */
			log_warn("sync: node %s not sealed: %s", log_id16(&x->img.node.id).s, err_str(err));
			x->fate = FATE_AGAIN;
		}
	}
	return OK;
}

static int seal_cut(struct sync_space *ss, const uint64_t *inos, size_t n, uint64_t lane, bool joined)
{
	struct cut cut = { .ss = ss, .lane = lane, .joined = joined };
	const struct sync_config *config = &ss->sync->config;

	cut.maker = (struct content_maker){ .env = config->env,
		.store = config->store,
		.hash_key = secret_key(ss->space->hash_key),
		.workers = ss->sync->workers,
		.fingerprint_key = ss->sync->fingerprint_key };
	cut.x = calloc(n, sizeof *cut.x);
	int err = cut.x ? snapshot(&cut, inos, n) : ERR_NOMEM;
	if (err == OK)
		err = seal_all(&cut);
	if (err == OK)
		err = queue_all(&cut);
	for (size_t i = 0; i < n && err == OK; i++) {
		if (cut.x[i].fate == FATE_AGAIN)
			err = lanes_again(ss->lanes, inos[i], sync_now(ss->sync));
		else if (cut.x[i].fate != FATE_SEND)
			lanes_done(ss->lanes, inos[i]);
	}
	for (size_t i = 0; i < n && err < 0; i++) {
		if (!sync_push_find(ss, inos[i]))
			lanes_done(ss->lanes, inos[i]);
	}
	for (size_t i = 0; i < cut.n; i++)
		sealed_release(&cut.x[i]);
	store_keep_release(cut.keep);
	free(cut.x);
	return err;
}

int sync_seal_due(struct sync_space *ss, int64_t now)
{
	FREE_AFTER uint64_t *inos = NULL;
	uint64_t lane;
	bool joined;

	if (lanes_due(ss->lanes) > now)
		return OK;
	inos = malloc(LANE_CUT_MAX * sizeof *inos);
	if (!inos)
		return ERR_NOMEM;
	size_t n = lanes_cut(ss->lanes, now, inos, &lane, &joined);
	if (n == 0)
		return OK;
	log_debug("sync: space %s: a cut of %zu nodes", log_id16(&ss->space->row.id).s, n);
	int err = seal_cut(ss, inos, n, lane, joined);
	sync_space_stored(ss, err);
	if (err < 0) {
		ss->seen_change = 0; /* they are told to the lanes again */
		ss->poked = true;
	}
	return err;
}
