/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record -> slices -> index chunks -> slices -> content chunks. An index chunk is read from the store that holds it or opened as it was
 * seen, whichever comes first.
 */
#include "tests/lib/vault.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sodium.h>

#include "base/cleanup.h"
#include "crypto/invite.h"
#include "crypto/kdf.h"
#include "crypto/open_chunk.h"
#include "crypto/person.h"
#include "crypto/seal.h"
#include "crypto/seal_core.h"
#include "crypto/sign.h"
#include "crypto/words.h"
#include "fusefs/profile.h"
#include "fusefs/space.h"
#include "tests/lib/segment_head.h"

struct piece_of {
	struct id16 space;
	struct slice s;
	unsigned depth;
	bool followed; /* depth > 0: its slices are in the list */
};

struct seen_chunk {
	struct chunk c;
	struct bytes blob;
};

struct vault {
	struct needles *needles;
	struct space **spaces;
	size_t n_spaces;
	struct piece_of *pieces;
	size_t n_pieces;
	struct seen_chunk *chunks;
	size_t n_chunks;
	struct vault_count count;
};

static void *grow(void *p, size_t n, size_t size)
{
	if ((n & (n - 1)) != 0) /* at powers of two */
		return p;
	p = reallocarray(p, n ? 2 * n : 1, size);
	if (!p)
		abort();
	return p;
}

struct vault *vault_new(struct needles *needles)
{
	struct vault *v = calloc(1, sizeof *v);

	if (!v)
		abort();
	v->needles = needles;
	return v;
}

void vault_free(struct vault *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n_spaces; i++)
		space_free(v->spaces[i]);
	if (v->n_pieces > 0)
		secret_wipe(v->pieces, v->n_pieces * sizeof *v->pieces);
	free(v->spaces);
	free(v->pieces);
	free(v->chunks);
	free(v);
}

static void add_key(struct vault *v, const char *kind, const uint8_t key[KEY_SIZE])
{
	needles_add(v->needles, kind, key, KEY_SIZE);
}

static struct space *find_space(const struct vault *v, const struct id16 *id)
{
	for (size_t i = 0; i < v->n_spaces; i++)
		if (id16_equal(&v->spaces[i]->row.id, id))
			return v->spaces[i];
	return NULL;
}

/* The key under which the sealed bytes themselves are encrypted. */
static void add_aead_key(
	struct vault *v, const char *kind, const char *label, const uint8_t key[KEY_SIZE], struct bytes sealed)
{
	struct seal_job job = { .label = label, .key = key };
	uint8_t keys[64];

	if (sealed.len < SEAL_OVERHEAD)
		return;
	seal_split_key(&job, sealed.p, keys);
	add_key(v, kind, keys + SEAL_COMMITMENT_SIZE);
	secret_wipe(keys, sizeof keys);
}

/* ---- slices ---- */

static void take_slices(struct vault *v, const struct id16 *space, const struct slice *slices, size_t n, unsigned depth)
{
	for (size_t i = 0; i < n; i++) {
		bool known = false;

		for (size_t k = 0; k < v->n_pieces && !known; k++)
			known = id16_equal(&v->pieces[k].s.chunk, &slices[i].chunk) && v->pieces[k].depth == depth;
		if (known)
			continue;
		v->pieces = grow(v->pieces, v->n_pieces, sizeof *v->pieces);
		v->pieces[v->n_pieces++] = (struct piece_of){ .space = *space, .s = slices[i], .depth = depth };
		add_key(v, depth ? "index chunk key" : "chunk key", slices[i].key);
	}
}

void vault_take_record(struct vault *v, struct bytes blob)
{
	CLEANUP(opened_record_release) struct opened_record o = OPENED_RECORD_INIT;
	struct record r;
	uint8_t key[KEY_SIZE];
	struct space *s = record_decode(blob, &r) == 0 ? find_space(v, &r.h.space) : NULL;

	if (!s || space_open_record(s, blob, &o) < 0) {
		v->count.records_closed++;
		return;
	}
	v->count.records_opened++;
	seal_node_key(secret_key(epoch_ring_get(s->ring, r.h.epoch)), &r.h.space, &r.h.id, key);
	add_key(v, "record key", key);
	add_aead_key(v, "record cipher key", RECORD_LABEL, key, r.sealed);
	secret_wipe(key, sizeof key);
	take_slices(v, &r.h.space, o.body.slices, o.body.n_slices, o.body.depth);
}

void vault_take_chunk(struct vault *v, struct bytes blob)
{
	struct seen_chunk seen = { .blob = blob };

	if (chunk_decode(blob, &seen.c) < 0) {
		v->count.chunks_closed++;
		return;
	}
	v->chunks = grow(v->chunks, v->n_chunks, sizeof *v->chunks);
	v->chunks[v->n_chunks++] = seen;
}

/* ---- profiles ---- */

