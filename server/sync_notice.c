/* SPDX-License-Identifier: Apache-2.0 */
#include "server/sync_notice.h"

#include "server/rpc.h"

void sync_begin(struct buf *b, struct cbor_enc *e, const struct id16 *space, uint64_t cursor, struct bytes lines,
	struct bytes head, bool healed)
{
	*b = message_buf();
	*e = cbor_enc_init(b);
	frame_begin_notification(e, bytes_str("coffer.sync"));
	cbor_put_map(e, 7u + (head.len > 0) + healed);
	cbor_put_text(e, "space");
	put_id(e, space);
	cbor_put_text(e, "prev");
	cbor_put_uint(e, cursor - 1);
	cbor_put_text(e, "cursor");
	cbor_put_uint(e, cursor);
	cbor_put_text(e, "lines");
	cbor_put_bytes(e, lines.p, lines.len);
	if (healed) {
		cbor_put_text(e, "healed");
		cbor_put_bool(e, true);
	}
	if (head.len) {
		cbor_put_text(e, "head");
		cbor_put_bytes(e, head.p, head.len);
	}
}
