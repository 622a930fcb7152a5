/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's manager is made once, which runs its known-answer tests (0.4 ms), and never changes after that. It is
 * asked only where the CPU has what is wanted: its other code is no faster than libcrypto.
 */
#include "crypto/gcm_wide.h"

#if __has_include(<intel-ipsec-mb.h>)

#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>

#define LINE 64 /* bytes; the library wants its tables so aligned, which its header says for some compilers only */

struct gcm_wide {
	struct gcm_key_data key;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static IMB_MGR *manager; /* once; NULL: not to be used here */

static bool works(const IMB_MGR *m)
{
	const uint64_t need = IMB_CPUFLAGS_AVX512_T2 | IMB_FEATURE_SELF_TEST_PASS;

	return (m->features & need) == need;
}

static void make_manager(void)
{
	IMB_MGR *m;

	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("vpclmulqdq"))
		return;
	m = alloc_mb_mgr(0);
	if (!m)
		return;
	init_mb_mgr_auto(m, NULL);
	if (works(m))
		manager = m;
	else
		free_mb_mgr(m);
}

int gcm_wide_new(const uint8_t key[GCM_KEY_SIZE], struct gcm_wide **ret_g)
{
	void *g;

	pthread_once(&once, make_manager);
	if (!manager)
		return ERR_UNSUPPORTED;
	if (posix_memalign(&g, LINE, sizeof(struct gcm_wide)) != 0)
		return ERR_NOMEM;
	*ret_g = g;
	IMB_AES256_GCM_PRE(manager, key, &(*ret_g)->key);
	return 0;
}

void gcm_wide_free(struct gcm_wide *g)
{
	if (!g)
		return;
	sodium_memzero(g, sizeof *g);
	free(g);
}

void gcm_wide_seal(const struct gcm_wide *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes plain,
	uint8_t *out, uint8_t tag[GCM_TAG_SIZE])
{
	struct gcm_context_data state;

	IMB_AES256_GCM_ENC(manager, &g->key, &state, out, plain.p, plain.len, nonce, aad.p, aad.len, tag, GCM_TAG_SIZE);
	sodium_memzero(&state, sizeof state);
}

int gcm_wide_open(const struct gcm_wide *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes ct,
	const uint8_t tag[GCM_TAG_SIZE], uint8_t *out)
{
	struct gcm_context_data state;
	uint8_t want[GCM_TAG_SIZE];

	IMB_AES256_GCM_DEC(manager, &g->key, &state, out, ct.p, ct.len, nonce, aad.p, aad.len, want, GCM_TAG_SIZE);
	int differs = crypto_verify_16(want, tag); /* in constant time */
	sodium_memzero(&state, sizeof state);
	sodium_memzero(want, sizeof want);
	return differs ? ERR_TAMPERED : 0;
}

#else

int gcm_wide_new(const uint8_t key[GCM_KEY_SIZE], struct gcm_wide **ret_g)
{
	(void)key;
	(void)ret_g;
	return ERR_UNSUPPORTED;
}

void gcm_wide_free(struct gcm_wide *g)
{
	(void)g;
}

void gcm_wide_seal(const struct gcm_wide *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes plain,
	uint8_t *out, uint8_t tag[GCM_TAG_SIZE])
{
	(void)g, (void)nonce, (void)aad, (void)plain, (void)out, (void)tag;
	abort();
}

int gcm_wide_open(const struct gcm_wide *g, const uint8_t nonce[GCM_NONCE_SIZE], struct bytes aad, struct bytes ct,
	const uint8_t tag[GCM_TAG_SIZE], uint8_t *out)
{
	(void)g, (void)nonce, (void)aad, (void)ct, (void)tag, (void)out;
	return ERR_UNSUPPORTED;
}

#endif
