/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_env: a struct env whose clock stands still until it is moved, whose random bytes follow from a seed, and whose
 * disk counts calls and fails where told. The disk is either in memory (with a model of what a power cut leaves) or the
 * real one.
 *
 *	struct fake_env *f = fake_env_new(FAKE_MEMORY, 1);
 *	fake_env_fail(f, FAKE_ANY, n, ERR_IO, false);       // the n-th disk call fails
 *	err = env_write_file(fake_env_get(f), FAKE_DIR, "x", p, len, 0600);
 *	fake_env_crash(f, FAKE_LOSE_ALL);                   // power cut: what was not synced is gone
 *	fake_env_free(f);
 *
 * The disk in memory is flat: any dirfd that is not one of its files means its one directory (use FAKE_DIR), a path is
 * a name. Data is durable after fsync or fdatasync of the file, a name after fsync of the directory. Thread-safe.
 */
#ifndef COFFER_TESTS_LIB_FAKE_ENV_H
#define COFFER_TESTS_LIB_FAKE_ENV_H

#include <stdbool.h>
#include "base/env.h"

#define FAKE_DIR 1000000 /* a dirfd for the disk in memory */

enum fake_disk { FAKE_MEMORY, FAKE_REAL };

enum fake_call {
	FAKE_OPEN, FAKE_CLOSE, FAKE_PREAD, FAKE_PWRITE, FAKE_FDATASYNC, FAKE_FSYNC, FAKE_FTRUNCATE, FAKE_FALLOCATE,
	FAKE_FSIZE, FAKE_RENAME, FAKE_UNLINK,
	FAKE_ANY, /* of those above */
	FAKE_WRITING /* those above that change the disk: pwrite, syncs, ftruncate, fallocate, rename, unlink */
};

/* What a power cut does to unsynced writes, in their order. */
enum fake_crash {
	FAKE_LOSE_ALL,  /* gone */
	FAKE_KEEP_ALL,  /* the process was killed, the machine lives: a later cut may lose it */
	FAKE_RANDOM     /* each write stays, is lost, or leaves some of its sectors; names stay up to a random one */
};

struct fake_env;

/* Never NULL (aborts without memory). */
struct fake_env *fake_env_new(enum fake_disk disk, uint64_t seed);
void fake_env_free(struct fake_env *f);
/* Lives as long as f. */
const struct env *fake_env_get(struct fake_env *f);

/* Other random bytes from here on, and other fates of writes. */
void fake_env_seed(struct fake_env *f, uint64_t seed);
/* Moves both clocks; the wall clock starts at 2025-01-01T00:00:00Z, the monotonic one at 1 s. */
void fake_env_advance(struct fake_env *f, int64_t ns);
/* Sets the wall clock only, as a person or NTP does. */
void fake_env_set_wall(struct fake_env *f, int64_t ns);

/* From now the n-th call (1 is the next) of this kind returns err without effect; with `onward` all later ones too.
 * n = 0 ends it. Resets fake_env_calls and fake_env_failed. A failing pwrite has no effect at all; a failing close has;
 * what a failing sync should have written can be read on, but no later sync writes it, as the kernel does it. */
void fake_env_fail(struct fake_env *f, enum fake_call call, unsigned long n, int err, bool onward);
/* A bad sector: reads of these n bytes of the file fail with ERR_IO for good (disk in memory only). */
void fake_env_break(struct fake_env *f, const char *path, off_t from, size_t n);
/* The disk is mounted read-only: what would change it, and opening to write, is ERR_READ_ONLY. */
void fake_env_read_only(struct fake_env *f, bool on);
/* Calls of this kind since new or the last fake_env_fail. */
unsigned long fake_env_calls(struct fake_env *f, enum fake_call call);
/* Bytes of pwrite since new. */
uint64_t fake_env_written(struct fake_env *f);
/* True if a call was made to fail since the last fake_env_fail. */
bool fake_env_failed(struct fake_env *f);

/* fn is called after each call of FAKE_WRITING, without a lock. NULL ends it. */
void fake_env_after_writing(struct fake_env *f, void (*fn)(void *ctx), void *ctx);

/* Syncs called from now wait until it is switched off, as on a disk that does not answer. */
void fake_env_hold_syncs(struct fake_env *f, bool on);
unsigned fake_env_held(struct fake_env *f); /* that wait */

/* Power cut (disk in memory only): all descriptors are gone, the disk holds what `how` leaves. Failing ends. */
void fake_env_crash(struct fake_env *f, enum fake_crash how);

/* Files open now (disk in memory only), to find leaks. */
unsigned fake_env_open_files(struct fake_env *f);

/* Bytes in blocks of 4 KiB that are not all zeros (disk in memory only). */
uint64_t fake_env_disk_bytes(struct fake_env *f);

#endif
