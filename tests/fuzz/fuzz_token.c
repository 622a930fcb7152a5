/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token out of a relay's HTTP header: never more than an error, and what is accepted has its keys from a delegation. The
 * claims and the delegation are also tried alone, because no fuzzer finds a signature.
 */
#include <stdlib.h>
#include "crypto/token.h"
#include "crypto/token_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bytes in = bytes_of(p, n);
	struct delegation d;
	struct claims c;
	struct token t;
	uint8_t out[DELEGATION_MAX];
	size_t len;

	if (token_verify(in, "http://127.0.0.1:5379", 1800000000, &t) == 0 && t.exp <= 1800000000)
		abort();
	if (delegation_verify(in, &d) == 0 && !token_text_plain(d.aud))
		abort();
	if (token_text_claims(in, &c) == 0 && (c.n == 0 || c.n > TOKEN_TEXT_MAX_CLAIMS))
		abort();
	if (token_text_get_base64(in, out, sizeof out, &len) == 0) {
		struct buf again = BUF_INIT(4096);

		if (token_text_put_base64(&again, bytes_of(out, len)) < 0 || !bytes_equal(buf_bytes(&again), in))
			abort(); /* a second spelling */
		buf_release(&again);
	}
	return 0;
}
