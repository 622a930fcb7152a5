/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps become rows. First, without a transaction: decode, check against the lines, verify and open every record and small chunk. Then
 * one transaction for the batch, or for as many of its steps as fit: records merged and applied, names settled, cursor and chain moved. A step with log entries is a batch
 * of its own up to them, because what follows may need the keys in them. A record that fails verification is passed over with an
 * alarm; its line counts.
 */
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "crypto/open_chunk.h"
#include "crypto/secret.h"
#include "fusefs/step.h"
#include "fusefs/sync_heal.h"
#include "fusefs/sync_inner.h"

#define OPEN_AT_ONCE 64 /* records; what lies behind one whose index chunk must be fetched is opened again */
#define TRIES_MAX 1000  /* of a transaction, while people go on editing what it conflicts with */

static const char went_back[] =
	"the relay showed an older version of something than it had shown before: it was refused, "
	"and what is here stays";
static const char contradicts[] = "a record of another device was refused";

struct batch {
	struct sync_space *ss;
	struct history_step *steps;
	size_t n;
	size_t take;             /* how many of them the transaction holds */
	size_t from, end;        /* and which records of each; less than all only if take is 1 */
	struct remote **remotes; /* one array per step */
	struct dropped {
		uint64_t ino;
		bool confirmed; /* else merged away */
	} * dropped;            /* whose items leave the outbox with this transaction */
	size_t n_dropped, alloc_dropped;
	bool entries;
};

static void release_step(struct batch *b, size_t i)
{
	for (size_t k = 0; b->remotes[i] && k < b->steps[i].n_records; k++)
		remote_release(&b->remotes[i][k]);
	free(b->remotes[i]);
	b->remotes[i] = NULL;
	step_release(&b->steps[i]);
}

/* Whether the transaction ends its last step: if not, the cursor stays, and records are applied that a crash makes us see again. */
static bool batch_ends(const struct batch *b)
{
	return b->take > 1 || b->end >= b->steps[0].n_records;
}

static void batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		release_step(b, i);
	free(b->steps);
	free(b->remotes);
	free(b->dropped);
}

/* ---- index chunks that must be fetched first ---- */

static int keep_index(struct sync_space *ss, struct bytes blob)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT_SECRET(CHUNK_MAX_PLAIN);
	const struct slice *want = &ss->index_wanted;
	struct slice *slices = NULL;
	struct store_txn *t = NULL;
	struct chunk_row row;
	size_t n = 0;
	int err = open_index(&ss->space->row.id, want, secret_key(ss->space->hash_key), blob, &slices, &n);

	if (err < 0)
		return err;
	err = index_put(&plain, slices, n);
	secret_wipe(slices, n * sizeof *slices);
	free(slices);
	if (err == OK)
		err = store_begin(ss->sync->config.store, &t);
	if (err < 0)
		return err;
	err = txn_chunk_find(t, ss->row, &want->chunk, &row);
	if (err == ERR_NOT_FOUND) {
		row = (struct chunk_row){ .space = ss->row,
			.id = want->chunk,
			.len = want->chunk_len,
			.hash = want->hash,
			.confirmed = true,
			.index = true };
		memcpy(row.key, want->key, sizeof row.key);
		err = txn_chunk_add(t, &row);
	}
	if (err == OK)
		err = txn_chunk_fill(t, row.row, buf_bytes(&plain));
	secret_wipe(row.key, sizeof row.key);
	if (err == OK)
		return store_commit(&t);
	store_abort(&t);
	return err;
}

static void on_index_data(void *ctx, struct bytes data)
{
	struct sync_space *ss = ctx;
	int err = keep_index(ss, data);

	if (err < 0) {
		log_warn("sync: index chunk refused: %s", err_str(err));
		ss->index_failed = true;
	}
}

static void on_index(void *ctx, int err, struct bytes code, struct bytes item)
{
	struct sync_space *ss = ctx;

	(void)code;
	(void)item;
	ss->index_call = 0;
	if (err < 0 && err != ERR_OFFLINE && err != ERR_CANCELLED)
		ss->index_failed = true;
}

