/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of the membership log: whether an entry is the next one, and what it does. Decides alone; log_commit.c acts.
 * Every refusal names its reason. Rights follow from the state before the entry, never from its time.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/log_state.h"
#include "crypto/verify.h"

static int refuse(struct log *l, int err, const char *why)
{
	l->refusal = why;
	return err;
}

static bool verifying(const struct log_change *c)
{
	return c->mode == LOG_VERIFY;
}

/* The signer's row if it is a live device. */
static const struct log_device *live_signer(const struct log *l, const struct log_change *c)
{
	const struct log_device *d = log_find_device(l, &c->e.signer);

	return d && d->live ? d : NULL;
}

static bool signed_by_root(const struct log *l, const struct log_change *c)
{
	return l->kind == SPACE_PERSONAL && id32_equal(&c->e.signer, &l->genesis_key);
}

static bool signed_by_admin(const struct log *l, const struct log_change *c)
{
	return signed_by_root(l, c) || log_is_admin(l, &c->e.signer);
}

static const struct log_person *find_member(const struct log *l, const struct id32 *root)
{
	const struct log_person *p = log_find_person(l, root);

	return p && p->role != ROLE_NONE ? p : NULL;
}

static size_t count_admins(const struct log *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_persons; i++)
		n += l->persons[i].role == ROLE_ADMIN;
	return n;
}

static size_t count_devices(const struct log *l, const struct id32 *person, bool live)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_devices; i++)
		n += id32_equal(&l->devices[i].pub.person, person) && (!live || l->devices[i].pub.live);
	return n;
}

static int decide_genesis(struct log *l, struct log_change *c)
{
	int err;

	if (l->pinned && !id32_equal(&l->pin, &c->hash))
		return refuse(l, ERR_CONTEXT, "the genesis is of another space");
	if ((err = entry_get_genesis(c->e.payload, &c->genesis)) < 0)
		return refuse(l, err, "malformed genesis");
	if (c->genesis.kind == SPACE_SHARED)
		return 0;
	if (c->e.time != 0)
		return refuse(l, ERR_INVALID, "a personal genesis has no time");
	if ((err = card_verify(c->genesis.card, verifying(c), &c->card)) < 0)
		return refuse(l, err, "the person's card does not verify");
	if (!id32_equal(&c->card.root, &c->e.signer))
		return refuse(l, ERR_FORBIDDEN, "a personal genesis is signed by the person's root");
	return 0;
}

/* The links of a verified chain against what this log knows of removals and used pairing invites. */
static int check_links(struct log *l, const struct log_change *c, const struct id32 *person)
{
	for (size_t i = 0; i < c->chain.n; i++) {
		const struct cert_link *link = &c->chain.links[i];
		const struct log_via *via = link->has_via ? log_find_via(l, person, &link->via) : NULL;

		if (log_revoked(l, person, &link->ed))
			return refuse(l, ERR_FORBIDDEN, "the certificate chain passes through a removed device");
		if (link->has_via && log_revoked(l, person, &link->via))
			return refuse(l, ERR_FORBIDDEN, "the certificate chain passes through a closed pairing invite");
		if (via && !id32_equal(&via->ed, &link->ed))
			return refuse(l, ERR_EXISTS, "the pairing invite has certified another device already");
		for (size_t k = 0; k < i && link->has_via; k++)
			if (c->chain.links[k].has_via && id32_equal(&c->chain.links[k].via, &link->via))
				return refuse(l, ERR_EXISTS, "one pairing invite certifies two devices");
	}
	return 0;
}

/* Room for one more device of this person. One person must not fill what all share. */
static int check_device_caps(struct log *l, const struct log_change *c, const struct id32 *person, bool known)
{
	size_t vias = c->chain.n;

	if (!known && l->n_devices >= LOG_MAX_DEVICES)
		return refuse(l, ERR_RANGE, "too many devices");
	if (!known && count_devices(l, person, false) >= LOG_MAX_PERSON_DEVICES)
		return refuse(l, ERR_RANGE, "too many devices of one person");
	for (size_t i = 0; i < l->n_vias; i++)
		vias += id32_equal(&l->vias[i].person, person);
	if (l->n_vias + c->chain.n > LOG_MAX_VIAS || vias > LOG_MAX_PERSON_VIAS)
		return refuse(l, ERR_RANGE, "too many pairings");
	if (l->n_spans >= LOG_MAX_SPANS)
		return refuse(l, ERR_RANGE, "too many changes of rights");
	return 0;
}

