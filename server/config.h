/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: everything that an owner may set, with its default, its bounds and the sentence that explains it. One table
 * (config_table.c) gives the file's keys, the names in the environment, --print-config and the checks.
 *
 *	struct config *c;
 *	struct config_fault fault;
 *	if ((err = config_new(&c)) < 0 || (err = config_read_file(c, path, &fault)) < 0 ||
 *		(err = config_read_environment(c, environ, &fault)) < 0 ||
 *		(err = config_set(c, "server.listen", "127.0.0.1:0", &fault)) < 0) puts(fault.text);
 *	config_free(c);
 *
 * Later settings win: defaults, file, environment, command line. The environment has two names for a setting:
 * COFFER_RELAY_SECTION_KEY, and for some that of the protocol's reference server (protocol.md section 5.5).
 *
 * A config is not changed once other threads have it: a reload makes another.
 */
#ifndef COFFER_SERVER_CONFIG_H
#define COFFER_SERVER_CONFIG_H

#include <stddef.h>
#include <stdio.h>
#include "base/id.h"
#include "server/network.h"
#include "wire/relay_url.h"

#define CONFIG_MAX_ORIGINS 8
#define CONFIG_MAX_OWNERS 16

/* What becomes of tokens that no trusted issuer signed. */
enum strangers {
	STRANGERS_OPEN,    /* devices speak for themselves */
	STRANGERS_OWNERS,  /* but only those of the owners make spaces */
	STRANGERS_INVITED, /* and of guests (admission.h) */
	STRANGERS_OFF      /* only issuers' tokens are taken */
};

struct text_list {
	char **items;
	size_t n;
};

struct config {
	struct config *older; /* relay.c's: replaced by this one, perhaps still in use */

	struct {
		char *listen;
		struct text_list origins, trusted_proxies;
		char *tls_certificate, *tls_key;
		char *reuse_port;
		uint64_t drain_seconds, return_seconds;
	} server;

	struct {
		char *self_issued, *identity_hash_key; /* self_issued is not "auto" after config_finish */
		struct text_list owners, trusted_issuers, audiences;
		uint64_t keys_refresh_seconds, keys_retry_seconds;
	} auth;

	struct {
		char *level, *format;
	} log;

	struct {
		char *data, *database, *backend, *folder;
		char *s3_endpoint, *s3_tls, *s3_bucket, *s3_prefix, *s3_region, *s3_access_key, *s3_secret_key,
			*s3_secret_file;
		uint64_t s3_timeout_seconds;
		uint64_t cache_kib, blob_threads, unnamed_chunk_days, letter_days, reserve_bytes, space_bytes,
			person_bytes;
	} storage;

	struct {
		uint64_t connections, sockets_per_address, connections_per_address, connections_per_device;
		uint64_t auth_seconds, keepalive_seconds, life_seconds, message_seconds;
		uint64_t message_bytes, incoming_bytes, queue_bytes, queue_messages;
		uint64_t requests, request_bytes, subscriptions;
		uint64_t http_uploads, http_uploads_per_address, http_requests_per_address, http_pause_seconds;
		uint64_t http_idle_seconds, http_header_seconds, http_body_seconds;
		uint64_t invite_lookups_per_minute, invite_misses_per_minute;
		uint64_t spaces_burst, spaces_per_minute, entries_burst, entries_per_minute, letters_burst,
			letters_per_minute;
		uint64_t connections_per_mailbox, invitations_per_hour, members_per_hour;
		uint64_t gone_seconds, issuer_seconds;
		uint64_t letter_bytes, file_bytes, record_bytes, changes, spaces_per_request, members;
		uint64_t presence_bytes, presence_per_space, presence_seconds, event_bytes, live_burst, live_per_minute;
		uint64_t auths_burst, auths_per_minute, chains_burst, chains_per_minute;
		uint64_t device_requests_burst, device_requests_per_minute, space_pushes_burst, space_pushes_per_minute;
		uint64_t device_kib_burst, device_kib_per_minute, space_kib_burst, space_kib_per_minute;
	} limits;

	/* made of the above by config_finish */
	struct network *proxies; /* server.trusted_proxies.n of them */
	enum strangers strangers;
	struct id32 owners[CONFIG_MAX_OWNERS];
	size_t n_owners;

	/* made by config_add_origin */
	/* what tokens may be made out for; the first is the relay's own */
	char origins[CONFIG_MAX_ORIGINS][RELAY_HOST_MAX + 20];
	size_t n_origins;
};

struct config_fault {
	char text[512]; /* one line for people: what is wrong, and what is wanted */
};

/* With the defaults. */
int config_new(struct config **ret_c) MUST_CHECK;
void config_free(struct config *c);

/* `name` is SECTION.KEY; text as in the environment: lists are separated by commas or blanks. */
int config_set(struct config *c, const char *name, const char *text, struct config_fault *ret_fault) MUST_CHECK;
/* ERR_NOT_FOUND, ERR_PERMISSION, ERR_IO, ERR_INVALID. */
int config_read_file(struct config *c, const char *path, struct config_fault *ret_fault) MUST_CHECK;
int config_read_environment(struct config *c, char *const *env, struct config_fault *ret_fault) MUST_CHECK;
/* Checks what single settings cannot tell. Once, after the last of the above. */
int config_finish(struct config *c, struct config_fault *ret_fault) MUST_CHECK;

/* One more that tokens may be made out for; twice is once. ERR_INVALID: no URL of a relay; ERR_RANGE: too many. */
int config_add_origin(struct config *c, const char *url) MUST_CHECK;

/* Takes from `running` what only a restart changes; each() is called with the name of a setting that differs. */
typedef void config_kept(void *ctx, const char *name);
int config_keep(struct config *c, const struct config *running, config_kept *each, void *ctx) MUST_CHECK;

/* Where rows are, as depot_open takes it. */
static inline const char *config_depot(const struct config *c)
{
	return *c->storage.database ? c->storage.database : c->storage.data;
}

/* A file with every setting at its default, commented out. */
int config_print(FILE *to) MUST_CHECK;

/* The table. */
enum setting_kind { SETTING_TEXT, SETTING_LIST, SETTING_NUMBER };

struct setting {
	const char *section, *key;
	enum setting_kind kind;
	size_t at;            /* in struct config */
	const char *standard; /* the default, as config_set takes it */
	uint64_t min, max;    /* of a number */
	const char *words;    /* a text must be one of these, separated by '|'; NULL: any */
	const char *env;      /* further names in the environment, separated by '|', or NULL */
	bool restart;         /* a running relay keeps the old value */
	const char *about;    /* lines for people */
};

extern const struct setting config_table[];
extern const size_t config_table_size;

#endif
