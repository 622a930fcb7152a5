/* SPDX-License-Identifier: Apache-2.0 */
/* What the store keeps for the plain protocol: spaces, items in order, objects of files, revocations, mail, deeds, facts. */
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>
#include "server/depot_plain.h"
#include "tests/lib/test_database.h"
#include "tests/lib/unit.h"

struct scene {
	char dir[64], database[TEST_DATABASE_SIZE];
	struct depot *d;
	struct depot_plain sp;
};

static struct id16 id_of(unsigned n)
{
	struct id16 id = { { 0 } };

	id.b[0] = 0x77;
	id.b[15] = (uint8_t)n;
	return id;
}

static int setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);

	assert_non_null(x);
	snprintf(x->dir, sizeof x->dir, "/tmp/depot.XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	test_database_new(x->database);
	assert_int_equal(depot_open(env_system(), x->database[0] ? x->database : x->dir, &x->d), 0);
	assert_int_equal(depot_begin(x->d), 0);
	x->sp = (struct depot_plain){ .id = id_of(1), .root_key_len = 33, .generation = 1, .min_generation = 1 };
	x->sp.root_key[0] = 2;
	assert_int_equal(depot_plain_create(x->d, &x->sp), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct scene *x = *state;
	char command[128];

	depot_close(x->d);
	test_database_drop(x->database);
	snprintf(command, sizeof command, "rm -rf '%s'", x->dir);
	assert_int_equal(system(command), 0);
	free(x);
	return 0;
}

static void put(struct scene *x, enum depot_kind kind, unsigned id, uint64_t cursor, const char *blob)
{
	const struct id16 record = id_of(9);
	struct depot_item it = { .kind = kind, .id = id_of(id), .cursor = cursor, .blob = bytes_str(blob) };

	if (kind == DEPOT_FILE) {
		it.link = bytes_of(record.b, 16);
		it.object = bytes_of(it.id.b, 16);
	}
	assert_int_equal(depot_item_put(x->d, x->sp.no, &it), 0);
}

struct seen {
	char text[256];
	int stop;
};

static int note(void *ctx, const struct depot_item *it)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	snprintf(s->text + n, sizeof s->text - n, "%u:%u@%llu=%.*s ", it->kind, it->id.b[15],
		(unsigned long long)it->cursor, (int)it->blob.len, (const char *)it->blob.p);
	return s->stop && --s->stop == 0 ? 7 : 0;
}

static void test_space(void **state)
{
	struct scene *x = *state;
	struct depot_plain got;
	const struct id16 other = id_of(2);

	assert_int_equal(depot_plain_find(x->d, &other, &got), ERR_NOT_FOUND);
	x->sp.cursor = 5;
	x->sp.rewrap = 2;
	x->sp.generation = 2;
	assert_int_equal(depot_plain_update(x->d, &x->sp), 0);
	assert_int_equal(depot_plain_find(x->d, &x->sp.id, &got), 0);
	assert_memory_equal(&got, &x->sp, sizeof got);
}

static void test_items_in_order(void **state)
{
	struct scene *x = *state;
	struct depot_place from = { 0 };
	struct seen s = { "", 0 };

	put(x, DEPOT_RECORD, 2, 1, "b");
	put(x, DEPOT_RECORD, 1, 1, "a");
	put(x, DEPOT_MEMBER, 1, 2, "m");
	put(x, DEPOT_FILE, 3, 3, "");
	put(x, DEPOT_RECORD, 2, 4, "B");
	assert_int_equal(depot_items(x->d, x->sp.no, 7, &from, UINT64_MAX >> 1, note, &s), 0);
	assert_string_equal(s.text, "1:1@1=a 4:1@2=m 2:3@3= 1:2@4=B ");
	/* some kinds, from a place on, up to a cursor, until stopped */
	s = (struct seen){ "", 0 };
	from = (struct depot_place){ .cursor = 1, .kind = DEPOT_RECORD, .id = id_of(1) };
	assert_int_equal(depot_items(x->d, x->sp.no, DEPOT_RECORD | DEPOT_MEMBER, &from, 3, note, &s), 0);
	assert_string_equal(s.text, "4:1@2=m ");
	s = (struct seen){ "", 1 };
	assert_int_equal(depot_items(x->d, x->sp.no, 7, &from, 9, note, &s), 7);
	assert_string_equal(s.text, "4:1@2=m ");
}

