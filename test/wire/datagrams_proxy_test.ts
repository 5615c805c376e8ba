// Datagrams behind a proxy that says whose they are: a header before each, a session for each client that is told, and
// the answers back to the proxy, without a header. Whatever is no such datagram is dropped, counted, and told.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Proxy } from "../../src/proto/proxy_header.ts";
import {
  IP4,
  IP6,
  latin1,
  LOCAL,
  PROXIED,
  read,
  sealed,
  SIGNATURE,
  tlv,
  v2,
} from "../proto/proxy_fixture.ts";
import { withConfig } from "../support/configured.ts";
import { Datagrams } from "../support/datagrams.ts";
import type { AccessLine, Sluice } from "../support/executable.ts";

const CLIENT = "192.0.2.1:56324";
const TOLD4 = 0x12, TOLD6 = 0x22;
type Told = AccessLine & { readonly proxy?: string };

const behind = (header: Uint8Array, text: string): Uint8Array =>
  Uint8Array.from([...header, ...latin1(text)]);
/** From the client of that last octet. */
const from = (octet: number, text: string): Uint8Array =>
  behind(v2(PROXIED, TOLD4, [192, 0, 2, octet, ...IP4.slice(4)]), text);

async function withProxied(
  test: (sluice: Sluice, server: Datagrams) => Promise<void>,
  listener: object = {},
  upstream: object = {},
): Promise<void> {
  using server = await Datagrams.echo();
  const it = { bind: "udp://127.0.0.1:0", to: "echo", "accept-proxy": "127.0.0.0/8", udp: { idle: "300ms" } };
  await withConfig({
    reactors: 1,
    listeners: { it: { ...it, ...listener } },
    upstreams: { echo: { servers: server.address, health: "off", ...upstream } },
  }, (sluice) => test(sluice, server));
}

describe("accept-proxy of udp://", () => {
  it("makes the client whom the header tells; the proxy gets the answer, without a header", () =>
    withProxied(async (sluice, server) => {
      using proxy = await Datagrams.open("127.0.0.2");
      const cases: [header: Uint8Array, client: string][] = [
        [v2(PROXIED, TOLD4, IP4), CLIENT],
        [v2(PROXIED, TOLD6, IP6), "[2001:db8::1]:56324"],
        [
          sealed(PROXIED, TOLD4, [10, 0, 0, 1, ...IP4.slice(4), ...tlv(5, latin1("an id"))]),
          "10.0.0.1:56324",
        ],
        [v2(LOCAL, 0, []), proxy.address],
        [v2(PROXIED, 0, []), proxy.address],
      ];
      for (const [nth, [header, client]] of cases.entries()) {
        for (const text of ["hello", "", "again"]) {
          proxy.send(behind(header, text), sluice.port());
          strictEqual((await proxy.next()).bytes.toString(), text);
          strictEqual((await server.next()).bytes.toString(), text);
        }
        const record: Told = (await sluice.ended(nth + 1))[nth];
        deepStrictEqual([record.client, record.up_bytes, record.up_datagrams], [client, 10, 3]);
        strictEqual(record.proxy, client === proxy.address ? undefined : proxy.address);
      }
    }));

  it("keeps clients apart that come by one address of the proxy, and proxies that bring one client", () =>
    withProxied(async (sluice, server) => {
      server.reply = () => [];
      using proxy = await Datagrams.open();
      using other = await Datagrams.open();
      for (const octet of [1, 2, 1, 3]) proxy.send(from(octet, `${octet}`), sluice.port());
      const [one, two, again, three] = await server.take(4);
      strictEqual(one.from.port, again.from.port, "one session");
      strictEqual(new Set([one, two, three].map(({ from }) => from.port)).size, 3);
      other.send(from(1, "by another way"), sluice.port());
      const elsewhere = await server.next();
      server.send("to the other", elsewhere.from.port);
      strictEqual((await other.next()).bytes.toString(), "to the other");
      server.send("to the first", one.from.port);
      strictEqual((await proxy.next()).bytes.toString(), "to the first");
      deepStrictEqual((await sluice.ended(4)).map(({ client }) => client).sort(), [
        CLIENT,
        CLIENT,
        "192.0.2.2:56324",
        "192.0.2.3:56324",
      ]);
    }));

  it("drops what is not so, with a reason each", () =>
    withProxied(async (sluice, server) => {
      using proxy = await Datagrams.open();
      using stranger = await Datagrams.open("127.9.9.9");
      const cases: [datagram: Uint8Array, reason: string, detail: RegExp | null, who?: Datagrams][] = [
        [Uint8Array.from(latin1("hello")), "proxy_missing", null],
        [new Uint8Array(0), "proxy_missing", null],
        [Uint8Array.from(latin1("PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r\nhello")), "proxy_missing", null],
        [Uint8Array.from(SIGNATURE), "proxy_malformed", /./],
        [v2(PROXIED, TOLD4, IP4, 400), "proxy_malformed", /./],
        [v2(PROXIED, 0x11, IP4), "proxy_malformed", /./],
        [v2(PROXIED, TOLD4, [...IP4, ...tlv(3, [1, 2, 3, 4])]), "proxy_malformed", /./],
        [v2(PROXIED, TOLD4, IP4, 5_000), "proxy_too_long", null],
        [from(1, "hello"), "proxy_untrusted", null, stranger],
      ];
      for (const [nth, [datagram, reason, detail, who = proxy]] of cases.entries()) {
        who.send(datagram, sluice.port());
        const record = (await sluice.ended(nth + 1))[nth];
        deepStrictEqual([record.reason, record.client, record.server], [reason, who.address, null]);
        if (detail !== null) match(String(record.detail), detail);
      }
      strictEqual(server.count, 0);
      strictEqual((await sluice.status()).totals.datagrams.dropped.refused, cases.length);
      proxy.send(from(1, "hello"), sluice.port());
      strictEqual((await proxy.next()).bytes.toString(), "hello");
      proxy.send("the second needs one, too", sluice.port());
      strictEqual((await sluice.ended(cases.length + 1)).at(-1)!.reason, "proxy_missing");
    }, { "accept-proxy": "127.0.0.1", udp: { idle: "1s" } }));

  it("goes by lists and limits of the clients that are told, and gives back what they count", () =>
    withProxied(async (sluice, server) => {
      using proxy = await Datagrams.open();
      proxy.send(from(2, "denied"), sluice.port());
      for (let nth = 0; nth < 2; nth++) {
        const ports = v2(PROXIED, TOLD4, [...IP4.slice(0, 8), 1, nth, 0, 53]);
        proxy.send(behind(ports, "hello"), sluice.port());
      }
      const records = await sluice.ended(2);
      deepStrictEqual(records.map(({ client, reason }) => [client, reason]), [
        ["192.0.2.2:56324", "denied"],
        ["192.0.2.1:257", "source_limit"],
      ]);
      strictEqual((await proxy.next()).bytes.toString(), "hello");
      proxy.send(from(3, "another"), sluice.port());
      strictEqual((await proxy.next()).bytes.toString(), "another");
      await sluice.ended(4);
      proxy.send(from(1, "now"), sluice.port());
      strictEqual((await proxy.next()).bytes.toString(), "now");
      strictEqual(server.count, 3);
      await sluice.ended(5);
    }, { deny: "192.0.2.2", allow: ["192.0.2.0/24"], limits: { "connections-per-source": 1 } }));

  it("denies all that a denied proxy brings", () =>
    withProxied(async (sluice, server) => {
      using proxy = await Datagrams.open("127.0.0.3");
      proxy.send(from(1, "hello"), sluice.port());
      strictEqual((await sluice.ended(1))[0].reason, "denied");
      strictEqual(server.count, 0);
    }, { deny: "127.0.0.3" }));
});

