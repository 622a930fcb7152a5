/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caller: who stands behind a connection, and which of its pushes were accepted. Shared by counting.
 *
 * `person` is what the token claims; no log has said that the device is that person's. Rights follow from `device`,
 * whose key signed the delegation. A token of a trusted issuer knows neither: such a caller lives in plain spaces.
 */
#ifndef COFFER_SERVER_CALLER_H
#define COFFER_SERVER_CALLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include "base/id.h"
#include "server/limits.h"

#define CALLER_ADDR 64
#define CALLER_DID 264

/* A set of numbers that are mostly consecutive, as intervals: accepted pushes, with a gap for each refused one. When it
 * is full the lowest interval is forgotten. Each connection has one, idle ones too: it is most of what they cost. */
#define NUMBER_SET_MAX 128
struct number_set {
	struct {
		uint64_t first, last;
	} runs[NUMBER_SET_MAX];
	size_t n;
};

void number_set_add(struct number_set *s, uint64_t number);
void number_set_remove(struct number_set *s, uint64_t number);
bool number_set_has(const struct number_set *s, uint64_t number);

/* Who somebody is in the plain protocol. From a token that a device made for itself all of it is computed from the
 * device's key, which alone is proven; from a trusted issuer's it is what the issuer says (jwt.h). */
struct plain_self {
	bool trusted;     /* an issuer's word */
	bool sync, files; /* scopes */
	bool has_personal;
	struct id16 personal; /* space */
	struct id32 mailbox;
	bool counted;         /* by the hour, as `actor` */
	struct id32 actor;    /* issuer and person */
	struct id32 subject; /* issuer, person and client: what another token of the same connection must have, too */
	char did[CALLER_DID];
};

struct caller {
	atomic_uint refs;
	struct id32 person, device; /* zero for an issuer's token */
	struct plain_self plain;
	char addr[CALLER_ADDR];     /* of the client, for limits, */
	bool counted;               /* unless it is a proxy's own (net.h) */
	struct number_set accepted; /* pushes; writer thread only */
};

/* The caller's reference; NULL if out of memory. */
struct caller *caller_new(const struct id32 *person, const struct id32 *device, const char *addr, bool counted);
struct caller *caller_ref(struct caller *s);
void caller_unref(struct caller *s);

/* limits.h by the caller's address, if that is counted. What a job does once goes by job_take and its like (job.h). */
int caller_take(const struct caller *s, struct limits *l, enum limit what, int64_t now) MUST_CHECK;
void caller_miss(const struct caller *s, struct limits *l, enum limit what, int64_t now);
void caller_hit(const struct caller *s, struct limits *l, enum limit what);
/* LIMIT_DEVICE and LIMIT_DEVICE_BYTES for one request: of the device, or of an issuer's person and client. */
int caller_ask(const struct caller *s, struct limits *rates, uint64_t bytes, int64_t now) MUST_CHECK;
/* LIMIT_DEVICE_BYTES for what it is sent in answer. */
void caller_owe(const struct caller *s, struct limits *rates, uint64_t bytes, int64_t now);

#endif
