// What servers are told of clients by a PROXY header: addresses, versions, fields, chains of proxies, and that nobody
// gets a connection that is another client's.
import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Proxy } from "../../src/proto/proxy_header.ts";
import { IP4, latin1, LOCAL, PATHS, PROXIED, read, sealed, tlv, v2 } from "../proto/proxy_fixture.ts";
import { helloOf, record, serverName } from "../proto/hello_fixture.ts";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import { Datagrams } from "../support/datagrams.ts";
import { Folder } from "../support/folder.ts";
import { ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { connectBehind, readHeader, readLine } from "../support/proxied.ts";
import { echo, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";
import { sClient } from "../support/s_client.ts";

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const { root } = certificates,
  site = certificates.leaf("a.example"),
  person = certificates.client("Ada Lovelace");

const FULL = { version: "v2", "unique-id": true, crc32c: true, tls: true };
const UNIQUE_ID = 5, CHECKSUM = 3;

type Send = string | object;

/** A listener for TCP before a server in the test's hands. */
async function withSend(
  send: Send,
  test: (sluice: Sluice, server: Server) => Promise<void>,
  { listener = {}, upstream = {} }: { readonly listener?: object; readonly upstream?: object } = {},
): Promise<void> {
  await using server = await Server.listen();
  await withConfig({
    listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app", ...listener } },
    upstreams: { app: { servers: server.address, health: "off", "send-proxy": send, ...upstream } },
  }, (sluice) => test(sluice, server));
}

/** The fields of a header, by type, as they stand in it. */
function fieldsOf({ rest }: { readonly rest: readonly number[] }): Map<number, string> {
  const fields = new Map<number, string>();
  for (let at = 0; at < rest.length;) {
    const length = rest[at + 1] << 8 | rest[at + 2];
    fields.set(rest[at], String.fromCharCode(...rest.slice(at + 3, at + 3 + length)));
    at += 3 + length;
  }
  return fields;
}

/** Says something to the other end and hears it, and leaves. */
async function talk(client: Peer, server: Peer): Promise<void> {
  await client.send("hello");
  strictEqual(await server.readText(5), "hello");
  await server.send("world!");
  strictEqual(await client.readText(6), "world!");
  client.end();
  server.end();
  await Promise.all([client.ending(), server.ending()]);
}

describe("send-proxy", () => {
  it("v1: the client and where it connected, before anything else", () =>
    withSend("v1", async (sluice, server) => {
      using client = await Peer.connect(sluice.port(), "127.0.0.9");
      const up = await server.accept(), [ip, port] = client.address.split(":");
      strictEqual(await readLine(up), `PROXY TCP4 ${ip} 127.0.0.1 ${port} ${sluice.port()}`);
      await talk(client, up);
      const [{ up_bytes: sent, down_bytes: heard }] = await sluice.ended(1);
      deepStrictEqual([sent, heard], [5, 6]); // the header is nobody's
    }));

  it("v1: TCP6, and UNKNOWN of a unix socket's client", async () => {
    using folder = new Folder();
    const path = folder.at("it.sock"), bind = ["tcp://[::1]:0", `unix:${path}?protocol=tcp`];
    await withSend("v1", async (sluice, server) => {
      using client = await Peer.connect({ host: "::1", port: sluice.port() });
      const up = await server.accept(), [, port] = /:([0-9]+)$/.exec(client.address)!;
      strictEqual(await readLine(up), `PROXY TCP6 ::1 ::1 ${port} ${sluice.port()}`);
      await talk(client, up);
      using other = await Peer.connect({ path });
      const up2 = await server.accept();
      strictEqual(await readLine(up2), "PROXY UNKNOWN");
      await talk(other, up2);
    }, { listener: { bind } });
  });

  it("v2: byte for byte", () =>
    withSend("v2", async (sluice, server) => {
      using client = await Peer.connect(sluice.port());
      const up = await server.accept(), from = Number(client.address.split(":")[1]), to = sluice.port();
      const addresses = [127, 0, 0, 1, 127, 0, 0, 1, from >> 8, from & 255, to >> 8, to & 255];
      deepStrictEqual(await readHeader(up), Buffer.from(v2(PROXIED, 0x11, addresses)));
      await talk(client, up);
    }));

  it("v2: IPv6, and the path of a unix socket", async () => {
    using folder = new Folder();
    const path = folder.at("it.sock"), bind = ["tcp://[::1]:0", `unix:${path}?protocol=tcp`];
    await withSend("v2", async (sluice, server) => {
      using client = await Peer.connect({ host: "::1", port: sluice.port() });
      const up = await server.accept(), { source, verdict } = read(await readHeader(up));
      strictEqual(verdict, Proxy.Found);
      match(source, /^\[0:0:0:0:0:0:0:1\]:/);
      await talk(client, up);
      using other = await Peer.connect({ path });
      const up2 = await server.accept(), { source: unix, rest } = read(await readHeader(up2));
      strictEqual(unix, "unix");
      strictEqual(String.fromCharCode(...rest), "\0".repeat(108) + path.padEnd(108, "\0"));
      await talk(other, up2);
    }, { listener: { bind } });
  });

  it("v2 with a checksum and a unique id for each client", () =>
    withSend({ version: "v2", "unique-id": true, crc32c: true }, async (sluice, server) => {
      const seen = new Set<string>();
      for (let round = 0; round < 5; round++) {
        using client = await Peer.connect(sluice.port());
        const up = await server.accept(), header = await readHeader(up), said = read(header);
        strictEqual(said.verdict, Proxy.Found);
        strictEqual(header.at(-7), CHECKSUM); // and `read` has looked whether it holds
        const id = fieldsOf(said).get(UNIQUE_ID) ?? "";
        match(id, /^[0-9a-f]{32}$/);
        seen.add(id);
        await talk(client, up);
      }
      strictEqual(seen.size, 5);
    }));

  it("before a server that speaks first, and one that is reached at once", async () => {
    using folder = new Folder();
    await using server = await Server.listen(undefined, { path: folder.at("app.sock") });
    await withConfig({
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: server.address, health: "off", "send-proxy": "v1" } },
    }, async (sluice) => {
      using client = await Peer.connect(sluice.port());
      const up = await server.accept();
      match(await readLine(up), /^PROXY TCP4 /);
      await up.send("220 ready");
      strictEqual(await client.readText(9), "220 ready");
      await talk(client, up);
    });
  });

  it("again to the next server when one refuses", async () => {
    await using server = await Server.listen();
    await using gone = await Server.listen();
    const { address } = gone;
    await gone.kill();
    await withConfig({
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [address, server.address], health: "off", "send-proxy": "v1" } },
    }, async (sluice) => {
      for (let round = 0; round < 4; round++) {
        using client = await Peer.connect(sluice.port());
        const up = await server.accept();
        match(await readLine(up), /^PROXY TCP4 /);
        await talk(client, up);
      }
    });
  });

  it("outside of TLS to the server", async () => {
    // A header, and behind it somebody else's TLS: what Sluice would end by itself.
    await using plain = await Server.listen(echo);
    await withConfig({
      listeners: {
        inner: {
          bind: "tls://127.0.0.1:0",
          to: "app",
          "accept-proxy": "127.0.0.1",
          tls: { certificates: [{ cert: site.chain, key: site.key }] },
        },
      },
      upstreams: { app: { servers: plain.address, health: "off" } },
    }, async (inner) => {
      await withConfig({
        listeners: { outer: { bind: "tcp://127.0.0.1:0", to: "inner" } },
        upstreams: {
          inner: {
            servers: `tls://127.0.0.1:${inner.port()}`,
            tls: { ca: root.cert, "server-name": "a.example" },
            health: { tcp: true, interval: "100ms" },
            "send-proxy": FULL,
          },
        },
      }, async (outer) => {
        await outer.line("health", /is up/);
        using client = await Peer.connect(outer.port());
        strictEqual(await client.ask("hello"), "hello");
        client.end();
        await client.ending();
        // Beside those of the checks.
        await until("its record", () => inner.records.some((record) => record.client === client.address));
      });
    });
  });
});

