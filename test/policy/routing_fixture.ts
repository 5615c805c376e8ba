// Routes, requests and clients for the tests of routing: a Plan that has routes and nothing else, heads by
// the real parser, expressions by the runtime's own.
import { strictEqual } from "node:assert/strict";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { ipAddress } from "../../src/control/config/address.ts";
import { encodeAddress } from "../../src/control/config/address.ts";
import { type CompiledRoutes, compileRoutes, type RouteSpec } from "../../src/control/config/routes.ts";
import { checkPlan, makePlan, type Plan } from "../../src/plan/plan.ts";
import { type RegexMatch, route, type RouteRecorder } from "../../src/policy/route.ts";
import type { TemplateInputs } from "../../src/policy/template.ts";
import { type Head, makeHead } from "../../src/proto/head.ts";
import { parseRequest } from "../../src/proto/http1_head.ts";
import { decodePath } from "../../src/proto/path.ts";

/** Upstreams that routes of tests may name. */
const UPSTREAMS = 20_000;
const NO_EDITS = { set: {}, add: {}, remove: [], rename: {} };
let named = 0;

/** A route that takes everything, but for what is given. */
export function spec(given: Partial<RouteSpec>): RouteSpec {
  return {
    name: `route#${++named}`,
    hosts: [],
    path: { kind: "any" },
    methods: [],
    headers: [],
    queries: [],
    cookies: [],
    clients: [],
    action: { kind: "upstream", upstream: 1 },
    rewrite: {},
    requestHeaders: NO_EDITS,
    responseHeaders: NO_EDITS,
    bodyBytesMax: 0,
    ...given,
  };
}

/** A path as a configuration writes it: with a slash at its end a prefix, ~ an expression, {} a pattern. */
export function pathSpec(text: string): RouteSpec["path"] {
  if (text === "") return { kind: "any" };
  if (text.startsWith("~")) return { kind: "regex", source: text.slice(1) };
  if (text.startsWith("=")) return { kind: "prefix", text: text.slice(1) };
  return { kind: text.includes("{") ? "pattern" : text.endsWith("/") ? "prefix" : "exact", text };
}

export interface Compiled {
  readonly plan: Plan;
  readonly compiled: CompiledRoutes;
  readonly regexes: readonly RegExp[];
}

export function compileLists(lists: readonly (readonly RouteSpec[])[]): Compiled {
  const arena = new ArenaWriter(), regexes: RegExp[] = [/(?!)/];
  const compiled = compileRoutes(lists, arena, (source) => regexes.push(new RegExp(textOf(source))) - 1);
  const none = { sockets: 0, listeners: 1, servers: 1, members: 0, probes: 1, probeMembers: 0, trusted: 0 };
  const sizes = { ...none, upstreams: UPSTREAMS, accessAll: 0, accessShare: 0, arenaBytes: arena.bytes };
  const plan = makePlan(1, { ...sizes, routing: compiled.sizes });
  arena.copyTo(plan.arena);
  compiled.fill(plan.routing);
  checkPlan(plan);
  return { plan, compiled, regexes };
}

export function compileList(list: readonly RouteSpec[]): Compiled {
  return compileLists([list]);
}

/** A request as a reactor has it: its bytes lie between others. */
export interface Request {
  readonly bytes: Uint8Array;
  readonly head: Head;
  readonly path: Uint8Array;
  readonly pathAt: number;
  readonly pathEnd: number;
  readonly client: Uint8Array;
  readonly clientAt: number;
}

export function request(
  target: string,
  lines: readonly string[] = [],
  method = "GET",
  from = "192.0.2.1",
): Request {
  const hasHost = lines.some((line) => /^host:/i.test(line));
  const fields = [...(hasHost ? [] : ["Host: shop.example"]), ...lines];
  const bytes = latin1(
    `xyz${method} ${target} HTTP/1.1\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\nbody`,
  );
  const head = makeHead();
  const taken = parseRequest(bytes, 3, bytes.length, head);
  strictEqual(taken > 0, true, `${target} ${lines.join()}: refused with ${-taken}`);
  const path = new Uint8Array(9 + bytes.length).fill(0x2e);
  const pathEnd = decodePath(bytes, head.at + head.path, head.at + head.pathEnd, path, 7);
  strictEqual(pathEnd > 0, true, `${target}: no path`);
  return { bytes, head, path, pathAt: 7, pathEnd, ...clientOf(from) };
}

/** An address record behind other bytes; "mapped:" before an IPv4 address puts it into IPv6's clothes. */
export function clientOf(text: string): { client: Uint8Array; clientAt: number } {
  const client = new Uint8Array(64).fill(0xee), clientAt = 5;
  client.fill(0, clientAt, clientAt + 24);
  if (text === "unix") {
    client[clientAt] = 1;
    return { client, clientAt };
  }
  const mapped = text.startsWith("mapped:");
  const record = encodeAddress(ipAddress(mapped ? text.slice(7) : text, 4711)!);
  client.set(record.subarray(0, 24), clientAt);
  if (mapped) {
    const ip = client.slice(clientAt + 4, clientAt + 8);
    client[clientAt] = 6;
    client.fill(0, clientAt + 4, clientAt + 14);
    client.fill(0xff, clientAt + 14, clientAt + 16);
    client.set(ip, clientAt + 16);
  }
  return { client, clientAt };
}

/** The number of the route that a request takes. */
export function routeOf(
  { plan, compiled, regexes }: Compiled,
  given: Request,
  seen?: RouteRecorder,
  list = 0,
): number {
  const match: RegexMatch = (regex, at, count) => {
    strictEqual(at, given.pathAt, "an expression is asked about the path");
    strictEqual(at + count, given.pathEnd, "an expression is asked about the path");
    return regexes[regex].test(textOf(given.path.subarray(at, at + count))) ? 1 : 0;
  };
  const { bytes, head, path, pathAt, pathEnd, client, clientAt } = given;
  const router = compiled.routers[list];
  return route(plan, router, bytes, head, path, pathAt, pathEnd, client, clientAt, match, seen);
}

export function inputsOf(given: Request, more: Partial<TemplateInputs> = {}): TemplateInputs {
  return {
    ...given,
    id: latin1("..id-1.."),
    idAt: 2,
    idEnd: 6,
    port: 8080,
    secure: 0,
    fact: () => 0,
    slot: 0,
    facts: new Uint8Array(),
    factAt: 0,
    certificateAt: 0,
    certificateEnd: 0,
    subjectAt: 0,
    subjectEnd: 0,
    fingerprintAt: 0,
    fingerprintEnd: 0,
    ...more,
  };
}

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
