/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve: the request loop of one mount. Reads requests from /dev/fuse and hands them to libfuse, which calls the
 * operations.
 *
 * Leader and followers: one of SERVE_THREADS threads holds the lead and reads; when nothing comes it spins for 50 us
 * (the time that waking a halted CPU costs) unless another thread serves a stream, then polls. A cheap request is
 * carried out without giving up the lead, so that a caller that issues one request after another meets one warm thread;
 * a request that may take long gives up the lead first, and so does a change while the disk is slow (events.slow). When
 * all threads are at such requests another one is started, up to SERVE_MOST: so others are served while some wait for
 * the disk. It waits aside when it is not needed.
 *
 * With the lead held while an operation runs, a request that the kernel sends after the reply is read only after
 * that operation is over, unless it was one that gave up the lead. Early answers count on it (early.h): call->alone
 * says so.
 *
 *	serve_start(se, fd, &events, &s);
 *	serve_stop(s);                      // from any other thread, once; waits for running operations
 *	serve_free(s);                      // when nobody else replies to requests any more
 */
#ifndef COFFER_FUSEFS_SERVE_H
#define COFFER_FUSEFS_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/err.h"

#define SERVE_THREADS 4 /* that take requests in turn */
#define SERVE_MOST 64   /* with those for whom the others wait */
#define SERVE_MAX_IO (1u << 20) /* bytes of one READ or WRITE; libfuse 3.14 can take no more */

struct fuse_session;
struct serve;

/* What an operation may know of the thread that carries it out and of what libfuse 3.14 hides of the request. */
struct serve_call {
	uint8_t *reply;       /* SERVE_MAX_IO bytes for what is read */
	/* the lead is held: nothing that the kernel sends after the reply is read before the end */
	bool alone;
	bool only;            /* alone, and no other operation runs */
	bool kill_privileges; /* the kernel asks to clear setuid, setgid and the capability xattr with this request */
};

/* All are called on serving threads. */
struct serve_events {
	void (*ended)(void *ctx);    /* once, if the kernel ends the connection before serve_stop */
	/* After each operation, before the thread reads the next request, with that of the operation; may be NULL. */
	void (*answered)(void *ctx, const void *request, size_t len);
	bool (*slow)(void *ctx);     /* changes may wait for the disk now; costs next to nothing; may be NULL */
	void *ctx;
};

/* `se` is mounted and its descriptor is fd. ERR_NOMEM, ERR_IO. */
int serve_start(
	struct fuse_session *se, int fd, const struct serve_events *events, struct serve **ret_s) MUST_CHECK;
void serve_stop(struct serve *s);
void serve_free(struct serve *s); /* NULL is fine */

/* The call of the current thread; NULL on a thread that is none of s's. */
const struct serve_call *serve_call(const struct serve *s);

/* Waits until each operation that was running at the call has ended. Not on a serving thread. */
void serve_flush(struct serve *s);

/* fuse_custom_io.writev of the session: replies, with the capabilities that libfuse 3.14 does not know added to
 * INIT's. */
ssize_t serve_writev(struct serve *s, int fd, struct iovec *iov, int count);

#endif
