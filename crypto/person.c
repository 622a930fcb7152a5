/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/person.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/hpke.h"
#include "crypto/kdf.h"
#include "crypto/sign.h"
#include "crypto/words.h"
#include "wire/entry.h"

struct person {
	struct secret *root, *recovery_ed, *recovery_x;
	struct person_card card; /* keys only */
	struct buf card_blob, genesis;
	struct id32 genesis_hash;
	struct id16 space;
};

void person_free(struct person *p)
{
	if (!p)
		return;
	secret_free(p->root);
	secret_free(p->recovery_ed);
	secret_free(p->recovery_x);
	buf_release(&p->card_blob);
	buf_release(&p->genesis);
	free(p);
}

void person_freep(struct person **p)
{
	person_free(*p);
}

static int derive_sign(
	const struct secret *words, const char context[9], struct secret **ret_key, struct id32 *ret_public)
{
	static const struct id16 no_salt;
	uint8_t seed[SIGN_SEED_SIZE];
	int err;

	kdf_subkey(secret_key(words), context, &no_salt, seed);
	err = sign_keypair_from_seed(seed, ret_key, ret_public);
	secret_wipe(seed, sizeof seed);
	return err;
}

static int derive_box(
	const struct secret *words, const char context[9], struct secret **ret_key, struct id32 *ret_public)
{
	static const struct id16 no_salt;
	uint8_t seed[KEY_SIZE];
	int err;

	kdf_subkey(secret_key(words), context, &no_salt, seed);
	err = hpke_keypair_derive(bytes_of(seed, sizeof seed), ret_key, ret_public);
	secret_wipe(seed, sizeof seed);
	return err;
}

static int make_card(struct person *p)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(CARD_MAX_BLOB);
	uint8_t signature[64];
	int err;

	if ((err = person_card_put_body(&body, &p->card)) < 0 ||
		(err = sign_detached(CARD_LABEL, buf_bytes(&body), p->root, signature)) < 0)
		return err;
	return person_card_put(&p->card_blob, buf_bytes(&body), signature);
}

/* Nothing random and no clock: the same words give the same bytes. */
static int make_genesis(struct person *p)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(1024);
	CLEANUP(buf_release) struct buf body = BUF_INIT(1024);
	struct entry_genesis g = { .kind = SPACE_PERSONAL, .card = buf_bytes(&p->card_blob) };
	struct entry e = { .type = ENTRY_GENESIS, .signer = p->card.root };
	uint8_t signature[64];
	int err;

	if ((err = entry_put_genesis(&payload, &g)) < 0)
		return err;
	e.payload = buf_bytes(&payload);
	if ((err = entry_put_body(&body, &e)) < 0 ||
		(err = sign_detached(ENTRY_LABEL, buf_bytes(&body), p->root, signature)) < 0 ||
		(err = entry_put(&p->genesis, buf_bytes(&body), signature)) < 0)
		return err;
	hash_sha256(buf_bytes(&p->genesis), &p->genesis_hash);
	id16_from_hash(&p->genesis_hash, &p->space);
	return 0;
}

static int person_from_secret(const struct secret *words, struct person **ret_p)
{
	CLEANUP(person_freep) struct person *p = calloc(1, sizeof *p);
	int err;

	if (!p)
		return ERR_NOMEM;
	p->card_blob = (struct buf)BUF_INIT(CARD_MAX_BLOB);
	p->genesis = (struct buf)BUF_INIT(1024);
	if ((err = derive_sign(words, "persroot", &p->root, &p->card.root)) < 0 ||
		(err = derive_sign(words, "persrecd", &p->recovery_ed, &p->card.recovery_ed)) < 0 ||
		(err = derive_box(words, "persrecx", &p->recovery_x, &p->card.recovery_x)) < 0 ||
		(err = make_card(p)) < 0 || (err = make_genesis(p)) < 0)
		return err;
	*ret_p = STEAL(&p);
	return 0;
}

int person_new(struct person **ret_p, struct secret **ret_words)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	CLEANUP(secret_freep) struct secret *text = NULL;
	int err;

	if ((err = secret_random(KEY_SIZE, &key)) < 0 || (err = secret_new(WORDS_TEXT_SIZE, &text)) < 0)
		return err;
	words_format(secret_key(key), (char *)secret_data(text));
	if ((err = person_from_secret(key, ret_p)) < 0)
		return err;
	*ret_words = STEAL(&text);
	return 0;
}

int person_from_words(const char *text, size_t len, struct person **ret_p, unsigned *ret_bad)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	int err;

	if ((err = words_parse(text, len, &key, ret_bad)) < 0)
		return err;
	return person_from_secret(key, ret_p);
}

const struct id32 *person_root(const struct person *p)
{
	return &p->card.root;
}

struct bytes person_card(const struct person *p)
{
	return buf_bytes(&p->card_blob);
}

struct bytes person_genesis(const struct person *p)
{
	return buf_bytes(&p->genesis);
}

const struct id32 *person_genesis_hash(const struct person *p)
{
	return &p->genesis_hash;
}

const struct id16 *person_space(const struct person *p)
{
	return &p->space;
}

const struct secret *person_root_secret(const struct person *p)
{
	return p->root;
}

const struct id32 *person_recovery_x(const struct person *p)
{
	return &p->card.recovery_x;
}

const struct secret *person_recovery_x_secret(const struct person *p)
{
	return p->recovery_x;
}
