// The exchange table: one row per connection through us, or per health check under way. States and
// their legal moves; what happens in them is told in exchange.ts.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { Rows } from "../net/rows.ts";
import { ExState, openExchanges } from "../shared/tables.ts";

export let exState: Uint8Array;
export let exReason: Uint8Array;
export let exErrno: Uint16Array;
export let exTried: Uint16Array;
export let exListener: Uint16Array;
export let exDown: Uint32Array;
export let exUp: Uint32Array;
export let exUpstream: Uint16Array;
export let exServer: Uint32Array;
export let exFirst: Uint32Array;
export let exGeneration: Uint32Array;
export let exIdleTicks: Uint32Array;
export let exStartMs: Float64Array;

let rows: Rows; // linked through exDown

export function exchangesOpen(memory: SharedArrayBuffer, exchanges: number): void {
  ({
    exState,
    exReason,
    exErrno,
    exTried,
    exListener,
    exDown,
    exUp,
    exUpstream,
    exServer,
    exFirst,
    exGeneration,
    exIdleTicks,
    exStartMs,
  } = openExchanges(memory, exchanges));
  rows = new Rows(exDown, exchanges);
}

const to = (...states: ExState[]): number => states.reduce((mask, state) => mask | (1 << state), 0);

/** From (row) to (bits). ARCHITECTURE.md has the picture; a test holds the two together. */
export const EX_NEXT: readonly number[] = [
  /* Free */ to(ExState.Connect),
  /* Connect */ to(ExState.Connect, ExState.Tunnel, ExState.Probe, ExState.Done), // Connect -> Connect: redispatch
  /* Tunnel */ to(ExState.Done),
  /* Probe */ to(ExState.Done),
  /* Done */ to(ExState.Free),
];

/** The only place that writes exState. */
export function exSetState(ex: number, next: ExState): void {
  assert((EX_NEXT[exState[ex]] & (1 << next)) !== 0, "exchange: illegal transition");
  exState[ex] = next;
}

/** Takes a row, in state Connect; NONE when all are taken. */
export function takeExchange(): number {
  const ex = rows.take();
  if (ex !== NONE) exSetState(ex, ExState.Connect);
  return ex;
}

export function giveExchange(ex: number): void {
  exSetState(ex, ExState.Free);
  exReason[ex] = 0;
  exErrno[ex] = 0;
  exTried[ex] = 0;
  exUp[ex] = NONE;
  exServer[ex] = NONE;
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
