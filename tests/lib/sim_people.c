/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/sim_people.h"
#include "base/cleanup.h"
#include "crypto/open_chunk.h"
#include "tests/lib/unit.h"

/* ---- what people do ---- */

static int note_entry(void *ctx, struct bytes name, uint64_t cookie, const struct node *node)
{
	struct sim_listing *l = ctx;

	(void)cookie;
	struct sim_shown *e = &l->e[l->n++];
	e->ino = node->ino;
	e->kind = node->kind;
	memcpy(e->name, name.p, name.len);
	e->name[name.len] = 0;
	return l->n < COUNT(l->e);
}

void sim_list(const struct sim_device *d, uint64_t dir, struct sim_listing *l)
{
	l->n = 0;
	assert_int_equal(store_readdir(d->f->store, dir, 0, note_entry, l), 0);
}

static uint64_t random_dir(const struct sim_device *d)
{
	uint64_t dir = d->root;

	for (uint64_t depth = sim_random(4); depth > 0; depth--) {
		struct sim_listing l;
		uint64_t subs[64];
		size_t n = 0;

		sim_list(d, dir, &l);
		for (size_t i = 0; i < l.n; i++) {
			if (l.e[i].kind == NODE_DIR)
				subs[n++] = l.e[i].ino;
		}
		if (n == 0)
			break;
		dir = subs[sim_random(n)];
	}
	return dir;
}

static struct bytes random_place(const struct sim_device *d, uint64_t *ret_dir, struct sim_listing *l)
{
	static const char *const names[] = { "a", "b.txt", "c", "d" };

	*ret_dir = random_dir(d);
	sim_list(d, *ret_dir, l);
	if (l->n > 0 && sim_random(2) == 0)
		return bytes_str(l->e[sim_random(l->n)].name);
	return bytes_str(names[sim_random(COUNT(names))]);
}

/* Content that is only at the relay, as sync_fetch brings it. */
static void bring(const struct sim_device *d, uint64_t row)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT(CHUNK_MAX_PLAIN);
	struct store_txn *t = NULL;
	struct chunk_row c;

	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(txn_chunk_get(t, row, &c), 0);
	struct slice s = { .len = c.len, .chunk_len = c.len, .chunk = c.id, .hash = c.hash };
	memcpy(s.key, c.key, sizeof s.key);
	assert_int_equal(open_chunk(&d->space->row.id, &s, secret_key(d->space->hash_key),
				 model_relay_chunk(sim.relay, &c.id), &plain),
		0);
	assert_int_equal(txn_chunk_fill(t, row, buf_bytes(&plain)), 0);
	assert_int_equal(store_commit(&t), 0);
}

/* The beginning of a file, where the tokens are, as text. */
void sim_read_text(const struct sim_device *d, uint64_t ino, char text[4096])
{
	uint64_t chunk;
	size_t len = 0;
	int err;

	while ((err = store_read(d->f->store, ino, 0, text, 4095, &len, &chunk)) == ERR_ABSENT)
		bring(d, chunk);
	assert_int_equal(err, 0);
	text[len] = 0;
}

/* Tokens in a file are seen and will not be there any more. */
static void forget_content(const struct sim_device *d, uint64_t ino)
{
	char text[4096];

	sim_read_text(d, ino, text);
	for (char *p = text; (p = strstr(p, "token-")) != NULL; p += 6)
		sim.gone[strtoul(p + 6, NULL, 10) % SIM_TOKENS] = true;
}

static void forget_name(const struct sim_device *d, uint64_t dir, struct bytes name)
{
	struct node n;

	if (store_lookup(d->f->store, dir, name, &n) == 0 && n.kind == NODE_FILE && n.nlink == 1)
		forget_content(d, n.ino);
}

