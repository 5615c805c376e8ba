// What all reactors share about upstreams and servers: verdicts of the health checks, who is drained, what
// balancing goes by (cursors, who is at which server, how fast they were), and how many connections were
// handed to and ended by each reactor.
import { REACTORS_MAX, SERVERS_MAX, UPSTREAMS_MAX } from "../base/limits.ts";
import { type Columns, type Layout, makeTable, openTable } from "./columns.ts";

/** What the health checks say of a server. It counts as up until they have said something. */
export const enum Verdict {
  Unchecked,
  Up,
  Down,
}

/** By server number; the health Worker writes, and the control plane when it was disabled and is no more. */
const SERVERS = {
  serverVerdict: [Uint8Array, 1], // Verdict
  serverUpMs: [Float64Array, 1], // clock when it came back, or joined; 0: it was there from the start
} as const satisfies Layout;

/** By server number; the control plane writes. */
const DRAINS = {
  serverDrained: [Uint8Array, 1], // 1: it gets nothing new
} as const satisfies Layout;

/** By server number; any reactor writes them, counts atomically. */
const PLACES = {
  serverAvoided: [Uint32Array, 1], // until this tick sessions pass it over: datagrams to it met nobody
  serverInUse: [Int32Array, 1], // exchanges that have a place at it, where places are limited or counted
} as const satisfies Layout;

/** By server number; any reactor writes them. One that overwrites what another has just written loses one
 * sample of many: what is smoothed bears that. */
const LATENCIES = {
  serverLatencyMs: [Float64Array, 1], // smoothed (policy/latency.ts); 0: nothing is known
  serverLatencyAtMs: [Float64Array, 1], // clock at its last sample
} as const satisfies Layout;

/** By upstream number; any reactor moves them, atomically. */
const UPSTREAMS = {
  upstreamCursor: [Int32Array, 1], // picks so far, by rules that go in turns or draw
  upstreamInUse: [Int32Array, 1], // exchanges at its servers, where their load is bounded
  upstreamWaiting: [Int32Array, 1], // exchanges that wait for a place at one of its servers
} as const satisfies Layout;

/** Integers of a cache line. Words that different threads write for every connection lie so far apart. */
export const PER_LINE = 16;

/** By reactor (its room). `reactorHanded` is the main reactor's and, for sessions of datagrams, the
 * reactor's own; `reactorEnded` is the reactor's own; their
 * element is `room * PER_LINE`. */
const REACTORS = {
  reactorHanded: [Int32Array, PER_LINE], // connections added to its epoll set
  reactorEnded: [Int32Array, PER_LINE], // connections it has closed
  reactorFlows: [Int32Array, PER_LINE], // sessions of datagrams among those it has
  reactorWaiting: [Int32Array, PER_LINE], // exchanges that wait for a place at a server
  reactorCharging: [Int32Array, PER_LINE], // whom it counts a connection for that nobody else has yet; and its slot
  reactorGeneration: [Int32Array, 1], // the Plan it works by
  reactorAccepting: [Int32Array, 1], // listening sockets it watches
  reactorObeyed: [Int32Array, 1], // messages of the control plane that it has obeyed since it was born
} as const satisfies Layout;

/** One row. */
const VERSIONS = {
  verdictVersion: [Int32Array, 1], // raised, atomically, after any verdict changed, or who is drained
} as const satisfies Layout;

const REACTOR_ROWS = REACTORS_MAX + 2;

export interface SharedMemory {
  readonly servers: SharedArrayBuffer;
  readonly drains: SharedArrayBuffer;
  readonly places: SharedArrayBuffer;
  readonly latencies: SharedArrayBuffer;
  readonly versions: SharedArrayBuffer;
  readonly upstreams: SharedArrayBuffer;
  readonly reactors: SharedArrayBuffer;
}

export type Shared =
  & Columns<typeof SERVERS>
  & Columns<typeof DRAINS>
  & Columns<typeof PLACES>
  & Columns<typeof LATENCIES>
  & Columns<typeof VERSIONS>
  & Columns<typeof UPSTREAMS>
  & Columns<typeof REACTORS>;

export function makeShared(): SharedMemory {
  return {
    servers: makeTable(SERVERS, SERVERS_MAX),
    drains: makeTable(DRAINS, SERVERS_MAX),
    places: makeTable(PLACES, SERVERS_MAX),
    latencies: makeTable(LATENCIES, SERVERS_MAX),
    versions: makeTable(VERSIONS, 1),
    upstreams: makeTable(UPSTREAMS, UPSTREAMS_MAX),
    reactors: makeTable(REACTORS, REACTOR_ROWS),
  };
}

export function openShared(memory: SharedMemory): Shared {
  return {
    ...openTable(SERVERS, memory.servers, SERVERS_MAX),
    ...openTable(DRAINS, memory.drains, SERVERS_MAX),
    ...openTable(PLACES, memory.places, SERVERS_MAX),
    ...openTable(LATENCIES, memory.latencies, SERVERS_MAX),
    ...openTable(VERSIONS, memory.versions, 1),
    ...openTable(UPSTREAMS, memory.upstreams, UPSTREAMS_MAX),
    ...openTable(REACTORS, memory.reactors, REACTOR_ROWS),
  };
}

/** Connections a reactor has now, newcomers included. */
export function reactorCurrent(shared: Shared, room: number): number {
  const at = room * PER_LINE;
  return (Atomics.load(shared.reactorHanded, at) - Atomics.load(shared.reactorEnded, at)) | 0;
}
