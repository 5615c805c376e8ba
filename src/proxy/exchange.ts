// One exchange from its first event to its last, in order: which of its steps an event or a deadline
// belongs to. A plain connection: a server is reached, the two ends are a tunnel, the end. A health check
// is the same without a client. What a request goes through is told in request.ts; together they are the
// only files that know what happens next, every step is somebody else's.
import { assert, unreachable } from "../base/assert.ts";
import { ASK_MS, DELAY_MS_MAX, NONE } from "../base/limits.ts";
import { Ready, readyAdd } from "../net/ready.ts";
import {
  slotBody,
  slotEx,
  slotFlags,
  slotReady,
  slotScanned,
  slotSetState,
  slotState,
} from "../net/slots.ts";
import { tickAt, timerClear, timerSet } from "../net/timers.ts";
import { ProbeKind, Protocol } from "../plan/plan.ts";
import { chooserOf } from "../plan/sni.ts";
import { isHashed } from "../policy/balance.ts";
import { detailOfFault, Fault } from "../proto/tls_fault.ts";
import { Reason } from "../shared/reason.ts";
import { PER_LINE } from "../shared/servers.ts";
import { Count } from "../shared/stats.ts";
import { Body, ExFlag, ExState, SlotFlag, SlotState } from "../shared/tables.ts";
import { ECONNRESET, EINPROGRESS, ENOBUFS, ETIMEDOUT } from "../sys/errno.ts";
import { clockMs, sys } from "../sys/sys.ts";
import { readmitted } from "./admission.ts";
import { askForName } from "./asking.ts";
import { closeSlot } from "./close.ts";
import { count, plan, planGive, planHold, planOf, room, shared, stats } from "./context.ts";
import { isOver } from "./deadlines.ts";
import { exchangeEnd, settle } from "./end.ts";
import {
  handshakeAccept,
  handshakeConnect,
  handshakeGo,
  Shaken,
  shakenDetail,
  shakenReason,
} from "./handshake.ts";
import {
  exDown,
  exErrno,
  exFirst,
  exFlags,
  exGeneration,
  exIdleTicks,
  exListener,
  exQueuedMs,
  exReason,
  exRequests,
  exSeenMs,
  exServer,
  exSetState,
  exSource,
  exStartMs,
  exState,
  exUnqueuedMs,
  exUp,
  exUpstream,
  takeExchange,
} from "./exchanges.ts";
import { greet, greetErrno } from "./greeting.ts";
import { helloChoose, helloDetail, helloReason } from "./hello.ts";
import {
  Introduced,
  introducedDetail,
  introducedReason,
  introductionBegin,
  introductionGo,
} from "./introduction.ts";
import { isParked, paceBegin } from "./pace.ts";
import { poolDrop, poolEvent, poolTimeout } from "./pool.ts";
import { probeAnswered, probeConnected } from "./probe.ts";
import { queueLook } from "./queue.ts";
import {
  latencyCame,
  Reached,
  reachFailed,
  reachFirst,
  reachNext,
  reachOpened,
  reachTimed,
  reasonOf,
} from "./reach.ts";
import {
  forwardEvent,
  headEvent,
  leftUs,
  queueEvent,
  requestAwait,
  requestReached,
  requestRefuse,
  requestTimeout,
} from "./request.ts";
import { answerEvent, fail, lingerEvent } from "./request_end.ts";
import { connectedSlot, connectTo, keyOfClient } from "./server.ts";
import { stand, standsBehind, standTimeout, Stood, tellPlace } from "./stand.ts";
import { tunnelBegin, tunnelRun, tunnelTimeout } from "./tunnel.ts";

