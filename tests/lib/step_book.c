/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/step_book.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "wire/head.h"

void step_book_init(struct step_book *b, uint64_t cursor)
{
	*b = (struct step_book){ .first = cursor, .newest = cursor };
	pthread_mutex_init(&b->lock, NULL);
}

void step_book_release(struct step_book *b)
{
	pthread_mutex_destroy(&b->lock);
	free(b->notes);
}

struct id16 step_digest(const struct id32 *hashes, size_t n)
{
	struct id32 sum;
	struct id16 digest;

	hash_sha256(bytes_of(hashes, n * sizeof *hashes), &sum);
	memcpy(digest.b, sum.b, sizeof digest.b);
	return digest;
}

struct id16 step_digest_of_lines(struct bytes lines)
{
	FREE_AFTER struct line *line = NULL;
	FREE_AFTER struct id32 *hashes = NULL;
	size_t n;

	assert_int_equal(lines_decode(lines, &line, &n), 0);
	hashes = calloc(n + 1, sizeof *hashes);
	assert_non_null(hashes);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(line[i].kind, LINE_RECORD);
		hashes[i] = line[i].hash;
	}
	return step_digest(hashes, n);
}

/* With the lock held. */
static struct step_note *note_of(struct step_book *b, uint64_t cursor)
{
	size_t i = cursor - b->first - 1;

	assert_true(cursor > b->first);
	assert_true(i < SIZE_MAX / 4 / sizeof *b->notes);
	if (i >= b->cap) {
		size_t cap = i + 1 + i / 2 + 1024;

		b->notes = realloc(b->notes, cap * sizeof *b->notes);
		assert_non_null(b->notes);
		memset(b->notes + b->cap, 0, (cap - b->cap) * sizeof *b->notes);
		b->cap = cap;
	}
	if (cursor > b->newest)
		b->newest = cursor;
	return &b->notes[i];
}

static void note(struct step_book *b, uint64_t cursor, const struct id16 *digest, bool answered)
{
	struct step_note *n;

	pthread_mutex_lock(&b->lock);
	n = note_of(b, cursor);
	if (n->known && !id16_equal(&n->digest, digest))
		fail_msg("cursor %llu stands for two pushes", (unsigned long long)cursor);
	if (n->answered && answered)
		fail_msg("cursor %llu was given twice", (unsigned long long)cursor);
	n->digest = *digest;
	n->known = true;
	n->answered |= answered;
	pthread_mutex_unlock(&b->lock);
}

void step_book_answered(struct step_book *b, uint64_t cursor, const struct id16 *digest)
{
	note(b, cursor, digest, true);
}

void step_book_told(struct step_book *b, uint64_t cursor, const struct id16 *digest)
{
	note(b, cursor, digest, false);
}

uint64_t step_book_newest(struct step_book *b)
{
	uint64_t n;

	pthread_mutex_lock(&b->lock);
	n = b->newest;
	pthread_mutex_unlock(&b->lock);
	return n;
}

uint64_t step_book_check(struct step_book *b)
{
	for (uint64_t i = 0; i < b->newest - b->first; i++)
		if (!b->notes[i].answered)
			fail_msg("cursor %llu was told to nobody who pushed", (unsigned long long)(b->first + i + 1));
	return b->newest - b->first;
}
