/* SPDX-License-Identifier: Apache-2.0 */
/* Wycheproof's cases through the functions that the project calls, and libsodium where a function of it is used as it is. */
#include "tests/lib/unit.h"
#include "tests/lib/vectors.h"

#include <sodium.h>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/verify.h"

static void check_ed25519(const struct vector *v, void *arg)
{
	struct bytes sig = vector_get(v, "sig");
	struct id32 pk;
	int err;

	(void)arg;
	vector_copy(v, "pk", pk.b, sizeof pk.b);
	if (sig.len != SIGNATURE_SIZE) {
		assert_true(vector_is(v, "result", "invalid")); /* the formats fix the length */
		return;
	}
	err = verify_detached("", vector_get(v, "msg"), sig.p, &pk);
	assert_int_equal(err, vector_is(v, "result", "valid") ? 0 : ERR_SIGNATURE);
}

static void ed25519(void **state)
{
	(void)state;
	assert_int_equal(vectors_each("ed25519.txt", check_ed25519, NULL), 151);
}

static void check_x25519(const struct vector *v, void *arg)
{
	uint8_t shared[32], sk[32], pk[32];
	struct bytes want = vector_get(v, "shared");
	unsigned *zeros = arg;
	int result;

	vector_copy(v, "sk", sk, sizeof sk);
	vector_copy(v, "pk", pk, sizeof pk);
	result = crypto_scalarmult_curve25519(shared, sk, pk);
	if (sodium_is_zero(want.p, want.len)) {
		assert_int_equal(result, -1);
		++*zeros;
		return;
	}
	assert_int_equal(result, 0);
	unit_assert_bytes(bytes_of(shared, sizeof shared), want);
}

static void x25519_refuses_shared_zero(void **state)
{
	unsigned zeros = 0;

	(void)state;
	assert_int_equal(vectors_each("x25519.txt", check_x25519, &zeros), 518);
	assert_int_equal(zeros, 31);
}

static void check_xchacha20(const struct vector *v, void *arg)
{
	struct bytes msg = vector_get(v, "msg"), ct = vector_get(v, "ct"), aad = vector_get(v, "aad");
	uint8_t out[1024], tag[16], key[32], iv[24];
	int result;

	(void)arg;
	assert_true(msg.len <= sizeof out);
	vector_copy(v, "key", key, sizeof key);
	vector_copy(v, "iv", iv, sizeof iv);
	result = crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
		out, NULL, ct.p, ct.len, vector_get(v, "tag").p, aad.p, aad.len, iv, key);
	if (!vector_is(v, "result", "valid")) {
		assert_int_equal(result, -1);
		return;
	}
	assert_int_equal(result, 0);
	unit_assert_bytes(bytes_of(out, msg.len), msg);
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
		out, tag, NULL, msg.p, msg.len, aad.p, aad.len, NULL, iv, key);
	unit_assert_bytes(bytes_of(out, ct.len), ct);
	unit_assert_bytes(bytes_of(tag, sizeof tag), vector_get(v, "tag"));
}

static void xchacha20_poly1305(void **state)
{
	(void)state;
	assert_int_equal(vectors_each("xchacha20.txt", check_xchacha20, NULL), 306);
}

static void check_aes256gcm(const struct vector *v, void *arg)
{
	struct bytes msg = vector_get(v, "msg"), ct = vector_get(v, "ct"), aad = vector_get(v, "aad");
	uint8_t out[1024], tag[16], key[32], iv[12];
	struct aead_nonce nonce = { 0, 0 };
	struct aead *a;
	int err;

	(void)arg;
	assert_true(msg.len <= sizeof out);
	vector_copy(v, "key", key, sizeof key);
	vector_copy(v, "iv", iv, sizeof iv);
	for (unsigned i = 0; i < 4; i++)
		nonce.stream = nonce.stream << 8 | iv[i];
	for (unsigned i = 4; i < 12; i++)
		nonce.counter = nonce.counter << 8 | iv[i];
	assert_int_equal(aead_new(AEAD_AES256GCM, key, &a), 0);
	err = aead_open(a, nonce, aad, ct, vector_get(v, "tag").p, out);
	if (!vector_is(v, "result", "valid")) {
		assert_int_equal(err, ERR_TAMPERED);
		aead_free(a);
		return;
	}
	assert_int_equal(err, 0);
	unit_assert_bytes(bytes_of(out, msg.len), msg);
	assert_int_equal(aead_seal(a, nonce, aad, msg, out, tag), 0);
	unit_assert_bytes(bytes_of(out, ct.len), ct);
	unit_assert_bytes(bytes_of(tag, sizeof tag), vector_get(v, "tag"));
	aead_free(a);
}

static void aes256_gcm(void **state)
{
	(void)state;
	assert_int_equal(vectors_each("aes256gcm.txt", check_aes256gcm, NULL), 66);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ed25519),
		cmocka_unit_test(x25519_refuses_shared_zero),
		cmocka_unit_test(xchacha20_poly1305),
		cmocka_unit_test(aes256_gcm),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
