/* SPDX-License-Identifier: Apache-2.0 */
/*
 * two_relays: many devices push through two relays on one PostgreSQL (TEST_DATABASE) while the relays are killed about once a
 * second: one, the other, now and then both.
 *
 *	tests/lib/postgres.sh build/tests/two_relays [PUSHES [SEED]]
 *
 * A device has up to WINDOW pushes under way, on one connection, each `after` the one before; when the connection is lost it
 * sends all that is unanswered again, to either relay; now and then it drops the connection itself. Each push is of one record or a few with a chunk, new or written again,
 * in one of two spaces. For every space a device listens at each relay: what does not follow on what it has it pulls. Fails if two
 * of all these were told different things of one cursor, if a cursor was left out or given twice, if a device's pushes
 * stand in another order than they were made, or if a listener is left behind.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "server/rpc.h"
#include "tests/lib/program.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"
#include "tests/lib/step_book.h"
#include "wire/record.h"

#define RELAYS 2
#define SPACES 8
#define DEVICES 24
#define LISTENERS (SPACES * RELAYS)
#define WINDOW 32
#define FILES 8 /* that a device goes on writing, in each space */
#define RECORDS_MAX 3
#define DROP_ONE_IN 2000 /* answers: a device drops its connection, and sends again what the relay may be at */
#define APPENDED 64      /* entries at once */

struct two {
	struct relay_process relay[RELAYS];
	struct party admin;
	struct new_space spaces[SPACES];
	struct step_book books[SPACES];
	uint64_t wanted, seed;
	atomic_ullong made, answered, lost; /* pushes; connections, */
	atomic_ullong closed;               /* some of them by the relay */
	_Atomic uint64_t last[SPACES];      /* cursor at which a listener is done; 0: not known yet */
};

/* A record that is written again once its last push was answered. */
struct file {
	struct id16 id;
	struct id32 hash;
	uint64_t version;
	bool under_way;
};

struct push {
	uint64_t number;
	size_t space, n_records, n_chunks;
	struct sealed records[RECORDS_MAX], chunk;
	struct file *file; /* whose version the first record is; NULL */
};

struct device {
	pthread_t thread;
	struct two *w;
	struct party me;
	uint64_t seed, number;
	size_t home;
	uint64_t cursors[SPACES]; /* of the last answered push */
	struct file files[SPACES][FILES];
	struct push pushes[WINDOW]; /* unanswered, the first at `first` */
	size_t first, n;
};

struct listener {
	pthread_t thread;
	struct two *w;
	struct party me;
	uint64_t seed, cursor, told, pulls;
	size_t space, relay;
	bool pulling;
};

