/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the local cache of one profile: every node, link, xattr, byte, record and cursor of every space, sealed at
 * rest.
 *
 * One order. Every change is a transaction of row changes with their data, appended as one entry to the sealed journal
 * (cache/journal.h) and applied to the index (cache/index.h: SQLite over cache/pagevfs.h) by the function that replay
 * uses. When a changing call returns 0 the change has been handed to the kernel: it survives kill -9. After
 * store_sync() it survives power loss. What survives is a prefix of what happened.
 *
 * Calling sequence:
 *	store_open(&config, &s);
 *	store_create(s, parent, name, &new, &node);   // file-system calls: one transaction each, marked as local
 *	                                              // changes
 *	store_begin(s, &t); txn_...(t, ...); store_commit(&t);  // sync: any number of row changes as one transaction
 *	store_close(s);
 *
 * Threads: every store_* function is thread-safe (one lock inside; reading content decrypts outside of it). Between
 * store_begin and store_commit/abort the calling thread holds that lock: no store_* call then, only txn_*, and no
 * waiting. Errors: ERR_NO_SPACE is found before anything is changed. After a failed journal write the store is
 * read-only (ERR_READ_ONLY for changes) until the next open, unless the rest could go to a new segment. ERR_CORRUPT:
 * damaged.
 *
 * A store whose disk is read-only when it is opened is frozen: all of it can be read, changes are ERR_READ_ONLY, and
 * nothing of the disk is touched, so that what the index does not have yet is replayed into memory.
 *
 * Inode numbers are row ids, never reused, stable across restarts. 1 is the profile's root directory, which lists
 * spaces.
 */
#ifndef COFFER_CACHE_STORE_H
#define COFFER_CACHE_STORE_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/env.h"
#include "base/id.h"
#include "wire/record.h"

struct store;
struct store_txn;

#define STORE_ROOT_INO 1u

enum node_flag {
	NODE_DELETED = 1u << 0, /* a tombstone is known and nothing local keeps it alive */
	NODE_ORPHAN =
		1u << 1, /* no shown link; kept while open (purged at the next start), while dirty, or as tombstone */
	NODE_UNKNOWN = 1u << 2,  /* named by another record as parent, but its own record has not arrived */
	NODE_PINNED = 1u << 3,   /* content is kept here: of a folder, of all in it that has no mark of its own */
	NODE_CONFLICT = 1u << 4, /* an unresolved conflict copy */
	NODE_PARTIAL = 1u << 5,  /* some content is only at the relay */
	NODE_TOMBSTONE =
		/* its record is a tombstone; a directory is shown all the same while something live is in it */
		1u << 6,
	NODE_ACL = 1u << 7,  /* it has one of the xattrs below; follows the xattrs */
	NODE_HOLES = 1u << 8, /* the content may have holes; without it, it has none */
	NODE_UNPINNED = 1u << 9 /* not pinned, though the folder is */
};

#define NODE_ACL_ACCESS "system.posix_acl_access"
#define NODE_ACL_DEFAULT "system.posix_acl_default"

/* What of a node changed locally since the version it was last sealed from. */
enum change_bit {
	CHANGE_NEW = 1u << 0,
	CHANGE_ATTR = 1u << 1,
	CHANGE_LINKS = 1u << 2,
	CHANGE_XATTR = 1u << 3,
	CHANGE_CONTENT = 1u << 4,
	CHANGE_DELETED = 1u << 5,
	CHANGE_FSYNCED = 1u << 6
};

struct node {
	uint64_t ino;
	uint32_t space; /* row id of the space; 0 for STORE_ROOT_INO */
	struct id16 id;
	enum node_kind kind;
	uint32_t flags; /* enum node_flag */
	uint32_t mode;  /* permission bits with suid, sgid, sticky; no type */
	uint32_t uid, gid;
	struct id32 owner;  /* person */
	struct id32 author; /* device of the current version; zero if never synced */
	uint64_t rdev, size;
	/* bytes that are not holes, or are set aside; not kept: set by the file-system calls that return a node */
	uint64_t allocated;
	int64_t atime, mtime, ctime, btime; /* ns since 1970 */
	uint32_t nlink;                     /* shown links; directories: 2 + subdirectories */
	uint64_t version;                   /* of the base record below; 0: never sealed */
	struct id32 base;     /* hash of the newest record sealed or applied (the next record's prev); zero if none */
	uint64_t change;      /* journal sequence of the last local change not yet sealed; 0: none */
	uint32_t change_bits; /* enum change_bit */
};

