/* SPDX-License-Identifier: Apache-2.0 */
#include "server/rpc.h"

#include "server/relay.h"

static const struct method *const methods[] = {
	&method_append,
	&method_log,
	&method_claim,
	&method_push,
	&method_heal,
	&method_pull,
	&method_get,
	&method_history,
	&method_at,
	&method_head,
	&method_usage,
	&method_subscribe,
	&method_plain_push,
	&method_plain_pull,
	&method_space_create,
	&method_membership_append,
	&method_membership_list,
	&method_membership_revoke,
	&method_epoch_begin,
	&method_epoch_complete,
	&method_deks_get,
	&method_deks_get_files,
	&method_file_deks_get,
	&method_deks_rewrap,
	&method_deks_rewrap_files,
	&method_file_deks_rewrap,
	&method_invitation_create,
	&method_invitation_list,
	&method_invitation_get,
	&method_invitation_delete,
};

const struct method *rpc_find(struct bytes name)
{
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (cbor_text_is(name, methods[i]->name))
			return methods[i];
	return NULL;
}

void rpc_prepare(struct relay *relay, struct job *j)
{
	struct id16 space;

	if (depot_is_shared(relay->store) && j->method->name[0] != '/' && param_id(j->params, "space", &space) == OK)
		j->space = space; /* batch_begin locks it */
	if (j->method->prepare && j->method->prepare(relay, j) < 0)
		j->state = NULL;
}

int rpc_failed(struct job *j, int err)
{
	if (j->method->name[0] == '/') {
		j->status = err_is_full(err) ? 507 : err == ERR_OFFLINE || err == ERR_CANCELLED ? 503 : 500;
		return OK;
	}
	switch (err) {
	case ERR_NO_SPACE:
	case ERR_QUOTA:
		return j->method->lane == LANE_WRITE || j->method == &method_plain_push
			       ? job_refuse(j, "storage_full")
			       : job_error(j, "internal", "storage full");
	case ERR_NOMEM:
		return job_error(j, "internal", "out of memory");
	default:
		return j->method == &method_plain_push ? job_refuse(j, "internal")
						       : job_error(j, "internal", "storage failure");
	}
}

int param_id(struct bytes params, const char *key, struct id16 *ret_id)
{
	struct bytes text;
	int err = param_text(params, key, 36, &text);

	return err < 0 ? err : id16_parse((const char *)text.p, text.len, ret_id);
}

int param_uint(struct bytes params, const char *key, uint64_t *ret_v)
{
	struct bytes item;
	struct cbor_dec d;
	uint64_t v;
	int err = cbor_map_find(params, CBOR_RPC, key, &item);

	if (err < 0)
		return err;
	d = cbor_dec_init_rpc(item);
	v = cbor_get_uint(&d);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	*ret_v = v;
	return OK;
}

int param_bytes(struct bytes params, const char *key, size_t max, struct bytes *ret_v)
{
	struct bytes item, v;
	struct cbor_dec d;
	int err = cbor_map_find(params, CBOR_RPC, key, &item);

	if (err < 0)
		return err;
	d = cbor_dec_init_rpc(item);
	v = cbor_get_bytes(&d, max);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	*ret_v = v;
	return OK;
}

int param_text(struct bytes params, const char *key, size_t max, struct bytes *ret_v)
{
	struct bytes item, v;
	struct cbor_dec d;
	int err = cbor_map_find(params, CBOR_RPC, key, &item);

	if (err < 0)
		return err;
	d = cbor_dec_init_rpc(item);
	v = cbor_get_text(&d, max);
	if ((err = cbor_dec_end(&d)) < 0)
		return err;
	*ret_v = v;
	return OK;
}

int param_text_opt(struct bytes params, const char *key, size_t max, struct bytes *ret_v)
{
	int err = param_text(params, key, max, ret_v);

	if (err != ERR_NOT_FOUND)
		return err;
	*ret_v = bytes_of(NULL, 0);
	return OK;
}

int param_bool_opt(struct bytes params, const char *key, bool *ret_v)
{
	struct bytes item;
	struct cbor_dec d;
	int err = cbor_map_find(params, CBOR_RPC, key, &item);

	*ret_v = false;
	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	d = cbor_dec_init_rpc(item);
	*ret_v = cbor_get_bool(&d);
	return cbor_dec_end(&d);
}

int param_int_opt(struct bytes params, const char *key, int64_t otherwise, int64_t *ret_v)
{
	struct bytes item;
	struct cbor_dec d;
	int err = cbor_map_find(params, CBOR_RPC, key, &item);

	*ret_v = otherwise;
	if (err < 0)
		return err == ERR_NOT_FOUND ? OK : err;
	d = cbor_dec_init_rpc(item);
	*ret_v = cbor_get_int(&d);
	return cbor_dec_end(&d);
}

int param_array(struct bytes params, const char *key, size_t max, struct cbor_dec *ret_d, size_t *ret_n)
{
	struct bytes item;
	int err = cbor_map_find(params, CBOR_RPC, key, &item);

	if (err < 0)
		return err;
	*ret_d = cbor_dec_init_rpc(item);
	*ret_n = cbor_get_array(ret_d, max);
	return cbor_dec_error(ret_d);
}

int param_array_opt(struct bytes params, const char *key, size_t max, struct cbor_dec *ret_d, size_t *ret_n)
{
	int err = param_array(params, key, max, ret_d, ret_n);

	if (err != ERR_NOT_FOUND)
		return err;
	*ret_n = 0;
	*ret_d = cbor_dec_init_rpc(bytes_of(NULL, 0));
	return OK;
}

void put_id(struct cbor_enc *e, const struct id16 *id)
{
	char text[ID16_TEXT_SIZE];

	id16_format(id, text);
	cbor_put_text(e, text);
}
