/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/words.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/hash.h"

#define WORD_BITS 11
#define WORD_LETTERS 8

/* The 33 bytes that 24 words of 11 bits stand for: the key and the first byte of its hash. */
static void with_checksum(const uint8_t key[KEY_SIZE], uint8_t out[KEY_SIZE + 1])
{
	struct id32 hash;

	memcpy(out, key, KEY_SIZE);
	hash_sha256(bytes_of(key, KEY_SIZE), &hash);
	out[KEY_SIZE] = hash.b[0];
	secret_wipe(&hash, sizeof hash);
}

static unsigned get_bits(const uint8_t *p, unsigned at)
{
	unsigned v = 0;

	for (unsigned i = 0; i < WORD_BITS; i++, at++)
		v = v << 1 | ((unsigned)p[at / 8] >> (7 - at % 8) & 1u);
	return v;
}

static void put_bits(uint8_t *p, unsigned at, unsigned v)
{
	for (unsigned i = 0; i < WORD_BITS; i++, at++)
		if (v >> (WORD_BITS - 1 - i) & 1u)
			p[at / 8] |= (uint8_t)(0x80u >> at % 8);
}

void words_format(const uint8_t key[KEY_SIZE], char out[WORDS_TEXT_SIZE])
{
	uint8_t raw[KEY_SIZE + 1];
	size_t n = 0;

	with_checksum(key, raw);
	for (unsigned i = 0; i < WORDS_COUNT; i++) {
		const char *word = words_list[get_bits(raw, i * WORD_BITS)];
		size_t len = strlen(word);

		if (i > 0)
			out[n++] = ' ';
		memcpy(out + n, word, len);
		n += len;
	}
	out[n] = '\0';
	secret_wipe(raw, sizeof raw);
}

static int is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What may stand between words: blanks, commas, and what numbers a list. */
static int is_gap(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == ',' || c == '.' || c == ')' || (c >= '0' && c <= '9');
}

/* Reads the next run of what is not a gap, lower-cased; *ret_len 0 at the end. A run that is no word of the list's length
 * or letters comes out as "", which is in no list. Returns where to go on. */
static size_t next_word(const char *text, size_t len, size_t at, char word[WORD_LETTERS + 1], size_t *ret_len)
{
	size_t n = 0;
	int fits = 1;

	while (at < len && is_gap(text[at]))
		at++;
	memset(word, 0, WORD_LETTERS + 1);
	for (; at < len && !is_gap(text[at]); at++, n++) {
		if (n >= WORD_LETTERS || !is_letter(text[at]))
			fits = 0;
		else
			word[n] = (char)(text[at] | 0x20);
	}
	if (!fits)
		memset(word, 0, WORD_LETTERS + 1);
	*ret_len = n;
	return at;
}

static int compare_word(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int words_read(const char *text, size_t len, uint8_t raw[KEY_SIZE + 1], unsigned *ret_bad)
{
	char word[WORD_LETTERS + 1];
	unsigned count = 0;
	size_t at = 0, n;
	int err = 0;

	for (;;) {
		const char(*hit)[9];

		at = next_word(text, len, at, word, &n);
		if (n == 0)
			break;
		hit = bsearch(word, words_list, WORDS_LIST, sizeof words_list[0], compare_word);
		if (!hit) {
			*ret_bad = count + 1;
			err = ERR_NOT_FOUND;
			break;
		}
		if (count < WORDS_COUNT)
			put_bits(raw, count * WORD_BITS, (unsigned)(hit - words_list));
		count++;
	}
	secret_wipe(word, sizeof word);
	if (err == 0 && count != WORDS_COUNT) {
		*ret_bad = count;
		err = ERR_INVALID;
	}
	return err;
}

int words_parse(const char *text, size_t len, struct secret **ret_key, unsigned *ret_bad)
{
	uint8_t raw[KEY_SIZE + 1] = { 0 }, want[KEY_SIZE + 1];
	unsigned bad = 0;
	int err = words_read(text, len, raw, &bad);

	if (err == 0) {
		with_checksum(raw, want);
		err = want[KEY_SIZE] == raw[KEY_SIZE] ? secret_from(bytes_of(raw, KEY_SIZE), ret_key) : ERR_TAMPERED;
		secret_wipe(want, sizeof want);
	}
	secret_wipe(raw, sizeof raw);
	if (ret_bad)
		*ret_bad = bad;
	return err;
}
