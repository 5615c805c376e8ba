// What an operator says of servers while they run: drained, disabled, another weight. By upstream, target and address, so
// that it is remembered of one which leaves DNS and comes back. It holds until it is undone, the process ends, or a
// configuration changes the very value that was replaced; an upgrade hands it on.
import type { Shared } from "../shared/servers.ts";
import { type ConfigProblem, didYouMean, shown } from "./config/errors.ts";
import type { Directory, ServerEntry } from "./directory.ts";
import type { Log } from "./log.ts";
import { type Kept, readSaved, type SavedOverrides } from "./saved_overrides.ts";

/** Servers of which something is remembered; of those that are gone the oldest are forgotten first. */
export const OVERRIDES_MAX = 16_384;

/** What tells a server from others. */
export type ServerKey = Pick<ServerEntry, "upstream" | "target" | "address">;

/** Servers that are meant. */
export interface ServersMeant {
  /** An address, as it is configured, or its host alone. */
  readonly server: string;
  /** Undefined: in every upstream that has it. */
  readonly upstream?: string;
}

/** What shall become of them. */
export type ServerChange =
  /** It gets nothing new, what it has goes on, and it is checked; or that is undone. */
  | { readonly kind: "drain"; readonly undo: boolean }
  /** The same, and it is not checked. */
  | { readonly kind: "disable" }
  /** Neither drained nor disabled any more. */
  | { readonly kind: "enable" }
  /** Undefined: as configured. */
  | { readonly kind: "weight"; readonly weight: number | undefined };

/** What is said of a server; nothing of most. */
export interface Standing {
  readonly drained: boolean;
  readonly disabled: boolean;
  /** Undefined: as configured. */
  readonly weight: number | undefined;
}

/** A server that was meant, and how it was and is. */
export interface Changed {
  readonly entry: ServerEntry;
  readonly before: Standing;
  readonly after: Standing;
}

/** What a generation is compiled by (config/parts.ts). */
export interface OverridesView {
  weightOf(server: ServerKey, configured: number): number;
  isDisabled(server: ServerKey): boolean;
}

const NOTHING: Standing = { drained: false, disabled: false, weight: undefined };

export interface OverridesOptions {
  readonly directory: Directory;
  readonly shared: Pick<Shared, "serverDrained" | "serverUpMs" | "verdictVersion">;
  readonly log: Log;
  /** The reactors' clock. */
  readonly clockMs: () => number;
  /** A new generation must be compiled: a weight has changed, or who is checked. */
  readonly changed: () => void;
  /** Somebody may get connections again: who waits for a place may find one. */
  readonly opened: () => void;
}

export class Overrides implements OverridesView {
  readonly #options: OverridesOptions;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();

  constructor(options: OverridesOptions) {
    this.#options = options;
  }

