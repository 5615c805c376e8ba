// Connections that a proxy before Sluice passes on with a PROXY header: whoever it says the client is, is the client
// from there on, in front of every kind of listener; and what is no header ends with a reason of its own.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Proxy } from "../../src/proto/proxy_header.ts";
import { IP4, IP6, latin1, LOCAL, PATHS, PROXIED, read, sealed, tlv, v2 } from "../proto/proxy_fixture.ts";
import { Random } from "../sim/random.ts";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import type { AccessLine, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { knock, Peer, type Where } from "../support/peer.ts";
import { connectBehind } from "../support/proxied.ts";
import { echo, Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const { chain: cert, key } = certificates.leaf("a.example");

const V1 = Uint8Array.from(latin1("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"));
const CLIENT = "192.0.2.1:56324";
const CLOSE = ["Connection: close"];

interface Options {
  readonly bind?: string;
  readonly accept?: string | readonly string[];
  readonly listener?: object;
}

/** A listener for TCP before an echo. */
async function withTcp(test: (sluice: Sluice) => Promise<void>, options: Options = {}): Promise<void> {
  const { bind = "tcp://127.0.0.1:0", accept = "127.0.0.0/8", listener = {} } = options;
  await using server = await Server.listen(echo);
  await withConfig({
    listeners: { it: { bind, to: "echo", "accept-proxy": accept, ...listener } },
    upstreams: { echo: { servers: server.address, health: "off" } },
  }, test);
}

type Told = AccessLine & { readonly proxy?: string };

/** The client of the only connection, which said something to the echo behind a header. */
async function clientTold(sluice: Sluice, header: Uint8Array, where?: Where): Promise<string | null> {
  const count = sluice.records.length + 1;
  let own = "";
  {
    using client = await Peer.connect(where ?? sluice.port());
    await client.send(header);
    strictEqual(await client.ask("hello"), "hello");
    client.end();
    await client.ending();
    own = client.address;
  }
  const record: Told = (await sluice.ended(count))[count - 1];
  strictEqual(record.reason, "finished");
  const isUnix = typeof where === "object",
    itself = record.client === own || (isUnix && record.client === "unix:");
  if (!isUnix) strictEqual(record.proxy, itself ? undefined : own);
  deepStrictEqual([record.up_bytes, record.down_bytes], [5, 5]); // the header is none of the client's bytes
  return record.client;
}

describe("accept-proxy", () => {
  it("makes the client whom the header tells, of each version and family", () =>
    withTcp(async (sluice) => {
      const cases: [header: Uint8Array, client: string][] = [
        [V1, CLIENT],
        [Uint8Array.from(latin1("PROXY TCP6 2001:db8::1 ::1 7 8\r\n")), "[2001:db8::1]:7"],
        [Uint8Array.from(latin1("PROXY TCP6 ::ffff:192.0.2.9 ::1 7 8\r\n")), "192.0.2.9:7"],
        [v2(PROXIED, 0x11, IP4), CLIENT],
        [v2(PROXIED, 0x21, IP6), "[2001:db8::1]:56324"],
        [v2(PROXIED, 0x31, PATHS), "unix:"],
        [sealed(PROXIED, 0x11, [...IP4, ...tlv(5, latin1("an id"))]), CLIENT],
      ];
      for (const [header, client] of cases) strictEqual(await clientTold(sluice, header), client);
    }));

  it("leaves it the proxy itself for LOCAL, UNKNOWN and UNSPEC", () =>
    withTcp(async (sluice) => {
      for (
        const header of [
          Uint8Array.from(latin1("PROXY UNKNOWN\r\n")),
          v2(LOCAL, 0, []),
          v2(LOCAL, 0x11, IP4),
          v2(PROXIED, 0, []),
        ]
      ) match(await clientTold(sluice, header) ?? "", /^127\.0\.0\.1:/);
    }));

  it("takes a header in any number of pieces, and what is behind it as the stream", () =>
    withTcp(async (sluice) => {
      for (const header of [V1, v2(PROXIED, 0x11, [...IP4, ...tlv(0xea, [1, 2, 3])])]) {
        using client = await Peer.connect(sluice.port());
        for (const octet of header) await client.send(Uint8Array.of(octet));
        strictEqual(await client.ask("hello"), "hello");
        for (let cut = 0; cut <= header.length + 5; cut += 7) {
          using other = await Peer.connect(sluice.port());
          const all = Buffer.from([...header, ...latin1("hello")]);
          await other.send(all.subarray(0, cut));
          await other.send(all.subarray(cut));
          strictEqual(await other.readText(5), "hello");
        }
      }
    }));

  it("in front of a stream by the megabyte, and of one that ends at once", () =>
    withTcp(async (sluice) => {
      using client = await Peer.connect(sluice.port());
      await client.send(V1);
      const sent = sendStream(client, 24 << 20).then(() => client.end());
      strictEqual(await readStream(client), 24 << 20);
      await sent;
      using other = await Peer.connect(sluice.port());
      await other.send(V1);
      other.end();
      strictEqual(await other.ending(), "fin");
      const [, short] = await sluice.ended(2);
      deepStrictEqual([short.client, short.reason, short.up_bytes], [CLIENT, "finished", 0]);
    }));

  it("of a unix socket's clients", async () => {
    using folder = new Folder();
    const path = folder.at("it.sock");
    await withTcp(async (sluice) => {
      strictEqual(await clientTold(sluice, V1, { path }), CLIENT);
      strictEqual(await clientTold(sluice, v2(LOCAL, 0, []), { path }), "unix:");
      using client = await Peer.connect({ path });
      for (const octet of V1) await client.send(Uint8Array.of(octet));
      const sent = sendStream(client, 4 << 20).then(() => client.end());
      strictEqual(await readStream(client), 4 << 20);
      await sent;
    }, { bind: `unix:${path}?protocol=tcp`, accept: "unix" });
  });

  it("of a dual-stack listener's IPv4 clients", () =>
    withTcp(async (sluice) => {
      strictEqual(await clientTold(sluice, V1), CLIENT);
    }, { bind: "tcp://[::]:0", accept: ["127.0.0.1"] }));
});

describe("what is no header ends with", () => {
  const cases: [why: string, bytes: Uint8Array, reason: string, detail: RegExp | null][] = [
    ["a request", Uint8Array.from(latin1("GET / HTTP/1.1\r\n\r\n")), "proxy_missing", null],
    ["another protocol", Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47), "proxy_missing", null],
    [
      "an address that is none",
      Uint8Array.from(latin1("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n")),
      "proxy_malformed",
      /address/,
    ],
    ["a checksum that does not hold", sealed(PROXIED, 0x11, IP4).fill(9, -1), "proxy_malformed", /CRC32c/],
    ["UDP", v2(PROXIED, 0x12, IP4), "proxy_malformed", /transport/],
    ["a line that does not end", new Uint8Array(300).fill(0x50, 6).fill(0x20, 5, 6), "proxy_missing", null],
    [
      "a line of 108 bytes",
      Uint8Array.from(latin1(`PROXY UNKNOWN ${"f".repeat(92)}\r\n`)),
      "proxy_too_long",
      null,
    ],
    ["a header of 64 KiB", v2(PROXIED, 0x11, IP4, 65_535), "proxy_too_long", null],
  ];

  it("a reason of its own, and a reset", () =>
    withTcp(async (sluice) => {
      for (const [why, bytes, reason, detail] of cases) {
        const count = sluice.records.length + 1;
        using client = await Peer.connect(sluice.port());
        await client.send(bytes);
        strictEqual(await client.ending(), "reset", why);
        const record = (await sluice.ended(count))[count - 1];
        strictEqual(record.reason, reason, why);
        strictEqual(record.client, client.address, why);
        strictEqual(record.server, null, why);
        if (detail === null) strictEqual(record.detail, null, why);
        else match(record.detail ?? "", detail, why);
      }
    }));

  it("proxy_timeout for who sends none, or a part of one", () =>
    withTcp(async (sluice) => {
      using silent = await Peer.connect(sluice.port());
      using slow = await Peer.connect(sluice.port());
      await slow.send(V1.subarray(0, 20));
      deepStrictEqual([await silent.ending(), await slow.ending()], ["reset", "reset"]);
      const records = await sluice.ended(2);
      for (const { reason, duration_ms: ms } of records) {
        strictEqual(reason, "proxy_timeout");
        ok(ms !== null && ms >= 300 && ms < 2_000, String(ms));
      }
      strictEqual(await clientTold(sluice, V1), CLIENT);
    }, { listener: { timeouts: { handshake: "300ms" } } }));

  it("client_gone for who leaves before, client_reset for who breaks off", () =>
    withTcp(async (sluice) => {
      using client = await Peer.connect(sluice.port());
      client.end();
      await client.ending();
      using other = await Peer.connect(sluice.port());
      await other.send(V1.subarray(0, 9));
      other.end();
      await other.ending();
      using third = await Peer.connect(sluice.port());
      await third.send(V1.subarray(0, 9));
      third.reset();
      const reasons = (await sluice.ended(3)).map(({ reason }) => reason);
      deepStrictEqual(reasons, ["client_gone", "client_gone", "client_reset"]);
    }));

  it("proxy_untrusted for who may not introduce anybody", () =>
    withTcp(async (sluice) => {
      strictEqual(await knock(sluice.port()), "reset");
      const [record] = await sluice.ended(1);
      deepStrictEqual([record.reason, record.server], ["proxy_untrusted", null]);
      match(record.client ?? "", /^127\.0\.0\.1:/);
      using trusted = await Peer.connect(sluice.port(), "127.0.0.7");
      await trusted.send(V1);
      strictEqual(await trusted.ask("hello"), "hello");
    }, { accept: ["127.0.0.7", "2001:db8::/32"] }));

  it("says so in the metrics", () =>
    withTcp(async (sluice) => {
      using client = await Peer.connect(sluice.port());
      await client.send(Uint8Array.of(1));
      await client.ending();
      const ended = 'sluice_connections_ended_total{reason="proxy_missing",type="connection_terminated"}';
      strictEqual((await sluice.metrics()).get(ended), 1);
    }));
});

describe("hostile headers", () => {
  it("end as the reader of headers says, wherever they are cut", () =>
    withTcp(async (sluice) => {
      const random = new Random(23),
        seeds = [V1, v2(PROXIED, 0x11, [...IP4, ...tlv(5, [1])]), sealed(PROXIED, 0x21, IP6)];
      const wanted = new Map<string, string[]>();
      const one = async (): Promise<void> => {
        const bytes = random.pick(seeds).slice();
        for (let changes = random.between(1, 3); changes > 0; changes--) {
          bytes[random.below(bytes.length)] = random.oneIn(2)
            ? random.below(256)
            : random.pick(latin1(" :.\r\n0fP"));
        }
        const said = read(bytes), cut = random.below(bytes.length);
        using client = await Peer.connect(sluice.port());
        // What is refused at its first bytes is reset before all of it is sent.
        await client.send(bytes.subarray(0, cut)).catch(() => {});
        await client.send(bytes.subarray(cut)).catch(() => {});
        client.end();
        await client.ending();
        wanted.set(client.address, REASONS_OF[said.verdict]);
      };
      for (let round = 0; round < 15; round++) await Promise.all(Array.from({ length: 10 }, one));
      const records: Told[] = await sluice.ended(150);
      for (const { client, proxy, reason } of records) {
        const allowed = wanted.get(proxy ?? client ?? "") ?? [];
        ok(allowed.includes(reason), `${client}: ${reason} is none of ${allowed.join(", ")}`);
      }
      ok(records.some(({ proxy }) => proxy !== undefined), "some are headers all the same");
    }));
});

/** By verdict. A client that ends its stream and is reset may be told as one that broke off. */
const REASONS_OF: Record<Proxy, string[]> = {
  [Proxy.NeedMore]: ["client_gone", "client_reset"],
  [Proxy.Found]: ["finished", "client_reset"],
  [Proxy.Missing]: ["proxy_missing"],
  [Proxy.Malformed]: ["proxy_malformed"],
  [Proxy.TooLong]: ["proxy_too_long"],
};

describe("behind a header", () => {
  it("a request knows its client: X-Forwarded-For, routes by client, the log, on every request", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("it", CLOSE));
    await withConfig({
      listeners: {
        web: {
          bind: "http://127.0.0.1:0",
          "accept-proxy": "127.0.0.0/8",
          routes: [{ match: { client: "192.0.2.0/24" }, to: "app" }, { respond: { status: 403 } }],
        },
      },
      upstreams: { app: { servers: origin.address, health: "off" } },
    }, async (sluice) => {
      const client = await HttpPeer.connect(sluice.port());
      await client.send(Buffer.concat([V1, Buffer.from("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")]));
      for (let request = 0; request < 3; request++) {
        if (request > 0) await client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        const { head } = await client.readAnswer("GET");
        strictEqual(statusOf(head), 200);
        deepStrictEqual(valuesOf(origin.requests[request].head, "x-forwarded-for"), ["192.0.2.1"]);
      }
      const other = await HttpPeer.connect(sluice.port());
      await other.send(v2(PROXIED, 0x21, IP6));
      strictEqual(statusOf((await other.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")).head), 403);
      const records = await sluice.ended(4);
      deepStrictEqual(records.map(({ client }) => client), [CLIENT, CLIENT, CLIENT, "[2001:db8::1]:56324"]);
      for (const peer of [client, other]) peer.end();
      for (const peer of [client, other]) await peer.ending();
    });
  });

  it("a request that comes without one is no request", async () => {
    await using origin = await HttpOrigin.listen();
    await withConfig({
      listeners: { web: { bind: "http://127.0.0.1:0", to: "app", "accept-proxy": "127.0.0.0/8" } },
      upstreams: { app: { servers: origin.address, health: "off" } },
    }, async (sluice) => {
      const client = await HttpPeer.connect(sluice.port());
      await client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
      strictEqual(await client.ending(), "reset");
      strictEqual(origin.connections, 0);
      await sluice.until("it to be over", ({ totals }) => totals.connections.now === 0);
    });
  });

  it("a handshake begins: https://, tls:// and names that are passed on or ended", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("it", CLOSE));
    await using server = await Server.listen(echo);
    const accept = { "accept-proxy": "127.0.0.0/8" }, tls = { certificates: [{ cert, key }] };
    await withConfig({
      listeners: {
        web: { bind: "https://127.0.0.1:0", to: "app", tls, ...accept },
        any: { bind: "tls://127.0.0.1:0", to: "echo", tls, ...accept },
        names: {
          bind: "tcp://127.0.0.1:0",
          tls,
          sni: { "a.example": { terminate: "echo" }, default: "web" },
          ...accept,
        },
      },
      upstreams: {
        app: { servers: origin.address, health: "off" },
        echo: { servers: server.address, health: "off" },
        web: { servers: server.address, health: "off" },
      },
    }, async (sluice) => {
      for (const header of [V1, v2(PROXIED, 0x11, IP4)]) {
        const web = await connectBehind(sluice.port(0), header, "a.example");
        const { head } = await web.ask("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        strictEqual(statusOf(head), 200);
        deepStrictEqual(valuesOf(origin.requests.at(-1)!.head, "x-forwarded-for"), ["192.0.2.1"]);
        await web.ending();
        for (const listener of [1, 2]) {
          const tunnel = await connectBehind(sluice.port(listener), header, "a.example");
          strictEqual(await tunnel.peer.ask("hello"), "hello");
          tunnel.end();
          await tunnel.ending();
        }
      }
      const records = await sluice.ended(6);
      for (const { client, reason } of records) deepStrictEqual([client, reason], [CLIENT, "finished"]);
      // Without a header a hello is none.
      using bare = await Peer.connect(sluice.port(0));
      await bare.send(Uint8Array.of(22, 3, 1, 0, 5, 1, 0, 0, 1, 3));
      strictEqual(await bare.ending(), "reset");
      strictEqual((await sluice.ended(7))[6].reason, "proxy_missing");
    });
  });

  it("many at once are kept apart", () =>
    withTcp(async (sluice) => {
      const all = Array.from({ length: 60 }, async (_, at) => {
        using client = await Peer.connect(sluice.port());
        const header = latin1(`PROXY TCP4 192.0.2.${at} 198.51.100.7 ${1_000 + at} 443\r\n`);
        await client.send(Uint8Array.from(header.slice(0, at % header.length)));
        await client.send(Uint8Array.from(header.slice(at % header.length)));
        strictEqual(await client.ask(`client ${at}`), `client ${at}`);
        client.end();
        await client.ending();
      });
      await Promise.all(all);
      const told = (await sluice.ended(60)).map(({ client }) => client).sort();
      const wanted = Array.from({ length: 60 }, (_, at) => `192.0.2.${at}:${1_000 + at}`).sort();
      deepStrictEqual(told, wanted);
    }));
});
