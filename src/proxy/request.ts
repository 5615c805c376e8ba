// One request from its first byte to the next one's, in order: its head comes, a route is chosen, a server
// reached (or waited for), the request forwarded, the answer forwarded, and the next request awaited; or
// Sluice answers itself; or the two ends become a tunnel. Every step is somebody else's.
import { unreachable } from "../base/assert.ts";
import {
  ARENA_RECEIVE,
  ARENA_SCRATCH,
  INTERIM_MAX,
  LINGER_BYTES_MAX,
  LINGER_MS,
  LINGER_WHOLE_MS,
  NONE,
  RECEIVE_BYTES,
  TURN_BYTES,
  VIA_MAX,
} from "../base/limits.ts";
import { takeBlockFor } from "../net/blocks.ts";
import { holdGive } from "../net/holds.ts";
import { Ready, readyAdd, readyDry, runAgain } from "../net/ready.ts";
import {
  slotBody,
  slotFlags,
  slotHold,
  slotMovedBytes,
  slotReady,
  slotScanned,
  slotUnreadBytes,
} from "../net/slots.ts";
import { timerSet } from "../net/timers.ts";
import { readable, unreadGive, unreadKeep } from "../net/unread.ts";
import { type Plan, serverIsThere } from "../plan/plan.ts";
import { viaPasses } from "../policy/edit.ts";
import { Framing, HeadFlag, Method } from "../proto/head.ts";
import { FULL } from "../proto/http1_print.ts";
import { keepAliveSeconds } from "../proto/keep_alive.ts";
import { Refusal, REFUSALS } from "../proto/refusal.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { Body, ExFlag, ExState, SlotFlag } from "../shared/tables.ts";
import { EAGAIN, ECONNRESET } from "../sys/errno.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { sayFixed, sayReason, sayRedirect } from "./answer.ts";
import { bodyBegin, bodyRefusal, bodyTake } from "./body.ts";
import { count, plan, planGive, planHold, planOf, stats } from "./context.ts";
import { exchangeEnd, forget } from "./end.ts";
import {
  exchangesEnd,
  exConnectMs,
  exDown,
  exDownBytes,
  exErrno,
  exFirstMs,
  exFlags,
  exGeneration,
  exHost,
  exHostEnd,
  exInterim,
  exKept,
  exKeptBytes,
  exListener,
  exMethodEnd,
  exReason,
  exRequests,
  exRoute,
  exServer,
  exSetState,
  exStartMs,
  exState,
  exStatus,
  exTargetEnd,
  exTried,
  exUp,
  exUpBytes,
  exUpstream,
} from "./exchanges.ts";
import { forwardAnswer, Forwarded, forwardErrno, forwardRequest, recallRequest } from "./forward.ts";
import { poolGive, poolLearn } from "./pool.ts";
import { flush, pump, Pumped, pumpErrno, pumpProgress, pumpUnread } from "./pump.ts";
import { queueGiveUp, queueJoin, queueLeave, queueRejoin } from "./queue.ts";
import {
  leave,
  part,
  placeAgain,
  Reached,
  reachFirst,
  reachNext,
  reachOpened,
  reachServer,
} from "./reach.ts";
import { record } from "./record.ts";
import { chooseWay, Way } from "./routing.ts";
import { tunnelBegin, tunnelRun } from "./tunnel.ts";
import {
  answer,
  freshEx,
  Next,
  nextAnswer,
  nextErrno,
  nextRefusal,
  nextRequest,
  request,
  restAt,
  restBytes,
  setFresh,
} from "./wire_h1.ts";

/** Goes on from how far the way to a server was made. */
export function requestReached(ex: number, how: Reached): void {
  switch (how) {
    case Reached.Connected:
      return connected(ex);
    case Reached.Waiting:
      return;
    case Reached.Full:
      return queue(ex);
    default:
      return fail(ex, exReason[ex], exErrno[ex]);
  }
}

/** The server's connection is there. */
function connected(ex: number): void {
  reachOpened(ex);
  exReason[ex] = Reason.None;
  exErrno[ex] = 0;
  forward(ex);
}

