// The routes of a listener in the form that is compiled, its `to` the last of them; and what is wrong with
// them beyond what the schema sees: patterns, templates, routes that no request reaches.
import type { Finding, Path } from "./finding.ts";
import type { Route } from "./route_schema.ts";
import { routeWarnings } from "./route_warnings.ts";
import { type HeaderEdits, routeFindings, type RouteSpec, shadowedRoutes } from "./routes.ts";
import { pathText } from "./file.ts";
import type { Config } from "./schema.ts";

type Listener = Config["listeners"][string];

const NO_EDITS: HeaderEdits = { set: {}, add: {}, remove: [], rename: {} };
/** Stands for every upstream where only the routes are looked at. */
const ANY_UPSTREAM = 1;

/** The routes of a listener, in the order of the file; none for a listener that has only `to`.
 * @param numberOf the number of an upstream, by name */
export function routeSpecs(
  name: string,
  listener: Listener,
  numberOf: (upstream: string) => number,
): RouteSpec[] {
  if (listener.routes.length === 0) return [];
  const specs = listener.routes.map((route, at) => specOf(routeName(name, at), route, numberOf));
  if (listener.to === undefined) return specs;
  const action = { kind: "upstream", upstream: numberOf(listener.to) } as const;
  return [...specs, { ...CATCH_ALL, name, action }];
}

const CATCH_ALL: Omit<RouteSpec, "name" | "action"> = {
  hosts: [],
  path: { kind: "any" },
  methods: [],
  headers: [],
  queries: [],
  cookies: [],
  clients: [],
  rewrite: {},
  requestHeaders: NO_EDITS,
  responseHeaders: NO_EDITS,
  bodyBytesMax: 0,
};

/** What logs call a route; counted from 1, as people do. */
function routeName(listener: string, at: number): string {
  return `${listener}#${at + 1}`;
}

/** Gives each route its number, which it keeps for as long as its listener has a route that asks the same of requests:
 * where it stands in the file, and what it does with them, may change. */
export function routeNumbers(take: (key: string) => number): (listener: string, spec: RouteSpec) => number {
  const known = new Map<string, number>();
  return (listener, { hosts, path, methods, headers, queries, cookies, clients }) => {
    const asked = JSON.stringify([hosts, path, methods, headers, queries, cookies, clients]);
    const key = `${listener}\n${asked}`, nth = (known.get(key) ?? 0) + 1;
    known.set(key, nth);
    return take(`${key}\n${nth}`);
  };
}

function specOf(name: string, route: Route, numberOf: (upstream: string) => number): RouteSpec {
  const { match, rewrite, headers, action } = route;
  return {
    name,
    hosts: match.host,
    path: match.path ?? { kind: "any" },
    methods: match.method,
    headers: Object.entries(match.header),
    queries: Object.entries(match.query),
    cookies: Object.entries(match.cookie),
    clients: match.client.map(({ text }) => text),
    action: action.kind === "upstream" ? { kind: "upstream", upstream: numberOf(action.to) } : action,
    rewrite: {
      stripPrefix: rewrite["strip-prefix"],
      addPrefix: rewrite["add-prefix"],
      path: rewrite.path,
      host: rewrite.host,
    },
    requestHeaders: headers.request,
    responseHeaders: headers.response,
    bodyBytesMax: route["body-max"],
  };
}

/** What is wrong with the routes of every listener; `raw` is what `config` was made of. */
export function checkRoutes(config: Config, raw: unknown): Finding[] {
  return Object.entries(config.listeners).flatMap(([name, listener]) => {
    if (listener.bind[0].protocol !== "http") return []; // has none, which protocols.ts says
    const specs = routeSpecs(name, listener, () => ANY_UPSTREAM);
    const base = ["listeners", name];
    const placeOf = (at: number): Path =>
      at < listener.routes.length ? [...base, "routes", at] : [...base, "to"];
    const findings = specs.flatMap((spec, at) =>
      routeFindings(spec).map((finding) => ({ ...finding, path: [...placeOf(at), ...finding.path] }))
    );
    if (findings.length > 0) return findings;
    const odd = listener.routes.flatMap((route, at) => routeWarnings(route, placeOf(at), raw));
    return [...odd, ...unreached(specs, placeOf)];
  });
}

function unreached(specs: readonly RouteSpec[], placeOf: (at: number) => Path): Finding[] {
  const places = new Map(specs.map(({ name }, at) => [name, placeOf(at)]));
  return shadowedRoutes(specs).map(({ route, by }) => ({
    path: places.get(route)!,
    what: `no request comes here: ${pathText(places.get(by)!)} takes the same ones before`,
    remedy: "leave one of them out",
    severity: "warning",
  }));
}
