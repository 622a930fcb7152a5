/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One case for each single check of log_apply: an entry that is right in everything else. (test_log_apply.c has the stories.)
 */
#include "tests/lib/party.h"

#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/sign.h"

/* alice is the admin of `s`, bob a writer in it; carol is not in it. */
struct world {
	struct party alice, bob, carol;
	struct new_space s;
	struct buf payload, blob, cut;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	party_init(&w->alice, "alice");
	party_init(&w->bob, "bob");
	party_init(&w->carol, "carol");
	party_space(&w->alice, &w->s);
	party_join(&w->alice, &w->bob, &w->s, ROLE_WRITER);
	w->payload = w->blob = (struct buf)BUF_INIT(ENTRY_MAX_BLOB);
	w->cut = (struct buf)BUF_INIT(CUT_MAX);
	party_cut(&w->alice, w->s.log, &w->cut);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	party_release(&w->alice);
	party_release(&w->bob);
	party_release(&w->carol);
	new_space_release(&w->s);
	buf_release(&w->payload);
	buf_release(&w->blob);
	buf_release(&w->cut);
	free(w);
	return 0;
}

static const struct secret *key_of(const struct party *p)
{
	return identity_sign_secret(p->id);
}

/* Signs what stands in w->payload, tries it on the log and empties the payload. The reason must be this one. */
static void refused(
	struct world *w, struct log *log, enum entry_type type, const struct secret *key, int err, const char *why)
{
	buf_clear(&w->blob);
	party_sign(log, type, buf_bytes(&w->payload), key, &w->blob);
	party_refused(log, &w->blob, err);
	assert_string_equal(log_refusal(log), why);
	buf_clear(&w->payload);
}

static void accepted(struct world *w, struct log *log, enum entry_type type, const struct secret *key)
{
	buf_clear(&w->blob);
	party_sign(log, type, buf_bytes(&w->payload), key, &w->blob);
	party_apply(log, &w->blob);
	buf_clear(&w->payload);
}

static struct device_keys keys_of(const struct party *p)
{
	return (struct device_keys){ .ed = *identity_device(p->id), .x = *identity_device_x(p->id) };
}

static struct entry_member member_of(const struct party *p, enum role role)
{
	return (struct entry_member){
		.card = identity_card(p->id), .role = role, .device = keys_of(p), .chain = identity_chain(p->id)
	};
}

/* ---- the beginning ---- */

static void genesis_signers(void **state)
{
	struct world *w = *state;
	struct entry_genesis g = { .kind = SPACE_PERSONAL, .card = person_card(w->bob.person) };
	struct entry e = { .type = ENTRY_GENESIS };
	struct buf body = BUF_INIT(4096);
	uint8_t signature[64];
	struct log *l;

	/* time 0, bob's card, carol's root */
	assert_int_equal(log_new(NULL, &l), 0);
	assert_int_equal(entry_put_genesis(&w->payload, &g), 0);
	e.payload = buf_bytes(&w->payload);
	e.signer = *person_root(w->carol.person);
	assert_int_equal(entry_put_body(&body, &e), 0);
	assert_int_equal(
		sign_detached(ENTRY_LABEL, buf_bytes(&body), person_root_secret(w->carol.person), signature), 0);
	assert_int_equal(entry_put(&w->blob, buf_bytes(&body), signature), 0);
	party_refused(l, &w->blob, ERR_FORBIDDEN);
	buf_release(&body);
	log_free(l);
}

