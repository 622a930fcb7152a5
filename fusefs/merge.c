/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/merge.h"

#include <stdlib.h>

#include "fusefs/content.h"

static const struct node_body nothing = { .kind = 0 };

/* Both sides changed it: whose is taken. */
static bool local_wins(const struct merge *in)
{
	if (in->local_version != in->remote_version)
		return in->local_version > in->remote_version;
	return id32_compare(&in->local_author, &in->remote_author) > 0;
}

static uint64_t pick(const struct merge *in, uint64_t base, uint64_t local, uint64_t remote)
{
	if (local == base || local == remote)
		return remote;
	if (remote == base)
		return local;
	return local_wins(in) ? local : remote;
}

static const struct node_link *link_of(const struct node_body *b, const struct id16 *id)
{
	for (size_t i = 0; i < b->n_links; i++) {
		if (id16_equal(&b->links[i].id, id))
			return &b->links[i];
	}
	return NULL;
}

static const struct node_xattr *xattr_of(const struct node_body *b, struct bytes name)
{
	for (size_t i = 0; i < b->n_xattrs; i++) {
		if (bytes_equal(b->xattrs[i].name, name))
			return &b->xattrs[i];
	}
	return NULL;
}

static bool same_place(const struct node_link *a, const struct node_link *b)
{
	if (!a || !b)
		return !a && !b;
	return id16_equal(&a->parent, &b->parent) && bytes_equal(a->name, b->name);
}

/* The register of one link after both sides; NULL: gone. */
static const struct node_link *merge_link(const struct merge *in, const struct node_body *base, const struct id16 *id)
{
	const struct node_link *b = link_of(base, id), *l = link_of(in->local, id), *r = link_of(in->remote, id);

	if (same_place(l, b) || same_place(l, r))
		return r;
	if (same_place(r, b))
		return l;
	/* Both changed it. Edit beats delete. */
	if (!l || !r)
		return l ? l : r;
	return local_wins(in) ? l : r;
}

static int merge_links(const struct merge *in, const struct node_body *base, struct node_body *out)
{
	size_t room = in->local->n_links + in->remote->n_links;

	if (room == 0)
		return OK;
	out->links = calloc(room, sizeof *out->links);
	if (!out->links)
		return ERR_NOMEM;
	for (size_t i = 0; i < room; i++) {
		bool local = i >= in->remote->n_links;
		const struct node_link *at = local ? &in->local->links[i - in->remote->n_links] : &in->remote->links[i];

		if (local && link_of(in->remote, &at->id))
			continue;
		const struct node_link *l = merge_link(in, base, &at->id);
		if (l && out->n_links < NODE_MAX_LINKS && (out->kind != NODE_DIR || out->n_links == 0))
			out->links[out->n_links++] = *l;
	}
	return OK;
}

static bool same_value(const struct node_xattr *a, const struct node_xattr *b)
{
	if (!a || !b)
		return !a && !b;
	return bytes_equal(a->value, b->value);
}

static const struct node_xattr *merge_xattr(const struct merge *in, const struct node_body *base, struct bytes name)
{
	const struct node_xattr *b = xattr_of(base, name), *l = xattr_of(in->local, name),
				*r = xattr_of(in->remote, name);

	if (same_value(l, b) || same_value(l, r))
		return r;
	if (same_value(r, b))
		return l;
	if (!l || !r)
		return l ? l : r;
	return local_wins(in) ? l : r;
}

static int merge_xattrs(const struct merge *in, const struct node_body *base, struct node_body *out)
{
	size_t room = in->local->n_xattrs + in->remote->n_xattrs, total = 0;

	if (room == 0)
		return OK;
	out->xattrs = calloc(room, sizeof *out->xattrs);
	if (!out->xattrs)
		return ERR_NOMEM;
	for (size_t i = 0; i < room; i++) {
		bool local = i >= in->remote->n_xattrs;
		const struct node_xattr *at =
			local ? &in->local->xattrs[i - in->remote->n_xattrs] : &in->remote->xattrs[i];

		if (local && xattr_of(in->remote, at->name))
			continue;
		const struct node_xattr *x = merge_xattr(in, base, at->name);
		if (!x)
			continue;
		/* The union may pass the limits; what does not fit is left at the remote's state. */
		total += x->name.len + x->value.len;
		if (total > NODE_MAX_XATTR_BYTES || out->n_xattrs == NODE_MAX_XATTRS)
			break;
		out->xattrs[out->n_xattrs++] = *x;
	}
	return OK;
}

static void merge_scalars(const struct merge *in, const struct node_body *base, struct node_body *out)
{
	const struct node_body *l = in->local, *r = in->remote;
	bool local_owner =
		!id32_equal(&l->owner, &base->owner) && (id32_equal(&r->owner, &base->owner) || local_wins(in));

	out->mode = (uint32_t)pick(in, base->mode, l->mode, r->mode);
	out->uid = (uint32_t)pick(in, base->uid, l->uid, r->uid);
	out->gid = (uint32_t)pick(in, base->gid, l->gid, r->gid);
	out->rdev = pick(in, base->rdev, l->rdev, r->rdev);
	out->owner = local_owner ? l->owner : r->owner;
	out->target = r->target.len ? r->target : l->target;
}

