/* SPDX-License-Identifier: Apache-2.0 */
/* coffer status: what waits, what moves, what is wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"
#include "cli/print.h"
#include "wire/cbor.h"

static void print_work(struct bytes s)
{
	uint64_t pending = map_get_uint(s, "pending", 0), outbox = map_get_uint(s, "outbox", 0);
	uint64_t behind = map_get_uint(s, "behind", 0), conflicts = map_get_uint(s, "conflicts", 0);
	uint64_t absent = map_get_uint(s, "absent_bytes", 0);

	if (pending + outbox + behind + absent == 0)
		fputs(map_get_bool(s, "online", false) ? "all synced" : "nothing to send", stdout);
	if (pending + outbox)
		printf("%" PRIu64 " to send (%s queued)", pending + outbox,
			print_size(map_get_uint(s, "outbox_bytes", 0)).s);
	if (behind)
		printf("%s%" PRIu64 " steps to fetch", pending + outbox ? ", " : "", behind);
	if (absent)
		printf("%s%s of what is pinned to fetch", pending + outbox + behind ? ", " : "", print_size(absent).s);
	if (conflicts)
		printf(", %" PRIu64 " conflict%s", conflicts, conflicts == 1 ? "" : "s");
	putchar('\n');
}

/* What a relay without room has said. */
static void print_usage(struct bytes s)
{
	uint64_t used = map_get_uint(s, "relay_used", 0), quota = map_get_uint(s, "relay_quota", 0);
	uint64_t history = map_get_uint(s, "relay_history", UINT64_MAX);

	if (!used)
		return;
	printf("  the relay keeps %s of this space", print_size(used).s);
	if (quota)
		printf(" (%s at most)", print_size(quota).s);
	if (history != UINT64_MAX)
		printf(", %s of it history: what was replaced or deleted, until its time there has passed",
			print_size(history).s);
	putchar('\n');
}

static void print_space(struct bytes s)
{
	struct bytes alarm = map_get_text(s, "alarm"), reason = map_get_text(s, "reason");

	print_clean(map_get_text(s, "name"));
	fputs(": ", stdout);
	print_work(s);
	if (!map_get_bool(s, "online", false)) {
		int64_t since = map_get_int(s, "since", 0);
		if (since)
			printf("  offline since %s", print_ago(since).s);
		else
			fputs("  not connected yet", stdout);
		if (reason.len) {
			fputs(": ", stdout);
			print_clean(reason);
		}
		putchar('\n');
	}
	if (alarm.len) {
		fputs("  ALARM: ", stdout);
		print_clean(alarm);
		putchar('\n');
	}
	print_usage(s);
}

static void print_list(struct bytes result, const char *key, void (*print)(struct bytes item))
{
	struct cbor_dec d = cbor_dec_init_rpc(map_get_item(result, key));
	size_t n = cbor_get_array(&d, 100000);

	for (size_t i = 0; i < n; i++)
		print(cbor_get_raw(&d));
}

static void print_mount(struct bytes m)
{
	fputs("mounted at ", stdout);
	print_clean(map_get_text(m, "dir"));
	putchar('\n');
}

/* They are those of the profile, in every space's row. */
static void print_rates(struct bytes result)
{
	struct cbor_dec d = cbor_dec_init_rpc(map_get_item(result, "spaces"));
	uint64_t up = 0, down = 0;

	for (size_t i = cbor_get_array(&d, 100000); i > 0; i--) {
		struct bytes s = cbor_get_raw(&d);
		up = map_get_uint(s, "up_rate", up);
		down = map_get_uint(s, "down_rate", down);
	}
	if (up)
		printf("up %s%s", print_rate((double)up).s, down ? ", " : "\n");
	if (down)
		printf("down %s\n", print_rate((double)down).s);
}

static void print_housekeeping(struct bytes err)
{
	if (err.len == 0)
		return;
	fputs("  NOT ALL SPACE IS GIVEN BACK: ", stdout);
	print_clean(err);
	puts("; it is tried again each second, `coffer verify` looks for damage");
}

static void print_damage(const struct context *ctx, struct bytes what, bool disk_read_only)
{
	if (what.len == 0)
		return;
	fputs("  DAMAGED: ", stdout);
	print_clean(what);
	fputs("; look at what was changed last, and at the disk", stdout);
	if (disk_read_only) {
		putchar('\n');
		return;
	}
	fputs("; ", stdout);
	print_clean(bytes_str(ctx->home));
	puts("/cache/damaged.txt says more, and ends this when it is deleted");
}

static int print_status(const struct context *ctx, struct bytes result)
{
	if (ctx->json)
		return print_json(result);
	struct bytes state = map_get_text(result, "state");
	if (state.len) { /* of a path */
		print_clean(state);
		putchar('\n');
		return EX_OK;
	}
	if (map_get_bool(result, "locked", false)) {
		puts("locked: `coffer unlock` loads the keys");
		return EX_OK;
	}
	print_list(result, "spaces", print_space);
	print_rates(result);
	print_list(result, "mounts", print_mount);
	printf("cache: %s on disk, %s live\n", print_size(map_get_uint(result, "disk_bytes", 0)).s,
		print_size(map_get_uint(result, "live_bytes", 0)).s);
	bool disk_read_only = map_get_bool(result, "disk_read_only", false);
	if (disk_read_only)
		puts("  READ-ONLY: the disk of the profile is read-only: nothing is changed, sent or fetched; copy out "
		     "what you need, or make it writable again (after errors, check it first) and run `coffer stop`: "
		     "the next command opens it anew");
	else if (map_get_bool(result, "read_only", false))
		puts("  READ-ONLY: a write to the disk failed; after `coffer stop` the next command opens it anew");
	else
		print_housekeeping(map_get_text(result, "housekeeping"));
	print_damage(ctx, map_get_text(result, "damage"), disk_read_only);
	return EX_OK;
}

/* A name of a space, or a path of something that exists. */
static void put_subject(struct map *args, const char *subject)
{
	if (!subject)
		return;
	if (access(subject, F_OK) != 0) {
		map_text(args, "space", subject);
		return;
	}
	FREE_AFTER char *path = home_resolved(subject);
	if (path)
		map_bytes(args, "path", path, strlen(path));
}

static int run(const struct context *ctx, int argc, char **argv)
{
	static const struct option options[] = { { "watch", no_argument, NULL, 'w' }, { 0 } };
	bool watch = false;

	for (int c; (c = verb_option(&verb_status, argc, argv, options)) != -1;) {
		if (c != 'w')
			return EX_USAGE;
		watch = true;
	}
	if (argc - optind > 1)
		return verb_usage(&verb_status);
	for (;;) {
		CLEANUP(map_release) struct map args = MAP_INIT;
		CLEANUP(reply_release) struct reply r = REPLY_INIT;
		put_subject(&args, argv[optind]);
		int code = agent_call_locked(ctx, "status", &args, &r);
		if (code)
			return code;
		const char *term = getenv("TERM");
		if (watch && !ctx->json && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0)
			fputs("\033[H\033[2J", stdout);
		code = print_status(ctx, r.result);
		if (code || !watch)
			return code;
		fflush(stdout);
		nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	}
}

const struct verb verb_status = {
	.name = "status",
	.synopsis = "[SPACE|PATH] [--watch]",
	.summary = "what waits to be sent or fetched, rates, conflicts, offline since when",
	.example = "coffer status --watch",
	.run = run,
};
