/* SPDX-License-Identifier: Apache-2.0 */
/* Invite secrets and what a joiner checks before it believes the relay's answer. */
#include "tests/lib/party.h"

#include <stdio.h>
#include <time.h>

#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

#define MASTER_42 "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd"
#define MASTER_A MASTER_42 "A"

static int start(void **state)
{
	(void)state;
	return crypto_init();
}

static void codes_are_read_as_people_type_them(void **state)
{
	static const char *const same[] = { "01AB-CDEF-GHJK-MNPQ", "01abcdefghjkmnpq", " o1ab cdef ghjk mnpq ",
		"0iab-cdef-ghjk-mnpq", "OLAB-CDEF-GHJK-MNPQ\n", "0-1-A-B-C-D-E-F-G-H-J-K-M-N-P-Q" };
	static const char *const bad[] = { "", "01AB", "01AB-CDEF-GHJK-MNPQ-R", "01AB-CDEF-GHJK-MNPU",
		"01AB_CDEF_GHJK_MNPQ", "coffer://join/", "coffer://join/host#", "http://host/01AB-CDEF-GHJK-MNPQ",
		"01AB-CDEF-GHJK-MNP\xc3\xa9" };

	(void)state;
	for (size_t i = 0; i < COUNT(same); i++) {
		struct buf text = BUF_INIT_SECRET(64);
		struct invite_secret *s;

		assert_int_equal(invite_secret_parse(same[i], &s), 0);
		assert_null(invite_secret_relay(s));
		assert_int_equal(invite_format_code(s, &text), 0);
		assert_string_equal((const char *)text.data, "01AB-CDEF-GHJK-MNPQ");
		assert_int_equal(text.len, INVITE_CODE_TEXT_SIZE);
		invite_secret_free(s);
		buf_release(&text);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct invite_secret *s;

		assert_int_equal(invite_secret_parse(bad[i], &s), ERR_INVALID);
	}
}

static void same_keys(const struct invite_keys *a, const struct invite_keys *b)
{
	assert_true(id16_equal(&a->id, &b->id) && id32_equal(&a->ed_public, &b->ed_public));
	assert_true(id32_equal(&a->x_public, &b->x_public) && secret_equal(a->bundle, b->bundle));
}

/* One entry in the log is all that both can use up. */
static void code_and_link_are_one_invite(void **state)
{
	static const char *const relays[] = { "https://relay.example", "http://127.0.0.1:5379",
		"https://r.example:8443/coffer", "http://[::1]:5379" };
	struct buf text = BUF_INIT_SECRET(512);
	struct invite_secret *code, *typed, *link;
	struct invite_keys keys, k;

	(void)state;
	assert_int_equal(invite_secret_new(&code), 0);
	assert_int_equal(invite_format_link(code, relays[0], &text), ERR_INVALID); /* not stretched yet */
	assert_int_equal(invite_derive(code, &keys), 0);
	for (size_t i = 0; i < COUNT(relays); i++) {
		buf_clear(&text);
		assert_int_equal(invite_format_link(code, relays[i], &text), 0);
		assert_memory_equal(text.data, "coffer://join/", 14);
		assert_int_equal(invite_secret_parse((const char *)text.data, &link), 0);
		assert_string_equal(invite_secret_relay(link), relays[i]);
		assert_int_equal(invite_derive(link, &k), 0);
		same_keys(&keys, &k);
		invite_keys_release(&k);
		assert_int_equal(invite_format_code(link, &text), ERR_INVALID);
		invite_secret_free(link);
	}
	buf_clear(&text);
	assert_int_equal(invite_format_code(code, &text), 0);
	assert_int_equal(invite_secret_parse((const char *)text.data, &typed), 0);
	assert_int_equal(invite_derive(typed, &k), 0);
	same_keys(&keys, &k);
	invite_keys_release(&k);
	invite_keys_release(&keys);
	invite_secret_free(typed);
	invite_secret_free(code);
	buf_release(&text);
}

