/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clean node takes the record as it is; a node with local changes, or with a version that is not confirmed, is merged. The record
 * becomes the node's base in both cases, so that what is sealed next follows it.
 */
#include "fusefs/apply.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fusefs/merge.h"
#include "fusefs/rights.h"
#include "fusefs/sync_head.h"

#define NS 1000000000ll

static int note_profile(struct apply *a, uint64_t ino)
{
	uint64_t *more = realloc(a->profiles, (a->n_profiles + 1) * sizeof *more);

	if (!more)
		return ERR_NOMEM;
	a->profiles = more;
	a->profiles[a->n_profiles++] = ino;
	return OK;
}

static int fill_chunks(struct apply *a, const struct remote *r)
{
	for (size_t i = 0; i < r->n_chunks; i++) {
		struct chunk_row row;
		int err = txn_chunk_find(a->t, a->space->row.row, &r->chunks[i].id, &row);

		if (err == OK && !row.here)
			err = txn_chunk_fill(a->t, row.row, buf_bytes(&r->chunks[i].plain));
		if (err < 0)
			return err;
	}
	return OK;
}

static int put_content(struct apply *a, const struct node *node, const struct node_body *body, const struct remote *r)
{
	int err = content_apply(a->t, a->space->row.row, node->ino, body, &r->flat);
	return err < 0 ? err : fill_chunks(a, r);
}

/* Writes row, target, xattrs, content (if asked) and links of a node from a body. */
static int put_body(struct apply *a, struct node *node, bool fresh, const struct node_body *body, bool content,
	const struct remote *r)
{
	bool unknown = !fresh && (node->flags & NODE_UNKNOWN);

	image_node_of_body(body, node);
	bool gone = body->deleted || (body->n_links == 0 && body->kind != NODE_PROFILE && !id16_is_zero(&node->id));
	node->flags &= ~(uint32_t)(NODE_UNKNOWN | NODE_ORPHAN);
	if (gone)
		node->flags |= NODE_ORPHAN;
	if (content)
		node->flags = content_has_holes(body, &r->flat) ? node->flags | NODE_HOLES
								: node->flags & ~(uint32_t)NODE_HOLES;
	node->ctime = a->now_wall;
	int err;
	if (fresh) {
		node->atime = body->deleted ? a->now_wall : node->mtime;
		node->btime = a->now_wall;
		err = txn_node_add(a->t, node, body->target);
	} else {
		err = txn_node_put(a->t, node);
	}
	if (err == OK && unknown)
		err = tree_arrived(&a->tree, node);
	if (err == OK && unknown && body->target.len)
		err = txn_node_set_target(a->t, node->ino, body->target);
	if (err == OK && !body->deleted)
		err = txn_xattrs_replace(a->t, node->ino, body->xattrs, body->n_xattrs);
	if (err == OK && content && !body->deleted && (body->kind == NODE_FILE || body->kind == NODE_PROFILE))
		err = put_content(a, node, body, r);
	/* A deleted directory keeps its register: it is shown again if something live is below it. */
	if (err == OK && !id16_is_zero(&node->id))
		err = tree_set_links(&a->tree, node, body->links, gone && body->kind != NODE_DIR ? 0 : body->n_links);
	if (err == OK && !fresh)
		err = tree_invalidate(&a->tree, node->ino, 0, bytes_of(NULL, 0));
	if (err == OK && body->kind == NODE_PROFILE)
		err = note_profile(a, node->ino);
	return err;
}

static void take_version(struct node *node, const struct remote *r)
{
	node->version = r->o.r.h.version;
	node->base = r->hash;
	node->author = r->o.r.h.author;
}

static int open_blob(struct apply *a, struct bytes blob, struct opened_record *o, const struct node_body **ret_body)
{
	*ret_body = NULL;
	if (blob.len == 0)
		return OK;
	int err = space_open_record(a->space, blob, o);
	if (err == OK)
		*ret_body = &o->body;
	return err;
}

struct merging {
	struct image img;
	struct buf base_blob, pending_blob;
	struct opened_record base, pending;
	struct merged m;
};

static void merging_release(struct merging *g)
{
	image_release(&g->img);
	buf_release(&g->base_blob);
	buf_release(&g->pending_blob);
	opened_record_release(&g->base);
	opened_record_release(&g->pending);
	merged_release(&g->m);
}

