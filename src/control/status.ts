// The state of the process as one plain object, as /status shows it. Names are in snake case, as in the
// log; times are RFC 3339, durations in seconds; "up" is what clients send, "down" what servers send.
import process from "node:process";
import { REASONS } from "../shared/reason.ts";
import { reactorCurrent, Verdict } from "../shared/servers.ts";
import { Count } from "../shared/stats.ts";
import { errnoName } from "../sys/errno.ts";
import type { ListenerEntry, ServerEntry } from "./directory.ts";
import type { ProbeResult } from "./health_history.ts";
import { type Phase, type ReactorView, type Sight, sum, sumCount } from "./sight.ts";
import { VERSION } from "./version.ts";

export interface Status {
  readonly version: string;
  readonly pid: number;
  readonly phase: Phase;
  readonly started: string;
  readonly uptime_seconds: number;
  readonly runtime: { readonly name: "bun" | "deno"; readonly version: string };
  /** Of the Plan that was published last. */
  readonly generation: number;
  readonly totals: TotalsStatus;
  readonly reactors: readonly ReactorStatus[];
  readonly listeners: readonly ListenerStatus[];
  readonly upstreams: readonly UpstreamStatus[];
}

export interface Bytes {
  readonly up: number;
  readonly down: number;
}

export interface TotalsStatus {
  readonly connections: { readonly now: number; readonly max: number; readonly total: number };
  readonly bytes: Bytes & { readonly spliced: number };
  /** How connections ended, by reason; reasons that never came are left out. */
  readonly ended: Readonly<Record<string, number>>;
  readonly redispatches: number;
  readonly accept_pauses: number;
  readonly bugs: number;
  readonly reactor_deaths: number;
  /** Records that found no room on their way to the log, and lines that the outputs did not take. */
  readonly log_dropped: { readonly records: number; readonly log: number; readonly access_log: number };
}

export interface ReactorStatus {
  readonly room: number;
  readonly role: "reactor" | "health";
  readonly alive: boolean;
  /** Of the Plan that it works by. */
  readonly generation: number;
  readonly connections: { readonly now: number; readonly total: number };
  readonly turns: number;
  readonly events: number;
  readonly slots: number;
  readonly pipes: number;
  readonly blocks: number;
  readonly bugs: number;
}

export interface ListenerStatus {
  readonly name: string;
  readonly bind: string;
  readonly upstream: string;
  readonly connections: { readonly now: number; readonly total: number };
  readonly bytes: Bytes;
}

export interface UpstreamStatus {
  readonly name: string;
  readonly servers: readonly ServerStatus[];
}

/** A result of a check. */
export interface CheckStatus {
  readonly at: string;
  readonly reason: string;
  /** The reason as a sentence. */
  readonly text: string;
  readonly errno: string | null;
}

export interface ServerStatus {
  readonly address: string;
  /** As configured; a host name may stand for several addresses. */
  readonly target: string;
  /** What reactors go by; "unchecked" counts as up. */
  readonly health: "up" | "down" | "unchecked";
  /** Since when that is so; null without a check. */
  readonly since: string | null;
  /** Why it is down; for one that is up, the last failure, if there was one. */
  readonly why: CheckStatus | null;
  /** The last result that was not the same as the one before it. */
  readonly last_check: CheckStatus | null;
  readonly connections: { readonly now: number; readonly total: number; readonly failed: number };
  readonly bytes: Bytes;
}

/** Everything, as of now. */
export function statusOf(sight: Sight): Status {
  const { directory } = sight;
  return {
    version: VERSION,
    pid: process.pid,
    phase: sight.phase(),
    started: time(sight.startedAtMs),
    uptime_seconds: Math.round((Date.now() - sight.startedAtMs) / 100) / 10,
    runtime: runtime(),
    generation: sight.generation(),
    totals: totalsOf(sight),
    reactors: sight.reactors.map((reactor) => reactorOf(sight, reactor)),
    listeners: entries(directory.current.listeners, directory.listeners).map((entry) =>
      listenerOf(sight, entry)
    ),
    upstreams: entries(directory.current.upstreams, directory.upstreams).map(({ name, servers }) => ({
      name,
      servers: servers.flatMap((number) => directory.servers.get(number) ?? []).map((entry) =>
        serverOf(sight, entry)
      ),
    })),
  };
}

