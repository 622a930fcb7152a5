/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test_database.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/lib/unit.h"

#define PATH_OPTION "&options=-csearch_path%3D"

static void run(const char *url, const char *text)
{
	PGconn *c = PQconnectdb(url);
	PGresult *res = PQexec(c, text);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(c));
	PQclear(res);
	PQfinish(c);
}

bool test_database_is_sqlite(void)
{
	return !getenv("TEST_DATABASE");
}

void test_database_new(char url[TEST_DATABASE_SIZE])
{
	static unsigned n;
	const char *base = getenv("TEST_DATABASE");
	char text[128], schema[64];

	url[0] = '\0';
	if (!base)
		return;
	snprintf(schema, sizeof schema, "t%ld_%u", (long)getpid(), n++);
	snprintf(text, sizeof text, "CREATE SCHEMA %s", schema);
	run(base, text);
	assert_true(snprintf(url, TEST_DATABASE_SIZE, "%s%s%s", base, PATH_OPTION, schema) < TEST_DATABASE_SIZE);
}

void test_database_drop(const char *url)
{
	const char *schema = strstr(url, PATH_OPTION);
	char text[128];

	if (!schema)
		return;
	snprintf(text, sizeof text, "SET client_min_messages = warning; DROP SCHEMA %s CASCADE",
		schema + strlen(PATH_OPTION));
	run(getenv("TEST_DATABASE"), text);
}

void test_database_deafen(const char *url)
{
	run(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ="
		 " 'LISTEN coffer_' || lpad(to_hex(hashtextextended('coffer ' || current_schema(), 0) / 8 * 8), 16, "
		 "'0')");
}

void test_database_await_waiter(const char *url)
{
	/* One statement that asks again and again: as the server's own loop, it ends as soon as there is one. */
	static const char text[] = "DO $$ BEGIN FOR i IN 1..500 LOOP"
				   " EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted);"
				   " PERFORM pg_sleep(0.01); END LOOP; END $$";

	run(url, text);
}
