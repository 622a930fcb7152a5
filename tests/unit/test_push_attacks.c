/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a malicious member, or a stranger with a token, tries against the relay's methods: to keep its one writer busy, to
 * store what no reader can take or believes, to go on reading after a removal, to learn which spaces exist.
 */
#include "tests/lib/push_scene.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "server/cut.h"
#include "server/reader.h"
#include "server/rpc.h"
#include "server/writer.h"
#include "wire/chunk.h"
#include "wire/record.h"

static struct answer push(struct push_scene *x, struct caller *c, const struct sealed *records, size_t n,
	const struct sealed *chunks, size_t n_chunks)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(&params, &x->space, ++x->number, -1, records, n, chunks, n_chunks, bytes_of(NULL, 0));
	return bench_call(&x->r, c, "coffer.push", &params);
}

static void expect_ok(struct answer a)
{
	assert_true(answer_ok(&a));
	answer_release(&a);
}

static void expect_refused(struct answer a, const char *code)
{
	if (!answer_refused(&a, code))
		fail_msg("not refused with %s", code);
	answer_release(&a);
}

static void apply(struct push_scene *x, struct caller *c, const struct buf *entry)
{
	expect_ok(bench_append(&x->r, c, &x->space, entry));
	assert_int_equal(log_apply(x->s.log, buf_bytes(entry), LOG_VERIFY), 0);
}

static void join(struct push_scene *x, const struct party *who, enum role role)
{
	struct invite_params p = { .role = role, .uses = 1, .relay = PARTY_RELAY, .name = "x" };
	struct entry_maker m = party_maker(&x->alice, x->s.log);
	CLEANUP(buf_release) struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct invite_keys k;

	p.expires = (uint64_t)relay_now(&x->r.relay) + 600;
	party_keys(&k);
	assert_int_equal(entry_make_invite(&m, x->s.ring, &p, &k, &b), 0);
	apply(x, x->a, &b);
	buf_clear(&b);
	party_join_blob(who, x->s.log, &k, &b);
	apply(x, x->b, &b);
	invite_keys_release(&k);
}

/* Any bytes as an index chunk: the relay does not open it. */
static void index_naming(const struct id16 *space, const struct id16 *named, size_t n, struct sealed *ret)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(CHUNK_MAX_BLOB);

	ret->id = sealed_id();
	ret->blob = (struct buf)BUF_INIT(CHUNK_MAX_BLOB);
	assert_int_equal(chunk_put_header(&header, space, &ret->id, bytes_of(named, n * sizeof *named)), 0);
	assert_int_equal(chunk_put(&ret->blob, buf_bytes(&header), bytes_str("x")), 0);
}

#define WIDTH 64
#define LEVELS 5

static int compare_ids(const void *a, const void *b)
{
	return id16_compare(a, b);
}

/* 320 small index chunks, each naming all of the level below: a thousand million ways through them. */
static void index_chunks_that_name_each_other(void **state)
{
	struct push_scene *x = *state;
	struct id16 below[WIDTH];
	struct sealed level[WIDTH], file;

	alarm(60);
	for (size_t i = 0; i < WIDTH; i++) {
		sealed_chunk(&x->s, NULL, 16, &level[i]);
		below[i] = level[i].id;
	}
	for (size_t depth = 0;; depth++) {
		expect_ok(push(x, x->a, NULL, 0, level, WIDTH));
		for (size_t i = 0; i < WIDTH; i++)
			sealed_release(&level[i]);
		qsort(below, WIDTH, sizeof *below, compare_ids);
		if (depth == LEVELS - 1)
			break;
		for (size_t i = 0; i < WIDTH; i++)
			index_naming(&x->space, below, WIDTH, &level[i]);
		for (size_t i = 0; i < WIDTH; i++)
			below[i] = level[i].id;
	}
	sealed_record(&x->alice, &x->s, (struct sealed_params){ .chunks = below, .n_chunks = WIDTH }, &file);
	expect_ok(push(x, x->a, &file, 1, NULL, 0));
	alarm(0);
	sealed_release(&file);
}

