/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network: an IP address or a range of them ("10.0.0.0/8", "::1"), and whether an address lies in it. IPv4 stands as
 * mapped IPv6 (RFC 4291 section 2.5.5.2), so that a socket of either kind compares alike.
 */
#ifndef COFFER_SERVER_NETWORK_H
#define COFFER_SERVER_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct network {
	uint8_t addr[16];
	unsigned bits; /* of addr that count, 0 to 128 */
};

/* ERR_INVALID if `text` is no address and no address/bits. */
int network_parse(const char *text, struct network *ret_n) MUST_CHECK;
/* false also if `addr` is no address. */
bool network_has(const struct network *n, const char *addr);

#endif