static int fetch_index(struct sync_space *ss, const struct slice *want)
{
	struct peer_answer a = { .ctx = ss, .data = on_index_data, .result = on_index };

	ss->index_wanted = *want;
	int err = peer_get(ss->peer->peer, &ss->space->row.id, &want->chunk, &a, &ss->index_call);
	return err < 0 ? err : ERR_AGAIN;
}

/* ---- opening ---- */

/* One record; by the workers, several at a time: half of what it costs to receive one is its signature. */
struct opening {
	struct work work; /* first */
	const struct batch *b;
	size_t step, record;
	struct slice missing;
	int err;
};

static void open_one(struct work *w)
{
	struct opening *o = (struct opening *)w;
	const struct sync_space *ss = o->b->ss;
	const struct history_step *st = &o->b->steps[o->step];
	const struct content_maker m = { .env = ss->sync->config.env,
		.store = ss->sync->config.store,
		.hash_key = secret_key(ss->space->hash_key) };

	o->err = remote_prepare(&m, ss->space, st->records[o->record], st->cursor, st->chunks, st->n_chunks,
		&o->b->remotes[o->step][o->record], &o->missing);
}

/* What came of one. ERR_AGAIN: it waits for an index chunk, which is fetched for the first step; 1: it would, behind that. */
static int judge(struct batch *b, const struct opening *o)
{
	struct remote *r = &b->remotes[o->step][o->record];

	if (o->err == ERR_ABSENT && !b->ss->index_failed)
		return o->step > 0 ? 1 : fetch_index(b->ss, &o->missing);
	b->ss->index_failed = false;
	if (o->err == ERR_NOMEM)
		return o->err;
	if (o->err < 0) {
		r->refused = o->err == ERR_ABSENT ? ERR_GAP : o->err;
		sync_space_alarm(b->ss, r->refused, contradicts);
	}
	return OK;
}

/* Opens the records of the steps from `first` on. 1: a step that must wait, and what follows it, was left for the next batch. */
static int open_steps(struct batch *b, size_t first, size_t n_records)
{
	FREE_AFTER struct opening *o = calloc(n_records + 1, sizeof *o);
	FREE_AFTER struct work **works = calloc(n_records + 1, sizeof *works);
	size_t n = 0;
	int err = OK;

	if (!o || !works)
		return ERR_NOMEM;
	for (size_t i = first; i < b->n; i++) {
		for (size_t k = 0; k < b->steps[i].n_records; k++, n++) {
			o[n] = (struct opening){ .work = { .run = open_one }, .b = b, .step = i, .record = k };
			works[n] = &o[n].work;
		}
	}
	workers_run_all(b->ss->sync->workers, works, n);
	for (size_t i = 0; i < n && err == OK; i++) {
		err = judge(b, &o[i]);
		while (err > 0 && b->n > o[i].step)
			release_step(b, --b->n);
	}
	secret_wipe(o, n * sizeof *o); /* `missing` holds a key */
	return err;
}

static int decode_step(struct batch *b, const struct step *st)
{
	struct history_step *to = &b->steps[b->n];
	int err = step_decode(bytes_of(st->data, st->len), to);

	if (err < 0) {
		if (err != ERR_NOMEM)
			sync_space_alarm(b->ss, err, "the relay sent a step that contradicts itself");
		return err;
	}
	if (to->n_records > 0 && !(b->remotes[b->n] = calloc(to->n_records, sizeof **b->remotes))) {
		step_release(to);
		return ERR_NOMEM;
	}
	return OK;
}

/* The next steps, up to n, as many as are opened at once. 1: a batch ends before the step after them. */
static int decode_some(struct batch *b, const struct step **st, size_t n, size_t *ret_records)
{
	for (*ret_records = 0; b->n < n && *ret_records < OPEN_AT_ONCE && !b->entries; *st = (*st)->next) {
		int err = decode_step(b, *st);

		if (err < 0)
			return err;
		bool entries = b->steps[b->n].n_entries > 0;
		if (entries && b->n > 0) {
			release_step(b, b->n);
			return 1;
		}
		b->entries = entries;
		*ret_records += b->steps[b->n++].n_records;
	}
	return b->n < n && !b->entries ? OK : 1;
}

