/* SPDX-License-Identifier: Apache-2.0 */
/* coffer-relay: starts and ends it, reloads, and says in one clear line whatever keeps it from starting. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include "base/allocator.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "server/command.h"
#include "server/net.h"
#include "server/service.h"
#include "server/settings.h"
#include "wire/relay_url.h"

/* The handlers have no argument. Written once before they are set. */
static struct net *running;

static void on_stop(int signo)
{
	(void)signo;
	net_stop(running);
}

static void on_hangup(int signo)
{
	(void)signo;
	net_reload(running);
}

struct daemon {
	struct settings settings;
	struct relay relay;
	struct listener listener;
	struct net *net;
	char origins[RELAY_MAX_ORIGINS][RELAY_HOST_MAX + 20];
	size_t n_origins;
	bool wildcard; /* listens on all addresses, and nobody said how clients call it */
};

static int add_origin(struct daemon *d, const char *text)
{
	struct relay_url url;
	int err = relay_url_parse(bytes_str(text), &url);

	if (err < 0)
		return err;
	if (d->n_origins == RELAY_MAX_ORIGINS)
		return ERR_RANGE;
	for (size_t i = 0; i < d->n_origins; i++)
		if (strcmp(d->origins[i], url.origin) == 0)
			return OK;
	snprintf(d->origins[d->n_origins++], sizeof d->origins[0], "%s", url.origin);
	return OK;
}

