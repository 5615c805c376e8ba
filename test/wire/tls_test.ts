// TLS with clients: what a listener shows to whom, what it agrees on, and what comes through it. Others' TLS is
// OpenSSL's: its s_client, and tls_end around the sockets of a test.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { Peer } from "../support/peer.ts";
import { sClient } from "../support/s_client.ts";
import { echo, Server } from "../support/servers.ts";
import { residentBytes } from "../support/status.ts";
import { readStream, sendStream } from "../support/stream.ts";
import { TlsEnd } from "../support/tls_end.ts";
import { until } from "../support/waiting.ts";

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const site = certificates.leaf("site.example");

const pair = ({ chain, key }: Made, ocsp?: string) => ({
  cert: chain,
  key,
  ...(ocsp === undefined ? {} : { ocsp }),
});

interface Listener {
  readonly kind?: "tls" | "https";
  readonly shown?: readonly object[];
  readonly tls?: object;
  /** Of the whole configuration. */
  readonly also?: object;
}

/** A listener with TLS before one server. */
function configured(
  server: string,
  { kind = "tls", shown = [pair(site)], tls = {}, also = {} }: Listener,
): object {
  return {
    listeners: { it: { bind: `${kind}://127.0.0.1:0`, to: "app", tls: { certificates: shown, ...tls } } },
    upstreams: { app: { servers: [server], health: "off" } },
    ...also,
  };
}

/** A Sluice with TLS before an echo server. */
async function withEcho(listener: Listener, test: (sluice: Sluice) => Promise<void>): Promise<void> {
  await using server = await Server.listen(echo);
  await withConfig(configured(server.address, listener), test);
}

const GET = "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n";

/** Who a listener says it is to a client that says this. */
async function shownTo(sluice: Sluice, ...words: string[]): Promise<string> {
  const said = await sClient(sluice.port(), words);
  return /^ 0 s:CN = (.*)$/m.exec(said)?.[1] ?? /alert number ([0-9]+)/.exec(said)?.[0] ?? said;
}

