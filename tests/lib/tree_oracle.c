/* SPDX-License-Identifier: Apache-2.0 */
/* Plain and slow on purpose: every step looks at all nodes. */
#include "tests/lib/tree_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include "fusefs/tree.h"

#define ROOT ((size_t)-1)    /* the root as a parent */
#define NOWHERE ((size_t)-2) /* a parent that has no record */

struct oracle {
	const struct oracle_node *nodes;
	size_t n;
	size_t *broken; /* per directory: the parent it falls back to, or itself if it does not */
	bool *alive;
	size_t *rep;
};

static int rank(const struct oracle_node *a, const struct oracle_node *b)
{
	if (a->version != b->version)
		return a->version < b->version ? -1 : 1;
	int c = id32_compare(&a->author, &b->author);
	if (c != 0)
		return c;
	c = id32_compare(&a->hash, &b->hash);
	return c != 0 ? c : id16_compare(&a->id, &b->id);
}

static size_t find(const struct oracle *o, const struct id16 *id)
{
	if (id16_is_zero(id))
		return ROOT;
	for (size_t i = 0; i < o->n; i++) {
		if (o->nodes[i].known && id16_equal(&o->nodes[i].id, id))
			return i;
	}
	return NOWHERE;
}

static size_t register_parent(const struct oracle *o, size_t dir)
{
	return o->nodes[dir].n_links ? find(o, &o->nodes[dir].links[0].parent) : NOWHERE;
}

static bool leads_to_root(const struct oracle *o, size_t at)
{
	for (size_t i = 0; i <= o->n; i++) {
		if (at == ROOT)
			return true;
		if (at == NOWHERE || o->nodes[at].kind != NODE_DIR)
			return false;
		at = register_parent(o, at);
	}
	return false;
}

static bool in_cycle(const struct oracle *o, size_t dir)
{
	size_t at = dir;

	for (size_t i = 0; i <= o->n; i++) {
		at = register_parent(o, at);
		if (at == dir)
			return true;
		if (at == ROOT || at == NOWHERE || o->nodes[at].kind != NODE_DIR)
			return false;
	}
	return false;
}

static void break_cycles(struct oracle *o)
{
	for (size_t i = 0; i < o->n; i++) {
		o->broken[i] = i;
		if (!o->nodes[i].known || o->nodes[i].kind != NODE_DIR || !in_cycle(o, i))
			continue;
		bool lowest = true;
		for (size_t at = register_parent(o, i); at != i; at = register_parent(o, at))
			lowest = lowest && rank(&o->nodes[i], &o->nodes[at]) < 0;
		if (!lowest)
			continue;
		size_t back = find(o, &o->nodes[i].links[0].synced_parent);
		o->broken[i] = back != NOWHERE && leads_to_root(o, back) ? back : ROOT;
	}
}

/* Where a link stands. */
static size_t parent_of(const struct oracle *o, size_t node, size_t link)
{
	if (o->nodes[node].kind == NODE_DIR && o->broken[node] != node)
		return o->broken[node];
	return find(o, &o->nodes[node].links[link].parent);
}

static void find_living(struct oracle *o)
{
	for (size_t i = 0; i < o->n; i++)
		o->alive[i] = o->nodes[i].known && !o->nodes[i].deleted;
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < o->n; i++) {
			for (size_t k = 0; o->alive[i] && k < o->nodes[i].n_links; k++) {
				size_t p = parent_of(o, i, k);

				if (p >= NOWHERE || o->alive[p] || o->nodes[p].kind != NODE_DIR)
					continue;
				o->alive[p] = true;
				more = true;
			}
		}
	}
}

static size_t rep_of(const struct oracle *o, size_t dir)
{
	return dir >= NOWHERE ? dir : o->rep[dir];
}

/* Repeats until nothing changes: each round settles one more level. */
static void unite_directories(struct oracle *o)
{
	for (size_t i = 0; i < o->n; i++)
		o->rep[i] = i;
	for (size_t round = 0; round <= o->n; round++) {
		for (size_t i = 0; i < o->n; i++) {
			const struct oracle_node *a = &o->nodes[i];
			size_t best = i;

			if (!o->alive[i] || a->kind != NODE_DIR || a->n_links == 0)
				continue;
			for (size_t k = 0; k < o->n; k++) {
				const struct oracle_node *b = &o->nodes[k];

				if (!o->alive[k] || b->kind != NODE_DIR || b->n_links == 0 ||
					strcmp(a->links[0].name, b->links[0].name) != 0)
					continue;
				size_t pa = parent_of(o, i, 0), pb = parent_of(o, k, 0);
				if (pa < NOWHERE && o->nodes[pa].kind != NODE_DIR)
					continue;
				bool same = pa == NOWHERE ? pb == NOWHERE &&
								    id16_equal(&a->links[0].parent, &b->links[0].parent)
							  : rep_of(o, pa) == rep_of(o, pb);
				if (same && id16_compare(&b->id, &o->nodes[best].id) < 0)
					best = k;
			}
			o->rep[i] = best;
		}
	}
}

