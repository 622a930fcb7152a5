/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format_doc: the worked examples of docs/FORMAT.md or another document, so that a test can hold it against the code.
 *
 * An example is a fenced block whose first line is "```hex NAME" or "```text NAME". In hex, blanks mean nothing, "#"
 * begins a comment, {NAME} stands for the bytes of another example, {format.NAME} for those of one of FORMAT.md. In
 * text, line ends mean nothing but between words. Rows of tables count between "<!-- checked -->" and
 * "<!-- /checked -->".
 *
 *	doc_hex("record.header", buf_bytes(&b));     // fails the test unless the document has exactly these bytes
 *	doc_value("RECORD_MAX_BLOB", RECORD_MAX_BLOB); // a row "| `RECORD_MAX_BLOB` | 262144 |" of a table
 *	doc_all_checked();                           // no example and no such row that nothing asked for
 *
 * With DOC_SHOW set in the environment doc_hex and doc_text print what the code gives, instead of comparing.
 */
#ifndef COFFER_TESTS_LIB_FORMAT_DOC_H
#define COFFER_TESTS_LIB_FORMAT_DOC_H

#include "base/bytes.h"

#define DOC_FORMAT "docs/FORMAT.md"
#define DOC_PROTOCOL "docs/PROTOCOL.md"

/* One at a time; `name` lasts until it is closed. From the root of the repository, or from where the test's program
 * says it is. */
void doc_open(const char *name);
void doc_close(void);

void doc_hex(const char *name, struct bytes got);
void doc_text(const char *name, const char *got);
void doc_value(const char *name, unsigned long long got);
/* A row "| `VALUE` |": the document lists this label. */
void doc_label(const char *label);
void doc_all_checked(void);

#endif
