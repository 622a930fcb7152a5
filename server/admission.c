/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admission.h"

#include <ctype.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "server/relay.h"
#include "server/rpc.h"

#define KEY_FACT "admission/key"
#define OWNER_FACT "admission/owner"  /* the person who brought the set-up code */
#define GUEST_FACT "admission/maker/" /* and a person: came in by a guest's code */
#define USED_FACT "admission/used/"

#define SETUP_SIZE 10
#define GUEST_HEAD 8
#define GUEST_SIZE (GUEST_HEAD + 12)
#define CODE_MAX GUEST_SIZE

#define HOUR 3600

static void mac(const struct id32 *key, const char *label, struct bytes head, struct id32 *ret_mac)
{
	hash_hmac(bytes_of(key->b, sizeof key->b), bytes_str(label), head, ret_mac);
}

/* In a time that says nothing of where they differ. */
static bool is_same(const uint8_t *a, const uint8_t *b, size_t n)
{
	unsigned differ = 0;

	for (size_t i = 0; i < n; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

static void format(const uint8_t *code, size_t n, char out[ADMISSION_CODE])
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, ADMISSION_CODE - at, "%s%02x", i && i % 2 == 0 ? "-" : "", code[i]);
}

/* How many bytes a typed code has; 0: it is none. */
static size_t parse(struct bytes text, uint8_t out[CODE_MAX])
{
	size_t digits = 0;

	for (size_t i = 0; i < text.len; i++) {
		const char c = (char)tolower(text.p[i]);
		unsigned v;

		if (c == '-' || c == ' ')
			continue;
		if (!isxdigit((unsigned char)c) || digits == (size_t)2 * CODE_MAX)
			return 0;
		v = (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
		out[digits / 2] = (uint8_t)(digits % 2 ? (unsigned)out[digits / 2] << 4 | v : v);
		digits++;
	}
	return digits % 2 ? 0 : digits / 2;
}

static int get_key(struct depot *store, struct id32 *ret_key)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	int err = depot_fact_get(store, KEY_FACT, &b);

	if (err < 0)
		return err;
	if (b.len != sizeof ret_key->b)
		return ERR_CORRUPT;
	memcpy(ret_key->b, b.data, sizeof ret_key->b);
	return OK;
}

/* 1: there is a fact of this name. */
static int has(struct depot *store, const char *name)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	int err = depot_fact_get(store, name, &b);

	return err == ERR_NOT_FOUND ? 0 : err < 0 ? err : 1;
}

static void guest_name(const struct id32 *person, char out[128])
{
	char text[ID32_TEXT_SIZE];

	id32_format(person, text);
	snprintf(out, 128, GUEST_FACT "%s", text);
}

/* --- start --- */

/* Alone: of two relays that start on one store the second takes the first's key, whose code may be in its log already. */
static int make_key(struct relay *r, struct id32 *ret_key)
{
	int err = depot_begin_alone(r->store);

	if (err < 0)
		return err;
	err = get_key(r->store, ret_key);
	if (err == ERR_NOT_FOUND) {
		r->env->random(r->env->ctx, ret_key->b, sizeof ret_key->b);
		err = depot_fact_put(r->store, KEY_FACT, bytes_of(ret_key->b, sizeof ret_key->b));
	}
	if (err < 0) {
		depot_rollback(r->store);
		return err;
	}
	return depot_commit(r->store);
}

static int is_claimable(const struct relay *r, struct depot *store)
{
	int claimed = relay_config(r)->n_owners ? 1 : has(store, OWNER_FACT);

	return claimed < 0 ? claimed : !claimed;
}

/* Says the set-up code, if that lets somebody in. */
static int say_code(const struct relay *r, struct depot *store, const struct id32 *key)
{
	const enum strangers mode = relay_config(r)->strangers;
	char code[ADMISSION_CODE];
	struct id32 m;
	int err;

	if (mode != STRANGERS_OWNERS && mode != STRANGERS_INVITED)
		return OK;
	if ((err = is_claimable(r, store)) <= 0)
		return err;
	mac(key, "coffer/set-up", bytes_of(NULL, 0), &m);
	format(m.b, SETUP_SIZE, code);
	log_info("nobody owns this relay yet; who brings this code does: coffer init --relay URL --setup %s", code);
	return OK;
}

