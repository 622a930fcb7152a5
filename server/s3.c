/* SPDX-License-Identifier: Apache-2.0 */
#include "server/s3.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/hash.h"

#define IDLE_MAX 64 /* connections kept */
#define TRIES 4
#define FIRST_PAUSE_MS 200 /* then three times as long each */
#define TIMEOUTS_MAX 2     /* of s3_options.timeout_seconds; after that nothing is tried again */
#define RATE_MIN 1024L     /* bytes a second: what is slower does not move */
#define REFUSAL_MAX 8192   /* of an answer that says no */
#define SECOND 1000000000ll

struct s3 {
	const struct env *env;
	char *base, *access_key, *secret_key, *prefix, *sigv4; /* base: http://HOST/BUCKET */
	long timeout;
	atomic_bool closed;
	pthread_mutex_t lock;
	pthread_cond_t wake;  /* of pauses, when it is closed */
	CURL *idle[IDLE_MAX]; /* under the lock */
	size_t n_idle;
};

/* One try. */
struct
try {
	struct s3 *s;
	const struct s3_call *call;
	CURL *curl;
	size_t sent;
	struct buf refusal;
	struct s3_answer answer;
	int err; /* of a callback */
};

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

int s3_open(const struct env *env, const struct s3_options *o, struct s3 **ret_s)
{
	CLEANUP(buf_release) struct buf base = BUF_INIT(4096), sigv4 = BUF_INIT(256);
	struct s3 *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;

	if (!s)
		return ERR_NOMEM;
	s->env = env;
	s->timeout = (long)o->timeout_seconds;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
		buf_printf(&base, "%s/%s", o->endpoint, o->bucket) == OK && buf_put_u8(&base, 0) == OK &&
		buf_printf(&sigv4, "aws:amz:%s:s3", o->region) == OK && buf_put_u8(&sigv4, 0) == OK) {
		s->base = copy((const char *)base.data);
		s->sigv4 = copy((const char *)sigv4.data);
		s->access_key = copy(o->access_key);
		s->secret_key = copy(o->secret_key);
		s->prefix = copy(o->prefix);
	}
	if (!s->base || !s->sigv4 || !s->access_key || !s->secret_key || !s->prefix) {
		s3_close(s);
		return ERR_NOMEM;
	}
	*ret_s = s;
	return OK;
}

void s3_close(struct s3 *s)
{
	if (!s)
		return;
	while (s->n_idle)
		curl_easy_cleanup(s->idle[--s->n_idle]);
	cleanup_wipe_text(&s->secret_key);
	free(s->base);
	free(s->sigv4);
	free(s->access_key);
	free(s->prefix);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
	curl_global_cleanup();
}

void s3_give_up(struct s3 *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->closed, true);
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

const char *s3_prefix(const struct s3 *s)
{
	return s->prefix;
}

int s3_put_encoded(struct buf *b, const char *text)
{
	int err = OK;

	for (; *text && err == OK; text++) {
		const unsigned char c = (unsigned char)*text;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c))
			err = buf_put_u8(b, c);
		else
			err = buf_printf(b, "%%%02X", c);
	}
	return err;
}

static CURL *take_handle(struct s3 *s)
{
	CURL *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->n_idle)
		c = s->idle[--s->n_idle];
	pthread_mutex_unlock(&s->lock);
	return c ? c : curl_easy_init();
}

static void give_handle(struct s3 *s, CURL *c)
{
	curl_easy_reset(c);
	pthread_mutex_lock(&s->lock);
	if (s->n_idle < IDLE_MAX) {
		s->idle[s->n_idle++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (c)
		curl_easy_cleanup(c);
}

/* --- libcurl's callbacks --- */

static size_t send_body(char *p, size_t size, size_t n, void *ctx)
{
	struct try *t = ctx;
	const size_t left = t->call->body.len - t->sent, k = size * n < left ? size * n : left;

	if (k)
		memcpy(p, t->call->body.p + t->sent, k);
	t->sent += k;
	return k;
}

static int seek_body(void *ctx, curl_off_t offset, int origin)
{
	struct try *t = ctx;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->call->body.len)
		return CURL_SEEKFUNC_CANTSEEK;
	t->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
	struct try *t = ctx;
	long status = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 != 2) {
		if (buf_put(&t->refusal, p, size * n) < 0)
			buf_clear(&t->refusal); /* longer than any refusal: it will be told by its number */
		return size * n;
	}
	if (!t->call->ret)
		return size * n;
	t->err = buf_put(t->call->ret, p, size * n);
	return t->err < 0 ? 0 : size * n;
}

