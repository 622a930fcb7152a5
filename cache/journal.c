/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry at position p: sealed head (u32 body length, u32 data length, u64 sequence number, tag), sealed body and tag, data in
 * units of 4 KiB with a tag each. The nonce is the position, the key the segment's own, so no nonce comes twice: a position
 * is sealed for once, and after a failed write never again. A start writes what it replayed again as it is.
 *
 * Crash: the tail may be torn; replay ends at the first entry that does not open. Every new run follows that position.
 * Where a mark says that more was synced than replay now reaches, the journal is damaged, not torn. Data that was synced is not
 * opened at replay: if it is damaged that is told when it is read, as of any other.
 */
#include "cache/journal.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/cleanup.h"

enum {
	ENTRY_PLAIN = 16,
	ENTRY_HEAD = ENTRY_PLAIN + AEAD_TAG_SIZE,
	OUT_KEEP = 4 << 20,
	UNSYNCED_MAX = 64,
	UNSYNCED_WAIT = 56, /* the rest is for those that are past journal_catch_up(), and for housekeeping */
	UNSYNCED_SOON = 48,
	SMALLER = 16,
	AGAIN = 1 << 20
};

struct journal {
	const struct env *env;
	struct segments *set;
	struct buf out;         /* the entry being sealed */
	struct segment_ref seg; /* the one written to; under the store's lock */
	uint64_t size;
	bool cut; /* a write failed: begin a new segment */
	_Atomic uint64_t next_number;
	_Atomic bool spare;              /* small segments alone */
	uint64_t replayed, replayed_pos; /* where the replay began: what is before was on disk already */
	bool damaged;                    /* the replay ended before something that was synced */
	bool frozen, unreadable;         /* unreadable: a frozen one's replay ended where the disk could not read */

	pthread_mutex_t lock; /* the fields below */
	pthread_cond_t done;
	struct segment_ref unsynced[UNSYNCED_MAX]; /* older segments with bytes that may not be on disk */
	unsigned n_unsynced;
	bool current_unsynced, syncing, broken;
	int failure; /* of the sync that broke it */
	/* count entries and begun segments, whose heads must be on disk before the index names them */
	uint64_t written, synced;
	uint64_t written_seq, synced_seq;
	_Atomic unsigned ahead; /* n_unsynced, read without the lock */
};

int journal_open(const struct env *env, struct segments *set, struct journal **ret_j)
{
	struct journal *j = calloc(1, sizeof *j);
	if (!j)
		return ERR_NOMEM;
	j->env = env;
	j->set = set;
	j->out = (struct buf)BUF_INIT(SEGMENT_MAX);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->done, NULL);
	*ret_j = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	for (unsigned i = 0; i < j->n_unsynced; i++)
		segments_put(j->set, &j->unsynced[i]);
	segments_put(j->set, &j->seg);
	pthread_cond_destroy(&j->done);
	pthread_mutex_destroy(&j->lock);
	buf_release(&j->out);
	free(j);
}

/* ---- replay ---- */

struct cursor {
	struct segment_ref ref;
	uint64_t pos, end, size, seq; /* seq: of the last entry */
	uint64_t synced;              /* all entries up to this one were */
};

static ssize_t read_at(struct journal *j, const struct cursor *c, void *p, size_t n, uint64_t pos)
{
	return j->env->pread(j->env->ctx, c->ref.fd, p, n, (off_t)pos);
}

/* ERR_NOT_FOUND: no entry at the position that opens and is the next one. Data units are not opened: a torn entry's are
 * found by their absence, since the file is one write. */
