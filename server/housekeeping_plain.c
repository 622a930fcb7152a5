/* SPDX-License-Identifier: Apache-2.0 */
#include "server/housekeeping_plain.h"

#include "server/depot_plain.h"
#include "server/relay.h"

#define HOUR 3600

int housekeeping_plain(struct relay *r)
{
	int err = depot_mail_expire(r->store, relay_now(r));

	if (err >= 0)
		err = depot_deed_expire(r->store, relay_now(r) - HOUR);
	return err < 0 ? err : OK;
}
