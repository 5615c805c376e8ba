// What the numbers of a Plan mean: names and addresses for logs, metrics and people. The data plane
// has only the numbers.
import { Verdict } from "../shared/servers.ts";
import type { HealthCheck } from "./config/health_schema.ts";
import { noneLeft } from "./none_left.ts";

export interface ListenerEntry {
  readonly number: number;
  /** As configured. */
  readonly name: string;
  /** Where it is bound, as the kernel says (the port it chose included). */
  readonly bind: string;
  /** Names of the upstreams that it leads to, each once; none if it answers everything by itself. */
  readonly upstreams: readonly string[];
  /** The same as one text, for people. */
  readonly upstream: string;
}

export interface ServerEntry {
  readonly number: number;
  readonly upstream: string;
  /** As configured: a host name may stand for several servers. */
  readonly target: string;
  /** The address connected to: 10.0.0.1:80, [::1]:80, unix:/path. */
  readonly address: string;
  /** The check that gives its verdict, or 0. */
  readonly probe: number;
  /** 0: it gets nothing new. */
  readonly weight: number;
  /** The same but for what was said at run time (overrides.ts). */
  readonly configuredWeight: number;
  /** It gets nothing new and is not checked. */
  readonly disabled: boolean;
  readonly backup: boolean;
}

export interface ProbeEntry {
  readonly number: number;
  readonly address: string;
  readonly servers: readonly number[];
  readonly intervalMs: number;
  readonly fall: number;
  readonly rise: number;
  /** What it expects. */
  readonly check: Pick<HealthCheck, "http" | "expect">;
}

export interface UpstreamEntry {
  readonly number: number;
  readonly name: string;
  readonly servers: readonly number[];
  /** Host names among its targets, each once. */
  readonly names: readonly string[];
}

/** One generation's meaning. Entries of earlier generations stay until their numbers are given again,
 * so that a late record still finds its name. */
export class Directory {
  readonly listeners = new Map<number, ListenerEntry>();
  readonly upstreams = new Map<number, UpstreamEntry>();
  readonly servers = new Map<number, ServerEntry>();
  readonly probes = new Map<number, ProbeEntry>();
  /** Names of the routes of the present generation: by their numbers. */
  routes: ReadonlyMap<number, string> = new Map();
  /** Files of lists by the numbers that the entries of the present generation have of them. */
  listFiles: ReadonlyMap<number, string> = new Map();
  /** Numbers of the present generation. */
  readonly current = {
    listeners: new Set<number>(),
    upstreams: new Set<number>(),
    servers: new Set<number>(),
    probes: new Set<number>(),
  };

  /** Forgets which entries are present; the next generation names its own. */
  begin(): void {
    for (const set of Object.values(this.current)) set.clear();
  }

  /** `leaves`: the generation has it only for those who came by it before. */
  add(kind: "listeners", entry: ListenerEntry, leaves?: boolean): void;
  add(kind: "upstreams", entry: UpstreamEntry, leaves?: boolean): void;
  add(kind: "servers", entry: ServerEntry, leaves?: boolean): void;
  add(kind: "probes", entry: ProbeEntry): void;
  add(kind: keyof Directory["current"], entry: { readonly number: number }, leaves = false): void {
    (this[kind] as Map<number, unknown>).set(entry.number, entry);
    if (!leaves) this.current[kind].add(entry.number);
  }
}

/** What readiness is told from. */
export interface Readiness {
  readonly phase: () => string;
  readonly directory: Directory;
  readonly shared: {
    readonly serverVerdict: { readonly [server: number]: number };
    readonly serverDrained: { readonly [server: number]: number };
  };
}

/** Why the process should get no connections: empty when it should. A listener is ready when each upstream
 * that it leads to has a server that is up, or unchecked. */
export function unready({ phase, directory, shared }: Readiness): string[] {
  if (phase() !== "ready") return [phase()];
  const { current, listeners, upstreams } = directory;
  const serversOf = new Map<string, readonly number[]>();
  for (const number of current.upstreams) {
    const entry = upstreams.get(number);
    if (entry !== undefined) serversOf.set(entry.name, entry.servers);
  }
  const reasons: string[] = [];
  for (const number of current.listeners) {
    const listener = listeners.get(number);
    for (const upstream of listener?.upstreams ?? []) {
      const servers = serversOf.get(upstream) ?? [];
      const standing = servers.map((server) => ({
        isDown: shared.serverVerdict[server] === Verdict.Down,
        isDisabled: directory.servers.get(server)?.disabled ?? false,
        isDrained: shared.serverDrained[server] !== 0,
        weight: directory.servers.get(server)?.weight ?? 1,
      }));
      if (standing.some(({ isDown, isDrained, weight }) => !isDown && !isDrained && weight > 0)) continue;
      const why = servers.length === 0 ? "has no server" : `takes nothing: ${noneLeft(standing)}`;
      reasons.push(`listener "${listener?.name}": upstream "${upstream}" ${why}`);
    }
  }
  return reasons;
}
