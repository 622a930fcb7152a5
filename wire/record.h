/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: the sealed, signed state of one node at one version, as bytes. Encodes and decodes; opens and verifies
 * nothing (crypto/ does). All of it is in docs/FORMAT.md "Record".
 *
 * blob   = [ header map, sealed bytes, signature 64 ]                  strict CBOR, at most RECORD_MAX_BLOB bytes
 * header = { 0: format 1, 1: space 16, 2: id 16, 3: version, 4: prev (n*32, ascending, unique), 5: epoch, 6: log head
 * 32,
 *            7: author device 32, 8: chunks named (n*16, ascending, unique), 9: SHA-256 of sealed, 10: flags }
 * The signature covers RECORD_LABEL and the encoded header. The AEAD's additional data is the header without key 9.
 * The record's hash (prev, lines) is SHA-256 of the whole blob.
 *
 * body   = the plaintext inside `sealed`: struct node_body.
 */
#ifndef COFFER_WIRE_RECORD_H
#define COFFER_WIRE_RECORD_H

#include "base/buf.h"
#include "base/id.h"

#define RECORD_FORMAT 1
#define RECORD_MAX_BLOB (256u * 1024)
#define RECORD_MAX_PREV 16
#define RECORD_MAX_VERSION UINT64_MAX /* what follows it has the same number */
#define RECORD_MAX_CHUNKS 64
#define RECORD_LABEL "coffer/record/1"
/* the one flag: a version that the author keeps rewriting; history may drop it once replaced */
#define RECORD_PASSING 1u

struct record_header {
	struct id16 space, id;
	uint64_t version;      /* 1 for the first, then one more each time */
	struct bytes prev;     /* concatenated 32-byte hashes, strictly ascending; empty: the id is new */
	uint64_t epoch;
	struct id32 log_head;  /* hash of the newest log entry the author had applied */
	struct id32 author;    /* device */
	struct bytes chunks;   /* concatenated 16-byte ids named directly by the body's content, strictly ascending */
	struct id32 sealed_hash;
	uint64_t flags;
};

struct record {
	struct record_header h;
	struct bytes header;   /* its encoding inside the blob: what is signed */
	struct bytes sealed;
	uint8_t signature[64];
};

/* Appends the encoded header; with_hash 0 leaves key 9 out (the AEAD's additional data). */
int record_put_header(struct buf *b, const struct record_header *h, int with_hash) MUST_CHECK;

/* Appends a blob from its three parts. */
int record_put(struct buf *b, struct bytes header, struct bytes sealed, const uint8_t signature[64]) MUST_CHECK;

/* Decodes a blob; views in *ret_r point into it. Checks structure, canonical form and caps, not the signature. */
int record_decode(struct bytes blob, struct record *ret_r) MUST_CHECK;

enum node_kind {
	NODE_FILE = 1, NODE_DIR = 2, NODE_SYMLINK = 3, NODE_FIFO = 4, NODE_SOCKET = 5, NODE_CHAR = 6, NODE_BLOCK = 7,
	/* personal space only: one entry of the person's list of spaces; inline CBOR (fusefs/listing.h) */
	NODE_PROFILE = 32
};

#define NODE_MAX_LINKS 1000
#define NODE_MAX_XATTRS 1024
#define NODE_MAX_XATTR_BYTES (64u * 1024)
#define NODE_MAX_NAME 255
#define NODE_MAX_TARGET 4095
#define NODE_INLINE_MAX 1024 /* of a file; of a NODE_PROFILE 32 KiB, because it has no chunks */
#define NODE_MAX_SLICES 64   /* direct entries in a record */
#define INDEX_MAX_SLICES 512 /* entries in an index chunk */
#define INDEX_MAX_DEPTH 3
#define CHUNK_MAX_PLAIN (1u << 20)

/* A piece of content: `len` bytes of the file from `at` are the bytes from `from` of the chunk's plaintext. In an index
 * entry (depth > 0) the chunk is an index chunk that covers [at, at+len) and `from` is 0. Ascending, not overlapping;
 * what no slice covers is zeros. An index chunk does not say its depth: it is one less than that of the slice naming
 * it. CBOR: [at, len, from, chunk_len, id, key, hash]. */
