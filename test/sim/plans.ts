// Plans for the runs, from a few lines of what they say.
import { ADDRESS_BYTES } from "../../src/base/limits.ts";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { type LimitedListener, placePaces } from "../../src/control/config/compile_paces.ts";
import { placeLines } from "../../src/control/config/compile_log.ts";
import { accessLines } from "../../src/control/config/log_templates.ts";
import { ENTRY_WORDS, NODE_WORDS, Tracks } from "../../src/plan/guards.ts";
import {
  ACCESS_SHARE_ALL,
  Balance,
  checkPlan,
  makePlan,
  NO_SIZES,
  type Plan,
  ProbeKind,
  Protocol,
  ProxyStatus,
  TRUSTED_BYTES,
} from "../../src/plan/plan.ts";
import type { Random } from "./random.ts";

const COUNTING = [Balance.LeastConnections, Balance.RandomTwo, Balance.PeakEwma, Balance.ConsistentHash];

/** What runs look at: a line of a connection, and one of a request. */
const LINES = accessLines({ format: "json" });

export interface ProbeSpec {
  readonly server: number;
  readonly kind: ProbeKind;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly fall: number;
  readonly rise: number;
  readonly send: Uint8Array;
  readonly expect: Uint8Array;
  /** A compiled expression instead of `expect`, or 0. */
  readonly pattern: number;
}

/** What a listener of HTTP has besides. */
export interface HttpListenerSpec {
  readonly clientIdleMs: number;
  readonly requestHeadMs: number;
  readonly bodyStallMs: number;
  /** 0: no limit. */
  readonly exchangeMs: number;
  readonly forwarded: number;
}

/** What an upstream of such listeners has besides. */
export interface HttpUpstreamSpec {
  readonly answerMs: number;
  readonly serverIdleMs: number;
  readonly queueMs: number;
  readonly keepMax: number;
  readonly keepMs: number;
}

export interface PlanSpec {
  readonly generation: number;
  /** Listener n (from 1) has socket n - 1. */
  readonly listeners: readonly {
    readonly upstream: number;
    readonly idleMs: number;
    /** How fast its bytes may go; as fast as they can if not given. */
    readonly limits?: LimitedListener["configured"]["limits"];
    /** 0: no limit. */
    readonly silenceMs?: number;
    readonly stallMs?: number;
    readonly halfMs?: number;
    readonly http?: HttpListenerSpec;
  }[];
  /** Numbered from 1. */
  readonly upstreams: readonly {
    readonly servers: readonly number[];
    readonly connectMs: number;
    readonly silenceMs?: number;
    readonly stallMs?: number;
    readonly queueMs?: number;
    readonly http?: HttpUpstreamSpec;
  }[];
  /** In use at once at each server; 0: no limit. */
  readonly connectionsMax?: number;
  /** How servers are chosen: in turns if not given. */
  readonly balance?: BalanceSpec;
  /** Address records by server number; none for number 0. */
  readonly addresses: readonly (Uint8Array | undefined)[];
  readonly probes: readonly ProbeSpec[];
  /** Who speaks TLS; nobody if not given. */
  readonly tls?: TlsSpec;
  /** What clients may have; nothing is counted if not given. */
  readonly guard?: GuardSpec;
  /** Who speaks the PROXY protocol; nobody if not given. */
  readonly proxy?: ProxySpec;
}

/** By number: listeners whose clients begin with a PROXY header, and what upstreams are told (SendProxy). */
export interface ProxySpec {
  readonly listeners: ReadonlySet<number>;
  readonly upstreams: ReadonlyMap<number, number>;
  readonly headerMs: number;
}

/** Of each listener; 0: no limit. */
export interface GuardSpec {
  readonly connections: number;
  readonly perSource: number;
}

/** How servers are chosen, and which of them are backups, by number. */
export interface BalanceSpec {
  readonly rule: Balance;
  readonly backups: ReadonlySet<number>;
}

/** In half of the runs servers are chosen by another rule than in turns. */
export function someBalance(random: Random, servers: number): BalanceSpec | undefined {
  if (random.oneIn(2)) return undefined;
  const rule = random.pick([
    Balance.RoundRobin,
    Balance.LeastConnections,
    Balance.RandomTwo,
    Balance.PeakEwma,
    Balance.SourceHash,
    Balance.ConsistentHash,
    Balance.First,
  ]);
  const all = Array.from({ length: servers }, (_, index) => index + 1);
  return { rule, backups: new Set(random.oneIn(3) ? all.filter(() => random.oneIn(2)) : []) };
}

/** By number: listeners whose clients speak TLS, servers that do. */
export interface TlsSpec {
  readonly listeners: ReadonlySet<number>;
  readonly servers: ReadonlySet<number>;
  readonly handshakeMs: number;
}

