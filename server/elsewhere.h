/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elsewhere: what happens at other relays on the same store, told to those who are connected here, and the reverse. Of
 * a step only the space is named: its subscribers here get a notification that does not follow on what they have, and
 * pull.
 *
 * Words (ear.h) are items one after the other: a letter, and what it is about:
 *	S space                      steps, members or keys of it changed
 *	R space cid                  a UCAN of it was revoked
 *	M mailbox                    there is mail
 *	P space conn len data        presence (E: an event) of a connection; Q space conn: it is gone
 */
#ifndef COFFER_SERVER_ELSEWHERE_H
#define COFFER_SERVER_ELSEWHERE_H

#include "server/net.h"

/* Writer thread, in its transaction: tells the others what these jobs will tell here. */
int elsewhere_tell(struct relay *r, struct job *const *jobs, size_t n) MUST_CHECK;

/* Network thread: presence and events of a connection here; `what` is P, Q or E. */
void elsewhere_say(struct net *n, char what, const struct id16 *space, uint64_t conn, struct bytes data);
/* Network thread: acts on what was heard. */
void elsewhere_take(struct net *n);
/* Network thread: takes a job of method_elsewhere (rpc.h) that came back. */
void elsewhere_done(struct net *n, struct job *j);

struct elsewhere;
int elsewhere_start(struct net *n) MUST_CHECK;
void elsewhere_stop(struct net *n);

#endif