/* A link has one spelling: 43 characters of base64url, the unused bits of the last one zero. */
static void links_are_read_strictly(void **state)
{
	static const char *const good[] = { "coffer://join/h#" MASTER_A, " coffer://join/h#" MASTER_A "\n" };
	static const char *const bad[] = { "coffer://join/", "coffer://join/host#", "coffer://join/#" MASTER_A,
		"coffer://join/a b#" MASTER_A, "coffer://join/a%20b#" MASTER_A, "coffer://join/h" MASTER_A,
		"Coffer://join/h#" MASTER_A, "coffer://join/h#" MASTER_A "=", "coffer://join/h#" MASTER_A "A",
		"coffer://join/h#" MASTER_A " A", "coffer://join/h#" MASTER_42, "coffer://join/h#" MASTER_42 "B",
		"coffer://join/h#" MASTER_42 "+", "coffer://join/h# " MASTER_A, "coffer://join/h##" MASTER_42,
		"coffer://join/h#01AB-CDEF-GHJK-MNPQ" };
	struct invite_secret *s;
	char text[INVITE_MAX_TEXT + 2];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(invite_secret_parse(good[i], &s), 0);
		invite_secret_free(s);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(invite_secret_parse(bad[i], &s), ERR_INVALID);
	snprintf(text, sizeof text, "coffer://join/%0300d#" MASTER_A, 0);
	assert_int_equal(invite_secret_parse(text, &s), ERR_RANGE);
	memset(text, '0', sizeof text - 1);
	text[sizeof text - 1] = 0;
	assert_int_equal(invite_secret_parse(text, &s), ERR_RANGE);
}

static void secrets_differ(void **state)
{
	struct invite_keys ka, kb;

	(void)state;
	party_keys(&ka);
	party_keys(&kb);
	assert_false(id16_equal(&ka.id, &kb.id) || id32_equal(&ka.ed_public, &kb.ed_public));
	assert_false(secret_equal(ka.bundle, ka.ed) || secret_equal(ka.bundle, ka.x)); /* one key for each purpose */
	invite_keys_release(&ka);
	invite_keys_release(&kb);
}

/* Everything that the relay holds of a code invite follows from Argon2id of the whole code: 3 passes over 256 MiB. */
static void a_guess_at_a_code_costs_a_whole_argon2id(void **state)
{
	struct kdf_params params = { .ops = 3, .mem = 256u << 20 };
	struct invite_secret *s;
	struct invite_keys k;
	struct secret *master;
	struct id32 salt;
	uint8_t id[32];
	static const struct id16 none;

	(void)state;
	assert_int_equal(invite_secret_parse("01AB-CDEF-GHJK-MNPQ", &s), 0);
	assert_int_equal(invite_derive(s, &k), 0);
	hash_plain(INVITE_LABEL, bytes_of(NULL, 0), &salt);
	memcpy(params.salt, salt.b, sizeof params.salt);
	assert_int_equal(kdf_passphrase(bytes_str("01ABCDEFGHJKMNPQ"), &params, &master), 0);
	kdf_subkey(secret_key(master), "invitid_", &none, id);
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x80);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	assert_memory_equal(k.id.b, id, 16);
	secret_free(master);
	invite_keys_release(&k);
	invite_secret_free(s);
}

static void a_joiner_finds_space_name_relay_and_keys(void **state)
{
	struct party a, b;
	struct new_space s;
	struct invite_keys k;
	struct invite_bundle bundle;
	struct epoch_ring *ring;

	(void)state;
	party_init(&a, "a");
	party_init(&b, "b");
	party_space(&a, &s);
	party_rotate(&a, &s);
	party_invite(&a, &s, ROLE_WRITER, 3, &k);
	assert_int_equal(invite_open(s.log, &k, &bundle, &ring), 0);
	assert_string_equal(bundle.name, "photos");
	assert_string_equal(bundle.relay, PARTY_RELAY);
	assert_true(id32_equal(&bundle.inviter, identity_person(a.id)));
	for (uint64_t n = 1; n <= 2; n++)
		assert_true(secret_equal(epoch_ring_get(ring, n), epoch_ring_get(s.ring, n)));
	epoch_ring_free(ring);
	/* a rotation while it is open wraps to it too */
	party_rotate(&a, &s);
	assert_int_equal(invite_open(s.log, &k, &bundle, &ring), 0);
	assert_true(secret_equal(epoch_ring_get(ring, 3), epoch_ring_get(s.ring, 3)));
	epoch_ring_free(ring);
	invite_keys_release(&k);
	new_space_release(&s);
	party_release(&a);
	party_release(&b);
}

