/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_bench: a relay without its network: its store in a private directory, its methods called one by one or in
 * batches, its clock moved by hand. Everything asserts.
 *
 *	struct relay_bench r;
 *	relay_bench_open(&r);
 *	struct answer a = bench_call(&r, caller, "coffer.push", &params);   // params is released
 *	assert_true(answer_ok(&a)); answer_release(&a);
 *	relay_bench_close(&r);
 */
#ifndef COFFER_TESTS_LIB_RELAY_BENCH_H
#define COFFER_TESTS_LIB_RELAY_BENCH_H

#include "server/admission.h"
#include "server/relay.h"
#include "tests/lib/fake_env.h"
#include "tests/lib/sealed.h"
#include "tests/lib/test_database.h"

/* The default config, with its data in `dir` and its rows in `database` (test_database.h). */
struct config *bench_config(const char *dir, const char *database);

struct relay_bench {
	struct fake_env *env;
	char dir[64], database[TEST_DATABASE_SIZE];
	struct relay relay;
	struct depot *reader;
	uint64_t notices; /* seen so far */
	bool beside;      /* another has the directory and the database */
};

void relay_bench_open(struct relay_bench *r);
/* A second relay on the same database and chunk files: PostgreSQL only. */
void relay_bench_open_beside(struct relay_bench *r, const struct relay_bench *first);
/* Closes and opens again on the same directory. */
void relay_bench_restart(struct relay_bench *r);
void relay_bench_close(struct relay_bench *r);

/* Removes objects that were garbage for an hour; how many. */
size_t bench_sweep_garbage(struct relay_bench *r);

struct caller *bench_caller(const struct party *p);

struct answer {
	struct message_list frames;
	struct frame last;       /* views into `message` */
	struct message *message; /* the last: the response */
	size_t chunks;           /* frames before it */
	size_t slices;           /* how often the method ran for it, of reading ones */
	struct message *notice;  /* the last notification for subscribers, or NULL */
};

struct answer bench_call(struct relay_bench *r, struct caller *c, const char *method, struct buf *params);
/* n pushes (or other writes) as one batch. */
void bench_batch(
	struct relay_bench *r, struct caller *c, const char *method, struct buf *params, struct answer *ret, size_t n);
void answer_release(struct answer *a);

bool answer_ok(const struct answer *a);                        /* {ok: true} */
bool answer_refused(const struct answer *a, const char *code); /* {ok: false, error: code} or an error frame with it */
uint64_t answer_uint(const struct answer *a, const char *key);
/* The i-th chunk frame's data; *ret_name its name. */
struct bytes answer_chunk(const struct answer *a, size_t i, struct bytes *ret_name);

/* Appends a space's first entries to the relay. */
void bench_space(struct relay_bench *r, struct caller *c, const struct new_space *s);
/* Appends one entry. */
struct answer bench_append(struct relay_bench *r, struct caller *c, const struct id16 *space, const struct buf *entry);
/* What admission_start says, which only the log shows. */
void bench_setup_code(struct relay_bench *r, char ret_code[ADMISSION_CODE]);

#endif
