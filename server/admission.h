/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission: who may make spaces on a relay that is not open to all. Its owners, whom the settings name, or who brought
 * the set-up code that the relay prints at each start until somebody did; and, where auth.self_issued is "invited",
 * guests who bring a code of `coffer-relay invite`.
 *
 *	if ((err = admission_start(r)) < 0) ...                 // once; says the set-up code
 *	if ((err = admission_has(r, store, &person)) <= 0) ...  // 1: may
 *
 * A code is made of the relay's own key, so that giving one out writes nothing:
 *	set-up code = the first 10 bytes of HMAC-SHA256(key, "coffer/set-up"), good until the first claim
 *	guest's code = hours (3 bytes, since 1970, its last) ‖ 5 random bytes ‖ the first 12 bytes of
 *	               HMAC-SHA256(key, "coffer/guest" ‖ the 8 bytes before), good once
 * as hex in fours with dashes. The key, who was let in, and the guests' codes used are facts of the store
 * (depot_plain.h). Of several relays on one store only one lets somebody in by a code: each gets the key first, which
 * holds it until its transaction ends.
 */
#ifndef COFFER_SERVER_ADMISSION_H
#define COFFER_SERVER_ADMISSION_H

#include "server/depot_plain.h"

#define ADMISSION_CODE 64 /* room for either code, with NUL */
#define ADMISSION_HOURS_MAX 8760

struct relay;
struct method;

/* Makes the key, whatever the mode, which a reload may change. Writer's connection, outside of transactions. */
int admission_start(struct relay *r) MUST_CHECK;
/* After a reload, as a job of nobody's: says the set-up code again, if there is one to bring. */
extern const struct method method_admission;
/* 1: the person may make spaces here, in the relay's mode and with its owners as they are now; 0; or the store's
 * errors. */
int admission_has(const struct relay *r, struct depot *store, const struct id32 *person) MUST_CHECK;
/* In the writer's transaction: lets a person in who brings this text. ERR_NOT_FOUND: wrong, used up, expired, or not
 * for this relay's mode. */
int admission_claim(struct relay *r, struct depot *store, const struct id32 *person, struct bytes text) MUST_CHECK;
/* A guest's code that is good for so many hours. Any connection. ERR_NOT_FOUND: no relay has run here yet. */
int admission_invite(
	const struct env *env, struct depot *store, unsigned hours, char ret_code[ADMISSION_CODE]) MUST_CHECK;

#endif
