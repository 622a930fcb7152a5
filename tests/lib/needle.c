/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each secret becomes one pattern per form. Patterns stand in a hash table under their first 8 bytes; a bitmap of those hashes lets
 * most positions pass after one look.
 */
#include "tests/lib/needle.h"

#include <stdlib.h>
#include <string.h>
#include <sodium.h>

enum { PATTERN_MAX = 2 * NEEDLE_MAX, HEAD = 8, FILTER_BITS = 22 };

struct secret_at {
	const char *kind;
	uint8_t len, bytes[NEEDLE_MAX];
};

struct pattern {
	uint64_t head;
	const char *kind, *form;
	uint8_t len, bytes[PATTERN_MAX];
};

struct needles {
	struct secret_at *secret;
	size_t n, alloc;
	struct pattern *pattern;
	size_t n_patterns;
	uint32_t *table; /* index of a pattern and 1; 0: empty */
	size_t mask;
	uint64_t *filter;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

struct needles *needles_new(void)
{
	return must(calloc(1, sizeof(struct needles)));
}

void needles_free(struct needles *n)
{
	if (!n)
		return;
	if (n->n > 0)
		sodium_memzero(n->secret, n->n * sizeof *n->secret);
	if (n->n_patterns > 0)
		sodium_memzero(n->pattern, n->n_patterns * sizeof *n->pattern);
	free(n->secret);
	free(n->pattern);
	free(n->table);
	free(n->filter);
	free(n);
}

bool needles_add(struct needles *n, const char *kind, const void *p, size_t len)
{
	const uint8_t *b = p;

	if (len < NEEDLE_MIN || len > NEEDLE_MAX)
		abort();
	if (memcmp(b, b + 1, len - 1) == 0)
		return false;
	for (size_t i = 0; i < n->n; i++)
		if (n->secret[i].len == len && memcmp(n->secret[i].bytes, p, len) == 0)
			return false;
	if (n->n == n->alloc) {
		n->alloc = n->alloc ? 2 * n->alloc : 256;
		n->secret = must(reallocarray(n->secret, n->alloc, sizeof *n->secret));
	}
	n->secret[n->n] = (struct secret_at){ .kind = kind, .len = (uint8_t)len };
	memcpy(n->secret[n->n++].bytes, p, len);
	return true;
}

size_t needles_count(const struct needles *n, const char *kind)
{
	size_t count = 0;

	for (size_t i = 0; i < n->n; i++)
		count += !kind || strcmp(n->secret[i].kind, kind) == 0;
	return count;
}

struct bytes needles_first(const struct needles *n, const char *kind)
{
	for (size_t i = 0; i < n->n; i++)
		if (strcmp(n->secret[i].kind, kind) == 0)
			return bytes_of(n->secret[i].bytes, n->secret[i].len);
	return bytes_of(NULL, 0);
}

void needles_each_kind(const struct needles *n, void (*fn)(void *ctx, const char *kind, size_t count), void *ctx)
{
	for (size_t i = 0; i < n->n; i++) {
		bool first = true;

		for (size_t k = 0; k < i && first; k++)
			first = strcmp(n->secret[k].kind, n->secret[i].kind) != 0;
		if (first)
			fn(ctx, n->secret[i].kind, needles_count(n, n->secret[i].kind));
	}
}

/* ---- forms ---- */

static void put_pattern(struct needles *n, const struct secret_at *s, const char *form, const void *p, size_t len)
{
	struct pattern *at = &n->pattern[n->n_patterns++];

	*at = (struct pattern){ .kind = s->kind, .form = form, .len = (uint8_t)len };
	memcpy(at->bytes, p, len);
	memcpy(&at->head, p, HEAD);
}

static void put_hex(struct needles *n, const struct secret_at *s)
{
	char text[PATTERN_MAX + 1];

	sodium_bin2hex(text, sizeof text, s->bytes, s->len);
	put_pattern(n, s, "hex", text, 2u * s->len);
	for (char *c = text; *c; c++)
		*c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
	put_pattern(n, s, "HEX", text, 2u * s->len);
}

/* The characters of base64 that depend on the secret alone, if `before` (0 to 2) other bytes stand in front of it. */
static void put_base64(struct needles *n, const struct secret_at *s, size_t before, int variant, const char *form)
{
	uint8_t in[NEEDLE_MAX + 2] = { 0 };
	char text[PATTERN_MAX];
	size_t first = (8 * before + 5) / 6, end = 8 * (before + s->len) / 6;

	memcpy(in + before, s->bytes, s->len);
	sodium_bin2base64(text, sizeof text, in, before + s->len, variant);
	put_pattern(n, s, form, text + first, end - first);
}

static void put_forms(struct needles *n, const struct secret_at *s)
{
	put_pattern(n, s, "raw", s->bytes, s->len);
	put_hex(n, s);
	for (size_t before = 0; before < 3; before++) {
		put_base64(n, s, before, sodium_base64_VARIANT_ORIGINAL, "base64");
		put_base64(n, s, before, sodium_base64_VARIANT_URLSAFE_NO_PADDING, "base64url");
	}
}

/* ---- search ---- */

static uint64_t hash_of(uint64_t head)
{
	head *= 0x9e3779b97f4a7c15ull;
	return head ^ head >> 29;
}

static size_t filter_bit(uint64_t hash)
{
	return (size_t)(hash >> 20 & ((1u << FILTER_BITS) - 1));
}

void needles_sort(struct needles *n)
{
	size_t size = 64;

	n->pattern = must(calloc(n->n * 9 + 1, sizeof *n->pattern));
	for (size_t i = 0; i < n->n; i++)
		put_forms(n, &n->secret[i]);
	while (size < 4 * n->n_patterns)
		size *= 2;
	n->mask = size - 1;
	n->table = must(calloc(size, sizeof *n->table));
	n->filter = must(calloc((1u << FILTER_BITS) / 64, sizeof *n->filter));
	for (size_t i = 0; i < n->n_patterns; i++) {
		uint64_t h = hash_of(n->pattern[i].head);
		size_t slot = h & n->mask, bit = filter_bit(h);

		n->filter[bit / 64] |= 1ull << bit % 64;
		while (n->table[slot])
			slot = (slot + 1) & n->mask;
		n->table[slot] = (uint32_t)i + 1;
	}
}

size_t needles_scan(const struct needles *n, struct bytes in,
	void (*fn)(void *ctx, const char *kind, const char *form, size_t at), void *ctx)
{
	size_t found = 0;

	for (size_t at = 0; at + HEAD <= in.len; at++) {
		uint64_t head;

		memcpy(&head, in.p + at, HEAD);
		uint64_t h = hash_of(head);
		size_t bit = filter_bit(h);
		if (!(n->filter[bit / 64] >> bit % 64 & 1))
			continue;
		for (size_t slot = h & n->mask; n->table[slot]; slot = (slot + 1) & n->mask) {
			const struct pattern *p = &n->pattern[n->table[slot] - 1];

			if (p->head != head || p->len > in.len - at || memcmp(p->bytes, in.p + at, p->len) != 0)
				continue;
			found++;
			fn(ctx, p->kind, p->form, at);
		}
	}
	return found;
}
