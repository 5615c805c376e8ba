// One request from its first byte to the next one's, in order: its head comes, a route is chosen, a server
// reached (or waited for), the request forwarded, the answer forwarded, and the next request awaited; or
// Sluice answers itself; or the two ends become a tunnel. Every step is somebody else's.
import { unreachable } from "../base/assert.ts";
import { ARENA_SCRATCH, INTERIM_MAX, NONE } from "../base/limits.ts";
import { holdGive } from "../net/holds.ts";
import { Ready, readyAdd } from "../net/ready.ts";
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
import { unreadKeep } from "../net/unread.ts";
import { isHashed } from "../policy/balance.ts";
import { Way } from "../policy/way.ts";
import { Framing, HeadFlag, Method } from "../proto/head.ts";
import { keepAliveSeconds } from "../proto/keep_alive.ts";
import { Refusal, REFUSALS } from "../proto/refusal.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { Body, ExFlag, ExState, SlotFlag } from "../shared/tables.ts";
import { ECONNRESET } from "../sys/errno.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { sayChallenge, sayFixed, sayNothing, sayPage, sayRedirect, sayToHttps } from "./answer.ts";
import { bodyBegin, bodyRefusal } from "./body.ts";
import { count, plan, planGive, planHold, planOf, stats } from "./context.ts";
import { allow, allowUntil, isOver, isStuck } from "./deadlines.ts";
import { exchangeEnd } from "./end.ts";
import {
  exConnectMs,
  exDown,
  exDownBefore,
  exDownBytes,
  exErrno,
  exFirst,
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
  exOpenedMs,
  exQueuedMs,
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
  exUnqueuedMs,
  exUp,
  exUpBefore,
  exUpBytes,
  exUpstream,
} from "./exchanges.ts";
import { forwardAnswer, Forwarded, forwardErrno, forwardRequest } from "./forward.ts";
import { isAlerted, shakenDetail } from "./handshake.ts";
import { keepHead, keepLine, recallHead, trimHead } from "./kept_head.ts";
import { paceLeave } from "./pace.ts";
import { poolLearn } from "./pool.ts";
import { flush, pump, pumpBody, Pumped, pumpErrno, pumpProgress, pumpUnread } from "./pump.ts";
import { queueLook } from "./queue.ts";
import { latencyCame, latencyFailed, part, reachAgain, Reached, reachFirst, reachOpened } from "./reach.ts";
import { answerDone, fail, isLeaving, reply, say } from "./request_end.ts";
import { chooseWay, wayRefusal } from "./routing.ts";
import { stand, standsBehind, standTimeout, Stood, tellPlace } from "./stand.ts";
import { keyOfRequest } from "./server.ts";
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
    case Reached.Waiting:
      return;
    case Reached.Full:
      if (!stand(ex)) fail(ex, Reason.QueueFull, 0);
      return;
    default:
      tellPlace(ex);
      if (how === Reached.Connected) return connected(ex);
      return fail(ex, exReason[ex], exErrno[ex]);
  }
}

/** The server's connection is there. */
function connected(ex: number): void {
  reachOpened(ex);
  stats.serverRequests[exServer[ex]]++;
  if (exQueuedMs[ex] !== 0) queueLook(exUpstream[ex]); // its server may be back, with more places
  exReason[ex] = Reason.None;
  exErrno[ex] = 0;
  forward(ex);
}

/** Somebody waits too long: in the middle of a head, in the queue, for the other side. */
export function requestTimeout(ex: number, slot: number): void {
  switch (exState[ex]) {
    case ExState.Head:
      if (slotScanned[slot] === 0) return exchangeEnd(ex, Reason.ClientIdle, 0);
      return refuse(ex, Reason.RequestTimeout, 408, Refusal.None, false);
    case ExState.Queue:
      return queueTimeout(ex);
    case ExState.Connect:
      if (isOver(ex)) return fail(ex, Reason.ExchangeTimeout, 0);
      return allow(ex); // the client's own time begins anew when its server is there
    case ExState.Forward:
      return forwardTimeout(ex);
    case ExState.Answer:
      return exchangeEnd(ex, isOver(ex) ? Reason.ExchangeTimeout : Reason.WriteTimeout, 0);
    case ExState.Linger:
      return exchangeEnd(ex, Reason.Finished, 0);
    default:
      return unreachable("request: a deadline in a state that has none");
  }
}

