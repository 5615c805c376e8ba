// Reaching a server for an exchange: a kept connection, else a new one; when a connect fails, the next
// server, each at most once. Says how far it came; what follows is exchange.ts's.
import { assert } from "../base/assert.ts";
import { CONNECTS_PER_TURN, NONE } from "../base/limits.ts";
import { Ready, readyAdd, runAgain } from "../net/ready.ts";
import {
  slotBody,
  slotEx,
  slotFlags,
  slotPeer,
  slotScanned,
  slotSetState,
  slotSinceMs,
  slotState,
} from "../net/slots.ts";
import { timerClear, timerSet } from "../net/timers.ts";
import { Balance } from "../plan/plan.ts";
import { isHashed, walked, walkNext } from "../policy/balance.ts";
import { isSpare } from "../policy/candidates.ts";
import { latencySample } from "../policy/latency.ts";
import { LATENCY_BUCKETS, latencyBucket } from "../shared/histogram.ts";
import { Reason } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { Body, ExFlag, ExState, SlotFlag, SlotState } from "../shared/tables.ts";
import {
  EAGAIN,
  EBUG,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  ENODEV,
  ENOENT,
  ETIMEDOUT,
  isLack,
} from "../sys/errno.ts";
import { clockMs } from "../sys/sys.ts";
import { closeSlot } from "./close.ts";
import { count, plan, planOf, shared, stats } from "./context.ts";
import {
  exDown,
  exErrno,
  exFirst,
  exFlags,
  exGeneration,
  exReachMs,
  exReason,
  exServer,
  exSetState,
  exTried,
  exUp,
  exUpstream,
  exWalk,
} from "./exchanges.ts";
import { paceJoin, paceLeave } from "./pace.ts";
import { givePlaceBack, takePlace } from "./places.ts";
import { poolShrink, poolTake } from "./pool.ts";
import { queueHand, queueHeir, queueWake } from "./queue.ts";
import { connectedSlot, connectTo, pickMember } from "./server.ts";

/** Kept connections given up for a new one when slots are short. */
const SHRINK_AT_ONCE = 2;

/** How far an exchange came. */
export const enum Reached {
  /** Its server's connection is there. */
  Connected,
  /** It is on its way, or the exchange has its turn again. */
  Waiting,
  /** No server is left to try: exReason and exErrno say why. */
  Nobody,
  /** The servers that are left have no place. */
  Full,
}

/** Picks a server and starts with it. Where its upstream's rule hashes, exFirst is the key already. */
export function reachFirst(ex: number): Reached {
  const upstream = exUpstream[ex], held = planOf(exGeneration[ex]);
  const hashes = upstream !== NONE && isHashed(held, upstream);
  let member = upstream === NONE ? -1 : pickMember(upstream, exFirst[ex]);
  if (member < 0) {
    exReason[ex] = Reason.DestinationUnavailable;
    return Reached.Nobody;
  }
  if (!hashes) exFirst[ex] = member;
  exReason[ex] = Reason.None;
  exFlags[ex] &= ~ExFlag.Crowded;
  // Positions of another Plan are none of its own.
  if (held !== plan) member = walkNext(held, upstream, shared, exFirst[ex], 0, clockMs());
  return reach(ex, member);
}

/** Goes on with the server that was granted, or comes next. */
export function reachNext(ex: number): Reached {
  if (exFlags[ex] & ExFlag.Granted) {
    exFlags[ex] &= ~ExFlag.Granted;
    latencyBegin(ex);
    const told = planOf(exGeneration[ex]).upstreamSendProxy[exUpstream[ex]] !== 0;
    if (!(exFlags[ex] & ExFlag.Repeated) && !told && takeKept(ex)) return Reached.Connected;
    const reached = reachServer(ex);
    if (reached !== Reached.Nobody) return reached;
  }
  return reach(ex, following(ex));
}

/** The member that an exchange asks next, or -1. */
function following(ex: number): number {
  const held = planOf(exGeneration[ex]);
  return walkNext(held, exUpstream[ex], shared, exFirst[ex], exWalk[ex], clockMs());
}

/** Goes on with another server than the last, on a new connection; with the last if it is the only one. */
export function reachAgain(ex: number): Reached {
  const reached = reachNext(ex);
  if (reached !== Reached.Nobody || exReason[ex] !== Reason.None) return reached;
  exTried[ex] = 0;
  return reachFirst(ex);
}

