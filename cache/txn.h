/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn: the inside of the store, for the files store*.c, compact.c, evict.c, replay.c and verify.c alone.
 *
 * A transaction collects ops. A file-system call (txn_call) decides by reading, stages its ops, and txn_end() appends
 * them as one journal entry and applies them. A sync transaction (store_begin) applies each op at once under a
 * savepoint; when it has data, whose place is known only after the append, commit goes back to the savepoint and
 * applies all again.
 *
 * An op that cannot be applied after its entry was appended leaves the index behind the journal: store_recover() rolls
 * it back to the last commit and replays, at once or with the next call.
 */
#ifndef COFFER_CACHE_TXN_H
#define COFFER_CACHE_TXN_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "cache/aside.h"
#include "cache/hold.h"
#include "cache/journal.h"
#include "cache/op.h"
#include "cache/use.h"

struct pagevfs;
struct survey;
struct compaction;

struct store_txn {
	struct store *s;
	struct buf body, data;
	struct bytes data_view; /* instead of data: the caller's memory, for one large write */
	bool live;              /* apply each op as it is staged */
	bool frees;             /* lets go of space: goes on when the disk is full */
	bool local;             /* a file-system call: not in a space that is read-only */
	bool refused;           /* it was */
	bool tight;             /* the disk was, when the call began */
	bool keeps_house;       /* of the housekeeping alone: nobody works */
	bool failed;            /* of a live one: an op could not be applied; it can only be aborted */
	uint32_t changed;       /* space with a new local change, for the callback */
	struct aside_file aside; /* a target that it sets; ino 0: none */
};

/* Stamps of readers: what they saw at sequence number `seq` is kept. */
struct store_keep {
	struct store *s;
	struct store_keep *next, *prev;
	uint64_t seq, number; /* number: counts keeps */
	bool snapshot; /* of store_keep(): its extents may name chunks, so these stay too */
};

/* A file that grows by small appends, each a piece of its own until housekeeping joins those from `from` on. */
struct tail {
	uint64_t ino, from, count;
};

/* Where a chunk of a file was last seen to be absent: a hint, store_queue.c. */
struct absent {
	uint64_t ino, off;
};

/* What is to be punched (punch.c) once the readers before number `readers` have gone. */
struct punch_plan {
	struct survey *survey; /* NULL: no plan */
	bool *hit;             /* for each of its rows */
	uint64_t readers;
	uint64_t lost, db_segment, left; /* when it was made; left: dead bytes that had to wait */
};

/* Files of one chunk that a single transaction goes through: what it marks must fit an entry, and others wait for the
 * lock. */
#define CHUNK_OWNERS 1000

#define RANDOM_POOL 4096
#define TAILS 16
#define ABSENT 64

struct store {
	struct store_config config;
	int lock_fd;
	struct secret *key;
	uint8_t name_key[16];
	struct segments *segments;
	struct journal *journal;
	struct pagevfs *vfs;
	_Atomic uint64_t limit;    /* bytes that eviction aims for; 0: none */
	/* for tend_make_room(): when a turn was asked for; when a wait ended that did not help */
	_Atomic int64_t asked, in_vain;
	_Atomic uint64_t room_lost, free_bytes; /* segments_lost() then; of the disk, when it was last looked at */
	_Atomic unsigned snapshots; /* keeps of store_keep(); changed under `lock` */
	_Atomic unsigned wanting; /* those who found no room and wait for a turn */
	bool frozen; /* since the start: the disk was read-only then */
	_Atomic bool readers_wait; /* holes could be punched but for them */
	_Atomic int tend_err; /* of the last turn */

