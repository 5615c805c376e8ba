import { deepEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { FIELDS_MAX, HEAD_BYTES_MAX, TARGET_BYTES_MAX } from "../../src/base/limits.ts";
import { FieldAt, findField, Form, Framing, HeadFlag, makeHead, Method, Name } from "../../src/proto/head.ts";
import { findHeadEnd, parseAnswer, parseRequest } from "../../src/proto/http1_head.ts";
import { ascii } from "../../src/proto/octet.ts";
import { Refusal, REFUSALS } from "../../src/proto/refusal.ts";

const head = makeHead();

/** Where heads lie in the bytes: nothing may depend on it, and what lies around is not to be read. */
const AT = 5;

function around(text: string): { bytes: Uint8Array; end: number } {
  const inner = ascii(text);
  const bytes = new Uint8Array(AT + inner.length + 8).fill(0x20);
  bytes.set(inner, AT);
  return { bytes, end: AT + inner.length };
}

/** -1: a request; a method: an answer to it. */
type Kind = Method | -1;

function parse(kind: Kind, bytes: Uint8Array, end: number): number {
  return kind === -1 ? parseRequest(bytes, AT, end, head) : parseAnswer(bytes, AT, end, head, kind);
}

/** The verdict on all of `text`, after checking that every beginning of it gives 0 or that verdict. */
function verdict(kind: Kind, text: string): number {
  const { bytes, end } = around(text);
  const whole = parse(kind, bytes, end);
  for (let cut = AT; cut < end; cut++) {
    const got = parse(kind, bytes, cut);
    if (got !== 0 && got !== whole) {
      throw new Error(`${JSON.stringify(text)} cut at ${cut - AT}: ${got}, not ${whole}`);
    }
  }
  return parse(kind, bytes, end);
}

/** A span of the head that was parsed last. */
function span(text: string, from: number, end: number): string {
  const { bytes } = around(text);
  return String.fromCharCode(...bytes.subarray(head.at + from, head.at + end));
}

function fieldsOf(text: string): [string, string][] {
  return Array.from({ length: head.fieldCount }, (_, field) => {
    const place = field * FieldAt.Length, at = head.fields;
    return [
      span(text, at[place + FieldAt.Name], at[place + FieldAt.NameEnd]),
      span(text, at[place + FieldAt.Value], at[place + FieldAt.ValueEnd]),
    ];
  });
}

const H = "Host: a\r\n";
/** A request with these lines behind its request line and Host. */
const post = (lines: string) => `POST / HTTP/1.1\r\n${H}${lines}\r\n`;
const get = (target: string, lines = H) => `GET ${target} HTTP/1.1\r\n${lines}\r\n`;

describe("parseRequest refuses", () => {
  const cases: [text: string, want: Refusal, why: string][] = [
    ["GET / HTTP/1.1\nHost: a\n\n", Refusal.BareLf, "LF behind the request line"],
    ["GET / HTTP/1.1\r\nHost: a\n\r\n", Refusal.BareLf, "LF behind a field"],
    ["GET / HTTP/1.1\r\nHost: a\r\n\n", Refusal.BareLf, "LF as the empty line"],
    ["GET /\n", Refusal.BareLf, "LF behind the target"],
    ["GET\n", Refusal.BareLf, "LF behind the method"],
    ["\nGET / HTTP/1.1\r\n", Refusal.BareLf, "LF before the request"],
    ["GET / HTTP/1.1\rHost: a\r\n\r\n", Refusal.BareCr, "CR behind the request line"],
    ["GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Refusal.BareCr, "CR within a value"],
    ["GET / HTTP/1.1\r\nHost: a\r\n\rX", Refusal.BareCr, "CR as the empty line"],
    ["\rGET / HTTP/1.1\r\n", Refusal.BareCr, "CR before the request"],
    ["\r\n\r\nGET / HTTP/1.1\r\n", Refusal.TooManyEmptyLines, "RFC 9112 2.2 asks for one"],
    ["\r\n\nGET / HTTP/1.1\r\n", Refusal.TooManyEmptyLines, "an empty line, then LF"],
    ["\x16\x03\x01\x02\x00", Refusal.TlsOnPlain, "a ClientHello"],
    [" GET / HTTP/1.1\r\n", Refusal.BadMethod, "space before the method"],
    ["GE(T / HTTP/1.1\r\n", Refusal.BadMethod, "not a token"],
    ["GET\t/ HTTP/1.1\r\n", Refusal.BadMethod, "HTAB is no separator"],
    ["GET\r\n", Refusal.BadMethod, "no target"],
    ["G\0T / HTTP/1.1\r\n", Refusal.BadMethod, "NUL"],
    [`PRI / HTTP/1.1\r\n`, Refusal.BadMethod, "RFC 9113 11.6: reserved"],
    [`${"A".repeat(33)} / HTTP/1.1\r\n`, Refusal.MethodTooLong, "33 octets"],
    ["GET  / HTTP/1.1\r\n", Refusal.BadTarget, "two spaces"],
    ["GET /a b HTTP/1.1\r\n", Refusal.BadVersion, "space within the target"],
    ["GET /a\tb HTTP/1.1\r\n", Refusal.BadTarget, "HTAB within the target"],
    ["GET /a#b HTTP/1.1\r\n", Refusal.BadTarget, "a fragment"],
    ["GET /?a#b HTTP/1.1\r\n", Refusal.BadTarget, "a fragment behind the query"],
    ["GET /\x80 HTTP/1.1\r\n", Refusal.BadTarget, "not ASCII"],
    ["GET /?\xff HTTP/1.1\r\n", Refusal.BadTarget, "not ASCII, in the query"],
    ["GET /\x7f HTTP/1.1\r\n", Refusal.BadTarget, "DEL"],
    ["GET /\0 HTTP/1.1\r\n", Refusal.BadTarget, "NUL"],
    ["GET /a\rb HTTP/1.1\r\n", Refusal.OldVersion, "CR ends a simple request"],
    [`GET /${"a".repeat(TARGET_BYTES_MAX)} HTTP/1.1\r\n`, Refusal.TargetTooLong, "one more than is taken"],
    [`GET /?${"a".repeat(TARGET_BYTES_MAX)} HTTP/1.1\r\n`, Refusal.TargetTooLong, "the query counts"],
    ["GET /\r\n", Refusal.OldVersion, "HTTP/0.9"],
    ["GET / HTTP/0.9\r\n", Refusal.NewVersion, "0.9 by name"],
    ["GET / HTTP/1.2\r\n", Refusal.NewVersion, "1.2 is not ours to guess"],
    ["GET / HTTP/2.0\r\n", Refusal.NewVersion, "2.0"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal.NewVersion, "the preface of HTTP/2"],
    ["GET / HTTP/1.10\r\n", Refusal.BadVersion, "two digits"],
    ["GET / HTTP/11\r\n", Refusal.BadVersion, "no dot"],
    ["GET / http/1.1\r\n", Refusal.BadVersion, "RFC 9112 2.3: case-sensitive"],
    ["GET / HTTP/1.x\r\n", Refusal.BadVersion, "not a digit"],
    ["GET / HTTP/1.1 \r\n", Refusal.BadVersion, "space behind the version"],
    ["GET / \r\n", Refusal.BadVersion, "no version"],
    ["GET /  HTTP/1.1\r\n", Refusal.BadVersion, "two spaces before the version"],
    [get("a"), Refusal.BadTargetForm, "neither a path nor a URI"],
    [get("*"), Refusal.BadTargetForm, "asterisk-form is OPTIONS' alone"],
    [`OPTIONS *? HTTP/1.1\r\n${H}\r\n`, Refusal.BadTargetForm, "more than an asterisk"],
    [get("?a"), Refusal.BadTargetForm, "a query alone"],
    [get("ftp://a/"), Refusal.BadTargetForm, "another scheme"],
    [get("http:/a"), Refusal.BadTargetForm, "no authority"],
    [get("http:?//a"), Refusal.BadTargetForm, "a query in the scheme"],
    [get("a:80"), Refusal.BadTargetForm, "authority-form is CONNECT's alone"],
    ["CONNECT / HTTP/1.1\r\nHost: a:1\r\n\r\n", Refusal.BadHost, "CONNECT to a path"],
    ["CONNECT http://a:1/ HTTP/1.1\r\nHost: a:1\r\n\r\n", Refusal.BadPort, "CONNECT to a URI"],
    ["CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", Refusal.BadPort, "RFC 9110 9.3.6: a port is needed"],
    ["CONNECT a: HTTP/1.1\r\nHost: a:\r\n\r\n", Refusal.BadPort, "an empty port"],
    ["CONNECT a:1?b HTTP/1.1\r\nHost: a:1\r\n\r\n", Refusal.BadPort, "a query"],
    [get("http:///b"), Refusal.BadHost, "RFC 9110 4.2.1: an empty host"],
    [get("http://"), Refusal.BadHost, "no host"],
    [get("http://?a"), Refusal.BadHost, "no host before the query"],
    [get("http://u@a/"), Refusal.UserInfo, "userinfo"],
    [get("http://u:w@a/"), Refusal.UserInfo, "userinfo with a password"],
    [get("http://u:1@a/"), Refusal.UserInfo, "userinfo with a password of digits"],
    [get("http://b/"), Refusal.HostConflict, "another host"],
    [get("http://a:80/"), Refusal.HostConflict, "RFC 9112 3.2: the same authority, port included"],
    [get("http://a/", "Host: \r\n"), Refusal.HostConflict, "an empty Host"],
    ["CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", Refusal.HostConflict, "CONNECT to another host"],
    ["CONNECT a:1 HTTP/1.1\r\nHost: a:2\r\n\r\n", Refusal.HostConflict, "CONNECT to another port"],
    [get("/", ""), Refusal.NoHost, "RFC 9112 3.2: HTTP/1.1 needs it"],
    [get("http://a/", ""), Refusal.NoHost, "absolute-form needs it too"],
    [get("/", H + H), Refusal.SeveralHost, "twice the same"],
    ["GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n", Refusal.SeveralHost, "HTTP/1.0 as well"],
    [get("/", "Host: a b\r\n"), Refusal.BadHost, "a space"],
    [get("/", "Host: a,b c\r\n"), Refusal.BadHost, "a list"],
    [get("/", "Host: a/b\r\n"), Refusal.BadHost, "a path"],
    [get("/", "Host: %61\r\n"), Refusal.BadHost, "percent-encoding: two readers, two hosts"],
    [get("/", "Host: \xe9\r\n"), Refusal.BadHost, "not ASCII"],
    [get("/", "Host: :80\r\n"), Refusal.BadHost, "a port alone"],
    [get("/", "Host: [::1\r\n"), Refusal.BadHost, "no closing bracket"],
    [get("/", "Host: [::1]a\r\n"), Refusal.BadHost, "something behind the bracket"],
    [get("/", "Host: [1::2::3]\r\n"), Refusal.BadHost, "two gaps"],
    [get("/", "Host: [v1.a]\r\n"), Refusal.BadHost, "IPvFuture: nobody knows it"],
    [get("/", "Host: [fe80::1%25eth0]\r\n"), Refusal.BadHost, "a zone"],
    [get("/", "Host: a:b\r\n"), Refusal.BadPort, "a port of letters"],
    [get("/", "Host: a:65536\r\n"), Refusal.BadPort, "2^16"],
    [get("/", "Host: a:000080\r\n"), Refusal.BadPort, "six digits"],
    [get("/", "Host: a:-1\r\n"), Refusal.BadPort, "a sign"],
    [get("/", "Host: u@a\r\n"), Refusal.UserInfo, "userinfo in Host"],
    [get("/", `${H} b: c\r\n`), Refusal.ObsFold, "RFC 9112 5.2: a folded line"],
    [get("/", `${H}\tb\r\n`), Refusal.ObsFold, "folded by HTAB"],
    [get("/", ` ${H}`), Refusal.ObsFold, "RFC 9112 2.2: space before the first field"],
    [get("/", `${H}a : b\r\n`), Refusal.SpaceBeforeColon, "RFC 9112 5.1"],
    [get("/", `${H}a\t: b\r\n`), Refusal.SpaceBeforeColon, "HTAB before the colon"],
    [get("/", `${H}abc\r\n`), Refusal.NoColon, "a name alone"],
    [get("/", `${H}: b\r\n`), Refusal.BadFieldName, "no name"],
    [get("/", `${H}a(b: c\r\n`), Refusal.BadFieldName, "not a token"],
    [get("/", `${H}a\0b: c\r\n`), Refusal.BadFieldName, "NUL in a name"],
    [get("/", `${H}\xe9: c\r\n`), Refusal.BadFieldName, "not ASCII in a name"],
    [get("/", `${H}a\n: c\r\n`), Refusal.BareLf, "LF in a name"],
    [get("/", `${H}a: b\0c\r\n`), Refusal.ControlCharacter, "NUL in a value"],
    [get("/", `${H}a: b\x7f\r\n`), Refusal.ControlCharacter, "DEL in a value"],
    [get("/", `${H}a: \x1f\r\n`), Refusal.ControlCharacter, "a control in a value"],
    [get("/", `${H}a: bbbbbbbbb\x0bbbb\r\n`), Refusal.ControlCharacter, "a control in a longer value"],
    [get("/", H + "a: b\r\n".repeat(FIELDS_MAX)), Refusal.TooManyFields, "one field more than is taken"],
    [get("/", `${H}a: ${"b".repeat(HEAD_BYTES_MAX)}\r\n`), Refusal.HeadTooLong, "a long value"],
    [get("/", `${H}${"a".repeat(HEAD_BYTES_MAX)}: b\r\n`), Refusal.HeadTooLong, "a long name"],
    [post("Content-Length: 1\r\nContent-Length: 1\r\n"), Refusal.SeveralContentLength, "twice the same"],
    [post("Content-Length: 1\r\ncontent-length: 2\r\n"), Refusal.SeveralContentLength, "two values"],
    [post("Content-Length: 5, 5\r\n"), Refusal.SeveralContentLength, "a list"],
    [post("Content-Length: \r\n"), Refusal.BadContentLength, "empty"],
    [post("Content-Length: +5\r\n"), Refusal.BadContentLength, "a plus sign"],
    [post("Content-Length: -5\r\n"), Refusal.BadContentLength, "a minus sign"],
    [post("Content-Length: 5 \t\r\n"), Refusal.BadContentLength, "HTAB behind it: llhttp refuses it"],
    [post("Content-Length: 5 5\r\n"), Refusal.BadContentLength, "a space"],
    [post("Content-Length: 0x5\r\n"), Refusal.BadContentLength, "hexadecimal"],
    [post("Content-Length: 5a\r\n"), Refusal.BadContentLength, "a letter"],
    [post("Content-Length: 1_0\r\n"), Refusal.BadContentLength, "an underscore"],
    [post("Content-Length: 1000000000000000\r\n"), Refusal.BadContentLength, "16 digits"],
    [
      post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
      Refusal.LengthAndEncoding,
      "RFC 9112 6.3: the classic of smuggling",
    ],
    [post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), Refusal.LengthAndEncoding, "even of 0"],
    [post("Transfer-Encoding: gzip, chunked\r\n"), Refusal.UnknownCoding, "RFC 9112 6.1: 501"],
    [
      post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
      Refusal.UnknownCoding,
      "in two fields",
    ],
    [post("Transfer-Encoding: gzip\r\n"), Refusal.NotFinalChunked, "RFC 9112 6.3: no end to be known"],
    [post("Transfer-Encoding: identity\r\n"), Refusal.NotFinalChunked, "identity is no coding any more"],
    [post("Transfer-Encoding: chunked, gzip\r\n"), Refusal.NotFinalChunked, "chunked is not the last"],
    [post("Transfer-Encoding: chunked, chunked\r\n"), Refusal.NotFinalChunked, "RFC 9112 7: twice"],
    [
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
      Refusal.NotFinalChunked,
      "twice, in two fields",
    ],
    [post("Transfer-Encoding: xchunked\r\n"), Refusal.NotFinalChunked, "another name"],
    [post("Transfer-Encoding: \r\n"), Refusal.BadTransferEncoding, "empty"],
    [
      post("Transfer-Encoding: chunked\t\r\n"),
      Refusal.BadTransferEncoding,
      "HTAB behind it: llhttp reads on until the close",
    ],
    [post("Transfer-Encoding: ,chunked\r\n"), Refusal.BadTransferEncoding, "an empty element"],
    [post("Transfer-Encoding: chunked,\r\n"), Refusal.BadTransferEncoding, "an empty element at the end"],
    [post("Transfer-Encoding: chunked;a=b\r\n"), Refusal.BadTransferEncoding, "a parameter"],
    [post('Transfer-Encoding: "chunked"\r\n'), Refusal.BadTransferEncoding, "quoted"],
    [post("Transfer-Encoding: chunked chunked\r\n"), Refusal.BadTransferEncoding, "no comma"],
    [post("Transfer-Encoding: \x0bchunked\r\n"), Refusal.ControlCharacter, "VT is no white space"],
    [
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
      Refusal.EncodingInOld,
      "RFC 9112 6.1: HTTP/1.0 has none",
    ],
    [`TRACE / HTTP/1.1\r\n${H}Content-Length: 1\r\n\r\n`, Refusal.BodyNotAllowed, "RFC 9110 9.3.8"],
    [
      "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n",
      Refusal.BodyNotAllowed,
      "RFC 9110 9.3.6: its bytes are the tunnel's",
    ],
    [
      "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n",
      Refusal.BodyNotAllowed,
      "chunks neither",
    ],
    [get("/", `${H}Connection: a b\r\n`), Refusal.BadConnection, "no comma"],
    [get("/", `${H}Connection: close;\r\n`), Refusal.BadConnection, "not a token"],
    [
      get("/", `${H}Connection: ${"a,".repeat(129)}\r\n`),
      Refusal.TooManyFields,
      "names more than there may be",
    ],
    [
      get("/", `${H}Connection: ${"a,".repeat(100)}\r\nConnection: ${"a,".repeat(29)}\r\n`),
      Refusal.TooManyFields,
      "in two fields",
    ],
    [post("Expect: 200-ok\r\n"), Refusal.UnknownExpectation, "RFC 9110 10.1.1"],
    [post("Expect: 100-continue, a\r\n"), Refusal.UnknownExpectation, "a list"],
    [post("Expect: \r\n"), Refusal.UnknownExpectation, "empty"],
  ];
  for (const [text, want, why] of cases) {
    it(`${REFUSALS[want].text} ${why}`, () => strictEqual(verdict(-1, text), -want));
  }
});

describe("parseRequest takes", () => {
  const cases: [
    text: string,
    method: Method,
    form: Form,
    authority: string,
    path: string,
    query: string,
    why: string,
  ][] = [
    [get("/"), Method.Get, Form.Origin, "a", "/", "", "the plainest"],
    [get("/b/c?d=e?f"), Method.Get, Form.Origin, "a", "/b/c", "d=e?f", "a query with a question mark"],
    [get("/?"), Method.Get, Form.Origin, "a", "/", "", "an empty query"],
    [get("//b"), Method.Get, Form.Origin, "a", "//b", "", "two slashes begin a path"],
    [get('/{a}|^`\\"<>[]%zz'), Method.Get, Form.Origin, "a", '/{a}|^`\\"<>[]%zz', "", "sloppy but common"],
    [get("http://a"), Method.Get, Form.Absolute, "a", "", "", "an empty path"],
    [get("http://a?b"), Method.Get, Form.Absolute, "a", "", "b", "an empty path with a query"],
    [get("HTTP://A/b?c/d"), Method.Get, Form.Absolute, "A", "/b", "c/d", "scheme and host in capitals"],
    [
      get("https://[::1]:8/b", "Host: [::1]:8\r\n"),
      Method.Get,
      Form.Absolute,
      "[::1]:8",
      "/b",
      "",
      "https, IPv6 and a port",
    ],
    [`OPTIONS * HTTP/1.1\r\n${H}\r\n`, Method.Options, Form.Asterisk, "a", "*", "", "asterisk-form"],
    [
      "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
      Method.Connect,
      Form.Authority,
      "a:1",
      "",
      "",
      "authority-form",
    ],
    [
      "CONNECT a:1 HTTP/1.1\r\nHost: A\r\n\r\n",
      Method.Connect,
      Form.Authority,
      "a:1",
      "",
      "",
      "Host without port",
    ],
    ["GET / HTTP/1.0\r\n\r\n", Method.Get, Form.Origin, "", "/", "", "HTTP/1.0 without Host"],
    ["GET http://a/b HTTP/1.0\r\n\r\n", Method.Get, Form.Absolute, "a", "/b", "", "HTTP/1.0, absolute-form"],
    [get("/", "Host:\r\n"), Method.Get, Form.Origin, "", "/", "", "RFC 9112 3.3: an empty Host"],
    [get("/", "Host: a:\r\n"), Method.Get, Form.Origin, "a:", "/", "", "RFC 3986 3.2.3: an empty port"],
    [
      get("/", "hOsT:\t a_b.C-1:65535 \t\r\n"),
      Method.Get,
      Form.Origin,
      "a_b.C-1:65535",
      "/",
      "",
      "white space",
    ],
    [`\r\n${get("/")}`, Method.Get, Form.Origin, "a", "/", "", "RFC 9112 2.2: an empty line before it"],
    [`HEAD / HTTP/1.1\r\n${H}\r\n`, Method.Head, Form.Origin, "a", "/", "", "HEAD"],
    [`PUT / HTTP/1.1\r\n${H}\r\n`, Method.Put, Form.Origin, "a", "/", "", "PUT"],
    [`DELETE / HTTP/1.1\r\n${H}\r\n`, Method.Delete, Form.Origin, "a", "/", "", "DELETE"],
    [`PATCH / HTTP/1.1\r\n${H}\r\n`, Method.Patch, Form.Origin, "a", "/", "", "PATCH"],
    [`TRACE / HTTP/1.1\r\n${H}\r\n`, Method.Trace, Form.Origin, "a", "/", "", "TRACE"],
    [`get / HTTP/1.1\r\n${H}\r\n`, Method.Other, Form.Origin, "a", "/", "", "methods are case-sensitive"],
    [
      `${"A".repeat(32)} / HTTP/1.1\r\n${H}\r\n`,
      Method.Other,
      Form.Origin,
      "a",
      "/",
      "",
      "32 octets of method",
    ],
    [
      `GET /${"a".repeat(TARGET_BYTES_MAX - 1)} HTTP/1.1\r\n${H}\r\n`,
      Method.Get,
      Form.Origin,
      "a",
      `/${"a".repeat(TARGET_BYTES_MAX - 1)}`,
      "",
      "the longest target",
    ],
  ];
  for (const [text, method, form, authority, path, query, why] of cases) {
    it(why, () => {
      strictEqual(verdict(-1, text), text.length);
      const skipped = text.startsWith("\r\n") ? 2 : 0;
      deepEqual([head.at, head.bytes], [AT + skipped, text.length - skipped]);
      deepEqual([head.method, head.form], [method, form]);
      strictEqual(span(text, head.authority, head.authorityEnd), authority);
      strictEqual(span(text, head.host, head.hostEnd), authority.replace(/:\d*$/, ""));
      strictEqual(span(text, head.path, head.pathEnd), path);
      strictEqual(span(text, head.query, head.queryEnd), query);
      strictEqual(span(text, 0, head.lineEnd), text.trimStart().split("\r\n")[0]);
      strictEqual(span(text, head.target, head.targetEnd), text.trimStart().split(" ")[1]);
      strictEqual(span(text, 0, head.methodEnd), text.trimStart().split(" ")[0]);
    });
  }

  it("what follows is not touched", () => {
    const text = `${get("/")}GET /next`;
    strictEqual(verdict(-1, text), get("/").length);
  });

  it("a head of exactly as many bytes, and as many fields, as are taken", () => {
    const empty = get("/", `${H}a: \r\n`);
    const long = get("/", `${H}a: ${"b".repeat(HEAD_BYTES_MAX - empty.length)}\r\n`);
    strictEqual(long.length, HEAD_BYTES_MAX);
    strictEqual(verdict(-1, long), HEAD_BYTES_MAX);
    strictEqual(verdict(-1, `\r\n${long}`), HEAD_BYTES_MAX + 2);
    const many = get("/", H + "a: b\r\n".repeat(FIELDS_MAX - 1));
    strictEqual(verdict(-1, many), many.length);
    strictEqual(head.fieldCount, FIELDS_MAX);
  });
});

describe("fields", () => {
  const cases: [line: string, name: string, value: string, why: string][] = [
    ["a:b", "a", "b", "no white space"],
    ["a:", "a", "", "no value"],
    ["a: \t ", "a", "", "white space alone"],
    ["a: \tb c\td \t", "a", "b c\td", "white space within is the value's"],
    ["a: \x80\xff", "a", "\x80\xff", "obs-text"],
    ["!#$%&'*+-.^_`|~09azAZ: b", "!#$%&'*+-.^_`|~09azAZ", "b", "all of a token"],
    ["a: b:c", "a", "b:c", "a colon in a value"],
    ["a: 0123456789\tabcdefgh\tx", "a", "0123456789\tabcdefgh\tx", "HTAB anywhere in a long value"],
  ];
  for (const [line, name, value, why] of cases) {
    it(why, () => {
      const text = get("/", `${H}${line}\r\nz: 1\r\n`);
      strictEqual(verdict(-1, text), text.length);
      deepEqual(fieldsOf(text), [["Host", "a"], [name, value], ["z", "1"]]);
    });
  }

  it("no field at all", () => {
    strictEqual(verdict(-1, "GET / HTTP/1.0\r\n\r\n"), 18);
    strictEqual(head.fieldCount, 0);
  });

  it("every octet in a value is taken or refused by RFC 9110 section 5.5, wherever it stands", () => {
    for (let octet = 0; octet < 256; octet++) {
      for (let place = 0; place < 6; place++) {
        const value = "x".repeat(place) + String.fromCharCode(octet) + "xxxxxx";
        const text = get("/", `${H}a: ${value}\r\n`);
        const { bytes, end } = around(text);
        const legal = octet === 9 || (octet >= 32 && octet !== 127);
        strictEqual(parseRequest(bytes, AT, end, head) > 0, legal, `octet ${octet} at ${place}`);
      }
    }
  });

  it("names that we know are found whatever their case", () => {
    const text = get("/", "hOST: a\r\nX-FORWARDED-for: b\r\nx-forwarded-fox: c\r\nTE: d\r\n");
    strictEqual(verdict(-1, text), text.length);
    deepEqual(
      [Name.Host, Name.XForwardedFor, Name.Te, Name.Cookie].map((name) => findField(head, name)),
      [0, 1, 3, -1],
    );
  });
});

describe("framing and flags of requests", () => {
  const { Old, Persistent, Continue, Upgrade, ConnectionNames, Trailers, HostLiteral } = {
    Old: HeadFlag.Old,
    Persistent: HeadFlag.Persistent,
    Continue: HeadFlag.Continue,
    Upgrade: HeadFlag.Upgrade,
    ConnectionNames: HeadFlag.ConnectionNames,
    Trailers: HeadFlag.Trailers,
    HostLiteral: HeadFlag.HostLiteral,
  };
  const old = (lines: string) => `POST / HTTP/1.0\r\n${lines}\r\n`;
  const cases: [text: string, framing: Framing, length: number, flags: number, why: string][] = [
    [post(""), Framing.None, 0, Persistent, "RFC 9112 6.3: neither field, no body"],
    [post("Content-Length: 0\r\n"), Framing.Length, 0, Persistent, "an empty body"],
    [post("Content-Length: 0012\r\n"), Framing.Length, 12, Persistent, "leading zeros are digits"],
    [post("Content-Length: 999999999999999\r\n"), Framing.Length, 999999999999999, Persistent, "15 digits"],
    [post("Transfer-Encoding: chunked\r\n"), Framing.Chunked, 0, Persistent, "chunked"],
    [post("transfer-encoding:\tCHUNKED \r\n"), Framing.Chunked, 0, Persistent, "codings have no case"],
    [get("/", `${H}Content-Length: 3\r\n`), Framing.Length, 3, Persistent, "GET may have a body"],
    [
      "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n",
      Framing.None,
      0,
      Persistent,
      "CONNECT of no body",
    ],
    [post("Connection: close\r\n"), Framing.None, 0, 0, "RFC 9112 9.3: close"],
    [post("Connection: keep-alive, CLOSE\r\n"), Framing.None, 0, 0, "close wins"],
    [post("Connection: keep-alive\r\nConnection: close\r\n"), Framing.None, 0, 0, "in two fields"],
    [post("Connection: close\r\nConnection: keep-alive\r\n"), Framing.None, 0, 0, "in any order"],
    [post("Connection:\r\n"), Framing.None, 0, Persistent, "an empty list"],
    [post("Connection: ,, ,\r\n"), Framing.None, 0, Persistent, "RFC 9110 5.6.1.2: empty elements"],
    [post("Connection: x-closed\r\n"), Framing.None, 0, Persistent | ConnectionNames, "a name"],
    [post("Connection: te, close\r\n"), Framing.None, 0, ConnectionNames, "a name and close"],
    [old(""), Framing.None, 0, Old, "HTTP/1.0 closes"],
    [old("Connection: Keep-Alive\r\n"), Framing.None, 0, Old | Persistent, "unless asked to stay"],
    [old("Connection: keep-alive, close\r\n"), Framing.None, 0, Old, "and not to close"],
    [old("Content-Length: 3\r\n"), Framing.Length, 3, Old, "HTTP/1.0 with a length"],
    [
      post("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
      Framing.None,
      0,
      Persistent | Upgrade,
      "RFC 9110 7.8: both fields",
    ],
    [post("Upgrade: websocket\r\n"), Framing.None, 0, Persistent, "Upgrade alone asks for nothing"],
    [post("Connection: upgrade\r\n"), Framing.None, 0, Persistent, "neither does the option alone"],
    [
      old("Connection: upgrade\r\nUpgrade: websocket\r\n"),
      Framing.None,
      0,
      Old,
      "RFC 9110 7.8: ignored in HTTP/1.0",
    ],
    [
      post("Content-Length: 3\r\nExpect: 100-Continue\r\n"),
      Framing.Length,
      3,
      Persistent | Continue,
      "RFC 9110 10.1.1",
    ],
    [
      post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"),
      Framing.Chunked,
      0,
      Persistent | Continue,
      "before chunks",
    ],
    [post("Expect: 100-continue\r\n"), Framing.None, 0, Persistent, "nothing to wait for"],
    [
      post("Content-Length: 0\r\nExpect: 100-continue\r\n"),
      Framing.Length,
      0,
      Persistent,
      "nothing to wait for either",
    ],
    [
      old("Content-Length: 3\r\nExpect: 100-continue\r\n"),
      Framing.Length,
      3,
      Old,
      "HTTP/1.0 has no 100 (Continue)",
    ],
    [post("TE: trailers\r\n"), Framing.None, 0, Persistent | Trailers, "RFC 9110 10.1.4"],
    [post("TE: gzip;q=0.5, Trailers\r\n"), Framing.None, 0, Persistent | Trailers, "in a list"],
    [post("TE: gzip\r\nTE: trailers\r\n"), Framing.None, 0, Persistent | Trailers, "in a second field"],
    [post("TE: xtrailers, trailers;q=0\r\n"), Framing.None, 0, Persistent, "not that word"],
    [get("/", "Host: 10.0.0.255:80\r\n"), Framing.None, 0, Persistent | HostLiteral, "IPv4"],
    [get("/", "Host: [2001:db8::1.2.3.4]\r\n"), Framing.None, 0, Persistent | HostLiteral, "IPv6"],
    [get("/", "Host: 10.0.0.256\r\n"), Framing.None, 0, Persistent, "a name that looks like IPv4"],
    [get("/", "Host: 10.0.0.01\r\n"), Framing.None, 0, Persistent, "a leading zero"],
  ];
  for (const [text, framing, length, flags, why] of cases) {
    it(why, () => {
      strictEqual(verdict(-1, text), text.length);
      deepEqual([head.framing, head.length, head.flags], [framing, length, flags]);
    });
  }
});

describe("parseAnswer", () => {
  const answer = (line: string, lines = "") => `HTTP/1.1 ${line}\r\n${lines}\r\n`;
  const CL5 = "Content-Length: 5\r\n", TE = "Transfer-Encoding: chunked\r\n";

  const refused: [text: string, want: Refusal, why: string][] = [
    ["\r\nHTTP/1.1 200 OK\r\n\r\n", Refusal.BadStatusLine, "nothing comes before an answer"],
    ["HTTP/1.1  200 OK\r\n\r\n", Refusal.BadStatus, "two spaces"],
    ["HTTP/1.1\t200 OK\r\n\r\n", Refusal.BadStatusLine, "HTAB"],
    ["HTTP/1.1 20 OK\r\n\r\n", Refusal.BadStatus, "two digits"],
    ["HTTP/1.1 2000 OK\r\n\r\n", Refusal.BadStatusLine, "four digits"],
    ["HTTP/1.1 099 OK\r\n\r\n", Refusal.BadStatus, "below 100"],
    ["HTTP/1.1 600 OK\r\n\r\n", Refusal.BadStatus, "RFC 9110 15: no class"],
    ["HTTP/1.1 200OK\r\n\r\n", Refusal.BadStatusLine, "no space before the phrase"],
    ["HTTP/1.1 200 O\0K\r\n\r\n", Refusal.ControlCharacter, "NUL in the phrase"],
    ["HTTP/1.1 200 OK\n\r\n", Refusal.BareLf, "LF"],
    ["HTTP/1.1 200\n\r\n", Refusal.BareLf, "LF behind the status"],
    ["HTTP/1.1 200 O\rK\r\n\r\n", Refusal.BareCr, "CR"],
    ["HTTP/2.0 200 OK\r\n\r\n", Refusal.NewVersion, "another version"],
    ["ICY 200 OK\r\n\r\n", Refusal.BadStatusLine, "another protocol"],
    [answer("200 OK", ` ${CL5}`), Refusal.ObsFold, "a folded line"],
    [answer("200 OK", CL5 + CL5), Refusal.SeveralContentLength, "two lengths"],
    [answer("200 OK", CL5 + TE), Refusal.LengthAndEncoding, "response splitting"],
    [answer("200 OK", "Transfer-Encoding: gzip\r\n"), Refusal.NotFinalChunked, "no coding that we know"],
    ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal.EncodingInOld, "HTTP/1.0"],
    [answer("204 No Content", CL5), Refusal.BodyNotAllowed, "RFC 9110 8.6"],
    [answer("204 No Content", TE), Refusal.BodyNotAllowed, "RFC 9112 6.1"],
    [answer("103 Early Hints", CL5), Refusal.BodyNotAllowed, "a body behind 1xx is the next answer"],
  ];
  for (const [text, want, why] of refused) {
    it(`refuses: ${REFUSALS[want].text} ${why}`, () => strictEqual(verdict(Method.Get, text), -want));
  }

  const P = HeadFlag.Persistent;
  const taken: [text: string, kind: Method, framing: Framing, length: number, flags: number, why: string][] =
    [
      [answer("200 OK", CL5), Method.Get, Framing.Length, 5, P, "a length"],
      [answer("200 OK", TE), Method.Get, Framing.Chunked, 0, P, "chunked"],
      [answer("200 OK"), Method.Get, Framing.UntilClose, 0, 0, "neither: until the server closes"],
      [
        answer("200 OK", "Connection: keep-alive\r\n"),
        Method.Get,
        Framing.UntilClose,
        0,
        0,
        "whatever it says",
      ],
      [answer("200 "), Method.Get, Framing.UntilClose, 0, 0, "an empty phrase"],
      [answer("200"), Method.Get, Framing.UntilClose, 0, 0, "neither phrase nor space"],
      [answer("200 \xe9\t!"), Method.Get, Framing.UntilClose, 0, 0, "obs-text and HTAB in the phrase"],
      [answer("999 ?", CL5), Method.Get, Framing.Length, 5, P, "999 is in use"],
      [answer("200 OK", CL5), Method.Head, Framing.None, 0, P, "RFC 9112 6.3: to HEAD"],
      [answer("200 OK", TE), Method.Head, Framing.None, 0, P, "to HEAD, chunked"],
      [answer("200 OK"), Method.Head, Framing.None, 0, P, "to HEAD, without framing: stays open"],
      [
        answer("304 Not Modified", CL5),
        Method.Get,
        Framing.None,
        0,
        P,
        "304 with the length of what is not sent",
      ],
      [answer("204 No Content"), Method.Get, Framing.None, 0, P, "204"],
      [
        answer("204 No Content", "Content-Length: 0\r\n"),
        Method.Get,
        Framing.None,
        0,
        P,
        "204 with a 0: common",
      ],
      [answer("100 Continue"), Method.Post, Framing.None, 0, P, "100"],
      [
        answer("101 Switching", "Connection: upgrade\r\nUpgrade: a\r\n"),
        Method.Get,
        Framing.None,
        0,
        P | HeadFlag.Upgrade,
        "101",
      ],
      [answer("200 OK", CL5), Method.Connect, Framing.None, 0, P, "RFC 9110 9.3.6: a tunnel begins"],
      [answer("403 No", CL5), Method.Connect, Framing.Length, 5, P, "no tunnel begins"],
      [answer("200 OK", `Connection: close\r\n${CL5}`), Method.Get, Framing.Length, 5, 0, "close"],
      [
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        Method.Get,
        Framing.Length,
        5,
        HeadFlag.Old,
        "HTTP/1.0",
      ],
      [
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
        Method.Get,
        Framing.Length,
        5,
        HeadFlag.Old | P,
        "HTTP/1.0 that stays",
      ],
      [
        answer("200 OK", `Host: a\r\nHost: b\r\n${CL5}`),
        Method.Get,
        Framing.Length,
        5,
        P,
        "Host means nothing here",
      ],
    ];
  for (const [text, kind, framing, length, flags, why] of taken) {
    it(`takes ${why}`, () => {
      strictEqual(verdict(kind, text), text.length);
      deepEqual([head.framing, head.length, head.flags], [framing, length, flags]);
      strictEqual(head.status, Number(text.slice(9, 12)));
      strictEqual(span(text, 0, head.lineEnd), text.split("\r\n")[0]);
    });
  }

  it("leaves nothing of a request in the head", () => {
    verdict(-1, get("/a?b"));
    verdict(Method.Get, answer("200 OK", CL5));
    deepEqual([head.targetEnd, head.pathEnd, head.queryEnd, head.hostEnd, head.methodEnd], [0, 0, 0, 0, 0]);
  });
});

describe("findHeadEnd", () => {
  const cases: [text: string, want: number, why: string][] = [
    [get("/"), get("/").length, "the whole head"],
    [`${get("/")}more`, get("/").length, "more behind it"],
    [`\r\n${get("/")}`, get("/").length + 2, "an empty line before it"],
    [get("/").slice(0, -1), 0, "all but the last byte"],
    ["\r\n", 0, "the empty line before a head is not its end"],
    ["a\nb", -Refusal.BareLf, "a bare LF"],
    ["\n", -Refusal.BareLf, "LF at once"],
    ["a\r\n\n", -Refusal.BareLf, "LF as the empty line"],
    ["a\rb", -Refusal.BareCr, "a bare CR"],
    ["a\0b", -Refusal.ControlCharacter, "NUL"],
    ["a".repeat(HEAD_BYTES_MAX), -Refusal.HeadTooLong, "no end in all that is taken"],
    [`\r\n${"a".repeat(HEAD_BYTES_MAX - 1)}`, 0, "one byte less"],
  ];
  for (const [text, want, why] of cases) {
    it(why, () => {
      const { bytes, end } = around(text);
      const expected = want > 0 ? AT + want : want;
      strictEqual(findHeadEnd(bytes, AT, end, AT), expected);
      // However the bytes came: the end is found with the byte that brings it.
      const step = text.length > 1000 ? 997 : 1;
      let got = 0;
      for (let scanned = AT; got === 0 && scanned < end;) {
        const next = Math.min(end, scanned + step);
        got = findHeadEnd(bytes, AT, next, scanned);
        scanned = next;
      }
      strictEqual(got, expected);
    });
  }

  it("agrees with the parser on where a head ends, for every way to cut one in two", () => {
    const text = get("/a?b", "Host: a\r\nX-Y: z\r\n");
    const { bytes, end } = around(text);
    for (let cut = AT; cut < end; cut++) {
      strictEqual(findHeadEnd(bytes, AT, cut, AT), 0);
      strictEqual(findHeadEnd(bytes, AT, end, cut), end, `scanned to ${cut - AT}`);
    }
    strictEqual(parseRequest(bytes, AT, end, head), end - AT);
  });

  it("looks at no byte twice but three", () => {
    const { bytes, end } = around(get("/"));
    bytes[AT] = 0; // would be refused, were it looked at again
    strictEqual(findHeadEnd(bytes, AT, end, AT + 4), end);
  });
});

describe("REFUSALS", () => {
  it("says for every code what a client gets, in one sentence", () => {
    strictEqual(REFUSALS.length, Refusal.Count);
    const statuses = [400, 413, 414, 417, 431, 501, 502, 505];
    for (const { status, text } of REFUSALS) {
      ok(statuses.includes(status) && /^[A-Z].*[^.]\.$/.test(text), text);
    }
    strictEqual(new Set(REFUSALS.map(({ text }) => text)).size, REFUSALS.length);
  });
});
