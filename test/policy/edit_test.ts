import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { ForwardedShift, Forwarding } from "../../src/plan/plan.ts";
import {
  Drop,
  dropped,
  editAnswer,
  editRequest,
  hopsLeft,
  joinedNames,
  keepsDate,
  keptNames,
  viaPasses,
  withoutAddress,
} from "../../src/policy/edit.ts";
import { type Head, HeadFlag, makeHead, Method, Name } from "../../src/proto/head.ts";
import { parseAnswer, parseRequest } from "../../src/proto/http1_head.ts";
import { printBegin, printEnd, printFields, printOpen } from "../../src/proto/http1_print.ts";
import { Random } from "../sim/random.ts";
import { latin1, textOf } from "./routing_fixture.ts";

/** Where the head lies, and where it is printed. */
const HEAD_AT = 7, PRINT_AT = 20_000, BYTES = 40_000;
const bytes = new Uint8Array(BYTES);
const head = makeHead();
printOpen(bytes);

const REQUEST = "POST /a HTTP/1.1", ANSWER = "HTTP/1.1 200 OK";
const CHUNKED = "Transfer-Encoding: chunked";

/** Parses the head of these lines into `head`. */
function parse(first: string, lines: readonly string[]): void {
  const text = latin1([first, ...lines, "", ""].join("\r\n"));
  bytes.fill(0x20);
  bytes.set(text, HEAD_AT);
  const end = HEAD_AT + text.length;
  const taken = first.startsWith("HTTP/")
    ? parseAnswer(bytes, HEAD_AT, end, head, Method.Get)
    : parseRequest(bytes, HEAD_AT, end, head);
  strictEqual(taken, text.length, `${first} ${lines.join()}: refused with ${-taken}`);
}

/** The lines that are passed on as they came, the first one included. */
function printed(): string[] {
  printBegin(PRINT_AT, BYTES);
  printFields(head, dropped, 0);
  return textOf(bytes.subarray(PRINT_AT, printEnd())).split("\r\n").slice(0, -1);
}

/** Of a request with Host: what else is passed on as it came. */
function ofRequest(
  lines: readonly string[],
  { first = REQUEST, forwarded = 0, trusted = false } = {},
): string[] {
  parse(first, ["Host: a", ...lines]);
  editRequest(bytes, head, forwarded, trusted);
  const [line, host, ...kept] = printed();
  deepStrictEqual([line, host], [first, "Host: a"]);
  return kept;
}

function ofAnswer(lines: readonly string[], { first = ANSWER, unchunk = false } = {}): string[] {
  parse(first, lines);
  editAnswer(bytes, head, unchunk);
  const [line, ...kept] = printed();
  strictEqual(line, first);
  return kept;
}

describe("editRequest: fields of this one connection", () => {
  const ALL = undefined;
  const cases: [lines: string[], want: string[] | undefined, why: string][] = [
    [["Accept: */*", "Cookie: a=b", "X-A: 1", "X-A: 2"], ALL, "what is end-to-end stays"],
    [["Connection: keep-alive"], [], "Connection itself"],
    [["connection: close", "X-A: 1", "CONNECTION: x-b"], ["X-A: 1"], "however it is written, each of them"],
    [["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive"], [], "old habits"],
    [["TE: trailers"], [], "TE is written anew"],
    [["TE: gzip", "X-A: 1", "TE: trailers"], ["X-A: 1"], "each of them"],
    [["Upgrade: websocket"], [], "Upgrade that Connection does not name"],
    [["Connection: upgrade", "Upgrade: websocket"], ["Upgrade: websocket"], "Upgrade that it names"],
    [["Connection: Upgrade", "Upgrade: a", "Upgrade: b"], ["Upgrade: a", "Upgrade: b"], "each of them"],
    [
      ["Connection: upgrade", "Upgrade: h2c", "HTTP2-Settings: a"],
      ["HTTP2-Settings: a"],
      "h2c: nobody asked",
    ],
    [["Connection: upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: a"], [], "as its clients do"],
    [["Connection: upgrade"], [], "asked for, and to nothing"],
    [[CHUNKED, "Trailer: X-B"], ALL, "the body goes on as it is framed, with its trailers"],
    [["Content-Length: 3"], ALL, "the framing goes on"],
    [["Proxy-Authorization: Basic a", "Expect: 100-continue", "Content-Length: 1"], ALL, "not ours"],
    [["Max-Forwards: 3", "Proxy-Status: a", "Proxy-Authenticate: Basic"], ALL, "nobody's to drop"],
  ];
  for (const [lines, want = lines, why] of cases) {
    it(`${lines.join(", ")}: ${why}`, () => deepStrictEqual(ofRequest(lines), want));
  }

  it("HTTP/1.0 knows no Upgrade", () => {
    const first = "GET / HTTP/1.0",
      lines = ["Connection: upgrade, keep-alive", "Upgrade: websocket", "X-A: 1"];
    deepStrictEqual(ofRequest(lines, { first }), ["X-A: 1"]);
  });
});

