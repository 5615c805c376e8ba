// The state of the process as one plain object, as /status shows it. Names are in snake case, as in the
// log; times are RFC 3339, durations in seconds; "up" is what clients send, "down" what servers send.
import process from "node:process";
import { REASONS } from "../shared/reason.ts";
import { PER_LINE, reactorCurrent, Verdict } from "../shared/servers.ts";
import { Count } from "../shared/stats.ts";
import type { AcmeStatus } from "./acme/acme.ts";
import { daysLeft } from "./certificates/expiry.ts";
import type { CertificateStatus } from "./certificates/store.ts";
import type { ListenerEntry, ProbeEntry, ServerEntry } from "./directory.ts";
import type { NameView } from "./discovery.ts";
import { errnoOf, resultText, statusHeard } from "./events.ts";
import { causeOf, type ProbeResult } from "./health_history.ts";
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
  readonly certificates: readonly CertificateView[];
  /** Null: none are issued to us. */
  readonly acme: AcmeView | null;
}

/** Certificates that are issued to us. */
export interface AcmeView {
  readonly directory: string;
  /** Why nothing is ordered now, whatever the name; null: nothing speaks against it. */
  readonly held: { readonly why: string; readonly until: string } | null;
  /** Since the start. */
  readonly issued: number;
  readonly failed: number;
  readonly names: readonly {
    readonly name: string;
    /** What its clients get: issued, placeholder (one that vouches for itself), or nothing. */
    readonly serving: string;
    readonly state: string;
    readonly on_demand: boolean;
    /** The last failure, while nothing has succeeded since. */
    readonly problem: string | null;
    /** When the next attempt comes, or the renewal. */
    readonly next: string | null;
  }[];
}

/** A certificate in use. */
export interface CertificateView {
  readonly names: readonly string[];
  /** Who presents it to clients, and who to servers. */
  readonly listeners: readonly string[];
  readonly upstreams: readonly string[];
  /** Null: it was issued to us. */
  readonly file: string | null;
  readonly issuer: string;
  /** SHA-256, in hexadecimal. */
  readonly fingerprint: string;
  readonly until: string;
  /** Whole days; below 0 when it has ended. */
  readonly days_left: number;
  /** Why the files as they are now are not used; null: they are. */
  readonly problem: string | null;
}

export interface Bytes {
  readonly up: number;
  readonly down: number;
}

export interface TotalsStatus {
  readonly connections: { readonly now: number; readonly max: number; readonly total: number };
  readonly bytes: Bytes & { readonly spliced: number };
  readonly datagrams: Bytes & {
    /** Not forwarded: the kernel had to cut them; they could not be sent; their client got no session; the receive
     * buffers of listening sockets were full. */
    readonly dropped: {
      readonly cut: number;
      readonly unsent: number;
      readonly refused: number;
      readonly full: number;
    };
  };
  /** How connections ended, by reason; reasons that never came are left out. */
  readonly ended: Readonly<Record<string, number>>;
  /** Requests, connects to servers, requests on a connection that was kept, requests sent once more. */
  readonly requests: number;
  readonly connects: number;
  readonly reused: number;
  readonly repeats: number;
  /** TLS handshakes that were done. */
  readonly handshakes: { readonly client: number; readonly server: number };
  readonly redispatches: number;
  readonly accept_pauses: number;
  readonly bugs: number;
  readonly reactor_deaths: number;
  /** What writes the access log; null when it is off. */
  readonly log_worker: { readonly alive: boolean; readonly deaths: number } | null;
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
  /** Requests that wait for a place at a server. */
  readonly queued: number;
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
  /** For datagrams: sessions. */
  readonly connections: { readonly now: number; readonly total: number };
  readonly bytes: Bytes;
  readonly datagrams: Bytes;
}

export interface UpstreamStatus {
  readonly name: string;
  readonly servers: readonly ServerStatus[];
  /** Empty when all targets are addresses. */
  readonly names: readonly NameStatus[];
}

/** A result of a check. */
export interface ResultStatus {
  readonly reason: string;
  /** As a sentence: what was heard and what was expected, or the reason. */
  readonly text: string;
  readonly errno: string | null;
  /** Of the answer, if the check heard one by HTTP and failed. */
  readonly status: number | null;
}

/** The result that changed something, at the time of that check. */
export interface ChangeStatus extends ResultStatus {
  readonly at: string;
}

/** What the last check heard, and since when all of them have heard just that: only changes are told. */
export interface LastCheckStatus extends ResultStatus {
  readonly since: string;
}

/** A host name among the targets of an upstream. */
export interface NameStatus {
  readonly name: string;
  /** What it stands for now: after a failure, what the last good answer said. */
  readonly addresses: readonly string[];
  /** Whether its last question was answered; null before the first one was. */
  readonly resolves: boolean | null;
  /** Since when that is so. */
  readonly since: string | null;
  /** The last good answer. */
  readonly last_answer: string | null;
  readonly last_failure: { readonly at: string; readonly why: string } | null;
}

