/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb: what the agent does for one request of the control socket. Each verb is a function over the agent and a call;
 * verbs of one subject share a file (verb_init.c, verb_space.c, verb_share.c, verb_rights.c, verb_mount.c,
 * verb_status.c, verb_content.c, verb_verify.c, verb_history.c, verb_undelete.c).
 *
 * A verb reads call->args (wire/map.h), adds pairs to call->result, and returns 0; or returns call_fail(...).
 */
#ifndef COFFER_FUSEFS_VERB_H
#define COFFER_FUSEFS_VERB_H

#include "fusefs/agent.h"
#include "wire/map.h"

struct call {
	struct agent *agent;
	struct bytes args;
	struct map result;
	int err, exit;           /* set by call_fail */
	char message[512], next[256];
	bool stop;               /* the agent ends after the answer */
};

struct verb {
	const char *name;
	bool keys;               /* runs only unlocked, holding a use */
	int (*run)(struct call *c);
};

/* Sets the error that the person will read: "MESSAGE; NEXT". exit 0: chosen by err. Returns err (or ERR_INTERNAL if err
 * is 0). */
int call_fail(struct call *c, int err, int exit_code, const char *next, const char *message, ...)
	__attribute__((format(printf, 5, 6)));
/* The same for an error of an operation that has no better words: "WHAT: err_str". */
int call_fail_err(struct call *c, int err, const char *what);
/* The space that the argument "space" names; else the call has failed. */
int call_space(struct call *c, struct space **ret_s) MUST_CHECK;
/* The node at a path of a person's; else the call has failed with what they are to read. */
int call_path(struct call *c, struct bytes path, struct node *ret_n) MUST_CHECK;
/* The barrier of wait and umount, for one space or all (NULL), until "timeout_ms" of the arguments is over (60 s if
 * there is none; 100 days at most). sent_only: what the relay has need not be here. On an error `what` says what is
 * left, never empty. */
int call_barrier(struct call *c, struct space *s, bool sent_only, struct buf *what) MUST_CHECK;
/* Runs the verb that args name; c is filled. */
int verb_run(struct call *c, struct bytes name);

/* The verbs; docs/CLI.md has the result of each. */
int verb_hello(struct call *c);
int verb_init(struct call *c);
int verb_init_check(struct call *c);
int verb_unlock(struct call *c);
int verb_lock(struct call *c);
int verb_stop(struct call *c);
int verb_space_create(struct call *c);
int verb_space_list(struct call *c);
int verb_pair(struct call *c);
int verb_invite(struct call *c);
int verb_invite_list(struct call *c);
int verb_invite_cancel(struct call *c);
int verb_join(struct call *c);
int verb_members(struct call *c);
int verb_device_list(struct call *c);
int verb_device_remove(struct call *c);
int verb_rotate(struct call *c);
int verb_role(struct call *c);
int verb_remove(struct call *c);
int verb_mount(struct call *c);
int verb_umount(struct call *c);
int verb_status(struct call *c);
int verb_wait(struct call *c);
int verb_pin(struct call *c);
int verb_evict(struct call *c);
int verb_verify(struct call *c);
int verb_versions(struct call *c);
int verb_restore(struct call *c);
int verb_undelete(struct call *c);

#endif
