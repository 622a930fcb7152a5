/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Up: store, then spaces from its rows, then sync, then chores. Down: the other way round. Whatever fails on the way up is taken
 * down again, so the agent is either unlocked or locked.
 */
#include "fusefs/agent.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/secret.h"
#include "fusefs/chores.h"
#include "fusefs/settle.h"

int agent_new(const struct env *env, struct profile *profile, const char *syncd_path, struct agent **ret_a)
{
	struct agent *a = calloc(1, sizeof *a);

	if (!a)
		return ERR_NOMEM;
	a->syncd_path = strdup(syncd_path);
	if (!a->syncd_path) {
		free(a);
		return ERR_NOMEM;
	}
	a->env = env;
	a->profile = profile;
	a->cache_fd = -1;
	pthread_mutex_init(&a->life, NULL);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->idle, NULL);
	*ret_a = a;
	return OK;
}

/* ---- callbacks of store and sync ---- */

static void on_local_change(void *ctx, uint32_t space)
{
	struct agent *a = ctx;
	struct sync *s = a->sync;

	if (s)
		sync_poke(s, space);
}

static void on_remote_change(void *ctx, const struct invalidation *inv, size_t n)
{
	agent_invalidate(ctx, inv, n);
}

static void on_profile(void *ctx, uint64_t ino)
{
	struct agent *a = ctx;

	(void)ino;
	struct chores *c = a->chores;
	if (c)
		chores_poke(c);
}

static void on_log_moved(void *ctx, struct space *s)
{
	(void)s;
	on_profile(ctx, 0);
}

/* ---- up ---- */

static int start_store(struct agent *a, const char *dir_name)
{
	int err = profile_subdir(a->profile, dir_name, &a->cache_fd);

	if (err < 0)
		return err;
	struct store_config config = { .env = a->env,
		.dirfd = a->cache_fd,
		.key = secret_key(identity_store_key(a->who)),
		.changed = on_local_change,
		.ctx = a };
	err = store_open(&config, &a->store);
	if (err >= 0 && store_was_damaged(a->store))
		log_error("the cache's journal was damaged at a start: damaged.txt in its directory says more");
	if (err >= 0 && store_is_frozen(a->store))
		log_error("the disk of the profile is read-only: nothing is changed, sent or fetched");
	return err;
}

static int start_sync(struct agent *a)
{
	struct sync_config config = { .env = a->env,
		.store = a->store,
		.who = a->who,
		.syncd_path = a->syncd_path,
		.ctx = a,
		.changed = on_remote_change,
		.profile = on_profile,
		.log_moved = on_log_moved };
	struct sync *s = NULL;

	int err = sync_start(&config, &s);
	if (err < 0)
		return err;
	pthread_mutex_lock(&a->lock);
	a->sync = s;
	if (a->ending)
		sync_quit(s);
	pthread_mutex_unlock(&a->lock);
	return OK;
}

static int start_chores(struct agent *a)
{
	struct chores *c = NULL;

	int err = chores_start(a, &c);
	if (err < 0)
		return err;
	pthread_mutex_lock(&a->lock);
	a->chores = c;
	if (a->ending)
		chores_quit(c);
	pthread_mutex_unlock(&a->lock);
	return OK;
}

struct row_list {
	struct space_row *rows;
	size_t n;
	int err;
};

static int note_row(void *ctx, const struct space_row *row)
{
	struct row_list *l = ctx;
	struct space_row *grown = reallocarray(l->rows, l->n + 1, sizeof *grown);

	if (!grown || l->n == AGENT_MAX_SPACES) {
		l->err = ERR_NOMEM;
		return 0;
	}
	l->rows = grown;
	l->rows[l->n++] = *row;
	return 1;
}

static int load_spaces(struct agent *a, struct store_txn *t, const struct row_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct space *s = NULL;
		int err = space_load(t, &l->rows[i], a->who, NULL, &s);
		if (err < 0) {
			log_error("space %s cannot be loaded: %s", log_id16(&l->rows[i].id).s, err_str(err));
			return err;
		}
		if ((err = agent_add_space(a, s, false)) < 0) {
			space_free(s);
			return err;
		}
	}
	return OK;
}

static int read_spaces(struct agent *a)
{
	struct row_list list = { 0 };
	struct store_txn *t = NULL;

	int err = store_begin(a->store, &t);
	if (err < 0)
		return err;
	err = txn_space_each(t, note_row, &list);
	if (err >= 0)
		err = list.err;
	if (err >= 0)
		err = load_spaces(a, t, &list);
	free(list.rows);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	return store_commit(&t);
}

