// Config -> Plan: names become numbers that keep their meaning, addresses and texts become bytes in the
// arena. Pure but for the numbers it takes. Everything a user can get wrong was refused before; what
// may still be missing is a name without an address, which is an upstream with fewer servers.
import {
  LISTENERS_MAX,
  NONE,
  PROBES_MAX,
  SERVERS_MAX,
  SERVERS_PER_UPSTREAM_MAX,
  UPSTREAMS_MAX,
} from "../../base/limits.ts";
import { ACCESS_SHARE_ALL, checkPlan, makePlan, type Plan, ProbeKind } from "../../plan/plan.ts";
import type { Directory } from "../directory.ts";
import { Numbers } from "../numbers.ts";
import { type Address, addressText, authorityOf, encodeAddress, type LiteralAddress } from "./address.ts";
import { ArenaWriter, type Span } from "./arena.ts";
import { type NumberedListener, placeTrusted, type Trusted, writeListener } from "./compile_listeners.ts";
import { type PlacedHttps, placeHttps } from "./compile_https.ts";
import { type LeftNames, type PlacedLines, placeLeft, placeLines } from "./compile_log.ts";
import { type PlacedPages, placePages } from "./compile_pages.ts";
import type { HealthCheck } from "./health_schema.ts";
import { requestOf, statusSet } from "./http_check.ts";
import { accessLines } from "./log_templates.ts";
import { routeSpecs, upstreamsOf } from "./route_specs.ts";
import { type PlacedSni, placeSni, type SniOwner, type SniTargets } from "./compile_sni.ts";
import { profileNumbers, profileOfBind, type ServerSession, sessionOf, sniTargets, toldOfTls } from "./compile_tls.ts";
import { type CompiledRoutes, compileRoutes, type RouteSpec } from "./routes.ts";
import type { Config } from "./schema.ts";
import type { Server as ConfiguredServer } from "./upstream_schema.ts";

/** Kept connections are kept as long as the server says. */
const KEEP_AUTO = -1;

/** A listening socket that is open. */
export interface OpenSocket {
  /** Its index in C. */
  readonly socket: number;
  /** The configured listener, and which of its binds. */
  readonly listener: string;
  readonly bind: string;
  /** Where the kernel bound it. */
  readonly bound: string;
  /** 0: a unix socket. */
  readonly port: number;
}

/** Numbers of everything that has an identity, for the life of the process. */
export class Identities {
  readonly listeners = new Numbers(LISTENERS_MAX);
  readonly upstreams = new Numbers(UPSTREAMS_MAX);
  readonly servers = new Numbers(SERVERS_MAX);
  readonly probes = new Numbers(PROBES_MAX);
}

export interface CompileInput {
  readonly config: Config;
  readonly generation: number;
  readonly sockets: readonly OpenSocket[];
  /** The addresses a target stands for now. */
  readonly resolve: (target: Address) => readonly LiteralAddress[];
  /** The number of a compiled regular expression. */
  readonly patternOf: (source: Uint8Array) => number;
  /** Of the ACME account's key (RFC 8555 section 8.1), where certificates are had by themselves: every HTTP listener
   * answers challenges with it. */
  readonly acmeThumbprint?: string;
}

/** Something that does not fit: told, and left out. */
export type CompileWarning = string;

interface Upstream {
  readonly number: number;
  readonly name: string;
  readonly configured: Config["upstreams"][string];
  readonly servers: readonly number[];
}

interface Server {
  readonly number: number;
  readonly upstream: number;
  readonly address: LiteralAddress;
  readonly configured: ConfiguredServer;
  readonly session: ServerSession;
}

interface Probe {
  readonly number: number;
  readonly check: HealthCheck;
  readonly address: LiteralAddress;
  /** What it says. */
  readonly send: Uint8Array;
  readonly servers: number[];
  readonly session: ServerSession;
}

/** What a generation is made of, numbered. */
interface Parts {
  /** By `listenerKey`. */
  readonly listeners: ReadonlyMap<string, NumberedListener>;
  readonly upstreams: readonly Upstream[];
  readonly servers: readonly Server[];
  readonly probes: readonly Probe[];
}

