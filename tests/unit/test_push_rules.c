/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay accepts into a Coffer space, and what it answers, without its network. */
#include "tests/lib/push_scene.h"

#include "crypto/chain.h"
#include "server/housekeeping.h"
#include "server/rpc.h"
#include "wire/head.h"
#include "wire/record.h"

static struct answer push_all(struct push_scene *x, struct caller *c, int64_t after, const struct sealed *records,
	size_t n, const struct sealed *chunks, size_t n_chunks)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(&params, &x->space, ++x->number, after, records, n, chunks, n_chunks, bytes_of(NULL, 0));
	return bench_call(&x->r, c, "coffer.push", &params);
}

static struct answer push(struct push_scene *x, const struct sealed *record)
{
	return push_all(x, x->a, -1, record, 1, NULL, 0);
}

static void expect_ok(struct answer a, uint64_t cursor)
{
	if (!answer_ok(&a))
		fail_msg("refused");
	assert_int_equal(answer_uint(&a, "cursor"), cursor);
	answer_release(&a);
}

static void expect_refused(struct answer a, const char *code)
{
	if (!answer_refused(&a, code))
		fail_msg("not refused with %s", code);
	answer_release(&a);
}

static struct sealed record_of(struct push_scene *x, struct sealed_params params)
{
	struct sealed r;

	sealed_record(&x->alice, &x->s, params, &r);
	return r;
}

static void test_cursors_and_swap(void **state)
{
	struct push_scene *x = *state;
	struct sealed one = record_of(x, (struct sealed_params){ 0 });
	struct sealed two = record_of(x, (struct sealed_params){ .id = &one.id, .version = 2, .prev = &one.hash });
	struct sealed other = record_of(x, (struct sealed_params){ .id = &one.id, .version = 2 });
	struct sealed stale = record_of(x, (struct sealed_params){ .id = &one.id, .version = 2, .prev = &one.hash });
	struct answer a;
	struct bytes item;

	expect_ok(push(x, &one), 2); /* 1 was the log */
	expect_ok(push(x, &one), 2); /* again: confirmed where it stands */
	expect_refused(push(x, &other), "conflict");
	a = push(x, &two);
	assert_non_null(a.notice);
	expect_ok(a, 3);
	a = push(x, &stale);
	assert_true(answer_refused(&a, "conflict"));
	assert_int_equal(cbor_map_find(a.last.value, CBOR_RPC, "conflicts", &item), 0);
	answer_release(&a);
	sealed_release(&one);
	sealed_release(&two);
	sealed_release(&other);
	sealed_release(&stale);
}

static void test_conflict_names_ids(void **state)
{
	struct push_scene *x = *state;
	struct sealed r[2] = { record_of(x, (struct sealed_params){ 0 }), record_of(x, (struct sealed_params){ 0 }) };
	struct sealed late[2] = { record_of(x, (struct sealed_params){ .id = &r[0].id }),
		record_of(x, (struct sealed_params){ 0 }) };
	struct cbor_dec d;
	struct bytes item, hash;
	struct id16 id;
	struct answer a;
	size_t n;

	expect_ok(push_all(x, x->a, -1, r, 2, NULL, 0), 2);
	a = push_all(x, x->a, -1, late, 2, NULL, 0);
	assert_true(answer_refused(&a, "conflict"));
	assert_null(a.notice);
	assert_int_equal(param_array(a.last.value, "conflicts", 10, &d, &n), 0);
	assert_int_equal(n, 1);
	item = cbor_get_raw(&d);
	assert_int_equal(param_id(item, "id", &id), 0);
	assert_true(id16_equal(&id, &r[0].id));
	assert_int_equal(param_bytes(item, "hash", 32, &hash), 0);
	assert_memory_equal(hash.p, r[0].hash.b, 32);
	answer_release(&a);
	/* nothing of the refused push is there */
	expect_ok(push(x, &late[1]), 3);
	for (int i = 0; i < 2; i++) {
		sealed_release(&r[i]);
		sealed_release(&late[i]);
	}
}