/* A device to be added for `person`: certified, of keys that others can use, and not known otherwise. */
static int decide_device(struct log *l, struct log_change *c, const struct id32 *person, const struct device_keys *keys,
	struct bytes chain)
{
	const struct log_device_row *known = log_device_row(l, &keys->ed);
	const struct cert_link *last;
	int err;

	if ((err = cert_verify(chain, person, verifying(c), &c->chain)) < 0)
		return refuse(l, err, "the device's certificate chain does not verify");
	last = &c->chain.links[c->chain.n - 1];
	if (!id32_equal(&last->ed, &keys->ed) || !id32_equal(&last->x, &keys->x))
		return refuse(l, ERR_CONTEXT, "the certificate chain is for other keys");
	if ((err = check_links(l, c, person)) < 0)
		return err;
	if (known && known->pub.live)
		return refuse(l, ERR_EXISTS, "the device is a member already");
	if (known && (!id32_equal(&known->pub.person, person) || !id32_equal(&known->pub.x, &keys->x)))
		return refuse(l, ERR_FORBIDDEN, "the device key is known with another person or key");
	if ((err = check_device_caps(l, c, person, known != NULL)) < 0)
		return err;
	c->set_device = true;
	c->device = (struct log_device){ .ed = keys->ed,
		.x = keys->x,
		.person = *person,
		.live = true,
		.label = keys->label,
		.label_epoch = l->epoch ? l->epoch : 1,
		.since = c->e.seq,
		.time = c->e.time };
	c->device_chain = chain;
	return 0;
}

static int decide_person(struct log *l, struct log_change *c, struct bytes card_item, enum role role)
{
	struct person_card card;
	int err;

	if ((err = card_verify(card_item, verifying(c), &card)) < 0)
		return refuse(l, err, "the person's card does not verify");
	if (find_member(l, &card.root))
		return refuse(l, ERR_EXISTS, "the person is a member already");
	if (!log_find_person(l, &card.root) && l->n_persons >= LOG_MAX_PERSONS)
		return refuse(l, ERR_RANGE, "too many people");
	c->set_person = true;
	c->person = (struct log_person){ .root = card.root,
		.recovery_ed = card.recovery_ed,
		.recovery_x = card.recovery_x,
		.role = role,
		.since = c->e.seq,
		.time = c->e.time };
	return 0;
}

