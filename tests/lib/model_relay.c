/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/model_relay.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "tests/lib/unit.h"
#include "wire/cbor.h"
#include "wire/chunk.h"
#include "wire/head.h"
#include "wire/map.h"
#include "wire/record.h"

#define STEP_MAX (16u << 20)

struct blob {
	struct id16 id;
	struct id32 hash;
	uint8_t *p;
	size_t len;
	uint64_t cursor; /* of a record; the last of one id is the current one */
	bool current;
};

struct blobs {
	struct blob *b;
	size_t n;
};

struct step {
	struct buf lines, head;
	size_t first_record, n_records, first_entry, n_entries;
};

struct model_relay {
	struct id16 space;
	struct blobs records, chunks, entries;
	struct step *steps; /* cursor i + 1 */
	size_t n_steps;
	bool subscribed[MODEL_DEVICES];
	size_t usages;
	uint64_t refused[MODEL_DEVICES][4096]; /* numbers of pushes that were refused on this connection */
	size_t n_refused[MODEL_DEVICES];
	struct model_event *events[MODEL_DEVICES], **tail[MODEL_DEVICES];
};

struct model_relay *model_relay_new(const struct id16 *space)
{
	struct model_relay *r = calloc(1, sizeof *r);

	assert_non_null(r);
	r->space = *space;
	for (unsigned i = 0; i < MODEL_DEVICES; i++)
		r->tail[i] = &r->events[i];
	return r;
}

static void blobs_release(struct blobs *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->b[i].p);
	free(l->b);
}

void model_relay_free(struct model_relay *r)
{
	for (unsigned i = 0; i < MODEL_DEVICES; i++)
		model_relay_hang_up(r, i);
	for (size_t i = 0; i < r->n_steps; i++) {
		buf_release(&r->steps[i].lines);
		buf_release(&r->steps[i].head);
	}
	blobs_release(&r->records);
	blobs_release(&r->chunks);
	blobs_release(&r->entries);
	free(r->steps);
	free(r);
}

static struct blob *add_blob(struct blobs *l, const struct id16 *id, struct bytes blob)
{
	l->b = realloc(l->b, (l->n + 1) * sizeof *l->b);
	assert_non_null(l->b);
	struct blob *b = &l->b[l->n++];
	*b = (struct blob){ .id = *id, .p = malloc(blob.len), .len = blob.len, .current = true };
	assert_non_null(b->p);
	memcpy(b->p, blob.p, blob.len);
	hash_sha256(blob, &b->hash);
	return b;
}

static struct blob *find_blob(struct blobs *l, const struct id16 *id)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->b[i].current && id16_equal(&l->b[i].id, id))
			return &l->b[i];
	}
	return NULL;
}

static struct step *add_step(struct model_relay *r)
{
	r->steps = realloc(r->steps, (r->n_steps + 1) * sizeof *r->steps);
	assert_non_null(r->steps);
	struct step *st = &r->steps[r->n_steps++];
	*st = (struct step){ .lines = BUF_INIT(STEP_MAX), .head = BUF_INIT(4096) };
	st->first_record = r->records.n;
	st->first_entry = r->entries.n;
	return st;
}

static void send(
	struct model_relay *r, unsigned device, int kind, uint64_t num, const char *name, int err, struct bytes item)
{
	struct model_event *e = calloc(1, sizeof *e);

	assert_non_null(e);
	e->kind = kind;
	e->num = num;
	e->err = err;
	snprintf(e->name, sizeof e->name, "%s", name);
	e->item = malloc(item.len + 1);
	assert_non_null(e->item);
	if (item.len)
		memcpy(e->item, item.p, item.len);
	e->len = item.len;
	*r->tail[device] = e;
	r->tail[device] = &e->next;
}

static void put_blobs(struct cbor_enc *e, const struct blobs *l, size_t first, size_t n, bool only_current)
{
	size_t count = 0;

	for (size_t i = first; i < first + n; i++)
		count += !only_current || l->b[i].current;
	cbor_put_array(e, count);
	for (size_t i = first; i < first + n; i++) {
		if (!only_current || l->b[i].current)
			cbor_put_bytes(e, l->b[i].p, l->b[i].len);
	}
}