static void test_order(void **state)
{
	struct push_scene *x = *state;
	struct sealed one = record_of(x, (struct sealed_params){ 0 }),
		      clash = record_of(x, (struct sealed_params){ .id = &one.id });
	struct sealed next = record_of(x, (struct sealed_params){ 0 });

	expect_ok(push(x, &one), 2);                                       /* number 1 */
	expect_refused(push(x, &clash), "conflict");                       /* 2 */
	expect_refused(push_all(x, x->a, 2, &next, 1, NULL, 0), "order");  /* 3 after 2 */
	expect_refused(push_all(x, x->a, 3, &next, 1, NULL, 0), "order");  /* 4 after 3 */
	expect_refused(push_all(x, x->a, 77, &next, 1, NULL, 0), "order"); /* 5 after nothing */
	expect_ok(push_all(x, x->a, 1, &next, 1, NULL, 0), 3);             /* 6 after 1 */
	sealed_release(&one);
	sealed_release(&clash);
	sealed_release(&next);
}

static void test_batch_is_one_commit_with_order(void **state)
{
	struct push_scene *x = *state;
	struct sealed r[8];
	struct buf params[8];
	struct answer a[8];

	for (uint64_t i = 0; i < 8; i++) {
		r[i] = record_of(x, (struct sealed_params){ .id = i == 4 ? &r[0].id : NULL });
		params[i] = (struct buf)BUF_INIT(FRAME_MAX);
		params_push(&params[i], &x->space, 100 + i, i ? (int64_t)(99 + i) : -1, &r[i], 1, NULL, 0,
			bytes_of(NULL, 0));
	}
	bench_batch(&x->r, x->a, "coffer.push", params, a, 8);
	for (size_t i = 0; i < 8; i++) {
		if (i < 4)
			expect_ok(a[i], 2 + i);
		else
			expect_refused(a[i], i == 4 ? "conflict" : "order");
		sealed_release(&r[i]);
	}
}

static void test_bad_records(void **state)
{
	struct push_scene *x = *state;
	struct sealed one = record_of(x, (struct sealed_params){ 0 });
	struct sealed twice[2] = { one, one };
	struct new_space other;
	struct sealed foreign;

	expect_refused(push_all(x, x->a, -1, twice, 2, NULL, 0), "bad_request");
	for (size_t i = 0; i < one.blob.len; i += 7) {
		one.blob.data[i] ^= 1;
		expect_refused(push(x, &one), "bad_request");
		one.blob.data[i] ^= 1;
	}
	one.id.b[3] ^= 1; /* named by another id than its own */
	expect_refused(push(x, &one), "bad_request");
	party_space(&x->alice, &other);
	sealed_record(&x->alice, &other, (struct sealed_params){ 0 }, &foreign);
	expect_refused(push(x, &foreign), "bad_request");
	sealed_release(&foreign);
	sealed_release(&one);
	new_space_release(&other);
}

/* Twice in one push, here before, here with other bytes. */
static void test_chunks_again(void **state)
{
	struct push_scene *x = *state;
	struct sealed one = record_of(x, (struct sealed_params){ 0 }), c[3], other;

	for (size_t i = 0; i < COUNT(c); i++)
		sealed_chunk(&x->s, NULL, 100, &c[i]);
	sealed_chunk(&x->s, &c[0].id, 100, &other);
	expect_refused(push_all(x, x->a, -1, &one, 1, (struct sealed[]){ c[0], other }, 2), "bad_request");
	expect_ok(push_all(x, x->a, -1, &one, 1, (struct sealed[]){ c[0], c[1], c[0] }, 3), 2);
	expect_refused(push_all(x, x->a, -1, &one, 1, (struct sealed[]){ c[1], other }, 2), "bad_request");
	sealed_release(&one);
	one = record_of(x, (struct sealed_params){ .chunks = &c[2].id, .n_chunks = 1 });
	expect_refused(push_all(x, x->a, -1, &one, 1, c, 2), "missing");
	expect_ok(push_all(x, x->a, -1, &one, 1, c, 3), 3);
	for (size_t i = 0; i < COUNT(c); i++)
		sealed_release(&c[i]);
	sealed_release(&other);
	sealed_release(&one);
}

