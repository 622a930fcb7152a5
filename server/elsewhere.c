/* SPDX-License-Identifier: Apache-2.0 */
#include "server/elsewhere.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "server/depot_plain.h"
#include "server/ear.h"
#include "server/live.h"
#include "server/rpc.h"
#include "server/sync_notice.h"

#define HEARD_MAX (1u << 20) /* bytes that wait for the network thread */

struct elsewhere {
	struct ear *ear;
	pthread_mutex_t lock; /* both below */
	struct buf heard;
	bool missed; /* words were lost: anything may have happened */
};

/* --- saying --- */

static int put_item(struct buf *b, char what, const struct id16 *space, const struct id32 *id)
{
	int err = buf_put(b, &what, 1);

	if (err == OK && space)
		err = buf_put(b, space->b, sizeof space->b);
	return err < 0 || !id ? err : buf_put(b, id->b, sizeof id->b);
}

static int put_notice(struct buf *b, const struct notice *n)
{
	if (n->to_mailbox)
		return put_item(b, 'M', NULL, &n->mailbox);
	if (n->revokes)
		return put_item(b, 'R', &n->space, &n->cid);
	return put_item(b, 'S', &n->space, NULL);
}

int elsewhere_tell(struct relay *r, struct job *const *jobs, size_t n)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(DEPOT_WORDS_MAX);
	int err = OK;

	if (!depot_is_shared(r->store))
		return OK;
	for (size_t i = 0; i < n && err == OK; i++)
		for (const struct notice *p = jobs[i]->notices; p && err == OK; p = p->next) {
			if (words.len + 64 > DEPOT_WORDS_MAX) {
				err = depot_tell(r->store, buf_bytes(&words));
				buf_clear(&words);
			}
			if (err == OK)
				err = put_notice(&words, p);
		}
	return err < 0 || !words.len ? err : depot_tell(r->store, buf_bytes(&words));
}

void elsewhere_say(struct net *n, char what, const struct id16 *space, uint64_t conn, struct bytes data)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(DEPOT_WORDS_MAX);

	if (!n->elsewhere || !n->elsewhere->ear)
		return;
	if (put_item(&words, what, space, NULL) == OK && buf_put_u64be(&words, conn) == OK &&
		buf_put_u16be(&words, (uint16_t)data.len) == OK && buf_put(&words, data.p, data.len) == OK)
		ear_say(n->elsewhere->ear, buf_bytes(&words));
}

/* --- hearing --- */

/* On the ear's thread. */
static void heard(void *ctx, struct bytes words)
{
	struct net *n = ctx;
	struct elsewhere *x = n->elsewhere;

	pthread_mutex_lock(&x->lock);
	if (!words.len || buf_put(&x->heard, words.p, words.len) < 0)
		x->missed = true;
	pthread_mutex_unlock(&x->lock);
	lws_cancel_service(n->lws);
}

/* What those who listen here are to be told is read by a reader, and comes back as a notice. */
static void start_look(struct net *n, const struct id16 *space)
{
	struct job *j = job_new(&method_elsewhere, 0, NULL);

	if (!j) {
		log_warn("out of memory: subscribers learn late of what happened at another relay");
		hub_looked(n->hub, space);
		return;
	}
	j->space = *space;
	net_dispatch(n, j);
}

static void look_at(void *ctx, const struct id16 *space)
{
	struct net *n = ctx;

	if (hub_look(n->hub, space))
		start_look(n, space);
}

void elsewhere_done(struct net *n, struct job *j)
{
	const struct id16 space = j->space;

	job_free(n->relay, j);
	if (hub_looked(n->hub, &space))
		start_look(n, &space);
}

static bool take(struct bytes *in, void *out, size_t len)
{
	if (in->len < len)
		return false;
	memcpy(out, in->p, len);
	*in = bytes_of(in->p + len, in->len - len);
	return true;
}

static bool take_live(struct net *n, char what, const struct id16 *space, struct bytes *in)
{
	uint8_t head[10];

	if (!take(in, head, sizeof head))
		return false;
	const uint64_t conn = bytes_get_be(head, 8);
	const size_t len = (size_t)bytes_get_be(head + 8, 2);
	if (in->len < len)
		return false;
	live_hear(n, what, space, conn, bytes_of(in->p, len));
	*in = bytes_of(in->p + len, in->len - len);
	return true;
}