/* A new token at the end of a file; kept false: it need not stay. */
static void append_text(struct sim_device *d, uint64_t ino, bool kept)
{
	static const char zeros[100000];
	char text[3000];
	struct node n;

	assert_true(sim.next_token < SIM_TOKENS);
	assert_int_equal(store_getattr(d->f->store, ino, &n), 0);
	sim.gone[sim.next_token] = !kept;
	sim.writer[sim.next_token] = d->number;
	int len = snprintf(text, sizeof text, "token-%u %*s\n", sim.next_token++, sim_random(4) ? 1 : 2000, "");
	assert_int_equal(store_write(d->f->store, ino, n.size, text, (size_t)len), 0);
	/* Some are large enough for chunks that go by PUT. */
	if (sim_random(10) == 0)
		assert_int_equal(store_write(d->f->store, ino, n.size + (size_t)len, zeros, sizeof zeros), 0);
}

static void write_file(struct sim_device *d, uint64_t dir, struct bytes name, bool append)
{
	struct node_new fresh = { .kind = NODE_FILE, .mode = 0644, .owner = *identity_person(d->party.id) };
	struct node n, zero = { .size = 0 };
	int err = store_lookup(d->f->store, dir, name, &n);

	if (err == ERR_NOT_FOUND)
		err = store_create(d->f->store, dir, name, &fresh, &n);
	if (err < 0 || n.kind != NODE_FILE || (append && n.size > 2000))
		return;
	if (!append) {
		forget_content(d, n.ino);
		assert_int_equal(store_setattr(d->f->store, n.ino, ATTR_SIZE, &zero, &n), 0);
	}
	append_text(d, n.ino, true);
}

/* Opens a file, and perhaps takes its name away; writes to an open one, which may have no name any more; or closes it. */
static void act_on_open(struct sim_device *d)
{
	uint64_t *slot = &d->held[sim_random(SIM_HELD)], dir, ino;
	struct sim_listing l;
	struct node n;

	if (*slot == 0) {
		struct bytes name = random_place(d, &dir, &l);

		if (store_lookup(d->f->store, dir, name, &n) < 0 || n.kind != NODE_FILE)
			return;
		*slot = n.ino;
		store_hold_open(d->f->store, n.ino);
		if (sim_random(3) > 0)
			return;
		forget_name(d, dir, name);
		assert_int_equal(store_unlink(d->f->store, dir, name, false, &ino), 0);
	} else if (sim_random(3) == 0) {
		append_text(d, *slot, false);
	} else {
		store_release_open(d->f->store, *slot);
		*slot = 0;
	}
}

void sim_act(struct sim_device *d)
{
	struct store *s = d->f->store;
	struct sim_listing l, l2;
	uint64_t dir, to, ino;
	struct bytes name = random_place(d, &dir, &l), other = random_place(d, &to, &l2);
	struct node_new fresh = { .kind = NODE_DIR, .mode = 0755, .owner = *identity_person(d->party.id) };
	struct node n;
	int err = 0;

	switch (sim_random(14)) {
	case 0:
	case 1:
	case 2:
		write_file(d, dir, name, sim_random(3) == 0);
		break;
	case 3:
	case 4:
		err = store_create(s, dir, name, &fresh, &n);
		break;
	case 5:
	case 6:
		forget_name(d, to, other);
		err = store_rename(s, dir, name, to, other, 0, &ino);
		break;
	case 7:
		forget_name(d, dir, name);
		err = store_unlink(s, dir, name, false, &ino);
		break;
	case 8:
		err = store_unlink(s, dir, name, true, &ino);
		break;
	case 9:
		if (store_lookup(s, dir, name, &n) < 0)
			break;
		if (n.kind == NODE_FILE && sim_random(2)) {
			err = store_link(s, n.ino, to, other, &n);
		} else {
			n.mode = sim_random(2) ? 0600 : 0700;
			err = store_setattr(s, n.ino, ATTR_MODE, &n, &n);
		}
		break;
	case 10:
	case 11:
	case 12:
		act_on_open(d);
		break;
	case 13:
		if (store_lookup(s, dir, name, &n) == 0 && n.kind == NODE_FILE)
			err = store_evict(s, n.ino, &ino);
		break;
	}
	(void)err; /* many of them are not possible; that is part of it */
}