static void test_strangers(void **state)
{
	struct push_scene *x = *state;
	struct sealed mine = record_of(x, (struct sealed_params){ 0 }), bobs;
	struct buf params = BUF_INIT(FRAME_MAX);
	struct id16 nowhere = sealed_id();
	struct answer known, unknown;

	expect_refused(push_all(x, x->b, -1, &mine, 1, NULL, 0), "forbidden");
	sealed_record(&x->bob, &x->s, (struct sealed_params){ 0 }, &bobs);
	expect_refused(push_all(x, x->a, -1, &bobs, 1, NULL, 0), "forbidden"); /* of an author who may not write */
	/* unknown and forbidden are the same bytes */
	for (int i = 0; i < 4; i++) {
		static const char *const methods[] = { "coffer.pull", "coffer.log", "coffer.get", "coffer.head" };
		const struct id16 none = sealed_id();

		for (int k = 0; k < 2; k++) {
			const struct id16 *id = k ? &nowhere : &x->space;
			struct answer *a = k ? &unknown : &known;

			if (i == 0)
				params_pull(&params, id, 0, "chunks", -1);
			else if (i == 2)
				params_get(&params, id, &none, 1);
			else
				params_space(&params, "space", id);
			*a = bench_call(&x->r, x->b, methods[i], &params);
			assert_true(answer_refused(a, "forbidden"));
		}
		unit_assert_bytes(message_bytes(known.message), message_bytes(unknown.message));
		answer_release(&known);
		answer_release(&unknown);
	}
	sealed_release(&mine);
	sealed_release(&bobs);
}

static void append_last(struct push_scene *x, struct caller *c, const struct buf *entry)
{
	struct answer a = bench_append(&x->r, c, &x->space, entry);

	if (!answer_ok(&a))
		fail_msg("%.*s", (int)a.last.message.len, (const char *)a.last.message.p);
	answer_release(&a);
	assert_int_equal(log_apply(x->s.log, buf_bytes(entry), LOG_VERIFY), 0);
}

/* An invite that is open by the relay's clock. */
static void invite(struct push_scene *x, enum role role, struct invite_keys *k)
{
	struct invite_params p = { .role = role,
		.uses = 1,
		.expires = (uint64_t)relay_now(&x->r.relay) + 600,
		.relay = PARTY_RELAY,
		.name = "x" };
	struct entry_maker m = party_maker(&x->alice, x->s.log);
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);

	party_keys(k);
	assert_int_equal(entry_make_invite(&m, x->s.ring, &p, k, &b), 0);
	append_last(x, x->a, &b);
	buf_release(&b);
}

static void join(struct push_scene *x, const struct party *who, struct caller *c, enum role role)
{
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct invite_keys k;

	invite(x, role, &k);
	party_join_blob(who, x->s.log, &k, &b);
	append_last(x, c, &b);
	invite_keys_release(&k);
	buf_release(&b);
}

static void test_reader_and_writer(void **state)
{
	struct push_scene *x = *state;
	struct sealed r;

	join(x, &x->bob, x->b, ROLE_READER);
	sealed_record(&x->bob, &x->s, (struct sealed_params){ 0 }, &r);
	expect_refused(push_all(x, x->b, -1, &r, 1, NULL, 0), "forbidden");
	sealed_release(&r);
}

static void test_writer_writes_and_heals(void **state)
{
	struct push_scene *x = *state;
	struct sealed r;

	join(x, &x->bob, x->b, ROLE_WRITER);
	sealed_record(&x->bob, &x->s, (struct sealed_params){ 0 }, &r);
	expect_ok(push_all(x, x->a, -1, &r, 1, NULL, 0), 4); /* alice gives back what bob wrote, verbatim */
	expect_ok(push_all(x, x->b, -1, &r, 1, NULL, 0), 4);
	sealed_release(&r);
}

static void test_epochs(void **state)
{
	struct push_scene *x = *state;
	struct sealed old = record_of(x, (struct sealed_params){ 0 }), fresh;
	struct entry_maker m = party_maker(&x->alice, x->s.log);
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct secret *key;

	assert_int_equal(entry_make_epoch(&m, x->s.ring, 2, &key, &b), 0);
	append_last(x, x->a, &b);
	assert_int_equal(epoch_ring_add(x->s.ring, 2, key), 0);
	expect_refused(push(x, &old), "key_generation_stale");
	fresh = record_of(x, (struct sealed_params){ 0 });
	expect_ok(push(x, &fresh), 3);
	secret_free(key);
	buf_release(&b);
	sealed_release(&old);
	sealed_release(&fresh);
}

