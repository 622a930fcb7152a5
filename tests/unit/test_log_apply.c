/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the membership log (crypto/log.h): who may do what, and that everything else is refused. */
#include "tests/lib/heap.h"
#include "tests/lib/mutate.h"
#include "tests/lib/party.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/sign.h"

/* alice is the admin of `s`, bob a writer in it, carol a reader, mallory nothing. */
struct world {
	struct party alice, bob, carol, mallory;
	struct new_space s;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	party_init(&w->alice, "alice");
	party_init(&w->bob, "bob");
	party_init(&w->carol, "carol");
	party_init(&w->mallory, "mallory");
	party_space(&w->alice, &w->s);
	party_join(&w->alice, &w->bob, &w->s, ROLE_WRITER);
	party_join(&w->alice, &w->carol, &w->s, ROLE_READER);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	party_release(&w->alice);
	party_release(&w->bob);
	party_release(&w->carol);
	party_release(&w->mallory);
	new_space_release(&w->s);
	free(w);
	return 0;
}

#define BLOB CLEANUP(buf_release) struct buf blob = BUF_INIT(ENTRY_MAX_BLOB)
#define PAYLOAD CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB)

static const struct id32 *person(const struct party *p)
{
	return identity_person(p->id);
}

static const struct id32 *device(const struct party *p)
{
	return identity_device(p->id);
}

static void rights_follow_the_roles(void **state)
{
	struct world *w = *state;
	const struct log *l = w->s.log;

	assert_true(log_is_admin(l, device(&w->alice)) && log_may_write(l, device(&w->alice)));
	assert_true(log_may_write(l, device(&w->bob)) && !log_is_admin(l, device(&w->bob)));
	assert_true(log_may_read(l, device(&w->carol)) && !log_may_write(l, device(&w->carol)));
	assert_false(log_may_read(l, device(&w->mallory)));
	assert_false(log_may_read(l, person(&w->alice))); /* a root is no device */
	assert_true(id32_equal(&log_find_person(l, person(&w->bob))->invited_by, person(&w->alice)));
	assert_int_equal(log_count(l), 7);
	assert_int_equal(log_epoch_number(l), 1);
}

/* ---- place, signature, bytes ---- */

struct replay {
	struct log *log; /* state before */
};

static int apply_changed(struct bytes changed, size_t at, void *arg)
{
	struct replay *r = arg;
	uint64_t count = log_count(r->log);
	int err = log_apply(r->log, changed, LOG_VERIFY);

	(void)at;
	assert_int_equal(log_count(r->log), count);
	return err;
}

/* Each entry of a space's life, with every byte flipped, cut at every length: refused, and the true one accepted after. */
static void every_flipped_byte_of_an_entry_is_refused(void **state)
{
	struct world *w = *state;
	struct replay r;
	struct invite_keys k;
	struct entry_maker m = party_maker(&w->alice, NULL);
	struct invite_params params = { .role = ROLE_WRITER, .uses = 1, .relay = PARTY_RELAY, .name = "n" };
	struct secret *key;
	BLOB;

	assert_int_equal(log_new(NULL, &r.log), 0);
	for (size_t i = 0; i < 3; i++) {
		if (i > 0) { /* any genesis is a genesis: it is pinned by its hash */
			mutate_flips(buf_bytes(&w->s.blobs[i]), apply_changed, &r);
			mutate_lengths(buf_bytes(&w->s.blobs[i]), apply_changed, &r);
		}
		party_apply(r.log, &w->s.blobs[i]);
	}
	m.log = r.log;
	party_keys(&k);
	assert_int_equal(entry_make_invite(&m, w->s.ring, &params, &k, &blob), 0);
	mutate_flips(buf_bytes(&blob), apply_changed, &r);
	mutate_lengths(buf_bytes(&blob), apply_changed, &r);
	party_apply(r.log, &blob);
	buf_clear(&blob);
	party_join_blob(&w->mallory, r.log, &k, &blob);
	mutate_flips(buf_bytes(&blob), apply_changed, &r);
	party_apply(r.log, &blob);
	buf_clear(&blob);
	assert_int_equal(entry_make_epoch(&m, w->s.ring, 2, &key, &blob), 0);
	mutate_flips(buf_bytes(&blob), apply_changed, &r);
	party_apply(r.log, &blob);
	secret_free(key);
	invite_keys_release(&k);
	log_free(r.log);
}

static void a_changed_genesis_is_another_space(void **state)
{
	struct world *w = *state;
	struct replay r;

	assert_int_equal(log_new(log_genesis(w->s.log), &r.log), 0);
	mutate_flips(buf_bytes(&w->s.blobs[0]), apply_changed, &r);
	party_refused(r.log, &w->bob.own.blobs[0], ERR_CONTEXT);
	party_apply(r.log, &w->s.blobs[0]);
	party_refused(r.log, &w->s.blobs[0], ERR_CONFLICT);
	log_free(r.log);
}

