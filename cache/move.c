/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/move.h"
#include <stdlib.h>

/* SOFT_PIECES: new bytes are begun below it; what shares bytes with the last ones may still come. */
enum { MOST_BYTES = 1 << 20, PARTS = 16 /* of a segment */, RUNS = 4 /* of an entry */, SOFT_PIECES = MOVE_PIECES / 4 };

struct run {
	struct place at;
	uint64_t len;
	size_t data; /* where it is in the batch's data */
	bool damaged;
};

struct moved {
	struct owned o;
	size_t run;
};

struct batch {
	struct moved m[MOVE_PIECES];
	struct run run[MOVE_PIECES];
	size_t n, runs;
	uint64_t bytes, most;
	struct buf data;
};

int batch_new(uint64_t segment_size, struct batch **ret_b)
{
	struct batch *b = calloc(1, sizeof *b);
	if (!b)
		return ERR_NOMEM;
	b->most = segment_size / PARTS < MOST_BYTES ? segment_size / PARTS : MOST_BYTES;
	b->data = (struct buf)BUF_INIT_SECRET(b->most);
	*ret_b = b;
	return 0;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	buf_release(&b->data);
	free(b);
}

uint64_t batch_longest(const struct batch *b)
{
	return b->most / RUNS;
}

void batch_clear(struct batch *b)
{
	b->n = b->runs = 0;
	b->bytes = 0;
}

size_t batch_pieces(const struct batch *b)
{
	return b->n;
}

/* The piece begins within the run. */
static bool overlaps(const struct run *r, const struct place *at)
{
	return r->at.segment == at->segment && r->at.pos == at->pos && at->skip >= r->at.skip &&
	       at->skip < r->at.skip + r->len;
}

bool batch_add(struct batch *b, const struct owned *o)
{
	struct run *last = b->runs > 0 ? &b->run[b->runs - 1] : NULL;
	if (last && overlaps(last, &o->p.at)) {
		uint64_t end = o->p.at.skip + o->p.len, had = last->at.skip + last->len;
		uint64_t more = end > had ? end - had : 0;
		if (b->n == MOVE_PIECES || b->bytes + more > b->most)
			return false;
		last->len += more;
		b->bytes += more;
	} else {
		if (b->n >= SOFT_PIECES || b->bytes + o->p.len > (b->n == 0 ? b->most : b->most - b->most / RUNS))
			return false;
		b->run[b->runs++] = (struct run){ .at = o->p.at, .len = o->p.len };
		b->bytes += o->p.len;
	}
	b->m[b->n++] = (struct moved){ .o = *o, .run = b->runs - 1 };
	return true;
}

static bool still_there(struct store *s, const struct owned *o)
{
	struct piece now;
	return index_extent_next(s->index, o->owner, o->p.off, &now) == 0 && now.off == o->p.off &&
	       now.len >= o->p.len && now.at.segment == o->p.at.segment && now.at.pos == o->p.at.pos &&
	       now.at.skip == o->p.at.skip;
}

void batch_check(struct store *s, struct batch *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++)
		if (still_there(s, &b->m[i].o))
			b->m[n++] = b->m[i];
	b->n = n;
}

int batch_read(struct store *s, struct batch *b, size_t *ret_damaged)
{
	size_t n = 0;
	buf_clear(&b->data);
	for (size_t i = 0; i < b->runs; i++) {
		struct run *r = &b->run[i];
		uint8_t *p;
		r->data = b->data.len;
		int err = buf_grow(&b->data, (size_t)r->len, &p);
		if (err == 0)
			err = segments_read(s->segments, &r->at, p, (size_t)r->len);
		r->damaged = err == ERR_TAMPERED || err == ERR_CORRUPT || err == ERR_IO; /* a bad sector, too */
		if (r->damaged)
			b->data.len = r->data;
		else if (err < 0)
			return err;
	}
	for (size_t i = 0; i < b->n; i++)
		if (!b->run[b->m[i].run].damaged)
			b->m[n++] = b->m[i];
	*ret_damaged += b->n - n;
	b->n = n;
	return 0;
}

/* Puts the bytes of a run into the entry before its first piece that is still there. */
static int stage(struct store_txn *t, struct batch *b, const struct moved *m, size_t *in_entry, uint64_t *at)
{
	const struct run *r = &b->run[m->run];
	if (*in_entry != m->run) {
		int err = txn_add_data(t, bytes_of(b->data.data + r->data, (size_t)r->len), at);
		if (err < 0)
			return err;
		*in_entry = m->run;
	}
	return txn_stage(t, &(struct op){ .type = OP_EXTENT_DATA,
				    .ino = m->o.owner,
				    .off = m->o.p.off,
				    .len = m->o.p.len,
				    .from = *at + (m->o.p.at.skip - r->at.skip) });
}

int batch_write(struct store *s, struct batch *b)
{
	struct store_txn *t;
	size_t in_entry = SIZE_MAX;
	uint64_t at = 0;
	int err = txn_call_inside(s, &t);
	if (err < 0)
		return err;
	t->frees = false; /* in the end it does, but it takes first: not what is kept for deleting */
	t->keeps_house = true;
	for (size_t i = 0; err == 0 && i < b->n; i++)
		if (still_there(s, &b->m[i].o))
			err = stage(t, b, &b->m[i], &in_entry, &at);
	return txn_end(t, err);
}
