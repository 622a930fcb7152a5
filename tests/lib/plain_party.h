/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_party: people of the plain protocol: a P-256 key with its did:key, the UCANs that it signs, the access tokens
 * that it signs as an issuer; and a server on loopback that hands out key sets. Everything asserts.
 */
#ifndef COFFER_TESTS_LIB_PLAIN_PARTY_H
#define COFFER_TESTS_LIB_PLAIN_PARTY_H

#include <pthread.h>
#include <stdatomic.h>
#include "server/caller.h"
#include "tests/lib/unit.h"

struct plain_party {
	void *key; /* EVP_PKEY */
	uint8_t point[33];
	char did[64];
	char x[48], y[48]; /* base64url, for a JWK */
};

/* The key whose secret is 32 times `fill`. */
void plain_party_init(struct plain_party *p, uint8_t fill);
void plain_party_release(struct plain_party *p);

/* A compact JWS over these texts; free() it. */
char *plain_party_sign(const struct plain_party *p, const char *header, const char *claims);
/* A UCAN; `proof` may be NULL. free() it. */
char *plain_party_ucan(const struct plain_party *p, const char *aud, const struct id16 *space, const char *command,
	int64_t exp, const char *proof);
/* Somebody with this key, by an issuer's word. */
struct caller *plain_party_caller(const struct plain_party *p, const char *name);

struct key_server {
	int fd;
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t lock;
	char body[4096]; /* under the lock */
	int status;      /* under the lock */
	atomic_int asked;
};

void key_server_start(struct key_server *s);
void key_server_say(struct key_server *s, int status, const char *body);
void key_server_stop(struct key_server *s);

#endif
