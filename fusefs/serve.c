/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: lead() -> receive() -> hand() -> libfuse -> operation -> reply, in a loop on every thread.
 * Failure: a read error other than "try again" ends the connection as ENODEV does (unmounted, aborted).
 * libfuse 3.14 speaks protocol 7.38 but hides parts of it; these are read from, or put into, the raw messages here:
 *  - FUSE_HANDLE_KILLPRIV_V2 and the flags by which the kernel asks to clear setuid, setgid and capabilities;
 *  - FUSE_TMPFILE, which has the form of FUSE_CREATE and gets here the name "/", that no file can have.
 */
#define FUSE_USE_VERSION 314
#include "fusefs/serve.h"
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/env.h"

#define SPIN_NS 50000
#define POLL_NS 10000 /* of these, without sched_yield(), which takes half a microsecond */
#define DRAIN_NS INT64_C(10000000000)
#define LONG_READ (16u * 1024)
#define STREAM_READ (128u * 1024)      /* what the kernel asks for when it reads ahead */
#define IN_SIZE (SERVE_MAX_IO + 4096u) /* what the kernel demands for max_write = SERVE_MAX_IO */

struct worker {
	struct serve *s;
	pthread_t thread;
	uint8_t *in; /* IN_SIZE bytes, the request */
	struct serve_call call;
	atomic_uint_fast64_t seq; /* odd while an operation runs */
	atomic_bool streams;      /* it is a read of a stream */
};

struct serve {
	struct fuse_session *se;
	int fd;
	int stop_fd; /* eventfd, readable once stopping */
	atomic_bool stopping;
	atomic_int_fast64_t drain_until; /* set before stopping */
	atomic_bool ended;               /* the kernel closed the connection */
	struct serve_events events;
	pthread_mutex_t lead;
	pthread_mutex_t flush_lock;
	pthread_cond_t flush_cond;
	atomic_int flush_waiters;
	atomic_uint_fast64_t init_unique; /* of the INIT request while it is answered, else 0 */
	uint32_t init_offered;            /* lead */
	bool has_cpus;                    /* more than one */
	atomic_size_t n_workers;          /* grows with the lead held; those below are all set */
	atomic_size_t ready;              /* threads that hold the lead or will take it */
	pthread_mutex_t aside_lock;
	pthread_cond_t wanted;
	size_t aside, called; /* aside_lock: threads that wait there, and how many of them are to go on */
	struct worker workers[SERVE_MOST];
};

/* Sleeps until a request or the stop signal is there. */
static void wait_readable(struct serve *s)
{
	struct pollfd p[2] = { { .fd = s->fd, .events = POLLIN }, { .fd = s->stop_fd, .events = POLLIN } };

	poll(p, 2, -1); /* an error shows at the next read */
}

static bool others_run(struct serve *s, const struct worker *self)
{
	for (size_t i = 0; i < s->n_workers; i++)
		if (&s->workers[i] != self && (atomic_load(&s->workers[i].seq) & 1))
			return true;
	return false;
}

static bool others_stream(struct serve *s, const struct worker *self)
{
	for (size_t i = 0; i < s->n_workers; i++)
		if (&s->workers[i] != self && atomic_load(&s->workers[i].streams))
			return true;
	return false;
}

/* Nothing to read: spins for a while, then sleeps. Beside a stream it sleeps at once: one thread opens content, the
 * reader copies what came before, and a third that spins would take the CPU of one of them. */
static void idle(struct serve *s, const struct worker *self, int64_t *spin_until)
{
	int64_t now = env_mono_ns();

	if (others_stream(s, self) || (*spin_until != 0 && now >= *spin_until)) {
		wait_readable(s);
		*spin_until = 0;
	} else if (*spin_until == 0) {
		*spin_until = now + SPIN_NS;
	} else if (!s->has_cpus || now >= *spin_until - SPIN_NS + POLL_NS) {
		sched_yield();
	}
}

/* The next request, on the thread that holds the lead; 0 at the end of the connection. While stopping, what the
 * kernel has queued is still served, and what it queues when a running operation ends; but a file that somebody
 * keeps using on a mount taken off lazily could go on for ever: DRAIN_NS then. */
