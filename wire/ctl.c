/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/ctl.h"

#include "base/cleanup.h"
#include "wire/cbor.h"
#include "wire/msg.h"

#define WORD_MAX 64
#define SENTENCE_MAX 4096
#define ITEMS_MAX (1u << 20)

static const uint8_t empty_map[] = { 0xa0 };

static void put_map(struct cbor_enc *e, struct bytes map)
{
	cbor_put_raw(e, map.len ? map : bytes_of(empty_map, sizeof empty_map));
}

static int put_framed(struct buf *b, const struct cbor_enc *e, const struct buf *item)
{
	int err = cbor_enc_end(e);

	return err < 0 ? err : msg_put_frame(b, buf_bytes(item));
}

int ctl_put_request(struct buf *b, const char *verb, struct bytes args)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT_SECRET(CTL_MAX);
	struct cbor_enc e = cbor_enc_init(&item);

	cbor_put_map(&e, 2);
	cbor_put_text(&e, "args");
	put_map(&e, args);
	cbor_put_text(&e, "verb");
	cbor_put_text(&e, verb);
	return put_framed(b, &e, &item);
}

int ctl_put_result(struct buf *b, struct bytes result)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT_SECRET(CTL_MAX);
	struct cbor_enc e = cbor_enc_init(&item);

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "result");
	put_map(&e, result);
	return put_framed(b, &e, &item);
}

int ctl_put_error(struct buf *b, int err, int exit_code, const char *message, const char *next)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(CTL_MAX);
	struct cbor_enc e = cbor_enc_init(&item);

	cbor_put_map(&e, 1);
	cbor_put_text(&e, "error");
	cbor_put_map(&e, 4);
	cbor_put_text(&e, "exit");
	cbor_put_uint(&e, exit_code > 0 ? (uint64_t)exit_code : 0);
	cbor_put_text(&e, "name");
	cbor_put_text(&e, err_name(err));
	cbor_put_text(&e, "next");
	cbor_put_text(&e, next ? next : "");
	cbor_put_text(&e, "message");
	cbor_put_text(&e, message ? message : err_str(err));
	return put_framed(b, &e, &item);
}

static int check_item(struct bytes item)
{
	if (item.len > CTL_MAX)
		return ERR_RANGE;
	return cbor_check(item, CBOR_STRICT, ITEMS_MAX);
}

/* The next key must be `key`. */
static void expect(struct cbor_dec *d, const char *key)
{
	struct bytes text = cbor_get_text(d, WORD_MAX);

	if (!cbor_text_is(text, key))
		cbor_dec_fail(d, ERR_INVALID);
}

static struct bytes get_map(struct cbor_dec *d)
{
	if (cbor_peek(d) != CBOR_MAP)
		cbor_dec_fail(d, ERR_INVALID);
	return cbor_get_raw(d);
}

int ctl_decode_request(struct bytes item, struct ctl_request *ret_r)
{
	struct cbor_dec d = cbor_dec_init(item);
	struct ctl_request r;
	int err = check_item(item);

	if (err < 0)
		return err;
	if (cbor_get_map(&d, 2) != 2)
		cbor_dec_fail(&d, ERR_INVALID);
	expect(&d, "args");
	r.args = get_map(&d);
	expect(&d, "verb");
	r.verb = cbor_get_text(&d, WORD_MAX);
	err = cbor_dec_end(&d);
	if (err < 0)
		return err;
	*ret_r = r;
	return OK;
}

static void get_error(struct cbor_dec *d, struct ctl_error *e)
{
	if (cbor_get_map(d, 4) != 4)
		cbor_dec_fail(d, ERR_INVALID);
	expect(d, "exit");
	e->exit = cbor_get_uint(d);
	expect(d, "name");
	e->name = cbor_get_text(d, WORD_MAX);
	expect(d, "next");
	e->next = cbor_get_text(d, SENTENCE_MAX);
	expect(d, "message");
	e->message = cbor_get_text(d, SENTENCE_MAX);
	if (e->exit > 255)
		cbor_dec_fail(d, ERR_INVALID);
}

int ctl_decode_answer(struct bytes item, struct ctl_answer *ret_a)
{
	struct cbor_dec d = cbor_dec_init(item);
	struct ctl_answer a = { .kind = CTL_RESULT };
	struct bytes key;
	size_t n;
	int err = check_item(item);

	if (err < 0)
		return err;
	n = cbor_get_map(&d, 1);
	key = cbor_get_text(&d, WORD_MAX);
	if (n == 1 && cbor_text_is(key, "result")) {
		a.result = get_map(&d);
	} else if (n == 1 && cbor_text_is(key, "error")) {
		a.kind = CTL_ERROR;
		get_error(&d, &a.error);
	} else {
		cbor_dec_fail(&d, ERR_INVALID);
	}
	err = cbor_dec_end(&d);
	if (err < 0)
		return err;
	*ret_a = a;
	return OK;
}
