/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/history.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "fusefs/image.h"
#include "fusefs/rights.h"
#include "fusefs/sync.h"
#include "fusefs/sync_head.h"
#include "wire/head.h"
#include "wire/map.h"

#define ANSWER_MAX (96u << 20)
#define VERSIONS_MAX 2000
#define PIECE (1u << 20)
#define AHEAD_SLICES 4096 /* more rows than that go ahead of the transaction that names them */

void past_list_release(struct past_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		opened_record_release(&l->v[i].o);
		buf_release(&l->v[i].blob);
	}
	free(l->v);
	*l = (struct past_list)PAST_LIST_INIT;
}

static int refuse(struct history *h, int err, const char *why)
{
	h->why = why;
	return err;
}

/* ---- asking ---- */

struct answer {
	struct past_list *list;
	size_t bytes;
	int err;
};

static int take(struct answer *a, struct bytes data)
{
	struct past_list *l = a->list;
	struct bytes blob = map_get_bytes(data, "blob");
	struct past p = { .o = OPENED_RECORD_INIT, .blob = BUF_INIT(RECORD_MAX_BLOB) };

	p.cursor = map_get_uint(data, "cursor", 0);
	p.time = map_get_uint(data, "time", 0);
	p.expires = map_get_uint(data, "expires", 0);
	if (!map_get_uuid(data, "id", &p.id) || blob.len == 0 || blob.len > RECORD_MAX_BLOB)
		return ERR_INVALID;
	if (l->n == VERSIONS_MAX || (a->bytes += blob.len) > ANSWER_MAX)
		return ERR_RANGE;
	struct past *more = array_room(l->v, &l->alloc, l->n + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	l->v = more;
	int err = buf_put(&p.blob, blob.p, blob.len);
	if (err == OK)
		l->v[l->n++] = p;
	return err;
}

/* On the sync thread: nothing is opened here. */
static void on_version(void *ctx, struct bytes name, struct bytes data)
{
	struct answer *a = ctx;

	if (a->err == OK && cbor_text_is(name, "coffer.version"))
		a->err = take(a, data);
}

static int put_ids(struct map *m, struct buf *list, const struct id16 *ids, size_t n)
{
	struct cbor_enc e = cbor_enc_init(list);
	char text[ID16_TEXT_SIZE];

	cbor_put_array(&e, n);
	for (size_t i = 0; i < n; i++) {
		id16_format(&ids[i], text);
		cbor_put_text(&e, text);
	}
	int err = cbor_enc_end(&e);
	map_raw(m, "ids", buf_bytes(list));
	return err;
}

static bool asked_for(const struct id16 *ids, size_t n, const struct id16 *id)
{
	for (size_t i = 0; i < n; i++)
		if (id16_equal(&ids[i], id))
			return true;
	return false;
}

/* Opens what came and drops what its author had no right to write. */
static int open_all(struct history *h, const struct id16 *ids, size_t n, struct past_list *l)
{
	size_t kept = 0, all = l->n;
	int err = OK;

	for (size_t i = 0; i < all && err == OK; i++) {
		struct past *p = &l->v[i];

		if (!asked_for(ids, n, &p->id))
			err = ERR_CONTEXT;
		else
			err = space_accept_record(h->space, buf_bytes(&p->blob), p->cursor, &p->o);
		if (err == OK && !id16_equal(&p->o.r.h.id, &p->id))
			err = ERR_CONTEXT;
		if (err == ERR_FORBIDDEN) {
			buf_release(&p->blob);
			err = OK;
			continue;
		}
		struct past keep = *p;
		p->blob = (struct buf)BUF_INIT(0);
		p->o = (struct opened_record)OPENED_RECORD_INIT;
		l->v[kept++] = keep;
	}
	/* After a failure what was not looked at stays, to be released. */
	if (err == OK)
		l->n = kept;
	return err;
}

static int check_order(const struct past_list *l)
{
	for (size_t i = 1; i < l->n; i++) {
		const struct past *newer = &l->v[i - 1], *p = &l->v[i];

		if (id16_equal(&newer->id, &p->id) &&
			(p->cursor >= newer->cursor || p->o.r.h.version >= newer->o.r.h.version))
			return ERR_TAMPERED;
	}
	return OK;
}

static bool is_writer(struct history *h, const struct id32 *device)
{
	pthread_mutex_lock(&h->space->lock);
	bool may = log_may_write(h->space->log, device);
	pthread_mutex_unlock(&h->space->lock);
	return may;
}

static bool is_known(struct history *h, const struct id16 *id, const struct id32 *hash)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct store_txn *t = NULL;
	struct id32 known;
	uint64_t cursor;
	int err = store_begin(h->store, &t);

	if (err == OK)
		err = txn_record_get(t, h->space->row.row, id, &known, &cursor, &blob);
	store_abort(&t);
	return err == OK && id32_equal(&known, hash);
}

