// A list as the tries of a Plan (plan/guards.ts, policy/lists.ts). Prefixes that another one of the list covers are
// left out; of the rest no two cover the same address, so one of them at most is to be compared at the end.
import type { ListEntries } from "./list_entries.ts";

/** Where an entry stands: which file, as the caller numbers them, and on which line. */
export interface ListPart {
  readonly entries: ListEntries;
  /** 0: the configuration itself. */
  readonly file: number;
}

/** A list by itself: its nodes and entries count from 0. */
export interface Trie {
  /** NO_NODE: nothing is in it. */
  readonly root4: number;
  readonly root6: number;
  /** NO_NODE: unix sockets are not in it. */
  readonly unix: number;
  readonly nodeWhat: Int32Array;
  readonly nodeNext: Int32Array;
  readonly entryBits: Uint8Array;
  readonly entryIp: Int32Array;
  readonly entryFile: Int32Array;
  readonly entryLine: Uint32Array;
}

export const NO_NODE = -1;
/** Bits that one node looks at. */
const WIDTH_MAX = 16;
const UNIX = 1;

/** An entry on its way: where it is among the parts. */
interface Found {
  readonly part: ListPart;
  readonly at: number;
}

export function makeTrie(parts: readonly ListPart[]): Trie {
  const four = uncovered(parts, 4), six = uncovered(parts, 6), unix = uncovered(parts, UNIX).slice(0, 1);
  const building = new Building([...four, ...six, ...unix]);
  return {
    root4: building.root(0, four.length),
    root6: building.root(four.length, four.length + six.length),
    unix: unix.length === 0 ? NO_NODE : four.length + six.length,
    ...building.done(),
  };
}

/** The prefixes of a family in order, without those that an earlier one covers. */
function uncovered(parts: readonly ListPart[], family: number): Found[] {
  const all: Found[] = [];
  for (const part of parts) {
    for (let at = 0; at < part.entries.count; at++) {
      if (part.entries.family[at] === family) all.push({ part, at });
    }
  }
  all.sort(compare);
  const kept: Found[] = [];
  for (const found of all) {
    const last = kept.at(-1);
    if (last === undefined || !covers(last, found)) kept.push(found);
  }
  return kept;
}

function wordOf({ part: { entries }, at }: Found, word: number): number {
  return entries.ip[at * 4 + word];
}

/** By address, then the wider first. */
function compare(one: Found, other: Found): number {
  for (let word = 0; word < 4; word++) {
    const by = wordOf(one, word) - wordOf(other, word);
    if (by !== 0) return by;
  }
  return one.part.entries.bits[one.at] - other.part.entries.bits[other.at];
}

function covers(wide: Found, other: Found): boolean {
  const bits = wide.part.entries.bits[wide.at];
  if (bits > other.part.entries.bits[other.at]) return false;
  for (let word = 0; 32 * word < bits; word++) {
    const differ = (wordOf(wide, word) ^ wordOf(other, word)) >>> 0, left = bits - 32 * word;
    if (left >= 32 ? differ !== 0 : differ >>> (32 - left) !== 0) return false;
  }
  return true;
}

class Building {
  readonly #count: number;
  readonly #ip: Int32Array;
  readonly #bits: Uint8Array;
  readonly #file: Int32Array;
  readonly #line: Uint32Array;
  #what: Int32Array;
  #next: Int32Array;
  #nodes = 0;

  constructor(found: readonly Found[]) {
    this.#count = found.length;
    this.#ip = new Int32Array(4 * found.length);
    this.#bits = new Uint8Array(found.length);
    this.#file = new Int32Array(found.length);
    this.#line = new Uint32Array(found.length);
    found.forEach(({ part: { entries, file }, at }, entry) => {
      for (let word = 0; word < 4; word++) this.#ip[4 * entry + word] = entries.ip[4 * at + word];
      this.#bits[entry] = entries.bits[at];
      this.#file[entry] = file;
      this.#line[entry] = entries.line[at];
    });
    this.#what = new Int32Array(2 * found.length + 2);
    this.#next = new Int32Array(2 * found.length + 2);
  }

  /** The root of the entries [first, end); NO_NODE: there are none. */
  root(first: number, end: number): number {
    if (first === end) return NO_NODE;
    const node = this.#take(1);
    this.#fill(node, first, end, 0);
    return node;
  }

  done(): Pick<Trie, "nodeWhat" | "nodeNext" | "entryBits" | "entryIp" | "entryFile" | "entryLine"> {
    return {
      nodeWhat: this.#what.slice(0, this.#nodes),
      nodeNext: this.#next.slice(0, this.#nodes),
      entryBits: this.#bits,
      entryIp: this.#ip,
      entryFile: this.#file,
      entryLine: this.#line,
    };
  }

  #take(nodes: number): number {
    const first = this.#nodes;
    this.#nodes += nodes;
    if (this.#nodes > this.#what.length) {
      const length = Math.max(2 * this.#what.length, this.#nodes);
      const what = new Int32Array(length), next = new Int32Array(length);
      what.set(this.#what);
      next.set(this.#next);
      this.#what = what;
      this.#next = next;
    }
    return first;
  }

  /** Makes a node of the entries [first, end), which agree in their bits below `from`. Entries are told as in the
   * Plan, less than 0. */
  #fill(node: number, first: number, end: number, from: number): void {
    if (end - first === 1) {
      this.#what[node] = -(first + 1);
      return;
    }
    const at = this.#differAt(first, end - 1, from), width = this.#width(first, end, at);
    const next = this.#take(2 ** width);
    this.#what[node] = at | (width << 8);
    this.#next[node] = next;
    for (let entry = first; entry < end;) {
      const branch = this.#branch(entry, at, width);
      let last = entry + 1;
      while (last < end && this.#branch(last, at, width) === branch) last++;
      this.#fill(next + branch, entry, last, at + width);
      // A prefix that ends within these bits is what all of its branches lead to.
      const missing = at + width - this.#bits[entry];
      for (let more = 1; missing > 0 && more < 2 ** missing; more++) {
        this.#what[next + branch + more] = -(entry + 1);
      }
      entry = last;
    }
  }

  /** The first bit in which two entries differ. */
  #differAt(one: number, other: number, from: number): number {
    for (let word = from >> 5; word < 4; word++) {
      const differ = this.#ip[4 * one + word] ^ this.#ip[4 * other + word];
      if (differ !== 0) return 32 * word + Math.clz32(differ);
    }
    throw new Error("list: two entries of one prefix");
  }

  /** How many bits to look at: as many as at least half of the branches have something by itself. */
  #width(first: number, end: number, at: number): number {
    const most = Math.min(WIDTH_MAX, 32 - (at & 31));
    let width = 1;
    while (width < most && 2 ** width <= end - first) {
      const wider = width + 1;
      let branches = 1;
      for (let entry = first + 1; entry < end && 2 * branches < 2 ** wider; entry++) {
        if (this.#branch(entry, at, wider) !== this.#branch(entry - 1, at, wider)) branches++;
      }
      if (2 * branches < 2 ** wider) break;
      width = wider;
    }
    return width;
  }

  #branch(entry: number, at: number, width: number): number {
    return (this.#ip[4 * entry + (at >> 5)] << (at & 31)) >>> (32 - width);
  }
}