/** Any profile will do: the fake kernel has no certificates. */
const PROFILE = 1;
const SERVER_NAME = new TextEncoder().encode("server.example");

/** 127.0.0.1 or 10.0.0.`host`, with a port. */
export function ipAddress(first: 10 | 127, host: number, port: number): Uint8Array {
  const record = new Uint8Array(ADDRESS_BYTES);
  record.set([4, 0, port >> 8, port & 255, first, 0, 0, host]);
  return record;
}

export function unixAddress(number: number): Uint8Array {
  const record = new Uint8Array(ADDRESS_BYTES);
  const path = new TextEncoder().encode(`/run/${number}`);
  record.set([1, path.length]);
  record.set(path, 4);
  return record;
}

/** The port of a client: its number. */
export function portOf(peer: Uint8Array): number {
  return (peer[2] << 8) | peer[3];
}

/** What Host says to a server when the client said nothing. */
export const AUTHORITY = new TextEncoder().encode("server.example:80");

export function buildPlan(spec: PlanSpec): Plan {
  const { listeners, upstreams, addresses, probes } = spec;
  const texts = probes.reduce((sum, { send, expect }) => sum + send.length + expect.length, 0);
  const arena = new ArenaWriter(), lines = placeLines(arena, LINES, true);
  const limited = listeners.map(({ limits = {} }, index) => {
    return { number: index + 1, name: `listener ${index + 1}`, configured: { limits } };
  });
  const paces = placePaces(limited);
  // What sources and listeners have together is counted where they are.
  const guard = spec.guard ?? (paces.sizes === undefined ? undefined : { connections: 0, perSource: 0 });
  const plan = makePlan(spec.generation, {
    ...NO_SIZES,
    sockets: listeners.length,
    listeners: listeners.length + 1,
    upstreams: upstreams.length + 1,
    servers: addresses.length,
    members: upstreams.reduce((sum, { servers }) => sum + servers.length, 0),
    probes: probes.length + 1,
    probeMembers: probes.length,
    arenaBytes: arena.bytes + addresses.length * ADDRESS_BYTES + texts + AUTHORITY.length +
      SERVER_NAME.length + TRUSTED_BYTES,
    trusted: 1,
    accessAll: 1,
    accessShare: ACCESS_SHARE_ALL,
    lines: lines.sizes,
    paces: paces.sizes,
    guards: guard === undefined ? undefined : {
      listeners: listeners.length + 1,
      guards: listeners.length + 1,
      lists: 1,
      nodeWords: NODE_WORDS,
      entryWords: ENTRY_WORDS,
    },
  });
  arena.copyTo(plan.arena);
  lines.fill(plan.lines);
  paces.fill(plan.paces);
  let at = arena.bytes;
  const put = (bytes: Uint8Array, length = bytes.length): number => {
    plan.arena.set(bytes, at);
    at += length;
    return at - length;
  };
  addresses.forEach((record, server) => {
    if (record !== undefined) plan.serverAddressAt[server] = put(record, ADDRESS_BYTES);
  });
  listeners.forEach(({ upstream, idleMs, silenceMs = 0, stallMs = 0, halfMs = 0, http }, index) => {
    plan.listenerSilenceMs[index + 1] = silenceMs;
    plan.listenerWriteStallMs[index + 1] = stallMs;
    plan.listenerHalfClosedMs[index + 1] = halfMs;
    plan.socketListener[index] = index + 1;
    plan.listenerUpstream[index + 1] = upstream;
    plan.listenerProtocol[index + 1] = http === undefined ? Protocol.Tcp : Protocol.Http;
    plan.listenerTunnelIdleMs[index + 1] = idleMs;
    if (http !== undefined) writeHttpListener(plan, index + 1, http);
  });
  const authorityAt = put(AUTHORITY);
  plan.serverAuthorityAt.fill(authorityAt);
  plan.serverAuthorityBytes.fill(AUTHORITY.length);
  let member = 0;
  upstreams.forEach(({ servers, connectMs, silenceMs = 0, stallMs = 0, queueMs = 0, http }, index) => {
    plan.upstreamSilenceMs[index + 1] = silenceMs;
    plan.upstreamWriteStallMs[index + 1] = stallMs;
    plan.upstreamQueueMs[index + 1] = queueMs;
    if (http !== undefined) writeHttpUpstream(plan, index + 1, http);
    plan.upstreamFirst[index + 1] = member;
    plan.upstreamCount[index + 1] = servers.length;
    plan.upstreamConnectMs[index + 1] = connectMs;
    for (const server of servers) {
      plan.upstreamMember[member++] = server;
      plan.serverUpstream[server] = index + 1;
      plan.serverConnectionsMax[server] = spec.connectionsMax ?? 0;
      plan.serverBackup[server] = spec.balance?.backups.has(server) ? 1 : 0;
    }
    const rule = spec.balance?.rule ?? Balance.RoundRobin;
    plan.upstreamBalance[index + 1] = rule;
    plan.upstreamCounted[index + 1] = COUNTING.includes(rule) ? 1 : 0;
    plan.upstreamLoadMax[index + 1] = rule === Balance.ConsistentHash ? 125 : 0;
  });
  probes.forEach((probe, index) => {
    const number = index + 1;
    plan.probeKind[number] = probe.kind;
    plan.probeAddressAt[number] = plan.serverAddressAt[probe.server];
    plan.probeFirst[number] = index;
    plan.probeCount[number] = 1;
    plan.probeMember[index] = probe.server;
    plan.probeIntervalMs[number] = probe.intervalMs;
    plan.probeTimeoutMs[number] = probe.timeoutMs;
    plan.probeFall[number] = probe.fall;
    plan.probeRise[number] = probe.rise;
    plan.probeSendAt[number] = put(probe.send);
    plan.probeSendBytes[number] = probe.send.length;
    plan.probeExpectAt[number] = put(probe.expect);
    plan.probeExpectBytes[number] = probe.expect.length;
    plan.probePattern[number] = probe.pattern;
  });
  const nameAt = put(SERVER_NAME);
  if (guard !== undefined) writeGuards(plan, guard);
  if (spec.tls !== undefined) writeTls(plan, spec.tls, nameAt);
  plan.trustedAt[0] = put(ALL_CLIENTS);
  if (spec.proxy !== undefined) writeProxy(plan, spec.proxy);
  checkPlan(plan);
  return plan;
}

