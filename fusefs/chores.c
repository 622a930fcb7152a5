/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each round looks at what is owed and tries all of it once. A chore that fails is tried again after 0.5 s, doubling to 30 s, or as
 * soon as somebody pokes. Every chore can be repeated: an append that the relay took before a crash answers with a conflict,
 * and the fetched log then shows it done.
 */
#include "fusefs/chores.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/entry_make.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "fusefs/agent.h"
#include "fusefs/listing.h"
#include "fusefs/log_write.h"
#include "fusefs/relay.h"
#include "fusefs/space_make.h"

#define NS 1000000000LL
#define CALL_NS (20 * NS)
#define RETRY_MIN_NS (NS / 2)
#define RETRY_MAX_NS (30 * NS)

struct chores {
	struct agent *agent;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* poked, stopping, or a round ended */
	bool stop;
	uint64_t poked, done; /* a round that began at poke p and left nothing owed sets done = p */
	int last_err;
};

static int64_t now_ns(struct agent *a)
{
	return a->env->mono_ns(a->env->ctx);
}

static void unsent_key(uint32_t row, char out[32])
{
	snprintf(out, 32, "unsent/%" PRIu32, row);
}

int chores_mark_unsent(struct store_txn *t, uint32_t row)
{
	char key[32];

	unsent_key(row, key);
	return txn_meta_put(t, key, bytes_str("1"));
}

int chores_unsent(struct store *s, uint32_t row, bool *ret_unsent)
{
	CLEANUP(buf_release) struct buf flag = BUF_INIT(16);
	struct store_txn *t = NULL;
	char key[32];

	unsent_key(row, key);
	int err = store_begin(s, &t);
	if (err < 0)
		return err;
	err = txn_meta_get(t, key, &flag);
	store_abort(&t);
	*ret_unsent = err == OK;
	return err == ERR_NOT_FOUND ? OK : err;
}

/* ---- first entries of a space made here ---- */

struct blob_list {
	struct entry_list l;
	int err;
};

static int note_entry(void *ctx, uint64_t seq, struct bytes blob)
{
	struct blob_list *b = ctx;

	(void)seq;
	struct bytes *grown = reallocarray(b->l.blobs, b->l.n + 1, sizeof *grown);
	if (!grown || buf_put(&b->l.bytes, blob.p, blob.len) < 0) {
		b->err = ERR_NOMEM;
		return 0;
	}
	b->l.blobs = grown;
	b->l.blobs[b->l.n++] = bytes_of(NULL, blob.len);
	return 1;
}

/* The log entries of a space as they stand in the store, and whether the relay owes us to take them. */
static int unsent_entries(struct agent *a, uint32_t row, struct blob_list *b, bool *ret_unsent)
{
	CLEANUP(buf_release) struct buf flag = BUF_INIT(16);
	struct store_txn *t = NULL;
	char key[32];

	unsent_key(row, key);
	int err = store_begin(a->store, &t);
	if (err < 0)
		return err;
	err = txn_meta_get(t, key, &flag);
	*ret_unsent = err == OK;
	if (err == OK)
		err = txn_entry_each(t, row, 0, note_entry, b);
	store_abort(&t);
	if (err == ERR_NOT_FOUND)
		return OK;
	if (err < 0 || (err = b->err) < 0)
		return err;
	const uint8_t *p = b->l.bytes.data;
	for (size_t i = 0; i < b->l.n; p += b->l.blobs[i++].len)
		b->l.blobs[i].p = p;
	return OK;
}

static int clear_unsent(struct agent *a, uint32_t row)
{
	struct store_txn *t = NULL;
	char key[32];

	unsent_key(row, key);
	int err = store_begin(a->store, &t);
	if (err < 0)
		return err;
	if ((err = txn_meta_del(t, key)) < 0) {
		store_abort(&t);
		return err;
	}
	return store_commit(&t);
}

