/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: the membership log of one space: who may do what, derived from its signed entries alone. Relay and clients run
 * this same code; it holds public keys and sealed bytes, never a secret, and opens nothing.
 *
 *	struct log *l;
 *	if ((err = log_new(pinned_genesis_or_NULL, &l)) < 0) return err;
 *	for each entry: if ((err = log_apply(l, blob, LOG_VERIFY)) < 0) complain(log_refusal(l));
 *	if (log_may_write(l, &device)) ...
 *	log_free(l);
 *
 * An entry is accepted only as the exact successor (seq, prev hash, space) of the last; validity follows that order
 * alone, no clock. A refused entry changes nothing. Who may sign what:
 *   0 genesis       its own key (personal: the root of the card in it)
 *   1 member        seq 1: the genesis key, naming the first admin; later: an admin device (shared spaces)
 *   2 join          the joining device, through an open invite
 *   3 device        shared: the new device itself, which shows that it holds the key (else a member could take
 *                   another's key for their own and keep its owner out); personal: a live device, or the root
 *   4 epoch         an admin device; seq 2: the first epoch, by the first device. Wraps exactly to the live devices,
 *                   the members' recovery keys and the open invites (log_recipients)
 *   5, 6 invite     an admin device
 *   7 role, 10      an admin device; an admin stays; a cut goes with what takes writing away
 *   8 remove        an admin device, with epoch and cut; a person may leave without
 *   9 device_remove a live device of the person, with a cut if the device is live and another; the root, or the device
 *                   itself, without; of another person an admin, with epoch and cut
 * Who left, or went, without a cut is given one by a further 8 or 9: until then what they date back counts. 9 may also
 * name the key of a pairing invite: then no device that it certified is added any more.
 * In a personal space the root may sign what an admin device may, and the new device's own signature is not enough for
 * 3 (a join by an open invite is its way in). Removal, demotion and an admin's device_remove close all invites. A
 * removed device key never returns, and no certificate chain through it counts. The last admin stays. The last
 * LOG_ADMIN_ENTRIES places are for admins, and the caps by person keep one member from filling what all share.
 *
 * Memory is bounded by the caps below. Not thread-safe: the owner holds a lock around apply and use. Pointers returned
 * stay valid until the next log_apply that succeeds, or log_free.
 */
#ifndef COFFER_CRYPTO_LOG_H
#define COFFER_CRYPTO_LOG_H

#include "wire/entry.h"

#define LOG_MAX_PERSONS 1000   /* former members count too: their rows stay */
#define LOG_MAX_DEVICES 5000   /* the same */
#define LOG_MAX_INVITES 100    /* open at once */
#define LOG_MAX_ENTRIES 100000
#define LOG_ADMIN_ENTRIES 10000
#define LOG_MAX_EPOCHS 10000
#define LOG_MAX_PERSON_DEVICES 200 /* of one person, removed ones too */
#define LOG_MAX_PERSON_REVOKED 200 /* keys that were never added */
#define LOG_DEFAULT_RETENTION 2592000 /* s: 30 days */

struct log;

struct log_person {
	struct id32 root, recovery_ed, recovery_x;
	enum role role;      /* ROLE_NONE: was a member and is not now */
	uint64_t since;      /* seq of the entry that made them a member (last time) */
	uint64_t time;       /* that entry's time, s */
	struct id32 invited_by; /* person; zero: the first, or added without an invite */
};

struct log_device {
	struct id32 ed, x, person;
	bool live;           /* not removed, and the person is a member */
	struct bytes label;  /* sealed under epoch label_epoch (epoch_open_label); empty if none */
	uint64_t label_epoch;
	uint64_t since;      /* seq of its entry */
	uint64_t time;
	uint64_t lost;       /* seq of the entry that took its rights, or 0 */
};

struct log_invite {
	struct id16 id;
	struct id32 ed, x;
	enum role role;
	uint64_t uses, joins;
	uint64_t expires;    /* unix s; not enforced here: relays by their clock, admins by invite_close */
	bool open;           /* neither closed nor used up */
	bool ask, has_wrap, has_grant;
	uint64_t wrap_epoch;
	struct id32 wrap_enc;
	uint8_t wrap_ct[WRAP_CT];
	uint8_t grant[64];
	struct bytes bundle; /* empty once it is not open */
	struct id32 prev;    /* log head before its entry: context of wrap and bundle */
	struct id32 by;      /* device that made it */
	uint64_t seq, time;
};

struct log_epoch {
	uint64_t number, minimum;
	struct id32 commitment;
	struct bytes wraps;  /* encoded array, wraps_find; kept for the newest epoch only, empty in older ones */
	struct bytes back;   /* previous key sealed under this one */
	struct id32 prev;    /* log head before its entry: context of the wraps */
	struct id32 by;      /* device */
	uint64_t seq, time;
};

enum log_mode {
	LOG_VERIFY,  /* everything is checked */
	LOG_TRUSTED  /* the entry was verified before it was stored here: signatures are not checked again */
};

/* genesis: the SHA-256 that the first entry must have, or NULL to take any (then compare log_genesis yourself). */
int log_new(const struct id32 *genesis, struct log **ret_log) MUST_CHECK;
void log_free(struct log *l);
void log_freep(struct log **l);
int log_clone(const struct log *l, struct log **ret_log) MUST_CHECK;

/* Applies the next entry. ERR_CONFLICT: not the successor of the last (wrong seq or prev); ERR_CONTEXT: other space or
 * genesis; ERR_SIGNATURE; ERR_FORBIDDEN: the signer may not, or not so; ERR_EXISTS; ERR_NOT_FOUND: names something
 * unknown; ERR_STALE: a closed or used-up invite, or an invite that wraps an older epoch; ERR_RANGE: a cap; ERR_INVALID
 * and the decoding errors; ERR_NOMEM. On any error nothing changed and log_refusal says why. */
int log_apply(struct log *l, struct bytes blob, enum log_mode mode) MUST_CHECK;
/* The same decision without the effect. Several in a row: log_clone and apply. */
int log_check(struct log *l, struct bytes blob) MUST_CHECK;
/* Why the last log_apply or log_check failed; "" if it did not. Static storage. */
const char *log_refusal(const struct log *l);

/* State. Before the genesis: count 0, everything zero. */
uint64_t log_count(const struct log *l);                     /* entries applied; the last has seq count-1 */
enum space_kind log_kind(const struct log *l);
const struct id16 *log_space(const struct log *l);
const struct id32 *log_genesis(const struct log *l);         /* hash */
const struct id32 *log_head(const struct log *l);            /* hash of the last entry */
uint64_t log_epoch_number(const struct log *l);              /* newest; 0 before the first */
uint64_t log_epoch_minimum(const struct log *l);             /* records under an older one are key_generation_stale */
uint64_t log_retention(const struct log *l);                 /* seconds */
int log_seq_of(const struct log *l, const struct id32 *entry_hash, uint64_t *ret_seq) MUST_CHECK; /* ERR_NOT_FOUND */
const struct id32 *log_hash_at(const struct log *l, uint64_t seq); /* NULL if there is none */

/* Look-ups: NULL if unknown. They find removed ones too. */
const struct log_person *log_find_person(const struct log *l, const struct id32 *root);
const struct log_device *log_find_device(const struct log *l, const struct id32 *ed);
const struct log_invite *log_find_invite(const struct log *l, const struct id16 *id);
const struct log_epoch *log_find_epoch(const struct log *l, uint64_t number);

/* Encoded card of a personal space's person (empty in a shared space). */
struct bytes log_card(const struct log *l);
/* Certificate chain of a device, in personal spaces alone (empty otherwise). */
struct bytes log_device_chain(const struct log *l, const struct id32 *ed);

/* Iteration, in log order: i from 0 until NULL. */
const struct log_person *log_person_at(const struct log *l, size_t i);
const struct log_device *log_device_at(const struct log *l, size_t i);
const struct log_invite *log_invite_at(const struct log *l, size_t i);

/* Rights now. */
bool log_may_read(const struct log *l, const struct id32 *device);
bool log_may_write(const struct log *l, const struct id32 *device);
bool log_is_admin(const struct log *l, const struct id32 *device);
enum role log_role(const struct log *l, const struct id32 *device); /* ROLE_NONE if not live */

/* For readers of a record: was `device` allowed to write when the entry with hash `at` was the newest? */
bool log_could_write(const struct log *l, const struct id32 *device, const struct id32 *at);
/* The same for a record whose line stands at `cursor`: if the right that it had at `at` was taken with a cut since, the
 * line must not lie after that cut. This is what keeps a removed device and a relay from dating records back. */
bool log_accepts(const struct log *l, const struct id32 *device, const struct id32 *at, uint64_t cursor);
/* The cut (head blob) that took a device's rights, as long as they are gone; empty if none. */
struct bytes log_cut(const struct log *l, const struct id32 *device);
/* 1 if this person's device key was removed here, whether or not it had been added. */
bool log_revoked(const struct log *l, const struct id32 *person, const struct id32 *device);

/* The exact set an epoch entry appended now must wrap to: allocated (free()), ascending, unique. With `without`: as it
 * will be after the removal of that person (and all invites closed); with also `device`: after the removal of that
 * device. */
int log_recipients(const struct log *l, const struct id32 *without, const struct id32 *device, struct id32 **ret_keys,
		   size_t *ret_n) MUST_CHECK;

#endif
