/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A space is loaded by who first wants it, without the cache's lock, which the network thread takes too: loading reads the
 * store, for long if the log is long or the database hangs. Others who want the same space wait; if it could not be loaded, the
 * next of them tries for itself. It cannot be loaded while the writer has uncommitted changes of it: then it is in the cache,
 * because the writer holds it from its first change to the commit.
 */
#include "server/spaces.h"

#include <stdlib.h>
#include "crypto/hash.h"

#define BUCKETS 1024

struct spaces {
	pthread_mutex_t lock;
	pthread_cond_t loaded; /* some space is, or could not be */
	struct space *buckets[BUCKETS];
	uint8_t seed[HASH_SEED]; /* fixed */
	struct space lru;        /* unused ones; head of the ring, newest first */
	unsigned unused;
};

struct shared_log *shared_log_new(struct log *log)
{
	struct shared_log *l = calloc(1, sizeof *l);

	if (!l) {
		log_free(log);
		return NULL;
	}
	atomic_init(&l->refs, 1);
	l->log = log;
	return l;
}

static struct shared_log *shared_log_ref(struct shared_log *l)
{
	if (l)
		atomic_fetch_add(&l->refs, 1);
	return l;
}

void shared_log_unref(struct shared_log *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	log_free(l->log);
	free(l);
}

int spaces_new(const struct env *env, struct spaces **ret_s)
{
	struct spaces *s = calloc(1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->loaded, NULL);
	env->random(env->ctx, s->seed, sizeof s->seed);
	s->lru.lru_prev = s->lru.lru_next = &s->lru;
	*ret_s = s;
	return OK;
}

static void space_free(struct space *sp)
{
	if (!sp)
		return;
	shared_log_unref(sp->published.log);
	shared_log_unref(sp->writing.log);
	pthread_mutex_destroy(&sp->lock);
	free(sp);
}

void spaces_free(struct spaces *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct space *sp = s->buckets[i];

		while (sp) {
			struct space *next = sp->next_hash;

			space_free(sp);
			sp = next;
		}
	}
	pthread_cond_destroy(&s->loaded);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct space **bucket(struct spaces *s, const struct id16 *id)
{
	return &s->buckets[hash_short(s->seed, bytes_of(id->b, sizeof id->b)) % BUCKETS];
}

static void lru_remove(struct spaces *s, struct space *sp)
{
	sp->lru_prev->lru_next = sp->lru_next;
	sp->lru_next->lru_prev = sp->lru_prev;
	sp->lru_prev = sp->lru_next = NULL;
	s->unused--;
}

static void unlink_space(struct spaces *s, struct space *sp)
{
	struct space **p = bucket(s, &sp->id);

	while (*p != sp)
		p = &(*p)->next_hash;
	*p = sp->next_hash;
}

static int apply_stored(void *ctx, uint64_t seq, struct bytes blob)
{
	(void)seq;
	return log_apply(ctx, blob, LOG_TRUSTED);
}

/* The log of a row, from the one that is at hand (NULL: none) or from the start. */
static int load_log(
	struct depot *store, const struct depot_space *row, const struct shared_log *from, struct shared_log **ret_log)
{
	uint64_t have = from ? log_count(from->log) : 0;
	struct log *log = NULL;
	int err = have ? log_clone(from->log, &log) : log_new(NULL, &log);

	if (err < 0)
		return err;
	err = depot_entries(store, row->no, have, row->entries - have, apply_stored, log);
	if (err == OK && log_count(log) != row->entries)
		err = ERR_CORRUPT;
	if (err < 0) {
		log_free(log);
		return err;
	}
	*ret_log = shared_log_new(log);
	return *ret_log ? OK : ERR_NOMEM;
}

static int load(struct depot *store, const struct id16 *id, struct space_state *ret_state)
{
	int err = depot_space_find(store, id, &ret_state->row);

	return err < 0 ? err : load_log(store, &ret_state->row, NULL, &ret_state->log);
}

static struct space *find(struct spaces *s, const struct id16 *id)
{
	struct space *sp = *bucket(s, id);

	while (sp && !id16_equal(&sp->id, id))
		sp = sp->next_hash;
	return sp;
}

/* The place of a space in the cache, one user more. NULL: out of memory. Under the lock. */
static struct space *hold(struct spaces *s, const struct id16 *id)
{
	struct space *sp = find(s, id);

