/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is aside was refused on this connection, so the relay does not have it: a newer version of the node may take its place as if it
 * had never been sealed. So a person who deletes or shrinks what does not fit is rid of it, and what nobody ever saw needs no tombstone.
 */
#include "fusefs/sync_room.h"

#include "base/cleanup.h"
#include "base/log.h"

#define TAKE_BACK_MAX 500 /* in one transaction */

static const char alarm_text[] = "the relay's storage, or your share of it, is full: what does not fit waits here, all "
				 "else goes on. Delete what need not "
				 "be there, or ask who runs the relay for more room";

static void put_aside(struct sync_space *ss, struct out_item *item)
{
	if (item->aside || item->dropped)
		return;
	if (ss->room.aside == 0 && ss->room.doubtful == 0) {
		ss->room.delay = ROOM_DELAY_MIN;
		ss->room.at = sync_now(ss->sync) + ROOM_DELAY_MIN;
	}
	if (item->doubtful)
		ss->room.doubtful--;
	item->doubtful = false;
	item->aside = true;
	item->tried = ++ss->room.refusals;
	if (item->refusal == 0) {
		item->refusal = item->tried;
		item->refused_at = sync_now(ss->sync);
	}
	ss->room.aside++;
	sync_space_alarm(ss, ERR_RELAY_FULL, alarm_text);
}

static void try_again(struct sync_space *ss, struct out_item *item)
{
	item->aside = item->alone = false;
	item->doubtful = true;
	ss->room.aside--;
	ss->room.doubtful++;
	ss->room.turn++;
}

void sync_room_refused(struct sync_space *ss, struct out_item **items, size_t n)
{
	if (ss->heal.on) {
		sync_space_alarm(ss, ERR_RELAY_FULL, alarm_text);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (n == 1 || items[i]->doubtful)
			put_aside(ss, items[i]);
		else
			items[i]->alone = true;
	}
}

static bool names(const struct out_item *item, uint64_t row)
{
	for (size_t i = 0; i < item->n_chunks; i++) {
		if (item->chunks[i]->row == row)
			return true;
	}
	return false;
}

void sync_room_chunk_refused(struct sync_space *ss, uint64_t row)
{
	if (ss->heal.on) {
		sync_space_alarm(ss, ERR_RELAY_FULL, alarm_text);
		sync_space_retry(ss, sync_now(ss->sync));
		return;
	}
	for (struct out_item *item = ss->items; item; item = item->next) {
		if (!item->aside && names(item, row))
			put_aside(ss, item);
	}
}

void sync_room_try_all(struct sync_space *ss)
{
	for (struct out_item *item = ss->items; item && ss->room.aside > 0; item = item->next) {
		if (item->aside)
			try_again(ss, item);
	}
	ss->room.delay = ROOM_DELAY_MIN;
	ss->room.at = sync_now(ss->sync) + ROOM_DELAY_MIN;
}

void sync_room_taken(struct sync_space *ss, const struct out_item *item)
{
	int64_t soon = sync_now(ss->sync) + ROOM_DELAY_MIN;

	if (item->doubtful)
		sync_room_try_all(ss);
	else if (item->dead && soon < ss->room.at)
		ss->room.at = soon;
}

void sync_room_chunk_taken(struct sync_space *ss, uint64_t row)
{
	bool any = false;

	for (struct out_item *item = ss->items; item && ss->room.doubtful > 0; item = item->next) {
		if (!item->doubtful || !names(item, row))
			continue;
		item->doubtful = false;
		ss->room.doubtful--;
		ss->room.turn++;
		any = true;
	}
	if (any)
		sync_room_try_all(ss);
}

void sync_room_queued(struct sync_space *ss, struct out_item *item)
{
	item->known = ss->room.refusals;
	if (!table_del(&ss->room.taken_back, item->o.ino))
		return;
	item->doubtful = true;
	ss->room.doubtful++;
}

