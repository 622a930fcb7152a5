/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plaintext of a record. Keys whose value is empty or zero are absent, arrays are sorted, so that a state has exactly one
 * encoding; the decoder refuses every other. What passes it can be shown to the kernel as far as one node can tell: names,
 * kinds, sizes. What takes other nodes to tell (cycles, parents that are no directories) is the merge's to check.
 */
#include "wire/record.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "wire/cbor.h"

#define BODY_MAX_ITEMS 16384
#define INLINE_MAX_PROFILE 32768 /* inline bytes of NODE_PROFILE: it has no chunks */

enum body_key {
	KEY_FORMAT,
	KEY_KIND,
	KEY_MODE,
	KEY_OWNER,
	KEY_UID,
	KEY_GID,
	KEY_MTIME,
	KEY_SIZE,
	KEY_CONTENT,
	KEY_LINKS,
	KEY_XATTRS,
	KEY_TARGET,
	KEY_RDEV,
	KEY_REPLACES,
	KEY_DELETED,
	KEY_COUNT
};

int node_name_valid(struct bytes name)
{
	if (name.len == 0 || name.len > NODE_MAX_NAME)
		return 0;
	if (memchr(name.p, '/', name.len) || memchr(name.p, 0, name.len))
		return 0;
	if (name.p[0] == '.' && (name.len == 1 || (name.len == 2 && name.p[1] == '.')))
		return 0;
	return 1;
}

