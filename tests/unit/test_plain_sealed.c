/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two clients of the plain protocol seal for each other through the relay: they bind it to ids, numbers and generations as the
 * relay writes them, so that one letter that came back otherwise would make everything unreadable. The sealed values are the known
 * answers of the protocol's reference (its appendix B); what opens them is written here from its words, on libcrypto.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include "crypto/hash.h"
#include "server/rpc.h"
#include "tests/lib/plain_scene.h"

#define SPACE "11111111-1111-1111-1111-111111111111"
#define ENVELOPE "04030303030303030303030303900478f690c7eec8dcbe5913cda6ec797c4e071756"
#define WRAPPED "000000072a00ce3df45a7279646a36d8d438343d016decc0f787c528333d28c996cdde6d087884a3cad6d415"
#define WRAPPED_AT 7 /* the epoch that it says */
#define KEY_2 "009a14af1fe8da954c893ab6cfc8ed2ce53a1cce165d89b3d4ec2a9146d4fd55"
#define CHANNEL "c2dfca58f4bd1448f3062c937324a6831df86b2657cd02ed559e217ebe941baf"
#define MAILBOX "00919aec43bb3467a3fce316ff56e81abadf8705070badbf30a44bab5eb4929c"
#define KEY_SIZE 32
#define V4_HEAD 13 /* version, IV */
#define V4_TAG 16

static const uint8_t ones[KEY_SIZE] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 1, 1, 1, 1 };

/* --- a client's own arithmetic --- */

/* RFC 5869, one block. */
static void hkdf(const uint8_t key[KEY_SIZE], const char *salt, struct bytes info, struct id32 *ret)
{
	struct id32 prk;

	hash_hmac(bytes_str(salt), bytes_of(key, KEY_SIZE), bytes_of(NULL, 0), &prk);
	hash_hmac(bytes_of(prk.b, sizeof prk.b), info, bytes_of("\1", 1), ret);
}

static void derive(const uint8_t key[KEY_SIZE], const char *salt, const char *label, struct bytes space,
	const char *more, struct id32 *ret)
{
	char info[128];

	snprintf(info, sizeof info, "%s:%.*s%s", label, (int)space.len, (const char *)space.p, more);
	hkdf(key, salt, bytes_str(info), ret);
}

/* v4: 04, IV, AES-256-GCM over AAD = length and text of the space's id, then the record's. False: it is not so. */
static bool open_envelope(
	const uint8_t key[KEY_SIZE], struct bytes v4, struct bytes space, struct bytes record, struct buf *ret)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	struct buf aad = BUF_INIT(256);
	const size_t len = v4.len - V4_HEAD - V4_TAG;
	uint8_t *out, *tag = (uint8_t *)(uintptr_t)(v4.p + V4_HEAD + len);
	int n;
	bool good;

	assert_true(v4.len >= V4_HEAD + V4_TAG);
	assert_int_equal(v4.p[0], 4);
	assert_int_equal(buf_put_u32be(&aad, (uint32_t)space.len), 0);
	assert_int_equal(buf_put(&aad, space.p, space.len), 0);
	assert_int_equal(buf_put(&aad, record.p, record.len), 0);
	assert_int_equal(buf_grow(ret, len, &out), 0);
	assert_int_equal(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, v4.p + 1), 1);
	assert_int_equal(EVP_DecryptUpdate(c, NULL, &n, aad.data, (int)aad.len), 1);
	assert_int_equal(EVP_DecryptUpdate(c, out, &n, v4.p + V4_HEAD, (int)len), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, V4_TAG, tag), 1);
	good = EVP_DecryptFinal_ex(c, out + n, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	buf_release(&aad);
	return good;
}

/* RFC 3394, behind the epoch. */
static void unwrap(const uint8_t kek[KEY_SIZE], struct bytes dek, uint8_t ret_key[KEY_SIZE])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	assert_int_equal(EVP_DecryptInit_ex(c, EVP_aes_256_wrap(), NULL, kek, NULL), 1);
	assert_int_equal(EVP_DecryptUpdate(c, ret_key, &n, dek.p + 4, (int)dek.len - 4), 1);
	assert_int_equal(n, KEY_SIZE);
	EVP_CIPHER_CTX_free(c);
}

