/* SPDX-License-Identifier: Apache-2.0 */
/* Epoch keys: who opens which, and what a wrong wrap, commitment or back chain gives. */
#include "tests/lib/party.h"

#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/secret.h"

static int start(void **state)
{
	(void)state;
	return crypto_init();
}

static void open_as(const struct party *p, const struct new_space *s, int want)
{
	struct epoch_ring *ring;

	assert_int_equal(epoch_ring_new(&ring), 0);
	assert_int_equal(epoch_ring_open(ring, s->log, identity_device_x(p->id), identity_x_secret(p->id)), want);
	for (uint64_t n = 1; n <= log_epoch_number(s->log) && want == 0; n++)
		assert_true(secret_equal(epoch_ring_get(ring, n), epoch_ring_get(s->ring, n)));
	epoch_ring_free(ring);
}

static void the_newest_key_opens_all_older_ones(void **state)
{
	struct party a, b, m;
	struct new_space s;

	(void)state;
	party_init(&a, "a");
	party_init(&b, "b");
	party_init(&m, "m");
	party_space(&a, &s);
	for (int i = 0; i < 5; i++)
		party_rotate(&a, &s);
	party_join(&a, &b, &s, ROLE_READER);
	open_as(&b, &s, ERR_WRONG_KEY); /* joined after the newest epoch: its key came with the invite */
	party_rotate(&a, &s);
	open_as(&a, &s, 0);
	open_as(&b, &s, 0);
	open_as(&m, &s, ERR_WRONG_KEY);
	new_space_release(&s);
	party_release(&a);
	party_release(&b);
	party_release(&m);
}

static void a_removed_member_opens_no_newer_key(void **state)
{
	struct party a, b;
	struct new_space s;
	struct entry_maker m;
	struct epoch_ring *theirs;
	struct secret *key;
	struct buf cut = BUF_INIT(CUT_MAX), blob = BUF_INIT(ENTRY_MAX_BLOB);

	(void)state;
	party_init(&a, "a");
	party_init(&b, "b");
	party_space(&a, &s);
	party_join(&a, &b, &s, ROLE_WRITER);
	party_rotate(&a, &s);
	assert_int_equal(epoch_ring_new(&theirs), 0);
	assert_int_equal(epoch_ring_open(theirs, s.log, identity_device_x(b.id), identity_x_secret(b.id)), 0);
	m = party_maker(&a, s.log);
	party_cut(&a, s.log, &cut);
	assert_int_equal(entry_make_remove(&m, s.ring, identity_person(b.id), NULL, buf_bytes(&cut), &key, &blob), 0);
	party_apply(s.log, &blob);
	assert_int_equal(epoch_ring_add(s.ring, 3, key), 0);
	open_as(&a, &s, 0);
	assert_int_equal(
		epoch_ring_open(theirs, s.log, identity_device_x(b.id), identity_x_secret(b.id)), ERR_WRONG_KEY);
	assert_null(epoch_ring_get(theirs, 3));
	/* nor by the recovery key */
	assert_int_equal(
		epoch_ring_open(theirs, s.log, person_recovery_x(b.person), person_recovery_x_secret(b.person)),
		ERR_WRONG_KEY);
	epoch_ring_free(theirs);
	secret_free(key);
	buf_release(&cut);
	buf_release(&blob);
	new_space_release(&s);
	party_release(&a);
	party_release(&b);
}