/** The runtime under Sluice and its version. */
export function runtime(): Status["runtime"] {
  const { deno, bun } = process.versions;
  return deno === undefined ? { name: "bun", version: bun ?? "" } : { name: "deno", version: deno };
}

/** The entries of the present generation. */
export function entries<T>(numbers: ReadonlySet<number>, byNumber: ReadonlyMap<number, T>): T[] {
  return [...numbers].flatMap((number) => byNumber.get(number) ?? []);
}

function totalsOf(
  { reactors, shared, directory, maxConnections, log, accessLog, deaths }: Sight,
): TotalsStatus {
  const ended = REASONS.flatMap(({ name }, reason) => {
    const count = sum(reactors, "ended", reason);
    return count === 0 ? [] : [[name, count] as const];
  });
  const all = [...directory.current.listeners];
  const bytes = (column: "listenerUpBytes" | "listenerDownBytes") =>
    all.reduce((total, listener) => total + sum(reactors, column, listener), 0);
  return {
    connections: {
      now: reactors.reduce(
        (total, { room, role }) => total + (role === "health" ? 0 : reactorCurrent(shared, room)),
        0,
      ),
      max: maxConnections,
      total: sumCount(reactors, Count.Opened),
    },
    bytes: {
      up: bytes("listenerUpBytes"),
      down: bytes("listenerDownBytes"),
      spliced: sumCount(reactors, Count.SplicedBytes),
    },
    ended: Object.fromEntries(ended),
    redispatches: sumCount(reactors, Count.Redispatches),
    accept_pauses: sumCount(reactors, Count.AcceptPauses),
    bugs: sumCount(reactors, Count.Bugs),
    reactor_deaths: deaths(),
    log_dropped: {
      records: sumCount(reactors, Count.LogDropped),
      log: log.droppedLines,
      access_log: accessLog.droppedLines,
    },
  };
}

function reactorOf({ shared }: Sight, { room, role, stats, worker }: ReactorView): ReactorStatus {
  return {
    room,
    role,
    alive: worker !== undefined,
    generation: Atomics.load(shared.reactorGeneration, room),
    connections: {
      now: role === "health" ? 0 : reactorCurrent(shared, room),
      total: stats.count[Count.Opened],
    },
    turns: stats.count[Count.Turns],
    events: stats.count[Count.Events],
    slots: stats.count[Count.SlotsTaken],
    pipes: stats.count[Count.PipesOpen],
    blocks: stats.count[Count.BlocksTaken],
    bugs: stats.count[Count.Bugs],
  };
}

function listenerOf({ reactors }: Sight, { number, name, bind, upstream }: ListenerEntry): ListenerStatus {
  return {
    name,
    bind,
    upstream,
    connections: {
      now: sum(reactors, "listenerCurrent", number),
      total: sum(reactors, "listenerOpened", number),
    },
    bytes: { up: sum(reactors, "listenerUpBytes", number), down: sum(reactors, "listenerDownBytes", number) },
  };
}

function serverOf(
  { reactors, shared, health }: Sight,
  { number, address, target, probe }: ServerEntry,
): ServerStatus {
  const known = probe === 0 ? undefined : health.of(probe);
  const verdict: Verdict = shared.serverVerdict[number];
  const cause = verdict === Verdict.Down ? known?.change?.cause ?? known?.lastFailure : known?.lastFailure;
  return {
    address,
    target,
    health: healthText(verdict),
    since: known === undefined || verdict === Verdict.Unchecked ? null : time(known.sinceMs),
    why: cause === undefined ? null : checkOf(cause),
    last_check: known === undefined ? null : checkOf(known.last),
    connections: {
      now: sum(reactors, "serverCurrent", number),
      total: sum(reactors, "serverOpened", number),
      failed: sum(reactors, "serverFailed", number),
    },
    bytes: { up: sum(reactors, "serverUpBytes", number), down: sum(reactors, "serverDownBytes", number) },
  };
}

function healthText(verdict: Verdict): ServerStatus["health"] {
  switch (verdict) {
    case Verdict.Up:
      return "up";
    case Verdict.Down:
      return "down";
    default:
      return "unchecked";
  }
}

function checkOf({ atMs, reason, errno }: ProbeResult): CheckStatus {
  const { name, text } = REASONS[reason];
  return { at: time(atMs), reason: name, text, errno: errno === 0 ? null : errnoName(errno) };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
