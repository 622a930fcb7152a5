/* SPDX-License-Identifier: Apache-2.0 */
/*
 * params: the maps that methods of the plain protocol take, pair by pair.
 *
 *	params_begin(&p, 2); params_text(&p, "space", space); params_uint(&p, "since", 0);
 *	assert_int_equal(cbor_enc_end(&p.e), 0);
 *	... buf_bytes(&p.b) ...
 *	buf_release(&p.b);
 */
#ifndef COFFER_TESTS_LIB_PARAMS_H
#define COFFER_TESTS_LIB_PARAMS_H

#include "wire/frame.h"

/* A map of n pairs; nested ones go through p->e. */
struct params {
	struct buf b;
	struct cbor_enc e;
};

struct params *params_begin(struct params *p, size_t n);
void params_text(struct params *p, const char *key, const char *v);
void params_uint(struct params *p, const char *key, uint64_t v);
void params_bytes(struct params *p, const char *key, const void *v, size_t n);
void params_undefined(struct params *p, const char *key);
void params_array(struct params *p, const char *key, size_t n); /* its elements follow */
void params_dek(struct params *p, uint8_t epoch);               /* "dek": a wrapped key of that epoch */

#endif
