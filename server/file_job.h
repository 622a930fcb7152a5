/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_job: the work behind the plain protocol's file routes, as steps of one job whose j->space and j->chunk name
 * space and file. j->state is a struct file_job from the beginning. A step that returns > 0 wants the next; one that
 * returns OK has set j->status and perhaps j->body.
 *
 *	upload:    check (may they? is it new?), then with the whole body: keep (durable under an id of its own),
 *	           store (the row)
 *	download:  get, again and again, a slice each time
 */
#ifndef COFFER_SERVER_FILE_JOB_H
#define COFFER_SERVER_FILE_JOB_H

#include "server/plain.h"

struct file_job {
	struct buf ucan; /* of the header; empty if there was none */
	/* upload */
	const char *fault; /* of its headers; NULL: none */
	struct id16 record;
	uint8_t dek[PLAIN_DEK]; /* of a download too */
	struct blob_spool *spool; /* the body; NULL: it is in `held`, until it is kept */
	struct buf held;
	struct id16 object;
	/* what the steps know */
	struct plain_right right;
	bool asked;
	struct depot_plain sp;
	uint64_t size, sent; /* size: of an upload from the beginning */
};

extern const struct method method_file_check, method_file_keep, method_file_store, method_file_get;

struct file_job *file_job_new(void);

#endif
