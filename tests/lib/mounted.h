/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounted: a mount over a real store, in one process: what other devices change behind the kernel's back, content that
 * is not here, whose nodes show how.
 *
 *	cmocka_unit_test_setup_teardown(test, mounted_set_up, mounted_leave)
 *	struct mounted *f = mounted_here(state);   // the mount is the working directory; skips without /dev/fuse
 */
#ifndef COFFER_TESTS_LIB_MOUNTED_H
#define COFFER_TESTS_LIB_MOUNTED_H

#include <poll.h>
#include <stdatomic.h>
#include "fusefs/mount.h"
#include "tests/lib/fake_env.h"
#include "tests/lib/unit.h"

/* Persons and the own device. */
#define ME \
	{ \
		{ \
			1 \
		} \
	}
#define OTHER \
	{ \
		{ \
			2 \
		} \
	}
#define MY_DEVICE \
	{ \
		{ \
			11 \
		} \
	}
#define CHUNK_LEN 100000

struct mounted {
	char dir[256], path[320];
	int dirfd;
	struct store *store;
	struct mount *m;
	uint64_t root;
	uint32_t space;
	atomic_int gone;
	struct fake_env *fake; /* a disk that fails, or NULL */
	/* what fetch does */
	atomic_int fetch_err;
	atomic_bool fetch_waits;
	atomic_int fetches;
};

int mounted_set_up(void **state);
int mounted_set_up_failing(void **state); /* on a disk that fails when f->fake is told to */
int mounted_leave(void **state);          /* out of the mount, and all is taken down */
struct mounted *mounted_here(void **state);
void mounted_start(struct mounted *f); /* after an unmount */

/* A change as from another device: the store has it after mounted_commit, the kernel after mounted_tell. */
struct store_txn *mounted_begin(struct mounted *f);
void mounted_commit(struct store_txn *t);
/* A node and its link in the root, as a merge makes them. Returns its number. */
uint64_t mounted_add(struct store_txn *t, struct mounted *f, const char *name, struct node n);
void mounted_tell(struct mounted *f, uint64_t ino, const char *name, uint64_t child);
/* New content; mounted_bring tells, too. */
void mounted_put(struct mounted *f, uint64_t ino, const char *text);
void mounted_bring(struct mounted *f, uint64_t ino, const char *text);

/* Whether that, and nothing else, is what is read from the file's beginning. */
bool mounted_reads(int fd, const char *want);

#define EVENTUALLY(condition) \
	do { \
		for (int i_ = 0; i_ < 5000 && !(condition); i_++) \
			poll(NULL, 0, 1); \
		assert_true(condition); \
	} while (0)

#endif
