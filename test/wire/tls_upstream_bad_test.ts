// Servers whose TLS is none, or is broken off: what each is called, that the next server is tried, and that health
// checks say the same.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import type { RequestLine } from "../support/http_proxy.ts";
import { Peer } from "../support/peer.ts";
import { ask, before, shows } from "../support/secured_servers.ts";
import { echo, type Serve, Server, silent } from "../support/servers.ts";
import { TlsEnd } from "../support/tls_end.ts";

const world = new Certificates();
after(() => world[Symbol.dispose]());
const root = world.root, site = world.leaf("site.example");
const NAMED = { ca: root.cert, "server-name": "site.example" };
const CLOSE = ["Connection: close"];

describe("handshakes that fail", () => {
  const shaken = "server_tls", alert = "server_alert";
  const says = (text: string | Uint8Array): Serve => async (peer) => {
    await peer.read(1);
    await peer.send(text);
  };
  const cases: [why: string, serve: Serve, reason: string, detail: string | null, status?: number][] = [
    ["plain HTTP", says("HTTP/1.1 400 Bad Request\r\n\r\n"), shaken, "It does not begin as TLS does."],
    [
      "a protocol whose server begins",
      (peer) => peer.send("SSH-2.0-OpenSSH_9.2\r\n"),
      shaken,
      "It does not begin as TLS does.",
    ],
    ["noise", says(Buffer.alloc(2_000, 0xee)), shaken, "It does not begin as TLS does."],
    [
      "a ServerHello of TLS 1.1",
      says(Uint8Array.of(22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, ...new Uint8Array(32), 0, 0x13, 1, 0)),
      shaken,
      "There is no TLS version that both speak: Sluice speaks 1.2 and 1.3.",
    ],
    [
      "an alert that says who is asked",
      says(Uint8Array.of(21, 3, 3, 0, 2, 2, 112)),
      alert,
      "Alert unrecognized_name: it has no such host.",
    ],
    ["its end, at once", (peer) => peer.end(), "server_reset", null],
    [
      "a reset, when it has heard us",
      async (peer) => {
        await peer.read(1);
        peer.reset();
      },
      "server_reset",
      null,
    ],
  ];
  for (const [why, serve, reason, detail, status = 502] of cases) {
    it(`${why}: ${reason}`, async () => {
      await using server = await Server.listen(serve);
      await before("http", [server.address], { tls: NAMED }, async (sluice) => {
        const { status: got, record } = await ask(sluice);
        deepStrictEqual([record.reason, record.detail, got], [reason, detail, status]);
      });
      await before("tcp", [server.address], { tls: NAMED }, async (sluice) => {
        using client = await Peer.connect(sluice.port());
        strictEqual(await client.ending(), "reset");
        const [record] = await sluice.ended(1) as RequestLine[];
        deepStrictEqual([record.reason, record.detail], [reason, detail]);
      });
    });
  }

  it("a server that speaks TLS 1.1 at most, or other ciphers", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
    const weak = ["--version", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA"];
    for (
      const [words, detail] of [[["--version", "1.1"], /protocol_version/], [
        weak,
        /handshake_failure/,
      ]] as const
    ) {
      using end = await TlsEnd.server(origin.port, ...shows(site), ...words);
      await before("http", [end.address], { tls: NAMED }, async (sluice) => {
        const { status, record } = await ask(sluice);
        deepStrictEqual([record.reason, status], [alert, 502]);
        match(record.detail!, detail);
      });
    }
  });

  it("one that never answers is given up at its deadline: 504, and it is not said that it did not accept", async () => {
    await using mute = await Server.listen(silent);
    const upstream = { timeouts: { connect: "300ms" } };
    await before("http", [mute.address], { tls: NAMED, upstream }, async (sluice) => {
      const { status, record } = await ask(sluice);
      deepStrictEqual([record.reason, record.errno, status], ["server_handshake_timeout", null, 504]);
      strictEqual((await sluice.status()).totals.ended.server_handshake_timeout, 1);
    });
    await before("tcp", [mute.address], { tls: NAMED, upstream }, async (sluice) => {
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ending(), "reset");
      strictEqual((await sluice.ended(1))[0].reason, "server_handshake_timeout");
    });
  });

  it("the next server is tried, whatever was wrong with the ones before", async () => {
    await using mute = await Server.listen(silent);
    await using plain = await Server.listen(says("220 mail.example\r\n"));
    await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
    await using back = await Server.listen(echo);
    for (const [kind, port] of [["http", origin.port], ["tcp", back.port]] as const) {
      using expired = await TlsEnd.server(port, ...shows(world.expired("site.example")));
      using good = await TlsEnd.server(port, ...shows(site));
      const servers = [mute, plain, expired, good].map(({ address }) => address);
      const upstream = { timeouts: { connect: "300ms" } };
      await before(kind, servers, { tls: NAMED, upstream }, async (sluice) => {
        if (kind === "http") {
          const { status, record } = await ask(sluice);
          deepStrictEqual([status, record.tried, record.reason], [200, 4, "finished"]);
        } else {
          using client = await Peer.connect(sluice.port());
          strictEqual(await client.ask("hello"), "hello");
          client.end();
          strictEqual((await sluice.ended(1))[0].tried, 4);
        }
        strictEqual((await sluice.status()).totals.redispatches, 3);
      });
    }
  });
});

describe("health checks", () => {
  it("a server with a bad certificate is down, and it is said why; with a good one it is up", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk("", CLOSE));
    using expired = await TlsEnd.server(origin.port, ...shows(world.expired("site.example")));
    using good = await TlsEnd.server(origin.port, ...shows(site));
    using asks = await TlsEnd.server(origin.port, ...shows(site), "--ask", root.cert);
    await using mute = await Server.listen(silent);
    const health = { http: "GET /", interval: "400ms", timeout: "400ms", fall: 1, rise: 1 };
    const all = [expired, good, asks, mute].map(({ address }) => address);
    await before("http", all, { tls: NAMED, upstream: { health } }, async (sluice) => {
      const why = async (address: string) =>
        (await sluice.line("health", new RegExp(`${address} of upstream "app" is down`))).message;
      match(await why(expired.address), /server_certificate_expired.*has expired/);
      match(await why(asks.address), /server_alert.*certificate_required/);
      match(await why(mute.address), /server_handshake_timeout/);
      await sluice.until(
        "the good one to be up",
        ({ upstreams }) => upstreams[0].servers.filter(({ health }) => health === "up").length === 1,
      );
      for (let turn = 0; turn < 4; turn++) {
        const { status, record } = await ask(sluice);
        deepStrictEqual([status, record.server, record.tried], [200, good.address, 1]);
      }
    });
  });
});
