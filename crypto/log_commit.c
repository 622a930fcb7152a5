/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The effect of an accepted entry. Everything that can fail (memory) comes first; then the change is made whole, so that
 * an error leaves the log as it was.
 */
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "crypto/log_state.h"

/* Room for `more` further elements; on success *arr may have moved. */
static int reserve(void *arr, size_t *alloc, size_t n, size_t more, size_t size)
{
	void *p;

	memcpy(&p, arr, sizeof p);
	p = n + more > *alloc ? array_room(p, alloc, n + more, size) : p;
	if (!p && n + more > 0)
		return ERR_NOMEM;
	memcpy(arr, &p, sizeof p);
	return 0;
}

static int reserve_all(struct log *l, const struct log_change *c)
{
	int err;

	if ((err = reserve(&l->hashes, &l->alloc_hashes, l->n_hashes, 1, sizeof *l->hashes)) < 0 ||
		(err = reserve(&l->persons, &l->alloc_persons, l->n_persons, 1, sizeof *l->persons)) < 0 ||
		(err = reserve(&l->devices, &l->alloc_devices, l->n_devices, 1, sizeof *l->devices)) < 0 ||
		(err = reserve(&l->invites, &l->alloc_invites, l->n_invites, 1, sizeof *l->invites)) < 0 ||
		(err = reserve(&l->epochs, &l->alloc_epochs, l->n_epochs, 1, sizeof *l->epochs)) < 0 ||
		(err = reserve(&l->vias, &l->alloc_vias, l->n_vias, c->chain.n, sizeof *l->vias)) < 0 ||
		(err = reserve(&l->revoked, &l->alloc_revoked, l->n_revoked, 1, sizeof *l->revoked)) < 0)
		return err;
	return reserve(&l->spans, &l->alloc_spans, l->n_spans, l->n_devices + 1, sizeof *l->spans);
}

/* Copies that the change needs, owned until they are moved into the log. */
struct copies {
	struct bytes label, chain, bundle, wraps, back;
	struct bytes *cuts; /* one for each device that loses its rights */
	size_t n_cuts;
};

static void copies_release(struct copies *m)
{
	log_free_view(&m->label);
	log_free_view(&m->chain);
	log_free_view(&m->bundle);
	log_free_view(&m->wraps);
	log_free_view(&m->back);
	for (size_t i = 0; i < m->n_cuts; i++)
		log_free_view(&m->cuts[i]);
	free(m->cuts);
}

static bool loses(const struct log *l, const struct log_change *c, const struct log_device_row *row)
{
	const struct log_device *d = &row->pub;

	if (!d->live && !(c->cut.len && log_uncut(l, row)))
		return false;
	if (c->lose_device)
		return id32_equal(&d->ed, &c->lost_device);
	if (c->lose_person)
		return id32_equal(&d->person, &c->lost_person);
	return c->set_role && c->cut.len && id32_equal(&d->person, &c->person.root);
}

static int copy_all(const struct log *l, const struct log_change *c, struct copies *m)
{
	int err;

	if (c->set_device &&
		((err = log_copy_view(c->device.label, &m->label)) < 0 ||
			(l->kind == SPACE_PERSONAL && (err = log_copy_view(c->device_chain, &m->chain)) < 0)))
		return err;
	if (c->set_invite && (err = log_copy_view(c->invite.bundle, &m->bundle)) < 0)
		return err;
	if (c->set_epoch && ((err = log_copy_view(c->epoch.wraps, &m->wraps)) < 0 ||
				    (err = log_copy_view(c->epoch.back, &m->back)) < 0))
		return err;
	if (c->cut.len == 0)
		return 0;
	m->cuts = calloc(l->n_devices + 1, sizeof *m->cuts);
	if (!m->cuts)
		return ERR_NOMEM;
	for (size_t i = 0; i < l->n_devices; i++) {
		if (!loses(l, c, &l->devices[i]))
			continue;
		if ((err = log_copy_view(c->cut, &m->cuts[m->n_cuts])) < 0)
			return err;
		m->n_cuts++;
	}
	return 0;
}

static struct bytes move(struct bytes *v)
{
	struct bytes out = *v;

	*v = bytes_of(NULL, 0);
	return out;
}

static void set_person(struct log *l, const struct log_person *person)
{
	for (size_t i = 0; i < l->n_persons; i++) {
		if (id32_equal(&l->persons[i].root, &person->root)) {
			l->persons[i] = *person;
			return;
		}
	}
	l->persons[l->n_persons++] = *person;
}

static void set_device(struct log *l, const struct log_change *c, struct copies *m)
{
	struct log_device_row *row = log_device_row(l, &c->device.ed);

	if (!row) {
		row = &l->devices[l->n_devices++];
		memset(row, 0, sizeof *row);
	} else {
		log_free_view(&row->pub.label);
		log_free_view(&row->chain);
		log_free_view(&row->cut);
	}
	row->pub = c->device;
	row->pub.label = move(&m->label);
	row->chain = move(&m->chain);
	for (size_t i = 0; i < c->chain.n; i++) {
		const struct cert_link *link = &c->chain.links[i];

		if (link->has_via && !log_find_via(l, &c->device.person, &link->via))
			l->vias[l->n_vias++] =
				(struct log_via){ .person = c->device.person, .via = link->via, .ed = link->ed };
	}
}

