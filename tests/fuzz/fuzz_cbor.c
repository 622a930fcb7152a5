/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever cbor_check accepts in strict form, the getters read without error, and writing it again gives the same bytes.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/cbor.h"

enum { MAX_ITEMS = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void copy_item(struct cbor_dec *d, struct cbor_enc *e)
{
	struct bytes s;
	size_t n;
	switch (cbor_peek(d)) {
	case CBOR_UINT:
		cbor_put_uint(e, cbor_get_uint(d));
		break;
	case CBOR_NINT: {
		struct cbor_dec before = *d;
		int64_t v = cbor_get_int(d);
		if (cbor_dec_error(d) == ERR_RANGE) { /* below INT64_MIN: no C type for it */
			*d = before;
			cbor_put_raw(e, cbor_get_raw(d));
		} else {
			cbor_put_int(e, v);
		}
		break;
	}
	case CBOR_BYTES:
		s = cbor_get_bytes(d, SIZE_MAX);
		cbor_put_bytes(e, s.p, s.len);
		break;
	case CBOR_TEXT:
		s = cbor_get_text(d, SIZE_MAX);
		cbor_put_text_n(e, (const char *)s.p, s.len);
		break;
	case CBOR_ARRAY:
		n = cbor_get_array(d, SIZE_MAX);
		cbor_put_array(e, n);
		while (n-- > 0)
			copy_item(d, e);
		break;
	case CBOR_MAP:
		n = cbor_get_map(d, SIZE_MAX);
		cbor_put_map(e, n);
		for (n *= 2; n-- > 0;)
			copy_item(d, e);
		break;
	case CBOR_FALSE:
	case CBOR_TRUE:
		cbor_put_bool(e, cbor_get_bool(d));
		break;
	case CBOR_NULL:
		if (!cbor_get_null(d))
			abort();
		cbor_put_null(e);
		break;
	case CBOR_UNDEFINED: /* not strict */
	case CBOR_NONE:
		abort();
	}
}

static void check_strict(struct bytes in)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(in.len);
	struct cbor_dec d = cbor_dec_init(in);
	struct cbor_enc e = cbor_enc_init(&out);
	copy_item(&d, &e);
	if (cbor_dec_end(&d) != OK || cbor_enc_end(&e) != OK || !bytes_equal(in, buf_bytes(&out)))
		abort();
	if (cbor_check(in, CBOR_RPC, MAX_ITEMS) != OK) /* strict is a part of the RPC dialect */
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bytes in = bytes_of(p, n), item;
	if (cbor_check(in, CBOR_STRICT, MAX_ITEMS) == OK)
		check_strict(in);
	if (cbor_check(in, CBOR_RPC, MAX_ITEMS) == OK) {
		struct cbor_dec d = cbor_dec_init_rpc(in);
		cbor_skip(&d);
		if (cbor_dec_end(&d) != OK)
			abort();
	}
	if (cbor_map_find(in, CBOR_RPC, "id", &item) == OK &&
		(item.len == 0 || item.p < p || item.p + item.len > p + n))
		abort();
	return 0;
}
