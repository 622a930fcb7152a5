/* SPDX-License-Identifier: Apache-2.0 */
/* prompt: secrets typed by a person, or read from a file that a script names. */
#ifndef COFFER_CLI_PROMPT_H
#define COFFER_CLI_PROMPT_H

#include <stdbool.h>
#include "base/buf.h"

#define PROMPT_MAX 4096

/* Appends the passphrase to out (a secret buffer): the first line of `file` ("-" is standard input), or of the file
 * that COFFER_PASSPHRASE_FILE names, or typed on the terminal without echo, twice if `fresh`. Returns a sysexits code;
 * has printed the error. */
int prompt_passphrase(const char *file, bool fresh, struct buf *out);

/* Appends all of the recovery words to out (a secret buffer): what `file` holds ("-" is standard input), on any number
 * of lines; typed on one line of the terminal if it is NULL. Returns and prints as above. */
int prompt_words(const char *file, struct buf *out);

#endif