static void test_missing_chunks(void **state)
{
	struct push_scene *x = *state;
	struct id16 ids[3] = { sealed_id(), sealed_id(), sealed_id() };
	struct sealed chunks[3], index, file;
	struct cbor_dec d;
	struct answer a;
	size_t n;

	for (int i = 0; i < 3; i++)
		sealed_chunk(&x->s, &ids[i], 4096, &chunks[i]);
	sealed_index(&x->s, ids, 3, &index);
	file = record_of(x, (struct sealed_params){ .chunks = &index.id, .n_chunks = 1 });
	a = push(x, &file);
	assert_true(answer_refused(&a, "missing"));
	assert_int_equal(param_array(a.last.value, "missing", 10, &d, &n), 0);
	assert_int_equal(n, 1);
	answer_release(&a);
	/* with the index chunk, the two that it names and that are not here are missing */
	expect_ok(push_all(x, x->a, -1, NULL, 0, chunks, 1), 1);
	a = push_all(x, x->a, -1, &file, 1, &index, 1);
	assert_true(answer_refused(&a, "missing"));
	assert_int_equal(param_array(a.last.value, "missing", 10, &d, &n), 0);
	assert_int_equal(n, 2);
	answer_release(&a);
	a = push_all(x, x->a, -1, &file, 1, chunks, 3);
	expect_ok(a, 2);
	/* other bytes under a known id */
	chunks[0].blob.data[chunks[0].blob.len - 1] ^= 1;
	expect_refused(push_all(x, x->a, -1, NULL, 0, chunks, 1), "bad_request");
	for (int i = 0; i < 3; i++)
		sealed_release(&chunks[i]);
	sealed_release(&index);
	sealed_release(&file);
}

static struct answer pull(struct push_scene *x, uint64_t since, const char *with, int64_t limit)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_pull(&params, &x->space, since, with, limit);
	return bench_call(&x->r, x->a, "coffer.pull", &params);
}

static size_t count_of(struct bytes step, const char *key)
{
	struct cbor_dec d;
	size_t n;

	assert_int_equal(param_array(step, key, 100000, &d, &n), 0);
	return n;
}

static void test_pull(void **state)
{
	struct push_scene *x = *state;
	struct sealed one, two, chunk, big;
	struct bytes name, step, lines;
	struct id32 chain = { { 0 } };
	struct answer a;

	sealed_chunk(&x->s, NULL, 1000, &chunk);
	one = record_of(x, (struct sealed_params){ .chunks = &chunk.id, .n_chunks = 1 });
	two = record_of(x, (struct sealed_params){ .id = &one.id, .version = 2, .prev = &one.hash });
	big = record_of(x, (struct sealed_params){ .chunks = &chunk.id, .n_chunks = 1 });
	expect_ok(push_all(x, x->a, -1, &one, 1, &chunk, 1), 2);
	expect_ok(push(x, &two), 3);
	expect_ok(push(x, &big), 4);
	a = pull(x, 0, "chunks", -1);
	assert_false(a.last.is_error);
	assert_int_equal(a.chunks, 6); /* begin, 4 steps, commit */
	assert_int_equal(answer_uint(&a, "_chunks"), 6);
	answer_chunk(&a, 0, &name);
	assert_true(cbor_text_is(name, "coffer.begin"));
	for (uint64_t c = 1; c <= 4; c++) {
		uint64_t cursor;

		step = answer_chunk(&a, c, &name);
		assert_true(cbor_text_is(name, "coffer.step"));
		assert_int_equal(param_uint(step, "cursor", &cursor), 0);
		assert_int_equal(cursor, c);
		assert_int_equal(param_bytes(step, "lines", 100000, &lines), 0);
		chain_next(&chain, c, lines);
		assert_int_equal(count_of(step, "entries"), c == 1 ? 3 : 0);
		assert_int_equal(count_of(step, "records"), c >= 3); /* the first version was replaced */
		assert_int_equal(count_of(step, "chunks"), c == 4);
	}
	step = answer_chunk(&a, 5, &name);
	assert_true(cbor_text_is(name, "coffer.commit"));
	answer_release(&a);
	a = pull(x, 2, "records", -1);
	assert_int_equal(a.chunks, 4);
	step = answer_chunk(&a, 2, &name);
	assert_int_equal(count_of(step, "chunks"), 0);
	answer_release(&a);
	a = pull(x, 0, "lines", -1);
	step = answer_chunk(&a, 4, &name);
	assert_int_equal(count_of(step, "records"), 0);
	answer_release(&a);
	a = pull(x, 0, "chunks", 1); /* one step, then more */
	assert_int_equal(a.chunks, 3);
	answer_release(&a);
	a = pull(x, 4, "chunks", -1);
	assert_int_equal(a.chunks, 2);
	answer_release(&a);
	sealed_release(&one);
	sealed_release(&two);
	sealed_release(&big);
	sealed_release(&chunk);
}

