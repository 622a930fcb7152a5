/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A crash while a file is made leaves a name without a head that opens: segments_probe() says so and the number is used again.
 * Descriptors and ciphers of at most OPEN_MAX segments are kept; each cipher context serves one reader at a time.
 */
#include "cache/segment.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "cache/kept.h"
#include "crypto/kdf.h"
#include "crypto/page.h"

enum {
	OPEN_MAX_SEGMENTS = 128,
	POOL_MAX = 4,
	NAME_SIZE = 24,
	CLEAR_SIZE = 24,
	SPARES = 2,
	NEED_MORE = 32, /* tags and row changes: a part of this size comes on top of the bytes */
	PLAIN_SIZE = 72,
	NONCE_AT = CLEAR_SIZE,
	SEALED_AT = NONCE_AT + PAGE_NONCE_SIZE,
	MARK_AT = SEALED_AT + PLAIN_SIZE + PAGE_TAG_SIZE,
	MARK_SIZE = 8 + AEAD_TAG_SIZE
};

#define RESERVE_NAME "reserve"
#define RESERVE_SIZE (4u << 20)
#define HEAD_MAGIC 0x3147455352464643ull /* "CFFRSEG1" */

_Static_assert(MARK_AT + MARK_SIZE <= SEGMENT_HEAD, "a head and a mark fit");

struct handle {
	int fd;
	unsigned refs, n_pool;
	bool dead; /* no segment points here any more: the last reference frees */
	struct aead *pool[POOL_MAX];
	struct aead *first; /* the one others are made from */
};

struct segment {
	uint64_t number, size, live, empty_seq, used, given, gained;
	uint64_t need, need_live; /* need as measured when live was need_live */
	bool changed;
	struct handle *h;
};

struct undo {
	uint64_t number;
	int64_t delta;
};

struct segments {
	const struct env *env;
	int dirfd;
	const struct secret *key;
	uint64_t size; /* of ordinary ones */
	pthread_mutex_t lock;
	struct segment *seg; /* ascending by number */
	size_t n, alloc;
	unsigned n_open;
	uint64_t clock;
	struct undo *undo;
	size_t n_undo, undo_alloc;
	bool marked, undo_lost;
	uint64_t gains, lost;
	uint64_t names, names_synced;     /* changes of names, and how many of them are on disk */
	uint64_t newest;                  /* highest number ever registered */
	uint64_t prepared, prepared_size; /* number whose file is ready; 0: none */
	uint64_t reserve;                 /* size of the reserve; 0: none */
	uint64_t spare[SPARES];           /* sizes of spare-0, spare-1; 0: none */
	int making;                       /* the spare that is being made without the lock; -1: none */
};

static void segment_name(char name[NAME_SIZE], uint64_t number)
{
	snprintf(name, NAME_SIZE, "seg-%016llx", (unsigned long long)number);
}

static void spare_name(char name[NAME_SIZE], int i)
{
	snprintf(name, NAME_SIZE, "spare-%d", i);
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

int segments_open(const struct env *env, int dirfd, const struct secret *key, uint64_t size, struct segments **ret_set)
{
	struct segments *set = calloc(1, sizeof *set);
	if (!set)
		return ERR_NOMEM;
	set->env = env;
	set->dirfd = dirfd;
	set->key = key;
	set->size = size;
	set->names = 1; /* those of a run that was killed may not be on disk */
	set->making = -1;
	pthread_mutex_init(&set->lock, NULL);
	for (int i = 0; i < SPARES; i++) {
		char name[NAME_SIZE];
		spare_name(name, i);
		set->spare[i] = size_of(env, dirfd, name);
	}
	set->reserve = size_of(env, dirfd, RESERVE_NAME);
	*ret_set = set;
	return 0;
}

static void handle_free(struct segments *set, struct handle *h)
{
	for (unsigned i = 0; i < h->n_pool; i++)
		aead_free(h->pool[i]);
	aead_free(h->first);
	set->env->close(set->env->ctx, h->fd);
	free(h);
}

/* Lets go of a segment's descriptor; the lock is held. */
static void handle_drop(struct segments *set, struct segment *seg)
{
	struct handle *h = seg->h;
	if (!h)
		return;
	seg->h = NULL;
	set->n_open--;
	if (h->refs > 0)
		h->dead = true;
	else
		handle_free(set, h);
}

void segments_reload(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++) {
		set->seg[i].live = set->seg[i].empty_seq = 0;
		set->seg[i].changed = true;
	}
	set->marked = false;
	set->n_undo = 0;
	pthread_mutex_unlock(&set->lock);
}

