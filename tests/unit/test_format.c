/* SPDX-License-Identifier: Apache-2.0 */
/* docs/FORMAT.md: its examples are what the code encodes, and what the code decodes; its caps and labels are the code's. */
#include "tests/lib/format_doc.h"
#include "tests/lib/format_world.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "crypto/chain.h"
#include "crypto/delegation.h"
#include "crypto/hash.h"
#include "crypto/keyfile.h"
#include "crypto/open_chunk.h"
#include "crypto/open_record.h"
#include "crypto/open_small.h"
#include "crypto/padme.h"
#include "crypto/seal.h"
#include "crypto/session.h"
#include "crypto/sign.h"
#include "crypto/verify.h"
#include "crypto/words.h"
#include "fusefs/listing.h"
#include "wire/ctl.h"
#include "wire/field.h"
#include "wire/msg.h"

#define SCRATCH CLEANUP(buf_release) struct buf
#define ok(call) assert_int_equal(call, 0)

static void doc_id32(const char *name, const struct id32 *id)
{
	doc_hex(name, bytes_of(id->b, sizeof id->b));
}

static void cbor_and_ids(void **state)
{
	const struct world *w = *state;
	SCRATCH b = BUF_INIT(256);
	struct cbor_enc e = cbor_enc_init(&b);
	struct id32 hash = id32_from(0);
	struct id16 id;
	char text[WORDS_TEXT_SIZE], uuid[ID16_TEXT_SIZE], did[DID_KEY_TEXT_SIZE];

	cbor_put_array(&e, 6);
	cbor_put_uint(&e, 23);
	cbor_put_uint(&e, 24);
	cbor_put_uint(&e, 65536);
	cbor_put_int(&e, -1);
	cbor_put_text(&e, "\xc3\xbc");
	cbor_put_map(&e, 3);
	cbor_put_uint(&e, 9);
	cbor_put_bool(&e, true);
	cbor_put_text(&e, "b");
	cbor_put_null(&e);
	cbor_put_text(&e, "aa");
	cbor_put_bytes(&e, "", 0);
	ok(cbor_enc_end(&e));
	doc_hex("cbor", buf_bytes(&b));
	ok(cbor_check(buf_bytes(&b), CBOR_STRICT, 64));

	id16_from_hash(&hash, &id);
	doc_hex("id", bytes_of(id.b, sizeof id.b));
	id16_format(&id, uuid);
	doc_text("uuid", uuid);
	id32_format_did(person_root(w->person), did);
	doc_text("did", did);
	words_format(hash.b, text);
	doc_text("words", text);
}

/* --- records and chunks --- */

static void body_holds(const char *name, const struct node_body *body)
{
	SCRATCH b = BUF_INIT(RECORD_MAX_BODY);
	SCRATCH again = BUF_INIT(RECORD_MAX_BODY);
	CLEANUP(node_body_release) struct node_body read = { .kind = 0 };

	ok(node_body_put(&b, body));
	doc_hex(name, buf_bytes(&b));
	ok(node_body_decode(buf_bytes(&b), &read));
	ok(node_body_put(&again, &read));
	unit_assert_bytes(buf_bytes(&again), buf_bytes(&b));
}

static struct node_link link_example(void)
{
	return (struct node_link){ .id = id16_from(0x70),
		.parent = id16_from(0x80),
		.synced_parent = id16_from(0x90),
		.name = bytes_str("a.txt") };
}

static struct slice slice_example(void)
{
	struct slice s = { .at = 4096, .len = 11, .from = 0, .chunk_len = 11, .chunk = id16_from(0x50) };

	counting(s.key, sizeof s.key, 0x60);
	s.hash = id32_from(0xa0);
	return s;
}

static struct node_body small_body(const struct world *w, struct node_link *link)
{
	*link = link_example();
	return (struct node_body){ .kind = NODE_FILE,
		.mode = 0644,
		.owner = *person_root(w->person),
		.uid = 1000,
		.gid = 1000,
		.mtime_sec = WORLD_NOW,
		.mtime_nsec = 5,
		.size = 5,
		.form = CONTENT_INLINE,
		.inline_data = bytes_str("hello"),
		.links = link,
		.n_links = 1 };
}

