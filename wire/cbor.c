/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder has one reader of heads (get_head), which checks the shortest form, and one walker (walk_item), which
 * checks a whole item and is what cbor_check, cbor_get_raw and cbor_skip share. No count read from the input is trusted
 * further than the bytes that follow it: an array of n items needs at least n bytes.
 */
#include "wire/cbor.h"

enum major { UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

enum { SIMPLE_FALSE = 20, SIMPLE_TRUE = 21, SIMPLE_NULL = 22, SIMPLE_UNDEFINED = 23 };

/* --- UTF-8 --- */

/* Length of the valid sequence at p (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF); 0 if there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t lead = p[0], low = 0x80, high = 0xbf;
	size_t n;
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (left < n)
		return 0;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool cbor_is_text(struct bytes s)
{
	while (s.len > 0) {
		size_t step = utf8_sequence(s.p, s.len);
		if (step == 0)
			return false;
		s = bytes_of(s.p + step, s.len - step);
	}
	return true;
}

/* --- encoder --- */

struct cbor_enc cbor_enc_init(struct buf *b)
{
	return (struct cbor_enc){ .b = b, .err = OK };
}

int cbor_enc_end(const struct cbor_enc *e)
{
	return e->err;
}

static void put(struct cbor_enc *e, const void *p, size_t n)
{
	if (e->err == OK)
		e->err = buf_put(e->b, p, n);
}

static void put_head(struct cbor_enc *e, enum major major, uint64_t v)
{
	uint8_t head[9];
	size_t n = v < 24 ? 0 : v <= UINT8_MAX ? 1 : v <= UINT16_MAX ? 2 : v <= UINT32_MAX ? 4 : 8;
	uint8_t info = n == 0 ? (uint8_t)v : n == 1 ? 24 : n == 2 ? 25 : n == 4 ? 26 : 27;
	head[0] = (uint8_t)(major << 5 | info);
	for (size_t i = n; i > 0; i--, v >>= 8)
		head[i] = (uint8_t)v;
	put(e, head, n + 1);
}

void cbor_put_uint(struct cbor_enc *e, uint64_t v)
{
	put_head(e, UINT, v);
}

void cbor_put_int(struct cbor_enc *e, int64_t v)
{
	if (v < 0)
		put_head(e, NINT, ~(uint64_t)v); /* -1 - v */
	else
		put_head(e, UINT, (uint64_t)v);
}

void cbor_put_bytes(struct cbor_enc *e, const void *p, size_t n)
{
	put_head(e, BYTES, n);
	put(e, p, n);
}

void cbor_put_text(struct cbor_enc *e, const char *s)
{
	cbor_put_text_n(e, s, strlen(s));
}

void cbor_put_text_n(struct cbor_enc *e, const char *s, size_t n)
{
	if (e->err == OK && !cbor_is_text(bytes_of(s, n)))
		e->err = ERR_INVALID;
	put_head(e, TEXT, n);
	put(e, s, n);
}

void cbor_put_array(struct cbor_enc *e, size_t n)
{
	put_head(e, ARRAY, n);
}

void cbor_put_map(struct cbor_enc *e, size_t n)
{
	put_head(e, MAP, n);
}

void cbor_put_bool(struct cbor_enc *e, bool v)
{
	put_head(e, SIMPLE, v ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_null(struct cbor_enc *e)
{
	put_head(e, SIMPLE, SIMPLE_NULL);
}

void cbor_put_raw(struct cbor_enc *e, struct bytes item)
{
	if (e->err == OK && item.len == 0)
		e->err = ERR_INVALID; /* nothing where an item is due */
	put(e, item.p, item.len);
}

/* --- heads --- */

struct head {
	enum major major;
	uint64_t value; /* number, length, count or simple value */
};

static size_t left(const struct cbor_dec *d)
{
	return (size_t)(d->end - d->p);
}

void cbor_dec_fail(struct cbor_dec *d, int err)
{
	if (d->err == OK)
		d->err = err;
}

/* Reads the argument of n bytes that follows the initial byte. */
static bool get_argument(struct cbor_dec *d, size_t n, uint64_t *ret_v)
{
	uint64_t v = 0;
	if (left(d) < n) {
		cbor_dec_fail(d, ERR_TRUNCATED);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		v = v << 8 | *d->p++;
	*ret_v = v;
	return true;
}

static bool simple_allowed(const struct cbor_dec *d, unsigned info)
{
	return info >= SIMPLE_FALSE && (info <= SIMPLE_NULL || (info == SIMPLE_UNDEFINED && d->dialect == CBOR_RPC));
}

/* Reads one head and checks all that can be seen from it. False, with the error kept, if it is not allowed. */
static bool get_head(struct cbor_dec *d, struct head *ret_h)
{
	static const uint64_t smallest[] = { 24, UINT8_MAX + 1ull, UINT16_MAX + 1ull, UINT32_MAX + 1ull };
	if (d->err != OK)
		return false;
	if (left(d) == 0) {
		cbor_dec_fail(d, ERR_TRUNCATED);
		return false;
	}
	enum major major = (enum major)(*d->p >> 5);
	unsigned info = *d->p & 31;
	uint64_t v = info;
	if (info > 27 || major == TAG || (major == SIMPLE && !simple_allowed(d, info))) {
		cbor_dec_fail(d, ERR_INVALID);
		return false;
	}
	d->p++;
	if (info >= 24) {
		if (!get_argument(d, (size_t)1 << (info - 24), &v))
			return false;
		if (v < smallest[info - 24] && d->dialect == CBOR_STRICT) {
			cbor_dec_fail(d, ERR_NONCANONICAL);
			return false;
		}
	}
	*ret_h = (struct head){ .major = major, .value = v };
	return true;
}

/* Reads a head of the wanted major type and returns its value; 0 with the error kept otherwise. */
static uint64_t get_value(struct cbor_dec *d, enum major wanted)
{
	struct head h;
	if (!get_head(d, &h))
		return 0;
	if (h.major != wanted) {
		cbor_dec_fail(d, ERR_INVALID);
		return 0;
	}
	return h.value;
}

/* The content of a string whose head was read. */
static struct bytes get_content(struct cbor_dec *d, uint64_t n, bool text)
{
	struct bytes out = bytes_of(NULL, 0);
	if (d->err != OK)
		return out;
	if (n > left(d)) {
		cbor_dec_fail(d, ERR_TRUNCATED);
		return out;
	}
	if (text && !cbor_is_text(bytes_of(d->p, (size_t)n))) {
		cbor_dec_fail(d, ERR_INVALID);
		return out;
	}
	out = bytes_of(d->p, (size_t)n);
	d->p += n;
	return out;
}

/* --- whole items --- */

static void walk_item(struct cbor_dec *d, unsigned depth, size_t *items_left);

static void walk_array(struct cbor_dec *d, uint64_t n, unsigned depth, size_t *items_left)
{
	if (n > left(d))
		cbor_dec_fail(d, ERR_TRUNCATED);
	while (d->err == OK && n-- > 0)
		walk_item(d, depth, items_left);
}

/* Encodings of two keys: neither is a prefix of the other, so the shorter length decides nothing. */
static int compare_keys(struct bytes a, struct bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	return memcmp(a.p, b.p, n);
}

static void walk_map(struct cbor_dec *d, uint64_t n, unsigned depth, size_t *items_left)
{
	struct bytes previous = bytes_of(NULL, 0);
	if (n > left(d) / 2)
		cbor_dec_fail(d, ERR_TRUNCATED);
	for (uint64_t i = 0; d->err == OK && i < n; i++) {
		const uint8_t *start = d->p;
		walk_item(d, depth, items_left);
		if (d->err != OK)
			return;
		struct bytes key = bytes_of(start, (size_t)(d->p - start));
		if (d->dialect == CBOR_STRICT && i > 0) {
			int order = compare_keys(previous, key);
			if (order >= 0)
				cbor_dec_fail(d, order == 0 ? ERR_INVALID : ERR_NONCANONICAL);
		}
		previous = key;
		walk_item(d, depth, items_left);
	}
}

/* One item of any type. depth counts the containers around it; recursion ends at CBOR_MAX_DEPTH. */
static void walk_item(struct cbor_dec *d, unsigned depth, size_t *items_left)
{
	struct head h;
	if (!get_head(d, &h))
		return;
	if (*items_left == 0) {
		cbor_dec_fail(d, ERR_RANGE);
		return;
	}
	--*items_left;
	if ((h.major == ARRAY || h.major == MAP) && depth >= CBOR_MAX_DEPTH)
		cbor_dec_fail(d, ERR_RANGE);
	else if (h.major == ARRAY)
		walk_array(d, h.value, depth + 1, items_left);
	else if (h.major == MAP)
		walk_map(d, h.value, depth + 1, items_left);
	else if (h.major == BYTES || h.major == TEXT)
		(void)get_content(d, h.value, h.major == TEXT);
}

int cbor_check(struct bytes in, enum cbor_dialect dialect, size_t max_items)
{
	struct cbor_dec d = dialect == CBOR_RPC ? cbor_dec_init_rpc(in) : cbor_dec_init(in);
	walk_item(&d, 0, &max_items);
	return cbor_dec_end(&d);
}

struct bytes cbor_get_raw(struct cbor_dec *d)
{
	const uint8_t *start = d->p;
	size_t unlimited = SIZE_MAX; /* the input's length is the limit */
	walk_item(d, 0, &unlimited);
	return d->err == OK ? bytes_of(start, (size_t)(d->p - start)) : bytes_of(NULL, 0);
}

void cbor_skip(struct cbor_dec *d)
{
	(void)cbor_get_raw(d);
}

/* --- getters --- */

static struct cbor_dec dec_init(struct bytes in, enum cbor_dialect dialect)
{
	const uint8_t *end = in.len > 0 ? in.p + in.len : in.p;
	return (struct cbor_dec){ .p = in.p, .end = end, .dialect = dialect, .err = OK };
}

struct cbor_dec cbor_dec_init(struct bytes in)
{
	return dec_init(in, CBOR_STRICT);
}

struct cbor_dec cbor_dec_init_rpc(struct bytes in)
{
	return dec_init(in, CBOR_RPC);
}

int cbor_dec_end(const struct cbor_dec *d)
{
	if (d->err != OK)
		return d->err;
	return left(d) > 0 ? ERR_INVALID : OK;
}

int cbor_dec_error(const struct cbor_dec *d)
{
	return d->err;
}

enum cbor_type cbor_peek(const struct cbor_dec *d)
{
	static const enum cbor_type types[] = { CBOR_UINT, CBOR_NINT, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP };
	if (d->err != OK || left(d) == 0)
		return CBOR_NONE;
	enum major major = (enum major)(*d->p >> 5);
	unsigned info = *d->p & 31;
	if (major < TAG)
		return info <= 27 ? types[major] : CBOR_NONE;
	if (major == TAG || !simple_allowed(d, info))
		return CBOR_NONE;
	return (enum cbor_type)(CBOR_FALSE + (info - SIMPLE_FALSE));
}

uint64_t cbor_get_uint(struct cbor_dec *d)
{
	return get_value(d, UINT);
}

int64_t cbor_get_int(struct cbor_dec *d)
{
	struct head h;
	if (!get_head(d, &h))
		return 0;
	if (h.major != UINT && h.major != NINT)
		cbor_dec_fail(d, ERR_INVALID);
	else if (h.value > INT64_MAX)
		cbor_dec_fail(d, ERR_RANGE);
	else
		return h.major == UINT ? (int64_t)h.value : -1 - (int64_t)h.value;
	return 0;
}

static struct bytes get_string(struct cbor_dec *d, enum major major, size_t max)
{
	uint64_t n = get_value(d, major);
	if (n > max)
		cbor_dec_fail(d, ERR_RANGE);
	return get_content(d, n, major == TEXT);
}

struct bytes cbor_get_bytes(struct cbor_dec *d, size_t max)
{
	return get_string(d, BYTES, max);
}

struct bytes cbor_get_text(struct cbor_dec *d, size_t max)
{
	return get_string(d, TEXT, max);
}

void cbor_get_fixed(struct cbor_dec *d, void *out, size_t n)
{
	struct bytes in = cbor_get_bytes(d, SIZE_MAX);
	if (d->err == OK && in.len != n)
		cbor_dec_fail(d, ERR_INVALID);
	if (n == 0)
		return;
	if (d->err == OK)
		memcpy(out, in.p, n);
	else
		memset(out, 0, n);
}

static size_t get_count(struct cbor_dec *d, enum major major, size_t max, size_t least_bytes)
{
	uint64_t n = get_value(d, major);
	if (n > max)
		cbor_dec_fail(d, ERR_RANGE);
	else if (n > left(d) / least_bytes)
		cbor_dec_fail(d, ERR_TRUNCATED);
	return d->err == OK ? (size_t)n : 0;
}

size_t cbor_get_array(struct cbor_dec *d, size_t max)
{
	return get_count(d, ARRAY, max, 1);
}

size_t cbor_get_map(struct cbor_dec *d, size_t max)
{
	return get_count(d, MAP, max, 2);
}

bool cbor_get_bool(struct cbor_dec *d)
{
	uint64_t v = get_value(d, SIMPLE);
	if (d->err == OK && v != SIMPLE_FALSE && v != SIMPLE_TRUE)
		cbor_dec_fail(d, ERR_INVALID);
	return d->err == OK && v == SIMPLE_TRUE;
}

bool cbor_get_null(struct cbor_dec *d)
{
	enum cbor_type type = cbor_peek(d);
	if (type != CBOR_NULL && type != CBOR_UNDEFINED)
		return false;
	d->p++;
	return true;
}

bool cbor_text_is(struct bytes text, const char *s)
{
	return bytes_equal(text, bytes_str(s));
}

int cbor_map_find(struct bytes map, enum cbor_dialect dialect, const char *key, struct bytes *ret_item)
{
	struct cbor_dec d = dec_init(map, dialect);
	size_t n = cbor_get_map(&d, SIZE_MAX);
	for (size_t i = 0; i < n && d.err == OK; i++) {
		if (cbor_peek(&d) != CBOR_TEXT) {
			cbor_skip(&d);
			cbor_skip(&d);
			continue;
		}
		bool found = cbor_text_is(cbor_get_text(&d, SIZE_MAX), key);
		if (found && cbor_get_null(&d))
			return ERR_NOT_FOUND;
		struct bytes item = cbor_get_raw(&d);
		if (found && d.err == OK) {
			*ret_item = item;
			return OK;
		}
	}
	return d.err != OK ? d.err : ERR_NOT_FOUND;
}