int admission_start(struct relay *r)
{
	struct id32 key;
	int err = make_key(r, &key);

	return err < 0 ? err : say_code(r, r->store, &key);
}

static int reload_run(struct relay *r, struct job *j, struct depot *store)
{
	struct id32 key;
	int err = get_key(store, &key);

	(void)j;
	return err < 0 ? err : say_code(r, store, &key);
}

const struct method method_admission = { "admission", LANE_READ, NULL, reload_run, NULL };

/* --- letting in --- */

/* 1: the person owns the relay by its set-up code, if the settings name nobody. */
static int brought_setup(struct depot *store, const struct id32 *person)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	int err = depot_fact_get(store, OWNER_FACT, &b);

	if (err < 0)
		return err == ERR_NOT_FOUND ? 0 : err;
	return b.len == sizeof person->b && memcmp(b.data, person->b, b.len) == 0;
}

int admission_has(const struct relay *r, struct depot *store, const struct id32 *person)
{
	const struct config *c = relay_config(r);
	char name[128];
	int err = OK;

	for (size_t k = 0; k < c->n_owners; k++)
		if (id32_equal(&c->owners[k], person))
			return 1;
	if (!c->n_owners && (err = brought_setup(store, person)))
		return err;
	if (c->strangers != STRANGERS_INVITED)
		return 0;
	guest_name(person, name);
	return has(store, name);
}

static int claim_setup(
	struct relay *r, struct depot *store, const struct id32 *key, const struct id32 *person, const uint8_t *code)
{
	struct id32 m;
	int err = is_claimable(r, store);

	mac(key, "coffer/set-up", bytes_of(NULL, 0), &m);
	if (err <= 0 || !is_same(m.b, code, SETUP_SIZE))
		return err < 0 ? err : ERR_NOT_FOUND;
	return depot_fact_put(store, OWNER_FACT, bytes_of(person->b, sizeof person->b));
}

static int claim_guest(
	struct relay *r, struct depot *store, const struct id32 *key, const struct id32 *person, const uint8_t *code)
{
	const int64_t hours = (int64_t)code[0] << 16 | code[1] << 8 | code[2];
	char nonce[ADMISSION_CODE], name[sizeof USED_FACT + ADMISSION_CODE], guest[128];
	struct id32 m;
	int err;

	mac(key, "coffer/guest", bytes_of(code, GUEST_HEAD), &m);
	if (relay_config(r)->strangers != STRANGERS_INVITED ||
		!is_same(m.b, code + GUEST_HEAD, GUEST_SIZE - GUEST_HEAD) || relay_now(r) > hours * HOUR)
		return ERR_NOT_FOUND;
	format(code, GUEST_HEAD, nonce);
	snprintf(name, sizeof name, USED_FACT "%s", nonce);
	if ((err = has(store, name)))
		return err < 0 ? err : ERR_NOT_FOUND;
	if ((err = depot_fact_put(store, name, bytes_of("", 0))) < 0)
		return err;
	guest_name(person, guest);
	return depot_fact_put(store, guest, bytes_of("", 0));
}

int admission_claim(struct relay *r, struct depot *store, const struct id32 *person, struct bytes text)
{
	uint8_t code[CODE_MAX];
	const size_t n = parse(text, code);
	struct id32 key;
	int err = get_key(store, &key);

	if (err < 0)
		return err;
	if (n == SETUP_SIZE)
		return claim_setup(r, store, &key, person, code);
	return n == GUEST_SIZE ? claim_guest(r, store, &key, person, code) : ERR_NOT_FOUND;
}

int admission_invite(const struct env *env, struct depot *store, unsigned hours, char ret_code[ADMISSION_CODE])
{
	const int64_t last = env->wall_ns(env->ctx) / 1000000000 / HOUR + hours;
	uint8_t code[GUEST_SIZE] = { (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last };
	struct id32 key, m;
	int err = get_key(store, &key);

	if (err < 0)
		return err;
	env->random(env->ctx, code + 3, GUEST_HEAD - 3);
	mac(&key, "coffer/guest", bytes_of(code, GUEST_HEAD), &m);
	memcpy(code + GUEST_HEAD, m.b, sizeof code - GUEST_HEAD);
	format(code, sizeof code, ret_code);
	return OK;
}
