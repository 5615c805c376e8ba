// What a source holds for its sink: bytes read and not yet sent, in a borrowed pipe or block, named by
// columns of the source's slot. One place takes and gives them, so that ending a slot is no knowledge.
// Invariant: slotHold is NONE, or names a pipe (flag HoldsPipe) or a block with slotHoldBytes in it.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { SlotFlag } from "../shared/tables.ts";
import { blocksLeft, giveBlock, takeBlock } from "./blocks.ts";
import { givePipe, takePipe } from "./pipes.ts";
import {
  slotFlags,
  slotHold,
  slotHoldBytes,
  slotHoldFrom,
  slotPeer,
  slotUnread,
  slotUnreadBytes,
} from "./slots.ts";

/** Borrows an empty pipe for the source; false when there is none. */
export function holdPipe(slot: number): boolean {
  assert(slotHold[slot] === NONE, "holds: a slot took a second hold");
  const pipe = takePipe();
  if (pipe === NONE) return false;
  slotHold[slot] = pipe;
  slotFlags[slot] |= SlotFlag.HoldsPipe;
  slotHoldBytes[slot] = 0;
  return true;
}

/** Borrows an empty block, for an answer that is gathered; false when there is none. */
export function holdBlock(slot: number): boolean {
  assert(slotHold[slot] === NONE, "holds: a slot took a second hold");
  const block = takeBlock();
  if (block === NONE) return false;
  slotHold[slot] = block;
  slotHoldFrom[slot] = 0;
  slotHoldBytes[slot] = 0;
  return true;
}

/** Whether a leftover could be kept now. Asked before reading: when not, bytes are only peeked at. */
export function holdsLeft(): boolean {
  return blocksLeft() > 0;
}

/** Keeps a leftover, copied from the arena: in a pipe if one is to be had and the sink can be spliced to, else
 * in a block. */
export function holdLeftover(slot: number, from: number, bytes: number): void {
  if (!isSealed(slot) && holdPipe(slot)) {
    const written = sys.pipe_write(slotHold[slot], from, bytes);
    if (written === bytes) {
      slotHoldBytes[slot] = bytes;
      return;
    }
    holdGive(slot, false); // a pipe of one page took a part: closed with it, the block takes all
  }
  const held = holdBlock(slot);
  assert(held, "holds: read without a place for leftovers");
  const at = slotHold[slot];
  arenaBytes.copyWithin(at, from, from + bytes);
  slotHoldBytes[slot] = bytes;
}

/** What was read too early, from `taken` on, is what waits for the sink: in the block that it has, so that none is
 * needed. */
export function holdUnread(slot: number, taken: number): void {
  assert(slotHold[slot] === NONE, "holds: a slot took a second hold");
  slotHold[slot] = slotUnread[slot];
  slotHoldFrom[slot] = taken;
  slotHoldBytes[slot] = slotUnreadBytes[slot] - taken;
  slotUnread[slot] = NONE;
  slotUnreadBytes[slot] = 0;
  slotFlags[slot] &= ~SlotFlag.Unseen;
}

/** Whether the bytes of a slot or of its peer pass through us: a hold may be of either. */
function isSealed(slot: number): boolean {
  return ((slotFlags[slot] | slotFlags[slotPeer[slot]]) & SlotFlag.Sealed) !== 0;
}

/** Gives back what the slot holds; `empty` tells whether a pipe may be used again. */
export function holdGive(slot: number, empty: boolean): void {
  const hold = slotHold[slot];
  if (hold === NONE) return;
  if (slotFlags[slot] & SlotFlag.HoldsPipe) {
    slotFlags[slot] &= ~SlotFlag.HoldsPipe;
    givePipe(hold, empty);
  } else {
    giveBlock(hold);
  }
  slotHold[slot] = NONE;
  slotHoldBytes[slot] = 0;
}
