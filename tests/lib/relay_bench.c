/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/relay_bench.h"

#include <stdlib.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "server/reader.h"
#include "server/rpc.h"
#include "server/sweep.h"
#include "server/writer.h"

struct config *bench_config(const char *dir, const char *database)
{
	struct config_fault fault;
	struct config *c;

	assert_int_equal(config_new(&c), 0);
	assert_int_equal(config_set(c, "storage.data", dir, &fault), 0);
	assert_int_equal(config_set(c, "storage.database", database, &fault), 0);
	assert_int_equal(config_finish(c, &fault), 0);
	return c;
}

static void open_relay(struct relay_bench *r)
{
	assert_int_equal(relay_open(&r->relay, fake_env_get(r->env), bench_config(r->dir, r->database)), 0);
	assert_int_equal(depot_open_reader(r->relay.store, &r->reader), 0);
}

void relay_bench_open(struct relay_bench *r)
{
	const char *tmp = getenv("TMPDIR");

	memset(r, 0, sizeof *r);
	r->env = fake_env_new(FAKE_REAL, 7);
	snprintf(r->dir, sizeof r->dir, "%.40s/relay.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(r->dir));
	test_database_new(r->database);
	open_relay(r);
}

void relay_bench_open_beside(struct relay_bench *r, const struct relay_bench *first)
{
	memset(r, 0, sizeof *r);
	r->env = fake_env_new(FAKE_REAL, 8);
	r->beside = true;
	memcpy(r->dir, first->dir, sizeof r->dir);
	memcpy(r->database, first->database, sizeof r->database);
	open_relay(r);
}

static void shut(struct relay_bench *r)
{
	depot_close(r->reader);
	relay_close(&r->relay);
}

void relay_bench_restart(struct relay_bench *r)
{
	shut(r);
	open_relay(r);
}

void relay_bench_close(struct relay_bench *r)
{
	char command[128];

	shut(r);
	fake_env_free(r->env);
	if (r->beside)
		return;
	test_database_drop(r->database);
	snprintf(command, sizeof command, "rm -rf '%s'", r->dir);
	assert_int_equal(system(command), 0);
}

static void apply(struct relay_bench *r, const struct sweep_list *l)
{
	assert_int_equal(depot_begin(r->relay.store), 0);
	assert_int_equal(sweep_apply(&r->relay, l), 0);
	assert_int_equal(depot_commit(r->relay.store), 0);
}

size_t bench_sweep_garbage(struct relay_bench *r)
{
	struct sweep_list l;
	size_t n = 0;

	do {
		assert_int_equal(sweep_garbage(&r->relay, r->reader, &l), 0);
		apply(r, &l);
		n += l.n;
	} while (l.n == SWEEP_MANY);
	return n;
}

struct caller *bench_caller(const struct party *p)
{
	struct caller *c = caller_new(identity_person(p->id), identity_device(p->id), "192.0.2.1", true);

	assert_non_null(c);
	return c;
}

static struct job *make_job(struct caller *c, const char *method, struct buf *params)
{
	const struct method *m = rpc_find(bytes_str(method));
	struct job *j;

	assert_non_null(m);
	j = job_new(m, 1, c);
	assert_non_null(j);
	buf_release(&j->in);
	j->in = *params;
	*params = (struct buf)BUF_INIT(FRAME_MAX);
	j->params = buf_bytes(&j->in);
	j->id = bytes_str("1");
	return j;
}

static struct answer finish(struct relay_bench *r, struct job *j)
{
	struct answer a = { 0 };

	if (j->notices && j->notices->message)
		a.notice = message_ref(j->notices->message);
	for (struct notice *n = j->notices; n; n = n->next)
		r->notices++;
	message_list_move(&a.frames, &j->out);
	job_free(&r->relay, j);
	for (struct message_node *n = a.frames.first; n; n = n->next) {
		a.chunks += n->next != NULL;
		a.message = n->m;
	}
	if (a.message)
		assert_int_equal(frame_decode(message_bytes(a.message), &a.last), 0);
	return a;
}

struct answer bench_call(struct relay_bench *r, struct caller *c, const char *method, struct buf *params)
{
	struct job *j = make_job(c, method, params);
	struct answer a;
	size_t slices = 0;

	if (j->method->lane == LANE_WRITE || j->method->lane == LANE_TURN) {
		writer_run_batch(&r->relay, &j, 1);
		return finish(r, j);
	}
	rpc_prepare(&r->relay, j);
	do {
		j->more = false;
		reader_run(&r->relay, j, r->reader);
		slices++;
	} while (j->more);
	a = finish(r, j);
	a.slices = slices;
	return a;
}

void bench_batch(
	struct relay_bench *r, struct caller *c, const char *method, struct buf *params, struct answer *ret, size_t n)
{
	struct job *jobs[64];

	assert_true(n <= COUNT(jobs));
	for (size_t i = 0; i < n; i++)
		jobs[i] = make_job(c, method, &params[i]);
	writer_run_batch(&r->relay, jobs, n);
	for (size_t i = 0; i < n; i++)
		ret[i] = finish(r, jobs[i]);
}

void answer_release(struct answer *a)
{
	message_list_clear(&a->frames);
	message_unref(a->notice);
	*a = (struct answer){ 0 };
}

bool answer_ok(const struct answer *a)
{
	struct bytes item;

	return a->message && !a->last.is_error && cbor_map_find(a->last.value, CBOR_RPC, "ok", &item) == OK &&
	       item.len == 1 && item.p[0] == 0xf5;
}

bool answer_refused(const struct answer *a, const char *code)
{
	struct bytes text;

	if (!a->message)
		return false;
	if (a->last.is_error)
		return cbor_text_is(a->last.code, code);
	return param_text(a->last.value, "error", 64, &text) == OK && cbor_text_is(text, code);
}

uint64_t answer_uint(const struct answer *a, const char *key)
{
	uint64_t v;

	assert_non_null(a->message);
	assert_int_equal(param_uint(a->last.value, key, &v), 0);
	return v;
}

struct bytes answer_chunk(const struct answer *a, size_t i, struct bytes *ret_name)
{
	struct message_node *n = a->frames.first;
	struct frame f;

	while (i--)
		n = n->next;
	assert_int_equal(frame_decode(message_bytes(n->m), &f), 0);
	assert_int_equal(f.type, FRAME_CHUNK);
	*ret_name = f.name;
	return f.value;
}

void bench_space(struct relay_bench *r, struct caller *c, const struct new_space *s)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct answer a;

	params_append(&params, log_space(s->log), s->blobs, 3);
	a = bench_call(r, c, "coffer.append", &params);
	if (!answer_ok(&a))
		fail_msg("append: %.*s %.*s", (int)a.last.code.len, (const char *)a.last.code.p,
			(int)a.last.message.len, (const char *)a.last.message.p);
	answer_release(&a);
}

struct answer bench_append(struct relay_bench *r, struct caller *c, const struct id16 *space, const struct buf *entry)
{
	struct buf params = BUF_INIT(FRAME_MAX);

	params_append(&params, space, entry, 1);
	return bench_call(r, c, "coffer.append", &params);
}

void bench_setup_code(struct relay_bench *r, char ret_code[ADMISSION_CODE])
{
	struct buf key = BUF_INIT(64);
	struct id32 m;

	assert_int_equal(depot_fact_get(r->relay.store, "admission/key", &key), 0);
	hash_hmac(buf_bytes(&key), bytes_str("coffer/set-up"), bytes_of(NULL, 0), &m);
	buf_release(&key);
	for (size_t i = 0, at = 0; i < 10; i++)
		at += (size_t)snprintf(
			ret_code + at, ADMISSION_CODE - at, "%s%02X", i && i % 2 == 0 ? " " : "", m.b[i]);
}
