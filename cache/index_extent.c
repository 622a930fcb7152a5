/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents are byte-exact pieces that never overlap within an owner. What a change covers goes first, pieces that cross its
 * ends are cut, then the new piece goes in, joined with the one before it if they lie side by side.
 *
 * A file with holes is asked again and again how much of it is none. So its sum is kept once it was made, and follows the pieces.
 * Files mostly grow at their end. So the last piece of those written to last is known, and what comes behind it has nothing to clear.
 */
#include "cache/query.h"

enum { END = INT64_MAX };
enum { FEW = 32 }; /* pieces read, and dropped, at once */

static struct extent_sum *sum_slot(struct index *ix, uint64_t owner)
{
	return &ix->sums[owner % EXTENT_SUMS];
}

/* A piece of `owner` came, went or changed its length, or is about to: after an error the caller rolls back. */
static void count(struct index *ix, uint64_t owner, int64_t delta)
{
	struct extent_sum *sum = sum_slot(ix, owner);
	if (sum->owner == owner)
		sum->bytes += (uint64_t)delta;
}

void extent_forget(struct index *ix)
{
	memset(ix->sums, 0, sizeof ix->sums);
	memset(ix->lasts, 0, sizeof ix->lasts);
}

/* The last piece of `owner`, if it is known. */
static struct piece *last_of(struct index *ix, uint64_t owner)
{
	struct extent_last *l = &ix->lasts[owner % EXTENT_LASTS];
	return l->owner == owner ? &l->p : NULL;
}

static void forget_last(struct index *ix, uint64_t owner)
{
	if (last_of(ix, owner))
		ix->lasts[owner % EXTENT_LASTS].owner = 0;
}

static void get_piece(struct index *ix, enum query q, struct piece *p)
{
	p->off = query_u64(ix, q, 0);
	p->len = query_u64(ix, q, 1);
	p->at.segment = query_u64(ix, q, 2);
	p->at.pos = query_u64(ix, q, 3);
	p->at.run = query_u64(ix, q, 4);
	p->at.skip = query_u64(ix, q, 5);
}

static uint64_t piece_end(const struct piece *p)
{
	return p->off + p->len;
}

static void live(struct index *ix, const struct place *at, int64_t delta)
{
	if (at->segment != 0 && at->segment != PLACE_PENDING && delta != 0)
		ix->config.live(ix->config.ctx, at->segment, delta);
}

/* The piece that begins at or before off. */
static int piece_before(struct index *ix, uint64_t owner, uint64_t off, struct piece *p)
{
	int err = query_row(ix, Q_EXTENT_BEFORE, "ii", owner, off);
	if (err < 0)
		return err;
	get_piece(ix, Q_EXTENT_BEFORE, p);
	query_done(ix, Q_EXTENT_BEFORE);
	return 0;
}

static int piece_from(struct index *ix, uint64_t owner, uint64_t off, uint64_t end, struct piece *p)
{
	int err = query_row(ix, Q_EXTENT_FROM, "iii", owner, off, end);
	if (err < 0)
		return err;
	get_piece(ix, Q_EXTENT_FROM, p);
	query_done(ix, Q_EXTENT_FROM);
	return 0;
}

static int piece_add(struct index *ix, uint64_t owner, const struct piece *p)
{
	live(ix, &p->at, (int64_t)p->len);
	count(ix, owner, (int64_t)p->len);
	struct piece *last = last_of(ix, owner);
	if (last && p->off >= last->off)
		*last = *p;
	return query_run(
		ix, Q_EXTENT_ADD, "iiiiiii", owner, p->off, p->len, p->at.segment, p->at.pos, p->at.run, p->at.skip);
}

static int piece_set_len(struct index *ix, uint64_t owner, const struct piece *p, uint64_t len)
{
	live(ix, &p->at, (int64_t)(len - p->len));
	count(ix, owner, (int64_t)(len - p->len));
	struct piece *last = last_of(ix, owner);
	if (last && p->off == last->off)
		last->len = len;
	return query_run(ix, Q_EXTENT_LEN, "iii", len, owner, p->off);
}

static void cut_front(struct piece *p, uint64_t to)
{
	p->at.skip += to - p->off;
	p->len -= to - p->off;
	p->off = to;
}

/* A chunk that loses a reference may be garbage: housekeeping looks. */
static int dropped(struct index *ix, const struct piece *p)
{
	return p->at.segment == 0 ? index_loose_put(ix, p->at.pos) : 0;
}

