/* SPDX-License-Identifier: Apache-2.0 */
#include "server/housekeeping_plain.h"

#include "server/depot_plain.h"
#include "server/housekeeping.h"
#include "server/relay.h"

#define HOUR 3600

int housekeeping_plain(struct relay *r)
{
	int mail = depot_mail_expire(r->store, relay_now(r), HOUSEKEEPING_MANY), deeds;

	if (mail < 0)
		return mail;
	deeds = depot_deed_expire(r->store, relay_now(r) - HOUR, HOUSEKEEPING_MANY);
	return deeds < mail && deeds >= 0 ? mail : deeds;
}
