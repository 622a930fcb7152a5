/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_relay: what a relay does for one Coffer space, in memory, by the protocol's words and nothing more:
 * compare-and-swap, steps with lines, chunks, notices. No rights, no limits. For simulations of several devices;
 * everything asserts.
 */
#ifndef COFFER_TESTS_LIB_MODEL_RELAY_H
#define COFFER_TESTS_LIB_MODEL_RELAY_H

#include "base/buf.h"
#include "base/id.h"

#define MODEL_DEVICES 4
#define MODEL_USED 5000000 /* what it says of coffer.usage */
#define MODEL_HISTORY 2000000

struct model_relay;

/* What goes to a device, in this order. */
struct model_event {
	enum { MODEL_PART, MODEL_RESULT, MODEL_DATA, MODEL_NOTICE } kind;
	uint64_t num;        /* of the call that it answers */
	char name[32];       /* MODEL_PART */
	int err;             /* MODEL_RESULT */
	uint8_t *item;       /* free() */
	size_t len;
	struct model_event *next;
};

struct model_relay *model_relay_new(const struct id16 *space);
void model_relay_free(struct model_relay *r);
/* The first step: the entries of the space's log. */
void model_relay_entries(struct model_relay *r, const struct bytes *blobs, size_t n);

/* What an honest relay would not take: a record as a new step, the current one from then on, whatever it follows. */
void model_relay_bring(struct model_relay *r, const struct id16 *record, struct bytes blob);
/* n of them as one step. */
void model_relay_bring_all(struct model_relay *r, const struct id16 *records, const struct bytes *blobs, size_t n);
/* The first version of a record that came. */
struct bytes model_relay_first(const struct model_relay *r, const struct id16 *record);

void model_relay_call(struct model_relay *r, unsigned device, uint64_t num, const char *method, struct bytes params);
void model_relay_put(struct model_relay *r, unsigned device, uint64_t num, const struct id16 *chunk, struct bytes blob);
void model_relay_get(struct model_relay *r, unsigned device, uint64_t num, const struct id16 *chunk);

/* Takes the next event for a device; NULL if there is none. */
struct model_event *model_relay_next(struct model_relay *r, unsigned device);
void model_event_free(struct model_event *e);
/* The connection is gone: nothing is sent to it any more, nothing it is subscribed to. */
void model_relay_hang_up(struct model_relay *r, unsigned device);

/* A chunk's blob; empty if the relay does not have it. */
struct bytes model_relay_chunk(struct model_relay *r, const struct id16 *chunk);
uint64_t model_relay_cursor(const struct model_relay *r);
size_t model_relay_usages(const struct model_relay *r); /* how often it was asked coffer.usage */

#endif
