/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init, unlock, lock, stop, hello. init makes everything in HOME/cache with an identity in memory, tells the relay, and writes the key
 * file last: until then a failure leaves nothing, and after it everything is there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/entry_make.h"
#include "crypto/invite.h"
#include "crypto/person.h"
#include "crypto/secret.h"
#include "fusefs/chores.h"
#include "fusefs/relay.h"
#include "fusefs/space_make.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"
#include "wire/relay_url.h"

#define NS 1000000000LL
#define SCRATCH_DIR "join.tmp" /* store of the nameless identity that only asks the relay for a log */
#define CALL_NS (15 * NS)

static int64_t deadline(struct call *c)
{
	return c->agent->env->mono_ns(c->agent->env->ctx) + CALL_NS;
}

static uint64_t now_s(struct call *c)
{
	return (uint64_t)(c->agent->env->wall_ns(c->agent->env->ctx) / NS);
}

int verb_hello(struct call *c)
{
	struct agent *a = c->agent;

	if (!agent_unlocked(a) && profile_has_key(a->profile) && profile_needs_passphrase(a->profile) == 0) {
		/* The key was there to be used and did not serve, or was dropped: if it does not serve now, let the person see why. */
		int err = verb_unlock(c);
		if (err < 0)
			return err;
	}
	map_text(&c->result, "state",
		agent_unlocked(a)             ? "unlocked"
		: profile_has_key(a->profile) ? "locked"
					      : "empty");
	return OK;
}

/* NULL passphrase: none was given. */
static int get_passphrase(struct call *c, struct secret **ret_s)
{
	struct bytes p = map_get_bytes(c->args, "passphrase");

	*ret_s = NULL;
	return p.len ? secret_from(p, ret_s) : OK;
}

int verb_unlock(struct call *c)
{
	CLEANUP(secret_freep) struct secret *passphrase = NULL;
	int err = get_passphrase(c, &passphrase);

	if (err < 0)
		return call_fail_err(c, err, "the passphrase cannot be held");
	err = agent_unlock(c->agent, passphrase);
	switch (err) {
	case OK:
	case ERR_EXISTS:
		return OK;
	case ERR_NOT_FOUND:
		return call_fail(
			c, err, EX_CONFIG, "make one with `coffer init --relay URL`", "there is no profile here yet");
	case ERR_WRONG_KEY:
		return call_fail(c, err, EX_NOPERM, "try again", "that passphrase does not open the key file");
	case ERR_CORRUPT:
	case ERR_TAMPERED:
		return call_fail(c, err, EX_DATAERR,
			"nothing was changed; keep the directory, and recover with `coffer init --recover` elsewhere",
			"the key file or the cache is damaged");
	default:
		return call_fail_err(c, err, "unlocking failed");
	}
}

int verb_lock(struct call *c)
{
	int err = agent_lock(c->agent, false);

	return err == ERR_BUSY ? call_fail(c, err, 0, "close them and try again", "files are open in a mount") : err;
}

int verb_stop(struct call *c)
{
	c->stop = true;
	return OK;
}

/* ---- init ---- */

struct init {
	struct call *c;
	struct secret *passphrase;
	char relay[RELAY_URL_MAX];
	char *label;
	struct invite_secret *pair; /* a further device; else NULL */
	struct person *person;      /* one to be recovered; else NULL */
};

static void init_release(struct init *i)
{
	secret_free(i->passphrase);
	free(i->label);
	invite_secret_free(i->pair);
	person_free(i->person);
}

static int parse_relay(struct call *c, const char *text, char out[RELAY_URL_MAX])
{
	struct relay_url u;

	if (relay_url_parse(bytes_str(text), &u) < 0)
		return call_fail(c, ERR_INVALID, EX_USAGE,
			"it looks like https://relay.example.org or http://127.0.0.1:5379",
			"'%.100s' is not the address of a relay", text);
	if (snprintf(out, RELAY_URL_MAX, "%s%s", u.origin, u.prefix) >= 256)
		return call_fail(
			c, ERR_RANGE, EX_USAGE, "use one of at most 255 characters", "the relay's address is too long");
	return OK;
}