/* splitmix64 */
static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void sleep_ms(uint64_t ms)
{
	const struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* With this relay first, else with any that is there. */
static void connect_any(struct two *w, struct rpc_client *c, const struct party *me, size_t first)
{
	for (size_t i = first;; i++) {
		const struct relay_process *r = &w->relay[i % RELAYS];

		if (rpc_try_open(c, r->port)) {
			rpc_auth(c, me, r->url);
			return;
		}
		sleep_ms(5);
	}
}

/* A connection that rpc_receive said this of: the relay was killed, or closed it and said why. A client comes back at once after a drain,
 * when it was too slow, or when the relay has too much to do; anything else should not have happened. */
static void lose(struct two *w, const struct rpc_client *c, int code)
{
	static const int passing[] = { 1001, 1013, 4006, 4007 };
	bool comes_back = code < 0;

	for (size_t i = 0; i < COUNT(passing); i++)
		comes_back |= code == passing[i];
	if (!comes_back)
		fail_msg("the relay closed with %d %.*s", code, (int)c->message.len - 2,
			(const char *)c->message.data + 2);
	w->closed += code > 0;
}

/* --- pushes --- */

static struct file *choose_file(struct device *d, size_t space)
{
	struct file *f = &d->files[space][next_random(&d->seed) % FILES];

	return next_random(&d->seed) % 4 == 0 && !f->under_way ? f : NULL;
}

static void make_first_record(struct device *d, struct push *p, const struct id16 *chunk)
{
	const struct new_space *s = &d->w->spaces[p->space];
	struct sealed_params params = { .chunks = chunk, .n_chunks = chunk != NULL };

	if ((p->file = choose_file(d, p->space))) {
		params.version = ++p->file->version;
		if (params.version > 1) {
			params.id = &p->file->id;
			params.prev = &p->file->hash;
		}
		params.flags = next_random(&d->seed) % 2 ? RECORD_PASSING : 0;
		p->file->under_way = true;
	}
	sealed_record(&d->me, s, params, &p->records[0]);
	if (p->file) {
		p->file->id = p->records[0].id;
		p->file->hash = p->records[0].hash;
	}
}

static struct push *make_push(struct device *d, size_t space)
{
	struct push *p = &d->pushes[(d->first + d->n++) % WINDOW];
	const bool large = next_random(&d->seed) % 16 == 0;

	*p = (struct push){
		.number = ++d->number, .space = space, .n_records = large ? RECORDS_MAX : 1, .n_chunks = large
	};
	if (large)
		sealed_chunk(&d->w->spaces[p->space], NULL, 1000, &p->chunk);
	make_first_record(d, p, large ? &p->chunk.id : NULL);
	for (size_t i = 1; i < p->n_records; i++)
		sealed_record(&d->me, &d->w->spaces[p->space], (struct sealed_params){ 0 }, &p->records[i]);
	return p;
}

/* `after`: the number of the push before it on this connection, -1 if there is none. */
static void send_push(struct device *d, struct rpc_client *c, const struct push *p, int64_t after)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_push(&params, log_space(d->w->spaces[p->space].log), p->number, after, p->records, p->n_records,
		&p->chunk, p->n_chunks, bytes_of(NULL, 0));
	rpc_send_request(c, "coffer.push", buf_bytes(&params));
	buf_release(&params);
}

static void take_answer(struct device *d, const struct reply *r)
{
	struct push *p = &d->pushes[d->first];
	struct bytes why = r->f.code;
	struct id32 hashes[RECORDS_MAX];
	struct id16 digest;
	uint64_t cursor;

	if (!reply_ok(r)) {
		if (!r->f.is_error)
			assert_int_equal(param_text(r->f.value, "error", 64, &why), 0);
		fail_msg("push %llu was refused: %.*s", (unsigned long long)p->number, (int)why.len,
			(const char *)why.p);
	}
	cursor = reply_uint(r, "cursor");
	if (cursor <= d->cursors[p->space])
		fail_msg("push %llu is not behind the one before it", (unsigned long long)p->number);
	d->cursors[p->space] = cursor;
	for (size_t i = 0; i < p->n_records; i++) {
		hashes[i] = p->records[i].hash;
		sealed_release(&p->records[i]);
	}
	if (p->n_chunks)
		sealed_release(&p->chunk);
	digest = step_digest(hashes, p->n_records);
	step_book_answered(&d->w->books[p->space], cursor, &digest);
	if (p->file)
		p->file->under_way = false;
	d->first = (d->first + 1) % WINDOW;
	d->n--;
	d->w->answered++;
}

/* The next response. False if the relay is gone. */
static bool receive_answer(struct device *d, struct rpc_client *c)
{
	struct reply r = { 0 };
	struct bytes message;
	int code;

	do {
		if ((code = rpc_receive(c, &message))) {
			lose(d->w, c, code);
			return false;
		}
	} while (frame_decode(message, &r.f) < 0 || r.f.type != FRAME_RESPONSE);
	take_answer(d, &r);
	return true;
}

/* On one connection, until it is lost or all is answered. */
static void push_on(struct device *d, struct rpc_client *c)
{
	int64_t after = -1;

	for (size_t i = 0; i < d->n; i++) {
		const struct push *p = &d->pushes[(d->first + i) % WINDOW];

		send_push(d, c, p, after);
		after = (int64_t)p->number;
	}
	for (;;) {
		while (d->n < WINDOW && atomic_fetch_add(&d->w->made, 1) < d->w->wanted) {
			size_t space = next_random(&d->seed) % 4 ? d->home : (d->home + 1) % SPACES;

			send_push(d, c, make_push(d, space), after);
			after = (int64_t)d->number;
		}
		if (!d->n)
			return;
		if (next_random(&d->seed) % DROP_ONE_IN == 0 || !receive_answer(d, c)) {
			d->w->lost++;
			return;
		}
	}
}

