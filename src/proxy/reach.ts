// Reaching a server for an exchange: a kept connection, else a new one; when a connect fails, the next
// server, each at most once. Says how far it came; what follows is exchange.ts's.
import { assert } from "../base/assert.ts";
import { CONNECTS_PER_TURN, NONE } from "../base/limits.ts";
import { Ready, readyAdd, runAgain } from "../net/ready.ts";
import { slotBody, slotEx, slotFlags, slotPeer, slotScanned, slotSetState, slotState } from "../net/slots.ts";
import { timerClear, timerSet } from "../net/timers.ts";
import { Reason } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { Body, ExFlag, ExState, SlotFlag, SlotState } from "../shared/tables.ts";
import {
  EADDRNOTAVAIL,
  EAGAIN,
  EBUG,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ETIMEDOUT,
} from "../sys/errno.ts";
import { clockMs } from "../sys/sys.ts";
import { closeSlot } from "./close.ts";
import { count, planOf, stats } from "./context.ts";
import {
  exDown,
  exErrno,
  exFirst,
  exFlags,
  exGeneration,
  exReason,
  exServer,
  exSetState,
  exTried,
  exUp,
  exUpstream,
} from "./exchanges.ts";
import { paceJoin, paceLeave } from "./pace.ts";
import { givePlaceBack, takePlace } from "./places.ts";
import { poolShrink, poolTake } from "./pool.ts";
import { queueHand, queueWake } from "./queue.ts";
import { connectedSlot, connectTo, nextPlace, pickMember } from "./server.ts";

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

/** Picks a server and starts with it. */
export function reachFirst(ex: number): Reached {
  const member = exUpstream[ex] === NONE ? -1 : pickMember(exUpstream[ex]);
  if (member < 0) {
    exReason[ex] = Reason.DestinationUnavailable;
    return Reached.Nobody;
  }
  exFirst[ex] = member;
  exReason[ex] = Reason.None;
  exFlags[ex] &= ~ExFlag.Crowded;
  return reach(ex, 0);
}

/** Goes on with the server that was granted, or comes next. */
export function reachNext(ex: number): Reached {
  if (exFlags[ex] & ExFlag.Granted) {
    exFlags[ex] &= ~ExFlag.Granted;
    const told = planOf(exGeneration[ex]).upstreamSendProxy[exUpstream[ex]] !== 0;
    if (!(exFlags[ex] & ExFlag.Repeated) && !told && takeKept(ex)) return Reached.Connected;
    const reached = reachServer(ex);
    if (reached !== Reached.Nobody) return reached;
  }
  return reach(ex, nextPlace(planOf(exGeneration[ex]), exUpstream[ex], exFirst[ex], exTried[ex]));
}

/** Goes on with another server than the last, on a new connection; with the last if it is the only one. */
export function reachAgain(ex: number): Reached {
  const reached = reachNext(ex);
  if (reached !== Reached.Nobody || exReason[ex] !== Reason.None) return reached;
  exTried[ex] = 0;
  return reachFirst(ex);
}

/** Tries the server `place` places after the first, and the next ones while connects fail at once. */
function reach(ex: number, place: number): Reached {
  const held = planOf(exGeneration[ex]);
  const upstream = exUpstream[ex],
    first = held.upstreamFirst[upstream],
    members = held.upstreamCount[upstream];
  for (
    let budget = CONNECTS_PER_TURN;
    place >= 0;
    place = nextPlace(held, upstream, exFirst[ex], exTried[ex])
  ) {
    if (budget-- === 0) {
      runAgain(exDown[ex]); // goes on with `reachNext`
      return Reached.Waiting;
    }
    const server = held.upstreamMember[first + (exFirst[ex] + place) % members];
    const again = exTried[ex] > 0;
    exTried[ex] = place + 1;
    const most = held.serverConnectionsMax[server];
    if (most > 0) {
      if (!takePlace(server, most)) {
        exFlags[ex] |= ExFlag.Crowded;
        continue;
      }
      exFlags[ex] |= ExFlag.Placed;
    }
    if (again && exReason[ex] !== Reason.None) count(Count.Redispatches);
    exServer[ex] = server;
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
  exFlags[ex] &= ~(ExFlag.Placed | ExFlag.Granted);
  if (offer && queueHand(exUpstream[ex], exServer[ex])) return;
  givePlaceBack(exServer[ex]);
  if (offer) queueWake(exUpstream[ex]);
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
  if (reason !== Reason.OutOfResources && reason !== Reason.NoSource) stats.serverFailed[exServer[ex]]++; // else it is our own lack
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
    case EADDRNOTAVAIL: // no port left
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
      return Reason.OutOfResources;
    default: // ENETUNREACH, EHOSTUNREACH, EACCES and EPERM of a firewall, ENOTSOCK of a path, ...
      return Reason.Unroutable;
  }
}
