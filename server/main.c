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
	struct listener where; /* as it was opened: its address */
};

static int own_origins(const struct listener *l, struct config *c)
{
	static const char *const loopback[] = { "127.0.0.1", "localhost", "[::1]" };
	const char *scheme = *c->server.tls_certificate ? "https" : "http";
	char text[128];
	int err;

	snprintf(text, sizeof text, strchr(l->host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", scheme, l->host,
		(unsigned)l->port);
	err = config_add_origin(c, text);
	for (size_t i = 0; i < 3 && err == OK; i++) {
		snprintf(text, sizeof text, "%s://%s:%u", scheme, loopback[i], (unsigned)l->port);
		err = config_add_origin(c, text);
	}
	return err;
}

/* How clients call the relay, as the settings say or as it listens. ERR_INVALID, and *ret_why. */
static int set_origins(const struct listener *l, struct config *c, struct config_fault *ret_why)
{
	const struct text_list *named = &c->server.origins;

	for (size_t i = 0; i < named->n; i++)
		if (config_add_origin(c, named->items[i]) < 0) {
			snprintf(ret_why->text, sizeof ret_why->text,
				"--origin wants a URL, for example https://relay.example.org, %d at most; not %.200s",
				CONFIG_MAX_ORIGINS, named->items[i]);
			return ERR_INVALID;
		}
	if (!named->n && own_origins(l, c) < 0) {
		snprintf(ret_why->text, sizeof ret_why->text, "where it listens cannot stand in a URL; give --origin");
		return ERR_INVALID;
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
		fprintf(stderr,
			"coffer-relay: cannot use %s: %s; give another --data, or make the directory above it\n", dir,
			err_str(err));
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
		fprintf(stderr,
			"coffer-relay: may not listen on %s; give a port from 1024 on, or the right "
			"CAP_NET_BIND_SERVICE\n",
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

/* Network thread. Settings that are not good change nothing. */
static int take_settings(struct daemon *d, struct config *c, struct config_fault *ret_why)
{
	unsigned doubted = 0;
	int err = config_keep(c, relay_config(&d->relay), say_kept, NULL);

	snprintf(ret_why->text, sizeof ret_why->text, "out of memory");
	if (err == OK)
		err = set_origins(&d->where, c, ret_why);
	if (err == OK)
		err = relay_configure(&d->relay, c, &doubted);
	if (err < 0) {
		config_free(c);
		return err;
	}
	net_settings_changed(d->net, doubted);
	if (doubted)
		log_info("reload: who may have lost trust shows a token again within %" PRIu64 " s",
			c->server.return_seconds);
	return OK;
}

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
	if (settings_load(&d->settings, &c, &fault) < 0 || take_settings(d, c, &fault) < 0) {
		log_error("reload: %s; the old settings stay", fault.text);
	} else {
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
	const struct config *c = relay_config(&d->relay);
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
	net_on_reload(d->net, reload, d);
	running = d->net;
	set_handlers(true);
	if (!c->server.origins.n && (strcmp(d->where.host, "0.0.0.0") == 0 || strcmp(d->where.host, "::") == 0))
		log_warn("no --origin given: only clients on this machine will be let in");
	if (c->strangers == STRANGERS_OFF)
		log_info("tokens that devices make for themselves are refused (auth.self_issued), Coffer's too");
	log_info("listening on %s:%u for %s", d->where.host, (unsigned)d->where.port, c->origins[0]);
	net_run(d->net);
	set_handlers(false);
	net_free(d->net);
	log_info("stopped");
	return EX_OK;
}

static int start(struct daemon *d, struct config *c)
{
	int err = listener_passed(&d->listener), status;
	struct config_fault why;

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
	d->where = d->listener;
	if (set_origins(&d->where, c, &why) < 0) {
		fprintf(stderr, "coffer-relay: %s\n", why.text);
		config_free(c);
		listener_close(&d->listener);
		return EX_USAGE;
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
