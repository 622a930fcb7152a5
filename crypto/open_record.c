/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/open_record.h"

#include "base/cleanup.h"
#include "crypto/seal.h"
#include "crypto/seal_core.h"
#include "crypto/verify.h"

static int open_body(const uint8_t epoch_key[KEY_SIZE], const struct record *r, struct buf *plain)
{
	CLEANUP(buf_release) struct buf aad = BUF_INIT(RECORD_MAX_BLOB);
	uint8_t key[KEY_SIZE];
	struct seal_job job = { .label = RECORD_LABEL, .key = key, .squeeze = true };
	int err = record_put_header(&aad, &r->h, 0);

	if (err < 0)
		return err;
	job.aad = buf_bytes(&aad);
	seal_node_key(epoch_key, &r->h.space, &r->h.id, key);
	err = open_core(&job, r->sealed, RECORD_MAX_BODY, plain);
	secret_wipe(key, sizeof key);
	return err;
}

static int check_named(const struct record *r, const struct node_body *body)
{
	CLEANUP(buf_release) struct buf want = BUF_INIT(RECORD_MAX_CHUNKS * sizeof(struct id16));
	int err = seal_named(body->slices, body->n_slices, &want);

	if (err < 0)
		return err;
	return bytes_equal(buf_bytes(&want), r->h.chunks) ? 0 : ERR_TAMPERED;
}

int open_record(const uint8_t epoch_key[KEY_SIZE], struct bytes blob, const struct id16 *space, const struct id16 *id,
	struct opened_record *ret_o)
{
	struct opened_record o = OPENED_RECORD_INIT;
	int err;

	if ((err = verify_record(blob, space, id, &o.r)) < 0)
		return err;
	if ((err = open_body(epoch_key, &o.r, &o.plain)) < 0 ||
		(err = node_body_decode(buf_bytes(&o.plain), &o.body)) < 0) {
		buf_release(&o.plain);
		return err;
	}
	if ((err = check_named(&o.r, &o.body)) < 0) {
		opened_record_release(&o);
		return err;
	}
	*ret_o = o;
	return 0;
}

void opened_record_release(struct opened_record *o)
{
	node_body_release(&o->body);
	buf_release(&o->plain);
}
