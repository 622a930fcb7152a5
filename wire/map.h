/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: builds one deterministic CBOR map with text keys, in whatever order the pairs are added.
 *
 *	CLEANUP(map_release) struct map m = MAP_INIT;
 *	map_text(&m, "dir", dir);
 *	map_uint(&m, "uses", 1);
 *	if ((err = map_put(&m, &out)) < 0) return err;
 *
 * The first error is kept and returned by map_put. Keys are borrowed until then (string literals), values are copied.
 */
#ifndef COFFER_WIRE_MAP_H
#define COFFER_WIRE_MAP_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/id.h"

#define MAP_MAX_PAIRS 32
#define MAP_MAX_BYTES (4u << 20)

struct map {
	struct map_pair {
		const char *key;
		size_t off, len; /* encoded value in `values` */
	} pairs[MAP_MAX_PAIRS];
	size_t n;
	struct buf values;
	int err;
};

#define MAP_INIT { .n = 0, .values = BUF_INIT(MAP_MAX_BYTES), .err = OK }
#define MAP_INIT_SECRET { .n = 0, .values = BUF_INIT_SECRET(MAP_MAX_BYTES), .err = OK }

void map_release(struct map *m);
void map_text(struct map *m, const char *key, const char *value); /* NULL: the pair is left out */
void map_text_n(struct map *m, const char *key, const char *value, size_t n);
void map_bytes(struct map *m, const char *key, const void *p, size_t n);
void map_uint(struct map *m, const char *key, uint64_t value);
void map_int(struct map *m, const char *key, int64_t value);
void map_bool(struct map *m, const char *key, bool value);
void map_raw(struct map *m, const char *key, struct bytes item); /* an encoded item */
void map_uuid(struct map *m, const char *key, const struct id16 *id); /* as UUID text */
/* Appends the map to out: pairs in the order of RFC 8949 §4.2.1. ERR_EXISTS if a key was added twice, ERR_RANGE over
 * MAP_MAX_PAIRS. After an error out may hold a part of it. */
int map_put(struct map *m, struct buf *out) MUST_CHECK;

/* Reading a map: the value of `key`, or the fallback if it is absent or of another type. Views point into `map`. */
struct bytes map_get_text(struct bytes map, const char *key); /* empty view if absent */
struct bytes map_get_bytes(struct bytes map, const char *key);
uint64_t map_get_uint(struct bytes map, const char *key, uint64_t fallback);
int64_t map_get_int(struct bytes map, const char *key, int64_t fallback);
bool map_get_bool(struct bytes map, const char *key, bool fallback);
struct bytes map_get_item(struct bytes map, const char *key); /* encoded item; empty view if absent */
bool map_get_uuid(struct bytes map, const char *key, struct id16 *ret_id);
/* The text as a fresh NUL-terminated string (free()); NULL if absent, over max, with a NUL inside, or out of memory. */
char *map_get_string(struct bytes map, const char *key, size_t max);

#endif
