/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of several people that change one space at random, on line and off, over a relay in memory: real stores, real sealing, the
 * real sync but for its thread and the network process, for which this file has its own peer. Messages are delayed and lost as the
 * seed says. Afterwards all devices show one tree, nothing waits, and every edit that nobody overwrote or removed is there.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/open_chunk.h"
#include "crypto/seal_core.h"
#include "crypto/secret.h"
#include "fusefs/sync_inner.h"
#include "tests/lib/heap.h"
#include "tests/lib/model_relay.h"
#include "tests/lib/party.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

#define DEVICES 3
#define MS 1000000ll
#define TOKENS 4096
#define HELD 4 /* files that a device keeps open */

/* ---- a peer without a process: calls wait here until the world lets them through ---- */

struct sent {
	uint64_t num;
	char method[32]; /* "put", "get" or an RPC's */
	struct id16 chunk;
	uint8_t *item;
	size_t len;
	struct peer_answer answer;
	bool at_relay;
	struct sent *next;
};

struct peer {
	struct peer_config config;
	struct sent *sent;
	uint64_t next_num, connection;
	bool online, no_gets; /* no_gets: there is no memory for them */
};

struct device {
	unsigned number;
	struct party party;
	struct store_fixture *f;
	struct space *space;
	struct sync sync;
	struct sync_space *ss;
	struct peer *peer;
	uint64_t root;
	uint64_t held[HELD]; /* 0: none */
	bool busy;           /* it acts, or the store is taken: nothing more happens in between */
	/* a `coffer wait` on it */
	bool waits;
	pthread_t waiter;
	unsigned promised; /* tokens before this one are covered */
};

static struct world {
	struct device d[DEVICES];
	struct model_relay *relay;
	struct epoch_ring *ring;
	uint64_t seed, first_seed;
	struct device *sealing; /* whose sync is at work */
	void (*meanwhile)(
		struct device *d); /* what happens once while it seals; NULL: now and then something at random */
	bool gone[TOKENS];         /* overwritten or removed by somebody who saw it */
	unsigned writer[TOKENS];
	unsigned next_token;
} w;

static uint64_t rnd(uint64_t n)
{
	return unit_random(&w.seed) % n;
}

int peer_new(const struct peer_config *config, struct peer **ret_p)
{
	struct peer *p = calloc(1, sizeof *p);

	assert_non_null(p);
	p->config = *config;
	p->next_num = 1;
	*ret_p = p;
	return 0;
}

static void free_sent(struct sent *s)
{
	free(s->item);
	free(s);
}

void peer_free(struct peer **pp)
{
	struct peer *p = *pp;

	*pp = NULL;
	while (p && p->sent) {
		struct sent *s = p->sent;

		p->sent = s->next;
		free_sent(s);
	}
	free(p);
}

static int add_sent(struct peer *p, const char *method, const struct id16 *chunk, struct bytes item,
	const struct peer_answer *a, uint64_t *ret_num)
{
	struct sent *s, **at = &p->sent;

	if (!p->online)
		return ERR_OFFLINE;
	heap_suspend();
	s = calloc(1, sizeof *s);
	assert_non_null(s);
	s->num = p->next_num++;
	snprintf(s->method, sizeof s->method, "%s", method);
	if (chunk)
		s->chunk = *chunk;
	s->item = malloc(item.len + 1);
	heap_resume();
	assert_non_null(s->item);
	if (item.len)
		memcpy(s->item, item.p, item.len);
	s->len = item.len;
	s->answer = *a;
	while (*at)
		at = &(*at)->next;
	*at = s;
	if (ret_num)
		*ret_num = s->num;
	return 0;
}

int peer_call(struct peer *p, const char *method, struct bytes params, const struct peer_answer *a, uint64_t *ret_num)
{
	return add_sent(p, method, NULL, params, a, ret_num);
}

int peer_put(struct peer *p, const struct id16 *space, const struct id16 *chunk, struct bytes blob,
	const struct peer_answer *a, uint64_t *ret_num)
{
	(void)space;
	return add_sent(p, "put", chunk, blob, a, ret_num);
}

int peer_get(struct peer *p, const struct id16 *space, const struct id16 *chunk, const struct peer_answer *a,
	uint64_t *ret_num)
{
	(void)space;
	if (p->no_gets)
		return ERR_NOMEM;
	return add_sent(p, "get", chunk, bytes_of(NULL, 0), a, ret_num);
}

static struct sent *take_sent(struct peer *p, uint64_t num)
{
	for (struct sent **at = &p->sent; *at; at = &(*at)->next) {
		struct sent *s = *at;

		if (s->num != num)
			continue;
		*at = s->next;
		return s;
	}
	return NULL;
}

/* The relay has it already, perhaps: only the answer does not count any more. */
void peer_cancel(struct peer *p, uint64_t num)
{
	for (struct sent *s = p->sent; s; s = s->next) {
		if (s->num == num)
			s->answer = (struct peer_answer){ .result = NULL };
	}
}

int peer_fd(const struct peer *p)
{
	(void)p;
	return -1;
}

short peer_events(const struct peer *p)
{
	(void)p;
	return 0;
}

int64_t peer_deadline(const struct peer *p)
{
	(void)p;
	return INT64_MAX;
}

void peer_run(struct peer *p, short revents, int64_t now)
{
	(void)p;
	(void)revents;
	(void)now;
}

void peer_hurry(struct peer *p)
{
	(void)p;
}

size_t peer_room(const struct peer *p)
{
	(void)p;
	return PEER_MAX_QUEUED;
}

bool peer_online(const struct peer *p)
{
	return p->online;
}

enum msg_state peer_state(const struct peer *p)
{
	return p->online ? MSG_ONLINE : MSG_OFFLINE;
}

uint64_t peer_connection(const struct peer *p)
{
	return p->connection;
}

const char *peer_relay(const struct peer *p)
{
	(void)p;
	return PARTY_RELAY;
}

const char *peer_reason(const struct peer *p)
{
	(void)p;
	return "";
}

void peer_traffic(const struct peer *p, uint64_t *ret_sent, uint64_t *ret_received)
{
	(void)p;
	*ret_sent = *ret_received = 0;
}

int peer_error(struct bytes code)
{
	return code.len ? ERR_INTERNAL : 0;
}

/* ---- the network ---- */

static void go_offline(struct device *d)
{
	struct peer *p = d->peer;
	struct sent *list = p->sent;

	p->online = false;
	p->sent = NULL;
	model_relay_hang_up(w.relay, d->number);
	while (list) {
		struct sent *s = list;

		list = s->next;
		if (s->answer.result)
			s->answer.result(s->answer.ctx, ERR_OFFLINE, bytes_of(NULL, 0), bytes_of(NULL, 0));
		free_sent(s);
	}
	p->config.state(p->config.ctx, p);
}

static void go_online(struct device *d)
{
	d->peer->online = true;
	d->peer->connection++;
	d->peer->config.state(d->peer->config.ctx, d->peer);
}

