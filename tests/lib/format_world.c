/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/format_world.h"

#include <sodium.h>
#include <stdlib.h>

#include "crypto/cert.h"
#include "crypto/entry_sign.h"
#include "crypto/hash.h"
#include "crypto/hpke.h"
#include "crypto/sign.h"
#include "crypto/words.h"

static uint8_t next_random;

static void random_fill(void *p, size_t n)
{
	for (uint8_t *at = p; n > 0; n--)
		*at++ = next_random++;
}

static uint32_t random_number(void)
{
	uint32_t v;

	random_fill(&v, sizeof v);
	return v;
}

static const char *random_name(void)
{
	return "counting";
}

void world_random(uint8_t first)
{
	next_random = first;
}

void counting(void *p, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)(first + i);
}

struct id16 id16_from(uint8_t first)
{
	struct id16 id;

	counting(id.b, sizeof id.b, first);
	return id;
}

struct id32 id32_from(uint8_t first)
{
	struct id32 id;

	counting(id.b, sizeof id.b, first);
	return id;
}

static struct secret *counting_secret(uint8_t first)
{
	struct id32 bytes = id32_from(first);
	struct secret *s;

	assert_int_equal(secret_from(bytes_of(bytes.b, sizeof bytes.b), &s), 0);
	return s;
}

void world_sign(const char *label, const struct buf *message, const struct secret *key, uint8_t ret_signature[64])
{
	assert_int_equal(sign_detached(label, buf_bytes(message), key, ret_signature), 0);
}

static void device_init(struct world_device *d, uint8_t ed_seed, uint8_t x_secret)
{
	struct id32 seed = id32_from(ed_seed);

	assert_int_equal(sign_keypair_from_seed(seed.b, &d->ed, &d->keys.ed), 0);
	d->x = counting_secret(x_secret);
	assert_int_equal(hpke_public(d->x, &d->keys.x), 0);
	d->chain = (struct buf)BUF_INIT(CERT_MAX_BYTES);
	d->label = (struct buf)BUF_INIT(DEVICE_MAX_LABEL);
	d->link = (struct cert_link){ .ed = d->keys.ed, .x = d->keys.x };
}

static void device_release(struct world_device *d)
{
	secret_free(d->ed);
	secret_free(d->x);
	buf_release(&d->chain);
	buf_release(&d->label);
}

/* What a certificate of the device covers, signed by `key`. */
static void certify(
	const struct world *w, const struct world_device *d, const struct secret *key, uint8_t signature[64])
{
	struct buf b = BUF_INIT(256);

	assert_int_equal(cert_put_signed(&b, person_root(w->person), &d->keys.ed, &d->keys.x), 0);
	world_sign(CERT_LABEL, &b, key, signature);
	buf_release(&b);
}

static void seal_label(struct world *w, struct world_device *d, const char *label)
{
	world_random(0);
	assert_int_equal(epoch_seal_label(w->key[0], log_space(w->log), &d->keys.ed, bytes_str(label), &d->label), 0);
	d->keys.label = buf_bytes(&d->label);
}

static void certify_one(struct world *w)
{
	struct world_device *d = &w->one;

	d->link.issuer = *person_root(w->person);
	certify(w, d, person_root_secret(w->person), d->link.issuer_signature);
	assert_int_equal(cert_chain_put_head(&d->chain, 1), 0);
	assert_int_equal(cert_link_put(&d->chain, &d->link), 0);
}

void world_certify_two(struct world *w, const uint8_t grant[64])
{
	struct world_device *d = &w->two;

	d->link.issuer = w->one.keys.ed;
	d->link.has_via = true;
	d->link.via = w->invite.ed_public;
	memcpy(d->link.issuer_signature, grant, 64);
	certify(w, d, w->invite.ed, d->link.via_signature);
	assert_int_equal(cert_chain_put_head(&d->chain, 2), 0);
	assert_int_equal(cert_link_put(&d->chain, &w->one.link), 0);
	assert_int_equal(cert_link_put(&d->chain, &d->link), 0);
	seal_label(w, d, "phone");
}

