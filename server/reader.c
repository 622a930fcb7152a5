/* SPDX-License-Identifier: Apache-2.0 */
#include "server/reader.h"

#include <stdlib.h>
#include "base/log.h"
#include "server/relay.h"
#include "server/rpc.h"

struct worker {
	struct reader *reader;
	struct depot *store;
	pthread_t thread;
};

struct reader {
	struct relay *relay;
	job_done *done;
	void *ctx;
	struct job_queue queue;
	struct worker workers[READER_MAX];
	size_t n;
};

void reader_run(struct relay *relay, struct job *j, struct depot *store)
{
	int err = j->method->run(relay, j, store);

	if (err < 0) {
		log_warn("%s: %s", j->method->name, err_str(err));
		job_drop_results(relay, j);
		if (rpc_failed(j, err) < 0)
			job_drop_results(relay, j);
	} else {
		j->more = err > 0;
	}
}

static void *reader_main(void *arg)
{
	struct worker *w = arg;
	struct job *j;

	while ((j = job_queue_take(&w->reader->queue))) {
		reader_run(w->reader->relay, j, w->store);
		w->reader->done(w->reader->ctx, j);
	}
	return NULL;
}

int reader_start(struct relay *relay, size_t n, job_done *done, void *ctx, struct reader **ret_r)
{
	struct reader *r = calloc(1, sizeof *r);
	int err = OK;

	if (!r)
		return ERR_NOMEM;
	r->relay = relay;
	r->done = done;
	r->ctx = ctx;
	job_queue_init(&r->queue);
	while (r->n < n && r->n < READER_MAX && err == OK) {
		struct worker *w = &r->workers[r->n];

		w->reader = r;
		err = depot_open_reader(relay->store, &w->store);
		if (err == OK && pthread_create(&w->thread, NULL, reader_main, w)) {
			depot_close(w->store);
			err = ERR_NOMEM;
		}
		r->n += err == OK;
	}
	if (err < 0) {
		reader_stop(r);
		return err;
	}
	*ret_r = r;
	return OK;
}

void reader_put(struct reader *r, struct job *j)
{
	job_queue_put(&r->queue, j);
}

void reader_stop(struct reader *r)
{
	if (!r)
		return;
	job_queue_close(&r->queue);
	for (size_t i = 0; i < r->n; i++) {
		pthread_join(r->workers[i].thread, NULL);
		depot_close(r->workers[i].store);
	}
	job_queue_release(&r->queue);
	free(r);
}
