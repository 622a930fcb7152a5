/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: one HTTP request under way, for http.c and the files of its routes alone. Network thread only.
 */
#ifndef COFFER_SERVER_REQUEST_H
#define COFFER_SERVER_REQUEST_H

#include "server/net.h"
#include "server/plain.h"

enum verb { VERB_GET, VERB_HEAD, VERB_PUT, VERB_OPTIONS, VERB_OTHER };
enum phase { PHASE_BODY, PHASE_WORK, PHASE_HEADERS, PHASE_SEND };

struct request {
	struct request *next; /* in the bucket */
	struct net *net;
	struct lws *wsi; /* NULL: the client has gone, and a job is still under way */
	uint64_t id;
	enum verb verb;
	enum phase phase;
	int64_t started, moved; /* monotonic ns; a piece of a body came in or went out */
	struct caller *caller;
	bool counted; /* among those of its address: */
	struct peer *asks, *uploads; /* or NULL */
	struct id16 space, chunk;
	bool has_range;
	uint64_t range_from, range_to;
	uint64_t length; /* of the request's body */
	struct buf in;
	bool uploading; /* counted */

	int status;
	bool close;  /* after the answer */
	bool cached; /* by who asks, for an hour */
	bool deaf;  /* the socket is not read */
	const char *type;
	struct buf out;
	size_t sent;
	uint64_t size; /* of the whole chunk or file (HEAD, ranges) */
	bool is_chunk;

	/* a long answer */
	uint64_t left;      /* bytes of it after `out` */
	struct job *parked; /* goes on when `out` is sent */

	/* file routes */
	struct upload *upload; /* PUT */
	bool is_file;
	char dek[PLAIN_DEK_TEXT]; /* X-Wrapped-DEK of an answer */
};

/* Sends what stands in r->out. */
void request_respond(struct request *r, int status);
void request_respond_error(struct request *r, int status, const char *message);
/* NULL, or why the token is not good, and *ret_status. */
const char *request_authenticate(struct request *r, int *ret_status);
/* Sends what stands in r->out after what was sent before. */
void request_go_on(struct request *r);
/* Whether the client's address has as many requests under way (or uploads) as one may have. */
bool request_address_is_full(const struct request *r, bool uploads);
/* Starts to take a body: counts it, and tells a client that waits for it to go on. */
void request_begin_upload(struct request *r);
/* The same for a body that is read only to be thrown away. */
void request_begin_draining(struct request *r);
/* The request is all here and worked on; nothing more is read until it is answered. */
void request_begin_work(struct request *r, int seconds);

#endif