static int decide_member(struct log *l, struct log_change *c)
{
	struct entry_member p;
	int err;

	if ((err = entry_get_member(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed member entry");
	if (c->e.seq == 1) {
		if (!id32_equal(&c->e.signer, &l->genesis_key))
			return refuse(l, ERR_FORBIDDEN, "the first member is signed by the genesis key");
		if (p.role != ROLE_ADMIN)
			return refuse(l, ERR_INVALID, "the first member is an admin");
	} else if (l->kind == SPACE_PERSONAL) {
		return refuse(l, ERR_FORBIDDEN, "a personal space has one person");
	} else if (!signed_by_admin(l, c)) {
		return refuse(l, ERR_FORBIDDEN, "only an admin adds members");
	}
	if ((err = decide_person(l, c, p.card, p.role)) < 0)
		return err;
	if (l->kind == SPACE_PERSONAL && (!id32_equal(&c->person.root, &l->card.root) ||
						 !id32_equal(&c->person.recovery_ed, &l->card.recovery_ed) ||
						 !id32_equal(&c->person.recovery_x, &l->card.recovery_x)))
		return refuse(l, ERR_CONTEXT, "the first member is not the person of this space");
	return decide_device(l, c, &c->person.root, &p.device, p.chain);
}

static int decide_device_entry(struct log *l, struct log_change *c)
{
	const struct log_device *signer = live_signer(l, c);
	struct entry_device p;
	int err;

	if ((err = entry_get_device(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed device entry");
	if (!find_member(l, &p.person))
		return refuse(l, ERR_FORBIDDEN, "the device's person is no member");
	/* Certificates say nothing of whether the device's key is held: without its own signature a member could have another
	 * person's key certified as their own, and so keep its owner out. */
	if (l->kind == SPACE_SHARED && !id32_equal(&c->e.signer, &p.device.ed))
		return refuse(l, ERR_FORBIDDEN, "a device adds itself");
	/* Where pairing invites stand in the log, a device comes in through an open one, not by a certificate kept from it. */
	if (l->kind == SPACE_PERSONAL && !(signer && id32_equal(&signer->person, &p.person)) &&
		!id32_equal(&c->e.signer, &p.person))
		return refuse(l, ERR_FORBIDDEN, "a device is added by its person");
	return decide_device(l, c, &p.person, &p.device, p.chain);
}

static int verify_join(struct log *l, const struct log_change *c, const struct entry_join *p, const struct id32 *person,
	const struct id32 *key)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(512);
	int err;

	if (!verifying(c))
		return 0;
	if ((err = join_put_signed(&b, &l->space, &p->invite, person, &p->device.ed, &p->device.x)) < 0)
		return err;
	if ((err = verify_detached(JOIN_LABEL, buf_bytes(&b), p->invite_signature, key)) < 0)
		return refuse(l, err, "the invite's signature does not verify");
	return 0;
}

/* A pairing: the invite certifies the device itself, as the last link of its chain. */
static int decide_pairing(
	struct log *l, struct log_change *c, const struct entry_join *p, const struct log_invite *invite)
{
	const struct cert_link *last;
	int err;

	if (p->card.len)
		return refuse(l, ERR_INVALID, "a pairing carries no card");
	if ((err = decide_device(l, c, &l->genesis_key, &p->device, p->chain)) < 0)
		return err;
	last = &c->chain.links[c->chain.n - 1];
	if (!last->has_via || !id32_equal(&last->via, &invite->ed))
		return refuse(l, ERR_CONTEXT, "the device is not certified by this invite");
	return verify_join(l, c, p, &l->genesis_key, &invite->ed);
}

static int decide_join(struct log *l, struct log_change *c)
{
	const struct log_invite *invite;
	const struct log_device *by;
	struct entry_join p;
	int err;

	if ((err = entry_get_join(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed join entry");
	invite = log_find_invite(l, &p.invite);
	if (!invite)
		return refuse(l, ERR_NOT_FOUND, "no such invite");
	if (!invite->open)
		return refuse(l, ERR_STALE, "the invite is used up or closed");
	if (invite->ask)
		return refuse(l, ERR_FORBIDDEN, "this invite needs a member's approval");
	if (!id32_equal(&c->e.signer, &p.device.ed))
		return refuse(l, ERR_FORBIDDEN, "a join is signed by the joining device");
	c->count_join = true;
	c->join_invite = p.invite;
	if (l->kind == SPACE_PERSONAL)
		return decide_pairing(l, c, &p, invite);
	if (p.card.len == 0)
		return refuse(l, ERR_INVALID, "a join needs the person's card");
	if ((err = decide_person(l, c, p.card, invite->role)) < 0)
		return err;
	by = log_find_device(l, &invite->by);
	if (by)
		c->person.invited_by = by->person;
	if ((err = decide_device(l, c, &c->person.root, &p.device, p.chain)) < 0)
		return err;
	return verify_join(l, c, &p, &c->person.root, &invite->ed);
}

/* The epoch payload must wrap to exactly these keys. */
static int check_recipients(struct log *l, const struct entry_epoch *p, const struct id32 *without,
	const struct id32 *device, bool close_invites)
{
	FREE_AFTER struct id32 *keys = NULL;
	struct cbor_dec d = cbor_dec_init(p->wraps);
	size_t n;
	int err;

	if ((err = log_recipients_after(l, without, device, close_invites, &keys, &n)) < 0)
		return refuse(l, err, "out of memory");
	if (cbor_get_array(&d, WRAPS_MAX) != n)
		return refuse(l, ERR_FORBIDDEN, "the epoch key is not wrapped to exactly those who may have it");
	for (size_t i = 0; i < n; i++) {
		struct wrap w;

		wrap_get(&d, &w);
		if (cbor_dec_error(&d) < 0)
			return refuse(l, cbor_dec_error(&d), "malformed epoch");
		if (!id32_equal(&w.recipient, &keys[i]))
			return refuse(
				l, ERR_FORBIDDEN, "the epoch key is not wrapped to exactly those who may have it");
	}
	return 0;
}

static int decide_epoch(struct log *l, struct log_change *c, struct bytes payload, const struct id32 *without,
	const struct id32 *device, bool close_invites)
{
	struct entry_epoch p;
	int err;

	if ((err = entry_get_epoch(payload, &p)) < 0)
		return refuse(l, err, "malformed epoch");
	if (p.number != l->epoch + 1)
		return refuse(l, ERR_CONFLICT, "the epoch's number is not the next");
	if (p.number > LOG_MAX_EPOCHS)
		return refuse(l, ERR_RANGE, "too many epochs");
	if (p.minimum < l->minimum)
		return refuse(l, ERR_FORBIDDEN, "the minimum epoch goes back");
	if (without && p.minimum != p.number)
		return refuse(l, ERR_FORBIDDEN, "the epoch of a removal is the oldest that counts from then on");
	if ((err = check_recipients(l, &p, without, device, close_invites)) < 0)
		return err;
	c->set_epoch = true;
	c->epoch = (struct log_epoch){ .number = p.number,
		.minimum = p.minimum,
		.commitment = p.commitment,
		.wraps = p.wraps,
		.back = p.back,
		.prev = c->e.prev,
		.by = c->e.signer,
		.seq = c->e.seq,
		.time = c->e.time };
	return 0;
}

static int decide_epoch_entry(struct log *l, struct log_change *c)
{
	if (c->e.seq == 2 && !live_signer(l, c))
		return refuse(l, ERR_FORBIDDEN, "the first epoch is made by the first device");
	if (!signed_by_admin(l, c))
		return refuse(l, ERR_FORBIDDEN, "only an admin makes an epoch");
	return decide_epoch(l, c, c->e.payload, NULL, NULL, false);
}

/* What role, wrap and grant an invite may have, by the kind of the space. */
static int check_invite_kind(struct log *l, const struct log_change *c, const struct entry_invite *p)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(256);
	int err;

	if (p->has_wrap == p->ask)
		return refuse(l, ERR_INVALID, "an invite holds the key exactly if it asks nobody");
	if (p->has_wrap && p->wrap_epoch != l->epoch)
		return refuse(l, ERR_STALE, "the invite wraps a key of another epoch");
	if (l->kind == SPACE_SHARED) {
		if (p->role == ROLE_DEVICE || p->has_grant)
			return refuse(l, ERR_INVALID, "pairing invites are of personal spaces");
		if (p->role == ROLE_ADMIN && !p->ask)
			return refuse(l, ERR_FORBIDDEN, "an invite for an admin must ask");
		return 0;
	}
	if (p->role != ROLE_DEVICE || p->uses != 1 || !p->has_grant)
		return refuse(l, ERR_INVALID, "invites of a personal space pair one device");
	if (!verifying(c))
		return 0;
	if ((err = grant_put_signed(&b, &l->genesis_key, &p->ed)) < 0)
		return err;
	if ((err = verify_detached(GRANT_LABEL, buf_bytes(&b), p->grant, &c->e.signer)) < 0)
		return refuse(l, err, "the pairing's grant does not verify");
	return 0;
}

static int decide_invite(struct log *l, struct log_change *c)
{
	struct entry_invite p;
	size_t open = 0;
	int err;

	if ((err = entry_get_invite(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed invite");
	if (!signed_by_admin(l, c))
		return refuse(l, ERR_FORBIDDEN, "only an admin invites");
	if ((err = check_invite_kind(l, c, &p)) < 0)
		return err;
	if (verifying(c) && ((err = key_check_ed25519(&p.ed)) < 0 || (err = key_check_x25519(&p.x)) < 0))
		return refuse(l, err, "the invite's keys are unusable");
	for (size_t i = 0; i < l->n_invites; i++) {
		if (id16_equal(&l->invites[i].id, &p.id) || id32_equal(&l->invites[i].ed, &p.ed))
			return refuse(l, ERR_EXISTS, "the invite exists already");
		open += l->invites[i].open;
	}
	if (open >= LOG_MAX_INVITES)
		return refuse(l, ERR_RANGE, "too many open invites");
	c->set_invite = true;
	c->invite = (struct log_invite){ .id = p.id,
		.ed = p.ed,
		.x = p.x,
		.role = p.role,
		.uses = p.uses,
		.expires = p.expires,
		.open = true,
		.ask = p.ask,
		.has_wrap = p.has_wrap,
		.has_grant = p.has_grant,
		.wrap_epoch = p.wrap_epoch,
		.wrap_enc = p.wrap_enc,
		.bundle = p.bundle,
		.prev = c->e.prev,
		.by = c->e.signer,
		.seq = c->e.seq,
		.time = c->e.time };
	memcpy(c->invite.wrap_ct, p.wrap_ct, sizeof p.wrap_ct);
	memcpy(c->invite.grant, p.grant, sizeof p.grant);
	return 0;
}

static int decide_invite_close(struct log *l, struct log_change *c)
{
	const struct log_invite *invite;
	struct entry_invite_close p;
	int err;

	if ((err = entry_get_invite_close(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed invite_close");
	if (!signed_by_admin(l, c))
		return refuse(l, ERR_FORBIDDEN, "only an admin closes an invite");
	invite = log_find_invite(l, &p.id);
	if (!invite)
		return refuse(l, ERR_NOT_FOUND, "no such invite");
	if (!invite->open)
		return refuse(l, ERR_STALE, "the invite is used up or closed");
	c->close_invite = true;
	c->closed = p.id;
	return 0;
}

/* A cut is a head of this space, made and signed by the device that signs the entry. */
static int decide_cut(struct log *l, struct log_change *c, struct bytes cut)
{
	uint8_t signature[SIGNATURE_SIZE];
	struct bytes body;
	struct head h;
	int err;

	err = verifying(c) ? verify_head(cut, &l->space, &h) : head_decode(cut, &h, &body, signature);
	if (err < 0)
		return refuse(l, err, "the cut does not verify");
	if (!id32_equal(&h.device, &c->e.signer))
		return refuse(l, ERR_CONTEXT, "the cut is another device's head");
	c->cut = cut;
	c->cut_cursor = h.cursor;
	return 0;
}

static int decide_role(struct log *l, struct log_change *c)
{
	const struct log_person *person;
	struct entry_role p;
	int err;

	if ((err = entry_get_role(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed role entry");
	if (l->kind == SPACE_PERSONAL)
		return refuse(l, ERR_FORBIDDEN, "a personal space has one person");
	if (!signed_by_admin(l, c))
		return refuse(l, ERR_FORBIDDEN, "only an admin changes roles");
	person = find_member(l, &p.person);
	if (!person)
		return refuse(l, ERR_NOT_FOUND, "no such member");
	if (person->role == p.role)
		return refuse(l, ERR_EXISTS, "the member has this role already");
	if (person->role == ROLE_ADMIN && count_admins(l) == 1)
		return refuse(l, ERR_FORBIDDEN, "the last admin stays");
	if (p.role > person->role && (p.epoch.len || p.cut.len))
		return refuse(l, ERR_INVALID, "a promotion takes nothing away");
	if (person->role >= ROLE_WRITER && p.role < ROLE_WRITER && !p.cut.len)
		return refuse(l, ERR_INVALID, "what takes writing away carries a cut");
	if (person->role < ROLE_WRITER && p.role >= ROLE_WRITER &&
		l->n_spans + count_devices(l, &p.person, true) > LOG_MAX_SPANS)
		return refuse(l, ERR_RANGE, "too many changes of rights");
	c->close_all = p.role < person->role;
	if (p.epoch.len && (err = decide_epoch(l, c, p.epoch, NULL, NULL, true)) < 0)
		return err;
	if (p.cut.len && (err = decide_cut(l, c, p.cut)) < 0)
		return err;
	c->set_role = true;
	c->person = *person;
	c->person.role = p.role;
	return 0;
}

/* Whether a device of this person still may date records back. */
static bool person_uncut(const struct log *l, const struct id32 *person)
{
	for (size_t i = 0; i < l->n_devices; i++)
		if (id32_equal(&l->devices[i].pub.person, person) && log_uncut(l, &l->devices[i]))
			return true;
	return false;
}

static int decide_remove(struct log *l, struct log_change *c)
{
	const struct log_device *signer = live_signer(l, c);
	const struct log_person *person;
	struct entry_remove p;
	bool leaving, left;
	int err;

	if ((err = entry_get_remove(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed remove entry");
	if (l->kind == SPACE_PERSONAL)
		return refuse(l, ERR_FORBIDDEN, "a personal space has one person");
	leaving = signer && id32_equal(&signer->person, &p.person);
	if (!leaving && !signed_by_admin(l, c))
		return refuse(l, ERR_FORBIDDEN, "only an admin removes members");
	person = log_find_person(l, &p.person);
	left = person && person->role == ROLE_NONE && person_uncut(l, &p.person);
	if (!person || (person->role == ROLE_NONE && !left))
		return refuse(l, ERR_NOT_FOUND, "no such member");
	if (person->role == ROLE_ADMIN && count_admins(l) == 1)
		return refuse(l, ERR_FORBIDDEN, "the last admin stays");
	c->lose_person = true;
	c->lost_person = p.person;
	c->close_all = !leaving || person->role == ROLE_ADMIN;
	if (leaving)
		return p.epoch.len || p.cut.len ? refuse(l, ERR_INVALID, "who leaves makes no epoch and no cut") : 0;
	if (!p.epoch.len || !p.cut.len)
		return refuse(l, ERR_INVALID, "a removal carries the next epoch and a cut");
	if ((err = decide_epoch(l, c, p.epoch, &p.person, NULL, true)) < 0)
		return err;
	return decide_cut(l, c, p.cut);
}

/* What the removal of this device must carry, by who removes it. */
static int check_device_cut(struct log *l, const struct log_change *c, const struct entry_device_remove *p,
	const struct log_device_row *target, bool own, bool admin)
{
	bool another = live_signer(l, c) && !id32_equal(&c->e.signer, &p->device);

	if (!own && (!p->epoch.len || !p->cut.len))
		return refuse(l, ERR_INVALID, "the removal of another's device carries the next epoch and a cut");
	if (own && another && target && (target->pub.live || log_uncut(l, target)) && !p->cut.len)
		return refuse(l, ERR_INVALID, "the removal of another device carries a cut");
	if (p->cut.len && !another)
		return refuse(l, ERR_INVALID, "a cut is another device's");
	if (p->epoch.len && !admin)
		return refuse(l, ERR_FORBIDDEN, "only an admin makes an epoch");
	return 0;
}

/* Room to remember one more removed key; a known device has its place already. */
static int check_revoked_caps(struct log *l, const struct id32 *person)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_revoked; i++)
		n += id32_equal(&l->revoked[i].person, person) && !log_device_row(l, &l->revoked[i].ed);
	if (n >= LOG_MAX_PERSON_REVOKED || l->n_revoked >= LOG_MAX_REVOKED)
		return refuse(l, ERR_RANGE, "too many removed devices");
	return 0;
}

static int decide_device_remove(struct log *l, struct log_change *c)
{
	const struct log_device *signer = live_signer(l, c);
	const struct log_device_row *target;
	struct entry_device_remove p;
	bool own, admin = signed_by_admin(l, c);
	int err;

	if ((err = entry_get_device_remove(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed device_remove entry");
	own = (signer && id32_equal(&signer->person, &p.person)) ||
	      (id32_equal(&c->e.signer, &p.person) && find_member(l, &p.person));
	if (!own && !admin)
		return refuse(l, ERR_FORBIDDEN, "a device is removed by its person or an admin");
	target = log_device_row(l, &p.device);
	if (target && !id32_equal(&target->pub.person, &p.person))
		return refuse(l, ERR_CONTEXT, "the device is another person's");
	if (log_revoked(l, &p.person, &p.device) && !(target && log_uncut(l, target) && p.cut.len))
		return refuse(l, ERR_EXISTS, "the device is removed already");
	if (!own && !target)
		return refuse(l, ERR_NOT_FOUND, "no such device");
	if ((err = check_device_cut(l, c, &p, target, own, admin)) < 0 ||
		(!target && (err = check_revoked_caps(l, &p.person)) < 0))
		return err;
	c->lose_device = true;
	c->lost_person = p.person;
	c->lost_device = p.device;
	c->close_all = admin;
	if (p.epoch.len && (err = decide_epoch(l, c, p.epoch, &p.person, &p.device, true)) < 0)
		return err;
	return p.cut.len ? decide_cut(l, c, p.cut) : 0;
}

static int decide_retention(struct log *l, struct log_change *c)
{
	struct entry_retention p;
	int err;

	if ((err = entry_get_retention(c->e.payload, &p)) < 0)
		return refuse(l, err, "malformed retention entry");
	if (!signed_by_admin(l, c))
		return refuse(l, ERR_FORBIDDEN, "only an admin sets the retention");
	if (p.seconds > LOG_MAX_RETENTION)
		return refuse(l, ERR_RANGE, "retention out of range");
	c->set_retention = true;
	c->retention = p.seconds;
	return 0;
}

/* Place in the chain, before anything else is looked at. */
static int check_place(struct log *l, const struct log_change *c)
{
	const struct entry *e = &c->e;

	if (l->n_hashes == 0)
		return e->type == ENTRY_GENESIS ? 0 : refuse(l, ERR_CONFLICT, "a log begins with a genesis");
	if (e->type == ENTRY_GENESIS)
		return refuse(l, ERR_CONFLICT, "a log has one genesis");
	if (!id16_equal(&e->space, &l->space))
		return refuse(l, ERR_CONTEXT, "the entry is of another space");
	if (e->seq != l->n_hashes)
		return refuse(l, ERR_CONFLICT, "the entry is not the next");
	if (!id32_equal(&e->prev, log_head(l)))
		return refuse(l, ERR_CONFLICT, "the entry follows another history");
	if (l->n_hashes >= LOG_MAX_ENTRIES)
		return refuse(l, ERR_RANGE, "the log is full");
	if (l->n_hashes >= LOG_MAX_ENTRIES - LOG_ADMIN_ENTRIES && !signed_by_admin(l, c))
		return refuse(l, ERR_RANGE, "what is left of the log is the admins'");
	if ((e->seq == 1) && e->type != ENTRY_MEMBER)
		return refuse(l, ERR_FORBIDDEN, "the second entry names the first member");
	if ((e->seq == 2) && e->type != ENTRY_EPOCH)
		return refuse(l, ERR_FORBIDDEN, "the third entry is the first epoch");
	return 0;
}

static int decide_by_type(struct log *l, struct log_change *c)
{
	switch (c->e.type) {
	case ENTRY_GENESIS:
		return decide_genesis(l, c);
	case ENTRY_MEMBER:
		return decide_member(l, c);
	case ENTRY_JOIN:
		return decide_join(l, c);
	case ENTRY_DEVICE:
		return decide_device_entry(l, c);
	case ENTRY_EPOCH:
		return decide_epoch_entry(l, c);
	case ENTRY_INVITE:
		return decide_invite(l, c);
	case ENTRY_INVITE_CLOSE:
		return decide_invite_close(l, c);
	case ENTRY_ROLE:
		return decide_role(l, c);
	case ENTRY_REMOVE:
		return decide_remove(l, c);
	case ENTRY_DEVICE_REMOVE:
		return decide_device_remove(l, c);
	case ENTRY_RETENTION:
		return decide_retention(l, c);
	}
	return refuse(l, ERR_VERSION, "unknown type of entry");
}

int log_decide(struct log *l, struct bytes blob, enum log_mode mode, struct log_change *c)
{
	int err;

	memset(c, 0, sizeof *c);
	c->mode = mode;
	l->refusal = "";
	if ((err = entry_decode(blob, &c->e)) < 0)
		return refuse(l, err, "malformed entry");
	if ((err = check_place(l, c)) < 0)
		return err;
	hash_sha256(blob, &c->hash);
	if (verifying(c) && (err = verify_detached(ENTRY_LABEL, c->e.body, c->e.signature, &c->e.signer)) < 0)
		return refuse(l, err, "the entry's signature does not verify");
	return decide_by_type(l, c);
}
