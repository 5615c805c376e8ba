// What a dead reactor leaves in its tables: its connections are told, its gauges taken back. Done before
// C closes the sockets, which still know who the clients were.
import { ARENA_EVENTS, ARENA_SCRATCH, NONE, PEER_BYTES } from "../base/limits.ts";
import { Reason } from "../shared/reason.ts";
import { Count, type Stats } from "../shared/stats.ts";
import { ExState, openExchanges, openSlots, type TableMemory, type TableSizes } from "../shared/tables.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";

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
}

/** What must be known of it; a `Reactor` of reactors.ts is one. */
export interface DeadReactor {
  readonly room: number;
  readonly sizes: TableSizes;
  readonly tables: TableMemory;
  readonly stats: Stats;
}

/** Reads what a dead reactor was doing from its tables, and takes it out of its gauges. */
export function settle(reactor: DeadReactor): LostConnection[] {
  const exchanges = openExchanges(reactor.tables.exchanges, reactor.sizes.exchanges);
  const slots = openSlots(reactor.tables.slots, reactor.sizes.slots);
  const lost: LostConnection[] = [];
  sys.poll(ARENA_EVENTS, 1, 0); // sets the clock
  for (let ex = 1; ex < reactor.sizes.exchanges; ex++) {
    const state = exchanges.exState[ex];
    if (state === ExState.Free || state === ExState.Done || exchanges.exDown[ex] === NONE) continue;
    const down = exchanges.exDown[ex], up = exchanges.exUp[ex];
    const known = sys.peer_of(reactor.room, down, ARENA_SCRATCH) === 0;
    lost.push({
      room: reactor.room,
      listener: exchanges.exListener[ex],
      upstream: exchanges.exUpstream[ex],
      server: exchanges.exServer[ex],
      tried: exchanges.exTried[ex],
      durationMs: Math.max(0, clockMs() - exchanges.exStartMs[ex]),
      peer: known ? arenaBytes.slice(ARENA_SCRATCH, ARENA_SCRATCH + PEER_BYTES) : new Uint8Array(PEER_BYTES),
      upBytes: slots.slotMovedBytes[down],
      downBytes: up === NONE ? 0 : slots.slotMovedBytes[up],
    });
  }
  const { stats } = reactor;
  stats.ended[Reason.ReactorDied] += lost.length;
  for (const gauge of [stats.listenerCurrent, stats.serverCurrent]) {
    for (let number = 0; number < gauge.length; number++) if (gauge[number] !== 0) gauge[number] = 0;
  }
  for (const gauge of [Count.PipesOpen, Count.BlocksTaken, Count.SlotsTaken]) stats.count[gauge] = 0;
  return lost;
}