/* ---- comparing ---- */

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct sim_shown *)a)->name, ((const struct sim_shown *)b)->name);
}

/* The tree below dir as text. */
static void describe(const struct sim_device *d, uint64_t dir, unsigned depth, struct buf *out)
{
	struct sim_listing l;

	assert_true(depth < 100);
	sim_list(d, dir, &l);
	qsort(l.e, l.n, sizeof *l.e, compare_entries);
	for (size_t i = 0; i < l.n; i++) {
		struct node n;

		assert_int_equal(store_getattr(d->f->store, l.e[i].ino, &n), 0);
		assert_int_equal(buf_printf(out, "%*s%s kind %d mode %o nlink %u size %u mtime %lld", (int)depth, "",
					 l.e[i].name, n.kind, n.mode, n.kind == NODE_DIR ? 0 : n.nlink,
					 n.kind == NODE_FILE ? (unsigned)n.size : 0,
					 n.kind == NODE_FILE ? (long long)n.mtime : 0),
			0);
		if (n.kind == NODE_FILE) {
			char text[4096];

			sim_read_text(d, n.ino, text);
			for (char *p = text; (p = strstr(p, "token-")) != NULL; p += 6)
				assert_int_equal(buf_printf(out, " token-%lu", strtoul(p + 6, NULL, 10)), 0);
		}
		assert_int_equal(buf_printf(out, "\n"), 0);
		if (n.kind == NODE_DIR)
			describe(d, n.ino, depth + 1, out);
	}
}

/* The tokens before `end`, of one writer or of all, are in the tree `text`, unless somebody destroyed them. */
static void check_tokens(struct buf *text, unsigned end, const struct sim_device *writer)
{
	assert_int_equal(buf_put(text, "\n", 2), 0);
	for (unsigned k = 0; k < end; k++) {
		char token[32];

		if (sim.gone[k] || (writer && sim.writer[k] != writer->number))
			continue;
		snprintf(token, sizeof token, " token-%u\n", k);
		bool there = strstr((char *)text->data, token) != NULL;
		token[strlen(token) - 1] = ' ';
		if (there || strstr((char *)text->data, token))
			continue;
		fprintf(stderr, "%s", (char *)text->data);
		fail_msg("seed %lu: token %u is lost%s", sim.first_seed, k,
			writer ? " though a wait had covered it" : "");
	}
}

void sim_compare(uint64_t seed)
{
	CLEANUP(buf_release) struct buf first = BUF_INIT(4u << 20);

	describe(&sim.d[0], sim.d[0].root, 0, &first);
	for (unsigned i = 1; i < SIM_DEVICES; i++) {
		CLEANUP(buf_release) struct buf other = BUF_INIT(4u << 20);

		describe(&sim.d[i], sim.d[i].root, 0, &other);
		if (!bytes_equal(buf_bytes(&first), buf_bytes(&other))) {
			fprintf(stderr, "--- device 0\n%.*s--- device %u\n%.*s", (int)first.len,
				(const char *)first.data, i, (int)other.len, (const char *)other.data);
			fail_msg("seed %lu: devices 0 and %u differ", seed, i);
		}
		assert_int_equal(sim.d[i].ss->alarm, 0);
	}
	check_tokens(&first, sim.next_token, NULL);
}

/* What a wait answered with 0 is at the relay, whatever becomes of the device: the others, without it, have what it had written. */
void sim_check_promise(struct sim_device *d)
{
	CLEANUP(buf_release) struct buf other = BUF_INIT(4u << 20);
	const struct sim_device *o = &sim.d[(d->number + 1) % SIM_DEVICES];

	sim_go_offline(d);
	sim_come_to_rest(sim.first_seed, d);
	describe(o, o->root, 0, &other);
	check_tokens(&other, d->promised, d);
	sim_go_online(d);
}
