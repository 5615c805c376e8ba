// What /metrics says: every counter and gauge of the process, summed over reactors where it is not
// about one of them. Names and labels are an interface: dashboards and alerts hang on them.
import { LATENCY_BOUNDS_MS, LATENCY_BUCKETS, LIFE_BOUNDS_MS, LIFE_BUCKETS } from "../shared/histogram.ts";
import { Reason, REASON_COUNT, REASONS } from "../shared/reason.ts";
import { Protocol } from "../plan/plan.ts";
import { PER_LINE, reactorCurrent, Verdict } from "../shared/servers.ts";
import { ANSWER_CLASSES, Count } from "../shared/stats.ts";
import { unready } from "./directory.ts";
import { processUsage } from "./process_usage.ts";
import { Family, Histogram } from "./prometheus.ts";
import type { Reloads } from "./reload_answer.ts";
import { refusalsOf } from "./refusals.ts";
import { type Column, type Sight, sum, sumCount } from "./sight.ts";
import { entries, healthText, runtime, standingOf } from "./status.ts";
import { VERSION } from "./version.ts";

/** Of health checks alone: no connection ends with them. */
const PROBE_REASONS: ReadonlySet<Reason> = new Set([
  Reason.UnexpectedAnswer,
  Reason.NoAnswer,
  Reason.Healthy,
]);

/** Everything, as of now, in the text format 0.0.4. */
export function metricsText(sight: Sight): string {
  const families: readonly (Family | Histogram)[] = [
    ...ofProcess(sight),
    ...ofListeners(sight),
    ...ofUpstreams(sight),
    ...ofServers(sight),
    ...timesOf(sight),
    ...ofNames(sight),
    ...ofCertificates(sight),
    ...ofAcme(sight),
    ...ofLists(sight),
    ...ofConnections(sight),
    ...ofReactors(sight),
  ];
  return families.join("");
}

function ofProcess(sight: Sight): Family[] {
  const { cpuSeconds, residentBytes, openFds, maxFds } = processUsage();
  const { name, version } = runtime();
  const { log, accessLog, reactors } = sight;
  return [
    gauge("sluice_build_info", "The version of Sluice and the runtime under it; always 1.", 1, {
      version: VERSION,
      runtime: name,
      runtime_version: version,
    }),
    gauge(
      "sluice_generation",
      "Generation of the configuration that was published last.",
      sight.generation(),
    ),
    ...ofReloads(sight.reloads()),
    gauge(
      "sluice_ready",
      "1 while /readyz says 200: not draining, and every listener has servers.",
      unready(sight).length === 0 ? 1 : 0,
    ),
    counter("process_cpu_seconds_total", "User and system time of all threads.", cpuSeconds),
    gauge("process_resident_memory_bytes", "Resident memory.", residentBytes),
    gauge("process_open_fds", "Open file descriptors.", openFds),
    gauge("process_max_fds", "Limit on open file descriptors.", maxFds),
    gauge("process_start_time_seconds", "Start of the process, since the epoch.", sight.startedAtMs / 1_000),
    counter(
      "sluice_records_dropped_total",
      "Records and lines for the logs that found no room on their way from a reactor.",
      sumCount(reactors, Count.LogDropped),
    ),
    counter(
      "sluice_log_lines_dropped_total",
      "Lines that the log's output did not take, access records among them if they go there too.",
      log.droppedLines,
    ),
    counter(
      "sluice_access_log_lines_dropped_total",
      "Lines of the access log that could not be written, or found no room behind the reactors.",
      accessLog.droppedLines,
    ),
  ];
}