/* One request gets to the relay. */
static bool carry_up(struct device *d)
{
	struct sent *s = d->peer->sent;

	while (s && s->at_relay)
		s = s->next;
	if (!s)
		return false;
	s->at_relay = true;
	if (strcmp(s->method, "put") == 0)
		model_relay_put(w.relay, d->number, s->num, &s->chunk, bytes_of(s->item, s->len));
	else if (strcmp(s->method, "get") == 0)
		model_relay_get(w.relay, d->number, s->num, &s->chunk);
	else
		model_relay_call(w.relay, d->number, s->num, s->method, bytes_of(s->item, s->len));
	return true;
}

static void deliver(struct device *d, const struct model_event *e)
{
	struct bytes item = bytes_of(e->item, e->len);
	struct sent *s = d->peer->sent;

	if (e->kind == MODEL_NOTICE) {
		d->peer->config.notify(d->peer->config.ctx, d->peer, bytes_str(e->name), item);
		return;
	}
	if (e->kind == MODEL_RESULT) {
		s = take_sent(d->peer, e->num);
		if (s && s->answer.result)
			s->answer.result(s->answer.ctx, e->err, bytes_of(NULL, 0), item);
		if (s)
			free_sent(s);
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
static bool carry_down(struct device *d)
{
	struct model_event *e = model_relay_next(w.relay, d->number);

	if (!e)
		return false;
	deliver(d, e);
	model_event_free(e);
	return true;
}

/* ---- what must hold at every moment ---- */

struct checking {
	const struct device *d;
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
			w.first_seed, c->d->number, n->ino, n->flags, n->version, n->change_bits, n->nlink);
	if (!lanes_in_flight(ss->lanes, n->ino))
		c->startable = true;
	else if (!sync_push_find(ss, n->ino))
		fail_msg("seed %lu device %u: node %lu waits for a version in flight that is not there", w.first_seed,
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
static void check_plan(const struct device *d)
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

static void step(struct device *d)
{
	sync_run_jobs(&d->sync, false);
	sync_space_step(d->ss, sync_now(&d->sync));
	sync_keep_step(&d->sync, sync_now(&d->sync));
	sync_run_jobs(&d->sync, false);
}

static void tick(struct device *d, int64_t ns)
{
	fake_env_advance(d->f->env, ns);
	d->ss->poked = true;
	w.sealing = d;
	step(d);
	w.sealing = NULL;
	check_plan(d);
}

/* The same while memory or the disk fails once. */
static void failing_tick(struct device *d)
{
	fake_env_advance(d->f->env, 15 * MS);
	d->ss->poked = true;
	if (rnd(2))
		heap_fail_at(1 + rnd(300));
	else
		fake_env_fail(d->f->env, FAKE_WRITING, 1 + rnd(3), ERR_NO_SPACE, false);
	step(d);
	heap_fail_at(0);
	fake_env_fail(d->f->env, FAKE_WRITING, 0, 0, false);
	d->ss->retry_at = 0;
	tick(d, 0);
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

static void act(struct device *d);
static int end_wait(struct device *d);

/* Sealing asks for random bytes with nothing locked: there people go on working, now and then. */
static void act_meanwhile(void)
{
	struct device *d = w.sealing;

	if (!d || d->busy || (!w.meanwhile && rnd(3) != 0))
		return;
	void (*what)(struct device * d) = w.meanwhile ? w.meanwhile : act;
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
static void make_log(struct new_space *s, struct buf joins[DEVICES])
{
	party_space(&w.d[0].party, s);
	for (unsigned i = 1; i < DEVICES; i++) {
		struct invite_keys k;

		joins[2 * i - 2] = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
		joins[2 * i - 1] = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
		struct invite_params params = {
			.role = ROLE_WRITER, .uses = 1, .expires = PARTY_NOW + 600, .relay = PARTY_RELAY, .name = "s"
		};
		struct entry_maker m = party_maker(&w.d[0].party, s->log);
		party_keys(&k);
		assert_int_equal(entry_make_invite(&m, s->ring, &params, &k, &joins[2 * i - 2]), 0);
		party_apply(s->log, &joins[2 * i - 2]);
		party_join_blob(&w.d[i].party, s->log, &k, &joins[2 * i - 1]);
		party_apply(s->log, &joins[2 * i - 1]);
		invite_keys_release(&k);
	}
}

/* ---- barriers ---- */

static void *wait_thread(void *arg)
{
	struct device *d = arg;
	return (void *)(intptr_t)sync_wait(&d->sync, NULL, d->promised % 2, INT64_MAX / 2, NULL);
}

static bool has_jobs(struct device *d)
{
	pthread_mutex_lock(&d->sync.lock);
	bool any = d->sync.jobs || d->sync.waiting;
	pthread_mutex_unlock(&d->sync.lock);
	return any;
}

static void begin_wait(struct device *d)
{
	if (d->waits)
		return;
	d->waits = true;
	d->promised = w.next_token;
	assert_int_equal(pthread_create(&d->waiter, NULL, wait_thread, d), 0);
	while (!has_jobs(d))
		sched_yield();
}

static int end_wait(struct device *d)
{
	void *err;

	assert_int_equal(pthread_join(d->waiter, &err), 0);
	d->waits = false;
	return (int)(intptr_t)err;
}

static void start_sync(struct device *d)
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

static void stop_sync(struct device *d)
{
	go_offline(d);
	sync_run_jobs(&d->sync, true);
	if (d->waits)
		(void)end_wait(d); /* cancelled, or reached just before */
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
static void restart(struct device *d)
{
	struct space_row row = { .row = 0 };
	struct store_txn *t = NULL;

	stop_sync(d);
	memset(d->held, 0, sizeof d->held);
	store_fixture_crash(d->f, FAKE_KEEP_ALL);
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_space_each(t, take_row, &row), 0);
	assert_int_equal(space_load(t, &row, d->party.id, w.ring, &d->space), 0);
	store_abort(&t);
	start_sync(d);
}

static void open_device(struct device *d, const struct new_space *s, const struct bytes *blobs, size_t n)
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

static void world_open(uint64_t seed)
{
	static struct randombytes_implementation source = {
		.implementation_name = random_name, .random = random_number, .buf = random_fill
	};
	struct new_space s;
	struct buf joins[2 * DEVICES];
	struct bytes blobs[3 + 2 * DEVICES];
	size_t n = 0;

	memset(&w, 0, sizeof w);
	w.seed = w.first_seed = random_state = seed;
	assert_int_equal(randombytes_set_implementation(&source), 0);
	for (unsigned i = 0; i < DEVICES; i++) {
		w.d[i].number = i;
		party_init(&w.d[i].party, (const char *[]){ "one", "two", "three" }[i]);
	}
	make_log(&s, joins);
	for (; n < 3; n++)
		blobs[n] = buf_bytes(&s.blobs[n]);
	for (unsigned i = 0; i < 2 * (DEVICES - 1); i++)
		blobs[n++] = buf_bytes(&joins[i]);
	w.relay = model_relay_new(log_space(s.log));
	model_relay_entries(w.relay, blobs, n);
	for (unsigned i = 0; i < DEVICES; i++)
		open_device(&w.d[i], &s, blobs, n);
	for (unsigned i = 0; i < 2 * (DEVICES - 1); i++)
		buf_release(&joins[i]);
	assert_int_equal(epoch_ring_clone(s.ring, &w.ring), 0);
	new_space_release(&s);
}

static void world_close(void)
{
	for (unsigned i = 0; i < DEVICES; i++) {
		struct device *d = &w.d[i];

		stop_sync(d);
		store_fixture_free(d->f);
		party_release(&d->party);
	}
	model_relay_free(w.relay);
	epoch_ring_free(w.ring);
}

/* ---- what people do ---- */

struct shown {
	uint64_t ino;
	enum node_kind kind;
	char name[NODE_MAX_NAME + 1];
};

struct listing {
	struct shown e[64];
	size_t n;
};

static int note_entry(void *ctx, struct bytes name, uint64_t cookie, const struct node *node)
{
	struct listing *l = ctx;

	(void)cookie;
	struct shown *e = &l->e[l->n++];
	e->ino = node->ino;
	e->kind = node->kind;
	memcpy(e->name, name.p, name.len);
	e->name[name.len] = 0;
	return l->n < COUNT(l->e);
}

static void list(const struct device *d, uint64_t dir, struct listing *l)
{
	l->n = 0;
	assert_int_equal(store_readdir(d->f->store, dir, 0, note_entry, l), 0);
}

static uint64_t random_dir(const struct device *d)
{
	uint64_t dir = d->root;

	for (uint64_t depth = rnd(4); depth > 0; depth--) {
		struct listing l;
		uint64_t subs[64];
		size_t n = 0;

		list(d, dir, &l);
		for (size_t i = 0; i < l.n; i++) {
			if (l.e[i].kind == NODE_DIR)
				subs[n++] = l.e[i].ino;
		}
		if (n == 0)
			break;
		dir = subs[rnd(n)];
	}
	return dir;
}

static struct bytes random_place(const struct device *d, uint64_t *ret_dir, struct listing *l)
{
	static const char *const names[] = { "a", "b.txt", "c", "d" };

	*ret_dir = random_dir(d);
	list(d, *ret_dir, l);
	if (l->n > 0 && rnd(2) == 0)
		return bytes_str(l->e[rnd(l->n)].name);
	return bytes_str(names[rnd(COUNT(names))]);
}

/* Content that is only at the relay, as sync_fetch brings it. */
static void bring(const struct device *d, uint64_t row)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT(CHUNK_MAX_PLAIN);
	struct store_txn *t = NULL;
	struct chunk_row c;

	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_chunk_get(t, row, &c), 0);
	struct slice s = { .len = c.len, .chunk_len = c.len, .chunk = c.id, .hash = c.hash };
	memcpy(s.key, c.key, sizeof s.key);
	assert_int_equal(open_chunk(&d->space->row.id, &s, secret_key(d->space->hash_key),
				 model_relay_chunk(w.relay, &c.id), &plain),
		0);
	assert_int_equal(txn_chunk_fill(t, row, buf_bytes(&plain)), 0);
	assert_int_equal(store_commit(&t), 0);
}

/* The beginning of a file, where the tokens are, as text. */
static void read_text(const struct device *d, uint64_t ino, char text[4096])
{
	uint64_t chunk;
	size_t len = 0;
	int err;

	while ((err = store_read(d->f->store, ino, 0, text, 4095, &len, &chunk)) == ERR_ABSENT)
		bring(d, chunk);
	assert_int_equal(err, 0);
	text[len] = 0;
}

/* Tokens in a file are seen and will not be there any more. */
static void forget_content(const struct device *d, uint64_t ino)
{
	char text[4096];

	read_text(d, ino, text);
	for (char *p = text; (p = strstr(p, "token-")) != NULL; p += 6)
		w.gone[strtoul(p + 6, NULL, 10) % TOKENS] = true;
}

static void forget_name(const struct device *d, uint64_t dir, struct bytes name)
{
	struct node n;

	if (store_lookup(d->f->store, dir, name, &n) == 0 && n.kind == NODE_FILE && n.nlink == 1)
		forget_content(d, n.ino);
}

/* A new token at the end of a file; kept false: it need not stay. */
static void append_text(struct device *d, uint64_t ino, bool kept)
{
	static const char zeros[100000];
	char text[3000];
	struct node n;

	assert_true(w.next_token < TOKENS);
	assert_int_equal(store_getattr(d->f->store, ino, &n), 0);
	w.gone[w.next_token] = !kept;
	w.writer[w.next_token] = d->number;
	int len = snprintf(text, sizeof text, "token-%u %*s\n", w.next_token++, rnd(4) ? 1 : 2000, "");
	assert_int_equal(store_write(d->f->store, ino, n.size, text, (size_t)len), 0);
	/* Some are large enough for chunks that go by PUT. */
	if (rnd(10) == 0)
		assert_int_equal(store_write(d->f->store, ino, n.size + (size_t)len, zeros, sizeof zeros), 0);
}

static void write_file(struct device *d, uint64_t dir, struct bytes name, bool append)
{
	struct node_new fresh = { .kind = NODE_FILE, .mode = 0644, .owner = *identity_person(d->party.id) };
	struct node n, zero = { .size = 0 };
	int err = store_lookup(d->f->store, dir, name, &n);

	if (err == ERR_NOT_FOUND)
		err = store_create(d->f->store, dir, name, &fresh, &n);
	if (err < 0 || n.kind != NODE_FILE || (append && n.size > 2000))
		return;
	if (!append) {
		forget_content(d, n.ino);
		assert_int_equal(store_setattr(d->f->store, n.ino, ATTR_SIZE, &zero, &n), 0);
	}
	append_text(d, n.ino, true);
}

/* Opens a file, and perhaps takes its name away; writes to an open one, which may have no name any more; or closes it. */
static void act_on_open(struct device *d)
{
	uint64_t *slot = &d->held[rnd(HELD)], dir, ino;
	struct listing l;
	struct node n;

	if (*slot == 0) {
		struct bytes name = random_place(d, &dir, &l);

		if (store_lookup(d->f->store, dir, name, &n) < 0 || n.kind != NODE_FILE)
			return;
		*slot = n.ino;
		store_hold_open(d->f->store, n.ino);
		if (rnd(3) > 0)
			return;
		forget_name(d, dir, name);
		assert_int_equal(store_unlink(d->f->store, dir, name, false, &ino), 0);
	} else if (rnd(3) == 0) {
		append_text(d, *slot, false);
	} else {
		store_release_open(d->f->store, *slot);
		*slot = 0;
	}
}

static void act(struct device *d)
{
	struct store *s = d->f->store;
	struct listing l, l2;
	uint64_t dir, to, ino;
	struct bytes name = random_place(d, &dir, &l), other = random_place(d, &to, &l2);
	struct node_new fresh = { .kind = NODE_DIR, .mode = 0755, .owner = *identity_person(d->party.id) };
	struct node n;
	int err = 0;

	switch (rnd(14)) {
	case 0:
	case 1:
	case 2:
		write_file(d, dir, name, rnd(3) == 0);
		break;
	case 3:
	case 4:
		err = store_create(s, dir, name, &fresh, &n);
		break;
	case 5:
	case 6:
		forget_name(d, to, other);
		err = store_rename(s, dir, name, to, other, 0, &ino);
		break;
	case 7:
		forget_name(d, dir, name);
		err = store_unlink(s, dir, name, false, &ino);
		break;
	case 8:
		err = store_unlink(s, dir, name, true, &ino);
		break;
	case 9:
		if (store_lookup(s, dir, name, &n) < 0)
			break;
		if (n.kind == NODE_FILE && rnd(2)) {
			err = store_link(s, n.ino, to, other, &n);
		} else {
			n.mode = rnd(2) ? 0600 : 0700;
			err = store_setattr(s, n.ino, ATTR_MODE, &n, &n);
		}
		break;
	case 10:
	case 11:
	case 12:
		act_on_open(d);
		break;
	case 13:
		if (store_lookup(s, dir, name, &n) == 0 && n.kind == NODE_FILE)
			err = store_evict(s, n.ino, &ino);
		break;
	}
	(void)err; /* many of them are not possible; that is part of it */
}

/* ---- comparing ---- */

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct shown *)a)->name, ((const struct shown *)b)->name);
}

