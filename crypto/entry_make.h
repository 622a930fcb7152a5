/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_make: builds the signed log entries that this device appends. Each takes the log's state as it is now and
 * yields a blob that log_apply takes as the very next entry; if another entry comes first, apply that and build anew.
 *
 *	CLEANUP(buf_release) struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
 *	if ((err = entry_make_invite(&m, ring, &params, &keys, &b)) < 0) return err;
 *	append {space, entries: [b]} at the relay; then log_apply(log, buf_bytes(&b), LOG_VERIFY)
 *
 * Each appends the blob to *ret_blob. Besides the errors named: ERR_NOMEM, ERR_RANGE. `now` is unix time in seconds.
 * An entry built against the rules is caught by log_check, not here.
 */
#ifndef COFFER_CRYPTO_ENTRY_MAKE_H
#define COFFER_CRYPTO_ENTRY_MAKE_H

#include "crypto/epoch.h"
#include "crypto/identity.h"
#include "crypto/invite.h"
#include "crypto/log.h"
#include "crypto/person.h"

/* Who builds, on top of what. Borrowed. */
struct entry_maker {
	const struct log *log;
	const struct identity *id;
	uint64_t now;
};

/* A space just made: its first entries in order (to be appended together), the log with them applied, its key ring. */
struct new_space {
	struct buf blobs[3]; /* genesis, member, epoch */
	struct log *log;
	struct epoch_ring *ring;
};

void new_space_release(struct new_space *s);

/* A person's first device and personal space: *ret_id is the profile's identity. `label`: the device's name. */
int space_make_personal(const struct person *p, struct bytes label, uint64_t now, struct identity **ret_id,
			struct new_space *ret_space) MUST_CHECK;

/* A shared space with this device's person as its admin. The genesis key is made for it and wiped. */
int space_make_shared(const struct identity *id, uint64_t now, struct new_space *ret_space) MUST_CHECK;

/* Recovery: a new device signed by the root, on top of the personal space's log (applied by the caller, genesis =
 * person_genesis_hash). Yields the identity, the ring opened with the recovery key, and the device entry to append.
 * ERR_CONTEXT: not this person's log. */
int identity_recover(const struct person *p, const struct log *log, struct bytes label, uint64_t now,
		     struct identity **ret_id, struct epoch_ring **ret_ring, struct buf *ret_blob) MUST_CHECK;

/* Pairing: a new device, certified by the invite, on top of the personal space's log (invite_open has passed and gave
 * `ring`). Yields the identity and the join entry to append. */
int identity_pair(const struct log *log, const struct invite_keys *keys, const struct epoch_ring *ring,
		  struct bytes label, uint64_t now, struct identity **ret_id, struct buf *ret_blob) MUST_CHECK;

/* This device becomes one of its person's in a shared space that the person is a member of. */
int entry_make_device(const struct entry_maker *m, const struct epoch_ring *ring, struct buf *ret_blob) MUST_CHECK;

/* This person joins by an invite (invite_open gave `ring`; empty with --ask: no label is sealed then). */
int entry_make_join(const struct entry_maker *m, const struct invite_keys *keys, const struct epoch_ring *ring,
		    struct buf *ret_blob) MUST_CHECK;

/* The next epoch, with a new random key wrapped to log_recipients. The caller adds *ret_key to its ring under
 * log_epoch_number + 1 once the entry is accepted. `ring` must hold the newest epoch. `minimum`: oldest epoch whose
 * records are still accepted when pushed (usually the new number). ERR_STALE: the ring lacks the newest. */
int entry_make_epoch(const struct entry_maker *m, const struct epoch_ring *ring, uint64_t minimum,
		     struct secret **ret_key, struct buf *ret_blob) MUST_CHECK;

struct invite_params {
	enum role role;     /* ROLE_DEVICE: pairing, personal space only */
	uint64_t uses;      /* 1..INVITE_MAX_USES; pairing: 1 */
	uint64_t expires;   /* unix s */
	bool ask;
	const char *relay;  /* URL */
	const char *name;   /* of the space, for the joiner; "" for pairing */
};

/* The bundle and, without `ask`, the newest epoch key are sealed to the invite. ERR_STALE: the ring lacks that key. */
int entry_make_invite(const struct entry_maker *m, const struct epoch_ring *ring, const struct invite_params *params,
		      const struct invite_keys *keys, struct buf *ret_blob) MUST_CHECK;
int entry_make_invite_close(const struct entry_maker *m, const struct id16 *invite, struct buf *ret_blob) MUST_CHECK;
/* Carries no epoch: who is demoted still reads, so the keys stay. `cut`: this device's head blob for a demotion, else
 * empty. */
int entry_make_role(const struct entry_maker *m, const struct id32 *person, enum role role, struct bytes cut,
		    struct buf *ret_blob) MUST_CHECK;

/* Removal of a person, or of one device (device not NULL): the next epoch goes with it; `cut` is this device's head
 * blob. *ret_key as in entry_make_epoch. */
int entry_make_remove(const struct entry_maker *m, const struct epoch_ring *ring, const struct id32 *person,
	const struct id32 *device, struct bytes cut, struct secret **ret_key, struct buf *ret_blob) MUST_CHECK;

/* Leaving (device NULL), and the removal of an own device without a new epoch. `cut`: this device's head blob if it
 * removes another that is a member here; else empty. */
int entry_make_leave(const struct entry_maker *m, const struct id32 *device, struct bytes cut, struct buf *ret_blob)
	MUST_CHECK;
int entry_make_retention(const struct entry_maker *m, uint64_t seconds, struct buf *ret_blob) MUST_CHECK;

#endif
