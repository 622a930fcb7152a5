/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/unit.h"
#include "wire/relay_url.h"

static void brings_addresses_to_one_form(void **state)
{
	static const struct {
		const char *text, *host, *prefix, *origin;
		unsigned port;
		bool tls;
	} table[] = {
		{ "http://127.0.0.1:5379", "127.0.0.1", "", "http://127.0.0.1:5379", 5379, false },
		{ "HTTP://Relay.Example.ORG/", "relay.example.org", "", "http://relay.example.org", 80, false },
		{ "http://relay:80", "relay", "", "http://relay", 80, false },
		{ "https://relay:80", "relay", "", "https://relay:80", 80, true },
		{ "https://relay.example.org:443/a/b//", "relay.example.org", "/a/b", "https://relay.example.org", 443,
			true },
		{ "https://r:0443", "r", "", "https://r", 443, true },
		{ "http://[::1]:5379/x-y_z~1.2", "::1", "/x-y_z~1.2", "http://[::1]:5379", 5379, false },
		{ "http://[FE80::1]", "fe80::1", "", "http://[fe80::1]", 80, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct relay_url u;

		assert_int_equal(relay_url_parse(bytes_str(table[i].text), &u), OK);
		assert_string_equal(u.host, table[i].host);
		assert_string_equal(u.prefix, table[i].prefix);
		assert_string_equal(u.origin, table[i].origin);
		assert_int_equal(u.port, table[i].port);
		assert_int_equal(u.tls, table[i].tls);
	}
}

static void refuses_everything_else(void **state)
{
	static const char *const bad[] = {
		"",
		"relay",
		"relay:5379",
		"ftp://relay",
		"ws://relay",
		"http:/relay",
		"http://",
		"http:///x",
		"http://:80",
		"http://relay:",
		"http://relay:0",
		"http://relay:65536",
		"http://relay:99999999999",
		"http://relay:8a",
		"http://user@relay",
		"http://user:pw@relay",
		"http://relay?x",
		"http://relay/?x",
		"http://relay/#x",
		"http://relay/a b",
		"http://relay/%2e",
		"http://relay/../x",
		"http://relay/./x",
		"http://relay//x",
		"http://relay/x//y",
		"http://relay/.x",
		"http://re lay",
		"http://relay\n",
		"http://relay/\r\nX: y",
		"http://[::1",
		"http://[::1]x",
		"http://[]",
		"http://[1234]",
		"http://[::1]:",
		"http://.relay",
		"http://-relay",
		"http://a..b",
		" http://relay",
		"http://rel\xc3\xa4y",
		"http://relay\\x",
	};
	char longest[RELAY_URL_MAX + 1];
	struct relay_url u;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (relay_url_parse(bytes_str(bad[i]), &u) != ERR_INVALID)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(relay_url_parse(bytes_of("http://relay/\0x", 15), &u), ERR_INVALID);
	memset(longest, 'a', sizeof longest);
	memcpy(longest, "http://relay/", 13);
	assert_int_equal(relay_url_parse(bytes_of(longest, RELAY_URL_MAX), &u), ERR_RANGE);
	assert_int_equal(relay_url_parse(bytes_of(longest, RELAY_URL_MAX - 1), &u), OK);
	memset(longest + 7, 'a', sizeof longest - 7);
	assert_int_equal(relay_url_parse(bytes_of(longest, 7 + 253), &u), OK);
	assert_int_equal(relay_url_parse(bytes_of(longest, 7 + 254), &u), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brings_addresses_to_one_form),
		cmocka_unit_test(refuses_everything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
