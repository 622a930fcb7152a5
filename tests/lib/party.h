/* SPDX-License-Identifier: Apache-2.0 */
/*
 * party: people with devices and spaces, for tests of what they may do to each other. Everything asserts.
 *
 *	struct party alice, bob;
 *	struct new_space s;
 *	party_init(&alice, "laptop");
 *	party_init(&bob, "phone");
 *	party_space(&alice, &s);
 *	party_join(&alice, &bob, &s, ROLE_WRITER);       // by a link invite
 */
#ifndef COFFER_TESTS_LIB_PARTY_H
#define COFFER_TESTS_LIB_PARTY_H

#include "crypto/entry_make.h"
#include "tests/lib/unit.h"

#define PARTY_NOW 1700000000u
#define PARTY_RELAY "https://relay.example"

struct party {
	struct person *person; /* NULL for a paired device */
	struct identity *id;
	struct new_space own;  /* personal space; a paired device has none (zero) */
};

void party_init(struct party *p, const char *label);
void party_release(struct party *p);

/* A new shared space with this party as its admin. */
void party_space(const struct party *p, struct new_space *ret_s);

/* The maker of entries for this party on a log. */
struct entry_maker party_maker(const struct party *p, const struct log *log);

/* Keys of a new invite, by its link, which costs no stretching. */
void party_keys(struct invite_keys *ret_k);

/* Writes an invite for `role` into the space; *ret_k are its keys. */
void party_invite(const struct party *admin, struct new_space *s, enum role role, uint64_t uses,
		  struct invite_keys *ret_k);

/* One builds the join's blob, the other invites, joins and applies. */
void party_join_blob(
	const struct party *joiner, const struct log *log, const struct invite_keys *k, struct buf *ret_blob);
void party_join(const struct party *admin, const struct party *joiner, struct new_space *s, enum role role);

/* A second device of p's person, paired through p's personal space (its join is applied there). */
void party_pair(struct party *p, const char *label, struct party *ret_device);

/* The next epoch, made, applied and added to the ring. */
void party_rotate(const struct party *admin, struct new_space *s);

/* A head of this party's device for the space: a cut, at cursor 7 or this one. */
void party_cut(const struct party *p, const struct log *log, struct buf *ret_head);
void party_cut_at(const struct party *p, const struct log *log, uint64_t cursor, struct buf *ret_head);

/* Signs any payload as the next entry of the log. */
void party_sign(const struct log *log, enum entry_type type, struct bytes payload, const struct secret *key,
		struct buf *ret_blob);

/* Applies and asserts that it is accepted / refused with this error, without a change. */
void party_apply(struct log *log, const struct buf *blob);
void party_refused(struct log *log, const struct buf *blob, int err);

#endif
