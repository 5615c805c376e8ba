// Readiness. epoll is edge-triggered and registered once, so what the kernel has told us is kept here,
// in bits per slot, until a call answers EAGAIN; and a slot that is ready and wanted but could not be
// served now (its turn's budget is spent) goes on the again-list, because nobody will tell us again.
// Invariant at the end of a turn: ready and wanted implies on the again-list.
import { assertTable } from "../base/assert.ts";
import { SlotFlag, SlotState } from "../shared/tables.ts";
import { sys } from "../sys/sys.ts";
import { slotFlags, slotReady, slotState } from "./slots.ts";

/** As ffi/sluice.h has them. */
export const enum Ready {
  In = 1,
  Out = 2,
  /** The peer ended its sending half: after a short read there is nothing more. */
  Fin = 4,
  Err = 8,
  /** Bytes come in pieces that one read does not join (urgent data, unix sockets): a read that did not
   * fill its buffer does not prove the socket empty. */
  Pieces = 16,
}

/** A ring of slots. A slot is on it at most once while taken; one that was freed and taken again in
 * the same turn may leave a second, dead entry, hence twice the slots. */
let ring: Uint32Array;
let head: number;
let tail: number;

export function readyOpen(slots: number): void {
  let size = 1;
  while (size < 2 * slots) size *= 2;
  ring = new Uint32Array(size);
  head = 0;
  tail = 0;
}

export function readyAdd(slot: number, bits: number): void {
  slotReady[slot] |= bits;
}

export function readyClear(slot: number, bits: number): void {
  slotReady[slot] &= ~bits;
}

/** The source's sink is full: its arriving bytes shall wake nobody. It counts as ready until a read
 * answers EAGAIN (`readyDry`), so a stream that keeps its sink full costs this once, not each time. */
export function readyMute(slot: number): void {
  if (slotFlags[slot] & SlotFlag.Muted) return;
  slotFlags[slot] |= SlotFlag.Muted;
  slotReady[slot] |= Ready.In;
  const muted = sys.hear(slot, 0);
  assertTable(muted === 0, "ready: a slot could not be muted");
}

/** A read answered EAGAIN: the next bytes must make an event. */
export function readyDry(slot: number): void {
  slotReady[slot] &= ~Ready.In;
  if (!(slotFlags[slot] & SlotFlag.Muted)) return;
  slotFlags[slot] &= ~SlotFlag.Muted;
  const heard = sys.hear(slot, 1);
  assertTable(heard === 0, "ready: a slot could not be heard again");
}

/** Serves the slot once more in the next round, without waiting for an event. */
export function runAgain(slot: number): void {
  if (slotFlags[slot] & SlotFlag.Queued) return;
  slotFlags[slot] |= SlotFlag.Queued;
  ring[tail & (ring.length - 1)] = slot;
  tail++;
  assertTable(tail - head <= ring.length, "ready: the again-list is full");
}

/** Whether somebody waits on the again-list: the next poll must not sleep. */
export function againWaiting(): boolean {
  return head !== tail;
}

/** Serves what is on the list now; what is added meanwhile waits for the next turn. */
export function againServe(serve: (slot: number) => void): void {
  for (const end = tail; head !== end;) {
    const slot = ring[head & (ring.length - 1)];
    head++;
    if (!(slotFlags[slot] & SlotFlag.Queued)) continue; // its row was freed since
    slotFlags[slot] &= ~SlotFlag.Queued;
    if (slotState[slot] !== SlotState.Closing) serve(slot);
  }
}