static void close_invite(struct log_invite *invite)
{
	invite->open = false;
	log_free_view(&invite->bundle);
}

static void forget_old_invites(struct log *l)
{
	size_t closed = 0, at = 0;

	for (size_t i = 0; i < l->n_invites; i++)
		closed += !l->invites[i].open;
	if (closed <= LOG_MAX_CLOSED)
		return;
	while (l->invites[at].open)
		at++;
	memmove(&l->invites[at], &l->invites[at + 1], (l->n_invites - at - 1) * sizeof *l->invites);
	l->n_invites--;
}

static void change_invites(struct log *l, const struct log_change *c, struct copies *m)
{
	for (size_t i = 0; i < l->n_invites; i++) {
		struct log_invite *invite = &l->invites[i];

		if (!invite->open)
			continue;
		if (c->count_join && id16_equal(&invite->id, &c->join_invite))
			invite->joins++;
		if (invite->joins >= invite->uses || c->close_all ||
			(c->close_invite && id16_equal(&invite->id, &c->closed)))
			close_invite(invite);
	}
	forget_old_invites(l);
	if (!c->set_invite)
		return;
	l->invites[l->n_invites] = c->invite;
	l->invites[l->n_invites++].bundle = move(&m->bundle);
}

static void set_cut(struct log_span *span, const struct log_change *c)
{
	span->has_cut = c->cut.len > 0;
	span->cut = c->cut_cursor;
}

static void take_rights(struct log *l, const struct log_change *c, struct copies *m)
{
	size_t cut = 0;

	for (size_t i = 0; i < l->n_devices; i++) {
		struct log_device_row *row = &l->devices[i];

		if (!loses(l, c, row))
			continue;
		if (row->pub.live)
			row->pub.lost = c->e.seq;
		else
			set_cut(&l->spans[row->span - 1], c);
		if (!c->set_role)
			row->pub.live = false;
		if (cut < m->n_cuts) {
			log_free_view(&row->cut);
			row->cut = move(&m->cuts[cut++]);
		}
	}
	if (c->lose_device && !log_revoked(l, &c->lost_person, &c->lost_device))
		l->revoked[l->n_revoked++] = (struct log_revocation){ .person = c->lost_person, .ed = c->lost_device };
	for (size_t i = 0; i < l->n_persons && c->lose_person; i++)
		if (id32_equal(&l->persons[i].root, &c->lost_person))
			l->persons[i].role = ROLE_NONE;
}

static void set_epoch(struct log *l, const struct log_change *c, struct copies *m)
{
	if (l->n_epochs)
		log_free_view(&l->epochs[l->n_epochs - 1].wraps);
	l->epochs[l->n_epochs] = c->epoch;
	l->epochs[l->n_epochs].wraps = move(&m->wraps);
	l->epochs[l->n_epochs++].back = move(&m->back);
	l->epoch = c->epoch.number;
	l->minimum = c->epoch.minimum;
}

static bool concerns(const struct log_change *c, const struct id32 *person)
{
	return ((c->set_person || c->set_role) && id32_equal(person, &c->person.root)) ||
	       (c->set_device && id32_equal(person, &c->device.person)) ||
	       ((c->lose_person || c->lose_device) && id32_equal(person, &c->lost_person));
}

/* Opens and ends the spans in which a device may write, for those of the person that changed. */
static void update_spans(struct log *l, const struct log_change *c)
{
	for (size_t i = 0; i < l->n_devices; i++) {
		struct log_device_row *row = &l->devices[i];

		if (!concerns(c, &row->pub.person))
			continue;
		const struct log_person *p = row->pub.live ? log_find_person(l, &row->pub.person) : NULL;
		bool writes = p && p->role >= ROLE_WRITER;

		struct log_span *span = row->span ? &l->spans[row->span - 1] : NULL;
		bool open = span && span->to == LOG_SPAN_OPEN;

		if (writes && !open) {
			l->spans[l->n_spans++] =
				(struct log_span){ .ed = row->pub.ed, .from = c->e.seq, .to = LOG_SPAN_OPEN };
			row->span = l->n_spans;
		} else if (!writes && open) {
			span->to = c->e.seq;
			set_cut(span, c);
		}
	}
}

int log_commit(struct log *l, const struct log_change *c)
{
	CLEANUP(copies_release) struct copies m = { .n_cuts = 0 };
	int err;

	if ((err = reserve_all(l, c)) < 0 || (err = copy_all(l, c, &m)) < 0)
		return err;
	if (c->e.type == ENTRY_GENESIS) {
		l->kind = c->genesis.kind;
		l->genesis = c->hash;
		l->genesis_key = c->e.signer;
		id16_from_hash(&c->hash, &l->space);
		l->card = c->card;
		l->card.body = bytes_of(NULL, 0);
		l->card_len = c->genesis.card.len; /* at most CARD_MAX_BLOB: the card was decoded */
		if (l->card_len)
			memcpy(l->card_blob, c->genesis.card.p, l->card_len);
	}
	if (c->set_person || c->set_role)
		set_person(l, &c->person);
	if (c->set_device)
		set_device(l, c, &m);
	change_invites(l, c, &m);
	take_rights(l, c, &m);
	if (c->set_epoch)
		set_epoch(l, c, &m);
	if (c->set_retention)
		l->retention = c->retention;
	update_spans(l, c);
	l->hashes[l->n_hashes++] = c->hash;
	return 0;
}
