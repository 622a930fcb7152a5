/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits: how often one address may do a thing. Token buckets in a table of fixed size (the oldest entry makes room),
 * with misses counted apart: each miss in a row doubles the wait for the next, up to an hour.
 *
 *	if (limits_take(l, LIMIT_INVITE, addr, now) < 0) refuse;      // ERR_RATE_LIMITED
 *	if (not found) limits_miss(l, LIMIT_INVITE, addr, now); else limits_hit(l, LIMIT_INVITE, addr);
 *
 * Addresses are what limits_address makes of them: one IPv6 host has a whole /64, so that counts as one.
 *
 * Thread-safe. Times are monotonic nanoseconds.
 */
#ifndef COFFER_SERVER_LIMITS_H
#define COFFER_SERVER_LIMITS_H

#include <stddef.h>
#include <stdint.h>
#include "base/env.h"
#include "server/config.h"

enum limit {
	LIMIT_INVITE,  /* look-ups, and misses with back-off */
	LIMIT_GENESIS, /* new spaces */
	LIMIT_ENTRY,   /* log entries, good or bad, which cost the writer signatures */
	LIMIT_MAIL,    /* letters into mailboxes */
	LIMIT_AUTH,    /* tokens to be checked, which cost the network thread signatures */
	/* UCAN chains to be verified, which cost readers and verify threads up to UCAN_DEPTH signatures each */
	LIMIT_CHAIN,
	/* not by address, and in a table of their own (relay.h: rates), which they fill: */
	LIMIT_DEVICE, /* requests of one device */
	LIMIT_SPACE,  /* pushes into one space by those who may */
	LIMIT_DEVICE_BYTES, /* limits_charge: of its requests, uploads and answers */
	LIMIT_SPACE_BYTES   /* of pushes and uploads into it */
};

struct limits;

int limits_new(const struct env *env, const struct config *c, struct limits **ret_l) MUST_CHECK;
/* Other rates from now on. */
void limits_configure(struct limits *l, const struct config *c);
void limits_free(struct limits *l);
int limits_take(struct limits *l, enum limit what, const char *addr, int64_t now) MUST_CHECK;
/* So many bytes, unless more is owed from before than the burst: one of any size goes through, and is waited for after.
 * ERR_RATE_LIMITED. limits_owe is for what cannot be refused any more. */
int limits_charge(struct limits *l, enum limit what, const char *who, uint64_t bytes, int64_t now) MUST_CHECK;
void limits_owe(struct limits *l, enum limit what, const char *who, uint64_t bytes, int64_t now);
void limits_miss(struct limits *l, enum limit what, const char *addr, int64_t now);
void limits_hit(struct limits *l, enum limit what, const char *addr);

/* What stands for an address in all limits. ERR_INVALID if `text` is none; then `out` is untouched. */
int limits_address(const char *text, char *out, size_t size) MUST_CHECK;

#endif
