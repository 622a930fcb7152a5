/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making, keeping for reuse and removing the files. A crash while a file is made leaves a name without a head that
 * opens: segments_probe() says so and the number is used again.
 */
#include <fcntl.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "cache/kept.h"
#include "cache/segment_set.h"

#define RESERVE_NAME "reserve"
#define RESERVE_SIZE (4u << 20)

static void spare_name(char name[SEGMENT_NAME], int i)
{
	snprintf(name, SEGMENT_NAME, "spare-%d", i);
}

/* 0: it is not there. */
static uint64_t size_of(const struct env *env, int dirfd, const char *name)
{
	int fd = env->open(env->ctx, dirfd, name, O_RDWR, 0);
	if (fd < 0)
		return 0;
	int64_t size = env->fsize(env->ctx, fd);
	env->close(env->ctx, fd);
	return size > 0 ? (uint64_t)size : 0;
}

void segments_find_spares(struct segments *set)
{
	for (int i = 0; i < SEGMENT_SPARES; i++) {
		char name[SEGMENT_NAME];
		spare_name(name, i);
		set->spare[i] = size_of(set->env, set->dirfd, name);
	}
	set->reserve = size_of(set->env, set->dirfd, RESERVE_NAME);
}

static int take_spare(struct segments *set, uint64_t size)
{
	for (int i = 0; i < SEGMENT_SPARES; i++)
		if (set->spare[i] >= size && size > 0)
			return i;
	return -1;
}

static int rename_spare(struct segments *set, int i, const char *name)
{
	char spare[SEGMENT_NAME];
	spare_name(spare, i);
	int err = set->env->rename(set->env->ctx, set->dirfd, spare, name);
	if (err == 0)
		set->spare[i] = 0;
	return err;
}

/* A spare may have been punched while it was a segment (punch.c). */
static int fill_holes(const struct env *env, int dirfd, const char *name, uint64_t size)
{
	int fd = env->open(env->ctx, dirfd, name, O_RDWR, 0);
	if (fd < 0)
		return fd;
	int err = env->fallocate(env->ctx, fd, 0, 0, (off_t)size);
	env->close(env->ctx, fd);
	if (err < 0 && err != ERR_UNSUPPORTED)
		env->unlink(env->ctx, dirfd, name);
	return err == ERR_UNSUPPORTED ? 0 : err;
}

/* Gives a file its size, and then closes and, after an error, removes it. */
static int fill_new(const struct env *env, int dirfd, const char *name, int fd, uint64_t size)
{
	int err = env->fallocate(env->ctx, fd, 0, 0, (off_t)size);
	if (err == ERR_UNSUPPORTED)
		err = env->ftruncate(env->ctx, fd, (off_t)size);
	env->close(env->ctx, fd);
	if (err < 0)
		env->unlink(env->ctx, dirfd, name);
	return err;
}

/* The file of a number, long enough; its head, if it has one, says another number. The lock is held. */
static int make_file(struct segments *set, uint64_t number, uint64_t size)
{
	const struct env *env = set->env;
	char name[SEGMENT_NAME];
	segment_name(name, number);
	set->names++;
	int i = take_spare(set, size);
	if (i >= 0) {
		int err = rename_spare(set, i, name);
		return err < 0 ? err : fill_holes(env, set->dirfd, name, size);
	}
	int fd = env->open(env->ctx, set->dirfd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd == ERR_EXISTS) { /* begun and not finished, or else something is very wrong */
		struct segment_info info;
		CLEANUP(aead_freep) struct aead *a = NULL;
		fd = env->open(env->ctx, set->dirfd, name, O_RDWR, 0);
		if (fd >= 0 && segment_head_read(set, fd, number, &info, &a) != ERR_CORRUPT) {
			env->close(env->ctx, fd);
			return ERR_CORRUPT;
		}
	}
	if (fd < 0)
		return fd;
	return fill_new(env, set->dirfd, name, fd, size);
}

static int free_spare(const struct segments *set)
{
	for (int i = 0; i < SEGMENT_SPARES; i++)
		if (set->spare[i] == 0 && set->making != i)
			return i;
	return -1;
}

