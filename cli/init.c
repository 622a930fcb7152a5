/* SPDX-License-Identifier: Apache-2.0 */
/* coffer init: makes the profile: a new person, a recovered one, or a further device of one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/agent.h"
#include "cli/print.h"
#include "cli/prompt.h"
#include "wire/cbor.h"

struct init_options {
	const char *relay, *name, *passphrase_file, *words_file, *pair, *setup;
	bool no_passphrase, recover;
};

static int parse(int argc, char **argv, struct init_options *o)
{
	static const struct option options[] = {
		{ "relay", required_argument, NULL, 'r' },
		{ "name", required_argument, NULL, 'n' },
		{ "passphrase-file", required_argument, NULL, 'p' },
		{ "no-passphrase", no_argument, NULL, 'N' },
		{ "pair", required_argument, NULL, 'P' },
		{ "recover", no_argument, NULL, 'R' },
		{ "setup", required_argument, NULL, 's' },
		{ "words-file", required_argument, NULL, 'w' },
		{ 0 },
	};

	for (int c; (c = verb_option(&verb_init, argc, argv, options)) != -1;) {
		switch (c) {
		case 'r':
			o->relay = optarg;
			break;
		case 'n':
			o->name = optarg;
			break;
		case 'w':
			o->words_file = optarg;
			break;
		case 'p':
			o->passphrase_file = optarg;
			break;
		case 'N':
			o->no_passphrase = true;
			break;
		case 'P':
			o->pair = optarg;
			break;
		case 'R':
			o->recover = true;
			break;
		case 's':
			o->setup = optarg;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind != argc || (o->pair && o->recover) || (o->words_file && !o->recover) ||
		(o->no_passphrase && o->passphrase_file))
		return verb_usage(&verb_init);
	if (!o->relay && !o->pair)
		return agent_fail(EX_USAGE, "a relay is needed", "give its URL, as in --relay http://127.0.0.1:5379");
	return EX_OK;
}

/* Prints the words in four columns, numbered. */
static void print_words(struct bytes result)
{
	struct cbor_dec d = cbor_dec_init_rpc(map_get_item(result, "words"));
	size_t n = cbor_get_array(&d, 24);

	puts("Write these 24 words down and keep them safe. They are the only way back to your spaces if every device "
	     "is lost;\n"
	     "whoever has them is you. They are not stored anywhere and will not be shown again.\n");
	for (size_t i = 0; i < n; i++) {
		struct bytes w = cbor_get_text(&d, 16);
		printf("%3zu %-10.*s%s", i + 1, (int)w.len, (const char *)w.p, i % 4 == 3 ? "\n" : "");
	}
	putchar('\n');
}

static int show(const struct context *ctx, struct bytes result)
{
	if (ctx->json)
		return print_json(result);
	if (map_get_item(result, "words").len)
		print_words(result);
	struct bytes device = map_get_text(result, "device");
	if (ctx->quiet)
		return EX_OK;
	printf("This device: %.*s\nNext: coffer mount DIR\n", (int)device.len, (const char *)device.p);
	if (!map_get_bool(result, "ready", true))
		puts("The spaces are still coming: `coffer wait` ends when they are here.");
	return EX_OK;
}

static int run(const struct context *ctx, int argc, char **argv)
{
	struct init_options o = { 0 };
	char host[128] = "this device";
	int code = parse(argc, argv, &o);

	if (code)
		return code;
	CLEANUP(map_release) struct map args = MAP_INIT_SECRET;
	CLEANUP(buf_release) struct buf words = BUF_INIT_SECRET(PROMPT_MAX);
	CLEANUP(buf_release) struct buf passphrase = BUF_INIT_SECRET(PROMPT_MAX);
	if (o.recover) {
		code = prompt_words(o.words_file, &words);
		if (code)
			return code;
		map_text_n(&args, "words", (const char *)words.data, words.len);
	}
	gethostname(host, sizeof host - 1);
	map_text(&args, "name", o.name ? o.name : host);
	map_text(&args, "relay", o.relay);
	map_text(&args, "pair", o.pair);
	map_text(&args, "setup", o.setup);
	CLEANUP(reply_release) struct reply r = REPLY_INIT;
	if (!o.no_passphrase) {
		code = agent_call_locked(ctx, "init.check", &args, &r); /* before a person types */
		if (!code)
			code = prompt_passphrase(o.passphrase_file, true, &passphrase);
		if (code)
			return code;
		map_bytes(&args, "passphrase", passphrase.data, passphrase.len);
	}
	code = agent_call_locked(ctx, "init", &args, &r);
	return code ? code : show(ctx, r.result);
}

const struct verb verb_init = {
	.name = "init",
	.synopsis = "--relay URL [--setup CODE] [--name NAME] [--passphrase-file F | --no-passphrase] | --recover "
		    "--relay URL "
		    "[--words-file F] | --pair CODE|LINK [--relay URL]",
	.summary = "make this profile: a new person, a recovered one, or a further device",
	.example = "coffer init --relay https://relay.example.org --name \"Alice laptop\"",
	.run = run,
};
