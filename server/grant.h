/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grant: by what right somebody reads or writes a plain space: until when, and on which UCANs it stands.
 */
#ifndef COFFER_SERVER_GRANT_H
#define COFFER_SERVER_GRANT_H

#include "server/ucan.h"

struct grant {
	int64_t exp; /* unix s */
	size_t n;
	struct id32 cids[UCAN_CIDS];
};

#endif
