// What a reactor must wait for that only the control plane can get: a question has a row, with text. The
// reactor writes it and rings; the control plane answers into the row and wakes the reactor, which frees it.
// Who asked is a slot with its generation: an answer that comes too late meets another one.
// Invariant: a row is the reactor's while it is Free or answered, the control plane's while it is Asked.
import { assert } from "../base/assert.ts";
import { type Columns, type Layout, makeTable, openTable } from "./columns.ts";

/** Questions of one reactor under way; more are answered with no. */
export const ASKS_MAX = 256;
/** The longest text: a host name. */
export const ASK_BYTES_MAX = 255;

export const enum AskState {
  Free,
  Asked,
  Yes,
  No,
}

const ASKS = {
  askState: [Int32Array, 1], // AskState
  askSlot: [Uint32Array, 1],
  askGen: [Uint32Array, 1],
  askListener: [Uint32Array, 1],
  askBytes: [Uint8Array, 1],
  askText: [Uint8Array, ASK_BYTES_MAX + 1],
} as const satisfies Layout;

export type Asks = Columns<typeof ASKS>;

export function makeAsks(): SharedArrayBuffer {
  return makeTable(ASKS, ASKS_MAX);
}

export function openAsks(memory: SharedArrayBuffer): Asks {
  return openTable(ASKS, memory, ASKS_MAX);
}

/** Asks about the text at `bytes[at, at + count)`. @returns the row; -1 when too many are under way. */
export function ask(
  asks: Asks,
  slot: number,
  gen: number,
  listener: number,
  bytes: Uint8Array,
  at: number,
  count: number,
): number {
  assert(count <= ASK_BYTES_MAX, "asks: a text that is too long");
  for (let row = 0; row < ASKS_MAX; row++) {
    if (Atomics.load(asks.askState, row) !== AskState.Free) continue;
    asks.askSlot[row] = slot;
    asks.askGen[row] = gen;
    asks.askListener[row] = listener;
    asks.askBytes[row] = count;
    for (let byte = 0; byte < count; byte++) {
      asks.askText[row * (ASK_BYTES_MAX + 1) + byte] = bytes[at + byte];
    }
    Atomics.store(asks.askState, row, AskState.Asked);
    return row;
  }
  return -1;
}

/** A question, as the control plane reads it. */
export interface Question {
  readonly listener: number;
  readonly text: string;
  /** Only the first one counts. The reactor is to be woken then. */
  answer(yes: boolean): void;
}

/** The question of a row. */
export function questionOf(asks: Asks, row: number): Question {
  const at = row * (ASK_BYTES_MAX + 1);
  let answered = false;
  return {
    listener: asks.askListener[row],
    text: new TextDecoder("latin1").decode(asks.askText.slice(at, at + asks.askBytes[row])),
    answer(yes) {
      if (answered) return;
      answered = true;
      Atomics.store(asks.askState, row, yes ? AskState.Yes : AskState.No);
    },
  };
}
