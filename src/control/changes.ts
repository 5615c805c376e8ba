// What two configurations differ in, by the names that people gave.
import { targetText } from "./config/address.ts";
import type { Config } from "./config/schema.ts";

/** Names that came, that are gone, and that stand for something else now. */
export interface Difference {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

export interface Changes {
  readonly listeners: Difference;
  readonly upstreams: Difference;
  /** "ADDRESS of UPSTREAM", as configured. */
  readonly servers: Difference;
  /** Keys of the process. */
  readonly settings: readonly string[];
}

/** What is told of by what it holds, what others have inherited, and files, of which Lists tells. */
const SECTIONS: ReadonlySet<string> = new Set(["listeners", "upstreams", "defaults", "list-files"]);

export function changesBetween(before: Config, after: Config): Changes {
  const keys = Object.keys({ ...before, ...after }) as (keyof Config)[];
  return {
    listeners: difference(entriesOf(before.listeners), entriesOf(after.listeners)),
    upstreams: difference(withoutServers(before), withoutServers(after)),
    servers: difference(serversOf(before), serversOf(after)),
    settings: keys.filter((key) => !SECTIONS.has(key) && !isSame(before[key], after[key])),
  };
}

export function isNothing({ listeners, upstreams, servers, settings }: Changes): boolean {
  const all = [listeners, upstreams, servers];
  return settings.length === 0 &&
    all.every(({ added, removed, changed }) => added.length + removed.length + changed.length === 0);
}

type Section = ReadonlyMap<string, unknown>;

function difference(before: Section, after: Section): Difference {
  const there = [...after.keys()];
  return {
    added: there.filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !after.has(name)),
    changed: there.filter((name) => before.has(name) && !isSame(before.get(name), after.get(name))),
  };
}

function entriesOf(section: Readonly<Record<string, unknown>>): Section {
  return new Map(Object.entries(section));
}

function withoutServers({ upstreams }: Config): Section {
  return new Map(
    Object.entries(upstreams).map(([name, upstream]) => [name, { ...upstream, servers: undefined }]),
  );
}

/** A server that stands there twice is two. */
function serversOf({ upstreams }: Config): Section {
  const servers = new Map<string, unknown>();
  for (const [upstream, { servers: all }] of Object.entries(upstreams)) {
    for (const server of all) {
      const name = `${targetText(server)} of ${upstream}`;
      let nth = name;
      for (let copy = 2; servers.has(nth); copy++) nth = `${name} (${copy})`;
      servers.set(nth, server);
    }
  }
  return servers;
}

/** Whether two values of a configuration say the same. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (one instanceof Uint8Array) return other instanceof Uint8Array && Buffer.compare(one, other) === 0;
  if (one instanceof Map || one instanceof Set) {
    return other instanceof one.constructor && isSame([...one], [...other as Iterable<unknown>]);
  }
  const mine = one as Readonly<Record<string, unknown>>, others = other as Readonly<Record<string, unknown>>;
  const keys = Object.keys(mine);
  return keys.length === Object.keys(others).length && Array.isArray(one) === Array.isArray(other) &&
    keys.every((key) => Object.hasOwn(others, key) && isSame(mine[key], others[key]));
}
