// Texts that are made for each request: header values, redirects, rewritten paths and hosts, as lists of
// operations in the Plan. What came from a client cannot break out of the place it is written to:
// - what comes from the decoded path ({path}, {rest}, named parts), and {request-id}, is written
//   percent-encoded wherever it goes, header values included, so no CR, LF, NUL, control or space ever
//   leaves; in a query or an authority everything but unreserved characters (RFC 3986 section 2.3) is. "%2F",
//   "%5C" and "%25" are kept by the decoding and stay.
// - {host}, {query} and {method} are written as they came: the codec let nothing through that could do harm
//   there.
// - what comes from the client's TLS ({tls-sni}, {client-cert-subject}) is written `\\HH` in the value of a field
//   where it is not visible, and percent-encoded elsewhere, all but unreserved characters.
// - a Location never begins with "//": that would name another host.
// - a Host that is no host in the end is refused.
import { assert } from "../base/assert.ts";
import { FACT_BYTES, NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { Op, TemplateFor } from "../plan/routing.ts";
import type { Head } from "../proto/head.ts";
import { FULL, put, putDecimal, putEscaped, putIp } from "../proto/http1_print.ts";
import { ascii, Octet, OCTETS, Of } from "../proto/octet.ts";
import { captured } from "./route.ts";

/** The text would be a Host that is none; nothing was written that counts. */
export const NO_HOST = -2;

/** What templates are made from. Made once, set for each request. */
export interface TemplateInputs {
  /** The request's head and the bytes it is in. */
  bytes: Uint8Array;
  head: Head;
  /** The decoded path; `captured` (policy/route.ts) is relative to it. */
  path: Uint8Array;
  pathAt: number;
  pathEnd: number;
  /** The client's address record. */
  client: Uint8Array;
  clientAt: number;
  /** The X-Request-ID that is forwarded; empty when there is none. */
  id: Uint8Array;
  idAt: number;
  idEnd: number;
  /** The listener's port; 0: it has none. */
  port: number;
  /** 1: the client speaks TLS. */
  secure: number;
  /** Writes a fact of that TLS to `facts`, at `at`, in at most `bytes`; returns its length, 0: there is none. */
  fact: (slot: number, which: number, at: number, bytes: number) => number;
  slot: number;
  facts: Uint8Array;
  factAt: number;
  /** What servers are told of the client's certificate, within `facts`: the certificate as RFC 9440 writes it, its
   * subject, its fingerprint. Each is empty if there is none. */
  certificateAt: number;
  certificateEnd: number;
  subjectAt: number;
  subjectEnd: number;
  fingerprintAt: number;
  fingerprintEnd: number;
}

const HTTP = ascii("http");
const HTTPS = ascii("https");
const SLASH = ascii("/");
const HEX = ascii("0123456789ABCDEF");
const PERCENT = 0x25;

/** Bits of `plain`: an octet of a decoded path that is written as it is. */
const enum Plain {
  /** In a path: pchar (RFC 3986 section 3.3), "/" and the "%" of an escape. */
  Path = 1,
  /** Anywhere: unreserved, "/" and the "%" of an escape. */
  Strict = 2,
  /** Unreserved alone: of what is no path. */
  Unreserved = 4,
}

const plain: Uint8Array = makePlain();

function makePlain(): Uint8Array {
  const table = new Uint8Array(256);
  const unreserved = ascii("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~");
  for (const octet of unreserved) table[octet] = Plain.Path | Plain.Strict | Plain.Unreserved;
  for (const octet of ascii("/%")) table[octet] = Plain.Path | Plain.Strict;
  for (const octet of ascii("!$&'()*+,;=:@")) table[octet] = Plain.Path;
  return table;
}

/**
 * Writes a template's text to `out` at `at`, up to `limit`.
 *
 * @returns where it ends; FULL (-1) when there is no room, NO_HOST when it would be a Host that is none.
 */
export function writeTemplate(
  plan: Plan,
  template: number,
  out: Uint8Array,
  at: number,
  limit: number,
  inputs: TemplateInputs,
): number {
  const routing = plan.routing, kind = routing.templateFor[template];
  const first = routing.templateOpFirst[template], last = first + routing.templateOpCount[template];
  const guarded = kind === TemplateFor.Location ? at : -1;
  let end = at;
  for (let op = first; op < last && end >= 0; op++) {
    end = writeOp(plan, op, last, out, end, limit, inputs, guarded);
  }
  if (kind === TemplateFor.Host && end >= 0 && !isAuthority(out, at, end)) return NO_HOST;
  return end;
}

/** `guarded`: where a Location begins, which must not become "//" by what comes from the path; or -1. */
function writeOp(
  plan: Plan,
  op: number,
  last: number,
  out: Uint8Array,
  at: number,
  limit: number,
  inputs: TemplateInputs,
  guarded: number,
): number {
  const { opKind, opAt, opBytes, opStrict } = plan.routing;
  const { bytes, head, path, pathAt } = inputs;
  const bit = opStrict[op] === 1 ? Plain.Strict : Plain.Path;
  switch (opKind[op]) {
    case Op.Literal:
      return put(out, at, limit, plan.arena, opAt[op], opAt[op] + opBytes[op]);
    case Op.Host:
      return put(out, at, limit, bytes, head.at + head.host, head.at + head.hostEnd);
    case Op.Path:
      return putEncoded(out, at, limit, path, pathAt, inputs.pathEnd, bit, guarded);
    case Op.Query:
      // "?{query}" without a query is nothing, unless more of one follows.
      if (head.query === head.queryEnd && at > 0 && out[at - 1] === Octet.Question) {
        return op + 1 < last && opKind[op + 1] === Op.Literal && plan.arena[opAt[op + 1]] === AMPERSAND
          ? at
          : at - 1;
      }
      return put(out, at, limit, bytes, head.at + head.query, head.at + head.queryEnd);
    case Op.Scheme:
      return put(out, at, limit, inputs.secure === 1 ? HTTPS : HTTP);
    case Op.ClientIp:
      return putIp(out, at, limit, inputs.client, inputs.clientAt);
    case Op.Method:
      return put(out, at, limit, bytes, head.at, head.at + head.methodEnd);
    case Op.RequestId:
      return putEncoded(out, at, limit, inputs.id, inputs.idAt, inputs.idEnd, bit, guarded);
    case Op.Port:
      return inputs.port === 0 ? at : putDecimal(out, at, limit, inputs.port);
    case Op.Session:
      return putFact(out, at, limit, opAt[op], opStrict[op] === 0, inputs);
    default: { // Capture
      const from = pathAt + captured[2 * opAt[op]], end = pathAt + captured[2 * opAt[op] + 1];
      return putEncoded(out, at, limit, path, from, end, bit, guarded);
    }
  }
}

/** Writes a fact of the client's TLS. One that fills its place may have been cut, and would pass for another: it is
 * left out. */
function putFact(
  out: Uint8Array,
  at: number,
  limit: number,
  which: number,
  isValue: boolean,
  { secure, fact, slot, facts, factAt }: TemplateInputs,
): number {
  const count = secure === 1 ? fact(slot, which, factAt, FACT_BYTES) : 0;
  assert(count >= 0, "template: a fact of a session broke its contract");
  if (count === 0 || count >= FACT_BYTES) return at;
  const end = factAt + count;
  return isValue
    ? putEscaped(out, at, limit, facts, factAt, end)
    : putEncoded(out, at, limit, facts, factAt, end, Plain.Unreserved, -1);
}

const AMPERSAND = 0x26;

/** Writes bytes percent-encoded, but for escapes that stand there already; after a single slash at `guarded`
 * it writes no other. */
function putEncoded(
  out: Uint8Array,
  at: number,
  limit: number,
  path: Uint8Array,
  from: number,
  end: number,
  bit: Plain,
  guarded: number,
): number {
  let to = at;
  for (let index = from; index < end; index++) {
    const byte = path[index];
    if (byte === Octet.Slash && to === guarded + 1 && out[guarded] === Octet.Slash) continue;
    if (plain[byte] & bit) {
      if (to + 1 > limit) return FULL;
      out[to++] = byte;
      continue;
    }
    if (to + 3 > limit) return FULL;
    out[to] = PERCENT;
    out[to + 1] = HEX[byte >> 4];
    out[to + 2] = HEX[byte & 15];
    to += 3;
  }
  return to;
}

/** Whether what was written may stand in Host: a name or an address, maybe a port (RFC 9110 section 7.2). */
function isAuthority(out: Uint8Array, from: number, end: number): boolean {
  let at = from;
  if (out[at] === Octet.BracketOpen) {
    at++;
    while (at < end && (OCTETS[out[at]] & Of.Hex || out[at] === Octet.Colon || out[at] === Octet.Dot)) at++;
    if (at === end || at === from + 1 || out[at] !== Octet.BracketClose) return false;
    at++;
  } else {
    while (at < end && OCTETS[out[at]] & Of.HostName) at++;
  }
  if (at === from) return false;
  if (at === end) return true;
  if (out[at++] !== Octet.Colon || at === end) return false;
  while (at < end && OCTETS[out[at]] & Of.Digit) at++;
  return at === end;
}

/** Whether a route changes the path that is forwarded. */
export function rewritesPath(plan: Plan, chosen: number): boolean {
  const { routePathTemplate, routeStripBytes, routeAddBytes } = plan.routing;
  return (routePathTemplate[chosen] | routeStripBytes[chosen] | routeAddBytes[chosen]) !== 0;
}

/**
 * Writes the path that a route forwards, without the query: its template, or the path with one prefix taken
 * off and another put before it. A prefix that is not there at a segment's border is not taken off.
 *
 * @returns where it ends, or FULL.
 */
export function writePath(
  plan: Plan,
  chosen: number,
  out: Uint8Array,
  at: number,
  limit: number,
  inputs: TemplateInputs,
): number {
  const { routePathTemplate, routeStripAt, routeStripBytes, routeAddAt, routeAddBytes } = plan.routing;
  if (routePathTemplate[chosen] !== NONE) {
    return writeTemplate(plan, routePathTemplate[chosen], out, at, limit, inputs);
  }
  const { path, pathAt, pathEnd } = inputs;
  const strip = routeStripBytes[chosen], stripEnd = pathAt + strip;
  let from = pathAt;
  if (stripEnd === pathEnd || (stripEnd < pathEnd && path[stripEnd] === Octet.Slash)) {
    let same = 0;
    while (same < strip && path[pathAt + same] === plan.arena[routeStripAt[chosen] + same]) same++;
    if (same === strip) from = stripEnd;
  }
  const end = put(out, at, limit, plan.arena, routeAddAt[chosen], routeAddAt[chosen] + routeAddBytes[chosen]);
  if (end === FULL) return FULL;
  if (from === pathEnd && end === at) return put(out, at, limit, SLASH);
  return putEncoded(out, end, limit, path, from, pathEnd, Plain.Path, -1);
}