static int keep_dek(void *ctx, const struct depot_item *it)
{
	snprintf(ctx, 8, "%.*s", (int)it->dek.len, (const char *)it->dek.p);
	return 5;
}

static void test_dek(void **state)
{
	struct scene *x = *state;
	const struct id16 id = id_of(1), no = id_of(2);
	char dek[8];

	put(x, DEPOT_RECORD, 1, 1, "a");
	assert_int_equal(depot_item_dek(x->d, x->sp.no, DEPOT_RECORD, &no, bytes_str("k")), ERR_NOT_FOUND);
	assert_int_equal(depot_item_dek(x->d, x->sp.no, DEPOT_FILE, &id, bytes_str("k")), ERR_NOT_FOUND);
	assert_int_equal(depot_item_dek(x->d, x->sp.no, DEPOT_RECORD, &id, bytes_str("k")), 0);
	assert_int_equal(depot_item_get(x->d, x->sp.no, DEPOT_RECORD, &id, keep_dek, dek), 5);
	assert_string_equal(dek, "k");
	assert_int_equal(depot_item_get(x->d, x->sp.no, DEPOT_RECORD, &no, keep_dek, dek), ERR_NOT_FOUND);
}

static int count_object(void *ctx, const struct id16 *space, const struct id16 *object)
{
	assert_int_equal(space->b[15], 1);
	assert_int_equal(object->b[15], 3);
	++*(int *)ctx;
	return 0;
}