static int own_origins(struct daemon *d, const char *scheme)
{
	static const char *const loopback[] = { "127.0.0.1", "localhost", "[::1]" };
	const struct listener *l = &d->listener;
	char text[128];
	int err;

	d->wildcard = strcmp(l->host, "0.0.0.0") == 0 || strcmp(l->host, "::") == 0;
	snprintf(text, sizeof text, strchr(l->host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", scheme, l->host,
		(unsigned)l->port);
	err = add_origin(d, text);
	for (size_t i = 0; i < 3 && err == OK; i++) {
		snprintf(text, sizeof text, "%s://%s:%u", scheme, loopback[i], (unsigned)l->port);
		err = add_origin(d, text);
	}
	return err;
}

/* An exit status, or OK. */
static int set_origins(struct daemon *d, const struct config *c)
{
	for (size_t i = 0; i < c->server.origins.n; i++)
		if (add_origin(d, c->server.origins.items[i]) < 0) {
			fprintf(stderr,
				"coffer-relay: --origin wants a URL, for example https://relay.example.org, %d at "
				"most; not %s\n",
				RELAY_MAX_ORIGINS, c->server.origins.items[i]);
			return EX_USAGE;
		}
	if (!d->n_origins && own_origins(d, *c->server.tls_certificate ? "https" : "http") < 0) {
		fputs("coffer-relay: where it listens cannot stand in a URL; give --origin\n", stderr);
		return EX_USAGE;
	}
	return OK;
}

static int explain_data(const char *dir, int err)
{
	switch (err) {
	case ERR_BUSY:
		fprintf(stderr, "coffer-relay: another relay uses %s; stop it, or give another --data\n", dir);
		return EX_UNAVAILABLE;
	case ERR_VERSION:
		fprintf(stderr,
			"coffer-relay: %s was written by another version of the relay; use that version, or another "
			"--data\n",
			dir);
		return EX_CONFIG;
	case ERR_PERMISSION:
	case ERR_READ_ONLY:
		fprintf(stderr, "coffer-relay: cannot write to %s; give its owner, or another --data\n", dir);
		return EX_NOPERM;
	case ERR_TIMEOUT:
		fputs("coffer-relay: the bucket does not answer; look at storage.s3_endpoint and at the network\n",
			stderr);
		return EX_UNAVAILABLE;
	case ERR_FORBIDDEN:
		fputs("coffer-relay: the bucket refuses the key; look at s3_access_key, its secret, s3_region and the "
		      "clock\n",
			stderr);
		return EX_CONFIG;
	case ERR_ABSENT:
		fputs("coffer-relay: there is no such bucket; make it, or look at storage.s3_bucket\n", stderr);
		return EX_CONFIG;
	case ERR_NO_SPACE:
	case ERR_QUOTA:
		fprintf(stderr, "coffer-relay: no space left in %s; free some, and start it again\n", dir);
		return EX_CANTCREAT;
	case ERR_CORRUPT:
		fprintf(stderr, "coffer-relay: the database in %s is damaged; restore it from a backup\n", dir);
		return EX_DATAERR;
	default:
		fprintf(stderr, "coffer-relay: cannot use %s: %s\n", dir, err_str(err));
		return EX_CANTCREAT;
	}
}

static int explain_database(int err)
{
	switch (err) {
	case ERR_OFFLINE:
		fputs("coffer-relay: PostgreSQL cannot be reached; start it, or correct storage.database\n", stderr);
		return EX_UNAVAILABLE;
	case ERR_BUSY:
		fputs("coffer-relay: another relay uses the database; stop it, or name another in storage.database\n",
			stderr);
		return EX_UNAVAILABLE;
	case ERR_NOT_FOUND:
		fputs("coffer-relay: there is no such database; make it with createdb, or correct storage.database\n",
			stderr);
		return EX_CONFIG;
	case ERR_PERMISSION:
	case ERR_READ_ONLY:
		fputs("coffer-relay: PostgreSQL refuses that user; grant it the database, or correct "
		      "storage.database\n",
			stderr);
		return EX_NOPERM;
	case ERR_VERSION:
		fputs("coffer-relay: the database was written by a newer relay; use that version, or another "
		      "database\n",
			stderr);
		return EX_CONFIG;
	default:
		fprintf(stderr, "coffer-relay: cannot use the database: %s; the line before says more\n", err_str(err));
		return EX_CANTCREAT;
	}
}

/* What blob_open says of a bucket and nothing else says. */
static bool is_of_bucket(int err)
{
	return err == ERR_TIMEOUT || err == ERR_FORBIDDEN || err == ERR_ABSENT;
}

static int explain_listen(const char *where, int err)
{
	switch (err) {
	case ERR_BUSY:
		fprintf(stderr,
			"coffer-relay: the port of %s is in use; stop what listens there, or give another --listen\n",
			where);
		return EX_UNAVAILABLE;
	case ERR_NOT_FOUND:
		fprintf(stderr, "coffer-relay: %s is no address of this machine; give another --listen\n", where);
		return EX_UNAVAILABLE;
	case ERR_PERMISSION:
		fprintf(stderr, "coffer-relay: may not listen on %s; ports below 1024 need a right of their own\n",
			where);
		return EX_NOPERM;
	case ERR_INVALID:
		fprintf(stderr, "coffer-relay: --listen wants ADDRESS:PORT, for example 127.0.0.1:5379, not %s\n",
			where);
		return EX_USAGE;
	default:
		fprintf(stderr, "coffer-relay: cannot listen on %s: %s\n", where, err_str(err));
		return EX_UNAVAILABLE;
	}
}

/* Room for all connections. No more either: the network library sets 20 bytes aside for each file that may be open. */
static void set_limits(const struct config *c)
{
	const rlim_t wanted = 65536 + c->limits.connections;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != wanted) {
		files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			log_warn("cannot set the limit of open files");
	}
	umask(077);
}

static void say_kept(void *ctx, const char *name)
{
	(void)ctx;
	log_warn("reload: %s changes with a restart only", name);
}