/* Ends what blocks in calls to sync and chores. Under the lock. */
static void cancel_calls(struct agent *a)
{
	if (a->sync)
		sync_quit(a->sync);
	if (a->chores)
		chores_quit(a->chores);
}

/* Sync calls into chores and chores into sync: first both threads end, then both go. */
void agent_take_down(struct agent *a)
{
	struct chores *chores = a->chores;

	pthread_mutex_lock(&a->lock);
	a->unlocked = false;
	cancel_calls(a);
	pthread_mutex_unlock(&a->lock);
	chores_join(chores);
	pthread_mutex_lock(&a->lock);
	struct sync *sync = a->sync;
	a->sync = NULL;
	pthread_mutex_unlock(&a->lock);
	sync_stop(&sync);
	pthread_mutex_lock(&a->lock);
	a->chores = NULL;
	pthread_mutex_unlock(&a->lock);
	chores_free(chores);
	for (size_t i = 0; i < a->n_spaces; i++)
		space_free(a->spaces[i].space);
	free(a->spaces);
	a->spaces = NULL;
	a->n_spaces = 0;
	store_close(a->store);
	a->store = NULL;
	if (a->cache_fd >= 0)
		close(a->cache_fd);
	a->cache_fd = -1;
	identity_free(a->who);
	a->who = NULL;
}

void agent_life_begin(struct agent *a)
{
	pthread_mutex_lock(&a->life);
}

void agent_life_end(struct agent *a)
{
	pthread_mutex_unlock(&a->life);
}

int agent_bring_up(struct agent *a, struct identity *who, const char *dir_name)
{
	a->who = who;
	int err = start_store(a, dir_name);
	if (err >= 0)
		err = read_spaces(a);
	if (err >= 0)
		err = start_sync(a);
	if (err >= 0)
		err = start_chores(a);
	if (err < 0)
		agent_take_down(a);
	pthread_mutex_lock(&a->lock);
	a->up_err = err;
	pthread_mutex_unlock(&a->lock);
	return err;
}

void agent_show(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	a->unlocked = true;
	pthread_mutex_unlock(&a->lock);
}

bool agent_unlocked(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	bool unlocked = a->unlocked && !a->closing;
	pthread_mutex_unlock(&a->lock);
	return unlocked;
}

int agent_up_error(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	int err = a->up_err;
	pthread_mutex_unlock(&a->lock);
	return err;
}

static int unlock(struct agent *a, const struct secret *passphrase)
{
	struct identity *who = NULL;

	if (agent_unlocked(a))
		return ERR_EXISTS;
	int err = profile_unlock(a->profile, passphrase, &who);
	if (err < 0 || (err = agent_bring_up(a, who, AGENT_CACHE_DIR)) < 0)
		return err;
	agent_show(a);
	return OK;
}

int agent_unlock(struct agent *a, const struct secret *passphrase)
{
	agent_life_begin(a);
	int err = unlock(a, passphrase);
	agent_life_end(a);
	return err;
}

/* ---- mounts ---- */

/* Under the lock. */
static void await_flush(struct agent *a)
{
	while (a->flushing > 0)
		pthread_cond_wait(&a->idle, &a->lock);
}

/* Not under the lock: the operations waited for may need it. */
/* For each mount; none is taken off the list meanwhile. */
static void each_mount(struct agent *a, void (*fn)(struct mount *m))
{
	struct mount *mounts[AGENT_MAX_MOUNTS];

	pthread_mutex_lock(&a->lock);
	size_t n = a->n_mounts;
	for (size_t i = 0; i < n; i++)
		mounts[i] = a->mounts[i].mount;
	a->flushing++;
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < n; i++)
		fn(mounts[i]);
	pthread_mutex_lock(&a->lock);
	if (--a->flushing == 0)
		pthread_cond_broadcast(&a->idle);
	pthread_mutex_unlock(&a->lock);
}

void agent_flush_mounts(struct agent *a)
{
	each_mount(a, mount_flush);
}

void agent_settle_mounts(struct agent *a)
{
	each_mount(a, mount_settle);
}

int agent_hold_mount(struct agent *a, struct mount *m, const char *dir, uint64_t root_ino)
{
	char *copy = strdup(dir);
	int err = copy ? OK : ERR_NOMEM;

	pthread_mutex_lock(&a->lock);
	if (err == OK && a->n_mounts == AGENT_MAX_MOUNTS)
		err = ERR_RANGE;
	if (err == OK && mount_ended(m)) /* agent_mount_gone has not found it */
		err = ERR_CLOSED;
	if (err == OK)
		a->mounts[a->n_mounts++] = (struct held_mount){ .mount = m, .dir = copy, .root_ino = root_ino };
	pthread_mutex_unlock(&a->lock);
	if (err < 0)
		free(copy);
	return err;
}

