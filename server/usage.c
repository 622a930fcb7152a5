/* SPDX-License-Identifier: Apache-2.0 */
#include "server/usage.h"

#include "server/relay.h"

int usage_read(struct relay *relay, struct depot *store, uint64_t space, struct usage *ret_u)
{
	const int64_t now = relay->env->mono_ns(relay->env->ctx);
	struct usage u = { .quota = relay_config(relay)->storage.space_bytes };
	uint64_t of_owner;
	int err = depot_space_bytes(store, space, &u.used, &of_owner);

	if (err < 0)
		return err;
	u.counted = history_known(&relay->history, space, now, &u.history);
	if (u.history > u.used) /* it was counted a while ago */
		u.history = u.used;
	*ret_u = u;
	return OK;
}

size_t usage_pairs(const struct usage *u)
{
	return 1u + (u->counted ? 1 : 0) + (u->quota ? 1 : 0);
}

void usage_put(struct cbor_enc *e, const struct usage *u)
{
	cbor_put_text(e, "used");
	cbor_put_uint(e, u->used);
	if (u->counted) {
		cbor_put_text(e, "history");
		cbor_put_uint(e, u->history);
	}
	if (u->quota) {
		cbor_put_text(e, "quota");
		cbor_put_uint(e, u->quota);
	}
}
