/* SPDX-License-Identifier: Apache-2.0 */
#include "server/caller.h"

#include <stdio.h>
#include <stdlib.h>

/* Index of the first run whose last is >= number. */
static size_t find_run(const struct number_set *s, uint64_t number)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->runs[mid].last < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool number_set_has(const struct number_set *s, uint64_t number)
{
	size_t i = find_run(s, number);

	return i < s->n && s->runs[i].first <= number;
}

/* A new run before the i-th; a full set forgets its lowest. */
static void insert_run(struct number_set *s, size_t i, uint64_t first, uint64_t last)
{
	if (s->n == NUMBER_SET_MAX) {
		memmove(&s->runs[0], &s->runs[1], (s->n - 1) * sizeof s->runs[0]);
		s->n--;
		if (i)
			i--;
	}
	memmove(&s->runs[i + 1], &s->runs[i], (s->n - i) * sizeof s->runs[0]);
	s->runs[i].first = first;
	s->runs[i].last = last;
	s->n++;
}

void number_set_add(struct number_set *s, uint64_t number)
{
	size_t i = find_run(s, number);
	bool left = i > 0 && s->runs[i - 1].last + 1 == number;
	bool right = i < s->n && number + 1 == s->runs[i].first;

	if (i < s->n && s->runs[i].first <= number)
		return;
	if (left && right) {
		s->runs[i - 1].last = s->runs[i].last;
		memmove(&s->runs[i], &s->runs[i + 1], (s->n - i - 1) * sizeof s->runs[0]);
		s->n--;
	} else if (left) {
		s->runs[i - 1].last = number;
	} else if (right) {
		s->runs[i].first = number;
	} else {
		insert_run(s, i, number, number);
	}
}

void number_set_remove(struct number_set *s, uint64_t number)
{
	size_t i = find_run(s, number);
	uint64_t last;

	if (i >= s->n || s->runs[i].first > number)
		return;
	last = s->runs[i].last;
	if (s->runs[i].first == number && last == number) {
		memmove(&s->runs[i], &s->runs[i + 1], (s->n - i - 1) * sizeof s->runs[0]);
		s->n--;
	} else if (s->runs[i].first == number) {
		s->runs[i].first++;
	} else {
		s->runs[i].last = number - 1;
		if (last > number)
			insert_run(s, i + 1, number + 1, last);
	}
}

struct caller *caller_new(const struct id32 *person, const struct id32 *device, const char *addr, bool counted)
{
	struct caller *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	s->person = *person;
	s->device = *device;
	s->counted = counted;
	snprintf(s->addr, sizeof s->addr, "%s", addr);
	return s;
}

struct caller *caller_ref(struct caller *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void caller_unref(struct caller *s)
{
	if (s && atomic_fetch_sub(&s->refs, 1) == 1)
		free(s);
}

int caller_take(const struct caller *s, struct limits *l, enum limit what, int64_t now)
{
	return s->counted ? limits_take(l, what, s->addr, now) : OK;
}

void caller_miss(const struct caller *s, struct limits *l, enum limit what, int64_t now)
{
	if (s->counted)
		limits_miss(l, what, s->addr, now);
}

void caller_hit(const struct caller *s, struct limits *l, enum limit what)
{
	if (s->counted)
		limits_hit(l, what, s->addr);
}

int caller_ask(const struct caller *s, struct limits *rates, uint64_t bytes, int64_t now)
{
	char text[ID32_TEXT_SIZE];
	int err;

	id32_format(&s->plain.subject, text);
	err = limits_take(rates, LIMIT_DEVICE, text, now);
	return err < 0 ? err : limits_charge(rates, LIMIT_DEVICE_BYTES, text, bytes, now);
}

void caller_owe(const struct caller *s, struct limits *rates, uint64_t bytes, int64_t now)
{
	char text[ID32_TEXT_SIZE];

	id32_format(&s->plain.subject, text);
	limits_owe(rates, LIMIT_DEVICE_BYTES, text, bytes, now);
}
