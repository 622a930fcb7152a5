/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two devices edit one file: what is kept apart, what is one edit, and which rights a person's devices take from another's (fusefs/rights.h).
 */
#include "base/cleanup.h"
#include "tests/lib/sim_people.h"
#include "tests/lib/unit.h"

static uint64_t count_conflicts(struct sim_device *d)
{
	struct store_txn *t = NULL;
	uint64_t n = 0;

	assert_int_equal(store_begin(d->f->store, &t), 0);
	assert_int_equal(conflict_count(t, d->ss->row, &n), 0);
	store_abort(&t);
	return n;
}

static void note_told(void *ctx, const struct invalidation *inv, size_t n)
{
	bool *told = ctx;

	for (size_t i = 0; i < n; i++)
		*told = *told || strcmp(inv[i].name, "a (conflict, two, 2025-01-01).txt") == 0;
}

/* Both edit off line; the one who comes later keeps hers under a name that says so, and mounts are told of it. */
static void a_conflict_copy_says_whose_and_when(void **state)
{
	const char *copy = "a (conflict, two, 2025-01-01).txt", *again = "a (conflict, two, 2025-01-01 2).txt";
	struct node n;
	uint64_t ino;
	bool told = false;

	(void)state;
	sim_open(1);
	(void)sim_make_file(&sim.d[0], "a.txt", "zero");
	sim_come_to_rest(1, NULL);
	struct sim_device *late = &sim.d[1];
	late->sync.config.changed = note_told;
	late->sync.config.ctx = &told;
	sim_go_offline(late);
	sim_edit(&sim.d[0], "a.txt", "mine");
	sim_come_to_rest(1, late);
	sim_edit(late, "a.txt", "late");
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	assert_true(told);
	assert_int_equal(count_conflicts(late), 1);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		assert_int_equal(store_lookup(sim.d[i].f->store, sim.d[i].root, bytes_str(copy), &n), 0);
	/* A copy of the copy is named after the file. */
	sim_go_offline(late);
	sim_edit(&sim.d[0], copy, "more");
	sim_come_to_rest(1, late);
	sim_edit(late, copy, "last");
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	assert_int_equal(store_lookup(late->f->store, late->root, bytes_str(again), &n), 0);
	assert_int_equal(count_conflicts(late), 2);
	/* Renamed or removed: settled. */
	assert_int_equal(
		store_rename(late->f->store, late->root, bytes_str(copy), late->root, bytes_str("b.txt"), 0, &ino), 0);
	assert_int_equal(count_conflicts(late), 1);
	assert_int_equal(store_unlink(late->f->store, late->root, bytes_str(again), false, &ino), 0);
	assert_int_equal(count_conflicts(late), 0);
	sim_come_to_rest(1, NULL);
	sim_close();
}

/* The same tool ran on both, off line: nothing is there to be kept apart. */
static void the_same_edit_on_both_makes_no_copy(void **state)
{
	static char large[200000];

	(void)state;
	memset(large, 'x', sizeof large - 1);
	for (int sealed = 0; sealed < 2; sealed++) {
		sim_open(1);
		(void)sim_make_file(&sim.d[0], "a", "zero");
		(void)sim_make_file(&sim.d[0], "b", "zero");
		(void)sim_make_file(&sim.d[0], "c", "zero");
		sim_come_to_rest(1, NULL);
		struct sim_device *late = &sim.d[1];
		for (unsigned i = 0; i < 2; i++) {
			sim_edit(&sim.d[i], "a", "same");
			sim_edit(&sim.d[i], "b", large);
			sim_edit(&sim.d[i], "c", i ? "this" : "that");
		}
		if (sealed) {
			sim_tick(late, 20 * SIM_MS);
			sim_tick(late, 20 * SIM_MS);
		}
		sim_go_offline(late);
		sim_come_to_rest(1, late);
		sim_come_to_rest(1, NULL);
		sim_compare(1);
		struct sim_listing l;
		sim_list(&sim.d[2], sim.d[2].root, &l);
		assert_int_equal(l.n, 4); /* of c alone there are two */
		sim_close();
	}
}

