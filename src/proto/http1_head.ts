// Heads of HTTP/1.0 and 1.1 (RFC 9112 sections 2 to 6), read strictly: whatever two readers could take in
// two ways is refused, so that what we forward means to the next one what it meant to us. One pass from
// left to right, nothing copied. A parser keeps nothing between two calls: a head that is not complete is
// parsed again from its first byte, and `findHeadEnd` tells cheaply when that is worth it.
// Invariant: each beginning of a message gives 0 or the verdict that the whole message gives.
import { HEAD_BYTES_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX } from "../base/limits.ts";
import { hostEnd, hostLiteral, portAt, readAuthority } from "./authority.ts";
import { FieldAt, Form, Framing, type Head, HeadFlag, Method, Name } from "./head.ts";
import {
  crlf,
  fieldLines,
  firstOf,
  readConnection,
  readExpect,
  readFraming,
  readTe,
  seen,
  short,
  twice,
} from "./http1_fields.ts";
import { ascii, Octet, OCTETS, Of, sameRuns, sameText } from "./octet.ts";
import { Refusal } from "./refusal.ts";

const VERSION = ascii("HTTP/1.");
const HTTP = ascii("http://");
const HTTPS = ascii("https://");

/**
 * Parses a request's head in `bytes[from, end)`. One empty line before it is skipped (RFC 9112 section
 * 2.2), more are refused.
 *
 * @returns how many bytes it takes, that empty line included; 0: more are needed; the negative of a
 *          Refusal otherwise. `head` is valid after > 0 only.
 */
export function parseRequest(bytes: Uint8Array, from: number, end: number, head: Head): number {
  let at = from;
  head.methodEnd = head.targetEnd = 0; // of what is refused, whatever was understood is there
  if (at < end && (bytes[at] === Octet.Cr || bytes[at] === Octet.Lf)) {
    at = crlf(bytes, from, from, end, Refusal.BareCr);
    if (at <= 0) return at;
    if (at < end && (bytes[at] === Octet.Cr || bytes[at] === Octet.Lf)) return -Refusal.TooManyEmptyLines;
  }
  const limit = Math.min(end, at + HEAD_BYTES_MAX);
  head.at = at;
  head.status = 0;
  let next = requestLine(bytes, at, limit, head);
  if (next <= 0) return next;
  head.lineEnd = next - 2 - at;
  next = fieldLines(bytes, next, limit, head);
  if (next <= 0) return next;
  head.bytes = next - at;
  const refused = finishRequest(bytes, head);
  return refused < 0 ? refused : next - from;
}

/**
 * Parses the head of an answer to a request of that method. Nothing may come before it.
 *
 * @returns as parseRequest.
 */
export function parseAnswer(
  bytes: Uint8Array,
  from: number,
  end: number,
  head: Head,
  requestMethod: Method,
): number {
  const limit = Math.min(end, from + HEAD_BYTES_MAX);
  head.at = from;
  clearRequest(head);
  let next = statusLine(bytes, from, limit, head);
  if (next <= 0) return next;
  head.lineEnd = next - 2 - from;
  next = fieldLines(bytes, next, limit, head);
  if (next <= 0) return next;
  head.bytes = next - from;
  const refused = finishAnswer(bytes, head, requestMethod);
  return refused < 0 ? refused : next - from;
}

/**
 * Looks for the end of a head that was seen to be incomplete, for a sender that drips: what lies before
 * `scannedTo` was looked at in an earlier call, so that all calls together cost one pass, and the parser
 * runs once when the end is there. (The first read is best parsed at once: it usually holds all.)
 *
 * @returns where the head ends, in `bytes` (> from); 0: not within [from, end); the negative of a Refusal
 *          on what no head can hold: a bare LF or CR, NUL, too many bytes. A parser might have found
 *          another fault before that.
 */