static void a_personal_genesis_is_the_persons_own(void **state)
{
	struct world *w = *state;
	struct log *l;
	struct entry e;
	struct entry_member p;
	PAYLOAD;
	BLOB;

	/* bob's card in a genesis signed by mallory */
	struct entry_genesis g = { .kind = SPACE_PERSONAL, .card = person_card(w->bob.person) };
	assert_int_equal(log_new(NULL, &l), 0);
	assert_int_equal(entry_put_genesis(&payload, &g), 0);
	party_sign(l, ENTRY_GENESIS, buf_bytes(&payload), identity_sign_secret(w->mallory.id), &blob);
	party_refused(l, &blob, ERR_INVALID); /* a time */

	/* a second person as first member of bob's space: bob's root signs mallory's card */
	party_apply(l, &w->bob.own.blobs[0]);
	buf_clear(&blob);
	buf_clear(&payload);
	assert_int_equal(entry_decode(buf_bytes(&w->mallory.own.blobs[1]), &e), 0);
	assert_int_equal(entry_get_member(e.payload, &p), 0);
	party_sign(l, ENTRY_MEMBER, e.payload, person_root_secret(w->bob.person), &blob);
	party_refused(l, &blob, ERR_CONTEXT);
	log_free(l);
}

static void order_and_replay_are_refused(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	CLEANUP(buf_release) struct buf first = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf second = BUF_INIT(ENTRY_MAX_BLOB);
	struct log *l;

	assert_int_equal(entry_make_retention(&m, 5, &first), 0);
	assert_int_equal(entry_make_retention(&m, 6, &second), 0);
	party_apply(w->s.log, &first);
	assert_int_equal(log_retention(w->s.log), 5);
	party_refused(w->s.log, &first, ERR_CONFLICT);  /* replay */
	party_refused(w->s.log, &second, ERR_CONFLICT); /* made for the same place: lost the race */

	assert_int_equal(log_new(NULL, &l), 0);
	party_refused(l, &w->s.blobs[1], ERR_CONFLICT);
	party_apply(l, &w->s.blobs[0]);
	party_refused(l, &w->s.blobs[2], ERR_CONFLICT);
	party_refused(l, &w->bob.own.blobs[1], ERR_CONTEXT);
	log_free(l);
}

static void the_first_entries_have_their_types(void **state)
{
	struct world *w = *state;
	struct entry_retention r = { .seconds = 1 };
	struct log *l;
	PAYLOAD;
	BLOB;

	assert_int_equal(entry_put_retention(&payload, &r), 0);
	assert_int_equal(log_new(NULL, &l), 0);
	party_apply(l, &w->bob.own.blobs[0]);
	party_sign(l, ENTRY_RETENTION, buf_bytes(&payload), person_root_secret(w->bob.person), &blob);
	party_refused(l, &blob, ERR_FORBIDDEN);
	party_apply(l, &w->bob.own.blobs[1]);
	buf_clear(&blob);
	party_sign(l, ENTRY_RETENTION, buf_bytes(&payload), identity_sign_secret(w->bob.id), &blob);
	party_refused(l, &blob, ERR_FORBIDDEN);
	log_free(l);
}

/* Sharing one chain of history, the whole log replays to the same state, trusted or verified. */
static void a_stored_log_replays(void **state)
{
	struct world *w = *state;
	struct log *l, *clone;

	for (int mode = 0; mode < 2; mode++) {
		assert_int_equal(log_new(log_genesis(w->alice.own.log), &l), 0);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(
				log_apply(l, buf_bytes(&w->alice.own.blobs[i]), mode ? LOG_TRUSTED : LOG_VERIFY), 0);
		assert_true(id32_equal(log_head(l), log_head(w->alice.own.log)));
		assert_int_equal(log_clone(l, &clone), 0);
		log_free(l);
		assert_true(log_is_admin(clone, device(&w->alice)));
		unit_assert_bytes(log_card(clone), person_card(w->alice.person));
		log_free(clone);
	}
}

/* ---- who may sign what ---- */

static void outsiders_readers_and_writers_change_nothing(void **state)
{
	struct world *w = *state;
	const struct party *who[] = { &w->bob, &w->carol, &w->mallory };
	struct entry_retention r = { .seconds = 9 };
	struct entry_invite_close c = { .id = { { 1 } } };
	PAYLOAD;
	BLOB;

	for (size_t i = 0; i < COUNT(who); i++) {
		struct entry_maker m = party_maker(who[i], w->s.log);
		struct entry_role p = { .person = *person(who[i]), .role = ROLE_ADMIN };
		struct invite_params params = { .role = ROLE_WRITER, .uses = 1, .relay = PARTY_RELAY, .name = "n" };
		CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
		struct invite_keys k;
		struct secret *key;

#define REFUSED(put) \
	do { \
		buf_clear(&payload); \
		buf_clear(&blob); \
		assert_int_equal(put, 0); \
		if (payload.len) \
			party_sign(w->s.log, type, buf_bytes(&payload), identity_sign_secret(who[i]->id), &blob); \
		party_refused(w->s.log, &blob, ERR_FORBIDDEN); \
	} while (0)
		enum entry_type type = ENTRY_RETENTION;
		REFUSED(entry_put_retention(&payload, &r));
		type = ENTRY_ROLE; /* self-promotion */
		REFUSED(entry_put_role(&payload, &p));
		p.person = *person(&w->alice);
		p.role = ROLE_READER;
		REFUSED(entry_put_role(&payload, &p));
		type = ENTRY_INVITE_CLOSE;
		REFUSED(entry_put_invite_close(&payload, &c));
		party_keys(&k);
		REFUSED(entry_make_invite(&m, w->s.ring, &params, &k, &blob));
		REFUSED(entry_make_epoch(&m, w->s.ring, 2, &key, &blob));
		secret_free(key);
		party_cut(who[i], w->s.log, &cut);
		REFUSED(entry_make_remove(&m, w->s.ring, person(&w->alice), NULL, buf_bytes(&cut), &key, &blob));
		secret_free(key);
		REFUSED(entry_make_remove(
			&m, w->s.ring, person(&w->alice), device(&w->alice), buf_bytes(&cut), &key, &blob));
		secret_free(key);
		invite_keys_release(&k);
	}
}

