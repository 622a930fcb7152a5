/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "server/config.h"
#include "server/toml.h"
#include "tests/lib/heap.h"
#include "tests/lib/unit.h"

/* Writes what was read as "table.key=value;". */
static int note(void *ctx, const char *table, const char *key, const struct toml_value *v)
{
	struct buf *out = ctx;

	assert_int_equal(buf_printf(out, "%s.%s=", table, key), 0);
	if (v->kind == TOML_TEXT)
		assert_int_equal(buf_printf(out, "'%s'", v->text), 0);
	else if (v->kind == TOML_NUMBER)
		assert_int_equal(buf_printf(out, "%lld", (long long)v->number), 0);
	else if (v->kind == TOML_FLAG)
		assert_int_equal(buf_printf(out, "%s", v->flag ? "true" : "false"), 0);
	for (size_t i = 0; v->kind == TOML_LIST && i < v->n; i++)
		assert_int_equal(buf_printf(out, "[%s]", v->items[i]), 0);
	assert_int_equal(buf_put_u8(out, ';'), 0);
	return 0;
}

static void reads_what_settings_need(void **state)
{
	static const char text[] = "# a comment\r\n"
				   "top = 'level'\r\n"
				   "[server] # another\n"
				   "  listen=\"[::1]:5379\"\n"
				   "\tlist = [ \"a\", 'b\\c', # inside\n\n \"d\\\"e\\t\", ]\n"
				   "none = []\n"
				   "[limits]\n"
				   "n = 1_000_000\n"
				   "zero = 0\n"
				   "minus = -5\n"
				   "yes = true\n"
				   "no-no = false";
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct toml_fault fault;

	(void)state;
	assert_int_equal(toml_read(bytes_str(text), note, &out, &fault), OK);
	assert_int_equal(buf_put_u8(&out, 0), 0);
	assert_string_equal(out.data,
		".top='level';server.listen='[::1]:5379';server.list=[a][b\\c][d\"e\t];server.none=;"
		"limits.n=1000000;limits.zero=0;limits.minus=-5;limits.yes=true;limits.no-no=false;");
}

static void refuses_the_rest_with_its_line(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
	} table[] = {
		{ "a", 1 },
		{ "\n\na =\n", 3 },
		{ "a = 1 2", 1 },
		{ "a = 1.5", 1 },
		{ "a = 012", 1 },
		{ "a = 0x10", 1 },
		{ "a = 1979-05-27", 1 },
		{ "a = 1__0", 1 },
		{ "a = 99999999999999999999", 1 },
		{ "a = maybe", 1 },
		{ "a = \"open\n", 1 },
		{ "a = \"bad \\q\"", 1 },
		{ "a = \"\"\"many\"\"\"", 1 },
		{ "a = \"\x01\"", 1 },
		{ "a = [1]", 1 },
		{ "a = [\n\"x\"\n\"y\"]", 3 },
		{ "a = [\n\"x\"", 2 },
		{ "a = { b = 1 }", 1 },
		{ "a.b = 1", 1 },
		{ "[a.b]", 1 },
		{ "[[a]]", 1 },
		{ "[a\n", 1 },
		{ "[a] b = 1", 1 },
		{ "= 1", 1 },
		{ "\"a\" = 1", 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
		struct toml_fault fault;

		if (toml_read(bytes_str(table[i].text), note, &out, &fault) != ERR_INVALID)
			fail_msg("taken: %s", table[i].text);
		assert_int_equal(fault.line, table[i].line);
		assert_non_null(fault.what);
	}
}

static struct config *standard(void)
{
	struct config *c;

	assert_int_equal(config_new(&c), 0);
	return c;
}

