/* SPDX-License-Identifier: Apache-2.0 */
/* Words between relays by LISTEN and NOTIFY. A payload is text of less than 8,000 bytes: the words in base64, behind the sender's tag. */
#include "server/depot_pg.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "crypto/jws.h"
#include "server/ear.h"

#define TAG_LEN 16
#define WAITING_MAX 1000 /* words to be said; more is dropped */
#define RETRY_MS 1000

struct said {
	struct said *next;
	size_t len;
	uint8_t words[];
};

struct ear {
	char *url, channel[32], tag[TAG_LEN + 1];
	ear_heard *heard;
	void *ctx;
	pthread_t thread;
	int wake;
	PGconn *c; /* the thread's */

	pthread_mutex_t lock; /* all below */
	struct said *first, **last;
	size_t waiting;
	bool closed;
};

static void name_channel(const struct pg *s, char out[32])
{
	snprintf(out, 32, "coffer_%016llx", (unsigned long long)s->lock);
}

static int make_payload(const char *tag, struct bytes words, struct buf *ret_text)
{
	int err = buf_put(ret_text, tag, TAG_LEN);

	if (err == OK)
		err = jws_encode_padded(words, ret_text);
	return err < 0 ? err : buf_put(ret_text, "", 1);
}

int pg_tell(struct depot *d, struct bytes words)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(8000);
	struct pg *s = pg_of(d);
	char channel[32];
	const char *values[] = { channel, NULL };
	int err = make_payload(s->tag, words, &text);

	if (err < 0 || s->err < 0)
		return err < 0 ? err : s->err;
	name_channel(s, channel);
	values[1] = (const char *)text.data;
	return pg_note_sent(s, PQsendQueryParams(s->c, "SELECT pg_notify($1, $2)", 2, NULL, values, NULL, NULL, 1));
}

/* --- the thread --- */

static void hear(struct ear *e, const char *payload)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(DEPOT_WORDS_MAX);

	if (strlen(payload) < TAG_LEN || strncmp(payload, e->tag, TAG_LEN) == 0)
		return;
	if (jws_decode_padded(bytes_str(payload + TAG_LEN), &words) == OK && words.len)
		e->heard(e->ctx, buf_bytes(&words));
}

static bool is_good(PGresult *res)
{
	ExecStatusType st = PQresultStatus(res);

	PQclear(res);
	return st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK;
}

static void disconnect(struct ear *e)
{
	PQfinish(e->c);
	e->c = NULL;
}

static void connect_again(struct ear *e)
{
	char text[64];

	snprintf(text, sizeof text, "LISTEN %s", e->channel);
	e->c = pg_connect_to(e->url);
	if (PQstatus(e->c) != CONNECTION_OK || !is_good(PQexec(e->c, text))) {
		disconnect(e);
		return;
	}
	e->heard(e->ctx, bytes_of(NULL, 0));
}

static struct said *take_said(struct ear *e, bool *ret_closed)
{
	struct said *first;

	pthread_mutex_lock(&e->lock);
	first = e->first;
	e->first = NULL;
	e->last = &e->first;
	e->waiting = 0;
	*ret_closed = e->closed;
	pthread_mutex_unlock(&e->lock);
	return first;
}

static void say_all(struct ear *e, struct said *first)
{
	for (struct said *next; first; first = next) {
		CLEANUP(buf_release) struct buf text = BUF_INIT(8000);
		const char *values[] = { e->channel, NULL };

		next = first->next;
		if (e->c && make_payload(e->tag, bytes_of(first->words, first->len), &text) == OK) {
			values[1] = (const char *)text.data;
			if (!is_good(PQexecParams(e->c, "SELECT pg_notify($1, $2)", 2, NULL, values, NULL, NULL, 1)))
				disconnect(e);
		}
		free(first);
	}
}

static void take_notices(struct ear *e)
{
	PGnotify *note;

	if (!PQconsumeInput(e->c) || PQstatus(e->c) != CONNECTION_OK) {
		log_warn("PostgreSQL: the connection that listens is lost");
		disconnect(e);
		return;
	}
	while ((note = PQnotifies(e->c))) {
		hear(e, note->extra);
		PQfreemem(note);
	}
}

static void *ear_main(void *arg)
{
	struct ear *e = arg;
	bool closed = false;

	while (!closed) {
		struct pollfd fds[2] = { { .fd = e->wake, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
		uint64_t n;

		if (!e->c)
			connect_again(e);
		if (e->c)
			fds[1].fd = PQsocket(e->c);
		poll(fds, 2, e->c ? -1 : RETRY_MS);
		if (fds[0].revents && read(e->wake, &n, sizeof n) < 0 && errno != EAGAIN)
			log_debug("ear: cannot read its wake-up");
		say_all(e, take_said(e, &closed));
		if (e->c)
			take_notices(e);
	}
	disconnect(e);
	return NULL;
}

/* --- from outside --- */

int ear_start(const struct depot *writer, ear_heard *heard, void *ctx, struct ear **ret_e)
{
	const struct pg *s = (const struct pg *)writer;
	struct ear *e;

	*ret_e = NULL;
	if (!depot_is_shared(writer))
		return OK;
	if (!(e = calloc(1, sizeof *e)))
		return ERR_NOMEM;
	e->heard = heard;
	e->ctx = ctx;
	e->last = &e->first;
	name_channel(s, e->channel);
	memcpy(e->tag, s->tag, TAG_LEN);
	pthread_mutex_init(&e->lock, NULL);
	e->url = strdup(s->url);
	e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* At once, so that a relay that takes connections hears of everything. */
	if (e->url && e->wake >= 0)
		connect_again(e);
	if (!e->url || e->wake < 0 || pthread_create(&e->thread, NULL, ear_main, e)) {
		disconnect(e);
		if (e->wake >= 0)
			close(e->wake);
		pthread_mutex_destroy(&e->lock);
		free(e->url);
		free(e);
		return ERR_NOMEM;
	}
	*ret_e = e;
	return OK;
}

static void wake(struct ear *e)
{
	const uint64_t one = 1;

	if (write(e->wake, &one, sizeof one) < 0)
		log_debug("ear: it is awake already");
}

void ear_say(struct ear *e, struct bytes words)
{
	struct said *x = e && words.len <= DEPOT_WORDS_MAX ? malloc(sizeof *x + words.len) : NULL;

	if (!x)
		return;
	x->next = NULL;
	x->len = words.len;
	memcpy(x->words, words.p, words.len);
	pthread_mutex_lock(&e->lock);
	if (e->waiting < WAITING_MAX) {
		*e->last = x;
		e->last = &x->next;
		e->waiting++;
		x = NULL;
	}
	pthread_mutex_unlock(&e->lock);
	free(x);
	wake(e);
}

void ear_stop(struct ear *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->closed = true;
	pthread_mutex_unlock(&e->lock);
	wake(e);
	pthread_join(e->thread, NULL);
	close(e->wake);
	pthread_mutex_destroy(&e->lock);
	free(e->url);
	free(e);
}