/** A client's connection has its slot. `bits` came with the newcomer, `source` is who it is counted for. */
export function exchangeOpen(down: number, listener: number, bits: number, source: number): void {
  const proxied = plan.listenerProxyCount[listener] !== 0;
  const ex = takeExchange(proxied ? ExState.Introduction : firstState(listener));
  assert(ex !== NONE, "exchange: a slot was admitted without a row for its exchange");
  slotEx[down] = ex;
  exListener[ex] = listener;
  exUpstream[ex] = plan.listenerUpstream[listener];
  exIdleTicks[ex] = tickAt(plan.listenerTunnelIdleMs[listener]);
  exStartMs[ex] = exSeenMs[ex] = clockMs();
  exSource[ex] = source;
  exDown[ex] = down; // the last: who reads the table meanwhile takes the rest for its own
  if (source !== NONE) Atomics.store(shared.reactorCharging, room * PER_LINE, NONE);
  count(Count.Opened);
  stats.listenerOpened[listener]++;
  stats.listenerCurrent[listener]++;
  if (!proxied) return introduced(ex, bits);
  timerSet(down, clockMs() + plan.listenerHandshakeMs[listener]);
  readyAdd(down, bits);
  introducing(ex, introductionBegin(down, listener));
}

/** What a client's exchange begins with, once it is known who the client is. */
function firstState(listener: number): ExState.Handshake | ExState.Head | ExState.Connect {
  if (plan.listenerTls[listener] !== NONE || chooserOf(plan.sni, listener) !== NONE) return ExState.Handshake;
  return plan.listenerProtocol[listener] === Protocol.Http ? ExState.Head : ExState.Connect;
}

/** The PROXY header of a proxy before us has come so far. */
function introducing(ex: number, how: Introduced): void {
  if (how === Introduced.Failed) return exchangeEnd(ex, introducedReason, introducedDetail);
  if (how === Introduced.Waiting) return;
  const refusal = how === Introduced.Done ? readmitted(ex) : Reason.None;
  if (refusal !== Reason.None) return exchangeEnd(ex, refusal, 0);
  const down = exDown[ex];
  timerClear(down);
  exSetState(ex, firstState(exListener[ex]));
  introduced(ex, slotReady[down]);
}

/** It is known who the client is. `bits`: as it was left. */
function introduced(ex: number, bits: number): void {
  paceBegin(ex);
  if (exState[ex] !== ExState.Handshake) return begin(ex, bits);
  const down = exDown[ex], listener = exListener[ex];
  timerSet(down, clockMs() + plan.listenerHandshakeMs[listener]);
  readyAdd(down, bits);
  if (chooserOf(plan.sni, listener) !== NONE) choose(ex);
  else shaken(ex, handshakeAccept(down, plan.listenerTls[listener]));
}

/** A client whose hello says where it goes: it is passed on as it is, or its TLS ends here. */
function choose(ex: number): void {
  const down = exDown[ex], choice = helloChoose(ex);
  if (choice === NONE) {
    if (helloReason !== Reason.None) exchangeEnd(ex, helloReason, helloDetail);
    return;
  }
  exUpstream[ex] = plan.sni.choiceUpstream[choice];
  if (plan.sni.choiceTerminate[choice] === 1) {
    return shaken(ex, handshakeAccept(down, plan.listenerTls[exListener[ex]]));
  }
  timerClear(down);
  exSetState(ex, ExState.Connect);
  begin(ex, slotReady[down]);
}

/** A client's handshake has come so far. */
function shaken(ex: number, how: Shaken): void {
  const down = exDown[ex];
  switch (how) {
    case Shaken.Done:
      timerClear(down);
      exSetState(
        ex,
        plan.listenerProtocol[exListener[ex]] === Protocol.Http ? ExState.Head : ExState.Connect,
      );
      return begin(ex, slotReady[down]);
    case Shaken.Waiting:
      return;
    case Shaken.Asking:
      if (!askForName(down, exListener[ex])) return refuse(ex, Reason.OutOfResources, ENOBUFS);
      slotFlags[down] |= SlotFlag.Asked;
      return timerSet(down, clockMs() + ASK_MS);
    default:
      if (shakenReason === Reason.PlainHttp && plan.listenerProtocol[exListener[ex]] === Protocol.Http) {
        return plainHttp(ex);
      }
      return exchangeEnd(ex, shakenReason, shakenDetail);
  }
}

/** A client whose handshake waits for a certificate may be gone. */
function askerEvent(ex: number, bits: number): void {
  if (bits & Ready.Err) exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  else if (bits & Ready.Fin) exchangeEnd(ex, Reason.ClientGone, 0);
}

