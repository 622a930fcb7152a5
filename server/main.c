/* SPDX-License-Identifier: Apache-2.0 */
/* coffer-relay: arguments, signals, and one clear line for whatever keeps it from starting. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include "base/allocator.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "server/net.h"
#include "wire/relay_url.h"

#define VERSION "0.1"

static const char usage[] =
	"Usage: coffer-relay [--listen ADDRESS:PORT] [--data DIR] [--origin URL]...\n"
	"Keeps sealed records and chunks of Coffer spaces and passes them on.\n"
	"\n"
	"  --listen ADDRESS:PORT  where to listen (default 127.0.0.1:5379; port 0: any free one)\n"
	"  --data DIR             where everything is kept (default ./coffer-relay-data)\n"
	"  --origin URL           how clients reach this relay, for example https://relay.example.org; again for more\n"
	"                         (default: the address of --listen)\n"
	"  --version, --help\n"
	"\n"
	"Example: coffer-relay --listen 127.0.0.1:5379 --data /var/lib/coffer-relay --origin "
	"https://relay.example.org\n";

/* The handler has no argument. Written once before the handler is set. */
static struct net *running;

static void on_signal(int signo)
{
	(void)signo;
	net_stop(running);
}

struct options {
	const char *data;
	char host[64];
	int port;
	char origins[RELAY_MAX_ORIGINS][RELAY_HOST_MAX + 20];
	size_t n_origins;
	bool wildcard; /* listens on all addresses, and nobody said how clients call it */
};

static int parse_listen(struct options *o, const char *text)
{
	const char *colon = strrchr(text, ':');
	char *end;
	long port;
	size_t len;

	if (!colon || !colon[1])
		return ERR_INVALID;
	port = strtol(colon + 1, &end, 10);
	if (*end || port < 0 || port > 65535)
		return ERR_INVALID;
	len = (size_t)(colon - text);
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!len || len >= sizeof o->host)
		return ERR_INVALID;
	memcpy(o->host, text, len);
	o->host[len] = '\0';
	o->port = (int)port;
	return OK;
}

static int add_origin(struct options *o, const char *text)
{
	struct relay_url url;
	int err = relay_url_parse(bytes_str(text), &url);

	if (err < 0)
		return err;
	if (o->n_origins == RELAY_MAX_ORIGINS)
		return ERR_RANGE;
	for (size_t i = 0; i < o->n_origins; i++)
		if (strcmp(o->origins[i], url.origin) == 0)
			return OK;
	snprintf(o->origins[o->n_origins++], sizeof o->origins[0], "%s", url.origin);
	return OK;
}

static int default_origins(struct options *o, int port)
{
	static const char *const loopback[] = { "127.0.0.1", "localhost", "[::1]" };
	char text[128];
	int err;

	if (o->n_origins)
		return OK;
	o->wildcard = strcmp(o->host, "0.0.0.0") == 0 || strcmp(o->host, "::") == 0;
	snprintf(text, sizeof text, strchr(o->host, ':') ? "http://[%s]:%d" : "http://%s:%d", o->host, port);
	err = add_origin(o, text);
	for (size_t i = 0; i < 3 && err == OK; i++) {
		snprintf(text, sizeof text, "http://%s:%d", loopback[i], port);
		err = add_origin(o, text);
	}
	return err;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "data", required_argument, NULL, 'd' },
		{ "origin", required_argument, NULL, 'o' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "l:d:o:Vh", longs, NULL)) != -1) {
		if (c == 'l' && parse_listen(o, optarg) < 0) {
			fprintf(stderr, "coffer-relay: --listen wants ADDRESS:PORT, for example 127.0.0.1:5379\n");
			return EX_USAGE;
		}
		if (c == 'o' && add_origin(o, optarg) < 0) {
			fprintf(stderr, "coffer-relay: --origin wants a URL, for example https://relay.example.org\n");
			return EX_USAGE;
		}
		if (c == 'd')
			o->data = optarg;
		if (c == 'V')
			return printf("coffer-relay %s\n", VERSION) < 0 ? EX_IOERR : EX_OK;
		if (c == 'h')
			return fputs(usage, stdout) < 0 ? EX_IOERR : EX_OK;
		if (c == '?') {
			fputs("Try: coffer-relay --help\n", stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "coffer-relay: unexpected argument. Try: coffer-relay --help\n");
		return EX_USAGE;
	}
	return -1;
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
	case ERR_NO_SPACE:
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

static int explain_listen(const struct options *o, int err)
{
	if (err == ERR_BUSY)
		fprintf(stderr,
			"coffer-relay: port %d on %s is in use; stop what listens there, or give another --listen\n",
			o->port, o->host);
	else if (err == ERR_NOT_FOUND)
		fprintf(stderr, "coffer-relay: %s is no address of this machine; give another --listen\n", o->host);
	else if (err == ERR_INVALID)
		fprintf(stderr, "coffer-relay: --listen wants an IP address, not %s\n", o->host);
	else
		fprintf(stderr, "coffer-relay: cannot listen on %s:%d: %s\n", o->host, o->port, err_str(err));
	return EX_UNAVAILABLE;
}

static void set_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			log_warn("cannot raise the limit of open files");
	}
	umask(077);
}

static int serve(struct relay *relay, struct options *o)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct net *net;
	int err = net_new(relay, o->host, o->port, &net);

	if (err < 0)
		return explain_listen(o, err);
	if (default_origins(o, net_port(net)) < 0) {
		fprintf(stderr, "coffer-relay: %s cannot stand in a URL; give --origin\n", o->host);
		net_free(net);
		return EX_USAGE;
	}
	for (relay->n_origins = 0; relay->n_origins < o->n_origins; relay->n_origins++)
		relay->origins[relay->n_origins] = o->origins[relay->n_origins];
	running = net;
	sigemptyset(&act.sa_mask);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	if (o->wildcard)
		log_warn("no --origin given: only clients on this machine will be let in");
	log_info("listening on %s:%d for %s", o->host, net_port(net), o->origins[0]);
	net_run(net);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	net_free(net);
	log_info("stopped");
	return EX_OK;
}

int main(int argc, char **argv)
{
	struct options o = { .data = "coffer-relay-data", .host = "127.0.0.1", .port = 5379 };
	struct relay relay;
	int err, status = parse_options(&o, argc, argv);

	if (status >= 0)
		return status;
	log_init("coffer-relay", LOG_LEVEL_INFO);
	allocator_keep_blocks();
	signal(SIGPIPE, SIG_IGN);
	set_limits();
	if (crypto_init() < 0) {
		fprintf(stderr, "coffer-relay: the cryptographic library does not start\n");
		return EX_OSERR;
	}
	if ((err = relay_open(&relay, env_system(), o.data)) < 0)
		return explain_data(o.data, err);
	relay.metrics.started = relay_now(&relay);
	status = serve(&relay, &o);
	relay_close(&relay);
	return status;
}
