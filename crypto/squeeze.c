/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/squeeze.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define SQUEEZE_LEVEL 1

/* Both directions' contexts of one thread: making them anew costs more than a small record does. */
struct contexts {
	ZSTD_CCtx *c;
	ZSTD_DCtx *d;
};

static pthread_key_t contexts_key;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;
static int contexts_err;

static void contexts_free(void *p)
{
	struct contexts *x = p;

	ZSTD_freeCCtx(x->c);
	ZSTD_freeDCtx(x->d);
	free(x);
}

static void contexts_setup(void)
{
	contexts_err = pthread_key_create(&contexts_key, contexts_free);
}

static struct contexts *contexts_get(void)
{
	struct contexts *x;

	pthread_once(&contexts_once, contexts_setup);
	if (contexts_err != 0)
		return NULL;
	x = pthread_getspecific(contexts_key);
	if (x)
		return x;
	x = malloc(sizeof *x);
	if (!x)
		return NULL;
	x->c = ZSTD_createCCtx();
	x->d = ZSTD_createDCtx();
	if (!x->c || !x->d || pthread_setspecific(contexts_key, x) != 0) {
		contexts_free(x);
		return NULL;
	}
	return x;
}

int squeeze(struct bytes in, uint8_t *out, size_t cap, size_t *ret_len)
{
	struct contexts *x = contexts_get();
	size_t n;

	if (!x)
		return ERR_NOMEM;
	n = ZSTD_compressCCtx(x->c, out, cap, in.p, in.len, SQUEEZE_LEVEL);
	if (ZSTD_isError(n)) {
		if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
			return ERR_NOMEM;
		n = 0; /* does not fit */
	}
	*ret_len = n;
	return 0;
}

int unsqueeze_size(struct bytes in, size_t max, size_t *ret_len)
{
	unsigned long long n = ZSTD_getFrameContentSize(in.p, in.len);

	if (n == ZSTD_CONTENTSIZE_UNKNOWN || n == ZSTD_CONTENTSIZE_ERROR)
		return ERR_INVALID;
	if (n > max)
		return ERR_RANGE;
	*ret_len = (size_t)n;
	return 0;
}

int unsqueeze(struct bytes in, uint8_t *out, size_t len)
{
	struct contexts *x = contexts_get();
	size_t n;

	if (!x)
		return ERR_NOMEM;
	n = ZSTD_findFrameCompressedSize(in.p, in.len);
	if (ZSTD_isError(n) || n != in.len)
		return ERR_INVALID;
	n = ZSTD_decompressDCtx(x->d, out, len, in.p, in.len);
	if (ZSTD_isError(n))
		return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? ERR_NOMEM : ERR_INVALID;
	return n == len ? 0 : ERR_INVALID;
}
