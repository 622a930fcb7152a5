/* SPDX-License-Identifier: Apache-2.0 */
/* home: where the profile lies, and absolute paths. */
#ifndef COFFER_CLI_HOME_H
#define COFFER_CLI_HOME_H

/* The profile's directory, absolute (free()): `option`, else $COFFER_HOME, else $XDG_DATA_HOME/coffer, else
 * $HOME/.local/share/coffer. NULL if none of them is set, or out of memory. Need not exist yet. */
char *home_find(const char *option);

/* `path` made absolute against the working directory (free()); symlinks are not resolved. NULL: out of memory. */
char *home_absolute(const char *path);

/* `path` with the directory that holds its last component resolved (free()), the component itself not: it may be a
 * symlink that is meant. NULL: out of memory. */
char *home_resolved(const char *path);

#endif
