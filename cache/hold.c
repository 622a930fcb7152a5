/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/hold.h"

int holds_add(struct holds *h, uint64_t ino)
{
	uint64_t count = 0;
	table_get(&h->counts, ino, &count);
	return table_put(&h->counts, ino, count + 1);
}

bool holds_drop(struct holds *h, uint64_t ino)
{
	uint64_t count;
	if (!table_get(&h->counts, ino, &count))
		return false;
	if (count > 1) {
		(void)!table_put(&h->counts, ino, count - 1);
		return false;
	}
	return table_del(&h->counts, ino);
}

bool holds_has(const struct holds *h, uint64_t ino)
{
	return table_get(&h->counts, ino, NULL);
}

void holds_release(struct holds *h)
{
	table_release(&h->counts);
}
