// Flows that go from one process to the next (upgrade). The old one halts: it reads no datagram, neither of clients nor
// of servers, and its table stands still while the control plane copies it; what comes waits in the sockets. Then either
// it resumes, or it yields: the other has the same sockets, and only here they are closed. The new one adopts each row as
// if its client had come here, but for a socket to its server that is there already.
// Invariant: at any time at most one of both reads.
import { ARENA_ASKING, ARENA_INTRODUCED, NONE } from "../base/limits.ts";
import {
  flowAnswered,
  flowDownBytes,
  flowDownDatagrams,
  flowFind,
  flowFlags,
  flowHeardTick,
  flowIdleTicks,
  flowListener,
  flowPut,
  flowResponses,
  flowServer,
  flowsFreeze,
  flowSource,
  flowStartMs,
  flowTried,
  flowUpBytes,
  flowUpDatagrams,
  flowUpstream,
} from "../net/flows.ts";
import { runAgain } from "../net/ready.ts";
import { giveUntouchedSlot, slotFlags, slotGen, slotsEnd, slotState, takeSlot } from "../net/slots.ts";
import { tickAt, timerSet } from "../net/timers.ts";
import { HANDED_ADDRESS_INTS, HANDED_TOLD_INTS, HandedFlow } from "../shared/handed_flows.ts";
import { PER_LINE } from "../shared/servers.ts";
import { Count } from "../shared/stats.ts";
import { FlowFlag, SlotFlag, SlotState } from "../shared/tables.ts";
import { DatagramAt } from "../sys/symbols.ts";
import { arenaInts, clockMs, sys } from "../sys/sys.ts";
import { isFullOfFlows } from "./accept.ts";
import { admittedBefore, charged, charging } from "./admission.ts";
import { plan, room, shared, stats } from "./context.ts";
import { datagramsUnwatch, datagramsWatch } from "./datagram.ts";
import { introduceItself, preface } from "./datagram_header.ts";
import { flowLeave, tellFlows } from "./flow_end.ts";
import { flowPlaceAgain } from "./flow_server.ts";

/** What outlives the way: all else is of this process. */
const FLAGS_KEPT = FlowFlag.Answered | FlowFlag.Joined;
/** A row is laid out as a datagram's record where batches are read to: none is under way when flows are adopted. */
const RECORD = ARENA_ASKING / 4;
const TOLD = ARENA_INTRODUCED / 4;

/** Listening sockets that were watched before the halt. */
let halted: readonly number[] = [];

/** Reads no datagram from here on. What had been read is on its way before anybody looks at the table. */
export function flowsHalt(): void {
  flowsFreeze(true);
  halted = datagramsUnwatch();
}

/** Goes on as before. What came meanwhile made an event that nobody looked at. */
export function flowsResume(): void {
  flowsFreeze(false);
  datagramsWatch(halted);
  halted = [];
  for (let slot = 1; slot < slotsEnd(); slot++) if (slotState[slot] === SlotState.Flow) runAgain(slot);
}

/** Lets go of all flows and of the sockets that they came through. */
export function flowsYield(): void {
  datagramsUnwatch();
  halted = [];
  for (let slot = 1; slot < slotsEnd(); slot++) if (slotState[slot] === SlotState.Flow) flowLeave(slot);
  flowsFreeze(false);
}

/** Takes in the flows of another process, as many as there is room for; the sockets of the others are closed. */
export function flowsAdopt(memory: SharedArrayBuffer): void {
  const rows = new Float64Array(memory);
  for (let at = 0; at < rows.length; at += HandedFlow.Row) {
    if (!adopt(rows, at)) sys.handover_close(rows[at + HandedFlow.Fd]);
  }
  tellFlows();
}

function adopt(rows: Float64Array, at: number): boolean {
  const socket = rows[at + HandedFlow.Socket], listener = rows[at + HandedFlow.Listener];
  const upstream = rows[at + HandedFlow.Upstream], server = rows[at + HandedFlow.Server];
  const isTold = (rows[at + HandedFlow.Flags] & FlowFlag.Introduced) !== 0, told = isTold ? TOLD : NONE;
  for (let int = 0; int < HANDED_ADDRESS_INTS; int++) {
    arenaInts[RECORD + DatagramAt.Client + int] = rows[at + HandedFlow.Address + int];
  }
  for (let int = 0; int < HANDED_TOLD_INTS; int++) arenaInts[TOLD + int] = rows[at + HandedFlow.Told + int];
  if (isFullOfFlows() || flowFind(arenaInts, RECORD, socket, told) !== NONE) return false;
  const slot = takeSlot(SlotState.Flow);
  if (slot === NONE) return false;
  const client = (isTold ? TOLD : RECORD + DatagramAt.Client) * 4;
  if (sys.udp_adopt(slot, slotGen[slot], rows[at + HandedFlow.Fd], socket, client) < 0) {
    giveUntouchedSlot(slot);
    return false;
  }
  flowFlags[slot] = 0;
  flowPlaceAgain(slot, upstream, server);
  flowPut(slot, arenaInts, RECORD, socket, told);
  flowListener[slot] = listener;
  flowUpstream[slot] = upstream;
  flowServer[slot] = server;
  count(slot, rows, at);
  charge(slot, listener, client);
  introduce(slot, isTold);
  timerSet(slot, Math.max(rows[at + HandedFlow.DueMs], clockMs()));
  return true;
}

/** Its columns, and the gauges that it stands in. It was counted as opened where it was opened. */
function count(slot: number, rows: Float64Array, at: number): void {
  const listener = flowListener[slot], flags = rows[at + HandedFlow.Flags] & FLAGS_KEPT;
  flowTried[slot] = rows[at + HandedFlow.Tried];
  flowResponses[slot] = plan.listenerResponses[listener];
  flowIdleTicks[slot] = tickAt(plan.listenerFlowIdleMs[listener]);
  flowHeardTick[slot] = tickAt(rows[at + HandedFlow.HeardMs]);
  flowStartMs[slot] = rows[at + HandedFlow.StartMs];
  flowUpDatagrams[slot] = rows[at + HandedFlow.UpDatagrams];
  flowDownDatagrams[slot] = rows[at + HandedFlow.DownDatagrams];
  flowUpBytes[slot] = rows[at + HandedFlow.UpBytes];
  flowDownBytes[slot] = rows[at + HandedFlow.DownBytes];
  if (flags & FlowFlag.Answered) flowAnswered(slot);
  if (flags & FlowFlag.Joined) flowFlags[slot] |= FlowFlag.Joined;
  slotFlags[slot] = SlotFlag.Down;
  Atomics.add(shared.reactorHanded, room * PER_LINE, 1);
  stats.listenerCurrent[listener]++;
  stats.serverCurrent[flowServer[slot]]++;
  if (slot >= stats.count[Count.FlowsEnd]) stats.count[Count.FlowsEnd] = slot + 1;
}

function charge(slot: number, listener: number, client: number): void {
  const source = admittedBefore(listener, client);
  flowSource[slot] = source;
  if (source === NONE) return;
  charging(source, slot);
  charged();
}

/** A server that is told of its client goes on being told. Of whom a proxy introduced the next datagram says it. */
function introduce(slot: number, isTold: boolean): void {
  const sends = plan.upstreamSendProxy[flowUpstream[slot]];
  if (sends === 0) return;
  flowFlags[slot] |= FlowFlag.Prefaced;
  if (isTold) return;
  introduceItself(RECORD, plan.listenerPort[flowListener[slot]]);
  preface(slot, sends);
}
