/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"

#include <ctype.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "base/cleanup.h"
#include "wire/cbor.h"

static void json_text(struct bytes t)
{
	putchar('"');
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = t.p[i];
		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void json_hex(struct bytes b)
{
	putchar('"');
	for (size_t i = 0; i < b.len; i++)
		printf("%02x", b.p[i]);
	putchar('"');
}

/* depth is bounded by cbor_check before. */
static void json_item(struct cbor_dec *d)
{
	size_t n;

	switch (cbor_peek(d)) {
	case CBOR_UINT:
		printf("%" PRIu64, cbor_get_uint(d));
		break;
	case CBOR_NINT:
		printf("%" PRId64, cbor_get_int(d));
		break;
	case CBOR_BYTES:
		json_hex(cbor_get_bytes(d, SIZE_MAX));
		break;
	case CBOR_TEXT:
		json_text(cbor_get_text(d, SIZE_MAX));
		break;
	case CBOR_ARRAY:
		n = cbor_get_array(d, SIZE_MAX);
		putchar('[');
		for (size_t i = 0; i < n; i++) {
			if (i)
				fputs(", ", stdout);
			json_item(d);
		}
		putchar(']');
		break;
	case CBOR_MAP:
		n = cbor_get_map(d, SIZE_MAX);
		putchar('{');
		for (size_t i = 0; i < n; i++) {
			if (i)
				fputs(", ", stdout);
			json_text(cbor_get_text(d, SIZE_MAX));
			fputs(": ", stdout);
			json_item(d);
		}
		putchar('}');
		break;
	case CBOR_TRUE:
	case CBOR_FALSE:
		fputs(cbor_get_bool(d) ? "true" : "false", stdout);
		break;
	default:
		cbor_skip(d);
		fputs("null", stdout);
	}
}

int print_json(struct bytes item)
{
	if (cbor_check(item, CBOR_RPC, 1000000) < 0) {
		fputs("coffer: the agent's data cannot be printed\n", stderr);
		return EX_PROTOCOL;
	}
	struct cbor_dec d = cbor_dec_init_rpc(item);
	json_item(&d);
	putchar('\n');
	return EX_OK;
}

struct print_text print_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	struct print_text t;
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u + 1 < sizeof units / sizeof units[0]) {
		v /= 1024;
		u++;
	}
	snprintf(t.s, sizeof t.s, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return t;
}

struct print_text print_rate(double per_second)
{
	struct print_text t, size = print_size(per_second > 0 ? (uint64_t)per_second : 0);

	snprintf(t.s, sizeof t.s, "%.40s/s", size.s);
	return t;
}

struct print_text print_span(uint64_t s)
{
	struct print_text t;

	if (s < 120)
		snprintf(t.s, sizeof t.s, "%" PRIu64 " s", s);
	else if (s < 7200)
		snprintf(t.s, sizeof t.s, "%" PRIu64 " min", (s + 30) / 60);
	else if (s < 172800)
		snprintf(t.s, sizeof t.s, "%" PRIu64 " h", (s + 1800) / 3600);
	else
		snprintf(t.s, sizeof t.s, "%" PRIu64 " days", (s + 43200) / 86400);
	return t;
}

struct print_text print_ago(int64_t wall_ns)
{
	struct print_text t;
	struct timespec now;

	if (wall_ns == 0) {
		snprintf(t.s, sizeof t.s, "never");
		return t;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t s = now.tv_sec - wall_ns / 1000000000;
	struct print_text span = print_span(s > 0 ? (uint64_t)s : 0);
	snprintf(t.s, sizeof t.s, "%.40s ago", span.s);
	return t;
}

void print_clean(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++)
		putchar(text.p[i] < 0x20 || text.p[i] == 0x7f ? '?' : text.p[i]);
}

static int fill_table(struct libscols_table *table, const char *const *titles, size_t n_columns,
	const struct bytes *cells, size_t n_rows)
{
	for (size_t c = 0; c < n_columns; c++)
		if (!scols_table_new_column(table, titles[c], 0, 0))
			return EX_OSERR;
	for (size_t r = 0; r < n_rows; r++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		if (!line)
			return EX_OSERR;
		for (size_t c = 0; c < n_columns; c++) {
			struct bytes cell = cells[r * n_columns + c];
			char *text = strndup(cell.p ? (const char *)cell.p : "", cell.len);
			if (!text || scols_line_refer_data(line, c, text) != 0) {
				free(text);
				return EX_OSERR;
			}
		}
	}
	return EX_OK;
}

int print_table(const char *const *titles, size_t n_columns, const struct bytes *cells, size_t n_rows)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return EX_OSERR;
	int code = fill_table(table, titles, n_columns, cells, n_rows);
	if (code == EX_OK && scols_print_table(table) != 0)
		code = EX_IOERR;
	scols_unref_table(table);
	if (code)
		fputs("coffer: printing failed\n", stderr);
	return code;
}
