/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/acl.h"
#include <endian.h>
#include <string.h>

enum { VERSION = 2, HEAD = 4, ENTRY = 8 };
enum tag { USER_OBJ = 0x01, USER = 0x02, GROUP_OBJ = 0x04, GROUP = 0x08, MASK = 0x10, OTHER = 0x20 };

struct entry {
	unsigned tag, perm;
	uint32_t id;
};

/* The n-th entry, or false behind the last. */
static bool entry_at(struct bytes value, size_t n, struct entry *ret_e)
{
	uint16_t tag, perm;
	uint32_t id;
	size_t at = HEAD + n * ENTRY;

	if (at + ENTRY > value.len)
		return false;
	memcpy(&tag, value.p + at, sizeof tag);
	memcpy(&perm, value.p + at + 2, sizeof perm);
	memcpy(&id, value.p + at + 4, sizeof id);
	*ret_e = (struct entry){ le16toh(tag), le16toh(perm), le32toh(id) };
	return true;
}

static bool is_named(unsigned tag)
{
	return tag == USER || tag == GROUP;
}

/* Whether b may follow a: tags ascend, and ids within a tag. */
static bool ascends(const struct entry *a, const struct entry *b)
{
	return a->tag < b->tag || (a->tag == b->tag && is_named(a->tag) && a->id < b->id);
}

static bool is_tag(unsigned tag)
{
	return tag != 0 && (tag & (tag - 1)) == 0 && tag <= OTHER;
}

int acl_check(struct bytes value, struct acl_says *ret_says)
{
	struct entry before = { 0 }, e;
	unsigned seen = 0, perm[OTHER + 1] = { 0 };
	uint32_t version;

	if (value.len < HEAD || (value.len - HEAD) % ENTRY != 0)
		return ERR_INVALID;
	memcpy(&version, value.p, sizeof version);
	if (le32toh(version) != VERSION)
		return ERR_INVALID;
	for (size_t i = 0; entry_at(value, i, &e); i++, before = e) {
		if (!is_tag(e.tag) || e.perm > 7 || !ascends(&before, &e) || (is_named(e.tag) && e.id == UINT32_MAX))
			return ERR_INVALID;
		seen |= e.tag;
		perm[e.tag] = e.perm;
	}
	if ((seen & (USER_OBJ | GROUP_OBJ | OTHER)) != (USER_OBJ | GROUP_OBJ | OTHER))
		return ERR_INVALID;
	if ((seen & (USER | GROUP)) && !(seen & MASK))
		return ERR_INVALID;
	*ret_says = (struct acl_says){ .more = seen & MASK };
	ret_says->mode = perm[USER_OBJ] << 6 | perm[seen & MASK ? MASK : GROUP_OBJ] << 3 | perm[OTHER];
	return 0;
}

/* What the mode says of an entry, or -1. */
static int perm_of_mode(unsigned tag, uint32_t mode)
{
	switch (tag) {
	case USER_OBJ:
		return (int)(mode >> 6 & 7);
	case MASK:
		return (int)(mode >> 3 & 7);
	case OTHER:
		return (int)(mode & 7);
	default:
		return -1;
	}
}

int acl_show(struct bytes kept, uint32_t mode, struct buf *out)
{
	struct acl_says says;
	struct entry e;
	size_t at = out->len;

	if (acl_check(kept, &says) < 0 || !says.more)
		return ERR_NO_DATA;
	int err = buf_put(out, kept.p, kept.len);
	if (err < 0)
		return err;
	for (size_t i = 0; entry_at(kept, i, &e); i++) {
		int perm = perm_of_mode(e.tag, mode);
		if (perm >= 0)
			out->data[at + HEAD + i * ENTRY + 2] = (uint8_t)perm;
	}
	return 0;
}

int acl_inherit(struct bytes kept_default, uint32_t *mode, bool *ret_more)
{
	struct acl_says says;
	int err = acl_check(kept_default, &says);

	if (err < 0)
		return err;
	*mode &= ~(uint32_t)0777 | says.mode;
	*ret_more = says.more;
	return 0;
}
