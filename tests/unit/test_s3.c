/* SPDX-License-Identifier: Apache-2.0 */
/* A bucket that does not answer as it should, played by scripts: s3.h alone. */
#include "tests/lib/unit.h"

#include <signal.h>
#include <stdlib.h>
#include "server/s3.h"
#include "tests/lib/s3_endpoint.h"

#define BUSY "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"
#define FINE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n"
#define PARTIAL "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/5\r\n\r\n"

static int call(const char *const *script, size_t n, const char *method, struct buf *ret, size_t *ret_served)
{
	const struct s3_call c = { .method = method, .key = "k", .has_range = ret != NULL, .n = 5, .ret = ret };
	struct s3_script e;
	struct s3 *s;
	int err;

	s3_script_start(&e, script, n);
	assert_int_equal(s3_open(env_system(), &e.options, &s), 0);
	err = s3_do(s, &c, NULL);
	s3_close(s);
	s3_script_stop(&e);
	*ret_served = e.served;
	return err;
}

#define CALL(script, method, ret, served) call(script, COUNT(script), method, ret, served)

static void what_is_busy_or_cut_is_asked_again(void **state)
{
	static const char *const busy[] = { BUSY, "HTTP/1.1", FINE }, *const cut[] = { PARTIAL "ab", PARTIAL "abcde" };
	struct buf got = BUF_INIT(100);
	size_t served;

	(void)state;
	assert_int_equal(CALL(busy, "PUT", NULL, &served), 0);
	assert_int_equal(served, 3);
	assert_int_equal(buf_put(&got, "-", 1), 0);
	assert_int_equal(CALL(cut, "GET", &got, &served), 0);
	unit_assert_bytes(buf_bytes(&got), bytes_str("-abcde"));
	assert_int_equal(served, 2);
	buf_release(&got);
}

static void what_stays_busy_hangs_or_is_away_is_offline(void **state)
{
	static const char *const busy[] = { BUSY }, *const silent[] = { "" };
	struct s3_options o;
	struct s3_script e;
	size_t served;
	struct s3 *s;

	(void)state;
	assert_int_equal(CALL(busy, "PUT", NULL, &served), ERR_OFFLINE);
	assert_true(served > 1);
	assert_int_equal(CALL(silent, "PUT", NULL, &served), ERR_OFFLINE);
	s3_script_start(&e, busy, 1);
	s3_script_stop(&e); /* nobody is at this port now */
	o = e.options;
	o.endpoint = e.url;
	assert_int_equal(s3_open(env_system(), &o, &s), 0);
	assert_int_equal(s3_do(s, &(struct s3_call){ .method = "HEAD", .key = "k" }, NULL), ERR_OFFLINE);
	s3_close(s);
}

static void what_is_refused_is_not_asked_again(void **state)
{
	static const char *const
		forbidden[] = { "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" },
		*const bad[] = { "HTTP/1.1 400 Bad\r\nContent-Length: 11\r\n\r\n<not><good>" },
		*const moved[] = { "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" };
	size_t served;

	(void)state;
	assert_int_equal(CALL(forbidden, "PUT", NULL, &served), ERR_PERMISSION);
	assert_int_equal(served, 1);
	assert_int_equal(CALL(bad, "PUT", NULL, &served), ERR_IO);
	assert_int_equal(served, 1);
	assert_int_equal(CALL(moved, "GET", NULL, &served), ERR_IO);
	assert_int_equal(served, 1);
}

#define ABSENT(words) "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" words
#define ABSENT_CODE(code) ABSENT("<Error><Code>" code "</Code></Error>")

