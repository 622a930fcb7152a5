/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash: the database changes in checkpoints alone, and those happen when the whole log is on disk. A log that begins anew is
 * written only after the database was synced. So at any moment either the old log or the database has everything that any
 * flush before has promised.
 * A failed sync: the kernel counts as written what it could not write, so that another sync would say nothing of it. What the log
 * should have is in memory until it is synced, and what the database should have is in the log: both are written again.
 */
#include "cache/pagevfs.h"
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/cleanup.h"
#include "crypto/page.h"
#include "crypto/secret.h"

enum {
	PAGE = 4096,
	SEAL = PAGE_NONCE_SIZE + PAGE_TAG_SIZE,
	BODY = PAGE - SEAL,
	LOG_HEAD = 32,
	FRAME = 24 + PAGE, /* as SQLite sees them */
	LOG_HEAD_UNIT = LOG_HEAD + SEAL,
	FRAME_UNIT = FRAME + SEAL, /* as they stand in the file */
	BATCH = 32,
	LOOKS = 64 /* damaged pages that the log is searched for */
};

enum unit_kind { UNIT_PAGE = 1, UNIT_LOG_HEAD = 2, UNIT_FRAME = 3 };

struct frame {
	uint8_t *data;  /* NULL: only in the file */
	uint64_t stamp; /* number of the write that made it what it is */
};

struct pagevfs {
	sqlite3_vfs vfs;
	char name[32];
	const struct env *env;
	int dirfd;
	struct secret *key;
	pthread_mutex_t lock; /* what follows */
	int db_fd, log_fd;
	bool cut_log;    /* SQLite gave the log up: shorten the file once the database is synced */
	bool db_dirty;   /* written since it was synced */
	bool db_again;   /* and a sync failed: what the disk holds is not known */
	uint64_t in_log; /* frames on disk when it became dirty: they have all that was written since */
	uint8_t head[LOG_HEAD];
	uint64_t head_stamp; /* 0: as in the file */
	struct frame *frame;
	uint64_t n_frames, alloc, pending;
	uint64_t moved; /* frames that the database has */
	uint64_t writes;
	uint8_t batch[BATCH * FRAME_UNIT];
};

struct page_file {
	sqlite3_file base;
	struct pagevfs *v;
	bool log;
};

/* ---- units ---- */

static struct bytes unit_aad(uint8_t aad[16], enum unit_kind kind, uint64_t number)
{
	memset(aad, 0, 16);
	aad[0] = (uint8_t)kind;
	bytes_put_le(aad + 8, number, 8);
	return bytes_of(aad, 16);
}

/* out: len bytes of ciphertext, nonce, tag. */
static void seal_unit(
	struct pagevfs *v, enum unit_kind kind, uint64_t number, const uint8_t *plain, size_t len, uint8_t *out)
{
	uint8_t aad[16];
	v->env->random(v->env->ctx, out + len, PAGE_NONCE_SIZE);
	page_seal(secret_key(v->key), out + len, unit_aad(aad, kind, number), bytes_of(plain, len), out,
		out + len + PAGE_NONCE_SIZE);
}

static int open_unit(
	struct pagevfs *v, enum unit_kind kind, uint64_t number, const uint8_t *sealed, size_t len, uint8_t *out)
{
	uint8_t aad[16];
	return page_open(secret_key(v->key), sealed + len, unit_aad(aad, kind, number), bytes_of(sealed, len),
		sealed + len + PAGE_NONCE_SIZE, out);
}

static int sqlite_error(int err)
{
	return err_is_full(err) ? SQLITE_FULL : err == ERR_NOMEM ? SQLITE_IOERR_NOMEM : SQLITE_IOERR;
}

/* ---- the database ---- */