/** Somebody waits too long: in the middle of a head, in the queue, for the other side. */
export function requestTimeout(ex: number, slot: number): void {
  switch (exState[ex]) {
    case ExState.Head:
      if (slotScanned[slot] === 0) return exchangeEnd(ex, Reason.ClientIdle, 0);
      return refuse(ex, Reason.RequestTimeout, 408, Refusal.None);
    case ExState.Queue:
      return fail(ex, Reason.QueueTimeout, 0);
    case ExState.Forward:
      return forwardTimeout(ex);
    case ExState.Answer:
      return exchangeEnd(ex, Reason.WriteTimeout, 0);
    case ExState.Linger:
      return exchangeEnd(ex, Reason.Finished, 0);
    default:
      return unreachable("request: a deadline in a state that has none");
  }
}

/** A client's connection has its slot: its first request is awaited. */
export function requestAwait(ex: number, bits: number): void {
  const down = exDown[ex];
  exFlags[ex] = ExFlag.Http;
  exRequests[ex] = 0;
  exKept[ex] = NONE;
  slotBody[down] = Body.Head;
  slotScanned[down] = 0;
  timerSet(down, clockMs() + plan.listenerRequestHeadMs[exListener[ex]]);
  headEvent(ex, down, bits);
}

/** We are leaving: no request is awaited any more. */
let draining = false;

/** From here on every answer is its connection's last, and who has nothing under way is let go. */
export function requestsDrain(): void {
  draining = true;
  for (let ex = 1; ex < exchangesEnd(); ex++) {
    if (exState[ex] !== ExState.Head || slotScanned[exDown[ex]] > 0 || readable(exDown[ex])) continue;
    exchangeEnd(ex, Reason.Finished, 0);
  }
}

export function requestsReset(): void {
  setFresh(NONE);
  draining = false;
}

/** The client may have sent a request, or a part of one. */
export function headEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  const before = slotScanned[down];
  switch (nextRequest(down)) {
    case Next.Head:
      beginRequest(ex);
      return requestCame(ex);
    case Next.Waiting:
      // The first bytes of a later request end the time of silence.
      if (before === 0 && slotScanned[down] > 0 && exRequests[ex] > 0) {
        timerSet(down, clockMs() + plan.listenerRequestHeadMs[exListener[ex]]);
      }
      return;
    case Next.Gone:
      return exchangeEnd(ex, Reason.Finished, 0);
    case Next.Cut:
      return exchangeEnd(ex, Reason.ClientGone, 0);
    case Next.Broken:
      return exchangeEnd(ex, Reason.ClientReset, nextErrno);
    case Next.Refused:
      return refuse(ex, Reason.BadRequest, REFUSALS[nextRefusal].status, nextRefusal);
    default:
      return refuse(ex, Reason.OutOfResources, 503, Refusal.None);
  }
}

/** What came is no request that could be understood: it is told why, and where the next begins is unknown. */
function refuse(ex: number, reason: Reason, status: number, refusal: Refusal): void {
  exFlags[ex] |= ExFlag.Last;
  beginRequest(ex);
  exErrno[ex] = refusal;
  say(ex, reason, status, false);
}

/** A request has begun: its accounts are empty, and it holds the Plan of now. */
function beginRequest(ex: number): void {
  count(Count.Requests);
  exRequests[ex]++;
  exGeneration[ex] = planHold();
  exStartMs[ex] = clockMs();
  exReason[ex] = Reason.None;
  exErrno[ex] = 0;
  exTried[ex] = 0;
  exServer[ex] = NONE;
  exUpstream[ex] = NONE;
  exRoute[ex] = NONE;
  exStatus[ex] = 0;
  exInterim[ex] = 0;
  exKeptBytes[ex] = 0;
  exMethodEnd[ex] = 0;
  exTargetEnd[ex] = 0;
  exHostEnd[ex] = exHost[ex] = 0;
  exUpBytes[ex] = 0;
  exDownBytes[ex] = 0;
  exConnectMs[ex] = 0;
  exFirstMs[ex] = 0;
}