describe("what came with a header is told on", () => {
  it("its addresses, by either version, and its fields by version 2", async () => {
    const fields = [
      ...tlv(2, latin1("a.example")),
      ...tlv(UNIQUE_ID, latin1("theirs")),
      ...tlv(0xea, [1, 2]),
    ];
    const listener = { "accept-proxy": "127.0.0.0/8" };
    const header = sealed(PROXIED, 0x11, [...IP4, ...tlv(4, [0]), ...fields]);
    await withSend("v1", async (sluice, server) => {
      using client = await Peer.connect(sluice.port());
      await client.send(header);
      const up = await server.accept();
      strictEqual(await readLine(up), "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443");
      await talk(client, up);
    }, { listener });
    await withSend(FULL, async (sluice, server) => {
      using client = await Peer.connect(sluice.port());
      await client.send(header);
      const up = await server.accept();
      deepStrictEqual(await readHeader(up), Buffer.from(sealed(PROXIED, 0x11, [...IP4, ...fields])));
      await talk(client, up);
      using path = await Peer.connect(sluice.port());
      await path.send(v2(PROXIED, 0x31, [...PATHS, ...tlv(UNIQUE_ID, [7])]));
      const up2 = await server.accept(), wanted = sealed(PROXIED, 0x31, [...PATHS, ...tlv(UNIQUE_ID, [7])]);
      deepStrictEqual(await readHeader(up2), Buffer.from(wanted));
      await talk(path, up2);
      using mixed = await Peer.connect(sluice.port());
      await mixed.send("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.9 7 8\r\n");
      const up3 = await server.accept(), said = read(await readHeader(up3));
      deepStrictEqual([said.source, said.destination], ["[2001:db8:0:0:0:0:0:1]:7", "192.0.2.9:8"]);
      await talk(mixed, up3);
      using local = await Peer.connect(sluice.port());
      await local.send(v2(LOCAL, 0, []));
      const up4 = await server.accept();
      strictEqual(read(await readHeader(up4)).source, local.address); // the proxy is the client
      await talk(local, up4);
    }, { listener });
  });

  it("from Sluice to Sluice to Sluice", async () => {
    await using server = await Server.listen();
    const inner = {
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app", "accept-proxy": "127.0.0.1" } },
      upstreams: { app: { servers: server.address, health: "off", "send-proxy": FULL } },
    };
    await withConfig(inner, async (last) => {
      const middle = {
        ...inner,
        upstreams: { app: { servers: `127.0.0.1:${last.port()}`, health: "off", "send-proxy": "v2" } },
      };
      await withConfig(middle, async (second) => {
        await withSend(FULL, async (first) => {
          const ids: (string | undefined)[] = [];
          for (let round = 0; round < 2; round++) {
            using client = await Peer.connect(first.port());
            const up = await server.accept(), said = read(await readHeader(up));
            deepStrictEqual([said.verdict, said.source], [Proxy.Found, client.address]);
            strictEqual(said.destination, `127.0.0.1:${first.port()}`);
            ids.push(fieldsOf(said).get(UNIQUE_ID)); // the first one's
            await talk(client, up);
            for (const sluice of [first, second, last]) {
              strictEqual((await sluice.ended(round + 1))[round].client, client.address);
            }
          }
          notStrictEqual(ids[0], ids[1]);
        }, { upstream: { servers: `127.0.0.1:${second.port()}`, health: "off" } });
      });
    });
  });
});

