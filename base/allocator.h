/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allocator: how the C library's malloc treats the blocks of a mebibyte that chunks travel in.
 *
 * By itself it maps and unmaps each of them (or trims the heap after each), and the kernel then clears 256 pages again
 * for every chunk: measured on a file of 512 MiB, that is half of what coffer-syncd does, and a fifth of coffer-fs.
 * With this a process keeps up to ALLOCATOR_KEEP bytes of free memory instead of giving them back at once.
 */
#ifndef COFFER_BASE_ALLOCATOR_H
#define COFFER_BASE_ALLOCATOR_H

#define ALLOCATOR_KEEP (48 << 20)

/* Once, at the start of a program that handles chunks, before threads. */
void allocator_keep_blocks(void);

#endif
