/* SPDX-License-Identifier: Apache-2.0 */
/*
 * person: the public face of a person and of their devices, as bytes: card, device keys, certificate chain. Encodes and
 * decodes; verifies no signature (crypto/cert.h does). docs/FORMAT.md "Person".
 *
 * card   = [ { 0: format 1, 1: root 32, 2: recovery Ed25519 32, 3: recovery X25519 32 }, signature 64 ]; the root signs
 *          CARD_LABEL and the encoded map. All three keys follow from the 24 words.
 * device = { 0: Ed25519 32, 1: X25519 32, 2: label (optional; sealed under the space's epoch key) }
 * chain  = [ link .. ], 1 to CERT_MAX_LINKS, from the root to the device:
 *   link = { 0: issuer 32 (the root, or the device of the link before), 1: Ed25519 32, 2: X25519 32,
 *            3: via 32 (optional: the Ed25519 key of the pairing invite), 4: issuer's signature 64, 5: via's signature
 *            64 (exactly with 3) }
 *   Without via the issuer signs CERT_LABEL and [person, ed, x]; with via it signs GRANT_LABEL and [person, via] (made
 *   with the invite, before the device is known), and via signs CERT_LABEL and [person, ed, x].
 *
 * Inputs of the decoders are items of a blob that cbor_check has passed; views in results point into them.
 */
#ifndef COFFER_WIRE_PERSON_H
#define COFFER_WIRE_PERSON_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/id.h"
#include "wire/cbor.h"

#define PERSON_FORMAT 1
#define CARD_LABEL "coffer/person/1"
#define CERT_LABEL "coffer/device/1"
#define GRANT_LABEL "coffer/grant/1"
#define CARD_MAX_BLOB 256
#define CERT_MAX_LINKS 32
#define CERT_MAX_BYTES 10240 /* of CERT_MAX_LINKS links of at most 320 */
#define DEVICE_MAX_LABEL 512 /* sealed */

struct person_card {
	struct id32 root, recovery_ed, recovery_x;
	struct bytes body; /* the encoded map: what is signed */
	uint8_t signature[64];
};

int person_card_put_body(struct buf *b, const struct person_card *c) MUST_CHECK;
int person_card_put(struct buf *b, struct bytes body, const uint8_t signature[64]) MUST_CHECK;
int person_card_decode(struct bytes item, struct person_card *ret_c) MUST_CHECK;

struct device_keys {
	struct id32 ed, x;
	struct bytes label; /* sealed; empty if absent */
};

void device_keys_put(struct cbor_enc *e, const struct device_keys *k);
void device_keys_get(struct cbor_dec *d, struct device_keys *ret_k);

struct cert_link {
	struct id32 issuer, ed, x;
	bool has_via;
	struct id32 via;
	uint8_t issuer_signature[64];
	uint8_t via_signature[64]; /* if has_via */
};

/* Appends one link / the array head of a chain of n links (the links follow). */
int cert_link_put(struct buf *b, const struct cert_link *l) MUST_CHECK;
int cert_chain_put_head(struct buf *b, size_t n) MUST_CHECK;

/* Decodes a whole chain; *ret_n is 1..CERT_MAX_LINKS. */
int cert_chain_decode(struct bytes item, struct cert_link ret_links[CERT_MAX_LINKS], size_t *ret_n) MUST_CHECK;

/* What CERT_LABEL / GRANT_LABEL sign: [person, ed, x] / [person, via]. */
int cert_put_signed(struct buf *b, const struct id32 *person, const struct id32 *ed, const struct id32 *x) MUST_CHECK;
int grant_put_signed(struct buf *b, const struct id32 *person, const struct id32 *via) MUST_CHECK;

#endif
