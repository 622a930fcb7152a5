/* SPDX-License-Identifier: Apache-2.0 */
/* Single cases of sending and receiving, on the devices of tests/lib/sim_world.h: each was wrong once. */
#include <sodium.h>
#include "base/cleanup.h"
#include "crypto/open_chunk.h"
#include "crypto/seal_core.h"
#include "tests/lib/sim_people.h"
#include "tests/lib/unit.h"
#include "wire/map.h"

static void take_name(struct sim_device *d)
{
	uint64_t ino;

	if (store_unlink(d->f->store, d->root, bytes_str("a"), false, &ino) == 0)
		assert_true(ino > 0);
}

/* A temporary file as programs make them: its name is gone at once, and it is written to. */
static void a_file_without_a_name_is_never_waited_for(void **state)
{
	(void)state;
	sim_open(1);
	struct sim_device *d = &sim.d[0];
	uint64_t ino = sim_make_file(d, "a", "one");
	store_hold_open(d->f->store, ino);
	take_name(d);
	assert_int_equal(store_write(d->f->store, ino, 3, "two", 3), 0);
	sim_come_to_rest(1, NULL);
	assert_int_equal(sim_dirty_nodes(d), 0);
	/* The same with a file that others know: its tombstone goes, and what is written to it later does not matter. */
	uint64_t known = sim_make_file(d, "a", "one");
	sim_come_to_rest(1, NULL);
	store_hold_open(d->f->store, known);
	take_name(d);
	sim_come_to_rest(1, NULL);
	assert_int_equal(store_write(d->f->store, known, 3, "two", 3), 0);
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	store_release_open(d->f->store, ino);
	store_release_open(d->f->store, known);
	sim_come_to_rest(1, NULL);
	sim_close();
}

/* The name goes between the moment that a cut shows and the moment when its records are queued. */
static void a_file_unlinked_while_it_is_sealed_is_nowhere(void **state)
{
	(void)state;
	for (int held = 0; held < 2; held++) {
		sim_open(1);
		struct sim_device *d = &sim.d[0];
		sim_come_to_rest(1, NULL);
		uint64_t ino = sim_make_file(d, "a", "one");
		if (held)
			store_hold_open(d->f->store, ino);
		sim.meanwhile = take_name;
		sim_come_to_rest(1, NULL);
		if (held)
			store_release_open(d->f->store, ino);
		sim_come_to_rest(1, NULL);
		sim_compare(1);
		for (unsigned i = 0; i < SIM_DEVICES; i++) {
			struct node n;
			assert_int_equal(
				store_lookup(sim.d[i].f->store, sim.d[i].root, bytes_str("a"), &n), ERR_NOT_FOUND);
		}
		sim_close();
	}
}

/* Killed with a version under way, and the file changed again before the answer could come. */
static void a_restart_keeps_one_version_in_flight(void **state)
{
	(void)state;
	sim_open(1);
	struct sim_device *d = &sim.d[0];
	uint64_t ino = sim_make_file(d, "a", "one");
	sim_come_to_rest(1, NULL);
	assert_int_equal(store_write(d->f->store, ino, 0, "two", 3), 0);
	sim_tick(d, 0);
	sim_tick(d, 30 * SIM_MS);
	assert_int_equal(d->ss->n_items, 1);
	sim_restart(d);
	assert_int_equal(store_write(d->f->store, ino, 0, "six", 3), 0);
	sim_go_online(d);
	for (unsigned i = 0; i < 20; i++) {
		sim_tick(d, 1000 * SIM_MS);
		assert_true(d->ss->n_items <= 1);
		(void)sim_carry_up(d);
		(void)sim_carry_down(d);
	}
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	sim_close();
}

/* The blob of a chunk of d as another version of the program would have sealed it: with another nonce. */
static void seal_otherwise(struct sim_device *d, struct bytes blob, struct buf *out)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	CLEANUP(buf_release) struct buf aad = BUF_INIT(CHUNK_MAX_BLOB), inner = BUF_INIT(CHUNK_MAX_BLOB);
	struct store_txn *t;
	struct chunk_row c;
	struct chunk parts;

	assert_int_equal(chunk_decode(blob, &parts), 0);
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_chunk_find(t, d->ss->row, &parts.id, &c), 0);
	store_abort(&t);
	assert_int_equal(store_read_chunk(d->f->store, c.row, &plain), 0);
	assert_int_equal(buf_put(&aad, CHUNK_LABEL, strlen(CHUNK_LABEL)), 0);
	assert_int_equal(buf_put(&aad, parts.header.p, parts.header.len), 0);
	struct seal_job job = { .label = CHUNK_LABEL, .key = c.key, .aad = buf_bytes(&aad), .squeeze = true };
	assert_int_equal(seal_core(&job, buf_bytes(&plain), &inner), 0);
	assert_int_equal(chunk_put(out, parts.header, buf_bytes(&inner)), 0);
}