/* Somebody who was removed can still sign with what was valid then: only others, or the place of its line, tell that it is old. */
static void mark_believed(struct history *h, struct past_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct past *p = &l->v[i];
		const struct past *newer = i && id16_equal(&p[-1].id, &p->id) ? &p[-1] : NULL;
		struct id32 hash;

		p->believed = is_writer(h, &p->o.r.h.author);
		if (p->believed)
			continue;
		hash_sha256(buf_bytes(&p->blob), &hash);
		p->believed =
			newer ? newer->believed && sync_head_follows(&newer->o.r, &hash) : is_known(h, &p->id, &hash);
	}
}

static int ask(struct history *h, const struct id16 *ids, size_t n, uint64_t limit, struct past_list *l)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	CLEANUP(buf_release) struct buf params = BUF_INIT(16384), list = BUF_INIT(16384);
	struct answer a = { .list = l };

	map_uuid(&m, "space", &h->space->row.id);
	map_uint(&m, "limit", limit);
	int err = put_ids(&m, &list, ids, n);
	if (err == OK)
		err = map_put(&m, &params);
	if (err == OK)
		err = sync_call(h->sync, h->space->row.relay, "coffer.history", buf_bytes(&params), h->deadline,
			on_version, &a, NULL, NULL);
	return err < 0 ? err : a.err;
}

int history_ask(struct history *h, const struct id16 *ids, size_t n, uint64_t limit, struct past_list *ret_l)
{
	struct past_list l = PAST_LIST_INIT;

	h->why = NULL;
	int err = ask(h, ids, n, limit, &l);
	if (err == OK) {
		err = open_all(h, ids, n, &l);
		if (err == ERR_CONTEXT)
			h->why = "the relay answered with the record of another file";
		else if (err < 0)
			h->why = "the relay sent a version that is not genuine";
	}
	if (err == OK && (err = check_order(&l)) < 0)
		h->why = "the relay shows the versions in another order than they were signed in";
	if (err < 0) {
		past_list_release(&l);
		return err;
	}
	mark_believed(h, &l);
	*ret_l = l;
	return OK;
}

/* ---- the line ---- */

static void on_step(void *ctx, struct bytes name, struct bytes data)
{
	step_lines_take(ctx, name, data);
}

static bool has_line(struct bytes encoded, const struct past *p)
{
	FREE_AFTER struct line *lines = NULL;
	struct id32 hash;
	size_t n;

	if (lines_decode(encoded, &lines, &n) < 0)
		return false;
	hash_sha256(buf_bytes(&p->blob), &hash);
	for (size_t i = 0; i < n; i++)
		if (lines[i].kind == LINE_RECORD && id16_equal(&lines[i].id, &p->id) &&
			id32_equal(&lines[i].hash, &hash))
			return true;
	return false;
}

static int check_chain(struct history *h, const struct step_lines *s)
{
	struct store_txn *t = NULL;
	int err = store_begin(h->store, &t);

	if (err == OK)
		err = step_lines_check(s, t, h->space->row.row);
	store_abort(&t);
	return err;
}

