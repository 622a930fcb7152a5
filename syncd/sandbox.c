/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock is used by raw system calls: Debian 12's C library has no wrappers, and its kernel headers know only the first
 * two versions of the interface.
 */
#include "syncd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define MAX_FDS 256
#define FIRST_FOREIGN_FD 4

/* Of later versions of the interface than the header has. */
#define FS_TRUNCATE (1ULL << 14)  /* 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* 5 */
#define NET_BIND_TCP (1ULL << 0)  /* 4 */
#define SCOPE_ALL 3ULL            /* 6: abstract Unix sockets, signals */

struct ruleset {
	uint64_t fs, net, scoped;
};

static const char *const readable[] = {
	/* TLS */
	"/etc/ssl",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/usr/lib/ssl",
	/* names */
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/host.conf",
	"/etc/nsswitch.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/run/systemd/resolve",
	"/run/resolvconf",
	"/run/NetworkManager/resolv.conf",
	/* modules that the C library and TLS load */
	"/usr/lib",
	"/usr/lib64",
	"/usr/local/lib",
	"/lib",
	"/lib64",
	"/etc/ld.so.cache",
	"/usr/share/zoneinfo",
	"/etc/localtime",
	"/dev/urandom",
	"/dev/random",
	"/dev/null",
};

static uint64_t known_fs(int abi)
{
	uint64_t fs = (1ULL << 13) - 1; /* everything of version 1 */

	if (abi >= 2)
		fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		fs |= FS_TRUNCATE;
	if (abi >= 5)
		fs |= FS_IOCTL_DEV;
	return fs;
}

static void allow(int ruleset, const char *path)
{
	CLOSE_AFTER int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = fd };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return; /* what is not there needs no rule */
	if (S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		log_warn("sandbox: no rule for %s", path);
}

static void confine(void)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset attr = { .fs = known_fs(abi) };
	size_t size = sizeof attr.fs;
	const char *ca = getenv("SSL_CERT_FILE");

	if (abi < 1) {
		log_info("sandbox: this kernel has no Landlock; files stay reachable");
		return;
	}
	if (abi >= 4) {
		attr.net = NET_BIND_TCP;
		size = 2 * sizeof attr.fs;
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ALL;
		size = sizeof attr;
	}
	CLOSE_AFTER int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);

	if (ruleset < 0) {
		log_warn("sandbox: Landlock refuses the rule set; files stay reachable");
		return;
	}
	for (size_t i = 0; i < sizeof readable / sizeof readable[0]; i++)
		allow(ruleset, readable[i]);
	if (ca)
		allow(ruleset, ca);
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		log_warn("sandbox: Landlock refuses to confine; files stay reachable");
}

static void close_foreign(void)
{
	if (syscall(SYS_close_range, FIRST_FOREIGN_FD, ~0U, 0) == 0)
		return;
	for (int fd = FIRST_FOREIGN_FD; fd < 65536; fd++)
		close(fd);
}

int sandbox_enter(void)
{
	const struct rlimit none = { 0, 0 }, fds = { MAX_FDS, MAX_FDS };

	close_foreign();
	(void)umask(077);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_CORE, &none) < 0 ||
		setrlimit(RLIMIT_NOFILE, &fds) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return ERR_IO;
	confine();
	return OK;
}