/* The tree below dir as text. */
static void describe(const struct device *d, uint64_t dir, unsigned depth, struct buf *out)
{
	struct listing l;

	assert_true(depth < 100);
	list(d, dir, &l);
	qsort(l.e, l.n, sizeof *l.e, compare_entries);
	for (size_t i = 0; i < l.n; i++) {
		struct node n;

		assert_int_equal(store_getattr(d->f->store, l.e[i].ino, &n), 0);
		assert_int_equal(buf_printf(out, "%*s%s kind %d mode %o nlink %u size %u mtime %lld", (int)depth, "",
					 l.e[i].name, n.kind, n.mode, n.kind == NODE_DIR ? 0 : n.nlink,
					 n.kind == NODE_FILE ? (unsigned)n.size : 0,
					 n.kind == NODE_FILE ? (long long)n.mtime : 0),
			0);
		if (n.kind == NODE_FILE) {
			char text[4096];

			read_text(d, n.ino, text);
			for (char *p = text; (p = strstr(p, "token-")) != NULL; p += 6)
				assert_int_equal(buf_printf(out, " token-%lu", strtoul(p + 6, NULL, 10)), 0);
		}
		assert_int_equal(buf_printf(out, "\n"), 0);
		if (n.kind == NODE_DIR)
			describe(d, n.ino, depth + 1, out);
	}
}

