// RouteSpec -> the routing part of the Plan. What is wrong with a route is found by `routeFindings` before;
// compiling a route that has findings is our own bug. The order in which routes are tried is decided here,
// once (`compareRoutes`); policy/route.ts only follows it.
import { NONE } from "../../base/limits.ts";
import {
  Condition,
  Edit,
  OwnField,
  PathKind,
  RouteAction,
  type Routing,
  type RoutingSizes,
  TemplateFor,
} from "../../plan/routing.ts";
import { Forwarding } from "../../plan/plan.ts";
import { BODY_LOW } from "../../policy/route.ts";
import { Method } from "../../proto/head.ts";
import type { ArenaWriter } from "./arena.ts";
import { type Cidr, readCidr } from "./cidr.ts";
import { quoted, type Reading, refused } from "./errors.ts";
import type { Finding } from "./finding.ts";
import { CERTIFICATE_SHIFTS, FORWARDED_NAMES, FORWARDED_SHIFTS } from "./forwarding_schema.ts";
import { decodedText, type PathSpec, readRoutePath, type RoutePath } from "./route_paths.ts";
import { type HostRoutes, latin1, type PlacedRoute, RoutingTables } from "./route_tables.ts";
import { readTemplate, uriFlaw } from "./templates.ts";

export type { PathSpec } from "./route_paths.ts";

/** What becomes of the fields of a head. Values are templates. */
export interface HeaderEdits {
  readonly set: Readonly<Record<string, string>>;
  readonly add: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
  readonly rename: Readonly<Record<string, string>>;
}

export type ActionSpec =
  /** The number of an upstream. */
  | { readonly kind: "upstream"; readonly upstream: number }
  /** A template. */
  | { readonly kind: "redirect"; readonly to: string; readonly status: number }
  | { readonly kind: "respond"; readonly status: number; readonly body: string; readonly type?: string }
  | { readonly kind: "page"; readonly status: number };

type Named = readonly (readonly [name: string, value: string])[];

/** One route. */
export interface RouteSpec {
  /** For explain and logs: "web#2". */
  readonly name: string;
  /** In lower case; "*.b.example" is any depth below; none: any. */
  readonly hosts: readonly string[];
  readonly path: PathSpec;
  /** None: any. */
  readonly methods: readonly string[];
  /** All of these must be there with exactly these values. */
  readonly headers: Named;
  readonly queries: Named;
  readonly cookies: Named;
  /** Prefixes of addresses; none: any. */
  readonly clients: readonly string[];
  readonly action: ActionSpec;
  /** `path` and `host` are templates. */
  readonly rewrite: {
    readonly stripPrefix?: string;
    readonly addPrefix?: string;
    readonly path?: string;
    readonly host?: string;
  };
  readonly requestHeaders: HeaderEdits;
  readonly responseHeaders: HeaderEdits;
  /** 0: no limit. */
  readonly bodyBytesMax: number;
}

/** Routers and routes of one generation. */
export interface CompiledRoutes {
  /** For each list its router: lists that are the same object share one; an empty list has NONE. */
  readonly routers: readonly number[];
  /** By route number. */
  readonly names: ReadonlyMap<number, string>;
  readonly sizes: RoutingSizes;
  fill(routing: Routing): void;
}

/** Everything that is wrong with a route, by the keys of the file. `regexFlaw`: what PCRE2 says of an
 * expression. */