static void first_members(void **state)
{
	struct world *w = *state;
	struct entry_member p = member_of(&w->bob, ROLE_ADMIN);
	struct log *l;

	assert_int_equal(log_new(NULL, &l), 0);
	party_apply(l, &w->bob.own.blobs[0]);
	assert_int_equal(entry_put_member(&w->payload, &p), 0);
	refused(w, l, ENTRY_MEMBER, key_of(&w->bob), ERR_FORBIDDEN, "the first member is signed by the genesis key");
	p.role = ROLE_WRITER;
	assert_int_equal(entry_put_member(&w->payload, &p), 0);
	refused(w, l, ENTRY_MEMBER, person_root_secret(w->bob.person), ERR_INVALID, "the first member is an admin");
	p.role = ROLE_ADMIN;
	assert_int_equal(entry_put_member(&w->payload, &p), 0);
	accepted(w, l, ENTRY_MEMBER, person_root_secret(w->bob.person));

	/* the first epoch, right but for its signer, the root */
	struct id32 *recipients;
	size_t n;
	assert_int_equal(log_recipients(l, NULL, NULL, &recipients, &n), 0);
	assert_int_equal(epoch_put_payload(&w->payload, log_space(l), 1, epoch_ring_get(w->bob.own.ring, 1), NULL, 1,
				 log_head(l), recipients, n),
		0);
	refused(w, l, ENTRY_EPOCH, person_root_secret(w->bob.person), ERR_FORBIDDEN,
		"the first epoch is made by the first device");
	free(recipients);

	/* a personal space takes no second person */
	p = member_of(&w->carol, ROLE_WRITER);
	assert_int_equal(entry_put_member(&w->payload, &p), 0);
	refused(w, w->bob.own.log, ENTRY_MEMBER, key_of(&w->bob), ERR_FORBIDDEN, "a personal space has one person");
	log_free(l);
}

static void sign_at(struct world *w, uint64_t seq, const struct id32 *prev)
{
	struct entry_retention r = { .seconds = 1 };
	struct buf body = BUF_INIT(1024), payload = BUF_INIT(64);
	struct entry e = { .type = ENTRY_RETENTION,
		.space = *log_space(w->s.log),
		.seq = seq,
		.prev = *prev,
		.signer = *identity_device(w->alice.id) };
	uint8_t signature[64];

	assert_int_equal(entry_put_retention(&payload, &r), 0);
	e.payload = buf_bytes(&payload);
	assert_int_equal(entry_put_body(&body, &e), 0);
	assert_int_equal(sign_detached(ENTRY_LABEL, buf_bytes(&body), key_of(&w->alice), signature), 0);
	buf_clear(&w->blob);
	assert_int_equal(entry_put(&w->blob, buf_bytes(&body), signature), 0);
	buf_release(&body);
	buf_release(&payload);
}

static void places(void **state)
{
	struct world *w = *state;
	struct id32 other = { { 1 } };

	sign_at(w, log_count(w->s.log) + 1, log_head(w->s.log));
	party_refused(w->s.log, &w->blob, ERR_CONFLICT);
	sign_at(w, log_count(w->s.log), &other);
	party_refused(w->s.log, &w->blob, ERR_CONFLICT);
	sign_at(w, log_count(w->s.log), log_head(w->s.log));
	party_apply(w->s.log, &w->blob);
}

