// An exchange stands in the queue: it joins, it may wait for so long in all, and looks for itself now and then.
// What a place, or none in time, means to a request or to a connection is told in request.ts and exchange.ts.
import { QUEUE_LOOK_MS } from "../base/limits.ts";
import { Reason } from "../shared/reason.ts";
import { ExState } from "../shared/tables.ts";
import { clockMs } from "../sys/sys.ts";
import { planOf } from "./context.ts";
import { allowUntil } from "./deadlines.ts";
import {
  exGeneration,
  exQueuedMs,
  exReason,
  exSetState,
  exState,
  exTried,
  exUnqueuedMs,
  exUpstream,
} from "./exchanges.ts";
import { queueJoin, queueLeave, queueLook, queueTell, queueWaits, queueWake } from "./queue.ts";
import { isAnyUp } from "./server.ts";

/** What a deadline in the queue came to. */
export const enum Stood {
  /** It stands there still, or has a place. */
  Waiting,
  /** It is out of the queue: the server that refused it is to be asked again. */
  Again,
  /** It has waited as long as it may. */
  TooLong,
  /** All servers are down: there is no place to wait for. */
  Nobody,
}

/** Whether somebody came before, and waits: a newcomer passes nobody. */
export function standsBehind(upstream: number): boolean {
  return queueWaits(upstream) && isAnyUp(upstream);
}

/** The servers that could take it are full: it waits for a place, for as long as it may in all. A server that refused
 * it is asked again now and then: it may be back before the others have a place, and nobody would tell. False: there
 * is no place in the queue either. */
export function stand(ex: number): boolean {
  if (exQueuedMs[ex] === 0) exQueuedMs[ex] = clockMs();
  if (!queueJoin(ex)) return false;
  exSetState(ex, ExState.Queue);
  exUnqueuedMs[ex] = 0;
  allowUntil(ex, Math.min(endMs(ex), clockMs() + QUEUE_LOOK_MS));
  if (exReason[ex] !== Reason.None) queueWake(exUpstream[ex]); // its place at who refused it is free
  queueLook(exUpstream[ex]); // a place that was given before we stood here was offered to nobody
  return true;
}

/** Its deadline has passed: it has waited long enough, or looks for a place itself, since nobody may have told it. */
export function standTimeout(ex: number): Stood {
  if (clockMs() >= endMs(ex)) return Stood.TooLong;
  if (exReason[ex] !== Reason.None) {
    queueLeave(ex);
    exUnqueuedMs[ex] = clockMs();
    exSetState(ex, ExState.Connect);
    exTried[ex] = 0;
    return Stood.Again;
  }
  if (!isAnyUp(exUpstream[ex])) return Stood.Nobody;
  queueLook(exUpstream[ex]);
  if (exState[ex] === ExState.Queue) allowUntil(ex, Math.min(endMs(ex), clockMs() + QUEUE_LOOK_MS));
  return Stood.Waiting;
}

/** It has a server, or none: the place at one that failed before is free, and nobody was told. */
export function tellPlace(ex: number): void {
  if (exReason[ex] !== Reason.None && exTried[ex] > 0) queueTell(exUpstream[ex]);
}

/** When it has waited for a place as long as it may. */
function endMs(ex: number): number {
  return exQueuedMs[ex] + planOf(exGeneration[ex]).upstreamQueueMs[exUpstream[ex]];
}
