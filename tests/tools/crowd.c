/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd: processes that work on the same files of a directory at once, and what must hold of it whoever came first.
 *
 *	crowd DIR PROCESSES ROUNDS
 *
 * Each round of each process moves tokens between directories, links and unlinks them, appends a line to one log, fills its slots of one file,
 * counts in one shared map, races for new names and for one directory. Afterwards: each token is in one place with one link, each
 * line and slot is whole and there once, each name had one winner. Ends with 1 and says what does not hold. DIR must be empty.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIRS = 5, TOKENS = 24, SLOT = 100 };

struct tally { /* in memory that all processes share */
	atomic_long winners, made, removed;
};

static struct tally *tally;
static int processes, rounds;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("%s (%s)\n", what, strerrorname_np(errno));
	exit(1);
}

static uint64_t rnd(uint64_t *state, uint64_t n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545F4914F6CDD1D) % n;
}

/* ---- what a process does ---- */

static void move_token(uint64_t *s)
{
	unsigned token = (unsigned)rnd(s, TOKENS), a = (unsigned)rnd(s, DIRS), b = (unsigned)rnd(s, DIRS);
	char from[32], to[32];

	snprintf(from, sizeof from, "d%u/t%u", a, token);
	snprintf(to, sizeof to, "d%u/t%u", b, token);
	int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, a == b ? 0 : RENAME_NOREPLACE);
	must(rc == 0 || errno == ENOENT, "a token could not be moved");
}

static void link_token(uint64_t *s, int self)
{
	char from[32], own[32];

	snprintf(from, sizeof from, "d%u/t%u", (unsigned)rnd(s, DIRS), (unsigned)rnd(s, TOKENS));
	snprintf(own, sizeof own, "own%d", self);
	if (link(from, own) < 0) {
		must(errno == ENOENT, "a token could not be linked");
		return;
	}
	struct stat st;
	must(stat(own, &st) == 0 && st.st_nlink >= 2, "a linked token has one link");
	must(unlink(own) == 0, "an own name could not be removed");
}

static void append_line(int log, int self, int round)
{
	char line[200];
	int n = snprintf(line, sizeof line, "%d %d %.*s\n", self, round, (self * 31 + round) % 90,
		"..........................................................................................");

	must(write(log, line, (size_t)n) == n, "a line was not written whole");
}

static void fill_slot(int slots, int self, int round)
{
	char slot[SLOT];

	memset(slot, 'A' + self, SLOT);
	must(pwrite(slots, slot, SLOT, ((off_t)round * processes + self) * SLOT) == SLOT, "a slot was not written");
}

static void race_for_names(int round)
{
	char name[32];

	snprintf(name, sizeof name, "race/%d", round);
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
	must(fd >= 0 || errno == EEXIST, "a race ended in neither");
	if (fd >= 0) {
		atomic_fetch_add(&tally->winners, 1);
		close(fd);
	}
	if (mkdir("flips", 0755) == 0)
		atomic_fetch_add(&tally->made, 1);
	else
		must(errno == EEXIST, "mkdir of what others make");
	if (rmdir("flips") == 0)
		atomic_fetch_add(&tally->removed, 1);
	else
		must(errno == ENOENT, "rmdir of what others remove");
}

/* A listing goes through, whatever happens meanwhile. (A name that leaves and comes back may be listed twice.) */
static void list(uint64_t *s)
{
	char path[16];

	snprintf(path, sizeof path, "d%u", (unsigned)rnd(s, DIRS));
	DIR *d = opendir(path);
	must(d, "a directory cannot be listed");
	errno = 0;
	while (readdir(d))
		;
	must(errno == 0, "a listing broke off");
	closedir(d);
}

static void process(int self)
{
	uint64_t s = (uint64_t)(self + 1) * UINT64_C(0x9E3779B97F4A7C15);
	int log = open("log", O_WRONLY | O_APPEND), slots = open("slots", O_WRONLY), fd = open("count", O_RDWR);
	atomic_long *count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	must(log >= 0 && slots >= 0 && count != MAP_FAILED, "the files");
	for (int round = 0; round < rounds; round++) {
		move_token(&s);
		link_token(&s, self);
		append_line(log, self, round);
		fill_slot(slots, self, round);
		atomic_fetch_add(count, 1);
		race_for_names(round);
		if (round % 8 == 0)
			list(&s);
	}
	exit(0);
}

