/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, closing, the lock, and how a call becomes an entry.
 *
 * Files of the directory: "head" (format, and a check of the key), "index" and "index-wal" (cache/pagevfs.h), seg-* and
 * spare-* (cache/segment.h). A crash at any point while they are made leaves a directory that opens as a new store.
 */
#include "cache/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "cache/kept.h"
#include "cache/pagevfs.h"
#include "cache/txn.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "crypto/page.h"

/* Commits: each writes every page again that was touched since the one before, and names and ids touch pages all over, so fewer
 * are cheaper (2,000 made twice the frames of 10,000); replaying 10,000 entries takes 0.1 s. */
enum {
	COMMIT_OPS = 10000,
	LOOK_OPS = 64,
	LOOK_BYTES = 1 << 20,
	LITTLE = 16 << 10, /* body of a transaction */
	PENDING_SOFT = 8192,
	PENDING_HARD = 24576 /* pages */,
	HEAD_TEXT = 16,
	HEAD_NONCE = 24,
	HEAD_TAG = 16,
	HEAD_SUM = 32,
	HEAD_SIZE = HEAD_TEXT + HEAD_NONCE + HEAD_TAG + HEAD_SUM
};

static const char head_text[HEAD_TEXT + 1] = "coffer store 1\n\n";

/* ---- the head file ---- */

static void head_sum(const uint8_t *head, struct id32 *ret)
{
	hash_sha256(bytes_of(head, HEAD_SIZE - HEAD_SUM), ret);
}

static int head_create(struct store *s, const uint8_t key[KEY_SIZE])
{
	uint8_t head[HEAD_SIZE];
	struct id32 sum;
	memcpy(head, head_text, HEAD_TEXT);
	s->config.env->random(s->config.env->ctx, head + HEAD_TEXT, HEAD_NONCE);
	page_seal(key, head + HEAD_TEXT, bytes_of(head, HEAD_TEXT), bytes_of(NULL, 0), head,
		head + HEAD_TEXT + HEAD_NONCE);
	head_sum(head, &sum);
	memcpy(head + HEAD_SIZE - HEAD_SUM, sum.b, HEAD_SUM);
	return env_write_file(s->config.env, s->config.dirfd, "head", head, sizeof head, 0600);
}

static int head_check(const uint8_t *head, size_t len, const uint8_t key[KEY_SIZE])
{
	struct id32 sum;
	uint8_t nothing;
	if (len != HEAD_SIZE)
		return ERR_CORRUPT;
	head_sum(head, &sum);
	if (memcmp(sum.b, head + HEAD_SIZE - HEAD_SUM, HEAD_SUM) != 0)
		return ERR_CORRUPT;
	if (memcmp(head, head_text, HEAD_TEXT) != 0)
		return ERR_VERSION;
	return page_open(key, head + HEAD_TEXT, bytes_of(head, HEAD_TEXT), bytes_of(NULL, 0),
		       head + HEAD_TEXT + HEAD_NONCE, &nothing) < 0
		       ? ERR_WRONG_KEY
		       : 0;
}

/* Of a first start that did not come to its end. */
static int remove_leftovers(struct store *s)
{
	static const char *const names[] = { "index", "index-wal" };
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		int err = s->config.env->unlink(s->config.env->ctx, s->config.dirfd, names[i]);
		if (err < 0 && err != ERR_NOT_FOUND)
			return err;
	}
	return 0;
}

static int open_head(struct store *s, bool *ret_fresh)
{
	static const struct id16 no_salt;
	uint8_t key[KEY_SIZE];
	FREE_AFTER uint8_t *head = NULL;
	size_t len;
	int err = env_read_file(s->config.env, s->config.dirfd, "head", 4096, &head, &len);
	*ret_fresh = err == ERR_NOT_FOUND;
	if (err < 0)
		return *ret_fresh ? remove_leftovers(s) : err;
	kdf_subkey(secret_key(s->key), "cof-head", &no_salt, key);
	err = head_check(head, len, key);
	secret_wipe(key, sizeof key);
	return err;
}