/* The relay has a log of this space already: fine if it starts with what we made (an earlier try got through). */
static int check_sent(struct agent *a, struct space *s, const struct entry_list *mine)
{
	CLEANUP(entry_list_release) struct entry_list theirs = ENTRY_LIST_INIT;
	int err = relay_fetch_log(a->sync, s->row.relay, &s->row.id, bytes_of(NULL, 0), now_ns(a) + CALL_NS, &theirs);

	if (err < 0)
		return err;
	for (size_t i = 0; i < mine->n; i++)
		if (i >= theirs.n || !bytes_equal(mine->blobs[i], theirs.blobs[i]))
			return ERR_CONFLICT;
	return OK;
}

static int send_space(struct agent *a, struct space *s)
{
	struct blob_list b = { .l = ENTRY_LIST_INIT };
	bool unsent = false;

	int err = unsent_entries(a, s->row.row, &b, &unsent);
	if (err >= 0 && unsent) {
		err = relay_append(a->sync, s->row.relay, &s->row.id, b.l.blobs, b.l.n, now_ns(a) + CALL_NS);
		if (err == ERR_CONFLICT)
			err = check_sent(a, s, &b.l);
		if (err >= 0)
			err = clear_unsent(a, s->row.row);
	}
	entry_list_release(&b.l);
	return err < 0 ? err : agent_sync_space(a, s);
}

/* ---- spaces that the person's list names ---- */

/* Appends this device's entry to a log that has been read, unless it stands there. The entry's bytes stand in `blob`. */
static int ensure_device(struct agent *a, const char *relay, struct log *log, const struct epoch_ring *ring,
	struct entry_list *entries, struct buf *blob)
{
	const struct log_device *d = log_find_device(log, identity_device(a->who));

	if (d)
		return d->live ? OK : ERR_FORBIDDEN;
	struct entry_maker m = { .log = log, .id = a->who, .now = (uint64_t)(a->env->wall_ns(a->env->ctx) / NS) };
	int err = entry_make_device(&m, ring, blob);
	if (err < 0)
		return err;
	struct bytes one = buf_bytes(blob);
	if ((err = relay_append(a->sync, relay, log_space(log), &one, 1, now_ns(a) + CALL_NS)) < 0)
		return err;
	if ((err = log_apply(log, one, LOG_VERIFY)) < 0)
		return err;
	struct bytes *grown = reallocarray(entries->blobs, entries->n + 1, sizeof *grown);
	if (!grown)
		return ERR_NOMEM;
	entries->blobs = grown;
	entries->blobs[entries->n++] = one;
	return OK;
}

static int adopt_listed(struct agent *a, const struct listing *l)
{
	CLEANUP(entry_list_release) struct entry_list entries = ENTRY_LIST_INIT;
	CLEANUP(buf_release) struct buf own = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(log_freep) struct log *log = NULL;
	struct space *s = NULL;
	struct id16 id;

	id16_from_hash(&l->genesis, &id);
	int err = relay_fetch_log(a->sync, l->relay, &id, identity_chain(a->who), now_ns(a) + CALL_NS, &entries);
	if (err < 0 || (err = log_new(&l->genesis, &log)) < 0)
		return err;
	for (size_t i = 0; i < entries.n; i++)
		if ((err = log_apply(log, entries.blobs[i], LOG_VERIFY)) < 0)
			return err;
	if ((err = epoch_ring_open(l->ring, log, identity_device_x(a->who), identity_x_secret(a->who))) < 0)
		return err;
	if ((err = ensure_device(a, l->relay, log, l->ring, &entries, &own)) < 0 ||
		(err = space_adopt(a, bytes_str(l->name), l->relay, log, entries.blobs, entries.n, l->ring, &s)) < 0)
		return err;
	log_info("space %s: added from the person's list", log_id16(&id).s);
	return OK;
}

struct listed {
	struct agent *agent;
	struct listing *lists; /* decoded copies, rings owned */
	uint64_t *inos;
	size_t n;
	int err;
};

