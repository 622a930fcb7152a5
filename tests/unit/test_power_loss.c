/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power goes after any write, sync or change of a name: what comes back is a prefix of what happened, has all that was synced, is
 * whole, and goes on.
 *
 * The same work is done twice. The first time tells what the store shows after each step; the second time the process forks at the
 * cuts, and the child loses its disk's unsynced writes: all of them, none (which is kill -9), or some, torn at sectors, in any order.
 *
 *	POWER_LOSS=all build/tests/test_power_loss       // every cut in every way, several seeds (SEEDS): some minutes
 *	POWER_LOSS=SEED,CUT,HOW build/tests/test_power_loss  // one, in this process: for a debugger
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "cache/txn.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

enum { STEPS = 400, NAMES = 4, DATA = 60000, AFTER = 12, WAYS = 5 };

struct run {
	struct store_fixture *f;
	struct id32 state[STEPS + 1];
	size_t n, synced; /* states so far; the newest that must survive */
	bool known;       /* the states are of the first time */
	uint64_t seed, random, dir;
	unsigned long cut, every,
		only; /* writing calls so far; forks after each so many of them; only: at this one, without a fork */
	int only_how;
	uint8_t data[DATA];
};

/* ---- the work ---- */

static size_t below(struct run *r, size_t n)
{
	return (size_t)(unit_random(&r->random) % n);
}

static uint64_t some_dir(struct run *r)
{
	return below(r, 3) ? r->f->root : r->dir;
}

static struct bytes some_name(struct run *r, char name[8])
{
	snprintf(name, 8, "n%zu", below(r, NAMES));
	return bytes_str(name);
}

static int some_node(struct run *r, struct node *n)
{
	char name[8];
	uint64_t dir = some_dir(r);
	return store_lookup(r->f->store, dir, some_name(r, name), n);
}

static struct bytes some_data(struct run *r)
{
	size_t len = 1 + below(r, below(r, 4) ? 3000 : DATA);
	return bytes_of(r->data + below(r, DATA - len + 1), len);
}

static int do_create(struct run *r)
{
	static const enum node_kind kinds[] = { NODE_FILE, NODE_FILE, NODE_FILE, NODE_FILE, NODE_DIR, NODE_SYMLINK };
	struct node_new new = { .kind = kinds[below(r, 6)], .mode = 0644, .target = bytes_str("elsewhere") };
	char name[8];
	struct node n;
	uint64_t dir = some_dir(r);
	return store_create(r->f->store, dir, some_name(r, name), &new, &n);
}

static int do_unlink(struct run *r)
{
	char name[8];
	uint64_t ino, dir = some_dir(r);
	some_name(r, name);
	return store_unlink(r->f->store, dir, bytes_str(name), below(r, 4) == 0, &ino);
}

