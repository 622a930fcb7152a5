/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/token_text.h"

#include <sodium.h>

#define NUMBER_DIGITS 15 /* stays exact in every JSON reader */
#define STRING_MAX 1024

struct reader {
	const uint8_t *p, *end;
};

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

bool token_text_plain(struct bytes s)
{
	if (s.len == 0 || s.len > 255)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_plain(s.p[i]))
			return false;
	return true;
}

static bool take(struct reader *r, uint8_t c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static int take_string(struct reader *r, struct bytes *ret_s)
{
	const uint8_t *start;

	if (!take(r, '"'))
		return ERR_INVALID;
	start = r->p;
	while (r->p < r->end && is_plain(*r->p))
		r->p++;
	*ret_s = bytes_of(start, (size_t)(r->p - start));
	if (ret_s->len > STRING_MAX || !take(r, '"'))
		return ERR_INVALID;
	return 0;
}

static int take_number(struct reader *r, int64_t *ret_v)
{
	const uint8_t *start = r->p;
	int64_t v = 0;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && r->p - start < NUMBER_DIGITS)
		v = v * 10 + (*r->p++ - '0');
	if (r->p == start || (*start == '0' && r->p - start > 1))
		return ERR_INVALID;
	*ret_v = v;
	return 0;
}

static const struct claim *find(const struct claims *c, struct bytes name)
{
	for (size_t i = 0; i < c->n; i++)
		if (bytes_equal(c->list[i].name, name))
			return &c->list[i];
	return NULL;
}

static int take_claim(struct reader *r, struct claims *c)
{
	struct claim claim = { .is_number = false };
	int err = take_string(r, &claim.name);

	if (err < 0)
		return err;
	if (!take(r, ':') || c->n == TOKEN_TEXT_MAX_CLAIMS || find(c, claim.name))
		return ERR_INVALID;
	if (r->p < r->end && *r->p != '"') {
		claim.is_number = true;
		err = take_number(r, &claim.number);
	} else {
		err = take_string(r, &claim.text);
	}
	if (err == 0)
		c->list[c->n++] = claim;
	return err;
}

int token_text_claims(struct bytes json, struct claims *ret_c)
{
	struct reader r = { .p = json.p, .end = json.p + json.len };
	int err;

	ret_c->n = 0;
	if (!take(&r, '{'))
		return ERR_INVALID;
	do {
		if ((err = take_claim(&r, ret_c)) < 0)
			return err;
	} while (take(&r, ','));
	return take(&r, '}') && r.p == r.end ? 0 : ERR_INVALID;
}

int token_text_string(const struct claims *c, const char *name, struct bytes *ret_text)
{
	const struct claim *claim = find(c, bytes_str(name));

	if (!claim || claim->is_number)
		return ERR_INVALID;
	*ret_text = claim->text;
	return 0;
}

int token_text_number(const struct claims *c, const char *name, int64_t *ret_number)
{
	const struct claim *claim = find(c, bytes_str(name));

	if (!claim || !claim->is_number)
		return ERR_INVALID;
	*ret_number = claim->number;
	return 0;
}

int token_text_put_base64(struct buf *b, struct bytes in)
{
	size_t size = sodium_base64_encoded_len(in.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING); /* with NUL */
	uint8_t *p;
	int err = buf_grow(b, size, &p);

	if (err < 0)
		return err;
	sodium_bin2base64((char *)p, size, in.p, in.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	b->len--;
	return 0;
}

/* libsodium's decoder takes some characters above 0x7f for others, so they never reach it. */
static bool is_base64(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

int token_text_get_base64(struct bytes text, uint8_t *out, size_t max, size_t *ret_len)
{
	const char *end;

	if (text.len / 4 * 3 > max)
		return ERR_RANGE;
	for (size_t i = 0; i < text.len; i++)
		if (!is_base64(text.p[i]))
			return ERR_INVALID;
	if (sodium_base642bin(out, max, (const char *)text.p, text.len, NULL, ret_len, &end,
		    sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return ERR_INVALID;
	return end == (const char *)text.p + text.len ? 0 : ERR_INVALID;
}