static int read_entry(
	struct journal *j, const struct cursor *c, struct buf *body, struct journal_entry *e, uint64_t *ret_next)
{
	uint8_t head[ENTRY_HEAD], plain[ENTRY_PLAIN];
	const struct bytes none = bytes_of(NULL, 0);
	if (c->pos + ENTRY_HEAD > c->size)
		return ERR_NOT_FOUND;
	ssize_t got = read_at(j, c, head, sizeof head, c->pos);
	if (got < 0)
		return (int)got;
	if (got != ENTRY_HEAD || aead_open(c->ref.aead, (struct aead_nonce){ STREAM_HEAD, c->pos }, none,
					 bytes_of(head, ENTRY_PLAIN), head + ENTRY_PLAIN, plain) < 0)
		return ERR_NOT_FOUND;
	uint64_t body_len = bytes_get_le(plain, 4), data_len = bytes_get_le(plain + 4, 4);
	e->seq = bytes_get_le(plain + 8, 8);
	if (e->seq != c->seq + 1 || body_len > JOURNAL_MAX_BODY || data_len > JOURNAL_MAX_DATA)
		return ERR_NOT_FOUND;
	uint64_t body_at = c->pos + ENTRY_HEAD, data_at = body_at + body_len + AEAD_TAG_SIZE;
	*ret_next = data_at + aead_units_size((size_t)data_len, SEGMENT_UNIT);
	uint8_t *p;
	buf_clear(body);
	int err = buf_grow(body, (size_t)body_len + AEAD_TAG_SIZE, &p);
	if (err < 0)
		return err;
	got = read_at(j, c, p, body->len, body_at);
	if (got < 0)
		return (int)got;
	if ((size_t)got != body->len || aead_open(c->ref.aead, (struct aead_nonce){ STREAM_BODY, body_at }, none,
						bytes_of(p, (size_t)body_len), p + body_len, p) < 0)
		return ERR_NOT_FOUND;
	e->body = bytes_of(p, (size_t)body_len);
	e->data = (struct place){ .segment = c->ref.number, .pos = data_at, .run = data_len };
	return 0;
}

/* Power loss may keep the head and lose the data behind it, so replay opens each unit once. */
static int check_data(struct journal *j, const struct journal_entry *e, struct buf *scratch)
{
	for (uint64_t at = 0; at < e->data.run;) {
		uint64_t left = e->data.run - at;
		size_t n = left < 1u << 20 ? (size_t)left : 1u << 20;
		struct place place = e->data;
		uint8_t *p;
		place.skip = at;
		buf_clear(scratch);
		int err = buf_grow(scratch, n, &p);
		if (err == 0)
			err = segments_read(j->set, &place, p, n);
		if (err < 0)
			return err == ERR_TAMPERED || err == ERR_CORRUPT ? ERR_NOT_FOUND : err;
		at += n;
	}
	return 0;
}

static int replay_segment(struct journal *j, struct cursor *c, struct index_state *state,
	int (*fn)(void *ctx, const struct journal_entry *e), void *ctx)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(JOURNAL_MAX_BODY + AEAD_TAG_SIZE);
	CLEANUP(buf_release) struct buf scratch = BUF_INIT(1u << 20);
	while (c->pos < c->end) {
		struct journal_entry e;
		uint64_t next = 0;
		int err = read_entry(j, c, &body, &e, &next);
		if (err == 0 && e.seq > c->synced)
			err = check_data(j, &e, &scratch);
		if (err == ERR_IO && j->frozen) {
			j->unreadable = true;
			err = ERR_NOT_FOUND;
		}
		if (err == 0)
			err = fn(ctx, &e);
		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
		c->pos = next;
		c->seq = e.seq;
		state->segment = c->ref.number;
		state->pos = next;
		state->seq = e.seq;
	}
	return 0;
}

/* The newest segment from number `first` on that says it follows `segment`. ERR_NOT_FOUND. A file without a head was being made
 * when a run ended; one whose head is damaged had entries. Raises *synced to what the marks of any of them say: each came after
 * all that is still to be replayed. */
static int find_follower(
	struct journal *j, uint64_t segment, uint64_t first, struct segment_info *ret, uint64_t *synced)
{
	bool found = false;
	j->damaged = false;
	for (uint64_t number = first;; number++) {
		struct segment_info info;
		int err = segments_probe(j->set, number, &info);
		if (err == ERR_NOT_FOUND)
			return found ? 0 : ERR_NOT_FOUND;
		if (err < 0 && err != ERR_CORRUPT && err != ERR_TAMPERED)
			return err;
		j->damaged |= err == ERR_TAMPERED;
		if (err == 0 && *synced < info.synced)
			*synced = info.synced;
		if (err == 0 && info.prev == segment) {
			*ret = info;
			found = true;
		}
	}
}