static void bodies(void **state)
{
	struct slice slice = slice_example();
	struct node_link link;
	struct node_xattr xattr = { bytes_str("user.tag"), bytes_str("red") };
	struct node_body body = small_body(*state, &link);
	struct node_body large = { .kind = NODE_FILE,
		.mode = 0600,
		.size = 8192,
		.form = CONTENT_SLICES,
		.slices = &slice,
		.n_slices = 1,
		.xattrs = &xattr,
		.n_xattrs = 1,
		.has_replaces = true,
		.replaces_id = id16_from(0),
		.replaces_version = 3,
		.replaces_hash = id32_from(0x20) };
	struct node_body symlink = {
		.kind = NODE_SYMLINK, .mode = 0777, .target = bytes_str("../b"), .links = &link, .n_links = 1
	};
	struct node_body gone = { .kind = NODE_DIR, .mode = 0755, .deleted = true };

	body_holds("record.body", &body);
	body_holds("record.body.slices", &large);
	body_holds("record.body.symlink", &symlink);
	body_holds("record.body.deleted", &gone);
}

static void records(void **state)
{
	struct world *w = *state;
	struct id32 prev = id32_from(0x40), hash, want;
	struct node_link link;
	struct node_body body = small_body(w, &link);
	struct record_header h = { .space = *log_space(w->log),
		.id = id16_from(0x30),
		.version = 2,
		.prev = bytes_of(prev.b, sizeof prev.b),
		.epoch = 1,
		.log_head = *log_hash_at(w->log, 2),
		.author = w->one.keys.ed };
	SCRATCH b = BUF_INIT(RECORD_MAX_BLOB);
	SCRATCH again = BUF_INIT(RECORD_MAX_BLOB);
	CLEANUP(opened_record_release) struct opened_record o = OPENED_RECORD_INIT;

	world_random(0);
	ok(seal_record(secret_key(w->key[0]), &h, &body, w->one.ed, &b, &hash));
	doc_hex("record", buf_bytes(&b));
	ok(open_record(secret_key(w->key[0]), buf_bytes(&b), &h.space, &h.id, &o));
	doc_hex("record.header", o.r.header);
	hash_sha256(buf_bytes(&b), &want);
	assert_true(id32_equal(&hash, &want));
	doc_id32("record.hash", &hash);
	ok(record_put(&again, o.r.header, o.r.sealed, o.r.signature));
	unit_assert_bytes(buf_bytes(&again), buf_bytes(&b));
	buf_clear(&again);
	ok(record_put_header(&again, &o.r.h, 0));
	doc_hex("record.aad", buf_bytes(&again));
}

static void chunks(void **state)
{
	struct world *w = *state;
	const struct id16 *space = log_space(w->log);
	struct slice s = slice_example(), leaf = slice_example(), index = { .at = 4096, .len = 11 };
	struct bytes plain = bytes_str("hello chunk");
	CLEANUP(secret_freep) struct secret *hash_key = NULL;
	SCRATCH b = BUF_INIT(CHUNK_MAX_BLOB);
	SCRATCH opened = BUF_INIT(64);
	FREE_AFTER struct slice *read = NULL;
	size_t n;

	ok(epoch_hash_key(w->ring, space, &hash_key));
	doc_hex("chunk.hash_key", secret_bytes(hash_key));
	ok(seal_chunk(space, secret_key(hash_key), plain, &s, &b));
	doc_id32("chunk.hash", &s.hash);
	doc_hex("chunk", buf_bytes(&b));
	ok(open_chunk(space, &s, secret_key(hash_key), buf_bytes(&b), &opened));
	unit_assert_bytes(buf_bytes(&opened), plain);

	buf_clear(&b);
	ok(index_put(&b, &leaf, 1));
	doc_hex("chunk.index", buf_bytes(&b));
	buf_clear(&b);
	index.chunk = id16_from(0xb0);
	counting(index.key, sizeof index.key, 0x10);
	ok(seal_index(space, secret_key(hash_key), &leaf, 1, &index, &b));
	doc_hex("chunk.index.sealed", buf_bytes(&b));
	ok(open_index(space, &index, secret_key(hash_key), buf_bytes(&b), &read, &n));
	assert_int_equal(n, 1);
	assert_memory_equal(read, &leaf, sizeof leaf);
}