describe("what Connection names", () => {
  const cases: [lines: string[], want: string[], why: string][] = [
    [["Connection: x-a", "X-A: 1", "X-B: 2"], ["X-B: 2"], "is dropped"],
    [["X-A: 1", "X-B: 2", "Connection: x-a"], ["X-B: 2"], "before it, too"],
    [["Connection: X-a", "x-A: 1", "X-A: 2", "x-a:"], [], "in whatever case, however often, empty or not"],
    [["Connection: x-a,x-b", "X-A: 1", "X-B: 2", "X-C: 3"], ["X-C: 3"], "several in one field"],
    [["Connection: x-a", "X-A: 1", "Connection: x-b", "X-B: 2"], [], "several fields"],
    [["Connection: close, x-a", "X-A: 1"], [], "beside a word"],
    [["Connection: , ,x-a ,\t, x-b\t,", "X-A: 1", "X-B: 2"], [], "among empty elements and blanks"],
    [["Connection: x-a", "X-Ab: 1", "X-: 2", "A: 3"], ["X-Ab: 1", "X-: 2", "A: 3"], "the whole name"],
    [["Connection: a^", "A~: 1", "A^: 2", "a^: 3"], ["A~: 1"], "letters have a case, other octets do not"],
    [["Connection: cookie, authorization", "Cookie: a=b", "Authorization: c"], [], "whatever it is"],
    [["Connection: user-agent, referer", "User-Agent: a", "Referer: b"], [], "known ones, too"],
    [["Connection: connection, te, upgrade", "TE: trailers", "Upgrade: a"], ["Upgrade: a"], "decided above"],
    [["Connection: trailer", "Trailer: X-A", CHUNKED], [CHUNKED], "Trailer only announces"],
    [["Connection: content-length, x", "Content-Length: 3"], ["Content-Length: 3"], "not the framing"],
    [["Connection: transfer-encoding, x", CHUNKED], [CHUNKED], "not the framing"],
    [["Connection: via, x", "Via: 1.1 a"], ["Via: 1.1 a"], "not the way it came"],
    [["Connection: host, x-a", "X-A: 1"], [], "not Host, which is kept"],
  ];
  for (const [lines, want, why] of cases) {
    it(`${lines.join(" | ")}: ${why}`, () => deepStrictEqual(ofRequest(lines), want));
  }

  it("a client cannot have its own fields told from ours by naming them", () => {
    const append = Forwarding.Append << ForwardedShift.XForwardedFor;
    const lines = ["X-Forwarded-For: 192.0.2.1", "Connection: x-forwarded-for"];
    deepStrictEqual(ofRequest(lines, { forwarded: append, trusted: true }), []);
    strictEqual(joinedNames, 0, "nor is it joined");
  });
});

/** Every Forwarding, by name. */
const HOWS: readonly [name: string, how: Forwarding][] = [
  ["leave", Forwarding.Leave],
  ["append", Forwarding.Append],
  ["replace", Forwarding.Replace],
  ["off", Forwarding.Off],
];

const ALL_OFF = (1 << (ForwardedShift.Traceparent + 2)) - 1;

/** What becomes of a field that came, as leave, append, replace, off. */
const K = Drop.Kept, D = Drop.Dropped, J = Drop.Joined;
const LIST = [K, J, D, D], VALUE = [K, K, D, D], NEVER = [D, D, D, D];