/* Entries of one segment, up to where the next one says it follows: what stands behind was never acknowledged. */
static int replay_one(struct journal *j, struct cursor *c, struct index_state *state, const struct segment_info *next,
	int (*fn)(void *ctx, const struct journal_entry *e), void *ctx)
{
	if (state->segment != 0) {
		int err = segments_get(j->set, state->segment, &c->ref);
		if (err < 0)
			return err;
		c->end = next ? next->prev_pos : c->size;
		err = replay_segment(j, c, state, fn, ctx);
		segments_put(j->set, &c->ref);
		if (err < 0)
			return err;
	}
	if (next && (state->segment == 0 || state->pos == next->prev_pos))
		return 0;
	j->damaged |= c->synced > c->seq;
	return ERR_NOT_FOUND;
}

int journal_replay(
	struct journal *j, struct index_state *state, int (*fn)(void *ctx, const struct journal_entry *e), void *ctx)
{
	struct cursor c = { .pos = state->pos, .seq = state->seq };
	uint64_t mark = 0; /* of the segment being replayed */
	j->replayed = state->segment;
	j->replayed_pos = state->pos;
	if (state->segment != 0) {
		struct segment_info info = { .size = 0 };
		int err = segments_probe(j->set, state->segment, &info);
		if (err < 0)
			return err == ERR_NOT_FOUND || err == ERR_TAMPERED ? ERR_CORRUPT : err;
		c.size = info.size;
		mark = info.synced;
	}
	for (;;) {
		struct segment_info next = { .number = 0 };
		c.synced = mark;
		int err = find_follower(j, state->segment, state->next_segment, &next, &c.synced);
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
		err = replay_one(j, &c, state, err == 0 ? &next : NULL, fn, ctx);
		if (err == 0)
			err = segments_add(j->set, next.number, next.size, 0);
		if (err < 0)
			return err == ERR_NOT_FOUND ? 0 : err;
		state->segment = next.number;
		state->pos = c.pos = SEGMENT_HEAD;
		state->next_segment = next.number + 1;
		c.size = next.size;
		mark = next.synced;
	}
}

/* ---- writing ---- */

/* Under j->lock. Keeps the segment being left for the next sync. */
static int leave_segment(struct journal *j)
{
	if (j->seg.opaque == NULL)
		return 0;
	if (!j->current_unsynced) {
		segments_put(j->set, &j->seg);
		return 0;
	}
	if (j->n_unsynced == UNSYNCED_MAX)
		return ERR_BUSY;
	j->unsynced[j->n_unsynced++] = j->seg;
	atomic_store(&j->ahead, j->n_unsynced);
	j->seg.opaque = NULL;
	return 0;
}

static int new_segment(struct journal *j, struct index_state *state, uint64_t size, bool prev_synced, bool frees)
{
	struct segment_info info = { .number = state->next_segment,
		.prev = state->segment,
		.prev_pos = state->pos,
		.seq = state->seq + 1,
		.prev_synced = prev_synced,
		.size = size };
	struct segment_ref ref;
	int err = segments_new(j->set, &info, frees);
	if (err == 0)
		err = segments_get(j->set, info.number, &ref);
	if (err < 0)
		return err;
	pthread_mutex_lock(&j->lock);
	err = leave_segment(j);
	if (err == 0) {
		j->seg = ref;
		j->current_unsynced = true;
		j->written++;
	}
	pthread_mutex_unlock(&j->lock);
	if (err < 0) {
		segments_put(j->set, &ref);
		return err;
	}
	j->size = info.size;
	j->cut = false;
	state->segment = info.number;
	state->pos = SEGMENT_HEAD;
	state->next_segment = info.number + 1;
	atomic_store(&j->next_number, state->next_segment);
	return 0;
}