/* An admin (or an admin with the relay) makes an epoch whose wraps do not hold what it commits to. */
static void a_key_that_is_not_the_committed_one_is_refused(void **state)
{
	struct party a;
	struct new_space s;
	struct buf payload = BUF_INIT(ENTRY_MAX_BLOB), blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct secret *one, *two;
	struct entry_epoch p;
	struct id32 *keys;
	struct epoch_ring *ring;
	size_t n;

	(void)state;
	party_init(&a, "a");
	party_space(&a, &s);
	assert_int_equal(secret_random(32, &one), 0);
	assert_int_equal(secret_random(32, &two), 0);
	assert_int_equal(log_recipients(s.log, NULL, NULL, &keys, &n), 0);
	assert_int_equal(epoch_put_payload(&payload, log_space(s.log), 2, one, epoch_ring_get(s.ring, 1), 2,
				 log_head(s.log), keys, n),
		0);
	assert_int_equal(entry_get_epoch(buf_bytes(&payload), &p), 0);
	assert_int_equal(epoch_commitment(two, log_space(s.log), 2, &p.commitment), 0);
	struct buf forged = BUF_INIT(ENTRY_MAX_BLOB);
	assert_int_equal(entry_put_epoch(&forged, &p), 0);
	party_sign(s.log, ENTRY_EPOCH, buf_bytes(&forged), identity_sign_secret(a.id), &blob);
	party_apply(s.log, &blob); /* the log cannot see inside */
	open_as(&a, &s, ERR_COMMITMENT);
	assert_int_equal(epoch_ring_new(&ring), 0);
	assert_int_equal(epoch_ring_add(ring, 2, one), 0);
	assert_int_equal(
		epoch_ring_open(ring, s.log, identity_device_x(a.id), identity_x_secret(a.id)), ERR_COMMITMENT);
	epoch_ring_free(ring);
	free(keys);
	secret_free(one);
	secret_free(two);
	buf_release(&payload);
	buf_release(&forged);
	buf_release(&blob);
	new_space_release(&s);
	party_release(&a);
}

static void a_wrap_is_bound_to_its_place(void **state)
{
	struct party a;
	struct new_space s;
	struct id32 other = { { 1 } };
	struct id16 space = { { 2 } };
	struct secret *key, *out;
	struct wrap w;
	const struct id32 *head;

	(void)state;
	party_init(&a, "a");
	party_space(&a, &s);
	head = log_head(s.log);
	assert_int_equal(secret_random(32, &key), 0);
	assert_int_equal(epoch_wrap(EPOCH_LABEL, log_space(s.log), 2, key, head, identity_device_x(a.id), &w), 0);
	const struct secret *x = identity_x_secret(a.id);
	assert_int_equal(epoch_unwrap(EPOCH_LABEL, log_space(s.log), 2, head, &w, x, &out), 0);
	assert_true(secret_equal(out, key));
	secret_free(out);
	assert_int_equal(epoch_unwrap(INVITE_WRAP_LABEL, log_space(s.log), 2, head, &w, x, &out), ERR_TAMPERED);
	assert_int_equal(epoch_unwrap(EPOCH_LABEL, &space, 2, head, &w, x, &out), ERR_TAMPERED);
	assert_int_equal(epoch_unwrap(EPOCH_LABEL, log_space(s.log), 3, head, &w, x, &out), ERR_TAMPERED);
	assert_int_equal(epoch_unwrap(EPOCH_LABEL, log_space(s.log), 2, &other, &w, x, &out), ERR_TAMPERED);
	for (size_t i = 0; i < sizeof w.ct; i++) {
		w.ct[i] ^= 1;
		assert_int_equal(epoch_unwrap(EPOCH_LABEL, log_space(s.log), 2, head, &w, x, &out), ERR_TAMPERED);
		w.ct[i] ^= 1;
	}
	memset(w.enc.b, 0, sizeof w.enc.b);
	assert_true(epoch_unwrap(EPOCH_LABEL, log_space(s.log), 2, head, &w, x, &out) < 0);
	secret_free(key);
	new_space_release(&s);
	party_release(&a);
}