/* One changes the mode, another the content, at the same time: both stand, in one file, whatever comes first. */
static void a_mode_and_an_edit_meet_in_one_file(void **state)
{
	struct node mode = { .mode = 0600 }, n;

	(void)state;
	for (int order = 0; order < 3; order++) {
		sim_open(1);
		struct sim_device *a = &sim.d[0], *b = &sim.d[1];
		uint64_t ino = sim_make_file(a, "a", "zero");
		sim_come_to_rest(1, NULL);
		assert_int_equal(store_setattr(a->f->store, ino, ATTR_MODE, &mode, &n), 0);
		if (order == 0)
			sim_go_offline(a);
		sim_tick(a, 20 * SIM_MS);
		sim_tick(a, 20 * SIM_MS); /* on its way, unless off line */
		sim_edit(b, "a", "four");
		for (unsigned i = 0; i < 5; i++) {
			sim_tick(b, 1000 * SIM_MS);
			while (sim_carry_up(b) || sim_carry_down(b))
				;
		}
		if (order == 1)
			(void)sim_carry_down(a); /* the notice, before the refusal */
		sim_come_to_rest(1, NULL);
		sim_compare(1);
		for (unsigned i = 0; i < SIM_DEVICES; i++) {
			struct sim_listing l;
			char text[4096];

			sim_list(&sim.d[i], sim.d[i].root, &l);
			assert_int_equal(l.n, 1);
			assert_int_equal(store_getattr(sim.d[i].f->store, l.e[0].ino, &n), 0);
			assert_int_equal(n.mode, 0600);
			sim_read_text(&sim.d[i], n.ino, text);
			assert_string_equal(text, "four");
		}
		sim_close();
	}
}

/* ---- rights that another person gives (fusefs/rights.h) ---- */

#define FOREIGN_ID 4242
static const uint8_t foreign_list[] = "\2\0\0\0"
				      "\1\0\6\0\377\377\377\377"
				      "\2\0\7\0\222\020\0\0"
				      "\4\0\4\0\377\377\377\377"
				      "\20\0\7\0\377\377\377\377"
				      "\40\0\5\0\377\377\377\377"; /* of user 4242 */

/* A world in which nobody does anything but what the test says. */
static void open_quiet_world(void)
{
	sim_open(1);
	sim.meanwhile = sim_rest;
}

/* A program of `by`, owned by the person of `of`, with everything that could raise rights. */
static void give_rights(struct sim_device *by, const struct sim_device *of, const char *name)
{
	const uint32_t mode = 06775;
	struct node_new fresh = { .kind = NODE_FILE,
		.mode = mode,
		.uid = FOREIGN_ID,
		.gid = FOREIGN_ID,
		.owner = *identity_person(of->party.id) };
	struct store *s = by->f->store;
	struct node n;

	assert_int_equal(store_create(s, by->root, bytes_str(name), &fresh, &n), 0);
	assert_int_equal(store_write(s, n.ino, 0, "program", 7), 0);
	assert_int_equal(store_setxattr(s, n.ino, "security.capability", bytes_str("cap"), 0), 0);
	assert_int_equal(store_setxattr(s, n.ino, "trusted.x", bytes_str("x"), 0), 0);
	assert_int_equal(store_setxattr(s, n.ino, "user.note", bytes_str("note"), 0), 0);
	assert_int_equal(
		store_set_acl(s, n.ino, NODE_ACL_ACCESS, bytes_of(foreign_list, sizeof foreign_list - 1), &mode), 0);
}

static bool written_by(struct sim_device *d, const char *name, const struct sim_device *author)
{
	struct node n = sim_look_up(d, name);

	return id32_equal(&n.author, identity_device(author->party.id));
}

static void has_no_rights(struct sim_device *d, const char *name)
{
	CLEANUP(buf_release) struct buf names = BUF_INIT(NODE_MAX_XATTR_BYTES);
	struct node n = sim_look_up(d, name);

	assert_int_equal(n.mode, 0705); /* the group's bits were the list's mask */
	assert_int_equal(n.uid, geteuid());
	assert_int_equal(n.gid, getegid());
	assert_int_equal(n.flags & NODE_ACL, 0);
	assert_int_equal(store_listxattr(d->f->store, n.ino, &names), 0);
	unit_assert_bytes(buf_bytes(&names), bytes_of("user.note", sizeof "user.note"));
}

static void move(struct sim_device *d, const char *from, const char *to)
{
	uint64_t replaced;

	assert_int_equal(store_rename(d->f->store, d->root, bytes_str(from), d->root, bytes_str(to), 0, &replaced), 0);
}

static void rights_of_another_do_not_come_alive_by_a_touch(void **state)
{
	(void)state;
	open_quiet_world();
	struct sim_device *a = &sim.d[0], *b = &sim.d[1];
	give_rights(b, a, "a");
	sim_come_to_rest(1, NULL);
	assert_int_equal(
		sim_look_up(a, "a").mode, 06775); /* as the record says: it has no effect while b is the author */
	assert_true(written_by(a, "a", b));
	move(a, "a", "b");
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		assert_true(written_by(&sim.d[i], "b", a));
		has_no_rights(&sim.d[i], "b");
	}
	sim_close();
}

