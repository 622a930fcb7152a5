/* SPDX-License-Identifier: Apache-2.0 */
/* rotate, role, remove, device.remove: rights that are given and taken. */
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "crypto/secret.h"
#include "fusefs/log_write.h"
#include "fusefs/member.h"
#include "fusefs/verb.h"

#define CALL_NS 30000000000LL

static int64_t deadline(const struct call *c)
{
	return c->agent->env->mono_ns(c->agent->env->ctx) + CALL_NS;
}

static int need_admin(struct call *c, struct space *s)
{
	pthread_mutex_lock(&s->lock);
	bool admin = log_is_admin(s->log, identity_device(c->agent->who));
	pthread_mutex_unlock(&s->lock);
	return admin ? OK
		     : call_fail(c, ERR_FORBIDDEN, 0, "ask an admin of it (`coffer members` shows them)",
			       "only admins of a space can do that");
}

/* The space and the member of it that the arguments name; this device must be an admin's. */
static int find_member(struct call *c, struct space **ret_s, struct id32 *ret_person)
{
	struct bytes name = map_get_text(c->args, "member");
	int err = call_space(c, ret_s);

	if (err < 0 || (err = need_admin(c, *ret_s)) < 0)
		return err;
	if ((*ret_s)->personal)
		return call_fail(c, ERR_FORBIDDEN, EX_USAGE, "`coffer device remove` takes a device away",
			"a personal space has one member");
	err = member_find_person(*ret_s, name, ret_person);
	if (err == ERR_NOT_FOUND)
		return call_fail(c, err, 0, "`coffer members` shows them", "there is no member '%.*s'",
			(int)(name.len < 200 ? name.len : 200), name.p ? (const char *)name.p : "");
	if (err == ERR_EXISTS)
		return call_fail(c, err, EX_DATAERR, "use the fingerprint that `coffer members` shows",
			"several members are called so");
	return err;
}

static int build_epoch(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b)
{
	CLEANUP(secret_freep) struct secret *key = NULL;

	(void)cut;
	(void)arg;
	return entry_make_epoch(m, s->ring, log_epoch_number(s->log) + 1, &key, b);
}

int verb_rotate(struct call *c)
{
	struct space *s;
	int err = call_space(c, &s);

	if (err < 0 || (err = need_admin(c, s)) < 0)
		return err;
	err = log_write(c->agent, s, build_epoch, NULL, LOG_WRITE_PLAIN, deadline(c));
	return err < 0 ? call_fail_err(c, err, "the key cannot be changed") : OK;
}

/* ---- role ---- */

struct role_change {
	struct id32 person;
	enum role role;
};

static int build_role(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b)
{
	const struct role_change *r = arg;
	const struct log_person *p = log_find_person(s->log, &r->person);

	if (!p || p->role == ROLE_NONE)
		return ERR_NOT_FOUND;
	if (p->role == r->role)
		return 1;
	bool takes_writing = p->role >= ROLE_WRITER && r->role < ROLE_WRITER;
	return entry_make_role(m, &r->person, r->role, takes_writing ? cut : bytes_of(NULL, 0), b);
}

static bool parse_role(struct bytes text, enum role *ret_role)
{
	for (enum role role = ROLE_READER; role <= ROLE_ADMIN; role++) {
		*ret_role = role;
		if (bytes_equal(text, bytes_str(role_name(role))))
			return true;
	}
	return false;
}

static int fail_change(struct call *c, int err, const char *what)
{
	if (err == ERR_NOT_FOUND)
		return call_fail(c, err, 0, "`coffer members` shows them", "that is no member any more");
	if (err == ERR_FORBIDDEN)
		return call_fail(c, err, 0, "make somebody else an admin first", "%s: the last admin stays", what);
	return call_fail_err(c, err, what);
}

int verb_role(struct call *c)
{
	struct role_change r;
	struct space *s;
	int err = find_member(c, &s, &r.person);

	if (err < 0)
		return err;
	if (!parse_role(map_get_text(c->args, "role"), &r.role))
		return call_fail(c, ERR_INVALID, EX_USAGE, "choose reader, writer or admin", "there is no such role");
	err = log_write(c->agent, s, build_role, &r, LOG_WRITE_CUT, deadline(c));
	return err < 0 ? fail_change(c, err, "the role cannot be changed") : OK;
}

/* ---- remove ---- */

static int build_remove(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b)
{
	CLEANUP(secret_freep) struct secret *key = NULL;

	return entry_make_remove(m, s->ring, arg, NULL, cut, &key, b);
}

int verb_remove(struct call *c)
{
	struct id32 person;
	struct space *s;
	int err = find_member(c, &s, &person);

	if (err < 0)
		return err;
	if (id32_equal(&person, identity_person(c->agent->who)))
		return call_fail(c, ERR_INVALID, EX_USAGE, "another admin can remove you", "that is yourself");
	err = log_write(c->agent, s, build_remove, &person, LOG_WRITE_CUT, deadline(c));
	return err < 0 ? fail_change(c, err, "the member cannot be removed") : OK;
}

/* ---- device.remove ---- */

/* An admin changes the key with it; elsewhere an admin's device does so when it sees the entry (chores.c). Where the device is not known
 * it must not come in by its certificate any more. */
static int build_device_remove(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	const struct id32 *device = arg, *person = identity_person(m->id);
	const struct log_device *d = log_find_device(s->log, device);

	if ((d && !d->live) || log_revoked(s->log, person, device) || !log_may_read(s->log, identity_device(m->id)))
		return 1;
	if (!d)
		return entry_make_leave(m, device, bytes_of(NULL, 0), b);
	if (log_is_admin(s->log, identity_device(m->id)))
		return entry_make_remove(m, s->ring, person, device, cut, &key, b);
	return entry_make_leave(m, device, cut, b);
}

/* From every space; what fails is said, and done by the next try. */
static int remove_device(struct call *c, const struct id32 *device)
{
	FREE_AFTER struct space **spaces = calloc(AGENT_MAX_SPACES, sizeof *spaces);
	int first = spaces ? OK : ERR_NOMEM;

	size_t n = spaces ? agent_list_spaces(c->agent, spaces) : 0;
	for (size_t i = 0; i < n; i++) {
		struct id32 ed = *device;
		int err = log_write(c->agent, spaces[i], build_device_remove, &ed, LOG_WRITE_CUT, deadline(c));
		first = first < 0 ? first : err;
	}
	return first;
}

int verb_device_remove(struct call *c)
{
	struct space *personal = agent_personal(c->agent);
	struct bytes name = map_get_text(c->args, "device");
	struct id32 device;

	if (!personal)
		return call_fail(c, ERR_INTERNAL, 0, "", "the personal space is not there");
	int err = member_find_device(personal, identity_person(c->agent->who), name, &device);
	if (err == ERR_EXISTS)
		return call_fail(c, err, EX_DATAERR, "use the fingerprint that `coffer device list` shows",
			"several devices are called so");
	if (err < 0)
		return call_fail(c, err, 0, "`coffer device list` shows them", "there is no device '%.*s'",
			(int)(name.len < 200 ? name.len : 200), name.p ? (const char *)name.p : "");
	if (id32_equal(&device, identity_device(c->agent->who)))
		return call_fail(c, ERR_INVALID, EX_USAGE, "do it from another device", "that is this device");
	err = remove_device(c, &device);
	return err < 0 ? call_fail(c, err, EX_TEMPFAIL, "run the command again",
				 "the device is not removed from every space yet: %s", err_str(err))
		       : OK;
}
