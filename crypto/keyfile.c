/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/keyfile.h"

#include <sodium.h>

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/keyfile_body.h"
#include "crypto/seal.h"
#include "wire/cbor.h"

int keyfile_put_body(struct buf *b, const struct keyfile_body *f)
{
	struct cbor_enc e = cbor_enc_init(b);

	cbor_put_map(&e, (f->kdf == KEYFILE_ARGON2ID ? 5u : 3u) + (f->sealed.len > 0));
	cbor_put_uint(&e, 0);
	cbor_put_uint(&e, KEYFILE_FORMAT);
	cbor_put_uint(&e, 1);
	cbor_put_uint(&e, f->kdf);
	if (f->kdf == KEYFILE_ARGON2ID) {
		cbor_put_uint(&e, 2);
		cbor_put_uint(&e, f->params.ops);
		cbor_put_uint(&e, 3);
		cbor_put_uint(&e, f->params.mem);
		cbor_put_uint(&e, 4);
		cbor_put_bytes(&e, f->params.salt, sizeof f->params.salt);
	} else {
		cbor_put_uint(&e, 5);
		cbor_put_bytes(&e, f->clear, sizeof f->clear);
	}
	if (f->sealed.len > 0) {
		cbor_put_uint(&e, 6);
		cbor_put_bytes(&e, f->sealed.p, f->sealed.len);
	}
	return cbor_enc_end(&e);
}

static void expect_key(struct cbor_dec *d, uint64_t key)
{
	if (cbor_get_uint(d) != key)
		cbor_dec_fail(d, ERR_INVALID);
}

static void decode_body(struct cbor_dec *d, struct keyfile_body *f)
{
	size_t pairs = cbor_get_map(d, 6);

	expect_key(d, 0);
	if (cbor_get_uint(d) != KEYFILE_FORMAT)
		cbor_dec_fail(d, ERR_VERSION);
	expect_key(d, 1);
	f->kdf = cbor_get_uint(d);
	if (f->kdf == KEYFILE_ARGON2ID && pairs == 6) {
		expect_key(d, 2);
		f->params.ops = cbor_get_uint(d);
		expect_key(d, 3);
		f->params.mem = cbor_get_uint(d);
		expect_key(d, 4);
		cbor_get_fixed(d, f->params.salt, sizeof f->params.salt);
	} else if (f->kdf == KEYFILE_NONE && pairs == 4) {
		expect_key(d, 5);
		cbor_get_fixed(d, f->clear, sizeof f->clear);
	} else {
		cbor_dec_fail(d, ERR_INVALID);
	}
	expect_key(d, 6);
	f->sealed = cbor_get_bytes(d, KEYFILE_MAX);
}

/* Finds the two items of the file and compares the checksum. */
static int check_file(struct bytes file, struct bytes *ret_body)
{
	struct cbor_dec d = cbor_dec_init(file);
	struct id32 want, got;

	if (file.len > KEYFILE_MAX || cbor_check(file, CBOR_STRICT, 32) < 0)
		return ERR_CORRUPT;
	if (cbor_get_array(&d, 2) != 2)
		return ERR_CORRUPT;
	*ret_body = cbor_get_raw(&d);
	cbor_get_fixed(&d, got.b, sizeof got.b);
	if (cbor_dec_end(&d) < 0)
		return ERR_CORRUPT;
	hash_plain(KEYFILE_LABEL, *ret_body, &want);
	return id32_equal(&want, &got) ? 0 : ERR_CORRUPT;
}

int keyfile_decode(struct bytes file, struct keyfile_body *ret_f)
{
	struct keyfile_body f = { .kdf = KEYFILE_NONE };
	struct bytes body;
	struct cbor_dec d;
	int err = check_file(file, &body);

	if (err < 0)
		return err;
	d = cbor_dec_init(body);
	decode_body(&d, &f);
	err = cbor_dec_end(&d);
	if (err < 0)
		return err == ERR_VERSION ? ERR_VERSION : ERR_CORRUPT;
	*ret_f = f;
	return 0;
}

int keyfile_needs_passphrase(struct bytes file)
{
	struct keyfile_body f;
	int err = keyfile_decode(file, &f);

	sodium_memzero(f.clear, sizeof f.clear);
	return err < 0 ? err : f.kdf == KEYFILE_ARGON2ID;
}

static int put_file(struct buf *b, struct keyfile_body *f, const uint8_t *key, struct bytes payload)
{
	CLEANUP(buf_release) struct buf aad = BUF_INIT_SECRET(KEYFILE_MAX);
	CLEANUP(buf_release) struct buf sealed = BUF_INIT(KEYFILE_MAX);
	CLEANUP(buf_release) struct buf body = BUF_INIT_SECRET(KEYFILE_MAX);
	struct cbor_enc e = cbor_enc_init(b);
	struct id32 checksum;
	int err = keyfile_put_body(&aad, f);

	if (err < 0)
		return err;
	if ((err = seal_small(KEYFILE_LABEL, key, buf_bytes(&aad), payload, &sealed)) < 0)
		return err;
	f->sealed = buf_bytes(&sealed);
	if ((err = keyfile_put_body(&body, f)) < 0)
		return err;
	hash_plain(KEYFILE_LABEL, buf_bytes(&body), &checksum);
	cbor_put_array(&e, 2);
	cbor_put_raw(&e, buf_bytes(&body));
	cbor_put_bytes(&e, checksum.b, sizeof checksum.b);
	return cbor_enc_end(&e);
}

int keyfile_seal(struct bytes payload, const struct secret *passphrase, const struct kdf_params *params, struct buf *b)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	struct keyfile_body f = { .kdf = passphrase ? KEYFILE_ARGON2ID : KEYFILE_NONE };
	size_t start = b->len;
	int err;

	if (payload.len == 0 || payload.len > KEYFILE_MAX_PAYLOAD)
		return ERR_RANGE;
	if (!passphrase) {
		if ((err = secret_random(KEY_SIZE, &key)) < 0)
			return err;
		memcpy(f.clear, secret_key(key), KEY_SIZE);
	} else {
		if (params)
			f.params = *params;
		else
			kdf_params_new(&f.params);
		if ((err = kdf_passphrase(secret_bytes(passphrase), &f.params, &key)) < 0)
			return err;
	}
	err = put_file(b, &f, secret_key(key), payload);
	sodium_memzero(f.clear, sizeof f.clear);
	if (err < 0)
		b->len = start;
	return err;
}
