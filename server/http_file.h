/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_file: PUT, GET, HEAD of /api/v1/spaces/{space}/files/{id}, the plain protocol's files (docs/PROTOCOL.md §6.6).
 * Whether an upload is wanted and has room is looked up while it comes; its beginning is held in memory until then,
 * after that it goes to a file. One that is not wanted is read to its end and thrown away, because clients do not read
 * an answer before they have sent all; but not that of a stranger. Network thread only.
 */
#ifndef COFFER_SERVER_HTTP_FILE_H
#define COFFER_SERVER_HTTP_FILE_H

#include "server/job.h"

#define FILE_ROUTE "/api/v1/spaces/"
#define FILE_PART "/files/"

struct request;
struct upload;

/* `path`: SPACE/files/ID. Like the callbacks of libwebsockets: negative closes the connection. */
int file_route(struct request *r, const char *path);
int file_body(struct request *r, struct bytes piece);
int file_body_ends(struct request *r);
bool method_is_file(const struct method *m);
/* A step's job came back. Takes it. */
void file_done(struct request *r, struct job *j);
void upload_free(struct relay *relay, struct upload *u); /* NULL is allowed */

#endif
