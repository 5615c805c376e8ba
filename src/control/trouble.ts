// What is wrong now, or was a moment ago: a sentence each, the worst first, for whoever looks at a Sluice for the
// first time today. Made of what /status tells anyhow, so nothing is said here that cannot be looked up there.
import { counted } from "./config/units.ts";
import type { Told } from "./status_view.ts";

/** A certificate that ends within so many days should have been renewed. */
const DAYS_LEFT_FEW = 7;
/** Of the connections there may be, the share from which on it is worth a word. */
const CROWDED = 0.9;
/** Servers that a sentence names. */
const SERVERS_NAMED_MAX = 3;

export function troubleOf(status: Told, unready: readonly string[]): string[] {
  return [
    ...(status.phase === "draining" ? ["it is draining: no connection is taken any more"] : unready),
    ...ofReloads(status),
    ...ofReactors(status),
    ...ofSources(status),
    ...ofServers(status),
    ...ofNames(status),
    ...ofLists(status),
    ...ofCertificates(status),
    ...ofRoom(status),
    ...ofQueues(status),
    ...ofLogs(status),
  ];
}

/** Whoever changed the file may believe that it is in force. */
function ofReloads({ reloads: { last } }: Told): string[] {
  return last === null || last.reloaded
    ? []
    : [`the last reload was refused, what was before it runs: ${last.why}`];
}

function ofReactors({ reactors, totals, recent }: Told): string[] {
  const dead = reactors.filter(({ alive }) => !alive).length;
  const { reactor_deaths: deaths } = totals;
  return [
    ...(dead > 0 ? [`${counted(dead, "Worker")} of ${reactors.length} are not there`] : []),
    ...(deaths > 0
      ? [`${counted(deaths, "Worker")} died by a bug since the start; the log says which, please report it`]
      : []),
    ...(recent.bugs > 0 ? [`${counted(recent.bugs, "connection")} ended by a bug; please report it`] : []),
  ];
}

/** Where connections are to come from. */
function ofSources({ upstreams, recent }: Told): string[] {
  const wrong = upstreams.flatMap(({ name, problem }) =>
    problem === null ? [] : [`upstream "${name}": its servers cannot be connected to: ${problem}`]
  );
  const { no_source: failed = 0 } = recent.ended;
  if (wrong.length > 0 || failed === 0) return wrong;
  return [
    `${counted(failed, "connection")} had no address to come from in the last ${minutes(recent.seconds)}: ` +
    "the source or the interface was not there, or the client's address was of another family than the server's; " +
    "sluice why no_source",
  ];
}

function ofServers({ upstreams }: Told): string[] {
  return upstreams.flatMap(({ name, servers, queued }) => {
    const down = servers.filter(({ health }) => health === "down");
    const named = down.slice(0, SERVERS_NAMED_MAX).map(({ address, why }) =>
      why === null ? address : `${address} (${why.text})`
    );
    const more = down.length > SERVERS_NAMED_MAX ? ` and ${down.length - SERVERS_NAMED_MAX} more` : "";
    return [
      ...(down.length > 0
        ? [`upstream "${name}": ${howMany(down.length, servers.length)}: ${named.join(", ")}${more}`]
        : []),
      ...(queued > 0 ? [`upstream "${name}": ${queued} wait for a place at a server`] : []),
    ];
  });
}

/** `1 of 2 servers is down`, `all 3 servers are down`. */
function howMany(down: number, all: number): string {
  if (down < all) return `${down} of ${counted(all, "server")} ${down === 1 ? "is" : "are"} down`;
  return all === 1 ? "its only server is down" : `all ${all} servers are down`;
}

function ofLists({ lists }: Told): string[] {
  return lists.flatMap(({ file, problem }) =>
    problem === null
      ? []
      : [`list ${file} cannot be used as it is now, and what was read before stays in use: ${problem}`]
  );
}

function ofNames({ upstreams }: Told): string[] {
  const failing = new Map(
    upstreams.flatMap(({ names }) => names).filter(({ resolves }) => resolves === false).map((name) =>
      [name.name, name.last_failure?.why ?? "no answer"] as const
    ),
  );
  return [...failing].map(([name, why]) => `${name} does not resolve: ${why}`);
}

function ofCertificates({ certificates, acme }: Told): string[] {
  return [
    ...certificates.flatMap(({ names, file, days_left, problem }) => {
      const which = `the certificate of ${names[0] ?? "nobody"}${file === null ? "" : ` (${file})`}`;
      if (problem !== null) return [`${which}: the files as they are now are not used: ${problem}`];
      if (days_left < 0) return [`${which} has ended`];
      return days_left < DAYS_LEFT_FEW ? [`${which} ends in ${counted(days_left, "day")}`] : [];
    }),
    ...(acme?.held == null ? [] : [`no certificates are ordered until ${acme.held.until}: ${acme.held.why}`]),
    ...(acme?.names ?? []).flatMap(({ name, problem }) =>
      problem === null ? [] : [`no certificate for ${name}: ${problem}`]
    ),
  ];
}

function ofRoom({ totals: { connections }, recent }: Told): string[] {
  const { now, max } = connections;
  return [
    ...(now >= max * CROWDED ? [`${now} of ${max} connections are taken; more wait in the kernel`] : []),
    ...(recent.accept_pauses > 0
      ? [`accepting paused ${counted(recent.accept_pauses, "time")} in the last ${minutes(recent.seconds)}`]
      : []),
  ];
}

/** Whoever finds a queue full is dropped, and tries again a second later. */
function ofQueues({ listeners }: Told): string[] {
  return listeners.flatMap(({ name, bind, accept_queue: queue }) => {
    if (queue === null || queue.fullest < CROWDED) return [];
    const waiting = `${
      counted(queue.waiting, "connection")
    } of at most ${queue.max} wait in the kernel to be accepted`;
    const where = queue.waiting < queue.max * CROWDED ? ", and one reactor's queue is full or nearly so" : "";
    return [
      `listener "${name}" (${bind}): ${waiting}${where}; ` +
      "whoever finds no place comes a second late. A longer queue takes a longer rush: " +
      "socket.backlog of the listener, and net.core.somaxconn",
    ];
  });
}

function ofLogs({ totals: { log_worker }, recent }: Told): string[] {
  return [
    ...(log_worker?.alive === false ? ["the writer of the access log is not there"] : []),
    ...(recent.records_dropped > 0
      ? [
        `${counted(recent.records_dropped, "record")} for the logs lost in the last ${
          minutes(recent.seconds)
        }: ` +
        "whoever reads them does not keep up",
      ]
      : []),
  ];
}

/** `5 min`, `20 s`. */
export function minutes(seconds: number): string {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