	pthread_mutex_t lock; /* everything below */
	struct index *index;
	struct index_state at;  /* the journal's position and sequence (the other fields are the index's own) */
	uint64_t committed_seq; /* the last index commit reflects it */
	uint64_t uncommitted;   /* entries since */
	_Atomic bool scarce;    /* no lock: make room before it is tight */
	_Atomic bool
		tight; /* no lock: the disk has little more than what the index may need: only what frees goes on */
	bool behind;   /* the index lacks what the journal has: recover first */
	_Atomic bool is_late; /* the index lacks the last entry: apply it first. Set and cleared with the lock */
	struct buf late;      /* its body */
	struct place late_data;
	struct store_txn call;
	struct holds holds;
	struct aside aside;
	struct store_keep keeps; /* list head */
	uint64_t n_keeps;        /* ever */
	uint8_t random[RANDOM_POOL];
	size_t random_left;
	struct store_txn *open; /* between store_begin and commit */
	struct tail tails[TAILS];
	uint64_t unseen; /* bytes written since space was looked at */
	struct uses *uses; /* NULL: the store has no limit */
	bool worked; /* something other than housekeeping was written since the last turn */
	struct absent absent[ABSENT]; /* of files that share chunks: each chunk that comes looks at all of them */
	unsigned next_absent;

	pthread_mutex_t tend_lock;      /* one store_tend at a time; taken before `lock`; guards what follows */
	uint64_t checkpointed;          /* mark of the log at the last checkpoint */
	bool index_reserve, index_full; /* the index's reserve is there; it was needed */
	struct punch_plan punch;
	struct compaction *compaction; /* NULL: none goes on */
	unsigned compact_rest;         /* turns without */
	unsigned evict_rest;
	uint64_t compact_lost;         /* segments_lost() when the last one began */
	_Atomic bool quiet;            /* nothing was written by others for some turns; no lock */
	unsigned quiet_turns;
	bool again;                    /* the next turn at once */
	uint64_t db_segment, db_seq;    /* the index on disk, without its log, is of this commit */
	pthread_mutex_t wake_lock; /* the turns and what follows */
	pthread_cond_t wake, turned, opened;
	_Atomic bool closing, gate; /* a checkpoint closes the gate soon; it is closed. Changed with wake_lock */
	_Atomic bool crowded;       /* the index holds back nearly as much as it may; no lock */
	uint64_t turns_begun, turns_ended;
	bool stopping, kicked;
	bool segment_taken; /* another one is to be made ready */
	pthread_t keeper;
	bool keeper_runs; /* set while no other thread is here */

	pthread_mutex_t read_only_lock; /* innermost; guards the next two */
	uint32_t *read_only;            /* spaces, unordered */
	size_t n_read_only;
};

/* Takes the lock and gives the store's transaction for one call. On an error nothing is locked. On a tight disk it
 * first waits for what housekeeping can give back, 2 s at most, so that nobody hears of a full disk while dead bytes
 * take it up. */
int txn_call(struct store *s, struct store_txn **ret_t) MUST_CHECK;
/* The same for a call that lets go of more than it takes: it waits for no room, and may use the reserve. */
int txn_call_freeing(struct store *s, struct store_txn **ret_t) MUST_CHECK;
/* The same for housekeeping, which holds tend_lock. */
int txn_call_inside(struct store *s, struct store_txn **ret_t) MUST_CHECK;
/* Appends and applies if err is 0, unlocks, calls back. Returns err or what went wrong. */
int txn_end(struct store_txn *t, int err) MUST_CHECK;
/* Empties a body, which may hold keys of chunks. */
void txn_wipe_body(struct buf *body);
/* Makes the index say what the journal says; lock held. */
int txn_refresh(struct store *s) MUST_CHECK;
/* The lock for reading rows, with the index as the journal is. */
int store_lock(struct store *s) MUST_CHECK;
void store_unlock(struct store *s);
/* A directory that may get and lose names; lock held. ERR_NOT_FOUND: there is none, or it was removed; ERR_NOT_DIR. */
int store_get_dir(struct store *s, uint64_t ino, struct node *ret) MUST_CHECK;