/* A link row. parent and name are the record's (the register); shown_* is where the tree shows it after merge. For
 * local operations both are equal. shown_parent 0: not shown. A name is unique among the shown links of a parent. */
struct link {
	struct id16 id;
	uint64_t ino;
	uint64_t parent, shown_parent; /* inos */
	struct id16 synced_parent;     /* node id */
	uint8_t name_len, shown_len;
	char name[NODE_MAX_NAME + 1], shown[NODE_MAX_NAME + 1];
};

struct store_config {
	const struct env *env;
	int dirfd;          /* an existing private directory; stays open as long as the store */
	const uint8_t *key; /* 32 bytes, copied into guarded memory */
	uint64_t limit;     /* bytes of content that eviction aims for; 0: what store_set_limit() set, else none */
	/* Called after a local change was made (any thread, no lock held): wake the sync. May be NULL. */
	void (*changed)(void *ctx, uint32_t space);
	void *ctx;
	uint64_t segment_size;      /* of journal files; 0: 16 MiB */
	uint64_t checkpoint_frames; /* pages in the index's log that call for a checkpoint; 0: 2000 */
	bool no_thread;             /* housekeeping is left to calls of store_tend() (tests) */
};

/* Opens or creates; replays the journal. ERR_BUSY if another process has it, ERR_WRONG_KEY, ERR_CORRUPT,
 * ERR_VERSION, ERR_READ_ONLY: there is none, and the disk is read-only. */
int store_open(const struct store_config *config, struct store **ret_store) MUST_CHECK;
/* Commits the index, syncs, frees. NULL is fine. */
void store_close(struct store *s);
/* Power-loss durability of everything that returned before the call. Concurrent calls share one fdatasync. */
int store_sync(struct store *s) MUST_CHECK;
/* Whether a change that is begun now may have to wait for the disk. A hint that costs nothing; reading never waits. */
bool store_may_wait(struct store *s);
/* Carries out what is due: index commit, sync of the log behind it, freeing and compaction of segments. Called by a
 * housekeeping thread of the store itself; tests call it to be deterministic. */
int store_tend(struct store *s) MUST_CHECK;

struct store_stat {
	uint64_t nodes, disk_bytes, segment_bytes /* of disk_bytes: the journal */, live_bytes, limit,
		free_bytes /* of the file system below */, total_bytes;
	uint64_t dirty_nodes, outbox_records, read_only;
	int tend_err; /* what went wrong in the last turn of housekeeping, which is tried again; 0: nothing */
};
int store_stat(struct store *s, struct store_stat *ret) MUST_CHECK;
bool store_is_frozen(const struct store *s);
/* A start found the journal damaged, cut it off there and put what it could not read aside as damaged-* in the
 * directory; until damaged.txt, which says so, is deleted there. Of a frozen store: not all of the journal could be
 * read. */
bool store_was_damaged(struct store *s);

/* ---- file-system calls (each one transaction; names are checked with node_name_valid) ----
 * A call returns when its entry is in the journal. The index follows with the next call, whoever makes it, or with
 * store_catch_up(), for callers that have time once they have answered. */
void store_catch_up(struct store *s);

struct node_new {
	enum node_kind kind;
	uint32_t mode, uid, gid;
	uint64_t rdev;
	struct bytes target; /* NODE_SYMLINK */
	struct id32 owner;
	const struct node_xattr *xattrs; /* that it begins with; names and sizes are the caller's care */
	size_t n_xattrs;
};

