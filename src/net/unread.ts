// What was read from a slot too early: a head that has not ended, the next request behind a body, a body
// whose server is not there yet. Kept in a block, and put before what is read next.
// Invariant: slotUnread is NONE exactly when slotUnreadBytes is 0.
import { assert } from "../base/assert.ts";
import { ARENA_RECEIVE, BLOCK_BYTES, NONE, RECEIVE_BYTES } from "../base/limits.ts";
import { SlotFlag } from "../shared/tables.ts";
import { EAGAIN } from "../sys/errno.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { giveBlock, takeBlockFor } from "./blocks.ts";
import { Ready, readyDry } from "./ready.ts";
import { slotFlags, slotMovedBytes, slotReady, slotUnread, slotUnreadBytes } from "./slots.ts";

/** Keeps bytes of the arena as unread; false when there is no block. `seen`: they were looked at, and only
 * more of them would tell something new. */
export function unreadKeep(slot: number, from: number, bytes: number, seen: boolean): boolean {
  assert(slotUnread[slot] === NONE, "unread: a slot took a second block");
  assert(bytes > 0 && bytes <= BLOCK_BYTES, "unread: bytes out of range");
  const block = takeBlockFor(bytes);
  if (block === NONE) return false;
  arenaBytes.copyWithin(block, from, from + bytes);
  slotUnread[slot] = block;
  slotUnreadBytes[slot] = bytes;
  if (seen) slotFlags[slot] &= ~SlotFlag.Unseen;
  else slotFlags[slot] |= SlotFlag.Unseen;
  return true;
}

/** Whether a read may find something: the kernel has bytes, or nobody has looked at what is kept. */
export function readable(slot: number): boolean {
  return (slotReady[slot] & Ready.In) !== 0 || (slotFlags[slot] & SlotFlag.Unseen) !== 0;
}

/**
 * Reads into the receive block: what is unread first, then at most `most` bytes (at most RECEIVE_BYTES)
 * of the socket.
 *
 * @returns how many bytes lie at ARENA_RECEIVE; 0 at end of stream; -EAGAIN: none; another -errno. An end
 *          of stream behind unread bytes is told by the next read.
 */
export function readUnread(slot: number, most: number): number {
  const before = slotUnreadBytes[slot];
  if (before === 0) return readSocket(slot, ARENA_RECEIVE, most);
  const unseen = (slotFlags[slot] & SlotFlag.Unseen) !== 0;
  const room = Math.min(most, 2 * RECEIVE_BYTES - before);
  assert(room > 0 || unseen, "unread: no room for what would tell something new");
  const read = slotReady[slot] & Ready.In && room > 0
    ? readSocket(slot, ARENA_RECEIVE + before, room)
    : -EAGAIN;
  if (read <= 0 && !unseen) return read;
  if (read < 0 && read !== -EAGAIN) return read;
  arenaBytes.copyWithin(ARENA_RECEIVE, slotUnread[slot], slotUnread[slot] + before);
  unreadGive(slot);
  return before + Math.max(0, read);
}

/** One recv. A read that did not fill what it was given has emptied the socket (see pump.ts). */
function readSocket(slot: number, at: number, most: number): number {
  const read = sys.recv(slot, at, most);
  if (read > 0) {
    slotMovedBytes[slot] += read;
    if (read < most && !(slotReady[slot] & (Ready.Fin | Ready.Err | Ready.Pieces))) readyDry(slot);
  } else if (read === -EAGAIN) readyDry(slot);
  return read;
}

/** Gives the block back; what was in it is gone, or lies in the receive block. */
export function unreadGive(slot: number): void {
  if (slotUnread[slot] === NONE) return;
  giveBlock(slotUnread[slot]);
  slotUnread[slot] = NONE;
  slotUnreadBytes[slot] = 0;
  slotFlags[slot] &= ~SlotFlag.Unseen;
}
