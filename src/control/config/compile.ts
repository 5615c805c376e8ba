// Config -> Plan: names become numbers that keep their meaning, addresses and texts become bytes in the
// arena. Pure but for the numbers it takes. Everything a user can get wrong was refused before; what
// may still be missing is a name without an address, which is an upstream with fewer servers.
import { NONE } from "../../base/limits.ts";
import { ACCESS_SHARE_ALL, checkPlan, makePlan, type Plan, ProbeKind } from "../../plan/plan.ts";
import type { Directory } from "../directory.ts";
import { addressText, authorityOf, encodeAddress } from "./address.ts";
import { ArenaWriter, type Span } from "./arena.ts";
import { placeBalance, type PlacedBalance, writeBalance } from "./compile_balance.ts";
import { type PlacedGuards, placeGuards } from "./compile_guards.ts";
import { issuedHosts, type PlacedHttps, placeHttps } from "./compile_https.ts";
import {
  isAnyCertified,
  type NumberedListener,
  placeTrusted,
  type Trusted,
  writeListener,
} from "./compile_listeners.ts";
import { type LeftNames, type PlacedLines, placeLeft, placeLines } from "./compile_log.ts";
import { type PlacedPaces, placePaces } from "./compile_paces.ts";
import { type PlacedPages, placePages } from "./compile_pages.ts";
import { type PlacedSni, placeSni, type SniOwner } from "./compile_sni.ts";
import { toldOfTls } from "./compile_tls.ts";
import type { HealthCheck } from "./health_schema.ts";
import { statusSet } from "./http_check.ts";
import { accessLines } from "./log_templates.ts";
import {
  beginCompiling,
  type CompileInput,
  type CompileWarning,
  type Compiling,
  gatherListeners,
  gatherUpstreams,
  type Identities,
  listenerKey,
  type Parts,
  type Upstream,
} from "./parts.ts";
import { sendProxyBits } from "./proxy_schema.ts";
import { routeNumbers, routeSpecs } from "./route_specs.ts";
import { type CompiledRoutes, compileRoutes, type RouteSpec } from "./routes.ts";

/** Kept connections are kept as long as the server says. */
const KEEP_AUTO = -1;

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
  readonly paces: PlacedPaces;
  readonly guards: PlacedGuards;
  readonly lines: PlacedLines;
  readonly left: LeftNames;
  /** Routers in the order of the listeners. */
  readonly routes: CompiledRoutes;
  /** In the order of the upstreams. */
  readonly balance: readonly PlacedBalance[];
  /** Names as the access log has them, in the order of the parts; of routes by number. */
  readonly logNames: {
    readonly listeners: readonly Span[];
    readonly upstreams: readonly Span[];
    readonly routes: ReadonlyMap<number, Span>;
  };
}

/**
 * Compiles one generation. `directory` learns its names; `identities` keeps the numbers of what is
 * still there and lets go of the rest.
 */
export function compile(
  given: CompileInput,
  identities: Identities,
  directory: Directory,
): { plan: Plan; warnings: CompileWarning[] } {
  const compiling = beginCompiling(given, identities, directory), { input, numbers, warnings } = compiling;
  const parts = { ...gatherUpstreams(compiling), listeners: gatherListeners(compiling) };

  const arena = new ArenaWriter();
  const places = placeBytes(arena, parts, compiling);
  directory.listFiles = places.guards.files;
  directory.routes = places.routes.names;
  const plan = emptyPlan(compiling, identities, parts, places, arena.bytes);
  arena.copyTo(plan.arena);
  writeListeners(plan, compiling, parts, places);
  writeUpstreams(plan, parts, places);
  writeServers(plan, parts, places);
  writeProbes(plan, parts, places, input.patternOf);
  places.lines.fill(plan.lines);
  places.left.fill(plan);

  numbers.retain(input.generation);
  checkPlan(plan);
  return { plan, warnings };
}

