import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Reading } from "../../../src/control/config/errors.ts";
import {
  readAllowUrl,
  readAlpn,
  readDirectory,
  readDirectoryUrl,
  readEmail,
  readFilePath,
  readHmacKey,
  readKeyId,
  readPin,
  readServerName,
  readSniName,
} from "../../../src/control/config/tls_values.ts";

type Read = (text: string) => Reading<string>;
type Case = readonly [text: string, want: string, why: string];

const PIN = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** `=VALUE` where it is taken, else what is wrong. */
const tables: readonly (readonly [name: string, read: Read, cases: readonly Case[]])[] = [
  ["readFilePath", readFilePath, [
    ["/etc/a.pem", "=/etc/a.pem", "absolute"],
    ["a.pem", "=a.pem", "relative"],
    ["größe.pem", "=größe.pem", "paths are UTF-8"],
    ["", "empty", "none"],
    ["a\nb", '"a\\nb" holds a control character', "two lines"],
    ["a".repeat(4_001), "a path of 4001 characters", "too long"],
    ["file:/a.pem", '"file:/a.pem" begins with "file:"', "a URL"],
    ["file:///a.pem", '"file:///a.pem" begins with "file:"', "a URL"],
    ["-----BEGIN CERTIFICATE-----\nMII", "what stands in the file, not where it is", "contents"],
    ["\n-----BEGIN PRIVATE KEY-----", "what stands in the file, not where it is", "contents"],
  ]],
  ["readDirectory", readDirectory, [
    ["/var/lib/acme", "=/var/lib/acme", "absolute"],
    ["/var/lib/acme//", "=/var/lib/acme", "slashes at the end"],
    ["/", "=/", "the root"],
    ["", "empty", "none"],
  ]],
  ["readSniName", readSniName, [
    ["a.example", "=a.example", "exact"],
    ["A.Example.", "=a.example", "in any case, with the dot of the root"],
    ["*.b.example", "=*.b.example", "below"],
    ["default", "=default", "the rest"],
    ["Default", "=default", "in any case"],
    ["localhost", "=localhost", "one label"],
    ["xn--mnchen-3ya.example", "=xn--mnchen-3ya.example", "international"],
    ["*", "is no name", "all of them"],
    ["*.*.example", "is no name", "two stars"],
    ["a.*.example", "is no name", "a star inside"],
    ["10.0.0.1", "is an address, which no client asks for by name", "IPv4"],
    ["[::1]", "is an address, which no client asks for by name", "IPv6"],
    ["a.example:443", "is no name", "a port"],
    ["", "is no name", "none"],
  ]],
  ["readServerName", readServerName, [
    ["api.internal", "=api.internal", "a name"],
    ["API.internal", "=api.internal", "in any case"],
    ["10.0.0.1", "=10.0.0.1", "IPv4"],
    ["2001:DB8::1", "=2001:db8::1", "IPv6"],
    ["[2001:db8::1]", "=2001:db8::1", "IPv6 in brackets"],
    ["*.internal", '"*.internal" is many names', "a star"],
    ["api.internal:443", '"api.internal:443" has a port, which is not looked at', "a port"],
    ["fe80::1%eth0", '"fe80::1%eth0" is no host', "a scope"],
    ["", "empty", "none"],
  ]],
  ["readPin", readPin, [
    [PIN, `=${PIN}`, "base64 of 32 bytes"],
    [`sha256/${PIN}`, `"sha256/${PIN}" says its kind`, "as browsers had it"],
    [`sha256//${PIN}`, `"sha256//${PIN}" says its kind`, "as curl has it"],
    [`pin-sha256="${PIN}"`, `"pin-sha256="${PIN}"" says its kind`, "as RFC 7469 has it"],
    [HEX, `"${HEX}" is in hexadecimal`, "as openssl prints it"],
    [PIN.slice(0, -1), `"${PIN.slice(0, -1)}" is no SHA-256 in base64`, "without its end"],
    [PIN.replace("U=", "V="), `"${PIN.replace("U=", "V=")}" is no SHA-256 in base64`, "bits that nobody has"],
    ["", '"" is no SHA-256 in base64', "none"],
  ]],
  ["readAlpn", readAlpn, [
    ["h2", "=h2", "HTTP/2"],
    ["http/1.1", "=http/1.1", "HTTP/1.1"],
    ["x".repeat(255), `=${"x".repeat(255)}`, "as long as there is"],
    ["x".repeat(256), `"${"x".repeat(72)}..." is no name of a protocol`, "one more"],
    ["h2,http/1.1", '"h2,http/1.1" is more than one protocol', "a list in one text"],
    ["acme-tls/1", '"acme-tls/1" is answered for acme by itself', "not for users"],
    ["", "empty", "none"],
    ["a b", '"a b" is no name of a protocol', "a space"],
  ]],
  ["readEmail", readEmail, [
    ["ops@shop.example", "=ops@shop.example", "plain"],
    ["ops+tls@mail.shop.example", "=ops+tls@mail.shop.example", "with a tag"],
    ["mailto:ops@shop.example", '"mailto:ops@shop.example" begins with "mailto:"', "as ACME has it"],
    ["ops", '"ops" is no e-mail address', "no host"],
    ["ops@shop", '"ops@shop" is no e-mail address', "no public host"],
    ["@shop.example", '"@shop.example" is no e-mail address', "nobody"],
    ["a@b.c, d@e.f", '"a@b.c, d@e.f" is no e-mail address', "two"],
    ["größe@shop.example", '"größe@shop.example" is no e-mail address', "ACME takes ASCII"],
    ["", '"" is no e-mail address', "none"],
  ]],
  ["readDirectoryUrl", readDirectoryUrl, [
    ["https://acme.example/dir", "=https://acme.example/dir", "plain"],
    ["https://127.0.0.1:14000/dir", "=https://127.0.0.1:14000/dir", "one's own"],
    ["http://acme.example/dir", '"http://acme.example/dir" is not over TLS', "no TLS"],
    ["ftp://acme.example/dir", '"ftp://acme.example/dir" is no URL of https://', "no HTTP"],
    ["acme.example", '"acme.example" is no URL', "no scheme"],
    ["https://", '"https://" is no URL', "no host"],
    ["https://a:b@acme.example/", "a URL with a password", "somebody's"],
    ["https://acme.example/#x", '"#x" at the end, which nobody is sent', "a fragment"],
    [`https://${"a".repeat(2_000)}`, "a URL of 2008 characters", "huge"],
    ["", '"" is no URL', "none"],
  ]],
  ["readAllowUrl", readAllowUrl, [
    ["http://127.0.0.1:9000/allowed", "=http://127.0.0.1:9000/allowed", "without TLS"],
    ["https://a.example/?x=1", "=https://a.example/?x=1", "with a query"],
    ["unix:/run/a.sock", '"unix:/run/a.sock" is no URL of http:// or https://', "no HTTP"],
  ]],
  ["readKeyId", readKeyId, [
    ["kid-1_A.b", "=kid-1_A.b", "plain"],
    ["a b", '"a b" is no key\'s name', "a space"],
    ["", '"" is no key\'s name', "none"],
    ["x".repeat(513), `"${"x".repeat(72)}..." is no key's name`, "huge"],
  ]],
  ["readHmacKey", readHmacKey, [
    ["zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV", "=zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV", "base64url"],
    ["zWNDZM6eQGHWpSRTPal5+/IUYFTu7EajVA==", "=zWNDZM6eQGHWpSRTPal5-_IUYFTu7EajVA", "base64"],
    ["A".repeat(22), `=${"A".repeat(22)}`, "16 bytes"],
    ["A".repeat(20), "a key of 15 bytes, which is too short", "15 bytes"],
    ["A".repeat(1_000), "a key of 750 bytes, which is too long", "far too long"],
    ["A".repeat(25), "no base64url", "a length that there is not"],
    ["hush hush, not a word", "no base64url", "words"],
    ["", "no base64url", "none"],
  ]],
];

