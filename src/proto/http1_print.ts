// Heads as HTTP/1 writes them (RFC 9112 sections 2 to 5). What is unedited is copied in runs, first line
// included, byte for byte as it came; what is dropped is cut out; what is added comes behind.
// A print has one place and one end at a time: `printBegin`, pieces, `printEnd`. A piece that does not fit
// makes the whole print FULL, so that nobody has to ask after each.
import { FieldAt, type Head } from "./head.ts";
import { ascii } from "./octet.ts";

/** No room: what was printed is no head. */
export const FULL = -1;

/** A constant piece: its bytes, padded with zeroes to whole words of four. */
export interface Text {
  readonly bytes: Uint8Array;
  readonly words: DataView;
  readonly length: number;
}

/** A text in ASCII, made when a module is loaded. */
export function text(characters: string): Text {
  const bytes = new Uint8Array((characters.length + 3) & ~3);
  bytes.set(ascii(characters));
  return { bytes, words: new DataView(bytes.buffer), length: characters.length };
}

/** Pieces are copied in words of four bytes, the last one whole: up to three bytes behind a print are
 * written to, so it ends at least so long before its limit. */
const SLACK_BYTES = 3;
/** Runs at least this long are worth a call. */
const CALL_BYTES_MIN = 96;

let bytes: Uint8Array;
let words: DataView;
let end = 0;
let limit = 0;
let full = false;

/** Names the bytes that prints are made in, for good. */
export function printOpen(into: Uint8Array): void {
  bytes = into;
  words = new DataView(into.buffer, into.byteOffset, into.byteLength);
}

/** Begins a print at `at`, that ends before `to`. */
export function printBegin(at: number, to: number): void {
  end = at;
  limit = to - SLACK_BYTES;
  full = false;
}

/** Where the print ends, or FULL. */
export function printEnd(): number {
  return full ? FULL : end;
}

/** How much more the print has room for. */
export function printLeft(): number {
  return limit - end;
}

/** Somebody else has printed, up to `at`; FULL, or another number below 0: it did not fit. */
export function printTook(at: number): void {
  if (at < 0 || at > limit) full = true;
  else end = at;
}

/** Room for so many bytes: where they go, or FULL. */
function room(length: number): number {
  const at = end;
  if (full || at + length > limit) {
    full = true;
    return FULL;
  }
  end = at + length;
  return at;
}

export function print(piece: Text): void {
  const at = room(piece.length);
  if (at === FULL) return;
  const from = piece.words;
  for (let byte = 0; byte < piece.length; byte += 4) {
    words.setInt32(at + byte, from.getInt32(byte, true), true);
  }
}

/** [from, to) of the bytes that are printed into. They lie elsewhere than the print. */
export function printRun(from: number, to: number): void {
  const length = to - from;
  const at = room(length);
  if (at === FULL) return;
  if (length >= CALL_BYTES_MIN || to + SLACK_BYTES > bytes.length) {
    bytes.copyWithin(at, from, to);
    return;
  }
  for (let byte = 0; byte < length; byte += 4) {
    words.setInt32(at + byte, words.getInt32(from + byte, true), true);
  }
}

/** [from, to) of other bytes, given as words: a Plan's arena, which goes on for three bytes behind them. */
export function printBytes(source: DataView, from: number, to: number): void {
  const length = to - from;
  const at = room(length);
  if (at === FULL) return;
  for (let byte = 0; byte < length; byte += 4) {
    words.setInt32(at + byte, source.getInt32(from + byte, true), true);
  }
}

/** The same of short texts, of which most fit four words: these are copied without a question after each. The
 * source goes on for TEXT_SLACK_BYTES behind them, and so does the print's place behind its limit. */
export function printText(source: DataView, from: number, length: number): void {
  const at = room(length);
  if (at === FULL) return;
  for (let byte = 0; byte < length; byte += 16) {
    words.setInt32(at + byte, source.getInt32(from + byte, true), true);
    words.setInt32(at + byte + 4, source.getInt32(from + byte + 4, true), true);
    words.setInt32(at + byte + 8, source.getInt32(from + byte + 8, true), true);
    words.setInt32(at + byte + 12, source.getInt32(from + byte + 12, true), true);
  }
}

export const TEXT_SLACK_BYTES = 15;

/** A whole number from 0 to 2^53. */
export function printDecimal(value: number): void {
  if (value < 1_000) return printFew(value | 0);
  if (value < 1_000_000_000) return printSmall(value | 0);
  const high = Math.floor(value / 1_000_000_000);
  printSmall(high);
  const low = (value - high * 1_000_000_000) | 0;
  printThree((low / 1_000_000) | 0);
  printThree(((low / 1_000) | 0) % 1_000);
  printThree(low % 1_000);
}