describe("editRequest: what tells about the client", () => {
  const cases: [
    field: string,
    shift: ForwardedShift,
    name: Name,
    trusted: readonly Drop[],
    untrusted: readonly Drop[],
  ][] = [
    ["X-Forwarded-For: 192.0.2.1", ForwardedShift.XForwardedFor, Name.XForwardedFor, LIST, NEVER],
    ["Forwarded: for=192.0.2.1", ForwardedShift.Forwarded, Name.Forwarded, LIST, NEVER],
    ["Via: 1.1 a", ForwardedShift.Via, Name.Via, LIST, LIST],
    ["X-Forwarded-Proto: https", ForwardedShift.XForwardedProto, Name.XForwardedProto, VALUE, NEVER],
    ["X-Forwarded-Host: b", ForwardedShift.XForwardedHost, Name.XForwardedHost, VALUE, NEVER],
    ["X-Forwarded-Port: 1", ForwardedShift.XForwardedPort, Name.XForwardedPort, VALUE, NEVER],
    ["X-Real-IP: 192.0.2.1", ForwardedShift.XRealIp, Name.XRealIp, VALUE, NEVER],
    ["X-Request-ID: 7", ForwardedShift.XRequestId, Name.XRequestId, VALUE, NEVER],
    ["traceparent: 00-1-2-01", ForwardedShift.Traceparent, Name.Traceparent, VALUE, VALUE],
  ];
  for (const [field, shift, name, ...expected] of cases) {
    for (const [index, trusted] of [true, false].entries()) {
      HOWS.forEach(([word, how], at) => {
        it(`${word}, ${trusted ? "trusted" : "anybody"}: ${field}`, () => {
          const want = expected[index][at], bit = 1 << name;
          // The other fields' bits say something else: each is asked for its own.
          const others = how === Forwarding.Off ? 0 : ALL_OFF & ~(3 << shift);
          const forwarded = others | (how << shift);
          const kept = ofRequest([field, "X-A: 1", field], { forwarded, trusted });
          deepStrictEqual(kept, want === K ? [field, "X-A: 1", field] : ["X-A: 1"]);
          deepStrictEqual([...dropped.subarray(1, 4)], [want, K, want]);
          strictEqual((keptNames & bit) !== 0, want === K, "kept, by name");
          strictEqual((joinedNames & bit) !== 0, want === J, "joined, by name");
        });
      });
    }
  }

  it("names are kept and joined for this head only", () => {
    const forwarded = Forwarding.Append << ForwardedShift.Via;
    ofRequest(["Via: 1.1 a", "X-Real-IP: 192.0.2.1"], { forwarded, trusted: true });
    deepStrictEqual([keptNames & (1 << Name.XRealIp), joinedNames], [1 << Name.XRealIp, 1 << Name.Via]);
    ofRequest([], { forwarded, trusted: true });
    deepStrictEqual([keptNames, joinedNames], [1 << Name.Host, 0]);
  });

  it("a list that is only partly kept does not exist", () => {
    const forwarded = Forwarding.Append << ForwardedShift.XForwardedFor;
    const lines = ["X-Forwarded-For: 192.0.2.1", "X-A: 1", "X-Forwarded-For: 192.0.2.2"];
    deepStrictEqual(ofRequest(lines, { forwarded, trusted: true }), ["X-A: 1"]);
    deepStrictEqual([...dropped.subarray(1, 4)], [J, K, J]);
  });
});

describe("editAnswer: whether a Date is kept", () => {
  const DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
  const cases: [lines: string[], want: boolean, why: string][] = [
    [["Server: a"], false, "there is none"],
    [["Server: a", DATE, "X-A: 1"], true, "there is one"],
    [["Connection: date", DATE], false, "it belongs to the connection"],
    [["Last-Modified: a", "X-Date: b"], false, "other dates"],
  ];
  for (const [lines, want, why] of cases) {
    it(why, () => {
      ofAnswer(lines);
      strictEqual(keepsDate, want);
    });
  }
});

describe("editAnswer", () => {
  const cases: [lines: string[], want: string[], why: string][] = [
    [
      ["Server: a", "Set-Cookie: a=b", "Set-Cookie: c=d"],
      ["Server: a", "Set-Cookie: a=b", "Set-Cookie: c=d"],
      "end-to-end",
    ],
    [["Connection: close", "Keep-Alive: timeout=5", "Proxy-Connection: close"], [], "its own connection"],
    [["Connection: x-a, close", "X-A: 1", "X-B: 2"], ["X-B: 2"], "what it names"],
    [["Connection: x-a", "Connection: set-cookie", "X-A: 1", "Set-Cookie: a=b"], [], "several lists"],
    [["Connection: content-length, via", "Content-Length: 3", "Via: 1.1 a"], [
      "Content-Length: 3",
      "Via: 1.1 a",
    ], "what no connection may take"],
    [["Upgrade: h3"], [], "an offer is for us alone"],
    [["Proxy-Status: a; error=b", "Proxy-Authenticate: Basic"], [
      "Proxy-Status: a; error=b",
      "Proxy-Authenticate: Basic",
    ], "what proxies before us said"],
    [
      ["X-Forwarded-For: 192.0.2.1", "Via: 1.1 a"],
      ["X-Forwarded-For: 192.0.2.1", "Via: 1.1 a"],
      "says nothing about our client",
    ],
    [[CHUNKED, "Trailer: X-A"], [CHUNKED, "Trailer: X-A"], "the framing goes on"],
  ];
  for (const [lines, want, why] of cases) {
    it(`${lines.join(" | ")}: ${why}`, () => deepStrictEqual(ofAnswer(lines), want));
  }

  it("where its chunks are taken away, so is what tells of them", () => {
    const lines = [CHUNKED, "Trailer: X-A", "X-A: 1"];
    deepStrictEqual(ofAnswer(lines, { unchunk: true }), ["X-A: 1"]);
  });

  it("101 says to what it switches", () => {
    const first = "HTTP/1.1 101 Switching Protocols", lines = ["Connection: Upgrade", "Upgrade: websocket"];
    deepStrictEqual(ofAnswer(lines, { first }), ["Upgrade: websocket"]);
  });
});

