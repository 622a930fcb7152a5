/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot: everything that the relay keeps but large chunks: spaces, log entries, records and their history, lines,
 * heads, chunks' rows and small chunks. This header is the interface, with depot_plain.h for the plain protocol;
 * depot_sql.h says how it is carried out.
 *
 * One connection belongs to one thread. There is one writer connection and any number of readers of the same directory:
 *
 *	struct depot *w, *r;
 *	if ((err = depot_open(env, dir, &w)) < 0) ...      // creates; ERR_BUSY: another relay has it; ERR_VERSION
 *	if ((err = depot_open_reader(w, &r)) < 0) ...
 *	depot_begin(w); ...; depot_commit(w);              // durable (fsynced) when commit returns 0
 *	depot_begin_read(r); ...; depot_end_read(r);       // one snapshot
 *
 * Group commit is the caller's: many requests in one transaction. Errors: ERR_NO_SPACE (disk full), ERR_NOT_FOUND,
 * ERR_IO, ERR_CORRUPT, ERR_NOMEM; of a shared store also ERR_AGAIN (another process was in the way: the transaction
 * may be made again), ERR_OFFLINE, ERR_BUSY. After an error of a writing function the transaction must be rolled back.
 *
 * Steps, versions and entries are numbered per space; a step (one cursor) owns a run of versions and a run of entries.
 * A version is one record at one cursor: the current one of its id, or history until `expires`.
 * A chunk's `refs` counts the versions and adopted index chunks that name it. Small chunks are rows: thousands of them
 * are durable with the one fsync of the transaction that brings them, where a file each costs a create, a rename and a
 * share of two fsyncs (measured with tests/bench/bench_depot.c).
 */
#ifndef COFFER_SERVER_DEPOT_H
#define COFFER_SERVER_DEPOT_H

#include "base/buf.h"
#include "base/env.h"
#include "base/id.h"

#define DEPOT_FORMAT 6

struct depot;

/* `where`: a directory, for SQLite, or the URL of a PostgreSQL database (postgres://...), which other relays may use
 * too. ERR_OFFLINE, ERR_PERMISSION, ERR_NOT_FOUND: no such database. */
int depot_open(const struct env *env, const char *where, struct depot **ret_s) MUST_CHECK;
bool depot_is_url(const char *where);
/* Whether other processes may write to the store / this is a writer's connection: depot_space_find and depot_plain_find
 * then hold the space, depot_fact_get the fact, against other processes until the end of the transaction. */
bool depot_is_shared(const struct depot *s);
bool depot_is_writer(const struct depot *s);
/* Holds it without looking; of either kind, or of none. */
int depot_hold(struct depot *s, const struct id16 *space) MUST_CHECK;
/* How much of the database each connection may keep in memory: this one, and the readers that are opened from it
 * afterwards. */
int depot_set_cache(struct depot *s, uint64_t kib) MUST_CHECK;
int depot_open_reader(struct depot *writer, struct depot **ret_s) MUST_CHECK;
void depot_close(struct depot *s);
/* For looking only, also while a relay runs. ERR_NOT_FOUND: no store is there. */
int depot_open_beside(const struct env *env, const char *where, struct depot **ret_s) MUST_CHECK;
/* A copy of the whole as one snapshot, under a new store id, durable when this returns. `path` must not exist. */
int depot_copy(struct depot *s, const char *path) MUST_CHECK;
/* Whether the store's own structure is whole: OK or ERR_CORRUPT. */
int depot_check(struct depot *s) MUST_CHECK;
/* 16 random bytes made when the store was created. */
const struct id16 *depot_id(const struct depot *s);
/* Whether the machine has been up since the writer before this one: then what it wrote unsynced is still whole. */
bool depot_same_boot(const struct depot *s);

int depot_begin(struct depot *s) MUST_CHECK;
/* The same, and no other process writes to the store until its end: for what goes through many spaces. */
int depot_begin_alone(struct depot *s) MUST_CHECK;
int depot_commit(struct depot *s) MUST_CHECK; /* on failure everything since begin is undone */
void depot_rollback(struct depot *s);
/* Tells the other relays of a shared store, once the transaction is committed (ear.h). */
#define DEPOT_WORDS_MAX 5800
int depot_tell(struct depot *s, struct bytes words) MUST_CHECK;
int depot_begin_read(struct depot *s) MUST_CHECK;
void depot_end_read(struct depot *s);

/* --- spaces --- */
struct depot_space {
	uint64_t no; /* internal number */
	struct id16 id;
	uint64_t cursor;    /* of the last step */
	uint64_t versions;  /* next version number */
	uint64_t entries;   /* entries of the log */
	uint64_t retention; /* seconds */
};

int depot_space_find(struct depot *s, const struct id16 *id, struct depot_space *ret_sp) MUST_CHECK;
/* Sets no. A store holds 2^23 spaces (keys have 23 bits for them): ERR_NO_SPACE after that, with no set all the
 * same. */
int depot_space_create(struct depot *s, struct depot_space *sp) MUST_CHECK;
int depot_space_update(struct depot *s, const struct depot_space *sp) MUST_CHECK;