static const struct sim_sent *first_put(struct sim_device *d)
{
	const struct sim_sent *s = NULL;

	for (unsigned i = 0; i < 20 && !s; i++) {
		sim_tick(d, 30 * SIM_MS);
		for (s = d->peer->sent; s && strcmp(s->method, "put") != 0; s = s->next)
			;
	}
	assert_non_null(s);
	return s;
}

/* A chunk went up, the answer was lost, and the program that sends it again is another version. */
static void a_chunk_that_was_sealed_otherwise_is_taken_for_there(void **state)
{
	static char text[200000];
	struct buf theirs = BUF_INIT(CHUNK_MAX_BLOB);

	(void)state;
	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = (char)('a' + randombytes_uniform(26)); /* longer than what travels in a push */
	sim_open(1);
	struct sim_device *d = &sim.d[0];
	sim_come_to_rest(1, NULL);
	(void)sim_make_file(d, "a", text);
	const struct sim_sent *s = first_put(d);
	seal_otherwise(d, bytes_of(s->item, s->len), &theirs);
	assert_false(bytes_equal(buf_bytes(&theirs), bytes_of(s->item, s->len)));
	struct id16 id = s->chunk;
	model_relay_put(sim.relay, SIM_DEVICES, 1, &id, buf_bytes(&theirs));
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	unit_assert_bytes(model_relay_chunk(sim.relay, &id), buf_bytes(&theirs));
	buf_release(&theirs);
	sim_close();
}

/* One removes a directory, the other puts a file into it: it is shown. Then the file goes, and the directory with it, everywhere. */
static void a_removed_directory_goes_with_what_lived_in_it(void **state)
{
	struct node_new fresh = { .kind = NODE_DIR, .mode = 0755, .owner = { { 1 } } };
	struct node_new file = { .kind = NODE_FILE, .mode = 0644, .owner = { { 1 } } };
	struct node dir, n;
	uint64_t ino;

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	struct sim_device *a = &sim.d[0], *b = &sim.d[1];
	assert_int_equal(store_create(a->f->store, a->root, bytes_str("d"), &fresh, &dir), 0);
	sim_come_to_rest(1, NULL);
	sim_go_offline(b);
	assert_int_equal(store_unlink(a->f->store, a->root, bytes_str("d"), true, &ino), 0);
	sim_come_to_rest(1, b);
	assert_int_equal(store_lookup(b->f->store, b->root, bytes_str("d"), &dir), 0);
	assert_int_equal(store_create(b->f->store, dir.ino, bytes_str("x"), &file, &n), 0);
	sim_come_to_rest(1, NULL);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		assert_int_equal(store_lookup(sim.d[i].f->store, sim.d[i].root, bytes_str("d"), &n), 0);
	assert_int_equal(store_unlink(b->f->store, dir.ino, bytes_str("x"), false, &ino), 0);
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		assert_int_equal(store_lookup(sim.d[i].f->store, sim.d[i].root, bytes_str("d"), &n), ERR_NOT_FOUND);
	sim_close();
}

/* Temporary files by the thousand, gone before anything of them was sent: a barrier finds that out, some of them each turn. */
static void a_barrier_looks_at_some_of_its_files_each_turn(void **state)
{
	char name[16];
	uint64_t ino;

	(void)state;
	sim_open(1);
	struct sim_device *d = &sim.d[0];
	sim_come_to_rest(1, NULL);
	sim_go_offline(d);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "%u", i);
		(void)sim_make_file(d, name, "x");
	}
	sim.next_token = 1; /* what the relay has need not be here */
	sim_begin_wait(d);
	sim_tick(d, 0);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "%u", i);
		assert_int_equal(store_unlink(d->f->store, d->root, bytes_str(name), false, &ino), 0);
	}
	assert_int_equal(sim_dirty_nodes(d), 0);
	sync_run_jobs(&d->sync, false);
	assert_non_null(d->sync.waiting);
	for (unsigned i = 0; i < 4; i++)
		sync_run_jobs(&d->sync, false);
	assert_null(d->sync.waiting);
	assert_int_equal(sim_end_wait(d), 0);
	sim_come_to_rest(1, NULL);
	sim_close();
}