struct home {
	struct vault *v;
	const struct identity *who;
	struct store *store;
	struct store_txn *t;
	size_t first_space; /* of this one */
	int err;
};

static int take_stored(void *ctx, const struct id16 *id, const struct id32 *hash, struct bytes blob)
{
	(void)id;
	(void)hash;
	vault_take_record(ctx, blob);
	return 1;
}

static void add_space_keys(struct vault *v, const struct space *s)
{
	add_key(v, "space hash key", secret_key(s->hash_key));
	for (uint64_t i = 1; i <= epoch_ring_newest(s->ring); i++) {
		const struct secret *epoch = epoch_ring_get(s->ring, i);
		uint8_t key[KEY_SIZE];

		if (!epoch)
			continue;
		add_key(v, "epoch key", secret_key(epoch));
		kdf_subkey(secret_key(epoch), SEAL_CTX_SPACE, &s->row.id, key);
		add_key(v, "space record key", key);
		secret_wipe(key, sizeof key);
	}
}

static int take_space(void *ctx, const struct space_row *row)
{
	struct home *h = ctx;
	struct vault *v = h->v;
	struct space *s = NULL;

	h->err = space_load(h->t, row, h->who, NULL, &s);
	if (h->err < 0)
		return 0;
	v->spaces = grow(v->spaces, v->n_spaces, sizeof(struct space *));
	v->spaces[v->n_spaces++] = s;
	add_space_keys(v, s);
	h->err = txn_record_each(h->t, row->row, take_stored, v);
	return h->err == 0;
}

/* Slices in an index chunk that this store holds. */
static void follow_stored(struct home *h, size_t i)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	struct piece_of p = h->v->pieces[i];
	const struct space *s = NULL;
	struct chunk_row row = { .row = 0 };
	FREE_AFTER struct slice *slices = NULL;
	size_t n;

	for (size_t k = h->first_space; k < h->v->n_spaces; k++)
		if (id16_equal(&h->v->spaces[k]->row.id, &p.space))
			s = h->v->spaces[k];
	if (!s || store_begin(h->store, &h->t) < 0)
		return;
	int err = txn_chunk_find(h->t, s->row.row, &p.s.chunk, &row);
	store_abort(&h->t);
	if (err < 0 || store_read_chunk(h->store, row.row, &plain) < 0 ||
		index_decode(buf_bytes(&plain), &slices, &n) < 0)
		return;
	h->v->pieces[i].followed = true;
	take_slices(h->v, &p.space, slices, n, p.depth - 1);
	secret_wipe(slices, n * sizeof *slices);
}

static int read_store(struct home *h, int cache_fd)
{
	struct store_config config = {
		.env = env_system(), .dirfd = cache_fd, .key = secret_key(identity_store_key(h->who)), .no_thread = true
	};
	int err = store_open(&config, &h->store);

	if (err < 0)
		return err;
	err = store_begin(h->store, &h->t);
	if (err == 0)
		err = txn_space_each(h->t, take_space, h);
	store_abort(&h->t);
	for (size_t i = 0; i < h->v->n_pieces; i++)
		if (h->v->pieces[i].depth > 0 && !h->v->pieces[i].followed)
			follow_stored(h, i);
	store_close(h->store);
	return err < 0 ? err : h->err;
}

static int add_segment_keys(struct vault *v, const struct identity *who, int cache_fd)
{
	DIR *d = fdopendir(dup(cache_fd));

	if (!d)
		return ERR_NOMEM;
	for (struct dirent *e; (e = readdir(d));) {
		uint8_t bytes[256];
		struct segment_head head;
		CLOSE_AFTER int fd =
			strncmp(e->d_name, "seg-", 4) == 0 ? openat(cache_fd, e->d_name, O_RDONLY | O_CLOEXEC) : -1;

		if (fd < 0 || read(fd, bytes, sizeof bytes) != sizeof bytes)
			continue;
		if (segment_head_open(secret_key(identity_store_key(who)), bytes_of(bytes, sizeof bytes), &head) < 0)
			continue;
		add_key(v, "journal key", head.key);
		secret_wipe(&head, sizeof head);
	}
	closedir(d);
	return 0;
}

static void add_identity(struct vault *v, const struct identity *who)
{
	uint8_t scalar[crypto_scalarmult_curve25519_BYTES];

	add_key(v, "device Ed25519 key", secret_bytes(identity_sign_secret(who)).p);
	if (crypto_sign_ed25519_sk_to_curve25519(scalar, secret_bytes(identity_sign_secret(who)).p) == 0)
		add_key(v, "device Ed25519 scalar", scalar);
	secret_wipe(scalar, sizeof scalar);
	add_key(v, "device X25519 key", secret_key(identity_x_secret(who)));
	add_key(v, "store key", secret_key(identity_store_key(who)));
}

