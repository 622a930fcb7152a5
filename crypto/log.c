/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a membership log: life, look-ups, rights. The rules are in log_decide.c, the changes in log_commit.c. */
#include "crypto/log.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/log_state.h"

int log_new(const struct id32 *genesis, struct log **ret_log)
{
	struct log *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	if (genesis) {
		l->pinned = true;
		l->pin = *genesis;
	}
	l->refusal = "";
	l->retention = LOG_DEFAULT_RETENTION;
	*ret_log = l;
	return 0;
}

int log_copy_view(struct bytes from, struct bytes *ret_to)
{
	uint8_t *p = NULL;

	if (from.len) {
		p = malloc(from.len);
		if (!p)
			return ERR_NOMEM;
		memcpy(p, from.p, from.len);
	}
	*ret_to = bytes_of(p, from.len);
	return 0;
}

void log_free_view(struct bytes *v)
{
	free((void *)(uintptr_t)v->p);
	*v = bytes_of(NULL, 0);
}

void log_free(struct log *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_devices; i++) {
		log_free_view(&l->devices[i].pub.label);
		log_free_view(&l->devices[i].chain);
		log_free_view(&l->devices[i].cut);
	}
	for (size_t i = 0; i < l->n_invites; i++)
		log_free_view(&l->invites[i].bundle);
	for (size_t i = 0; i < l->n_epochs; i++) {
		log_free_view(&l->epochs[i].wraps);
		log_free_view(&l->epochs[i].back);
	}
	free(l->hashes);
	free(l->persons);
	free(l->devices);
	free(l->invites);
	free(l->epochs);
	free(l->vias);
	free(l->revoked);
	free(l->spans);
	free(l);
}

void log_freep(struct log **l)
{
	log_free(*l);
}

/* Copies an array of n elements; the copy's capacity is n. A NULL of an empty array stays NULL. */
static int copy_array(const void *from, size_t n, size_t size, void *ret_to, size_t *ret_alloc)
{
	void *p = NULL;

	if (n) {
		p = malloc(n * size);
		if (!p)
			return ERR_NOMEM;
		memcpy(p, from, n * size);
	}
	memcpy(ret_to, &p, sizeof p);
	*ret_alloc = n;
	return 0;
}

/* Copies rows one by one, so that a failure leaves only whole rows to free. */
static int clone_devices(struct log *c, const struct log *l)
{
	int err;

	if (l->n_devices && !(c->devices = calloc(l->n_devices, sizeof *c->devices)))
		return ERR_NOMEM;
	c->alloc_devices = l->n_devices;
	for (size_t i = 0; i < l->n_devices; i++) {
		const struct log_device_row *from = &l->devices[i];
		struct log_device_row *to = &c->devices[c->n_devices++];

		*to = *from;
		to->pub.label = to->chain = to->cut = bytes_of(NULL, 0);
		if ((err = log_copy_view(from->pub.label, &to->pub.label)) < 0 ||
			(err = log_copy_view(from->chain, &to->chain)) < 0 ||
			(err = log_copy_view(from->cut, &to->cut)) < 0)
			return err;
	}
	return 0;
}

static int clone_invites(struct log *c, const struct log *l)
{
	int err;

	if (l->n_invites && !(c->invites = calloc(l->n_invites, sizeof *c->invites)))
		return ERR_NOMEM;
	c->alloc_invites = l->n_invites;
	for (size_t i = 0; i < l->n_invites; i++) {
		struct log_invite *to = &c->invites[c->n_invites++];

		*to = l->invites[i];
		to->bundle = bytes_of(NULL, 0);
		if ((err = log_copy_view(l->invites[i].bundle, &to->bundle)) < 0)
			return err;
	}
	return 0;
}

static int clone_epochs(struct log *c, const struct log *l)
{
	int err;

	if (l->n_epochs && !(c->epochs = calloc(l->n_epochs, sizeof *c->epochs)))
		return ERR_NOMEM;
	c->alloc_epochs = l->n_epochs;
	for (size_t i = 0; i < l->n_epochs; i++) {
		struct log_epoch *to = &c->epochs[c->n_epochs++];

		*to = l->epochs[i];
		to->wraps = to->back = bytes_of(NULL, 0);
		if ((err = log_copy_view(l->epochs[i].wraps, &to->wraps)) < 0 ||
			(err = log_copy_view(l->epochs[i].back, &to->back)) < 0)
			return err;
	}
	return 0;
}