/** A client's connection has its slot: its first request is awaited. */
export function requestAwait(ex: number, bits: number): void {
  const down = exDown[ex];
  accountsBegin(ex);
  exFlags[ex] = ExFlag.Http;
  exKept[ex] = NONE;
  slotBody[down] = Body.Head;
  slotScanned[down] = 0;
  timerSet(down, clockMs() + plan.listenerRequestHeadMs[exListener[ex]]);
  headEvent(ex, down, bits);
}

/** Nothing is known yet of a connection whose requests are told one by one. */
function accountsBegin(ex: number): void {
  exRequests[ex] = 0;
  exOpenedMs[ex] = exStartMs[ex];
  exUpBefore[ex] = exDownBefore[ex] = 0;
}

/** A client's connection is refused before any request of it could be read, with the reason's status. */
export function requestRefuse(ex: number, reason: Reason, detail: number): void {
  accountsBegin(ex);
  exFlags[ex] = ExFlag.Http;
  exKept[ex] = NONE;
  slotBody[exDown[ex]] = Body.Ended;
  refuse(ex, reason, REASONS[reason].status, detail, false);
}

/** The client may have sent a request, or a part of one. */
export function headEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  const before = slotScanned[down];
  switch (nextRequest(down)) {
    case Next.Head:
      beginRequest(ex);
      requestCame(ex);
      if (bits & Ready.Fin) leftAtOnce(ex, down);
      return;
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
      return refuse(ex, Reason.BadRequest, REFUSALS[nextRefusal].status, nextRefusal, true);
    default:
      return refuse(ex, Reason.OutOfResources, 503, Refusal.None, false);
  }
}

/** The client's end of stream came with its request, and no event will tell of it again. */
function leftAtOnce(ex: number, down: number): void {
  switch (exState[ex]) {
    case ExState.Forward:
      if (slotBody[down] !== Body.Ended) return; // its body tells
      break;
    case ExState.Connect:
    case ExState.Queue:
      break;
    default:
      return;
  }
  if (leftUs(ex, down)) exchangeEnd(ex, Reason.ClientGone, 0);
}

/** What came is no request that could be understood: it is told why, and where the next begins is unknown. */
function refuse(ex: number, reason: Reason, status: number, detail: number, hasLine: boolean): void {
  exFlags[ex] |= ExFlag.Last;
  beginRequest(ex);
  if (hasLine) keepLine(ex);
  exErrno[ex] = detail;
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
  if (exQueuedMs[ex] !== 0) exQueuedMs[ex] = exUnqueuedMs[ex] = 0;
}

