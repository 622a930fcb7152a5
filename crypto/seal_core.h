/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal_core: the one construction of seal.h, for the files seal_*.c and open_*.c alone.
 */
#ifndef COFFER_CRYPTO_SEAL_CORE_H
#define COFFER_CRYPTO_SEAL_CORE_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/id.h"
#include "crypto/secret.h"

#define SEAL_CTX_SPACE "cof-spac"
#define SEAL_CTX_NODE "cof-node"
#define SEAL_CTX_NONCE "cof-nonc"
#define SEAL_FLAG_RAW 0
#define SEAL_FLAG_ZSTD 1

struct seal_job {
	const char *label;
	const uint8_t *key; /* K */
	struct bytes aad;
	const struct id16 *derived;      /* derive the nonce, with this id as salt; NULL: random nonce */
	const struct id32 *plain_hash;   /* with derived, for sealing: keyed hash of just this plaintext */
	size_t least;               /* pad at least to this */
	bool squeeze;
};

/* Seals; appends to b, whose cap must hold the uncompressed size. */
int seal_core(const struct seal_job *job, struct bytes plain, struct buf *b) MUST_CHECK;

/* Opens (open_core.c); appends the plaintext of at most max bytes. ERR_TRUNCATED, ERR_COMMITMENT, ERR_TAMPERED,
 * ERR_RANGE (more than max), ERR_INVALID (padding, flag or length that sealing never makes). */
int open_core(const struct seal_job *job, struct bytes sealed, size_t max, struct buf *b) MUST_CHECK;

/* commitment ‖ AEAD key of one sealed object. The caller wipes `out`. */
void seal_split_key(const struct seal_job *job, const uint8_t *nonce, uint8_t out[64]);

/* The key of a node's records. The caller wipes `out`. */
void seal_node_key(
	const uint8_t epoch_key[KEY_SIZE], const struct id16 *space, const struct id16 *id, uint8_t out[KEY_SIZE]);

/* Bytes that a body of len is padded to. */
size_t seal_padded(const struct seal_job *job, size_t len);

#endif