static void *device_main(void *arg)
{
	struct device *d = arg;

	while (d->n || d->w->made < d->w->wanted) {
		struct rpc_client c;

		connect_any(d->w, &c, &d->me, next_random(&d->seed));
		push_on(d, &c);
		rpc_close(&c);
	}
	return NULL;
}

/* --- listeners --- */

static void pull(struct listener *l, struct rpc_client *c)
{
	struct buf params = BUF_INIT(256);

	params_pull(&params, log_space(l->w->spaces[l->space].log), l->cursor, "lines", -1);
	rpc_send_request(c, "coffer.pull", buf_bytes(&params));
	buf_release(&params);
	l->pulling = true;
	l->pulls++;
}

static void hear_step(struct listener *l, struct bytes value, bool follows)
{
	struct id16 digest;
	struct bytes lines;
	uint64_t cursor;

	assert_int_equal(param_uint(value, "cursor", &cursor), 0);
	assert_int_equal(param_bytes(value, "lines", FRAME_MAX, &lines), 0);
	if (follows && cursor > l->cursor + 1)
		fail_msg("after cursor %llu came %llu", (unsigned long long)l->cursor, (unsigned long long)cursor);
	if (!lines.len)
		return; /* somebody else's step: only where it stands */
	digest = step_digest_of_lines(lines);
	step_book_told(&l->w->books[l->space], cursor, &digest);
	if (cursor == l->cursor + 1)
		l->cursor = cursor;
}

static void hear_notice(struct listener *l, struct bytes value)
{
	uint64_t prev, cursor;

	assert_int_equal(param_uint(value, "prev", &prev), 0);
	assert_int_equal(param_uint(value, "cursor", &cursor), 0);
	if (cursor > l->told)
		l->told = cursor;
	hear_step(l, value, false);
}

static bool listen_done(const struct listener *l)
{
	const uint64_t last = l->w->last[l->space];

	return last && l->cursor >= last;
}

/* On one connection, until it is lost or all was heard. */
static void listen_on(struct listener *l, struct rpc_client *c)
{
	struct buf params = BUF_INIT(256);
	struct bytes message;
	struct frame f;
	int code;

	params_subscribe(&params, log_space(l->w->spaces[l->space].log));
	rpc_send_request(c, "subscribe", buf_bytes(&params));
	buf_release(&params);
	l->pulling = true; /* until subscribed; that answer is followed by a pull */
	l->told = UINT64_MAX;
	while (!listen_done(l)) {
		if ((code = rpc_receive(c, &message))) {
			lose(l->w, c, code);
			return;
		}
		assert_int_equal(frame_decode(message, &f), 0);
		if (f.type == FRAME_NOTIFICATION && cbor_text_is(f.name, "coffer.sync"))
			hear_notice(l, f.value);
		else if (f.type == FRAME_CHUNK && cbor_text_is(f.name, "coffer.step"))
			hear_step(l, f.value, true);
		else if (f.type == FRAME_RESPONSE)
			l->pulling = false;
		assert_false(f.is_error);
		if (!l->pulling && l->told > l->cursor) {
			if (l->told == UINT64_MAX)
				l->told = l->cursor;
			pull(l, c);
		}
	}
}

static void *listener_main(void *arg)
{
	struct listener *l = arg;

	while (!listen_done(l)) {
		struct rpc_client c;

		connect_any(l->w, &c, &l->me, l->relay);
		listen_on(l, &c);
		rpc_close(&c);
	}
	return NULL;
}

/* --- people and relays --- */