/* A directory of another space in which a name was freed that somebody claims: a scan of this one leaves it to that one's. */
static void a_name_touched_in_another_space_is_left_to_it(void **state)
{
	struct link claim = { .id = { { 1 } }, .name = "a", .name_len = 1, .shown = "a (2)", .shown_len = 5 };
	char name[NODE_MAX_NAME + 1] = "";
	struct store_txn *t = NULL;
	uint64_t parent = 0, ino;
	uint8_t len = 0;

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	struct sim_device *d = &sim.d[0];
	struct node n = { .space = d->f->space, .id = { { 1 } }, .kind = NODE_FILE, .mode = 0644, .version = 1 };
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_node_add(t, &n, bytes_of(NULL, 0)), 0);
	claim.ino = n.ino;
	claim.parent = claim.shown_parent = d->f->root;
	assert_int_equal(txn_link_put(t, &claim), 0);
	assert_int_equal(store_commit(&t), 0);
	(void)store_fixture_make(d->f, d->f->root, "a", NODE_FILE);
	assert_int_equal(store_unlink(d->f->store, d->f->root, bytes_str("a"), false, &ino), 0);
	sim_come_to_rest(1, NULL);
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_touched_take(t, d->f->space, &parent, name, &len), 0);
	assert_int_equal(parent, d->f->root);
	assert_string_equal(name, "a");
	store_abort(&t);
	sim_close();
}

struct reader {
	struct sim_device *d;
	uint64_t row;
};

static void *read_thread(void *arg)
{
	struct reader *r = arg;
	return (void *)(intptr_t)sync_fetch(&r->d->sync, r->row, INT64_MAX / 2, NULL, NULL);
}

static int read_row(struct sim_device *d, uint64_t row)
{
	struct reader r = { d, row };
	pthread_t thread;
	void *err;

	assert_int_equal(pthread_create(&thread, NULL, read_thread, &r), 0);
	while (!sim_has_jobs(d))
		sched_yield();
	while (sim_has_jobs(d)) {
		sync_run_jobs(&d->sync, false);
		sync_fetch_pump(&d->sync, sync_now(&d->sync));
		(void)sim_carry_up(d);
		(void)sim_carry_down(d);
	}
	assert_int_equal(pthread_join(thread, &err), 0);
	return (int)(intptr_t)err;
}

/* The chunk that the file begins with, which is not here. */
static uint64_t absent_row(struct sim_device *d, const char *name)
{
	uint64_t chunk = 0;
	struct node n;
	size_t len;
	char c;

	assert_int_equal(store_lookup(d->f->store, d->root, bytes_str(name), &n), 0);
	assert_int_equal(store_read(d->f->store, n.ino, 0, &c, 1, &len, &chunk), ERR_ABSENT);
	return chunk;
}

/* Two chunks are asked for, one of them ahead, and there is no memory: who reads the other later is not told of that. */
static void a_read_ahead_that_failed_is_forgotten(void **state)
{
	static char text[200000];

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	for (unsigned i = 0; i < 2; i++) {
		for (size_t k = 0; k < sizeof text - 1; k++)
			text[k] = (char)('a' + randombytes_uniform(26));
		(void)sim_make_file(&sim.d[0], i ? "b" : "a", text);
		sim_come_to_rest(1, NULL);
	}
	struct sim_device *d = &sim.d[1];
	uint64_t a = absent_row(d, "a"), b = absent_row(d, "b");
	assert_in_range(b, a + 1, a + 16);
	sim_go_online(d);
	d->sync.last_fetch_row = a - 1;
	d->sync.fetch_ahead = 8; /* twice as many now */
	d->peer->no_gets = true;
	assert_int_equal(read_row(d, a), ERR_NOMEM);
	d->peer->no_gets = false;
	assert_int_equal(read_row(d, b), 0);
	assert_int_equal(read_row(d, a), 0);
	sim_go_offline(d);
	sync_fetch_free(&d->sync);
	sim_close();
}