static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
	struct try *t = ctx;
	char value[S3_ETAG_MAX];
	char line[160];

	snprintf(line, sizeof line, "%.*s", (int)(size * n < sizeof line ? size * n : sizeof line - 1), p);
	if (strncasecmp(line, "etag:", 5) == 0 && sscanf(line + 5, " %79[^\r\n ]", value) == 1)
		snprintf(t->answer.etag, sizeof t->answer.etag, "%s", value);
	return size * n;
}

static int go_on(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct try *t = ctx;

	(void)a, (void)b, (void)c, (void)d;
	return atomic_load(&t->s->closed);
}

/* --- one try --- */

static void set_body(const struct try *t)
{
	const struct s3_call *call = t->call;

	if (strcmp(call->method, "HEAD") == 0) {
		curl_easy_setopt(t->curl, CURLOPT_NOBODY, 1L);
		return;
	}
	if (strcmp(call->method, "PUT") != 0 && strcmp(call->method, "POST") != 0) {
		curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, call->method);
		return;
	}
	curl_easy_setopt(t->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, call->method);
	curl_easy_setopt(t->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body.len);
	curl_easy_setopt(t->curl, CURLOPT_READFUNCTION, send_body);
	curl_easy_setopt(t->curl, CURLOPT_READDATA, t);
	curl_easy_setopt(t->curl, CURLOPT_SEEKFUNCTION, seek_body);
	curl_easy_setopt(t->curl, CURLOPT_SEEKDATA, t);
}

static void set_options(const struct try *t, const char *url, struct curl_slist *headers)
{
	CURL *c = t->curl;
	char range[64];

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_AWS_SIGV4, t->s->sigv4);
	curl_easy_setopt(c, CURLOPT_USERNAME, t->s->access_key);
	curl_easy_setopt(c, CURLOPT_PASSWORD, t->s->secret_key);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "coffer-relay");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, t->s->timeout);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, RATE_MIN);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, t->s->timeout);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, go_on);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	if (t->call->has_range) {
		snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)t->call->from,
			(unsigned long long)(t->call->from + t->call->n - 1));
		curl_easy_setopt(c, CURLOPT_RANGE, range);
	}
	set_body(t);
}

static int put_url(struct s3 *s, const struct s3_call *call, struct buf *url)
{
	int err = buf_printf(url, "%s", s->base);

	if (err == OK && call->key)
		err = buf_printf(url, "/%s%s", s->prefix, call->key);
	if (err == OK && call->query)
		err = buf_printf(url, "?%s", call->query);
	return err < 0 ? err : buf_put_u8(url, 0);
}

/* The one word in a refusal that says why. */
static int find_code(void *ctx, const char *name, const char *text)
{
	char *code = ctx;
	size_t n = text ? strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") : 0;

	if (text && strcmp(name, "Code") == 0 && n < 64)
		snprintf(code, 64, "%.*s", (int)n, text);
	return OK;
}

/* Only the bucket's own word says that an object is not there: a proxy's 404, or that of a bucket that is gone, says nothing about it.
 * HEAD has no words, so nothing may be given up for its answer alone. */
static bool is_not_there(const struct s3_call *call, const char *code)
{
	return strcmp(call->method, "HEAD") == 0 || strcmp(code, "NoSuchKey") == 0 ||
	       strcmp(code, "NoSuchUpload") == 0 || (!call->key && strcmp(code, "NoSuchBucket") == 0);
}