export function routeFindings(
  spec: RouteSpec,
  regexFlaw: (source: Uint8Array) => string | undefined = () => undefined,
): Finding[] {
  const findings: Finding[] = [];
  const check = (path: readonly string[], reading: Reading<unknown> | undefined): void => {
    if (reading === undefined || reading.ok) return;
    findings.push({ path, what: reading.what, remedy: reading.remedy, severity: "error" });
  };
  const path = readRoutePath(spec.path);
  check(["match", "path"], path);
  if (path.ok && path.value.kind === PathKind.Regex) {
    const flaw = regexFlaw(path.value.source);
    if (flaw !== undefined) {
      check(
        ["match", "path"],
        refused(`${quoted(latin1(path.value.source))}: ${flaw}`, "mend the expression"),
      );
    }
  }
  for (const client of spec.clients) check(["match", "client"], readCidr(client));
  if (!path.ok) return findings; // without its parts no template can be judged
  const { captures } = path.value;
  const { stripPrefix, addPrefix, ...templates } = spec.rewrite;
  if (stripPrefix !== undefined) check(["rewrite", "strip-prefix"], decodedText(stripPrefix));
  if (addPrefix !== undefined) check(["rewrite", "add-prefix"], readAddPrefix(addPrefix));
  const template = (at: readonly string[], text: string | undefined, kind: TemplateFor): void => {
    if (text !== undefined) check(at, readTemplate(text, kind, captures));
  };
  template(["rewrite", "path"], templates.path, TemplateFor.Path);
  template(["rewrite", "host"], templates.host, TemplateFor.Host);
  if (spec.action.kind === "redirect") template(["redirect", "to"], spec.action.to, TemplateFor.Location);
  for (
    const [where, edits] of [["request", spec.requestHeaders], ["response", spec.responseHeaders]] as const
  ) {
    for (const how of ["set", "add"] as const) {
      for (const [name, value] of Object.entries(edits[how])) {
        template(["headers", where, how, name], value, TemplateFor.FieldValue);
      }
    }
  }
  return findings;
}

function readAddPrefix(text: string): Reading<unknown> {
  const flaw = uriFlaw(text);
  return flaw ?? decodedText(text);
}

/** Compiles several lists of routes, one for each listener. Adds texts to `arena`; `regexOf` gives the number
 * of a compiled expression, `numberOf` that of a route: from 1 on, in the order of the lists, if not given. */
export function compileRoutes(
  lists: readonly (readonly RouteSpec[])[],
  arena: ArenaWriter,
  regexOf: (source: Uint8Array) => number,
  numberOf?: (spec: RouteSpec) => number,
): CompiledRoutes {
  const tables = new RoutingTables(arena);
  const routers = new Map<readonly RouteSpec[], number>();
  const names = new Map<number, string>();
  for (const list of lists) {
    if (routers.has(list)) continue;
    const ranked = rank(list);
    const ranks = new Map(ranked.map((route, index) => [route, index + 1]));
    const numbers = new Map<Ranked, number>();
    // Numbers in the order of the file, which people count by; ranks in the order of precedence.
    for (const route of [...ranked].sort((a, b) => a.order - b.order)) {
      const number = numberOf?.(route.spec) ?? names.size + 1;
      addRoute(tables, number, route, ranks.get(route)!, regexOf);
      numbers.set(route, number);
      names.set(number, route.spec.name);
    }
    routers.set(list, list.length === 0 ? NONE : addRouter(tables, ranked, numbers));
  }
  return {
    routers: lists.map((list) => routers.get(list)!),
    names,
    sizes: tables.sizes,
    fill: (routing) => tables.fill(routing),
  };
}

/** A route, read, with its place in the file. */
interface Ranked {
  readonly spec: RouteSpec;
  readonly path: RoutePath;
  readonly order: number;
  readonly conditions: number;
}

/** The routes of a list, first the one that is tried first; hosts do not count, a scope has one. */
function rank(list: readonly RouteSpec[]): Ranked[] {
  const routes = list.map((spec, order): Ranked => {
    const path = readRoutePath(spec.path);
    if (!path.ok) throw new Error(`routes: ${spec.name}: ${path.what}`);
    const { methods, headers, queries, cookies, clients } = spec;
    const conditions = headers.length + queries.length + cookies.length + Math.min(methods.length, 1) +
      Math.min(clients.length, 1);
    return { spec, path: path.value, order, conditions };
  });
  return routes.sort(compareRoutes);
}

/** Precedence within a host: the more specific path, then more conditions, then the order of the file. */
function compareRoutes(a: Ranked, b: Ranked): number {
  return comparePaths(a.path, b.path) || b.conditions - a.conditions || a.order - b.order;
}

/**
 * Exact; then what begins with the longer text, where a pattern comes before a prefix, and of two patterns
 * the one with more text, then the one whose parts are all segments; then expressions; then any.
 */