int vault_add_home(struct vault *v, const char *home)
{
	CLEANUP(identity_freep) struct identity *who = NULL;
	struct profile *p = NULL;
	CLOSE_AFTER int cache_fd = -1;

	int err = profile_open(env_system(), home, &p);
	if (err == 0)
		err = profile_unlock(p, NULL, &who);
	if (err == 0)
		err = profile_subdir(p, "cache", &cache_fd);
	if (err == 0) {
		struct home h = { .v = v, .who = who, .first_space = v->n_spaces };

		add_identity(v, who);
		err = add_segment_keys(v, who, cache_fd);
		if (err == 0)
			err = read_store(&h, cache_fd);
	}
	profile_close(p);
	return err;
}

/* ---- people and codes ---- */

int vault_add_words(struct vault *v, const char *path)
{
	CLEANUP(person_freep) struct person *p = NULL;
	CLEANUP(secret_freep) struct secret *bytes = NULL;
	static const struct id16 no_salt;
	char text[4096];
	uint8_t key[KEY_SIZE];
	CLOSE_AFTER int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

	if (n <= 0)
		return ERR_NOT_FOUND;
	if (words_parse(text, (size_t)n, &bytes, NULL) < 0 || person_from_words(text, (size_t)n, &p, NULL) < 0)
		return ERR_NOT_FOUND;
	add_key(v, "words", secret_key(bytes));
	add_key(v, "root key", secret_bytes(person_root_secret(p)).p);
	add_key(v, "recovery X25519 key", secret_key(person_recovery_x_secret(p)));
	kdf_subkey(secret_key(bytes), "persrecd", &no_salt, key);
	add_key(v, "recovery Ed25519 key", key);
	secret_wipe(key, sizeof key);
	secret_wipe(text, sizeof text);
	return 0;
}

int vault_add_code(struct vault *v, const char *code)
{
	CLEANUP(invite_secret_freep) struct invite_secret *s = NULL;
	CLEANUP(invite_keys_release) struct invite_keys k = { .ed = NULL };
	char bare[NEEDLE_MAX + 1] = "";
	size_t n = 0;

	int err = invite_secret_parse(code, &s);
	if (err == 0)
		err = invite_derive(s, &k);
	if (err < 0)
		return err;
	for (const char *c = code; *c && n < NEEDLE_MAX; c++)
		if (*c != '-')
			bare[n++] = *c;
	needles_add(v->needles, "code", bare, n);
	needles_add(v->needles, "code", code, strlen(code));
	add_key(v, "invite Ed25519 key", secret_bytes(k.ed).p);
	add_key(v, "invite X25519 key", secret_key(k.x));
	add_key(v, "invite bundle key", secret_key(k.bundle));
	return 0;
}

/* ---- what was seen ---- */

static int compare_chunks(const void *a, const void *b)
{
	const struct seen_chunk *x = a, *y = b;

	return memcmp(x->c.id.b, y->c.id.b, sizeof x->c.id.b);
}

static bool open_as_index(struct vault *v, size_t i, const struct seen_chunk *seen)
{
	FREE_AFTER struct slice *slices = NULL;
	struct piece_of p = v->pieces[i];
	size_t n;

	if (open_index(&p.space, &p.s, secret_key(find_space(v, &p.space)->hash_key), seen->blob, &slices, &n) < 0)
		return false;
	if (!p.followed)
		take_slices(v, &p.space, slices, n, p.depth - 1);
	v->pieces[i].followed = true;
	secret_wipe(slices, n * sizeof *slices);
	return true;
}

static bool open_seen(struct vault *v, size_t i, const struct seen_chunk *seen)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	const struct piece_of p = v->pieces[i];

	add_aead_key(v, "chunk cipher key", CHUNK_LABEL, p.s.key, seen->c.sealed);
	if (p.depth > 0)
		return open_as_index(v, i, seen);
	return open_chunk(&p.space, &p.s, secret_key(find_space(v, &p.space)->hash_key), seen->blob, &plain) == 0;
}

void vault_finish(struct vault *v, struct vault_count *ret)
{
	if (v->n_chunks > 0)
		qsort(v->chunks, v->n_chunks, sizeof *v->chunks, compare_chunks);
	for (size_t i = 0; i < v->n_pieces; i++) { /* the list grows meanwhile */
		size_t low = 0, high = v->n_chunks;

		while (low < high) {
			size_t mid = low + (high - low) / 2;

			if (memcmp(v->chunks[mid].c.id.b, v->pieces[i].s.chunk.b, sizeof v->pieces[i].s.chunk.b) < 0)
				low = mid + 1;
			else
				high = mid;
		}
		for (; low < v->n_chunks && id16_equal(&v->chunks[low].c.id, &v->pieces[i].s.chunk); low++)
			v->count.chunks_opened += open_seen(v, i, &v->chunks[low]);
		v->count.index_chunks += v->pieces[i].depth > 0 && v->pieces[i].followed;
	}
	v->count.chunks_closed += v->n_chunks - v->count.chunks_opened;
	*ret = v->count;
}
