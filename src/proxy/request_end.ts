// How a request ends: its answer is out, or Sluice says something itself (why there is none, a redirect, a
// fixed reply); then the client's next request is awaited, or its connection ends without a reset that
// overtakes what was said.
import {
  ARENA_RECEIVE,
  LINGER_BYTES_MAX,
  LINGER_MS,
  LINGER_WHOLE_MS,
  NONE,
  RECEIVE_BYTES,
  TURN_BYTES,
} from "../base/limits.ts";
import { holdGive } from "../net/holds.ts";
import { Ready, readyAdd, readyClear, readyDry, runAgain } from "../net/ready.ts";
import { slotBody, slotFlags, slotHold, slotReady, slotScanned } from "../net/slots.ts";
import { timerSet } from "../net/timers.ts";
import { readable, unreadGive, unreadKeep } from "../net/unread.ts";
import { type Plan, serverStays } from "../plan/plan.ts";
import { FULL } from "../proto/http1_print.ts";
import { Refusal, REFUSALS } from "../proto/refusal.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { Body, ExFlag, ExState, SlotFlag } from "../shared/tables.ts";
import { EAGAIN, ECONNRESET } from "../sys/errno.ts";
import { clockMs, sys } from "../sys/sys.ts";
import { sayReason, UNHELD } from "./answer.ts";
import { bodyTake } from "./body.ts";
import { plan, planOf } from "./context.ts";
import { allowUntil } from "./deadlines.ts";
import { exchangeEnd, forget } from "./end.ts";
import {
  exchangesEnd,
  exDown,
  exDownBefore,
  exDownBytes,
  exErrno,
  exFlags,
  exGeneration,
  exKept,
  exListener,
  exOpenedMs,
  exReason,
  exRequests,
  exSeenMs,
  exServer,
  exSetState,
  exStartMs,
  exState,
  exUp,
  exUpBefore,
  exUpBytes,
  exUpstream,
} from "./exchanges.ts";
import { recallHead } from "./kept_head.ts";
import { poolGive } from "./pool.ts";
import { flush, Pumped, pumpErrno, pumpProgress } from "./pump.ts";
import { queueLeave, queueTell } from "./queue.ts";
import { leave, part } from "./reach.ts";
import { record } from "./record.ts";
import { freshEx, request, restAt, restBytes, setFresh } from "./wire_h1.ts";

/** We are leaving: no request is awaited any more. */
let draining = false;

/** Who has been here for less, and has asked nothing yet, is about to: its first request is under way. */
const FRESH_MS = 2_000;
/** Who was answered so short a time ago asks again and again: the next request may be under way. */
const BUSY_MS = 300;

/** From here on every answer is its connection's last, and who has nothing under way is let go. */
export function requestsDrain(): void {
  draining = true;
  letGo();
}

/** The same for those alone that came by a listener which leaves. */
export function requestsLeave(): void {
  for (let listener = 1; listener < plan.listeners; listener++) {
    if (plan.listenerLeaves[listener] !== 0) return letGo();
  }
}

/** Whether no request is awaited any more on a client's connection. */
export function isLeaving(ex: number): boolean {
  return draining || plan.listenerLeaves[exListener[ex]] !== 0;
}

function letGo(): void {
  for (let ex = 1; ex < exchangesEnd(); ex++) {
    if (exState[ex] !== ExState.Head || !isLeaving(ex)) continue;
    if (slotScanned[exDown[ex]] > 0 || readable(exDown[ex])) continue;
    if (exRequests[ex] === 0 && clockMs() - exOpenedMs[ex] < FRESH_MS) continue;
    if (exRequests[ex] > 0 && clockMs() - exSeenMs[ex] < BUSY_MS) timerSet(exDown[ex], clockMs() + BUSY_MS);
    else exchangeEnd(ex, Reason.Finished, 0);
  }
}

export function requestsReset(): void {
  setFresh(NONE);
  draining = false;
}

