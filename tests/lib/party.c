/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/party.h"

#include <sodium.h>
#include "crypto/entry_sign.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "wire/head.h"

void party_init(struct party *p, const char *label)
{
	struct secret *words;

	memset(p, 0, sizeof *p);
	assert_int_equal(crypto_init(), 0);
	assert_int_equal(person_new(&p->person, &words), 0);
	secret_free(words);
	assert_int_equal(space_make_personal(p->person, bytes_str(label), PARTY_NOW, &p->id, &p->own), 0);
}

void party_release(struct party *p)
{
	person_free(p->person);
	identity_free(p->id);
	new_space_release(&p->own);
}

void party_space(const struct party *p, struct new_space *ret_s)
{
	assert_int_equal(space_make_shared(p->id, PARTY_NOW, ret_s), 0);
}

struct entry_maker party_maker(const struct party *p, const struct log *log)
{
	return (struct entry_maker){ .log = log, .id = p->id, .now = PARTY_NOW };
}

void party_keys(struct invite_keys *ret_k)
{
	char text[96] = "coffer://join/relay.example#";
	struct invite_secret *s;
	uint8_t master[32];

	randombytes_buf(master, sizeof master);
	sodium_bin2base64(text + strlen(text), sizeof text - strlen(text), master, sizeof master,
		sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	assert_int_equal(invite_secret_parse(text, &s), 0);
	assert_int_equal(invite_derive(s, ret_k), 0);
	invite_secret_free(s);
}

void party_invite(
	const struct party *admin, struct new_space *s, enum role role, uint64_t uses, struct invite_keys *ret_k)
{
	struct invite_params params = {
		.role = role, .uses = uses, .expires = PARTY_NOW + 600, .relay = PARTY_RELAY, .name = "photos"
	};
	struct entry_maker m = party_maker(admin, s->log);
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);

	party_keys(ret_k);
	assert_int_equal(entry_make_invite(&m, s->ring, &params, ret_k, &b), 0);
	party_apply(s->log, &b);
	buf_release(&b);
}

void party_join_blob(
	const struct party *joiner, const struct log *log, const struct invite_keys *k, struct buf *ret_blob)
{
	struct entry_maker m = party_maker(joiner, log);
	struct invite_bundle bundle;
	struct epoch_ring *ring;

	assert_int_equal(invite_open(log, k, &bundle, &ring), 0);
	assert_int_equal(entry_make_join(&m, k, ring, ret_blob), 0);
	epoch_ring_free(ring);
}

void party_join(const struct party *admin, const struct party *joiner, struct new_space *s, enum role role)
{
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct invite_keys k;

	party_invite(admin, s, role, 1, &k);
	party_join_blob(joiner, s->log, &k, &b);
	party_apply(s->log, &b);
	invite_keys_release(&k);
	buf_release(&b);
}

void party_pair(struct party *p, const char *label, struct party *ret_device)
{
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct invite_bundle bundle;
	struct invite_keys k;
	struct epoch_ring *ring;

	memset(ret_device, 0, sizeof *ret_device);
	party_invite(p, &p->own, ROLE_DEVICE, 1, &k);
	assert_int_equal(invite_open(p->own.log, &k, &bundle, &ring), 0);
	assert_int_equal(identity_pair(p->own.log, &k, ring, bytes_str(label), PARTY_NOW, &ret_device->id, &b), 0);
	party_apply(p->own.log, &b);
	epoch_ring_free(ring);
	invite_keys_release(&k);
	buf_release(&b);
}

void party_rotate(const struct party *admin, struct new_space *s)
{
	struct entry_maker m = party_maker(admin, s->log);
	struct buf b = BUF_INIT(ENTRY_MAX_BLOB);
	struct secret *key;

	assert_int_equal(entry_make_epoch(&m, s->ring, log_epoch_number(s->log) + 1, &key, &b), 0);
	party_apply(s->log, &b);
	assert_int_equal(epoch_ring_add(s->ring, log_epoch_number(s->log), key), 0);
	secret_free(key);
	buf_release(&b);
}

void party_cut(const struct party *p, const struct log *log, struct buf *ret_head)
{
	party_cut_at(p, log, 7, ret_head);
}

void party_cut_at(const struct party *p, const struct log *log, uint64_t cursor, struct buf *ret_head)
{
	struct head h = { .space = *log_space(log),
		.device = *identity_device(p->id),
		.cursor = cursor,
		.log_head = *log_head(log),
		.time = PARTY_NOW };

	assert_int_equal(sign_head(&h, identity_sign_secret(p->id), ret_head), 0);
}

void party_sign(const struct log *log, enum entry_type type, struct bytes payload, const struct secret *key,
	struct buf *ret_blob)
{
	assert_int_equal(entry_sign(log, type, payload, key, PARTY_NOW, ret_blob), 0);
}

void party_apply(struct log *log, const struct buf *blob)
{
	uint64_t count = log_count(log);
	int err = log_apply(log, buf_bytes(blob), LOG_VERIFY);

	if (err < 0)
		fail_msg("entry refused: %s (%s)", log_refusal(log), err_str(err));
	assert_int_equal(log_count(log), count + 1);
	assert_string_equal(log_refusal(log), "");
}

void party_refused(struct log *log, const struct buf *blob, int err)
{
	uint64_t count = log_count(log);
	struct id32 head = *log_head(log);
	int got = log_apply(log, buf_bytes(blob), LOG_VERIFY);

	if (got != err)
		fail_msg("%s (%s) instead of %s", err_str(got), log_refusal(log), err_str(err));
	assert_int_equal(log_check(log, buf_bytes(blob)), err);
	assert_string_not_equal(log_refusal(log), "");
	assert_int_equal(log_count(log), count);
	assert_true(id32_equal(log_head(log), &head));
}
