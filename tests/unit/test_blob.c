/* SPDX-License-Identifier: Apache-2.0 */
/* Objects, in a folder and in a real S3 bucket: one suite for both, then what only a bucket does. */
#include "tests/lib/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "server/chunks.h"
#include "server/depot_plain.h"
#include "server/file_job.h"
#include "server/relay.h"
#include "server/rpc.h"
#include "server/scrub.h"
#include "server/sweep.h"
#include "tests/lib/fake_env.h"
#include "tests/lib/s3_endpoint.h"

#define LARGE (20u << 20)
#define PART (8u << 20)

static struct s3_endpoint endpoint;

struct scene {
	const struct env *env;
	char dir[128];
	struct blob_place place;
	struct blobs *b;
	struct id16 space;
};

static struct id16 random_id(void)
{
	struct id16 id;

	env_system()->random(env_system()->ctx, id.b, sizeof id.b);
	return id;
}

static void make_scene(struct scene *x, const struct s3_options *s3)
{
	const char *tmp = getenv("TMPDIR");

	*x = (struct scene){ .env = env_system(), .space = random_id() };
	snprintf(x->dir, sizeof x->dir, "%.80s/blob.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(x->dir));
	x->place = (struct blob_place){ .dir = x->dir, .s3 = s3 };
	assert_int_equal(blob_open(x->env, &x->place, &x->b), 0);
}

static int open_scene(void **state, const struct s3_options *s3)
{
	struct scene *x = malloc(sizeof *x);

	assert_non_null(x);
	make_scene(x, s3);
	*state = x;
	return 0;
}

static int in_folder(void **state)
{
	return open_scene(state, NULL);
}

static int in_bucket(void **state)
{
	return open_scene(state, &endpoint.options);
}

static void remove_scene(struct scene *x)
{
	char command[160];

	blob_close(x->b);
	snprintf(command, sizeof command, "rm -rf '%s'", x->dir);
	assert_int_equal(system(command), 0);
}

static int close_scene(void **state)
{
	struct scene *x = *state;

	remove_scene(x);
	free(x);
	return 0;
}

static uint8_t *noise(size_t n)
{
	uint8_t *p = malloc(n);

	assert_non_null(p);
	env_system()->random(env_system()->ctx, p, n);
	return p;
}

static void what_was_put_is_read_by_range(void **state)
{
	struct scene *x = *state;
	struct id16 ids[20], sum, whole;
	struct buf got = BUF_INIT(1 << 20);
	uint8_t *data = noise(100000);

	for (size_t i = 0; i < COUNT(ids); i++) {
		ids[i] = random_id();
		assert_int_equal(blob_put(x->b, &x->space, &ids[i], bytes_of(data, 100000)), 0);
	}
	assert_int_equal(blob_sync(x->b, &x->space, ids, 3), 0);
	assert_int_equal(blob_sync(x->b, &x->space, ids, COUNT(ids)), 0);
	assert_int_equal(blob_size(x->b, &x->space, &ids[0]), 100000);
	assert_int_equal(blob_get(x->b, &x->space, &ids[0], 0, 100000, &got), 0);
	unit_assert_bytes(buf_bytes(&got), bytes_of(data, 100000));
	buf_clear(&got);
	assert_int_equal(blob_get(x->b, &x->space, &ids[1], 10, 1000, &got), 0);
	unit_assert_bytes(buf_bytes(&got), bytes_of(data + 10, 1000));
	assert_int_equal(blob_get(x->b, &x->space, &ids[1], 99995, 6, &got), ERR_CORRUPT);
	assert_int_equal(blob_get(x->b, &x->space, &ids[1], 200000, 6, &got), ERR_CORRUPT);
	assert_int_equal(got.len, 1000);
	whole = blob_sum(bytes_of(data, 100000));
	assert_int_equal(blob_sum_stored(x->b, &x->space, &ids[2], 100000, &sum), 0);
	assert_true(id16_equal(&sum, &whole));
	buf_release(&got);
	free(data);
}

static void what_is_removed_is_gone(void **state)
{
	struct scene *x = *state;
	struct id16 id = random_id(), other = random_id();
	struct buf got = BUF_INIT(1 << 20);

	assert_int_equal(blob_put(x->b, &x->space, &id, bytes_str("one")), 0);
	assert_int_equal(blob_get(x->b, &other, &id, 0, 3, &got), ERR_NOT_FOUND);
	assert_int_equal(blob_remove(x->b, &x->space, &id), 0);
	assert_int_equal(blob_remove(x->b, &x->space, &id), 0);
	assert_int_equal(blob_get(x->b, &x->space, &id, 0, 1, &got), ERR_NOT_FOUND);
	assert_int_equal(blob_size(x->b, &x->space, &id), ERR_NOT_FOUND);
	assert_int_equal(got.len, 0);
}

static void put_again_changes_nothing(void **state)
{
	struct scene *x = *state;
	struct id16 id = random_id();
	struct buf got = BUF_INIT(1 << 20);

	assert_int_equal(blob_put(x->b, &x->space, &id, bytes_str("same")), 0);
	assert_int_equal(blob_put(x->b, &x->space, &id, bytes_str("same")), 0);
	assert_int_equal(blob_get(x->b, &x->space, &id, 0, 4, &got), 0);
	unit_assert_bytes(buf_bytes(&got), bytes_str("same"));
	buf_release(&got);
}

static struct blob_spool *spool(struct scene *x, struct blobs *b, const uint8_t *data, size_t n)
{
	struct blob_spool *s;

	(void)x;
	assert_int_equal(blob_spool_new(b, &s), 0);
	for (size_t at = 0; at < n; at += 300000)
		assert_int_equal(blob_spool_write(s, bytes_of(data + at, n - at < 300000 ? n - at : 300000)), 0);
	assert_int_equal(blob_spool_size(s), n);
	return s;
}

static void a_spooled_file_is_kept_whole(void **state)
{
	const size_t sizes[] = { 0, 1, PART, PART + 1, LARGE };
	struct scene *x = *state;
	uint8_t *data = noise(LARGE);

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct blob_spool *s = spool(x, x->b, data, sizes[i]);
		struct id16 id = random_id(), sum, want = blob_sum(bytes_of(data, sizes[i]));

		assert_int_equal(blob_size(x->b, &x->space, &id), ERR_NOT_FOUND);
		assert_int_equal(blob_spool_keep(s, &x->space, &id), 0);
		sum = blob_spool_sum(s);
		assert_true(id16_equal(&sum, &want));
		blob_spool_free(s);
		assert_int_equal(blob_size(x->b, &x->space, &id), sizes[i]);
		assert_int_equal(blob_sum_stored(x->b, &x->space, &id, sizes[i], &sum), 0);
		assert_true(id16_equal(&sum, &want));
	}
	free(data);
}