/* What a failed first word with a relay means to a person. */
static int fail_relay(struct call *c, int err, const char *relay)
{
	if (err == ERR_OFFLINE || err == ERR_TIMEOUT)
		return call_fail(c, err, EX_UNAVAILABLE, "check the address and that the relay runs",
			"the relay %s does not answer", relay);
	if (err == ERR_VERSION || err == ERR_INVALID || err == ERR_UNSUPPORTED)
		return call_fail(c, err, EX_PROTOCOL, "check the address, or update the older of the two",
			"%s is not a Coffer relay of this version", relay);
	if (err == ERR_FORBIDDEN)
		return call_fail(c, err, EX_NOPERM, "ask who runs it for a code, and give it with --setup CODE",
			"the relay %s lets only those make spaces whom its owner let in", relay);
	return call_fail_err(c, err, "the relay's answer cannot be used");
}

/* Puts a space that exists at the relay into the fresh store and hands it to sync. */
static int adopt_space(
	struct agent *a, struct space_row *row, const struct bytes *blobs, size_t n, const struct epoch_ring *ring)
{
	struct space *s = NULL;
	int err = space_store(a, row, blobs, n, ring, false, &s);

	return err < 0 ? err : agent_add_space(a, s, true);
}

/* The last step: everything durable, then the key file. On failure nothing of the profile stays. */
static int finish(struct init *i, int err, const char *what)
{
	struct agent *a = i->c->agent;

	if (err >= 0)
		err = store_sync(a->store);
	if (err >= 0)
		err = profile_save(a->profile, a->who, i->passphrase);
	if (err >= 0) {
		char did[DID_KEY_TEXT_SIZE];
		id32_format_did(identity_person(a->who), did);
		map_text(&i->c->result, "person", did);
		id32_format_did(identity_device(a->who), did);
		map_text(&i->c->result, "device", did);
		agent_show(a);
		chores_poke(a->chores);
		return OK;
	}
	agent_take_down(a);
	(void)profile_remove_subdir(a->profile, AGENT_CACHE_DIR);
	return i->c->err < 0 ? i->c->err : call_fail_err(i->c, err, what);
}

static int put_words(struct call *c, const struct secret *words)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT_SECRET(1024);
	struct cbor_enc e = cbor_enc_init(&list);
	const char *p = (const char *)secret_bytes(words).p;

	cbor_put_array(&e, 24);
	for (int i = 0; i < 24; i++) {
		size_t n = strcspn(p, " ");
		cbor_put_text_n(&e, p, n);
		p += n + (p[n] == ' ');
	}
	int err = cbor_enc_end(&e);
	if (err >= 0)
		map_raw(&c->result, "words", buf_bytes(&list));
	return err;
}

static int tell_and_adopt(struct init *i, const struct id16 *space, const struct bytes *blobs, size_t from, size_t n,
	struct space_row *row, const struct epoch_ring *ring)
{
	struct agent *a = i->c->agent;
	int err = relay_append(a->sync, i->relay, space, blobs + from, n - from, deadline(i->c));

	if (err < 0)
		return fail_relay(i->c, err, i->relay);
	row->id = *space;
	row->genesis = *identity_personal_genesis(a->who);
	row->owner = *identity_person(a->who);
	snprintf(row->relay, sizeof row->relay, "%.255s", i->relay);
	return adopt_space(a, row, blobs, n, ring);
}

static int claim(struct init *i)
{
	struct bytes code = map_get_text(i->c->args, "setup");
	int err;

	if (!code.len)
		return OK;
	err = relay_claim(i->c->agent->sync, i->relay, code, deadline(i->c));
	if (err == ERR_NOT_FOUND || err == ERR_INVALID)
		return call_fail(i->c, err, EX_NOPERM, "look into the relay's log, or ask who runs it for a new one",
			"the relay %s does not take that set-up code: it is wrong, used up or expired", i->relay);
	if (err == ERR_RATE_LIMITED)
		return call_fail(i->c, err, EX_TEMPFAIL, "wait a minute and try again",
			"the relay saw too many codes from here");
	return err < 0 ? fail_relay(i->c, err, i->relay) : OK;
}