static int note_listing(void *ctx, uint64_t ino, const struct listing *l)
{
	struct listed *d = ctx;
	struct listing *lists = reallocarray(d->lists, d->n + 1, sizeof *lists);
	if (lists)
		d->lists = lists;
	uint64_t *inos = reallocarray(d->inos, d->n + 1, sizeof *inos);
	if (inos)
		d->inos = inos;
	if (!lists || !inos || d->n == AGENT_MAX_SPACES) {
		d->err = ERR_NOMEM;
		return 0;
	}
	struct listing copy = *l;
	copy.ring = NULL;
	if ((d->err = epoch_ring_clone(l->ring, &copy.ring)) < 0)
		return 0;
	lists[d->n] = copy;
	inos[d->n++] = ino;
	return 1;
}

static void listed_release(struct listed *d)
{
	for (size_t i = 0; i < d->n; i++)
		listing_release(&d->lists[i]);
	free(d->lists);
	free(d->inos);
}

/* ---- the person's list itself ---- */

static int write_listing(struct agent *a, struct space *personal, struct space *s, uint64_t ino)
{
	CLEANUP(buf_release) struct buf content = BUF_INIT_SECRET(NODE_INLINE_MAX);
	struct store_txn *t = NULL;
	struct id16 fresh;

	a->env->random(a->env->ctx, fresh.b, sizeof fresh.b);
	pthread_mutex_lock(&s->lock);
	int err = listing_put(&content, &s->row.genesis, s->row.relay, s->row.name, s->ring);
	pthread_mutex_unlock(&s->lock);
	if (err < 0 || (err = store_begin(a->store, &t)) < 0)
		return err;
	err = listing_write(t, personal->row.row, ino, identity_person(a->who), &fresh, buf_bytes(&content),
		a->env->wall_ns(a->env->ctx));
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	if ((err = store_commit(&t)) >= 0)
		sync_poke(a->sync, personal->row.row);
	return err;
}

/* Writes the list's node of a space if there is none, or if it holds an older epoch's key. Takes over newer keys from it. */
static int keep_listed(struct agent *a, struct space *personal, struct space *s, const struct listed *d)
{
	uint64_t ino = 0, newest = 0;
	bool found = false;

	for (size_t i = 0; i < d->n; i++) {
		if (!id32_equal(&d->lists[i].genesis, &s->row.genesis))
			continue;
		found = true;
		if (epoch_ring_newest(d->lists[i].ring) >= newest) {
			newest = epoch_ring_newest(d->lists[i].ring);
			ino = d->inos[i];
		}
	}
	pthread_mutex_lock(&s->lock);
	uint64_t mine = epoch_ring_newest(s->ring);
	pthread_mutex_unlock(&s->lock);
	return found && newest >= mine ? OK : write_listing(a, personal, s, ino);
}

/* ---- epochs ---- */

/* Whether somebody who lost access still has the newest key: who left, or whose person took the device away without being an admin. */
static bool epoch_owed(const struct log *log)
{
	const struct log_epoch *newest = log_find_epoch(log, log_epoch_number(log));
	const struct log_device *d;

	for (size_t i = 0; newest && (d = log_device_at(log, i)); i++)
		if (!d->live && d->lost > newest->seq)
			return true;
	return false;
}

static int build_owed_epoch(const struct entry_maker *m, struct space *s, struct bytes cut, void *arg, struct buf *b)
{
	CLEANUP(secret_freep) struct secret *key = NULL;

	(void)cut;
	(void)arg;
	if (!log_is_admin(s->log, identity_device(m->id)) || !epoch_owed(s->log))
		return 1;
	return entry_make_epoch(m, s->ring, log_epoch_number(s->log) + 1, &key, b);
}

static int keep_epoch(struct agent *a, struct space *s)
{
	pthread_mutex_lock(&s->lock);
	bool owed = log_is_admin(s->log, identity_device(a->who)) && epoch_owed(s->log);
	pthread_mutex_unlock(&s->lock);
	return owed ? log_write(a, s, build_owed_epoch, NULL, LOG_WRITE_PLAIN, now_ns(a) + CALL_NS) : OK;
}

/* ---- rounds ---- */

static void note_err(int *first, int err)
{
	if (err < 0 && *first == OK)
		*first = err;
}

