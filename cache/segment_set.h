/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_set: what the parts of `segment` share, and nobody else includes: the set (segment.c), heads
 * (segment_head.c), files (segment_file.c), live bytes (segment_live.c). Those that take a set want its lock held, but
 * where it says so.
 */
#ifndef COFFER_CACHE_SEGMENT_SET_H
#define COFFER_CACHE_SEGMENT_SET_H

#include <pthread.h>
#include "cache/segment.h"

enum { SEGMENT_NAME = 24, SEGMENT_POOL = 4, SEGMENT_SPARES = 2 };

struct segment_handle {
	int fd;
	unsigned refs, n_pool;
	bool dead; /* no segment points here any more: the last reference frees */
	struct aead *pool[SEGMENT_POOL];
	struct aead *first; /* the one others are made from */
};

struct segment {
	uint64_t number, size, live, empty_seq, used, given, gained;
	uint64_t need, need_live; /* need as measured when live was need_live */
	bool changed;
	struct segment_handle *h;
};

struct segment_undo {
	uint64_t number;
	int64_t delta;
};

struct segments {
	const struct env *env;
	int dirfd;
	const struct secret *key;
	uint64_t size; /* of ordinary ones */
	pthread_mutex_t lock;
	struct segment *seg; /* ascending by number */
	size_t n, alloc;
	unsigned n_open;
	uint64_t clock;
	struct segment_undo *undo;
	size_t n_undo, undo_alloc;
	bool marked, undo_lost;
	uint64_t gains, lost;
	uint64_t names, names_synced;     /* changes of names, and how many of them are on disk */
	uint64_t newest;                  /* highest number ever registered */
	uint64_t prepared, prepared_size; /* number whose file is ready; 0: none */
	uint64_t reserve;                 /* size of the reserve; 0: none */
	uint64_t spare[SEGMENT_SPARES];           /* sizes of spare-0, spare-1; 0: none */
	int making;                       /* the spare that is being made without the lock; -1: none */
};

void segment_name(char name[SEGMENT_NAME], uint64_t number);

/* The head of the file fd, which must be that of this number, and its cipher, for aead_free(). ERR_CORRUPT: there is
 * none yet, or that of another number. ERR_TAMPERED: it does not open. Needs no lock. */
int segment_head_read(
	struct segments *set, int fd, uint64_t number, struct segment_info *ret, struct aead **ret_aead) MUST_CHECK;
/* A new one, sealed under the store key. Needs no lock. */
void segment_head_make(struct segments *set, const struct segment_info *info, enum aead_suite suite,
	const uint8_t segment_key[KEY_SIZE], uint8_t out[SEGMENT_HEAD]);

/* Notes which spares and which reserve the directory has. */
void segments_find_spares(struct segments *set);

/* Index of the first segment with a number >= number. */
size_t segments_position(const struct segments *set, uint64_t number);
/* NULL: not registered. Valid until a row comes or goes. */
struct segment *segments_find(struct segments *set, uint64_t number);
/* Makes sure that the next segments_insert_row() has room. */
int segments_reserve_row(struct segments *set) MUST_CHECK;
struct segment *segments_insert_row(struct segments *set, uint64_t number, uint64_t size, uint64_t live);
/* Lets go of a segment's descriptor. */
void segments_drop_handle(struct segments *set, struct segment *seg);

#endif
