/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Housekeeping: once a second, or when kicked, what was done is committed to the index, the journal synced, the index's log
 * written behind it, and what nothing needs any more is freed. All waiting for disks is done without the store's lock.
 */
#include <fcntl.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include "cache/pagevfs.h"
#include "cache/txn.h"

#define INDEX_RESERVE "reserve-index"
#define INDEX_RESERVE_SIZE (4 << 20)

enum {
	CHECKPOINT_FRAMES = 2000,
	WAITING_SEGMENTS = 4,
	LOG_KEEP = 16 << 20,
	TIGHT_MARGIN = 8 << 20,
	SCARCE_MARGIN = 24 << 20,
	ASK_NS = 200000000,
	QUIET_TURNS = 5,
	WORTH_LOST = 256 << 10,
	READERS_US = 5000,
	WAIT_SECONDS = 2
};

/* The segments' numbers of live bytes go with the commit that they belong to. */
static int save_segments(struct store *s)
{
	struct segment_row row = { .number = 0 };
	while (segments_next(s->segments, row.number, &row)) {
		if (!row.changed)
			continue;
		int err = index_segment_put(s->index, row.number, row.size, row.live);
		if (err < 0)
			return err;
		segments_saved(s->segments, row.number);
	}
	return 0;
}

int tend_commit(struct store *s)
{
	struct index_state *state = index_state(s->index);
	state->segment = s->at.segment;
	state->pos = s->at.pos;
	state->seq = s->at.seq;
	state->next_segment = s->at.next_segment;
	int err = save_segments(s);
	if (err == 0)
		err = index_commit(s->index);
	if (err < 0) {
		s->behind = true;
		return err;
	}
	s->committed_seq = s->at.seq;
	s->uncommitted = 0;
	segments_note_empty(s->segments, s->at.seq);
	return 0;
}

static int commit_now(struct store *s, uint64_t *ret_mark)
{
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = use_save(s);
	if (err == 0 && s->uncommitted > 0)
		err = tend_commit(s);
	*ret_mark = pagevfs_mark(s->vfs);
	store_unlock(s);
	return err;
}

static int flush_index(struct store *s)
{
	uint64_t synced, mark;
	int err = commit_now(s, &mark);
	if (err == 0)
		err = journal_sync(s->journal, &synced);
	if (err == 0)
		err = segments_sync_names(s->segments); /* a segment that the commit forgets is gone */
	return err < 0 ? err : pagevfs_flush(s->vfs, mark);
}

/* ---- checkpoints ---- */

/* Bytes of segments that fell empty since the last checkpoint and wait for the next. */
static uint64_t waiting_bytes(struct store *s)
{
	struct segment_row row = { .number = 0 };
	uint64_t current = journal_segment(s->journal), bytes = 0;
	while (segments_next(s->segments, row.number, &row))
		if (row.live == 0 && row.number < current)
			bytes += row.size;
	return bytes;
}

void tend_look_at_space(struct store *s)
{
	struct statvfs below;
	if (fstatvfs(s->config.dirfd, &below) < 0)
		return; /* no real disk */
	uint64_t free_bytes = (uint64_t)below.f_bavail * below.f_frsize;
	uint64_t need = pagevfs_need(s->vfs);
	atomic_store(&s->free_bytes, free_bytes);
	atomic_store(&s->scarce, free_bytes < need + SCARCE_MARGIN);
	atomic_store(&s->tight, free_bytes < need + TIGHT_MARGIN);
	journal_spare(s->journal, atomic_load(&s->scarce));
}

static bool checkpoint_due(struct store *s)
{
	uint64_t most = s->config.checkpoint_frames ? s->config.checkpoint_frames : CHECKPOINT_FRAMES;
	if (pagevfs_mark(s->vfs) == s->checkpointed)
		return false;
	uint64_t waiting = waiting_bytes(s);
	if (atomic_load(&s->scarce) || (waiting > 0 && (!segments_has_reserve(s->segments) || s->index_full)))
		return true; /* the disk is full: space is needed now */
	if ((s->quiet || atomic_load(&s->wanting) > 0) && waiting > 0)
		return true;
	return pagevfs_frames(s->vfs) >= most || waiting > WAITING_SEGMENTS * segments_size(s->segments);
}

/* Moves the log into the database. That needs all of it on disk, and no more may come meanwhile: nothing does behind the gate, so that
 * no sync is left to be done under the lock. */