int log_clone(const struct log *l, struct log **ret_log)
{
	CLEANUP(log_freep) struct log *c = malloc(sizeof *c);
	int err;

	if (!c)
		return ERR_NOMEM;
	*c = *l;
	c->hashes = NULL, c->persons = NULL, c->devices = NULL, c->invites = NULL, c->epochs = NULL;
	c->vias = NULL, c->revoked = NULL, c->spans = NULL;
	c->n_devices = c->n_invites = c->n_epochs = 0;
	if ((err = copy_array(l->hashes, l->n_hashes, sizeof *l->hashes, &c->hashes, &c->alloc_hashes)) < 0 ||
		(err = copy_array(l->persons, l->n_persons, sizeof *l->persons, &c->persons, &c->alloc_persons)) < 0 ||
		(err = copy_array(l->vias, l->n_vias, sizeof *l->vias, &c->vias, &c->alloc_vias)) < 0 ||
		(err = copy_array(l->revoked, l->n_revoked, sizeof *l->revoked, &c->revoked, &c->alloc_revoked)) < 0 ||
		(err = copy_array(l->spans, l->n_spans, sizeof *l->spans, &c->spans, &c->alloc_spans)) < 0 ||
		(err = clone_devices(c, l)) < 0 || (err = clone_invites(c, l)) < 0 || (err = clone_epochs(c, l)) < 0)
		return err;
	*ret_log = STEAL(&c);
	return 0;
}

int log_apply(struct log *l, struct bytes blob, enum log_mode mode)
{
	struct log_change c;
	int err;

	if ((err = log_decide(l, blob, mode, &c)) < 0)
		return err;
	if ((err = log_commit(l, &c)) < 0)
		l->refusal = "out of memory";
	return err;
}

int log_check(struct log *l, struct bytes blob)
{
	struct log_change c;

	return log_decide(l, blob, LOG_VERIFY, &c);
}

const char *log_refusal(const struct log *l)
{
	return l->refusal;
}

uint64_t log_count(const struct log *l)
{
	return l->n_hashes;
}

enum space_kind log_kind(const struct log *l)
{
	return l->kind;
}

const struct id16 *log_space(const struct log *l)
{
	return &l->space;
}

const struct id32 *log_genesis(const struct log *l)
{
	return &l->genesis;
}

const struct id32 *log_head(const struct log *l)
{
	static const struct id32 zero;

	return l->n_hashes ? &l->hashes[l->n_hashes - 1] : &zero;
}

uint64_t log_epoch_number(const struct log *l)
{
	return l->epoch;
}

uint64_t log_epoch_minimum(const struct log *l)
{
	return l->minimum;
}

uint64_t log_retention(const struct log *l)
{
	return l->retention;
}