static void test_pull_in_slices(void **state)
{
	struct push_scene *x = *state;
	struct sealed chunks[60];
	struct answer a;
	size_t steps = 0;

	for (int i = 0; i < 60; i++) {
		struct sealed file;

		sealed_chunk(&x->s, NULL, 60000, &chunks[i]);
		file = record_of(x, (struct sealed_params){ .chunks = &chunks[i].id, .n_chunks = 1 });
		expect_ok(push_all(x, x->a, -1, &file, 1, &chunks[i], 1), (uint64_t)i + 2);
		sealed_release(&file);
		sealed_release(&chunks[i]);
	}
	a = pull(x, 1, "chunks", -1);
	assert_int_equal(a.chunks, 62);
	for (size_t i = 1; i < 61; i++) {
		struct bytes name, step = answer_chunk(&a, i, &name);

		steps += count_of(step, "chunks");
	}
	assert_int_equal(steps, 60);
	answer_release(&a);
}

static void test_get(void **state)
{
	struct push_scene *x = *state;
	struct buf params = BUF_INIT(FRAME_MAX);
	struct sealed chunk;
	struct id16 ids[2];
	struct bytes name, data, blob;
	struct answer a;

	sealed_chunk(&x->s, NULL, 3000, &chunk);
	expect_ok(push_all(x, x->a, -1, NULL, 0, &chunk, 1), 1);
	ids[0] = sealed_id();
	ids[1] = chunk.id;
	params_get(&params, &x->space, ids, 2);
	a = bench_call(&x->r, x->a, "coffer.get", &params);
	assert_int_equal(a.chunks, 2);
	data = answer_chunk(&a, 0, &name);
	assert_int_equal(param_bytes(data, "blob", 1 << 20, &blob), ERR_NOT_FOUND);
	data = answer_chunk(&a, 1, &name);
	assert_int_equal(param_bytes(data, "blob", 1 << 20, &blob), 0);
	unit_assert_bytes(blob, buf_bytes(&chunk.blob));
	answer_release(&a);
	sealed_release(&chunk);
}

static void test_append_again_and_conflict(void **state)
{
	struct push_scene *x = *state;
	struct buf params = BUF_INIT(FRAME_MAX), b = BUF_INIT(ENTRY_MAX_BLOB), late = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry_maker m = party_maker(&x->alice, x->s.log);
	struct answer a;

	bench_space(&x->r, x->a, &x->s); /* the same three again */
	assert_int_equal(entry_make_retention(&m, 86400, &b), 0);
	assert_int_equal(entry_make_retention(&m, 99999, &late), 0);
	append_last(x, x->a, &b);
	a = bench_append(&x->r, x->a, &x->space, &late);
	assert_true(answer_refused(&a, "conflict"));
	assert_int_equal(answer_uint(&a, "seq"), 3);
	answer_release(&a);
	/* an entry of the wrong signer, carried by a stranger: neither reveals the space */
	late.data[late.len - 1] ^= 1;
	expect_refused(bench_append(&x->r, x->b, &x->space, &late), "conflict"); /* it shows that it knows the log */
	params_append(&params, log_space(x->alice.own.log), x->s.blobs, 3);
	expect_refused(bench_call(&x->r, x->a, "coffer.append", &params), "bad_request"); /* a genesis of another id */
	buf_release(&b);
	buf_release(&late);
}

static void test_survives_restart(void **state)
{
	struct push_scene *x = *state;
	struct sealed one = record_of(x, (struct sealed_params){ 0 });
	struct id16 store = *depot_id(x->r.relay.store);
	struct sealed two;

	expect_ok(push(x, &one), 2);
	relay_bench_restart(&x->r);
	assert_true(id16_equal(&store, depot_id(x->r.relay.store)));
	expect_ok(push(x, &one), 2);
	two = record_of(x, (struct sealed_params){ .id = &one.id, .version = 2, .prev = &one.hash });
	expect_ok(push(x, &two), 3);
	sealed_release(&one);
	sealed_release(&two);
}

static uint64_t chunks_left(struct push_scene *x)
{
	struct depot_sizes z;

	assert_int_equal(depot_sizes(x->r.reader, &z), 0);
	return z.chunks;
}

