// What of a head is not passed on (RFC 9110 section 7.6.1): fields of this one connection, those that
// Connection names, and what tells a server about its client when the one who says so is not trusted.
// Decides by marking fields; writing what comes instead is the printer's and the walk's.
import { FIELDS_MAX } from "../base/limits.ts";
import { ForwardedShift, Forwarding } from "../plan/plan.ts";
import { FieldAt, findField, type Head, HeadFlag, Method, Name } from "../proto/head.ts";
import { ascii, findText, Octet, OCTETS, Of, sameRuns, skipBlanks, trimEnd } from "../proto/octet.ts";

/** What becomes of a field. */
export const enum Drop {
  Kept,
  Dropped,
  /** Dropped where it stands: it is written again, before what we append to it. */
  Joined,
  /** Dropped where it stands: it is written again, under another name. */
  Renamed,
}

/** By field: Drop. Valid until the next head is edited. */
export const dropped = new Uint8Array(FIELDS_MAX);
/** Names of which a field is kept, and of which one is joined: bit `1 << Name`. Of requests. */
export let keptNames = 0;
export let joinedNames = 0;
/** Whether a Date is kept. Of answers. */
export let keepsDate = false;

/** How many entries of the request's Via are a Sluice's (RFC 9110 section 7.6.3). */
export function viaPasses(bytes: Uint8Array, head: Head): number {
  let passes = 0;
  for (let field = findField(head, Name.Via); field >= 0; field = findField(head, Name.Via, field + 1)) {
    const row = field * FieldAt.Length;
    const end = head.at + head.fields[row + FieldAt.ValueEnd];
    let at = findText(bytes, head.at + head.fields[row + FieldAt.Value], end, SLUICE);
    for (; at >= 0; at = findText(bytes, at + SLUICE.length, end, SLUICE)) {
      if (isBlank(bytes[at - 1]) && endsWord(bytes, at + SLUICE.length, end)) passes++;
    }
  }
  return passes;
}

const SLUICE = ascii("sluice");

/** Behind a protocol and a space, and no part of a longer name. */
function endsWord(bytes: Uint8Array, at: number, end: number): boolean {
  return at === end || bytes[at] === Octet.Comma || isBlank(bytes[at]);
}

function isBlank(byte: number): boolean {
  return (OCTETS[byte] & Of.Blank) !== 0;
}

/** How many more hops a request may go, by its Max-Forwards (RFC 9110 section 7.6.2): only OPTIONS and TRACE
 * count them. -1: it does not say, or not in a way that we understand. */
export function hopsLeft(bytes: Uint8Array, head: Head): number {
  if (head.method !== Method.Options && head.method !== Method.Trace) return -1;
  const row = findField(head, Name.MaxForwards) * FieldAt.Length;
  if (row < 0) return -1;
  const from = head.at + head.fields[row + FieldAt.Value],
    end = head.at + head.fields[row + FieldAt.ValueEnd];
  if (end === from || end - from > HOPS_DIGITS_MAX) return -1;
  let hops = 0;
  for (let at = from; at < end; at++) {
    if (!(OCTETS[bytes[at]] & Of.Digit)) return -1;
    hops = hops * 10 + bytes[at] - Octet.Zero;
  }
  return hops;
}

const HOPS_DIGITS_MAX = 9;

/** How a field that tells about the client is to be forwarded. */
export function forwardingOf(forwarded: number, shift: ForwardedShift): Forwarding {
  return (forwarded >>> shift) & 3;
}

/** Marks what of a request is not passed on. `forwarded`: the listener's (see Forwarding); `trusted`: its
 * client may tell about clients of its own. */
export function editRequest(bytes: Uint8Array, head: Head, forwarded: number, trusted: boolean): void {
  for (let field = 0; field < head.fieldCount; field++) {
    const known = head.fields[field * FieldAt.Length + FieldAt.Known];
    dropped[field] = known === Name.Other ? Drop.Kept : dropOf(known, head.flags, forwarded, trusted);
  }
  if (head.flags & HeadFlag.ConnectionNames) dropNamed(bytes, head);
  let kept = 0, joined = 0;
  for (let field = 0; field < head.fieldCount; field++) {
    const bit = 1 << head.fields[field * FieldAt.Length + FieldAt.Known];
    if (dropped[field] === Drop.Kept) kept |= bit;
    else if (dropped[field] === Drop.Joined) joined |= bit;
  }
  keptNames = kept;
  joinedNames = joined;
}

