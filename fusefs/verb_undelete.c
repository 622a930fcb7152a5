/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undelete: what was deleted from a space and is still in the relay's history. Tombstones say which nodes there were and where; the versions before
 * them come from the relay. What comes back are new files and folders with the old content: a tombstone is for good, so that no two devices can
 * disagree about it.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "fusefs/verb_history.h"
#include "fusefs/path.h"
#include "fusefs/rights.h"
#include "fusefs/settle.h"

#define TOMBSTONE_MAX 4096 /* bytes of a blob; a tombstone's is smaller */
#define GONE_MAX 1000000
#define LOOK_AT_ONCE 256
#define LISTED_MAX 10000
#define DEPTH_MAX 4096
#define PATH_BYTES (1u << 16)
#define LOOK_BACK 4 /* versions asked of each: tombstones may stand upon one another */

struct gone {
	struct id16 id, parent;
	enum node_kind kind;
	uint32_t mode;
	uint64_t version;
	uint64_t made; /* ino of the folder that was made for it */
	bool wanted;
	uint8_t name_len;
	char name[NODE_MAX_NAME + 1];
};

struct gone_list {
	struct call *c;
	struct space *space;
	struct gone *v; /* ascending by id once loaded */
	size_t n, alloc;
	uint64_t restored, lost, taken;
};

static void gone_list_release(struct gone_list *l)
{
	free(l->v);
}

/* ---- which there are ---- */

static int note(struct gone_list *l, const struct id16 *id)
{
	struct gone *more = l->n < GONE_MAX ? array_room(l->v, &l->alloc, l->n + 1, sizeof *more) : NULL;

	if (!more)
		return l->n < GONE_MAX ? ERR_NOMEM : ERR_RANGE;
	l->v = more;
	l->v[l->n++] = (struct gone){ .id = *id };
	return OK;
}

static int is_gone(struct store_txn *t, uint32_t space, const struct record_at *at)
{
	struct node n;

	if (at->len > TOMBSTONE_MAX)
		return 0;
	int err = txn_node_find(t, space, &at->id, &n);
	if (err < 0)
		return err == ERR_NOT_FOUND ? 0 : err;
	return (n.flags & NODE_TOMBSTONE) && (n.flags & (NODE_DELETED | NODE_ORPHAN));
}

/* Among the next records; others have the store in between. ERR_NOT_FOUND: there are no more. */
static int note_some(struct gone_list *l, struct record_at *at)
{
	uint32_t space = l->space->row.row;
	struct store_txn *t = NULL;
	int err = store_begin(l->c->agent->store, &t);

	for (int i = 0; i < LOOK_AT_ONCE && err == OK; i++) {
		int gone = 0;

		err = txn_record_next(t, space, at);
		if (err == OK)
			gone = is_gone(t, space, at);
		if (gone != 0)
			err = gone < 0 ? gone : note(l, &at->id);
	}
	store_abort(&t);
	return err;
}

/* 1: it is a tombstone with a name, and *g is filled. */
static int look_at(struct gone_list *l, struct gone *g)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record o = OPENED_RECORD_INIT;
	struct store_txn *t = NULL;
	struct id32 hash;
	uint64_t cursor;
	int err = store_begin(l->c->agent->store, &t);

	if (err < 0)
		return err;
	err = txn_record_get(t, l->space->row.row, &g->id, &hash, &cursor, &blob);
	store_abort(&t);
	if (err < 0)
		return err == ERR_NOT_FOUND ? 0 : err;
	if ((err = space_open_record(l->space, buf_bytes(&blob), &o)) < 0)
		return err == ERR_NOMEM ? err : 0;
	if (!o.body.deleted || o.body.n_links == 0 || id16_is_zero(&g->id))
		return 0;
	g->kind = o.body.kind;
	g->mode = o.body.mode;
	g->version = o.r.h.version;
	g->parent = o.body.links[0].parent;
	g->name_len = (uint8_t)o.body.links[0].name.len;
	memcpy(g->name, o.body.links[0].name.p, g->name_len);
	return 1;
}

static int compare_gone(const void *a, const void *b)
{
	return id16_compare(&((const struct gone *)a)->id, &((const struct gone *)b)->id);
}