/** Where the arena has their bytes, in the order of the parts. */
interface Places {
  readonly servers: readonly {
    readonly addressAt: number;
    readonly base: Span;
    readonly authority: Span;
    readonly logName: Span;
    readonly tlsName: Span;
  }[];
  readonly probes: readonly {
    readonly tlsName: Span;
    readonly send: Span;
    readonly expectAt: number;
    readonly statusAt: number;
    readonly addressAt: number;
  }[];
  readonly trusted: Trusted;
  readonly https: PlacedHttps;
  readonly pages: PlacedPages;
  readonly sni: PlacedSni;
  readonly lines: PlacedLines;
  readonly left: LeftNames;
  /** Routers in the order of the listeners. */
  readonly routes: CompiledRoutes;
  /** Names as the access log has them, in the order of the parts; of routes by number. */
  readonly logNames: {
    readonly listeners: readonly Span[];
    readonly upstreams: readonly Span[];
    readonly routes: readonly Span[];
  };
}

/** One generation on its way: what it is compiled from, and who learns of it. */
interface Compiling {
  readonly input: CompileInput;
  readonly numbers: Numbering;
  readonly directory: Directory;
  readonly warnings: CompileWarning[];
}

/**
 * Compiles one generation. `directory` learns its names; `identities` keeps the numbers of what is
 * still there and lets go of the rest.
 */
export function compile(
  input: CompileInput,
  identities: Identities,
  directory: Directory,
): { plan: Plan; warnings: CompileWarning[] } {
  const numbers = new Numbering(identities), warnings: CompileWarning[] = [];
  const compiling = { input, numbers, directory, warnings };
  directory.begin();
  const parts = { ...gatherUpstreams(compiling), listeners: gatherListeners(compiling) };

  const arena = new ArenaWriter();
  const places = placeBytes(arena, parts, input, directory);
  directory.routes = new Map([...places.routes.names.entries()].slice(1));
  const plan = emptyPlan(input, identities, parts, places, arena.bytes);
  arena.copyTo(plan.arena);
  writeListeners(plan, input.sockets, parts, places);
  writeUpstreams(plan, parts, places);
  writeServers(plan, parts, places);
  writeProbes(plan, parts, places, input.patternOf);
  places.lines.fill(plan.lines);
  places.left.fill(plan);

  numbers.retain(input.generation);
  checkPlan(plan);
  return { plan, warnings };
}

/** Gives numbers to the things of one generation, and remembers which are in use. */
class Numbering {
  readonly #identities: Identities;
  readonly #kept = {
    listeners: new Set<string>(),
    upstreams: new Set<string>(),
    servers: new Set<string>(),
    probes: new Set<string>(),
  };

  constructor(identities: Identities) {
    this.#identities = identities;
  }

  /** NONE when there are no more. */
  take(kind: keyof Identities, key: string): number {
    const number = this.#identities[kind].take(key);
    if (number !== NONE) this.#kept[kind].add(key);
    return number;
  }

  /** Ends the identity of everything that this generation did not take. */
  retain(generation: number): void {
    for (const kind of ["listeners", "upstreams", "servers", "probes"] as const) {
      this.#identities[kind].retain(this.#kept[kind], generation);
    }
  }
}

/** Every upstream with its servers, and the checks that they need. */
function gatherUpstreams(compiling: Compiling): Omit<Parts, "listeners"> {
  const { input, numbers, directory, warnings } = compiling;
  const upstreams: Upstream[] = [], servers: Server[] = [];
  const profiles = profileNumbers(input.config);
  const probes = new Map<string, Probe>();
  for (const [name, configured] of Object.entries(input.config.upstreams)) {
    const { servers: targets, health } = configured;
    const number = numbers.take("upstreams", name);
    if (number === NONE) {
      warnings.push(`upstream "${name}": more than ${UPSTREAMS_MAX - 1} upstreams; it is left out`);
      continue;
    }
    const members: number[] = [];
    for (const { key, target, address } of resolvedServers(name, targets, input.resolve)) {
      const server = numberServer(compiling, name, key, address, members.length);
      if (server === NONE) continue;
      members.push(server);
      const session = sessionOf(profiles, name, configured, target);
      const placed = { number: server, upstream: number, address, configured: target, session };
      servers.push(placed);
      const probe = health === "off" ? NONE : addProbe(probes, numbers, health, placed);
      directory.add("servers", {
        number: server,
        upstream: name,
        target: addressText(target.address) + target.base,
        address: addressText(address),
        probe,
      });
    }
    upstreams.push({ number, name, configured, servers: members });
    directory.add("upstreams", { number, name, servers: members, names: namesOf(targets) });
  }
  for (const { number, address, servers, check } of probes.values()) {
    directory.add("probes", {
      number,
      address: addressText(address),
      servers,
      intervalMs: check.interval,
      fall: check.fall,
      rise: check.rise,
      check,
    });
  }
  return { upstreams, servers, probes: [...probes.values()] };
}

