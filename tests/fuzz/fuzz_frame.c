/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame that decodes, written again and decoded again, says the same.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void put(struct cbor_enc *e, const struct frame *f)
{
	static const uint8_t null[] = { 0xf6 };
	if (f->type == FRAME_REQUEST)
		frame_begin_request(e, f->id, f->name);
	else if (f->type == FRAME_NOTIFICATION)
		frame_begin_notification(e, f->name);
	else if (f->type == FRAME_CHUNK)
		frame_begin_chunk(e, f->id, f->name);
	else
		frame_begin_response(e, f->id);
	cbor_put_raw(e, f->value.len ? f->value : bytes_of(null, sizeof null));
}

static void compare(struct bytes a, struct bytes b)
{
	if (!bytes_equal(a, b))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(FRAME_MAX + 4096);
	struct frame f, again;
	if (frame_decode(bytes_of(p, n), &f) != OK || f.type == FRAME_OTHER || f.is_error)
		return 0;
	struct cbor_enc e = cbor_enc_init(&out);
	put(&e, &f);
	if (cbor_enc_end(&e) != OK || frame_decode(buf_bytes(&out), &again) != OK || again.type != f.type ||
		again.is_error)
		abort();
	compare(f.value, again.value);
	if (f.type != FRAME_NOTIFICATION)
		compare(f.id, again.id);
	if (f.type != FRAME_RESPONSE)
		compare(f.name, again.name);
	return 0;
}
