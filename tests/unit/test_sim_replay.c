/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay that brings older versions again, each signed by a member and in a history that all devices agree on; and members whose
 * records go to the ends of what a record may say.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "tests/lib/heap.h"
#include "tests/lib/sim_people.h"
#include "tests/lib/unit.h"
#include "wire/map.h"

static void read_is(struct sim_device *d, const char *name, const char *want)
{
	struct node n = sim_look_up(d, name);
	char got[64] = "";
	size_t len = 0;
	uint64_t chunk;

	assert_int_equal(store_read(d->f->store, n.ino, 0, got, sizeof got - 1, &len, &chunk), 0);
	got[len] = 0;
	assert_string_equal(got, want);
}

static size_t names(struct sim_device *d)
{
	struct sim_listing l;

	sim_list(d, d->root, &l);
	return l.n;
}

static void repeat(const struct id16 *record)
{
	model_relay_bring(sim.relay, record, model_relay_first(sim.relay, record));
}

/* Whoever has seen the newer version keeps it and says so, also a deletion; work on it goes on here. */
static void an_older_version_shown_again_is_refused(void **state)
{
	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	struct sim_device *d = &sim.d[0];
	(void)sim_make_file(d, "a", "first");
	(void)sim_make_file(d, "b", "gone");
	sim_come_to_rest(1, NULL);
	struct id16 a = sim_look_up(d, "a").id, b = sim_look_up(d, "b").id;
	uint64_t ino;
	sim_edit(d, "a", "second");
	assert_int_equal(store_unlink(d->f->store, d->root, bytes_str("b"), false, &ino), 0);
	sim_come_to_rest(1, NULL);
	repeat(&a);
	repeat(&b);
	sim_come_to_rest(1, NULL);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		read_is(&sim.d[i], "a", "second");
		assert_int_equal(names(&sim.d[i]), 1);
		assert_int_equal(sim.d[i].ss->alarm, ERR_ROLLBACK);
		assert_int_equal(sim.d[i].ss->space->row.cursor, model_relay_cursor(sim.relay));
	}
	sim_close();
}

static void empty_events(struct sim_device *d)
{
	while (sim_carry_up(d) || sim_carry_down(d))
		;
}

/* What is changed on top of the newer version is not taken by such a relay: it is tried now and then, not without end. */
static void an_edit_that_the_relay_never_takes_is_tried_now_and_then(void **state)
{
	unsigned pushes = 0;

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	struct sim_device *d = &sim.d[0];
	(void)sim_make_file(d, "a", "first");
	sim_come_to_rest(1, NULL);
	struct id16 a = sim_look_up(d, "a").id;
	sim_edit(d, "a", "second");
	sim_come_to_rest(1, NULL);
	repeat(&a);
	sim_come_to_rest(1, NULL);
	sim_edit(d, "a", "third!");
	for (unsigned i = 0; i < 6000; i++) { /* a minute */
		sim_tick(d, 10 * SIM_MS);
		for (const struct sim_sent *s = d->peer->sent; s; s = s->next)
			pushes += strcmp(s->method, "coffer.push") == 0;
		empty_events(d);
	}
	read_is(d, "a", "third!");
	assert_in_range(pushes, 2, 100);
	sim_close();
}

/* One step after the other in no time, as fast as the relay answers. */
static unsigned calls_in_no_time(struct sim_device *d, const char *method, const char *error)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&item);
	unsigned calls = 0;

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, false);
	cbor_put_text(&e, "error");
	cbor_put_text(&e, error);
	assert_int_equal(cbor_enc_end(&e), 0);
	for (unsigned i = 0; i < 200; i++) {
		sim_tick(d, 0);
		for (struct sim_sent *s = d->peer->sent, *next; s; s = next) {
			next = s->next;
			if (strcmp(s->method, method) != 0)
				continue;
			calls++;
			if (strcmp(method, "coffer.push") != 0)
				continue;
			assert_ptr_equal(sim_take_sent(d->peer, s->num), s);
			s->answer.result(s->answer.ctx, 0, bytes_of(NULL, 0), buf_bytes(&item));
			sim_free_sent(s);
		}
		empty_events(d);
	}
	return calls;
}

