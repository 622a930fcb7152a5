/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a malicious member, with or without a relay that helps, tries with the membership log: to write after the right is
 * gone, to keep others out, to come back by another door, to fill what all share.
 */
#include "tests/lib/party.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/log_state.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "wire/head.h"

/* alice is the admin of `s`, bob a writer in it, carol a reader. */
struct world {
	struct party alice, bob, carol, dave;
	struct new_space s;
	struct buf payload, blob, cut;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	party_init(&w->alice, "alice");
	party_init(&w->bob, "bob");
	party_init(&w->carol, "carol");
	party_init(&w->dave, "dave");
	party_space(&w->alice, &w->s);
	party_join(&w->alice, &w->bob, &w->s, ROLE_WRITER);
	party_join(&w->alice, &w->carol, &w->s, ROLE_READER);
	w->payload = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
	w->blob = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
	w->cut = (struct buf)BUF_INIT(CUT_MAX);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	party_release(&w->alice);
	party_release(&w->bob);
	party_release(&w->carol);
	party_release(&w->dave);
	new_space_release(&w->s);
	buf_release(&w->payload);
	buf_release(&w->blob);
	buf_release(&w->cut);
	free(w);
	return 0;
}

static const struct id32 *person(const struct party *p)
{
	return identity_person(p->id);
}

static const struct id32 *device(const struct party *p)
{
	return identity_device(p->id);
}

static const struct secret *key_of(const struct party *p)
{
	return identity_sign_secret(p->id);
}

static struct bytes cut_at(struct world *w, const struct party *by, const struct log *l, uint64_t cursor)
{
	struct head h = { .space = *log_space(l), .device = *device(by), .cursor = cursor, .log_head = *log_head(l) };

	buf_clear(&w->cut);
	assert_int_equal(sign_head(&h, key_of(by), &w->cut), 0);
	return buf_bytes(&w->cut);
}

static void remove_person(struct world *w, const struct party *who, uint64_t cursor)
{
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	struct secret *key;

	buf_clear(&w->blob);
	assert_int_equal(entry_make_remove(&m, w->s.ring, person(who), NULL, cut_at(w, &w->alice, w->s.log, cursor),
				 &key, &w->blob),
		0);
	party_apply(w->s.log, &w->blob);
	assert_int_equal(epoch_ring_add(w->s.ring, log_epoch_number(w->s.log), key), 0);
	secret_free(key);
}

/* ---- writing after the right is gone ---- */

static void what_is_dated_back_past_the_cut_does_not_count(void **state)
{
	struct world *w = *state;
	const struct log *l = w->s.log;
	struct id32 before = *log_head(l);

	assert_true(log_accepts(l, device(&w->bob), &before, 1000));
	remove_person(w, &w->bob, 40);
	assert_true(log_accepts(l, device(&w->bob), &before, 40));
	assert_false(log_accepts(l, device(&w->bob), &before, 41));
	assert_false(log_accepts(l, device(&w->bob), log_head(l), 1));
	assert_true(log_accepts(l, device(&w->alice), &before, 1000));
	assert_true(log_accepts(l, device(&w->alice), log_head(l), 1000));
}

/* Between two memberships the relay plants a record dated into the first: the second removal must not cover it. */
static void a_second_removal_does_not_widen_the_first_cut(void **state)
{
	struct world *w = *state;
	const struct log *l = w->s.log;
	struct id32 first = *log_head(l), second;

	remove_person(w, &w->bob, 40);
	party_join(&w->alice, &w->bob, &w->s, ROLE_WRITER);
	second = *log_head(l);
	assert_int_equal(log_cut(l, device(&w->bob)).len, 0);
	assert_false(log_accepts(l, device(&w->bob), &first, 41));
	remove_person(w, &w->bob, 900);
	assert_false(log_accepts(l, device(&w->bob), &first, 41));
	assert_true(log_accepts(l, device(&w->bob), &first, 40));
	assert_true(log_accepts(l, device(&w->bob), &second, 900));
	assert_false(log_accepts(l, device(&w->bob), &second, 901));
}

static void a_demotion_carries_a_cut(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->alice, w->s.log);
	struct id32 before = *log_head(w->s.log);

	assert_int_equal(entry_make_role(&m, person(&w->bob), ROLE_READER, bytes_of(NULL, 0), &w->blob), 0);
	party_refused(w->s.log, &w->blob, ERR_INVALID);
	buf_clear(&w->blob);
	assert_int_equal(
		entry_make_role(&m, person(&w->bob), ROLE_READER, cut_at(w, &w->alice, w->s.log, 40), &w->blob), 0);
	party_apply(w->s.log, &w->blob);
	assert_true(log_accepts(w->s.log, device(&w->bob), &before, 40));
	assert_false(log_accepts(w->s.log, device(&w->bob), &before, 41));
}

