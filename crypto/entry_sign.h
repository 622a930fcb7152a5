/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_sign: the parts that the builders of entries share. Private to crypto/entry_make.c and crypto/space_make.c.
 */
#ifndef COFFER_CRYPTO_ENTRY_SIGN_H
#define COFFER_CRYPTO_ENTRY_SIGN_H

#include "crypto/entry_make.h"

/* Appends the signed next entry of `log` with this payload. */
int entry_sign(const struct log *log, enum entry_type type, struct bytes payload, const struct secret *key,
	uint64_t now, struct buf *ret_blob) MUST_CHECK;

/* The device's public keys; its label sealed into `label` under the newest epoch key, if the ring holds it. */
int entry_device_keys(const struct log *log, const struct identity *id, const struct epoch_ring *ring,
		      struct buf *label, struct device_keys *ret_keys) MUST_CHECK;

/* Appends a join's payload. */
int entry_put_join_by(const struct log *log, const struct identity *id, const struct invite_keys *keys,
		      const struct epoch_ring *ring, struct buf *payload) MUST_CHECK;

#endif
