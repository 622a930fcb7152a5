/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: what a relay tells of the room that a space takes: three pairs of a CBOR map, that of coffer.usage or of a
 * refusal.
 *
 *	if ((err = usage_read(relay, store, space_no, &u)) < 0) ...
 *	cbor_put_map(&e, 2 + usage_pairs(&u)); ...; usage_put(&e, &u);
 *
 * What its owner's other spaces take is not told: its members need not know.
 */
#ifndef COFFER_SERVER_USAGE_H
#define COFFER_SERVER_USAGE_H

#include "server/depot.h"
#include "wire/cbor.h"

struct relay;

struct usage {
	uint64_t used;    /* bytes of chunks and of all versions of records */
	uint64_t history; /* how many of them are there for replaced versions alone (history.h), if `counted` */
	uint64_t quota;   /* of one space; 0: none */
	bool counted;
};

/* Any thread, with its store. Does not count history. */
int usage_read(struct relay *relay, struct depot *store, uint64_t space, struct usage *ret_u) MUST_CHECK;
size_t usage_pairs(const struct usage *u);
void usage_put(struct cbor_enc *e, const struct usage *u);

#endif
