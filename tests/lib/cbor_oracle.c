/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/cbor_oracle.h"
#include <cbor.h>
#include <dlfcn.h>
#include <stdlib.h>
#include "base/cleanup.h"

#define FUNCTIONS(X) \
	X(cbor_load) \
	X(cbor_decref) \
	X(cbor_serialize_alloc) \
	X(cbor_typeof) \
	X(cbor_get_int) \
	X(cbor_bytestring_handle) \
	X(cbor_bytestring_length) \
	X(cbor_bytestring_is_definite) \
	X(cbor_string_handle) \
	X(cbor_string_length) \
	X(cbor_string_is_definite) \
	X(cbor_array_handle) \
	X(cbor_array_size) \
	X(cbor_array_is_definite) \
	X(cbor_map_handle) \
	X(cbor_map_size) \
	X(cbor_map_is_definite) \
	X(cbor_float_ctrl_is_ctrl) \
	X(cbor_ctrl_value)

#define MEMBER(name) __typeof__(&name) name;
static struct {
	FUNCTIONS(MEMBER)
} lib;

static bool load(void)
{
	static void *handle;
	if (handle)
		return true;
	handle = dlopen("libcbor.so", RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return false;
#define RESOLVE(name) lib.name = (__typeof__(lib.name))dlsym(handle, #name);
	FUNCTIONS(RESOLVE)
	return true;
}

/* One item that is all of `in`, or NULL. */
static cbor_item_t *parse(struct bytes in)
{
	struct cbor_load_result result;
	cbor_item_t *item = in.len > 0 ? lib.cbor_load(in.p, in.len, &result) : NULL;
	if (item && result.read != in.len)
		lib.cbor_decref(&item);
	return item;
}

int cbor_oracle_copy(struct bytes in, struct buf *out)
{
	unsigned char *p = NULL;
	size_t size;
	if (!load())
		return ERR_UNSUPPORTED;
	cbor_item_t *item = parse(in);
	if (!item)
		return ERR_INVALID;
	size_t n = lib.cbor_serialize_alloc(item, &p, &size);
	int err = buf_put(out, p, n);
	lib.cbor_decref(&item);
	free(p);
	return err;
}

static int put_head(struct buf *out, unsigned major, uint64_t v)
{
	uint8_t first = (uint8_t)(major << 5);
	int err;
	if (v < 24)
		return buf_put_u8(out, (uint8_t)(first | v));
	if (v <= UINT8_MAX) {
		err = buf_put_u8(out, first | 24);
		return err < 0 ? err : buf_put_u8(out, (uint8_t)v);
	}
	if (v <= UINT16_MAX) {
		err = buf_put_u8(out, first | 25);
		return err < 0 ? err : buf_put_u16be(out, (uint16_t)v);
	}
	if (v <= UINT32_MAX) {
		err = buf_put_u8(out, first | 26);
		return err < 0 ? err : buf_put_u32be(out, (uint32_t)v);
	}
	err = buf_put_u8(out, first | 27);
	return err < 0 ? err : buf_put_u64be(out, v);
}

static int put_string(struct buf *out, unsigned major, bool definite, const void *p, size_t n)
{
	int err = definite ? put_head(out, major, n) : ERR_NONCANONICAL;
	return err < 0 ? err : buf_put(out, p, n);
}

static int put_item(struct buf *out, const cbor_item_t *item);

static int put_array(struct buf *out, const cbor_item_t *item)
{
	size_t n = lib.cbor_array_size(item);
	cbor_item_t **items = lib.cbor_array_handle(item);
	int err = lib.cbor_array_is_definite(item) ? put_head(out, 4, n) : ERR_NONCANONICAL;
	for (size_t i = 0; err == OK && i < n; i++)
		err = put_item(out, items[i]);
	return err;
}

static int put_map(struct buf *out, const cbor_item_t *item)
{
	CLEANUP(buf_release) struct buf last = BUF_INIT(1 << 20);
	size_t n = lib.cbor_map_size(item);
	struct cbor_pair *pairs = lib.cbor_map_handle(item);
	int err = lib.cbor_map_is_definite(item) ? put_head(out, 5, n) : ERR_NONCANONICAL;
	for (size_t i = 0; err == OK && i < n; i++) {
		CLEANUP(buf_release) struct buf key = BUF_INIT(1 << 20);
		if ((err = put_item(&key, pairs[i].key)) < 0)
			return err;
		size_t shorter = key.len < last.len ? key.len : last.len;
		if (i > 0 && memcmp(last.data, key.data, shorter) >= 0)
			return ERR_NONCANONICAL;
		buf_clear(&last);
		if ((err = buf_put(&last, key.data, key.len)) < 0 || (err = buf_put(out, key.data, key.len)) < 0)
			return err;
		err = put_item(out, pairs[i].value);
	}
	return err;
}

static int put_item(struct buf *out, const cbor_item_t *item)
{
	switch (lib.cbor_typeof(item)) {
	case CBOR_TYPE_UINT:
		return put_head(out, 0, lib.cbor_get_int(item));
	case CBOR_TYPE_NEGINT:
		return put_head(out, 1, lib.cbor_get_int(item));
	case CBOR_TYPE_BYTESTRING:
		return put_string(out, 2, lib.cbor_bytestring_is_definite(item), lib.cbor_bytestring_handle(item),
			lib.cbor_bytestring_length(item));
	case CBOR_TYPE_STRING:
		return put_string(out, 3, lib.cbor_string_is_definite(item), lib.cbor_string_handle(item),
			lib.cbor_string_length(item));
	case CBOR_TYPE_ARRAY:
		return put_array(out, item);
	case CBOR_TYPE_MAP:
		return put_map(out, item);
	case CBOR_TYPE_FLOAT_CTRL:
		return lib.cbor_float_ctrl_is_ctrl(item) ? put_head(out, 7, lib.cbor_ctrl_value(item)) : ERR_INVALID;
	case CBOR_TYPE_TAG:
		break;
	}
	return ERR_INVALID;
}

int cbor_oracle_canonical(struct bytes in, struct buf *out)
{
	if (!load())
		return ERR_UNSUPPORTED;
	cbor_item_t *item = parse(in);
	if (!item)
		return ERR_INVALID;
	int err = put_item(out, item);
	lib.cbor_decref(&item);
	return err;
}
