/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that keeps the room is longer than the bytes it stands for by what sealing and the index add, and by a slack for the segments
 * that are begun. On a full disk each write of such a file first takes what it needs from it.
 */
#include "cache/aside.h"
#include <fcntl.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "cache/txn.h"

#define ASIDE_NAME "reserve-aside"
#define ASIDE_KEY "aside "

enum { SLACK = 8 << 20, PER_WRITE = 512, KEY_SIZE_MAX = 32, VALUE_SIZE = 16 };

static struct aside_file *find(const struct aside *a, uint64_t ino)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->file[i].ino == ino)
			return &a->file[i];
	return NULL;
}

uint64_t aside_target(const struct store *s, uint64_t ino)
{
	const struct aside_file *f = s->aside.n > 0 ? find(&s->aside, ino) : NULL;
	return f ? f->target : 0;
}

static void key_of(uint64_t ino, char key[KEY_SIZE_MAX])
{
	snprintf(key, KEY_SIZE_MAX, ASIDE_KEY "%016llx", (unsigned long long)ino);
}

/* What the file lacks of its target. */
static int lacks(struct store *s, const struct aside_file *f, uint64_t *ret)
{
	uint64_t sum = 0;
	int err = index_extent_sum(s->index, f->ino, &sum);
	if (err == 0)
		*ret = f->target > sum ? f->target - sum : 0;
	return err;
}

static int all_lack(struct store *s, uint64_t *ret)
{
	uint64_t all = 0, one = 0;
	for (size_t i = 0; i < s->aside.n; i++) {
		int err = lacks(s, &s->aside.file[i], &one);
		if (err < 0)
			return err;
		all = one > UINT64_MAX - all ? UINT64_MAX : all + one;
	}
	*ret = all;
	return 0;
}

/* Of the file for so many bytes; those that no disk has give a size that none has. */
static uint64_t size_for(uint64_t bytes, bool lent)
{
	if (bytes == 0)
		return 0;
	return bytes > INT64_MAX / 2 ? INT64_MAX : bytes + bytes / 32 + (lent ? 0 : SLACK);
}

