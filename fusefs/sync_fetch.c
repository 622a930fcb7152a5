/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content on demand: a chunk that somebody reads is asked of the relay, opened against its row (key, length, keyed hash), and filled
 * in, both by the workers. Rows of one file's chunks were made in the order of the file, so a reader that goes on gets the next ones
 * ahead: each time that it has to wait again, twice as many.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/open_chunk.h"
#include "crypto/secret.h"
#include "fusefs/sync_inner.h"
#include "wire/map.h"

#define AHEAD_FIRST 4
#define AHEAD_MAX 32
#define FETCHES_MAX 16 /* asked of the relay or being opened: as many blobs in memory */
#define KEEPS_MAX 4    /* of pinned content at a time, and none while somebody waits for a chunk */

struct fetch {
	struct work work; /* opening; first */
	struct sync *s;
	struct sync_peer *peer;
	struct chunk_row row;
	struct id16 space;
	uint8_t hash_key[32]; /* of the space, which may go before the workers are through */
	struct buf blob;
	uint64_t num;
	bool sent, opening, done;
	bool kept; /* it is pinned: sync_keep.c is told how it ended */
	int err;
	size_t users; /* jobs that wait; it goes when they have gone */
	struct fetch *next;
};

struct fetch_job {
	struct sync *s;
	uint64_t row;
	struct fetch *f;
	struct sync_job *job;
};

static struct fetch *find(struct sync *s, uint64_t row)
{
	struct fetch *f = s->fetches;

	while (f && f->row.row != row)
		f = f->next;
	return f;
}

static void drop_fetch(struct fetch *f)
{
	for (struct fetch **at = &f->s->fetches; *at; at = &(*at)->next) {
		if (*at == f) {
			*at = f->next;
			break;
		}
	}
	if (f->kept)
		sync_keep_result(f->s, f->row.space, f->row.row, f->row.len, f->done ? f->err : ERR_OFFLINE);
	secret_wipe(f->row.key, sizeof f->row.key);
	secret_wipe(f->hash_key, sizeof f->hash_key);
	buf_release(&f->blob);
	free(f);
}

static int load_row(struct sync *s, uint64_t row, struct chunk_row *ret_c)
{
	struct store_txn *t = NULL;
	int err = store_begin(s->config.store, &t);

	if (err == OK)
		err = txn_chunk_get(t, row, ret_c);
	store_abort(&t);
	return err;
}

/* An index chunk's plaintext is that of its slices, as they are kept. */
static int open_index_of(const struct fetch *f, const struct slice *s, struct buf *plain)
{
	struct slice *slices = NULL;
	size_t n = 0;
	int err = open_index(&f->space, s, f->hash_key, buf_bytes(&f->blob), &slices, &n);

	if (err < 0)
		return err;
	err = index_put(plain, slices, n);
	secret_wipe(slices, n * sizeof *slices);
	free(slices);
	return err;
}

static int open_and_fill(struct fetch *f)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	struct slice s = { .len = f->row.len, .chunk_len = f->row.len, .chunk = f->row.id, .hash = f->row.hash };
	struct store_txn *t = NULL;

	memcpy(s.key, f->row.key, sizeof s.key);
	int err = f->row.index ? open_index_of(f, &s, &plain)
			       : open_chunk(&f->space, &s, f->hash_key, buf_bytes(&f->blob), &plain);
	secret_wipe(s.key, sizeof s.key);
	if (err == OK)
		err = store_begin(f->s->config.store, &t);
	if (err < 0)
		return err;
	err = txn_chunk_fill(t, f->row.row, buf_bytes(&plain));
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

/* On a worker: touches nothing that the sync thread may change meanwhile. */
static void run_open(struct work *w)
{
	struct fetch *f = (struct fetch *)w;

	f->err = open_and_fill(f);
}

static void over(struct fetch *f)
{
	if (f->err < 0 && f->err != ERR_OFFLINE && f->err != ERR_CANCELLED)
		log_warn("sync: chunk %s not brought here: %s", log_id16(&f->row.id).s, err_str(f->err));
	if (f->done && f->users == 0)
		drop_fetch(f);
}

static void opened(struct work *w)
{
	struct fetch *f = (struct fetch *)w;

	f->opening = false;
	f->done = true;
	buf_release(&f->blob);
	over(f);
}

static void on_data(void *ctx, struct bytes data)
{
	struct fetch *f = ctx;

	buf_clear(&f->blob);
	f->err = buf_put(&f->blob, data.p, data.len);
	f->done = f->err < 0;
}

static void on_result(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct fetch *f = ctx;

	(void)code;
	(void)item;
	f->sent = false;
	if (!f->done && f->blob.len > 0) {
		f->opening = true;
		f->work = (struct work){ .run = run_open, .done = opened };
		workers_add(f->s->workers, &f->work);
		return;
	}
	if (!f->done) {
		f->done = err != ERR_OFFLINE;
		f->err = err == OK || err == ERR_NOT_FOUND ? ERR_GAP : err;
	}
	over(f);
}

