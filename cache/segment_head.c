/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a segment's file and the mark behind it (docs/FORMAT.md "Segment"). */
#include <fcntl.h>
#include "base/cleanup.h"
#include "cache/segment_set.h"
#include "crypto/kdf.h"
#include "crypto/page.h"

enum {
	CLEAR_SIZE = 24,
	PLAIN_SIZE = 72,
	NONCE_AT = CLEAR_SIZE,
	SEALED_AT = NONCE_AT + PAGE_NONCE_SIZE,
	MARK_AT = SEALED_AT + PLAIN_SIZE + PAGE_TAG_SIZE,
	MARK_SIZE = 8 + AEAD_TAG_SIZE
};

#define HEAD_MAGIC 0x3147455352464643ull /* "CFFRSEG1" */

_Static_assert(MARK_AT + MARK_SIZE <= SEGMENT_HEAD, "a head and a mark fit");

static void head_key(const struct segments *set, uint8_t key[KEY_SIZE])
{
	static const struct id16 no_salt;
	kdf_subkey(secret_key(set->key), "cof-segm", &no_salt, key);
}

void segment_head_make(struct segments *set, const struct segment_info *info, enum aead_suite suite,
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

int segment_head_read(struct segments *set, int fd, uint64_t number, struct segment_info *ret, struct aead **ret_aead)
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
	char name[SEGMENT_NAME];
	segment_name(name, number);
	int fd = set->env->open(set->env->ctx, set->dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	CLEANUP(aead_freep) struct aead *a = NULL;
	int err = segment_head_read(set, fd, number, ret, &a);
	set->env->close(set->env->ctx, fd);
	return err;
}