static int load(struct gone_list *l)
{
	struct record_at at = { .begun = false };
	size_t kept = 0;
	int err;

	do {
		err = note_some(l, &at);
	} while (err == OK);
	err = err == ERR_NOT_FOUND ? OK : err;
	for (size_t i = 0; i < l->n && err >= 0; i++) {
		if ((err = look_at(l, &l->v[i])) > 0)
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
	if (kept)
		qsort(l->v, kept, sizeof *l->v, compare_gone);
	return err < 0 ? err : OK;
}

static struct gone *find_gone(const struct gone_list *l, const struct id16 *id)
{
	struct gone key = { .id = *id };

	return l->n ? bsearch(&key, l->v, l->n, sizeof *l->v, compare_gone) : NULL;
}

/* The folder of an id that is there and shown. */
static int live_dir(const struct gone_list *l, const struct id16 *id, uint64_t *ret_ino)
{
	struct store_txn *t = NULL;
	struct node n;
	int err = store_begin(l->c->agent->store, &t);

	if (err < 0)
		return err;
	err = txn_node_find(t, l->space->row.row, id, &n);
	store_abort(&t);
	if (err < 0 || n.kind != NODE_DIR || (n.flags & (NODE_DELETED | NODE_ORPHAN)))
		return err < 0 ? err : ERR_NOT_FOUND;
	*ret_ino = n.ino;
	return OK;
}

/* ---- where they were ---- */

/* Prepends NAME or, with a slash, NAME/. */
static int prepend(char *path, size_t *at, const char *name, size_t len)
{
	bool more = *at < PATH_BYTES;

	if (*at < len + more)
		return ERR_RANGE;
	if (more)
		path[--*at] = '/';
	*at -= len;
	memcpy(path + *at, name, len);
	return OK;
}

/* The path within the space, appended. ERR_NOT_FOUND: what it stood in is not known. */
static int gone_path(const struct gone_list *l, const struct gone *g, struct buf *out)
{
	FREE_AFTER char *path = malloc(PATH_BYTES);
	CLEANUP(buf_release) struct buf live = BUF_INIT(PATH_BYTES);
	size_t at = PATH_BYTES;
	uint64_t ino;

	if (!path)
		return ERR_NOMEM;
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		int err = prepend(path, &at, g->name, g->name_len);
		if (err < 0)
			return err;
		if ((err = live_dir(l, &g->parent, &ino)) == OK) {
			if (ino != l->space->row.root_ino && (err = path_of(l->c->agent->store, ino, &live)) < 0)
				return err;
			/* path_of begins with the space's name. */
			const uint8_t *slash = live.len ? memchr(live.data, '/', live.len) : NULL;
			size_t skip = slash ? (size_t)(slash - live.data) + 1 : live.len;
			err = buf_put(out, live.data + skip, live.len - skip);
			if (err == OK && live.len > skip)
				err = buf_put_u8(out, '/');
			return err < 0 ? err : buf_put(out, path + at, PATH_BYTES - at);
		}
		if (err != ERR_NOT_FOUND)
			return err;
		if (!(g = find_gone(l, &g->parent)))
			return ERR_NOT_FOUND;
	}
	return ERR_NOT_FOUND;
}

static bool is_within(struct bytes path, struct bytes wanted)
{
	return path.len >= wanted.len && memcmp(path.p, wanted.p, wanted.len) == 0 &&
	       (path.len == wanted.len || path.p[wanted.len] == '/');
}

/* ---- bringing them back ---- */

static void tell(struct gone_list *l, uint64_t dir, const char *name, size_t len)
{
	struct invalidation inv = { .ino = dir, .name_len = (uint8_t)len };

	memcpy(inv.name, name, len);
	agent_invalidate(l->c->agent, &inv, 1);
}

/* The folder of an id, made again if it was deleted (with those above it). */
static int dir_of(struct gone_list *l, const struct id16 *id, unsigned depth, uint64_t *ret_ino)
{
	struct gone *g;
	uint64_t parent;
	struct node n;
	int err = live_dir(l, id, ret_ino);

	if (err != ERR_NOT_FOUND)
		return err;
	if (depth == DEPTH_MAX / 8 || !(g = find_gone(l, id)) || g->kind != NODE_DIR)
		return ERR_NOT_FOUND;
	if (g->made) {
		*ret_ino = g->made;
		return OK;
	}
	if ((err = dir_of(l, &g->parent, depth + 1, &parent)) < 0)
		return err;
	struct node_new fresh = {
		.kind = NODE_DIR, .mode = rights_mode(g->mode, false), .uid = geteuid(), .gid = getegid()
	};
	fresh.owner = *identity_person(l->c->agent->who);
	err = store_create(l->c->agent->store, parent, bytes_of(g->name, g->name_len), &fresh, &n);
	if (err == ERR_EXISTS) {
		err = store_lookup(l->c->agent->store, parent, bytes_of(g->name, g->name_len), &n);
		if (err == OK && n.kind != NODE_DIR)
			err = ERR_EXISTS;
	} else if (err == OK) {
		l->restored++;
		tell(l, parent, g->name, g->name_len);
	}
	if (err == OK)
		*ret_ino = g->made = n.ino;
	return err;
}

