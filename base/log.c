/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is formatted on the stack and written with one write(2), so that lines of several threads and processes do not
 * mix. Too long a line is cut; control characters become '?', so that no text from outside can forge a line.
 */
#include "base/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };

/* program and journal are set by log_init before any thread starts, then only read. */
static struct {
	const char *program;
	_Atomic enum log_level max;
	atomic_bool json;
	bool journal;
} state = { .program = "coffer", .max = LOG_LEVEL_INFO, .journal = false };

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warn";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		break;
	}
	return "debug";
}

/* systemd sets JOURNAL_STREAM to "device:inode" of the journal's socket. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	char own[64];
	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	(void)snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, own) == 0;
}

void log_init(const char *program, enum log_level max)
{
	const char *name = getenv("COFFER_LOG");
	enum log_level wanted;
	state.program = program;
	state.journal = stderr_is_journal();
	log_set_level(name && log_level_parse(name, &wanted) == OK ? wanted : max);
}

void log_set_level(enum log_level max)
{
	state.max = max;
}

void log_set_json(bool json)
{
	state.json = json;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		if (strcmp(name, level_name(levels[i])) == 0) {
			*ret_level = levels[i];
			return OK;
		}
	return ERR_NOT_FOUND;
}

/* Both lines leave room for the line's end. */
static size_t plain_line(char line[LINE_SIZE], enum log_level level, const char *text)
{
	int n = state.journal ? snprintf(line, LINE_SIZE, "<%d>%s", (int)level, text)
			      : snprintf(line, LINE_SIZE, "%s: %s: %s", state.program, level_name(level), text);

	return n < 0 ? 0 : n < LINE_SIZE ? (size_t)n : LINE_SIZE - 1;
}

static size_t json_line(char line[LINE_SIZE], enum log_level level, const char *text)
{
	struct timespec now;
	struct tm tm;
	char when[32];
	size_t len;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	n = snprintf(line, LINE_SIZE, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"program\":\"%s\",\"message\":\"",
		when, now.tv_nsec / 1000000, level_name(level), state.program);
	len = n < 0 || n >= LINE_SIZE ? 0 : (size_t)n;
	for (; *text && len < LINE_SIZE - 5; text++) { /* an escape, the closing and the line's end */
		if (*text == '"' || *text == '\\')
			line[len++] = '\\';
		/* Text from outside need not be UTF-8, which JSON must be. */
		line[len++] = (unsigned char)*text < 0x80 ? *text : '?';
	}
	line[len++] = '"';
	line[len++] = '}';
	return len;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	if (level > state.max)
		return;
	int saved_errno = errno;
	char text[LINE_SIZE], line[LINE_SIZE];
	va_list ap;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof text, fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	size_t len = state.json ? json_line(line, level, text) : plain_line(line, level, text);
	line[len++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written; /* nowhere to report it */
	errno = saved_errno;
}

static struct log_short shorten(const uint8_t *p)
{
	struct log_short out;
	(void)snprintf(out.s, sizeof out.s, "%02x%02x%02x%02x", p[0], p[1], p[2], p[3]);
	return out;
}

struct log_short log_id16(const struct id16 *id)
{
	return shorten(id->b);
}

struct log_short log_id32(const struct id32 *id)
{
	return shorten(id->b);
}