/* Deeper than a file can be: refused as such, without undoing the batch it stands in. */
static void index_chunks_without_end(void **state)
{
	struct push_scene *x = *state;
	struct sealed chain[7], file, good;
	struct buf params[2] = { BUF_INIT(FRAME_MAX), BUF_INIT(FRAME_MAX) };
	struct answer a[2];
	uint64_t commits;

	sealed_chunk(&x->s, NULL, 16, &chain[0]);
	for (size_t i = 1; i < COUNT(chain); i++)
		index_naming(&x->space, &chain[i - 1].id, 1, &chain[i]);
	expect_ok(push(x, x->a, NULL, 0, chain, COUNT(chain)));
	sealed_record(&x->alice, &x->s, (struct sealed_params){ .chunks = &chain[6].id, .n_chunks = 1 }, &file);
	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &good);
	commits = x->r.relay.metrics.commits;
	params_push(&params[0], &x->space, 100, -1, &good, 1, NULL, 0, bytes_of(NULL, 0));
	params_push(&params[1], &x->space, 101, -1, &file, 1, NULL, 0, bytes_of(NULL, 0));
	bench_batch(&x->r, x->a, "coffer.push", params, a, 2);
	assert_int_equal(x->r.relay.metrics.commits, commits + 1);
	expect_ok(a[0]);
	expect_refused(a[1], "bad_request");
	for (size_t i = 0; i < COUNT(chain); i++)
		sealed_release(&chain[i]);
	sealed_release(&file);
	sealed_release(&good);
}

/* Named under a head at which bob was nobody: readers refuse it, so it would only stand in the way. */
static void a_record_dated_before_its_authors_rights(void **state)
{
	struct push_scene *x = *state;
	struct new_space before = x->s;
	struct sealed early, now;

	assert_int_equal(log_clone(x->s.log, &before.log), 0);
	join(x, &x->bob, ROLE_WRITER);
	sealed_record(&x->bob, &before, (struct sealed_params){ 0 }, &early);
	sealed_record(&x->bob, &x->s, (struct sealed_params){ 0 }, &now);
	expect_refused(push(x, x->b, &early, 1, NULL, 0), "forbidden");
	expect_refused(push(x, x->a, &early, 1, NULL, 0), "forbidden");
	expect_ok(push(x, x->b, &now, 1, NULL, 0));
	log_free(before.log);
	sealed_release(&early);
	sealed_release(&now);
}

/* A record of `size` random sealed bytes: the relay cannot tell. */
static void big_record(const struct push_scene *x, size_t size, const struct id16 *chunk, struct sealed *ret)
{
	CLEANUP(buf_release) struct buf header = BUF_INIT(RECORD_MAX_BLOB);
	struct record_header h = { .space = x->space,
		.id = sealed_id(),
		.version = 1,
		.epoch = 1,
		.log_head = *log_head(x->s.log),
		.author = *identity_device(x->alice.id),
		.chunks = bytes_of(chunk, sizeof *chunk) };
	uint8_t signature[64], *sealed = calloc(1, size);

	assert_non_null(sealed);
	hash_sha256(bytes_of(sealed, size), &h.sealed_hash);
	ret->id = h.id;
	ret->blob = (struct buf)BUF_INIT(RECORD_MAX_BLOB);
	assert_int_equal(record_put_header(&header, &h, 1), 0);
	assert_int_equal(
		sign_detached(RECORD_LABEL, buf_bytes(&header), identity_sign_secret(x->alice.id), signature), 0);
	assert_int_equal(record_put(&ret->blob, buf_bytes(&header), bytes_of(sealed, size), signature), 0);
	free(sealed);
}

#define BIG 21