static void write_file(char path[64], const char *text)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	snprintf(path, 64, "%.40s/config.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void later_sources_win(void **state)
{
	char *const env[] = { "COFFER_RELAY_LIMITS_REQUESTS=33", "LISTEN_ADDR=0.0.0.0:1",
		"COFFER_RELAY_SERVER_LISTEN=0.0.0.0:2", "COFFER_RELAY_ARGS=--origin x", "HOME=/", NULL };
	struct config *c = standard();
	struct config_fault f;
	char path[64];

	(void)state;
	write_file(path, "[limits]\nrequests = 22\nsubscriptions = 44\n[server]\nlisten = '0.0.0.0:3'\norigins = "
			 "['http://a', 'http://b']\n");
	assert_int_equal(c->limits.requests, 256);
	assert_int_equal(config_read_file(c, path, &f), OK);
	assert_int_equal(c->limits.requests, 22);
	assert_int_equal(config_read_environment(c, env, &f), OK);
	assert_int_equal(c->limits.requests, 33);
	assert_int_equal(c->limits.subscriptions, 44);
	assert_string_equal(c->server.listen, "0.0.0.0:2"); /* the own name wins over the reference server's */
	assert_int_equal(config_set(c, "server.listen", "0.0.0.0:4", &f), OK);
	assert_string_equal(c->server.listen, "0.0.0.0:4");
	assert_int_equal(c->server.origins.n, 2);
	assert_string_equal(c->server.origins.items[1], "http://b");
	assert_int_equal(config_finish(c, &f), OK);
	config_free(c);
	unlink(path);
}

/* What a deployment of the reference server sets, as it sets it. */
static void the_reference_servers_names_are_known(void **state)
{
	char *const env[] = { "LISTEN_ADDR=0.0.0.0:5379", "DATABASE_URL=postgres://u@h/d",
		"TRUSTED_ISSUERS=https://a.example https://b.example=https://b.example/keys", "AUDIENCES=one,two",
		"IDENTITY_HASH_KEY=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"FILE_STORAGE_BACKEND=s3", "FILE_S3_ENDPOINT=http://127.0.0.1:9000", "FILE_S3_BUCKET=b",
		"FILE_S3_REGION=r", "FILE_S3_ACCESS_KEY=k", "FILE_S3_SECRET_KEY=s", NULL };
	struct config *c = standard();
	struct config_fault f;

	(void)state;
	assert_int_equal(config_read_environment(c, env, &f), OK);
	assert_int_equal(config_finish(c, &f), OK);
	assert_string_equal(c->server.listen, "0.0.0.0:5379");
	assert_string_equal(c->storage.database, "postgres://u@h/d");
	assert_int_equal(c->auth.trusted_issuers.n, 2);
	assert_string_equal(c->auth.trusted_issuers.items[1], "https://b.example=https://b.example/keys");
	assert_int_equal(c->auth.audiences.n, 2);
	assert_string_equal(c->auth.audiences.items[1], "two");
	assert_memory_equal(c->auth.identity_hash_key, "0123456789abcdef", 16);
	config_free(c);
}

/* Who names account servers lets nobody else in, unless he says so: a deployment of the reference server moves here as it is. */
static void account_servers_shut_strangers_out(void **state)
{
	static const struct {
		const char *issuers, *self_issued, *then;
	} rows[] = {
		{ "", NULL, "open" },
		{ "https://a.example", NULL, "off" },
		{ "https://a.example", "auto", "off" },
		{ "https://a.example", "open", "open" },
		{ "https://a.example", "invited", "invited" },
		{ "", "off", "off" },
	};
	struct config_fault f;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config *c = standard();

		assert_int_equal(config_set(c, "auth.trusted_issuers", rows[i].issuers, &f), OK);
		if (rows[i].self_issued)
			assert_int_equal(config_set(c, "auth.self_issued", rows[i].self_issued, &f), OK);
		assert_int_equal(config_finish(c, &f), OK);
		assert_string_equal(c->auth.self_issued, rows[i].then);
		config_free(c);
	}
}