int txn_stage(struct store_txn *t, const struct op *op) MUST_CHECK;
/* Adds bytes to the entry's data; *ret_from is their offset in it. */
int txn_add_data(struct store_txn *t, struct bytes data, uint64_t *ret_from) MUST_CHECK;
uint64_t txn_new_row(struct store_txn *t);
int64_t store_now(const struct store *s);
void store_random(struct store *s, void *p, size_t n);
int txn_put_node(struct store_txn *t, const struct node *now, const struct node *before) MUST_CHECK;
/* Marks a local change on the copy; the caller stages it. */
void txn_touch(struct store_txn *t, struct node *n, uint32_t change_bits);
/* A node after a call that changed it, as the call returns it; no lock held. The call has happened, so this cannot
 * fail: what cannot be summed up counts as having no holes. */
void store_show_node(struct store *s, const struct node *n, struct node *ret);
/* Drops a node without names: for good if nobody has ever seen it, else what is left is a tombstone to be sent. */
int txn_drop_node(struct store_txn *t, struct node *n, const struct node *before) MUST_CHECK;

/* pin.c: whether the node is pinned, by its mark or its folder's; lock held. */
int pin_has(struct store *s, const struct node *n, bool *ret) MUST_CHECK;

bool txn_is_acl(struct bytes name); /* an xattr's */

/* Stages a new node; it has no name yet. */
int txn_make_node(
	struct store_txn *t, const struct node_new *new, uint32_t space, struct node *ret_node) MUST_CHECK;
/* Gives a node one more link; nlink is the caller's. */
int txn_add_name(struct store_txn *t, const struct node *n, const struct node *dir, struct bytes name) MUST_CHECK;
/* Stages a directory whose entries changed. */
int txn_put_dir(struct store_txn *t, struct node *dir, const struct node *before) MUST_CHECK;

void keep_add(struct store *s, struct store_keep *k); /* lock held */
void keep_drop(struct store *s, struct store_keep *k);
bool keep_snapshots(const struct store *s);
uint64_t keep_oldest(const struct store *s); /* UINT64_MAX: none */
bool keep_before(const struct store *s, uint64_t number); /* one of the first `number` keeps lives */

/* replay.c */
int store_replay(struct store *s) MUST_CHECK;  /* at the start: registers segments, replays, opens a new one, purges */
int store_recover(struct store *s) MUST_CHECK; /* see above; lock held */
/* compact.c, collect.c, punch.c, evict.c, store_queue.c: parts of store_tend; no lock held */
int store_compact(struct store *s) MUST_CHECK;
void compact_stop(struct store *s); /* forgets how far it came */
int store_coalesce(struct store *s) MUST_CHECK; /* small appends */
int store_collect(struct store *s) MUST_CHECK;  /* chunks that nothing names */
/* NODE_PARTIAL of the files of a chunk that came and has very many */
int store_refresh_marks(struct store *s) MUST_CHECK;
int store_punch(struct store *s, bool *ret_some) MUST_CHECK; /* on a full disk: gives dead bytes back where they lie */
void punch_forget(struct store *s);
int store_evict_some(struct store *s) MUST_CHECK;
int evict_load_limit(struct store *s) MUST_CHECK; /* at the start: the configured one, else what was set */
/* tend.c */
/* When space is scarce, before a call; no lock held. Asks for a turn; with `wait`, on a tight disk, waits for turns as
 * long as they give something, 2 s at most. */
void tend_make_room(struct store *s, bool wait);
/* After a call that found no room: waits for a turn of housekeeping, unless one was in vain just now. True: it gave
 * something, so that another try is worth it. *until: zero at first; then when the waiting ends, 2 s later. No lock
 * held. */
bool tend_gives(struct store *s, struct timespec *until);
/* Asks the disk what is free and sets free_bytes, scarce and tight by it. Needs no lock. */
void tend_look_at_space(struct store *s);
int tend_relieve(struct store *s) MUST_CHECK;
void tend_wait_gate(struct store *s); /* until no checkpoint needs the index to stay as it is; no lock held */
int tend_commit(struct store *s) MUST_CHECK; /* index commit; lock held */
int tend_start(struct store *s) MUST_CHECK;
void tend_stop(struct store *s);
void tend_kick(struct store *s);
/* The journal has begun a segment: its keeper makes the next one ready, so that no writer waits for the disk to find
 * room. */
void tend_segment_taken(struct store *s);

#endif