for (const [name, read, cases] of tables) {
  test(name, () => {
    for (const [text, want, why] of cases) {
      const reading = read(text);
      equal(reading.ok ? `=${reading.value}` : reading.what, want, why);
      ok(reading.ok || reading.remedy.length > 0, why);
    }
  });
}

test("remedies can be copied", () => {
  const cases: [read: Read, text: string, want: string][] = [
    [readPin, HEX, `write ${PIN}`],
    [readPin, HEX.toUpperCase().match(/../g)!.join(":"), `write ${PIN}`],
    [readPin, `sha256//${PIN}`, `write ${PIN}`],
    [readFilePath, "file:///etc/a.pem", "write /etc/a.pem"],
    [readEmail, "mailto:ops@shop.example", "write ops@shop.example"],
    [readDirectoryUrl, "http://acme.example/dir", "write https://acme.example/dir"],
    [readSniName, "shop.example:443", "write shop.example"],
    [readSniName, "münchen.example", "write xn--mnchen-3ya.example"],
    [readAlpn, "h2, http/1.1", "write [h2, http/1.1]"],
  ];
  for (const [read, text, want] of cases) {
    const reading = read(text);
    equal(reading.ok ? "" : reading.remedy, want, text);
  }
});

test("a key is never repeated, and nothing makes a reader throw", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 12, unit: "binary" }), (text) => {
      const reading = readHmacKey(text);
      ok(reading.ok || !`${reading.what}${reading.remedy}`.includes(text));
      for (const [, read] of tables) {
        const reading = read(text);
        deepEqual(Object.keys(reading).length > 1, true);
        ok(reading.ok || !/[\p{Cc}]/u.test(reading.what + reading.remedy), JSON.stringify(reading));
      }
    }),
    { numRuns: 500 },
  );
});
