/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes stand in one array, found by ino; each lane lists those of its nodes that wait. A node is kept a while after it was
 * confirmed, because "changed again soon" is what makes it hot.
 */
#include "fusefs/lane.h"

#include <stdlib.h>
#include "base/array.h"

#include "base/table.h"

#define SWEEP_MIN 4096
#define KEEP_NS \
	2000000000ll /* a node quiet for so long, twice its delay, and until its burst came back, is cold again */

struct node_state {
	uint64_t ino, lane;
	int64_t first, last;     /* of the waiting changes */
	int64_t cut;             /* when it was last cut; 0: never */
	int64_t delay;           /* 0: cold */
	unsigned spent;          /* of LANE_BURST versions that may go at once; one comes back per LANE_REFILL_NS */
	int64_t again, patience; /* after a failure: not before `again`, and that later each time; 0: none */
	bool waiting, in_flight, growing, forced;
};

struct lane {
	uint64_t id;
	size_t group;    /* index of the lane that this one is joined to; its own if none */
	size_t *waiting; /* indices into nodes */
	size_t n, alloc;
	struct plan { /* when the lanes of the group of this index are due together; scratch of plan_all */
		int64_t soonest, hold, first;
	} plan;
};

struct lanes {
	struct node_state *nodes;
	size_t n_nodes, alloc_nodes;
	struct table by_ino; /* ino -> index + 1 */
	struct lane *lanes;
	size_t n_lanes, alloc_lanes;
	struct table by_id; /* lane id + 1 -> index + 1 */
	size_t waiting;
};

int lanes_new(struct lanes **ret_l)
{
	*ret_l = calloc(1, sizeof **ret_l);
	return *ret_l ? OK : ERR_NOMEM;
}

void lanes_free(struct lanes *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_lanes; i++)
		free(l->lanes[i].waiting);
	table_release(&l->by_ino);
	table_release(&l->by_id);
	free(l->lanes);
	free(l->nodes);
	free(l);
}

static struct node_state *find_node(const struct lanes *l, uint64_t ino)
{
	uint64_t at;
	return table_get(&l->by_ino, ino, &at) ? &l->nodes[at - 1] : NULL;
}

static struct lane *find_lane(const struct lanes *l, uint64_t id)
{
	uint64_t at;
	return table_get(&l->by_id, id + 1, &at) ? &l->lanes[at - 1] : NULL;
}

/* Pointers to lanes are good until another one is got. */
static int get_lane(struct lanes *l, uint64_t id, struct lane **ret_lane)
{
	*ret_lane = find_lane(l, id);
	if (*ret_lane)
		return OK;
	struct lane *more = array_room(l->lanes, &l->alloc_lanes, l->n_lanes + 1, sizeof *more);
	if (!more)
		return ERR_NOMEM;
	l->lanes = more;
	int err = table_put(&l->by_id, id + 1, l->n_lanes + 1);
	if (err < 0)
		return err;
	*ret_lane = &l->lanes[l->n_lanes];
	**ret_lane = (struct lane){ .id = id, .group = l->n_lanes };
	l->n_lanes++;
	return OK;
}

static int add_node(struct lanes *l, uint64_t ino, struct node_state **ret_n)
{
	struct node_state *more = array_room(l->nodes, &l->alloc_nodes, l->n_nodes + 1, sizeof *more);

	if (!more)
		return ERR_NOMEM;
	l->nodes = more;
	int err = table_put(&l->by_ino, ino, l->n_nodes + 1);
	if (err < 0)
		return err;
	*ret_n = &l->nodes[l->n_nodes++];
	**ret_n = (struct node_state){ .ino = ino };
	return OK;
}

static void unlist(struct lane *lane, size_t index)
{
	for (size_t i = 0; i < lane->n; i++) {
		if (lane->waiting[i] != index)
			continue;
		for (lane->n--; i < lane->n; i++)
			lane->waiting[i] = lane->waiting[i + 1];
		return;
	}
}

static int list(struct lane *lane, size_t index)
{
	size_t *more = array_room(lane->waiting, &lane->alloc, lane->n + 1, sizeof *more);

	if (!more)
		return ERR_NOMEM;
	lane->waiting = more;
	lane->waiting[lane->n++] = index;
	return OK;
}

static bool cold(const struct node_state *n, int64_t now)
{
	int64_t keep = KEEP_NS + 2 * n->delay + n->spent * LANE_REFILL_NS;
	return !n->waiting && !n->in_flight && (n->cut == 0 || now - n->cut > keep);
}

