/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a malicious member seals: the input stands inside a valid commitment and tag. Opening gives an error or at most the
 * size asked for (zstd bombs), and what it accepts has one form.
 */
#include <sodium.h>
#include <stdlib.h>
#include "crypto/seal.h"
#include "crypto/seal_core.h"

#define MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t key[KEY_SIZE] = { 1 }, nonce[SEAL_NONCE_SIZE];
	struct seal_job job = { .label = "coffer/fuzz/1", .key = key, .squeeze = true };
	struct buf sealed = BUF_INIT(n + SEAL_OVERHEAD), out = BUF_INIT(MAX);
	uint8_t keys[64], *at;

	if (buf_grow(&sealed, SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE + n + SEAL_TAG_SIZE, &at) < 0)
		return 0;
	seal_split_key(&job, nonce, keys);
	memcpy(at, nonce, SEAL_NONCE_SIZE);
	memcpy(at + SEAL_NONCE_SIZE, keys, SEAL_COMMITMENT_SIZE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(at + SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE, NULL, p, n, NULL, 0,
		NULL, nonce, keys + SEAL_COMMITMENT_SIZE);
	if (open_core(&job, buf_bytes(&sealed), MAX, &out) < 0 && out.len != 0)
		abort();
	if (out.len > MAX)
		abort();
	buf_release(&sealed);
	buf_release(&out);
	return 0;
}
