/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot_plain: what the store keeps for the plain protocol (docs/PROTOCOL.md §6): its spaces, what stands in them, and
 * the mail between people. The second half of depot.h's interface: same connections, transactions and errors.
 *
 * An item is a record, a file or an entry of the membership chain. Items of one space are found by (kind, id) and
 * listed by (cursor, kind, id), because that is how a pull sends them. A file's bytes are a blob (blob.h) under its
 * `object`, an id of its own for each upload, so that two uploads of one file never write to one name; objects that no
 * file names any more are listed as garbage until they are removed.
 *
 * Views in structs that a callback gets hold until it returns; callbacks must not write.
 */
#ifndef COFFER_SERVER_DEPOT_PLAIN_H
#define COFFER_SERVER_DEPOT_PLAIN_H

#include "server/depot.h"

#define PLAIN_ROOT_KEY_MAX 33 /* a compressed P-256 point */

struct depot_plain {
	uint64_t no; /* internal number */
	struct id16 id;
	uint8_t root_key[PLAIN_ROOT_KEY_MAX];
	uint8_t root_key_len; /* 0: somebody's personal space */
	uint64_t cursor;
	uint64_t generation, min_generation; /* of keys */
	uint64_t rewrap;                     /* the epoch that is being wrapped anew; 0: none */
	uint64_t members;                    /* entries of the membership chain */
	uint64_t bytes;                      /* of content, keys and files; whoever adds or removes them keeps it */
	struct id32 owner;                   /* mailbox of who made it; zero: not known (made before format 6) */
};

int depot_plain_find(struct depot *s, const struct id16 *id, struct depot_plain *ret_sp) MUST_CHECK;
int depot_plain_create(struct depot *s, struct depot_plain *sp) MUST_CHECK; /* sets no */
int depot_plain_update(struct depot *s, const struct depot_plain *sp) MUST_CHECK;

/* Bytes of all spaces of this owner. */
int depot_plain_bytes(struct depot *s, const struct id32 *owner, uint64_t *ret_bytes) MUST_CHECK;
static inline void depot_plain_less(struct depot_plain *sp, uint64_t bytes)
{
	sp->bytes -= bytes < sp->bytes ? bytes : sp->bytes;
}

/* --- items --- */
enum depot_kind { DEPOT_RECORD = 1, DEPOT_FILE = 2, DEPOT_MEMBER = 4 };

struct depot_item {
	enum depot_kind kind;
	struct id16 id; /* of a membership entry: its number, big-endian, in the last 8 bytes */
	uint64_t cursor;
	bool deleted; /* a record's tombstone */
	uint64_t size;       /* file: bytes */
	struct bytes dek;    /* record, file: the wrapped key; may be empty */
	struct bytes link;   /* file: its record's id (16); membership entry: hash of the one before (32), or empty */
	struct bytes object; /* file: id of its blob (16); membership entry: its own hash (32) */
	/* record: what was sealed; membership entry: payload; file: blob_sum of its bytes (16), or empty if it came
	 * before there were sums; empty for tombstones */
	struct bytes blob;
};

typedef int depot_item_each(void *ctx, const struct depot_item *it);

/* Adds an item, or replaces the one of its kind and id. */
int depot_item_put(struct depot *s, uint64_t space, const struct depot_item *it) MUST_CHECK;
/* Calls each() once, and returns what it returns; ERR_NOT_FOUND. */
int depot_item_get(struct depot *s, uint64_t space, enum depot_kind kind, const struct id16 *id, depot_item_each *each,
	void *ctx) MUST_CHECK;
/* Another wrapped key for an item; its cursor stays. ERR_NOT_FOUND. */
int depot_item_dek(
	struct depot *s, uint64_t space, enum depot_kind kind, const struct id16 *id, struct bytes dek) MUST_CHECK;

struct depot_place {
	uint64_t cursor;
	unsigned kind;
	struct id16 id;
};

/* Items of `kinds` (an or of them) that stand after `from` and at or before `until`, in order. each() may stop with a
 * value != 0, which is returned. */
int depot_items(struct depot *s, uint64_t space, unsigned kinds, const struct depot_place *from, uint64_t until,
	depot_item_each *each, void *ctx) MUST_CHECK;

