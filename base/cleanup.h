/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup: the only macros for scope-bound release.
 *
 *	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
 *	FREE_AFTER char *text = strdup(s);
 *	return STEAL(&text);
 */
#ifndef COFFER_BASE_CLEANUP_H
#define COFFER_BASE_CLEANUP_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define FREE_AFTER CLEANUP(cleanup_free_pointer)
#define WIPE_AFTER CLEANUP(cleanup_wipe_text) /* frees a string that holds a secret */
#define CLOSE_AFTER CLEANUP(cleanup_close_fd)
#define STEAL(pp) ({ __typeof__(*(pp)) stolen_ = *(pp); *(pp) = NULL; stolen_; })

static inline void cleanup_free_pointer(void *pp)
{
	free(*(void **)pp);
}

static inline void cleanup_wipe_text(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(*text);
}

static inline void cleanup_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#endif
