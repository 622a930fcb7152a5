/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/sync_usage.h"

#include "base/cleanup.h"
#include "wire/map.h"

static void on_usage(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct sync_space *ss = ctx;
	uint64_t used = map_get_uint(item, "used", UINT64_MAX), history = map_get_uint(item, "history", UINT64_MAX);

	(void)code;
	ss->usage.call = 0;
	if (err < 0 || used == UINT64_MAX)
		return;
	ss->usage.told = (struct relay_usage){ .known = true,
		.used = used,
		.quota = map_get_uint(item, "quota", 0),
		.counted = history <= used,
		.history = history <= used ? history : 0 };
}

static void ask(struct sync_space *ss)
{
	CLEANUP(map_release) struct map m = MAP_INIT;
	CLEANUP(buf_release) struct buf b = BUF_INIT(256);
	struct peer_answer a = { .ctx = ss, .result = on_usage };

	map_uuid(&m, "space", &ss->space->row.id);
	if (map_put(&m, &b) < 0 || peer_call(ss->peer->peer, "coffer.usage", buf_bytes(&b), &a, &ss->usage.call) < 0)
		ss->usage.call = 0; /* in a minute */
}

void sync_usage_step(struct sync_space *ss, int64_t now)
{
	if (ss->alarm != ERR_RELAY_FULL) {
		ss->usage.told = (struct relay_usage){ .known = false };
		return;
	}
	if (ss->usage.call || now < ss->usage.at)
		return;
	ss->usage.at = now + USAGE_EVERY;
	ask(ss);
}

void sync_usage_reset(struct sync_space *ss)
{
	if (ss->usage.call)
		peer_cancel(ss->peer->peer, ss->usage.call);
	ss->usage.call = 0;
	ss->usage.at = 0;
}
