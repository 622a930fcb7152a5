/* SPDX-License-Identifier: Apache-2.0 */
/* Two edits of one node, field by field. */
#include "base/cleanup.h"
#include "fusefs/merge.h"
#include "tests/lib/unit.h"

struct side {
	struct node_body body;
	struct node_link links[3];
	struct node_xattr xattrs[3];
};

static void side_init(struct side *s)
{
	*s = (struct side){
		.body = { .kind = NODE_FILE, .mode = 0644, .uid = 1, .gid = 1, .mtime_sec = 100, .size = 5 }
	};
	s->body.form = CONTENT_INLINE;
	s->body.inline_data = bytes_str("hello");
	s->links[0] = (struct node_link){ .id = { { 1 } }, .parent = { { 9 } }, .name = bytes_str("a") };
	s->body.links = s->links;
	s->body.n_links = 1;
	s->body.xattrs = s->xattrs;
}

static struct side base, local, remote;
static struct merged m;

static int setup(void **state)
{
	(void)state;
	side_init(&base);
	side_init(&local);
	side_init(&remote);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	merged_release(&m);
	return 0;
}

static void merge(bool local_content)
{
	struct merge in = { .base = &base.body,
		.local = &local.body,
		.remote = &remote.body,
		.local_version = 2,
		.remote_version = 2,
		.local_author = { { 1 } },
		.remote_author = { { 2 } },
		.local_content = local_content };
	assert_int_equal(merge_node(&in, &m), 0);
}

static void what_only_one_side_changed_is_taken(void **state)
{
	(void)state;
	local.body.mode = 0600;
	remote.body.uid = 7;
	merge(false);
	assert_int_equal(m.body.mode, 0600);
	assert_int_equal(m.body.uid, 7);
	assert_false(m.same_as_remote);
	assert_int_equal(m.content, MERGE_CONTENT_REMOTE);
}

static void the_higher_side_wins_what_both_changed(void **state)
{
	(void)state;
	local.body.mode = 0600;
	remote.body.mode = 0666;
	merge(false);
	assert_int_equal(m.body.mode, 0666); /* the author is higher */
	assert_true(m.same_as_remote);
}

static void nothing_changed_here_gives_the_remote(void **state)
{
	(void)state;
	remote.body.inline_data = bytes_str("other");
	remote.body.mtime_sec = 200;
	merge(false);
	assert_true(m.same_as_remote);
	assert_int_equal(m.body.mtime_sec, 200);
	unit_assert_bytes(m.body.inline_data, bytes_str("other"));
}

static void content_changed_here_alone_stays_with_its_time(void **state)
{
	(void)state;
	local.body.mtime_sec = 150;
	local.body.size = 9;
	remote.body.mode = 0600;
	merge(true);
	assert_int_equal(m.content, MERGE_CONTENT_LOCAL);
	assert_int_equal(m.body.mtime_sec, 150);
	assert_int_equal(m.body.size, 9);
	assert_int_equal(m.body.mode, 0600);
	assert_false(m.same_as_remote);
}

static void two_edits_of_the_content_are_kept_apart(void **state)
{
	(void)state;
	remote.body.inline_data = bytes_str("other");
	merge(true);
	assert_int_equal(m.content, MERGE_CONTENT_BOTH);
	unit_assert_bytes(m.body.inline_data, bytes_str("other"));
}

static void an_edit_beats_a_deletion_here(void **state)
{
	(void)state;
	local.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	remote.body.inline_data = bytes_str("other");
	merge(false);
	assert_false(m.body.deleted);
	assert_int_equal(m.body.n_links, 1);
	assert_int_equal(m.content, MERGE_CONTENT_REMOTE);
	assert_true(m.revived);
	assert_true(m.same_as_remote);
}

static void an_edit_here_beats_a_deletion_there(void **state)
{
	(void)state;
	remote.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	merge(true);
	assert_false(m.body.deleted);
	assert_int_equal(m.body.n_links, 1);
	assert_int_equal(m.content, MERGE_CONTENT_LOCAL);
	assert_false(m.same_as_remote);
}

static void what_was_revived_here_outlives_another_deletion(void **state)
{
	(void)state;
	base.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	remote.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	merge(true);
	assert_false(m.body.deleted);
	assert_int_equal(m.content, MERGE_CONTENT_LOCAL);
	assert_int_equal(m.body.size, 5);
	assert_int_equal(m.body.n_links, 1);
}

static void what_was_revived_there_has_its_content(void **state)
{
	(void)state;
	base.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	local.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	merge(false);
	assert_false(m.body.deleted);
	assert_int_equal(m.content, MERGE_CONTENT_REMOTE);
	assert_int_equal(m.body.form, CONTENT_INLINE);
	unit_assert_bytes(m.body.inline_data, bytes_str("hello"));
	assert_true(m.same_as_remote);
}

static void both_deleted_is_deleted(void **state)
{
	(void)state;
	local.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	remote.body = (struct node_body){ .kind = NODE_FILE, .deleted = true };
	merge(false);
	assert_true(m.body.deleted);
	assert_true(m.same_as_remote);
}

