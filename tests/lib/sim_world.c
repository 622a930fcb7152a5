/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/sim_world.h"
#include <sodium.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "tests/lib/heap.h"
#include "tests/lib/sim_people.h"
#include "tests/lib/unit.h"

struct sim sim;

uint64_t sim_random(uint64_t n)
{
	return unit_random(&sim.seed) % n;
}

/* ---- the network ---- */

void sim_go_offline(struct sim_device *d)
{
	struct peer *p = d->peer;
	struct sim_sent *list = p->sent;

	p->online = false;
	p->sent = NULL;
	model_relay_hang_up(sim.relay, d->number);
	while (list) {
		struct sim_sent *s = list;

		list = s->next;
		if (s->answer.result)
			s->answer.result(s->answer.ctx, ERR_OFFLINE, bytes_of(NULL, 0), bytes_of(NULL, 0));
		sim_free_sent(s);
	}
	p->config.state(p->config.ctx, p);
}

void sim_go_online(struct sim_device *d)
{
	d->peer->online = true;
	d->peer->connection++;
	d->peer->config.state(d->peer->config.ctx, d->peer);
}

/* One request gets to the relay. */
bool sim_carry_up(struct sim_device *d)
{
	struct sim_sent *s = d->peer->sent;

	while (s && s->at_relay)
		s = s->next;
	if (!s)
		return false;
	s->at_relay = true;
	if (strcmp(s->method, "put") == 0)
		model_relay_put(sim.relay, d->number, s->num, &s->chunk, bytes_of(s->item, s->len));
	else if (strcmp(s->method, "get") == 0)
		model_relay_get(sim.relay, d->number, s->num, &s->chunk);
	else
		model_relay_call(sim.relay, d->number, s->num, s->method, bytes_of(s->item, s->len));
	return true;
}

static void deliver(struct sim_device *d, const struct model_event *e)
{
	struct bytes item = bytes_of(e->item, e->len);
	struct sim_sent *s = d->peer->sent;

	if (e->kind == MODEL_NOTICE) {
		d->peer->config.notify(d->peer->config.ctx, d->peer, bytes_str(e->name), item);
		return;
	}
	if (e->kind == MODEL_RESULT) {
		s = sim_take_sent(d->peer, e->num);
		if (s && s->answer.result)
			s->answer.result(s->answer.ctx, e->err, bytes_of(NULL, 0), item);
		if (s)
			sim_free_sent(s);
		return;
	}
	while (s && s->num != e->num)
		s = s->next;
	if (s && e->kind == MODEL_PART && s->answer.part)
		s->answer.part(s->answer.ctx, bytes_str(e->name), item);
	if (s && e->kind == MODEL_DATA && s->answer.data)
		s->answer.data(s->answer.ctx, item);
}

/* One event gets to a device. */
bool sim_carry_down(struct sim_device *d)
{
	struct model_event *e = model_relay_next(sim.relay, d->number);

	if (!e)
		return false;
	deliver(d, e);
	model_event_free(e);
	return true;
}

/* ---- what must hold at every moment ---- */

struct checking {
	const struct sim_device *d;
	size_t rows;
	bool startable; /* a changed node that nothing keeps from being cut */
};

static int check_changed(void *ctx, const struct node *n)
{
	struct checking *c = ctx;
	const struct sync_space *ss = c->d->ss;

	if (n->change > ss->seen_change)
		return 1; /* told to the lanes by the next scan */
	if (!lanes_dirty(ss->lanes, n->ino))
		fail_msg("seed %lu device %u: node %lu (flags %x, version %lu, bits %x, links %u) is changed and in no "
			 "lane",
			sim.first_seed, c->d->number, n->ino, n->flags, n->version, n->change_bits, n->nlink);
	if (!lanes_in_flight(ss->lanes, n->ino))
		c->startable = true;
	else if (!sync_push_find(ss, n->ino))
		fail_msg("seed %lu device %u: node %lu waits for a version in flight that is not there", sim.first_seed,
			c->d->number, n->ino);
	return 1;
}