static int count_node(void *ctx, const struct node *n)
{
	size_t *count = ctx;

	(void)n;
	++*count;
	return 1;
}

static size_t dirty_nodes(struct device *d)
{
	struct store_txn *t = NULL;
	size_t n = 0;

	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_dirty_each(t, d->ss->row, 0, count_node, &n), 0);
	store_abort(&t);
	return n;
}

static bool at_rest(struct device *d)
{
	return d->ss->phase == PHASE_LIVE && d->ss->caught_up && !d->ss->items && !d->ss->steps &&
	       dirty_nodes(d) == 0 && d->space->row.cursor == model_relay_cursor(w.relay);
}

static void come_to_rest(uint64_t seed, const struct device *without)
{
	for (unsigned i = 0; i < DEVICES * HELD; i++) {
		uint64_t *slot = &w.d[i / HELD].held[i % HELD];

		if (*slot)
			store_release_open(w.d[i / HELD].f->store, *slot);
		*slot = 0;
	}
	for (unsigned i = 0; i < DEVICES; i++) {
		if (!w.d[i].peer->online && &w.d[i] != without)
			go_online(&w.d[i]);
	}
	for (unsigned round = 0; round < 2000; round++) {
		bool all = true;

		for (unsigned i = 0; i < DEVICES; i++) {
			struct device *d = &w.d[i];

			if (d == without)
				continue;
			tick(d, round < 50 ? 20 * MS : 12000 * MS);
			while (carry_up(d) || carry_down(d))
				;
		}
		for (unsigned i = 0; i < DEVICES; i++)
			all = all && (&w.d[i] == without || at_rest(&w.d[i]));
		if (all)
			return;
	}
	for (unsigned i = 0; i < DEVICES; i++) {
		struct device *d = &w.d[i];

		print_message("seed %lu device %u: phase %d caught up %d items %zu steps %d dirty %zu cursor %lu of "
			      "%lu alarm %d\n",
			seed, i, d->ss->phase, d->ss->caught_up, d->ss->n_items, d->ss->steps != NULL, dirty_nodes(d),
			d->space->row.cursor, model_relay_cursor(w.relay), d->ss->alarm);
	}
	fail_msg("seed %lu does not come to rest", seed);
}

/* The tokens before `end`, of one writer or of all, are in the tree `text`, unless somebody destroyed them. */
static void check_tokens(struct buf *text, unsigned end, const struct device *writer)
{
	assert_int_equal(buf_put(text, "\n", 2), 0);
	for (unsigned k = 0; k < end; k++) {
		char token[32];

		if (w.gone[k] || (writer && w.writer[k] != writer->number))
			continue;
		snprintf(token, sizeof token, " token-%u\n", k);
		bool there = strstr((char *)text->data, token) != NULL;
		token[strlen(token) - 1] = ' ';
		if (there || strstr((char *)text->data, token))
			continue;
		fprintf(stderr, "%s", (char *)text->data);
		fail_msg(
			"seed %lu: token %u is lost%s", w.first_seed, k, writer ? " though a wait had covered it" : "");
	}
}

static void compare(uint64_t seed)
{
	CLEANUP(buf_release) struct buf first = BUF_INIT(4u << 20);

	describe(&w.d[0], w.d[0].root, 0, &first);
	for (unsigned i = 1; i < DEVICES; i++) {
		CLEANUP(buf_release) struct buf other = BUF_INIT(4u << 20);

		describe(&w.d[i], w.d[i].root, 0, &other);
		if (!bytes_equal(buf_bytes(&first), buf_bytes(&other))) {
			fprintf(stderr, "--- device 0\n%.*s--- device %u\n%.*s", (int)first.len,
				(const char *)first.data, i, (int)other.len, (const char *)other.data);
			fail_msg("seed %lu: devices 0 and %u differ", seed, i);
		}
		assert_int_equal(w.d[i].ss->alarm, 0);
	}
	check_tokens(&first, w.next_token, NULL);
}

/* What a wait answered with 0 is at the relay, whatever becomes of the device: the others, without it, have what it had written. */
static void check_promise(struct device *d)
{
	CLEANUP(buf_release) struct buf other = BUF_INIT(4u << 20);
	const struct device *o = &w.d[(d->number + 1) % DEVICES];

	go_offline(d);
	come_to_rest(w.first_seed, d);
	describe(o, o->root, 0, &other);
	check_tokens(&other, d->promised, d);
	go_online(d);
}

