/* SPDX-License-Identifier: Apache-2.0 */
/* Persons and devices: words, the first space, key file payload, recovery, pairing. */
#include "tests/lib/heap.h"
#include "tests/lib/mutate.h"
#include "tests/lib/party.h"

#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/words.h"

static void words_give_the_same_person(void **state)
{
	struct secret *words;
	struct person *a, *b;
	unsigned bad;

	(void)state;
	assert_int_equal(person_new(&a, &words), 0);
	assert_int_equal(person_from_words((const char *)secret_bytes(words).p,
				 strlen((const char *)secret_bytes(words).p), &b, &bad),
		0);
	assert_true(id32_equal(person_root(a), person_root(b)));
	assert_true(id32_equal(person_recovery_x(a), person_recovery_x(b)));
	unit_assert_bytes(person_genesis(a), person_genesis(b));
	unit_assert_bytes(person_card(a), person_card(b));
	assert_true(id16_equal(person_space(a), person_space(b)));
	assert_int_equal(person_space(a)->b[6] >> 4, 8); /* UUID version 8 */
	secret_free(words);
	person_free(a);
	person_free(b);
}

/* The root as hashlib.blake2b and openssl derive it; the space pins all of the genesis. */
static void words_of_a_fixed_phrase_keep_their_space(void **state)
{
	static const char phrase[] =
		"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
		"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";
	char space[ID16_TEXT_SIZE], root[ID32_TEXT_SIZE];
	struct person *p;
	unsigned bad;

	(void)state;
	assert_int_equal(person_from_words(phrase, strlen(phrase), &p, &bad), 0);
	id16_format(person_space(p), space);
	id32_format(person_root(p), root);
	assert_string_equal(root, "e94c945cf02362fd60114f0381944c4aa3a3d3d0ef78b04baffed1195fd1d232");
	assert_string_equal(space, "0d488b96-00c9-89b3-872a-ff613468d7a8");
	person_free(p);
}

static void a_first_space_names_person_and_device(void **state)
{
	struct party p;
	struct buf label = BUF_INIT(128);
	const struct log_device *d;

	(void)state;
	party_init(&p, "Alice laptop");
	assert_int_equal(log_count(p.own.log), 3);
	assert_int_equal(log_kind(p.own.log), SPACE_PERSONAL);
	assert_true(id16_equal(log_space(p.own.log), person_space(p.person)));
	assert_true(id32_equal(identity_person(p.id), person_root(p.person)));
	assert_true(log_is_admin(p.own.log, identity_device(p.id)));
	d = log_find_device(p.own.log, identity_device(p.id));
	assert_non_null(d);
	assert_int_equal(epoch_open_label(p.own.ring, p.own.log, d, &label), 0);
	unit_assert_bytes(buf_bytes(&label), bytes_str("Alice laptop"));
	buf_release(&label);
	party_release(&p);
}

static void a_key_file_payload_gives_the_identity_back(void **state)
{
	struct buf b = BUF_INIT_SECRET(16384), again = BUF_INIT_SECRET(16384);
	struct identity *id;
	struct party p;

	(void)state;
	party_init(&p, "laptop");
	assert_int_equal(identity_encode(p.id, &b), 0);
	assert_int_equal(identity_decode(buf_bytes(&b), &id), 0);
	assert_int_equal(identity_encode(id, &again), 0);
	unit_assert_bytes(buf_bytes(&again), buf_bytes(&b));
	assert_true(id32_equal(identity_device(id), identity_device(p.id)));
	assert_true(id32_equal(identity_device_x(id), identity_device_x(p.id)));
	assert_true(secret_equal(identity_store_key(id), identity_store_key(p.id)));
	assert_true(secret_equal(epoch_ring_get(identity_personal_ring(id), 1), epoch_ring_get(p.own.ring, 1)));
	unit_assert_bytes(identity_label(id), bytes_str("laptop"));
	identity_free(id);
	party_release(&p);
	buf_release(&b);
	buf_release(&again);
}

static int open_identity(struct bytes changed, size_t at, void *arg)
{
	struct identity *id = NULL;
	int err = identity_decode(changed, &id);

	(void)at;
	(void)arg;
	identity_free(id);
	return err;
}

static void a_truncated_payload_is_refused(void **state)
{
	struct buf b = BUF_INIT_SECRET(16384);
	struct party p;

	(void)state;
	party_init(&p, "laptop");
	assert_int_equal(identity_encode(p.id, &b), 0);
	mutate_lengths(buf_bytes(&b), open_identity, NULL);
	party_release(&p);
	buf_release(&b);
}

