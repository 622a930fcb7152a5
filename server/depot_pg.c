/* SPDX-License-Identifier: Apache-2.0 */
/* Statements and transactions on PostgreSQL. */
#include "server/depot_pg.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

/* --- answers --- */

int pg_err_of_state(const char *state)
{
	static const struct {
		const char *state; /* PostgreSQL 15, appendix A: a code, or the class that it begins with */
		int err;
	} known[] = {
		{ "40", ERR_AGAIN },    /* serialization failure, deadlock */
		{ "23505", ERR_AGAIN }, /* another process was faster to add the same */
		{ "55P03", ERR_BUSY },  /* lock not available */
		{ "53100", ERR_NO_SPACE },
		{ "53200", ERR_NOMEM },
		{ "53", ERR_OFFLINE },  /* too many connections, ... */
		{ "57P", ERR_OFFLINE }, /* shut down, starting up */
		{ "08", ERR_OFFLINE },
		{ "25006", ERR_READ_ONLY },
		{ "28", ERR_PERMISSION },
		{ "42501", ERR_PERMISSION },
		{ "3D", ERR_NOT_FOUND }, /* no such database: only who connects hears that */
		{ "3F", ERR_CORRUPT },   /* no such schema, table or column: no row is said to be absent for it */
		{ "42P01", ERR_CORRUPT },
		{ "42703", ERR_CORRUPT },
		{ "22", ERR_RANGE },
		{ "54", ERR_RANGE },
		{ "58", ERR_IO },
		{ "XX001", ERR_CORRUPT },
		{ "XX002", ERR_CORRUPT },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strncmp(state, known[i].state, strlen(known[i].state)) == 0)
			return known[i].err;
	return ERR_INTERNAL;
}

int pg_err(const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE),
		   *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	int err = state ? pg_err_of_state(state) : ERR_OFFLINE;

	if (err != ERR_AGAIN)
		log_warn("PostgreSQL: %s (%s)", text ? text : "the connection is lost", state ? state : "-");
	return err;
}

static bool is_good(const PGresult *res)
{
	ExecStatusType st = PQresultStatus(res);

	return st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK;
}

static int lost(struct pg *s)
{
	if (s->err != ERR_OFFLINE)
		log_warn("PostgreSQL: the connection is lost");
	s->queued = 0;
	return s->err = ERR_OFFLINE;
}

/* Reads up to the mark that PQpipelineSync has set. */
static int read_answers(struct pg *s, PGresult **last, size_t n)
{
	size_t i = 0, skip = s->queued - n;
	int err = OK;

	for (;;) {
		PGresult *res = PQgetResult(s->c);
		ExecStatusType st;

		if (!res) {
			if (PQstatus(s->c) != CONNECTION_OK)
				return lost(s);
			continue; /* stands between two answers */
		}
		st = PQresultStatus(res);
		if (st == PGRES_PIPELINE_SYNC) {
			PQclear(res);
			return err;
		}
		if (!is_good(res) && err == OK && st != PGRES_PIPELINE_ABORTED)
			err = pg_err(res);
		if (i >= skip && i < skip + n)
			last[i - skip] = res;
		else
			PQclear(res);
		i++;
	}
}

int pg_collect(struct pg *s, PGresult **last, size_t n)
{
	int err;

	for (size_t i = 0; i < n; i++)
		last[i] = NULL;
	if (s->err < 0)
		return s->err;
	if (!PQpipelineSync(s->c))
		err = lost(s);
	else
		err = read_answers(s, last, n);
	s->queued = 0;
	if (err < 0) {
		for (size_t i = 0; i < n; i++) {
			PQclear(last[i]);
			last[i] = NULL;
		}
		if (s->in_tx || err == ERR_OFFLINE)
			s->err = err;
	}
	return err;
}

int pg_note_sent(struct pg *s, int sent)
{
	if (!sent)
		return lost(s);
	return ++s->queued < PG_QUEUE_MAX ? OK : pg_collect(s, NULL, 0);
}

int pg_send(struct pg *s, const char *text)
{
	if (s->err < 0)
		return s->err;
	return pg_note_sent(s, PQsendQueryParams(s->c, text, 0, NULL, NULL, NULL, NULL, 1));
}

/* --- statements --- */

static struct pg_stmt *impl(struct sql_stmt *q)
{
	return q->impl;
}

static int prepare(struct sql_stmt *q)
{
	q->impl = &pg_of(q->s)->stmts[q->st]; /* the connection has prepared all */
	return OK;
}

