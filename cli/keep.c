/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/keep.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"
#include "cli/print.h"
#include "wire/cbor.h"

int keep_paths(const struct context *ctx, const char *verb, const uint64_t *limit, int n, char **paths)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT(1u << 20);
	CLEANUP(map_release) struct map args = MAP_INIT;
	struct cbor_enc e = cbor_enc_init(&list);

	cbor_put_array(&e, (size_t)n);
	for (int i = 0; i < n; i++) {
		FREE_AFTER char *path = home_resolved(paths[i]);
		if (!path)
			return agent_fail(EX_OSERR, "out of memory", "");
		cbor_put_bytes(&e, path, strlen(path));
	}
	if (cbor_enc_end(&e) < 0)
		return agent_fail(EX_DATAERR, "too many paths", "name a folder, or call several times");
	map_raw(&args, "paths", buf_bytes(&list));
	if (limit)
		map_uint(&args, "limit", *limit);
	return agent_do(ctx, verb, &args, true);
}
