/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/plain_asker.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include "crypto/hash.h"
#include "server/jwt.h"
#include "server/rpc.h"
#include "tests/lib/params.h"

#define BLOB 300
#define FILE_BYTES 70000

/* --- requests --- */

/* {space, ucan} and, after them, n more. */
static void begin_params(const struct plain_asker *a, struct params *p, size_t n)
{
	params_begin(p, 2 + n);
	params_text(p, "space", a->place.text);
	params_text(p, "ucan", a->ucan);
}

static void send_params(struct plain_asker *a, const char *method, struct params *p)
{
	assert_int_equal(cbor_enc_end(&p->e), 0);
	rpc_send_request(&a->c, method, buf_bytes(&p->b));
	buf_release(&p->b);
	a->sent++;
	a->unanswered++;
}

/* A method that takes the space and one number. */
static void send_number(struct plain_asker *a, const char *method, const char *key, uint64_t v)
{
	struct params p;

	begin_params(a, &p, 1);
	params_uint(&p, key, v);
	send_params(a, method, &p);
}

/* subscribe or pull. */
static void send_spaces(struct plain_asker *a, const char *method, uint64_t since)
{
	struct params p;

	params_begin(&p, 1);
	params_array(&p, "spaces", 1);
	cbor_put_map(&p.e, 4);
	params_text(&p, "id", a->place.text);
	params_text(&p, "ucan", a->ucan);
	params_uint(&p, "since", since);
	cbor_put_text(&p.e, "presence");
	cbor_put_bool(&p.e, true);
	send_params(a, method, &p);
}

static void send_live(struct plain_asker *a, const char *name, bool data)
{
	struct buf b = BUF_INIT(65536);
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str(name));
	cbor_put_map(&e, data ? 2 : 1);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, a->place.text);
	if (data) {
		cbor_put_text(&e, "data");
		cbor_put_bytes(&e, &a->round, sizeof a->round);
	}
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_send(&a->c, buf_bytes(&b), true);
	buf_release(&b);
	a->sent++;
}

static void refuse_to_go_on(const char *method, const struct reply *r)
{
	fail_msg("%s: %.*s", method, (int)r->f.message.len, (const char *)r->f.message.p);
}

/* All answers but the last, whatever they say. */
static void take_answers(struct plain_asker *a)
{
	for (; a->unanswered; a->unanswered--) {
		struct reply r = rpc_reply(&a->c);

		reply_release(&r);
	}
	buf_clear(&a->c.notices);
}

/* The answer to what was asked last; it is no error. */
static struct reply take_last(struct plain_asker *a, const char *method)
{
	struct reply r;

	a->unanswered--;
	take_answers(a);
	r = rpc_reply(&a->c);
	if (r.f.is_error)
		refuse_to_go_on(method, &r);
	return r;
}

static void take_good(struct plain_asker *a, const char *method)
{
	struct reply r = take_last(a, method);

	reply_release(&r);
}

/* --- records and keys --- */

static void push(struct plain_asker *a, uint64_t record, uint64_t expected, bool live)
{
	const struct id16 id = plain_deed(1, record);
	uint8_t blob[BLOB] = { 0 }, dek[PLAIN_PLACE_DEK];
	char text[ID16_TEXT_SIZE];
	struct params p;
	struct reply r;

	id16_format(&id, text);
	memcpy(blob, &a->round, sizeof a->round);
	begin_params(a, &p, 1);
	params_array(&p, "changes", 1);
	cbor_put_map(&p.e, live ? 4 : 2);
	params_text(&p, "id", text);
	params_uint(&p, "expected_cursor", expected);
	if (live) {
		params_bytes(&p, "blob", blob, sizeof blob);
		plain_place_dek(&id, a->epoch, dek);
		params_bytes(&p, "dek", dek, sizeof dek);
	}
	send_params(a, "push", &p);
	r = take_last(a, "push");
	assert_true(reply_ok(&r));
	a->cursor = reply_uint(&r, "cursor");
	reply_release(&r);
}