static bool mtime_equal(const struct node_body *a, const struct node_body *b)
{
	return a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec;
}

static void merge_content(const struct merge *in, const struct node_body *base, struct merged *m)
{
	bool remote = !content_equal(base, in->remote);
	const struct node_body *from = in->remote, *time;

	if (in->local_content && !in->remote->deleted)
		m->content = remote ? MERGE_CONTENT_BOTH : MERGE_CONTENT_LOCAL;
	else
		m->content = in->remote->deleted ? MERGE_CONTENT_LOCAL : MERGE_CONTENT_REMOTE;
	if (m->content == MERGE_CONTENT_LOCAL)
		from = in->local;
	time = from;
	if (!in->local_content && !remote)
		time = mtime_equal(in->local, base) || (!mtime_equal(in->remote, base) && !local_wins(in)) ? in->remote
													   : in->local;
	m->body.mtime_sec = time->mtime_sec;
	m->body.mtime_nsec = time->mtime_nsec;
	m->body.size = from->size;
	if (m->content == MERGE_CONTENT_LOCAL)
		return;
	m->body.form = from->form;
	m->body.inline_data = from->inline_data;
	m->body.depth = from->depth;
	m->body.slices = from->slices; /* borrowed: merged_release knows */
	m->body.n_slices = from->n_slices;
}

/* In every field but content, size and mtime. */
static bool same_attributes(const struct node_body *a, const struct node_body *b)
{
	if (a->deleted != b->deleted || a->kind != b->kind || a->mode != b->mode || a->uid != b->uid ||
		a->gid != b->gid || a->rdev != b->rdev || !id32_equal(&a->owner, &b->owner) ||
		!bytes_equal(a->target, b->target) || a->n_links != b->n_links || a->n_xattrs != b->n_xattrs)
		return false;
	for (size_t i = 0; i < a->n_links; i++) {
		if (!same_place(&a->links[i], link_of(b, &a->links[i].id)))
			return false;
	}
	for (size_t i = 0; i < a->n_xattrs; i++) {
		if (!same_value(&a->xattrs[i], xattr_of(b, a->xattrs[i].name)))
			return false;
	}
	return true;
}

/* Each side took another name away, and nothing is left, though neither removed the file: it keeps the names that the remote left it,
 * or those here if the content was edited here. */
static int keep_named(const struct merge *in, const struct node_body *base, struct node_body *out)
{
	bool local = in->local_content && content_equal(base, in->remote);
	const struct node_body *from = local ? in->local : in->remote;

	if (out->n_links > 0 || in->local->deleted || in->remote->deleted || from->n_links == 0)
		return OK;
	free(out->links);
	out->links = calloc(from->n_links, sizeof *out->links);
	if (!out->links)
		return ERR_NOMEM;
	memcpy(out->links, from->links, from->n_links * sizeof *out->links);
	out->n_links = from->n_links;
	return OK;
}

int merge_node(const struct merge *in, struct merged *m)
{
	const struct node_body *base = in->base ? in->base : &nothing;

	if (in->local->kind != in->remote->kind)
		return ERR_INVALID;
	*m = (struct merged){ .body = { .kind = in->remote->kind } };
	m->body.has_replaces = in->remote->has_replaces;
	m->body.replaces_id = in->remote->replaces_id;
	m->body.replaces_version = in->remote->replaces_version;
	m->body.replaces_hash = in->remote->replaces_hash;
	/* A deletion on one side alone: the other side's state as it is, if it was edited there at all. */
	struct merge one = *in;
	if (in->local->deleted) {
		one.local = base->deleted ? in->remote : base;
		one.local_content = false;
		m->revived = in->local->deleted && !in->remote->deleted;
	} else if (in->remote->deleted) {
		one.remote = base->deleted || base == &nothing ? in->local : base;
	}
	merge_scalars(&one, base, &m->body);
	merge_content(&one, base, m);
	if (in->remote->deleted && !in->local->deleted)
		m->content = MERGE_CONTENT_LOCAL;
	int err = merge_links(&one, base, &m->body);
	if (err == OK)
		err = keep_named(in, base, &m->body);
	if (err == OK)
		err = merge_xattrs(&one, base, &m->body);
	if (err < 0) {
		merged_release(m);
		return err;
	}
	if (in->remote->deleted && in->local->deleted)
		m->body.deleted = true;
	m->same_as_remote = m->content != MERGE_CONTENT_LOCAL && same_attributes(&m->body, in->remote) &&
			    mtime_equal(&m->body, in->remote);
	if (m->body.deleted)
		m->same_as_remote = true;
	return OK;
}

void merged_release(struct merged *m)
{
	/* Slices are the remote body's. */
	free(m->body.links);
	free(m->body.xattrs);
	*m = (struct merged){ .same_as_remote = false };
}
