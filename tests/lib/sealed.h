/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed: real records and chunks of a test's space, as a device would push them. Everything asserts.
 */
#ifndef COFFER_TESTS_LIB_SEALED_H
#define COFFER_TESTS_LIB_SEALED_H

#include "tests/lib/party.h"
#include "wire/cbor.h"

struct sealed {
	struct id16 id;
	struct buf blob;
	struct id32 hash; /* of a record */
};

/* A fresh random id. */
struct id16 sealed_id(void);

struct sealed_params {
	const struct id16 *id;     /* NULL: a fresh one */
	uint64_t version;          /* 0: 1 */
	const struct id32 *prev;   /* NULL: none */
	const struct id16 *chunks; /* named by its content */
	size_t n_chunks;
	unsigned flags;
	uint64_t epoch; /* 0: the newest */
};

/* A file's record by this device / a content chunk of `size` random bytes / an index chunk that names others. */
void sealed_record(const struct party *p, const struct new_space *s, struct sealed_params params, struct sealed *ret);
void sealed_chunk(const struct new_space *s, const struct id16 *id, size_t size, struct sealed *ret);
void sealed_index(const struct new_space *s, const struct id16 *chunks, size_t n, struct sealed *ret);
void sealed_release(struct sealed *x);

/* Params of the relay's methods. */
void params_push(struct buf *b, const struct id16 *space, uint64_t number, int64_t after, const struct sealed *records,
	size_t n_records, const struct sealed *chunks, size_t n_chunks, struct bytes head);
void params_append(struct buf *b, const struct id16 *space, const struct buf *entries, size_t n);
void params_pull(struct buf *b, const struct id16 *space, uint64_t since, const char *with, int64_t limit);
void params_get(struct buf *b, const struct id16 *space, const struct id16 *ids, size_t n);
void params_space(struct buf *b, const char *key, const struct id16 *space);
void params_subscribe(struct buf *b, const struct id16 *space);

#endif