  /** Changes all servers that are meant: reactors work by it as soon as they look. */
  change(
    { server, upstream }: ServersMeant,
    change: ServerChange,
  ): Changed[] | { problems: ConfigProblem[] } {
    const all = this.#present().filter((entry) => upstream === undefined || entry.upstream === upstream);
    const meant = all.filter((entry) => namesOf(entry).includes(server));
    if (meant.length === 0) return { problems: [this.#noServer(server, upstream, all)] };
    if (!this.#hasRoom(meant)) return { problems: [FULL] };
    const befores = meant.map((entry) => this.of(entry));
    const done = meant.map((entry, nth): Changed => {
      const before = befores[nth], after = changedBy(before, change);
      this.#keep(entry, after, meant);
      if (before.disabled && !after.disabled) this.#slowStart(entry);
      return { entry, before, after };
    });
    this.apply();
    if (done.some(({ before, after }) => isCompiled(before, after))) this.#options.changed();
    if (done.some(({ before, after }) => isClosed(before) && !isClosed(after))) this.#options.opened();
    return done;
  }

  /** What is said of a server. */
  of(server: ServerKey): Standing {
    return this.#kept.get(keyOf(server)) ?? NOTHING;
  }

  /** The weight of a server: that of the configuration, or what was said in its place. */
  weightOf(server: ServerKey, configured: number): number {
    const kept = this.#kept.get(keyOf(server));
    return kept?.weight === undefined || !kept.replaced.includes(configured) ? configured : kept.weight;
  }

  isDisabled(server: ServerKey): boolean {
    return this.of(server).disabled;
  }

  /** Tells reactors who gets nothing new, and ends weights whose configured value is another now: after a change, and
   * when a Plan is published. */
  apply(): void {
    const { serverDrained, verdictVersion } = this.#options.shared;
    let changed = false;
    for (const entry of this.#options.directory.servers.values()) {
      const closed = isClosed(this.of(entry)) ? 1 : 0;
      if (serverDrained[entry.number] === closed) continue;
      serverDrained[entry.number] = closed;
      changed = true;
    }
    if (changed) Atomics.add(verdictVersion, 0, 1);
    for (const entry of this.#present()) this.#endWeight(entry);
  }

  /** All that is said now, for the process that comes after this one. */
  saved(): SavedOverrides {
    return { servers: [...this.#kept.values()], log: this.#options.log.override ?? null };
  }

  /** Takes over what a process before this one saved, in place of all that is said here; what it does not know it leaves
   * out. It may be told again, since that one goes on for a while. */
  restore(saved: unknown): void {
    const { servers, log } = readSaved(saved), wasEmpty = this.#kept.size === 0;
    this.#kept.clear();
    for (const kept of servers.slice(0, OVERRIDES_MAX)) this.#kept.set(keyOf(kept), kept);
    if (log === null) this.#options.log.set(undefined);
    else this.#options.log.restore(log);
    if (servers.length === 0 && wasEmpty) return;
    this.apply();
    this.#options.changed();
  }

  #keep(entry: ServerEntry, after: Standing, meant: readonly ServerEntry[]): void {
    const key = keyOf(entry);
    this.#kept.delete(key); // whoever was changed last is remembered longest
    if (!after.drained && !after.disabled && after.weight === undefined) return;
    const { upstream, target, address } = entry;
    // The same target may be there more than once, with weights of its own.
    const replaced = after.weight === undefined
      ? []
      : meant.filter((other) => keyOf(other) === key).map(({ configuredWeight }) => configuredWeight);
    this.#kept.set(key, { upstream, target, address, ...after, replaced: [...new Set(replaced)] });
  }

  #endWeight(entry: ServerEntry): void {
    const key = keyOf(entry), kept = this.#kept.get(key), { upstream, address, configuredWeight } = entry;
    if (kept?.weight === undefined || kept.replaced.includes(configuredWeight)) return;
    this.#kept.delete(key);
    if (kept.drained || kept.disabled) this.#kept.set(key, { ...kept, weight: undefined, replaced: [] });
    this.#options.log.audit(
      "overrides",
      `${address} of upstream ${shown(upstream)} has weight ${configuredWeight}, as configured now: ` +
        `weight ${kept.weight}, set at run time, has ended`,
      { upstream, server: address, weight: configuredWeight, ended: kept.weight },
    );
  }

  /** One that was disabled comes back as one does that was down. */
  #slowStart({ number }: ServerEntry): void {
    const { shared: { serverUpMs, verdictVersion }, clockMs } = this.#options;
    serverUpMs[number] = clockMs();
    Atomics.add(verdictVersion, 0, 1);
  }

  /** Forgets who is gone where there are too many. False: all of them are there. */
  #hasRoom(meant: readonly ServerEntry[]): boolean {
    const more = new Set(meant.map(keyOf).filter((key) => !this.#kept.has(key))).size;
    if (this.#kept.size + more <= OVERRIDES_MAX) return true;
    const present = new Set(this.#present().map(keyOf));
    for (const key of [...this.#kept.keys()]) {
      if (this.#kept.size + more <= OVERRIDES_MAX) break;
      if (!present.has(key)) this.#kept.delete(key);
    }
    return this.#kept.size + more <= OVERRIDES_MAX;
  }

  #present(): ServerEntry[] {
    const { current, servers } = this.#options.directory;
    return [...current.servers].flatMap((number) => servers.get(number) ?? []);
  }

  #noServer(server: string, upstream: string | undefined, all: readonly ServerEntry[]): ConfigProblem {
    const upstreams = [...new Set(this.#present().map((entry) => entry.upstream))];
    if (upstream !== undefined && !upstreams.includes(upstream)) {
      const remedy = didYouMean(upstream, upstreams, "sluice servers lists them");
      return {
        where: "upstream",
        what: `there is no upstream ${shown(upstream)}`,
        remedy,
        severity: "error",
      };
    }
    const remedy = didYouMean(server, all.flatMap(namesOf), "sluice servers lists them");
    return { where: "server", what: `there is no server ${shown(server)}`, remedy, severity: "error" };
  }
}

const FULL: ConfigProblem = {
  where: "",
  what: `${OVERRIDES_MAX} servers are drained, disabled or have another weight already`,
  remedy: "change the configuration in place of more of them",
  severity: "error",
};

function changedBy(before: Standing, change: ServerChange): Standing {
  const { drained, disabled, weight } = before;
  switch (change.kind) {
    case "drain":
      return { drained: !change.undo, disabled, weight };
    case "disable":
      return { drained, disabled: true, weight };
    case "enable":
      return { drained: false, disabled: false, weight };
    case "weight":
      return { drained, disabled, weight: change.weight };
  }
}

/** Whether a server gets nothing new. */
function isClosed({ drained, disabled }: Standing): boolean {
  return drained || disabled;
}

/** Whether a difference is one of the Plan's: who is drained, reactors see at once. */
function isCompiled(before: Standing, after: Standing): boolean {
  return before.disabled !== after.disabled || before.weight !== after.weight;
}

function keyOf({ upstream, target, address }: ServerKey): string {
  return `${upstream}\n${target}\n${address}`;
}

/** What a server is called: its address and what is configured, each with its port or without. */
function namesOf({ address, target }: ServerEntry): string[] {
  return [address, target].flatMap((name) => [name, name.replace(/:[0-9]+(\/.*)?$/, "")]);
}