describe("accept-proxy and send-proxy of udp://", () => {
  it("pass on whom each header tells, with its fields, also when they change within a session", () =>
    withProxied(
      async (sluice, server) => {
        server.reply = () => [];
        using proxy = await Datagrams.open();
        const fields = [tlv(0xe0, latin1("a")), tlv(0xe0, latin1("a")), tlv(0xe0, latin1("bb")), []];
        for (const field of fields) {
          proxy.send(behind(sealed(PROXIED, TOLD4, [...IP4, ...field]), "hello"), sluice.port());
        }
        const came = await server.take(4);
        strictEqual(new Set(came.map(({ from }) => from.port)).size, 1);
        for (const [nth, { bytes }] of came.entries()) {
          strictEqual(bytes.subarray(-5).toString(), "hello");
          const said = read(bytes.subarray(0, -5), bytes.length - 5, true);
          deepStrictEqual([said.verdict, said.source, said.destination], [
            Proxy.Found,
            CLIENT,
            "198.51.100.7:443",
          ]);
          deepStrictEqual([...said.rest], fields[nth]);
        }
      },
      {},
      { "send-proxy": "v2" },
    ));

  it("one behind the other: the client is told all the way", () =>
    withProxied(async (inner, server) => {
      const before = {
        reactors: 1,
        listeners: { it: { bind: "udp://127.0.0.1:0", to: "inner", udp: { idle: "300ms" } } },
        upstreams: {
          inner: {
            servers: `127.0.0.1:${inner.port()}`,
            health: "off",
            "send-proxy": { version: "v2", crc32c: true },
          },
        },
      };
      await withConfig(before, async (outer) => {
        using client = await Datagrams.open("127.0.0.7");
        for (let nth = 0; nth < 40; nth++) client.send(`question ${nth}`, outer.port());
        const answers = (await client.take(40)).map(({ bytes }) => bytes.toString());
        deepStrictEqual(answers, answers.map((_, nth) => `question ${nth}`));
        strictEqual(server.count, 40);
        strictEqual((await inner.ended(1))[0].client, client.address);
      });
    }));
});
