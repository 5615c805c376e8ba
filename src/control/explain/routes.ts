// Which routes a request was tried with, and why each took it or not; and of the others whether it is the
// host or the path that kept them from being tried. All of it is policy/route.ts's word: those that were not
// tried are compiled once more with nothing but their hosts, and with nothing but their paths.
import { makePlan, NO_SIZES } from "../../plan/plan.ts";
import { route, type RouteRecorder, RouteVerdict } from "../../policy/route.ts";
import { type Head, Method } from "../../proto/head.ts";
import { arenaBytes, sys } from "../../sys/sys.ts";
import { ArenaWriter } from "../config/arena.ts";
import { quoted, shown } from "../config/errors.ts";
import type { Path } from "../config/finding.ts";
import { compileRoutes, type PathSpec, type RouteSpec } from "../config/routes.ts";
import { routeSpecs } from "../config/route_specs.ts";
import type { ListenerEntry } from "../directory.ts";
import { patternNumber } from "../patterns.ts";
import type { RouteCause, RouteView } from "./explanation.ts";
import { placeOf, type World } from "./world.ts";

/** Routes that are told with what spoke against them: the first, and the last, which may be the chosen one. */
const TRIED_MAX = 256;
/** Routes that are told without having been tried; more are counted. They are compiled for it. */
const UNTRIED_MAX = 64;

/** A request in the arena, as `route` takes it. */
export interface Routed {
  readonly head: Head;
  readonly pathAt: number;
  readonly pathEnd: number;
  readonly clientAt: number;
  /** For texts. */
  readonly method: string;
  readonly host: string;
  readonly path: string;
}

/** Remembers what was tried, in order: a route of several hosts may be tried for each, and says the same. */
export class Recorder implements RouteRecorder {
  readonly #seen = new Map<number, RouteVerdict>();

