/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: check the mount point, open a session, mount, start the threads. The session's descriptor is closed
 * last, which ends the connection. A killed process leaves a dead mount (ENOTCONN), which the next mount_start on
 * that directory removes.
 */
#include "fusefs/mount.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "fusefs/inval.h"
#include "fusefs/mountpoint.h"
#include "fusefs/ops.h"
#include "fusefs/others.h"
#include "fusefs/settle.h"

struct mount {
	struct ops ops;
	char *dir, *source;
	pthread_mutex_t lock; /* below */
	bool stopping;        /* mount_stop is unmounting: the end of the connection is no news */
	bool gone;            /* the connection has ended */
};

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct ops *o = userdata;

	return serve_writev(o->serve, fd, iov, count);
}

/* libfuse asks for it, but serve.c reads by itself. */
static ssize_t io_read(int fd, void *p, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, p, len);
}

static const struct fuse_custom_io io = { .writev = io_writev, .read = io_read };

static int session_open(struct mount *m)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int err = fuse_opt_add_arg(&args, "coffer") < 0 ? ERR_NOMEM : 0;

	if (err == 0) {
		m->ops.se = fuse_session_new(&args, &ops_table, sizeof ops_table, &m->ops);
		if (!m->ops.se)
			err = ERR_NOMEM;
	}
	fuse_opt_free_args(&args);
	return err;
}

static int session_mount(struct mount *m)
{
	const struct mount_config *c = &m->ops.config;
	const struct mountpoint_options options = { .source = m->source,
		.allow_other = c->allow_other,
		.read_only = c->read_only,
		.exec_off = c->exec_off,
		.suid = c->suid,
		.dev = c->dev,
		.read_ahead_kib = OPS_READ_AHEAD / 1024 };
	int fd, err = mountpoint_mount(m->dir, &options, &fd);

	if (err < 0)
		return err;
	int rc = fuse_session_custom_io(m->ops.se, &io, fd);
	if (rc == 0)
		return 0;
	close(fd);
	(void)!mountpoint_unmount(m->dir, true);
	return err_from_errno(-rc);
}

static void on_ended(void *ctx)
{
	struct mount *m = ctx;

	pthread_mutex_lock(&m->lock);
	m->gone = true;
	bool news = !m->stopping;
	pthread_mutex_unlock(&m->lock);
	if (news && m->ops.config.gone)
		m->ops.config.gone(m->ops.config.ctx, m);
}

static void tell_others(struct mount *m, const void *request, size_t len)
{
	const struct mount_config *c = &m->ops.config;
	struct invalidation list[OTHERS_MOST];
	size_t n = others_of(request, len, list);

	for (size_t i = 0; i < n; i++)
		list[i].ino = ops_ino(&m->ops, list[i].ino);
	if (n > 0)
		c->tell_others(c->ctx, m, list, n);
}

static void on_answered(void *ctx, const void *request, size_t len)
{
	struct mount *m = ctx;
	const struct mount_config *c = &m->ops.config;

	store_catch_up(c->store);
	if (c->has_others && c->has_others(c->ctx))
		tell_others(m, request, len);
}

static bool is_slow(void *ctx)
{
	struct mount *m = ctx;

	return store_may_wait(m->ops.config.store);
}

static void mount_free(struct mount *m)
{
	/* A notification may wait for a page that a late read holds or for an answer: those first, the serving
	 * threads after. */
	if (m->ops.late)
		late_read_cancel(m->ops.late);
	inval_stop(&m->ops.inval);
	if (m->ops.serve)
		serve_stop(m->ops.serve);
	late_read_stop(&m->ops.late); /* the last replies */
	serve_free(m->ops.serve);
	early_free(m->ops.early);
	preload_free(m->ops.preload);
	if (m->ops.se)
		fuse_session_destroy(m->ops.se); /* closes the descriptor */
	pthread_mutex_destroy(&m->lock);
	free(m->dir);
	free(m->source);
	free(m);
}

static int mount_open(struct mount *m, const struct mount_config *config)
{
	int err;

	m->ops.config = *config;
	m->dir = strdup(config->dir);
	m->source = strdup(config->source ? config->source : "coffer");
	if (!m->dir || !m->source)
		return ERR_NOMEM;
	m->ops.config.dir = m->dir;
	m->ops.config.source = m->source;
	m->ops.selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
	owners_init(&m->ops.owners, &m->ops.config);
	err = mountpoint_prepare(m->dir);
	if (err == 0)
		err = late_read_start(&m->ops.config, &m->ops.late);
	if (err == 0)
		err = early_new(m->ops.config.store, &m->ops.early);
	if (err == 0)
		err = session_open(m);
	return err;
}

int mount_start(const struct mount_config *config, struct mount **ret_m)
{
	struct mount *m = calloc(1, sizeof *m);
	const struct serve_events events = { .ended = on_ended, .answered = on_answered, .slow = is_slow, .ctx = m };
	int err;

	if (!m)
		return ERR_NOMEM;
	pthread_mutex_init(&m->lock, NULL);
	err = mount_open(m, config);
	if (err == 0)
		err = session_mount(m);
	if (err < 0) {
		mount_free(m);
		return err;
	}
	err = preload_new(m->ops.se, config->store, &m->ops.preload);
	if (err == 0)
		err = inval_start(m->ops.se, config->root_ino, m->ops.preload, &m->ops.inval);
	if (err == 0)
		err = serve_start(m->ops.se, fuse_session_fd(m->ops.se), &events, &m->ops.serve);
	if (err < 0) {
		(void)!mountpoint_unmount(m->dir, true);
		mount_free(m);
		return err;
	}
	*ret_m = m;
	return 0;
}

/* Hands what mapped files still hold in the kernel to the store. */
static void flush_mapped(const struct mount *m)
{
	CLOSE_AFTER int fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		syncfs(fd); /* what cannot be written back has its error with the file */
}

/* Says whether the mount is still to be taken down. */
static bool stop_begin(struct mount *m)
{
	pthread_mutex_lock(&m->lock);
	m->stopping = true;
	bool mounted = !m->gone;
	pthread_mutex_unlock(&m->lock);
	return mounted;
}

/* The mount stays after all. False: it went at the same time. */
static bool stop_undo(struct mount *m)
{
	pthread_mutex_lock(&m->lock);
	bool stays = !m->gone;
	m->stopping = !stays;
	pthread_mutex_unlock(&m->lock);
	return stays;
}

int mount_stop(struct mount **mp, bool lazy)
{
	struct mount *m = *mp;
	int err = 0;

	if (!m)
		return 0;
	if (stop_begin(m)) {
		err = mountpoint_unmount(m->dir, false);
		if (err == ERR_BUSY && lazy) {
			flush_mapped(m);
			err = mountpoint_unmount(m->dir, true);
		}
		if (err < 0 && err != ERR_NOT_FOUND && stop_undo(m))
			return err;
	}
	*mp = NULL;
	mount_free(m);
	return 0;
}

void mount_flush(struct mount *m)
{
	serve_flush(m->ops.serve);
}

bool mount_ended(struct mount *m)
{
	pthread_mutex_lock(&m->lock);
	bool gone = m->gone;
	pthread_mutex_unlock(&m->lock);
	return gone;
}

uint64_t mount_root(const struct mount *m)
{
	return m->ops.config.root_ino;
}

void mount_invalidate(struct mount *m, const struct invalidation *inv, size_t n)
{
	inval_add(m->ops.inval, inv, n);
}

void mount_settle(struct mount *m)
{
	inval_drain(m->ops.inval, SETTLE_MS);
}