static void reset(struct sql_stmt *q)
{
	struct pg_stmt *st = impl(q);

	PQclear(st->res);
	st->res = NULL;
	st->row = 0;
	st->n = 0;
}

static void bind_param(struct pg_stmt *st, int i, const void *p, size_t n)
{
	st->values[i - 1] = p;
	st->lengths[i - 1] = (int)n;
	st->binary[i - 1] = 1;
	if (st->n < i)
		st->n = i;
}

static void bind_int(struct sql_stmt *q, int i, int64_t v)
{
	struct pg_stmt *st = impl(q);

	if (st->columns) {
		pg_columns_put_int(st->columns, i, v);
		return;
	}
	st->numbers[i - 1] = (int64_t)htobe64((uint64_t)v);
	bind_param(st, i, &st->numbers[i - 1], sizeof v);
}

static void bind_bytes(struct sql_stmt *q, int i, const void *p, size_t n, bool text)
{
	struct pg_stmt *st = impl(q);

	/* A single one's kind the statement knows. */
	if (st->columns)
		pg_columns_put_bytes(st->columns, i, p, n, text);
	else
		bind_param(st, i, n ? p : "", n);
}

static void name_of(enum stmt st, char out[16])
{
	snprintf(out, 16, "s%d", (int)st);
}

static int send_stmt(struct pg *s, struct sql_stmt *q)
{
	const struct pg_stmt *st = impl(q);
	char name[16];
	int err;

	if (!s->in_tx && (err = pg_ready(s)) < 0)
		return err;
	if (s->err < 0)
		return s->err;
	name_of(q->st, name);
	return pg_note_sent(s, PQsendQueryPrepared(s->c, name, st->n, st->values, st->lengths, st->binary, 1));
}

static int next_row(struct sql_stmt *q)
{
	struct pg *s = pg_of(q->s);
	struct pg_stmt *st = impl(q);
	int err;

	if (st->res) {
		st->row++;
	} else {
		if (s->queued + 1 >= PG_QUEUE_MAX && (err = pg_collect(s, NULL, 0)) < 0)
			return err;
		if ((err = send_stmt(s, q)) < 0 || (err = pg_collect(s, &st->res, 1)) < 0)
			return err;
		st->row = 0;
	}
	if (st->row < PQntuples(st->res))
		return 1;
	reset(q);
	return 0;
}

static int run(struct sql_stmt *q, int *ret_changed)
{
	struct pg *s = pg_of(q->s);
	PGresult *res;
	int err;

	if (s->in_tx && !ret_changed)
		return send_stmt(s, q);
	if (s->queued + 1 >= PG_QUEUE_MAX && (err = pg_collect(s, NULL, 0)) < 0)
		return err;
	if ((err = send_stmt(s, q)) < 0 || (err = pg_collect(s, &res, 1)) < 0)
		return err;
	if (ret_changed)
		*ret_changed = (int)strtol(PQcmdTuples(res), NULL, 10);
	PQclear(res);
	return OK;
}

static int64_t get_int(struct sql_stmt *q, int i)
{
	const struct pg_stmt *st = impl(q);
	uint64_t v = 0;

	if (PQgetlength(st->res, st->row, i) == sizeof v)
		memcpy(&v, PQgetvalue(st->res, st->row, i), sizeof v);
	return (int64_t)be64toh(v);
}

static struct bytes get_bytes(struct sql_stmt *q, int i)
{
	const struct pg_stmt *st = impl(q);

	return bytes_of(PQgetvalue(st->res, st->row, i), (size_t)PQgetlength(st->res, st->row, i));
}

static bool is_null(struct sql_stmt *q, int i)
{
	const struct pg_stmt *st = impl(q);

	return PQgetisnull(st->res, st->row, i);
}

/* --- transactions --- */

static void finish(struct pg *s)
{
	s->in_tx = false;
	s->n_grown = 0;
	if (s->err != ERR_OFFLINE)
		s->err = OK;
}

static int begin_with(struct pg *s, const char *how, const char *lock)
{
	char text[96];
	int err = pg_ready(s);

	if (err < 0)
		return err;
	s->in_tx = true;
	if ((err = pg_send(s, how)) == OK && lock) {
		snprintf(text, sizeof text, "SELECT %s(%lld)", lock, (long long)s->lock);
		err = pg_send(s, text);
	}
	if (err < 0)
		finish(s);
	return err;
}

