/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_relay: what one relay on this machine carries, with every client in this process. `make bench-relay` runs it.
 *
 *	load_relay [idle|push|plain|pull|fan ...]      rows: name, figure, unit, what must hold
 *
 * Idle connections are of as many devices, each with its own token. Pushes are of 50 real records each (`plain`: of the protocol
 * without signatures), made before the clock starts, on one connection with 64 under way; a record counts when its push is
 * answered, which is after its fsync. The store lies in $TMPDIR. Medians of the rounds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/delegation.h"
#include "crypto/hash.h"
#include "crypto/session.h"
#include "crypto/sign.h"
#include "server/jwt.h"
#include "tests/lib/program.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define RECORDS 50
#define WINDOW 64
#define PUSH_ROUNDS 5
#define PUSHES_A_ROUND 400
#define PLAIN_A_ROUND 1600
#define PLAIN_BLOB 400

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void row(const char *name, double figure, const char *unit, const char *wanted)
{
	printf("%s\t%.2f\t%s\t%s\n", name, figure, unit, wanted);
	fflush(stdout);
}

/* --- many devices --- */

static void auth_stranger(struct rpc_client *c, const char *url)
{
	CLEANUP(buf_release) struct buf dlg = BUF_INIT(DELEGATION_MAX), token = BUF_INIT(TOKEN_MAX), b = BUF_INIT(8192);
	struct cbor_enc e = cbor_enc_init(&b);
	struct delegation d = { .aud = bytes_str(url), .not_after = time(NULL) + 3000 };
	struct secret *key;
	struct session *s;
	int64_t exp;

	assert_int_equal(sign_keypair_new(&key, &d.device), 0);
	assert_int_equal(session_new(&s), 0);
	d.person = d.device;
	d.session = *session_public(s);
	assert_int_equal(delegation_make(&d, key, &dlg), 0);
	assert_int_equal(session_token(s, buf_bytes(&dlg), time(NULL), &token, &exp), 0);
	session_free(s);
	secret_free(key);
	frame_begin_notification(&e, bytes_str("auth"));
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "token");
	cbor_put_text_n(&e, (const char *)token.data, token.len);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(c, buf_bytes(&b), true);
}

static void probe(struct rpc_client *c)
{
	struct buf params = BUF_INIT(64);
	struct cbor_enc e = cbor_enc_init(&params);
	struct reply r;

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
	r = rpc_call(c, "subscribe", &params);
	assert_int_equal(r.f.type, FRAME_RESPONSE);
	reply_release(&r);
	buf_release(&c->in); /* thousands of these wait; the next use takes memory again */
	buf_release(&c->message);
}

static struct rpc_client *idle_open(const struct relay_process *relay, size_t n)
{
	struct rpc_client *c = calloc(n, sizeof *c);

	assert_non_null(c);
	for (size_t i = 0; i < n; i++) {
		rpc_open(&c[i], relay->port);
		auth_stranger(&c[i], relay->url);
		probe(&c[i]);
	}
	return c;
}

static void idle_close(struct rpc_client *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rpc_close(&c[i]);
	free(c);
}

/* "VmRSS", or "RssAnon", which leaves out what is mapped of the database's file. */
static double resident_mib(pid_t pid, const char *which)
{
	char path[64], line[256];
	const size_t n = strlen(which);
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, which, n) == 0 && sscanf(line + n, ": %lu", &kib) == 1)
			break;
	fclose(f);
	return (double)kib / 1024;
}

