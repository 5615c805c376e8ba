// One connection from its first event to its last, in order: opened, a server picked, connected (or
// the next one tried), tunnel, end. A health check is the same without a client. The only file that
// knows what happens next; every step is somebody else's.
import { assert, unreachable } from "../base/assert.ts";
import { ARENA_SCRATCH, CONNECTS_PER_TURN, NONE, TICK_MS } from "../base/limits.ts";
import { Ready, readyAdd, runAgain } from "../net/ready.ts";
import { slotEx, slotHold, slotMovedBytes, slotPeer, slotSetState } from "../net/slots.ts";
import { tickAt, timerClear, timerSet } from "../net/timers.ts";
import { Field, RecordKind } from "../shared/log_ring.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { Count } from "../shared/stats.ts";
import { ExState, SlotState } from "../shared/tables.ts";
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
  ENOENT,
  ENOMEM,
  ENOSPC,
  ETIMEDOUT,
} from "../sys/errno.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { closeSlot } from "./close.ts";
import { count, log, plan, planGive, planHold, planOf, stats } from "./context.ts";
import {
  exDown,
  exErrno,
  exFirst,
  exGeneration,
  exIdleTicks,
  exListener,
  exReason,
  exServer,
  exSetState,
  exStartMs,
  exState,
  exTried,
  exUp,
  exUpstream,
  giveExchange,
  takeExchange,
} from "./exchanges.ts";
import { probeAnswered, probeConnected, probeEnded } from "./probe.ts";
import { connectedSlot, connectTo, nextPlace, pickMember } from "./server.ts";
import { tunnelErrno, tunnelServe } from "./tunnel.ts";

/** Reasons that are errors, by code: no string is looked at on the path. */
const isError = Uint8Array.from(REASONS, (reason) => (reason.type === null ? 0 : 1));
const isReset = Uint8Array.from(REASONS, (reason) => (reason.reset ? 1 : 0));

/** A client's connection has its slot: finds it a server. `bits` came with the newcomer. */
export function exchangeOpen(down: number, listener: number, bits: number): void {
  const ex = takeExchange();
  assert(ex !== NONE, "exchange: a slot was admitted without a row for its exchange");
  slotEx[down] = ex;
  readyAdd(down, bits);
  exDown[ex] = down;
  exListener[ex] = listener;
  exUpstream[ex] = plan.listenerUpstream[listener];
  exIdleTicks[ex] = tickAt(plan.listenerTunnelIdleMs[listener]);
  exStartMs[ex] = clockMs();
  exGeneration[ex] = planHold();
  count(Count.Opened);
  stats.listenerOpened[listener]++;
  stats.listenerCurrent[listener]++;

  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET); // gone while it waited
  const member = exUpstream[ex] === NONE ? -1 : pickMember(exUpstream[ex]);
  if (member < 0) return exchangeEnd(ex, Reason.DestinationUnavailable, 0);
  exFirst[ex] = member;
  connect(ex, 0);
}

/** Tries the server `place` places after the first, and the next ones while connects fail at once. */
function connect(ex: number, place: number): void {
  const held = planOf(exGeneration[ex]);
  const upstream = exUpstream[ex],
    first = held.upstreamFirst[upstream],
    members = held.upstreamCount[upstream];
  for (
    let budget = CONNECTS_PER_TURN;
    place >= 0;
    place = nextPlace(held, upstream, exFirst[ex], exTried[ex])
  ) {
    if (budget-- === 0) return runAgain(exDown[ex]); // goes on in `waitingClientEvent`
    if (exTried[ex] > 0) count(Count.Redispatches);
    exTried[ex] = place + 1;
    const server = held.upstreamMember[first + (exFirst[ex] + place) % members];
    exServer[ex] = server;
    const result = connectTo(ex, held, held.serverAddressAt[server]);
    if (result === 0 || result === -EINPROGRESS) {
      stats.serverOpened[server]++;
      stats.serverCurrent[server]++;
      const up = exUp[ex] = connectedSlot;
      slotPeer[up] = exDown[ex];
      slotPeer[exDown[ex]] = up;
      if (result === 0) return connected(ex);
      return timerSet(up, clockMs() + held.upstreamConnectMs[upstream]);
    }
    connectFailed(ex, reasonOf(-result), -result);
  }
  exchangeEnd(ex, exReason[ex], exErrno[ex]);
}

