/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "syncd/engine.h"
#include "tests/lib/unit.h"
#include "wire/frame.h"

#define MINUTE 60000u

struct rig {
	struct engine *e;
	struct engine_actions out;
	uint64_t now;
	uint32_t random;
};

static void rig_init(struct rig *r)
{
	*r = (struct rig){ .now = 1000000 };
	assert_int_equal(engine_new(&r->e), OK);
}

static void rig_release(struct rig *r)
{
	engine_actions_release(&r->out);
	engine_free(r->e);
}

/* One step from an empty list of actions. */
static int try_step(struct rig *r, struct engine_event ev)
{
	engine_actions_clear(&r->out);
	ev.now = r->now;
	ev.random = r->random;
	return engine_step(r->e, &ev, &r->out);
}

static void step(struct rig *r, struct engine_event ev)
{
	assert_int_equal(try_step(r, ev), OK);
}

static void message(struct rig *r, const struct buf *b)
{
	step(r, (struct engine_event){ .kind = ENGINE_MESSAGE, .data = buf_bytes(b) });
}

static int ipc(struct rig *r, struct msg m)
{
	return try_step(r, (struct engine_event){ .kind = ENGINE_IPC, .msg = &m });
}

static void call(struct rig *r, uint64_t num)
{
	assert_int_equal(ipc(r, (struct msg){ .type = MSG_CALL, .num = num, .text = bytes_str("m") }), OK);
}

static const struct engine_action *action(const struct rig *r, size_t i, enum engine_action_kind kind)
{
	if (i >= r->out.n)
		fail_msg("action %zu is missing", i);
	assert_int_equal(r->out.v[i].kind, kind);
	return &r->out.v[i];
}

static void assert_state(const struct rig *r, size_t i, enum msg_state state, const char *reason)
{
	const struct engine_action *a = action(r, i, ENGINE_TELL);

	assert_int_equal(a->msg.type, MSG_STATE);
	assert_int_equal(a->msg.state, state);
	unit_assert_bytes(a->msg.text, bytes_str(reason));
}

static void assert_result(const struct rig *r, size_t i, uint64_t num, const char *code)
{
	const struct engine_action *a = action(r, i, ENGINE_TELL);

	assert_int_equal(a->msg.type, MSG_RESULT);
	assert_int_equal(a->msg.num, num);
	unit_assert_bytes(a->msg.text, bytes_str(code));
}

/* The frame of a SEND action. */
static struct frame sent(const struct rig *r, size_t i)
{
	const struct engine_action *a = action(r, i, ENGINE_SEND);
	struct frame f;

	assert_true(a->buf.len > ENGINE_HEADROOM);
	assert_int_equal(frame_decode(bytes_of(a->buf.data + ENGINE_HEADROOM, a->buf.len - ENGINE_HEADROOM), &f), OK);
	return f;
}

static void respond(struct rig *r, struct bytes id)
{
	char text[FRAME_MAX_ID];
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&b);

	/* `id` may point into an action that the step clears. */
	memcpy(text, id.p, id.len);
	frame_begin_response(&e, bytes_of(text, id.len));
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, true);
	assert_int_equal(cbor_enc_end(&e), OK);
	message(r, &b);
	buf_release(&b);
}

static void delegate(struct rig *r, uint64_t life_ms)
{
	step(r, (struct engine_event){
			.kind = ENGINE_DELEGATION, .data = bytes_str("token-text"), .life_ms = life_ms });
}

static void to_connect(struct rig *r)
{
	rig_init(r);
	step(r, (struct engine_event){ .kind = ENGINE_CONFIG, .changed = true });
	assert_int_equal(r->out.n, 0);
	assert_int_equal(engine_deadline(r->e), ENGINE_NEVER);
	delegate(r, 60 * MINUTE);
	action(r, 0, ENGINE_CONNECT);
	assert_state(r, 1, MSG_CONNECTING, "");
}

static void open_and_verify(struct rig *r)
{
	step(r, (struct engine_event){ .kind = ENGINE_OPENED });
	unit_assert_bytes(sent(r, 0).name, bytes_str("auth"));
	unit_assert_bytes(sent(r, 1).name, bytes_str("subscribe"));
	assert_int_equal(r->out.n, 2);
	respond(r, sent(r, 1).id);
	assert_state(r, 0, MSG_ONLINE, "");
	assert_true(engine_online(r->e));
}