/* carol's keys on a card that somebody changed, in a genesis and in a member entry. */
static void forged_cards(void **state)
{
	struct world *w = *state;
	struct entry_member p = member_of(&w->carol, ROLE_WRITER);
	struct entry_genesis g = { .kind = SPACE_PERSONAL };
	struct entry e = { .type = ENTRY_GENESIS, .signer = *person_root(w->carol.person) };
	struct buf body = BUF_INIT(4096), item = BUF_INIT(CARD_MAX_BLOB), map = BUF_INIT(CARD_MAX_BLOB);
	uint8_t signature[64];
	struct person_card card;
	struct log *l;

	assert_int_equal(person_card_decode(p.card, &card), 0);
	card.recovery_x = *identity_device_x(w->bob.id); /* another's recovery key, the old signature */
	assert_int_equal(person_card_put_body(&map, &card), 0);
	assert_int_equal(person_card_put(&item, buf_bytes(&map), card.signature), 0);
	p.card = g.card = buf_bytes(&item);
	assert_int_equal(entry_put_member(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_MEMBER, key_of(&w->alice), ERR_SIGNATURE, "the person's card does not verify");
	assert_int_equal(entry_put_genesis(&w->payload, &g), 0);
	e.payload = buf_bytes(&w->payload);
	assert_int_equal(entry_put_body(&body, &e), 0);
	assert_int_equal(
		sign_detached(ENTRY_LABEL, buf_bytes(&body), person_root_secret(w->carol.person), signature), 0);
	buf_clear(&w->blob);
	assert_int_equal(entry_put(&w->blob, buf_bytes(&body), signature), 0);
	assert_int_equal(log_new(NULL, &l), 0);
	party_refused(l, &w->blob, ERR_SIGNATURE);
	log_free(l);
	buf_release(&body);
	buf_release(&item);
	buf_release(&map);
}

/* ---- devices ---- */

static void devices(void **state)
{
	struct world *w = *state;
	struct entry_device p = {
		.person = *identity_person(w->bob.id), .device = keys_of(&w->bob), .chain = identity_chain(w->bob.id)
	};
	struct party phone;

	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_DEVICE, key_of(&w->bob), ERR_EXISTS, "the device is a member already");
	party_pair(&w->bob, "phone", &phone);
	p.chain = identity_chain(phone.id);
	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_DEVICE, key_of(&w->bob), ERR_CONTEXT, "the certificate chain is for other keys");
	p.device = keys_of(&phone);
	p.device.x = *identity_device_x(w->bob.id);
	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_DEVICE, key_of(&phone), ERR_CONTEXT, "the certificate chain is for other keys");
	p.device = keys_of(&phone);
	p.chain = identity_chain(w->alice.id);
	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_DEVICE, key_of(&phone), ERR_CONTEXT,
		"the device's certificate chain does not verify");
	party_release(&phone);
}

/* A device key that was one person's cannot come back as another's, or with another X25519 key. */
static void known_keys(void **state)
{
	struct world *w = *state;
	struct entry_maker m = party_maker(&w->bob, w->s.log);
	struct cert_link link = { .issuer = *person_root(w->carol.person),
		.ed = *identity_device(w->bob.id),
		.x = *identity_device_x(w->bob.id) };
	struct buf chain = BUF_INIT(CERT_MAX_BYTES), b = BUF_INIT(256);
	struct entry_member p;

	assert_int_equal(entry_make_leave(&m, NULL, bytes_of(NULL, 0), &w->blob), 0);
	party_apply(w->s.log, &w->blob);
	/* carol certifies bob's device as her own */
	assert_int_equal(cert_put_signed(&b, &link.issuer, &link.ed, &link.x), 0);
	assert_int_equal(
		sign_detached(CERT_LABEL, buf_bytes(&b), person_root_secret(w->carol.person), link.issuer_signature),
		0);
	assert_int_equal(cert_chain_put_head(&chain, 1), 0);
	assert_int_equal(cert_link_put(&chain, &link), 0);
	p = member_of(&w->carol, ROLE_WRITER);
	p.device = keys_of(&w->bob);
	p.chain = buf_bytes(&chain);
	assert_int_equal(entry_put_member(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_MEMBER, key_of(&w->alice), ERR_FORBIDDEN,
		"the device key is known with another person or key");
	/* bob himself returns */
	p = member_of(&w->bob, ROLE_WRITER);
	assert_int_equal(entry_put_member(&w->payload, &p), 0);
	accepted(w, w->s.log, ENTRY_MEMBER, key_of(&w->alice));
	buf_release(&chain);
	buf_release(&b);
}

/* A chain whose two pairings went through one invite. */
static void one_invite_twice_in_a_chain(void **state)
{
	struct world *w = *state;
	const struct id32 *root = identity_person(w->bob.id);
	struct buf chain = BUF_INIT(CERT_MAX_BYTES), b = BUF_INIT(256);
	struct cert_link links[3] = { { .issuer = *root } };
	struct secret *ed[3], *via;
	struct id32 via_public;

	assert_int_equal(sign_keypair_new(&via, &via_public), 0);
	assert_int_equal(cert_chain_put_head(&chain, 3), 0);
	for (size_t i = 0; i < 3; i++) {
		struct cert_link *l = &links[i];
		const struct secret *issuer = i ? ed[i - 1] : person_root_secret(w->bob.person);

		assert_int_equal(sign_keypair_new(&ed[i], &l->ed), 0);
		l->x = i == 0 ? *identity_device_x(w->bob.id) : *identity_device_x(w->carol.id);
		l->issuer = i ? links[i - 1].ed : *root;
		l->has_via = i > 0;
		l->via = via_public;
		buf_clear(&b);
		assert_int_equal(cert_put_signed(&b, root, &l->ed, &l->x), 0);
		assert_int_equal(sign_detached(CERT_LABEL, buf_bytes(&b), i ? via : issuer,
					 i ? l->via_signature : l->issuer_signature),
			0);
		buf_clear(&b);
		assert_int_equal(grant_put_signed(&b, root, &via_public), 0);
		if (i)
			assert_int_equal(sign_detached(GRANT_LABEL, buf_bytes(&b), issuer, l->issuer_signature), 0);
		assert_int_equal(cert_link_put(&chain, l), 0);
	}
	struct entry_device p = {
		.person = *root, .device = { .ed = links[2].ed, .x = links[2].x }, .chain = buf_bytes(&chain)
	};
	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_DEVICE, ed[2], ERR_EXISTS, "one pairing invite certifies two devices");
	for (size_t i = 0; i < 3; i++)
		secret_free(ed[i]);
	secret_free(via);
	buf_release(&chain);
	buf_release(&b);
}