/** The whole answer is out. The server's connection is kept if both sides are done with it. */
export function answerDone(ex: number): void {
  const up = exUp[ex], down = exDown[ex];
  const whole = slotBody[down] === Body.Ended && slotHold[down] === NONE;
  exReason[ex] = Reason.Finished;
  const held = planOf(exGeneration[ex]), stays = serverStays(held, plan, exServer[ex]);
  if (whole && stays && !(exFlags[ex] & ExFlag.LastUp) && slotBody[up] === Body.Ended) {
    const upstream = exUpstream[ex];
    leave(ex);
    poolGive(up, exServer[ex], held.upstreamKeepMax[upstream], held.upstreamKeepMs[upstream]);
  } else {
    part(ex, false);
  }
  requestDone(ex, whole);
}

/** A request is done with: recorded; the next one is awaited, or the connection ends. `whole`: nothing of it
 * is still to come. */
function requestDone(ex: number, whole: boolean): void {
  const down = exDown[ex];
  record(ex);
  forget(ex);
  if (!whole || isLeaving(ex) || exFlags[ex] & ExFlag.Last) return leaveClient(ex, whole);
  exSetState(ex, ExState.Head);
  addUp(ex);
  exFlags[ex] = ExFlag.Http;
  slotBody[down] = Body.Head;
  slotScanned[down] = 0;
  timerSet(down, clockMs() + plan.listenerClientIdleMs[exListener[ex]]);
  if (readable(down)) runAgain(down);
}

/** What a request moved is added to what those before it did. Whoever reads the table adds it to them himself while
 * the request is under way, so its state has said by now that it is not. */
function addUp(ex: number): void {
  exUpBefore[ex] += exUpBytes[ex];
  exDownBefore[ex] += exDownBytes[ex];
}

/** The exchange cannot go on: the client is told why, if it can still be told, else its connection ends. */
export function fail(ex: number, reason: Reason, errno: number): void {
  const status = reason === Reason.BadRequest ? REFUSALS[errno].status : REASON_STATUS[reason];
  const midway = exFlags[ex] & ExFlag.Answered || slotHold[exUp[ex]] !== NONE; // an interim answer, in part
  if (midway || status === 0) return exchangeEnd(ex, reason, errno);
  exErrno[ex] = errno;
  say(ex, reason, status, true);
}

const REASON_STATUS = Uint16Array.from(REASONS, (reason) => reason.status);

/** Answers with a reason. `understood`: the request's head was, so its Accept chooses the form, and its body
 * may be on the way. */
export function say(ex: number, reason: Reason, status: number, understood: boolean): void {
  const down = exDown[ex], held = planOf(exGeneration[ex]);
  const wasFresh = exState[ex] === ExState.Head || freshEx === ex;
  if (freshEx === ex) setFresh(NONE);
  if (exState[ex] === ExState.Queue) {
    queueLeave(ex);
    exSetState(ex, ExState.Connect);
    queueTell(exUpstream[ex]); // a place may have been meant for it
  }
  part(ex, true);
  exReason[ex] = reason;
  if (slotHold[down] !== NONE) holdGive(down, false);
  const whole = understood && skipBody(ex, wasFresh);
  if (!whole || isLeaving(ex)) exFlags[ex] |= ExFlag.Last;
  exSetState(ex, ExState.Answer);
  if (understood && !wasFresh && exKept[ex] !== NONE) recallHead(ex);
  const head = understood && (wasFresh || exKept[ex] !== NONE) ? request : null;
  const refusal = reason === Reason.BadRequest ? exErrno[ex] : Refusal.None;
  saidOf(ex, sayReason(ex, held, reason, status, refusal, head));
}

/** Answers as the route says. */
export function reply(ex: number, how: (ex: number, held: Plan) => number): void {
  const whole = skipBody(ex, true);
  if (!whole) exFlags[ex] |= ExFlag.Last;
  const held = planOf(exGeneration[ex]);
  exReason[ex] = Reason.Answered;
  exSetState(ex, ExState.Answer);
  const said = how(ex, held);
  if (said !== FULL) return saidOf(ex, said);
  // What its route makes of the request is more than a head may hold.
  exReason[ex] = Reason.BadRequest;
  exErrno[ex] = Refusal.TargetTooLong;
  const { status } = REFUSALS[Refusal.TargetTooLong];
  saidOf(ex, sayReason(ex, held, Reason.BadRequest, status, Refusal.TargetTooLong, request));
}

