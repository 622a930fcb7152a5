/* SPDX-License-Identifier: Apache-2.0 */
#include "server/scrub.h"

#include <stdio.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "server/blob_config.h"
#include "server/depot_plain.h"
#include "wire/chunk.h"

#define STEP 200

struct place {
	uint64_t space;
	struct id16 id;
};

struct work {
	struct scrub *scrub;
	struct depot *store, *blob_store; /* rows are read while a statement of the first runs */
	struct blobs *blobs;
	struct place at;
	uint64_t n; /* of this step */
};

static void complain(struct work *w, const char *what, const struct id16 *id, const char *why)
{
	w->scrub->damaged++;
	w->scrub->bad(w->scrub->ctx, what, id, why);
}

static int look_at_record(void *ctx, uint64_t space, const struct depot_version *v, const struct id32 *hash)
{
	struct work *w = ctx;
	struct id32 now;

	w->at = (struct place){ space, v->id };
	w->n++;
	w->scrub->records++;
	w->scrub->bytes += v->blob.len;
	if (!v->blob.len) {
		complain(w, "record", &v->id, "is gone");
		return OK;
	}
	hash_sha256(v->blob, &now);
	if (!id32_equal(&now, hash))
		complain(w, "record", &v->id, "has changed on the disk");
	return OK;
}

static int look_at_chunk(void *ctx, uint64_t space, const struct id16 *space_id, const struct depot_chunk *c)
{
	struct work *w = ctx;
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHUNK_MAX_BLOB);
	struct id16 sum;
	struct chunk form;
	int err;

	w->at = (struct place){ space, c->id };
	w->n++;
	if (!c->durable) /* nothing that was acknowledged names it yet */
		return OK;
	w->scrub->chunks++;
	w->scrub->bytes += c->size;
	w->scrub->unsummed += !c->summed;
	err = c->row ? depot_chunk_blob(w->blob_store, c->row, &b)
		     : blob_get(w->blobs, space_id, &c->object, 0, c->size, &b);
	if (err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_IO) {
		struct depot_chunk still;

		/* The relay may have removed it while this ran. */
		if (depot_chunk_find(w->blob_store, space, &c->id, &still) == OK)
			complain(w, "chunk", &c->id, err == ERR_NOT_FOUND ? "is gone" : "cannot be read whole");
		return OK;
	}
	if (err < 0)
		return err;
	sum = blob_sum(buf_bytes(&b));
	if (c->summed ? !id16_equal(&sum, &c->sum) : chunk_decode(buf_bytes(&b), &form) < 0)
		complain(w, "chunk", &c->id, "has changed on the disk");
	return OK;
}

static int is_file(void *ctx, const struct depot_item *it)
{
	return bytes_equal(it->object, bytes_of(((struct work *)ctx)->at.id.b, sizeof(struct id16)));
}

/* Whether the file is still there with this object: the relay may have removed it while this ran. */
static bool file_is_there(struct work *w, const struct id16 *space, const struct id16 *id)
{
	struct depot_plain sp;

	return depot_plain_find(w->blob_store, space, &sp) == OK &&
	       depot_item_get(w->blob_store, sp.no, DEPOT_FILE, id, is_file, w) > 0;
}

static int look_at_file(void *ctx, const struct id16 *space, const struct depot_item *it)
{
	struct work *w = ctx;
	struct id16 sum;
	int64_t size;
	int err;

	if (it->object.len != sizeof w->at.id.b)
		return ERR_CORRUPT;
	memcpy(w->at.id.b, it->object.p, sizeof w->at.id.b);
	w->n++;
	w->scrub->files++;
	w->scrub->bytes += it->size;
	w->scrub->unsummed += !it->blob.len;
	size = blob_size(w->blobs, space, &w->at.id);
	err = size < 0 ? (int)size : blob_sum_stored(w->blobs, space, &w->at.id, it->size, &sum);
	if (err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_IO) {
		if (file_is_there(w, space, &it->id))
			complain(w, "file", &it->id, err == ERR_NOT_FOUND ? "is gone" : "cannot be read whole");
		return OK;
	}
	if (err == OK &&
		((uint64_t)size != it->size || (it->blob.len && !bytes_equal(it->blob, bytes_of(sum.b, sizeof sum.b)))))
		complain(w, "file", &it->id, "has changed on the disk");
	return err;
}

static int look_at_all(struct work *w)
{
	int err = depot_check(w->store);

	if (err < 0)
		return err;
	w->at = (struct place){ 0 };
	do {
		w->n = 0;
		err = depot_currents(w->store, w->at.space, &w->at.id, STEP, look_at_record, w);
	} while (err == OK && w->n == STEP);
	w->at = (struct place){ 0 };
	do {
		w->n = 0;
		if (err == OK)
			err = depot_chunks_all(w->store, w->at.space, &w->at.id, STEP, look_at_chunk, w);
	} while (err == OK && w->n == STEP);
	w->at = (struct place){ 0 };
	do {
		w->n = 0;
		if (err == OK)
			err = depot_files_all(w->store, &w->at.id, STEP, look_at_file, w);
	} while (err == OK && w->n == STEP);
	return err;
}

int scrub_run(struct scrub *s, const struct env *env, const struct config *c)
{
	struct work w = { .scrub = s };
	struct blob_config where;
	int err = blob_config_read(&where, c);

	if (err == OK && (err = depot_open_beside(env, config_depot(c), &w.store)) == OK &&
		(err = depot_open_beside(env, config_depot(c), &w.blob_store)) == OK &&
		(err = blob_open_beside(env, &where.place, &w.blobs)) == OK)
		err = look_at_all(&w);
	blob_close(w.blobs);
	depot_close(w.blob_store);
	depot_close(w.store);
	return err;
}
