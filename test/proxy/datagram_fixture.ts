// A fake kernel that has nothing but datagrams, by seed, and a reactor on it: clients, some behind proxies, and servers
// that answer, are silent, refuse, or cannot be reached. What would be wrong whatever the test fails at once.
import { strictEqual } from "node:assert/strict";
import {
  ADDRESS_BYTES,
  ARENA_ANSWERING,
  ARENA_ASKING,
  ARENA_BYTES,
  ARENA_CLOCK,
  ARENA_EVENTS,
  ARENA_RECEIVE,
  DATAGRAM_BYTES,
  DATAGRAM_INTS,
  DATAGRAMS_PER_CALL,
  EVENT_INTS,
  LISTENERS_MAX,
  NONE,
  PEER_BYTES,
  ROOMS_MAX,
} from "../../src/base/limits.ts";
import { ENTRY_WORDS, NODE_WORDS, Tracks } from "../../src/plan/guards.ts";
import { makePlan, NO_SIZES, type Plan, Protocol, SendProxy } from "../../src/plan/plan.ts";
import { Proxy, readProxy } from "../../src/proto/proxy_header.ts";
import { reactorOpen } from "../../src/proxy/reactor.ts";
import { makeAsks } from "../../src/shared/asks.ts";
import { makeTable } from "../../src/shared/columns.ts";
import { LogRing } from "../../src/shared/log_ring.ts";
import { LogState } from "../../src/shared/log_state.ts";
import { makeShared, openShared } from "../../src/shared/servers.ts";
import { makeSources, openSources } from "../../src/shared/sources.ts";
import { makeStats, openStats } from "../../src/shared/stats.ts";
import { EXCHANGES, FLOWS, SLOTS, TIMERS } from "../../src/shared/tables.ts";
import {
  EAGAIN,
  EBUG,
  ECONNREFUSED,
  EMFILE,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
  ENODEV,
  ENOENT,
  ENOMEM,
  EPERM,
} from "../../src/sys/errno.ts";
import { ABI, DatagramAt, EventKind, type Kernel, type Provider } from "../../src/sys/symbols.ts";
import { enterRoom, useProvider } from "../../src/sys/sys.ts";
import { PROXIED, v2 } from "../proto/proxy_fixture.ts";
import { Random } from "../sim/random.ts";

export const ROOM = 1, SOCKET = 0, LISTENER = 1, UPSTREAM = 1;
export const SLOTS_ROWS = 128, CONNECTIONS = 40, CLIENTS = 60, SERVERS = 4;

export const IDLE_MS = 1_000, TURN_MS = 40;
/** Proxies are numbered behind the clients. */
const PROXIES = 200, HEADER_BYTES = 28;

const arena = new ArrayBuffer(ARENA_BYTES);
const bytes = new Uint8Array(arena), ints = new Int32Array(arena), doubles = new Float64Array(arena);
const stats = makeStats(), log = LogRing.make();

/** A payload is who asked (2 bytes), the rest is filler. */
interface Waiting {
  readonly client: number;
  readonly length: number;
  readonly segment: number;
  readonly cut: boolean;
  /** Behind a proxy: nobody can read the header. */
  readonly isBad?: boolean;
}

interface Up {
  readonly gen: number;
  readonly server: number;
  readonly client: number;
  readonly queue: Waiting[];
  /** Whom its server is told of, or NONE. */
  told: number;
  error: number;
  /** There is an event to be told. */
  edge: boolean;
}

export const enum Server {
  Answers,
  Silent,
  Refuses,
  Unreachable,
}

export class World {
  readonly asked: Waiting[] = [];
  readonly ups = new Map<number, Up>();
  readonly servers: Server[] = [NONE, Server.Answers, Server.Answers, Server.Answers, Server.Answers];
  nowMs = 10_000;
  /** The next poll is told of a wake. */
  wakes = false;
  /** The address that connections to servers should come from is gone. */
  sourceless = false;
  /** Sockets to servers that were asked for. */
  connects = 0;
  sent = { datagrams: 0, cut: 0 };
  /** Of servers, as far as they came to a socket that was read. */
  read = { datagrams: 0, cut: 0 };
  delivered = 0;
  /** Datagrams without a header that can be read. */
  bad = 0;
  readonly #random: Random;
  readonly #trouble: number;
  readonly #ways: Ways;

  constructor(random: Random, trouble: number, ways: Ways) {
    this.#random = random;
    this.#trouble = trouble;
    this.#ways = ways;
  }

