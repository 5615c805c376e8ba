// Connections that an operator wants closed, on their way to the reactor that has them and back: which slots, of which
// generation, and what became of them. Made by the control plane for one message; the reactor writes outcomes, then
// `closingDone`.
import { type Layout, makeTable, openTable } from "./columns.ts";

/** Connections of one message: closing so many is not more than a reactor may do at once. */
export const CLOSING_MAX = 64;

export const enum Outcome {
  /** The reactor has not looked yet. */
  Asked,
  Closed,
  /** It had ended before. */
  Gone,
}

const CLOSING = {
  closingSlot: [Uint32Array, 1], // the client's end
  closingGen: [Uint32Array, 1],
  closingOutcome: [Uint8Array, 1], // Outcome
  closingDone: [Int32Array, 1], // of row 0: 1 when all outcomes are there
} as const satisfies Layout;

/** Slots with their generations. */
export interface ClosingRow {
  readonly slot: number;
  readonly gen: number;
}

export const openClosing = (memory: SharedArrayBuffer, rows: number) => openTable(CLOSING, memory, rows);

/** @param rows 1 to CLOSING_MAX of them */
export function makeClosing(rows: readonly ClosingRow[]): SharedArrayBuffer {
  const memory = makeTable(CLOSING, rows.length),
    { closingSlot, closingGen } = openClosing(memory, rows.length);
  rows.forEach(({ slot, gen }, row) => {
    closingSlot[row] = slot;
    closingGen[row] = gen;
  });
  return memory;
}
