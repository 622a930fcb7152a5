/* SPDX-License-Identifier: Apache-2.0 */
#include "server/metrics.h"

static int put(struct buf *b, const char *name, const char *type, const char *help, unsigned long long v)
{
	return buf_printf(b, "# HELP coffer_relay_%s %s\n# TYPE coffer_relay_%s %s\ncoffer_relay_%s %llu\n", name, help,
		name, type, name, v);
}

int metrics_count(struct metrics *m, struct depot *store)
{
	struct depot_sizes z;
	bool wanted;
	int err;

	pthread_mutex_lock(&m->sizes_lock);
	wanted = m->sizes_wanted || !m->sizes_known;
	m->sizes_wanted = false;
	pthread_mutex_unlock(&m->sizes_lock);
	if (!wanted || (err = depot_sizes(store, &z)) < 0)
		return wanted ? err : OK;
	pthread_mutex_lock(&m->sizes_lock);
	m->sizes = z;
	m->sizes_known = true;
	pthread_mutex_unlock(&m->sizes_lock);
	return OK;
}

bool metrics_sizes(struct metrics *m, struct depot_sizes *ret_z)
{
	bool known;

	pthread_mutex_lock(&m->sizes_lock);
	m->sizes_wanted = true;
	if ((known = m->sizes_known))
		*ret_z = m->sizes;
	pthread_mutex_unlock(&m->sizes_lock);
	return known;
}

static const unsigned codes[METRICS_CODES] = { 0, 1001, 1009, 1013, 4000, 4001, 4003, 4005, 4006, 4007 };

void metrics_close(struct metrics *m, int code)
{
	for (size_t i = 0; i < METRICS_CODES; i++)
		if (codes[i] == (unsigned)code)
			metrics_add(m, closes[i], 1);
}

static int put_closes(struct buf *b, const struct metrics *m)
{
	int err = buf_printf(b,
		"# HELP coffer_relay_closes_total WebSocket connections that ended, by the relay's code; 0: "
		"the client's doing.\n"
		"# TYPE coffer_relay_closes_total counter\n");

	for (size_t i = 0; i < METRICS_CODES && err == OK; i++)
		err = buf_printf(b, "coffer_relay_closes_total{code=\"%u\"} %llu\n", codes[i], m->closes[i]);
	return err;
}

static int put_sizes(struct buf *b, const struct depot_sizes *z)
{
	int err;

	if ((err = put(b, "spaces", "gauge", "Spaces.", z->spaces)) < 0 ||
		(err = put(b, "records", "gauge", "Current records.", z->records)) < 0 ||
		(err = put(b, "plain_spaces", "gauge", "Spaces of the plain protocol.", z->plain_spaces)) < 0 ||
		(err = put(b, "plain_rows", "gauge", "Their records, files and members' entries.", z->plain_rows)) <
			0 ||
		(err = put(b, "chunks", "gauge", "Chunks stored.", z->chunks)) < 0 ||
		(err = put(b, "chunk_bytes", "gauge", "Bytes of chunks stored.", z->chunk_bytes)) < 0)
		return err;
	return put(b, "database_bytes", "gauge", "Size of the database.", z->pages_bytes);
}

static int put_times(struct buf *b, const struct metrics *m)
{
	static const char *const labels[METRICS_KINDS] = {
		[METRICS_WRITE] = "kind=\"write\"",
		[METRICS_READ] = "kind=\"read\"",
		[METRICS_UPLOAD] = "kind=\"upload\"",
		[METRICS_DOWNLOAD] = "kind=\"download\"",
	};
	int err = buf_printf(b, "# HELP coffer_relay_request_seconds From a whole request to its whole answer.\n"
				"# TYPE coffer_relay_request_seconds histogram\n");

	for (size_t i = 0; i < METRICS_KINDS && err == OK; i++)
		err = histogram_put(b, &m->request_time[i], "request_seconds", labels[i]);
	if (err == OK)
		err = buf_printf(b,
			"# HELP coffer_relay_commit_seconds A transaction with all its requests, made durable.\n"
			"# TYPE coffer_relay_commit_seconds histogram\n");
	return err < 0 ? err : histogram_put(b, &m->commit_time, "commit_seconds", "");
}

