/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/calm.h"

/* Changes that waited for the end of the pause, or came right after it, are of one burst. A look before its end was for
 * something else's sake. */
void calm_look(struct calm *c, int64_t now)
{
	if (c->span == 0 || now - c->until >= CALM_SHORTEST_NS)
		c->span = CALM_SHORTEST_NS;
	else if (now >= c->until && c->span < CALM_LONGEST_NS)
		c->span *= 2;
	c->until = now + c->span;
}

bool calm_holds(const struct calm *c, int64_t now)
{
	return now < c->until;
}
