/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preload: the content of a small file goes into the kernel's page cache before open(2) is answered, so that reading it
 * costs no request of its own: one in three of those that a reader of many small files waits for.
 *
 *	preload_new(se, store, &p);
 *	open for reading:  if (nobody else has it open && serve_call(s)->only) preload_give(p, ino, node, room);
 *	a read or a write:            preload_known(p, node);
 *	the kernel forgets the node:  preload_forget(p, node);
 *	before the kernel is told that content changed:  preload_await(p);
 *
 * A notification waits for pages that the kernel holds until a request is answered, which the thread that waits might
 * have to answer; and it must not overwrite what the kernel has from a later one. So it may be sent only while neither
 * can be: no other handle of the node is open (RELEASE follows the last READ and WRITE of a handle), and no other
 * operation runs, nor begins before this one ends (serve.h). Operations without a handle change content too (SETATTR of
 * a size), but hold no page while they wait.
 *
 * What comes in from elsewhere may change the file at any time. Content that was read before must not reach the kernel
 * after the word of it: so preload_await() stands between the change and the word. And pages that the kernel has from
 * before, of which that word is still to come, must not be overwritten in part: so what it may have is not given.
 *
 * The pages count for the memory cgroup of this process, not of the reader; they are clean, so a limit there drops
 * them. Kernels without the mend of CVE-2024-44947 (2024, in 6.11 and the stable ones) leave what was in memory before
 * behind the end of a file that is mapped.
 */
#ifndef COFFER_FUSEFS_PRELOAD_H
#define COFFER_FUSEFS_PRELOAD_H

#include "cache/store.h"

#define PRELOAD_MAX (64u << 10) /* bytes of a file that is given; a longer one gains little by it */

struct fuse_session;
struct preload;

/* Both must outlive it. ERR_NOMEM. */
int preload_new(struct fuse_session *se, struct store *store, struct preload **ret_p) MUST_CHECK;
void preload_free(struct preload *p);

/* Gives the kernel the file, if it is short, all here, and was not given before. `kernel_ino` is the kernel's number,
 * `ino` the store's; room: PRELOAD_MAX bytes. */
void preload_give(struct preload *p, uint64_t kernel_ino, uint64_t ino, uint8_t *room);
/* Waits until what was read for preload_give before the call is in the kernel. Thread-safe, as are: */
void preload_await(struct preload *p);
/* The kernel has some of its content already. */
void preload_known(struct preload *p, uint64_t ino);
void preload_forget(struct preload *p, uint64_t ino);

#endif
