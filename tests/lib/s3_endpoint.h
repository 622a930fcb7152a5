/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_endpoint: a real S3 endpoint on loopback (tests/tools/swift.py), and one that behaves as it is told. Everything
 * asserts.
 *
 *	struct s3_endpoint e;
 *	s3_endpoint_start(&e);                // ends with the test, whatever happens
 *	blob_open(env, &(struct blob_place){ .dir = dir, .s3 = &e.options }, &b);
 *	s3_endpoint_stop(&e);
 */
#ifndef COFFER_TESTS_LIB_S3_ENDPOINT_H
#define COFFER_TESTS_LIB_S3_ENDPOINT_H

#include <pthread.h>
#include <sys/types.h>
#include "server/s3.h"

struct s3_endpoint {
	struct s3_options options; /* point into this struct */
	char url[64], dir[128];
	pid_t pid;
};

void s3_endpoint_start(struct s3_endpoint *e);
void s3_endpoint_stop(struct s3_endpoint *e);

/* Takes connections one after the other, reads a request's headers from each, and answers the i-th with script[i], the
 * last one again and again. "": it says nothing until the client goes. */
struct s3_script {
	struct s3_options options;
	char url[64];
	const char *const *script;
	size_t n, served;
	int fd;
	pthread_t thread;
};

void s3_script_start(struct s3_script *s, const char *const *script, size_t n);
void s3_script_stop(struct s3_script *s); /* s->served: how many it answered */

#endif