static void to_online(struct rig *r)
{
	to_connect(r);
	open_and_verify(r);
}

static void goes_online_only_after_an_authenticated_exchange(void **state)
{
	struct rig r;

	(void)state;
	to_connect(&r);
	step(&r, (struct engine_event){ .kind = ENGINE_OPENED });
	assert_false(engine_online(r.e));
	assert_int_equal(sent(&r, 0).type, FRAME_NOTIFICATION);
	assert_int_equal(sent(&r, 1).type, FRAME_REQUEST);
	unit_assert_hex(sent(&r, 1).value, "a1 66737061636573 80");
	/* A keepalive and a stranger's response prove nothing. */
	step(&r, (struct engine_event){ .kind = ENGINE_MESSAGE, .data = bytes_of("\xf6", 1) });
	respond(&r, bytes_str("c1"));
	assert_int_equal(r.out.n, 0);
	assert_false(engine_online(r.e));
	rig_release(&r);
}

static void waits_longer_after_each_failure_within_bounds(void **state)
{
	static const uint32_t randoms[] = { 0, 0x8000, UINT32_MAX };

	(void)state;
	for (size_t k = 0; k < COUNT(randoms); k++) {
		struct rig r;
		uint64_t last = 0;

		to_connect(&r);
		delegate(&r, 600 * MINUTE);
		r.random = randoms[k];
		for (int i = 0; i < 40; i++) {
			uint64_t wait;

			/* Opened and dropped again is no reason to start over. */
			if (i % 2)
				step(&r, (struct engine_event){ .kind = ENGINE_OPENED });
			if (i % 2)
				step(&r, (struct engine_event){ .kind = ENGINE_CLOSED, .code = 1006 });
			else
				step(&r, (struct engine_event){ .kind = ENGINE_FAILED, .reason = "unreachable" });
			assert_state(&r, 0, MSG_OFFLINE, i % 2 ? "closed" : "unreachable");
			wait = engine_deadline(r.e) - r.now;
			assert_int_equal(r.out.v[0].msg.retry_ms, wait);
			assert_true(wait >= ENGINE_BACKOFF_MIN_MS && wait <= ENGINE_BACKOFF_MAX_MS);
			assert_true(i > 0 || wait <= 2 * ENGINE_BACKOFF_MIN_MS);
			assert_true(wait >= last);
			last = wait;
			r.now += wait - 1;
			step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
			assert_int_equal(r.out.n, 0);
			r.now++;
			step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
			action(&r, 0, ENGINE_CONNECT);
		}
		assert_true(last >= ENGINE_BACKOFF_MAX_MS / 2);
		rig_release(&r);
	}
}

static void backs_off_exponentially(void **state)
{
	struct rig r;
	uint64_t first = 0, last = 0;

	(void)state;
	to_connect(&r);
	for (int i = 0; i < 12; i++) {
		step(&r, (struct engine_event){ .kind = ENGINE_FAILED, .reason = "unreachable" });
		last = engine_deadline(r.e) - r.now;
		if (i == 0)
			first = last;
		r.now += last;
		step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
		action(&r, 0, ENGINE_CONNECT);
	}
	assert_int_equal(first, ENGINE_BACKOFF_MIN_MS);
	assert_int_equal(last, ENGINE_BACKOFF_MAX_MS / 2); /* random 0: the lower half */
	open_and_verify(&r);
	step(&r, (struct engine_event){ .kind = ENGINE_CLOSED, .code = 1001 });
	assert_int_equal(engine_deadline(r.e) - r.now, ENGINE_BACKOFF_MIN_MS);
	rig_release(&r);
}

static void tries_at_once_when_kicked(void **state)
{
	struct rig r;

	(void)state;
	to_connect(&r);
	for (int i = 0; i < 10; i++) {
		step(&r, (struct engine_event){ .kind = ENGINE_FAILED, .reason = "unreachable" });
		r.now = engine_deadline(r.e);
		step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	}
	step(&r, (struct engine_event){ .kind = ENGINE_FAILED, .reason = "unreachable" });
	step(&r, (struct engine_event){ .kind = ENGINE_NETWORK });
	assert_true(engine_deadline(r.e) - r.now <= ENGINE_BACKOFF_MIN_MS);
	r.now = engine_deadline(r.e);
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	action(&r, 0, ENGINE_CONNECT);
	step(&r, (struct engine_event){ .kind = ENGINE_FAILED, .reason = "unreachable" });
	step(&r, (struct engine_event){ .kind = ENGINE_CONFIG });
	action(&r, 0, ENGINE_CONNECT);
	/* but never twice at once */
	step(&r, (struct engine_event){ .kind = ENGINE_CONFIG });
	assert_int_equal(r.out.n, 0);
	rig_release(&r);
}