/* Below the ports that connections come from: else one to a relay that is down may meet itself. */
static uint16_t low_port(size_t i)
{
	for (unsigned n = (unsigned)getpid() * RELAYS + (unsigned)i;; n += RELAYS) {
		struct sockaddr_in a = { .sin_family = AF_INET,
			.sin_port = htons((uint16_t)(20000 + n % 10000)),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool is_free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;

		close(fd);
		if (is_free)
			return ntohs(a.sin_port);
	}
}

static void start_relays(struct two *w)
{
	w->relay[0].port = low_port(0);
	relay_process_start(&w->relay[0]);
	w->relay[1] = w->relay[0];
	w->relay[1].pid = 0;
	w->relay[1].port = low_port(1);
	relay_process_start(&w->relay[1]);
}

static void append(struct two *w, struct rpc_client *c, size_t space, const struct buf *blobs, size_t n)
{
	for (size_t i = 0; i < n; i += APPENDED) {
		struct buf params = BUF_INIT(FRAME_MAX);
		struct reply r;

		params_append(&params, log_space(w->spaces[space].log), blobs + i, n - i < APPENDED ? n - i : APPENDED);
		r = rpc_call(c, "coffer.append", &params);
		if (!reply_ok(&r))
			fail_msg("the entries were refused: %.*s", (int)r.f.message.len, (const char *)r.f.message.p);
		step_book_init(&w->books[space], reply_uint(&r, "cursor"));
		reply_release(&r);
	}
}

/* All of them join by one invite. */
static void open_space(struct two *w, struct rpc_client *c, size_t space, struct party *const *people, size_t n)
{
	struct new_space *s = &w->spaces[space];
	struct buf *blobs = calloc(n + 4, sizeof *blobs);
	struct invite_params what = {
		.role = ROLE_WRITER, .uses = n, .expires = (uint64_t)time(NULL) + 600, .relay = PARTY_RELAY, .name = "x"
	};
	struct entry_maker m;
	struct invite_keys keys;

	assert_non_null(blobs);
	party_space(&w->admin, s);
	memcpy(blobs, s->blobs, 3 * sizeof *blobs);
	party_keys(&keys);
	m = party_maker(&w->admin, s->log);
	blobs[3] = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
	assert_int_equal(entry_make_invite(&m, s->ring, &what, &keys, &blobs[3]), 0);
	party_apply(s->log, &blobs[3]);
	for (size_t i = 0; i < n; i++) {
		blobs[4 + i] = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
		party_join_blob(people[i], s->log, &keys, &blobs[4 + i]);
		party_apply(s->log, &blobs[4 + i]);
	}
	append(w, c, space, blobs, n + 4);
	for (size_t i = 3; i < n + 4; i++)
		buf_release(&blobs[i]);
	invite_keys_release(&keys);
	free(blobs);
}

static void open_spaces(struct two *w, struct device *devices, struct listener *listeners)
{
	struct party *people[DEVICES + LISTENERS];
	struct rpc_client c;

	for (size_t i = 0; i < DEVICES; i++) {
		devices[i] = (struct device){ .w = w, .seed = next_random(&w->seed), .home = i % SPACES };
		party_init(&devices[i].me, "pushes");
		people[i] = &devices[i].me;
	}
	for (size_t i = 0; i < LISTENERS; i++) {
		listeners[i] = (struct listener){ .w = w, .space = i % SPACES, .relay = i / SPACES };
		party_init(&listeners[i].me, "listens");
		people[DEVICES + i] = &listeners[i].me;
	}
	party_init(&w->admin, "admin");
	rpc_open(&c, w->relay[0].port);
	rpc_auth(&c, &w->admin, w->relay[0].url);
	for (size_t i = 0; i < SPACES; i++)
		open_space(w, &c, i, people, COUNT(people));
	rpc_close(&c);
	for (size_t i = 0; i < LISTENERS; i++)
		listeners[i].cursor = step_book_newest(&w->books[listeners[i].space]);
}

/* About once a second, as long as there are pushes to come. How many. */
static unsigned kill_relays(struct two *w)
{
	unsigned kills = 0;

	while (w->answered < w->wanted) {
		const uint64_t which = next_random(&w->seed) % 8;
		const bool dies[RELAYS] = { which < 4 || which == 7, which >= 4 };

		for (uint64_t end = 200 + next_random(&w->seed) % 1400; end && w->answered < w->wanted;
			end -= end < 50 ? end : 50)
			sleep_ms(end < 50 ? end : 50);
		for (size_t i = 0; i < RELAYS; i++)
			if (dies[i]) {
				relay_process_kill(&w->relay[i], SIGKILL);
				kills++;
			}
		sleep_ms(next_random(&w->seed) % 200);
		for (size_t i = 0; i < RELAYS; i++)
			if (dies[i])
				relay_process_start(&w->relay[i]);
	}
	return kills;
}

/* One more push into each space, of which the listeners must hear. */
static void push_last(struct device *d)
{
	struct two *w = d->w;

	for (size_t i = 0; i < SPACES; i++)
		w->last[i] = step_book_newest(&w->books[i]) + 1;
	for (size_t i = 0; i < SPACES; i++) {
		struct rpc_client c;

		connect_any(w, &c, &d->me, i);
		send_push(d, &c, make_push(d, i), -1);
		assert_true(receive_answer(d, &c));
		assert_int_equal(d->cursors[i], w->last[i]);
		rpc_close(&c);
	}
}

/* All of a space as a new device gets it, with every record that is still current. */
static void check_pull(struct two *w, size_t space, const struct party *me)
{
	struct listener l = { .w = w, .space = space, .cursor = w->books[space].first };
	struct rpc_client c;

	connect_any(w, &c, me, space);
	while (l.cursor < w->books[space].newest) {
		const uint64_t before = l.cursor;

		pull(&l, &c);
		while (l.pulling) {
			struct bytes message;
			struct frame f;

			assert_int_equal(rpc_receive(&c, &message), 0);
			assert_int_equal(frame_decode(message, &f), 0);
			assert_false(f.is_error);
			if (f.type == FRAME_CHUNK && cbor_text_is(f.name, "coffer.step"))
				hear_step(&l, f.value, true);
			l.pulling = f.type != FRAME_RESPONSE;
		}
		assert_true(l.cursor > before);
	}
	rpc_close(&c);
}

static void check(struct two *w, const struct party *me)
{
	uint64_t steps = 0;

	for (size_t i = 0; i < SPACES; i++) {
		check_pull(w, i, me);
		steps += step_book_check(&w->books[i]);
	}
	assert_int_equal(steps, w->answered);
}

static void run(struct two *w, struct device *devices, struct listener *listeners)
{
	const double start = now();
	uint64_t pulls = 0;
	unsigned kills;
	double took;

	for (size_t i = 0; i < LISTENERS; i++)
		assert_int_equal(pthread_create(&listeners[i].thread, NULL, listener_main, &listeners[i]), 0);
	for (size_t i = 0; i < DEVICES; i++)
		assert_int_equal(pthread_create(&devices[i].thread, NULL, device_main, &devices[i]), 0);
	kills = kill_relays(w);
	for (size_t i = 0; i < DEVICES; i++)
		pthread_join(devices[i].thread, NULL);
	took = now() - start;
	push_last(&devices[0]);
	for (size_t i = 0; i < LISTENERS; i++) {
		pthread_join(listeners[i].thread, NULL);
		pulls += listeners[i].pulls;
	}
	check(w, &devices[0].me);
	printf("%llu pushes answered in %.0f s (%.0f/s), %u kills, %llu connections of devices lost, %llu connections "
	       "closed by"
	       " a relay, %llu pulls by listeners: every cursor once\n",
		(unsigned long long)w->answered, took, (double)w->wanted / took, kills, (unsigned long long)w->lost,
		(unsigned long long)w->closed, (unsigned long long)pulls);
}

int main(int argc, char **argv)
{
	static struct two w;
	static struct device devices[DEVICES];
	static struct listener listeners[LISTENERS];

	program_init();
	w.wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
	w.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL);
	if (test_database_is_sqlite() || !w.wanted) {
		fputs("usage: tests/lib/postgres.sh two_relays [PUSHES [SEED]]\n", stderr);
		return 2;
	}
	printf("seed %llu\n", (unsigned long long)w.seed);
	fflush(stdout);
	signal(SIGPIPE, SIG_IGN);
	if (crypto_init() < 0)
		return 1;
	start_relays(&w);
	open_spaces(&w, devices, listeners);
	run(&w, devices, listeners);
	relay_process_kill(&w.relay[1], SIGKILL);
	relay_process_remove(&w.relay[0]);
	return 0;
}
