/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_notice: the notification `coffer.sync`, which tells subscribers one step:
 * { space, prev, cursor, healed (only if it is), lines, head (only if there is one), records, chunks, entries }.
 */
#ifndef COFFER_SERVER_SYNC_NOTICE_H
#define COFFER_SERVER_SYNC_NOTICE_H

#include "server/message.h"
#include "base/id.h"
#include "wire/cbor.h"

/* Starts the frame in a fresh message buffer; "records", "chunks" and "entries" with their arrays must follow. */
void sync_begin(struct buf *b, struct cbor_enc *e, const struct id16 *space, uint64_t cursor, struct bytes lines,
	struct bytes head, bool healed);

#endif