/** A request's head is whole: what it says is kept, a route is chosen. */
function requestCame(ex: number): void {
  const down = exDown[ex], head = request;
  exFlags[ex] = flagsOfRequest();
  bodyBegin(down, head, false);
  const block = takeBlockFor(head.bytes);
  if (block === NONE) return say(ex, Reason.OutOfResources, 503, true);
  arenaBytes.copyWithin(block, head.at, head.at + head.bytes);
  exKept[ex] = block;
  exKeptBytes[ex] = head.bytes;
  exMethodEnd[ex] = head.methodEnd;
  exTargetEnd[ex] = head.targetEnd;
  exHost[ex] = head.authority;
  exHostEnd[ex] = head.authorityEnd;
  timerSet(down, clockMs() + plan.listenerBodyStallMs[exListener[ex]]);

  if (head.method === Method.Connect) return say(ex, Reason.BadRequest, 501, true); // no forward proxy
  if (viaPasses(arenaBytes, head) > VIA_MAX) return say(ex, Reason.Loop, 502, true);
  switch (chooseWay(ex, plan)) {
    case Way.Upstream:
      break;
    case Way.Redirect:
      return reply(ex, sayRedirect);
    case Way.Respond:
      return reply(ex, sayFixed);
    case Way.BadPath:
      exErrno[ex] = Refusal.BadPath;
      return say(ex, Reason.BadRequest, 400, true);
    case Way.TooLong:
      return say(ex, Reason.RequestTooLong, 413, true);
    default:
      return say(ex, Reason.NoRoute, 404, true);
  }
  exSetState(ex, ExState.Connect);
  setFresh(ex);
  requestReached(ex, reachFirst(ex));
  if (freshEx === ex) {
    // Its server is not there yet: what came behind the head waits.
    setFresh(NONE);
    const waits = (exState[ex] === ExState.Connect || exState[ex] === ExState.Queue) && restBytes > 0;
    if (waits && !unreadKeep(down, restAt, restBytes, false)) {
      exFlags[ex] |= ExFlag.Last; // what came is lost, and with it where the next request begins
      fail(ex, Reason.OutOfResources, 0);
    }
  }
}

/** What is to be remembered of the request in `request`. */
function flagsOfRequest(): number {
  let flags: number = ExFlag.Http;
  if (!(request.flags & HeadFlag.Persistent) || draining) flags |= ExFlag.Last;
  if (request.flags & HeadFlag.Old) flags |= ExFlag.Old;
  if (request.flags & HeadFlag.Upgrade) flags |= ExFlag.Upgrade;
  if (request.method === Method.Head) flags |= ExFlag.Bodiless;
  const idempotent = request.method !== Method.Post && request.method !== Method.Patch &&
    request.method !== Method.Connect && request.method !== Method.Other;
  if (idempotent && request.framing === Framing.None) flags |= ExFlag.Repeatable;
  return flags;
}

/** Every server that could take the exchange is full: it waits for a place. */
function queue(ex: number): void {
  if (!queueJoin(ex)) return fail(ex, Reason.QueueFull, 0);
  exSetState(ex, ExState.Queue);
  runAgain(exDown[ex]); // a place that was given before we stood here was offered to nobody
  timerSet(exDown[ex], clockMs() + planOf(exGeneration[ex]).upstreamQueueMs[exUpstream[ex]]);
}

/** An exchange in the queue: its client may be gone, or a place may be free. */
export function queueEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  if (bits & Ready.Fin && leftUs(ex, down)) return exchangeEnd(ex, Reason.ClientGone, 0);
  if (bits !== 0) return;
  queueLeave(ex);
  exSetState(ex, ExState.Connect);
  exTried[ex] = 0;
  const how = reachFirst(ex);
  if (how !== Reached.Full) return requestReached(ex, how);
  queueRejoin(ex); // its deadline goes on
  exSetState(ex, ExState.Queue);
}

