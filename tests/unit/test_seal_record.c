/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "tests/lib/heap.h"
#include "tests/lib/mutate.h"

#include "crypto/hash.h"
#include "crypto/open_record.h"
#include "crypto/seal.h"
#include "crypto/seal_core.h"
#include "crypto/sign.h"
#include "crypto/verify.h"

static const uint8_t EPOCH_KEY[32] = { 4, 5, 6 };

struct fixture {
	struct secret *sign_key;
	struct record_header h;
	struct slice slices[3];
	struct node_link link;
	struct node_body body;
	struct buf blob;
	struct record parts;
	struct id32 hash;
};

static void fixture_init(struct fixture *f)
{
	static const uint8_t prev[32] = { 3 };

	*f = (struct fixture){ .blob = BUF_INIT(RECORD_MAX_BLOB) };
	assert_int_equal(sign_keypair_new(&f->sign_key, &f->h.author), 0);
	f->h.space.b[0] = 1;
	f->h.id.b[0] = 2;
	f->h.version = 2;
	f->h.epoch = 1;
	f->h.prev = bytes_of(prev, 32);
	for (unsigned i = 0; i < 3; i++) {
		f->slices[i] = (struct slice){ .at = i * 1000, .len = 1000, .chunk_len = 5000, .from = i };
		f->slices[i].chunk.b[0] = (uint8_t)(i == 1 ? 5 : 7);
	}
	f->link = (struct node_link){ .name = bytes_str("name") };
	f->link.id.b[0] = 1;
	f->body = (struct node_body){ .kind = NODE_FILE,
		.mode = 0644,
		.size = 3000,
		.form = CONTENT_SLICES,
		.slices = f->slices,
		.n_slices = 3,
		.links = &f->link,
		.n_links = 1 };
	assert_int_equal(seal_record(EPOCH_KEY, &f->h, &f->body, f->sign_key, &f->blob, &f->hash), 0);
	assert_int_equal(record_decode(buf_bytes(&f->blob), &f->parts), 0);
}

static void fixture_release(struct fixture *f)
{
	secret_free(f->sign_key);
	buf_release(&f->blob);
}

static int open_with(const uint8_t *key, struct bytes blob, const struct id16 *space, const struct id16 *id)
{
	struct opened_record o = OPENED_RECORD_INIT;
	int err = open_record(key, blob, space, id, &o);

	if (err == 0)
		opened_record_release(&o);
	return err;
}

static void comes_back(void **state)
{
	struct opened_record o = OPENED_RECORD_INIT;
	struct fixture f;
	struct id32 hash;

	(void)state;
	fixture_init(&f);
	assert_int_equal(open_record(EPOCH_KEY, buf_bytes(&f.blob), &f.h.space, NULL, &o), 0);
	assert_int_equal(o.body.n_slices, 3);
	assert_int_equal(o.r.h.chunks.len, 32); /* two chunks, ascending */
	assert_int_equal(o.r.h.chunks.p[0], 5);
	assert_int_equal(o.r.h.chunks.p[16], 7);
	unit_assert_bytes(o.body.links[0].name, bytes_str("name"));
	hash_sha256(buf_bytes(&f.blob), &hash);
	assert_true(id32_equal(&hash, &f.hash));
	opened_record_release(&o);
	fixture_release(&f);
}

/* Flips anywhere: by place, the error that says what is wrong. */
static int open_changed(struct bytes changed, size_t at, void *arg)
{
	const struct fixture *f = arg;
	size_t sealed = (size_t)(f->parts.sealed.p - f->blob.data), end = sealed + f->parts.sealed.len;
	struct record r;
	int err = open_with(EPOCH_KEY, changed, &f->h.space, &f->h.id);

	if (changed.len != f->blob.len)
		return err;
	if (at >= sealed && at < end)
		assert_int_equal(err, ERR_TAMPERED);
	else if (at >= f->blob.len - 64)
		assert_int_equal(err, ERR_SIGNATURE);
	/* what the relay runs refuses the same, with the same error */
	assert_int_equal(verify_record(changed, &f->h.space, &f->h.id, &r), err);
	return err;
}

static void refuses_every_change(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	mutate_flips(buf_bytes(&f.blob), open_changed, &f);
	mutate_lengths(buf_bytes(&f.blob), open_changed, &f);
	fixture_release(&f);
}

static void refuses_every_other_context(void **state)
{
	uint8_t other_key[32];
	struct fixture f;
	struct id16 other = { { 77 } };

	(void)state;
	fixture_init(&f);
	memcpy(other_key, EPOCH_KEY, 32);
	other_key[0] ^= 1;
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&f.blob), &other, &f.h.id), ERR_CONTEXT);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&f.blob), &f.h.space, &other), ERR_CONTEXT);
	assert_int_equal(open_with(other_key, buf_bytes(&f.blob), &f.h.space, &f.h.id), ERR_COMMITMENT);
	fixture_release(&f);
}

/* A member with a valid signing key puts the sealed bytes of f under header h. */
static void forge(const struct fixture *f, struct record_header h, struct bytes sealed, struct buf *blob)
{
	struct buf header = BUF_INIT(RECORD_MAX_BLOB);
	uint8_t signature[64];

	hash_sha256(sealed, &h.sealed_hash);
	assert_int_equal(record_put_header(&header, &h, 1), 0);
	assert_int_equal(sign_detached(RECORD_LABEL, buf_bytes(&header), f->sign_key, signature), 0);
	buf_clear(blob);
	assert_int_equal(record_put(blob, buf_bytes(&header), sealed, signature), 0);
	buf_release(&header);
}

