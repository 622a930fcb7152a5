/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever entry_decode and the payload decoders accept, encodes to the same bytes again: each meaning has one encoding.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define AGAIN(type) \
	do { \
		struct entry_##type v; \
		if (entry_get_##type(payload, &v) < 0) \
			return false; \
		if (entry_put_##type(out, &v) < 0) \
			abort(); \
		return true; \
	} while (0)

static bool encode_again(enum entry_type type, struct bytes payload, struct buf *out)
{
	switch (type) {
	case ENTRY_GENESIS:
		AGAIN(genesis);
	case ENTRY_MEMBER:
		AGAIN(member);
	case ENTRY_JOIN:
		AGAIN(join);
	case ENTRY_DEVICE:
		AGAIN(device);
	case ENTRY_EPOCH:
		AGAIN(epoch);
	case ENTRY_INVITE:
		AGAIN(invite);
	case ENTRY_INVITE_CLOSE:
		AGAIN(invite_close);
	case ENTRY_ROLE:
		AGAIN(role);
	case ENTRY_REMOVE:
		AGAIN(remove);
	case ENTRY_DEVICE_REMOVE:
		AGAIN(device_remove);
	case ENTRY_RETENTION:
		AGAIN(retention);
	}
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf body = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct bytes in = bytes_of(p, n);
	struct entry e;

	if (entry_decode(in, &e) < 0)
		return 0;
	if (entry_put_body(&body, &e) < 0 || entry_put(&blob, buf_bytes(&body), e.signature) < 0 ||
		!bytes_equal(buf_bytes(&blob), in))
		abort();
	if (encode_again(e.type, e.payload, &payload) && !bytes_equal(buf_bytes(&payload), e.payload))
		abort();
	return 0;
}
