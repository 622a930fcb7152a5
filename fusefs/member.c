/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/member.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "crypto/hash.h"

#define DID_PREFIX 9 /* "did:key:z" */
#define SHORT_MIN 8

void member_fingerprint(const struct id32 *key, char out[MEMBER_FINGERPRINT_SIZE])
{
	struct id32 h;
	size_t n = 0;

	hash_sha256(bytes_of(key->b, sizeof key->b), &h);
	for (int i = 0; i < 10; i++)
		n += (size_t)snprintf(
			out + n, MEMBER_FINGERPRINT_SIZE - n, "%s%02x", i && i % 2 == 0 ? "-" : "", h.b[i]);
}

/* What a member chooses must not stand for another's key: names count only if no key fits, parts of keys only if no whole one does. */
enum way { BY_KEY, BY_PART, BY_NAME, N_WAYS };

static bool names_key(const struct id32 *key, struct bytes name, enum way way)
{
	char did[DID_KEY_TEXT_SIZE], fingerprint[MEMBER_FINGERPRINT_SIZE];

	id32_format_did(key, did);
	member_fingerprint(key, fingerprint);
	if (way == BY_PART)
		return name.len >= SHORT_MIN && strlen(did) >= DID_PREFIX + name.len &&
		       memcmp(did + DID_PREFIX, name.p, name.len) == 0;
	return way == BY_KEY && (bytes_equal(name, bytes_str(did)) || bytes_equal(name, bytes_str(fingerprint)));
}

static bool names_label(struct space *s, const struct log_device *d, struct bytes name)
{
	CLEANUP(buf_release) struct buf label = BUF_INIT(4096);

	return name.len > 0 && epoch_open_label(s->ring, s->log, d, &label) == OK &&
	       bytes_equal(name, buf_bytes(&label));
}

/* One key that fits, or that several do. */
struct found {
	struct id32 key;
	bool any, several;
};

static void note(struct found *f, const struct id32 *key)
{
	f->several = f->several || (f->any && !id32_equal(&f->key, key));
	f->any = true;
	f->key = *key;
}

static int result(const struct found *f, struct id32 *ret_key)
{
	if (f->several || !f->any)
		return f->any ? ERR_EXISTS : ERR_NOT_FOUND;
	*ret_key = f->key;
	return OK;
}

static bool names_device(struct space *s, const struct log_device *d, struct bytes name, enum way way)
{
	return way == BY_NAME ? d->live && names_label(s, d, name) : names_key(&d->ed, name, way);
}

int member_find_person(struct space *s, struct bytes name, struct id32 *ret_root)
{
	const struct log_person *p;
	const struct log_device *d;
	struct found f = { 0 };

	pthread_mutex_lock(&s->lock);
	for (enum way way = BY_KEY; way < N_WAYS && !f.any; way++) {
		for (size_t i = 0; (p = log_person_at(s->log, i)); i++)
			if (names_key(&p->root, name, way))
				note(&f, &p->root);
		for (size_t i = 0; (d = log_device_at(s->log, i)); i++)
			if (d->live && names_device(s, d, name, way))
				note(&f, &d->person);
	}
	pthread_mutex_unlock(&s->lock);
	return result(&f, ret_root);
}

int member_find_device(struct space *s, const struct id32 *person, struct bytes name, struct id32 *ret_ed)
{
	const struct log_device *d;
	struct found f = { 0 };

	pthread_mutex_lock(&s->lock);
	for (enum way way = BY_KEY; way < N_WAYS && !f.any; way++)
		for (size_t i = 0; (d = log_device_at(s->log, i)); i++)
			if (id32_equal(&d->person, person) && names_device(s, d, name, way))
				note(&f, &d->ed);
	pthread_mutex_unlock(&s->lock);
	return result(&f, ret_ed);
}
