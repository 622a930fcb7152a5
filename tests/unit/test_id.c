/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"
#include "tests/lib/unit.h"

static void uuid_text_is_lower_case_with_hyphens(void **state)
{
	(void)state;
	static const struct id16 id = { { 0xda, 0x29, 0xe7, 0x93, 0x3f, 0x05, 0x51, 0xc3, 0x9f, 0x72, 0x63, 0xcc, 0x95,
		0x3f, 0x9c, 0x05 } };
	char text[ID16_TEXT_SIZE];
	id16_format(&id, text);
	assert_string_equal(text, "da29e793-3f05-51c3-9f72-63cc953f9c05");
	struct id16 back;
	assert_int_equal(id16_parse(text, 36, &back), OK);
	assert_true(id16_equal(&id, &back));
	assert_int_equal(id16_parse("DA29E793-3F05-51C3-9F72-63CC953F9C05", 36, &back), OK);
	assert_true(id16_equal(&id, &back));
}

static void other_texts_are_no_uuid(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"da29e793",
		"da29e793-3f05-51c3-9f72-63cc953f9c0",
		"da29e793-3f05-51c3-9f72-63cc953f9c055",
		"da29e7933-f05-51c3-9f72-63cc953f9c05",
		"da29e793-3f05-51c3-9f72-63cc953f9c0g",
		"da29e793-3f05-51c3-9f72+63cc953f9c05",
		"{a29e793-3f05-51c3-9f72-63cc953f9c0}",
		" a29e793-3f05-51c3-9f72-63cc953f9c05",
		"da29e7933f0551c39f7263cc953f9c05",
	};
	struct id16 id = { { 7 } };
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(id16_parse(bad[i], strlen(bad[i]), &id), ERR_INVALID);
	assert_int_equal(id.b[0], 7);
}

static void hex_goes_there_and_back(void **state)
{
	(void)state;
	struct id32 id, back;
	char text[ID32_TEXT_SIZE];
	for (size_t i = 0; i < sizeof id.b; i++)
		id.b[i] = (uint8_t)(i * 37 + 200);
	id32_format(&id, text);
	assert_int_equal(strlen(text), 64);
	assert_int_equal(id32_parse(text, 64, &back), OK);
	assert_true(id32_equal(&id, &back));
	assert_int_equal(id32_parse(text, 63, &back), ERR_INVALID);
	text[63] = 'x';
	assert_int_equal(id32_parse(text, 64, &back), ERR_INVALID);
}

static void uuid_of_a_hash_has_version_8(void **state)
{
	(void)state;
	struct id32 hash;
	struct id16 id;
	char text[ID16_TEXT_SIZE];
	memset(hash.b, 0xff, sizeof hash.b);
	id16_from_hash(&hash, &id);
	id16_format(&id, text);
	assert_string_equal(text, "ffffffff-ffff-8fff-bfff-ffffffffffff");
	memset(hash.b, 0, sizeof hash.b);
	id16_from_hash(&hash, &id);
	id16_format(&id, text);
	assert_string_equal(text, "00000000-0000-8000-8000-000000000000");
}

/* The first is RFC 8032 test 1's public key; the second did:key stands in the did:key specification. */
static void did_key_matches_known_answers(void **state)
{
	(void)state;
	static const struct {
		const char *hex, *did;
	} known[] = {
		{ "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
			"did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw" },
		{ "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6",
			"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK" },
	};
	for (size_t i = 0; i < COUNT(known); i++) {
		struct id32 key, back;
		char did[DID_KEY_TEXT_SIZE];
		assert_int_equal(id32_parse(known[i].hex, 64, &key), OK);
		id32_format_did(&key, did);
		assert_string_equal(did, known[i].did);
		assert_int_equal(id32_parse_did(did, strlen(did), &back), OK);
		assert_true(id32_equal(&key, &back));
	}
}

static void did_key_of_any_key_goes_there_and_back(void **state)
{
	(void)state;
	uint64_t seed = 1;
	for (int round = 0; round < 2000; round++) {
		struct id32 key, back;
		char did[DID_KEY_TEXT_SIZE];
		for (size_t i = 0; i < sizeof key.b; i++)
			key.b[i] = round == 0 ? 0 : round == 1 ? 0xff : (uint8_t)unit_random(&seed);
		id32_format_did(&key, did);
		assert_int_equal(strlen(did), 56);
		assert_int_equal(id32_parse_did(did, 56, &back), OK);
		assert_true(id32_equal(&key, &back));
	}
}

static void other_texts_are_no_did_key(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "did:key:z", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2do",
		"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doKK",
		"did:web:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
		"did:key:y6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
		"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2do0",
		"did:key:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", /* over 272 bits */
		"did:key:z11111111111111111111111111111111111111111111111",
		"did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc", /* X25519 */
	};
	struct id32 key;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(id32_parse_did(bad[i], strlen(bad[i]), &key), ERR_INVALID);
}

static void zero_and_order(void **state)
{
	(void)state;
	static const struct id16 zero16, one16 = { { [15] = 1 } };
	static const struct id32 zero32, one32 = { { [31] = 1 } };
	assert_true(id16_is_zero(&zero16) && id32_is_zero(&zero32));
	assert_false(id16_is_zero(&one16) || id32_is_zero(&one32));
	assert_true(id16_compare(&zero16, &one16) < 0 && id32_compare(&one32, &zero32) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuid_text_is_lower_case_with_hyphens),
		cmocka_unit_test(other_texts_are_no_uuid),
		cmocka_unit_test(hex_goes_there_and_back),
		cmocka_unit_test(uuid_of_a_hash_has_version_8),
		cmocka_unit_test(did_key_matches_known_answers),
		cmocka_unit_test(did_key_of_any_key_goes_there_and_back),
		cmocka_unit_test(other_texts_are_no_did_key),
		cmocka_unit_test(zero_and_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
