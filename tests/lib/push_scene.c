/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/push_scene.h"

#include <stdlib.h>

int push_scene_setup(void **state)
{
	struct push_scene *x = calloc(1, sizeof *x);

	assert_non_null(x);
	relay_bench_open(&x->r);
	party_init(&x->alice, "laptop");
	party_init(&x->bob, "phone");
	party_space(&x->alice, &x->s);
	x->space = *log_space(x->s.log);
	x->a = bench_caller(&x->alice);
	x->b = bench_caller(&x->bob);
	bench_space(&x->r, x->a, &x->s);
	*state = x;
	return 0;
}

int push_scene_teardown(void **state)
{
	struct push_scene *x = *state;

	caller_unref(x->a);
	caller_unref(x->b);
	new_space_release(&x->s);
	party_release(&x->alice);
	party_release(&x->bob);
	relay_bench_close(&x->r);
	free(x);
	return 0;
}
