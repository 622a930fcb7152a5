/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ear: what relays that share a store tell each other: words, which depot_tell sends with the transaction that they are
 * about, and ear_say at once. PostgreSQL carries them (NOTIFY), to all relays that listen at that moment; nobody hears
 * its own.
 *
 *	struct ear *e;
 *	if ((err = ear_start(store, heard, ctx, &e)) < 0) ...   // e is NULL where nobody else uses the store
 *	ear_say(e, words);
 *	ear_stop(e);
 *
 * A thread of its own holds the connection and makes it again when it is lost. Then, and at the start, heard() is
 * called with no words: anything may have happened meanwhile.
 */
#ifndef COFFER_SERVER_EAR_H
#define COFFER_SERVER_EAR_H

#include "server/depot.h"

struct ear;

/* Called from the ear's thread. */
typedef void ear_heard(void *ctx, struct bytes words);

int ear_start(const struct depot *writer, ear_heard *heard, void *ctx, struct ear **ret_e) MUST_CHECK;
/* DEPOT_WORDS_MAX bytes at most. What cannot be said now is dropped. Does not wait; any thread; e may be NULL. */
void ear_say(struct ear *e, struct bytes words);
void ear_stop(struct ear *e);

#endif