/* Up to n steps, as many as may stand in one batch. ERR_AGAIN: the first waits for an index chunk. */
static int prepare(struct batch *b, size_t n)
{
	const struct step *st = b->ss->steps;
	int err = OK;

	b->steps = calloc(n, sizeof *b->steps);
	b->remotes = calloc(n, sizeof *b->remotes);
	if (!b->steps || !b->remotes)
		return ERR_NOMEM;
	while (err == OK) {
		size_t first = b->n, records;

		if ((err = decode_some(b, &st, n, &records)) < 0 || b->entries)
			break;
		int opened = open_steps(b, first, records);
		err = opened ? opened : err;
	}
	return err > 0 ? OK : err;
}

/* ---- the transaction ---- */

static int pending(void *ctx, struct store_txn *t, uint64_t ino, struct buf *ret_blob)
{
	struct batch *b = ctx;
	const struct out_item *item = sync_push_find(b->ss, ino);

	for (size_t i = 0; i < b->n_dropped; i++) {
		if (b->dropped[i].ino == ino)
			return 0;
	}
	if (!item)
		return 0;
	int err = sync_push_blob(t, item, ret_blob);
	return err < 0 ? err : 1;
}

/* The item of a node leaves the outbox with t. */
static int drop_item(struct batch *b, struct store_txn *t, uint64_t ino, bool confirmed)
{
	const struct out_item *item = sync_push_find(b->ss, ino);

	if (!item)
		return OK;
	for (size_t i = 0; i < b->n_dropped; i++) {
		if (b->dropped[i].ino == ino)
			return OK;
	}
	struct dropped *more = array_room(b->dropped, &b->alloc_dropped, b->n_dropped + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	b->dropped = more;
	b->dropped[b->n_dropped++] = (struct dropped){ .ino = ino, .confirmed = confirmed };
	return txn_outbox_del(t, item->o.row);
}

static int drop(void *ctx, struct store_txn *t, uint64_t ino)
{
	return drop_item(ctx, t, ino, false);
}

static bool trusts(void *ctx, const struct id32 *owner, const struct id32 *author)
{
	const struct batch *b = ctx;

	return sync_trusts(b->ss->sync, owner, author);
}

/* A line that is a version of ours whose answer was lost: it is confirmed. */
static int confirm_line(struct batch *b, struct tree *tr, const struct line *l, uint64_t cursor)
{
	struct store_txn *t = tr->t;
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	struct node n;
	int err = txn_node_find(t, b->ss->row, &l->id, &n);

	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	const struct out_item *item = sync_push_find(b->ss, n.ino);
	if (!item || !id32_equal(&item->o.hash, &l->hash))
		return OK;
	if ((err = sync_push_blob(t, item, &blob)) < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	for (size_t i = 0; i < item->n_chunks && err == OK; i++)
		err = txn_chunk_confirm(t, item->chunks[i]->row);
	if (err == OK)
		err = txn_record_put(t, b->ss->row, &l->id, &l->hash, cursor, buf_bytes(&blob));
	if (err == OK)
		err = tree_touch_contested(tr, n.ino);
	return err < 0 ? err : drop_item(b, t, n.ino, true);
}

static int apply_step(struct batch *b, struct apply *a, size_t i, struct id32 *chain)
{
	struct history_step *st = &b->steps[i];
	int err = OK;

	for (size_t k = 0; k < st->n_lines && b->ss->n_items > 0 && err == OK; k++) {
		if (st->lines[k].kind == LINE_RECORD)
			err = confirm_line(b, &a->tree, &st->lines[k], st->cursor);
	}
	for (size_t k = b->from; b->remotes[i] && k < st->n_records && k < b->end && err == OK; k++) {
		if (b->remotes[i][k].refused)
			continue;
		int older = b->ss->heal.on ? sync_heal_is_older(b->ss, a->t, st, &b->remotes[i][k]) : 0;
		err = older ? (older < 0 ? older : OK) : apply_remote(a, &b->remotes[i][k], st->cursor);
		if (err == OK && b->remotes[i][k].refused)
			sync_space_alarm(b->ss, b->remotes[i][k].refused,
				b->remotes[i][k].refused == ERR_ROLLBACK ? went_back : contradicts);
	}
	if (err == OK)
		err = tree_settle(&a->tree);
	if (err < 0 || !batch_ends(b))
		return err;
	sync_head_check(b->ss, a->t, st->head);
	return sync_pull_advance(b->ss, a->t, st->cursor, st->lines_blob, chain);
}

static void tell(struct batch *b, struct apply *a)
{
	const struct sync_config *config = &b->ss->sync->config;

	for (size_t i = 0; i < a->n_profiles && config->profile; i++)
		config->profile(config->ctx, a->profiles[i]);
	for (size_t i = 0; i < b->n_dropped; i++) {
		struct out_item *item = sync_push_find(b->ss, b->dropped[i].ino);

		if (!item)
			continue;
		if (b->dropped[i].confirmed)
			sync_wait_confirmed(b->ss->sync, item);
		sync_push_drop(b->ss, item);
	}
	sync_keep_arrived(b->ss->sync, sync_now(b->ss->sync));
	if (b->n_dropped > 0)
		b->ss->poked = true;
	if (b->ss->forked)
		sync_space_fork(b->ss);
}

/* One transaction. ERR_CONFLICT: nothing was done, conflicts lists the files that need a copy first. */
static int transact(struct batch *b, struct table *conflicts)
{
	const struct sync_config *config = &b->ss->sync->config;
	struct sync_space *ss = b->ss;
	struct store_txn *t = NULL;
	struct id32 chain = ss->space->row.chain;
	int err = store_begin(config->store, &t);

	if (err < 0)
		return err;
	b->n_dropped = 0;
	struct apply a = { .t = t,
		.space = ss->space,
		.who = config->who,
		.now_wall = config->env->wall_ns(config->env->ctx),
		.common = ss->heal.on ? ss->heal.common : UINT64_MAX,
		.copies = &ss->copies,
		.conflicts = conflicts,
		.pending = pending,
		.drop = drop,
		.trusts = trusts,
		.ctx = b };
	a.tree = sync_space_tree(ss, t);
	for (size_t i = 0; i < b->take && err == OK; i++)
		err = apply_step(b, &a, i, &chain);
	if (err == OK && conflicts->n > 0)
		err = ERR_CONFLICT;
	if (err == OK)
		err = store_commit(&t);
	else
		store_abort(&t);
	if (err == OK) {
		if (batch_ends(b))
			sync_pull_advanced(ss, b->steps[b->take - 1].cursor, &chain);
		tell(b, &a);
	}
	err = sync_space_settled(ss, &a.tree, err);
	apply_release(&a);
	return err;
}

static bool any_newly_refused(const struct batch *b, size_t *count)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		for (size_t k = 0; b->remotes[i] && k < b->steps[i].n_records; k++)
			n += b->remotes[i][k].refused != 0;
	}
	bool more = n > *count;
	*count = n;
	return more;
}

