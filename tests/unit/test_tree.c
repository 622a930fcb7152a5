/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree's rules one by one, and the property that carries them: whatever the order in which records come, what is shown after each
 * of them is what the whole-set function says.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "fusefs/tree.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/tree_oracle.h"
#include "tests/lib/unit.h"

#define NODES 9

struct world {
	struct store_fixture *f;
	struct tree_state state;
	struct id32 device;
	struct oracle_node nodes[NODES];
	size_t n;
};

static struct id16 id_of(unsigned i)
{
	return (struct id16){ { (uint8_t)i } };
}

static int same_content(void *ctx, struct store_txn *t, const struct node *a, const struct node *b)
{
	const struct world *w = ctx;
	unsigned ca = 0, cb = 0;

	(void)t;
	for (size_t i = 0; i < w->n; i++) {
		if (id16_equal(&w->nodes[i].id, &a->id))
			ca = w->nodes[i].content;
		if (id16_equal(&w->nodes[i].id, &b->id))
			cb = w->nodes[i].content;
	}
	return ca == cb;
}

static int last_links(void *ctx, struct tree *tr, const struct node *dir)
{
	const struct oracle_node *n = &((const struct world *)ctx)->nodes[dir->id.b[0] - 1];
	struct node_link l = {
		.id = n->links[0].id, .parent = n->links[0].parent, .synced_parent = n->links[0].synced_parent
	};

	l.name = bytes_str(n->links[0].name);
	return tree_set_links(tr, dir, &l, 1);
}

/* Writes a record into the store as apply does. */
static void apply(struct world *w, const struct oracle_node *r)
{
	struct store_txn *t = NULL;
	struct node node;
	struct node_link links[ORACLE_MAX_LINKS];

	assert_int_equal(store_begin(w->f->store, &t), 0);
	struct tree tr = TREE_INIT(t, &w->state, w->f->root, &w->device);
	tr.same_content = same_content;
	tr.last_links = last_links;
	tr.ctx = w;
	assert_int_equal(tree_node_of(&tr, &r->id, &node), 0);
	bool arrived = node.flags & NODE_UNKNOWN;
	w->nodes[r->id.b[0] - 1] = *r;
	node.kind = r->kind;
	node.mode = r->mode;
	node.size = 1;
	node.version = r->version;
	node.author = r->author;
	node.base = r->hash;
	node.flags = r->deleted ? NODE_DELETED | NODE_ORPHAN | NODE_TOMBSTONE : 0;
	assert_int_equal(txn_node_put(t, &node), 0);
	if (arrived)
		assert_int_equal(tree_arrived(&tr, &node), 0);
	for (size_t i = 0; i < r->n_links; i++)
		links[i] = (struct node_link){ .id = r->links[i].id,
			.parent = r->links[i].parent,
			.synced_parent = r->links[i].synced_parent,
			.name = bytes_str(r->links[i].name) };
	assert_int_equal(tree_set_links(&tr, &node, links, r->deleted && r->kind != NODE_DIR ? 0 : r->n_links), 0);
	assert_int_equal(tree_settle(&tr), 0);
	assert_int_equal(store_commit(&t), 0);
	tree_release(&tr);
}

static void print_world(const struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct oracle_node *n = &w->nodes[i];

		if (!n->known)
			continue;
		fprintf(stderr, "node %u kind %d v%u author %u%s content %u:", n->id.b[0], n->kind,
			(unsigned)n->version, n->author.b[0], n->deleted ? " deleted" : "", n->content);
		for (size_t k = 0; k < n->n_links; k++)
			fprintf(stderr, " [link %02x%02x in %u (before %u) as %s]", n->links[k].id.b[0],
				n->links[k].id.b[1], n->links[k].parent.b[0], n->links[k].synced_parent.b[0],
				n->links[k].name);
		fprintf(stderr, "\n");
	}
}