/* Leaving first, so that no cut falls, and writing on through the relay: an admin sets the cut afterwards. */
static void who_left_is_cut_afterwards(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->bob, w->s.log);
	struct id32 before = *log_head(w->s.log);
	struct secret *key;

	assert_int_equal(entry_make_leave(&m, NULL, bytes_of(NULL, 0), &w->blob), 0);
	party_apply(w->s.log, &w->blob);
	assert_true(log_accepts(w->s.log, device(&w->bob), &before, 1000));
	remove_person(w, &w->bob, 40);
	assert_false(log_accepts(w->s.log, device(&w->bob), &before, 41));
	assert_true(log_cut(w->s.log, device(&w->bob)).len > 0);
	/* once is enough */
	m = party_maker(&w->alice, w->s.log);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_remove(&m, w->s.ring, person(&w->bob), NULL, cut_at(w, &w->alice, w->s.log, 30),
				 &key, &w->blob),
		0);
	party_refused(w->s.log, &w->blob, ERR_NOT_FOUND);
	secret_free(key);
}

static void a_stolen_device_is_cut_off_by_its_person(void **state)
{
	struct world *w = *state;
	struct log *l = w->s.log;
	struct party phone, watch;
	const struct party *both[] = { &phone, &watch };
	struct entry_maker m;
	struct id32 before;

	party_pair(&w->bob, "phone", &phone);
	party_pair(&w->bob, "watch", &watch);
	for (size_t i = 0; i < COUNT(both); i++) {
		m = party_maker(both[i], l);
		buf_clear(&w->blob);
		assert_int_equal(entry_make_device(&m, w->s.ring, &w->blob), 0);
		party_apply(l, &w->blob);
	}
	before = *log_head(l);
	m = party_maker(&w->bob, l);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_leave(&m, device(&phone), bytes_of(NULL, 0), &w->blob), 0);
	party_refused(l, &w->blob, ERR_INVALID);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_leave(&m, device(&phone), cut_at(w, &w->bob, l, 40), &w->blob), 0);
	party_apply(l, &w->blob);
	assert_false(log_accepts(l, device(&phone), &before, 41));

	/* the thief removes the watch that he took, by itself, before a cut can fall */
	m = party_maker(&watch, l);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_leave(&m, device(&watch), cut_at(w, &watch, l, UINT64_MAX), &w->blob), 0);
	party_refused(l, &w->blob, ERR_INVALID);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_leave(&m, device(&watch), bytes_of(NULL, 0), &w->blob), 0);
	party_apply(l, &w->blob);
	assert_true(log_accepts(l, device(&watch), &before, 41));
	m = party_maker(&w->bob, l);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_leave(&m, device(&watch), cut_at(w, &w->bob, l, 40), &w->blob), 0);
	party_apply(l, &w->blob);
	assert_false(log_accepts(l, device(&watch), &before, 41));
	buf_clear(&w->blob);
	assert_int_equal(entry_make_leave(&m, device(&watch), cut_at(w, &w->bob, l, 90), &w->blob), 0);
	party_refused(l, &w->blob, ERR_EXISTS);
	assert_false(log_may_write(l, device(&phone)) || log_may_write(l, device(&watch)));
	party_release(&phone);
	party_release(&watch);
}

/* An epoch of a removal that lets the old one go on would leave the removed a key that is still written under. */
static void a_removal_ends_the_epochs_before_it(void **state)
{
	struct world *w = *state;
	struct entry_remove p = { .person = *person(&w->bob) };
	CLEANUP(buf_release) struct buf epoch = BUF_INIT(ENTRY_MAX_BLOB);
	struct id32 *keys;
	size_t n;

	assert_int_equal(log_recipients(w->s.log, &p.person, NULL, &keys, &n), 0);
	assert_int_equal(epoch_put_payload(&epoch, log_space(w->s.log), 2, epoch_ring_get(w->s.ring, 1),
				 epoch_ring_get(w->s.ring, 1), 1, log_head(w->s.log), keys, n),
		0);
	p.epoch = buf_bytes(&epoch);
	p.cut = cut_at(w, &w->alice, w->s.log, 1);
	assert_int_equal(entry_put_remove(&w->payload, &p), 0);
	party_sign(w->s.log, ENTRY_REMOVE, buf_bytes(&w->payload), key_of(&w->alice), &w->blob);
	party_refused(w->s.log, &w->blob, ERR_FORBIDDEN);
	free(keys);
}