/* A step, its records and the small chunks that they name must fit into one frame, or nobody pulls past it. */
static void no_step_is_larger_than_a_frame(void **state)
{
	struct push_scene *x = *state;
	struct sealed records[BIG + 3], chunks[BIG];
	struct buf params = BUF_INIT(FRAME_MAX);
	struct answer a;

	for (size_t i = 0; i < BIG; i++)
		sealed_chunk(&x->s, NULL, 61000, &chunks[i]);
	expect_ok(push(x, x->a, NULL, 0, chunks, BIG));
	for (size_t i = 0; i < BIG + 3; i++)
		big_record(x, 250000, &chunks[i % BIG].id, &records[i]);
	expect_refused(push(x, x->a, records, BIG + 3, NULL, 0), "payload_too_large");
	a = push(x, x->a, records, BIG, NULL, 0);
	assert_true(a.notice && a.notice->len <= FRAME_MAX);
	expect_ok(a);
	params_pull(&params, &x->space, 0, "chunks", -1);
	a = bench_call(&x->r, x->a, "coffer.pull", &params);
	assert_false(a.last.is_error);
	for (struct message_node *n = a.frames.first; n; n = n->next)
		assert_true(n->m->len <= FRAME_MAX);
	answer_release(&a);
	for (size_t i = 0; i < BIG; i++)
		sealed_release(&chunks[i]);
	for (size_t i = 0; i < BIG + 3; i++)
		sealed_release(&records[i]);
}

static void remove_bob(struct push_scene *x)
{
	struct entry_maker m = party_maker(&x->alice, x->s.log);
	CLEANUP(buf_release) struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
	struct secret *key;

	party_cut(&x->alice, x->s.log, &cut);
	assert_int_equal(
		entry_make_remove(&m, x->s.ring, identity_person(x->bob.id), NULL, buf_bytes(&cut), &key, &b), 0);
	apply(x, x->a, &b);
	secret_free(key);
}

/* A stream that its reader lets wait does not outlive the right to read. */
static struct answer push_one(struct push_scene *x, const struct party *p, struct caller *c)
{
	struct sealed record;

	sealed_record(p, &x->s, (struct sealed_params){ 0 }, &record);
	struct answer a = push(x, c, &record, 1, NULL, 0);
	sealed_release(&record);
	return a;
}

static struct answer remove_bob_at(struct push_scene *x, uint64_t cursor, struct buf *ret_entry)
{
	CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
	CLEANUP(secret_freep) struct secret *key = NULL;
	struct entry_maker m = party_maker(&x->alice, x->s.log);

	buf_clear(ret_entry);
	party_cut_at(&x->alice, x->s.log, cursor, &cut);
	assert_int_equal(
		entry_make_remove(&m, x->s.ring, identity_person(x->bob.id), NULL, buf_bytes(&cut), &key, ret_entry),
		0);
	return bench_append(&x->r, x->a, &x->space, ret_entry);
}

/* Who pushes without pause stays no member: what came after the cut has the removal made anew, and holds its maker back. */
static void who_is_being_removed_is_held_back(void **state)
{
	struct push_scene *x = *state;
	CLEANUP(buf_release) struct buf entry = BUF_INIT(ENTRY_MAX_BLOB);

	join(x, &x->bob, ROLE_WRITER);
	struct answer a = push_one(x, &x->bob, x->b);
	uint64_t cut = answer_uint(&a, "cursor");
	expect_ok(a);
	expect_ok(push_one(x, &x->bob, x->b));
	expect_refused(remove_bob_at(x, cut, &entry), "conflict");
	expect_refused(push_one(x, &x->bob, x->b), "rate_limited");
	expect_ok(push_one(x, &x->alice, x->a));
	fake_env_advance(x->r.env, 11000000000ll);
	a = push_one(x, &x->bob, x->b);
	cut = answer_uint(&a, "cursor");
	expect_ok(a);
	expect_ok(push_one(x, &x->alice, x->a)); /* what others pushed after the cut does not matter */
	expect_ok(remove_bob_at(x, cut, &entry));
	expect_refused(push_one(x, &x->bob, x->b), "forbidden");
}

