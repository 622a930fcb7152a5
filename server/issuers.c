/* SPDX-License-Identifier: Apache-2.0 */
#include "server/issuers.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/log.h"

#define URL_MAX 1024
#define WELL_KNOWN "/.well-known/jwks.json"
#define SECOND 1000000000ll

struct issuer {
	struct issuers *all;
	char name[URL_MAX], url[URL_MAX];
	pthread_t thread;
	bool running;        /* the thread is to be joined; for who sets and stops */
	struct issuer *next; /* of those that are gone; the same */

	/* under the lock of `all` */
	bool gone, ended;        /* not trusted any more; the thread has nothing left to do */
	struct issuer_key *keys; /* ISSUERS_KEYS_MAX of them, or NULL before the first fetch */
	int n;
	bool wanted;   /* a fetch is to start or under way */
	bool failed;   /* the last one */
	int64_t tried; /* when the last one ended */
	bool tried_once;
};

struct issuers {
	const struct env *env;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool closed;                /* under the lock */
	void (*changed)(void *ctx); /* NULL: not started */
	void *ctx;
	struct issuer *gone; /* whose threads may still run */

	/* under the lock */
	struct issuer *list[ISSUERS_MAX];
	size_t n;
	int64_t refresh_seconds, retry_seconds;
};

int issuers_new(const struct env *env, struct issuers **ret_is)
{
	struct issuers *is = calloc(1, sizeof *is);
	pthread_condattr_t attr;

	if (!is)
		return ERR_NOMEM;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(is);
		return ERR_NOMEM;
	}
	is->env = env;
	is->refresh_seconds = 3600;
	is->retry_seconds = 10;
	pthread_mutex_init(&is->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&is->wake, &attr);
	pthread_condattr_destroy(&attr);
	*ret_is = is;
	return OK;
}

static struct bytes without_slashes(struct bytes s)
{
	while (s.len && s.p[s.len - 1] == '/')
		s.len--;
	return s;
}

static bool is_url(struct bytes s)
{
	return (s.len > 8 && memcmp(s.p, "https://", 8) == 0) || (s.len > 7 && memcmp(s.p, "http://", 7) == 0);
}

/* The name of the issuer in a spec. */
static struct bytes name_of(const char *spec)
{
	return without_slashes(bytes_of(spec, strcspn(spec, "=")));
}

bool issuers_spec_is_good(const char *spec)
{
	const char *equals = strchr(spec, '=');
	struct bytes name = name_of(spec);

	return is_url(name) && name.len + sizeof WELL_KNOWN <= URL_MAX &&
	       (!equals || (is_url(bytes_str(equals + 1)) && strlen(equals + 1) < URL_MAX));
}

/* --- fetching --- */

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
	return buf_put(ctx, p, size * n) < 0 ? 0 : size * n;
}

/* Nobody waits for an issuer that is not wanted any more. */
static int go_on(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct issuer *i = ctx;
	bool stop;

	(void)a, (void)b, (void)c, (void)d;
	pthread_mutex_lock(&i->all->lock);
	stop = i->all->closed || i->gone;
	pthread_mutex_unlock(&i->all->lock);
	return stop;
}

static int fetch(struct issuer *i, struct buf *body)
{
	CURL *c = curl_easy_init();
	long status = 0;
	CURLcode rc;

	if (!c)
		return ERR_NOMEM;
	curl_easy_setopt(c, CURLOPT_URL, i->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)ISSUERS_FETCH_SECONDS);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "coffer-relay");
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, go_on);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, i);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
	rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	return rc == CURLE_OK && status == 200 ? OK : ERR_OFFLINE;
}