/* ---- what must hold ---- */

static void check_token(int token)
{
	char path[32], text[32] = "", want[32];
	int places = 0;

	snprintf(want, sizeof want, "token %d", token);
	for (int d = 0; d < DIRS; d++) {
		struct stat st;
		snprintf(path, sizeof path, "d%d/t%d", d, token);
		if (stat(path, &st) < 0)
			continue;
		places++;
		must(st.st_nlink == 1, "a token has another number of links than names");
		int fd = open(path, O_RDONLY);
		must(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strcmp(text, want) == 0,
			"a token holds something else");
		close(fd);
	}
	must(places == 1, "a token is not in one place");
}

static void check_log(void)
{
	int *next = calloc((size_t)processes, sizeof *next), self, round;
	char line[256];
	FILE *f = fopen("log", "r");

	while (fgets(line, sizeof line, f)) {
		const char *dots = strrchr(line, ' ');
		must(sscanf(line, "%d %d", &self, &round) == 2 && self >= 0 && self < processes, "a broken line");
		must(strlen(dots + 1) == (size_t)(self * 31 + round) % 90 + 1 &&
				strspn(dots + 1, ".") == (size_t)(self * 31 + round) % 90,
			"a mixed line");
		must(round == next[self]++, "a line twice, missing, or out of order");
	}
	for (int i = 0; i < processes; i++)
		must(next[i] == rounds, "lines are missing");
	fclose(f);
	free(next);
}

static void check_slots(void)
{
	char slot[SLOT], want[SLOT];
	int fd = open("slots", O_RDONLY);

	for (int i = 0; i < rounds * processes; i++) {
		memset(want, 'A' + i % processes, SLOT);
		must(pread(fd, slot, SLOT, (off_t)i * SLOT) == SLOT && memcmp(slot, want, SLOT) == 0,
			"a slot holds something else");
	}
	close(fd);
}

static void check(void)
{
	long count = 0;
	int fd = open("count", O_RDONLY);
	struct stat st;

	for (int t = 0; t < TOKENS; t++)
		check_token(t);
	check_log();
	check_slots();
	must(read(fd, &count, sizeof count) == sizeof count && count == (long)processes * rounds,
		"the shared map lost counts");
	must(tally->winners == rounds, "a name had not one winner");
	must(tally->made == tally->removed + (stat("flips", &st) == 0), "mkdir and rmdir do not add up");
	must(stat(".", &st) == 0 && st.st_nlink == 2 + DIRS + 1 + (nlink_t)(tally->made - tally->removed),
		"links of the directory");
	close(fd);
}

static void prepare(void)
{
	char path[32], text[32];

	for (int d = 0; d < DIRS; d++) {
		snprintf(path, sizeof path, "d%d", d);
		must(mkdir(path, 0755) == 0, path);
	}
	must(mkdir("race", 0755) == 0, "race");
	for (int t = 0; t < TOKENS; t++) {
		snprintf(path, sizeof path, "d%d/t%d", t % DIRS, t);
		int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644), n = snprintf(text, sizeof text, "token %d", t);
		must(fd >= 0 && write(fd, text, (size_t)n) == n, path);
		close(fd);
	}
	close(open("log", O_CREAT | O_WRONLY, 0644));
	close(open("slots", O_CREAT | O_WRONLY, 0644));
	must(close(open("count", O_CREAT | O_WRONLY, 0644)) == 0 && truncate("count", 4096) == 0, "count");
}

int main(int argc, char **argv)
{
	int bad = 0;

	if (argc != 4 || chdir(argv[1]) < 0) {
		fprintf(stderr, "usage: crowd DIR PROCESSES ROUNDS\n");
		return 2;
	}
	processes = atoi(argv[2]);
	rounds = atoi(argv[3]);
	tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(tally != MAP_FAILED && processes > 0 && processes <= 26, "arguments");
	prepare();
	for (int i = 0; i < processes; i++)
		if (fork() == 0)
			process(i);
	for (int i = 0, status; i < processes; i++)
		if (wait(&status) < 0 || status != 0)
			bad = 1;
	if (!bad)
		check();
	return bad;
}