static void put_chunks(struct model_relay *r, struct cbor_enc *e, const struct step *st)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT(STEP_MAX);
	struct cbor_enc le = cbor_enc_init(&list);
	size_t n = 0;

	for (size_t i = st->first_record; i < st->first_record + st->n_records; i++) {
		struct record rec;

		assert_int_equal(record_decode(bytes_of(r->records.b[i].p, r->records.b[i].len), &rec), 0);
		for (size_t k = 0; r->records.b[i].current && k < rec.h.chunks.len; k += 16) {
			struct id16 id;

			memcpy(id.b, rec.h.chunks.p + k, 16);
			const struct blob *c = find_blob(&r->chunks, &id);
			assert_non_null(c);
			if (c->len > CHUNK_SMALL_BLOB)
				continue;
			cbor_put_bytes(&le, c->p, c->len);
			n++;
		}
	}
	cbor_put_array(e, n);
	assert_int_equal(cbor_enc_end(&le), 0);
	assert_int_equal(cbor_enc_end(e), 0);
	assert_int_equal(buf_put(e->b, list.data, list.len), 0);
}

/* A step's map; as a notice it also says the space and the cursor before. */
static void put_step(struct model_relay *r, struct buf *b, uint64_t cursor, bool notice)
{
	const struct step *st = &r->steps[cursor - 1];
	struct cbor_enc e = cbor_enc_init(b);
	char space[ID16_TEXT_SIZE];

	id16_format(&r->space, space);
	cbor_put_map(&e, 5u + (notice ? 2 : 0) + (st->head.len != 0));
	if (notice) {
		cbor_put_text(&e, "space");
		cbor_put_text(&e, space);
		cbor_put_text(&e, "prev");
		cbor_put_uint(&e, cursor - 1);
	}
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, cursor);
	cbor_put_text(&e, "lines");
	cbor_put_bytes(&e, st->lines.data, st->lines.len);
	cbor_put_text(&e, "records");
	put_blobs(&e, &r->records, st->first_record, st->n_records, !notice);
	cbor_put_text(&e, "entries");
	put_blobs(&e, &r->entries, st->first_entry, st->n_entries, false);
	if (st->head.len) {
		cbor_put_text(&e, "head");
		cbor_put_bytes(&e, st->head.data, st->head.len);
	}
	cbor_put_text(&e, "chunks");
	put_chunks(r, &e, st);
	assert_int_equal(cbor_enc_end(&e), 0);
}

void model_relay_entries(struct model_relay *r, const struct bytes *blobs, size_t n)
{
	struct step *st = add_step(r);
	struct line *lines = calloc(n, sizeof *lines);

	assert_non_null(lines);
	for (size_t i = 0; i < n; i++) {
		lines[i].kind = LINE_ENTRY;
		lines[i].id.b[15] = (uint8_t)i;
		lines[i].hash = add_blob(&r->entries, &lines[i].id, blobs[i])->hash;
	}
	st->n_entries = n;
	assert_int_equal(lines_put(&st->lines, lines, n), 0);
	free(lines);
}

/* ---- push ---- */

struct pushed {
	struct id16 id;
	struct bytes blob;
	struct id32 hash;
};

static struct pushed *get_list(struct bytes params, const char *key, size_t *ret_n)
{
	struct cbor_dec d = cbor_dec_init_rpc(map_get_item(params, key));
	size_t n = cbor_get_array(&d, 10000);
	struct pushed *list = calloc(n + 1, sizeof *list);

	assert_non_null(list);
	for (size_t i = 0; i < n; i++) {
		struct bytes one = cbor_get_raw(&d);

		assert_true(map_get_uuid(one, "id", &list[i].id));
		list[i].blob = map_get_bytes(one, "blob");
		hash_sha256(list[i].blob, &list[i].hash);
	}
	assert_int_equal(cbor_dec_end(&d), 0);
	*ret_n = n;
	return list;
}

