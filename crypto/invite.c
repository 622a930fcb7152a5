/* SPDX-License-Identifier: Apache-2.0 */
/* Invite secrets: their text, and the keys that follow from them. Opening is in open_invite.c. */
#include "crypto/invite.h"

#include <sodium.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/epoch.h"
#include "crypto/hash.h"
#include "crypto/hpke.h"
#include "crypto/kdf.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "wire/field.h"

#define CODE_CHARS 16
#define LINK_PREFIX "coffer://join/"
#define MASTER_CHARS 43 /* 32 bytes in base64url without padding */
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

struct invite_secret {
	struct secret *code;   /* CODE_CHARS characters of the alphabet, no NUL; NULL if a link was parsed */
	struct secret *master; /* KEY_SIZE bytes; NULL until the code is stretched */
	char relay[INVITE_MAX_RELAY + 1];
};

void invite_secret_free(struct invite_secret *s)
{
	if (!s)
		return;
	secret_free(s->code);
	secret_free(s->master);
	free(s);
}

void invite_secret_freep(struct invite_secret **s)
{
	invite_secret_free(*s);
}

/* 256 is a multiple of 32, so the low bits of random bytes are even. */
int invite_secret_new(struct invite_secret **ret_s)
{
	CLEANUP(invite_secret_freep) struct invite_secret *s = calloc(1, sizeof *s);
	uint8_t *p;
	int err;

	if (!s)
		return ERR_NOMEM;
	if ((err = secret_random(CODE_CHARS, &s->code)) < 0)
		return err;
	p = secret_data(s->code);
	for (size_t i = 0; i < CODE_CHARS; i++)
		p[i] = (uint8_t)alphabet[p[i] & 31];
	*ret_s = STEAL(&s);
	return 0;
}

/* The character of the alphabet that a person meant, or 0. Branches on one typed character; the typing is local. */
static char normal(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		return '0';
	if (c == 'I' || c == 'L')
		return '1';
	return c && strchr(alphabet, c) ? c : 0;
}

static int parse_code(struct invite_secret *s, const char *text)
{
	uint8_t *p;
	size_t n = 0;
	int err;

	if ((err = secret_new(CODE_CHARS, &s->code)) < 0)
		return err;
	p = secret_data(s->code);
	for (; *text; text++) {
		char c = normal(*text);

		if (*text == '-' || *text == ' ' || *text == '\t' || *text == '\n' || *text == '\r')
			continue;
		if (!c || n == CODE_CHARS)
			return ERR_INVALID;
		p[n++] = (uint8_t)c;
	}
	return n == CODE_CHARS ? 0 : ERR_INVALID;
}

/* Exactly the text that is made: libsodium refuses other characters, padding, and set bits past the end. */
static int parse_master(struct invite_secret *s, const char *text)
{
	size_t chars = strcspn(text, " \t\r\n"), n;
	int err;

	if (chars != MASTER_CHARS || text[chars + strspn(text + chars, " \t\r\n")])
		return ERR_INVALID;
	if ((err = secret_new(KEY_SIZE, &s->master)) < 0)
		return err;
	if (sodium_base642bin(secret_data(s->master), KEY_SIZE, text, chars, NULL, &n, NULL, BASE64) != 0)
		return ERR_INVALID;
	return n == KEY_SIZE ? 0 : ERR_INVALID;
}

/* The relay part of a link is a host with port and path, of characters that need no escaping. */
static bool relay_chars(const char *p, size_t n)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:/[]";

	for (size_t i = 0; i < n; i++)
		if (!p[i] || !strchr(allowed, p[i]))
			return false;
	return n > 0;
}

static int parse_relay(struct invite_secret *s, const char *p, size_t n)
{
	static const char https[] = "https://", http[] = "http://";
	bool whole =
		n > sizeof http && (strncmp(p, http, sizeof http - 1) == 0 || strncmp(p, https, sizeof https - 1) == 0);
	size_t prefix = whole ? 0 : sizeof https - 1;

	if (!relay_chars(p, n))
		return ERR_INVALID;
	if (prefix + n > INVITE_MAX_RELAY)
		return ERR_RANGE;
	memcpy(s->relay, https, prefix);
	memcpy(s->relay + prefix, p, n);
	s->relay[prefix + n] = 0;
	return 0;
}

static int parse_link(struct invite_secret *s, const char *text)
{
	const char *hash = strchr(text, '#');
	int err;

	if (!hash)
		return ERR_INVALID;
	err = parse_relay(s, text, (size_t)(hash - text));
	return err < 0 ? err : parse_master(s, hash + 1);
}

