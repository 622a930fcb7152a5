/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/secret.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

struct secret {
	uint8_t *data; /* sodium_malloc */
	size_t len;
};

int secret_new(size_t len, struct secret **ret_s)
{
	struct secret *s;

	if (len == 0 || len > SECRET_MAX)
		return ERR_RANGE;
	s = malloc(sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->data = sodium_malloc(len);
	if (!s->data) {
		free(s);
		return ERR_NOMEM;
	}
	s->len = len;
	sodium_memzero(s->data, len);
	*ret_s = s;
	return 0;
}

int secret_from(struct bytes src, struct secret **ret_s)
{
	int err = secret_new(src.len, ret_s);

	if (err < 0)
		return err;
	memcpy((*ret_s)->data, src.p, src.len);
	return 0;
}

int secret_random(size_t len, struct secret **ret_s)
{
	int err = secret_new(len, ret_s);

	if (err < 0)
		return err;
	randombytes_buf((*ret_s)->data, len);
	return 0;
}

struct bytes secret_bytes(const struct secret *s)
{
	return bytes_of(s->data, s->len);
}

uint8_t *secret_data(struct secret *s)
{
	return s->data;
}

size_t secret_len(const struct secret *s)
{
	return s->len;
}

const uint8_t *secret_key(const struct secret *s)
{
	assert(s->len == KEY_SIZE);
	return s->data;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && sodium_memcmp(a->data, b->data, a->len) == 0;
}

void secret_free(struct secret *s)
{
	if (!s)
		return;
	sodium_free(s->data); /* wipes */
	free(s);
}

void secret_freep(struct secret **ps)
{
	secret_free(*ps);
	*ps = NULL;
}

void secret_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}