enum attr_bit {
	ATTR_MODE = 1u << 0,
	ATTR_UID = 1u << 1,
	ATTR_GID = 1u << 2,
	ATTR_SIZE = 1u << 3,
	ATTR_ATIME = 1u << 4,
	ATTR_MTIME = 1u << 5,
	ATTR_CTIME = 1u << 6
};

int store_lookup(struct store *s, uint64_t parent, struct bytes name, struct node *ret) MUST_CHECK;
int store_getattr(struct store *s, uint64_t ino, struct node *ret) MUST_CHECK;
int store_setattr(struct store *s, uint64_t ino, unsigned mask, const struct node *attr, struct node *ret) MUST_CHECK;
int store_create(
	struct store *s, uint64_t parent, struct bytes name, const struct node_new *n, struct node *ret) MUST_CHECK;
/* A file without a name (O_TMPFILE); store_link gives it one. Purged at the next start if nameless. */
int store_create_unnamed(struct store *s, uint64_t dir, const struct node_new *n, struct node *ret) MUST_CHECK;
int store_link(struct store *s, uint64_t ino, uint64_t parent, struct bytes name, struct node *ret) MUST_CHECK;
/* dir: rmdir semantics, else unlink. *ret_ino is what was unlinked; its content stays while open (store_hold_open). */
int store_unlink(struct store *s, uint64_t parent, struct bytes name, bool dir, uint64_t *ret_ino) MUST_CHECK;
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE of <linux/fs.h>. All POSIX checks but permissions. */
int store_rename(struct store *s, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, unsigned flags,
	uint64_t *ret_replaced_ino) MUST_CHECK;
/* The same with RENAME_WHITEOUT: what `whiteout` describes takes the old name. */
int store_rename_whiteout(struct store *s, uint64_t p1, struct bytes n1, uint64_t p2, struct bytes n2, unsigned flags,
	const struct node_new *whiteout) MUST_CHECK;
int store_readlink(struct store *s, uint64_t ino, struct buf *out) MUST_CHECK;

/* Calls fn for entries of dir after `cookie` (0: from the start) in a stable order until fn returns 0. The cookie of an
 * entry stays valid while the directory changes. "." and ".." are not included. fn must not call the store. */
typedef int (*store_dirent_fn)(void *ctx, struct bytes name, uint64_t cookie, const struct node *node);
int store_readdir(struct store *s, uint64_t dir, uint64_t cookie, store_dirent_fn fn, void *ctx) MUST_CHECK;
/* The shown parent of a directory (itself for a space's root). */
int store_parent(struct store *s, uint64_t dir, uint64_t *ret_parent) MUST_CHECK;

/* Reads up to len bytes; *ret_len is short only at the end of file. Holes are zeros. ERR_ABSENT if a byte is not here:
 * *ret_chunk is the chunk row to fetch (sync_fetch), then try again. */
int store_read(struct store *s, uint64_t ino, uint64_t off, void *p, size_t len, size_t *ret_len,
	uint64_t *ret_chunk) MUST_CHECK;
int store_write(struct store *s, uint64_t ino, uint64_t off, const void *p, size_t len) MUST_CHECK;
/* Writes at the end, wherever that is by then: *ret_off. */
int store_append(struct store *s, uint64_t ino, const void *p, size_t len, uint64_t *ret_off) MUST_CHECK;
/* mode: of fallocate(2); sets room aside for what is not there yet (cache/aside.h); PUNCH_HOLE, ZERO_RANGE,
 * COLLAPSE_RANGE, INSERT_RANGE, KEEP_SIZE. */
int store_fallocate(struct store *s, uint64_t ino, int mode, uint64_t off, uint64_t len) MUST_CHECK;
int store_copy_range(struct store *s, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, uint64_t len,
	uint64_t *ret_len) MUST_CHECK; /* shares extents */
int store_seek(struct store *s, uint64_t ino, uint64_t off, int whence /* SEEK_DATA, SEEK_HOLE */,
	uint64_t *ret_off) MUST_CHECK;

int store_getxattr(struct store *s, uint64_t ino, const char *name, struct buf *out) MUST_CHECK; /* ERR_NO_DATA */
int store_setxattr(
	struct store *s, uint64_t ino, const char *name, struct bytes value, int flags /* XATTR_* */) MUST_CHECK;