	if (!sp) {
		if (!(sp = calloc(1, sizeof *sp)))
			return NULL;
		sp->id = *id;
		pthread_mutex_init(&sp->lock, NULL);
		sp->next_hash = *bucket(s, id);
		*bucket(s, id) = sp;
	} else if (!sp->users) {
		lru_remove(s, sp);
	}
	sp->users++;
	return sp;
}

/* One user less; what has to be freed, without the lock, or NULL. Under the lock. */
static struct space *let_go(struct spaces *s, struct space *sp)
{
	if (--sp->users)
		return NULL;
	if (sp->published.log) {
		sp->lru_next = s->lru.lru_next;
		sp->lru_prev = &s->lru;
		sp->lru_next->lru_prev = sp->lru_prev->lru_next = sp;
		if (++s->unused <= SPACES_KEEP)
			return NULL;
		sp = s->lru.lru_prev;
		lru_remove(s, sp);
	}
	unlink_space(s, sp);
	return sp;
}

/* Loads a space that nobody has loaded. Called and returns with the lock held. */
static int load_place(struct spaces *s, struct depot *store, struct space *sp, bool create)
{
	struct space_state state = { 0 };
	int err;

	sp->phase = SPACE_LOADING;
	pthread_mutex_unlock(&s->lock);
	err = load(store, &sp->id, &state);
	if (err == ERR_NOT_FOUND && create) {
		state = (struct space_state){ .row = { .id = sp->id } };
		err = OK;
	}
	pthread_mutex_lock(&s->lock);
	if (err == OK)
		sp->published = state; /* nobody looks before the phase says so */
	sp->phase = err == OK ? SPACE_LOADED : SPACE_EMPTY;
	pthread_cond_broadcast(&s->loaded);
	return err;
}

static int get_kept(struct spaces *s, struct depot *store, const struct id16 *id, bool create, struct space **ret_sp)
{
	struct space *sp, *gone = NULL;
	int err = OK;

	pthread_mutex_lock(&s->lock);
	if (!(sp = hold(s, id)))
		err = ERR_NOMEM;
	while (err == OK && sp->phase == SPACE_LOADING)
		pthread_cond_wait(&s->loaded, &s->lock);
	if (err == OK && sp->phase == SPACE_EMPTY)
		err = load_place(s, store, sp, create);
	if (err == OK)
		*ret_sp = sp;
	else if (sp)
		gone = let_go(s, sp);
	pthread_mutex_unlock(&s->lock);
	space_free(gone);
	return err;
}

/* --- other processes write, too --- */

/* The writer's own state of a space: its row is locked since the writer first looked at it in this transaction. */
static struct space *get_writing(struct spaces *s, const struct id16 *id)
{
	struct space *sp;

	pthread_mutex_lock(&s->lock);
	sp = find(s, id);
	if (sp && sp->in_writing)
		sp->users++;
	else
		sp = NULL;
	pthread_mutex_unlock(&s->lock);
	return sp;
}

/* Publishes what the store says, if that is newer. The writer holds the row: what it says is so, also if it is older, because
 * the database was replaced by an older copy of itself. */
static int follow(struct space *sp, struct depot *store, const struct depot_space *row)
{
	struct space_state now = { .row = *row }, was;
	const bool exact = depot_is_writer(store);
	int err = OK;

	pthread_mutex_lock(&sp->lock);
	was = sp->published;
	shared_log_ref(was.log);
	pthread_mutex_unlock(&sp->lock);
	if (was.log && (row->cursor == was.row.cursor || (row->cursor < was.row.cursor && !exact))) {
		shared_log_unref(was.log);
		return OK;
	}
	if (was.log && row->entries == was.row.entries)
		now.log = shared_log_ref(was.log);
	else
		err = load_log(store, row, row->entries > was.row.entries ? was.log : NULL, &now.log);
	shared_log_unref(was.log);
	if (err < 0)
		return err;
	pthread_mutex_lock(&sp->lock);
	was = sp->published;
	if (exact || !was.log || was.row.cursor < now.row.cursor)
		sp->published = now;
	else
		was = now; /* another thread was faster */
	pthread_mutex_unlock(&sp->lock);
	shared_log_unref(was.log);
	return OK;
}

