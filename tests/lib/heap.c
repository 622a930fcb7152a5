/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/heap.h"
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static atomic_ulong count, fail_at;
static atomic_bool repeat, failed;
static _Thread_local unsigned suspended;

static void start(unsigned long n, bool again)
{
	atomic_store(&fail_at, 0);
	atomic_store(&count, 0);
	atomic_store(&failed, false);
	atomic_store(&repeat, again);
	atomic_store(&fail_at, n);
}

void heap_fail_at(unsigned long n)
{
	start(n, false);
}

void heap_fail_from(unsigned long n)
{
	start(n, true);
}

bool heap_failed(void)
{
	return atomic_load(&failed);
}

unsigned long heap_count(void)
{
	return atomic_load(&count);
}

void heap_suspend(void)
{
	suspended++;
}

void heap_resume(void)
{
	suspended--;
}

static bool fails_now(void)
{
	if (suspended > 0)
		return false;
	unsigned long own = atomic_fetch_add(&count, 1) + 1, at = atomic_load(&fail_at);
	if (at == 0 || (own != at && !(atomic_load(&repeat) && own > at)))
		return false;
	atomic_store(&failed, true);
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails_now() ? NULL : __real_realloc(p, n);
}
