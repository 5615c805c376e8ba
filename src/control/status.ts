// The state of the process as one plain object, as /status shows it.
import process from "node:process";
import { REASONS } from "../shared/reason.ts";
import { shareOf } from "../policy/candidates.ts";
import { latencyOf } from "../policy/latency.ts";
import { PER_LINE, reactorCurrent, Verdict } from "../shared/servers.ts";
import { Count } from "../shared/stats.ts";
import type { AcmeStatus } from "./acme/acme.ts";
import { daysLeft } from "./certificates/expiry.ts";
import type { CertificateStatus } from "./certificates/store.ts";
import type { AcceptQueue } from "./listeners.ts";
import type { Reloads } from "./reload_answer.ts";
import { type ListenerEntry, type ProbeEntry, type ServerEntry, unready } from "./directory.ts";
import type { NameView } from "./discovery.ts";
import { errnoOf, resultText, statusHeard } from "./events.ts";
import { heldBack } from "./held_back.ts";
import { causeOf, type ProbeResult } from "./health_history.ts";
import { refusalsOf } from "./refusals.ts";
import { type ReactorView, type Sight, sum, sumCount } from "./sight.ts";
import type {
  AcmeView,
  CertificateView,
  ListenerStatus,
  NameStatus,
  ReactorStatus,
  ResultStatus,
  ServerStatus,
  Status,
  Told,
  TotalsStatus,
} from "./status_view.ts";
import { troubleOf } from "./trouble.ts";
import { VERSION } from "./version.ts";

/** Everything, as of now. */
export function statusOf(sight: Sight): Status {
  const told = toldOf(sight);
  return { ...told, trouble: troubleOf(told, unready(sight)) };
}

function toldOf(sight: Sight): Told {
  const { directory, shared } = sight, problems = sight.settingProblems();
  const queues = sight.acceptQueues();
  return {
    version: VERSION,
    pid: process.pid,
    phase: sight.phase(),
    started: time(sight.startedAtMs),
    uptime_seconds: Math.round(performance.now() / 100) / 10, // the wall clock may have been set since
    upgrades: { count: sight.upgrading.count, from: sight.upgrading.fromVersion ?? null },
    runtime: runtime(),
    log_level: { now: sight.log.level, configured: sight.log.configuredLevel },
    generation: sight.generation(),
    reloads: reloadsOf(sight.reloads()),
    leaving: sight.leaving(),
    totals: totalsOf(sight),
    reactors: sight.reactors.map((reactor) => reactorOf(sight, reactor)),
    listeners: entries(directory.current.listeners, directory.listeners).map((entry) =>
      listenerOf(sight, entry, queues.get(entry.number))
    ),
    upstreams: entries(directory.current.upstreams, directory.upstreams).map((
      { number, name, servers, names },
    ) => ({
      name,
      balance: sight.published()?.config.upstreams[name]?.balance.rule ?? null,
      problem: problems.get(name) ?? null,
      queued: Atomics.load(shared.upstreamWaiting, number),
      servers: servers.flatMap((number) => directory.servers.get(number) ?? []).map((entry) =>
        serverOf(sight, entry)
      ),
      names: names.flatMap((asked) => sight.names.get(asked) ?? []).map(nameOf),
    })),
    certificates: sight.certificates().map(certificateOf),
    lists: sight.lists().map(({ file, entries, readAtMs, problem }) => ({
      file,
      entries,
      read: time(readAtMs),
      problem: problem ?? null,
    })),
    acme: acmeOf(sight.acme()),
    recent: sight.recent(),
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

function reloadsOf({ done, refused, last }: Reloads): Status["reloads"] {
  const told = last === undefined ? null : {
    at: time(last.atMs),
    reloaded: last.answer.reloaded,
    why: last.answer.reloaded ? null : last.answer.why.join("; "),
  };
  return { done, refused, last: told };
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

function listenerOf(
  { reactors }: Sight,
  { number, name, bind, upstream }: ListenerEntry,
  queue: AcceptQueue | undefined,
): ListenerStatus {
  return {
    name,
    bind,
    upstream,
    connections: {
      now: sum(reactors, "listenerCurrent", number),
      total: sum(reactors, "listenerOpened", number),
    },
    accept_queue: queue ?? null,
    refused: Object.fromEntries(refusalsOf(reactors, number)),
    requests: sum(reactors, "listenerRequests", number),
    bytes: { up: sum(reactors, "listenerUpBytes", number), down: sum(reactors, "listenerDownBytes", number) },
    datagrams: {
      up: sum(reactors, "listenerUpDatagrams", number),
      down: sum(reactors, "listenerDownDatagrams", number),
    },
  };
}

/** What balancing goes by now: the share of its weight that a server has, 1 but in its slow start, and its latency in
 * milliseconds, 0 where nothing is known. */
export function standingOf(
  { shared, published, clockMs }: Sight,
  server: number,
): [share: number, latencyMs: number] {
  if (shared.serverUpMs[server] === 0 && shared.serverLatencyMs[server] === 0) return [1, 0];
  const plan = published()?.plan, nowMs = clockMs();
  const share = plan === undefined ? 1 : shareOf(plan, plan.serverUpstream[server], server, shared, nowMs);
  return [share, latencyOf(shared, server, nowMs)];
}

export function serverOf(sight: Sight, server: ServerEntry): ServerStatus {
  const { reactors, shared, health, directory } = sight,
    { number, address, target, probe, weight, configuredWeight, disabled, backup } = server;
  const [share, latencyMs] = standingOf(sight, number);
  const { avoidedUntilMs, slowStartUntilMs, isFull } = heldBack(sight, number);
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
    weight,
    configured_weight: configuredWeight,
    slow_start: share >= 1 ? null : Math.round(share * 100) / 100,
    slow_start_until: timeOrNull(slowStartUntilMs),
    backup,
    drained: sight.overrides.of(server).drained,
    disabled,
    avoided_until: timeOrNull(avoidedUntilMs),
    full: isFull,
    latency_ms: latencyMs === 0 ? null : Math.round(latencyMs * 1_000) / 1_000,
    connections: {
      now: sum(reactors, "serverCurrent", number),
      total: sum(reactors, "serverOpened", number),
      failed: sum(reactors, "serverFailed", number),
    },
    requests: sum(reactors, "serverRequests", number),
    bytes: { up: sum(reactors, "serverUpBytes", number), down: sum(reactors, "serverDownBytes", number) },
  };
}

export function healthText(verdict: Verdict): ServerStatus["health"] {
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