function comparePaths(a: RoutePath, b: RoutePath): number {
  const one = pathClass(a), other = pathClass(b);
  if (one !== other || one !== CLASS_TEXT) return one - other;
  return b.text.length - a.text.length ||
    Number(a.kind === PathKind.Prefix) - Number(b.kind === PathKind.Prefix) ||
    textBytes(b) - textBytes(a) || rests(a) - rests(b);
}

const CLASS_TEXT = 1;

function pathClass({ kind }: RoutePath): number {
  switch (kind) {
    case PathKind.Exact:
      return 0;
    case PathKind.Regex:
      return 2;
    case PathKind.Any:
      return 3;
    default:
      return CLASS_TEXT;
  }
}

function textBytes({ text, parts }: RoutePath): number {
  return parts.reduce((sum, part) => sum + part.text.length, text.length);
}

function rests({ parts }: RoutePath): number {
  return parts.filter(({ rest }) => rest).length;
}

function addRouter(
  tables: RoutingTables,
  ranked: readonly Ranked[],
  numbers: ReadonlyMap<Ranked, number>,
): number {
  const hosts = new Map<string, { host: string; exact: PlacedRoute[]; wild: PlacedRoute[] }>();
  const any: PlacedRoute[] = [];
  for (const route of ranked) {
    const placed = { number: numbers.get(route)!, path: route.path };
    if (route.spec.hosts.length === 0) any.push(placed);
    for (const name of new Set(route.spec.hosts)) {
      const wild = name.startsWith("*."), host = wild ? name.slice(2) : name;
      const row = hosts.get(host) ?? { host, exact: [], wild: [] };
      hosts.set(host, row);
      row[wild ? "wild" : "exact"].push(placed);
    }
  }
  return tables.addRouter([...hosts.values()] satisfies HostRoutes[], any);
}

function addRoute(
  tables: RoutingTables,
  number: number,
  { spec, path }: Ranked,
  rank: number,
  regexOf: (source: Uint8Array) => number,
): void {
  const { action, rewrite, bodyBytesMax } = spec;
  const { methods, first: conditionFirst, count: conditionCount } = addConditions(tables, spec);
  const partFirst = tables.rows("parts");
  for (const part of path.parts) {
    tables.add("parts", {
      partRest: part.rest ? 1 : 0,
      partTextAt: tables.text(part.text),
      partTextBytes: part.text.length,
      partTailBytes: part.tailBytes,
    });
  }
  const template = (text: string | undefined, kind: TemplateFor): number =>
    text === undefined ? NONE : addTemplate(tables, spec.name, text, kind, path.captures);
  const request = addEdits(tables, spec.requestHeaders, template);
  const answer = addEdits(tables, spec.responseHeaders, template);
  const strip = withoutLastSlash(rewrite.stripPrefix, (text) => taken(decodedText(text), spec.name));
  const add = withoutLastSlash(rewrite.addPrefix, encoded);
  const body = action.kind === "respond" ? encoded(action.body) : NOTHING;
  const type = action.kind === "respond" ? encoded(action.type ?? "") : NOTHING;
  tables.put("routes", number, {
    routeRank: rank,
    routePath: path.kind,
    routePathBytes: path.text.length,
    routeRegex: path.kind === PathKind.Regex ? regexOf(path.source) : NONE,
    routePartFirst: partFirst,
    routePartCount: path.parts.length,
    routeMethods: methods,
    routeConditionFirst: conditionFirst,
    routeConditionCount: conditionCount,
    routeAction: actionOf(action),
    routeUpstream: action.kind === "upstream" ? action.upstream : NONE,
    routeStatus: action.kind === "upstream" ? 0 : action.status,
    routeLocation: template(action.kind === "redirect" ? action.to : undefined, TemplateFor.Location),
    routeBodyAt: tables.text(body),
    routeBodyBytes: body.length,
    routeTypeAt: tables.text(type),
    routeTypeBytes: type.length,
    routeStripAt: tables.text(strip),
    routeStripBytes: strip.length,
    routeAddAt: tables.text(add),
    routeAddBytes: add.length,
    routePathTemplate: template(rewrite.path, TemplateFor.Path),
    routeHostTemplate: template(rewrite.host, TemplateFor.Host),
    routeOwnOff: ownOff(spec.responseHeaders),
    routeForwardedOff: forwardedOff(spec.requestHeaders),
    routeRequestEditFirst: request.first,
    routeRequestEditCount: request.count,
    routeAnswerEditFirst: answer.first,
    routeAnswerEditCount: answer.count,
    routeBodyMaxLow: bodyBytesMax % BODY_LOW,
    routeBodyMaxHigh: Math.floor(bodyBytesMax / BODY_LOW),
  });
}

