/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_scene: a relay without its network on which Alice is admin of one space and Bob writes to it, both by UCANs of
 * the plain protocol; the maps that its methods take, and its commonest calls. Everything asserts.
 *
 *	cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)     // *state is a struct scene
 *	params_begin(&p, 2); params_text(&p, "space", SCENE_SPACE); params_uint(&p, "since", 0);
 *	struct answer a = scene_call(x, x->a, "pull", &p);                     // encodes; frees what p holds
 */
#ifndef COFFER_TESTS_LIB_PLAIN_SCENE_H
#define COFFER_TESTS_LIB_PLAIN_SCENE_H

#include "tests/lib/params.h"
#include "tests/lib/plain_party.h"
#include "tests/lib/relay_bench.h"

#define SCENE_SPACE "5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d"
#define SCENE_R1 "019400e8-7b5d-7000-8000-000000000001" /* ids of records */
#define SCENE_R2 "019400e8-7b5d-7000-8000-000000000002"

struct scene {
	struct relay_bench r;
	struct plain_party root, alice, bob;
	struct caller *a, *b;
	struct id16 space;
	char *ua, *ub; /* admin, writer */
	char personal[ID16_TEXT_SIZE]; /* Alice's own space */
};

int scene_setup(void **state);
int scene_teardown(void **state);

/* Answers are released with answer_release(). ucan NULL: undefined. */
struct answer scene_call(struct scene *x, struct caller *c, const char *method, struct params *p);
/* One change; blob NULL: a tombstone; epoch negative: without a key. */
struct answer scene_push(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	const char *blob, uint64_t expected, int epoch);
void scene_push_ok(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	const char *blob, uint64_t expected, uint64_t cursor);
void scene_push_refused(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	uint64_t expected, const char *why);
struct answer scene_pull(struct scene *x, struct caller *c, const char *space, const char *ucan, uint64_t since);
/* A method whose params are the space, a UCAN and one number. */
struct answer scene_ask(
	struct scene *x, struct caller *c, const char *method, const char *ucan, const char *key, uint64_t v);

/* These release the answer. message NULL: any. */
void scene_refused(struct answer a, const char *code, const char *message);
void scene_not_refused(struct answer a);
void scene_expect_bytes(const struct message *m, const char *hex);

#endif