/** The addresses that the targets of an upstream stand for now, each with the key of its identity: the same
 * address of the same target again is another server. */
function* resolvedServers(
  upstream: string,
  targets: readonly ConfiguredServer[],
  resolve: CompileInput["resolve"],
): Generator<{ key: string; target: ConfiguredServer; address: LiteralAddress }> {
  const seen = new Map<string, number>();
  for (const target of targets) {
    for (const address of resolve(target.address)) {
      const key = `${upstream}\n${addressText(target.address)}${target.base}\n${addressText(address)}`;
      const nth = (seen.get(key) ?? 0) + 1;
      seen.set(key, nth);
      yield { key: `${key}\n${nth}`, target, address };
    }
  }
}

/** The number of one more server of an upstream that has `count`; NONE, and a warning, if it is left out. */
function numberServer(
  { numbers, warnings }: Compiling,
  upstream: string,
  key: string,
  address: LiteralAddress,
  count: number,
): number {
  const text = addressText(address), record = recordOf(address);
  if (typeof record === "string") {
    warnings.push(`upstream "${upstream}": ${text} is left out: ${record}`);
    return NONE;
  }
  const server = count < SERVERS_PER_UPSTREAM_MAX ? numbers.take("servers", key) : NONE;
  if (server === NONE) warnings.push(`upstream "${upstream}": too many servers; ${text} is left out`);
  return server;
}

/** The listeners that have a socket. */
function gatherListeners({ input, numbers, directory }: Compiling): ReadonlyMap<string, NumberedListener> {
  const listeners = new Map<string, NumberedListener>();
  const profiles = profileNumbers(input.config);
  for (const socket of input.sockets) {
    const name = socket.listener, configured = input.config.listeners[name];
    if (configured === undefined) continue;
    const key = listenerKey(socket);
    const number = numbers.take("listeners", key);
    const profile = profileOfBind(profiles, name, configured, socket.bind);
    listeners.set(key, { number, name, configured, port: socket.port, profile });
    const upstreams = upstreamsOf(configured);
    directory.add("listeners", {
      number,
      name,
      bind: socket.bound,
      upstreams,
      upstream: upstreams.join(", "),
    });
  }
  return listeners;
}

/** What a listener keeps its number by: copies of a socket are one. */
function listenerKey({ listener, bind }: OpenSocket): string {
  return `${listener}\n${bind}`;
}

/** Adds what servers, checks and listeners need to the arena. */
function placeBytes(
  arena: ArenaWriter,
  parts: Parts,
  { config, patternOf, sockets, acmeThumbprint = "" }: CompileInput,
  directory: Directory,
): Places {
  const { servers, probes } = parts;
  const span = (bytes: Uint8Array): Span => ({ at: arena.add(bytes), bytes: bytes.length });
  const encoder = new TextEncoder();
  const { access } = config.log;
  const lines = placeLines(arena, accessLines(access, toldOfTls(config)), access.to.kind !== "off");
  const logName = lines.nameOf;
  const routes = compileRoutes(routeLists(parts), arena, patternOf);
  return {
    servers: servers.map(({ address, configured, session }) => ({
      tlsName: span(encoder.encode(session.name)),
      addressAt: arena.add(encodeAddress(address)),
      base: span(encoder.encode(configured.base)),
      authority: span(encoder.encode(authorityOf(configured.address, configured.tls))),
      logName: logName(addressText(address)),
    })),
    probes: probes.map(({ address, send, session, check: { expect, http } }) => ({
      tlsName: span(encoder.encode(session.name)),
      send: span(send),
      expectAt: expect?.kind === "text" ? arena.add(expect.bytes) : 0,
      statusAt: http === undefined ? 0 : arena.add(statusSet(http.statuses)),
      addressAt: arena.add(encodeAddress(address)),
    })),
    trusted: placeTrusted(arena, config),
    https: placeHttps(arena, config, sockets, acmeThumbprint),
    pages: placePages(arena, [...parts.listeners.values()], config["page-files"]),
    lines,
    routes,
    sni: placeSni(arena, sniOwners(parts)),
    left: placeLeft(directory, lines.nameOf),
    logNames: {
      listeners: [...parts.listeners.values()].map(({ name }) => logName(name)),
      upstreams: parts.upstreams.map(({ name }) => logName(name)),
      routes: routes.names.map(logName),
    },
  };
}

