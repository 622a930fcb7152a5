/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_uploader: a thread that uploads one file after the other into a plain space, and again what it was not answered
 * for because the relay was killed. Everything asserts, also the thread (program.h).
 *
 *	plain_uploader_init(&u, &place, no, &device, relay.url, &record);   // a record that is there and stays
 *	plain_uploader_start(&u, relay.port);
 *	...                                                  // the relay is killed, or
 *	plain_uploader_stop(&u, true);                       // true: it must be there still
 *	plain_uploader_heard(&u, &file, cursor, ...)         // of each file in a pull
 *	plain_uploader_check(&u, relay.port);                // all are there, with their bytes
 */
#ifndef COFFER_TESTS_LIB_PLAIN_UPLOADER_H
#define COFFER_TESTS_LIB_PLAIN_UPLOADER_H

#include "tests/lib/plain_place.h"

struct plain_file {
	uint64_t cursor; /* 0: no pull has said */
	bool answered;
};

struct plain_uploader {
	struct plain_place *place;
	uint32_t no;
	char *ucan;
	struct buf token;
	struct id16 record;
	uint16_t port;
	pthread_t thread;
	atomic_bool ends, lost; /* it shall end; the relay went away */
	pthread_mutex_t lock;   /* below */
	struct plain_file *files;
	size_t n, again; /* files; uploads that were sent once more */
};

void plain_uploader_init(struct plain_uploader *u, struct plain_place *place, uint32_t no, const struct party *me,
	const char *url, const struct id16 *record);
void plain_uploader_release(struct plain_uploader *u);
void plain_uploader_start(struct plain_uploader *u, uint16_t port);
/* Waits for its end. there: every file is answered then. */
void plain_uploader_stop(struct plain_uploader *u, bool there);
/* A row of a pull. False: it is another uploader's. */
bool plain_uploader_heard(
	struct plain_uploader *u, const struct id16 *file, uint64_t cursor, uint64_t size, struct bytes dek);
void plain_uploader_check(struct plain_uploader *u, uint16_t port);

#endif