static void a_signed_forgery_does_not_open(void **state)
{
	struct buf b = BUF_INIT(RECORD_MAX_BLOB), sealed = BUF_INIT(RECORD_MAX_BLOB);
	static const uint8_t prev[32] = { 4 }, chunks[16] = { 5 };
	struct fixture f;
	struct record_header h;

	(void)state;
	fixture_init(&f);
	h = f.parts.h;
	h.id.b[5] = 1; /* another node, another space: another key */
	forge(&f, h, f.parts.sealed, &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_COMMITMENT);
	h = f.parts.h;
	h.space.b[5] = 1;
	forge(&f, h, f.parts.sealed, &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_COMMITMENT);
	h = f.parts.h; /* the rest of the header is additional data */
	h.version++;
	forge(&f, h, f.parts.sealed, &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_TAMPERED);
	h = f.parts.h;
	h.epoch++;
	forge(&f, h, f.parts.sealed, &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_TAMPERED);
	h = f.parts.h;
	h.prev = bytes_of(prev, 32);
	forge(&f, h, f.parts.sealed, &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_TAMPERED);
	h = f.parts.h;
	h.flags = RECORD_PASSING;
	forge(&f, h, f.parts.sealed, &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_TAMPERED);
	h = f.parts.h;
	h.chunks = bytes_of(chunks, 16);
	forge(&f, h, f.parts.sealed, &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_TAMPERED);
	for (size_t at = 0; at < f.parts.sealed.len; at++) {
		buf_clear(&sealed);
		assert_int_equal(buf_put(&sealed, f.parts.sealed.p, f.parts.sealed.len), 0);
		sealed.data[at] ^= 0x40;
		forge(&f, f.parts.h, buf_bytes(&sealed), &b);
		assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &f.h.space, &f.h.id),
			at < SEAL_NONCE_SIZE + SEAL_COMMITMENT_SIZE ? ERR_COMMITMENT : ERR_TAMPERED);
	}
	buf_release(&b);
	buf_release(&sealed);
	fixture_release(&f);
}

/* A malicious author names other chunks in the clear than in the body; everything else is right. */
static void a_false_clear_list_is_refused(void **state)
{
	static const uint8_t one[16] = { 5 };
	struct buf aad = BUF_INIT(4096), plain = BUF_INIT(4096), sealed = BUF_INIT(8192), b = BUF_INIT(RECORD_MAX_BLOB);
	struct seal_job job = { .label = RECORD_LABEL, .squeeze = true };
	struct fixture f;
	struct record_header h;
	uint8_t key[32];

	(void)state;
	fixture_init(&f);
	h = f.parts.h;
	h.chunks = bytes_of(one, 16);
	assert_int_equal(record_put_header(&aad, &h, 0), 0);
	assert_int_equal(node_body_put(&plain, &f.body), 0);
	seal_node_key(EPOCH_KEY, &h.space, &h.id, key);
	job.key = key;
	job.aad = buf_bytes(&aad);
	assert_int_equal(seal_core(&job, buf_bytes(&plain), &sealed), 0);
	forge(&f, h, buf_bytes(&sealed), &b);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &h.space, &h.id), ERR_TAMPERED);
	buf_release(&aad);
	buf_release(&plain);
	buf_release(&sealed);
	buf_release(&b);
	fixture_release(&f);
}

static void only_the_author_signs(void **state)
{
	struct buf b = BUF_INIT(RECORD_MAX_BLOB);
	struct secret *other;
	struct id32 public;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(sign_keypair_new(&other, &public), 0);
	assert_int_equal(seal_record(EPOCH_KEY, &f.h, &f.body, other, &b, NULL), ERR_INVALID);
	assert_int_equal(b.len, 0);
	secret_free(other);
	buf_release(&b);
	fixture_release(&f);
}

static void a_tombstone_is_small(void **state)
{
	struct buf b = BUF_INIT(RECORD_MAX_BLOB);
	struct fixture f;
	struct node_body body;

	(void)state;
	fixture_init(&f);
	body = (struct node_body){ .kind = NODE_FILE, .deleted = true, .mode = 0644, .links = &f.link, .n_links = 1 };
	assert_int_equal(seal_record(EPOCH_KEY, &f.h, &body, f.sign_key, &b, NULL), 0);
	assert_true(b.len < 512);
	assert_int_equal(open_with(EPOCH_KEY, buf_bytes(&b), &f.h.space, &f.h.id), 0);
	buf_release(&b);
	fixture_release(&f);
}

static void every_failed_allocation_is_an_error(void **state)
{
	struct buf b = BUF_INIT(RECORD_MAX_BLOB);
	struct opened_record o = OPENED_RECORD_INIT;
	struct fixture f;
	unsigned long n;
	int err;

	(void)state;
	fixture_init(&f);
	for (n = 1;; n++) {
		heap_fail_at(n);
		err = seal_record(EPOCH_KEY, &f.h, &f.body, f.sign_key, &b, NULL);
		if (!heap_failed())
			break;
		assert_int_equal(err, ERR_NOMEM);
		assert_int_equal(b.len, 0);
	}
	assert_true(n > 5);
	assert_int_equal(err, 0);
	for (n = 1;; n++) {
		heap_fail_at(n);
		err = open_record(EPOCH_KEY, buf_bytes(&b), &f.h.space, NULL, &o);
		if (!heap_failed())
			break;
		assert_int_equal(err, ERR_NOMEM);
	}
	heap_fail_at(0);
	assert_int_equal(err, 0);
	opened_record_release(&o);
	buf_release(&b);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(refuses_every_change),
		cmocka_unit_test(refuses_every_other_context),
		cmocka_unit_test(a_signed_forgery_does_not_open),
		cmocka_unit_test(a_false_clear_list_is_refused),
		cmocka_unit_test(only_the_author_signs),
		cmocka_unit_test(a_tombstone_is_small),
		cmocka_unit_test(every_failed_allocation_is_an_error),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