static int checkpoint_locked(struct store *s)
{
	uint64_t synced;
	int err = s->uncommitted > 0 ? tend_commit(s) : 0;
	if (err == 0)
		err = journal_sync(s->journal, &synced);
	if (err == 0)
		err = segments_sync_names(s->segments);
	if (err == 0)
		err = pagevfs_flush(s->vfs, UINT64_MAX);
	if (err == 0)
		err = index_checkpoint(s->index, pagevfs_log_bytes(s->vfs) > LOG_KEEP);
	if (err == 0)
		pagevfs_moved(s->vfs);
	return err;
}

static void set_gate(struct store *s, bool closing, bool closed)
{
	pthread_mutex_lock(&s->wake_lock);
	atomic_store(&s->closing, closing);
	atomic_store(&s->gate, closed);
	if (!closed)
		pthread_cond_broadcast(&s->opened);
	pthread_mutex_unlock(&s->wake_lock);
}

void tend_wait_gate(struct store *s)
{
	pthread_mutex_lock(&s->wake_lock);
	while (atomic_load(&s->gate))
		pthread_cond_wait(&s->opened, &s->wake_lock);
	pthread_mutex_unlock(&s->wake_lock);
}

/* What came during the last flush would have to be synced under the lock. Once more, so that it is little; then with the gate closed:
 * who changes something waits there, who reads does not. *ret_mark and what follows: of the log that the database now has. */
static int move_log(struct store *s, uint64_t *ret_mark, uint64_t *ret_segment, uint64_t *ret_seq)
{
	set_gate(s, true, false);
	int err = flush_index(s);
	if (err == 0) {
		set_gate(s, true, true);
		err = flush_index(s);
	}
	if (err == 0)
		err = store_lock(s);
	if (err == 0) {
		err = checkpoint_locked(s);
		*ret_mark = pagevfs_mark(s->vfs);
		*ret_segment = index_state(s->index)->segment;
		*ret_seq = s->committed_seq;
		store_unlock(s);
	}
	set_gate(s, false, false);
	return err;
}

/* What the database alone needs of the journal is known when it is on disk. */
static int checkpoint(struct store *s)
{
	uint64_t mark, segment, seq;
	if (!checkpoint_due(s))
		return 0;
	int err = move_log(s, &mark, &segment, &seq);
	if (err == 0)
		err = pagevfs_flush(s->vfs, mark);
	if (err < 0)
		return err;
	s->checkpointed = mark;
	s->db_segment = segment;
	s->db_seq = seq;
	return 0;
}

/* ---- freeing ---- */

/* A segment may go that the database on disk neither points into nor replays from, and that no reader of an older state may
 * need. The index's log does not count: should it be damaged, database and journal still have everything. */
static bool may_go(struct store *s, const struct segment_row *row, uint64_t oldest_reader)
{
	return row->live == 0 && row->number < s->db_segment && row->empty_seq != 0 && row->empty_seq <= s->db_seq &&
	       row->empty_seq <= oldest_reader;
}

static int free_segments(struct store *s)
{
	struct segment_row row = { .number = 0 };
	int err = store_lock(s);
	if (err < 0)
		return err;
	uint64_t oldest = keep_oldest(s);
	while (err == 0 && segments_next(s->segments, row.number, &row)) {
		if (!may_go(s, &row, oldest))
			continue;
		err = index_segment_del(s->index, row.number);
		if (err == 0)
			err = segments_remove(s->segments, row.number);
		if (err == 0)
			s->uncommitted += s->uncommitted == 0; /* so that the row goes with a commit */
	}
	store_unlock(s);
	return err;
}

int tend_relieve(struct store *s)
{
	pthread_mutex_lock(&s->tend_lock);
	int err = flush_index(s);
	pthread_mutex_unlock(&s->tend_lock);
	return err;
}