/* Fetches without the lock and takes over what came. */
static void refresh(struct issuer *i)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(JWKS_MAX);
	struct issuer_key *keys = calloc(ISSUERS_KEYS_MAX, sizeof *keys);
	int n = keys ? fetch(i, &body) : ERR_NOMEM;

	if (n == OK)
		n = jwks_read(buf_bytes(&body), keys);
	if (n < 0)
		log_warn("keys of %s: %s", i->name, err_str(n));
	pthread_mutex_lock(&i->all->lock);
	i->failed = n < 0;
	i->tried = i->all->env->mono_ns(i->all->env->ctx);
	i->tried_once = true;
	i->wanted = false;
	if (n >= 0) {
		free(i->keys);
		i->keys = STEAL(&keys);
		i->n = n;
	}
	pthread_mutex_unlock(&i->all->lock);
	free(keys);
	i->all->changed(i->all->ctx);
}

static void *issuer_main(void *arg)
{
	struct issuer *i = arg;
	struct issuers *is = i->all;
	struct timespec until;

	pthread_mutex_lock(&is->lock);
	while (!is->closed && !i->gone) {
		pthread_mutex_unlock(&is->lock);
		refresh(i);
		clock_gettime(CLOCK_MONOTONIC, &until);
		pthread_mutex_lock(&is->lock);
		until.tv_sec += i->failed ? is->retry_seconds : is->refresh_seconds;
		while (!is->closed && !i->gone && !i->wanted)
			if (pthread_cond_timedwait(&is->wake, &is->lock, &until))
				break;
		i->wanted = true;
	}
	i->ended = true;
	pthread_mutex_unlock(&is->lock);
	return NULL;
}

static int start_one(struct issuer *i)
{
	i->wanted = true;
	i->running = !pthread_create(&i->thread, NULL, issuer_main, i);
	return i->running ? OK : ERR_NOMEM;
}

void issuers_set_times(struct issuers *is, int64_t refresh_seconds, int64_t retry_seconds)
{
	pthread_mutex_lock(&is->lock);
	is->refresh_seconds = refresh_seconds;
	is->retry_seconds = retry_seconds;
	pthread_mutex_unlock(&is->lock);
}

int issuers_start(struct issuers *is, void (*changed)(void *ctx), void *ctx)
{
	int err = OK;

	is->changed = changed;
	is->ctx = ctx;
	for (size_t i = 0; i < is->n && err == OK; i++)
		err = start_one(is->list[i]);
	return err;
}

static void issuer_free(struct issuer *i)
{
	if (i->running)
		pthread_join(i->thread, NULL);
	free(i->keys);
	free(i);
}

/* --- setting --- */

static int issuer_new(struct issuers *is, const char *spec, struct issuer **ret_i)
{
	const char *equals = strchr(spec, '=');
	struct bytes name = name_of(spec);
	struct issuer *i;

	if (!issuers_spec_is_good(spec))
		return ERR_INVALID;
	if (!(i = calloc(1, sizeof *i)))
		return ERR_NOMEM;
	i->all = is;
	snprintf(i->name, sizeof i->name, "%.*s", (int)name.len, (const char *)name.p);
	if (equals)
		snprintf(i->url, sizeof i->url, "%s", equals + 1);
	else
		snprintf(i->url, sizeof i->url, "%.*s%s", (int)name.len, (const char *)name.p, WELL_KNOWN);
	*ret_i = i;
	return OK;
}

static bool is_among(struct issuer *const *list, size_t n, const struct issuer *i)
{
	while (n && list[n - 1] != i)
		n--;
	return n > 0;
}

static struct issuer *twin(struct issuer *const *list, size_t n, const struct issuer *of)
{
	for (size_t k = 0; k < n; k++)
		if (strcmp(list[k]->name, of->name) == 0 && strcmp(list[k]->url, of->url) == 0)
			return list[k];
	return NULL;
}

/* Takes out of use; its thread ends in its own time. */
static void let_go(struct issuers *is, struct issuer *i)
{
	pthread_mutex_lock(&is->lock);
	i->gone = true;
	pthread_cond_broadcast(&is->wake);
	pthread_mutex_unlock(&is->lock);
	i->next = is->gone;
	is->gone = i;
}

/* Those whose threads have ended, or (all) once they have. */
static void reap(struct issuers *is, bool all)
{
	struct issuer **at = &is->gone, *i;

	while ((i = *at)) {
		pthread_mutex_lock(&is->lock);
		const bool ready = all || i->ended || !i->running;
		pthread_mutex_unlock(&is->lock);
		if (!ready) {
			at = &i->next;
			continue;
		}
		*at = i->next;
		issuer_free(i);
	}
}

