/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain: who may do what in a plain space, and what its methods share. A space with a root key is open to whoever shows
 * a UCAN chain from that key; a personal space (no root key) to its person alone, and it comes into being by their
 * first write. A space that is not there and one that the caller may not see are answered alike.
 *
 *	plain_ask(relay, j->caller, &space, ucan, UCAN_WRITE, &right);       // signatures; no store
 *	if ((err = plain_open(relay, store, &space, &right, &sp)) < 0) ...          // what the store says
 */
#ifndef COFFER_SERVER_PLAIN_H
#define COFFER_SERVER_PLAIN_H

#include "server/depot_plain.h"
#include "server/job.h"
#include "server/relay.h"

#define PLAIN_DEK 44             /* bytes of a wrapped key: epoch (u32 big-endian), then what only members read */
#define PLAIN_DEK_TEXT 64        /* room for one in base64, with NUL */
#define PLAIN_MAX_FRAME (4u << 20) /* the protocol's clients drop larger ones */
#define PLAIN_MAX_ITEM (PLAIN_MAX_FRAME - 4096) /* a record or a membership entry that fits such a frame */

struct plain_right {
	bool personal;
	int err; /* of the chain; OK: it is good if its root is the space's */
	uint8_t root[JWS_P256_SIZE];
	struct grant grant;
};

/* What the caller and a UCAN (may be empty) say about a space, from their words and signatures alone. Chains that are
 * not known (seen.h) are charged to LIMIT_CHAIN (right->err is ERR_RATE_LIMITED then), whether the space is there or
 * not: a space that is not there would be told by its answer coming sooner. */
void plain_ask(const struct relay *relay, const struct caller *who, const struct id16 *space, struct bytes ucan,
	enum ucan_command need, struct plain_right *ret_right);

/* The space as `store` has it, if the right is one there: its root, its end still to come, and nothing revoked.
 * ERR_FORBIDDEN also if it is not there; ERR_RATE_LIMITED. A personal space that is not there yet: no = 0, otherwise as
 * it will begin. */
int plain_open(const struct relay *relay, struct depot *store, const struct id16 *space,
	const struct plain_right *right, struct depot_plain *ret_sp) MUST_CHECK;
/* The same in the writer's transaction, for those who will change it: a personal space is made, `who`'s. */
int plain_open_to_write(const struct relay *relay, struct depot *store, const struct caller *who,
	const struct id16 *space, const struct plain_right *right, struct depot_plain *ret_sp) MUST_CHECK;

/* The grant that a subscription is to keep; NULL for one's own space. */
const struct grant *plain_grant(const struct plain_right *right);

/* Reads `space` and the optional `ucan` of params, and asks. ERR_INVALID: invalid params; ERR_RANGE: no space id. */
int plain_read_right(const struct relay *relay, const struct job *j, struct bytes params, enum ucan_command need,
	struct id16 *ret_space, struct plain_right *ret_right) MUST_CHECK;
/* Answers what plain_read_right, plain_open or plain_check_room refused. Store failures are passed back. */
int plain_refuse(struct job *j, int err) MUST_CHECK;

/* An entry of the membership chain, as pulls, lists and notifications show it. */
void plain_put_member(struct cbor_enc *e, const struct depot_item *it);

/* ERR_RATE_LIMITED if the caller did `what` `max` times in the last `seconds`, and such things are counted. In the
 * writer's transaction; depot_deed_put counts one more. */
int plain_count(
	struct relay *relay, const struct caller *who, const char *what, int64_t seconds, int64_t max) MUST_CHECK;

/* Answers that; `what` in the plural. */
int plain_refuse_hour(struct job *j, uint64_t max, const char *what) MUST_CHECK;

/* Whether there is room for more (quota.h): on the disk, and unless `sp` is NULL in the space's quota and its owner's.
 * ERR_NO_SPACE. Writer thread. */
int plain_check_room(struct relay *relay, const struct depot_plain *sp, size_t bytes) MUST_CHECK;

/* The epoch of a wrapped key. */
static inline uint64_t plain_epoch(struct bytes dek)
{
	return (uint64_t)dek.p[0] << 24 | (uint64_t)dek.p[1] << 16 | (uint64_t)dek.p[2] << 8 | dek.p[3];
}

#endif