/** The server is there: the request goes to it. */
function forward(ex: number): void {
  const down = exDown[ex];
  // What came behind a fresh head stays its own until it is sent, kept or dropped: nothing gets lost.
  const isFresh = freshEx === ex;
  if (!isFresh) recallRequest(ex);
  const held = planOf(exGeneration[ex]);
  exSetState(ex, ExState.Forward);
  exConnectMs[ex] = clockMs();
  switch (forwardRequest(ex, held, isFresh)) {
    case Forwarded.Sent:
      setFresh(NONE);
      break;
    case Forwarded.SinkBroken:
      setFresh(NONE);
      return serverBroke(ex, Reason.ServerReset, forwardErrno);
    case Forwarded.TooLong:
      exErrno[ex] = Refusal.HeadTooLong;
      return say(ex, Reason.BadRequest, 431, true);
    case Forwarded.Malformed:
      exFlags[ex] |= ExFlag.Last; // where the next request begins is not known
      setFresh(NONE);
      return badBody(ex, bodyRefusal);
    default:
      exFlags[ex] |= ExFlag.Last;
      setFresh(NONE);
      return say(ex, Reason.OutOfResources, 503, true);
  }
  allow(ex);
  if (slotBody[down] !== Body.Ended || slotHold[down] !== NONE) moveRequest(ex);
  if (exState[ex] === ExState.Forward && slotReady[exUp[ex]] & Ready.In) moveAnswer(ex);
}

/** A request's body is none, or too long. */
function badBody(ex: number, refusal: Refusal): void {
  if (refusal === Refusal.BodyTooLong) return fail(ex, Reason.RequestTooLong, 0);
  fail(ex, Reason.BadRequest, refusal);
}

/** Request and answer move, each as far as it can. */
export function forwardEvent(ex: number, slot: number, bits: number): void {
  const opened = (bits & ~slotReady[slot] & Ready.Out) !== 0;
  readyAdd(slot, bits);
  const down = exDown[ex];
  if (slot !== down) {
    if (opened) moveRequest(ex);
    if (exState[ex] === ExState.Forward && exUp[ex] === slot) moveAnswer(ex);
    return;
  }
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  if (bits & Ready.Fin && slotBody[down] === Body.Ended && leftUs(ex, down)) {
    return exchangeEnd(ex, Reason.ClientGone, 0);
  }
  if (slotBody[down] !== Body.Ended || slotHold[down] !== NONE) moveRequest(ex);
  if (opened && exState[ex] === ExState.Forward) moveAnswer(ex);
}

/** Whether a client that has ended its stream has left. One that said this was its last request may have
 * half-closed, as old programs do; one with more requests under way has as well. */
export function leftUs(ex: number, down: number): boolean {
  if (exFlags[ex] & ExFlag.Last || slotUnreadBytes[down] > 0) return false;
  return sys.peek(down, ARENA_SCRATCH, 1) === 0;
}

/** Moves the request's body to the server. */
function moveRequest(ex: number): void {
  const down = exDown[ex], up = exUp[ex];
  if (exFlags[ex] & ExFlag.Deaf) return;
  const before = slotMovedBytes[down];
  const pumped = pump(down);
  moved(ex, slotMovedBytes[down] - before, true);
  switch (pumped) {
    case Pumped.Waiting:
    case Pumped.Ended:
      return;
    case Pumped.SourceBroken:
      return exchangeEnd(ex, Reason.ClientReset, pumpErrno);
    case Pumped.Truncated:
      return exchangeEnd(ex, Reason.ClientGone, 0);
    case Pumped.SinkBroken: {
      // A server may answer and close without reading everything: what it said is delivered first.
      const errno = pumpErrno;
      exFlags[ex] |= ExFlag.LastUp;
      moveAnswer(ex);
      if (exState[ex] !== ExState.Forward || exUp[ex] !== up) return;
      if (!(exFlags[ex] & ExFlag.Answered)) return serverBroke(ex, Reason.ServerReset, errno);
      // The answer is on its way and goes to its end; nobody takes the rest of the request.
      if (slotHold[down] !== NONE) holdGive(down, false);
      exFlags[ex] |= ExFlag.Last | ExFlag.Deaf;
      return;
    }
    case Pumped.Malformed:
      return badBody(ex, pumpErrno);
    default:
      exFlags[ex] |= ExFlag.Last; // what came is lost, and with it where the next request begins
      return fail(ex, Reason.OutOfResources, 0);
  }
}

