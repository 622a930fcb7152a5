/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "server/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "server/auth.h"
#include "server/blob_config.h"
#include "server/admission.h"
#include "server/housekeeping.h"
#include "server/plain.h"

#define SEEN_TOKENS 1024
#define SEEN_CHAINS 2048

/* What may change while the relay runs, on the network thread, which alone checks tokens. */
static void set_rules(struct relay *r, const struct config *c)
{
	const char *key = c->auth.identity_hash_key;
	struct id32 k;

	r->jwt.n_audiences = 0;
	for (size_t i = 0; i < c->auth.audiences.n && i < AUDIENCES_MAX; i++)
		r->jwt.audiences[r->jwt.n_audiences++] = c->auth.audiences.items[i];
	r->jwt.has_identity_key = id32_parse(key, strlen(key), &k) == OK;
	if (r->jwt.has_identity_key)
		memcpy(r->jwt.identity_key, k.b, sizeof k.b);
}

static int set_issuers(struct relay *r, const struct config *c)
{
	const struct text_list *l = &c->auth.trusted_issuers;

	issuers_set_times(r->jwt.issuers, (int64_t)c->auth.keys_refresh_seconds, (int64_t)c->auth.keys_retry_seconds);
	return issuers_set(r->jwt.issuers, (const char *const *)l->items, l->n);
}

/* What the config says of tokens; config_finish has checked it. */
static int set_auth(struct relay *r)
{
	const struct config *c = relay_config(r);
	int err = issuers_new(r->env, &r->jwt.issuers);

	set_rules(r, c);
	return err < 0 ? err : set_issuers(r, c);
}

/* Of several relays on one store the first draws the secret that names who is present. */
static int share_presence(struct relay *r)
{
	CLEANUP(buf_release) struct buf secret = BUF_INIT(32);
	uint8_t fresh[32];
	int err;

	if (!depot_is_shared(r->store))
		return OK;
	if ((err = depot_begin_alone(r->store)) < 0)
		return err;
	err = depot_fact_get(r->store, "presence", &secret);
	if (err == ERR_NOT_FOUND) {
		r->env->random(r->env->ctx, fresh, sizeof fresh);
		if ((err = buf_put(&secret, fresh, sizeof fresh)) == OK)
			err = depot_fact_put(r->store, "presence", buf_bytes(&secret));
	}
	if (err == OK && secret.len != sizeof fresh)
		err = ERR_CORRUPT;
	if (err < 0)
		depot_rollback(r->store);
	else if ((err = depot_commit(r->store)) == OK)
		presence_share(r->presence, secret.data);
	return err;
}

static int open_parts(struct relay *r, const char *dir)
{
	const struct config *c = relay_config(r);
	struct blob_config where;
	int err;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	if ((err = blob_config_read(&where, c)) < 0 || (err = depot_open(r->env, config_depot(c), &r->store)) < 0 ||
		(err = depot_set_cache(r->store, c->storage.cache_kib)) < 0 ||
		(err = blob_open(r->env, &where.place, &r->blobs)) < 0 || (err = spaces_new(r->env, &r->spaces)) < 0 ||
		(err = limits_new(r->env, r->config, &r->limits)) < 0 ||
		(err = limits_new(r->env, r->config, &r->rates)) < 0 ||
		(err = presence_new(r->env, r->config, &r->presence)) < 0 || (err = share_presence(r)) < 0 ||
		(err = seen_new(r->env, SEEN_TOKENS, sizeof(struct auth), &r->tokens)) < 0 ||
		(err = seen_new(r->env, SEEN_CHAINS, sizeof(struct plain_right), &r->chains)) < 0 ||
		(err = set_auth(r)) < 0 || (err = admission_start(r)) < 0)
		return err;
	return housekeeping_start(r);
}

int relay_open(struct relay *r, const struct env *env, struct config *config)
{
	int err;

	*r = (struct relay){ .env = env,
		.config = config,
		.metrics = { .sizes_lock = PTHREAD_MUTEX_INITIALIZER },
		.history = HISTORY_INIT };
	err = open_parts(r, config->storage.data);
	if (err < 0)
		relay_close(r);
	return err;
}

static bool has_all(const struct text_list *l, const struct text_list *of)
{
	size_t found = 0;

	for (size_t i = 0; i < of->n; i++)
		for (size_t k = 0; k < l->n; k++)
			if (strcmp(of->items[i], l->items[k]) == 0) {
				found++;
				break;
			}
	return found == of->n;
}

static bool has_all_origins(const struct config *c, const struct config *of)
{
	size_t found = 0;

	for (size_t i = 0; i < of->n_origins; i++)
		for (size_t k = 0; k < c->n_origins; k++)
			found += strcmp(of->origins[i], c->origins[k]) == 0;
	return found == of->n_origins;
}

/* What was trusted and is not any more. Who owns the relay is looked up whenever it matters. */
static unsigned doubted(const struct config *was, const struct config *is)
{
	const struct text_list *audiences = &is->auth.audiences;
	unsigned set = 0;

	if (!has_all(&is->auth.trusted_issuers, &was->auth.trusted_issuers) ||
		(audiences->n && (!was->auth.audiences.n || !has_all(audiences, &was->auth.audiences))))
		set |= RELAY_DOUBTS_ISSUED;
	if (is->strangers != was->strangers || !has_all_origins(is, was))
		set |= RELAY_DOUBTS_SELF_ISSUED;
	return set;
}

int relay_configure(struct relay *r, struct config *config, unsigned *ret_doubted)
{
	struct config *was = r->config;
	int err = set_issuers(r, config);

	if (err < 0)
		return err;
	*ret_doubted = doubted(was, config);
	config->older = was;
	atomic_store_explicit(&r->config, config, memory_order_release);
	set_rules(r, config);
	seen_forget(r->tokens);
	limits_configure(r->limits, config);
	limits_configure(r->rates, config);
	presence_configure(r->presence, config);
	return OK;
}

void relay_close(struct relay *r)
{
	issuers_free(r->jwt.issuers);
	presence_free(r->presence);
	seen_free(r->tokens);
	seen_free(r->chains);
	spaces_free(r->spaces);
	limits_free(r->limits);
	limits_free(r->rates);
	blob_close(r->blobs);
	depot_close(r->store);
	for (struct config *c = r->config, *older; c; c = older) {
		older = c->older;
		config_free(c);
	}
	*r = (struct relay){ .env = r->env };
}