/* What check_chain said, in words; too old is enough for what is believed anyhow. */
static int settle_age(struct history *h, const struct past *p, int err)
{
	if (err == ERR_FORK)
		return refuse(h, err, "the relay shows another history than before");
	if (err != ERR_NOT_FOUND)
		return err;
	return p->believed
		       ? OK
		       : refuse(h, ERR_GAP, "who wrote that version was removed since, and it is too old to be proven");
}

int history_prove(struct history *h, const struct past *p)
{
	CLEANUP(step_lines_release) struct step_lines s = { .cursor = 0 };
	CLEANUP(buf_release) struct buf params = BUF_INIT(1024);

	h->why = NULL;
	int err = step_lines_ask(&s, &h->space->row.id, p->cursor, &params);
	if (err == OK)
		err = sync_call(h->sync, h->space->row.relay, "coffer.pull", buf_bytes(&params), h->deadline, on_step,
			&s, NULL, NULL);
	if (err == OK && (!s.here || !has_line(buf_bytes(&s.lines), p)))
		err = refuse(h, ERR_TAMPERED, "the relay does not show when this version was there");
	return err < 0 ? err : settle_age(h, p, check_chain(h, &s));
}

/* ---- content ---- */

/* The row of an index chunk, made if it is not known. */
static int index_row(struct history *h, const struct slice *entry, struct chunk_row *ret_row)
{
	struct store_txn *t = NULL;
	int err = store_begin(h->store, &t);

	if (err < 0)
		return err;
	err = content_chunk_row(t, h->space->row.row, entry, true, ret_row);
	secret_wipe(ret_row->key, sizeof ret_row->key);
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static int read_index(void *ctx, const struct slice *entry, struct buf *plain)
{
	struct history *h = ctx;
	struct chunk_row row;
	int err = index_row(h, entry, &row);

	if (err == OK && !row.here)
		err = sync_fetch(h->sync, row.row, h->deadline, NULL, NULL);
	return err < 0 ? err : store_read_chunk(h->store, row.row, plain);
}

static int read_range(struct history *h, uint64_t ino, uint64_t at, uint64_t end, uint8_t *piece)
{
	uint64_t chunk;
	size_t got = 0;
	int err = OK;

	for (; at < end && err == OK; at += got) {
		size_t len = end - at < PIECE ? (size_t)(end - at) : PIECE;

		if (h->env->mono_ns(h->env->ctx) > h->deadline)
			return ERR_TIMEOUT;
		err = store_read(h->store, ino, at, piece, len, &got, &chunk);
		if (err == ERR_ABSENT) {
			got = 0;
			err = sync_fetch(h->sync, chunk, h->deadline, NULL, NULL);
		} else if (err == OK && got == 0) {
			err = ERR_CORRUPT;
		}
	}
	return err;
}

/* Every byte that a slice gives once, so that all of it was here and checked. Holes are not walked: a record may say any size. */
static int read_all(struct history *h, uint64_t ino, const struct content_flat *flat)
{
	FREE_AFTER uint8_t *piece = malloc(PIECE);
	int err = piece ? OK : ERR_NOMEM;

	for (size_t i = 0; i < flat->n_slices && err == OK; i++) {
		const struct slice *s = &flat->slices[i];
		uint64_t at = s->at, end = s->at + s->len;

		while (i + 1 < flat->n_slices && flat->slices[i + 1].at == end)
			end += flat->slices[++i].len;
		err = read_range(h, ino, at, end, piece);
	}
	if (piece)
		secret_wipe(piece, PIECE);
	return err;
}

/* Content and the row's fields that go with it; the rest of *n is the caller's. */
static int put_content(
	struct history *h, struct store_txn *t, struct node *n, const struct past *p, const struct content_flat *flat)
{
	const struct node_body *b = &p->o.body;
	struct node of = *n;

	image_node_of_body(b, &of);
	n->size = b->size;
	n->mtime = of.mtime;
	n->ctime = h->env->wall_ns(h->env->ctx);
	n->flags &= ~(uint32_t)NODE_HOLES;
	if (content_has_holes(b, flat))
		n->flags |= NODE_HOLES;
	int err = txn_node_put(t, n);
	return err < 0 ? err : content_apply(t, h->space->row.row, n->ino, b, flat);
}

static int fill(struct history *h, const struct past *p, const struct history_copy *c)
{
	struct store_txn *t = NULL;
	struct node n;
	int err = c->flat.n_slices > AHEAD_SLICES ? content_apply_ahead(h->store, h->space->row.row, &c->flat) : OK;

	if (err == OK)
		err = store_begin(h->store, &t);
	if (err < 0)
		return err;
	err = txn_node_get(t, c->ino, &n);
	if (err == OK)
		err = put_content(h, t, &n, p, &c->flat);
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

/* What crosses between people. */
static int put_xattrs(struct history *h, const struct past *p, uint64_t ino)
{
	int err = OK;

	for (size_t i = 0; i < p->o.body.n_xattrs && err == OK; i++) {
		const struct node_xattr *x = &p->o.body.xattrs[i];
		char name[256];

		if (x->name.len < 6 || x->name.len >= sizeof name || memcmp(x->name.p, "user.", 5) != 0)
			continue;
		memcpy(name, x->name.p, x->name.len);
		name[x->name.len] = '\0';
		err = store_setxattr(h->store, ino, name, x->value, 0);
	}
	return err;
}

static int make_file(struct history *h, const struct past *p, uint64_t dir, struct history_copy *c)
{
	struct node_new fresh = { .kind = NODE_FILE, .uid = geteuid(), .gid = getegid() };
	struct node n;

	fresh.owner = *identity_person(h->who);
	fresh.mode = rights_mode(p->o.body.mode, false);
	int err = store_create_unnamed(h->store, dir, &fresh, &n);
	if (err < 0)
		return err;
	c->ino = n.ino;
	store_hold_open(h->store, n.ino);
	return OK;
}

int history_bring(struct history *h, const struct past *p, uint64_t dir, struct history_copy *ret_c)
{
	struct history_copy c = { .ino = 0 };

	h->why = NULL;
	int err = p->o.body.kind == NODE_FILE && !p->o.body.deleted ? OK : ERR_INVALID;
	if (err == OK)
		err = content_flatten(&p->o.body, read_index, h, &c.flat);
	if (err == OK)
		err = make_file(h, p, dir, &c);
	if (err == OK)
		err = fill(h, p, &c);
	if (err == OK)
		err = read_all(h, c.ino, &c.flat);
	if (err == OK)
		err = put_xattrs(h, p, c.ino);
	if (err < 0) {
		if (err == ERR_GAP)
			h->why = "the relay does not have all of that version any more";
		else if (err == ERR_TAMPERED || err == ERR_CONTEXT || err == ERR_COMMITMENT || err == ERR_INVALID)
			h->why = "the relay sent content that is not that version's";
		history_copy_release(h, &c);
		return err;
	}
	*ret_c = c;
	return OK;
}

void history_copy_release(struct history *h, struct history_copy *c)
{
	content_flat_release(&c->flat);
	if (c->ino)
		store_release_open(h->store, c->ino);
	c->ino = 0;
}

int history_put(struct history *h, const struct past *p, const struct history_copy *c, uint64_t ino)
{
	struct store_txn *t = NULL;
	struct node n;
	int err = store_begin(h->store, &t);

	if (err < 0)
		return err;
	err = txn_node_get(t, ino, &n);
	if (err == OK && (n.kind != NODE_FILE || (n.flags & (NODE_DELETED | NODE_ORPHAN))))
		err = ERR_NOT_FOUND;
	if (err == OK && n.change != 0)
		err = ERR_BUSY;
	if (err == OK) {
		n.mode = (n.mode & ~0777u) | (p->o.body.mode & 0777u);
		err = put_content(h, t, &n, p, &c->flat);
	}
	if (err == OK)
		err = txn_mark_changed(t, ino, CHANGE_CONTENT | CHANGE_ATTR | CHANGE_FSYNCED);
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}