static size_t receive(struct serve *s, struct worker *w)
{
	int64_t spin_until = 0;

	while (!atomic_load(&s->ended)) {
		bool stopping = atomic_load_explicit(&s->stopping, memory_order_relaxed);
		bool last = stopping && (!others_run(s, w) || env_mono_ns() >= atomic_load(&s->drain_until));
		ssize_t n = read(s->fd, w->in, IN_SIZE);
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			return last && env_mono_ns() >= atomic_load(&s->drain_until) ? 0 : (size_t)n;
		if (n >= 0 || errno == EINTR || errno == ENOENT) /* ENOENT: the request was taken back */
			continue;
		if (errno != EAGAIN || last)
			return 0;
		idle(s, w, &spin_until);
	}
	return 0;
}

static bool is_stream(const struct fuse_in_header *h, const void *arg)
{
	return h->opcode == FUSE_READ && ((const struct fuse_read_in *)arg)->size >= STREAM_READ;
}

static bool takes_long(const struct fuse_in_header *h, const void *arg)
{
	switch (h->opcode) {
	case FUSE_READ:
		return ((const struct fuse_read_in *)arg)->size > LONG_READ;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_DESTROY:
		return true;
	default:
		return false;
	}
}

/* What changes nothing in the store never waits for the disk. */
static bool only_looks(const struct fuse_in_header *h)
{
	switch (h->opcode) {
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case FUSE_READ:
	case FUSE_READLINK:
	case FUSE_STATFS:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
	case FUSE_OPENDIR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case FUSE_LSEEK:
	case FUSE_FLUSH:
	case FUSE_INTERRUPT:
	case FUSE_INIT:
		return true;
	default:
		return false;
	}
}

static bool is_slow(const struct serve *s, const struct fuse_in_header *h)
{
	return s->events.slow && s->events.slow(s->events.ctx) && !only_looks(h);
}

static bool kills_privileges(const struct fuse_in_header *h, const void *arg)
{
	switch (h->opcode) {
	case FUSE_WRITE:
		return ((const struct fuse_write_in *)arg)->write_flags & FUSE_WRITE_KILL_SUIDGID;
	case FUSE_SETATTR:
		return ((const struct fuse_setattr_in *)arg)->valid & FATTR_KILL_SUIDGID;
	case FUSE_OPEN:
		return ((const struct fuse_open_in *)arg)->open_flags & FUSE_OPEN_KILL_SUIDGID;
	case FUSE_CREATE:
		return ((const struct fuse_create_in *)arg)->open_flags & FUSE_OPEN_KILL_SUIDGID;
	case FUSE_FALLOCATE: /* no flag tells of these two, and the kernel leaves them to the file system as well */
	case FUSE_COPY_FILE_RANGE:
		return h->uid != 0;
	default:
		return false;
	}
}

/* FUSE_TMPFILE becomes FUSE_CREATE of "/". The kernel sends that very name today; it is made sure of here. */
static void turn_tmpfile(struct worker *w, size_t *n)
{
	struct fuse_in_header *h = (struct fuse_in_header *)w->in;
	size_t name = sizeof *h + sizeof(struct fuse_create_in);

	if (h->opcode != FUSE_TMPFILE || *n < name)
		return;
	memcpy(w->in + name, "/", 2);
	*n = name + 2;
	h->opcode = FUSE_CREATE;
	h->len = (uint32_t)*n;
}

