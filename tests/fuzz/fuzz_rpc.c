/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay's methods under any frame: first the frame itself, then its request run over a real store (made once, in a
 * directory of its own) as a device that no log knows. Nothing it asks may be granted, every request is answered once. Then
 * as somebody with a personal space of the plain protocol, who is let in there: the answer still comes once, and last.
 */
#include <stdlib.h>
#include <unistd.h>
#include "base/env.h"
#include "crypto/hash.h"
#include "server/reader.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "server/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct world {
	struct relay relay;
	struct depot *reader;
	struct caller *caller, *owner;
};

static char dir[64];

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	if (system(command))
		abort();
}

static struct world *open_world(void)
{
	static struct world w; /* one per process: a store is slow to make */
	const struct id32 device = { { 1 } };
	struct config_fault fault;
	struct config *c;

	if (w.caller)
		return &w;
	snprintf(dir, sizeof dir, "/tmp/fuzz-rpc.XXXXXX");
	if (crypto_init() < 0 || !mkdtemp(dir) || config_new(&c) < 0 ||
		config_set(c, "storage.data", dir, &fault) < 0 || relay_open(&w.relay, env_system(), c) < 0 ||
		depot_open_reader(w.relay.store, &w.reader) < 0)
		abort();
	atexit(remove_dir);
	w.caller = caller_new(&device, &device, "192.0.2.7", true);
	w.owner = caller_new(&device, &device, "192.0.2.8", true);
	if (!w.caller || !w.owner ||
		id16_parse("da29e793-3f05-51c3-9f72-63cc953f9c05", 36, &w.owner->plain.personal) < 0)
		abort();
	w.owner->plain.has_personal = w.owner->plain.files = true;
	return &w;
}

static struct job *answered(struct world *w, const struct method *m, const struct frame *f, struct caller *caller)
{
	struct job *j = job_new(m, 1, caller);

	if (!j)
		abort();
	j->id = f->id;
	j->params = f->value;
	if (m->lane == LANE_WRITE || m->lane == LANE_TURN) {
		writer_run_batch(&w->relay, &j, 1);
	} else {
		rpc_prepare(&w->relay, j);
		do {
			j->more = false;
			reader_run(&w->relay, j, w->reader);
		} while (j->more);
	}
	return j;
}

static void run_as_stranger(struct world *w, const struct method *m, const struct frame *f)
{
	struct job *j = answered(w, m, f, w->caller);
	struct frame answer;
	struct bytes item;

	if (!j->out.first || j->out.first->next)
		abort(); /* strangers get one frame, never a stream */
	if (frame_decode(message_bytes(j->out.first->m), &answer) < 0 || answer.type != FRAME_RESPONSE)
		abort();
	/* only a whole and valid genesis is taken from a stranger */
	if (m != &method_append && !answer.is_error && cbor_map_find(answer.value, CBOR_RPC, "ok", &item) == OK &&
		item.p[0] == 0xf5)
		abort();
	job_free(&w->relay, j);
}

static void run_as_owner(struct world *w, const struct method *m, const struct frame *f)
{
	struct job *j = answered(w, m, f, w->owner);
	struct frame answer;

	if (!j->out.first)
		abort();
	for (const struct message_node *n = j->out.first; n; n = n->next)
		if (frame_decode(message_bytes(n->m), &answer) < 0 ||
			answer.type != (n->next ? FRAME_CHUNK : FRAME_RESPONSE))
			abort();
	job_free(&w->relay, j);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct world *w = open_world();
	const struct method *m;
	struct frame f;

	if (frame_decode(bytes_of(p, n), &f) < 0 || f.type != FRAME_REQUEST || !f.value.len ||
		(f.value.p[0] & 0xe0) != 0xa0)
		return 0;
	if ((m = rpc_find(f.name))) {
		run_as_stranger(w, m, &f);
		run_as_owner(w, m, &f);
	}
	return 0;
}