  tried(route: number, verdict: RouteVerdict): void {
    if (!this.#seen.has(route)) this.#seen.set(route, verdict);
  }

  get seen(): { readonly route: number; readonly verdict: RouteVerdict }[] {
    return [...this.#seen].map(([route, verdict]) => ({ route, verdict }));
  }
}

/** The routes of a listener: its specs in order, and which of them has which number. */
interface Routes {
  readonly specs: readonly RouteSpec[];
  readonly placeOf: ReadonlyMap<number, number>;
}

/** The routes of a listener as they were met. */
export function routeViews(
  world: World,
  entry: ListenerEntry,
  request: Routed,
  { seen }: Recorder,
): { views: RouteView[]; leftOut: number } {
  const { specs, placeOf: places } = routesOf(world, entry);
  const view = (at: number, tried: boolean, cause: RouteCause): RouteView => ({
    name: specs[at].name,
    ...placeOf(world, keyOf(world, entry, at)),
    tried,
    cause,
    text: causeText(cause, specs[at], request),
  });
  const few = seen.length <= TRIED_MAX ? seen : [...seen.slice(0, TRIED_MAX - 1), seen[seen.length - 1]];
  const tried = few.map(({ route, verdict }) => view(places.get(route)!, true, CAUSES[verdict]));
  const met = new Set(seen.map(({ route }) => places.get(route)!));
  const rest = specs.map((_, at) => at).filter((at) => !met.has(at));
  const told = rest.slice(0, UNTRIED_MAX);
  const fits = fitting(told.map((at) => specs[at]), request);
  const others = told.map((at, index) => view(at, false, untriedCause(fits, index)));
  return { views: [...tried, ...others], leftOut: specs.length - few.length - told.length };
}

const CAUSES: Readonly<Record<RouteVerdict, RouteCause>> = {
  [RouteVerdict.Chosen]: "chosen",
  [RouteVerdict.Pattern]: "pattern",
  [RouteVerdict.Regex]: "regex",
  [RouteVerdict.RegexLimit]: "regex_limit",
  [RouteVerdict.Method]: "method",
  [RouteVerdict.Header]: "header",
  [RouteVerdict.Query]: "query",
  [RouteVerdict.Cookie]: "cookie",
  [RouteVerdict.Client]: "client",
};

/** The key of the route that a number means, and its name as the access log has it; of a listener. */
export function routeKey(world: World, entry: ListenerEntry, route: number): { path: Path; name: string } {
  const { specs, placeOf: places } = routesOf(world, entry), at = places.get(route)!;
  return { path: keyOf(world, entry, at), name: specs[at].name };
}

function routesOf(world: World, { name }: ListenerEntry): Routes {
  const specs = routeSpecs(name, world.config.listeners[name], () => SOME_UPSTREAM);
  const atName = new Map(specs.map(({ name }, at) => [name, at])), placeOf = new Map<number, number>();
  for (const [route, routeName] of world.directory.routes) {
    const at = atName.get(routeName);
    if (at !== undefined) placeOf.set(route, at);
  }
  if (placeOf.size !== specs.length) throw new Error("explain: a route has no number");
  return { specs, placeOf };
}

const SOME_UPSTREAM = 1;

function keyOf({ config }: World, { name }: ListenerEntry, at: number): Path {
  const { routes } = config.listeners[name];
  return at < routes.length ? ["listeners", name, "routes", at] : ["listeners", name, "to"];
}

interface Fits {
  readonly host: ReadonlySet<number>;
  readonly path: ReadonlySet<number>;
}

function untriedCause({ host, path }: Fits, at: number): RouteCause {
  if (host.has(at)) return path.has(at) ? "later" : "path";
  return path.has(at) ? "host" : "host_and_path";
}

/** The routes whose host fits, and those whose path does, by their place in the list. */
function fitting(specs: readonly RouteSpec[], request: Routed): Fits {
  if (specs.length === 0) return { host: new Set(), path: new Set() };
  // With a method that is not the request's, every route that fits is tried, and none is chosen.
  const methods = [request.head.method === Method.Get ? "PUT" : "GET"];
  const bare = specs.map((spec): RouteSpec => ({
    ...spec,
    methods,
    headers: [],
    queries: [],
    cookies: [],
    clients: [],
    action: { kind: "upstream", upstream: SOME_UPSTREAM },
    rewrite: {},
    requestHeaders: NO_EDITS,
    responseHeaders: NO_EDITS,
    bodyBytesMax: 0,
  }));
  return {
    host: met(bare.map((spec) => ({ ...spec, path: { kind: "any" } })), request),
    path: met(bare.map((spec) => ({ ...spec, hosts: [] })), request),
  };
}

const NO_EDITS = { set: {}, add: {}, remove: [], rename: {} };

/** The places in the list of the routes that a request is tried with and that fit but for their method. */
function met(specs: readonly RouteSpec[], { head, pathAt, pathEnd, clientAt }: Routed): ReadonlySet<number> {
  const arena = new ArenaWriter();
  const compiled = compileRoutes([specs], arena, patternNumber);
  const plan = makePlan(0, { ...NO_SIZES, arenaBytes: arena.bytes, routing: compiled.sizes });
  arena.copyTo(plan.arena);
  compiled.fill(plan.routing);
  const recorder = new Recorder(), bytes = arenaBytes;
  const [router] = compiled.routers;
  route(plan, router, bytes, head, bytes, pathAt, pathEnd, bytes, clientAt, sys.pattern_match, recorder);
  return new Set(
    recorder.seen.filter(({ verdict }) => verdict === RouteVerdict.Method).map(({ route }) => route - 1),
  );
}

function causeText(cause: RouteCause, spec: RouteSpec, { method, host, path }: Routed): string {
  switch (cause) {
    case "chosen":
      return "takes the request";
    case "pattern":
      return `path ${shown(path)} is not ${pathText(spec.path)}`;
    case "regex":
      return `path ${shown(path)} is not ${pathText(spec.path)}`;
    case "regex_limit":
      return "its expression took too many steps on the path: no other route may be tried";
    case "method":
      return `method ${shown(method)} is not ${spec.methods.join(" or ")}`;
    case "header":
      return `not every field is there: ${
        spec.headers.map(([name, value]) => `${name}: ${quoted(value)}`).join(", ")
      }`;
    case "query":
      return `not every parameter is there: ${pairs(spec.queries)}`;
    case "cookie":
      return `not every cookie is there: ${pairs(spec.cookies)}`;
    case "client":
      return `the client is not in ${spec.clients.join(" or ")}`;
    case "host":
      return hostText(spec, host);
    case "path":
      return `path ${shown(path)} is not ${pathText(spec.path)}`;
    case "host_and_path":
      return `${hostText(spec, host)}, and path ${shown(path)} is not ${pathText(spec.path)}`;
    case "later":
      return "host and path fit; the one that was chosen goes before it";
  }
}

function pairs(named: readonly (readonly [string, string])[]): string {
  return named.map(([name, value]) => `${shown(name)}=${shown(value)}`).join(", ");
}

function hostText({ hosts }: RouteSpec, host: string): string {
  return `host ${host === "" ? "(none)" : shown(host)} is not ${hosts.join(" or ")}`;
}

function pathText(path: PathSpec): string {
  switch (path.kind) {
    case "any":
      return "any";
    case "exact":
      return shown(path.text);
    case "prefix":
      return `${shown(path.text)} or below`;
    case "pattern":
      return `of the form ${shown(path.text)}`;
    case "regex":
      return `one where ${shown(path.source)} is found`;
  }
}
