/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of records that a malicious member could seal: nothing of them may reach the tree or the kernel. */
#include <stdio.h>
#include "tests/lib/unit.h"

#include "wire/record.h"

static struct node_link a_link(struct bytes name)
{
	return (struct node_link){ .id = { { 1 } }, .name = name };
}

static int decode(const struct node_body *body)
{
	struct buf b = BUF_INIT(RECORD_MAX_BLOB * 8);
	struct node_body back;
	int err = node_body_put(&b, body);

	if (err == 0) {
		err = node_body_decode(buf_bytes(&b), &back);
		if (err == 0)
			node_body_release(&back);
	}
	buf_release(&b);
	return err;
}

/* The encoder may refuse too; what counts is that no such bytes are taken. So a good body is changed in its bytes. */
static int decode_with_name(struct bytes name)
{
	static const char placeholder[] = "@@@@@@@@@@@@@@@@";
	struct buf b = BUF_INIT(4096);
	struct node_link link = a_link(bytes_of(placeholder, name.len));
	struct node_body body = { .kind = NODE_DIR, .mode = 0755, .links = &link, .n_links = 1 }, back;
	uint8_t *at;
	int err;

	assert_true(name.len <= sizeof placeholder - 1);
	assert_int_equal(node_body_put(&b, &body), 0);
	at = memmem(b.data, b.len, placeholder, name.len);
	assert_non_null(at);
	memcpy(at, name.p, name.len);
	err = node_body_decode(buf_bytes(&b), &back);
	if (err == 0)
		node_body_release(&back);
	buf_release(&b);
	return err;
}

static void names_that_the_kernel_must_not_see(void **state)
{
	static const struct {
		const char *name;
		size_t len;
	} bad[] = { { ".", 1 }, { "..", 2 }, { "/", 1 }, { "a/b", 3 }, { "a\0b", 3 }, { "\0", 1 },
		{ "/etc/passwd", 11 } };
	static const char *const good[] = { "a", "...", ".x", "..x", "a b", "\xff\xfe", "\n", "-rf" };
	uint8_t longest[256];
	struct node_link link;
	struct node_body body = { .kind = NODE_DIR, .mode = 0755, .links = &link, .n_links = 1 };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_true(decode_with_name(bytes_of(bad[i].name, bad[i].len)) < 0);
		assert_int_equal(node_name_valid(bytes_of(bad[i].name, bad[i].len)), 0);
	}
	for (size_t i = 0; i < COUNT(good); i++)
		assert_int_equal(decode_with_name(bytes_str(good[i])), 0);
	memset(longest, 'x', sizeof longest);
	link = a_link(bytes_of(longest, 255));
	assert_int_equal(decode(&body), 0);
	link = a_link(bytes_of(longest, 256));
	assert_true(decode(&body) < 0);
	link = a_link(bytes_of(longest, 0));
	assert_true(decode(&body) < 0);
}

static struct node_body file_of(struct slice *s, size_t n, uint64_t size)
{
	return (struct node_body){
		.kind = NODE_FILE, .mode = 0644, .size = size, .form = CONTENT_SLICES, .slices = s, .n_slices = n
	};
}

static struct slice a_slice(uint64_t at, uint64_t len)
{
	return (struct slice){ .at = at, .len = len, .chunk_len = 4096, .chunk = { { 7 } }, .key = { 1 } };
}

static void contents_that_contradict_themselves(void **state)
{
	struct slice s[2] = { a_slice(0, 4096), a_slice(4096, 4096) };
	struct slice many[NODE_MAX_SLICES + 1];
	struct node_body b = file_of(s, 2, 8192);

	(void)state;
	assert_int_equal(decode(&b), 0);
	b.size = 8191; /* past the end */
	assert_true(decode(&b) < 0);
	b.size = 8192;
	s[1].at = 4095; /* over one another */
	assert_true(decode(&b) < 0);
	s[1].at = 0;
	assert_true(decode(&b) < 0);
	s[1] = a_slice(UINT64_MAX - 10, 4096); /* past the end of numbers */
	b.size = UINT64_MAX;
	assert_true(decode(&b) < 0);
	s[1] = a_slice(4096, 4096);
	b.size = 8192;
	s[1].from = 1; /* more than the chunk has */
	assert_true(decode(&b) < 0);
	s[1].from = 0;
	s[1].chunk_len = CHUNK_MAX_PLAIN + 1;
	assert_true(decode(&b) < 0);
	s[1].chunk_len = 0;
	assert_true(decode(&b) < 0);
	s[1] = a_slice(4096, 0);
	assert_true(decode(&b) < 0);
	s[1] = a_slice(4096, 4096);
	b.depth = INDEX_MAX_DEPTH + 1;
	assert_true(decode(&b) < 0);
	b.depth = 0;
	b.kind = NODE_DIR; /* a directory with content */
	assert_true(decode(&b) < 0);
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = a_slice(i * 4096, 4096);
	b = file_of(many, COUNT(many), COUNT(many) * 4096);
	assert_true(decode(&b) < 0);
	b = file_of(many, NODE_MAX_SLICES, NODE_MAX_SLICES * 4096);
	assert_int_equal(decode(&b), 0);
}

static void too_much_of_anything(void **state)
{
	static struct node_link links[NODE_MAX_LINKS + 1];
	static struct node_xattr xattrs[NODE_MAX_XATTRS + 1];
	static char names[NODE_MAX_XATTRS + 1][16];
	static uint8_t large[NODE_MAX_XATTR_BYTES + 1];
	struct node_body b = { .kind = NODE_FILE, .mode = 0644, .links = links };

	(void)state;
	for (size_t i = 0; i < COUNT(links); i++) {
		links[i] = a_link(bytes_str("n"));
		links[i].id.b[0] = (uint8_t)(i >> 8);
		links[i].id.b[1] = (uint8_t)i;
	}
	b.n_links = NODE_MAX_LINKS;
	assert_int_equal(decode(&b), 0);
	b.n_links++;
	assert_true(decode(&b) < 0);
	links[1].id = links[0].id; /* one link twice */
	b.n_links = 2;
	assert_true(decode(&b) < 0);
	links[1].id.b[15] = 1;
	b.kind = NODE_DIR; /* a directory with two names */
	assert_true(decode(&b) < 0);
	b = (struct node_body){ .kind = NODE_FILE, .xattrs = xattrs, .n_xattrs = 1 };
	xattrs[0] = (struct node_xattr){ bytes_str("user.a"), bytes_of(large, sizeof large) };
	assert_true(decode(&b) < 0);
	for (size_t i = 0; i < COUNT(xattrs); i++) {
		snprintf(names[i], sizeof names[i], "user.%04zu", i);
		xattrs[i] = (struct node_xattr){ bytes_str(names[i]), bytes_str("v") };
	}
	b.n_xattrs = NODE_MAX_XATTRS + 1;
	assert_true(decode(&b) < 0);
	b = (struct node_body){ .kind = NODE_FILE,
		.form = CONTENT_INLINE,
		.size = NODE_INLINE_MAX + 1,
		.inline_data = bytes_of(large, NODE_INLINE_MAX + 1) };
	assert_true(decode(&b) < 0);
	b.size = 3; /* content past the end */
	b.inline_data = bytes_str("four");
	assert_true(decode(&b) < 0);
	b.size = 4;
	assert_int_equal(decode(&b), 0);
	b.mode = 0100644; /* more than permission bits */
	assert_true(decode(&b) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_the_kernel_must_not_see),
		cmocka_unit_test(contents_that_contradict_themselves),
		cmocka_unit_test(too_much_of_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
