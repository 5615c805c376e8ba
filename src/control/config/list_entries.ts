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
    if (!add4(entries, text, at, end, line)) {
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
  let bits = 32;
  if (at < last) {
    if (text.charCodeAt(at++) !== SLASH || last - at > 2 || last === at) return false;
    if (last - at > 1 && text.charCodeAt(at) === ZERO) return false;
    for (bits = 0; at < last; at++) {
      const code = text.charCodeAt(at);
      if (code < ZERO || code > NINE) return false;
      bits = bits * 10 + code - ZERO;
    }
    if (bits > 32 || ip % 2 ** (32 - bits) !== 0) return false;
  }
  entries.add4(ip, bits, line);
  return true;
}
