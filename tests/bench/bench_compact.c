/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of a file overwritten at random while the housekeeping compacts beside: one row "compact NAME VALUE UNIT" each. Arguments: MiB
 * of the file (128), how often everything is overwritten (3).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "cache/store.h"
#include "crypto/hash.h"

enum { BLOCK = 4096, TURNS_MOST = 120 };

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
	fprintf(stderr, "bench_compact: %s: %s\n", what, err_str(err));
	exit(1);
}

static uint64_t make_file(struct store *s)
{
	struct store_txn *t;
	struct space_row row = { .name = "bench" };
	struct node_new new = { .kind = NODE_FILE, .mode = 0644 };
	struct node n;
	must(store_begin(s, &t), "begin");
	must(txn_space_add(t, &row), "add a space");
	must(store_commit(&t), "commit");
	must(store_create(s, row.root_ino, bytes_str("file"), &new, &n), "create");
	return n.ino;
}

static double ratio(struct store *s)
{
	struct store_stat st;
	must(store_stat(s, &st), "stat");
	return (double)st.segment_bytes / (double)st.live_bytes;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void overwrite(struct store *s, uint64_t ino, uint64_t blocks, uint64_t writes)
{
	static uint8_t data[BLOCK];
	double *us = malloc(writes * sizeof *us), most = 0, start = now_us();
	uint64_t x = 1;
	must(us ? 0 : ERR_NOMEM, "memory");
	for (uint64_t i = 0; i < writes; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		double t = now_us();
		must(store_write(s, ino, (x >> 33) % blocks * BLOCK, data, sizeof data), "write");
		us[i] = now_us() - t;
		if (i % 10000 == 0)
			most = ratio(s) > most ? ratio(s) : most;
	}
	printf("compact write_4k %.2f us\n", (now_us() - start) / (double)writes);
	qsort(us, writes, sizeof *us, by_value);
	printf("compact write_4k_p999 %.0f us\ncompact write_4k_longest %.0f us\ncompact size_while_writing %.2f x\n",
		us[writes - writes / 1000 - 1], us[writes - 1], most);
	free(us);
}

int main(int argc, char **argv)
{
	static const uint8_t key[32] = { 1 };
	static uint8_t data[1 << 20];
	char dir[256], command[300];
	uint64_t mib = argc > 1 ? (uint64_t)atol(argv[1]) : 128, rounds = argc > 2 ? (uint64_t)atol(argv[2]) : 3;
	const char *tmp = getenv("TMPDIR");
	snprintf(dir, sizeof dir, "%.200s/bench_compact-XXXXXX", tmp ? tmp : "/tmp");
	if (mib < 1 || rounds < 1 || !mkdtemp(dir))
		return 1;
	struct store_config config = {
		.env = env_system(), .key = key, .dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
	};
	struct store *s;
	must(crypto_init(), "start libsodium");
	must(store_open(&config, &s), "open");
	uint64_t ino = make_file(s), blocks = mib * 256;
	for (uint64_t i = 0; i < mib; i++)
		must(store_write(s, ino, i << 20, data, sizeof data), "write");
	overwrite(s, ino, blocks, blocks * rounds);
	double start = now_us(), last = ratio(s);
	for (int i = 0; i < TURNS_MOST && last > 1.3; i++) {
		sleep(1);
		last = ratio(s);
	}
	printf("compact size_at_rest %.2f x\ncompact rest_after %.0f s\n", last, (now_us() - start) / 1e6);
	store_close(s);
	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command) == 0 ? 0 : 1;
}