/* --- a space with the reference's id, of Alice and Bob --- */

struct sealed_scene {
	struct scene *x;
	char *ua, *ub;
};

static void make_space(struct sealed_scene *s)
{
	const int64_t exp = relay_now(&s->x->r.relay) + 1000;
	struct params p;
	struct id16 id;

	assert_int_equal(id16_parse(SPACE, 36, &id), 0);
	s->ua = plain_party_ucan(&s->x->root, s->x->alice.did, &id, "/space/admin", exp, NULL);
	s->ub = plain_party_ucan(&s->x->alice, s->x->bob.did, &id, "/space/write", exp, s->ua);
	params_begin(&p, 2);
	params_text(&p, "id", SPACE);
	params_bytes(&p, "root_public_key", s->x->root.point, sizeof s->x->root.point);
	scene_not_refused(scene_call(s->x, s->x->a, "space.create", &p));
}

static int setup(void **state)
{
	struct sealed_scene *s = calloc(1, sizeof *s);
	void *x;

	assert_non_null(s);
	scene_setup(&x);
	s->x = x;
	make_space(s);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct sealed_scene *s = *state;
	void *x = s->x;

	free(s->ua);
	free(s->ub);
	free(s);
	return scene_teardown(&x);
}

static void turn_key(struct sealed_scene *s, uint64_t epoch)
{
	static const char *const steps[] = { "epoch.begin", "epoch.complete" };

	for (int i = 0; i < 2; i++) {
		struct params p;

		params_begin(&p, 3);
		params_text(&p, "space", SPACE);
		params_text(&p, "ucan", s->ua);
		params_uint(&p, "epoch", epoch);
		scene_not_refused(scene_call(s->x, s->x->a, steps[i], &p));
	}
}

static struct answer rewrap(struct sealed_scene *s, struct bytes dek)
{
	struct params p;

	params_begin(&p, 3);
	params_text(&p, "space", SPACE);
	params_text(&p, "ucan", s->ua);
	params_array(&p, "deks", 1);
	cbor_put_map(&p.e, 2);
	params_text(&p, "id", SCENE_R1);
	params_bytes(&p, "dek", dek.p, dek.len);
	return scene_call(s->x, s->x->a, "deks.rewrap", &p);
}

static void push_envelope(struct sealed_scene *s)
{
	struct buf envelope = BUF_INIT(256);
	struct params p;
	struct answer a;

	unit_put_hex(&envelope, ENVELOPE);
	params_begin(&p, 3);
	params_text(&p, "space", SPACE);
	params_text(&p, "ucan", s->ua);
	params_array(&p, "changes", 1);
	cbor_put_map(&p.e, 4);
	params_text(&p, "id", SCENE_R1);
	params_bytes(&p, "blob", envelope.data, envelope.len);
	params_uint(&p, "expected_cursor", 0);
	params_dek(&p, 1);
	a = scene_call(s->x, s->x->a, "push", &p);
	assert_true(answer_ok(&a));
	answer_release(&a);
	buf_release(&envelope);
}

/* Bob's side: he has the key of the epoch, and else only what the relay tells. */
static void bob_reads(struct sealed_scene *s, uint64_t generation)
{
	static const uint8_t kek[KEY_SIZE] = { 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
		2, 2, 2, 2, 2, 2, 2, 2 };
	struct answer a = scene_pull(s->x, s->x->b, SPACE, s->ub, 0);
	struct buf text = BUF_INIT(256);
	struct bytes name, data, space, record, dek, blob;
	uint8_t key[KEY_SIZE];
	uint64_t told;

	assert_int_equal(a.chunks, 3);
	data = answer_chunk(&a, 0, &name);
	assert_int_equal(param_uint(data, "key_generation", &told), 0);
	assert_int_equal(told, generation);
	data = answer_chunk(&a, 1, &name);
	assert_int_equal(param_text(data, "space", 64, &space), 0);
	assert_int_equal(param_text(data, "id", 64, &record), 0);
	assert_int_equal(param_bytes(data, "dek", 64, &dek), 0);
	assert_int_equal(param_bytes(data, "blob", 256, &blob), 0);
	assert_int_equal(bytes_get_be(dek.p, 4), generation);
	unwrap(kek, dek, key);
	assert_memory_equal(key, ones, sizeof ones);
	assert_true(open_envelope(key, blob, space, record, &text));
	unit_assert_bytes(buf_bytes(&text), bytes_str("hello"));
	buf_clear(&text);
	assert_false(open_envelope(key, blob, space, bytes_str(SCENE_R2), &text)); /* it is bound to them */
	buf_release(&text);
	answer_release(&a);
}

