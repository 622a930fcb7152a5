/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/params.h"

#include "server/plain.h"
#include "tests/lib/unit.h"

struct params *params_begin(struct params *p, size_t n)
{
	p->b = (struct buf)BUF_INIT(FRAME_MAX);
	p->e = cbor_enc_init(&p->b);
	cbor_put_map(&p->e, n);
	return p;
}

void params_text(struct params *p, const char *key, const char *v)
{
	cbor_put_text(&p->e, key);
	cbor_put_text(&p->e, v);
}

void params_uint(struct params *p, const char *key, uint64_t v)
{
	cbor_put_text(&p->e, key);
	cbor_put_uint(&p->e, v);
}

void params_bytes(struct params *p, const char *key, const void *v, size_t n)
{
	cbor_put_text(&p->e, key);
	cbor_put_bytes(&p->e, v, n);
}

void params_undefined(struct params *p, const char *key)
{
	cbor_put_text(&p->e, key);
	cbor_put_raw(&p->e, bytes_of("\xf7", 1));
}

void params_array(struct params *p, const char *key, size_t n)
{
	cbor_put_text(&p->e, key);
	cbor_put_array(&p->e, n);
}

void params_dek(struct params *p, uint8_t epoch)
{
	uint8_t dek[PLAIN_DEK] = { 0, 0, 0, epoch };

	memset(dek + 4, 0xaa, 40);
	params_bytes(p, "dek", dek, sizeof dek);
}
