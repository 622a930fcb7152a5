/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memdisk: the disk in memory of fake_env, without clocks and faults. One flat directory; each file and the directory
 * keep their durable state and, in order, the changes since the last sync. Not thread-safe; aborts without memory.
 */
#ifndef COFFER_TESTS_LIB_MEMDISK_H
#define COFFER_TESTS_LIB_MEMDISK_H

#include "tests/lib/fake_env.h"

struct memdisk;

struct memdisk *memdisk_new(void);
void memdisk_free(struct memdisk *d);

/* As the functions of struct env. */
int memdisk_open(struct memdisk *d, const char *path, int flags);
int memdisk_close(struct memdisk *d, int fd);
ssize_t memdisk_pread(struct memdisk *d, int fd, void *p, size_t n, off_t off);
int memdisk_pwrite(struct memdisk *d, int fd, const void *p, size_t n, off_t off);
int memdisk_sync(struct memdisk *d, int fd); /* any unknown fd is the directory */
/* What a failed sync does: reads go on to give what was written, no later sync brings it to the disk. */
void memdisk_lose(struct memdisk *d, int fd);
int memdisk_ftruncate(struct memdisk *d, int fd, off_t size);
int memdisk_fallocate(struct memdisk *d, int fd, int mode, off_t off, off_t len);
int64_t memdisk_fsize(struct memdisk *d, int fd);
int memdisk_rename(struct memdisk *d, const char *from, const char *to);
int memdisk_unlink(struct memdisk *d, const char *path);

/* From now no byte of these can be read, whatever becomes of the file. */
void memdisk_break(struct memdisk *d, const char *path, off_t from, size_t n);
/* In blocks of 4 KiB that are not all zeros, of all files. */
uint64_t memdisk_bytes(const struct memdisk *d);
unsigned memdisk_open_files(const struct memdisk *d);
/* random(ctx, n) gives a number below n. */
void memdisk_crash(struct memdisk *d, enum fake_crash how, unsigned (*random)(void *ctx, unsigned n), void *ctx);

#endif
