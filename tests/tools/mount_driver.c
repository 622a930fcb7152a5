/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_driver: mounts a store without agent, keys or relay, so that real programs can be run against the file
 * system alone.
 *
 *	mount_driver STORE_DIR MOUNT_DIR [top|space] [allow_other] [suid] [dev] [ro]
 *
 * Makes one space named "space" at the first start. "space" (default) mounts it alone, "top" the directory that
 * lists spaces. Prints "ready" when the mount answers, serves until SIGTERM, SIGINT or an unmount from outside, and
 * ends with 0 if all went well.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <poll.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "fusefs/mount.h"

struct driver {
	struct store *store;
	int gone_fd;
	bool top; /* mount the list of spaces */
};

static const uint8_t key[32] = { 'n', 'o', ' ', 's', 'e', 'c', 'r', 'e', 't' };
static const struct id32 person = { { 'P' } };

static int fail(const char *what, int err)
{
	fprintf(stderr, "mount_driver: %s: %s\n", what, err_str(err));
	return 1;
}

static int add_space(struct driver *d, struct bytes name, uint64_t *ret_root)
{
	struct space_row row = { .owner = person };
	struct store_txn *t;
	int err = store_begin(d->store, &t);

	if (err < 0)
		return err;
	env_system()->random(NULL, row.id.b, sizeof row.id.b);
	memcpy(row.name, name.p, name.len);
	err = txn_space_add(t, &row);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	*ret_root = row.root_ino;
	return store_commit(&t);
}

static int space_create(void *ctx, struct bytes name, uint64_t *ret_root)
{
	return add_space(ctx, name, ret_root);
}

struct wanted {
	struct bytes name;
	struct space_row row;
	bool found;
};

static int match(void *ctx, const struct space_row *row)
{
	struct wanted *w = ctx;

	if (!bytes_equal(bytes_str(row->name), w->name))
		return 1;
	w->row = *row;
	w->found = true;
	return 0;
}

static int space_rename(void *ctx, struct bytes from, struct bytes to)
{
	struct driver *d = ctx;
	struct wanted w = { .name = from };
	struct store_txn *t;
	int err = store_begin(d->store, &t);

	if (err < 0)
		return err;
	err = txn_space_each(t, match, &w);
	if (err == 0 && !w.found)
		err = ERR_NOT_FOUND;
	if (err == 0) {
		memset(w.row.name, 0, sizeof w.row.name);
		memcpy(w.row.name, to.p, to.len);
		err = txn_space_put(t, &w.row);
	}
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	return store_commit(&t);
}

static int find_space(struct driver *d, uint64_t *ret_root)
{
	struct node n;
	int err = store_lookup(d->store, STORE_ROOT_INO, bytes_str("space"), &n);

	if (err == ERR_NOT_FOUND)
		return add_space(d, bytes_str("space"), ret_root);
	*ret_root = n.ino;
	return err;
}

static int state_get(void *ctx, const struct node *n, const char *name, struct buf *out)
{
	(void)ctx;
	if (strcmp(name, "state") == 0)
		return buf_printf(out, "%s", n->change ? "pending" : "synced");
	return ERR_NO_DATA;
}

static void gone(void *ctx, struct mount *m)
{
	const struct driver *d = ctx;

	(void)m;
	eventfd_write(d->gone_fd, 1);
}

static int signal_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL); /* before any thread starts */
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void wait_for_end(int signals, int gone_fd)
{
	struct pollfd p[2] = { { .fd = signals, .events = POLLIN }, { .fd = gone_fd, .events = POLLIN } };

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
}

static int serve(struct driver *d, struct mount_config *config, int signals)
{
	struct mount *m;
	int err = find_space(d, &config->root_ino);

	if (err < 0)
		return fail("space", err);
	if (d->top)
		config->root_ino = STORE_ROOT_INO;
	err = mount_start(config, &m);
	if (err < 0)
		return fail("mount", err);
	puts("ready");
	fflush(stdout);
	wait_for_end(signals, d->gone_fd);
	err = mount_stop(&m, true);
	return err < 0 ? fail("unmount", err) : 0;
}

int main(int argc, char **argv)
{
	struct driver d = { .gone_fd = eventfd(0, EFD_CLOEXEC) };
	int signals = signal_fd();

	if (argc < 3)
		return fail("usage: STORE_DIR MOUNT_DIR [OPTION..]", ERR_INVALID);
	CLOSE_AFTER int dirfd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct store_config sc = { .env = env_system(), .dirfd = dirfd, .key = key };
	struct mount_config mc = { .dir = argv[2],
		.person = person,
		.ctx = &d,
		.space_create = space_create,
		.space_rename = space_rename,
		.state_get = state_get,
		.gone = gone };
	for (int i = 3; i < argc; i++) {
		d.top |= strcmp(argv[i], "top") == 0;
		mc.allow_other |= strcmp(argv[i], "allow_other") == 0;
		mc.suid |= strcmp(argv[i], "suid") == 0;
		mc.dev |= strcmp(argv[i], "dev") == 0;
		mc.read_only |= strcmp(argv[i], "ro") == 0;
	}
	int err = dirfd < 0 ? err_from_errno(errno) : crypto_init();
	if (err == 0)
		err = store_open(&sc, &d.store);
	if (err < 0)
		return fail("store", err);
	mc.store = d.store;
	int rc = serve(&d, &mc, signals);
	store_close(d.store);
	return rc;
}
