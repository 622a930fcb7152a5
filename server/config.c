/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/cleanup.h"
#include "base/env.h"
#include "server/relay.h"
#include "server/toml.h"

#define ENV_PREFIX "COFFER_RELAY_"
#define NAME_MAX_ 128
#define SECRET_MAX 1024

static void list_clear(struct text_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	free(l->items);
	*l = (struct text_list){ 0 };
}

static void *field(struct config *c, const struct setting *s)
{
	return (char *)c + s->at;
}

static const void *field_of(const struct config *c, const struct setting *s)
{
	return (const char *)c + s->at;
}

__attribute__((format(printf, 2, 3))) static int fault(struct config_fault *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
	return ERR_INVALID;
}

/* --- one value --- */

static bool is_word(const char *words, const char *text)
{
	size_t n = strlen(text);

	for (const char *p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strncmp(p, text, n) == 0 && (p[n] == '|' || !p[n]))
			return n > 0;
	return false;
}

static int put_text(struct config *c, const struct setting *s, const char *text, struct config_fault *f)
{
	char **at = field(c, s), *copy;

	if (s->words && !is_word(s->words, text))
		return fault(f, "%s.%s is one of %s, not \"%s\"", s->section, s->key, s->words, text);
	if (!(copy = strdup(text)))
		return ERR_NOMEM;
	free(*at);
	*at = copy;
	return OK;
}

static int put_list(struct config *c, const struct setting *s, const char *const *items, size_t n)
{
	struct text_list l = { .items = calloc(n ? n : 1, sizeof *l.items) };

	for (size_t i = 0; l.items && i < n && (l.items[i] = strdup(items[i])); i++)
		l.n++;
	if (!l.items || l.n < n) {
		list_clear(&l);
		return ERR_NOMEM;
	}
	list_clear(field(c, s));
	*(struct text_list *)field(c, s) = l;
	return OK;
}

static int put_number(struct config *c, const struct setting *s, bool is_number, int64_t v, struct config_fault *f)
{
	if (!is_number || v < 0 || (uint64_t)v < s->min || (uint64_t)v > s->max)
		return fault(
			f, "%s.%s is a whole number from %" PRIu64 " to %" PRIu64, s->section, s->key, s->min, s->max);
	*(uint64_t *)field(c, s) = (uint64_t)v;
	return OK;
}

/* Text as it stands in the environment, on the command line and as a default. */
static int put_words(struct config *c, const struct setting *s, const char *text, struct config_fault *f)
{
	const char *items[TOML_MAX_ITEMS];
	char *end, *save = NULL;
	size_t n = 0;
	int64_t v;

	if (s->kind == SETTING_TEXT)
		return put_text(c, s, text, f);
	if (s->kind == SETTING_NUMBER) {
		errno = 0;
		v = strtoll(text, &end, 10);
		return put_number(c, s, *text && !*end && !errno, v, f);
	}
	FREE_AFTER char *copy = strdup(text);
	if (!copy)
		return ERR_NOMEM;
	for (char *p = strtok_r(copy, ", \t\n", &save); p; p = strtok_r(NULL, ", \t\n", &save)) {
		if (n == TOML_MAX_ITEMS)
			return fault(f, "%s.%s has too many items", s->section, s->key);
		items[n++] = p;
	}
	return put_list(c, s, items, n);
}

static const struct setting *find(const char *section, const char *key)
{
	for (size_t i = 0; i < config_table_size; i++)
		if (strcmp(config_table[i].section, section) == 0 && strcmp(config_table[i].key, key) == 0)
			return &config_table[i];
	return NULL;
}

/* --- the whole --- */

