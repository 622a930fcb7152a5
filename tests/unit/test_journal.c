/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's bytes: changes are encoded as docs/FORMAT.md says, for ever; a damaged tail ends it, damage before what was synced is
 * told, and segments in other places than their own are not believed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "cache/journal.h"
#include "cache/kept.h"
#include "cache/op.h"
#include "crypto/hash.h"
#include "tests/lib/fake_env.h"
#include "tests/lib/unit.h"

/* ---- encodings ---- */

static void encodes_to(const struct op *op, const char *hex)
{
	struct buf b = BUF_INIT(4096);
	assert_int_equal(op_put(&b, op), 0);
	unit_assert_hex(buf_bytes(&b), hex);
	buf_release(&b);
}

static void changes_have_the_bytes_of_the_format(void **state)
{
	(void)state;
	struct node n = { .ino = 300,
		.space = 2,
		.id = { { 0xaa } },
		.kind = NODE_FILE,
		.mode = 0644,
		.uid = 1000,
		.gid = 1000,
		.size = 5,
		.mtime = 2,
		.atime = 1,
		.ctime = 3,
		.btime = 2,
		.nlink = 1,
		.version = 7,
		.change = 9,
		.change_bits = CHANGE_CONTENT,
		.author = { { 0xbb } } };
	struct link l = { .id = { { 0xcc } },
		.ino = 300,
		.parent = 4,
		.shown_parent = 4,
		.name_len = 1,
		.name = "a",
		.shown_len = 1,
		.shown = "a",
		.synced_parent = { { 0xdd } } };
	encodes_to(&(struct op){ .type = OP_NODE_PUT, .node = &n, .was = 8, .was_flags = 2 },
		"02 08 02 ac02 02 aa000000000000000000000000000000 01 00 a403 e807 e807 00 05 04 01 02 00 01 07 09 10 "
		"02 "
		"bb00000000000000000000000000000000000000000000000000000000000000");
	encodes_to(&(struct op){ .type = OP_LINK_PUT, .link = &l },
		"05 cc000000000000000000000000000000 ac02 04 dd000000000000000000000000000000 01 61 01");
	l.shown_parent = 0;
	l.shown_len = 0;
	encodes_to(&(struct op){ .type = OP_LINK_PUT, .link = &l },
		"05 cc000000000000000000000000000000 ac02 04 dd000000000000000000000000000000 01 61 00 00 00");
	encodes_to(&(struct op){ .type = OP_NODE_DEL, .ino = 128 }, "03 8001");
	encodes_to(&(struct op){ .type = OP_XATTR_PUT, .ino = 1, .key = bytes_str("k"), .value = bytes_str("vv") },
		"07 01 01 6b 02 7676");
	encodes_to(&(struct op){ .type = OP_EXTENT_DATA, .ino = 1, .off = 4096, .len = 10, .from = 3 },
		"09 01 8020 0a 03");
	encodes_to(&(struct op){ .type = OP_EXTENT_CLEAR, .ino = 1, .off = 2, .len = 3 }, "0a 01 02 03");
	encodes_to(&(struct op){ .type = OP_EXTENT_REF, .ino = 1, .off = 2, .len = 3, .chunk = 4, .from = 5 },
		"0b 01 02 03 04 05");
	encodes_to(&(struct op){ .type = OP_EXTENT_SHARE, .ino = 1, .off = 2, .len = 3, .chunk = 4, .from = 5 },
		"0c 01 02 03 04 05");
	encodes_to(&(struct op){ .type = OP_EXTENT_SHIFT, .ino = 1, .off = 2, .delta = -3 }, "0d 01 02 05");
	encodes_to(&(struct op){ .type = OP_ENTRY_PUT, .row = 2, .seq = 3, .value = bytes_str("e") }, "12 02 03 01 65");
	encodes_to(&(struct op){ .type = OP_OUTBOX_CHUNK, .row = 2, .chunk = 3 }, "16 02 03");
	encodes_to(
		&(struct op){ .type = OP_META_PUT, .key = bytes_str("k"), .value = bytes_str("v") }, "17 01 6b 01 76");
	encodes_to(&(struct op){ .type = OP_TOUCHED_PUT, .ino = 2, .key = bytes_str("n") }, "19 02 01 6e");
}

/* ---- the chain ---- */

struct world {
	struct fake_env *env;
	struct secret *key;
	struct segments *set;
	struct journal *j;
	struct index_state at;
	uint64_t seen; /* entries replayed */
};