static int db_read_page(struct pagevfs *v, uint64_t number, uint8_t plain[PAGE])
{
	uint8_t sealed[PAGE];
	ssize_t got = v->env->pread(v->env->ctx, v->db_fd, sealed, PAGE, (off_t)((number - 1) * PAGE));
	memset(plain, 0, PAGE);
	if (got < 0)
		return sqlite_error((int)got);
	if (got == 0)
		return SQLITE_IOERR_SHORT_READ;
	if (got != PAGE || open_unit(v, UNIT_PAGE, number, sealed, BODY, plain) < 0)
		return SQLITE_IOERR_DATA;
	return SQLITE_OK;
}

/* SQLite peeks at the first bytes of the file before it looks into the log. A power cut in a checkpoint may have torn that page,
 * which then stands in the log: the peek sees zeros, as of an empty file, and the page itself is read later. */
static int db_read(struct pagevfs *v, uint8_t *p, size_t n, uint64_t off)
{
	uint8_t page[PAGE];
	size_t at = (size_t)(off % PAGE);
	if (at + n > PAGE)
		return SQLITE_IOERR_READ;
	int rc = db_read_page(v, off / PAGE + 1, n == PAGE ? p : page);
	if (n != PAGE)
		memcpy(p, page + at, n);
	return n != PAGE && rc == SQLITE_IOERR_DATA ? SQLITE_OK : rc;
}

static int db_write(struct pagevfs *v, const uint8_t *p, size_t n, uint64_t off)
{
	uint8_t sealed[PAGE];
	if (n != PAGE || off % PAGE != 0)
		return SQLITE_IOERR_WRITE;
	seal_unit(v, UNIT_PAGE, off / PAGE + 1, p, BODY, sealed);
	if (!v->db_dirty)
		v->in_log = v->n_frames;
	v->db_dirty = true;
	int err = v->env->pwrite(v->env->ctx, v->db_fd, sealed, PAGE, (off_t)off);
	return err < 0 ? sqlite_error(err) : SQLITE_OK;
}

/* ---- the log ---- */

static off_t frame_at(uint64_t k)
{
	return (off_t)(LOG_HEAD_UNIT + k * FRAME_UNIT);
}

/* SQLITE_IOERR_DATA: it does not open. */
static int log_load(struct pagevfs *v, uint64_t k, uint8_t plain[FRAME])
{
	uint8_t sealed[FRAME_UNIT];
	ssize_t got = v->env->pread(v->env->ctx, v->log_fd, sealed, sizeof sealed, frame_at(k));
	if (got < 0)
		return sqlite_error((int)got);
	return got == FRAME_UNIT && open_unit(v, UNIT_FRAME, k, sealed, FRAME, plain) == 0 ? SQLITE_OK
											   : SQLITE_IOERR_DATA;
}

/* Whole frames are read in recovery, where one that does not open is the end of the log; pages by themselves later, where
 * it is damage. */
static int log_read_frame(struct pagevfs *v, uint8_t *p, size_t n, uint64_t k, size_t at)
{
	uint8_t plain[FRAME];
	if (at + n > FRAME || k >= v->n_frames) {
		memset(p, 0, n);
		return SQLITE_IOERR_SHORT_READ;
	}
	if (v->frame[k].data) {
		memcpy(p, v->frame[k].data + at, n);
		return SQLITE_OK;
	}
	int rc = log_load(v, k, plain);
	if (rc == SQLITE_OK) {
		memcpy(p, plain + at, n);
	} else {
		memset(p, 0, n);
		if (rc == SQLITE_IOERR_DATA && at == 0)
			rc = SQLITE_OK;
	}
	return rc;
}

static int log_read_head(struct pagevfs *v, uint8_t *p, size_t n, size_t at)
{
	uint8_t sealed[LOG_HEAD_UNIT], plain[LOG_HEAD];
	if (at + n > LOG_HEAD)
		return SQLITE_IOERR_READ;
	if (v->head_stamp != 0) {
		memcpy(p, v->head + at, n);
		return SQLITE_OK;
	}
	ssize_t got = v->env->pread(v->env->ctx, v->log_fd, sealed, sizeof sealed, 0);
	memset(p, 0, n);
	if (got < 0)
		return sqlite_error((int)got);
	if (got != LOG_HEAD_UNIT)
		return SQLITE_IOERR_SHORT_READ;
	if (open_unit(v, UNIT_LOG_HEAD, 0, sealed, LOG_HEAD, plain) == 0)
		memcpy(p, plain + at, n);
	return SQLITE_OK;
}