static void another_relay_drops_the_connection(void **state)
{
	struct rig r;

	(void)state;
	to_online(&r);
	call(&r, 1);
	step(&r, (struct engine_event){ .kind = ENGINE_CONFIG, .changed = true });
	action(&r, 0, ENGINE_CLOSE);
	assert_result(&r, 1, 1, "offline");
	action(&r, 2, ENGINE_CONNECT);
	rig_release(&r);
}

static void matches_responses_by_id_and_keeps_the_order_of_calls(void **state)
{
	struct rig r;
	char ids[4][FRAME_MAX_ID];
	size_t lens[4];

	(void)state;
	to_online(&r);
	for (uint64_t i = 0; i < 4; i++) {
		struct frame f;

		call(&r, 100 + i);
		f = sent(&r, 0);
		assert_int_equal(f.type, FRAME_REQUEST);
		unit_assert_hex(f.value, "a0"); /* no params: an empty map */
		memcpy(ids[i], f.id.p, f.id.len);
		lens[i] = f.id.len;
	}
	respond(&r, bytes_of(ids[0], lens[0]));
	assert_result(&r, 0, 100, "");
	respond(&r, bytes_of(ids[2], lens[2]));
	assert_result(&r, 0, 102, "");
	respond(&r, bytes_of(ids[2], lens[2])); /* twice: ignored */
	assert_int_equal(r.out.n, 0);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_CANCEL, .num = 101 }), OK);
	respond(&r, bytes_of(ids[1], lens[1]));
	assert_int_equal(r.out.n, 0);
	respond(&r, bytes_of(ids[3], lens[3]));
	assert_result(&r, 0, 103, "");
	rig_release(&r);
}

/* A call that the relay answers with an error: with *b, which what comes of it points into. */
static void call_refused(struct rig *r, uint64_t num, const char *code, const char *text, struct buf *b)
{
	struct cbor_enc e = cbor_enc_init(b);
	char id[FRAME_MAX_ID];
	struct frame f;

	call(r, num);
	f = sent(r, 0);
	memcpy(id, f.id.p, f.id.len);
	frame_put_error(&e, bytes_of(id, f.id.len), code, text);
	message(r, b);
}

static void passes_errors_and_notifications_on(void **state)
{
	struct rig r;
	struct buf b = BUF_INIT(1024);
	struct cbor_enc e;

	(void)state;
	to_online(&r);
	call_refused(&r, 5, "forbidden", "no", &b);
	assert_result(&r, 0, 5, "forbidden");
	unit_assert_bytes(r.out.v[0].msg.message, bytes_str("no"));
	buf_clear(&b);
	e = cbor_enc_init(&b);
	frame_begin_notification(&e, bytes_str("coffer.sync"));
	cbor_put_map(&e, 0);
	message(&r, &b);
	assert_int_equal(action(&r, 0, ENGINE_TELL)->msg.type, MSG_NOTIFY);
	unit_assert_bytes(r.out.v[0].msg.text, bytes_str("coffer.sync"));
	unit_assert_hex(r.out.v[0].msg.item, "a0");
	buf_release(&b);
	rig_release(&r);
}

/* An error whose code is empty must not look like success. */
static void an_error_without_code_is_no_success(void **state)
{
	struct rig r;
	struct buf b = BUF_INIT(1024);

	(void)state;
	to_online(&r);
	call_refused(&r, 5, "", "", &b);
	assert_result(&r, 0, 5, "internal");
	buf_release(&b);
	rig_release(&r);
}