/* A few MiB that the index may grow into when the disk is full, so that deleting can be written down. */
static void keep_index_reserve(struct store *s, bool give)
{
	const struct env *env = s->config.env;
	s->index_full = give;
	if (give) {
		(void)!env->unlink(env->ctx, s->config.dirfd, INDEX_RESERVE);
		s->index_reserve = false;
		return;
	}
	if (s->index_reserve)
		return;
	int fd = env->open(env->ctx, s->config.dirfd, INDEX_RESERVE, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return;
	int err = env->fallocate(env->ctx, fd, 0, 0, INDEX_RESERVE_SIZE);
	(void)!env->close(env->ctx, fd);
	if (err_is_full(err))
		(void)!env->unlink(env->ctx, s->config.dirfd, INDEX_RESERVE);
	s->index_reserve = err == 0;
}

static void shrink(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	journal_shrink(s->journal, &s->at);
	pthread_mutex_unlock(&s->lock);
}

/* Nobody works: what was kept for speed is given back, and dead space need not wait. */
static void look_at_work(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool worked = s->worked;
	s->worked = false;
	pthread_mutex_unlock(&s->lock);
	s->quiet_turns = worked ? 0 : s->quiet_turns + 1;
	s->quiet = s->quiet_turns >= QUIET_TURNS;
}

/* What is written down is brought to the disk, with the reserve if there is no other room. */
static int settle(struct store *s)
{
	int err = flush_index(s);
	if (err_is_full(err) || err == 0)
		keep_index_reserve(s, err_is_full(err));
	if (err_is_full(err))
		err = flush_index(s);
	if (err == 0)
		(void)!segments_make_reserve(
			s->segments); /* without it writes are refused, and the next turn tries again */
	if (err == 0)
		err = checkpoint(s);
	if (err_is_full(err)) {
		keep_index_reserve(s, true);
		err = checkpoint(s);
	}
	return err == 0 ? free_segments(s) : err;
}

/* What goes wrong in one part keeps no other up. */
static int give_back(struct store *s)
{
	bool punched = false;
	int err = 0;
	if (atomic_load(&s->scarce) || atomic_load(&s->wanting) > 0 || !segments_has_reserve(s->segments))
		err = store_punch(s, &punched);
	else
		punch_forget(s);
	int (*const parts[])(struct store *) = { store_coalesce, store_collect, store_refresh_marks, store_evict_some,
		store_compact };
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i] == store_compact && punched) /* it takes space before it gives any */
			continue;
		int one = parts[i](s);
		err = err == 0 ? one : err;
	}
	return err;
}

static void begin_turn(struct store *s)
{
	pthread_mutex_lock(&s->wake_lock);
	s->turns_begun++;
	pthread_mutex_unlock(&s->wake_lock);
}

static void end_turn(struct store *s)
{
	pthread_mutex_lock(&s->wake_lock);
	s->turns_ended = s->turns_begun; /* one at a time */
	pthread_cond_broadcast(&s->turned);
	pthread_mutex_unlock(&s->wake_lock);
}

/* tend_lock held. */
static int take_turn(struct store *s)
{
	begin_turn(s);
	look_at_work(s);
	(void)!aside_tend(s); /* first, so that what it writes is settled, too; an error of it keeps nothing else up */
	int err = settle(s);
	if (err == 0)
		err = give_back(s);
	tend_look_at_space(s);
	if (atomic_load(&s->scarce)) {
		segments_drop_spares(s->segments);
		shrink(s);
		tend_look_at_space(s);
	} else if (s->quiet || atomic_load(&s->wanting) > 0) {
		segments_drop_spares(s->segments);
		tend_look_at_space(s);
	}
	atomic_store(&s->tend_err, err);
	end_turn(s);
	return err;
}

int store_tend(struct store *s)
{
	if (s->frozen)
		return 0;
	pthread_mutex_lock(&s->tend_lock);
	int err = take_turn(s);
	bool again = s->again;
	s->again = false;
	pthread_mutex_unlock(&s->tend_lock);
	if (again)
		tend_kick(s);
	return err;
}

/* ---- when the disk is nearly full ---- */

/* Until a whole turn that begins after the call has ended; false: not in time. */
static bool wait_for_turn(struct store *s, const struct timespec *until)
{
	if (!s->keeper_runs) {
		struct timespec now;
		(void)!store_tend(s);
		clock_gettime(CLOCK_MONOTONIC, &now);
		return now.tv_sec <= until->tv_sec;
	}
	pthread_mutex_lock(&s->wake_lock);
	uint64_t want = s->turns_begun + 1;
	s->kicked = true;
	pthread_cond_signal(&s->wake);
	while (s->turns_ended < want && pthread_cond_timedwait(&s->turned, &s->wake_lock, until) == 0)
		;
	bool ended = s->turns_ended >= want;
	pthread_mutex_unlock(&s->wake_lock);
	return ended;
}

/* Turns of the keeper, however long one takes, as long as they give something: nobody hears that there is no space while dead
 * bytes take it up. */
