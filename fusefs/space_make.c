/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/space_make.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "crypto/entry_make.h"
#include "fusefs/chores.h"
#include "wire/cbor.h"

#define NS 1000000000LL

static void name_row(struct space_row *row, struct bytes name)
{
	memcpy(row->name, name.p, name.len);
	row->name[name.len] = 0;
}

static int check_name(struct agent *a, struct bytes name)
{
	if (!node_name_valid(name))
		return ERR_INVALID;
	if (!cbor_is_text(name))
		return ERR_NOT_TEXT;
	return agent_find_space(a, name) ? ERR_EXISTS : OK;
}

static void free_name(struct agent *a, const char *wanted, char ret_name[NODE_MAX_NAME + 1])
{
	size_t keep = strnlen(wanted, 240);

	while (keep > 0 && ((uint8_t)wanted[keep] & 0xc0) == 0x80) /* no half of a character */
		keep--;
	snprintf(ret_name, NODE_MAX_NAME + 1, "%s", wanted);
	for (unsigned i = 2; i < 1000 && agent_find_space(a, bytes_str(ret_name)); i++)
		snprintf(ret_name, NODE_MAX_NAME + 1, "%.*s (%u)", (int)keep, wanted, i);
}

int space_store(struct agent *a, struct space_row *row, const struct bytes *blobs, size_t n,
	const struct epoch_ring *ring, bool unsent, struct space **ret_s)
{
	struct store_txn *t = NULL;
	struct space *s = NULL;

	int err = store_begin(a->store, &t);
	if (err < 0)
		return err;
	err = txn_space_add(t, row);
	for (size_t i = 0; err >= 0 && i < n; i++)
		err = txn_entry_put(t, row->row, i, blobs[i]);
	row->log_seq = n;
	if (err >= 0)
		err = txn_space_put(t, row);
	if (err >= 0 && unsent)
		err = chores_mark_unsent(t, row->row);
	if (err >= 0)
		err = space_load(t, row, a->who, ring, &s);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	if ((err = store_commit(&t)) < 0) {
		space_free(s);
		return err;
	}
	*ret_s = s;
	return OK;
}

static int announce(struct agent *a, struct space *s, bool sync)
{
	struct invalidation inv = { .ino = STORE_ROOT_INO, .name_len = (uint8_t)strlen(s->row.name) };

	memcpy(inv.name, s->row.name, inv.name_len);
	int err = agent_add_space(a, s, sync);
	if (err < 0)
		return err;
	agent_invalidate(a, &inv, 1);
	chores_poke(a->chores);
	return OK;
}

int space_make(struct agent *a, struct bytes name, struct space **ret_s)
{
	CLEANUP(new_space_release) struct new_space made = { 0 };
	struct space *personal = agent_personal(a);
	struct space_row row = { .owner = *identity_person(a->who) };
	struct bytes blobs[3];
	int err;

	if ((err = check_name(a, name)) < 0)
		return err;
	if (!personal)
		return ERR_INTERNAL;
	if ((err = space_make_shared(a->who, (uint64_t)(a->env->wall_ns(a->env->ctx) / NS), &made)) < 0)
		return err;
	row.id = *log_space(made.log);
	row.genesis = *log_genesis(made.log);
	name_row(&row, name);
	snprintf(row.relay, sizeof row.relay, "%s", personal->row.relay);
	for (int i = 0; i < 3; i++)
		blobs[i] = buf_bytes(&made.blobs[i]);
	if ((err = space_store(a, &row, blobs, 3, made.ring, true, ret_s)) < 0)
		return err;
	return announce(a, *ret_s, false);
}

int space_adopt(struct agent *a, struct bytes name, const char *relay, const struct log *log, const struct bytes *blobs,
	size_t n, const struct epoch_ring *ring, struct space **ret_s)
{
	struct space_row row = {
		.id = *log_space(log), .genesis = *log_genesis(log), .owner = *identity_person(a->who)
	};
	char wanted[NODE_MAX_NAME + 1];

	int err = check_name(a, name);
	if (err < 0 && err != ERR_EXISTS)
		return err;
	snprintf(wanted, sizeof wanted, "%.*s", (int)name.len, (const char *)name.p);
	free_name(a, wanted, row.name);
	snprintf(row.relay, sizeof row.relay, "%s", relay);
	err = space_store(a, &row, blobs, n, ring, false, ret_s);
	return err < 0 ? err : announce(a, *ret_s, true);
}

int space_rename(struct agent *a, struct bytes from, struct bytes to)
{
	struct space *s = agent_find_space(a, from);
	struct store_txn *t = NULL;
	int err;

	if (!s)
		return ERR_NOT_FOUND;
	if ((err = check_name(a, to)) < 0)
		return err;
	if ((err = store_begin(a->store, &t)) < 0)
		return err;
	pthread_mutex_lock(&s->lock);
	struct space_row row = s->row;
	name_row(&row, to);
	err = txn_space_put(t, &row);
	if (err >= 0)
		err = store_commit(&t);
	else
		store_abort(&t);
	if (err >= 0)
		name_row(&s->row, to);
	pthread_mutex_unlock(&s->lock);
	return err;
}