/* A member's other device, another member who pushes for them, and a space that many write into do not undo the hold. */
static void a_hold_is_not_walked_round(void **state)
{
	struct push_scene *x = *state;
	CLEANUP(buf_release) struct buf entry = BUF_INIT(ENTRY_MAX_BLOB), device = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf leave = BUF_INIT(ENTRY_MAX_BLOB), stale = BUF_INIT(CUT_MAX);
	struct party tablet;

	join(x, &x->bob, ROLE_WRITER);
	party_pair(&x->bob, "tablet", &tablet);
	struct caller *t = bench_caller(&tablet);
	struct entry_maker by_tablet = party_maker(&tablet, x->s.log), by_bob;
	assert_int_equal(entry_make_device(&by_tablet, x->s.ring, &device), 0);
	expect_ok(bench_append(&x->r, t, &x->space, &device));
	party_apply(x->s.log, &device);
	struct answer a = push_one(x, &x->bob, x->b);
	uint64_t cut = answer_uint(&a, "cursor");
	expect_ok(a);
	expect_ok(push_one(x, &tablet, t));
	expect_ok(push_one(x, &x->bob, x->b));
	expect_refused(remove_bob_at(x, cut, &entry), "conflict");
	by_bob = party_maker(&x->bob, x->s.log);
	party_cut_at(&x->bob, x->s.log, cut, &stale);
	assert_int_equal(entry_make_leave(&by_bob, identity_device(tablet.id), buf_bytes(&stale), &leave), 0);
	expect_refused(bench_append(&x->r, x->b, &x->space, &leave), "conflict");
	expect_refused(push_one(x, &x->bob, x->b), "rate_limited");
	expect_refused(push_one(x, &x->bob, x->a), "rate_limited"); /* a record of his, by another's token */
	a = push_one(x, &x->alice, x->a);
	cut = answer_uint(&a, "cursor");
	expect_ok(a);
	/* Of several relays on one database another may have let him in, so there all that came is looked at, as far as the bound. */
	for (int i = 0; i <= (depot_is_shared(x->r.relay.store) ? 1 : CUT_MAX_VERSIONS / 500); i++) {
		struct sealed records[500];

		for (size_t k = 0; k < COUNT(records); k++)
			sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &records[k]);
		expect_ok(push(x, x->a, records, COUNT(records), NULL, 0));
		for (size_t k = 0; k < COUNT(records); k++)
			sealed_release(&records[k]);
	}
	expect_ok(remove_bob_at(x, cut, &entry));
	caller_unref(t);
	party_release(&tablet);
}

static void a_removed_reader_pulls_no_further(void **state)
{
	struct push_scene *x = *state;
	struct sealed records[8], chunk;
	struct buf params = BUF_INIT(FRAME_MAX);
	struct job *j;
	struct frame f;

	join(x, &x->bob, ROLE_READER);
	sealed_chunk(&x->s, NULL, 16, &chunk);
	for (size_t i = 0; i < COUNT(records); i++) {
		big_record(x, 250000, &chunk.id, &records[i]);
		expect_ok(push(x, x->a, &records[i], 1, &chunk, 1));
		sealed_release(&records[i]);
	}
	params_pull(&params, &x->space, 0, "records", -1);
	j = job_new(rpc_find(bytes_str("coffer.pull")), 1, x->b);
	assert_non_null(j);
	buf_release(&j->in);
	j->in = params;
	j->params = buf_bytes(&j->in);
	j->id = bytes_str("1");
	reader_run(&x->r.relay, j, x->r.reader);
	assert_true(j->more);
	remove_bob(x);
	job_drop_results(&x->r.relay, j);
	reader_run(&x->r.relay, j, x->r.reader);
	assert_false(j->more);
	assert_int_equal(j->out.count, 1);
	assert_int_equal(frame_decode(message_bytes(j->out.first->m), &f), 0);
	assert_true(f.is_error && cbor_text_is(f.code, "forbidden"));
	job_free(&x->r.relay, j);
	sealed_release(&chunk);
}

