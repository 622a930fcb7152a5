/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content: turns the bytes of a file, as an image holds them, into slices of chunks, and back.
 *
 * Sealing, for an image loaded in transaction t1 under a store_keep:
 *
 *	content_snapshot(t1, &img, &c);            // rows of the chunks that its extents name
 *	content_make(&maker, &img, before, &c);    // no transaction: reads, hashes, fills img.body's content
 *	content_store(t2, &img, &c);               // adds the new chunks and puts them in the place of the local
 *	                                           // extents
 *	content_release(&c);
 *
 * Up to NODE_INLINE_MAX bytes stand in the body. Otherwise each local run becomes chunks that end at multiples of
 * CHUNK_MAX_PLAIN of the file; a run under CONTENT_MIN_RUN takes its neighbours along where they are short too. Holes
 * are not covered. More than NODE_MAX_SLICES slices stand in index chunks; those whose entries did not change are used
 * again.
 *
 * Chunks are not sealed here: key, id and plaintext hash are fixed, and the upload seals from the store, any number of
 * times, to the same bytes.
 */
#ifndef COFFER_FUSEFS_CONTENT_H
#define COFFER_FUSEFS_CONTENT_H

#include "crypto/fingerprint.h"
#include "fusefs/image.h"
#include "fusefs/workers.h"

#define CONTENT_MIN_RUN (64u * 1024)

struct content_maker {
	const struct env *env;
	struct store *store;
	const uint8_t *hash_key; /* of the space */
	struct workers *workers; /* read and hash chunks; NULL: the caller does */
	const uint8_t *fingerprint_key; /* NULL: none are made */
};

/* A chunk that sealing made. */
struct content_chunk {
	struct chunk_row row;
	uint64_t off, len;  /* the range of the file; index chunks: 0 */
	bool mixed;         /* holds bytes of other chunks too: cannot be adopted */
	bool ahead;         /* content_store_ahead has stored it */
	bool has_print;
	struct fingerprint print; /* of the bytes that row.hash was made of */
	struct buf plain;   /* index chunks, and mixed or lost ones: what txn_chunk_fill gets; secret */
};

struct content {
	struct chunk_row *rows; /* one per extent of the image; zero for local ones */
	size_t n_rows;
	struct content_chunk *chunks;
	size_t n_chunks;
	uint64_t *unconfirmed;  /* rows of all chunks named that the relay does not have, after content_store */
	size_t n_unconfirmed, alloc_unconfirmed;
	struct chunk_row *named_index; /* index chunks used again */
	size_t n_named_index;
};

#define CONTENT_INIT { .rows = NULL }

int content_snapshot(struct store_txn *t, const struct image *img, struct content *c) MUST_CHECK;

/* `before` may be NULL: the body of the version before, for its index chunks. ERR_ABSENT: bytes that are needed are not
 * here. */
int content_make(
	const struct content_maker *m, struct image *img, const struct node_body *before, struct content *c) MUST_CHECK;

/* ERR_CONFLICT: the file changed in a range that became a chunk: abort t, content_keep_plain, and try again. */
int content_store(struct store_txn *t, const struct image *img, struct content *c) MUST_CHECK;

/* For a file with more chunks than one transaction holds (content_store said ERR_RANGE; t is aborted): stores them in
 * transactions of their own, and content_store then only names them. Under the keep that stood when c was made. They
 * stay chunks of the file if no record follows; the next one names them. ERR_CONFLICT: the file changed; what was not
 * stored is left to content_store. */
int content_store_ahead(struct store *store, const struct image *img, struct content *c) MUST_CHECK;

/* Reads the plaintext of every chunk from the snapshot, so that content_store needs nothing of the file as it is now.
 * ERR_RANGE if that is more than `cap` bytes. */
int content_keep_plain(
	const struct content_maker *m, const struct image *img, struct content *c, size_t cap) MUST_CHECK;

void content_release(struct content *c);

/* ---- the other way ---- */

/* All slices of content of a body, index chunks resolved, with the index chunks themselves. */
struct content_flat {
	struct slice *slices; /* allocated only if there is an index; else the body's own */
	size_t n_slices;
	bool owned;
	struct content_index {
		struct slice entry;
		struct buf plain;
	} *index;
	size_t n_index;
};

/* Where an index chunk's plaintext comes from: appends it; ERR_ABSENT if it is not here. Checks it against *entry. */
typedef int (*content_index_fn)(void *ctx, const struct slice *entry, struct buf *ret_plain);

/* ERR_ABSENT if one of the index chunks is not here; ERR_INVALID if the tree contradicts itself. */
int content_flatten(
	const struct node_body *body, content_index_fn fn, void *ctx, struct content_flat *ret_f) MUST_CHECK;
void content_flat_release(struct content_flat *f);

/* The row of the chunk that a slice names: found and compared, or added; its key is set: wipe it. ERR_TAMPERED as
 * below. */
int content_chunk_row(
	struct store_txn *t, uint32_t space, const struct slice *s, bool index, struct chunk_row *ret_row) MUST_CHECK;

/* Puts the content of a node: inline bytes, or references to chunk rows, added where unknown. ERR_TAMPERED: a slice
 * names a chunk that is known with another key, length or hash. */
int content_apply(struct store_txn *t, uint32_t space, uint64_t ino, const struct node_body *body,
	const struct content_flat *f) MUST_CHECK;

/* Adds the chunk rows that content_apply would, in transactions of their own, for content that is too much for one:
 * what is left is 20 bytes a slice. Rows that nothing came to name stay and are found by the next try. ERR_TAMPERED as
 * there. */
int content_apply_ahead(struct store *store, uint32_t space, const struct content_flat *f) MUST_CHECK;

/* Whether zeros stand in the content that no byte is kept for. */
bool content_has_holes(const struct node_body *body, const struct content_flat *f);

/* 1 if two bodies hold the same content as far as their slices tell (chunks may differ, plaintext hashes may not). */
int content_equal(const struct node_body *a, const struct node_body *b);

#endif
