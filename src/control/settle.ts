// What a dead reactor leaves in its tables: its connections are told, its gauges taken back. Done before
// C closes the sockets, which still know who the clients were.
import { ARENA_EVENTS, ARENA_SCRATCH, NONE, PEER_BYTES } from "../base/limits.ts";
import { LIFE_BUCKETS, lifeBucket } from "../shared/histogram.ts";
import { Reason, REASON_COUNT } from "../shared/reason.ts";
import { PER_LINE, type Shared } from "../shared/servers.ts";
import { sourceGive, type Sources, sourcesUnlock } from "../shared/sources.ts";
import { Count, type Stats } from "../shared/stats.ts";
import {
  ExFlag,
  ExState,
  FlowFlag,
  openExchanges,
  openFlows,
  openSlots,
  SlotFlag,
  SlotState,
  type TableMemory,
  type TableSizes,
} from "../shared/tables.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import type { RequestRecord } from "./access_record.ts";

/** A connection that died with its reactor. */
export interface LostConnection {
  readonly room: number;
  readonly listener: number;
  readonly upstream: number;
  readonly server: number;
  /** Servers tried or passed over. */
  readonly tried: number;
  readonly durationMs: number;
  /** Its client, as a peer record (see ffi/sluice.h). */
  readonly peer: Uint8Array;
  readonly upBytes: number;
  readonly downBytes: number;
  /** Of a session of datagrams: how many came from its client, and from its server. */
  readonly datagrams?: { readonly up: number; readonly down: number };
  /** What is known of its request, if it is one of HTTP. */
  readonly http?: RequestRecord;
}

/** What must be known of it; a `Reactor` of reactors.ts is one. */
export interface DeadReactor {
  readonly room: number;
  readonly sizes: TableSizes;
  readonly tables: TableMemory;
  readonly stats: Stats;
}

/** What a reactor has now; its replacement has nothing. */
const GAUGES = [
  Count.PipesOpen,
  Count.BlocksTaken,
  Count.SlotsTaken,
  Count.Idle,
  Count.ExchangesEnd,
  Count.FlowsEnd,
];

/** Reads what a dead reactor was doing from its tables, and takes it out of its gauges, out of the places at
 * servers and out of the counts of sources that reactors share. */
export function settle(reactor: DeadReactor, shared: Shared, sources: Sources): LostConnection[] {
  const exchanges = openExchanges(reactor.tables.exchanges, reactor.sizes.exchanges);
  const slots = openSlots(reactor.tables.slots, reactor.sizes.slots);
  const lost: LostConnection[] = [], { stats } = reactor;
  sys.poll(ARENA_EVENTS, 1, 0); // sets the clock
  sourcesUnlock(sources, reactor.room);
  sourceGive(sources, strayOf(reactor, shared));
  for (let ex = 1; ex < reactor.sizes.exchanges; ex++) {
    const state = exchanges.exState[ex];
    if (state === ExState.Free || exchanges.exDown[ex] === NONE) continue;
    sourceGive(sources, exchanges.exSource[ex]);
    if (exchanges.exFlags[ex] & ExFlag.Placed) {
      Atomics.sub(shared.serverInUse, exchanges.exServer[ex], 1);
      Atomics.sub(shared.upstreamInUse, exchanges.exUpstream[ex], 1);
    }
    if (state === ExState.Done) continue; // it was being settled
    const down = exchanges.exDown[ex], up = exchanges.exUp[ex];
    const http = (exchanges.exFlags[ex] & ExFlag.Http) !== 0;
    const idle = http && state === ExState.Head; // what it knows is of its last request
    if (state === ExState.Queue) Atomics.sub(shared.upstreamWaiting, exchanges.exUpstream[ex], 1);
    const openedMs = http ? exchanges.exOpenedMs[ex] : exchanges.exStartMs[ex];
    countLost(stats, exchanges.exListener[ex], Math.max(0, clockMs() - openedMs));
    lost.push({
      room: reactor.room,
      listener: exchanges.exListener[ex],
      upstream: idle ? NONE : exchanges.exUpstream[ex],
      server: idle ? NONE : exchanges.exServer[ex],
      tried: idle ? 0 : exchanges.exTried[ex],
      durationMs: Math.max(0, clockMs() - exchanges.exStartMs[ex]),
      peer: peerOf(reactor.room, down),
      upBytes: http ? exchanges.exUpBytes[ex] : slots.slotMovedBytes[down],
      downBytes: http ? exchanges.exDownBytes[ex] : up === NONE ? 0 : slots.slotMovedBytes[up],
      http: http ? requestOf(exchanges, ex, idle) : undefined,
    });
  }
  lost.push(...flowsOf(reactor, slots, shared, sources));
  for (const gauge of [stats.listenerCurrent, stats.serverCurrent]) {
    for (let number = 0; number < gauge.length; number++) if (gauge[number] !== 0) gauge[number] = 0;
  }
  for (const gauge of GAUGES) {
    stats.count[gauge] = 0;
  }
  Atomics.store(shared.reactorFlows, reactor.room * PER_LINE, 0);
  Atomics.store(shared.reactorWaiting, reactor.room * PER_LINE, 0);
  return lost;
}