/** Moves the answer to the client: its head, interim ones before it, its body. */
function moveAnswer(ex: number): void {
  const up = exUp[ex];
  while (slotBody[up] === Body.Head) {
    if (slotHold[up] !== NONE) {
      // An interim answer waits for the client: nothing overtakes it.
      const flushed = flush(up, exDown[ex]);
      if (flushed === Pumped.Waiting) return;
      if (flushed !== Pumped.Moved) return exchangeEnd(ex, Reason.ClientReset, pumpErrno);
    }
    const method = exFlags[ex] & ExFlag.Bodiless ? Method.Head : Method.Get;
    switch (nextAnswer(up, method)) {
      case Next.Head:
        break;
      case Next.Waiting:
        return;
      case Next.Gone:
        return serverBroke(ex, Reason.ServerReset, 0);
      case Next.Cut:
        return fail(ex, Reason.AnswerCut, 0);
      case Next.Broken:
        return serverBroke(ex, Reason.ServerReset, nextErrno);
      case Next.Refused:
        return fail(ex, Reason.BadAnswer, nextRefusal);
      default:
        return fail(ex, Reason.OutOfResources, 0);
    }
    if (!answerCame(ex)) return;
  }
  if (slotBody[up] === Body.Ended && slotHold[up] === NONE) return answerDone(ex);
  const before = slotMovedBytes[up];
  const pumped = pump(up);
  moved(ex, slotMovedBytes[up] - before, false);
  switch (pumped) {
    case Pumped.Waiting:
      return;
    case Pumped.Ended:
      return answerDone(ex);
    case Pumped.SinkBroken:
      return exchangeEnd(ex, Reason.ClientReset, pumpErrno);
    case Pumped.SourceBroken:
    case Pumped.Truncated:
      return exchangeEnd(ex, Reason.AnswerCut, pumped === Pumped.Truncated ? 0 : pumpErrno);
    case Pumped.Malformed:
      return exchangeEnd(ex, Reason.BadAnswer, pumpErrno);
    default:
      return exchangeEnd(ex, Reason.OutOfResources, 0);
  }
}

/** An answer's head is whole: it is forwarded. False: the exchange has gone another way. */
function answerCame(ex: number): boolean {
  const up = exUp[ex], status = answer.status;
  if (status < 200 && status !== 101) return interimCame(ex, up);
  if (status === 101 && !(exFlags[ex] & ExFlag.Upgrade)) {
    fail(ex, Reason.UpgradeFailed, 0);
    return false;
  }
  const unchunk = (exFlags[ex] & ExFlag.Old) !== 0 && answer.framing === Framing.Chunked;
  if (status === 101) slotBody[up] = Body.Raw;
  else bodyBegin(up, answer, unchunk);
  if (answer.framing === Framing.UntilClose || unchunk || draining) exFlags[ex] |= ExFlag.Last;
  if (!(answer.flags & HeadFlag.Persistent)) exFlags[ex] |= ExFlag.LastUp;
  const seconds = keepAliveSeconds(arenaBytes, answer);
  if (seconds > 0) poolLearn(exServer[ex], seconds);
  exFlags[ex] |= ExFlag.Answered;
  exStatus[ex] = status;
  exFirstMs[ex] = clockMs();
  allow(ex);
  switch (forwardAnswer(ex)) {
    case Forwarded.Sent:
      break;
    case Forwarded.SinkBroken:
      exchangeEnd(ex, Reason.ClientReset, forwardErrno);
      return false;
    case Forwarded.Malformed:
      exchangeEnd(ex, Reason.BadAnswer, 0);
      return false;
    case Forwarded.TooLong:
      exFlags[ex] &= ~ExFlag.Answered;
      fail(ex, Reason.BadAnswer, 0);
      return false;
    default:
      exFlags[ex] &= ~ExFlag.Answered;
      fail(ex, Reason.OutOfResources, 0);
      return false;
  }
  if (status !== 101) return true;
  switched(ex);
  return false;
}

/** A 1xx head: passed on to who knows it, and the next one awaited. */
function interimCame(ex: number, up: number): boolean {
  if (++exInterim[ex] > INTERIM_MAX) {
    fail(ex, Reason.BadAnswer, 0);
    return false;
  }
  if (exFlags[ex] & ExFlag.Old) {
    if (restBytes === 0 || unreadKeep(up, restAt, restBytes, false)) return true;
    fail(ex, Reason.OutOfResources, 0);
    return false;
  }
  switch (forwardAnswer(ex)) {
    case Forwarded.Sent:
      return true;
    case Forwarded.SinkBroken:
      exchangeEnd(ex, Reason.ClientReset, forwardErrno);
      return false;
    default:
      fail(ex, Reason.OutOfResources, 0);
      return false;
  }
}

