/* SPDX-License-Identifier: Apache-2.0 */
#include "server/cut.h"

#include "wire/head.h"
#include "wire/record.h"

struct scan {
	const struct log *before, *after;
	bool overtaken;
};

static bool loses(const struct scan *s, const struct id32 *device)
{
	return log_may_write(s->before, device) && !log_may_write(s->after, device);
}

static int note_version(void *ctx, uint64_t space, const struct depot_version *v)
{
	struct scan *s = ctx;
	struct record r;

	(void)space;
	if (record_decode(v->blob, &r) < 0)
		return ERR_CORRUPT;
	s->overtaken = loses(s, &r.h.author);
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

/* The first version that no losing device can have written. */
static uint64_t held_since(const struct scan *s, const struct depot *store, const struct space *sp,
	const struct depot_space *row, int64_t now)
{
	const struct log_device *d;
	uint64_t since = 0;

	for (size_t i = 0; (d = log_device_at(s->before, i)); i++) {
		const struct hold *h = loses(s, &d->ed) ? space_held(sp, &d->ed, now) : NULL;

		if (!loses(s, &d->ed))
			continue;
		if (!h || depot_is_shared(store))
			return row->versions;
		since = h->since > since ? h->since : since;
	}
	return since < row->versions ? since : row->versions;
}

static void hold_all(const struct scan *s, struct space *sp, const struct depot_space *row, int64_t now)
{
	const struct log_device *d;

	for (size_t i = 0; (d = log_device_at(s->before, i)); i++)
		if (loses(s, &d->ed))
			space_hold(sp, &d->ed, row->versions, now, now + CUT_HOLD_S * 1000000000ll);
}

int cut_overtaken(struct depot *store, struct space *sp, const struct depot_space *row, const struct log *before,
	const struct log *after, const struct entry *entries, size_t n, int64_t now)
{
	struct scan s = { .before = before, .after = after };
	const uint64_t end = held_since(&s, store, sp, row, now);
	uint8_t signature[64];
	struct bytes body;
	struct head h;

	for (size_t i = 0; i < n && !s.overtaken; i++) {
		struct bytes cut = cut_of(&entries[i]);
		uint64_t first = row->versions;

		if (cut.len == 0)
			continue;
		if (head_decode(cut, &h, &body, signature) < 0)
			return ERR_INVALID;
		int err = depot_steps(store, row->no, h.cursor, note_first, &first);
		if (err >= 0 && first < end && end - first > CUT_MAX_VERSIONS)
			s.overtaken = true;
		else if (err >= 0 && first < end)
			err = depot_versions(store, row->no, first, end - first, note_version, &s);
		if (err < 0)
			return err;
	}
	if (s.overtaken)
		hold_all(&s, sp, row, now);
	return s.overtaken;
}