struct slice {
	uint64_t at, len;
	uint32_t from;
	uint32_t chunk_len;    /* plaintext bytes of the whole chunk, 1..CHUNK_MAX_PLAIN */
	struct id16 chunk;
	uint8_t key[32];       /* secret */
	struct id32 hash;      /* keyed BLAKE2b of the chunk's plaintext */
};

struct node_link {
	struct id16 id;            /* random, made by link or create; a rename keeps it */
	struct id16 parent;        /* node id of a directory; the space's root is the zero id */
	/* the parent before, at the last synced state (of a new link: parent); repairs cycles */
	struct id16 synced_parent;
	struct bytes name;         /* 1..255 bytes, no '/', no NUL, not "." or ".." */
};

struct node_xattr {
	struct bytes name;   /* 1..255 bytes */
	struct bytes value;
};

enum content_form { CONTENT_NONE = 0, CONTENT_INLINE = 1, CONTENT_SLICES = 2 };

/* Plaintext of a record. CBOR map: { 0: format, 1: kind, 2: mode, 3: owner 32, 4: uid, 5: gid, 6: [mtime s, ns],
 * 7: size, 8: content (bytes | [depth, slices]), 9: links, 10: xattrs [[name, value]..] ascending by name,
 * 11: target, 12: rdev, 13: replaces [id, version, hash], 14: deleted true }; absent keys mean empty or zero. */
struct node_body {
	enum node_kind kind;
	bool deleted;          /* a tombstone: kind, mode, last links and replaces are kept, nothing else */
	uint32_t mode;         /* permission, setuid, setgid, sticky bits */
	struct id32 owner;     /* person */
	uint32_t uid, gid;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint64_t size;
	uint64_t rdev;
	enum content_form form;
	struct bytes inline_data;
	unsigned depth;        /* 0: slices of content; n: index chunks of depth n-1 */
	struct slice *slices;
	size_t n_slices;
	struct node_link *links;
	size_t n_links;
	struct node_xattr *xattrs;
	size_t n_xattrs;
	struct bytes target;
	/* this node took the name of another, as a safe save does; then id and version are not 0 */
	bool has_replaces;
	struct id16 replaces_id;
	uint64_t replaces_version;
	struct id32 replaces_hash;
};

/* Appends the encoding. Links and xattrs may be in any order in the struct; they are written sorted (links by id). */
int node_body_put(struct buf *b, const struct node_body *body) MUST_CHECK;

/* Decodes; arrays are allocated and belong to *ret_body, byte views point into `in`, which must outlive it. Refuses
 * names the kernel must never see, unsorted or overlapping slices, sizes that contradict the slices, too many of
 * anything. */
int node_body_decode(struct bytes in, struct node_body *ret_body) MUST_CHECK;

/* Frees the arrays (slices wiped). The struct may be reused. */
void node_body_release(struct node_body *body);

/* 1 if `name` may be a directory entry: 1..255 bytes, no '/' or NUL, not "." or "..". */
int node_name_valid(struct bytes name);

/* One slice inside an array that is being written or read. */
struct cbor_enc;
struct cbor_dec;
void slice_put(struct cbor_enc *e, const struct slice *s);
void slice_get(struct cbor_dec *d, struct slice *ret_s);

/* OK if slices are ascending, do not overlap, lie within [begin, end), and (depth 0) within their chunks; depth > 0
 * says that they are index entries. node_body_decode does this; whoever opens an index chunk does it with what its
 * entry covers. */
int slices_check(const struct slice *slices, size_t n, unsigned depth, uint64_t begin, uint64_t end) MUST_CHECK;

/* Index chunk plaintext: strict CBOR array of slices, at most INDEX_MAX_SLICES. Decoding allocates *ret_slices
 * (free()). */
int index_put(struct buf *b, const struct slice *slices, size_t n) MUST_CHECK;
int index_decode(struct bytes in, struct slice **ret_slices, size_t *ret_n) MUST_CHECK;

#endif