/** The server has switched protocols: from here on the two are a tunnel. */
function switched(ex: number): void {
  const down = exDown[ex], up = exUp[ex];
  slotBody[down] = Body.Raw;
  planGive(exGeneration[ex]);
  exGeneration[ex] = 0;
  tunnelBegin(ex);
  pumpUnread(down);
  pumpUnread(up);
  tunnelRun(ex, down, 0);
  if (exState[ex] === ExState.Tunnel && exUp[ex] === up) tunnelRun(ex, up, 0);
}

/** The whole answer is out. The server's connection is kept if both sides are done with it. */
function answerDone(ex: number): void {
  const up = exUp[ex], down = exDown[ex];
  const whole = slotBody[down] === Body.Ended && slotHold[down] === NONE;
  exReason[ex] = Reason.Finished;
  const stays = serverIsThere(plan, exServer[ex]);
  if (whole && stays && !(exFlags[ex] & ExFlag.LastUp) && slotBody[up] === Body.Ended) {
    const held = planOf(exGeneration[ex]), upstream = exUpstream[ex];
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
  if (!whole || draining || exFlags[ex] & ExFlag.Last) return leaveClient(ex, whole);
  exSetState(ex, ExState.Head);
  exFlags[ex] = ExFlag.Http;
  slotBody[down] = Body.Head;
  slotScanned[down] = 0;
  timerSet(down, clockMs() + plan.listenerClientIdleMs[exListener[ex]]);
  if (readable(down)) runAgain(down);
}

/** The exchange cannot go on: the client is told why, if it can still be told, else its connection ends. */
function fail(ex: number, reason: Reason, errno: number): void {
  const status = reason === Reason.BadRequest ? REFUSALS[errno].status : REASON_STATUS[reason];
  if (exFlags[ex] & ExFlag.Answered || status === 0) {
    return exchangeEnd(ex, reason, errno);
  }
  exErrno[ex] = errno;
  say(ex, reason, status, true);
}

const REASON_STATUS = Uint16Array.from(REASONS, (reason) => reason.status);

/** Answers with a reason. `understood`: the request's head was, so its Accept chooses the form, and its body
 * may be on the way. */
function say(ex: number, reason: Reason, status: number, understood: boolean): void {
  const down = exDown[ex], held = planOf(exGeneration[ex]);
  const wasFresh = exState[ex] === ExState.Head || freshEx === ex;
  if (freshEx === ex) setFresh(NONE);
  if (exState[ex] === ExState.Queue) queueGiveUp(ex);
  part(ex, true);
  exReason[ex] = reason;
  if (slotHold[down] !== NONE) holdGive(down, false);
  const whole = understood && skipBody(ex, wasFresh);
  if (!whole) exFlags[ex] |= ExFlag.Last;
  exSetState(ex, ExState.Answer);
  if (understood && !wasFresh && exKept[ex] !== NONE) recallRequest(ex);
  const head = understood && (wasFresh || exKept[ex] !== NONE) ? request : null;
  const refusal = reason === Reason.BadRequest ? exErrno[ex] : Refusal.None;
  saidOf(ex, sayReason(ex, held, reason, status, refusal, head));
}

/** Answers as the route says. */
function reply(ex: number, how: (ex: number, held: Plan) => number): void {
  const whole = skipBody(ex, true);
  if (!whole) exFlags[ex] |= ExFlag.Last;
  exReason[ex] = Reason.Answered;
  exSetState(ex, ExState.Answer);
  saidOf(ex, how(ex, planOf(exGeneration[ex])));
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
  if (said === FULL) return exchangeEnd(ex, Reason.OutOfResources, 0);
  if (said < 0) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  timerSet(exDown[ex], clockMs() + plan.listenerClientIdleMs[exListener[ex]]);
  answerEvent(ex, exDown[ex], 0); // a send that took a part may take more
}

/** The client takes more of what we say. */
export function answerEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  switch (flush(down, down)) {
    case Pumped.Waiting:
      if (pumpProgress) timerSet(down, clockMs() + plan.listenerClientIdleMs[exListener[ex]]);
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
  const quiet = whole && !(slotReady[down] & Ready.In);
  if (quiet || slotFlags[down] & SlotFlag.Finished) return exchangeEnd(ex, Reason.Finished, 0);
  if (sys.shutdown(down) < 0) return exchangeEnd(ex, Reason.Finished, 0);
  exSetState(ex, ExState.Linger);
  exUpBytes[ex] = 0;
  exStartMs[ex] = clockMs();
  timerSet(down, clockMs() + LINGER_MS);
  lingerEvent(ex, down, 0);
}

/** Reads and drops what a client still sends: for as long as it comes, within bounds. */
export function lingerEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  const before = exUpBytes[ex];
  while (slotReady[down] & Ready.In) {
    if (exUpBytes[ex] - before >= TURN_BYTES) return runAgain(down);
    const read = sys.recv(down, ARENA_RECEIVE, RECEIVE_BYTES);
    if (read === -EAGAIN) {
      readyDry(down);
      break;
    }
    if (read <= 0) return exchangeEnd(ex, Reason.Finished, 0);
    exUpBytes[ex] += read;
  }
  const over = clockMs() - exStartMs[ex] > LINGER_WHOLE_MS || exUpBytes[ex] > LINGER_BYTES_MAX;
  if (over) return exchangeEnd(ex, Reason.Finished, 0);
  if (exUpBytes[ex] > before) timerSet(down, clockMs() + LINGER_MS);
}