static int get_shared(struct spaces *s, struct depot *store, const struct id16 *id, bool create, struct space **ret_sp)
{
	struct depot_space row = { .no = 0 };
	int err;

	if (depot_is_writer(store) && (*ret_sp = get_writing(s, id)))
		return OK;
	/* Before the cache's lock: the writer may have to wait for another process here. */
	err = depot_space_find(store, id, &row);
	if (err < 0 && !(err == ERR_NOT_FOUND && create))
		return err;
	if ((err = get_kept(s, store, id, create, ret_sp)) < 0)
		return err;
	if (row.no && (err = follow(*ret_sp, store, &row)) < 0)
		spaces_put(s, *ret_sp);
	return err;
}

static int get(struct spaces *s, struct depot *store, const struct id16 *id, bool create, struct space **ret_sp)
{
	return depot_is_shared(store) ? get_shared(s, store, id, create, ret_sp)
				      : get_kept(s, store, id, create, ret_sp);
}

int spaces_get(struct spaces *s, struct depot *store, const struct id16 *id, struct space **ret_sp)
{
	return get(s, store, id, false, ret_sp);
}

int spaces_get_new(struct spaces *s, struct depot *store, const struct id16 *id, struct space **ret_sp)
{
	return get(s, store, id, true, ret_sp);
}

struct space *spaces_ref(struct spaces *s, struct space *sp)
{
	pthread_mutex_lock(&s->lock);
	sp->users++;
	pthread_mutex_unlock(&s->lock);
	return sp;
}

void spaces_put(struct spaces *s, struct space *sp)
{
	struct space *gone;

	if (!sp)
		return;
	pthread_mutex_lock(&s->lock);
	gone = let_go(s, sp);
	pthread_mutex_unlock(&s->lock);
	space_free(gone);
}

struct space_view space_view(struct space *sp)
{
	struct space_view v;

	pthread_mutex_lock(&sp->lock);
	v = (struct space_view){ sp->published.row.no, sp->published.row.cursor, shared_log_ref(sp->published.log) };
	pthread_mutex_unlock(&sp->lock);
	return v;
}

void space_view_release(struct space_view *v)
{
	shared_log_unref(v->log);
	v->log = NULL;
}

const struct hold *space_held(const struct space *sp, const struct id32 *device, int64_t now)
{
	for (size_t i = 0; i < SPACE_HOLDS; i++)
		if (sp->holds[i].until > now && id32_equal(&sp->holds[i].device, device))
			return &sp->holds[i];
	return NULL;
}

void space_hold(struct space *sp, const struct id32 *device, uint64_t since, int64_t now, int64_t until)
{
	const struct hold *had = space_held(sp, device, now);
	struct hold *at = &sp->holds[0];

	for (size_t i = 0; i < SPACE_HOLDS && at != had; i++)
		if (&sp->holds[i] == had || sp->holds[i].until < at->until)
			at = &sp->holds[i];
	*at = (struct hold){ .device = *device, .until = until, .since = had ? had->since : since };
}

int spaces_view_for(struct spaces *s, struct depot *store, const struct id16 *id, const struct id32 *device,
	struct space_view *ret_v)
{
	struct space *sp;
	int err = spaces_get(s, store, id, &sp);

	if (err < 0)
		return err == ERR_NOT_FOUND ? ERR_FORBIDDEN : err;
	*ret_v = space_view(sp);
	spaces_put(s, sp);
	if (ret_v->log && log_may_read(ret_v->log->log, device))
		return OK;
	space_view_release(ret_v);
	return ERR_FORBIDDEN;
}

struct space_state *space_writing(struct space *sp)
{
	if (!sp->in_writing) {
		shared_log_unref(sp->writing.log);
		pthread_mutex_lock(&sp->lock);
		sp->writing = sp->published;
		shared_log_ref(sp->writing.log);
		pthread_mutex_unlock(&sp->lock);
		sp->in_writing = true;
	}
	return &sp->writing;
}

void space_publish(struct space *sp)
{
	struct shared_log *old;

	if (!sp->in_writing)
		return;
	pthread_mutex_lock(&sp->lock);
	old = sp->published.log;
	if (!old || sp->published.row.cursor <= sp->writing.row.cursor) {
		sp->published = sp->writing;
	} else {
		/* Another process came after this commit, and a reader has seen it. */
		old = sp->writing.log;
	}
	pthread_mutex_unlock(&sp->lock);
	shared_log_unref(old);
	sp->writing.log = NULL;
	sp->in_writing = false;
}

void space_reset(struct space *sp)
{
	shared_log_unref(sp->writing.log);
	sp->writing.log = NULL;
	sp->in_writing = false;
}