/* On a disk that is nearly full a small segment does; what lets go of space may have the reserve at last. */
static int any_segment(struct journal *j, struct index_state *state, size_t need, bool prev_synced, bool frees)
{
	uint64_t size = segments_size(j->set), small = size / SMALLER;
	while (size < need + SEGMENT_HEAD)
		size *= 2;
	if (small < need + SEGMENT_HEAD)
		small = (need + SEGMENT_HEAD + SEGMENT_UNIT - 1) / SEGMENT_UNIT * SEGMENT_UNIT;
	if (size > SEGMENT_MAX * 2ull)
		return ERR_RANGE;
	int err = atomic_load(&j->spare) ? ERR_NO_SPACE : new_segment(j, state, size, prev_synced, false);
	if (err_is_full(err))
		err = new_segment(j, state, small, prev_synced, frees);
	return err;
}

/* The same bytes in the same place. */
static int write_again(struct journal *j, const struct segment_ref *ref, uint64_t from, uint64_t end)
{
	CLEANUP(buf_release) struct buf some = BUF_INIT(AGAIN);
	int err = 0;
	while (err == 0 && from < end) {
		size_t n = end - from < AGAIN ? (size_t)(end - from) : AGAIN;
		uint8_t *p;
		buf_clear(&some);
		err = buf_grow(&some, n, &p);
		if (err < 0)
			return err;
		ssize_t got = j->env->pread(j->env->ctx, ref->fd, p, n, (off_t)from);
		if (got < 0 || (size_t)got != n)
			return got < 0 ? (int)got : ERR_CORRUPT;
		err = j->env->pwrite(j->env->ctx, ref->fd, p, n, (off_t)from);
		from += n;
	}
	return err;
}

/* A sync of the run before may have failed: the kernel counts pages that it could not write as clean, so that the next sync says
 * nothing of them. Written again they are on disk after it, or it fails. A file system that writes in other places may have no
 * room for that. */
static int sync_replayed(struct journal *j, uint64_t number, uint64_t from, uint64_t end)
{
	struct segment_ref ref;
	int err = segments_get(j->set, number, &ref);
	if (err < 0)
		return err;
	err = write_again(j, &ref, from, end);
	if (err == 0 || err_is_full(err))
		err = j->env->fdatasync(j->env->ctx, ref.fd);
	segments_put(j->set, &ref);
	return err;
}

/* Of each segment from where the replay began to where the next one says it follows. */
static int sync_all_replayed(struct journal *j, const struct index_state *state)
{
	struct segment_row row, next;
	bool more = segments_next(j->set, j->replayed > 0 ? j->replayed - 1 : 0, &row);
	while (more) {
		uint64_t from = row.number == j->replayed ? j->replayed_pos : 0, end = state->pos;
		more = segments_next(j->set, row.number, &next);
		if (more) {
			struct segment_info info;
			int err = segments_probe(j->set, next.number, &info);
			if (err < 0)
				return err;
			end = info.prev_pos;
		}
		int err = sync_replayed(j, row.number, from, end);
		if (err < 0)
			return err;
		row = next;
	}
	return 0;
}

/* Nothing leads there: a crash cut them off, or damage. */
static int clear_followers(struct journal *j, uint64_t number)
{
	for (;; number++) {
		struct segment_info info;
		int err = segments_probe(j->set, number, &info);
		if (err < 0 && err != ERR_CORRUPT && err != ERR_TAMPERED)
			return err == ERR_NOT_FOUND ? 0 : err;
		bool keep = j->damaged && err != ERR_CORRUPT;
		err = keep ? segments_keep(j->set, number) : segments_remove(j->set, number);
		if (err < 0)
			return err;
	}
}

int journal_start(struct journal *j, struct index_state *state)
{
	int err = j->damaged ? segments_keep_copy(j->set, state->segment, state->pos) : 0;
	if (err == 0)
		err = clear_followers(j, state->next_segment);
	if (err == 0)
		err = sync_all_replayed(j, state);
	if (err == 0)
		err = segments_sync_names(j->set);
	if (err < 0)
		return err;
	j->written_seq = j->synced_seq = state->seq;
	err = any_segment(j, state, 0, state->segment != 0, true);
	if (!err_is_full(err) || state->segment == 0)
		return err;
	segments_trim(j->set, state->segment, state->pos); /* what the last run left unused is all there is */
	return any_segment(j, state, 0, true, true);
}

