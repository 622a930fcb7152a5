/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/plain_writer.h"

#include <stdlib.h>
#include "crypto/hash.h"
#include "server/rpc.h"
#include "tests/lib/params.h"

#define FILLER 180 /* of a blob, at most */

static const char *const methods[PLAIN_WHATS] = { "push", "membership.append", "epoch.begin", "deks.rewrap",
	"epoch.complete" };

void plain_writer_init(struct plain_writer *w, struct plain_place *place, uint32_t no, bool keeper, uint64_t seed)
{
	*w = (struct plain_writer){ .place = place, .no = no, .keeper = keeper, .seed = seed, .epoch = 1 };
	party_init(&w->me, "writes");
	w->ucan = plain_place_ucan(place, &w->me);
}

static void drop_first(struct plain_writer *w)
{
	buf_release(&w->pending[0].params);
	memmove(&w->pending[0], &w->pending[1], --w->n_pending * sizeof w->pending[0]);
}

void plain_writer_release(struct plain_writer *w)
{
	while (w->n_pending)
		drop_first(w);
	plain_uploader_release(&w->files);
	party_release(&w->me);
	free(w->ucan);
	free(w->cursors);
	free(w->records);
}

/* A deed has its cursor, which is told only once to the place. */
static void place_deed(struct plain_writer *w, uint64_t deed, uint64_t cursor)
{
	if (!w->cursors[deed])
		plain_place_took(w->place, cursor, plain_deed(w->no, deed));
	else
		assert_int_equal(w->cursors[deed], cursor);
	w->cursors[deed] = cursor;
}

/* --- what it does --- */

static struct plain_op *add_op(struct plain_writer *w, enum plain_what what)
{
	struct plain_op *o = &w->pending[w->n_pending];

	assert_true(w->n_pending++ < PLAIN_WINDOW);
	*o = (struct plain_op){ .what = what, .deed = ++w->deeds };
	w->cursors = realloc(w->cursors, (w->deeds + 1) * sizeof *w->cursors);
	assert_non_null(w->cursors);
	w->cursors[w->deeds] = 0;
	return o;
}

/* {space, ucan} and, after them, n more. */
static struct params *begin_params(const struct plain_writer *w, struct params *p, size_t n)
{
	params_begin(p, 2 + n);
	params_text(p, "space", w->place->text);
	params_text(p, "ucan", w->ucan);
	return p;
}

static void end_params(struct plain_op *o, struct params *p)
{
	assert_int_equal(cbor_enc_end(&p->e), 0);
	o->params = p->b;
}

/* What is written: whose deed it is, then bytes that follow from that. */
static void put_blob(const struct plain_writer *w, uint64_t deed, struct buf *b)
{
	const struct id16 id = plain_deed(w->no, deed);

	assert_int_equal(buf_put(b, id.b, sizeof id.b), 0);
	for (uint64_t i = 0; i < deed * 7 % FILLER; i++)
		assert_int_equal(buf_put_u8(b, (uint8_t)(deed + i)), 0);
}

static void put_blob_param(const struct plain_writer *w, struct params *p, const char *key, uint64_t deed)
{
	struct buf b = BUF_INIT(16 + FILLER);

	put_blob(w, deed, &b);
	params_bytes(p, key, b.data, b.len);
	buf_release(&b);
}

static void put_dek(struct params *p, const struct id16 *id, uint32_t epoch)
{
	uint8_t dek[PLAIN_PLACE_DEK];

	plain_place_dek(id, epoch, dek);
	params_bytes(p, "dek", dek, sizeof dek);
}

static size_t new_record(struct plain_writer *w)
{
	w->records = realloc(w->records, (w->n_records + 1) * sizeof *w->records);
	assert_non_null(w->records);
	w->records[w->n_records] = (struct plain_record){ 0 };
	return w->n_records++;
}

/* One that nothing is under way for; NULL if chance finds none. The first is the files', and stays as it is. */
static struct plain_record *old_record(struct plain_writer *w)
{
	struct plain_record *r = w->n_records > 1 ? &w->records[1 + unit_random(&w->seed) % (w->n_records - 1)] : NULL;

	return r && r->cursor && !r->under_way ? r : NULL;
}

static void put_change(struct plain_writer *w, struct params *p, struct plain_op *o)
{
	struct plain_record *r = unit_random(&w->seed) % 3 == 0 ? old_record(w) : NULL;
	const size_t i = r ? (size_t)(r - w->records) : new_record(w);
	const struct id16 id = plain_deed(w->no, i);
	const uint64_t expected = r ? r->cursor : 0;
	char text[ID16_TEXT_SIZE];

	r = &w->records[i];
	*r = (struct plain_record){ .deed = o->deed,
		.under_way = true,
		.epoch = w->epoch,
		.deleted = expected && !r->deleted && unit_random(&w->seed) % 4 == 0 };
	o->records[o->n_records++] = i;
	id16_format(&id, text);
	cbor_put_map(&p->e, r->deleted ? 2 : 4);
	params_text(p, "id", text);
	params_uint(p, "expected_cursor", expected);
	if (!r->deleted) {
		put_blob_param(w, p, "blob", o->deed);
		put_dek(p, &id, r->epoch);
	}
}