static void a_record_opens_with_what_the_relay_tells(void **state)
{
	struct sealed_scene *s = *state;
	struct buf wrapped = BUF_INIT(64);

	unit_put_hex(&wrapped, WRAPPED);
	push_envelope(s);
	for (uint64_t epoch = 2; epoch <= WRAPPED_AT; epoch++) {
		scene_refused(
			rewrap(s, buf_bytes(&wrapped)), "conflict", "DEK epoch does not match current key generation");
		turn_key(s, epoch);
	}
	scene_not_refused(rewrap(s, buf_bytes(&wrapped)));
	bob_reads(s, WRAPPED_AT);
	buf_release(&wrapped);
}

static void the_next_key_follows_from_what_the_relay_tells(void **state)
{
	struct sealed_scene *s = *state;
	struct id32 key, channel;
	struct bytes one, id;
	struct cbor_dec d;
	struct params p;
	struct answer a;
	uint64_t generation;
	char more[24];
	size_t n;

	turn_key(s, 2);
	params_begin(&p, 1);
	params_array(&p, "spaces", 1);
	cbor_put_map(&p.e, 3);
	params_text(&p, "id", SPACE);
	params_text(&p, "ucan", s->ub);
	params_uint(&p, "since", 0);
	a = scene_call(s->x, s->x->b, "subscribe", &p);
	assert_int_equal(param_array(a.last.value, "spaces", 1, &d, &n), 0);
	one = cbor_get_raw(&d);
	assert_int_equal(param_text(one, "id", 64, &id), 0);
	assert_int_equal(param_uint(one, "key_generation", &generation), 0);
	snprintf(more, sizeof more, ":%llu", (unsigned long long)generation);
	derive(ones, "betterbase:epoch-salt:v1", "betterbase:epoch:v1", id, more, &key);
	unit_assert_hex(bytes_of(key.b, sizeof key.b), KEY_2);
	derive(ones, "betterbase:channel-salt:v1", "betterbase:channel:v1", id, "", &channel);
	unit_assert_hex(bytes_of(channel.b, sizeof channel.b), CHANNEL);
	answer_release(&a);
}

/* The mailbox that somebody derives is one that the relay takes letters for. */
static void a_derived_mailbox_gets_letters(void **state)
{
	static const char info[] = "betterbase:mailbox:v1\0https://accounts.betterbase.dev\0test-user";
	struct sealed_scene *s = *state;
	const uint8_t key[KEY_SIZE] = { 0 };
	struct cbor_dec d;
	struct params p;
	struct answer a;
	size_t n;

	hkdf(key, "betterbase-mailbox-salt-v1", bytes_of(info, sizeof info - 1), &s->x->b->plain.mailbox);
	unit_assert_hex(bytes_of(s->x->b->plain.mailbox.b, 32), MAILBOX);
	params_begin(&p, 2);
	params_text(&p, "mailbox_id", MAILBOX);
	params_text(&p, "payload", "sealed");
	scene_not_refused(scene_call(s->x, s->x->a, "invitation.create", &p));
	params_begin(&p, 0);
	a = scene_call(s->x, s->x->b, "invitation.list", &p);
	assert_int_equal(param_array(a.last.value, "invitations", 10, &d, &n), 0);
	assert_int_equal(n, 1);
	answer_release(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_record_opens_with_what_the_relay_tells),
		TEST(the_next_key_follows_from_what_the_relay_tells),
		TEST(a_derived_mailbox_gets_letters),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