/* Removes the files of a record, also from sp->bytes; their objects become garbage as of `now` (unix s). */
int depot_files_drop(struct depot *s, struct depot_plain *sp, const struct id16 *record, int64_t now) MUST_CHECK;
/* Up to n files of any space whose objects stand behind `after`, by object: for scrubbing. each() must not write. */
typedef int depot_file_each(void *ctx, const struct id16 *space, const struct depot_item *it);
int depot_files_all(struct depot *s, const struct id16 *after, uint64_t n, depot_file_each *each, void *ctx) MUST_CHECK;
/* The same with entries of the membership chains, behind (after_space, after), internal number and item id. */
typedef int depot_member_each(void *ctx, uint64_t space_no, const struct id16 *space, const struct depot_item *it);
int depot_members_all(struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n,
	depot_member_each *each, void *ctx) MUST_CHECK;
int depot_garbage_put(struct depot *s, const struct id16 *space, const struct id16 *object, int64_t now) MUST_CHECK;
/* What was brought for a row that it did not get. OK without doing anything if it has it after all: a commit whose
 * answer was lost may have stood, and its work been done again. */
int depot_garbage_put_vain(
	struct depot *s, const struct id16 *space, const struct id16 *object, int64_t now) MUST_CHECK;
/* Up to n objects that are garbage since before `before`, the oldest first / one of them was removed. */
typedef int depot_garbage_each(void *ctx, const struct id16 *space, const struct id16 *object);
int depot_garbage(struct depot *s, int64_t before, uint64_t n, depot_garbage_each *each, void *ctx) MUST_CHECK;
/* It is garbage since `now`. */
int depot_garbage_later(struct depot *s, const struct id16 *space, const struct id16 *object, int64_t now) MUST_CHECK;
int depot_garbage_remove(struct depot *s, const struct id16 *space, const struct id16 *object) MUST_CHECK;

/* --- revoked UCANs, by the SHA-256 of their text; again is harmless --- */
#define DEPOT_REVOCATION_BYTES 64 /* in depot_plain.bytes, which the caller counts */
int depot_revoke(struct depot *s, uint64_t space, const struct id32 *cid) MUST_CHECK;
int depot_is_revoked(struct depot *s, uint64_t space, const struct id32 *cid) MUST_CHECK; /* 1, 0, or an error */

/* --- mail: invitations in somebody's mailbox --- */
struct depot_mail {
	struct id16 id;
	struct id32 mailbox;
	int64_t created, expires; /* unix ms, unix s */
	struct bytes payload;     /* text */
};

typedef int depot_mail_each(void *ctx, const struct depot_mail *m);
int depot_mail_put(struct depot *s, const struct depot_mail *m) MUST_CHECK;
int depot_mail_get(struct depot *s, const struct id16 *id, depot_mail_each *each, void *ctx) MUST_CHECK;
/* Up to n of a mailbox that expire after `now`, by (created, id), after that place. */
int depot_mails(struct depot *s, const struct id32 *mailbox, int64_t created, const struct id16 *id, int64_t now,
	uint64_t n, depot_mail_each *each, void *ctx) MUST_CHECK;
int depot_mail_remove(struct depot *s, const struct id16 *id) MUST_CHECK;
int depot_mail_expire(struct depot *s, int64_t now, uint64_t n) MUST_CHECK; /* removes up to n that expired; how many */

/* --- what somebody did in the last hour, for limits that outlive a restart --- */
int depot_deed_put(struct depot *s, const char *what, const struct id32 *who, int64_t now) MUST_CHECK;
int64_t depot_deeds(struct depot *s, const char *what, const struct id32 *who, int64_t since) MUST_CHECK; /* how many */
/* Removes the n oldest, and those of the same second as the last of them; how many. */
int depot_deed_expire(struct depot *s, int64_t before, uint64_t n) MUST_CHECK;

/* --- single facts of the relay itself, by name: a value may be replaced --- */
int depot_fact_put(struct depot *s, const char *name, struct bytes value) MUST_CHECK;
/* Appends; ERR_NOT_FOUND. A writer's connection to a shared store then holds the fact against other processes until
 * the end of the transaction; one that is not there cannot be held. So who adds a fact only if it is absent begins
 * alone, or gets another first that is there, and that all who add this one get. */
int depot_fact_get(struct depot *s, const char *name, struct buf *ret_value) MUST_CHECK;

#endif