static void nobody_adds_a_member_past_the_admins(void **state)
{
	struct world *w = *state;
	struct entry_member p = { .card = person_card(w->mallory.person),
		.role = ROLE_ADMIN,
		.device = { .ed = *device(&w->mallory), .x = *identity_device_x(w->mallory.id) },
		.chain = identity_chain(w->mallory.id) };
	const struct secret *keys[] = { identity_sign_secret(w->mallory.id), person_root_secret(w->mallory.person),
		identity_sign_secret(w->bob.id), identity_sign_secret(w->carol.id),
		person_root_secret(w->alice.person) };
	struct entry_device d = { .person = *person(&w->mallory), .device = p.device, .chain = p.chain };
	PAYLOAD;
	BLOB;

	assert_int_equal(entry_put_member(&payload, &p), 0);
	for (size_t i = 0; i < COUNT(keys); i++) {
		buf_clear(&blob);
		party_sign(w->s.log, ENTRY_MEMBER, buf_bytes(&payload), keys[i], &blob);
		party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	}
	buf_clear(&payload);
	buf_clear(&blob);
	assert_int_equal(entry_put_device(&payload, &d), 0);
	party_sign(w->s.log, ENTRY_DEVICE, buf_bytes(&payload), keys[0], &blob);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);

	/* an admin may */
	buf_clear(&payload);
	buf_clear(&blob);
	p.role = ROLE_READER;
	assert_int_equal(entry_put_member(&payload, &p), 0);
	party_sign(w->s.log, ENTRY_MEMBER, buf_bytes(&payload), identity_sign_secret(w->alice.id), &blob);
	party_apply(w->s.log, &blob);
	assert_int_equal(log_role(w->s.log, device(&w->mallory)), ROLE_READER);
	buf_clear(&blob);
	party_sign(w->s.log, ENTRY_MEMBER, buf_bytes(&payload), identity_sign_secret(w->alice.id), &blob);
	party_refused(w->s.log, &blob, ERR_EXISTS);
}

static void another_signature_on_an_admins_entry_is_refused(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	struct entry e;
	uint8_t signature[64];
	CLEANUP(buf_release) struct buf forged = BUF_INIT(ENTRY_MAX_BLOB);
	BLOB;

	assert_int_equal(entry_make_retention(&m, 5, &blob), 0);
	assert_int_equal(entry_decode(buf_bytes(&blob), &e), 0);
	assert_int_equal(sign_detached(ENTRY_LABEL, e.body, identity_sign_secret(w->mallory.id), signature), 0);
	assert_int_equal(entry_put(&forged, e.body, signature), 0);
	party_refused(w->s.log, &forged, ERR_SIGNATURE);
	/* the right key over another label */
	buf_clear(&forged);
	assert_int_equal(sign_detached(HEAD_LABEL, e.body, identity_sign_secret(w->alice.id), signature), 0);
	assert_int_equal(entry_put(&forged, e.body, signature), 0);
	party_refused(w->s.log, &forged, ERR_SIGNATURE);
}

/* ---- epochs ---- */

static void sign_epoch(
	struct world *w, uint64_t number, uint64_t minimum, const struct id32 *keys, size_t n, struct buf *blob)
{
	struct secret *key;
	PAYLOAD;

	buf_clear(blob);
	assert_int_equal(secret_random(32, &key), 0);
	assert_int_equal(epoch_put_payload(&payload, log_space(w->s.log), number, key, number > 1 ? key : NULL, minimum,
				 log_head(w->s.log), keys, n),
		0);
	party_sign(w->s.log, ENTRY_EPOCH, buf_bytes(&payload), identity_sign_secret(w->alice.id), blob);
	secret_free(key);
}

