/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/plain_place.h"

#include <stdlib.h>
#include <time.h>
#include "tests/lib/params.h"

void plain_place_init(struct plain_place *p)
{
	*p = (struct plain_place){ 0 };
	plain_party_init(&p->root, 1);
	assert_int_equal(id16_parse("5cf1d1e5-6e0a-4b3c-9a52-1f6f2a3b4c5d", 36, &p->id), 0);
	id16_format(&p->id, p->text);
	step_book_init(&p->steps, 0);
}

void plain_place_release(struct plain_place *p)
{
	plain_party_release(&p->root);
	step_book_release(&p->steps);
}

void plain_place_create(struct plain_place *p, struct rpc_client *c)
{
	struct params params;
	struct reply r;

	params_begin(&params, 2);
	params_text(&params, "id", p->text);
	params_bytes(&params, "root_public_key", p->root.point, sizeof p->root.point);
	assert_int_equal(cbor_enc_end(&params.e), 0);
	r = rpc_call(c, "space.create", &params.b);
	assert_false(r.f.is_error);
	reply_release(&r);
}

char *plain_place_ucan(const struct plain_place *p, const struct party *device)
{
	char did[DID_KEY_TEXT_SIZE];

	id32_format_did(identity_device(device->id), did);
	return plain_party_ucan(&p->root, did, &p->id, "/space/admin", time(NULL) + 3600, NULL);
}

struct id16 plain_deed(uint32_t no, uint64_t number)
{
	struct id16 id = { .b = { (uint8_t)no, [6] = 0x40 } };

	for (int i = 0; i < 8; i++)
		id.b[15 - i] = (uint8_t)(number >> (8 * i));
	return id;
}

void plain_place_took(struct plain_place *p, uint64_t cursor, struct id16 deed)
{
	step_book_answered(&p->steps, cursor, &deed);
}

void plain_place_dek(const struct id16 *id, uint32_t epoch, uint8_t ret_dek[PLAIN_PLACE_DEK])
{
	memset(ret_dek, 0xaa, PLAIN_PLACE_DEK);
	for (int i = 0; i < 4; i++)
		ret_dek[i] = (uint8_t)(epoch >> (24 - 8 * i));
	memcpy(ret_dek + 4, id->b, sizeof id->b);
}
