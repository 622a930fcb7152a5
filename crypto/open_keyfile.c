/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "crypto/keyfile.h"
#include "crypto/keyfile_body.h"
#include "crypto/open_small.h"

/* The key that the payload is sealed under. */
static int file_key(const struct keyfile_body *f, const struct secret *passphrase, struct secret **ret_key)
{
	if (f->kdf == KEYFILE_NONE)
		return secret_from(bytes_of(f->clear, KEY_SIZE), ret_key);
	if (!passphrase)
		return ERR_WRONG_KEY;
	return kdf_passphrase(secret_bytes(passphrase), &f->params, ret_key);
}

static int open_payload(struct keyfile_body *f, const uint8_t *key, struct secret **ret_payload)
{
	CLEANUP(buf_release) struct buf aad = BUF_INIT_SECRET(KEYFILE_MAX);
	struct bytes sealed = f->sealed;
	int err;

	f->sealed = bytes_of(NULL, 0);
	if ((err = keyfile_put_body(&aad, f)) < 0)
		return err;
	err = open_small(KEYFILE_LABEL, key, buf_bytes(&aad), sealed, ret_payload);
	if (err == ERR_COMMITMENT) /* with a clear key nothing but a changed file explains it */
		return f->kdf == KEYFILE_NONE ? ERR_TAMPERED : ERR_WRONG_KEY;
	return err;
}

int keyfile_open(struct bytes file, const struct secret *passphrase, struct secret **ret_payload)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	struct keyfile_body f = { .kdf = KEYFILE_NONE };
	int err = keyfile_decode(file, &f);

	if (err == 0)
		err = file_key(&f, passphrase, &key);
	if (err == 0)
		err = open_payload(&f, secret_key(key), ret_payload);
	secret_wipe(f.clear, sizeof f.clear);
	return err;
}
