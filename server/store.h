/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: everything that the relay keeps but large chunks: spaces, log entries, records and their history, lines, heads,
 * chunks' rows and small chunks. This header is the interface; store_sqlite*.c carry it out with SQLite.
 *
 * One connection belongs to one thread. There is one writer connection and any number of readers of the same directory:
 *
 *	struct store *w, *r;
 *	if ((err = store_open(env, dir, &w)) < 0) ...      // creates; ERR_BUSY: another relay has it; ERR_VERSION
 *	if ((err = store_open_reader(w, &r)) < 0) ...
 *	store_begin(w); ...; store_commit(w);              // durable (fsynced) when commit returns 0
 *	store_begin_read(r); ...; store_end_read(r);       // one snapshot
 *
 * Group commit is the caller's: many requests in one transaction. Errors: ERR_NO_SPACE (disk full), ERR_NOT_FOUND, ERR_IO,
 * ERR_CORRUPT, ERR_NOMEM. After an error of a writing function the transaction must be rolled back.
 *
 * Steps, versions and entries are numbered per space; a step (one cursor) owns a run of versions and a run of entries.
 * A version is one record at one cursor: the current one of its id, or history until `expires`.
 * A chunk's `refs` counts the versions and adopted index chunks that name it. Small chunks are rows: thousands of them are
 * durable with the one fsync of the transaction that brings them, where a file each costs a create, a rename and a share of
 * two fsyncs (measured with tests/bench/bench_store.c).
 */
#ifndef COFFER_SERVER_STORE_H
#define COFFER_SERVER_STORE_H

#include "base/buf.h"
#include "base/env.h"
#include "base/id.h"

#define STORE_FORMAT 1

struct store;

int store_open(const struct env *env, const char *dir, struct store **ret_s) MUST_CHECK;
int store_open_reader(struct store *writer, struct store **ret_s) MUST_CHECK;
void store_close(struct store *s);
/* 16 random bytes made when the store was created. */
const struct id16 *store_id(const struct store *s);
/* Whether the machine has been up since the writer before this one: then what it wrote unsynced is still whole. */
bool store_same_boot(const struct store *s);

int store_begin(struct store *s) MUST_CHECK;
int store_commit(struct store *s) MUST_CHECK; /* on failure everything since begin is undone */
void store_rollback(struct store *s);
int store_begin_read(struct store *s) MUST_CHECK;
void store_end_read(struct store *s);

/* --- spaces --- */
struct store_space {
	uint64_t no;        /* internal number */
	struct id16 id;
	uint64_t cursor;    /* of the last step */
	uint64_t versions;  /* next version number */
	uint64_t entries;   /* entries of the log */
	uint64_t retention; /* seconds */
};

int store_space_find(struct store *s, const struct id16 *id, struct store_space *ret_sp) MUST_CHECK;
int store_space_create(struct store *s, struct store_space *sp) MUST_CHECK; /* sets no */
int store_space_update(struct store *s, const struct store_space *sp) MUST_CHECK;

/* --- log --- */
int store_entry_put(struct store *s, uint64_t space, uint64_t seq, struct bytes blob) MUST_CHECK;
/* Calls each() for seq >= from, at most n of them; it may stop with a value != 0, which is returned. */
typedef int store_entry_each(void *ctx, uint64_t seq, struct bytes blob);
int store_entries(struct store *s, uint64_t space, uint64_t from, uint64_t n, store_entry_each *each, void *ctx) MUST_CHECK;
/* The space whose log holds an invite with this id. */
int store_invite_put(struct store *s, const struct id16 *invite, const struct id16 *space) MUST_CHECK;
int store_invite_find(struct store *s, const struct id16 *invite, struct id16 *ret_space) MUST_CHECK;

/* --- steps and versions --- */
struct store_step {
	uint64_t cursor;
	uint64_t first_version, versions; /* the run of version numbers */
	uint64_t first_entry, entries;
	struct bytes lines; /* encoded */
};

struct store_version {
	uint64_t number, cursor;
	struct id16 id;
	bool current, passing;
	struct bytes blob;
};

