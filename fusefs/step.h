/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step: one step of a space's history as the relay tells it (docs/PROTOCOL.md coffer.pull, coffer.sync), decoded and
 * checked against its lines: every blob is one that a line names. Pure; views point into the encoded map.
 */
#ifndef COFFER_FUSEFS_STEP_H
#define COFFER_FUSEFS_STEP_H

#include "fusefs/apply.h"
#include "wire/head.h"

struct history_step {
	uint64_t cursor;
	bool healed;             /* its records came back after a restore */
	struct bytes lines_blob; /* encoded, as it is chained */
	struct line *lines;
	size_t n_lines;
	struct bytes *records;
	size_t n_records;
	struct bytes *entries;
	size_t n_entries;
	struct chunk_blob *chunks; /* ascending by id, unique */
	size_t n_chunks;
	struct bytes head;         /* empty if none */
};

/* ERR_INVALID and the decoding errors; ERR_TAMPERED: a blob that no line names; ERR_GAP: an entry's line without the
 * entry. */
int step_decode(struct bytes data, struct history_step *ret_s) MUST_CHECK;
void step_release(struct history_step *s);

#endif