const NOTHING = new Uint8Array();

function encoded(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** What a reading must give, since its text was checked. */
function taken<T>(reading: Reading<T>, name: string): T {
  if (!reading.ok) throw new Error(`routes: ${name}: ${reading.what}`);
  return reading.value;
}

function withoutLastSlash(text: string | undefined, read: (text: string) => Uint8Array): Uint8Array {
  if (text === undefined) return NOTHING;
  const bytes = read(text);
  return bytes.at(-1) === 0x2f ? bytes.slice(0, -1) : bytes;
}

function actionOf({ kind }: ActionSpec): RouteAction {
  switch (kind) {
    case "upstream":
      return RouteAction.Upstream;
    case "redirect":
      return RouteAction.Redirect;
    case "respond":
      return RouteAction.Respond;
    case "page":
      return RouteAction.Page;
  }
}

const METHODS: Readonly<Record<string, Method>> = {
  GET: Method.Get,
  HEAD: Method.Head,
  POST: Method.Post,
  PUT: Method.Put,
  DELETE: Method.Delete,
  CONNECT: Method.Connect,
  OPTIONS: Method.Options,
  TRACE: Method.Trace,
  PATCH: Method.Patch,
};

function addConditions(
  tables: RoutingTables,
  { name, methods, headers, queries, cookies, clients }: RouteSpec,
): { methods: number; first: number; count: number } {
  const first = tables.rows("conditions");
  let bits = 0;
  const add = (conditionKind: Condition, nameBytes: Uint8Array, value: Uint8Array): void => {
    tables.add("conditions", {
      conditionKind,
      conditionNameAt: tables.text(nameBytes),
      conditionNameBytes: nameBytes.length,
      conditionValueAt: tables.text(value),
      conditionValueBytes: value.length,
    });
  };
  for (const method of methods) {
    bits |= 1 << (Object.hasOwn(METHODS, method) ? METHODS[method] : Method.Other);
    if (!Object.hasOwn(METHODS, method)) add(Condition.Method, encoded(method), NOTHING);
  }
  for (const [header, value] of headers) add(Condition.Header, encoded(header.toLowerCase()), encoded(value));
  for (const [query, value] of queries) add(Condition.Query, encoded(query), encoded(value));
  for (const [cookie, value] of cookies) add(Condition.Cookie, encoded(cookie), encoded(value));
  for (const client of clients) add(Condition.Client, prefixRecord(taken(readCidr(client), name)), NOTHING);
  return { methods: bits, first, count: tables.rows("conditions") - first };
}

/** As Condition.Client has it. */
function prefixRecord({ family, bits, ip }: Cidr): Uint8Array {
  const record = new Uint8Array(PREFIX_BYTES);
  record[0] = family;
  record[1] = bits;
  record.set(ip, 4);
  return record;
}

const PREFIX_BYTES = 20;

function addEdits(
  tables: RoutingTables,
  { set, add, remove, rename }: HeaderEdits,
  template: (text: string, kind: TemplateFor) => number,
): { first: number; count: number } {
  const first = tables.rows("edits");
  const put = (editKind: Edit, name: string, editTemplate: number, to: string): void => {
    tables.add("edits", {
      editKind,
      editNameAt: tables.text(encoded(name)),
      editNameBytes: name.length,
      editTemplate,
      editToAt: tables.text(encoded(to)),
      editToBytes: to.length,
    });
  };
  for (const name of remove) put(Edit.Remove, name, NONE, "");
  for (const [name, to] of Object.entries(rename)) put(Edit.Rename, name, NONE, to);
  for (const [name, value] of Object.entries(set)) {
    put(Edit.Set, name, template(value, TemplateFor.FieldValue), "");
  }
  for (const [name, value] of Object.entries(add)) {
    put(Edit.Add, name, template(value, TemplateFor.FieldValue), "");
  }
  return { first, count: tables.rows("edits") - first };
}

/** The same of answers that we make. */
function ownOff({ set, add, remove, rename }: HeaderEdits): number {
  const names = new Set([...Object.keys(set), ...remove].map((name) => name.toLowerCase()));
  // Of two, a browser looks at the first alone (RFC 6797 section 8.1): what a route adds is not to be behind ours.
  const added = [...Object.keys(add), ...Object.values(rename)].map((name) => name.toLowerCase());
  const transport = [...names, ...added].includes("strict-transport-security");
  return (transport ? OwnField.StrictTransport : 0) |
    (names.has("date") ? OwnField.Date : 0) | (names.has("content-type") ? OwnField.ContentType : 0) |
    (names.has("location") ? OwnField.Location : 0);
}

/** What a route sets, removes or makes of another field is not ours to say besides. */
function forwardedOff({ set, remove, rename }: HeaderEdits): number {
  const names = new Set(
    [...Object.keys(set), ...remove, ...Object.values(rename)].map((name) => name.toLowerCase()),
  );
  const shifts = [
    ...FORWARDED_NAMES.filter((name) => names.has(name)).map((name) => FORWARDED_SHIFTS[name]),
    ...Object.keys(CERTIFICATE_SHIFTS).filter((name) => names.has(name)).map((name) =>
      CERTIFICATE_SHIFTS[name]
    ),
  ];
  return shifts.reduce<number>((bits, shift) => bits | Forwarding.Off << shift, 0);
}

function addTemplate(
  tables: RoutingTables,
  name: string,
  text: string,
  templateFor: TemplateFor,
  captures: readonly string[],
): number {
  const ops = taken(readTemplate(text, templateFor, captures), name);
  const templateOpFirst = tables.rows("ops");
  for (const { op, bytes, which, strict } of ops) {
    tables.add("ops", {
      opKind: op,
      opAt: bytes.length > 0 ? tables.text(bytes) : which,
      opBytes: bytes.length,
      opStrict: strict ? 1 : 0,
    });
  }
  return tables.add("templates", { templateFor, templateOpFirst, templateOpCount: ops.length });
}

/** A route that no request can reach, because others match the same before it. */
export interface Shadowed {
  readonly route: string;
  readonly by: string;
}

/** Routes of a list that never get a request: hosts, path and conditions are those of routes before them. */
export function shadowedRoutes(list: readonly RouteSpec[]): Shadowed[] {
  /** By host, path and conditions but the methods: who takes which method, "" standing for any. */
  const takers = new Map<string, Map<string, string>>();
  const shadowed: Shadowed[] = [];
  for (const { spec, path } of rank(list)) {
    const hosts = spec.hosts.length === 0 ? [""] : spec.hosts;
    const methods = spec.methods.length === 0 ? [""] : spec.methods;
    let by: string | undefined, reached = false;
    for (const host of hosts) {
      const key = JSON.stringify([host, pathKey(path), conditionsKey(spec)]);
      const taken = takers.get(key) ?? new Map<string, string>();
      takers.set(key, taken);
      for (const method of methods) {
        const first = taken.get(method) ?? taken.get("");
        if (first === undefined) taken.set(method, spec.name);
        reached ||= first === undefined;
        by ??= first;
      }
    }
    if (!reached && by !== undefined) shadowed.push({ route: spec.name, by });
  }
  return shadowed;
}

/** The same for paths that match the same: the names of parts do not count. */
function pathKey({ kind, text, parts, source }: RoutePath): unknown {
  return [kind, latin1(text), latin1(source), parts.map((part) => [part.rest, latin1(part.text)])];
}

function conditionsKey({ headers, queries, cookies, clients, name }: RouteSpec): unknown {
  const sorted = (pairs: Named): string[] => pairs.map((pair) => JSON.stringify(pair)).sort();
  return [
    sorted(headers.map(([header, value]) => [header.toLowerCase(), value])),
    sorted(queries),
    sorted(cookies),
    clients.map((client) => taken(readCidr(client), name).text).sort(),
  ];
}