describe("certificates by name", () => {
  it("its own, the wildcard's, and the first one for all others", async () => {
    const wild = certificates.leaf("*.wild.example", "other.example");
    const under = certificates.leaf("www.wild.example");
    const cases: [name: string, shown: string, why: string][] = [
      ["site.example", "site.example", "its own"],
      ["SITE.Example", "site.example", "names have no case"],
      ["a.wild.example", "*.wild.example", "the wildcard's"],
      ["www.wild.example", "www.wild.example", "its own before the wildcard's"],
      ["other.example", "*.wild.example", "a second name of a certificate"],
      ["a.b.wild.example", "site.example", "a wildcard is for one label"],
      ["wild.example", "site.example", "a wildcard is for no less than one label"],
      ["unknown.example", "site.example", "unknown"],
    ];
    await withEcho({ shown: [pair(site), pair(wild), pair(under)] }, async (sluice) => {
      for (const [name, shown, why] of cases) {
        strictEqual(await shownTo(sluice, "-servername", name), shown, why);
      }
      strictEqual(await shownTo(sluice, "-noservername"), "site.example", "who names nobody");
    });
  });

  it("RSA and ECDSA side by side, by what the client knows", async () => {
    const rsa = certificates.rsa("site.example", "with.rsa");
    await withEcho({ shown: [pair(site), pair(rsa)], tls: { policy: "modern" } }, async (sluice) => {
      const keyOf = async (...words: string[]) =>
        /Server public key is ([0-9]+) bit/.exec(
          await sClient(sluice.port(), ["-servername", "site.example", ...words]),
        )?.[1];
      strictEqual(await keyOf("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "2048");
      strictEqual(await keyOf("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "256");
      strictEqual(await keyOf("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"), "2048");
      strictEqual(await keyOf("-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"), "256");
      strictEqual(await keyOf(), "256");
    });
  });

  it("the chain is sent whole, without the root", async () => {
    const below = certificates.make({ names: ["below.example"], by: certificates.intermediate });
    await withEcho({ shown: [pair(below)] }, async (sluice) => {
      const said = await sClient(sluice.port(), ["-CAfile", certificates.root.cert, "-verify_return_error"]);
      match(said, /Verify return code: 0 \(ok\)/);
      strictEqual(said.match(/^ [0-9] s:/gm)?.length, 2);
    });
  });
});

describe("what is agreed on", () => {
  it("TLS 1.2 and 1.3, nothing older", async () => {
    await withEcho({}, async (sluice) => {
      match(await sClient(sluice.port(), ["-tls1_2"]), /Protocol *: TLSv1\.2/);
      match(await sClient(sluice.port(), ["-tls1_3"]), /New, TLSv1\.3/);
      const old = ["-cipher", "DEFAULT:@SECLEVEL=0"];
      match(await sClient(sluice.port(), ["-tls1_1", ...old]), /alert protocol version.*alert number 70/s);
      match(await sClient(sluice.port(), ["-tls1", ...old]), /alert number 70/);
      const reasons = (await sluice.ended(4)).map(({ reason }) => reason);
      deepStrictEqual(reasons.filter((reason) => reason === "handshake_failed").length, 2);
    });
  });

  it("the modern policy has forward secrecy and authenticated encryption only; the compatible one has CBC too", async () => {
    const rsa = certificates.rsa("site.example");
    const ciphers: [cipher: string, modern: boolean, compatible: boolean][] = [
      ["ECDHE-ECDSA-AES128-GCM-SHA256", true, true],
      ["ECDHE-RSA-CHACHA20-POLY1305", true, true],
      ["ECDHE-RSA-AES128-SHA", false, true],
      ["ECDHE-ECDSA-AES256-SHA384", false, true],
      ["AES128-GCM-SHA256", false, false],
      ["AES128-SHA", false, false],
      ["DHE-RSA-AES128-GCM-SHA256", false, false],
      ["ECDHE-RSA-NULL-SHA:@SECLEVEL=0", false, false],
      ["ADH-AES128-SHA:@SECLEVEL=0", false, false],
    ];
    for (const policy of ["modern", "compatible"] as const) {
      await withEcho({ shown: [pair(site), pair(rsa)], tls: { policy } }, async (sluice) => {
        for (const [cipher, modern, compatible] of ciphers) {
          const said = await sClient(sluice.port(), ["-tls1_2", "-cipher", cipher]);
          const taken = policy === "modern" ? modern : compatible;
          if (taken) ok(said.includes(`Cipher is ${cipher}`), `${policy}: ${cipher}\n${said}`);
          else match(said, /alert handshake failure/, `${policy}: ${cipher}`);
        }
      });
    }
  });

  it("https:// agrees on HTTP/1 and refuses who speaks only something else (RFC 7301)", async () => {
    await using origin = await HttpOrigin.listen(() => answerOk());
    await withConfig(configured(origin.address, { kind: "https" }), async (sluice) => {
      match(await sClient(sluice.port(), ["-alpn", "http/1.1"]), /ALPN protocol: http\/1\.1/);
      match(await sClient(sluice.port(), ["-alpn", "h2,http/1.1"]), /ALPN protocol: http\/1\.1/);
      match(await sClient(sluice.port(), ["-alpn", "http/1.0,http/1.1"]), /ALPN protocol: http\/1\.1/);
      match(await sClient(sluice.port(), ["-alpn", "http/1.0"]), /ALPN protocol: http\/1\.0/);
      match(await sClient(sluice.port()), /No ALPN negotiated/);
      match(
        await sClient(sluice.port(), ["-alpn", "spdy/3"]),
        /alert no application protocol.*alert number 120/s,
      );
    });
  });

  it("tls:// agrees on what it is told to, and without that on nothing", async () => {
    await withEcho({}, async (sluice) => {
      match(await sClient(sluice.port(), ["-alpn", "imap"]), /No ALPN negotiated/);
    });
    await withEcho({ tls: { alpn: ["imap", "smtp"] } }, async (sluice) => {
      match(await sClient(sluice.port(), ["-alpn", "smtp,imap"]), /ALPN protocol: imap/);
      match(await sClient(sluice.port(), ["-alpn", "pop3"]), /alert number 120/);
    });
    const long = Array.from({ length: 15 }, (_, at) => `${at}`.padEnd(255, "x"));
    await withEcho({ tls: { alpn: [...long, "imap"] } }, async (sluice) => {
      match(await sClient(sluice.port(), ["-alpn", "imap"]), /ALPN protocol: imap/);
    });
  });

  it("an OCSP response is shown with its certificate to who asks for it", async () => {
    const ocsp = certificates.ocsp(certificates.root, site), other = certificates.leaf("other.example");
    await withEcho({ shown: [pair(site, ocsp), pair(other)] }, async (sluice) => {
      const said = await sClient(sluice.port(), ["-status", "-servername", "site.example"]);
      match(said, /OCSP Response Status: successful.*Cert Status: good/s);
      match(
        await sClient(sluice.port(), ["-status", "-servername", "other.example"]),
        /OCSP response: no response sent/,
      );
    });
  });
});

describe("what comes through", () => {
  it("HTTP: requests behind one another on one connection", async () => {
    await using origin = await HttpOrigin.listen(({ head }) => answerOk(head.line));
    await withConfig(configured(origin.address, { kind: "https" }), async (sluice) => {
      using end = await TlsEnd.client(
        sluice.port(),
        "--name",
        "site.example",
        "--ca",
        certificates.root.cert,
      );
      const client = await HttpPeer.connect(end.port);
      for (const path of ["/", "/two", "/three"]) {
        const { head, body } = await client.ask(GET.replace("/", path));
        deepStrictEqual([statusOf(head), body.toString()], [200, `GET ${path} HTTP/1.1`]);
      }
      await client.send(GET + GET); // both in one record
      strictEqual(statusOf((await client.readAnswer()).head), 200);
      strictEqual(statusOf((await client.readAnswer()).head), 200);
      client.end();
      strictEqual(await client.ending(), "fin");
      await origin[Symbol.asyncDispose]();
    });
  });

  it("WebSocket: both ways, after the upgrade", async () => {
    const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    await using origin = await HttpOrigin.listen(async (_, connection) => {
      await connection.send(`${upgraded}first`);
      echo(connection.peer);
      await connection.ending();
    });
    await withConfig(configured(origin.address, { kind: "https" }), async (sluice) => {
      using end = await TlsEnd.client(sluice.port(), "--pieces", "7");
      const client = await HttpPeer.connect(end.port);
      const ask = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
      await client.send(`GET /chat HTTP/1.1\r\nHost: site.example\r\n${ask}`);
      strictEqual(statusOf(await client.readHead()), 101);
      strictEqual(await client.readText(5), "first");
      for (const text of ["hello", "x".repeat(40_000), "bye"]) {
        await client.send(text);
        strictEqual(await client.readText(text.length), text);
      }
      client.reset();
      await origin[Symbol.asyncDispose]();
    });
  });

  for (const version of ["1.2", "1.3"]) {
    it(`TLS ${version}: ten MiB both ways at once, TLS on both sides, in pieces of all sizes`, async () => {
      await using server = await Server.listen();
      using back = await TlsEnd.server(server.port, "--cert", site.chain, "--key", site.key, "--pieces", "3");
      const config = {
        listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls: { certificates: [pair(site)] } } },
        upstreams: {
          app: {
            servers: [`tls://${back.address}`],
            tls: { ca: certificates.root.cert, "server-name": "site.example" },
            health: "off",
          },
        },
      };
      await withConfig(config, async (sluice) => {
        using end = await TlsEnd.client(sluice.port(), "--pieces", "11", "--version", version);
        using client = await Peer.connect(end.port);
        await client.send("!");
        using accepted = await server.accept();
        strictEqual(await accepted.readText(1), "!");
        const bytes = 10 << 20;
        const [, , up, down] = await Promise.all([
          sendStream(client, bytes).then(() => client.end()),
          sendStream(accepted, bytes).then(() => accepted.end()),
          readStream(accepted),
          readStream(client),
        ]);
        deepStrictEqual([up, down], [bytes, bytes]);
        const [record] = await sluice.ended(1);
        deepStrictEqual([record.reason, record.up_bytes, record.down_bytes], ["finished", bytes + 1, bytes]);
      });
    });
  }

  it("half-close in both directions: who ends first hears the rest", async () => {
    await using server = await Server.listen();
    await withConfig(configured(server.address, {}), async (sluice) => {
      using end = await TlsEnd.client(sluice.port());
      for (const first of ["client", "server"]) {
        using client = await Peer.connect(end.port);
        using accepted = await server.accept();
        const [one, other] = first === "client" ? [client, accepted] : [accepted, client];
        await one.send("all I have to say");
        one.end();
        strictEqual((await other.readAll()).toString(), "all I have to say");
        const [, count] = await Promise.all([
          sendStream(other, 3 << 20).then(() => other.end()),
          readStream(one),
        ]);
        strictEqual(count, 3 << 20);
      }
      deepStrictEqual((await sluice.ended(2)).map(({ reason }) => reason), ["finished", "finished"]);
    });
  });

  it("a client that never reads is given up, and holds no more than its sockets do", async () => {
    await using server = await Server.listen((peer) => sendStream(peer, 64 << 20));
    const config = configured(server.address, { also: { defaults: { timeouts: { "tunnel-idle": "1s" } } } });
    await withConfig(config, async (sluice) => {
      using end = await TlsEnd.client(sluice.port(), "--mute");
      using client = await Peer.connect(end.port);
      const [record] = await sluice.ended(1);
      strictEqual(record.reason, "tunnel_idle");
      client.reset();
    });
  });
});

/** What a client sees of records: their lengths, by type. */
async function recordsOf(
  port: number,
  test: (client: Peer) => Promise<void>,
): Promise<number[]> {
  const parts: Buffer[] = [];
  await using tap = await Server.listen(async (near) => {
    const far = await Peer.connect(port);
    far.socket.on("data", (part: Buffer) => parts.push(part));
    near.socket.pipe(far.socket).pipe(near.socket);
    await far.ending();
  });
  using end = await TlsEnd.client(tap.port, "--version", "1.2");
  using client = await Peer.connect(end.port);
  await test(client);
  const bytes = Buffer.concat(parts), lengths: number[] = [];
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    if (bytes[at] === 23) lengths.push(bytes.readUInt16BE(at + 3));
  }
  return lengths;
}

describe("records", () => {
  it("small at first, for who waits; large for who has got much", async () => {
    await using server = await Server.listen((peer) => sendStream(peer, 1 << 20).then(() => peer.end()));
    await withConfig(configured(server.address, {}), async (sluice) => {
      const lengths = await recordsOf(sluice.port(), async (client) => {
        strictEqual(await readStream(client), 1 << 20);
        client.end();
      });
      ok(lengths[0] <= 1_400, `the first record has ${lengths[0]} bytes`);
      ok(lengths.slice(1, 8).every((length) => length <= 4_200), lengths.slice(0, 20).join());
      ok(lengths.filter((length) => length > 16_000).length > 30, "the later ones are large");
    });
  });

  it("buffers are given back when a connection is idle", async () => {
    await withEcho({ also: { reactors: 2 } }, async (sluice) => {
      using end = await TlsEnd.client(sluice.port());
      const talk = async (): Promise<Peer> => {
        const client = await Peer.connect(end.port);
        const text = "x".repeat(20_000);
        strictEqual(await client.ask(text), text);
        return client;
      };
      const warm = await Promise.all(Array.from({ length: 100 }, talk));
      const before = residentBytes(sluice.pid);
      const clients: Peer[] = [];
      for (let round = 0; round < 5; round++) {
        clients.push(...await Promise.all(Array.from({ length: 100 }, talk)));
      }
      const each = (residentBytes(sluice.pid) - before) / clients.length;
      ok(each < 24_000, `an idle connection holds ${each} bytes`);
      for (const client of [...warm, ...clients]) client.end();
    });
  });
});

/** Keeps a session in a file. Of TLS 1.3 its ticket comes behind the handshake, before anything is echoed. */
async function keepTicket(sluice: Sluice, path: string, version: string): Promise<void> {
  await sClient(sluice.port(), [version, "-sess_out", path], "hello\n", /^hello$/m);
}

describe("sessions", () => {
  for (const version of ["1.2", "1.3"]) {
    it(`TLS ${version}: resumed on whichever reactor`, async () => {
      await withEcho({ also: { reactors: 2 } }, async (sluice) => {
        using end = await TlsEnd.client(sluice.port(), "--version", version, "--resume");
        for (let turn = 0; turn < 20; turn++) {
          using client = await Peer.connect(end.port);
          strictEqual(await client.ask("hello"), "hello");
          client.end();
          strictEqual(await client.ending(), "fin");
        }
        const resumed = (await end.handshakes(20)).map(({ resumed }) => resumed).join("");
        strictEqual(resumed, `0${"1".repeat(19)}`);
      });
    });

    it(`TLS ${version}: a ticket whose key is unknown costs a full handshake, no error`, async () => {
      using folder = new Folder();
      const flag = version === "1.2" ? "-tls1_2" : "-tls1_3", ticket = folder.at("ticket");
      await withEcho({}, async (sluice) => {
        await keepTicket(sluice, ticket, flag);
        match(await sClient(sluice.port(), [flag, "-sess_in", ticket]), /^Reused, /m);
      });
      await withEcho({}, async (sluice) => {
        match(await sClient(sluice.port(), [flag, "-sess_in", ticket]), /^New, /m);
        strictEqual((await sluice.ended(1))[0].reason, "finished");
      });
    });
  }

  it("two processes share tickets through a file of keys, which is read again when it is replaced", async () => {
    using folder = new Folder();
    const keys = folder.at("keys"), ticket = folder.at("ticket"), also = { "tls-ticket-keys": keys };
    const [old, fresh] = [randomBytes(80), randomBytes(80)];
    const replace = (bytes: Uint8Array) => {
      writeFileSync(`${keys}.new`, bytes);
      renameSync(`${keys}.new`, keys);
    };
    replace(old);
    await withEcho({ also }, async (one) => {
      await keepTicket(one, ticket, "-tls1_2");
      await withEcho({ also }, async (two) => {
        const reused = async () =>
          /^Reused, /m.test(await sClient(two.port(), ["-tls1_2", "-sess_in", ticket]));
        const read = (times: number) =>
          until(
            "the keys to be read",
            () =>
              two.log("certificates").filter(({ message }) => /^read again: .*keys$/.test(message)).length ===
                times,
          );
        strictEqual(await reused(), true);
        replace(Buffer.concat([fresh, old]));
        await read(1);
        strictEqual(await reused(), true, "the older key still opens");
        replace(Buffer.from("no keys"));
        await two.line("certificates", /keys has 7 bytes; .* what was read before stays/);
        strictEqual(await reused(), true, "a broken file changes nothing");
        replace(fresh);
        await read(2);
        strictEqual(await reused(), false, "its key is gone");
      });
    });
  });
});

describe("client certificates", () => {
  const root = certificates.root,
    good = certificates.client("somebody"),
    revoked = certificates.client("revoked");
  const expired = certificates.make({
    names: ["late"],
    use: "client",
    isNameless: true,
    from: new Date(Date.now() - 2 * 86_400_000),
    until: new Date(Date.now() - 86_400_000),
  });
  const stranger = certificates.make({ names: ["stranger"], by: "itself", isNameless: true, use: "client" });
  const server = certificates.leaf("not-a-client.example");
  const crl = certificates.revoked(root, [revoked]);

  const outcomes: [mode: string, shown: Made | undefined, reason: string, why: string][] = [
    ["off", undefined, "finished", "nobody asks"],
    ["off", good, "finished", "nobody asks, so none is shown"],
    ["ask", undefined, "finished", "none is needed"],
    ["ask", good, "finished", "it holds"],
    ["ask", stranger, "client_certificate", "one that does not hold is worse than none"],
    ["require", good, "finished", "it holds"],
    ["require", undefined, "client_certificate", "none was given"],
    ["require", revoked, "client_certificate", "it is on the list"],
    ["require", expired, "client_certificate", "it has expired"],
    ["require", stranger, "client_certificate", "nobody knows who signed it"],
    ["require", server, "client_certificate", "it is a server's"],
  ];
  for (const version of ["1.2", "1.3"]) {
    for (const mode of ["off", "ask", "require"]) {
      it(`TLS ${version}, ${mode}`, async () => {
        const client = mode === "off" ? { mode } : { mode, ca: root.cert, crl };
        await withEcho({ tls: { client } }, async (sluice) => {
          let count = 0;
          for (const [of, shown, reason, why] of outcomes) {
            if (of !== mode) continue;
            const identity = shown === undefined ? [] : ["--cert", shown.cert, "--key", shown.key];
            using end = await TlsEnd.client(sluice.port(), "--version", version, ...identity);
            using peer = await Peer.connect(end.port);
            if (reason === "finished") strictEqual(await peer.ask("hello"), "hello", why);
            else strictEqual(await peer.ending(), "reset", why);
            peer.end();
            strictEqual((await sluice.ended(++count))[count - 1].reason, reason, why);
          }
        });
      });
    }
  }

  it("a session is not resumed where other certificates are asked for", async () => {
    using folder = new Folder();
    const keys = folder.at("keys"), ticket = folder.at("ticket"), also = { "tls-ticket-keys": keys };
    writeFileSync(keys, randomBytes(80));
    await withEcho({ also }, async (open) => {
      await keepTicket(open, ticket, "-tls1_2");
      match(await sClient(open.port(), ["-tls1_2", "-sess_in", ticket]), /^Reused, /m);
    });
    await withEcho({ also, tls: { client: { mode: "require", ca: root.cert } } }, async (closed) => {
      const said = await sClient(closed.port(), ["-tls1_2", "-sess_in", ticket]);
      ok(!/^Reused, /m.test(said), said);
      strictEqual((await closed.ended(1))[0].reason !== "finished", true);
    });
  });
});