void sync_room_left(struct sync_space *ss, const struct out_item *item)
{
	if (!item->aside && !item->doubtful)
		return;
	if (item->aside)
		ss->room.aside--;
	else
		ss->room.doubtful--;
	ss->room.turn++;
}

void sync_room_clear(struct sync_space *ss)
{
	table_release(&ss->room.taken_back);
	ss->room = (struct sync_room){ .turn = ss->room.turn + 1, .refusals = ss->room.refusals };
}

/* ---- what may go ---- */

enum name_state { NAME_FREE, NAME_TAKEN, NAME_EXPECTED /* by something that waits */ };

/* Of a name that the deleted node had. */
static int name_state(struct sync_space *ss, struct store_txn *t, const struct out_item *item,
	const struct node_link *was, enum name_state *ret_state)
{
	struct node dir, now;
	struct link l;
	int err = txn_node_find(t, ss->row, &was->parent, &dir);

	if (err == OK)
		err = txn_link_shown(t, dir.ino, was->name, &l);
	if (err == OK && l.ino != item->o.ino)
		err = txn_node_get(t, l.ino, &now);
	if (err < 0 || l.ino == item->o.ino)
		return err == ERR_NOT_FOUND ? OK : err;
	const struct out_item *of = sync_push_find(ss, l.ino);
	if (of ? of->aside || of->doubtful : now.change != 0)
		*ret_state = NAME_EXPECTED;
	else if (*ret_state == NAME_FREE)
		*ret_state = NAME_TAKEN;
	return OK;
}

static int names_state(struct sync_space *ss, const struct out_item *item, enum name_state *ret_state)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record was = OPENED_RECORD_INIT;
	struct store_txn *t = NULL;
	int err = store_begin(ss->sync->config.store, &t);

	*ret_state = NAME_FREE;
	if (err == OK)
		err = sync_push_blob(t, item, &blob);
	if (err == OK)
		err = space_open_record(ss->space, buf_bytes(&blob), &was);
	for (size_t i = 0; err == OK && i < was.body.n_links; i++)
		err = name_state(ss, t, item, &was.body.links[i], ret_state);
	store_abort(&t);
	return err;
}

/* Whether a deletion waits; `refusal`: the last one of what is aside before it. */
static bool deletion_waits(struct sync_space *ss, struct out_item *item, uint64_t refusal)
{
	enum name_state names_are;

	if (item->judged == ss->room.turn)
		return true;
	if (names_state(ss, item, &names_are) < 0)
		names_are = NAME_EXPECTED; /* asked again in another turn */
	if (names_are == NAME_TAKEN || (names_are == NAME_FREE && item->known >= refusal))
		return false;
	item->judged = ss->room.turn;
	return true;
}

static int compare_sizes(struct sync_space *ss, const struct out_item *item, bool *ret_less)
{
	CLEANUP(buf_release) struct buf blob = BUF_INIT(RECORD_MAX_BLOB), base = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record was = OPENED_RECORD_INIT;
	CLEANUP(opened_record_release) struct opened_record is = OPENED_RECORD_INIT;
	struct store_txn *t = NULL;
	struct id32 hash;
	uint64_t cursor;
	int err = store_begin(ss->sync->config.store, &t);

	if (err == OK)
		err = txn_record_get(t, ss->row, &item->o.id, &hash, &cursor, &base);
	bool fresh = err == ERR_NOT_FOUND || (err == OK && base.len == 0);
	if (err == OK && !fresh)
		err = sync_push_blob(t, item, &blob);
	store_abort(&t);
	*ret_less = false;
	if (fresh)
		return OK;
	if (err == OK)
		err = space_open_record(ss->space, buf_bytes(&base), &was);
	if (err == OK)
		err = space_open_record(ss->space, buf_bytes(&blob), &is);
	*ret_less = err == OK && is.body.size < was.body.size;
	return err;
}

static bool shrinks(struct sync_space *ss, struct out_item *item)
{
	bool less;

	if (item->shrink == SHRINK_UNKNOWN) {
		if (compare_sizes(ss, item, &less) < 0)
			return true; /* asked again */
		item->shrink = less ? SHRINK_YES : SHRINK_NO;
	}
	return item->shrink == SHRINK_YES;
}

