/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer-fs: the key agent of a profile. Started by coffer; puts itself into the background; tells descriptor 3, if it is open, "ready"
 * or one line of error.
 *
 *	coffer-fs --home DIR [--foreground]
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/allocator.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "fusefs/agent.h"
#include "fusefs/control.h"

#define READY_FD 3
#define IDLE_NS (15 * 60 * 1000000000LL)
#define BUSY_TRIES 200
#define BUSY_WAIT_NS 50000000L

static int ready_fd = -1;

static void tell(const char *line)
{
	if (ready_fd < 0) {
		fprintf(stderr, "coffer-fs: %s\n", line);
		return;
	}
	dprintf(ready_fd, "%s\n", line);
	close(ready_fd);
	ready_fd = -1;
}

/* No core dumps, no ptrace by others of the same user. */
static void harden(void)
{
	struct rlimit none = { 0, 0 };

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	umask(0077);
}

/* Parent waits for nothing: the reader of descriptor 3 does. */
static int go_to_background(const char *home)
{
	char path[PATH_MAX];

	pid_t pid = fork();
	if (pid < 0)
		return -1;
	if (pid > 0)
		_exit(EX_OK);
	if (setsid() < 0)
		return -1;
	if (chdir("/") < 0)
		return -1;
	snprintf(path, sizeof path, "%s/agent.log", home);
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -1;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
	close(null);
	if (log >= 0)
		close(log);
	return 0;
}

static int signal_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void find_syncd(char out[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	snprintf(out, PATH_MAX, "coffer-syncd");
	if (n <= 0)
		return;
	self[n] = 0;
	char *dir = dirname(self);
	char path[PATH_MAX + 16];
	snprintf(path, sizeof path, "%s/coffer-syncd", dir);
	if (access(path, X_OK) == 0)
		snprintf(out, PATH_MAX, "%.*s", PATH_MAX - 1, path);
}

static int say_profile_error(int err, const char *home)
{
	char line[PATH_MAX + 128];

	switch (err) {
	case ERR_BUSY:
		snprintf(line, sizeof line, "the profile %s is in use by another agent; wait for it to end", home);
		break;
	case ERR_PERMISSION:
		snprintf(line, sizeof line, "the profile %s cannot be used: permission denied; check its owner", home);
		break;
	case ERR_NOT_DIR:
		snprintf(line, sizeof line, "the profile %s is not a directory; name another with --home DIR", home);
		break;
	case ERR_NO_SPACE:
	case ERR_QUOTA:
		snprintf(line, sizeof line, "the profile %s cannot be made: %s; free some space", home, err_str(err));
		break;
	default:
		snprintf(line, sizeof line, "the profile %s cannot be opened: %s; name another with --home DIR", home,
			err_str(err));
	}
	tell(line);
	switch (err) {
	case ERR_BUSY:
		return EX_TEMPFAIL;
	case ERR_PERMISSION:
	case ERR_READ_ONLY:
		return EX_NOPERM;
	case ERR_NO_SPACE:
	case ERR_QUOTA:
	case ERR_IO:
		return EX_IOERR;
	default:
		return EX_CANTCREAT;
	}
}

/* An agent that is just ending holds the lock a little longer than its socket, one that is just starting a little before. ERR_EXISTS:
 * that one serves. */
static int open_profile(const char *home, struct profile **ret_p)
{
	int err = ERR_BUSY;

	for (int i = 0; i < BUSY_TRIES && err == ERR_BUSY; i++) {
		if (i && control_answers(home))
			return ERR_EXISTS;
		if (i)
			nanosleep(&(struct timespec){ .tv_nsec = BUSY_WAIT_NS }, NULL);
		err = profile_open(env_system(), home, ret_p);
	}
	return err;
}

/* A profile without passphrase is unlocked at once. A failure is told to the first verb that needs keys. */
static void unlock_if_open(struct agent *a, struct profile *p)
{
	if (!profile_has_key(p) || profile_needs_passphrase(p) != 0)
		return;
	int err = agent_unlock(a, NULL);
	if (err < 0)
		log_error("unlocking failed: %s", err_str(err));
}

static int serve(struct profile *p, int stop_fd)
{
	char syncd[PATH_MAX];
	struct agent *a = NULL;
	struct control *c = NULL;

	find_syncd(syncd);
	int err = agent_new(env_system(), p, syncd, &a);
	if (err >= 0) {
		unlock_if_open(a, p);
		err = control_open(a, &c);
	}
	if (err < 0) {
		tell("the control socket cannot be opened; check the profile's directory");
		agent_free(a);
		return EX_OSERR;
	}
	tell("ready");
	log_info("agent ready");
	control_serve(c, stop_fd, IDLE_NS);
	control_free(c);
	agent_free(a);
	log_info("agent ended");
	return EX_OK;
}

static int say_usage(void)
{
	tell("is started by coffer, as in `coffer mount DIR`; usage: coffer-fs --home DIR [--foreground], DIR "
	     "absolute");
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "home", required_argument, NULL, 'H' },
		{ "foreground", no_argument, NULL, 'f' }, { "version", no_argument, NULL, 'V' }, { 0 } };
	const char *home = NULL;
	bool foreground = false;

	if (fcntl(READY_FD, F_GETFD) >= 0) {
		ready_fd = READY_FD;
		(void)fcntl(READY_FD, F_SETFD, FD_CLOEXEC);
	}
	opterr = 0;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'H':
			home = optarg;
			break;
		case 'f':
			foreground = true;
			break;
		case 'V':
			puts("coffer-fs 0.1");
			return EX_OK;
		default:
			return say_usage();
		}
	}
	if (!home || home[0] != '/' || optind != argc)
		return say_usage();
	harden();
	struct profile *p = NULL;
	int err = open_profile(home, &p);
	if (err == ERR_EXISTS) {
		tell("ready");
		return EX_OK;
	}
	if (err < 0)
		return say_profile_error(err, home);
	if (!foreground && go_to_background(home) < 0) {
		tell("cannot go into the background; is the system out of processes?");
		return EX_OSERR;
	}
	log_init("coffer-fs", LOG_LEVEL_INFO);
	allocator_keep_blocks();
	int stop_fd = signal_fd();
	if (stop_fd < 0 || crypto_init() < 0) {
		tell("the crypto library cannot be started");
		return EX_OSERR;
	}
	int code = serve(p, stop_fd);
	profile_close(p);
	close(stop_fd);
	return code;
}