static void turn_key(struct plain_asker *a)
{
	const struct id16 id = plain_deed(1, 0);
	uint8_t dek[PLAIN_PLACE_DEK];
	char text[ID16_TEXT_SIZE];
	struct params p;

	send_number(a, "epoch.begin", "epoch", ++a->epoch);
	send_number(a, "epoch.begin", "epoch", a->epoch); /* refused */
	send_number(a, "deks.get", "since", 0);
	send_number(a, "deks.getFiles", "since", 0);
	id16_format(&id, text);
	begin_params(a, &p, 1);
	params_array(&p, "deks", 1);
	cbor_put_map(&p.e, 2);
	params_text(&p, "id", text);
	plain_place_dek(&id, a->epoch, dek);
	params_bytes(&p, "dek", dek, sizeof dek);
	send_params(a, "deks.rewrap", &p);
	take_good(a, "deks.rewrap");
	send_number(a, "epoch.complete", "epoch", a->epoch);
	take_good(a, "epoch.complete");
}

/* --- letters --- */

/* The mailbox that the relay computes for a device that speaks for itself. */
static void mailbox_of(const struct party *p, char ret_hex[ID32_TEXT_SIZE])
{
	char did[DID_KEY_TEXT_SIZE];
	struct plain_self self = { 0 };
	const struct jwt_rules rules = { 0 };

	id32_format_did(identity_device(p->id), did);
	assert_int_equal(jwt_self(&rules, bytes_str(did), bytes_str(did), bytes_str(did), &self), 0);
	id32_format(&self.subject, ret_hex);
}

static void send_text(struct plain_asker *a, const char *method, const char *key, const char *text)
{
	struct params p;

	params_begin(&p, 1);
	params_text(&p, key, text);
	send_params(a, method, &p);
}

/* One comes into the own mailbox, is read and goes. */
static void exchange_letter(struct plain_asker *a)
{
	struct params p;
	struct reply r;
	struct bytes text;
	char box[ID32_TEXT_SIZE], id[ID16_TEXT_SIZE];

	mailbox_of(&a->me, box);
	params_begin(&p, 2);
	params_text(&p, "mailbox_id", box);
	params_text(&p, "payload", "a sealed letter");
	send_params(a, "invitation.create", &p);
	r = take_last(a, "invitation.create");
	assert_int_equal(param_text(r.f.value, "id", 36, &text), 0);
	snprintf(id, sizeof id, "%.*s", (int)text.len, (const char *)text.p);
	reply_release(&r);
	send_text(a, "invitation.create", "mailbox_id", "no mailbox"); /* refused */
	send_text(a, "invitation.get", "id", id);
	send_text(a, "invitation.list", "after", id);
	send_text(a, "invitation.delete", "id", id);
	take_good(a, "invitation.delete");
}

/* --- files --- */

static void ask_file(struct plain_asker *a, const char *verb, uint64_t file, uint64_t record, int status)
{
	const struct id16 file_id = plain_deed(2, file), record_id = plain_deed(1, record);
	struct buf b = BUF_INIT(1u << 20);
	uint8_t dek[PLAIN_PLACE_DEK];
	char id[ID16_TEXT_SIZE], on[ID16_TEXT_SIZE], key[2 * PLAIN_PLACE_DEK];

	id16_format(&file_id, id);
	id16_format(&record_id, on);
	plain_place_dek(&file_id, a->epoch, dek);
	EVP_EncodeBlock((unsigned char *)key, dek, sizeof dek);
	assert_int_equal(
		buf_printf(&b,
			"%s /api/v1/spaces/%s/files/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-UCAN: %s\r\n"
			"Authorization: Bearer %.*s\r\nX-Record-ID: %s\r\nX-Wrapped-DEK: %s\r\nContent-Length: "
			"%d\r\n\r\n",
			verb, a->place.text, id, a->ucan, (int)a->token.len, (const char *)a->token.data, on, key,
			verb[0] == 'P' ? FILE_BYTES : 0),
		0);
	for (size_t i = 0; i < FILE_BYTES / sizeof key && verb[0] == 'P'; i++)
		assert_int_equal(buf_put(&b, key, sizeof key), 0);
	for (size_t i = 0; i < FILE_BYTES % sizeof key && verb[0] == 'P'; i++)
		assert_int_equal(buf_put_u8(&b, 0), 0);
	buf_clear(&a->answer);
	assert_int_equal(http_raw(a->port, buf_bytes(&b), &a->answer), status);
	buf_release(&b);
	a->sent++;
}

