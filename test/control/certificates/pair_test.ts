// Pairs as people have them: good ones, and everything that is wrong with others.
import { deepEqual, equal, ok } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import {
  coversName,
  dateFlaw,
  type Flaw,
  readPair,
  spanText,
} from "../../../src/control/certificates/pair.ts";
import { Certificates, type Made } from "../../support/certificates.ts";

const all = new Certificates();
after(() => all[Symbol.dispose]());
const now = Date.now();
const DAY_MS = 86_400_000;

function read(cert: string, key: string, use: "server" | "client" = "server") {
  return readPair(readFileSync(cert), readFileSync(key), { use, now });
}

function told(flaws: readonly Flaw[]): string[] {
  return flaws.map(({ about, severity, what }) => `${about} ${severity}: ${what}`);
}

describe("readPair", () => {
  it("tells what a good pair is", () => {
    const made = all.make({ names: ["Shop.Example", "*.b.example", "10.0.0.1", "2001:db8:0::1"] });
    const { pair, flaws } = read(made.chain, made.key);
    deepEqual(flaws, []);
    ok(pair);
    const { certificate } = pair, known = new X509Certificate(readFileSync(made.cert));
    deepEqual(certificate.names, ["shop.example", "*.b.example"]);
    deepEqual(certificate.addresses, ["10.0.0.1", "2001:db8::1"]);
    deepEqual([certificate.subject, certificate.issuer], ["Shop.Example", "Test Root"]);
    equal(certificate.fingerprint.toUpperCase(), known.fingerprint256.replaceAll(":", ""));
    equal(BigInt(`0x${certificate.serial}`), BigInt(`0x${known.serialNumber}`));
    equal(certificate.notBefore, Date.parse(known.validFrom));
    equal(certificate.notAfter, Date.parse(known.validTo));
    deepEqual([pair.kind, pair.bits, pair.chain.length], ["ec", 0, 0]);
    deepEqual([certificate.isAuthority, certificate.isSelfIssued], [false, false]);
    ok(pair.keyPem.startsWith("-----BEGIN PRIVATE KEY-----\n"));
    ok(pair.certPem.startsWith("-----BEGIN CERTIFICATE-----\n"));
  });

  it("takes RSA and Ed25519 as well, and a chain with its intermediate", () => {
    const rsa = read(all.rsa("a.example").chain, all.rsa("a.example").key).pair;
    deepEqual([rsa?.kind, rsa?.bits], ["rsa", 2_048]);
    const made = all.make({ names: ["a.example"], kind: "ed25519", by: all.intermediate });
    const { pair, flaws } = read(made.chain, made.key);
    deepEqual(flaws, []);
    deepEqual([pair?.kind, pair?.chain.map(({ subject }) => subject)], ["ed25519", ["Test Intermediate"]]);
  });

  it("takes one file that holds both, in any order, with text around them", () => {
    const { chain, key } = all.leaf("both.example");
    const bytes = Buffer.from(`of 1999, größe\n${readFileSync(key)}\n# and\n${readFileSync(chain)}`);
    const { pair, flaws } = readPair(bytes, bytes, { use: "server", now });
    deepEqual(flaws, []);
    ok(pair && !pair.certPem.includes("größe") && !pair.keyPem.includes("CERTIFICATE"));
  });

  it("is not misled by lines that end in CR LF", () => {
    const { chain, key } = all.leaf("crlf.example");
    const dos = (path: string) => Buffer.from(readFileSync(path, "utf8").replaceAll("\n", "\r\n"));
    const { pair, flaws } = readPair(dos(chain), dos(key), { use: "server", now });
    deepEqual(flaws, []);
    ok(pair);
  });

  it("takes a certificate of a client, and says where one is for something else", () => {
    const { cert, key } = all.client("alice");
    deepEqual(read(cert, key, "client").flaws, []);
    deepEqual(told(read(cert, key).flaws), [
      "cert warning: has no name that a client could ask for (a subject alternative name)",
      "cert warning: is not for servers, as it says itself (extended key usage)",
    ]);
    const leaf = all.leaf("a.example");
    deepEqual(told(read(leaf.cert, leaf.key, "client").flaws), [
      "cert warning: is not for clients, as it says itself (extended key usage)",
    ]);
  });

  it("warns of days, and gives the pair nevertheless", () => {
    const late = all.expired("a.example"), early = all.notYetValid("a.example");
    const flaws = [read(late.chain, late.key), read(early.chain, early.key)].map(({ pair, flaws }) => {
      ok(pair);
      return told(flaws).join();
    });
    ok(/^cert warning: expired 2[34] hours ago, on \d{4}-\d\d-\d\d \d\d:\d\d UTC$/.test(flaws[0]), flaws[0]);
    ok(/^cert warning: is not valid before .* UTC, in 2[34] hours$/.test(flaws[1]), flaws[1]);
  });

  it("refuses a key that does not fit", () => {
    const a = all.leaf("a.example"), b = all.leaf("b.example"), rsa = all.rsa("a.example");
    for (const [cert, key] of [[a, b], [a, rsa], [rsa, a]]) {
      const { pair, flaws } = read(cert.chain, key.key);
      equal(pair, undefined);
      deepEqual(told(flaws), ["key error: not the key of that certificate"]);
    }
  });

  it("says which certificate a key is of that does not stand first", () => {
    const leaf = all.make({ names: ["below.example"], by: all.intermediate });
    const upside = Buffer.concat([readFileSync(all.intermediate.cert), readFileSync(leaf.cert)]);
    const { flaws } = readPair(upside, readFileSync(leaf.key), { use: "server", now });
    deepEqual(flaws.map(({ what, remedy }) => [what, remedy]), [
      ["the key is that of the second certificate in it", "put that one first"],
    ]);
  });

  it("says what a chain lacks", () => {
    const bare = all.make({ names: ["bare.example"], by: all.intermediate, namesIssuer: true });
    const self = all.make({ names: ["self.example"], by: "itself", namesIssuer: true });
    deepEqual(read(bare.chain, bare.key).flaws, []);
    deepEqual(read(self.cert, self.key).flaws, []);
    deepEqual(told(read(bare.cert, bare.key).flaws), [
      'cert warning: the certificate of its issuer is missing, "Test Intermediate", and some clients do not find it',
    ]);
    const pem = (...made: Made[]) => Buffer.concat(made.map(({ cert }) => readFileSync(cert)));
    const second = all.make({ names: ["Second"], by: all.intermediate, isAuthority: true, isNameless: true });
    const leaf = all.make({ names: ["deep.example"], by: second });
    const flaws = (bytes: Uint8Array) =>
      told(readPair(bytes, readFileSync(leaf.key), { use: "server", now }).flaws);
    deepEqual(flaws(pem(leaf, second, all.intermediate)), []);
    deepEqual(flaws(pem(leaf, second, all.intermediate, all.root)), []);
    deepEqual(flaws(pem(leaf, all.intermediate, second)), [
      'cert warning: its certificates are out of order: that of "Second" comes after "deep.example"',
    ]);
    deepEqual(flaws(pem(leaf, all.intermediate)), [
      'cert warning: "deep.example" was issued by "Second", and what follows it is "Test Intermediate"',
    ]);
  });

  it("refuses what can be broken", () => {
    const weak = all.make({ names: ["weak.example"], kind: "rsa", bits: 1_024 });
    const old = all.make({ names: ["old.example"], digest: "sha1" });
    deepEqual(told(read(weak.chain, weak.key).flaws), [
      "cert error: an RSA key of 1024 bits, which can be broken",
    ]);
    deepEqual(told(read(old.chain, old.key).flaws), [
      "cert error: is signed with SHA-1 or MD5, which nobody takes",
    ]);
  });

  it("never throws on what a file may hold", () => {
    const { chain, key } = all.leaf("cut.example");
    const cert = readFileSync(chain), secret = readFileSync(key);
    for (let end = 0; end < cert.length; end += 7) {
      const { pair, flaws } = readPair(cert.subarray(0, end), secret, { use: "server", now });
      equal(pair, undefined, `cut at ${end}`);
      ok(flaws.some(({ severity }) => severity === "error"), `cut at ${end}`);
    }
    for (let end = 0; end < secret.length - 30; end += 7) {
      const { pair, flaws } = readPair(cert, secret.subarray(0, end), { use: "server", now });
      equal(pair, undefined, `cut at ${end}`);
      ok(flaws.every(({ what }) => what !== ""), `cut at ${end}`);
    }
  });

  it("repeats nothing of a key", () => {
    const { chain, key } = all.leaf("secret.example"), secret = readFileSync(key, "utf8");
    const broken = Buffer.from(secret.replace(/[^\n]{8}\n-----END/, "\n-----END"));
    const { flaws } = readPair(readFileSync(chain), broken, { use: "server", now });
    const words = JSON.stringify(flaws), lines = secret.split("\n").slice(1, -2);
    ok(flaws.length > 0 && lines.every((line) => !words.includes(line.slice(0, 16))));
  });
});