/* ---- invites ---- */

static void invites(void **state)
{
	struct world *w = *state;
	struct entry_invite good = { .role = ROLE_WRITER,
		.uses = 1,
		.bundle = bytes_str("b"),
		.has_wrap = true,
		.wrap_epoch = 1,
		.wrap_enc = { { 1 } } };
	struct entry_invite_close c = { .id = { { 1 } } };
	struct entry_invite p;
	struct invite_keys k, k2;

	party_keys(&k);
	party_keys(&k2);
	good.id = k.id;
	good.ed = k.ed_public;
	good.x = k.x_public;
	p = good;
	p.ask = true; /* with a wrap */
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_INVITE, key_of(&w->alice), ERR_INVALID,
		"an invite holds the key exactly if it asks nobody");
	p.ask = p.has_wrap = false;
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_INVITE, key_of(&w->alice), ERR_INVALID,
		"an invite holds the key exactly if it asks nobody");
	p = good;
	p.wrap_epoch = 2;
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_INVITE, key_of(&w->alice), ERR_STALE, "the invite wraps a key of another epoch");
	p = good;
	p.x = (struct id32){ { 1 } };
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_INVITE, key_of(&w->alice), ERR_INVALID, "the invite's keys are unusable");
	assert_int_equal(entry_put_invite(&w->payload, &good), 0);
	accepted(w, w->s.log, ENTRY_INVITE, key_of(&w->alice));
	p = good; /* the id again, then the key again */
	p.ed = k2.ed_public;
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_INVITE, key_of(&w->alice), ERR_EXISTS, "the invite exists already");
	p = good;
	p.id = k2.id;
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_INVITE, key_of(&w->alice), ERR_EXISTS, "the invite exists already");
	assert_int_equal(entry_put_invite_close(&w->payload, &c), 0);
	refused(w, w->s.log, ENTRY_INVITE_CLOSE, key_of(&w->alice), ERR_NOT_FOUND, "no such invite");
	invite_keys_release(&k);
	invite_keys_release(&k2);
}

