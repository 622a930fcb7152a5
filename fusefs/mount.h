/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount: one FUSE mount of the profile's root (all spaces) or of one space, served by threads of its own from the
 * store.
 *
 *	mount_start(&config, &m);           // mounted and answering when it returns
 *	mount_invalidate(m, inv, n);        // after remote changes, from any thread
 *	mount_stop(&m, lazy);
 *
 * No operation waits for the network but a read of absent content, which calls config.fetch.
 */
#ifndef COFFER_FUSEFS_MOUNT_H
#define COFFER_FUSEFS_MOUNT_H

#include "cache/store.h"

struct mount;
struct invalidation;

struct mount_config {
	struct store *store;
	const char *source; /* shown by the kernel as what is mounted; NULL: "coffer" */
	const char *dir;    /* absolute path of an existing, empty directory */
	uint64_t root_ino;  /* STORE_ROOT_INO, or a space's root directory */
	struct id32 person; /* the own person: owner of what is created here */
	bool allow_other, read_only, exec_off, owners_keep, suid, dev;
	bool has_uid, has_gid;
	uint32_t uid, gid; /* -o uid=,gid= */
	void *ctx;
	/* Brings a chunk here. Blocks until it is (0), the deadline passes (ERR_TIMEOUT), there is no way to get it
	 * now (ERR_OFFLINE), or interrupted(arg) says true (ERR_CANCELLED). */
	int (*fetch)(
		void *ctx, uint64_t chunk_row, int64_t deadline_mono_ns, bool (*interrupted)(void *arg), void *arg);
	/* mkdir and rename in STORE_ROOT_INO: create and rename a space. Local, must not wait for the relay. */
	int (*space_create)(void *ctx, struct bytes name, uint64_t *ret_root_ino);
	int (*space_rename)(void *ctx, struct bytes from, struct bytes to);
	/* Value of user.coffer.NAME of a node; ERR_NO_DATA if there is none. And setting (pinned). */
	int (*state_get)(void *ctx, const struct node *node, const char *name, struct buf *out);
	int (*state_set)(void *ctx, const struct node *node, const char *name, struct bytes value);
	/* Whether a device is one of the own person's: nodes that it wrote keep setuid, setgid and device numbers.
	 * NULL: none is. */
	bool (*own_device)(void *ctx, const struct id32 *device);
	/* Other mounts of the same store are told what changed through this one. NULL: there never are any. has_others
	 * is asked after every operation. */
	bool (*has_others)(void *ctx);
	void (*tell_others)(void *ctx, const struct mount *m, const struct invalidation *inv, size_t n);
	/* Called once, from a thread of the mount, when it was unmounted from outside. The callee arranges
	 * mount_stop. */
	void (*gone)(void *ctx, struct mount *m);
};

/* ERR_NOT_DIR, ERR_NOT_EMPTY, ERR_BUSY (a live mount is there), ERR_PERMISSION (no /dev/fuse or no fusermount3),
 * ERR_IO. A dead mount left by a killed process at `dir` is unmounted first. */
int mount_start(const struct mount_config *config, struct mount **ret_m) MUST_CHECK;

/* Unmounts and frees. lazy 0: ERR_BUSY if files are open there (nothing happened). NULL is fine. */
int mount_stop(struct mount **m, bool lazy) MUST_CHECK;

/* Waits until every operation that was received before the call has been carried out, and asks the kernel for
 * nothing. */
void mount_flush(struct mount *m);

/* Whether the kernel has ended it (config.gone is being called, or was). From any thread. */
bool mount_ended(struct mount *m);
uint64_t mount_root(const struct mount *m);

/* What a remote change did: content and attributes of an inode (name_len 0), or a directory entry that appeared,
 * changed or went. Queued; a thread of the mount tells the kernel, holding no lock. */
struct invalidation {
	uint64_t ino;   /* the node, or the directory */
	uint64_t child; /* of an entry that went: the node it named, else 0 */
	uint8_t name_len;
	char name[NODE_MAX_NAME + 1];
};
void mount_invalidate(struct mount *m, const struct invalidation *inv, size_t n);

#endif
