/* SPDX-License-Identifier: Apache-2.0 */
#include "server/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "server/housekeeping.h"

int relay_open(struct relay *r, const struct env *env, const char *dir)
{
	char path[4096];
	int err;

	*r = (struct relay){ .env = env, .metrics = { .sizes_lock = PTHREAD_MUTEX_INITIALIZER } };
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	if (snprintf(path, sizeof path, "%s/chunks", dir) >= (int)sizeof path)
		return ERR_RANGE;
	if ((err = depot_open(env, dir, &r->store)) < 0 || (err = blob_open(env, path, &r->blobs)) < 0 ||
		(err = spaces_new(&r->spaces)) < 0 || (err = limits_new(&r->limits)) < 0 ||
		(err = housekeeping_start(r)) < 0)
		relay_close(r);
	return err;
}

void relay_close(struct relay *r)
{
	spaces_free(r->spaces);
	limits_free(r->limits);
	blob_close(r->blobs);
	depot_close(r->store);
	*r = (struct relay){ .env = r->env };
}