int metrics_put(
	struct buf *b, const struct metrics *m, const struct depot_sizes *sizes, unsigned long long room, int64_t now)
{
	const struct {
		const char *name, *type, *help;
		unsigned long long v;
	} rows[] = {
		{ "connections_total", "counter", "WebSocket connections accepted.", m->connections },
		{ "requests_queued", "gauge", "Requests waiting or being worked on.", m->queued },
		{ "connections_active", "gauge", "WebSocket connections open.", m->connections_active },
		{ "auth_failures_total", "counter", "Connections and HTTP requests refused at authentication.",
			m->auth_failures },
		{ "requests_total", "counter", "RPC requests.", m->requests },
		{ "requests_refused_total", "counter", "RPC requests answered with an error.", m->requests_refused },
		{ "pushes_total", "counter", "Pushes accepted.", m->pushes },
		{ "push_conflicts_total", "counter", "Pushes refused because a record was newer.", m->conflicts },
		{ "records_total", "counter", "Record versions accepted.", m->records },
		{ "log_entries_total", "counter", "Log entries accepted.", m->entries },
		{ "chunks_received_total", "counter", "Chunks stored.", m->chunks_in },
		{ "chunk_received_bytes_total", "counter", "Bytes of chunks stored.", m->chunk_bytes_in },
		{ "chunks_repeated_total", "counter", "Chunks received that were here already.", m->chunks_again },
		{ "chunks_sent_total", "counter", "Chunks read.", m->chunks_out },
		{ "chunk_sent_bytes_total", "counter", "Bytes of chunks read.", m->chunk_bytes_out },
		{ "files_received_total", "counter", "Files of the plain protocol stored.", m->files_in },
		{ "file_received_bytes_total", "counter", "Bytes of files stored.", m->file_bytes_in },
		{ "files_sent_total", "counter", "Files read.", m->files_out },
		{ "file_sent_bytes_total", "counter", "Bytes of files read.", m->file_bytes_out },
		{ "notifications_total", "counter", "Notifications queued to subscribers.", m->notices },
		{ "slow_consumers_total", "counter", "Connections closed because they did not read.",
			m->slow_consumers },
		{ "commits_total", "counter", "Transactions committed.", m->commits },
		{ "commit_requests_total", "counter", "Requests in them.", m->commit_jobs },
		{ "invite_misses_total", "counter", "Look-ups of unknown invites.", m->invite_misses },
		{ "received_bytes_total", "counter", "Bytes of RPC messages received.", m->bytes_in },
		{ "sent_bytes_total", "counter", "Bytes of RPC messages sent.", m->bytes_out },
		{ "cleaned_chunks_total", "counter", "Unnamed chunks removed.", m->cleaned_chunks },
		{ "cleaned_versions_total", "counter", "Old versions removed.", m->cleaned_versions },
		{ "disk_available_bytes", "gauge", "Room on the disk when something was last stored; 0: not yet.",
			room },
		{ "uptime_seconds", "gauge", "Time since start.", (unsigned long long)(now - m->started) },
	};
	int err = buf_printf(b, "# HELP coffer_relay_build_info Version of this relay.\n"
				"# TYPE coffer_relay_build_info gauge\n"
				"coffer_relay_build_info{version=\"" RELAY_VERSION "\"} 1\n");

	for (size_t i = 0; i < sizeof rows / sizeof rows[0] && err == OK; i++)
		err = put(b, rows[i].name, rows[i].type, rows[i].help, rows[i].v);
	if (err == OK)
		err = put_closes(b, m);
	if (err == OK && sizes)
		err = put_sizes(b, sizes);
	return err < 0 ? err : put_times(b, m);
}
