/* SPDX-License-Identifier: Apache-2.0 */
/* blob_config: where the settings say that objects stand. */
#ifndef COFFER_SERVER_BLOB_CONFIG_H
#define COFFER_SERVER_BLOB_CONFIG_H

#include "server/blob.h"
#include "server/config.h"

struct blob_config {
	struct blob_place place; /* points into this struct and into the config */
	struct s3_options s3;
	char dir[4096];
	char endpoint[512];
};

/* ERR_RANGE: the path is too long. */
int blob_config_read(struct blob_config *ret_b, const struct config *c) MUST_CHECK;

#endif