uint64_t segments_size(const struct segments *set)
{
	return set->size;
}

void segments_close(struct segments *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++)
		handle_drop(set, &set->seg[i]);
	pthread_mutex_destroy(&set->lock);
	free(set->seg);
	free(set->undo);
	free(set);
}

/* Index of the first segment with a number >= number. */
static size_t position(const struct segments *set, uint64_t number)
{
	size_t low = 0, high = set->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (set->seg[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct segment *find(struct segments *set, uint64_t number)
{
	size_t i = position(set, number);
	return i < set->n && set->seg[i].number == number ? &set->seg[i] : NULL;
}

static int reserve_row(struct segments *set)
{
	struct segment *seg = array_room(set->seg, &set->alloc, set->n + 1, sizeof *seg);
	if (!seg)
		return ERR_NOMEM;
	set->seg = seg;
	return 0;
}

static struct segment *insert_row(struct segments *set, uint64_t number, uint64_t size, uint64_t live)
{
	size_t i = position(set, number);
	if (i == set->n || set->seg[i].number != number) {
		memmove(&set->seg[i + 1], &set->seg[i], (set->n - i) * sizeof set->seg[0]);
		set->n++;
	} else {
		handle_drop(set, &set->seg[i]);
	}
	if (set->newest < number)
		set->newest = number;
	set->seg[i] = (struct segment){ .number = number,
		.size = size,
		.live = live,
		.need = live + live / NEED_MORE,
		.need_live = live,
		.gained = ++set->gains,
		.changed = true };
	return &set->seg[i];
}

int segments_add(struct segments *set, uint64_t number, uint64_t size, uint64_t live)
{
	int err = 0;
	pthread_mutex_lock(&set->lock);
	struct segment *seg = find(set, number);
	if (seg) { /* its file is the same, so readers, holes and what a survey found go on */
		seg->size = size;
		seg->live = live;
		seg->gained = ++set->gains;
		seg->changed = true;
	} else {
		err = reserve_row(set);
		if (err == 0)
			insert_row(set, number, size, live);
	}
	pthread_mutex_unlock(&set->lock);
	return err;
}

/* ---- heads ---- */

static void head_key(const struct segments *set, uint8_t key[KEY_SIZE])
{
	static const struct id16 no_salt;
	kdf_subkey(secret_key(set->key), "cof-segm", &no_salt, key);
}

static void head_make(struct segments *set, const struct segment_info *info, enum aead_suite suite,
	const uint8_t segment_key[KEY_SIZE], uint8_t out[SEGMENT_HEAD])
{
	uint8_t key[KEY_SIZE], plain[PLAIN_SIZE];
	memset(out, 0, SEGMENT_HEAD);
	bytes_put_le(out, HEAD_MAGIC, 8);
	bytes_put_le(out + 8, 1, 4); /* format */
	bytes_put_le(out + 12, (uint64_t)suite, 4);
	bytes_put_le(out + 16, info->number, 8);
	set->env->random(set->env->ctx, out + NONCE_AT, PAGE_NONCE_SIZE);
	memcpy(plain, segment_key, KEY_SIZE);
	bytes_put_le(plain + 32, info->prev, 8);
	bytes_put_le(plain + 40, info->prev_pos, 8);
	bytes_put_le(plain + 48, info->seq, 8);
	bytes_put_le(plain + 56, info->prev_synced, 8);
	bytes_put_le(plain + 64, info->size, 8);
	head_key(set, key);
	page_seal(key, out + NONCE_AT, bytes_of(out, CLEAR_SIZE), bytes_of(plain, sizeof plain), out + SEALED_AT,
		out + SEALED_AT + PLAIN_SIZE);
	secret_wipe(key, sizeof key);
	secret_wipe(plain, sizeof plain);
}

/* A number, and the tag of nothing under it. */
static uint64_t mark_read(struct aead *a, const uint8_t mark[MARK_SIZE])
{
	uint64_t seq = bytes_get_le(mark, 8);
	uint8_t nothing;
	const struct bytes none = bytes_of(NULL, 0);
	int err = seq == 0 ? ERR_NOT_FOUND
			   : aead_open(a, (struct aead_nonce){ STREAM_MARK, seq }, none, none, mark + 8, &nothing);
	return err == 0 ? seq : 0;
}

void segments_mark_synced(struct segments *set, const struct segment_ref *ref, uint64_t seq)
{
	uint8_t mark[MARK_SIZE], nothing;
	const struct bytes none = bytes_of(NULL, 0);
	bytes_put_le(mark, seq, 8);
	if (aead_seal(ref->aead, (struct aead_nonce){ STREAM_MARK, seq }, none, none, &nothing, mark + 8) == 0)
		(void)!set->env->pwrite(set->env->ctx, ref->fd, mark, sizeof mark, MARK_AT);
}

static int head_read(struct segments *set, int fd, uint64_t number, struct segment_info *ret, struct aead **ret_aead)
{
	uint8_t head[SEGMENT_HEAD], key[KEY_SIZE], plain[PLAIN_SIZE];
	ssize_t got = set->env->pread(set->env->ctx, fd, head, sizeof head, 0);
	if (got < 0)
		return (int)got;
	if (got != SEGMENT_HEAD || bytes_get_le(head, 8) != HEAD_MAGIC || bytes_get_le(head + 16, 8) != number)
		return ERR_CORRUPT;
	if (bytes_get_le(head + 8, 4) != 1)
		return ERR_VERSION;
	head_key(set, key);
	int err = page_open(key, head + NONCE_AT, bytes_of(head, CLEAR_SIZE), bytes_of(head + SEALED_AT, PLAIN_SIZE),
		head + SEALED_AT + PLAIN_SIZE, plain);
	secret_wipe(key, sizeof key);
	if (err < 0)
		return ERR_TAMPERED;
	*ret = (struct segment_info){ .number = number,
		.prev = bytes_get_le(plain + 32, 8),
		.prev_pos = bytes_get_le(plain + 40, 8),
		.seq = bytes_get_le(plain + 48, 8),
		.prev_synced = bytes_get_le(plain + 56, 8) != 0,
		.size = bytes_get_le(plain + 64, 8) };
	err = aead_new((enum aead_suite)bytes_get_le(head + 12, 4), plain, ret_aead);
	secret_wipe(plain, sizeof plain);
	if (err < 0)
		return err;
	ret->synced = ret->prev_synced ? ret->seq - 1 : 0;
	uint64_t mark = mark_read(*ret_aead, head + MARK_AT);
	if (ret->synced < mark)
		ret->synced = mark;
	return 0;
}

int segments_probe(struct segments *set, uint64_t number, struct segment_info *ret)
{
	char name[NAME_SIZE];
	segment_name(name, number);
	int fd = set->env->open(set->env->ctx, set->dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	CLEANUP(aead_freep) struct aead *a = NULL;
	int err = head_read(set, fd, number, ret, &a);
	set->env->close(set->env->ctx, fd);
	return err;
}

int segments_keep(struct segments *set, uint64_t number)
{
	char name[NAME_SIZE];
	segment_name(name, number);
	pthread_mutex_lock(&set->lock);
	set->names++;
	pthread_mutex_unlock(&set->lock);
	return kept_move(set->env, set->dirfd, name);
}

int segments_keep_copy(struct segments *set, uint64_t number, uint64_t pos)
{
	char name[NAME_SIZE];
	segment_name(name, number);
	int err = kept_note(set->env, set->dirfd);
	return err == 0 && number != 0 ? kept_copy(set->env, set->dirfd, name, pos) : err;
}

/* ---- making and removing files ---- */

static int take_spare(struct segments *set, uint64_t size)
{
	for (int i = 0; i < SPARES; i++)
		if (set->spare[i] >= size && size > 0)
			return i;
	return -1;
}

static int rename_spare(struct segments *set, int i, const char *name)
{
	char spare[NAME_SIZE];
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
	char name[NAME_SIZE];
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
		if (fd >= 0 && head_read(set, fd, number, &info, &a) != ERR_CORRUPT) {
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
	for (int i = 0; i < SPARES; i++)
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
	char spare[NAME_SIZE], name[NAME_SIZE];
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

static int start_file(struct segments *set, const struct segment_info *info, struct handle *h)
{
	const struct env *env = set->env;
	char name[NAME_SIZE];
	uint8_t key[KEY_SIZE], head[SEGMENT_HEAD];
	segment_name(name, info->number);
	env->random(env->ctx, key, sizeof key);
	int err = aead_new(AEAD_BEST, key, &h->first);
	if (err == 0) {
		head_make(set, info, aead_suite(h->first), key, head);
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
	char name[NAME_SIZE];
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
	for (int i = 0; i < SPARES; i++) {
		char name[NAME_SIZE];
		spare_name(name, i);
		if (set->spare[i] != 0 && set->env->unlink(set->env->ctx, set->dirfd, name) == 0)
			set->spare[i] = 0;
	}
	if (set->prepared != 0) {
		char name[NAME_SIZE];
		segment_name(name, set->prepared);
		(void)!set->env->unlink(set->env->ctx, set->dirfd, name);
		set->prepared = 0;
	}
	pthread_mutex_unlock(&set->lock);
}

void segments_trim(struct segments *set, uint64_t number, uint64_t from)
{
	const struct env *env = set->env;
	char name[NAME_SIZE];
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
	FREE_AFTER struct handle *h = calloc(1, sizeof *h);
	if (!h)
		return ERR_NOMEM;
	pthread_mutex_lock(&set->lock);
	int err = reserve_row(set);
	if (err == 0 && (set->prepared != info->number || set->prepared_size < info->size)) {
		err = make_file(set, info->number, info->size);
		if (err_is_full(err) && frees && take_reserve(set, info))
			err = 0;
	}
	if (err == 0)
		err = start_file(set, info, h);
	if (err == 0) {
		struct segment *seg = insert_row(set, info->number, info->size, 0);
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
	char name[NAME_SIZE], spare[NAME_SIZE];
	segment_name(name, number);
	pthread_mutex_lock(&set->lock);
	struct segment *seg = find(set, number);
	uint64_t size = seg ? seg->size : 0;
	int slot = -1, err = ERR_NOT_FOUND;
	set->names++;
	if (size == set->size)
		slot = free_spare(set);
	if (seg) {
		slot = seg->h && seg->h->refs > 0 ? -1 : slot; /* a reader is in it: never write there again */
		handle_drop(set, seg);
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

/* ---- references ---- */

static void close_oldest(struct segments *set)
{
	struct segment *oldest = NULL;
	for (size_t i = 0; i < set->n; i++) {
		struct segment *seg = &set->seg[i];
		if (seg->h && seg->h->refs == 0 && (!oldest || seg->used < oldest->used))
			oldest = seg;
	}
	if (oldest)
		handle_drop(set, oldest);
}

static int open_segment(struct segments *set, struct segment *seg)
{
	char name[NAME_SIZE];
	struct segment_info info;
	FREE_AFTER struct handle *h = calloc(1, sizeof *h);
	if (!h)
		return ERR_NOMEM;
	if (set->n_open >= OPEN_MAX_SEGMENTS)
		close_oldest(set);
	segment_name(name, seg->number);
	h->fd = set->env->open(set->env->ctx, set->dirfd, name, O_RDWR, 0);
	if (h->fd < 0)
		return h->fd == ERR_NOT_FOUND ? ERR_CORRUPT : h->fd;
	int err = head_read(set, h->fd, seg->number, &info, &h->first);
	if (err < 0) {
		set->env->close(set->env->ctx, h->fd);
		return err == ERR_TAMPERED ? ERR_CORRUPT : err;
	}
	seg->h = STEAL(&h);
	set->n_open++;
	return 0;
}

int segments_get(struct segments *set, uint64_t number, struct segment_ref *ret)
{
	pthread_mutex_lock(&set->lock);
	struct segment *seg = find(set, number);
	int err = !seg ? ERR_CORRUPT : seg->h ? 0 : open_segment(set, seg);
	if (err == 0) {
		struct handle *h = seg->h;
		struct aead *a = NULL;
		if (h->n_pool > 0)
			a = h->pool[--h->n_pool];
		else
			err = aead_dup(h->first, &a);
		if (err == 0) {
			seg->used = ++set->clock;
			h->refs++;
			*ret = (struct segment_ref){ .number = number, .fd = h->fd, .aead = a, .opaque = h };
		}
	}
	pthread_mutex_unlock(&set->lock);
	return err;
}

void segments_put(struct segments *set, struct segment_ref *ref)
{
	struct handle *h = ref->opaque;
	if (!h)
		return;
	ref->opaque = NULL;
	pthread_mutex_lock(&set->lock);
	if (h->n_pool < POOL_MAX)
		h->pool[h->n_pool++] = ref->aead;
	else
		aead_free(ref->aead);
	if (--h->refs == 0 && h->dead)
		handle_free(set, h);
	pthread_mutex_unlock(&set->lock);
}

/* ---- reading ---- */

/* One unit of a run of len bytes. sealed has its ciphertext and tag. */
static int open_unit(const struct segment_ref *ref, uint64_t counter, const uint8_t *sealed, size_t len, uint8_t *plain)
{
	return aead_open(ref->aead, (struct aead_nonce){ STREAM_DATA, counter }, bytes_of(NULL, 0),
		bytes_of(sealed, len), sealed + len, plain);
}

struct run_read {
	uint64_t first, last; /* units */
	const struct place *at;
	const uint8_t *sealed;
};

static size_t unit_len(const struct place *at, uint64_t unit)
{
	uint64_t left = at->run - unit * SEGMENT_UNIT;
	return left < SEGMENT_UNIT ? (size_t)left : SEGMENT_UNIT;
}

/* Of a unit of n bytes only those [from, from+take). Apart, so that whole units pay for no buffer being cleared. */
static __attribute__((noinline)) int open_part(const struct segment_ref *ref, uint64_t counter, const uint8_t *sealed,
	size_t n, size_t from, size_t take, uint8_t *out)
{
	uint8_t plain[SEGMENT_UNIT];
	int err = open_unit(ref, counter, sealed, n, plain);
	if (err == 0)
		memcpy(out, plain + from, take);
	secret_wipe(plain, sizeof plain);
	return err;
}

static int open_units(const struct segment_ref *ref, const struct run_read *r, uint8_t *out, size_t len)
{
	size_t done = 0;
	for (uint64_t unit = r->first; unit <= r->last; unit++) {
		const uint8_t *sealed = r->sealed + (unit - r->first) * (SEGMENT_UNIT + AEAD_TAG_SIZE);
		size_t n = unit_len(r->at, unit);
		size_t from = unit == r->first ? (size_t)(r->at->skip % SEGMENT_UNIT) : 0;
		size_t take = n - from < len - done ? n - from : len - done;
		uint64_t counter = r->at->pos + unit;
		int err = take == n ? open_unit(ref, counter, sealed, n, out + done)
				    : open_part(ref, counter, sealed, n, from, take, out + done);
		if (err < 0)
			return err;
		done += take;
	}
	return 0;
}

int segments_read(struct segments *set, const struct place *at, void *p, size_t len)
{
	if (len == 0 || at->skip >= at->run || len > at->run - at->skip)
		return len == 0 ? 0 : ERR_CORRUPT;
	struct run_read r = { .first = at->skip / SEGMENT_UNIT, .last = (at->skip + len - 1) / SEGMENT_UNIT, .at = at };
	size_t size =
		(size_t)(r.last - r.first) * (SEGMENT_UNIT + AEAD_TAG_SIZE) + unit_len(at, r.last) + AEAD_TAG_SIZE;
	uint8_t small[2 * (SEGMENT_UNIT + AEAD_TAG_SIZE)];
	FREE_AFTER uint8_t *big = size > sizeof small ? malloc(size) : NULL;
	if (size > sizeof small && !big)
		return ERR_NOMEM;
	uint8_t *sealed = big ? big : small;
	struct segment_ref ref;
	int err = segments_get(set, at->segment, &ref);
	if (err < 0)
		return err;
	ssize_t got = set->env->pread(
		set->env->ctx, ref.fd, sealed, size, (off_t)(at->pos + r.first * (SEGMENT_UNIT + AEAD_TAG_SIZE)));
	r.sealed = sealed;
	err = got < 0 ? (int)got : (size_t)got != size ? ERR_CORRUPT : open_units(&ref, &r, p, len);
	segments_put(set, &ref);
	return err;
}

/* ---- live bytes ---- */

static void record_undo(struct segments *set, uint64_t number, int64_t delta)
{
	struct undo *undo = array_room(set->undo, &set->undo_alloc, set->n_undo + 1, sizeof *undo);
	if (!undo) {
		set->undo_lost = true;
		return;
	}
	set->undo = undo;
	set->undo[set->n_undo++] = (struct undo){ number, delta };
}

static void add_live(struct segments *set, uint64_t number, int64_t delta)
{
	struct segment *seg = find(set, number);
	if (!seg)
		return;
	seg->live += (uint64_t)delta;
	seg->changed = true;
	if (delta > 0)
		seg->gained = ++set->gains;
	else
		set->lost += (uint64_t)-delta;
	if (seg->live > 0)
		seg->empty_seq = 0;
}

void segments_live(void *ctx, uint64_t number, int64_t delta)
{
	struct segments *set = ctx;
	pthread_mutex_lock(&set->lock);
	add_live(set, number, delta);
	if (set->marked)
		record_undo(set, number, delta);
	pthread_mutex_unlock(&set->lock);
}

void segments_mark(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	set->marked = true;
	set->undo_lost = false;
	set->n_undo = 0;
	pthread_mutex_unlock(&set->lock);
}

void segments_unmark(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	set->marked = false;
	set->n_undo = 0;
	pthread_mutex_unlock(&set->lock);
}

int segments_undo(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	while (set->n_undo > 0) {
		struct undo u = set->undo[--set->n_undo];
		add_live(set, u.number, -u.delta);
	}
	int err = set->undo_lost ? ERR_NOMEM : 0;
	set->marked = false;
	pthread_mutex_unlock(&set->lock);
	return err;
}

static uint64_t need_now(const struct segment *seg)
{
	if (seg->live >= seg->need_live)
		return seg->need + (seg->live - seg->need_live);
	uint64_t drop = seg->need_live - seg->live;
	return seg->live == 0 || seg->need < drop ? 0 : seg->need - drop;
}

bool segments_next(struct segments *set, uint64_t number, struct segment_row *ret)
{
	pthread_mutex_lock(&set->lock);
	size_t i = position(set, number + 1);
	bool found = i < set->n;
	if (found) {
		const struct segment *seg = &set->seg[i];
		*ret = (struct segment_row){ .number = seg->number,
			.size = seg->size,
			.live = seg->live,
			.changed = seg->changed,
			.empty_seq = seg->empty_seq,
			.given = seg->given,
			.need = need_now(seg),
			.gained = seg->gained };
	}
	pthread_mutex_unlock(&set->lock);
	return found;
}

void segments_gave(struct segments *set, uint64_t number, uint64_t bytes)
{
	pthread_mutex_lock(&set->lock);
	struct segment *seg = find(set, number);
	if (seg)
		seg->given = bytes;
	pthread_mutex_unlock(&set->lock);
}

void segments_measured(struct segments *set, uint64_t number, uint64_t need)
{
	pthread_mutex_lock(&set->lock);
	struct segment *seg = find(set, number);
	if (seg) {
		seg->need = need;
		seg->need_live = seg->live;
	}
	pthread_mutex_unlock(&set->lock);
}

uint64_t segments_gains(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	uint64_t gains = set->gains;
	pthread_mutex_unlock(&set->lock);
	return gains;
}

uint64_t segments_lost(struct segments *set)
{
	pthread_mutex_lock(&set->lock);
	uint64_t lost = set->lost;
	pthread_mutex_unlock(&set->lock);
	return lost;
}

void segments_saved(struct segments *set, uint64_t number)
{
	pthread_mutex_lock(&set->lock);
	struct segment *seg = find(set, number);
	if (seg)
		seg->changed = false;
	pthread_mutex_unlock(&set->lock);
}

void segments_note_empty(struct segments *set, uint64_t seq)
{
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++)
		if (set->seg[i].live == 0 && set->seg[i].empty_seq == 0)
			set->seg[i].empty_seq = seq;
	pthread_mutex_unlock(&set->lock);
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t segments_content(struct segments *set)
{
	uint64_t bytes = 0;
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++) {
		const struct segment *seg = &set->seg[i];
		bytes += at_most(at_most(seg->live, need_now(seg)), seg->size - seg->given);
	}
	pthread_mutex_unlock(&set->lock);
	return bytes;
}

uint64_t segments_bytes(struct segments *set, uint64_t *ret_live)
{
	uint64_t bytes = 0, live = 0;
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->n; i++) {
		bytes += set->seg[i].size - set->seg[i].given;
		live += set->seg[i].live;
	}
	bytes += set->reserve;
	for (int i = 0; i < SPARES; i++)
		bytes += set->spare[i];
	pthread_mutex_unlock(&set->lock);
	*ret_live = live;
	return bytes;
}
