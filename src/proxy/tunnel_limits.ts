// How long a tunnel may be without traffic, and by which reason it ends then. Nothing here runs while bytes
// move: an activity is one store (tunnel.ts), which moves the client's deadline by exIdleTicks. What changes
// those ticks is rare: another one's turn, where client or server has a limit of its own, and the end of one
// direction. A sink that is full has the deadline of the server's slot, which a tunnel needs for nothing else.
import { NONE, TICK_MS } from "../base/limits.ts";
import { slotFlags, slotFullMs, slotHold, slotPeer } from "../net/slots.ts";
import { tickAt, timerClear, timerSet, timerTick } from "../net/timers.ts";
import type { Plan } from "../plan/plan.ts";
import { Reason } from "../shared/reason.ts";
import { ExFlag, SlotFlag } from "../shared/tables.ts";
import { clockMs } from "../sys/sys.ts";
import { isStuck } from "./deadlines.ts";
import {
  exClientTicks,
  exDown,
  exDownStallTicks,
  exFlags,
  exHalfTicks,
  exIdleReason,
  exIdleTicks,
  exListener,
  exServerTicks,
  exTunnelTicks,
  exUp,
  exUpStallTicks,
  exUpstream,
} from "./exchanges.ts";

/** A tunnel begins: takes its limits from the Plan, which it does not hold any longer than this. A limit of its own
 * for the client or the server is for connections that are no HTTP: there other words have told whose turn it is. */
export function limitsBegin(ex: number, held: Plan): void {
  const listener = exListener[ex], upstream = exUpstream[ex];
  exIdleReason[ex] = Reason.TunnelIdle;
  exHalfTicks[ex] = tickAt(held.listenerHalfClosedMs[listener]);
  exDownStallTicks[ex] = tickAt(held.listenerWriteStallMs[listener]);
  exUpStallTicks[ex] = tickAt(held.upstreamWriteStallMs[upstream]);
  limitsOpened(exDown[ex]); // of a request before
  limitsOpened(exUp[ex]);
  const clientMs = held.listenerSilenceMs[listener], serverMs = held.upstreamSilenceMs[upstream];
  if (clientMs + serverMs !== 0 && !(exFlags[ex] & ExFlag.Http)) {
    exFlags[ex] |= ExFlag.Turns;
    exTunnelTicks[ex] = exIdleTicks[ex];
    exClientTicks[ex] = tickAt(clientMs);
    exServerTicks[ex] = tickAt(serverMs);
    turnOf(ex, true); // until somebody speaks
  }
  arm(ex);
}

/** Bytes came from the client (`fromDown`) or the server: it is the other one's turn. Who has ended its stream has no
 * further one. */
export function limitsTurn(ex: number, fromDown: boolean): void {
  if ((slotFlags[exDown[ex]] | slotFlags[exUp[ex]]) & SlotFlag.FinSent) return;
  const before = exIdleTicks[ex];
  turnOf(ex, !fromDown);
  if (exIdleTicks[ex] !== before) arm(ex);
}

/** The client (`fromDown`) or the server has ended its stream, and the other one knows: it is its turn until the end. */
export function limitsHalf(ex: number, fromDown: boolean): void {
  if (exFlags[ex] & ExFlag.Turns) turnOf(ex, !fromDown);
  const ticks = exHalfTicks[ex], idle = exIdleTicks[ex];
  if (ticks !== 0 && (idle === 0 || ticks < idle)) {
    exIdleTicks[ex] = ticks;
    exIdleReason[ex] = Reason.HalfClosed;
  }
  arm(ex);
}

/** The sink of `from` is full. */
export function limitsFull(ex: number, from: number): void {
  const dueMs = fullUntilMs(ex, from);
  if (dueMs === 0) return;
  const up = exUp[ex];
  if (timerTick[up] === 0 || tickAt(dueMs) < timerTick[up]) timerSet(up, dueMs);
}

/** The sink of `from` takes bytes again. What is held for it tells itself when it is gone; what was peeked at may go by
 * a way that tells nobody. */
export function limitsOpened(from: number): void {
  if (slotHold[from] === NONE) slotFullMs[from] = 0;
}

/** A deadline of the tunnel has passed, that of `slot`. @returns why the tunnel ends, or None: it goes on */
export function limitsOver(ex: number, slot: number): Reason {
  const down = exDown[ex], up = exUp[ex];
  if (slot === down) return exIdleReason[ex];
  const downMs = fullUntilMs(ex, up), upMs = fullUntilMs(ex, down);
  if (downMs !== 0 && downMs <= clockMs()) return Reason.WriteStall;
  if (upMs !== 0 && upMs <= clockMs()) return Reason.ServerWriteStall;
  const nextMs = downMs === 0 ? upMs : upMs === 0 ? downMs : Math.min(downMs, upMs);
  if (nextMs !== 0) timerSet(up, nextMs);
  return Reason.None;
}

/** Until when the sink of `from` may go on taking nothing; 0: it is not full, or has no limit. */
function fullUntilMs(ex: number, from: number): number {
  const to = slotPeer[from];
  const isFull = slotFullMs[from] !== 0 && isStuck(from, to);
  const ticks = to === exDown[ex] ? exDownStallTicks[ex] : exUpStallTicks[ex];
  return isFull && ticks !== 0 ? slotFullMs[from] + ticks * TICK_MS : 0;
}

function turnOf(ex: number, client: boolean): void {
  if (client) limit(ex, exClientTicks[ex], Reason.ClientIdle);
  else limit(ex, exServerTicks[ex], Reason.ServerIdle);
}

/** Limits silence to `ticks` (0: no limit of its own), where that is less than the tunnel's. */
function limit(ex: number, ticks: number, reason: Reason): void {
  const whole = exTunnelTicks[ex], own = ticks !== 0 && (whole === 0 || ticks < whole);
  exIdleTicks[ex] = own ? ticks : whole;
  exIdleReason[ex] = own ? reason : Reason.TunnelIdle;
}

function arm(ex: number): void {
  if (exIdleTicks[ex] === 0) timerClear(exDown[ex]);
  else timerSet(exDown[ex], clockMs() + exIdleTicks[ex] * TICK_MS);
}
