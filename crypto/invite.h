/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invite: the secret that an inviter hands to a joiner, and the keys that follow from it.
 *
 *	inviter: invite_secret_new -> invite_derive -> entry_make_invite (crypto/entry_make.h)
 *	         -> show invite_format_code and invite_format_link: two forms of one invite
 *	joiner:  invite_secret_parse(what was typed) -> invite_derive -> ask the relay for the log by keys->id ->
 *	         log_apply all -> invite_open(log, keys) -> entry_make_join or identity_pair (crypto/entry_make.h)
 *
 * A code is 80 random bits as 16 characters of base 32 (0-9 A-Z without I L O U), shown in fours with dashes. Typed
 * codes may have any case, spaces and dashes, O for 0, I or L for 1. The whole code goes through Argon2id (MODERATE,
 * about half a second and 256 MiB; the salt is fixed, the code is the entropy) before anything is looked up, so that
 * nothing the relay holds can be checked more cheaply than that. A link carries the result, so that it opens the same
 * invite as the code it was made with, without the stretching; it does not tell the code:
 *	master = Argon2id(the code's 16 characters, salt = first 16 bytes of BLAKE2b-256("coffer/invite/1"))
 *	coffer://join/RELAY#MASTER      RELAY: host[:port][/path] of an https relay, or its whole http:// URL;
 *	                                MASTER: base64url of the 32 bytes, 43 characters, in this one spelling
 * The fragment never reaches a server. Derivation:
 *	id, Ed25519 seed, X25519 seed, bundle key = kdf_subkey(master, ctx "invitid_", "invited_", "invitex_",
 *	"invitebn", 0)
 * The id is cut to 16 bytes and made a version-8 UUID; the X25519 key is hpke_keypair_derive of its seed.
 * The relay URL is not a secret and no part of the derivation. A struct invite_secret is for one thread.
 */
#ifndef COFFER_CRYPTO_INVITE_H
#define COFFER_CRYPTO_INVITE_H

#include "base/buf.h"
#include "base/id.h"
#include "crypto/log.h"

struct secret;
struct epoch_ring;
struct invite_secret;

#define INVITE_MAX_TEXT 1024
#define INVITE_MAX_RELAY 256
#define INVITE_CODE_TEXT_SIZE 20 /* XXXX-XXXX-XXXX-XXXX and NUL */

/* A new code. */
int invite_secret_new(struct invite_secret **ret_s) MUST_CHECK;
/* A code or a link. ERR_INVALID: neither; ERR_RANGE: too long. The caller wipes text. */
int invite_secret_parse(const char *text, struct invite_secret **ret_s) MUST_CHECK;
void invite_secret_free(struct invite_secret *s);
void invite_secret_freep(struct invite_secret **s);

/* Relay URL that a parsed link named; NULL for codes. Lives as long as s. */
const char *invite_secret_relay(const struct invite_secret *s);

/* Texts for people, with NUL, into a secret buffer. ERR_INVALID: s came from a link, which does not tell the code. */
int invite_format_code(const struct invite_secret *s, struct buf *ret_text) MUST_CHECK;
/* Only after invite_derive (ERR_INVALID before it, and for a relay URL that no link can carry). */
int invite_format_link(const struct invite_secret *s, const char *relay, struct buf *ret_text) MUST_CHECK;

struct invite_keys {
	struct id16 id;
	struct id32 ed_public, x_public;
	struct secret *ed, *x;    /* as crypto/sign.h makes them */
	struct secret *bundle;    /* 32 bytes */
};

/* Stretches a code the first time, about half a second and 256 MiB: not on a thread that serves others. ERR_NOMEM if
 * memory is short. A link costs nothing. */
int invite_derive(struct invite_secret *s, struct invite_keys *ret_keys) MUST_CHECK;
void invite_keys_release(struct invite_keys *k);

#define INVITE_LABEL "coffer/invite/1"
#define INVITE_BUNDLE_LABEL "coffer/invite-bundle/1"

/* What is sealed in an invite: it authenticates the space to the joiner. CBOR { 0: genesis hash, 1: relay URL, 2: name,
 * 3: log head before the invite, 4: inviter }. Strings are NUL-terminated copies. */
struct invite_bundle {
	struct id32 genesis, log_head, inviter;
	char relay[INVITE_MAX_RELAY + 1];
	char name[256];
};

/* Seals it: seal_small(INVITE_BUNDLE_LABEL, bundle key, invite id, CBOR). ERR_INVALID: relay or name is not UTF-8. */
int invite_seal_bundle(
	const struct invite_keys *k, const struct invite_bundle *bundle, struct buf *ret_sealed) MUST_CHECK;

/* The joiner's check of what the relay answered: the log must hold this invite, open; its bundle must open and name
 * this very log (genesis and head). Then the space's epoch keys: *ret_ring holds all up to the newest (none with
 * --ask). ERR_NOT_FOUND: no such invite in this log; ERR_STALE: closed or used up; ERR_CONTEXT: the relay showed
 * another space or another history than the inviter's; ERR_WRONG_KEY, ERR_TAMPERED, ERR_COMMITMENT. (open_invite.c) */
int invite_open(const struct log *log, const struct invite_keys *k, struct invite_bundle *ret_bundle,
		struct epoch_ring **ret_ring) MUST_CHECK;

#endif