/** Notes a failed connect: the last one's reason is the connection's, if none of the others answers. */
function connectFailed(ex: number, reason: Reason, errno: number): void {
  if (reason !== Reason.OutOfResources) stats.serverFailed[exServer[ex]]++; // else it is our own lack
  exReason[ex] = reason;
  exErrno[ex] = errno;
}

/** A server that was being connected is given up: the next one, and the client never notices. */
function redispatch(ex: number, reason: Reason, errno: number): void {
  const up = exUp[ex];
  stats.serverCurrent[exServer[ex]]--;
  connectFailed(ex, reason, errno);
  slotEx[up] = NONE;
  slotPeer[up] = NONE;
  slotPeer[exDown[ex]] = NONE;
  exUp[ex] = NONE;
  closeSlot(up, true);
  exSetState(ex, ExState.Connect);
  const held = planOf(exGeneration[ex]);
  connect(ex, nextPlace(held, exUpstream[ex], exFirst[ex], exTried[ex]));
}

/** The server answered: from here on bytes move, and no Plan is needed any more. */
function connected(ex: number): void {
  const up = exUp[ex], down = exDown[ex];
  timerClear(up);
  slotSetState(up, SlotState.Open);
  readyAdd(up, Ready.Out);
  if (down === NONE) {
    exSetState(ex, ExState.Probe);
    return endIf(ex, probeConnected(ex));
  }
  planGive(exGeneration[ex]);
  exGeneration[ex] = 0;
  exReason[ex] = Reason.None;
  exErrno[ex] = 0;
  exSetState(ex, ExState.Tunnel);
  if (exIdleTicks[ex] !== 0) timerSet(down, clockMs() + exIdleTicks[ex] * TICK_MS);
  serveTunnel(ex, down, 0);
  // A server that speaks first: its bytes may have come with the very event that said "connected".
  if (exState[ex] === ExState.Tunnel && exUp[ex] === up) serveTunnel(ex, up, 0);
}

/** An event of a slot, or its turn on the again-list (`bits` 0). */
export function exchangeEvent(slot: number, bits: number): void {
  const ex = slotEx[slot];
  switch (exState[ex]) {
    case ExState.Connect:
      return slot === exUp[ex] ? connectEvent(ex, slot, bits) : waitingClientEvent(ex, slot, bits);
    case ExState.Tunnel:
      return serveTunnel(ex, slot, bits);
    case ExState.Probe:
      readyAdd(slot, bits);
      return endIf(ex, probeAnswered(ex));
    default:
      return unreachable("exchange: an event in a state that has none");
  }
}

function connectEvent(ex: number, up: number, bits: number): void {
  const outcome = bits & (Ready.Err | Ready.Fin) ? sys.outcome(up) : 0;
  if (outcome < 0) {
    const reason = reasonOf(-outcome);
    return exDown[ex] === NONE ? exchangeEnd(ex, reason, -outcome) : redispatch(ex, reason, -outcome);
  }
  readyAdd(up, bits);
  if (bits & Ready.Out) connected(ex);
}

/** The client, while its server is being connected: its bytes wait in the kernel, its end of stream is
 * passed on later; only a reset ends the wait. */
function waitingClientEvent(ex: number, down: number, bits: number): void {
  readyAdd(down, bits);
  if (bits & Ready.Err) return exchangeEnd(ex, Reason.ClientReset, ECONNRESET);
  if (exUp[ex] !== NONE) return;
  const held = planOf(exGeneration[ex]); // many servers failed at once: its turn has come again
  connect(ex, nextPlace(held, exUpstream[ex], exFirst[ex], exTried[ex]));
}

function serveTunnel(ex: number, slot: number, bits: number): void {
  const reason = tunnelServe(ex, slot, bits, tickAt(clockMs()));
  if (reason !== Reason.None) exchangeEnd(ex, reason, reason === Reason.Finished ? 0 : tunnelErrno);
}

