/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links and xattrs; ids and targets of nodes (their rows: index_held.c). A link's row stands under (shown parent, hash of the shown name); two names of one hash stand side
 * by side (the hash is keyed, so nobody can make them on purpose). link_ino and link_id lead there from a node and an id;
 * claim leads to links whose register is a name that they are not shown under.
 */
#include "cache/query.h"
#include "crypto/shorthash.h"

enum { PROBES = 8 };

static uint64_t name_hash(const struct index *ix, struct bytes name)
{
	return (shorthash(ix->config.name_key, name) >> 2) + 1; /* positive as an int64, with room to probe */
}

int index_node_find(struct index *ix, uint32_t space, const struct id16 *id, uint64_t *ret_ino)
{
	int err = query_row(ix, Q_NODE_ID_GET, "ib", (uint64_t)space, bytes_of(id->b, sizeof id->b));
	if (err < 0)
		return err;
	*ret_ino = query_u64(ix, Q_NODE_ID_GET, 0);
	query_done(ix, Q_NODE_ID_GET);
	return 0;
}

int index_target_get(struct index *ix, uint64_t ino, struct buf *out)
{
	int err = query_row(ix, Q_TARGET_GET, "i", ino);
	if (err < 0)
		return err;
	err = query_copy(ix, Q_TARGET_GET, 0, out);
	query_done(ix, Q_TARGET_GET);
	return err;
}

int index_target_put(struct index *ix, uint64_t ino, struct bytes target)
{
	return query_run(ix, Q_TARGET_PUT, "ib", ino, target);
}

/* ---- links ---- */

static int link_decode(struct bytes row, struct link *ret)
{
	struct unpack u = unpack_init(row);
	row_get_link(&u, ret);
	return unpack_end(&u);
}

static int link_at(struct index *ix, struct link_at at, struct link *ret)
{
	int err = query_row(ix, Q_LINK_AT, "ii", at.parent, at.hash);
	if (err < 0)
		return err;
	err = link_decode(query_blob(ix, Q_LINK_AT, 0), ret);
	query_done(ix, Q_LINK_AT);
	return err;
}

static void forget_seen(struct index *ix)
{
	ix->seen.what = SEEN_NOTHING;
}

static int see(struct index *ix, struct link_at at, const struct link *l)
{
	ix->seen.what = l ? SEEN_LINK : SEEN_ABSENT;
	ix->seen.at = at;
	if (l)
		ix->seen.link = *l;
	return l ? 0 : ERR_NOT_FOUND;
}

/* Whether the last look-up was of that name, or found that no name has its hash. */
static bool was_seen(const struct index *ix, struct link_at at, struct bytes name)
{
	const struct seen_link *s = &ix->seen;
	if (s->what == SEEN_NOTHING || s->at.parent != at.parent)
		return false;
	if (s->what == SEEN_ABSENT)
		return s->at.hash == at.hash;
	return s->link.shown_len == name.len && memcmp(s->link.shown, name.p, name.len) == 0;
}

/* Where the link of that shown name stands, or, with ERR_NOT_FOUND, the first free place for it. */
static int find_shown(struct index *ix, uint64_t parent, struct bytes name, struct link *ret, uint64_t *ret_hash)
{
	uint64_t hash = name_hash(ix, name), free_hash = hash;
	if (was_seen(ix, (struct link_at){ parent, hash }, name)) {
		*ret_hash = ix->seen.at.hash;
		if (ix->seen.what == SEEN_ABSENT)
			return ERR_NOT_FOUND;
		*ret = ix->seen.link;
		return 0;
	}
	int err = query_row(ix, Q_LINK_SHOWN, "iii", parent, hash, hash + PROBES);
	bool open = err == 0;
	if (err == ERR_NOT_FOUND)
		err = see(ix, (struct link_at){ parent, hash }, NULL);
	while (err == 0) {
		uint64_t at = query_u64(ix, Q_LINK_SHOWN, 0);
		err = link_decode(query_blob(ix, Q_LINK_SHOWN, 1), ret);
		if (err == 0 && ret->shown_len == name.len && memcmp(ret->shown, name.p, name.len) == 0) {
			*ret_hash = at;
			query_done(ix, Q_LINK_SHOWN);
			return see(ix, (struct link_at){ parent, at }, ret);
		}
		if (at == free_hash)
			free_hash++;
		if (err == 0)
			err = query_next(ix, Q_LINK_SHOWN);
	}
	if (open)
		query_done(ix, Q_LINK_SHOWN);
	*ret_hash = free_hash;
	return err == ERR_NOT_FOUND && free_hash == hash + PROBES ? ERR_INTERNAL : err;
}

