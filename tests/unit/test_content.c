/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fusefs/content.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { CHUNKS = 90000, SLICES = 170000 };

static struct store_txn *begin(struct store_fixture *f)
{
	struct store_txn *t;

	assert_int_equal(store_begin(f->store, &t), OK);
	return t;
}

static void name_chunk(struct chunk_row *c, uint32_t space, size_t i, uint32_t len)
{
	*c = (struct chunk_row){ .space = space, .len = len };
	memcpy(c->id.b, &i, sizeof i);
	memset(c->key, 7, sizeof c->key);
	memset(c->hash.b, 9, sizeof c->hash.b);
}

/* A file of CHUNKS bytes as sealing would have cut it, were chunks one byte long. */
static void load(struct store_fixture *f, uint64_t ino, struct image *img, struct content *c)
{
	struct store_txn *t = begin(f);

	assert_int_equal(image_load(t, ino, img), OK);
	assert_int_equal(content_snapshot(t, img, c), OK);
	store_abort(&t);
	c->chunks = calloc(CHUNKS, sizeof *c->chunks);
	assert_non_null(c->chunks);
	c->n_chunks = CHUNKS;
	for (size_t i = 0; i < CHUNKS; i++) {
		struct content_chunk *ch = &c->chunks[i];

		*ch = (struct content_chunk){ .off = i, .len = 1, .plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN) };
		name_chunk(&ch->row, f->space, i, 1);
	}
	img->body.form = CONTENT_SLICES;
}

static int store_once(struct store_fixture *f, const struct image *img, struct content *c)
{
	struct store_txn *t = begin(f);
	int err = content_store(t, img, c);

	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static void a_file_larger_than_a_transaction_is_stored_ahead(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "large", NODE_FILE);
	uint8_t *p = malloc(CHUNKS);
	struct image img = IMAGE_INIT, after = IMAGE_INIT;
	struct content c = CONTENT_INIT, d = CONTENT_INIT;
	struct store_keep *keep;

	(void)state;
	assert_non_null(p);
	memset(p, 3, CHUNKS);
	store_fixture_write(f, ino, 0, p, CHUNKS);
	assert_int_equal(store_keep(f->store, &keep), OK);
	load(f, ino, &img, &c);
	assert_int_equal(store_once(f, &img, &c), ERR_RANGE);
	assert_int_equal(content_store_ahead(f->store, &img, &c), OK);
	assert_int_equal(store_once(f, &img, &c), OK);
	assert_int_equal(c.n_unconfirmed, CHUNKS);
	/* If no record followed, the next one names what is there. */
	struct store_txn *t = begin(f);
	assert_int_equal(image_load(t, ino, &after), OK);
	assert_int_equal(content_snapshot(t, &after, &d), OK);
	store_abort(&t);
	assert_int_equal(after.n_extents, CHUNKS);
	for (size_t i = 0; i < CHUNKS; i++)
		assert_true(d.rows[i].row == c.chunks[i].row.row && d.rows[i].here);
	content_release(&c);
	content_release(&d);
	image_release(&img);
	image_release(&after);
	store_keep_release(keep);
	free(p);
	store_fixture_free(f);
}

static void a_file_that_changed_is_not_stored_ahead(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "large", NODE_FILE);
	struct image img = IMAGE_INIT;
	struct content c = CONTENT_INIT;

	(void)state;
	store_fixture_write(f, ino, 0, "abc", 3);
	load(f, ino, &img, &c);
	store_fixture_write(f, ino, 1, "x", 1);
	assert_int_equal(content_store_ahead(f->store, &img, &c), ERR_CONFLICT);
	assert_false(c.chunks[0].ahead);
	content_release(&c);
	image_release(&img);
	store_fixture_free(f);
}

static int apply_once(
	struct store_fixture *f, uint64_t ino, const struct node_body *body, const struct content_flat *flat)
{
	struct store_txn *t = begin(f);
	int err = content_apply(t, f->space, ino, body, flat);

	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static void what_came_larger_than_a_transaction_is_taken(void **state)
{
	struct store_fixture *f = store_fixture_new(1);
	uint64_t ino = store_fixture_make(f, f->root, "large", NODE_FILE);
	struct node_body body = { .kind = NODE_FILE, .form = CONTENT_SLICES };
	struct content_flat flat = { .slices = calloc(SLICES, sizeof(struct slice)), .n_slices = SLICES };
	struct extent *e;
	size_t n;

	(void)state;
	assert_non_null(flat.slices);
	for (size_t i = 0; i < SLICES; i++) {
		struct slice *s = &flat.slices[i];

		*s = (struct slice){ .at = i << 20, .len = 1u << 20, .chunk_len = 1u << 20 };
		memcpy(s->chunk.b, &i, sizeof i);
		s->key[0] = 7;
		s->hash.b[0] = 9;
	}
	body.slices = flat.slices;
	body.n_slices = SLICES;
	assert_int_equal(apply_once(f, ino, &body, &flat), ERR_RANGE);
	assert_int_equal(content_apply_ahead(f->store, f->space, &flat), OK);
	assert_int_equal(apply_once(f, ino, &body, &flat), OK);
	struct store_txn *t = begin(f);
	assert_int_equal(txn_extents(t, ino, &e, &n), OK);
	store_abort(&t);
	assert_int_equal(n, SLICES);
	/* Another record that says something else of a chunk is told from a large one. */
	flat.slices[SLICES - 1].key[0] = 8;
	assert_int_equal(content_apply_ahead(f->store, f->space, &flat), ERR_TAMPERED);
	free(e);
	free(flat.slices);
	store_fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_larger_than_a_transaction_is_stored_ahead),
		cmocka_unit_test(a_file_that_changed_is_not_stored_ahead),
		cmocka_unit_test(what_came_larger_than_a_transaction_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