static void wait_for_room(struct store *s)
{
	struct timespec until;
	bool waits = true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_SECONDS;
	while (atomic_load(&s->tight) && waits) {
		uint64_t before = atomic_load(&s->free_bytes);
		if (!wait_for_turn(s, &until))
			return;
		waits = atomic_load(&s->free_bytes) > before;
		if (!waits && atomic_load(&s->readers_wait)) { /* what they see goes when they have gone */
			waits = true;
			usleep(READERS_US);
		}
	}
}

bool tend_gives(struct store *s, struct timespec *until)
{
	const struct env *env = s->config.env;
	uint64_t lost = segments_lost(s->segments);
	bool worth = lost - atomic_load(&s->room_lost) >= WORTH_LOST;
	if (keep_snapshots(s) || (env->mono_ns(env->ctx) - atomic_load(&s->in_vain) < ASK_NS && !worth))
		return false;
	if (until->tv_sec == 0) {
		clock_gettime(CLOCK_MONOTONIC, until);
		until->tv_sec += WAIT_SECONDS;
	}
	atomic_store(&s->room_lost, lost);
	tend_look_at_space(s);
	uint64_t before = atomic_load(&s->free_bytes);
	atomic_fetch_add(&s->wanting, 1);
	bool gave = wait_for_turn(s, until) && atomic_load(&s->free_bytes) > before;
	atomic_fetch_sub(&s->wanting, 1);
	if (!gave)
		atomic_store(&s->in_vain, env->mono_ns(env->ctx));
	return gave;
}

/* What died since the last try is worth another; else a few times a second do: on a disk that stays full it would be in vain. */
void tend_make_room(struct store *s, bool wait)
{
	const struct env *env = s->config.env;
	bool waits = wait && atomic_load(&s->tight);
	_Atomic int64_t *last = waits ? &s->in_vain : &s->asked;
	int64_t now = env->mono_ns(env->ctx);
	uint64_t lost = segments_lost(s->segments);
	bool worth = pagevfs_frames(s->vfs) > CHECKPOINT_FRAMES / 2 || lost - atomic_load(&s->room_lost) >= WORTH_LOST;
	if (now - atomic_load(last) < ASK_NS && !worth)
		return;
	atomic_store(&s->room_lost, lost);
	if (!waits) {
		atomic_store(last, now);
		tend_kick(s);
		return;
	}
	wait_for_room(s);
	if (atomic_load(&s->tight))
		atomic_store(last, env->mono_ns(env->ctx));
}

/* ---- the thread ---- */

static void prepare_segment(struct store *s)
{
	if (!atomic_load(&s->scarce))
		(void)!journal_prepare(s->journal);
}

static void wait_second(struct store *s)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&s->wake_lock);
	while (!s->stopping && !s->kicked) {
		if (s->segment_taken) {
			s->segment_taken = false;
			pthread_mutex_unlock(&s->wake_lock);
			prepare_segment(s);
			pthread_mutex_lock(&s->wake_lock);
		} else if (pthread_cond_timedwait(&s->wake, &s->wake_lock, &until) != 0) {
			break;
		}
	}
	s->kicked = false;
	pthread_mutex_unlock(&s->wake_lock);
}

static bool stopping(struct store *s)
{
	pthread_mutex_lock(&s->wake_lock);
	bool stop = s->stopping;
	pthread_mutex_unlock(&s->wake_lock);
	return stop;
}

/* Errors are not lost: each turn tries again what failed, and store_stat has what went wrong in the last. */
static void *keeper(void *ctx)
{
	struct store *s = ctx;
	while (!stopping(s)) {
		if (!s->quiet) /* written by this thread alone, or late by a turn */
			prepare_segment(s);
		wait_second(s);
		(void)!store_tend(s);
	}
	return NULL;
}

int tend_start(struct store *s)
{
	if (s->config.no_thread || s->frozen)
		return 0;
	if (pthread_create(&s->keeper, NULL, keeper, s) != 0)
		return ERR_NOMEM;
	s->keeper_runs = true;
	return 0;
}

void tend_segment_taken(struct store *s)
{
	pthread_mutex_lock(&s->wake_lock);
	s->segment_taken = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->wake_lock);
}

void tend_kick(struct store *s)
{
	pthread_mutex_lock(&s->wake_lock);
	s->kicked = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->wake_lock);
}

void tend_stop(struct store *s)
{
	if (!s->keeper_runs)
		return;
	pthread_mutex_lock(&s->wake_lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->wake_lock);
	pthread_join(s->keeper, NULL);
	s->keeper_runs = false;
}
