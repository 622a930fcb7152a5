/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: the one error vocabulary of the project.
 *
 * A function that can fail returns 0 or a negative enum err. Foreign codes (errno, sqlite, curl, lws) are converted on
 * the line that receives them. errno appears outward only in fusefs/ (err_to_errno); sysexits only in cli/.
 */
#ifndef COFFER_BASE_ERR_H
#define COFFER_BASE_ERR_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
	OK = 0,
	ERR_NOMEM = -1,      /* an allocation failed, a bounded buffer reached its cap, or no more files may be open */
	ERR_INVALID = -2,    /* input that no honest peer or caller sends: malformed, out of range */
	ERR_RANGE = -3,      /* a size, depth or count cap was exceeded */
	ERR_TRUNCATED = -4,  /* input ended inside an item */
	ERR_NONCANONICAL = -5, /* decodes, but not the one deterministic encoding */
	ERR_VERSION = -6,    /* a format or protocol version this program does not speak */
	ERR_TAMPERED = -7,   /* an AEAD tag, keyed hash or chained hash does not match */
	ERR_SIGNATURE = -8,  /* a signature does not verify */
	ERR_COMMITMENT = -9, /* a key commitment does not match: other key than the sealer's */
	ERR_CONTEXT = -10,   /* authentic, but for another space, id, epoch or role than asked */
	ERR_WRONG_KEY = -11, /* passphrase, code or key does not open this */
	ERR_LOCKED = -12,    /* the agent holds no keys now */
	ERR_NOT_FOUND = -13, /* no such object */
	ERR_EXISTS = -14,    /* object exists already */
	ERR_CONFLICT = -15,  /* compare-and-swap lost: somebody else was first */
	ERR_FORBIDDEN = -16, /* the peer or the log does not grant this */
	ERR_STALE = -17,     /* epoch, token or head is older than required */
	ERR_OFFLINE = -18,   /* the relay is not reachable now */
	ERR_TIMEOUT = -19,   /* a deadline passed */
	ERR_ABSENT = -20,    /* content is not in the local cache */
	ERR_NO_SPACE = -21,  /* the local disk or store is full; so is ERR_QUOTA: ask err_is_full() */
	ERR_IO = -22,        /* the operating system refused a read or write */
	ERR_CORRUPT = -23,   /* local state is damaged */
	ERR_BUSY = -24,      /* in use: a lock, a port, a mount point */
	ERR_AGAIN = -25,     /* no progress possible now; try again after the next event */
	ERR_CLOSED = -26,    /* the other end closed the channel */
	ERR_NOT_DIR = -27,
	ERR_IS_DIR = -28,
	ERR_NOT_EMPTY = -29,
	ERR_NAME_TOO_LONG = -30,
	ERR_TOO_MANY_LINKS = -31,
	ERR_FILE_TOO_BIG = -32,
	ERR_PERMISSION = -33, /* local permission: EPERM or EACCES of the kernel */
	ERR_READ_ONLY = -34,
	ERR_CROSS_SPACE = -35, /* rename or link between spaces */
	ERR_NO_DATA = -36,   /* no such xattr; no data after offset */
	ERR_UNSUPPORTED = -37, /* a request this program does not carry out */
	ERR_RATE_LIMITED = -38, /* the peer asks to slow down */
	ERR_CANCELLED = -39, /* the caller gave up (interrupt, shutdown) */
	ERR_FORK = -40,      /* freshness: two histories at one cursor */
	ERR_ROLLBACK = -41,  /* freshness: relay shows less than it had confirmed */
	ERR_GAP = -42,       /* freshness: a line without its object */
	ERR_MISSING = -43,   /* the relay lacks chunks that a record names */
	ERR_RELAY_FULL = -44, /* the relay refuses more: its storage or this person's share of it is full */
	ERR_NOT_TEXT = -45,  /* a name that has to be UTF-8 is not */
	ERR_QUOTA = -46,     /* this user's quota of the local disk is used up */
	ERR_INTERNAL = -47   /* a state that must not occur, detected without harm */
};

/* Whether there is no room for more, whoever says so. */
static inline bool err_is_full(int err)
{
	return err == ERR_NO_SPACE || err == ERR_QUOTA;
}

/* Short lower-case phrase for people, for example "signature does not verify". Never NULL; static storage. */
const char *err_str(int err);

/* Stable token for --json, logs and tests, for example "SIGNATURE". Never NULL; static storage. */
const char *err_name(int err);

/* The enum err for an errno value (positive). Unknown values give ERR_IO. */
int err_from_errno(int errno_value) MUST_CHECK;

#endif