static void an_epoch_wraps_to_exactly_the_members(void **state)
{
	struct world *w = *state;
	struct id32 *keys;
	struct id32 more[16];
	struct invite_keys k;
	size_t n;
	BLOB;

	party_invite(&w->alice, &w->s, ROLE_READER, 1, &k);
	assert_int_equal(log_recipients(w->s.log, NULL, NULL, &keys, &n), 0);
	assert_int_equal(n, 7); /* three devices, three recovery keys, an open invite */
	for (size_t i = 0; i < n; i++) {
		struct id32 without[16];

		memcpy(without, keys, n * sizeof *keys);
		memmove(&without[i], &without[i + 1], (n - i - 1) * sizeof *keys);
		sign_epoch(w, 2, 2, without, n - 1, &blob);
		party_refused(w->s.log, &blob, ERR_FORBIDDEN);
		memcpy(without, keys, n * sizeof *keys);
		without[i] = *identity_device_x(w->mallory.id); /* exchanged: out of order, or not the set */
		sign_epoch(w, 2, 2, without, n, &blob);
		assert_true(log_apply(w->s.log, buf_bytes(&blob), LOG_VERIFY) < 0);
	}
	/* one more, in its place */
	size_t at = 0;
	while (at < n && id32_compare(&keys[at], identity_device_x(w->mallory.id)) < 0)
		at++;
	memcpy(more, keys, at * sizeof *keys);
	more[at] = *identity_device_x(w->mallory.id);
	memcpy(&more[at + 1], &keys[at], (n - at) * sizeof *keys);
	sign_epoch(w, 2, 2, more, n + 1, &blob);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	sign_epoch(w, 3, 2, keys, n, &blob); /* numbers */
	party_refused(w->s.log, &blob, ERR_CONFLICT);
	sign_epoch(w, 2, 3, keys, n, &blob);
	party_refused(w->s.log, &blob, ERR_INVALID);
	sign_epoch(w, 2, 2, keys, n, &blob);
	party_apply(w->s.log, &blob);
	assert_int_equal(log_epoch_minimum(w->s.log), 2);
	sign_epoch(w, 3, 1, keys, n, &blob); /* the minimum never goes back */
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	free(keys);
	invite_keys_release(&k);
}

static void zero_wraps_and_commitments_are_refused(void **state)
{
	struct world *w = *state;
	struct entry_epoch p = { .number = 2, .minimum = 2, .commitment = { { 1 } }, .back = bytes_str("0123456789") };
	CLEANUP(buf_release) struct buf wraps = BUF_INIT(ENTRY_MAX_BLOB);
	FREE_AFTER struct id32 *keys = NULL;
	size_t n;
	PAYLOAD;
	BLOB;

	assert_int_equal(log_recipients(w->s.log, NULL, NULL, &keys, &n), 0);
	for (int zero = 0; zero < 3; zero++) {
		struct cbor_enc e = cbor_enc_init(&wraps);

		buf_clear(&wraps);
		buf_clear(&payload);
		buf_clear(&blob);
		cbor_put_array(&e, n);
		for (size_t i = 0; i < n; i++) {
			struct wrap wrap = { .recipient = keys[i], .enc = { { zero == 0 ? 0 : 9 } } };
			wrap_put(&e, &wrap);
		}
		p.commitment.b[0] = zero == 1 ? 0 : 1;
		p.wraps = buf_bytes(&wraps);
		assert_int_equal(entry_put_epoch(&payload, &p), 0);
		party_sign(w->s.log, ENTRY_EPOCH, buf_bytes(&payload), identity_sign_secret(w->alice.id), &blob);
		if (zero < 2)
			party_refused(w->s.log, &blob, ERR_INVALID);
		else
			assert_int_equal(log_check(w->s.log, buf_bytes(&blob)), 0);
	}
}

/* ---- invites and joins ---- */

static void an_invite_admits_as_many_as_it_says(void **state)
{
	struct world *w = *state;
	struct party dave;
	struct invite_keys k;
	BLOB;

	party_init(&dave, "dave");
	party_invite(&w->alice, &w->s, ROLE_READER, 1, &k);
	party_join_blob(&dave, w->s.log, &k, &blob);
	buf_clear(&blob);
	party_join_blob(&w->mallory, w->s.log, &k, &blob);
	party_apply(w->s.log, &blob);
	assert_false(log_find_invite(w->s.log, &k.id)->open);

	struct entry_maker m = party_maker(&dave, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_join(&m, &k, NULL, &blob), 0);
	party_refused(w->s.log, &blob, ERR_STALE);
	invite_keys_release(&k);

	/* of two uses both count, and the same person does not count twice */
	party_invite(&w->alice, &w->s, ROLE_WRITER, 2, &k);
	m = party_maker(&w->bob, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_join(&m, &k, NULL, &blob), 0);
	party_refused(w->s.log, &blob, ERR_EXISTS);
	m = party_maker(&dave, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_join(&m, &k, NULL, &blob), 0);
	party_apply(w->s.log, &blob);
	assert_true(log_find_invite(w->s.log, &k.id)->open);
	invite_keys_release(&k);
	party_release(&dave);
}