/** There is an answer for a client whose handshake waits for a certificate. */
export function exchangeAnswered(down: number, yes: boolean): void {
  const ex = slotEx[down];
  if (exState[ex] !== ExState.Handshake || !(slotFlags[down] & SlotFlag.Asked)) return;
  slotFlags[down] &= ~SlotFlag.Asked;
  if (!yes) return noCertificate(ex);
  timerSet(down, clockMs() + plan.listenerHandshakeMs[exListener[ex]]);
  readyAdd(down, Ready.In);
  const how = handshakeGo(down);
  if (how === Shaken.Asking) noCertificate(ex);
  else shaken(ex, how);
}

function noCertificate(ex: number): void {
  refuse(ex, Reason.NoCertificate, detailOfFault(Fault.NoCertificateForName));
}

/** Ends a handshake that waits for a certificate. */
function refuse(ex: number, reason: Reason, detail: number): void {
  sys.tls_refuse(exDown[ex]);
  exchangeEnd(ex, reason, detail);
}

/** A client that speaks HTTP where TLS is spoken is told so, in its own words. */
function plainHttp(ex: number): void {
  const down = exDown[ex], dropped = sys.tls_drop(down);
  assert(dropped === 0, "exchange: a session could not be dropped");
  slotSetState(down, SlotState.Open);
  exSetState(ex, ExState.Head);
  readyAdd(down, Ready.Out);
  requestRefuse(ex, Reason.PlainHttp, shakenDetail);
}

/** What a client says begins here. */
function begin(ex: number, bits: number): void {
  const down = exDown[ex];
  if (plan.listenerProtocol[exListener[ex]] === Protocol.Http) return requestAwait(ex, bits);
  slotBody[down] = Body.Raw;
  readyAdd(down, bits);
  exGeneration[ex] = planHold();
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET); // gone while it waited
  const upstream = exUpstream[ex];
  if (isHashed(plan, upstream)) exFirst[ex] = keyOfClient(plan, upstream, down);
  if (exQueuedMs[ex] !== 0) exQueuedMs[ex] = exUnqueuedMs[ex] = 0; // of who had this row before
  reached(ex, standsBehind(upstream) ? Reached.Full : reachFirst(ex));
}

/** An event of a slot, or its turn on the again-list (`bits` 0). */
export function exchangeEvent(slot: number, bits: number): void {
  if (slotState[slot] === SlotState.Idle) return poolEvent(slot, bits);
  const ex = slotEx[slot];
  exSeenMs[ex] = clockMs();
  switch (exState[ex]) {
    case ExState.Connect:
      return slot === exUp[ex] ? connectEvent(ex, slot, bits) : waitingClientEvent(ex, slot, bits);
    case ExState.Tunnel:
      return tunnelRun(ex, slot, bits);
    case ExState.Forward:
      return forwardEvent(ex, slot, bits);
    case ExState.Head:
      return headEvent(ex, slot, bits);
    case ExState.Introduction:
      readyAdd(slot, bits);
      return introducing(ex, introductionGo(slot));
    case ExState.Handshake:
      readyAdd(slot, bits);
      if (slotFlags[slot] & SlotFlag.Asked) return askerEvent(ex, bits);
      return slotState[slot] === SlotState.Handshake ? shaken(ex, handshakeGo(slot)) : choose(ex);
    case ExState.Queue:
      return exFlags[ex] & ExFlag.Http ? queueEvent(ex, slot, bits) : waitingClientEvent(ex, slot, bits);
    case ExState.Answer:
      return answerEvent(ex, slot, bits);
    case ExState.Linger:
      return lingerEvent(ex, slot, bits);
    case ExState.Probe:
      readyAdd(slot, bits);
      return probed(ex, probeAnswered(ex));
    default:
      return unreachable("exchange: an event in a state that has none");
  }
}

