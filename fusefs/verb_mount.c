/* SPDX-License-Identifier: Apache-2.0 */
/* mount and umount, and what a mount asks the agent for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fusefs/mountpoint.h"
#include "fusefs/space_make.h"
#include "fusefs/verb.h"

/* ---- callbacks of a mount ---- */

static int on_fetch(void *ctx, uint64_t chunk_row, int64_t deadline_mono_ns, bool (*interrupted)(void *arg), void *arg)
{
	struct agent *a = ctx;

	if (store_is_frozen(a->store))
		return ERR_READ_ONLY;
	return sync_fetch(a->sync, chunk_row, deadline_mono_ns, interrupted, arg);
}

static int on_space_create(void *ctx, struct bytes name, uint64_t *ret_root_ino)
{
	struct space *s = NULL;
	int err = space_make(ctx, name, &s);

	if (err >= 0)
		*ret_root_ino = s->row.root_ino;
	return err;
}

static int on_space_rename(void *ctx, struct bytes from, struct bytes to)
{
	return space_rename(ctx, from, to);
}

static int on_state_get(void *ctx, const struct node *node, const char *name, struct buf *out)
{
	struct agent *a = ctx;
	char text[80];

	if (strcmp(name, "state") == 0) {
		char state[16];
		int err = sync_node_state(a->sync, node, state);
		return err < 0 ? err : buf_put(out, state, strlen(state));
	}
	if (strcmp(name, "pinned") == 0) {
		bool pinned;
		int err = store_pinned(a->store, node->ino, &pinned);
		return err < 0 ? err : buf_put_u8(out, pinned ? '1' : '0');
	}
	if (strcmp(name, "version") == 0) {
		snprintf(text, sizeof text, "%" PRIu64, node->version);
		return buf_put(out, text, strlen(text));
	}
	if (strcmp(name, "author") == 0 && !id32_is_zero(&node->author)) {
		id32_format_did(&node->author, text);
		return buf_put(out, text, strlen(text));
	}
	return ERR_NO_DATA;
}

static int on_state_set(void *ctx, const struct node *node, const char *name, struct bytes value)
{
	struct agent *a = ctx;

	if (strcmp(name, "pinned") != 0)
		return ERR_PERMISSION;
	if (value.len != 1 || (value.p[0] != '0' && value.p[0] != '1'))
		return ERR_INVALID;
	int err = store_pin(a->store, node->ino, value.p[0] == '1');
	if (err >= 0)
		sync_pinned(a->sync);
	return err;
}

/* The personal space's log names every device of the own person, and no other. */
static bool on_own_device(void *ctx, const struct id32 *device)
{
	struct agent *a = ctx;
	struct space *s = agent_personal(a);

	if (id32_equal(device, identity_device(a->who)))
		return true;
	if (!s)
		return false;
	pthread_mutex_lock(&s->lock);
	bool own = log_find_device(s->log, device) != NULL;
	pthread_mutex_unlock(&s->lock);
	return own;
}

/* ---- options ---- */

static int parse_id(const char *text, uint32_t *ret_id)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || v >= UINT32_MAX)
		return ERR_INVALID;
	*ret_id = (uint32_t)v;
	return OK;
}

static int apply_option(struct mount_config *m, const char *o)
{
	if (strcmp(o, "allow_other") == 0)
		m->allow_other = true;
	else if (strcmp(o, "ro") == 0)
		m->read_only = true;
	else if (strcmp(o, "noexec") == 0)
		m->exec_off = true;
	else if (strcmp(o, "owners=keep") == 0)
		m->owners_keep = true;
	else if (strcmp(o, "nosuid") == 0)
		m->suid = false;
	else if (strcmp(o, "nodev") == 0)
		m->dev = false;
	else if (strcmp(o, "suid") == 0 || strcmp(o, "allow_suid") == 0)
		m->suid = true;
	else if (strcmp(o, "dev") == 0 || strcmp(o, "allow_dev") == 0)
		m->dev = true;
	else if (strncmp(o, "uid=", 4) == 0)
		return m->has_uid = true, parse_id(o + 4, &m->uid);
	else if (strncmp(o, "gid=", 4) == 0)
		return m->has_gid = true, parse_id(o + 4, &m->gid);
	else if (strcmp(o, "rw") != 0 && strcmp(o, "exec") != 0 && o[0])
		return ERR_UNSUPPORTED;
	return OK;
}

static int parse_options(struct call *c, struct mount_config *m)
{
	FREE_AFTER char *options = map_get_string(c->args, "options", 1024);
	char *rest = NULL;

	for (char *o = options ? strtok_r(options, ",", &rest) : NULL; o; o = strtok_r(NULL, ",", &rest))
		if (apply_option(m, o) < 0)
			return call_fail(c, ERR_UNSUPPORTED, EX_USAGE, "`coffer mount --help` lists those there are",
				"'%.100s' is no option of a mount", o);
	return OK;
}

/* ---- verbs ---- */

static int fail_permission(struct call *c, const struct mount_config *config)
{
	const char *next =
		"install fuse3, load the fuse module, and check the rights of /dev/fuse and of the directory";

	if (geteuid() != 0 && access(config->dir, W_OK) < 0)
		next = "choose a directory that the owner of the profile may write to";
	else if (geteuid() != 0 && config->allow_other)
		next = "leave allow_other out, or let root put the line user_allow_other into /etc/fuse.conf";
	return call_fail(c, ERR_PERMISSION, EX_NOPERM, next, "mounting at %s is not permitted", config->dir);
}