static bool in_prev(const struct record *rec, const struct id32 *hash)
{
	for (size_t i = 0; i < rec->h.prev.len; i += 32) {
		if (memcmp(rec->h.prev.p + i, hash->b, 32) == 0)
			return true;
	}
	return false;
}

/* Appends {error, conflicts or missing} and returns true if the push is refused. */
static bool refuse(struct model_relay *r, const struct pushed *records, size_t n, struct buf *answer)
{
	CLEANUP(buf_release) struct buf conflicts = BUF_INIT(1 << 20), missing = BUF_INIT(1 << 20);
	struct cbor_enc ce = cbor_enc_init(&conflicts), me = cbor_enc_init(&missing), e = cbor_enc_init(answer);
	size_t n_conflicts = 0, n_missing = 0;
	char text[ID16_TEXT_SIZE];

	for (size_t i = 0; i < n; i++) {
		const struct blob *cur = find_blob(&r->records, &records[i].id);
		struct record rec;

		assert_int_equal(record_decode(records[i].blob, &rec), 0);
		for (size_t k = 0; k < rec.h.chunks.len; k += 16) {
			struct id16 id;

			memcpy(id.b, rec.h.chunks.p + k, 16);
			if (find_blob(&r->chunks, &id))
				continue;
			id16_format(&id, text);
			cbor_put_text(&me, text);
			n_missing++;
		}
		if (cur ? in_prev(&rec, &cur->hash) || id32_equal(&cur->hash, &records[i].hash) : rec.h.prev.len == 0)
			continue;
		id16_format(&records[i].id, text);
		cbor_put_map(&ce, 2);
		cbor_put_text(&ce, "id");
		cbor_put_text(&ce, text);
		cbor_put_text(&ce, "hash");
		cbor_put_bytes(&ce, cur ? cur->hash.b : rec.h.prev.p, 32);
		n_conflicts++;
	}
	if (n_conflicts + n_missing == 0)
		return false;
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, false);
	cbor_put_text(&e, "error");
	cbor_put_text(&e, n_conflicts ? "conflict" : "missing");
	cbor_put_text(&e, n_conflicts ? "conflicts" : "missing");
	cbor_put_array(&e, n_conflicts ? n_conflicts : n_missing);
	assert_int_equal(cbor_enc_end(&e), 0);
	assert_int_equal(
		buf_put(answer, n_conflicts ? conflicts.data : missing.data, n_conflicts ? conflicts.len : missing.len),
		0);
	return true;
}

static uint64_t accept(
	struct model_relay *r, unsigned device, const struct pushed *records, size_t n, struct bytes head)
{
	struct line *lines = calloc(n + 1, sizeof *lines);
	uint64_t highest = 0;
	size_t fresh = 0;

	assert_non_null(lines);
	for (size_t i = 0; i < n; i++) {
		struct blob *cur = find_blob(&r->records, &records[i].id);

		if (cur && id32_equal(&cur->hash, &records[i].hash)) {
			highest = cur->cursor > highest ? cur->cursor : highest;
			continue;
		}
		if (cur)
			cur->current = false;
		if (fresh == 0)
			(void)add_step(r);
		struct blob *b = add_blob(&r->records, &records[i].id, records[i].blob);
		b->cursor = r->n_steps;
		lines[fresh++] = (struct line){ .kind = LINE_RECORD, .id = b->id, .hash = b->hash };
	}
	if (fresh > 0) {
		struct step *st = &r->steps[r->n_steps - 1];

		st->n_records = fresh;
		assert_int_equal(lines_put(&st->lines, lines, fresh), 0);
		assert_int_equal(buf_put(&st->head, head.p, head.len), 0);
		highest = r->n_steps;
		for (unsigned i = 0; i < MODEL_DEVICES; i++) {
			CLEANUP(buf_release) struct buf b = BUF_INIT(STEP_MAX);

			if (i == device || !r->subscribed[i])
				continue;
			put_step(r, &b, highest, true);
			send(r, i, MODEL_NOTICE, 0, "coffer.sync", 0, buf_bytes(&b));
		}
	}
	free(lines);
	return highest;
}