/* Sending what they still hold tells those who left nothing of what came after, and strangers nothing at all. */
static void append_tells_outsiders_nothing(void **state)
{
	struct push_scene *x = *state;
	struct entry_maker m = party_maker(&x->bob, x->s.log);
	CLEANUP(buf_release) struct buf foreign = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf own = BUF_INIT(ENTRY_MAX_BLOB);
	struct id16 nowhere = sealed_id();
	struct answer known, unknown;

	assert_int_equal(entry_make_retention(&m, 1, &foreign), 0);
	known = bench_append(&x->r, x->b, &x->space, &foreign);
	unknown = bench_append(&x->r, x->b, &nowhere, &foreign);
	unit_assert_bytes(message_bytes(known.message), message_bytes(unknown.message));
	answer_release(&known);
	answer_release(&unknown);

	join(x, &x->bob, ROLE_READER);
	known = bench_append(&x->r, x->b, &x->space, &x->s.blobs[0]);
	assert_int_equal(answer_uint(&known, "seq"), log_count(x->s.log) - 1);
	expect_ok(known);
	remove_bob(x);
	known = bench_append(&x->r, x->b, &x->space, &x->s.blobs[0]);
	assert_int_equal(answer_uint(&known, "seq"), 0);
	assert_int_equal(answer_uint(&known, "cursor"), 0);
	expect_ok(known);
	m = party_maker(&x->bob, x->s.log);
	buf_clear(&foreign);
	assert_int_equal(entry_make_retention(&m, 1, &foreign), 0);
	m = party_maker(&x->alice, x->s.log);
	buf_clear(&own);
	assert_int_equal(entry_make_retention(&m, 2, &own), 0);
	apply(x, x->a, &own); /* now it would be a conflict */
	expect_refused(bench_append(&x->r, x->b, &x->space, &foreign), "forbidden");
}

/* Each entry costs the writer signatures, so entries are counted, good or bad. */
static void entries_are_counted_by_address(void **state)
{
	struct push_scene *x = *state;
	CLEANUP(buf_release) struct buf bad = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry_maker m = party_maker(&x->bob, x->s.log);
	struct answer a;
	bool limited = false;

	assert_int_equal(entry_make_retention(&m, 1, &bad), 0);
	for (size_t i = 0; i < 1001 && !limited; i++) {
		a = bench_append(&x->r, x->b, &x->space, &bad);
		limited = answer_refused(&a, "rate_limited");
		answer_release(&a);
	}
	assert_true(limited);
	fake_env_advance(x->r.env, 1000000000);
	expect_refused(bench_append(&x->r, x->b, &x->space, &bad), "forbidden");
}

static void one_network_is_one_address(void **state)
{
	static const char *const same[] = { "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:0db8:1:2:a:b:c:d" };
	char one[64] = "", other[64];

	(void)state;
	for (size_t i = 0; i < COUNT(same); i++) {
		assert_int_equal(limits_address(same[i], other, sizeof other), 0);
		if (i)
			assert_string_equal(one, other);
		snprintf(one, sizeof one, "%s", other);
	}
	assert_int_equal(limits_address("2001:db8:1:3::1", other, sizeof other), 0);
	assert_string_not_equal(one, other);
	assert_int_equal(limits_address("::ffff:192.0.2.7", one, sizeof one), 0);
	assert_int_equal(limits_address("192.0.2.7", other, sizeof other), 0);
	assert_string_equal(one, other);
	assert_int_equal(limits_address("192.0.2.8", other, sizeof other), 0);
	assert_string_not_equal(one, other);
	assert_int_equal(limits_address("::1", one, sizeof one), 0);
	assert_string_equal(one, "::1");
	assert_int_equal(limits_address("evil\n", one, sizeof one), ERR_INVALID);
	assert_int_equal(limits_address("", one, sizeof one), ERR_INVALID);
}

/* A push that takes back its number out of a long run of accepted ones must not walk the run. */
static void numbers_are_taken_back_in_one_step(void **state)
{
	struct number_set *s = calloc(1, sizeof *s);

	(void)state;
	assert_non_null(s);
	s->n = 1;
	s->runs[0].first = 0;
	s->runs[0].last = UINT64_MAX;
	alarm(20);
	number_set_remove(s, 7);
	alarm(0);
	assert_true(number_set_has(s, 6) && !number_set_has(s, 7) && number_set_has(s, 8));
	assert_true(number_set_has(s, 0) && number_set_has(s, UINT64_MAX));
	number_set_remove(s, 0);
	number_set_remove(s, UINT64_MAX);
	assert_true(!number_set_has(s, 0) && number_set_has(s, 1) && !number_set_has(s, UINT64_MAX));
	number_set_add(s, 7);
	assert_int_equal(s->n, 1);
	free(s);
}

