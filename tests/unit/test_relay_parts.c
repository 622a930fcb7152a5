/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts of the relay: number sets, limits, the hub, chunk files. */
#include <stdlib.h>
#include <unistd.h>
#include "server/hub.h"
#include "server/limits.h"
#include "server/mailbox.h"
#include "server/seen.h"
#include "tests/lib/relay_bench.h"

#define SECOND 1000000000ll

static void new_limits(struct limits **ret_l)
{
	struct config *c = bench_config("unused", "");

	assert_int_equal(limits_new(env_system(), c, ret_l), 0);
	config_free(c);
}

static void test_number_set(void **state)
{
	struct number_set *s = calloc(1, sizeof *s);
	enum { SPAN = NUMBER_SET_MAX }; /* never more runs than there is room for */
	bool in[SPAN] = { false };
	uint64_t seed = 3;

	(void)state;
	assert_non_null(s);
	for (int i = 0; i < 5000; i++) {
		uint64_t v = unit_random(&seed) % SPAN;

		if (unit_random(&seed) % 3) {
			number_set_add(s, v);
			in[v] = true;
		} else {
			number_set_remove(s, v);
			in[v] = false;
		}
		for (uint64_t k = v > 3 ? v - 3 : 0; k < v + 3 && k < SPAN; k++)
			assert_int_equal(number_set_has(s, k), in[k]);
	}
	for (size_t i = 1; i < s->n; i++)
		assert_true(s->runs[i - 1].last + 1 < s->runs[i].first);
	/* full: the lowest are forgotten, the newest kept */
	memset(s, 0, sizeof *s);
	for (uint64_t v = 0; v < 3 * NUMBER_SET_MAX; v++)
		number_set_add(s, 2 * v);
	assert_int_equal(s->n, NUMBER_SET_MAX);
	assert_true(number_set_has(s, 2 * (3 * NUMBER_SET_MAX - 1)));
	assert_false(number_set_has(s, 0));
	number_set_add(s, UINT64_MAX);
	assert_true(number_set_has(s, UINT64_MAX));
	free(s);
}

static void bytes_are_charged_after_what_went_before(void **state)
{
	struct config *c;
	struct limits *l;
	const int64_t minute = 60 * SECOND;

	(void)state;
	assert_int_equal(config_new(&c), 0);
	assert_int_equal(limits_new(env_system(), c, &l), 0);
	for (int i = 0; i < 100; i++) /* any amount, unless somebody says otherwise */
		assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 1ull << 40, 0), 0);
	c->limits.device_kib_burst = 4;
	c->limits.device_kib_per_minute = 2;
	limits_configure(l, c);
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 3000, SECOND), 0); /* 3 KiB of 4 */
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 8192, SECOND), 0); /* the last one: all of it */
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 1, SECOND), ERR_RATE_LIMITED);
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "b", 1, SECOND), 0);
	assert_int_equal(limits_charge(l, LIMIT_SPACE_BYTES, "a", 1, SECOND), 0);
	/* 11 KiB are owed, of which 3 may stand: 4 minutes */
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 1, SECOND + 4 * minute - 1), ERR_RATE_LIMITED);
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 1, SECOND + 4 * minute), 0);
	limits_owe(l, LIMIT_DEVICE_BYTES, "a", 1, SECOND + 4 * minute); /* what was sent counts, and is not refused */
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 1, SECOND + 5 * minute - 1), ERR_RATE_LIMITED);
	assert_int_equal(limits_charge(l, LIMIT_DEVICE_BYTES, "a", 1, SECOND + 5 * minute), 0);
	limits_free(l);
	config_free(c);
}

static void what_a_device_is_answered_is_charged_to_its_next_request(void **state)
{
	struct config *c;
	struct limits *l;
	struct caller *one = caller_new(&(struct id32){ { 1 } }, &(struct id32){ { 1 } }, "192.0.2.1", true);
	struct caller *two = caller_new(&(struct id32){ { 2 } }, &(struct id32){ { 2 } }, "192.0.2.1", true);

	(void)state;
	assert_true(one && two);
	one->plain.subject = (struct id32){ { 1 } };
	two->plain.subject = (struct id32){ { 2 } };
	assert_int_equal(config_new(&c), 0);
	c->limits.device_kib_burst = 4;
	c->limits.device_kib_per_minute = 1;
	assert_int_equal(limits_new(env_system(), c, &l), 0);
	assert_int_equal(caller_ask(one, l, 100, SECOND), 0);
	assert_int_equal(caller_ask(one, l, 100, SECOND), 0);
	caller_owe(one, l, 3000, SECOND);
	assert_int_equal(caller_ask(one, l, 100, SECOND), ERR_RATE_LIMITED);
	assert_int_equal(caller_ask(two, l, 100, SECOND), 0);
	limits_free(l);
	config_free(c);
	caller_unref(one);
	caller_unref(two);
}

