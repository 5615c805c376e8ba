// What /servers answers: the servers of every upstream, as /status has them, each with its upstream: filtered, sorted
// and cut to what was asked for.
import { type ConfigProblem, taken } from "./config/errors.ts";
import { type Range, readCount } from "./config/units.ts";
import type { Directory } from "./directory.ts";
import { type Given, type NameOf, noSuch, Parameters, readWord } from "./parameters.ts";
import { HEALTH, SERVER_COLUMNS, SERVER_PARAMETERS, SERVERS_SHOWN_MAX, STATES } from "./server_columns.ts";
import type { Sight } from "./sight.ts";
import { entries, serverOf } from "./status.ts";
import type { ServerStatus } from "./status_view.ts";

const SHOWN: Range = { min: 1, max: SERVERS_SHOWN_MAX };

export interface ServersQuery {
  /** Empty: all. */
  readonly upstreams: readonly string[];
  readonly servers: readonly string[];
  readonly health: readonly string[];
  readonly states: readonly string[];
  /** Undefined: as configured. */
  readonly sort: readonly [column: string, descending: boolean] | undefined;
  readonly limit: number;
}

export interface ServerView extends ServerStatus {
  readonly upstream: string;
}

export interface ServersAnswer {
  readonly at: string;
  readonly total: number;
  readonly matched: number;
  readonly shown: number;
  readonly truncated: boolean;
  readonly servers: readonly ServerView[];
}

/** Reads a query. `directory` undefined: names are taken as they are, since only the running process knows. */
export function readServersQuery(
  given: Iterable<Given>,
  directory: Directory | undefined,
  nameOf?: NameOf,
): ServersQuery | { problems: ConfigProblem[] } {
  const parameters = new Parameters(given, SERVER_PARAMETERS, nameOf);
  const known = (what: string, names: () => string[]) => (text: string) =>
    directory === undefined || names().includes(text) ? taken(text) : noSuch<string>(what, text, names());
  const query: ServersQuery = {
    upstreams: parameters.all("upstream", known("upstream", () => upstreamNames(directory!))),
    servers: parameters.all("server", known("server", () => serverNames(directory!))),
    health: parameters.all("health", (text) => readWord(text, HEALTH, "health")),
    states: parameters.all("state", (text) => readWord(text, STATES, "state")),
    sort: parameters.sort(SERVER_COLUMNS),
    limit: parameters.one("limit", (text) => readCount(text, SHOWN)) ?? SERVERS_SHOWN_MAX,
  };
  return parameters.problems.length > 0 ? { problems: parameters.problems } : query;
}

function upstreamNames(directory: Directory): string[] {
  return entries(directory.current.upstreams, directory.upstreams).map(({ name }) => name);
}

function serverNames(directory: Directory): string[] {
  return entries(directory.current.servers, directory.servers).flatMap(({ address, target }) => [
    address,
    target,
  ]);
}

export function answerServers(sight: Sight, query: ServersQuery): ServersAnswer {
  const { directory } = sight, { upstreams, servers, health, states, sort, limit } = query;
  const all = entries(directory.current.upstreams, directory.upstreams).flatMap(({ name, servers }) =>
    servers.flatMap((number) => directory.servers.get(number) ?? []).map((entry) => ({ name, entry }))
  );
  const matched = all.filter(({ name, entry: { address, target } }) =>
    (upstreams.length === 0 || upstreams.includes(name)) &&
    (servers.length === 0 || servers.includes(address) || servers.includes(target))
  ).map(({ name, entry }): ServerView => ({ upstream: name, ...serverOf(sight, entry) })).filter((server) =>
    (health.length === 0 || health.includes(server.health)) &&
    (states.length === 0 || statesOf(server).some((state) => states.includes(state)))
  );
  if (sort !== undefined) sortServers(matched, sort);
  const shown = matched.slice(0, limit);
  return {
    at: new Date().toISOString(),
    total: all.length,
    matched: matched.length,
    shown: shown.length,
    truncated: shown.length < matched.length,
    servers: shown,
  };
}

function statesOf(server: ServerStatus): (typeof STATES)[number][] {
  const { drained, disabled, weight, configured_weight, avoided_until, slow_start, full } = server;
  return [
    ...(drained ? ["drained" as const] : []),
    ...(disabled ? ["disabled" as const] : []),
    ...(weight === configured_weight ? [] : ["reweighted" as const]),
    ...(avoided_until === null ? [] : ["avoided" as const]),
    ...(slow_start === null ? [] : ["slow-start" as const]),
    ...(full ? ["full" as const] : []),
  ];
}

function sortServers(servers: ServerView[], [column, descending]: readonly [string, boolean]): void {
  const sign = descending ? -1 : 1, key = keyOf(column);
  servers.sort((one, other) => {
    const a = key(one), b = key(other);
    return a < b ? -sign : a > b ? sign : 0;
  });
}

function keyOf(column: string): (server: ServerView) => string | number {
  switch (column) {
    case "upstream":
      return ({ upstream }) => upstream;
    case "server":
      return ({ address }) => address;
    case "health":
      return ({ health }) => health;
    case "since":
      return ({ since }) => since ?? "";
    case "now":
      return ({ connections }) => connections.now;
    case "total":
      return ({ connections }) => connections.total;
    case "failed":
      return ({ connections }) => connections.failed;
    case "requests":
      return ({ requests }) => requests;
    case "up":
      return ({ bytes }) => bytes.up;
    case "down":
      return ({ bytes }) => bytes.down;
    default:
      return ({ bytes }) => bytes.up + bytes.down;
  }
}
