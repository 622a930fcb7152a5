/* SPDX-License-Identifier: Apache-2.0 */
/* versions and restore: what a file was before, and making it that again. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "fusefs/verb_history.h"
#include "fusefs/path.h"
#include "fusefs/settle.h"

#define SECOND 1000000000ll
#define ASK_NS (60 * SECOND)
#define BRING_NS (24 * 3600 * SECOND) /* of many GiB; a relay that is away ends it sooner */
#define SHOWN_MAX 1000

struct history call_history(struct call *c, struct space *s)
{
	const struct env *env = c->agent->env;

	return (struct history){ .sync = c->agent->sync,
		.store = c->agent->store,
		.env = env,
		.who = c->agent->who,
		.space = s,
		.deadline = env->mono_ns(env->ctx) + ASK_NS };
}

void call_bring_time(struct call *c, struct history *h)
{
	h->deadline = c->agent->env->mono_ns(c->agent->env->ctx) + BRING_NS;
}

int call_fail_history(struct call *c, const struct history *h, int err)
{
	if (err == ERR_FORBIDDEN || (h->why && err != ERR_GAP))
		return call_fail(c, err, h->why ? EX_PROTOCOL : 0,
			h->why ? "do not trust this relay; what is here stays as it is" : "see `coffer status`", "%s",
			h->why ? h->why : "the relay does not give access to this space");
	if (h->why)
		return call_fail(c, err, EX_UNAVAILABLE, "choose another version with `coffer versions`", "%s", h->why);
	if (err == ERR_OFFLINE || err == ERR_TIMEOUT)
		return call_fail(c, err, 0, "try again when `coffer status` does not say offline any more",
			"versions are kept at the relay, which cannot be reached");
	return call_fail_err(c, err, "the version cannot be brought here");
}

/* The file that a path names, and its space. */
static int find_file(struct call *c, struct node *ret_n, struct space **ret_s)
{
	int err = call_path(c, map_get_bytes(c->args, "path"), ret_n);

	if (err < 0)
		return err;
	if (ret_n->kind != NODE_FILE || !(*ret_s = agent_space_of_row(c->agent, ret_n->space)))
		return call_fail(c, ERR_IS_DIR, EX_USAGE, "name a file", "only files have versions to be shown");
	return OK;
}

static void put_author(struct map *m, struct space *s, const struct id32 *author)
{
	CLEANUP(buf_release) struct buf label = BUF_INIT(4096);

	pthread_mutex_lock(&s->lock);
	const struct log_device *d = log_find_device(s->log, author);
	if (d && epoch_open_label(s->ring, s->log, d, &label) == OK && label.len)
		map_text_n(m, "author", (const char *)label.data, label.len);
	else
		map_text(m, "author", "?");
	pthread_mutex_unlock(&s->lock);
}

static int put_version(struct space *s, const struct past *p, struct buf *out)
{
	CLEANUP(map_release) struct map m = MAP_INIT;

	map_uint(&m, "version", p->o.r.h.version);
	map_uint(&m, "time", p->time);
	map_uint(&m, "size", p->o.body.size);
	map_bool(&m, "current", p->expires == 0);
	map_bool(&m, "deleted", p->o.body.deleted);
	if (p->expires)
		map_uint(&m, "until", p->expires);
	put_author(&m, s, &p->o.r.h.author);
	return map_put(&m, out);
}

int verb_versions(struct call *c)
{
	CLEANUP(past_list_release) struct past_list l = PAST_LIST_INIT;
	CLEANUP(buf_release) struct buf rows = BUF_INIT(4u << 20), list = BUF_INIT(4u << 20);
	struct cbor_enc e = cbor_enc_init(&list);
	struct space *s;
	size_t shown = 0;
	struct node n;
	int err = find_file(c, &n, &s);

	if (err < 0)
		return err;
	struct history h = call_history(c, s);
	if ((err = history_ask(&h, &n.id, 1, SHOWN_MAX, &l)) < 0)
		return call_fail_history(c, &h, err);
	for (size_t i = 0; i < l.n && err == OK; i++) {
		if (!l.v[i].believed && (err = history_prove(&h, &l.v[i])) < 0 && err != ERR_GAP)
			return call_fail_history(c, &h, err);
		if (err == OK && (err = put_version(s, &l.v[i], &rows)) == OK)
			shown++;
		if (err == ERR_GAP)
			err = OK;
	}
	cbor_put_array(&e, shown);
	if (err == OK)
		err = cbor_enc_end(&e);
	if (err == OK)
		err = buf_put(&list, rows.data, rows.len);
	if (err < 0)
		return call_fail_err(c, err, "the versions cannot be shown");
	map_raw(&c->result, "versions", buf_bytes(&list));
	return OK;
}

