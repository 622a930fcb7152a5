/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include <errno.h>
#include <stddef.h>

struct err_text {
	const char *name, *phrase;
};

#define ENTRY(name_, phrase_) [-(ERR_##name_)] = { #name_, phrase_ }

static const struct err_text texts[] = {
	[0] = { "OK", "success" },
	ENTRY(NOMEM, "out of memory"),
	ENTRY(INVALID, "invalid input"),
	ENTRY(RANGE, "limit exceeded"),
	ENTRY(TRUNCATED, "input ends too early"),
	ENTRY(NONCANONICAL, "not the canonical encoding"),
	ENTRY(VERSION, "unknown version"),
	ENTRY(TAMPERED, "data was tampered with"),
	ENTRY(SIGNATURE, "signature does not verify"),
	ENTRY(COMMITMENT, "sealed with another key"),
	ENTRY(CONTEXT, "authentic, but for another place"),
	ENTRY(WRONG_KEY, "wrong passphrase, code or key"),
	ENTRY(LOCKED, "keys are locked"),
	ENTRY(NOT_FOUND, "not found"),
	ENTRY(EXISTS, "exists already"),
	ENTRY(CONFLICT, "somebody else was first"),
	ENTRY(FORBIDDEN, "not allowed"),
	ENTRY(STALE, "out of date"),
	ENTRY(OFFLINE, "relay is not reachable"),
	ENTRY(TIMEOUT, "timed out"),
	ENTRY(ABSENT, "content is not on this device"),
	ENTRY(NO_SPACE, "no space left on the disk"),
	ENTRY(IO, "input or output error"),
	ENTRY(CORRUPT, "local state is damaged"),
	ENTRY(BUSY, "in use"),
	ENTRY(AGAIN, "try again later"),
	ENTRY(CLOSED, "closed by the other end"),
	ENTRY(NOT_DIR, "not a directory"),
	ENTRY(IS_DIR, "is a directory"),
	ENTRY(NOT_EMPTY, "directory is not empty"),
	ENTRY(NAME_TOO_LONG, "name is too long"),
	ENTRY(TOO_MANY_LINKS, "too many links"),
	ENTRY(FILE_TOO_BIG, "file is too big"),
	ENTRY(PERMISSION, "permission denied"),
	ENTRY(READ_ONLY, "read-only"),
	ENTRY(CROSS_SPACE, "crosses from one space to another"),
	ENTRY(NO_DATA, "no data"),
	ENTRY(UNSUPPORTED, "not supported"),
	ENTRY(RATE_LIMITED, "asked to slow down"),
	ENTRY(CANCELLED, "cancelled"),
	ENTRY(FORK, "two histories were shown"),
	ENTRY(ROLLBACK, "relay shows less than before"),
	ENTRY(GAP, "history has a gap"),
	ENTRY(MISSING, "relay lacks content"),
	ENTRY(RELAY_FULL, "the relay's storage, or your share of it, is full"),
	ENTRY(NOT_TEXT, "not UTF-8 text"),
	ENTRY(QUOTA, "disk quota used up"),
	ENTRY(INTERNAL, "internal error"),
};

#define TEXTS ((int)(sizeof texts / sizeof texts[0]))

static const struct err_text *text_of(int err)
{
	static const struct err_text unknown = { "UNKNOWN", "unknown error" };
	return err <= 0 && err > -TEXTS ? &texts[-err] : &unknown;
}

const char *err_str(int err)
{
	return text_of(err)->phrase;
}

const char *err_name(int err)
{
	return text_of(err)->name;
}

static const struct {
	int errno_value, err;
} from_errno[] = {
	{ ENOMEM, ERR_NOMEM },
	{ EMFILE, ERR_NOMEM },
	{ ENFILE, ERR_NOMEM },
	{ EINVAL, ERR_INVALID },
	{ ENOENT, ERR_NOT_FOUND },
	{ EEXIST, ERR_EXISTS },
	{ ENOSPC, ERR_NO_SPACE },
	{ EDQUOT, ERR_QUOTA },
	{ EIO, ERR_IO },
	{ EBUSY, ERR_BUSY },
	{ ETXTBSY, ERR_BUSY },
	{ EADDRINUSE, ERR_BUSY },
	{ EAGAIN, ERR_AGAIN },
	{ EINTR, ERR_CANCELLED },
	{ ECANCELED, ERR_CANCELLED },
	{ EPIPE, ERR_CLOSED },
	{ ECONNRESET, ERR_CLOSED },
	{ ECONNREFUSED, ERR_OFFLINE },
	{ ECONNABORTED, ERR_OFFLINE },
	{ ENETUNREACH, ERR_OFFLINE },
	{ ENETDOWN, ERR_OFFLINE },
	{ EHOSTUNREACH, ERR_OFFLINE },
	{ EHOSTDOWN, ERR_OFFLINE },
	{ ETIMEDOUT, ERR_TIMEOUT },
	{ ENOTDIR, ERR_NOT_DIR },
	{ EISDIR, ERR_IS_DIR },
	{ ENOTEMPTY, ERR_NOT_EMPTY },
	{ ENAMETOOLONG, ERR_NAME_TOO_LONG },
	{ EMLINK, ERR_TOO_MANY_LINKS },
	{ EFBIG, ERR_FILE_TOO_BIG },
	{ EOVERFLOW, ERR_FILE_TOO_BIG },
	{ EPERM, ERR_PERMISSION },
	{ EACCES, ERR_PERMISSION },
	{ EROFS, ERR_READ_ONLY },
	{ EXDEV, ERR_CROSS_SPACE },
	{ ENODATA, ERR_NO_DATA },
	{ ENXIO, ERR_NO_DATA },
	{ ERANGE, ERR_RANGE },
	{ E2BIG, ERR_RANGE },
	{ ENOSYS, ERR_UNSUPPORTED },
	{ EOPNOTSUPP, ERR_UNSUPPORTED },
	{ EAFNOSUPPORT, ERR_UNSUPPORTED },
};

int err_from_errno(int errno_value)
{
	for (size_t i = 0; i < sizeof from_errno / sizeof from_errno[0]; i++)
		if (from_errno[i].errno_value == errno_value)
			return from_errno[i].err;
	return ERR_IO;
}