static int make_other(struct gone_list *l, const struct past *p, uint64_t dir, const struct gone *g)
{
	const struct node_body *b = &p->o.body;
	struct node_new fresh = {
		.kind = b->kind, .mode = rights_mode(b->mode, false), .uid = geteuid(), .gid = getegid()
	};
	struct node n;

	fresh.owner = *identity_person(l->c->agent->who);
	fresh.target = b->target;
	if (b->kind != NODE_SYMLINK && b->kind != NODE_FIFO && b->kind != NODE_SOCKET)
		return ERR_INVALID;
	return store_create(l->c->agent->store, dir, bytes_of(g->name, g->name_len), &fresh, &n);
}

static int make_file(struct gone_list *l, struct history *h, const struct past *p, uint64_t dir, const struct gone *g)
{
	struct history_copy copy = { .ino = 0 };
	struct node n;
	int err = history_bring(h, p, dir, &copy);

	if (err == OK)
		err = store_link(l->c->agent->store, copy.ino, dir, bytes_of(g->name, g->name_len), &n);
	history_copy_release(h, &copy);
	return err;
}

static int bring_one(struct gone_list *l, struct history *h, const struct gone *g, const struct past_list *past)
{
	uint64_t dir;

	for (size_t i = 0; i < past->n; i++) {
		const struct past *p = &past->v[i];

		if (!id16_equal(&p->id, &g->id) || p->o.body.deleted || p->o.r.h.version >= g->version)
			continue;
		int err = history_prove(h, p);
		if (err == OK)
			err = dir_of(l, &g->parent, 0, &dir);
		if (err == OK)
			err = p->o.body.kind == NODE_FILE ? make_file(l, h, p, dir, g) : make_other(l, p, dir, g);
		if (err == ERR_EXISTS) {
			l->taken++;
			return OK;
		}
		if (err == ERR_GAP || err == ERR_INVALID || err == ERR_NOT_FOUND)
			break;
		if (err < 0)
			return err;
		l->restored++;
		tell(l, dir, g->name, g->name_len);
		return OK;
	}
	l->lost++;
	return OK;
}

static int bring_some(struct gone_list *l, struct history *h, struct gone **some, size_t n)
{
	CLEANUP(past_list_release) struct past_list past = PAST_LIST_INIT;
	struct id16 ids[HISTORY_MAX_IDS];

	for (size_t i = 0; i < n; i++)
		ids[i] = some[i]->id;
	call_bring_time(l->c, h);
	int err = n ? history_ask(h, ids, n, LOOK_BACK, &past) : OK;
	for (size_t i = 0; i < n && err == OK; i++)
		err = bring_one(l, h, some[i], &past);
	return err;
}

static int bring_wanted(struct gone_list *l, struct history *h)
{
	struct gone *some[HISTORY_MAX_IDS];
	size_t n = 0;
	uint64_t dir;
	int err = OK;

	for (size_t i = 0; i < l->n && err == OK; i++) {
		if (!l->v[i].wanted)
			continue;
		if (l->v[i].kind == NODE_DIR) {
			err = dir_of(l, &l->v[i].id, 0, &dir);
			if (err == ERR_EXISTS || err == ERR_NOT_FOUND) {
				l->taken += err == ERR_EXISTS;
				l->lost += err == ERR_NOT_FOUND;
				err = OK;
			}
			continue;
		}
		some[n++] = &l->v[i];
		if (n == HISTORY_MAX_IDS) {
			err = bring_some(l, h, some, n);
			n = 0;
		}
	}
	return err < 0 ? err : bring_some(l, h, some, n);
}

/* ---- the verb ---- */

static const char *kind_name(enum node_kind kind)
{
	return kind == NODE_DIR ? "folder" : kind == NODE_FILE ? "file" : kind == NODE_SYMLINK ? "link" : "other";
}