static int set_held(struct store *s, uint64_t size)
{
	const struct env *env = s->config.env;
	if (size == s->aside.held)
		return 0;
	if (size == 0) {
		s->aside.held = 0;
		return env->unlink(env->ctx, s->config.dirfd, ASIDE_NAME);
	}
	int fd = env->open(env->ctx, s->config.dirfd, ASIDE_NAME, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return fd;
	int err = size < s->aside.held ? env->ftruncate(env->ctx, fd, (off_t)size)
				       : env->fallocate(env->ctx, fd, 0, 0, (off_t)size);
	if (err == 0)
		s->aside.held = size;
	else if (size > s->aside.held) /* part of it may have been taken */
		(void)!env->ftruncate(env->ctx, fd, (off_t)s->aside.held);
	(void)!env->close(env->ctx, fd);
	return err;
}

/* ---- the start ---- */

static int add(struct aside *a, const struct aside_file *f)
{
	struct aside_file *p = array_room(a->file, &a->alloc, a->n + 1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	a->file = p;
	a->file[a->n++] = *f;
	return 0;
}

static int read_target(struct aside *a, struct bytes key, struct bytes value)
{
	const size_t prefix = sizeof ASIDE_KEY - 1;
	char digits[17] = { 0 }, *end;
	if (key.len != prefix + 16 || value.len != VALUE_SIZE || a->n == ASIDE_FILES)
		return ERR_CORRUPT;
	memcpy(digits, key.p + prefix, 16);
	struct aside_file f = { strtoull(digits, &end, 16), bytes_get_le(value.p, 8), bytes_get_le(value.p + 8, 8) };
	return *end || f.ino == 0 ? ERR_CORRUPT : add(a, &f);
}

static int read_targets(struct store *s)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(200), value = BUF_INIT(4 << 20);
	const struct bytes prefix = bytes_str(ASIDE_KEY);
	int err = buf_put(&key, prefix.p, prefix.len);
	while (err == 0 && (err = index_meta_next(s->index, &key, &value)) == 0) {
		if (key.len < prefix.len || memcmp(key.data, prefix.p, prefix.len) != 0)
			return 0;
		err = read_target(&s->aside, buf_bytes(&key), buf_bytes(&value));
	}
	return err == ERR_NOT_FOUND ? 0 : err;
}

int aside_load(struct store *s)
{
	const struct env *env = s->config.env;
	uint64_t bytes = 0;
	int err = store_lock(s);
	if (err < 0)
		return err;
	err = read_targets(s);
	if (err == 0)
		err = all_lack(s, &bytes);
	int fd = err == 0 ? env->open(env->ctx, s->config.dirfd, ASIDE_NAME, O_RDWR, 0) : ERR_NOT_FOUND;
	if (fd >= 0) {
		int64_t size = env->fsize(env->ctx, fd);
		s->aside.held = size > 0 ? (uint64_t)size : 0;
		(void)!env->close(env->ctx, fd);
		if (size == 0)
			(void)!env->unlink(env->ctx, s->config.dirfd, ASIDE_NAME);
	}
	if (err == 0)
		(void)!set_held(s, size_for(bytes, false)); /* what is not there is tried again each second */
	store_unlock(s);
	return err;
}

void aside_release(struct aside *a)
{
	free(a->file);
	*a = (struct aside){ .n = 0 };
}

/* ---- with a transaction ---- */

/* With target 0 the file is forgotten. */
static int stage(struct store_txn *t, const struct aside_file *f)
{
	char key[KEY_SIZE_MAX];
	uint8_t value[VALUE_SIZE];
	key_of(f->ino, key);
	bytes_put_le(value, f->target, 8);
	bytes_put_le(value + 8, f->end, 8);
	t->aside = *f;
	return f->target == 0 ? txn_meta_del(t, key) : txn_meta_put(t, key, bytes_of(value, sizeof value));
}

static int covered(struct store *s, uint64_t ino, uint64_t off, uint64_t len, uint64_t *ret)
{
	struct piece p;
	uint64_t sum = 0, end = off + len;
	int err = 0;
	for (uint64_t at = off; at < end && (err = index_extent_next(s->index, ino, at, &p)) == 0; at = p.off + p.len)
		if (p.off < end)
			sum += (p.off + p.len < end ? p.len : end - p.off);
	*ret = sum;
	return err == ERR_NOT_FOUND ? 0 : err;
}

/* The room comes first; if the transaction fails, aside_tend gives it back. */
static int take_room(struct store *s, uint64_t more)
{
	uint64_t bytes, before = s->aside.held;
	int err = all_lack(s, &bytes);
	if (err < 0)
		return err;
	s->aside.lent = false;
	uint64_t size = size_for(more > INT64_MAX - bytes || bytes > INT64_MAX ? INT64_MAX : bytes + more, false);
	if (size <= before)
		return 0;
	err = set_held(s, size);
	if (err < 0)
		return err == ERR_FILE_TOO_BIG ? ERR_NO_SPACE : err; /* no file of the disk below is that long */
	tend_look_at_space(s);
	if (!atomic_load(&s->tight))
		return 0;
	(void)!set_held(s, before);
	tend_look_at_space(s);
	return ERR_NO_SPACE;
}

int aside_more(struct store_txn *t, const struct node *n, uint64_t off, uint64_t len, bool cleared)
{
	struct store *s = t->s;
	struct aside *a = &s->aside;
	const struct aside_file *f = find(a, n->ino), none = { n->ino, 0, n->size };
	struct aside_file now = f ? *f : none;
	uint64_t sum = 0, here = 0;
	int err = index_extent_sum(s->index, n->ino, &sum);
	if (err == 0)
		err = covered(s, n->ino, off, len, &here);
	if (err < 0)
		return err;
	uint64_t had = now.target > sum ? now.target : sum, needs = len - here;
	now.end = now.end > off + len ? now.end : off + len;
	now.end = now.end > had ? now.end : had;
	now.target = needs > now.end - had ? now.end : had + needs;
	if (now.target <= sum - (cleared ? here : 0))
		return 0;
	if (!f && a->n == ASIDE_FILES)
		return ERR_RANGE;
	err = f ? 0 : add(a, &none); /* a place, so that aside_done() cannot fail */
	if (err == 0 && !f)
		a->n--;
	if (err == 0)
		err = take_room(s, now.target - had + (cleared ? here : 0));
	return err < 0 ? err : stage(t, &now);
}

int aside_hole(struct store_txn *t, uint64_t ino, uint64_t bytes)
{
	const struct aside_file *f = find(&t->s->aside, ino);
	if (!f)
		return 0;
	return stage(t, &(struct aside_file){ ino, f->target > bytes ? f->target - bytes : 0, f->end });
}

int aside_cut(struct store_txn *t, uint64_t ino, uint64_t size)
{
	const struct aside_file *f = find(&t->s->aside, ino);
	if (!f || f->end <= size)
		return 0;
	return stage(t, &(struct aside_file){ ino, f->target < size ? f->target : size, size });
}

void aside_done(struct store_txn *t)
{
	struct aside *a = &t->s->aside;
	struct aside_file *f = t->aside.ino != 0 ? find(a, t->aside.ino) : NULL;
	if (t->aside.ino == 0)
		return;
	if (f && t->aside.target == 0)
		*f = a->file[--a->n];
	else if (f)
		*f = t->aside;
	else if (t->aside.target != 0)
		a->file[a->n++] = t->aside;
}

bool aside_use(struct store *s, uint64_t ino, uint64_t len)
{
	const struct aside_file *f = find(&s->aside, ino);
	uint64_t left = 0, give = len + len / 32 + PER_WRITE + (s->aside.lent ? 0 : SLACK);
	if (!f || lacks(s, f, &left) < 0 || left == 0)
		return false;
	if (set_held(s, s->aside.held > give ? s->aside.held - give : 0) < 0)
		return false;
	s->aside.lent = true;
	return true;
}

/* ---- housekeeping ---- */

/* A file that has all it was to have, or that nobody can reach any more. */
static int is_over(struct store *s, const struct aside_file *f, bool *ret)
{
	uint64_t left = 0;
	struct node n;
	int err = index_node_get(s->index, f->ino, &n);
	if (err == ERR_NOT_FOUND) {
		*ret = true;
		return 0;
	}
	bool gone = err == 0 && (n.flags & (NODE_DELETED | NODE_ORPHAN)) && !holds_has(&s->holds, f->ino);
	if (err == 0)
		err = lacks(s, f, &left);
	*ret = gone || left == 0;
	return err;
}

/* One a turn: others wait for the lock. */
static int forget_one(struct store *s)
{
	struct store_txn *t;
	bool over = false;
	int err = txn_call_inside(s, &t);
	if (err < 0)
		return err;
	t->keeps_house = true;
	for (size_t i = 0; err == 0 && !over && i < s->aside.n; i++) {
		err = is_over(s, &s->aside.file[i], &over);
		if (err == 0 && over)
			err = stage(t, &(struct aside_file){ .ino = s->aside.file[i].ino });
	}
	return txn_end(t, err);
}

int aside_tend(struct store *s)
{
	uint64_t bytes;
	if (s->aside.n == 0 && s->aside.held == 0)
		return 0;
	int err = journal_broken(s->journal) ? 0 : forget_one(s);
	if (err < 0)
		return err_is_full(err) ? 0 : err;
	err = store_lock(s);
	if (err < 0)
		return err;
	err = all_lack(s, &bytes);
	bool full = atomic_load(&s->scarce);
	s->aside.lent = s->aside.lent && full && bytes > 0;
	uint64_t size = err == 0 ? size_for(bytes, s->aside.lent) : s->aside.held;
	if (size < s->aside.held || !full)
		(void)!set_held(s, size);
	store_unlock(s);
	return err;
}
