/* SPDX-License-Identifier: Apache-2.0 */
/* coffer verify: whether everything that is kept here opens. */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"
#include "wire/cbor.h"

enum { PATHS_MAX = 1000, PATH_BYTES = 1 << 16 };

static int print_paths(struct bytes item)
{
	struct cbor_dec d = cbor_dec_init(item);
	size_t n = cbor_get_array(&d, PATHS_MAX);

	for (size_t i = 0; i < n; i++) {
		print_clean(cbor_get_text(&d, PATH_BYTES));
		putchar('\n');
	}
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int run(const struct context *ctx, int argc, char **argv)
{
	CLEANUP(reply_release) struct reply r = REPLY_INIT;

	(void)argv;
	if (argc != 1)
		return verb_usage(&verb_verify);
	int code = agent_call(ctx, "verify", NULL, &r);
	if (code)
		return code;
	unsigned long long damaged = map_get_uint(r.result, "damaged", 0);
	code = ctx->json ? print_json(r.result) : print_paths(map_get_item(r.result, "paths"));
	if (code == 0 && map_get_bool(r.result, "index_damaged", false))
		return agent_fail(EX_DATAERR, "the index of the cache is damaged",
			"copy elsewhere what is here and not sent yet (`coffer status`), then pair a new profile");
	if (code || damaged == 0)
		return code;
	char message[100];
	snprintf(message, sizeof message, "%llu files here are damaged", damaged);
	return agent_fail(
		EX_DATAERR, message, "`coffer evict PATH` drops what the relay has, and it is read from there again");
}

const struct verb verb_verify = {
	.name = "verify",
	.synopsis = "",
	.summary = "open every block and record that is kept here; names the files that are damaged",
	.example = "coffer verify",
	.run = run,
};