export function findHeadEnd(bytes: Uint8Array, from: number, end: number, scannedTo: number): number {
  let begin = from;
  if (end - from >= 2 && bytes[from] === Octet.Cr && bytes[from + 1] === Octet.Lf) begin += 2;
  const limit = Math.min(end, begin + HEAD_BYTES_MAX);
  // An end may have begun before scannedTo: "CR LF CR" | "LF".
  for (let at = Math.max(begin, scannedTo - 3); at < limit; at++) {
    const octet = bytes[at];
    if (octet > Octet.Cr) continue;
    if (octet === 0) return -Refusal.ControlCharacter;
    if (octet === Octet.Cr) {
      if (at + 1 < limit && bytes[at + 1] !== Octet.Lf) return -Refusal.BareCr;
    } else if (octet === Octet.Lf) {
      if (at === begin || bytes[at - 1] !== Octet.Cr) return -Refusal.BareLf;
      if (at - begin >= 3 && bytes[at - 2] === Octet.Lf) return at + 1;
    }
  }
  return short(begin, limit);
}

/** RFC 9112 section 3: method SP request-target SP HTTP-version. */
function requestLine(bytes: Uint8Array, begin: number, limit: number, head: Head): number {
  let at = begin;
  while (at < limit && (OCTETS[bytes[at]] & Of.Token) !== 0) at++;
  if (at - begin > METHOD_BYTES_MAX) return -Refusal.MethodTooLong;
  if (at === limit) return short(begin, limit);
  if (bytes[at] !== Octet.Space || at === begin) return notMethod(bytes, begin, at);
  head.method = methodOf(bytes, begin, at);
  head.methodEnd = at - begin;

  const target = at + 1;
  at = target;
  while (at < limit && (OCTETS[bytes[at]] & Of.Path) !== 0) at++;
  head.pathEnd = at - begin;
  if (at < limit && bytes[at] === Octet.Question) {
    at++;
    head.query = at - begin;
    while (at < limit && (OCTETS[bytes[at]] & Of.Query) !== 0) at++;
  } else {
    head.query = at - begin;
  }
  if (at - target > TARGET_BYTES_MAX) return -Refusal.TargetTooLong;
  if (at === limit) return short(begin, limit);
  if (bytes[at] !== Octet.Space || at === target) return notTarget(bytes, target, at);
  head.target = head.path = target - begin;
  head.targetEnd = head.queryEnd = at - begin;

  const next = version(bytes, at + 1, begin, limit, head);
  if (next <= 0) return next;
  const end = crlf(bytes, next, begin, limit, Refusal.BadVersion);
  if (end <= 0) return end;
  // Reserved for HTTP/2's preface (RFC 9113 section 11.6): readers may see one in it.
  if (head.methodEnd === 3 && isText(bytes, begin, PRI)) return -Refusal.BadMethod;
  if (bytes[target] === Octet.Slash && head.method !== Method.Connect) {
    head.form = Form.Origin;
    return end;
  }
  const refused = otherForm(bytes, head);
  return refused < 0 ? refused : end;
}

function notMethod(bytes: Uint8Array, begin: number, at: number): number {
  // A TLS record of a handshake begins so.
  if (at === begin && bytes[at] === 0x16) return -Refusal.TlsOnPlain;
  if (bytes[at] === Octet.Lf) return -Refusal.BareLf;
  return -Refusal.BadMethod;
}

function notTarget(bytes: Uint8Array, target: number, at: number): number {
  if (at === target) return -Refusal.BadTarget;
  if (bytes[at] === Octet.Cr) return -Refusal.OldVersion; // a simple request, HTTP/0.9
  return bytes[at] === Octet.Lf ? -Refusal.BareLf : -Refusal.BadTarget;
}

/** "HTTP/1.0" or "HTTP/1.1" at `at`: where it ends. Begins the head's flags. */
function version(bytes: Uint8Array, at: number, begin: number, limit: number, head: Head): number {
  for (let index = 0; index < VERSION.length; index++) {
    if (at + index >= limit) return short(begin, limit);
    const octet = bytes[at + index];
    if (octet === VERSION[index]) continue;
    return index === 5 && (OCTETS[octet] & Of.Digit) !== 0 ? -Refusal.NewVersion : -Refusal.BadVersion;
  }
  const minor = at + VERSION.length;
  if (minor >= limit) return short(begin, limit);
  if ((OCTETS[bytes[minor]] & Of.Digit) === 0) return -Refusal.BadVersion;
  if (bytes[minor] > Octet.Zero + 1) return -Refusal.NewVersion;
  head.flags = bytes[minor] === Octet.Zero ? HeadFlag.Old : 0;
  return minor + 1;
}