/* Notes whose space it is, for quotas. */
int depot_space_own(struct depot *s, uint64_t space, const struct id32 *person) MUST_CHECK;
/* Bytes of chunks and of all versions of records that are stored for a space, and for all spaces of its owner. */
int depot_space_bytes(struct depot *s, uint64_t space, uint64_t *ret_bytes, uint64_t *ret_of_owner) MUST_CHECK;

/* --- log --- */
int depot_entry_put(struct depot *s, uint64_t space, uint64_t seq, struct bytes blob) MUST_CHECK;
/* Calls each() for seq >= from, at most n of them; it may stop with a value != 0, which is returned. */
typedef int depot_entry_each(void *ctx, uint64_t seq, struct bytes blob);
int depot_entries(
	struct depot *s, uint64_t space, uint64_t from, uint64_t n, depot_entry_each *each, void *ctx) MUST_CHECK;
/* The space whose log holds an invite with this id. */
int depot_invite_put(struct depot *s, const struct id16 *invite, const struct id16 *space) MUST_CHECK;
int depot_invite_find(struct depot *s, const struct id16 *invite, struct id16 *ret_space) MUST_CHECK;

/* --- steps and versions --- */
struct depot_step {
	uint64_t cursor;
	uint64_t first_version, versions; /* the run of version numbers */
	uint64_t first_entry, entries;
	struct bytes lines; /* encoded */
	int64_t time;       /* unix s when the relay took it; 0: before format 4 */
	bool healed;        /* its records came back after a restore (coffer.heal) */
};

struct depot_version {
	uint64_t number, cursor;
	struct id16 id;
	bool current, passing;
	int64_t expires; /* unix s, of one that is not current */
	struct bytes blob;
};

int depot_step_put(struct depot *s, uint64_t space, const struct depot_step *step) MUST_CHECK;
typedef int depot_step_each(void *ctx, const struct depot_step *step);
int depot_steps(struct depot *s, uint64_t space, uint64_t since, depot_step_each *each, void *ctx) MUST_CHECK;

/* One step; its lines are left out. ERR_NOT_FOUND. */
int depot_step_get(struct depot *s, uint64_t space, uint64_t cursor, struct depot_step *ret_step) MUST_CHECK;

/* Its lines, appended. ERR_NOT_FOUND. */
int depot_step_lines(struct depot *s, uint64_t space, uint64_t cursor, struct buf *ret_lines) MUST_CHECK;
/* All steps of all spaces that brought entries of logs: for scrubbing. each() must not write. */
typedef int depot_log_step_each(void *ctx, uint64_t space, const struct id16 *space_id, const struct depot_step *step);
int depot_log_steps(struct depot *s, depot_log_step_each *each, void *ctx) MUST_CHECK;

/* Stores n versions, of as many records, and makes each the current one of its id, with its hash. */
int depot_versions_put(struct depot *s, uint64_t space, const struct depot_version *v, const struct id32 *hashes,
	size_t n) MUST_CHECK;
/* The versions numbered first .. first+n-1 that are still there. */
typedef int depot_version_each(void *ctx, uint64_t space, const struct depot_version *v);
int depot_versions(
	struct depot *s, uint64_t space, uint64_t first, uint64_t n, depot_version_each *each, void *ctx) MUST_CHECK;
/* Up to n replaced versions of one record numbered below `below`, newest first. */
int depot_history(struct depot *s, uint64_t space, const struct id16 *id, uint64_t below, uint64_t n,
	depot_version_each *each, void *ctx) MUST_CHECK;
/* All replaced versions of a space, in the order of their numbers. It passes over the rows of all others. each() may
 * stop with a value != 0, which is returned. */
int depot_replaced(struct depot *s, uint64_t space, depot_version_each *each, void *ctx) MUST_CHECK;
/* What was current before version number `below`: of the versions below it that are still there the newest of each id,
 * by number, from *from on. One call looks at no more than DEPOT_AT_NUMBERS numbers and moves *from behind what it has
 * looked at; 1: call again, OK: that was all. each() may stop with a value != 0, which is returned. */
#define DEPOT_AT_NUMBERS 4096
int depot_versions_at(struct depot *s, uint64_t space, uint64_t *from, uint64_t below, depot_version_each *each,
	void *ctx) MUST_CHECK;
/* Keeps a replaced version until `expires` (unix s) / removes one. */
int depot_version_expire(struct depot *s, uint64_t space, uint64_t number, int64_t expires) MUST_CHECK;
int depot_version_remove(struct depot *s, uint64_t space, uint64_t number) MUST_CHECK;
/* Up to n replaced versions whose `expires` is at or before now, the first to expire first. each() must not write. */
int depot_versions_expired(struct depot *s, int64_t now, uint64_t n, depot_version_each *each, void *ctx) MUST_CHECK;

/* Up to n current records of any space behind (after_space, after): for scrubbing. each() must not write. */
typedef int depot_current_each(void *ctx, uint64_t space, const struct depot_version *v, const struct id32 *hash);
int depot_currents(struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n,
	depot_current_each *each, void *ctx) MUST_CHECK;

