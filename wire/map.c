/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/map.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/cbor.h"

void map_release(struct map *m)
{
	buf_release(&m->values);
	m->n = 0;
	m->err = OK;
}

/* Starts a pair; its value is encoded by the caller until end_pair. */
static struct cbor_enc begin_pair(struct map *m, const char *key)
{
	if (m->err == OK && m->n == MAP_MAX_PAIRS)
		m->err = ERR_RANGE;
	if (m->err == OK) {
		m->pairs[m->n].key = key;
		m->pairs[m->n].off = m->values.len;
	}
	struct cbor_enc e = cbor_enc_init(&m->values);
	e.err = m->err;
	return e;
}

static void end_pair(struct map *m, const struct cbor_enc *e)
{
	if (m->err < 0)
		return;
	m->err = cbor_enc_end(e);
	if (m->err < 0)
		return;
	m->pairs[m->n].len = m->values.len - m->pairs[m->n].off;
	m->n++;
}

void map_text_n(struct map *m, const char *key, const char *value, size_t n)
{
	struct cbor_enc e = begin_pair(m, key);
	cbor_put_text_n(&e, value, n);
	end_pair(m, &e);
}

void map_text(struct map *m, const char *key, const char *value)
{
	if (value)
		map_text_n(m, key, value, strlen(value));
}

void map_bytes(struct map *m, const char *key, const void *p, size_t n)
{
	struct cbor_enc e = begin_pair(m, key);
	cbor_put_bytes(&e, p, n);
	end_pair(m, &e);
}

void map_uint(struct map *m, const char *key, uint64_t value)
{
	struct cbor_enc e = begin_pair(m, key);
	cbor_put_uint(&e, value);
	end_pair(m, &e);
}

void map_int(struct map *m, const char *key, int64_t value)
{
	struct cbor_enc e = begin_pair(m, key);
	cbor_put_int(&e, value);
	end_pair(m, &e);
}

void map_bool(struct map *m, const char *key, bool value)
{
	struct cbor_enc e = begin_pair(m, key);
	cbor_put_bool(&e, value);
	end_pair(m, &e);
}

void map_raw(struct map *m, const char *key, struct bytes item)
{
	struct cbor_enc e = begin_pair(m, key);
	cbor_put_raw(&e, item);
	end_pair(m, &e);
}

void map_uuid(struct map *m, const char *key, const struct id16 *id)
{
	char text[ID16_TEXT_SIZE];

	id16_format(id, text);
	map_text(m, key, text);
}

/* RFC 8949 §4.2.1: bytewise order of the encoded keys; for texts that is by length (their heads), then by bytes. */
static int compare_pairs(const void *a, const void *b)
{
	const struct map_pair *x = a, *y = b;
	size_t nx = strlen(x->key), ny = strlen(y->key);

	if (nx != ny)
		return nx < ny ? -1 : 1;
	return memcmp(x->key, y->key, nx);
}

int map_put(struct map *m, struct buf *out)
{
	if (m->err < 0)
		return m->err;
	qsort(m->pairs, m->n, sizeof m->pairs[0], compare_pairs);
	struct cbor_enc e = cbor_enc_init(out);
	cbor_put_map(&e, m->n);
	for (size_t i = 0; i < m->n; i++) {
		if (i > 0 && compare_pairs(&m->pairs[i - 1], &m->pairs[i]) == 0)
			return ERR_EXISTS;
		cbor_put_text(&e, m->pairs[i].key);
		cbor_put_raw(&e, bytes_of(m->values.data + m->pairs[i].off, m->pairs[i].len));
	}
	return cbor_enc_end(&e);
}

struct bytes map_get_item(struct bytes map, const char *key)
{
	struct bytes item;

	if (map.len == 0 || cbor_map_find(map, CBOR_RPC, key, &item) < 0)
		return bytes_of(NULL, 0);
	return item;
}

/* A decoder on the value of `key` if it is of the wanted type. */
static bool find_typed(struct bytes map, const char *key, enum cbor_type type, struct cbor_dec *ret_d)
{
	struct bytes item = map_get_item(map, key);

	if (item.len == 0)
		return false;
	*ret_d = cbor_dec_init_rpc(item);
	return cbor_peek(ret_d) == type;
}

struct bytes map_get_text(struct bytes map, const char *key)
{
	struct cbor_dec d;

	if (!find_typed(map, key, CBOR_TEXT, &d))
		return bytes_of(NULL, 0);
	return cbor_get_text(&d, MAP_MAX_BYTES);
}

struct bytes map_get_bytes(struct bytes map, const char *key)
{
	struct cbor_dec d;

	if (!find_typed(map, key, CBOR_BYTES, &d))
		return bytes_of(NULL, 0);
	return cbor_get_bytes(&d, MAP_MAX_BYTES);
}

uint64_t map_get_uint(struct bytes map, const char *key, uint64_t fallback)
{
	struct cbor_dec d;

	return find_typed(map, key, CBOR_UINT, &d) ? cbor_get_uint(&d) : fallback;
}

int64_t map_get_int(struct bytes map, const char *key, int64_t fallback)
{
	struct cbor_dec d;

	if (!find_typed(map, key, CBOR_UINT, &d) && !find_typed(map, key, CBOR_NINT, &d))
		return fallback;
	int64_t v = cbor_get_int(&d);
	return cbor_dec_error(&d) < 0 ? fallback : v;
}

bool map_get_bool(struct bytes map, const char *key, bool fallback)
{
	struct cbor_dec d;

	if (!find_typed(map, key, CBOR_TRUE, &d) && !find_typed(map, key, CBOR_FALSE, &d))
		return fallback;
	return cbor_get_bool(&d);
}

bool map_get_uuid(struct bytes map, const char *key, struct id16 *ret_id)
{
	struct bytes text = map_get_text(map, key);

	return text.len > 0 && id16_parse((const char *)text.p, text.len, ret_id) == OK;
}

char *map_get_string(struct bytes map, const char *key, size_t max)
{
	struct bytes text = map_get_text(map, key);

	if (!text.p || text.len > max || memchr(text.p, 0, text.len))
		return NULL;
	char *s = malloc(text.len + 1);
	if (!s)
		return NULL;
	memcpy(s, text.p, text.len);
	s[text.len] = 0;
	return s;
}
