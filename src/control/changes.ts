// What two configurations differ in, by the names that people gave.
import { createHash } from "node:crypto";
import { addressText } from "./config/address.ts";
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
    listeners: difference(texts(before.listeners), texts(after.listeners)),
    upstreams: difference(texts(withoutServers(before)), texts(withoutServers(after))),
    servers: difference(serversOf(before), serversOf(after)),
    settings: keys.filter((key) => !SECTIONS.has(key) && textOf(before[key]) !== textOf(after[key])),
  };
}

export function isNothing({ listeners, upstreams, servers, settings }: Changes): boolean {
  const all = [listeners, upstreams, servers];
  return settings.length === 0 &&
    all.every(({ added, removed, changed }) => added.length + removed.length + changed.length === 0);
}

function difference(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): Difference {
  const there = [...after.keys()];
  return {
    added: there.filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !after.has(name)),
    changed: there.filter((name) => before.has(name) && before.get(name) !== after.get(name)),
  };
}

function texts(section: Readonly<Record<string, unknown>>): Map<string, string> {
  return new Map(Object.entries(section).map(([name, value]) => [name, textOf(value)]));
}

function withoutServers({ upstreams }: Config): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(upstreams).map(([name, upstream]) => [name, { ...upstream, servers: undefined }]),
  );
}

/** A server that stands there twice is two. */
function serversOf({ upstreams }: Config): Map<string, string> {
  const servers = new Map<string, string>();
  for (const [upstream, { servers: all }] of Object.entries(upstreams)) {
    for (const server of all) {
      const name = `${addressText(server.address)}${server.base} of ${upstream}`;
      let nth = name;
      for (let copy = 2; servers.has(nth); copy++) nth = `${name} (${copy})`;
      servers.set(nth, textOf(server));
    }
  }
  return servers;
}

/** The same text for what is the same. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Uint8Array) return createHash("sha256").update(part).digest("base64");
    return part instanceof Map || part instanceof Set ? [...part] : part;
  }) ?? "";
}
