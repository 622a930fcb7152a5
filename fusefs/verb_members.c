/* SPDX-License-Identifier: Apache-2.0 */
/* members and device.list: who is in a space, and the devices of this person. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fusefs/member.h"
#include "fusefs/relay.h"
#include "fusefs/sync_head.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"

#define NS 1000000000ll
#define ASK_NS (2 * NS) /* how long the answer may wait for the relay */

static void put_label(struct map *m, const char *key, struct space *s, const struct log_device *d)
{
	CLEANUP(buf_release) struct buf label = BUF_INIT(4096);

	if (epoch_open_label(s->ring, s->log, d, &label) == OK && label.len)
		map_text_n(m, key, (const char *)label.data, label.len);
	else
		map_text(m, key, "?");
}

/* When devices were last seen: their newest signed heads, at the relay and in the store. */
struct seen {
	struct seen_device {
		struct id32 device;
		uint64_t time;
	} * list;
	size_t n;
};

static void seen_release(struct seen *l)
{
	free(l->list);
}

static void note_head(void *ctx, const struct head *h)
{
	struct seen *l = ctx;

	for (size_t i = 0; i < l->n; i++)
		if (id32_equal(&l->list[i].device, &h->device) && h->time > l->list[i].time)
			l->list[i].time = h->time;
}

/* The devices of the log, with what the store knows. */
static int list_seen(struct call *c, struct space *s, struct seen *l)
{
	struct store_txn *t = NULL;
	const struct log_device *d;

	int err = store_begin(c->agent->store, &t);
	if (err < 0)
		return err;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; (d = log_device_at(s->log, i)); i++) {
		struct seen_device *grown = reallocarray(l->list, l->n + 1, sizeof *grown);
		if (!grown)
			break;
		l->list = grown;
		l->list[l->n] = (struct seen_device){ .device = d->ed };
		(void)!sync_head_seen(t, s->row.row, &d->ed, &l->list[l->n++].time);
	}
	pthread_mutex_unlock(&s->lock);
	store_abort(&t);
	return d ? ERR_NOMEM : OK;
}

/* A relay that is away or shows no heads leaves what the store knows. */
static int find_seen(struct call *c, struct space *s, struct seen *l)
{
	const struct env *env = c->agent->env;

	int err = list_seen(c, s, l);
	if (err >= 0)
		(void)!relay_fetch_heads(
			c->agent->sync, s->row.relay, &s->row.id, env->mono_ns(env->ctx) + ASK_NS, note_head, l);
	return err;
}

/* Unix seconds, not after now whatever that device's clock said; 0: not known. */
static uint64_t seen_at(struct call *c, const struct seen *l, const struct id32 *device)
{
	uint64_t now = (uint64_t)(c->agent->env->wall_ns(c->agent->env->ctx) / NS);

	if (id32_equal(device, identity_device(c->agent->who)))
		return now;
	for (size_t i = 0; i < l->n; i++)
		if (id32_equal(&l->list[i].device, device))
			return l->list[i].time < now ? l->list[i].time : now;
	return 0;
}

/* seen: for members; NULL for the own devices. */
static int put_device(
	struct call *c, struct space *s, const struct log_device *d, const struct seen *seen, struct buf *out)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	const struct log_person *p = log_find_person(s->log, &d->person);
	bool persons = seen != NULL;
	char text[DID_KEY_TEXT_SIZE];

	id32_format_did(&d->ed, text);
	map_text(&m, "id", text);
	put_label(&m, persons ? "device" : "name", s, d);
	map_bool(&m, "self", id32_equal(&d->ed, identity_device(c->agent->who)));
	map_bool(&m, "live", d->live);
	map_uint(&m, "since", d->time);
	if (persons) {
		bool own = id32_equal(&d->person, identity_person(c->agent->who));
		id32_format_did(&d->person, text);
		map_text(&m, "person_id", text);
		map_text_n(&m, "person", own ? "you" : text + 9, own ? 3 : 10);
		map_text(&m, "role", p ? role_name(p->role) : "none");
		map_uint(&m, "seen", seen_at(c, seen, &d->ed));
	}
	member_fingerprint(persons ? &d->person : &d->ed, text);
	map_text(&m, "fingerprint", text);
	return map_put(&m, out);
}

static int put_devices(struct call *c, struct space *s, const struct seen *seen, const char *key)
{
	CLEANUP(buf_release) struct buf rows = BUF_INIT(2u << 20);
	CLEANUP(buf_release) struct buf list = BUF_INIT(2u << 20);
	struct cbor_enc head = cbor_enc_init(&list);
	const struct log_device *d;
	size_t n = 0;
	int err = OK;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; err >= 0 && (d = log_device_at(s->log, i)); i++) {
		if (seen && !d->live)
			continue;
		err = put_device(c, s, d, seen, &rows);
		n++;
	}
	pthread_mutex_unlock(&s->lock);
	cbor_put_array(&head, n);
	if (err < 0 || (err = cbor_enc_end(&head)) < 0 || (err = buf_put(&list, rows.data, rows.len)) < 0)
		return err;
	map_raw(&c->result, key, buf_bytes(&list));
	return OK;
}

int verb_members(struct call *c)
{
	CLEANUP(seen_release) struct seen seen = { 0 };
	struct space *s;
	int err = call_space(c, &s);

	if (err < 0)
		return err;
	if ((err = find_seen(c, s, &seen)) < 0)
		return call_fail_err(c, err, "the members cannot be listed");
	return put_devices(c, s, &seen, "members");
}

int verb_device_list(struct call *c)
{
	struct space *s = agent_personal(c->agent);

	return s ? put_devices(c, s, NULL, "devices")
		 : call_fail(c, ERR_INTERNAL, 0, "", "the personal space is not there");
}
