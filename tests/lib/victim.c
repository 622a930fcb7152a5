/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/victim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "COFFER_RELAY_"
#define METRICS_MAX (1u << 20)

/* What a sanitizer itself takes: what was freed and is kept aside, and its notes about all memory. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZER_MIB 512
#else
#define SANITIZER_MIB 0
#endif

static void set_environment(const char *const *settings, bool on)
{
	char name[128];

	for (; *settings; settings++) {
		const char *eq = strchr(*settings, '=');

		snprintf(name, sizeof name, PREFIX "%.*s", (int)(eq - *settings), *settings);
		if (on)
			setenv(name, eq + 1, 1);
		else
			unsetenv(name);
	}
}

/* A line of /proc/PID/status, in KiB. */
static size_t memory_of(pid_t pid, const char *key)
{
	char path[64], line[256];
	size_t kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoul(line + strlen(key) + 1, NULL, 10);
	fclose(f);
	return kib;
}

void victim_start(struct victim *v, const char *const *settings)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	static const char *const counted[] = { "SERVER_TRUSTED_PROXIES=192.0.2.1", NULL };
	struct reply r;

	*v = (struct victim){ 0 };
	set_environment(counted, true);
	set_environment(settings, true);
	relay_process_start(&v->relay);
	set_environment(counted, false);
	set_environment(settings, false);
	party_init(&v->alice, "laptop");
	party_init(&v->mallory, "phone");
	party_space(&v->alice, &v->s);
	v->space = *log_space(v->s.log);
	rpc_open(&v->by, v->relay.port);
	rpc_auth(&v->by, &v->alice, v->relay.url);
	params_append(&params, &v->space, v->s.blobs, 3);
	r = rpc_call(&v->by, "coffer.append", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
}

void victim_serves(struct victim *v)
{
	struct buf params = BUF_INIT(FRAME_MAX), answer = BUF_INIT(METRICS_MAX);
	struct reply r;

	params_space(&params, "space", &v->space);
	r = rpc_call(&v->by, "coffer.head", &params);
	assert_false(r.f.is_error);
	reply_release(&r);
	assert_int_equal(http_raw(v->relay.port, bytes_str("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), &answer), 200);
	buf_release(&answer);
}

uint64_t victim_metric(const struct victim *v, const char *name)
{
	struct buf answer = BUF_INIT(METRICS_MAX);
	char line[128];
	const char *at;
	uint64_t value;

	assert_int_equal(http_raw(v->relay.port, bytes_str("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), &answer), 200);
	assert_int_equal(buf_put_u8(&answer, 0), 0);
	snprintf(line, sizeof line, "\ncoffer_relay_%s ", name);
	at = strstr((const char *)answer.data, line);
	if (!at)
		fail_msg("no metric %s", name);
	value = strtoull(at + strlen(line), NULL, 10);
	buf_release(&answer);
	return value;
}

void victim_await(const struct victim *v, const char *name, uint64_t value)
{
	const time_t end = time(NULL) + RPC_DEADLINE_S;
	uint64_t is;

	while ((is = victim_metric(v, name)) != value) {
		if (time(NULL) > end)
			fail_msg("%s is %llu, not %llu", name, (unsigned long long)is, (unsigned long long)value);
		usleep(20000);
	}
}

void victim_stop(struct victim *v, size_t mib)
{
	size_t peak;

	victim_serves(v);
	peak = memory_of(v->relay.pid, "VmHWM");
	if (peak > (mib + SANITIZER_MIB) << 10)
		fail_msg("the relay took %zu KiB", peak);
	rpc_close(&v->by);
	new_space_release(&v->s);
	party_release(&v->alice);
	party_release(&v->mallory);
	relay_process_remove(&v->relay);
}

void victim_enter(struct victim *v, struct rpc_client *c)
{
	struct buf params = BUF_INIT(64);
	struct reply r;

	rpc_open_from(c, MALLORY, v->relay.port);
	rpc_auth(c, &v->mallory, v->relay.url);
	assert_int_equal(buf_put_u8(&params, 0xa0), 0);
	r = rpc_call(c, "no.such", &params);
	assert_true(reply_refused(&r, "method_not_found"));
	reply_release(&r);
}

void read_to_end(int fd, struct buf *ret_all)
{
	ssize_t n;

	do {
		size_t before = ret_all->len;
		uint8_t *p;

		assert_int_equal(buf_grow(ret_all, 65536, &p), 0);
		n = recv(fd, p, 65536, 0);
		ret_all->len = before + (n > 0 ? (size_t)n : 0);
		if (n < 0 && errno == EAGAIN)
			fail_msg("the relay does not close; it said: %.*s", (int)ret_all->len,
				(const char *)ret_all->data);
	} while (n > 0);
}

size_t count_in(const struct buf *b, const char *what)
{
	const uint8_t *at = b->data, *end = at + b->len;
	size_t n = 0;

	while (at && at < end && (at = memmem(at, (size_t)(end - at), what, strlen(what)))) {
		at += strlen(what);
		n++;
	}
	return n;
}

void send_some(int fd, struct bytes b)
{
	while (b.len) {
		ssize_t n = send(fd, b.p, b.len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		b = bytes_of(b.p + n, b.len - (size_t)n);
	}
}
