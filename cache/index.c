/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, the schema, and the transaction that is always open. A crash leaves the last commit that reached the disk; the
 * journal is replayed from the position that stands in it.
 */
#include "cache/query.h"
#include <stdlib.h>

#define INDEX_FORMAT 1
#define RESERVED_BYTES 40 /* of each page, for nonce and tag (cache/pagevfs.h) */

/* Names hash to `hash` within their parent: the cookie of readdir. A link that is not shown has parent 0. An extent with
 * segment 0 names a chunk (pos) instead of a place in the journal. */
static const char schema[] =
	"CREATE TABLE state(one INTEGER PRIMARY KEY, segment INT, pos INT, seq INT, next_row INT, next_segment INT, "
	"nodes INT, "
	" claims INT);"
	"CREATE TABLE segment(number INTEGER PRIMARY KEY, size INT, live INT);"
	"CREATE TABLE node(ino INTEGER PRIMARY KEY, attr BLOB);"
	"CREATE TABLE node_id(space INT, id BLOB, ino INT, PRIMARY KEY(space, id)) WITHOUT ROWID;"
	"CREATE TABLE target(ino INTEGER PRIMARY KEY, target BLOB);"
	"CREATE TABLE dirty(space INT, change INT, ino INT, PRIMARY KEY(space, change, ino)) WITHOUT ROWID;"
	"CREATE TABLE orphan(ino INTEGER PRIMARY KEY);"
	"CREATE TABLE link(parent INT, hash INT, row BLOB, PRIMARY KEY(parent, hash)) WITHOUT ROWID;"
	"CREATE TABLE link_id(id BLOB PRIMARY KEY, parent INT, hash INT) WITHOUT ROWID;"
	"CREATE TABLE link_ino(ino INT, parent INT, hash INT, PRIMARY KEY(ino, parent, hash)) WITHOUT ROWID;"
	"CREATE TABLE claim(parent INT, hash INT, id BLOB, PRIMARY KEY(parent, hash, id)) WITHOUT ROWID;"
	"CREATE TABLE xattr(ino INT, name BLOB, value BLOB, PRIMARY KEY(ino, name)) WITHOUT ROWID;"
	"CREATE TABLE extent(owner INT, off INT, len INT, segment INT, pos INT, run INT, skip INT, PRIMARY KEY(owner, "
	"off))"
	" WITHOUT ROWID;"
	"CREATE INDEX extent_chunk ON extent(pos, owner) WHERE segment=0;"
	"CREATE TABLE chunk(row INTEGER PRIMARY KEY, data BLOB);"
	"CREATE TABLE chunk_id(space INT, id BLOB, row INT, PRIMARY KEY(space, id)) WITHOUT ROWID;"
	"CREATE TABLE loose(chunk INTEGER PRIMARY KEY);"
	"CREATE TABLE space(row INTEGER PRIMARY KEY, data BLOB);"
	"CREATE TABLE entry(space INT, seq INT, blob BLOB, PRIMARY KEY(space, seq)) WITHOUT ROWID;"
	"CREATE TABLE record(row INTEGER PRIMARY KEY, space INT, id BLOB, hash BLOB, cursor INT, blob BLOB);"
	"CREATE UNIQUE INDEX record_id ON record(space, id);"
	"CREATE TABLE outbox(row INTEGER PRIMARY KEY, data BLOB, blob BLOB);"
	"CREATE TABLE outbox_chunk(row INT, chunk INT, PRIMARY KEY(row, chunk)) WITHOUT ROWID;"
	"CREATE INDEX outbox_by_chunk ON outbox_chunk(chunk);"
	"CREATE TABLE meta(key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;"
	"CREATE TABLE touched(parent INT, name BLOB, PRIMARY KEY(parent, name)) WITHOUT ROWID;"
	"PRAGMA user_version=1;";