static void grants(void **state)
{
	struct world *w = *state;
	struct party *a = &w->alice;
	struct invite_params params = { .role = ROLE_DEVICE, .uses = 1, .relay = PARTY_RELAY, .name = "" };
	struct entry_maker m = party_maker(a, a->own.log);
	struct entry_invite p;
	struct invite_keys k;
	struct buf blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry e;

	party_keys(&k);
	assert_int_equal(entry_make_invite(&m, a->own.ring, &params, &k, &blob), 0);
	assert_int_equal(entry_decode(buf_bytes(&blob), &e), 0);
	assert_int_equal(entry_get_invite(e.payload, &p), 0);
	p.grant[0] ^= 1;
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, a->own.log, ENTRY_INVITE, key_of(a), ERR_SIGNATURE, "the pairing's grant does not verify");
	p.grant[0] ^= 1;
	p.uses = 2;
	assert_int_equal(entry_put_invite(&w->payload, &p), 0);
	refused(w, a->own.log, ENTRY_INVITE, key_of(a), ERR_INVALID, "invites of a personal space pair one device");
	invite_keys_release(&k);
	buf_release(&blob);
}

static void pairings(void **state)
{
	struct world *w = *state;
	struct party *a = &w->alice;
	struct invite_keys k, k2;
	struct invite_bundle bundle;
	struct epoch_ring *ring;
	struct identity *phone;
	struct entry_join p;
	struct entry e;
	struct buf join = BUF_INIT(ENTRY_MAX_BLOB), b = BUF_INIT(512);

	party_invite(a, &a->own, ROLE_DEVICE, 1, &k);
	party_invite(a, &a->own, ROLE_DEVICE, 1, &k2);
	assert_int_equal(invite_open(a->own.log, &k, &bundle, &ring), 0);
	assert_int_equal(identity_pair(a->own.log, &k, ring, bytes_str("p"), PARTY_NOW, &phone, &join), 0);
	assert_int_equal(entry_decode(buf_bytes(&join), &e), 0);
	assert_int_equal(entry_get_join(e.payload, &p), 0);
	p.card = identity_card(a->id);
	assert_int_equal(entry_put_join(&w->payload, &p), 0);
	refused(w, a->own.log, ENTRY_JOIN, identity_sign_secret(phone), ERR_INVALID, "a pairing carries no card");
	/* certified by the one invite, joined by the other */
	p.card = bytes_of(NULL, 0);
	p.invite = k2.id;
	assert_int_equal(
		join_put_signed(&b, log_space(a->own.log), &k2.id, identity_person(a->id), &p.device.ed, &p.device.x),
		0);
	assert_int_equal(sign_detached(JOIN_LABEL, buf_bytes(&b), k2.ed, p.invite_signature), 0);
	assert_int_equal(entry_put_join(&w->payload, &p), 0);
	refused(w, a->own.log, ENTRY_JOIN, identity_sign_secret(phone), ERR_CONTEXT,
		"the device is not certified by this invite");
	identity_free(phone);
	epoch_ring_free(ring);
	invite_keys_release(&k);
	invite_keys_release(&k2);
	buf_release(&join);
	buf_release(&b);
}

/* ---- roles and removals ---- */

