/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_main: runs a fuzzer on given files, directories of files, and every truncation of each, without libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096, FILE_MAX = 1 << 24, TRUNCATE_UNDER = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static size_t files;

static void replay(const uint8_t *p, size_t n)
{
	/* A copy of the exact size, so that a sanitizer sees a read past the end. */
	uint8_t *copy = malloc(n ? n : 1);
	if (!copy)
		abort();
	memcpy(copy, p, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(FILE_MAX);
	if (!f || !p) {
		perror(path);
		exit(1);
	}
	size_t n = fread(p, 1, FILE_MAX, f);
	(void)fclose(f);
	replay(p, n);
	for (size_t part = 0; n < TRUNCATE_UNDER && part < n; part++)
		replay(p, part);
	free(p);
	files++;
	return 0;
}

static int replay_path(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	DIR *dir = opendir(path);
	if (!dir) {
		perror(path);
		return 1;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		char below[PATH_SIZE];
		if (e->d_name[0] == '.')
			continue;
		if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below && replay_path(below))
			break;
	}
	(void)closedir(dir);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (replay_path(argv[i]))
			return 1;
	printf("%zu inputs replayed\n", files);
	return files > 0 ? 0 : 1;
}
