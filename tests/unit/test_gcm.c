/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include "crypto/gcm.h"
#include "crypto/gcm_wide.h"
#include "crypto/hash.h"

enum { MOST = 5000 };

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13, 14 and 16. */
static const struct vector {
	const char *key, *nonce, *aad, *plain, *ct, *tag;
} VECTORS[] = {
	{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
		"530f8afbc74536b9a963b4f1c4cb738b" },
	{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
		"00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
		"d0d1c8a799996bf0265b98b5d48ab919" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
		"feedfacedeadbeeffeedfacedeadbeefabaddad2",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16a"
		"edf5aa0de657ba637b39",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f6"
		"1e6393ba7a0abcc9f662",
		"76fc6ece0f4e1768cddf8853bb2d551b" },
};

static struct bytes from_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(sscanf(hex + 2 * i, "%2hhx", out + i), 1);
	return bytes_of(out, n);
}

static struct gcm *new_gcm(const uint8_t *key, enum gcm_by by)
{
	struct gcm *g;

	assert_int_equal(gcm_new(key, by, &g), 0);
	return g;
}

static void known_answers(void **state)
{
	(void)state;
	for (int by = GCM_BEST; by <= GCM_LIBCRYPTO; by++)
		for (size_t i = 0; i < COUNT(VECTORS); i++) {
			const struct vector *v = &VECTORS[i];
			uint8_t key[32], nonce[12], a[64], p[64], c[64], t[16], out[64], tag[16];
			struct bytes aad = from_hex(v->aad, a), plain = from_hex(v->plain, p), ct = from_hex(v->ct, c);
			from_hex(v->key, key);
			from_hex(v->nonce, nonce);
			from_hex(v->tag, t);
			struct gcm *g = new_gcm(key, (enum gcm_by)by);

			assert_int_equal(gcm_seal(g, nonce, aad, plain, out, tag), 0);
			assert_memory_equal(out, ct.p, ct.len);
			assert_memory_equal(tag, t, sizeof t);
			assert_int_equal(gcm_open(g, nonce, aad, ct, tag, out), 0);
			assert_memory_equal(out, plain.p, plain.len);
			tag[15] ^= 0x80;
			assert_int_equal(gcm_open(g, nonce, aad, ct, tag, out), ERR_TAMPERED);
			gcm_free(g);
		}
	gcm_free(NULL);
}

/* Every length to 1100, some up to two pages: what one of them sealed in place, the other opens. */
static void both_make_the_same_bytes(void **state)
{
	static uint8_t plain[MOST], one[MOST], two[MOST];
	uint8_t key[32], nonce[12], aad[40], tag1[16], tag2[16];
	uint64_t seed = 5;

	(void)state;
	for (size_t i = 0; i < MOST; i++)
		plain[i] = (uint8_t)unit_random(&seed);
	memcpy(key, plain + 17, sizeof key);
	struct gcm *best = new_gcm(key, GCM_BEST), *plainest = new_gcm(key, GCM_LIBCRYPTO);
	for (size_t n = 0; n <= MOST; n += n < 1100 ? 1 : 37) {
		struct bytes extra = bytes_of(aad, n % sizeof aad);
		for (size_t i = 0; i < sizeof nonce; i++)
			nonce[i] = (uint8_t)unit_random(&seed);
		for (size_t i = 0; i < sizeof aad; i++)
			aad[i] = (uint8_t)unit_random(&seed);
		memcpy(one, plain, n);
		assert_int_equal(gcm_seal(best, nonce, extra, bytes_of(one, n), one, tag1), 0);
		assert_int_equal(gcm_seal(plainest, nonce, extra, bytes_of(plain, n), two, tag2), 0);
		assert_memory_equal(one, two, n);
		assert_memory_equal(tag1, tag2, sizeof tag1);
		assert_int_equal(gcm_open(best, nonce, extra, bytes_of(one, n), tag2, one), 0);
		assert_memory_equal(one, plain, n);
		if (n > 0)
			two[n - 1] ^= 1;
		else
			tag2[0] ^= 1;
		assert_int_equal(gcm_open(best, nonce, extra, bytes_of(two, n), tag2, one), ERR_TAMPERED);
	}
	gcm_free(best);
	gcm_free(plainest);
}

static void refuse_change(struct gcm *g, uint8_t *at, struct bytes aad, struct bytes ct, const uint8_t *tag)
{
	static const uint8_t nonce[GCM_NONCE_SIZE] = { 9 };
	uint8_t out[300];

	*at ^= 0x10;
	assert_int_equal(gcm_open(g, nonce, aad, ct, tag, out), ERR_TAMPERED);
	*at ^= 0x10;
	assert_int_equal(gcm_open(g, nonce, aad, ct, tag, out), 0);
}

static void both_refuse_every_change(void **state)
{
	static const uint8_t key[GCM_KEY_SIZE] = { 3 }, nonce[GCM_NONCE_SIZE] = { 9 };
	uint8_t aad[40] = { 1 }, ct[300] = { 2 }, tag[GCM_TAG_SIZE];
	struct bytes extra = bytes_of(aad, sizeof aad), sealed = bytes_of(ct, sizeof ct);

	(void)state;
	for (int by = GCM_BEST; by <= GCM_LIBCRYPTO; by++) {
		struct gcm *g = new_gcm(key, (enum gcm_by)by);
		assert_int_equal(gcm_seal(g, nonce, extra, sealed, ct, tag), 0);
		for (size_t i = 0; i < sizeof aad; i++)
			refuse_change(g, aad + i, extra, sealed, tag);
		for (size_t i = 0; i < sizeof ct; i++)
			refuse_change(g, ct + i, extra, sealed, tag);
		for (size_t i = 0; i < sizeof tag; i++)
			refuse_change(g, tag + i, extra, sealed, tag);
		gcm_free(g);
	}
}

static void wide_or_nothing(void **state)
{
	static const uint8_t key[32] = { 7 };
	struct gcm_wide *g = NULL;

	(void)state;
	int err = gcm_wide_new(key, &g); /* whichever this machine has */
	assert_true((err == 0 && g) || (err == ERR_UNSUPPORTED && !g));
	gcm_wide_free(g);
	gcm_wide_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(both_make_the_same_bytes),
		cmocka_unit_test(both_refuse_every_change),
		cmocka_unit_test(wide_or_nothing),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