/* A disk that was mounted so, or that its file system went over to after errors. */
static int look_for_frozen(struct store *s)
{
	const struct env *env = s->config.env;
	int fd = env->open(env->ctx, s->config.dirfd, "head", O_RDWR, 0);
	s->frozen = fd == ERR_READ_ONLY;
	if (s->frozen)
		return 0;
	return fd < 0 ? fd : env->close(env->ctx, fd);
}

/* The head is written last: with it the directory is a store. */
static int finish_fresh(struct store *s)
{
	static const struct id16 no_salt;
	uint8_t key[KEY_SIZE];
	int err = store_tend(s);
	if (err < 0)
		return err;
	kdf_subkey(secret_key(s->key), "cof-head", &no_salt, key);
	err = head_create(s, key);
	secret_wipe(key, sizeof key);
	return err;
}

/* ---- open and close ---- */

/* Another open of the same directory is refused. A directory that is no real one (tests) cannot be locked. */
static int lock_directory(struct store *s)
{
	s->lock_fd = openat(s->config.dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->lock_fd < 0)
		return 0;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
	return 0;
}

static int open_index(struct store *s, bool fresh)
{
	static const struct id16 no_salt;
	uint8_t key[KEY_SIZE];
	kdf_subkey(secret_key(s->key), "cof-name", &no_salt, key);
	memcpy(s->name_key, key, sizeof s->name_key);
	kdf_subkey(secret_key(s->key), "cof-indx", &no_salt, key);
	int err = pagevfs_open(s->config.env, s->config.dirfd, key, &s->vfs);
	secret_wipe(key, sizeof key);
	if (err < 0)
		return err;
	struct index_config config = { .vfs = pagevfs_name(s->vfs),
		.path = "index",
		.name_key = s->name_key,
		.live = segments_live,
		.ctx = s->segments,
		.fresh = fresh };
	return index_open(&config, &s->index);
}

static int open_parts(struct store *s)
{
	bool fresh;
	int err = lock_directory(s);
	if (err == 0)
		err = secret_from(bytes_of(s->config.key, KEY_SIZE), &s->key);
	s->config.key = NULL;
	if (err == 0)
		err = open_head(s, &fresh);
	if (err == 0 && !fresh)
		err = look_for_frozen(s);
	if (err == 0)
		err = segments_open(s->config.env, s->config.dirfd, s->key,
			s->config.segment_size ? s->config.segment_size : SEGMENT_SIZE, &s->segments);
	if (err == 0)
		err = journal_open(s->config.env, s->segments, &s->journal);
	if (err == 0 && s->frozen)
		journal_freeze(s->journal);
	if (err == 0)
		err = open_index(s, fresh);
	if (err == 0 && !s->frozen)
		tend_look_at_space(s);
	if (err == 0)
		err = store_replay(s);
	if (err == 0)
		err = evict_load_limit(s);
	if (err == 0 && !s->frozen)
		err = aside_load(s);
	if (err == 0 && fresh)
		err = finish_fresh(s);
	return err < 0 ? err : tend_start(s);
}

static void store_free(struct store *s)
{
	punch_forget(s);
	compact_stop(s);
	index_close(s->index);
	pagevfs_close(s->vfs);
	journal_close(s->journal);
	segments_close(s->segments);
	holds_release(&s->holds);
	aside_release(&s->aside);
	free(s->uses);
	buf_release(&s->call.body);
	buf_release(&s->call.data);
	buf_release(&s->late);
	free(s->read_only);
	secret_free(s->key);
	secret_wipe(s->name_key, sizeof s->name_key);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->read_only_lock);
	pthread_mutex_destroy(&s->tend_lock);
	pthread_mutex_destroy(&s->wake_lock);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->turned);
	pthread_cond_destroy(&s->opened);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

