/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format_world: the person, devices and personal space of the examples in docs/FORMAT.md. All keys are bytes that count
 * up, and so is what the random source gives: the same bytes each time. What random bytes an example holds begins where
 * world_random() was told.
 *
 *	struct world w;
 *	world_init(&w);       // the log has its first three entries, applied with every check
 */
#ifndef COFFER_TESTS_LIB_FORMAT_WORLD_H
#define COFFER_TESTS_LIB_FORMAT_WORLD_H

#include "crypto/entry_make.h"
#include "tests/lib/unit.h"

#define WORLD_NOW 1700000000u
#define WORLD_RELAY "https://relay.example"
#define WORLD_CODE "0123-4567-89AB-CDEF"
#define WORLD_LINK "coffer://join/relay.example#tuSblJedUmCEollRu_ihb0h0z5G44VhjFvXfjJzuB98" /* the same invite */

struct world_device {
	struct secret *ed, *x;
	struct device_keys keys; /* label: view of `label` */
	struct cert_link link;
	struct buf chain, label;
};

struct world {
	struct person *person;
	struct world_device one, two; /* certified by the root; by a pairing invite of the first */
	struct secret *key[2];        /* of epochs 1 and 2 */
	struct epoch_ring *ring;      /* holds epoch 1 */
	struct identity *id;          /* of device one */
	struct invite_keys invite;
	struct log *log;              /* personal space */
	struct buf member, epoch, entry; /* payloads of entries 1 and 2, and the whole entry 1 */
};

void world_init(struct world *w); /* starts the crypto library, with its own random source */
void world_release(struct world *w);

/* The random source goes on from this byte. */
void world_random(uint8_t first);
/* n bytes: first, first + 1, ... */
void counting(void *p, size_t n, uint8_t first);
struct id16 id16_from(uint8_t first);
struct id32 id32_from(uint8_t first);

/* Signs a payload as the next entry and applies it; the entry is left in *ret_blob (emptied before). */
void world_append(struct world *w, enum entry_type type, struct bytes payload, const struct secret *key,
	struct buf *ret_blob);
/* Signs by label. */
void world_sign(const char *label, const struct buf *message, const struct secret *key, uint8_t ret_signature[64]);
/* The second device's chain; needs the grant that the invite carries. */
void world_certify_two(struct world *w, const uint8_t grant[64]);

#endif