static int check_row(void *ctx, const struct outbox_row *row, struct bytes blob)
{
	struct checking *c = ctx;
	const struct sync_space *ss = c->d->ss;
	const struct out_item *item = ss->items;

	(void)blob;
	while (item && item->o.row != row->row)
		item = item->next;
	assert_non_null(item);
	assert_true(lanes_in_flight(ss->lanes, row->ino));
	c->rows++;
	return 1;
}

/* Each changed node is in a lane, each lane has a time or waits for an answer; what is queued in memory is what is in the store. */
static void check_plan(const struct sim_device *d)
{
	struct checking c = { .d = d };
	struct store_txn *t = NULL;

	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_dirty_each(t, d->ss->row, 0, check_changed, &c), 0);
	assert_int_equal(txn_outbox_each(t, d->ss->row, 0, check_row, &c), 0);
	store_abort(&t);
	assert_int_equal(c.rows, d->ss->n_items);
	if (c.startable)
		assert_true(lanes_due(d->ss->lanes) < INT64_MAX);
}

static void step(struct sim_device *d)
{
	sync_run_jobs(&d->sync, false);
	sync_space_step(d->ss, sync_now(&d->sync));
	sync_keep_step(&d->sync, sync_now(&d->sync));
	sync_run_jobs(&d->sync, false);
}

void sim_tick(struct sim_device *d, int64_t ns)
{
	fake_env_advance(d->f->env, ns);
	d->ss->poked = true;
	sim.sealing = d;
	step(d);
	sim.sealing = NULL;
	check_plan(d);
}

/* The same while memory or the disk fails once. */
void sim_failing_tick(struct sim_device *d)
{
	fake_env_advance(d->f->env, 15 * SIM_MS);
	d->ss->poked = true;
	if (sim_random(2))
		heap_fail_at(1 + sim_random(300));
	else
		fake_env_fail(d->f->env, FAKE_WRITING, 1 + sim_random(3), ERR_NO_SPACE, false);
	step(d);
	heap_fail_at(0);
	fake_env_fail(d->f->env, FAKE_WRITING, 0, 0, false);
	d->ss->retry_at = 0;
	sim_tick(d, 0);
}

/* ---- the world ---- */

static const char *random_name(void)
{
	return "test";
}

static uint64_t random_state = 1;

static uint32_t random_number(void)
{
	return (uint32_t)unit_random(&random_state);
}

/* Sealing asks for random bytes with nothing locked: there people go on working, now and then. */
static void act_meanwhile(void)
{
	struct sim_device *d = sim.sealing;

	if (!d || d->busy || (!sim.meanwhile && sim_random(3) != 0))
		return;
	void (*what)(struct sim_device * d) = sim.meanwhile ? sim.meanwhile : sim_act;
	d->busy = true;
	what(d);
	d->busy = false;
}

static void random_fill(void *p, size_t n)
{
	act_meanwhile();
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)(unit_random(&random_state) >> 13);
}

/* The space's log with everybody in it. */
static void make_log(struct new_space *s, struct buf joins[SIM_DEVICES])
{
	party_space(&sim.d[0].party, s);
	for (unsigned i = 1; i < SIM_DEVICES; i++) {
		struct invite_keys k;

		joins[2 * i - 2] = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
		joins[2 * i - 1] = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
		struct invite_params params = {
			.role = ROLE_WRITER, .uses = 1, .expires = PARTY_NOW + 600, .relay = PARTY_RELAY, .name = "s"
		};
		struct entry_maker m = party_maker(&sim.d[0].party, s->log);
		party_keys(&k);
		assert_int_equal(entry_make_invite(&m, s->ring, &params, &k, &joins[2 * i - 2]), 0);
		party_apply(s->log, &joins[2 * i - 2]);
		party_join_blob(&sim.d[i].party, s->log, &k, &joins[2 * i - 1]);
		party_apply(s->log, &joins[2 * i - 1]);
		invite_keys_release(&k);
	}
}

/* ---- barriers ---- */

static void *wait_thread(void *arg)
{
	struct sim_device *d = arg;
	return (void *)(intptr_t)sync_wait(&d->sync, NULL, d->promised % 2, INT64_MAX / 2, NULL);
}

