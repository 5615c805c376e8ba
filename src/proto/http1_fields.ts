// The fields of an HTTP/1 head: their lines (RFC 9112 section 5), and what those say that framing and the
// connection depend on (sections 6 and 9). What a rule needs to know of a head is found in one pass, while
// its lines are read, and holds until the next head is.
import { FIELDS_MAX, HEAD_BYTES_MAX } from "../base/limits.ts";
import { FieldAt, findField, Framing, type Head, HeadFlag, Name } from "./head.ts";
import { nameOf } from "./names.ts";
import { ascii, findText, Octet, OCTETS, Of, sameText, skipBlanks } from "./octet.ts";
import { Refusal } from "./refusal.ts";

/** Below 2^53 whatever they are. */
const LENGTH_DIGITS_MAX = 15;

const CHUNKED = ascii("chunked");
const CLOSE = ascii("close");
const KEEP_ALIVE = ascii("keep-alive");
const UPGRADE = ascii("upgrade");
const TRAILERS = ascii("trailers");
const CONTINUE = ascii("100-continue");

/** Of the head that is being parsed: which names it has, which of them more than once (bits by Name), and
 * the first field of each. */
export let seen = 0;
export let twice = 0;
export const firstOf = new Int32Array(Name.Lookalike + 1);

/** All of [at, limit) was looked at, and it is not enough. */
export function short(at: number, limit: number): number {
  return limit - at >= HEAD_BYTES_MAX ? -Refusal.HeadTooLong : 0;
}

/** A line's end at `at`, of the head that begins at `begin`: where the next line begins, or 0, or the
 * negative of a Refusal (`other`, when something else stands there). */
export function crlf(bytes: Uint8Array, at: number, begin: number, limit: number, other: Refusal): number {
  if (at >= limit) return short(begin, limit);
  if (bytes[at] === Octet.Lf) return -Refusal.BareLf;
  if (bytes[at] !== Octet.Cr) return -other;
  if (at + 1 >= limit) return short(begin, limit);
  return bytes[at + 1] === Octet.Lf ? at + 2 : -Refusal.BareCr;
}

/** RFC 9112 section 5, up to and with the empty line. */
export function fieldLines(bytes: Uint8Array, from: number, limit: number, head: Head): number {
  const begin = head.at, fields = head.fields;
  let at = from, place = 0;
  viewOf(bytes);
  seen = 0;
  twice = 0;
  for (;;) {
    const name = at;
    while (at < limit && (OCTETS[bytes[at]] & Of.Token) !== 0) at++;
    if (at === limit) return short(begin, limit);
    if (bytes[at] !== Octet.Colon || at === name) {
      if (at === name && bytes[at] === Octet.Cr) break;
      return notName(bytes, name, at);
    }
    if (place === FIELDS_MAX * FieldAt.Length) return -Refusal.TooManyFields;
    const known = nameOf(bytes, name, at);
    fields[place + FieldAt.Name] = name - begin;
    fields[place + FieldAt.NameEnd] = at - begin;
    at++;
    while (at < limit && (OCTETS[bytes[at]] & Of.Blank) !== 0) at++;
    const value = at;
    at = skipValue(bytes, at, limit);
    let end = at;
    at = crlf(bytes, at, begin, limit, Refusal.ControlCharacter);
    if (at <= 0) return at;
    while (end > value && (OCTETS[bytes[end - 1]] & Of.Blank) !== 0) end--;
    fields[place + FieldAt.Value] = value - begin;
    fields[place + FieldAt.ValueEnd] = end - begin;
    fields[place + FieldAt.Known] = known;
    if (known !== Name.Other) {
      const bit = 1 << known;
      if ((seen & bit) === 0) firstOf[known] = place;
      twice |= seen & bit;
      seen |= bit;
    }
    place += FieldAt.Length;
  }
  head.fieldCount = place / FieldAt.Length;
  return crlf(bytes, at, begin, limit, Refusal.BareCr);
}

/** The bytes that are parsed, four at a time. Kept from call to call: a reactor parses one arena. */
let viewed: Uint8Array = new Uint8Array(0);
let view: DataView = new DataView(viewed.buffer);

