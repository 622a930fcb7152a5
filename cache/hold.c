/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/hold.h"

/* With the count: it has been more than one. */
#define SHARED (UINT64_C(1) << 63)

int holds_add(struct holds *h, uint64_t ino)
{
	uint64_t count = 0;
	bool more = table_get(&h->counts, ino, &count);
	int err = table_put(&h->counts, ino, (count + 1) | (more ? SHARED : 0));
	h->lost |= err < 0;
	return err;
}

bool holds_drop(struct holds *h, uint64_t ino)
{
	uint64_t count;
	if (!table_get(&h->counts, ino, &count))
		return false;
	if ((count & ~SHARED) > 1) {
		(void)!table_put(&h->counts, ino, count - 1);
		return false;
	}
	return table_del(&h->counts, ino);
}

bool holds_has(const struct holds *h, uint64_t ino)
{
	return table_get(&h->counts, ino, NULL);
}

bool holds_shared(const struct holds *h, uint64_t ino)
{
	uint64_t count;

	return h->lost || !table_get(&h->counts, ino, &count) || (count & SHARED);
}

void holds_release(struct holds *h)
{
	table_release(&h->counts);
}
