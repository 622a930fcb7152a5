/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/keep.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"
#include "cli/print.h"
#include "wire/cbor.h"

int keep_paths(const struct context *ctx, const char *verb, int argc, char **argv)
{
	CLEANUP(buf_release) struct buf paths = BUF_INIT(1u << 20);
	CLEANUP(map_release) struct map args = MAP_INIT;
	struct cbor_enc e = cbor_enc_init(&paths);

	cbor_put_array(&e, (size_t)argc - 1);
	for (int i = 1; i < argc; i++) {
		FREE_AFTER char *path = home_resolved(argv[i]);
		if (!path)
			return agent_fail(EX_OSERR, "out of memory", "");
		cbor_put_bytes(&e, path, strlen(path));
	}
	if (cbor_enc_end(&e) < 0)
		return agent_fail(EX_DATAERR, "too many paths", "name a folder, or call several times");
	map_raw(&args, "paths", buf_bytes(&paths));
	return agent_do(ctx, verb, &args, true);
}