static int see(void *ctx, const struct journal_entry *e)
{
	struct world *w = ctx;
	char text[32];
	w->seen++;
	assert_int_equal(e->seq, w->seen);
	snprintf(text, sizeof text, "entry %llu", (unsigned long long)e->seq);
	unit_assert_bytes(e->body, bytes_str(text));
	return 0;
}

static void attach(struct world *w)
{
	const struct env *env = fake_env_get(w->env);
	assert_int_equal(segments_open(env, FAKE_DIR, w->key, 8192, &w->set), 0);
	assert_int_equal(journal_open(env, w->set, &w->j), 0);
	w->at = (struct index_state){ .next_segment = 1 };
	w->seen = 0;
}

static int start(struct world *w)
{
	attach(w);
	int err = journal_replay(w->j, &w->at, see, w);
	return err < 0 ? err : journal_start(w->j, &w->at);
}

static void detach(struct world *w)
{
	journal_close(w->j);
	segments_close(w->set);
}

static void append(struct world *w, int n)
{
	static const uint8_t data[900];
	for (int i = 0; i < n; i++) {
		struct place place;
		char text[32];
		snprintf(text, sizeof text, "entry %llu", (unsigned long long)w->at.seq + 1);
		assert_int_equal(
			journal_append(w->j, &w->at, bytes_str(text), bytes_of(data, sizeof data), ROOM_AMPLE, &place),
			0);
		assert_int_equal(place.run, sizeof data);
	}
}

static struct world new_world(void)
{
	struct world w = { .env = fake_env_new(FAKE_MEMORY, 1) };
	static const uint8_t key[KEY_SIZE] = { 3 };
	assert_int_equal(crypto_init(), 0);
	assert_int_equal(secret_from(bytes_of(key, sizeof key), &w.key), 0);
	assert_int_equal(start(&w), 0);
	return w;
}

static void free_world(struct world *w)
{
	detach(w);
	secret_free(w->key);
	fake_env_free(w->env);
}

static void entries_come_back_across_segments_and_runs(void **state)
{
	struct world w = new_world();
	(void)state;
	for (int run = 1; run <= 4; run++) {
		append(&w, 20); /* more than two segments of 8 KiB */
		detach(&w);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, run * 20);
	}
	assert_true(w.at.next_segment > 8);
	free_world(&w);
}

static void flip(struct world *w, uint64_t segment, off_t at)
{
	const struct env *env = fake_env_get(w->env);
	char name[32];
	uint8_t byte;
	snprintf(name, sizeof name, "seg-%016llx", (unsigned long long)segment);
	int fd = env->open(env->ctx, FAKE_DIR, name, O_RDWR, 0);
	assert_true(fd >= 0);
	assert_int_equal(env->pread(env->ctx, fd, &byte, 1, at), 1);
	byte ^= 4;
	assert_int_equal(env->pwrite(env->ctx, fd, &byte, 1, at), 0);
	assert_int_equal(env->fdatasync(env->ctx, fd), 0);
	env->close(env->ctx, fd);
}

static void any_flipped_byte_of_the_tail_ends_the_journal_before_it(void **state)
{
	(void)state;
	for (off_t back = 1; back < 970; back += 13) {
		struct world w = new_world();
		append(&w, 3);
		flip(&w, w.at.segment, (off_t)w.at.pos - back);
		detach(&w);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, 2);
		append(&w, 1); /* and goes on from there */
		detach(&w);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, 3);
		free_world(&w);
	}
}

static bool told(struct world *w)
{
	return kept_any(fake_env_get(w->env), FAKE_DIR);
}

static bool has_file(struct world *w, const char *name)
{
	const struct env *env = fake_env_get(w->env);
	int fd = env->open(env->ctx, FAKE_DIR, name, O_RDONLY, 0);
	if (fd >= 0)
		env->close(env->ctx, fd);
	return fd >= 0;
}

static void sync_journal(struct world *w)
{
	uint64_t seq;
	assert_int_equal(journal_sync(w->j, &seq), 0);
	assert_int_equal(seq, w->at.seq);
}

/* Ends before the damage, says so, and goes on from there for good, also when the note was read and deleted. */
static void goes_on_damaged(struct world *w, uint64_t whole)
{
	const struct env *env = fake_env_get(w->env);
	assert_int_equal(start(w), 0);
	assert_int_equal(w->seen, whole);
	assert_true(told(w));
	assert_int_equal(env->unlink(env->ctx, FAKE_DIR, "damaged.txt"), 0);
	for (int run = 1; run <= 3; run++) {
		append(w, 20);
		if (run == 2)
			sync_journal(w);
		detach(w);
		fake_env_crash(w->env, FAKE_KEEP_ALL);
		assert_int_equal(start(w), 0);
		assert_int_equal(w->seen, whole + 20ull * (unsigned)run);
		assert_false(told(w));
	}
}

