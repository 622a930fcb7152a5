/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/sim_peer.h"
#include "tests/lib/heap.h"
#include "tests/lib/party.h"
#include "tests/lib/unit.h"

int peer_new(const struct peer_config *config, struct peer **ret_p)
{
	struct peer *p = calloc(1, sizeof *p);

	assert_non_null(p);
	p->config = *config;
	p->next_num = 1;
	*ret_p = p;
	return 0;
}

void sim_free_sent(struct sim_sent *s)
{
	free(s->item);
	free(s);
}

void peer_free(struct peer **pp)
{
	struct peer *p = *pp;

	*pp = NULL;
	while (p && p->sent) {
		struct sim_sent *s = p->sent;

		p->sent = s->next;
		sim_free_sent(s);
	}
	free(p);
}

static int add_sent(struct peer *p, const char *method, const struct id16 *chunk, struct bytes item,
	const struct peer_answer *a, uint64_t *ret_num)
{
	struct sim_sent *s, **at = &p->sent;

	if (!p->online)
		return ERR_OFFLINE;
	heap_suspend();
	s = calloc(1, sizeof *s);
	assert_non_null(s);
	s->num = p->next_num++;
	snprintf(s->method, sizeof s->method, "%s", method);
	if (chunk)
		s->chunk = *chunk;
	s->item = malloc(item.len + 1);
	heap_resume();
	assert_non_null(s->item);
	if (item.len)
		memcpy(s->item, item.p, item.len);
	s->len = item.len;
	s->answer = *a;
	while (*at)
		at = &(*at)->next;
	*at = s;
	if (ret_num)
		*ret_num = s->num;
	return 0;
}

int peer_call(struct peer *p, const char *method, struct bytes params, const struct peer_answer *a, uint64_t *ret_num)
{
	return add_sent(p, method, NULL, params, a, ret_num);
}

int peer_put(struct peer *p, const struct id16 *space, const struct id16 *chunk, struct bytes blob,
	const struct peer_answer *a, uint64_t *ret_num)
{
	(void)space;
	return add_sent(p, "put", chunk, blob, a, ret_num);
}

int peer_get(struct peer *p, const struct id16 *space, const struct id16 *chunk, const struct peer_answer *a,
	uint64_t *ret_num)
{
	(void)space;
	if (p->no_gets)
		return ERR_NOMEM;
	return add_sent(p, "get", chunk, bytes_of(NULL, 0), a, ret_num);
}

struct sim_sent *sim_take_sent(struct peer *p, uint64_t num)
{
	for (struct sim_sent **at = &p->sent; *at; at = &(*at)->next) {
		struct sim_sent *s = *at;

		if (s->num != num)
			continue;
		*at = s->next;
		return s;
	}
	return NULL;
}

/* The relay has it already, perhaps: only the answer does not count any more. */
void peer_cancel(struct peer *p, uint64_t num)
{
	for (struct sim_sent *s = p->sent; s; s = s->next) {
		if (s->num == num)
			s->answer = (struct peer_answer){ .result = NULL };
	}
}

int peer_fd(const struct peer *p)
{
	(void)p;
	return -1;
}

short peer_events(const struct peer *p)
{
	(void)p;
	return 0;
}

int64_t peer_deadline(const struct peer *p)
{
	(void)p;
	return INT64_MAX;
}

void peer_run(struct peer *p, short revents, int64_t now)
{
	(void)p;
	(void)revents;
	(void)now;
}

void peer_hurry(struct peer *p)
{
	(void)p;
}

size_t peer_room(const struct peer *p)
{
	(void)p;
	return PEER_MAX_QUEUED;
}

bool peer_online(const struct peer *p)
{
	return p->online;
}

enum msg_state peer_state(const struct peer *p)
{
	return p->online ? MSG_ONLINE : MSG_OFFLINE;
}

uint64_t peer_connection(const struct peer *p)
{
	return p->connection;
}

const char *peer_relay(const struct peer *p)
{
	(void)p;
	return PARTY_RELAY;
}

const char *peer_reason(const struct peer *p)
{
	(void)p;
	return "";
}

void peer_traffic(const struct peer *p, uint64_t *ret_sent, uint64_t *ret_received)
{
	(void)p;
	*ret_sent = *ret_received = 0;
}

int peer_error(struct bytes code)
{
	return code.len ? ERR_INTERNAL : 0;
}