int store_open(const struct store_config *config, struct store **ret_store)
{
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->config = *config;
	s->lock_fd = -1;
	s->call = (struct store_txn){
		.s = s, .body = BUF_INIT_SECRET(JOURNAL_MAX_BODY), .data = BUF_INIT(JOURNAL_MAX_DATA)
	};
	s->late = (struct buf)BUF_INIT_SECRET(JOURNAL_MAX_BODY);
	s->keeps.next = s->keeps.prev = &s->keeps;
	pthread_condattr_t clock;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->read_only_lock, NULL);
	pthread_mutex_init(&s->tend_lock, NULL);
	pthread_mutex_init(&s->wake_lock, NULL);
	pthread_cond_init(&s->wake, &clock);
	pthread_cond_init(&s->turned, &clock);
	pthread_cond_init(&s->opened, &clock);
	pthread_condattr_destroy(&clock);
	int err = open_parts(s);
	if (err < 0) {
		store_free(s);
		return err;
	}
	*ret_store = s;
	return 0;
}

/* What cannot be committed now is replayed at the next start. */
void store_close(struct store *s)
{
	if (!s)
		return;
	tend_stop(s);
	(void)!store_tend(s);
	store_free(s);
}

/* ---- the lock ---- */

/* What cannot be applied is replayed. Lock held. */
static void apply_late(struct store *s)
{
	atomic_store(&s->is_late, false);
	s->behind = op_apply_all(s->index, buf_bytes(&s->late), &s->late_data) < 0;
	txn_wipe_body(&s->late);
	if (!s->behind && s->uncommitted >= COMMIT_OPS)
		(void)!tend_commit(s); /* the rows stay in the open transaction; housekeeping tries again */
}

int txn_refresh(struct store *s)
{
	if (atomic_load(&s->is_late) && !s->behind && !index_lost(s->index))
		apply_late(s);
	return s->behind || index_lost(s->index) ? store_recover(s) : 0;
}

int store_lock(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	int err = txn_refresh(s);
	if (err < 0)
		pthread_mutex_unlock(&s->lock);
	return err;
}

void store_unlock(struct store *s)
{
	pthread_mutex_unlock(&s->lock);
}

void store_catch_up(struct store *s)
{
	if (atomic_load(&s->is_late) && store_lock(s) == 0)
		store_unlock(s);
}

void keep_add(struct store *s, struct store_keep *k)
{
	k->s = s;
	k->seq = s->at.seq;
	k->number = ++s->n_keeps;
	k->prev = s->keeps.prev; /* ascending by seq */
	k->next = &s->keeps;
	k->prev->next = k;
	k->next->prev = k;
}

void keep_drop(struct store *s, struct store_keep *k)
{
	(void)s;
	k->prev->next = k->next;
	k->next->prev = k->prev;
}

uint64_t keep_oldest(const struct store *s)
{
	return s->keeps.next == &s->keeps ? UINT64_MAX : s->keeps.next->seq;
}

bool keep_before(const struct store *s, uint64_t number)
{
	return s->keeps.next != &s->keeps && s->keeps.next->number <= number;
}

bool keep_snapshots(const struct store *s)
{
	return atomic_load(&s->snapshots) > 0;
}

int store_keep(struct store *s, struct store_keep **ret_k)
{
	struct store_keep *k = calloc(1, sizeof *k);
	if (!k)
		return ERR_NOMEM;
	k->snapshot = true;
	pthread_mutex_lock(&s->lock);
	keep_add(s, k);
	s->snapshots++;
	pthread_mutex_unlock(&s->lock);
	*ret_k = k;
	return 0;
}

void store_keep_release(struct store_keep *k)
{
	if (!k)
		return;
	struct store *s = k->s;
	pthread_mutex_lock(&s->lock);
	keep_drop(s, k);
	s->snapshots--;
	pthread_mutex_unlock(&s->lock);
	free(k);
}

int64_t store_now(const struct store *s)
{
	return s->config.env->wall_ns(s->config.env->ctx);
}

