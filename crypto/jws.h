/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws: what a relay needs of the world's signed tokens: the parts of a compact JWS (RFC 7515), public keys from a JWK
 * (RFC 7517, RFC 8037) or a did:key, and their signatures: ES256 and RS256 (RFC 7518), EdDSA (RFC 8037). Verifies only;
 * what header and claims say is the caller's to read. OpenSSL's libcrypto for P-256 and RSA, libsodium for Ed25519.
 *
 *	struct jws j;
 *	if ((err = jws_split(text, &j)) < 0 || (err = jws_decode(j.claims, &json)) < 0) ...
 *	if ((err = jws_verify(&j, &key)) < 0) ...
 */
#ifndef COFFER_CRYPTO_JWS_H
#define COFFER_CRYPTO_JWS_H

#include "base/buf.h"
#include "base/id.h"

#define JWS_RSA_MIN 256 /* bytes of a modulus */
#define JWS_RSA_MAX 512
#define JWS_P256_SIZE 33 /* a compressed point */

enum jws_kind { JWS_P256, JWS_ED25519, JWS_RSA };

struct jws_key {
	enum jws_kind kind;
	uint16_t len;           /* of b */
	uint8_t b[JWS_RSA_MAX]; /* compressed point; Ed25519 key; RSA modulus, big-endian without leading zeros */
	uint32_t e;             /* RSA */
};

/* Views of the text's parts, still base64url. */
struct jws {
	struct bytes header, claims, signature;
	struct bytes signed_part; /* header '.' claims */
};

/* ERR_INVALID: not three parts. */
int jws_split(struct bytes text, struct jws *ret_j) MUST_CHECK;
/* Appends what base64url without padding spells; ERR_INVALID, ERR_RANGE over the buffer's cap. */
int jws_decode(struct bytes part, struct buf *ret) MUST_CHECK;
/* Standard base64 with padding, as HTTP headers have it. */
int jws_decode_padded(struct bytes text, struct buf *ret) MUST_CHECK;
int jws_encode_padded(struct bytes in, struct buf *ret) MUST_CHECK;

/* Whether the header's `alg` is the one of this kind of key: "ES256", "EdDSA", "RS256". */
bool jws_alg_is(struct bytes alg, enum jws_kind kind);

/* Appends the one other text under which an ES256 token verifies: with (r, n - s) for its signature (r, s), which
 * anybody can compute (SEC 1, 4.1.4: only the x coordinate of a point is compared). Whoever knows tokens by their text
 * must know both. ERR_INVALID: no such signature. */
int jws_twin(const struct jws *j, struct buf *ret_text) MUST_CHECK;

/* ERR_SIGNATURE; ERR_INVALID if the signature is none of this kind; ERR_NOMEM. */
int jws_verify(const struct jws *j, const struct jws_key *key) MUST_CHECK;

/* Keys. The base64url texts of a JWK; a P-256 coordinate may be short. ERR_INVALID: not on the curve, of small order,
 * too small or too large. */
int jws_key_p256(struct bytes x, struct bytes y, struct jws_key *ret_k) MUST_CHECK;
int jws_key_rsa(struct bytes n, struct bytes e, struct jws_key *ret_k) MUST_CHECK;
/* A compressed point, checked to be on the curve. */
int jws_key_point(const uint8_t point[JWS_P256_SIZE], struct jws_key *ret_k) MUST_CHECK;
/* did:key of a P-256 or an Ed25519 key. */
int jws_key_did(struct bytes text, struct jws_key *ret_k) MUST_CHECK;

#endif