/** So many bytes of a request or an answer were moved. */
function moved(ex: number, bytes: number, up: boolean): void {
  if (bytes === 0 && !pumpProgress) return;
  if (up) exUpBytes[ex] += bytes;
  else exDownBytes[ex] += bytes;
  allow(ex); // whoever moves has time again
}

/** Gives the exchange's next step its time, within what the whole may take. */
function allow(ex: number): void {
  const held = planOf(exGeneration[ex]), upstream = exUpstream[ex];
  const ms = slotBody[exDown[ex]] !== Body.Ended
    ? held.listenerBodyStallMs[exListener[ex]]
    : exFlags[ex] & ExFlag.Answered
    ? held.upstreamServerIdleMs[upstream]
    : held.upstreamAnswerMs[upstream];
  const now = clockMs(), whole = held.listenerExchangeMs[exListener[ex]];
  timerSet(exDown[ex], whole === 0 ? now + ms : Math.min(now + ms, exStartMs[ex] + whole));
}

/** Nothing moved for too long: whose turn was it? */
function forwardTimeout(ex: number): void {
  const down = exDown[ex], up = exUp[ex];
  if (slotHold[up] !== NONE) return exchangeEnd(ex, Reason.WriteTimeout, 0);
  if (exFlags[ex] & ExFlag.Answered) return exchangeEnd(ex, Reason.AnswerTimeout, 0);
  const clientStalls = slotBody[down] !== Body.Ended && slotHold[down] === NONE;
  fail(ex, clientStalls ? Reason.RequestTimeout : Reason.AnswerTimeout, 0);
}

/** The server's connection broke before its answer began. A kept one may have been closed while the request
 * was on its way to it: where that does no harm, the request goes to a new one, once. */
function serverBroke(ex: number, reason: Reason, errno: number): void {
  const flags = exFlags[ex];
  const again = ExFlag.Reused | ExFlag.Repeatable;
  const silent = slotScanned[exUp[ex]] === 0 && exInterim[ex] === 0;
  if ((flags & again) === again && !(flags & ExFlag.Repeated) && silent) {
    exFlags[ex] = (flags | ExFlag.Repeated) & ~(ExFlag.Reused | ExFlag.LastUp);
    if (slotHold[exDown[ex]] !== NONE) holdGive(exDown[ex], false);
    part(ex, true);
    exSetState(ex, ExState.Connect);
    placeAgain(ex);
    count(Count.Repeats);
    const how = reachServer(ex);
    return requestReached(ex, how === Reached.Nobody ? reachNext(ex) : how);
  }
  stats.serverFailed[exServer[ex]]++;
  fail(ex, reason, errno);
}
