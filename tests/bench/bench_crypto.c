/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates of the ciphers and seals. Rows: name, value, unit, separated by tabs; best of several rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/open_chunk.h"
#include "crypto/open_record.h"
#include "crypto/seal.h"
#include "crypto/sign.h"

#define ROUNDS 12
#define MIB ((size_t)1 << 20)
#define UNIT 4096

struct data {
	uint8_t *plain, *sealed, *out;
	struct aead *aead;
	struct id16 space, id;
	struct slice slice;
	struct buf blob;
	struct secret *sign_key;
	struct record_header header;
	struct node_body body;
	struct node_link link;
};

typedef int step_fn(struct data *d, unsigned i);

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds per call, best round. */
static double best(step_fn *step, struct data *d, unsigned calls)
{
	double least = 1e9;

	for (unsigned r = 0; r < ROUNDS; r++) {
		double start = now(), took;

		for (unsigned i = 0; i < calls; i++) {
			int err = step(d, i);

			if (err < 0) {
				(void)fprintf(stderr, "%s\n", err_str(err));
				exit(1);
			}
		}
		took = (now() - start) / calls;
		if (took < least)
			least = took;
	}
	return least;
}

static int seal_units(struct data *d, unsigned i)
{
	return aead_seal_units(
		d->aead, (struct aead_nonce){ i, 0 }, bytes_str("a"), UNIT, bytes_of(d->plain, MIB), d->sealed);
}

static int open_units(struct data *d, unsigned i)
{
	const uint8_t *p = d->sealed;
	int err = 0;

	(void)i;
	for (size_t k = 0; k < MIB / UNIT && err == 0; k++, p += UNIT + AEAD_TAG_SIZE)
		err = aead_open(d->aead, (struct aead_nonce){ 9, k }, bytes_str("a"), bytes_of(p, UNIT), p + UNIT,
			d->out + k * UNIT);
	return err;
}

static int seal_one_chunk(struct data *d, unsigned i)
{
	(void)i;
	buf_clear(&d->blob);
	return seal_chunk(&d->space, d->slice.key, bytes_of(d->plain, MIB), &d->slice, &d->blob);
}

static int open_one_chunk(struct data *d, unsigned i)
{
	struct buf out = BUF_INIT(MIB);
	int err = open_chunk(&d->space, &d->slice, d->slice.key, buf_bytes(&d->blob), &out);

	(void)i;
	buf_release(&out);
	return err;
}

static int seal_one_record(struct data *d, unsigned i)
{
	buf_clear(&d->blob);
	d->header.version = i + 1;
	return seal_record(d->slice.key, &d->header, &d->body, d->sign_key, &d->blob, NULL);
}

static int open_one_record(struct data *d, unsigned i)
{
	struct opened_record o = OPENED_RECORD_INIT;
	int err = open_record(d->slice.key, buf_bytes(&d->blob), &d->space, NULL, &o);

	(void)i;
	if (err == 0)
		opened_record_release(&o);
	return err;
}

static void bench_aead(struct data *d, enum aead_suite suite, const char *name)
{
	static const uint8_t key[AEAD_KEY_SIZE] = { 1 };
	double s;

	if (aead_new(suite, key, &d->aead) < 0)
		exit(1);
	s = best(seal_units, d, 20);
	(void)printf("%s_seal_4k_units\t%.2f\tGB/s\n", name, (double)MIB / s / 1e9);
	if (seal_units(d, 9) < 0)
		exit(1);
	s = best(open_units, d, 20);
	(void)printf("%s_open_4k_units\t%.2f\tGB/s\n", name, (double)MIB / s / 1e9);
	aead_free(d->aead);
}

static void bench_chunk(struct data *d, const char *name)
{
	chunk_hash(d->slice.key, bytes_of(d->plain, MIB), &d->slice.hash);
	d->slice.chunk_len = MIB;
	(void)printf("chunk_seal_%s\t%.2f\tms/MiB\n", name, best(seal_one_chunk, d, 2) * 1e3);
	(void)printf("chunk_open_%s\t%.2f\tms/MiB\n", name, best(open_one_chunk, d, 2) * 1e3);
}

static void bench_record(struct data *d)
{
	if (sign_keypair_new(&d->sign_key, &d->header.author) < 0)
		exit(1);
	d->header.space = d->space;
	d->link = (struct node_link){ .id = { { 1 } }, .name = bytes_str("main.c") };
	d->body = (struct node_body){ .kind = NODE_FILE, .mode = 0644, .links = &d->link, .n_links = 1 };
	(void)printf("record_seal\t%.1f\tus\n", best(seal_one_record, d, 500) * 1e6);
	(void)printf("record_open\t%.1f\tus\n", best(open_one_record, d, 500) * 1e6);
	(void)printf("record_size\t%zu\tbytes\n", d->blob.len);
	secret_free(d->sign_key);
}

int main(void)
{
	struct data d = { .blob = BUF_INIT(CHUNK_MAX_BLOB), .space = { { 1 } } };
	uint64_t seed = 1;

	d.plain = malloc(MIB);
	d.sealed = malloc(aead_units_size(MIB, UNIT));
	d.out = malloc(MIB);
	if (!d.plain || !d.sealed || !d.out || crypto_init() < 0)
		return 1;
	for (size_t i = 0; i < MIB; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		d.plain[i] = (uint8_t)(seed >> 56);
	}
	bench_aead(&d, AEAD_AES256GCM, "aes256gcm");
	bench_aead(&d, AEAD_XCHACHA20, "xchacha20");
	bench_chunk(&d, "random");
	for (size_t i = 0; i < MIB; i++)
		d.plain[i] = (uint8_t) "int main(void)\n{\n\treturn 0;\n}\n"[i % 31 * (i / 4096 % 7 + 1) % 31];
	bench_chunk(&d, "text");
	bench_record(&d);
	buf_release(&d.blob);
	free(d.plain);
	free(d.sealed);
	free(d.out);
	return 0;
}
