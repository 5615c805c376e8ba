// The only way a slot dies. `closeSlot` marks; fds are closed and rows freed in `closeSweep`, after the
// batch, so no event of the batch can meet a stranger under its number. What a slot owns is named by
// its columns: freeing it is giving those back.
import { assertTable } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { delayClear } from "../net/delays.ts";
import { holdGive } from "../net/holds.ts";
import { giveSlot, slotFlags, slotHold, slotSetState, slotState } from "../net/slots.ts";
import { timerClear } from "../net/timers.ts";
import { unreadGive } from "../net/unread.ts";
import { SlotFlag, SlotState } from "../shared/tables.ts";
import { PER_LINE } from "../shared/servers.ts";
import { sys } from "../sys/sys.ts";
import { room, shared } from "./context.ts";

/** Slots marked in this turn. */
let marked: Uint32Array;
let markedCount: number;

export function closeOpen(slots: number): void {
  marked = new Uint32Array(slots);
  markedCount = 0;
}

/** Marks a slot to be closed, with a reset or with whatever close(2) sends. Marking twice is no error:
 * both ends of a connection may break in one turn. */
export function closeSlot(slot: number, reset: boolean): void {
  if (slot === NONE || slotState[slot] === SlotState.Closing) return;
  if (reset) slotFlags[slot] |= SlotFlag.Reset;
  slotSetState(slot, SlotState.Closing);
  marked[markedCount++] = slot;
}

/** Closes and frees what was marked. Once a turn, after everything else. A client's connection counts as
 * ended when its socket is closed: what C still holds is exactly what is not yet counted. */
export function closeSweep(): void {
  for (let index = 0; index < markedCount; index++) {
    const slot = marked[index];
    timerClear(slot);
    if (slotFlags[slot] & SlotFlag.Parked) delayClear(slot);
    if (slotHold[slot] !== NONE) holdGive(slot, false);
    unreadGive(slot);
    assertTable(
      sys.close(slot, slotFlags[slot] & SlotFlag.Reset ? 1 : 0) === 0,
      "close: the slot had no socket",
    );
    if (slotFlags[slot] & SlotFlag.Down) Atomics.add(shared.reactorEnded, room * PER_LINE, 1);
    giveSlot(slot);
  }
  markedCount = 0;
}