static void run(uint64_t seed, unsigned rounds, unsigned steps)
{
	world_open(seed);
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < steps; i++) {
			struct device *d = &w.d[rnd(DEVICES)];
			uint64_t what = rnd(100);

			if (what < 34)
				act(d);
			else if (what < 35)
				begin_wait(d);
			else if (what < 58)
				tick(d, 15 * MS);
			else if (what < 60)
				failing_tick(d);
			else if (what < 78)
				(void)carry_up(d);
			else if (what < 97)
				(void)carry_down(d);
			else if (rnd(4) == 0)
				restart(d);
			else if (d->peer->online)
				go_offline(d);
			else
				go_online(d);
			if (!d->waits || has_jobs(d))
				continue;
			int err = end_wait(d);
			assert_true(err == 0 || err == ERR_NOMEM || err == ERR_NO_SPACE);
			if (err == 0)
				check_promise(d);
		}
		come_to_rest(seed, NULL);
		compare(seed);
		for (unsigned i = 0; i < DEVICES; i++) {
			if (w.d[i].waits)
				assert_int_equal(end_wait(&w.d[i]), 0); /* never stuck at rest */
		}
	}
	world_close();
}

static void devices_converge_and_lose_nothing(void **state)
{
	const char *from = getenv("SIM_FROM"), *count = getenv("SIM_COUNT");
	uint64_t first = from ? strtoull(from, NULL, 10) : 1, n = count ? strtoull(count, NULL, 10) : 30;

	(void)state;
	for (uint64_t seed = first; seed < first + n; seed++)
		run(seed, 3, 150);
}

/* Everybody works off line for long; then all come back. */
static void long_partitions_heal(void **state)
{
	(void)state;
	for (uint64_t seed = 1000; seed < 1010; seed++) {
		world_open(seed);
		for (unsigned round = 0; round < 2; round++) {
			for (unsigned i = 0; i < DEVICES; i++) {
				if (w.d[i].peer->online)
					go_offline(&w.d[i]);
			}
			for (unsigned i = 0; i < 120; i++)
				act(&w.d[rnd(DEVICES)]);
			come_to_rest(seed, NULL);
			compare(seed);
		}
		world_close();
	}
}

/* ---- single cases ---- */

static uint64_t make_file(struct device *d, const char *name, const char *text)
{
	struct node_new fresh = { .kind = NODE_FILE, .mode = 0644, .owner = *identity_person(d->party.id) };
	struct node n;

	assert_int_equal(store_create(d->f->store, d->root, bytes_str(name), &fresh, &n), 0);
	assert_int_equal(store_write(d->f->store, n.ino, 0, text, strlen(text)), 0);
	return n.ino;
}

static void take_name(struct device *d)
{
	uint64_t ino;

	if (store_unlink(d->f->store, d->root, bytes_str("a"), false, &ino) == 0)
		assert_true(ino > 0);
}

/* A temporary file as programs make them: its name is gone at once, and it is written to. */
static void a_file_without_a_name_is_never_waited_for(void **state)
{
	(void)state;
	world_open(1);
	struct device *d = &w.d[0];
	uint64_t ino = make_file(d, "a", "one");
	store_hold_open(d->f->store, ino);
	take_name(d);
	assert_int_equal(store_write(d->f->store, ino, 3, "two", 3), 0);
	come_to_rest(1, NULL);
	assert_int_equal(dirty_nodes(d), 0);
	/* The same with a file that others know: its tombstone goes, and what is written to it later does not matter. */
	uint64_t known = make_file(d, "a", "one");
	come_to_rest(1, NULL);
	store_hold_open(d->f->store, known);
	take_name(d);
	come_to_rest(1, NULL);
	assert_int_equal(store_write(d->f->store, known, 3, "two", 3), 0);
	come_to_rest(1, NULL);
	compare(1);
	store_release_open(d->f->store, ino);
	store_release_open(d->f->store, known);
	come_to_rest(1, NULL);
	world_close();
}

/* The name goes between the moment that a cut shows and the moment when its records are queued. */
static void a_file_unlinked_while_it_is_sealed_is_nowhere(void **state)
{
	(void)state;
	for (int held = 0; held < 2; held++) {
		world_open(1);
		struct device *d = &w.d[0];
		come_to_rest(1, NULL);
		uint64_t ino = make_file(d, "a", "one");
		if (held)
			store_hold_open(d->f->store, ino);
		w.meanwhile = take_name;
		come_to_rest(1, NULL);
		if (held)
			store_release_open(d->f->store, ino);
		come_to_rest(1, NULL);
		compare(1);
		for (unsigned i = 0; i < DEVICES; i++) {
			struct node n;
			assert_int_equal(store_lookup(w.d[i].f->store, w.d[i].root, bytes_str("a"), &n), ERR_NOT_FOUND);
		}
		world_close();
	}
}

/* Killed with a version under way, and the file changed again before the answer could come. */
static void a_restart_keeps_one_version_in_flight(void **state)
{
	(void)state;
	world_open(1);
	struct device *d = &w.d[0];
	uint64_t ino = make_file(d, "a", "one");
	come_to_rest(1, NULL);
	assert_int_equal(store_write(d->f->store, ino, 0, "two", 3), 0);
	tick(d, 0);
	tick(d, 30 * MS);
	assert_int_equal(d->ss->n_items, 1);
	restart(d);
	assert_int_equal(store_write(d->f->store, ino, 0, "six", 3), 0);
	go_online(d);
	for (unsigned i = 0; i < 20; i++) {
		tick(d, 1000 * MS);
		assert_true(d->ss->n_items <= 1);
		(void)carry_up(d);
		(void)carry_down(d);
	}
	come_to_rest(1, NULL);
	compare(1);
	world_close();
}

static void edit(struct device *d, const char *name, const char *text)
{
	struct node n;

	assert_int_equal(store_lookup(d->f->store, d->root, bytes_str(name), &n), 0);
	assert_int_equal(store_write(d->f->store, n.ino, 0, text, strlen(text)), 0);
}

static uint64_t count_conflicts(struct device *d)
{
	struct store_txn *t = NULL;
	uint64_t n = 0;

	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(conflict_count(t, d->ss->row, &n), 0);
	store_abort(&t);
	return n;
}

static void note_told(void *ctx, const struct invalidation *inv, size_t n)
{
	bool *told = ctx;

	for (size_t i = 0; i < n; i++)
		*told = *told || strcmp(inv[i].name, "a (conflict, two, 2025-01-01).txt") == 0;
}