static void a_closed_invite_admits_nobody(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	struct invite_bundle bundle;
	struct epoch_ring *ring;
	struct invite_keys k;
	BLOB;

	party_invite(&w->alice, &w->s, ROLE_READER, 5, &k);
	assert_int_equal(entry_make_invite_close(&m, &k.id, &blob), 0);
	party_apply(w->s.log, &blob);
	m = party_maker(&w->mallory, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_join(&m, &k, NULL, &blob), 0);
	party_refused(w->s.log, &blob, ERR_STALE);
	assert_int_equal(invite_open(w->s.log, &k, &bundle, &ring), ERR_STALE);
	m = party_maker(&w->alice, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_invite_close(&m, &k.id, &blob), 0);
	party_refused(w->s.log, &blob, ERR_STALE);
	invite_keys_release(&k);
}

static void a_join_needs_the_invites_key_and_the_joiners(void **state)
{
	struct world *w = *state;
	struct invite_keys k, other, mixed;
	struct entry_join p;
	struct entry e;
	CLEANUP(buf_release) struct buf forged = BUF_INIT(ENTRY_MAX_BLOB);
	PAYLOAD;
	BLOB;

	party_invite(&w->alice, &w->s, ROLE_READER, 5, &k);
	party_keys(&other);
	mixed = other;
	mixed.id = k.id;
	struct entry_maker m = party_maker(&w->mallory, w->s.log);
	assert_int_equal(entry_make_join(&m, &other, NULL, &blob), 0);
	party_refused(w->s.log, &blob, ERR_NOT_FOUND);
	buf_clear(&blob);
	assert_int_equal(entry_make_join(&m, &mixed, NULL, &blob), 0);
	party_refused(w->s.log, &blob, ERR_SIGNATURE);

	/* another device's signature on mallory's join */
	buf_clear(&blob);
	party_join_blob(&w->mallory, w->s.log, &k, &blob);
	assert_int_equal(entry_decode(buf_bytes(&blob), &e), 0);
	party_sign(w->s.log, ENTRY_JOIN, e.payload, identity_sign_secret(w->bob.id), &forged);
	party_refused(w->s.log, &forged, ERR_FORBIDDEN);
	/* a join without a card */
	assert_int_equal(entry_get_join(e.payload, &p), 0);
	p.card = bytes_of(NULL, 0);
	assert_int_equal(entry_put_join(&payload, &p), 0);
	buf_clear(&forged);
	party_sign(w->s.log, ENTRY_JOIN, buf_bytes(&payload), identity_sign_secret(w->mallory.id), &forged);
	party_refused(w->s.log, &forged, ERR_INVALID);
	/* with a member's card */
	p.card = person_card(w->alice.person);
	buf_clear(&payload);
	buf_clear(&forged);
	assert_int_equal(entry_put_join(&payload, &p), 0);
	party_sign(w->s.log, ENTRY_JOIN, buf_bytes(&payload), identity_sign_secret(w->mallory.id), &forged);
	party_refused(w->s.log, &forged, ERR_EXISTS);
	party_apply(w->s.log, &blob);
	invite_keys_release(&k);
	invite_keys_release(&other);
}

static void invites_keep_to_their_kind(void **state)
{
	struct world *w = *state;
	struct invite_params params = { .role = ROLE_ADMIN, .uses = 1, .relay = PARTY_RELAY, .name = "n" };
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	struct invite_keys k;
	BLOB;

	party_keys(&k);
	assert_int_equal(entry_make_invite(&m, w->s.ring, &params, &k, &blob), 0);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN); /* an admin without asking */
	params.ask = true;
	buf_clear(&blob);
	assert_int_equal(entry_make_invite(&m, w->s.ring, &params, &k, &blob), 0);
	party_apply(w->s.log, &blob);
	m = party_maker(&w->mallory, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_join(&m, &k, NULL, &blob), 0);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN); /* a member approves it */
	m = party_maker(&w->alice, w->s.log);
	params = (struct invite_params){ .role = ROLE_DEVICE, .uses = 1, .relay = PARTY_RELAY, .name = "" };
	invite_keys_release(&k);
	party_keys(&k);
	buf_clear(&blob);
	assert_int_equal(entry_make_invite(&m, w->s.ring, &params, &k, &blob), 0);
	party_refused(w->s.log, &blob, ERR_INVALID); /* pairing in a shared space */
	m = party_maker(&w->alice, w->alice.own.log);
	params.role = ROLE_WRITER;
	buf_clear(&blob);
	assert_int_equal(entry_make_invite(&m, w->alice.own.ring, &params, &k, &blob), 0);
	party_refused(w->alice.own.log, &blob, ERR_INVALID); /* a writer in a personal space */
	invite_keys_release(&k);
}

static void open_invites_are_limited(void **state)
{
	struct world *w = *state;
	struct invite_params params = { .role = ROLE_READER, .uses = 1, .relay = PARTY_RELAY, .name = "n" };
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	struct invite_keys k;
	BLOB;

	for (size_t i = 0; i < LOG_MAX_INVITES; i++) {
		party_invite(&w->alice, &w->s, ROLE_READER, 1, &k);
		invite_keys_release(&k);
	}
	party_keys(&k);
	assert_int_equal(entry_make_invite(&m, w->s.ring, &params, &k, &blob), 0);
	party_refused(w->s.log, &blob, ERR_RANGE);
	invite_keys_release(&k);
}

/* ---- pairing ---- */

