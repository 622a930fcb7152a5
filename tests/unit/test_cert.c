/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate chains and cards: what is signed, by whom, for whom. */
#include "tests/lib/mutate.h"
#include "tests/lib/party.h"

#include "crypto/cert.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/sign.h"

static int start(void **state)
{
	(void)state;
	return crypto_init();
}

struct target {
	const struct id32 *person;
};

static int open_chain(struct bytes changed, size_t at, void *arg)
{
	struct target *t = arg;
	struct cert_chain c;
	int err = cbor_check(changed, CBOR_STRICT, 1000);

	(void)at;
	return err < 0 ? err : cert_verify(changed, t->person, true, &c);
}

static int open_card(struct bytes changed, size_t at, void *arg)
{
	struct person_card c;
	int err = cbor_check(changed, CBOR_STRICT, 100);

	(void)at;
	(void)arg;
	return err < 0 ? err : card_verify(changed, true, &c);
}

static void every_flipped_byte_is_refused(void **state)
{
	struct party a, phone;
	struct target t;
	struct cert_chain c;

	(void)state;
	party_init(&a, "laptop");
	party_pair(&a, "phone", &phone);
	t.person = identity_person(a.id);
	assert_int_equal(cert_verify(identity_chain(phone.id), t.person, true, &c), 0);
	assert_int_equal(c.n, 2);
	assert_true(c.links[1].has_via && !c.links[0].has_via);
	assert_true(id32_equal(&c.links[1].ed, identity_device(phone.id)));
	mutate_flips(identity_chain(phone.id), open_chain, &t);
	mutate_lengths(identity_chain(phone.id), open_chain, &t);
	mutate_flips(identity_card(a.id), open_card, NULL);
	mutate_lengths(identity_card(a.id), open_card, NULL);
	party_release(&phone);
	party_release(&a);
}

static void a_chain_is_for_its_person_alone(void **state)
{
	struct party a, b;
	struct cert_chain c;

	(void)state;
	party_init(&a, "a");
	party_init(&b, "b");
	assert_int_equal(cert_verify(identity_chain(a.id), identity_person(b.id), true, &c), ERR_CONTEXT);
	party_release(&a);
	party_release(&b);
}

/* A chain with one link for mallory's device, by whatever keys. */
static int forge(const struct id32 *person, const struct id32 *issuer, const struct secret *issuer_key,
	const struct party *m, const struct secret *via)
{
	struct buf chain = BUF_INIT(CERT_MAX_BYTES), b = BUF_INIT(256);
	struct cert_link l = {
		.issuer = *issuer, .ed = *identity_device(m->id), .x = *identity_device_x(m->id), .has_via = via != NULL
	};
	struct cert_chain c;
	int err;

	assert_int_equal(cert_put_signed(&b, person, &l.ed, &l.x), 0);
	if (via) {
		assert_int_equal(sign_public(via, &l.via), 0);
		assert_int_equal(sign_detached(CERT_LABEL, buf_bytes(&b), via, l.via_signature), 0);
		buf_clear(&b);
		assert_int_equal(grant_put_signed(&b, person, &l.via), 0);
		assert_int_equal(sign_detached(GRANT_LABEL, buf_bytes(&b), issuer_key, l.issuer_signature), 0);
	} else {
		assert_int_equal(sign_detached(CERT_LABEL, buf_bytes(&b), issuer_key, l.issuer_signature), 0);
	}
	assert_int_equal(cert_chain_put_head(&chain, 1), 0);
	assert_int_equal(cert_link_put(&chain, &l), 0);
	err = cert_verify(buf_bytes(&chain), person, true, &c);
	buf_release(&chain);
	buf_release(&b);
	return err;
}

static void nobody_else_certifies(void **state)
{
	struct party a, m;
	const struct id32 *root;
	struct secret *via;
	struct id32 via_public;

	(void)state;
	party_init(&a, "a");
	party_init(&m, "m");
	root = identity_person(a.id);
	assert_int_equal(sign_keypair_new(&via, &via_public), 0);
	assert_int_equal(forge(root, root, person_root_secret(a.person), &m, NULL), 0);
	assert_int_equal(forge(root, root, person_root_secret(m.person), &m, NULL), ERR_SIGNATURE);
	assert_int_equal(forge(root, identity_device(m.id), identity_sign_secret(m.id), &m, NULL), ERR_CONTEXT);
	assert_int_equal(forge(root, root, person_root_secret(a.person), &m, via), 0);
	assert_int_equal(forge(root, root, person_root_secret(m.person), &m, via), ERR_SIGNATURE);
	secret_free(via);
	party_release(&a);
	party_release(&m);
}

static void unusable_keys_are_refused(void **state)
{
	/* order 8 point, u = 1, zero: from Wycheproof x25519 */
	static const struct id32 low[] = {
		{ { 0 } },
		{ { 1 } },
		{ { 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
			0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8,
			0x00 } },
	};
	struct id32 one = { { 1 } }; /* the neutral element of Ed25519 */
	struct party a;

	(void)state;
	for (size_t i = 0; i < COUNT(low); i++)
		assert_int_equal(key_check_x25519(&low[i]), ERR_INVALID);
	assert_int_equal(key_check_ed25519(&one), ERR_INVALID);
	party_init(&a, "a");
	assert_int_equal(key_check_x25519(identity_device_x(a.id)), 0);
	assert_int_equal(key_check_ed25519(identity_device(a.id)), 0);
	party_release(&a);
}

static void chains_have_a_longest_length(void **state)
{
	struct party devices[CERT_MAX_LINKS + 1];
	struct party *a = &devices[0];
	struct buf blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct epoch_ring *ring;
	struct invite_bundle bundle;
	struct invite_keys k;
	struct identity *id;
	struct cert_chain c;
	size_t n = CERT_MAX_LINKS;

	(void)state;
	party_init(a, "0");
	for (size_t i = 1; i < n; i++) { /* each paired by the one before */
		struct new_space own = devices[i - 1].own;

		party_pair(&devices[i - 1], "n", &devices[i]);
		devices[i - 1].own = (struct new_space){ .log = NULL };
		devices[i].own = own;
	}
	assert_int_equal(cert_verify(identity_chain(devices[n - 1].id), identity_person(a->id), true, &c), 0);
	assert_int_equal(c.n, CERT_MAX_LINKS);
	struct party *last = &devices[n - 1];
	party_invite(last, &last->own, ROLE_DEVICE, 1, &k);
	assert_int_equal(invite_open(last->own.log, &k, &bundle, &ring), 0);
	assert_int_equal(identity_pair(last->own.log, &k, ring, bytes_str("x"), 1, &id, &blob), ERR_RANGE);
	epoch_ring_free(ring);
	invite_keys_release(&k);
	buf_release(&blob);
	for (size_t i = 0; i < n; i++)
		party_release(&devices[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flipped_byte_is_refused),
		cmocka_unit_test(a_chain_is_for_its_person_alone),
		cmocka_unit_test(nobody_else_certifies),
		cmocka_unit_test(unusable_keys_are_refused),
		cmocka_unit_test(chains_have_a_longest_length),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
