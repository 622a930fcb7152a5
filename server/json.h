/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: what tokens and key sets need of jansson: an object out of bytes from outside, and members of one type. No name
 * twice, nothing after the object, no NUL in a string.
 */
#ifndef COFFER_SERVER_JSON_H
#define COFFER_SERVER_JSON_H

#include <jansson.h>
#include "base/buf.h"

/* Parses an object; *ret is json_decref's. ERR_INVALID, ERR_NOMEM. */
int json_object_of(struct bytes text, json_t **ret) MUST_CHECK;
/* The same for a base64url part of a JWS. */
int json_part(struct bytes part, json_t **ret) MUST_CHECK;
void json_release(json_t **json); /* for CLEANUP */

/* A string member; NULL if it is absent or of another type. Lives as long as the object. */
const char *json_string_at(const json_t *object, const char *name);
/* Unix seconds, also written with a fraction (cut off). ERR_INVALID if absent, no number, or out of all reason. */
int json_seconds_at(const json_t *object, const char *name, int64_t *ret_t) MUST_CHECK;

#endif