static void parts_of_two_people_make_no_identity(void **state)
{
	struct identity_parts parts;
	struct identity *id;
	struct party a, b;

	(void)state;
	party_init(&a, "a");
	party_init(&b, "b");
	parts = (struct identity_parts){ .ed = identity_sign_secret(a.id),
		.x = identity_x_secret(a.id),
		.card = identity_card(a.id),
		.chain = identity_chain(b.id) };
	assert_int_equal(identity_new(&parts, &id), ERR_CONTEXT);
	parts.chain = identity_chain(a.id);
	parts.x = identity_x_secret(b.id);
	assert_int_equal(identity_new(&parts, &id), ERR_INVALID);
	parts.x = identity_x_secret(a.id);
	assert_int_equal(identity_new(&parts, &id), 0);
	identity_free(id);
	party_release(&a);
	party_release(&b);
}

static void recovery_needs_the_words_alone(void **state)
{
	struct buf blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct epoch_ring *ring;
	struct identity *id;
	struct party a, other;

	(void)state;
	party_init(&a, "lost");
	party_init(&other, "other");
	party_rotate(&a, &a.own);
	assert_int_equal(
		identity_recover(other.person, a.own.log, bytes_str("new"), PARTY_NOW, &id, &ring, &blob), ERR_CONTEXT);
	assert_int_equal(identity_recover(a.person, a.own.log, bytes_str("new"), PARTY_NOW, &id, &ring, &blob), 0);
	party_apply(a.own.log, &blob);
	assert_true(log_is_admin(a.own.log, identity_device(id)));
	assert_true(secret_equal(epoch_ring_get(ring, 1), epoch_ring_get(a.own.ring, 1)));
	assert_true(secret_equal(epoch_ring_get(ring, 2), epoch_ring_get(a.own.ring, 2)));
	identity_free(id);
	epoch_ring_free(ring);
	buf_release(&blob);
	party_release(&a);
	party_release(&other);
}

static void a_paired_device_acts_for_the_person_and_pairs_again(void **state)
{
	struct party a, phone, watch;
	struct epoch_ring *ring;
	struct buf blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct new_space s;
	struct entry_maker m;

	(void)state;
	party_init(&a, "laptop");
	party_space(&a, &s);
	party_pair(&a, "phone", &phone);
	assert_true(id32_equal(identity_person(phone.id), identity_person(a.id)));
	assert_int_equal(log_role(a.own.log, identity_device(phone.id)), ROLE_ADMIN);

	/* into a shared space by its own signature */
	m = party_maker(&phone, s.log);
	assert_int_equal(entry_make_device(&m, s.ring, &blob), 0);
	party_apply(s.log, &blob);
	assert_true(log_may_write(s.log, identity_device(phone.id)));

	/* what the phone holds opens the personal space, also after a rotation */
	party_rotate(&a, &a.own);
	assert_int_equal(epoch_ring_clone(identity_personal_ring(phone.id), &ring), 0);
	assert_int_equal(epoch_ring_open(ring, a.own.log, identity_device_x(phone.id), identity_x_secret(phone.id)), 0);
	assert_true(secret_equal(epoch_ring_get(ring, 2), epoch_ring_get(a.own.ring, 2)));

	/* the phone pairs a watch: a chain of three */
	phone.own = a.own;
	party_pair(&phone, "watch", &watch);
	phone.own = (struct new_space){ .log = NULL };
	assert_true(log_may_write(a.own.log, identity_device(watch.id)));

	epoch_ring_free(ring);
	buf_release(&blob);
	new_space_release(&s);
	party_release(&watch);
	party_release(&phone);
	party_release(&a);
}

static void making_a_person_survives_every_failed_allocation(void **state)
{
	(void)state;
	for (unsigned long n = 1;; n++) {
		struct identity *id = NULL;
		struct new_space s;
		struct secret *words = NULL;
		struct person *p = NULL;
		int err;

		heap_fail_at(n);
		err = person_new(&p, &words);
		if (err == 0) {
			err = space_make_personal(p, bytes_str("x"), PARTY_NOW, &id, &s);
			if (err == 0)
				new_space_release(&s);
		}
		bool failed = heap_failed();
		heap_fail_at(0);
		identity_free(id);
		person_free(p);
		secret_free(words);
		if (!failed)
			break;
		assert_int_equal(err, ERR_NOMEM);
	}
}

static int start(void **state)
{
	(void)state;
	return crypto_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_give_the_same_person),
		cmocka_unit_test(words_of_a_fixed_phrase_keep_their_space),
		cmocka_unit_test(a_first_space_names_person_and_device),
		cmocka_unit_test(a_key_file_payload_gives_the_identity_back),
		cmocka_unit_test(a_truncated_payload_is_refused),
		cmocka_unit_test(parts_of_two_people_make_no_identity),
		cmocka_unit_test(recovery_needs_the_words_alone),
		cmocka_unit_test(a_paired_device_acts_for_the_person_and_pairs_again),
		cmocka_unit_test(making_a_person_survives_every_failed_allocation),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