/* Cuts what of the piece, which begins before off, lies in [off, end). *p becomes what stays of it before off. */
static int cut_piece(struct index *ix, uint64_t owner, struct piece *p, uint64_t off, uint64_t end)
{
	struct piece rest = *p;
	uint64_t reach = piece_end(p);
	if (reach <= off)
		return 0;
	int err = piece_set_len(ix, owner, p, off - p->off);
	p->len = off - p->off;
	if (err < 0 || reach <= end)
		return err < 0 ? err : dropped(ix, &rest);
	cut_front(&rest, end);
	return piece_add(ix, owner, &rest);
}

/* Drops pieces that stand side by side, the last one first, but for what of it lies at or after end. */
static int drop_pieces(struct index *ix, uint64_t owner, const struct piece *p, size_t n, uint64_t end)
{
	for (size_t i = 0; i < n; i++) {
		live(ix, &p[i].at, -(int64_t)p[i].len);
		count(ix, owner, -(int64_t)p[i].len);
	}
	forget_last(ix, owner);
	int err = query_run(ix, Q_EXTENT_DEL, "iii", owner, p[n - 1].off, p[0].off);
	for (size_t i = 0; err == 0 && i < n; i++)
		err = dropped(ix, &p[i]);
	if (err < 0 || piece_end(&p[0]) <= end)
		return err;
	struct piece rest = p[0];
	cut_front(&rest, end);
	return piece_add(ix, owner, &rest);
}