/* ---- restore ---- */

static const struct past *find_version(const struct past_list *l, uint64_t version)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].o.r.h.version == version)
			return &l->v[i];
	return NULL;
}

/* What was changed here must be in the history before something takes its place. */
static int settle(struct call *c, struct space *s, uint64_t ino)
{
	CLEANUP(buf_release) struct buf what = BUF_INIT(1u << 16);
	struct node n;
	int err = store_getattr(c->agent->store, ino, &n);

	if (err == OK && n.change != 0 && (err = call_barrier(c, s, true, &what)) < 0)
		return call_fail(c, err, EX_TEMPFAIL, "try again when that is done",
			"changes of the file are not at the relay yet: %.*s", (int)what.len, (const char *)what.data);
	return err < 0 ? call_fail_err(c, err, "the file went meanwhile") : OK;
}

static int put_beside(struct call *c, const struct history_copy *copy, const char *name, uint64_t dir)
{
	struct node n;
	int err = store_link(c->agent->store, copy->ino, dir, bytes_str(name), &n);

	if (err == ERR_EXISTS)
		return call_fail(c, err, EX_CANTCREAT, "choose another with --as NAME", "'%s' is there already", name);
	if (err < 0)
		return call_fail_err(c, err, "the version cannot be put there");
	struct invalidation inv = { .ino = dir, .name_len = (uint8_t)strlen(name) };
	memcpy(inv.name, name, inv.name_len);
	agent_invalidate(c->agent, &inv, 1);
	agent_settle_mounts(c->agent);
	return OK;
}

static int put_back(
	struct call *c, struct history *h, const struct past *p, const struct history_copy *copy, uint64_t ino)
{
	int err = history_put(h, p, copy, ino);

	if (err == ERR_BUSY)
		return call_fail(c, err, EX_TEMPFAIL, "try again when nothing writes to it, or use --as NAME",
			"the file is being changed");
	if (err < 0)
		return call_fail_err(c, err, "the file cannot be changed");
	struct invalidation inv = { .ino = ino };
	agent_invalidate(c->agent, &inv, 1);
	agent_settle_mounts(c->agent);
	sync_poke(c->agent->sync, h->space->row.row);
	return OK;
}

/* The directory that a path's last name stands in. */
static int find_dir(struct call *c, uint64_t *ret_dir)
{
	struct bytes path = map_get_bytes(c->args, "path");
	struct node n;

	while (path.len && path.p[path.len - 1] != '/')
		path.len--;
	int err = path_find(c->agent, path, &n);
	if (err == OK)
		*ret_dir = n.ino;
	return err;
}

static int restore(struct call *c, struct space *s, const struct node *n, const char *as)
{
	CLEANUP(past_list_release) struct past_list l = PAST_LIST_INIT;
	struct history_copy copy = { .ino = 0 };
	struct history h = call_history(c, s);
	uint64_t want = map_get_uint(c->args, "version", 0), dir;
	int err = history_ask(&h, &n->id, 1, SHOWN_MAX, &l);
	const struct past *p = err < 0 ? NULL : find_version(&l, want);

	if (err < 0)
		return call_fail_history(c, &h, err);
	if (!p || p->o.body.deleted)
		return call_fail(c, ERR_NOT_FOUND, EX_NOINPUT, "see `coffer versions`",
			"there is no version %llu of that file", (unsigned long long)want);
	if ((err = history_prove(&h, p)) < 0)
		return call_fail_history(c, &h, err);
	if ((err = find_dir(c, &dir)) < 0)
		return call_fail_err(c, err, "the folder went meanwhile");
	call_bring_time(c, &h);
	if ((err = history_bring(&h, p, dir, &copy)) < 0)
		return call_fail_history(c, &h, err);
	err = as ? put_beside(c, &copy, as, dir) : settle(c, s, n->ino);
	if (err == OK && !as)
		err = put_back(c, &h, p, &copy, n->ino);
	history_copy_release(&h, &copy);
	return err;
}

int verb_restore(struct call *c)
{
	FREE_AFTER char *as = map_get_string(c->args, "as", NODE_MAX_NAME);
	struct space *s;
	struct node n;
	int err = find_file(c, &n, &s);

	if (err < 0)
		return err;
	if (as && !node_name_valid(bytes_str(as)))
		return call_fail(
			c, ERR_INVALID, EX_USAGE, "give a name without '/'", "'%s' cannot be a file's name", as);
	if ((err = store_may_change(c->agent->store, n.ino)) < 0)
		return call_fail(c, err, EX_NOPERM, "ask an admin of the space", "this device may only read there");
	return restore(c, s, &n, as);
}
