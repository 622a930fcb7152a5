/* SPDX-License-Identifier: Apache-2.0 */
#include "server/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include "server/admission.h"
#include "server/backup.h"
#include "server/scrub.h"

/* What the database or the data directory says. */
static int explain(const char *what, const struct config *c, int err)
{
	const char *dir = *c->storage.database ? "the database" : c->storage.data;

	switch (err) {
	case ERR_OFFLINE:
	case ERR_PERMISSION:
		if (*c->storage.database) {
			fputs("coffer-relay: PostgreSQL cannot be used; start it, or correct storage.database\n",
				stderr);
			return EX_UNAVAILABLE;
		}
		fprintf(stderr, "coffer-relay: %s of %s failed: %s\n", what, dir, err_str(err));
		return EX_IOERR;
	case ERR_NOT_FOUND:
		fprintf(stderr,
			"coffer-relay: no relay keeps its data in %s; start one on it, or give --data or --config\n",
			dir);
		return EX_NOINPUT;
	case ERR_VERSION:
		fprintf(stderr,
			"coffer-relay: %s is of another version; start this version's relay on it once, or use the "
			"other\n",
			dir);
		return EX_CONFIG;
	case ERR_CORRUPT:
		fprintf(stderr, "coffer-relay: the database in %s is damaged; restore it from a backup\n", dir);
		return EX_DATAERR;
	default:
		fprintf(stderr, "coffer-relay: %s of %s failed: %s\n", what, dir, err_str(err));
		return EX_IOERR;
	}
}

/* What the place of the objects says. */
static int explain_objects(const struct config *c, int err)
{
	if (strcmp(c->storage.backend, "s3") == 0) {
		fprintf(stderr,
			"coffer-relay: the bucket %s cannot be read (%s); look at the s3 settings, and at what the "
			"relay says "
			"at its start\n",
			c->storage.s3_bucket, err_str(err));
		return EX_UNAVAILABLE;
	}
	fprintf(stderr,
		"coffer-relay: the objects in %s%s cannot be read (%s); mount that folder, or correct storage.folder\n",
		*c->storage.folder ? c->storage.folder : c->storage.data, *c->storage.folder ? "" : "/chunks",
		err_str(err));
	return err == ERR_NOT_FOUND ? EX_NOINPUT : EX_IOERR;
}

static int run_backup(const struct config *c, const char *target)
{
	struct backup b;
	int err;

	if (*c->storage.database) {
		fputs("coffer-relay: the rows are in PostgreSQL; run pg_dump on it first, and then copy the files "
		      "(docs/RELAY.md)\n",
			stderr);
		return EX_UNAVAILABLE;
	}
	err = backup_run(&b, env_system(), c, target);

	if (err == ERR_EXISTS) {
		fprintf(stderr, "coffer-relay: %s is not empty; give a directory that does not exist yet\n", target);
		return EX_CANTCREAT;
	}
	if (err < 0)
		return explain("the backup", c, err);
	if (strcmp(c->storage.backend, "s3") == 0)
		printf("the database is in %s; objects stay in the bucket %s, which is to be backed up by its own "
		       "means\n",
			target, c->storage.s3_bucket);
	else
		printf("database and %" PRIu64 " chunk files (%" PRIu64 " bytes) are in %s\n", b.files, b.bytes,
			target);
	return EX_OK;
}

static void say_bad(void *ctx, const char *what, const struct id16 *id, const char *why)
{
	char text[ID16_TEXT_SIZE];

	(void)ctx;
	id16_format(id, text);
	printf("%s %s %s\n", what, text, why);
}

static int run_check(const struct config *c)
{
	struct scrub s = { .bad = say_bad };
	int err = scrub_run(&s, env_system(), c);

	if (err < 0)
		return s.of_objects ? explain_objects(c, err) : explain("the check", c, err);
	printf("%" PRIu64 " records, %" PRIu64 " replaced versions, %" PRIu64 " log entries, %" PRIu64
	       " chunks and %" PRIu64 " files (%" PRIu64 " bytes) read, %" PRIu64 " damaged",
		s.records, s.versions, s.entries, s.chunks, s.files, s.bytes, s.damaged);
	if (s.unsummed)
		printf("; %" PRIu64 " chunks and files are of a time before sums", s.unsummed);
	putchar('\n');
	if (s.damaged)
		fputs("coffer-relay: what is damaged comes back from devices that have it, or from a backup\n", stderr);
	return s.damaged ? EX_DATAERR : EX_OK;
}

static int run_invite(const struct config *c, const char *text)
{
	char code[ADMISSION_CODE], *end;
	unsigned long hours = strtoul(text, &end, 10);
	struct depot *store;
	int err;

	if (*end || !hours || hours > ADMISSION_HOURS_MAX) {
		fprintf(stderr, "coffer-relay: %s is no number of hours; give one from 1 to %d\n", text,
			ADMISSION_HOURS_MAX);
		return EX_USAGE;
	}
	if (strcmp(c->auth.self_issued, "invited") != 0) {
		fputs("coffer-relay: this relay takes no guests' codes; set auth.self_issued = \"invited\"\n", stderr);
		return EX_CONFIG;
	}
	if ((err = depot_open_beside(env_system(), config_depot(c), &store)) < 0)
		return explain("the invite", c, err);
	err = admission_invite(env_system(), store, (unsigned)hours, code);
	depot_close(store);
	if (err == ERR_NOT_FOUND) {
		fputs("coffer-relay: the relay has not run here yet, or is older; start it first\n", stderr);
		return EX_CONFIG;
	}
	if (err < 0)
		return explain("the invite", c, err);
	printf("%s\n", code);
	return EX_OK;
}

int command_run(const struct config *c, const char *const *words, size_t n)
{
	if (n == 2 && strcmp(words[0], "backup") == 0)
		return run_backup(c, words[1]);
	if (n == 1 && strcmp(words[0], "check") == 0)
		return run_check(c);
	if ((n == 1 || n == 2) && strcmp(words[0], "invite") == 0)
		return run_invite(c, n == 2 ? words[1] : "72");
	fprintf(stderr, "coffer-relay: unexpected argument '%s'; coffer-relay --help lists the commands\n",
		words[n - 1]);
	return EX_USAGE;
}