void store_random(struct store *s, void *p, size_t n)
{
	if (s->random_left < n) {
		s->config.env->random(s->config.env->ctx, s->random, sizeof s->random);
		s->random_left = sizeof s->random;
	}
	s->random_left -= n;
	memcpy(p, s->random + s->random_left, n);
}

/* ---- transactions ---- */

void txn_wipe_body(struct buf *body)
{
	secret_wipe(body->data,
		body->len); /* all that was ever written in it; buf_clear() would go over all that was allocated */
	body->len = 0;
}

static void reset(struct store_txn *t)
{
	txn_wipe_body(&t->body);
	buf_clear(&t->data);
	t->data_view = bytes_of(NULL, 0);
	t->live = t->failed = t->frees = t->local = t->refused = t->keeps_house = t->tight = false;
	t->changed = 0;
	t->aside = (struct aside_file){ .ino = 0 };
}

int txn_call_inside(struct store *s, struct store_txn **ret_t)
{
	int err = store_lock(s);
	if (err < 0)
		return err;
	if (journal_broken(s->journal) && !s->frozen) { /* a frozen one is read in transactions, too */
		store_unlock(s);
		return ERR_READ_ONLY;
	}
	reset(&s->call);
	s->call.frees = true;
	*ret_t = &s->call;
	return 0;
}

/* What the index holds back until it may be written must not grow without end: the housekeeping begins early, and if changes
 * come faster than the disk takes them they wait for it here, without the lock: others read meanwhile (store_may_wait). */
static int begin_call(struct store *s, bool frees, bool wait, struct store_txn **ret_t)
{
	uint64_t pending = pagevfs_pending(s->vfs);
	bool crowded = pending > PENDING_HARD / 2;
	if (pending > PENDING_SOFT)
		tend_kick(s);
	if (crowded != atomic_load(&s->crowded))
		atomic_store(&s->crowded, crowded);
	if (atomic_load(&s->scarce))
		tend_make_room(s, wait);
	bool tight = atomic_load(&s->tight);
	int err = pending > PENDING_HARD ? tend_relieve(s) : 0;
	if (err == 0)
		err = journal_catch_up(s->journal);
	if (atomic_load(&s->gate))
		tend_wait_gate(s);
	if (err == 0)
		err = txn_call_inside(s, ret_t);
	if (err == 0) {
		(*ret_t)->frees = frees;
		(*ret_t)->local = true;
		(*ret_t)->tight = tight;
	}
	return err;
}

bool store_may_wait(struct store *s)
{
	return atomic_load(&s->closing) || atomic_load(&s->crowded) || atomic_load(&s->scarce) ||
	       journal_far_ahead(s->journal);
}

int txn_call(struct store *s, struct store_txn **ret_t)
{
	return begin_call(s, false, true, ret_t);
}

int txn_call_freeing(struct store *s, struct store_txn **ret_t)
{
	return begin_call(s, true, false, ret_t);
}

static struct bytes txn_data(const struct store_txn *t)
{
	return t->data_view.len > 0 ? t->data_view : buf_bytes(&t->data);
}

/* Sync goes on in small steps when the disk is full: only what it has sent can be let go. */
static enum journal_room room_for(const struct store_txn *t)
{
	if (t->frees)
		return ROOM_RESERVE;
	return t->live && txn_data(t).len == 0 && t->body.len <= LITTLE ? ROOM_LAST : ROOM_AMPLE;
}

/* The caller need not wait for the index: whoever takes the lock next makes it say the same. */
static void set_late(struct store_txn *t, const struct place *data)
{
	struct store *s = t->s;
	struct buf empty = s->late;
	s->late = t->body;
	t->body = empty;
	s->late_data = *data;
	atomic_store(&s->is_late, true);
}

