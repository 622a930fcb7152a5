/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal: everything that seals what leaves the device. One construction for all; opening is in open_*.h.
 *
 *	body  = plaintext, or its zstd level 1 if that saves at least 5 % (never in seal_small)
 *	pad   = zeros up to padme_size(len(body)), in seal_small at least SEAL_SMALL_MIN
 *	inner = body ‖ pad ‖ flag u8 (0 raw, 1 zstd) ‖ len(body) u32 big-endian
 *	commitment 32 ‖ aead key 32 = BLAKE2b-512(key = K, label ‖ nonce)
 *	sealed = nonce 24 ‖ commitment 32 ‖ XChaCha20-Poly1305-IETF(aead key, nonce, aad, inner) (tag 16 at the end)
 *
 * XChaCha20-Poly1305 does not commit to its key; the commitment (UtC of Bellare and Hoang, EUROCRYPT 2022) does, so no
 * ciphertext opens under two keys.
 * Records: K = kdf_subkey(kdf_subkey(epoch key, "cof-spac", space), "cof-node", id), random nonce.
 * Chunks: K is the chunk's own random key; nonce = first 24 bytes of BLAKE2b-256(key = kdf_subkey(K, "cof-nonc", chunk
 * id), len(aad) u64 big-endian ‖ aad ‖ x), where x is inner if the body is a zstd frame, and chunk_hash ‖ flag ‖
 * len(body) if it is the plaintext, which these name as well. Sealing a chunk again, after a crash, gives the same
 * bytes under the same zstd; if another zstd gives another body, the nonce is another too, so that no two messages ever
 * share key and nonce. The hash is made in the same call from the very bytes that are sealed, or was made of bytes with
 * the same fingerprint, so that not even a store that gives back other bytes makes it so.
 * Small: random nonce.
 * What label and aad are for each object is in docs/FORMAT.md "Sealing".
 *
 * Thread-safe; each thread keeps one zstd context until it ends. All out buffers are appended to, and left as they were
 * on an error.
 */
#ifndef COFFER_CRYPTO_SEAL_H
#define COFFER_CRYPTO_SEAL_H

#include "base/buf.h"
#include "base/id.h"
#include "crypto/secret.h"
#include "wire/chunk.h"
#include "wire/record.h"

#define SEAL_NONCE_SIZE 24
#define SEAL_COMMITMENT_SIZE 32
#define SEAL_TAG_SIZE 16
#define SEAL_TRAILER_SIZE 5
#define SEAL_OVERHEAD (SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE + SEAL_TRAILER_SIZE + SEAL_TAG_SIZE)
#define SEAL_SMALL_MIN 32
#define SEAL_SMALL_MAX 65536u /* plaintext of seal_small */
#define RECORD_MAX_BODY (1u << 20)  /* plaintext of a record: it may shrink to fit RECORD_MAX_BLOB */
#define HASH_CHUNK_LABEL "coffer/chunk-hash/1"

/* Appends the concatenated ids of the chunks that slices name, ascending and unique: the clear list of a record or of
 * an index chunk. */
int seal_named(const struct slice *slices, size_t n, struct buf *b) MUST_CHECK;

/*
 * Appends the whole signed blob of a record. Of *h the caller sets space, id, version, prev, epoch, log_head, author
 * and flags; chunks and sealed_hash are made here. If ret_hash is not NULL it becomes SHA-256 of the blob, the record's
 * hash. ERR_INVALID: `sign_key` is not the author's; ERR_RANGE: larger than RECORD_MAX_BLOB.
 */
int seal_record(const uint8_t epoch_key[KEY_SIZE], const struct record_header *h, const struct node_body *body,
	const struct secret *sign_key, struct buf *ret_blob, struct id32 *ret_hash) MUST_CHECK;

/* BLAKE2b-256 of a chunk's plaintext under the space's hash key (struct slice.hash). */
void chunk_hash(const uint8_t hash_key[KEY_SIZE], struct bytes plain, struct id32 *ret_hash);

/* Appends the blob of a content chunk (1..CHUNK_MAX_PLAIN bytes, else ERR_RANGE) and completes *ret_slice: chunk_len
 * and hash. chunk and key are what the caller set in it, random and made for this chunk; at, len and from stay. */
int seal_chunk(const struct id16 *space, const uint8_t hash_key[KEY_SIZE], struct bytes plain, struct slice *ret_slice,
	struct buf *ret_blob) MUST_CHECK;

/* The same for a slice that is complete, of bytes that its hash was made of, which the caller knows (fingerprint.h):
 * chunk_len is held against them (ERR_RANGE), the hash is not. */
int seal_chunk_again(
	const struct id16 *space, struct bytes plain, const struct slice *s, struct buf *ret_blob) MUST_CHECK;

/* What seal_chunk does, for an index chunk. */
int seal_index(const struct id16 *space, const uint8_t hash_key[KEY_SIZE], const struct slice *slices, size_t n,
	struct slice *ret_slice, struct buf *ret_blob) MUST_CHECK;

/* Appends the sealed form of a short plaintext: names in log entries, invite bundles, the back chain of epoch keys, key
 * files. `label` is ASCII and unique to the purpose; `aad` binds the place. ERR_RANGE if over SEAL_SMALL_MAX. */
int seal_small(
	const char *label, const uint8_t key[KEY_SIZE], struct bytes aad, struct bytes plain, struct buf *b) MUST_CHECK;

#endif
