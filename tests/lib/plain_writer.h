/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_writer: a device that writes to a plain space in every way (pushes of new records, of changed and deleted ones,
 * membership entries, turns of the key with rewraps, and uploads beside all that) by a relay that is killed, and knows
 * what must be there. What was not answered is sent again; that it is refused as a conflict means that it is there
 * already. After that a pull must show all that was acknowledged, with its bytes. Everything asserts.
 *
 *	plain_writer_init(&w, &place, 1, true, seed);
 *	plain_writer_begin(&w, port, url);                   // its first record
 *	while (...) plain_writer_round(&w, port, url, 200);  // until the relay is gone, or 200 deeds are answered
 *	plain_writer_check(&w, port, url);                   // all is there, after a round that was not cut short
 */
#ifndef COFFER_TESTS_LIB_PLAIN_WRITER_H
#define COFFER_TESTS_LIB_PLAIN_WRITER_H

#include "tests/lib/plain_uploader.h"

#define PLAIN_WINDOW 16
#define PLAIN_CHANGES 3

enum plain_what { PLAIN_PUSH, PLAIN_MEMBER, PLAIN_EPOCH_BEGIN, PLAIN_REWRAP, PLAIN_EPOCH_COMPLETE, PLAIN_WHATS };

struct plain_record {
	uint64_t deed, cursor; /* the last that wrote it; where that stands, 0: not known yet */
	uint32_t epoch;        /* of its key */
	bool deleted, under_way;
};

struct plain_op {
	enum plain_what what;
	uint64_t deed, seq; /* seq: of an entry */
	struct buf params;
	size_t records[PLAIN_CHANGES], n_records;
	bool again; /* it was sent before */
};

struct plain_writer {
	struct plain_place *place;
	uint32_t no;
	bool keeper; /* writes entries and turns the key, as nobody else does there */
	struct party me;
	char *ucan;
	uint64_t seed;
	struct plain_op pending[PLAIN_WINDOW];
	size_t n_pending;
	uint64_t deeds, *cursors; /* made; where each stands: 0 not known, or it takes none */
	struct plain_record *records;
	size_t n_records;
	uint64_t entries; /* made */
	struct id32 last; /* hash of the last entry */
	uint32_t epoch;
	bool turning;    /* the key */
	uint64_t pulled; /* all up to this cursor was compared */
	uint64_t done[PLAIN_WHATS], there_already;
	struct plain_uploader files;
};

void plain_writer_init(struct plain_writer *w, struct plain_place *place, uint32_t no, bool keeper, uint64_t seed);
void plain_writer_release(struct plain_writer *w);
void plain_writer_begin(struct plain_writer *w, uint16_t port, const char *url);
/* there: the relay must not go away. */
void plain_writer_round(struct plain_writer *w, uint16_t port, const char *url, size_t deeds, bool there);
void plain_writer_check(struct plain_writer *w, uint16_t port, const char *url);

#endif
