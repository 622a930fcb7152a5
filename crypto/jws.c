/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include "base/cleanup.h"
#include "crypto/token_text.h"

#define COORDINATE 32
#define ES256_SIZE 64
#define DID_MAX 256
#define MESSAGE_MAX 65536

int jws_split(struct bytes text, struct jws *ret_j)
{
	const uint8_t *end = text.p + text.len, *first, *second;

	if (!text.len || !(first = memchr(text.p, '.', text.len)) ||
		!(second = memchr(first + 1, '.', (size_t)(end - first - 1))))
		return ERR_INVALID;
	ret_j->header = bytes_of(text.p, (size_t)(first - text.p));
	ret_j->claims = bytes_of(first + 1, (size_t)(second - first - 1));
	ret_j->signature = bytes_of(second + 1, (size_t)(end - second - 1));
	ret_j->signed_part = bytes_of(text.p, (size_t)(second - text.p));
	return OK;
}

static int decode(struct bytes text, int variant, struct buf *ret)
{
	size_t room = text.len / 4 * 3 + 3, len, before = ret->len;
	const char *end;
	uint8_t *p;
	int err;

	if (!text.len)
		return OK;
	if ((err = buf_grow(ret, room, &p)) < 0)
		return err;
	if (sodium_base642bin(p, room, (const char *)text.p, text.len, NULL, &len, &end, variant) != 0 ||
		end != (const char *)text.p + text.len) {
		ret->len = before;
		return ERR_INVALID;
	}
	ret->len = before + len;
	return OK;
}

int jws_decode(struct bytes part, struct buf *ret)
{
	return decode(part, sodium_base64_VARIANT_URLSAFE_NO_PADDING, ret);
}

int jws_decode_padded(struct bytes text, struct buf *ret)
{
	return decode(text, sodium_base64_VARIANT_ORIGINAL, ret);
}

int jws_encode_padded(struct bytes in, struct buf *ret)
{
	size_t size = sodium_base64_ENCODED_LEN(in.len, sodium_base64_VARIANT_ORIGINAL); /* with NUL */
	uint8_t *p;
	int err = buf_grow(ret, size, &p);

	if (err < 0)
		return err;
	sodium_bin2base64((char *)p, size, in.p, in.len, sodium_base64_VARIANT_ORIGINAL);
	ret->len--;
	return OK;
}

bool jws_alg_is(struct bytes alg, enum jws_kind kind)
{
	static const char *const names[] = { [JWS_P256] = "ES256", [JWS_ED25519] = "EdDSA", [JWS_RSA] = "RS256" };

	return bytes_equal(alg, bytes_str(names[kind]));
}

/* --- libcrypto --- */

/* A key from parameters; NULL if it is not a good one. */
static EVP_PKEY *make_key(const char *type, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *p256_key(const uint8_t *point, size_t len)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;

	if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, len) == 1)
		key = make_key("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return key;
}

static EVP_PKEY *rsa_key(const struct jws_key *k)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *n = BN_bin2bn(k->b, k->len, NULL), *e = BN_new();
	EVP_PKEY *key = NULL;

	if (bld && n && e && BN_set_word(e, k->e) == 1 && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		key = make_key("RSA", bld);
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(bld);
	return key;
}

/* r ‖ s as the DER that libcrypto takes; *ret_der is OpenSSL's to free. */
static int es256_der(struct bytes raw, uint8_t **ret_der)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw.p, COORDINATE, NULL), *s = BN_bin2bn(raw.p + COORDINATE, COORDINATE, NULL);
	int len = -1;

	*ret_der = NULL;
	if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL; /* the signature's now */
		len = i2d_ECDSA_SIG(sig, ret_der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return len;
}

static int digest_verify(EVP_PKEY *key, struct bytes message, const uint8_t *sig, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int err = ERR_NOMEM;

	if (ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1)
		err = EVP_DigestVerify(ctx, sig, len, message.p, message.len) == 1 ? OK : ERR_SIGNATURE;
	EVP_MD_CTX_free(ctx);
	return err;
}

static int verify_es256(const struct jws_key *k, struct bytes message, struct bytes sig)
{
	EVP_PKEY *key;
	uint8_t *der;
	int err = ERR_SIGNATURE, len;

	if (sig.len != ES256_SIZE)
		return ERR_INVALID;
	len = es256_der(sig, &der);
	key = p256_key(k->b, k->len);
	if (len <= 0 || !key)
		err = ERR_NOMEM;
	else
		err = digest_verify(key, message, der, (size_t)len);
	EVP_PKEY_free(key);
	OPENSSL_free(der);
	return err;
}

static int verify_rs256(const struct jws_key *k, struct bytes message, struct bytes sig)
{
	EVP_PKEY *key;
	int err;

	if (sig.len != k->len)
		return ERR_INVALID;
	if (!(key = rsa_key(k)))
		return ERR_NOMEM;
	err = digest_verify(
		key, message, sig.p, sig.len); /* RSA's default padding is PKCS #1 v1.5, which RS256 means */
	EVP_PKEY_free(key);
	return err;
}

static int verify_ed25519(const struct jws_key *k, struct bytes message, struct bytes sig)
{
	if (sig.len != crypto_sign_BYTES)
		return ERR_INVALID;
	return crypto_sign_verify_detached(sig.p, message.p, message.len, k->b) == 0 ? OK : ERR_SIGNATURE;
}