int store_removexattr(struct store *s, uint64_t ino, const char *name) MUST_CHECK;
/* Sets an xattr, or with value.p NULL sees to it that there is none, and the mode with it unless that is NULL. */
int store_set_acl(
	struct store *s, uint64_t ino, const char *name, struct bytes value, const uint32_t *mode) MUST_CHECK;
int store_listxattr(struct store *s, uint64_t ino, struct buf *out) MUST_CHECK; /* NUL-separated */

/* From now on the file-system calls refuse what would be sent from this space (ERR_READ_ONLY), or take it again: for a
 * device that may not write there. What was changed before stays, and what was never sent can be removed; times of
 * access, pins and eviction are not sent. Also between store_begin and store_commit. Forgotten at store_close. */
int store_set_read_only(struct store *s, uint32_t space, bool on) MUST_CHECK;
/* ERR_READ_ONLY if the node is in such a space. */
int store_may_change(struct store *s, uint64_t ino) MUST_CHECK;

/* Open handles keep an unlinked node alive in this run. Counted. */
void store_hold_open(struct store *s, uint64_t ino);
void store_release_open(struct store *s, uint64_t ino);
/* False only if no other handle of the node was open since the one that the caller has. */
bool store_open_shared(struct store *s, uint64_t ino);
/* Nobody can reach the node by its number any more. For directories and special files, which are opened without
 * store_hold_open: one that was removed stays until then, like a file that is open. Cheap for every other node. */
void store_forget(struct store *s, uint64_t ino);
/* Notes that the application asked for durability of this node (settle takes it as finished). */
int store_mark_fsynced(struct store *s, uint64_t ino) MUST_CHECK;
/* Pins a node, or ends that; of a folder, all in it that has no mark of its own, now and later (not a local change that
 * syncs). The marks NODE_PINNED and NODE_UNPINNED stand only where a node differs from its folder: store_pinned() says
 * what holds. */
int store_pinned(struct store *s, uint64_t ino, bool *ret) MUST_CHECK;
int store_pin(struct store *s, uint64_t ino, bool pinned) MUST_CHECK;
/* Drops local content that a confirmed chunk holds, some at a time; ERR_BUSY if pinned, open, changed or not yet
 * confirmed, or if all of it is in chunks that more than 1,000 files name. */
int store_evict(struct store *s, uint64_t ino, uint64_t *ret_freed) MUST_CHECK;

/* Bytes of content to keep here at most, what files share counted once; 0: no limit. What is pinned, open, changed or
 * not at the relay yet counts and stays all the same; else what was not used for longest goes first. Kept over
 * restarts. */
int store_set_limit(struct store *s, uint64_t limit) MUST_CHECK;

/* ---- transactions for sync and agent ---- */

int store_begin(struct store *s, struct store_txn **ret_t) MUST_CHECK;
int store_commit(struct store_txn **t)
	MUST_CHECK;                     /* frees the transaction whatever it returns; on an error nothing was applied */
void store_abort(struct store_txn **t); /* undoes; NULL is fine */

/* Small keyed values: profile, logs, cursors. Keys are text up to 200 bytes, values up to 4 MiB. */
int txn_meta_get(struct store_txn *t, const char *key, struct buf *out) MUST_CHECK; /* ERR_NOT_FOUND */
int txn_meta_put(struct store_txn *t, const char *key, struct bytes value) MUST_CHECK;
int txn_meta_del(struct store_txn *t, const char *key) MUST_CHECK;
/* Calls fn for keys with the prefix in bytewise order until it returns 0. fn must not change meta. */
int txn_meta_each(struct store_txn *t, const char *prefix, int (*fn)(void *ctx, const char *key, struct bytes value),
	void *ctx) MUST_CHECK;

/* Spaces. A space has a root directory node made by txn_space_add, shown in STORE_ROOT_INO under `name`. A space with
 * an empty name (the personal space) is not shown. */
