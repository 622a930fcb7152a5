/* SPDX-License-Identifier: Apache-2.0 */
#include "server/settings.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include "base/log.h"
#include "server/metrics.h"

static const char usage[] =
	"Usage: coffer-relay [--config FILE] [--listen ADDRESS:PORT] [--data DIR] [--origin URL]...\n"
	"       coffer-relay [--config FILE] [--data DIR] backup DIR | check | invite [HOURS]\n"
	"Keeps sealed records and chunks of Coffer spaces and passes them on.\n"
	"\n"
	"  --config FILE          settings (TOML); --print-config shows all of them\n"
	"  --print-config         a file with every setting at its default, commented out\n"
	"  --listen ADDRESS:PORT  where to listen (default 127.0.0.1:5379; port 0: any free one)\n"
	"  --data DIR             where everything is kept (default ./coffer-relay-data)\n"
	"  --origin URL           how clients reach this relay, for example https://relay.example.org; again for more\n"
	"                         (default: the address of --listen)\n"
	"  --version, --help\n"
	"\n"
	"  backup DIR  copies what a relay keeps to a new directory, also while it runs\n"
	"  check       reads all of it and names what the disk has damaged\n"
	"  invite      prints a code with which somebody may make spaces here, once and within 72 hours, or HOURS\n"
	"\n"
	"SIGHUP reads the file and the TLS certificate again; SIGTERM lets clients finish and ends.\n"
	"\n"
	"Example: coffer-relay --listen 127.0.0.1:5379 --data /var/lib/coffer-relay --origin "
	"https://relay.example.org\n";

static int out_of_memory(void)
{
	fputs("coffer-relay: out of memory\n", stderr);
	return EX_OSERR;
}

static int add_origin(struct settings *s, const char *text)
{
	if (s->origins.len)
		s->origins.data[s->origins.len - 1] = ',';
	return buf_put(&s->origins, text, strlen(text) + 1);
}

int settings_parse(struct settings *s, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "print-config", no_argument, NULL, 'p' },
		{ "listen", required_argument, NULL, 'l' },
		{ "data", required_argument, NULL, 'd' },
		{ "origin", required_argument, NULL, 'o' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	*s = (struct settings){ .origins = BUF_INIT(16384) };
	while ((c = getopt_long(argc, argv, "c:l:d:o:Vh", longs, NULL)) != -1) {
		if (c == 'c')
			s->file = optarg;
		if (c == 'l')
			s->listen = optarg;
		if (c == 'd')
			s->data = optarg;
		if (c == 'o' && add_origin(s, optarg) < 0)
			return out_of_memory();
		if (c == 'p')
			return config_print(stdout) < 0 ? EX_IOERR : EX_OK;
		if (c == 'V')
			return printf("coffer-relay %s\n", RELAY_VERSION) < 0 ? EX_IOERR : EX_OK;
		if (c == 'h')
			return fputs(usage, stdout) < 0 ? EX_IOERR : EX_OK;
		if (c == '?') {
			fputs("Try: coffer-relay --help\n", stderr);
			return EX_USAGE;
		}
	}
	s->rest = (const char *const *)argv + optind;
	s->n = (size_t)(argc - optind);
	return -1;
}

void settings_release(struct settings *s)
{
	buf_release(&s->origins);
}

static int load(const struct settings *s, struct config *c, struct config_fault *f)
{
	int err = s->file ? config_read_file(c, s->file, f) : OK;

	if (err == OK)
		err = config_read_environment(c, environ, f);
	if (err == OK && s->listen)
		err = config_set(c, "server.listen", s->listen, f);
	if (err == OK && s->data)
		err = config_set(c, "storage.data", s->data, f);
	if (err == OK && s->origins.len)
		err = config_set(c, "server.origins", (const char *)s->origins.data, f);
	return err < 0 ? err : config_finish(c, f);
}

int settings_load(const struct settings *s, struct config **ret_c, struct config_fault *ret_fault)
{
	struct config *c;
	enum log_level level = LOG_LEVEL_INFO;
	int err;

	snprintf(ret_fault->text, sizeof ret_fault->text, "out of memory");
	if ((err = config_new(&c)) < 0)
		return err;
	if ((err = load(s, c, ret_fault)) < 0 || (err = log_level_parse(c->log.level, &level)) < 0) {
		config_free(c);
		return err;
	}
	log_set_level(level);
	log_set_json(strcmp(c->log.format, "json") == 0);
	*ret_c = c;
	return OK;
}
