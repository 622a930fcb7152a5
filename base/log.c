/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is formatted on the stack and written with one write(2), so that lines of several threads and processes do not
 * mix. Too long a line is cut; control characters become '?', so that no text from outside can forge a line.
 */
#include "base/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };

/* Set by log_init before any thread starts, then only read. */
static struct {
	const char *program;
	enum log_level max;
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
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
	const char *wanted = getenv("COFFER_LOG");
	state.program = program;
	state.max = max;
	state.journal = stderr_is_journal();
	for (size_t i = 0; wanted && i < sizeof levels / sizeof levels[0]; i++)
		if (strcmp(wanted, level_name(levels[i])) == 0)
			state.max = levels[i];
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	if (level > state.max)
		return;
	int saved_errno = errno;
	char line[LINE_SIZE];
	int head = state.journal ? snprintf(line, sizeof line, "<%d>", (int)level)
				 : snprintf(line, sizeof line, "%s: %s: ", state.program, level_name(level));
	if (head < 0 || head >= LINE_SIZE)
		head = 0;
	va_list ap;
	va_start(ap, fmt);
	int body = vsnprintf(line + head, sizeof line - (size_t)head, fmt, ap);
	va_end(ap);
	size_t len = (size_t)head + (body < 0 ? 0 : (size_t)body);
	if (len > sizeof line - 1)
		len = sizeof line - 1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 127)
			line[i] = '?';
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
