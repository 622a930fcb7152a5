/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing; a removed slot is filled again by moving later ones of its run back.
 */
#include "cache/hold.h"
#include <stdlib.h>

static size_t slot_of(const struct holds *h, uint64_t ino)
{
	return (size_t)(ino * 0x9e3779b97f4a7c15ull >> 20) & (h->size - 1);
}

static struct hold_slot *find(const struct holds *h, uint64_t ino)
{
	size_t i = slot_of(h, ino);
	while (h->slot[i].ino != 0 && h->slot[i].ino != ino)
		i = (i + 1) & (h->size - 1);
	return &h->slot[i];
}

static int grow(struct holds *h)
{
	struct holds bigger = { .size = h->size ? h->size * 2 : 64, .used = h->used };
	bigger.slot = calloc(bigger.size, sizeof *bigger.slot);
	if (!bigger.slot)
		return ERR_NOMEM;
	for (size_t i = 0; i < h->size; i++)
		if (h->slot[i].ino != 0)
			*find(&bigger, h->slot[i].ino) = h->slot[i];
	free(h->slot);
	*h = bigger;
	return 0;
}

int holds_add(struct holds *h, uint64_t ino)
{
	if (h->used * 2 >= h->size) {
		int err = grow(h);
		if (err < 0)
			return err;
	}
	struct hold_slot *s = find(h, ino);
	if (s->ino == 0) {
		s->ino = ino;
		h->used++;
	}
	s->count++;
	return 0;
}

static void remove_slot(struct holds *h, size_t gap)
{
	h->slot[gap] = (struct hold_slot){ 0 };
	for (size_t i = (gap + 1) & (h->size - 1); h->slot[i].ino != 0; i = (i + 1) & (h->size - 1)) {
		struct hold_slot moved = h->slot[i];
		h->slot[i] = (struct hold_slot){ 0 };
		*find(h, moved.ino) = moved;
	}
	h->used--;
}

bool holds_drop(struct holds *h, uint64_t ino)
{
	if (h->size == 0)
		return false;
	struct hold_slot *s = find(h, ino);
	if (s->ino == 0 || --s->count > 0)
		return false;
	remove_slot(h, (size_t)(s - h->slot));
	return true;
}

bool holds_has(const struct holds *h, uint64_t ino)
{
	return h->size != 0 && find(h, ino)->ino == ino;
}

void holds_release(struct holds *h)
{
	free(h->slot);
	*h = (struct holds){ 0 };
}
