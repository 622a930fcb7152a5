/* SPDX-License-Identifier: Apache-2.0 */
/* Every setting. A new one needs a line here and a field in struct config, nothing else. */
#include "server/config.h"

#include "wire/frame.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define AT(f) offsetof(struct config, f)

/* clang-format off */
#define TEXT(section_, key_, standard_, ...) \
	{ .section = #section_, .key = #key_, .kind = SETTING_TEXT, .at = AT(section_.key_), .standard = standard_, __VA_ARGS__ }
#define LIST(section_, key_, standard_, ...) \
	{ .section = #section_, .key = #key_, .kind = SETTING_LIST, .at = AT(section_.key_), .standard = standard_, __VA_ARGS__ }
#define NUMBER(section_, key_, standard_, min_, max_, ...) \
	{ .section = #section_, .key = #key_, .kind = SETTING_NUMBER, .at = AT(section_.key_), .standard = #standard_, \
	  .min = min_, .max = max_, __VA_ARGS__ }

const struct setting config_table[] = {
	TEXT(server, listen, "127.0.0.1:5379", .env = "LISTEN_ADDR", .restart = true, .about =
		"Where to listen: ADDRESS:PORT, [::1]:PORT for IPv6; port 0 takes a free one. A socket that systemd passes\n"
		"(LISTEN_FDS) is used instead."),
	TEXT(server, reuse_port, "false", .words = "true|false", .restart = true, .about =
		"Whether other processes may listen on the port too: relays over one PostgreSQL database and the same objects, each of\n"
		"which gets its part of the connections."),
	LIST(server, origins, "", .about =
		"How clients call this relay, as they write it after --relay: [\"https://relay.example.org\"]. Tokens are made\n"
		"out for one of these. Up to 8; none: the address of `listen`, and loopback."),
	LIST(server, trusted_proxies, "127.0.0.1, ::1", .about =
		"Addresses and networks (10.0.0.0/8) of proxies whose X-Forwarded-For (its last address) or X-Real-IP names\n"
		"the client. From anybody else these headers are ignored."),
	TEXT(server, tls_certificate, "", .restart = true, .about =
		"PEM files of the certificate chain and its key. Without them the relay speaks plain HTTP and a proxy has to\n"
		"end TLS. SIGHUP reads them again."),
	TEXT(server, tls_key, "", .restart = true),
	NUMBER(server, return_seconds, 10, 0, 3600, .about =
		"When a reload takes trust away (an issuer, an audience, an origin, self_issued), whoever may be concerned is told\n"
		"within this time to come back and show a token again (4001)."),
	NUMBER(server, drain_seconds, 4, 0, 600, .about =
		"At SIGTERM clients are told to connect again elsewhere; this long answers under way may take."),

	TEXT(auth, self_issued, "auto", .words = "auto|open|owners|invited|off", .about =
		"Tokens that a device made for itself, as Coffer's do. open: anybody may make spaces here; owners: only those named\n"
		"below, and others come in by invite to a space of theirs; invited: they, and whoever brings a code of\n"
		"`coffer-relay invite`; off: such tokens are refused. auto: off if trusted_issuers names account servers, as a\n"
		"deployment of the protocol's reference server expects, else open."),
	LIST(auth, owners, "", .about =
		"Persons, as `coffer init` prints them: [\"did:key:z6Mk...\"]. Up to 16. None: the relay says a set-up code\n"
		"at its start, and belongs to who brings it (coffer init --setup CODE)."),
	LIST(auth, trusted_issuers, "", .env = "TRUSTED_ISSUERS", .about =
		"Account servers whose tokens are believed, for clients of the plain protocol: [\"https://accounts.example.org\"],\n"
		"or \"ISSUER=URL\" where the key set is not at ISSUER/.well-known/jwks.json. Up to 16."),
	NUMBER(auth, keys_refresh_seconds, 3600, 60, 86400, .about =
		"How often their keys are asked for, and how long an issuer that did not answer, or has no such key, is not asked\n"
		"again."),
	NUMBER(auth, keys_retry_seconds, 10, 1, 3600),
	LIST(auth, audiences, "", .env = "AUDIENCES", .about =
		"A token of theirs must name one of these; none: any will do. Up to 16."),
	TEXT(auth, identity_hash_key, "", .env = "IDENTITY_HASH_KEY", .about =
		"64 hex digits. With it invitations and membership entries are limited by the hour for each person, who is\n"
		"noted as a keyed hash."),

	TEXT(log, level, "info", .words = "error|warn|info|debug", .env = "COFFER_LOG", .about =
		"How much to say: error, warn, info or debug. Never content, keys or whole ids."),
	TEXT(log, format, "text", .words = "text|json", .about = "text, or json: one object a line."),

	TEXT(storage, data, "coffer-relay-data", .restart = true, .about =
		"The directory where everything is kept. Made if absent; one relay at a time."),
	TEXT(storage, backend, "local", .words = "local|fs|s3|none", .env = "FILE_STORAGE_BACKEND|FILE_STORAGE", .restart = true, .about =
		"Where chunks over 64 KiB and the plain protocol's files stand: local (or fs): in a folder; s3: in a bucket; none: in\n"
		"a folder, and the plain protocol has no files."),
	TEXT(storage, folder, "", .env = "FILE_STORAGE_PATH|FILE_FS_PATH", .restart = true, .about =
		"That folder; empty: \"chunks\" in `data`. Made if absent. With s3 only what is coming in stands there for a moment."),
	TEXT(storage, s3_endpoint, "", .env = "FILE_S3_ENDPOINT", .restart = true, .about =
		"The bucket: [https://]HOST[:PORT] without a path (buckets are addressed by path), its name, what all names of\n"
		"objects begin with (\"relay/\"), and the region that is signed for."),
	TEXT(storage, s3_tls, "true", .words = "true|false", .env = "FILE_S3_USE_SSL", .restart = true, .about =
		"Whether an endpoint without https:// or http:// is called by HTTPS."),
	TEXT(storage, s3_bucket, "", .env = "FILE_S3_BUCKET", .restart = true),
	TEXT(storage, s3_prefix, "", .restart = true),
	TEXT(storage, s3_region, "us-east-1", .env = "FILE_S3_REGION", .restart = true),
	TEXT(storage, s3_access_key, "", .env = "FILE_S3_ACCESS_KEY", .restart = true, .about =
		"The key to it. The secret had better stand in a file of its own, or in the environment, than here."),
	TEXT(storage, s3_secret_file, "", .restart = true),
	TEXT(storage, s3_secret_key, "", .env = "FILE_S3_SECRET_KEY", .restart = true),
	NUMBER(storage, s3_timeout_seconds, 10, 1, 20, .restart = true, .about =
		"Below 1 KiB a second, until a request is given up and made again, as long as twice that has not passed."),
	NUMBER(storage, blob_threads, 4, 1, 64, .restart = true, .about =
		"How many of them are read and written at once."),
	TEXT(storage, database, "", .env = "DATABASE_URL", .restart = true, .about =
		"Where rows are kept: empty for SQLite in that directory, or a PostgreSQL database: postgres://user@host/name."),
	NUMBER(storage, cache_kib, 65536, 64, 16777216, .restart = true, .about =
		"Of a SQLite database, what each connection (one that writes, some that read) keeps in memory at most. What\n"
		"it does not keep is read from the system's memory of files; a small machine may set less."),
	NUMBER(storage, unnamed_chunk_days, 7, 1, 3650, .about =
		"Chunks that nothing names are removed so long after their upload."),

	NUMBER(storage, letter_days, 7, 1, 3650, .about = "Letters nobody took are removed so long after they came."),

	NUMBER(storage, reserve_bytes, 268435456, 0, 1024 * GIB, .about =
		"Disk space that is left free (never more than a twentieth of the disk): above it everything is refused with\n"
		"storage_full but small requests, such as deletes, which may use half of it."),
	NUMBER(storage, space_bytes, 0, 0, UINT64_MAX / 4, .about =
		"What one space may take, with its history, and all spaces that one person made; 0: any amount."),
	NUMBER(storage, person_bytes, 0, 0, UINT64_MAX / 4),

	NUMBER(limits, connections, 16384, 1, 1000000, .restart = true, .about = "WebSocket connections at once."),
	NUMBER(limits, sockets_per_address, 512, 1, 1000000, .about =
		"Connections of any kind, also those that say nothing, of one client address (IPv6: a /64). The proxies' own\n"
		"addresses are not counted, neither here nor below."),
	NUMBER(limits, connections_per_address, 256, 1, 1000000, .about =
		"WebSocket connections of one client address."),
	NUMBER(limits, connections_per_device, 3, 1, 100000, .about = "Of one device; a further one replaces the oldest (4006)."),
	NUMBER(limits, connections_per_mailbox, 3, 1, 100000, .about =
		"Of one mailbox, with issuers' tokens; a further one is refused (4003)."),
	NUMBER(limits, auth_seconds, 5, 1, 600, .about = "For a connection to authenticate, else 4000."),
	NUMBER(limits, keepalive_seconds, 30, 1, 3600, .about =
		"Between keep-alives to a client. Coffer's clients give a relay up that is silent for 75 s."),
	NUMBER(limits, life_seconds, 3600, 10, 604800, .about =
		"Of a connection, give or take 10 %; then the client comes back with a new token (4001)."),
	NUMBER(limits, issuer_seconds, 20, 1, 600, .about =
		"For an account server to give the key that a token names, while its connection waits."),
	NUMBER(limits, gone_seconds, 300, 1, 86400, .about =
		"A client that acknowledges nothing of what it is sent for so long is cut off. Of connections made from then on."),
	NUMBER(limits, message_bytes, 6291456, 4 * MIB, FRAME_MAX, .about =
		"Of one message that comes in, else 1009. Coffer's devices send up to 5 MiB, clients of the plain protocol 4 MiB;\n"
		"nobody takes more than 6 MiB."),
	NUMBER(limits, message_seconds, 300, 1, 3600, .about = "For one message to come in, else 4006."),
	NUMBER(limits, incoming_bytes, 536870912, 8 * MIB, 1024 * GIB, .about =
		"Held by messages that come in or are worked on, all connections together; those of one address an eighth of it\n"
		"(12 MiB at least); else 4007."),
	NUMBER(limits, queue_bytes, 25165824, 8 * MIB, GIB, .about =
		"Waiting to be sent to one connection; a client that reads more slowly is closed (4006)."),
	NUMBER(limits, queue_messages, 8192, 16, 1000000, .about =
		"Messages waiting to be sent to one connection, before it is not read any more."),
	NUMBER(limits, requests, 256, 1, 100000, .about = "Under way for one connection, before it is not read any more."),
	NUMBER(limits, request_bytes, 16777216, 8 * MIB, GIB, .about = "The same in bytes."),
	NUMBER(limits, subscriptions, 4096, 1, 1000000, .about = "Spaces that one connection may listen to."),
	NUMBER(limits, http_uploads, 128, 1, 100000, .about = "Bodies coming in at once, else 503."),
	NUMBER(limits, http_uploads_per_address, 32, 1, 100000),
	NUMBER(limits, http_requests_per_address, 128, 1, 100000),
	NUMBER(limits, http_idle_seconds, 60, 1, 3600, .restart = true, .about = "Between two requests of a connection."),
	NUMBER(limits, http_header_seconds, 10, 1, 600, .restart = true, .about = "For the header of a request."),
	NUMBER(limits, http_body_seconds, 120, 1, 3600, .about =
		"For a whole body, in or out, of any size; beyond that a second for each 64 KiB."),
	NUMBER(limits, http_pause_seconds, 20, 1, 3600, .about = "Between two pieces of a body."),
	NUMBER(limits, invite_lookups_per_minute, 10, 1, 100000, .about = "By one address, and how many of them may miss."),
	NUMBER(limits, invite_misses_per_minute, 3, 1, 100000),
	NUMBER(limits, spaces_burst, 100, 1, 1000000, .about = "New spaces by one address: at once, and after that."),
	NUMBER(limits, spaces_per_minute, 60, 1, 1000000),
	NUMBER(limits, entries_burst, 1000, 1, 1000000, .about = "Log entries by one address: at once, and after that."),
	NUMBER(limits, entries_per_minute, 1200, 1, 1000000),
	NUMBER(limits, letters_burst, 100, 1, 1000000, .about =
		"Letters into mailboxes (the plain protocol's invitations) by one address: at once, and after that."),
	NUMBER(limits, letters_per_minute, 60, 1, 1000000),
	NUMBER(limits, invitations_per_hour, 10, 1, 1000000, .about =
		"Of one person, and entries of membership: if auth.identity_hash_key is set."),
	NUMBER(limits, members_per_hour, 10, 1, 1000000),
	NUMBER(limits, letter_bytes, 131072, KIB, MIB, .about =
		"Of the plain protocol: a letter, a record, a file (413), the changes of a push (payload_too_large) or keys of a rewrap,\n"
		"the spaces of a subscribe or pull, the entries of a space's membership."),
	NUMBER(limits, record_bytes, 4190208, KIB, 4190208),
	NUMBER(limits, file_bytes, 104857600, KIB, GIB),
	NUMBER(limits, changes, 100000, 1, 100000),
	NUMBER(limits, spaces_per_request, 1000, 1, 10000),
	NUMBER(limits, members, 100000, 1, 100000),
	NUMBER(limits, presence_bytes, 1024, 1, 5 * KIB, .about =
		"Presence: its size, how many of one space, and how long it lasts if it is not renewed (clients do each 25 to 35 s);\n"
		"the size of an event. What is more is ignored, as the protocol has it."),
	NUMBER(limits, presence_per_space, 100, 1, 10000),
	NUMBER(limits, presence_seconds, 45, 1, 86400),
	NUMBER(limits, event_bytes, 4096, 1, 5 * KIB),
	NUMBER(limits, live_burst, 50, 1, 1000000, .about =
		"Events and presence of one connection: at once, and after that; what is more is ignored."),
	NUMBER(limits, live_per_minute, 600, 1, 60000000),
	NUMBER(limits, auths_burst, 2000, 1, 1000000, .about =
		"Tokens that connections of one address bring, and new ones of its HTTP requests: at once, and after that; beyond\n"
		"it they are closed (4007, or 429). It is as many clients as may come back at once after a restart."),
	NUMBER(limits, auths_per_minute, 3000, 1, 1000000),
	NUMBER(limits, chains_burst, 2000, 1, 1000000, .about =
		"UCANs of the plain protocol that one address brings and that were not verified lately, each with up to 8 signatures:\n"
		"at once, and after that. One subscribe or pull may bring 1,000."),
	NUMBER(limits, chains_per_minute, 3000, 1, 1000000),
	NUMBER(limits, device_requests_burst, 100000, 1, 100000000, .about =
		"Requests of one device, over all its connections and HTTP: at once, and after that; else rate_limited, or 429."),
	NUMBER(limits, device_requests_per_minute, 600000, 1, 100000000),
	NUMBER(limits, space_pushes_burst, 100000, 1, 100000000, .about =
		"Pushes into one space by all who may: at once, and after that; else rate_limited."),
	NUMBER(limits, space_pushes_per_minute, 600000, 1, 100000000),
	NUMBER(limits, device_kib_burst, 1048576, 1, 1000000000, .about =
		"KiB of one device's requests, uploads, answers and downloads (not of what it is notified of): at once, and after\n"
		"that; else rate_limited, or 429. 0 a minute: any amount."),
	NUMBER(limits, device_kib_per_minute, 0, 0, 1000000000),
	NUMBER(limits, space_kib_burst, 1048576, 1, 1000000000, .about = "The same of pushes and uploads into one space."),
	NUMBER(limits, space_kib_per_minute, 0, 0, 1000000000),
};
/* clang-format on */

const size_t config_table_size = sizeof config_table / sizeof config_table[0];
