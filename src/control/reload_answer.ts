// What a reload says: what has changed, what went away and how many connections that concerns; or why it was refused.
// The answer of /reload, the lines of the log, and the words of `sluice reload`.
import type { Difference } from "./changes.ts";
import type { Gone } from "./departures.ts";
import { onRemoveText } from "./config/remove_schema.ts";
import { counted } from "./config/units.ts";

/** Names of one kind that are told; of more, how many they are. */
const NAMES_MAX = 100;

/** Names, and how many there are of them. */
export interface Named {
  readonly count: number;
  readonly names: readonly string[];
}

export interface NamedChanges {
  readonly added: Named;
  readonly removed: Named;
  readonly changed: Named;
}

/** Something that is there no more, and those who came by it. */
export interface GoneView {
  readonly kind: "listener" | "server" | "route";
  readonly name: string;
  /** Connections now. */
  readonly connections: number;
  /** keep, drain TIME, reset. */
  readonly on_remove: string;
}

export interface Reloaded {
  readonly reloaded: true;
  readonly generation: number;
  /** From the first look at the file until every reactor works by it. */
  readonly took_ms: number;
  /** False: the file says what it said. */
  readonly changed: boolean;
  readonly listeners: NamedChanges;
  readonly upstreams: NamedChanges;
  readonly servers: NamedChanges;
  /** Keys of the process. */
  readonly settings: readonly string[];
  /** Files of lists, and of certificates, that hold something else. */
  readonly lists: readonly string[];
  readonly certificates: readonly string[];
  /** Those with connections first. */
  readonly gone: readonly GoneView[];
  /** More than are in `gone`. */
  readonly gone_left_out: number;
  readonly warnings: readonly string[];
}

/** What runs goes on as before. */
export interface ReloadRefused {
  readonly reloaded: false;
  /** 1: it cannot be now; 2: the configuration is none. */
  readonly status: 1 | 2;
  readonly why: readonly string[];
  /** The same with the lines of the file, as `sluice check` shows them. */
  readonly text: string;
}

export type ReloadAnswer = Reloaded | ReloadRefused;

/** What became of reloads so far. */
export interface Reloads {
  readonly done: number;
  readonly refused: number;
  /** Undefined: there was none. */
  readonly last: { readonly atMs: number; readonly answer: ReloadAnswer } | undefined;
}

export function namedChanges({ added, removed, changed }: Difference): NamedChanges {
  return { added: named(added), removed: named(removed), changed: named(changed) };
}

function named(names: readonly string[]): Named {
  return { count: names.length, names: names.slice(0, NAMES_MAX) };
}

const KINDS = { listeners: "listener", servers: "server", routes: "route" } as const;

/** @param connectionsOf how many came by it that are there still */
export function goneViews(
  gone: readonly Gone[],
  connectionsOf: (gone: Gone) => number,
): Pick<Reloaded, "gone" | "gone_left_out"> {
  const views = gone.map((each): GoneView => ({
    kind: KINDS[each.kind],
    name: each.name,
    connections: connectionsOf(each),
    on_remove: onRemoveText(each.policy),
  })).sort((a, b) => b.connections - a.connections);
  return { gone: views.slice(0, NAMES_MAX), gone_left_out: Math.max(0, views.length - NAMES_MAX) };
}

/** One line for each thing that changed. */
export function changeLines(answer: Reloaded): string[] {
  const lines: string[] = [];
  for (const kind of ["listeners", "upstreams", "servers"] as const) {
    const word = kind.slice(0, -1);
    for (const how of ["added", "removed", "changed"] as const) {
      const { count, names } = answer[kind][how];
      if (count > 0) lines.push(`${counted(count, word)} ${how}: ${listed(names, count)}`);
    }
  }
  if (answer.settings.length > 0) lines.push(`settings changed: ${answer.settings.join(", ")}`);
  if (answer.lists.length > 0) lines.push(`lists changed: ${answer.lists.join(", ")}`);
  if (answer.certificates.length > 0) {
    lines.push(`certificates read again: ${answer.certificates.join(", ")}`);
  }
  for (const { kind, name, connections, on_remove: policy } of answer.gone) {
    if (connections === 0) continue;
    lines.push(
      `${kind} ${name} is gone: ${counted(connections, "connection")} ${fateOf(policy, connections)}`,
    );
  }
  return lines;
}

function fateOf(policy: string, connections: number): string {
  const one = connections === 1;
  if (policy === "keep") return one ? "goes on" : "go on";
  if (policy === "reset") return one ? "is ended" : "are ended";
  return `${one ? "has" : "have"} ${policy.slice("drain ".length)} to end`;
}

function listed(names: readonly string[], count: number): string {
  const more = count - names.length;
  return names.join(", ") + (more > 0 ? `, and ${more} more` : "");
}

/** One line about the whole. */
export function summaryOf({ changed, generation, took_ms: took }: Reloaded): string {
  const what = changed ? "reloaded" : "reloaded: nothing has changed";
  return `${what}; generation ${generation}, in ${Math.round(took)} ms`;
}
