/* SPDX-License-Identifier: Apache-2.0 */
#include "server/cut.h"

#include "wire/head.h"
#include "wire/record.h"

struct scan {
	const struct log *before, *after;
	size_t left;
	bool overtaken;
};

static int note_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct scan *s = ctx;
	struct record r;

	(void)space;
	if (s->left > 0 && record_decode(v->blob, &r) < 0)
		return ERR_CORRUPT;
	if (s->left == 0 || (log_may_write(s->before, &r.h.author) && !log_may_write(s->after, &r.h.author)))
		s->overtaken = true;
	s->left -= s->left > 0;
	return s->overtaken;
}

/* The first step decides where the versions after the cut begin: their numbers go on without a gap. */
static int note_first(void *ctx, const struct depot_step *step)
{
	*(uint64_t *)ctx = step->first_version;
	return 1;
}

/* The cut of an entry; empty if it has none. */
static struct bytes cut_of(const struct entry *e)
{
	struct entry_role role;
	struct entry_remove remove;
	struct entry_device_remove device;

	if (e->type == ENTRY_ROLE && entry_get_role(e->payload, &role) == OK)
		return role.cut;
	if (e->type == ENTRY_REMOVE && entry_get_remove(e->payload, &remove) == OK)
		return remove.cut;
	if (e->type == ENTRY_DEVICE_REMOVE && entry_get_device_remove(e->payload, &device) == OK)
		return device.cut;
	return bytes_of(NULL, 0);
}

int cut_overtaken(struct depot *store, const struct depot_space *sp, const struct log *before, const struct log *after,
	const struct entry *entries, size_t n)
{
	struct scan s = { .before = before, .after = after, .left = CUT_MAX_VERSIONS };
	uint8_t signature[64];
	struct bytes body;
	struct head h;

	for (size_t i = 0; i < n && !s.overtaken; i++) {
		struct bytes cut = cut_of(&entries[i]);
		uint64_t first = sp->versions;

		if (cut.len == 0)
			continue;
		if (head_decode(cut, &h, &body, signature) < 0)
			return ERR_INVALID;
		int err = depot_steps(store, sp->no, h.cursor, note_first, &first);
		if (err >= 0 && first < sp->versions)
			err = depot_versions(store, sp->no, first, sp->versions - first, note_version, &s);
		if (err < 0)
			return err;
	}
	return s.overtaken;
}