static void make_push(struct plain_writer *w)
{
	struct plain_op *o = add_op(w, PLAIN_PUSH);
	const size_t n = 1 + unit_random(&w->seed) % PLAIN_CHANGES;
	struct params p;

	begin_params(w, &p, 1);
	params_array(&p, "changes", n);
	for (size_t i = 0; i < n; i++)
		put_change(w, &p, o);
	end_params(o, &p);
}

static void make_entry(struct plain_writer *w)
{
	struct plain_op *o = add_op(w, PLAIN_MEMBER);
	struct buf payload = BUF_INIT(16 + FILLER);
	struct params p;

	put_blob(w, o->deed, &payload);
	begin_params(w, &p, w->entries ? 4 : 3);
	params_uint(&p, "expected_version", w->entries);
	if (w->entries)
		params_bytes(&p, "prev_hash", w->last.b, sizeof w->last.b);
	hash_sha256(buf_bytes(&payload), &w->last);
	params_bytes(&p, "entry_hash", w->last.b, sizeof w->last.b);
	params_bytes(&p, "payload", payload.data, payload.len);
	end_params(o, &p);
	o->seq = ++w->entries;
	buf_release(&payload);
}

static void make_epoch_op(struct plain_writer *w, enum plain_what what)
{
	struct plain_op *o = add_op(w, what);
	struct params p;

	begin_params(w, &p, 1);
	params_uint(&p, "epoch", w->epoch);
	end_params(o, &p);
}

static void make_rewrap(struct plain_writer *w)
{
	struct plain_op *o = add_op(w, PLAIN_REWRAP);
	struct params p;

	for (size_t i = 0; i < PLAIN_CHANGES; i++) {
		struct plain_record *r = old_record(w);

		if (!r || r->deleted)
			continue;
		r->under_way = true;
		r->epoch = w->epoch;
		o->records[o->n_records++] = (size_t)(r - w->records);
	}
	begin_params(w, &p, 1);
	params_array(&p, "deks", o->n_records);
	for (size_t i = 0; i < o->n_records; i++) {
		const struct id16 id = plain_deed(w->no, o->records[i]);
		char text[ID16_TEXT_SIZE];

		id16_format(&id, text);
		cbor_put_map(&p.e, 2);
		params_text(&p, "id", text);
		put_dek(&p, &id, w->epoch);
	}
	end_params(o, &p);
}

/* The next thing to do: one or some that belong together. */
static void make_something(struct plain_writer *w)
{
	const uint64_t chance = unit_random(&w->seed) % 16;

	if (chance == 0 && w->keeper) {
		make_entry(w);
	} else if (chance == 1 && w->keeper && !w->turning) {
		w->turning = true;
		w->epoch++;
		make_epoch_op(w, PLAIN_EPOCH_BEGIN);
		make_rewrap(w);
		make_epoch_op(w, PLAIN_EPOCH_COMPLETE);
	} else {
		make_push(w);
	}
}

/* --- what comes of it --- */

static void fail_with(const struct plain_op *o, const struct reply *r)
{
	struct bytes why = r->f.code;

	if (!r->f.is_error && param_text(r->f.value, "error", 64, &why) < 0)
		why = bytes_str("no error");
	fail_msg("%s, deed %llu%s: %.*s", methods[o->what], (unsigned long long)o->deed, o->again ? " again" : "",
		(int)why.len, (const char *)why.p);
}

static bool is_accepted(const struct plain_op *o, const struct reply *r)
{
	uint64_t epoch;

	switch (o->what) {
	case PLAIN_PUSH:
		return reply_ok(r);
	case PLAIN_MEMBER:
		return !r->f.is_error && reply_uint(r, "chain_seq") == o->seq;
	case PLAIN_EPOCH_BEGIN:
		return !r->f.is_error && param_uint(r->f.value, "epoch", &epoch) == 0;
	case PLAIN_REWRAP:
		return reply_ok(r) && reply_uint(r, "count") == o->n_records;
	default:
		return !r->f.is_error;
	}
}

/* What was sent before and is there already. */
static bool is_refused_twin(const struct plain_op *o, const struct reply *r)
{
	return o->again && o->what != PLAIN_REWRAP &&
	       reply_refused(r, o->what == PLAIN_EPOCH_BEGIN ? "epoch_conflict" : "conflict");
}