/** For each listener its routes; those of one configured listener are one list, and share a router. */
function routeLists({ listeners, upstreams }: Parts): RouteSpec[][] {
  const numbers = upstreamNumbers(upstreams);
  const lists = new Map<string, RouteSpec[]>();
  return [...listeners.values()].map(({ name, configured }) => {
    const list = lists.get(name) ?? routeSpecs(name, configured, (to) => numbers.get(to) ?? NONE);
    lists.set(name, list);
    return list;
  });
}

/** For each listener what it chooses by; addresses of one configured listener share it. */
function sniOwners({ listeners, upstreams }: Parts): SniOwner[] {
  const numbers = upstreamNumbers(upstreams);
  const known = new Map<string, SniTargets | undefined>();
  return [...listeners.values()].map(({ number, name, configured }) => {
    if (!known.has(name)) known.set(name, sniTargets(configured, (to) => numbers.get(to) ?? NONE));
    return { number, targets: known.get(name) };
  });
}

/** By name. */
function upstreamNumbers(upstreams: readonly Upstream[]): ReadonlyMap<string, number> {
  return new Map(upstreams.map(({ name, number }) => [name, number]));
}

/** A plan of the size of its parts. */
function emptyPlan(
  { config, generation, sockets }: CompileInput,
  identities: Identities,
  { servers, probes }: Parts,
  { trusted, pages, lines, routes, sni }: Places,
  arenaBytes: number,
): Plan {
  return makePlan(generation, {
    sockets: sockets.reduce((end, { socket }) => Math.max(end, socket + 1), 0),
    listeners: identities.listeners.end,
    upstreams: identities.upstreams.end,
    servers: identities.servers.end,
    members: servers.length,
    probes: identities.probes.end,
    probeMembers: probes.reduce((sum, probe) => sum + probe.servers.length, 0),
    trusted: trusted.at.length,
    routing: routes.sizes,
    sni: sni.sizes,
    pages: pages.sizes,
    lines: lines.sizes,
    arenaBytes,
    accessAll: config.log.access.to.kind === "off" ? 0 : 1,
    accessShare: Math.ceil(config.log.access.sample * ACCESS_SHARE_ALL),
  });
}

function writeListeners(
  plan: Plan,
  sockets: readonly OpenSocket[],
  { listeners, upstreams }: Parts,
  { trusted, https, pages, routes, sni, logNames }: Places,
): void {
  for (const socket of sockets) {
    plan.socketListener[socket.socket] = listeners.get(listenerKey(socket))?.number ?? NONE;
  }
  const numbers = upstreamNumbers(upstreams);
  [...listeners.values()].forEach((listener, index) => {
    writeListener(
      plan,
      listener,
      numbers.get(listener.configured.to ?? "") ?? NONE,
      trusted,
      logNames.listeners[index],
      https,
    );
    plan.listenerRouter[listener.number] = routes.routers[index];
  });
  plan.trustedAt.set(trusted.at);
  routes.fill(plan.routing);
  sni.fill(plan.sni);
  pages.fill(plan.pages);
  logNames.routes.forEach(({ at, bytes }, route) => {
    plan.routing.routeNameAt[route] = at;
    plan.routing.routeNameBytes[route] = bytes;
  });
}

function writeUpstreams(plan: Plan, { upstreams }: Parts, { logNames }: Places): void {
  let member = 0;
  upstreams.forEach(({ number, configured, servers }, index) => {
    const { timeouts, "keep-alive": { "max-idle": most, idle } } = configured;
    plan.upstreamFirst[number] = member;
    plan.upstreamCount[number] = servers.length;
    plan.upstreamConnectMs[number] = timeouts.connect;
    plan.upstreamAnswerMs[number] = timeouts.answer;
    plan.upstreamServerIdleMs[number] = timeouts["server-idle"];
    plan.upstreamQueueMs[number] = timeouts.queue;
    plan.upstreamKeepMax[number] = most;
    plan.upstreamKeepMs[number] = idle === "auto" ? KEEP_AUTO : idle;
    plan.upstreamNameAt[number] = logNames.upstreams[index].at;
    plan.upstreamNameBytes[number] = logNames.upstreams[index].bytes;
    for (const server of servers) plan.upstreamMember[member++] = server;
  });
}