/** A slot's deadline has passed. */
export function exchangeTimeout(slot: number): void {
  if (slotState[slot] === SlotState.Idle) return poolTimeout(slot);
  const ex = slotEx[slot];
  // Who waits because we keep bytes back is not to blame: when those have gone it has its time again. A sink that is
  // full, whose deadline is the server's slot's, waits for nobody but itself.
  if (slot === exDown[ex] && isParked(ex) && !(exGeneration[ex] !== 0 && isOver(ex))) {
    return timerSet(slot, clockMs() + DELAY_MS_MAX);
  }
  switch (exState[ex]) {
    case ExState.Connect:
      if (slot === exDown[ex] && slot !== NONE) {
        return exFlags[ex] & ExFlag.Http ? requestTimeout(ex, slot) : undefined; // that of the queue, which is over
      }
      return slotState[slot] === SlotState.Handshake
        ? connectFailed(ex, Reason.ServerHandshakeTimeout, 0)
        : connectFailed(ex, Reason.ConnectionTimeout, ETIMEDOUT);
    case ExState.Tunnel:
      return tunnelTimeout(ex, slot);
    case ExState.Introduction:
      return exchangeEnd(ex, Reason.ProxyTimeout, 0);
    case ExState.Handshake:
      if (slotFlags[slot] & SlotFlag.Asked) return noCertificate(ex);
      return exchangeEnd(ex, Reason.HandshakeTimeout, 0);
    case ExState.Probe:
      return exchangeEnd(ex, Reason.NoAnswer, ETIMEDOUT);
    case ExState.Queue:
      return exFlags[ex] & ExFlag.Http ? requestTimeout(ex, slot) : queueTimeout(ex);
    default:
      return requestTimeout(ex, slot);
  }
}

/** Goes on from how far the way to a server was made. */
function reached(ex: number, how: Reached): void {
  if (exFlags[ex] & ExFlag.Http) return requestReached(ex, how);
  switch (how) {
    case Reached.Connected:
      return connected(ex);
    case Reached.Waiting:
      return;
    case Reached.Full:
      if (!stand(ex)) exchangeEnd(ex, Reason.QueueFull, 0);
      return;
    default:
      tellPlace(ex);
      return exchangeEnd(ex, exReason[ex], exErrno[ex]);
  }
}

/** A connection has waited for a place long enough, or looks for one itself. */
function queueTimeout(ex: number): void {
  switch (standTimeout(ex)) {
    case Stood.Waiting:
      return;
    case Stood.Again:
      return reached(ex, reachFirst(ex));
    case Stood.TooLong:
      return exchangeEnd(ex, Reason.QueueTimeout, 0);
    case Stood.Nobody:
      return exchangeEnd(ex, Reason.DestinationUnavailable, 0);
  }
}

function connectEvent(ex: number, up: number, bits: number): void {
  const shaking = slotState[up] === SlotState.Handshake;
  const outcome = bits & (Ready.Err | Ready.Fin) && !shaking ? sys.outcome(up) : 0;
  if (outcome < 0) return connectFailed(ex, reasonOf(-outcome), -outcome);
  readyAdd(up, bits);
  if (shaking) return serverShaken(ex, handshakeGo(up));
  if (bits & Ready.Out) secured(ex);
}

/** The server's connection is there; it knows nothing of the client, and its TLS, if it has one, is not there. */
function secured(ex: number): void {
  const held = planOf(exGeneration[ex]), server = exServer[ex], down = exDown[ex];
  const sends = down === NONE ? held.probeSendProxy[exFirst[ex]] : held.upstreamSendProxy[exUpstream[ex]];
  if (sends !== 0) {
    const reason = greet(exUp[ex], down, sends);
    if (reason !== Reason.None) return connectFailed(ex, reason, greetErrno);
  }
  if (down === NONE) {
    const probe = exFirst[ex], profile = held.probeTls[probe];
    if (profile === NONE) return connected(ex);
    const { probeTlsNameAt: at, probeTlsNameBytes: bytes } = held;
    return serverShaken(ex, handshakeConnect(exUp[ex], held, profile, at[probe], bytes[probe], NONE));
  }
  const profile = held.serverTls[server];
  if (profile === NONE) return reached(ex, Reached.Connected);
  const { serverTlsNameAt: at, serverTlsNameBytes: bytes } = held;
  serverShaken(ex, handshakeConnect(exUp[ex], held, profile, at[server], bytes[server], server));
}

/** A server's handshake has come so far. */
function serverShaken(ex: number, how: Shaken): void {
  if (how === Shaken.Failed) return connectFailed(ex, shakenReason, shakenDetail);
  if (how !== Shaken.Done) return;
  timerClear(exUp[ex]);
  if (exDown[ex] === NONE) return connected(ex);
  reachTimed(ex);
  reached(ex, Reached.Connected);
}

