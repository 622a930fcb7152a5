/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/errno.h"
#include <errno.h>
#include <stddef.h>

/* Indexed by the negated enum err; 0 stands for EIO. */
static const int table[] = {
	[-ERR_NOMEM] = ENOMEM,
	[-ERR_INVALID] = EINVAL,
	[-ERR_RANGE] = ERANGE,
	[-ERR_WRONG_KEY] = EKEYREJECTED,
	[-ERR_LOCKED] = ENOKEY,
	[-ERR_NOT_FOUND] = ENOENT,
	[-ERR_EXISTS] = EEXIST,
	[-ERR_CONFLICT] = EBUSY,
	[-ERR_FORBIDDEN] = EACCES,
	[-ERR_STALE] = ESTALE,
	[-ERR_OFFLINE] = ENETUNREACH,
	[-ERR_TIMEOUT] = ETIMEDOUT,
	[-ERR_ABSENT] = ENETUNREACH,
	[-ERR_NO_SPACE] = ENOSPC,
	[-ERR_BUSY] = EBUSY,
	[-ERR_AGAIN] = EAGAIN,
	[-ERR_CLOSED] = ENETUNREACH,
	[-ERR_NOT_DIR] = ENOTDIR,
	[-ERR_IS_DIR] = EISDIR,
	[-ERR_NOT_EMPTY] = ENOTEMPTY,
	[-ERR_NAME_TOO_LONG] = ENAMETOOLONG,
	[-ERR_TOO_MANY_LINKS] = EMLINK,
	[-ERR_FILE_TOO_BIG] = EFBIG,
	[-ERR_PERMISSION] = EPERM,
	[-ERR_READ_ONLY] = EROFS,
	[-ERR_CROSS_SPACE] = EXDEV,
	[-ERR_NO_DATA] = ENODATA,
	[-ERR_UNSUPPORTED] = EOPNOTSUPP,
	[-ERR_RATE_LIMITED] = EAGAIN,
	[-ERR_CANCELLED] = EINTR,
	[-ERR_GAP] = EREMOTEIO,
	[-ERR_MISSING] = EREMOTEIO,
	[-ERR_NOT_TEXT] = EILSEQ,
	[-ERR_QUOTA] = EDQUOT,
};

int err_to_errno(int err)
{
	if (err >= 0)
		return 0;
	if (err <= -(int)(sizeof table / sizeof table[0]) || table[-err] == 0)
		return EIO;
	return table[-err];
}
