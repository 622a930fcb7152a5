/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3: one request to a bucket that speaks Amazon's S3 API: path style, signed (SigV4, libcurl's), body and answer in
 * memory. A request that got no answer, 5xx or 429 is made again after a pause that grows; all that this project asks
 * may be repeated.
 *
 *	struct s3 *s;
 *	s3_open(env, &options, &s);
 *	err = s3_do(s, &(struct s3_call){ .method = "PUT", .key = "a/b", .body = bytes }, &answer);
 *	s3_close(s);
 *
 * The hash of a body is signed with it, so that the other side refuses what was changed on the way; an answer that is
 * shorter than it says is none. Each thread at work has a connection of its own, kept for the next.
 *
 * What libcurl 7.88 wants to sign right: parameters of the query in order, each with "=", values percent-encoded; the
 * body's hash in x-amz-content-sha256 by the caller; no header taken away. Source: AWS Signature Version 4 reference.
 */
#ifndef COFFER_SERVER_S3_H
#define COFFER_SERVER_S3_H

#include "base/buf.h"
#include "base/env.h"

#define S3_KEY_MAX 256
#define S3_ETAG_MAX 80

struct s3_options {
	const char *endpoint; /* http[s]://HOST[:PORT] */
	const char *bucket, *region, *access_key, *secret_key;
	const char *prefix;       /* of all keys: "" or ending in "/" */
	/* below 1 KiB/s; however long a transfer takes that moves. After twice that a request is not repeated */
	uint64_t timeout_seconds;
};

struct s3;

/* Copies the options. ERR_NOMEM. */
int s3_open(const struct env *env, const struct s3_options *options, struct s3 **ret_s) MUST_CHECK;
void s3_close(struct s3 *s); /* NULL is allowed */
/* Requests under way and later ones end with ERR_CANCELLED. Any thread. */
void s3_give_up(struct s3 *s);

struct s3_call {
	const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE" */
	const char *key;    /* of A-Z a-z 0-9 - . _ / ; without the prefix; NULL: the bucket itself */
	const char *query;  /* as it is signed, see above; NULL: none */
	struct bytes body;
	bool has_range;
	uint64_t from, n;
	struct buf *ret; /* the answer is appended; NULL: none is wanted */
};

struct s3_answer {
	char etag[S3_ETAG_MAX];
	int64_t length; /* Content-Length; -1: not told */
};

/* ERR_NOT_FOUND (404 with the word for what was asked for: NoSuchKey, NoSuchUpload, or NoSuchBucket without a key;
 * HEAD: any 404), ERR_PERMISSION (401, 403), ERR_CORRUPT (416, or another range than asked for), ERR_OFFLINE (no
 * answer, or any other 404), ERR_CANCELLED, ERR_RANGE (more than ret takes), ERR_NOMEM, ERR_IO (anything else; the log
 * says what). ret_a may be NULL. */
int s3_do(struct s3 *s, const struct s3_call *call, struct s3_answer *ret_a) MUST_CHECK;
const char *s3_prefix(const struct s3 *s);

/* Appends text percent-encoded, "/" too. */
int s3_put_encoded(struct buf *b, const char *text) MUST_CHECK;

/* Reads an answer's XML: each(name, text) for every element that holds text alone, each(name, NULL) at the end of every
 * other. It may stop with a value < 0, which is returned. ERR_INVALID: no XML, or with a DTD, or deep, or with long
 * texts. */
typedef int s3_xml_each(void *ctx, const char *name, const char *text);
int s3_xml_read(struct bytes xml, s3_xml_each *each, void *ctx) MUST_CHECK;
/* "2026-11-21T08:30:52.000Z" in unix s; -1: no time. */
int64_t s3_time(const char *text);

#endif