describe("coversName", () => {
  const cases: [names: string[], name: string, want: boolean, why: string][] = [
    [["a.example"], "a.example", true, "its own"],
    [["a.example"], "b.a.example", false, "below it"],
    [["*.a.example"], "b.a.example", true, "one label"],
    [["*.a.example"], "c.b.a.example", false, "two labels"],
    [["*.a.example"], "a.example", false, "what is above the star"],
    [["*.a.example"], "*.a.example", true, "the star itself"],
    [["*.example"], "*.a.example", false, "a star is no label"],
    [[], "a.example", false, "none"],
  ];
  for (const [names, name, want, why] of cases) {
    it(`${names.join() || "nothing"} for ${name}: ${why}`, () => equal(coversName({ names }, name), want));
  }
});

describe("dateFlaw", () => {
  const span = { notBefore: 10 * DAY_MS, notAfter: 20 * DAY_MS };
  const cases: [now: number, want: RegExp | undefined, why: string][] = [
    [10 * DAY_MS, undefined, "the first moment"],
    [20 * DAY_MS, undefined, "the last moment"],
    [20 * DAY_MS + 1, /^expired 1 minute ago/, "too late"],
    [10 * DAY_MS - 1, /^is not valid before 1970-01-11 00:00 UTC, in 1 minute$/, "too early"],
  ];
  for (const [at, want, why] of cases) {
    it(why, () => {
      const flaw = dateFlaw(span, at);
      ok(want === undefined ? flaw === undefined : want.test(flaw?.what ?? ""), JSON.stringify(flaw));
    });
  }

  it("tells spans in units that people count in", () => {
    deepEqual([1, 119 * 60_000, 120 * 60_000, 47 * 3_600_000, 2 * DAY_MS, 400 * DAY_MS].map(spanText), [
      "1 minute",
      "119 minutes",
      "2 hours",
      "47 hours",
      "2 days",
      "400 days",
    ]);
  });
});
