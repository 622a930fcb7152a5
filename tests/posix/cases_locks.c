/* SPDX-License-Identifier: Apache-2.0 */
/* flock(2), and fcntl(2) locks of processes and of open files. */
#include <stddef.h>
#include "tests/posix/cases.h"

const struct posix_case cases_locks[] = {
	{ "flock", "EAGAIN for a second exclusive one",
		"open 1 f rw+creat; open 2 f rw; flock 1 ex; flock 2 ex+nb !EAGAIN" },
	{ "flock", "EAGAIN for another process",
		"open 1 f rw+creat; flock 1 ex; & flockf f ex+nb !EAGAIN; & flockf f sh+nb !EAGAIN" },
	{ "flock", "shared ones stand together",
		"open 1 f rw+creat; open 2 f r; flock 1 sh; flock 2 sh+nb; & flockf f sh+nb; & flockf f ex+nb "
		"!EAGAIN" },
	{ "flock", "is free after unlock", "open 1 f rw+creat; flock 1 ex; flock 1 un; & flockf f ex+nb" },
	{ "flock", "is free after close", "open 1 f rw+creat; flock 1 ex; close 1; & flockf f ex+nb" },
	{ "flock", "is free after the other process ended", "touch f; & flockf f ex+nb; open 1 f rw; flock 1 ex+nb" },
	{ "flock", "goes from shared to exclusive",
		"open 1 f rw+creat; flock 1 sh; flock 1 ex+nb; & flockf f sh+nb !EAGAIN" },
	{ "flock", "of a directory", "mkdir d; open 1 d r; open 2 d r; flock 1 ex; flock 2 ex+nb !EAGAIN" },
	{ "flock", "of a file without a name",
		"open 1 f rw+creat; open 2 f rw; unlink f; flock 1 ex; flock 2 ex+nb !EAGAIN" },
	{ "flock", "survives a rename", "open 1 f rw+creat; flock 1 ex; rename f g; & flockf g ex+nb !EAGAIN" },
	{ "fcntl", "a write lock keeps other processes off: EAGAIN",
		"open 1 f rw+creat; plock 1 w 0 10; & plockf f w 0 10 !EAGAIN; & plockf f r 5 1 !EAGAIN" },
	{ "fcntl", "other ranges are free", "open 1 f rw+creat; plock 1 w 0 10; & plockf f w 10 10" },
	{ "fcntl", "read locks stand together",
		"open 1 f rw+creat; plock 1 r 0 10; & plockf f r 0 10; & plockf f w 9 1 !EAGAIN" },
	{ "fcntl", "length 0 is to the end of all ends",
		"open 1 f rw+creat; plock 1 w 100 0; & plockf f w 1000000 1 !EAGAIN; & plockf f w 0 100" },
	{ "fcntl", "a part can be unlocked",
		"open 1 f rw+creat; plock 1 w 0 30; plock 1 u 10 10; & plockf f w 10 10; & plockf f w 9 1 !EAGAIN; & "
		"plockf f w 20 1 !EAGAIN" },
	{ "fcntl", "is gone when the process closes any descriptor of the file",
		"open 1 f rw+creat; plock 1 w 0 10; open 2 f r; close 2; & plockf f w 0 10" },
	{ "fcntl", "is gone when the process ended", "touch f; & plockf f w 0 10; open 1 f rw; plock 1 w 0 10" },
	{ "fcntl", "a process does not keep itself off",
		"open 1 f rw+creat; open 2 f rw; plock 1 w 0 10; plock 2 w 0 10" },
	{ "fcntl", "EBADF for a write lock on what was opened for reading",
		"touch f; open 1 f r; plock 1 w 0 10 !EBADF" },
	{ "fcntl", "EBADF for a read lock on what was opened for writing",
		"touch f; open 1 f w; plock 1 r 0 10 !EBADF" },
	{ "fcntl", "EINVAL before the start", "open 1 f rw+creat; plock 1 w -5 3 !EINVAL" },
	{ "F_OFD_SETLK", "keeps other open files off: EAGAIN",
		"open 1 f rw+creat; open 2 f rw; olock 1 w 0 10; olock 2 w 5 10 !EAGAIN; olock 2 w 10 10" },
	{ "F_OFD_SETLK", "stays when another descriptor is closed",
		"open 1 f rw+creat; open 2 f r; olock 1 w 0 10; close 2; & plockf f w 0 10 !EAGAIN" },
	{ "F_OFD_SETLK", "and flock do not meet", "open 1 f rw+creat; open 2 f rw; olock 1 w 0 10; flock 2 ex+nb" },
	{ NULL, NULL, NULL },
};
