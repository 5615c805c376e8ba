// The tables of the routing part of a Plan while they grow (plan/routing.ts): rows of columns, texts in the
// arena, and the shapes that a router looks things up in: hash tables of hosts, trees of paths, lists of
// routes.
import { assert } from "../../base/assert.ts";
import { NONE } from "../../base/limits.ts";
import {
  NESTED_MAX,
  NodeAt,
  PathKind,
  type Routing,
  ROUTING_COLUMNS,
  type RoutingColumn,
  type RoutingSizes,
  type RoutingTable,
} from "../../plan/routing.ts";
import { hostHash, hostPlace } from "../../policy/route.ts";
import type { ArenaWriter } from "./arena.ts";
import type { RoutePath } from "./route_paths.ts";

/** The columns of a table. */
type Columns<T extends RoutingTable> = {
  [K in RoutingColumn]: (typeof ROUTING_COLUMNS)[K] extends T ? K : never;
}[RoutingColumn];
type Row<T extends RoutingTable> = { readonly [K in Columns<T>]?: number };

const NAMES = Object.keys(ROUTING_COLUMNS) as RoutingColumn[];

/** A route as tables see it. */
export interface PlacedRoute {
  readonly number: number;
  readonly path: RoutePath;
}

/** The routes of one host, the most specific first, and of everything below it. */
export interface HostRoutes {
  readonly host: string;
  readonly exact: readonly PlacedRoute[];
  readonly wild: readonly PlacedRoute[];
}

/** All routing tables, row 0 of each nobody's. */
export class RoutingTables {
  readonly #arena: ArenaWriter;
  readonly #columns = Object.fromEntries(NAMES.map((name) => [name, [0]])) as Record<RoutingColumn, number[]>;
  readonly #texts = new Map<string, number>();
  /** By the numbers of their routes: hosts with the same routes share a scope, and a list is there once. */
  readonly #scopes = new Map<string, number>();
  readonly #lists = new Map<string, number>();