/* ---- other doors ---- */

/* A certificate shows that the person wants the key, not that they hold it: carol takes dave's for hers, to keep him out. */
static void nobody_registers_a_key_that_they_do_not_hold(void **state)
{
	struct world *w = *state;
	struct cert_link link = {
		.issuer = *person(&w->carol), .ed = *device(&w->dave), .x = *identity_device_x(w->carol.id)
	};
	struct entry_device p = { .person = link.issuer, .device = { .ed = link.ed, .x = link.x } };
	CLEANUP(buf_release) struct buf chain = BUF_INIT(CERT_MAX_BYTES);
	CLEANUP(buf_release) struct buf b = BUF_INIT(256);
	const struct secret *root = person_root_secret(w->carol.person);

	assert_int_equal(cert_put_signed(&b, &link.issuer, &link.ed, &link.x), 0);
	assert_int_equal(sign_detached(CERT_LABEL, buf_bytes(&b), root, link.issuer_signature), 0);
	assert_int_equal(cert_chain_put_head(&chain, 1), 0);
	assert_int_equal(cert_link_put(&chain, &link), 0);
	p.chain = buf_bytes(&chain);
	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	party_sign(w->s.log, ENTRY_DEVICE, buf_bytes(&w->payload), key_of(&w->carol), &w->blob);
	party_refused(w->s.log, &w->blob, ERR_FORBIDDEN);
	buf_clear(&w->blob);
	party_sign(w->s.log, ENTRY_DEVICE, buf_bytes(&w->payload), root, &w->blob);
	party_refused(w->s.log, &w->blob, ERR_FORBIDDEN);
	party_join(&w->alice, &w->dave, &w->s, ROLE_WRITER);
}

/* A pairing code that leaked and was closed still certifies devices in shared spaces, whose logs know nothing of the close:
 * its key is removed there like a device. */
static void a_closed_pairing_code_opens_no_shared_space(void **state)
{
	struct world *w = *state;
	struct party *a = &w->alice, thief = { .person = NULL };
	struct entry_maker m = party_maker(a, w->s.log);
	struct invite_bundle bundle;
	struct epoch_ring *ring;
	struct invite_keys k;

	party_invite(a, &a->own, ROLE_DEVICE, 1, &k);
	assert_int_equal(invite_open(a->own.log, &k, &bundle, &ring), 0);
	assert_int_equal(identity_pair(a->own.log, &k, ring, bytes_str("t"), PARTY_NOW, &thief.id, &w->blob), 0);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_leave(&m, &k.ed_public, bytes_of(NULL, 0), &w->blob), 0);
	party_apply(w->s.log, &w->blob);
	m = party_maker(&thief, w->s.log);
	buf_clear(&w->blob);
	assert_int_equal(entry_make_device(&m, NULL, &w->blob), 0);
	party_refused(w->s.log, &w->blob, ERR_FORBIDDEN);
	epoch_ring_free(ring);
	invite_keys_release(&k);
	identity_free(thief.id);
}

/* ---- filling what all share; logs are trusted here, so that nothing need be signed ---- */

static int trusted(struct world *w, enum entry_type type, const struct id32 *signer)
{
	static const uint8_t signature[64];
	struct log *l = w->s.log;
	CLEANUP(buf_release) struct buf body = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry e = { .type = type,
		.space = *log_space(l),
		.seq = log_count(l),
		.prev = *log_head(l),
		.signer = *signer,
		.payload = buf_bytes(&w->payload) };

	buf_clear(&w->blob);
	assert_int_equal(entry_put_body(&body, &e), 0);
	assert_int_equal(entry_put(&w->blob, buf_bytes(&body), signature), 0);
	buf_clear(&w->payload);
	return log_apply(l, buf_bytes(&w->blob), LOG_TRUSTED);
}

static int add_device(struct world *w, const struct party *of, uint32_t n, struct id32 *ret_device)
{
	struct cert_link link = { .issuer = *person(of), .ed = { { 0xfe } }, .x = { { 0xfe } } };
	struct entry_device p = { .person = link.issuer };
	CLEANUP(buf_release) struct buf chain = BUF_INIT(CERT_MAX_BYTES);

	memcpy(&link.ed.b[1], &n, sizeof n);
	memcpy(&link.x.b[1], &n, sizeof n);
	*ret_device = p.device.ed = link.ed;
	p.device.x = link.x;
	assert_int_equal(cert_chain_put_head(&chain, 1), 0);
	assert_int_equal(cert_link_put(&chain, &link), 0);
	p.chain = buf_bytes(&chain);
	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	return trusted(w, ENTRY_DEVICE, ret_device);
}