/* What the answer means. ERR_AGAIN: try again. */
static int judge(struct try *t, CURLcode rc)
{
	const char *method = t->call->method;
	char code[64] = "";
	long status = 0;

	if (atomic_load(&t->s->closed))
		return ERR_CANCELLED;
	if (rc == CURLE_OUT_OF_MEMORY || t->err < 0)
		return t->err < 0 ? t->err : ERR_NOMEM;
	if (rc != CURLE_OK) {
		log_debug("S3: %s: %s", method, curl_easy_strerror(rc));
		return ERR_AGAIN;
	}
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 == 2)
		return t->call->has_range && status != 206 && t->call->from ? ERR_CORRUPT : OK;
	if (t->refusal.len && s3_xml_read(buf_bytes(&t->refusal), find_code, code) < 0)
		code[0] = '\0';
	if (status == 404 && is_not_there(t->call, code))
		return ERR_NOT_FOUND;
	if (status == 416)
		return ERR_CORRUPT;
	if (status / 100 == 5 || status == 429 || strcmp(code, "RequestTimeout") == 0) {
		log_debug("S3: %s: %ld %s", method, status, code);
		return ERR_AGAIN;
	}
	log_warn("S3 refuses %s: %ld %s", method, status, code);
	return status == 401 || status == 403 ? ERR_PERMISSION : status == 404 ? ERR_OFFLINE : ERR_IO;
}

static int try_once(
	struct s3 *s, const struct s3_call *call, const char *url, struct curl_slist *headers, struct s3_answer *ret_a)
{
	struct try t = { .s = s, .call = call, .curl = take_handle(s), .refusal = BUF_INIT(REFUSAL_MAX) };
	const size_t before = call->ret ? call->ret->len : 0;
	curl_off_t length = -1;
	int err;

	if (!t.curl)
		return ERR_NOMEM;
	set_options(&t, url, headers);
	err = judge(&t, curl_easy_perform(t.curl));
	curl_easy_getinfo(t.curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	t.answer.length = length;
	give_handle(s, t.curl);
	if (err == OK && call->has_range && call->ret && call->ret->len - before != call->n)
		err = ERR_CORRUPT;
	if (err < 0 && call->ret)
		call->ret->len = before;
	buf_release(&t.refusal);
	if (err == OK && ret_a)
		*ret_a = t.answer;
	return err;
}

/* A pause with some chance in it, so that many do not come back at once. False: it was cut short, because all ends. */
static bool pause_ms(struct s3 *s, uint32_t ms)
{
	struct timespec until;
	uint32_t chance;
	bool closed;

	s->env->random(s->env->ctx, &chance, sizeof chance);
	ms += chance % (ms / 2 + 1);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= SECOND) {
		until.tv_sec++;
		until.tv_nsec -= SECOND;
	}
	pthread_mutex_lock(&s->lock);
	while (!(closed = atomic_load(&s->closed)))
		if (pthread_cond_timedwait(&s->wake, &s->lock, &until))
			break;
	pthread_mutex_unlock(&s->lock);
	return !closed;
}

static int try_on(
	struct s3 *s, const struct s3_call *call, const char *url, struct curl_slist *headers, struct s3_answer *ret_a)
{
	struct timespec start, now;
	uint32_t pause = FIRST_PAUSE_MS;
	int err = ERR_AGAIN;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned i = 0; i < TRIES; i++, pause *= 3) {
		if (i && !pause_ms(s, pause))
			return ERR_CANCELLED;
		if ((err = try_once(s, call, url, headers, ret_a)) != ERR_AGAIN)
			return err;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec >= TIMEOUTS_MAX * s->timeout)
			break;
	}
	log_warn("S3 does not answer %s", call->method);
	return ERR_OFFLINE;
}

int s3_do(struct s3 *s, const struct s3_call *call, struct s3_answer *ret_a)
{
	CLEANUP(buf_release) struct buf url = BUF_INIT(8192);
	char sum[32 + ID32_TEXT_SIZE] = "x-amz-content-sha256: ";
	struct curl_slist *headers;
	struct id32 hash;
	int err;

	if ((err = put_url(s, call, &url)) < 0)
		return err;
	hash_sha256(call->body, &hash);
	id32_format(&hash, sum + strlen(sum));
	if (!(headers = curl_slist_append(NULL, sum)))
		return ERR_NOMEM;
	err = try_on(s, call, (const char *)url.data, headers, ret_a);
	curl_slist_free_all(headers);
	return err;
}