function viewOf(bytes: Uint8Array): void {
  if (bytes === viewed) return;
  viewed = bytes;
  view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const HIGH_BITS = 0x80808080 | 0;

/** Where the octets of a value end (Of.Value). Half of a head is values, so they are looked at in words:
 * the lowest bit set in `stops` is that of the first octet below 0x20 or equal to 0x7f (a borrow can only
 * set bits above it). */
function skipValue(bytes: Uint8Array, from: number, limit: number): number {
  let at = from;
  while (at + 4 <= limit) {
    const word = view.getInt32(at, true);
    const deletes = word ^ 0x7f7f7f7f;
    const stops = (((word - 0x20202020) & ~word) | ((deletes - 0x01010101) & ~deletes)) & HIGH_BITS;
    if (stops === 0) {
      at += 4;
      continue;
    }
    at += (31 - Math.clz32(stops & -stops)) >> 3;
    if (bytes[at] !== Octet.Tab) return at;
    at++;
  }
  while (at < limit && (OCTETS[bytes[at]] & Of.Value) !== 0) at++;
  return at;
}

/** Why there is no field's name in [name, at), followed by a colon. */
function notName(bytes: Uint8Array, name: number, at: number): number {
  const blank = (OCTETS[bytes[at]] & Of.Blank) !== 0;
  if (at === name && blank) return -Refusal.ObsFold;
  if (bytes[at] === Octet.Lf) return -Refusal.BareLf;
  if (at === name) return -Refusal.BadFieldName;
  if (blank) return -Refusal.SpaceBeforeColon;
  return bytes[at] === Octet.Cr ? -Refusal.NoColon : -Refusal.BadFieldName;
}

/** RFC 9112 section 6.3, but for what the method or status says. */
export function readFraming(bytes: Uint8Array, head: Head): number {
  const lengthBit = 1 << Name.ContentLength, encodingBit = 1 << Name.TransferEncoding;
  head.framing = Framing.None;
  head.length = 0;
  if ((seen & (lengthBit | encodingBit)) === 0) return 0;
  if ((seen & encodingBit) === 0) {
    // RFC 9110 section 8.6 allows to merge equal values. Nobody has an honest use for it.
    if ((twice & lengthBit) !== 0) return -Refusal.SeveralContentLength;
    const length = readLength(bytes, head);
    if (length < 0) return length;
    head.framing = Framing.Length;
    head.length = length;
    return 0;
  }
  if ((seen & lengthBit) !== 0) return -Refusal.LengthAndEncoding;
  // RFC 9112 section 6.1: its framing is faulty, whatever it means.
  if ((head.flags & HeadFlag.Old) !== 0) return -Refusal.EncodingInOld;
  head.framing = Framing.Chunked;
  return readCodings(bytes, head);
}

function readLength(bytes: Uint8Array, head: Head): number {
  const place = firstOf[Name.ContentLength];
  const from = head.at + head.fields[place + FieldAt.Value];
  const end = head.at + head.fields[place + FieldAt.ValueEnd];
  if (isTabBehind(bytes, end)) return -Refusal.BadContentLength;
  let length = 0, digits = true;
  for (let at = from; at < end; at++) {
    if (bytes[at] === Octet.Comma) return -Refusal.SeveralContentLength;
    if ((OCTETS[bytes[at]] & Of.Digit) === 0) digits = false;
    length = length * 10 + bytes[at] - Octet.Zero;
  }
  return digits && end > from && end - from <= LENGTH_DIGITS_MAX ? length : -Refusal.BadContentLength;
}

/** Whether HTAB is among the white space between a value's end and its line's. RFC 9110 section 5.5 allows
 * it, but llhttp does not take it for white space: it reads an answer with "chunked HTAB" until the close.
 * Nobody has an honest use for it in a field that frames. */
function isTabBehind(bytes: Uint8Array, valueEnd: number): boolean {
  let at = valueEnd;
  while (bytes[at] === Octet.Space) at++;
  return bytes[at] === Octet.Tab;
}

/** Nothing but "chunked", once, is understood. Other codings before it are 501 (RFC 9112 section 6.1), a
 * list that does not end in it is 400 (section 6.3). Empty elements and parameters are not taken. */
function readCodings(bytes: Uint8Array, head: Head): number {
  const place = firstOf[Name.TransferEncoding];
  const value = head.at + head.fields[place + FieldAt.Value];
  const valueEnd = head.at + head.fields[place + FieldAt.ValueEnd];
  if (isTabBehind(bytes, valueEnd)) return -Refusal.BadTransferEncoding;
  const several = (twice & (1 << Name.TransferEncoding)) !== 0;
  if (!several && sameText(bytes, value, valueEnd, CHUNKED)) return 0;
  let others = 0, chunked = 0, last = false;
  for (let field = place; field < head.fieldCount * FieldAt.Length; field += FieldAt.Length) {
    if (head.fields[field + FieldAt.Known] !== Name.TransferEncoding) continue;
    const end = head.at + head.fields[field + FieldAt.ValueEnd];
    let at = head.at + head.fields[field + FieldAt.Value];
    for (;;) {
      const begin = at;
      while (at < end && (OCTETS[bytes[at]] & Of.Token) !== 0) at++;
      if (at === begin) return -Refusal.BadTransferEncoding;
      last = sameText(bytes, begin, at, CHUNKED);
      if (last) chunked++;
      else others++;
      at = skipBlanks(bytes, at, end);
      if (at === end) break;
      if (bytes[at] !== Octet.Comma) return -Refusal.BadTransferEncoding;
      at = skipBlanks(bytes, at + 1, end);
    }
  }
  if (!last || chunked > 1) return -Refusal.NotFinalChunked;
  return others > 0 ? -Refusal.UnknownCoding : 0;
}

/** RFC 9112 section 9.3 (is the connection persistent) and RFC 9110 section 7.8 (Upgrade, which HTTP/1.0
 * does not have). */
export function readConnection(bytes: Uint8Array, head: Head): number {
  const old = (head.flags & HeadFlag.Old) !== 0;
  if ((seen & (1 << Name.Connection)) === 0) {
    if (!old) head.flags |= HeadFlag.Persistent;
    return 0;
  }
  const limit = (twice & (1 << Name.Connection)) === 0 ? firstOf[Name.Connection] : Infinity;
  let options = 0;
  names = 0;
  for (
    let place = firstOf[Name.Connection];
    place < head.fieldCount * FieldAt.Length;
    place += FieldAt.Length
  ) {
    if (place > limit) break;
    if (head.fields[place + FieldAt.Known] !== Name.Connection) continue;
    const found = readOptions(
      bytes,
      head.at + head.fields[place + FieldAt.Value],
      head.at + head.fields[place + FieldAt.ValueEnd],
    );
    if (found < 0) return found;
    options |= found;
  }
  const stays = (options & Option.Close) === 0 && (!old || (options & Option.KeepAlive) !== 0);
  if (stays) head.flags |= HeadFlag.Persistent;
  if ((options & Option.Names) !== 0) head.flags |= HeadFlag.ConnectionNames;
  const asks = !old && (options & Option.Upgrade) !== 0 && (seen & (1 << Name.Upgrade)) !== 0;
  if (asks && !asksForHttp2(bytes, head)) {
    head.flags |= HeadFlag.Upgrade;
  }
  return 0;
}

/** Whether an Upgrade names h2c. Behind a 101 to that, requests would pass unseen: it is as if nobody had
 * asked, and RFC 9113 (section 3.1) has given the mechanism up. */
function asksForHttp2(bytes: Uint8Array, head: Head): boolean {
  for (
    let field = findField(head, Name.Upgrade);
    field >= 0;
    field = findField(head, Name.Upgrade, field + 1)
  ) {
    const row = field * FieldAt.Length;
    const from = head.at + head.fields[row + FieldAt.Value];
    if (findText(bytes, from, head.at + head.fields[row + FieldAt.ValueEnd], H2C) >= 0) return true;
  }
  return false;
}

const H2C = ascii("h2c");

/** Options of Connection, as bits. */
const enum Option {
  Close = 1,
  KeepAlive = 2,
  Upgrade = 4,
  /** A field's name. */
  Names = 8,
}

/** Fields that the Connection fields of this head have named. */
let names = 0;

/** One Connection field: tokens between commas, some of them missing (RFC 9110 section 5.6.1.2). */
function readOptions(bytes: Uint8Array, from: number, end: number): number {
  let options = 0;
  for (let at = from; at < end; at++) {
    at = skipBlanks(bytes, at, end);
    const begin = at;
    while (at < end && (OCTETS[bytes[at]] & Of.Token) !== 0) at++;
    if (at > begin) {
      if (sameText(bytes, begin, at, KEEP_ALIVE)) options |= Option.KeepAlive;
      else if (sameText(bytes, begin, at, CLOSE)) options |= Option.Close;
      else if (sameText(bytes, begin, at, UPGRADE)) options |= Option.Upgrade;
      else {
        options |= Option.Names;
        if (++names > FIELDS_MAX) return -Refusal.TooManyFields;
      }
    }
    at = skipBlanks(bytes, at, end);
    if (at < end && bytes[at] !== Octet.Comma) return -Refusal.BadConnection;
  }
  return options;
}

/** Whether the client takes trailers (RFC 9110 section 10.1.4). Its other words are not ours to judge. */
export function readTe(bytes: Uint8Array, head: Head): void {
  for (let place = firstOf[Name.Te]; place < head.fieldCount * FieldAt.Length; place += FieldAt.Length) {
    if (head.fields[place + FieldAt.Known] !== Name.Te) continue;
    const end = head.at + head.fields[place + FieldAt.ValueEnd];
    for (let at = head.at + head.fields[place + FieldAt.Value]; at < end; at++) {
      const begin = skipBlanks(bytes, at, end);
      at = begin;
      while (at < end && (OCTETS[bytes[at]] & Of.Token) !== 0) at++;
      const word = sameText(bytes, begin, at, TRAILERS);
      at = skipBlanks(bytes, at, end);
      if (word && (at === end || bytes[at] === Octet.Comma)) head.flags |= HeadFlag.Trailers;
      while (at < end && bytes[at] !== Octet.Comma) at++;
    }
  }
}

/** RFC 9110 section 10.1.1: one expectation is defined; it means nothing in HTTP/1.0, nor without a body. */
export function readExpect(bytes: Uint8Array, head: Head): number {
  for (let place = firstOf[Name.Expect]; place < head.fieldCount * FieldAt.Length; place += FieldAt.Length) {
    if (head.fields[place + FieldAt.Known] !== Name.Expect) continue;
    const value = head.at + head.fields[place + FieldAt.Value];
    const end = head.at + head.fields[place + FieldAt.ValueEnd];
    if (!sameText(bytes, value, end, CONTINUE)) return -Refusal.UnknownExpectation;
  }
  const body = head.framing === Framing.Chunked || head.length > 0;
  if (body && (head.flags & HeadFlag.Old) === 0) head.flags |= HeadFlag.Continue;
  return 0;
}