/* What takes something away and was queued before this refusal waits behind the item. */
static void note(struct sync_room_look *look, const struct out_item *item, uint64_t refusal)
{
	uint64_t had = 0;

	if (refusal > look->seen)
		look->seen = refusal;
	(void)table_get(&look->lanes, item->o.lane + 1, &had);
	/* Without memory for it the other lanes wait too. */
	if (item->barrier || (refusal > had && table_put(&look->lanes, item->o.lane + 1, refusal) < 0))
		look->behind = look->seen;
}

bool sync_room_waits(struct sync_room_look *look, struct out_item *item)
{
	struct sync_space *ss = look->ss;
	uint64_t refusal = 0;

	if (ss->room.aside == 0 && ss->room.doubtful == 0)
		return false;
	if (item->barrier)
		look->behind = look->seen;
	if (item->aside) {
		if (!item->overdue)
			note(look, item, item->refusal);
		return true;
	}
	(void)table_get(&look->lanes, item->o.lane + 1, &refusal);
	if (refusal < look->behind)
		refusal = look->behind;
	if (item->push)
		return false;
	if (item->dead)
		return deletion_waits(ss, item, refusal);
	if (item->known >= refusal || !shrinks(ss, item))
		return false;
	note(look, item, UINT64_MAX); /* it may hold what a later deletion takes away elsewhere */
	return true;
}

/* ---- each turn ---- */

/* What was changed again while it was aside is sealed anew, as it is now. */
static int take_back(struct sync_space *ss)
{
	struct out_item *items[TAKE_BACK_MAX];
	size_t n = 0;

	for (struct out_item *item = ss->items; item && n < TAKE_BACK_MAX; item = item->next) {
		if (item->aside && !item->push && lanes_dirty(ss->lanes, item->o.ino))
			items[n++] = item;
	}
	for (size_t i = 0; i < n; i++) {
		int err = table_put(&ss->room.taken_back, items[i]->o.ino, 1);

		if (err < 0)
			return err;
	}
	return n > 0 ? sync_push_give_back(ss, items, n) : OK;
}

/* Forgets nodes of which nothing is to be sent any more. */
static void look_at_taken_back(struct sync_space *ss)
{
	struct table *t = &ss->room.taken_back;

	for (size_t i = 0; i < t->size; i++) {
		uint64_t ino = t->slots[i].key;

		if (ino == 0 || lanes_dirty(ss->lanes, ino) || lanes_in_flight(ss->lanes, ino))
			continue;
		table_del(t, ino); /* another may have moved there: it is looked at in the next turn */
	}
}

/* The one that was refused the longest ago. */
static void try_next(struct sync_space *ss, int64_t now)
{
	struct out_item *next = NULL;

	for (struct out_item *item = ss->items; item; item = item->next) {
		if (item->aside && now - item->refused_at >= ROOM_HOLD)
			item->overdue = true; /* `try_again` begins the turn that sees it */
		if (item->aside && !item->push && (!next || item->tried < next->tried))
			next = item;
	}
	if (next)
		try_again(ss, next);
	ss->room.delay = ss->room.delay * 2 < ROOM_DELAY_MAX ? ss->room.delay * 2 : ROOM_DELAY_MAX;
	ss->room.at = now + ss->room.delay;
}

int sync_room_step(struct sync_space *ss, int64_t now)
{
	int err = OK;

	if (ss->room.taken_back.n > 0)
		look_at_taken_back(ss);
	if (ss->room.aside > 0)
		err = take_back(ss);
	if (err == OK && ss->room.aside > 0 && now >= ss->room.at)
		try_next(ss, now);
	if (ss->alarm == ERR_RELAY_FULL && !ss->heal.on && ss->room.aside == 0 && ss->room.doubtful == 0 &&
		ss->room.taken_back.n == 0)
		ss->alarm = OK;
	return err;
}
