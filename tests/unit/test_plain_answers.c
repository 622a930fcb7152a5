/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers of the plain protocol: what the relay says, byte for byte, as the protocol's reference prints it (appendix A, whose
 * numbers stand beside the bytes), but for the request's id, which here is the bench's "1". The bytes were encoded apart from the
 * project's own encoder, from the reference's diagnostic notation.
 */
#include "crypto/hash.h"
#include "server/plain.h"
#include "server/rpc.h"
#include "tests/lib/plain_scene.h"

#define SPACE "da29e793-3f05-51c3-9f72-63cc953f9c05"
#define SPACE_HEX "782464613239653739332d336630352d353163332d396637322d363363633935336639633035" /* with its length */
#define R1_HEX "782430313934303065382d376235642d373030302d383030302d303030303030303030303031"
#define DEK_HEX \
	"582c00000001" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define RESULT "a3647479706501626964613166726573756c74"
#define CHUNK "a46474797065036269646131646e616d65"
#define NOTICE "a3647479706502666d6574686f64"
#define BLOB "\x04\x01\x02\x03"

/* The scene, with the reference's space as Alice's own. */
static int setup(void **state)
{
	scene_setup(state);
	return id16_parse(SPACE, 36, &((struct scene *)*state)->a->plain.personal);
}

static void expect(struct answer a, const char *hex)
{
	scene_expect_bytes(a.message, hex);
	answer_release(&a);
}

static void expect_chunk(const struct answer *a, size_t i, const char *hex)
{
	const struct message_node *n = a->frames.first;

	while (i--)
		n = n->next;
	scene_expect_bytes(n->m, hex);
}

static struct answer subscribe(struct scene *x, struct caller *c)
{
	struct params p;

	params_begin(&p, 1);
	params_array(&p, "spaces", 1);
	cbor_put_map(&p.e, 4);
	params_text(&p, "id", SPACE);
	params_undefined(&p, "ucan"); /* as the public client writes it */
	params_uint(&p, "since", 0);
	cbor_put_text(&p.e, "presence");
	cbor_put_bool(&p.e, true);
	return scene_call(x, c, "subscribe", &p);
}

static struct answer keys(struct scene *x, struct caller *c)
{
	struct params p;

	params_begin(&p, 2);
	params_text(&p, "space", SPACE);
	params_uint(&p, "since", 0);
	return scene_call(x, c, "deks.get", &p);
}

/* A request as the public client writes it. */
static struct answer send_frame(struct scene *x, struct caller *c, const char *hex)
{
	struct buf frame = BUF_INIT(1024), params = BUF_INIT(FRAME_MAX);
	char method[FRAME_MAX_NAME + 1];
	struct frame f;
	struct answer a;

	unit_put_hex(&frame, hex);
	assert_int_equal(frame_decode(buf_bytes(&frame), &f), 0);
	assert_int_equal(f.type, FRAME_REQUEST);
	snprintf(method, sizeof method, "%.*s", (int)f.name.len, (const char *)f.name.p);
	assert_int_equal(buf_put(&params, f.value.p, f.value.len), 0);
	a = bench_call(&x->r, c, method, &params);
	buf_release(&frame);
	return a;
}

static void requests_of_the_public_client(void **state)
{
	struct scene *x = *state;

	expect(send_frame(x, x->a, /* 2 */
		       "a4626964677270632d312d78647479706500666d6574686f646973756273637269626566706172616d73a1667370616"
		       "3"
		       "657381a4626964" SPACE_HEX "647563616ef76573696e6365006870726573656e6365f5"),
		RESULT "a16673706163657381a3626964" SPACE_HEX "66637572736f7200"
		       "6e6b65795f67656e65726174696f6e01"); /* 3 */
	expect(send_frame(x, x->a,                          /* 5 */
		       "a4626964677270632d322d78647479706500666d6574686f64647075736866706172616d73a265737061636"
		       "5" SPACE_HEX "676368616e67657381a4626964" R1_HEX "6364656b" DEK_HEX
		       "64626c6f6244040102036f65787065637465645f637572736f7200"),
		RESULT "a2626f6bf566637572736f7201"); /* 7 */
	expect(send_frame(x, x->a,                    /* 6 */
		       "a4626964677270632d332d78647479706500666d6574686f64647075736866706172616d73a265737061636"
		       "5" SPACE_HEX "676368616e67657381a3626964" R1_HEX
		       "64626c6f62f66f65787065637465645f637572736f7201"),
		RESULT "a2626f6bf566637572736f7202");
}

static void an_unused_space(void **state)
{
	struct scene *x = *state;

	expect(subscribe(x, x->a), /* 3 */
		RESULT "a16673706163657381a3626964" SPACE_HEX "66637572736f7200"
		       "6e6b65795f67656e65726174696f6e01");
}

static void rights_that_are_missing(void **state)
{
	struct scene *x = *state;

	expect(subscribe(x, x->b), /* 4 */
		RESULT "a26673706163657380666572726f727381a2657370616365" SPACE_HEX "656572726f72"
		       "69666f7262696464656e");
	expect(keys(x, x->b), /* 9 */
		"a36474797065016269646131656572726f72a264636f646569666f7262696464656e676d657373616765"
		"69666f7262696464656e");
}

