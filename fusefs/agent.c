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

#define CACHE_DIR "cache"

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
	a->last_use_ns = env->mono_ns(env->ctx);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->idle, NULL);
	*ret_a = a;
	return OK;
}

/* ---- callbacks of store and sync ---- */

static void on_local_change(void *ctx, uint32_t space)
{
	struct agent *a = ctx;

	if (a->sync)
		sync_poke(a->sync, space);
}

static void on_remote_change(void *ctx, const struct invalidation *inv, size_t n)
{
	agent_invalidate(ctx, inv, n);
}

static void on_profile(void *ctx, uint64_t ino)
{
	struct agent *a = ctx;

	(void)ino;
	if (a->chores)
		chores_poke(a->chores);
}

static void on_log_moved(void *ctx, struct space *s)
{
	(void)s;
	on_profile(ctx, 0);
}

static void on_alarm(void *ctx, struct space *s, int err, const char *text)
{
	struct agent *a = ctx;

	log_warn("space %s: %s: %s", log_id16(&s->row.id).s, err_name(err), text);
	pthread_mutex_lock(&a->lock);
	snprintf(a->alarm, sizeof a->alarm, "%s: %s", err_name(err), text);
	pthread_mutex_unlock(&a->lock);
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
	return store_open(&config, &a->store);
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
				      .log_moved = on_log_moved,
				      .alarm = on_alarm };
	return sync_start(&config, &a->sync);
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

static void take_down(struct agent *a)
{
	if (a->sync)
		sync_quit(a->sync);
	chores_stop(&a->chores);
	if (a->sync)
		sync_stop(&a->sync);
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
	a->unlocked = false;
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
		err = chores_start(a, &a->chores);
	if (err < 0) {
		take_down(a);
		return err;
	}
	pthread_mutex_lock(&a->lock);
	a->unlocked = true;
	a->closing = false;
	pthread_mutex_unlock(&a->lock);
	return OK;
}

int agent_unlock(struct agent *a, const struct secret *passphrase)
{
	struct identity *who = NULL;

	if (a->unlocked)
		return ERR_EXISTS;
	int err = profile_unlock(a->profile, passphrase, &who);
	return err < 0 ? err : agent_bring_up(a, who, CACHE_DIR);
}

/* ---- down ---- */

static int stop_mounts(struct agent *a, bool lazy)
{
	int result = OK;
	size_t kept = 0;

	for (size_t i = 0; i < a->n_mounts; i++) {
		struct held_mount h = a->mounts[i];
		int err = mount_stop(&h.mount, lazy);
		if (err < 0) {
			a->mounts[kept++] = h;
			result = err;
		} else {
			free(h.dir);
		}
	}
	a->n_mounts = kept;
	return result;
}

int agent_lock(struct agent *a, bool lazy)
{
	pthread_mutex_lock(&a->lock);
	if (!a->unlocked) {
		pthread_mutex_unlock(&a->lock);
		return OK;
	}
	a->closing = true;
	pthread_mutex_unlock(&a->lock);
	int err = stop_mounts(a, lazy);
	if (err < 0) {
		pthread_mutex_lock(&a->lock);
		a->closing = false;
		pthread_mutex_unlock(&a->lock);
		return err;
	}
	sync_quit(a->sync);
	pthread_mutex_lock(&a->lock);
	while (a->uses > 0)
		pthread_cond_wait(&a->idle, &a->lock);
	pthread_mutex_unlock(&a->lock);
	take_down(a);
	return OK;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	if (agent_lock(a, true) < 0)
		log_error("a mount could not be taken down");
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->idle);
	free(a->syncd_path);
	free(a);
}

int agent_use(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	int err = a->unlocked && !a->closing ? OK : ERR_LOCKED;
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

static struct space *find_space(struct agent *a, bool (*match)(const struct space *s, const void *arg), const void *arg)
{
	struct space *found = NULL;

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_spaces && !found; i++)
		if (match(a->spaces[i].space, arg))
			found = a->spaces[i].space;
	pthread_mutex_unlock(&a->lock);
	return found;
}

static bool match_name(const struct space *s, const void *arg)
{
	const struct bytes *name = arg;
	char id[ID16_TEXT_SIZE];

	id16_format(&s->row.id, id);
	return !s->personal && (bytes_equal(*name, bytes_str(s->row.name)) || bytes_equal(*name, bytes_str(id)));
}

static bool match_genesis(const struct space *s, const void *arg)
{
	return id32_equal(&s->row.genesis, arg);
}

static bool match_personal(const struct space *s, const void *arg)
{
	(void)arg;
	return s->personal;
}

static bool match_row(const struct space *s, const void *arg)
{
	return s->row.row == *(const uint32_t *)arg;
}

struct space *agent_find_space(struct agent *a, struct bytes name)
{
	return find_space(a, match_name, &name);
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

void agent_invalidate(struct agent *a, const struct invalidation *inv, size_t n)
{
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_mounts; i++)
		mount_invalidate(a->mounts[i].mount, inv, n);
	pthread_mutex_unlock(&a->lock);
}