/* Counting reads whole tables and anybody may ask: who asks is told what was counted last. */
static void metrics_are_not_counted_by_who_asks(void **state)
{
	struct push_scene *x = *state;
	struct metrics *m = &x->r.relay.metrics;
	struct depot_sizes z;
	struct sealed r;

	assert_false(metrics_sizes(m, &z));
	assert_int_equal(metrics_count(m, x->r.reader), 0);
	assert_int_equal(metrics_count(m, NULL), 0); /* nobody asked since */
	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &r);
	expect_ok(push(x, x->a, &r, 1, NULL, 0));
	assert_true(metrics_sizes(m, &z));
	assert_int_equal(z.records, 0);
	assert_int_equal(metrics_count(m, x->r.reader), 0);
	assert_true(metrics_sizes(m, &z));
	assert_int_equal(z.records, 1);
	sealed_release(&r);
}

static bool takes_space(
	struct relay_bench *r, struct caller *c, const struct id16 *space, const struct buf *blobs, size_t n)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct answer a;
	bool ok;

	params_append(&params, space, blobs, n);
	a = bench_call(r, c, "coffer.append", &params);
	ok = answer_ok(&a);
	assert_true(ok || answer_refused(&a, "forbidden"));
	answer_release(&a);
	return ok;
}

/* Bob may make spaces there. Neither alice, in whose space he once was, brings it there, nor one who was in his brings his. */
static void spaces_of_another_relay_stay_there(void **state)
{
	struct push_scene *x = *state;
	struct relay_bench y;
	struct new_space s;
	struct buf all[5];
	struct invite_keys k;
	const struct invite_params p = {
		.role = ROLE_READER, .uses = 1, .expires = PARTY_NOW + 1000000000u, .relay = PARTY_RELAY, .name = "x"
	};
	CLEANUP(buf_release) struct buf invited = BUF_INIT(ENTRY_MAX_BLOB), joined = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry_maker m = party_maker(&x->alice, x->s.log);

	relay_bench_open(&y);
	y.relay.config->strangers = STRANGERS_OWNERS;
	y.relay.config->owners[y.relay.config->n_owners++] = *identity_person(x->bob.id);
	party_keys(&k);
	assert_int_equal(entry_make_invite(&m, x->s.ring, &p, &k, &invited), 0);
	party_apply(x->s.log, &invited);
	party_join_blob(&x->bob, x->s.log, &k, &joined);
	party_apply(x->s.log, &joined);
	memcpy(all, x->s.blobs, 3 * sizeof *all);
	all[3] = invited;
	all[4] = joined;
	assert_false(takes_space(&y, x->a, &x->space, all, 3));
	assert_false(takes_space(&y, x->a, &x->space, all, 5));
	assert_false(takes_space(&y, x->b, &x->space, all, 5));
	party_space(&x->bob, &s);
	assert_false(takes_space(&y, x->a, log_space(s.log), s.blobs, 3));
	assert_true(takes_space(&y, x->b, log_space(s.log), s.blobs, 3));
	invite_keys_release(&k);
	new_space_release(&s);
	relay_bench_close(&y);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, push_scene_setup, push_scene_teardown)
	const struct CMUnitTest tests[] = {
		T(index_chunks_that_name_each_other),
		T(index_chunks_without_end),
		T(a_record_dated_before_its_authors_rights),
		T(no_step_is_larger_than_a_frame),
		T(who_is_being_removed_is_held_back),
		T(a_hold_is_not_walked_round),
		T(a_removed_reader_pulls_no_further),
		T(append_tells_outsiders_nothing),
		T(entries_are_counted_by_address),
		cmocka_unit_test(one_network_is_one_address),
		cmocka_unit_test(numbers_are_taken_back_in_one_step),
		T(metrics_are_not_counted_by_who_asks),
		T(spaces_of_another_relay_stay_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
