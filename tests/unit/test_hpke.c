/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "tests/lib/mutate.h"
#include "tests/lib/vectors.h"

#include "crypto/hash.h"
#include "crypto/hpke.h"
#include "crypto/hpke_schedule.h"

static void check_derived(struct bytes material, struct bytes sk, struct bytes pk)
{
	struct secret *key;
	struct id32 public;

	if (pk.len == 0)
		return;
	assert_int_equal(hpke_keypair_derive(material, &key, &public), 0);
	unit_assert_bytes(secret_bytes(key), sk);
	unit_assert_bytes(bytes_of(public.b, 32), pk);
	secret_free(key);
}

static void check_rfc(const struct vector *v, void *arg)
{
	struct bytes ct = vector_get(v, "ct"), pt = vector_get(v, "pt"), info = vector_get(v, "info");
	struct bytes aad = vector_get(v, "aad");
	uint8_t ske[32], enc[32], out[256];
	struct hpke_keys keys;
	struct secret *key, *plain;
	struct id32 pkr;

	(void)arg;
	check_derived(vector_get(v, "ikme"), vector_get(v, "ske"), vector_get(v, "enc"));
	check_derived(vector_get(v, "ikmr"), vector_get(v, "skr"), vector_get(v, "pkr"));
	vector_copy(v, "ske", ske, sizeof ske);
	vector_copy(v, "pkr", pkr.b, sizeof pkr.b);
	assert_int_equal(hpke_seal_with(ske, &pkr, info, aad, pt, enc, out), 0);
	unit_assert_bytes(bytes_of(enc, 32), vector_get(v, "enc"));
	unit_assert_bytes(bytes_of(out, ct.len), ct);
	assert_int_equal(hpke_schedule(ske, pkr.b, enc, pkr.b, info, &keys), 0);
	unit_assert_bytes(bytes_of(keys.key, 32), vector_get(v, "key"));
	unit_assert_bytes(bytes_of(keys.nonce, 12), vector_get(v, "nonce"));
	assert_int_equal(secret_from(vector_get(v, "skr"), &key), 0);
	assert_int_equal(hpke_open(key, enc, info, aad, ct, &plain), 0);
	unit_assert_bytes(secret_bytes(plain), pt);
	secret_free(plain);
	secret_free(key);
}

static void rfc9180_base_vectors(void **state)
{
	(void)state;
	assert_int_equal(vectors_each("hpke.txt", check_rfc, NULL), 1);
}

struct wrap {
	struct secret *key;
	uint8_t enc[32];
	const char *info, *aad;
};

/* `changed` is enc ‖ ciphertext. */
static int open_wrap(struct bytes changed, size_t at, void *arg)
{
	const struct wrap *w = arg;
	struct secret *plain;
	int err;

	(void)at;
	if (changed.len < 32)
		return ERR_TRUNCATED;
	err = hpke_open(w->key, changed.p, bytes_str(w->info), bytes_str(w->aad),
		bytes_of(changed.p + 32, changed.len - 32), &plain);
	if (err == 0)
		secret_free(plain);
	else
		assert_true(err == ERR_TAMPERED || err == ERR_TRUNCATED || err == ERR_INVALID);
	return err;
}

static void refuses_every_change(void **state)
{
	struct buf b = BUF_INIT(1024);
	struct wrap w = { .info = "info", .aad = "aad" };
	struct secret *other;
	struct id32 public, other_public;
	uint8_t enc[32];

	(void)state;
	assert_int_equal(hpke_keypair_new(&w.key, &public), 0);
	assert_int_equal(buf_put(&b, enc, 32), 0);
	assert_int_equal(
		hpke_seal(&public, bytes_str("info"), bytes_str("aad"), bytes_str("an epoch key"), enc, &b), 0);
	memcpy(b.data, enc, 32);
	assert_int_equal(b.len, 32 + 12 + HPKE_TAG_SIZE);
	assert_int_equal(open_wrap(buf_bytes(&b), 0, &w), 0);
	mutate_flips(buf_bytes(&b), open_wrap, &w); /* X25519 ignores the highest bit of enc; the schedule hashes it */
	mutate_lengths(buf_bytes(&b), open_wrap, &w);
	w.info = "infp";
	assert_int_equal(open_wrap(buf_bytes(&b), 0, &w), ERR_TAMPERED);
	w.info = "info";
	w.aad = "aae";
	assert_int_equal(open_wrap(buf_bytes(&b), 0, &w), ERR_TAMPERED);
	w.aad = "aad";
	other = w.key;
	assert_int_equal(hpke_keypair_new(&w.key, &other_public), 0);
	assert_int_equal(open_wrap(buf_bytes(&b), 0, &w), ERR_TAMPERED);
	secret_free(w.key);
	secret_free(other);
	buf_release(&b);
}

static void refuses_small_order_keys(void **state)
{
	struct buf b = BUF_INIT(1024);
	struct id32 zero = { { 0 } }, public;
	struct secret *key, *plain;
	uint8_t enc[32], ct[32] = { 0 };

	(void)state;
	assert_int_equal(hpke_seal(&zero, bytes_str(""), bytes_str(""), bytes_str("x"), enc, &b), ERR_INVALID);
	assert_int_equal(b.len, 0);
	assert_int_equal(hpke_keypair_new(&key, &public), 0);
	assert_int_equal(
		hpke_open(key, zero.b, bytes_str(""), bytes_str(""), bytes_of(ct, sizeof ct), &plain), ERR_INVALID);
	secret_free(key);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc9180_base_vectors),
		cmocka_unit_test(refuses_every_change),
		cmocka_unit_test(refuses_small_order_keys),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