static int begin(struct depot *s, bool alone)
{
	return begin_with(pg_of(s), "BEGIN", alone ? "pg_advisory_xact_lock" : "pg_advisory_xact_lock_shared");
}

static int begin_read(struct depot *s)
{
	return begin_with(pg_of(s), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL);
}

static void rollback(struct depot *d)
{
	struct pg *s = pg_of(d);

	if (!s->in_tx)
		return;
	if (s->err != ERR_OFFLINE) {
		s->err = OK;
		/* What fails here takes the connection along, and with it the transaction. */
		if (pg_send(s, "ROLLBACK") < 0 || pg_collect(s, NULL, 0) < 0)
			log_debug("PostgreSQL: the rollback failed");
	}
	finish(s);
}

static int put_grown(struct pg *s)
{
	char text[128];
	int err = OK;

	for (size_t i = 0; i < s->n_grown && err == OK; i++) {
		snprintf(text, sizeof text, "UPDATE spaces SET bytes = bytes + %llu WHERE no = %llu",
			(unsigned long long)s->grown[i].bytes, (unsigned long long)s->grown[i].space);
		err = pg_send(s, text);
	}
	s->n_grown = 0;
	return err;
}

static int grew(struct depot *d, uint64_t space, uint64_t bytes)
{
	struct pg *s = pg_of(d);
	size_t i = 0;
	int err;

	while (i < s->n_grown && s->grown[i].space != space)
		i++;
	if (i == PG_GROWN_MAX) {
		if ((err = put_grown(s)) < 0)
			return err;
		i = 0;
	}
	if (i == s->n_grown)
		s->grown[s->n_grown++].bytes = 0;
	s->grown[i].space = space;
	s->grown[i].bytes += bytes;
	return OK;
}

static int flush(struct depot *s)
{
	return put_grown(pg_of(s));
}

static int commit(struct depot *d)
{
	struct pg *s = pg_of(d);
	PGresult *res = NULL;
	int err = put_grown(s);

	if (err == OK && (err = pg_send(s, "COMMIT")) == OK && (err = pg_collect(s, &res, s->queued ? 1 : 0)) == OK) {
		/* Of a transaction that has failed a COMMIT is a ROLLBACK, and says so. */
		if (res && strcmp(PQcmdStatus(res), "COMMIT") != 0)
			err = ERR_INTERNAL;
		PQclear(res);
	}
	if (err < 0)
		rollback(d);
	finish(s);
	return err;
}

static int disk_bytes(struct depot *d, uint64_t *ret_bytes)
{
	struct pg *s = pg_of(d);
	PGresult *res;
	uint64_t v;
	int err = s->in_tx ? OK : pg_ready(s);

	if (err < 0 || (err = pg_send(s, "SELECT pg_database_size(current_database())")) < 0 ||
		(err = pg_collect(s, &res, 1)) < 0)
		return err;
	memcpy(&v, PQgetvalue(res, 0, 0), sizeof v);
	*ret_bytes = be64toh(v);
	PQclear(res);
	return OK;
}

/* PostgreSQL has its own means for both. */
static int copy(struct depot *s, const char *path)
{
	(void)s, (void)path;
	return ERR_UNSUPPORTED;
}

static int check(struct depot *s)
{
	return pg_ready(pg_of(s));
}

static int open_reader(struct depot *writer, struct depot **ret_s)
{
	return depot_pg_open_beside(writer->env, pg_of(writer)->url, ret_s);
}

static void close_(struct depot *d)
{
	struct pg *s = pg_of(d);

	for (size_t i = 0; i < ST_COUNT; i++)
		PQclear(s->stmts[i].res);
	PQfinish(s->c);
	free(s->url);
	free(s);
}

const struct depot_engine pg_engine = {
	.shared = true,
	.open_reader = open_reader,
	.close = close_,
	.copy = copy,
	.check = check,
	.begin = begin,
	.begin_read = begin_read,
	.commit = commit,
	.rollback = rollback,
	.disk_bytes = disk_bytes,
	.grew = grew,
	.flush = flush,
	.tell = pg_tell,
	.many = pg_many,
	.prepare = prepare,
	.reset = reset,
	.bind_int = bind_int,
	.bind_bytes = bind_bytes,
	.row = next_row,
	.run = run,
	.get_int = get_int,
	.get_bytes = get_bytes,
	.is_null = is_null,
};
