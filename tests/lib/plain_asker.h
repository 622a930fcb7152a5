/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_asker: a device that does everything the plain protocol knows again and again, while another listens, and
 * leaves the store as large as it was: for tests of what that leaves in the relay's memory. Everything asserts.
 *
 *	plain_asker_begin(&a, port, url);
 *	n += plain_asker_round(&a);       // requests and notifications that it sent
 *	n += plain_asker_grow(&a);        // what stays in the store: a membership entry, the trace of a file
 *	plain_asker_end(&a);
 */
#ifndef COFFER_TESTS_LIB_PLAIN_ASKER_H
#define COFFER_TESTS_LIB_PLAIN_ASKER_H

#include "tests/lib/plain_place.h"

struct plain_asker {
	struct plain_place place;
	uint16_t port;
	struct party me, other;
	struct rpc_client c, listens;
	char *ucan, *other_ucan;
	struct buf token, answer;
	size_t sent;                /* in this round, */
	size_t unanswered;          /* of them */
	uint64_t cursor;            /* of the last push */
	uint64_t standing;          /* of the record that is written again and again */
	uint64_t round, entries, files;
	struct id32 last; /* entry */
	uint32_t epoch;
};

void plain_asker_begin(struct plain_asker *a, uint16_t port, const char *url);
size_t plain_asker_round(struct plain_asker *a);
size_t plain_asker_grow(struct plain_asker *a);
void plain_asker_end(struct plain_asker *a);

#endif
