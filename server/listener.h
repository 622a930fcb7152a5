/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: the sockets that the relay accepts connections on: one of its own, or those that systemd passed (LISTEN_PID
 * and LISTEN_FDS, sd_listen_fds(3)).
 *
 *	struct listener l;
 *	if ((err = listener_open(&l, "127.0.0.1:5379", false)) < 0) ...
 *	... what else has to be there before anybody connects ...
 *	if ((err = listener_listen(&l)) < 0) ...
 *	... accept on l.fds[0 .. l.n-1] ...
 *	listener_close(&l);
 */
#ifndef COFFER_SERVER_LISTENER_H
#define COFFER_SERVER_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define LISTENER_MAX 8

struct listener {
	int fds[LISTENER_MAX]; /* non-blocking, close-on-exec */
	size_t n;
	bool passed;    /* by systemd */
	char host[64];  /* of the first; "" if it has none (a Unix socket) */
	uint16_t port;
};

/* ADDRESS:PORT, [ADDRESS]:PORT; port 0: any free one. With `shared` other processes of this user may have the port too
 * (SO_REUSEPORT): each gets its part of the connections, from listener_listen on. ERR_INVALID (no IP address), ERR_BUSY
 * (in use), ERR_NOT_FOUND (no address of this machine), ERR_PERMISSION, ERR_IO. */
int listener_open(struct listener *l, const char *where, bool shared) MUST_CHECK;
/* Nothing to do for sockets that were passed. ERR_BUSY, ERR_IO. */
int listener_listen(struct listener *l) MUST_CHECK;
/* The passed sockets, marked close-on-exec; their variables leave the environment. Once, before any thread. l->n is 0
 * if there are none. ERR_INVALID: what was passed is no listening stream socket. */
int listener_passed(struct listener *l) MUST_CHECK;
void listener_close(struct listener *l);

#endif
