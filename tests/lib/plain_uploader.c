/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/plain_uploader.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define BODY_MAX (4u << 20)
#define LARGE_ONE_IN 16 /* files: more than the relay takes without spooling it */
#define LARGE (1300u << 10)
#define SMALL_MAX 100000

void plain_uploader_init(struct plain_uploader *u, struct plain_place *place, uint32_t no, const struct party *me,
	const char *url, const struct id16 *record)
{
	*u = (struct plain_uploader){ .place = place,
		.no = no,
		.token = BUF_INIT(8192),
		.record = *record,
		.ucan = plain_place_ucan(place, me) };
	rpc_token(me, url, &u->token);
	pthread_mutex_init(&u->lock, NULL);
}

void plain_uploader_release(struct plain_uploader *u)
{
	buf_release(&u->token);
	free(u->ucan);
	free(u->files);
	pthread_mutex_destroy(&u->lock);
}

/* The i-th file's id; its number among the writer's deeds is out of the reach of the records'. */
static struct id16 file_id(const struct plain_uploader *u, size_t i)
{
	return plain_deed(u->no, (uint64_t)1 << 48 | i);
}

static size_t file_size(size_t i)
{
	uint64_t seed = i;

	return i % LARGE_ONE_IN == LARGE_ONE_IN - 1 ? LARGE : 1 + unit_random(&seed) % SMALL_MAX;
}

static void put_body(size_t i, struct buf *b)
{
	uint64_t seed = i;

	for (size_t left = file_size(i); left;) {
		const uint64_t r = unit_random(&seed);
		const size_t n = left < sizeof r ? left : sizeof r;

		assert_int_equal(buf_put(b, &r, n), 0);
		left -= n;
	}
}

static void put_upload_headers(const struct plain_uploader *u, const struct id16 *file, size_t size, struct buf *b)
{
	uint8_t dek[PLAIN_PLACE_DEK];
	char record[ID16_TEXT_SIZE], text[2 * PLAIN_PLACE_DEK];

	id16_format(&u->record, record);
	plain_place_dek(file, 1, dek);
	EVP_EncodeBlock((unsigned char *)text, dek, sizeof dek);
	assert_int_equal(
		buf_printf(b, "X-Record-ID: %s\r\nX-Wrapped-DEK: %s\r\nContent-Length: %zu\r\n", record, text, size),
		0);
}

/* The status; 0 if the relay is gone. */
static int ask(struct plain_uploader *u, uint16_t port, const char *verb, size_t i, struct buf *ret_answer)
{
	struct buf b = BUF_INIT(BODY_MAX);
	const struct id16 file = file_id(u, i);
	char id[ID16_TEXT_SIZE];
	int status;

	id16_format(&file, id);
	assert_int_equal(
		buf_printf(&b,
			"%s /api/v1/spaces/%s/files/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-UCAN: %s\r\n"
			"Authorization: Bearer %.*s\r\n",
			verb, u->place->text, id, u->ucan, (int)u->token.len, (const char *)u->token.data),
		0);
	if (verb[0] == 'P')
		put_upload_headers(u, &file, file_size(i), &b);
	assert_int_equal(buf_put(&b, "\r\n", 2), 0);
	if (verb[0] == 'P')
		put_body(i, &b);
	status = http_raw(port, buf_bytes(&b), ret_answer);
	buf_release(&b);
	return status;
}

/* The file to send: the last, if it is unanswered, or a new one. */
static size_t next_file(struct plain_uploader *u, bool *ret_again)
{
	size_t i;

	pthread_mutex_lock(&u->lock);
	*ret_again = u->n && !u->files[u->n - 1].answered;
	if (!*ret_again) {
		u->files = realloc(u->files, (u->n + 1) * sizeof *u->files);
		assert_non_null(u->files);
		u->files[u->n++] = (struct plain_file){ 0 };
	}
	u->again += *ret_again;
	i = u->n - 1;
	pthread_mutex_unlock(&u->lock);
	return i;
}

/* False if the relay is gone. */
static bool upload(struct plain_uploader *u)
{
	struct buf answer = BUF_INIT(BODY_MAX);
	bool again;
	const size_t i = next_file(u, &again);
	const int status = ask(u, u->port, "PUT", i, &answer);

	if (status && status != 201 && !(status == 204 && again))
		fail_msg("file %zu: %.*s", i, (int)answer.len, (const char *)answer.data);
	pthread_mutex_lock(&u->lock);
	u->files[i].answered = status != 0;
	pthread_mutex_unlock(&u->lock);
	buf_release(&answer);
	return status != 0;
}

static void *uploader_main(void *arg)
{
	struct plain_uploader *u = arg;

	do
		if (!upload(u))
			u->lost = true;
	while (!u->lost && !u->ends);
	return NULL;
}

void plain_uploader_start(struct plain_uploader *u, uint16_t port)
{
	u->port = port;
	u->ends = u->lost = false;
	assert_int_equal(pthread_create(&u->thread, NULL, uploader_main, u), 0);
}

void plain_uploader_stop(struct plain_uploader *u, bool there)
{
	u->ends = true;
	assert_int_equal(pthread_join(u->thread, NULL), 0);
	if (there)
		assert_false(u->lost);
}

bool plain_uploader_heard(
	struct plain_uploader *u, const struct id16 *file, uint64_t cursor, uint64_t size, struct bytes dek)
{
	uint8_t wanted[PLAIN_PLACE_DEK];
	bool is_new;
	size_t i = 0;

	for (int at = 10; at < 16; at++)
		i = i << 8 | file->b[at];
	if (file->b[0] != (uint8_t)u->no)
		return false;
	pthread_mutex_lock(&u->lock);
	assert_true(i < u->n);
	is_new = !u->files[i].cursor;
	if (!is_new)
		assert_int_equal(u->files[i].cursor, cursor);
	u->files[i].cursor = cursor;
	pthread_mutex_unlock(&u->lock);
	if (is_new)
		plain_place_took(u->place, cursor, *file);
	assert_int_equal(size, file_size(i));
	plain_place_dek(file, 1, wanted);
	assert_true(bytes_equal(dek, bytes_of(wanted, sizeof wanted)));
	return true;
}

void plain_uploader_check(struct plain_uploader *u, uint16_t port)
{
	struct buf body = BUF_INIT(BODY_MAX), answer = BUF_INIT(BODY_MAX);

	for (size_t i = 0; i < u->n; i++) {
		assert_true(u->files[i].answered);
		assert_true(u->files[i].cursor);
		buf_clear(&body);
		buf_clear(&answer);
		put_body(i, &body);
		assert_int_equal(ask(u, port, "GET", i, &answer), 200);
		assert_true(answer.len > body.len);
		assert_memory_equal(answer.data + answer.len - body.len, body.data, body.len);
	}
	buf_release(&body);
	buf_release(&answer);
}