describe("of a client's TLS version 2 tells", () => {
  const tls = {
    certificates: [{ cert: site.chain, key: site.key }],
    alpn: ["xmpp", "http/1.1"],
    client: { mode: "ask", ca: root.cert },
  };

  it("name, protocol, version, cipher and who showed a certificate", () =>
    withSend(FULL, async (sluice, server) => {
      const words = ["-servername", "a.example", "-alpn", "xmpp", "-tls1_3"];
      const shown = [...words, "-cert", person.cert, "-key", person.key];
      for (const [options, bits, verify] of [[words, 1, 1], [shown, 7, 0]] as const) {
        const client = sClient(sluice.port(), options, "", /bye/);
        const up = await server.accept(), said = read(await readHeader(up)), fields = fieldsOf(said);
        strictEqual(fields.get(1), "xmpp");
        strictEqual(fields.get(2), "a.example");
        const ssl = latin1(fields.get(0x20) ?? "");
        deepStrictEqual(ssl.slice(0, 5), [bits, 0, 0, 0, verify]);
        const inner = fieldsOf({ rest: ssl.slice(5) });
        strictEqual(inner.get(0x21), "TLSv1.3");
        match(inner.get(0x23) ?? "", /^TLS_/);
        strictEqual(inner.get(0x22), verify === 0 ? "Ada Lovelace" : undefined);
        await up.send("bye\n");
        up.end();
        await client;
        await up.ending();
      }
    }, { listener: { bind: "tls://127.0.0.1:0", tls } }));

  it("the name alone where it is passed on; and instead of what a proxy before said of its own TLS", async () => {
    await using server = await Server.listen();
    const upstream = { servers: server.address, health: "off", "send-proxy": { version: "v2", tls: true } };
    await withConfig({
      listeners: {
        passed: { bind: "tcp://127.0.0.1:0", sni: { default: "app" } },
        ended: { bind: "tls://127.0.0.1:0", to: "app", tls, "accept-proxy": "127.0.0.1" },
      },
      upstreams: { app: upstream },
    }, async (sluice) => {
      using client = await Peer.connect(sluice.port(0));
      await client.send(record(helloOf(serverName("b.example"))));
      const up = await server.accept(), fields = fieldsOf(read(await readHeader(up)));
      deepStrictEqual([...fields], [[2, "b.example"]]);
      client.reset();
      strictEqual(await up.ending(), "reset");
      const before = [...tlv(1, latin1("h2")), ...tlv(2, latin1("z.example")), ...tlv(0x20, [1, 0, 0, 0, 1])];
      const connecting = connectBehind(
        sluice.port(1),
        v2(PROXIED, 0x11, [...IP4, ...before, ...tlv(0xe0, [9])]),
        "a.example",
      );
      const up2 = await server.accept(), told = fieldsOf(read(await readHeader(up2)));
      deepStrictEqual([told.get(1), told.get(2), told.get(0xe0)], ["http/1.1", "a.example", "\t"]);
      ok((told.get(0x20)?.length ?? 0) > 5);
      const peer = await connecting;
      peer.reset();
      await up2.ending();
    });
  });
});