static void roles(void **state)
{
	struct world *w = *state;
	struct entry_role p = { .person = *identity_person(w->carol.id), .role = ROLE_READER };

	assert_int_equal(entry_put_role(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_ROLE, key_of(&w->alice), ERR_NOT_FOUND, "no such member");
	p.person = *identity_person(w->bob.id);
	p.role = ROLE_WRITER;
	assert_int_equal(entry_put_role(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_ROLE, key_of(&w->alice), ERR_EXISTS, "the member has this role already");
	p.role = ROLE_ADMIN;
	p.cut = buf_bytes(&w->cut);
	assert_int_equal(entry_put_role(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_ROLE, key_of(&w->alice), ERR_INVALID, "a promotion takes nothing away");
	p = (struct entry_role){ .person = *identity_person(w->alice.id), .role = ROLE_READER };
	assert_int_equal(entry_put_role(&w->payload, &p), 0);
	refused(w, w->alice.own.log, ENTRY_ROLE, key_of(&w->alice), ERR_FORBIDDEN, "a personal space has one person");
}

static void removals(void **state)
{
	struct world *w = *state;
	struct entry_remove p = { .person = *identity_person(w->carol.id) };
	struct entry_remove own = { .person = *identity_person(w->bob.id), .cut = buf_bytes(&w->cut) };

	assert_int_equal(entry_put_remove(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_REMOVE, key_of(&w->alice), ERR_NOT_FOUND, "no such member");
	assert_int_equal(entry_put_remove(&w->payload, &own), 0);
	refused(w, w->s.log, ENTRY_REMOVE, key_of(&w->bob), ERR_INVALID, "who leaves makes no epoch and no cut");
	p.person = *identity_person(w->alice.id);
	assert_int_equal(entry_put_remove(&w->payload, &p), 0);
	refused(w, w->alice.own.log, ENTRY_REMOVE, key_of(&w->alice), ERR_FORBIDDEN, "a personal space has one person");
}

static void forged_cuts(void **state)
{
	struct world *w = *state;
	struct entry_role p = { .person = *identity_person(w->bob.id), .role = ROLE_READER };

	w->cut.data[w->cut.len - 1] ^= 1;
	p.cut = buf_bytes(&w->cut);
	assert_int_equal(entry_put_role(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_ROLE, key_of(&w->alice), ERR_SIGNATURE, "the cut does not verify");
}

static void put_device_remove(
	struct world *w, const struct party *whose, const struct id32 *device, struct bytes epoch, struct bytes cut)
{
	struct entry_device_remove p = {
		.person = *identity_person(whose->id), .device = *device, .epoch = epoch, .cut = cut
	};

	assert_int_equal(entry_put_device_remove(&w->payload, &p), 0);
}

static void device_removals(void **state)
{
	struct world *w = *state;
	const struct id32 *bobs = identity_device(w->bob.id), *carols = identity_device(w->carol.id);
	struct buf epoch = BUF_INIT(ENTRY_MAX_BLOB);
	struct bytes none = bytes_of(NULL, 0);
	struct id32 *recipients;
	struct log *l = w->s.log;
	size_t n;

	put_device_remove(w, &w->bob, bobs, none, none);
	refused(w, l, ENTRY_DEVICE_REMOVE, key_of(&w->carol), ERR_FORBIDDEN,
		"a device is removed by its person or an admin");
	put_device_remove(w, &w->bob, bobs, none, none);
	refused(w, l, ENTRY_DEVICE_REMOVE, person_root_secret(w->carol.person), ERR_FORBIDDEN,
		"a device is removed by its person or an admin");
	/* someone who is no member any more, or never was, removes nothing, not even their own */
	put_device_remove(w, &w->carol, carols, none, none);
	refused(w, l, ENTRY_DEVICE_REMOVE, person_root_secret(w->carol.person), ERR_FORBIDDEN,
		"a device is removed by its person or an admin");
	put_device_remove(w, &w->bob, carols, none, none);
	refused(w, l, ENTRY_DEVICE_REMOVE, key_of(&w->alice), ERR_NOT_FOUND, "no such device");
	put_device_remove(w, &w->bob, bobs, none, buf_bytes(&w->cut));
	refused(w, l, ENTRY_DEVICE_REMOVE, key_of(&w->alice), ERR_INVALID,
		"the removal of another's device carries the next epoch and a cut");

	/* a writer removes an own device with an epoch */
	assert_int_equal(log_recipients(l, identity_person(w->bob.id), bobs, &recipients, &n), 0);
	assert_int_equal(epoch_put_payload(&epoch, log_space(l), 2, epoch_ring_get(w->s.ring, 1),
				 epoch_ring_get(w->s.ring, 1), 2, log_head(l), recipients, n),
		0);
	put_device_remove(w, &w->bob, bobs, buf_bytes(&epoch), none);
	refused(w, l, ENTRY_DEVICE_REMOVE, key_of(&w->bob), ERR_FORBIDDEN, "only an admin makes an epoch");
	put_device_remove(w, &w->bob, bobs, none, none);
	accepted(w, l, ENTRY_DEVICE_REMOVE, key_of(&w->bob));
	put_device_remove(w, &w->bob, bobs, none, none);
	refused(w, l, ENTRY_DEVICE_REMOVE, person_root_secret(w->bob.person), ERR_EXISTS,
		"the device is removed already");
	free(recipients);
	buf_release(&epoch);
}

static void a_members_root_is_no_device(void **state)
{
	struct world *w = *state;
	struct entry_retention r = { .seconds = 1 };
	struct entry_device p = { .person = *identity_person(w->alice.id) };
	struct party phone;

	assert_int_equal(entry_put_retention(&w->payload, &r), 0);
	refused(w, w->s.log, ENTRY_RETENTION, person_root_secret(w->alice.person), ERR_FORBIDDEN,
		"only an admin sets the retention");
	party_pair(&w->alice, "phone", &phone);
	p.device = keys_of(&phone);
	p.chain = identity_chain(phone.id);
	assert_int_equal(entry_put_device(&w->payload, &p), 0);
	refused(w, w->s.log, ENTRY_DEVICE, person_root_secret(w->alice.person), ERR_FORBIDDEN, "a device adds itself");
	party_release(&phone);
}

#define PEOPLE (LOG_MAX_PERSONS - 2)

/* ---- caps, on a log that is trusted so that nothing need be signed ---- */

static int trusted(
	struct log *l, enum entry_type type, struct bytes payload, const struct id32 *signer, struct buf *blob)
{
	static const uint8_t signature[64];
	struct buf body = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry e = { .type = type,
		.space = *log_space(l),
		.seq = log_count(l),
		.prev = *log_head(l),
		.signer = *signer,
		.payload = payload };
	int err;

	buf_clear(blob);
	assert_int_equal(entry_put_body(&body, &e), 0);
	assert_int_equal(entry_put(blob, buf_bytes(&body), signature), 0);
	buf_release(&body);
	err = log_apply(l, buf_bytes(blob), LOG_TRUSTED);
	return err;
}

/* A person number n, or a device number n of person number n % PEOPLE, nothing of it signed; *ret_device is its key. */
static void put_stranger(struct world *w, uint32_t n, bool device_only, struct id32 *ret_device)
{
	struct id32 id = { { 0xff } }, via = { { 0xfd } };
	uint32_t who = device_only ? n % PEOPLE : n;
	struct cert_link link = { .has_via = device_only };
	struct person_card card = { .body = { NULL, 0 } };
	struct buf body = BUF_INIT(256), item = BUF_INIT(512), chain = BUF_INIT(1024);

	memcpy(&id.b[1], &who, sizeof who);
	memcpy(&via.b[1], &n, sizeof n);
	link.issuer = card.root = id;
	link.via = via;
	id.b[0] = 0xfe;
	memcpy(&id.b[1], &n, sizeof n);
	*ret_device = link.ed = link.x = id;
	assert_int_equal(person_card_put_body(&body, &card), 0);
	assert_int_equal(person_card_put(&item, buf_bytes(&body), card.signature), 0);
	assert_int_equal(cert_chain_put_head(&chain, 1), 0);
	assert_int_equal(cert_link_put(&chain, &link), 0);
	struct entry_member m = { .card = buf_bytes(&item),
		.role = ROLE_READER,
		.device = { .ed = id, .x = id },
		.chain = buf_bytes(&chain) };
	struct entry_device d = { .person = link.issuer, .device = m.device, .chain = m.chain };
	buf_clear(&w->payload);
	assert_int_equal(device_only ? entry_put_device(&w->payload, &d) : entry_put_member(&w->payload, &m), 0);
	buf_release(&body);
	buf_release(&item);
	buf_release(&chain);
}

static void people_and_devices_are_limited(void **state)
{
	struct world *w = *state;
	struct log *l = w->s.log;
	const struct id32 *alice = identity_device(w->alice.id);
	struct id32 device;
	uint32_t n = 0;

	for (; n < PEOPLE; n++) {
		put_stranger(w, n, false, &device);
		assert_int_equal(trusted(l, ENTRY_MEMBER, buf_bytes(&w->payload), alice, &w->blob), 0);
	}
	put_stranger(w, n, false, &device);
	assert_int_equal(trusted(l, ENTRY_MEMBER, buf_bytes(&w->payload), alice, &w->blob), ERR_RANGE);
	assert_string_equal(log_refusal(l), "too many people");
	for (; n < LOG_MAX_DEVICES - 2; n++) {
		put_stranger(w, n, true, &device);
		assert_int_equal(trusted(l, ENTRY_DEVICE, buf_bytes(&w->payload), &device, &w->blob), 0);
	}
	put_stranger(w, n, true, &device);
	assert_int_equal(trusted(l, ENTRY_DEVICE, buf_bytes(&w->payload), &device, &w->blob), ERR_RANGE);
	assert_string_equal(log_refusal(l), "too many devices");
}

static void entries_are_limited(void **state)
{
	struct world *w = *state;
	struct log *l = w->s.log;
	const struct id32 *alice = identity_device(w->alice.id);
	struct entry_retention r = { .seconds = 1 };
	int err = 0;

	assert_int_equal(entry_put_retention(&w->payload, &r), 0);
	while (log_count(l) < LOG_MAX_ENTRIES && err == 0)
		err = trusted(l, ENTRY_RETENTION, buf_bytes(&w->payload), alice, &w->blob);
	assert_int_equal(err, 0);
	assert_int_equal(trusted(l, ENTRY_RETENTION, buf_bytes(&w->payload), alice, &w->blob), ERR_RANGE);
	assert_string_equal(log_refusal(l), "the log is full");
}

static void removed_devices_and_retention_are_limited(void **state)
{
	struct world *w = *state;
	struct log *l = w->s.log;
	const struct id32 *alice = identity_device(w->alice.id);
	struct entry_retention r = { .seconds = UINT64_MAX };
	struct entry_device_remove p = { .person = *identity_person(w->alice.id) };
	int err = 0;

	assert_int_equal(entry_put_retention(&w->payload, &r), 0);
	assert_int_equal(trusted(l, ENTRY_RETENTION, buf_bytes(&w->payload), alice, &w->blob), ERR_RANGE);
	for (uint32_t n = 0; err == 0 && n < 1u << 20; n++) {
		memcpy(p.device.b, &n, sizeof n);
		buf_clear(&w->payload);
		assert_int_equal(entry_put_device_remove(&w->payload, &p), 0);
		err = trusted(l, ENTRY_DEVICE_REMOVE, buf_bytes(&w->payload), alice, &w->blob);
	}
	assert_int_equal(err, ERR_RANGE);
	assert_string_equal(log_refusal(l), "too many removed devices");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(genesis_signers),
		T(first_members),
		T(places),
		T(forged_cards),
		T(devices),
		T(known_keys),
		T(one_invite_twice_in_a_chain),
		T(invites),
		T(grants),
		T(pairings),
		T(roles),
		T(removals),
		T(forged_cuts),
		T(device_removals),
		T(a_members_root_is_no_device),
		T(people_and_devices_are_limited),
		T(entries_are_limited),
		T(removed_devices_and_retention_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
