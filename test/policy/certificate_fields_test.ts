// What a server is told of a client's certificate, and what a client cannot tell it in our place: whole heads, as
// they are printed.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ARENA_FIRST,
  ForwardedShift,
  Forwarding,
  makePlan,
  NO_SIZES,
  type Plan,
} from "../../src/plan/plan.ts";
import { printRequest } from "../../src/policy/request_head.ts";
import { FULL, printBegin, printEnd, printOpen } from "../../src/proto/http1_print.ts";
import { clientOf, inputsOf, latin1, request, textOf } from "./routing_fixture.ts";

const LISTENER = 1, SERVER = 1, PROFILE = 1;
/** Where it is printed, behind the request. */
const PRINT_AT = 2_000, BYTES = 8_000;

const ASKED = (Forwarding.Replace << ForwardedShift.ClientCert) |
  (Forwarding.Replace << ForwardedShift.ClientCertSubject) |
  (Forwarding.Replace << ForwardedShift.ClientCertFingerprint);

/** Of a listener beside one that asks. */
const BESIDE = ASKED >> 1;

function planOf(forwarded: number, tls = NO_TLS): Plan {
  const plan = makePlan(1, { ...NO_SIZES, listeners: 2, servers: 2, trusted: 1, arenaBytes: 64 });
  plan.listenerForwarded[LISTENER] = forwarded;
  plan.listenerTls[LISTENER] = tls;
  plan.listenerPort[LISTENER] = 8443;
  return plan;
}

const NO_TLS = 0;

/** Its listener trusts every IPv4 address. */
function trusting(plan: Plan): Plan {
  plan.arena.set([4, 0], ARENA_FIRST);
  plan.trustedAt[0] = ARENA_FIRST;
  plan.listenerTrustedCount[LISTENER] = 1;
  return plan;
}

interface Shown {
  readonly certificate?: string;
  readonly subject?: string;
  readonly fingerprint?: string;
}

/** The lines that a server gets of a request with these, but for Host; undefined: they do not fit. */
function told(plan: Plan, lines: readonly string[], shown: Shown = {}, end = BYTES): string[] | undefined {
  const given = request("/", lines), bytes = new Uint8Array(BYTES);
  bytes.set(given.bytes);
  const facts = new Uint8Array(1_000);
  let factAt = 3;
  const place = (text = "") => {
    const from = factAt;
    facts.set(latin1(text), from);
    factAt += text.length;
    return [from, factAt];
  };
  const [certificateAt, certificateEnd] = place(shown.certificate);
  const [subjectAt, subjectEnd] = place(shown.subject);
  const [fingerprintAt, fingerprintEnd] = place(shown.fingerprint);
  const inputs = inputsOf(given, {
    ...clientOf("192.0.2.1"),
    bytes,
    facts,
    certificateAt,
    certificateEnd,
    subjectAt,
    subjectEnd,
    fingerprintAt,
    fingerprintEnd,
  });
  printOpen(bytes);
  printBegin(PRINT_AT, end);
  strictEqual(printRequest(plan, LISTENER, SERVER, 0, false, inputs), true);
  if (printEnd() === FULL) return undefined;
  const [line, host, ...rest] = textOf(bytes.subarray(PRINT_AT, printEnd())).split("\r\n");
  deepStrictEqual([line, host, rest.slice(-2)], ["GET / HTTP/1.1", "Host: shop.example", ["", ""]]);
  return rest.slice(0, -2);
}

const SHOWN: Shown = { certificate: ":AAE=:", subject: "CN=alice", fingerprint: "00ff" };
const OURS = ["Client-Cert: :AAE=:", "X-Client-Cert-Subject: CN=alice", "X-Client-Cert-Fingerprint: 00ff"];