describe("viaPasses", () => {
  const cases: [lines: string[], want: number, why: string][] = [
    [[], 0, "no Via"],
    [["Via: 1.1 a, 1.0 b"], 0, "others'"],
    [["Via: 1.1 sluice"], 1, "ours"],
    [["Via: 1.1 SLUICE"], 1, "names have no case"],
    [["Via: 1.1 sluice, 1.1 a, 1.1 sluice"], 2, "each entry"],
    [["Via: 1.1 a", "X-A: sluice", "Via: 1.1 sluice,1.1 sluice", "Via: 1.1 sluice"], 3, "every Via"],
    [["X-Via: 1.1 sluice", "Forwarded: by=sluice"], 0, "nothing but Via"],
    [["Via: 1.1 sluic", "Via: e"], 0, "not across two fields"],
    [["Via: 1.1 sluicegate, 1.1 my-sluice, 1.1 sluice:80"], 0, "not within a longer name"],
    [["Via: 1.1 sluice (x),1.1\tsluice"], 2, "before a comment, behind a tab"],
  ];
  for (const [lines, want, why] of cases) {
    it(`${lines.join(" | ") || "nothing"}: ${why}`, () => {
      parse(REQUEST, ["Host: a", ...lines]);
      strictEqual(viaPasses(bytes, head), want);
    });
  }
});

describe("names with underscores", () => {
  it("that CGI reads like one of ours are dropped, whoever says them", () => {
    const lines = ["X_Forwarded_For: 1.2.3.4", "x-real_ip: 1.2.3.4", "Content_Length: 9", "X_Other: 1"];
    for (const trusted of [false, true]) deepStrictEqual(ofRequest(lines, { trusted }), ["X_Other: 1"]);
  });
});

describe("withoutAddress", () => {
  const { Leave, Append, Replace, Off } = { Leave: 0, Append: 1, Replace: 2, Off: 3 };
  for (const [way, want] of [[Leave, Leave], [Append, Leave], [Replace, Off], [Off, Off]]) {
    it(`makes ${way} of an address ${want}, and leaves the rest`, () => {
      const rest = Append << ForwardedShift.Via | Replace << ForwardedShift.XForwardedProto;
      const of = (how: number) => rest | how << ForwardedShift.XForwardedFor | how << ForwardedShift.XRealIp;
      strictEqual(withoutAddress(of(way)), of(want));
    });
  }
});

describe("hopsLeft", () => {
  const cases: [first: string, lines: string[], want: number, why: string][] = [
    ["OPTIONS * HTTP/1.1", ["Max-Forwards: 3"], 3, "RFC 9110 section 7.6.2"],
    ["TRACE / HTTP/1.1", ["max-forwards: 0"], 0, "no further"],
    ["OPTIONS / HTTP/1.1", ["Max-Forwards: 007"], 7, "leading zeros are digits"],
    [
      "OPTIONS / HTTP/1.1",
      ["Max-Forwards: 999999999"],
      999_999_999,
      "as long as it is a number that we count",
    ],
    ["OPTIONS / HTTP/1.1", ["Max-Forwards: 9999999999"], -1, "longer: it is left alone"],
    ["OPTIONS / HTTP/1.1", [], -1, "it does not say"],
    ["OPTIONS / HTTP/1.1", ["Max-Forwards:"], -1, "nothing is no number"],
    ["OPTIONS / HTTP/1.1", ["Max-Forwards: -1"], -1, "nor is a sign"],
    ["OPTIONS / HTTP/1.1", ["Max-Forwards: 1, 2"], -1, "nor a list"],
    ["GET / HTTP/1.1", ["Max-Forwards: 0"], -1, "other methods do not count"],
  ];
  for (const [first, lines, want, why] of cases) {
    it(`${first}, ${lines.join(" | ") || "nothing"}: ${why}`, () => {
      parse(first, ["Host: a", ...lines]);
      strictEqual(hopsLeft(bytes, head), want);
    });
  }
});