/* This run's segment says that the first was on disk. */
static void damage_before_what_a_start_synced_is_told(void **state)
{
	struct world w = new_world();
	(void)state;
	append(&w, 3);
	uint64_t first = w.at.segment;
	detach(&w);
	assert_int_equal(start(&w), 0);
	append(&w, 3);
	detach(&w);
	flip(&w, first, SEGMENT_HEAD + 40);
	goes_on_damaged(&w, 0);
	assert_true(has_file(&w, "damaged-seg-0000000000000001-at-256"));
	assert_true(has_file(&w, "damaged-seg-0000000000000002.0"));
	free_world(&w);
}

/* Anywhere in an entry's head or body, in the first, middle and last segment. The tail behind the last sync may be torn as it
 * likes. */
static void damage_before_a_sync_is_told_and_what_is_cut_off_kept(void **state)
{
	(void)state;
	for (off_t at = 1; at < 54; at += 4) {
		struct world w = new_world();
		append(&w, (int)at / 2);
		uint64_t segment = w.at.segment, whole = w.at.seq;
		off_t pos = (off_t)w.at.pos;
		append(&w, 1);
		if (w.at.segment != segment) {
			segment = w.at.segment;
			pos = SEGMENT_HEAD;
		}
		append(&w, at % 3 == 0 ? 30 : 0);
		sync_journal(&w);
		append(&w, at % 8 == 1 ? 30 : 1);
		detach(&w);
		flip(&w, segment, pos + at);
		goes_on_damaged(&w, whole);
		free_world(&w);
	}
}

static void what_was_never_synced_is_cut_off_in_silence(void **state)
{
	(void)state;
	for (int synced = 0; synced < 30; synced += 7) {
		struct world w = new_world();
		append(&w, synced);
		sync_journal(&w);
		uint64_t segment = w.at.segment;
		append(&w, 1);
		off_t pos = w.at.segment == segment ? (off_t)w.at.pos - 950 : SEGMENT_HEAD;
		segment = w.at.segment;
		append(&w, 12);
		detach(&w);
		flip(&w, segment, pos + 5);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, synced);
		assert_false(told(&w));
		free_world(&w);
	}
}

/* Nobody makes an alarm, or a later mark of an earlier one. */
static void a_mark_that_was_changed_is_none(void **state)
{
	(void)state;
	for (off_t at = 136; at < 160; at++) {
		struct world w = new_world();
		append(&w, 3);
		sync_journal(&w);
		detach(&w);
		flip(&w, w.at.segment, at);
		flip(&w, w.at.segment, SEGMENT_HEAD + 3);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, 0);
		assert_false(told(&w));
		free_world(&w);
	}
}

/* As damage of any content: told to who reads it. */
static void damaged_data_that_was_synced_cuts_nothing_off(void **state)
{
	struct world w = new_world();
	(void)state;
	append(&w, 3);
	off_t pos = (off_t)w.at.pos;
	append(&w, 3);
	sync_journal(&w);
	detach(&w);
	flip(&w, w.at.segment, pos - 50);
	assert_int_equal(start(&w), 0);
	assert_int_equal(w.seen, 6);
	assert_false(told(&w));
	free_world(&w);
}

static void a_damaged_head_of_a_segment_is_told(void **state)
{
	struct world w = new_world();
	(void)state;
	append(&w, 3);
	uint64_t whole = w.at.seq;
	for (uint64_t first = w.at.segment; w.at.segment == first; whole++)
		append(&w, 1);
	sync_journal(&w);
	detach(&w);
	flip(&w, w.at.segment, 60);
	goes_on_damaged(&w, whole - 1);
	free_world(&w);
}

/* The power goes at any write while what is damaged is put aside; or the disk is full. */
static void putting_aside_can_be_cut_anywhere(void **state)
{
	(void)state;
	for (unsigned long n = 1, failed = 1; failed; n++) {
		struct world w = new_world();
		append(&w, 20);
		uint64_t last = w.at.segment;
		sync_journal(&w);
		append(&w, 1);
		sync_journal(&w); /* which brings the mark to the disk */
		detach(&w);
		flip(&w, last - 1, SEGMENT_HEAD + 3);
		fake_env_fail(w.env, FAKE_WRITING, n, n % 2 ? ERR_IO : ERR_NO_SPACE, true);
		(void)!start(&w);
		failed = fake_env_failed(w.env);
		uint64_t whole = w.seen;
		assert_true(whole > 5 && whole < 20);
		detach(&w);
		fake_env_crash(w.env, FAKE_RANDOM);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, whole);
		assert_true(told(&w));
		bool kept = false;
		for (uint64_t i = 1; i <= last; i++) {
			char name[64];
			snprintf(name, sizeof name, "damaged-seg-%016llx.0", (unsigned long long)i);
			kept |= has_file(&w, name);
		}
		assert_true(kept);
		free_world(&w);
	}
}

