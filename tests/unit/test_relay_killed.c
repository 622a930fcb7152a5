/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of the relay at random moments, with pushes and log entries under way: what was acknowledged is there, and nothing is
 * there twice although everything unanswered is sent again. ROUNDS=200 for the long form (tests/long/kill_relay_load.sh).
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "crypto/verify.h"
#include "server/rpc.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define WINDOW 16
#define ROUND_OPS 400 /* at most in one round */
#define RECORDS 5
#define ENTRIES 50 /* a log takes only so many open invites */

struct op {
	const char *method;
	struct buf params;
};

struct world {
	struct relay_process relay;
	struct party me;
	struct new_space s;
	struct op pending[WINDOW];
	size_t n_pending;
	uint64_t ops;     /* made so far */
	struct id16 *ids; /* of all records */
	struct sealed *files;
	size_t n_ids, n_files;
	bool file_under_way; /* the last of them */
	bool pushes_only;
};

static void add_op(struct world *w, const char *method, struct buf params)
{
	assert_true(w->n_pending < WINDOW);
	w->pending[w->n_pending++] = (struct op){ method, params };
	w->ops++;
}

/* Records, the first of them naming `file` if there is one, and a small chunk. */
static void make_push(struct world *w, const struct sealed *file)
{
	struct sealed records[RECORDS], chunk;
	struct buf params = BUF_INIT(FRAME_MAX);

	sealed_chunk(&w->s, NULL, 2000, &chunk);
	w->ids = realloc(w->ids, (w->n_ids + RECORDS) * sizeof *w->ids);
	assert_non_null(w->ids);
	for (size_t i = 0; i < RECORDS; i++) {
		const struct id16 *named = i == 0 && file ? &file->id : i == 1 ? &chunk.id : NULL;

		sealed_record(&w->me, &w->s, (struct sealed_params){ .chunks = named, .n_chunks = named != NULL },
			&records[i]);
		w->ids[w->n_ids++] = records[i].id;
	}
	params_push(&params, log_space(w->s.log), w->ops + 1, -1, records, RECORDS, &chunk, 1, bytes_of(NULL, 0));
	add_op(w, "coffer.push", params);
	for (size_t i = 0; i < RECORDS; i++)
		sealed_release(&records[i]);
	sealed_release(&chunk);
}

static void make_entry(struct world *w)
{
	struct invite_params what = {
		.role = ROLE_READER, .uses = 1, .expires = PARTY_NOW + 600, .relay = PARTY_RELAY, .name = "x"
	};
	struct buf params = BUF_INIT(FRAME_MAX), blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry_maker m = party_maker(&w->me, w->s.log);
	struct invite_keys keys;

	party_keys(&keys);
	assert_int_equal(entry_make_invite(&m, w->s.ring, &what, &keys, &blob), 0);
	party_apply(w->s.log, &blob);
	params_append(&params, log_space(w->s.log), &blob, 1);
	add_op(w, "coffer.append", params);
	invite_keys_release(&keys);
	buf_release(&blob);
}

/* A new one, or the last again if that was not answered. False if the relay is gone. */
static bool put_file(struct world *w)
{
	struct buf answer = BUF_INIT(1u << 20);
	const bool again = w->file_under_way;
	struct sealed *f;
	int status;

	if (!again) {
		w->files = realloc(w->files, (w->n_files + 1) * sizeof *w->files);
		assert_non_null(w->files);
		sealed_chunk(&w->s, NULL, 200000, &w->files[w->n_files++]);
	}
	f = &w->files[w->n_files - 1];
	status = http_chunk(w->relay.port, "PUT", &w->me, w->relay.url, log_space(w->s.log), &f->id, "",
		buf_bytes(&f->blob), &answer);
	buf_release(&answer);
	if (status && status != 201 && !(again && status == 204))
		fail_msg("file %zu was answered with %d", w->n_files, status);
	w->file_under_way = status == 0;
	return status != 0;
}

/* Ends the relay some milliseconds from now. */
static pid_t start_killer(const struct world *w, uint64_t *seed)
{
	struct timespec wait = { .tv_nsec = (long)(unit_random(seed) % 150000000) };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		nanosleep(&wait, NULL);
		kill(w->relay.pid, SIGKILL);
		_exit(0);
	}
	return pid;
}

static void drop_first(struct world *w)
{
	buf_release(&w->pending[0].params);
	memmove(&w->pending[0], &w->pending[1], --w->n_pending * sizeof w->pending[0]);
}