static int put_row(const struct gone *g, struct bytes path, struct buf *out)
{
	CLEANUP(map_release) struct map m = MAP_INIT;

	map_bytes(&m, "name", path.p, path.len);
	if (cbor_is_text(path))
		map_text_n(&m, "path", (const char *)path.p, path.len);
	map_text(&m, "kind", kind_name(g->kind));
	return map_put(&m, out);
}

/* One row, unless what it stood in is not known, or something stands there now: what was brought back, or a new one. */
static int list_one(struct gone_list *l, const struct gone *g, struct buf *rows, size_t *n)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT(2 * PATH_BYTES);
	struct node there;
	int err = gone_path(l, g, &path);

	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	err = path_below(l->c->agent->store, l->space->row.root_ino, buf_bytes(&path), &there);
	if (err == OK) {
		l->taken++;
		return OK;
	}
	if (err != ERR_NOT_FOUND && err != ERR_NOT_DIR)
		return err;
	++*n;
	return put_row(g, buf_bytes(&path), rows);
}

static int list_gone(struct gone_list *l)
{
	CLEANUP(buf_release) struct buf rows = BUF_INIT(4u << 20), list = BUF_INIT(4u << 20);
	struct cbor_enc e = cbor_enc_init(&list);
	size_t n = 0;
	int err = OK;

	for (size_t i = 0; i < l->n && n < LISTED_MAX && err == OK; i++)
		err = list_one(l, &l->v[i], &rows, &n);
	map_uint(&l->c->result, "taken", l->taken);
	cbor_put_array(&e, n);
	if (err == OK)
		err = cbor_enc_end(&e);
	if (err == OK)
		err = buf_put(&list, rows.data, rows.len);
	map_raw(&l->c->result, "deleted", buf_bytes(&list));
	return err;
}

static int want(struct gone_list *l, struct bytes wanted, size_t *ret_n)
{
	*ret_n = 0;
	for (size_t i = 0; i < l->n; i++) {
		CLEANUP(buf_release) struct buf path = BUF_INIT(2 * PATH_BYTES);
		int err = gone_path(l, &l->v[i], &path);

		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
		l->v[i].wanted = err == OK && is_within(buf_bytes(&path), wanted);
		*ret_n += l->v[i].wanted;
	}
	return OK;
}

static int bring(struct gone_list *l, struct bytes path)
{
	struct call *c = l->c;
	struct history h = call_history(c, l->space);
	size_t n;
	int err;

	while (path.len && path.p[path.len - 1] == '/')
		path.len--;
	if ((err = want(l, path, &n)) < 0)
		return call_fail_err(c, err, "what was deleted cannot be looked through");
	if (!n)
		return call_fail(c, ERR_NOT_FOUND, EX_NOINPUT,
			"`coffer undelete SPACE` lists what was deleted, with paths within the space",
			"nothing was deleted at '%.*s'", (int)(path.len < 300 ? path.len : 300), (const char *)path.p);
	if ((err = store_may_change(c->agent->store, l->space->row.root_ino)) < 0)
		return call_fail(c, err, EX_NOPERM, "ask an admin of the space", "this device may only read there");
	err = bring_wanted(l, &h);
	agent_settle_mounts(c->agent);
	if (err < 0)
		return call_fail_history(c, &h, err);
	map_uint(&c->result, "restored", l->restored);
	map_uint(&c->result, "lost", l->lost);
	map_uint(&c->result, "taken", l->taken);
	if (l->restored)
		return OK;
	return call_fail(c, l->taken ? ERR_EXISTS : ERR_NOT_FOUND, l->taken ? EX_CANTCREAT : EX_NOINPUT,
		l->taken ? "rename what is there and try again" : "look on another device or in a backup",
		l->taken ? "something else has that name now" : "the relay does not keep a version of that any more");
}

int verb_undelete(struct call *c)
{
	CLEANUP(gone_list_release) struct gone_list l = { .c = c };
	struct bytes name = map_get_text(c->args, "space"), path = map_get_bytes(c->args, "path");

	if (!(l.space = agent_find_space(c->agent, name)))
		return call_fail(c, ERR_NOT_FOUND, EX_NOINPUT, "see `coffer space list`", "there is no space '%.*s'",
			(int)name.len, (const char *)name.p);
	int err = load(&l);
	if (err < 0)
		return call_fail_err(c, err, "what was deleted cannot be looked through");
	if (path.len)
		return bring(&l, path);
	return (err = list_gone(&l)) < 0 ? call_fail_err(c, err, "what was deleted cannot be listed") : OK;
}