int config_new(struct config **ret_c)
{
	struct config *c = calloc(1, sizeof *c);
	struct config_fault f;
	int err = c ? OK : ERR_NOMEM;

	for (size_t i = 0; i < config_table_size && err == OK; i++)
		err = put_words(c, &config_table[i], config_table[i].standard, &f);
	if (err < 0)
		config_free(c);
	else
		*ret_c = c;
	return err;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < config_table_size; i++) {
		const struct setting *s = &config_table[i];

		if (s->kind == SETTING_TEXT)
			free(*(char **)field(c, s));
		else if (s->kind == SETTING_LIST)
			list_clear(field(c, s));
	}
	free(c->proxies);
	free(c);
}

int config_set(struct config *c, const char *name, const char *text, struct config_fault *ret_fault)
{
	const char *dot = strchr(name, '.');
	char section[NAME_MAX_];
	const struct setting *s = NULL;

	if (dot && (size_t)(dot - name) < sizeof section) {
		memcpy(section, name, (size_t)(dot - name));
		section[dot - name] = '\0';
		s = find(section, dot + 1);
	}
	if (!s)
		return fault(ret_fault, "there is no setting %s", name);
	return put_words(c, s, text, ret_fault);
}

/* --- file --- */

struct file {
	struct config *c;
	struct config_fault *fault;
	bool *seen; /* by index in the table */
};

static int take_pair(void *ctx, const char *table, const char *key, const struct toml_value *v)
{
	static const enum toml_kind wants[] = {
		[SETTING_TEXT] = TOML_TEXT, [SETTING_LIST] = TOML_LIST, [SETTING_NUMBER] = TOML_NUMBER
	};
	struct file *file = ctx;
	const struct setting *s = find(table, key);

	if (!s)
		return fault(
			file->fault, "there is no setting %s.%s; coffer-relay --print-config shows all", table, key);
	if (file->seen[s - config_table])
		return fault(file->fault, "%s.%s stands here a second time", table, key);
	file->seen[s - config_table] = true;
	if (s->kind == SETTING_NUMBER)
		return put_number(file->c, s, v->kind == TOML_NUMBER, v->number, file->fault);
	if (v->kind == TOML_FLAG && s->words && strcmp(s->words, "true|false") == 0)
		return put_text(file->c, s, v->flag ? "true" : "false", file->fault);
	if (v->kind != wants[s->kind])
		return fault(file->fault, "%s.%s wants %s", table, key,
			s->kind == SETTING_TEXT ? "text in quotes" : "a list: [\"...\", \"...\"]");
	return s->kind == SETTING_TEXT ? put_text(file->c, s, v->text, file->fault)
				       : put_list(file->c, s, v->items, v->n);
}

int config_read_file(struct config *c, const char *path, struct config_fault *ret_fault)
{
	FREE_AFTER uint8_t *text = NULL;
	FREE_AFTER bool *seen = calloc(config_table_size, sizeof *seen);
	struct file file = { .c = c, .fault = ret_fault, .seen = seen };
	struct config_fault inner;
	struct toml_fault at;
	size_t len;
	int err;

	if (!seen)
		return ERR_NOMEM;
	if ((err = env_read_file(env_system(), AT_FDCWD, path, TOML_MAX_SIZE, &text, &len)) < 0) {
		fault(ret_fault, "cannot read %s: %s; check the path and who may read it", path, err_str(err));
		return err;
	}
	err = toml_read(bytes_of(text, len), take_pair, &file, &at);
	if (err < 0) {
		inner = *ret_fault;
		fault(ret_fault, "%.200s, line %u: %.300s", path, at.line,
			at.what              ? at.what
			: err == ERR_INVALID ? inner.text
					     : err_str(err));
	}
	return err;
}

/* --- environment --- */

