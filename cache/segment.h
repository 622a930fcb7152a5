/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment: the files that the journal is written into, and how many of their bytes extents still point to.
 *
 * File seg-%016x = head (SEGMENT_HEAD bytes: magic, format, suite, number, and sealed under the store key: the
 * segment's own random key, and the segment and position that it follows), a mark of what was synced while it was
 * written, and then whatever the journal writes.
 * docs/FORMAT.md "Segment". A file is made long enough before it is used; it is reused only under another name and key.
 * Names are synced together with the bytes (segments_sync_names): until then nothing in the file is promised to be on
 * disk.
 *
 *	segments_open(env, dirfd, key, size, &set);
 *	segments_prepare(set, number, size);          // ahead of time: an empty file is ready
 *	segments_new(set, &info, frees);              // the next one: makes it, or takes that file
 *	segments_read(set, &place, p, len);           // plaintext of a run
 *	segments_close(set);
 *
 * Thread-safe by a lock of its own that is never held over file reads and writes but those of heads.
 */
#ifndef COFFER_CACHE_SEGMENT_H
#define COFFER_CACHE_SEGMENT_H

#include "base/env.h"
#include "cache/index.h"
#include "crypto/aead.h"
#include "crypto/secret.h"

#define SEGMENT_HEAD 256
#define SEGMENT_SIZE (16u << 20) /* ordinary, unless segments_open() is told another */
#define SEGMENT_MAX (96u << 20)  /* one entry and its head */
#define SEGMENT_UNIT 4096

enum segment_stream { STREAM_HEAD = 1, STREAM_BODY = 2, STREAM_DATA = 3, STREAM_MARK = 4 };

struct segments;

/* What a segment's head says. */
struct segment_info {
	uint64_t number;
	uint64_t prev, prev_pos; /* it follows this position; prev 0: nothing */
	uint64_t seq;            /* of its first entry */
	bool prev_synced;        /* what it follows was on disk before it was made */
	uint64_t synced;         /* of segments_probe(): entries up to this number were on disk; 0: not known */
	uint64_t size;
};

/* An open segment that cannot be closed or removed while the reference lives. */
struct segment_ref {
	uint64_t number;
	int fd;
	struct aead *aead; /* this thread's */
	void *opaque;
};

/* `key` is the store key; it and env are kept. size: of ordinary segments. */
int segments_open(const struct env *env, int dirfd, const struct secret *key, uint64_t size,
	struct segments **ret_set) MUST_CHECK;
uint64_t segments_size(const struct segments *set);
void segments_close(struct segments *set);

/* Makes the file that segments_new() will take, so that it need not. Safe to call at any time from another thread, and
 * others go on while the disk finds room. */
int segments_prepare(struct segments *set, uint64_t number, uint64_t size) MUST_CHECK;
/* Makes segment info->number ready for use and registers it with no live bytes; takes the prepared file if it fits.
 * ERR_NO_SPACE and others leave nothing. */
/* With `frees` (the entry to come will let go of more than it takes) a full disk gives the reserve: info->size is then
 * its. */
int segments_new(struct segments *set, struct segment_info *info, bool frees) MUST_CHECK;
/* The reserve: a file kept so that a full disk can be emptied. While there is none, nothing that grows should be
 * written. */
int segments_make_reserve(struct segments *set) MUST_CHECK;
/* Gives the disk the files kept for reuse. */
void segments_drop_spares(struct segments *set);
/* Gives back what a segment holds from a position on: nothing was acknowledged there. */
void segments_trim(struct segments *set, uint64_t number, uint64_t from);
bool segments_has_reserve(struct segments *set);
/* Reads a head. ERR_NOT_FOUND: no such file. ERR_CORRUPT: it has none yet. ERR_TAMPERED: its head is damaged. */
int segments_probe(struct segments *set, uint64_t number, struct segment_info *ret) MUST_CHECK;
/* Notes in a segment's file that all entries up to `seq` are on disk; once for a number. Costs no sync, and no error:
 * without it damage cannot be told from what a power cut tore. */
void segments_mark_synced(struct segments *set, const struct segment_ref *ref, uint64_t seq);
/* Puts the file of a segment that is not registered aside for a person (kept.h). */
int segments_keep(struct segments *set, uint64_t number) MUST_CHECK;
/* The same with a copy of one that is in use, readable up to `pos`; the note comes with it. Number 0: the note
 * alone. */
int segments_keep_copy(struct segments *set, uint64_t number, uint64_t pos) MUST_CHECK;
/* Makes the names of segments durable that were made, and those removed gone. */
int segments_sync_names(struct segments *set) MUST_CHECK;
/* Registers a segment found in the index or by probing; of one that is registered already it sets the size and the live
 * bytes. */
int segments_add(struct segments *set, uint64_t number, uint64_t size, uint64_t live) MUST_CHECK;
/* Removes the file, or keeps it for reuse. Waits for nobody: a reference keeps its descriptor. */
int segments_remove(struct segments *set, uint64_t number) MUST_CHECK;

/* ERR_CORRUPT if not registered or missing. Release with segments_put(). */
int segments_get(struct segments *set, uint64_t number, struct segment_ref *ret) MUST_CHECK;
void segments_put(struct segments *set, struct segment_ref *ref);

/* Reads len bytes from `skip` of the run of `run` bytes at `pos`. ERR_TAMPERED, ERR_CORRUPT (short file), ERR_IO. */
int segments_read(struct segments *set, const struct place *at, void *p, size_t len) MUST_CHECK;

/* Live bytes. Changes are recorded between mark and undo or unmark. */
void segments_live(void *set, uint64_t number, int64_t delta);
void segments_mark(struct segments *set);
void segments_unmark(struct segments *set);
/* ERR_NOMEM: not everything was recorded; the numbers must be loaded again. */
int segments_undo(struct segments *set) MUST_CHECK;
/* Before the numbers are loaded again from the index and the journal: no segment has live bytes. All stay registered,
 * for who reads now holds no lock but the set's; segments_add() gives them their numbers back. */
void segments_reload(struct segments *set);

struct segment_row {
	uint64_t number, size, live;
	bool changed;       /* since segments_saved() */
	uint64_t empty_seq; /* live became 0 at this sequence number (set by segments_note_empty) */
	uint64_t given;     /* of size, what was given back to the disk by this run (segments_gave) */
	uint64_t need;      /* about what its living pieces would take if they were written again */
	uint64_t gained;    /* segments_gains() when a piece last came to live in it */
};
/* The registered segment after `number`, false at the end. */
bool segments_next(struct segments *set, uint64_t number, struct segment_row *ret);
/* Holes of so many bytes are in its file now. */
void segments_gave(struct segments *set, uint64_t number, uint64_t bytes);
/* A survey found what `need` is; until then, and for what changes later, it follows the live bytes. */
void segments_measured(struct segments *set, uint64_t number, uint64_t need);
/* Counts pieces that came to live in a segment, by being written, shared, cut or moved within their owner. */
uint64_t segments_gains(struct segments *set);
/* Bytes that lost a reference since the set was opened. */
uint64_t segments_lost(struct segments *set);
void segments_saved(struct segments *set, uint64_t number);
/* Stamps segments that have no live bytes and no stamp yet. */
void segments_note_empty(struct segments *set, uint64_t seq);
uint64_t segments_bytes(struct segments *set, uint64_t *ret_live);
/* Bytes that content takes. Live bytes count once for each piece that points to them; here no segment counts for more
 * than it holds, or than a survey found in it: so what files share counts once, to within a segment. */
uint64_t segments_content(struct segments *set);

#endif
