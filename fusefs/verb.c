/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/verb.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "fusefs/chores.h"
#include "fusefs/path.h"

#define MAX_TIMEOUT_MS (100ull * 86400 * 1000)

static const struct verb verbs[] = {
	{ "hello", false, verb_hello },
	{ "init", false, verb_init },
	{ "init.check", false, verb_init_check },
	{ "unlock", false, verb_unlock },
	{ "lock", false, verb_lock },
	{ "stop", false, verb_stop },
	{ "status", false, verb_status },
	{ "space.create", true, verb_space_create },
	{ "space.list", true, verb_space_list },
	{ "pair", true, verb_pair },
	{ "invite", true, verb_invite },
	{ "invite.list", true, verb_invite_list },
	{ "invite.cancel", true, verb_invite_cancel },
	{ "join", true, verb_join },
	{ "members", true, verb_members },
	{ "device.list", true, verb_device_list },
	{ "device.remove", true, verb_device_remove },
	{ "rotate", true, verb_rotate },
	{ "role", true, verb_role },
	{ "remove", true, verb_remove },
	{ "mount", true, verb_mount },
	{ "umount", true, verb_umount },
	{ "wait", true, verb_wait },
	{ "pin", true, verb_pin },
	{ "evict", true, verb_evict },
	{ "verify", true, verb_verify },
	{ "versions", true, verb_versions },
	{ "restore", true, verb_restore },
	{ "undelete", true, verb_undelete },
};

static int exit_of(int err)
{
	switch (err) {
	case ERR_INVALID:
	case ERR_RANGE:
	case ERR_NONCANONICAL:
		return EX_DATAERR;
	case ERR_NOT_FOUND:
		return EX_NOINPUT;
	case ERR_WRONG_KEY:
	case ERR_FORBIDDEN:
	case ERR_PERMISSION:
		return EX_NOPERM;
	case ERR_OFFLINE:
	case ERR_TIMEOUT:
		return EX_UNAVAILABLE;
	case ERR_AGAIN:
	case ERR_CANCELLED:
	case ERR_BUSY:
	case ERR_LOCKED:
	case ERR_RELAY_FULL:
	case ERR_RATE_LIMITED:
		return EX_TEMPFAIL;
	case ERR_EXISTS:
		return EX_CANTCREAT;
	case ERR_NO_SPACE:
	case ERR_QUOTA:
	case ERR_IO:
		return EX_IOERR;
	case ERR_NOMEM:
		return EX_OSERR;
	case ERR_VERSION:
		return EX_PROTOCOL;
	default:
		return EX_SOFTWARE;
	}
}

int call_fail(struct call *c, int err, int exit_code, const char *next, const char *message, ...)
{
	va_list args;

	va_start(args, message);
	vsnprintf(c->message, sizeof c->message, message, args);
	va_end(args);
	snprintf(c->next, sizeof c->next, "%s", next);
	c->err = err < 0 ? err : ERR_INTERNAL;
	c->exit = exit_code ? exit_code : exit_of(c->err);
	return c->err;
}

/* What a person can do about an error that has no better words. */
static const char *next_of(int err)
{
	switch (err) {
	case ERR_OFFLINE:
	case ERR_TIMEOUT:
		return "check that the relay runs and can be reached, then try again";
	case ERR_VERSION:
		return "is that address a Coffer relay of this version?";
	case ERR_NO_SPACE:
	case ERR_QUOTA:
		return "free some space on the disk of the profile and try again; nothing was lost";
	case ERR_RELAY_FULL:
		return "ask who runs the relay; nothing was lost, and what is unsent goes on by itself";
	case ERR_CANCELLED:
		return "the agent was ending; try again";
	case ERR_LOCKED:
		return "run `coffer unlock`";
	case ERR_RATE_LIMITED:
		return "wait a minute and try again";
	case ERR_CONFLICT:
		return "try again";
	case ERR_CORRUPT:
	case ERR_TAMPERED:
		return "the local data is damaged: keep the directory, and make this device anew with `coffer init "
		       "--pair`";
	case ERR_FORBIDDEN:
		return "ask an admin of the space";
	default:
		return "try again; the agent's messages are in agent.log of the profile";
	}
}