static void check(struct world *w)
{
	struct oracle_shown want[NODES][ORACLE_MAX_LINKS];
	struct store_txn *t = NULL;

	memset(want, 0, sizeof want);
	tree_oracle(w->nodes, w->n, want);
	assert_int_equal(store_begin(w->f->store, &t), 0);
	for (size_t i = 0; i < w->n; i++) {
		const struct oracle_node *n = &w->nodes[i];

		for (size_t k = 0; n->known && k < n->n_links; k++) {
			struct link l = { .ino = 0 };
			struct node parent = { .ino = 0 };
			int err = txn_link_get(t, &n->links[k].id, &l);

			if (err == 0 && l.shown_parent)
				assert_int_equal(txn_node_get(t, l.shown_parent, &parent), 0);
			bool shown = err == 0 && l.shown_parent != 0;
			bool ok = shown == want[i][k].shown;
			if (ok && shown)
				ok = id16_equal(&parent.id, &want[i][k].parent) &&
				     strlen(want[i][k].name) == l.shown_len &&
				     memcmp(l.shown, want[i][k].name, l.shown_len) == 0;
			if (!ok) {
				print_world(w);
				fprintf(stderr, "node %u link %zu: shown %d in %u as %.*s, should be %d in %u as %s\n",
					n->id.b[0], k, shown, parent.id.b[0], l.shown_len, l.shown, want[i][k].shown,
					want[i][k].parent.b[0], want[i][k].name);
			}
			assert_true(ok);
		}
	}
	store_abort(&t);
}

static void world_open(struct world *w, size_t n)
{
	*w = (struct world){ .f = store_fixture_new(1), .n = n, .device = { { 7 } } };
	w->state.space = w->f->space;
	for (size_t i = 0; i < n; i++)
		w->nodes[i].id = id_of((unsigned)i + 1);
}

static void world_close(struct world *w)
{
	tree_state_release(&w->state);
	store_fixture_free(w->f);
}

static struct oracle_node record(unsigned id, enum node_kind kind, uint64_t version, unsigned parent, const char *name)
{
	struct oracle_node n = {
		.id = id_of(id), .kind = kind, .known = true, .version = version, .author = { { 1 } }, .n_links = 1
	};

	n.hash.b[0] = (uint8_t)id;
	n.hash.b[1] = (uint8_t)version;
	n.content = id;
	n.links[0].id.b[0] = 0xa0;
	n.links[0].id.b[1] = (uint8_t)id;
	n.links[0].parent = id_of(parent);
	n.links[0].synced_parent = id_of(parent);
	snprintf(n.links[0].name, sizeof n.links[0].name, "%s", name);
	return n;
}

static void apply_and_check(struct world *w, struct oracle_node r)
{
	apply(w, &r);
	check(w);
}

/* Name under which a node's first link is shown; "" if it is not. */
static const char *shown_name(struct world *w, unsigned id, char buf[NODE_MAX_NAME + 1])
{
	struct store_txn *t = NULL;
	struct link l;

	assert_int_equal(store_begin(w->f->store, &t), 0);
	int err = txn_link_get(t, &w->nodes[id - 1].links[0].id, &l);
	store_abort(&t);
	buf[0] = 0;
	if (err == 0 && l.shown_parent) {
		memcpy(buf, l.shown, l.shown_len);
		buf[l.shown_len] = 0;
	}
	return buf;
}

static void different_files_of_one_name_are_both_shown(void **state)
{
	char name[NODE_MAX_NAME + 1];
	struct world w;

	(void)state;
	world_open(&w, 2);
	apply_and_check(&w, record(1, NODE_FILE, 1, 0, "a.txt"));
	apply_and_check(&w, record(2, NODE_FILE, 2, 0, "a.txt"));
	assert_string_equal(shown_name(&w, 1, name), "a.txt");
	assert_string_equal(shown_name(&w, 2, name), "a (a0020000).txt");
	/* The one that kept the name goes: the other gets it. */
	struct oracle_node r = record(1, NODE_FILE, 3, 0, "b.txt");
	apply_and_check(&w, r);
	assert_string_equal(shown_name(&w, 2, name), "a.txt");
	world_close(&w);
}

static void equal_files_of_one_name_unite(void **state)
{
	char name[NODE_MAX_NAME + 1];
	struct oracle_node a = record(1, NODE_FILE, 1, 0, "a"), b = record(2, NODE_FILE, 2, 0, "a");
	struct world w;

	(void)state;
	world_open(&w, 2);
	b.content = a.content;
	apply_and_check(&w, b);
	apply_and_check(&w, a);
	assert_string_equal(shown_name(&w, 1, name), "a");
	assert_string_equal(shown_name(&w, 2, name), "");
	b.version = 3;
	b.content = 77;
	apply_and_check(&w, b);
	assert_string_equal(shown_name(&w, 2, name), "a (a0020000)");
	world_close(&w);
}