function dropOf(known: Name, flags: number, forwarded: number, trusted: boolean): Drop {
  switch (known) {
    case Name.Connection:
    case Name.KeepAlive:
    case Name.ProxyConnection:
    case Name.Te: // written anew, if it is to be passed on
    case Name.Lookalike: // a server might take it for the one that was dropped
      return Drop.Dropped;
    case Name.Upgrade:
      return flags & HeadFlag.Upgrade ? Drop.Kept : Drop.Dropped;
    case Name.XForwardedFor:
      return ofList(forwarded, ForwardedShift.XForwardedFor, trusted);
    case Name.Forwarded:
      return ofList(forwarded, ForwardedShift.Forwarded, trusted);
    case Name.Via: // believed of anybody: it can only end a loop
      return ofList(forwarded, ForwardedShift.Via, true);
    case Name.XForwardedProto:
      return ofValue(forwarded, ForwardedShift.XForwardedProto, trusted);
    case Name.XForwardedHost:
      return ofValue(forwarded, ForwardedShift.XForwardedHost, trusted);
    case Name.XForwardedPort:
      return ofValue(forwarded, ForwardedShift.XForwardedPort, trusted);
    case Name.XRealIp:
      return ofValue(forwarded, ForwardedShift.XRealIp, trusted);
    case Name.XRequestId:
      return ofValue(forwarded, ForwardedShift.XRequestId, trusted);
    case Name.Traceparent: // says nothing about who the client is
      return ofValue(forwarded, ForwardedShift.Traceparent, true);
    default:
      return Drop.Kept;
  }
}

/** Ways of a client whose address is not known, as behind a unix socket: where ours would be appended, what
 * came is left; where ours would be alone, there is none. */
export function withoutAddress(forwarded: number): number {
  return withoutOurs(withoutOurs(forwarded, ForwardedShift.XForwardedFor), ForwardedShift.XRealIp);
}

function withoutOurs(forwarded: number, shift: ForwardedShift): number {
  switch (forwardingOf(forwarded, shift)) {
    case Forwarding.Append:
      return forwarded & ~(3 << shift); // Leave
    case Forwarding.Replace:
      return forwarded | (Forwarding.Off << shift);
    default:
      return forwarded;
  }
}

/** A value that came is kept where it is believed and not replaced. */
function ofValue(forwarded: number, shift: ForwardedShift, trusted: boolean): Drop {
  const how = forwardingOf(forwarded, shift);
  return trusted && (how === Forwarding.Leave || how === Forwarding.Append) ? Drop.Kept : Drop.Dropped;
}

/** So is a list; where we append to it, it is written with our entry. */
function ofList(forwarded: number, shift: ForwardedShift, trusted: boolean): Drop {
  const joins = forwardingOf(forwarded, shift) === Forwarding.Append;
  return joins && trusted ? Drop.Joined : ofValue(forwarded, shift, trusted);
}

/** Marks what of an answer is not passed on. `old`: its client does not know chunked framing, not even that of
 * a body which is not sent (RFC 9112 section 6.1). */
export function editAnswer(bytes: Uint8Array, head: Head, old: boolean): void {
  let date = -1;
  for (let field = 0; field < head.fieldCount; field++) {
    switch (head.fields[field * FieldAt.Length + FieldAt.Known]) {
      case Name.Connection:
      case Name.KeepAlive:
      case Name.ProxyConnection:
        dropped[field] = Drop.Dropped;
        break;
      case Name.Upgrade:
        dropped[field] = head.flags & HeadFlag.Upgrade ? Drop.Kept : Drop.Dropped;
        break;
      case Name.TransferEncoding:
      case Name.Trailer:
        dropped[field] = old ? Drop.Dropped : Drop.Kept;
        break;
      case Name.Date:
        dropped[field] = Drop.Kept;
        date = field;
        break;
      default:
        dropped[field] = Drop.Kept;
    }
  }
  if (head.flags & HeadFlag.ConnectionNames) dropNamed(bytes, head);
  keepsDate = date >= 0 && dropped[date] === Drop.Kept;
}

/** Fields that Connection names belong to the connection, except what no connection may take away. */
function dropNamed(bytes: Uint8Array, head: Head): void {
  for (let field = 0; field < head.fieldCount; field++) {
    const row = field * FieldAt.Length;
    if (head.fields[row + FieldAt.Known] !== Name.Connection) continue;
    const end = head.at + head.fields[row + FieldAt.ValueEnd];
    for (let at = head.at + head.fields[row + FieldAt.Value]; at < end;) {
      let optionEnd = at;
      while (optionEnd < end && bytes[optionEnd] !== Octet.Comma) optionEnd++;
      dropOption(bytes, head, at, optionEnd);
      at = optionEnd + 1;
    }
  }
}

function dropOption(bytes: Uint8Array, head: Head, from: number, end: number): void {
  from = skipBlanks(bytes, from, end);
  end = trimEnd(bytes, from, end);
  if (from === end) return;
  for (let field = 0; field < head.fieldCount; field++) {
    const row = field * FieldAt.Length;
    const name = head.at + head.fields[row + FieldAt.Name];
    if (head.at + head.fields[row + FieldAt.NameEnd] - name !== end - from) continue;
    if (isProtected(head.fields[row + FieldAt.Known])) continue;
    if (sameRuns(bytes, name, from, end - from)) dropped[field] = Drop.Dropped;
  }
}

/** Without these a message would change its meaning, or hide where it came from. */
function isProtected(known: Name): boolean {
  switch (known) {
    case Name.Host:
    case Name.ContentLength:
    case Name.TransferEncoding:
    case Name.Via:
    case Name.Upgrade: // decided above
      return true;
    default:
      return false;
  }
}
