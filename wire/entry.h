/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry: one signed entry of a space's membership log, as bytes. Encodes and decodes; applies and verifies nothing
 * (crypto/log.h does). docs/FORMAT.md "Log".
 *
 * blob = [ body map, signature 64 ]                          strict CBOR, at most ENTRY_MAX_BLOB bytes
 * body = { 0: format 1, 1: space 16, 2: seq, 3: prev 32, 4: type, 5: signer 32, 6: time in s, 7: payload map }
 * The genesis (seq 0) has neither 1 nor 3. The signer signs ENTRY_LABEL and the encoded body. An entry's hash is
 * SHA-256 of the blob; prev is the hash of the entry before; a space's id is id16_from_hash of the genesis entry's
 * hash.
 *
 *	struct entry e; struct entry_epoch p;
 *	if ((err = entry_decode(blob, &e)) < 0) return err;
 *	if (e.type == ENTRY_EPOCH && (err = entry_get_epoch(e.payload, &p)) < 0) return err;
 *
 * entry_decode checks the whole blob (canonical form, caps), so the entry_get_* take e.payload as it is. All views
 * point into the blob. Unknown keys and types are refused: a new one needs a new format number.
 */
#ifndef COFFER_WIRE_ENTRY_H
#define COFFER_WIRE_ENTRY_H

#include "wire/person.h"

#define ENTRY_FORMAT 1
#define ENTRY_LABEL "coffer/entry/1"
#define ENTRY_MAX_BLOB (1u << 20)
#define JOIN_LABEL "coffer/join/1"

enum entry_type {
	ENTRY_GENESIS = 0, ENTRY_MEMBER = 1, ENTRY_JOIN = 2, ENTRY_DEVICE = 3, ENTRY_EPOCH = 4, ENTRY_INVITE = 5,
	ENTRY_INVITE_CLOSE = 6, ENTRY_ROLE = 7, ENTRY_REMOVE = 8, ENTRY_DEVICE_REMOVE = 9, ENTRY_RETENTION = 10
};

enum role {
	ROLE_NONE = 0,
	ROLE_READER = 1,
	ROLE_WRITER = 2,
	ROLE_ADMIN = 3,
	ROLE_DEVICE = 4 /* pairing invites only */
};

enum space_kind { SPACE_PERSONAL = 0, SPACE_SHARED = 1 };

struct entry {
	struct id16 space;  /* zero in a genesis */
	uint64_t seq;
	struct id32 prev;   /* zero in a genesis */
	enum entry_type type;
	struct id32 signer;
	uint64_t time;      /* wall clock of the signer in s: for people only, never for rights */
	struct bytes payload; /* encoded map */
	struct bytes body;  /* encoded: what is signed (set by entry_decode) */
	uint8_t signature[64];
};

/* Appends the encoded body (from all fields but body and signature) / a blob from its two parts. Neither checks the
 * contents: log_check does, before an entry is sent. */
int entry_put_body(struct buf *b, const struct entry *e) MUST_CHECK;
int entry_put(struct buf *b, struct bytes body, const uint8_t signature[64]) MUST_CHECK;
int entry_decode(struct bytes blob, struct entry *ret_e) MUST_CHECK;

/* Payloads. entry_put_X appends the map, entry_get_X decodes it. A `bytes` named card, chain, epoch is an encoded item;
 * an empty one is absent. */

/* { 0: kind, 1: card (personal) | random 16 (shared) } */
struct entry_genesis {
	enum space_kind kind;
	struct bytes card;
	struct id16 nonce;
};

/* { 0: card, 1: role, 2: device, 3: chain } */
struct entry_member {
	struct bytes card;
	enum role role;
	struct device_keys device;
	struct bytes chain;
};

/* { 0: person, 1: device, 2: chain } */
struct entry_device {
	struct id32 person;
	struct device_keys device;
	struct bytes chain;
};

/* { 0: invite 16, 1: card (absent in a personal space), 2: device, 3: chain, 4: the invite key's signature over
 * JOIN_LABEL and [space, invite, person, device ed, device x] } */
struct entry_join {
	struct id16 invite;
	struct bytes card;
	struct device_keys device;
	struct bytes chain;
	uint8_t invite_signature[64];
};

#define WRAP_CT 48 /* a 32-byte key and a tag */
#define WRAPS_MAX 6200

struct wrap {
	struct id32 recipient; /* X25519 */
	struct id32 enc;
	uint8_t ct[WRAP_CT];
};

/* { 0: number, 1: commitment 32, 2: wraps [[recipient, enc, ct] ..] strictly ascending by recipient,
 *   3: previous epoch key sealed under this one (absent in the first; at most 512 bytes), 4: minimum epoch accepted
 *   from now on } */
