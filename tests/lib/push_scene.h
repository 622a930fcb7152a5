/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push_scene: a relay without its network that has one space of Alice's, and Bob, who is not in it. For cmocka:
 *
 *	cmocka_unit_test_setup_teardown(name, push_scene_setup, push_scene_teardown)      // *state: struct push_scene *
 */
#ifndef COFFER_TESTS_LIB_PUSH_SCENE_H
#define COFFER_TESTS_LIB_PUSH_SCENE_H

#include "tests/lib/relay_bench.h"

struct push_scene {
	struct relay_bench r;
	struct party alice, bob;
	struct new_space s;
	struct id16 space;
	struct caller *a, *b;
	uint64_t number; /* of the last push */
};

int push_scene_setup(void **state);
int push_scene_teardown(void **state);

#endif