  kernel(): Partial<Kernel> {
    return {
      abi: () => ABI,
      record_bytes: (which) =>
        [
          ...[ADDRESS_BYTES, PEER_BYTES, EVENT_INTS, ROOMS_MAX, LISTENERS_MAX, 4_096, EBUG],
          ...[DATAGRAMS_PER_CALL, DATAGRAM_INTS, DATAGRAM_BYTES],
        ][which],
      enter: () => 0,
      leave: () => 0,
      wake: () => 0,
      watch: () => this.#fails() ? -ENOBUFS : 0,
      option: () => 0,
      client: () => 0,
      poll: (off, max) => this.#poll(off, max),
      close: (slot) => this.ups.delete(slot) ? 0 : -EBUG,
      outcome: (slot) => this.#takeError(slot),
      udp_connect: (slot, gen, address, listener, client) =>
        this.#connect(slot, gen, address, listener, client),
      udp_recv: (_, off, max) => this.#receive(this.asked, off, 0, max, true),
      udp_read: (slot, off, first, max) => this.#read(slot, off, first, max),
      udp_preface: (slot, off, bytes) => this.#tell(slot, off, bytes),
      udp_send: (slot, off, first, count) => this.#send(slot, off, first, count),
      udp_answer: (_, off, first, count) => this.#answer(off, first, count),
    };
  }

  ask(client: number): void {
    const random = this.#random, header = this.#ways.accepts ? HEADER_BYTES : 0;
    const segment = random.oneIn(5) ? header + random.between(2, 50) : 0;
    const length = segment === 0
      ? random.pick([header + 2, header + 3, header + 100, 1_200, 65_507])
      : segment * random.between(2, 9) - random.below(segment - header - 1);
    const cut = random.oneIn(40), datagrams = segment === 0 ? 1 : Math.ceil(length / segment);
    const isBad = header > 0 && random.oneIn(15);
    this.asked.push({ client, length, segment, cut, isBad });
    if (isBad && !cut) this.bad += datagrams;
    if (cut) this.sent.cut++;
    else this.sent.datagrams += datagrams;
  }

