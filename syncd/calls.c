/* SPDX-License-Identifier: Apache-2.0 */
#include "syncd/calls.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "syncd/action.h"

#define ID_SIZE 24

struct call {
	uint64_t num, serial;
	bool cancelled;
	struct buf frame; /* while it waits */
};

struct calls {
	struct call v[ENGINE_MAX_OPEN]; /* the first `sent` are at the relay */
	size_t n, sent, held;
	uint64_t serial, since;
};

int calls_new(struct calls **ret_c)
{
	*ret_c = calloc(1, sizeof **ret_c);
	return *ret_c ? OK : ERR_NOMEM;
}

void calls_free(struct calls *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		buf_release(&c->v[i].frame);
	free(c);
}

bool calls_has(const struct calls *c, uint64_t num)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].num == num && !c->v[i].cancelled)
			return true;
	return false;
}

static void remove_at(struct calls *c, size_t i)
{
	c->held -= c->v[i].frame.len;
	buf_release(&c->v[i].frame);
	memmove(&c->v[i], &c->v[i + 1], (c->n - i - 1) * sizeof c->v[0]);
	c->n--;
	if (i < c->sent)
		c->sent--;
}

static int encode(const struct msg *m, uint64_t serial, struct buf *b)
{
	static const uint8_t empty_map[] = { 0xa0 };
	struct cbor_enc e = cbor_enc_init(b);
	uint8_t *headroom;
	char id[ID_SIZE];
	int err, n = snprintf(id, sizeof id, "c%" PRIu64, serial);

	err = buf_reserve(b, ENGINE_HEADROOM + m->item.len + m->text.len + 64);
	if (err < 0)
		return err;
	err = buf_grow(b, ENGINE_HEADROOM, &headroom);
	if (err < 0)
		return err;
	memset(headroom, 0, ENGINE_HEADROOM);
	frame_begin_request(&e, bytes_of(id, (size_t)n), m->text);
	cbor_put_raw(&e, m->item.len ? m->item : bytes_of(empty_map, sizeof empty_map));
	return cbor_enc_end(&e);
}

/* Sends waiting calls while the relay may have more. */
static int send_waiting(struct calls *c, uint64_t now, struct engine_actions *out)
{
	while (c->sent < c->n && c->sent < ENGINE_MAX_IN_FLIGHT) {
		struct call *call = &c->v[c->sent];
		size_t len = call->frame.len;
		int err = action_send(out, &call->frame);

		if (err < 0)
			return err;
		c->held -= len;
		if (c->sent == 0)
			c->since = now;
		c->sent++;
	}
	return OK;
}

int calls_add(struct calls *c, const struct msg *m, uint64_t now, struct engine_actions *out)
{
	CLEANUP(buf_release) struct buf frame = BUF_INIT(ENGINE_HEADROOM + FRAME_MAX);
	struct call *call;
	int err;

	if (calls_has(c, m->num))
		return ERR_INVALID;
	if (c->n == ENGINE_MAX_OPEN)
		return action_tell_code(out, m->num, "busy");
	err = encode(m, c->serial + 1, &frame);
	if (err == ERR_RANGE)
		return action_tell_code(out, m->num, "payload_too_large");
	if (err < 0)
		return err;
	call = &c->v[c->n++];
	*call = (struct call){ .num = m->num, .serial = ++c->serial, .frame = frame };
	c->held += frame.len;
	frame = (struct buf){ .cap = 0 };
	return send_waiting(c, now, out);
}

void calls_cancel(struct calls *c, uint64_t num)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].num != num || c->v[i].cancelled)
			continue;
		if (i < c->sent)
			c->v[i].cancelled = true;
		else
			remove_at(c, i);
		return;
	}
}

static bool parse_id(struct bytes id, uint64_t *ret_serial)
{
	uint64_t v = 0;

	if (id.len < 2 || id.len >= ID_SIZE - 4 || id.p[0] != 'c')
		return false;
	for (size_t i = 1; i < id.len; i++) {
		if (id.p[i] < '0' || id.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(id.p[i] - '0');
	}
	*ret_serial = v;
	return true;
}

static int tell_response(const struct call *call, const struct frame *f, struct engine_actions *out)
{
	struct msg m = { .type = MSG_RESULT, .num = call->num };

	if (f->is_error) {
		m.text = f->code.len ? f->code : bytes_str("internal");
		m.message = f->message;
	} else {
		m.item = f->value;
	}
	return action_tell(out, &m);
}

int calls_frame(struct calls *c, const struct frame *f, uint64_t now, struct engine_actions *out)
{
	uint64_t serial;
	size_t i = 0;
	int err = OK;

	if (!parse_id(f->id, &serial))
		return OK;
	while (i < c->sent && c->v[i].serial != serial)
		i++;
	if (i == c->sent)
		return OK;
	c->since = now;
	if (f->type == FRAME_CHUNK) {
		const struct msg part = { .type = MSG_PART, .num = c->v[i].num, .text = f->name, .item = f->value };

		return c->v[i].cancelled ? OK : action_tell(out, &part);
	}
	if (!c->v[i].cancelled)
		err = tell_response(&c->v[i], f, out);
	if (err < 0)
		return err;
	remove_at(c, i);
	return send_waiting(c, now, out);
}

int calls_drop(struct calls *c, const char *code, struct engine_actions *out)
{
	int err = OK;

	for (size_t i = 0; i < c->n; i++) {
		if (!c->v[i].cancelled && err == OK)
			err = action_tell_code(out, c->v[i].num, code);
		buf_release(&c->v[i].frame);
	}
	c->n = c->sent = c->held = 0;
	return err;
}

void calls_progress(struct calls *c, uint64_t now)
{
	c->since = now;
}

uint64_t calls_since(const struct calls *c)
{
	return c->sent ? c->since : ENGINE_NEVER;
}

size_t calls_held(const struct calls *c)
{
	return c->held;
}
