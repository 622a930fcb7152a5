// SPDX-License-Identifier: Apache-2.0
//
// The public TypeScript client of betterbase-rpc-v1, as it stands in its repository, against coffer-relay: with an issuer of access
// tokens and people's keys that this program plays. Ends with "all good" or at the first thing that is not.
//
//	tsx public_client.mts RELAY_PROGRAM CHECKOUT     (tests/long/public_client.sh)

import assert from "node:assert";
import http from "node:http";
import fs from "node:fs";
import os from "node:os";
import { createRequire } from "node:module";
import { spawn } from "node:child_process";
import { webcrypto as wc, createHash } from "node:crypto";

const [relayPath, checkout] = process.argv.slice(2);
if (typeof WebSocket === "undefined")
	(globalThis as any).WebSocket = createRequire(`${checkout}/js/package.json`)("ws");
const { WSClient } = await import(`${checkout}/js/src/sync/ws-client.ts`);
const { FilesClient } = await import(`${checkout}/js/src/sync/files.ts`);
const { SyncClient } = await import(`${checkout}/js/src/sync/client.ts`);

const b64u = (b) => Buffer.from(b).toString("base64url");
async function makeIssuer() {
	const kp = await wc.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
	const jwk = await wc.subtle.exportKey("jwk", kp.publicKey);
	const rsa = await wc.subtle.generateKey(
		{ name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" },
		true,
		["sign", "verify"],
	);
	const rjwk = await wc.subtle.exportKey("jwk", rsa.publicKey);
	let fetches = 0;
	const keys = [
		{ ...jwk, kid: "k1", alg: "ES256", use: "sig" },
		{ kty: "EC", crv: "P-256", kid: "broken" },
		{ ...rjwk, kid: "r1", alg: "RS256" },
	];
	const server = http.createServer((q, r) => {
		fetches++;
		r.setHeader("content-type", "application/json");
		r.end(JSON.stringify({ keys }));
	});
	await new Promise((ok) => server.listen(0, "127.0.0.1", ok));
	const iss = `http://127.0.0.1:${server.address().port}`;
	async function jwt(claims, kid = "k1") {
		const alg = kid[0] === "r" ? "RS256" : "ES256";
		const head = b64u(JSON.stringify({ alg, kid, typ: "JWT" }));
		const body = b64u(
			JSON.stringify({ iss, exp: Math.floor(Date.now() / 1000) + 3600, scope: "sync files", ...claims }),
		);
		const sig =
			alg === "ES256"
				? await wc.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, kp.privateKey, Buffer.from(`${head}.${body}`))
				: await wc.subtle.sign("RSASSA-PKCS1-v1_5", rsa.privateKey, Buffer.from(`${head}.${body}`));
		return `${head}.${body}.${b64u(sig)}`;
	}
	return { iss, jwt, keys, close: () => server.close(), fetches: () => fetches };
}
function uuid5(ns, name) {
	const h = createHash("sha1")
		.update(Buffer.from(ns.replace(/-/g, ""), "hex"))
		.update(name)
		.digest()
		.subarray(0, 16);
	h[6] = (h[6] & 0x0f) | 0x50;
	h[8] = (h[8] & 0x3f) | 0x80;
	const x = h.toString("hex");
	return `${x.slice(0, 8)}-${x.slice(8, 12)}-${x.slice(12, 16)}-${x.slice(16, 20)}-${x.slice(20)}`;
}
const personalSpace = (iss, sub, client) =>
	uuid5("c8362c28-0504-5522-9ba6-6e7ed1d76153", Buffer.from(`${iss}\0${sub}\0${client}`));