static bool is_wanted(const struct segments *set, uint64_t number, uint64_t size)
{
	return number > set->newest && (set->prepared != number || set->prepared_size < size);
}

/* The lock is held, but not while the disk is asked for room: whoever writes needs it all the time. If the journal takes the
 * number meanwhile, a spare is there for the next one. */
static int make_ahead(struct segments *set, int i, uint64_t number, uint64_t size)
{
	const struct env *env = set->env;
	char spare[SEGMENT_NAME], name[SEGMENT_NAME];
	spare_name(spare, i);
	segment_name(name, number);
	set->making = i;
	pthread_mutex_unlock(&set->lock);
	int fd = env->open(env->ctx, set->dirfd, spare, O_RDWR | O_CREAT, 0600);
	int err = fd < 0 ? fd : fill_new(env, set->dirfd, spare, fd, size);
	pthread_mutex_lock(&set->lock);
	set->making = -1;
	set->spare[i] = err < 0 ? 0 : size;
	if (err < 0 || !is_wanted(set, number, size))
		return err;
	set->names++;
	return rename_spare(set, i, name);
}

int segments_prepare(struct segments *set, uint64_t number, uint64_t size)
{
	int err = 0;
	pthread_mutex_lock(&set->lock);
	if (is_wanted(set, number, size)) {
		int slot = take_spare(set, size) < 0 && set->making < 0 ? free_spare(set) : -1;
		err = slot < 0 ? make_file(set, number, size) : make_ahead(set, slot, number, size);
		set->prepared = err == 0 && number > set->newest ? number : 0;
		set->prepared_size = size;
	}
	pthread_mutex_unlock(&set->lock);
	return err;
}

static int start_file(struct segments *set, const struct segment_info *info, struct segment_handle *h)
{
	const struct env *env = set->env;
	char name[SEGMENT_NAME];
	uint8_t key[KEY_SIZE], head[SEGMENT_HEAD];
	segment_name(name, info->number);
	env->random(env->ctx, key, sizeof key);
	int err = aead_new(AEAD_BEST, key, &h->first);
	if (err == 0) {
		segment_head_make(set, info, aead_suite(h->first), key, head);
		h->fd = env->open(env->ctx, set->dirfd, name, O_RDWR, 0);
		err = h->fd < 0 ? h->fd : env->pwrite(env->ctx, h->fd, head, sizeof head, 0);
		if (err < 0 && h->fd >= 0)
			env->close(env->ctx, h->fd);
	}
	secret_wipe(key, sizeof key);
	if (err < 0) {
		aead_free(h->first);
		h->first = NULL;
	}
	return err;
}

static bool take_reserve(struct segments *set, struct segment_info *info)
{
	char name[SEGMENT_NAME];
	segment_name(name, info->number);
	if (set->reserve == 0 || set->env->rename(set->env->ctx, set->dirfd, RESERVE_NAME, name) < 0)
		return false;
	info->size = set->reserve;
	set->reserve = 0;
	return true;
}

int segments_make_reserve(struct segments *set)
{
	const struct env *env = set->env;
	uint64_t size = set->size < RESERVE_SIZE ? set->size : RESERVE_SIZE;
	pthread_mutex_lock(&set->lock);
	int err = 0, fd = -1;
	if (set->reserve == 0) {
		err = fd = env->open(env->ctx, set->dirfd, RESERVE_NAME, O_RDWR | O_CREAT, 0600);
		if (fd >= 0) {
			err = env->fallocate(env->ctx, fd, 0, 0, (off_t)size);
			env->close(env->ctx, fd);
			if (err < 0)
				env->unlink(env->ctx, set->dirfd, RESERVE_NAME);
		}
		if (err == 0 || err == ERR_UNSUPPORTED) {
			set->reserve = size;
			err = 0;
		}
	}
	pthread_mutex_unlock(&set->lock);
	return err;
}

void segments_drop_spares(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	for (int i = 0; i < SEGMENT_SPARES; i++) {
		char name[SEGMENT_NAME];
		spare_name(name, i);
		if (set->spare[i] != 0 && set->env->unlink(set->env->ctx, set->dirfd, name) == 0)
			set->spare[i] = 0;
	}
	if (set->prepared != 0) {
		char name[SEGMENT_NAME];
		segment_name(name, set->prepared);
		(void)!set->env->unlink(set->env->ctx, set->dirfd, name);
		set->prepared = 0;
	}
	pthread_mutex_unlock(&set->lock);
}