/* Takes one answer; false if the relay is gone. Writes are answered in their order. */
static bool take_answer(struct world *w, struct rpc_client *c)
{
	struct bytes message;
	struct reply r = { 0 };

	do
		if (rpc_receive(c, &message) != 0)
			return false;
	while (frame_decode(message, &r.f) < 0 || r.f.type != FRAME_RESPONSE);
	assert_true(reply_ok(&r));
	drop_first(w);
	return true;
}

/* Sends what is pending, then goes on until the relay is gone (false), or unless it is killed until all is answered. */
static bool work(struct world *w, bool killed)
{
	struct rpc_client c;
	bool there = put_file(w) && rpc_try_open(&c, w->relay.port);

	if (!there)
		return false;
	rpc_auth(&c, &w->me, w->relay.url);
	for (size_t i = 0; i < w->n_pending; i++)
		rpc_send_request(&c, w->pending[i].method, buf_bytes(&w->pending[i].params));
	for (size_t made = 0; there && made < (killed ? ROUND_OPS : 1); made++) {
		while (there && w->n_pending >= WINDOW / 2)
			there = take_answer(w, &c);
		if (!there)
			break; /* what is made and never answered would pile up */
		if (made == 3 && w->n_files <= ENTRIES && !w->pushes_only)
			make_entry(w);
		else
			make_push(w, made == 0 ? &w->files[w->n_files - 1] : NULL);
		rpc_send_request(
			&c, w->pending[w->n_pending - 1].method, buf_bytes(&w->pending[w->n_pending - 1].params));
	}
	while (there && w->n_pending)
		there = take_answer(w, &c);
	rpc_close(&c);
	return there;
}

static void run_round(struct world *w, uint64_t *seed, bool killed)
{
	pid_t killer = 0;
	bool there;

	relay_process_start(&w->relay);
	if (killed)
		killer = start_killer(w, seed);
	there = work(w, killed);
	if (killer)
		assert_int_equal(waitpid(killer, NULL, 0), killer);
	else
		assert_true(there);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id16));
}

/* What one pull found: steps one after the other, and the ids of their records. */
struct found {
	struct id16 *ids;
	size_t n, max;
	uint64_t cursor;
};

static void find_step(const struct world *w, const struct frame *f, struct found *found)
{
	struct cbor_dec d;
	uint64_t cursor;
	size_t records;

	assert_int_equal(param_uint(f->value, "cursor", &cursor), 0);
	assert_int_equal(cursor, ++found->cursor); /* none is left out, none is there twice */
	assert_int_equal(param_array_opt(f->value, "records", 1000, &d, &records), 0);
	for (size_t i = 0; i < records; i++) {
		struct record rec;

		assert_int_equal(
			verify_record(cbor_get_bytes(&d, RECORD_MAX_BLOB), log_space(w->s.log), NULL, &rec), 0);
		assert_true(found->n < found->max);
		found->ids[found->n++] = rec.h.id;
	}
}

/* One pull from the cursor on: a part of the space. Whether there is more. */
static bool find_part(const struct world *w, struct rpc_client *c, struct found *found)
{
	struct buf params = BUF_INIT(256);
	struct reply r;
	struct bytes more;

	params_pull(&params, log_space(w->s.log), found->cursor, "records", 4 << 20);
	r = rpc_call(c, "coffer.pull", &params);
	assert_false(r.f.is_error);
	for (size_t at = 0; at < r.frames.len;) {
		const uint8_t *p = r.frames.data + at;
		size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		struct frame f;

		at += 4 + len;
		assert_int_equal(frame_decode(bytes_of(p + 4, len), &f), 0);
		if (cbor_text_is(f.name, "coffer.step"))
			find_step(w, &f, found);
	}
	assert_int_equal(cbor_map_find(r.f.value, CBOR_RPC, "more", &more), 0);
	bool is_more = more.p[0] == 0xf5;
	reply_release(&r);
	return is_more;
}

/* Every record once, one step for each operation, every file. */
static void check_all(struct world *w)
{
	struct found found = { .ids = calloc(w->n_ids + 1, sizeof *found.ids), .max = w->n_ids };
	struct rpc_client c;

	rpc_open(&c, w->relay.port);
	rpc_auth(&c, &w->me, w->relay.url);
	while (find_part(w, &c, &found))
		;
	rpc_close(&c);
	assert_int_equal(found.n, w->n_ids);
	assert_int_equal(found.cursor, w->ops + 1); /* the space's first entries were one more */
	qsort(found.ids, found.n, sizeof *found.ids, compare_ids);
	qsort(w->ids, found.n, sizeof *w->ids, compare_ids);
	assert_memory_equal(found.ids, w->ids, found.n * sizeof *found.ids);
	free(found.ids);
	for (size_t i = 0; i < w->n_files; i++) {
		struct buf answer = BUF_INIT(1u << 20);

		assert_int_equal(http_chunk(w->relay.port, "GET", &w->me, w->relay.url, log_space(w->s.log),
					 &w->files[i].id, "", bytes_of(NULL, 0), &answer),
			200);
		assert_true(answer.len >= w->files[i].blob.len);
		assert_memory_equal(
			answer.data + answer.len - w->files[i].blob.len, w->files[i].blob.data, w->files[i].blob.len);
		buf_release(&answer);
	}
}