/** Adds what servers, checks and listeners need to the arena. */
function placeBytes(
  arena: ArenaWriter,
  parts: Parts,
  { input, numbers, directory }: Compiling,
): Places {
  const { config, patternOf, sockets, acmeThumbprint = "", listFiles = config["list-files"] } = input;
  const { servers, probes } = parts, upstreams = upstreamNumbers(parts.upstreams);
  const span = (bytes: Uint8Array): Span => ({ at: arena.add(bytes), bytes: bytes.length });
  const encoder = new TextEncoder();
  const { access } = config.log;
  const lines = placeLines(arena, accessLines(access, toldOfTls(config)), access.to.kind !== "off");
  const logName = lines.nameOf;
  const routes = numberedRoutes(arena, parts, patternOf, numbers);
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
    balance: placeBalance(arena, parts.upstreams, servers),
    sni: placeSni(arena, [...sniOwners(parts), ...issuedHosts(config)], (to) => upstreams.get(to) ?? NONE),
    paces: placePaces([...parts.listeners.values()]),
    guards: placeGuards(
      parts.listeners.values(),
      listFiles,
      (listener) => numbers.take("limiters", listener),
    ),
    left: placeLeft(directory, lines.nameOf),
    logNames: {
      listeners: [...parts.listeners.values()].map(({ name }) => logName(name)),
      upstreams: parts.upstreams.map(({ name }) => logName(name)),
      routes: new Map([...routes.names].map(([route, name]) => [route, logName(name)])),
    },
  };
}

/** For each listener its routes; those of one configured listener are one list, and share a router. */
function numberedRoutes(
  arena: ArenaWriter,
  { listeners, upstreams: all }: Parts,
  patternOf: CompileInput["patternOf"],
  numbers: Compiling["numbers"],
): CompiledRoutes {
  const upstreams = upstreamNumbers(all), listenerOf = new Map<RouteSpec, string>();
  const numberOf = routeNumbers((key) => numbers.take("routes", key));
  const lists = new Map<NumberedListener["configured"], RouteSpec[]>();
  for (const { name, configured } of listeners.values()) {
    if (lists.has(configured)) continue; // not by name: one that leaves may keep its own
    const list = routeSpecs(name, configured, (to) => upstreams.get(to) ?? NONE);
    lists.set(configured, list);
    for (const spec of list) listenerOf.set(spec, name);
  }
  const ofListeners = [...listeners.values()].map(({ configured }) => lists.get(configured)!);
  return compileRoutes(ofListeners, arena, patternOf, (spec) => numberOf(listenerOf.get(spec)!, spec));
}

function sniOwners({ listeners }: Parts): SniOwner[] {
  return [...listeners.values()].map(({ number, configured: { sni: choices } }) => ({ number, choices }));
}

/** By name. */
function upstreamNumbers(upstreams: readonly Upstream[]): ReadonlyMap<string, number> {
  return new Map(upstreams.map(({ name, number }) => [name, number]));
}

/** A plan of the size of its parts. */
function emptyPlan(
  { input: { config, generation, sockets }, leaving }: Compiling,
  identities: Identities,
  { servers, probes }: Parts,
  { trusted, pages, lines, routes, sni, guards, paces }: Places,
  arenaBytes: number,
): Plan {
  return makePlan(generation, {
    sockets: [...sockets, ...leaving.sockets].reduce((end, { socket }) => Math.max(end, socket + 1), 0),
    listeners: identities.listeners.end,
    upstreams: identities.upstreams.end,
    servers: identities.servers.end,
    members: servers.length,
    probes: identities.probes.end,
    probeMembers: probes.reduce((sum, probe) => sum + probe.servers.length, 0),
    trusted: trusted.at.length,
    routing: routes.sizes,
    sni: sni.sizes,
    paces: paces.sizes,
    guards: guards.sizes,
    pages: pages.sizes,
    lines: lines.sizes,
    arenaBytes,
    accessAll: config.log.access.to.kind === "off" ? 0 : 1,
    accessShare: Math.ceil(config.log.access.sample * ACCESS_SHARE_ALL),
  });
}