/* Network thread. A file that is not good changes nothing. */
static void reload(void *ctx)
{
	struct daemon *d = ctx;
	struct config_fault fault;
	struct config *c;
	struct timespec now;
	char state[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		(int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	service_notify(state);
	if (settings_load(&d->settings, &c, &fault) < 0) {
		log_error("reload: %s; the old settings stay", fault.text);
	} else if (config_keep(c, relay_config(&d->relay), say_kept, NULL) < 0) {
		config_free(c);
		log_error("reload: out of memory; the old settings stay");
	} else {
		relay_configure(&d->relay, c);
		if (net_reload_tls(d->net) < 0)
			log_error(
				"reload: the TLS certificate and key cannot be read or do not fit; the old ones stay");
		log_info("reloaded");
	}
	service_notify("READY=1");
}

static void set_handlers(bool on)
{
	struct sigaction stop = { .sa_handler = on ? on_stop : SIG_DFL };
	struct sigaction hangup = { .sa_handler = on ? on_hangup : SIG_IGN, .sa_flags = SA_RESTART };

	sigemptyset(&stop.sa_mask);
	sigemptyset(&hangup.sa_mask);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGHUP, &hangup, NULL);
}

static int serve(struct daemon *d)
{
	struct listener l = d->listener;
	int err = net_new(&d->relay, &d->listener, &d->net);

	if (err == ERR_INVALID) {
		fputs("coffer-relay: server.tls_certificate and server.tls_key cannot be read, or do not belong "
		      "together\n",
			stderr);
		return EX_CONFIG;
	}
	if (err == ERR_UNSUPPORTED) {
		fputs("coffer-relay: libwebsockets has no libev here; install libwebsockets-evlib-ev\n", stderr);
		return EX_UNAVAILABLE;
	}
	if (err < 0) {
		fprintf(stderr, "coffer-relay: cannot start: %s\n", err_str(err));
		return EX_OSERR;
	}
	for (size_t i = 0; i < d->n_origins; i++)
		d->relay.origins[d->relay.n_origins++] = d->origins[i];
	net_on_reload(d->net, reload, d);
	running = d->net;
	set_handlers(true);
	if (d->wildcard)
		log_warn("no --origin given: only clients on this machine will be let in");
	if (d->relay.strangers == STRANGERS_OFF)
		log_info("tokens that devices make for themselves are refused (auth.self_issued), Coffer's too");
	log_info("listening on %s:%u for %s", l.host, (unsigned)l.port, d->origins[0]);
	net_run(d->net);
	set_handlers(false);
	net_free(d->net);
	log_info("stopped");
	return EX_OK;
}

static int start(struct daemon *d, struct config *c)
{
	int err = listener_passed(&d->listener), status;

	if (err < 0) {
		config_free(c);
		fputs("coffer-relay: what was passed as LISTEN_FDS is no listening stream socket\n", stderr);
		return EX_CONFIG;
	}
	if (!d->listener.n &&
		(err = listener_open(&d->listener, c->server.listen, strcmp(c->server.reuse_port, "true") == 0)) < 0) {
		status = explain_listen(c->server.listen, err);
		config_free(c);
		return status;
	}
	if ((status = set_origins(d, c)) != OK) {
		config_free(c);
		listener_close(&d->listener);
		return status;
	}
	FREE_AFTER char *dir = strdup(c->storage.data);
	const bool database = *c->storage.database;
	if ((err = relay_open(&d->relay, env_system(), c)) < 0) {
		listener_close(&d->listener);
		return database && !is_of_bucket(err) ? explain_database(err)
						      : explain_data(dir ? dir : "the data", err);
	}
	d->relay.metrics.started = relay_now(&d->relay);
	/* Not before: where processes share a port, it would be given connections. */
	err = listener_listen(&d->listener);
	status = err < 0 ? explain_listen(relay_config(&d->relay)->server.listen, err) : serve(d);
	relay_close(&d->relay);
	listener_close(&d->listener);
	return status;
}

int main(int argc, char **argv)
{
	struct daemon d = { 0 };
	struct config_fault fault;
	struct config *c;
	int status;

	log_init("coffer-relay", LOG_LEVEL_INFO);
	status = settings_parse(&d.settings, argc, argv);
	if (status < 0 && settings_load(&d.settings, &c, &fault) < 0) {
		fprintf(stderr, "coffer-relay: %s\n", fault.text);
		status = EX_CONFIG;
	}
	if (status < 0) {
		signal(SIGPIPE, SIG_IGN);
		allocator_keep_blocks();
		set_limits(c);
		if (crypto_init() < 0) {
			fprintf(stderr, "coffer-relay: the cryptographic library does not start\n");
			config_free(c);
			status = EX_OSERR;
		} else if (d.settings.n) {
			status = command_run(c, d.settings.rest, d.settings.n);
			config_free(c);
		} else {
			status = start(&d, c);
		}
	}
	settings_release(&d.settings);
	return status;
}