/* Forgets nodes that are quiet. Only when nothing waits, so that no lane lists an index. */
static void sweep(struct lanes *l, int64_t now)
{
	size_t out = 0;

	if (l->n_nodes < SWEEP_MIN || l->waiting > 0)
		return;
	for (size_t i = 0; i < l->n_nodes; i++) {
		struct node_state n = l->nodes[i];

		if (cold(&n, now)) {
			table_del(&l->by_ino, n.ino);
			continue;
		}
		l->nodes[out] = n;
		/* The key is there: putting it again allocates nothing. */
		if (table_put(&l->by_ino, n.ino, out + 1) < 0)
			return;
		out++;
	}
	l->n_nodes = out;
}

static void join(struct lanes *l, size_t a, size_t b)
{
	for (size_t i = 0; i < l->n_lanes && a != b; i++) {
		if (l->lanes[i].group == b)
			l->lanes[i].group = a;
	}
}

/* A person who saves now and then is never made to wait; a program that rewrites on and on is, longer and longer. */
static void set_delay(struct node_state *n, int64_t now)
{
	int64_t back = (now - n->cut) / LANE_REFILL_NS;

	n->spent = back >= (int64_t)n->spent ? 0 : n->spent - (unsigned)back;
	if (n->spent < LANE_BURST) {
		n->spent++;
		n->delay = 0;
		return;
	}
	n->delay = n->delay == 0 ? LANE_DELAY_MIN_NS : n->delay * 2;
	if (n->delay > LANE_HOLD_NS)
		n->delay = LANE_HOLD_NS;
}

int lanes_changed(struct lanes *l, const struct lane_change *c, int64_t now)
{
	struct lane *lane, *other;

	sweep(l, now);
	int err = get_lane(l, c->other, &other);
	if (err == OK)
		err = get_lane(l, c->lane, &lane);
	if (err < 0)
		return err;
	other = find_lane(l, c->other); /* the array may have moved */
	struct node_state *n = find_node(l, c->ino);
	if (!n && (err = add_node(l, c->ino, &n)) < 0)
		return err;
	size_t index = (size_t)(n - l->nodes);
	if (n->waiting && n->lane != c->lane) {
		unlist(find_lane(l, n->lane), index);
		n->waiting = false;
		l->waiting--;
		join(l, lane->group, find_lane(l, n->lane)->group);
	}
	if (c->other != c->lane)
		join(l, lane->group, other->group);
	if (!n->waiting) {
		if ((err = list(lane, index)) < 0)
			return err;
		if (n->cut != 0)
			set_delay(n, now);
		n->waiting = true;
		n->forced = false;
		n->first = now;
		n->lane = c->lane;
		l->waiting++;
	}
	n->last = now;
	n->again = 0;
	n->growing = c->growing;
	return OK;
}

int lanes_sent(struct lanes *l, uint64_t ino)
{
	struct node_state *n = find_node(l, ino);
	int err = n ? OK : add_node(l, ino, &n);

	if (err == OK)
		n->in_flight = true;
	return err;
}

int lanes_again(struct lanes *l, uint64_t ino, int64_t now)
{
	struct node_state *n = find_node(l, ino);
	struct lane *lane = n ? find_lane(l, n->lane) : NULL;

	if (!lane)
		return ERR_NOT_FOUND;
	n->in_flight = false;
	if (!n->waiting) {
		int err = list(lane, (size_t)(n - l->nodes));

		if (err < 0)
			return err;
		n->waiting = true;
		l->waiting++;
	}
	n->first = n->last = now;
	n->patience = n->patience ? n->patience * 2 : LANE_AGAIN_MIN_NS;
	if (n->patience > LANE_AGAIN_MAX_NS)
		n->patience = LANE_AGAIN_MAX_NS;
	n->again = now + n->patience;
	return OK;
}

/* When this node alone would be due. */
static int64_t settled_at(const struct node_state *n)
{
	if (n->in_flight)
		return INT64_MAX; /* its answer comes first */
	if (n->again)
		return n->again;
	if (n->forced)
		return 0;
	int64_t at = n->last + LANE_SETTLE_NS;
	if (!n->growing && at > n->first + 2 * LANE_SETTLE_NS)
		at = n->first + 2 * LANE_SETTLE_NS;
	if (at > n->first + LANE_HOLD_NS)
		at = n->first + LANE_HOLD_NS;
	return at;
}