static void directories_of_one_name_unite(void **state)
{
	char name[NODE_MAX_NAME + 1];
	struct world w;

	(void)state;
	world_open(&w, 4);
	apply_and_check(&w, record(2, NODE_DIR, 1, 0, "d"));
	apply_and_check(&w, record(3, NODE_FILE, 1, 2, "x"));
	apply_and_check(&w, record(1, NODE_DIR, 5, 0, "d"));
	apply_and_check(&w, record(4, NODE_FILE, 2, 1, "x"));
	assert_string_equal(shown_name(&w, 1, name), "d");
	assert_string_equal(shown_name(&w, 2, name), "");
	assert_string_equal(shown_name(&w, 3, name), "x");
	assert_string_equal(shown_name(&w, 4, name), "x (a0040000)");
	/* They part again. */
	apply_and_check(&w, record(1, NODE_DIR, 6, 0, "e"));
	assert_string_equal(shown_name(&w, 2, name), "d");
	assert_string_equal(shown_name(&w, 4, name), "x");
	world_close(&w);
}

static void a_cycle_gives_way_at_the_lowest(void **state)
{
	struct oracle_node a = record(1, NODE_DIR, 1, 0, "a"), b = record(2, NODE_DIR, 1, 0, "b");
	struct world w;

	(void)state;
	world_open(&w, 3);
	apply_and_check(&w, a);
	apply_and_check(&w, b);
	apply_and_check(&w, record(3, NODE_FILE, 1, 2, "x"));
	a = record(1, NODE_DIR, 2, 2, "a");
	a.links[0].synced_parent = id_of(0);
	b = record(2, NODE_DIR, 3, 1, "b");
	b.links[0].synced_parent = id_of(0);
	apply_and_check(&w, a);
	apply_and_check(&w, b);
	/* One moves out: nothing is broken any more. */
	apply_and_check(&w, record(2, NODE_DIR, 4, 0, "b"));
	assert_int_equal(w.state.n_broken, 0);
	world_close(&w);
}

/* Of the directories in a cycle one is edited here: confirming that moves it up, and the other gives way. */
static void a_cycle_is_looked_at_again_when_a_rank_changes(void **state)
{
	struct oracle_node a = record(1, NODE_DIR, 1, 0, "a"), b = record(2, NODE_DIR, 1, 0, "b");
	struct store_txn *t = NULL;
	struct node n;
	struct world w;

	(void)state;
	world_open(&w, 3);
	apply_and_check(&w, a);
	apply_and_check(&w, b);
	a = record(1, NODE_DIR, 2, 2, "a");
	b = record(2, NODE_DIR, 3, 1, "b");
	a.links[0].synced_parent = b.links[0].synced_parent = id_of(0);
	apply_and_check(&w, a);
	apply_and_check(&w, b);
	assert_int_equal(store_begin(w.f->store, &t), 0);
	assert_int_equal(txn_node_find(t, w.f->space, &a.id, &n), 0);
	n.version = w.nodes[0].version = 4;
	assert_int_equal(txn_node_put(t, &n), 0);
	struct tree tr = TREE_INIT(t, &w.state, w.f->root, &w.device);
	assert_int_equal(tree_touch_contested(&tr, n.ino), 0);
	assert_int_equal(tree_settle(&tr), 0);
	tree_release(&tr);
	assert_int_equal(store_commit(&t), 0);
	check(&w);
	world_close(&w);
}

static void a_deleted_directory_is_shown_while_something_lives_in_it(void **state)
{
	char name[NODE_MAX_NAME + 1];
	struct oracle_node d = record(1, NODE_DIR, 1, 0, "d"), x;
	struct world w;

	(void)state;
	world_open(&w, 3);
	apply_and_check(&w, d);
	d.version = 2;
	d.deleted = true;
	apply_and_check(&w, d);
	assert_string_equal(shown_name(&w, 1, name), "");
	apply_and_check(&w, record(2, NODE_DIR, 1, 1, "e"));
	assert_string_equal(shown_name(&w, 1, name), "d");
	x = record(2, NODE_DIR, 2, 1, "e");
	x.deleted = true;
	apply_and_check(&w, x);
	assert_string_equal(shown_name(&w, 1, name), "");
	apply_and_check(&w, record(3, NODE_FILE, 1, 2, "x"));
	assert_string_equal(shown_name(&w, 1, name), "d");
	assert_string_equal(shown_name(&w, 2, name), "e");
	world_close(&w);
}

static void children_may_come_before_their_directory(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 3);
	apply_and_check(&w, record(3, NODE_FILE, 1, 2, "x"));
	apply_and_check(&w, record(2, NODE_DIR, 1, 1, "e"));
	apply_and_check(&w, record(1, NODE_DIR, 1, 0, "d"));
	world_close(&w);
}

/* ---- any set, any order ---- */

