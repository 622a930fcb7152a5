/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody gives one name to very many nodes: what it costs follows their number, not its square or cube, and all stay to be seen. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "fusefs/tree.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/unit.h"

#define FILES 400
#define DIRS 6000

struct crowd {
	struct store_fixture *f;
	struct tree_state state;
	struct id32 device;
	unsigned compared;
};

static int differ(void *ctx, struct store_txn *t, const struct node *a, const struct node *b)
{
	(void)t;
	(void)a;
	(void)b;
	((struct crowd *)ctx)->compared++;
	return 0;
}

static struct id16 id_of(unsigned i)
{
	struct id16 id = { { 1 } };

	bytes_put_be(id.b + 8, i, 8);
	return id;
}

static struct tree begin(struct crowd *c)
{
	struct store_txn *t = NULL;

	assert_int_equal(store_begin(c->f->store, &t), 0);
	struct tree tr = TREE_INIT(t, &c->state, c->f->root, &c->device);
	tr.same_content = differ;
	tr.ctx = c;
	return tr;
}

static void end(struct tree *tr)
{
	assert_int_equal(tree_settle(tr), 0);
	assert_int_equal(store_commit(&tr->t), 0);
	tree_release(tr);
}

static void put(struct tree *tr, unsigned i, enum node_kind kind, struct id16 parent, const char *name)
{
	struct node_link l = { .id = id_of(i), .parent = parent, .synced_parent = parent, .name = bytes_str(name) };
	struct id16 id = id_of(i);
	struct node n;

	assert_int_equal(tree_node_of(tr, &id, &n), 0);
	n.kind = kind;
	n.size = 1;
	n.version = 1;
	bytes_put_be(n.base.b, i, 8);
	n.flags = 0;
	assert_int_equal(txn_node_put(tr->t, &n), 0);
	assert_int_equal(tree_arrived(tr, &n), 0);
	assert_int_equal(tree_set_links(tr, &n, &l, 1), 0);
}

static void open_crowd(struct crowd *c)
{
	*c = (struct crowd){ .f = store_fixture_new(1), .device = { { 7 } } };
	c->state.space = c->f->space;
}

static void close_crowd(struct crowd *c)
{
	tree_state_release(&c->state);
	store_fixture_free(c->f);
}

static void files_of_one_name_are_compared_with_few(void **state)
{
	static const struct id16 root;
	struct crowd c;

	(void)state;
	open_crowd(&c);
	struct tree tr = begin(&c);
	for (unsigned i = 1; i <= FILES; i++)
		put(&tr, i, NODE_FILE, root, "a");
	end(&tr);
	assert_in_range(c.compared, 1, 1000);
	tr = begin(&c);
	for (unsigned i = 1; i <= FILES; i++) {
		struct id16 id = id_of(i);
		struct link l;

		assert_int_equal(txn_link_get(tr.t, &id, &l), 0);
		assert_int_equal(l.shown_parent, c.f->root);
	}
	end(&tr);
	close_crowd(&c);
}

/* With the cube of their number this takes minutes. */
static void directories_of_one_name_unite_in_little_time(void **state)
{
	static const struct id16 root;
	struct crowd c;

	(void)state;
	open_crowd(&c);
	struct tree tr = begin(&c);
	for (unsigned i = 1; i <= DIRS; i++)
		put(&tr, i, NODE_DIR, root, "a");
	end(&tr);
	assert_int_equal(c.state.n_unions, DIRS - 1);
	tr = begin(&c);
	put(&tr, DIRS + 1, NODE_FILE, id_of(DIRS / 2), "in it");
	assert_int_equal(tree_touch(&tr, c.f->root, bytes_str("a")), 0);
	end(&tr);
	/* The one that shows goes elsewhere: the others have another one, and show what is in them. */
	tr = begin(&c);
	put(&tr, 1, NODE_DIR, root, "b");
	end(&tr);
	assert_int_equal(c.state.n_unions, DIRS - 2);
	tr = begin(&c);
	struct id16 second = id_of(2), in_it = id_of(DIRS + 1);
	struct node n;
	struct link l;
	assert_int_equal(tree_node_of(&tr, &second, &n), 0);
	assert_int_equal(txn_link_get(tr.t, &in_it, &l), 0);
	assert_int_equal(l.shown_parent, n.ino);
	end(&tr);
	close_crowd(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_of_one_name_are_compared_with_few),
		cmocka_unit_test(directories_of_one_name_unite_in_little_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
