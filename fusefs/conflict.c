/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conflict copies: the later of two edits of one content, as a file of its own beside it. Which ones were made here stands in meta under
 * "conflict/SPACE/INO"; one counts while its name still says so, and who counts forgets the others.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "fusefs/apply.h"
#include "fusefs/rights.h"

#define NS 1000000000ll
#define NUMBERS 100 /* names tried before the copy's own id is in it */
#define PLACES 8    /* directories that may go while a copy is made beside the file */
#define MARK " (conflict, "

/* Where the mark of a name's stem begins, if it ends with one: a copy of a copy is named after the file. */
static size_t without_mark(struct bytes name, size_t stem)
{
	static const size_t len = sizeof MARK - 1;

	for (size_t i = 1; stem > 0 && name.p[stem - 1] == ')' && i + len < stem; i++) {
		if (memcmp(name.p + i, MARK, len) == 0)
			return i;
	}
	return stem;
}

static bool is_marked(const struct link *l)
{
	return l->shown_parent != 0 && memmem(l->shown, l->shown_len, MARK, sizeof MARK - 1) != NULL;
}

/* `stem (conflict, DEVICE, DATE).ext`; number: what follows the date, "" for nothing. */
static uint8_t copy_name(struct bytes name, const struct identity *who, int64_t now_wall, const char *number,
	char out[NODE_MAX_NAME + 1])
{
	struct bytes label = identity_label(who);
	char mark[128], device[IDENTITY_MAX_LABEL + 1];
	time_t sec = (time_t)(now_wall / NS);
	struct tm tm;
	size_t dot = name.len;

	size_t n = label.len < IDENTITY_MAX_LABEL ? label.len : IDENTITY_MAX_LABEL;
	memcpy(device, label.p, n);
	device[n] = 0;
	for (size_t i = 0; i < n; i++) {
		if (device[i] == '/' || (unsigned char)device[i] < 0x20)
			device[i] = '_';
	}
	gmtime_r(&sec, &tm);
	int m = snprintf(mark, sizeof mark, MARK "%s, %04d-%02d-%02d%s)", n ? device : "device",
		(tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100, number);
	for (size_t i = name.len; i-- > 1;) {
		if (name.p[i] == '.' && name.len - i <= 16) {
			dot = i;
			break;
		}
	}
	size_t stem = without_mark(name, dot), room = NODE_MAX_NAME - (size_t)m - (name.len - dot);
	if (stem > room) {
		stem = room;
		while (stem > 0 && (name.p[stem] & 0xc0) == 0x80)
			stem--;
	}
	return (uint8_t)snprintf(out, NODE_MAX_NAME + 1, "%.*s%s%.*s", (int)stem, (const char *)name.p, mark,
		(int)(name.len - dot), (const char *)name.p + dot);
}

/* Where a copy stands: beside the file by any of its names that is shown; if none is, in the space's root. */
static int place_of(struct store *s, uint64_t root, uint64_t ino, struct link *ret_l)
{
	FREE_AFTER struct link *links = NULL;
	struct store_txn *t = NULL;
	size_t n = 0;
	int err = store_begin(s, &t);

	if (err == OK)
		err = txn_links_of(t, ino, &links, &n);
	store_abort(&t);
	if (err < 0 || n == 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	for (size_t i = 0; i < n; i++) {
		if (links[i].shown_parent != 0) {
			*ret_l = links[i];
			return OK;
		}
	}
	*ret_l = links[0];
	ret_l->shown_parent = root;
	ret_l->shown_len = ret_l->name_len;
	memcpy(ret_l->shown, ret_l->name, sizeof ret_l->shown);
	return OK;
}

/* *ret_settled: it is none any more and will be none again, rather than shown nowhere at the moment. */
static int look_at(struct store_txn *t, const struct node *n, bool *ret_settled)
{
	FREE_AFTER struct link *links = NULL;
	size_t n_links = 0;

	*ret_settled = !(n->flags & NODE_CONFLICT) || (n->flags & NODE_DELETED);
	if (*ret_settled)
		return 0;
	int err = txn_links_of(t, n->ino, &links, &n_links);
	for (size_t i = 0; i < n_links && err == OK; i++) {
		if (is_marked(&links[i]))
			return 1;
		*ret_settled = *ret_settled || links[i].shown_parent != 0;
	}
	return err;
}

int conflict_is(struct store_txn *t, const struct node *n)
{
	bool settled;

	return look_at(t, n, &settled);
}

#define KEY_MAX 48

/* ino 0: what all keys of the space begin with. */
static void key_of(uint32_t space, uint64_t ino, char key[KEY_MAX])
{
	int n = snprintf(key, KEY_MAX, "conflict/%" PRIu32 "/", space);

	if (ino != 0)
		snprintf(key + n, KEY_MAX - (size_t)n, "%" PRIu64, ino);
}

struct counting {
	struct store_txn *t;
	uint64_t n;
	uint64_t *settled;
	size_t n_settled, alloc;
	size_t prefix; /* length */
	int err;
};

static int count_one(void *ctx, const char *key, struct bytes value)
{
	struct counting *c = ctx;
	uint64_t ino = strtoull(key + c->prefix, NULL, 10);
	bool settled = true;
	struct node n;
	int is = txn_node_get(c->t, ino, &n);

	(void)value;
	is = is == OK ? look_at(c->t, &n, &settled) : is == ERR_NOT_FOUND ? 0 : is;
	if (is < 0) {
		c->err = is;
		return 0;
	}
	c->n += (unsigned)is;
	if (is || !settled)
		return 1;
	uint64_t *more = array_room(c->settled, &c->alloc, c->n_settled + 1, sizeof *more);
	if (more) { /* without memory it is forgotten the next time */
		c->settled = more;
		more[c->n_settled++] = ino;
	}
	return 1;
}

int conflict_count(struct store_txn *t, uint32_t space, uint64_t *ret_n)
{
	struct counting c = { .t = t };
	char key[KEY_MAX];

	key_of(space, 0, key);
	c.prefix = strlen(key);
	int err = txn_meta_each(t, key, count_one, &c);
	err = err < 0 ? err : c.err;
	for (size_t i = 0; i < c.n_settled && err == OK; i++) {
		key_of(space, c.settled[i], key);
		err = txn_meta_del(t, key);
	}
	free(c.settled);
	*ret_n = c.n;
	return err;
}

/* In one transaction: it is a copy, and is noted as one. */
static int mark_conflict(struct store *s, uint64_t ino)
{
	struct store_txn *t = NULL;
	struct node n;
	char key[KEY_MAX];
	int err = store_begin(s, &t);

	if (err == OK)
		err = txn_node_get(t, ino, &n);
	if (err == OK) {
		n.flags |= NODE_CONFLICT;
		err = txn_node_put(t, &n);
	}
	if (err == OK) {
		key_of(n.space, ino, key);
		err = txn_meta_put(t, key, bytes_of(NULL, 0));
	}
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static int copy_content(struct store *s, const struct node *from, uint64_t copy)
{
	for (uint64_t done = 0, n = 0; done < from->size; done += n) {
		int err = store_copy_range(s, from->ino, done, copy, done, from->size - done, &n);

		if (err < 0 || n == 0)
			return err;
	}
	return OK;
}

/* Numbered from the second on; whoever has that many has them named after the copy's id, which no other copy has. */
static int name_copy(struct store *s, const struct identity *who, int64_t now_wall, const struct link *at,
	const struct node *copy, struct invalidation *ret_shown)
{
	const uint8_t *end = copy->id.b + sizeof copy->id.b - 4;
	char number[16] = "";
	struct node n;
	int err = ERR_EXISTS;

	*ret_shown = (struct invalidation){ .ino = at->shown_parent };
	for (unsigned try = 0; try <= NUMBERS && err == ERR_EXISTS; try++) {
		if (try == NUMBERS)
			snprintf(number, sizeof number, " %02x%02x%02x%02x", end[0], end[1], end[2], end[3]);
		else if (try > 0)
			snprintf(number, sizeof number, " %u", try + 1);
		ret_shown->name_len =
			copy_name(bytes_of(at->shown, at->shown_len), who, now_wall, number, ret_shown->name);
		err = store_link(s, copy->ino, at->shown_parent, bytes_of(ret_shown->name, ret_shown->name_len), &n);
	}
	return err;
}

static int copy_at(struct store *s, const struct identity *who, int64_t now_wall, const struct link *at, uint64_t ino,
	bool trusted, struct conflict_copy *ret_copy)
{
	struct node from, copy = { .ino = 0 };
	int err = store_getattr(s, ino, &from);

	if (err < 0)
		return err;
	struct node_new fresh = { .kind = from.kind, .owner = from.owner };
	fresh.mode = rights_mode(from.mode, (from.flags & NODE_ACL) != 0);
	fresh.uid = trusted ? from.uid : geteuid();
	fresh.gid = trusted ? from.gid : getegid();
	err = store_create_unnamed(s, at->shown_parent, &fresh, &copy);
	if (err < 0)
		return err;
	uint64_t made = copy.ino;
	store_hold_open(s, made);
	err = copy_content(s, &from, made);
	if (err == OK)
		err = store_setattr(s, made, ATTR_SIZE | ATTR_MTIME, &from, &copy);
	if (err == OK)
		err = name_copy(s, who, now_wall, at, &copy, &ret_copy->shown);
	if (err == OK)
		err = mark_conflict(s, made);
	store_release_open(s, made);
	ret_copy->ino = made;
	ret_copy->change = from.change;
	return err;
}

int apply_copy_conflict(struct store *s, const struct identity *who, int64_t now_wall, uint64_t root, uint64_t ino,
	bool trusted, struct conflict_copy *ret_copy)
{
	struct link at;

	for (unsigned i = 0; i < PLACES; i++) {
		int err = place_of(s, root, ino, &at);

		if (err < 0)
			return err;
		err = copy_at(s, who, now_wall, &at, ino, trusted, ret_copy);
		if (err != ERR_NOT_FOUND)
			return err;
		/* The directory went, after the file was moved out of it: it is looked for where it is now. */
	}
	return ERR_BUSY;
}

/* ---- the same edit on both sides ---- */

static int same_bytes(struct store *s, uint64_t ino, uint64_t off, struct bytes want, const struct slice *slice,
	const uint8_t *hash_key)
{
	uint64_t len = slice ? slice->len : want.len, chunk;
	FREE_AFTER uint8_t *p = malloc(len ? len : 1);
	struct id32 hash;
	size_t got = 0;

	if (!p)
		return ERR_NOMEM;
	int err = store_read(s, ino, off, p, len, &got, &chunk);
	if (err == OK && got == len) {
		if (slice)
			chunk_hash(hash_key, bytes_of(p, len), &hash);
		err = slice ? id32_equal(&hash, &slice->hash) : memcmp(p, want.p, len) == 0;
	}
	secret_wipe(p, len);
	return err == ERR_ABSENT ? 0 : err;
}

int apply_same_edit(const struct content_maker *m, uint64_t ino, const struct remote *r, uint64_t *ret_change)
{
	const struct node_body *b = &r->o.body;
	struct node n;
	uint64_t at = 0;
	int err = store_getattr(m->store, ino, &n);

	if (err < 0 || n.size != b->size)
		return err < 0 && err != ERR_NOT_FOUND ? err : 0;
	*ret_change = n.change;
	if (b->form == CONTENT_INLINE)
		return b->inline_data.len == n.size ? same_bytes(m->store, ino, 0, b->inline_data, NULL, NULL) : 0;
	for (size_t i = 0; i < r->flat.n_slices; i++) {
		const struct slice *s = &r->flat.slices[i];

		/* Only whole chunks that follow each other can be compared by their hashes. */
		if (s->at != at || s->from != 0 || s->len != s->chunk_len)
			return 0;
		if ((err = same_bytes(m->store, ino, at, bytes_of(NULL, 0), s, m->hash_key)) != 1)
			return err;
		at += s->len;
	}
	return at == n.size;
}