  constructor(arena: ArenaWriter) {
    this.#arena = arena;
    while (this.#columns.node.length < NodeAt.Length) this.#columns.node.push(0);
  }

  /** Adds a row; returns its number. */
  add<T extends RoutingTable>(table: T, row: Row<T>): number {
    let number = 0;
    for (const name of NAMES) {
      if (ROUTING_COLUMNS[name] !== table) continue;
      number = this.#columns[name].push((row as Partial<Record<RoutingColumn, number>>)[name] ?? 0) - 1;
    }
    return number;
  }

  /** Writes the row of that number; those before it that nobody writes are nobody's. */
  put<T extends RoutingTable>(table: T, number: number, row: Row<T>): void {
    while (this.rows(table) <= number) this.add(table, {});
    for (const [name, value] of Object.entries(row)) this.set(name as RoutingColumn, number, value as number);
  }

  set(name: RoutingColumn, row: number, value: number): void {
    this.#columns[name][row] = value;
  }

  /** Rows of a table so far: the number of the next. */
  rows(table: RoutingTable): number {
    return this.#columns[NAMES.find((name) => ROUTING_COLUMNS[name] === table)!].length;
  }

  /** The offset of a text in the arena, where each is once. */
  text(bytes: Uint8Array): number {
    const key = latin1(bytes);
    const at = this.#texts.get(key) ?? this.#arena.add(bytes);
    this.#texts.set(key, at);
    return at;
  }

  get sizes(): RoutingSizes {
    return Object.fromEntries(
      NAMES.map((name) => [ROUTING_COLUMNS[name], this.#columns[name].length]),
    ) as Record<RoutingTable, number>;
  }

  fill(routing: Routing): void {
    for (const name of NAMES) routing[name].set(this.#columns[name]);
  }

  /** A router's row, from its hosts. */
  addRouter(hosts: readonly HostRoutes[], any: readonly PlacedRoute[]): number {
    let size = 1;
    while (size < 2 * hosts.length) size *= 2;
    const first = this.rows("hosts"), mask = hosts.length === 0 ? -1 : size - 1;
    for (let place = 0; place <= mask; place++) this.add("hosts", {});
    for (const { host, exact, wild } of hosts) {
      const bytes = new TextEncoder().encode(host);
      let place = hostPlace(hostHash(bytes, 0, bytes.length), mask);
      while (this.#columns.hostTextAt[first + place] !== NONE) place = (place + 1) & mask;
      this.set("hostTextAt", first + place, this.text(bytes));
      this.set("hostTextBytes", first + place, bytes.length);
      this.set("hostExact", first + place, this.#scope(exact));
      this.set("hostWild", first + place, this.#scope(wild));
    }
    return this.add("routers", {
      routerHostFirst: first,
      routerHostMask: mask,
      routerWildcards: hosts.some(({ wild }) => wild.length > 0) ? 1 : 0,
      routerAny: this.#scope(any),
    });
  }

  #scope(routes: readonly PlacedRoute[]): number {
    if (routes.length === 0) return NONE;
    const key = routes.map(({ number }) => number).join();
    const known = this.#scopes.get(key);
    if (known !== undefined) return known;
    const leads = new Map<string, Lead>();
    const regex: number[] = [], any: number[] = [];
    for (const { number, path } of routes) {
      if (path.kind === PathKind.Regex) regex.push(number);
      else if (path.kind === PathKind.Any) any.push(number);
      else {
        const text = latin1(path.text);
        const lead = leads.get(text) ?? { text, exact: [], prefix: [], pattern: [] };
        leads.set(text, lead);
        const kind = path.kind === PathKind.Exact
          ? "exact"
          : path.kind === PathKind.Prefix
          ? "prefix"
          : "pattern";
        lead[kind].push(number);
      }
    }
    const sorted = [...leads.values()].sort((a, b) => a.text < b.text ? -1 : 1);
    const scope = this.add("scopes", {
      scopeNode: sorted.length === 0 ? NONE : this.#node(sorted, 0, sorted.length, 0, 0),
      scopeRegex: this.#list(regex),
      scopeAny: this.#list(any),
    });
    this.#scopes.set(key, scope);
    return scope;
  }

  /** The node of the leads [from, end), which have `depth` characters in common and passed `lists` lists. */
  #node(leads: readonly Lead[], from: number, end: number, depth: number, lists: number): number {
    const first = leads[from].text, last = leads[end - 1].text;
    let common = depth;
    while (common < first.length && first[common] === last[common]) common++;
    const own = first.length === common ? leads[from] : undefined;
    const met = lists + (own === undefined ? 0 : 2);
    assert(met + LISTS_AT_END <= NESTED_MAX, "routes: a path is longer than any may be");
    const text = bytesOf(first.slice(depth, common));
    const node = this.rows("nodes"), nodes = this.#columns.node;
    for (let column = 0; column < NodeAt.Length; column++) nodes.push(0);
    nodes[node + NodeAt.TextAt] = this.text(text);
    nodes[node + NodeAt.TextBytes] = text.length;
    nodes[node + NodeAt.Exact] = this.#list(own?.exact ?? []);
    nodes[node + NodeAt.Prefix] = this.#list(own?.prefix ?? []);
    nodes[node + NodeAt.Pattern] = this.#list(own?.pattern ?? []);
    const begin = own === undefined ? from : from + 1;
    if (begin === end) return node;
    const byteAt = (lead: number): number => leads[lead].text.charCodeAt(common);
    const low = byteAt(begin), span = byteAt(end - 1) - low + 1, child = this.rows("children");
    for (let place = 0; place < span; place++) this.add("children", {});
    nodes[node + NodeAt.Low] = low;
    nodes[node + NodeAt.Span] = span;
    nodes[node + NodeAt.First] = child;
    for (let at = begin; at < end;) {
      const byte = byteAt(at);
      let next = at;
      while (next < end && byteAt(next) === byte) next++;
      this.set("nodeChild", child + byte - low, this.#node(leads, at, next, common, met));
      at = next;
    }
    return node;
  }

  /** Where a list of routes begins. */
  #list(routes: readonly number[]): number {
    if (routes.length === 0) return NONE;
    const key = routes.join(), known = this.#lists.get(key);
    if (known !== undefined) return known;
    const first = this.rows("listed");
    for (const listRoute of routes) this.add("listed", { listRoute });
    this.add("listed", { listRoute: NONE });
    this.#lists.set(key, first);
    return first;
  }
}

/** Routes that share what their paths begin with, a byte for each character. */
interface Lead {
  readonly text: string;
  readonly exact: number[];
  readonly prefix: number[];
  readonly pattern: number[];
}

/** Exact, expressions and any: met once, wherever a path ends. */
const LISTS_AT_END = 3;

export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
