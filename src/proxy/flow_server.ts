// The server of a flow: which one, a socket to it, and what the errors of that say.
import { assert } from "../base/assert.ts";
import { ARENA_SCRATCH, CONNECTS_PER_TURN, NONE, PEER_BYTES } from "../base/limits.ts";
import {
  flowFlags,
  flowHeardTick,
  flowIdleTicks,
  flowListener,
  flowServer,
  flowUpstream,
} from "../net/flows.ts";
import { slotGen } from "../net/slots.ts";
import { tickAt } from "../net/timers.ts";
import { isHashed, walked, walkNext } from "../policy/balance.ts";
import { isSpare } from "../policy/candidates.ts";
import { Reason } from "../shared/reason.ts";
import { Verdict } from "../shared/servers.ts";
import { FlowFlag } from "../shared/tables.ts";
import {
  EAGAIN,
  EBUG,
  ECONNREFUSED,
  EINVAL,
  EMSGSIZE,
  ENOBUFS,
  ENODEV,
  ENOMEM,
  EPERM,
  isLack,
} from "../sys/errno.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { plan, shared, stats } from "./context.ts";
import { givePlaceBack, takePlace } from "./places.ts";
import { queueHand, queueHeir, queueWake } from "./queue.ts";
import { isAnyUp } from "./server.ts";

/** What the last `reach` came to: the server, how many were tried; or why there is none, and
 * whether one was passed over. */
export let reachedServer = NONE;
export let reachedTried = 0;
export let failedBy = Reason.None;
export let failedErrno = 0;
export let passedOver = false;
/** How many servers were looked at since `looksBegin`; one that could not be connected to costs as many as
 * FAILED_LOOKS. */
export let looks = 0;
/** A socket that was made in vain is some ten calls; to be passed over is some words of memory. */
const FAILED_LOOKS = 1 << 8;

/** A socket of datagrams has its turn, with so many looks (LOOKS_PER_TURN). */
export function looksBegin(): void {
  looks = 0;
}

/** A socket for the slot to the member that was picked, where `begun` is its walk, or the next one that can be had; to
 * those that met nobody lately only if `anyhow`. `clientAt`: the peer record of
 * its client. */
export function reach(
  slot: number,
  socket: number,
  upstream: number,
  picked: number,
  key: number,
  begun: number,
  clientAt: number,
  anyhow: boolean,
): boolean {
  const first = plan.upstreamFirst[upstream], now = tickAt(clockMs());
  const start = isHashed(plan, upstream) ? key : picked, counts = plan.upstreamCounted[upstream] !== 0;
  failedBy = Reason.DestinationUnavailable;
  failedErrno = 0;
  passedOver = false;
  reachedTried = 0;
  let walk = begun, crowded = false;
  for (
    let member = picked, budget = CONNECTS_PER_TURN;
    member >= 0 && budget > 0;
    member = walkNext(plan, upstream, shared, start, walk, clockMs()), walk = walked
  ) {
    const server = plan.upstreamMember[first + member];
    if (crowded && isSpare(plan, upstream, server, shared)) break;
    reachedTried++;
    looks++;
    if (!anyhow && shared.serverAvoided[server] > now) {
      passedOver = true;
      continue;
    }
    const most = plan.serverConnectionsMax[server];
    const takes = most > 0 || counts;
    if (takes && !takePlace(upstream, server, most)) {
      failedBy = Reason.LimitReached;
      crowded = true;
      continue;
    }
    if (takes) notePlace(slot, upstream, server);
    budget--;
    placeAddresses(plan.serverAddressAt[server], clientAt);
    const clientOff = ARENA_SCRATCH + PEER_BYTES, how = plan.serverSocket[server];
    const result = sys.udp_connect(slot, slotGen[slot], ARENA_SCRATCH, socket, clientOff, how);
    if (result === 0) {
      reachedServer = server;
      return true;
    }
    flowGivePlace(slot, false);
    looks += FAILED_LOOKS;
    failedBy = reasonOf(-result);
    failedErrno = -result;
    if (failedBy === Reason.OutOfResources) return false;
    if (failedBy !== Reason.NoSource) stats.serverFailed[server]++; // else it is our own lack
  }
  return false;
}

/** Whose place it is, before anything else is done. */
function notePlace(slot: number, upstream: number, server: number): void {
  flowUpstream[slot] = upstream;
  flowServer[slot] = server;
  flowFlags[slot] |= FlowFlag.Placed;
}

/** A place at its server for a flow of another process, which had one there: if none is left here, it goes on without. */
export function flowPlaceAgain(slot: number, upstream: number, server: number): void {
  const most = plan.serverConnectionsMax[server];
  if (most === 0 && plan.upstreamCounted[upstream] === 0) return;
  if (takePlace(upstream, server, most)) notePlace(slot, upstream, server);
}

/** Gives a flow's place back, if it has one; `offer`: to whoever waits for one. */
export function flowGivePlace(slot: number, offer: boolean): void {
  if (!(flowFlags[slot] & FlowFlag.Placed)) return;
  const upstream = flowUpstream[slot], server = flowServer[slot];
  const heir = offer ? queueHeir(upstream, server) : NONE;
  flowFlags[slot] &= ~FlowFlag.Placed;
  if (heir !== NONE) return queueHand(heir, server);
  givePlaceBack(upstream, server);
  if (offer) queueWake(upstream);
}

/** Lays the server's address and the client's record into the scratch page. */
function placeAddresses(addressAt: number, clientAt: number): void {
  for (let byte = 0; byte < PEER_BYTES; byte++) {
    arenaBytes[ARENA_SCRATCH + byte] = plan.arena[addressAt + byte];
    arenaBytes[ARENA_SCRATCH + PEER_BYTES + byte] = arenaBytes[clientAt + byte];
  }
}

/** What a failed socket means, by errno. */
export function reasonOf(errno: number): Reason {
  assert(errno !== EBUG, "datagram: a call broke its contract");
  if (errno === ECONNREFUSED) return Reason.ConnectionRefused;
  if (errno === ENODEV) return Reason.NoSource;
  return isLack(errno) ? Reason.OutOfResources : Reason.Unroutable; // ENETUNREACH, EHOSTUNREACH, EACCES, ...
}

/** Whether an error tells that the server is not there (ICMP, or no route), and not of one datagram alone: too long
 * for the path (it is cut in pieces next time), forbidden by a firewall of ours, no room. */
export function isNobody(errno: number): boolean {
  switch (errno) {
    case 0:
    case EAGAIN:
    case EMSGSIZE:
    case EPERM:
    case EINVAL:
    case ENOBUFS:
    case ENOMEM:
      return false;
    default:
      return true;
  }
}

export function isFullBuffer(errno: number): boolean {
  return errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM;
}

/** Whether a flow's server is down, or left behind, and others are not. A client that goes on sending would never see
 * its session end: nobody tells it that a host is gone. */
export function isStranded(slot: number): boolean {
  const server = flowServer[slot];
  if (shared.serverVerdict[server] !== Verdict.Down && !isLeftBehind(slot, server)) return false;
  return isAnyUp(plan.listenerUpstream[flowListener[slot]]);
}

/** Whether a flow's server is no longer one of its upstream's, as where a name has other addresses now, and has not
 * answered for the flow's idle time. One that answers keeps what it has: names may tell other addresses each time. */
function isLeftBehind(slot: number, server: number): boolean {
  return plan.serverUpstream[server] !== flowUpstream[slot] &&
    tickAt(clockMs()) - flowHeardTick[slot] >= flowIdleTicks[slot];
}
