// Our DER against openssl, which reads it strictly, and against the runtime.
import { deepEqual, match, ok, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, createPublicKey, verify } from "node:crypto";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { AccountKey, base64url } from "../../../src/control/acme/account_key.ts";
import { integer, oid, sequence, time } from "../../../src/control/acme/der.ts";
import { certificateRequest, newKeyPem, pairFacts, selfSigned } from "../../../src/control/acme/x509.ts";
import { needProgram } from "../../support/debian.ts";
import { Folder } from "../../support/folder.ts";

const DAY_MS = 24 * 3_600_000;

function openssl(content: string | Uint8Array, ...words: string[]): string {
  needProgram("openssl", "openssl");
  using folder = new Folder();
  writeFileSync(folder.at("input"), content);
  return execFileSync("openssl", [...words, "-in", folder.at("input")], {
    encoding: "utf8",
    timeout: 30_000,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("der", () => {
  const cases: [bytes: Uint8Array, want: string, why: string][] = [
    [integer(Uint8Array.of(0)), "020100", "zero"],
    [integer(Uint8Array.of(0, 0, 5)), "020105", "as short as can be"],
    [integer(Uint8Array.of(0x80)), "02020080", "never negative"],
    [oid("1.2.840.10045.4.3.2"), "06082a8648ce3d040302", "ecdsa-with-SHA256"],
    [oid("1.3.6.1.5.5.7.1.31"), "06082b0601050507011f", "acmeIdentifier"],
    [
      time(Date.UTC(2049, 11, 31, 23, 59, 59)),
      `170d${hex(Buffer.from("491231235959Z"))}`,
      "two digits of a year",
    ],
    [time(Date.UTC(2050, 0, 1)), `180f${hex(Buffer.from("20500101000000Z"))}`, "four from 2050 on"],
    [sequence(new Uint8Array(127)).subarray(0, 3), "307f00", "a short length"],
    [sequence(new Uint8Array(128)).subarray(0, 4), "30818000", "one byte of length"],
    [sequence(new Uint8Array(256)).subarray(0, 5), "3082010000", "two bytes of length"],
  ];
  for (const [bytes, want, why] of cases) it(why, () => strictEqual(hex(bytes), want));
});

describe("certificateRequest", () => {
  it("names its names, and is signed by its key", () => {
    const keyPem = newKeyPem();
    const text = openssl(
      certificateRequest(["a.example", "b.example"], keyPem),
      "req",
      "-inform",
      "der",
      "-verify",
      "-text",
    );
    match(text, /DNS:a\.example, DNS:b\.example/);
    match(text, /Subject:\s*\n/);
    match(text, /ecdsa-with-SHA256/);
  });
});

describe("selfSigned", () => {
  const fromMs = Date.UTC(2026, 0, 2, 3, 4, 5), untilMs = fromMs + DAY_MS;

  it("is a certificate of its own key, for one name, an hour before its time", () => {
    const keyPem = newKeyPem();
    const chainPem = selfSigned("a.example", keyPem, { fromMs, untilMs });
    const text = openssl(chainPem, "x509", "-noout", "-text");
    match(text, /Version: 3/);
    match(text, /Not Before: Jan +2 02:04:05 2026 GMT\s+Not After : Jan +3 03:04:05 2026 GMT/);
    match(text, /DNS:a\.example\n/);
    match(text, /CA:FALSE/);
    ok(!text.includes("1.3.6.1.5.5.7.1.31"));
    const facts = pairFacts("a.example", { chainPem, keyPem });
    deepEqual("flaw" in facts ? facts : [facts.notBeforeMs, facts.notAfterMs], [fromMs - 3_600_000, untilMs]);
  });

  it("proves a token by a digest in a critical extension (RFC 8737 section 3)", () => {
    const digest = createHash("sha256").update("token.thumbprint").digest();
    const text = openssl(selfSigned("a.example", newKeyPem(), { fromMs, untilMs }, digest), "asn1parse");
    match(text, /OBJECT\s+:1\.3\.6\.1\.5\.5\.7\.1\.31\n.*BOOLEAN\s+:255\n.*OCTET STRING\s+\[HEX DUMP\]:0420/);
    ok(text.includes(hex(digest).toUpperCase()));
  });
});

describe("pairFacts", () => {
  const keyPem = newKeyPem(), fromMs = Date.now() - 9 * DAY_MS;
  const ended = selfSigned("a.example", keyPem, { fromMs, untilMs: fromMs + DAY_MS });
  const flaw = (name: string, chainPem: string, key = keyPem) => {
    const facts = pairFacts(name, { chainPem, keyPem: key });
    return "flaw" in facts ? facts.flaw : undefined;
  };
  it("an ended certificate is no flaw", () => strictEqual(flaw("a.example", ended), undefined));
  it("a long chain is", () => match(flaw("a.example", ended.repeat(17))!, /a chain of 17/));
  it("a broken link is", () => {
    const broken = ended.replace(/(BEGIN CERT[^\n]+\n).{24}/, "$1AAAAAAAAAAAAAAAAAAAAAAAA");
    match(flaw("a.example", ended + broken)!, /cannot be read/);
  });
  it("another's key is", () => match(flaw("a.example", ended, newKeyPem())!, /not the certificate's/));
  it("another name is", () => match(flaw("b.example", ended)!, /not for b\.example/));
});

describe("AccountKey", () => {
  it("its thumbprint is RFC 7638's", () => {
    const key = new AccountKey(newKeyPem());
    const { crv, kty, x, y } = key.jwk;
    const canonical = `{"crv":"${crv}","kty":"${kty}","x":"${x}","y":"${y}"}`;
    strictEqual(key.thumbprint, createHash("sha256").update(canonical).digest("base64url"));
    strictEqual(key.authorization("token"), `token.${key.thumbprint}`);
  });

  it("its signature is ES256's: two numbers of 32 bytes", () => {
    const key = new AccountKey(newKeyPem());
    for (const payload of [undefined, {}, { csr: "x" }]) {
      const { protected: head, payload: body, signature } = JSON.parse(key.sign({ nonce: "n" }, payload));
      const bytes = Buffer.from(signature, "base64url");
      strictEqual(bytes.length, 64);
      const publicKey = createPublicKey({ key: key.jwk, format: "jwk" });
      ok(
        verify(
          "sha256",
          Buffer.from(`${head}.${body}`),
          { key: publicKey, dsaEncoding: "ieee-p1363" },
          bytes,
        ),
      );
      strictEqual(body, payload === undefined ? "" : base64url(JSON.stringify(payload)));
    }
  });
});