static void keeps_at_most_so_many_calls_at_the_relay(void **state)
{
	struct rig r;
	char id[FRAME_MAX_ID];
	size_t id_len = 0;

	(void)state;
	to_online(&r);
	for (uint64_t i = 0; i < ENGINE_MAX_OPEN; i++) {
		call(&r, i);
		if (i == 0) {
			struct frame f = sent(&r, 0);

			id_len = f.id.len;
			memcpy(id, f.id.p, id_len);
		}
		assert_int_equal(r.out.n, i < ENGINE_MAX_IN_FLIGHT ? 1 : 0);
	}
	assert_true(engine_held(r.e) > 0);
	call(&r, ENGINE_MAX_OPEN);
	assert_result(&r, 0, ENGINE_MAX_OPEN, "busy");
	respond(&r, bytes_of(id, id_len));
	assert_result(&r, 0, 0, "");
	action(&r, 1, ENGINE_SEND);
	assert_int_equal(r.out.n, 2);
	step(&r, (struct engine_event){ .kind = ENGINE_CLOSED, .code = 1006 });
	assert_int_equal(r.out.n, ENGINE_MAX_OPEN); /* 255 results and the state */
	for (size_t i = 0; i + 1 < r.out.n; i++)
		assert_result(&r, i, i + 1, "offline");
	assert_state(&r, r.out.n - 1, MSG_OFFLINE, "closed");
	assert_int_equal(engine_held(r.e), 0);
	rig_release(&r);
}

static void answers_offline_unless_online(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	call(&r, 1);
	assert_result(&r, 0, 1, "offline");
	rig_release(&r);
	to_connect(&r);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_PUT, .num = 2, .blob = bytes_str("x") }), OK);
	assert_result(&r, 0, 2, "offline");
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_GET, .num = 3 }), OK);
	assert_result(&r, 0, 3, "offline");
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_CANCEL, .num = 3 }), OK);
	assert_int_equal(r.out.n, 0);
	rig_release(&r);
}

static void a_number_used_twice_is_a_broken_contract(void **state)
{
	struct rig r;

	(void)state;
	to_online(&r);
	call(&r, 1);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_GET, .num = 1 }), ERR_INVALID);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_CALL, .num = 1, .text = bytes_str("m") }), ERR_INVALID);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_HELLO }), ERR_INVALID);
	rig_release(&r);
}

static void downloads_do_not_wait_behind_uploads(void **state)
{
	struct rig r;
	size_t started = 0;

	(void)state;
	to_online(&r);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(ipc(&r, (struct msg){ .type = MSG_PUT, .num = i, .blob = bytes_str("blob") }), OK);
		started += r.out.n;
	}
	assert_int_equal(started, ENGINE_MAX_PUTS);
	assert_int_equal(engine_held(r.e), 4 * (20 - ENGINE_MAX_PUTS));
	for (uint64_t i = 20; i < 24; i++) {
		assert_int_equal(ipc(&r, (struct msg){ .type = MSG_GET, .num = i }), OK);
		started += r.out.n;
	}
	assert_int_equal(started, ENGINE_MAX_HTTP);
	/* A download is done: the next download goes, not the next upload. */
	step(&r, (struct engine_event){ .kind = ENGINE_HTTP_DONE, .num = 20, .reason = "", .data = bytes_str("data") });
	assert_int_equal(action(&r, 0, ENGINE_TELL)->msg.type, MSG_DATA);
	unit_assert_bytes(r.out.v[0].msg.blob, bytes_str("data"));
	assert_result(&r, 1, 20, "");
	assert_int_equal(action(&r, 2, ENGINE_GET)->num, 22);
	/* An upload is done: the next upload goes, with its blob and the token. */
	step(&r, (struct engine_event){ .kind = ENGINE_HTTP_DONE, .num = 3, .reason = "conflict" });
	assert_result(&r, 0, 3, "conflict");
	assert_int_equal(action(&r, 1, ENGINE_PUT)->num, 6);
	unit_assert_bytes(buf_bytes(&r.out.v[1].buf), bytes_str("blob"));
	unit_assert_bytes(r.out.v[1].token, bytes_str("token-text"));
	rig_release(&r);
}