/* The last pieces that begin before end, from the last on: FEW, or less if there are no more or one begins before off. */
static int few_below(struct index *ix, uint64_t owner, uint64_t off, uint64_t end, struct piece p[FEW], size_t *ret_n)
{
	size_t n = 0;
	int err = query_row(ix, Q_EXTENT_BELOW, "ii", owner, end);
	while (err == 0) {
		get_piece(ix, Q_EXTENT_BELOW, &p[n++]);
		err = n < FEW && p[n - 1].off >= off ? query_next(ix, Q_EXTENT_BELOW) : ERR_NOT_FOUND;
	}
	if (n > 0)
		query_done(ix, Q_EXTENT_BELOW);
	*ret_n = n;
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* Looks for the last piece of a file to which something is about to be added at its end. */
static int learn_last(struct index *ix, uint64_t owner, uint64_t off)
{
	struct extent_last *l = &ix->lasts[owner % EXTENT_LASTS];
	if (l->owner == owner || !held_ends_by(ix, owner, off))
		return 0;
	l->owner = 0;
	int err = query_row(ix, Q_EXTENT_BELOW, "ii", owner, (uint64_t)END);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	l->p.off = l->p.len = 0;
	if (err == 0) {
		get_piece(ix, Q_EXTENT_BELOW, &l->p);
		query_done(ix, Q_EXTENT_BELOW);
	}
	l->owner = owner;
	return 0;
}

/* *ret_before is the piece that begins before off, as it is then; len 0: there is none. */
static int clear(struct index *ix, uint64_t owner, uint64_t off, uint64_t len, struct piece *ret_before)
{
	uint64_t end = len > END - off ? END : off + len;
	size_t n = FEW;
	const struct piece *last = last_of(ix, owner);
	int err = 0;
	ret_before->len = 0;
	if (last && off >= piece_end(last)) {
		*ret_before = *last;
		return 0;
	}
	while (err == 0 && n == FEW && ret_before->len == 0) {
		struct piece p[FEW];
		err = few_below(ix, owner, off, end, p, &n);
		bool before = err == 0 && n > 0 && p[n - 1].off < off;
		if (err == 0 && n > before)
			err = drop_pieces(ix, owner, p, n - before, end);
		if (err == 0 && before) {
			err = cut_piece(ix, owner, &p[n - 1], off, end);
			*ret_before = p[n - 1];
		}
	}
	return err;
}

int index_extent_clear(struct index *ix, uint64_t owner, uint64_t off, uint64_t len)
{
	struct piece before;
	return clear(ix, owner, off, len, &before);
}

static bool adjoins(const struct piece *a, const struct piece *b)
{
	return piece_end(a) == b->off && a->at.segment == b->at.segment && a->at.pos == b->at.pos &&
	       a->at.run == b->at.run && a->at.skip + a->len == b->at.skip;
}

int index_extent_put(struct index *ix, uint64_t owner, const struct piece *p)
{
	struct piece before;
	int err = learn_last(ix, owner, p->off);
	if (err == 0)
		err = clear(ix, owner, p->off, p->len, &before);
	if (err < 0)
		return err;
	if (before.len > 0 && adjoins(&before, p))
		return piece_set_len(ix, owner, &before, before.len + p->len);
	return piece_add(ix, owner, p);
}

/* Moving up goes from the far end and moving down from the near one, so that no two pieces meet. */
int index_extent_shift(struct index *ix, uint64_t owner, uint64_t from, int64_t delta)
{
	enum query q = delta > 0 ? Q_EXTENT_LAST : Q_EXTENT_FROM;
	forget_last(ix, owner);
	for (uint64_t low = from, high = END;;) {
		struct piece p;
		int err = query_row(ix, q, "iii", owner, low, high);
		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
		get_piece(ix, q, &p);
		query_done(ix, q);
		err = query_run(ix, Q_EXTENT_MOVE, "iii", p.off + (uint64_t)delta, owner, p.off);
		if (err < 0)
			return err;
		live(ix, &p.at, (int64_t)p.len); /* for a survey that goes by */
		live(ix, &p.at, -(int64_t)p.len);
		if (delta > 0)
			high = p.off;
		else
			low = p.off + 1;
	}
}

int index_extent_share(struct index *ix, uint64_t owner, uint64_t off, uint64_t len, uint64_t to, uint64_t to_off)
{
	int err = index_extent_clear(ix, to, to_off, len);
	for (uint64_t at = off, end = off + len; err == 0 && at < end;) {
		struct piece p;
		err = index_extent_next(ix, owner, at, &p);
		if (err < 0 || p.off >= end)
			break;
		if (piece_end(&p) > end)
			p.len = end - p.off;
		at = piece_end(&p);
		p.off = p.off - off + to_off;
		err = piece_add(ix, to, &p);
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

int index_extent_next(struct index *ix, uint64_t owner, uint64_t off, struct piece *ret)
{
	int err = piece_before(ix, owner, off, ret);
	if (err == 0 && piece_end(ret) > off) {
		if (ret->off < off)
			cut_front(ret, off);
		return 0;
	}
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	return piece_from(ix, owner, off, END, ret);
}

int index_extents(
	struct index *ix, uint64_t owner, uint64_t off, uint64_t len, struct piece *p, size_t max, size_t *ret_n)
{
	uint64_t end = len > END - off ? END : off + len;
	size_t n = 0;
	int err = index_extent_next(ix, owner, off, &p[0]);
	if (err < 0 || p[0].off >= end) {
		*ret_n = 0;
		return err == ERR_NOT_FOUND ? 0 : err;
	}
	for (n = 1; n < max && piece_end(&p[n - 1]) < end; n++) {
		err = n == 1 ? query_row(ix, Q_EXTENT_FROM, "iii", owner, piece_end(&p[0]), end)
			     : query_next(ix, Q_EXTENT_FROM);
		if (err < 0)
			break;
		get_piece(ix, Q_EXTENT_FROM, &p[n]);
	}
	if (n > 1)
		query_done(ix, Q_EXTENT_FROM);
	if (piece_end(&p[n - 1]) > end)
		p[n - 1].len = end - p[n - 1].off;
	*ret_n = n;
	return err == ERR_NOT_FOUND ? 0 : err;
}

int index_extent_walk(struct index *ix, uint64_t *owner, uint64_t *off, struct owned *o, size_t max, size_t *ret_n)
{
	size_t n = 0;
	int err = query_row(ix, Q_EXTENT_WALK, "ii", *owner, *off);
	while (err == 0 && n < max) {
		get_piece(ix, Q_EXTENT_WALK, &o[n].p);
		o[n++].owner = query_u64(ix, Q_EXTENT_WALK, 6);
		if (n < max)
			err = query_next(ix, Q_EXTENT_WALK);
	}
	query_done(ix, Q_EXTENT_WALK);
	if (err < 0 && err != ERR_NOT_FOUND)
		return err;
	if (n > 0) {
		*owner = o[n - 1].owner;
		*off = o[n - 1].p.off;
	}
	*ret_n = n;
	return 0;
}

int index_extent_sum(struct index *ix, uint64_t owner, uint64_t *ret_bytes)
{
	struct extent_sum *sum = sum_slot(ix, owner);
	if (sum->owner != owner) {
		int err = query_row(ix, Q_EXTENT_SUM, "i", owner);
		if (err < 0)
			return err;
		*sum = (struct extent_sum){ owner, query_u64(ix, Q_EXTENT_SUM, 0) };
		query_done(ix, Q_EXTENT_SUM);
	}
	*ret_bytes = sum->bytes;
	return 0;
}

int index_chunk_used(struct index *ix, uint64_t chunk, uint64_t *ret_owner)
{
	int err = query_row(ix, Q_EXTENT_CHUNK, "ii", chunk, *ret_owner);
	if (err < 0)
		return err;
	*ret_owner = query_u64(ix, Q_EXTENT_CHUNK, 0);
	query_done(ix, Q_EXTENT_CHUNK);
	return 0;
}
