/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_files: how fast one relay on this machine takes and gives files of 1 MiB over 4 connections, beside nginx with its DAV module
 * ($NGINX_PROGRAM or in PATH) in the same rounds, all with their data in /dev/shm. `make bench-relay` runs it.
 *
 *	load_files      rows: name, figure, unit, what must hold
 *
 * chunks: of a space of Coffer, whose hash the relay compares. plain: files of the plain protocol. Best of the rounds, as a machine
 * with other work slows all of them down.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "crypto/hash.h"
#include "crypto/token.h"
#include "server/jwt.h"
#include "tests/lib/program.h"
#include "tests/lib/relay_process.h"
#include "tests/lib/rpc_client.h"

#define FILES 128
#define FILE_BYTES (1u << 20)
#define UPLOADERS 4
#define ROUNDS 4
#define DEK "AAAAAaqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=" /* 44 bytes in base64: a wrapped key */

/* Where files are put. */
struct shelf {
	const char *name;
	uint16_t port;
	char prefix[128];   /* of the path */
	char headers[2048]; /* each ends with CR LF */
	double put, get;    /* MiB/s, best so far */
};

/* One connection's part of the files. */
struct transfer {
	pthread_t thread;
	const struct shelf *shelf;
	const struct sealed *files;
	size_t from, to;
	bool put;
	int bad;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void row(const char *name, const char *what, double figure, const char *unit, const char *wanted)
{
	printf("files.%s_%s\t%.2f\t%s\t%s\n", name, what, figure, unit, wanted);
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

/* Reads one answer; its status. */
static int answer(int fd, char *buffer, size_t size)
{
	size_t have = 0, want = SIZE_MAX;
	int status = 0;
	char *end, *length;

	while (have < want) {
		ssize_t n = recv(fd, buffer + have, size - have, 0);

		if (n <= 0)
			return -1;
		have += (size_t)n;
		buffer[have] = '\0';
		if (want != SIZE_MAX || !(end = strstr(buffer, "\r\n\r\n")))
			continue;
		length = strcasestr(buffer, "content-length:");
		want = (size_t)(end + 4 - buffer) + (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
		status = atoi(buffer + 9);
	}
	return status;
}

static void *transfer_main(void *arg)
{
	struct transfer *t = arg;
	size_t size = FILE_BYTES + 65536;
	char *buffer = malloc(size + 1), head[4096], id[ID16_TEXT_SIZE];
	int fd = dial(t->shelf->port);

	for (size_t i = t->from; fd >= 0 && buffer && i < t->to; i++) {
		const struct sealed *f = &t->files[i];
		int n, status;

		id16_format(&f->id, id);
		n = snprintf(head, sizeof head, "%s %s%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n",
			t->put ? "PUT" : "GET", t->shelf->prefix, id, t->shelf->headers, t->put ? f->blob.len : 0);
		if (send(fd, head, (size_t)n, MSG_NOSIGNAL | (t->put ? MSG_MORE : 0)) != n)
			break;
		for (size_t at = 0; t->put && at < f->blob.len;) {
			ssize_t sent = send(fd, f->blob.data + at, f->blob.len - at, MSG_NOSIGNAL);

			if (sent <= 0)
				break;
			at += (size_t)sent;
		}
		status = answer(fd, buffer, size);
		t->bad += status != (t->put ? 201 : 200);
		if (status < 0)
			break;
	}
	if (fd >= 0)
		close(fd);
	else
		t->bad++;
	free(buffer);
	return NULL;
}

static void transfer(struct shelf *shelf, const struct sealed *files, bool put)
{
	struct transfer t[UPLOADERS];
	double start = now(), rate, *best = put ? &shelf->put : &shelf->get;

	for (size_t i = 0; i < UPLOADERS; i++) {
		t[i] = (struct transfer){ .shelf = shelf,
			.files = files,
			.from = FILES * i / UPLOADERS,
			.to = FILES * (i + 1) / UPLOADERS,
			.put = put };
		assert_int_equal(pthread_create(&t[i].thread, NULL, transfer_main, &t[i]), 0);
	}
	for (size_t i = 0; i < UPLOADERS; i++) {
		pthread_join(t[i].thread, NULL);
		assert_int_equal(t[i].bad, 0);
	}
	rate = (double)FILES * FILE_BYTES / (1 << 20) / (now() - start);
	*best = rate > *best ? rate : *best;
}

/* One that nobody uses now. */
static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static pid_t nginx_start(const char *dir, uint16_t port)
{
	char path[PATH_MAX + 16], command[PATH_MAX + 128];
	const char *nginx = getenv("NGINX_PROGRAM") ? getenv("NGINX_PROGRAM") : "nginx";
	FILE *f;
	pid_t pid;
	int fd = -1;

	snprintf(path, sizeof path, "%s/nginx.conf", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"daemon off; master_process off; pid %s/pid; error_log %s/error.log;\n"
		"events { worker_connections 64; }\n"
		"http { access_log off; client_max_body_size 4m; client_body_temp_path %s/tmp; client_body_buffer_size "
		"2m;\n"
		" proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
		" server { listen 127.0.0.1:%u; location / { root %s/www; dav_methods PUT; create_full_put_path on; } "
		"} }\n",
		dir, dir, dir, dir, dir, dir, dir, port, dir);
	fclose(f);
	snprintf(command, sizeof command, "%s/www", dir);
	mkdir(command, 0777);
	pid = fork();
	if (pid == 0) {
		execlp(nginx, "nginx", "-c", path, "-p", dir, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 200 && (fd = dial(port)) < 0 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		usleep(20000);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? 0 : pid;
}

/* --- the relay's --- */

static void authorize(struct shelf *shelf, struct party *me, const char *url)
{
	CLEANUP(buf_release) struct buf token = BUF_INIT(TOKEN_MAX + 1);

	rpc_token(me, url, &token);
	assert_int_equal(buf_put_u8(&token, 0), 0);
	snprintf(shelf->headers, sizeof shelf->headers, "Authorization: Bearer %s\r\n", (const char *)token.data);
}

static void open_chunks(
	struct shelf *shelf, struct party *me, struct new_space *space, const struct relay_process *relay)
{
	struct buf params = BUF_INIT(FRAME_MAX);
	char id[ID16_TEXT_SIZE];
	struct rpc_client c;
	struct reply r;

	party_init(me, "chunks");
	party_space(me, space);
	rpc_open(&c, relay->port);
	rpc_auth(&c, me, relay->url);
	params_append(&params, log_space(space->log), space->blobs, 3);
	r = rpc_call(&c, "coffer.append", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
	rpc_close(&c);
	id16_format(log_space(space->log), id);
	*shelf = (struct shelf){ .name = "chunk", .port = relay->port };
	snprintf(shelf->prefix, sizeof shelf->prefix, "/api/v1/coffer/spaces/%s/chunks/", id);
	authorize(shelf, me, relay->url);
}

/* In the personal space of a device that speaks for itself, all of one record. */
static void open_plain(struct shelf *shelf, struct party *me, const struct relay_process *relay)
{
	char person[DID_KEY_TEXT_SIZE], device[DID_KEY_TEXT_SIZE], space[ID16_TEXT_SIZE], record[ID16_TEXT_SIZE];
	struct buf params = BUF_INIT(FRAME_MAX);
	struct cbor_enc e = cbor_enc_init(&params);
	const struct id16 id = sealed_id();
	struct id16 personal;
	struct rpc_client c;
	struct reply r;
	size_t len;

	party_init(me, "plain");
	id32_format_did(identity_person(me->id), person);
	id32_format_did(identity_device(me->id), device);
	assert_int_equal(jwt_personal_space(bytes_str(person), bytes_str(person), bytes_str(device), &personal), 0);
	id16_format(&personal, space);
	id16_format(&id, record);
	cbor_put_map(&e, 2);
	cbor_put_text(&e, "space");
	cbor_put_text(&e, space);
	cbor_put_text(&e, "changes");
	cbor_put_array(&e, 1);
	cbor_put_map(&e, 3);
	cbor_put_text(&e, "id");
	cbor_put_text(&e, record);
	cbor_put_text(&e, "blob");
	cbor_put_bytes(&e, "x", 1);
	cbor_put_text(&e, "expected_cursor");
	cbor_put_uint(&e, 0);
	assert_int_equal(cbor_enc_end(&e), 0);
	rpc_open(&c, relay->port);
	rpc_auth(&c, me, relay->url);
	r = rpc_call(&c, "push", &params);
	assert_true(reply_ok(&r));
	reply_release(&r);
	rpc_close(&c);
	*shelf = (struct shelf){ .name = "plain", .port = relay->port };
	snprintf(shelf->prefix, sizeof shelf->prefix, "/api/v1/spaces/%s/files/", space);
	authorize(shelf, me, relay->url);
	len = strlen(shelf->headers);
	snprintf(shelf->headers + len, sizeof shelf->headers - len, "X-Record-ID: %s\r\nX-Wrapped-DEK: " DEK "\r\n",
		record);
}

static void run_round(struct shelf *shelves, size_t n, const struct new_space *space)
{
	struct sealed *files = calloc(FILES, sizeof *files);

	for (size_t k = 0; k < FILES; k++)
		sealed_chunk(space, NULL, FILE_BYTES, &files[k]);
	for (int put = 1; put >= 0; put--)
		for (size_t i = 0; i < n; i++)
			transfer(&shelves[i], files, put);
	for (size_t k = 0; k < FILES; k++)
		sealed_release(&files[k]);
	free(files);
}

static void print(const struct shelf *shelf, const struct shelf *other)
{
	row(shelf->name, "put", shelf->put, "MiB/s", "");
	row(shelf->name, "get", shelf->get, "MiB/s", "");
	if (other) {
		row(shelf->name, "put_to_nginx", shelf->put / other->put, "x nginx", "0.7");
		row(shelf->name, "get_to_nginx", shelf->get / other->get, "x nginx", "0.7");
	}
}

int main(void)
{
	struct relay_process relay = { .dir = "/dev/shm/coffer-relay.XXXXXX" };
	struct shelf shelves[3] = { 0 };
	struct party one, two;
	struct new_space space;
	pid_t nginx;

	program_init();
	signal(SIGPIPE, SIG_IGN);
	if (crypto_init() < 0)
		return 1;
	assert_non_null(mkdtemp(relay.dir));
	relay_process_start(&relay);
	open_chunks(&shelves[0], &one, &space, &relay);
	open_plain(&shelves[1], &two, &relay);
	shelves[2] = (struct shelf){ .name = "nginx", .port = free_port(), .prefix = "/" };
	nginx = nginx_start(relay.dir, shelves[2].port);
	if (!nginx)
		fputs("no nginx: not compared\n", stderr);
	for (int i = 0; i < ROUNDS; i++)
		run_round(shelves, nginx ? 3 : 2, &space);
	for (int i = 0; i < 2; i++)
		print(&shelves[i], nginx ? &shelves[2] : NULL);
	if (nginx) {
		kill(nginx, SIGTERM);
		waitpid(nginx, NULL, 0);
	}
	relay_process_remove(&relay);
	new_space_release(&space);
	party_release(&one);
	party_release(&two);
	return 0;
}
