/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile relay: the input is a row of messages (one byte of length each) to an engine that is online with calls open.
 * Each call is answered at most once, and whatever the relay says is no error.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "syncd/engine.h"

#define CALLS 40

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void step(struct engine *e, struct engine_actions *out, struct engine_event ev, int *answers)
{
	engine_actions_clear(out);
	ev.now = 1000;
	if (engine_step(e, &ev, out) < 0)
		abort();
	for (size_t i = 0; i < out->n; i++) {
		const struct engine_action *a = &out->v[i];

		if (a->kind != ENGINE_TELL || a->msg.type != MSG_RESULT)
			continue;
		if (a->msg.num >= CALLS || answers[a->msg.num]++ > 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t verified[] = "\xa3\x64type\x01\x62id\x62p1\x66result\xa0";
	CLEANUP(engine_freep) struct engine *e = NULL;
	CLEANUP(engine_actions_release) struct engine_actions out = { .v = NULL };
	int answers[CALLS] = { 0 };

	if (engine_new(&e) < 0)
		abort();
	step(e, &out, (struct engine_event){ .kind = ENGINE_CONFIG, .changed = true }, answers);
	step(e, &out, (struct engine_event){ .kind = ENGINE_DELEGATION, .data = bytes_str("t"), .life_ms = 100000 },
		answers);
	step(e, &out, (struct engine_event){ .kind = ENGINE_OPENED }, answers);
	step(e, &out, (struct engine_event){ .kind = ENGINE_MESSAGE, .data = bytes_of(verified, sizeof verified - 1) },
		answers);
	if (!engine_online(e))
		abort();
	for (uint64_t i = 0; i < CALLS; i++) {
		const struct msg m = { .type = MSG_CALL, .num = i, .text = bytes_str("m") };

		step(e, &out, (struct engine_event){ .kind = ENGINE_IPC, .msg = &m }, answers);
	}
	while (n > 1) {
		size_t len = p[0] < n - 1 ? p[0] : n - 1;

		step(e, &out, (struct engine_event){ .kind = ENGINE_MESSAGE, .data = bytes_of(p + 1, len) }, answers);
		p += 1 + len;
		n -= 1 + len;
	}
	step(e, &out, (struct engine_event){ .kind = ENGINE_CLOSED, .code = 1006 }, answers);
	return 0;
}
