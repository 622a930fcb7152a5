/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay that has no room for chunks: what is queued behind them, on a device of tests/lib/sim_world.h. The answers to its PUTs are
 * made here; all else is the model relay's.
 */
#include "fusefs/sync_room.h"
#include "tests/lib/sim_people.h"
#include "tests/lib/unit.h"

#define LARGE (SYNC_INLINE_PLAIN + 40000u) /* goes by PUT */
#define SECOND (1000 * SIM_MS)

static uint64_t make_dir(struct sim_device *d, const char *name)
{
	struct node_new fresh = { .kind = NODE_DIR, .mode = 0755, .owner = *identity_person(d->party.id) };
	struct node n;

	assert_int_equal(store_create(d->f->store, d->root, bytes_str(name), &fresh, &n), 0);
	return n.ino;
}

static uint64_t make_file(struct sim_device *d, uint64_t dir, const char *name, size_t len)
{
	struct node_new fresh = { .kind = NODE_FILE, .mode = 0644, .owner = *identity_person(d->party.id) };
	static uint8_t data[4u << 20];
	uint64_t state = len;
	struct node n;

	assert_true(len <= sizeof data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(unit_random(&state) >> 13);
	assert_int_equal(store_create(d->f->store, dir, bytes_str(name), &fresh, &n), 0);
	assert_int_equal(store_write(d->f->store, n.ino, 0, data, len), 0);
	return n.ino;
}

static void cut_down(struct sim_device *d, uint64_t ino)
{
	struct node n = { .size = 0 };

	assert_int_equal(store_setattr(d->f->store, ino, ATTR_SIZE, &n, &n), 0);
}

static void remove_file(struct sim_device *d, uint64_t dir, const char *name)
{
	uint64_t ino;

	assert_int_equal(store_unlink(d->f->store, dir, bytes_str(name), false, &ino), 0);
}

static size_t puts_of(const struct sim_device *d)
{
	size_t n = 0;

	for (const struct sim_sent *s = d->peer->sent; s; s = s->next)
		n += strcmp(s->method, "put") == 0 && s->answer.result;
	return n;
}

static void refuse_puts(struct sim_device *d)
{
	for (struct sim_sent *s = d->peer->sent, *next; s; s = next) {
		next = s->next;
		if (strcmp(s->method, "put") != 0)
			continue;
		assert_ptr_equal(sim_take_sent(d->peer, s->num), s);
		if (s->answer.result)
			s->answer.result(s->answer.ctx, ERR_RELAY_FULL, bytes_of(NULL, 0), bytes_of(NULL, 0));
		sim_free_sent(s);
	}
}

/* Seals what was changed; no answer comes. */
static void seal(struct sim_device *d)
{
	for (unsigned i = 0; i < 5; i++)
		sim_tick(d, 20 * SIM_MS);
	assert_int_equal(sim_dirty_nodes(d), 0);
}

/* Time passes, and the relay answers: it takes no chunks. */
static void pass(struct sim_device *d, int64_t ns)
{
	for (unsigned i = 0; i < 10; i++) {
		sim_tick(d, i == 0 ? ns : 0);
		do {
			refuse_puts(d);
		} while (sim_carry_up(d) || sim_carry_down(d));
	}
}

static bool is_queued(const struct sim_device *d, uint64_t ino)
{
	return sync_push_find(d->ss, ino) != NULL;
}

static void start(void)
{
	sim_open(1);
	sim.meanwhile = sim_rest;
}

enum { JOINED, NEXT, RESTART };

/* cp d1/big d2; mv d2/x d1; rm d1/big: the rename joins the folders' lanes, and the deletion stands in one of them: in the same cut, in
 * the next one, and after a restart. */
static void a_deletion_behind_joined_lanes_waits(void **state)
{
	(void)state;
	for (int how = JOINED; how <= RESTART; how++) {
		start();
		struct sim_device *d = &sim.d[0];
		uint64_t d1 = make_dir(d, "d1"), d2 = make_dir(d, "d2"), big = make_file(d, d1, "big", LARGE);
		uint64_t x = make_file(d, d2, "x", 3), none;
		sim_come_to_rest(1, NULL);
		uint64_t copy = make_file(d, d2, "big", LARGE);
		seal(d);
		assert_int_equal(store_rename(d->f->store, d2, bytes_str("x"), d1, bytes_str("x"), 0, &none), 0);
		if (how == NEXT)
			seal(d);
		remove_file(d, d1, "big");
		seal(d);
		assert_true(is_queued(d, copy) && is_queued(d, x) && is_queued(d, big));
		assert_int_equal(sync_push_find(d->ss, big)->barrier, how != NEXT);
		if (how == RESTART) {
			sim_restart(d);
			sim_go_online(d);
		}
		pass(d, 20 * SIM_MS);
		pass(d, 20 * SIM_MS);
		assert_int_equal(d->ss->alarm, ERR_RELAY_FULL);
		assert_false(is_queued(d, x));
		for (unsigned i = 0; i < 9; i++) {
			pass(d, 60 * SECOND);
			assert_true(is_queued(d, copy) && is_queued(d, big));
		}
		/* What a person deletes now is known to be meant. */
		remove_file(d, d1, "x");
		pass(d, 20 * SIM_MS);
		pass(d, 20 * SIM_MS);
		assert_false(is_queued(d, x));
		pass(d, 60 * SECOND);
		pass(d, 60 * SECOND);
		assert_true(is_queued(d, copy));
		assert_false(is_queued(d, big));
		sim_come_to_rest(1, NULL);
		sim_compare(1);
		sim_close();
	}
}

/* cp a b; : > a */
static void what_is_cut_down_waits_as_a_deletion_does(void **state)
{
	(void)state;
	start();
	struct sim_device *d = &sim.d[0];
	uint64_t a = make_file(d, d->root, "a", LARGE), c = make_file(d, d->root, "c", 3);
	uint64_t meant = make_file(d, d->root, "meant", 3), later = make_file(d, d->root, "later", 3);
	sim_come_to_rest(1, NULL);
	uint64_t b = make_file(d, d->root, "b", LARGE);
	seal(d);
	cut_down(d, a);
	sim_edit(d, "c", "longer");
	uint64_t fresh = sim_make_file(d, "fresh", "new");
	seal(d);
	assert_true(is_queued(d, b) && is_queued(d, a) && is_queued(d, c) && is_queued(d, fresh));
	pass(d, 20 * SIM_MS);
	pass(d, 20 * SIM_MS);
	assert_true(is_queued(d, b) && is_queued(d, a));
	assert_false(is_queued(d, c) || is_queued(d, fresh));
	/* The version that waits could hold what is deleted behind it. */
	remove_file(d, d->root, "later");
	cut_down(d, meant);
	seal(d);
	pass(d, SECOND / 2);
	assert_true(is_queued(d, a) && is_queued(d, later));
	pass(d, 300 * SECOND);
	assert_true(is_queued(d, a) && is_queued(d, later) && is_queued(d, meant));
	for (unsigned i = 0; i < 6; i++)
		pass(d, 60 * SECOND);
	assert_true(is_queued(d, b));
	assert_false(is_queued(d, a) || is_queued(d, later) || is_queued(d, meant));
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	sim_close();
}

/* Chunks that are on their way do not keep the one from being sent that asks for room; but only one asks. */
static void one_chunk_asks_for_room_while_others_flow(void **state)
{
	(void)state;
	start();
	struct sim_device *d = &sim.d[0];
	sim_come_to_rest(1, NULL);
	uint64_t refused = make_file(d, d->root, "refused", 3u << 20);
	seal(d);
	assert_true(puts_of(d) > 1);
	refuse_puts(d);
	(void)make_file(d, d->root, "flows", LARGE);
	for (unsigned i = 0; i < 5; i++)
		sim_tick(d, 20 * SIM_MS);
	size_t flow = puts_of(d);
	assert_true(flow > 0);
	assert_true(sync_push_find(d->ss, refused)->aside);
	sim_tick(d, 2 * SECOND);
	sim_tick(d, 0);
	assert_true(sync_push_find(d->ss, refused)->doubtful);
	assert_int_equal(puts_of(d), flow + 1);
	sim_go_offline(d);
	assert_int_equal(d->ss->room.asking, 0);
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	assert_int_equal(d->ss->room.asking, 0);
	sim_close();
}

/* Asked once a minute while the alarm stands, and at once on another connection; forgotten with it. */
static void a_full_relay_is_asked_what_it_keeps(void **state)
{
	(void)state;
	start();
	struct sim_device *d = &sim.d[0];
	sim_come_to_rest(1, NULL);
	pass(d, 200 * SECOND);
	assert_int_equal(model_relay_usages(sim.relay), 0);
	(void)make_file(d, d->root, "large", LARGE);
	seal(d);
	pass(d, 20 * SIM_MS);
	pass(d, 20 * SIM_MS);
	assert_int_equal(d->ss->alarm, ERR_RELAY_FULL);
	assert_true(d->ss->usage.told.known && d->ss->usage.told.counted);
	assert_int_equal(d->ss->usage.told.used, MODEL_USED);
	assert_int_equal(d->ss->usage.told.history, MODEL_HISTORY);
	assert_int_equal(model_relay_usages(sim.relay), 1);
	pass(d, 50 * SECOND);
	assert_int_equal(model_relay_usages(sim.relay), 1);
	pass(d, 11 * SECOND);
	assert_int_equal(model_relay_usages(sim.relay), 2);
	sim_go_offline(d);
	sim_go_online(d);
	for (unsigned i = 0; i < 5; i++)
		pass(d, 2 * SECOND);
	assert_int_equal(model_relay_usages(sim.relay), 3);
	remove_file(d, d->root, "large");
	seal(d);
	pass(d, 20 * SIM_MS);
	pass(d, 20 * SIM_MS);
	assert_int_equal(d->ss->alarm, 0);
	assert_false(d->ss->usage.told.known);
	pass(d, 100 * SECOND);
	assert_int_equal(model_relay_usages(sim.relay), 3);
	sim_come_to_rest(1, NULL);
	sim_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_deletion_behind_joined_lanes_waits),
		cmocka_unit_test(what_is_cut_down_waits_as_a_deletion_does),
		cmocka_unit_test(one_chunk_asks_for_room_while_others_flow),
		cmocka_unit_test(a_full_relay_is_asked_what_it_keeps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
