/* SPDX-License-Identifier: Apache-2.0 */
#include "server/scrub.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "server/blob_config.h"
#include "server/depot_plain.h"
#include "wire/chunk.h"
#include "wire/head.h"

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

	/* the lines of one step: they tell what each of its versions and entries was */
	uint64_t space, cursor;
	struct line *lines;
	size_t n_lines, seen;
};

static void complain(struct work *w, const char *what, const struct id16 *id, const char *why)
{
	w->scrub->damaged++;
	w->scrub->bad(w->scrub->ctx, what, id, why);
}

static bool is_changed(struct bytes blob, const struct id32 *hash)
{
	struct id32 now;

	hash_sha256(blob, &now);
	return !id32_equal(&now, hash);
}

static int look_at_record(void *ctx, uint64_t space, const struct depot_version *v, const struct id32 *hash)
{
	struct work *w = ctx;

	w->at = (struct place){ space, v->id };
	w->n++;
	w->scrub->records++;
	w->scrub->bytes += v->blob.len;
	if (!v->blob.len) {
		complain(w, "record", &v->id, "is gone");
		return OK;
	}
	if (is_changed(v->blob, hash))
		complain(w, "record", &v->id, "has changed on the disk");
	return OK;
}

static int keep_lines(struct work *w, uint64_t space, uint64_t cursor, struct bytes encoded)
{
	free(w->lines);
	w->lines = NULL;
	w->n_lines = 0;
	w->space = space;
	w->cursor = cursor;
	if (lines_decode(encoded, &w->lines, &w->n_lines) == ERR_NOMEM)
		return ERR_NOMEM;
	return OK; /* what does not decode has no lines, and what it told of is complained of */
}

static int read_lines(struct work *w, uint64_t space, uint64_t cursor)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LINES_MAX * 64);
	int err;

	if (w->lines && w->space == space && w->cursor == cursor)
		return OK;
	err = depot_step_lines(w->blob_store, space, cursor, &b);
	return err < 0 && err != ERR_NOT_FOUND && err != ERR_RANGE ? err : keep_lines(w, space, cursor, buf_bytes(&b));
}

static const struct line *find_line(const struct work *w, enum line_kind kind, const struct id16 *id)
{
	for (size_t i = 0; i < w->n_lines; i++)
		if (w->lines[i].kind == kind && id16_equal(&w->lines[i].id, id))
			return &w->lines[i];
	return NULL;
}

/* A replaced one: its hash stands in the step that brought it. */
static int look_at_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct work *w = ctx;
	const struct line *line;
	int err = read_lines(w, space, v->cursor);

	if (err < 0)
		return err;
	w->scrub->versions++;
	w->scrub->bytes += v->blob.len;
	if (!(line = find_line(w, LINE_RECORD, &v->id)))
		complain(w, "replaced version of record", &v->id, "stands in no line of its step");
	else if (is_changed(v->blob, &line->hash))
		complain(w, "replaced version of record", &v->id, "has changed on the disk");
	return OK;
}

static int look_at_entry(void *ctx, uint64_t seq, struct bytes blob)
{
	struct work *w = ctx;
	const struct line *line;
	struct id16 id = { { 0 } };

	for (size_t i = 0; i < sizeof seq; i++)
		id.b[15 - i] = (uint8_t)(seq >> 8 * i);
	w->seen++;
	w->scrub->entries++;
	w->scrub->bytes += blob.len;
	line = find_line(w, LINE_ENTRY, &id);
	if (!line || is_changed(blob, &line->hash))
		complain(w, "log of space", &w->at.id, line ? "has changed on the disk" : "has an entry in no line");
	return OK;
}

static int look_at_log(void *ctx, uint64_t space, const struct id16 *space_id, const struct depot_step *step)
{
	struct work *w = ctx;
	int err = keep_lines(w, space, step->cursor, step->lines);

	if (err < 0)
		return err;
	w->at.id = *space_id;
	w->seen = 0;
	err = depot_entries(w->blob_store, space, step->first_entry, step->entries, look_at_entry, w);
	if (err == OK && w->seen < step->entries)
		complain(w, "log of space", space_id, "lacks an entry");
	return err;
}

/* The hash that its sender gave is over the payload, and was checked when it came. */
static int look_at_member(void *ctx, uint64_t no, const struct id16 *space, const struct depot_item *it)
{
	struct work *w = ctx;
	struct id32 hash;

	w->at = (struct place){ no, it->id };
	w->n++;
	w->scrub->entries++;
	w->scrub->bytes += it->blob.len;
	if (it->object.len == sizeof hash.b)
		memcpy(hash.b, it->object.p, sizeof hash.b);
	if (it->object.len != sizeof hash.b || is_changed(it->blob, &hash))
		complain(w, "membership of space", space, "has changed on the disk");
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
	if (err < 0) {
		w->scrub->of_objects = !c->row;
		return err;
	}
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
	w->scrub->of_objects = err < 0;
	return err;
}

static int currents(struct work *w)
{
	return depot_currents(w->store, w->at.space, &w->at.id, STEP, look_at_record, w);
}

static int chunks(struct work *w)
{
	return depot_chunks_all(w->store, w->at.space, &w->at.id, STEP, look_at_chunk, w);
}

static int files(struct work *w)
{
	return depot_files_all(w->store, &w->at.id, STEP, look_at_file, w);
}

static int members(struct work *w)
{
	return depot_members_all(w->store, w->at.space, &w->at.id, STEP, look_at_member, w);
}

static int in_steps(struct work *w, int (*look)(struct work *w))
{
	int err;

	w->at = (struct place){ 0 };
	do {
		w->n = 0;
		err = look(w);
	} while (err == OK && w->n);
	return err;
}

static int look_at_all(struct work *w)
{
	int err = depot_check(w->store);

	if (err == OK)
		err = in_steps(w, currents);
	if (err == OK)
		err = depot_versions_expired(w->store, INT64_MAX, UINT64_MAX, look_at_version, w);
	if (err == OK)
		err = depot_log_steps(w->store, look_at_log, w);
	if (err == OK)
		err = in_steps(w, chunks);
	if (err == OK)
		err = in_steps(w, files);
	return err < 0 ? err : in_steps(w, members);
}

int scrub_run(struct scrub *s, const struct env *env, const struct config *c)
{
	struct work w = { .scrub = s };
	struct blob_config where;
	int err = blob_config_read(&where, c);

	if (err == OK && (err = depot_open_beside(env, config_depot(c), &w.store)) == OK)
		err = depot_open_beside(env, config_depot(c), &w.blob_store);
	if (err == OK) {
		err = blob_open_beside(env, &where.place, &w.blobs);
		s->of_objects = err < 0;
	}
	if (err == OK)
		err = look_at_all(&w);
	free(w.lines);
	blob_close(w.blobs);
	depot_close(w.blob_store);
	depot_close(w.store);
	return err;
}
