/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3: objects SPACE/OBJECT of a bucket, under its prefix. What is over PART bytes goes in parts, which the bucket puts together at the
 * end: until then nothing stands under the name. Parts of an upload that failed are given up at once; those of a process that
 * died are found by blob_tidy, which asks for uploads that were begun long ago.
 */
#include "server/blob_engine.h"

#include <stdlib.h>
#include "base/cleanup.h"

#define PART (8u << 20)
#define ANSWER_MAX (8u << 20) /* 1,000 keys are 400 KiB */
#define LIST_MANY 1000
#define UPLOAD_ID_MAX 1024
#define FOREIGN_KEY_SIZE 1025 /* S3 allows keys of 1,024 bytes */

struct s3_blobs {
	struct blobs base;
	struct s3 *s3;
};

static struct s3 *s3_of(struct blobs *b)
{
	return ((struct s3_blobs *)b)->s3;
}

struct key {
	char text[2 * ID16_TEXT_SIZE];
};

static struct key key_of(const struct id16 *space, const struct id16 *object)
{
	struct key k;

	id16_format(space, k.text);
	k.text[ID16_TEXT_SIZE - 1] = '/';
	id16_format(object, k.text + ID16_TEXT_SIZE);
	return k;
}

static int s3_put(struct blobs *b, const struct id16 *space, const struct id16 *object, struct bytes data)
{
	const struct key k = key_of(space, object);

	return s3_do(s3_of(b), &(struct s3_call){ .method = "PUT", .key = k.text, .body = data }, NULL);
}

static int s3_sync(struct blobs *b, const struct id16 *space, const struct id16 *objects, size_t n)
{
	(void)b, (void)space, (void)objects, (void)n;
	return OK;
}

static int s3_get(
	struct blobs *b, const struct id16 *space, const struct id16 *object, uint64_t from, size_t n, struct buf *ret)
{
	const struct key k = key_of(space, object);
	const struct s3_call call = {
		.method = "GET", .key = k.text, .has_range = true, .from = from, .n = n, .ret = ret
	};

	return s3_do(s3_of(b), &call, NULL);
}

static int s3_remove(struct blobs *b, const struct id16 *space, const struct id16 *object)
{
	const struct key k = key_of(space, object);
	int err = s3_do(s3_of(b), &(struct s3_call){ .method = "DELETE", .key = k.text }, NULL);

	return err == ERR_NOT_FOUND ? OK : err;
}

/* A HEAD's 404 has no word that says what is not there: a bucket that is gone, or a proxy, says the same. */
static int ask_again(struct blobs *b, const char *key)
{
	CLEANUP(buf_release) struct buf one = BUF_INIT(1);
	const struct s3_call call = { .method = "GET", .key = key, .has_range = true, .n = 1, .ret = &one };
	int err = s3_do(s3_of(b), &call, NULL);

	return err == OK || err == ERR_CORRUPT ? ERR_OFFLINE /* it is there after all: who said no was not the bucket */
					       : err;
}

static int64_t s3_size(struct blobs *b, const struct id16 *space, const struct id16 *object)
{
	const struct key k = key_of(space, object);
	struct s3_answer a;
	int err = s3_do(s3_of(b), &(struct s3_call){ .method = "HEAD", .key = k.text }, &a);

	if (err == ERR_NOT_FOUND)
		err = ask_again(b, k.text);
	return err < 0 ? err : a.length < 0 ? ERR_IO : a.length;
}

/* --- in parts --- */

struct upload {
	struct blobs *b;
	const char *key;
	char id[UPLOAD_ID_MAX]; /* percent-encoded */
	struct buf parts;       /* the list that puts them together */
};

struct wanted {
	const char *name;
	char *out;
	size_t size;
	bool failed; /* the answer is an error, although its status is 200 */
};

static int find_text(void *ctx, const char *name, const char *text)
{
	struct wanted *w = ctx;

	if (strcmp(name, "Error") == 0)
		w->failed = true;
	if (text && w->name && strcmp(name, w->name) == 0 && strlen(text) < w->size)
		snprintf(w->out, w->size, "%s", text);
	return OK;
}

