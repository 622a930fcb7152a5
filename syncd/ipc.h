/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc: the socket to coffer-fs, buffered both ways, never blocking.
 */
#ifndef COFFER_SYNCD_IPC_H
#define COFFER_SYNCD_IPC_H

#include "syncd/poller.h"
#include "wire/msg.h"

struct ipc;

struct ipc_handler {
	void *ctx;
	void (*message)(void *ctx, const struct msg *m); /* views valid during the call */
	void (*closed)(void *ctx, int err);              /* ERR_CLOSED: the other end; else what was wrong with it */
};

/* Takes fd (made non-blocking), also when it fails. handler and poller outlive it. ERR_NOMEM, ERR_IO. */
int ipc_new(int fd, const struct ipc_handler *handler, struct poller *p, struct ipc **ret_i) MUST_CHECK;
void ipc_free(struct ipc *i);

/* Queues one message. ERR_NOMEM: the other end does not read and the queue is full. */
int ipc_tell(struct ipc *i, const struct msg *m) MUST_CHECK;

/* Writes as much as the socket takes; the rest follows by itself. */
void ipc_flush(struct ipc *i);

/* Takes no messages, and resumes with what came meanwhile. */
void ipc_pause(struct ipc *i, bool paused);

size_t ipc_unsent(const struct ipc *i);

#endif