/* --- listing --- */

#define MANY 40

struct seen {
	struct blob_seen last;
	const struct id16 *spaces; /* two of them: others are other tests' */
	size_t n[2];
	int64_t oldest;
};

static int see(void *ctx, const struct blob_seen *o)
{
	struct seen *s = ctx;
	const int by_space = id16_compare(&s->last.space, &o->space);

	assert_true(by_space < 0 || (by_space == 0 && id16_compare(&s->last.object, &o->object) < 0));
	s->last = *o;
	for (size_t i = 0; i < 2; i++)
		s->n[i] += id16_equal(&o->space, &s->spaces[i]);
	s->oldest = o->modified < s->oldest ? o->modified : s->oldest;
	return 0;
}

static int see_one(void *ctx, const struct blob_seen *o)
{
	(void)see(ctx, o);
	return 1;
}

static void a_list_names_every_object_once_and_in_order(void **state)
{
	struct scene *x = *state;
	struct id16 spaces[2] = { random_id(), random_id() };
	const int64_t now = x->env->wall_ns(x->env->ctx) / 1000000000;

	for (size_t i = 0; i < MANY; i++) {
		struct id16 id = random_id();

		assert_int_equal(blob_put(x->b, &spaces[i % 2], &id, bytes_str("x")), 0);
	}
	for (unsigned pass = 0; pass < 2; pass++) {
		struct seen s = { .spaces = spaces, .oldest = INT64_MAX };
		int n;

		do
			n = blob_list(
				x->b, &(struct blob_seen){ s.last.space, s.last.object, 0 }, pass ? see_one : see, &s);
		while (n > 0);
		assert_int_equal(n, 0);
		assert_int_equal(s.n[0], MANY / 2);
		assert_int_equal(s.n[1], MANY / 2);
		assert_true(s.oldest > now - 3600 && s.last.modified < now + 3600);
	}
}

/* --- processes that die --- */

static size_t tmp_files(const struct scene *x)
{
	char command[200], text[32];
	FILE *f;

	snprintf(command, sizeof command, "find '%s/tmp' -type f | wc -l", x->dir);
	assert_non_null(f = popen(command, "r"));
	assert_non_null(fgets(text, sizeof text, f));
	pclose(f);
	return strtoul(text, NULL, 10);
}

static unsigned preads;

static ssize_t die_at_second(void *ctx, int fd, void *p, size_t n, off_t off)
{
	if (++preads == 2)
		_exit(0);
	return env_system()->pread(ctx, fd, p, n, off);
}

static ssize_t fail_at_second(void *ctx, int fd, void *p, size_t n, off_t off)
{
	return ++preads == 2 ? ERR_IO : env_system()->pread(ctx, fd, p, n, off);
}

