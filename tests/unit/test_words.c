/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"

#include "crypto/hash.h"
#include "crypto/words.h"

static void list_is_bip39(void **state)
{
	struct buf b = BUF_INIT(64 * 1024);
	struct id32 hash;

	(void)state;
	for (unsigned i = 0; i < WORDS_LIST; i++) {
		assert_int_equal(buf_printf(&b, "%s\n", words_list[i]), 0);
		if (i > 0)
			assert_true(strcmp(words_list[i - 1], words_list[i]) < 0);
	}
	hash_sha256(buf_bytes(&b), &hash);
	unit_assert_hex(bytes_of(hash.b, 32), "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda");
	buf_release(&b);
}

/* From the vectors of BIP-0039's reference implementation, trezor/python-mnemonic vectors.json (MIT). */
static const struct {
	const char *hex, *words;
} known[] = {
	{ "0000000000000000000000000000000000000000000000000000000000000000",
		"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
		"abandon "
		"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art" },
	{ "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
		"legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful "
		"legal "
		"winner thank year wave sausage worth title" },
	{ "8080808080808080808080808080808080808080808080808080808080808080",
		"letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor "
		"acoustic "
		"avoid letter advice cage absurd amount doctor acoustic bless" },
	{ "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote" },
};

static void known_phrases(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		struct secret *key;
		char text[WORDS_TEXT_SIZE];

		assert_int_equal(words_parse(known[i].words, strlen(known[i].words), &key, NULL), 0);
		unit_assert_hex(secret_bytes(key), known[i].hex);
		words_format(secret_key(key), text);
		assert_string_equal(text, known[i].words);
		secret_free(key);
	}
}

static void tolerates_case_spacing_and_numbers(void **state)
{
	static const char text[] =
		"  1. LEGAL  2. Winner\n3. thank 4. year,wave\tsausage worth useful\r\nlegal winner thank year "
		"wave sausage worth useful legal winner thank year wave sausage worth TITLE \n";
	struct secret *key;

	(void)state;
	assert_int_equal(words_parse(text, strlen(text), &key, NULL), 0);
	unit_assert_hex(secret_bytes(key), known[1].hex);
	secret_free(key);
}

static int parse(const char *text, unsigned *ret_bad)
{
	struct secret *key = NULL;
	int err = words_parse(text, strlen(text), &key, ret_bad);

	secret_free(key);
	return err;
}

static void names_what_is_wrong(void **state)
{
	char text[WORDS_TEXT_SIZE];
	unsigned bad;

	(void)state;
	assert_int_equal(parse("", &bad), ERR_INVALID);
	assert_int_equal(bad, 0);
	assert_int_equal(parse("zoo zoo", &bad), ERR_INVALID);
	assert_int_equal(bad, 2);
	assert_int_equal(parse("zoo zo0", &bad), ERR_NOT_FOUND);
	assert_int_equal(bad, 2);
	assert_int_equal(parse("zoo zoo abandonabandonabandon zoo", &bad), ERR_NOT_FOUND);
	assert_int_equal(bad, 3);
	assert_int_equal(parse("zoo \xc3\xa9t\xc3\xa9", &bad), ERR_NOT_FOUND);
	assert_int_equal(bad, 2);
	(void)snprintf(text, sizeof text, "%s", known[3].words);
	memcpy(text + strlen(text) - 4, "zone", 4); /* another last word: the check sum */
	assert_int_equal(parse(text, &bad), ERR_TAMPERED);
	assert_int_equal(bad, 0);
	(void)snprintf(text, sizeof text, "%s zoo", known[3].words);
	assert_int_equal(parse(text, &bad), ERR_INVALID);
	assert_int_equal(bad, 25);
}

static void random_keys_come_back(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct secret *key, *back;
		char text[WORDS_TEXT_SIZE];

		assert_int_equal(secret_random(KEY_SIZE, &key), 0);
		words_format(secret_key(key), text);
		assert_int_equal(words_parse(text, strlen(text), &back, NULL), 0);
		assert_true(secret_equal(key, back));
		secret_free(key);
		secret_free(back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_is_bip39),
		cmocka_unit_test(known_phrases),
		cmocka_unit_test(tolerates_case_spacing_and_numbers),
		cmocka_unit_test(names_what_is_wrong),
		cmocka_unit_test(random_keys_come_back),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
