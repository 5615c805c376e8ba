// Whom Sluice believes, and what is said for its certificates, while it runs: OCSP responses, authorities and lists
// of revoked certificates are replaced, are broken, and come to their day.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { linesOf, put, read, withEcho } from "../support/live.ts";
import { Peer } from "../support/peer.ts";
import { sClient } from "../support/s_client.ts";
import { echo, Server } from "../support/servers.ts";
import { TlsEnd } from "../support/tls_end.ts";
import { until } from "../support/waiting.ts";

const DAY_MS = 86_400_000;
const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const { root } = certificates;
const renewed = (days: number): Made =>
  certificates.make({
    names: ["site.example"],
    until: new Date(Math.ceil(Date.now() / DAY_MS + days) * DAY_MS),
  });
const first = renewed(100), second = renewed(200);
/** As it was before it was renewed. */
const sameKey = certificates.make({ names: ["site.example"], key: second.key });

describe("OCSP responses", () => {
  it("replaced, of another certificate, gone, due anew, and with a new certificate", async () => {
    using folder = new Folder();
    const cert = folder.at("cert.pem"), key = folder.at("key.pem"), ocsp = folder.at("ocsp.der");
    const good = certificates.ocsp(root, first), ofSecond = certificates.ocsp(root, second);
    for (const [from, to] of [[first.chain, cert], [first.key, key], [good, ocsp]]) put(from, to);
    await withEcho({ certificates: [{ cert, key, ocsp }] }, async (sluice) => {
      const serial = async () =>
        /Serial Number: ([0-9A-F]+)\n.*Cert Status/s.exec(await sClient(sluice.port(), ["-status"]))?.[1];
      const own = ({ cert }: Made) => new X509Certificate(readFileSync(cert)).serialNumber;
      strictEqual(await serial(), own(first));

      put(ofSecond, ocsp);
      await sluice.line("certificates", /ocsp\.der: about another certificate; the one before is shown/);
      strictEqual(await serial(), own(first));
      put(good, ocsp);
      await sluice.line("certificates", /in order again/);

      rmSync(ocsp);
      await sluice.line("certificates", /ocsp\.der: ENOENT; the one before is shown/);
      strictEqual(await serial(), own(first));

      // Its certificate comes first: until its own response is there, none is shown.
      put(second.chain, cert);
      put(second.key, key);
      await read(sluice, 1);
      strictEqual(await serial(), undefined);
      put(ofSecond, ocsp);
      await until("its response to be shown", async () => await serial() === own(second));

      // The year of all its times, two years back: nobody here asks whether its signature holds.
      const old = readFileSync(ofSecond), year = String(new Date().getUTCFullYear());
      for (let at = old.indexOf(`\x18\x0f${year}`); at >= 0; at = old.indexOf(`\x18\x0f${year}`, at)) {
        old.write(String(Number(year) - 2), at + 2, "latin1");
      }
      writeFileSync(ocsp, old);
      await sluice.line("certificates", /ocsp\.der: was due anew/);
    });
  });
});