static void env_name(const struct setting *s, char out[NAME_MAX_])
{
	snprintf(out, NAME_MAX_, ENV_PREFIX "%s_%s", s->section, s->key);
	for (char *p = out; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
}

/* The value of VAR=value if that is a variable of this name. */
static const char *value_of(const char *variable, const char *name)
{
	size_t n = strlen(name);

	return strncmp(variable, name, n) == 0 && variable[n] == '=' ? variable + n + 1 : NULL;
}

/* The same for names separated by '|' or NULL; the one it has is copied to `name`. */
static const char *value_of_any(const char *variable, const char *names, char name[NAME_MAX_])
{
	const char *value = NULL;

	for (const char *p = names; p && *p && !value; p += strcspn(p, "|"), p += *p == '|') {
		snprintf(name, NAME_MAX_, "%.*s", (int)strcspn(p, "|"), p);
		value = value_of(variable, name);
	}
	return value;
}

static int take_variable(struct config *c, const char *variable, bool other_names, struct config_fault *f)
{
	char name[NAME_MAX_];
	const char *value;
	struct config_fault inner;
	int err;

	for (size_t i = 0; i < config_table_size; i++) {
		const struct setting *s = &config_table[i];

		env_name(s, name);
		value = other_names ? value_of_any(variable, s->env, name) : value_of(variable, name);
		if (!value)
			continue;
		if (other_names && !*value)
			return OK; /* as if it were not there: compose files say ${X:-} */
		if (other_names && s->words && strcmp(s->words, "true|false") == 0)
			value = strcmp(value, "false") == 0 ? "false" : "true"; /* the reference's word for it */
		if ((err = put_words(c, s, value, &inner)) == ERR_INVALID)
			fault(f, "in the environment, %s: %.400s", name, inner.text);
		return err;
	}
	if (!other_names && strncmp(variable, ENV_PREFIX, sizeof ENV_PREFIX - 1) == 0 &&
		!value_of(variable, ENV_PREFIX "ARGS"))
		return fault(
			f, "in the environment, %.*s: there is no such setting", (int)strcspn(variable, "="), variable);
	return OK;
}

int config_read_environment(struct config *c, char *const *env, struct config_fault *ret_fault)
{
	int err = OK;

	/* The relay's own names win over those that it understands besides. */
	for (size_t i = 0; env[i] && err == OK; i++)
		err = take_variable(c, env[i], true, ret_fault);
	for (size_t i = 0; env[i] && err == OK; i++)
		err = take_variable(c, env[i], false, ret_fault);
	return err;
}

/* --- checks, reload, printing --- */

static int check_auth(struct config *c, struct config_fault *ret_fault)
{
	const struct text_list *l = &c->auth.trusted_issuers;
	const char *key = c->auth.identity_hash_key;

	if (l->n > ISSUERS_MAX || c->auth.audiences.n > AUDIENCES_MAX)
		return fault(ret_fault, "auth.trusted_issuers, auth.audiences: too many");
	for (size_t i = 0; i < l->n; i++)
		if (!issuers_spec_is_good(l->items[i]))
			return fault(ret_fault, "auth.trusted_issuers: %.100s is no http or https URL", l->items[i]);
	if (c->auth.owners.n > CONFIG_MAX_OWNERS)
		return fault(ret_fault, "auth.owners: name %d persons at most", CONFIG_MAX_OWNERS);
	for (c->n_owners = 0; c->n_owners < c->auth.owners.n; c->n_owners++) {
		const char *did = c->auth.owners.items[c->n_owners];

		if (id32_parse_did(did, strlen(did), &c->owners[c->n_owners]) < 0)
			return fault(ret_fault, "auth.owners: %.100s is no person's did:key", did);
	}
	if (*key && id32_parse(key, strlen(key), &(struct id32){ 0 }) < 0)
		return fault(ret_fault, "auth.identity_hash_key wants 64 hex digits");
	return OK;
}

/* The first line of the file, in place of the setting. */
static int read_secret(struct config *c, struct config_fault *ret_fault)
{
	FREE_AFTER uint8_t *text = NULL;
	size_t n;

	if (env_read_file(env_system(), AT_FDCWD, c->storage.s3_secret_file, SECRET_MAX, &text, &n) < 0)
		return fault(ret_fault, "storage.s3_secret_file: %.300s cannot be read, or is no secret",
			c->storage.s3_secret_file);
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\n' || text[i] == '\r' || !text[i])
			n = i;
	free(c->storage.s3_secret_key);
	c->storage.s3_secret_key = strndup(n ? (const char *)text : "", n);
	explicit_bzero(text, n);
	return c->storage.s3_secret_key ? OK : ERR_NOMEM;
}

static bool is_made_of(const char *text, const char *more)
{
	for (; *text; text++)
		if (!((*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
			    (*text >= 'A' && *text <= 'Z') || strchr(more, *text)))
			return false;
	return true;
}

static int check_s3(struct config *c, struct config_fault *ret_fault)
{
	const char *endpoint = c->storage.s3_endpoint, *host = strstr(endpoint, "://");
	const char *prefix = c->storage.s3_prefix;

	if (strcmp(c->storage.backend, "s3") != 0)
		return OK;
	host = host ? host + 3 : endpoint;
	if ((host != endpoint && strncmp(endpoint, "https://", 8) != 0 && strncmp(endpoint, "http://", 7) != 0) ||
		!*host || !is_made_of(host, "-.:[]"))
		return fault(ret_fault, "storage.s3_endpoint wants [https://]HOST[:PORT] and nothing else");
	if (!*c->storage.s3_bucket || !is_made_of(c->storage.s3_bucket, "-._") ||
		!is_made_of(c->storage.s3_region, "-"))
		return fault(ret_fault, "storage.s3_bucket and s3_region want the names of a bucket and its region");
	if (!is_made_of(prefix, "-._/") || *prefix == '/' || strlen(prefix) > 100)
		return fault(ret_fault, "storage.s3_prefix wants letters, digits, - . _ and /, such as relay/");
	if (*c->storage.s3_secret_file && *c->storage.s3_secret_key)
		return fault(ret_fault, "storage.s3_secret_file and s3_secret_key are both set; keep one");
	if (!*c->storage.s3_access_key || (!*c->storage.s3_secret_key && !*c->storage.s3_secret_file))
		return fault(ret_fault,
			"storage.backend is s3: set s3_access_key, and s3_secret_file or FILE_S3_SECRET_KEY");
	return *c->storage.s3_secret_file ? read_secret(c, ret_fault) : OK;
}

static int decide_strangers(struct config *c, struct config_fault *ret_fault)
{
	static const char *const words[] = { [STRANGERS_OPEN] = "open",
		[STRANGERS_OWNERS] = "owners",
		[STRANGERS_INVITED] = "invited",
		[STRANGERS_OFF] = "off" };
	int err = OK;

	if (strcmp(c->auth.self_issued, "auto") == 0)
		err = config_set(c, "auth.self_issued", c->auth.trusted_issuers.n ? "off" : "open", ret_fault);
	for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(c->auth.self_issued, words[i]) == 0)
			c->strangers = i;
	return err;
}

int config_finish(struct config *c, struct config_fault *ret_fault)
{
	struct text_list *l = &c->server.trusted_proxies;
	int err = check_auth(c, ret_fault);

	if (err == OK)
		err = decide_strangers(c, ret_fault);
	if (err == OK)
		err = check_s3(c, ret_fault);
	if (err < 0)
		return err;

	if (!*c->server.tls_certificate != !*c->server.tls_key)
		return fault(ret_fault, "server.tls_certificate and server.tls_key are set together, or neither");
	if (!*c->storage.data)
		return fault(ret_fault, "storage.data is empty; give a directory");
	if (*c->storage.database && !depot_is_url(c->storage.database))
		return fault(
			ret_fault, "storage.database is no PostgreSQL URL; give postgres://user@host/name, or nothing");
	if (!(c->proxies = calloc(l->n ? l->n : 1, sizeof *c->proxies)))
		return ERR_NOMEM;
	for (size_t i = 0; i < l->n; i++)
		if (network_parse(l->items[i], &c->proxies[i]) < 0)
			return fault(ret_fault, "server.trusted_proxies: %.100s is no address or network", l->items[i]);
	return OK;
}

int config_add_origin(struct config *c, const char *text)
{
	struct relay_url url;
	int err = relay_url_parse(bytes_str(text), &url);

	if (err < 0)
		return err;
	for (size_t i = 0; i < c->n_origins; i++)
		if (strcmp(c->origins[i], url.origin) == 0)
			return OK;
	if (c->n_origins == CONFIG_MAX_ORIGINS)
		return ERR_RANGE;
	snprintf(c->origins[c->n_origins++], sizeof c->origins[0], "%s", url.origin);
	return OK;
}

static bool list_equal(const struct text_list *a, const struct text_list *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = strcmp(a->items[i], b->items[i]) == 0;
	return same;
}

static bool is_same(const struct setting *s, const struct config *a, const struct config *b)
{
	const void *x = field_of(a, s), *y = field_of(b, s);

	switch (s->kind) {
	case SETTING_TEXT:
		return strcmp(*(char *const *)x, *(char *const *)y) == 0;
	case SETTING_LIST:
		return list_equal(x, y);
	case SETTING_NUMBER:
		break;
	}
	return *(const uint64_t *)x == *(const uint64_t *)y;
}

static int copy_one(struct config *c, const struct setting *s, const struct config *from)
{
	const struct text_list *l;
	struct config_fault f;

	if (s->kind == SETTING_TEXT)
		return put_text(c, s, *(char *const *)field_of(from, s), &f);
	if (s->kind == SETTING_NUMBER)
		return put_number(c, s, true, (int64_t) * (const uint64_t *)field_of(from, s), &f);
	l = field_of(from, s);
	return put_list(c, s, (const char *const *)l->items, l->n);
}

int config_keep(struct config *c, const struct config *running, config_kept *each, void *ctx)
{
	char name[NAME_MAX_];
	int err = OK;

	for (size_t i = 0; i < config_table_size && err == OK; i++) {
		const struct setting *s = &config_table[i];

		if (!s->restart || is_same(s, c, running))
			continue;
		snprintf(name, sizeof name, "%s.%s", s->section, s->key);
		each(ctx, name);
		err = copy_one(c, s, running);
	}
	return err;
}

static void print_standard(FILE *to, const struct setting *s)
{
	const char *p = s->standard;

	fprintf(to, "#%s = ", s->key);
	if (s->kind == SETTING_NUMBER)
		fputs(p, to);
	else if (s->kind == SETTING_TEXT)
		fprintf(to, "\"%s\"", p);
	else
		fputc('[', to);
	for (const char *comma = ""; s->kind == SETTING_LIST && *p; comma = ", ") {
		size_t n = strcspn(p, ", ");

		fprintf(to, "%s\"%.*s\"", comma, (int)n, p);
		p += n;
		p += strspn(p, ", ");
	}
	fputs(s->kind == SETTING_LIST ? "]\n" : "\n", to);
}

int config_print(FILE *to)
{
	const char *section = "";

	fputs("# Settings of coffer-relay, each at its default. SIGHUP reads the file again; what needs a restart says "
	      "so.\n"
	      "# Each has a name in the environment too, which wins: COFFER_RELAY_SECTION_KEY.\n",
		to);
	for (size_t i = 0; i < config_table_size; i++) {
		const struct setting *s = &config_table[i];

		if (strcmp(section, s->section) != 0)
			fprintf(to, "\n[%s]\n", section = s->section);
		if (s->about)
			fputc('\n', to);
		for (const char *p = s->about; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
			fprintf(to, "# %.*s\n", (int)strcspn(p, "\n"), p);
		if (s->env)
			fprintf(to, "# In the environment also %s.\n", s->env);
		if (s->restart && s->about)
			fputs("# Needs a restart.\n", to);
		print_standard(to, s);
	}
	return fflush(to) || ferror(to) ? ERR_IO : OK;
}
