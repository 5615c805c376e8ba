// Two ends joined, byte for byte: two pumps, half-close passed on. TCP, later CONNECT, WebSocket and
// TLS passthrough differ only in what happened before.
import { assertTable } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { Ready } from "../net/ready.ts";
import {
  slotEx,
  slotFlags,
  slotHold,
  slotMovedBytes,
  slotPeer,
  slotReady,
  slotsEnd,
  slotState,
} from "../net/slots.ts";
import { tickAt, timerExtend } from "../net/timers.ts";
import { Reason } from "../shared/reason.ts";
import { ExFlag, ExState, SlotFlag, SlotState } from "../shared/tables.ts";
import { ECONNRESET } from "../sys/errno.ts";
import { clockMs } from "../sys/sys.ts";
import { planOf, stats } from "./context.ts";
import { exchangeEnd } from "./end.ts";
import {
  exDown,
  exDownBytes,
  exFlags,
  exGeneration,
  exIdleTicks,
  exListener,
  exServer,
  exSetState,
  exState,
  exUpBytes,
} from "./exchanges.ts";
import { isAlerted, shakenDetail } from "./handshake.ts";
import { paceLeave } from "./pace.ts";
import { pump, Pumped, pumpErrno } from "./pump.ts";
import {
  limitsBegin,
  limitsFull,
  limitsHalf,
  limitsOpened,
  limitsOver,
  limitsTurn,
} from "./tunnel_limits.ts";

/** The errno behind the last reason that `tunnelServe` gave. */
export let tunnelErrno = 0;

/** Whether the last direction that was moved ended because of its sink. */
let sinkWasBroken = false;

/**
 * Serves a tunnel after an event of one of its slots (`bits`, see Ready), or again (`bits` 0).
 *
 * @returns why the tunnel ended, or Reason.None: it goes on.
 */
export function tunnelServe(ex: number, slot: number, bits: number, nowTick: number): Reason {
  const ready = slotReady[slot];
  slotReady[slot] = ready | bits;
  if (exIdleTicks[ex] !== 0) timerExtend(exDown[ex], nowTick + exIdleTicks[ex]);

  const reason = move(ex, slot);
  if (reason !== Reason.None) return reason;
  if (bits & Ready.Err && slotFlags[slot] & SlotFlag.Down) {
    // The client is gone, though what it sent before still waits for the server: nobody would be told.
    tunnelErrno = ECONNRESET;
    return Reason.ClientReset;
  }
  const opened = (bits & ~ready & Ready.Out) !== 0;
  if (opened) limitsOpened(slotPeer[slot]);
  return opened ? move(ex, slotPeer[slot]) : Reason.None; // what waited for this sink
}

/** From here on the two ends are joined. The Plan is held until now. */
export function tunnelBegin(ex: number): void {
  exSetState(ex, ExState.Tunnel);
  limitsBegin(ex, planOf(exGeneration[ex]));
}

/** A deadline of one of its slots has passed. */
export function tunnelTimeout(ex: number, slot: number): void {
  const reason = limitsOver(ex, slot);
  if (reason !== Reason.None) exchangeEnd(ex, reason, 0);
}

/** Serves a tunnel, and ends it if that is what came of it. */
export function tunnelRun(ex: number, slot: number, bits: number): void {
  const reason = tunnelServe(ex, slot, bits, tickAt(clockMs()));
  if (reason !== Reason.None) exchangeEnd(ex, reason, reason === Reason.Finished ? 0 : tunnelErrno);
}

/** Pumps one direction. When its sink is broken, what the sink had sent before is delivered first: a
 * server may answer and close without reading everything. */
function move(ex: number, from: number): Reason {
  const reason = moveOneWay(ex, from);
  if (reason !== Reason.None && sinkWasBroken) {
    const errno = tunnelErrno;
    if (slotFlags[slotPeer[from]] & SlotFlag.Shaped) paceLeave(slotPeer[from]); // now or never
    if (moveOneWay(ex, slotPeer[from]) === Reason.ServerAlert) return Reason.ServerAlert; // it says why
    tunnelErrno = errno;
  }
  return reason;
}

/** Pumps and counts what was moved. */
function moveOneWay(ex: number, from: number): Reason {
  const before = slotMovedBytes[from];
  const pumped = pump(from);
  const moved = slotMovedBytes[from] - before;
  const fromDown = (slotFlags[from] & SlotFlag.Down) !== 0;
  if (moved > 0) {
    if (exFlags[ex] & (ExFlag.Http | ExFlag.Turns)) tallyOther(ex, moved, fromDown);
    else tally(ex, moved, fromDown);
  }
  sinkWasBroken = pumped === Pumped.SinkBroken;
  switch (pumped) {
    case Pumped.Waiting:
      return Reason.None;
    case Pumped.Full:
      limitsFull(ex, from);
      return Reason.None;
    case Pumped.Half:
      limitsHalf(ex, fromDown);
      return Reason.None;
    case Pumped.Done:
      return Reason.Finished;
  }
  tunnelErrno = pumpErrno;
  const brokenDown = (pumped === Pumped.SourceBroken) === fromDown;
  if (brokenDown) return Reason.ClientReset;
  if (pumped !== Pumped.SourceBroken || !isAlerted(from, pumpErrno)) return Reason.ServerReset;
  tunnelErrno = shakenDetail;
  return Reason.ServerAlert;
}

function tally(ex: number, moved: number, fromDown: boolean): void {
  const listener = exListener[ex], server = exServer[ex];
  if (fromDown) {
    stats.listenerUpBytes[listener] += moved;
    stats.serverUpBytes[server] += moved;
  } else {
    stats.listenerDownBytes[listener] += moved;
    stats.serverDownBytes[server] += moved;
  }
}

/** Of those that are no mere connections: what was a request before tells its bytes at its end. */
function tallyOther(ex: number, moved: number, fromDown: boolean): void {
  if (exFlags[ex] & ExFlag.Http) {
    if (fromDown) exUpBytes[ex] += moved;
    else exDownBytes[ex] += moved;
    return;
  }
  tally(ex, moved, fromDown);
  limitsTurn(ex, fromDown);
}

/** No tunnel stalls: what is ready and wanted is on the again-list, or parked until a time. For tests. */
export function tunnelsCheck(): void {
  for (let slot = 1; slot < slotsEnd(); slot++) {
    if (slotState[slot] !== SlotState.Open || exState[slotEx[slot]] !== ExState.Tunnel) continue;
    const peer = slotPeer[slot], flags = slotFlags[slot];
    if (flags & SlotFlag.Queued) continue;
    if (flags & SlotFlag.Parked && slotHold[slot] === NONE) continue; // until a time
    const sinkReady = (slotReady[peer] & Ready.Out) !== 0;
    if (slotHold[slot] !== NONE) {
      assertTable(!sinkReady, "tunnel: holds bytes for a sink that would take them");
    } else if (flags & SlotFlag.Finished) {
      // A session's last record waits for room as any other.
      const waits = (slotFlags[peer] & SlotFlag.Sealed) !== 0 && !sinkReady;
      const passed = (slotFlags[peer] & SlotFlag.FinSent) !== 0 || waits;
      assertTable(passed, "tunnel: an end of stream was not passed on");
    } else {
      assertTable(!sinkReady || !(slotReady[slot] & Ready.In), "tunnel: a ready source waits for nothing");
    }
  }
}
