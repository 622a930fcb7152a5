/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_people: what people do at random on the devices of sim_world.h, and whether all of it is there afterwards: each
 * text they write has a token of its own, which must be found in every tree unless somebody who saw it overwrote or
 * removed it.
 */
#ifndef COFFER_TESTS_LIB_SIM_PEOPLE_H
#define COFFER_TESTS_LIB_SIM_PEOPLE_H

#include "tests/lib/sim_world.h"

struct sim_listing {
	struct sim_shown {
		uint64_t ino;
		enum node_kind kind;
		char name[NODE_MAX_NAME + 1];
	} e[64];
	size_t n;
};
void sim_list(const struct sim_device *d, uint64_t dir, struct sim_listing *l);
/* The beginning of a file, where the tokens are; what only the relay has is brought. */
void sim_read_text(const struct sim_device *d, uint64_t ino, char text[4096]);

void sim_act(struct sim_device *d); /* one thing, possible or not */
/* All devices show one tree, have no alarm, and no token is lost. */
void sim_compare(uint64_t seed);
/* After a wait that ended with 0: the others, without this device, have what it had written. */
void sim_check_promise(struct sim_device *d);

#endif
