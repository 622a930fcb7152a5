/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/step.h"

#include <stdlib.h>

#include "crypto/hash.h"
#include "wire/cbor.h"
#include "wire/chunk.h"
#include "wire/entry.h"
#include "wire/map.h"

#define BLOBS_MAX 4096

/* An array of byte strings; absent is empty. */
static int get_blobs(struct bytes map, const char *key, size_t max, struct bytes **ret_list, size_t *ret_n)
{
	struct bytes item;

	*ret_list = NULL;
	*ret_n = 0;
	if (cbor_map_find(map, CBOR_RPC, key, &item) < 0)
		return OK;
	struct cbor_dec d = cbor_dec_init_rpc(item);
	size_t n = cbor_get_array(&d, BLOBS_MAX);
	if (cbor_dec_error(&d) < 0)
		return cbor_dec_error(&d);
	if (n == 0)
		return cbor_dec_end(&d);
	struct bytes *list = calloc(n, sizeof *list);
	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		list[i] = cbor_get_bytes(&d, max);
	int err = cbor_dec_end(&d);
	if (err < 0) {
		free(list);
		return err;
	}
	*ret_list = list;
	*ret_n = n;
	return OK;
}

static int compare_chunks(const void *a, const void *b)
{
	return id16_compare(&((const struct chunk_blob *)a)->id, &((const struct chunk_blob *)b)->id);
}

/* What is no chunk of this shape is left out: it would not open. */
static int get_chunks(struct bytes map, struct history_step *s)
{
	struct bytes *blobs;
	size_t n, out = 0;
	int err = get_blobs(map, "chunks", CHUNK_MAX_BLOB, &blobs, &n);

	if (err < 0 || n == 0)
		return err;
	s->chunks = calloc(n, sizeof *s->chunks);
	if (!s->chunks) {
		free(blobs);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		struct chunk c;

		if (chunk_decode(blobs[i], &c) < 0)
			continue;
		s->chunks[out++] = (struct chunk_blob){ .id = c.id, .blob = blobs[i] };
	}
	free(blobs);
	qsort(s->chunks, out, sizeof *s->chunks, compare_chunks);
	for (size_t i = 0; i < out; i++) {
		if (s->n_chunks == 0 || compare_chunks(&s->chunks[s->n_chunks - 1], &s->chunks[i]) != 0)
			s->chunks[s->n_chunks++] = s->chunks[i];
	}
	return OK;
}

static int compare_lines(const void *a, const void *b)
{
	return id32_compare(&((const struct line *)a)->hash, &((const struct line *)b)->hash);
}

/* Each blob's hash stands in a line of its kind. */
static int check_blobs(
	const struct line *sorted, size_t n, enum line_kind kind, const struct bytes *blobs, size_t n_blobs)
{
	for (size_t i = 0; i < n_blobs; i++) {
		struct line want = { .kind = kind };

		hash_sha256(blobs[i], &want.hash);
		const struct line *l = n ? bsearch(&want, sorted, n, sizeof *sorted, compare_lines) : NULL;
		if (!l || l->kind != kind)
			return ERR_TAMPERED;
	}
	return OK;
}

static int check(const struct history_step *s)
{
	struct line *sorted = calloc(s->n_lines ? s->n_lines : 1, sizeof *sorted);
	size_t entries = 0;

	if (!sorted)
		return ERR_NOMEM;
	if (s->n_lines)
		memcpy(sorted, s->lines, s->n_lines * sizeof *sorted);
	for (size_t i = 0; i < s->n_lines; i++)
		entries += s->lines[i].kind == LINE_ENTRY;
	qsort(sorted, s->n_lines, sizeof *sorted, compare_lines);
	int err = check_blobs(sorted, s->n_lines, LINE_RECORD, s->records, s->n_records);
	if (err == OK)
		err = check_blobs(sorted, s->n_lines, LINE_ENTRY, s->entries, s->n_entries);
	if (err == OK && entries != s->n_entries)
		err = ERR_GAP;
	free(sorted);
	return err;
}

int step_decode(struct bytes data, struct history_step *ret_s)
{
	struct history_step s = { .cursor = map_get_uint(data, "cursor", 0),
		.healed = map_get_bool(data, "healed", false) };

	s.lines_blob = map_get_bytes(data, "lines");
	s.head = map_get_bytes(data, "head");
	int err = s.cursor == 0 ? ERR_INVALID : lines_decode(s.lines_blob, &s.lines, &s.n_lines);
	if (err == OK)
		err = get_blobs(data, "records", RECORD_MAX_BLOB, &s.records, &s.n_records);
	if (err == OK)
		err = get_blobs(data, "entries", ENTRY_MAX_BLOB, &s.entries, &s.n_entries);
	if (err == OK)
		err = get_chunks(data, &s);
	if (err == OK)
		err = check(&s);
	if (err < 0) {
		step_release(&s);
		return err;
	}
	*ret_s = s;
	return OK;
}

void step_release(struct history_step *s)
{
	free(s->lines);
	free(s->records);
	free(s->entries);
	free(s->chunks);
	*s = (struct history_step){ .cursor = 0 };
}