  #fails(): boolean {
    return this.#trouble > 0 && this.#random.oneIn(this.#trouble);
  }

  #poll(off: number, max: number): number {
    doubles[ARENA_CLOCK] = this.nowMs;
    const events: number[][] = this.asked.length > 0 ? [[EventKind.Datagrams, SOCKET, 1]] : [];
    if (this.wakes) events.push([EventKind.Woken, 0, 0]);
    this.wakes = false;
    for (const [slot, up] of this.ups) {
      if (up.edge) events.push([slot, up.gen, (up.queue.length > 0 ? 1 : 0) | (up.error !== 0 ? 9 : 0)]);
      up.edge = false;
    }
    this.#random.shuffle(events);
    for (
      const { edge, at } of events.slice(max).map((event) => ({ edge: this.ups.get(event[0]), at: event }))
    ) {
      if (edge !== undefined && at[0] > 0) edge.edge = true;
    }
    events.slice(0, max).forEach((event, at) => ints.set(event, off / 4 + at * EVENT_INTS));
    return Math.min(max, events.length);
  }

  #takeError(slot: number): number {
    const up = this.ups.get(slot)!, { error } = up;
    up.error = 0;
    return -error;
  }

  #connect(slot: number, gen: number, address: number, listener: number, client: number): number {
    strictEqual(this.ups.has(slot), false);
    strictEqual(listener, SOCKET);
    this.connects++;
    if (this.sourceless) return -ENODEV;
    if (this.#fails()) return -this.#random.pick([EMFILE, ENOBUFS, ENODEV]);
    const server = bytes[address + 7];
    if (this.servers[server] === Server.Unreachable) return -ENETUNREACH;
    this.ups.set(slot, {
      gen,
      server,
      client: clientAt(client),
      queue: [],
      told: NONE,
      error: 0,
      edge: false,
    });
    return 0;
  }

  #receive(queue: Waiting[], off: number, first: number, max: number, named: boolean): number {
    if (queue.length === 0) return -EAGAIN;
    const came = queue.splice(0, max);
    came.forEach(({ client, length, segment, cut, isBad = false }, nth) => {
      const record = first + nth, at = off / 4 + record * DATAGRAM_INTS;
      ints.fill(0, at, at + DATAGRAM_INTS);
      ints[at + DatagramAt.Bytes] = length;
      ints[at + DatagramAt.Segment] = segment;
      ints[at + DatagramAt.Cut] = cut ? 1 : 0;
      if (named) placeClient(at + DatagramAt.Client, this.#senderOf(client));
      const payload = off + DATAGRAMS_PER_CALL * DATAGRAM_INTS * 4 + record * DATAGRAM_BYTES;
      for (let from = payload; from < payload + length; from += segment === 0 ? length : segment) {
        const begins = named && this.#ways.accepts ? placeHeader(from, client, isBad) : from;
        bytes[begins] = client;
        bytes[begins + 1] = 0xaa;
      }
    });
    return came.length;
  }

  /** Who sends the datagrams of a client: itself, or one of three proxies. */
  #senderOf(client: number): number {
    return this.#ways.accepts ? PROXIES + client % 3 : client;
  }

  #tell(slot: number, off: number, length: number): number {
    if (this.#fails()) return -ENOMEM;
    strictEqual(readProxy(bytes, off, off + length, ARENA_RECEIVE, true), Proxy.Found);
    const source = off + 16;
    this.ups.get(slot)!.told = bytes[source];
    return 0;
  }

  #read(slot: number, off: number, first: number, max: number): number {
    const up = this.ups.get(slot)!;
    if (up.error !== 0) return this.#takeError(slot);
    for (const { cut, length, segment } of up.queue.slice(0, max)) {
      if (cut) this.read.cut++;
      else this.read.datagrams += segment === 0 ? 1 : Math.ceil(length / segment);
    }
    return this.#receive(up.queue, off, first, max, false);
  }

  #send(slot: number, off: number, first: number, count: number): number {
    const up = this.ups.get(slot)!, random = this.#random;
    strictEqual(off, ARENA_ASKING);
    if (up.error !== 0) return this.#takeError(slot);
    if (this.#fails()) return -random.pick([EAGAIN, EMSGSIZE, EPERM, ENOBUFS]);
    const taken = random.between(1, count);
    if (this.#ways.sends) strictEqual(up.told, up.client, "a server is told whose a datagram is");
    for (let record = first; record < first + taken; record++) {
      strictEqual(payloadOf(off, record), up.client, "a datagram goes by its client's own socket");
      this.#sendApart(off / 4 + record * DATAGRAM_INTS);
      this.#serve(up);
    }
    return taken;
  }

  /** Of datagrams that the kernel had joined, some cannot be sent. */
  #sendApart(at: number): void {
    const segment = ints[at + DatagramAt.Segment];
    if (segment === 0 || !this.#fails()) return;
    const pieces = Math.ceil(ints[at + DatagramAt.Bytes] / segment), sent = this.#random.between(1, pieces);
    if (sent === pieces) return;
    ints[at + DatagramAt.Bytes] = sent * segment;
    ints[at + DatagramAt.Unsent] = pieces - sent;
  }

  #serve(up: Up): void {
    const random = this.#random;
    switch (this.servers[up.server]) {
      case Server.Answers:
        for (let nth = random.below(3); nth >= 0; nth--) {
          up.queue.push({
            client: up.client,
            length: random.pick([2, 1_200]),
            segment: 0,
            cut: random.oneIn(60),
          });
        }
        up.edge = true;
        return;
      case Server.Refuses:
        up.error = ECONNREFUSED;
        up.edge = true;
        return;
      default:
    }
  }

  #answer(off: number, first: number, count: number): number {
    strictEqual(off, ARENA_ANSWERING);
    if (this.#fails()) return -this.#random.pick([EAGAIN, EPERM]);
    const taken = this.#random.between(1, count);
    for (let record = first; record < first + taken; record++) {
      const at = off / 4 + record * DATAGRAM_INTS;
      strictEqual(ints[at + DatagramAt.Cut], 0);
      strictEqual(
        this.#senderOf(payloadOf(off, record)),
        clientAt((at + DatagramAt.Client) * 4),
        "an answer goes to who asked",
      );
      strictEqual(ints[at + DatagramAt.Own], 4);
      this.delivered++;
    }
    return taken;
  }
}

function placeClient(at: number, client: number): void {
  ints[at] = 4 | 4_000 << 16;
  ints[at + 1] = client;
  ints[at + 6] = 4;
  ints[at + 7] = 0x0100007f;
}

function clientAt(byte: number): number {
  return bytes[byte + 4];
}

function payloadOf(off: number, record: number): number {
  const skip = ints[off / 4 + record * DATAGRAM_INTS + DatagramAt.Skip];
  return bytes[off + DATAGRAMS_PER_CALL * DATAGRAM_INTS * 4 + record * DATAGRAM_BYTES + skip];
}

/** Puts the header of a client in front of its datagram. @returns where that begins */
function placeHeader(at: number, client: number, isBad: boolean): number {
  bytes.set(v2(PROXIED, 0x12, [client, 0, 0, 0, 127, 0, 0, 1, 0x0f, 0xa0, 0, 53]), at);
  if (isBad) bytes[at] = 0x0e;
  return at + HEADER_BYTES;
}

/** What besides is in the way. */
export interface Ways {
  readonly accepts: boolean;
  readonly sends: boolean;
  /** Sessions of one client, and of all; 0: as many as they like. */
  readonly ofSource: number;
  readonly ofAll: number;
}

