// TLS to servers: whom Sluice takes for one, what it says why it does not, what it shows of itself, and that
// nothing that works without TLS works less with it. The servers' TLS is OpenSSL's (tls_end).
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { type AnswerTo, HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import type { RequestLine } from "../support/http_proxy.ts";
import { Peer } from "../support/peer.ts";
import { ask, before, get, shows } from "../support/secured_servers.ts";
import { echo, Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { TlsEnd } from "../support/tls_end.ts";

const world = new Certificates(), abroad = new Certificates();
after(() => {
  world[Symbol.dispose]();
  abroad[Symbol.dispose]();
});
const root = world.root, site = world.leaf("site.example");
const NAMED = { ca: root.cert, "server-name": "site.example" };

/** As `pins` has it. */
function pinOf({ cert }: Made): string {
  const spki = new X509Certificate(readFileSync(cert)).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("base64");
}

const CLOSE = ["Connection: close"];

describe("whom it takes for its server", () => {
  const other = abroad.root, wide = world.leaf("127.0.0.1", "::1", "site.example");
  const inner = world.make({ names: ["site.example", "inner"], by: world.intermediate });
  const self = world.make({ names: ["site.example", "self"], by: "itself" });
  const revoked = world.leaf("site.example", "revoked"), crl = world.revoked(root, [revoked]);
  const upper = world.make({ names: ["Test Upper"], isAuthority: true, isNameless: true });
  const below = world.make({ names: ["site.example", "below"], by: upper });
  const lists = world.at("lists.crl");
  const both = [world.revoked(upper, []), world.revoked(root, [upper])];
  writeFileSync(lists, both.map((list) => readFileSync(list, "utf8")).join(""));
  const DAY_MS = 86_400_000;
  const stale = world.revoked(root, [], {
    from: new Date(Date.now() - 2 * DAY_MS),
    until: new Date(Date.now() - DAY_MS),
  });
  const AUTHORITY = "server_certificate_authority", EXPIRED = "server_certificate_expired";

  const cases: [why: string, shown: Made, tls: object, reason: string, detail?: RegExp][] = [
    ["its authority is given", site, NAMED, "finished"],
    ["the one between is sent along", inner, NAMED, "finished"],
    ["its address is in the certificate", wide, { ca: root.cert }, "finished"],
    ["one of several names", wide, NAMED, "finished"],
    ["expired", world.expired("site.example"), NAMED, EXPIRED, /has expired/],
    ["not yet valid", world.notYetValid("site.example"), NAMED, EXPIRED, /not valid yet/],
    [
      "another name",
      site,
      { ...NAMED, "server-name": "shop.example" },
      "server_certificate_name",
      /another name/,
    ],
    [
      "another address",
      world.leaf("127.0.0.2"),
      { ca: root.cert },
      "server_certificate_name",
      /another name/,
    ],
    ["an address is no name", site, { ca: root.cert }, "server_certificate_name", /another name/],
    ["unknown authority", abroad.leaf("site.example"), NAMED, AUTHORITY, /signed by nobody who is trusted/],
    ["self-signed", self, NAMED, AUTHORITY, /self-signed/],
    ["self-signed, and given", self, { ...NAMED, ca: self.cert }, "finished"],
    ["a client's", world.client("site.example"), NAMED, "server_certificate", /not for this purpose/],
    ["revoked", revoked, { ...NAMED, crl }, "server_certificate", /is revoked/],
    ["not revoked", site, { ...NAMED, crl }, "finished"],
    ["the list has expired", site, { ...NAMED, crl: stale }, EXPIRED, /revocation list has expired/],
    ["who signed it is revoked", below, { ...NAMED, crl: lists }, "server_certificate", /is revoked/],
    [
      "no list of who signed it",
      inner,
      { ...NAMED, crl },
      "server_certificate",
      /no revocation list of one of the authorities/,
    ],
    ["its key is pinned", site, { ...NAMED, pins: [pinOf(self), pinOf(site)] }, "finished"],
    ["its authority's key is pinned", inner, { ...NAMED, pins: [pinOf(root)] }, "finished"],
    ["the key of the one between is", inner, { ...NAMED, pins: [pinOf(world.intermediate)] }, "finished"],
    ["another key is pinned", site, { ...NAMED, pins: [pinOf(self)] }, "server_certificate", /pinned/],
    ["pinned, but for another name", site, { ca: root.cert, pins: [pinOf(site)] }, "server_certificate_name"],
    ["nobody looks", self, { verify: "off" }, "finished"],
    ["nobody looks but at its key", self, { verify: "off", pins: [pinOf(self)] }, "finished"],
    [
      "nobody looks but at its key, which is another",
      self,
      { verify: "off", pins: [pinOf(site)] },
      "server_certificate",
      /pinned/,
    ],
    // Nobody has verified that one leads to the other: anybody may send a certificate of somebody else's.
    [
      "its authority's key counts for nothing where nobody looks",
      inner,
      { verify: "off", pins: [pinOf(world.intermediate)] },
      "server_certificate",
      /pinned/,
    ],
    [
      "its signature is nobody's",
      world.forged(site),
      NAMED,
      "server_certificate",
      /certificate's signature is wrong/,
    ],
    ["another authority with the same name", site, { ...NAMED, ca: other.cert }, AUTHORITY],
  ];

  for (const version of ["1.2", "1.3"]) {
    it(`TLS ${version}`, async () => {
      await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
      await using ends = new AsyncDisposableStack();
      const ports = new Map<Made, TlsEnd>();
      for (const [, shown] of cases) {
        if (ports.has(shown)) continue;
        const end = await TlsEnd.server(origin.port, ...shows(shown), "--version", version);
        ports.set(shown, ends.use(end));
      }
      const upstreams = cases.map(([, shown, tls], row) =>
        [`u${row}`, { servers: [`https://${ports.get(shown)!.address}`], tls, health: "off" }] as const
      );
      const routes = cases.map((_, row) => ({ match: { path: `/${row}` }, to: `u${row}` }));
      const config = {
        listeners: { it: { bind: "http://127.0.0.1:0", routes } },
        upstreams: Object.fromEntries(upstreams),
      };
      await withConfig(config, async (sluice) => {
        for (const [row, [why, , , reason, detail]] of cases.entries()) {
          // Twice: what was refused must not be let in by a session that was kept.
          for (let turn = 0; turn < 2; turn++) {
            const { status, record } = await ask(sluice, get(`/${row}`));
            deepStrictEqual([record.reason, status], [reason, reason === "finished" ? 200 : 502], why);
            match(record.detail ?? "", detail ?? /^/, why);
          }
        }
        match(
          sluice.log("config").map(({ message }) => message).join("\n"),
          /verify.*whoever answers is taken for the server/,
        );
      });
    });
  }

  it("the system's authorities, if no others are given", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
    using end = await TlsEnd.server(origin.port, ...shows(site));
    const tls = { "server-name": "site.example" };
    await before("http", [end.address], { tls, env: { SSL_CERT_FILE: root.cert } }, async (sluice) => {
      strictEqual((await ask(sluice)).status, 200);
    });
    await before("http", [end.address], { tls, env: { SSL_CERT_FILE: "" } }, async (sluice) => {
      strictEqual((await ask(sluice)).record.reason, "server_certificate_authority");
    });
  });

  it("a server's name is asked for, an address is not (RFC 6066)", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
    using end = await TlsEnd.server(origin.port, ...shows(world.leaf("localhost", "127.0.0.1")));
    for (
      const [server, name] of [["localhost", "localhost"], ["127.0.0.1", "-"]] as const
    ) {
      const known = (await end.handshakes(0)).length;
      await before("http", [`${server}:${end.port}`], { tls: { ca: root.cert } }, async (sluice) => {
        strictEqual((await ask(sluice)).status, 200);
        strictEqual((await end.handshakes(known + 1))[known].name, name);
      });
    }
  });
});

