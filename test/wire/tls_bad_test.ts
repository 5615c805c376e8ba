// Bad days of TLS: what is no TLS, what breaks off, what takes its time, and what wants too much. Whoever does
// it is told of with a reason, others are served meanwhile, and nothing is left behind.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import type { RequestLine } from "../support/http_proxy.ts";
import { onWords, PatchedSluice } from "../support/patched.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { residentBytes } from "../support/status.ts";
import { TlsEnd } from "../support/tls_end.ts";
import { within } from "../support/waiting.ts";

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const site = certificates.leaf("site.example");
const pair = ({ chain, key }: Made) => ({ cert: chain, key });
const shown = { certificates: [pair(site)] };

/** A Sluice with TLS before an echo server. */
async function withEcho(
  test: (sluice: Sluice) => Promise<void>,
  { also = {}, kind = "tls", command }: { also?: object; kind?: string; command?: readonly string[] } = {},
): Promise<void> {
  await using server = await Server.listen(echo);
  const config = {
    listeners: { it: { bind: `${kind}://127.0.0.1:0`, to: "app", tls: shown } },
    upstreams: { app: { servers: [server.address], health: "off" } },
    ...also,
  };
  await withConfig(config, test, command === undefined ? {} : { command });
}

const handshake = (time: string): object => ({ defaults: { timeouts: { handshake: time } } });

/** What OpenSSL says first. */
async function hello(): Promise<Buffer> {
  await using server = await Server.listen();
  using end = await TlsEnd.client(server.port, "--name", "site.example");
  using _client = await Peer.connect(end.port);
  using accepted = await server.accept();
  const head = await accepted.read(5);
  return Buffer.concat([head, await accepted.read(head.readUInt16BE(3))]);
}

/** Somebody who behaves is served. */
async function assertServes(end: TlsEnd): Promise<void> {
  using client = await Peer.connect(end.port);
  strictEqual(await client.ask("hello"), "hello");
  client.end();
  strictEqual(await client.ending(), "fin");
}

describe("what is no TLS", () => {
  const cases: [bytes: string | Uint8Array, reason: string, why: string][] = [
    ["GET / HTTP/1.1\r\nHost: site.example\r\n\r\n", "plain_http", "a request"],
    ["SSH-2.0-OpenSSH_9.2\r\n", "not_tls", "another protocol"],
    [new Uint8Array(64), "not_tls", "zeroes"],
    [Uint8Array.of(22, 3, 1, 255, 255, 1), "not_tls", "a record that is too long"],
    [Uint8Array.of(21, 3, 3, 0, 2, 2, 40), "not_tls", "an alert before anything"],
    [Uint8Array.of(23, 3, 3, 0, 4, 1, 2, 3, 4), "not_tls", "data before a handshake"],
    [Uint8Array.of(22, 3, 1, 0, 4, 20, 0, 0, 0), "not_tls", "a handshake that begins at its end"],
  ];
  for (const [bytes, reason, why] of cases) {
    it(`${why}: ${reason}`, () =>
      withEcho(async (sluice) => {
        using client = await Peer.connect(sluice.port());
        await client.send(bytes);
        await client.ending();
        const [record] = await sluice.ended(1);
        strictEqual(record.reason, reason);
        strictEqual((await sluice.status()).totals.ended[reason], 1);
      }));
  }

  it("plain HTTP on https:// is answered, in plain, with 400", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk());
    const config = {
      listeners: { it: { bind: "https://127.0.0.1:0", to: "app", tls: shown } },
      upstreams: { app: { servers: [origin.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      for (const method of ["GET", "POST", "OPTIONS"]) {
        const client = await HttpPeer.connect(sluice.port());
        await client.send(`${method} / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 0\r\n\r\n`);
        const { head } = await client.readAnswer();
        strictEqual(statusOf(head), 400);
        client.end();
        strictEqual(await client.ending(), "fin");
      }
      const records = await sluice.ended(3) as RequestLine[];
      deepStrictEqual(
        records.map(({ reason, status }) => [reason, status]),
        Array(3).fill(["plain_http", 400]),
      );
      strictEqual(origin.requests.length, 0);
    });
  });
});