static void a_segment_under_another_name_is_not_believed(void **state)
{
	struct world w = new_world();
	const struct env *env = fake_env_get(w.env);
	struct segment_info info;
	(void)state;
	append(&w, 3);
	assert_int_equal(segments_probe(w.set, 1, &info), 0);
	assert_int_equal(info.number, 1);
	assert_int_equal(env->rename(env->ctx, FAKE_DIR, "seg-0000000000000001", "seg-0000000000000002"), 0);
	assert_int_equal(segments_probe(w.set, 1, &info), ERR_NOT_FOUND);
	assert_int_equal(segments_probe(w.set, 2, &info), ERR_CORRUPT);
	free_world(&w);
}

static void after_a_failed_write_a_new_segment_follows(void **state)
{
	struct world w = new_world();
	struct place place;
	(void)state;
	append(&w, 2);
	uint64_t segment = w.at.segment, pos = w.at.pos;
	fake_env_fail(w.env, FAKE_PWRITE, 1, ERR_IO, false);
	assert_int_equal(journal_append(w.j, &w.at, bytes_str("lost"), bytes_of(NULL, 0), ROOM_AMPLE, &place), ERR_IO);
	assert_int_equal(w.at.pos, pos);
	append(&w, 2);
	assert_true(w.at.segment > segment);
	detach(&w);
	assert_int_equal(start(&w), 0);
	assert_int_equal(w.seen, 4);
	free_world(&w);
}

static void after_a_failed_sync_nothing_is_acknowledged(void **state)
{
	struct world w = new_world();
	struct place place;
	uint64_t seq;
	(void)state;
	append(&w, 2);
	fake_env_fail(w.env, FAKE_FDATASYNC, 1, ERR_IO, false);
	assert_int_equal(journal_sync(w.j, &seq), ERR_IO);
	assert_int_equal(journal_sync(w.j, &seq), ERR_READ_ONLY);
	assert_int_equal(
		journal_append(w.j, &w.at, bytes_str("x"), bytes_of(NULL, 0), ROOM_AMPLE, &place), ERR_READ_ONLY);
	assert_true(journal_broken(w.j));
	free_world(&w);
}

/* The pages that a failed sync did not write count as written: only the next start's writing them again brings them to the disk. */
static void what_a_failed_sync_left_is_on_disk_after_the_next_start(void **state)
{
	(void)state;
	for (int entries = 1; entries <= 40; entries += 13) { /* of one segment, and of several */
		struct world w = new_world();
		uint64_t seq;
		append(&w, 5);
		assert_int_equal(journal_sync(w.j, &seq), 0);
		append(&w, entries);
		fake_env_fail(w.env, FAKE_FDATASYNC, 1, ERR_IO, true);
		assert_int_equal(journal_sync(w.j, &seq), ERR_IO);
		fake_env_fail(w.env, FAKE_FDATASYNC, 0, 0, false);
		detach(&w);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, 5 + entries);
		detach(&w);
		fake_env_crash(w.env, FAKE_LOSE_ALL);
		assert_int_equal(start(&w), 0);
		assert_int_equal(w.seen, 5 + entries);
		free_world(&w);
	}
}

static void too_much_for_one_entry_is_refused(void **state)
{
	struct world w = new_world();
	struct place place;
	(void)state;
	struct bytes big = bytes_of(&w, JOURNAL_MAX_BODY + 1); /* refused before it is read */
	assert_int_equal(journal_append(w.j, &w.at, big, bytes_of(NULL, 0), ROOM_AMPLE, &place), ERR_RANGE);
	assert_int_equal(
		journal_append(w.j, &w.at, bytes_of(NULL, 0), bytes_of(&w, JOURNAL_MAX_DATA + 1u), ROOM_AMPLE, &place),
		ERR_RANGE);
	append(&w, 1);
	free_world(&w);
}