/* A process that dies with a file half sent. */
static void die_uploading(struct scene *x, const uint8_t *data)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct env env = *env_system();
		struct id16 id = random_id();
		struct blobs *b;

		env.pread = die_at_second;
		preads = 0;
		if (blob_open(&env, &x->place, &b) < 0 ||
			(blob_spool_keep(spool(x, b, data, LARGE), &x->space, &id) < 0 && x->place.s3))
			_exit(1);
		_exit(x->place.s3 ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_dead_process_leaves_no_files_and_a_living_one_keeps_its(void **state)
{
	struct scene *x = *state;
	uint8_t *data = noise(LARGE);
	struct blob_spool *own = spool(x, x->b, data, 1000);
	struct blobs *second;
	struct id16 id = random_id();

	die_uploading(x, data);
	assert_true(tmp_files(x) >= 1);
	assert_int_equal(blob_open(x->env, &x->place, &second), 0);
	assert_int_equal(tmp_files(x), 1);
	assert_int_equal(blob_tidy(second, 0), 0);
	assert_int_equal(tmp_files(x), 1);
	blob_close(second);
	assert_int_equal(blob_spool_keep(own, &x->space, &id), 0);
	blob_spool_free(own);
	assert_int_equal(blob_size(x->b, &x->space, &id), 1000);
	assert_int_equal(tmp_files(x), 0);
	free(data);
}

/* --- the folder alone --- */

static void a_failing_disk_leaves_nothing_under_the_name(void **state)
{
	struct scene *x = *state;
	struct fake_env *f = fake_env_new(FAKE_REAL, 3);
	struct buf got = BUF_INIT(100);
	struct blobs *b;

	assert_int_equal(blob_open(fake_env_get(f), &x->place, &b), 0);
	for (unsigned long n = 1;; n++) {
		struct id16 id = random_id();
		int err;

		fake_env_fail(f, FAKE_ANY, n, ERR_NO_SPACE, false);
		err = blob_put(b, &x->space, &id, bytes_str("some bytes"));
		if (!fake_env_failed(f))
			break;
		fake_env_fail(f, FAKE_ANY, 0, 0, false);
		if (err < 0)
			assert_int_equal(blob_get(b, &x->space, &id, 0, 1, &got), ERR_NOT_FOUND);
	}
	blob_close(b);
	assert_int_equal(tmp_files(x), 0);
	fake_env_free(f);
}

/* --- the bucket alone --- */

static size_t uploads(const struct scene *x)
{
	struct buf xml = BUF_INIT(1 << 20);
	struct s3 *s;
	size_t n = 0;

	assert_int_equal(s3_open(x->env, &endpoint.options, &s), 0);
	assert_int_equal(s3_do(s, &(struct s3_call){ .method = "GET", .query = "uploads=", .ret = &xml }, NULL), 0);
	assert_int_equal(buf_put_u8(&xml, 0), 0);
	for (const char *p = (const char *)xml.data; (p = strstr(p, "<UploadId>")); p++)
		n++;
	s3_close(s);
	buf_release(&xml);
	return n;
}

/* Of other tests. */
static void tidy_all(struct scene *x)
{
	assert_int_equal(blob_tidy(x->b, x->env->wall_ns(x->env->ctx) / 1000000000 + 3600), 0);
	assert_int_equal(uploads(x), 0);
}

static void parts_of_a_failed_upload_are_given_up(void **state)
{
	struct scene *x = *state;
	struct env env = *env_system();
	struct id16 id = random_id();
	uint8_t *data = noise(LARGE);
	struct blob_spool *s;
	struct blobs *b;

	tidy_all(x);
	env.pread = fail_at_second;
	preads = 0;
	assert_int_equal(blob_open(&env, &x->place, &b), 0);
	s = spool(x, b, data, LARGE);
	assert_int_equal(blob_spool_keep(s, &x->space, &id), ERR_IO);
	assert_int_equal(uploads(x), 0);
	assert_int_equal(blob_spool_keep(s, &x->space, &id), 0);
	assert_int_equal(blob_size(x->b, &x->space, &id), LARGE);
	blob_spool_free(s);
	blob_close(b);
	free(data);
}

static void parts_of_a_dead_process_are_found_when_they_are_old(void **state)
{
	struct scene *x = *state;
	const int64_t now = x->env->wall_ns(x->env->ctx) / 1000000000;
	uint8_t *data = noise(LARGE);

	tidy_all(x);
	die_uploading(x, data);
	assert_int_equal(uploads(x), 1);
	assert_int_equal(blob_tidy(x->b, now - 3600), 0);
	assert_int_equal(uploads(x), 1);
	assert_int_equal(blob_tidy(x->b, now + 3600), 0);
	assert_int_equal(uploads(x), 0);
	free(data);
}

static void a_wrong_secret_or_bucket_is_told_apart(void **state)
{
	struct scene *x = *state;
	struct s3_options o = endpoint.options;
	struct blob_place place = { .dir = x->dir, .s3 = &o };
	struct blobs *b;

	o.secret_key = "wrong";
	assert_int_equal(blob_open(x->env, &place, &b), ERR_FORBIDDEN);
	o = endpoint.options;
	o.bucket = "nobodys";
	assert_int_equal(blob_open(x->env, &place, &b), ERR_ABSENT);
	o = endpoint.options;
	o.prefix = "relay/one-";
	assert_int_equal(blob_open(x->env, &place, &b), 0);
	blob_close(b);
}

static void relays_of_one_bucket_are_apart_by_prefix(void **state)
{
	struct scene *x = *state;
	struct s3_options o = endpoint.options;
	struct blob_place place = { .dir = x->dir, .s3 = &o };
	struct id16 id = random_id(), spaces[2] = { x->space, random_id() };
	struct seen s = { .spaces = spaces, .oldest = INT64_MAX };
	struct blobs *b;

	o.prefix = "two/";
	assert_int_equal(blob_open(x->env, &place, &b), 0);
	assert_int_equal(blob_put(b, &x->space, &id, bytes_str("x")), 0);
	assert_int_equal(blob_size(x->b, &x->space, &id), ERR_NOT_FOUND);
	assert_int_equal(blob_list(b, &(struct blob_seen){ 0 }, see, &s), 1);
	assert_int_equal(s.n[0], 1);
	blob_close(b);
}

/* --- with a store --- */

struct home {
	struct fake_env *env;
	struct relay relay;
	struct depot *reader;
};

static struct config *config_of(const struct scene *x, const char *data, const char *prefix)
{
	struct config_fault f;
	struct config *c;
	const char *const s3[][2] = { { "storage.backend", "s3" }, { "storage.s3_endpoint", endpoint.url },
		{ "storage.s3_bucket", "coffer" }, { "storage.s3_access_key", "test:tester" },
		{ "storage.s3_secret_key", "testing" }, { "storage.s3_prefix", prefix } };

	assert_int_equal(config_new(&c), 0);
	assert_int_equal(config_set(c, "storage.data", data, &f), 0);
	for (size_t i = 0; x->place.s3 && i < COUNT(s3); i++)
		assert_int_equal(config_set(c, s3[i][0], s3[i][1], &f), 0);
	if (config_finish(c, &f) < 0)
		fail_msg("%s", f.text);
	return c;
}

static void open_home(struct home *h, struct scene *x, const char *name, const char *prefix)
{
	char data[200];

	snprintf(data, sizeof data, "%s/%s", x->dir, name);
	h->env = fake_env_new(FAKE_REAL, (uint64_t)name[0]);
	fake_env_set_wall(h->env, env_system()->wall_ns(env_system()->ctx));
	assert_int_equal(relay_open(&h->relay, fake_env_get(h->env), config_of(x, data, prefix)), 0);
	assert_int_equal(depot_open_reader(h->relay.store, &h->reader), 0);
}

static void close_home(struct home *h)
{
	depot_close(h->reader);
	relay_close(&h->relay);
	fake_env_free(h->env);
}

static void pass_hours(struct home *h, int n)
{
	fake_env_advance(h->env, n * 3600000000000ll);
}

static void apply(struct home *h, const struct sweep_list *l)
{
	assert_int_equal(depot_begin(h->relay.store), 0);
	assert_int_equal(sweep_apply(&h->relay, l), 0);
	assert_int_equal(depot_commit(h->relay.store), 0);
}

static size_t orphans(struct home *h)
{
	struct blob_seen at = { 0 };
	struct sweep_list l;
	size_t n = 0;
	int more;

	do {
		more = sweep_orphans(&h->relay, h->reader, &at, &l);
		assert_true(more >= 0);
		apply(h, &l);
		n += l.n;
	} while (more);
	return n;
}

static size_t garbage(struct home *h)
{
	struct sweep_list l;

	assert_int_equal(sweep_garbage(&h->relay, h->reader, &l), 0);
	apply(h, &l);
	return l.n;
}

/* A chunk and a file with their rows; *ret_object: the file's. */
static void store_both(struct home *h, struct id16 *ret_space, struct id16 *ret_object)
{
	struct depot *s = h->relay.store;
	struct depot_space sp = { .id = random_id(), .retention = 1 };
	struct depot_chunk c = { .id = random_id(), .size = 9, .object = random_id(), .durable = true, .summed = true };
	struct depot_plain plain = { .id = random_id(), .cursor = 1 };
	const struct id16 sum = blob_sum(bytes_str("some file"));
	struct depot_item it = {
		.kind = DEPOT_FILE, .id = random_id(), .cursor = 1, .size = 9, .blob = bytes_of(sum.b, 16)
	};
	struct id16 object = random_id();

	it.object = it.link = bytes_of(object.b, 16);
	c.sum = blob_sum(bytes_str("one chunk"));
	assert_int_equal(blob_put(h->relay.blobs, &sp.id, &c.object, bytes_str("one chunk")), 0);
	assert_int_equal(blob_put(h->relay.blobs, &plain.id, &object, bytes_str("some file")), 0);
	assert_int_equal(depot_begin(s), 0);
	assert_int_equal(depot_space_create(s, &sp), 0);
	assert_int_equal(depot_chunk_put(s, sp.no, &c, bytes_of(NULL, 0), bytes_of(NULL, 0)), 0);
	assert_int_equal(depot_plain_create(s, &plain), 0);
	assert_int_equal(depot_item_put(s, plain.no, &it), 0);
	assert_int_equal(depot_commit(s), 0);
	*ret_space = plain.id;
	*ret_object = object;
}

static void what_a_crash_left_without_a_row_goes_in_two_steps(void **state)
{
	struct scene *x = *state;
	struct id16 space, object, lost = random_id();
	struct home h;

	open_home(&h, x, "one", "crash/");
	assert_int_equal(sweep_owns_objects(&h.relay), 1);
	assert_int_equal(sweep_owns_objects(&h.relay), 1);
	store_both(&h, &space, &object);
	assert_int_equal(blob_put(h.relay.blobs, &space, &lost, bytes_str("cut off")), 0);
	assert_int_equal(orphans(&h), 0); /* its row may be under way */
	pass_hours(&h, 25);
	assert_int_equal(orphans(&h), 1);
	assert_int_equal(orphans(&h), 0);
	assert_int_equal(garbage(&h), 0);
	assert_int_equal(blob_size(h.relay.blobs, &space, &lost), 7);
	pass_hours(&h, 2);
	assert_int_equal(garbage(&h), 1);
	assert_int_equal(garbage(&h), 0);
	assert_int_equal(blob_size(h.relay.blobs, &space, &lost), ERR_NOT_FOUND);
	assert_int_equal(blob_size(h.relay.blobs, &space, &object), 9);
	assert_int_equal(orphans(&h), 0);
	close_home(&h);
}

static void a_second_relay_takes_no_orphans_of_the_first(void **state)
{
	struct scene *x = *state;
	struct home first, second;

	open_home(&first, x, "one", "shared/");
	open_home(&second, x, "two", "shared/");
	assert_int_equal(sweep_owns_objects(&first.relay), 1);
	assert_int_equal(sweep_owns_objects(&second.relay), 0);
	assert_int_equal(sweep_owns_objects(&first.relay), 1);
	close_home(&second);
	close_home(&first);
}

static void uploads_of_one_chunk_never_lose_it(void **state)
{
	struct scene *x = *state;
	struct home h;
	uint8_t *data = noise(100000);
	struct depot_space sp = { .id = random_id(), .retention = 1 };
	struct chunk_new one = { .space = sp.id, .id = random_id(), .blob = bytes_of(data, 100000) }, two = one,
			 late = one, other = one;
	struct buf got = BUF_INIT(1 << 20);
	struct depot_chunk c;

	other.blob.len--;
	open_home(&h, x, "one", "chunk/");
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(depot_space_create(h.relay.store, &sp), 0);
	assert_int_equal(depot_commit(h.relay.store), 0);

	/* two at once: both bring their bytes, one gets the row, the other's go */
	assert_int_equal(chunk_keep(&h.relay, h.reader, sp.no, &one), 1);
	assert_int_equal(chunk_keep(&h.relay, h.reader, sp.no, &two), 1);
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(chunk_store(&h.relay, sp.no, &one), 1);
	assert_int_equal(chunk_store(&h.relay, sp.no, &two), 0);
	assert_int_equal(chunk_drop(&h.relay, &two), 0);
	assert_int_equal(depot_commit(h.relay.store), 0);
	pass_hours(&h, 2);
	assert_int_equal(garbage(&h), 1);
	assert_int_equal(depot_chunk_find(h.reader, sp.no, &one.id, &c), 0);
	assert_int_equal(chunk_read(&h.relay, h.reader, &sp.id, &c, 0, c.size, &got), 0);
	unit_assert_bytes(buf_bytes(&got), one.blob);

	/* one that found it there comes to store when it is gone */
	assert_int_equal(chunk_keep(&h.relay, h.reader, sp.no, &other), ERR_CONFLICT);
	assert_int_equal(chunk_keep(&h.relay, h.reader, sp.no, &late), 0);
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(chunk_store(&h.relay, sp.no, &other), ERR_CONFLICT);
	assert_int_equal(depot_garbage_put(h.relay.store, &sp.id, &c.object, 0), 0);
	assert_int_equal(depot_chunk_remove(h.relay.store, sp.no, &c), 0);
	assert_int_equal(chunk_store(&h.relay, sp.no, &late), ERR_AGAIN);
	assert_int_equal(depot_commit(h.relay.store), 0);
	assert_int_equal(chunk_keep(&h.relay, h.reader, sp.no, &late), 1);
	assert_int_equal(garbage(&h), 1);
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(chunk_store(&h.relay, sp.no, &late), 1);
	assert_int_equal(depot_commit(h.relay.store), 0);
	buf_clear(&got);
	assert_int_equal(depot_chunk_find(h.reader, sp.no, &late.id, &c), 0);
	assert_int_equal(chunk_read(&h.relay, h.reader, &sp.id, &c, 0, c.size, &got), 0);
	unit_assert_bytes(buf_bytes(&got), late.blob);
	buf_release(&got);
	close_home(&h);
	free(data);
}

/* As the writer does after a commit that reports a failure and has stood all the same: all of it is done a second time. */
static void a_chunk_stored_twice_by_one_upload_stays(void **state)
{
	struct scene *x = *state;
	struct home h;
	uint8_t *data = noise(100000);
	struct depot_space sp = { .id = random_id(), .retention = 1 };
	struct chunk_new one = { .space = sp.id, .id = random_id(), .blob = bytes_of(data, 100000) };
	struct buf got = BUF_INIT(1 << 20);
	struct depot_chunk c;

	open_home(&h, x, "one", "again/");
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(depot_space_create(h.relay.store, &sp), 0);
	assert_int_equal(depot_commit(h.relay.store), 0);
	assert_int_equal(chunk_keep(&h.relay, h.reader, sp.no, &one), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(depot_begin(h.relay.store), 0);
		assert_int_equal(chunk_store(&h.relay, sp.no, &one), 1);
		assert_int_equal(depot_commit(h.relay.store), 0);
	}
	/* refused the second time, for want of room or because the caller was removed after it */
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(chunk_drop(&h.relay, &one), 0);
	assert_int_equal(depot_commit(h.relay.store), 0);
	pass_hours(&h, 2);
	assert_int_equal(garbage(&h), 0);
	/* whoever lists it, an object with a row is no garbage; the list forgets it */
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(depot_garbage_put(h.relay.store, &sp.id, &one.object, 0), 0);
	assert_int_equal(depot_commit(h.relay.store), 0);
	assert_int_equal(garbage(&h), 1);
	assert_int_equal(garbage(&h), 0);
	assert_int_equal(depot_chunk_find(h.reader, sp.no, &one.id, &c), 0);
	assert_int_equal(chunk_read(&h.relay, h.reader, &sp.id, &c, 0, c.size, &got), 0);
	unit_assert_bytes(buf_bytes(&got), one.blob);
	buf_release(&got);
	close_home(&h);
	free(data);
}

static int store_file(struct home *h, struct job *j)
{
	assert_int_equal(depot_begin(h->relay.store), 0);
	assert_int_equal(method_file_store.run(&h->relay, j, h->relay.store), 0);
	assert_int_equal(depot_commit(h->relay.store), 0);
	return j->status;
}

/* An upload into a personal space that is up to its last step. */
static struct job *upload(struct home *h, const struct id16 *space, const struct id16 *file, const struct id16 *record)
{
	struct job *j = job_new(&method_file_store, 0, NULL);
	struct file_job *f = file_job_new();

	assert_true(j && f);
	j->state = f;
	j->space = *space;
	j->chunk = *file;
	f->record = *record;
	f->asked = f->right.personal = true;
	f->object = random_id();
	assert_int_equal(blob_spool_new(h->relay.blobs, &f->spool), 0);
	assert_int_equal(blob_spool_write(f->spool, bytes_str("some file")), 0);
	assert_int_equal(blob_spool_keep(f->spool, space, &f->object), 0);
	return j;
}

static void a_file_stored_twice_by_one_upload_stays(void **state)
{
	struct scene *x = *state;
	struct depot_plain plain = { .id = random_id(), .generation = 1, .min_generation = 1, .cursor = 1 };
	struct depot_item record = {
		.kind = DEPOT_RECORD, .id = random_id(), .cursor = 1, .blob = bytes_str("sealed")
	};
	const struct id16 file = random_id();
	struct home h;
	struct job *one, *two;

	open_home(&h, x, "one", "again/");
	assert_int_equal(depot_begin(h.relay.store), 0);
	assert_int_equal(depot_plain_create(h.relay.store, &plain), 0);
	assert_int_equal(depot_item_put(h.relay.store, plain.no, &record), 0);
	assert_int_equal(depot_commit(h.relay.store), 0);
	one = upload(&h, &plain.id, &file, &record.id);
	two = upload(&h, &plain.id, &file, &record.id);
	assert_int_equal(store_file(&h, one), 201);
	job_drop_results(&h.relay, one);
	assert_int_equal(store_file(&h, one), 201);
	assert_non_null(one->notices);
	assert_int_equal(store_file(&h, two), 204);
	pass_hours(&h, 2);
	assert_int_equal(garbage(&h), 1);
	assert_int_equal(blob_size(h.relay.blobs, &plain.id, &((struct file_job *)one->state)->object), 9);
	assert_int_equal(blob_size(h.relay.blobs, &plain.id, &((struct file_job *)two->state)->object), ERR_NOT_FOUND);
	job_free(&h.relay, one);
	job_free(&h.relay, two);
	close_home(&h);
}

static void list_as_garbage(struct home *h, const struct id16 *space, const struct id16 *object)
{
	assert_int_equal(depot_begin(h->relay.store), 0);
	assert_int_equal(depot_garbage_put(h->relay.store, space, object, relay_now(&h->relay)), 0);
	assert_int_equal(depot_commit(h->relay.store), 0);
}

/* More than a page of them, and older than what can be removed. */
static void an_object_that_cannot_be_removed_holds_up_no_other(void **state)
{
	struct scene *x = *state;
	const struct id16 space = random_id(), good = random_id();
	struct id16 bad = random_id();
	char path[300], text[ID16_TEXT_SIZE], object[ID16_TEXT_SIZE];
	struct sweep_list l;
	struct home h;

	open_home(&h, x, "one", "stuck/");
	assert_int_equal(blob_put(h.relay.blobs, &space, &good, bytes_str("x")), 0);
	id16_format(&space, text);
	for (unsigned i = 0; i < SWEEP_MANY; i++) {
		bad.b[0] = good.b[0]; /* the folder is there */
		bad.b[14] = (uint8_t)(i >> 8);
		bad.b[15] = (uint8_t)i;
		id16_format(&bad, object);
		snprintf(path, sizeof path, "%s/one/chunks/%s/%.2s/%s", x->dir, text, object, object);
		assert_int_equal(mkdir(path, 0700), 0);
		list_as_garbage(&h, &space, &bad);
	}
	fake_env_advance(h.env, 1000000000);
	list_as_garbage(&h, &space, &good);
	pass_hours(&h, 2);
	assert_true(sweep_garbage(&h.relay, h.reader, &l) < 0);
	assert_int_equal(l.n, SWEEP_MANY);
	assert_int_equal(l.gone, 0);
	apply(&h, &l);
	assert_int_equal(garbage(&h), 1);
	assert_int_equal(blob_size(h.relay.blobs, &space, &good), ERR_NOT_FOUND);
	assert_int_equal(garbage(&h), 0);
	pass_hours(&h, 2); /* tried again, and gone when it can be */
	assert_int_equal(rmdir(path), 0);
	assert_true(sweep_garbage(&h.relay, h.reader, &l) < 0);
	assert_int_equal(l.gone, 1);
	close_home(&h);
}

static void say_bad(void *ctx, const char *what, const struct id16 *id, const char *why)
{
	(void)id, (void)why;
	assert_string_equal(what, ctx);
}

static uint64_t damaged(struct scene *x, const char *prefix, const char *what)
{
	struct scrub s = { .bad = say_bad, .ctx = (void *)what };
	struct config *c;
	char data[200];

	snprintf(data, sizeof data, "%s/one", x->dir);
	c = config_of(x, data, prefix);
	assert_int_equal(scrub_run(&s, env_system(), c), 0);
	config_free(c);
	assert_int_equal(s.files, 1);
	assert_int_equal(s.chunks, 1);
	return s.damaged;
}

static void a_check_reads_files(void **state)
{
	struct scene *x = *state;
	struct id16 space, object;
	struct home h;

	open_home(&h, x, "one", "check/");
	store_both(&h, &space, &object);
	assert_int_equal(damaged(x, "check/", "none"), 0);
	assert_int_equal(blob_put(h.relay.blobs, &space, &object, bytes_str("some filE")), 0);
	assert_int_equal(damaged(x, "check/", "file"), 1);
	assert_int_equal(blob_put(h.relay.blobs, &space, &object, bytes_str("some")), 0);
	assert_int_equal(damaged(x, "check/", "file"), 1);
	assert_int_equal(blob_remove(h.relay.blobs, &space, &object), 0);
	assert_int_equal(damaged(x, "check/", "file"), 1);
	close_home(&h);
}

#define PAGE(keys) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult>" keys "</ListBucketResult>"
#define ENTRY(key) "<Contents><Key>" key "</Key><LastModified>2026-11-21T08:30:52.000Z</LastModified></Contents>"
#define OURS "30000000-0000-0000-0000-000000000000/40000000-0000-0000-0000-000000000000"

static int list_script(const char *const *script, size_t n, size_t *ret_n)
{
	const struct id16 spaces[2] = { { { 0x30 } }, { { 0x31 } } };
	struct seen s = { .spaces = spaces };
	struct s3_script e;
	struct scene x;
	int got;

	s3_script_start(&e, script, n);
	make_scene(&x, &e.options);
	got = blob_list(x.b, &(struct blob_seen){ 0 }, see, &s);
	remove_scene(&x);
	s3_script_stop(&e);
	*ret_n = s.n[0];
	return got;
}

static void keys_of_others_do_not_end_a_list(void **state)
{
	static const char *const others[] = { PAGE(""), PAGE(ENTRY("1") ENTRY("2")), PAGE(ENTRY("2.5")),
		PAGE(ENTRY("3") ENTRY(OURS)), PAGE("") },
				 *const alone[] = { PAGE(""), PAGE(ENTRY("1")), PAGE("") },
				 *const stuck[] = { PAGE(""), PAGE(ENTRY("1") ENTRY("2")) };
	size_t n;

	(void)state;
	assert_int_equal(list_script(others, COUNT(others), &n), 1);
	assert_int_equal(n, 1);
	assert_int_equal(list_script(alone, COUNT(alone), &n), 0);
	assert_int_equal(list_script(stuck, COUNT(stuck), &n), ERR_IO);
	assert_int_equal(n, 0);
}

#define NOT_FOUND(body) "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" body
#define WORD(code) NOT_FOUND("<Error><Code>" code "</Code></Error>")

static int64_t size_of_script(const char *const *script, size_t n)
{
	const struct id16 space = random_id(), object = random_id();
	struct s3_script e;
	struct scene x;
	int64_t size;

	s3_script_start(&e, script, n);
	make_scene(&x, &e.options);
	size = blob_size(x.b, &space, &object);
	remove_scene(&x);
	s3_script_stop(&e);
	return size;
}

/* A HEAD's answer has no word. Whoever took it for the object's would call every object gone when the bucket is. */
static void an_object_is_gone_only_by_the_buckets_word(void **state)
{
	static const char *const gone[] = { PAGE(""), NOT_FOUND(""), WORD("NoSuchKey") },
				 *const bucket[] = { PAGE(""), NOT_FOUND(""), WORD("NoSuchBucket") },
				 *const proxy[] = { PAGE(""), NOT_FOUND(""), NOT_FOUND("<html>lost</html>") },
				 *const there[] = { PAGE(""), NOT_FOUND(""),
					 "HTTP/1.1 206 Partial Content\r\nConnection: close\r\n\r\nx" };

	(void)state;
	assert_int_equal(size_of_script(gone, COUNT(gone)), ERR_NOT_FOUND);
	assert_int_equal(size_of_script(bucket, COUNT(bucket)), ERR_OFFLINE);
	assert_int_equal(size_of_script(proxy, COUNT(proxy)), ERR_OFFLINE);
	assert_int_equal(size_of_script(there, COUNT(there)), ERR_OFFLINE);
}

#define BOTH(f) \
	{ #f " (folder)", f, in_folder, close_scene, NULL }, \
	{ \
#f " (S3)", f, in_bucket, close_scene, NULL \
	}
#define BUCKET(f) cmocka_unit_test_setup_teardown(f, in_bucket, close_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(what_was_put_is_read_by_range),
		BOTH(what_is_removed_is_gone),
		BOTH(put_again_changes_nothing),
		BOTH(a_spooled_file_is_kept_whole),
		BOTH(a_list_names_every_object_once_and_in_order),
		BOTH(what_a_crash_left_without_a_row_goes_in_two_steps),
		BOTH(uploads_of_one_chunk_never_lose_it),
		BOTH(a_chunk_stored_twice_by_one_upload_stays),
		BOTH(a_file_stored_twice_by_one_upload_stays),
		BOTH(a_check_reads_files),
		BUCKET(a_second_relay_takes_no_orphans_of_the_first),
		cmocka_unit_test_setup_teardown(a_failing_disk_leaves_nothing_under_the_name, in_folder, close_scene),
		BUCKET(a_dead_process_leaves_no_files_and_a_living_one_keeps_its),
		BUCKET(parts_of_a_failed_upload_are_given_up),
		BUCKET(parts_of_a_dead_process_are_found_when_they_are_old),
		BUCKET(a_wrong_secret_or_bucket_is_told_apart),
		BUCKET(relays_of_one_bucket_are_apart_by_prefix),
		cmocka_unit_test(keys_of_others_do_not_end_a_list),
		cmocka_unit_test(an_object_is_gone_only_by_the_buckets_word),
		cmocka_unit_test_setup_teardown(
			an_object_that_cannot_be_removed_holds_up_no_other, in_folder, close_scene),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(crypto_init(), 0);
	s3_endpoint_start(&endpoint);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	s3_endpoint_stop(&endpoint);
	return failed;
}