describe("fields of a client's certificate", () => {
  const cases: [lines: string[], kept: string[], why: string][] = [
    [["Client-Cert: :AAAA:"], [], "the certificate"],
    [["Client-Cert-Chain: :AAAA:"], [], "what leads to its authority"],
    [["X-Client-Cert-Subject: CN=root", "x-client-cert-fingerprint: 1"], [], "in whatever case"],
    [
      ["X-A: 1", "CLIENT-CERT: a", "X-B: 2", "client-cert:", "X-C: 3"],
      ["X-A: 1", "X-B: 2", "X-C: 3"],
      "each of them",
    ],
    [["Client_Cert: a", "X_Client-Cert_Subject: b", "client_cert_chain: c"], [], "as CGI would read them"],
    [["Client-Certs: a", "X-Client-Cert: b", "Client-Cer: c"], [
      "Client-Certs: a",
      "X-Client-Cert: b",
      "Client-Cer: c",
    ], "no other names"],
    [["X-Client-Cert-Issuer: a"], ["X-Client-Cert-Issuer: a"], "nor those that we do not write"],
    [["Client\x7eCert: a"], ["Client\x7eCert: a"], "a hyphen is no other octet"],
    [["Connection: client-cert", "Client-Cert: a"], [], "named or not"],
  ];
  for (const [lines, kept, why] of cases) {
    it(`${lines.join(" | ")}: ${why}`, () => {
      deepStrictEqual(told(planOf(ASKED), lines), kept, "none was shown");
      deepStrictEqual(told(planOf(ASKED), lines, SHOWN), [...kept, ...OURS], "one was");
      const untouched = lines[0].startsWith("Connection") ? [] : lines;
      deepStrictEqual(told(planOf(0), lines, SHOWN), untouched, "nobody asks for one");
      deepStrictEqual(told(planOf(BESIDE), lines, SHOWN), kept, "another listener asks for one");
      deepStrictEqual(told(trusting(planOf(BESIDE)), lines, SHOWN), untouched, "and a trusted proxy said it");
    });
  }

  it("are told as far as there is something to tell", () => {
    deepStrictEqual(told(planOf(ASKED), [], { certificate: ":AAE=:" }), [OURS[0]]);
    deepStrictEqual(told(planOf(ASKED), [], { ...SHOWN, subject: "" }), [OURS[0], OURS[2]]);
  });

  it("are the route's own where it says so", () => {
    for (
      const [at, shift] of [
        ForwardedShift.ClientCert,
        ForwardedShift.ClientCertSubject,
        ForwardedShift.ClientCertFingerprint,
      ].entries()
    ) {
      const plan = planOf(ASKED | (Forwarding.Off << shift));
      deepStrictEqual(told(plan, ["Client-Cert: a"], SHOWN), OURS.filter((_, index) => index !== at));
    }
  });

  it("hold nothing that could end them", () => {
    const subject = "CN=a\r\nX-Evil: 1\0\xe9\\,O= b";
    deepStrictEqual(told(planOf(ASKED), [], { subject }), [
      "X-Client-Cert-Subject: CN=a\\0D\\0AX-Evil: 1\\00\\E9\\,O= b",
    ]);
  });

  it("do not fit, or fit whole", () => {
    const whole = told(planOf(ASKED), [], SHOWN)!;
    let room = PRINT_AT;
    while (told(planOf(ASKED), [], SHOWN, room) === undefined) room++;
    deepStrictEqual(told(planOf(ASKED), [], SHOWN, room), whole);
    const length = ["GET / HTTP/1.1", "Host: shop.example", ...whole, "", ""].join("\r\n").length;
    strictEqual(room - PRINT_AT, length + 3, "and the room behind it");
  });
});

describe("the scheme that servers are told", () => {
  const all = Forwarding.Append << ForwardedShift.XForwardedProto |
    Forwarding.Append << ForwardedShift.XForwardedPort | Forwarding.Append << ForwardedShift.Forwarded;
  for (const [tls, scheme] of [[NO_TLS, "http"], [PROFILE, "https"]] as const) {
    it(scheme, () => {
      deepStrictEqual(told(planOf(all, tls), []), [
        `X-Forwarded-Proto: ${scheme}`,
        "X-Forwarded-Port: 8443",
        `Forwarded: for=192.0.2.1;host="shop.example";proto=${scheme}`,
      ]);
    });
  }
});