static void start(struct world *w)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct rpc_client c;
	struct reply r;

	party_init(&w->me, "laptop");
	party_space(&w->me, &w->s);
	relay_process_start(&w->relay);
	rpc_open(&c, w->relay.port);
	rpc_auth(&c, &w->me, w->relay.url);
	params_append(&params, log_space(w->s.log), w->s.blobs, 3);
	r = rpc_call(&c, "coffer.append", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
	rpc_close(&c);
	relay_process_kill(&w->relay, SIGKILL);
}

static void run_rounds(struct world *w, uint64_t seed)
{
	const char *rounds = getenv("ROUNDS");

	print_message("seed %llu\n", (unsigned long long)seed);
	for (int i = rounds ? atoi(rounds) : 8; i > 0; i--) {
		run_round(w, &seed, true);
		relay_process_kill(&w->relay, SIGKILL); /* reaps it */
	}
	run_round(w, &seed, false);
}

static void end(struct world *w)
{
	print_message(
		"%llu pushes and entries, %zu records, %zu files\n", (unsigned long long)w->ops, w->n_ids, w->n_files);
	relay_process_remove(&w->relay);
	for (size_t i = 0; i < w->n_files; i++)
		sealed_release(&w->files[i]);
	free(w->files);
	free(w->ids);
	new_space_release(&w->s);
	party_release(&w->me);
}

static void a_killed_relay_keeps_what_it_acknowledged_once(void **state)
{
	struct world w = { 0 };

	(void)state;
	start(&w);
	run_rounds(&w, (uint64_t)time(NULL));
	check_all(&w);
	end(&w);
}

static void put_all(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		_exit(3);
}

static void get_all(int fd, void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(fd, (char *)p + at, n - at);

		assert_true(got > 0);
		at += (size_t)got;
	}
}

/* Another process with a relay of its own, which it kills too, pushes into the same space; what it pushed it tells by the pipe. */
static pid_t start_other(const struct world *w, int *ret_fd)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct world other = { .relay = w->relay, .me = w->me, .s = w->s, .pushes_only = true };

		close(fds[0]);
		other.relay.pid = 0;
		other.relay.port = 0;
		run_rounds(&other, (uint64_t)time(NULL) + 1);
		relay_process_kill(&other.relay, SIGKILL);
		put_all(fds[1], &other.ops, sizeof other.ops);
		put_all(fds[1], &other.n_ids, sizeof other.n_ids);
		put_all(fds[1], other.ids, other.n_ids * sizeof *other.ids);
		_exit(0);
	}
	close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

static void two_relays_that_are_killed_lose_and_repeat_no_cursor(void **state)
{
	struct world w = { 0 };
	uint64_t ops;
	size_t n;
	int fd, status;
	pid_t other;

	(void)state;
	start(&w);
	other = start_other(&w, &fd);
	run_rounds(&w, (uint64_t)time(NULL));
	get_all(fd, &ops, sizeof ops);
	get_all(fd, &n, sizeof n);
	w.ids = realloc(w.ids, (w.n_ids + n) * sizeof *w.ids);
	assert_non_null(w.ids);
	get_all(fd, w.ids + w.n_ids, n * sizeof *w.ids);
	w.n_ids += n;
	w.ops += ops;
	close(fd);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
	check_all(&w);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest one[] = { cmocka_unit_test(a_killed_relay_keeps_what_it_acknowledged_once) };
	const struct CMUnitTest shared[] = {
		cmocka_unit_test(a_killed_relay_keeps_what_it_acknowledged_once),
		cmocka_unit_test(two_relays_that_are_killed_lose_and_repeat_no_cursor),
	};

	signal(SIGPIPE, SIG_IGN);
	return test_database_is_sqlite() ? cmocka_run_group_tests(one, NULL, NULL)
					 : cmocka_run_group_tests(shared, NULL, NULL);
}
