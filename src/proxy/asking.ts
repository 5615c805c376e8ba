// What slots of this reactor wait for that the control plane gets: a certificate for the name that a client asked
// for. The slot is parked in its handshake, with a deadline of its own.
import { ARENA_SCRATCH, NONE } from "../base/limits.ts";
import { slotGen } from "../net/slots.ts";
import { ask, ASK_BYTES_MAX, type Asks, ASKS_MAX, AskState, openAsks } from "../shared/asks.ts";
import { Field, RecordKind } from "../shared/log_ring.ts";
import { TlsFact } from "../sys/symbols.ts";
import { arenaBytes, clockMs, sys } from "../sys/sys.ts";
import { log } from "./context.ts";

let asks: Asks;
/** Rows that are not free. */
let waiting: number;

export function askingOpen(memory: SharedArrayBuffer): void {
  asks = openAsks(memory);
  waiting = 0;
  for (let row = 0; row < ASKS_MAX; row++) {
    if (Atomics.load(asks.askState, row) !== AskState.Free) waiting++; // of the reactor that was here before
  }
}

/** Asks for a certificate for the name that the client of a slot named; false: that cannot be asked now. */
export function askForName(slot: number, listener: number): boolean {
  const bytes = sys.tls_fact(slot, TlsFact.Name, ARENA_SCRATCH, ASK_BYTES_MAX);
  const record = bytes > 0 ? log.begin(RecordKind.Ask, clockMs()) : -1;
  if (record < 0) return false;
  const row = ask(asks, slot, slotGen[slot], listener, arenaBytes, ARENA_SCRATCH, bytes);
  if (row < 0) return false; // the record was begun, and is not pushed
  log.numbers[record + Field.Detail] = row;
  log.push();
  waiting++;
  return true;
}

/** Hands every answer to whoever still waits for it. */
export function askingServe(answered: (slot: number, yes: boolean) => void): void {
  for (let row = 0; waiting > 0 && row < ASKS_MAX; row++) {
    const state = Atomics.load(asks.askState, row);
    if (state !== AskState.Yes && state !== AskState.No) continue;
    const slot = asks.askSlot[row], gen = asks.askGen[row];
    Atomics.store(asks.askState, row, AskState.Free);
    waiting--;
    if (slot !== NONE && slotGen[slot] === gen) answered(slot, state === AskState.Yes);
  }
}