/** Names of fields that heads below may have, beside some that nobody knows. */
const NAMES = [
  "Accept",
  "Cookie",
  "X-A",
  "X-B",
  "x-a",
  "X_A",
  "Via",
  "Content-Length",
  "Referer",
  "User-Agent",
  "Keep-Alive",
  "Proxy-Connection",
  "TE",
  "Upgrade",
  "Trailer",
  "Server",
  "Proxy-Status",
  "X-Forwarded-For",
  "Max-Forwards",
  "A",
  "a^",
  "A~",
  "Date",
];
const PROTECTED = ["host", "content-length", "transfer-encoding", "via", "upgrade"];
const HOP = ["connection", "keep-alive", "proxy-connection"];

function anyCase(random: Random, text: string): string {
  return [...text].map((letter) => random.oneIn(2) ? letter.toUpperCase() : letter.toLowerCase()).join("");
}

/** A Connection field: names, words, empty elements, blanks. */
function connection(random: Random): string {
  const elements = Array.from({ length: random.below(5) }, () => {
    const word = random.pick([...NAMES, "Host", "close", "keep-alive", "upgrade", "Connection", ""]);
    return random.pick(["", " ", "\t"]) + anyCase(random, word) + random.pick(["", " "]);
  });
  return `${anyCase(random, "connection")}:${elements.join(",")}`;
}

/** Lines of a head that can be parsed. */
function someLines(random: Random): string[] {
  const lines = Array.from({ length: random.below(20) }, () => {
    if (random.oneIn(5)) return connection(random);
    const name = random.pick(NAMES), blank = random.pick(["", " ", "\t "]);
    const value = name === "Content-Length" ? "3" : name === "Upgrade" ? "websocket" : someValue(random);
    return `${anyCase(random, name)}:${blank}${value}${random.pick(["", " "])}`;
  });
  const isLength = (line: string): boolean => /^content-length:/i.test(line);
  return lines.filter((line, at) => !isLength(line) || lines.findIndex(isLength) === at);
}

/** Commas, colons, letters and what is not ASCII. */
function someValue(random: Random): string {
  return textOf(new Uint8Array(random.size(200)).map(() => random.pick([0x2c, 0x3a, 0x41, 0x61, 0xe9])));
}

const nameOf = (line: string): string => line.slice(0, line.indexOf(":")).toLowerCase();

/** What is to be passed on, told by the lines alone. */
function expected(lines: readonly string[], asksUpgrade: boolean, hop: readonly string[]): string[] {
  const named = new Set(
    lines.filter((line) => nameOf(line) === "connection")
      .flatMap((line) => line.slice(line.indexOf(":") + 1).split(","))
      .map((option) => option.trim().toLowerCase())
      .filter((option) => !PROTECTED.includes(option)),
  );
  return lines.filter((line) => {
    const name = nameOf(line);
    if (name === "upgrade") return asksUpgrade;
    return !hop.includes(name) && !named.has(name);
  });
}

describe("whatever the head: what is of the connection goes, the rest stays, byte for byte and in order", () => {
  const kinds: [what: string, first: string, hop: string[], edit: (head: Head) => void][] = [
    ["requests", REQUEST, [...HOP, "te"], (head) => editRequest(bytes, head, 0, true)],
    ["answers", ANSWER, HOP, (head) => editAnswer(bytes, head, false)],
  ];
  for (const [what, first, hop, edit] of kinds) {
    it(what, () => {
      let namedSome = 0, upgrades = 0;
      for (let seed = 1; seed <= 3_000; seed++) {
        const random = new Random(seed), lines = someLines(random);
        lines.splice(random.below(lines.length + 1), 0, "Host: a");
        parse(first, lines);
        const asksUpgrade = (head.flags & HeadFlag.Upgrade) !== 0;
        edit(head);
        const want = expected(lines, asksUpgrade, hop);
        deepStrictEqual(printed(), [first, ...want], `seed ${seed}`);
        const unnamed = lines.filter((line) => nameOf(line) !== "connection");
        if (want.length < expected(unnamed, asksUpgrade, hop).length) namedSome++;
        if (asksUpgrade) upgrades++;
      }
      strictEqual(namedSome > 500, true, `Connection named something in ${namedSome} heads only`);
      strictEqual(upgrades > 50, true, `${upgrades} heads asked for an upgrade`);
    });
  }
});
