/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth: from a token to an identity. Self-issued tokens only (crypto/token.h): the device is proven, the person is a
 * claim.
 */
#ifndef COFFER_SERVER_AUTH_H
#define COFFER_SERVER_AUTH_H

#include "crypto/token.h"
#include "server/relay.h"

/* Checks a token for any of the relay's origins. NULL if it is good; else the reason, in the protocol's words. */
const char *auth_check(const struct relay *r, struct bytes text, struct token *ret_t);

/* The same for an HTTP Authorization header's value; reasons as the file routes give them. */
const char *auth_check_bearer(const struct relay *r, struct bytes header, struct token *ret_t);

#endif
