// Who may come in at listeners, as the tables of a Plan (plan/guards.ts).
import { NONE } from "../../base/limits.ts";
import {
  ENTRY_WORDS,
  EntryAt,
  type Guards,
  type GuardsSizes,
  NODE_WORDS,
  Tracks,
} from "../../plan/guards.ts";
import type { NumberedListener } from "./compile_listeners.ts";
import type { Limits, ListEntry } from "./limits_schema.ts";
import { ListEntries } from "./list_entries.ts";
import type { ListFiles } from "./list_files.ts";
import { type ListPart, makeTrie, NO_NODE, type Trie } from "./list_trie.ts";
import type { Config } from "./schema.ts";

type Configured = Config["listeners"][string];

/** The guards of one generation. */
export interface PlacedGuards {
  readonly sizes: GuardsSizes | undefined;
  /** The files of the lists by the numbers that entries have of them. */
  readonly files: ReadonlyMap<number, string>;
  fill(guards: Guards): void;
}

/** A list in the tables: its tries, and the rows before its own. */
interface PlacedList {
  readonly trie: Trie;
  readonly nodes: number;
  readonly entries: number;
}

interface Guard {
  readonly configured: Configured;
  readonly limiter: number;
  readonly tracks: Tracks;
  readonly deny: number;
  readonly allow: number;
}

const V4_BITS = 32;
const V6_BITS = 128;

/** `limiterOf`: the row of a configured listener in shared/sources.ts; NONE when there are no more. */
export function placeGuards(
  listeners: Iterable<NumberedListener>,
  files: ListFiles,
  limiterOf: (listener: string) => number,
): PlacedGuards {
  const placing = new Placing(files), rows: number[] = [];
  for (const { number, name, configured } of listeners) {
    while (rows.length <= number) rows.push(NONE);
    rows[number] = placing.guard(name, configured, limiterOf);
  }
  if (placing.isEmpty) return { sizes: undefined, files: new Map(), fill: () => {} };
  return {
    sizes: { ...placing.sizes, listeners: rows.length },
    files: placing.names,
    fill: (guards) => {
      guards.listenerGuard.set(rows);
      placing.fill(guards);
    },
  };
}

/** What a listener's limits need to have counted. */
export function tracksOf({ limits }: Configured): Tracks {
  const ofSource = limits["connections-per-source"] ?? limits["new-connections-per-source"] ??
    limits["bandwidth-per-source"];
  if (ofSource !== undefined) return Tracks.Sources;
  const ofAll = limits.connections ?? limits["new-connections"] ?? limits.bandwidth;
  return ofAll === undefined ? Tracks.Nothing : Tracks.Listener;
}

/** Bits of addresses that make a source of a listener. */
export function prefixesOf(limits: Limits): { readonly v4: number; readonly v6: number } {
  const { "connections-per-source": most, "new-connections-per-source": fresh } = limits;
  return {
    v4: most?.prefix4 ?? fresh?.prefix4 ?? V4_BITS,
    v6: most?.prefix6 ?? fresh?.prefix6 ?? V6_BITS,
  };
}

/** The tables while they grow, row 0 of each nobody's. */
class Placing {
  readonly #files: ListFiles;
  readonly #guards: Guard[] = [];
  readonly #byName = new Map<string, number>();
  readonly #lists: PlacedList[] = [];
  readonly #byEntries = new Map<readonly ListEntry[], number>();
  readonly #fileNumbers = new Map<string, number>();
  #nodes = 1;
  #entries = 1;

  constructor(files: ListFiles) {
    this.#files = files;
  }

  get isEmpty(): boolean {
    return this.#guards.length === 0;
  }

  get sizes(): Omit<GuardsSizes, "listeners"> {
    return {
      guards: this.#guards.length + 1,
      lists: this.#lists.length + 1,
      nodeWords: this.#nodes * NODE_WORDS,
      entryWords: this.#entries * ENTRY_WORDS,
    };
  }

  get names(): Map<number, string> {
    return new Map([...this.#fileNumbers].map(([path, number]) => [number, path]));
  }

  /** The guard of a configured listener, one for all of its addresses; NONE if it needs none. */
  guard(name: string, configured: Configured, limiterOf: (listener: string) => number): number {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const tracks = tracksOf(configured), limiter = tracks === Tracks.Nothing ? NONE : limiterOf(name);
    const { deny, allow } = configured;
    const isOpen = tracks === Tracks.Nothing && deny === undefined && allow === undefined;
    const guard = isOpen ? NONE : this.#guards.push({
      configured,
      limiter,
      tracks,
      deny: this.#list(deny),
      allow: this.#list(allow),
    });
    this.#byName.set(name, guard);
    return guard;
  }

  fill(guards: Guards): void {
    this.#guards.forEach((guard, index) => fillGuard(guards, index + 1, guard));
    this.#lists.forEach((list, index) => fillList(guards, index + 1, list));
  }