static void cancels_what_waits_and_what_runs(void **state)
{
	struct rig r;

	(void)state;
	to_online(&r);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(ipc(&r, (struct msg){ .type = MSG_PUT, .num = i, .blob = bytes_str("blob") }), OK);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_CANCEL, .num = 7 }), OK);
	assert_int_equal(r.out.n, 0);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_CANCEL, .num = 0 }), OK);
	assert_int_equal(action(&r, 0, ENGINE_ABORT)->num, 0);
	assert_int_equal(action(&r, 1, ENGINE_PUT)->num, 6);
	step(&r, (struct engine_event){ .kind = ENGINE_HTTP_DONE, .num = 0, .reason = "" });
	assert_int_equal(r.out.n, 0);
	for (uint64_t i = 100; i < 100 + ENGINE_MAX_IN_FLIGHT + 1; i++)
		call(&r, i);
	assert_int_equal(ipc(&r, (struct msg){ .type = MSG_CANCEL, .num = 100 + ENGINE_MAX_IN_FLIGHT }), OK);
	assert_int_equal(engine_held(r.e), 0);
	step(&r, (struct engine_event){ .kind = ENGINE_CLOSED });
	/* each running job: abort and result; each call its result; the state */
	assert_int_equal(r.out.n, 2 * ENGINE_MAX_PUTS + ENGINE_MAX_IN_FLIGHT + 1);
	rig_release(&r);
}

static void silence_ends_the_connection_and_a_keepalive_keeps_it(void **state)
{
	struct rig r;

	(void)state;
	to_online(&r);
	for (int i = 0; i < 5; i++) {
		r.now += ENGINE_SILENCE_MS - 1;
		step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
		assert_int_equal(r.out.n, 0);
		if (i % 2)
			step(&r, (struct engine_event){ .kind = ENGINE_HEARD });
		else
			step(&r, (struct engine_event){ .kind = ENGINE_MESSAGE, .data = bytes_of("\xf6", 1) });
	}
	r.now += ENGINE_SILENCE_MS;
	assert_int_equal(engine_deadline(r.e), r.now);
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	action(&r, 0, ENGINE_CLOSE);
	assert_state(&r, 1, MSG_OFFLINE, "timeout");
	rig_release(&r);
}

static void a_call_without_progress_ends_the_connection(void **state)
{
	struct rig r;

	(void)state;
	to_online(&r);
	call(&r, 1);
	for (int i = 0; i < 2; i++) {
		r.now += 60 * 1000;
		step(&r, (struct engine_event){ .kind = ENGINE_MESSAGE, .data = bytes_of("\xf6", 1) });
		assert_int_equal(r.out.n, 0);
	}
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	action(&r, 0, ENGINE_CLOSE);
	assert_result(&r, 1, 1, "offline");
	assert_state(&r, 2, MSG_OFFLINE, "stuck");
	rig_release(&r);
}

/* On a slow line a large push takes longer than any answer may. */
static void bytes_under_way_are_progress(void **state)
{
	struct rig r;

	(void)state;
	to_online(&r);
	call(&r, 1);
	for (int i = 0; i < 20; i++) {
		r.now += 60 * 1000;
		step(&r, (struct engine_event){ .kind = ENGINE_HEARD });
		step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
		assert_int_equal(r.out.n, 0);
	}
	step(&r, (struct engine_event){ .kind = ENGINE_NETWORK });
	r.now = engine_deadline(r.e);
	step(&r, (struct engine_event){ .kind = ENGINE_HEARD });
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	assert_int_equal(r.out.n, 0);
	r.now = engine_deadline(r.e);
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	assert_state(&r, 2, MSG_OFFLINE, "timeout");
	rig_release(&r);
}

static void a_network_change_asks_whether_the_relay_is_there(void **state)
{
	struct rig r;

	(void)state;
	to_online(&r);
	step(&r, (struct engine_event){ .kind = ENGINE_NETWORK });
	unit_assert_bytes(sent(&r, 0).name, bytes_str("subscribe"));
	respond(&r, sent(&r, 0).id);
	assert_int_equal(r.out.n, 0);
	step(&r, (struct engine_event){ .kind = ENGINE_NETWORK });
	step(&r, (struct engine_event){ .kind = ENGINE_NETWORK }); /* a burst asks once */
	assert_int_equal(r.out.n, 0);
	r.now = engine_deadline(r.e);
	assert_true(r.now < 1000000 + 10000);
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	action(&r, 0, ENGINE_CLOSE);
	assert_state(&r, 1, MSG_OFFLINE, "timeout");
	rig_release(&r);
}