/** The same of an integer below 10^9. */
function printSmall(value: number): void {
  if (value >= 1_000) {
    printSmall((value / 1_000) | 0);
    return printThree(value % 1_000);
  }
  printFew(value);
}

/** The same of an integer below 1,000. */
function printFew(value: number): void {
  const at = room(digitsOf(value));
  if (at !== FULL) words.setInt32(at, SMALL[value], true);
}

/** Numbers below 1,000 as they are written, without leading zeroes, the first digit in the lowest byte. */
const SMALL = new Int32Array(1_000);
/** The same with leading zeroes. */
const THREE = new Int32Array(1_000);
for (let value = 0, first = 0x30; first <= 0x39; first++) {
  for (let second = 0x30; second <= 0x39; second++) {
    for (let third = 0x30; third <= 0x39; third++, value++) {
      THREE[value] = first | (second << 8) | (third << 16);
      SMALL[value] = value < 10 ? third : value < 100 ? second | (third << 8) : THREE[value];
    }
  }
}

/** Three digits, leading zeroes included: 0 to 999. */
export function printThree(value: number): void {
  const at = room(3);
  if (at !== FULL) words.setInt32(at, THREE[value], true);
}

/** Milliseconds with one decimal: 12.3. */
export function printTenths(ms: number): void {
  const tenths = Math.floor(ms * 10 + 0.5), whole = Math.floor(tenths / 10);
  printDecimal(whole);
  const at = room(2);
  if (at !== FULL) words.setInt32(at, POINT_ZERO + ((tenths - whole * 10) << 8), true);
}

/** ".0" as it lies in memory. */
const POINT_ZERO = 0x302e;

/** What a client sent, [from, to) of the bytes that are printed into, fit for a quoted text: `"`, `\\` and
 * whatever is not plain ASCII is escaped, `\\xHH`, or `\\u00HH` for JSON. */
export function printQuoted(from: number, to: number, json: boolean): void {
  let runFrom = from;
  for (let at = from; at < to; at++) {
    const octet = bytes[at];
    if (octet >= 0x20 && octet < 0x7f && octet !== 0x22 && octet !== 0x5c) continue;
    printRun(runFrom, at);
    print(json ? ESCAPE_U : ESCAPE_X);
    const place = room(2);
    if (place !== FULL) {
      bytes[place] = hexDigit(octet >> 4);
      bytes[place + 1] = hexDigit(octet & 15);
    }
    runFrom = at + 1;
  }
  printRun(runFrom, to);
}

const ESCAPE_X = text("\\x");
const ESCAPE_U = text("\\u00");

/** The words that prints are made in, for who copies them on. */
export function printWords(): DataView {
  return words;
}

/** 32 bits as eight hexadecimal digits. */
export function printHex(value: number): void {
  const at = room(8);
  if (at === FULL) return;
  words.setInt32(at, (HEX[value >>> 24] & 0xffff) | (HEX[(value >>> 16) & 0xff] << 16), true);
  words.setInt32(at + 4, (HEX[(value >>> 8) & 0xff] & 0xffff) | (HEX[value & 0xff] << 16), true);
}

/** The same, elsewhere. */
export function putHex(into: Uint8Array, at: number, value: number): void {
  for (let digit = 0; digit < 8; digit++) into[at + digit] = hexDigit((value >>> (28 - 4 * digit)) & 15);
}

function hexDigit(value: number): number {
  return value < 10 ? 0x30 + value : 0x61 + value - 10;
}

/** Both digits of a byte, the first in the lower half. */
const HEX = Int32Array.from({ length: 256 }, (_, byte) => hexDigit(byte >> 4) | (hexDigit(byte & 15) << 8));

/** An address record's IP (see ffi/sluice.h) as text: RFC 5952 for IPv6, IPv4 for what is mapped; nothing
 * for a unix socket or an unknown family. */
export function printIp(record: Uint8Array, from: number): void {
  if (record[from] === 4) return printIp4(record, from + 4);
  if (record[from] !== 6) return;
  if (isMapped(record, from)) return printIp4(record, from + 16);
  // The longest run of at least two zero groups is written "::", the first of equals.
  let best = -1, bestLength = 1;
  for (let group = 0; group < 8;) {
    let length = 0;
    while (group + length < 8 && groupOf(record, from, group + length) === 0) length++;
    if (length > bestLength) {
      best = group;
      bestLength = length;
    }
    group += length + 1;
  }
  for (let group = 0; group < 8; group++) {
    if (group === best) {
      print(COLONS);
      group += bestLength - 1;
      continue;
    }
    if (group > 0 && group !== best + bestLength) print(COLON);
    printGroup(groupOf(record, from, group));
  }
}