static void settle(struct plain_writer *w, const struct plain_op *o, const struct reply *r)
{
	const bool accepted = is_accepted(o, r);

	if (!accepted && !is_refused_twin(o, r))
		fail_with(o, r);
	if (accepted && o->what == PLAIN_PUSH)
		place_deed(w, o->deed, reply_uint(r, "cursor"));
	for (size_t i = 0; i < o->n_records && accepted; i++) {
		w->records[o->records[i]].under_way = false;
		if (o->what == PLAIN_PUSH)
			w->records[o->records[i]].cursor = w->cursors[o->deed];
	}
	w->turning &= o->what != PLAIN_EPOCH_COMPLETE;
	w->done[o->what]++;
	w->there_already += !accepted;
}

/* One answer; false if the relay is gone. They come in the order of the requests. */
static bool take_answer(struct plain_writer *w, struct rpc_client *c)
{
	struct reply r;
	const int code = rpc_try_reply(c, &r);

	if (code > 0)
		fail_msg("the relay closed with %d", code);
	if (code)
		return false;
	settle(w, &w->pending[0], &r);
	drop_first(w);
	reply_release(&r);
	return true;
}

static void send_op(struct rpc_client *c, const struct plain_op *o)
{
	rpc_send_request(c, methods[o->what], buf_bytes(&o->params));
}

static bool take_all(struct plain_writer *w, struct rpc_client *c)
{
	while (w->n_pending)
		if (!take_answer(w, c))
			return false;
	return true;
}

static bool send_again(struct plain_writer *w, struct rpc_client *c)
{
	for (size_t i = 0; i < w->n_pending; i++) {
		w->pending[i].again = true;
		send_op(c, &w->pending[i]);
	}
	return take_all(w, c);
}

static bool work(struct plain_writer *w, struct rpc_client *c, size_t deeds)
{
	for (const uint64_t end = w->deeds + deeds; w->deeds < end;) {
		const size_t had = w->n_pending;

		make_something(w);
		for (size_t i = had; i < w->n_pending; i++)
			send_op(c, &w->pending[i]);
		while (w->n_pending > PLAIN_WINDOW / 2)
			if (!take_answer(w, c))
				return false;
	}
	return take_all(w, c);
}

/* --- what is there --- */

struct heard {
	uint64_t records, entries, rows, count, commits, begun;
};

static void hear_record(struct plain_writer *w, struct bytes value, struct heard *h)
{
	struct buf wanted = BUF_INIT(16 + FILLER);
	uint8_t dek[PLAIN_PLACE_DEK];
	struct plain_record *r;
	struct bytes got;
	struct id16 id;
	uint64_t cursor, i = 0;
	bool deleted;

	assert_int_equal(param_id(value, "id", &id), 0);
	if (id.b[0] != (uint8_t)w->no)
		return;
	for (int at = 8; at < 16; at++)
		i = i << 8 | id.b[at];
	assert_true(i < w->n_records);
	r = &w->records[i];
	assert_int_equal(param_uint(value, "cursor", &cursor), 0);
	assert_int_equal(param_bool_opt(value, "deleted", &deleted), 0);
	assert_int_equal(deleted, r->deleted);
	place_deed(w, r->deed, cursor);
	r->cursor = cursor;
	r->under_way = false;
	h->records++;
	if (deleted)
		return;
	put_blob(w, r->deed, &wanted);
	assert_int_equal(param_bytes(value, "blob", FRAME_MAX, &got), 0);
	unit_assert_bytes(got, buf_bytes(&wanted));
	plain_place_dek(&id, r->epoch, dek);
	assert_int_equal(param_bytes(value, "dek", FRAME_MAX, &got), 0);
	unit_assert_bytes(got, bytes_of(dek, sizeof dek));
	buf_release(&wanted);
}

static void hear_entry(struct plain_writer *w, struct bytes value, struct heard *h)
{
	struct buf wanted = BUF_INIT(16 + FILLER);
	uint64_t cursor, seq, deed = 0;
	struct bytes payload, item;
	struct cbor_dec d;
	size_t n;

	if (!w->keeper)
		return;
	assert_int_equal(param_uint(value, "cursor", &cursor), 0);
	assert_int_equal(param_array(value, "entries", 1, &d, &n), 0);
	item = cbor_get_raw(&d);
	assert_int_equal(param_uint(item, "chain_seq", &seq), 0);
	assert_int_equal(param_bytes(item, "payload", FRAME_MAX, &payload), 0);
	assert_true(payload.len >= 16);
	for (int at = 8; at < 16; at++)
		deed = deed << 8 | payload.p[at];
	assert_true(deed <= w->deeds);
	put_blob(w, deed, &wanted);
	unit_assert_bytes(payload, buf_bytes(&wanted));
	buf_release(&wanted);
	place_deed(w, deed, cursor);
	assert_true(seq <= w->entries);
	h->entries++;
}

