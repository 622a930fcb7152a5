/* SPDX-License-Identifier: Apache-2.0 */
#include "server/message.h"

#include <stdlib.h>

struct buf message_buf(void)
{
	struct buf b = BUF_INIT(MESSAGE_MAX);
	uint8_t *p;

	if (buf_grow(&b, MESSAGE_HEADROOM, &p) < 0)
		b.cap = 0;
	else
		memset(p, 0, MESSAGE_HEADROOM);
	return b;
}

struct message *message_take(struct buf *b)
{
	struct message *m;
	size_t len;

	if (b->len < MESSAGE_HEADROOM)
		return NULL;
	m = calloc(1, sizeof *m);
	if (!m) {
		buf_release(b);
		return NULL;
	}
	buf_steal(b, &m->data, &len);
	m->len = len - MESSAGE_HEADROOM;
	atomic_init(&m->refs, 1);
	return m;
}

struct message *message_ref(struct message *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void message_unref(struct message *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	free(m->data);
	free(m);
}

int message_list_add(struct message_list *l, struct message *m)
{
	struct message_node *n;

	if (!m)
		return ERR_NOMEM;
	n = calloc(1, sizeof *n);
	if (!n) {
		message_unref(m);
		return ERR_NOMEM;
	}
	n->m = m;
	if (l->last)
		l->last->next = n;
	else
		l->first = n;
	l->last = n;
	l->bytes += m->len;
	l->count++;
	return OK;
}

struct message *message_list_shift(struct message_list *l)
{
	struct message_node *n = l->first;
	struct message *m;

	if (!n)
		return NULL;
	m = n->m;
	l->first = n->next;
	if (!l->first)
		l->last = NULL;
	l->bytes -= m->len;
	l->count--;
	free(n);
	return m;
}

void message_list_move(struct message_list *l, struct message_list *from)
{
	if (!from->first)
		return;
	if (l->last)
		l->last->next = from->first;
	else
		l->first = from->first;
	l->last = from->last;
	l->bytes += from->bytes;
	l->count += from->count;
	*from = (struct message_list){ 0 };
}

void message_list_clear(struct message_list *l)
{
	struct message *m;

	while ((m = message_list_shift(l)))
		message_unref(m);
}