static struct oracle_node random_record(const struct world *w, uint64_t *seed)
{
	static const char *const names[] = { "a", "b.c", "a (a0010000)" };
	unsigned i = (unsigned)(unit_random(seed) % w->n);
	const struct oracle_node *old = &w->nodes[i];
	struct oracle_node r = { .id = id_of(i + 1), .known = true };

	r.kind = i < w->n / 2 ? NODE_DIR : NODE_FILE;
	r.version = old->version + 1;
	r.author.b[0] = (uint8_t)(1 + unit_random(seed) % 3);
	for (size_t k = 0; k < 8; k++)
		r.hash.b[k] = (uint8_t)unit_random(seed);
	r.mode = 0644;
	r.content = (unsigned)(unit_random(seed) % 2);
	r.deleted = unit_random(seed) % 5 == 0;
	r.n_links = r.kind == NODE_DIR ? 1 : 1 + unit_random(seed) % ORACLE_MAX_LINKS;
	for (size_t k = 0; k < r.n_links; k++) {
		struct oracle_link *l = &r.links[k];

		l->id.b[0] = 0xa0;
		l->id.b[1] = (uint8_t)(i + 1);
		l->id.b[2] = (uint8_t)k;
		/* Mostly directories, sometimes a file or a node that has not come. */
		l->parent = id_of((unsigned)(unit_random(seed) % (w->n / 2 + 1)));
		if (unit_random(seed) % 20 == 0)
			l->parent = id_of((unsigned)(1 + unit_random(seed) % w->n));
		l->synced_parent = old->known && old->n_links > k ? old->links[k].parent : l->parent;
		snprintf(l->name, sizeof l->name, "%s", names[unit_random(seed) % COUNT(names)]);
	}
	return r;
}

static void every_state_equals_the_whole_set(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		uint64_t s = seed;
		struct world w;

		world_open(&w, NODES);
		for (unsigned i = 0; i < 60; i++) {
			struct oracle_node r = random_record(&w, &s);

			apply(&w, &r);
			check(&w);
		}
		world_close(&w);
	}
}

static void the_order_of_arrival_does_not_matter(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 300; seed++) {
		struct oracle_node last[NODES];
		uint64_t s = seed;
		struct world w;

		world_open(&w, NODES);
		for (unsigned i = 0; i < 40; i++) {
			struct oracle_node r = random_record(&w, &s);
			w.nodes[r.id.b[0] - 1] = r;
		}
		memcpy(last, w.nodes, sizeof last);
		for (size_t i = 0; i < NODES; i++)
			w.nodes[i].known = false;
		/* The same last records in a random order, some of them twice. */
		for (unsigned done = 0; done != (1u << NODES) - 1;) {
			unsigned i = (unsigned)(unit_random(&s) % NODES);

			done |= 1u << i;
			if (last[i].known) {
				apply(&w, &last[i]);
				check(&w);
			}
		}
		world_close(&w);
	}
}

static void other_names_keep_their_extension_and_fit(void **state)
{
	char out[NODE_MAX_NAME + 1], longest[NODE_MAX_NAME + 1];
	struct id16 link = { { 0xab, 0xcd, 0xef, 0x01, 0x23 } };
	uint8_t len;

	(void)state;
	tree_other_name(bytes_str("photo.tar.gz"), &link, 8, out, &len);
	assert_string_equal(out, "photo.tar (abcdef01).gz");
	tree_other_name(bytes_str(".profile"), &link, 8, out, &len);
	assert_string_equal(out, ".profile (abcdef01)");
	memset(longest, 'x', NODE_MAX_NAME);
	longest[NODE_MAX_NAME] = 0;
	memcpy(longest + 230, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4.txt",
		24);
	tree_other_name(bytes_of(longest, 254), &link, 32, out, &len);
	assert_int_equal(strlen(out), len);
	assert_true(((uint8_t)out[len - 4 - 35 - 1] & 0xc0) != 0xc0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(different_files_of_one_name_are_both_shown),
		cmocka_unit_test(equal_files_of_one_name_unite),
		cmocka_unit_test(directories_of_one_name_unite),
		cmocka_unit_test(a_cycle_gives_way_at_the_lowest),
		cmocka_unit_test(a_cycle_is_looked_at_again_when_a_rank_changes),
		cmocka_unit_test(a_deleted_directory_is_shown_while_something_lives_in_it),
		cmocka_unit_test(children_may_come_before_their_directory),
		cmocka_unit_test(other_names_keep_their_extension_and_fit),
		cmocka_unit_test(every_state_equals_the_whole_set),
		cmocka_unit_test(the_order_of_arrival_does_not_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