static int log_read(struct pagevfs *v, uint8_t *p, size_t n, uint64_t off)
{
	if (off < LOG_HEAD)
		return log_read_head(v, p, n, (size_t)off);
	return log_read_frame(v, p, n, (off - LOG_HEAD) / FRAME, (size_t)((off - LOG_HEAD) % FRAME));
}

static void forget_frames(struct pagevfs *v, uint64_t from)
{
	for (uint64_t k = from; k < v->n_frames; k++) {
		if (v->frame[k].data) {
			free(v->frame[k].data);
			v->frame[k].data = NULL;
			v->pending--;
		}
	}
	if (v->n_frames > from)
		v->n_frames = from;
	if (v->moved > from)
		v->moved = from;
}

static int log_grow(struct pagevfs *v, uint64_t n)
{
	if (n > v->alloc) {
		uint64_t alloc = v->alloc ? v->alloc : 1024;
		while (alloc < n)
			alloc *= 2;
		struct frame *frame = realloc(v->frame, alloc * sizeof *frame);
		if (!frame)
			return SQLITE_IOERR_NOMEM;
		v->frame = frame;
		v->alloc = alloc;
	}
	for (; v->n_frames < n; v->n_frames++)
		v->frame[v->n_frames] = (struct frame){ .data = NULL };
	return SQLITE_OK;
}

static int log_write_frame(struct pagevfs *v, const uint8_t *p, size_t n, uint64_t k, size_t at)
{
	if (at + n > FRAME || k > v->n_frames)
		return SQLITE_IOERR_WRITE;
	bool is_new = k == v->n_frames;
	int rc = log_grow(v, k + 1);
	if (rc != SQLITE_OK)
		return rc;
	struct frame *f = &v->frame[k];
	if (!f->data) {
		uint8_t *data = calloc(1, FRAME);
		if (!data)
			return SQLITE_IOERR_NOMEM;
		rc = is_new || (at == 0 && n == FRAME) ? SQLITE_OK : log_load(v, k, data);
		if (rc == SQLITE_IOERR_DATA)
			rc = SQLITE_OK; /* a frame of the log before: about to be written whole */
		if (rc != SQLITE_OK) {
			free(data);
			return rc;
		}
		f->data = data;
		v->pending++;
	}
	memcpy(f->data + at, p, n);
	f->stamp = ++v->writes;
	return SQLITE_OK;
}

/* A new header means a new log: what the old one held is in the database. */
static int log_write(struct pagevfs *v, const uint8_t *p, size_t n, uint64_t off)
{
	if (off >= LOG_HEAD)
		return log_write_frame(v, p, n, (off - LOG_HEAD) / FRAME, (size_t)((off - LOG_HEAD) % FRAME));
	if (off != 0 || n != LOG_HEAD)
		return SQLITE_IOERR_WRITE;
	forget_frames(v, 0);
	memcpy(v->head, p, LOG_HEAD);
	v->head_stamp = ++v->writes;
	return SQLITE_OK;
}

/* ---- files as SQLite sees them ---- */

static int file_close(sqlite3_file *file)
{
	struct page_file *f = (struct page_file *)file;
	struct pagevfs *v = f->v;
	pthread_mutex_lock(&v->lock);
	int *fd = f->log ? &v->log_fd : &v->db_fd;
	if (f->log)
		forget_frames(v, 0);
	v->env->close(v->env->ctx, *fd);
	*fd = -1;
	pthread_mutex_unlock(&v->lock);
	return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *p, int n, sqlite3_int64 off)
{
	struct page_file *f = (struct page_file *)file;
	pthread_mutex_lock(&f->v->lock);
	int rc = f->log ? log_read(f->v, p, (size_t)n, (uint64_t)off) : db_read(f->v, p, (size_t)n, (uint64_t)off);
	pthread_mutex_unlock(&f->v->lock);
	return rc;
}