describe("handshakes that break off", () => {
  it("a hello that is cut at any place, by an end of stream: at once, not at the deadline", async () => {
    const whole = await hello();
    await withEcho(async (sluice) => {
      let count = 0;
      for (let bytes = 0; bytes < whole.length; bytes += bytes < 12 ? 1 : 41) {
        using client = await Peer.connect(sluice.port());
        if (bytes > 0) await client.send(whole.subarray(0, bytes));
        client.end();
        await within(`the end of a hello of ${bytes} bytes`, client.ending(), 3_000);
        const record = (await sluice.ended(++count))[count - 1];
        strictEqual(record.reason, "client_reset", `${bytes} bytes`);
      }
      using client = await Peer.connect(sluice.port());
      await client.send(whole);
      client.end();
      await within("the end of one who says only hello", client.ending(), 3_000);
    }, { also: handshake("60s") });
  });

  it("the end of stream is there before the connection is looked at", async () => {
    const whole = await hello();
    await withEcho(async (sluice) => {
      for (const bytes of [3, 100, whole.length]) {
        const clients = await Promise.all(Array.from({ length: 50 }, async () => {
          const client = await Peer.connect(sluice.port());
          client.socket.end(whole.subarray(0, bytes));
          return client;
        }));
        for (const client of clients) {
          await within(`the end of a hello of ${bytes} bytes`, client.ending(), 3_000);
          client[Symbol.dispose]();
        }
      }
    }, { also: handshake("60s") });
  });

  it("by a reset, at any place", async () => {
    const whole = await hello();
    await withEcho(async (sluice) => {
      for (const bytes of [0, 1, 5, 6, 100, whole.length]) {
        using client = await Peer.connect(sluice.port());
        if (bytes > 0) await client.send(whole.subarray(0, bytes));
        client.reset();
      }
      const records = await sluice.ended(6);
      for (const { reason } of records) strictEqual(reason, "client_reset");
      using end = await TlsEnd.client(sluice.port());
      await assertServes(end);
    }, { also: handshake("60s") });
  });

  it("a thousand that take their time are ended by the deadline, and others are served meanwhile", async () => {
    const half = (await hello()).subarray(0, 60);
    await withEcho(async (sluice) => {
      using end = await TlsEnd.client(sluice.port());
      const slow: Peer[] = [];
      for (let round = 0; round < 10; round++) {
        slow.push(...await Promise.all(Array.from({ length: 100 }, () => Peer.connect(sluice.port()))));
      }
      for (const client of slow) client.socket.write(half);
      await sluice.until("all of them to be there", ({ totals }) => totals.connections.now >= 1_000);
      const before = performance.now();
      for (let turn = 0; turn < 10; turn++) await assertServes(end);
      ok(performance.now() - before < 3_000, `ten clients took ${performance.now() - before} ms`);
      for (const client of slow) strictEqual(await client.ending(), "reset");
      const { totals } = await sluice.status();
      strictEqual(totals.ended.handshake_timeout, 1_000);
    }, { also: { reactors: 2, ...handshake("4s") } });
  });
});