static void a_relay_that_announces_what_it_does_not_bring_is_asked_a_few_times(void **state)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);
	CLEANUP(map_release) struct map m = MAP_INIT;

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	struct sim_device *d = &sim.d[0];
	(void)sim_make_file(d, "a", "first");
	sim_come_to_rest(1, NULL);
	map_uint(&m, "prev", 999999);
	map_uint(&m, "cursor", 1000000);
	map_uuid(&m, "space", &d->space->row.id);
	assert_int_equal(map_put(&m, &b), 0);
	d->peer->config.notify(d->peer->config.ctx, d->peer, bytes_str("coffer.sync"), buf_bytes(&b));
	assert_in_range(calls_in_no_time(d, "coffer.pull", ""), 1, 10);
	sim_edit(&sim.d[1], "a", "second");
	sim_come_to_rest(1, NULL);
	read_is(d, "a", "second");
	sim_close();
}

static void a_relay_that_refuses_without_a_reason_is_asked_again_later(void **state)
{
	static const char *const errors[] = { "order", "missing" };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		sim_open(1);
		sim.meanwhile = sim_rest;
		struct sim_device *d = &sim.d[0];
		(void)sim_make_file(d, "a", "first");
		sim_come_to_rest(1, NULL);
		sim_edit(d, "a", "second");
		for (unsigned k = 0; k < 5; k++)
			sim_tick(d, 20 * SIM_MS);
		assert_in_range(calls_in_no_time(d, "coffer.push", errors[i]), 1, 4);
		sim_come_to_rest(1, NULL);
		read_is(&sim.d[2], "a", "second");
		sim_close();
	}
}

/* The notice of an own version, brought after the next one was confirmed, because the relay answers a push and a pull side by side. */
static void a_step_from_before_what_is_here_changes_nothing(void **state)
{
	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	struct sim_device *d = &sim.d[0], *other = &sim.d[1];
	(void)sim_make_file(d, "a", "first");
	sim_come_to_rest(1, NULL);
	struct id32 chain = d->ss->space->row.chain;
	uint64_t cursor = d->ss->space->row.cursor;
	sim_edit(d, "a", "second");
	for (unsigned i = 0; i < 10; i++) {
		sim_tick(d, 20 * SIM_MS);
		empty_events(d);
	}
	struct model_event *notice = model_relay_next(sim.relay, other->number);
	assert_non_null(notice);
	assert_int_equal(notice->kind, MODEL_NOTICE);
	sim_edit(d, "a", "third!");
	sim_come_to_rest(1, NULL);
	d->ss->space->row.cursor = cursor;
	d->ss->space->row.chain = chain;
	d->peer->config.notify(
		d->peer->config.ctx, d->peer, bytes_str(notice->name), bytes_of(notice->item, notice->len));
	sim_tick(d, 0);
	assert_int_equal(d->ss->space->row.cursor, cursor + 1);
	read_is(d, "a", "third!");
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	model_event_free(notice);
	sim_close();
}

/* A member may give a version any number: what follows the last one has that one too, and goes on being taken. */
static void numbers_end_without_an_end_of_the_file(void **state)
{
	struct store_txn *t = NULL;
	struct node n;

	(void)state;
	sim_open(1);
	sim.meanwhile = sim_rest;
	(void)sim_make_file(&sim.d[0], "a", "first");
	sim_come_to_rest(1, NULL);
	n = sim_look_up(&sim.d[1], "a");
	n.version = RECORD_MAX_VERSION - 1;
	assert_int_equal(store_begin(sim.d[1].f->store, &t), 0);
	assert_int_equal(txn_node_put(t, &n), 0);
	assert_int_equal(store_commit(&t), 0);
	sim_edit(&sim.d[1], "a", "second");
	sim_come_to_rest(1, NULL);
	assert_true(sim_look_up(&sim.d[2], "a").version == RECORD_MAX_VERSION);
	sim_edit(&sim.d[0], "a", "third!");
	sim_come_to_rest(1, NULL);
	sim_edit(&sim.d[2], "a", "fourth");
	sim_edit(&sim.d[2], "a", "fifth!");
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	read_is(&sim.d[1], "a", "fifth!");
	sim_close();
}

