// Prefixes of IP addresses in bulk, as lists have them: 100,000 of them are a few columns of numbers, not as many
// objects. And how a text with one on each line becomes them.
import { type Cidr, readCidr } from "./cidr.ts";

/** Prefixes in the order in which they were written. */
export class ListEntries {
  count = 0;
  /** Four words of each in network order; an IPv4 address has one. */
  ip = new Uint32Array(4 * FEW);
  /** 1 is unix; 4 and 6 as in an address record. */
  family = new Uint8Array(FEW);
  bits = new Uint8Array(FEW);
  /** Where they stand in their file; 0: in the configuration itself. */
  line = new Uint32Array(FEW);

  add({ family, bits, ip }: Cidr, line: number): void {
    const at = this.#more(family, bits, line);
    const view = new DataView(ip.buffer, ip.byteOffset, ip.length);
    for (let word = 0; word < ip.length / 4; word++) this.ip[at + word] = view.getUint32(4 * word);
  }

  add4(ip: number, bits: number, line: number): void {
    this.ip[this.#more(4, bits, line)] = ip;
  }

  /** @param groups eight of 16 bits */
  add6(groups: Uint16Array, bits: number, line: number): void {
    const at = this.#more(6, bits, line);
    for (let word = 0; word < 4; word++) {
      this.ip[at + word] = groups[2 * word] * 65_536 + groups[2 * word + 1];
    }
  }

  #more(family: number, bits: number, line: number): number {
    if (this.count === this.bits.length) this.#grow();
    const entry = this.count++;
    this.family[entry] = family;
    this.bits[entry] = bits;
    this.line[entry] = line;
    return entry * 4;
  }

  #grow(): void {
    const grown = <T extends Uint8Array | Uint32Array>(column: T): T => {
      const larger = new (column.constructor as new (length: number) => T)(2 * column.length);
      larger.set(column);
      return larger;
    };
    this.ip = grown(this.ip);
    this.family = grown(this.family);
    this.bits = grown(this.bits);
    this.line = grown(this.line);
  }
}

const FEW = 16;

/** Something that is wrong with a line, the first of which is 1. */
export interface LineFlaw {
  readonly line: number;
  readonly what: string;
  readonly remedy: string;
}

/** What a text of lists may have. */
export const LIST_ENTRIES_MAX = 1_000_000;
const LINE_CHARACTERS_MAX = 1_000;
/** Flaws of a text that are told; who has more has another kind of file. */
const FLAWS_MAX = 10;

/** Reads one prefix or address on each line; `#` begins a comment, empty lines are nothing. @returns all that is wrong
 * with it, as far as it is told, otherwise */
export function readList(text: string): ListEntries | { readonly flaws: readonly LineFlaw[] } {
  const entries = new ListEntries(), flaws: LineFlaw[] = [];
  let line = 0;
  for (let at = 0; at < text.length && flaws.length < FLAWS_MAX;) {
    line++;
    const newline = text.indexOf("\n", at), end = newline < 0 ? text.length : newline;
    if (!add4(entries, text, at, end, line) && !add6(entries, text, at, end, line)) {
      const flaw = addAny(entries, text.slice(at, Math.min(end, at + LINE_CHARACTERS_MAX)), line);
      if (flaw !== undefined) flaws.push(flaw);
    }
    at = end + 1;
    if (entries.count <= LIST_ENTRIES_MAX) continue;
    flaws.push({ line, what: `more than ${LIST_ENTRIES_MAX} entries`, remedy: "write wider prefixes" });
    break;
  }
  return flaws.length > 0 ? { flaws } : entries;
}

function addAny(entries: ListEntries, given: string, line: number): LineFlaw | undefined {
  const comment = given.indexOf("#"), text = (comment < 0 ? given : given.slice(0, comment)).trim();
  if (text === "" || (line === 1 && text === "\ufeff")) return undefined;
  const cidr = readCidr(line === 1 ? text.replace(/^\ufeff/, "") : text);
  if (!cidr.ok) return { line, what: cidr.what, remedy: cidr.remedy };
  entries.add(cidr.value, line);
  return undefined;
}

