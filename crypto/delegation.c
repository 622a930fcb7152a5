/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/delegation.h"

#include "base/cleanup.h"
#include "crypto/sign.h"
#include "crypto/token_text.h"
#include "wire/cbor.h"

static int put_map(struct buf *b, const struct delegation *d)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, 6);
	cbor_put_uint(&e, 0);
	cbor_put_uint(&e, DELEGATION_FORMAT);
	cbor_put_uint(&e, 1);
	cbor_put_bytes(&e, d->person.b, sizeof d->person.b);
	cbor_put_uint(&e, 2);
	cbor_put_bytes(&e, d->device.b, sizeof d->device.b);
	cbor_put_uint(&e, 3);
	cbor_put_bytes(&e, d->session.b, sizeof d->session.b);
	cbor_put_uint(&e, 4);
	cbor_put_text_n(&e, (const char *)d->aud.p, d->aud.len);
	cbor_put_uint(&e, 5);
	cbor_put_uint(&e, (uint64_t)d->not_after);
	return cbor_enc_end(&e);
}

int delegation_make(const struct delegation *d, const struct secret *device_key, struct buf *b)
{
	CLEANUP(buf_release) struct buf map = BUF_INIT(DELEGATION_MAX);
	struct cbor_enc e = cbor_enc_init(b);
	uint8_t signature[64];
	size_t start = b->len;
	struct id32 device;
	int err = sign_public(device_key, &device);

	if (err < 0)
		return err;
	if (!id32_equal(&device, &d->device) || !token_text_plain(d->aud) || d->not_after < 0)
		return ERR_INVALID;
	if ((err = put_map(&map, d)) < 0)
		return err;
	if ((err = sign_detached(DELEGATION_LABEL, buf_bytes(&map), device_key, signature)) < 0)
		return err;
	cbor_put_array(&e, 2);
	cbor_put_raw(&e, buf_bytes(&map));
	cbor_put_bytes(&e, signature, sizeof signature);
	err = cbor_enc_end(&e);
	if (err < 0)
		b->len = start;
	return err;
}
