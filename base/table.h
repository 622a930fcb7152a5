/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table: a hash table from 64-bit numbers (inos, row ids; not 0) to 64-bit values. Grows; never shrinks but by clear.
 *
 *	struct table t = { 0 };
 *	if ((err = table_put(&t, ino, value)) < 0) return err;
 *	if (table_get(&t, ino, &value)) ...
 *	table_release(&t);
 */
#ifndef COFFER_BASE_TABLE_H
#define COFFER_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct table {
	struct table_slot {
		uint64_t key, value;
	} *slots; /* key 0: free */
	size_t n, size;
};

/* Adds or replaces; replacing does not fail. ERR_NOMEM. */
int table_put(struct table *t, uint64_t key, uint64_t value) MUST_CHECK;
bool table_get(const struct table *t, uint64_t key, uint64_t *ret_value); /* ret_value may be NULL */
bool table_del(struct table *t, uint64_t key);
void table_release(struct table *t); /* empty and usable again */

#endif
