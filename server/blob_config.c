/* SPDX-License-Identifier: Apache-2.0 */
#include "server/blob_config.h"

int blob_config_read(struct blob_config *ret_b, const struct config *c)
{
	const char *folder = c->storage.folder;
	int n = *folder ? snprintf(ret_b->dir, sizeof ret_b->dir, "%s", folder)
			: snprintf(ret_b->dir, sizeof ret_b->dir, "%s/chunks", c->storage.data);

	ret_b->place = (struct blob_place){ .dir = ret_b->dir };
	return n >= (int)sizeof ret_b->dir ? ERR_RANGE : OK;
}
