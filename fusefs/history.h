/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history: earlier versions of nodes, as the relay keeps them (coffer.history): asked, checked like everything that
 * comes from it, and brought back. For the agent's verbs; every function blocks, none may be called on the sync thread.
 *
 *	struct history h = { .sync = .., .store = .., .who = .., .space = .., .deadline = .. };
 *	struct past_list l = PAST_LIST_INIT;
 *	if ((err = history_ask(&h, &id, 1, 100, &l)) < 0) complain(h.why);
 *	if ((err = history_prove(&h, &l.v[i])) < 0) ...       // its line stands where the relay says
 *	if ((err = history_bring(&h, &l.v[i], dir, &copy)) < 0) ... // a nameless file with that content, all of it here
 *	store_link(store, copy.ino, ...)  or  history_put(&h, &l.v[i], &copy, ino);
 *	history_copy_release(&h, &copy); past_list_release(&l);
 *
 * What is believed of an answer: each record's own signature, that its author might write then, that it is of the node
 * asked for, and that numbers and cursors descend together. A relay can still leave versions out; it cannot pass one
 * off as another. That it was there before its author was removed is the relay's word until history_prove, which
 * whoever shows or uses a version that is not `believed` must ask.
 */
#ifndef COFFER_FUSEFS_HISTORY_H
#define COFFER_FUSEFS_HISTORY_H

#include "fusefs/content.h"
#include "fusefs/space.h"

struct sync;

struct history {
	struct sync *sync;
	struct store *store;
	const struct env *env;
	const struct identity *who;
	struct space *space;
	int64_t deadline; /* monotonic ns */
	const char *why;  /* after an error: words for a person, or NULL; static */
};

struct past {
	struct id16 id;
	uint64_t cursor;
	uint64_t time, expires; /* unix s by the relay's clock; expires 0: the current one */
	struct buf blob;
	struct opened_record o; /* views into blob */
	bool believed; /* by who may write now, known here, or signed as what stood before one that is believed */
};

struct past_list {
	struct past *v; /* ids in the order asked, versions descending */
	size_t n, alloc;
};

#define PAST_LIST_INIT { .v = NULL }
#define HISTORY_MAX_IDS 50

void past_list_release(struct past_list *l);

/* At most `limit` versions of each of n <= HISTORY_MAX_IDS nodes, the current one among them. Versions of who had no
 * right are left out. ERR_TAMPERED, ERR_CONTEXT and those of opening: the answer is refused as a whole. Errors of
 * sync_call. */
int history_ask(
	struct history *h, const struct id16 *ids, size_t n, uint64_t limit, struct past_list *ret_l) MUST_CHECK;

/* Asks for the step that is said to have brought the version, and checks that its line is there, and the step against
 * the chain as far as that is kept (sync_head.h). ERR_TAMPERED, ERR_FORK. ERR_GAP: it is not kept so far back, and the
 * version is not believed without. Errors of sync_call. */
int history_prove(struct history *h, const struct past *p) MUST_CHECK;

struct history_copy {
	uint64_t ino; /* 0: none */
	struct content_flat flat;
};

/* A nameless file in the space of directory `dir`, with the version's content, mode (without what raises rights), own
 * times, and user. xattrs; every byte was brought here and checked. Held open until history_copy_release, which drops
 * it unless it got a name. ERR_GAP: the relay lacks some of it. */
int history_bring(struct history *h, const struct past *p, uint64_t dir, struct history_copy *ret_c) MUST_CHECK;
void history_copy_release(struct history *h, struct history_copy *c);

/* Makes the version's content, mode and times those of file `ino`, as a local change, in one transaction. `c` is of
 * history_bring. ERR_BUSY: the file has changes that are not sealed yet. */
int history_put(struct history *h, const struct past *p, const struct history_copy *c, uint64_t ino) MUST_CHECK;

#endif