/* Both edit off line; the one who comes later keeps hers under a name that says so, and mounts are told of it. */
static void a_conflict_copy_says_whose_and_when(void **state)
{
	const char *copy = "a (conflict, two, 2025-01-01).txt", *again = "a (conflict, two, 2025-01-01 2).txt";
	struct node n;
	uint64_t ino;
	bool told = false;

	(void)state;
	world_open(1);
	(void)make_file(&w.d[0], "a.txt", "zero");
	come_to_rest(1, NULL);
	struct device *late = &w.d[1];
	late->sync.config.changed = note_told;
	late->sync.config.ctx = &told;
	go_offline(late);
	edit(&w.d[0], "a.txt", "mine");
	come_to_rest(1, late);
	edit(late, "a.txt", "late");
	come_to_rest(1, NULL);
	compare(1);
	assert_true(told);
	assert_int_equal(count_conflicts(late), 1);
	for (unsigned i = 0; i < DEVICES; i++)
		assert_int_equal(store_lookup(w.d[i].f->store, w.d[i].root, bytes_str(copy), &n), 0);
	/* A copy of the copy is named after the file. */
	go_offline(late);
	edit(&w.d[0], copy, "more");
	come_to_rest(1, late);
	edit(late, copy, "last");
	come_to_rest(1, NULL);
	compare(1);
	assert_int_equal(store_lookup(late->f->store, late->root, bytes_str(again), &n), 0);
	assert_int_equal(count_conflicts(late), 2);
	/* Renamed or removed: settled. */
	assert_int_equal(
		store_rename(late->f->store, late->root, bytes_str(copy), late->root, bytes_str("b.txt"), 0, &ino), 0);
	assert_int_equal(count_conflicts(late), 1);
	assert_int_equal(store_unlink(late->f->store, late->root, bytes_str(again), false, &ino), 0);
	assert_int_equal(count_conflicts(late), 0);
	come_to_rest(1, NULL);
	world_close();
}

/* The same tool ran on both, off line: nothing is there to be kept apart. */
static void the_same_edit_on_both_makes_no_copy(void **state)
{
	static char large[200000];

	(void)state;
	memset(large, 'x', sizeof large - 1);
	for (int sealed = 0; sealed < 2; sealed++) {
		world_open(1);
		(void)make_file(&w.d[0], "a", "zero");
		(void)make_file(&w.d[0], "b", "zero");
		(void)make_file(&w.d[0], "c", "zero");
		come_to_rest(1, NULL);
		struct device *late = &w.d[1];
		for (unsigned i = 0; i < 2; i++) {
			edit(&w.d[i], "a", "same");
			edit(&w.d[i], "b", large);
			edit(&w.d[i], "c", i ? "this" : "that");
		}
		if (sealed) {
			tick(late, 20 * MS);
			tick(late, 20 * MS);
		}
		go_offline(late);
		come_to_rest(1, late);
		come_to_rest(1, NULL);
		compare(1);
		struct listing l;
		list(&w.d[2], w.d[2].root, &l);
		assert_int_equal(l.n, 4); /* of c alone there are two */
		world_close();
	}
}

/* One changes the mode, another the content, at the same time: both stand, in one file, whatever comes first. */
static void a_mode_and_an_edit_meet_in_one_file(void **state)
{
	struct node mode = { .mode = 0600 }, n;

	(void)state;
	for (int order = 0; order < 3; order++) {
		world_open(1);
		struct device *a = &w.d[0], *b = &w.d[1];
		uint64_t ino = make_file(a, "a", "zero");
		come_to_rest(1, NULL);
		assert_int_equal(store_setattr(a->f->store, ino, ATTR_MODE, &mode, &n), 0);
		if (order == 0)
			go_offline(a);
		tick(a, 20 * MS);
		tick(a, 20 * MS); /* on its way, unless off line */
		edit(b, "a", "four");
		for (unsigned i = 0; i < 5; i++) {
			tick(b, 1000 * MS);
			while (carry_up(b) || carry_down(b))
				;
		}
		if (order == 1)
			(void)carry_down(a); /* the notice, before the refusal */
		come_to_rest(1, NULL);
		compare(1);
		for (unsigned i = 0; i < DEVICES; i++) {
			struct listing l;
			char text[4096];

			list(&w.d[i], w.d[i].root, &l);
			assert_int_equal(l.n, 1);
			assert_int_equal(store_getattr(w.d[i].f->store, l.e[0].ino, &n), 0);
			assert_int_equal(n.mode, 0600);
			read_text(&w.d[i], n.ino, text);
			assert_string_equal(text, "four");
		}
		world_close();
	}
}

/* ---- rights that another person gives (fusefs/rights.h) ---- */

#define FOREIGN_ID 4242
static const uint8_t foreign_list[] = "\2\0\0\0"
				      "\1\0\6\0\377\377\377\377"
				      "\2\0\7\0\222\020\0\0"
				      "\4\0\4\0\377\377\377\377"
				      "\20\0\7\0\377\377\377\377"
				      "\40\0\5\0\377\377\377\377"; /* of user 4242 */

static void rest(struct device *d)
{
	(void)d;
}

/* A world in which nobody does anything but what the test says. */
static void open_quiet_world(void)
{
	world_open(1);
	w.meanwhile = rest;
}

/* A program of `by`, owned by the person of `of`, with everything that could raise rights. */
static void give_rights(struct device *by, const struct device *of, const char *name)
{
	const uint32_t mode = 06775;
	struct node_new fresh = { .kind = NODE_FILE,
		.mode = mode,
		.uid = FOREIGN_ID,
		.gid = FOREIGN_ID,
		.owner = *identity_person(of->party.id) };
	struct store *s = by->f->store;
	struct node n;

	assert_int_equal(store_create(s, by->root, bytes_str(name), &fresh, &n), 0);
	assert_int_equal(store_write(s, n.ino, 0, "program", 7), 0);
	assert_int_equal(store_setxattr(s, n.ino, "security.capability", bytes_str("cap"), 0), 0);
	assert_int_equal(store_setxattr(s, n.ino, "trusted.x", bytes_str("x"), 0), 0);
	assert_int_equal(store_setxattr(s, n.ino, "user.note", bytes_str("note"), 0), 0);
	assert_int_equal(
		store_set_acl(s, n.ino, NODE_ACL_ACCESS, bytes_of(foreign_list, sizeof foreign_list - 1), &mode), 0);
}

static struct node look_up(struct device *d, const char *name)
{
	struct node n;

	assert_int_equal(store_lookup(d->f->store, d->root, bytes_str(name), &n), 0);
	return n;
}

static bool written_by(struct device *d, const char *name, const struct device *author)
{
	struct node n = look_up(d, name);

	return id32_equal(&n.author, identity_device(author->party.id));
}

static void has_no_rights(struct device *d, const char *name)
{
	CLEANUP(buf_release) struct buf names = BUF_INIT(NODE_MAX_XATTR_BYTES);
	struct node n = look_up(d, name);

	assert_int_equal(n.mode, 0705); /* the group's bits were the list's mask */
	assert_int_equal(n.uid, geteuid());
	assert_int_equal(n.gid, getegid());
	assert_int_equal(n.flags & NODE_ACL, 0);
	assert_int_equal(store_listxattr(d->f->store, n.ino, &names), 0);
	unit_assert_bytes(buf_bytes(&names), bytes_of("user.note", sizeof "user.note"));
}