int jws_verify(const struct jws *j, const struct jws_key *key)
{
	CLEANUP(buf_release) struct buf sig = BUF_INIT(JWS_RSA_MAX + 3);
	int err;

	if (j->signed_part.len > MESSAGE_MAX)
		return ERR_INVALID;
	if ((err = jws_decode(j->signature, &sig)) < 0)
		return err == ERR_NOMEM ? err : ERR_INVALID;
	switch (key->kind) {
	case JWS_P256:
		return verify_es256(key, j->signed_part, buf_bytes(&sig));
	case JWS_ED25519:
		return verify_ed25519(key, j->signed_part, buf_bytes(&sig));
	case JWS_RSA:
		return verify_rs256(key, j->signed_part, buf_bytes(&sig));
	}
	return ERR_INVALID;
}

/* n - s, for 0 < s < n. */
static int negate(uint8_t s[COORDINATE])
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	BIGNUM *v = BN_bin2bn(s, COORDINATE, NULL), *d = BN_new();
	int err = ERR_NOMEM;

	if (group && v && d) {
		const BIGNUM *n = EC_GROUP_get0_order(group);

		if (BN_is_zero(v) || BN_cmp(v, n) >= 0)
			err = ERR_INVALID;
		else if (BN_sub(d, n, v) == 1 && BN_bn2binpad(d, s, COORDINATE) == COORDINATE)
			err = OK;
	}
	BN_free(d);
	BN_free(v);
	EC_GROUP_free(group);
	return err;
}

int jws_twin(const struct jws *j, struct buf *ret_text)
{
	CLEANUP(buf_release) struct buf sig = BUF_INIT(ES256_SIZE + 3);
	int err = jws_decode(j->signature, &sig);

	if (err < 0 || sig.len != ES256_SIZE)
		return err == ERR_NOMEM ? err : ERR_INVALID;
	if ((err = negate(sig.data + COORDINATE)) < 0 ||
		(err = buf_put(ret_text, j->signed_part.p, j->signed_part.len)) < 0 ||
		(err = buf_put(ret_text, ".", 1)) < 0)
		return err;
	return token_text_put_base64(ret_text, buf_bytes(&sig));
}

/* --- keys --- */

int jws_key_point(const uint8_t point[JWS_P256_SIZE], struct jws_key *ret_k)
{
	EVP_PKEY *key;

	if (point[0] != 2 && point[0] != 3)
		return ERR_INVALID;
	key = p256_key(point, JWS_P256_SIZE); /* refuses what is not on the curve */
	if (!key)
		return ERR_INVALID;
	EVP_PKEY_free(key);
	*ret_k = (struct jws_key){ .kind = JWS_P256, .len = JWS_P256_SIZE };
	memcpy(ret_k->b, point, JWS_P256_SIZE);
	return OK;
}

/* A big-endian number of at most n bytes, right-aligned in out. */
static int get_number(struct bytes text, uint8_t *out, size_t n)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(JWS_RSA_MAX + 3);
	size_t skip = 0;

	if (jws_decode(text, &b) < 0)
		return ERR_INVALID;
	while (skip < b.len && !b.data[skip])
		skip++;
	if (b.len - skip > n || b.len == skip)
		return ERR_INVALID;
	memset(out, 0, n);
	memcpy(out + n - (b.len - skip), b.data + skip, b.len - skip);
	return (int)(b.len - skip);
}

int jws_key_p256(struct bytes x, struct bytes y, struct jws_key *ret_k)
{
	uint8_t point[1 + 2 * COORDINATE] = { 4 };
	EVP_PKEY *key;

	if (get_number(x, point + 1, COORDINATE) < 0 || get_number(y, point + 1 + COORDINATE, COORDINATE) < 0)
		return ERR_INVALID;
	key = p256_key(point, sizeof point);
	if (!key)
		return ERR_INVALID;
	EVP_PKEY_free(key);
	*ret_k = (struct jws_key){ .kind = JWS_P256, .len = JWS_P256_SIZE };
	ret_k->b[0] = (uint8_t)(2 | (point[2 * COORDINATE] & 1));
	memcpy(ret_k->b + 1, point + 1, COORDINATE);
	return OK;
}

static int set_ed25519(const uint8_t *p, size_t n, struct jws_key *ret_k)
{
	if (n != crypto_sign_PUBLICKEYBYTES || !crypto_core_ed25519_is_valid_point(p))
		return ERR_INVALID;
	*ret_k = (struct jws_key){ .kind = JWS_ED25519, .len = (uint16_t)n };
	memcpy(ret_k->b, p, n);
	return OK;
}

int jws_key_rsa(struct bytes n, struct bytes e, struct jws_key *ret_k)
{
	uint8_t modulus[JWS_RSA_MAX], exponent[4];
	struct jws_key k = { .kind = JWS_RSA };
	int len = get_number(n, modulus, sizeof modulus);

	if (len < JWS_RSA_MIN || get_number(e, exponent, sizeof exponent) < 0)
		return ERR_INVALID;
	k.len = (uint16_t)len;
	memcpy(k.b, modulus + sizeof modulus - len, (size_t)len);
	k.e = (uint32_t)exponent[0] << 24 | (uint32_t)exponent[1] << 16 | (uint32_t)exponent[2] << 8 | exponent[3];
	if (k.e < 3 || !(k.e & 1) || !(k.b[len - 1] & 1))
		return ERR_INVALID;
	*ret_k = k;
	return OK;
}

int jws_key_did(struct bytes text, struct jws_key *ret_k)
{
	uint8_t b[2 + JWS_P256_SIZE];
	struct id32 key;

	if (text.len > DID_MAX)
		return ERR_INVALID;
	if (id32_parse_did((const char *)text.p, text.len, &key) == OK)
		return set_ed25519(key.b, sizeof key.b, ret_k);
	if (did_key_parse((const char *)text.p, text.len, b, sizeof b) < 0 || b[0] != 0x80 || b[1] != 0x24)
		return ERR_INVALID;
	return jws_key_point(b + 2, ret_k);
}