/** A request's head is whole: what it says is kept, a route is chosen. */
function requestCame(ex: number): void {
  const down = exDown[ex], head = request;
  exFlags[ex] = flagsOfRequest(ex);
  bodyBegin(down, head, false);
  if (!keepHead(ex)) return say(ex, Reason.OutOfResources, 503, true);
  allowUntil(ex, clockMs() + plan.listenerBodyStallMs[exListener[ex]]);
  switch (chooseWay(ex, plan)) {
    case Way.Upstream:
      break;
    case Way.Redirect:
      return reply(ex, sayRedirect);
    case Way.Respond:
      return reply(ex, sayFixed);
    case Way.Page:
      return reply(ex, sayPage);
    case Way.BadPath:
      exErrno[ex] = wayRefusal;
      return say(ex, Reason.BadRequest, 400, true);
    case Way.Undecided:
      return say(ex, Reason.PatternLimit, 500, true);
    case Way.TooLong:
      return say(ex, Reason.RequestTooLong, 413, true);
    case Way.Connect:
      return say(ex, Reason.BadRequest, 501, true); // no forward proxy
    case Way.LastHop:
      return lastHop(ex, head.method);
    case Way.Loop:
      return say(ex, Reason.Loop, 502, true);
    case Way.Challenge:
      return reply(ex, sayChallenge);
    case Way.ToHttps:
      return reply(ex, sayToHttps);
    case Way.NoHost:
      exErrno[ex] = Refusal.NoHost;
      return say(ex, Reason.BadRequest, 400, true);
    case Way.Misdirected:
      return say(ex, Reason.Misdirected, 421, true);
    default:
      return say(ex, Reason.NoRoute, 404, true);
  }
  exSetState(ex, ExState.Connect);
  setFresh(ex);
  if (isHashed(plan, exUpstream[ex])) exFirst[ex] = keyOfRequest(plan, exUpstream[ex], down);
  requestReached(ex, standsBehind(exUpstream[ex]) ? Reached.Full : reachFirst(ex));
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

/** A request that goes no further than to us. What we are is no secret; TRACE would repeat its credentials. */
function lastHop(ex: number, method: Method): void {
  if (method === Method.Trace) return say(ex, Reason.BadRequest, 501, true);
  reply(ex, sayNothing);
}

/** What is to be remembered of the request in `request`. */
function flagsOfRequest(ex: number): number {
  let flags: number = ExFlag.Http;
  if (!(request.flags & HeadFlag.Persistent)) flags |= ExFlag.Last | ExFlag.Parting;
  if (isLeaving(ex)) flags |= ExFlag.Last;
  if (request.flags & HeadFlag.Old) flags |= ExFlag.Old;
  if (request.flags & HeadFlag.Upgrade) flags |= ExFlag.Upgrade;
  if (request.method === Method.Head) flags |= ExFlag.Bodiless;
  const idempotent = request.method !== Method.Post && request.method !== Method.Patch &&
    request.method !== Method.Connect && request.method !== Method.Other;
  if (idempotent && request.framing === Framing.None) flags |= ExFlag.Repeatable;
  return flags;
}

/** The client of an exchange in the queue may be gone. */
export function queueEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  if (bits & Ready.Fin && leftUs(ex, down)) return exchangeEnd(ex, Reason.ClientGone, 0);
}

/** It has waited for a place long enough, or looks for one itself. */
function queueTimeout(ex: number): void {
  if (isOver(ex)) return fail(ex, Reason.ExchangeTimeout, 0);
  switch (standTimeout(ex)) {
    case Stood.Waiting:
      return;
    case Stood.Again:
      return requestReached(ex, reachFirst(ex));
    case Stood.TooLong:
      return fail(ex, Reason.QueueTimeout, 0);
    case Stood.Nobody:
      return fail(ex, Reason.DestinationUnavailable, 0);
  }
}

/** The server is there: the request goes to it. */
function forward(ex: number): void {
  const down = exDown[ex];
  // What came behind a fresh head stays its own until it is sent, kept or dropped: nothing gets lost.
  const isFresh = freshEx === ex;
  if (!isFresh) recallHead(ex);
  const held = planOf(exGeneration[ex]);
  exSetState(ex, ExState.Forward);
  exConnectMs[ex] = clockMs();
  switch (forwardRequest(ex, held, isFresh)) {
    case Forwarded.Sent:
      setFresh(NONE);
      break;
    case Forwarded.SinkBroken:
      setFresh(NONE);
      return serverDeaf(ex, forwardErrno);
    case Forwarded.TooLong:
      exErrno[ex] = Refusal.HeadTooLong;
      return say(ex, Reason.BadRequest, 431, true);
    case Forwarded.BadPath:
      exErrno[ex] = wayRefusal;
      return say(ex, Reason.BadRequest, 400, true);
    case Forwarded.NoHost:
      exErrno[ex] = Refusal.BadHost;
      return say(ex, Reason.BadRequest, 400, true);
    case Forwarded.Malformed:
      exFlags[ex] |= ExFlag.Last; // where the next request begins is not known
      setFresh(NONE);
      return badBody(ex, bodyRefusal);
    default:
      exFlags[ex] |= ExFlag.Last;
      setFresh(NONE);
      return say(ex, Reason.OutOfResources, 503, true);
  }
  const bodyCame = slotUnreadBytes[down] > 0 || (isFresh && restBytes > 0);
  if (request.flags & HeadFlag.Continue && !bodyCame) exFlags[ex] |= ExFlag.Expects;
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
  if (exFlags[ex] & ExFlag.Parting || slotUnreadBytes[down] > 0) return false;
  return sys.peek(down, ARENA_SCRATCH, 1) === 0;
}

