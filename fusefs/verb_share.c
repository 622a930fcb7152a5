/* SPDX-License-Identifier: Apache-2.0 */
/* pair, invite, invite.list, invite.cancel, join. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "crypto/entry_make.h"
#include "crypto/invite.h"
#include "fusefs/log_write.h"
#include "fusefs/relay.h"
#include "fusefs/space_make.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"
#include "wire/relay_url.h"

#define NS 1000000000LL
#define CALL_NS (15 * NS)
#define TRIES 5 /* builds of an entry that lost the race for the next place in the log */
#define MAX_EXPIRES (90u * 86400)

static int64_t deadline(struct call *c)
{
	return c->agent->env->mono_ns(c->agent->env->ctx) + CALL_NS;
}

static uint64_t now_s(struct call *c)
{
	return (uint64_t)(c->agent->env->wall_ns(c->agent->env->ctx) / NS);
}

struct invite_build {
	struct invite_params params;
	const struct invite_keys *keys;
};

static int build_invite(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b)
{
	const struct invite_build *ib = arg;

	(void)cut;
	return entry_make_invite(m, s->ring, &ib->params, ib->keys, b);
}

static int put_offer(
	struct call *c, const struct invite_secret *secret, const struct invite_params *p, const struct id16 *id)
{
	CLEANUP(buf_release) struct buf code = BUF_INIT_SECRET(INVITE_CODE_TEXT_SIZE);
	CLEANUP(buf_release) struct buf link = BUF_INIT_SECRET(INVITE_MAX_TEXT);
	int err = invite_format_code(secret, &code);

	if (err < 0 || (err = invite_format_link(secret, p->relay, &link)) < 0)
		return err;
	map_text(&c->result, "code", (const char *)code.data);
	map_text(&c->result, "link", (const char *)link.data);
	map_uint(&c->result, "expires", p->expires);
	map_text(&c->result, "relay", p->relay);
	map_uuid(&c->result, "id", id);
	return OK;
}

/* Code, link and QR open this one entry, so that together they admit no more than its uses. */
static int make_invite(struct call *c, struct space *s, const struct invite_params *params)
{
	CLEANUP(invite_secret_freep) struct invite_secret *secret = NULL;
	CLEANUP(invite_keys_release) struct invite_keys keys = { 0 };

	int err = invite_secret_new(&secret);
	if (err < 0 || (err = invite_derive(secret, &keys)) < 0)
		return err;
	struct invite_build ib = { .params = *params, .keys = &keys };
	err = log_write(c->agent, s, build_invite, &ib, LOG_WRITE_PLAIN, deadline(c));
	return err < 0 ? err : put_offer(c, secret, params, &keys.id);
}

static int offer(struct call *c, struct space *s, const struct invite_params *params)
{
	char relay[256], name[NODE_MAX_NAME + 1];

	pthread_mutex_lock(&s->lock);
	snprintf(relay, sizeof relay, "%s", s->row.relay);
	snprintf(name, sizeof name, "%s", s->row.name);
	bool admin = log_is_admin(s->log, identity_device(c->agent->who));
	pthread_mutex_unlock(&s->lock);
	if (!admin && !s->personal)
		return call_fail(c, ERR_FORBIDDEN, 0, "ask an admin of it (`coffer members` shows them)",
			"only admins of a space can invite");
	struct invite_params p = *params;
	p.relay = relay;
	p.name = s->personal ? "" : name;
	uint64_t span = map_get_uint(c->args, "expires", 600);
	if (span == 0 || span > MAX_EXPIRES)
		return call_fail(
			c, ERR_RANGE, EX_USAGE, "choose between 1s and 90d", "an invite cannot be open for that long");
	p.expires = now_s(c) + span;
	int err = make_invite(c, s, &p);
	return err < 0 ? call_fail_err(c, err, "the invite cannot be made") : OK;
}

int verb_pair(struct call *c)
{
	struct space *s = agent_personal(c->agent);
	struct invite_params params = { .role = ROLE_DEVICE, .uses = 1 };

	return s ? offer(c, s, &params) : call_fail(c, ERR_INTERNAL, 0, "", "the personal space is not there");
}

int verb_invite(struct call *c)
{
	struct bytes role = map_get_text(c->args, "role");
	struct invite_params params = { .uses = map_get_uint(c->args, "uses", 1) };
	struct space *s;

	int err = call_space(c, &s);
	if (err < 0)
		return err;
	if (bytes_equal(role, bytes_str("reader")))
		params.role = ROLE_READER;
	else if (role.len == 0 || bytes_equal(role, bytes_str("writer")))
		params.role = ROLE_WRITER;
	else
		return call_fail(
			c, ERR_INVALID, EX_USAGE, "choose reader or writer", "an invite cannot give that role");
	if (params.uses == 0 || params.uses > INVITE_MAX_USES)
		return call_fail(c, ERR_RANGE, EX_USAGE, "choose 1 to 1000", "that number of uses is out of range");
	return offer(c, s, &params);
}

