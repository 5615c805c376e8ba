// Sessions of datagrams as a reactor's tables have them, read while it works, as connections are (exchanges.ts). Their
// rows are slots: one that is a flow, of one generation all along, is one session.
import { TICK_MS } from "../../base/limits.ts";
import { openTable } from "../../shared/columns.ts";
import { Count } from "../../shared/stats.ts";
import { openFlows, openSlots, SlotFlag, SlotState, TIMERS } from "../../shared/tables.ts";
import type { ReactorView, Sight } from "../sight.ts";
import { Doing, identityOf, LOOKS_MAX, Seen, type Source, Speaks } from "./row.ts";
import { tagOf } from "./tags.ts";

/** The sessions of a reactor. */
export function flowsOf(reactor: ReactorView, peerOf: Sight["peerOf"]): Source {
  const { room, sizes, tables, stats } = reactor;
  const flows = openFlows(tables.flows, sizes.slots), slots = openSlots(tables.slots, sizes.slots);
  const { timerTick } = openTable(TIMERS, tables.timers, sizes.timers);
  const tag = tagOf(tables);
  return {
    room,
    end: () => Math.min(sizes.slots, stats.count[Count.FlowsEnd]),
    isCurrent: () => reactor.tables === tables,
    read: (slot, row) => {
      for (let look = 0; look < LOOKS_MAX; look++) {
        if (Atomics.load(slots.slotState, slot) !== SlotState.Flow) return Seen.Nobody;
        const gen = Atomics.load(slots.slotGen, slot);
        // Set when all else of a new session is written.
        if (!(slots.slotFlags[slot] & SlotFlag.Down)) return Seen.Nobody;
        if (!peerOf(room, slot, row.peer)) continue;
        row.room = room;
        row.tag = tag;
        row.at = slot;
        row.identity = identityOf(slot, gen);
        row.doing = Doing.Open;
        row.speaks = Speaks.Udp;
        row.listener = flows.flowListener[slot];
        row.upstream = flows.flowUpstream[slot];
        row.server = flows.flowServer[slot];
        row.openedMs = flows.flowStartMs[slot];
        // The deadline moves with each datagram.
        row.seenMs = Math.max(row.openedMs, (timerTick[slot] - flows.flowIdleTicks[slot]) * TICK_MS);
        row.upBytes = flows.flowUpBytes[slot];
        row.downBytes = flows.flowDownBytes[slot];
        row.requests = -1;
        const isSame = Atomics.load(slots.slotState, slot) === SlotState.Flow &&
          Atomics.load(slots.slotGen, slot) === gen;
        if (isSame) return Seen.One;
      }
      return Seen.Changed;
    },
  };
}
