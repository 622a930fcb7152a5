/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the relay keeps small chunks: as rows of the database, or as a file each; durable every 50, as pushes come. And how
 * fast record versions go in.
 *
 * Rows: name, tab, number, tab, unit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "server/relay.h"

enum { CHUNKS = 10000, RECORDS = 50000, GROUP = 50, CHUNK_BYTES = 2048, RECORD_BYTES = 500 };

static void must(int err)
{
	if (err < 0) {
		fprintf(stderr, "bench_depot: %s\n", err_str(err));
		exit(1);
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct id16 random_id(const struct relay *r)
{
	struct id16 id;

	r->env->random(r->env->ctx, id.b, sizeof id.b);
	return id;
}

static double rows(struct relay *r, uint64_t space, struct bytes data)
{
	double start = seconds();

	for (int i = 0; i < CHUNKS; i++) {
		struct depot_chunk c = { .id = random_id(r), .size = data.len, .uploaded = 1 };

		if (i % GROUP == 0)
			must(depot_begin(r->store));
		must(depot_chunk_put(r->store, space, &c, data, bytes_of(NULL, 0)));
		if (i % GROUP == GROUP - 1)
			must(depot_commit(r->store));
	}
	return CHUNKS / (seconds() - start);
}

static double files(struct relay *r, struct bytes data)
{
	struct id16 space = random_id(r), ids[GROUP];
	double start = seconds();

	for (int i = 0; i < CHUNKS; i++) {
		ids[i % GROUP] = random_id(r);
		must(blob_put(r->blobs, &space, &ids[i % GROUP], data));
		if (i % GROUP == GROUP - 1)
			must(blob_sync(r->blobs, &space, ids, GROUP));
	}
	return CHUNKS / (seconds() - start);
}

static double records(struct relay *r, uint64_t space, struct bytes data)
{
	struct id32 hash = { { 0 } };
	double start = seconds();

	for (uint64_t i = 0; i < RECORDS; i++) {
		struct depot_version v = { .number = i, .cursor = i / GROUP, .id = random_id(r), .blob = data };

		if (i % GROUP == 0)
			must(depot_begin(r->store));
		must(depot_versions_put(r->store, space, &v, &hash, 1));
		if (i % GROUP == GROUP - 1)
			must(depot_commit(r->store));
	}
	return RECORDS / (seconds() - start);
}

int main(void)
{
	struct depot_space sp = { .id = { { 1 } } };
	char dir[] = "/tmp/bench-depot.XXXXXX", command[64];
	uint8_t data[CHUNK_BYTES];
	struct config_fault fault;
	struct config *c;
	struct relay r;

	must(crypto_init());
	if (!mkdtemp(dir))
		return 1;
	must(config_new(&c));
	must(config_set(c, "storage.data", dir, &fault));
	must(relay_open(&r, env_system(), c));
	r.env->random(r.env->ctx, data, sizeof data);
	must(depot_begin(r.store));
	must(depot_space_create(r.store, &sp));
	must(depot_commit(r.store));
	printf("depot_small_chunks_as_rows\t%.0f\tper s\n", rows(&r, sp.no, bytes_of(data, CHUNK_BYTES)));
	printf("depot_small_chunks_as_files\t%.0f\tper s\n", files(&r, bytes_of(data, CHUNK_BYTES)));
	printf("depot_records\t%.0f\tper s\n", records(&r, sp.no, bytes_of(data, RECORD_BYTES)));
	relay_close(&r);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command) ? 1 : 0;
}