static void time_limits_hold_in_every_phase(void **state)
{
	struct rig r;

	(void)state;
	to_connect(&r);
	r.now = engine_deadline(r.e);
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	action(&r, 0, ENGINE_CLOSE);
	assert_state(&r, 1, MSG_OFFLINE, "timeout");
	rig_release(&r);

	to_connect(&r);
	step(&r, (struct engine_event){ .kind = ENGINE_OPENED });
	r.now = engine_deadline(r.e);
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	action(&r, 0, ENGINE_CLOSE);
	assert_state(&r, 1, MSG_OFFLINE, "timeout");
	rig_release(&r);

	to_connect(&r);
	step(&r, (struct engine_event){ .kind = ENGINE_ANSWERED, .status = 404 });
	action(&r, 0, ENGINE_HEALTH);
	r.now = engine_deadline(r.e);
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	action(&r, 0, ENGINE_CLOSE);
	assert_state(&r, 1, MSG_OFFLINE, "timeout");
	rig_release(&r);
}

static void tells_a_wrong_server_from_a_busy_one(void **state)
{
	static const struct {
		unsigned upgrade, health, version;
		enum msg_state state;
		const char *reason;
	} table[] = {
		{ 404, 200, 0, MSG_REFUSED, "not-a-relay" },
		{ 200, 404, 0, MSG_REFUSED, "not-a-relay" },
		{ 301, 301, 0, MSG_REFUSED, "not-a-relay" },
		{ 400, 200, 1, MSG_REFUSED, "no-websocket" },
		{ 101, 200, 1, MSG_REFUSED, "version" },
		{ 404, 200, 2, MSG_REFUSED, "version" },
		{ 404, 503, 1, MSG_OFFLINE, "busy" },
		{ 404, 0, 0, MSG_OFFLINE, "unreachable" },
		{ 502, 0, 0, MSG_OFFLINE, "busy" },
		{ 503, 0, 0, MSG_OFFLINE, "busy" },
		{ 429, 0, 0, MSG_OFFLINE, "busy" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct rig r;

		to_connect(&r);
		step(&r, (struct engine_event){ .kind = ENGINE_ANSWERED, .status = table[i].upgrade });
		if (r.out.v[0].kind == ENGINE_HEALTH)
			step(&r, (struct engine_event){ .kind = ENGINE_HEALTH_DONE,
					 .status = table[i].health,
					 .version = table[i].version });
		assert_state(&r, 0, table[i].state, table[i].reason);
		/* Also what a person has to look at heals by itself. */
		r.now = engine_deadline(r.e);
		step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
		action(&r, 0, ENGINE_CONNECT);
		rig_release(&r);
	}
}

static void a_new_delegation_refreshes_the_token(void **state)
{
	struct rig r;
	struct frame f;

	(void)state;
	to_online(&r);
	delegate(&r, 60 * MINUTE);
	f = sent(&r, 0);
	unit_assert_bytes(f.name, bytes_str("token.refresh"));
	respond(&r, f.id);
	assert_int_equal(r.out.n, 0);
	assert_true(engine_online(r.e));
	rig_release(&r);
}

static void a_token_that_is_not_taken_ends_the_connection(void **state)
{
	struct rig r;
	struct buf b = BUF_INIT(256);
	struct cbor_enc e = cbor_enc_init(&b);
	char id[FRAME_MAX_ID];
	struct frame f;

	(void)state;
	to_online(&r);
	delegate(&r, 60 * MINUTE);
	f = sent(&r, 0);
	memcpy(id, f.id.p, f.id.len);
	frame_begin_response(&e, bytes_of(id, f.id.len));
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, false);
	message(&r, &b);
	action(&r, 0, ENGINE_CLOSE);
	assert_state(&r, 1, MSG_OFFLINE, "closed");
	buf_release(&b);
	rig_release(&r);
}

