/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mount_helper.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/home.h"

#define ALL_SPACES "coffer"
#define OPTIONS_MAX 1024

/* Exit codes of mount(8). */
enum { MOUNT_OK = 0, MOUNT_USAGE = 1, MOUNT_SYSTEM = 2, MOUNT_FAILED = 32 };

struct request {
	const char *space, *dir;
	char *profile, *passphrase_file; /* point into the text of the options */
	bool fake, remount;
	unsigned long flags, unset; /* MS_*: asked for; not to be kept by a remount */
	char agent[OPTIONS_MAX];    /* the options that the agent is to judge */
};

bool mount_helper_named(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strncmp(slash ? slash + 1 : program, "mount.", strlen("mount.")) == 0;
}

static int fail(int code, const char *message, const char *next)
{
	(void)agent_fail(code, message, next);
	return code;
}

static int exit_code(int sysexit)
{
	switch (sysexit) {
	case EX_OK:
		return MOUNT_OK;
	case EX_USAGE:
	case EX_NOPERM:
		return MOUNT_USAGE;
	case EX_OSERR:
		return MOUNT_SYSTEM;
	default:
		return MOUNT_FAILED;
	}
}

/* ---- options ---- */

/* Words for mount(8), systemd and the kernel's times, which say nothing here. */
static bool is_for_others(const char *o)
{
	static const char *const words[] = { "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail",
		"_netdev", "defaults", "async", "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime",
		"strictatime", "nostrictatime", "lazytime", "nolazytime", "iversion", "noiversion", "mand", "nomand",
		"silent", "loud" };
	static const char *const starts[] = { "x-", "X-", "user=", "comment=", "uhelper=", "helper=" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(o, words[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
		if (strncmp(o, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

static void note_flag(struct request *r, const char *o)
{
	static const struct {
		const char *name;
		unsigned long flag;
		bool on;
	} flags[] = { { "ro", MS_RDONLY, true }, { "noexec", MS_NOEXEC, true }, { "nosuid", MS_NOSUID, true },
		{ "nodev", MS_NODEV, true }, { "allow_suid", MS_NOSUID, false }, { "allow_dev", MS_NODEV, false } };

	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
		if (strcmp(o, flags[i].name) == 0)
			*(flags[i].on ? &r->flags : &r->unset) |= flags[i].flag;
}

static int add_for_agent(struct request *r, const char *o)
{
	size_t used = strlen(r->agent);

	if (used + strlen(o) + 2 > sizeof r->agent)
		return fail(MOUNT_USAGE, "the mount options are too long", "1000 bytes are the most");
	snprintf(r->agent + used, sizeof r->agent - used, "%s%s", used ? "," : "", o);
	return MOUNT_OK;
}

static int take_option(struct request *r, char *o)
{
	if (strncmp(o, "profile=", 8) == 0)
		r->profile = o + 8;
	else if (strncmp(o, "passphrase-file=", 16) == 0)
		r->passphrase_file = o + 16;
	else if (strcmp(o, "remount") == 0)
		r->remount = true;
	else if (!is_for_others(o)) {
		note_flag(r, o);
		return add_for_agent(r, o);
	}
	return MOUNT_OK;
}

static int usage(void)
{
	return fail(MOUNT_USAGE, "these are not the arguments of mount's helper",
		"usage: mount -t fuse.coffer SPACE DIR [-o "
		"profile=DIR,passphrase-file=FILE,allow_other,ro,noexec,...]");
}

static int parse(struct request *r, int argc, char **argv)
{
	char *rest = NULL;

	opterr = 0;
	for (int c; (c = getopt(argc, argv, "sfnvN:t:o:")) != -1;) {
		if (c == '?' || c == ':')
			return usage();
		if (c == 'f')
			r->fake = true;
		for (char *o = c == 'o' ? strtok_r(optarg, ",", &rest) : NULL; o; o = strtok_r(NULL, ",", &rest)) {
			int code = take_option(r, o);
			if (code)
				return code;
		}
	}
	if (optind + 2 != argc)
		return usage();
	/* The last word counts, and mount(8) puts its own first: what forbids goes to the end. */
	if ((r->flags & MS_NOSUID && add_for_agent(r, "nosuid")) || (r->flags & MS_NODEV && add_for_agent(r, "nodev")))
		return MOUNT_USAGE;
	r->space = argv[optind];
	r->dir = argv[optind + 1];
	return MOUNT_OK;
}

/* ---- what is done ---- */

/* nosuid and nodev stay unless they are taken away by name: they are this type's default, which mount(8) does not know. */
static int remount(const struct request *r)
{
	char message[512];
	struct statvfs now;

	unsigned long keep = statvfs(r->dir, &now) == 0 ? now.f_flag & (ST_NOSUID | ST_NODEV) & ~r->unset : 0;
	if (mount(NULL, r->dir, NULL, MS_REMOUNT | keep | r->flags, NULL) == 0)
		return MOUNT_OK;
	snprintf(message, sizeof message, "%.300s cannot be remounted: %s", r->dir, strerror(errno));
	switch (errno) {
	case EPERM:
		return fail(MOUNT_USAGE, message, "root can, others unmount and mount again");
	case EBUSY:
		return fail(MOUNT_FAILED, message, "close the files that are open for writing there");
	default:
		return fail(MOUNT_FAILED, message, "is it mounted?");
	}
}

/* The directory of the profile: as named, else of the user. */
static char *find_profile(const struct request *r)
{
	char *path = NULL;

	if (r->profile)
		return home_absolute(r->profile);
	const struct passwd *p = getpwuid(geteuid());
	if (!p || asprintf(&path, "%s/.local/share/coffer", p->pw_dir) < 0)
		return NULL;
	return path;
}

/* Root goes on as the owner of the profile. */
static int become_owner(const char *profile)
{
	char message[512];
	struct stat st;

	if (stat(profile, &st) < 0) {
		snprintf(message, sizeof message, "the profile %.300s cannot be used: %s", profile, strerror(errno));
		return fail(MOUNT_FAILED, message, "name it with the option profile=DIR");
	}
	if (geteuid() != 0 || st.st_uid == 0)
		return MOUNT_OK;
	const struct passwd *p = getpwuid(st.st_uid);
	if (!p)
		return fail(MOUNT_FAILED, "the owner of the profile is no user of this machine",
			"check the option profile=DIR");
	if (initgroups(p->pw_name, p->pw_gid) < 0 || setgid(p->pw_gid) < 0 || setuid(p->pw_uid) < 0)
		return fail(MOUNT_SYSTEM, "the owner of the profile cannot be assumed", strerror(errno));
	return MOUNT_OK;
}

static int set_environment(void)
{
	const struct passwd *p = getpwuid(geteuid());

	if (clearenv() != 0 || setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1) < 0 ||
		(p && setenv("HOME", p->pw_dir, 1) < 0))
		return fail(MOUNT_SYSTEM, "out of memory", "");
	return MOUNT_OK;
}

static int ask_agent(const struct request *r, const struct context *ctx)
{
	const char *slash = strrchr(r->space, '/'), *space = slash ? slash + 1 : r->space;
	CLEANUP(map_release) struct map args = MAP_INIT;
	CLEANUP(reply_release) struct reply reply = REPLY_INIT;
	int code = r->passphrase_file ? agent_unlock(ctx, r->passphrase_file) : EX_OK;

	if (code)
		return code;
	map_text(&args, "dir", r->dir);
	map_text(&args, "source", r->space);
	map_text(&args, "space", strcmp(space, ALL_SPACES) == 0 ? NULL : space);
	map_text(&args, "options", r->agent);
	return agent_call_locked(ctx, "mount", &args, &reply);
}

int mount_helper_main(int argc, char **argv)
{
	struct request r = { 0 };
	int code = parse(&r, argc, argv);

	if (code || r.fake)
		return code;
	if (r.remount)
		return remount(&r);
	FREE_AFTER char *profile = find_profile(&r);
	if (!profile)
		return fail(MOUNT_FAILED, "this user has no home directory",
			"name the profile with the option profile=DIR");
	FREE_AFTER char *dir = realpath(r.dir, NULL); /* as root: the way there need not be open to the owner */
	if (dir)
		r.dir = dir;
	code = become_owner(profile);
	if (code == MOUNT_OK)
		code = set_environment();
	if (code)
		return code;
	const struct context ctx = { .home = profile };
	return exit_code(ask_agent(&r, &ctx));
}