/* Until when this node makes its lane wait; 0: it does not. */
static int64_t holds_until(const struct node_state *n)
{
	if (n->in_flight)
		return n->first + LANE_HOLD_NS;
	if (n->delay == 0 || n->forced || n->again)
		return 0;
	return n->cut + n->delay;
}

static void plan_node(struct plan *p, const struct node_state *n)
{
	int64_t at = settled_at(n), until = holds_until(n);

	p->soonest = at < p->soonest ? at : p->soonest;
	p->hold = until > p->hold ? until : p->hold;
	p->first = n->first < p->first ? n->first : p->first;
}

/* Fills the plans of all lanes: that of a group's index says when it is due. */
static void plan_all(const struct lanes *l)
{
	for (size_t i = 0; i < l->n_lanes; i++)
		l->lanes[i].plan = (struct plan){ .soonest = INT64_MAX, .first = INT64_MAX };
	for (size_t i = 0; i < l->n_lanes; i++) {
		const struct lane *lane = &l->lanes[i];

		for (size_t k = 0; k < lane->n; k++)
			plan_node(&l->lanes[lane->group].plan, &l->nodes[lane->waiting[k]]);
	}
}

static int64_t plan_due(const struct plan *p)
{
	int64_t hold = p->hold;

	if (p->soonest == INT64_MAX)
		return INT64_MAX;
	if (hold > p->first + LANE_HOLD_NS)
		hold = p->first + LANE_HOLD_NS;
	return p->soonest > hold ? p->soonest : hold;
}

int64_t lanes_due(const struct lanes *l)
{
	int64_t due = INT64_MAX;

	if (l->waiting == 0)
		return due;
	plan_all(l);
	for (size_t i = 0; i < l->n_lanes; i++) {
		int64_t at = plan_due(&l->lanes[i].plan);
		due = at < due ? at : due;
	}
	return due;
}

/* Takes what may go of one lane. */
static size_t cut_lane(struct lanes *l, struct lane *lane, int64_t now, uint64_t *inos, size_t room)
{
	size_t taken = 0, left = 0;

	for (size_t i = 0; i < lane->n; i++) {
		struct node_state *n = &l->nodes[lane->waiting[i]];

		if (taken == room || ((n->in_flight || n->again || n->growing) && settled_at(n) > now)) {
			lane->waiting[left++] = lane->waiting[i];
			continue;
		}
		inos[taken++] = n->ino;
		n->waiting = n->forced = false;
		n->in_flight = true;
		n->again = 0;
		n->cut = now;
		l->waiting--;
	}
	lane->n = left;
	return taken;
}

static size_t cut_group(struct lanes *l, size_t group, int64_t now, uint64_t inos[LANE_CUT_MAX], bool *ret_joined)
{
	size_t n = 0, left = 0;

	*ret_joined = false;
	for (size_t i = 0; i < l->n_lanes; i++) {
		if (l->lanes[i].group != group)
			continue;
		*ret_joined = *ret_joined || i != group;
		n += cut_lane(l, &l->lanes[i], now, inos + n, LANE_CUT_MAX - n);
		left += l->lanes[i].n;
	}
	for (size_t i = 0; i < l->n_lanes && left == 0 && *ret_joined; i++) {
		if (l->lanes[i].group == group)
			l->lanes[i].group = i;
	}
	return n;
}

size_t lanes_cut(struct lanes *l, int64_t now, uint64_t inos[LANE_CUT_MAX], uint64_t *ret_lane, bool *ret_joined)
{
	if (l->waiting == 0)
		return 0;
	plan_all(l);
	for (size_t i = 0; i < l->n_lanes; i++) {
		if (plan_due(&l->lanes[i].plan) > now)
			continue;
		size_t n = cut_group(l, i, now, inos, ret_joined);
		*ret_lane = l->lanes[i].id;
		if (n > 0)
			return n;
	}
	return 0;
}

void lanes_done(struct lanes *l, uint64_t ino)
{
	struct node_state *n = find_node(l, ino);

	if (!n)
		return;
	n->in_flight = false;
	n->patience = 0;
}

void lanes_force(struct lanes *l)
{
	for (size_t i = 0; i < l->n_nodes; i++) {
		struct node_state *n = &l->nodes[i];

		n->forced = n->waiting;
		n->again = 0;
	}
}

bool lanes_in_flight(const struct lanes *l, uint64_t ino)
{
	const struct node_state *n = find_node(l, ino);
	return n && n->in_flight;
}

bool lanes_dirty(const struct lanes *l, uint64_t ino)
{
	const struct node_state *n = find_node(l, ino);
	return n && n->waiting;
}
