/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"

static int fail(int code, const char *message)
{
	fprintf(stderr, "coffer: %s\n", message);
	return code;
}

/* The first line from fd, without its end, or all there is. */
static int read_text(int fd, bool all, struct buf *out)
{
	for (char c;;) {
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(EX_IOERR, "what was to be read here cannot be read; check the file");
		if (n == 0 || (c == '\n' && !all))
			return EX_OK;
		if (buf_put(out, &c, 1) < 0)
			return fail(EX_DATAERR, "that is too long; 4096 bytes are the most");
	}
}

static int ask(const char *label, const char *option, bool echo, struct buf *out)
{
	CLOSE_AFTER int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct termios old, quiet;

	if (tty < 0) {
		fprintf(stderr, "coffer: there is no terminal to ask on; name a file with %s\n", option);
		return EX_NOINPUT;
	}
	bool hide = !echo && tcgetattr(tty, &old) == 0;
	if (hide) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(tty, TCSAFLUSH, &quiet);
	}
	dprintf(tty, "%s: ", label);
	int code = read_text(tty, false, out);
	if (hide) {
		tcsetattr(tty, TCSAFLUSH, &old);
		dprintf(tty, "\n");
	}
	return code;
}

static int from_file(const char *file, bool all, struct buf *out)
{
	if (strcmp(file, "-") == 0)
		return read_text(STDIN_FILENO, all, out);
	CLOSE_AFTER int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "coffer: cannot read %s: %s; check its path\n", file, strerror(errno));
		return EX_NOINPUT;
	}
	return read_text(fd, all, out);
}

int prompt_words(const char *file, struct buf *out)
{
	return file ? from_file(file, true, out) : ask("The 24 words", "--words-file", true, out);
}

int prompt_passphrase(const char *file, bool fresh, struct buf *out)
{
	if (!file)
		file = getenv("COFFER_PASSPHRASE_FILE");
	int code = file ? from_file(file, false, out)
			: ask(fresh ? "New passphrase" : "Passphrase", "COFFER_PASSPHRASE_FILE", false, out);
	if (code)
		return code;
	if (out->len == 0)
		return fail(EX_DATAERR, "the passphrase is empty; use --no-passphrase if none is wanted");
	if (file || !fresh)
		return EX_OK;
	CLEANUP(buf_release) struct buf again = BUF_INIT_SECRET(PROMPT_MAX);
	code = ask("Again", "COFFER_PASSPHRASE_FILE", false, &again);
	if (code)
		return code;
	if (!bytes_equal(buf_bytes(out), buf_bytes(&again)))
		return fail(EX_DATAERR, "the two passphrases differ; start again");
	return EX_OK;
}