static void a_pairing_code_adds_one_device_and_only_while_open(void **state)
{
	struct world *w = *state;
	struct party phone, *a = &w->alice;
	struct invite_bundle bundle;
	struct epoch_ring *ring;
	struct identity *late, *again;
	struct invite_keys k;
	CLEANUP(buf_release) struct buf blob2 = BUF_INIT(ENTRY_MAX_BLOB);
	BLOB;

	memset(&phone, 0, sizeof phone);
	party_invite(a, &a->own, ROLE_DEVICE, 1, &k);
	assert_int_equal(invite_open(a->own.log, &k, &bundle, &ring), 0);
	assert_int_equal(identity_pair(a->own.log, &k, ring, bytes_str("p"), PARTY_NOW, &phone.id, &blob), 0);
	assert_int_equal(identity_pair(a->own.log, &k, ring, bytes_str("q"), PARTY_NOW, &late, &blob2), 0);
	party_apply(a->own.log, &blob);
	party_refused(a->own.log, &blob2, ERR_CONFLICT);

	/* with the same code again: used up; around the invite, by a plain device entry: not on its own signature */
	assert_int_equal(identity_pair(a->own.log, &k, ring, bytes_str("q"), PARTY_NOW, &again, &blob2), 0);
	buf_clear(&blob2);
	struct entry_maker m = { .log = a->own.log, .id = late, .now = PARTY_NOW };
	assert_int_equal(entry_make_join(&m, &k, ring, &blob2), 0);
	party_refused(a->own.log, &blob2, ERR_STALE);
	buf_clear(&blob2);
	assert_int_equal(entry_make_device(&m, ring, &blob2), 0);
	party_refused(a->own.log, &blob2, ERR_FORBIDDEN);

	/* in a shared space the invite's key certifies one device, the first that comes */
	m = party_maker(&phone, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_device(&m, w->s.ring, &blob), 0);
	party_apply(w->s.log, &blob);
	m.id = late;
	m.log = w->s.log;
	buf_clear(&blob);
	assert_int_equal(entry_make_device(&m, w->s.ring, &blob), 0);
	party_refused(w->s.log, &blob, ERR_EXISTS);

	epoch_ring_free(ring);
	identity_free(late);
	identity_free(again);
	identity_free(phone.id);
	invite_keys_release(&k);
}

static void a_chain_through_a_removed_device_is_refused(void **state)
{
	struct world *w = *state;
	struct party phone, watch, *a = &w->alice;
	struct entry_maker m;
	BLOB;

	party_pair(a, "phone", &phone);
	phone.own = a->own;
	party_pair(&phone, "watch", &watch);
	/* the phone was never in the shared space; its removal there counts all the same */
	m = party_maker(a, w->s.log);
	assert_int_equal(entry_make_leave(&m, device(&phone), bytes_of(NULL, 0), &blob), 0);
	party_apply(w->s.log, &blob);
	assert_true(log_revoked(w->s.log, person(a), device(&phone)));
	const struct party *both[] = { &phone, &watch };
	for (size_t i = 0; i < COUNT(both); i++) {
		m = party_maker(both[i], w->s.log);
		buf_clear(&blob);
		assert_int_equal(entry_make_device(&m, w->s.ring, &blob), 0);
		party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	}
	/* nobody blocks another person's device */
	struct entry_device_remove p = { .person = *person(&w->bob), .device = *device(a) };
	PAYLOAD;
	assert_int_equal(entry_put_device_remove(&payload, &p), 0);
	buf_clear(&blob);
	party_sign(w->s.log, ENTRY_DEVICE_REMOVE, buf_bytes(&payload), identity_sign_secret(w->bob.id), &blob);
	party_refused(w->s.log, &blob, ERR_CONTEXT);
	phone.own = (struct new_space){ .log = NULL };
	party_release(&phone);
	party_release(&watch);
}

/* ---- taking rights away ---- */