struct depot_record {
	uint64_t number; /* of the current version */
	uint64_t cursor;
	bool passing;
	struct id32 hash;
};

int depot_record_find(struct depot *s, uint64_t space, const struct id16 *id, struct depot_record *ret_r) MUST_CHECK;
/* Of n ids, each but once, those that there are: `i` is its place among them. In any order. */
typedef int depot_record_each(void *ctx, size_t i, const struct depot_record *r);
int depot_records_find(struct depot *s, uint64_t space, const struct id16 *ids, size_t n, depot_record_each *each,
	void *ctx) MUST_CHECK;

/* --- heads --- */
int depot_head_put(
	struct depot *s, uint64_t space, const struct id32 *device, uint64_t cursor, struct bytes blob) MUST_CHECK;
/* cursor: of the step that brought it, 0 if none did. */
typedef int depot_head_each(void *ctx, const struct id32 *device, uint64_t cursor, struct bytes blob);
int depot_heads(struct depot *s, uint64_t space, depot_head_each *each, void *ctx) MUST_CHECK;

/* --- chunks --- */
struct depot_chunk {
	struct id16 id;
	uint64_t size; /* of the blob */
	uint64_t refs;
	uint64_t row;     /* of the blob, if it stands in the store; 0: an object */
	struct id16 object; /* its name in blob.h, if row is 0 */
	bool adopted;     /* an index chunk whose named chunks are counted */
	bool index;       /* names chunks */
	bool durable;     /* the object was synced */
	int64_t uploaded; /* unix s */
	bool summed;      /* false: stored before sums were */
	struct id16 sum;  /* chunk_sum of the blob: tells a disk's damage, not a forger's work */
};

int depot_chunk_find(struct depot *s, uint64_t space, const struct id16 *id, struct depot_chunk *ret_c) MUST_CHECK;
/* As depot_records_find. each() must not look for chunks. */
typedef int depot_chunk_found(void *ctx, size_t i, const struct depot_chunk *c);
int depot_chunks_find(struct depot *s, uint64_t space, const struct id16 *ids, size_t n, depot_chunk_found *each,
	void *ctx) MUST_CHECK;
/* Adds a chunk. `blob` empty: c->object holds it. `named` of an index chunk: its concatenated ids. */
int depot_chunk_put(
	struct depot *s, uint64_t space, const struct depot_chunk *c, struct bytes blob, struct bytes named) MUST_CHECK;
/* Adds n chunks, each id but once. Either all of them have a blob here or none has. */
struct depot_chunk_body {
	struct bytes blob, named;
};
int depot_chunks_put(struct depot *s, uint64_t space, const struct depot_chunk *c,
	const struct depot_chunk_body *bodies, size_t n) MUST_CHECK;
int depot_chunk_blob(struct depot *s, uint64_t row, struct buf *ret_blob) MUST_CHECK; /* appends */
int depot_chunk_named(
	struct depot *s, uint64_t space, const struct id16 *id, struct buf *ret_named) MUST_CHECK; /* appends */
/* Counts n names more (or less: delta -1); a chunk may be named several times. Chunks that are not there are passed
 * over. */
int depot_chunks_refs(struct depot *s, uint64_t space, const struct id16 *ids, size_t n, int delta) MUST_CHECK;
int depot_chunk_set(struct depot *s, uint64_t space, const struct id16 *id, bool adopted, bool durable) MUST_CHECK;
int depot_chunk_remove(struct depot *s, uint64_t space, const struct depot_chunk *c) MUST_CHECK;
/* Up to n chunks without refs uploaded before `before` / of any space behind (after_space, after), for scrubbing /
 * objects that were never synced. each() must not write. */
typedef int depot_chunk_each(void *ctx, uint64_t space, const struct id16 *space_id, const struct depot_chunk *c);
int depot_chunks_stale(struct depot *s, int64_t before, uint64_t n, depot_chunk_each *each, void *ctx) MUST_CHECK;
int depot_chunks_all(struct depot *s, uint64_t after_space, const struct id16 *after, uint64_t n,
	depot_chunk_each *each, void *ctx) MUST_CHECK;
int depot_chunks_unsynced(struct depot *s, uint64_t n, depot_chunk_each *each, void *ctx) MUST_CHECK;

/* 1 if a chunk or a file of the plain protocol names this object (blob.h), 0 if none does. */
int depot_object_owned(struct depot *s, const struct id16 *space, const struct id16 *object) MUST_CHECK;
/* The same, with the list of garbage. */
int depot_object_named(struct depot *s, const struct id16 *space, const struct id16 *object) MUST_CHECK;

/* Gives some of the space that was freed back to the file system, outside of transactions: 1 if there may be more, 0 if
 * not. */
int depot_shrink(struct depot *s) MUST_CHECK;

struct depot_sizes {
	uint64_t spaces, records, chunks, chunk_bytes, pages_bytes;
	uint64_t plain_spaces, plain_rows; /* of the plain protocol */
};

int depot_sizes(struct depot *s, struct depot_sizes *ret_z) MUST_CHECK;

#endif