/* A copy of what a file holds here, unless that is what the record says too. Noted in ss->copies. */
static int copy_conflict(struct sync_space *ss, uint64_t ino, const struct remote *r)
{
	const struct sync_config *config = &ss->sync->config;
	struct content_maker m = {
		.env = config->env, .store = config->store, .hash_key = secret_key(ss->space->hash_key)
	};
	struct conflict_copy copy = { .ino = 0 };
	struct node n;

	int err = apply_same_edit(&m, ino, r, &copy.change);
	if (err < 0)
		return err;
	if (err == 0) {
		log_debug("sync: two edits of ino %llu: a conflict copy", (unsigned long long)ino);
		bool trusted =
			store_getattr(config->store, ino, &n) == OK && sync_trusts(ss->sync, &n.owner, &n.author);
		err = apply_copy_conflict(config->store, config->who, config->env->wall_ns(config->env->ctx),
			ss->root_ino, ino, trusted, &copy);
		if (err == ERR_NOT_FOUND) {
			/* Its last name was taken away meanwhile: there is nothing to keep. */
			err = store_getattr(config->store, ino, &n);
			copy.change = n.change;
		}
		if (err < 0)
			return err == ERR_NOT_FOUND ? OK : err;
	}
	err = table_put(&ss->copies, ino, copy.change + 1);
	if (err == OK && copy.ino)
		err = sync_wait_copied(ss, ino, copy.ino);
	if (err == OK && copy.ino && config->changed)
		config->changed(config->ctx, &copy.shown, 1);
	return err;
}