static void a_removed_member_has_no_rights_and_no_key(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
	struct id32 before = *log_head(w->s.log);
	struct invite_keys k;
	struct wrap wrap;
	struct secret *key;
	BLOB;

	party_invite(&w->alice, &w->s, ROLE_WRITER, 3, &k);
	party_cut(&w->alice, w->s.log, &cut);
	assert_int_equal(entry_make_remove(&m, w->s.ring, person(&w->bob), NULL, buf_bytes(&cut), &key, &blob), 0);
	party_apply(w->s.log, &blob);
	assert_int_equal(epoch_ring_add(w->s.ring, 2, key), 0);
	secret_free(key);
	assert_false(log_may_read(w->s.log, device(&w->bob)));
	assert_int_equal(log_find_person(w->s.log, person(&w->bob))->role, ROLE_NONE);
	assert_int_equal(log_epoch_number(w->s.log), 2);
	assert_false(log_find_invite(w->s.log, &k.id)->open);
	unit_assert_bytes(log_cut(w->s.log, device(&w->bob)), buf_bytes(&cut));
	assert_int_equal(log_cut(w->s.log, device(&w->carol)).len, 0);
	assert_int_equal(
		wraps_find(log_find_epoch(w->s.log, 2)->wraps, identity_device_x(w->bob.id), &wrap), ERR_NOT_FOUND);
	assert_int_equal(wraps_find(log_find_epoch(w->s.log, 2)->wraps, identity_device_x(w->carol.id), &wrap), 0);
	assert_int_equal(wraps_find(log_find_epoch(w->s.log, 2)->wraps, &k.x_public, &wrap), ERR_NOT_FOUND);

	/* what it could do then and cannot now */
	assert_true(log_could_write(w->s.log, device(&w->bob), &before));
	assert_false(log_could_write(w->s.log, device(&w->bob), log_head(w->s.log)));
	assert_false(log_could_write(w->s.log, device(&w->bob), log_genesis(w->s.log)));
	assert_false(log_could_write(w->s.log, device(&w->carol), log_head(w->s.log)));
	assert_true(log_could_write(w->s.log, device(&w->alice), log_head(w->s.log)));

	m = party_maker(&w->bob, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_leave(&m, NULL, bytes_of(NULL, 0), &blob), 0);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	buf_clear(&blob);
	assert_int_equal(entry_make_device(&m, NULL, &blob), 0);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);

	/* invited again, the same device comes back */
	party_join(&w->alice, &w->bob, &w->s, ROLE_READER);
	assert_int_equal(log_role(w->s.log, device(&w->bob)), ROLE_READER);
	assert_false(log_could_write(w->s.log, device(&w->bob), log_head(w->s.log)));
	invite_keys_release(&k);
}

static void a_removal_carries_its_epoch_and_its_own_cut(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
	struct entry_remove p = { .person = *person(&w->bob) };
	struct secret *key;
	PAYLOAD;
	BLOB;

	assert_int_equal(entry_put_remove(&payload, &p), 0);
	party_sign(w->s.log, ENTRY_REMOVE, buf_bytes(&payload), identity_sign_secret(w->alice.id), &blob);
	party_refused(w->s.log, &blob, ERR_INVALID);
	party_cut(&w->carol, w->s.log, &cut); /* another device's head */
	buf_clear(&blob);
	assert_int_equal(entry_make_remove(&m, w->s.ring, person(&w->bob), NULL, buf_bytes(&cut), &key, &blob), 0);
	party_refused(w->s.log, &blob, ERR_CONTEXT);
	secret_free(key);
	buf_clear(&cut);
	party_cut(&w->alice, w->alice.own.log, &cut); /* another space's head */
	buf_clear(&blob);
	assert_int_equal(entry_make_remove(&m, w->s.ring, person(&w->bob), NULL, buf_bytes(&cut), &key, &blob), 0);
	party_refused(w->s.log, &blob, ERR_CONTEXT);
	secret_free(key);
	/* the epoch of a removal still wrapped to the removed one */
	buf_clear(&cut);
	party_cut(&w->alice, w->s.log, &cut);
	struct id32 *keys;
	size_t n;
	CLEANUP(buf_release) struct buf epoch = BUF_INIT(ENTRY_MAX_BLOB);
	assert_int_equal(log_recipients(w->s.log, NULL, NULL, &keys, &n), 0);
	assert_int_equal(epoch_put_payload(&epoch, log_space(w->s.log), 2, epoch_ring_get(w->s.ring, 1),
				 epoch_ring_get(w->s.ring, 1), 2, log_head(w->s.log), keys, n),
		0);
	p.epoch = buf_bytes(&epoch);
	p.cut = buf_bytes(&cut);
	buf_clear(&payload);
	buf_clear(&blob);
	assert_int_equal(entry_put_remove(&payload, &p), 0);
	party_sign(w->s.log, ENTRY_REMOVE, buf_bytes(&payload), identity_sign_secret(w->alice.id), &blob);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	free(keys);
}

static void the_last_admin_stays_and_members_may_leave(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	BLOB;

	assert_int_equal(entry_make_leave(&m, NULL, bytes_of(NULL, 0), &blob), 0);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	buf_clear(&blob);
	assert_int_equal(entry_make_role(&m, person(&w->alice), ROLE_READER, bytes_of(NULL, 0), &blob), 0);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	buf_clear(&blob);
	assert_int_equal(entry_make_role(&m, person(&w->bob), ROLE_ADMIN, bytes_of(NULL, 0), &blob), 0);
	party_apply(w->s.log, &blob);
	buf_clear(&blob);
	assert_int_equal(entry_make_leave(&m, NULL, bytes_of(NULL, 0), &blob), 0);
	party_apply(w->s.log, &blob);
	assert_false(log_may_read(w->s.log, device(&w->alice)));
	/* a removed admin */
	buf_clear(&blob);
	assert_int_equal(entry_make_retention(&m, 1, &blob), 0);
	party_refused(w->s.log, &blob, ERR_FORBIDDEN);
	m = party_maker(&w->carol, w->s.log);
	buf_clear(&blob);
	assert_int_equal(entry_make_leave(&m, NULL, bytes_of(NULL, 0), &blob), 0);
	party_apply(w->s.log, &blob);
	assert_false(log_may_read(w->s.log, device(&w->carol)));
}

