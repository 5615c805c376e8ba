// Counters and gauges: one set of columns per reactor, written by it alone, summed by the reader.
// Doubles, so that a sum never wraps; a torn read cannot happen (aligned 64-bit stores).
import { LISTENERS_MAX, SERVERS_MAX, UPSTREAMS_MAX } from "../base/limits.ts";
import { type Columns, type Layout, makeTable, openTable } from "./columns.ts";
import { LATENCY_BUCKETS, LIFE_BUCKETS } from "./histogram.ts";
import { REASON_COUNT } from "./reason.ts";

/** Counters of a reactor that belong to no listener and no server. */
export const enum Count {
  /** Connections taken into the tables. */
  Opened,
  /** Turns of the loop, and events in them. */
  Turns,
  Events,
  /** Accepting paused for want of fds or slots. */
  AcceptPauses,
  /** Connects that failed and were tried with another server. */
  Redispatches,
  /** Bugs contained to one connection. */
  Bugs,
  /** Log records dropped because the ring was full. */
  LogDropped,
  /** Bytes that went by splice. */
  SplicedBytes,
  /** Reads that only peeked, because neither pipe nor block was to be had for a leftover. */
  Peeked,
  /** Health checks begun later than they were due. */
  ProbesLate,
  /** Requests, connects to servers, exchanges on a connection that was kept, requests sent once more. */
  Requests,
  Connects,
  Reused,
  Repeats,
  /** TLS handshakes that were done, with clients and with servers. */
  Handshakes,
  ServerHandshakes,
  /** Datagrams that were not forwarded: the kernel had to cut them; there was no room to send them, or they could not
   * be sent; their client got no session, or its session ended first. */
  DatagramsCut,
  DatagramsUnsent,
  DatagramsRefused,
  /** Connections whose source found no row in the table of sources: let in without limits of its own. */
  SourcesFull,
  /** Gauges. */
  PipesOpen,
  BlocksTaken,
  SlotsTaken,
  /** Connections to servers that are kept. */
  Idle,
  /** First row of the exchanges that was never used: who lists connections looks no further. */
  ExchangesEnd,
  /** One more than the last slot that was ever a session of datagrams. */
  FlowsEnd,
  Length,
}

export const COUNTS = { count: [Float64Array, 1] } as const satisfies Layout;
export const REASON_COUNTS = { ended: [Float64Array, 1] } as const satisfies Layout;

/** Classes of statuses: none, 1xx, ... 5xx; what is beyond counts as 5xx. */
export const ANSWER_CLASSES = 6;

/** By listener number. */
export const LISTENER_STATS = {
  listenerOpened: [Float64Array, 1],
  listenerCurrent: [Float64Array, 1], // gauge
  listenerUpBytes: [Float64Array, 1], // read from clients
  listenerDownBytes: [Float64Array, 1], // read from servers
  listenerRequests: [Float64Array, 1], // requests that ended
  listenerUpDatagrams: [Float64Array, 1],
  listenerDownDatagrams: [Float64Array, 1],
  listenerAnswers: [Float64Array, ANSWER_CLASSES], // by the first digit of their status; 0: none was sent
  listenerEnded: [Float64Array, REASON_COUNT], // connections and requests, by why they ended
  listenerLives: [Float64Array, LIFE_BUCKETS], // connections that ended, by how long they lived
  listenerLifeMs: [Float64Array, 1], // all of them together
  listenerTimes: [Float64Array, LATENCY_BUCKETS], // requests that ended, by how long they took
  listenerTimeMs: [Float64Array, 1],
} as const satisfies Layout;

/** By upstream number. */
export const UPSTREAM_STATS = {
  upstreamConnects: [Float64Array, LATENCY_BUCKETS], // connects that succeeded, by how long they took, TLS included
  upstreamConnectMs: [Float64Array, 1],
  upstreamFirsts: [Float64Array, LATENCY_BUCKETS], // answers, by how long their first byte took
  upstreamFirstMs: [Float64Array, 1],
} as const satisfies Layout;

/** By server number. */
export const SERVER_STATS = {
  serverOpened: [Float64Array, 1],
  serverCurrent: [Float64Array, 1], // gauge
  serverRequests: [Float64Array, 1], // requests that got a connection to it, new or kept
  serverFailed: [Float64Array, 1], // connects that failed
  serverUpBytes: [Float64Array, 1],
  serverDownBytes: [Float64Array, 1],
} as const satisfies Layout;

/** Memory of one reactor's counters. */
export interface StatsMemory {
  readonly counts: SharedArrayBuffer;
  readonly reasons: SharedArrayBuffer;
  readonly listeners: SharedArrayBuffer;
  readonly upstreams: SharedArrayBuffer;
  readonly servers: SharedArrayBuffer;
}

export type Stats =
  & Columns<typeof COUNTS>
  & Columns<typeof REASON_COUNTS>
  & Columns<typeof LISTENER_STATS>
  & Columns<typeof UPSTREAM_STATS>
  & Columns<typeof SERVER_STATS>;

export function makeStats(): StatsMemory {
  return {
    counts: makeTable(COUNTS, Count.Length),
    reasons: makeTable(REASON_COUNTS, REASON_COUNT),
    listeners: makeTable(LISTENER_STATS, LISTENERS_MAX),
    upstreams: makeTable(UPSTREAM_STATS, UPSTREAMS_MAX),
    servers: makeTable(SERVER_STATS, SERVERS_MAX),
  };
}

export function openStats(memory: StatsMemory): Stats {
  return {
    ...openTable(COUNTS, memory.counts, Count.Length),
    ...openTable(REASON_COUNTS, memory.reasons, REASON_COUNT),
    ...openTable(LISTENER_STATS, memory.listeners, LISTENERS_MAX),
    ...openTable(UPSTREAM_STATS, memory.upstreams, UPSTREAMS_MAX),
    ...openTable(SERVER_STATS, memory.servers, SERVERS_MAX),
  };
}