struct place {
	size_t node, link;
	struct id16 parent; /* id of the directory that shows it */
	bool counts;        /* the directory can show something */
};

static bool same_file(const struct oracle_node *a, const struct oracle_node *b)
{
	return a->kind == b->kind && a->mode == b->mode && a->content == b->content;
}

static bool claims(const struct oracle *o, const struct place *p, const struct id16 *parent, const char *name)
{
	return o->alive[p->node] && p->counts && id16_equal(&p->parent, parent) &&
	       strcmp(o->nodes[p->node].links[p->link].name, name) == 0;
}

static void other_name(const struct oracle *o, const struct place *places, size_t n, const struct place *p, char *out)
{
	static const unsigned digits[] = { 8, 16, 32 };
	const struct oracle_link *l = &o->nodes[p->node].links[p->link];

	for (size_t i = 0; i < 3; i++) {
		uint8_t len;
		bool taken = false;

		tree_other_name(bytes_str(l->name), &l->id, digits[i], out, &len);
		for (size_t k = 0; k < n; k++)
			taken = taken || claims(o, &places[k], &p->parent, out);
		if (!taken)
			return;
	}
	out[0] = 0;
}

/* a stands before b among those who claim one name */
static bool before(const struct oracle *o, const struct place *a, const struct place *b)
{
	const struct oracle_node *na = &o->nodes[a->node], *nb = &o->nodes[b->node];
	int c = na->kind == NODE_DIR && nb->kind == NODE_DIR ? id16_compare(&na->id, &nb->id) : rank(na, nb);

	return c != 0 ? c < 0 : id16_compare(&na->links[a->link].id, &nb->links[b->link].id) < 0;
}

static bool unite(const struct oracle *o, const struct place *a, const struct place *b)
{
	const struct oracle_node *na = &o->nodes[a->node], *nb = &o->nodes[b->node];

	if (na->kind == NODE_DIR || nb->kind == NODE_DIR)
		return na->kind == nb->kind;
	return same_file(na, nb);
}

static void show(const struct oracle *o, const struct place *places, size_t n, size_t i, struct oracle_shown *out)
{
	const struct place *p = &places[i];
	const char *name = o->nodes[p->node].links[p->link].name;
	bool winner = true;

	out->shown = false;
	if (!o->alive[p->node] || !p->counts)
		return;
	for (size_t k = 0; k < n; k++) {
		const struct place *q = &places[k];

		if (k == i || !claims(o, q, &p->parent, name))
			continue;
		if (unite(o, p, q)) {
			if (before(o, q, p))
				return; /* hidden behind the one that stands for both */
			continue;
		}
		/* Only heads of units compete. */
		bool head = true;
		for (size_t j = 0; j < n; j++)
			head = head && !(j != k && claims(o, &places[j], &p->parent, name) && unite(o, &places[j], q) &&
					       before(o, &places[j], q));
		if (head && rank(&o->nodes[q->node], &o->nodes[p->node]) < 0)
			winner = false;
		else if (head && q->node == p->node && before(o, q, p))
			winner = false;
	}
	out->parent = p->parent;
	if (winner)
		snprintf(out->name, sizeof out->name, "%s", name);
	else
		other_name(o, places, n, p, out->name);
	out->shown = out->name[0] != 0;
}

void tree_oracle(const struct oracle_node *nodes, size_t n, struct oracle_shown (*out)[ORACLE_MAX_LINKS])
{
	struct oracle o = { .nodes = nodes, .n = n };
	struct place *places = calloc(n * ORACLE_MAX_LINKS, sizeof *places);
	size_t n_places = 0;

	o.broken = calloc(n, sizeof *o.broken);
	o.alive = calloc(n, sizeof *o.alive);
	o.rep = calloc(n, sizeof *o.rep);
	break_cycles(&o);
	find_living(&o);
	unite_directories(&o);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; nodes[i].known && k < nodes[i].n_links; k++) {
			size_t p = rep_of(&o, parent_of(&o, i, k));
			struct place *at = &places[n_places++];

			*at = (struct place){ .node = i, .link = k, .counts = true };
			if (p == NOWHERE)
				at->parent = nodes[i].links[k].parent;
			else if (p != ROOT) {
				at->parent = nodes[p].id;
				at->counts = nodes[p].kind == NODE_DIR;
			}
		}
	}
	for (size_t i = 0; i < n_places; i++)
		show(&o, places, n_places, i, &out[places[i].node][places[i].link]);
	free(places);
	free(o.broken);
	free(o.alive);
	free(o.rep);
}