describe("ends that are none", () => {
  /** A Sluice for plain HTTP whose server speaks TLS, and cuts it off without a close_notify. */
  async function withCutting(
    answer: string,
    test: (sluice: Sluice) => Promise<void>,
    ...words: string[]
  ): Promise<void> {
    await using server = await Server.listen(async (peer) => {
      const connection = new HttpPeer(peer);
      await connection.readRequest();
      await connection.send(answer);
      connection.end();
    });
    using end = await TlsEnd.server(server.port, "--cert", site.chain, "--key", site.key, ...words);
    const tls = { ca: certificates.root.cert, "server-name": "site.example" };
    const config = {
      listeners: { it: { bind: "http://127.0.0.1:0", to: "app" } },
      upstreams: { app: { servers: [`https://${end.address}`], tls, health: "off" } },
    };
    await withConfig(config, test);
  }

  const GET = "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n";
  const untilClose = `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${"x".repeat(5_000)}`;

  it("a body until the end of stream, cut off: its client must not take it for whole", () =>
    withCutting(untilClose, async (sluice) => {
      using peer = await Peer.connect(sluice.port());
      await peer.send(GET);
      strictEqual(await peer.ending(), "reset");
      strictEqual((await sluice.ended(1))[0].reason, "answer_cut");
    }, "--cut"));

  it("the same with its close_notify is whole", () =>
    withCutting(untilClose, async (sluice) => {
      using peer = await Peer.connect(sluice.port());
      await peer.send(GET);
      ok((await peer.readAll()).toString().endsWith("x".repeat(5_000)));
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    }));

  it("a body of known length needs no close_notify", () =>
    withCutting(answerOk("hello"), async (sluice) => {
      const client = await HttpPeer.connect(sluice.port());
      strictEqual((await client.ask(GET)).body.toString(), "hello");
      client.end();
      await client.ending();
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    }, "--cut"));

  it("through tls:// an end of TCP alone is an end as well, for the other side's protocol to judge", () =>
    withEcho(async (sluice) => {
      using end = await TlsEnd.client(sluice.port(), "--cut");
      using client = await Peer.connect(end.port);
      strictEqual(await client.ask("hello"), "hello");
      client.end();
      strictEqual(await client.ending(), "fin");
      strictEqual((await sluice.ended(1))[0].reason, "finished");
    }));

  it("a reset within a session is one on the other side", async () => {
    await using server = await Server.listen();
    const config = {
      listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls: shown } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      using end = await TlsEnd.client(sluice.port());
      for (const leaver of ["client", "server"]) {
        using client = await Peer.connect(end.port);
        using accepted = await server.accept();
        await client.send("!");
        strictEqual(await accepted.readText(1), "!");
        const [from, to] = leaver === "client" ? [client, accepted] : [accepted, client];
        from.reset();
        strictEqual(await to.ending(), "reset");
      }
      deepStrictEqual((await sluice.ended(2)).map(({ reason }) => reason), ["client_reset", "server_reset"]);
    });
  });

  it("what is no record of the session ends it", () =>
    withEcho(async (sluice) => {
      const fars: Peer[] = [];
      await using tap = await Server.listen(async (near) => {
        const far = await Peer.connect(sluice.port());
        fars.push(far);
        near.socket.pipe(far.socket).pipe(near.socket);
        await far.ending();
      });
      using end = await TlsEnd.client(tap.port);
      const cases = [Uint8Array.of(23, 3, 3, 0, 32, ...new Uint8Array(32)), Uint8Array.of(99, 3, 3, 0, 1, 0)];
      for (const [number, bytes] of cases.entries()) {
        using client = await Peer.connect(end.port);
        strictEqual(await client.ask("hello"), "hello");
        await fars[number].send(bytes);
        await client.ending();
        const record = (await sluice.ended(number + 1))[number];
        deepStrictEqual([record.reason, record.errno], ["client_reset", "EPROTO"]);
      }
    }));
});

describe("who wants too much", () => {
  it("TLS 1.3: who only ever changes keys is left", () =>
    withEcho(async (sluice) => {
      using flood = await TlsEnd.client(sluice.port(), "--version", "1.3", "--flood", "200000");
      using end = await TlsEnd.client(sluice.port());
      const floods = await Promise.all(Array.from({ length: 4 }, () => Peer.connect(flood.port)));
      await assertServes(end);
      for (const client of floods) strictEqual(await client.ending(), "reset");
      await assertServes(end);
      const reasons = (await sluice.ended(6)).map(({ reason, errno }) => `${reason} ${errno}`);
      strictEqual(reasons.filter((reason) => reason === "client_reset EPROTO").length, 4);
    }));

  it("TLS 1.3: keys changed now and then are nobody's trouble", () =>
    withEcho(async (sluice) => {
      using end = await TlsEnd.client(sluice.port(), "--version", "1.3", "--flood", "900");
      using client = await Peer.connect(end.port);
      for (let turn = 0; turn < 3; turn++) strictEqual(await client.ask("hello"), "hello");
      client.end();
      strictEqual(await client.ending(), "fin");
    }));

  it("TLS 1.2: no renegotiation, whoever asks", () =>
    withEcho(async (sluice) => {
      using end = await TlsEnd.client(sluice.port(), "--version", "1.2", "--renegotiate", "3");
      using client = await Peer.connect(end.port);
      const [{ version }] = await end.handshakes(1);
      strictEqual(version, "TLSv1.2");
      await client.ending();
      client.reset();
      await sluice.ended(1);
      using other = await TlsEnd.client(sluice.port());
      await assertServes(other);
    }));
});