static void test_files_become_garbage(void **state)
{
	struct scene *x = *state;
	const struct id16 record = id_of(9), object = id_of(3);
	struct seen s = { "", 0 };
	int n = 0;

	put(x, DEPOT_RECORD, 9, 1, "r");
	put(x, DEPOT_FILE, 3, 2, "");
	assert_int_equal(depot_files_drop(x->d, &x->sp, &record, 100), 0);
	assert_int_equal(depot_items(x->d, x->sp.no, 7, &(struct depot_place){ 0 }, 9, note, &s), 0);
	assert_string_equal(s.text, "1:9@1=r ");
	assert_int_equal(depot_garbage(x->d, 100, 10, count_object, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(depot_garbage(x->d, 101, 10, count_object, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(depot_garbage_remove(x->d, &x->sp.id, &object), 0);
	assert_int_equal(depot_garbage(x->d, 101, 10, count_object, &n), 0);
	assert_int_equal(n, 1);
}

static void test_revocations(void **state)
{
	struct scene *x = *state;
	const struct id32 cid = { { 1 } }, other = { { 2 } };

	assert_int_equal(depot_revoke(x->d, x->sp.no, &cid), 0);
	assert_int_equal(depot_revoke(x->d, x->sp.no, &cid), 0);
	assert_int_equal(depot_is_revoked(x->d, x->sp.no, &cid), 1);
	assert_int_equal(depot_is_revoked(x->d, x->sp.no, &other), 0);
	assert_int_equal(depot_is_revoked(x->d, x->sp.no + 1, &cid), 0);
}

static int note_mail(void *ctx, const struct depot_mail *m)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	snprintf(s->text + n, sizeof s->text - n, "%u@%lld=%.*s ", m->id.b[15], (long long)m->created,
		(int)m->payload.len, (const char *)m->payload.p);
	return 0;
}

static void put_mail(struct scene *x, unsigned id, unsigned box, int64_t created, int64_t expires)
{
	struct depot_mail m = { .id = id_of(id),
		.mailbox = { { (uint8_t)box } },
		.created = created,
		.expires = expires,
		.payload = bytes_str("p") };

	assert_int_equal(depot_mail_put(x->d, &m), 0);
}

static void test_mail(void **state)
{
	struct scene *x = *state;
	const struct id32 box = { { 1 } };
	struct id16 none = { { 0 } }, id = id_of(2);
	struct seen s = { "", 0 };

	put_mail(x, 2, 1, 1000, 50);
	put_mail(x, 1, 1, 1000, 60);
	put_mail(x, 3, 1, 900, 10);
	put_mail(x, 4, 2, 900, 60);
	assert_int_equal(depot_mails(x->d, &box, -1, &none, 5, 10, note_mail, &s), 0);
	assert_string_equal(s.text, "3@900=p 1@1000=p 2@1000=p ");
	s = (struct seen){ "", 0 };
	none = id_of(1);
	assert_int_equal(depot_mails(x->d, &box, 1000, &none, 5, 10, note_mail, &s), 0);
	assert_string_equal(s.text, "2@1000=p ");
	assert_int_equal(depot_mail_expire(x->d, 10, 10), 1);
	assert_int_equal(depot_mail_remove(x->d, &id), 0);
	s = (struct seen){ "", 0 };
	assert_int_equal(depot_mail_get(x->d, &id, note_mail, &s), ERR_NOT_FOUND);
	assert_int_equal(depot_mails(x->d, &box, -1, &(struct id16){ 0 }, 5, 10, note_mail, &s), 0);
	assert_string_equal(s.text, "1@1000=p ");
}

static int count_mail(void *ctx, const struct depot_mail *m)
{
	size_t *n = ctx;

	(void)m;
	return ++*n == 150;
}

/* More than stands in one page of an engine. */
static void test_many_letters(void **state)
{
	struct scene *x = *state;
	const struct id32 box = { { 9 } };
	const struct id16 none = { { 0 } };
	size_t n = 0;

	for (unsigned i = 1; i <= 100; i++)
		put_mail(x, i, 9, 1000 + i / 50, 50);
	assert_int_equal(depot_mails(x->d, &box, -1, &none, 5, 200, count_mail, &n), 0);
	assert_int_equal(n, 100);
	assert_int_equal(depot_mails(x->d, &box, -1, &none, 5, 70, count_mail, &n), 1); /* where it was stopped */
	assert_int_equal(n, 150);
	n = 0;
	assert_int_equal(depot_mails(x->d, &box, -1, &none, 5, 70, count_mail, &n), 0);
	assert_int_equal(n, 70);
	assert_int_equal(depot_mail_expire(x->d, 50, 30), 30);
	assert_int_equal(depot_mail_expire(x->d, 50, 100), 70);
}

static int count_head(void *ctx, const struct id32 *device, uint64_t cursor, struct bytes blob)
{
	size_t *n = ctx;

	assert_int_equal(cursor, (unsigned)device->b[0] << 8 | device->b[1]);
	unit_assert_bytes(blob, bytes_str("head"));
	++*n;
	return 0;
}

static int count_current(void *ctx, uint64_t space, const struct depot_version *v, const struct id32 *hash)
{
	size_t *n = ctx;

	(void)hash;
	assert_int_equal(v->number, space * 100 + v->id.b[15]);
	++*n;
	return 0;
}

static void put_current(struct scene *x, uint64_t space, uint64_t number, unsigned id)
{
	struct depot_version v = { .number = number, .id = id_of(id), .blob = bytes_str("r") };

	assert_int_equal(depot_versions_put(x->d, space, &v, &(struct id32){ { 1 } }, 1), 0);
}

static void test_many_heads_and_records(void **state)
{
	struct scene *x = *state;
	size_t heads = 0, records = 0;

	for (unsigned i = 0; i < 1100; i++) {
		const struct id32 device = { { (uint8_t)(i >> 8), (uint8_t)i } };

		assert_int_equal(depot_head_put(x->d, 3, &device, i, bytes_str("head")), 0);
	}
	for (unsigned i = 0; i < 80; i++) {
		put_current(x, 1, 100 + i, i);
		put_current(x, 2, 200 + i, i);
	}
	assert_int_equal(depot_heads(x->d, 3, count_head, &heads), 0);
	assert_int_equal(heads, 1100);
	assert_int_equal(depot_currents(x->d, 0, &(struct id16){ 0 }, 1000, count_current, &records), 0);
	assert_int_equal(records, 160);
	records = 0;
	assert_int_equal(depot_currents(x->d, 1, &(struct id16){ { [15] = 49 } }, 70, count_current, &records), 0);
	assert_int_equal(records, 70);
}

static void test_deeds_and_facts(void **state)
{
	struct scene *x = *state;
	const struct id32 who = { { 1 } }, other = { { 2 } };
	struct buf b = BUF_INIT(64);

	for (int i = 0; i < 3; i++)
		assert_int_equal(depot_deed_put(x->d, "invite", &who, 100 + i), 0);
	assert_int_equal(depot_deeds(x->d, "invite", &who, 100), 2);
	assert_int_equal(depot_deeds(x->d, "invite", &other, 0), 0);
	assert_int_equal(depot_deeds(x->d, "append", &who, 0), 0);
	assert_int_equal(depot_deed_expire(x->d, 102, 1), 1);
	assert_int_equal(depot_deeds(x->d, "invite", &who, 0), 2);
	assert_int_equal(depot_deed_expire(x->d, 102, 10), 1);
	assert_int_equal(depot_deeds(x->d, "invite", &who, 0), 1);
	assert_int_equal(depot_fact_get(x->d, "owner", &b), ERR_NOT_FOUND);
	assert_int_equal(depot_fact_put(x->d, "owner", bytes_str("a")), 0);
	assert_int_equal(depot_fact_put(x->d, "owner", bytes_str("bc")), 0);
	assert_int_equal(depot_fact_get(x->d, "owner", &b), 0);
	assert_int_equal(b.len, 2);
	buf_release(&b);
}

static void test_next_writer_knows_whether_the_machine_stayed_up(void **state)
{
	struct scene *x = *state;

	assert_false(depot_same_boot(x->d)); /* nobody was there before */
	assert_int_equal(depot_commit(x->d), 0);
	depot_close(x->d);
	assert_int_equal(depot_open(env_system(), x->database[0] ? x->database : x->dir, &x->d), 0);
	assert_true(depot_same_boot(x->d));
}

static void test_store_of_format_1_is_brought_on(void **state)
{
	struct scene *x = *state;
	struct depot_plain got;
	char path[96];
	sqlite3 *db;

	if (!test_database_is_sqlite())
		return; /* there is no earlier format yet */
	assert_int_equal(depot_commit(x->d), 0);
	depot_close(x->d);
	snprintf(path, sizeof path, "%s/relay.db", x->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db,
			"UPDATE meta SET format = 1; DROP TABLE plain; DROP TABLE items; DROP TABLE garbage;"
			"DROP TABLE revoked; DROP TABLE mail; DROP TABLE deeds; DROP TABLE facts;"
			"DROP TRIGGER chunk_adds; DROP TRIGGER chunk_frees; DROP TRIGGER version_adds;"
			"DROP TRIGGER version_frees; DROP INDEX spaces_owner; ALTER TABLE spaces DROP COLUMN bytes;"
			"ALTER TABLE spaces DROP COLUMN owner; ALTER TABLE chunks DROP COLUMN sum;"
			"DROP INDEX versions_replaced; ALTER TABLE steps DROP COLUMN time; ALTER TABLE steps DROP "
			"COLUMN healed;"
			"DROP INDEX chunks_object; ALTER TABLE chunks DROP COLUMN object",
			NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(depot_open(env_system(), x->dir, &x->d), 0);
	assert_int_equal(depot_plain_find(x->d, &x->sp.id, &got), ERR_NOT_FOUND);
	assert_int_equal(depot_begin(x->d), 0);
	assert_int_equal(depot_plain_create(x->d, &x->sp), 0);
	assert_int_equal(depot_commit(x->d), 0);
	depot_close(x->d);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE meta SET format = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(depot_open(env_system(), x->dir, &x->d), ERR_VERSION);
	x->d = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_space),
		TEST(test_items_in_order),
		TEST(test_dek),
		TEST(test_files_become_garbage),
		TEST(test_revocations),
		TEST(test_mail),
		TEST(test_many_letters),
		TEST(test_many_heads_and_records),
		TEST(test_deeds_and_facts),
		TEST(test_next_writer_knows_whether_the_machine_stayed_up),
		TEST(test_store_of_format_1_is_brought_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