/* Of a process so far, in seconds: says what a thing costs also on a machine that has other work. 0: this process. */
static double cpu_time(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double best(double a, double b)
{
	return a > b ? a : b;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void bench_idle(struct relay_process *relay)
{
	double before = resident_mib(relay->pid, "VmRSS"), start = now(), cpu = cpu_time(relay->pid);
	struct rpc_client *c = idle_open(relay, 10000);

	row("idle.connect", 10000 / (now() - start), "connections/s", "");
	row("idle.connect_cpu", (cpu_time(relay->pid) - cpu) * 1e6 / 10000, "us of CPU/connection", "");
	row("idle.rss", resident_mib(relay->pid, "VmRSS"), "MiB", "under 250 with 10,000 connections");
	row("idle.rss_each", (resident_mib(relay->pid, "VmRSS") - before) * 1024 / 10000, "KiB/connection", "");
	idle_close(c, 10000);
}

/* --- pushes --- */

struct push_load {
	struct party me;
	struct new_space space;
	struct buf *frames; /* whole WebSocket messages */
	size_t n, next;
	size_t bytes; /* of all frames */
};

/* The same frame that rpc_send makes, kept. */
static void keep_frame(struct push_load *l, const char *method, struct buf *params, size_t id)
{
	struct buf *out = &l->frames[id];
	CLEANUP(buf_release) struct buf b = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	char text[24];

	snprintf(text, sizeof text, "p%zu", id);
	frame_begin_request(&e, bytes_str(text), bytes_str(method));
	cbor_put_raw(&e, buf_bytes(params));
	assert_int_equal(cbor_enc_end(&e), 0);
	*out = (struct buf)BUF_INIT(FRAME_MAX + 16);
	assert_int_equal(buf_put_u8(out, 0x82), 0);
	if (b.len < 65536) {
		assert_int_equal(buf_put_u8(out, 0x80 | 126), 0);
		assert_int_equal(buf_put_u16be(out, (uint16_t)b.len), 0);
	} else {
		assert_int_equal(buf_put_u8(out, 0x80 | 127), 0);
		assert_int_equal(buf_put_u64be(out, b.len), 0);
	}
	assert_int_equal(buf_put_u32be(out, 0), 0);
	assert_int_equal(buf_put(out, b.data, b.len), 0);
	l->bytes += out->len;
	buf_release(params);
}

static void open_space(struct push_load *l, const struct relay_process *relay)
{
	struct rpc_client c;
	struct buf params = BUF_INIT(FRAME_MAX);
	struct reply r;

	party_init(&l->me, "bench");
	party_space(&l->me, &l->space);
	rpc_open(&c, relay->port);
	rpc_auth(&c, &l->me, relay->url);
	params_append(&params, log_space(l->space.log), l->space.blobs, 3);
	r = rpc_call(&c, "coffer.append", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
	rpc_close(&c);
}

static void make_pushes(struct push_load *l, size_t n)
{
	l->frames = calloc(n, sizeof *l->frames);
	l->n = n;
	for (size_t i = 0; i < n; i++) {
		struct sealed records[RECORDS];
		struct buf params = BUF_INIT(FRAME_MAX);

		for (size_t k = 0; k < RECORDS; k++)
			sealed_record(&l->me, &l->space, (struct sealed_params){ 0 }, &records[k]);
		params_push(&params, log_space(l->space.log), i + 1, -1, records, RECORDS, NULL, 0, bytes_of(NULL, 0));
		keep_frame(l, "coffer.push", &params, i);
		for (size_t k = 0; k < RECORDS; k++)
			sealed_release(&records[k]);
	}
}

static void wait_ok(struct rpc_client *c)
{
	struct reply r = rpc_reply(c);

	assert_true(reply_ok(&r));
	reply_release(&r);
}

static void send_all(int fd, struct bytes b)
{
	while (b.len) {
		ssize_t n = send(fd, b.p, b.len, MSG_NOSIGNAL);

		assert_true(n > 0);
		b = bytes_of(b.p + n, b.len - (size_t)n);
	}
}

/* Into the personal space of a device that speaks for itself: blobs as long as the records of coffer.push. */
static void make_plain_pushes(struct push_load *l, size_t n)
{
	char person[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE], space[ID16_TEXT_SIZE], id[ID16_TEXT_SIZE];
	uint8_t blob[PLAIN_BLOB];
	struct id16 personal;

	party_init(&l->me, "plain");
	id32_format_did(identity_person(l->me.id), person);
	id32_format_did(identity_device(l->me.id), device);
	assert_int_equal(jwt_personal_space(bytes_str(person), bytes_str(person), bytes_str(device), &personal), 0);
	id16_format(&personal, space);
	l->frames = calloc(n, sizeof *l->frames);
	l->n = n;
	for (size_t i = 0; i < n; i++) {
		struct buf params = BUF_INIT(FRAME_MAX);
		struct cbor_enc e = cbor_enc_init(&params);

		cbor_put_map(&e, 2);
		cbor_put_text(&e, "space");
		cbor_put_text(&e, space);
		cbor_put_text(&e, "changes");
		cbor_put_array(&e, RECORDS);
		for (size_t k = 0; k < RECORDS; k++) {
			const struct id16 one = sealed_id();

			id16_format(&one, id);
			env_system()->random(NULL, blob, sizeof blob);
			cbor_put_map(&e, 3);
			cbor_put_text(&e, "id");
			cbor_put_text(&e, id);
			cbor_put_text(&e, "blob");
			cbor_put_bytes(&e, blob, sizeof blob);
			cbor_put_text(&e, "expected_cursor");
			cbor_put_uint(&e, 0);
		}
		assert_int_equal(cbor_enc_end(&e), 0);
		keep_frame(l, "push", &params, i);
	}
}

struct push_run {
	double rate; /* records/s */
	double cpu;  /* of the relay, us/record */
	double load; /* of this process, % of one processor */
};

static struct push_run run_pushes(struct push_load *l, const struct relay_process *relay, size_t n)
{
	struct rpc_client c;
	size_t sent = 0, answered = 0;
	double start, cpu, own;

	rpc_open(&c, relay->port);
	rpc_auth(&c, &l->me, relay->url);
	start = now(), cpu = cpu_time(relay->pid), own = cpu_time(0);
	while (answered < n) {
		while (sent < n && sent - answered < WINDOW) {
			send_all(c.fd, buf_bytes(&l->frames[l->next]));
			buf_release(&l->frames[l->next++]);
			sent++;
		}
		wait_ok(&c);
		answered++;
	}
	start = now() - start, cpu = cpu_time(relay->pid) - cpu, own = cpu_time(0) - own;
	rpc_close(&c);
	return (struct push_run){ (double)(n * RECORDS) / start, cpu * 1e6 / (double)(n * RECORDS), 100 * own / start };
}

static void push_row(const char *protocol, const char *name, double *v, const char *unit, const char *wanted)
{
	char text[64];

	snprintf(text, sizeof text, "%s.%s", protocol, name);
	row(text, median(v, PUSH_ROUNDS), unit, wanted);
}

/* Until the relay has nothing more to do: thousands that came or went keep it busy for a while. */
static void settle(const struct relay_process *relay)
{
	double before = -1, cpu;

	for (int i = 0; i < 200 && (cpu = cpu_time(relay->pid)) > before + 0.002; i++) {
		before = cpu;
		usleep(50000);
	}
}

static struct push_run run_beside(struct push_load *l, const struct relay_process *relay, size_t n)
{
	struct rpc_client *idle = idle_open(relay, 5000);
	struct push_run run;

	settle(relay);
	run = run_pushes(l, relay, n);
	idle_close(idle, 5000);
	settle(relay);
	return run;
}

/* Rounds alone and beside idle clients in turns, first the one, then the other, so that what else goes on weighs on both. */
static void bench_pushes(struct relay_process *relay, const char *protocol, struct push_load *l)
{
	double alone[PUSH_ROUNDS], cpu[PUSH_ROUNDS], load[PUSH_ROUNDS], beside[PUSH_ROUNDS], kept[PUSH_ROUNDS];
	const size_t n = l->n / (2 * PUSH_ROUNDS);

	for (size_t i = 0; i < PUSH_ROUNDS; i++) {
		struct push_run other, run;

		if (i % 2)
			other = run_beside(l, relay, n);
		run = run_pushes(l, relay, n);
		if (i % 2 == 0)
			other = run_beside(l, relay, n);
		alone[i] = run.rate, cpu[i] = run.cpu, load[i] = run.load;
		beside[i] = other.rate;
		kept[i] = 100 * other.rate / run.rate;
	}
	push_row(protocol, "records", alone, "records/s", "20,000 durable");
	push_row(protocol, "cpu", cpu, "us of the relay's CPU/record", "");
	push_row(protocol, "load", load, "% of a CPU for making the load", "");
	push_row(protocol, "records_5000_idle", beside, "records/s", "");
	push_row(protocol, "kept", kept, "%", "95 with 5,000 idle clients");
	free(l->frames);
	party_release(&l->me);
}

static void bench_push(struct relay_process *relay)
{
	struct push_load l = { 0 };

	open_space(&l, relay);
	make_pushes(&l, 2 * PUSH_ROUNDS * PUSHES_A_ROUND);
	row("push.size", (double)l.bytes / (double)(l.n * RECORDS), "bytes/record", "");
	bench_pushes(relay, "push", &l);
}

static void bench_plain(struct relay_process *relay)
{
	struct push_load l = { 0 };

	make_plain_pushes(&l, 2 * PUSH_ROUNDS * PLAIN_A_ROUND);
	row("plain.size", (double)l.bytes / (double)(l.n * RECORDS), "bytes/record", "");
	bench_pushes(relay, "plain", &l);
}

/* --- a new device --- */

struct pull_run {
	double seconds, cpu;
	size_t steps, bytes;
	double most; /* of the relay's own memory, MiB */
};

/* All records of the space, from its first. */
static struct pull_run run_pull(const struct push_load *l, const struct relay_process *relay)
{
	CLEANUP(buf_release) struct buf params = BUF_INIT(256);
	struct pull_run run = { .seconds = now(), .cpu = cpu_time(relay->pid) };
	struct rpc_client c;
	struct bytes m;
	struct frame f;

	rpc_open(&c, relay->port);
	rpc_auth(&c, &l->me, relay->url);
	params_pull(&params, log_space(l->space.log), 0, "records", 1 << 30);
	rpc_send_request(&c, "coffer.pull", buf_bytes(&params));
	do {
		assert_int_equal(rpc_receive(&c, &m), 0);
		assert_int_equal(frame_decode(m, &f), 0);
		run.steps += f.type == FRAME_CHUNK;
		run.bytes += m.len;
		if (run.steps % 100 == 0)
			run.most = best(run.most, resident_mib(relay->pid, "RssAnon"));
	} while (f.type == FRAME_CHUNK);
	assert_false(f.is_error);
	rpc_close(&c);
	run.seconds = now() - run.seconds, run.cpu = cpu_time(relay->pid) - run.cpu;
	return run;
}

static void bench_pull(struct relay_process *relay)
{
	enum { PUSHES = 2000 };
	double rate[PUSH_ROUNDS], mib[PUSH_ROUNDS], cpu[PUSH_ROUNDS], most = 0, before;
	struct push_load l = { 0 };

	open_space(&l, relay);
	make_pushes(&l, PUSHES);
	(void)run_pushes(&l, relay, PUSHES);
	settle(relay);
	before = resident_mib(relay->pid, "RssAnon");
	for (size_t i = 0; i < PUSH_ROUNDS; i++) {
		struct pull_run run = run_pull(&l, relay);

		assert_true(run.steps > PUSHES);
		rate[i] = PUSHES * RECORDS / run.seconds;
		mib[i] = (double)run.bytes / (1 << 20) / run.seconds;
		cpu[i] = run.cpu * 1e6 / (PUSHES * RECORDS);
		most = best(most, run.most);
	}
	push_row("pull", "records", rate, "records/s", "");
	push_row("pull", "bytes", mib, "MiB/s", "");
	push_row("pull", "cpu", cpu, "us of the relay's CPU/record", "");
	row("pull.memory", most - before, "MiB more than before", "does not grow with what is pulled");
	free(l.frames);
	party_release(&l.me);
}

/* --- fan-out --- */

static void bench_fan(struct relay_process *relay)
{
	enum { SUBSCRIBERS = 1000, PUSHES = 40 };
	struct rpc_client *subs = calloc(SUBSCRIBERS, sizeof *subs), sender;
	double *took = calloc(SUBSCRIBERS * PUSHES, sizeof *took);
	struct epoll_event events[256];
	int poll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct push_load l = { 0 };
	size_t n = 0;

	open_space(&l, relay);
	make_pushes(&l, PUSHES);
	for (size_t i = 0; i < SUBSCRIBERS; i++) {
		struct buf params = BUF_INIT(256);
		struct reply r;

		rpc_open(&subs[i], relay->port);
		rpc_auth(&subs[i], &l.me, relay->url);
		params_subscribe(&params, log_space(l.space.log));
		r = rpc_call(&subs[i], "subscribe", &params);
		assert_int_equal(r.f.type, FRAME_RESPONSE);
		reply_release(&r);
		assert_int_equal(epoll_ctl(poll_fd, EPOLL_CTL_ADD, subs[i].fd,
					 &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &subs[i] }),
			0);
	}
	rpc_open(&sender, relay->port);
	rpc_auth(&sender, &l.me, relay->url);
	for (size_t p = 0; p < PUSHES; p++) {
		double start = now();

		send_all(sender.fd, buf_bytes(&l.frames[p]));
		buf_release(&l.frames[p]);
		for (size_t heard = 0; heard < SUBSCRIBERS;) {
			int got = epoll_wait(poll_fd, events, 256, 20000);

			assert_true(got > 0);
			for (int i = 0; i < got; i++, heard++) {
				(void)rpc_notice(events[i].data.ptr);
				took[n++] = now() - start;
			}
		}
		wait_ok(&sender);
	}
	qsort(took, n, sizeof *took, by_value);
	row("fan.p50", took[n / 2] * 1000, "ms", "");
	row("fan.p99", took[n * 99 / 100] * 1000, "ms", "under 100 to 1,000 subscribers");
	rpc_close(&sender);
	idle_close(subs, SUBSCRIBERS);
	close(poll_fd);
	free(took);
	free(l.frames);
	party_release(&l.me);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct relay_process *relay);
	} benches[] = {
		{ "idle", bench_idle },
		{ "push", bench_push },
		{ "plain", bench_plain },
		{ "pull", bench_pull },
		{ "fan", bench_fan },
	};
	struct rlimit files = { 0 };

	program_init();
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	setenv("COFFER_RELAY_LIMITS_CONNECTIONS_PER_DEVICE", "2000", 1);
	if (crypto_init() < 0)
		return 1;
	for (size_t i = 0; i < COUNT(benches); i++) {
		struct relay_process relay = { 0 };
		bool wanted = argc < 2;

		for (int k = 1; k < argc; k++)
			wanted |= strcmp(argv[k], benches[i].name) == 0;
		if (!wanted)
			continue;
		relay_process_start(&relay);
		benches[i].run(&relay);
		relay_process_remove(&relay);
	}
	return 0;
}