static void hear_file(struct plain_writer *w, struct bytes value)
{
	uint64_t cursor, size;
	struct bytes dek;
	struct id16 id;

	assert_int_equal(param_id(value, "id", &id), 0);
	assert_int_equal(param_uint(value, "cursor", &cursor), 0);
	assert_int_equal(param_uint(value, "size", &size), 0);
	assert_int_equal(param_bytes(value, "dek", FRAME_MAX, &dek), 0);
	(void)plain_uploader_heard(&w->files, &id, cursor, size, dek);
}

static void hear_begin(struct plain_writer *w, struct bytes value)
{
	uint64_t epoch, rewrap;

	assert_int_equal(param_uint(value, "cursor", &w->pulled), 0);
	if (!w->keeper)
		return;
	assert_int_equal(param_uint(value, "key_generation", &epoch), 0);
	assert_int_equal(epoch, w->epoch);
	assert_int_equal(param_uint(value, "rewrap_epoch", &rewrap), ERR_NOT_FOUND);
}

static void hear(struct plain_writer *w, const struct frame *f, struct heard *h)
{
	if (cbor_text_is(f->name, "pull.begin")) {
		hear_begin(w, f->value);
		return;
	}
	if (cbor_text_is(f->name, "pull.commit")) {
		assert_int_equal(param_uint(f->value, "count", &h->count), 0);
		assert_int_equal(h->count, h->rows);
		h->commits++;
		return;
	}
	h->rows++;
	if (cbor_text_is(f->name, "pull.record"))
		hear_record(w, f->value, h);
	else if (cbor_text_is(f->name, "pull.membership"))
		hear_entry(w, f->value, h);
	else
		hear_file(w, f->value);
}

/* With nothing under way. False if the relay is gone. */
static bool pull(struct plain_writer *w, struct rpc_client *c, uint64_t since, struct heard *ret)
{
	struct params p;
	struct reply r;
	struct frame f;

	*ret = (struct heard){ 0 };
	params_begin(&p, 1);
	params_array(&p, "spaces", 1);
	cbor_put_map(&p.e, 3);
	params_text(&p, "id", w->place->text);
	params_uint(&p, "since", since);
	params_text(&p, "ucan", w->ucan);
	assert_int_equal(cbor_enc_end(&p.e), 0);
	rpc_send_request(c, "pull", buf_bytes(&p.b));
	buf_release(&p.b);
	if (rpc_try_reply(c, &r))
		return false;
	assert_false(r.f.is_error);
	for (size_t at = 0; reply_chunk(&r, &at, &f);)
		hear(w, &f, ret);
	assert_int_equal(ret->commits, 1);
	reply_release(&r);
	return true;
}

/* --- rounds --- */

static bool join(struct plain_writer *w, struct rpc_client *c, uint16_t port, const char *url)
{
	if (!rpc_try_open(c, port))
		return false;
	rpc_auth(c, &w->me, url);
	return true;
}

void plain_writer_begin(struct plain_writer *w, uint16_t port, const char *url)
{
	const struct id16 first = plain_deed(w->no, 0);
	struct rpc_client c;

	plain_uploader_init(&w->files, w->place, w->no, &w->me, url, &first);
	assert_true(join(w, &c, port, url));
	make_push(w);
	send_op(&c, &w->pending[0]);
	assert_true(take_all(w, &c));
	rpc_close(&c);
}

void plain_writer_round(struct plain_writer *w, uint16_t port, const char *url, size_t deeds, bool there)
{
	struct heard h;
	struct rpc_client c;
	bool done;

	if (!join(w, &c, port, url)) {
		assert_false(there);
		return;
	}
	plain_uploader_start(&w->files, port);
	done = send_again(w, &c) && pull(w, &c, w->pulled, &h) && work(w, &c, deeds);
	if (there)
		assert_true(done);
	plain_uploader_stop(&w->files, there);
	rpc_close(&c);
}

void plain_writer_check(struct plain_writer *w, uint16_t port, const char *url)
{
	uint64_t live = 0;
	struct rpc_client c;
	struct heard h;

	assert_int_equal(w->n_pending, 0);
	assert_true(join(w, &c, port, url));
	assert_true(pull(w, &c, w->pulled, &h));
	assert_true(pull(w, &c, 0, &h));
	rpc_close(&c);
	for (size_t i = 0; i < w->n_records; i++)
		live += !w->records[i].deleted;
	assert_int_equal(h.records, live);
	if (w->keeper)
		assert_int_equal(h.entries, w->entries);
	plain_uploader_check(&w->files, port);
}
