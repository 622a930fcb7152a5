/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/gcm.h"
#include "crypto/gcm_wide.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* The EVP contexts hold the key schedule, so that a call sets the nonce alone; libcrypto wipes them on free. */
struct gcm {
	struct gcm_wide *wide; /* or NULL, then the two below */
	EVP_CIPHER_CTX *seal, *open;
};

static int setup(struct gcm *g, const uint8_t key[GCM_KEY_SIZE])
{
	g->seal = EVP_CIPHER_CTX_new();
	g->open = EVP_CIPHER_CTX_new();
	if (!g->seal || !g->open)
		return ERR_NOMEM;
	if (EVP_EncryptInit_ex(g->seal, EVP_aes_256_gcm(), NULL, key, NULL) != 1 ||
		EVP_DecryptInit_ex(g->open, EVP_aes_256_gcm(), NULL, key, NULL) != 1)
		return ERR_INTERNAL;
	return 0;
}

int gcm_new(const uint8_t key[GCM_KEY_SIZE], enum gcm_by by, struct gcm **ret_g)
{
	struct gcm *g = calloc(1, sizeof *g);
	if (!g)
		return ERR_NOMEM;
	int err = by == GCM_BEST ? gcm_wide_new(key, &g->wide) : ERR_UNSUPPORTED;
	if (err == ERR_UNSUPPORTED)
		err = setup(g, key);
	if (err < 0) {
		gcm_free(g);
		return err;
	}
	*ret_g = g;
	return 0;
}

void gcm_free(struct gcm *g)
{
	if (!g)
		return;
	gcm_wide_free(g->wide);
	EVP_CIPHER_CTX_free(g->seal);
	EVP_CIPHER_CTX_free(g->open);
	free(g);
}

int gcm_seal(struct gcm *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes plain, uint8_t *out,
	uint8_t tag[GCM_TAG_SIZE])
{
	EVP_CIPHER_CTX *c = g->seal;
	int n;

	if (g->wide) {
		gcm_wide_seal(g->wide, nonce, aad, plain, out, tag);
		return 0;
	}
	if (EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) != 1)
		return ERR_INTERNAL;
	if (aad.len > 0 && EVP_EncryptUpdate(c, NULL, &n, aad.p, (int)aad.len) != 1)
		return ERR_INTERNAL;
	if (plain.len > 0 && EVP_EncryptUpdate(c, out, &n, plain.p, (int)plain.len) != 1)
		return ERR_INTERNAL;
	if (EVP_EncryptFinal_ex(c, tag, &n) != 1)
		return ERR_INTERNAL;
	return EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_SIZE, tag) == 1 ? 0 : ERR_INTERNAL;
}

int gcm_open(struct gcm *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes ct,
	const uint8_t tag[GCM_TAG_SIZE], uint8_t *out)
{
	EVP_CIPHER_CTX *c = g->open;
	uint8_t copy[GCM_TAG_SIZE];
	int n;

	if (g->wide)
		return gcm_wide_open(g->wide, nonce, aad, ct, tag, out);
	memcpy(copy, tag, sizeof copy); /* the interface takes no const */
	if (EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce) != 1)
		return ERR_INTERNAL;
	if (aad.len > 0 && EVP_DecryptUpdate(c, NULL, &n, aad.p, (int)aad.len) != 1)
		return ERR_INTERNAL;
	if (ct.len > 0 && EVP_DecryptUpdate(c, out, &n, ct.p, (int)ct.len) != 1)
		return ERR_INTERNAL;
	if (EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_SIZE, copy) != 1)
		return ERR_INTERNAL;
	return EVP_DecryptFinal_ex(c, copy, &n) == 1 ? 0 : ERR_TAMPERED;
}