static void housekeeping(struct push_scene *x, int64_t days)
{
	fake_env_advance(x->r.env, days * 86400 * 1000000000ll);
	assert_int_equal(housekeeping_step(&x->r.relay), 0);
}

static void test_unnamed_chunks_go(void **state)
{
	struct push_scene *x = *state;
	struct id16 ids[2] = { sealed_id(), sealed_id() };
	struct sealed chunks[3], file, gone;

	for (int i = 0; i < 2; i++)
		sealed_chunk(&x->s, &ids[i], 4096, &chunks[i]);
	sealed_index(&x->s, ids, 2, &chunks[2]);
	file = record_of(x, (struct sealed_params){ .chunks = &chunks[2].id, .n_chunks = 1 });
	expect_ok(push_all(x, x->a, -1, &file, 1, chunks, 3), 2);
	sealed_chunk(&x->s, NULL, 100, &gone);
	expect_ok(push_all(x, x->a, -1, NULL, 0, &gone, 1), 2);
	housekeeping(x, 6);
	assert_int_equal(chunks_left(x), 4);
	housekeeping(x, 2);
	assert_int_equal(chunks_left(x), 3);
	sealed_release(&gone);
	/* the record is replaced: its old version keeps the chunks for the retention, then they go, index chunk first */
	gone = record_of(x, (struct sealed_params){ .id = &file.id, .version = 2, .prev = &file.hash });
	expect_ok(push(x, &gone), 3);
	housekeeping(x, 29);
	assert_int_equal(chunks_left(x), 3);
	housekeeping(x, 2);
	housekeeping(x, 0);
	housekeeping(x, 0);
	assert_int_equal(chunks_left(x), 0);
	for (int i = 0; i < 3; i++)
		sealed_release(&chunks[i]);
	sealed_release(&file);
	sealed_release(&gone);
}

static void test_passing_versions_go_at_once(void **state)
{
	struct push_scene *x = *state;
	struct sealed chunk, one, two;

	sealed_chunk(&x->s, NULL, 100, &chunk);
	one = record_of(x, (struct sealed_params){ .chunks = &chunk.id, .n_chunks = 1, .flags = RECORD_PASSING });
	two = record_of(x, (struct sealed_params){ .id = &one.id, .version = 2, .prev = &one.hash });
	expect_ok(push_all(x, x->a, -1, &one, 1, &chunk, 1), 2);
	expect_ok(push(x, &two), 3);
	housekeeping(x, 8);
	assert_int_equal(chunks_left(x), 0);
	sealed_release(&chunk);
	sealed_release(&one);
	sealed_release(&two);
}

static struct answer look_up(struct push_scene *x, const struct id16 *invite_id)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_space(&params, "invite", invite_id);
	return bench_call(&x->r, x->b, "coffer.log", &params);
}

static void test_invites(void **state)
{
	struct push_scene *x = *state;
	struct id16 wrong = sealed_id();
	struct invite_keys k;
	struct answer a;

	invite(x, ROLE_WRITER, &k);
	a = look_up(x, &k.id);
	assert_false(a.last.is_error);
	assert_int_equal(a.chunks, 4);
	answer_release(&a);
	for (int i = 0; i < 3; i++)
		expect_refused(look_up(x, &wrong), "not_found");
	expect_refused(look_up(x, &wrong), "rate_limited");
	expect_refused(look_up(x, &k.id), "rate_limited");
	fake_env_advance(x->r.env, 61 * 1000000000ll);
	a = look_up(x, &k.id);
	assert_false(a.last.is_error);
	answer_release(&a);
	fake_env_advance(x->r.env, 600 * 1000000000ll);
	expect_refused(look_up(x, &k.id), "not_found"); /* expired */
	invite_keys_release(&k);
}

static void test_expired_join(void **state)
{
	struct push_scene *x = *state;
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct invite_keys k;

	invite(x, ROLE_WRITER, &k);
	party_join_blob(&x->bob, x->s.log, &k, &b);
	fake_env_advance(x->r.env, 601 * 1000000000ll);
	expect_refused(bench_append(&x->r, x->b, &x->space, &b), "forbidden");
	invite_keys_release(&k);
	buf_release(&b);
}

