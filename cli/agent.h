/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent: the connection to the key agent of the profile (coffer-fs), started if it does not run.
 *
 *	CLEANUP(reply_release) struct reply r = REPLY_INIT;
 *	int code = agent_call(ctx, "space.list", NULL, &r);   // has printed the error if code != 0
 *	if (code) return code;
 *	... map_get_text(r.result, "name") ...
 */
#ifndef COFFER_CLI_AGENT_H
#define COFFER_CLI_AGENT_H

#include "base/buf.h"
#include "cli/verb.h"
#include "wire/map.h"

struct reply {
	struct buf memory;
	struct bytes result; /* encoded map; points into memory */
};

#define REPLY_INIT { .memory = BUF_INIT_SECRET(8u << 20), .result = { 0 } }
void reply_release(struct reply *r);

/* Starts the agent if needed, unlocks it if the verb needs keys and it is locked (asks for the passphrase on the
 * terminal), sends the verb and waits. args may be NULL (none); they stay the caller's. Returns a sysexits
 * code; an error has been printed as "coffer: MESSAGE; NEXT". */
int agent_call(const struct context *ctx, const char *verb, struct map *args, struct reply *ret_r);

/* The same without unlocking, for init, lock, stop, status and umount. */
int agent_call_locked(const struct context *ctx, const char *verb, struct map *args, struct reply *ret_r);

/* Starts the agent if needed and unlocks it if it is locked: with the passphrase in the file, if one is named, else as
 * above. */
int agent_unlock(const struct context *ctx, const char *passphrase_file);

/* For verbs that have nothing to say but with --json: as agent_call, or as agent_call_locked if the verb needs no
 * `keys`. */
int agent_do(const struct context *ctx, const char *verb, struct map *args, bool keys);

/* 1 if an agent runs for the profile. */
int agent_runs(const struct context *ctx);

/* Prints "coffer: MESSAGE; NEXT" to standard error and returns code. */
int agent_fail(int code, const char *message, const char *next);

#endif