struct space_row {
	uint32_t row;
	struct id16 id;
	struct id32 genesis;
	struct id32 owner; /* person shown as owner of the root directory */
	uint64_t root_ino;
	char name[NODE_MAX_NAME + 1];
	char relay[256];
	uint64_t cursor;      /* everything up to it is applied */
	struct id32 chain;    /* H at cursor */
	struct id16 store_id; /* of the relay */
	uint64_t log_seq;     /* number of log entries kept */
};
int txn_space_add(struct store_txn *t, struct space_row *row /* row, root_ino are set */) MUST_CHECK;
int txn_space_put(struct store_txn *t,
	const struct space_row *row) MUST_CHECK; /* name, relay, cursor, chain, store_id, log_seq */
int txn_space_each(struct store_txn *t, int (*fn)(void *ctx, const struct space_row *row), void *ctx) MUST_CHECK;
int txn_space_del(struct store_txn *t, uint32_t row) MUST_CHECK; /* with all its nodes */

/* Log entries of a space by sequence number. */
int txn_entry_put(struct store_txn *t, uint32_t space, uint64_t seq, struct bytes blob) MUST_CHECK;
int txn_entry_each(struct store_txn *t, uint32_t space, uint64_t from_seq,
	int (*fn)(void *ctx, uint64_t seq, struct bytes blob), void *ctx) MUST_CHECK;

/* Nodes. */
int txn_node_get(struct store_txn *t, uint64_t ino, struct node *ret) MUST_CHECK;
int txn_node_find(
	struct store_txn *t, uint32_t space, const struct id16 *id, struct node *ret) MUST_CHECK; /* zero id: root */
int txn_node_add(struct store_txn *t, struct node *node /* ino is set */, struct bytes target) MUST_CHECK;
/* Every field but ino, space, id, kind (settable once while NODE_UNKNOWN), nlink (follows the links), change and
 * change_bits (txn_mark_*, txn_outbox_add), NODE_PARTIAL (follows the chunks), NODE_ACL (follows the xattrs). */
int txn_node_put(struct store_txn *t, const struct node *node) MUST_CHECK;
int txn_node_set_target(struct store_txn *t, uint64_t ino, struct bytes target) MUST_CHECK;
int txn_node_target(struct store_txn *t, uint64_t ino, struct buf *out) MUST_CHECK;
int txn_node_del(struct store_txn *t, uint64_t ino) MUST_CHECK; /* links, xattrs, extents too */

/* Links. Each fn is called on a copy; it may change rows. */
int txn_link_get(struct store_txn *t, const struct id16 *id, struct link *ret) MUST_CHECK;
int txn_link_put(struct store_txn *t,
	const struct link *l) MUST_CHECK; /* insert or replace by id; ERR_EXISTS if the shown name is taken */
int txn_link_del(struct store_txn *t, const struct id16 *id) MUST_CHECK;
int txn_links_of(struct store_txn *t, uint64_t ino, struct link **ret_links, size_t *ret_n) MUST_CHECK; /* free() */
int txn_links_named(struct store_txn *t, uint64_t parent, struct bytes name, struct link **ret_links,
	size_t *ret_n) MUST_CHECK; /* register */
int txn_links_in(struct store_txn *t, uint64_t parent, bool shown, struct link **ret_links, size_t *ret_n) MUST_CHECK;
int txn_link_shown(struct store_txn *t, uint64_t parent, struct bytes name, struct link *ret) MUST_CHECK;
/* Names (parent, name) freed or taken by local calls while another link's register claims the same name: merge must
 * look at them again. Takes the space's first after (*parent, name) off the list, in their order, and writes it there
 * (before the first: 0 and an empty name); ERR_NOT_FOUND: there is none. Names on the way that no space can look at,
 * since the directory is gone or is in none, leave the list too; those of other spaces stay. */
int txn_touched_take(
	struct store_txn *t, uint32_t space, uint64_t *parent, char name[NODE_MAX_NAME + 1], uint8_t *len) MUST_CHECK;

/* Xattrs, as the record has them. */
int txn_xattrs(
	struct store_txn *t, uint64_t ino, struct node_xattr **ret_x, size_t *ret_n, struct buf *memory) MUST_CHECK;
