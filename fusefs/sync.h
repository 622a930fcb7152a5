/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync: carries local changes to the relay and remote changes into the store, for all spaces of a profile. One thread
 * with one loop over the sockets to coffer-syncd (one process per relay), timers and wake-ups; sealing on worker
 * threads.
 *
 *	sync_start(&config, &s);
 *	sync_add_space(s, space);      // at start and whenever one is created or joined
 *	... sync_poke(s) from store_config.changed ...
 *	sync_stop(&s);
 *
 * All functions are thread-safe. Those that say "blocks" wait for the sync thread, so they must not be called on it,
 * which the callbacks of the config are. The others only take a lock or a store transaction.
 */
#ifndef COFFER_FUSEFS_SYNC_H
#define COFFER_FUSEFS_SYNC_H

#include "fusefs/mount.h"
#include "fusefs/space.h"

struct sync;

struct sync_config {
	const struct env *env;
	struct store *store;
	const struct identity *who;   /* outlives sync */
	const char *syncd_path;       /* the coffer-syncd program */
	void *ctx;
	/* Called on the sync thread after a transaction with remote changes was committed. */
	void (*changed)(void *ctx, const struct invalidation *inv, size_t n);
	/* A NODE_PROFILE node of the personal space arrived or changed. */
	void (*profile)(void *ctx, uint64_t ino);
	/* New log entries of a space were applied. */
	void (*log_moved)(void *ctx, struct space *s);
};

int sync_start(const struct sync_config *config, struct sync **ret_s) MUST_CHECK;
/* From now on every open and later blocking call ends with ERR_CANCELLED at once. Before sync_stop, while other threads
 * still call. */
void sync_quit(struct sync *s);
/* open calls end with ERR_CANCELLED; nothing is lost: all state is in the store */
void sync_stop(struct sync **s);
void sync_poke(struct sync *s, uint32_t space_row);

/* Blocks. The space outlives sync. ERR_EXISTS: it is there already; ERR_CANCELLED. */
int sync_add_space(struct sync *s, struct space *space) MUST_CHECK;

/* One RPC to a relay. Blocks until the result, at most until deadline. params and result are encoded CBOR items. part
 * may be NULL; it is called on the sync thread for each chunk frame, under the lock that keeps the caller here: it may
 * call no sync_* function, and copies what it needs. A relay's error code text is turned into an enum err and, if
 * `ret_code` is not NULL, copied there (64 bytes). ERR_OFFLINE at once if the relay cannot be reached within the
 * deadline. */
int sync_call(struct sync *s, const char *relay, const char *method, struct bytes params, int64_t deadline_mono_ns,
	void (*part)(void *ctx, struct bytes name, struct bytes data), void *ctx, struct buf *result,
	char ret_code[64]) MUST_CHECK;

/* Appends signed entries to a space's log at the relay and, when accepted, to the local log. Blocks. ERR_CONFLICT:
 * somebody was first; the local log has been brought up to date, build the entries anew. */
int sync_append(
	struct sync *s, struct space *space, const struct bytes *blobs, size_t n, int64_t deadline_mono_ns) MUST_CHECK;

/* Takes over entries that the space's log does not have yet, which another call to the relay brought, and the epoch
 * keys of `ring`, and asks for access anew: this device was let in again. Blocks. ERR_FORK and the errors of
 * space_apply_entries. */
int sync_take_log(struct sync *s, struct space *space, const struct bytes *blobs, size_t n,
	const struct epoch_ring *ring) MUST_CHECK;

/* Appends this device's head over all that the relay has, which is applied here first: the cut of an entry that takes
 * rights away. Blocks. ERR_TIMEOUT, ERR_OFFLINE; ERR_FORK. */
int sync_make_head(struct sync *s, struct space *space, int64_t deadline_mono_ns, struct buf *ret_blob) MUST_CHECK;

/* mount_config.fetch. Blocks. */
int sync_fetch(struct sync *s, uint64_t chunk_row, int64_t deadline_mono_ns, bool (*interrupted)(void *arg),
	void *arg) MUST_CHECK;

/* What is pinned was changed (store_pin): what is not here is fetched behind all else, now, after a restart, and when
 * the relay is there again. */
void sync_pinned(struct sync *s);

/* Barrier: everything changed locally before the call is durable at the relay, and everything up to the relay's cursor
 * at the call is applied here (metadata, and the content of what is pinned; other content comes when it is read); with
 * sent_only the latter is left out. space NULL: all; one that sync does not have is not waited for. Blocks.
 * ERR_TIMEOUT: `what` (may be NULL) then says to a person what is left. The error of a space that is stopped, as
 * ERR_FORK; ERR_CANCELLED; ERR_FORBIDDEN: this device may not write to a space that holds changes of its own. */
int sync_wait(
	struct sync *s, struct space *space, bool sent_only, int64_t deadline_mono_ns, struct buf *what) MUST_CHECK;

/* What a relay that has no room says of a space. */
struct relay_usage {
	bool known;    /* all below; it is asked only while it refuses, and an older one does not say */
	uint64_t used; /* bytes there, of which `history` are replaced versions', */
	bool counted;  /* if it knows that */
	uint64_t history;
	uint64_t quota; /* of the space; 0: none of its own */
};

struct sync_status {
	bool online;
	int64_t since_wall_ns;         /* of online/offline; 0: never online */
	char reason[96];               /* offline: why, and when the next try is */
	uint64_t relay_cursor, cursor; /* relay_cursor 0: unknown */
	uint64_t pending_nodes;        /* changed, not sealed yet */
	uint64_t outbox_records, outbox_bytes;
	uint64_t absent_bytes;         /* of what is pinned, still to fetch, as far as it was looked at */
	uint64_t up_bytes, down_bytes; /* totals of this run, of all spaces */
	double up_rate, down_rate;     /* bytes per second, a few seconds' mean, of all spaces */
	uint64_t conflicts;
	/* enum err: ERR_FORK, ERR_ROLLBACK, ERR_GAP, ERR_FORBIDDEN, ERR_RELAY_FULL ... or 0 */
	int alarm;
	const char *alarm_text;        /* of alarm, for a person; static */
	struct relay_usage usage;
};
/* Of a space, or NULL: of all together. Blocks. */
int sync_status(struct sync *s, struct space *space, struct sync_status *ret) MUST_CHECK;

/* "synced", "pending", "uploading", "conflict", "remote-only" for user.coffer.state and status PATH. */
int sync_node_state(struct sync *s, const struct node *node, char ret_state[16]) MUST_CHECK;

#endif
