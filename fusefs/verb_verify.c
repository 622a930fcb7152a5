/* SPDX-License-Identifier: Apache-2.0 */
/* verify: opens every local block and record. What the relay holds is not looked at. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "fusefs/path.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"

enum { MOST_NAMED = 1000 };

struct damage {
	uint64_t ino[MOST_NAMED];
	size_t n;
	uint64_t all;
	bool index; /* of the cache: it is no file */
};

/* A file of several damaged blocks counts once. */
static void note(void *ctx, uint64_t ino, int err)
{
	struct damage *d = ctx;

	(void)err;
	if (ino == 0) {
		d->index = true;
		return;
	}
	for (size_t i = 0; i < d->n; i++)
		if (d->ino[i] == ino)
			return;
	d->all++;
	if (d->n < MOST_NAMED)
		d->ino[d->n++] = ino;
}

static int put_path(struct store *s, uint64_t ino, struct cbor_enc *e)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT(1u << 16);

	int err = path_of(s, ino, &path);
	if (err == ERR_NOT_FOUND) /* deleted, and not forgotten yet */
		err = buf_put(&path, "(deleted)", 9);
	for (size_t i = 0; i < path.len; i++)
		if (path.data[i] < ' ')
			path.data[i] = '?';
	if (!cbor_is_text(buf_bytes(&path)))
		for (size_t i = 0; i < path.len; i++)
			if (path.data[i] >= 0x80)
				path.data[i] = '?';
	if (err == OK)
		cbor_put_text_n(e, (const char *)path.data, path.len);
	return err;
}

int verb_verify(struct call *c)
{
	CLEANUP(buf_release) struct buf paths = BUF_INIT(4u << 20);
	FREE_AFTER struct damage *d = calloc(1, sizeof *d);
	struct cbor_enc e = cbor_enc_init(&paths);
	uint64_t checked;

	int err = d ? store_verify(c->agent->store, note, d, &checked) : ERR_NOMEM;
	if (err < 0)
		return call_fail_err(c, err, "not everything could be looked at");
	cbor_put_array(&e, d->n);
	for (size_t i = 0; err == OK && i < d->n; i++)
		err = put_path(c->agent->store, d->ino[i], &e);
	if (err == OK)
		err = cbor_enc_end(&e);
	if (err < 0)
		return call_fail_err(c, err, "the names of what is damaged cannot be told");
	map_uint(&c->result, "checked", checked);
	map_uint(&c->result, "damaged", d->all);
	map_bool(&c->result, "index_damaged", d->index);
	map_raw(&c->result, "paths", buf_bytes(&paths));
	return OK;
}
