// The end of an exchange, whatever came before: what it held is given back, accounts are settled, its
// slots are marked to be closed.
import { NONE } from "../base/limits.ts";
import { slotFlags, slotHold } from "../net/slots.ts";
import { LIFE_BUCKETS, lifeBucket } from "../shared/histogram.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { sourceGive } from "../shared/sources.ts";
import { ExFlag, ExState, SlotFlag } from "../shared/tables.ts";
import { clockMs } from "../sys/sys.ts";
import { closeSlot } from "./close.ts";
import { countEnded, planGive, planOf, sources, stats } from "./context.ts";
import {
  exDown,
  exErrno,
  exFlags,
  exGeneration,
  exListener,
  exOpenedMs,
  exReason,
  exSetState,
  exSource,
  exStartMs,
  exState,
  exUp,
  exUpstream,
  giveExchange,
} from "./exchanges.ts";
import { forgetHead } from "./kept_head.ts";
import { paceLeave } from "./pace.ts";
import { probeEnded } from "./probe.ts";
import { queueLeave, queueTell } from "./queue.ts";
import { givePlace, leave } from "./reach.ts";
import { record } from "./record.ts";
import { isRefusal, refusesByReset } from "./refusals.ts";
import { freshEx, setFresh } from "./wire_h1.ts";

/** Reasons by which what is left is closed with a reset, by code: no string is looked at on the path. */
const isReset = Uint8Array.from(REASONS, (reason) => (reason.reset ? 1 : 0));

/** Gives back what a request held. */
export function forget(ex: number): void {
  forgetHead(ex);
  if (exGeneration[ex] !== 0) {
    planGive(exGeneration[ex]);
    exGeneration[ex] = 0;
  }
}

/** The end of an exchange and its connection, whatever came before: accounts, record, slots marked. A reset
 * is passed on as one; so is "no server", since the client was already accepted, and any end with bytes
 * still held. */
export function exchangeEnd(ex: number, reason: Reason, errno: number): void {
  const down = exDown[ex];
  const http = exFlags[ex] & ExFlag.Http;
  // Before a request begins, and once it is recorded, no Plan is held; a tunnel holds none either.
  const silent = http && exGeneration[ex] === 0 && exState[ex] !== ExState.Tunnel;
  const waited = exState[ex] === ExState.Queue;
  if (waited) queueLeave(ex);
  exReason[ex] = reason;
  exErrno[ex] = errno;
  exSetState(ex, ExState.Done);
  if (waited) queueTell(exUpstream[ex]); // a place may have been meant for it
  // An ordinary end is told by its requests; any other would be told by nothing.
  if (silent && reason !== Reason.Finished) countEnded(exListener[ex], reason);
  if (down !== NONE && !silent) record(ex);
  settle(ex);
}

/** Gives back all that an exchange held which is Done. */
export function settle(ex: number): void {
  const down = exDown[ex], up = exUp[ex];
  if (down === NONE) {
    probeEnded(ex, planOf(exGeneration[ex]));
    planGive(exGeneration[ex]);
    exGeneration[ex] = 0;
  } else {
    if (freshEx === ex) setFresh(NONE);
    forget(ex);
    const listener = exListener[ex];
    const lifeMs = clockMs() - (exFlags[ex] & ExFlag.Http ? exOpenedMs[ex] : exStartMs[ex]);
    stats.listenerCurrent[listener]--;
    stats.listenerLives[listener * LIFE_BUCKETS + lifeBucket(lifeMs)]++;
    stats.listenerLifeMs[listener] += lifeMs;
    // What they were lent goes back to whom the exchange is counted for.
    if (slotFlags[down] & SlotFlag.Shaped) paceLeave(down);
    if (slotFlags[up] & SlotFlag.Shaped) paceLeave(up);
    sourceGive(sources, exSource[ex]);
    exSource[ex] = NONE;
    if (up !== NONE) leave(ex);
    else givePlace(ex, true); // granted, and not used
  }
  const resets = isRefusal(exReason[ex]) ? refusesByReset(exListener[ex]) : isReset[exReason[ex]] === 1;
  const reset = resets || slotHold[down] !== NONE || slotHold[up] !== NONE;
  closeSlot(up, reset);
  closeSlot(down, reset);
  giveExchange(ex);
}
