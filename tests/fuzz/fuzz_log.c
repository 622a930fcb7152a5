/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log fed with entries (u32 big-endian length and blob, repeated) that are put into their place in the chain first and
 * whose signatures are not checked, so that the fuzzer reaches the rules. A refused entry changes nothing; a clone decides
 * the same; rights and roles always agree.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_state(const struct log *l)
{
	const struct log_device *d;
	size_t admins = 0;

	for (size_t i = 0; (d = log_device_at(l, i)); i++) {
		const struct log_person *owner = log_find_person(l, &d->person);

		if (!owner || (d->live && owner->role == ROLE_NONE) || log_may_read(l, &d->ed) != d->live)
			abort();
		if (log_may_write(l, &d->ed) != log_could_write(l, &d->ed, log_head(l)))
			abort();
		if (d->live && log_revoked(l, &d->person, &d->ed))
			abort();
	}
	for (size_t i = 0; log_person_at(l, i); i++)
		admins += log_person_at(l, i)->role == ROLE_ADMIN;
	if (log_count(l) > 1 && admins == 0)
		abort();
}

static void apply(struct log *l, struct bytes blob)
{
	CLEANUP(log_freep) struct log *clone = NULL;
	uint64_t count = log_count(l), epoch = log_epoch_number(l);
	struct id32 head = *log_head(l);
	int err, again;

	if (log_clone(l, &clone) < 0)
		abort();
	err = log_apply(l, blob, LOG_TRUSTED);
	again = log_apply(clone, blob, LOG_TRUSTED);
	if (err != again || !id32_equal(log_head(l), log_head(clone)))
		abort();
	if (err < 0 && (log_count(l) != count || !id32_equal(&head, log_head(l)) || log_epoch_number(l) != epoch ||
			       log_refusal(l)[0] == 0))
		abort();
	if (err == 0 && (log_count(l) != count + 1 || log_epoch_number(l) < epoch || log_epoch_number(l) > epoch + 1))
		abort();
	if (log_check(clone, blob) == 0)
		abort(); /* nothing is the next entry twice */
	check_state(l);
}

/* The same entry as the next one of the log. */
static void apply_next(struct log *l, struct bytes blob)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(ENTRY_MAX_BLOB);
	CLEANUP(buf_release) struct buf next = BUF_INIT(ENTRY_MAX_BLOB);
	struct entry e;

	apply(l, blob);
	if (entry_decode(blob, &e) < 0 || e.type == ENTRY_GENESIS)
		return;
	e.space = *log_space(l);
	e.seq = log_count(l);
	e.prev = *log_head(l);
	if (entry_put_body(&body, &e) == 0 && entry_put(&next, buf_bytes(&body), e.signature) == 0)
		apply(l, buf_bytes(&next));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	CLEANUP(log_freep) struct log *l = NULL;

	if (crypto_init() < 0 || log_new(NULL, &l) < 0)
		abort();
	while (n >= 4) {
		size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];

		p += 4;
		n -= 4;
		if (len > n)
			len = n;
		apply_next(l, bytes_of(p, len));
		p += len;
		n -= len;
	}
	return 0;
}
