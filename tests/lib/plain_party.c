/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/plain_party.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "crypto/token_text.h"

static void put_did(struct plain_party *p)
{
	static const char digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
	uint8_t bytes[35] = { 0x80, 0x24 };
	char text[64];
	size_t n = 0;
	BIGNUM *b;

	memcpy(bytes + 2, p->point, 33);
	b = BN_bin2bn(bytes, sizeof bytes, NULL);
	while (!BN_is_zero(b))
		text[n++] = digits[BN_div_word(b, 58)];
	BN_free(b);
	snprintf(p->did, sizeof p->did, "did:key:z");
	for (size_t i = 0; i < n; i++)
		p->did[9 + i] = text[n - 1 - i];
	p->did[9 + n] = '\0';
}

static void put_base64(const uint8_t *p, size_t n, char *out, size_t size)
{
	struct buf b = BUF_INIT(1024);

	assert_int_equal(token_text_put_base64(&b, bytes_of(p, n)), 0);
	snprintf(out, size, "%.*s", (int)b.len, (const char *)b.data);
	buf_release(&b);
}

void plain_party_init(struct plain_party *p, uint8_t fill)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = EC_POINT_new(group);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	uint8_t secret[32], whole[65];
	OSSL_PARAM *params;
	EVP_PKEY *key = NULL;
	BIGNUM *d;

	memset(secret, fill, sizeof secret);
	d = BN_bin2bn(secret, sizeof secret, NULL);
	assert_int_equal(EC_POINT_mul(group, point, d, NULL, NULL, NULL), 1);
	assert_int_equal(EC_POINT_point2oct(group, point, POINT_CONVERSION_COMPRESSED, p->point, 33, NULL), 33);
	assert_int_equal(EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, whole, 65, NULL), 65);
	OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
	OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, whole, sizeof whole);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d);
	params = OSSL_PARAM_BLD_to_param(bld);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
	p->key = key;
	put_base64(whole + 1, 32, p->x, sizeof p->x);
	put_base64(whole + 33, 32, p->y, sizeof p->y);
	put_did(p);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	EC_POINT_free(point);
	EC_GROUP_free(group);
	BN_free(d);
}

void plain_party_release(struct plain_party *p)
{
	EVP_PKEY_free(p->key);
}

static void put_signature(const struct plain_party *p, struct bytes message, struct buf *b)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[80], raw[64];
	const uint8_t *at = der;
	size_t len = sizeof der;
	ECDSA_SIG *sig;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, p->key), 1);
	assert_int_equal(EVP_DigestSign(ctx, der, &len, message.p, message.len), 1);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	assert_non_null(sig);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32), 32);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32), 32);
	assert_int_equal(token_text_put_base64(b, bytes_of(raw, sizeof raw)), 0);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
}

char *plain_party_sign(const struct plain_party *p, const char *header, const char *claims)
{
	struct buf b = BUF_INIT(1u << 20), copy = BUF_INIT(1u << 20);
	char *text;

	assert_int_equal(token_text_put_base64(&b, bytes_str(header)), 0);
	assert_int_equal(buf_put(&b, ".", 1), 0);
	assert_int_equal(token_text_put_base64(&b, bytes_str(claims)), 0);
	assert_int_equal(buf_put(&copy, b.data, b.len), 0);
	assert_int_equal(buf_put(&b, ".", 1), 0);
	put_signature(p, buf_bytes(&copy), &b);
	text = strndup((const char *)b.data, b.len);
	buf_release(&b);
	buf_release(&copy);
	return text;
}

char *plain_party_ucan(const struct plain_party *p, const char *aud, const struct id16 *space, const char *command,
	int64_t exp, const char *proof)
{
	static unsigned nonce;
	char id[ID16_TEXT_SIZE], *claims, *text;

	id16_format(space, id);
	assert_true(asprintf(&claims,
			    "{\"aud\":[\"%s\"],\"cmd\":\"%s\",\"exp\":%lld,\"iss\":\"%s\",\"nonce\":\"%u\",\"prf\":[%s%"
			    "s%s],"
			    "\"with\":\"space:%s\"}",
			    aud, command, (long long)exp, p->did, ++nonce, proof ? "\"" : "", proof ? proof : "",
			    proof ? "\"" : "", id) > 0);
	text = plain_party_sign(p, "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", claims);
	free(claims);
	return text;
}

struct caller *plain_party_caller(const struct plain_party *p, const char *name)
{
	const struct id32 nobody = { { 0 } };
	struct caller *c = caller_new(&nobody, &nobody, "192.0.2.9", true);

	assert_non_null(c);
	c->plain = (struct plain_self){
		.trusted = true, .sync = true, .files = true, .has_personal = true, .counted = true
	};
	hash_sha256(bytes_str(name), &c->plain.actor);
	c->plain.mailbox = c->plain.subject = c->plain.actor;
	memcpy(c->plain.personal.b, c->plain.actor.b, 16);
	c->plain.personal.b[6] = (uint8_t)(0x50 | (c->plain.personal.b[6] & 15));
	snprintf(c->plain.did, sizeof c->plain.did, "%s", p->did);
	return c;
}

/* --- key server --- */

static void *serve(void *arg)
{
	struct key_server *s = arg;
	char request[2048], head[256];

	for (;;) {
		int c = accept(s->fd, NULL, NULL), n;

		if (c < 0)
			return NULL;
		if (recv(c, request, sizeof request, 0) > 0) {
			pthread_mutex_lock(&s->lock);
			n = snprintf(head, sizeof head,
				"HTTP/1.1 %d x\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", s->status,
				strlen(s->body));
			atomic_fetch_add(&s->asked, 1);
			if (send(c, head, (size_t)n, MSG_NOSIGNAL) == n)
				n = (int)send(c, s->body, strlen(s->body), MSG_NOSIGNAL);
			pthread_mutex_unlock(&s->lock);
		}
		close(c);
	}
}

void key_server_start(struct key_server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;

	memset(s, 0, sizeof *s);
	s->status = 200;
	pthread_mutex_init(&s->lock, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
	s->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

void key_server_say(struct key_server *s, int status, const char *body)
{
	pthread_mutex_lock(&s->lock);
	s->status = status;
	snprintf(s->body, sizeof s->body, "%s", body);
	pthread_mutex_unlock(&s->lock);
}

void key_server_stop(struct key_server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	pthread_mutex_destroy(&s->lock);
}
