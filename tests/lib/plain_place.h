/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_place: a plain space that several devices write to while its relay is killed again and again, and what was said
 * of its cursors. Everything asserts; any thread after plain_place_create.
 *
 *	plain_place_init(&p);
 *	plain_place_create(&p, &client);              // with any device's connection
 *	char *ucan = plain_place_ucan(&p, device);    // free() it
 *	plain_place_took(&p, cursor, plain_deed(no, 7));
 *	n = step_book_check(&p.steps);                // at the end: each cursor stands for one deed, none is left out
 */
#ifndef COFFER_TESTS_LIB_PLAIN_PLACE_H
#define COFFER_TESTS_LIB_PLAIN_PLACE_H

#include "tests/lib/plain_party.h"
#include "tests/lib/rpc_client.h"
#include "tests/lib/step_book.h"

struct plain_place {
	struct plain_party root;
	struct id16 id;
	char text[ID16_TEXT_SIZE];
	struct step_book steps;
};

void plain_place_init(struct plain_place *p);
void plain_place_release(struct plain_place *p);
void plain_place_create(struct plain_place *p, struct rpc_client *c);
/* That this device may do everything there, for an hour. */
char *plain_place_ucan(const struct plain_place *p, const struct party *device);

/* The `number`-th thing that writer `no` did: what a cursor stands for. Also an id, of a record or file. */
struct id16 plain_deed(uint32_t no, uint64_t number);
/* Once for each cursor: this deed has it. */
void plain_place_took(struct plain_place *p, uint64_t cursor, struct id16 deed);

/* A wrapped key of this epoch, always the same for the same id. */
#define PLAIN_PLACE_DEK 44
void plain_place_dek(const struct id16 *id, uint32_t epoch, uint8_t ret_dek[PLAIN_PLACE_DEK]);

#endif