describe("what it shows of itself", () => {
  const own = world.client("sluice");
  const asks = [...shows(site), "--ask", root.cert];
  const showing = ({ chain, key }: Made) => ({ ...NAMED, cert: chain, key });

  for (const version of ["1.2", "1.3"]) {
    it(`TLS ${version}: its certificate, to who asks; an alert says that there is none, or another is wanted`, async () => {
      await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
      using end = await TlsEnd.server(origin.port, ...asks, "--version", version);
      await before("http", [end.address], { tls: showing(own) }, async (sluice) => {
        strictEqual((await ask(sluice)).status, 200);
        strictEqual((await end.handshakes(1))[0].peer, "sluice");
      });
      const detail = version === "1.3"
        ? /certificate_required/
        : /handshake_failure.*wants a client certificate/;
      for (
        const [tls, why] of [
          [NAMED, detail],
          [showing(abroad.client("sluice")), /unknown_ca/],
          [
            showing(world.make({ names: ["late"], use: "client", isNameless: true, until: new Date() })),
            /expired/,
          ],
        ] as const
      ) {
        await before("http", [end.address], { tls }, async (sluice) => {
          for (
            const request of [get(), "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\n\r\nabc"]
          ) {
            const { status, record } = await ask(sluice, request);
            deepStrictEqual([record.reason, status], ["server_alert", 502]);
            match(record.detail!, why);
          }
        });
        await before("tcp", [end.address], { tls }, async (sluice) => {
          using client = await Peer.connect(sluice.port());
          strictEqual(await client.ending(), "reset");
          const [record] = await sluice.ended(1) as RequestLine[];
          strictEqual(record.reason, "server_alert");
          match(record.detail!, why);
        });
      }
    });
  }

  it("http/1.1, to who speaks HTTP; to others no protocol at all (ALPN)", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
    await using back = await Server.listen(echo);
    for (
      const [kind, port, protocol] of [["http", origin.port, "http/1.1"], ["tcp", back.port, "-"]] as const
    ) {
      using end = await TlsEnd.server(port, ...shows(site), "--alpn", "http/1.1");
      await before(kind, [end.address], { tls: NAMED }, async (sluice) => {
        if (kind === "http") strictEqual((await ask(sluice)).status, 200);
        else {
          using client = await Peer.connect(sluice.port());
          strictEqual(await client.ask("hello"), "hello");
          client.end();
          await client.ending();
        }
        strictEqual((await end.handshakes(1))[0].protocol, protocol);
      });
    }
  });
});