static int init_new(struct init *i)
{
	CLEANUP(person_freep) struct person *person = NULL;
	CLEANUP(secret_freep) struct secret *words = NULL;
	CLEANUP(new_space_release) struct new_space made = { 0 };
	struct identity *who = NULL;
	struct space_row row = { 0 };

	int err = person_new(&person, &words);
	if (err < 0 || (err = space_make_personal(person, bytes_str(i->label), now_s(i->c), &who, &made)) < 0)
		return call_fail_err(i->c, err, "keys cannot be made");
	if ((err = agent_bring_up(i->c->agent, who, AGENT_CACHE_DIR)) < 0)
		return call_fail_err(i->c, err, "the local store cannot be made");
	struct bytes blobs[3];
	for (int k = 0; k < 3; k++)
		blobs[k] = buf_bytes(&made.blobs[k]);
	if ((err = claim(i)) >= 0)
		err = tell_and_adopt(i, person_space(person), blobs, 0, 3, &row, made.ring);
	if (err >= 0)
		err = put_words(i->c, words);
	return finish(i, err, "the profile cannot be made");
}

/* An identity that exists for one question: it signs the connection on which a log is asked for. */
static int ask_with_scratch(struct init *i, const struct id16 *invite, const struct id16 *space,
	const struct person *as, struct entry_list *ret_l)
{
	CLEANUP(person_freep) struct person *nobody = NULL;
	CLEANUP(secret_freep) struct secret *words = NULL;
	CLEANUP(new_space_release) struct new_space made = { 0 };
	struct agent *a = i->c->agent;
	struct identity *who = NULL;

	int err = as ? OK : person_new(&nobody, &words);
	if (err < 0 ||
		(err = space_make_personal(as ? as : nobody, bytes_str("joining"), now_s(i->c), &who, &made)) < 0 ||
		(err = agent_bring_up(a, who, SCRATCH_DIR)) < 0)
		return call_fail_err(i->c, err, "keys cannot be made");
	if (invite)
		err = relay_fetch_invited(a->sync, i->relay, invite, deadline(i->c), ret_l);
	else
		err = relay_fetch_log(a->sync, i->relay, space, identity_chain(a->who), deadline(i->c), ret_l);
	agent_take_down(a);
	(void)profile_remove_subdir(a->profile, SCRATCH_DIR);
	return err;
}

static int apply_all(const struct entry_list *l, const struct id32 *genesis, struct log **ret_log)
{
	CLEANUP(log_freep) struct log *log = NULL;

	int err = log_new(genesis, &log);
	for (size_t i = 0; err >= 0 && i < l->n; i++)
		err = log_apply(log, l->blobs[i], LOG_VERIFY);
	if (err >= 0)
		*ret_log = STEAL(&log);
	return err;
}

/* Appends this new device's own entry to the fetched ones, tells the relay, adopts the personal space. */
static int enter(struct init *i, struct identity *who, struct entry_list *entries, struct bytes own,
	const struct log *log, const struct epoch_ring *ring)
{
	struct space_row row = { 0 };
	struct id16 space = *log_space(log);

	struct bytes *grown = reallocarray(entries->blobs, entries->n + 1, sizeof *grown);
	if (!grown) {
		identity_free(who);
		return call_fail_err(i->c, ERR_NOMEM, "out of memory");
	}
	entries->blobs = grown;
	entries->blobs[entries->n++] = own;
	int err = agent_bring_up(i->c->agent, who, AGENT_CACHE_DIR);
	if (err < 0)
		return call_fail_err(i->c, err, "the local store cannot be made");
	err = tell_and_adopt(i, &space, entries->blobs, entries->n - 1, entries->n, &row, ring);
	return finish(i, err, "the profile cannot be made");
}

