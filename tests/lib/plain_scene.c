/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/plain_scene.h"
#include <stdlib.h>
#include "crypto/hash.h"
#include "server/plain.h"

struct answer scene_call(struct scene *x, struct caller *c, const char *method, struct params *p)
{
	assert_int_equal(cbor_enc_end(&p->e), 0);
	return bench_call(&x->r, c, method, &p->b);
}

/* One change; blob NULL: a tombstone. */
struct answer scene_push(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	const char *blob, uint64_t expected, int epoch)
{
	struct params p;

	params_begin(&p, 3);
	params_text(&p, "space", space);
	if (ucan)
		params_text(&p, "ucan", ucan);
	else
		params_undefined(&p, "ucan");
	params_array(&p, "changes", 1);
	cbor_put_map(&p.e, epoch >= 0 ? 4 : 3);
	params_text(&p, "id", id);
	cbor_put_text(&p.e, "blob");
	if (blob)
		cbor_put_bytes(&p.e, blob, strlen(blob));
	else
		cbor_put_null(&p.e);
	params_uint(&p, "expected_cursor", expected);
	if (epoch >= 0)
		params_dek(&p, (uint8_t)epoch);
	return scene_call(x, c, "push", &p);
}

void scene_push_ok(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	const char *blob, uint64_t expected, uint64_t cursor)
{
	struct answer a = scene_push(x, c, space, ucan, id, blob, expected, 1);

	assert_true(answer_ok(&a));
	assert_int_equal(answer_uint(&a, "cursor"), cursor);
	answer_release(&a);
}

void scene_push_refused(struct scene *x, struct caller *c, const char *space, const char *ucan, const char *id,
	uint64_t expected, const char *why)
{
	struct answer a = scene_push(x, c, space, ucan, id, "blob", expected, 1);

	if (!answer_refused(&a, why))
		fail_msg("not %s", why);
	assert_null(a.notice);
	answer_release(&a);
}

struct answer scene_pull(struct scene *x, struct caller *c, const char *space, const char *ucan, uint64_t since)
{
	struct params p;

	params_begin(&p, 1);
	params_array(&p, "spaces", 1);
	cbor_put_map(&p.e, 3);
	params_text(&p, "id", space);
	if (ucan)
		params_text(&p, "ucan", ucan);
	else
		params_undefined(&p, "ucan");
	params_uint(&p, "since", since);
	return scene_call(x, c, "pull", &p);
}

struct answer scene_ask(
	struct scene *x, struct caller *c, const char *method, const char *ucan, const char *key, uint64_t v)
{
	struct params p;

	params_begin(&p, 3);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", ucan);
	params_uint(&p, key, v);
	return scene_call(x, c, method, &p);
}

void scene_refused(struct answer a, const char *code, const char *message)
{
	assert_true(a.last.is_error);
	if (!cbor_text_is(a.last.code, code) || (message && !cbor_text_is(a.last.message, message)))
		fail_msg("%.*s: %.*s", (int)a.last.code.len, (const char *)a.last.code.p, (int)a.last.message.len,
			(const char *)a.last.message.p);
	answer_release(&a);
}

void scene_not_refused(struct answer a)
{
	assert_false(a.last.is_error);
	answer_release(&a);
}

void scene_expect_bytes(const struct message *m, const char *hex)
{
	struct bytes got = message_bytes(m);
	char *want = strdup(hex), digit[3] = "";

	assert_non_null(want);
	assert_int_equal(got.len * 2, strlen(want));
	for (size_t i = 0; i < got.len; i++) {
		memcpy(digit, want + 2 * i, 2);
		assert_int_equal(got.p[i], strtoul(digit, NULL, 16));
	}
	free(want);
}

/* --- scene --- */

static void create_space(struct scene *x)
{
	struct params p;
	struct answer a;

	params_begin(&p, 2);
	params_text(&p, "id", SCENE_SPACE);
	params_bytes(&p, "root_public_key", x->root.point, sizeof x->root.point);
	a = scene_call(x, x->a, "space.create", &p);
	assert_int_equal(answer_uint(&a, "key_generation"), 1);
	answer_release(&a);
}

int scene_setup(void **state)
{
	struct scene *x = calloc(1, sizeof *x);
	int64_t exp;

	assert_non_null(x);
	relay_bench_open(&x->r);
	exp = relay_now(&x->r.relay) + 1000;
	plain_party_init(&x->root, 1);
	plain_party_init(&x->alice, 2);
	plain_party_init(&x->bob, 3);
	x->a = plain_party_caller(&x->alice, "alice");
	x->b = plain_party_caller(&x->bob, "bob");
	assert_int_equal(id16_parse(SCENE_SPACE, 36, &x->space), 0);
	x->ua = plain_party_ucan(&x->root, x->alice.did, &x->space, "/space/admin", exp, NULL);
	x->ub = plain_party_ucan(&x->alice, x->bob.did, &x->space, "/space/write", exp, x->ua);
	id16_format(&x->a->plain.personal, x->personal);
	create_space(x);
	*state = x;
	return 0;
}

int scene_teardown(void **state)
{
	struct scene *x = *state;

	caller_unref(x->a);
	caller_unref(x->b);
	free(x->ua);
	free(x->ub);
	plain_party_release(&x->root);
	plain_party_release(&x->alice);
	plain_party_release(&x->bob);
	relay_bench_close(&x->r);
	free(x);
	return 0;
}
