/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cbor_oracle: libcbor as a judge of wire/cbor. Loaded at run time, because its names and ours are the same.
 */
#ifndef COFFER_TESTS_LIB_CBOR_ORACLE_H
#define COFFER_TESTS_LIB_CBOR_ORACLE_H

#include "base/buf.h"

/* Appends to out what libcbor writes for the one item that it reads from `in`. ERR_INVALID if it does not read exactly
 * all of `in`; ERR_UNSUPPORTED if there is no libcbor. */
int cbor_oracle_copy(struct bytes in, struct buf *out) MUST_CHECK;

/* The same, but writes the tree that libcbor read with the shortest heads; ERR_NONCANONICAL if keys of a map do not
 * ascend, ERR_INVALID for types that Coffer does not use. */
int cbor_oracle_canonical(struct bytes in, struct buf *out) MUST_CHECK;

#endif