int call_fail_err(struct call *c, int err, const char *what)
{
	struct store_stat st;

	if (err == ERR_READ_ONLY && c->agent->store && store_stat(c->agent->store, &st) == OK && st.read_only)
		return call_fail(c, err, EX_IOERR, "copy out what you need, or make it writable and run `coffer stop`",
			"%s: the disk of the profile cannot be written to", what);
	return call_fail(c, err, 0, next_of(err), "%s: %s", what, err_str(err));
}

int call_space(struct call *c, struct space **ret_s)
{
	struct bytes name = map_get_text(c->args, "space");

	*ret_s = agent_find_space(c->agent, name);
	return *ret_s ? OK
		      : call_fail(c, ERR_NOT_FOUND, 0, "`coffer space list` shows them", "there is no space '%.*s'",
				(int)(name.len < 200 ? name.len : 200), name.p ? (const char *)name.p : "");
}

int call_path(struct call *c, struct bytes path, struct node *ret_n)
{
	int err = path_find(c->agent, path, ret_n);
	int shown = (int)(path.len < 300 ? path.len : 300);
	const char *text = path.p ? (const char *)path.p : "";

	if (err == ERR_CONTEXT)
		return call_fail(c, err, EX_NOINPUT, "`coffer status` shows what is mounted where",
			"'%.*s' is in no mount of this profile", shown, text);
	if (err == ERR_NOT_FOUND || err == ERR_NOT_DIR)
		return call_fail(c, err, EX_NOINPUT, "what was deleted: `coffer undelete SPACE`",
			"there is nothing at '%.*s'", shown, text);
	return err < 0 ? call_fail_err(c, err, "the path cannot be looked up") : OK;
}

/* Monotonic time at which the arguments let it end. */
static int64_t deadline_of(const struct call *c)
{
	const struct env *env = c->agent->env;
	uint64_t ms = map_get_uint(c->args, "timeout_ms", 60000);

	return env->mono_ns(env->ctx) + (int64_t)(ms < MAX_TIMEOUT_MS ? ms : MAX_TIMEOUT_MS) * 1000000;
}

/* Spaces that are owed to the relay come first; and what arrives may bring spaces, which then are owed to this device. */
static int wait_for_all(struct agent *a, struct space *s, bool sent_only, int64_t end, struct buf *what)
{
	agent_flush_mounts(a);
	int err = chores_wait(a->chores, end, what);
	if (err >= 0)
		err = sync_wait(a->sync, s, sent_only, end, what);
	return err < 0 || sent_only ? err : chores_wait(a->chores, end, what);
}

int call_barrier(struct call *c, struct space *s, bool sent_only, struct buf *what)
{
	bool frozen = store_is_frozen(c->agent->store);
	int err = frozen ? ERR_READ_ONLY : wait_for_all(c->agent, s, sent_only, deadline_of(c), what);

	if (frozen && buf_printf(what, "the disk of the profile is read-only") < 0)
		return ERR_NOMEM;
	if (err < 0 && what->len == 0 &&
		buf_printf(what, "%s", err == ERR_CANCELLED ? "the agent was locked or stopped" : err_str(err)) < 0)
		return ERR_NOMEM;
	return err;
}

static int fail_locked(struct call *c)
{
	if (!profile_has_key(c->agent->profile))
		return call_fail(c, ERR_NOT_FOUND, EX_CONFIG, "make one with `coffer init --relay URL`",
			"there is no profile here yet");
	return call_fail(c, ERR_LOCKED, 0, "run `coffer unlock`", "the profile is locked");
}

int verb_run(struct call *c, struct bytes name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		const struct verb *v = &verbs[i];
		if (!bytes_equal(name, bytes_str(v->name)))
			continue;
		if (!v->keys)
			return v->run(c);
		if (agent_use(c->agent) < 0)
			return fail_locked(c);
		int err = v->run(c);
		agent_unuse(c->agent);
		return err;
	}
	return call_fail(c, ERR_UNSUPPORTED, EX_PROTOCOL, "is coffer of the same version as coffer-fs?",
		"the agent does not know this request");
}