void model_relay_bring(struct model_relay *r, const struct id16 *record, struct bytes blob)
{
	model_relay_bring_all(r, record, &blob, 1);
}

void model_relay_bring_all(struct model_relay *r, const struct id16 *records, const struct bytes *blobs, size_t n)
{
	FREE_AFTER struct pushed *p = calloc(n, sizeof *p);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		p[i] = (struct pushed){ .id = records[i], .blob = blobs[i] };
		hash_sha256(blobs[i], &p[i].hash);
	}
	(void)accept(r, MODEL_DEVICES, p, n, bytes_of(NULL, 0));
}

struct bytes model_relay_first(const struct model_relay *r, const struct id16 *record)
{
	for (size_t i = 0; i < r->records.n; i++) {
		if (id16_equal(&r->records.b[i].id, record))
			return bytes_of(r->records.b[i].p, r->records.b[i].len);
	}
	return bytes_of(NULL, 0);
}

static void push(struct model_relay *r, unsigned device, uint64_t num, struct bytes params)
{
	CLEANUP(buf_release) struct buf answer = BUF_INIT(1 << 20);
	struct cbor_enc e = cbor_enc_init(&answer);
	uint64_t number = map_get_uint(params, "number", 0), after = map_get_uint(params, "after", 0);
	size_t n, n_chunks;
	struct pushed *records = get_list(params, "records", &n), *chunks = get_list(params, "chunks", &n_chunks);
	bool order = false;

	for (size_t i = 0; after && i < r->n_refused[device]; i++)
		order = order || r->refused[device][i] == after;
	if (!order) {
		for (size_t i = 0; i < n_chunks; i++) {
			if (!find_blob(&r->chunks, &chunks[i].id))
				(void)add_blob(&r->chunks, &chunks[i].id, chunks[i].blob);
		}
	}
	if (order) {
		cbor_put_map(&e, 2);
		cbor_put_text(&e, "ok");
		cbor_put_bool(&e, false);
		cbor_put_text(&e, "error");
		cbor_put_text(&e, "order");
	} else if (!refuse(r, records, n, &answer)) {
		uint64_t cursor = accept(r, device, records, n, map_get_bytes(params, "head"));

		cbor_put_map(&e, 2);
		cbor_put_text(&e, "ok");
		cbor_put_bool(&e, true);
		cbor_put_text(&e, "cursor");
		cbor_put_uint(&e, cursor);
		number = 0;
	}
	if (number)
		r->refused[device][r->n_refused[device]++] = number;
	assert_true(r->n_refused[device] < 4096);
	assert_int_equal(cbor_enc_end(&e), 0);
	send(r, device, MODEL_RESULT, num, "", 0, buf_bytes(&answer));
	free(records);
	free(chunks);
}

/* ---- the rest ---- */

static void pull(struct model_relay *r, unsigned device, uint64_t num, struct bytes params)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STEP_MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	uint64_t since = map_get_uint(params, "since", 0);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, r->n_steps);
	cbor_put_text(&e, "store");
	cbor_put_bytes(&e, "model relay 1234", 16);
	assert_int_equal(cbor_enc_end(&e), 0);
	send(r, device, MODEL_PART, num, "coffer.begin", 0, buf_bytes(&b));
	/* In pages of three, so that `more` is used. */
	uint64_t end = r->n_steps > since + 3 ? since + 3 : r->n_steps;
	for (uint64_t c = since + 1; c <= end; c++) {
		buf_clear(&b);
		put_step(r, &b, c, false);
		send(r, device, MODEL_PART, num, "coffer.step", 0, buf_bytes(&b));
	}
	buf_clear(&b);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "more");
	cbor_put_bool(&e, end < r->n_steps);
	assert_int_equal(cbor_enc_end(&e), 0);
	send(r, device, MODEL_RESULT, num, "", 0, buf_bytes(&b));
}

