/* SPDX-License-Identifier: Apache-2.0 */
#include "server/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static int parse_address(const char *text, uint8_t out[16], bool *ret_four)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*ret_four = inet_pton(AF_INET, text, out + 12) == 1;
	if (*ret_four)
		memcpy(out, mapped, sizeof mapped);
	else if (inet_pton(AF_INET6, text, out) != 1)
		return ERR_INVALID;
	return OK;
}

int network_parse(const char *text, struct network *ret_n)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct network net = { .bits = 128 };
	char addr[INET6_ADDRSTRLEN];
	unsigned long bits;
	bool four;
	char *end;

	if (n >= sizeof addr)
		return ERR_INVALID;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (parse_address(addr, net.addr, &four) < 0)
		return ERR_INVALID;
	if (slash) {
		bits = strtoul(slash + 1, &end, 10);
		if (slash[1] < '0' || slash[1] > '9' || *end || bits > (four ? 32 : 128))
			return ERR_INVALID;
		net.bits = (unsigned)bits + (four ? 96 : 0);
	}
	*ret_n = net;
	return OK;
}

bool network_has(const struct network *n, const char *addr)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;
	uint8_t a[16];
	bool four;

	if (parse_address(addr, a, &four) < 0 || memcmp(a, n->addr, whole) != 0)
		return false;
	return !rest || !((a[whole] ^ n->addr[whole]) >> (8 - rest));
}
