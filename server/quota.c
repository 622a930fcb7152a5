/* SPDX-License-Identifier: Apache-2.0 */
#include "server/quota.h"

#include <sys/statvfs.h>
#include "server/relay.h"

#define LOOK_NS 1000000000ll
#define RESERVE_PART 20 /* the reserve is never more than this part of the disk */

static void look(struct quota *q, struct relay *r)
{
	const struct config *c = relay_config(r);
	int64_t now = r->env->mono_ns(r->env->ctx);
	struct statvfs v;
	uint64_t whole;

	if (q->looked_at && now - q->looked_at < LOOK_NS)
		return;
	q->looked_at = now;
	if (statvfs(c->storage.data, &v) < 0) {
		q->available = UINT64_MAX; /* a write will tell */
		return;
	}
	whole = (uint64_t)v.f_blocks * v.f_frsize;
	q->available = (uint64_t)v.f_bavail * v.f_frsize;
	q->reserve = c->storage.reserve_bytes < whole / RESERVE_PART ? c->storage.reserve_bytes : whole / RESERVE_PART;
}

static bool is_over(uint64_t all, uint64_t limit, uint64_t more)
{
	return limit && all > limit + (more > QUOTA_SMALL_REQUEST ? 0 : limit / 16);
}

int quota_check(struct quota *q, struct relay *r, uint64_t space, uint64_t bytes)
{
	const struct config *c = relay_config(r);
	uint64_t of_space, of_owner, keep;
	int err;

	look(q, r);
	keep = bytes > QUOTA_SMALL_REQUEST ? q->reserve : q->reserve / 2;
	if (q->available < keep + bytes)
		return ERR_NO_SPACE;
	if (q->available != UINT64_MAX)
		q->available -= bytes; /* until the next look */
	if (!space || (!c->storage.space_bytes && !c->storage.person_bytes))
		return OK;
	if ((err = depot_space_bytes(r->store, space, &of_space, &of_owner)) < 0)
		return err;
	if (is_over(of_space + bytes, c->storage.space_bytes, bytes) || is_over(of_owner + bytes, c->storage.person_bytes, bytes))
		return ERR_NO_SPACE;
	return OK;
}