/* The one that is in use already, or a new one, which runs if the others do; each once. */
static int add_to(struct issuers *is, const char *spec, struct issuer **list, size_t *n)
{
	struct issuer *i, *old;
	int err = issuer_new(is, spec, &i);

	if (err < 0)
		return err;
	if (twin(list, *n, i)) {
		issuer_free(i);
		return OK;
	}
	if ((old = twin(is->list, is->n, i))) {
		issuer_free(i);
		i = old;
	} else if (is->changed) {
		err = start_one(i);
	}
	list[(*n)++] = i;
	return err;
}

int issuers_set(struct issuers *is, const char *const *specs, size_t n)
{
	struct issuer *list[ISSUERS_MAX] = { 0 }, *old[ISSUERS_MAX];
	const size_t n_old = is->n;
	size_t made = 0;
	int err = n > ISSUERS_MAX ? ERR_RANGE : OK;

	reap(is, false);
	for (size_t i = 0; i < n && err == OK; i++)
		err = add_to(is, specs[i], list, &made);
	memcpy(old, is->list, sizeof old);
	if (err == OK) {
		pthread_mutex_lock(&is->lock);
		memcpy(is->list, list, sizeof list);
		is->n = made;
		pthread_mutex_unlock(&is->lock);
	}
	for (size_t i = 0; err == OK && i < n_old; i++)
		if (!is_among(list, made, old[i]))
			let_go(is, old[i]);
	for (size_t i = 0; err < 0 && i < made; i++)
		if (!is_among(old, n_old, list[i]))
			let_go(is, list[i]);
	if (is->changed)
		is->changed(is->ctx);
	return err;
}

void issuers_stop(struct issuers *is)
{
	pthread_mutex_lock(&is->lock);
	is->closed = true;
	pthread_cond_broadcast(&is->wake);
	pthread_mutex_unlock(&is->lock);
	for (size_t i = 0; i < is->n; i++) {
		if (is->list[i]->running)
			pthread_join(is->list[i]->thread, NULL);
		is->list[i]->running = false;
	}
	reap(is, true);
	is->changed = NULL;
}

void issuers_free(struct issuers *is)
{
	if (!is)
		return;
	issuers_stop(is);
	for (size_t i = 0; i < is->n; i++)
		issuer_free(is->list[i]);
	pthread_cond_destroy(&is->wake);
	pthread_mutex_destroy(&is->lock);
	free(is);
	curl_global_cleanup();
}

/* --- asking --- */

/* With the lock held. */
static struct issuer *find(struct issuers *is, struct bytes iss)
{
	iss = without_slashes(iss);
	for (size_t i = 0; i < is->n; i++)
		if (bytes_equal(iss, bytes_str(is->list[i]->name)))
			return is->list[i];
	return NULL;
}

/* With the lock held. */
static int find_key(struct issuer *i, struct bytes kid, struct jws_key *ret_key)
{
	const int64_t now = i->all->env->mono_ns(i->all->env->ctx);

	for (int k = 0; k < i->n; k++)
		if (bytes_equal(kid, bytes_str(i->keys[k].kid))) {
			*ret_key = i->keys[k].key;
			return OK;
		}
	if (!i->wanted && (!i->tried_once || now - i->tried >= i->all->retry_seconds * SECOND)) {
		i->wanted = true;
		pthread_cond_broadcast(&i->all->wake);
	}
	if (i->wanted)
		return ERR_AGAIN;
	return i->failed ? ERR_OFFLINE : ERR_WRONG_KEY;
}

int issuers_key(struct issuers *is, struct bytes iss, struct bytes kid, struct jws_key *ret_key)
{
	struct issuer *i;
	int err = ERR_NOT_FOUND;

	pthread_mutex_lock(&is->lock);
	if ((i = find(is, iss)))
		err = find_key(i, kid, ret_key);
	pthread_mutex_unlock(&is->lock);
	return err;
}
