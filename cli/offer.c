/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/offer.h"

#include <ctype.h>
#include <errno.h>
#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/print.h"
#include "wire/map.h"

unsigned long offer_parse_span(const char *text)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return 0;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || n > 1000000000)
		return 0;
	unsigned long unit = *end == 0 || *end == 's' ? 1
			     : *end == 'm'            ? 60
			     : *end == 'h'            ? 3600
			     : *end == 'd'            ? 86400
						      : 0;
	if (*end && end[1])
		return 0;
	return n * unit;
}

/* Two rows of modules per line of text, dark on light, with the quiet zone of four modules that readers need. */
static void print_qr(const char *text)
{
	static const char *const halves[] = { "█", "▀", "▄", " " }; /* upper light, lower light: index = dark bits */
	QRcode *q = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);

	if (!q)
		return;
	for (int y = -4; y < q->width + 4; y += 2) {
		fputs("  ", stdout);
		for (int x = -4; x < q->width + 4; x++) {
			bool in_x = x >= 0 && x < q->width;
			bool up = in_x && y >= 0 && y < q->width && (q->data[y * q->width + x] & 1);
			bool low = in_x && y + 1 >= 0 && y + 1 < q->width && (q->data[(y + 1) * q->width + x] & 1);
			fputs(halves[(up ? 2 : 0) | (low ? 1 : 0)], stdout);
		}
		putchar('\n');
	}
	QRcode_free(q);
}

int offer_print(const struct context *ctx, struct bytes result, const char *who, const char *command)
{
	if (ctx->json)
		return print_json(result);
	WIPE_AFTER char *code = map_get_string(result, "code", 64);
	WIPE_AFTER char *link = map_get_string(result, "link", 1024);
	FREE_AFTER char *relay = map_get_string(result, "relay", 256);
	if (!code || !link || !relay) {
		fputs("coffer: the agent's answer is not understood\n", stderr);
		return EX_PROTOCOL;
	}
	uint64_t expires = map_get_uint(result, "expires", 0), now = (uint64_t)time(NULL);
	printf("Code:  %s\nLink:  %s\n", code, link);
	if (isatty(STDOUT_FILENO))
		print_qr(link);
	printf("\n%s:  %s %s --relay %s\n", who, command, code, relay);
	printf("Valid for %s. This device may sleep meanwhile.\n", print_span(expires > now ? expires - now : 0).s);
	return EX_OK;
}