static int copy_conflicts(struct sync_space *ss, const struct table *conflicts)
{
	for (size_t i = 0; i < conflicts->size; i++) {
		const struct table_slot *slot = &conflicts->slots[i];
		int err = slot->key ? copy_conflict(ss, slot->key, (const struct remote *)(uintptr_t)slot->value) : OK;

		if (err < 0)
			return err;
	}
	ss->poked = true;
	return OK;
}

/* Who may not write any more keeps what was edited before all the same. */
static int copy_conflicts_anyway(struct sync_space *ss, const struct table *conflicts)
{
	struct store *store = ss->sync->config.store;

	if (!ss->may_not_write)
		return copy_conflicts(ss, conflicts);
	int err = store_set_read_only(store, ss->row, false);
	if (err == OK)
		err = copy_conflicts(ss, conflicts);
	int again = store_set_read_only(store, ss->row, true);
	return err < 0 ? err : again;
}

/* ---- more than a transaction holds ---- */

static int rows_ahead(struct batch *b)
{
	struct store *store = b->ss->sync->config.store;

	for (size_t i = 0; i < b->take; i++) {
		for (size_t k = 0; b->remotes[i] && k < b->steps[i].n_records; k++) {
			const struct remote *r = &b->remotes[i][k];
			int err = r->refused ? OK : content_apply_ahead(store, b->ss->row, &r->flat);

			/* A record that contradicts what is known is refused where it is applied. */
			if (err < 0 && err != ERR_TAMPERED && err != ERR_INVALID)
				return err;
		}
	}
	return OK;
}

/* Puts half as much into a transaction: of the steps, then of the records of one. False: that is one record, or none. */
static bool halve(struct batch *b)
{
	if (b->take > 1) {
		b->take = (b->take + 1) / 2;
		return true;
	}
	size_t end = batch_ends(b) ? b->steps[0].n_records : b->end, n = end - b->from;
	if (n > 1)
		b->end = b->from + (n + 1) / 2;
	return n > 1;
}

/* Makes less of what the journal refused: chunk rows go ahead, then fewer steps, then fewer records of a step. One that alone is too
 * large is passed over: what others send must not stop the space. */
static int lighten(struct batch *b, bool *ahead)
{
	if (!*ahead) {
		*ahead = true;
		return rows_ahead(b);
	}
	if (halve(b))
		return OK;
	struct remote *r = b->remotes[0] && b->from < b->steps[0].n_records ? &b->remotes[0][b->from] : NULL;
	if (!r || r->refused)
		return ERR_RANGE;
	r->refused = ERR_RANGE;
	sync_space_alarm(b->ss, ERR_RANGE, "a record of another device is too large and was refused");
	return OK;
}