/* Pages that are used only as far as requests need them. */
static uint8_t *map_pages(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int worker_prepare(struct serve *s, struct worker *w)
{
	w->s = s;
	if (!w->in)
		w->in = map_pages(IN_SIZE);
	if (!w->call.reply)
		w->call.reply = map_pages(SERVE_MAX_IO);
	return w->in && w->call.reply ? 0 : ERR_NOMEM;
}

static void *work(void *arg);

/* Lead held. Returns false if there is none to be had. */
static bool add_worker(struct serve *s)
{
	size_t n = atomic_load(&s->n_workers);
	struct worker *w = &s->workers[n];
	if (n == SERVE_MOST || worker_prepare(s, w) < 0)
		return false;
	if (pthread_create(&w->thread, NULL, work, w) != 0)
		return false;
	atomic_store(&s->n_workers, n + 1);
	return true;
}

/* Somebody must be there to take it. */
static void give_up_lead(struct serve *s)
{
	if (atomic_fetch_sub(&s->ready, 1) == 1) {
		pthread_mutex_lock(&s->aside_lock);
		bool some = s->aside > s->called;
		s->called += some;
		if (some)
			pthread_cond_signal(&s->wanted);
		pthread_mutex_unlock(&s->aside_lock);
		if (some || add_worker(s))
			atomic_fetch_add(&s->ready, 1);
	}
	pthread_mutex_unlock(&s->lead);
}

static bool has_to_end(struct serve *s)
{
	return atomic_load(&s->stopping) || atomic_load(&s->ended);
}

/* With enough others the threads that were added wait until they are called, so that few threads stay warm. */
static void take_lead(struct serve *s, const struct worker *w)
{
	bool called = false;
	if (w >= &s->workers[SERVE_THREADS]) {
		pthread_mutex_lock(&s->aside_lock);
		if (atomic_load(&s->ready) > 0) {
			s->aside++;
			while (s->called == 0 && !has_to_end(s))
				pthread_cond_wait(&s->wanted, &s->aside_lock);
			s->aside--;
			called = s->called > 0;
			s->called -= called;
		}
		pthread_mutex_unlock(&s->aside_lock);
	}
	if (!called) /* else whoever called has counted it */
		atomic_fetch_add(&s->ready, 1);
	pthread_mutex_lock(&s->lead);
}

/* Lets libfuse carry the request out. Returns whether this thread still holds the lead. */
static bool hand(struct serve *s, struct worker *w, size_t n)
{
	static const uint8_t none[sizeof(struct fuse_setattr_in)];
	turn_tmpfile(w, &n);
	const struct fuse_in_header *h = (const struct fuse_in_header *)w->in;
	/* Arguments shorter than what is looked at here come from no known kernel. */
	const void *arg = n - sizeof *h >= sizeof(struct fuse_open_in) ? (const void *)(h + 1) : none;
	bool is_init = h->opcode == FUSE_INIT;
	bool release = takes_long(h, arg) || is_slow(s, h);

	if (is_init && n >= sizeof *h + 16) {
		s->init_unique = h->unique;
		s->init_offered = ((const struct fuse_init_in *)arg)->flags;
	}
	w->call.alone = !release;
	w->call.only = !release && !others_run(s, w);
	w->call.kill_privileges = kills_privileges(h, arg);
	atomic_store(&w->streams, is_stream(h, arg));
	if (release)
		give_up_lead(s);
	struct fuse_buf buf = { .size = n, .mem = w->in };
	fuse_session_process_buf(s->se, &buf);
	if (is_init)
		s->init_unique = 0;
	return !release;
}

static void work_done(struct serve *s, struct worker *w)
{
	atomic_store(&w->streams, false);
	atomic_fetch_add(&w->seq, 1);
	if (atomic_load(&s->flush_waiters) == 0)
		return;
	pthread_mutex_lock(&s->flush_lock);
	pthread_cond_broadcast(&s->flush_cond);
	pthread_mutex_unlock(&s->flush_lock);
}

/* None waits aside once all ends. */
static void wake_all(struct serve *s)
{
	pthread_mutex_lock(&s->aside_lock);
	pthread_cond_broadcast(&s->wanted);
	pthread_mutex_unlock(&s->aside_lock);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct serve *s = w->s;
	bool leading = false;

	pthread_mutex_lock(&s->lead); /* whoever made this thread counted it */
	for (bool first = true;; first = false) {
		if (!first && !leading)
			take_lead(s, w);
		size_t n = receive(s, w);
		if (n == 0)
			break;
		atomic_fetch_add(&w->seq, 1);
		leading = hand(s, w, n);
		if (s->events.answered)
			s->events.answered(s->events.ctx, w->in, n);
		work_done(s, w);
	}
	bool first = !atomic_exchange(&s->ended, true);
	wake_all(s);
	pthread_mutex_unlock(&s->lead);
	if (first && !atomic_load(&s->stopping))
		s->events.ended(s->events.ctx);
	return NULL;
}

void serve_free(struct serve *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SERVE_MOST; i++) {
		if (s->workers[i].in)
			munmap(s->workers[i].in, IN_SIZE);
		if (s->workers[i].call.reply)
			munmap(s->workers[i].call.reply, SERVE_MAX_IO);
	}
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	pthread_mutex_destroy(&s->lead);
	pthread_mutex_destroy(&s->aside_lock);
	pthread_cond_destroy(&s->wanted);
	pthread_mutex_destroy(&s->flush_lock);
	pthread_cond_destroy(&s->flush_cond);
	free(s);
}

