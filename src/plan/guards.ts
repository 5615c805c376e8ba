// The part of the Plan that says who may come in at a listener: lists of addresses, and limits on connections.
// Filled by control/config/compile_guards.ts, read by policy/lists.ts and policy/guard.ts. Row 0 of every table is
// nobody.
import { assert } from "../base/assert.ts";
import { LISTENERS_MAX, NONE } from "../base/limits.ts";
import type { Part, Sizes } from "./part.ts";

/** What of its clients a guard counts. */
export const enum Tracks {
  Nothing,
  /** All of them together. */
  Listener,
  /** And each source for itself. */
  Sources,
}

/** Words of a node and of an entry: each lies in one line of the cache, mostly. */
export const NODE_WORDS = 2;
export const ENTRY_WORDS = 8;

export const enum EntryAt {
  Bits,
  /** Four words; an IPv4 address has one. */
  Ip,
  /** Which file has it, as the directory numbers them; 0: it is in the configuration itself. */
  File = 5,
  /** Of the file. */
  Line,
}

export const GUARDS = {
  tables: ["listeners", "guards", "lists", "nodeWords", "entryWords"],
  columns: {
    listenerGuard: "listeners", // NONE: everybody may come in
    // A guard: that of a configured listener, whatever addresses it has. 0 of what is counted: no limit.
    guardLimiter: "guards", // its row in shared/sources.ts
    guardTracks: "guards", // Tracks
    guardDeny: "guards", // a list, or NONE
    guardAllow: "guards", // a list, or NONE: all
    guardReset: "guards", // 1: who is refused is reset; 0: closed
    guardConnections: "guards", // at once
    guardSourceConnections: "guards",
    guardPrefix4: "guards", // bits of an address that make a source
    guardPrefix6: "guards",
    guardNew: "guards", // new connections in each window of so many milliseconds
    guardNewWindowMs: "guards",
    guardNewBurst: "guards", // so many at once
    guardSourceNew: "guards",
    guardSourceNewWindowMs: "guards",
    guardSourceNewBurst: "guards",
    // A list: the roots of its two tries, and the entry for who comes through a unix socket. NONE: nothing is in it.
    listRoot4: "lists",
    listRoot6: "lists",
    listUnix: "lists",
    // A node of a trie, NODE_WORDS: what it is, and the first of those below it. Less than 0: the entry of that
    // number; 0: nothing is below it. Else `what & 0xff` is where in an address to look next, `what >> 8` how many
    // bits there (they lie in one word of 32), and they choose one of the nodes from the second word on.
    node: "nodeWords",
    // An entry, ENTRY_WORDS by EntryAt: a prefix, none of which is in another one of its list.
    entry: "entryWords",
  },
} as const;
type GuardsTable = typeof GUARDS.tables[number];

export type GuardsSizes = Sizes<GuardsTable>;
export type Guards = Part<GuardsTable, keyof typeof GUARDS.columns>;

/** The guard of a listener; NONE: everybody may come in. */
export function guardOf({ listenerGuard }: Guards, listener: number): number {
  return listener < listenerGuard.length ? listenerGuard[listener] : NONE;
}

/** What must hold of the guards of any Plan before it is published. */
export function checkGuards(guards: Guards): void {
  const { sizes } = guards;
  inRange(guards.listenerGuard, sizes.guards);
  inRange(guards.guardDeny, sizes.lists);
  inRange(guards.guardAllow, sizes.lists);
  inRange(guards.guardLimiter, LISTENERS_MAX);
  const nodes = sizes.nodeWords / NODE_WORDS, entries = sizes.entryWords / ENTRY_WORDS;
  inRange(guards.listRoot4, nodes);
  inRange(guards.listRoot6, nodes);
  inRange(guards.listUnix, entries);
  for (let guard = 1; guard < sizes.guards; guard++) checkGuard(guards, guard);
  for (let node = 1; node < nodes; node++) checkNode(guards, node, nodes, entries);
}

function checkGuard(guards: Guards, guard: number): void {
  const tracks: Tracks = guards.guardTracks[guard];
  assert(tracks === Tracks.Nothing || guards.guardLimiter[guard] > NONE, "plan: a guard counts nowhere");
  const bits4 = guards.guardPrefix4[guard], bits6 = guards.guardPrefix6[guard];
  assert(bits4 >= 0 && bits4 <= 32 && bits6 >= 0 && bits6 <= 128, "plan: a source that is no prefix");
  const ofSource = guards.guardSourceConnections[guard] + guards.guardSourceNew[guard];
  const ofAll = guards.guardConnections[guard] + guards.guardNew[guard];
  assert(ofSource === 0 || tracks === Tracks.Sources, "plan: sources have a limit, and nobody counts them");
  assert(ofAll === 0 || tracks !== Tracks.Nothing, "plan: a listener has a limit, and nobody counts for it");
  assert(
    guards.guardNew[guard] === 0 || (guards.guardNewWindowMs[guard] > 0 && guards.guardNewBurst[guard] > 0),
    "plan: a rate of nothing",
  );
  assert(
    guards.guardSourceNew[guard] === 0 ||
      (guards.guardSourceNewWindowMs[guard] > 0 && guards.guardSourceNewBurst[guard] > 0),
    "plan: a rate of a source that is of nothing",
  );
}

/** Who goes down a trie comes to its end: each node looks further on in the address than the one before. */
function checkNode({ node: words }: Guards, node: number, nodes: number, entries: number): void {
  const what = words[node * NODE_WORDS], next = words[node * NODE_WORDS + 1];
  if (what <= 0) return assert(-what < entries, "plan: a node names an entry that is not there");
  const from = what & 0xff, bits = what >> 8;
  assert(bits > 0 && (from & 31) + bits <= 32 && from + bits <= 128, "plan: a node looks outside of a word");
  assert(next > NONE && next + 2 ** bits <= nodes, "plan: nodes of a list are out of range");
  assert(next > node, "plan: nodes of a list go round in circles");
}

function inRange(column: Int32Array, rows: number): void {
  for (const row of column) {
    assert(row >= NONE && row < Math.max(rows, 1), "plan: a guard names a row out of range");
  }
}
