/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing, at most two thirds full; deletion moves later entries of the run back. */
#include "base/table.h"

#include <stdlib.h>

#define SIZE_MIN 16u

static size_t home(const struct table *t, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 20) & (t->size - 1);
}

static size_t find(const struct table *t, uint64_t key)
{
	size_t i = home(t, key);

	while (t->slots[i].key != 0 && t->slots[i].key != key)
		i = (i + 1) & (t->size - 1);
	return i;
}

static int grow(struct table *t)
{
	struct table bigger = { .size = t->size ? t->size * 2 : SIZE_MIN };

	bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
	if (!bigger.slots)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->size; i++) {
		if (t->slots[i].key != 0)
			bigger.slots[find(&bigger, t->slots[i].key)] = t->slots[i];
	}
	bigger.n = t->n;
	free(t->slots);
	*t = bigger;
	return OK;
}

int table_put(struct table *t, uint64_t key, uint64_t value)
{
	size_t i = t->size ? find(t, key) : 0;

	if (t->size == 0 || t->slots[i].key == 0) {
		int err = t->n * 3 >= t->size * 2 ? grow(t) : OK;

		if (err < 0)
			return err;
		i = find(t, key);
		t->slots[i].key = key;
		t->n++;
	}
	t->slots[i].value = value;
	return OK;
}

bool table_get(const struct table *t, uint64_t key, uint64_t *ret_value)
{
	if (t->n == 0)
		return false;
	size_t i = find(t, key);
	if (t->slots[i].key == 0)
		return false;
	if (ret_value)
		*ret_value = t->slots[i].value;
	return true;
}

bool table_del(struct table *t, uint64_t key)
{
	if (t->n == 0)
		return false;
	size_t i = find(t, key);
	if (t->slots[i].key == 0)
		return false;
	t->n--;
	for (size_t j = i;;) {
		j = (j + 1) & (t->size - 1);
		if (t->slots[j].key == 0)
			break;
		size_t h = home(t, t->slots[j].key);
		/* j may move to i unless its home lies cyclically in (i, j] */
		if (((j - h) & (t->size - 1)) < ((j - i) & (t->size - 1)))
			continue;
		t->slots[i] = t->slots[j];
		i = j;
	}
	t->slots[i].key = 0;
	return true;
}

void table_release(struct table *t)
{
	free(t->slots);
	*t = (struct table){ 0 };
}