void journal_freeze(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->broken = j->frozen = true;
	pthread_mutex_unlock(&j->lock);
}

bool journal_damaged(const struct journal *j)
{
	return j->damaged || j->unreadable;
}

static int seal_entry(struct journal *j, uint64_t pos, uint64_t seq, struct bytes body, struct bytes data)
{
	const struct bytes none = bytes_of(NULL, 0);
	uint8_t plain[ENTRY_PLAIN], *p;
	buf_clear(&j->out);
	int err =
		buf_grow(&j->out, ENTRY_HEAD + body.len + AEAD_TAG_SIZE + aead_units_size(data.len, SEGMENT_UNIT), &p);
	if (err < 0)
		return err;
	bytes_put_le(plain, body.len, 4);
	bytes_put_le(plain + 4, data.len, 4);
	bytes_put_le(plain + 8, seq, 8);
	err = aead_seal(j->seg.aead, (struct aead_nonce){ STREAM_HEAD, pos }, none, bytes_of(plain, sizeof plain), p,
		p + ENTRY_PLAIN);
	uint8_t *sealed = p + ENTRY_HEAD;
	if (err == 0)
		err = aead_seal(j->seg.aead, (struct aead_nonce){ STREAM_BODY, pos + ENTRY_HEAD }, none, body, sealed,
			sealed + body.len);
	if (err == 0 && data.len > 0)
		err = aead_seal_units(j->seg.aead,
			(struct aead_nonce){ STREAM_DATA, pos + ENTRY_HEAD + body.len + AEAD_TAG_SIZE }, none,
			SEGMENT_UNIT, data, sealed + body.len + AEAD_TAG_SIZE);
	return err;
}

int journal_catch_up(struct journal *j)
{
	uint64_t synced;
	return atomic_load(&j->ahead) >= UNSYNCED_WAIT ? journal_sync(j, &synced) : 0;
}

bool journal_far_ahead(const struct journal *j)
{
	return atomic_load(&j->ahead) >= UNSYNCED_SOON;
}

/* Who did not wait in journal_catch_up() does it here, with the store's lock. */
static int wait_for_disk(struct journal *j)
{
	uint64_t synced;
	pthread_mutex_lock(&j->lock);
	bool behind = j->n_unsynced == UNSYNCED_MAX;
	pthread_mutex_unlock(&j->lock);
	return behind ? journal_sync(j, &synced) : 0;
}

static int reserve(struct journal *j, struct index_state *state, size_t need, enum journal_room room)
{
	if (room == ROOM_AMPLE && !segments_has_reserve(j->set)) {
		int err = segments_make_reserve(j->set);
		if (err < 0)
			return err;
	}
	if (!j->cut && j->seg.opaque && state->pos + need <= j->size)
		return 0;
	int err = wait_for_disk(j);
	if (err == 0)
		err = any_segment(j, state, need, false, room == ROOM_RESERVE);
	return err == 0 && state->pos + need > j->size ? ERR_NO_SPACE : err; /* the reserve is smaller */
}

void journal_spare(struct journal *j, bool spare)
{
	atomic_store(&j->spare, spare);
}

/* Replay reads zeros there, as if nothing had been written. */
void journal_shrink(struct journal *j, const struct index_state *state)
{
	uint64_t small = segments_size(j->set) / SMALLER,
		 end = (state->pos + small + SEGMENT_UNIT - 1) / SEGMENT_UNIT * SEGMENT_UNIT;
	if (!j->seg.opaque || j->cut || end + small > j->size)
		return;
	int err = j->env->fallocate(
		j->env->ctx, j->seg.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)end, (off_t)(j->size - end));
	if (err == 0)
		j->size = end;
}

/* A file system that became read-only stays so until it was checked. */
static int note_read_only(struct journal *j, int err)
{
	if (err != ERR_READ_ONLY)
		return err;
	pthread_mutex_lock(&j->lock);
	j->broken = true;
	j->failure = err;
	pthread_mutex_unlock(&j->lock);
	return err;
}