int index_link_shown(struct index *ix, uint64_t parent, struct bytes name, struct link *ret)
{
	uint64_t hash;
	return find_shown(ix, parent, name, ret, &hash);
}

static int find_id(struct index *ix, const struct id16 *id, struct link_at *ret_at)
{
	int err = query_row(ix, Q_LINK_ID_GET, "b", bytes_of(id->b, sizeof id->b));
	if (err < 0)
		return err;
	*ret_at = (struct link_at){ query_u64(ix, Q_LINK_ID_GET, 0), query_u64(ix, Q_LINK_ID_GET, 1) };
	query_done(ix, Q_LINK_ID_GET);
	return 0;
}

static int find_link(struct index *ix, const struct id16 *id, struct link *ret, struct link_at *ret_at)
{
	if (ix->seen.what == SEEN_LINK && id16_equal(&ix->seen.link.id, id)) {
		*ret_at = ix->seen.at;
		*ret = ix->seen.link;
		return 0;
	}
	int err = find_id(ix, id, ret_at);
	return err < 0 ? err : link_at(ix, *ret_at, ret);
}

int index_link_get(struct index *ix, const struct id16 *id, struct link *ret)
{
	struct link_at at;
	return find_link(ix, id, ret, &at);
}

static bool claims(const struct link *l)
{
	return l->parent != l->shown_parent || l->name_len != l->shown_len ||
	       memcmp(l->name, l->shown, l->name_len) != 0;
}

static int claim_change(struct index *ix, const struct link *l, bool add)
{
	if (!claims(l))
		return 0;
	ix->state.claims += add ? 1u : UINT64_MAX;
	return query_run(ix, add ? Q_CLAIM_PUT : Q_CLAIM_DEL, "iib", l->parent,
		name_hash(ix, bytes_of(l->name, l->name_len)), bytes_of(l->id.b, sizeof l->id.b));
}

static int link_drop(struct index *ix, const struct link *l, struct link_at at)
{
	forget_seen(ix);
	int err = query_run(ix, Q_LINK_DEL, "ii", at.parent, at.hash);
	if (err == 0)
		err = query_run(ix, Q_LINK_INO_DEL, "iii", l->ino, at.parent, at.hash);
	return err < 0 ? err : claim_change(ix, l, false);
}

/* Where a link that is not shown stands: under parent 0, by its id. */
static int find_hidden(struct index *ix, const struct link *l, uint64_t *ret_hash)
{
	uint64_t hash = name_hash(ix, bytes_of(l->id.b, sizeof l->id.b));
	for (uint64_t end = hash + PROBES; hash < end; hash++) {
		struct link other;
		int err = link_at(ix, (struct link_at){ 0, hash }, &other);
		if (err == ERR_NOT_FOUND || (err == 0 && id16_equal(&other.id, &l->id))) {
			*ret_hash = hash;
			return 0;
		}
		if (err < 0)
			return err;
	}
	return ERR_INTERNAL;
}

/* Writes the link's row where there is room for it. */
static int link_insert(struct index *ix, const struct link *l, struct link_at *at)
{
	struct link other;
	int err;
	if (at->parent == 0) {
		err = find_hidden(ix, l, &at->hash);
	} else {
		err = find_shown(ix, at->parent, bytes_of(l->shown, l->shown_len), &other, &at->hash);
		err = err == 0 ? ERR_EXISTS : err == ERR_NOT_FOUND ? 0 : err;
	}
	return err < 0 ? err : query_run(ix, Q_LINK_ADD, "iib", at->parent, at->hash, buf_bytes(&ix->row));
}

/* With `free_name` the first place is tried without looking: only another name of the same hash may stand there. */
static int link_add(struct index *ix, const struct link *l, bool free_name)
{
	struct link_at at = { .parent = l->shown_parent, .hash = name_hash(ix, bytes_of(l->shown, l->shown_len)) };
	int err = ERR_EXISTS;
	buf_clear(&ix->row);
	struct pack k = pack_init(&ix->row);
	row_put_link(&k, l);
	if (k.err < 0)
		return k.err;
	if (free_name && at.parent != 0)
		err = query_run(ix, Q_LINK_ADD, "iib", at.parent, at.hash, buf_bytes(&ix->row));
	if (err == ERR_EXISTS)
		err = link_insert(ix, l, &at);
	forget_seen(ix); /* not before: finding room looks names up */
	if (err == 0)
		err = query_run(ix, Q_LINK_INO_ADD, "iii", l->ino, at.parent, at.hash);
	if (err == 0)
		err = query_run(ix, Q_LINK_ID_PUT, "bii", bytes_of(l->id.b, sizeof l->id.b), at.parent, at.hash);
	return err < 0 ? err : claim_change(ix, l, true);
}