int txn_xattrs_replace(struct store_txn *t, uint64_t ino, const struct node_xattr *x, size_t n) MUST_CHECK;

/* Content. An extent is local bytes not yet in a chunk (chunk 0), or a range of a chunk; chunks are rows whose
 * plaintext is here wholly, or not. */
struct chunk_row {
	uint64_t row;
	uint32_t space;
	struct id16 id;
	uint8_t key[32]; /* secret */
	uint32_t len;    /* plaintext bytes */
	struct id32 hash;
	bool here;      /* its plaintext is in the store */
	bool confirmed; /* the relay has it */
	bool index;     /* an index chunk: its plaintext is kept as bytes, not as file content */
};
struct extent {
	uint64_t off, len;
	uint64_t chunk;                   /* chunk row, or 0: local bytes */
	uint32_t from;                    /* offset in the chunk's plaintext */
	uint64_t segment, pos, run, skip; /* where local bytes are (opaque to callers) */
};
int txn_extents(
	struct store_txn *t, uint64_t ino, struct extent **ret_e, size_t *ret_n) MUST_CHECK; /* ascending; free() */
int txn_content_clear(struct store_txn *t, uint64_t ino) MUST_CHECK;
int txn_content_data(struct store_txn *t, uint64_t ino, uint64_t off, struct bytes data) MUST_CHECK; /* local bytes */
int txn_content_ref(
	struct store_txn *t, uint64_t ino, uint64_t off, uint64_t len, uint64_t chunk, uint32_t from) MUST_CHECK;
int txn_chunk_find(struct store_txn *t, uint32_t space, const struct id16 *id, struct chunk_row *ret) MUST_CHECK;
int txn_chunk_get(struct store_txn *t, uint64_t row, struct chunk_row *ret) MUST_CHECK;
int txn_chunk_add(struct store_txn *t, struct chunk_row *c /* row is set; here is false */) MUST_CHECK;
int txn_chunk_confirm(struct store_txn *t, uint64_t row) MUST_CHECK;
/* The chunk's plaintext, exactly c.len bytes, arrives / was made here from bytes that are not local extents. */
int txn_chunk_fill(struct store_txn *t, uint64_t row, struct bytes plain) MUST_CHECK;
/* Where a walk over a node's links stands. */
struct link_at {
	uint64_t parent, hash;
};
#define PIN_KNOWN 512
/* A look for what pinned files lack; all zero: at its beginning. It goes over several transactions, and misses what
 * changes behind it. */
struct pin_look {
	uint64_t row;   /* the chunk, */
	uint64_t owner; /* a file that names it, */
	struct link_at link;
	/* a folder that shows the file, and the one of those above it, at which the look stands; 0: none */
	uint64_t folder, above;
	struct link_at link_above;
	unsigned depth;
	bool in_chunk, in_owner; /* not done with these */
	struct {
		uint64_t folder;
		bool pinned;
	} known[PIN_KNOWN]; /* answers, until the look ends */
};
/* The next chunk, in the order of their rows, that is not here though a pinned file needs it and the relay has it; its
 * key is left out. *left: how many chunks, files that name them and folders above those may be looked at; goes down.
 * ERR_AGAIN: none among those; ERR_NOT_FOUND: none any more, but chunks that come later have higher rows: the look may
 * go on then. */
int txn_pinned_absent(struct store_txn *t, struct pin_look *look, size_t *left, struct chunk_row *ret) MUST_CHECK;
/* Turns local extents of ino within [off, off+len) into the chunk (its plaintext: those bytes in file order, holes as
 * zeros): the chunk takes over their place in the store, nothing is copied. Only if each extent is still the one in
 * `seen` (as returned by txn_extents); else ERR_CONFLICT and nothing changes. */
int txn_chunk_adopt(struct store_txn *t, uint64_t row, uint64_t ino, uint64_t off, uint64_t len,
	const struct extent *seen, size_t n_seen) MUST_CHECK;