/** Moves the request's body to the server. */
function moveRequest(ex: number): void {
  const down = exDown[ex];
  if (exFlags[ex] & ExFlag.Deaf) return;
  const before = slotMovedBytes[down];
  const pumped = pump(down);
  if (slotMovedBytes[down] !== before) exFlags[ex] &= ~ExFlag.Expects; // it does not wait for leave
  moved(ex, true);
  switch (pumped) {
    case Pumped.Waiting:
    case Pumped.Full:
      return;
    case Pumped.Ended:
      // Its end of stream was told while the body was on its way.
      if (slotReady[down] & Ready.Fin && leftUs(ex, down)) exchangeEnd(ex, Reason.ClientGone, 0);
      return;
    case Pumped.SourceBroken:
      return exchangeEnd(ex, Reason.ClientReset, pumpErrno);
    case Pumped.Truncated:
      return exchangeEnd(ex, Reason.ClientGone, 0);
    case Pumped.SinkBroken:
      return serverDeaf(ex, pumpErrno);
    case Pumped.Malformed:
      return badBody(ex, pumpErrno);
    default:
      exFlags[ex] |= ExFlag.Last; // what came is lost, and with it where the next request begins
      return fail(ex, Reason.OutOfResources, 0);
  }
}

/** The server takes nothing more. It may answer and close without reading everything: what it said is delivered
 * first. */
function serverDeaf(ex: number, errno: number): void {
  const down = exDown[ex], up = exUp[ex];
  exFlags[ex] |= ExFlag.LastUp;
  if (slotFlags[up] & SlotFlag.Shaped) paceLeave(up); // what it said is read now or never
  moveAnswer(ex);
  if (exState[ex] !== ExState.Forward || exUp[ex] !== up) return;
  if (!(exFlags[ex] & ExFlag.Answered)) return serverBroke(ex, Reason.ServerReset, errno);
  // The answer is on its way and goes to its end; nobody takes the rest of the request.
  if (slotHold[down] !== NONE) holdGive(down, false);
  exFlags[ex] |= ExFlag.Last | ExFlag.Deaf;
}

