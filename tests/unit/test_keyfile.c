/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "tests/lib/mutate.h"

#include "crypto/hash.h"
#include "crypto/keyfile.h"
#include "crypto/keyfile_body.h"
#include "crypto/seal.h"
#include "wire/cbor.h"

static const struct kdf_params FAST = { .ops = KDF_OPS_MIN, .mem = KDF_MEM_MIN, .salt = { 1, 2, 3 } };

static struct secret *secret_of(const char *text)
{
	struct secret *s;

	assert_int_equal(secret_from(bytes_str(text), &s), 0);
	return s;
}

static int open_file(struct bytes file, const struct secret *passphrase)
{
	struct secret *payload;
	int err = keyfile_open(file, passphrase, &payload);

	if (err == 0) {
		unit_assert_bytes(secret_bytes(payload), bytes_str("the keys of a profile"));
		secret_free(payload);
	}
	return err;
}

static void passphrase_opens_and_another_does_not(void **state)
{
	struct secret *right = secret_of("correct horse"), *wrong = secret_of("battery staple");
	struct buf file = BUF_INIT(KEYFILE_MAX);

	(void)state;
	assert_int_equal(keyfile_seal(bytes_str("the keys of a profile"), right, &FAST, &file), 0);
	assert_int_equal(keyfile_needs_passphrase(buf_bytes(&file)), 1);
	assert_int_equal(open_file(buf_bytes(&file), right), 0);
	assert_int_equal(open_file(buf_bytes(&file), wrong), ERR_WRONG_KEY);
	assert_int_equal(open_file(buf_bytes(&file), NULL), ERR_WRONG_KEY);
	secret_free(right);
	secret_free(wrong);
	buf_release(&file);
}

static int open_damaged(struct bytes changed, size_t at, void *arg)
{
	int err = open_file(changed, arg);

	(void)at;
	assert_int_equal(err, ERR_CORRUPT); /* before the slow key derivation, or this test would take minutes */
	return err;
}

static void damage_is_told_from_a_wrong_passphrase(void **state)
{
	struct secret *right = secret_of("correct horse");
	struct buf file = BUF_INIT(KEYFILE_MAX);

	(void)state;
	assert_int_equal(keyfile_seal(bytes_str("the keys of a profile"), right, &FAST, &file), 0);
	mutate_flips(buf_bytes(&file), open_damaged, right);
	mutate_lengths(buf_bytes(&file), open_damaged, right);
	secret_free(right);
	buf_release(&file);
}

static void no_passphrase(void **state)
{
	struct secret *any = secret_of("ignored");
	struct buf file = BUF_INIT(KEYFILE_MAX);

	(void)state;
	assert_int_equal(keyfile_seal(bytes_str("the keys of a profile"), NULL, NULL, &file), 0);
	assert_int_equal(keyfile_needs_passphrase(buf_bytes(&file)), 0);
	assert_int_equal(open_file(buf_bytes(&file), NULL), 0);
	assert_int_equal(open_file(buf_bytes(&file), any), 0);
	mutate_flips(buf_bytes(&file), open_damaged, NULL);
	secret_free(any);
	buf_release(&file);
}

/* The file that an attacker writes: a body of his choice with the right checksum. */
static void put_checked(struct buf *b, const struct keyfile_body *f)
{
	struct buf body = BUF_INIT(KEYFILE_MAX);
	struct cbor_enc e = cbor_enc_init(b);
	struct id32 sum;

	assert_int_equal(keyfile_put_body(&body, f), 0);
	hash_plain(KEYFILE_LABEL, buf_bytes(&body), &sum);
	cbor_put_array(&e, 2);
	cbor_put_raw(&e, buf_bytes(&body));
	cbor_put_bytes(&e, sum.b, 32);
	assert_int_equal(cbor_enc_end(&e), 0);
	buf_release(&body);
}

static int open_rewritten(struct keyfile_body f, const struct secret *passphrase)
{
	struct buf b = BUF_INIT(KEYFILE_MAX);
	int err;

	put_checked(&b, &f);
	err = open_file(buf_bytes(&b), passphrase);
	buf_release(&b);
	return err;
}

static void a_rewritten_file_is_refused(void **state)
{
	struct secret *right = secret_of("correct horse");
	struct buf file = BUF_INIT(KEYFILE_MAX);
	uint8_t sealed[512];
	struct keyfile_body f, g;

	(void)state;
	assert_int_equal(keyfile_seal(bytes_str("the keys of a profile"), right, &FAST, &file), 0);
	assert_int_equal(keyfile_decode(buf_bytes(&file), &f), 0);
	assert_int_equal(open_rewritten(f, right), 0);
	g = f; /* weaker or absurd parameters are refused before they are used */
	g.params.ops = 1;
	assert_int_equal(open_rewritten(g, right), ERR_RANGE);
	g = f;
	g.params.mem = 8192;
	assert_int_equal(open_rewritten(g, right), ERR_RANGE);
	g.params.mem = (uint64_t)1 << 40;
	assert_int_equal(open_rewritten(g, right), ERR_RANGE);
	g = f;
	g.params.ops = 3;
	assert_int_equal(open_rewritten(g, right), ERR_WRONG_KEY);
	assert_true(f.sealed.len <= sizeof sealed);
	memcpy(sealed, f.sealed.p, f.sealed.len);
	sealed[f.sealed.len - 1] ^= 1;
	g = f;
	g.sealed.p = sealed;
	assert_int_equal(open_rewritten(g, right), ERR_TAMPERED);
	g = (struct keyfile_body){ .kdf = KEYFILE_NONE, .sealed = f.sealed };
	assert_int_equal(open_rewritten(g, right), ERR_TAMPERED);
	secret_free(right);
	buf_release(&file);
}

static void sizes(void **state)
{
	struct buf file = BUF_INIT(KEYFILE_MAX);
	uint8_t *p = calloc(1, KEYFILE_MAX_PAYLOAD + 1);
	struct secret *payload;

	(void)state;
	assert_non_null(p);
	assert_int_equal(keyfile_seal(bytes_of(p, KEYFILE_MAX_PAYLOAD + 1), NULL, NULL, &file), ERR_RANGE);
	assert_int_equal(keyfile_seal(bytes_of(p, 0), NULL, NULL, &file), ERR_RANGE);
	assert_int_equal(keyfile_seal(bytes_of(p, KEYFILE_MAX_PAYLOAD), NULL, NULL, &file), 0);
	assert_int_equal(keyfile_open(buf_bytes(&file), NULL, &payload), 0);
	assert_int_equal(secret_len(payload), KEYFILE_MAX_PAYLOAD);
	secret_free(payload);
	free(p);
	buf_release(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passphrase_opens_and_another_does_not),
		cmocka_unit_test(damage_is_told_from_a_wrong_passphrase),
		cmocka_unit_test(no_passphrase),
		cmocka_unit_test(a_rewritten_file_is_refused),
		cmocka_unit_test(sizes),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