static void only_the_bucket_says_that_an_object_is_not_there(void **state)
{
	static const char *const key[] = { ABSENT_CODE("NoSuchKey") }, *const part[] = { ABSENT_CODE("NoSuchUpload") },
				 *const bucket[] = { ABSENT_CODE("NoSuchBucket") },
				 *const proxy[] = { ABSENT("<html><body>no such page</body></html>") },
				 *const silent[] = { ABSENT("") };
	struct buf got = BUF_INIT(100);
	size_t served;

	(void)state;
	assert_int_equal(CALL(key, "GET", &got, &served), ERR_NOT_FOUND);
	assert_int_equal(CALL(key, "DELETE", NULL, &served), ERR_NOT_FOUND);
	assert_int_equal(CALL(part, "DELETE", NULL, &served), ERR_NOT_FOUND);
	assert_int_equal(CALL(silent, "HEAD", NULL, &served), ERR_NOT_FOUND);
	assert_int_equal(CALL(bucket, "GET", &got, &served), ERR_OFFLINE);
	assert_int_equal(CALL(bucket, "DELETE", NULL, &served), ERR_OFFLINE);
	assert_int_equal(CALL(proxy, "GET", &got, &served), ERR_OFFLINE);
	assert_int_equal(CALL(proxy, "DELETE", NULL, &served), ERR_OFFLINE);
	assert_int_equal(CALL(silent, "DELETE", NULL, &served), ERR_OFFLINE);
	buf_release(&got);
}

static void an_answer_of_another_length_is_none(void **state)
{
	static const char *const shorter[] = { "HTTP/1.1 206 P\r\nContent-Length: 3\r\n\r\nabc" }, *const longer[] = {
		"HTTP/1.1 200 P\r\nContent-Length: 200\r\n\r\n"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	};
	struct buf got = BUF_INIT(100);
	size_t served;

	(void)state;
	assert_int_equal(CALL(shorter, "GET", &got, &served), ERR_CORRUPT);
	assert_int_equal(CALL(longer, "GET", &got, &served), ERR_RANGE);
	assert_int_equal(got.len, 0);
	buf_release(&got);
}

static void *give_up(void *s)
{
	s3_give_up(s);
	return NULL;
}

static void who_gives_up_does_not_wait(void **state)
{
	static const char *const silent[] = { "" };
	struct s3_script e;
	struct s3 *s;
	pthread_t t;

	(void)state;
	s3_script_start(&e, silent, 1);
	e.options.timeout_seconds = 3600;
	assert_int_equal(s3_open(env_system(), &e.options, &s), 0);
	assert_int_equal(pthread_create(&t, NULL, give_up, s), 0);
	assert_int_equal(s3_do(s, &(struct s3_call){ .method = "PUT", .key = "k" }, NULL), ERR_CANCELLED);
	pthread_join(t, NULL);
	s3_close(s);
	s3_script_stop(&e);
}

static int nothing(void *ctx, const char *name, const char *text)
{
	(void)ctx, (void)name, (void)text;
	return OK;
}

static void hostile_xml_is_refused(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	assert_int_equal(s3_xml_read(bytes_str("<a><b>x</b></a>"), nothing, NULL), 0);
	assert_int_equal(s3_xml_read(bytes_str("<a><b>x</a>"), nothing, NULL), ERR_INVALID);
	assert_int_equal(s3_xml_read(bytes_str(""), nothing, NULL), ERR_INVALID);
	assert_int_equal(
		s3_xml_read(bytes_str("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>"), nothing, NULL), ERR_INVALID);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_printf(&b, "<a>"), 0);
	assert_int_equal(s3_xml_read(buf_bytes(&b), nothing, NULL), ERR_INVALID);
	buf_clear(&b);
	assert_int_equal(buf_printf(&b, "<a>%05000d</a>", 0), 0);
	assert_int_equal(s3_xml_read(buf_bytes(&b), nothing, NULL), ERR_INVALID);
	assert_int_equal(s3_time("2026-11-21T08:30:52.000Z"), 1795249852);
	assert_int_equal(s3_time("yesterday"), -1);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_busy_or_cut_is_asked_again),
		cmocka_unit_test(what_stays_busy_hangs_or_is_away_is_offline),
		cmocka_unit_test(what_is_refused_is_not_asked_again),
		cmocka_unit_test(only_the_bucket_says_that_an_object_is_not_there),
		cmocka_unit_test(an_answer_of_another_length_is_none),
		cmocka_unit_test(who_gives_up_does_not_wait),
		cmocka_unit_test(hostile_xml_is_refused),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
