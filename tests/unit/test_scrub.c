/* SPDX-License-Identifier: Apache-2.0 */
/* The check finds what a disk changed or lost among rows: logs, membership chains, records and what they replaced. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/hash.h"
#include "server/depot_plain.h"
#include "server/scrub.h"
#include "tests/lib/relay_bench.h"
#include "wire/head.h"

#define SAID 1000

struct scene {
	struct relay_bench r;
	struct depot_space sp;
	struct depot_plain plain;
	char said[SAID];
};

static struct id16 id_of(uint8_t n)
{
	return (struct id16){ { [15] = n } };
}

static struct line line_of(enum line_kind kind, uint8_t n, const char *was)
{
	struct line l = { .kind = kind, .id = id_of(n) };

	hash_sha256(bytes_str(was), &l.hash);
	return l;
}

static void put_step(struct scene *x, struct depot_step step, const struct line *lines, size_t n)
{
	struct buf b = BUF_INIT(4096);

	assert_int_equal(lines_put(&b, lines, n), 0);
	step.lines = buf_bytes(&b);
	assert_int_equal(depot_step_put(x->r.relay.store, x->sp.no, &step), 0);
	buf_release(&b);
}

static void put_version(struct scene *x, uint64_t number, uint8_t id, uint64_t cursor, const char *is)
{
	struct depot_version v = { .number = number, .cursor = cursor, .id = id_of(id), .blob = bytes_str(is) };
	struct id32 hash;

	hash_sha256(bytes_str(is), &hash);
	assert_int_equal(depot_versions_put(x->r.relay.store, x->sp.no, &v, &hash, 1), 0);
}

/* Two entries, two records of two versions each, of which the first two are replaced. */
static void fill_space(struct scene *x, const char *entry, const char *replaced)
{
	struct depot *s = x->r.relay.store;
	const struct line log[] = { line_of(LINE_ENTRY, 0, "genesis"), line_of(LINE_ENTRY, 1, "entry") },
			  first[] = { line_of(LINE_RECORD, 1, "one"), line_of(LINE_RECORD, 2, "two") },
			  second[] = { line_of(LINE_RECORD, 1, "one new"), line_of(LINE_RECORD, 2, "two new") };

	assert_int_equal(depot_space_create(s, &x->sp), 0);
	put_step(x, (struct depot_step){ .cursor = 1, .entries = 2 }, log, 2);
	put_step(x, (struct depot_step){ .cursor = 2, .versions = 2 }, first, 2);
	put_step(x, (struct depot_step){ .cursor = 3, .first_version = 2, .versions = 2 }, second, 2);
	assert_int_equal(depot_entry_put(s, x->sp.no, 0, bytes_str("genesis")), 0);
	if (entry)
		assert_int_equal(depot_entry_put(s, x->sp.no, 1, bytes_str(entry)), 0);
	put_version(x, 0, 1, 2, "one");
	put_version(x, 1, 2, 2, replaced);
	put_version(x, 2, 1, 3, "one new");
	put_version(x, 3, 2, 3, "two new");
	assert_int_equal(depot_version_expire(s, x->sp.no, 0, 1000), 0);
	assert_int_equal(depot_version_expire(s, x->sp.no, 1, 1000), 0);
}

static void fill_plain(struct scene *x, size_t n, const char *last)
{
	struct depot *s = x->r.relay.store;
	struct id32 hash;

	assert_int_equal(depot_plain_create(s, &x->plain), 0);
	hash_sha256(bytes_str("payload"), &hash);
	for (size_t i = 0; i < n; i++) {
		struct depot_item it = { .kind = DEPOT_MEMBER,
			.id = id_of((uint8_t)i),
			.cursor = i,
			.object = bytes_of(hash.b, sizeof hash.b),
			.blob = bytes_str(i == n - 1 ? last : "payload") };

		assert_int_equal(depot_item_put(s, x->plain.no, &it), 0);
	}
}

static void note(void *ctx, const char *what, const struct id16 *id, const char *why)
{
	struct scene *x = ctx;
	size_t n = strlen(x->said);

	snprintf(x->said + n, sizeof x->said - n, "%s %d %s; ", what, id->b[15] + id->b[0], why);
}

static struct scrub check(const char *entry, const char *replaced, const char *member, char said[SAID])
{
	struct scene *x = calloc(1, sizeof *x);
	struct scrub s = { .bad = note, .ctx = x };
	struct config *c;

	assert_non_null(x);
	relay_bench_open(&x->r);
	x->sp = (struct depot_space){ .id = { { 7 } }, .retention = 1 };
	x->plain = (struct depot_plain){ .id = { { 8 } }, .cursor = 100 };
	assert_int_equal(depot_begin(x->r.relay.store), 0);
	fill_space(x, entry, replaced);
	fill_plain(x, 40, member);
	assert_int_equal(depot_commit(x->r.relay.store), 0);
	c = bench_config(x->r.dir, x->r.database);
	assert_int_equal(scrub_run(&s, env_system(), c), 0);
	config_free(c);
	relay_bench_close(&x->r);
	memcpy(said, x->said, SAID);
	free(x);
	return s;
}

static void what_is_whole_is_counted(void **state)
{
	char said[SAID];
	struct scrub s = check("entry", "two", "payload", said);

	(void)state;
	assert_string_equal(said, "");
	assert_int_equal(s.records, 2);
	assert_int_equal(s.versions, 2);
	assert_int_equal(s.entries, 42);
	assert_int_equal(s.damaged, 0);
}

static void each_damage_is_named(void **state)
{
	char said[SAID];

	(void)state;
	assert_int_equal(check("Entry", "two", "payload", said).damaged, 1);
	assert_string_equal(said, "log of space 7 has changed on the disk; ");
	assert_int_equal(check(NULL, "two", "payload", said).damaged, 1);
	assert_string_equal(said, "log of space 7 lacks an entry; ");
	assert_int_equal(check("entry", "Two", "payload", said).damaged, 1);
	assert_string_equal(said, "replaced version of record 2 has changed on the disk; ");
	assert_int_equal(check("entry", "two", "Payload", said).damaged, 1);
	assert_string_equal(said, "membership of space 8 has changed on the disk; ");
	assert_int_equal(check("Entry", "Two", "Payload", said).damaged, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_whole_is_counted),
		cmocka_unit_test(each_damage_is_named) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