int invite_secret_parse(const char *text, struct invite_secret **ret_s)
{
	CLEANUP(invite_secret_freep) struct invite_secret *s = NULL;
	size_t prefix = sizeof LINK_PREFIX - 1;
	int err;

	if (strlen(text) > INVITE_MAX_TEXT)
		return ERR_RANGE;
	if (!(s = calloc(1, sizeof *s)))
		return ERR_NOMEM;
	text += strspn(text, " \t\r\n");
	err = strncmp(text, LINK_PREFIX, prefix) == 0 ? parse_link(s, text + prefix) : parse_code(s, text);
	if (err < 0)
		return err;
	*ret_s = STEAL(&s);
	return 0;
}

const char *invite_secret_relay(const struct invite_secret *s)
{
	return s->relay[0] ? s->relay : NULL;
}

int invite_format_code(const struct invite_secret *s, struct buf *ret_text)
{
	if (!s->code)
		return ERR_INVALID;
	const char *p = (const char *)secret_bytes(s->code).p;
	return buf_printf(ret_text, "%.4s-%.4s-%.4s-%.4s%c", p, p + 4, p + 8, p + 12, 0);
}

int invite_format_link(const struct invite_secret *s, const char *relay, struct buf *ret_text)
{
	static const char https[] = "https://";
	char text[MASTER_CHARS + 1];
	int err;

	if (strncmp(relay, https, sizeof https - 1) == 0)
		relay += sizeof https - 1;
	if (!s->master || !relay_chars(relay, strlen(relay)))
		return ERR_INVALID;
	sodium_bin2base64(text, sizeof text, secret_key(s->master), KEY_SIZE, BASE64);
	err = buf_printf(ret_text, LINK_PREFIX "%s#%s%c", relay, text, 0);
	secret_wipe(text, sizeof text);
	return err;
}

/* The salt is fixed because the code alone names the invite: the joiner knows nothing else yet. */
static int stretch(struct invite_secret *s)
{
	struct kdf_params params = { .ops = KDF_OPS_DEFAULT, .mem = KDF_MEM_DEFAULT };
	struct id32 hash;

	if (s->master)
		return 0;
	hash_plain(INVITE_LABEL, bytes_of(NULL, 0), &hash);
	memcpy(params.salt, hash.b, sizeof params.salt);
	return kdf_passphrase(secret_bytes(s->code), &params, &s->master);
}

static int derive_keys(const struct secret *master, struct invite_keys *k)
{
	static const struct id16 no_salt;
	uint8_t sub[KEY_SIZE];
	int err;

	kdf_subkey(secret_key(master), "invitid_", &no_salt, sub);
	memcpy(k->id.b, sub, sizeof k->id.b);
	k->id.b[6] = (uint8_t)((k->id.b[6] & 0x0f) | 0x80); /* a version-8 UUID, as all ids */
	k->id.b[8] = (uint8_t)((k->id.b[8] & 0x3f) | 0x80);
	kdf_subkey(secret_key(master), "invited_", &no_salt, sub);
	err = sign_keypair_from_seed(sub, &k->ed, &k->ed_public);
	if (err == 0) {
		kdf_subkey(secret_key(master), "invitex_", &no_salt, sub);
		err = hpke_keypair_derive(bytes_of(sub, sizeof sub), &k->x, &k->x_public);
	}
	if (err == 0) {
		kdf_subkey(secret_key(master), "invitebn", &no_salt, sub);
		err = secret_from(bytes_of(sub, sizeof sub), &k->bundle);
	}
	secret_wipe(sub, sizeof sub);
	return err;
}

int invite_derive(struct invite_secret *s, struct invite_keys *ret_keys)
{
	CLEANUP(invite_keys_release) struct invite_keys k = { .ed = NULL };
	int err;

	if ((err = stretch(s)) < 0 || (err = derive_keys(s->master, &k)) < 0)
		return err;
	*ret_keys = k;
	k = (struct invite_keys){ .ed = NULL };
	return 0;
}

void invite_keys_release(struct invite_keys *k)
{
	secret_free(k->ed);
	secret_free(k->x);
	secret_free(k->bundle);
	*k = (struct invite_keys){ .ed = NULL };
}

int invite_seal_bundle(const struct invite_keys *k, const struct invite_bundle *bundle, struct buf *ret_sealed)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(1024);
	struct cbor_enc e = cbor_enc_init(&plain);
	int err;

	cbor_put_map(&e, 5);
	field_put_id32(&e, 0, &bundle->genesis);
	cbor_put_uint(&e, 1);
	cbor_put_text(&e, bundle->relay);
	cbor_put_uint(&e, 2);
	cbor_put_text(&e, bundle->name);
	field_put_id32(&e, 3, &bundle->log_head);
	field_put_id32(&e, 4, &bundle->inviter);
	if ((err = cbor_enc_end(&e)) < 0)
		return err;
	if (cbor_check(buf_bytes(&plain), CBOR_STRICT, 32) <
		0) /* a name that is not UTF-8: the joiner could not read it */
		return ERR_INVALID;
	return seal_small(INVITE_BUNDLE_LABEL, secret_key(k->bundle), bytes_of(k->id.b, sizeof k->id.b),
		buf_bytes(&plain), ret_sealed);
}
