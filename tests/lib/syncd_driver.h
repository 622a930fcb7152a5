/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syncd_driver: plays coffer-fs towards a real coffer-syncd: starts build/coffer-syncd with a socket as descriptor 3
 * and speaks wire/msg.h with it. Every wait has a deadline after which the test fails.
 *
 *	struct syncd s; syncd_start(&s); syncd_delegate(&s, origin, 3600); syncd_configure(&s, url);
 *	syncd_expect_state(&s, MSG_ONLINE, ""); num = syncd_call(&s, "coffer.head", params);
 *	m = syncd_expect(&s, MSG_RESULT);
 */
#ifndef COFFER_TESTS_LIB_SYNCD_DRIVER_H
#define COFFER_TESTS_LIB_SYNCD_DRIVER_H

#include <sys/types.h>
#include "crypto/secret.h"
#include "wire/msg.h"

struct syncd {
	pid_t pid;
	int fd;
	struct id32 session; /* from HELLO */
	struct id32 person, device;
	const struct secret *device_key;
	struct secret *own_key; /* of syncd_start */
	uint64_t num;        /* of the last request */
	struct buf in;
	size_t taken;        /* bytes of `in` that the last message used */
};

/* Starts the program, makes keys of a person and a device, and reads HELLO. */
void syncd_start(struct syncd *s);
/* The same for keys that there are (borrowed). */
void syncd_start_as(
	struct syncd *s, const struct id32 *person, const struct id32 *device, const struct secret *device_key);
/* Frees what the driver holds, for a test that ended the process itself. */
void syncd_release(struct syncd *s);
/* Closes the socket, waits for the end, and asserts that it ended by itself with success. */
void syncd_end(struct syncd *s);

void syncd_configure(struct syncd *s, const char *url);
void syncd_delegate(struct syncd *s, const char *aud, int64_t life_s);
void syncd_send(struct syncd *s, const struct msg *m);
uint64_t syncd_call(struct syncd *s, const char *method, struct bytes params);
uint64_t syncd_put(struct syncd *s, const struct id16 *space, const struct id16 *chunk, struct bytes blob);
uint64_t syncd_get(struct syncd *s, const struct id16 *space, const struct id16 *chunk);

/* The next message; its views are valid until the next call. */
struct msg syncd_any(struct syncd *s);
/* The next one but RATE. */
struct msg syncd_next(struct syncd *s);
/* The next message, which must be of that type. */
struct msg syncd_expect(struct syncd *s, enum msg_type type);
/* Skips STATEs until this one, which must come; any other message fails. */
struct msg syncd_expect_state(struct syncd *s, enum msg_state state, const char *reason);
/* RESULT of `num` with that code. */
struct msg syncd_expect_result(struct syncd *s, uint64_t num, const char *code);

#endif