static int bytes_compare(struct bytes a, struct bytes b)
{
	int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

/* ---- what a body may hold ---- */

static int check_links(const struct node_body *b)
{
	if (b->n_links > NODE_MAX_LINKS)
		return ERR_RANGE;
	if (b->kind == NODE_DIR && b->n_links > 1)
		return ERR_INVALID;
	for (size_t i = 0; i < b->n_links; i++) {
		if (!node_name_valid(b->links[i].name))
			return ERR_INVALID;
	}
	return OK;
}

static int check_xattrs(const struct node_body *b)
{
	size_t total = 0;

	if (b->n_xattrs > NODE_MAX_XATTRS)
		return ERR_RANGE;
	for (size_t i = 0; i < b->n_xattrs; i++) {
		struct bytes name = b->xattrs[i].name;

		if (name.len == 0 || name.len > NODE_MAX_NAME || memchr(name.p, 0, name.len))
			return ERR_INVALID;
		total += name.len + b->xattrs[i].value.len;
	}
	return total > NODE_MAX_XATTR_BYTES ? ERR_RANGE : OK;
}

static int check_content(const struct node_body *b)
{
	if (b->kind != NODE_FILE && b->kind != NODE_PROFILE)
		return b->form != CONTENT_NONE || b->size != 0 ? ERR_INVALID : OK;
	if (b->size > INT64_MAX)
		return ERR_INVALID;
	switch (b->form) {
	case CONTENT_NONE:
		return OK;
	case CONTENT_INLINE: {
		size_t max = b->kind == NODE_PROFILE ? INLINE_MAX_PROFILE : NODE_INLINE_MAX;

		if (b->inline_data.len == 0 || b->inline_data.len > b->size)
			return ERR_INVALID;
		return b->inline_data.len > max ? ERR_RANGE : OK;
	}
	case CONTENT_SLICES:
		if (b->kind == NODE_PROFILE || b->n_slices == 0)
			return ERR_INVALID;
		if (b->n_slices > NODE_MAX_SLICES)
			return ERR_RANGE;
		return slices_check(b->slices, b->n_slices, b->depth, 0, b->size);
	}
	return ERR_INVALID;
}

static int check_kind(const struct node_body *b)
{
	switch (b->kind) {
	case NODE_FILE:
	case NODE_DIR:
	case NODE_FIFO:
	case NODE_SOCKET:
	case NODE_PROFILE:
		return b->rdev != 0 || b->target.len != 0 ? ERR_INVALID : OK;
	case NODE_CHAR:
	case NODE_BLOCK:
		return b->target.len != 0 ? ERR_INVALID : OK;
	case NODE_SYMLINK:
		if (b->rdev != 0)
			return ERR_INVALID;
		if (b->deleted)
			return b->target.len != 0 ? ERR_INVALID : OK;
		if (b->target.len == 0 || b->target.len > NODE_MAX_TARGET || memchr(b->target.p, 0, b->target.len))
			return ERR_INVALID;
		return OK;
	}
	return ERR_INVALID;
}

static int check_body(const struct node_body *b)
{
	int err = check_kind(b);

	if (err == OK && (b->mode > 07777 || b->mtime_nsec >= 1000000000u))
		err = ERR_INVALID;
	if (err == OK && b->has_replaces && (id16_is_zero(&b->replaces_id) || b->replaces_version == 0))
		err = ERR_INVALID;
	if (err == OK && b->deleted &&
		(b->uid || b->gid || b->mtime_sec || b->mtime_nsec || b->size || b->rdev || b->form != CONTENT_NONE ||
			b->n_xattrs || !id32_is_zero(&b->owner)))
		err = ERR_INVALID;
	if (err == OK)
		err = check_content(b);
	if (err == OK)
		err = check_links(b);
	if (err == OK)
		err = check_xattrs(b);
	return err;
}

/* ---- encoding ---- */

static int compare_links(const void *a, const void *b)
{
	return id16_compare(&((const struct node_link *)a)->id, &((const struct node_link *)b)->id);
}

static int compare_xattrs(const void *a, const void *b)
{
	return bytes_compare(((const struct node_xattr *)a)->name, ((const struct node_xattr *)b)->name);
}

static int put_links(struct cbor_enc *e, const struct node_body *body)
{
	FREE_AFTER struct node_link *sorted = malloc(body->n_links * sizeof *sorted);

	if (!sorted)
		return ERR_NOMEM;
	memcpy(sorted, body->links, body->n_links * sizeof *sorted);
	qsort(sorted, body->n_links, sizeof *sorted, compare_links);
	cbor_put_uint(e, KEY_LINKS);
	cbor_put_array(e, body->n_links);
	for (size_t i = 0; i < body->n_links; i++) {
		const struct node_link *l = &sorted[i];

		if (i > 0 && id16_equal(&l->id, &sorted[i - 1].id))
			return ERR_INVALID;
		cbor_put_array(e, 4);
		cbor_put_bytes(e, l->id.b, sizeof l->id.b);
		cbor_put_bytes(e, l->parent.b, sizeof l->parent.b);
		cbor_put_bytes(e, l->synced_parent.b, sizeof l->synced_parent.b);
		cbor_put_bytes(e, l->name.p, l->name.len);
	}
	return OK;
}

static int put_xattrs(struct cbor_enc *e, const struct node_body *body)
{
	FREE_AFTER struct node_xattr *sorted = malloc(body->n_xattrs * sizeof *sorted);

	if (!sorted)
		return ERR_NOMEM;
	memcpy(sorted, body->xattrs, body->n_xattrs * sizeof *sorted);
	qsort(sorted, body->n_xattrs, sizeof *sorted, compare_xattrs);
	cbor_put_uint(e, KEY_XATTRS);
	cbor_put_array(e, body->n_xattrs);
	for (size_t i = 0; i < body->n_xattrs; i++) {
		if (i > 0 && bytes_equal(sorted[i].name, sorted[i - 1].name))
			return ERR_INVALID;
		cbor_put_array(e, 2);
		cbor_put_bytes(e, sorted[i].name.p, sorted[i].name.len);
		cbor_put_bytes(e, sorted[i].value.p, sorted[i].value.len);
	}
	return OK;
}

static void put_content(struct cbor_enc *e, const struct node_body *b)
{
	cbor_put_uint(e, KEY_CONTENT);
	if (b->form == CONTENT_INLINE) {
		cbor_put_bytes(e, b->inline_data.p, b->inline_data.len);
		return;
	}
	cbor_put_array(e, 2);
	cbor_put_uint(e, b->depth);
	cbor_put_array(e, b->n_slices);
	for (size_t i = 0; i < b->n_slices; i++)
		slice_put(e, &b->slices[i]);
}

static void put_number(struct cbor_enc *e, enum body_key key, uint64_t v)
{
	if (v == 0)
		return;
	cbor_put_uint(e, key);
	cbor_put_uint(e, v);
}

static size_t count_keys(const struct node_body *b)
{
	return 2u + (b->mode != 0) + !id32_is_zero(&b->owner) + (b->uid != 0) + (b->gid != 0) +
	       (b->mtime_sec != 0 || b->mtime_nsec != 0) + (b->size != 0) + (b->form != CONTENT_NONE) +
	       (b->n_links != 0) + (b->n_xattrs != 0) + (b->target.len != 0) + (b->rdev != 0) + b->has_replaces +
	       b->deleted;
}

int node_body_put(struct buf *b, const struct node_body *body)
{
	int err = check_body(body);
	if (err < 0)
		return err;
	struct cbor_enc e = cbor_enc_init(b);
	cbor_put_map(&e, count_keys(body));
	cbor_put_uint(&e, KEY_FORMAT);
	cbor_put_uint(&e, RECORD_FORMAT);
	put_number(&e, KEY_KIND, (uint64_t)body->kind);
	put_number(&e, KEY_MODE, body->mode);
	if (!id32_is_zero(&body->owner)) {
		cbor_put_uint(&e, KEY_OWNER);
		cbor_put_bytes(&e, body->owner.b, sizeof body->owner.b);
	}
	put_number(&e, KEY_UID, body->uid);
	put_number(&e, KEY_GID, body->gid);
	if (body->mtime_sec != 0 || body->mtime_nsec != 0) {
		cbor_put_uint(&e, KEY_MTIME);
		cbor_put_array(&e, 2);
		cbor_put_int(&e, body->mtime_sec);
		cbor_put_uint(&e, body->mtime_nsec);
	}
	put_number(&e, KEY_SIZE, body->size);
	if (body->form != CONTENT_NONE)
		put_content(&e, body);
	if (body->n_links != 0)
		err = put_links(&e, body);
	if (err == OK && body->n_xattrs != 0)
		err = put_xattrs(&e, body);
	if (err < 0)
		return err;
	if (body->target.len != 0) {
		cbor_put_uint(&e, KEY_TARGET);
		cbor_put_bytes(&e, body->target.p, body->target.len);
	}
	put_number(&e, KEY_RDEV, body->rdev);
	if (body->has_replaces) {
		cbor_put_uint(&e, KEY_REPLACES);
		cbor_put_array(&e, 3);
		cbor_put_bytes(&e, body->replaces_id.b, sizeof body->replaces_id.b);
		cbor_put_uint(&e, body->replaces_version);
		cbor_put_bytes(&e, body->replaces_hash.b, sizeof body->replaces_hash.b);
	}
	if (body->deleted) {
		cbor_put_uint(&e, KEY_DELETED);
		cbor_put_bool(&e, true);
	}
	return cbor_enc_end(&e);
}

/* ---- decoding ---- */

static void get_links(struct cbor_dec *d, struct node_body *b)
{
	size_t n = cbor_get_array(d, NODE_MAX_LINKS);

	if (cbor_dec_error(d) < 0)
		return;
	b->links = calloc(n ? n : 1, sizeof *b->links);
	if (!b->links) {
		cbor_dec_fail(d, ERR_NOMEM);
		return;
	}
	if (n == 0)
		cbor_dec_fail(d, ERR_NONCANONICAL);
	for (; b->n_links < n && cbor_dec_error(d) == OK; b->n_links++) {
		struct node_link *l = &b->links[b->n_links];

		if (cbor_get_array(d, 4) != 4)
			cbor_dec_fail(d, ERR_INVALID);
		cbor_get_fixed(d, l->id.b, sizeof l->id.b);
		cbor_get_fixed(d, l->parent.b, sizeof l->parent.b);
		cbor_get_fixed(d, l->synced_parent.b, sizeof l->synced_parent.b);
		l->name = cbor_get_bytes(d, NODE_MAX_NAME);
		if (b->n_links > 0 && id16_compare(&l[-1].id, &l->id) >= 0)
			cbor_dec_fail(d, ERR_NONCANONICAL);
	}
}

static void get_xattrs(struct cbor_dec *d, struct node_body *b)
{
	size_t n = cbor_get_array(d, NODE_MAX_XATTRS);

	if (cbor_dec_error(d) < 0)
		return;
	b->xattrs = calloc(n ? n : 1, sizeof *b->xattrs);
	if (!b->xattrs) {
		cbor_dec_fail(d, ERR_NOMEM);
		return;
	}
	if (n == 0)
		cbor_dec_fail(d, ERR_NONCANONICAL);
	for (; b->n_xattrs < n && cbor_dec_error(d) == OK; b->n_xattrs++) {
		struct node_xattr *x = &b->xattrs[b->n_xattrs];

		if (cbor_get_array(d, 2) != 2)
			cbor_dec_fail(d, ERR_INVALID);
		x->name = cbor_get_bytes(d, NODE_MAX_NAME);
		x->value = cbor_get_bytes(d, NODE_MAX_XATTR_BYTES);
		if (cbor_dec_error(d) == OK && b->n_xattrs > 0 && bytes_compare(x[-1].name, x->name) >= 0)
			cbor_dec_fail(d, ERR_NONCANONICAL);
	}
}

static void get_slices(struct cbor_dec *d, struct node_body *b)
{
	if (cbor_get_array(d, 2) != 2)
		cbor_dec_fail(d, ERR_INVALID);
	uint64_t depth = cbor_get_uint(d);
	size_t n = cbor_get_array(d, NODE_MAX_SLICES);
	if (depth > INDEX_MAX_DEPTH)
		cbor_dec_fail(d, ERR_RANGE);
	if (cbor_dec_error(d) < 0)
		return;
	b->form = CONTENT_SLICES;
	b->depth = (unsigned)depth;
	b->slices = calloc(n ? n : 1, sizeof *b->slices);
	if (!b->slices) {
		cbor_dec_fail(d, ERR_NOMEM);
		return;
	}
	for (; b->n_slices < n && cbor_dec_error(d) == OK; b->n_slices++)
		slice_get(d, &b->slices[b->n_slices]);
}

static uint64_t get_number(struct cbor_dec *d, uint64_t max)
{
	uint64_t v = cbor_get_uint(d);

	if (cbor_dec_error(d) < 0)
		return 0;
	if (v == 0)
		cbor_dec_fail(d, ERR_NONCANONICAL);
	if (v > max)
		cbor_dec_fail(d, ERR_INVALID);
	return v <= max ? v : 0;
}

static void get_mtime(struct cbor_dec *d, struct node_body *b)
{
	if (cbor_get_array(d, 2) != 2)
		cbor_dec_fail(d, ERR_INVALID);
	b->mtime_sec = cbor_get_int(d);
	uint64_t nsec = cbor_get_uint(d);
	if (nsec >= 1000000000u)
		cbor_dec_fail(d, ERR_INVALID);
	if (b->mtime_sec == 0 && nsec == 0)
		cbor_dec_fail(d, ERR_NONCANONICAL);
	b->mtime_nsec = (uint32_t)(nsec % 1000000000u);
}

static void get_content(struct cbor_dec *d, struct node_body *b)
{
	if (cbor_peek(d) == CBOR_ARRAY) {
		get_slices(d, b);
		return;
	}
	b->form = CONTENT_INLINE;
	b->inline_data = cbor_get_bytes(d, INLINE_MAX_PROFILE);
}

static void get_replaces(struct cbor_dec *d, struct node_body *b)
{
	if (cbor_get_array(d, 3) != 3)
		cbor_dec_fail(d, ERR_INVALID);
	b->has_replaces = true;
	cbor_get_fixed(d, b->replaces_id.b, sizeof b->replaces_id.b);
	b->replaces_version = cbor_get_uint(d);
	cbor_get_fixed(d, b->replaces_hash.b, sizeof b->replaces_hash.b);
}

static void get_field(struct cbor_dec *d, struct node_body *b, uint64_t key)
{
	switch (key) {
	case KEY_FORMAT:
		if (cbor_get_uint(d) != RECORD_FORMAT)
			cbor_dec_fail(d, ERR_VERSION);
		break;
	case KEY_KIND:
		b->kind = (enum node_kind)get_number(d, NODE_PROFILE);
		break;
	case KEY_MODE:
		b->mode = (uint32_t)get_number(d, 07777);
		break;
	case KEY_OWNER:
		cbor_get_fixed(d, b->owner.b, sizeof b->owner.b);
		if (id32_is_zero(&b->owner))
			cbor_dec_fail(d, ERR_NONCANONICAL);
		break;
	case KEY_UID:
		b->uid = (uint32_t)get_number(d, UINT32_MAX);
		break;
	case KEY_GID:
		b->gid = (uint32_t)get_number(d, UINT32_MAX);
		break;
	case KEY_MTIME:
		get_mtime(d, b);
		break;
	case KEY_SIZE:
		b->size = get_number(d, INT64_MAX);
		break;
	case KEY_CONTENT:
		get_content(d, b);
		break;
	case KEY_LINKS:
		get_links(d, b);
		break;
	case KEY_XATTRS:
		get_xattrs(d, b);
		break;
	case KEY_TARGET:
		b->target = cbor_get_bytes(d, NODE_MAX_TARGET);
		if (b->target.len == 0)
			cbor_dec_fail(d, ERR_NONCANONICAL);
		break;
	case KEY_RDEV:
		b->rdev = get_number(d, UINT64_MAX);
		break;
	case KEY_REPLACES:
		get_replaces(d, b);
		break;
	case KEY_DELETED:
		b->deleted = cbor_get_bool(d);
		if (!b->deleted)
			cbor_dec_fail(d, ERR_NONCANONICAL);
		break;
	default:
		cbor_dec_fail(d, ERR_INVALID);
	}
}

int node_body_decode(struct bytes in, struct node_body *ret_body)
{
	int err = cbor_check(in, CBOR_STRICT, BODY_MAX_ITEMS);
	if (err < 0)
		return err;
	CLEANUP(node_body_release) struct node_body body = { .kind = 0 };
	struct cbor_dec d = cbor_dec_init(in);
	size_t n = cbor_get_map(&d, KEY_COUNT);
	for (size_t i = 0; i < n && cbor_dec_error(&d) == OK; i++) {
		uint64_t key = cbor_get_uint(&d);

		if (i < 2 && key != i) /* format and kind are always there; cbor_check has seen to the order */
			cbor_dec_fail(&d, ERR_INVALID);
		get_field(&d, &body, key);
	}
	err = cbor_dec_end(&d);
	if (err == OK && n < 2)
		err = ERR_INVALID;
	if (err == OK)
		err = check_body(&body);
	if (err < 0)
		return err;
	*ret_body = body;
	body = (struct node_body){ .kind = 0 };
	return OK;
}

void node_body_release(struct node_body *body)
{
	if (body->slices)
		explicit_bzero(body->slices, body->n_slices * sizeof *body->slices);
	free(body->slices);
	free(body->links);
	free(body->xattrs);
	*body = (struct node_body){ .kind = 0 };
}