static void a_ring_keeps_what_it_was_given(void **state)
{
	struct epoch_ring *ring, *back;
	struct secret *one, *two, *zero;
	struct buf b = BUF_INIT_SECRET(256);

	(void)state;
	assert_int_equal(epoch_ring_new(&ring), 0);
	assert_int_equal(secret_random(32, &one), 0);
	assert_int_equal(secret_random(32, &two), 0);
	assert_int_equal(secret_new(32, &zero), 0);
	assert_int_equal(epoch_ring_add(ring, 3, one), 0);
	assert_int_equal(epoch_ring_add(ring, 1, two), 0);
	assert_int_equal(epoch_ring_add(ring, 3, one), 0);
	assert_int_equal(epoch_ring_add(ring, 3, two), ERR_CONFLICT);
	assert_int_equal(epoch_ring_add(ring, 0, two), ERR_INVALID);
	assert_int_equal(epoch_ring_add(ring, 4, zero), ERR_INVALID); /* an all-zero key never is one */
	assert_int_equal(epoch_ring_newest(ring), 3);
	assert_null(epoch_ring_get(ring, 2));
	assert_int_equal(epoch_ring_encode(ring, &b), 0);
	assert_int_equal(epoch_ring_decode(buf_bytes(&b), &back), 0);
	assert_true(secret_equal(epoch_ring_get(back, 1), two));
	assert_true(secret_equal(epoch_ring_get(back, 3), one));
	epoch_ring_free(ring);
	epoch_ring_free(back);
	secret_free(one);
	secret_free(two);
	secret_free(zero);
	buf_release(&b);
}

static void a_stored_ring_fills_its_holes_and_gives_one_hash_key(void **state)
{
	struct party a;
	struct new_space s;
	struct epoch_ring *ring;
	struct secret *one, *two;
	struct buf b = BUF_INIT_SECRET(256);

	(void)state;
	party_init(&a, "a");
	party_space(&a, &s);
	assert_int_equal(epoch_hash_key(s.ring, log_space(s.log), &one), 0);
	for (int i = 0; i < 4; i++)
		party_rotate(&a, &s);
	assert_int_equal(epoch_ring_encode(s.ring, &b), 0);
	assert_int_equal(epoch_ring_decode(buf_bytes(&b), &ring), 0);
	assert_null(epoch_ring_get(ring, 3));
	assert_int_equal(epoch_ring_open(ring, s.log, identity_device_x(a.id), identity_x_secret(a.id)), 0);
	assert_true(secret_equal(epoch_ring_get(ring, 3), epoch_ring_get(s.ring, 3)));
	assert_int_equal(epoch_hash_key(ring, log_space(s.log), &two), 0);
	assert_true(secret_equal(one, two));
	secret_free(one);
	secret_free(two);
	epoch_ring_free(ring);
	buf_release(&b);
	new_space_release(&s);
	party_release(&a);
}

static void a_label_is_for_the_members(void **state)
{
	struct party a, b;
	struct new_space s, other;
	struct buf label = BUF_INIT(128);
	const struct log_device *d;

	(void)state;
	party_init(&a, "Alice laptop");
	party_init(&b, "b");
	party_space(&a, &s);
	party_space(&b, &other);
	d = log_find_device(s.log, identity_device(a.id));
	assert_int_equal(epoch_open_label(s.ring, s.log, d, &label), 0);
	unit_assert_bytes(buf_bytes(&label), bytes_str("Alice laptop"));
	assert_int_equal(epoch_open_label(other.ring, s.log, d, &label), ERR_COMMITMENT);
	assert_int_equal(epoch_open_label(s.ring, other.log, d, &label), ERR_TAMPERED);
	assert_null(memmem(s.blobs[1].data, s.blobs[1].len, "laptop", 6)); /* nothing of it in the entry */
	buf_release(&label);
	new_space_release(&s);
	new_space_release(&other);
	party_release(&a);
	party_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_key_opens_all_older_ones),
		cmocka_unit_test(a_removed_member_opens_no_newer_key),
		cmocka_unit_test(a_key_that_is_not_the_committed_one_is_refused),
		cmocka_unit_test(a_wrap_is_bound_to_its_place),
		cmocka_unit_test(a_ring_keeps_what_it_was_given),
		cmocka_unit_test(a_stored_ring_fills_its_holes_and_gives_one_hash_key),
		cmocka_unit_test(a_label_is_for_the_members),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