static void test_limits(void **state)
{
	struct limits *l;
	int64_t now = SECOND;

	(void)state;
	new_limits(&l);
	for (int i = 0; i < 10; i++)
		assert_int_equal(limits_take(l, LIMIT_INVITE, "a", now), 0);
	assert_int_equal(limits_take(l, LIMIT_INVITE, "a", now), ERR_RATE_LIMITED);
	assert_int_equal(limits_take(l, LIMIT_INVITE, "b", now), 0);  /* another address */
	assert_int_equal(limits_take(l, LIMIT_GENESIS, "a", now), 0); /* another thing */
	now += 6 * SECOND;
	assert_int_equal(limits_take(l, LIMIT_INVITE, "a", now), 0);
	assert_int_equal(limits_take(l, LIMIT_INVITE, "a", now), ERR_RATE_LIMITED);
	limits_free(l);
}

/* Addresses that would all stand in one place of an unkeyed table (this sum is FNV-1a, which the table once used) do not drive one
 * another out. */
static void chosen_addresses_push_nobody_out(void **state)
{
	struct limits *l;
	char addr[32], first[32] = "";
	size_t n = 0;

	(void)state;
	new_limits(&l);
	for (unsigned i = 0; n < 40; i++) {
		uint64_t h = 1469598103934665603ull + LIMIT_INVITE;

		snprintf(addr, sizeof addr, "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
		for (const char *p = addr; *p; p++)
			h = (h ^ (uint8_t)*p) * 1099511628211ull;
		if (h % 512)
			continue;
		if (n++ == 0)
			snprintf(first, sizeof first, "%s", addr);
		for (int64_t k = 0; k < 10; k++)
			assert_int_equal(limits_take(l, LIMIT_INVITE, addr, SECOND + (int64_t)n), 0);
	}
	assert_int_equal(limits_take(l, LIMIT_INVITE, first, SECOND + (int64_t)n), ERR_RATE_LIMITED);
	limits_free(l);
}

static void test_misses_back_off(void **state)
{
	struct limits *l;
	int64_t now = SECOND, waited = 0, last = 0;

	(void)state;
	new_limits(&l);
	for (int i = 0; i < 12; i++) {
		int64_t start = now;

		while (limits_take(l, LIMIT_INVITE, "a", now) < 0)
			now += SECOND;
		last = now - start;
		waited += last;
		limits_miss(l, LIMIT_INVITE, "a", now);
		/* someone who tries as often as allowed keeps the bucket full */
		limits_miss(l, LIMIT_INVITE, "a", now);
		limits_miss(l, LIMIT_INVITE, "a", now);
	}
	assert_true(last >= 600 * SECOND);
	assert_true(waited >= 3000 * SECOND);
	/* many addresses do not push a blocked one out of the table at once */
	for (int i = 0; i < 1000; i++) {
		char addr[32];

		snprintf(addr, sizeof addr, "10.0.%d.%d", i / 256, i % 256);
		assert_int_equal(limits_take(l, LIMIT_INVITE, addr, now), 0);
	}
	assert_int_equal(limits_take(l, LIMIT_INVITE, "a", now), ERR_RATE_LIMITED);
	limits_free(l);
}

struct ear {
	struct subscriber s;
	int heard, revoked;
};

static void hear(void *ctx, struct message *m)
{
	(void)m;
	((struct ear *)ctx)->heard++;
}

static void lose(void *ctx, const struct id16 *space)
{
	(void)space;
	((struct ear *)ctx)->revoked++;
}

static void test_hub(void **state)
{
	struct relay_bench r;
	struct party alice, bob;
	struct new_space s;
	struct caller *c;
	struct space *sp;
	struct hub *h;
	struct ear ears[3];
	struct buf b = message_buf();
	struct message *m;
	const struct grant grant = { .exp = 50 };
	const struct id16 plain = { { 7 } };

	(void)state;
	relay_bench_open(&r);
	party_init(&alice, "a");
	party_init(&bob, "b");
	party_space(&alice, &s);
	c = bench_caller(&alice);
	bench_space(&r, c, &s);
	assert_int_equal(hub_new(env_system(), r.relay.spaces, &h), 0);
	assert_int_equal(spaces_get(r.relay.spaces, r.reader, log_space(s.log), &sp), 0);
	assert_int_equal(buf_put(&b, "\xa0", 1), 0);
	m = message_take(&b);
	for (uint64_t i = 0; i < 3; i++) {
		ears[i] =
			(struct ear){ .s = { .id = i, .max = 10, .deliver = hear, .revoked = lose, .ctx = &ears[i] } };
		ears[i].s.device = *identity_device(i == 2 ? bob.id : alice.id); /* the third may not read */
		assert_int_equal(hub_subscribe(h, &ears[i].s, &sp->id, sp, NULL), 0);
		assert_int_equal(hub_subscribe(h, &ears[i].s, &sp->id, sp, NULL), 0);
		assert_int_equal(ears[i].s.n, 1);
	}
	assert_true(hub_look(h, &sp->id));
	assert_false(hub_look(h, &sp->id)); /* one at a time, */
	assert_false(hub_look(h, &sp->id));
	assert_true(hub_looked(h, &sp->id)); /* and one more for what came meanwhile */
	assert_false(hub_looked(h, &sp->id));
	assert_true(hub_look(h, &sp->id));
	assert_false(hub_looked(h, &sp->id));
	assert_false(hub_look(h, &plain)); /* nobody listens */
	assert_int_equal(hub_publish(h, &sp->id, m, 0, 0), 1);
	assert_int_equal(ears[0].heard, 0);
	assert_int_equal(ears[1].heard, 1);
	assert_int_equal(ears[2].heard, 0);
	assert_int_equal(ears[2].revoked, 1);
	assert_int_equal(ears[2].s.n, 0);
	assert_true(hub_may_hear(h, &ears[1].s, &sp->id, 0));
	assert_false(hub_may_hear(h, &ears[2].s, &sp->id, 0));
	assert_int_equal(hub_subscribe(h, &ears[2].s, &sp->id, sp, NULL), 0);
	assert_false(hub_may_hear(h, &ears[2].s, &sp->id, 0)); /* before anything was delivered */
	hub_unsubscribe(h, &ears[2].s, &sp->id);
	assert_int_equal(hub_subscribe(h, &ears[2].s, &plain, NULL, &grant), 0);
	assert_true(hub_may_hear(h, &ears[2].s, &plain, 50));
	assert_false(hub_may_hear(h, &ears[2].s, &plain, 51));
	hub_leave(h, &ears[2].s);
	hub_unsubscribe(h, &ears[1].s, log_space(s.log));
	assert_int_equal(hub_publish(h, &sp->id, m, 77, 0), 1);
	hub_leave(h, &ears[0].s);
	assert_int_equal(hub_publish(h, &sp->id, m, 77, 0), 0);
	message_unref(m);
	spaces_put(r.relay.spaces, sp);
	hub_free(h);
	caller_unref(c);
	new_space_release(&s);
	party_release(&alice);
	party_release(&bob);
	relay_bench_close(&r);
}

static void test_chunk_files(void **state)
{
	struct relay_bench r;
	struct blobs *b;
	struct id16 space = sealed_id(), ids[20];
	struct buf got = BUF_INIT(1 << 20);
	uint8_t data[100000];

	(void)state;
	relay_bench_open(&r);
	b = r.relay.blobs;
	memset(data, 7, sizeof data);
	for (size_t i = 0; i < COUNT(ids); i++) {
		ids[i] = sealed_id();
		assert_int_equal(blob_put(b, &space, &ids[i], bytes_of(data, sizeof data)), 0);
	}
	assert_int_equal(blob_sync(b, &space, ids, 3), 0);
	assert_int_equal(blob_sync(b, &space, ids, COUNT(ids)), 0);
	assert_int_equal(blob_get(b, &space, &ids[1], 10, 1000, &got), 0);
	unit_assert_bytes(buf_bytes(&got), bytes_of(data + 10, 1000));
	assert_int_equal(blob_get(b, &space, &ids[1], sizeof data - 5, 6, &got), ERR_CORRUPT);
	assert_int_equal(got.len, 1000);
	assert_int_equal(blob_remove(b, &space, &ids[1]), 0);
	assert_int_equal(blob_remove(b, &space, &ids[1]), 0);
	assert_int_equal(blob_get(b, &space, &ids[1], 0, 1, &got), ERR_NOT_FOUND);
	/* a failing disk leaves nothing behind under the name */
	for (unsigned long n = 1; n < 8; n++) {
		struct id16 id = sealed_id();
		int err;

		fake_env_fail(r.env, FAKE_ANY, n, ERR_NO_SPACE, false);
		err = blob_put(b, &space, &id, bytes_of(data, sizeof data));
		if (!fake_env_failed(r.env))
			break;
		fake_env_fail(r.env, FAKE_ANY, 0, 0, false);
		if (err < 0)
			assert_int_equal(blob_get(b, &space, &id, 0, 1, &got), ERR_NOT_FOUND);
	}
	fake_env_fail(r.env, FAKE_ANY, 0, 0, false);
	buf_release(&got);
	relay_bench_close(&r);
}

static size_t count_seats(const struct mailboxes *m, const struct id32 *mailbox)
{
	size_t n = 0;

	for (struct mailbox_seat *s = mailboxes_first(m, mailbox); s; s = mailbox_next(s))
		n += s->owner == s;
	return n;
}

static void test_mailboxes(void **state)
{
	const struct id32 one = { .b = { 1, 2, 3 } }, two = { .b = { 1, 2, 4 } }; /* of one bucket */
	struct mailbox_seat s[5] = { 0 };
	struct mailboxes *m;

	(void)state;
	assert_int_equal(mailboxes_new(env_system(), &m), 0);
	assert_null(mailboxes_first(m, &one));
	for (size_t i = 0; i < 5; i++)
		mailboxes_join(m, &s[i], i % 2 ? &two : &one, &s[i]);
	assert_int_equal(count_seats(m, &one), 3);
	assert_int_equal(count_seats(m, &two), 2);
	mailboxes_join(m, &s[0], &two, &s[0]); /* leaves the other */
	assert_int_equal(count_seats(m, &one), 2);
	assert_int_equal(count_seats(m, &two), 3);
	for (size_t i = 0; i < 5; i++) {
		mailbox_leave(&s[i]);
		mailbox_leave(&s[i]);
		assert_int_equal(count_seats(m, &one) + count_seats(m, &two), 4 - i);
	}
	mailboxes_free(m);
}

static struct id32 key_of(uint32_t i)
{
	struct id32 key = { { 1 } };

	memcpy(key.b + 8, &i, sizeof i);
	return key;
}

static void test_seen(void **state)
{
	const struct id32 good = key_of(7), other = key_of(8);
	struct seen *s;
	uint32_t what = 0;

	(void)state;
	assert_int_equal(seen_new(env_system(), 1024, sizeof what, &s), 0);
	assert_false(seen_find(s, &(struct id32){ { 0 } }, 4000, &what));
	assert_false(seen_find(s, &good, 4000, &what));
	seen_keep(s, &good, 4000, 5000, &(uint32_t){ 77 });
	assert_true(seen_find(s, &good, 4999, &what));
	assert_int_equal(what, 77);
	assert_false(seen_find(s, &good, 5000, &what)); /* over */
	assert_false(seen_find(s, &good, 3999, &what)); /* another clock */
	assert_false(seen_find(s, &other, 4000, &what));
	/* however many come, each is found by its own text alone */
	for (uint32_t i = 0; i < 5000; i++) {
		const struct id32 key = key_of(i);

		seen_keep(s, &key, 4000, 5000, &i);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		const struct id32 key = key_of(i);

		assert_true(!seen_find(s, &key, 4000, &what) || what == i);
	}
	seen_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number_set),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(bytes_are_charged_after_what_went_before),
		cmocka_unit_test(what_a_device_is_answered_is_charged_to_its_next_request),
		cmocka_unit_test(chosen_addresses_push_nobody_out),
		cmocka_unit_test(test_misses_back_off),
		cmocka_unit_test(test_hub),
		cmocka_unit_test(test_chunk_files),
		cmocka_unit_test(test_mailboxes),
		cmocka_unit_test(test_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