struct entry_epoch {
	uint64_t number;
	struct id32 commitment;
	struct bytes wraps; /* encoded array; read with wraps_find, or in a loop with cbor_get_array and wrap_get */
	size_t n_wraps;     /* set by entry_get_epoch; entry_put_epoch writes `wraps` as it is */
	struct bytes back;  /* sealed */
	uint64_t minimum;
};

#define INVITE_MAX_USES 1000
#define INVITE_MAX_BUNDLE 2048

/* { 0: id 16, 1: Ed25519 32, 2: X25519 32, 3: role, 4: uses, 5: expires in unix s, 6: [epoch, enc 32, ct 48] (absent
 *   with ask), 7: sealed bundle, 8: ask bool, 9: grant signature 64 (pairing only) } */
struct entry_invite {
	struct id16 id;
	struct id32 ed, x;
	enum role role;
	uint64_t uses;
	uint64_t expires;
	bool has_wrap;
	uint64_t wrap_epoch;
	struct id32 wrap_enc;
	uint8_t wrap_ct[WRAP_CT];
	struct bytes bundle;
	bool ask;
	bool has_grant;
	uint8_t grant[64];
};

/* { 0: invite 16 } */
struct entry_invite_close {
	struct id16 id;
};

/* Taking rights away: a cut is a head blob (wire/head.h) of the signing device: up to there the records of who loses
 * the right count. */
#define CUT_MAX 512

/* { 0: person, 1: role, 2: epoch payload (optional), 3: cut, a head blob (optional) } */
struct entry_role {
	struct id32 person;
	enum role role;
	struct bytes epoch;
	struct bytes cut;
};

/* { 0: person, 1: epoch payload, 2: cut } ; both are absent when a person leaves by themselves */
struct entry_remove {
	struct id32 person;
	struct bytes epoch;
	struct bytes cut;
};

/* { 0: person, 1: device 32, 2: epoch payload (optional), 3: cut (optional) } */
struct entry_device_remove {
	struct id32 person;
	struct id32 device;
	struct bytes epoch;
	struct bytes cut;
};

/* { 0: seconds that replaced records stay readable } */
struct entry_retention {
	uint64_t seconds;
};

int entry_put_genesis(struct buf *b, const struct entry_genesis *p) MUST_CHECK;
int entry_put_member(struct buf *b, const struct entry_member *p) MUST_CHECK;
int entry_put_device(struct buf *b, const struct entry_device *p) MUST_CHECK;
int entry_put_join(struct buf *b, const struct entry_join *p) MUST_CHECK;
int entry_put_epoch(struct buf *b, const struct entry_epoch *p) MUST_CHECK;
int entry_put_invite(struct buf *b, const struct entry_invite *p) MUST_CHECK;
int entry_put_invite_close(struct buf *b, const struct entry_invite_close *p) MUST_CHECK;
int entry_put_role(struct buf *b, const struct entry_role *p) MUST_CHECK;
int entry_put_remove(struct buf *b, const struct entry_remove *p) MUST_CHECK;
int entry_put_device_remove(struct buf *b, const struct entry_device_remove *p) MUST_CHECK;
int entry_put_retention(struct buf *b, const struct entry_retention *p) MUST_CHECK;

int entry_get_genesis(struct bytes payload, struct entry_genesis *ret_p) MUST_CHECK;
int entry_get_member(struct bytes payload, struct entry_member *ret_p) MUST_CHECK;
int entry_get_device(struct bytes payload, struct entry_device *ret_p) MUST_CHECK;
int entry_get_join(struct bytes payload, struct entry_join *ret_p) MUST_CHECK;
int entry_get_epoch(struct bytes payload, struct entry_epoch *ret_p) MUST_CHECK; /* checks every wrap and their order */
int entry_get_invite(struct bytes payload, struct entry_invite *ret_p) MUST_CHECK;
int entry_get_invite_close(struct bytes payload, struct entry_invite_close *ret_p) MUST_CHECK;
int entry_get_role(struct bytes payload, struct entry_role *ret_p) MUST_CHECK;
int entry_get_remove(struct bytes payload, struct entry_remove *ret_p) MUST_CHECK;
int entry_get_device_remove(struct bytes payload, struct entry_device_remove *ret_p) MUST_CHECK;
int entry_get_retention(struct bytes payload, struct entry_retention *ret_p) MUST_CHECK;

/* Wraps: one of an array / the one of `recipient` in an encoded array (ERR_NOT_FOUND). */
void wrap_put(struct cbor_enc *e, const struct wrap *w);
void wrap_get(struct cbor_dec *d, struct wrap *ret_w);
int wraps_find(struct bytes wraps, const struct id32 *recipient, struct wrap *ret_w) MUST_CHECK;

/* What JOIN_LABEL signs. */
int join_put_signed(struct buf *b, const struct id16 *space, const struct id16 *invite, const struct id32 *person,
		    const struct id32 *ed, const struct id32 *x) MUST_CHECK;

/* "reader", "writer", "admin", "device"; "none" otherwise. */
const char *role_name(enum role role);

#endif
