// DER that somebody else wrote: what is read of it, and that nothing which can stand in a file makes a reader throw.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { pemBlocks, pemOf } from "../../../src/control/certificates/pem.ts";
import { certificateOf, ocspAnswerOf, revocationListOf } from "../../../src/control/certificates/x509.ts";
import { Certificates, type Made } from "../../support/certificates.ts";

const all = new Certificates();
after(() => all[Symbol.dispose]());

function derOf(path: string): Uint8Array {
  return pemBlocks(readFileSync(path, "latin1"))[0].der;
}

const leaf = all.leaf("a.example"), certificate = derOf(leaf.cert);
const until = new Date(Date.now() + 86_400_000), from = new Date(Date.now() - 86_400_000);
const crlPath = all.revoked(all.root, [leaf], { from, until });
const crl = derOf(crlPath), ocsp = new Uint8Array(readFileSync(all.ocsp(all.root, leaf)));
const readers = { certificateOf, revocationListOf, ocspAnswerOf };
const given = { certificate, crl, ocsp };

describe("DER", () => {
  it("of a certificate, a list and an answer is read, each by its own reader alone", () => {
    equal(certificateOf(certificate)?.subject, "a.example");
    const list = revocationListOf(crl);
    deepEqual([list?.issuer, list?.count], ["Test Root", 1]);
    equal(list?.nextUpdate, Math.floor(until.getTime() / 1_000) * 1_000);
    equal(list?.thisUpdate, Math.floor(from.getTime() / 1_000) * 1_000);
    const answer = ocspAnswerOf(ocsp);
    deepEqual([answer?.status, answer?.serial], ["revoked", certificateOf(certificate)?.serial]);
    ok((answer?.nextUpdate ?? 0) > Date.now());
    for (const [at, read] of Object.values(readers).entries()) {
      const mine = Object.values(given).map((der, of) => read(der) === undefined ? -1 : of).filter((of) =>
        of >= 0
      );
      deepEqual(mine, [at]);
    }
  });

  it("cut anywhere is none", () => {
    for (const [name, der] of Object.entries(given)) {
      for (let end = 0; end < der.length; end++) {
        for (const read of Object.values(readers)) {
          equal(read(der.subarray(0, end)), undefined, `${name} cut at ${end}`);
        }
      }
    }
  });

  it("with something behind its end is none", () => {
    for (const der of Object.values(given)) {
      for (const read of Object.values(readers)) equal(read(new Uint8Array([...der, 0])), undefined);
    }
  });

  it("with any byte changed is read or refused, and never throws", () => {
    const change = fc.record({
      der: fc.constantFrom(...Object.values(given)),
      at: fc.nat(),
      byte: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(change, ({ der, at, byte }) => {
        const changed = new Uint8Array(der);
        changed[at % der.length] = byte;
        for (const read of Object.values(readers)) read(changed);
      }),
      { numRuns: 3_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        for (const read of Object.values(readers)) equal(read(bytes), undefined);
      }),
      { numRuns: 1_000 },
    );
  });

  it("of certificates: who issues, who is an authority, for what they are", () => {
    const of = ({ cert }: Made) => certificateOf(derOf(cert));
    const root = of(all.root), client = of(all.client("alice"));
    deepEqual([root?.isAuthority, root?.isSelfIssued, root?.uses], [true, true, undefined]);
    deepEqual(client?.uses, ["client"]);
    deepEqual(of(leaf)?.uses, ["server"]);
    equal(of(all.make({ names: ["x.example"], namesIssuer: true }))?.namesIssuer, true);
    equal(of(leaf)?.namesIssuer, false);
  });
});

describe("PEM", () => {
  it("is what stands between its lines", () => {
    const text = pemOf("CERTIFICATE", certificate);
    deepEqual(pemBlocks(`before\n${text}between ${text}after`).map(({ label }) => label), [
      "CERTIFICATE",
      "CERTIFICATE",
    ]);
    deepEqual(pemBlocks(text)[0].der, certificate);
  });

  it("without an end, or with that of something else, is none", () => {
    const cases: [text: string, want: number, why: string][] = [
      ["-----BEGIN CERTIFICATE-----\nAAAA\n", 0, "no end"],
      ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----\n", 0, "another end"],
      ["-----BEGIN A-----\nAAAA\n-----END A-----", 1, "no line end behind it"],
      ["-----BEGIN a-----\nAAAA\n-----END a-----", 0, "labels are in capitals"],
      ["-----BEGIN A-----", 0, "the beginning alone"],
      ["", 0, "nothing"],
    ];
    for (const [text, want, why] of cases) equal(pemBlocks(text).length, want, why);
    equal(pemBlocks("-----BEGIN A-----\n*\n-----END A-----")[0].der.length, 0, "no base64");
  });

  it("is read in time that its length bounds", () => {
    const began = performance.now();
    equal(pemBlocks("-----BEGIN A-----\n".repeat(50_000)).length, 0);
    ok(performance.now() - began < 2_000);
  });
});
