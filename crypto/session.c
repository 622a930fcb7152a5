/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/session.h"

#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "crypto/token.h"
#include "crypto/token_text.h"

struct session {
	struct secret *key;
	struct id32 public;
};

int session_new(struct session **ret_s)
{
	struct session *s;
	int err = crypto_init();

	if (err < 0)
		return err;
	s = calloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	err = sign_keypair_new(&s->key, &s->public);
	if (err < 0) {
		free(s);
		return err;
	}
	*ret_s = s;
	return 0;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	secret_free(s->key);
	free(s);
}

void session_freep(struct session **ps)
{
	session_free(*ps);
	*ps = NULL;
}

const struct id32 *session_public(const struct session *s)
{
	return &s->public;
}

static int put_claims(struct buf *json, const struct delegation *d, struct bytes delegation, int64_t now, int64_t exp)
{
	char person[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE], session[DID_KEY_TEXT_SIZE];
	int err;

	id32_format_did(&d->person, person);
	id32_format_did(&d->device, device);
	id32_format_did(&d->session, session);
	err = buf_printf(json,
		"{\"iss\":\"%s\",\"sub\":\"%s\",\"client_id\":\"%s\",\"aud\":\"%.*s\",\"iat\":%lld,\"exp\":%lld,"
		"\"scope\":\"" TOKEN_SCOPE "\",\"cnf\":\"%s\",\"dlg\":\"",
		person, person, device, (int)d->aud.len, (const char *)d->aud.p, (long long)now, (long long)exp,
		session);
	if (err < 0)
		return err;
	if ((err = token_text_put_base64(json, delegation)) < 0)
		return err;
	return buf_put(json, "\"}", 2);
}

static int put_token(const struct session *s, struct bytes json, struct buf *b)
{
	static const char header[] = "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}";
	uint8_t signature[64];
	size_t start = b->len;
	int err;

	if ((err = token_text_put_base64(b, bytes_str(header))) < 0 || (err = buf_put(b, ".", 1)) < 0 ||
		(err = token_text_put_base64(b, json)) < 0)
		return err;
	err = sign_detached("", bytes_of(b->data + start, b->len - start), s->key, signature);
	if (err < 0 || (err = buf_put(b, ".", 1)) < 0)
		return err;
	return token_text_put_base64(b, bytes_of(signature, sizeof signature));
}

int session_token(const struct session *s, struct bytes delegation, int64_t now, struct buf *b, int64_t *ret_exp)
{
	CLEANUP(buf_release) struct buf json = BUF_INIT(TOKEN_MAX);
	struct delegation d;
	size_t start = b->len;
	int64_t exp;
	int err = delegation_verify(delegation, &d);

	if (err < 0)
		return err;
	if (!id32_equal(&d.session, &s->public))
		return ERR_CONTEXT;
	if (d.not_after <= now)
		return ERR_STALE;
	exp = d.not_after < now + TOKEN_MAX_LIFE ? d.not_after : now + TOKEN_MAX_LIFE;
	if ((err = put_claims(&json, &d, delegation, now, exp)) < 0)
		return err;
	if ((err = put_token(s, buf_bytes(&json), b)) < 0) {
		b->len = start;
		return err;
	}
	*ret_exp = exp;
	return 0;
}
