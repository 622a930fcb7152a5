/* SPDX-License-Identifier: Apache-2.0 */
#include "server/blob_config.h"

static int read_s3(struct blob_config *b, const struct config *c)
{
	const bool has_scheme = strstr(c->storage.s3_endpoint, "://") != NULL;
	const char *scheme = has_scheme ? "" : strcmp(c->storage.s3_tls, "true") == 0 ? "https://" : "http://";
	int n = snprintf(b->endpoint, sizeof b->endpoint, "%s%s", scheme, c->storage.s3_endpoint);

	b->s3 = (struct s3_options){
		.endpoint = b->endpoint,
		.bucket = c->storage.s3_bucket,
		.region = c->storage.s3_region,
		.access_key = c->storage.s3_access_key,
		.secret_key = c->storage.s3_secret_key,
		.prefix = c->storage.s3_prefix,
		.timeout_seconds = c->storage.s3_timeout_seconds,
	};
	b->place.s3 = &b->s3;
	return n >= (int)sizeof b->endpoint ? ERR_RANGE : OK;
}

int blob_config_read(struct blob_config *ret_b, const struct config *c)
{
	const char *folder = c->storage.folder;
	int n = *folder ? snprintf(ret_b->dir, sizeof ret_b->dir, "%s", folder)
			: snprintf(ret_b->dir, sizeof ret_b->dir, "%s/chunks", c->storage.data);

	ret_b->place = (struct blob_place){ .dir = ret_b->dir };
	if (n >= (int)sizeof ret_b->dir)
		return ERR_RANGE;
	return strcmp(c->storage.backend, "s3") == 0 ? read_s3(ret_b, c) : OK;
}