struct mount *agent_take_mount(struct agent *a, const struct mount *m, const char *dir)
{
	struct mount *found = NULL;

	pthread_mutex_lock(&a->lock);
	await_flush(a);
	for (size_t i = 0; i < a->n_mounts && !found; i++) {
		if (m ? a->mounts[i].mount != m : !dir || strcmp(a->mounts[i].dir, dir) != 0)
			continue;
		found = a->mounts[i].mount;
		free(a->mounts[i].dir);
		a->mounts[i] = a->mounts[--a->n_mounts];
	}
	pthread_mutex_unlock(&a->lock);
	return found;
}

size_t agent_count_mounts(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	size_t n = a->n_mounts;
	pthread_mutex_unlock(&a->lock);
	return n;
}

struct gone {
	struct agent *agent;
	const struct mount *mount;
};

static void *stop_gone(void *arg)
{
	struct gone *g = arg;
	struct mount *m = agent_take_mount(g->agent, g->mount, NULL);

	if (m && mount_stop(&m, true) < 0)
		log_error("a mount that went cannot be taken down");
	agent_unuse(g->agent);
	free(g);
	return NULL;
}

/* mount_stop must not run on the mount's own thread. The use keeps the agent up until the mount is down; a mount that is not found has
 * been taken by somebody who stops it. */
void agent_mount_gone(void *ctx, struct mount *m)
{
	struct agent *a = ctx;
	struct gone *g = malloc(sizeof *g);
	pthread_t thread;

	if (!g)
		return;
	*g = (struct gone){ .agent = a, .mount = m };
	pthread_mutex_lock(&a->lock);
	a->uses++;
	pthread_mutex_unlock(&a->lock);
	if (pthread_create(&thread, NULL, stop_gone, g) == 0) {
		pthread_detach(thread);
		return;
	}
	agent_unuse(a);
	free(g);
}

static struct mount *first_mount(struct agent *a, char **ret_dir, uint64_t *ret_root)
{
	struct mount *m = NULL;

	pthread_mutex_lock(&a->lock);
	await_flush(a);
	if (a->n_mounts > 0) {
		m = a->mounts[0].mount;
		*ret_dir = a->mounts[0].dir;
		*ret_root = a->mounts[0].root_ino;
		memmove(&a->mounts[0], &a->mounts[1], --a->n_mounts * sizeof a->mounts[0]);
	}
	pthread_mutex_unlock(&a->lock);
	return m;
}

/* At the list's end, so that the next one comes to the front. */
static void put_back(struct agent *a, struct mount *m, const char *dir, uint64_t root_ino)
{
	if (agent_hold_mount(a, m, dir, root_ino) == OK)
		return;
	if (mount_stop(&m, true) < 0)
		log_error("a mount is lost from the list");
}

static int stop_mounts(struct agent *a, bool lazy)
{
	size_t n = agent_count_mounts(a);
	int result = OK;

	for (size_t i = 0; i < n; i++) {
		FREE_AFTER char *dir = NULL;
		uint64_t root_ino = 0;
		struct mount *m = first_mount(a, &dir, &root_ino);
		if (!m)
			break;
		int err = mount_stop(&m, lazy);
		if (err < 0) {
			put_back(a, m, dir, root_ino);
			result = err;
		}
	}
	return result;
}

/* ---- down ---- */

static void await_uses(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	while (a->uses > 0)
		pthread_cond_wait(&a->idle, &a->lock);
	pthread_mutex_unlock(&a->lock);
}

/* After the first round of unmounting nothing can go wrong any more: what was mounted meanwhile goes in the second. */
static int go_down(struct agent *a, bool lazy)
{
	int err = stop_mounts(a, lazy);

	if (err < 0)
		return err;
	pthread_mutex_lock(&a->lock);
	cancel_calls(a);
	pthread_mutex_unlock(&a->lock);
	await_uses(a);
	if (stop_mounts(a, true) < 0)
		log_error("a mount cannot be taken down");
	await_uses(a);
	agent_take_down(a);
	return OK;
}

static void set_closing(struct agent *a, bool closing)
{
	pthread_mutex_lock(&a->lock);
	a->closing = closing;
	pthread_mutex_unlock(&a->lock);
}