/* As compose files pass what is not set, and as the reference reads it. */
static void the_reference_servers_words_are_understood(void **state)
{
	char *const empty[] = {
		"LISTEN_ADDR=", "FILE_STORAGE_BACKEND=", "FILE_S3_USE_SSL=", "DATABASE_URL=", "TRUSTED_ISSUERS=", NULL
	};
	static const struct {
		char *variable;
		const char *then;
	} rows[] = { { "FILE_S3_USE_SSL=false", "false" }, { "FILE_S3_USE_SSL=0", "true" },
		{ "FILE_S3_USE_SSL=yes", "true" }, { "FILE_S3_USE_SSL=true", "true" } };
	struct config *c = standard();
	struct config_fault f;

	(void)state;
	assert_int_equal(config_read_environment(c, empty, &f), OK);
	assert_int_equal(config_finish(c, &f), OK);
	assert_string_equal(c->server.listen, "127.0.0.1:5379");
	assert_string_equal(c->storage.backend, "local");
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *const env[] = { rows[i].variable, NULL };

		assert_int_equal(config_read_environment(c, env, &f), OK);
		assert_string_equal(c->storage.s3_tls, rows[i].then);
	}
	config_free(c);
}

static bool is_standard(const struct setting *s, const struct config *c, const struct config *standard)
{
	const char *x = (const char *)c + s->at, *y = (const char *)standard + s->at;
	const struct text_list *l = (const void *)x, *m = (const void *)y;
	bool same = true;

	if (s->kind == SETTING_TEXT)
		return strcmp(*(char *const *)x, *(char *const *)y) == 0;
	if (s->kind == SETTING_NUMBER)
		return *(const uint64_t *)x == *(const uint64_t *)y;
	for (size_t i = 0; i < l->n && i < m->n; i++)
		same &= strcmp(l->items[i], m->items[i]) == 0;
	return same && l->n == m->n;
}

/* What --print-config prints is a file: with the marks of comments taken off each setting comes back as it was, and all are there. */
static void what_is_printed_is_the_defaults(void **state)
{
	struct config *c = standard(), *defaults = standard();
	char *text = NULL, line[1024], path[64];
	size_t len = 0, found = 0;
	FILE *to = open_memstream(&text, &len), *from, *file;
	struct config_fault f;

	(void)state;
	assert_non_null(to);
	assert_int_equal(config_print(to), OK);
	fclose(to);
	write_file(path, "");
	from = fmemopen(text, len, "r");
	file = fopen(path, "w");
	assert_true(from && file);
	while (fgets(line, sizeof line, from)) {
		bool setting = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z' && strstr(line, " = ");

		found += setting;
		fputs(line + setting, file);
	}
	fclose(from);
	fclose(file);
	assert_int_equal(found, config_table_size);
	for (size_t i = 0; i < config_table_size; i++) /* so that a line that says nothing would show */
		if (config_table[i].kind == SETTING_NUMBER)
			*(uint64_t *)((char *)c + config_table[i].at) += 1;
	if (config_read_file(c, path, &f) < 0)
		fail_msg("%s", f.text);
	for (size_t i = 0; i < config_table_size; i++)
		if (!is_standard(&config_table[i], c, defaults))
			fail_msg("%s.%s is another", config_table[i].section, config_table[i].key);
	config_free(c);
	config_free(defaults);
	free(text);
	unlink(path);
}

static void names_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *words;
	} table[] = {
		{ "[limits]\n\nrequests = 'many'", "line 3: limits.requests is a whole number from 1 to 100000" },
		{ "[limits]\nrequests = 0", "line 2: limits.requests is a whole number" },
		{ "[limits]\nrequests = 100001", "line 2" },
		{ "[limits]\nrequest = 1", "there is no setting limits.request;" },
		{ "[limits]\nrequests = 1\nrequests = 2", "line 3: limits.requests stands here a second time" },
		{ "[server]\nlisten = 5379", "server.listen wants text in quotes" },
		{ "[server]\norigins = 'x'", "server.origins wants a list" },
		{ "[log]\nlevel = 'loud'", "log.level is one of error|warn|info|debug, not \"loud\"" },
	};
	char *const unknown[] = { "COFFER_RELAY_LIMITS_REQEUSTS=3", NULL };
	struct config_fault f;

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct config *c = standard();
		char path[64];

		write_file(path, table[i].text);
		assert_int_equal(config_read_file(c, path, &f), ERR_INVALID);
		if (!strstr(f.text, table[i].words))
			fail_msg("%s does not say %s", f.text, table[i].words);
		config_free(c);
		unlink(path);
	}
	struct config *c = standard();
	assert_int_equal(config_read_environment(c, unknown, &f), ERR_INVALID);
	assert_non_null(strstr(f.text, "COFFER_RELAY_LIMITS_REQEUSTS"));
	assert_int_equal(config_set(c, "server.tls_key", "k.pem", &f), OK);
	assert_int_equal(config_finish(c, &f), ERR_INVALID);
	config_free(c);
}