static int file_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 off)
{
	struct page_file *f = (struct page_file *)file;
	pthread_mutex_lock(&f->v->lock);
	int rc = f->log ? log_write(f->v, p, (size_t)n, (uint64_t)off) : db_write(f->v, p, (size_t)n, (uint64_t)off);
	pthread_mutex_unlock(&f->v->lock);
	return rc;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct page_file *f = (struct page_file *)file;
	struct pagevfs *v = f->v;
	int err = 0;
	pthread_mutex_lock(&v->lock);
	if (!f->log)
		err = v->env->ftruncate(v->env->ctx, v->db_fd, size);
	else
		forget_frames(v, size <= LOG_HEAD ? 0 : ((uint64_t)size - LOG_HEAD) / FRAME);
	if (f->log && size == 0) {
		v->cut_log = true;
		v->head_stamp = 0;
	}
	pthread_mutex_unlock(&v->lock);
	return err < 0 ? sqlite_error(err) : SQLITE_OK;
}

/* Nothing: pagevfs_flush() syncs, in its own order. */
static int file_sync(sqlite3_file *file, int flags)
{
	(void)file;
	(void)flags;
	return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	struct page_file *f = (struct page_file *)file;
	struct pagevfs *v = f->v;
	int64_t size = 0;
	pthread_mutex_lock(&v->lock);
	if (!f->log)
		size = v->env->fsize(v->env->ctx, v->db_fd);
	else if (v->n_frames > 0 || v->head_stamp != 0)
		size = LOG_HEAD + (int64_t)v->n_frames * FRAME;
	pthread_mutex_unlock(&v->lock);
	*ret_size = size;
	return size < 0 ? sqlite_error((int)size) : SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
	(void)file;
	(void)level;
	return SQLITE_OK;
}

static int file_reserved(sqlite3_file *file, int *ret)
{
	(void)file;
	*ret = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
	(void)file;
	return PAGE;
}

