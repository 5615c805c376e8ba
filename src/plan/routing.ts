// The part of the Plan that routes: routers, the routes they choose from, and the templates that routes
// write with. Flat columns like the rest of the Plan, in an object of their own: a router looks at two
// dozen of them for a request, and small objects stay fast. Filled by control/config/routes.ts, read by
// policy/route.ts and policy/template.ts. Row 0 of every table is nobody.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import type { Part, Sizes } from "./part.ts";

/** Fields of answers that we make. */
export const enum OwnField {
  Date = 1,
  ContentType = 2,
  Location = 4,
  StrictTransport = 8,
}

/** How a route tells its paths. */
export const enum PathKind {
  Any,
  Exact,
  Prefix,
  Pattern,
  Regex,
}

export const enum RouteAction {
  Upstream = 1,
  Redirect,
  Respond,
  /** An error page: the listener's own or Sluice's, in the form that the client asks for. */
  Page,
}

/** What a request must have besides its host and path. Of the conditions Method and Client one must hold, of
 * the others each. */
export const enum Condition {
  /** A method that is not in enum Method, by name. */
  Method = 1,
  Header,
  Query,
  Cookie,
  /** Name: a record of [0] family, [1] bits of the prefix, [4..19] IP. */
  Client,
}

/** What is done to fields, in this order: what is added or set is not removed or renamed again. */
export const enum Edit {
  Remove = 1,
  Rename,
  Set,
  Add,
}

/** Where a template is written, which decides how what came from a client is encoded. */
export const enum TemplateFor {
  FieldValue = 1,
  Path,
  Location,
  Host,
}

/** One operation of a template. */
export const enum Op {
  Literal = 1,
  Host,
  Path,
  Query,
  Scheme,
  ClientIp,
  Method,
  RequestId,
  Port,
  /** Of the client's TLS; opAt: which (TlsFact in sys/symbols.ts). */
  Session,
  /** opAt: which. */
  Capture,
}

/** Integers of a node: text, lists of routes whose text ends here, children by their first byte. */
export const enum NodeAt {
  TextAt,
  TextBytes,
  Exact,
  Prefix,
  Pattern,
  /** The lowest first byte of a child. */
  Low,
  /** nodeChild[First .. First + Span), by first byte - Low. */
  Span,
  First,
  Length,
}

/** Parts of a pattern that have a name. */
export const CAPTURES_MAX = 16;

/** Lists that one path can meet on its way down a tree: two at each octet of the longest path that a route may
 * have (2,048), and those at its end. */
export const NESTED_MAX = 4_104;

const TABLES = [
  "routers",
  "routes",
  "hosts",
  "scopes",
  "nodes",
  "children",
  "listed",
  "parts",
  "conditions",
  "edits",
  "templates",
  "ops",
] as const;
export type RoutingTable = (typeof TABLES)[number];
export type RoutingSizes = Sizes<RoutingTable>;

/** Column -> the table whose rows it has. All are int32. */
export const ROUTING_COLUMNS = {
  // A router: a hash table of hosts, and the scope of what names no host.
  routerHostFirst: "routers", // hosts[first .. first + mask]
  routerHostMask: "routers", // size of the table - 1, a power of two; -1: no route names a host
  routerWildcards: "routers", // 1: some host is a wildcard
  routerAny: "routers",
  // A host in lower case; textAt 0: an empty place. Its scope, and the scope of everything below it.
  hostTextAt: "hosts",
  hostTextBytes: "hosts",
  hostExact: "hosts",
  hostWild: "hosts",
  // A scope, the routes of one host: a tree of paths, and lists of what no tree can order.
  scopeNode: "scopes",
  scopeRegex: "scopes",
  scopeAny: "scopes",
  // Nodes of radix trees, NodeAt.Length integers each: one line of the cache where columns would be eight.
  // A node's number is where its row begins.
  node: "nodes",
  nodeChild: "children", // NONE: nothing begins with that byte
  // Lists: routes by rank, ended by NONE. List 0 is the empty one.
  listRoute: "listed",

  routeNameAt: "routes", // as the access log has it
  routeNameBytes: "routes",
  routeRank: "routes", // lower is tried first, within a scope
  routePath: "routes", // PathKind
  routePathBytes: "routes", // the text before the first named part, or the whole
  routeRegex: "routes", // a compiled expression
  routePartFirst: "routes",
  routePartCount: "routes",
  routeMethods: "routes", // bits by Method; 0: any
  routeConditionFirst: "routes",
  routeConditionCount: "routes",
  routeAction: "routes", // RouteAction
  routeUpstream: "routes",
  routeStatus: "routes",
  routeLocation: "routes", // a template
  routeBodyAt: "routes",
  routeBodyBytes: "routes",
  routeTypeAt: "routes", // Content-Type; NONE: not given
  routeTypeBytes: "routes",
  routeStripAt: "routes", // without a last slash
  routeStripBytes: "routes",
  routeAddAt: "routes", // without a last slash
  routeAddBytes: "routes",
  routePathTemplate: "routes",
  routeHostTemplate: "routes",
  routeOwnOff: "routes", // OwnField bits: what its edits set or remove of answers that we make
  routeForwardedOff: "routes", // what the edits set themselves: as in listenerForwarded, Off for each
  routeRequestEditFirst: "routes",
  routeRequestEditCount: "routes",
  routeAnswerEditFirst: "routes",
  routeAnswerEditCount: "routes",
  routeBodyMaxLow: "routes", // see bodyBytesMax; both 0: no limit
  routeBodyMaxHigh: "routes",

  // A named part of a pattern with the text behind it, of which the first bytes are of the same segment.
  partRest: "parts", // 1: the part is all that is left
  partTextAt: "parts",
  partTextBytes: "parts",
  partTailBytes: "parts",

  conditionKind: "conditions", // Condition
  conditionNameAt: "conditions", // headers: in lower case
  conditionNameBytes: "conditions",
  conditionValueAt: "conditions",
  conditionValueBytes: "conditions",

  editKind: "edits", // Edit
  editNameAt: "edits", // as it was spelled
  editNameBytes: "edits",
  editTemplate: "edits", // Set and Add
  editToAt: "edits", // Rename
  editToBytes: "edits",

  templateFor: "templates", // TemplateFor
  templateOpFirst: "templates",
  templateOpCount: "templates",
  opKind: "ops", // Op
  opAt: "ops",
  opBytes: "ops",
  opStrict: "ops", // 1: in a query or an authority, where only unreserved characters are harmless
} as const satisfies Record<string, RoutingTable>;
export type RoutingColumn = keyof typeof ROUTING_COLUMNS;

