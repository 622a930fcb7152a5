/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cases: what POSIX and Linux promise of a file system, one behaviour each.
 */
#ifndef COFFER_TESTS_POSIX_CASES_H
#define COFFER_TESTS_POSIX_CASES_H

struct posix_case {
	const char *call;  /* rename(2) */
	const char *what;  /* "a directory over one with entries" */
	const char *steps; /* separated by ';', step.h; run in a directory of their own with umask 022 */
};

/* Each ends with call NULL. */
extern const struct posix_case cases_names[], cases_rename[], cases_files[], cases_space[], cases_attrs[],
	cases_users[], cases_xattrs[], cases_times[], cases_locks[];

#endif
