/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_socket: where the key agent of a profile listens and how coffer finds it.
 *
 * HOME/agent.sock, mode 0600. Where that cannot be made, as the disk of HOME is read-only: an abstract address
 * (unix(7)) named after HOME's device and inode, "coffer-agent/DEV/INO" in hexadecimal. Such an address has no mode
 * and anybody may take it first, so both sides look who the other is (SO_PEERCRED): the agent serves its own user and
 * root, and coffer speaks with HOME's owner, root and its own user alone.
 */
#ifndef COFFER_WIRE_CTL_SOCKET_H
#define COFFER_WIRE_CTL_SOCKET_H

#include <stdbool.h>
#include "base/err.h"

/* A connection to the agent of HOME. ERR_NOT_FOUND and others: none answers. The caller closes *ret_fd. */
int ctl_socket_connect(const char *home, int *ret_fd) MUST_CHECK;
/* Non-blocking and listening; takes over what a killed agent left. `home`: descriptor of HOME, whose lock the caller
 * holds. */
int ctl_socket_listen(int home, int *ret_fd) MUST_CHECK;
/* Before the descriptor is closed. */
void ctl_socket_unlink(int home);
/* Whether who is connected may ask the agent. */
bool ctl_socket_may_ask(int fd);

#endif
