/* SPDX-License-Identifier: Apache-2.0 */
/* Conflict copies: the later of two edits of one content, as a file of its own beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "fusefs/apply.h"

#define NS 1000000000ll
#define TRIES 100

/* `stem (conflict, DEVICE, DATE).ext`, with a number from the second try on. */
static uint8_t copy_name(struct bytes name, const struct identity *who, int64_t now_wall, unsigned try, char out[NODE_MAX_NAME + 1])
{
	struct bytes label = identity_label(who);
	char mark[128], device[IDENTITY_MAX_LABEL + 1], number[16] = "";
	time_t sec = (time_t)(now_wall / NS);
	struct tm tm;
	size_t dot = name.len;

	size_t n = label.len < IDENTITY_MAX_LABEL ? label.len : IDENTITY_MAX_LABEL;
	memcpy(device, label.p, n);
	device[n] = 0;
	for (size_t i = 0; i < n; i++) {
		if (device[i] == '/' || (unsigned char)device[i] < 0x20)
			device[i] = '_';
	}
	gmtime_r(&sec, &tm);
	if (try > 0)
		snprintf(number, sizeof number, " %u", try + 1);
	int m = snprintf(mark, sizeof mark, " (conflict, %s, %04d-%02d-%02d%s)", n ? device : "device", (tm.tm_year + 1900) % 10000,
			 (tm.tm_mon + 1) % 100, tm.tm_mday % 100, number);
	for (size_t i = name.len; i-- > 1;) {
		if (name.p[i] == '.' && name.len - i <= 16) {
			dot = i;
			break;
		}
	}
	size_t stem = dot, room = NODE_MAX_NAME - (size_t)m - (name.len - dot);
	if (stem > room) {
		stem = room;
		while (stem > 0 && (name.p[stem] & 0xc0) == 0x80)
			stem--;
	}
	return (uint8_t)snprintf(out, NODE_MAX_NAME + 1, "%.*s%s%.*s", (int)stem, (const char *)name.p, mark, (int)(name.len - dot),
				 (const char *)name.p + dot);
}

/* Where a copy stands: beside the file by any of its names that is shown; if none is, in the space's root. */
static int place_of(struct store *s, uint64_t root, uint64_t ino, struct link *ret_l)
{
	FREE_AFTER struct link *links = NULL;
	struct store_txn *t = NULL;
	size_t n = 0;
	int err = store_begin(s, &t);

	if (err == OK)
		err = txn_links_of(t, ino, &links, &n);
	store_abort(&t);
	if (err < 0 || n == 0)
		return err < 0 ? err : ERR_NOT_FOUND;
	for (size_t i = 0; i < n; i++) {
		if (links[i].shown_parent != 0) {
			*ret_l = links[i];
			return OK;
		}
	}
	*ret_l = links[0];
	ret_l->shown_parent = root;
	ret_l->shown_len = ret_l->name_len;
	memcpy(ret_l->shown, ret_l->name, sizeof ret_l->shown);
	return OK;
}

static int mark_conflict(struct store *s, uint64_t ino)
{
	struct store_txn *t = NULL;
	struct node n;
	int err = store_begin(s, &t);

	if (err < 0)
		return err;
	err = txn_node_get(t, ino, &n);
	n.flags |= NODE_CONFLICT;
	if (err == OK)
		err = txn_node_put(t, &n);
	if (err < 0) {
		store_abort(&t);
		return err;
	}
	return store_commit(&t);
}

static int copy_content(struct store *s, const struct node *from, uint64_t copy)
{
	for (uint64_t done = 0, n = 0; done < from->size; done += n) {
		int err = store_copy_range(s, from->ino, done, copy, done, from->size - done, &n);

		if (err < 0 || n == 0)
			return err;
	}
	return OK;
}

static int name_copy(struct store *s, const struct identity *who, int64_t now_wall, const struct link *at, uint64_t copy)
{
	char name[NODE_MAX_NAME + 1];
	struct node n;
	int err = ERR_EXISTS;

	for (unsigned try = 0; try < TRIES && err == ERR_EXISTS; try++) {
		uint8_t len = copy_name(bytes_of(at->shown, at->shown_len), who, now_wall, try, name);

		err = store_link(s, copy, at->shown_parent, bytes_of(name, len), &n);
	}
	return err;
}

int apply_copy_conflict(struct store *s, const struct identity *who, int64_t now_wall, uint64_t root, uint64_t ino, uint64_t *ret_copy,
			uint64_t *ret_change)
{
	struct node from, copy = { .ino = 0 };
	struct link at;
	int err = store_getattr(s, ino, &from);

	if (err == OK)
		err = place_of(s, root, ino, &at);
	if (err < 0)
		return err;
	struct node_new fresh = { .kind = from.kind, .mode = from.mode, .uid = from.uid, .gid = from.gid, .owner = from.owner };
	err = store_create_unnamed(s, at.shown_parent, &fresh, &copy);
	if (err < 0)
		return err;
	uint64_t made = copy.ino;
	store_hold_open(s, made);
	err = copy_content(s, &from, made);
	if (err == OK)
		err = store_setattr(s, made, ATTR_SIZE | ATTR_MTIME, &from, &copy);
	if (err == OK)
		err = mark_conflict(s, made);
	if (err == OK)
		err = name_copy(s, who, now_wall, &at, made);
	store_release_open(s, made);
	if (err < 0)
		return err;
	*ret_copy = made;
	*ret_change = from.change;
	return OK;
}
