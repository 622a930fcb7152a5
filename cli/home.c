/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/home.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

char *home_absolute(const char *path)
{
	char *text = NULL;

	if (path[0] == '/')
		return strdup(path);
	FREE_AFTER char *here = getcwd(NULL, 0);
	if (!here || asprintf(&text, "%s/%s", here, path) < 0)
		return NULL;
	return text;
}

char *home_find(const char *option)
{
	static const char *const sources[][2] = { { "COFFER_HOME", "" }, { "XDG_DATA_HOME", "/coffer" },
		{ "HOME", "/.local/share/coffer" } };

	if (option)
		return home_absolute(option);
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
		const char *value = getenv(sources[i][0]);
		if (!value || !value[0])
			continue;
		char *joined = NULL;
		if (asprintf(&joined, "%s%s", value, sources[i][1]) < 0)
			return NULL;
		char *absolute = home_absolute(joined);
		free(joined);
		return absolute;
	}
	return NULL;
}

/* The path without slashes at its end, cut at its last slash. */
static char *resolve_parent(char *path)
{
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = 0;
	char *base = strrchr(path, '/') + 1, *joined = NULL;
	if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
		return realpath(path, NULL);
	base[-1] = 0;
	FREE_AFTER char *parent = realpath(path[0] ? path : "/", NULL);
	int n = parent ? asprintf(&joined, "%s/%s", parent[1] ? parent : "", base) : -1;
	base[-1] = '/';
	return n < 0 ? NULL : joined;
}

char *home_resolved(const char *path)
{
	FREE_AFTER char *absolute = home_absolute(path);

	if (!absolute)
		return NULL;
	char *resolved = resolve_parent(absolute);
	return resolved ? resolved : strdup(absolute);
}
