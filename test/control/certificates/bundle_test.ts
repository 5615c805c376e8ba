import { deepEqual, equal, ok } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import {
  type Counted,
  readAuthorities,
  readOcsp,
  readRevocations,
  readTicketKeys,
} from "../../../src/control/certificates/bundle.ts";
import { readPair } from "../../../src/control/certificates/pair.ts";
import { Certificates } from "../../support/certificates.ts";

const all = new Certificates();
after(() => all[Symbol.dispose]());
const now = Date.now(), DAY_MS = 86_400_000;
const file = (...paths: string[]) => Buffer.concat(paths.map((path) => readFileSync(path)));

function told({ count, flaws }: Counted): string[] {
  return [String(count), ...flaws.map(({ severity, what }) => `${severity}: ${what}`)];
}

describe("authorities", () => {
  const gone = { from: new Date(now - 3 * DAY_MS), until: new Date(now - 2 * DAY_MS), by: "itself" } as const;
  const old = all.make({ names: ["Old"], isAuthority: true, isNameless: true, ...gone });

  it("are counted", () => {
    deepEqual(told(readAuthorities(file(all.root.cert, all.intermediate.cert), now)), ["2"]);
  });

  it("that are not valid now are a warning", () => {
    deepEqual(told(readAuthorities(file(all.root.cert, old.cert), now)), [
      "2",
      'warning: 1 of its 2 certificates is not valid now: "Old"',
    ]);
    const [, only] = told(readAuthorities(file(old.cert), now));
    ok(only.startsWith('warning: "Old" expired 2 days ago'), only);
    deepEqual(told(readAuthorities(file(old.cert, old.cert), now)), [
      "2",
      "warning: none of its 2 certificates is valid now",
    ]);
  });

  it("are told from others' certificates, but for those that vouch for themselves", () => {
    deepEqual(told(readAuthorities(file(all.leaf("a.example").cert), now)), [
      "1",
      'warning: no authority\'s certificate: "a.example"',
    ]);
    deepEqual(told(readAuthorities(file(all.make({ names: ["me.example"], by: "itself" }).cert), now)), [
      "1",
    ]);
  });

  it("are not what stands in other files", () => {
    deepEqual(told(readAuthorities(file(all.root.key), now)), ["0", 'error: holds "PRIVATE KEY"']);
    deepEqual(told(readAuthorities(new Uint8Array(0), now)), ["0", "error: empty"]);
    const cut = file(all.root.cert).toString().replace(/\n[^\n]*\n-----END/, "\n-----END");
    deepEqual(told(readAuthorities(Buffer.concat([file(all.root.cert), Buffer.from(cut)]), now)), [
      "0",
      "error: certificate 2 of 2 in it is no certificate",
    ]);
  });
});

describe("lists of the revoked", () => {
  const list = all.revoked(all.root, [all.leaf("a.example")]);

  it("are counted, each with its day", () => {
    deepEqual(told(readRevocations(file(list, list), now)), ["2"]);
    const [, late] = told(readRevocations(file(list), now + 60 * DAY_MS));
    ok(
      /^warning: the list of "Test Root" was due anew (29|30) days ago, on .*: until it is/.test(late),
      late,
    );
    const [, early] = told(readRevocations(file(list), now - 60 * DAY_MS));
    ok(early.endsWith("which is yet to come"), early);
  });

  it("are not what stands in other files", () => {
    deepEqual(told(readRevocations(file(all.root.cert), now)), ["0", 'error: holds "CERTIFICATE"']);
    const der = Buffer.from(readFileSync(list, "utf8").replace(/-----[^-]+-----|\s/g, ""), "base64");
    deepEqual(told(readRevocations(der, now)), ["0", "error: a list in DER"]);
  });
});

describe("an answer of OCSP", () => {
  const leaf = all.leaf("good.example"), bad = all.leaf("bad.example");
  const { pair } = readPair(file(leaf.chain), file(leaf.key), { use: "server", now });
  all.revoked(all.root, [bad]);

  it("is about its certificate, and of today", () => {
    const answer = file(all.ocsp(all.root, leaf));
    deepEqual(readOcsp(answer, pair?.certificate, now), []);
    deepEqual(readOcsp(answer, undefined, now), []);
    const [late] = readOcsp(answer, pair?.certificate, now + 10 * DAY_MS);
    ok(/^was due anew [23] days ago/.test(late.what), late.what);
  });

  it("of another certificate is refused, and one that says the worst is told", () => {
    const told = readOcsp(file(all.ocsp(all.root, bad)), pair?.certificate, now);
    deepEqual(told.map(({ severity, what }) => `${severity}: ${what}`), [
      "error: about another certificate",
      "warning: the certificate is revoked, and clients are told so",
    ]);
    equal(readOcsp(file(leaf.cert), pair?.certificate, now)[0].what, "no answer of OCSP in DER");
  });
});

describe("ticket keys", () => {
  const cases: [bytes: Uint8Array, want: string[], why: string][] = [
    [randomBytes(80), ["1"], "one"],
    [randomBytes(240), ["3"], "several"],
    [randomBytes(16 * 80), ["16"], "as many as there may be"],
    [randomBytes(17 * 80), ["0", "error: 17 keys"], "one more"],
    [randomBytes(48), ["0", "error: keys of 48 bytes: keys have 80"], "as nginx takes them too"],
    [randomBytes(79), ["0", "error: 79 bytes: keys have 80 each"], "one byte short"],
    [new Uint8Array(0), ["0", "error: empty"], "none"],
    [new Uint8Array(80), ["0", "error: a key that is the same byte over and over"], "no key"],
  ];
  for (const [bytes, want, why] of cases) it(why, () => deepEqual(told(readTicketKeys(bytes)), want));
});