/** Drops what came of a request's body; true when that is all of it. What lies behind it stays unread. */
function skipBody(ex: number, wasFresh: boolean): boolean {
  const down = exDown[ex];
  if (wasFresh && restBytes > 0) {
    if (slotBody[down] === Body.Ended) return unreadKeep(down, restAt, restBytes, false);
    return bodyTake(down, restAt, restBytes) >= 0 && slotBody[down] === Body.Ended;
  }
  return slotBody[down] === Body.Ended;
}

/** Goes on from what became of an answer of ours (see answer.ts). */
function saidOf(ex: number, said: number): void {
  if (said === 0) return requestDone(ex, !(exFlags[ex] & ExFlag.Last));
  if (said === FULL || said === UNHELD) return exchangeEnd(ex, Reason.OutOfResources, 0);
  if (said < 0) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  allowUntil(ex, clockMs() + plan.listenerWriteStallMs[exListener[ex]]);
  answerEvent(ex, exDown[ex], 0); // a send that took a part may take more
}

/** The client takes more of what we say. */
export function answerEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  switch (flush(down, down)) {
    case Pumped.Full:
      if (pumpProgress) allowUntil(ex, clockMs() + plan.listenerWriteStallMs[exListener[ex]]);
      return;
    case Pumped.Moved:
      return requestDone(ex, !(exFlags[ex] & ExFlag.Last));
    default:
      return exchangeEnd(ex, Reason.ClientReset, pumpErrno);
  }
}

/** The last answer is out. Closing now would reset the connection if the client still sends, and the reset
 * might overtake the answer: then its bytes are read and dropped for a while first. */
function leaveClient(ex: number, whole: boolean): void {
  const down = exDown[ex];
  unreadGive(down);
  if (slotHold[down] !== NONE) holdGive(down, false); // of a request that nobody takes any more
  const quiet = (whole && !(slotReady[down] & Ready.In)) || (slotFlags[down] & SlotFlag.Finished) !== 0;
  // A session says how its stream ends before it is closed: an answer may last until then.
  if (quiet && !(slotFlags[down] & SlotFlag.Sealed)) return exchangeEnd(ex, Reason.Finished, 0);
  const told = tellEnd(down);
  if (told !== -EAGAIN && (told < 0 || quiet)) return exchangeEnd(ex, Reason.Finished, 0);
  exSetState(ex, ExState.Linger);
  addUp(ex);
  exUpBytes[ex] = 0;
  exStartMs[ex] = clockMs();
  timerSet(down, clockMs() + LINGER_MS);
  lingerEvent(ex, down, 0);
}

/** Ends our side, if that is not done. -EAGAIN: the last record of a session waits for room, as any other. */
function tellEnd(down: number): number {
  if (slotFlags[down] & SlotFlag.FinSent) return 0;
  if (slotFlags[down] & SlotFlag.Sealed && !(slotReady[down] & Ready.Out)) return -EAGAIN;
  const told = sys.shutdown(down);
  if (told === -EAGAIN) readyClear(down, Ready.Out);
  else if (told === 0) slotFlags[down] |= SlotFlag.FinSent;
  return told;
}

/** Reads and drops what a client still sends: for as long as it comes, within bounds. */
export function lingerEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  const told = tellEnd(down);
  if (told < 0 && told !== -EAGAIN) return exchangeEnd(ex, Reason.Finished, 0);
  const before = exUpBytes[ex];
  while (slotReady[down] & Ready.In) {
    if (exUpBytes[ex] - before >= TURN_BYTES) return runAgain(down);
    const read = sys.recv(down, ARENA_RECEIVE, RECEIVE_BYTES);
    if (read === -EAGAIN) {
      readyDry(down);
      break;
    }
    if (read === 0 && told === -EAGAIN) {
      slotFlags[down] |= SlotFlag.Finished;
      readyDry(down);
      break;
    }
    if (read <= 0) return exchangeEnd(ex, Reason.Finished, 0);
    exUpBytes[ex] += read;
  }
  if (told === 0 && slotFlags[down] & SlotFlag.Finished) return exchangeEnd(ex, Reason.Finished, 0);
  const over = clockMs() - exStartMs[ex] > LINGER_WHOLE_MS || exUpBytes[ex] > LINGER_BYTES_MAX;
  if (over) return exchangeEnd(ex, Reason.Finished, 0);
  if (exUpBytes[ex] > before) timerSet(down, clockMs() + LINGER_MS);
}
