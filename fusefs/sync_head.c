/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freshness. The chain value of each of the last SYNC_HEAD_KEEP cursors is kept; heads of other devices are compared with it. Another value at one
 * cursor means that the relay told two histories: FORK. That is kept in the store, and from then on nothing of the space is pushed or
 * pulled any more, also after a restart.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "crypto/chain.h"
#include "crypto/sign.h"
#include "crypto/verify.h"
#include "fusefs/sync_inner.h"
#include "fusefs/sync_head.h"
#include "wire/map.h"

#define SECOND 1000000000ll
#define SEEN_STEP 60 /* seconds: a device's time is not written again for less */

static void chain_key(uint32_t row, uint64_t cursor, char key[64])
{
	snprintf(key, 64, "chain/%" PRIu32 "/%04" PRIu64, row, cursor % SYNC_HEAD_KEEP);
}

int sync_head_keep(struct store_txn *t, uint32_t row, uint64_t cursor, const struct id32 *chain)
{
	uint8_t value[8 + 32];
	char key[64];

	bytes_put_be(value, cursor, 8);
	memcpy(value + 8, chain->b, 32);
	chain_key(row, cursor, key);
	return txn_meta_put(t, key, bytes_of(value, sizeof value));
}

int sync_head_kept(struct store_txn *t, uint32_t row, uint64_t cursor, struct id32 *ret_chain)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	char key[64];

	if (cursor == 0) {
		*ret_chain = (struct id32){ { 0 } };
		return OK;
	}
	chain_key(row, cursor, key);
	int err = txn_meta_get(t, key, &b);
	if (err < 0)
		return err;
	if (b.len != 40)
		return ERR_CORRUPT;
	if (bytes_get_be(b.data, 8) != cursor)
		return ERR_NOT_FOUND;
	memcpy(ret_chain->b, b.data + 8, 32);
	return OK;
}

int sync_head_drop(struct store_txn *t, uint32_t row, uint64_t cursor)
{
	struct id32 chain;
	char key[64];
	int err = sync_head_kept(t, row, cursor, &chain);

	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	chain_key(row, cursor, key);
	return txn_meta_del(t, key);
}

static void fork_key(uint32_t row, char key[64])
{
	snprintf(key, 64, "forked/%" PRIu32, row);
}

int sync_head_forked(struct store_txn *t, uint32_t row)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	char key[64];

	fork_key(row, key);
	int err = txn_meta_get(t, key, &b);
	return err == ERR_NOT_FOUND ? 0 : err < 0 ? err : 1;
}

static void seen_key(uint32_t row, const struct id32 *device, char key[96])
{
	char text[ID32_TEXT_SIZE];

	id32_format(device, text);
	snprintf(key, 96, "seen/%" PRIu32 "/%s", row, text);
}

int sync_head_seen(struct store_txn *t, uint32_t row, const struct id32 *device, uint64_t *ret_time)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64);
	char key[96];

	seen_key(row, device, key);
	int err = txn_meta_get(t, key, &b);
	if (err < 0)
		return err;
	if (b.len != 8)
		return ERR_CORRUPT;
	*ret_time = bytes_get_be(b.data, 8);
	return OK;
}

/* An error is the commit's too. */
static void note_seen(struct store_txn *t, uint32_t row, const struct head *h)
{
	uint8_t value[8];
	uint64_t known;
	char key[96];

	if (sync_head_seen(t, row, &h->device, &known) == OK && (h->time < known || h->time - known < SEEN_STEP))
		return;
	seen_key(row, &h->device, key);
	bytes_put_be(value, h->time, 8);
	(void)!txn_meta_put(t, key, bytes_of(value, sizeof value));
}

int sync_head_make(struct sync_space *ss, struct buf *blob)
{
	const struct sync_config *config = &ss->sync->config;
	struct head h = { .space = ss->space->row.id, .device = *identity_device(config->who) };
	uint64_t epoch;

	pthread_mutex_lock(&ss->space->lock);
	h.cursor = ss->space->row.cursor;
	h.chain = ss->space->row.chain;
	pthread_mutex_unlock(&ss->space->lock);
	space_log_head(ss->space, &h.log_head, &epoch);
	h.time = (uint64_t)(config->env->wall_ns(config->env->ctx) / SECOND);
	return sign_head(&h, identity_sign_secret(config->who), blob);
}

void sync_head_check(struct sync_space *ss, struct store_txn *t, struct bytes blob)
{
	struct id32 chain;
	struct head h;

	if (blob.len == 0 || verify_head(blob, &ss->space->row.id, &h) < 0)
		return;
	pthread_mutex_lock(&ss->space->lock);
	bool member = log_may_read(ss->space->log, &h.device);
	pthread_mutex_unlock(&ss->space->lock);
	if (!member)
		return;
	note_seen(t, ss->row, &h);
	if (h.cursor == 0 || sync_head_kept(t, ss->row, h.cursor, &chain) < 0)
		return;
	if (id32_equal(&chain, &h.chain))
		return;
	char key[64];
	fork_key(ss->row, key);
	(void)!txn_meta_put(t, key, bytes_str("1"));
	ss->forked = true;
}

/* ---- what the relay says of a step ---- */

bool sync_head_follows(const struct record *r, const struct id32 *hash)
{
	for (size_t i = 0; i < r->h.prev.len / 32; i++)
		if (memcmp(r->h.prev.p + i * 32, hash->b, 32) == 0)
			return true;
	return false;
}

int step_lines_ask(struct step_lines *s, const struct id16 *space, uint64_t cursor, struct buf *params)
{
	CLEANUP(map_release) struct map m = MAP_INIT;

	step_lines_release(s);
	s->cursor = cursor;
	map_uuid(&m, "space", space);
	map_uint(&m, "since", cursor - 1);
	map_text(&m, "with", "lines");
	map_uint(&m, "limit", 1);
	return map_put(&m, params);
}

void step_lines_take(struct step_lines *s, struct bytes name, struct bytes data)
{
	struct bytes lines = map_get_bytes(data, "lines");

	if (s->here || !cbor_text_is(name, "coffer.step") || map_get_uint(data, "cursor", 0) != s->cursor)
		return;
	s->lines.cap = STEP_LINES_MAX;
	s->here = buf_put(&s->lines, lines.p, lines.len) == OK;
}

int step_lines_check(const struct step_lines *s, struct store_txn *t, uint32_t row)
{
	struct id32 before, after;
	int err = sync_head_kept(t, row, s->cursor - 1, &before);

	if (err == OK)
		err = sync_head_kept(t, row, s->cursor, &after);
	if (err < 0)
		return err;
	chain_next(&before, s->cursor, buf_bytes(&s->lines));
	return id32_equal(&before, &after) ? OK : ERR_FORK;
}

void step_lines_release(struct step_lines *s)
{
	buf_release(&s->lines);
	s->here = false;
}