bool sim_has_jobs(struct sim_device *d)
{
	pthread_mutex_lock(&d->sync.lock);
	bool any = d->sync.jobs || d->sync.waiting;
	pthread_mutex_unlock(&d->sync.lock);
	return any;
}

void sim_begin_wait(struct sim_device *d)
{
	if (d->waits)
		return;
	d->waits = true;
	d->promised = sim.next_token;
	assert_int_equal(pthread_create(&d->waiter, NULL, wait_thread, d), 0);
	while (!sim_has_jobs(d))
		sched_yield();
}

int sim_end_wait(struct sim_device *d)
{
	void *err;

	assert_int_equal(pthread_join(d->waiter, &err), 0);
	d->waits = false;
	return (int)(intptr_t)err;
}

static void start_sync(struct sim_device *d)
{
	d->sync = (struct sync){ .config = { .env = fake_env_get(d->f->env),
					 .store = d->f->store,
					 .who = d->party.id,
					 .syncd_path = "none" } };
	d->sync.jobs_tail = &d->sync.jobs;
	pthread_mutex_init(&d->sync.lock, NULL);
	d->sync.started = true;
	d->sync.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(sync_space_new(&d->sync, d->space, &d->ss), 0);
	d->sync.spaces = d->ss;
	d->peer = d->ss->peer->peer;
}

static void stop_sync(struct sim_device *d)
{
	sim_go_offline(d);
	sync_run_jobs(&d->sync, true);
	if (d->waits)
		(void)sim_end_wait(d); /* cancelled, or reached just before */
	close(d->sync.wake_fd);
	sync_space_free(d->ss);
	peer_free(&d->sync.peers->peer);
	free(d->sync.peers);
	pthread_mutex_destroy(&d->sync.lock);
	space_free(d->space);
}

static int take_row(void *ctx, const struct space_row *row)
{
	*(struct space_row *)ctx = *row;
	return row->relay[0] == 0; /* the fixture has a space of its own */
}

/* kill -9, and a new start. */
void sim_restart(struct sim_device *d)
{
	struct space_row row = { .row = 0 };
	struct store_txn *t = NULL;

	stop_sync(d);
	memset(d->held, 0, sizeof d->held);
	store_fixture_crash(d->f, FAKE_KEEP_ALL);
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_space_each(t, take_row, &row), 0);
	assert_int_equal(space_load(t, &row, d->party.id, sim.ring, &d->space), 0);
	store_abort(&t);
	start_sync(d);
}

static void open_device(struct sim_device *d, const struct new_space *s, const struct bytes *blobs, size_t n)
{
	struct space_row row = { .name = "s",
		.id = *log_space(s->log),
		.genesis = *log_genesis(s->log),
		.relay = PARTY_RELAY,
		.log_seq = n };
	struct store_txn *t = NULL;

	d->f = store_fixture_new(2 * d->number + 2);
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_space_add(t, &row), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(txn_entry_put(t, row.row, i, blobs[i]), 0);
	assert_int_equal(txn_space_put(t, &row), 0);
	assert_int_equal(space_load(t, &row, d->party.id, s->ring, &d->space), 0);
	assert_int_equal(store_commit(&t), 0);
	d->root = d->space->row.root_ino;
	start_sync(d);
}

void sim_open(uint64_t seed)
{
	static struct randombytes_implementation source = {
		.implementation_name = random_name, .random = random_number, .buf = random_fill
	};
	struct new_space s;
	struct buf joins[2 * SIM_DEVICES];
	struct bytes blobs[3 + 2 * SIM_DEVICES];
	size_t n = 0;

	memset(&sim, 0, sizeof sim);
	sim.seed = sim.first_seed = random_state = seed;
	assert_int_equal(randombytes_set_implementation(&source), 0);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		sim.d[i].number = i;
		party_init(&sim.d[i].party, (const char *[]){ "one", "two", "three" }[i]);
	}
	make_log(&s, joins);
	for (; n < 3; n++)
		blobs[n] = buf_bytes(&s.blobs[n]);
	for (unsigned i = 0; i < 2 * (SIM_DEVICES - 1); i++)
		blobs[n++] = buf_bytes(&joins[i]);
	sim.relay = model_relay_new(log_space(s.log));
	model_relay_entries(sim.relay, blobs, n);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		open_device(&sim.d[i], &s, blobs, n);
	for (unsigned i = 0; i < 2 * (SIM_DEVICES - 1); i++)
		buf_release(&joins[i]);
	assert_int_equal(epoch_ring_clone(s.ring, &sim.ring), 0);
	new_space_release(&s);
}

