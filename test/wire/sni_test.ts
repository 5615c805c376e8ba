// One port for many names: TLS that is passed on as it came, to whom its hello names, and TLS that ends here beside
// it. Hellos are made by hand where it matters how they come; else they are OpenSSL's.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { HELLO_BYTES_MAX, HELLO_RECORDS_MAX } from "../../src/base/limits.ts";
import {
  alpn,
  bytes8,
  encryptedHello,
  extension,
  helloOf,
  join,
  keyShare,
  latin1,
  record,
  records,
  serverName,
  versions,
} from "../proto/hello_fixture.ts";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import type { AccessLine, Sluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { sClient } from "../support/s_client.ts";
import { echo, type Serve, Server } from "../support/servers.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { TlsEnd } from "../support/tls_end.ts";

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const { root } = certificates;

/** A server that says which it is, and then whatever it hears. */
const named = (letter: string): Serve => async (peer) => {
  await peer.send(letter);
  echo(peer);
};

/** A: a.example, B: what is below b.example, D: what is below deep.b.example, X: x.b.example, F: all others. */
const SNI = {
  "a.example": "A",
  "*.b.example": "B",
  "*.deep.b.example": "D",
  "x.b.example": "X",
  default: "F",
};
const LETTERS = ["A", "B", "D", "X", "F"] as const;
const servers = new Map<string, Server>();
before(async () => {
  for (const letter of LETTERS) servers.set(letter, await Server.listen(named(letter)));
});
after(async () => {
  for (const server of servers.values()) await server.kill();
});
const connections = (): number => [...servers.values()].reduce((sum, server) => sum + server.connections, 0);

/** A Sluice that passes on by name. */
async function withNames(test: (sluice: Sluice) => Promise<void>, sni: object = SNI, also: object = {}) {
  const used = JSON.stringify(sni);
  const upstreams = [...servers].filter(([letter]) => used.includes(`"${letter}"`))
    .map(([letter, { address }]) => [letter, { servers: [address], health: "off" }]);
  const config = {
    listeners: { it: { bind: "tcp://127.0.0.1:0", sni } },
    upstreams: Object.fromEntries(upstreams),
    ...also,
  };
  await withConfig(config, test);
}

const handshake = (time: string): object => ({ defaults: { timeouts: { handshake: time } } });

type Told = AccessLine & { readonly sni?: string | null };

const named13 = (name: string): Uint8Array =>
  helloOf(serverName(name), versions(0x0304, 0x0303), keyShare(0x001d, 32), alpn("h2", "http/1.1"));

/** Sends bytes in these parts; what comes back must be a letter and the same bytes. @returns the letter */
async function passedTo(sluice: Sluice, parts: Iterable<Uint8Array>, extra = "and more"): Promise<string> {
  using client = await Peer.connect(sluice.port());
  const all = join(...parts);
  for (const part of parts) {
    await client.send(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const letter = await client.readText(1);
  deepStrictEqual(await client.read(all.length), Buffer.from(all));
  strictEqual(await client.ask(extra), extra);
  client.end();
  strictEqual(await client.ending(), "fin");
  return letter;
}

function* inParts(bytes: Uint8Array, size: number): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe("by name", () => {
  const cases: [name: string, letter: string, why: string][] = [
    ["a.example", "A", "its own"],
    ["A.ExAmPlE", "A", "names have no case"],
    ["a.example.", "A", "the root's dot"],
    ["y.b.example", "B", "a wildcard"],
    ["y.z.b.example", "B", "a wildcard is for any depth"],
    ["x.b.example", "X", "its own before the wildcard"],
    ["y.x.b.example", "B", "what is below a name is not that name"],
    ["y.deep.b.example", "D", "the longest wildcard"],
    ["deep.b.example", "B", "a wildcard is for what is below it"],
    ["b.example", "F", "nor for itself"],
    ["other.example", "F", "nobody's"],
  ];
  it("its own, the longest wildcard, else the default; the log tells the name", () =>
    withNames(async (sluice) => {
      for (const [name, letter, why] of cases) {
        strictEqual(await passedTo(sluice, [records(named13(name))]), letter, why);
      }
      strictEqual(await passedTo(sluice, [records(helloOf(versions(0x0304)))]), "F", "no name");
      const lines: Told[] = await sluice.ended(cases.length + 1);
      deepStrictEqual(
        lines.map(({ sni, upstream, reason }) => [sni ?? null, upstream, reason]),
        [
          ...cases.map(([name, letter]) => [name.toLowerCase().replace(/\.$/, ""), letter, "finished"]),
          [null, "F", "finished"],
        ],
      );
    }));

  it("without a default nobody else is let in, and is told why", () =>
    withNames(async (sluice) => {
      const before = connections();
      for (const bytes of [named13("other.example"), named13("b.example"), helloOf(versions(0x0304))]) {
        using client = await Peer.connect(sluice.port());
        await client.send(records(bytes));
        strictEqual(await client.ending(), "reset");
      }
      const lines: Told[] = await sluice.ended(3);
      deepStrictEqual(
        lines.map(({ sni, reason, upstream, tried }) => [sni ?? null, reason, upstream, tried]),
        [
          ["other.example", "no_route", null, 0],
          ["b.example", "no_route", null, 0],
          [null, "no_route", null, 0],
        ],
      );
      strictEqual(connections(), before);
      strictEqual(await passedTo(sluice, [records(named13("a.example"))]), "A");
    }, { "a.example": "A", "*.b.example": "B" }));
});

describe("by protocol", () => {
  const hello = (name: string, ...protocols: string[]): Uint8Array =>
    records(
      helloOf(serverName(name), versions(0x0304), ...(protocols.length > 0 ? [alpn(...protocols)] : [])),
    );
  const cases: [bytes: Uint8Array, letter: string, why: string][] = [
    [hello("a.example", "http/1.1"), "A", "the name's, for who offers none of these"],
    [hello("a.example"), "A", "who offers nothing"],
    [hello("a.example", "h2"), "B", "one of them"],
    [hello("a.example", "http/1.1", "imap"), "D", "wherever it stands"],
    [hello("a.example", "imap", "h2"), "B", "of two the configuration's first, not the client's"],
    [hello("a.example", "h2c", "H2", "xh2"), "A", "what is nearly one of them"],
    [hello("a.example", "x".repeat(255), "\x02h2", "h2"), "B", "behind others of all lengths"],
    [hello("other.example", "h2"), "F", "what is said for one name is for that name"],
  ];
  const sni = {
    "a.example": { alpn: { h2: "B", imap: "D" }, to: "A" },
    "x.b.example": { alpn: { h2: "X" } },
  };

  it("what is offered goes where that is spoken", () =>
    withNames(async (sluice) => {
      for (const [bytes, letter, why] of cases) {
        strictEqual(await passedTo(sluice, [...inParts(bytes, 50)]), letter, why);
      }
      strictEqual(await passedTo(sluice, [hello("x.b.example", "h2")]), "X");
      const { length } = await sluice.ended(cases.length + 1);
      using client = await Peer.connect(sluice.port());
      await client.send(hello("x.b.example", "imap"));
      strictEqual(await client.ending(), "reset");
      const { reason, sni }: Told = (await sluice.ended(length + 1))[length];
      deepStrictEqual([reason, sni], ["no_route", "x.b.example"], "the default is for other names");
    }, { ...sni, default: "F" }));
});

/** What browsers send: GREASE, keys of X25519MLKEM768 and X25519. */
const POST_QUANTUM = helloOf(
  extension(0x3a3a),
  serverName("a.example"),
  versions(0x2a2a, 0x0304, 0x0303),
  alpn("h2", "http/1.1"),
  keyShare(0x11ec, 1_216),
  keyShare(0x001d, 32),
  encryptedHello(new Uint8Array(240)),
  extension(0x5a5a, bytes8(0)),
);
const padded = (name: string, bytes: number): Uint8Array => {
  const bare = helloOf(serverName(name), extension(21)).length;
  return helloOf(serverName(name), extension(21, new Uint8Array(bytes - bare)));
};

describe("however a hello comes", () => {
  const small = named13("y.b.example"), longest = padded("y.b.example", HELLO_BYTES_MAX);
  const cuts = (message: Uint8Array, every: number): number[] =>
    Array.from({ length: Math.ceil(message.length / every) - 1 }, (_, at) => (at + 1) * every);
  const cases: [parts: Iterable<Uint8Array>, letter: string, why: string][] = [
    [[...inParts(records(small), 1)], "B", "byte by byte"],
    [[records(small, cuts(small, 1))], "B", "a record for each byte"],
    [[...inParts(records(small, cuts(small, 1)), 6)], "B", "a record for each byte, one by one"],
    [[...inParts(records(small, cuts(small, 7)), 5)], "B", "records and segments that end nowhere together"],
    [[records(POST_QUANTUM)], "A", "post-quantum keys and GREASE"],
    [[...inParts(records(POST_QUANTUM), 1_388)], "A", "in two segments, as the network has them"],
    [[...inParts(records(POST_QUANTUM, [300, 301]), 1)], "A", "byte by byte, in three records"],
    [[...inParts(records(longest), 1_000)], "B", "as large as may be"],
    [[records(longest, cuts(longest, 33))], "B", "the same in nearly as many records as may be"],
    [[join(records(small), record(latin1("early data"), 23))], "B", "with early data behind it"],
    [
      [records(helloOf(serverName("x.b.example"), encryptedHello(named13("a.example"))))],
      "X",
      "the outer name",
    ],
    [[records(helloOf(encryptedHello(serverName("a.example"))))], "F", "sealed without an outer name"],
  ];
  it("it is passed on as it came, to the byte", () =>
    withNames(async (sluice) => {
      ok(records(POST_QUANTUM).length > 1_400 && Math.ceil(longest.length / 33) <= HELLO_RECORDS_MAX);
      for (const [parts, letter, why] of cases) strictEqual(await passedTo(sluice, parts), letter, why);
      strictEqual((await sluice.ended(cases.length)).every(({ reason }) => reason === "finished"), true);
    }));

  it("cut in two at any place", () =>
    withNames(async (sluice) => {
      const bytes = records(small, [40]);
      for (let cut = 1; cut < bytes.length; cut += 3) {
        strictEqual(
          await passedTo(sluice, [bytes.subarray(0, cut), bytes.subarray(cut)]),
          "B",
          `cut at ${cut}`,
        );
      }
    }));

  it("five hundred at once, a few bytes a time", () =>
    withNames(
      async (sluice) => {
        const bytes = records(small);
        const clients = await Promise.all(
          Array.from({ length: 500 }, () => Peer.connect(sluice.port())),
        );
        for (const part of inParts(bytes, 20)) await Promise.all(clients.map((client) => client.send(part)));
        for (const client of clients) {
          strictEqual(await client.readText(1), "B");
          deepStrictEqual(await client.read(bytes.length), Buffer.from(bytes));
          client[Symbol.dispose]();
        }
        await sluice.ended(500);
      },
      SNI,
      { reactors: 2 },
    ));
});

describe("what is no hello", () => {
  const twice = helloOf(serverName("a.example"), serverName("x.b.example"));
  const cases: [bytes: Uint8Array, reason: string, why: string][] = [
    [records(padded("a.example", HELLO_BYTES_MAX + 1)), "handshake_failed", "too large"],
    [
      records(padded("a.example", 1_000), Array.from({ length: HELLO_RECORDS_MAX }, (_, at) => at + 1)),
      "handshake_failed",
      "too many records",
    ],
    [records(twice), "handshake_failed", "two names"],
    [records(helloOf(serverName("10.0.0.1"))), "handshake_failed", "an address for a name"],
    [record(latin1("\x02\x00\x00\x04abcd")), "handshake_failed", "a server's hello"],
    [new Uint8Array(600).fill(0xa5), "not_tls", "garbage"],
    [latin1("SSH-2.0-OpenSSH_9.2\r\n"), "not_tls", "another protocol"],
    [record(latin1("data"), 23), "not_tls", "a record of data"],
    [latin1("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), "plain_http", "a request"],
  ];
  it("goes to nobody, and is told why", () =>
    withNames(async (sluice) => {
      const before = connections();
      for (const [number, [bytes, reason, why]] of cases.entries()) {
        using client = await Peer.connect(sluice.port());
        client.socket.write(bytes);
        await client.ending();
        const line: Told = (await sluice.ended(number + 1))[number];
        deepStrictEqual([line.reason, line.upstream, line.sni ?? null], [reason, null, null], why);
      }
      strictEqual(connections(), before);
      strictEqual(await passedTo(sluice, [records(named13("a.example"))]), "A");
    }));

  it("whoever leaves in the midst of it is let go at once", () =>
    withNames(
      async (sluice) => {
        const whole = records(named13("a.example"));
        let count = 0;
        for (const bytes of [0, 1, 5, 9, 60, whole.length - 1]) {
          for (const how of ["end", "reset"] as const) {
            using client = await Peer.connect(sluice.port());
            if (bytes > 0) await client.send(whole.subarray(0, bytes));
            client[how]();
            const { reason } = (await sluice.ended(++count))[count - 1];
            ok(reason === "client_gone" || reason === "client_reset", `${bytes} bytes, ${how}: ${reason}`);
          }
        }
      },
      SNI,
      handshake("60s"),
    ));

  it("half of one and then silence, nothing at all, or a byte now and then: the handshake's deadline", () =>
    withNames(
      async (sluice) => {
        const whole = records(named13("a.example")), begun = performance.now();
        using half = await Peer.connect(sluice.port());
        using silent = await Peer.connect(sluice.port());
        using slow = await Peer.connect(sluice.port());
        await half.send(whole.subarray(0, 60));
        let at = 0;
        const drip = setInterval(() => slow.socket.write(whole.subarray(at, ++at)), 100);
        try {
          const endings = await Promise.all([half, silent, slow].map((client) => client.ending()));
          deepStrictEqual(endings, ["reset", "reset", "reset"]);
        } finally {
          clearInterval(drip);
        }
        const took = performance.now() - begun;
        ok(took >= 900 && took < 5_000, `${took} ms`);
        deepStrictEqual(
          (await sluice.ended(3)).map(({ reason }) => reason),
          Array(3).fill("handshake_timeout"),
        );

        // Once it is passed on, the deadline is none any more.
        using client = await Peer.connect(sluice.port());
        await client.send(whole);
        strictEqual(await client.readText(1), "A");
        using later = await Peer.connect(sluice.port());
        strictEqual(await later.ending(), "reset");
        await client.read(whole.length);
        strictEqual(await client.ask("still there"), "still there");
      },
      SNI,
      handshake("1s"),
    ));
});

describe("passed on and ended on one port", () => {
  const theirs = certificates.leaf("theirs.example"), own = certificates.leaf("own.example", "*.own.example");

  interface Options {
    /** Of the server behind theirs.example; an echo if not given. */
    readonly behind?: Server;
    /** How that one does TLS. */
    readonly words?: readonly string[];
    /** Of the listener. */
    readonly tls?: object;
  }

  /** theirs.example has a server that does TLS itself; *.own.example and own.example end here, before an echo. */
  async function withBoth(
    test: (sluice: Sluice, back: TlsEnd) => Promise<void>,
    { behind, words = [], tls = {} }: Options = {},
  ): Promise<void> {
    await using plain = await Server.listen(echo);
    const to = behind?.port ?? plain.port;
    using back = await TlsEnd.server(to, "--cert", theirs.chain, "--key", theirs.key, ...words);
    const config = {
      listeners: {
        it: {
          bind: "tcp://127.0.0.1:0",
          sni: {
            "theirs.example": "theirs",
            "own.example": { terminate: "own" },
            "*.own.example": { terminate: "own" },
          },
          tls: { certificates: [{ cert: own.chain, key: own.key }], ...tls },
        },
      },
      upstreams: {
        own: { servers: [plain.address], health: "off" },
        theirs: { servers: [back.address], health: "off" },
      },
    };
    await withConfig(config, (sluice) => test(sluice, back));
  }

  for (const version of ["1.2", "1.3"]) {
    it(`TLS ${version}: who is passed on talks to the server's own certificate, with its own to show`, async () => {
      const client = certificates.client("somebody");
      await using behind = await Server.listen();
      await withBoth(async (sluice, back) => {
        const who = ["--cert", client.cert, "--key", client.key, "--ca", root.cert];
        using end = await TlsEnd.client(
          sluice.port(),
          ...["--name", "theirs.example", "--version", version, "--pieces", "5", "--alpn", "imap", ...who],
        );
        using near = await Peer.connect(end.port);
        await near.send("!");
        using far = await behind.accept();
        strictEqual(await far.readText(1), "!");
        const [seen] = await end.handshakes(1), [met] = await back.handshakes(1);
        deepStrictEqual([seen.peer, seen.version], ["theirs.example", `TLSv${version}`]);
        deepStrictEqual([met.peer, met.name], ["somebody", "theirs.example"]);
        const bytes = 8 << 20;
        const [, , up, down] = await Promise.all([
          sendStream(near, bytes).then(() => near.end()),
          sendStream(far, bytes).then(() => far.end()),
          readStream(far),
          readStream(near),
        ]);
        deepStrictEqual([up, down], [bytes, bytes]);
        const [line]: Told[] = await sluice.ended(1);
        deepStrictEqual([line.reason, line.sni, line.upstream], ["finished", "theirs.example", "theirs"]);
        ok(line.up_bytes > bytes && line.down_bytes > bytes, "records, not what is in them");
        const { totals } = await sluice.status();
        ok(totals.bytes.spliced > 0, "nobody here reads what is passed on");
      }, { behind, words: ["--ask", root.cert] });
    });

    it(`TLS ${version}: who is ended here talks to this listener's`, () =>
      withBoth(async (sluice, back) => {
        for (const name of ["own.example", "any.own.example"]) {
          const words = [
            "--name",
            name,
            "--version",
            version,
            "--ca",
            root.cert,
            "--resume",
            "--pieces",
            "9",
          ];
          using end = await TlsEnd.client(sluice.port(), ...words);
          for (let turn = 0; turn < 3; turn++) {
            using client = await Peer.connect(end.port);
            strictEqual(await client.ask("hello"), "hello");
            client.end();
            strictEqual(await client.ending(), "fin");
          }
          const handshakes = await end.handshakes(3);
          deepStrictEqual(handshakes.map(({ peer }) => peer), Array(3).fill("own.example"));
          deepStrictEqual(handshakes.map(({ resumed }) => resumed), ["0", "1", "1"]);
        }
        const lines: Told[] = await sluice.ended(6);
        ok(lines.every(({ reason, upstream }) => reason === "finished" && upstream === "own"));
        deepStrictEqual([...new Set(lines.map(({ sni }) => sni))], ["own.example", "any.own.example"]);
        strictEqual((await back.handshakes(0)).length, 0);
      }));
  }

  it("ended here by what this listener agrees on; passed on by what the server does", () =>
    withBoth(
      async (sluice) => {
        const said = (name: string, ...words: string[]) =>
          sClient(sluice.port(), ["-servername", name, ...words]);
        match(await said("own.example", "-alpn", "smtp,imap"), /ALPN protocol: imap/);
        match(await said("own.example", "-alpn", "pop3"), /alert number 120/);
        match(await said("theirs.example", "-alpn", "pop3"), /No ALPN negotiated/);
        match(await said("own.example"), /^ 0 s:CN = own\.example$/m);
        match(await said("theirs.example"), /^ 0 s:CN = theirs\.example$/m);
        match(await said("nobody.example"), /reset by peer|Connection reset|write:errno=104/);
      },
      { tls: { alpn: ["imap"] } },
    ));

  it("a hello of hand's making that ends here in a thousand pieces meets OpenSSL whole", () =>
    withBoth(async (sluice) => {
      // No key that anybody could share: what matters is that it is read as what it is.
      const bytes = records(named13("own.example"), [10, 11, 90]);
      using client = await Peer.connect(sluice.port());
      for (const part of inParts(bytes, 1)) await client.send(part);
      const alert = await client.read(5);
      ok(alert[0] === 21 || alert[0] === 22, `type ${alert[0]}`);
      client.reset();
      await sluice.ended(1);
    }));
});
