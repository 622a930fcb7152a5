/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_helper: the program that mount(8) runs for the type fuse.coffer ("external helpers"), so that a line of fstab
 * mounts a space.
 *
 *	mount.fuse.coffer SPACE DIR [-sfnv] [-N NAMESPACE] [-o OPTION,...] [-t TYPE]
 *
 * SPACE is a name or id; "coffer" stands for all spaces. mount(8) makes a path of a name that is also a file where it
 * runs: of a path the last part counts. What the kernel shows as mounted is SPACE as given, which is how `mount -a` and
 * findmnt know it again.
 *
 * The line means the same whoever mounts, so the environment is not looked at. The profile is the option profile=DIR,
 * else that of the user who mounts. Root mounts as the owner of the profile, in whose agent the keys are. Nothing is
 * asked on a terminal: a locked profile is an error unless passphrase-file=FILE is given (read as that owner).
 *
 * A remount changes ro, suid, dev and exec, for root, without the agent.
 */
#ifndef COFFER_CLI_MOUNT_HELPER_H
#define COFFER_CLI_MOUNT_HELPER_H

#include <stdbool.h>

/* Whether the program was called by a name of mount(8)'s helper (argv[0]). */
bool mount_helper_named(const char *program);

/* Returns an exit code of mount(8): 0, 1 wrong usage or not permitted, 2 the system failed, 32 the mount failed. An
 * error has been printed on one line. */
int mount_helper_main(int argc, char **argv);

#endif