static int fail_invite(struct init *i, int err)
{
	if (err == ERR_NOT_FOUND || err == ERR_STALE || err == ERR_FORBIDDEN)
		return call_fail(i->c, err, EX_NOPERM, "ask for a new one: `coffer pair` on the other device",
			"that code is wrong, used up or expired");
	if (err == ERR_RATE_LIMITED)
		return call_fail(i->c, err, EX_TEMPFAIL, "wait a minute and try again",
			"the relay saw too many codes from here");
	return fail_relay(i->c, err, i->relay);
}

static int pair_with(struct init *i, const struct invite_keys *keys)
{
	CLEANUP(entry_list_release) struct entry_list entries = ENTRY_LIST_INIT;
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	CLEANUP(buf_release) struct buf own = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(log_freep) struct log *log = NULL;
	struct invite_bundle bundle;
	struct identity *who = NULL;

	int err = ask_with_scratch(i, &keys->id, NULL, NULL, &entries);
	if (err < 0)
		return i->c->err < 0 ? err : fail_invite(i, err);
	if ((err = apply_all(&entries, NULL, &log)) < 0)
		return call_fail_err(i->c, err, "the relay showed a log that is not valid");
	if ((err = invite_open(log, keys, &bundle, &ring)) < 0)
		return fail_invite(i, err);
	if (log_kind(log) != SPACE_PERSONAL)
		return call_fail(i->c, ERR_CONTEXT, EX_USAGE, "use `coffer join` with it",
			"that code invites to a space, it does not pair a device");
	if ((err = identity_pair(log, keys, ring, bytes_str(i->label), now_s(i->c), &who, &own)) < 0)
		return call_fail_err(i->c, err, "this device cannot be paired");
	return enter(i, who, &entries, buf_bytes(&own), log, ring);
}

static int init_pair(struct init *i)
{
	struct invite_keys keys = { 0 };
	int err = invite_derive(i->pair, &keys);

	if (err < 0)
		return call_fail_err(i->c, err, "the code cannot be stretched");
	err = pair_with(i, &keys);
	invite_keys_release(&keys);
	return err;
}

static int init_recover(struct init *i)
{
	CLEANUP(entry_list_release) struct entry_list entries = ENTRY_LIST_INIT;
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	CLEANUP(buf_release) struct buf own = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(log_freep) struct log *log = NULL;
	struct identity *who = NULL;
	const struct person *person = i->person;

	int err = ask_with_scratch(i, NULL, person_space(person), person, &entries);
	if (err == ERR_NOT_FOUND || err == ERR_FORBIDDEN)
		return call_fail(i->c, err, EX_NOINPUT, "is it the relay that the profile was made with?",
			"the relay %s does not know the person of these words", i->relay);
	if (err < 0)
		return i->c->err < 0 ? err : fail_relay(i->c, err, i->relay);
	if ((err = apply_all(&entries, person_genesis_hash(person), &log)) < 0)
		return call_fail_err(i->c, err, "the relay showed a log that is not this person's");
	if ((err = identity_recover(person, log, bytes_str(i->label), now_s(i->c), &who, &ring, &own)) < 0)
		return call_fail_err(i->c, err, "the profile cannot be recovered");
	return enter(i, who, &entries, buf_bytes(&own), log, ring);
}

/* ---- what was asked for ---- */

static int parse_pair(struct init *i, const char *text)
{
	if (invite_secret_parse(text, &i->pair) < 0)
		return call_fail(i->c, ERR_INVALID, EX_USAGE,
			"a code looks like XXXX-XXXX-XXXX-XXXX, a link like coffer://join/...",
			"that is neither a code nor a link");
	const char *named = invite_secret_relay(i->pair);
	if (!i->relay[0] && !named)
		return call_fail(i->c, ERR_INVALID, EX_USAGE, "give --relay URL with it",
			"a code does not say which relay to ask");
	return i->relay[0] ? OK : parse_relay(i->c, named, i->relay);
}