/* The result may get an author whose rights count: what came from another must not hide among what changed here. */
static void strip_merge(const struct apply *a, const struct node *node, struct merging *g, bool base)
{
	if (!a->trusts(a->ctx, &node->owner, &node->author))
		rights_strip(&g->img.body);
	if (base && !a->trusts(a->ctx, &g->base.body.owner, &g->base.r.h.author))
		rights_strip(&g->base.body);
}

static int load_merge(struct apply *a, const struct node *node, const struct remote *r, struct merging *g)
{
	const struct node_body *base, *pending;
	struct id32 hash;
	uint64_t cursor;
	int err = txn_record_get(a->t, a->space->row.row, &node->id, &hash, &cursor, &g->base_blob);

	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	int has = a->pending ? a->pending(a->ctx, a->t, node->ino, &g->pending_blob) : 0;
	if (has < 0)
		return has;
	if ((err = image_load(a->t, node->ino, &g->img)) < 0 ||
		(err = open_blob(a, buf_bytes(&g->base_blob), &g->base, &base)) < 0 ||
		(err = open_blob(a, buf_bytes(&g->pending_blob), &g->pending, &pending)) < 0)
		return err;
	strip_merge(a, node, g, base != NULL);
	struct merge in = { .base = base, .local = &g->img.body, .remote = &r->o.body };
	in.local_version = (base ? g->base.r.h.version : 0) + 1;
	in.remote_version = r->o.r.h.version;
	in.local_author = *identity_device(a->who);
	in.remote_author = r->o.r.h.author;
	in.local_content = (node->change_bits & (CHANGE_CONTENT | CHANGE_NEW)) != 0;
	if (pending && (!base || !content_equal(base, pending)))
		in.local_content = true;
	return merge_node(&in, &g->m);
}

static uint32_t bits_left(const struct merging *g, const struct node *node)
{
	uint32_t bits = CHANGE_ATTR | CHANGE_LINKS | CHANGE_XATTR;

	if (g->m.content == MERGE_CONTENT_LOCAL)
		bits |= CHANGE_CONTENT;
	if (g->m.body.deleted)
		bits |= CHANGE_DELETED;
	return bits | (node->change_bits & CHANGE_FSYNCED);
}

static int merge_in(struct apply *a, struct node *node, struct remote *r)
{
	CLEANUP(merging_release)
	struct merging g = { .img = IMAGE_INIT,
		.base_blob = BUF_INIT(RECORD_MAX_BLOB),
		.pending_blob = BUF_INIT(RECORD_MAX_BLOB),
		.base = OPENED_RECORD_INIT,
		.pending = OPENED_RECORD_INIT };
	uint64_t copied, before = node->change + 1;
	int err = load_merge(a, node, r, &g);

	if (err < 0)
		return err;
	(void)table_get(&a->merged, node->ino, &before);
	if ((err = table_put(&a->merged, node->ino, before)) < 0)
		return err;
	if (g.m.content == MERGE_CONTENT_BOTH && (!table_get(a->copies, node->ino, &copied) || copied != before) &&
		(err = table_put(a->conflicts, node->ino, (uintptr_t)r)) < 0)
		return err;
	if (a->drop && (err = a->drop(a->ctx, a->t, node->ino)) < 0)
		return err;
	bool content = g.m.content != MERGE_CONTENT_LOCAL;
	bool gone =
		!g.m.body.deleted && g.m.body.n_links == 0 && node->kind != NODE_PROFILE && !id16_is_zero(&node->id);
	if (gone) {
		/* Each side took another of its names away. */
		g.m.body.deleted = true;
		g.m.same_as_remote = false;
	}
	uint32_t bits = bits_left(&g, node);
	if ((err = txn_mark_clean(a->t, node->ino)) < 0)
		return err;
	take_version(node, r);
	node->change = 0;
	node->change_bits = 0;
	err = put_body(a, node, false, &g.m.body, content, r);
	if (err == OK && !g.m.same_as_remote)
		err = txn_mark_changed(a->t, node->ino, bits);
	return err;
}

enum meeting { MEET_NEWER, MEET_PAST, MEET_REPEATED };

