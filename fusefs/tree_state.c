/* SPDX-License-Identifier: Apache-2.0 */
/* The two short lists, as one meta value: [[dir, rep]..] and [[link, dir, parent]..] in CBOR. Both are empty almost always. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fusefs/tree_inner.h"
#include "wire/cbor.h"

#define STATE_MAX (4u << 20)
#define LIST_MAX 100000

static void meta_key(uint32_t space, char key[32])
{
	snprintf(key, 32, "tree/%" PRIu32, space);
}

int tree_state_put(struct store_txn *t, const struct tree_state *s)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STATE_MAX);
	struct cbor_enc e = cbor_enc_init(&b);
	char key[32];

	cbor_put_array(&e, 2);
	cbor_put_array(&e, s->n_unions);
	for (size_t i = 0; i < s->n_unions; i++) {
		cbor_put_array(&e, 2);
		cbor_put_uint(&e, s->unions[i].dir);
		cbor_put_uint(&e, s->unions[i].rep);
	}
	cbor_put_array(&e, s->n_broken);
	for (size_t i = 0; i < s->n_broken; i++) {
		cbor_put_array(&e, 3);
		cbor_put_bytes(&e, s->broken[i].link.b, sizeof s->broken[i].link.b);
		cbor_put_uint(&e, s->broken[i].dir);
		cbor_put_uint(&e, s->broken[i].parent);
	}
	int err = cbor_enc_end(&e);
	meta_key(s->space, key);
	return err < 0 ? err : txn_meta_put(t, key, buf_bytes(&b));
}

static int decode(struct bytes in, struct tree_state *s)
{
	struct cbor_dec d = cbor_dec_init(in);

	if (cbor_get_array(&d, 2) != 2)
		return ERR_CORRUPT;
	size_t n = cbor_get_array(&d, LIST_MAX);
	s->unions = calloc(n + 1, sizeof *s->unions);
	if (!s->unions)
		return ERR_NOMEM;
	for (; s->n_unions < n && cbor_dec_error(&d) == OK; s->n_unions++) {
		(void)cbor_get_array(&d, 2);
		s->unions[s->n_unions].dir = cbor_get_uint(&d);
		s->unions[s->n_unions].rep = cbor_get_uint(&d);
	}
	n = cbor_get_array(&d, LIST_MAX);
	s->broken = calloc(n + 1, sizeof *s->broken);
	if (!s->broken)
		return ERR_NOMEM;
	for (; s->n_broken < n && cbor_dec_error(&d) == OK; s->n_broken++) {
		(void)cbor_get_array(&d, 3);
		cbor_get_fixed(&d, s->broken[s->n_broken].link.b, 16);
		s->broken[s->n_broken].dir = cbor_get_uint(&d);
		s->broken[s->n_broken].parent = cbor_get_uint(&d);
	}
	return cbor_dec_end(&d) < 0 ? ERR_CORRUPT : OK;
}

int tree_state_load(struct store_txn *t, uint32_t space, struct tree_state *ret_s)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STATE_MAX);
	struct tree_state s = { .space = space };
	char key[32];

	meta_key(space, key);
	int err = txn_meta_get(t, key, &b);
	if (err == OK)
		err = decode(buf_bytes(&b), &s);
	else if (err == ERR_NOT_FOUND)
		err = OK;
	if (err < 0) {
		tree_state_release(&s);
		return err;
	}
	tree_state_release(ret_s);
	*ret_s = s;
	return OK;
}

void tree_state_release(struct tree_state *s)
{
	free(s->unions);
	free(s->broken);
	*s = (struct tree_state){ .space = s->space };
}

int tree_state_unite(struct tree_state *s, uint64_t dir, uint64_t rep)
{
	for (size_t i = 0; i < s->n_unions; i++) {
		if (s->unions[i].dir != dir)
			continue;
		if (rep == dir)
			s->unions[i] = s->unions[--s->n_unions];
		else
			s->unions[i].rep = rep;
		return OK;
	}
	if (rep == dir)
		return OK;
	struct tree_union *more = realloc(s->unions, (s->n_unions + 1) * sizeof *more);
	if (!more)
		return ERR_NOMEM;
	s->unions = more;
	s->unions[s->n_unions++] = (struct tree_union){ .dir = dir, .rep = rep };
	return OK;
}