/* The touch is there first, and the rights are merged in. */
static void rights_of_another_do_not_come_alive_by_a_merge(void **state)
{
	const struct node own = { .mode = 0755, .uid = 1, .gid = 1 },
			  theirs = { .mode = 06775, .uid = FOREIGN_ID, .gid = FOREIGN_ID };
	struct node n;

	(void)state;
	for (int sealed = 0; sealed < 2; sealed++) {
		open_quiet_world();
		struct sim_device *a = &sim.d[0], *b = &sim.d[1];
		uint64_t ino = sim_make_file(a, "a", "zero");
		assert_int_equal(store_setattr(a->f->store, ino, ATTR_MODE | ATTR_UID | ATTR_GID, &own, &n), 0);
		assert_int_equal(store_setxattr(a->f->store, ino, "user.note", bytes_str("note"), 0), 0);
		sim_come_to_rest(1, NULL);
		if (!sealed)
			sim_go_offline(a);
		move(a, "a", "b");
		for (unsigned i = 0; i < 3 && sealed; i++)
			sim_tick(a, 20 * SIM_MS);
		n = sim_look_up(b, "a");
		assert_int_equal(store_setxattr(b->f->store, n.ino, "trusted.x", bytes_str("x"), 0), 0);
		assert_int_equal(store_set_acl(b->f->store, n.ino, NODE_ACL_ACCESS,
					 bytes_of(foreign_list, sizeof foreign_list - 1), NULL),
			0);
		assert_int_equal(store_setattr(b->f->store, n.ino, ATTR_MODE | ATTR_UID | ATTR_GID, &theirs, &n), 0);
		for (unsigned i = 0; i < 5; i++) {
			sim_tick(b, 1000 * SIM_MS);
			while (sim_carry_up(b) || sim_carry_down(b))
				;
		}
		if (!sealed)
			sim_go_online(a);
		sim_come_to_rest(1, NULL);
		sim_compare(1);
		for (unsigned i = 0; i < SIM_DEVICES; i++) {
			assert_true(written_by(&sim.d[i], "b", a));
			has_no_rights(&sim.d[i], "b");
		}
		sim_close();
	}
}

static void a_conflict_copy_has_no_rights_of_another(void **state)
{
	CLEANUP(buf_release) struct buf names = BUF_INIT(NODE_MAX_XATTR_BYTES);
	unsigned copies = 0;

	(void)state;
	open_quiet_world();
	struct sim_device *a = &sim.d[0], *b = &sim.d[1];
	give_rights(b, a, "a");
	sim_come_to_rest(1, NULL);
	sim_go_offline(a);
	sim_edit(a, "a", "here");
	sim_edit(b, "a", "there");
	for (unsigned i = 0; i < 5; i++) {
		sim_tick(b, 1000 * SIM_MS);
		while (sim_carry_up(b) || sim_carry_down(b))
			;
	}
	sim_go_online(a);
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	struct sim_listing l;
	sim_list(a, a->root, &l);
	for (size_t i = 0; i < l.n; i++) {
		struct node n;

		assert_int_equal(store_getattr(a->f->store, l.e[i].ino, &n), 0);
		if (!(n.flags & NODE_CONFLICT))
			continue;
		copies++;
		assert_int_equal(n.mode, 0705);
		assert_int_equal(n.uid, geteuid());
		assert_int_equal(n.gid, getegid());
		assert_int_equal(store_listxattr(a->f->store, n.ino, &names), 0);
		assert_int_equal(names.len, 0);
	}
	assert_int_equal(copies, 1);
	sim_close();
}

static void own_rights_stay_when_the_node_changes(void **state)
{
	(void)state;
	open_quiet_world();
	struct sim_device *a = &sim.d[0];
	give_rights(a, a, "a");
	sim_come_to_rest(1, NULL);
	move(a, "a", "b");
	sim_come_to_rest(1, NULL);
	sim_compare(1);
	for (unsigned i = 0; i < SIM_DEVICES; i++) {
		struct node n = sim_look_up(&sim.d[i], "b");

		assert_int_equal(n.mode, 06775);
		assert_int_equal(n.uid, FOREIGN_ID);
		assert_true(n.flags & NODE_ACL);
	}
	sim_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_conflict_copy_says_whose_and_when),
		cmocka_unit_test(the_same_edit_on_both_makes_no_copy),
		cmocka_unit_test(a_mode_and_an_edit_meet_in_one_file),
		cmocka_unit_test(rights_of_another_do_not_come_alive_by_a_touch),
		cmocka_unit_test(rights_of_another_do_not_come_alive_by_a_merge),
		cmocka_unit_test(a_conflict_copy_has_no_rights_of_another),
		cmocka_unit_test(own_rights_stay_when_the_node_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