static int round_spaces(struct agent *a, struct space *personal, const struct listed *d)
{
	int first = OK;

	for (size_t i = 0;; i++) {
		pthread_mutex_lock(&a->lock);
		struct space *s = i < a->n_spaces ? a->spaces[i].space : NULL;
		pthread_mutex_unlock(&a->lock);
		if (!s)
			return first;
		note_err(&first, send_space(a, s));
		note_err(&first, keep_epoch(a, s));
		if (!s->personal)
			note_err(&first, keep_listed(a, personal, s, d));
	}
}

static int run_round(struct agent *a)
{
	struct space *personal = agent_personal(a);
	struct listed d = { .agent = a };
	int first = OK;

	if (store_is_frozen(a->store))
		return ERR_READ_ONLY;
	if (!personal)
		return OK;
	int err = listing_each(a->store, personal->row.row, note_listing, &d);
	note_err(&first, err < 0 ? err : d.err);
	for (size_t i = 0; i < d.n; i++)
		if (!agent_find_genesis(a, &d.lists[i].genesis))
			note_err(&first, adopt_listed(a, &d.lists[i]));
	note_err(&first, round_spaces(a, personal, &d));
	listed_release(&d);
	return first;
}

/* Waits for a poke, for the end, or for `ns` (0: no limit). Called with the lock held. */
static void wait_locked(struct chores *c, int64_t ns)
{
	struct timespec at;

	if (ns == 0) {
		pthread_cond_wait(&c->changed, &c->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &at);
	int64_t end = at.tv_sec * NS + at.tv_nsec + ns;
	at = (struct timespec){ .tv_sec = end / NS, .tv_nsec = end % NS };
	pthread_cond_timedwait(&c->changed, &c->lock, &at);
}

static void *chores_main(void *arg)
{
	struct chores *c = arg;
	int64_t retry = RETRY_MIN_NS;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		if (c->done == c->poked) {
			wait_locked(c, 0);
			continue;
		}
		uint64_t at = c->poked;
		pthread_mutex_unlock(&c->lock);
		int err = run_round(c->agent);
		pthread_mutex_lock(&c->lock);
		if (err < 0 && err != c->last_err)
			log_info("something is owed to the relay and will be tried again: %s", err_str(err));
		c->last_err = err;
		if (err >= 0) {
			c->done = at;
			retry = RETRY_MIN_NS;
		} else if (!c->stop && c->poked == at) {
			wait_locked(c, retry);
			retry = retry * 2 < RETRY_MAX_NS ? retry * 2 : RETRY_MAX_NS;
		}
		pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int chores_start(struct agent *a, struct chores **ret_c)
{
	struct chores *c = calloc(1, sizeof *c);
	pthread_condattr_t attr;

	if (!c)
		return ERR_NOMEM;
	c->agent = a;
	c->poked = 1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&c->thread, NULL, chores_main, c) != 0) {
		pthread_cond_destroy(&c->changed);
		pthread_mutex_destroy(&c->lock);
		free(c);
		return ERR_NOMEM;
	}
	*ret_c = c;
	return OK;
}

void chores_quit(struct chores *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void chores_join(struct chores *c)
{
	if (!c)
		return;
	chores_quit(c);
	pthread_join(c->thread, NULL);
}

void chores_free(struct chores *c)
{
	if (!c)
		return;
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void chores_poke(struct chores *c)
{
	pthread_mutex_lock(&c->lock);
	c->poked++;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

int chores_wait(struct chores *c, int64_t deadline_mono_ns, struct buf *what)
{
	int err = OK;

	pthread_mutex_lock(&c->lock);
	uint64_t want = c->poked;
	while (c->done < want && !c->stop && err == OK) {
		int64_t left = deadline_mono_ns - now_ns(c->agent);
		if (left <= 0)
			err = ERR_TIMEOUT;
		else
			wait_locked(c, left);
	}
	if (c->stop)
		err = ERR_CANCELLED;
	int last = c->last_err;
	pthread_mutex_unlock(&c->lock);
	if (err == ERR_TIMEOUT && buf_printf(what, "the list of spaces is not settled yet (%s)", err_str(last)) < 0)
		return ERR_NOMEM;
	return err;
}