export type Routing = Part<RoutingTable, RoutingColumn>;
export const ROUTING = { tables: TABLES, columns: ROUTING_COLUMNS };

const NAMES = Object.keys(ROUTING_COLUMNS) as RoutingColumn[];

/** What must hold of the routing part of any Plan before it is published. */
export function checkRouting(routing: Routing, upstreams: number, arenaBytes: number): void {
  const { sizes } = routing;
  for (const name of NAMES) {
    if (!name.endsWith("At") || name === "opAt") continue;
    const at: Int32Array = routing[name];
    const bytes: Int32Array = routing[name.slice(0, -2) + "Bytes" as RoutingColumn];
    for (let row = 0; row < at.length; row++) {
      assert(at[row] >= 0 && bytes[row] >= 0, "plan: a text of the routes is out of range");
      assert(at[row] + bytes[row] <= arenaBytes, "plan: a text of the routes is out of range");
    }
  }
  inRange(routing.routerAny, sizes.scopes);
  inRange(routing.hostExact, sizes.scopes);
  inRange(routing.hostWild, sizes.scopes);
  inRange(routing.scopeNode, sizes.nodes);
  inRange(routing.scopeRegex, sizes.listed);
  inRange(routing.scopeAny, sizes.listed);
  inRange(routing.nodeChild, sizes.nodes);
  inRange(routing.listRoute, sizes.routes);
  inRange(routing.routeUpstream, upstreams);
  inRange(routing.routeLocation, sizes.templates);
  inRange(routing.routePathTemplate, sizes.templates);
  inRange(routing.routeHostTemplate, sizes.templates);
  inRange(routing.editTemplate, sizes.templates);
  fits(routing.routePartFirst, routing.routePartCount, sizes.parts);
  fits(routing.routeConditionFirst, routing.routeConditionCount, sizes.conditions);
  fits(routing.routeRequestEditFirst, routing.routeRequestEditCount, sizes.edits);
  fits(routing.routeAnswerEditFirst, routing.routeAnswerEditCount, sizes.edits);
  fits(routing.templateOpFirst, routing.templateOpCount, sizes.ops);
  for (let node: number = NodeAt.Length; node < sizes.nodes; node += NodeAt.Length) {
    checkNode(routing, node, arenaBytes);
  }
  for (let router = 1; router < sizes.routers; router++) {
    const mask = routing.routerHostMask[router];
    assert(mask >= -1 && (mask & (mask + 1)) === 0, "plan: a table of hosts is no power of two");
    assert(routing.routerHostFirst[router] + mask < sizes.hosts, "plan: a table of hosts is out of range");
  }
  const { listRoute } = routing;
  assert(
    listRoute.length === 0 || listRoute[listRoute.length - 1] === NONE,
    "plan: a list of routes has no end",
  );
}

function checkNode({ node: nodes, sizes }: Routing, node: number, arenaBytes: number): void {
  assert(
    nodes[node + NodeAt.TextAt] + nodes[node + NodeAt.TextBytes] <= arenaBytes,
    "plan: a node's text is out of range",
  );
  assert(
    nodes[node + NodeAt.Exact] < sizes.listed && nodes[node + NodeAt.Prefix] < sizes.listed &&
      nodes[node + NodeAt.Pattern] < sizes.listed,
    "plan: a node names a list that is not there",
  );
  assert(
    nodes[node + NodeAt.First] + nodes[node + NodeAt.Span] <= sizes.children,
    "plan: a node's children are out of range",
  );
}

function inRange(column: Int32Array, rows: number): void {
  for (const row of column) {
    assert(row >= NONE && row < Math.max(rows, 1), "plan: the routes name a row out of range");
  }
}

function fits(first: Int32Array, count: Int32Array, rows: number): void {
  for (let row = 0; row < first.length; row++) {
    assert(first[row] >= 0 && count[row] >= 0, "plan: rows of the routes are out of range");
    assert(first[row] + count[row] <= rows, "plan: rows of the routes are out of range");
  }
}