/* Who has the file keeps it; who has not gets what there is. They differ, and it is said. */
static void a_file_that_becomes_another_kind_is_refused_aloud(void **state)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct id32 hash;

	(void)state;
	sim_open(1);
	(void)sim_make_file(&sim.d[0], "a", "first");
	sim_come_to_rest(1, NULL);
	struct node n = sim_look_up(&sim.d[1], "a");
	struct node_body body = { .kind = NODE_FIFO, .mode = 0644, .owner = n.owner };
	assert_int_equal(space_seal_record(sim.d[1].space, sim.d[1].party.id, &n.id, n.version + 1,
				 bytes_of(n.base.b, sizeof n.base.b), 0, &body, &blob, &hash),
		0);
	model_relay_bring(sim.relay, &n.id, buf_bytes(&blob));
	sim_come_to_rest(1, NULL);
	read_is(&sim.d[0], "a", "first");
	assert_int_equal(sim.d[0].ss->alarm, ERR_INVALID);
	sim_close();
}

/* One step of a member with nodes that all claim the same link, which the first of them has, and a true one behind them. */
static void thousands_that_contradict_each_other_stop_nobody(void **state)
{
	enum { BAD = 2200, ALL = BAD + 1 };
	static struct buf blobs[ALL];
	static struct bytes views[ALL];
	static struct id16 ids[ALL];
	struct node_link link = { .name = bytes_str("claimed"), .id = { { 200 } } };
	struct id32 hash;

	(void)state;
	sim_open(1);
	struct node a = { .ino = sim_make_file(&sim.d[1], "a", "first") };
	a = sim_look_up(&sim.d[1], "a");
	struct node_body body = { .kind = NODE_FILE, .mode = 0644, .owner = a.owner, .links = &link, .n_links = 1 };
	sim_come_to_rest(1, NULL);
	for (size_t i = 0; i < ALL; i++) {
		ids[i] = (struct id16){ { 7, (uint8_t)(i >> 8), (uint8_t)i } };
		blobs[i] = (struct buf)BUF_INIT(RECORD_MAX_BLOB);
		if (i == BAD)
			link = (struct node_link){ .name = bytes_str("true"), .id = { { 201 } } };
		assert_int_equal(space_seal_record(sim.d[1].space, sim.d[1].party.id, &ids[i], 1, bytes_of(NULL, 0), 0,
					 &body, &blobs[i], &hash),
			0);
		views[i] = buf_bytes(&blobs[i]);
	}
	model_relay_bring_all(sim.relay, ids, views, ALL);
	sim_come_to_rest(1, NULL);
	(void)sim_look_up(&sim.d[0], "claimed");
	(void)sim_look_up(&sim.d[0], "true");
	sim_edit(&sim.d[1], "a", "second");
	sim_come_to_rest(1, NULL);
	read_is(&sim.d[0], "a", "second");
	assert_int_equal(sim.d[0].ss->alarm, ERR_INVALID);
	for (size_t i = 0; i < ALL; i++)
		buf_release(&blobs[i]);
	sim_close();
}

/* The first step holds entries of the log. */
static void memory_that_runs_out_accuses_nobody(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		sim_open(1);
		struct sim_device *d = &sim.d[0];
		sim_go_online(d);
		sim_tick(d, 0);
		empty_events(d);
		assert_non_null(d->ss->steps);
		heap_fail_at(n);
		sync_space_step(d->ss, sync_now(&d->sync));
		failed = heap_failed();
		heap_fail_at(0);
		assert_int_equal(d->ss->alarm, 0);
		assert_true(failed || d->ss->space->row.cursor == 1);
		sim_close();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_older_version_shown_again_is_refused),
		cmocka_unit_test(an_edit_that_the_relay_never_takes_is_tried_now_and_then),
		cmocka_unit_test(a_relay_that_announces_what_it_does_not_bring_is_asked_a_few_times),
		cmocka_unit_test(a_relay_that_refuses_without_a_reason_is_asked_again_later),
		cmocka_unit_test(a_step_from_before_what_is_here_changes_nothing),
		cmocka_unit_test(numbers_end_without_an_end_of_the_file),
		cmocka_unit_test(memory_that_runs_out_accuses_nobody),
		cmocka_unit_test(a_file_that_becomes_another_kind_is_refused_aloud),
		cmocka_unit_test(thousands_that_contradict_each_other_stop_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
