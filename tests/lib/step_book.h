/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step_book: what everybody was told of one space's steps, by answers, notifications and pulls: whoever says something
 * of a cursor must say what all others do. Any thread. Fails the test.
 *
 *	step_book_init(&b, 1);                       // its newest cursor
 *	step_book_answered(&b, cursor, &digest);     // of a push: once for each cursor
 *	step_book_told(&b, cursor, &digest);         // by a pull or notification
 *	uint64_t n = step_book_check(&b);            // 2 .. n + 1: each answered for, each once
 */
#ifndef COFFER_TESTS_LIB_STEP_BOOK_H
#define COFFER_TESTS_LIB_STEP_BOOK_H

#include <pthread.h>
#include "base/id.h"
#include "tests/lib/unit.h"

struct step_note {
	struct id16 digest; /* of what the step brought */
	bool known, answered;
};

struct step_book {
	pthread_mutex_t lock; /* all below */
	uint64_t first;       /* cursor before the first note */
	uint64_t newest;      /* cursor that anybody spoke of */
	struct step_note *notes;
	size_t cap;
};

void step_book_init(struct step_book *b, uint64_t cursor);
void step_book_release(struct step_book *b);

/* The digest of a step's lines: of the hashes of its records, in their order. */
struct id16 step_digest(const struct id32 *hashes, size_t n);
struct id16 step_digest_of_lines(struct bytes lines);

void step_book_answered(struct step_book *b, uint64_t cursor, const struct id16 *digest);
void step_book_told(struct step_book *b, uint64_t cursor, const struct id16 *digest);
uint64_t step_book_newest(struct step_book *b);
/* After the last push: no cursor is left out, each was answered once. How many there are. */
uint64_t step_book_check(struct step_book *b);

#endif