void segments_trim(struct segments *set, uint64_t number, uint64_t from)
{
	const struct env *env = set->env;
	char name[SEGMENT_NAME];
	segment_name(name, number);
	int fd = env->open(env->ctx, set->dirfd, name, O_RDWR, 0);
	if (fd < 0)
		return;
	int64_t size = env->fsize(env->ctx, fd);
	if (size > (int64_t)from)
		(void)!env->fallocate(env->ctx, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
			(off_t)(size - (int64_t)from));
	env->close(env->ctx, fd);
}

bool segments_has_reserve(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	bool has = set->reserve != 0;
	pthread_mutex_unlock(&set->lock);
	return has;
}

int segments_new(struct segments *set, struct segment_info *info, bool frees)
{
	FREE_AFTER struct segment_handle *h = calloc(1, sizeof *h);
	if (!h)
		return ERR_NOMEM;
	pthread_mutex_lock(&set->lock);
	int err = segments_reserve_row(set);
	if (err == 0 && (set->prepared != info->number || set->prepared_size < info->size)) {
		err = make_file(set, info->number, info->size);
		if (err_is_full(err) && frees && take_reserve(set, info))
			err = 0;
	}
	if (err == 0)
		err = start_file(set, info, h);
	if (err == 0) {
		struct segment *seg = segments_insert_row(set, info->number, info->size, 0);
		seg->h = STEAL(&h);
		seg->used = ++set->clock;
		set->n_open++;
	}
	set->prepared = 0;
	pthread_mutex_unlock(&set->lock);
	return err;
}

int segments_sync_names(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	uint64_t names = set->names;
	bool changed = set->names_synced != names;
	pthread_mutex_unlock(&set->lock);
	int err = changed ? set->env->fsync(set->env->ctx, set->dirfd) : 0;
	if (err == 0 && changed) {
		pthread_mutex_lock(&set->lock);
		if (set->names_synced < names)
			set->names_synced = names;
		pthread_mutex_unlock(&set->lock);
	}
	return err;
}

/* Files of the ordinary size are kept for reuse: fresh blocks cost more than old ones. */
int segments_remove(struct segments *set, uint64_t number)
{
	const struct env *env = set->env;
	char name[SEGMENT_NAME], spare[SEGMENT_NAME];
	segment_name(name, number);
	pthread_mutex_lock(&set->lock);
	struct segment *seg = segments_find(set, number);
	uint64_t size = seg ? seg->size : 0;
	int slot = -1, err = ERR_NOT_FOUND;
	set->names++;
	if (size == set->size)
		slot = free_spare(set);
	if (seg) {
		slot = seg->h && seg->h->refs > 0 ? -1 : slot; /* a reader is in it: never write there again */
		segments_drop_handle(set, seg);
		size_t i = (size_t)(seg - set->seg);
		memmove(seg, seg + 1, (--set->n - i) * sizeof *seg);
	}
	if (slot >= 0) {
		spare_name(spare, slot);
		err = env->rename(env->ctx, set->dirfd, name, spare);
		if (err == 0)
			set->spare[slot] = size;
	}
	if (err < 0)
		err = env->unlink(env->ctx, set->dirfd, name);
	pthread_mutex_unlock(&set->lock);
	return err == ERR_NOT_FOUND ? 0 : err;
}

int segments_keep(struct segments *set, uint64_t number)
{
	char name[SEGMENT_NAME];
	segment_name(name, number);
	pthread_mutex_lock(&set->lock);
	set->names++;
	pthread_mutex_unlock(&set->lock);
	return kept_move(set->env, set->dirfd, name);
}

int segments_keep_copy(struct segments *set, uint64_t number, uint64_t pos)
{
	char name[SEGMENT_NAME];
	segment_name(name, number);
	int err = kept_note(set->env, set->dirfd);
	return err == 0 && number != 0 ? kept_copy(set->env, set->dirfd, name, pos) : err;
}