static int do_rename(struct run *r)
{
	static const unsigned flags[] = { 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	char a[8], b[8];
	uint64_t ino, from = some_dir(r), to = some_dir(r);
	some_name(r, a);
	some_name(r, b);
	return store_rename(r->f->store, from, bytes_str(a), to, bytes_str(b), flags[below(r, 4)], &ino);
}

static int do_link(struct run *r)
{
	char name[8];
	struct node n;
	int err = some_node(r, &n);
	uint64_t dir = some_dir(r);
	return err < 0 ? err : store_link(r->f->store, n.ino, dir, some_name(r, name), &n);
}

static int do_write(struct run *r)
{
	struct node n;
	struct bytes data = some_data(r);
	uint64_t off = below(r, 50000);
	int err = some_node(r, &n);
	return err < 0 ? err : store_write(r->f->store, n.ino, off, data.p, data.len);
}

static int do_setattr(struct run *r)
{
	struct node n,
		attr = { .size = below(r, 60000), .mode = (uint32_t)below(r, 01000), .mtime = (int64_t)below(r, 1000) };
	unsigned masks[] = { ATTR_SIZE, ATTR_MODE, ATTR_MTIME | ATTR_ATIME };
	unsigned mask = masks[below(r, 3)];
	int err = some_node(r, &n);
	return err < 0 ? err : store_setattr(r->f->store, n.ino, mask, &attr, &n);
}

static int do_xattr(struct run *r)
{
	struct node n;
	struct bytes data = bytes_of(r->data, below(r, 400));
	const char *name = below(r, 2) ? "user.one" : "user.two";
	bool set = below(r, 3) != 0;
	int err = some_node(r, &n);
	if (err < 0)
		return err;
	return set ? store_setxattr(r->f->store, n.ino, name, data, 0) : store_removexattr(r->f->store, n.ino, name);
}

static int do_copy(struct run *r)
{
	struct node a, b;
	uint64_t len, from = below(r, 20000), to = below(r, 20000);
	int err = some_node(r, &a);
	int err2 = some_node(r, &b);
	return err < 0 ? err : err2 < 0 ? err2 : store_copy_range(r->f->store, a.ino, from, b.ino, to, 30000, &len);
}

static int do_fallocate(struct run *r)
{
	static const int modes[] = { 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE };
	struct node n;
	int mode = modes[below(r, 5)];
	uint64_t off = below(r, 10) * 512, len = 512 * (1 + below(r, 10));
	int err = some_node(r, &n);
	return err < 0 ? err : store_fallocate(r->f->store, n.ino, mode, off, len);
}

/* What sync does with a changed file: its bytes become a chunk, its record waits to be sent. */
static int seal(struct run *r, struct store_txn *t, const struct node *n, const struct extent *e, size_t count)
{
	struct chunk_row c = { .space = r->f->space, .len = (uint32_t)n->size };
	store_random(r->f->store, c.id.b, sizeof c.id.b);
	struct outbox_row row = {
		.space = r->f->space, .ino = n->ino, .id = n->id, .hash = { { (uint8_t)r->n } }, .change = n->change
	};
	for (size_t i = 0; i < count; i++)
		if (e[i].chunk != 0)
			return ERR_CONFLICT;
	int err = txn_chunk_add(t, &c);
	if (err == 0)
		err = txn_chunk_adopt(t, c.row, n->ino, 0, n->size, e, count);
	if (err == 0)
		err = txn_outbox_add(t, &row, bytes_of(r->data, 300), n->version + 1, &c.row, 1);
	return err < 0 ? err : txn_record_put(t, r->f->space, &n->id, &row.hash, 0, bytes_of(r->data, 300));
}

static int do_seal(struct run *r)
{
	FREE_AFTER struct extent *e = NULL;
	struct store_txn *t;
	struct node n;
	size_t count = 0;
	int err = some_node(r, &n);
	if (err < 0 || n.kind != NODE_FILE || n.change == 0 || n.size == 0)
		return err;
	err = store_begin(r->f->store, &t);
	if (err < 0)
		return err;
	err = txn_extents(t, n.ino, &e, &count);
	if (err == 0)
		err = seal(r, t, &n, e, count);
	if (err == 0)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static int first_row(void *ctx, const struct outbox_row *row, struct bytes blob)
{
	(void)blob;
	*(uint64_t *)ctx = row->row;
	return 0;
}

/* The relay has the oldest record and its chunks. */
static int do_confirm(struct run *r)
{
	FREE_AFTER uint64_t *chunks = NULL;
	struct store_txn *t;
	uint64_t row = 0;
	size_t n = 0;
	int err = store_begin(r->f->store, &t);
	if (err < 0)
		return err;
	err = txn_outbox_each(t, r->f->space, 0, first_row, &row);
	if (err == 0 && row != 0)
		err = txn_outbox_chunks(t, row, &chunks, &n);
	for (size_t i = 0; err == 0 && i < n; i++)
		err = txn_chunk_confirm(t, chunks[i]);
	if (err == 0 && row != 0)
		err = txn_outbox_del(t, row);
	if (err == 0)
		err = txn_meta_put(t, "cursor", bytes_of(&r->n, sizeof r->n));
	if (err == 0)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static int do_evict(struct run *r)
{
	struct node n;
	uint64_t freed;
	int err = some_node(r, &n);
	return err < 0 ? err : store_evict(r->f->store, n.ino, &freed);
}

static int fill(struct run *r, uint64_t row)
{
	struct store_txn *t;
	struct chunk_row c;
	int err = store_begin(r->f->store, &t);
	if (err < 0)
		return err;
	err = txn_chunk_get(t, row, &c);
	FREE_AFTER uint8_t *p = calloc(1, err == 0 ? c.len : 1);
	if (err == 0) {
		memset(p, (int)row, c.len);
		err = txn_chunk_fill(t, row, bytes_of(p, c.len));
	}
	if (err == 0)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static int do_read(struct run *r)
{
	uint8_t got[512];
	uint64_t chunk;
	struct node n;
	size_t len;
	int err = some_node(r, &n);
	if (err == 0)
		err = store_read(r->f->store, n.ino, 0, got, sizeof got, &len, &chunk);
	return err == ERR_ABSENT ? fill(r, chunk) : err;
}

static int do_pin(struct run *r)
{
	struct node n;
	bool on = below(r, 2);
	int err = some_node(r, &n);
	return err < 0 ? err : store_pin(r->f->store, n.ino, on);
}

static int do_sync(struct run *r)
{
	int err = store_sync(r->f->store);
	assert_int_equal(err, 0);
	r->synced = r->n - 1;
	return err;
}

/* Every third time as on a full disk. */
static int do_tend(struct run *r)
{
	atomic_store(&r->f->store->scarce, below(r, 3) == 0);
	int err = store_tend(r->f->store);
	atomic_store(&r->f->store->scarce, false);
	assert_int_equal(err, 0);
	r->synced = r->n - 1;
	return err;
}

static int (*const work[])(struct run *r) = { do_create, do_create, do_create, do_unlink, do_rename, do_link, do_write,
	do_write, do_write, do_write, do_setattr, do_xattr, do_copy, do_fallocate, do_seal, do_seal, do_confirm,
	do_evict, do_read, do_pin, do_sync, do_tend, do_tend };

static bool ordinary(int err)
{
	switch (err) {
	case 0:
	case ERR_NOT_FOUND:
	case ERR_EXISTS:
	case ERR_IS_DIR:
	case ERR_NOT_DIR:
	case ERR_NOT_EMPTY:
	case ERR_INVALID:
	case ERR_PERMISSION:
	case ERR_NO_DATA:
	case ERR_CONFLICT:
	case ERR_BUSY:
		return true;
	default:
		return false;
	}
}

/* ---- a cut ---- */

static void end_child(struct run *r, const char *what, int err, size_t at)
{
	printf("POWER_LOSS=%llu,%lu,%d: %s (%s, step %zu of %zu, synced %zu)\n", (unsigned long long)r->seed, r->cut,
		r->only_how, what, err_name(err), at, r->n, r->synced);
	fflush(stdout);
	_exit(1);
}

static void damaged(void *ctx, uint64_t ino, int err)
{
	(void)ino;
	*(int *)ctx = err;
}

static int whole(struct run *r)
{
	uint64_t checked;
	int damage = 0, err = store_verify(r->f->store, damaged, &damage, &checked);
	return err < 0 ? err : damage == ERR_CORRUPT ? 0 /* records here are no records */ : damage;
}

static void goes_on(struct run *r)
{
	struct id32 before, after;
	for (int i = 0; i < AFTER; i++) {
		int err = work[below(r, COUNT(work))](r);
		if (!ordinary(err))
			end_child(r, "a call afterwards", err, (size_t)i);
	}
	int err = store_sync(r->f->store);
	if (err == 0)
		err = store_tend(r->f->store);
	if (err == 0)
		err = store_fixture_digest_all(r->f, &before);
	fake_env_crash(r->f->env, FAKE_LOSE_ALL);
	if (err == 0)
		err = store_fixture_open(r->f);
	if (err == 0)
		err = store_fixture_digest_all(r->f, &after);
	if (err < 0 || !id32_equal(&before, &after))
		end_child(r, "a second power cut", err, r->n);
	if (store_was_damaged(r->f->store))
		end_child(r, "a false alarm later", 0, r->n);
}

/* The state must be one of those from the last that was synced to the one after the step that was being done. */
static void lose_power(struct run *r, int how)
{
	struct id32 now;
	size_t at = r->n, first = how == 1 ? r->n - 1 : r->synced;
	r->only_how = how;
	fake_env_after_writing(r->f->env, NULL, NULL);
	fake_env_seed(r->f->env, r->seed * 1000003 + r->cut * 31 + (uint64_t)how);
	fake_env_crash(r->f->env, how == 0 ? FAKE_LOSE_ALL : how == 1 ? FAKE_KEEP_ALL : FAKE_RANDOM);
	int err = store_fixture_open(r->f);
	if (err == 0)
		err = store_fixture_digest_all(r->f, &now);
	if (err < 0)
		end_child(r, "does not open", err, at);
	if (store_was_damaged(r->f->store))
		end_child(r, "a false alarm", 0, at);
	while (at > first && !id32_equal(&now, &r->state[at]))
		at--;
	if (!id32_equal(&now, &r->state[at]))
		end_child(r, "is no prefix", 0, at);
	err = whole(r);
	if (err < 0)
		end_child(r, "damaged bytes", err, at);
	goes_on(r);
}

static void fork_and_lose(struct run *r, int how)
{
	int status = 0;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		lose_power(r, how);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Of the ways all if every cut is made, else one after the other. */
static void after_writing(void *ctx)
{
	struct run *r = ctx;
	r->cut++;
	if (r->only != 0) {
		if (r->cut == r->only) {
			lose_power(r, r->only_how);
			_exit(0);
		}
		return;
	}
	if (r->cut % r->every != r->seed % r->every)
		return;
	for (int how = 0; how < WAYS; how++)
		if (r->every == 1 || (r->cut / r->every) % WAYS == (unsigned long)how)
			fork_and_lose(r, how);
}

/* ---- both times ---- */

static void note_state(struct run *r)
{
	struct id32 now;
	int err = store_fixture_digest_all(r->f, &now);
	assert_int_equal(err, 0);
	if (r->known)
		assert_true(id32_equal(&now, &r->state[r->n]));
	r->state[r->n++] = now;
}

static void do_work(struct run *r)
{
	r->random = r->seed;
	r->f = store_fixture_new(2 * r->seed + 1); /* odd: small segments */
	r->dir = store_fixture_make(r->f, r->f->root, "dir", NODE_DIR);
	r->n = r->synced = 0;
	note_state(r);
	assert_int_equal(store_tend(r->f->store), 0);
	if (r->known)
		fake_env_after_writing(r->f->env, after_writing, r);
	for (int i = 0; i < STEPS; i++) {
		int err = work[below(r, COUNT(work))](r);
		assert_true(ordinary(err));
		note_state(r);
	}
	fake_env_after_writing(r->f->env, NULL, NULL);
	store_fixture_free(r->f);
}

static unsigned long cut_all(uint64_t seed, unsigned long every, unsigned long only, int how)
{
	struct run *r = calloc(1, sizeof *r);
	assert_non_null(r);
	r->seed = r->random = seed;
	r->every = every;
	r->only = only;
	r->only_how = how;
	for (size_t i = 0; i < sizeof r->data; i++)
		r->data[i] = (uint8_t)unit_random(&r->random);
	do_work(r);
	r->known = true;
	do_work(r);
	unsigned long cuts = r->cut;
	free(r);
	return cuts;
}

static void what_survives_any_cut_is_a_prefix_with_all_that_was_synced(void **state)
{
	const char *wish = getenv("POWER_LOSS");
	bool all = wish && strcmp(wish, "all") == 0;
	unsigned long long seed = 0;
	unsigned long cut = 0;
	int how = 0;
	(void)state;
	if (wish && sscanf(wish, "%llu,%lu,%d", &seed, &cut, &how) == 3) {
		cut_all(seed, 1, cut, how);
		return;
	}
	unsigned long every = all ? 1 : getenv("UNDER_VALGRIND") ? 97 : 7;
	const char *seeds = getenv("SEEDS");
	for (seed = 1; seed <= (all ? (seeds ? strtoull(seeds, NULL, 10) : 6) : 2); seed++) {
		unsigned long cuts = cut_all(seed, every, 0, 0);
		printf("seed %llu: %lu cuts\n", seed, cuts);
		assert_true(cuts > 300);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
		what_survives_any_cut_is_a_prefix_with_all_that_was_synced) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