/** 10.0.0.0/8 */
const ALL_CLIENTS = new Uint8Array(TRUSTED_BYTES);
ALL_CLIENTS.set([4, 8, 0, 0, 10]);

function writeProxy(plan: Plan, { listeners, upstreams, headerMs }: ProxySpec): void {
  for (const listener of listeners) {
    plan.listenerProxyCount[listener] = 1;
    if (plan.listenerHandshakeMs[listener] === 0) plan.listenerHandshakeMs[listener] = headerMs;
  }
  for (const [upstream, sends] of upstreams) plan.upstreamSendProxy[upstream] = sends;
}

function writeGuards({ guards }: Plan, { connections, perSource }: GuardSpec): void {
  for (let listener = 1; listener < guards.sizes.listeners; listener++) {
    guards.listenerGuard[listener] = listener;
    guards.guardLimiter[listener] = listener;
    guards.guardTracks[listener] = Tracks.Sources;
    guards.guardReset[listener] = 1;
    guards.guardPrefix4[listener] = 32;
    guards.guardPrefix6[listener] = 128;
    guards.guardConnections[listener] = connections;
    guards.guardSourceConnections[listener] = perSource;
  }
}

function writeTls(plan: Plan, { listeners, servers, handshakeMs }: TlsSpec, nameAt: number): void {
  for (const listener of listeners) {
    plan.listenerTls[listener] = PROFILE;
    plan.listenerHandshakeMs[listener] = handshakeMs;
  }
  for (const server of servers) {
    plan.serverTls[server] = PROFILE;
    plan.serverTlsNameAt[server] = nameAt;
    plan.serverTlsNameBytes[server] = SERVER_NAME.length;
  }
}

function writeHttpListener(plan: Plan, listener: number, http: HttpListenerSpec): void {
  plan.listenerClientIdleMs[listener] = http.clientIdleMs;
  plan.listenerRequestHeadMs[listener] = http.requestHeadMs;
  plan.listenerBodyStallMs[listener] = http.bodyStallMs;
  plan.listenerWriteStallMs[listener] = http.bodyStallMs;
  plan.listenerExchangeMs[listener] = http.exchangeMs;
  plan.listenerForwarded[listener] = http.forwarded;
  plan.listenerProxyStatus[listener] = ProxyStatus.Own;
}

function writeHttpUpstream(plan: Plan, upstream: number, http: HttpUpstreamSpec): void {
  plan.upstreamAnswerMs[upstream] = http.answerMs;
  plan.upstreamServerIdleMs[upstream] = http.serverIdleMs;
  plan.upstreamWriteStallMs[upstream] = http.serverIdleMs;
  plan.upstreamQueueMs[upstream] = http.queueMs;
  plan.upstreamKeepMax[upstream] = http.keepMax;
  plan.upstreamKeepMs[upstream] = http.keepMs;
}
