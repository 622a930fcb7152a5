/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the agent's control socket (wire/ctl_socket.h): one thread per connection, one request per connection at
 * a time.
 *
 *	control_open(agent, &c);     // bound and listening
 *	control_serve(c, stop_fd, idle_ns);   // until SIGTERM's descriptor, a stop verb, or idleness
 *	control_free(c);
 */
#ifndef COFFER_FUSEFS_CONTROL_H
#define COFFER_FUSEFS_CONTROL_H

#include "fusefs/agent.h"

struct control;

#define CONTROL_MAX_CONNECTIONS 64

/* Whether an agent listens in the profile's directory HOME. */
bool control_answers(const char *home);
int control_open(struct agent *a, struct control **ret_c) MUST_CHECK;
/* stop_fd: readable when the process must end (a signalfd). idle_ns: ends when nothing is mounted, pending or connected
 * for so long; 0: never. Cancels what blocks in the agent and returns when all connections have ended. */
void control_serve(struct control *c, int stop_fd, int64_t idle_ns);
void control_free(struct control *c);

#endif