/* The relay answers with a space of its own that holds an invite of the same id and public keys. */
static void another_space_under_the_same_invite_is_refused(void **state)
{
	struct party a, mallory;
	struct new_space s, fake;
	struct invite_keys k, forged;
	struct invite_bundle bundle;
	struct epoch_ring *ring;
	struct invite_params params = { .role = ROLE_WRITER, .uses = 1, .relay = PARTY_RELAY, .name = "photos" };
	struct buf blob = BUF_INIT(ENTRY_MAX_BLOB), payload = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry_invite p;
	struct entry e;

	(void)state;
	party_init(&a, "a");
	party_init(&mallory, "m");
	party_space(&a, &s);
	party_space(&mallory, &fake);
	party_invite(&a, &s, ROLE_WRITER, 1, &k);
	struct bytes honest_bundle = log_find_invite(s.log, &k.id)->bundle;

	/* its own bundle key: the joiner's does not open it */
	party_keys(&forged);
	struct secret *own_bundle = forged.bundle;
	forged.bundle = k.bundle; /* the rest of the secret's keys are public in the honest log */
	forged.id = k.id;
	forged.ed_public = k.ed_public;
	forged.x_public = k.x_public;
	struct entry_maker m = party_maker(&mallory, fake.log);
	struct invite_keys without = forged;
	without.bundle = own_bundle;
	assert_int_equal(entry_make_invite(&m, fake.ring, &params, &without, &blob), 0);
	struct log *one;
	assert_int_equal(log_clone(fake.log, &one), 0);
	party_apply(one, &blob);
	assert_int_equal(invite_open(one, &k, &bundle, &ring), ERR_WRONG_KEY);
	log_free(one);

	/* the honest bundle, copied */
	assert_int_equal(entry_decode(buf_bytes(&blob), &e), 0);
	assert_int_equal(entry_get_invite(e.payload, &p), 0);
	p.bundle = honest_bundle;
	assert_int_equal(entry_put_invite(&payload, &p), 0);
	struct buf copied = BUF_INIT(ENTRY_MAX_BLOB);
	party_sign(fake.log, ENTRY_INVITE, buf_bytes(&payload), identity_sign_secret(mallory.id), &copied);
	party_apply(fake.log, &copied);
	assert_int_equal(invite_open(fake.log, &k, &bundle, &ring), ERR_CONTEXT);

	/* other public keys under the id */
	struct invite_keys other = k;
	other.ed_public = forged.x_public;
	assert_int_equal(invite_open(s.log, &other, &bundle, &ring), ERR_CONTEXT);
	other.id.b[0] ^= 1;
	assert_int_equal(invite_open(s.log, &other, &bundle, &ring), ERR_NOT_FOUND);

	forged.bundle = own_bundle;
	invite_keys_release(&forged);
	invite_keys_release(&k);
	buf_release(&blob);
	buf_release(&copied);
	buf_release(&payload);
	new_space_release(&s);
	new_space_release(&fake);
	party_release(&a);
	party_release(&mallory);
}

static void a_name_that_is_no_text_makes_no_invite(void **state)
{
	struct invite_bundle bundle = { .relay = PARTY_RELAY, .name = "caf\xe9" };
	struct invite_keys k;
	struct buf b = BUF_INIT(INVITE_MAX_BUNDLE);

	(void)state;
	party_keys(&k);
	assert_int_equal(invite_seal_bundle(&k, &bundle, &b), ERR_INVALID);
	memcpy(bundle.name, "caf\xc3\xa9", 6);
	assert_int_equal(invite_seal_bundle(&k, &bundle, &b), 0);
	invite_keys_release(&k);
	buf_release(&b);
}

static void nothing_of_an_invite_can_be_read_in_its_entry(void **state)
{
	struct party a;
	struct new_space s;
	struct invite_keys k;
	struct invite_params params = {
		.role = ROLE_WRITER, .uses = 1, .relay = PARTY_RELAY, .name = "holiday photos"
	};
	struct buf blob = BUF_INIT(ENTRY_MAX_BLOB);

	(void)state;
	party_init(&a, "a");
	party_space(&a, &s);
	party_keys(&k);
	struct entry_maker m = party_maker(&a, s.log);
	assert_int_equal(entry_make_invite(&m, s.ring, &params, &k, &blob), 0);
	assert_null(memmem(blob.data, blob.len, "holiday", 7));
	assert_null(memmem(blob.data, blob.len, "relay.example", 13));
	invite_keys_release(&k);
	buf_release(&blob);
	new_space_release(&s);
	party_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_read_as_people_type_them),
		cmocka_unit_test(code_and_link_are_one_invite),
		cmocka_unit_test(links_are_read_strictly),
		cmocka_unit_test(secrets_differ),
		cmocka_unit_test(a_guess_at_a_code_costs_a_whole_argon2id),
		cmocka_unit_test(a_joiner_finds_space_name_relay_and_keys),
		cmocka_unit_test(another_space_under_the_same_invite_is_refused),
		cmocka_unit_test(a_name_that_is_no_text_makes_no_invite),
		cmocka_unit_test(nothing_of_an_invite_can_be_read_in_its_entry),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