/** Tries a member, of which `walked` tells, and those that follow while connects fail at once. */
function reach(ex: number, member: number): Reached {
  const held = planOf(exGeneration[ex]);
  const upstream = exUpstream[ex], first = held.upstreamFirst[upstream];
  for (let budget = CONNECTS_PER_TURN; member >= 0; member = following(ex)) {
    if (budget-- === 0) {
      runAgain(exDown[ex]); // goes on with `reachNext`
      return Reached.Waiting;
    }
    const server = held.upstreamMember[first + member];
    // Those before it are full, not gone: who waits for them does not go to a backup.
    if (exFlags[ex] & ExFlag.Crowded && isSpare(held, upstream, server, shared)) break;
    const again = exTried[ex] > 0;
    exWalk[ex] = walked;
    exTried[ex]++;
    const most = held.serverConnectionsMax[server];
    if (most > 0 || held.upstreamCounted[upstream] !== 0) {
      if (!takePlace(upstream, server, most)) {
        exFlags[ex] |= ExFlag.Crowded;
        continue;
      }
      exServer[ex] = server; // with the flag, or it would be given back at another one
      exFlags[ex] |= ExFlag.Placed;
    }
    if (again && exReason[ex] !== Reason.None) count(Count.Redispatches);
    exServer[ex] = server;
    latencyBegin(ex);
    const mayBeKept = (exFlags[ex] & (ExFlag.Http | ExFlag.Repeated)) === ExFlag.Http &&
      held.upstreamSendProxy[upstream] === 0; // a connection that is one client's
    if (mayBeKept && takeKept(ex)) return Reached.Connected;
    const reached = reachServer(ex);
    if (reached !== Reached.Nobody) return reached;
  }
  return exFlags[ex] & ExFlag.Crowded ? Reached.Full : Reached.Nobody;
}

/** Gives the place back; `offer`: to whoever waits for one. After a failed connect the next one's would fail
 * as well: who waits is told when the exchange knows how it goes on. */
export function givePlace(ex: number, offer: boolean): void {
  if (!(exFlags[ex] & ExFlag.Placed)) return;
  const upstream = exUpstream[ex], server = exServer[ex], heir = offer ? queueHeir(upstream, server) : NONE;
  exFlags[ex] &= ~(ExFlag.Placed | ExFlag.Granted);
  if (heir !== NONE) return queueHand(heir, server);
  givePlaceBack(upstream, server);
  if (offer) queueWake(upstream);
}

/** Whether an exchange's upstream chooses by how fast its servers are. */
function looksAtLatency(ex: number): boolean {
  return planOf(exGeneration[ex]).upstreamBalance[exUpstream[ex]] === Balance.PeakEwma;
}

function latencyBegin(ex: number): void {
  if (looksAtLatency(ex)) exReachMs[ex] = clockMs();
}

/** The exchange's server is there (TCP), or has said the first of its answer (HTTP). */
export function latencyCame(ex: number): void {
  if (looksAtLatency(ex)) latencySample(shared, exServer[ex], clockMs() - exReachMs[ex], clockMs());
}

/** It failed, however fast: it counts as slow as a connect may be. */
export function latencyFailed(ex: number): void {
  if (!looksAtLatency(ex)) return;
  const most = planOf(exGeneration[ex]).upstreamConnectMs[exUpstream[ex]];
  latencySample(shared, exServer[ex], Math.max(most, clockMs() - exReachMs[ex]), clockMs());
}

/** Takes a connection that was kept to the exchange's server. */
function takeKept(ex: number): boolean {
  const up = poolTake(exServer[ex], (exFlags[ex] & ExFlag.Repeatable) === 0);
  if (up === NONE) return false;
  exFlags[ex] |= ExFlag.Reused;
  count(Count.Reused);
  join(ex, up);
  return true;
}

