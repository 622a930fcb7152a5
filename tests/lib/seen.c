/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/seen.h"

#include <stdlib.h>

#include "crypto/hash.h"

static struct id16 *find(struct seen *s, const struct id16 *id)
{
	uint64_t hash;

	memcpy(&hash, id->b, sizeof hash);
	size_t i = hash & (s->size - 1);
	while (!id16_is_zero(&s->slots[i]) && !id16_equal(&s->slots[i], id))
		i = (i + 1) & (s->size - 1);
	return &s->slots[i];
}

static void grow(struct seen *s)
{
	struct seen more = { .size = s->size ? 2 * s->size : 4096, .n = s->n };

	more.slots = calloc(more.size, sizeof *more.slots);
	if (!more.slots)
		abort();
	for (size_t i = 0; i < s->size; i++)
		if (!id16_is_zero(&s->slots[i]))
			*find(&more, &s->slots[i]) = s->slots[i];
	free(s->slots);
	*s = more;
}

bool seen_add(struct seen *s, const void *p, size_t len)
{
	struct id32 hash;
	struct id16 id;

	hash_plain("seen", bytes_of(p, len), &hash);
	memcpy(id.b, hash.b, sizeof id.b);
	if (2 * s->n >= s->size)
		grow(s);
	struct id16 *slot = find(s, &id);
	if (!id16_is_zero(slot))
		return false;
	*slot = id;
	s->n++;
	return true;
}

void seen_release(struct seen *s)
{
	free(s->slots);
	*s = (struct seen)SEEN_INIT;
}