int index_link_put(struct index *ix, const struct link *l)
{
	struct link old;
	struct link_at at;
	int err = find_link(ix, &l->id, &old, &at);
	if (err == 0)
		err = link_drop(ix, &old, at);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	return link_add(ix, l, false);
}

int index_link_new(struct index *ix, const struct link *l)
{
	return link_add(ix, l, true);
}

int index_link_del(struct index *ix, const struct id16 *id)
{
	struct link old;
	struct link_at at;
	int err = find_link(ix, id, &old, &at);
	if (err == 0)
		err = link_drop(ix, &old, at);
	return err < 0 ? err : query_run(ix, Q_LINK_ID_DEL, "b", bytes_of(id->b, sizeof id->b));
}

int index_link_next(struct index *ix, uint64_t parent, uint64_t *cookie, struct link *ret)
{
	int err = query_row(ix, Q_LINK_NEXT, "ii", parent, *cookie);
	if (err < 0)
		return err;
	*cookie = query_u64(ix, Q_LINK_NEXT, 0);
	err = link_decode(query_blob(ix, Q_LINK_NEXT, 1), ret);
	query_done(ix, Q_LINK_NEXT);
	return err;
}

int index_link_of_next(struct index *ix, uint64_t ino, struct link_at *at, struct link *ret)
{
	int err = query_row(ix, Q_LINK_INO_NEXT, "iii", ino, at->parent, at->hash);
	if (err < 0)
		return err;
	*at = (struct link_at){ query_u64(ix, Q_LINK_INO_NEXT, 0), query_u64(ix, Q_LINK_INO_NEXT, 1) };
	query_done(ix, Q_LINK_INO_NEXT);
	err = link_at(ix, *at, ret);
	return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
}

int index_claim_next(
	struct index *ix, uint64_t parent, struct bytes name, uint64_t *hash, struct id16 *id, struct link *ret)
{
	uint64_t only = name.len > 0 ? name_hash(ix, name) : 0;
	if (*hash < only)
		*hash = only;
	for (;;) {
		int err = query_row(
			ix, Q_CLAIM_NEXT, "iib", parent, *hash, bytes_of(id->b, *hash == 0 ? 0 : sizeof id->b));
		if (err < 0)
			return err;
		*hash = query_u64(ix, Q_CLAIM_NEXT, 0);
		struct bytes found = query_blob(ix, Q_CLAIM_NEXT, 1);
		bool fits = found.len == sizeof id->b;
		if (fits)
			memcpy(id->b, found.p, sizeof id->b);
		query_done(ix, Q_CLAIM_NEXT);
		if (!fits)
			return ERR_CORRUPT;
		if (only != 0 && *hash != only)
			return ERR_NOT_FOUND;
		err = index_link_get(ix, id, ret);
		if (err < 0)
			return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
		if (only == 0 || (ret->name_len == name.len && memcmp(ret->name, name.p, name.len) == 0))
			return 0;
	}
}

/* ---- xattrs ---- */

int index_xattr_get(struct index *ix, uint64_t ino, struct bytes name, struct buf *out)
{
	int err = ix->xattrs ? query_row(ix, Q_XATTR_GET, "ib", ino, name) : ERR_NOT_FOUND;
	if (err < 0)
		return err;
	err = query_copy(ix, Q_XATTR_GET, 0, out);
	query_done(ix, Q_XATTR_GET);
	return err;
}

int index_xattr_put(struct index *ix, uint64_t ino, struct bytes name, struct bytes value)
{
	ix->xattrs = true;
	return query_run(ix, Q_XATTR_PUT, "ibb", ino, name, value);
}

int index_xattr_del(struct index *ix, uint64_t ino, struct bytes name)
{
	return query_run(ix, Q_XATTR_DEL, "ib", ino, name);
}

int index_xattr_next(struct index *ix, uint64_t ino, struct buf *name, struct buf *value)
{
	int err = ix->xattrs ? query_row(ix, Q_XATTR_NEXT, "ib", ino, buf_bytes(name)) : ERR_NOT_FOUND;
	if (err < 0)
		return err;
	err = query_copy(ix, Q_XATTR_NEXT, 0, name);
	if (err == 0 && value)
		err = query_copy(ix, Q_XATTR_NEXT, 1, value);
	query_done(ix, Q_XATTR_NEXT);
	return err;
}