static void move(struct device *d, const char *from, const char *to)
{
	uint64_t replaced;

	assert_int_equal(store_rename(d->f->store, d->root, bytes_str(from), d->root, bytes_str(to), 0, &replaced), 0);
}

static void rights_of_another_do_not_come_alive_by_a_touch(void **state)
{
	(void)state;
	open_quiet_world();
	struct device *a = &w.d[0], *b = &w.d[1];
	give_rights(b, a, "a");
	come_to_rest(1, NULL);
	assert_int_equal(look_up(a, "a").mode, 06775); /* as the record says: it has no effect while b is the author */
	assert_true(written_by(a, "a", b));
	move(a, "a", "b");
	come_to_rest(1, NULL);
	compare(1);
	for (unsigned i = 0; i < DEVICES; i++) {
		assert_true(written_by(&w.d[i], "b", a));
		has_no_rights(&w.d[i], "b");
	}
	world_close();
}

/* The touch is there first, and the rights are merged in. */
static void rights_of_another_do_not_come_alive_by_a_merge(void **state)
{
	const struct node own = { .mode = 0755, .uid = 1, .gid = 1 },
			  theirs = { .mode = 06775, .uid = FOREIGN_ID, .gid = FOREIGN_ID };
	struct node n;

	(void)state;
	for (int sealed = 0; sealed < 2; sealed++) {
		open_quiet_world();
		struct device *a = &w.d[0], *b = &w.d[1];
		uint64_t ino = make_file(a, "a", "zero");
		assert_int_equal(store_setattr(a->f->store, ino, ATTR_MODE | ATTR_UID | ATTR_GID, &own, &n), 0);
		assert_int_equal(store_setxattr(a->f->store, ino, "user.note", bytes_str("note"), 0), 0);
		come_to_rest(1, NULL);
		if (!sealed)
			go_offline(a);
		move(a, "a", "b");
		for (unsigned i = 0; i < 3 && sealed; i++)
			tick(a, 20 * MS);
		n = look_up(b, "a");
		assert_int_equal(store_setxattr(b->f->store, n.ino, "trusted.x", bytes_str("x"), 0), 0);
		assert_int_equal(store_set_acl(b->f->store, n.ino, NODE_ACL_ACCESS,
					 bytes_of(foreign_list, sizeof foreign_list - 1), NULL),
			0);
		assert_int_equal(store_setattr(b->f->store, n.ino, ATTR_MODE | ATTR_UID | ATTR_GID, &theirs, &n), 0);
		for (unsigned i = 0; i < 5; i++) {
			tick(b, 1000 * MS);
			while (carry_up(b) || carry_down(b))
				;
		}
		if (!sealed)
			go_online(a);
		come_to_rest(1, NULL);
		compare(1);
		for (unsigned i = 0; i < DEVICES; i++) {
			assert_true(written_by(&w.d[i], "b", a));
			has_no_rights(&w.d[i], "b");
		}
		world_close();
	}
}

static void a_conflict_copy_has_no_rights_of_another(void **state)
{
	CLEANUP(buf_release) struct buf names = BUF_INIT(NODE_MAX_XATTR_BYTES);
	unsigned copies = 0;

	(void)state;
	open_quiet_world();
	struct device *a = &w.d[0], *b = &w.d[1];
	give_rights(b, a, "a");
	come_to_rest(1, NULL);
	go_offline(a);
	edit(a, "a", "here");
	edit(b, "a", "there");
	for (unsigned i = 0; i < 5; i++) {
		tick(b, 1000 * MS);
		while (carry_up(b) || carry_down(b))
			;
	}
	go_online(a);
	come_to_rest(1, NULL);
	compare(1);
	struct listing l;
	list(a, a->root, &l);
	for (size_t i = 0; i < l.n; i++) {
		struct node n;

		assert_int_equal(store_getattr(a->f->store, l.e[i].ino, &n), 0);
		if (!(n.flags & NODE_CONFLICT))
			continue;
		copies++;
		assert_int_equal(n.mode, 0705);
		assert_int_equal(n.uid, geteuid());
		assert_int_equal(n.gid, getegid());
		assert_int_equal(store_listxattr(a->f->store, n.ino, &names), 0);
		assert_int_equal(names.len, 0);
	}
	assert_int_equal(copies, 1);
	world_close();
}

static void own_rights_stay_when_the_node_changes(void **state)
{
	(void)state;
	open_quiet_world();
	struct device *a = &w.d[0];
	give_rights(a, a, "a");
	come_to_rest(1, NULL);
	move(a, "a", "b");
	come_to_rest(1, NULL);
	compare(1);
	for (unsigned i = 0; i < DEVICES; i++) {
		struct node n = look_up(&w.d[i], "b");

		assert_int_equal(n.mode, 06775);
		assert_int_equal(n.uid, FOREIGN_ID);
		assert_true(n.flags & NODE_ACL);
	}
	world_close();
}

/* The blob of a chunk of d as another version of the program would have sealed it: with another nonce. */
static void seal_otherwise(struct device *d, struct bytes blob, struct buf *out)
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

