// The slot table: a slot is one socket of this reactor, its fields are columns. Knows no protocol and
// closes nothing (proxy/close.ts does).
// Invariant: slotState is Free exactly for the rows on the free list and those never used.
import { assert, assertTable } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { openSlots, SlotState } from "../shared/tables.ts";
import { Rows } from "./rows.ts";

export let slotState: Uint8Array;
export let slotFlags: Uint16Array;
export let slotReady: Uint8Array;
export let slotGen: Uint32Array;
export let slotPeer: Uint32Array;
export let slotEx: Uint32Array;
export let slotHold: Uint32Array;
export let slotHoldFrom: Uint16Array;
export let slotHoldBytes: Uint32Array;
export let slotLentBytes: Uint32Array;
export let slotPaidBytes: Float64Array;
export let slotTookKiB: Uint16Array;
export let slotFullMs: Float64Array;
export let slotMovedBytes: Float64Array;
export let slotBody: Uint8Array;
export let slotPhase: Uint8Array;
export let slotBodyLeft: Float64Array;
export let slotBodyMost: Float64Array;
export let slotUnread: Uint32Array;
export let slotUnreadBytes: Uint16Array;
export let slotScanned: Uint16Array;
export let slotServer: Uint32Array;
export let slotSinceMs: Float64Array;

let rows: Rows;

export function slotsOpen(memory: SharedArrayBuffer, slots: number): void {
  ({
    slotState,
    slotFlags,
    slotReady,
    slotGen,
    slotPeer,
    slotEx,
    slotHold,
    slotHoldFrom,
    slotHoldBytes,
    slotLentBytes,
    slotPaidBytes,
    slotTookKiB,
    slotFullMs,
    slotMovedBytes,
    slotBody,
    slotPhase,
    slotBodyLeft,
    slotBodyMost,
    slotUnread,
    slotUnreadBytes,
    slotScanned,
    slotServer,
    slotSinceMs,
  } = openSlots(memory, slots));
  rows = new Rows(slotEx, slots);
}

/** From (row) to (bits). ARCHITECTURE.md has the picture; a test holds the two together. */
export const SLOT_NEXT: readonly number[] = [
  /* Free */ (1 << SlotState.Connecting) | (1 << SlotState.Open) | (1 << SlotState.Flow),
  /* Connecting */ (1 << SlotState.Handshake) | (1 << SlotState.Open) | (1 << SlotState.Closing),
  /* Handshake */ (1 << SlotState.Open) | (1 << SlotState.Closing),
  /* Open */ (1 << SlotState.Handshake) | (1 << SlotState.Idle) | (1 << SlotState.Closing),
  /* Idle */ (1 << SlotState.Open) | (1 << SlotState.Closing),
  /* Flow */ 1 << SlotState.Closing,
  /* Closing */ 1 << SlotState.Free,
];

/** The only place that writes slotState. */
export function slotSetState(slot: number, next: SlotState): void {
  assert((SLOT_NEXT[slotState[slot]] & (1 << next)) !== 0, "slots: illegal transition");
  slotState[slot] = next;
}

/** Takes a free slot in the given state; NONE when all are taken. */
export function takeSlot(state: SlotState.Connecting | SlotState.Open | SlotState.Flow): number {
  const slot = rows.take();
  if (slot !== NONE) slotSetState(slot, state);
  return slot;
}

/** Gives a slot back. What it owned (socket, pipe, block, timer) must be gone. */
export function giveSlot(slot: number): void {
  slotSetState(slot, SlotState.Free);
  assertTable(slotHold[slot] === NONE, "slots: a freed slot still holds a pipe or block");
  assertTable(slotUnread[slot] === NONE, "slots: a freed slot still holds unread bytes");
  slotGen[slot]++;
  slotFlags[slot] = 0;
  slotReady[slot] = 0;
  slotPeer[slot] = NONE;
  slotMovedBytes[slot] = 0;
  slotTookKiB[slot] = 0;
  slotBody[slot] = 0;
  if (slotScanned[slot] !== 0) slotScanned[slot] = 0; // untouched by plain connections
  if (slotFullMs[slot] !== 0) slotFullMs[slot] = 0;
  rows.give(slot);
}

/** Gives back a slot that never got a socket: nothing can be late for it. */
export function giveUntouchedSlot(slot: number): void {
  slotSetState(slot, SlotState.Closing);
  giveSlot(slot);
}

export function slotsTaken(): number {
  return rows.taken;
}

/** Slots that can still be taken. */
export function slotsLeft(): number {
  return rows.left;
}

/** First row that was never used: no scan need go further. */
export function slotsEnd(): number {
  return rows.end;
}

/** The free list is whole. For tests. */
export function slotsCheck(): void {
  rows.check((slot) => slotState[slot] === SlotState.Free);
}