/* Appends; then makes the index say the same. */
static int write_entry(struct store_txn *t)
{
	struct store *s = t->s;
	struct place data;
	enum journal_room room = room_for(t);
	if (journal_broken(s->journal))
		return ERR_READ_ONLY;
	if (room == ROOM_AMPLE && t->tight)
		return ERR_NO_SPACE;
	s->unseen += t->body.len + txn_data(t).len;
	if (s->unseen >= LOOK_BYTES || s->uncommitted % LOOK_OPS == 0) {
		tend_look_at_space(s);
		s->unseen = 0;
	}
	uint64_t segment = s->at.segment;
	int err = journal_append(s->journal, &s->at, buf_bytes(&t->body), txn_data(t), room, &data);
	if (err < 0)
		return err;
	if (s->at.segment != segment)
		tend_segment_taken(s);
	aside_done(t);
	s->worked |= !t->keeps_house;
	s->uncommitted++;
	if (t->local) {
		set_late(t, &data);
		return 0;
	}
	if (t->live && txn_data(t).len > 0) {
		err = segments_undo(s->segments);
		if (err == 0)
			err = index_rollback_to(s->index);
		t->live = false;
	}
	if (err == 0)
		err = t->live ? index_release(s->index) : op_apply_all(s->index, buf_bytes(&t->body), &data);
	segments_unmark(s->segments);
	t->live = false;
	s->behind = err < 0;
	if (s->behind)
		err = store_recover(s);
	if (err == 0 && s->uncommitted >= COMMIT_OPS)
		(void)!tend_commit(s); /* the rows stay in the open transaction; housekeeping tries again */
	return 0;                      /* what is in the journal has happened */
}

int txn_end(struct store_txn *t, int err)
{
	struct store *s = t->s;
	if (err == 0 && t->refused)
		err = ERR_READ_ONLY;
	if (err == 0 && t->body.len > 0)
		err = write_entry(t);
	uint32_t changed = err == 0 ? t->changed : 0;
	txn_wipe_body(&t->body);
	if (t->data.alloc > 1u << 20)
		buf_release(&t->data);
	store_unlock(s);
	if (changed != 0 && s->config.changed)
		s->config.changed(s->config.ctx, changed);
	return err;
}

int store_begin(struct store *s, struct store_txn **ret_t)
{
	struct store_txn *t;
	/* Whoever keeps a snapshot would wait for bytes that it keeps itself. */
	int err = begin_call(s, false, !keep_snapshots(s), &t);
	if (err < 0)
		return err;
	err = index_savepoint(s->index);
	if (err < 0) {
		store_unlock(s);
		return err;
	}
	segments_mark(s->segments);
	t->live = true;
	t->local = false;
	s->open = t;
	*ret_t = t;
	return 0;
}

static int undo(struct store_txn *t)
{
	struct store *s = t->s;
	int err = segments_undo(s->segments);
	int back = index_rollback_to(s->index);
	t->live = false;
	s->behind = err < 0 || back < 0;
	return s->behind ? store_recover(s) : 0;
}

int store_commit(struct store_txn **pt)
{
	struct store_txn *t = STEAL(pt);
	struct store *s = t->s;
	int err = t->failed ? ERR_INTERNAL : 0;
	s->open = NULL;
	if (err == 0 && t->body.len > 0)
		err = write_entry(t);
	if (t->live) { /* nothing changed, or nothing was appended */
		int undone = undo(t);
		err = err < 0 ? err : undone;
	}
	txn_wipe_body(&t->body); /* appended, or not to be */
	return txn_end(t, err);
}

void store_abort(struct store_txn **pt)
{
	if (!*pt)
		return;
	struct store_txn *t = STEAL(pt);
	t->s->open = NULL;
	(void)!undo(t);
	(void)!txn_end(t, ERR_CANCELLED);
}

int txn_stage(struct store_txn *t, const struct op *op)
{
	size_t start = t->body.len;
	int err = t->failed ? ERR_INTERNAL : op_put(&t->body, op);
	if (err == 0 && t->live) {
		static const struct place pending = { .segment = PLACE_PENDING };
		err = op_apply_all(t->s->index, bytes_of(t->body.data + start, t->body.len - start), &pending);
	}
	if (err < 0 && t->live)
		t->failed = true;
	return err;
}

