/* SPDX-License-Identifier: Apache-2.0 */
/* space.create and space.list. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "fusefs/space_make.h"
#include "fusefs/verb.h"
#include "wire/cbor.h"

int verb_space_create(struct call *c)
{
	struct bytes name = map_get_text(c->args, "name");
	struct space *s = NULL;
	char shown[NODE_MAX_NAME + 1];

	int err = space_make(c->agent, name, &s);
	if (err == ERR_INVALID)
		return call_fail(
			c, err, EX_USAGE, "choose 1 to 255 bytes without '/'", "that name cannot be a folder's");
	if (err == ERR_NOT_TEXT)
		return call_fail(
			c, err, EX_USAGE, "choose one in UTF-8", "that name is not text that others could read");
	if (err == ERR_EXISTS)
		return call_fail(c, err, EX_CANTCREAT, "choose another name", "there is a space of that name already");
	if (err < 0)
		return call_fail_err(c, err, "the space cannot be made");
	space_name(s, shown);
	map_text(&c->result, "name", shown);
	map_uuid(&c->result, "id", &s->row.id);
	return OK;
}

static int put_space(struct agent *a, struct cbor_enc *e, struct space *s)
{
	CLEANUP(map_release) struct map m = MAP_INIT;

	pthread_mutex_lock(&s->lock);
	map_text(&m, "name", s->row.name);
	map_uuid(&m, "id", &s->row.id);
	map_text(&m, "relay", s->row.relay);
	map_uint(&m, "cursor", s->row.cursor);
	map_uint(&m, "epoch", log_epoch_number(s->log));
	map_text(&m, "role", role_name(log_role(s->log, identity_device(a->who))));
	pthread_mutex_unlock(&s->lock);
	return e->err < 0 ? e->err : map_put(&m, e->b);
}

int verb_space_list(struct call *c)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT(1u << 20);
	struct agent *a = c->agent;
	struct cbor_enc e = cbor_enc_init(&list);
	int err = OK;

	pthread_mutex_lock(&a->lock);
	size_t shown = 0;
	for (size_t i = 0; i < a->n_spaces; i++)
		shown += !a->spaces[i].space->personal;
	cbor_put_array(&e, shown);
	for (size_t i = 0; i < a->n_spaces && err >= 0; i++)
		if (!a->spaces[i].space->personal)
			err = put_space(a, &e, a->spaces[i].space);
	pthread_mutex_unlock(&a->lock);
	if (err >= 0)
		map_raw(&c->result, "spaces", buf_bytes(&list));
	return err;
}
