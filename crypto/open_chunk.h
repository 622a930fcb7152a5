/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_chunk: opens a chunk's blob against the slice that names it (seal.h has the construction). A chunk is not
 * signed: what vouches for it is the slice, out of a signed record or an index chunk that such a record vouches for.
 */
#ifndef COFFER_CRYPTO_OPEN_CHUNK_H
#define COFFER_CRYPTO_OPEN_CHUNK_H

#include "crypto/secret.h"
#include "wire/chunk.h"
#include "wire/record.h"

/*
 * Appends the plaintext of a content chunk to *ret_plain (cap at least s->chunk_len more), exactly s->chunk_len bytes.
 * ERR_CONTEXT: of another space or id, or an index chunk; ERR_COMMITMENT: another key; ERR_TAMPERED: tag, or the keyed
 * hash of the plaintext differs from s->hash; ERR_INVALID: length or padding other than said. The decoder's errors.
 */
int open_chunk(const struct id16 *space, const struct slice *s, const uint8_t hash_key[KEY_SIZE], struct bytes blob,
	struct buf *ret_plain) MUST_CHECK;

/* The same for an index chunk, then decodes: *ret_slices is to be freed (wiped by the caller with secret_wipe).
 * Besides: ERR_TAMPERED if the chunks that it names are not exactly those of its clear list. */
int open_index(const struct id16 *space, const struct slice *s, const uint8_t hash_key[KEY_SIZE], struct bytes blob,
	struct slice **ret_slices, size_t *ret_n) MUST_CHECK;

#endif