function ofListeners({ reactors, directory, published, acceptQueues }: Sight): Family[] {
  const queues = acceptQueues();
  const opened = new Family("counter", "sluice_listener_connections_total", "Connections accepted.");
  const current = new Family("gauge", "sluice_listener_connections", "Connections open now.");
  const queue = new Family(
    "gauge",
    "sluice_listener_accept_queue",
    "Connections that wait in the kernel's queue to be accepted, over all sockets of the listener.",
  );
  const queueMax = new Family(
    "gauge",
    "sluice_listener_accept_queue_max",
    "How many may wait there: the backlog, as net.core.somaxconn cut it; further ones are dropped.",
  );
  const bytes = new Family(
    "counter",
    "sluice_listener_bytes_total",
    "Bytes from clients (up) and to them (down).",
  );
  const refused = new Family(
    "counter",
    "sluice_listener_refused_total",
    "Connections that were turned away before anything was done for them, by reason.",
  );
  const ended = new Family(
    "counter",
    "sluice_listener_ended_total",
    "Connections and requests of a listener by the reason they ended for, as far as it has come.",
  );
  const requests = new Family(
    "counter",
    "sluice_listener_requests_total",
    "Requests that ended, by the class of their answer's status; none: no answer was sent.",
  );
  const datagrams = new Family(
    "counter",
    "sluice_listener_datagrams_total",
    "Datagrams from clients (up) and to them (down).",
  );
  for (const { number, name, bind } of entries(directory.current.listeners, directory.listeners)) {
    const labels = { listener: name, bind };
    opened.set(labels, sum(reactors, "listenerOpened", number));
    current.set(labels, sum(reactors, "listenerCurrent", number));
    const waits = queues.get(number);
    if (waits !== undefined) {
      queue.set(labels, waits.waiting);
      queueMax.set(labels, waits.max);
    }
    bytes.set({ ...labels, direction: "up" }, sum(reactors, "listenerUpBytes", number));
    bytes.set({ ...labels, direction: "down" }, sum(reactors, "listenerDownBytes", number));
    for (const [reason, count] of refusalsOf(reactors, number)) refused.set({ ...labels, reason }, count);
    REASONS.forEach(({ name: reason }, code) => {
      const value = sum(reactors, "listenerEnded", number * REASON_COUNT + code);
      if (value > 0) ended.set({ ...labels, reason }, value);
    });
    if (published()?.plan.listenerProtocol[number] === Protocol.Udp) {
      datagrams.set({ ...labels, direction: "up" }, sum(reactors, "listenerUpDatagrams", number));
      datagrams.set({ ...labels, direction: "down" }, sum(reactors, "listenerDownDatagrams", number));
    }
    if (sum(reactors, "listenerRequests", number) === 0) continue;
    for (let kind = 0; kind < ANSWER_CLASSES; kind++) {
      const status = kind === 0 ? "none" : `${kind}xx`;
      const value = sum(reactors, "listenerAnswers", number * ANSWER_CLASSES + kind);
      if (value > 0) requests.set({ ...labels, status }, value);
    }
  }
  return [opened, current, queue, queueMax, refused, ended, bytes, datagrams, requests];
}

function ofUpstreams({ directory, shared }: Sight): Family[] {
  const queued = new Family("gauge", "sluice_upstream_queued", "Those that wait for a place at a server.");
  const servers = new Family(
    "gauge",
    "sluice_upstream_servers",
    "Servers by what their health checks say; one that is unchecked counts as up.",
  );
  for (const entry of entries(directory.current.upstreams, directory.upstreams)) {
    const { name: upstream } = entry;
    queued.set({ upstream }, Atomics.load(shared.upstreamWaiting, entry.number));
    for (const health of ["up", "down", "unchecked"]) servers.set({ upstream, health }, 0);
    for (const server of entry.servers) {
      servers.set({ upstream, health: healthText(shared.serverVerdict[server]) }, 1);
    }
  }
  return [queued, servers];
}

