/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_requests PORT N MARKS COMMAND: asks a relay on this machine some N things of all kinds, good and bad, and runs the command
 * after each N/MARKS: requests on one connection, pushes, everything of the plain protocol (plain_asker.h), connections that
 * come and go, HTTP, what is refused. For tests of what that leaves in the relay's memory; what is stored grows by a handful of
 * rows in 10,000 requests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "tests/lib/plain_asker.h"
#include "tests/lib/program.h"
#include "tests/lib/rpc_client.h"

#define PIPELINED 48 /* of a round */
#define ROUNDS_TO_GROW 100

struct asker {
	uint16_t port;
	char url[64];
	struct party alice;
	struct new_space s;
	struct id16 space;
	struct rpc_client c;
	uint64_t number;
	struct sealed chunk;
	struct plain_asker plain;
};

static void begin(struct asker *x)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct reply r;

	party_init(&x->alice, "laptop");
	party_space(&x->alice, &x->s);
	x->space = *log_space(x->s.log);
	rpc_open(&x->c, x->port);
	rpc_auth(&x->c, &x->alice, x->url);
	params_append(&params, &x->space, x->s.blobs, 3);
	r = rpc_call(&x->c, "coffer.append", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
}

static void end(struct asker *x)
{
	rpc_close(&x->c);
	new_space_release(&x->s);
	party_release(&x->alice);
}

static void send_one(struct asker *x, int kind)
{
	static const char *const methods[] = { "coffer.head", "coffer.pull", "coffer.get", "subscribe", "no.such",
		"push" };
	struct id16 ids[4] = { { { 1 } }, { { 2 } }, { { 3 } }, { { 4 } } };
	struct buf params = BUF_INIT(FRAME_MAX);

	switch (kind) {
	case 1:
		params_pull(&params, &x->space, x->number, "records", 10);
		break;
	case 2:
		params_get(&params, &x->space, ids, COUNT(ids));
		break;
	case 3:
		params_subscribe(&params, &x->space);
		break;
	default:
		params_space(&params, "space", &x->space);
	}
	rpc_send_request(&x->c, methods[kind], buf_bytes(&params));
	buf_release(&params);
}

static void ask_in_a_row(struct asker *x)
{
	for (int i = 0; i < PIPELINED; i++)
		send_one(x, i % 6);
	for (int i = 0; i < PIPELINED; i++) {
		struct reply r = rpc_reply(&x->c);

		reply_release(&r);
	}
}

static void push(struct asker *x)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	struct sealed record;
	struct reply r;

	sealed_record(&x->alice, &x->s, (struct sealed_params){ 0 }, &record);
	params_push(&params, &x->space, ++x->number, -1, &record, 1, NULL, 0, bytes_of(NULL, 0));
	r = rpc_call(&x->c, "coffer.push", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
	sealed_release(&record);
}

/* One that says something, one that breaks the rules. */
static void come_and_go(struct asker *x)
{
	struct rpc_client c;
	struct party bob;

	party_init(&bob, "phone");
	rpc_open(&c, x->port);
	rpc_auth(&c, &bob, x->url);
	rpc_send(&c, bytes_str("\xff"), true);
	assert_int_equal(rpc_wait_close(&c), 4005);
	rpc_close(&c);
	party_release(&bob);
}

static void ask_chunk(struct asker *x, const char *verb, int status, struct buf *answer)
{
	const struct bytes body = verb[0] == 'P' ? buf_bytes(&x->chunk.blob) : bytes_of(NULL, 0);

	buf_clear(answer);
	assert_int_equal(
		http_chunk(x->port, verb, &x->alice, x->url, &x->space, &x->chunk.id, "", body, answer), status);
}

/* A new chunk, which the asker goes on to ask for. */
static void upload(struct asker *x, struct buf *answer)
{
	sealed_release(&x->chunk);
	sealed_chunk(&x->s, NULL, 70000, &x->chunk);
	ask_chunk(x, "PUT", 201, answer);
}

static void ask_http(struct asker *x, struct buf *answer)
{
	static const char *const texts[] = { "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" };
	static const int statuses[] = { 200, 200, 411 };
	for (size_t i = 0; i < COUNT(texts); i++) {
		buf_clear(answer);
		assert_int_equal(http_raw(x->port, bytes_str(texts[i]), answer), statuses[i]);
	}
}

/* How many things it asked. */
static unsigned long ask(struct asker *x, unsigned long round, struct buf *answer)
{
	unsigned long n = PIPELINED + 2 + 3 + 2;

	ask_in_a_row(x);
	come_and_go(x);
	ask_http(x, answer);
	ask_chunk(x, "PUT", 204, answer);
	ask_chunk(x, "GET", 200, answer);
	n += plain_asker_round(&x->plain);
	if (round % ROUNDS_TO_GROW == 0) {
		push(x);
		upload(x, answer);
		n += 2 + plain_asker_grow(&x->plain);
	}
	return n;
}

int main(int argc, char **argv)
{
	struct buf answer = BUF_INIT(8u << 20);
	struct asker x = { 0 };
	unsigned long n, marks, done = 0, round = 0;

	program_init();
	if (argc != 5 || crypto_init() < 0)
		return 64;
	x.port = (uint16_t)strtoul(argv[1], NULL, 10);
	n = strtoul(argv[2], NULL, 10);
	marks = strtoul(argv[3], NULL, 10);
	snprintf(x.url, sizeof x.url, "http://127.0.0.1:%u", x.port);
	begin(&x);
	upload(&x, &answer);
	plain_asker_begin(&x.plain, x.port, x.url);
	for (unsigned long mark = 1; mark <= marks; mark++) {
		while (done < n / marks * mark)
			done += ask(&x, ++round, &answer);
		printf("%lu\t", done);
		fflush(stdout);
		assert_int_equal(system(argv[4]), 0);
	}
	plain_asker_end(&x.plain);
	sealed_release(&x.chunk);
	end(&x);
	buf_release(&answer);
	return 0;
}