static void count_kept(void *ctx, const char *name)
{
	assert_true(strcmp(name, "server.listen") == 0 || strcmp(name, "storage.data") == 0);
	++*(unsigned *)ctx;
}

static void a_reload_keeps_what_needs_a_restart(void **state)
{
	struct config *running = standard(), *c = standard();
	struct config_fault f;
	unsigned kept = 0;

	(void)state;
	assert_int_equal(config_set(c, "server.listen", "0.0.0.0:1", &f), OK);
	assert_int_equal(config_set(c, "storage.data", "/elsewhere", &f), OK);
	assert_int_equal(config_set(c, "server.origins", "http://a http://b", &f), OK);
	assert_int_equal(config_set(c, "limits.requests", "7", &f), OK);
	assert_int_equal(config_keep(c, running, count_kept, &kept), OK);
	assert_int_equal(kept, 2);
	assert_string_equal(c->server.listen, "127.0.0.1:5379");
	assert_string_equal(c->storage.data, "coffer-relay-data");
	assert_int_equal(c->server.origins.n, 2);
	assert_int_equal(c->limits.requests, 7);
	config_free(c);
	config_free(running);
}

static void survives_every_failed_allocation(void **state)
{
	char path[64];

	(void)state;
	write_file(path, "[server]\norigins = ['http://a', 'http://b']\ntrusted_proxies = ['10.0.0.0/8']\n");
	for (unsigned long n = 1;; n++) {
		struct config *c = NULL;
		struct config_fault f;
		int err;

		heap_fail_at(n);
		err = config_new(&c);
		if (err == OK)
			err = config_read_file(c, path, &f);
		if (err == OK)
			err = config_finish(c, &f);
		if (!heap_failed()) {
			assert_int_equal(err, OK);
			config_free(c);
			break;
		}
		heap_fail_at(0);
		assert_int_equal(err, ERR_NOMEM);
		config_free(c);
	}
	unlink(path);
}

static void networks_hold_their_addresses(void **state)
{
	static const struct {
		const char *net, *addr;
		bool in;
	} table[] = {
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "::ffff:127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.128.0.0/9", "10.127.0.1", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1", "::1", true },
		{ "::/0", "127.0.0.1", true },
		{ "10.0.0.0/8", "nothing", false },
	};
	static const char *const bad[] = { "", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0/8",
		"1.2.3.4/8x" };
	struct network n;

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		assert_int_equal(network_parse(table[i].net, &n), OK);
		if (network_has(&n, table[i].addr) != table[i].in)
			fail_msg("%s in %s", table[i].addr, table[i].net);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(network_parse(bad[i], &n), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_settings_need),
		cmocka_unit_test(refuses_the_rest_with_its_line),
		cmocka_unit_test(later_sources_win),
		cmocka_unit_test(the_reference_servers_names_are_known),
		cmocka_unit_test(the_reference_servers_words_are_understood),
		cmocka_unit_test(account_servers_shut_strangers_out),
		cmocka_unit_test(what_is_printed_is_the_defaults),
		cmocka_unit_test(names_what_is_wrong),
		cmocka_unit_test(a_reload_keeps_what_needs_a_restart),
		cmocka_unit_test(survives_every_failed_allocation),
		cmocka_unit_test(networks_hold_their_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