  #list(given: readonly ListEntry[] | undefined): number {
    if (given === undefined) return NONE;
    const known = this.#byEntries.get(given);
    if (known !== undefined) return known;
    const trie = trieOf(given, this.#parts(given));
    const list = this.#lists.push({ trie, nodes: this.#nodes, entries: this.#entries });
    this.#nodes += trie.nodeWhat.length;
    this.#entries += trie.entryBits.length;
    this.#byEntries.set(given, list);
    return list;
  }

  /** The entries of the configuration itself, then the files. */
  #parts(given: readonly ListEntry[]): ListPart[] {
    const inline = inlineOf(given);
    return [
      { entries: inline, file: 0 },
      ...given.flatMap((entry) => {
        const entries = entry.kind === "file" ? this.#files.get(entry.path) : undefined;
        return entries === undefined
          ? []
          : [{ entries, file: this.#fileNumber((entry as { path: string }).path) }];
      }),
    ];
  }

  #fileNumber(path: string): number {
    const number = this.#fileNumbers.get(path) ?? this.#fileNumbers.size + 1;
    this.#fileNumbers.set(path, number);
    return number;
  }
}

/** Tries take longer to make than to copy, and lists change seldom: that of each is kept with what it was made of. */
const known = new WeakMap<
  readonly ListEntry[],
  { readonly parts: readonly ListPart[]; readonly trie: Trie }
>();
const inlines = new WeakMap<readonly ListEntry[], ListEntries>();

function trieOf(given: readonly ListEntry[], parts: readonly ListPart[]): Trie {
  const before = known.get(given);
  const isSame = before?.parts.length === parts.length &&
    before.parts.every(({ entries, file }, at) => entries === parts[at].entries && file === parts[at].file);
  if (before !== undefined && isSame) return before.trie;
  const trie = makeTrie(parts);
  known.set(given, { parts, trie });
  return trie;
}

function inlineOf(given: readonly ListEntry[]): ListEntries {
  const before = inlines.get(given);
  if (before !== undefined) return before;
  const entries = new ListEntries();
  for (const entry of given) if (entry.kind === "prefix") entries.add(entry.cidr, 0);
  inlines.set(given, entries);
  return entries;
}

function fillGuard(guards: Guards, row: number, { configured, limiter, tracks, deny, allow }: Guard): void {
  const { limits } = configured, { v4, v6 } = prefixesOf(limits);
  const { "new-connections": fresh, "new-connections-per-source": ofSource } = limits;
  guards.guardLimiter[row] = limiter;
  guards.guardTracks[row] = limiter === NONE ? Tracks.Nothing : tracks;
  guards.guardDeny[row] = deny;
  guards.guardAllow[row] = allow;
  guards.guardReset[row] = limits.refuse === "reset" ? 1 : 0;
  guards.guardPrefix4[row] = v4;
  guards.guardPrefix6[row] = v6;
  if (limiter === NONE) return;
  guards.guardConnections[row] = limits.connections ?? 0;
  guards.guardSourceConnections[row] = limits["connections-per-source"]?.count ?? 0;
  guards.guardNew[row] = fresh?.amount ?? 0;
  guards.guardNewWindowMs[row] = fresh?.windowMs ?? 0;
  guards.guardNewBurst[row] = fresh?.burst ?? 0;
  guards.guardSourceNew[row] = ofSource?.amount ?? 0;
  guards.guardSourceNewWindowMs[row] = ofSource?.windowMs ?? 0;
  guards.guardSourceNewBurst[row] = ofSource?.burst ?? 0;
}

function fillList(guards: Guards, row: number, { trie, nodes, entries }: PlacedList): void {
  const nodeAt = (node: number): number => node === NO_NODE ? NONE : nodes + node;
  guards.listRoot4[row] = nodeAt(trie.root4);
  guards.listRoot6[row] = nodeAt(trie.root6);
  guards.listUnix[row] = trie.unix === NO_NODE ? NONE : entries + trie.unix;
  trie.nodeWhat.forEach((what, node) => {
    const at = (nodes + node) * NODE_WORDS;
    guards.node[at] = what < 0 ? what + 1 - entries : what;
    guards.node[at + 1] = what > 0 ? nodes + trie.nodeNext[node] : NONE;
  });
  for (let entry = 0; entry < trie.entryBits.length; entry++) {
    const at = (entries + entry) * ENTRY_WORDS;
    guards.entry[at + EntryAt.Bits] = trie.entryBits[entry];
    for (let word = 0; word < 4; word++) {
      guards.entry[at + EntryAt.Ip + word] = trie.entryIp[4 * entry + word];
    }
    guards.entry[at + EntryAt.File] = trie.entryFile[entry];
    guards.entry[at + EntryAt.Line] = trie.entryLine[entry];
  }
}