void sim_close(void)
{
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &sim.d[i];

		stop_sync(d);
		store_fixture_free(d->f);
		party_release(&d->party);
	}
	model_relay_free(sim.relay);
	epoch_ring_free(sim.ring);
}

/* ---- coming to rest ---- */

static int count_node(void *ctx, const struct node *n)
{
	size_t *count = ctx;

	(void)n;
	++*count;
	return 1;
}

size_t sim_dirty_nodes(struct sim_device *d)
{
	struct store_txn *t = NULL;
	size_t n = 0;

	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_dirty_each(t, d->ss->row, 0, count_node, &n), 0);
	store_abort(&t);
	return n;
}

static bool at_rest(struct sim_device *d)
{
	return d->ss->phase == PHASE_LIVE && d->ss->caught_up && !d->ss->items && !d->ss->steps &&
	       sim_dirty_nodes(d) == 0 && d->space->row.cursor == model_relay_cursor(sim.relay);
}

void sim_come_to_rest(uint64_t seed, const struct sim_device *without)
{
	for (unsigned i = 0; i < SIM_DEVICES * SIM_HELD; i++) {
		uint64_t *slot = &sim.d[i / SIM_HELD].held[i % SIM_HELD];

		if (*slot)
			store_release_open(sim.d[i / SIM_HELD].f->store, *slot);
		*slot = 0;
	}
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		if (!sim.d[i].peer->online && &sim.d[i] != without)
			sim_go_online(&sim.d[i]);
	}
	for (unsigned round = 0; round < 2000; round++) {
		bool all = true;

		for (unsigned i = 0; i < SIM_DEVICES; i++) {
			struct sim_device *d = &sim.d[i];

			if (d == without)
				continue;
			sim_tick(d, round < 50 ? 20 * SIM_MS : 12000 * SIM_MS);
			while (sim_carry_up(d) || sim_carry_down(d))
				;
		}
		for (unsigned i = 0; i < SIM_DEVICES; i++)
			all = all && (&sim.d[i] == without || at_rest(&sim.d[i]));
		if (all)
			return;
	}
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct sim_device *d = &sim.d[i];

		print_message("seed %lu device %u: phase %d caught up %d items %zu steps %d dirty %zu cursor %lu of "
			      "%lu alarm %d\n",
			seed, i, d->ss->phase, d->ss->caught_up, d->ss->n_items, d->ss->steps != NULL,
			sim_dirty_nodes(d), d->space->row.cursor, model_relay_cursor(sim.relay), d->ss->alarm);
	}
	fail_msg("seed %lu does not come to rest", seed);
}

/* ---- what single cases do ---- */

uint64_t sim_make_file(struct sim_device *d, const char *name, const char *text)
{
	struct node_new fresh = { .kind = NODE_FILE, .mode = 0644, .owner = *identity_person(d->party.id) };
	struct node n;

	assert_int_equal(store_create(d->f->store, d->root, bytes_str(name), &fresh, &n), 0);
	assert_int_equal(store_write(d->f->store, n.ino, 0, text, strlen(text)), 0);
	return n.ino;
}

void sim_edit(struct sim_device *d, const char *name, const char *text)
{
	struct node n;

	assert_int_equal(store_lookup(d->f->store, d->root, bytes_str(name), &n), 0);
	assert_int_equal(store_write(d->f->store, n.ino, 0, text, strlen(text)), 0);
}

struct node sim_look_up(struct sim_device *d, const char *name)
{
	struct node n;

	assert_int_equal(store_lookup(d->f->store, d->root, bytes_str(name), &n), 0);
	return n;
}

void sim_rest(struct sim_device *d)
{
	(void)d;
}