function ofServers(sight: Sight): Family[] {
  const { reactors, directory, shared, health } = sight;
  const changed = new Family(
    "gauge",
    "sluice_server_health_changed_seconds",
    "When a server's health last changed, since the epoch; only where it is checked.",
  );
  const up = new Family(
    "least gauge",
    "sluice_server_up",
    "0 while the server is taken out by its health check, or disabled; 1 otherwise, also without a check.",
  );
  const weight = new Family(
    "gauge",
    "sluice_server_weight",
    "What it counts in balancing now: less than its weight in its slow start, 0 while it is drained or disabled.",
  );
  const drained = new Family(
    "least gauge",
    "sluice_server_drained",
    "1 while the server is drained: it gets nothing new.",
  );
  const disabled = new Family(
    "gauge",
    "sluice_server_disabled",
    "1 while the server is disabled: it gets nothing new and is not checked.",
  );
  const configured = new Family(
    "gauge",
    "sluice_server_weight_configured",
    "Its weight as configured: another than that it has was set at run time.",
  );
  const latency = new Family(
    "gauge",
    "sluice_server_latency_seconds",
    "Its smoothed latency, where peak-ewma chooses by it.",
  );
  const opened = new Family("counter", "sluice_server_connects_total", "Connects begun.");
  const requests = new Family(
    "counter",
    "sluice_server_requests_total",
    "Requests that got a connection to the server, new or kept.",
  );
  const failed = new Family(
    "counter",
    "sluice_server_connect_failures_total",
    "Connects that failed or timed out.",
  );
  const current = new Family("gauge", "sluice_server_connections", "Connections open now, or being opened.");
  const bytes = new Family(
    "counter",
    "sluice_server_bytes_total",
    "Bytes to servers (up) and from them (down).",
  );
  for (const { name, servers } of entries(directory.current.upstreams, directory.upstreams)) {
    for (const number of servers) {
      const labels = { upstream: name, server: directory.servers.get(number)?.address ?? "" };
      const entry = directory.servers.get(number), isDisabled = entry?.disabled ?? false;
      up.set(labels, shared.serverVerdict[number] === Verdict.Down || isDisabled ? 0 : 1);
      const [share, latencyMs] = standingOf(sight, number), full = entry?.weight ?? 1;
      weight.set(labels, shared.serverDrained[number] === 1 ? 0 : full * share);
      drained.set(labels, entry !== undefined && sight.overrides.of(entry).drained ? 1 : 0);
      disabled.set(labels, isDisabled ? 1 : 0);
      configured.set(labels, entry?.configuredWeight ?? 1);
      if (latencyMs !== 0) latency.set(labels, latencyMs / 1_000);
      opened.set(labels, sum(reactors, "serverOpened", number));
      requests.set(labels, sum(reactors, "serverRequests", number));
      failed.set(labels, sum(reactors, "serverFailed", number));
      current.set(labels, sum(reactors, "serverCurrent", number));
      bytes.set({ ...labels, direction: "up" }, sum(reactors, "serverUpBytes", number));
      bytes.set({ ...labels, direction: "down" }, sum(reactors, "serverDownBytes", number));
      const known = health.of(directory.servers.get(number)?.probe ?? 0);
      if (known !== undefined) changed.set(labels, known.sinceMs / 1_000);
    }
  }
  return [
    up,
    changed,
    opened,
    requests,
    failed,
    current,
    bytes,
    weight,
    configured,
    drained,
    disabled,
    latency,
  ];
}

/** Numbers of listeners and upstreams that have histograms of their own; the rest have theirs together. */
const HISTOGRAMS_MAX = 256;
const OTHERS = "(others)";

function timesOf({ reactors, directory }: Sight): Histogram[] {
  const latencies = LATENCY_BOUNDS_MS.map(inSeconds), lives = LIFE_BOUNDS_MS.map(inSeconds);
  const connects = new Histogram(
    "sluice_upstream_connect_seconds",
    "How long connects to servers took that succeeded, TLS included.",
    latencies,
  );
  const firsts = new Histogram(
    "sluice_upstream_first_byte_seconds",
    "How long servers took from having the request to the head of their answer.",
    latencies,
  );
  const durations = new Histogram(
    "sluice_listener_connection_seconds",
    "How long connections lived that have ended.",
    lives,
  );
  const requests = new Histogram(
    "sluice_listener_request_seconds",
    "How long requests took from their head to the end of their answer.",
    latencies,
  );
  const sumIn = (column: Column, row: number, buckets: number) => (bucket: number) =>
    sum(reactors, column, row * buckets + bucket);
  for (const { number, name } of entries(directory.current.upstreams, directory.upstreams)) {
    const labels = { upstream: number <= HISTOGRAMS_MAX ? name : OTHERS };
    const connectMs = sum(reactors, "upstreamConnectMs", number);
    connects.add(labels, sumIn("upstreamConnects", number, LATENCY_BUCKETS), connectMs / 1_000);
    const first = sumIn("upstreamFirsts", number, LATENCY_BUCKETS);
    const firstMs = sum(reactors, "upstreamFirstMs", number);
    if (hasAny(first, LATENCY_BUCKETS)) firsts.add(labels, first, firstMs / 1_000);
  }
  for (const { number, name, bind } of entries(directory.current.listeners, directory.listeners)) {
    const labels = number <= HISTOGRAMS_MAX ? { listener: name, bind } : { listener: OTHERS, bind: "" };
    const lifeMs = sum(reactors, "listenerLifeMs", number);
    durations.add(labels, sumIn("listenerLives", number, LIFE_BUCKETS), lifeMs / 1_000);
    const time = sumIn("listenerTimes", number, LATENCY_BUCKETS);
    const timeMs = sum(reactors, "listenerTimeMs", number);
    if (hasAny(time, LATENCY_BUCKETS)) requests.add(labels, time, timeMs / 1_000);
  }
  return [connects, firsts, durations, requests];
}