static bool take_item(struct net *n, struct bytes *in)
{
	struct id16 space;
	struct id32 id;
	char what;

	if (!take(in, &what, 1))
		return false;
	if (what == 'M') {
		if (!take(in, id.b, sizeof id.b))
			return false;
		net_tell_mailbox(n, &id);
		return true;
	}
	if (!take(in, space.b, sizeof space.b))
		return false;
	if (what == 'P' || what == 'Q' || what == 'E')
		return take_live(n, what, &space, in);
	if (what == 'R') {
		if (!take(in, id.b, sizeof id.b))
			return false;
		hub_revoke(n->hub, &space, &id);
	} else if (what != 'S') {
		return false;
	}
	look_at(n, &space);
	return true;
}

void elsewhere_take(struct net *n)
{
	struct elsewhere *x = n->elsewhere;
	struct buf heard = BUF_INIT(HEARD_MAX), empty = BUF_INIT(HEARD_MAX);
	struct bytes in;
	bool missed;

	if (!x)
		return;
	pthread_mutex_lock(&x->lock);
	heard = x->heard;
	x->heard = empty;
	missed = x->missed;
	x->missed = false;
	pthread_mutex_unlock(&x->lock);
	in = buf_bytes(&heard);
	while (in.len && take_item(n, &in))
		;
	if (missed)
		hub_each(n->hub, look_at, n);
	buf_release(&heard);
}

int elsewhere_start(struct net *n)
{
	struct elsewhere *x;

	if (!depot_is_shared(n->relay->store))
		return OK;
	if (!(x = calloc(1, sizeof *x)))
		return ERR_NOMEM;
	x->heard = (struct buf)BUF_INIT(HEARD_MAX);
	pthread_mutex_init(&x->lock, NULL);
	n->elsewhere = x;
	return ear_start(n->relay->store, heard, n, &x->ear);
}

void elsewhere_stop(struct net *n)
{
	struct elsewhere *x = n->elsewhere;

	if (!x)
		return;
	ear_stop(x->ear);
	buf_release(&x->heard);
	pthread_mutex_destroy(&x->lock);
	free(x);
	n->elsewhere = NULL;
}

/* --- telling those who listen here; `prev` is the cursor itself: it follows on nothing, so that they pull --- */

static int tell_step(struct job *j, const struct id16 *space, uint64_t cursor)
{
	static const char *const lists[] = { "records", "chunks", "entries" };
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("coffer.sync"));
	cbor_put_map(&e, 7);
	cbor_put_text(&e, "space");
	put_id(&e, space);
	cbor_put_text(&e, "prev");
	cbor_put_uint(&e, cursor);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, cursor);
	cbor_put_text(&e, "lines");
	cbor_put_bytes(&e, NULL, 0);
	for (size_t i = 0; i < 3; i++) {
		cbor_put_text(&e, lists[i]);
		cbor_put_array(&e, 0);
	}
	if (cbor_enc_end(&e) < 0) {
		buf_release(&b);
		return ERR_NOMEM;
	}
	return job_notify(j, space, message_take(&b), NULL);
}

static int tell_plain(struct job *j, const struct depot_plain *sp)
{
	struct buf b = message_buf();
	struct cbor_enc e = cbor_enc_init(&b);

	frame_begin_notification(&e, bytes_str("sync"));
	cbor_put_map(&e, sp->rewrap ? 6 : 5);
	cbor_put_text(&e, "space");
	put_id(&e, &sp->id);
	cbor_put_text(&e, "prev");
	cbor_put_uint(&e, sp->cursor);
	cbor_put_text(&e, "cursor");
	cbor_put_uint(&e, sp->cursor);
	cbor_put_text(&e, "key_generation");
	cbor_put_uint(&e, sp->generation);
	if (sp->rewrap) {
		cbor_put_text(&e, "rewrap_epoch");
		cbor_put_uint(&e, sp->rewrap);
	}
	cbor_put_text(&e, "records");
	cbor_put_array(&e, 0);
	if (cbor_enc_end(&e) < 0) {
		buf_release(&b);
		return ERR_NOMEM;
	}
	return job_notify(j, &sp->id, message_take(&b), NULL);
}

static int look_run(struct relay *relay, struct job *j, struct depot *store)
{
	struct depot_plain plain;
	struct space_view v;
	struct space *sp;
	int err = spaces_get(relay->spaces, store, &j->space, &sp);

	if (err == OK) {
		v = space_view(sp); /* renewed: whoever may not read any more is dropped as it is told */
		spaces_put(relay->spaces, sp);
		space_view_release(&v);
		return tell_step(j, &j->space, v.cursor);
	}
	if (err == ERR_NOT_FOUND)
		err = depot_plain_find(store, &j->space, &plain);
	return err == ERR_NOT_FOUND ? OK : err < 0 ? err : tell_plain(j, &plain);
}

const struct method method_elsewhere = { "coffer.elsewhere", LANE_READ, NULL, look_run, NULL };