/* Attributes that compress well are little on the wire and much in the store. */
static void what_is_more_than_a_transaction_arrives(void **state)
{
	enum { FILES = 320, LEN = 56 << 10 };
	struct buf got = BUF_INIT(LEN);
	uint8_t *value = calloc(1, LEN);
	char name[16];
	struct node n;

	(void)state;
	assert_non_null(value);
	sim_open(1);
	sim.meanwhile = sim_rest;
	struct sim_device *a = &sim.d[0];
	sim_go_offline(a);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "f%u", i);
		uint64_t ino = sim_make_file(a, name, name);
		assert_int_equal(store_setxattr(a->f->store, ino, "user.a", bytes_of(value, LEN), 0), 0);
	}
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &sim.d[i];

		assert_int_equal(d->ss->alarm, OK);
		assert_int_equal(store_lookup(d->f->store, d->root, bytes_str("f319"), &n), 0);
		buf_clear(&got);
		assert_int_equal(store_getxattr(d->f->store, n.ino, "user.a", &got), 0);
		assert_int_equal(got.len, LEN);
	}
	buf_release(&got);
	free(value);
	sim_close();
}

/* A notice of one step gets lost, as on a connection whose queue is cut: the next one does not follow on, and both are pulled. */
static void a_notice_that_follows_nothing_makes_it_pull(void **state)
{
	struct sim_device *a, *b;
	struct model_event *lost = NULL;
	uint64_t connection;

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	a = &sim.d[0];
	b = &sim.d[1];
	(void)sim_make_file(a, "before", "text");
	sim_come_to_rest(1, NULL);
	connection = b->peer->connection;
	(void)sim_make_file(a, "lost", "text");
	for (unsigned i = 0; i < 1000 && !(lost = model_relay_next(sim.relay, b->number)); i++) {
		sim_tick(a, 20 * SIM_MS);
		while (sim_carry_up(a) || sim_carry_down(a))
			;
	}
	assert_non_null(lost);
	assert_int_equal(lost->kind, MODEL_NOTICE);
	model_event_free(lost);
	sim_tick(b, 20 * SIM_MS);
	assert_null(b->peer->sent); /* it knows nothing of it */
	(void)sim_make_file(a, "after", "text");
	sim_come_to_rest(1, NULL);
	assert_int_equal(b->peer->connection, connection);
	assert_int_equal(b->ss->alarm, OK);
	assert_int_equal(sim_look_up(b, "lost").size, 4);
	assert_int_equal(sim_look_up(b, "after").size, 4);
	sim_close();
}

/* It subscribes again, and asks for what came after its cursor. */
static void a_new_connection_goes_on_from_the_cursor(void **state)
{
	struct sim_device *a, *b;
	struct sim_sent *s;
	uint64_t cursor;

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	a = &sim.d[0];
	b = &sim.d[1];
	(void)sim_make_file(a, "before", "text");
	sim_come_to_rest(1, NULL);
	cursor = b->space->row.cursor;
	sim_go_offline(b);
	(void)sim_make_file(a, "meanwhile", "text");
	sim_come_to_rest(1, b);
	assert_true(model_relay_cursor(sim.relay) > cursor);
	sim_go_online(b);
	sim_tick(b, 20 * SIM_MS);
	s = b->peer->sent;
	assert_non_null(s);
	assert_string_equal(s->method, "subscribe");
	assert_true(sim_carry_up(b));
	for (int i = 0; i < 10 && b->peer->sent && strcmp(b->peer->sent->method, "subscribe") == 0; i++)
		(void)sim_carry_down(b);
	sim_tick(b, 20 * SIM_MS);
	for (s = b->peer->sent; s && strcmp(s->method, "coffer.pull") != 0;)
		s = s->next;
	assert_non_null(s);
	assert_int_equal(map_get_uint(bytes_of(s->item, s->len), "since", 0), cursor);
	while (sim_carry_up(b) || sim_carry_down(b))
		sim_tick(b, 20 * SIM_MS);
	assert_int_equal(sim_look_up(b, "meanwhile").size, 4);
	assert_int_equal(b->space->row.cursor, model_relay_cursor(sim.relay));
	sim_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_without_a_name_is_never_waited_for),
		cmocka_unit_test(a_file_unlinked_while_it_is_sealed_is_nowhere),
		cmocka_unit_test(a_barrier_looks_at_some_of_its_files_each_turn),
		cmocka_unit_test(a_restart_keeps_one_version_in_flight),
		cmocka_unit_test(a_removed_directory_goes_with_what_lived_in_it),
		cmocka_unit_test(a_name_touched_in_another_space_is_left_to_it),
		cmocka_unit_test(a_read_ahead_that_failed_is_forgotten),
		cmocka_unit_test(a_chunk_that_was_sealed_otherwise_is_taken_for_there),
		cmocka_unit_test(what_is_more_than_a_transaction_arrives),
		cmocka_unit_test(a_notice_that_follows_nothing_makes_it_pull),
		cmocka_unit_test(a_new_connection_goes_on_from_the_cursor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