static void one_member_does_not_use_up_the_places_of_others(void **state)
{
	struct world *w = *state;
	struct entry_device_remove p = { .person = *person(&w->carol) };
	struct id32 added;
	uint32_t n = 0;
	int err = 0;

	while (err == 0 && n < LOG_MAX_DEVICES)
		err = add_device(w, &w->carol, n++, &added);
	assert_int_equal(err, ERR_RANGE);
	assert_string_equal(log_refusal(w->s.log), "too many devices of one person");
	assert_int_equal(n, LOG_MAX_PERSON_DEVICES); /* one was there */
	assert_int_equal(add_device(w, &w->bob, n + 1, &added), 0);
	for (n = 0, err = 0; err == 0 && n < LOG_MAX_REVOKED; n++) {
		memcpy(p.device.b, &n, sizeof n);
		assert_int_equal(entry_put_device_remove(&w->payload, &p), 0);
		err = trusted(w, ENTRY_DEVICE_REMOVE, device(&w->carol));
	}
	assert_int_equal(err, ERR_RANGE);
	assert_int_equal(n, LOG_MAX_PERSON_REVOKED + 1);
	/* her devices are still removed, one by one, and bob's */
	p.device = *device(&w->carol);
	assert_int_equal(entry_put_device_remove(&w->payload, &p), 0);
	assert_int_equal(trusted(w, ENTRY_DEVICE_REMOVE, device(&w->carol)), 0);
	p = (struct entry_device_remove){ .person = *person(&w->bob), .device = added };
	p.cut = cut_at(w, &w->bob, w->s.log, 1);
	assert_int_equal(entry_put_device_remove(&w->payload, &p), 0);
	assert_int_equal(trusted(w, ENTRY_DEVICE_REMOVE, device(&w->bob)), 0);
}

static void changes_of_rights_are_bounded(void **state)
{
	struct world *w = *state;
	struct entry_role up = { .person = *person(&w->bob), .role = ROLE_WRITER };
	struct entry_role down = { .person = up.person, .role = ROLE_READER };
	struct id32 added;
	int err = 0;

	for (uint32_t n = 0; n + 1 < LOG_MAX_PERSON_DEVICES; n++)
		assert_int_equal(add_device(w, &w->bob, n, &added), 0);
	down.cut = cut_at(w, &w->alice, w->s.log, 1);
	for (size_t i = 0; err == 0 && i < LOG_MAX_SPANS; i++) {
		assert_int_equal(entry_put_role(&w->payload, &down), 0);
		assert_int_equal(trusted(w, ENTRY_ROLE, device(&w->alice)), 0);
		assert_int_equal(entry_put_role(&w->payload, &up), 0);
		err = trusted(w, ENTRY_ROLE, device(&w->alice));
	}
	assert_int_equal(err, ERR_RANGE);
	assert_string_equal(log_refusal(w->s.log), "too many changes of rights");
	assert_true(w->s.log->n_spans <= LOG_MAX_SPANS);
}

static void the_end_of_the_log_is_the_admins(void **state)
{
	struct world *w = *state;
	struct entry_retention r = { .seconds = 1 };
	struct entry_remove p = { .person = *person(&w->bob) };
	int err = 0;

	while (err == 0 && log_count(w->s.log) < LOG_MAX_ENTRIES - LOG_ADMIN_ENTRIES) {
		assert_int_equal(entry_put_retention(&w->payload, &r), 0);
		err = trusted(w, ENTRY_RETENTION, device(&w->alice));
	}
	assert_int_equal(err, 0);
	assert_int_equal(entry_put_remove(&w->payload, &p), 0);
	assert_int_equal(trusted(w, ENTRY_REMOVE, device(&w->bob)), ERR_RANGE);
	remove_person(w, &w->bob, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_dated_back_past_the_cut_does_not_count),
		T(a_second_removal_does_not_widen_the_first_cut),
		T(a_demotion_carries_a_cut),
		T(who_left_is_cut_afterwards),
		T(a_stolen_device_is_cut_off_by_its_person),
		T(a_removal_ends_the_epochs_before_it),
		T(nobody_registers_a_key_that_they_do_not_hold),
		T(a_closed_pairing_code_opens_no_shared_space),
		T(one_member_does_not_use_up_the_places_of_others),
		T(changes_of_rights_are_bounded),
		T(the_end_of_the_log_is_the_admins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