void world_append(
	struct world *w, enum entry_type type, struct bytes payload, const struct secret *key, struct buf *ret_blob)
{
	buf_clear(ret_blob);
	assert_int_equal(entry_sign(w->log, type, payload, key, WORLD_NOW, ret_blob), 0);
	if (log_apply(w->log, buf_bytes(ret_blob), LOG_VERIFY) < 0)
		fail_msg("entry refused: %s", log_refusal(w->log));
}

static void make_identity(struct world *w)
{
	struct secret *store_key = counting_secret(0xc0);
	struct identity_parts parts = { .ed = w->one.ed,
		.x = w->one.x,
		.store_key = store_key,
		.card = person_card(w->person),
		.chain = buf_bytes(&w->one.chain),
		.personal_genesis = *person_genesis_hash(w->person),
		.personal = w->ring,
		.label = bytes_str("laptop") };

	assert_int_equal(identity_new(&parts, &w->id), 0);
	secret_free(store_key);
}

static void make_log(struct world *w)
{
	struct entry_member member = { .card = person_card(w->person), .role = ROLE_ADMIN };
	struct buf blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct id32 *recipients;
	size_t n;

	assert_int_equal(log_new(person_genesis_hash(w->person), &w->log), 0);
	assert_int_equal(log_apply(w->log, person_genesis(w->person), LOG_VERIFY), 0);
	seal_label(w, &w->one, "laptop");
	member.device = w->one.keys;
	member.chain = buf_bytes(&w->one.chain);
	assert_int_equal(entry_put_member(&w->member, &member), 0);
	world_append(w, ENTRY_MEMBER, buf_bytes(&w->member), person_root_secret(w->person), &w->entry);
	assert_int_equal(log_recipients(w->log, NULL, NULL, &recipients, &n), 0);
	world_random(0);
	assert_int_equal(
		epoch_put_payload(&w->epoch, log_space(w->log), 1, w->key[0], NULL, 1, log_head(w->log), recipients, n),
		0);
	world_append(w, ENTRY_EPOCH, buf_bytes(&w->epoch), w->one.ed, &blob);
	free(recipients);
	buf_release(&blob);
}

static void derive_invite(struct world *w)
{
	struct invite_secret *s;

	assert_int_equal(invite_secret_parse(WORLD_LINK, &s), 0);
	assert_int_equal(invite_derive(s, &w->invite), 0);
	invite_secret_free(s);
}

void world_init(struct world *w)
{
	static struct randombytes_implementation source = {
		.implementation_name = random_name, .random = random_number, .buf = random_fill
	};
	struct id32 words = id32_from(0);
	char text[WORDS_TEXT_SIZE];

	assert_int_equal(randombytes_set_implementation(&source), 0);
	assert_int_equal(crypto_init(), 0);
	*w = (struct world){
		.member = BUF_INIT(ENTRY_MAX_BLOB), .epoch = BUF_INIT(ENTRY_MAX_BLOB), .entry = BUF_INIT(ENTRY_MAX_BLOB)
	};
	words_format(words.b, text);
	assert_int_equal(person_from_words(text, strlen(text), &w->person, NULL), 0);
	device_init(&w->one, 0x20, 0x40);
	device_init(&w->two, 0xe0, 0x10);
	w->key[0] = counting_secret(0x60);
	w->key[1] = counting_secret(0x80);
	assert_int_equal(epoch_ring_new(&w->ring), 0);
	assert_int_equal(epoch_ring_add(w->ring, 1, w->key[0]), 0);
	certify_one(w);
	make_identity(w);
	make_log(w);
	derive_invite(w);
}

void world_release(struct world *w)
{
	person_free(w->person);
	identity_free(w->id);
	device_release(&w->one);
	device_release(&w->two);
	secret_free(w->key[0]);
	secret_free(w->key[1]);
	epoch_ring_free(w->ring);
	invite_keys_release(&w->invite);
	log_free(w->log);
	buf_release(&w->member);
	buf_release(&w->epoch);
	buf_release(&w->entry);
}
