/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set, its references, and reading. Descriptors and ciphers of at most OPEN_MAX_SEGMENTS segments are kept; each
 * cipher context serves one reader at a time.
 */
#include "cache/segment_set.h"
#include <fcntl.h>
#include <stdio.h>
#include "base/array.h"
#include "base/cleanup.h"

enum {
	OPEN_MAX_SEGMENTS = 128,
	NEED_MORE = 32 /* tags and row changes: a part of this size comes on top of the bytes */
};

void segment_name(char name[SEGMENT_NAME], uint64_t number)
{
	snprintf(name, SEGMENT_NAME, "seg-%016llx", (unsigned long long)number);
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
	segments_find_spares(set);
	*ret_set = set;
	return 0;
}

static void handle_free(struct segments *set, struct segment_handle *h)
{
	for (unsigned i = 0; i < h->n_pool; i++)
		aead_free(h->pool[i]);
	aead_free(h->first);
	set->env->close(set->env->ctx, h->fd);
	free(h);
}

void segments_drop_handle(struct segments *set, struct segment *seg)
{
	struct segment_handle *h = seg->h;
	if (!h)
		return;
	seg->h = NULL;
	set->n_open--;
	if (h->refs > 0)
		h->dead = true;
	else
		handle_free(set, h);
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
		segments_drop_handle(set, &set->seg[i]);
	pthread_mutex_destroy(&set->lock);
	free(set->seg);
	free(set->undo);
	free(set);
}

size_t segments_position(const struct segments *set, uint64_t number)
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

struct segment *segments_find(struct segments *set, uint64_t number)
{
	size_t i = segments_position(set, number);
	return i < set->n && set->seg[i].number == number ? &set->seg[i] : NULL;
}

int segments_reserve_row(struct segments *set)
{
	struct segment *seg = array_room(set->seg, &set->alloc, set->n + 1, sizeof *seg);
	if (!seg)
		return ERR_NOMEM;
	set->seg = seg;
	return 0;
}

struct segment *segments_insert_row(struct segments *set, uint64_t number, uint64_t size, uint64_t live)
{
	size_t i = segments_position(set, number);
	if (i == set->n || set->seg[i].number != number) {
		memmove(&set->seg[i + 1], &set->seg[i], (set->n - i) * sizeof set->seg[0]);
		set->n++;
	} else {
		segments_drop_handle(set, &set->seg[i]);
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
	struct segment *seg = segments_find(set, number);
	if (seg) { /* its file is the same, so readers, holes and what a survey found go on */
		seg->size = size;
		seg->live = live;
		seg->gained = ++set->gains;
		seg->changed = true;
	} else {
		err = segments_reserve_row(set);
		if (err == 0)
			segments_insert_row(set, number, size, live);
	}
	pthread_mutex_unlock(&set->lock);
	return err;
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
		segments_drop_handle(set, oldest);
}

static int open_segment(struct segments *set, struct segment *seg)
{
	char name[SEGMENT_NAME];
	struct segment_info info;
	FREE_AFTER struct segment_handle *h = calloc(1, sizeof *h);
	if (!h)
		return ERR_NOMEM;
	if (set->n_open >= OPEN_MAX_SEGMENTS)
		close_oldest(set);
	segment_name(name, seg->number);
	h->fd = set->env->open(set->env->ctx, set->dirfd, name, O_RDWR, 0);
	if (h->fd == ERR_READ_ONLY)
		h->fd = set->env->open(set->env->ctx, set->dirfd, name, O_RDONLY, 0);
	if (h->fd < 0)
		return h->fd == ERR_NOT_FOUND ? ERR_CORRUPT : h->fd;
	int err = segment_head_read(set, h->fd, seg->number, &info, &h->first);
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
	struct segment *seg = segments_find(set, number);
	int err = !seg ? ERR_CORRUPT : seg->h ? 0 : open_segment(set, seg);
	if (err == 0) {
		struct segment_handle *h = seg->h;
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
	struct segment_handle *h = ref->opaque;
	if (!h)
		return;
	ref->opaque = NULL;
	pthread_mutex_lock(&set->lock);
	if (h->n_pool < SEGMENT_POOL)
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
