/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_state: what a struct log is made of, and the two halves of log_apply. Private to crypto/log*.c.
 *
 *	log_decide(l, blob, mode, &change)   may refuse; changes nothing but the refusal text
 *	log_commit(l, &change)               allocates all it needs, then changes;
 *	the only error is ERR_NOMEM, before any change
 *
 * Rows that own memory (label, chain, cut, bundle, wraps, back) hold malloc'ed copies.
 */
#ifndef COFFER_CRYPTO_LOG_STATE_H
#define COFFER_CRYPTO_LOG_STATE_H

#include "crypto/cert.h"
#include "crypto/log.h"

#define LOG_MAX_VIAS 20000
#define LOG_MAX_PERSON_VIAS 1000
#define LOG_MAX_REVOKED 6000
#define LOG_MAX_SPANS 100000
#define LOG_MAX_CLOSED 1000 /* invites no longer open that are still remembered */
#define LOG_MAX_RETENTION (1ull << 40)

struct log_device_row {
	struct log_device pub;
	struct bytes chain; /* personal spaces only */
	struct bytes cut;
	size_t span;        /* index + 1 of its latest span, or 0 */
};

struct log_via {
	struct id32 person, via, ed;
};

struct log_revocation {
	struct id32 person, ed;
};

#define LOG_SPAN_OPEN UINT64_MAX

/* The device could write while the newest entry was one of [from, to); of that, only lines up to the cut count. */
struct log_span {
	struct id32 ed;
	uint64_t from, to; /* to: LOG_SPAN_OPEN if it still can */
	bool has_cut;
	uint64_t cut; /* cursor */
};

struct log {
	bool pinned;
	struct id32 pin;
	const char *refusal;

	enum space_kind kind;
	struct id16 space;
	struct id32 genesis;     /* hash */
	struct id32 genesis_key;
	struct person_card card; /* personal spaces: keys only, no views */
	uint8_t card_blob[CARD_MAX_BLOB];
	size_t card_len;
	uint64_t retention;
	uint64_t epoch, minimum;

	struct id32 *hashes; /* of the entries, by seq */
	size_t n_hashes, alloc_hashes;
	struct log_person *persons;
	size_t n_persons, alloc_persons;
	struct log_device_row *devices;
	size_t n_devices, alloc_devices;
	struct log_invite *invites;
	size_t n_invites, alloc_invites;
	struct log_epoch *epochs; /* number n at n - 1; wraps only in the newest */
	size_t n_epochs, alloc_epochs;
	struct log_via *vias;
	size_t n_vias, alloc_vias;
	struct log_revocation *revoked;
	size_t n_revoked, alloc_revoked;
	struct log_span *spans;
	size_t n_spans, alloc_spans;
};

/* What one entry does. Views point into the blob; flags say which parts are set. */
struct log_change {
	enum log_mode mode;
	struct entry e;
	struct id32 hash;

	struct person_card card; /* genesis of a personal space */
	struct entry_genesis genesis;

	bool set_person; /* adds, or replaces the row of that root */
	struct log_person person;
	bool set_device; /* adds, or replaces the row of that key */
	struct log_device device;
	struct bytes device_chain;
	struct cert_chain chain; /* if set_device: its vias are remembered */
	bool count_join;
	struct id16 join_invite;
	bool set_invite;
	struct log_invite invite;
	bool close_invite;
	struct id16 closed;
	bool close_all;
	bool set_role;
	bool lose_person;
	bool lose_device;
	struct id32 lost_person, lost_device;
	struct bytes cut;
	uint64_t cut_cursor;
	bool set_epoch;
	struct log_epoch epoch;
	bool set_retention;
	uint64_t retention;
};

int log_decide(struct log *l, struct bytes blob, enum log_mode mode, struct log_change *c) MUST_CHECK;
int log_commit(struct log *l, const struct log_change *c) MUST_CHECK;

/* log_recipients with the choice of closing the invites apart. */
int log_recipients_after(const struct log *l, const struct id32 *without, const struct id32 *device, bool close_invites,
			 struct id32 **ret_keys, size_t *ret_n) MUST_CHECK;

/* Copies into fresh memory (nothing for an empty view) / frees such a copy. */
int log_copy_view(struct bytes from, struct bytes *ret_to) MUST_CHECK;
void log_free_view(struct bytes *v);

struct log_device_row *log_device_row(const struct log *l, const struct id32 *ed);
const struct log_via *log_find_via(const struct log *l, const struct id32 *person, const struct id32 *via);
/* Whether the device lost the right to write by an entry without a cut. */
bool log_uncut(const struct log *l, const struct log_device_row *row);

#endif