describe("sessions", () => {
  for (const version of ["1.2", "1.3"]) {
    it(`TLS ${version}: resumed when it comes again, each server its own`, async () => {
      await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
      using one = await TlsEnd.server(origin.port, ...shows(site), "--version", version);
      using two = await TlsEnd.server(origin.port, ...shows(site), "--version", version);
      await before("http", [one.address, two.address], { tls: NAMED }, async (sluice) => {
        for (let turn = 0; turn < 8; turn++) strictEqual((await ask(sluice)).status, 200);
        for (const end of [one, two]) {
          strictEqual((await end.handshakes(4)).map(({ resumed }) => resumed).join(""), "0111");
        }
      });
    });
  }

  it("of a server that was replaced they are worth nothing, and cost nothing but the time", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
    const first = await TlsEnd.server(origin.port, ...shows(site));
    await before("http", [first.address], { tls: NAMED }, async (sluice) => {
      strictEqual((await ask(sluice)).status, 200);
      first[Symbol.dispose]();
      using second = await TlsEnd.server(origin.port, ...shows(site), "--listen", String(first.port));
      strictEqual((await ask(sluice)).status, 200);
      strictEqual((await second.handshakes(1))[0].resumed, "0");
    });
  });

  it("a ticket that comes to an idle connection leaves it as it is", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk());
    using end = await TlsEnd.server(origin.port, ...shows(site), "--late", "3");
    await before("http", [end.address], { tls: NAMED }, async (sluice) => {
      strictEqual((await ask(sluice)).status, 200);
      await end.handshakes(4); // one, and three late tickets
      const { record } = await ask(sluice);
      deepStrictEqual([record.reason, record.reused, origin.connections], ["finished", true, 1]);
      await origin[Symbol.asyncDispose]();
    });
  });
});

describe("what goes through", () => {
  it("tcp:// to tls://: much both ways, and half-close from either side", async () => {
    await using back = await Server.listen();
    using end = await TlsEnd.server(back.port, ...shows(site), "--pieces", "5");
    await before("tcp", [end.address], { tls: NAMED }, async (sluice) => {
      for (const first of ["client", "server"]) {
        using client = await Peer.connect(sluice.port());
        using accepted = await back.accept();
        const [one, other] = first === "client" ? [client, accepted] : [accepted, client];
        const bytes = 3 << 20;
        const [, said] = await Promise.all([sendStream(one, bytes).then(() => one.end()), readStream(other)]);
        strictEqual(said, bytes);
        const [, heard] = await Promise.all([
          sendStream(other, bytes).then(() => other.end()),
          readStream(one),
        ]);
        strictEqual(heard, bytes);
      }
      deepStrictEqual((await sluice.ended(2)).map(({ reason }) => reason), ["finished", "finished"]);
    });
  });

  it("WebSocket to https://", async () => {
    const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    const answer: AnswerTo = async (_, connection) => {
      await connection.send(`${upgraded}first`);
      echo(connection.peer);
      await connection.ending();
    };
    await using origin = await HttpOrigin.listen(answer);
    using end = await TlsEnd.server(origin.port, ...shows(site), "--pieces", "7");
    await before("http", [end.address], { tls: NAMED }, async (sluice) => {
      const client = await HttpPeer.connect(sluice.port());
      const fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
      await client.send(`GET /chat HTTP/1.1\r\nHost: shop.example\r\n${fields}early`);
      strictEqual(statusOf(await client.readHead()), 101);
      strictEqual(await client.readText(10), "firstearly");
      for (const text of ["hello", "x".repeat(100_000), "bye"]) {
        await client.send(text);
        strictEqual(await client.readText(text.length), text);
      }
      client.end();
      strictEqual(await client.ending(), "fin");
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    });
  });

  it("an answer that comes before the whole request, from a server that reads no further", async () => {
    await using server = await Server.listen(async (peer) => {
      const connection = new HttpPeer(peer);
      await connection.readHead();
      await connection.send(answerOk("too much", CLOSE).replace("200 OK", "413 Content Too Large"));
      connection.end();
    });
    using end = await TlsEnd.server(server.port, ...shows(site));
    await before("http", [end.address], { tls: NAMED }, async (sluice) => {
      const client = await HttpPeer.connect(sluice.port());
      await client.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 50000000\r\n\r\n");
      client.peer.socket.write(Buffer.alloc(8 << 20));
      const { head, body } = await client.readAnswer();
      deepStrictEqual([statusOf(head), body.toString()], [413, "too much"]);
      client.reset();
    });
  });
});
