// The end of a flow, and what leads to it: silence, a server that is not there, a flow that is wanted for another
// client. Whatever came before, there is one way out: flowEnd gives back all that the flow had.
import { AVOID_MS, NONE } from "../base/limits.ts";
import {
  flowDownDatagrams,
  flowListener,
  flowOldest,
  flowRemove,
  flowResponses,
  flowServer,
  flowsFrozen,
  flowSource,
  flowsTaken,
  flowStartMs,
  flowUpstream,
} from "../net/flows.ts";
import { slotsEnd, slotState } from "../net/slots.ts";
import { tickAt, timerSet } from "../net/timers.ts";
import { Balance } from "../plan/plan.ts";
import { latencySample } from "../policy/latency.ts";
import { LIFE_BUCKETS, lifeBucket } from "../shared/histogram.ts";
import { Reason } from "../shared/reason.ts";
import { PER_LINE } from "../shared/servers.ts";
import { sourceGive } from "../shared/sources.ts";
import { SlotState } from "../shared/tables.ts";
import { clockMs, sys } from "../sys/sys.ts";
import { closeSlot } from "./close.ts";
import { countEnded, plan, room, shared, sources, stats } from "./context.ts";
import { recordFlow } from "./flow_record.ts";
import { flowGivePlace, reasonOf } from "./flow_server.ts";

/** A deadline that comes while flows are frozen is looked at again after this. */
const FROZEN_MS = 1_000;

/** Nothing came or went for the flow's idle time. */
export function flowTimeout(slot: number): void {
  if (flowsFrozen) return timerSet(slot, clockMs() + FROZEN_MS);
  const isAnswered = flowDownDatagrams[slot] > 0 || flowResponses[slot] <= 0;
  if (!isAnswered) {
    stats.serverFailed[flowServer[slot]]++;
    flowSample(slot, clockMs() - flowStartMs[slot]);
  }
  flowEnd(slot, isAnswered ? Reason.SessionIdle : Reason.SessionUnanswered, 0);
}

/** A sample of how fast the flow's server is, where that is looked at: its first answer, or that there was none. */
export function flowSample(slot: number, tookMs: number): void {
  if (plan.upstreamBalance[flowUpstream[slot]] !== Balance.PeakEwma) return;
  latencySample(shared, flowServer[slot], tookMs, clockMs());
}

/** The flow's datagrams meet nobody: its server is passed over for a while. */
export function flowFail(slot: number, errno: number): void {
  const server = flowServer[slot], reason = reasonOf(errno);
  if (reason !== Reason.NoSource) { // else it is our own lack: the interface is gone
    stats.serverFailed[server]++;
    shared.serverAvoided[server] = tickAt(clockMs() + AVOID_MS);
  }
  flowEnd(slot, reason, errno);
}

export function flowBug(slot: number): void {
  flowEnd(slot, Reason.Bug, 0);
}

/** Another process has the flow now: here it is gone, and was not ended. Its record is the other's to write. */
export function flowLeave(slot: number): void {
  flowRemove(slot);
  tellFlows();
  sourceGive(sources, flowSource[slot]);
  flowSource[slot] = NONE;
  flowGivePlace(slot, true);
  sys.udp_yield(slot);
  closeSlot(slot, false);
  stats.listenerCurrent[flowListener[slot]]--;
  stats.serverCurrent[flowServer[slot]]--;
}

/** The end of a flow, whatever came before: accounts, its slot marked, its record. */
export function flowEnd(slot: number, reason: Reason, errno: number): void {
  const server = flowServer[slot];
  flowRemove(slot);
  tellFlows();
  sourceGive(sources, flowSource[slot]);
  flowSource[slot] = NONE;
  flowGivePlace(slot, true);
  closeSlot(slot, false);
  stats.listenerCurrent[flowListener[slot]]--;
  stats.serverCurrent[server]--;
  countEnded(flowListener[slot], reason);
  const lifeMs = clockMs() - flowStartMs[slot];
  stats.listenerLives[flowListener[slot] * LIFE_BUCKETS + lifeBucket(lifeMs)]++;
  stats.listenerLifeMs[flowListener[slot]] += lifeMs;
  recordFlow(slot, reason, errno);
}

/** Says how many flows there are here now. */
export function tellFlows(): void {
  Atomics.store(shared.reactorFlows, room * PER_LINE, flowsTaken());
}

/** Ends the flows that are meant. */
export function flowsEnd(isMeant: (slot: number) => boolean, reason: Reason): void {
  for (let slot = 1; slot < slotsEnd(); slot++) {
    if (slotState[slot] === SlotState.Flow && isMeant(slot)) flowEnd(slot, reason, 0);
  }
}

/** Who was never answered gives way to others, the oldest first; false: there is nobody. */
export function flowGivesWay(): boolean {
  const oldest = flowOldest();
  if (oldest === NONE) return false;
  flowEnd(oldest, Reason.LimitReached, 0);
  return true;
}
