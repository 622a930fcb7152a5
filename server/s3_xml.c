/* SPDX-License-Identifier: Apache-2.0 */
#include "server/s3.h"

#include <expat.h>
#include <time.h>

#define DEPTH_MAX 8
#define TEXT_MAX 2048

struct reader {
	XML_Parser parser;
	s3_xml_each *each;
	void *ctx;
	struct buf text;
	bool leaf; /* nothing began since the last beginning */
	unsigned depth;
	int err;
};

static void stop(struct reader *r, int err)
{
	r->err = err;
	XML_StopParser(r->parser, XML_FALSE);
}

static void on_begin(void *user, const char *name, const char **attributes)
{
	struct reader *r = user;

	(void)name, (void)attributes;
	buf_clear(&r->text);
	r->leaf = true;
	if (++r->depth > DEPTH_MAX)
		stop(r, ERR_INVALID);
}

static void on_end(void *user, const char *name)
{
	struct reader *r = user;
	int err = r->leaf ? buf_put_u8(&r->text, 0) : OK;

	if (r->err == OK && err == OK)
		err = r->each(r->ctx, name, r->leaf ? (const char *)r->text.data : NULL);
	r->leaf = false;
	r->depth--;
	if (err < 0)
		stop(r, err);
}

static void on_text(void *user, const char *p, int n)
{
	struct reader *r = user;
	int err = r->leaf ? buf_put(&r->text, p, (size_t)n) : OK;

	if (err < 0)
		stop(r, err == ERR_RANGE ? ERR_INVALID : err);
}

static void on_doctype(void *user, const char *name, const char *system, const char *public, int internal)
{
	(void)name, (void)system, (void)public, (void)internal;
	stop(user, ERR_INVALID);
}

int s3_xml_read(struct bytes xml, s3_xml_each *each, void *ctx)
{
	struct reader r = { .each = each, .ctx = ctx, .text = BUF_INIT(TEXT_MAX) };

	if (xml.len > (1u << 30))
		return ERR_INVALID;
	if (!(r.parser = XML_ParserCreate("UTF-8")))
		return ERR_NOMEM;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_begin, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	if (XML_Parse(r.parser, (const char *)xml.p, (int)xml.len, XML_TRUE) != XML_STATUS_OK && r.err == OK)
		r.err = XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY ? ERR_NOMEM : ERR_INVALID;
	XML_ParserFree(r.parser);
	buf_release(&r.text);
	return r.err;
}

int64_t s3_time(const char *text)
{
	struct tm t = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &t) ? (int64_t)timegm(&t) : -1;
}
