/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_record: verifies and opens a record's blob (seal.h has the construction).
 *
 *	CLEANUP(opened_record_release) struct opened_record o = OPENED_RECORD_INIT;
 *	if ((err = open_record(key, blob, &space, NULL, &o)) < 0) return err;
 *	use(o.r.h, o.body);
 *
 * The caller has looked up the epoch key by the header's epoch (record_decode) and asks its log whether the author may
 * write and whether the log head stands in it.
 */
#ifndef COFFER_CRYPTO_OPEN_RECORD_H
#define COFFER_CRYPTO_OPEN_RECORD_H

#include "crypto/secret.h"
#include "wire/record.h"

struct opened_record {
	struct record r;       /* views into the blob */
	struct node_body body; /* views into `plain` */
	struct buf plain;      /* wiped on release */
};

#define OPENED_RECORD_INIT \
	{ \
		.plain = BUF_INIT_SECRET(1u << 20) \
	}

/*
 * Checks as verify_record() does, then the commitment (ERR_COMMITMENT: sealed under another epoch key, space or id),
 * the tag (ERR_TAMPERED), padding and length (ERR_INVALID), the body (the decoder's errors), and that the chunks which
 * the body names are exactly those of the header (ERR_TAMPERED). *ret_o must hold nothing (initialised or released); on
 * an error it is left alone.
 */
int open_record(const uint8_t epoch_key[KEY_SIZE], struct bytes blob, const struct id16 *space, const struct id16 *id,
	struct opened_record *ret_o) MUST_CHECK;

/* Frees and wipes; the struct may be used again. */
void opened_record_release(struct opened_record *o);

#endif