static int parse_words(struct init *i, struct bytes words)
{
	unsigned bad = 0;
	int err = person_from_words((const char *)words.p, words.len, &i->person, &bad);

	if (err == ERR_NOT_FOUND)
		return call_fail(i->c, err, EX_DATAERR, "check its spelling", "word %u is not one of the list", bad);
	if (err == ERR_INVALID)
		return call_fail(i->c, err, EX_DATAERR, "24 are needed, in their order", "these are %u words", bad);
	if (err == ERR_TAMPERED)
		return call_fail(i->c, err, EX_DATAERR, "compare each with what was written down",
			"the words are not in their order, or one is another word of the list");
	return err < 0 ? call_fail_err(i->c, err, "the words cannot be used") : OK;
}

static int parse(struct init *i)
{
	struct call *c = i->c;
	FREE_AFTER char *relay = map_get_string(c->args, "relay", RELAY_URL_MAX - 1);
	WIPE_AFTER char *pair = map_get_string(c->args, "pair", INVITE_MAX_TEXT);
	bool recover = map_get_item(c->args, "words").len > 0; /* also if no word stands in it */

	if (profile_has_key(c->agent->profile))
		return call_fail(c, ERR_EXISTS, EX_CANTCREAT, "use another one with --home DIR",
			"there is a profile at %s already", profile_home(c->agent->profile));
	i->label = map_get_string(c->args, "name", 4096);
	if (!i->label || !i->label[0] || strlen(i->label) > IDENTITY_MAX_LABEL)
		return call_fail(
			c, ERR_RANGE, EX_USAGE, "choose one of 1 to 64 bytes", "the device's name cannot be used");
	if (relay && parse_relay(c, relay, i->relay) < 0)
		return c->err;
	if (pair)
		return parse_pair(i, pair);
	if (!relay)
		return call_fail(c, ERR_INVALID, EX_USAGE, "give --relay URL", "a relay is needed");
	return recover ? parse_words(i, map_get_text(c->args, "words")) : OK;
}

static int init_alone(struct init *i)
{
	struct call *c = i->c;
	int err = parse(i);

	if (err < 0)
		return err;
	/* A cache without a key file was left by an init that did not finish. */
	(void)profile_remove_subdir(c->agent->profile, AGENT_CACHE_DIR);
	(void)profile_remove_subdir(c->agent->profile, SCRATCH_DIR);
	if ((err = get_passphrase(c, &i->passphrase)) < 0)
		return call_fail_err(c, err, "the passphrase cannot be held");
	return i->pair ? init_pair(i) : i->person ? init_recover(i) : init_new(i);
}

/* One at a time. An agent that holds no profile after it has nothing to do: it ends. */
static int run_init(struct call *c, int (*fn)(struct init *i))
{
	struct init i = { .c = c };

	agent_life_begin(c->agent);
	int err = fn(&i);
	c->stop = !profile_has_key(c->agent->profile);
	agent_life_end(c->agent);
	init_release(&i);
	return err;
}

/* A further or recovered device has the spaces of its person when init returns, if the relay is quick: their list is read, and what
 * it names is taken up. */
static void await_spaces(struct call *c)
{
	CLEANUP(buf_release) struct buf what = BUF_INIT(8192);
	struct agent *a = c->agent;

	if (agent_use(a) < 0)
		return;
	int64_t end = deadline(c);
	int err = sync_wait(a->sync, agent_personal(a), false, end, &what);
	if (err >= 0)
		err = chores_wait(a->chores, end, &what);
	map_bool(&c->result, "ready", err >= 0);
	agent_unuse(a);
}

int verb_init(struct call *c)
{
	int err = run_init(c, init_alone);

	if (err >= 0 && (map_get_item(c->args, "pair").len || map_get_item(c->args, "words").len))
		await_spaces(c);
	return err;
}

/* Looks at what is asked for, no further: so a person types a passphrase when all else is right. */
int verb_init_check(struct call *c)
{
	return run_init(c, parse);
}