describe("whom clients and servers are believed by", () => {
  const some = certificates.client("somebody"), gone = certificates.client("gone");
  const newRoot = certificates.make({
    names: ["New Root"],
    by: "itself",
    isAuthority: true,
    isNameless: true,
  });

  it("a client that is put on the list of the revoked: not even its session is taken any more", async () => {
    using folder = new Folder();
    const crl = folder.at("crl.pem"), ca = folder.at("ca.pem"), cert = folder.at("cert.pem");
    /** All files are looked at, for the sake of one of them. */
    const again = async (sluice: Sluice) => {
      put(second.chain, cert);
      await read(sluice, 2);
    };
    put(root.cert, ca);
    put(sameKey.chain, cert);
    put(certificates.revoked(root, []), crl);
    const tls = {
      certificates: [{ cert, key: second.key }],
      client: { mode: "require", ca, crl },
    };
    await withEcho(tls, async (sluice) => {
      const words = (made: Made) => ["--cert", made.cert, "--key", made.key, "--version", "1.2", "--resume"];
      using end = await TlsEnd.client(sluice.port(), ...words(gone));
      using here = await Peer.connect(end.port);
      strictEqual(await here.ask("hello"), "hello");
      using resumed = await Peer.connect(end.port);
      strictEqual(await resumed.ask("hello"), "hello");
      strictEqual((await end.handshakes(2))[1].resumed, "1");

      put(certificates.revoked(root, [gone]), crl);
      await read(sluice, 1);
      using refused = await Peer.connect(end.port);
      strictEqual(await refused.ending(), "reset");
      strictEqual((await sluice.ended(1))[0].reason, "client_certificate");
      strictEqual(await here.ask("still there"), "still there");
      using other = await TlsEnd.client(sluice.port(), ...words(some));
      using taken = await Peer.connect(other.port);
      strictEqual(await taken.ask("hello"), "hello");

      writeFileSync(crl, "no list");
      const { level, message } = await sluice.line("certificates", /crl\.pem: /);
      strictEqual(level, "warn");
      match(message, /listeners\.it\.tls\.client\.crl: .*crl\.pem: .*; what was read before stays in use$/);
      using still = await Peer.connect(end.port);
      strictEqual(await still.ending(), "reset");
      await again(sluice);
      deepStrictEqual(linesOf(sluice, "info").filter((line) => /in order again/.test(line)), []);

      put(newRoot.cert, ca);
      put(certificates.revoked(newRoot, []), crl);
      await read(sluice, 3);
      using stranger = await Peer.connect(other.port);
      strictEqual(await stranger.ending(), "reset");
      const newcomer = certificates.make({ names: ["new"], use: "client", isNameless: true, by: newRoot });
      using theirs = await TlsEnd.client(sluice.port(), ...words(newcomer));
      using welcome = await Peer.connect(theirs.port);
      strictEqual(await welcome.ask("hello"), "hello");
      strictEqual(await taken.ask("still there"), "still there");
    });
  });

  it("a list that is due anew: told once, and nobody is taken by it", async () => {
    using folder = new Folder();
    const crl = folder.at("crl.pem"), cert = folder.at("cert.pem");
    const due = new Date(Math.ceil(Date.now() / 1_000 + 2) * 1_000);
    put(certificates.revoked(root, [], { until: due }), crl);
    put(first.chain, cert);
    const client = { mode: "require", ca: root.cert, crl };
    await withEcho({ certificates: [{ cert, key: first.key }], client }, async (sluice) => {
      using end = await TlsEnd.client(
        sluice.port(),
        "--cert",
        some.cert,
        "--key",
        some.key,
        "--version",
        "1.2",
      );
      using here = await Peer.connect(end.port);
      strictEqual(await here.ask("hello"), "hello");
      const look = async (text: string, times: number) => {
        writeFileSync(cert, readFileSync(first.chain, "utf8") + text);
        await read(sluice, times);
      };
      await look("\n", 1);
      deepStrictEqual(linesOf(sluice, "warn"), []);
      await until("the day", () => Date.now() > due.getTime() + 1_000);
      await look("\n\n", 2);
      await look("\n\n\n", 3);
      strictEqual(linesOf(sluice, "warn").length, 1);
      match(linesOf(sluice, "warn")[0], /crl\.pem: the list of "Test Root" was due anew on .*none of its/);
      using refused = await Peer.connect(end.port);
      strictEqual(await refused.ending(), "reset");
      put(certificates.revoked(root, []), crl);
      await read(sluice, 4);
      using taken = await Peer.connect(end.port);
      strictEqual(await taken.ask("hello"), "hello");
      strictEqual(await here.ask("still there"), "still there");
    });
  });

  it("servers: their authority, and what they are shown", async () => {
    using folder = new Folder();
    const ca = folder.at("ca.pem"), cert = folder.at("cert.pem"), key = folder.at("key.pem");
    for (const [from, to] of [[root.cert, ca], [some.chain, cert], [some.key, key]]) put(from, to);
    await using server = await Server.listen(echo);
    const asks = ["--ask", root.cert];
    using back = await TlsEnd.server(server.port, "--cert", first.chain, "--key", first.key, ...asks);
    const config = {
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "app" } },
      upstreams: {
        app: {
          servers: [`tls://${back.address}`],
          tls: { ca, "server-name": "site.example", cert, key },
          health: "off",
        },
      },
    };
    await withConfig(config, async (sluice) => {
      using open = await Peer.connect(sluice.port());
      strictEqual(await open.ask("hello"), "hello");
      strictEqual((await back.handshakes(1))[0].peer, "somebody");

      put(gone.chain, cert);
      put(gone.key, key);
      await read(sluice, 1);
      using next = await Peer.connect(sluice.port());
      strictEqual(await next.ask("hello"), "hello");
      const { peer, resumed } = (await back.handshakes(2))[1];
      deepStrictEqual([peer, resumed], ["gone", "0"], "no session of who we were before");

      put(newRoot.cert, ca);
      await read(sluice, 2);
      using refused = await Peer.connect(sluice.port());
      strictEqual(await refused.ending(), "reset");
      strictEqual((await sluice.ended(1))[0].reason, "server_certificate_authority");
      strictEqual(await open.ask("still there"), "still there");
      strictEqual(await next.ask("still there"), "still there");
    });
  });
});