async function startRelay(relayPath, iss, env = {}) {
	const dir = fs.mkdtempSync(`${os.tmpdir()}/relay.`);
	const p = spawn(relayPath, ["--listen", "127.0.0.1:0", "--data", dir], {
		env: { ...process.env, TRUSTED_ISSUERS: iss, ...env },
		stdio: ["ignore", "pipe", "pipe"],
	});
	let log = "";
	const port = await new Promise((ok, no) => {
		const take = (d) => {
			log += d;
			const m = /listening on 127\.0\.0\.1:(\d+)/.exec(log);
			if (m) ok(Number(m[1]));
		};
		p.stdout.on("data", take);
		p.stderr.on("data", take);
		p.on("exit", (c) => no(new Error("relay ended " + c + log)));
	});
	return {
		port,
		log: () => log,
		stop: () =>
			new Promise((ok) => {
				p.on("exit", () => {
					fs.rmSync(dir, { recursive: true });
					ok();
				});
				p.kill();
			}),
	};
}
// P-256 identities and UCANs
const A = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
function b58(buf) {
	let n = BigInt("0x" + Buffer.from(buf).toString("hex")),
		s = "";
	while (n) {
		s = A[Number(n % 58n)] + s;
		n /= 58n;
	}
	return s;
}
async function person() {
	const kp = await wc.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
	const jwk = await wc.subtle.exportKey("jwk", kp.publicKey);
	const y = Buffer.from(jwk.y, "base64url"),
		x = Buffer.from(jwk.x, "base64url");
	const point = Buffer.concat([Buffer.from([2 + (y[31] & 1)]), x]);
	const did = "did:key:z" + b58(Buffer.concat([Buffer.from([0x80, 0x24]), point]));
	async function ucan(aud, space, cmd, { proof, exp = Math.floor(Date.now() / 1000) + 3600, ...more } = {}) {
		const h = b64u(JSON.stringify({ alg: "ES256", typ: "JWT" }));
		const b = b64u(
			JSON.stringify({
				aud: [aud],
				cmd,
				exp,
				iss: did,
				nonce: b64u(wc.getRandomValues(new Uint8Array(12))),
				prf: proof ? [proof] : [],
				with: "space:" + space,
				...more,
			}),
		);
		const s = await wc.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, kp.privateKey, Buffer.from(`${h}.${b}`));
		return `${h}.${b}.${b64u(s)}`;
	}
	return { did, point: new Uint8Array(point), ucan };
}
const sha256 = (b) => new Uint8Array(createHash("sha256").update(b).digest());
const cid = (t) => createHash("sha256").update(t).digest("hex");
const issuer = await makeIssuer();
const relay = await startRelay(relayPath, issuer.iss);
const step = (s: string) => console.log("ok", s);
const wait = async (f: () => any, what: string) => {
	const t = Date.now();
	while (!f()) {
		if (Date.now() - t > 15000) throw new Error("waited for " + what);
		await new Promise((r) => setTimeout(r, 20));
	}
};
const CLIENT = "11111111-1111-1111-1111-111111111111";
async function user(name: string, kid = "k1") {
	const p = await person();
	const seen: any = {
		sync: [],
		invitation: 0,
		revoked: [],
		membership: [],
		file: [],
		presence: [],
		leave: [],
		event: [],
		closed: [],
	};
	const mailbox = cid("mailbox of " + name);
	const personal = personalSpace(issuer.iss, name, CLIENT);
	const token = () =>
		issuer.jwt({ sub: name, client_id: CLIENT, did: p.did, mailbox_id: mailbox, personal_space_id: personal }, kid);
	const ws = new WSClient({
		url: `ws://127.0.0.1:${relay.port}/api/v1/ws`,
		getToken: token,
		onSync: (d) => seen.sync.push(d),
		onInvitation: () => seen.invitation++,
		onRevoked: (d) => seen.revoked.push(d),
		onMembership: (d) => seen.membership.push(d),
		onFile: (d) => seen.file.push(d),
		onPresence: (d) => seen.presence.push(d),
		onPresenceLeave: (d) => seen.leave.push(d),
		onEvent: (d) => seen.event.push(d),
		onClose: (c, r) => seen.closed.push([c, r]),
	});
	await ws.connect();
	return { name, p, ws, seen, mailbox, personal, token };
}
const dek = (epoch: number, fill = 0xaa) => {
	const d = new Uint8Array(44).fill(fill);
	new DataView(d.buffer).setUint32(0, epoch);
	return d;
};
const rid = (n: number) => `019400e8-7b5d-7000-8000-${String(n).padStart(12, "0")}`;
try {
	const a = await user("alice"),
		b = await user("bob", "r1");
	// personal space
	let s = await a.ws.subscribe([{ id: a.personal, since: 0, ucan: undefined, presence: true } as any]);
	assert.deepEqual(s, { spaces: [{ id: a.personal, cursor: 0, key_generation: 1 }] });
	step("subscribe personal");
	let r = await a.ws.push(a.personal, [
		{ id: rid(1), blob: new Uint8Array([4, 1, 2, 3]), expected_cursor: 0, dek: dek(0) },
	]);
	assert.deepEqual(r, { ok: true, cursor: 1 });
	step("push personal");
	r = await a.ws.push(a.personal, [
		{ id: rid(1), blob: new Uint8Array([4, 1, 2, 3]), expected_cursor: 0, dek: dek(0) },
	]);
	assert.deepEqual(r, { ok: false, error: "conflict" });
	r = await b.ws.push(a.personal, [{ id: rid(2), blob: new Uint8Array([4]), expected_cursor: 0 }]);
	assert.deepEqual(r, { ok: false, error: "forbidden" });
	step("conflict, forbidden");
	let pull = await a.ws.pull([{ id: a.personal, since: 0 }]);
	assert.equal(pull.spaces.get(a.personal)!.records.length, 1);
	assert.deepEqual(Buffer.from(pull.spaces.get(a.personal)!.records[0].blob!), Buffer.from([4, 1, 2, 3]));
	step("pull personal");
	assert.equal((await b.ws.pull([{ id: a.personal, since: 0 }])).spaces.size, 0);
	// shared space
	const root = await person(),
		space = crypto.randomUUID();
	assert.deepEqual(await a.ws.createSpace({ id: space, root_public_key: root.point }), {
		id: space,
		key_generation: 1,
	});
	await assert.rejects(() => a.ws.createSpace({ id: space, root_public_key: root.point }), /conflict/);
	const ua = await root.ucan(a.p.did, space, "/space/admin"),
		ub = await a.p.ucan(b.p.did, space, "/space/write", { proof: ua, exp: Math.floor(Date.now() / 1000) + 3000 });
	step("space.create");
	const payload = new TextEncoder().encode("opaque"),
		h = sha256(payload);
	assert.deepEqual(await a.ws.appendMember({ space, ucan: ua, expected_version: 0, entry_hash: h, payload } as any), {
		chain_seq: 1,
		metadata_version: 1,
	});
	await assert.rejects(
		() => a.ws.appendMember({ space, ucan: ua, expected_version: 0, entry_hash: h, payload } as any),
		/conflict/,
	);
	const p2 = new TextEncoder().encode("second");
	await b.ws.subscribe([{ id: space, since: 0, ucan: ub, presence: true }]);
	await a.ws.subscribe([{ id: space, since: 0, ucan: ua, presence: true }]);
	assert.deepEqual(
		await a.ws.appendMember({
			space,
			ucan: ua,
			expected_version: 1,
			prev_hash: h,
			entry_hash: sha256(p2),
			payload: p2,
		} as any),
		{ chain_seq: 2, metadata_version: 2 },
	);
	const list = await b.ws.listMembers({ space, ucan: ub });
	assert.deepEqual(
		list.entries.map((e) => e.chain_seq),
		[1, 2],
	);
	assert.equal(list.metadata_version, 2);
	await wait(() => b.seen.membership.length, "membership notice");
	step("membership");
	// push in shared space, sync notice
	r = await a.ws.push(
		space,
		[1, 2, 3].map((n) => ({ id: rid(n), blob: new Uint8Array(1000).fill(n), expected_cursor: 0, dek: dek(1) })),
		ua,
	);
	assert.deepEqual(r, { ok: true, cursor: 3 });
	await wait(() => b.seen.sync.length, "sync");
	assert.equal(b.seen.sync[0].prev, 2);
	assert.equal(b.seen.sync[0].records.length, 3);
	assert.equal(b.seen.sync[0].key_generation, 1);
	assert.equal(a.seen.sync.length, 0);
	step("sync notice to others only");
	r = await b.ws.push(space, [{ id: rid(1), blob: null, expected_cursor: 3 }], ub);
	assert.deepEqual(r, { ok: true, cursor: 4 });
	await wait(() => a.seen.sync.length, "sync tombstone");
	assert.equal(a.seen.sync[0].records[0].deleted, true);
	pull = await b.ws.pull([
		{ id: space, since: 0, ucan: ub },
		{ id: a.personal, since: 0 },
	]);
	let got = pull.spaces.get(space)!;
	assert.equal(got.cursor, 4);
	assert.equal(got.records.length, 2);
	assert.equal(got.membership.length, 2);
	got = (await b.ws.pull([{ id: space, since: 3, ucan: ub }])).spaces.get(space)!;
	assert.equal(got.records.length, 1);
	assert.equal(got.records[0].deleted, true);
	step("tombstones");
	// epoch
	assert.deepEqual(await a.ws.epochBegin({ space, ucan: ua, epoch: 2, set_min_key_generation: true } as any), {
		epoch: 2,
	});
	const race: any = await b.ws.epochBegin({ space, ucan: ub, epoch: 2 } as any);
	assert.deepEqual(race, { error: "epoch_conflict", current_epoch: 2, rewrap_epoch: 2 });
	const deks = await a.ws.getDEKs({ space, ucan: ua, since: 0 } as any);
	assert.equal(deks.length, 2);
	await assert.rejects(
		() => a.ws.rewrapDEKs({ space, ucan: ua, deks: deks.map((d) => ({ id: d.id, dek: dek(1) })) } as any),
		/conflict/,
	);
	const rw: any = await a.ws.rewrapDEKs({ space, ucan: ua, deks: deks.map((d) => ({ id: d.id, dek: dek(2) })) } as any);
	assert.equal(rw.count, 2);
	const fd = await a.ws.getFileDEKs({ space, ucan: ua, since: 0 } as any);
	assert.equal(fd.length, 0);
	await a.ws.rewrapFileDEKs({ space, ucan: ua, deks: [] } as any);
	await a.ws.epochComplete({ space, ucan: ua, epoch: 2 } as any);
	await assert.rejects(() => a.ws.epochComplete({ space, ucan: ua, epoch: 2 } as any), /epoch mismatch/);
	assert.equal((await a.ws.getDEKs({ space, ucan: ua, since: 0 } as any))[0].dek[3], 2);
	assert.deepEqual(
		await b.ws.push(space, [{ id: rid(9), blob: new Uint8Array([1]), expected_cursor: 0, dek: dek(1) }], ub),
		{ ok: false, error: "key_generation_stale" },
	);
	step("epoch");
	// presence, events
	const ra = a.ws as any,
		rb = b.ws as any;
	ra.setPresence(space, new Uint8Array([4, 9]));
	await wait(() => b.seen.presence.length, "presence");
	assert.deepEqual([...b.seen.presence[0].data], [4, 9]);
	assert.equal(b.seen.presence[0].peer.length, 32);
	s = await b.ws.subscribe([{ id: space, since: 0, ucan: ub, presence: true }]);
	assert.equal(s.spaces[0].peers!.length, 1);
	ra.clearPresence(space);
	await wait(() => b.seen.leave.length, "leave");
	rb.sendEvent(space, new Uint8Array([7]));
	await wait(() => a.seen.event.length, "event");
	assert.deepEqual([...a.seen.event[0].data], [7]);
	assert.equal(b.seen.event.length, 0);
	step("presence and events");
	// invitations
	const inv = await a.ws.createInvitation({ mailbox_id: b.mailbox, payload: "jwe" } as any);
	assert.equal((await b.ws.listInvitations())[0].id, inv.id);
	assert.equal((await b.ws.getInvitation({ id: inv.id })).payload, "jwe");
	await assert.rejects(() => a.ws.getInvitation({ id: inv.id }), /not_found/);
	await wait(() => b.seen.invitation, "invitation");
	await b.ws.deleteInvitation({ id: inv.id });
	assert.equal((await b.ws.listInvitations()).length, 0);
	step("invitations");
	// refresh
	assert.deepEqual(await a.ws.refreshToken(await a.token()), { ok: true });
	assert.equal((await a.ws.refreshToken(await b.token())).error, "token identity mismatch");
	step("token.refresh");
	// files
	const base = `http://127.0.0.1:${relay.port}/api/v1`;
	{
		const fc = (u: any, ucan: string) =>
			new FilesClient(new SyncClient({ baseUrl: base, spaceId: space, getToken: u.token, getUCAN: () => ucan } as any));
		const fa = fc(a, ua),
			fb = fc(b, ub),
			fid = crypto.randomUUID();
		const body = new Uint8Array(3 << 20);
		for (let i = 0; i < body.length; i += 65536) crypto.getRandomValues(body.subarray(i, i + 65536));
		assert.deepEqual(await fa.upload(fid, body, dek(2), rid(2)), { created: true });
		assert.deepEqual(await fa.upload(fid, new Uint8Array(5), dek(2, 1), rid(2)), { created: false });
		const d = await fb.download(fid);
		assert.deepEqual(Buffer.from(d.data), Buffer.from(body));
		assert.deepEqual(Buffer.from(d.wrappedDEK), Buffer.from(dek(2)));
		assert.equal(d.size, body.length);
		assert.equal(d.etag, `"${fid}"`);
		assert.equal((await fb.head(fid))!.size, body.length);
		assert.equal(await fb.head(crypto.randomUUID()), null);
		await assert.rejects(() => fb.download(crypto.randomUUID()), /not found/);
		await assert.rejects(() => fa.upload(crypto.randomUUID(), body, dek(2), rid(77)), /record not found in this space/);
		await wait(() => b.seen.file.length && a.seen.file.length, "file notice");
		assert.equal(b.seen.file[0].files[0].id, fid);
		assert.equal((await a.ws.getFileDEKs({ space, ucan: ua, since: 0 } as any))[0].id, fid);
		const fp = (await b.ws.pull([{ id: space, since: 4, ucan: ub }])).spaces.get(space)!;
		assert.equal(fp.files[0].record_id, rid(2));
		assert.equal(fp.files[0].size, body.length);
		const cur = (await b.ws.pull([{ id: space, since: 0, ucan: ub }])).spaces
			.get(space)!
			.records.find((r) => r.id === rid(2))!.cursor;
		assert.equal((await b.ws.push(space, [{ id: rid(2), blob: null, expected_cursor: cur }], ub)).ok, true);
		assert.equal(await fb.head(fid), null);
		step("files");
	}
	// many writes at once, races, a second device, a second space
	const many = Array.from({ length: 500 }, (_, i) => rid(1000 + i));
	for (let i = 0; i < many.length; i += 50) {
		const changes = many
			.slice(i, i + 50)
			.map((id) => ({ id, blob: new Uint8Array(285), expected_cursor: 0, dek: dek(2) }));
		assert.equal((await a.ws.push(space, changes, ua)).ok, true);
	}
	let all = (await b.ws.pull([{ id: space, since: 0, ucan: ub }])).spaces.get(space)!;
	const ids = new Set(all.records.map((x: any) => x.id));
	assert.ok(many.every((id) => ids.has(id)));
	const at = all.records.find((x: any) => x.id === many[0])!.cursor;
	const race2 = await Promise.all(
		[a, b, a, b, a].map((u, i) =>
			u.ws.push(
				space,
				[{ id: many[0], blob: new Uint8Array([i]), expected_cursor: at, dek: dek(2) }],
				u === a ? ua : ub,
			),
		),
	);
	assert.equal(race2.filter((x: any) => x.ok).length, 1);
	assert.equal(race2.filter((x: any) => x.error === "conflict").length, 4);
	const gone = many.slice(1, 51).map((id) => ({
		id,
		blob: null,
		expected_cursor: all.records.find((x: any) => x.id === id)!.cursor,
	}));
	assert.equal((await b.ws.push(space, gone, ub)).ok, true);
	all = (await b.ws.pull([{ id: space, since: all.cursor, ucan: ub }])).spaces.get(space)!;
	assert.equal(all.records.filter((x: any) => x.deleted).length, 50);
	assert.equal(all.records.length, 51);
	const fresh = (await a.ws.pull([{ id: space, since: 0, ucan: ua }])).spaces.get(space)!;
	assert.ok(!fresh.records.some((x: any) => x.deleted));
	const second = crypto.randomUUID();
	const root2 = await person();
	await a.ws.createSpace({ id: second, root_public_key: root2.point });
	const ua2 = await root2.ucan(a.p.did, second, "/space/admin");
	const ub2 = await a.p.ucan(b.p.did, second, "/space/read", { proof: ua2, exp: Math.floor(Date.now() / 1000) + 3000 });
	await a.ws.subscribe([{ id: second, since: 0, ucan: ua2 }]);
	await b.ws.subscribe([{ id: second, since: 0, ucan: ub2 }]);
	const events = a.seen.event.length;
	rb.sendEvent(second, new Uint8Array([1]));
	await wait(() => a.seen.event.length > events, "event of the second space");
	assert.deepEqual(
		a.seen.event.slice(events).map((x: any) => x.space),
		[second],
	);
	assert.equal(
		(await b.ws.push(second, [{ id: rid(1), blob: new Uint8Array(1), expected_cursor: 0 }], ub2)).error,
		"forbidden",
	);
	step("many writes, races, two spaces");
	// revoke
	await a.ws.revokeUCAN({ space, ucan: ua, ucan_cid: cid(ub) } as any);
	await wait(() => b.seen.revoked.length, "revoked");
	assert.deepEqual(
		await b.ws.push(space, [{ id: rid(10), blob: new Uint8Array([1]), expected_cursor: 0, dek: dek(2) }], ub),
		{ ok: false, error: "forbidden" },
	);
	s = await b.ws.subscribe([{ id: space, since: 0, ucan: ub }]);
	assert.equal(s.errors![0].error, "forbidden");
	const before = b.seen.sync.length;
	assert.equal(
		(await a.ws.push(space, [{ id: rid(11), blob: new Uint8Array([1]), expected_cursor: 0, dek: dek(2) }], ua)).ok,
		true,
	);
	await new Promise((r) => setTimeout(r, 300));
	assert.equal(b.seen.sync.length, before);
	step("revocation");
	// fourth connection
	const more = [await user("alice"), await user("alice"), await user("alice")];
	await wait(() => more[2].seen.closed.length, "4003");
	assert.equal(more[2].seen.closed[0][0], 4003);
	step("4003");
	for (const m of more) m.ws.close();
	a.ws.close();
	b.ws.close();
	console.log("all good");
} catch (e) {
	console.error(e);
	console.error(relay.log());
	process.exitCode = 1;
}
await relay.stop();
issuer.close();
setTimeout(() => process.exit(), 100);