static int begin_upload(struct upload *u)
{
	CLEANUP(buf_release) struct buf xml = BUF_INIT(ANSWER_MAX), id = BUF_INIT(sizeof u->id);
	char text[UPLOAD_ID_MAX] = "";
	struct wanted w = { .name = "UploadId", .out = text, .size = sizeof text };
	const struct s3_call call = { .method = "POST", .key = u->key, .query = "uploads=", .ret = &xml };
	int err = s3_do(s3_of(u->b), &call, NULL);

	if (err == OK)
		err = s3_xml_read(buf_bytes(&xml), find_text, &w);
	if (err == OK && (!*text || w.failed))
		err = ERR_IO;
	if (err < 0 || (err = s3_put_encoded(&id, text)) < 0 || (err = buf_put_u8(&id, 0)) < 0)
		return err;
	snprintf(u->id, sizeof u->id, "%s", (const char *)id.data);
	return buf_printf(&u->parts, "<CompleteMultipartUpload>");
}

static int send_part(struct upload *u, unsigned number, struct bytes data)
{
	char query[UPLOAD_ID_MAX + 64];
	const struct s3_call call = { .method = "PUT", .key = u->key, .query = query, .body = data };
	struct s3_answer a;
	int err;

	snprintf(query, sizeof query, "partNumber=%u&uploadId=%s", number, u->id);
	if ((err = s3_do(s3_of(u->b), &call, &a)) < 0)
		return err;
	if (!*a.etag || strpbrk(a.etag, "<>&"))
		return ERR_IO;
	return buf_printf(&u->parts, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", number, a.etag);
}

static int end_upload(struct upload *u, uint64_t size, const struct id16 *space, const struct id16 *object)
{
	CLEANUP(buf_release) struct buf xml = BUF_INIT(ANSWER_MAX);
	char query[UPLOAD_ID_MAX + 64];
	struct wanted w = { 0 };
	int err = buf_printf(&u->parts, "</CompleteMultipartUpload>");

	snprintf(query, sizeof query, "uploadId=%s", u->id);
	if (err == OK)
		err = s3_do(s3_of(u->b),
			&(struct s3_call){ .method = "POST",
				.key = u->key,
				.query = query,
				.body = buf_bytes(&u->parts),
				.ret = &xml },
			NULL);
	if (err == OK && (err = s3_xml_read(buf_bytes(&xml), find_text, &w)) == OK && w.failed)
		err = ERR_IO;
	/* The first of several tries may have done it, and its answer been lost. */
	if (err == ERR_NOT_FOUND && s3_size(u->b, space, object) == (int64_t)size)
		err = OK;
	return err;
}

static int abort_upload(struct blobs *b, const char *key, const char *id)
{
	char query[UPLOAD_ID_MAX + 64];
	int err;

	snprintf(query, sizeof query, "uploadId=%s", id);
	err = s3_do(s3_of(b), &(struct s3_call){ .method = "DELETE", .key = key, .query = query }, NULL);
	return err == ERR_NOT_FOUND ? OK : err;
}

static int read_part(struct blobs *b, int fd, uint64_t at, uint64_t size, struct buf *part)
{
	const size_t n = size - at < PART ? (size_t)(size - at) : PART;
	uint8_t *p;
	ssize_t got;
	int err;

	buf_clear(part);
	if ((err = buf_grow(part, n, &p)) < 0)
		return err;
	got = b->env->pread(b->env->ctx, fd, p, n, (off_t)at);
	return got < 0 ? (int)got : (size_t)got != n ? ERR_IO : OK;
}

static int keep_in_parts(
	struct upload *u, int fd, uint64_t size, const struct id16 *space, const struct id16 *object, struct buf *part)
{
	unsigned number = 1;
	int err = begin_upload(u);

	if (err < 0)
		return err;
	for (uint64_t at = 0; at < size && err == OK; at += part->len, number++)
		if ((err = read_part(u->b, fd, at, size, part)) == OK)
			err = send_part(u, number, buf_bytes(part));
	if (err == OK)
		err = end_upload(u, size, space, object);
	if (err < 0 && abort_upload(u->b, u->key, u->id) < 0)
		return err; /* blob_tidy will */
	return err;
}

static int s3_keep(struct blobs *b, int fd, const char *tmp, uint64_t size, const struct id16 *space,
	const struct id16 *object, bool *ret_moved)
{
	const struct key k = key_of(space, object);
	CLEANUP(buf_release) struct buf part = BUF_INIT(PART);
	struct upload u = { .b = b, .key = k.text, .parts = BUF_INIT(1u << 20) };
	int err;

	(void)tmp, (void)ret_moved;
	if (size > PART) {
		err = keep_in_parts(&u, fd, size, space, object, &part);
		buf_release(&u.parts);
		return err;
	}
	if ((err = read_part(b, fd, 0, size, &part)) < 0)
		return err;
	return s3_put(b, space, object, buf_bytes(&part));
}

/* --- what is there --- */

struct listing {
	const char *prefix;
	struct blob_seen seen;
	bool named; /* `seen` is an object of ours */
	blob_each *each;
	void *ctx;
	int n, stopped;
	char last[FOREIGN_KEY_SIZE]; /* key of the page, also of what is not ours; "": it has none */
};

/* PREFIX SPACE/OBJECT */
static bool parse_key(const char *key, const char *prefix, struct blob_seen *ret_seen)
{
	const size_t n = strlen(prefix);

	return strncmp(key, prefix, n) == 0 && strlen(key + n) == 2 * ID16_TEXT_SIZE - 1 &&
	       key[n + ID16_TEXT_SIZE - 1] == '/' && id16_parse(key + n, ID16_TEXT_SIZE - 1, &ret_seen->space) == OK &&
	       id16_parse(key + n + ID16_TEXT_SIZE, ID16_TEXT_SIZE - 1, &ret_seen->object) == OK;
}

static int list_one(void *ctx, const char *name, const char *text)
{
	struct listing *l = ctx;

	if (text && strcmp(name, "Key") == 0) {
		l->named = parse_key(text, l->prefix, &l->seen);
		snprintf(l->last, sizeof l->last, "%s", text);
	} else if (text && strcmp(name, "LastModified") == 0) {
		l->seen.modified = s3_time(text);
	} else if (!text && strcmp(name, "Contents") == 0) {
		if (l->named && l->seen.modified >= 0) {
			l->n++;
			l->stopped = l->each(l->ctx, &l->seen);
		}
		l->named = false;
		return l->stopped ? ERR_CANCELLED : OK;
	}
	return OK;
}

/* The keys behind `after`, as the bucket orders them. */
static int list_page(struct blobs *b, const char *after, struct listing *l)
{
	CLEANUP(buf_release) struct buf xml = BUF_INIT(ANSWER_MAX), query = BUF_INIT(8192);
	int err;

	l->last[0] = '\0';
	if ((err = buf_printf(&query, "list-type=2&max-keys=%d&prefix=", LIST_MANY)) < 0 ||
		(err = s3_put_encoded(&query, l->prefix)) < 0 || (err = buf_printf(&query, "&start-after=")) < 0 ||
		(err = s3_put_encoded(&query, after)) < 0 || (err = buf_put_u8(&query, 0)) < 0)
		return err;
	err = s3_do(
		s3_of(b), &(struct s3_call){ .method = "GET", .query = (const char *)query.data, .ret = &xml }, NULL);
	return err < 0 ? err : s3_xml_read(buf_bytes(&xml), list_one, l);
}

/* Others may keep objects under the same prefix: a page that has only theirs is not the end. */
static int s3_list(struct blobs *b, const struct blob_seen *after, blob_each *each, void *ctx)
{
	const struct key k = key_of(&after->space, &after->object);
	struct listing l = { .prefix = s3_prefix(s3_of(b)), .each = each, .ctx = ctx };
	char from[FOREIGN_KEY_SIZE];
	int err, n = snprintf(from, sizeof from, "%s%s", l.prefix, k.text);

	if (n < 0 || (size_t)n >= sizeof from)
		return ERR_RANGE;
	while ((err = list_page(b, from, &l)) == OK && !l.n && *l.last) {
		if (strcmp(l.last, from) <= 0)
			return ERR_IO; /* it does not move on */
		memcpy(from, l.last, sizeof from);
	}
	if (l.stopped)
		return l.stopped < 0 ? l.stopped : l.n;
	return err < 0 ? err : l.n;
}

struct leftovers {
	struct blobs *b;
	int64_t before, begun;
	struct blob_seen seen;
	bool named;
	char id[UPLOAD_ID_MAX];
	int err;
};

static int abort_one(struct leftovers *l)
{
	CLEANUP(buf_release) struct buf id = BUF_INIT(UPLOAD_ID_MAX);
	const struct key k = key_of(&l->seen.space, &l->seen.object);
	int err;

	if ((err = s3_put_encoded(&id, l->id)) < 0 || (err = buf_put_u8(&id, 0)) < 0)
		return err;
	return abort_upload(l->b, k.text, (const char *)id.data);
}

static int look_at_upload(void *ctx, const char *name, const char *text)
{
	struct leftovers *l = ctx;

	if (text && strcmp(name, "Key") == 0) {
		l->named = parse_key(text, s3_prefix(s3_of(l->b)), &l->seen);
	} else if (text && strcmp(name, "UploadId") == 0) {
		snprintf(l->id, sizeof l->id, "%s", text);
	} else if (text && strcmp(name, "Initiated") == 0) {
		l->begun = s3_time(text);
	} else if (!text && strcmp(name, "Upload") == 0) {
		if (l->named && *l->id && l->begun >= 0 && l->begun < l->before)
			return abort_one(l);
	}
	return OK;
}

static int s3_tidy(struct blobs *b, int64_t before)
{
	CLEANUP(buf_release) struct buf xml = BUF_INIT(ANSWER_MAX), query = BUF_INIT(2048);
	struct leftovers l = { .b = b, .before = before };
	int err;

	blob_tmp_tidy(b);
	if ((err = buf_printf(&query, "prefix=")) < 0 || (err = s3_put_encoded(&query, s3_prefix(s3_of(b)))) < 0 ||
		(err = buf_printf(&query, "&uploads=")) < 0 || (err = buf_put_u8(&query, 0)) < 0)
		return err;
	err = s3_do(
		s3_of(b), &(struct s3_call){ .method = "GET", .query = (const char *)query.data, .ret = &xml }, NULL);
	return err < 0 ? err : s3_xml_read(buf_bytes(&xml), look_at_upload, &l);
}

static void s3_end(struct blobs *b)
{
	blob_base_release(b);
	s3_close(s3_of(b));
	free(b);
}

static void s3_stop(struct blobs *b)
{
	s3_give_up(s3_of(b));
}

static const struct blob_engine engine = {
	.remote = true,
	.close = s3_end,
	.give_up = s3_stop,
	.put = s3_put,
	.sync = s3_sync,
	.get = s3_get,
	.remove = s3_remove,
	.size = s3_size,
	.list = s3_list,
	.tidy = s3_tidy,
	.keep = s3_keep,
};

/* Whether the bucket is there and lets itself be used. */
static int ask_bucket(struct s3 *s)
{
	CLEANUP(buf_release) struct buf xml = BUF_INIT(ANSWER_MAX);
	int err = s3_do(s, &(struct s3_call){ .method = "GET", .query = "list-type=2&max-keys=1", .ret = &xml }, NULL);

	return err == ERR_NOT_FOUND    ? ERR_ABSENT
	       : err == ERR_PERMISSION ? ERR_FORBIDDEN
	       : err == ERR_OFFLINE    ? ERR_TIMEOUT
				       : err;
}

int blob_s3_open(const struct env *env, const struct blob_place *place, bool beside, struct blobs **ret_b)
{
	struct s3_blobs *b = calloc(1, sizeof *b);
	int err;

	if (!b)
		return ERR_NOMEM;
	b->base.dir = b->base.own = -1;
	err = beside ? blob_base_open_beside(&b->base, &engine, env, place->dir)
		     : blob_base_open(&b->base, &engine, env, place->dir);
	if (err == ERR_NOT_FOUND && beside)
		err = OK; /* nothing was on its way yet */
	if (err == OK)
		err = s3_open(env, place->s3, &b->s3);
	if (err == OK)
		err = ask_bucket(b->s3);
	if (err < 0) {
		s3_end(&b->base);
		return err;
	}
	*ret_b = &b->base;
	return OK;
}