static void test_heads(void **state)
{
	struct push_scene *x = *state;
	struct sealed one = record_of(x, (struct sealed_params){ 0 });
	struct buf head = BUF_INIT(HEAD_MAX_BLOB), params = BUF_INIT(FRAME_MAX);
	struct bytes name, step, got;
	struct answer a;

	party_cut(&x->alice, x->s.log, &head);
	params_push(&params, &x->space, 1, -1, &one, 1, NULL, 0, buf_bytes(&head));
	expect_ok(bench_call(&x->r, x->a, "coffer.push", &params), 2);
	a = pull(x, 0, "chunks", -1);
	step = answer_chunk(&a, 2, &name);
	assert_int_equal(param_bytes(step, "head", HEAD_MAX_BLOB, &got), 0);
	unit_assert_bytes(got, buf_bytes(&head));
	answer_release(&a);
	params_space(&params, "space", &x->space);
	a = bench_call(&x->r, x->a, "coffer.head", &params);
	assert_int_equal(count_of(a.last.value, "heads"), 1);
	assert_int_equal(answer_uint(&a, "cursor"), 2);
	answer_release(&a);
	sealed_release(&one);
	buf_release(&head);
}

/* By all who may push there together; who may not uses nothing up. */
static void pushes_into_one_space_are_counted(void **state)
{
	struct push_scene *x = *state;
	struct config *c = x->r.relay.config;
	struct sealed one[3], foreign;

	c->limits.space_pushes_burst = 2;
	c->limits.space_pushes_per_minute = 1;
	limits_configure(x->r.relay.rates, c);
	for (size_t i = 0; i < COUNT(one); i++)
		one[i] = record_of(x, (struct sealed_params){ 0 });
	sealed_record(&x->bob, &x->s, (struct sealed_params){ 0 }, &foreign);
	for (int i = 0; i < 5; i++)
		expect_refused(push_all(x, x->b, -1, &foreign, 1, NULL, 0), "forbidden");
	expect_ok(push(x, &one[0]), 2);
	expect_ok(push(x, &one[1]), 3);
	expect_refused(push(x, &one[2]), "rate_limited");
	fake_env_advance(x->r.env, 60 * 1000000000ll);
	expect_ok(push(x, &one[2]), 4);
	for (size_t i = 0; i < COUNT(one); i++)
		sealed_release(&one[i]);
	sealed_release(&foreign);
}

static void bring_head(struct push_scene *x, struct caller *c, struct bytes head, const char *refusal)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&params);
	char text[ID16_TEXT_SIZE];
	struct answer a;

	id16_format(&x->space, text);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "head");
	cbor_put_bytes(&e, head.p, head.len);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, text);
	assert_int_equal(cbor_enc_end(&e), 0);
	a = bench_call(&x->r, c, "coffer.head", &params);
	assert_true(refusal ? answer_refused(&a, refusal) : !a.last.is_error && count_of(a.last.value, "heads") == 1);
	answer_release(&a);
}

/* Its own, as it signed it, if it reads the space. */
static void a_device_brings_its_own_head(void **state)
{
	struct push_scene *x = *state;
	struct buf head = BUF_INIT(HEAD_MAX_BLOB);

	party_cut(&x->alice, x->s.log, &head);
	bring_head(x, x->a, buf_bytes(&head), NULL);
	bring_head(x, x->b, buf_bytes(&head), "bad_request"); /* another's */
	bring_head(x, x->a, bytes_of(head.data, head.len - 1), "bad_request");
	bring_head(x, x->a, bytes_of(NULL, 0), "bad_request");
	head.data[head.len - 1] ^= 1;
	bring_head(x, x->a, buf_bytes(&head), "bad_request");
	buf_clear(&head);
	party_cut(&x->bob, x->s.log, &head);
	bring_head(x, x->b, buf_bytes(&head), "forbidden");
	buf_release(&head);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, push_scene_setup, push_scene_teardown)
	const struct CMUnitTest tests[] = {
		T(test_cursors_and_swap),
		T(test_conflict_names_ids),
		T(test_order),
		T(test_batch_is_one_commit_with_order),
		T(test_bad_records),
		T(test_chunks_again),
		T(test_strangers),
		T(test_reader_and_writer),
		T(test_writer_writes_and_heals),
		T(test_epochs),
		T(test_missing_chunks),
		T(test_pull),
		T(test_pull_in_slices),
		T(test_get),
		T(test_append_again_and_conflict),
		T(test_survives_restart),
		T(test_unnamed_chunks_go),
		T(test_passing_versions_go_at_once),
		T(test_invites),
		T(test_expired_join),
		T(test_heads),
		T(pushes_into_one_space_are_counted),
		T(a_device_brings_its_own_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