/* Records: the newest known blob of each node (own or received), and those waiting to be sent. */
int txn_record_put(struct store_txn *t, uint32_t space, const struct id16 *id, const struct id32 *hash, uint64_t cursor,
	struct bytes blob) MUST_CHECK;
int txn_record_get(struct store_txn *t, uint32_t space, const struct id16 *id, struct id32 *ret_hash,
	uint64_t *ret_cursor, struct buf *blob) MUST_CHECK;
/* Where a walk over a space's records stands: at this record; all zero: before the first. It may go over several
 * transactions. */
struct record_at {
	bool begun;
	struct id16 id;
	struct id32 hash;
	uint64_t cursor;
	uint64_t len; /* of the blob */
};
/* The next in the order of ids, without its blob. ERR_NOT_FOUND: there is none. */
int txn_record_next(struct store_txn *t, uint32_t space, struct record_at *at) MUST_CHECK;
int txn_record_each(struct store_txn *t, uint32_t space,
	int (*fn)(void *ctx, const struct id16 *id, const struct id32 *hash, struct bytes blob), void *ctx) MUST_CHECK;

struct outbox_row {
	uint64_t row; /* ascending: order of sealing */
	uint32_t space;
	uint64_t lane; /* ino of the top-level directory; 0: the root's files */
	uint64_t ino;
	struct id16 id;
	struct id32 hash;
	uint64_t change; /* node.change it was sealed from */
	uint64_t group;  /* records of one cut share it: pushed together where they fit */
};
/* Queues a sealed record: blob is kept; the node's base and version become this record's; its change is cleared if it
 * still equals row->change. chunks: rows it names directly or through index chunks that are not confirmed yet. */
int txn_outbox_add(struct store_txn *t, struct outbox_row *row, struct bytes blob, uint64_t version,
	const uint64_t *chunks, size_t n_chunks) MUST_CHECK;
int txn_outbox_each(struct store_txn *t, uint32_t space, uint64_t after_row,
	int (*fn)(void *ctx, const struct outbox_row *row, struct bytes blob), void *ctx) MUST_CHECK;
int txn_outbox_chunks(
	struct store_txn *t, uint64_t row, uint64_t **ret_chunks, size_t *ret_n) MUST_CHECK; /* unconfirmed; free() */
int txn_outbox_del(struct store_txn *t, uint64_t row) MUST_CHECK;

/* Nodes with local changes not sealed yet, ascending by change, after `after_change`. */
int txn_dirty_each(struct store_txn *t, uint32_t space, uint64_t after_change,
	int (*fn)(void *ctx, const struct node *node), void *ctx) MUST_CHECK;
/* Marks a node changed locally as the file-system calls do (merge results that must be sent). */
int txn_mark_changed(struct store_txn *t, uint64_t ino, uint32_t change_bits) MUST_CHECK;
/* Takes the mark off when the state equals `base` again. */
int txn_mark_clean(struct store_txn *t, uint64_t ino) MUST_CHECK;
/* Journal sequence of the newest change. */
uint64_t txn_position(struct store_txn *t);

/* ---- reading content as it stood, while it is being changed ---- */

/* Keeps every byte that the given extents or chunks point to from being freed until released. */
struct store_keep;
int store_keep(struct store *s, struct store_keep **ret_k) MUST_CHECK;
void store_keep_release(struct store_keep *k);
/* Reads len bytes of the file image described by e[0..n) from off; holes are zeros. ERR_ABSENT as store_read. Needs a
 * keep taken in or before the transaction that returned the extents. */
int store_read_extents(struct store *s, const struct extent *e, size_t n, uint64_t off, void *p, size_t len,
	uint64_t *ret_chunk) MUST_CHECK;
/* The plaintext of a chunk that is here (whole). */
int store_read_chunk(struct store *s, uint64_t chunk, struct buf *out) MUST_CHECK;

/* Reads every local block, record and page of the index from the disk and opens it; fn is called for each damaged node,
 * and once with ino 0 if the index is damaged. */
int store_verify(
	struct store *s, void (*fn)(void *ctx, uint64_t ino, int err), void *ctx, uint64_t *ret_checked) MUST_CHECK;

#endif
