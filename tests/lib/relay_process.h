/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_process: a real coffer-relay on a free port and a directory of its own.
 */
#ifndef COFFER_TESTS_LIB_RELAY_PROCESS_H
#define COFFER_TESTS_LIB_RELAY_PROCESS_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>
#include "tests/lib/test_database.h"

struct relay_process {
	pid_t pid;
	uint16_t port;   /* kept over restarts */
	char url[64];    /* http://127.0.0.1:PORT */
	char dir[PATH_MAX];
	char database[TEST_DATABASE_SIZE];
	char origin[64]; /* --origin; empty: none */
	char config[PATH_MAX]; /* --config; empty: none. What SIGHUP reads again */
};

/* A second one on the same directory and database (PostgreSQL only); end it with relay_process_kill. */
void relay_process_start_beside(struct relay_process *r, const struct relay_process *first);
/* Starts build/coffer-relay and waits until it listens. r->dir and r->port are made if they are zero. */
void relay_process_start(struct relay_process *r);
void relay_process_kill(struct relay_process *r, int signal); /* and waits for its end */
void relay_process_remove(struct relay_process *r);           /* kills it and removes the directory */

#endif
