/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_inner: what the files of sync share: sync.c (thread, public calls), sync_space.c (a space's phases),
 * sync_dirty.c (what changed here), sync_seal.c (cuts), sync_push.c (the pipeline to the relay), sync_pull.c (what
 * comes), sync_fetch.c (content on demand), sync_room.c (what the relay has no room for), sync_usage.c (what it says of
 * that), sync_keep.c (content that is pinned), sync_wait.c (barriers). Everything here is touched on the sync thread
 * alone, unless it says otherwise.
 */
#ifndef COFFER_FUSEFS_SYNC_INNER_H
#define COFFER_FUSEFS_SYNC_INNER_H

#include <pthread.h>
#include "fusefs/apply.h"
#include "fusefs/calm.h"
#include "fusefs/lane.h"
#include "fusefs/peer.h"
#include "fusefs/sync.h"
#include "fusefs/sync_head.h"
#include "base/table.h"
#include "fusefs/workers.h"
#include "wire/cbor.h"
#include "wire/head.h"

#define SYNC_INLINE_PLAIN (60u * 1024) /* chunks up to this plaintext fit CHUNK_SMALL_BLOB whatever they hold */

struct sync_space;

/* Work that another thread posted; it waits for `done`. Freed when both sides have let go. */
struct sync_job {
	struct sync_job *next;
	/* on the sync thread; ERR_AGAIN: not done yet (never once dead) */
	int (*run)(struct sync *s, struct sync_job *job);
	void (*release)(void *ctx); /* of ctx, when both sides have let go; may be NULL */
	pthread_cond_t cond;
	int refs;         /* under sync->lock */
	bool done, dead;  /* under sync->lock; dead: the poster has gone */
	int err;
	int64_t posted, deadline;
	void *ctx;
};

struct sync_peer {
	struct sync *sync;
	struct peer *peer;
	uint64_t next_number; /* of pushes */
	int64_t since_wall;   /* of the last change between online and not; 0: neither yet */
	int64_t failed_at;    /* monotonic: when it was last said to be offline; 0: not since it was online */
	struct sync_peer *next;
};

/* ---- the outbox as memory has it ---- */

enum out_state { OUT_WAITING, OUT_SENDING, OUT_THERE };

/* One chunk on its way, shared by all items that name it: what becomes of it, all of them see at once. */
struct out_chunk {
	uint64_t row;
	size_t refs;         /* items; the last takes it along */
	uint32_t len;
	enum out_state state;
	bool by_put;
	bool has_print;           /* its hash was made by this process, */
	struct fingerprint print; /* of bytes with this fingerprint */
};

struct push;
struct put;

enum out_shrink { SHRINK_UNKNOWN, SHRINK_NO, SHRINK_YES };

struct out_item {
	struct outbox_row o;
	struct sync_space *ss;
	size_t bytes;        /* of the blob */
	struct out_chunk **chunks;
	size_t n_chunks;
	bool barrier;        /* everything before it must be confirmed first, in all lanes */
	bool sent_before;    /* by an earlier run or connection: the relay may have it */
	struct push *push;   /* in flight in this one; NULL: queued */
	bool alone;          /* goes in a push of its own */
	bool lacked;         /* the relay said once that chunks of it are missing */
	bool dead;           /* a deletion */
	bool aside, doubtful; /* sync_room.h */
	uint64_t refusal, tried; /* number of its first and its last refusal */
	int64_t refused_at;  /* the first */
	bool overdue;        /* refused so long ago that nothing waits for it any more */
	enum out_shrink shrink; /* whether it has less content than the version it follows */
	uint64_t known;      /* how many there had been when it was queued */
	uint64_t judged;     /* found to wait for what is aside, in which turn */
	bool dropped;        /* merged away or confirmed otherwise while in flight: the push only forgets it */
	struct out_item *next;
};

/* One coffer.push in flight. */
struct push {
	struct sync_space *ss;
	uint64_t number, num /* of the peer's call */, lane;
	uint64_t after;      /* the number of the one that it follows; 0: none */
	struct out_item **items;
	size_t n;
	struct buf *blobs;   /* of the records, as sent */
	bool fresh;          /* holds nothing that the relay may have: its lines are ours */
	struct push *next;
};

/* A step of a space's history as it came, not applied yet. */
struct step {
	uint64_t prev, cursor;
	uint8_t *data;       /* the encoded map */
	size_t len;
	struct step *next;
};

enum phase {
	PHASE_OFFLINE,   /* no connection */
	PHASE_SUBSCRIBE, /* asked */
	PHASE_LIVE,      /* subscribed; pulls when it must */
	PHASE_STOPPED    /* an alarm that only a person can mend */
};

/* Chunks of a space that are pinned and not here; those before `at` are on their way. */
struct keep_list {
	struct keep_chunk {
		uint64_t row;
		uint32_t len;
	} *chunks;
	size_t at, n, alloc;
	uint64_t bytes;         /* from `at` on */
	int64_t retry_at, retry_delay;
};

/* A relay that went back in time (sync_heal.h). */
struct sync_heal {
	bool wanted;            /* found out, and `common` is being looked for */
	bool on;                /* what it lost is being given back */
	bool tried;             /* on this connection: the log, for a space that the relay does not know */
	bool first;
	uint64_t cursor;        /* of the relay when it was found out */
	/* while on: the last step that both know; steps up to `until` count as older than what is here */
	uint64_t common, until;
	uint64_t low, high;     /* the last common step is one of low .. high */
	uint64_t given_up;      /* records, in this run: neither here nor there is all of their content */
	uint64_t entries, sent; /* of the log: the relay has; and is being sent */
	struct id16 store;
	struct step_lines step; /* that is looked at */
};

/* What the relay has no room for (sync_room.h). */
struct sync_room {
	size_t aside, doubtful;  /* items */
	size_t asking;           /* PUTs under way that began for a doubtful item */
	uint64_t refusals, turn; /* counted: of both, what changes whether a deletion may go */
	struct table taken_back; /* ino -> 1: nodes of which a newer version is about to be queued */
	int64_t at, delay;       /* when the next one is tried again */
};

/* What it says that the space takes (sync_usage.h). */
struct sync_usage {
	uint64_t call; /* under way; 0: none */
	int64_t at;    /* not asked again before */
	struct relay_usage told;
};

struct sync_space {
	struct sync *sync;
	struct space *space;
	struct sync_peer *peer;
	struct sync_space *next;
	uint32_t row;
	uint64_t root_ino;
	enum phase phase;
	uint64_t connection;
	uint64_t call;          /* subscribe or pull under way; 0: none */
	uint64_t relay_cursor;  /* highest heard of */
	bool poked;
	int alarm;
	const char *alarm_text; /* static */
	int64_t retry_at;       /* nothing is asked of the relay before */
	int64_t retry_delay;
	/* pull */
	bool pulling, pull_more;
	bool caught_up;         /* once since the connection was made */
	uint64_t pull_last;     /* cursor of the last part of the pull under way */
	uint64_t pull_from;     /* and where it began */
	unsigned empty_pulls;   /* in a row, that brought nothing of what the relay says it has */
	struct step *steps, **steps_tail;
	size_t step_bytes;
	uint64_t index_call;    /* the first step needs an index chunk that is being fetched; 0: it does not */
	struct slice index_wanted;
	bool index_failed;      /* the relay does not have it: records that need it are passed over */
	struct tree_state tree;
	/* ino -> change + 1 of the state of which a conflict copy was made, until the steps are applied */
	struct table copies;
	/* changes here */
	struct lanes *lanes;
	struct table lane_of;   /* directory ino -> lane + 1 */
	uint64_t seen_change;
	bool forked;            /* a head of another device contradicts the chain */
	bool may_not_write;
	/* outbox */
	struct out_item *items, **items_tail;
	struct table item_of;   /* ino -> struct out_item * (the newest) */
	struct table chunk_of;  /* chunk row -> struct out_chunk *, of the items in the list */
	size_t n_items;
	bool items_lost;        /* the list is not what the store has: it is loaded again before anything is sent */
	struct push *pushes, **pushes_tail;
	struct put *put_list;   /* sync_upload.c */
	size_t puts, put_bytes;
	struct keep_list keep;
	struct sync_heal heal;
	struct sync_room room;
	struct sync_usage usage;
	/* ino -> when its hour began (s, 48 bits), and how many versions were sealed since (16 bits) */
	struct table rewritten;
};

struct fetch;

struct sync {
	struct sync_config config;
	pthread_t thread;
	pthread_mutex_t lock;   /* protects jobs, pokes, stop, and the jobs' shared fields */
	int wake_fd;
	struct sync_job *jobs, **jobs_tail;
	struct table poked;
	struct calm calm;       /* pokes while it holds wake nobody: the thread looks then; the sync thread writes it */
	bool stop, started;
	struct sync_job *waiting; /* jobs that said ERR_AGAIN */
	struct sync_peer *peers;
	struct sync_space *spaces;
	struct workers *workers; /* hash, seal and open chunks; NULL: that is done here */
	uint8_t fingerprint_key[FINGERPRINT_KEY_SIZE];
	struct fetch *fetches;
	uint64_t last_fetch_row; /* that somebody waited for, */
	size_t fetch_ahead;      /* and how many after it were asked for with it */
	/* sync_keep.c */
	bool repinned;           /* under lock: what is pinned has changed */
	bool keep_looking, keep_full; /* a look goes on; it began with the first chunk */
	bool keep_again;         /* a full one is due */
	struct pin_look keep_at; /* how far it came */
	uint64_t looks_begun, looks_done; /* full ones */
	int64_t keep_full_at;    /* when the next full one is due; 0: none */
	double up_rate, down_rate;
	uint64_t rate_up, rate_down;
	int64_t rate_at;
};

/* sync.c */
int64_t sync_now(const struct sync *s);
struct sync_peer *sync_peer_of(struct sync *s, const char *relay, bool make);
struct sync_space *sync_space_of(struct sync *s, uint32_t row);
/* Whether rights that stand in a version of this owner and author count here (owners_trusted); zero: not synced yet. On
 * the sync thread; takes the personal space's lock. */
bool sync_trusts(const struct sync *s, const struct id32 *owner, const struct id32 *author);
int sync_job_post(
	struct sync *s, struct sync_job *job, int64_t deadline, bool (*interrupted)(void *arg), void *arg) MUST_CHECK;
struct sync_job *sync_job_new(int (*run)(struct sync *s, struct sync_job *job), void *ctx);
bool sync_job_dead(struct sync *s, const struct sync_job *job);
void sync_job_let_go(struct sync *s, struct sync_job *job);
/* Runs the jobs that were posted and those that waited; stopping: ends them. */
void sync_run_jobs(struct sync *s, bool stopping);
/* ERR_OFFLINE if there is no hope soon, ERR_AGAIN while it is connecting, 0 if online. */
int sync_peer_ready(const struct sync_peer *p, const struct sync_job *job);

/* sync_space.c */
int sync_space_new(struct sync *s, struct space *space, struct sync_space **ret_ss) MUST_CHECK;
void sync_space_free(struct sync_space *ss);
void sync_space_connection(struct sync_space *ss); /* the peer's state changed */
void sync_space_step(struct sync_space *ss, int64_t now);
int64_t sync_space_due(const struct sync_space *ss, int64_t now);
void sync_space_alarm(struct sync_space *ss, int err, const char *text); /* text: static */
void sync_space_fork(struct sync_space *ss); /* two histories: stops for good */
/* begins anew with the next connection or try, unless it is stopped for good */
void sync_space_offline(struct sync_space *ss);
void sync_space_revoked(struct sync_space *ss); /* the relay says that this device is no member any more */
/* what became of a write to the store: of a full disk people are told */
void sync_space_stored(struct sync_space *ss, int err);
void sync_space_retry(struct sync_space *ss, int64_t now); /* asks again later, with back-off */

/* The tree of a space within a transaction; and its end: what is shown otherwise is told if `err` is 0, else the state
 * is loaded again. Returns err, or what went wrong with that. */
struct tree sync_space_tree(struct sync_space *ss, struct store_txn *t);
int sync_space_settled(struct sync_space *ss, struct tree *tr, int err) MUST_CHECK;

/* sync_dirty.c */
int sync_dirty_scan(struct sync_space *ss, int64_t now) MUST_CHECK;

/* sync_seal.c */
int sync_seal_due(struct sync_space *ss, int64_t now) MUST_CHECK;

/* sync_push.c */
/* the outbox as the store has it; nothing of it is in flight then */
int sync_push_load(struct sync_space *ss) MUST_CHECK;
struct out_item *sync_push_add(struct sync_space *ss, const struct outbox_row *o) MUST_CHECK;
void sync_push_pump(struct sync_space *ss, int64_t now);
void sync_push_reset(struct sync_space *ss); /* the connection is gone: nothing is in flight */
struct out_item *sync_push_find(const struct sync_space *ss, uint64_t ino);
/* Takes an item out of memory (its row is the caller's to delete): merged away, or confirmed by a line. */
void sync_push_drop(struct sync_space *ss, struct out_item *item);
void sync_push_free(struct sync_space *ss);
/* Takes versions back that the relay does not have: what they changed counts as changed again, on the last version that
 * it has. */
int sync_push_give_back(struct sync_space *ss, struct out_item **items, size_t n) MUST_CHECK;
/* Reads the sealed blob of an item's row. */
int sync_push_blob(struct store_txn *t, const struct out_item *item, struct buf *ret_blob) MUST_CHECK;

/* out_chunk.c */
/* Adds the chunk of a row to what an item names, as OUT_WAITING unless it is known. */
int out_chunk_add(struct out_item *item, uint64_t row, uint32_t len) MUST_CHECK;
void out_chunk_print(struct sync_space *ss, uint64_t row, const struct fingerprint *print);
/* nothing, if no item names it any more */
void out_chunk_set(struct sync_space *ss, uint64_t row, enum out_state state);
void out_chunk_drop_all(struct out_item *item);

/* sync_pull.c */
void sync_pull_start(struct sync_space *ss);
void sync_pull_notified(struct sync_space *ss, struct bytes params);
void sync_pull_run(struct sync_space *ss, int64_t now);  /* applies what can be applied */
void sync_pull_clear(struct sync_space *ss);
/* Writes cursor, chain and the kept chain value of `cursor` in t: lines are the encoded lines of that step; *chain is H
 * before it (at first space->row.chain), and after it on return. */
int sync_pull_advance(
	struct sync_space *ss, struct store_txn *t, uint64_t cursor, struct bytes lines, struct id32 *chain) MUST_CHECK;
void sync_pull_advanced(struct sync_space *ss, uint64_t cursor, const struct id32 *chain); /* t was committed */


/* sync_apply.c */
/* Applies the first n steps of the queue, which follow the cursor; *ret_done of them are through. ERR_AGAIN: an index
 * chunk is being fetched first. */
int sync_apply_batch(struct sync_space *ss, size_t n, size_t *ret_done) MUST_CHECK;
/* Applies entries that the relay accepted from here as step `cursor`. */
int sync_apply_appended(struct sync_space *ss, const struct bytes *blobs, size_t n, uint64_t cursor) MUST_CHECK;

/* Entries were committed: notes what this device may do now, and tells. */
void sync_apply_log_moved(struct sync_space *ss);

/* sync_wait.c: what barriers that are under way must know. The item was confirmed; a copy of the file, which holds what
 * was changed in it, is to be sent too. ERR_NOMEM. */
void sync_wait_confirmed(struct sync *s, const struct out_item *item);
int sync_wait_copied(struct sync_space *ss, uint64_t ino, uint64_t copy) MUST_CHECK;

/* sync_head.c. sync_head_check writes in t, and sets ss->forked, if the head shows another history; sync_head_forked: 1
 * if one ever did. */
int sync_head_forked(struct store_txn *t, uint32_t row) MUST_CHECK;
int sync_head_make(struct sync_space *ss, struct buf *ret_blob) MUST_CHECK;
void sync_head_check(struct sync_space *ss, struct store_txn *t, struct bytes blob);

/* sync_fetch.c */
void sync_fetch_pump(struct sync *s, int64_t now);
void sync_fetch_offline(struct sync *s, struct sync_peer *p);
void sync_fetch_gone(struct sync *s, struct sync_space *ss); /* the space goes */
void sync_fetch_free(struct sync *s);
/* Begins to fetch a pinned chunk; sync_keep_result() tells how it ended. ERR_AGAIN: not now, others go first;
 * ERR_EXISTS: it is here; ERR_NOT_FOUND: it went. */
int sync_fetch_keep(struct sync *s, uint64_t chunk_row) MUST_CHECK;
uint64_t sync_fetch_kept(const struct sync *s, uint32_t space); /* bytes of those under way */

/* sync_keep.c */
void sync_keep_step(struct sync *s, int64_t now);
int64_t sync_keep_due(const struct sync *s, int64_t now);
void sync_keep_arrived(struct sync *s, int64_t now); /* steps of others were applied */
void sync_keep_changed(struct sync *s, int64_t now); /* something was changed here */
void sync_keep_online(struct sync_space *ss);        /* a connection was made */
void sync_keep_result(struct sync *s, uint32_t space, uint64_t row, uint32_t len, int err);
void sync_keep_free(struct sync_space *ss);
/* Asks for a full look that begins after the call. Once sync_keep_looked() says that it ended, and as long as it does,
 * sync_keep_left() is what is missing: bytes. */
uint64_t sync_keep_look(struct sync *s);
bool sync_keep_looked(const struct sync *s, uint64_t look);
uint64_t sync_keep_left(const struct sync_space *ss);

#endif