const DOT = 0x2e, SLASH = 0x2f, ZERO = 0x30, NINE = 0x39, CR = 0x0d;

/** The most usual line, `192.0.2.1` or `192.0.2.0/24` and nothing else; false: it is to be looked at closer. */
function add4(entries: ListEntries, text: string, from: number, end: number, line: number): boolean {
  let ip = 0, at = from;
  const last = end > from && text.charCodeAt(end - 1) === CR ? end - 1 : end;
  for (let part = 0; part < 4; part++) {
    const begin = at;
    let value = 0;
    for (; at < last && at - begin < 3; at++) {
      const code = text.charCodeAt(at);
      if (code < ZERO || code > NINE) break;
      value = value * 10 + code - ZERO;
    }
    if (at === begin || value > 255 || (at - begin > 1 && text.charCodeAt(begin) === ZERO)) return false;
    ip = ip * 256 + value;
    if (part < 3 && text.charCodeAt(at++) !== DOT) return false;
  }
  const bits = bitsAt(text, at, last, 32);
  if (bits < 0 || ip % 2 ** (32 - bits) !== 0) return false;
  entries.add4(ip, bits, line);
  return true;
}

/** The number behind the slash, `whole` without one; -1: it is none of 0 to `whole`. */
function bitsAt(text: string, from: number, last: number, whole: number): number {
  if (from === last) return whole;
  const first = from + 1;
  if (text.charCodeAt(from) !== SLASH || first === last || last - first > 3) return -1;
  if (last - first > 1 && text.charCodeAt(first) === ZERO) return -1;
  let bits = 0;
  for (let at = first; at < last; at++) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return -1;
    bits = bits * 10 + code - ZERO;
  }
  return bits <= whole ? bits : -1;
}

const COLON = 0x3a, A = 0x61, F = 0x66, LOWER = 0x20;
const groups = new Uint16Array(8);
const MAPPED_GROUP = 0xffff;

/** The next most usual, IPv6 in groups alone: `2001:db8::/32`. */
function add6(entries: ListEntries, text: string, from: number, end: number, line: number): boolean {
  const last = end > from && text.charCodeAt(end - 1) === CR ? end - 1 : end;
  groups.fill(0);
  let at = from, count = 0, gap = -1;
  if (text.charCodeAt(at) === COLON) {
    if (text.charCodeAt(++at) !== COLON) return false;
    gap = 0;
    at++;
  }
  while (at < last && text.charCodeAt(at) !== SLASH) {
    if (count === 8) return false;
    const begin = at;
    let group = 0;
    for (; at < last && at - begin < 4; at++) {
      const code = text.charCodeAt(at), letter = code | LOWER;
      if (code >= ZERO && code <= NINE) group = group * 16 + code - ZERO;
      else if (letter >= A && letter <= F) group = group * 16 + letter - A + 10;
      else break;
    }
    if (at === begin) return false;
    groups[count++] = group;
    if (at === last || text.charCodeAt(at) === SLASH) break;
    if (text.charCodeAt(at++) !== COLON || at === last || text.charCodeAt(at) === SLASH) return false;
    if (text.charCodeAt(at) !== COLON) continue;
    if (gap >= 0) return false;
    gap = count;
    at++;
  }
  if (gap < 0 ? count !== 8 : count > 7) return false;
  if (gap >= 0) {
    groups.copyWithin(8 - (count - gap), gap, count);
    groups.fill(0, gap, 8 - (count - gap));
  }
  const bits = bitsAt(text, at, last, 128);
  const isMapped = groups[5] === MAPPED_GROUP && groups.subarray(0, 5).every((group) => group === 0);
  if (bits < 0 || isMapped) return false;
  for (let group = bits >> 4; group < 8; group++) {
    const left = Math.max(0, bits - 16 * group);
    if ((groups[group] & (0xffff >> left)) !== 0) return false;
  }
  entries.add6(groups, bits, line);
  return true;
}