const COLON = text(":");
const COLONS = text("::");
const DOT = 0x2e;

/** Whether an address record is an IPv4 address in IPv6's clothes. */
export function isMapped(record: Uint8Array, from: number): boolean {
  for (let byte = 4; byte < 14; byte++) if (record[from + byte] !== 0) return false;
  return record[from + 14] === 0xff && record[from + 15] === 0xff;
}

function groupOf(record: Uint8Array, from: number, group: number): number {
  return (record[from + 4 + 2 * group] << 8) | record[from + 5 + 2 * group];
}

/** 16 bits in hexadecimal, without leading zeroes. */
function printGroup(value: number): void {
  const digits = value > 0xfff ? 4 : value > 0xff ? 3 : value > 0xf ? 2 : 1;
  const at = room(digits);
  if (at === FULL) return;
  for (let place = 0; place < digits; place++) {
    bytes[at + place] = hexDigit((value >>> (4 * (digits - 1 - place))) & 15);
  }
}

/** Each octet with the dot behind it is one word; the last dot lies behind the print. */
function printIp4(record: Uint8Array, from: number): void {
  let length = 3;
  for (let byte = 0; byte < 4; byte++) length += digitsOf(record[from + byte]);
  let at = room(length);
  if (at === FULL) return;
  for (let byte = 0; byte < 4; byte++) {
    const value = record[from + byte], digits = digitsOf(value);
    words.setInt32(at, SMALL[value] | (DOT << (8 * digits)), true);
    at += digits + 1;
  }
}

/** Of a number below 1,000. */
function digitsOf(value: number): number {
  return value < 10 ? 1 : value < 100 ? 2 : 3;
}

/** Where a field's line begins, in the bytes; for the one behind the last, where the empty line does. */
function lineAt(head: Head, field: number): number {
  if (field === head.fieldCount) return head.at + head.bytes - 2;
  return head.at + head.fields[field * FieldAt.Length + FieldAt.Name];
}

/** A head's fields but those that are dropped (`drop[field]` not 0), beginning at byte `from` of it: where
 * the first field begins, or before it, when the first line is copied as well. */
export function printFields(head: Head, drop: Uint8Array, from: number): void {
  let runFrom = head.at + from;
  for (let field = 0; field < head.fieldCount; field++) {
    if (drop[field] === 0) continue;
    printRun(runFrom, lineAt(head, field));
    runFrom = lineAt(head, field + 1);
  }
  printRun(runFrom, lineAt(head, head.fieldCount));
}

/** Copies [from, end) of other bytes: a Plan's arena, a constant. */
export function put(
  into: Uint8Array,
  at: number,
  to: number,
  source: Uint8Array,
  from = 0,
  until = source.length,
): number {
  const length = until - from;
  if (at < 0 || at + length > to) return FULL;
  for (let index = 0; index < length; index++) into[at + index] = source[from + index];
  return at + length;
}

/** Copies [from, until) of other bytes, fit for the value of a field: whatever is not visible ASCII or a space is
 * written as `\\HH`, as distinguished names have it (RFC 4514 section 2.4). */
export function putEscaped(
  into: Uint8Array,
  at: number,
  to: number,
  source: Uint8Array,
  from: number,
  until: number,
): number {
  let end = at;
  for (let index = from; index < until; index++) {
    const octet = source[index], plain = octet >= 0x20 && octet < 0x7f;
    if (end < 0 || end + (plain ? 1 : 3) > to) return FULL;
    if (plain) {
      into[end++] = octet;
      continue;
    }
    into[end] = 0x5c;
    into[end + 1] = UPPER_HEX[octet >> 4];
    into[end + 2] = UPPER_HEX[octet & 15];
    end += 3;
  }
  return end;
}

const UPPER_HEX = ascii("0123456789ABCDEF");

/** A whole number >= 0 in decimal. */
export function putDecimal(into: Uint8Array, at: number, to: number, value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  if (at < 0 || at + digits > to) return FULL;
  let left = value;
  for (let place = at + digits - 1; place >= at; place--) {
    const above = Math.floor(left / 10);
    into[place] = 0x30 + left - above * 10;
    left = above;
  }
  return at + digits;
}

/** An address's IP, printed elsewhere. */
export function putIp(into: Uint8Array, at: number, to: number, record: Uint8Array, from: number): number {
  const keptBytes = bytes, keptWords = words, keptEnd = end, keptLimit = limit, keptFull = full;
  printOpen(into);
  printBegin(at, to);
  printIp(record, from);
  const result = printEnd();
  bytes = keptBytes;
  words = keptWords;
  end = keptEnd;
  limit = keptLimit;
  full = keptFull;
  return result;
}