/* How the version of a step stands to the one that is here, of the step `at`. */
static int meet(const struct apply *a, const struct remote *r, uint64_t cursor, struct bytes blob,
	const struct id32 *have, uint64_t at)
{
	struct record mine;

	if (blob.len == 0 || at > a->common)
		return MEET_NEWER;
	if (record_decode(blob, &mine) < 0)
		return ERR_CORRUPT;
	uint64_t version = r->o.r.h.version;
	if (version > mine.h.version || (version == RECORD_MAX_VERSION && mine.h.version == version))
		return MEET_NEWER;
	if (sync_head_follows(&r->o.r, have))
		return MEET_NEWER;
	return at >= cursor ? MEET_PAST : MEET_REPEATED;
}

int apply_remote(struct apply *a, struct remote *r, uint64_t cursor)
{
	const struct record_header *h = &r->o.r.h;
	struct node node = { .ino = 0 };
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct id32 have;
	uint64_t at;

	int err = txn_record_get(a->t, a->space->row.row, &h->id, &have, &at, &blob);
	if (err == OK && id32_equal(&have, &r->hash))
		return OK;
	int met = err == OK ? meet(a, r, cursor, buf_bytes(&blob), &have, at) : MEET_NEWER;
	if ((err < 0 && err != ERR_NOT_FOUND) || met < 0)
		return err < 0 ? err : met;
	if (met == MEET_REPEATED)
		r->refused = ERR_ROLLBACK;
	if (met != MEET_NEWER)
		return OK;
	err = txn_node_find(a->t, a->space->row.row, &h->id, &node);
	bool fresh = err == ERR_NOT_FOUND;
	if (err < 0 && !fresh)
		return err;
	if (!fresh && !(node.flags & NODE_UNKNOWN) && node.kind != r->o.body.kind) {
		r->refused = ERR_INVALID;
		return OK;
	}
	buf_clear(&blob);
	int pending = fresh || !a->pending ? 0 : a->pending(a->ctx, a->t, node.ino, &blob);
	if (pending < 0)
		return pending;
	if (!fresh && (node.change != 0 || pending)) {
		err = merge_in(a, &node, r);
	} else {
		if (fresh)
			node = (struct node){ .space = a->space->row.row, .id = h->id };
		take_version(&node, r);
		err = put_body(a, &node, fresh, &r->o.body, true, r);
	}
	if (err == ERR_TAMPERED || err == ERR_INVALID) {
		/* Contradicts what is known of a chunk or link: refused, but rows may be written: the caller starts the step again. */
		r->refused = err;
		return err;
	}
	return err < 0 ? err : txn_record_put(a->t, a->space->row.row, &h->id, &r->hash, cursor, r->blob);
}

void apply_release(struct apply *a)
{
	tree_release(&a->tree);
	table_release(&a->merged);
	free(a->profiles);
	a->profiles = NULL;
	a->n_profiles = 0;
}

static int open_current(
	struct space *space, struct store_txn *t, const struct node *n, struct buf *blob, struct opened_record *o)
{
	struct id32 hash;
	uint64_t cursor;
	int err = txn_record_get(t, space->row.row, &n->id, &hash, &cursor, blob);

	return err < 0 ? err : space_open_record(space, buf_bytes(blob), o);
}

int apply_same_content(void *ctx, struct store_txn *t, const struct node *a, const struct node *b)
{
	CLEANUP(buf_release) struct buf ba = BUF_INIT(RECORD_MAX_BLOB), bb = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record oa = OPENED_RECORD_INIT;
	CLEANUP(opened_record_release) struct opened_record ob = OPENED_RECORD_INIT;
	int err = open_current(ctx, t, a, &ba, &oa);

	if (err == OK)
		err = open_current(ctx, t, b, &bb, &ob);
	if (err < 0)
		return err == ERR_NOMEM || err == ERR_IO ? err : 0;
	return content_equal(&oa.body, &ob.body);
}

int apply_last_links(void *ctx, struct tree *tr, const struct node *dir)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record o = OPENED_RECORD_INIT;
	int err = open_current(ctx, tr->t, dir, &blob, &o);

	if (err == ERR_NOT_FOUND)
		return OK;
	return err < 0 ? err : tree_set_links(tr, dir, o.body.links, o.body.n_links);
}
