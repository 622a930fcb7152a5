/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/relay_url.h"

#include <stdio.h>

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool take(struct bytes *in, const char *s)
{
	size_t n = strlen(s);

	if (in->len < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(in->p[i]) != (uint8_t)s[i])
			return false;
	*in = bytes_of(in->p + n, in->len - n);
	return true;
}

/* Copies the characters that `allowed` takes, in lower case; the rest stays in *in. */
static int take_host(struct bytes *in, bool (*allowed)(uint8_t), char host[RELAY_HOST_MAX])
{
	size_t n = 0;

	while (n < in->len && allowed(in->p[n])) {
		if (n + 1 == RELAY_HOST_MAX)
			return ERR_INVALID;
		host[n] = (char)lower(in->p[n]);
		n++;
	}
	host[n] = '\0';
	*in = bytes_of(in->p + n, in->len - n);
	return n ? OK : ERR_INVALID;
}

static bool in_name(uint8_t c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_';
}

static bool in_ipv6(uint8_t c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f') || c == ':' || c == '.';
}

static bool in_prefix(uint8_t c)
{
	return is_alnum(c) || strchr("-._~/", c) != NULL;
}

static int take_authority(struct bytes *in, struct relay_url *u)
{
	int err;

	if (take(in, "[")) {
		err = take_host(in, in_ipv6, u->host);
		if (err < 0)
			return err;
		return take(in, "]") && strchr(u->host, ':') ? OK : ERR_INVALID;
	}
	err = take_host(in, in_name, u->host);
	if (err < 0)
		return err;
	return u->host[0] == '.' || u->host[0] == '-' || strstr(u->host, "..") ? ERR_INVALID : OK;
}

static int take_port(struct bytes *in, uint16_t *port)
{
	unsigned v = 0;
	size_t n = 0;

	if (!take(in, ":"))
		return OK;
	for (; n < in->len && in->p[n] >= '0' && in->p[n] <= '9'; n++) {
		v = v * 10 + (unsigned)(in->p[n] - '0');
		if (v > 65535)
			return ERR_INVALID;
	}
	*in = bytes_of(in->p + n, in->len - n);
	*port = (uint16_t)v;
	return v ? OK : ERR_INVALID;
}

static int take_prefix(struct bytes in, char prefix[RELAY_URL_MAX])
{
	while (in.len > 0 && in.p[in.len - 1] == '/')
		in.len--;
	if (in.len == 0)
		return OK;
	if (in.p[0] != '/')
		return ERR_INVALID;
	for (size_t i = 0; i < in.len; i++) {
		if (in.p[i] == '\0' || !in_prefix(in.p[i]))
			return ERR_INVALID;
		/* Empty and dot segments: a server or proxy could read them as another path. */
		if (in.p[i] == '/' && (i + 1 == in.len || in.p[i + 1] == '/' || in.p[i + 1] == '.'))
			return ERR_INVALID;
		prefix[i] = (char)in.p[i];
	}
	prefix[in.len] = '\0';
	return OK;
}

int relay_url_parse(struct bytes text, struct relay_url *ret_u)
{
	struct relay_url u = { .port = 0 };
	const char *open = "", *close = "";
	uint16_t standard;
	int err;

	if (text.len >= RELAY_URL_MAX)
		return ERR_RANGE;
	if (take(&text, "https://"))
		u.tls = true;
	else if (!take(&text, "http://"))
		return ERR_INVALID;
	standard = u.tls ? 443 : 80;
	u.port = standard;
	err = take_authority(&text, &u);
	if (err == OK)
		err = take_port(&text, &u.port);
	if (err == OK)
		err = take_prefix(text, u.prefix);
	if (err < 0)
		return err;
	if (strchr(u.host, ':')) {
		open = "[";
		close = "]";
	}
	if (u.port == standard)
		snprintf(u.origin, sizeof u.origin, "%s://%s%s%s", u.tls ? "https" : "http", open, u.host, close);
	else
		snprintf(u.origin, sizeof u.origin, "%s://%s%s%s:%u", u.tls ? "https" : "http", open, u.host, close,
			u.port);
	*ret_u = u;
	return OK;
}