function writeListeners(
  plan: Plan,
  { input: { config, sockets }, leaving }: Compiling,
  { listeners, upstreams }: Parts,
  { trusted, https, pages, routes, sni, guards, paces, logNames }: Places,
): void {
  for (const socket of [...leaving.sockets, ...sockets]) {
    if (socket.socket < 0) continue; // it is closed
    plan.socketListener[socket.socket] = listeners.get(listenerKey(socket))?.number ?? NONE;
  }
  const numbers = upstreamNumbers(upstreams), certified = isAnyCertified(config);
  [...listeners.values()].forEach((listener, index) => {
    writeListener(
      plan,
      listener,
      numbers.get(listener.configured.to ?? "") ?? NONE,
      trusted,
      logNames.listeners[index],
      https,
      certified,
    );
    plan.listenerRouter[listener.number] = routes.routers[index];
  });
  plan.trustedAt.set(trusted.at);
  routes.fill(plan.routing);
  sni.fill(plan.sni);
  paces.fill(plan.paces);
  guards.fill(plan.guards);
  pages.fill(plan.pages);
  logNames.routes.forEach(({ at, bytes }, route) => {
    plan.routing.routeNameAt[route] = at;
    plan.routing.routeNameBytes[route] = bytes;
  });
}

function writeUpstreams(plan: Plan, { upstreams }: Parts, { logNames, balance }: Places): void {
  let member = 0;
  upstreams.forEach((upstream, index) => {
    const { number, configured, servers } = upstream;
    const { timeouts, "keep-alive": { "max-idle": most, idle } } = configured;
    plan.upstreamFirst[number] = member;
    plan.upstreamCount[number] = servers.length;
    plan.upstreamConnectMs[number] = timeouts.connect;
    plan.upstreamAnswerMs[number] = timeouts.answer;
    plan.upstreamServerIdleMs[number] = timeouts["server-idle"];
    plan.upstreamSilenceMs[number] = timeouts.silence;
    plan.upstreamWriteStallMs[number] = timeouts["write-stall"];
    plan.upstreamQueueMs[number] = timeouts.queue;
    const sends = sendProxyBits(configured["send-proxy"]),
      owned = sends !== 0 || configured.source === "client";
    plan.upstreamSendProxy[number] = sends;
    plan.upstreamKeepMax[number] = owned ? 0 : most; // a connection that is told whose it is, is no other's
    plan.upstreamKeepMs[number] = idle === "auto" ? KEEP_AUTO : idle;
    plan.upstreamNameAt[number] = logNames.upstreams[index].at;
    plan.upstreamNameBytes[number] = logNames.upstreams[index].bytes;
    for (const server of servers) plan.upstreamMember[member++] = server;
    writeBalance(plan, upstream, balance[index]);
  });
}

function writeServers(plan: Plan, { servers }: Parts, places: Places): void {
  servers.forEach(({ number, upstream, configured, session, socket }, index) => {
    const { addressAt, base, authority, logName, tlsName } = places.servers[index];
    plan.serverSocket[number] = socket;
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
    plan.serverWeightMore[number] = configured.weight - 1;
    plan.serverBackup[number] = configured.backup ? 1 : 0;
  });
}

function writeProbes(
  plan: Plan,
  { probes }: Parts,
  places: Places,
  patternOf: CompileInput["patternOf"],
): void {
  let member = 0;
  probes.forEach(({ number, check, servers, session, sends, datagrams, socket }, index) => {
    const { send, expectAt, statusAt, addressAt, tlsName } = places.probes[index], { expect } = check;
    plan.probeSendProxy[number] = sends;
    plan.probeSocket[number] = socket;
    plan.probeTls[number] = session.profile;
    plan.probeTlsNameAt[number] = tlsName.at;
    plan.probeTlsNameBytes[number] = tlsName.bytes;
    plan.probeKind[number] = datagrams ? ProbeKind.Datagram : kindOf(check);
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
