/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagevfs: the SQLite VFS under the index: every page and every log frame is sealed, and nothing reaches the disk
 * before the journal that it reflects.
 *
 * Database: pages of 4096 bytes, XChaCha20-Poly1305, nonce and tag in the page's 40 reserved bytes, the page number as
 * additional data. Log (WAL): what SQLite writes stays in memory until pagevfs_flush(); on disk its header and its
 * frames (with their headers) are units sealed in the same way, in a layout of their own. docs/FORMAT.md "Index pages".
 *
 *	pagevfs_open(env, dirfd, key, &v); sqlite3_open_v2("index", ..., pagevfs_name(v));
 *	mark = pagevfs_mark(v);       // after a commit, under the lock that guards the connection
 *	... journal_sync() ...        // what was committed is in the journal on disk
 *	pagevfs_flush(v, mark);       // now the log up to the mark may be, and when this returns it is
 *
 * One database at a time. flush runs in any thread beside the connection; the VFS has a lock of its own.
 * A page that does not open is SQLITE_IOERR_DATA (ERR_CORRUPT); a log frame that does not open reads as zeros: to
 * SQLite the end of the log.
 */
#ifndef COFFER_CACHE_PAGEVFS_H
#define COFFER_CACHE_PAGEVFS_H

#include "base/env.h"

struct pagevfs;

/* The key is copied into guarded memory. The directory stays open as long. */
int pagevfs_open(const struct env *env, int dirfd, const uint8_t key[32], struct pagevfs **ret_v) MUST_CHECK;
void pagevfs_close(struct pagevfs *v); /* after the connection is closed; unregisters */
const char *pagevfs_name(const struct pagevfs *v);

/* Counts log writes: flush(mark) writes those made before mark was taken. */
uint64_t pagevfs_mark(struct pagevfs *v);
/* After an error what may not be on disk is kept, and the next flush writes it again. One at a time. */
int pagevfs_flush(struct pagevfs *v, uint64_t mark) MUST_CHECK;
/* Frames in the log now: time for a checkpoint. */
uint64_t pagevfs_frames(struct pagevfs *v);
/* Log writes not flushed. A checkpoint is allowed only at 0. */
uint64_t pagevfs_pending(struct pagevfs *v);
uint64_t pagevfs_log_bytes(struct pagevfs *v); /* of the log on disk */
/* A checkpoint moved all there is. */
void pagevfs_moved(struct pagevfs *v);
/* Bytes that the files may grow by until what is in the log is in the database. */
uint64_t pagevfs_need(struct pagevfs *v);
uint64_t pagevfs_bytes(struct pagevfs *v); /* on disk */
/* Reads each page of the database from the disk and opens it. *ret_damaged: those that do not open and that no later
 * commit in the log replaces. Beside the connection. */
int pagevfs_verify(struct pagevfs *v, uint64_t *ret_pages, uint64_t *ret_damaged) MUST_CHECK;

#endif