static int put_invites(struct space *s, uint64_t now, struct cbor_enc *e, size_t *n)
{
	int err = OK;

	pthread_mutex_lock(&s->lock);
	const struct log_invite *v;
	for (size_t i = 0; err >= 0 && (v = log_invite_at(s->log, i)); i++) {
		CLEANUP(map_release) struct map m = MAP_INIT;
		if (!v->open || v->expires < now)
			continue;
		map_uuid(&m, "id", &v->id);
		map_text(&m, "space", s->personal ? "(a device of yours)" : s->row.name);
		map_text(&m, "role", role_name(v->role));
		map_uint(&m, "left", v->uses - v->joins);
		map_uint(&m, "expires", v->expires);
		err = map_put(&m, e->b);
		*n += 1;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int verb_invite_list(struct call *c)
{
	CLEANUP(buf_release) struct buf rows = BUF_INIT(1u << 20);
	CLEANUP(buf_release) struct buf list = BUF_INIT(1u << 20);
	FREE_AFTER struct space **spaces = calloc(AGENT_MAX_SPACES, sizeof *spaces);
	struct cbor_enc e = cbor_enc_init(&rows), head = cbor_enc_init(&list);
	size_t n = 0;
	int err = spaces ? OK : ERR_NOMEM;

	size_t n_spaces = err < 0 ? 0 : agent_list_spaces(c->agent, spaces);
	for (size_t i = 0; i < n_spaces && err >= 0; i++)
		err = put_invites(spaces[i], now_s(c), &e, &n);
	cbor_put_array(&head, n);
	if (err < 0 || (err = cbor_enc_end(&head)) < 0 || (err = buf_put(&list, rows.data, rows.len)) < 0)
		return err;
	map_raw(&c->result, "invites", buf_bytes(&list));
	return OK;
}

static int build_close(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b)
{
	(void)s;
	(void)cut;
	return entry_make_invite_close(m, arg, b);
}

int verb_invite_cancel(struct call *c)
{
	FREE_AFTER struct space **spaces = calloc(AGENT_MAX_SPACES, sizeof *spaces);
	struct id16 id;

	if (!spaces)
		return ERR_NOMEM;
	if (!map_get_uuid(c->args, "id", &id))
		return call_fail(
			c, ERR_INVALID, EX_USAGE, "`coffer invite list` shows them", "that is not the id of an invite");
	size_t n = agent_list_spaces(c->agent, spaces);
	for (size_t i = 0; i < n; i++) {
		pthread_mutex_lock(&spaces[i]->lock);
		const struct log_invite *v = log_find_invite(spaces[i]->log, &id);
		bool open = v && v->open;
		pthread_mutex_unlock(&spaces[i]->lock);
		if (!v)
			continue;
		int err = open ? log_write(c->agent, spaces[i], build_close, &id, LOG_WRITE_PLAIN, deadline(c)) : OK;
		return err < 0 ? call_fail_err(c, err, "the invite cannot be cancelled") : OK;
	}
	return call_fail(c, ERR_NOT_FOUND, 0, "`coffer invite list` shows them", "there is no such invite");
}

/* ---- join ---- */

struct join {
	struct call *c;
	struct invite_keys keys;
	char relay[RELAY_URL_MAX];
	struct bytes as;
};

static int fail_join(struct join *j, int err)
{
	if (err == ERR_NOT_FOUND || err == ERR_STALE || err == ERR_FORBIDDEN)
		return call_fail(j->c, err, EX_NOPERM, "ask for a new one, or name its relay with --relay URL",
			"that invite is wrong, used up, closed, expired, or of another relay");
	if (err == ERR_RATE_LIMITED)
		return call_fail(j->c, err, EX_TEMPFAIL, "wait a minute and try again",
			"the relay saw too many codes from here");
	if (err == ERR_OFFLINE || err == ERR_TIMEOUT)
		return call_fail(j->c, err, EX_UNAVAILABLE, "check the address and that the relay runs",
			"the relay %s does not answer", j->relay);
	if (err == ERR_CONTEXT)
		return call_fail(j->c, err, EX_PROTOCOL, "do not use this relay for it; ask the inviter",
			"the relay shows another space than the inviter's");
	return call_fail_err(j->c, err, "joining failed");
}

static int read_log(struct join *j, struct entry_list *entries, struct log **ret_log)
{
	CLEANUP(log_freep) struct log *log = NULL;

	int err = relay_fetch_invited(j->c->agent->sync, j->relay, &j->keys.id, deadline(j->c), entries);
	if (err < 0 || (err = log_new(NULL, &log)) < 0)
		return err;
	for (size_t i = 0; i < entries->n; i++)
		if ((err = log_apply(log, entries->blobs[i], LOG_VERIFY)) < 0)
			return err;
	*ret_log = STEAL(&log);
	return OK;
}

/* Joins on the log as it was read; ERR_CONFLICT: it moved meanwhile. */
static int join_once(struct join *j, struct space **ret_s)
{
	CLEANUP(entry_list_release) struct entry_list entries = ENTRY_LIST_INIT;
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	CLEANUP(buf_release) struct buf own = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(log_freep) struct log *log = NULL;
	struct agent *a = j->c->agent;
	struct invite_bundle bundle;

	int err = read_log(j, &entries, &log);
	if (err < 0 || (err = invite_open(log, &j->keys, &bundle, &ring)) < 0)
		return err;
	if (log_kind(log) != SPACE_SHARED)
		return call_fail(j->c, ERR_CONTEXT, EX_USAGE, "use it with `coffer init --pair` on a new device",
			"that code pairs a device, it does not invite");
	struct space *held = agent_find_genesis(a, log_genesis(log));
	if (held && log_may_read(log, identity_device(a->who)))
		return call_fail(
			j->c, ERR_EXISTS, 0, "`coffer space list` shows it", "this device is in that space already");
	struct entry_maker m = { .log = log, .id = a->who, .now = now_s(j->c) };
	const struct log_person *p = log_find_person(log, identity_person(a->who));
	err = p && p->role != ROLE_NONE ? entry_make_device(&m, ring, &own) : entry_make_join(&m, &j->keys, ring, &own);
	struct bytes one = buf_bytes(&own);
	if (err < 0 || (err = relay_append(a->sync, j->relay, log_space(log), &one, 1, deadline(j->c))) < 0)
		return err;
	if ((err = log_apply(log, one, LOG_VERIFY)) < 0)
		return err;
	struct bytes *grown = reallocarray(entries.blobs, entries.n + 1, sizeof *grown);
	if (!grown)
		return ERR_NOMEM;
	entries.blobs = grown;
	entries.blobs[entries.n] = one;
	if (held) {
		*ret_s = held;
		return sync_take_log(a->sync, held, entries.blobs, entries.n + 1, ring);
	}
	return space_adopt(a, j->as.len ? j->as : bytes_str(bundle.name), j->relay, log, entries.blobs, entries.n + 1,
		ring, ret_s);
}

static int pick_relay(struct join *j, const struct invite_secret *secret, const char *given)
{
	const char *relay = given ? given : invite_secret_relay(secret);
	struct space *personal = agent_personal(j->c->agent);
	struct relay_url u;

	if (!relay && personal)
		relay = personal->row.relay;
	if (!relay || relay_url_parse(bytes_str(relay), &u) < 0 ||
		snprintf(j->relay, sizeof j->relay, "%s%s", u.origin, u.prefix) >= 256)
		return call_fail(j->c, ERR_INVALID, EX_USAGE, "it looks like https://relay.example.org",
			"that is not the address of a relay");
	return OK;
}

int verb_join(struct call *c)
{
	WIPE_AFTER char *text = map_get_string(c->args, "secret", INVITE_MAX_TEXT);
	FREE_AFTER char *relay = map_get_string(c->args, "relay", RELAY_URL_MAX - 1);
	CLEANUP(invite_secret_freep) struct invite_secret *secret = NULL;
	struct join j = { .c = c, .as = map_get_text(c->args, "as") };
	struct space *s = NULL;
	char name[NODE_MAX_NAME + 1];

	if (!text || invite_secret_parse(text, &secret) < 0)
		return call_fail(c, ERR_INVALID, EX_USAGE,
			"a code looks like XXXX-XXXX-XXXX-XXXX, a link like coffer://join/...",
			"that is neither a code nor a link");
	if (j.as.len && !node_name_valid(j.as))
		return call_fail(
			c, ERR_INVALID, EX_USAGE, "choose 1 to 255 bytes without '/'", "--as is not a folder's name");
	int err = pick_relay(&j, secret, relay);
	if (err < 0)
		return err;
	if ((err = invite_derive(secret, &j.keys)) < 0)
		return call_fail_err(c, err, "the code cannot be stretched");
	err = ERR_CONFLICT;
	for (int i = 0; i < TRIES && err == ERR_CONFLICT; i++)
		err = join_once(&j, &s);
	invite_keys_release(&j.keys);
	if (err < 0)
		return c->err < 0 ? c->err : fail_join(&j, err);
	space_name(s, name);
	map_text(&c->result, "name", name);
	map_uuid(&c->result, "id", &s->row.id);
	return OK;
}
