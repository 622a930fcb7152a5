/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer.claim {code}: the caller's person may make spaces from now on, if the code is one that lets them (admission.h). Again is
 * confirmed again. On a relay that is open to all there is nothing to claim, and any code does.
 */
#include "base/log.h"
#include "server/admission.h"
#include "server/relay.h"
#include "server/rpc.h"

#define CODE_TEXT_MAX 128

static int answer_ok(struct job *j)
{
	struct buf b;
	struct cbor_enc e;

	job_begin_result(j, &b, &e);
	cbor_put_map(&e, 1);
	cbor_put_text(&e, "ok");
	cbor_put_bool(&e, true);
	return job_send(j, &b, &e);
}

static int claim_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct bytes code;
	int err;

	if (param_text(j->params, "code", CODE_TEXT_MAX, &code) < 0)
		return job_error(j, "invalid_params", "code is not a text");
	if (j->caller->plain.trusted)
		return job_error(j, "forbidden", "an account server speaks for this caller");
	if (relay_config(relay)->strangers == STRANGERS_OPEN)
		return answer_ok(j);
	/* before anything else: a token merely claims its person, so that whoever asks may ask for another */
	if (job_take(relay, j, LIMIT_INVITE, 1) < 0)
		return job_error(j, "rate_limited", "too many codes");
	if ((err = admission_has(relay, store, &j->caller->person)))
		return err < 0 ? err : answer_ok(j);
	err = admission_claim(relay, store, &j->caller->person, code);
	if (err == ERR_NOT_FOUND) {
		if (job_miss(relay, j, LIMIT_INVITE))
			log_info("a set-up or guest's code that is not good, from %s", j->caller->addr);
		return job_error(j, "not_found", "that code is wrong, used up or expired");
	}
	if (err < 0)
		return err;
	if (job_hit(relay, j, LIMIT_INVITE))
		log_info("person %s may make spaces now", log_id32(&j->caller->person).s);
	return answer_ok(j);
}

const struct method method_claim = { "coffer.claim", LANE_WRITE, NULL, claim_run, NULL };