/** A new connection to the exchange's server. Nobody: it failed at once. */
function reachServer(ex: number): Reached {
  const held = planOf(exGeneration[ex]);
  poolShrink(SHRINK_AT_ONCE);
  const result = connectTo(ex, held, held.serverAddressAt[exServer[ex]], held.serverSocket[exServer[ex]]);
  if (result !== 0 && result !== -EINPROGRESS) {
    connectFailed(ex, reasonOf(-result), -result);
    return Reached.Nobody;
  }
  count(Count.Connects);
  stats.serverOpened[exServer[ex]]++;
  slotSinceMs[connectedSlot] = clockMs();
  join(ex, connectedSlot);
  const begins = held.serverTls[exServer[ex]] !== NONE || held.upstreamSendProxy[exUpstream[ex]] !== 0;
  if (result === 0 && !begins) return Reached.Connected;
  timerSet(connectedSlot, clockMs() + held.upstreamConnectMs[exUpstream[ex]]);
  return Reached.Waiting;
}

function join(ex: number, up: number): void {
  const down = exDown[ex], server = exServer[ex];
  stats.serverCurrent[server]++;
  exUp[ex] = up;
  slotEx[up] = ex;
  slotPeer[up] = down;
  slotPeer[down] = up;
  slotBody[up] = exFlags[ex] & ExFlag.Http ? Body.Head : Body.Raw;
  if (slotScanned[up] !== 0) slotScanned[up] = 0;
  if (slotFlags[down] & SlotFlag.Shaped) paceJoin(up);
}

/** The exchange's connection is there: a new one is open from here on. */
export function reachOpened(ex: number): void {
  const up = exUp[ex];
  if (slotState[up] !== SlotState.Connecting) return;
  timerClear(up);
  slotSetState(up, SlotState.Open);
  readyAdd(up, Ready.Out);
  if (exDown[ex] !== NONE) reachTimed(ex);
}

/** A new connection to the exchange's server is there, and its TLS: how long that took is counted. */
export function reachTimed(ex: number): void {
  const upstream = exUpstream[ex], tookMs = clockMs() - slotSinceMs[exUp[ex]];
  stats.upstreamConnects[upstream * LATENCY_BUCKETS + latencyBucket(tookMs)]++;
  stats.upstreamConnectMs[upstream] += tookMs;
}

/** A server that was being connected is given up. */
export function reachFailed(ex: number, reason: Reason, errno: number): void {
  connectFailed(ex, reason, errno);
  part(ex, true);
  exSetState(ex, ExState.Connect);
}

/** Parts an exchange from its server's connection, which is closed. */
export function part(ex: number, reset: boolean): void {
  const up = exUp[ex];
  if (up === NONE) return givePlace(ex, true); // granted, and not used
  leave(ex);
  slotEx[up] = NONE;
  slotPeer[up] = NONE;
  closeSlot(up, reset);
}

/** The exchange has no server's connection any more; whoever took it looks after it. */
export function leave(ex: number): void {
  givePlace(ex, true);
  if (slotFlags[exUp[ex]] & SlotFlag.Shaped) paceLeave(exUp[ex]);
  stats.serverCurrent[exServer[ex]]--;
  slotPeer[exDown[ex]] = NONE;
  exUp[ex] = NONE;
}

/** Notes a failed connect: the last one's reason is the exchange's, if none of the others answers. */
function connectFailed(ex: number, reason: Reason, errno: number): void {
  givePlace(ex, false);
  if (reason !== Reason.OutOfResources && reason !== Reason.NoSource) { // else it is our own lack
    stats.serverFailed[exServer[ex]]++;
    latencyFailed(ex);
  }
  exReason[ex] = reason;
  exErrno[ex] = errno;
}

/** What a failed connect means, by errno. What our own machine lacks is not the server's fault; a unix
 * socket whose queue is full (EAGAIN) is. */
export function reasonOf(errno: number): Reason {
  assert(errno !== EBUG, "exchange: a connect broke its contract");
  switch (errno) {
    case ECONNREFUSED:
    case ENOENT:
    case EAGAIN:
      return Reason.ConnectionRefused;
    case ECONNRESET:
      return Reason.ServerReset;
    case ETIMEDOUT:
      return Reason.ConnectionTimeout;
    case ENODEV:
      return Reason.NoSource;
    default: // ENETUNREACH, EHOSTUNREACH, EACCES and EPERM of a firewall, ENOTSOCK of a path, ...
      return isLack(errno) ? Reason.OutOfResources : Reason.Unroutable;
  }
}