export function planFor(responses: number, places: number, ways: Ways, servers = SERVERS): Plan {
  const trusted = 8, addresses = trusted + PEER_BYTES;
  const plan = makePlan(1, {
    ...NO_SIZES,
    ...{ sockets: 1, listeners: 2, upstreams: 2, servers: servers + 1, members: servers },
    arenaBytes: addresses + servers * PEER_BYTES,
    trusted: 1,
    guards: { listeners: 2, guards: 2, lists: 1, nodeWords: NODE_WORDS, entryWords: ENTRY_WORDS },
  });
  plan.arena.set([4, 0], trusted);
  plan.trustedAt[0] = trusted;
  plan.listenerProxyCount[LISTENER] = ways.accepts ? 1 : 0;
  plan.upstreamSendProxy[UPSTREAM] = ways.sends ? SendProxy.V2 : SendProxy.Off;
  if (ways.ofSource + ways.ofAll > 0) {
    const { guards } = plan;
    guards.listenerGuard[LISTENER] = guards.guardLimiter[1] = 1;
    guards.guardTracks[1] = Tracks.Sources;
    guards.guardSourceConnections[1] = ways.ofSource;
    guards.guardConnections[1] = ways.ofAll;
    guards.guardPrefix4[1] = 32;
    guards.guardPrefix6[1] = 128;
  }
  plan.socketListener[SOCKET] = LISTENER;
  plan.listenerProtocol[LISTENER] = Protocol.Udp;
  plan.listenerUpstream[LISTENER] = UPSTREAM;
  plan.listenerFlowIdleMs[LISTENER] = IDLE_MS;
  plan.listenerResponses[LISTENER] = responses;
  plan.upstreamCount[UPSTREAM] = servers;
  for (let server = 1; server <= servers; server++) {
    plan.upstreamMember[server - 1] = server;
    plan.serverUpstream[server] = UPSTREAM;
    plan.serverConnectionsMax[server] = places;
    plan.serverAddressAt[server] = addresses + (server - 1) * PEER_BYTES;
    plan.arena.set([4, 0, 0, 53, 10, 0, server >> 8, server & 255], plan.serverAddressAt[server]);
  }
  return plan;
}

/** A reactor in that world, and what is counted of it. */
/** Ends the reactor at a call, by chance: before it has done anything, or after. */
export class Death extends Error {
  static armed(kernel: Partial<Kernel>, random: Random, calls: { left: number }): Partial<Kernel> {
    return Object.fromEntries(
      Object.entries(kernel).map(([name, call]) => [name, (...words: number[]) => {
        const isLast = --calls.left === 0, isAfter = random.oneIn(2);
        if (isLast && !isAfter) throw new Death();
        const result = (call as (...words: number[]) => number)(...words);
        if (isLast) throw new Death();
        return result;
      }]),
    );
  }
}

/** @param calls after so many of the kernel it dies; 0: never */
export function start(
  world: World,
  plan: Plan,
  maxConnections: number,
  seed: number,
  calls: { left: number } = { left: 0 },
) {
  for (const view of Object.values(openStats(stats))) view.fill(0, 0, 4_096);
  const whole: Partial<Kernel> = {
    ...world.kernel(),
    peer_of: (_, slot) => world.ups.has(slot) ? 0 : -ENOENT,
    held: () => 0,
  };
  const kernel = Death.armed(whole, new Random(seed), calls) as Kernel;
  useProvider({ kernel, arena: () => arena } as Provider);
  enterRoom(ROOM);
  const sources = makeSources(CONNECTIONS, seed), counts = openSources(sources);
  const memory = makeShared(), shared = openShared(memory), counted = openStats(stats);
  world.kernel().poll!(ARENA_EVENTS, 1, 0);
  const sizes = { slots: SLOTS_ROWS, exchanges: 4, timers: SLOTS_ROWS, pipes: 2 };
  const tables = {
    slots: makeTable(SLOTS, SLOTS_ROWS),
    exchanges: makeTable(EXCHANGES, 4),
    timers: makeTable(TIMERS, SLOTS_ROWS),
    flows: makeTable(FLOWS, SLOTS_ROWS),
  };
  reactorOpen({
    library: "",
    room: ROOM,
    role: "reactor",
    handTo: [ROOM],
    counted: [ROOM],
    maxConnections,
    sizes,
    asks: makeAsks(),
    tables,
    stats,
    shared: memory,
    sources,
    log,
    logState: LogState.make(),
    plan: plan.memory,
    seed,
    listeners: [SOCKET],
  });
  return { shared, counted, counts, sizes, tables };
}
