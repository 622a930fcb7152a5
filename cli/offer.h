/* SPDX-License-Identifier: Apache-2.0 */
/* offer: shows a code, link and QR that invites a person or pairs a device. */
#ifndef COFFER_CLI_OFFER_H
#define COFFER_CLI_OFFER_H

#include "base/bytes.h"
#include "cli/verb.h"

/* result: { code, link, expires, relay } of `invite` and `pair`. `who` types `command` and the code. */
int offer_print(const struct context *ctx, struct bytes result, const char *who, const char *command);

/* "90s", "10m", "2h", "7d" or plain seconds; 0 if it is none of these. */
unsigned long offer_parse_span(const char *text);

#endif