/** A client that says `die!` ends its reactor. */
const faults = onWords({ "die!": 'throw new TableError("a planted death");' });

describe("leaving", () => {
  it("a reactor that dies with sessions open: they are lost, its replacement serves, sessions resume there", async () => {
    using patched = new PatchedSluice(faults);
    await withEcho(async (sluice) => {
      using end = await TlsEnd.client(sluice.port(), "--resume");
      for (let death = 1; death <= 3; death++) {
        const clients = await Promise.all(Array.from({ length: 30 }, () => Peer.connect(end.port)));
        for (const client of clients) strictEqual(await client.ask("hello"), "hello");
        await clients[0].send("die!");
        for (const client of clients) strictEqual(await client.ending(), "reset");
        await sluice.until(
          "the replacement to live",
          ({ totals, reactors }) => totals.reactor_deaths === death && reactors.every(({ alive }) => alive),
        );
        await assertServes(end);
      }
      const handshakes = await end.handshakes(93);
      strictEqual(handshakes.at(-1)!.resumed, "1");
      strictEqual((await sluice.status()).totals.ended.reactor_died, 90);
    }, { command: patched.command("executable") });
  });

  it("a reactor that dies with TLS that it passes on: it is told whose, and its replacement serves", async () => {
    using patched = new PatchedSluice(faults);
    const first = await hello();
    await using server = await Server.listen(echo);
    const config = {
      listeners: { it: { bind: "tcp://127.0.0.1:0", sni: { "site.example": "app" } } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    };
    await withConfig(config, async (sluice) => {
      using client = await Peer.connect(sluice.port());
      await client.send(first);
      await client.read(first.length);
      await client.send("die!");
      strictEqual(await client.ending(), "reset");
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "reactor_died");
      match(JSON.stringify(record), /"client":"127\.0\.0\.1/);
      using next = await Peer.connect(sluice.port());
      await next.send(first);
      await next.read(first.length);
    }, { command: patched.command("executable") });
  });

  it("two thousand handshakes leave no memory behind", () =>
    withEcho(async (sluice) => {
      using end = await TlsEnd.client(sluice.port());
      const many = async (count: number) => {
        for (let left = count; left > 0; left -= 50) {
          await Promise.all(Array.from({ length: 50 }, () => assertServes(end)));
        }
      };
      await many(1_000);
      const before = residentBytes(sluice.pid);
      await many(2_000);
      const grown = residentBytes(sluice.pid) - before;
      ok(grown < 6 << 20, `grown by ${grown} bytes`);
    }));

  it("stops while handshakes and sessions are under way", async () => {
    const half = (await hello()).subarray(0, 60);
    await using server = await Server.listen(echo);
    const config = {
      listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls: shown } },
      upstreams: { app: { servers: [server.address], health: "off" } },
      "drain-timeout": "1s",
    };
    await withConfig(config, async (sluice) => {
      using end = await TlsEnd.client(sluice.port());
      const clients = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(end.port)));
      for (const client of clients) strictEqual(await client.ask("hello"), "hello");
      const slow = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(sluice.port())));
      for (const client of slow) client.socket.write(half);
      await sluice.until("all of them", ({ totals }) => totals.connections.now === 40);
      sluice.signal("SIGTERM");
      strictEqual(await sluice.exit(), 0);
      match(sluice.stderr, /"reason":"drained"/);
    }).catch((error: Error) => {
      // finish() finds it gone, which is what this is about.
      if (!/ECONNREFUSED|Unable to connect|ConnectionRefused/.test(`${error.message} ${error.cause}`)) {
        throw error;
      }
    });
  });
});
