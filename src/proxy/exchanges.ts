// The exchange table: one row per connection through us, or per health check under way. States and
// their legal moves; what happens in them is told in exchange.ts.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { Rows } from "../net/rows.ts";
import { ExState, openExchanges } from "../shared/tables.ts";

export let exState: Uint8Array;
export let exReason: Uint8Array;
export let exErrno: Uint16Array;
export let exSource: Uint32Array;
export let exTried: Uint16Array;
export let exListener: Uint16Array;
export let exDown: Uint32Array;
export let exUp: Uint32Array;
export let exUpstream: Uint16Array;
export let exServer: Uint32Array;
export let exFirst: Uint32Array;
export let exWalk: Uint32Array;
export let exReachMs: Float64Array;
export let exGeneration: Uint32Array;
export let exIdleTicks: Uint32Array;
export let exIdleReason: Uint8Array;
export let exTunnelTicks: Uint32Array;
export let exClientTicks: Uint32Array;
export let exServerTicks: Uint32Array;
export let exHalfTicks: Uint32Array;
export let exDownStallTicks: Uint32Array;
export let exUpStallTicks: Uint32Array;
export let exStartMs: Float64Array;
export let exSeenMs: Float64Array;
export let exMeters: Int32Array;
export let exFlags: Uint32Array;
export let exRoute: Uint32Array;
export let exStatus: Uint16Array;
export let exKept: Uint32Array;
export let exKeptBytes: Uint16Array;
export let exMethodEnd: Uint16Array;
export let exTargetEnd: Uint16Array;
export let exHost: Uint16Array;
export let exHostEnd: Uint16Array;
export let exInterim: Uint8Array;
export let exRequests: Uint32Array;
export let exOpenedMs: Float64Array;
export let exUpBefore: Float64Array;
export let exDownBefore: Float64Array;
export let exUpBytes: Float64Array;
export let exDownBytes: Float64Array;
export let exNext: Uint32Array;
export let exBefore: Uint32Array;
export let exConnectMs: Float64Array;
export let exFirstMs: Float64Array;
export let exQueuedMs: Float64Array;
export let exUnqueuedMs: Float64Array;

let rows: Rows; // linked through exDown

export function exchangesOpen(memory: SharedArrayBuffer, exchanges: number): void {
  ({
    exState,
    exReason,
    exErrno,
    exSource,
    exTried,
    exListener,
    exDown,
    exUp,
    exUpstream,
    exServer,
    exFirst,
    exWalk,
    exReachMs,
    exGeneration,
    exIdleTicks,
    exIdleReason,
    exTunnelTicks,
    exClientTicks,
    exServerTicks,
    exHalfTicks,
    exDownStallTicks,
    exUpStallTicks,
    exStartMs,
    exSeenMs,
    exMeters,
    exFlags,
    exRoute,
    exStatus,
    exKept,
    exKeptBytes,
    exMethodEnd,
    exTargetEnd,
    exHost,
    exHostEnd,
    exInterim,
    exRequests,
    exOpenedMs,
    exUpBefore,
    exDownBefore,
    exUpBytes,
    exDownBytes,
    exNext,
    exBefore,
    exConnectMs,
    exFirstMs,
    exQueuedMs,
    exUnqueuedMs,
  } = openExchanges(memory, exchanges));
  rows = new Rows(exDown, exchanges);
}

const to = (...states: ExState[]): number => states.reduce((mask, state) => mask | (1 << state), 0);

/** From (row) to (bits). ARCHITECTURE.md has the picture; a test holds the two together. */
export const EX_NEXT: readonly number[] = [
  /* Free */ to(ExState.Introduction, ExState.Handshake, ExState.Head, ExState.Connect),
  /* Introduction */ to(ExState.Handshake, ExState.Head, ExState.Connect, ExState.Done),
  /* Handshake */ to(ExState.Head, ExState.Connect, ExState.Done),
  /* Head */ to(ExState.Connect, ExState.Answer, ExState.Done),
  /* Queue */ to(ExState.Connect, ExState.Answer, ExState.Done),
  /* Connect */ to( // Connect -> Connect: the next server
    ExState.Queue,
    ExState.Connect,
    ExState.Forward,
    ExState.Answer,
    ExState.Tunnel,
    ExState.Probe,
    ExState.Done,
  ),
  /* Forward */ to( // Forward -> Connect: once more, on a new connection
    ExState.Head,
    ExState.Connect,
    ExState.Answer,
    ExState.Linger,
    ExState.Tunnel,
    ExState.Done,
  ),
  /* Answer */ to(ExState.Head, ExState.Linger, ExState.Done),
  /* Linger */ to(ExState.Done),
  /* Tunnel */ to(ExState.Done),
  /* Probe */ to(ExState.Done),
  /* Done */ to(ExState.Free),
];

/** The only place that writes exState. */
export function exSetState(ex: number, next: ExState): void {
  assert((EX_NEXT[exState[ex]] & (1 << next)) !== 0, "exchange: illegal transition");
  exState[ex] = next;
}

/** Takes a row; NONE when all are taken. */
export function takeExchange(
  state: ExState.Introduction | ExState.Handshake | ExState.Head | ExState.Connect,
): number {
  const ex = rows.take();
  if (ex !== NONE) exSetState(ex, state);
  return ex;
}

export function giveExchange(ex: number): void {
  exSetState(ex, ExState.Free);
  exReason[ex] = 0;
  exErrno[ex] = 0;
  exTried[ex] = 0;
  exUp[ex] = NONE;
  exServer[ex] = NONE;
  exFlags[ex] = 0;
  rows.give(ex);
}

export function exchangesTaken(): number {
  return rows.taken;
}

export function exchangesLeft(): number {
  return rows.left;
}

/** First row that was never used. */
export function exchangesEnd(): number {
  return rows.end;
}