static int start(struct sync *s, uint64_t row, struct fetch **ret_f)
{
	struct fetch *f = find(s, row);
	struct chunk_row c;
	int err;

	if (f) {
		*ret_f = f;
		return OK;
	}
	if ((err = load_row(s, row, &c)) < 0)
		return err;
	struct sync_space *ss = sync_space_of(s, c.space);
	if (c.here || !ss || !ss->peer || !(f = calloc(1, sizeof *f))) {
		secret_wipe(c.key, sizeof c.key);
		return c.here ? ERR_EXISTS : ERR_OFFLINE;
	}
	*f = (struct fetch){
		.s = s, .peer = ss->peer, .row = c, .space = ss->space->row.id, .blob = BUF_INIT(CHUNK_MAX_BLOB)
	};
	memcpy(f->hash_key, secret_key(ss->space->hash_key), sizeof f->hash_key);
	secret_wipe(c.key, sizeof c.key);
	struct fetch **at = &s->fetches;
	while (*at)
		at = &(*at)->next;
	*at = f;
	*ret_f = f;
	return OK;
}

/* The chunks that follow, if the reader came from those before. */
static void read_ahead(struct sync *s, uint64_t row)
{
	bool goes_on = row > s->last_fetch_row && row <= s->last_fetch_row + s->fetch_ahead + 1;

	s->last_fetch_row = row;
	s->fetch_ahead = !goes_on ? 0 : s->fetch_ahead == 0 ? AHEAD_FIRST : 2 * s->fetch_ahead;
	if (s->fetch_ahead > AHEAD_MAX)
		s->fetch_ahead = AHEAD_MAX;
	for (uint64_t i = 1; i <= s->fetch_ahead; i++) {
		struct fetch *f;

		if (start(s, row + i, &f) < 0)
			continue;
	}
}

int sync_fetch_keep(struct sync *s, uint64_t chunk_row)
{
	struct fetch *f;
	size_t kept = 0;

	for (f = s->fetches; f; f = f->next) {
		if (f->users > 0 && !f->done)
			return ERR_AGAIN;
		kept += f->kept;
	}
	if (kept >= KEEPS_MAX)
		return ERR_AGAIN;
	int err = start(s, chunk_row, &f);
	if (err == OK)
		f->kept = true;
	return err;
}

uint64_t sync_fetch_kept(const struct sync *s, uint32_t space)
{
	uint64_t bytes = 0;

	for (const struct fetch *f = s->fetches; f; f = f->next)
		bytes += f->kept && f->row.space == space ? f->row.len : 0;
	return bytes;
}

void sync_fetch_pump(struct sync *s, int64_t now)
{
	struct fetch *next;
	size_t n = 0;

	(void)now;
	for (struct fetch *f = s->fetches; f && n < FETCHES_MAX; f = next) {
		struct peer_answer a = { .ctx = f, .data = on_data, .result = on_result };

		next = f->next;
		n += f->sent || f->opening;
		if (f->sent || f->opening || f->done || !peer_online(f->peer->peer))
			continue;
		int err = peer_get(f->peer->peer, &f->space, &f->row.id, &a, &f->num);
		if (err == ERR_AGAIN)
			return;
		f->sent = err == OK;
		f->done = err < 0;
		f->err = err;
		n += f->sent;
		if (f->done)
			over(f);
	}
}

void sync_fetch_offline(struct sync *s, struct sync_peer *p)
{
	struct fetch *next;

	/* Read-ahead is not worth keeping. */
	for (struct fetch *f = s->fetches; f; f = next) {
		next = f->next;
		if (f->peer == p && f->users == 0 && !f->sent && !f->opening)
			drop_fetch(f);
	}
}

void sync_fetch_gone(struct sync *s, struct sync_space *ss)
{
	struct fetch *next;

	for (struct fetch *f = s->fetches; f; f = next) {
		next = f->next;
		if (f->row.space != ss->row || f->opening)
			continue;
		if (f->sent)
			peer_cancel(f->peer->peer, f->num);
		f->sent = false;
		f->done = true;
		f->err = ERR_OFFLINE;
		if (f->users == 0)
			drop_fetch(f);
	}
}

void sync_fetch_free(struct sync *s)
{
	while (s->fetches)
		drop_fetch(s->fetches);
}

static int leave(struct fetch_job *j, int err)
{
	struct fetch *f = j->f;

	j->f = NULL;
	if (f && --f->users == 0 && f->done && !f->sent && !f->opening)
		drop_fetch(f);
	return err;
}

static int run_fetch(struct sync *s, struct sync_job *job)
{
	struct fetch_job *j = job->ctx;

	if (sync_job_dead(s, job))
		return leave(j, ERR_CANCELLED);
	if (!j->f) {
		int err = start(s, j->row, &j->f);

		if (err < 0)
			return err == ERR_EXISTS ? OK : err;
		j->f->users++;
		read_ahead(s, j->row);
		return ERR_AGAIN;
	}
	if (j->f->done)
		return leave(j, j->f->err);
	if (j->f->sent || j->f->opening)
		return ERR_AGAIN;
	int ready = sync_peer_ready(j->f->peer, job);
	return ready == OK || ready == ERR_AGAIN ? ERR_AGAIN : leave(j, ready);
}

int sync_fetch(struct sync *s, uint64_t chunk_row, int64_t deadline_mono_ns, bool (*interrupted)(void *arg), void *arg)
{
	struct fetch_job *j = calloc(1, sizeof *j);
	struct sync_job *job = j ? sync_job_new(run_fetch, j) : NULL;

	if (!job) {
		free(j);
		return ERR_NOMEM;
	}
	j->row = chunk_row;
	job->release = free;
	int err = sync_job_post(s, job, deadline_mono_ns, interrupted, arg);
	sync_job_let_go(s, job);
	return err;
}