int store_step_put(struct store *s, uint64_t space, const struct store_step *step) MUST_CHECK;
typedef int store_step_each(void *ctx, const struct store_step *step);
int store_steps(struct store *s, uint64_t space, uint64_t since, store_step_each *each, void *ctx) MUST_CHECK;

/* Stores a version and makes it the current one of its id, with its hash. */
int store_version_put(struct store *s, uint64_t space, const struct store_version *v, const struct id32 *hash) MUST_CHECK;
/* The versions numbered first .. first+n-1 that are still there. */
typedef int store_version_each(void *ctx, uint64_t space, const struct store_version *v);
int store_versions(struct store *s, uint64_t space, uint64_t first, uint64_t n, store_version_each *each, void *ctx)
	MUST_CHECK;
/* Keeps a replaced version until `expires` (unix s) / removes one. */
int store_version_expire(struct store *s, uint64_t space, uint64_t number, int64_t expires) MUST_CHECK;
int store_version_remove(struct store *s, uint64_t space, uint64_t number) MUST_CHECK;
/* Up to n replaced versions whose `expires` is at or before now. each() must not write. */
int store_versions_expired(struct store *s, int64_t now, uint64_t n, store_version_each *each, void *ctx) MUST_CHECK;

struct store_record {
	uint64_t number; /* of the current version */
	uint64_t cursor;
	bool passing;
	struct id32 hash;
};

int store_record_find(struct store *s, uint64_t space, const struct id16 *id, struct store_record *ret_r) MUST_CHECK;

/* --- heads --- */
int store_head_put(struct store *s, uint64_t space, const struct id32 *device, uint64_t cursor, struct bytes blob) MUST_CHECK;
/* cursor: of the step that brought it, 0 if none did. */
typedef int store_head_each(void *ctx, const struct id32 *device, uint64_t cursor, struct bytes blob);
int store_heads(struct store *s, uint64_t space, store_head_each *each, void *ctx) MUST_CHECK;

/* --- chunks --- */
struct store_chunk {
	struct id16 id;
	uint64_t size;    /* of the blob */
	uint64_t refs;
	uint64_t row;     /* of the blob, if it stands in the store; 0: a file */
	bool adopted;     /* an index chunk whose named chunks are counted */
	bool index;       /* names chunks */
	bool durable;     /* the file was synced */
	int64_t uploaded; /* unix s */
};

int store_chunk_find(struct store *s, uint64_t space, const struct id16 *id, struct store_chunk *ret_c) MUST_CHECK;
/* Adds a chunk. `blob` empty: a file holds it. `named` of an index chunk: its concatenated ids. */
int store_chunk_put(struct store *s, uint64_t space, const struct store_chunk *c, struct bytes blob, struct bytes named)
	MUST_CHECK;
int store_chunk_blob(struct store *s, uint64_t row, struct buf *ret_blob) MUST_CHECK; /* appends */
int store_chunk_named(struct store *s, uint64_t space, const struct id16 *id, struct buf *ret_named) MUST_CHECK; /* appends */
int store_chunk_refs(struct store *s, uint64_t space, const struct id16 *id, int delta) MUST_CHECK;
int store_chunk_set(struct store *s, uint64_t space, const struct id16 *id, bool adopted, bool durable) MUST_CHECK;
int store_chunk_remove(struct store *s, uint64_t space, const struct store_chunk *c) MUST_CHECK;
/* Up to n chunks without refs uploaded before `before` / files that were never synced. each() must not write. */
typedef int store_chunk_each(void *ctx, uint64_t space, const struct id16 *space_id, const struct store_chunk *c);
int store_chunks_stale(struct store *s, int64_t before, uint64_t n, store_chunk_each *each, void *ctx) MUST_CHECK;
int store_chunks_unsynced(struct store *s, uint64_t n, store_chunk_each *each, void *ctx) MUST_CHECK;

struct store_sizes {
	uint64_t spaces, records, chunks, chunk_bytes, pages_bytes;
};

int store_sizes(struct store *s, struct store_sizes *ret_z) MUST_CHECK;

#endif
