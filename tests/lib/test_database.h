/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_database: where a test's relay keeps its rows. With TEST_DATABASE=postgres://... in the environment (tests/run
 * sets it for the phase "postgres") each test gets a schema of its own there, else SQLite in the relay's directory.
 */
#ifndef COFFER_TESTS_LIB_TEST_DATABASE_H
#define COFFER_TESTS_LIB_TEST_DATABASE_H

#include <stdbool.h>

#define TEST_DATABASE_SIZE 512

/* Writes the URL of a new, empty schema, or "" for SQLite. Asserts. */
void test_database_new(char url[TEST_DATABASE_SIZE]);
void test_database_drop(const char *url); /* "": nothing to do */
bool test_database_is_sqlite(void);
/* Until some connection waits for a lock there, 5 s at most. */
void test_database_await_waiter(const char *url);
/* Ends the connections with which relays on `url` listen to each other. */
void test_database_deafen(const char *url);

#endif
