/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store without FUSE, in a private directory of TMPDIR: one row "store NAME VALUE UNIT" each. Argument: number of files
 * (20,000).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "cache/store.h"
#include "crypto/hash.h"

enum { BIG_MIB = 256, RANDOM = 20000 };

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int err, const char *what)
{
	if (err >= 0)
		return;
	fprintf(stderr, "bench_store: %s: %s\n", what, err_str(err));
	exit(1);
}

static void per_op(const char *name, double start, int n)
{
	printf("store %s %.2f us\n", name, (now_us() - start) / n);
}

static void rate(const char *name, double start)
{
	printf("store %s %.0f MiB/s\n", name, BIG_MIB / ((now_us() - start) / 1e6));
}

static uint64_t make_space(struct store *s)
{
	struct store_txn *t;
	struct space_row row = { .name = "bench" };
	must(store_begin(s, &t), "begin");
	must(txn_space_add(t, &row), "add a space");
	must(store_commit(&t), "commit");
	return row.root_ino;
}

static uint8_t data[1 << 20];

static void small_files(struct store *s, uint64_t root, int files)
{
	struct node_new new = { .kind = NODE_FILE, .mode = 0644 };
	struct node n;
	char name[32];
	uint64_t first = 0, chunk;
	size_t got;
	double t = now_us();
	for (int i = 0; i < files; i++) {
		snprintf(name, sizeof name, "file-%d", i);
		must(store_create(s, root, bytes_str(name), &new, &n), "create");
		first = i == 0 ? n.ino : first;
	}
	per_op("create", t, files);
	t = now_us();
	for (int i = 0; i < files; i++)
		must(store_write(s, first + (uint64_t)i, 0, data, 4096), "write");
	per_op("write_4k", t, files);
	t = now_us();
	for (int i = 0; i < files; i++) {
		snprintf(name, sizeof name, "file-%d", i);
		must(store_lookup(s, root, bytes_str(name), &n), "look up");
	}
	per_op("lookup", t, files);
	t = now_us();
	for (int i = 0; i < files; i++)
		must(store_getattr(s, first + (uint64_t)i, &n), "getattr");
	per_op("getattr", t, files);
	t = now_us();
	for (int i = 0; i < files; i++)
		must(store_read(s, first + (uint64_t)i, 0, data, 4096, &got, &chunk), "read");
	per_op("read_4k", t, files);
}

static void big_file(struct store *s, uint64_t root)
{
	struct node_new new = { .kind = NODE_FILE, .mode = 0644 };
	struct node n;
	uint64_t chunk;
	size_t got;
	must(store_create(s, root, bytes_str("big"), &new, &n), "create");
	double t = now_us();
	for (uint64_t i = 0; i < BIG_MIB; i++)
		must(store_write(s, n.ino, i << 20, data, 1 << 20), "write");
	rate("write_1m", t);
	t = now_us();
	for (uint64_t i = 0; i < BIG_MIB * 8; i++)
		must(store_read(s, n.ino, i << 17, data, 1 << 17, &got, &chunk), "read");
	rate("read_128k", t);
	t = now_us();
	for (uint64_t i = 0; i < RANDOM; i++)
		must(store_write(s, n.ino, (i * 7919 % (BIG_MIB * 256)) << 12, data, 4096), "write");
	per_op("random_write_4k", t, RANDOM);
	t = now_us();
	for (uint64_t i = 0; i < RANDOM; i++)
		must(store_read(s, n.ino, (i * 104729 % (BIG_MIB * 256)) << 12, data, 4096, &got, &chunk), "read");
	per_op("random_read_4k", t, RANDOM);
	must(store_create(s, root, bytes_str("log"), &new, &n), "create");
	t = now_us();
	for (uint64_t i = 0; i < RANDOM; i++)
		must(store_write(s, n.ino, i * 100, data, 100), "write");
	per_op("append_100", t, RANDOM);
}

static void ending(struct store *s, uint64_t root, int files)
{
	char name[32];
	uint64_t ino;
	double t = now_us();
	for (int i = 0; i < files; i++) {
		snprintf(name, sizeof name, "file-%d", i);
		must(store_unlink(s, root, bytes_str(name), false, &ino), "unlink");
	}
	per_op("unlink", t, files);
	t = now_us();
	must(store_sync(s), "sync");
	per_op("sync", t, 1);
	t = now_us();
	store_close(s);
	per_op("close", t, 1);
}

int main(int argc, char **argv)
{
	static const uint8_t key[32] = { 1 };
	char dir[256], command[300];
	int files = argc > 1 ? atoi(argv[1]) : 20000;
	const char *tmp = getenv("TMPDIR");
	snprintf(dir, sizeof dir, "%.200s/bench_store-XXXXXX", tmp ? tmp : "/tmp");
	if (files < 1 || !mkdtemp(dir))
		return 1;
	struct store_config config = {
		.env = env_system(), .key = key, .dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
	};
	struct store *s;
	must(crypto_init(), "start libsodium");
	must(store_open(&config, &s), "open");
	uint64_t root = make_space(s);
	small_files(s, root, files);
	big_file(s, root);
	ending(s, root, files);
	double t = now_us();
	must(store_open(&config, &s), "open again");
	per_op("open", t, 1);
	store_close(s);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command) == 0 ? 0 : 1;
}
