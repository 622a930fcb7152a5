/* SPDX-License-Identifier: Apache-2.0 */
#include "server/json.h"

#include "base/cleanup.h"
#include "crypto/jws.h"

#define PART_MAX 65536
#define SECONDS_MAX 1e15

int json_object_of(struct bytes text, json_t **ret)
{
	json_error_t error;
	json_t *json = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		return json_error_code(&error) == json_error_out_of_memory ? ERR_NOMEM : ERR_INVALID;
	if (!json_is_object(json)) {
		json_decref(json);
		return ERR_INVALID;
	}
	*ret = json;
	return OK;
}

int json_part(struct bytes part, json_t **ret)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PART_MAX);
	int err = jws_decode(part, &b);

	if (err < 0)
		return err == ERR_NOMEM ? err : ERR_INVALID;
	return json_object_of(buf_bytes(&b), ret);
}

void json_release(json_t **json)
{
	json_decref(*json);
}

const char *json_string_at(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

int json_seconds_at(const json_t *object, const char *name, int64_t *ret_t)
{
	const json_t *v = json_object_get(object, name);
	double t;

	if (!json_is_number(v))
		return ERR_INVALID;
	t = json_number_value(v);
	if (!(t >= -SECONDS_MAX && t <= SECONDS_MAX))
		return ERR_INVALID;
	*ret_t = (int64_t)t;
	return OK;
}
