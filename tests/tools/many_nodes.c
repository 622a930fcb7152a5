/* SPDX-License-Identifier: Apache-2.0 */
/*
 * many_nodes: fills a store of mount_driver's (the same key and space) with folders of files, each with a little content and a record as
 * synced nodes have one.
 *
 *	many_nodes STORE_DIR NODES [PER_FOLDER [deleted]]
 *
 * deleted: all files are removed again, so that a tombstone of each is left.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "cache/store.h"
#include "crypto/hash.h"

enum { RECORD = 500, CONTENT = 300 };

static const uint8_t key[32] = { 'n', 'o', ' ', 's', 'e', 'c', 'r', 'e', 't' };
static uint8_t noise[RECORD];

static void must(int err, const char *what)
{
	if (err >= 0)
		return;
	fprintf(stderr, "many_nodes: %s: %s\n", what, err_str(err));
	exit(1);
}

static struct space_row make_space(struct store *s)
{
	struct space_row row = { .name = "space", .owner = { { 'P' } } };
	struct store_txn *t;
	must(store_begin(s, &t), "begin");
	must(txn_space_add(t, &row), "space");
	must(store_commit(&t), "commit");
	return row;
}

static struct node make(struct store *s, uint64_t dir, char kind, long number)
{
	struct node_new new = { .kind = kind == 'd' ? NODE_DIR : NODE_FILE, .mode = 0755, .owner = { { 'P' } } };
	struct node n;
	char name[32];
	snprintf(name, sizeof name, "%c%07ld", kind, number);
	must(store_create(s, dir, bytes_str(name), &new, &n), "create");
	if (kind != 'd')
		must(store_write(s, n.ino, 0, noise, CONTENT), "write");
	return n;
}

/* As if it had been sent. */
static void synced(struct store *s, const struct node *n, size_t count)
{
	struct store_txn *t;
	struct id32 hash = { { 7 } };
	must(store_begin(s, &t), "begin");
	for (size_t i = 0; i < count; i++) {
		must(txn_record_put(t, n[i].space, &n[i].id, &hash, 1, bytes_of(noise, RECORD)), "record");
		must(txn_mark_clean(t, n[i].ino), "clean");
	}
	must(store_commit(&t), "commit");
}

/* Others have seen the files; then they go. */
static void delete (struct store *s, const struct node *n, size_t count)
{
	struct store_txn *t;
	must(store_begin(s, &t), "begin");
	for (size_t i = 1; i < count; i++) {
		struct node seen = n[i];
		seen.version = 1;
		must(txn_node_put(t, &seen), "version");
	}
	must(store_commit(&t), "commit");
	for (size_t i = 1; i < count; i++) {
		char name[32];
		uint64_t ino;
		snprintf(name, sizeof name, "f%07zu", i - 1);
		must(store_unlink(s, n[0].ino, bytes_str(name), false, &ino), "unlink");
	}
}

int main(int argc, char **argv)
{
	long nodes = argc > 2 ? atol(argv[2]) : 0, per = argc > 3 ? atol(argv[3]) : 1000, made = 0;
	if (nodes <= 0 || per <= 0) {
		fprintf(stderr, "usage: many_nodes STORE_DIR NODES [PER_FOLDER [deleted]]\n");
		return 64;
	}
	struct store_config config = {
		.env = env_system(), .key = key, .dirfd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC)
	};
	struct store *s;
	struct node *batch = calloc((size_t)per + 1, sizeof *batch);
	must(batch ? crypto_init() : ERR_NOMEM, "start");
	must(store_open(&config, &s), "open");
	config.env->random(config.env->ctx, noise, sizeof noise);
	struct space_row space = make_space(s);
	for (long folder = 0; made < nodes; folder++) {
		size_t n = 0;
		batch[n++] = make(s, space.root_ino, 'd', folder);
		for (long i = 0; i < per && made + (long)n < nodes; i++, n++)
			batch[n] = make(s, batch[0].ino, 'f', i);
		synced(s, batch, n);
		if (argc > 4)
			delete (s, batch, n);
		made += (long)n;
	}
	store_close(s);
	free(batch);
	return 0;
}