export interface ServerStatus {
  readonly address: string;
  /** As configured; a host name may stand for several addresses. */
  readonly target: string;
  /** What reactors go by; "unchecked" counts as up. */
  readonly health: "up" | "down" | "unchecked";
  /** Since when that is so; null without a check. */
  readonly since: string | null;
  /** Why it is down; for one that is up, its last failure (of several that are the same, the first). */
  readonly why: ChangeStatus | null;
  readonly last_check: LastCheckStatus | null;
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
    uptime_seconds: Math.round(performance.now() / 100) / 10, // the wall clock may have been set since
    runtime: runtime(),
    generation: sight.generation(),
    totals: totalsOf(sight),
    reactors: sight.reactors.map((reactor) => reactorOf(sight, reactor)),
    listeners: entries(directory.current.listeners, directory.listeners).map((entry) =>
      listenerOf(sight, entry)
    ),
    upstreams: entries(directory.current.upstreams, directory.upstreams).map(({ name, servers, names }) => ({
      name,
      servers: servers.flatMap((number) => directory.servers.get(number) ?? []).map((entry) =>
        serverOf(sight, entry)
      ),
      names: names.flatMap((asked) => sight.names.get(asked) ?? []).map(nameOf),
    })),
    certificates: sight.certificates().map(certificateOf),
    acme: acmeOf(sight.acme()),
  };
}

function acmeOf(status: AcmeStatus | undefined): AcmeView | null {
  if (status === undefined) return null;
  const { directory, held, issued, failed, names } = status;
  return {
    directory,
    held: held === undefined ? null : { why: held.why, until: time(held.untilMs) },
    issued,
    failed,
    names: names.map(({ name, serving, state, isOnDemand, failure, nextMs }) => ({
      name,
      serving,
      state,
      on_demand: isOnDemand,
      problem: failure?.why ?? null,
      next: nextMs === 0 ? null : time(nextMs),
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
  { reactors, shared, directory, maxConnections, log, accessLog, deaths, datagramsLost }: Sight,
): TotalsStatus {
  const ended = REASONS.flatMap(({ name }, reason) => {
    const count = sum(reactors, "ended", reason);
    return count === 0 ? [] : [[name, count] as const];
  });
  const all = [...directory.current.listeners];
  type Column = "listenerUpBytes" | "listenerDownBytes" | "listenerUpDatagrams" | "listenerDownDatagrams";
  const moved = (column: Column) =>
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
      up: moved("listenerUpBytes"),
      down: moved("listenerDownBytes"),
      spliced: sumCount(reactors, Count.SplicedBytes),
    },
    datagrams: {
      up: moved("listenerUpDatagrams"),
      down: moved("listenerDownDatagrams"),
      dropped: {
        cut: sumCount(reactors, Count.DatagramsCut),
        unsent: sumCount(reactors, Count.DatagramsUnsent),
        refused: sumCount(reactors, Count.DatagramsRefused),
        full: datagramsLost(),
      },
    },
    ended: Object.fromEntries(ended),
    requests: sumCount(reactors, Count.Requests),
    connects: sumCount(reactors, Count.Connects),
    reused: sumCount(reactors, Count.Reused),
    repeats: sumCount(reactors, Count.Repeats),
    handshakes: {
      client: sumCount(reactors, Count.Handshakes),
      server: sumCount(reactors, Count.ServerHandshakes),
    },
    redispatches: sumCount(reactors, Count.Redispatches),
    accept_pauses: sumCount(reactors, Count.AcceptPauses),
    bugs: sumCount(reactors, Count.Bugs),
    reactor_deaths: deaths(),
    log_worker: accessLog.writer ?? null,
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
    queued: Atomics.load(shared.reactorWaiting, room * PER_LINE),
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
    datagrams: {
      up: sum(reactors, "listenerUpDatagrams", number),
      down: sum(reactors, "listenerDownDatagrams", number),
    },
  };
}

function serverOf(
  { reactors, shared, health, directory }: Sight,
  { number, address, target, probe }: ServerEntry,
): ServerStatus {
  const known = probe === 0 ? undefined : health.of(probe);
  const entry = directory.probes.get(probe);
  const verdict: Verdict = shared.serverVerdict[number];
  const cause = causeOf(known, verdict === Verdict.Down);
  return {
    address,
    target,
    health: healthText(verdict),
    since: known === undefined || verdict === Verdict.Unchecked ? null : time(known.sinceMs),
    why: cause === undefined ? null : { at: time(cause.atMs), ...resultOf(cause, entry) },
    last_check: known === undefined ? null : { since: time(known.last.atMs), ...resultOf(known.last, entry) },
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

function resultOf(result: ProbeResult, entry: ProbeEntry | undefined): ResultStatus {
  return {
    reason: REASONS[result.reason].name,
    text: resultText(result, entry),
    errno: errnoOf(result),
    status: statusHeard(result),
  };
}

function nameOf({ name, ips, resolves, sinceMs, answeredAtMs, failure }: NameView): NameStatus {
  return {
    name,
    addresses: ips,
    resolves: resolves ?? null,
    since: timeOrNull(sinceMs),
    last_answer: timeOrNull(answeredAtMs),
    last_failure: failure === undefined ? null : { at: time(failure.atMs), why: failure.why },
  };
}

function certificateOf(certificate: CertificateStatus): CertificateView {
  const { names, listeners, upstreams, file, issuer, fingerprint, notAfter, problem } = certificate;
  return {
    names,
    listeners,
    upstreams,
    file: file ?? null,
    issuer,
    fingerprint,
    until: time(notAfter),
    days_left: daysLeft(certificate, Date.now()),
    problem: problem ?? null,
  };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

function timeOrNull(ms: number | undefined): string | null {
  return ms === undefined ? null : time(ms);
}
