/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens epoch keys: wraps and the back chain. A key is kept only if it matches the commitment that the signed entry carries,
 * so that neither a relay nor a member can hand two readers different keys under one number.
 */
#include "base/cleanup.h"
#include "crypto/epoch.h"
#include "crypto/hpke.h"
#include "crypto/open_small.h"
#include "crypto/secret.h"

int epoch_unwrap(const char *label, const struct id16 *space, uint64_t number, const struct id32 *head,
	const struct wrap *w, const struct secret *x_secret, struct secret **ret_key)
{
	CLEANUP(buf_release) struct buf info = BUF_INIT(256);
	CLEANUP(secret_freep) struct secret *key = NULL;
	int err;

	if ((err = epoch_put_info(&info, label, space, number, &w->recipient, head)) < 0 ||
		(err = hpke_open(x_secret, w->enc.b, buf_bytes(&info), bytes_of(NULL, 0), bytes_of(w->ct, sizeof w->ct),
			 &key)) < 0)
		return err;
	if (secret_len(key) != KEY_SIZE)
		return ERR_INVALID;
	*ret_key = STEAL(&key);
	return 0;
}

static int check_commitment(const struct log *log, uint64_t number, const struct secret *key)
{
	const struct log_epoch *epoch = log_find_epoch(log, number);
	struct id32 c;
	int err;

	if (!epoch)
		return ERR_NOT_FOUND;
	if ((err = epoch_commitment(key, log_space(log), number, &c)) < 0)
		return err;
	return id32_equal(&c, &epoch->commitment) ? 0 : ERR_COMMITMENT;
}

static int open_back(const struct log *log, uint64_t number, const struct secret *key, struct secret **ret_prev)
{
	CLEANUP(buf_release) struct buf context = BUF_INIT(64);
	CLEANUP(secret_freep) struct secret *prev = NULL;
	int err;

	if ((err = epoch_put_context(&context, log_space(log), number)) < 0 ||
		(err = open_small(EPOCH_BACK_LABEL, secret_key(key), buf_bytes(&context),
			 log_find_epoch(log, number)->back, &prev)) < 0)
		return err;
	if (secret_len(prev) != KEY_SIZE)
		return ERR_INVALID;
	*ret_prev = STEAL(&prev);
	return 0;
}

/* Keys that were stored or handed over count only if the log commits to them. One newer than the log waits for it. */
static int check_held(const struct epoch_ring *ring, const struct log *log, uint64_t newest)
{
	int err;

	for (uint64_t n = 1; n <= newest; n++) {
		const struct secret *key = epoch_ring_get(ring, n);

		if (key && (err = check_commitment(log, n, key)) < 0)
			return err;
	}
	return 0;
}

/* Holes below a key that the ring holds: a stored ring has the first and the newest alone. */
static int fill_below(struct epoch_ring *ring, const struct log *log, uint64_t newest)
{
	int err;

	for (uint64_t n = newest; n > 1; n--) {
		CLEANUP(secret_freep) struct secret *prev = NULL;
		const struct secret *key = epoch_ring_get(ring, n);

		if (!key || epoch_ring_get(ring, n - 1))
			continue;
		if ((err = open_back(log, n, key, &prev)) < 0 || (err = check_commitment(log, n - 1, prev)) < 0 ||
			(err = epoch_ring_add(ring, n - 1, prev)) < 0)
			return err;
	}
	return 0;
}

int epoch_ring_accept(struct epoch_ring *ring, const struct log *log, uint64_t number, const struct secret *key)
{
	int err;

	if ((err = check_commitment(log, number, key)) < 0 || (err = epoch_ring_add(ring, number, key)) < 0)
		return err;
	return fill_below(ring, log, number);
}

int epoch_ring_open(
	struct epoch_ring *ring, const struct log *log, const struct id32 *x_public, const struct secret *x_secret)
{
	CLEANUP(secret_freep) struct secret *key = NULL;
	uint64_t newest = log_epoch_number(log);
	const struct log_epoch *epoch = log_find_epoch(log, newest);
	struct wrap w;
	int err;

	if (!epoch)
		return ERR_NOT_FOUND;
	if ((err = check_held(ring, log, newest)) < 0)
		return err;
	if (!epoch_ring_get(ring, newest)) {
		if (wraps_find(epoch->wraps, x_public, &w) < 0)
			return ERR_WRONG_KEY;
		if ((err = epoch_unwrap(EPOCH_LABEL, log_space(log), newest, &epoch->prev, &w, x_secret, &key)) < 0 ||
			(err = epoch_ring_accept(ring, log, newest, key)) < 0)
			return err;
	}
	return fill_below(ring, log, newest);
}

int epoch_open_label(
	const struct epoch_ring *ring, const struct log *log, const struct log_device *device, struct buf *ret_label)
{
	CLEANUP(buf_release) struct buf context = BUF_INIT(128);
	CLEANUP(secret_freep) struct secret *label = NULL;
	const struct secret *key = epoch_ring_get(ring, device->label_epoch);
	int err;

	if (!key || device->label.len == 0)
		return ERR_NOT_FOUND;
	if ((err = epoch_put_label_context(&context, log_space(log), &device->ed)) < 0 ||
		(err = open_small(EPOCH_DEVICE_LABEL, secret_key(key), buf_bytes(&context), device->label, &label)) < 0)
		return err;
	return buf_put(ret_label, secret_bytes(label).p, secret_len(label));
}
