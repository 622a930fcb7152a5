/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base58_digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Two hex digits at p to *ret; false if they are not. */
static bool hex_byte(const char *p, uint8_t *ret)
{
	int hi = hex_value(p[0]), lo = hex_value(p[1]);
	if (hi < 0 || lo < 0)
		return false;
	*ret = (uint8_t)(hi << 4 | lo);
	return true;
}

/* A hyphen stands before byte i of a UUID. */
static bool hyphen_before(size_t i)
{
	return i == 4 || i == 6 || i == 8 || i == 10;
}

void id16_format(const struct id16 *id, char out[ID16_TEXT_SIZE])
{
	for (size_t i = 0; i < sizeof id->b; i++) {
		if (hyphen_before(i))
			*out++ = '-';
		*out++ = hex_digits[id->b[i] >> 4];
		*out++ = hex_digits[id->b[i] & 15];
	}
	*out = '\0';
}

int id16_parse(const char *text, size_t len, struct id16 *ret_id)
{
	struct id16 id;
	if (len != ID16_TEXT_SIZE - 1)
		return ERR_INVALID;
	for (size_t i = 0; i < sizeof id.b; i++) {
		if (hyphen_before(i) && *text++ != '-')
			return ERR_INVALID;
		if (!hex_byte(text, &id.b[i]))
			return ERR_INVALID;
		text += 2;
	}
	*ret_id = id;
	return 0;
}

void id32_format(const struct id32 *id, char out[ID32_TEXT_SIZE])
{
	for (size_t i = 0; i < sizeof id->b; i++) {
		*out++ = hex_digits[id->b[i] >> 4];
		*out++ = hex_digits[id->b[i] & 15];
	}
	*out = '\0';
}

int id32_parse(const char *text, size_t len, struct id32 *ret_id)
{
	struct id32 id;
	if (len != ID32_TEXT_SIZE - 1)
		return ERR_INVALID;
	for (size_t i = 0; i < sizeof id.b; i++)
		if (!hex_byte(text + 2 * i, &id.b[i]))
			return ERR_INVALID;
	*ret_id = id;
	return 0;
}

void id16_from_hash(const struct id32 *hash, struct id16 *ret_id)
{
	memcpy(ret_id->b, hash->b, sizeof ret_id->b);
	ret_id->b[6] = (uint8_t)((ret_id->b[6] & 0x0f) | 0x80);
	ret_id->b[8] = (uint8_t)((ret_id->b[8] & 0x3f) | 0x80);
}

/*
 * did:key. The multicodec prefix ed 01 makes the number lie between 58^46 and 58^47, so that the text always has 47
 * digits and each key has exactly one text.
 */
#define DID_PREFIX "did:key:z"

enum { DID_BYTES = 2 + 32, DID_DIGITS = 47, DID_LEN = sizeof DID_PREFIX - 1 + DID_DIGITS };

void id32_format_did(const struct id32 *key, char out[DID_KEY_TEXT_SIZE])
{
	uint8_t n[DID_BYTES] = { 0xed, 0x01 };
	memcpy(n + 2, key->b, sizeof key->b);
	memcpy(out, DID_PREFIX, sizeof DID_PREFIX - 1);
	out[DID_LEN] = '\0';
	for (size_t digit = DID_LEN; digit-- > sizeof DID_PREFIX - 1;) {
		unsigned rest = 0;
		for (size_t i = 0; i < sizeof n; i++) {
			rest = rest << 8 | n[i];
			n[i] = (uint8_t)(rest / 58);
			rest %= 58;
		}
		out[digit] = base58_digits[rest];
	}
}

int did_key_parse(const char *text, size_t len, uint8_t *out, size_t n)
{
	const size_t prefix = sizeof DID_PREFIX - 1;

	memset(out, 0, n);
	if (len <= prefix || len > prefix + 2 * n || memcmp(text, DID_PREFIX, prefix) != 0 || text[prefix] == '1')
		return ERR_INVALID;
	for (size_t digit = prefix; digit < len; digit++) {
		const char *at = memchr(base58_digits, text[digit], sizeof base58_digits - 1);
		if (!at)
			return ERR_INVALID;
		unsigned carry = (unsigned)(at - base58_digits);
		for (size_t i = n; i-- > 0;) {
			carry += out[i] * 58u;
			out[i] = (uint8_t)carry;
			carry >>= 8;
		}
		if (carry != 0)
			return ERR_INVALID;
	}
	return out[0] > 1 ? 0 : ERR_INVALID;
}

int id32_parse_did(const char *text, size_t len, struct id32 *ret_key)
{
	uint8_t n[DID_BYTES];
	if (did_key_parse(text, len, n, sizeof n) < 0 || n[0] != 0xed || n[1] != 0x01)
		return ERR_INVALID;
	memcpy(ret_key->b, n + 2, sizeof ret_key->b);
	return 0;
}
