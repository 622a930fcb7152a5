/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errno: what an application sees of an enum err. The only place where errors become errno values.
 *
 *	fuse_reply_err(req, err_to_errno(err));
 *
 * Content that is not here: offline ENETUNREACH, deadline passed ETIMEDOUT, interrupted EINTR, the relay has lost it
 * EREMOTEIO, tampered or damaged EIO. A locked agent gives ENOKEY. A device that lost its right to write gives
 * EACCES.
 */
#ifndef COFFER_FUSEFS_ERRNO_H
#define COFFER_FUSEFS_ERRNO_H

#include "base/err.h"

/* 0 for OK, else a positive errno; unknown values give EIO. */
int err_to_errno(int err) MUST_CHECK;

#endif