/** Moves the answer to the client: its head, interim ones before it, its body. */
function moveAnswer(ex: number): void {
  const up = exUp[ex];
  while (slotBody[up] === Body.Head) {
    if (slotHold[up] !== NONE) {
      // An interim answer waits for the client: nothing overtakes it.
      const flushed = flush(up, exDown[ex]);
      if (pumpProgress) allow(ex);
      if (flushed === Pumped.Full) return;
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
  const pumped = pump(up);
  moved(ex, false);
  switch (pumped) {
    case Pumped.Waiting:
    case Pumped.Full:
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
  if (answer.framing === Framing.UntilClose || unchunk || isLeaving(ex)) exFlags[ex] |= ExFlag.Last;
  if (!(answer.flags & HeadFlag.Persistent)) exFlags[ex] |= ExFlag.LastUp;
  // Nobody takes the rest of the request: its client is told that no other will be read behind it.
  const early = status !== 101 && slotBody[exDown[ex]] !== Body.Ended;
  if (early && exFlags[ex] & (ExFlag.LastUp | ExFlag.Expects)) exFlags[ex] |= ExFlag.Last;
  const seconds = keepAliveSeconds(arenaBytes, answer);
  if (seconds > 0) poolLearn(exServer[ex], seconds);
  exFlags[ex] |= ExFlag.Answered;
  exStatus[ex] = status;
  exFirstMs[ex] = clockMs();
  latencyCame(ex);
  allow(ex);
  switch (forwardAnswer(ex)) {
    case Forwarded.Sent:
      trimHead(ex);
      break;
    case Forwarded.SinkBroken:
      exchangeEnd(ex, Reason.ClientReset, forwardErrno);
      return false;
    case Forwarded.Malformed:
      exFlags[ex] &= ~ExFlag.Answered; // nothing of it was sent
      fail(ex, Reason.BadAnswer, bodyRefusal);
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
  if (answer.status === 100) exFlags[ex] &= ~ExFlag.Expects; // it is the client's turn
  if (exFlags[ex] & ExFlag.Old) {
    if (restBytes === 0 || unreadKeep(up, restAt, restBytes, false)) return true;
    fail(ex, Reason.OutOfResources, 0);
    return false;
  }
  switch (forwardAnswer(ex)) {
    case Forwarded.Sent:
      allow(ex); // who says "still at it" has time again, INTERIM_MAX times
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
  tunnelBegin(ex);
  planGive(exGeneration[ex]);
  exGeneration[ex] = 0;
  exUpBytes[ex] += pumpUnread(down);
  exDownBytes[ex] += pumpUnread(up);
  tunnelRun(ex, down, 0);
  if (exState[ex] === ExState.Tunnel && exUp[ex] === up) tunnelRun(ex, up, 0);
}

/** Counts what was moved of a request or an answer. */
function moved(ex: number, up: boolean): void {
  if (!pumpProgress) return;
  if (up) exUpBytes[ex] += pumpBody;
  else exDownBytes[ex] += pumpBody;
  allow(ex); // whoever moves has time again
}

/** Nothing moved for too long: whose turn was it? */
function forwardTimeout(ex: number): void {
  if (isOver(ex)) return fail(ex, Reason.ExchangeTimeout, 0);
  const down = exDown[ex], up = exUp[ex];
  if (isStuck(up, down)) return exchangeEnd(ex, Reason.WriteTimeout, 0);
  if (exFlags[ex] & ExFlag.Answered) return exchangeEnd(ex, Reason.AnswerTimeout, 0);
  const clientStalls = slotBody[down] !== Body.Ended && !isStuck(down, up) && !(exFlags[ex] & ExFlag.Expects);
  if (!clientStalls) latencyFailed(ex);
  fail(ex, clientStalls ? Reason.RequestTimeout : Reason.AnswerTimeout, 0);
}

/** The server's connection broke before its answer began. A kept one may have been closed while the request
 * was on its way to it: where that does no harm, the request goes once more, on a new connection: to the next
 * server, since this one may be ending; to the same if there is no other. */
function serverBroke(ex: number, reason: Reason, errno: number): void {
  const flags = exFlags[ex];
  const again = ExFlag.Reused | ExFlag.Repeatable;
  const silent = slotScanned[exUp[ex]] === 0 && exInterim[ex] === 0;
  if ((flags & again) === again && !(flags & ExFlag.Repeated) && silent) {
    exFlags[ex] = (flags | ExFlag.Repeated) & ~(ExFlag.Reused | ExFlag.LastUp);
    if (slotHold[exDown[ex]] !== NONE) holdGive(exDown[ex], false);
    part(ex, true);
    exSetState(ex, ExState.Connect);
    count(Count.Repeats);
    return requestReached(ex, reachAgain(ex));
  }
  stats.serverFailed[exServer[ex]]++;
  latencyFailed(ex);
  if (isAlerted(exUp[ex], errno)) return fail(ex, Reason.ServerAlert, shakenDetail);
  fail(ex, reason, errno);
}
