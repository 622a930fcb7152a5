/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one line per event to standard error, with a "<N>" priority prefix when standard error is the journal.
 *
 * base, wire, crypto and cache return errors and never log; fusefs, syncd, server log once, where an error is handled.
 * Nothing secret can be passed by accident: no names, paths, keys or content; ids are shortened with log_id16().
 */
#ifndef COFFER_BASE_LOG_H
#define COFFER_BASE_LOG_H

#include <stdbool.h>
#include "base/err.h"
#include "base/id.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

struct log_short {
	char s[9];
};

/* Sets the program's name and the highest level printed (from COFFER_LOG=error|warn|info|debug if set). Call once in
 * main. */
void log_init(const char *program, enum log_level max);
/* Changes the highest level / writes lines as JSON objects {time, level, program, message} from now on. Any thread. */
void log_set_level(enum log_level max);
void log_set_json(bool json);
/* ERR_NOT_FOUND if `name` is none of error, warn, info, debug. */
int log_level_parse(const char *name, enum log_level *ret_level) MUST_CHECK;

void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* First 8 hex digits, for log lines: log_info("space %s", log_id16(&id).s). */
struct log_short log_id16(const struct id16 *id);
struct log_short log_id32(const struct id32 *id);

#endif