/* --- others --- */

/* Takes what was told to who listens. */
static void drain(struct plain_asker *a)
{
	struct buf params = BUF_INIT(16);
	struct cbor_enc e = cbor_enc_init(&params);
	struct reply r;

	cbor_put_map(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
	r = rpc_call(&a->listens, "invitation.list", &params);
	reply_release(&r);
	buf_clear(&a->listens.notices);
	a->sent++;
}

static void begin_to_listen(struct plain_asker *a)
{
	struct plain_asker other = { .place = a->place, .c = a->listens, .ucan = a->other_ucan };

	send_spaces(&other, "subscribe", 0);
	take_good(&other, "subscribe");
	a->listens = other.c;
}

void plain_asker_begin(struct plain_asker *a, uint16_t port, const char *url)
{
	*a = (struct plain_asker){ .port = port, .epoch = 1, .token = BUF_INIT(8192), .answer = BUF_INIT(8u << 20) };
	plain_place_init(&a->place);
	party_init(&a->me, "asks");
	party_init(&a->other, "listens");
	a->ucan = plain_place_ucan(&a->place, &a->me);
	a->other_ucan = plain_place_ucan(&a->place, &a->other);
	rpc_token(&a->me, url, &a->token);
	rpc_open(&a->c, port);
	rpc_auth(&a->c, &a->me, url);
	rpc_open(&a->listens, port);
	rpc_auth(&a->listens, &a->other, url);
	plain_place_create(&a->place, &a->c);
	send_spaces(a, "subscribe", 0);
	take_good(a, "subscribe");
	begin_to_listen(a);
	push(a, 0, 0, true);
	ask_file(a, "PUT", 0, 0, 201);
	a->standing = a->cursor;
}

size_t plain_asker_round(struct plain_asker *a)
{
	a->sent = 0;
	a->round++;
	for (int i = 0; i < 4; i++) {
		send_spaces(a, "pull", a->standing - 1);
		send_spaces(a, "subscribe", 0);
		send_number(a, "deks.get", "since", 0);
		send_number(a, "file.deks.get", "since", a->standing);
		send_number(a, "membership.list", "since_seq", a->entries);
		send_number(a, "epoch.begin", "epoch", a->epoch); /* refused */
		send_live(a, "presence.set", true);
		send_live(a, "event.send", true);
	}
	send_live(a, "presence.clear", false);
	take_answers(a);
	push(a, 0, a->standing, true);
	a->standing = a->cursor;
	ask_file(a, "PUT", 0, 0, 204);
	ask_file(a, "GET", 0, 0, 200);
	if (a->round % 4 == 0)
		exchange_letter(a);
	if (a->round % 4 == 1)
		turn_key(a);
	drain(a);
	return a->sent;
}

static void append_entry(struct plain_asker *a)
{
	const struct id32 before = a->last;
	struct params p;

	begin_params(a, &p, a->entries ? 4 : 3);
	params_uint(&p, "expected_version", a->entries);
	if (a->entries++)
		params_bytes(&p, "prev_hash", before.b, sizeof before.b);
	hash_sha256(bytes_of(&a->entries, sizeof a->entries), &a->last);
	params_bytes(&p, "entry_hash", a->last.b, sizeof a->last.b);
	params_bytes(&p, "payload", &a->entries, sizeof a->entries);
	send_params(a, "membership.append", &p);
	take_good(a, "membership.append");
}

size_t plain_asker_grow(struct plain_asker *a)
{
	const uint64_t n = ++a->files;

	a->sent = 0;
	append_entry(a);
	push(a, n, 0, true);
	ask_file(a, "PUT", n, n, 201);
	push(a, n, a->cursor, false); /* and the file with it */
	ask_file(a, "GET", n, n, 404);
	return a->sent;
}

void plain_asker_end(struct plain_asker *a)
{
	rpc_close(&a->c);
	rpc_close(&a->listens);
	plain_place_release(&a->place);
	party_release(&a->me);
	party_release(&a->other);
	free(a->ucan);
	free(a->other_ucan);
	buf_release(&a->token);
	buf_release(&a->answer);
}
