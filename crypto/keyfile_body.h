/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyfile_body: the decoded form of keyfile.h's bytes, for keyfile.c and open_keyfile.c alone.
 */
#ifndef COFFER_CRYPTO_KEYFILE_BODY_H
#define COFFER_CRYPTO_KEYFILE_BODY_H

#include "base/buf.h"
#include "crypto/kdf.h"

enum keyfile_kdf { KEYFILE_NONE = 0, KEYFILE_ARGON2ID = 1 };

struct keyfile_body {
	uint64_t kdf; /* enum keyfile_kdf */
	struct kdf_params params;
	uint8_t clear[KEY_SIZE]; /* with KEYFILE_NONE */
	struct bytes sealed;     /* empty: left out, which gives the additional data */
};

int keyfile_put_body(struct buf *b, const struct keyfile_body *f) MUST_CHECK;

/* Checks the checksum and decodes. ERR_CORRUPT, ERR_VERSION. */
int keyfile_decode(struct bytes file, struct keyfile_body *ret_f) MUST_CHECK;

#endif