static void links_merge_as_registers(void **state)
{
	(void)state;
	base.links[1] = (struct node_link){ .id = { { 2 } }, .parent = { { 9 } }, .name = bytes_str("b") };
	base.body.n_links = 2;
	local.links[1] = base.links[1];
	remote.links[1] = base.links[1];
	local.body.n_links = 1; /* removed b */
	remote.body.n_links = 2;
	remote.links[0].name = bytes_str("renamed");
	local.links[1] = (struct node_link){ .id = { { 3 } }, .parent = { { 9 } }, .name = bytes_str("c") };
	local.body.n_links = 2; /* and added c */
	merge(false);
	assert_int_equal(m.body.n_links, 2);
	unit_assert_bytes(m.body.links[0].name, bytes_str("renamed"));
	unit_assert_bytes(m.body.links[1].name, bytes_str("c"));
	assert_false(m.same_as_remote);
}

static void a_link_that_one_removed_and_the_other_renamed_stays(void **state)
{
	(void)state;
	base.links[1] = (struct node_link){ .id = { { 2 } }, .parent = { { 9 } }, .name = bytes_str("b") };
	base.body.n_links = 2;
	remote.links[1] = base.links[1];
	remote.links[1].name = bytes_str("b2");
	remote.body.n_links = 2;
	merge(false); /* local has one link: it removed b */
	assert_int_equal(m.body.n_links, 2);
	unit_assert_bytes(m.body.links[1].name, bytes_str("b2"));
}

static void a_file_outlives_the_loss_of_all_its_names(void **state)
{
	(void)state;
	base.links[1] = (struct node_link){ .id = { { 2 } }, .parent = { { 9 } }, .name = bytes_str("b") };
	base.body.n_links = 2;
	local.links[0] = base.links[1]; /* removed a */
	merge(false);                   /* the remote removed b */
	assert_int_equal(m.body.n_links, 1);
	unit_assert_bytes(m.body.links[0].name, bytes_str("a"));
	assert_true(m.same_as_remote);
	merged_release(&m);
	remote.body.inline_data = bytes_str("other");
	merge(false);
	assert_int_equal(m.body.n_links, 1);
	unit_assert_bytes(m.body.links[0].name, bytes_str("a"));
	merged_release(&m);
	remote.body.inline_data = base.body.inline_data;
	merge(true);
	assert_int_equal(m.body.n_links, 1);
	unit_assert_bytes(m.body.links[0].name, bytes_str("b"));
}

static void a_rename_on_both_sides_takes_the_higher(void **state)
{
	(void)state;
	local.links[0].name = bytes_str("mine");
	remote.links[0].name = bytes_str("theirs");
	merge(false);
	unit_assert_bytes(m.body.links[0].name, bytes_str("theirs"));
}

static void xattrs_merge_by_name(void **state)
{
	(void)state;
	base.xattrs[0] = (struct node_xattr){ bytes_str("user.a"), bytes_str("1") };
	base.body.n_xattrs = 1;
	remote.xattrs[0] = base.xattrs[0];
	remote.xattrs[1] = (struct node_xattr){ bytes_str("user.r"), bytes_str("r") };
	remote.body.n_xattrs = 2;
	local.xattrs[0] = (struct node_xattr){ bytes_str("user.l"), bytes_str("l") };
	local.body.n_xattrs = 1; /* removed user.a, added user.l */
	merge(false);
	assert_int_equal(m.body.n_xattrs, 2);
	unit_assert_bytes(m.body.xattrs[0].name, bytes_str("user.r"));
	unit_assert_bytes(m.body.xattrs[1].name, bytes_str("user.l"));
}

static void a_directory_never_gets_two_links(void **state)
{
	(void)state;
	base.body.kind = local.body.kind = remote.body.kind = NODE_DIR;
	base.body.form = local.body.form = remote.body.form = CONTENT_NONE;
	base.body.size = local.body.size = remote.body.size = 0;
	local.links[0].id.b[0] = 7;
	local.links[0].name = bytes_str("x");
	remote.links[0].name = bytes_str("y");
	merge(false);
	assert_int_equal(m.body.n_links, 1);
}

static void kinds_that_differ_are_refused(void **state)
{
	struct merge in = { .base = &base.body, .local = &local.body, .remote = &remote.body };

	(void)state;
	remote.body.kind = NODE_DIR;
	assert_int_equal(merge_node(&in, &m), ERR_INVALID);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_only_one_side_changed_is_taken),
		T(the_higher_side_wins_what_both_changed),
		T(nothing_changed_here_gives_the_remote),
		T(content_changed_here_alone_stays_with_its_time),
		T(two_edits_of_the_content_are_kept_apart),
		T(an_edit_beats_a_deletion_here),
		T(an_edit_here_beats_a_deletion_there),
		T(what_was_revived_here_outlives_another_deletion),
		T(what_was_revived_there_has_its_content),
		T(both_deleted_is_deleted),
		T(links_merge_as_registers),
		T(a_link_that_one_removed_and_the_other_renamed_stays),
		T(a_file_outlives_the_loss_of_all_its_names),
		T(a_rename_on_both_sides_takes_the_higher),
		T(xattrs_merge_by_name),
		T(a_directory_never_gets_two_links),
		T(kinds_that_differ_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
