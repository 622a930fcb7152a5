/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labelled: label ‖ message in one piece, which Ed25519 needs. Short ones stand in the struct, longer ones in memory.
 *
 *	CLEANUP(labelled_release) struct labelled l;
 *	if ((err = labelled_init(&l, "coffer/x/1", message)) < 0) return err;      // l is released also on an error
 *	use(l.p, l.len);
 */
#ifndef COFFER_CRYPTO_LABELLED_H
#define COFFER_CRYPTO_LABELLED_H

#include "base/bytes.h"
#include "base/err.h"

struct labelled {
	uint8_t *p;
	size_t len;
	uint8_t *memory; /* what to free, or NULL */
	uint8_t small[4096];
};

/* ERR_NOMEM. */
int labelled_init(struct labelled *l, const char *label, struct bytes message) MUST_CHECK;
void labelled_release(struct labelled *l);

#endif
