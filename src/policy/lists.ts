// Which entry of a list an address is in: a level-compressed trie (Nilsson and Karlsson, "IP-address lookup using
// LC-tries", 1999) in flat columns. Its nodes look only at the bits in which entries differ, many at once where there
// are many; the one entry that is left is compared whole. A list of 100,000 takes some three nodes.
import { NONE } from "../base/limits.ts";
import { ENTRY_WORDS, EntryAt, type Guards, NODE_WORDS } from "../plan/guards.ts";

const UNIX = 1;
const V4 = 4;

/** The entry of a list (NONE: there is no list) in which the address of a record is (see ffi/sluice.h), or NONE. */
export function listFind(guards: Guards, list: number, record: Uint8Array, at: number): number {
  if (list === NONE) return NONE;
  const family = record[at];
  if (family === V4) return find4(guards, guards.listRoot4[list], wordAt(record, at + 4));
  if (family === UNIX) return guards.listUnix[list];
  return find6(
    guards,
    guards.listRoot6[list],
    wordAt(record, at + 4),
    wordAt(record, at + 8),
    wordAt(record, at + 12),
    wordAt(record, at + 16),
  );
}

function find4({ node: nodes, entry: entries }: Guards, root: number, ip: number): number {
  let at = root * NODE_WORDS, what = nodes[at];
  while (what > 0) {
    at = (nodes[at + 1] + ((ip << (what & 31)) >>> (32 - (what >> 8)))) * NODE_WORDS;
    what = nodes[at];
  }
  const entry = -what, word = entry * ENTRY_WORDS;
  return entry !== NONE && differs(ip, entries[word + EntryAt.Ip], entries[word]) ? NONE : entry;
}

function find6(
  { node: nodes, entry: entries }: Guards,
  root: number,
  ip0: number,
  ip1: number,
  ip2: number,
  ip3: number,
): number {
  let at = root * NODE_WORDS, what = nodes[at];
  while (what > 0) {
    const from = what & 0xff;
    const word = from < 64 ? (from < 32 ? ip0 : ip1) : from < 96 ? ip2 : ip3;
    at = (nodes[at + 1] + ((word << (from & 31)) >>> (32 - (what >> 8)))) * NODE_WORDS;
    what = nodes[at];
  }
  const entry = -what;
  if (entry === NONE) return NONE;
  const word = entry * ENTRY_WORDS, ip = word + EntryAt.Ip, bits = entries[word];
  return differs(ip0, entries[ip], bits) || differs(ip1, entries[ip + 1], bits - 32) ||
      differs(ip2, entries[ip + 2], bits - 64) || differs(ip3, entries[ip + 3], bits - 96)
    ? NONE
    : entry;
}

/** Whether two words differ in their first `bits`; none if that is not above 0. */
function differs(one: number, other: number, bits: number): boolean {
  if (bits <= 0) return false;
  return bits >= 32 ? one !== other : (one ^ other) >>> (32 - bits) !== 0;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