static void a_demotion_takes_writing_away_and_closes_invites(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
	struct invite_keys k;
	BLOB;

	party_invite(&w->alice, &w->s, ROLE_WRITER, 3, &k);
	party_cut(&w->alice, w->s.log, &cut);
	assert_int_equal(entry_make_role(&m, person(&w->bob), ROLE_READER, buf_bytes(&cut), &blob), 0);
	party_apply(w->s.log, &blob);
	assert_true(log_may_read(w->s.log, device(&w->bob)) && !log_may_write(w->s.log, device(&w->bob)));
	assert_false(log_find_invite(w->s.log, &k.id)->open);
	assert_true(log_cut(w->s.log, device(&w->bob)).len > 0);
	invite_keys_release(&k);
}

static void a_removed_device_never_returns_even_with_the_root(void **state)
{
	struct world *w = *state;
	struct party phone, *a = &w->alice;
	struct entry_maker m;
	struct entry_device p;
	CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
	BLOB;
	PAYLOAD;

	party_pair(a, "phone", &phone);
	m = party_maker(a, a->own.log);
	assert_int_equal(entry_make_leave(&m, device(&phone), bytes_of(NULL, 0), &blob), 0);
	party_refused(a->own.log, &blob, ERR_INVALID);
	party_cut(a, a->own.log, &cut);
	buf_clear(&blob);
	assert_int_equal(entry_make_leave(&m, device(&phone), buf_bytes(&cut), &blob), 0);
	party_apply(a->own.log, &blob);
	assert_false(log_may_read(a->own.log, device(&phone)));
	p = (struct entry_device){ .person = *person(a),
		.chain = identity_chain(phone.id),
		.device = { .ed = *device(&phone), .x = *identity_device_x(phone.id) } };
	assert_int_equal(entry_put_device(&payload, &p), 0);
	buf_clear(&blob);
	party_sign(a->own.log, ENTRY_DEVICE, buf_bytes(&payload), person_root_secret(a->person), &blob);
	party_refused(a->own.log, &blob, ERR_FORBIDDEN);
	/* the root removes the last device and adds another by recovery */
	struct entry_device_remove r = { .person = *person(a), .device = *device(a) };
	buf_clear(&payload);
	buf_clear(&blob);
	assert_int_equal(entry_put_device_remove(&payload, &r), 0);
	party_sign(a->own.log, ENTRY_DEVICE_REMOVE, buf_bytes(&payload), person_root_secret(a->person), &blob);
	party_apply(a->own.log, &blob);
	assert_false(log_may_read(a->own.log, device(a)));
	party_release(&phone);
}

/* ---- memory ---- */

static void a_failed_allocation_changes_nothing(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	CLEANUP(buf_release) struct buf cut = BUF_INIT(CUT_MAX);
	struct secret *key;
	BLOB;

	party_cut(&w->alice, w->s.log, &cut);
	assert_int_equal(entry_make_remove(&m, w->s.ring, person(&w->bob), NULL, buf_bytes(&cut), &key, &blob), 0);
	secret_free(key);
	for (unsigned long n = 1;; n++) {
		struct log *clone = NULL;
		bool failed;
		int err;

		heap_fail_at(n);
		err = log_clone(w->s.log, &clone);
		if (err == 0)
			err = log_apply(clone, buf_bytes(&blob), LOG_VERIFY);
		failed = heap_failed();
		heap_fail_at(0);
		if (clone && err < 0) {
			assert_int_equal(log_count(clone), log_count(w->s.log));
			assert_true(log_may_write(clone, device(&w->bob)));
			party_apply(clone, &blob);
		}
		log_free(clone);
		if (!failed) {
			assert_int_equal(err, 0);
			break;
		}
		assert_int_equal(err, ERR_NOMEM);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(rights_follow_the_roles),
		T(every_flipped_byte_of_an_entry_is_refused),
		T(a_changed_genesis_is_another_space),
		T(a_personal_genesis_is_the_persons_own),
		T(order_and_replay_are_refused),
		T(the_first_entries_have_their_types),
		T(a_stored_log_replays),
		T(outsiders_readers_and_writers_change_nothing),
		T(nobody_adds_a_member_past_the_admins),
		T(another_signature_on_an_admins_entry_is_refused),
		T(an_epoch_wraps_to_exactly_the_members),
		T(zero_wraps_and_commitments_are_refused),
		T(an_invite_admits_as_many_as_it_says),
		T(a_closed_invite_admits_nobody),
		T(a_join_needs_the_invites_key_and_the_joiners),
		T(invites_keep_to_their_kind),
		T(open_invites_are_limited),
		T(a_pairing_code_adds_one_device_and_only_while_open),
		T(a_chain_through_a_removed_device_is_refused),
		T(a_removed_member_has_no_rights_and_no_key),
		T(a_removal_carries_its_epoch_and_its_own_cut),
		T(the_last_admin_stays_and_members_may_leave),
		T(a_demotion_takes_writing_away_and_closes_invites),
		T(a_removed_device_never_returns_even_with_the_root),
		T(a_failed_allocation_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