int agent_lock(struct agent *a, bool lazy)
{
	int err = OK;

	agent_life_begin(a);
	if (agent_unlocked(a)) {
		set_closing(a, true);
		err = go_down(a, lazy);
		set_closing(a, false);
	}
	agent_life_end(a);
	return err;
}

void agent_cancel(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	cancel_calls(a);
	pthread_mutex_unlock(&a->lock);
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	if (agent_lock(a, true) < 0)
		log_error("a mount could not be taken down");
	pthread_mutex_destroy(&a->life);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->idle);
	free(a->syncd_path);
	free(a);
}

int agent_use(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	int err = a->unlocked && !a->closing && !a->ending ? OK : ERR_LOCKED;
	if (err == OK)
		a->uses++;
	pthread_mutex_unlock(&a->lock);
	return err;
}

void agent_unuse(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	if (--a->uses == 0)
		pthread_cond_broadcast(&a->idle);
	pthread_mutex_unlock(&a->lock);
}

/* ---- spaces ---- */

int agent_add_space(struct agent *a, struct space *s, bool sync)
{
	int err = space_tell_rights(s, a->store, a->who);

	if (err < 0)
		return err;
	pthread_mutex_lock(&a->lock);
	struct held_space *grown =
		a->n_spaces < AGENT_MAX_SPACES ? reallocarray(a->spaces, a->n_spaces + 1, sizeof *grown) : NULL;
	if (grown) {
		a->spaces = grown;
		a->spaces[a->n_spaces++] = (struct held_space){ .space = s };
	}
	pthread_mutex_unlock(&a->lock);
	if (!grown)
		return ERR_NOMEM;
	return sync ? agent_sync_space(a, s) : OK;
}

int agent_sync_space(struct agent *a, struct space *s)
{
	bool already = true;

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_spaces; i++) {
		if (a->spaces[i].space == s) {
			already = a->spaces[i].synced;
			a->spaces[i].synced = true;
		}
	}
	pthread_mutex_unlock(&a->lock);
	return already ? OK : sync_add_space(a->sync, s);
}

static struct space *find_space(struct agent *a, bool (*match)(struct space *s, const void *arg), const void *arg)
{
	struct space *found = NULL;

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_spaces && !found; i++)
		if (match(a->spaces[i].space, arg))
			found = a->spaces[i].space;
	pthread_mutex_unlock(&a->lock);
	return found;
}

static bool match_name(struct space *s, const void *arg)
{
	const struct bytes *name = arg;
	char id[ID16_TEXT_SIZE], own[NODE_MAX_NAME + 1];

	id16_format(&s->row.id, id);
	space_name(s, own);
	return !s->personal && (bytes_equal(*name, bytes_str(own)) || bytes_equal(*name, bytes_str(id)));
}

static bool match_genesis(struct space *s, const void *arg)
{
	return id32_equal(&s->row.genesis, arg);
}

static bool match_personal(struct space *s, const void *arg)
{
	(void)arg;
	return s->personal;
}

static bool match_row(struct space *s, const void *arg)
{
	return s->row.row == *(const uint32_t *)arg;
}

struct space *agent_find_space(struct agent *a, struct bytes name)
{
	return find_space(a, match_name, &name);
}

size_t agent_list_spaces(struct agent *a, struct space *ret_spaces[AGENT_MAX_SPACES])
{
	pthread_mutex_lock(&a->lock);
	size_t n = a->n_spaces;
	for (size_t i = 0; i < n; i++)
		ret_spaces[i] = a->spaces[i].space;
	pthread_mutex_unlock(&a->lock);
	return n;
}

struct space *agent_find_genesis(struct agent *a, const struct id32 *genesis)
{
	return find_space(a, match_genesis, genesis);
}

struct space *agent_personal(struct agent *a)
{
	return find_space(a, match_personal, NULL);
}

struct space *agent_space_of_row(struct agent *a, uint32_t row)
{
	return find_space(a, match_row, &row);
}

void agent_tell_mounts(void *ctx, const struct mount *from, const struct invalidation *inv, size_t n)
{
	struct agent *a = ctx;

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_mounts; i++) {
		if (a->mounts[i].mount != from)
			mount_invalidate(a->mounts[i].mount, inv, n);
	}
	pthread_mutex_unlock(&a->lock);
}

bool agent_has_mounts(void *ctx)
{
	const struct agent *a = ctx;

	return a->n_mounts > 1;
}

void agent_invalidate(struct agent *a, const struct invalidation *inv, size_t n)
{
	agent_tell_mounts(a, NULL, inv, n);
}