function inSeconds(ms: number): number {
  return ms / 1_000;
}

/** HTTP alone has some: upstreams and listeners without it are not told of. */
function hasAny(countIn: (bucket: number) => number, buckets: number): boolean {
  for (let bucket = 0; bucket < buckets; bucket++) if (countIn(bucket) > 0) return true;
  return false;
}

function ofNames({ names }: Sight): Family[] {
  const up = new Family(
    "gauge",
    "sluice_discovery_up",
    "1 if a host name's last question was answered; 0 if not, and what was known of it holds.",
  );
  const failed = new Family(
    "counter",
    "sluice_discovery_failures_total",
    "Questions for a host name's addresses that were not answered.",
  );
  for (const { name, resolves, failures } of names.values()) {
    up.set({ name }, resolves === true ? 1 : 0);
    failed.set({ name }, failures);
  }
  return [up, failed];
}

function ofCertificates({ certificates }: Sight): Family[] {
  const ends = new Family(
    "least gauge",
    "sluice_certificate_not_after_seconds",
    "When a certificate in use ends, since the epoch; name is its first one, file is empty if it was issued.",
  );
  const problem = new Family(
    "gauge",
    "sluice_certificate_problem",
    "1 while the files of a certificate cannot be used as they are now, and the one before stays in use.",
  );
  for (const { names, file, notAfter, problem: why } of certificates()) {
    const labels = { name: names[0] ?? "", file: file ?? "" };
    ends.set(labels, notAfter / 1_000);
    problem.set(labels, why === undefined ? 0 : 1);
  }
  return [ends, problem];
}

function ofAcme({ acme }: Sight): Family[] {
  const status = acme();
  if (status === undefined) return [];
  const orders = new Family(
    "counter",
    "sluice_acme_orders_total",
    "Certificates that were ordered, by what became of the order.",
  );
  orders.set({ result: "issued" }, status.issued);
  orders.set({ result: "failed" }, status.failed);
  const problem = new Family(
    "gauge",
    "sluice_acme_problem",
    "1 while the last order for a name has failed.",
  );
  for (const { name, failure } of status.names) problem.set({ name }, failure === undefined ? 0 : 1);
  return [orders, problem];
}

function ofLists({ lists }: Sight): Family[] {
  const size = new Family("gauge", "sluice_list_entries", "Entries of a file of addresses that is in use.");
  const problem = new Family(
    "gauge",
    "sluice_list_problem",
    "1 while a file of addresses cannot be used as it is now, and what was read before stays in use.",
  );
  for (const { file, entries, problem: why } of lists()) {
    size.set({ file }, entries);
    problem.set({ file }, why === undefined ? 0 : 1);
  }
  return [size, problem];
}