static int apply_records(struct batch *b)
{
	size_t refused = 0;
	bool ahead = false;

	b->take = b->n;
	b->end = SIZE_MAX;
	(void)any_newly_refused(b, &refused);
	if (b->ss->heal.on && b->remotes[0]) {
		int err = sync_heal_note_edits(b->ss, &b->steps[0], b->remotes[0]);
		if (err < 0)
			return err;
	}
	/* Each time but for a conflict some record is refused or done, or there is less to do. */
	for (size_t tries = 0; tries < TRIES_MAX;) {
		CLEANUP(table_release) struct table conflicts = { .n = 0 };
		int err = transact(b, &conflicts);

		if (err == ERR_CONFLICT && conflicts.n > 0) {
			tries++;
			if ((err = copy_conflicts_anyway(b->ss, &conflicts)) < 0)
				return err;
			continue;
		}
		if (err == ERR_RANGE) {
			if ((err = lighten(b, &ahead)) < 0)
				return err;
			continue;
		}
		if ((err == ERR_TAMPERED || err == ERR_INVALID) && any_newly_refused(b, &refused)) {
			sync_space_alarm(b->ss, err, contradicts);
			(void)halve(b); /* many of them would have the others begun again as often */
			continue;
		}
		if (err == OK && !batch_ends(b)) {
			size_t n = b->end - b->from;

			b->from = b->end;
			b->end += n;
			tries = 0;
			continue;
		}
		if (err == OK)
			table_release(&b->ss->copies);
		return err;
	}
	return ERR_INTERNAL;
}

void sync_apply_log_moved(struct sync_space *ss)
{
	const struct sync_config *config = &ss->sync->config;

	pthread_mutex_lock(&ss->space->lock);
	ss->may_not_write = !log_may_write(ss->space->log, identity_device(config->who));
	pthread_mutex_unlock(&ss->space->lock);
	if (space_tell_rights(ss->space, config->store, config->who) < 0)
		log_warn("rights in a space could not be noted");
	if (config->log_moved)
		config->log_moved(config->ctx, ss->space);
}

static int apply_entries(
	struct sync_space *ss, const struct bytes *blobs, size_t n, uint64_t cursor, struct bytes lines)
{
	const struct sync_config *config = &ss->sync->config;
	struct store_txn *t = NULL;
	int err = store_begin(config->store, &t);

	if (err < 0)
		return err;
	struct id32 chain = ss->space->row.chain;
	err = space_apply_entries(ss->space, t, config->who, blobs, n);
	if (err == OK)
		err = sync_pull_advance(ss, t, cursor, lines, &chain);
	if (err < 0) {
		store_abort(&t);
		if (err != ERR_NOMEM && err != ERR_NO_SPACE && err != ERR_IO) /* the entry's fault, not this device's */
			sync_space_alarm(ss, err, "the relay sent a log entry that is not valid");
		return err;
	}
	if ((err = store_commit(&t)) < 0)
		return err;
	sync_pull_advanced(ss, cursor, &chain);
	sync_apply_log_moved(ss);
	return OK;
}

int sync_apply_batch(struct sync_space *ss, size_t n, size_t *ret_done)
{
	struct batch b = { .ss = ss };
	int err = prepare(&b, n);

	if (err == OK && b.entries)
		err = apply_entries(
			ss, b.steps[0].entries, b.steps[0].n_entries, b.steps[0].cursor, b.steps[0].lines_blob);
	else if (err == OK && b.n > 0)
		err = apply_records(&b);
	*ret_done = err == OK ? b.entries ? b.n : b.take : 0;
	batch_release(&b);
	return err;
}

int sync_apply_appended(struct sync_space *ss, const struct bytes *blobs, size_t n, uint64_t cursor)
{
	CLEANUP(buf_release) struct buf lines = BUF_INIT(LINES_MAX * 64);
	struct line *l;
	uint64_t seq;

	pthread_mutex_lock(&ss->space->lock);
	seq = log_count(ss->space->log);
	pthread_mutex_unlock(&ss->space->lock);
	l = calloc(n, sizeof *l);
	if (!l)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		l[i].kind = LINE_ENTRY;
		bytes_put_be(l[i].id.b + 8, seq + i, 8);
		hash_sha256(blobs[i], &l[i].hash);
	}
	int err = lines_put(&lines, l, n);
	free(l);
	return err < 0 ? err : apply_entries(ss, blobs, n, cursor, buf_bytes(&lines));
}
