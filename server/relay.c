/* SPDX-License-Identifier: Apache-2.0 */
#include "server/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "server/housekeeping.h"

static int open_parts(struct relay *r, const char *dir)
{
	char path[4096];
	int err;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	if (snprintf(path, sizeof path, "%s/chunks", dir) >= (int)sizeof path)
		return ERR_RANGE;
	if ((err = depot_open(r->env, dir, &r->store)) < 0 || (err = blob_open(r->env, path, &r->blobs)) < 0 ||
		(err = spaces_new(&r->spaces)) < 0 || (err = limits_new(r->config, &r->limits)) < 0)
		return err;
	return housekeeping_start(r);
}

int relay_open(struct relay *r, const struct env *env, struct config *config)
{
	int err;

	*r = (struct relay){ .env = env, .config = config, .metrics = { .sizes_lock = PTHREAD_MUTEX_INITIALIZER } };
	err = open_parts(r, config->storage.data);
	if (err < 0)
		relay_close(r);
	return err;
}

void relay_configure(struct relay *r, struct config *config)
{
	config->older = r->config;
	atomic_store_explicit(&r->config, config, memory_order_release);
	limits_configure(r->limits, config);
}

void relay_close(struct relay *r)
{
	spaces_free(r->spaces);
	limits_free(r->limits);
	blob_close(r->blobs);
	depot_close(r->store);
	for (struct config *c = r->config, *older; c; c = older) {
		older = c->older;
		config_free(c);
	}
	*r = (struct relay){ .env = r->env };
}
