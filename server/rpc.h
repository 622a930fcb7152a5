/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc: the methods of the relay, and what they share to read params.
 *
 *	const struct method *m = rpc_find(name);
 *	struct job *j = job_new(m, conn, caller); ... j->in, j->id, j->params ...
 *	rpc_prepare(relay, j);
 *	if ((err = m->run(relay, j, store)) < 0) rpc_failed(j, err);
 */
#ifndef COFFER_SERVER_RPC_H
#define COFFER_SERVER_RPC_H

#include "server/job.h"

/* A method by name; NULL if there is none. */
const struct method *rpc_find(struct bytes name);

/* Runs the method's prepare, if it has one. On failure j->state stays NULL. */
void rpc_prepare(struct relay *relay, struct job *j);

/* Answers for a run that failed with `err`, after job_drop_results. */
int rpc_failed(struct job *j, int err) MUST_CHECK;

extern const struct method method_append, method_log, method_claim, method_push, method_heal, method_pull, method_get,
	method_head, method_history, method_at, method_usage, method_subscribe;
extern const struct method method_plain_push, method_plain_pull, method_space_create, method_epoch_begin,
	method_epoch_complete, method_deks_get, method_file_deks_get, method_deks_get_files, method_deks_rewrap,
	method_file_deks_rewrap, method_deks_rewrap_files, method_membership_append, method_membership_list,
	method_membership_revoke, method_invitation_create, method_invitation_list, method_invitation_get,
	method_invitation_delete;
extern const struct method method_elsewhere; /* elsewhere.c; no client calls it */
extern const struct method method_http_keep, method_http_put, method_http_get, method_http_status;

/* Params by key, in any order. Absent: ERR_NOT_FOUND; of another type or over the cap: ERR_INVALID or ERR_RANGE. */
int param_id(struct bytes params, const char *key, struct id16 *ret_id) MUST_CHECK; /* UUID text */
int param_uint(struct bytes params, const char *key, uint64_t *ret_v) MUST_CHECK;
int param_bytes(struct bytes params, const char *key, size_t max, struct bytes *ret_v) MUST_CHECK;
int param_text(struct bytes params, const char *key, size_t max, struct bytes *ret_v) MUST_CHECK;
/* *ret_d stands at the first of *ret_n items. */
int param_array(struct bytes params, const char *key, size_t max, struct cbor_dec *ret_d, size_t *ret_n) MUST_CHECK;
/* The same, but absent gives *ret_n = 0. */
int param_array_opt(struct bytes params, const char *key, size_t max, struct cbor_dec *ret_d, size_t *ret_n) MUST_CHECK;

/* Absent gives an empty text, false, or `otherwise`. */
int param_text_opt(struct bytes params, const char *key, size_t max, struct bytes *ret_v) MUST_CHECK;
int param_bool_opt(struct bytes params, const char *key, bool *ret_v) MUST_CHECK;
int param_int_opt(struct bytes params, const char *key, int64_t otherwise, int64_t *ret_v) MUST_CHECK;

/* Puts a UUID as text. */
void put_id(struct cbor_enc *e, const struct id16 *id);

#endif
