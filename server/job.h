/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: one request on its way: made by the network thread, prepared by a verify thread, run by the writer or a reader,
 * and back to the network thread, which sends what it brings. One owner at a time; passing it on is the only
 * synchronisation.
 *
 * A method's functions:
 *	prepare  decodes params, verifies signatures; no store. A refusal is kept in j->state for run to answer.
 *	run      the work. Answers with the job_* functions below and returns OK; > 0: there is more, run it again when
 *	         what it brought has been sent (readers only); negative: nothing was decided (store failure, out of
 *	         memory), what it answered is dropped and the caller answers for it.
 */
#ifndef COFFER_SERVER_JOB_H
#define COFFER_SERVER_JOB_H

#include <pthread.h>
#include "base/buf.h"
#include "server/message.h"
#include "server/caller.h"
#include "server/grant.h"
#include "server/spaces.h"
#include "wire/cbor.h"
#include "wire/frame.h"

struct relay;
struct job;

enum lane {
	LANE_WRITE, /* writer thread, in its transaction, in order */
	LANE_READ,  /* reader thread, one at a time for each connection */
	LANE_BLOB,  /* a thread of those that wait for objects (blob.h), which may take long */
	/* writer thread too, but in turn with the connection's reads: the plain protocol answers in order */
	LANE_TURN
};

struct method {
	const char *name;
	enum lane lane;
	int (*prepare)(struct relay *relay, struct job *j); /* may be NULL */
	int (*run)(struct relay *relay, struct job *j, struct depot *store);
	void (*state_free)(void *state);
};

/* Something that others are told once the writer has committed. */
struct notice {
	struct notice *next;
	struct id16 space;
	struct message *message; /* NULL: only rights may have changed */
	bool to_sender;          /* to the connection that caused it, too */
	bool revokes;            /* a UCAN of the space: */
	struct id32 cid;
	bool to_mailbox; /* not to a space, but to the connections of a mailbox, some seconds later */
	struct id32 mailbox;
};

/* What a subscribe asks the network thread to do before it goes on. */
struct watch {
	struct watch *next;
	struct id16 id;
	struct space *space; /* a reference; NULL: a plain space */
	bool granted;
	struct grant grant; /* if granted */
};

struct job {
	struct job *next;
	const struct method *method;
	int64_t started;       /* monotonic ns; network thread */
	uint64_t conn;         /* connection or HTTP request it belongs to */
	struct caller *caller; /* a reference */
	struct buf in;         /* the message that came, or the body of an upload; id and params point into it */
	struct bytes id, params;
	uint64_t order; /* network thread: writes of this connection that go before it */
	bool prepared;  /* writer's lock */
	void *state;    /* method's */

	/* results */
	struct message_list out;
	struct notice *notices;
	struct watch *watches;
	struct {
		unsigned taken, refused, missed, hit; /* sets of enum limit, as 1 << limit */
	} limits;
	bool more;    /* run again */
	bool accepts; /* `accepted` was added to the caller's set by batch_accept */
	uint64_t accepted;

	/* HTTP only */
	struct id16 space, chunk;
	struct id16 object; /* that an upload was kept as, */
	bool kept;          /* if it was */
	uint64_t range_from, range_to; /* both included */
	bool has_range, head_only;
	int status;    /* HTTP status; 0: an RPC */
	uint64_t size; /* of the whole chunk */
	struct buf body;
};

struct job *job_new(const struct method *method, uint64_t conn, struct caller *caller);
void job_free(struct relay *relay, struct job *j);
/* Drops what run has answered so far. */
void job_drop_results(struct relay *relay, struct job *j);

/* Answers. `*e` is an encoder over `*b`; put exactly one item, then call job_send with both. */
void job_begin_result(struct job *j, struct buf *b, struct cbor_enc *e);
void job_begin_chunk(struct job *j, const char *name, struct buf *b, struct cbor_enc *e);
int job_send(struct job *j, struct buf *b, struct cbor_enc *e) MUST_CHECK;
int job_error(struct job *j, const char *code, const char *message) MUST_CHECK;
/* {} */
int job_empty(struct job *j) MUST_CHECK;
/* {ok: false, error: code} */
int job_refuse(struct job *j, const char *code) MUST_CHECK;
/* HTTP: this status, and {"error": message} as the whole body. `message` is JSON already. */
int job_http_error(struct job *j, int status, const char *message) MUST_CHECK;
/* Takes the message. *ret_n, unless ret_n is NULL, is the notice to add to; it stays the job's. */
int job_notify(struct job *j, const struct id16 *space, struct message *m, struct notice **ret_n) MUST_CHECK;
/* sp NULL: a plain space, by the right of `grant` or (NULL) one's own. */
int job_watch(struct relay *relay, struct job *j, const struct id16 *id, struct space *sp,
	const struct grant *grant) MUST_CHECK;

/* caller_take for n of them, caller_miss and caller_hit, each once for a job: a transaction that failed runs it again,
 * which then finds what the first run found. The last two say whether it is the first time. */
int job_take(struct relay *relay, struct job *j, enum limit what, size_t n) MUST_CHECK;
bool job_miss(struct relay *relay, struct job *j, enum limit what);
bool job_hit(struct relay *relay, struct job *j, enum limit what);

/* LIMIT_SPACE_BYTES for what it brings into a space; LIMIT_SPACE for one push and its bytes. Once for the job too. */
int job_take_bytes(struct relay *relay, struct job *j, const struct id16 *space, uint64_t bytes) MUST_CHECK;
int job_take_space(struct relay *relay, struct job *j, const struct id16 *space) MUST_CHECK;

/* A first-in first-out queue between threads. */
struct job_queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct job *first, *last;
	size_t count;
	bool closed;
};

void job_queue_init(struct job_queue *q);
void job_queue_release(struct job_queue *q); /* must be empty */
bool job_queue_put(struct job_queue *q, struct job *j); /* whether it was empty: who takes all of it must be woken */
struct job *job_queue_take(struct job_queue *q);     /* waits; NULL once closed and empty */
struct job *job_queue_take_all(struct job_queue *q); /* does not wait; a list by next, or NULL */
void job_queue_close(struct job_queue *q);

#endif