static void a_push_and_what_others_hear(void **state)
{
	struct scene *x = *state;
	struct answer a = scene_push(x, x->a, SPACE, NULL, SCENE_R1, BLOB, 0, 1);

	scene_expect_bytes(a.notice, /* 10 */
		NOTICE "6473796e6366706172616d73a5657370616365" SPACE_HEX "64707265760066637572736f7201"
		       "6e6b65795f67656e65726174696f6e01677265636f72647381a4626964" R1_HEX
		       "64626c6f62440401020366637572736f72016364656b" DEK_HEX);
	expect(a, RESULT "a2626f6bf566637572736f7201");                /* 7 */
	expect(scene_push(x, x->a, SPACE, NULL, SCENE_R1, BLOB, 0, 1), /* 8 */
		RESULT "a2626f6bf4656572726f7268636f6e666c696374");
	a = scene_push(x, x->a, SPACE, NULL, SCENE_R1, NULL, 1, -1);
	scene_expect_bytes(a.notice, /* 10, a deleted record */
		NOTICE "6473796e6366706172616d73a5657370616365" SPACE_HEX "64707265760166637572736f7202"
		       "6e6b65795f67656e65726174696f6e01677265636f72647381a3626964" R1_HEX
		       "66637572736f72026764656c65746564f5");
	answer_release(&a);
}

static void a_pull_of_one_record(void **state)
{
	struct scene *x = *state;
	struct answer a;

	scene_push_ok(x, x->a, SPACE, NULL, SCENE_R1, BLOB, 0, 1);
	a = scene_pull(x, x->a, SPACE, NULL, 0);
	assert_int_equal(a.chunks, 3);
	expect_chunk(&a, 0, /* 11 */
		CHUNK "6a70756c6c2e626567696e6464617461a4657370616365" SPACE_HEX "64707265760066637572736f7201"
		      "6e6b65795f67656e65726174696f6e01");
	expect_chunk(&a, 1, /* 12 */
		CHUNK "6b70756c6c2e7265636f72646464617461a5657370616365" SPACE_HEX "626964" R1_HEX
		      "64626c6f62440401020366637572736f72016364656b" DEK_HEX);
	expect_chunk(&a, 2, /* 13 */
		CHUNK "6b70756c6c2e636f6d6d69746464617461a4657370616365" SPACE_HEX "64707265760066637572736f7201"
		      "65636f756e7401");
	expect(a, RESULT "a1675f6368756e6b7303"); /* 14 */
}

static void a_members_entry(void **state)
{
	static const uint8_t hash[32] = { 0x6d, 0x22, 0x98, 0x84, 0xc1, 0x26, 0x8b, 0xb0, 0xab, 0x32, 0xd8, 0xda, 0x31,
		0x5d, 0x0f, 0xe5, 0x2f, 0x91, 0x47, 0x22, 0x8b, 0xd8, 0x30, 0xa3, 0x7b, 0xc9, 0xfb, 0x28, 0xa9, 0x54,
		0x94, 0x0d };
	struct scene *x = *state;
	struct params p;

	params_begin(&p, 5);
	params_text(&p, "space", SCENE_SPACE);
	params_text(&p, "ucan", x->ua);
	params_uint(&p, "expected_version", 0);
	params_bytes(&p, "entry_hash", hash, sizeof hash);
	params_bytes(&p, "payload", "opaque", 6);
	expect(scene_call(x, x->a, "membership.append", &p), /* 15 */
		RESULT "a269636861696e5f73657101706d657461646174615f76657273696f6e01");
}

static void keys_of_records(void **state)
{
	struct scene *x = *state;
	struct answer a;

	scene_push_ok(x, x->a, SPACE, NULL, SCENE_R1, BLOB, 0, 1);
	a = keys(x, x->a);
	assert_int_equal(a.chunks, 1);
	expect_chunk(&a, 0, /* 16 */
		CHUNK "6b64656b732e7265636f72646464617461a3626964" R1_HEX "6364656b" DEK_HEX "6373657101");
	expect(a, RESULT "a26464656b7381a3626964" R1_HEX "6364656b" DEK_HEX "6373657101675f6368756e6b7301");
}

static void two_who_turn_the_key(void **state)
{
	struct scene *x = *state;

	scene_not_refused(scene_ask(x, x->a, "epoch.begin", x->ua, "epoch", 2));
	expect(scene_ask(x, x->a, "epoch.begin", x->ua, "epoch", 2), /* 17 */
		RESULT "a3656572726f726e65706f63685f636f6e666c6963746d63757272656e745f65706f636802"
		       "6c7265777261705f65706f636802");
	expect(scene_ask(x, x->a, "epoch.complete", x->ua, "epoch", 2), RESULT "a0"); /* 20 */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_of_the_public_client),
		TEST(an_unused_space),
		TEST(rights_that_are_missing),
		TEST(a_push_and_what_others_hear),
		TEST(a_pull_of_one_record),
		TEST(a_members_entry),
		TEST(keys_of_records),
		TEST(two_who_turn_the_key),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
