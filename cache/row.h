/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row: the packed form of nodes, links, chunks, spaces and outbox rows, the same in journal entries and index rows.
 * docs/FORMAT.md "Journal". What the key of the index row says (an ino, a row id) is not repeated in it.
 */
#ifndef COFFER_CACHE_ROW_H
#define COFFER_CACHE_ROW_H

#include "cache/pack.h"
#include "cache/store.h"

void row_put_node(struct pack *k, const struct node *n); /* all but ino */
void row_get_node(struct unpack *u, struct node *ret_n);

void row_put_link(struct pack *k, const struct link *l); /* all */
void row_get_link(struct unpack *u, struct link *ret_l);

void row_put_chunk(struct pack *k, const struct chunk_row *c); /* all but row */
void row_get_chunk(struct unpack *u, struct chunk_row *ret_c);

void row_put_space(struct pack *k, const struct space_row *r); /* all but row */
void row_get_space(struct unpack *u, struct space_row *ret_r);

void row_put_outbox(struct pack *k, const struct outbox_row *r); /* all but row */
void row_get_outbox(struct unpack *u, struct outbox_row *ret_r);

#endif
