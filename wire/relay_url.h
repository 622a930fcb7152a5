/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_url: the address of a relay as people write it, checked strictly and brought to one form, so that every program
 * means the same origin (the `aud` of tokens and delegations) by the same relay.
 *
 *	http://127.0.0.1:5379        https://relay.example.org/coffer
 *
 * Accepted: scheme http or https; a host name, IPv4 or [IPv6] address; a port 1..65535; a path prefix of unreserved
 * characters and '/'. Refused (ERR_INVALID): user names, queries, fragments, escapes, blanks, empty hosts, "." and ".."
 * in the prefix. The host becomes lower case, a default port and trailing slashes are dropped.
 */
#ifndef COFFER_WIRE_RELAY_URL_H
#define COFFER_WIRE_RELAY_URL_H

#include <stdbool.h>
#include "base/bytes.h"
#include "base/err.h"

#define RELAY_URL_MAX 512
#define RELAY_HOST_MAX 254 /* with NUL */

struct relay_url {
	bool tls;
	uint16_t port;
	char host[RELAY_HOST_MAX];      /* without brackets */
	char prefix[RELAY_URL_MAX];     /* "" or "/a/b" without a trailing slash */
	char origin[RELAY_HOST_MAX + 20]; /* "http://127.0.0.1:5379": what `aud` holds */
};

/* ERR_INVALID as above, ERR_RANGE over RELAY_URL_MAX. */
int relay_url_parse(struct bytes text, struct relay_url *ret_u) MUST_CHECK;

#endif