int journal_append(struct journal *j, struct index_state *state, struct bytes body, struct bytes data,
	enum journal_room room, struct place *ret_data)
{
	if (body.len > JOURNAL_MAX_BODY || data.len > JOURNAL_MAX_DATA)
		return ERR_RANGE;
	if (journal_broken(j))
		return ERR_READ_ONLY;
	size_t need = ENTRY_HEAD + body.len + AEAD_TAG_SIZE + aead_units_size(data.len, SEGMENT_UNIT);
	int err = reserve(j, state, need, room);
	if (err == 0)
		err = seal_entry(j, state->pos, state->seq + 1, body, data);
	if (err < 0)
		return note_read_only(j, err);
	err = j->env->pwrite(j->env->ctx, j->seg.fd, j->out.data, j->out.len, (off_t)state->pos);
	if (err < 0) {
		j->cut = true;
		return note_read_only(j, err);
	}
	*ret_data = (struct place){
		.segment = j->seg.number, .pos = state->pos + ENTRY_HEAD + body.len + AEAD_TAG_SIZE, .run = data.len
	};
	state->pos += need;
	state->seq++;
	if (j->out.alloc > OUT_KEEP)
		buf_release(&j->out);
	pthread_mutex_lock(&j->lock);
	j->written_seq = state->seq;
	j->written++;
	j->current_unsynced = true;
	pthread_mutex_unlock(&j->lock);
	return 0;
}

/* ---- syncing ---- */

/* One fdatasync round, without the lock: older segments first. */
static int sync_round(struct journal *j, struct segment_ref *old, unsigned n, int fd)
{
	int err = 0;
	for (unsigned i = 0; i < n; i++) {
		int one = j->env->fdatasync(j->env->ctx, old[i].fd);
		err = err < 0 ? err : one;
		segments_put(j->set, &old[i]);
	}
	if (err == 0 && fd >= 0)
		err = j->env->fdatasync(j->env->ctx, fd);
	return err < 0 ? err : segments_sync_names(j->set);
}

/* Lock held, and left while the disk works. */
static int sync_now(struct journal *j)
{
	struct segment_ref old[UNSYNCED_MAX], current = { .fd = -1 };
	unsigned n = j->n_unsynced;
	uint64_t covers = j->written, covers_seq = j->written_seq;
	int err = j->current_unsynced ? segments_get(j->set, j->seg.number, &current) : 0;
	if (err < 0)
		return err; /* nothing was tried */
	memcpy(old, j->unsynced, n * sizeof old[0]);
	j->n_unsynced = 0;
	atomic_store(&j->ahead, 0);
	j->current_unsynced = false;
	j->syncing = true;
	pthread_mutex_unlock(&j->lock);
	err = sync_round(j, old, n, current.fd);
	if (err == 0 && current.fd >= 0 && covers_seq > 0)
		segments_mark_synced(j->set, &current, covers_seq);
	segments_put(j->set, &current);
	pthread_mutex_lock(&j->lock);
	j->syncing = false;
	if (err < 0) {
		j->broken = true;
		j->failure = err;
	} else {
		j->synced = covers;
		j->synced_seq = covers_seq;
	}
	pthread_cond_broadcast(&j->done);
	return 0;
}

int journal_sync(struct journal *j, uint64_t *ret_seq)
{
	int err = 0;
	pthread_mutex_lock(&j->lock);
	uint64_t want = j->written;
	bool was_broken = j->broken;
	while (j->syncing && j->synced < want && !j->broken)
		pthread_cond_wait(&j->done, &j->lock);
	if (j->synced < want && !j->broken)
		err = sync_now(j);
	if (j->broken)
		err = was_broken ? ERR_READ_ONLY : j->failure;
	*ret_seq = j->synced_seq;
	pthread_mutex_unlock(&j->lock);
	return err;
}

int journal_prepare(struct journal *j)
{
	return segments_prepare(j->set, atomic_load(&j->next_number), segments_size(j->set));
}

bool journal_broken(const struct journal *j)
{
	struct journal *mutable = (struct journal *)j;
	pthread_mutex_lock(&mutable->lock);
	bool broken = j->broken;
	pthread_mutex_unlock(&mutable->lock);
	return broken;
}

uint64_t journal_segment(const struct journal *j)
{
	return atomic_load(&j->next_number) - 1;
}