/* From the end: what is asked for is nearly always new. */
int log_seq_of(const struct log *l, const struct id32 *entry_hash, uint64_t *ret_seq)
{
	for (size_t i = l->n_hashes; i-- > 0;) {
		if (id32_equal(&l->hashes[i], entry_hash)) {
			*ret_seq = i;
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

const struct id32 *log_hash_at(const struct log *l, uint64_t seq)
{
	return seq < l->n_hashes ? &l->hashes[seq] : NULL;
}

const struct log_person *log_find_person(const struct log *l, const struct id32 *root)
{
	for (size_t i = 0; i < l->n_persons; i++)
		if (id32_equal(&l->persons[i].root, root))
			return &l->persons[i];
	return NULL;
}

struct log_device_row *log_device_row(const struct log *l, const struct id32 *ed)
{
	for (size_t i = 0; i < l->n_devices; i++)
		if (id32_equal(&l->devices[i].pub.ed, ed))
			return &l->devices[i];
	return NULL;
}

const struct log_device *log_find_device(const struct log *l, const struct id32 *ed)
{
	const struct log_device_row *row = log_device_row(l, ed);

	return row ? &row->pub : NULL;
}

struct bytes log_card(const struct log *l)
{
	return bytes_of(l->card_blob, l->card_len);
}

struct bytes log_device_chain(const struct log *l, const struct id32 *ed)
{
	const struct log_device_row *row = log_device_row(l, ed);

	return row ? row->chain : bytes_of(NULL, 0);
}

const struct log_invite *log_find_invite(const struct log *l, const struct id16 *id)
{
	for (size_t i = 0; i < l->n_invites; i++)
		if (id16_equal(&l->invites[i].id, id))
			return &l->invites[i];
	return NULL;
}

const struct log_epoch *log_find_epoch(const struct log *l, uint64_t number)
{
	return number >= 1 && number <= l->n_epochs ? &l->epochs[number - 1] : NULL;
}

const struct log_via *log_find_via(const struct log *l, const struct id32 *person, const struct id32 *via)
{
	for (size_t i = 0; i < l->n_vias; i++)
		if (id32_equal(&l->vias[i].via, via) && id32_equal(&l->vias[i].person, person))
			return &l->vias[i];
	return NULL;
}

bool log_uncut(const struct log *l, const struct log_device_row *row)
{
	const struct log_span *span = row->span ? &l->spans[row->span - 1] : NULL;

	return span && span->to != LOG_SPAN_OPEN && !span->has_cut;
}

const struct log_person *log_person_at(const struct log *l, size_t i)
{
	return i < l->n_persons ? &l->persons[i] : NULL;
}

const struct log_device *log_device_at(const struct log *l, size_t i)
{
	return i < l->n_devices ? &l->devices[i].pub : NULL;
}

const struct log_invite *log_invite_at(const struct log *l, size_t i)
{
	return i < l->n_invites ? &l->invites[i] : NULL;
}

enum role log_role(const struct log *l, const struct id32 *device)
{
	const struct log_device *d = log_find_device(l, device);
	const struct log_person *p = d && d->live ? log_find_person(l, &d->person) : NULL;

	return p ? p->role : ROLE_NONE;
}

bool log_may_read(const struct log *l, const struct id32 *device)
{
	return log_role(l, device) >= ROLE_READER;
}

bool log_may_write(const struct log *l, const struct id32 *device)
{
	return log_role(l, device) >= ROLE_WRITER;
}

bool log_is_admin(const struct log *l, const struct id32 *device)
{
	return log_role(l, device) == ROLE_ADMIN;
}

bool log_accepts(const struct log *l, const struct id32 *device, const struct id32 *at, uint64_t cursor)
{
	uint64_t seq;

	if (log_seq_of(l, at, &seq) < 0)
		return false;
	for (size_t i = l->n_spans; i-- > 0;) {
		const struct log_span *span = &l->spans[i];

		if (id32_equal(&span->ed, device) && seq >= span->from && seq < span->to)
			return !span->has_cut || cursor <= span->cut;
	}
	return false;
}

bool log_could_write(const struct log *l, const struct id32 *device, const struct id32 *at)
{
	return log_accepts(l, device, at, 0); /* no cut lies before the first line */
}

struct bytes log_cut(const struct log *l, const struct id32 *device)
{
	const struct log_device_row *row = log_device_row(l, device);

	return row ? row->cut : bytes_of(NULL, 0);
}

bool log_revoked(const struct log *l, const struct id32 *person, const struct id32 *device)
{
	for (size_t i = 0; i < l->n_revoked; i++)
		if (id32_equal(&l->revoked[i].ed, device) && id32_equal(&l->revoked[i].person, person))
			return true;
	return false;
}

static int compare_keys(const void *a, const void *b)
{
	return id32_compare(a, b);
}

int log_recipients_after(const struct log *l, const struct id32 *without, const struct id32 *device, bool close_invites,
	struct id32 **ret_keys, size_t *ret_n)
{
	struct id32 *keys = calloc(l->n_devices + l->n_persons + l->n_invites + 1, sizeof *keys);
	size_t n = 0, unique = 0;

	if (!keys)
		return ERR_NOMEM;
	for (size_t i = 0; i < l->n_devices; i++) {
		const struct log_device *d = &l->devices[i].pub;

		if (d->live && !(without && !device && id32_equal(&d->person, without)) &&
			!(device && id32_equal(&d->ed, device)))
			keys[n++] = d->x;
	}
	for (size_t i = 0; i < l->n_persons; i++) {
		const struct log_person *p = &l->persons[i];

		if (p->role != ROLE_NONE && !(without && !device && id32_equal(&p->root, without)))
			keys[n++] = p->recovery_x;
	}
	for (size_t i = 0; i < l->n_invites && !close_invites; i++)
		if (l->invites[i].open)
			keys[n++] = l->invites[i].x;
	qsort(keys, n, sizeof *keys, compare_keys);
	for (size_t i = 0; i < n; i++)
		if (unique == 0 || !id32_equal(&keys[i], &keys[unique - 1]))
			keys[unique++] = keys[i];
	*ret_keys = keys;
	*ret_n = unique;
	return 0;
}

int log_recipients(const struct log *l, const struct id32 *without, const struct id32 *device, struct id32 **ret_keys,
	size_t *ret_n)
{
	return log_recipients_after(l, without, device, without || device, ret_keys, ret_n);
}