static void does_not_connect_with_a_token_that_ended(void **state)
{
	struct rig r;

	(void)state;
	to_connect(&r);
	step(&r, (struct engine_event){ .kind = ENGINE_FAILED, .reason = "unreachable" });
	r.now += 61 * MINUTE;
	step(&r, (struct engine_event){ .kind = ENGINE_TIMER });
	assert_state(&r, 0, MSG_REFUSED, "delegation");
	assert_int_equal(r.out.n, 1);
	assert_int_equal(engine_deadline(r.e), ENGINE_NEVER);
	delegate(&r, 60 * MINUTE);
	action(&r, 0, ENGINE_CONNECT);
	step(&r, (struct engine_event){ .kind = ENGINE_DELEGATION }); /* unusable, while connecting */
	step(&r, (struct engine_event){ .kind = ENGINE_OPENED });
	action(&r, 0, ENGINE_CLOSE);
	assert_state(&r, 1, MSG_REFUSED, "delegation");
	rig_release(&r);
}

/* Every event in every phase, many times in random order: never an error from the relay's side, never an action that does
 * not fit, every request answered exactly once. */
static void no_order_of_events_breaks_it(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct rig r;
		int64_t open = 0;
		uint64_t num = 0;

		rig_init(&r);
		for (int i = 0; i < 300; i++) {
			static const struct msg calls[] = {
				{ .type = MSG_CALL, .text = { (const uint8_t *)"m", 1 } },
				{ .type = MSG_PUT, .blob = { (const uint8_t *)"b", 1 } },
				{ .type = MSG_GET },
			};
			uint64_t x = unit_random(&seed);
			struct engine_event ev = {
				.kind = (enum engine_event_kind)(x % (ENGINE_IPC + 1)),
				.reason = "",
				.status = (unsigned)(x >> 8) % 600,
				.code = 3995 + (unsigned)(x >> 20) % 20,
				.num = (x >> 30) % (num + 1),
				.life_ms = x >> 40,
				.version = (unsigned)(x >> 50) % 3,
				.changed = x >> 63,
			};
			struct msg m = calls[(x >> 33) % 3];
			char frame[64];

			r.now += (x >> 45) % 4000;
			if (ev.kind == ENGINE_IPC) {
				m.num = ++num;
				ev.msg = &m;
				open++;
			} else if (ev.kind == ENGINE_MESSAGE) {
				int n = snprintf(frame, sizeof frame, "\xa3\x64type\x01\x62id\x62%c%u\x66result\xf5",
					"cpr"[x % 3], 1 + (unsigned)(x >> 35) % 9);

				ev.data = bytes_of(frame, (size_t)n);
			} else if (ev.kind == ENGINE_DELEGATION && (x & 0x10000)) {
				ev.data = bytes_str("token");
			}
			step(&r, ev);
			for (size_t k = 0; k < r.out.n; k++)
				if (r.out.v[k].kind == ENGINE_TELL && r.out.v[k].msg.type == MSG_RESULT)
					open--;
			assert_true(open >= 0);
			assert_true(engine_online(r.e) || open == 0);
		}
		rig_release(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_online_only_after_an_authenticated_exchange),
		cmocka_unit_test(waits_longer_after_each_failure_within_bounds),
		cmocka_unit_test(backs_off_exponentially),
		cmocka_unit_test(tries_at_once_when_kicked),
		cmocka_unit_test(another_relay_drops_the_connection),
		cmocka_unit_test(matches_responses_by_id_and_keeps_the_order_of_calls),
		cmocka_unit_test(passes_errors_and_notifications_on),
		cmocka_unit_test(an_error_without_code_is_no_success),
		cmocka_unit_test(keeps_at_most_so_many_calls_at_the_relay),
		cmocka_unit_test(answers_offline_unless_online),
		cmocka_unit_test(a_number_used_twice_is_a_broken_contract),
		cmocka_unit_test(downloads_do_not_wait_behind_uploads),
		cmocka_unit_test(cancels_what_waits_and_what_runs),
		cmocka_unit_test(silence_ends_the_connection_and_a_keepalive_keeps_it),
		cmocka_unit_test(a_call_without_progress_ends_the_connection),
		cmocka_unit_test(bytes_under_way_are_progress),
		cmocka_unit_test(a_network_change_asks_whether_the_relay_is_there),
		cmocka_unit_test(time_limits_hold_in_every_phase),
		cmocka_unit_test(tells_a_wrong_server_from_a_busy_one),
		cmocka_unit_test(a_new_delegation_refreshes_the_token),
		cmocka_unit_test(a_token_that_is_not_taken_ends_the_connection),
		cmocka_unit_test(does_not_connect_with_a_token_that_ended),
		cmocka_unit_test(no_order_of_events_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