/** RFC 9112 section 3.2: absolute-form for any method, authority-form for CONNECT only, asterisk-form for
 * OPTIONS only. */
function otherForm(bytes: Uint8Array, head: Head): number {
  const at = head.at + head.target, end = head.at + head.targetEnd;
  if (head.method === Method.Connect) {
    head.form = Form.Authority;
    head.path = head.pathEnd = head.query = head.targetEnd;
    const refused = targetAuthority(bytes, head, at, end);
    if (refused < 0) return refused;
    return portAt < end ? 0 : -Refusal.BadPort;
  }
  if (bytes[at] === 0x2a && end - at === 1) {
    head.form = Form.Asterisk;
    return head.method === Method.Options ? 0 : -Refusal.BadTargetForm;
  }
  head.form = Form.Absolute;
  const pathEnd = head.at + head.pathEnd;
  let authority = at + HTTP.length;
  if (authority > pathEnd || !sameText(bytes, at, authority, HTTP)) {
    authority = at + HTTPS.length;
    if (authority > pathEnd || !sameText(bytes, at, authority, HTTPS)) return -Refusal.BadTargetForm;
  }
  let path = authority;
  while (path < pathEnd && bytes[path] !== Octet.Slash) path++;
  head.path = path - head.at;
  return targetAuthority(bytes, head, authority, path);
}

/** A target's host must not be empty (RFC 9110 section 4.2.1). */
function targetAuthority(bytes: Uint8Array, head: Head, from: number, end: number): number {
  if (from === end) return -Refusal.BadHost;
  const refused = readAuthority(bytes, from, end);
  if (refused === 0) keepAuthority(head, from, end);
  return refused;
}

function keepAuthority(head: Head, from: number, end: number): void {
  head.authority = head.host = from - head.at;
  head.authorityEnd = end - head.at;
  head.hostEnd = hostEnd - head.at;
  if (hostLiteral) head.flags |= HeadFlag.HostLiteral;
}

/** RFC 9112 section 4: HTTP-version SP status-code [ SP [ reason-phrase ] ]. The second SP is often
 * missing when the phrase is. */
function statusLine(bytes: Uint8Array, begin: number, limit: number, head: Head): number {
  let at = version(bytes, begin, begin, limit, head);
  if (at === -Refusal.BadVersion) return -Refusal.BadStatusLine;
  if (at <= 0) return at;
  if (at >= limit) return short(begin, limit);
  if (bytes[at] !== Octet.Space) return -Refusal.BadStatusLine;
  let status = 0;
  for (let digit = 0; digit < 3; digit++) {
    at++;
    if (at >= limit) return short(begin, limit);
    if ((OCTETS[bytes[at]] & Of.Digit) === 0) return -Refusal.BadStatus;
    status = status * 10 + bytes[at] - Octet.Zero;
  }
  if (status < 100 || (status > 599 && status !== 999)) return -Refusal.BadStatus;
  head.status = status;
  at++;
  if (at >= limit || bytes[at] !== Octet.Space) return crlf(bytes, at, begin, limit, Refusal.BadStatusLine);
  while (at < limit && (OCTETS[bytes[at]] & Of.Value) !== 0) at++;
  return crlf(bytes, at, begin, limit, Refusal.ControlCharacter);
}

function clearRequest(head: Head): void {
  head.method = Method.Other;
  head.methodEnd =
    head.target =
    head.targetEnd =
    head.path =
    head.pathEnd =
    head.query =
    head.queryEnd =
      0;
  head.form = Form.Origin;
  head.authority =
    head.authorityEnd =
    head.host =
    head.hostEnd =
      0;
}

function finishRequest(bytes: Uint8Array, head: Head): number {
  let refused = readHost(bytes, head);
  if (refused < 0) return refused;
  refused = readFraming(bytes, head);
  if (refused < 0) return refused;
  if (head.method === Method.Connect || head.method === Method.Trace) {
    // Neither has content (RFC 9110 sections 9.3.6, 9.3.8); a server may not even look for it.
    if (head.framing === Framing.Chunked || head.length > 0) return -Refusal.BodyNotAllowed;
    head.framing = Framing.None;
  }
  refused = readConnection(bytes, head);
  if (refused < 0) return refused;
  if ((seen & (1 << Name.Te)) !== 0) readTe(bytes, head);
  if ((seen & (1 << Name.Expect)) === 0) return 0;
  return readExpect(bytes, head);
}