function writeServers(plan: Plan, { servers }: Parts, places: Places): void {
  servers.forEach(({ number, upstream, configured, session }, index) => {
    const { addressAt, base, authority, logName, tlsName } = places.servers[index];
    plan.serverTls[number] = session.profile;
    plan.serverTlsNameAt[number] = tlsName.at;
    plan.serverTlsNameBytes[number] = tlsName.bytes;
    plan.serverNameAt[number] = logName.at;
    plan.serverNameBytes[number] = logName.bytes;
    plan.serverAddressAt[number] = addressAt;
    plan.serverUpstream[number] = upstream;
    plan.serverBaseAt[number] = base.at;
    plan.serverBaseBytes[number] = base.bytes;
    plan.serverAuthorityAt[number] = authority.at;
    plan.serverAuthorityBytes[number] = authority.bytes;
    plan.serverConnectionsMax[number] = configured["max-connections"];
  });
}

function writeProbes(
  plan: Plan,
  { probes }: Parts,
  places: Places,
  patternOf: CompileInput["patternOf"],
): void {
  let member = 0;
  probes.forEach(({ number, check, servers, session }, index) => {
    const { send, expectAt, statusAt, addressAt, tlsName } = places.probes[index], { expect } = check;
    plan.probeTls[number] = session.profile;
    plan.probeTlsNameAt[number] = tlsName.at;
    plan.probeTlsNameBytes[number] = tlsName.bytes;
    plan.probeKind[number] = kindOf(check);
    plan.probeAddressAt[number] = addressAt;
    plan.probeFirst[number] = member;
    plan.probeCount[number] = servers.length;
    for (const server of servers) plan.probeMember[member++] = server;
    plan.probeIntervalMs[number] = check.interval;
    plan.probeTimeoutMs[number] = check.timeout;
    plan.probeFall[number] = check.fall;
    plan.probeRise[number] = check.rise;
    plan.probeSendAt[number] = send.at;
    plan.probeSendBytes[number] = send.bytes;
    plan.probeExpectAt[number] = expectAt;
    plan.probeExpectBytes[number] = (expect?.kind === "pattern" ? expect.source : expect?.bytes)?.length ?? 0;
    plan.probePattern[number] = expect?.kind === "pattern" ? patternOf(expect.source) : NONE;
    plan.probeStatusAt[number] = statusAt;
  });
}

function kindOf({ tcp, http }: HealthCheck): ProbeKind {
  if (http !== undefined) return ProbeKind.Http;
  return tcp ? ProbeKind.Connect : ProbeKind.Text;
}

/** The host names among targets, each once. */
function namesOf(targets: Config["upstreams"][string]["servers"]): string[] {
  return [...new Set(targets.flatMap(({ address }) => address.kind === "name" ? [address.name] : []))];
}

/** The address as C has it; or why it has no such form: an interface that is not there. */
function recordOf(address: LiteralAddress): Uint8Array | string {
  try {
    return encodeAddress(address);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** One address is probed once, whoever names it, as long as it is asked the same thing. */
function addProbe(
  probes: Map<string, Probe>,
  numbers: Numbering,
  check: HealthCheck,
  { number: server, configured: target, address, session }: Server,
): number {
  const { http, interval, timeout, fall, rise } = check;
  const send = http === undefined ? check.send : requestOf(http, authorityOf(target.address, target.tls));
  const expect = check.expect === undefined
    ? ""
    : check.expect.kind + hex(check.expect.kind === "text" ? check.expect.bytes : check.expect.source);
  const statuses = http === undefined ? "" : hex(statusSet(http.statuses));
  const asked = [session.profile, session.name, check.tcp, hex(send), expect, statuses];
  const key = [addressText(address), ...asked, interval, timeout, fall, rise].join("\n");
  const known = probes.get(key);
  if (known !== undefined) {
    known.servers.push(server);
    return known.number;
  }
  const number = numbers.take("probes", key);
  if (number !== NONE) probes.set(key, { number, check, address, send, session, servers: [server] });
  return number;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
