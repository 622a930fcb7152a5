/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/mutate.h"

#include <stdlib.h>

#include "tests/lib/unit.h"

static uint8_t *copy_of(struct bytes object, size_t len)
{
	uint8_t *p = malloc(len > 0 ? len : 1);

	assert_non_null(p);
	memcpy(p, object.p, len < object.len ? len : object.len);
	return p;
}

static void try_flip(struct bytes object, size_t at, uint8_t mask, mutate_open_fn *open, void *arg)
{
	uint8_t *p = copy_of(object, object.len);
	int err;

	p[at] ^= mask;
	err = open(bytes_of(p, object.len), at, arg);
	free(p);
	if (err >= 0)
		fail_msg("byte %zu of %zu changed by %02x, and it opens", at, object.len, mask);
}

void mutate_flips(struct bytes object, mutate_open_fn *open, void *arg)
{
	for (size_t at = 0; at < object.len; at++) {
		try_flip(object, at, (uint8_t)(1u << at % 8), open, arg);
		try_flip(object, at, 0xff, open, arg);
	}
}

static void try_length(struct bytes object, size_t len, mutate_open_fn *open, void *arg)
{
	uint8_t *p = copy_of(object, len);
	int err;

	if (len > object.len)
		p[object.len] = 0;
	err = open(bytes_of(p, len), len, arg);
	free(p);
	if (err >= 0)
		fail_msg("%zu of %zu bytes, and it opens", len, object.len);
}

void mutate_lengths(struct bytes object, mutate_open_fn *open, void *arg)
{
	for (size_t len = 0; len < object.len; len++)
		try_length(object, len, open, arg);
	try_length(object, object.len + 1, open, arg);
}