static const struct sent *first_put(struct device *d)
{
	const struct sent *s = NULL;

	for (unsigned i = 0; i < 20 && !s; i++) {
		tick(d, 30 * MS);
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
	world_open(1);
	struct device *d = &w.d[0];
	come_to_rest(1, NULL);
	(void)make_file(d, "a", text);
	const struct sent *s = first_put(d);
	seal_otherwise(d, bytes_of(s->item, s->len), &theirs);
	assert_false(bytes_equal(buf_bytes(&theirs), bytes_of(s->item, s->len)));
	struct id16 id = s->chunk;
	model_relay_put(w.relay, DEVICES, 1, &id, buf_bytes(&theirs));
	come_to_rest(1, NULL);
	compare(1);
	unit_assert_bytes(model_relay_chunk(w.relay, &id), buf_bytes(&theirs));
	buf_release(&theirs);
	world_close();
}

/* One removes a directory, the other puts a file into it: it is shown. Then the file goes, and the directory with it, everywhere. */
static void a_removed_directory_goes_with_what_lived_in_it(void **state)
{
	struct node_new fresh = { .kind = NODE_DIR, .mode = 0755, .owner = { { 1 } } };
	struct node_new file = { .kind = NODE_FILE, .mode = 0644, .owner = { { 1 } } };
	struct node dir, n;
	uint64_t ino;

	(void)state;
	world_open(1);
	w.meanwhile = rest;
	struct device *a = &w.d[0], *b = &w.d[1];
	assert_int_equal(store_create(a->f->store, a->root, bytes_str("d"), &fresh, &dir), 0);
	come_to_rest(1, NULL);
	go_offline(b);
	assert_int_equal(store_unlink(a->f->store, a->root, bytes_str("d"), true, &ino), 0);
	come_to_rest(1, b);
	assert_int_equal(store_lookup(b->f->store, b->root, bytes_str("d"), &dir), 0);
	assert_int_equal(store_create(b->f->store, dir.ino, bytes_str("x"), &file, &n), 0);
	come_to_rest(1, NULL);
	for (unsigned i = 0; i < DEVICES; i++)
		assert_int_equal(store_lookup(w.d[i].f->store, w.d[i].root, bytes_str("d"), &n), 0);
	assert_int_equal(store_unlink(b->f->store, dir.ino, bytes_str("x"), false, &ino), 0);
	come_to_rest(1, NULL);
	compare(1);
	for (unsigned i = 0; i < DEVICES; i++)
		assert_int_equal(store_lookup(w.d[i].f->store, w.d[i].root, bytes_str("d"), &n), ERR_NOT_FOUND);
	world_close();
}

/* Temporary files by the thousand, gone before anything of them was sent: a barrier finds that out, some of them each turn. */
static void a_barrier_looks_at_some_of_its_files_each_turn(void **state)
{
	char name[16];
	uint64_t ino;

	(void)state;
	world_open(1);
	struct device *d = &w.d[0];
	come_to_rest(1, NULL);
	go_offline(d);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "%u", i);
		(void)make_file(d, name, "x");
	}
	w.next_token = 1; /* what the relay has need not be here */
	begin_wait(d);
	tick(d, 0);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "%u", i);
		assert_int_equal(store_unlink(d->f->store, d->root, bytes_str(name), false, &ino), 0);
	}
	assert_int_equal(dirty_nodes(d), 0);
	sync_run_jobs(&d->sync, false);
	assert_non_null(d->sync.waiting);
	for (unsigned i = 0; i < 4; i++)
		sync_run_jobs(&d->sync, false);
	assert_null(d->sync.waiting);
	assert_int_equal(end_wait(d), 0);
	come_to_rest(1, NULL);
	world_close();
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
	world_open(1);
	w.meanwhile = rest;
	struct device *d = &w.d[0];
	struct node n = { .space = d->f->space, .id = { { 1 } }, .kind = NODE_FILE, .mode = 0644, .version = 1 };
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_node_add(t, &n, bytes_of(NULL, 0)), 0);
	claim.ino = n.ino;
	claim.parent = claim.shown_parent = d->f->root;
	assert_int_equal(txn_link_put(t, &claim), 0);
	assert_int_equal(store_commit(&t), 0);
	(void)store_fixture_make(d->f, d->f->root, "a", NODE_FILE);
	assert_int_equal(store_unlink(d->f->store, d->f->root, bytes_str("a"), false, &ino), 0);
	come_to_rest(1, NULL);
	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_touched_take(t, d->f->space, &parent, name, &len), 0);
	assert_int_equal(parent, d->f->root);
	assert_string_equal(name, "a");
	store_abort(&t);
	world_close();
}

struct reader {
	struct device *d;
	uint64_t row;
};

static void *read_thread(void *arg)
{
	struct reader *r = arg;
	return (void *)(intptr_t)sync_fetch(&r->d->sync, r->row, INT64_MAX / 2, NULL, NULL);
}

static int read_row(struct device *d, uint64_t row)
{
	struct reader r = { d, row };
	pthread_t thread;
	void *err;

	assert_int_equal(pthread_create(&thread, NULL, read_thread, &r), 0);
	while (!has_jobs(d))
		sched_yield();
	while (has_jobs(d)) {
		sync_run_jobs(&d->sync, false);
		sync_fetch_pump(&d->sync, sync_now(&d->sync));
		(void)carry_up(d);
		(void)carry_down(d);
	}
	assert_int_equal(pthread_join(thread, &err), 0);
	return (int)(intptr_t)err;
}

/* The chunk that the file begins with, which is not here. */
static uint64_t absent_row(struct device *d, const char *name)
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
	world_open(1);
	w.meanwhile = rest;
	for (unsigned i = 0; i < 2; i++) {
		for (size_t k = 0; k < sizeof text - 1; k++)
			text[k] = (char)('a' + randombytes_uniform(26));
		(void)make_file(&w.d[0], i ? "b" : "a", text);
		come_to_rest(1, NULL);
	}
	struct device *d = &w.d[1];
	uint64_t a = absent_row(d, "a"), b = absent_row(d, "b");
	assert_in_range(b, a + 1, a + 16);
	go_online(d);
	d->sync.last_fetch_row = a - 1;
	d->sync.fetch_ahead = 8; /* twice as many now */
	d->peer->no_gets = true;
	assert_int_equal(read_row(d, a), ERR_NOMEM);
	d->peer->no_gets = false;
	assert_int_equal(read_row(d, b), 0);
	assert_int_equal(read_row(d, a), 0);
	go_offline(d);
	sync_fetch_free(&d->sync);
	world_close();
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
	world_open(1);
	w.meanwhile = rest;
	struct device *a = &w.d[0];
	go_offline(a);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "f%u", i);
		uint64_t ino = make_file(a, name, name);
		assert_int_equal(store_setxattr(a->f->store, ino, "user.a", bytes_of(value, LEN), 0), 0);
	}
	come_to_rest(1, NULL);
	compare(1);
	for (unsigned i = 0; i < DEVICES; i++) {
		struct device *d = &w.d[i];

		assert_int_equal(d->ss->alarm, OK);
		assert_int_equal(store_lookup(d->f->store, d->root, bytes_str("f319"), &n), 0);
		buf_clear(&got);
		assert_int_equal(store_getxattr(d->f->store, n.ino, "user.a", &got), 0);
		assert_int_equal(got.len, LEN);
	}
	buf_release(&got);
	free(value);
	world_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_without_a_name_is_never_waited_for),
		cmocka_unit_test(a_file_unlinked_while_it_is_sealed_is_nowhere),
		cmocka_unit_test(a_barrier_looks_at_some_of_its_files_each_turn),
		cmocka_unit_test(a_restart_keeps_one_version_in_flight),
		cmocka_unit_test(a_conflict_copy_says_whose_and_when),
		cmocka_unit_test(the_same_edit_on_both_makes_no_copy),
		cmocka_unit_test(a_mode_and_an_edit_meet_in_one_file),
		cmocka_unit_test(rights_of_another_do_not_come_alive_by_a_touch),
		cmocka_unit_test(rights_of_another_do_not_come_alive_by_a_merge),
		cmocka_unit_test(a_conflict_copy_has_no_rights_of_another),
		cmocka_unit_test(own_rights_stay_when_the_node_changes),
		cmocka_unit_test(a_removed_directory_goes_with_what_lived_in_it),
		cmocka_unit_test(a_name_touched_in_another_space_is_left_to_it),
		cmocka_unit_test(a_read_ahead_that_failed_is_forgotten),
		cmocka_unit_test(a_chunk_that_was_sealed_otherwise_is_taken_for_there),
		cmocka_unit_test(what_is_more_than_a_transaction_arrives),
		cmocka_unit_test(long_partitions_heal),
		cmocka_unit_test(devices_converge_and_lose_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
