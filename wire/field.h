/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field: maps with small integer keys, as Coffer's own formats use them: written in ascending order, read in ascending
 * order, nothing unknown accepted.
 *
 *	write: cbor_put_map(&e, 2); field_put_uint(&e, 0, FORMAT); field_put_id32(&e, 1, &key);
 *	read:  struct fields f = fields_begin(&d, 3);      // at most 3 pairs
 *	       field_need(&f, 0); format = cbor_get_uint(&d);
 *	       if (field_take(&f, 2)) optional = cbor_get_uint(&d);
 *	       fields_end(&f);                             // ERR_INVALID if pairs are left
 *
 * Errors stand in the encoder and decoder, as always.
 */
#ifndef COFFER_WIRE_FIELD_H
#define COFFER_WIRE_FIELD_H

#include "base/id.h"
#include "wire/cbor.h"

void field_put_uint(struct cbor_enc *e, uint64_t key, uint64_t v);
void field_put_bytes(struct cbor_enc *e, uint64_t key, struct bytes v);
void field_put_id16(struct cbor_enc *e, uint64_t key, const struct id16 *v);
void field_put_id32(struct cbor_enc *e, uint64_t key, const struct id32 *v);
void field_put_raw(struct cbor_enc *e, uint64_t key, struct bytes item); /* an encoded item */

struct fields {
	struct cbor_dec *d;
	size_t left; /* pairs not read yet */
};

struct fields fields_begin(struct cbor_dec *d, size_t max);
/* If the next key is `key`: consumes it (the value follows) and returns true. */
bool field_take(struct fields *f, uint64_t key);
void field_need(struct fields *f, uint64_t key); /* ERR_INVALID if it is not the next */
void fields_end(struct fields *f);

#endif