describe("HTTP servers", () => {
  it("get a connection of each client's own for each request", () =>
    withSend("v2", async (sluice, server) => {
      const clients = [await HttpPeer.connect(sluice.port()), await HttpPeer.connect(sluice.port())];
      for (let round = 0; round < 6; round++) {
        const client = clients[round % 2];
        await client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        const up = await server.accept(), { source } = read(await readHeader(up));
        strictEqual(source, client.peer.address);
        const http = new HttpPeer(up);
        await http.readRequest();
        await http.send(answerOk("it"));
        strictEqual(statusOf((await client.readAnswer()).head), 200);
        strictEqual(await up.ending(), "fin");
        up.end();
      }
      for (const client of clients) {
        client.end();
        await client.ending();
      }
    }, { listener: { bind: "http://127.0.0.1:0" } }));
});

describe("UDP servers", () => {
  const config = (address: string, send: Send, more: object = {}) => ({
    listeners: { it: { bind: "udp://127.0.0.1:0", to: "app", udp: { idle: "300ms" } } },
    upstreams: { app: { servers: address, health: "off", "send-proxy": send, ...more } },
  });

  it("are told by a header in front of every datagram, as PowerDNS, BIND and Unbound expect it", async () => {
    using server = await Datagrams.open();
    const send = { version: "v2", "unique-id": true, crc32c: true };
    await withConfig(config(server.address, send), async (sluice) => {
      const ids = new Set<string>();
      for (let round = 0; round < 3; round++) {
        using client = await Datagrams.open();
        for (const text of ["first", "second", "", "x".repeat(1_472), "x".repeat(1_472), "y"]) {
          client.send(text, sluice.port());
          const { bytes, from } = await server.next();
          const header = bytes.subarray(0, bytes.length - text.length),
            said = read(header, header.length, true);
          strictEqual(bytes.subarray(header.length).toString(), text);
          deepStrictEqual([said.verdict, said.bytes], [Proxy.Found, header.length]);
          strictEqual(said.source, client.address);
          strictEqual(said.destination, `127.0.0.1:${sluice.port()}`);
          ids.add(fieldsOf(said).get(UNIQUE_ID) ?? "");
          server.send("answer", from.port);
          strictEqual((await client.next()).bytes.toString(), "answer");
        }
      }
      strictEqual(ids.size, 3); // one for each session
      for (const { up_bytes: up, down_bytes: down } of await sluice.ended(3)) {
        deepStrictEqual([up, down], [5 + 6 + 2 * 1_472 + 1, 36]); // the header is nobody's
      }
    });
  });

  it("in bursts, too; and what has no room for it is dropped and counted", async () => {
    using server = await Datagrams.open();
    await withConfig(config(server.address, "v2"), async (sluice) => {
      using client = await Datagrams.open();
      const room = 65_507 - 28;
      client.send(new Uint8Array(room + 1), sluice.port());
      client.send(new Uint8Array(room), sluice.port());
      for (let nth = 0; nth < 50; nth++) client.send(`${nth}`, sluice.port());
      strictEqual((await server.next()).bytes.length, 65_507);
      for (const [nth, { bytes }] of (await server.take(50)).entries()) {
        strictEqual(bytes.subarray(28).toString(), `${nth}`);
        strictEqual(read(bytes.subarray(0, 28), 28, true).source, client.address);
      }
      const { totals } = await sluice.status();
      strictEqual(totals.datagrams.dropped.unsent, 1);
      strictEqual((await sluice.ended(1))[0].up_datagrams, 51);
    });
  });

  it("are checked by a datagram that is nobody's", async () => {
    using server = await Datagrams.open();
    const header = Buffer.from(sealed(LOCAL, 0, []));
    server.reply = ({ bytes }) => bytes.equals(Buffer.concat([header, Buffer.from("PING")])) ? ["PONG"] : [];
    const health = { send: "PING", expect: "PONG", interval: "200ms", timeout: "200ms", fall: 1 };
    await withConfig(config(server.address, { version: "v2", crc32c: true }, { health }), async (sluice) => {
      await sluice.line("health", /is up/);
    });
  });
});

describe("health checks", () => {
  const cases: [send: Send, begins: Uint8Array][] = [
    ["v1", Uint8Array.from(latin1("PROXY UNKNOWN\r\n"))],
    ["v2", v2(LOCAL, 0, [])],
    [FULL, sealed(LOCAL, 0, [])],
  ];
  for (const [send, begins] of cases) {
    it(`say that they are nobody's: ${JSON.stringify(send)}`, async () => {
      await using server = await Server.listen(async (peer) => {
        const header = await peer.read(begins.length);
        if (Buffer.compare(header, begins) !== 0) return peer.reset();
        if (await peer.readText(6) === "PING\r\n") await peer.send("+PONG\r\n");
        peer.end();
      });
      await withConfig({
        listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
        upstreams: {
          app: {
            servers: server.address,
            "send-proxy": send,
            health: { send: "PING\\r\\n", expect: "+PONG", interval: "100ms", fall: 1 },
          },
        },
      }, async (sluice) => {
        await sluice.line("health", /is up/);
        while (server.connections < 3) await sluice.status();
        strictEqual(sluice.log("health").filter(({ message }) => message.includes("is down")).length, 0);
        server.stop();
      });
    });
  }
});