static int file_traits(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = { .iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits };

/* ---- the VFS ---- */

static int open_log(struct pagevfs *v)
{
	int64_t size = v->env->fsize(v->env->ctx, v->log_fd);
	if (size < 0)
		return sqlite_error((int)size);
	v->head_stamp = 0;
	v->n_frames = 0;
	return size < LOG_HEAD_UNIT ? SQLITE_OK : log_grow(v, ((uint64_t)size - LOG_HEAD_UNIT) / FRAME_UNIT);
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct pagevfs *v = vfs->pAppData;
	struct page_file *f = (struct page_file *)file;
	memset(f, 0, sizeof *f);
	if (!name || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return SQLITE_CANTOPEN; /* temporary files stay in memory, and there is no rollback journal */
	f->v = v;
	f->log = (flags & SQLITE_OPEN_WAL) != 0;
	pthread_mutex_lock(&v->lock);
	int *fd = f->log ? &v->log_fd : &v->db_fd;
	int rc = SQLITE_CANTOPEN;
	if (*fd < 0) {
		*fd = v->env->open(
			v->env->ctx, v->dirfd, name, O_RDWR | (flags & SQLITE_OPEN_CREATE ? O_CREAT : 0), 0600);
		if (*fd == ERR_READ_ONLY) /* what SQLite writes stays in memory */
			*fd = v->env->open(v->env->ctx, v->dirfd, name, O_RDONLY, 0);
		rc = *fd < 0 ? SQLITE_CANTOPEN : f->log ? open_log(v) : SQLITE_OK;
		if (rc != SQLITE_OK && *fd >= 0) {
			v->env->close(v->env->ctx, *fd);
			*fd = -1;
		}
	}
	pthread_mutex_unlock(&v->lock);
	if (rc == SQLITE_OK)
		f->base.pMethods = &methods;
	if (ret_flags)
		*ret_flags = flags;
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	struct pagevfs *v = vfs->pAppData;
	(void)sync_dir;
	int err = v->env->unlink(v->env->ctx, v->dirfd, name);
	return err < 0 && err != ERR_NOT_FOUND ? SQLITE_IOERR_DELETE : SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	struct pagevfs *v = vfs->pAppData;
	(void)flags;
	int fd = v->env->open(v->env->ctx, v->dirfd, name, O_RDONLY, 0);
	*ret = fd >= 0;
	if (fd >= 0)
		v->env->close(v->env->ctx, fd);
	return SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	snprintf(out, (size_t)size, "%s", name);
	return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *out)
{
	struct pagevfs *v = vfs->pAppData;
	v->env->random(v->env->ctx, out, (size_t)n);
	return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	(void)vfs;
	*ret = 0;
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *out)
{
	(void)vfs;
	(void)n;
	(void)out;
	return 0;
}

int pagevfs_open(const struct env *env, int dirfd, const uint8_t key[32], struct pagevfs **ret_v)
{
	struct pagevfs *v = calloc(1, sizeof *v);
	if (!v)
		return ERR_NOMEM;
	int err = secret_from(bytes_of(key, 32), &v->key);
	if (err < 0) {
		free(v);
		return err;
	}
	v->env = env;
	v->dirfd = dirfd;
	v->db_fd = v->log_fd = -1;
	pthread_mutex_init(&v->lock, NULL);
	snprintf(v->name, sizeof v->name, "coffer-%p", (void *)v);
	v->vfs = (sqlite3_vfs){ .iVersion = 2,
		.szOsFile = sizeof(struct page_file),
		.mxPathname = 64,
		.zName = v->name,
		.pAppData = v,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_path,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTimeInt64 = vfs_time,
		.xGetLastError = vfs_last_error };
	/* SQLite counts what it allocates, behind a lock, which nobody reads here and which is a tenth of the time of a short
	 * statement. Once it has begun it keeps to what it is. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
		pagevfs_close(v);
		return ERR_NOMEM;
	}
	*ret_v = v;
	return 0;
}

void pagevfs_close(struct pagevfs *v)
{
	if (!v)
		return;
	sqlite3_vfs_unregister(&v->vfs);
	forget_frames(v, 0);
	free(v->frame);
	secret_free(v->key);
	pthread_mutex_destroy(&v->lock);
	secret_wipe(v->batch, sizeof v->batch);
	free(v);
}

const char *pagevfs_name(const struct pagevfs *v)
{
	return v->name;
}

/* ---- flushing ---- */

uint64_t pagevfs_mark(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	uint64_t mark = v->writes;
	pthread_mutex_unlock(&v->lock);
	return mark;
}

static bool due(const struct frame *f, uint64_t mark)
{
	return f->data && f->stamp <= mark;
}

/* Seals the next run of frames that are due into the batch. Returns how many; the lock is held. */
static uint64_t seal_batch(struct pagevfs *v, uint64_t mark, uint64_t *first)
{
	uint64_t n = 0;
	while (*first < v->n_frames && !due(&v->frame[*first], mark))
		++*first;
	while (n < BATCH && *first + n < v->n_frames && due(&v->frame[*first + n], mark)) {
		seal_unit(v, UNIT_FRAME, *first + n, v->frame[*first + n].data, FRAME, v->batch + n * FRAME_UNIT);
		n++;
	}
	return n;
}

/* What is on disk need not be kept. */
static void drop_synced(struct pagevfs *v, uint64_t mark)
{
	pthread_mutex_lock(&v->lock);
	if (v->head_stamp <= mark)
		v->head_stamp = 0;
	for (uint64_t k = 0; k < v->n_frames; k++) {
		if (!due(&v->frame[k], mark))
			continue;
		free(v->frame[k].data);
		v->frame[k].data = NULL;
		v->pending--;
	}
	pthread_mutex_unlock(&v->lock);
}

static int write_head(struct pagevfs *v, uint64_t mark)
{
	uint8_t sealed[LOG_HEAD_UNIT];
	pthread_mutex_lock(&v->lock);
	bool write = v->head_stamp != 0 && v->head_stamp <= mark;
	if (write)
		seal_unit(v, UNIT_LOG_HEAD, 0, v->head, LOG_HEAD, sealed);
	int err = write ? v->env->pwrite(v->env->ctx, v->log_fd, sealed, sizeof sealed, 0) : 0;
	pthread_mutex_unlock(&v->lock);
	return err < 0 ? err : write;
}

/* Returns 1 if anything was written. */
static int write_frames(struct pagevfs *v, uint64_t mark)
{
	int err = write_head(v, mark);
	bool any = err > 0;
	for (uint64_t first = 0; err >= 0;) {
		pthread_mutex_lock(&v->lock);
		uint64_t n = seal_batch(v, mark, &first);
		pthread_mutex_unlock(&v->lock);
		if (n == 0)
			break;
		any = true;
		err = v->env->pwrite(v->env->ctx, v->log_fd, v->batch, n * FRAME_UNIT, frame_at(first));
		first += n;
	}
	return err < 0 ? err : any;
}

static int restore_frame(struct pagevfs *v, uint64_t k, bool write, uint64_t *pages)
{
	uint8_t plain[FRAME];
	pthread_mutex_lock(&v->lock);
	int rc = log_load(v, k, plain);
	uint64_t page = bytes_get_be(plain, 4), size = bytes_get_be(plain + 4, 4);
	if (rc == SQLITE_OK && write && page > 0 && page <= *pages)
		rc = db_write(v, plain + FRAME - PAGE, PAGE, (page - 1) * PAGE);
	pthread_mutex_unlock(&v->lock);
	if (!write)
		*pages = size;
	return rc == SQLITE_OK ? 0 : rc == SQLITE_FULL ? ERR_NO_SPACE : ERR_IO;
}

/* The pages of the database that the log on disk has: up to its last commit, whose frame tells the size. */
static int restore_pages(struct pagevfs *v, uint64_t frames)
{
	uint64_t pages = 0;
	int err = 0;
	while (err == 0 && frames > 0 && pages == 0) {
		err = restore_frame(v, frames - 1, false, &pages);
		frames -= pages == 0;
	}
	for (uint64_t k = 0; err == 0 && k < frames; k++)
		err = restore_frame(v, k, true, &pages);
	return err == 0 && frames == 0 ? ERR_IO : err;
}

static int sync_database(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	bool dirty = v->db_dirty, again = v->db_again;
	uint64_t frames = v->in_log;
	pthread_mutex_unlock(&v->lock);
	if (!dirty)
		return 0;
	int err = again ? restore_pages(v, frames) : 0;
	if (err == 0)
		err = v->env->fdatasync(v->env->ctx, v->db_fd);
	pthread_mutex_lock(&v->lock);
	v->db_dirty = v->db_again = err < 0;
	pthread_mutex_unlock(&v->lock);
	return err;
}

static int cut_log(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	bool cut = v->cut_log;
	pthread_mutex_unlock(&v->lock);
	int err = cut ? v->env->ftruncate(v->env->ctx, v->log_fd, 0) : 0;
	if (err == 0 && cut) {
		pthread_mutex_lock(&v->lock);
		v->cut_log = false;
		pthread_mutex_unlock(&v->lock);
	}
	return err;
}

int pagevfs_flush(struct pagevfs *v, uint64_t mark)
{
	int err = sync_database(v);
	if (err < 0 || v->log_fd < 0)
		return err;
	err = cut_log(v);
	if (err == 0)
		err = write_frames(v, mark);
	if (err > 0)
		err = v->env->fdatasync(v->env->ctx, v->log_fd);
	if (err == 0)
		drop_synced(v, mark);
	return err;
}

uint64_t pagevfs_frames(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	uint64_t n = v->n_frames;
	pthread_mutex_unlock(&v->lock);
	return n;
}

uint64_t pagevfs_pending(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	uint64_t n = v->pending + (v->head_stamp != 0);
	pthread_mutex_unlock(&v->lock);
	return n;
}

uint64_t pagevfs_log_bytes(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	int64_t log = v->log_fd >= 0 ? v->env->fsize(v->env->ctx, v->log_fd) : 0;
	pthread_mutex_unlock(&v->lock);
	return log > 0 ? (uint64_t)log : 0;
}

void pagevfs_moved(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	v->moved = v->n_frames;
	pthread_mutex_unlock(&v->lock);
}

uint64_t pagevfs_need(struct pagevfs *v)
{
	uint64_t log = pagevfs_log_bytes(v);
	pthread_mutex_lock(&v->lock);
	uint64_t want = LOG_HEAD_UNIT + v->n_frames * FRAME_UNIT, grow = (v->n_frames - v->moved) * PAGE;
	pthread_mutex_unlock(&v->lock);
	return grow + (want > log ? want - log : 0);
}

uint64_t pagevfs_bytes(struct pagevfs *v)
{
	pthread_mutex_lock(&v->lock);
	int64_t db = v->db_fd >= 0 ? v->env->fsize(v->env->ctx, v->db_fd) : 0;
	int64_t log = v->log_fd >= 0 ? v->env->fsize(v->env->ctx, v->log_fd) : 0;
	pthread_mutex_unlock(&v->lock);
	return (uint64_t)(db > 0 ? db : 0) + (uint64_t)(log > 0 ? log : 0);
}

/* ---- verifying ---- */

/* Whether a frame that the database does not have yet brings the page; the lock is held. Frames of an older log may stand behind
 * those of this one: they have other salts than its head (the SQLite file format, 4.1). */
static bool log_brings(struct pagevfs *v, uint64_t number)
{
	uint8_t plain[FRAME], salts[8];
	if (log_read_head(v, salts, sizeof salts, 16) != SQLITE_OK)
		return false;
	for (uint64_t k = v->moved; k < v->n_frames; k++) {
		const uint8_t *frame = v->frame[k].data;
		if (!frame && log_load(v, k, plain) == SQLITE_OK)
			frame = plain;
		if (frame && bytes_get_be(frame, 4) == number && memcmp(frame + 8, salts, sizeof salts) == 0)
			return true;
	}
	return false;
}

static bool page_opens(struct pagevfs *v, uint64_t number)
{
	uint8_t sealed[PAGE], plain[BODY];
	ssize_t got = v->env->pread(v->env->ctx, v->db_fd, sealed, PAGE, (off_t)((number - 1) * PAGE));
	return got == 0 || (got == PAGE && open_unit(v, UNIT_PAGE, number, sealed, BODY, plain) == 0);
}

int pagevfs_verify(struct pagevfs *v, uint64_t *ret_pages, uint64_t *ret_damaged)
{
	int64_t size = v->env->fsize(v->env->ctx, v->db_fd);
	uint64_t pages = size > 0 ? (uint64_t)size / PAGE : 0, damaged = 0;
	if (size < 0)
		return (int)size;
	(void)!posix_fadvise(v->db_fd, 0, 0, POSIX_FADV_DONTNEED); /* so that the disk is read */
	for (uint64_t number = 1; number <= pages; number++) {
		if (page_opens(v, number))
			continue;
		pthread_mutex_lock(&v->lock); /* a checkpoint may just have been writing it */
		if (!page_opens(v, number) && (damaged >= LOOKS || !log_brings(v, number)))
			damaged++;
		pthread_mutex_unlock(&v->lock);
	}
	*ret_pages = pages;
	*ret_damaged = damaged;
	return 0;
}
