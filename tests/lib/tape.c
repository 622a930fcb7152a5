/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/tape.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/token.h"
#include "wire/cbor.h"
#include "wire/chunk.h"
#include "wire/entry.h"
#include "wire/head.h"
#include "wire/person.h"
#include "wire/record.h"

enum { MAX_ITEMS = 1 << 20 };

struct reader {
	tape_fn fn;
	void *ctx;
	struct tape_count *count;
	const struct msg *m;
};

const char *tape_kind_name(enum tape_kind kind)
{
	static const char *const names[] = { "record", "chunk", "entry", "head", "lines", "delegation", "chain", "key",
		"id", "other" };

	return names[kind];
}

static bool is_lines(struct bytes b)
{
	FREE_AFTER struct line *lines = NULL;
	size_t n;

	return lines_decode(b, &lines, &n) == 0;
}

static enum tape_kind kind_of(struct bytes b)
{
	struct record r;
	struct chunk c;
	struct entry e;
	struct head h;
	struct bytes body;
	struct delegation d;
	struct cert_link links[CERT_MAX_LINKS];
	size_t n;
	uint8_t signature[64];

	if (b.len == 16)
		return TAPE_ID;
	if (b.len == 32)
		return TAPE_KEY;
	if (record_decode(b, &r) == 0)
		return TAPE_RECORD;
	if (chunk_decode(b, &c) == 0)
		return TAPE_CHUNK;
	if (entry_decode(b, &e) == 0)
		return TAPE_ENTRY;
	if (head_decode(b, &h, &body, signature) == 0)
		return TAPE_HEAD;
	if (delegation_verify(b, &d) == 0)
		return TAPE_DELEGATION;
	if (cert_chain_decode(b, links, &n) == 0)
		return TAPE_CHAIN;
	return is_lines(b) ? TAPE_LINES : TAPE_OTHER;
}

static void see(struct reader *r, struct bytes object)
{
	enum tape_kind kind = kind_of(object);

	r->count->objects[kind]++;
	r->fn(r->ctx, kind, object, r->m);
}

static void walk(struct reader *r, struct cbor_dec *d)
{
	size_t n;

	switch (cbor_peek(d)) {
	case CBOR_BYTES:
		see(r, cbor_get_bytes(d, MSG_MAX));
		return;
	case CBOR_ARRAY:
		n = cbor_get_array(d, MAX_ITEMS);
		break;
	case CBOR_MAP:
		n = 2 * cbor_get_map(d, MAX_ITEMS);
		break;
	default:
		cbor_skip(d);
		return;
	}
	while (n-- > 0 && cbor_dec_error(d) == 0)
		walk(r, d);
}

static bool type_fits(enum msg_type type, bool to_syncd)
{
	return to_syncd ? type >= MSG_CONFIG && type <= MSG_CANCEL : type >= MSG_HELLO && type <= MSG_RATE;
}

static int read_one(struct reader *r, bool to_syncd)
{
	const struct msg *m = r->m;

	if (!type_fits(m->type, to_syncd))
		return ERR_INVALID;
	r->count->messages[m->type]++;
	if (m->blob.len > 0)
		see(r, m->blob);
	if (m->item.len == 0)
		return 0;
	int err = cbor_check(m->item, CBOR_RPC, MAX_ITEMS);
	if (err < 0)
		return err;
	struct cbor_dec d = cbor_dec_init_rpc(m->item);
	walk(r, &d);
	return cbor_dec_end(&d);
}

int tape_read(struct bytes tape, bool to_syncd, tape_fn fn, void *ctx, struct tape_count *count, size_t *ret_at)
{
	size_t at = 0, used;
	struct msg m;
	struct reader r = { .fn = fn, .ctx = ctx, .count = count, .m = &m };

	while (at < tape.len) {
		struct bytes left = bytes_of(tape.p + at, tape.len - at);
		int err = msg_take(left, &m, &used);

		if (err == ERR_AGAIN) {
			count->tail += left.len;
			return 0;
		}
		if (err == 0)
			err = read_one(&r, to_syncd);
		if (err < 0) {
			*ret_at = at;
			return err;
		}
		at += used;
	}
	return 0;
}