function ofConnections(
  { reactors, shared, maxConnections, deaths, accessLog, datagramsLost }: Sight,
): Family[] {
  const ended = new Family(
    "counter",
    "sluice_connections_ended_total",
    "Connections and requests by the reason they ended for; type is RFC 9209's where it is an error.",
  );
  REASONS.forEach(({ name, type }, reason) => {
    if (reason === Reason.None || PROBE_REASONS.has(reason)) return;
    ended.set({ reason: name, type: type ?? "" }, sum(reactors, "ended", reason));
  });
  const handshakes = new Family(
    "counter",
    "sluice_tls_handshakes_total",
    "TLS handshakes that were done, with clients and with servers; failed ones are ended connections.",
  );
  handshakes.set({ side: "client" }, sumCount(reactors, Count.Handshakes));
  handshakes.set({ side: "server" }, sumCount(reactors, Count.ServerHandshakes));
  const dropped = new Family(
    "counter",
    "sluice_datagrams_dropped_total",
    "Datagrams that were not forwarded: cut by the kernel, unsent for want of room, refused for want of a session, " +
      "or lost to a full receive buffer.",
  );
  dropped.set({ why: "cut" }, sumCount(reactors, Count.DatagramsCut));
  dropped.set({ why: "unsent" }, sumCount(reactors, Count.DatagramsUnsent));
  dropped.set({ why: "refused" }, sumCount(reactors, Count.DatagramsRefused));
  dropped.set({ why: "full" }, datagramsLost());
  const total = (which: Count, name: string, help: string) => counter(name, help, sumCount(reactors, which));
  return [
    ended,
    gauge(
      "sluice_connections",
      "Client connections now, those included that wait to be taken in.",
      reactors.reduce(
        (total, { room, role }) => role === "health" ? total : total + reactorCurrent(shared, room),
        0,
      ),
    ),
    gauge("sluice_connections_max", "Connections at once; more wait in the kernel's queue.", maxConnections),
    total(
      Count.Redispatches,
      "sluice_redispatches_total",
      "Connects that were tried again with another server.",
    ),
    handshakes,
    dropped,
    total(
      Count.SourcesFull,
      "sluice_sources_uncounted_total",
      "Connections let in without limits of their source, since the table of sources had no place for it.",
    ),
    total(Count.Requests, "sluice_requests_total", "Requests that began."),
    total(Count.Connects, "sluice_connects_total", "Connections to servers that were begun."),
    total(Count.Reused, "sluice_reused_total", "Requests that got a connection that was kept."),
    total(Count.Repeats, "sluice_repeats_total", "Requests sent once more, since a kept connection broke."),
    total(
      Count.AcceptPauses,
      "sluice_accept_pauses_total",
      "Pauses of accepting, for want of fds or connections.",
    ),
    total(Count.SplicedBytes, "sluice_spliced_bytes_total", "Bytes that were moved without being copied."),
    total(
      Count.Peeked,
      "sluice_peeked_reads_total",
      "Reads that only peeked, for want of a pipe or block.",
    ),
    total(Count.ProbesLate, "sluice_checks_late_total", "Health checks begun later than they were due."),
    total(Count.Bugs, "sluice_bugs_total", "Bugs contained to one connection."),
    counter("sluice_reactor_deaths_total", "Reactors that died by a bug and were replaced.", deaths()),
    counter(
      "sluice_log_worker_deaths_total",
      "Writers of the access log that died by a bug.",
      accessLog.writer?.deaths ?? 0,
    ),
  ];
}

function ofReloads({ done, refused, last }: Reloads): Family[] {
  const reloads = new Family("counter", "sluice_reloads_total", "Reloads that were asked for.");
  reloads.set({ result: "reloaded" }, done);
  reloads.set({ result: "refused" }, refused);
  return [
    reloads,
    gauge(
      "sluice_last_reload_successful",
      "0 while the file is another than what runs, since its last reload was refused.",
      last === undefined || last.answer.reloaded ? 1 : 0,
    ),
  ];
}

function ofReactors({ reactors, shared }: Sight): Family[] {
  const connections = new Family("gauge", "sluice_reactor_connections", "Client connections of a reactor.");
  const turns = new Family("counter", "sluice_reactor_turns_total", "Turns of a reactor's loop.");
  const events = new Family("counter", "sluice_reactor_events_total", "Events in those turns.");
  const slots = new Family("gauge", "sluice_reactor_slots", "Sockets of a reactor.");
  const pipes = new Family("gauge", "sluice_reactor_pipes", "Pipes that a reactor has open.");
  const blocks = new Family("gauge", "sluice_reactor_blocks", "Blocks of memory in use.");
  const queued = new Family("gauge", "sluice_reactor_queued", "Requests that wait for a place at a server.");
  const idle = new Family("gauge", "sluice_reactor_idle_servers", "Connections to servers that are kept.");
  for (const { room, role, stats } of reactors) {
    const labels = { reactor: room, role };
    if (role === "reactor") {
      connections.set(labels, reactorCurrent(shared, room));
      queued.set(labels, Atomics.load(shared.reactorWaiting, room * PER_LINE));
    }
    turns.set(labels, stats.count[Count.Turns]);
    events.set(labels, stats.count[Count.Events]);
    slots.set(labels, stats.count[Count.SlotsTaken]);
    pipes.set(labels, stats.count[Count.PipesOpen]);
    blocks.set(labels, stats.count[Count.BlocksTaken]);
    idle.set(labels, stats.count[Count.Idle]);
  }
  return [connections, queued, turns, events, slots, pipes, blocks, idle];
}

function counter(name: string, help: string, value: number): Family {
  return new Family("counter", name, help).set({}, value);
}

function gauge(name: string, help: string, value: number, labels: Record<string, string> = {}): Family {
  return new Family("gauge", name, help).set(labels, value);
}