static int serve_prepare(struct serve *s)
{
	s->has_cpus = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->stop_fd < 0)
		return err_from_errno(errno);
	int flags = fcntl(s->fd, F_GETFL);
	if (flags < 0 || fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_from_errno(errno);
	return 0;
}

int serve_start(struct fuse_session *se, int fd, const struct serve_events *events, struct serve **ret_s)
{
	struct serve *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return ERR_NOMEM;
	s->se = se;
	s->fd = fd;
	s->stop_fd = -1;
	s->events = *events;
	pthread_mutex_init(&s->lead, NULL);
	pthread_mutex_init(&s->aside_lock, NULL);
	pthread_cond_init(&s->wanted, NULL);
	pthread_mutex_init(&s->flush_lock, NULL);
	pthread_cond_init(&s->flush_cond, NULL);
	err = serve_prepare(s);
	if (err < 0) {
		serve_free(s);
		return err;
	}
	*ret_s = s; /* operations find it from the first request on */
	pthread_mutex_lock(&s->lead);
	while (atomic_load(&s->n_workers) < SERVE_THREADS && add_worker(s))
		atomic_fetch_add(&s->ready, 1);
	pthread_mutex_unlock(&s->lead);
	if (atomic_load(&s->n_workers) == 0) {
		*ret_s = NULL;
		serve_free(s);
		return ERR_NOMEM;
	}
	return 0; /* fewer threads than wished for serve as well */
}

void serve_stop(struct serve *s)
{
	uint64_t one = 1;

	atomic_store(&s->drain_until, env_mono_ns() + DRAIN_NS);
	atomic_store(&s->stopping, true);
	while (write(s->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
	wake_all(s);
	for (size_t i = 0; i < atomic_load(&s->n_workers); i++) /* a thread may add one until it ends */
		pthread_join(s->workers[i].thread, NULL);
}

const struct serve_call *serve_call(const struct serve *s)
{
	pthread_t self = pthread_self();

	for (size_t i = 0; i < s->n_workers; i++)
		if (pthread_equal(s->workers[i].thread, self))
			return &s->workers[i].call;
	return NULL;
}

void serve_flush(struct serve *s)
{
	uint_fast64_t seen[SERVE_MOST];
	size_t n = atomic_load(&s->n_workers);

	atomic_fetch_add(&s->flush_waiters, 1);
	for (size_t i = 0; i < n; i++)
		seen[i] = atomic_load(&s->workers[i].seq);
	pthread_mutex_lock(&s->flush_lock);
	for (size_t i = 0; i < n; i++)
		while ((seen[i] & 1) && atomic_load(&s->workers[i].seq) == seen[i])
			pthread_cond_wait(&s->flush_cond, &s->flush_lock);
	pthread_mutex_unlock(&s->flush_lock);
	atomic_fetch_sub(&s->flush_waiters, 1);
}

ssize_t serve_writev(struct serve *s, int fd, struct iovec *iov, int count)
{
	const struct fuse_out_header *h = iov[0].iov_base;

	uint64_t init = s ? atomic_load_explicit(&s->init_unique, memory_order_relaxed) : 0;

	if (init != 0 && h->unique == init && h->error == 0 && count > 1 &&
		iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(uint32_t))
		((struct fuse_init_out *)iov[1].iov_base)->flags |= s->init_offered & FUSE_HANDLE_KILLPRIV_V2;
	return writev(fd, iov, count);
}