static int fail_mount(struct call *c, int err, const struct mount_config *config)
{
	const char *dir = config->dir;

	switch (err) {
	case ERR_NOT_FOUND:
		return call_fail(c, err, EX_NOINPUT, "make the directory first", "%s does not exist", dir);
	case ERR_NOT_DIR:
		return call_fail(c, err, EX_USAGE, "choose a directory", "%s is not a directory", dir);
	case ERR_NOT_EMPTY:
		return call_fail(c, err, EX_CANTCREAT, "choose an empty directory", "%s is not empty", dir);
	case ERR_BUSY:
		return call_fail(c, err, EX_TEMPFAIL, "unmount it first: `coffer umount` or `umount`",
			"something is mounted at %s already", dir);
	case ERR_PERMISSION:
		return fail_permission(c, config);
	default:
		return call_fail_err(c, err, "the mount failed");
	}
}

int verb_mount(struct call *c)
{
	FREE_AFTER char *dir = map_get_string(c->args, "dir", 4095);
	FREE_AFTER char *source = map_get_string(c->args, "source", MOUNTPOINT_SOURCE_MAX);
	struct bytes space = map_get_text(c->args, "space");
	struct agent *a = c->agent;
	struct mount *m = NULL;
	struct mount_config config = { .store = a->store,
		.source = source,
		.dir = dir,
		.root_ino = STORE_ROOT_INO,
		.read_only = store_is_frozen(a->store),
		.person = *identity_person(a->who),
		.ctx = a,
		.fetch = on_fetch,
		.space_create = on_space_create,
		.space_rename = on_space_rename,
		.state_get = on_state_get,
		.state_set = on_state_set,
		.own_device = on_own_device,
		.has_others = agent_has_mounts,
		.tell_others = agent_tell_mounts,
		.gone = agent_mount_gone };

	if (!dir || dir[0] != '/')
		return call_fail(c, ERR_INVALID, EX_USAGE, "", "the mount point must be an absolute path");
	if (space.len) {
		struct space *s = agent_find_space(a, space);
		if (!s)
			return call_fail(c, ERR_NOT_FOUND, 0, "`coffer space list` shows them",
				"there is no space '%.*s'", (int)(space.len < 200 ? space.len : 200),
				(const char *)space.p);
		config.root_ino = s->row.root_ino;
	}
	int err = parse_options(c, &config);
	if (err < 0)
		return err;
	if ((err = mount_start(&config, &m)) < 0)
		return fail_mount(c, err, &config);
	if ((err = agent_hold_mount(a, m, dir, config.root_ino)) < 0) {
		if (mount_stop(&m, true) < 0)
			log_error("a mount cannot be taken down");
		if (err == ERR_RANGE)
			return call_fail(
				c, err, EX_TEMPFAIL, "unmount one", "there are %d mounts already", AGENT_MAX_MOUNTS);
		return call_fail_err(c, err, "the mount did not last");
	}
	map_text(&c->result, "dir", dir);
	return OK;
}

/* The spaces a mount shows; NULL: all. */
static struct space *space_of_mount(struct agent *a, const char *dir, bool *ret_found)
{
	uint64_t root = 0;

	*ret_found = false;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_mounts; i++) {
		if (strcmp(a->mounts[i].dir, dir) == 0) {
			*ret_found = true;
			root = a->mounts[i].root_ino;
		}
	}
	struct space *s = NULL;
	for (size_t i = 0; i < a->n_spaces && *ret_found; i++)
		if (a->spaces[i].space->row.root_ino == root)
			s = a->spaces[i].space;
	pthread_mutex_unlock(&a->lock);
	return s;
}

static int unmount(struct call *c, const char *dir)
{
	struct mount *m = agent_take_mount(c->agent, NULL, dir);

	if (!m)
		return OK;
	int err = mount_stop(&m, false);
	if (err < 0 && agent_hold_mount(c->agent, m, dir, mount_root(m)) < 0 && mount_stop(&m, true) < 0)
		log_error("a mount is lost from the list");
	if (err == ERR_BUSY)
		return call_fail(c, err, 0,
			"close them, leave it with every shell (`fuser -vm DIR` names them), and try again",
			"files are open in %s", dir);
	return err < 0 ? call_fail_err(c, err, "unmounting failed") : OK;
}

int verb_umount(struct call *c)
{
	FREE_AFTER char *dir = map_get_string(c->args, "dir", 4095);
	CLEANUP(buf_release) struct buf what = BUF_INIT(8192);
	struct agent *a = c->agent;
	bool found = false;

	if (!dir)
		return call_fail(c, ERR_INVALID, EX_USAGE, "", "the mount point is missing");
	struct space *s = space_of_mount(a, dir, &found);
	if (!found)
		return call_fail(c, ERR_NOT_FOUND, 0, "`coffer status` lists the mounts",
			"nothing of this profile is mounted at %s", dir);
	if (!map_get_bool(c->args, "now", false) && !store_is_frozen(a->store)) {
		int err = call_barrier(c, s, true, &what);
		if (err < 0)
			return call_fail(c, err, EX_TEMPFAIL,
				"it stays mounted; wait, or use --now: what is left is kept here and sent later",
				"not everything is at the relay: %.*s", (int)what.len, (const char *)what.data);
	}
	return unmount(c, dir);
}