/* The index is mended while others read: what they hold and what is known of the files stays. */
static void loading_the_numbers_again_lets_readers_be(void **state)
{
	struct world w = new_world();
	struct segment_ref before, during, after;
	struct segment_row row;
	(void)state;
	append(&w, 20);
	uint64_t number = journal_segment(w.j);
	assert_true(number > 1);
	segments_live(w.set, 1, 900);
	segments_measured(w.set, 1, 1000);
	segments_gave(w.set, 1, 4096);
	assert_int_equal(segments_get(w.set, 1, &before), 0);
	segments_reload(w.set);
	assert_int_equal(segments_get(w.set, 1, &during), 0);
	assert_true(during.fd == before.fd && during.opaque == before.opaque);
	assert_true(segments_next(w.set, 0, &row));
	assert_int_equal(row.live, 0);
	assert_int_equal(segments_add(w.set, 1, row.size, 900), 0);
	assert_int_equal(segments_get(w.set, 1, &after), 0);
	assert_true(after.fd == before.fd && after.opaque == before.opaque);
	assert_true(segments_next(w.set, 0, &row));
	assert_int_equal(row.number, 1);
	assert_int_equal(row.live, 900);
	assert_int_equal(row.need, 1000);
	assert_int_equal(row.given, 4096);
	segments_put(w.set, &after);
	segments_put(w.set, &during);
	segments_put(w.set, &before);
	free_world(&w);
}

/* ---- made ahead ---- */

static void to_the_next_segment(struct world *w)
{
	for (uint64_t number = journal_segment(w->j); journal_segment(w->j) == number;)
		append(w, 1);
}

static void a_segment_made_ahead_asks_the_disk_for_nothing(void **state)
{
	struct world w = new_world();
	(void)state;
	append(&w, 20);
	assert_int_equal(journal_prepare(w.j), 0);
	unsigned long asked = fake_env_calls(w.env, FAKE_FALLOCATE);
	to_the_next_segment(&w);
	assert_int_equal(fake_env_calls(w.env, FAKE_FALLOCATE), asked);
	fake_env_fail(w.env, FAKE_FALLOCATE, 1, ERR_NO_SPACE, false);
	assert_int_equal(journal_prepare(w.j), ERR_NO_SPACE);
	to_the_next_segment(&w);
	free_world(&w);
}

/* Writers need the lock while the disk looks for room. */
static void write_on(void *ctx)
{
	struct world *w = ctx;
	fake_env_after_writing(w->env, NULL, NULL);
	to_the_next_segment(w);
	append(w, 1);
}

static void a_segment_made_ahead_comes_too_late(void **state)
{
	struct world w = new_world();
	(void)state;
	append(&w, 20);
	fake_env_after_writing(w.env, write_on, &w);
	assert_int_equal(journal_prepare(w.j), 0);
	for (int i = 0; i < 3; i++) {
		append(&w, 3);
		assert_int_equal(journal_prepare(w.j), 0);
	}
	uint64_t n = w.at.seq;
	detach(&w);
	fake_env_crash(w.env, FAKE_KEEP_ALL);
	assert_int_equal(start(&w), 0);
	assert_int_equal(w.seen, n);
	to_the_next_segment(&w);
	free_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(changes_have_the_bytes_of_the_format),
		cmocka_unit_test(entries_come_back_across_segments_and_runs),
		cmocka_unit_test(any_flipped_byte_of_the_tail_ends_the_journal_before_it),
		cmocka_unit_test(damage_before_what_a_start_synced_is_told),
		cmocka_unit_test(damage_before_a_sync_is_told_and_what_is_cut_off_kept),
		cmocka_unit_test(what_was_never_synced_is_cut_off_in_silence),
		cmocka_unit_test(a_mark_that_was_changed_is_none),
		cmocka_unit_test(damaged_data_that_was_synced_cuts_nothing_off),
		cmocka_unit_test(a_damaged_head_of_a_segment_is_told),
		cmocka_unit_test(putting_aside_can_be_cut_anywhere),
		cmocka_unit_test(a_segment_under_another_name_is_not_believed),
		cmocka_unit_test(after_a_failed_write_a_new_segment_follows),
		cmocka_unit_test(after_a_failed_sync_nothing_is_acknowledged),
		cmocka_unit_test(what_a_failed_sync_left_is_on_disk_after_the_next_start),
		cmocka_unit_test(too_much_for_one_entry_is_refused),
		cmocka_unit_test(loading_the_numbers_again_lets_readers_be),
		cmocka_unit_test(a_segment_made_ahead_asks_the_disk_for_nothing),
		cmocka_unit_test(a_segment_made_ahead_comes_too_late) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