static void sealing(void **state)
{
	static const size_t sizes[] = { 0, 1, 9, 32, 33, 100, 1000, 4096, 65537, 1000000, 1048576 };
	struct id32 key = id32_from(0);
	SCRATCH b = BUF_INIT(256);
	SCRATCH table = BUF_INIT(1024);
	CLEANUP(secret_freep) struct secret *plain = NULL;

	(void)state;
	world_random(0x40);
	ok(seal_small("coffer/example/1", key.b, bytes_str("place"), bytes_str("a name"), &b));
	doc_hex("seal", buf_bytes(&b));
	ok(open_small("coffer/example/1", key.b, bytes_str("place"), buf_bytes(&b), &plain));
	unit_assert_bytes(secret_bytes(plain), bytes_str("a name"));
	for (size_t i = 0; i < COUNT(sizes); i++)
		ok(buf_printf(&table, "%s%zu>%zu", i ? " " : "", sizes[i], padme_size(sizes[i])));
	ok(buf_put_u8(&table, 0));
	doc_text("padme", (const char *)table.data);
}

/* --- freshness --- */

static void put_head_example(struct world *w, struct buf *b, struct buf *lines)
{
	struct line line[2] = { { LINE_ENTRY, { { 0 } }, *log_hash_at(w->log, 2) },
		{ LINE_RECORD, id16_from(0x30), id32_from(0x40) } };
	struct head h = { .space = *log_space(w->log),
		.device = w->one.keys.ed,
		.cursor = 1,
		.log_head = *log_hash_at(w->log, 2),
		.time = WORLD_NOW };

	line[0].id.b[15] = 2;
	ok(lines_put(lines, line, COUNT(line)));
	chain_next(&h.chain, h.cursor, buf_bytes(lines));
	ok(sign_head(&h, w->one.ed, b));
}

static void heads(void **state)
{
	struct world *w = *state;
	SCRATCH b = BUF_INIT(HEAD_MAX_BLOB);
	SCRATCH lines = BUF_INIT(1024);
	SCRATCH again = BUF_INIT(1024);
	FREE_AFTER struct line *read = NULL;
	struct head h;
	size_t n;

	put_head_example(w, &b, &lines);
	doc_hex("lines", buf_bytes(&lines));
	ok(lines_decode(buf_bytes(&lines), &read, &n));
	ok(lines_put(&again, read, n));
	unit_assert_bytes(buf_bytes(&again), buf_bytes(&lines));
	doc_hex("head", buf_bytes(&b));
	ok(verify_head(buf_bytes(&b), log_space(w->log), &h));
	doc_id32("chain", &h.chain);
}

/* --- people and their log --- */

static void people(void **state)
{
	struct world *w = *state;
	SCRATCH b = BUF_INIT(512);
	struct cbor_enc e = cbor_enc_init(&b);

	doc_hex("person.card", person_card(w->person));
	doc_hex("person.genesis", person_genesis(w->person));
	doc_id32("person.genesis.hash", person_genesis_hash(w->person));
	doc_hex("person.space", bytes_of(person_space(w->person)->b, 16));
	device_keys_put(&e, &w->one.keys);
	ok(cbor_enc_end(&e));
	doc_hex("device", buf_bytes(&b));
	buf_clear(&b);
	ok(cert_link_put(&b, &w->one.link));
	doc_hex("link", buf_bytes(&b));
	doc_hex("link.chain", buf_bytes(&w->one.chain));
	buf_clear(&b);
	ok(cert_put_signed(&b, person_root(w->person), &w->one.keys.ed, &w->one.keys.x));
	doc_hex("link.signed", buf_bytes(&b));
}

