/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key file whose checksum is right: the input is its body. What decodes encodes again to the same bytes.
 */
#include <stdlib.h>
#include "crypto/hash.h"
#include "crypto/keyfile.h"
#include "crypto/keyfile_body.h"
#include "wire/cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf file = BUF_INIT(KEYFILE_MAX), again = BUF_INIT(KEYFILE_MAX);
	struct cbor_enc e = cbor_enc_init(&file);
	struct keyfile_body f;
	struct id32 sum;

	hash_plain(KEYFILE_LABEL, bytes_of(p, n), &sum);
	cbor_put_array(&e, 2);
	cbor_put_raw(&e, bytes_of(p, n));
	cbor_put_bytes(&e, sum.b, sizeof sum.b);
	if (cbor_enc_end(&e) == 0 && keyfile_decode(buf_bytes(&file), &f) == 0) {
		if (f.sealed.len > 0 &&
			(keyfile_put_body(&again, &f) < 0 || !bytes_equal(buf_bytes(&again), bytes_of(p, n))))
			abort();
	}
	if (keyfile_decode(bytes_of(p, n), &f) == 0)
		(void)f;
	buf_release(&file);
	buf_release(&again);
	return 0;
}
