// Connections that end because the control plane says so: all that are left, what a reload took away, what an
// operator wants closed. `contain` is the reactor's: a broken promise about one of them ends that one.
import { NONE } from "../base/limits.ts";
import { flowListener, flowServer } from "../net/flows.ts";
import { slotEx, slotFlags, slotGen, slotState } from "../net/slots.ts";
import { openClosing, Outcome } from "../shared/closing.ts";
import type { Message } from "../shared/mailbox.ts";
import { Reason } from "../shared/reason.ts";
import { ExFlag, ExState, SlotFlag, SlotState } from "../shared/tables.ts";
import { exchangeEnd } from "./end.ts";
import { exchangeRemove } from "./exchange.ts";
import { exchangesEnd, exDown, exFlags, exListener, exRoute, exServer, exState, exUp } from "./exchanges.ts";
import { flowEnd, flowsEnd } from "./flow_end.ts";
import { poolDropAll } from "./pool.ts";

type Contain = (slot: number, ex: number, error: unknown) => void;

/** Ends everything. */
export function endAll(): void {
  for (let ex = 1; ex < exchangesEnd(); ex++) {
    if (exState[ex] !== ExState.Free) exchangeEnd(ex, Reason.Drained, 0);
  }
  flowsEnd(() => true, Reason.Drained);
  poolDropAll();
}

/** Ends what came by these listeners, goes to these servers, or took these routes. */
export function endRemoved(
  { listeners, servers, routes }: Extract<Message, { kind: "remove" }>,
  contain: Contain,
): void {
  for (let ex = 1; ex < exchangesEnd(); ex++) {
    if (exState[ex] === ExState.Free || exState[ex] === ExState.Done || exDown[ex] === NONE) continue;
    const hasRoute = (exFlags[ex] & ExFlag.Http) !== 0 && exState[ex] !== ExState.Head;
    const isMeant = listeners.has(exListener[ex]) || (exUp[ex] !== NONE && servers.has(exServer[ex])) ||
      (hasRoute && routes.has(exRoute[ex]));
    if (!isMeant) continue;
    const down = exDown[ex];
    try {
      exchangeRemove(ex);
    } catch (error) {
      contain(down, ex, error);
    }
  }
  flowsEnd((slot) => listeners.has(flowListener[slot]) || servers.has(flowServer[slot]), Reason.Removed);
}

/** Ends what an operator wants ended, and says which of it was still there. */
export function endAsked(memory: SharedArrayBuffer, rows: number, contain: Contain): void {
  const { closingSlot, closingGen, closingOutcome, closingDone } = openClosing(memory, rows);
  for (let row = 0; row < rows; row++) {
    const slot = closingSlot[row], isThere = slotGen[slot] === closingGen[row] && isClients(slot);
    closingOutcome[row] = isThere ? Outcome.Closed : Outcome.Gone;
    if (isThere) closeOne(slot, contain);
  }
  Atomics.store(closingDone, 0, 1);
}

/** Whether a slot is a client's connection, or session, that has not ended. */
function isClients(slot: number): boolean {
  if (!(slotFlags[slot] & SlotFlag.Down)) return false;
  if (slotState[slot] === SlotState.Flow) return true;
  const ex = slotEx[slot],
    isOpen = slotState[slot] === SlotState.Open || slotState[slot] === SlotState.Handshake;
  return isOpen && ex !== NONE && exDown[ex] === slot && exState[ex] !== ExState.Done;
}

function closeOne(slot: number, contain: Contain): void {
  const ex = slotEx[slot];
  try {
    if (slotState[slot] === SlotState.Flow) flowEnd(slot, Reason.ClosedByOperator, 0);
    else exchangeEnd(ex, Reason.ClosedByOperator, 0);
  } catch (error) {
    contain(slot, ex, error);
  }
}