static int exec(struct index *ix, const char *text)
{
	int rc = sqlite3_exec(ix->db, text, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : query_error(ix, sqlite3_extended_errcode(ix->db));
}

static int load_state(struct index *ix)
{
	int err = query_row(ix, Q_STATE_GET, "");
	if (err == ERR_NOT_FOUND) {
		ix->state = (struct index_state){ .next_row = STORE_ROOT_INO, .next_segment = 1 };
	} else if (err < 0) {
		return err;
	} else {
		uint64_t *const fields[] = { &ix->state.segment, &ix->state.pos, &ix->state.seq, &ix->state.next_row,
			&ix->state.next_segment, &ix->state.nodes, &ix->state.claims };
		for (int i = 0; i < 7; i++)
			*fields[i] = query_u64(ix, Q_STATE_GET, i);
		query_done(ix, Q_STATE_GET);
	}
	ix->at_commit = ix->state;
	err = query_row(ix, Q_XATTR_ANY, "");
	ix->xattrs = err == 0;
	if (err == 0)
		query_done(ix, Q_XATTR_ANY);
	return err == ERR_NOT_FOUND ? 0 : err;
}

static int user_version(struct index *ix, int *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(ix->db, "PRAGMA user_version", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int(st, 0);
	else
		rc = sqlite3_extended_errcode(ix->db);
	sqlite3_finalize(st);
	return query_error(ix, rc);
}

static int set_up(struct index *ix)
{
	int reserved = RESERVED_BYTES, version = 0;
	if (sqlite3_file_control(ix->db, NULL, SQLITE_FCNTL_RESERVE_BYTES, &reserved) != SQLITE_OK)
		return ERR_INTERNAL;
	if (sqlite3_db_config(ix->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL) != SQLITE_OK)
		return ERR_INTERNAL;
	int err = exec(ix, "PRAGMA locking_mode=EXCLUSIVE");
	if (err == 0 && ix->config.fresh)
		err = exec(ix, "PRAGMA journal_mode=OFF"); /* the step to WAL would make a rollback journal */
	if (err < 0)
		return err;
	err = exec(ix, "PRAGMA page_size=4096; PRAGMA cache_size=-65536; PRAGMA cache_spill=OFF;"
		       "PRAGMA temp_store=MEMORY; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA "
		       "wal_autocheckpoint=0;"
		       "PRAGMA secure_delete=OFF; PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=OFF");
	if (err == 0)
		err = user_version(ix, &version);
	if (err == 0 && version != 0 && version != INDEX_FORMAT)
		err = ERR_VERSION;
	if (err == 0)
		err = query_run(ix, Q_BEGIN, "");
	ix->begun = err == 0;
	if (err == 0 && version == 0)
		err = exec(ix, schema);
	if (err == 0) /* came later, and an index without it is as good */
		err = exec(ix, "CREATE TABLE IF NOT EXISTS used(row INTEGER PRIMARY KEY, stamp INT)");
	return err < 0 ? err : load_state(ix);
}

int index_open(const struct index_config *config, struct index **ret_ix)
{
	struct index *ix = calloc(1, sizeof *ix);
	if (!ix)
		return ERR_NOMEM;
	ix->config = *config;
	ix->row = (struct buf)BUF_INIT(4096);
	if (held_init(ix) < 0) {
		free(ix);
		return ERR_NOMEM;
	}
	int rc = sqlite3_open_v2(
		config->path, &ix->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, config->vfs);
	int err = rc == SQLITE_OK ? set_up(ix) : query_error(ix, rc);
	if (err < 0) {
		index_close(ix);
		return err;
	}
	*ret_ix = ix;
	return 0;
}

void index_close(struct index *ix)
{
	if (!ix)
		return;
	for (int q = 0; q < Q_COUNT; q++)
		sqlite3_finalize(ix->st[q]);
	sqlite3_close(ix->db);
	buf_release(&ix->row);
	held_free(ix);
	free(ix);
}

int index_commit(struct index *ix)
{
	const struct index_state *s = &ix->state;
	int err = held_write(ix);
	if (err == 0)
		err = query_run(ix, Q_STATE_PUT, "iiiiiii", s->segment, s->pos, s->seq, s->next_row, s->next_segment,
			s->nodes, s->claims);
	if (err == 0)
		err = query_run(ix, Q_COMMIT, "");
	if (err < 0)
		return err;
	ix->at_commit = ix->state;
	err = query_run(ix, Q_BEGIN, "");
	ix->lost = err < 0;
	return err;
}

bool index_lost(const struct index *ix)
{
	return ix->lost;
}

int index_rollback(struct index *ix)
{
	int err = 0;
	ix->begun = ix->lost = false;
	held_forget(ix);
	extent_forget(ix);
	if (!sqlite3_get_autocommit(ix->db))
		err = query_run(ix, Q_ROLLBACK, "");
	ix->state = ix->at_commit;
	if (err == 0)
		err = query_run(ix, Q_BEGIN, "");
	ix->begun = true;
	ix->lost = err < 0;
	return err;
}

int index_savepoint(struct index *ix)
{
	ix->at_savepoint = ix->state;
	int err = held_write(ix); /* so that what is unwritten later is younger */
	return err < 0 ? err : query_run(ix, Q_SAVEPOINT, "");
}

int index_release(struct index *ix)
{
	return query_run(ix, Q_RELEASE, "");
}

int index_rollback_to(struct index *ix)
{
	ix->state = ix->at_savepoint;
	held_forget(ix);
	extent_forget(ix);
	int err = query_run(ix, Q_ROLLBACK_TO, "");
	return err < 0 ? err : query_run(ix, Q_RELEASE, "");
}

/* SQLite checkpoints outside of transactions only; the connection's own transaction holds nothing yet. */
int index_checkpoint(struct index *ix, bool truncate)
{
	ix->begun = false;
	int err = query_run(ix, Q_ROLLBACK, "");
	if (err < 0) {
		ix->begun = true;
		return err;
	}
	int frames, moved;
	int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
	int rc = sqlite3_wal_checkpoint_v2(ix->db, NULL, mode, &frames, &moved);
	err = rc == SQLITE_OK ? (frames == moved ? 0 : ERR_BUSY) : query_error(ix, sqlite3_extended_errcode(ix->db));
	int begin = query_run(ix, Q_BEGIN, "");
	ix->begun = true;
	ix->lost = begin < 0;
	return err < 0 ? err : begin;
}

struct index_state *index_state(struct index *ix)
{
	return &ix->state;
}

int index_segment_put(struct index *ix, uint64_t number, uint64_t size, uint64_t live)
{
	return query_run(ix, Q_SEGMENT_PUT, "iii", number, size, live);
}

int index_segment_del(struct index *ix, uint64_t number)
{
	return query_run(ix, Q_SEGMENT_DEL, "i", number);
}

int index_segment_next(struct index *ix, uint64_t *number, uint64_t *ret_size, uint64_t *ret_live)
{
	int err = query_row(ix, Q_SEGMENT_NEXT, "i", *number);
	if (err < 0)
		return err;
	*number = query_u64(ix, Q_SEGMENT_NEXT, 0);
	*ret_size = query_u64(ix, Q_SEGMENT_NEXT, 1);
	*ret_live = query_u64(ix, Q_SEGMENT_NEXT, 2);
	query_done(ix, Q_SEGMENT_NEXT);
	return 0;
}