function connectFailed(ex: number, reason: Reason, errno: number): void {
  if (exDown[ex] === NONE) return exchangeEnd(ex, reason, errno);
  reachFailed(ex, reason, errno);
  reached(ex, reachNext(ex));
}

/** The client, while its server is being connected or waited for: its bytes wait in the kernel, its end of stream is
 * passed on later; only a reset ends the wait, or the end of one that waits for an answer. */
function waitingClientEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  if (exFlags[ex] & ExFlag.Http && bits & Ready.Fin && leftUs(ex, down)) {
    return exchangeEnd(ex, Reason.ClientGone, 0);
  }
  if (exState[ex] === ExState.Queue) return;
  if (exUp[ex] === NONE) reached(ex, reachNext(ex)); // granted a place, or many servers failed at once
}

/** The server's connection is there, and no Plan is needed any more. */
function connected(ex: number): void {
  const up = exUp[ex], down = exDown[ex];
  reachOpened(ex);
  if (down === NONE) {
    exSetState(ex, ExState.Probe);
    return probed(ex, probeConnected(ex));
  }
  tellPlace(ex);
  if (exQueuedMs[ex] !== 0) queueLook(exUpstream[ex]); // its server may be back, with more places
  exReason[ex] = Reason.None;
  exErrno[ex] = 0;
  latencyCame(ex);
  tunnelBegin(ex);
  planGive(exGeneration[ex]);
  exGeneration[ex] = 0;
  tunnelRun(ex, down, 0);
  // A server that speaks first: its bytes may have come with the very event that said "connected".
  if (exState[ex] === ExState.Tunnel && exUp[ex] === up) tunnelRun(ex, up, 0);
}

function probed(ex: number, reason: Reason): void {
  if (reason !== Reason.None) exchangeEnd(ex, reason, reason === Reason.ServerAlert ? shakenDetail : 0);
}

/** Opens a health check: an exchange without client. False when there is no room for it now. */
export function exchangeProbe(probe: number): boolean {
  const ex = takeExchange(ExState.Connect);
  if (ex === NONE) return false;
  exFirst[ex] = probe;
  exStartMs[ex] = clockMs();
  exGeneration[ex] = planHold();
  const isDatagram = plan.probeKind[probe] === ProbeKind.Datagram;
  const result = connectTo(ex, plan, plan.probeAddressAt[probe], plan.probeSocket[probe], isDatagram);
  if (result !== 0 && result !== -EINPROGRESS) {
    exchangeEnd(ex, reasonOf(-result), -result);
    return true;
  }
  exUp[ex] = connectedSlot;
  slotBody[connectedSlot] = Body.Raw;
  // One deadline for the whole check: connected() takes the connect's away, probe.ts sets this again.
  timerSet(connectedSlot, exStartMs[ex] + plan.probeTimeoutMs[probe]);
  if (result === 0) secured(ex);
  return true;
}

/** What it was made by is there no more: whoever waits for an answer is told so, if that can be. */
export function exchangeRemove(ex: number): void {
  switch (exState[ex]) {
    case ExState.Answer:
    case ExState.Linger:
      return; // it is at its end, and has no further request
    case ExState.Queue:
    case ExState.Connect:
    case ExState.Forward:
      return exFlags[ex] & ExFlag.Http ? fail(ex, Reason.Removed, 0) : exchangeEnd(ex, Reason.Removed, 0);
    case ExState.Head: // who was answered, and has begun nothing, loses nothing
      return exchangeEnd(
        ex,
        exRequests[ex] > 0 && slotScanned[exDown[ex]] === 0 ? Reason.Finished : Reason.Removed,
        0,
      );
    default:
      return exchangeEnd(ex, Reason.Removed, 0);
  }
}

/** Ends an exchange, and the slot whose event it was, because of a bug of ours. */
export function exchangeBug(slot: number, ex: number): void {
  if (ex !== NONE && exState[ex] === ExState.Done) settle(ex); // the bug was in telling of its end
  else if (ex !== NONE && exState[ex] !== ExState.Free) exchangeEnd(ex, Reason.Bug, 0);
  if (slotState[slot] === SlotState.Idle) poolDrop(slot); // kept, by the very event that broke
  else closeSlot(slot, true);
}