static void head(struct model_relay *r, unsigned device, uint64_t num)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	struct cbor_enc e = cbor_enc_init(&b);

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, r->n_steps);
	assert_int_equal(cbor_enc_end(&e), 0);
	send(r, device, MODEL_RESULT, num, "", 0, buf_bytes(&b));
}

static void subscribe(struct model_relay *r, unsigned device, uint64_t num)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);
	struct cbor_enc e = cbor_enc_init(&b);
	char space[ID16_TEXT_SIZE];

	id16_format(&r->space, space);
	r->subscribed[device] = true;
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "spaces");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, space);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, r->n_steps);
	assert_int_equal(cbor_enc_end(&e), 0);
	send(r, device, MODEL_RESULT, num, "", 0, buf_bytes(&b));
}

static void usage(struct model_relay *r, unsigned device, uint64_t num)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	struct cbor_enc e = cbor_enc_init(&b);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "used");
	cbor_put_uint(&e, MODEL_USED);
	cbor_put_text(&e, "history");
	cbor_put_uint(&e, MODEL_HISTORY);
	r->usages++;
	assert_int_equal(cbor_enc_end(&e), 0);
	send(r, device, MODEL_RESULT, num, "", 0, buf_bytes(&b));
}

void model_relay_call(struct model_relay *r, unsigned device, uint64_t num, const char *method, struct bytes params)
{
	if (strcmp(method, "subscribe") == 0)
		subscribe(r, device, num);
	else if (strcmp(method, "coffer.push") == 0)
		push(r, device, num, params);
	else if (strcmp(method, "coffer.pull") == 0)
		pull(r, device, num, params);
	else if (strcmp(method, "coffer.head") == 0)
		head(r, device, num);
	else if (strcmp(method, "coffer.usage") == 0)
		usage(r, device, num);
	else
		fail_msg("the model relay does not know %s", method);
}

void model_relay_put(struct model_relay *r, unsigned device, uint64_t num, const struct id16 *chunk, struct bytes blob)
{
	struct bytes there = model_relay_chunk(r, chunk);

	if (there.len == 0)
		(void)add_blob(&r->chunks, chunk, blob);
	send(r, device, MODEL_RESULT, num, "", there.len == 0 || bytes_equal(there, blob) ? 0 : ERR_CONFLICT,
		bytes_of(NULL, 0));
}

void model_relay_get(struct model_relay *r, unsigned device, uint64_t num, const struct id16 *chunk)
{
	const struct blob *b = find_blob(&r->chunks, chunk);

	if (b)
		send(r, device, MODEL_DATA, num, "", 0, bytes_of(b->p, b->len));
	send(r, device, MODEL_RESULT, num, "", b ? 0 : ERR_NOT_FOUND, bytes_of(NULL, 0));
}

struct model_event *model_relay_next(struct model_relay *r, unsigned device)
{
	struct model_event *e = r->events[device];

	if (!e)
		return NULL;
	r->events[device] = e->next;
	if (!e->next)
		r->tail[device] = &r->events[device];
	return e;
}

void model_event_free(struct model_event *e)
{
	free(e->item);
	free(e);
}

void model_relay_hang_up(struct model_relay *r, unsigned device)
{
	struct model_event *e;

	while ((e = model_relay_next(r, device)) != NULL)
		model_event_free(e);
	r->subscribed[device] = false;
	r->n_refused[device] = 0;
}

uint64_t model_relay_cursor(const struct model_relay *r)
{
	return r->n_steps;
}

size_t model_relay_usages(const struct model_relay *r)
{
	return r->usages;
}

struct bytes model_relay_chunk(struct model_relay *r, const struct id16 *chunk)
{
	const struct blob *b = find_blob(&r->chunks, chunk);

	return b ? bytes_of(b->p, b->len) : bytes_of(NULL, 0);
}
