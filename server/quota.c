/* SPDX-License-Identifier: Apache-2.0 */
#include "server/quota.h"

#include <sys/statvfs.h>
#include "server/depot_plain.h"
#include "server/relay.h"

#define LOOK_NS 1000000000ll
#define RESERVE_PART 20 /* the reserve is never more than this part of the disk */

/* The disk's free bytes, UINT64_MAX if it does not say (a write will tell), and how many of them are to stay. */
static uint64_t ask_disk(const struct relay *r, uint64_t *ret_reserve)
{
	const struct config *c = relay_config(r);
	struct statvfs v;
	uint64_t whole;

	*ret_reserve = 0;
	if (statvfs(c->storage.data, &v) < 0)
		return UINT64_MAX;
	whole = (uint64_t)v.f_blocks * v.f_frsize;
	*ret_reserve =
		c->storage.reserve_bytes < whole / RESERVE_PART ? c->storage.reserve_bytes : whole / RESERVE_PART;
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* Asks the disk alone, now; nobody may use the reserve. */
static int check_disk(const struct relay *r, uint64_t bytes)
{
	uint64_t reserve, available = ask_disk(r, &reserve);

	return available < bytes || available - bytes < reserve ? ERR_NO_SPACE : OK;
}

static void look(struct quota *q, const struct relay *r)
{
	int64_t now = r->env->mono_ns(r->env->ctx);

	if (q->looked_at && now - q->looked_at < LOOK_NS)
		return;
	q->looked_at = now;
	q->available = ask_disk(r, &q->reserve);
}

enum { SMALL_PART = 16, REVOCATION_PART = 8 }; /* by which part of it a quota may be passed */

static unsigned part_of(uint64_t more)
{
	return more > QUOTA_SMALL_REQUEST ? 0 : SMALL_PART;
}

static bool is_over(uint64_t all, uint64_t limit, unsigned part)
{
	return limit && all > limit + (part ? limit / part : 0);
}

static int check_quotas(const struct relay *r, struct depot *store, uint64_t space, uint64_t bytes)
{
	const struct config *c = relay_config(r);
	uint64_t of_space, of_owner;
	int err;

	if (!space || (!c->storage.space_bytes && !c->storage.person_bytes))
		return OK;
	if ((err = depot_space_bytes(store, space, &of_space, &of_owner)) < 0)
		return err;
	if (is_over(of_space + bytes, c->storage.space_bytes, part_of(bytes)) ||
		is_over(of_owner + bytes, c->storage.person_bytes, part_of(bytes)))
		return ERR_NO_SPACE;
	return OK;
}

int quota_check_early(const struct relay *r, struct depot *store, uint64_t space, uint64_t bytes)
{
	int err = check_disk(r, bytes);

	return err < 0 ? err : check_quotas(r, store, space, bytes);
}

static int take_disk(struct quota *q, const struct relay *r, uint64_t bytes)
{
	uint64_t keep;

	look(q, r);
	keep = bytes > QUOTA_SMALL_REQUEST ? q->reserve : q->reserve / 2;
	if (q->available < keep + bytes)
		return ERR_NO_SPACE;
	if (q->available != UINT64_MAX)
		q->available -= bytes; /* until the next look */
	return OK;
}

int quota_check(struct quota *q, struct relay *r, uint64_t space, uint64_t bytes)
{
	int err = take_disk(q, r, bytes);

	return err < 0 ? err : check_quotas(r, r->store, space, bytes);
}

static int check_plain_quotas(
	const struct relay *r, struct depot *store, const struct depot_plain *sp, uint64_t bytes, unsigned part)
{
	const struct config *c = relay_config(r);
	uint64_t of_owner = 0;
	int err;

	if (is_over(sp->bytes + bytes, c->storage.space_bytes, part))
		return ERR_NO_SPACE;
	if (!c->storage.person_bytes || id32_equal(&sp->owner, &(struct id32){ 0 }))
		return OK;
	if ((err = depot_plain_bytes(store, &sp->owner, &of_owner)) < 0)
		return err;
	return is_over(of_owner + bytes, c->storage.person_bytes, part) ? ERR_NO_SPACE : OK;
}

int quota_check_plain_early(const struct relay *r, struct depot *store, const struct depot_plain *sp, uint64_t bytes)
{
	int err = check_disk(r, bytes);

	return err < 0 ? err : check_plain_quotas(r, store, sp, bytes, part_of(bytes));
}

int quota_check_plain(struct quota *q, struct relay *r, const struct depot_plain *sp, uint64_t bytes)
{
	int err = take_disk(q, r, bytes);

	return err < 0 ? err : check_plain_quotas(r, r->store, sp, bytes, part_of(bytes));
}

int quota_check_revocation(struct quota *q, struct relay *r, const struct depot_plain *sp)
{
	int err = take_disk(q, r, DEPOT_REVOCATION_BYTES);

	return err < 0 ? err : check_plain_quotas(r, r->store, sp, DEPOT_REVOCATION_BYTES, REVOCATION_PART);
}