/* The document has what put writes; what get reads is written as the same again. */
#define PAYLOAD(type, name, p) \
	do { \
		SCRATCH b_ = BUF_INIT(ENTRY_MAX_BLOB); \
		SCRATCH again_ = BUF_INIT(ENTRY_MAX_BLOB); \
		struct entry_##type read_; \
		ok(entry_put_##type(&b_, p)); \
		doc_hex(name, buf_bytes(&b_)); \
		ok(entry_get_##type(buf_bytes(&b_), &read_)); \
		ok(entry_put_##type(&again_, &read_)); \
		unit_assert_bytes(buf_bytes(&again_), buf_bytes(&b_)); \
	} while (0)

static void first_entries(void **state)
{
	struct world *w = *state;
	struct entry_genesis personal = { .kind = SPACE_PERSONAL, .card = person_card(w->person) };
	struct entry_genesis shared = { .kind = SPACE_SHARED, .nonce = id16_from(0) };
	struct entry_member member;
	struct entry_epoch epoch;
	struct entry e;

	PAYLOAD(genesis, "log.genesis", &personal);
	PAYLOAD(genesis, "log.genesis.shared", &shared);
	doc_hex("log.entry", buf_bytes(&w->entry));
	ok(entry_decode(buf_bytes(&w->entry), &e));
	ok(entry_get_member(e.payload, &member));
	PAYLOAD(member, "log.member", &member);
	ok(entry_get_epoch(buf_bytes(&w->epoch), &epoch));
	PAYLOAD(epoch, "log.epoch", &epoch);
}

static void other_entries(void **state)
{
	struct world *w = *state;
	SCRATCH head = BUF_INIT(HEAD_MAX_BLOB);
	SCRATCH lines = BUF_INIT(1024);
	struct id32 other = id32_from(0x40);
	struct entry_invite_close close = { .id = w->invite.id };
	struct entry_role role = { .person = other, .role = ROLE_READER };
	struct entry_remove leave = { .person = other };
	struct entry_remove remove = { .person = other, .epoch = buf_bytes(&w->epoch) };
	struct entry_device_remove device = { .person = other, .device = id32_from(0x60) };
	struct entry_retention retention = { .seconds = LOG_DEFAULT_RETENTION };

	put_head_example(w, &head, &lines);
	remove.cut = buf_bytes(&head);
	PAYLOAD(invite_close, "log.invite_close", &close);
	PAYLOAD(role, "log.role", &role);
	PAYLOAD(remove, "log.remove", &remove);
	PAYLOAD(remove, "log.remove.leave", &leave);
	PAYLOAD(device_remove, "log.device_remove", &device);
	PAYLOAD(retention, "log.retention", &retention);
}

static void epochs(void **state)
{
	struct world *w = *state;
	const struct id16 *space = log_space(w->log);
	SCRATCH b = BUF_INIT(256);
	SCRATCH ring = BUF_INIT_SECRET(256);
	struct id32 commitment;

	ok(epoch_put_context(&b, space, 1));
	doc_hex("epoch.context", buf_bytes(&b));
	ok(epoch_commitment(w->key[0], space, 1, &commitment));
	doc_id32("epoch.commitment", &commitment);
	buf_clear(&b);
	ok(epoch_put_info(&b, EPOCH_LABEL, space, 1, &w->one.keys.x, log_hash_at(w->log, 1)));
	doc_hex("epoch.info", buf_bytes(&b));
	buf_clear(&b);
	ok(epoch_put_label_context(&b, space, &w->one.keys.ed));
	doc_hex("epoch.label_context", buf_bytes(&b));
	ok(epoch_ring_encode(w->ring, &ring));
	doc_hex("epoch.ring", buf_bytes(&ring));
}

/* --- invites --- */

static void doc_invite_keys(const char *name, const struct invite_keys *k)
{
	SCRATCH b = BUF_INIT(256);

	ok(buf_put(&b, k->id.b, sizeof k->id.b));
	ok(buf_put(&b, k->ed_public.b, sizeof k->ed_public.b));
	ok(buf_put(&b, k->x_public.b, sizeof k->x_public.b));
	ok(buf_put(&b, secret_bytes(k->bundle).p, secret_len(k->bundle)));
	doc_hex(name, buf_bytes(&b));
}

static void invites(void **state)
{
	struct world *w = *state;
	struct invite_secret *s;
	struct invite_keys keys;
	SCRATCH code = BUF_INIT_SECRET(INVITE_MAX_TEXT);
	SCRATCH link = BUF_INIT_SECRET(INVITE_MAX_TEXT);

	ok(invite_secret_parse(WORLD_CODE, &s));
	ok(invite_derive(s, &keys));
	ok(invite_format_code(s, &code));
	ok(invite_format_link(s, WORLD_RELAY, &link));
	doc_text("invite.code", (const char *)code.data);
	doc_text("invite.link", (const char *)link.data);
	doc_invite_keys("invite.keys", &keys);
	assert_string_equal(WORLD_LINK, (const char *)link.data);
	assert_memory_equal(&w->invite.id, &keys.id, sizeof keys.id);
	invite_secret_free(s);
	invite_keys_release(&keys);
}

static void put_invite(struct world *w, struct entry_invite *p, struct buf *bundle)
{
	struct invite_bundle inside = { .genesis = *log_genesis(w->log),
		.relay = WORLD_RELAY,
		.name = "",
		.log_head = *log_head(w->log),
		.inviter = *person_root(w->person) };
	CLEANUP(secret_freep) struct secret *plain = NULL;
	SCRATCH grant = BUF_INIT(256);
	struct wrap wrap;

	*p = (struct entry_invite){ .id = w->invite.id,
		.ed = w->invite.ed_public,
		.x = w->invite.x_public,
		.role = ROLE_DEVICE,
		.uses = 1,
		.expires = WORLD_NOW + 600,
		.has_wrap = true,
		.wrap_epoch = 1,
		.has_grant = true };
	world_random(0);
	ok(invite_seal_bundle(&w->invite, &inside, bundle));
	p->bundle = buf_bytes(bundle);
	ok(open_small(INVITE_BUNDLE_LABEL, secret_key(w->invite.bundle), bytes_of(p->id.b, sizeof p->id.b), p->bundle,
		&plain));
	doc_hex("invite.bundle", secret_bytes(plain));
	ok(epoch_wrap(
		INVITE_WRAP_LABEL, log_space(w->log), 1, w->key[0], log_head(w->log), &w->invite.x_public, &wrap));
	p->wrap_enc = wrap.enc;
	memcpy(p->wrap_ct, wrap.ct, sizeof wrap.ct);
	ok(grant_put_signed(&grant, person_root(w->person), &w->invite.ed_public));
	doc_hex("link.granted", buf_bytes(&grant));
	world_sign(GRANT_LABEL, &grant, w->one.ed, p->grant);
}

static void sign_join(struct world *w, struct entry_join *p)
{
	SCRATCH b = BUF_INIT(512);

	*p = (struct entry_join){ .invite = w->invite.id, .device = w->two.keys, .chain = buf_bytes(&w->two.chain) };
	ok(join_put_signed(&b, log_space(w->log), &p->invite, person_root(w->person), &p->device.ed, &p->device.x));
	doc_hex("log.join.signed", buf_bytes(&b));
	world_sign(JOIN_LABEL, &b, w->invite.ed, p->invite_signature);
}

/* The second epoch, and what the second device opens with its own key alone. */
static void rotate(struct world *w)
{
	SCRATCH payload = BUF_INIT(ENTRY_MAX_BLOB);
	SCRATCH blob = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	FREE_AFTER struct id32 *recipients = NULL;
	struct entry_epoch p;
	size_t n;

	ok(log_recipients(w->log, NULL, NULL, &recipients, &n));
	world_random(0);
	ok(epoch_put_payload(&payload, log_space(w->log), 2, w->key[1], w->key[0], 2, log_head(w->log), recipients, n));
	ok(entry_get_epoch(buf_bytes(&payload), &p));
	PAYLOAD(epoch, "log.epoch.second", &p);
	world_append(w, ENTRY_EPOCH, buf_bytes(&payload), w->one.ed, &blob);
	ok(epoch_ring_new(&ring));
	ok(epoch_ring_open(ring, w->log, &w->two.keys.x, w->two.x));
	assert_true(secret_equal(epoch_ring_get(ring, 1), w->key[0]));
	assert_true(secret_equal(epoch_ring_get(ring, 2), w->key[1]));
}

static void a_pairing(void **state)
{
	struct world *w = *state;
	SCRATCH bundle = BUF_INIT(INVITE_MAX_BUNDLE);
	SCRATCH payload = BUF_INIT(ENTRY_MAX_BLOB);
	SCRATCH blob = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry_device device = { .person = *person_root(w->person) };
	struct entry_invite invite;
	struct entry_join join;

	put_invite(w, &invite, &bundle);
	PAYLOAD(invite, "log.invite", &invite);
	ok(entry_put_invite(&payload, &invite));
	world_append(w, ENTRY_INVITE, buf_bytes(&payload), w->one.ed, &blob);
	world_certify_two(w, invite.grant);
	buf_clear(&payload);
	ok(cert_link_put(&payload, &w->two.link));
	doc_hex("link.via", buf_bytes(&payload));
	sign_join(w, &join);
	PAYLOAD(join, "log.join", &join);
	buf_clear(&payload);
	ok(entry_put_join(&payload, &join));
	world_append(w, ENTRY_JOIN, buf_bytes(&payload), w->two.ed, &blob);
	device.device = w->two.keys;
	device.chain = buf_bytes(&w->two.chain);
	PAYLOAD(device, "log.device", &device);
	rotate(w);
}

/* --- the profile --- */

static void key_files(void **state)
{
	struct world *w = *state;
	struct kdf_params params = { .ops = KDF_OPS_MIN, .mem = KDF_MEM_MIN };
	CLEANUP(secret_freep) struct secret *passphrase = NULL, *opened = NULL;
	CLEANUP(identity_freep) struct identity *again = NULL;
	SCRATCH payload = BUF_INIT_SECRET(KEYFILE_MAX_PAYLOAD);
	SCRATCH b = BUF_INIT_SECRET(KEYFILE_MAX);

	ok(identity_encode(w->id, &payload));
	doc_hex("keyfile.identity", buf_bytes(&payload));
	ok(identity_decode(buf_bytes(&payload), &again));
	counting(params.salt, sizeof params.salt, 0);
	ok(secret_from(bytes_str("correct horse"), &passphrase));
	world_random(0);
	ok(keyfile_seal(bytes_str("payload"), passphrase, &params, &b));
	doc_hex("keyfile", buf_bytes(&b));
	ok(keyfile_open(buf_bytes(&b), passphrase, &opened));
	unit_assert_bytes(secret_bytes(opened), bytes_str("payload"));
	buf_clear(&b);
	world_random(0);
	ok(keyfile_seal(bytes_str("payload"), NULL, NULL, &b));
	doc_hex("keyfile.clear", buf_bytes(&b));
}

static void list_of_spaces(void **state)
{
	struct world *w = *state;
	CLEANUP(epoch_ring_freep) struct epoch_ring *ring = NULL;
	CLEANUP(listing_release) struct listing l = { .ring = NULL };
	SCRATCH b = BUF_INIT_SECRET(NODE_INLINE_MAX);
	SCRATCH again = BUF_INIT_SECRET(NODE_INLINE_MAX);
	struct id32 genesis = id32_from(0);

	ok(epoch_ring_clone(w->ring, &ring));
	ok(epoch_ring_add(ring, 2, w->key[1]));
	ok(listing_put(&b, &genesis, WORLD_RELAY, "Photos", ring));
	doc_hex("listing", buf_bytes(&b));
	ok(listing_decode(buf_bytes(&b), &l));
	ok(listing_put(&again, &l.genesis, l.relay, l.name, l.ring));
	unit_assert_bytes(buf_bytes(&again), buf_bytes(&b));
}

static void tokens(void **state)
{
	struct world *w = *state;
	CLEANUP(session_freep) struct session *session = NULL;
	struct delegation d = { .person = *person_root(w->person),
		.device = w->one.keys.ed,
		.aud = bytes_str(WORLD_RELAY),
		.not_after = WORLD_NOW + TOKEN_MAX_LIFE };
	SCRATCH b = BUF_INIT(DELEGATION_MAX);
	SCRATCH text = BUF_INIT(TOKEN_MAX);
	struct token token;
	int64_t exp;

	world_random(0);
	ok(session_new(&session));
	d.session = *session_public(session);
	ok(delegation_make(&d, w->one.ed, &b));
	doc_hex("delegation", buf_bytes(&b));
	ok(session_token(session, buf_bytes(&b), WORLD_NOW, &text, &exp));
	ok(token_verify(buf_bytes(&text), WORLD_RELAY, WORLD_NOW, &token));
	assert_true(id32_equal(&token.device, &d.device));
	ok(buf_put_u8(&text, 0));
	doc_text("token", (const char *)text.data);
}

/* --- sockets --- */

static void message(const char *name, struct msg m)
{
	SCRATCH b = BUF_INIT(4096);
	SCRATCH again = BUF_INIT(4096);
	struct msg read;
	size_t used;

	ok(msg_put(&b, &m));
	doc_hex(name, buf_bytes(&b));
	ok(msg_take(buf_bytes(&b), &read, &used));
	assert_int_equal(used, b.len);
	ok(msg_put(&again, &read));
	unit_assert_bytes(buf_bytes(&again), buf_bytes(&b));
}

static void messages(void **state)
{
	static const uint8_t empty[] = { 0xa0 };
	struct bytes item = bytes_of(empty, sizeof empty), blob = bytes_str("blob");
	struct id16 space = id16_from(0x10), chunk = id16_from(0x20);

	(void)state;
	message("msg.config", (struct msg){ .type = MSG_CONFIG, .text = bytes_str(WORLD_RELAY) });
	message("msg.delegate", (struct msg){ .type = MSG_DELEGATE, .blob = blob });
	message("msg.call", (struct msg){ .type = MSG_CALL, .num = 1, .text = bytes_str("coffer.head"), .item = item });
	message("msg.put", (struct msg){ .type = MSG_PUT, .num = 2, .space = space, .chunk = chunk, .blob = blob });
	message("msg.get", (struct msg){ .type = MSG_GET, .num = 3, .space = space, .chunk = chunk });
	message("msg.cancel", (struct msg){ .type = MSG_CANCEL, .num = 3 });
	message("msg.hello", (struct msg){ .type = MSG_HELLO, .version = MSG_VERSION, .key = id32_from(0) });
	message("msg.state", (struct msg){ .type = MSG_STATE,
				     .state = MSG_OFFLINE,
				     .connection = 1,
				     .text = bytes_str("refused"),
				     .retry_ms = 500 });
	message("msg.result", (struct msg){ .type = MSG_RESULT, .num = 1, .item = item });
	message("msg.result.error", (struct msg){ .type = MSG_RESULT,
					    .num = 2,
					    .text = bytes_str("offline"),
					    .message = bytes_str("the connection ended") });
	message("msg.part",
		(struct msg){ .type = MSG_PART, .num = 1, .text = bytes_str("coffer.entry"), .item = item });
	message("msg.data", (struct msg){ .type = MSG_DATA, .num = 3, .blob = blob });
	message("msg.notify", (struct msg){ .type = MSG_NOTIFY, .text = bytes_str("coffer.sync"), .item = item });
	message("msg.rate", (struct msg){ .type = MSG_RATE, .sent = 1000, .received = 70000 });
}

static struct bytes framed(const char *name, const struct buf *b)
{
	struct bytes item;
	size_t used;

	doc_hex(name, buf_bytes(b));
	ok(msg_take_frame(buf_bytes(b), &item, &used));
	assert_int_equal(used, b->len);
	return item;
}

static void control(void **state)
{
	SCRATCH b = BUF_INIT(4096);
	struct ctl_request request;
	struct ctl_answer answer;

	(void)state;
	ok(ctl_put_request(&b, "status", bytes_of(NULL, 0)));
	ok(ctl_decode_request(framed("ctl.request", &b), &request));
	assert_true(bytes_equal(request.verb, bytes_str("status")));
	buf_clear(&b);
	ok(ctl_put_result(&b, bytes_of(NULL, 0)));
	ok(ctl_decode_answer(framed("ctl.result", &b), &answer));
	assert_int_equal(answer.kind, CTL_RESULT);
	buf_clear(&b);
	ok(ctl_put_error(&b, ERR_NOT_FOUND, 66, "no space Work", "see coffer space list"));
	ok(ctl_decode_answer(framed("ctl.error", &b), &answer));
	assert_int_equal(answer.error.exit, 66);
}

/* --- numbers and labels --- */

#define VALUE(name) doc_value(#name, name)

static void caps(void **state)
{
	(void)state;
	VALUE(CBOR_MAX_DEPTH);
	VALUE(RECORD_MAX_BLOB);
	VALUE(RECORD_MAX_BODY);
	VALUE(RECORD_MAX_PREV);
	VALUE(RECORD_MAX_CHUNKS);
	VALUE(NODE_MAX_LINKS);
	VALUE(NODE_MAX_XATTRS);
	VALUE(NODE_MAX_XATTR_BYTES);
	VALUE(NODE_MAX_NAME);
	VALUE(NODE_MAX_TARGET);
	VALUE(NODE_INLINE_MAX);
	VALUE(NODE_MAX_SLICES);
	VALUE(INDEX_MAX_SLICES);
	VALUE(INDEX_MAX_DEPTH);
	VALUE(CHUNK_MAX_PLAIN);
	VALUE(CHUNK_MAX_BLOB);
	VALUE(CHUNK_MAX_NAMED);
	VALUE(CHUNK_SMALL_BLOB);
	VALUE(SEAL_OVERHEAD);
	VALUE(SEAL_SMALL_MIN);
	VALUE(SEAL_SMALL_MAX);
	VALUE(HEAD_MAX_BLOB);
	VALUE(LINES_MAX);
	VALUE(ENTRY_MAX_BLOB);
	VALUE(WRAPS_MAX);
	VALUE(CUT_MAX);
	VALUE(CARD_MAX_BLOB);
	VALUE(CERT_MAX_LINKS);
	VALUE(CERT_MAX_BYTES);
	VALUE(DEVICE_MAX_LABEL);
	VALUE(INVITE_MAX_USES);
	VALUE(INVITE_MAX_BUNDLE);
	VALUE(INVITE_MAX_RELAY);
	VALUE(INVITE_MAX_TEXT);
	VALUE(LOG_MAX_PERSONS);
	VALUE(LOG_MAX_DEVICES);
	VALUE(LOG_MAX_INVITES);
	VALUE(LOG_MAX_ENTRIES);
	VALUE(LOG_DEFAULT_RETENTION);
	VALUE(EPOCH_RING_MAX);
	VALUE(IDENTITY_MAX_LABEL);
	VALUE(KEYFILE_MAX_PAYLOAD);
	VALUE(KEYFILE_MAX);
	VALUE(KDF_PASSPHRASE_MAX);
	VALUE(DELEGATION_MAX);
	VALUE(TOKEN_MAX);
	VALUE(TOKEN_AUD_MAX);
	VALUE(TOKEN_MAX_LIFE);
	VALUE(TOKEN_SKEW);
	VALUE(MSG_MAX);
	VALUE(CTL_MAX);
}

/* Two labels over the same bytes would be one meaning too many: no label begins another. */
static void labels(void **state)
{
	static const char *const all[] = { RECORD_LABEL, CHUNK_LABEL, HASH_CHUNK_LABEL, HEAD_LABEL, CARD_LABEL,
		CERT_LABEL, GRANT_LABEL, ENTRY_LABEL, JOIN_LABEL, EPOCH_LABEL, EPOCH_COMMIT_LABEL, EPOCH_BACK_LABEL,
		EPOCH_DEVICE_LABEL, INVITE_LABEL, INVITE_WRAP_LABEL, INVITE_BUNDLE_LABEL, KEYFILE_LABEL,
		DELEGATION_LABEL };

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++) {
		doc_label(all[i]);
		for (size_t k = 0; k < COUNT(all); k++)
			assert_true(i == k || strncmp(all[i], all[k], strlen(all[i])) != 0);
	}
}

static void nothing_is_left_unchecked(void **state)
{
	(void)state;
	doc_all_checked();
}

static int start(void **state)
{
	static struct world w;

	doc_open(DOC_FORMAT);
	world_init(&w);
	*state = &w;
	return 0;
}

static int stop(void **state)
{
	world_release(*state);
	doc_close();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cbor_and_ids), cmocka_unit_test(bodies), cmocka_unit_test(records),
		cmocka_unit_test(chunks), cmocka_unit_test(sealing), cmocka_unit_test(heads), cmocka_unit_test(people),
		cmocka_unit_test(first_entries), cmocka_unit_test(other_entries), cmocka_unit_test(epochs),
		cmocka_unit_test(invites), cmocka_unit_test(a_pairing), cmocka_unit_test(key_files),
		cmocka_unit_test(list_of_spaces), cmocka_unit_test(tokens), cmocka_unit_test(messages),
		cmocka_unit_test(control), cmocka_unit_test(caps), cmocka_unit_test(labels),
		cmocka_unit_test(nothing_is_left_unchecked), /* last */
	};

	return cmocka_run_group_tests(tests, start, stop);
}
