// What Sluice says itself about https://, byte by byte, in a reactor on the fake kernel.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { ARENA_RECEIVE, NONE } from "../../src/base/limits.ts";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { makePlan, NO_SIZES, type Plan } from "../../src/plan/plan.ts";
import { parseRequest } from "../../src/proto/http1_head.ts";
import { sayChallenge, sayNothing, sayReason, sayToHttps } from "../../src/proxy/answer.ts";
import {
  exDown,
  exFlags,
  exGeneration,
  exListener,
  exReason,
  exRoute,
  exStatus,
  takeExchange,
} from "../../src/proxy/exchanges.ts";
import { request } from "../../src/proxy/wire_h1.ts";
import { Reason } from "../../src/shared/reason.ts";
import { ExFlag, ExState } from "../../src/shared/tables.ts";
import { arenaBytes, sys } from "../../src/sys/sys.ts";
import { openReactor } from "../net/tables.ts";

const LISTENER = 1, DOWN = 2;
const HSTS = "Strict-Transport-Security: max-age=60\r\n";

/** What is said, without its date. */
function said(
  how: (ex: number, plan: Plan) => number,
  text: string,
  { toHttps = 0, hsts = "", thumbprint = "", flags = 0, reason = Reason.Answered } = {},
): string {
  const arena = new ArenaWriter(), encode = (text: string) => new TextEncoder().encode(text);
  const hstsAt = arena.add(encode(hsts)), thumbprintAt = arena.add(encode(thumbprint));
  const plan = makePlan(1, { ...NO_SIZES, listeners: 2, arenaBytes: arena.bytes });
  arena.copyTo(plan.arena);
  plan.listenerToHttps[LISTENER] = toHttps;
  plan.listenerHstsAt[LISTENER] = hstsAt;
  plan.listenerHstsBytes[LISTENER] = hsts.length;
  plan.listenerThumbprintAt[LISTENER] = thumbprintAt;
  plan.listenerThumbprintBytes[LISTENER] = thumbprint.length;
  openReactor({ slots: 8, exchanges: 8 }, plan);
  const ex = takeExchange(ExState.Head);
  exGeneration[ex] = plan.generation;
  exDown[ex] = DOWN;
  exListener[ex] = LISTENER;
  exRoute[ex] = NONE;
  exFlags[ex] = ExFlag.Http | flags;
  exReason[ex] = reason;
  const bytes = encode(text);
  arenaBytes.set(bytes, ARENA_RECEIVE);
  strictEqual(parseRequest(arenaBytes, ARENA_RECEIVE, ARENA_RECEIVE + bytes.length, request), bytes.length);
  let out = "";
  sys.send = (slot, at, count) => {
    strictEqual(slot, DOWN);
    out += new TextDecoder().decode(arenaBytes.slice(at, at + count));
    return count;
  };
  strictEqual(how(ex, plan), 0, "it is out");
  strictEqual(out.startsWith(`HTTP/1.1 ${exStatus[ex]} `), true, "as its record tells");
  const lines = out.split("\r\n");
  strictEqual(lines.filter((line) => line.startsWith("Date: ")).length, 1);
  return lines.filter((line) => !line.startsWith("Date: ")).join("\r\n");
}

describe("sayToHttps", () => {
  const head = (location: string, more = "") =>
    `HTTP/1.1 308 Permanent Redirect\r\nContent-Length: 0\r\n${more}Location: ${location}\r\n\r\n`;
  const cases: [line: string, host: string, port: number, want: string, why: string][] = [
    ["GET /a?b=c HTTP/1.1", "shop.example", 443, "https://shop.example/a?b=c", "the usual port is not said"],
    ["GET / HTTP/1.1", "shop.example:80", 443, "https://shop.example/", "the client's port is not ours"],
    ["GET / HTTP/1.1", "Shop.Example.", 8443, "https://Shop.Example.:8443/", "another port"],
    ["GET /? HTTP/1.1", "a", 443, "https://a/?", "an empty query is one"],
    ["GET //evil.example/%0d%0a HTTP/1.1", "a", 443, "https://a//evil.example/%0d%0a", "as it came"],
    ["GET /\\evil HTTP/1.1", "a", 443, "https://a/\\evil", "as it came"],
    ["OPTIONS * HTTP/1.1", "a", 443, "https://a/", "the whole server"],
    ["GET http://b:81 HTTP/1.1", "b:81", 443, "https://b/", "absolute, without a path"],
    ["GET http://b?x HTTP/1.1", "b", 443, "https://b/?x", "absolute, with a query alone"],
    ["GET https://b/y?x HTTP/1.1", "b", 1, "https://b:1/y?x", "absolute"],
    ["PUT / HTTP/1.1", "[2001:db8::1]:80", 65_535, "https://[2001:db8::1]:65535/", "an address"],
  ];
  for (const [line, host, toHttps, want, why] of cases) {
    it(`${line} of ${host} to ${toHttps}: ${why}`, () => {
      strictEqual(said(sayToHttps, `${line}\r\nHost: ${host}\r\n\r\n`, { toHttps }), head(want));
    });
  }

  it("ends the connection where it must", () => {
    const text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", flags = ExFlag.Last;
    const want = head("https://a/", "Connection: close\r\n");
    strictEqual(said(sayToHttps, text, { toHttps: 443, flags }), want);
  });
});

describe("sayChallenge", () => {
  const text = (method: string) => `${method} /.well-known/acme-challenge/abc-_9 HTTP/1.1\r\nHost: a\r\n\r\n`;
  const want = (more = "") =>
    `HTTP/1.1 200 OK\r\n${more}Content-Length: 13\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n`;

  it("is the token with the thumbprint behind it", () => {
    strictEqual(said(sayChallenge, text("GET"), { thumbprint: "Prin_t" }), `${want()}abc-_9.Prin_t`);
  });

  it("has no body for HEAD", () => {
    strictEqual(said(sayChallenge, text("HEAD"), { thumbprint: "Prin_t", flags: ExFlag.Bodiless }), want());
  });

  it("over TLS says what everything says there", () => {
    const given = { thumbprint: "Prin_t", hsts: HSTS };
    strictEqual(said(sayChallenge, text("GET"), given), `${want(HSTS)}abc-_9.Prin_t`);
  });
});

describe("Strict-Transport-Security", () => {
  const text = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";

  it("is said wherever the listener has it, but not to who spoke plain HTTP", () => {
    const fails = (reason: Reason) => (ex: number, plan: Plan) => sayReason(ex, plan, reason, 400, 0, null);
    const has = (how: (ex: number, plan: Plan) => number, reason = Reason.Answered) =>
      said(how, text, { hsts: HSTS, reason }).includes(HSTS);
    deepStrictEqual(
      [
        has(sayNothing),
        has(fails(Reason.BadRequest), Reason.BadRequest),
        has(fails(Reason.PlainHttp), Reason.PlainHttp),
      ],
      [true, true, false],
    );
    strictEqual(said(sayNothing, text).includes("Strict"), false, "unless it has none");
  });
});