int txn_add_data(struct store_txn *t, struct bytes data, uint64_t *ret_from)
{
	*ret_from = t->data.len;
	return buf_put(&t->data, data.p, data.len);
}

/* Of the entry being made. */
static uint64_t txn_seq(const struct store_txn *t)
{
	return t->s->at.seq + 1;
}

uint64_t txn_new_row(struct store_txn *t)
{
	return index_state(t->s->index)->next_row++;
}

int txn_put_node(struct store_txn *t, const struct node *now, const struct node *before)
{
	return txn_stage(
		t, &(struct op){ .type = OP_NODE_PUT, .node = now, .was = before->change, .was_flags = before->flags });
}

/* read_only_lock held. */
static uint32_t *find_read_only(const struct store *s, uint32_t space)
{
	for (size_t i = 0; i < s->n_read_only; i++)
		if (s->read_only[i] == space)
			return &s->read_only[i];
	return NULL;
}

static bool is_read_only(struct store *s, uint32_t space)
{
	pthread_mutex_lock(&s->read_only_lock);
	bool found = find_read_only(s, space) != NULL;
	pthread_mutex_unlock(&s->read_only_lock);
	return found;
}

int store_set_read_only(struct store *s, uint32_t space, bool on)
{
	int err = 0;
	pthread_mutex_lock(&s->read_only_lock);
	uint32_t *at = find_read_only(s, space);
	if (at && !on) {
		*at = s->read_only[--s->n_read_only];
	} else if (!at && on) {
		uint32_t *grown = reallocarray(s->read_only, s->n_read_only + 1, sizeof *grown);
		if (grown) {
			s->read_only = grown;
			s->read_only[s->n_read_only++] = space;
		} else {
			err = ERR_NOMEM;
		}
	}
	pthread_mutex_unlock(&s->read_only_lock);
	return err;
}

int store_may_change(struct store *s, uint64_t ino)
{
	struct node n;
	int err = store_getattr(s, ino, &n);
	return err == 0 && is_read_only(s, n.space) ? ERR_READ_ONLY : err;
}

void txn_touch(struct store_txn *t, struct node *n, uint32_t change_bits)
{
	if (n->space == 0)
		return;
	if (t->local && is_read_only(t->s, n->space))
		t->refused = true;
	n->change = txn_seq(t);
	n->change_bits |= change_bits;
	t->changed = n->space;
}

/* ---- durability and numbers ---- */

int store_sync(struct store *s)
{
	uint64_t seq;
	return s->frozen ? 0 : journal_sync(s->journal, &seq);
}

bool store_is_frozen(const struct store *s)
{
	return s->frozen;
}

bool store_was_damaged(struct store *s)
{
	return kept_any(s->config.env, s->config.dirfd) || (s->frozen && journal_damaged(s->journal));
}

int store_stat(struct store *s, struct store_stat *ret)
{
	*ret = (struct store_stat){ .limit = atomic_load(&s->limit),
		.read_only = journal_broken(s->journal),
		.tend_err = atomic_load(&s->tend_err) };
	struct statvfs below;
	if (fstatvfs(s->config.dirfd, &below) == 0) {
		ret->free_bytes = (uint64_t)below.f_bavail * below.f_frsize;
		ret->total_bytes = (uint64_t)below.f_blocks * below.f_frsize;
	}
	int err = store_lock(s);
	if (err < 0)
		return err;
	ret->segment_bytes = segments_bytes(s->segments, &ret->live_bytes);
	ret->disk_bytes = ret->segment_bytes + pagevfs_bytes(s->vfs);
	ret->nodes = index_state(s->index)->nodes;
	err = index_dirty_count(s->index, &ret->dirty_nodes);
	if (err == 0)
		err = index_outbox_count(s->index, &ret->outbox_records);
	store_unlock(s);
	return err;
}