/** RFC 9112 section 3.2: exactly one Host in HTTP/1.1; a target that names a host wins over it, but we take
 * none that does not agree (section 3.2.2 lets us forward one of them only). */
function readHost(bytes: Uint8Array, head: Head): number {
  const named = head.form === Form.Absolute || head.form === Form.Authority;
  if ((twice & (1 << Name.Host)) !== 0) return -Refusal.SeveralHost;
  if ((seen & (1 << Name.Host)) === 0) {
    if ((head.flags & HeadFlag.Old) === 0) return -Refusal.NoHost;
    if (!named) {
      head.authority =
        head.authorityEnd =
        head.host =
        head.hostEnd =
          0;
    }
    return 0;
  }
  const place = firstOf[Name.Host];
  const value = head.at + head.fields[place + FieldAt.Value];
  const end = head.at + head.fields[place + FieldAt.ValueEnd];
  if (!named) {
    const refused = readAuthority(bytes, value, end);
    if (refused < 0) return refused;
    keepAuthority(head, value, end);
    return 0;
  }
  const length = end - value;
  // Clients leave CONNECT's port out of Host.
  const fits = length === head.authorityEnd - head.authority ||
    (head.form === Form.Authority && length === head.hostEnd - head.host);
  return fits && sameRuns(bytes, head.at + head.authority, value, length) ? 0 : -Refusal.HostConflict;
}

/** What an answer's body is depends on the question (RFC 9112 section 6.3). */
function finishAnswer(bytes: Uint8Array, head: Head, requestMethod: Method): number {
  let refused = readConnection(bytes, head);
  if (refused < 0) return refused;
  const status = head.status;
  if (requestMethod === Method.Connect && status >= 200 && status < 300) {
    // A tunnel begins, and a client must ignore what framing says (RFC 9110 section 9.3.6).
    head.framing = Framing.None;
    head.length = 0;
    return 0;
  }
  refused = readFraming(bytes, head);
  if (refused < 0) return refused;
  if (status < 200 || status === 204) {
    // RFC 9110 section 8.6 forbids Content-Length, yet many send 0 with a 204, which misleads nobody.
    // Any other would be a body to some reader behind us, and what it took for one our next answer.
    if (head.framing === Framing.Chunked || head.length > 0) return -Refusal.BodyNotAllowed;
    head.framing = Framing.None;
  } else if (requestMethod === Method.Head || status === 304) {
    head.framing = Framing.None; // what it says is of the body that is not here
    head.length = 0;
  } else if (head.framing === Framing.None) {
    head.framing = Framing.UntilClose;
    head.flags &= ~HeadFlag.Persistent;
  }
  return 0;
}

const GET = ascii("GET"), PUT = ascii("PUT"), HEAD = ascii("HEAD"), POST = ascii("POST");
const PATCH = ascii("PATCH"), TRACE = ascii("TRACE"), DELETE = ascii("DELETE");
const PRI = ascii("PRI"), CONNECT = ascii("CONNECT"), OPTIONS = ascii("OPTIONS");

/** Methods are case-sensitive (RFC 9110 section 9.1). */
function methodOf(bytes: Uint8Array, from: number, end: number): Method {
  switch (end - from) {
    case 3:
      return isText(bytes, from, GET) ? Method.Get : isText(bytes, from, PUT) ? Method.Put : Method.Other;
    case 4:
      return isText(bytes, from, POST) ? Method.Post : isText(bytes, from, HEAD) ? Method.Head : Method.Other;
    case 5:
      return isText(bytes, from, PATCH)
        ? Method.Patch
        : isText(bytes, from, TRACE)
        ? Method.Trace
        : Method.Other;
    case 6:
      return isText(bytes, from, DELETE) ? Method.Delete : Method.Other;
    case 7:
      return isText(bytes, from, OPTIONS)
        ? Method.Options
        : isText(bytes, from, CONNECT)
        ? Method.Connect
        : Method.Other;
    default:
      return Method.Other;
  }
}

function isText(bytes: Uint8Array, at: number, text: Uint8Array): boolean {
  for (let index = 0; index < text.length; index++) if (bytes[at + index] !== text[index]) return false;
  return true;
}