/** Who a connection was counted for that was on its way when the reactor died; NONE: nobody, or what it had come to says
 * so itself: the socket that waits for another reactor, the row of an exchange or of a session. */
export function strayOf(
  { room, sizes, tables }: Pick<DeadReactor, "room" | "sizes" | "tables">,
  shared: Shared,
): number {
  const at = room * PER_LINE, slot = Atomics.load(shared.reactorCharging, at + 1);
  const source = Atomics.exchange(shared.reactorCharging, at, NONE);
  if (source === NONE) return sys.held(room, HELD_SOURCE); // accepted, and C had the note
  if (slot === NONE) return source;
  const hasSocket = sys.peer_of(room, slot, ARENA_SCRATCH) === 0;
  if (!hasSocket) return NONE; // a newcomer still: the next reactor takes it in with its source
  const { exState, exDown, exSource } = openExchanges(tables.exchanges, sizes.exchanges);
  for (let ex = 1; ex < sizes.exchanges; ex++) {
    if (exState[ex] !== ExState.Free && exDown[ex] === slot && exSource[ex] === source) return NONE;
  }
  const { slotState } = openSlots(tables.slots, sizes.slots),
    { flowSource } = openFlows(tables.flows, sizes.slots);
  return slotState[slot] === SlotState.Flow && flowSource[slot] === source ? NONE : source;
}

/** Of `sys.held`: who the connection is counted for that is accepted and not handed on. */
const HELD_SOURCE = 3;

/** Counts the end of a connection as its reactor would have. */
function countLost(stats: Stats, listener: number, lifeMs: number): void {
  stats.ended[Reason.ReactorDied]++;
  stats.listenerEnded[listener * REASON_COUNT + Reason.ReactorDied]++;
  stats.listenerLives[listener * LIFE_BUCKETS + lifeBucket(lifeMs)]++;
  stats.listenerLifeMs[listener] += lifeMs;
}

/** Sessions of datagrams: rows by slot. */
function flowsOf(
  { room, sizes, tables, stats }: DeadReactor,
  { slotState, slotFlags }: ReturnType<typeof openSlots>,
  shared: Shared,
  sources: Sources,
): LostConnection[] {
  const flows = openFlows(tables.flows, sizes.slots), lost: LostConnection[] = [];
  for (let slot = 1; slot < sizes.slots; slot++) {
    if (slotState[slot] !== SlotState.Flow) continue;
    sourceGive(sources, flows.flowSource[slot]);
    if (flows.flowFlags[slot] & FlowFlag.Placed) {
      Atomics.sub(shared.serverInUse, flows.flowServer[slot], 1);
      Atomics.sub(shared.upstreamInUse, flows.flowUpstream[slot], 1);
    }
    if (!(slotFlags[slot] & SlotFlag.Down)) continue; // it had not begun
    countLost(stats, flows.flowListener[slot], Math.max(0, clockMs() - flows.flowStartMs[slot]));
    lost.push({
      room,
      listener: flows.flowListener[slot],
      upstream: flows.flowUpstream[slot],
      server: flows.flowServer[slot],
      tried: flows.flowTried[slot],
      durationMs: Math.max(0, clockMs() - flows.flowStartMs[slot]),
      peer: peerOf(room, slot),
      upBytes: flows.flowUpBytes[slot],
      downBytes: flows.flowDownBytes[slot],
      datagrams: { up: flows.flowUpDatagrams[slot], down: flows.flowDownDatagrams[slot] },
    });
  }
  return lost;
}

/** Who the client of a slot was; all zero: nobody knows. */
function peerOf(room: number, slot: number): Uint8Array {
  const isKnown = sys.peer_of(room, slot, ARENA_SCRATCH) === 0;
  return isKnown ? arenaBytes.slice(ARENA_SCRATCH, ARENA_SCRATCH + PEER_BYTES) : new Uint8Array(PEER_BYTES);
}

/** What a request had come to. The time in the queue of one that was still in it ends now. */
function requestOf(exchanges: ReturnType<typeof openExchanges>, ex: number, idle: boolean): RequestRecord {
  const { exStartMs, exQueuedMs, exUnqueuedMs, exConnectMs, exFirstMs, exStatus, exFlags } = exchanges;
  if (idle) return { status: 0, queueMs: -1, connectMs: -1, firstMs: -1, reused: false };
  const since = (atMs: number): number => atMs === 0 ? -1 : atMs - exStartMs[ex];
  const queuedMs = exQueuedMs[ex], queueEndMs = exUnqueuedMs[ex] === 0 ? clockMs() : exUnqueuedMs[ex];
  return {
    status: exStatus[ex],
    queueMs: queuedMs === 0 ? -1 : queueEndMs - queuedMs,
    connectMs: since(exConnectMs[ex]),
    firstMs: since(exFirstMs[ex]),
    reused: (exFlags[ex] & ExFlag.Reused) !== 0,
  };
}