/** A slot's deadline has passed. */
export function exchangeTimeout(slot: number): void {
  const ex = slotEx[slot];
  switch (exState[ex]) {
    case ExState.Connect:
      return exDown[ex] === NONE
        ? exchangeEnd(ex, Reason.ConnectionTimeout, ETIMEDOUT)
        : redispatch(ex, Reason.ConnectionTimeout, ETIMEDOUT);
    case ExState.Tunnel:
      return exchangeEnd(ex, Reason.TunnelIdle, 0);
    case ExState.Probe:
      return exchangeEnd(ex, Reason.NoAnswer, ETIMEDOUT);
    default:
      return unreachable("exchange: a deadline in a state that has none");
  }
}

/** Opens a health check: an exchange without client. False when there is no room for it now. */
export function exchangeProbe(probe: number): boolean {
  const ex = takeExchange();
  if (ex === NONE) return false;
  exFirst[ex] = probe;
  exStartMs[ex] = clockMs();
  exGeneration[ex] = planHold();
  const result = connectTo(ex, plan, plan.probeAddressAt[probe]);
  if (result !== 0 && result !== -EINPROGRESS) {
    exchangeEnd(ex, reasonOf(-result), -result);
    return true;
  }
  exUp[ex] = connectedSlot;
  if (result === 0) connected(ex);
  // One deadline for the whole check: connected() takes the connect's away, probe.ts sets this again.
  else timerSet(connectedSlot, exStartMs[ex] + plan.probeTimeoutMs[probe]);
  return true;
}

function endIf(ex: number, reason: Reason): void {
  if (reason !== Reason.None) exchangeEnd(ex, reason, 0);
}

/** The end of an exchange, whatever came before: accounts, record, both slots marked. A reset is passed
 * on as one; so is "no server", since the client was already accepted, and any end with bytes still held. */
export function exchangeEnd(ex: number, reason: Reason, errno: number): void {
  const down = exDown[ex], up = exUp[ex];
  exReason[ex] = reason;
  exErrno[ex] = errno;
  exSetState(ex, ExState.Done);
  if (exGeneration[ex] !== 0) {
    if (down === NONE) probeEnded(ex, planOf(exGeneration[ex]));
    planGive(exGeneration[ex]);
    exGeneration[ex] = 0;
  }
  if (down !== NONE) account(ex, down, up);
  const reset = isReset[reason] === 1 || slotHold[down] !== NONE || slotHold[up] !== NONE;
  closeSlot(up, reset);
  closeSlot(down, reset);
  giveExchange(ex);
}

function account(ex: number, down: number, up: number): void {
  const reason = exReason[ex];
  stats.ended[reason]++;
  stats.listenerCurrent[exListener[ex]]--;
  if (up !== NONE) stats.serverCurrent[exServer[ex]]--;
  if (plan.accessAll === 0 && isError[reason] === 0) return;
  const row = log.begin(RecordKind.Access, clockMs());
  if (row < 0) return count(Count.LogDropped);
  const numbers = log.numbers;
  numbers[row + Field.Listener] = exListener[ex];
  numbers[row + Field.Upstream] = exUpstream[ex];
  numbers[row + Field.Server] = exServer[ex];
  numbers[row + Field.Reason] = reason;
  numbers[row + Field.Errno] = exErrno[ex];
  numbers[row + Field.UpBytes] = slotMovedBytes[down];
  numbers[row + Field.DownBytes] = up === NONE ? 0 : slotMovedBytes[up];
  numbers[row + Field.DurationMs] = clockMs() - exStartMs[ex];
  numbers[row + Field.Tried] = exTried[ex];
  sys.client(down, ARENA_SCRATCH);
  log.setPeer(row, arenaBytes, ARENA_SCRATCH);
  log.push();
}

/** Ends an exchange, and the slot whose event it was, because of a bug of ours. */
export function exchangeBug(slot: number, ex: number): void {
  if (ex !== NONE && exState[ex] !== ExState.Free && exState[ex] !== ExState.Done) {
    exchangeEnd(ex, Reason.Bug, 0);
  }
  closeSlot(slot, true);
}

/** What a failed connect means, by errno. What our own machine lacks is not the server's fault; a unix
 * socket whose queue is full (EAGAIN) is. */
function reasonOf(errno: number): Reason {
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
