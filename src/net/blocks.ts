// Blocks: pieces of the arena that hold bytes a sink did not take when no pipe was to be had. Bounded
// at start, committed by touch; nobody owns one while idle.
import { assertTable } from "../base/assert.ts";
import { ARENA_BLOCKS, BLOCK_BYTES, BLOCKS_MAX, NONE } from "../base/limits.ts";

let next: Uint16Array; // the free list
let free: number;
let fresh: number;
let taken: number;

export function blocksOpen(): void {
  next = new Uint16Array(BLOCKS_MAX);
  free = NONE;
  fresh = 1;
  taken = 0;
}

/** Takes a block; NONE when all are taken. */
export function takeBlock(): number {
  let block = free;
  if (block !== NONE) {
    free = next[block];
  } else {
    if (fresh === BLOCKS_MAX) return NONE;
    block = fresh++;
  }
  taken++;
  return block;
}

export function giveBlock(block: number): void {
  assertTable(block > NONE && block < fresh, "blocks: gave a block that was never taken");
  assertTable(taken > 0, "blocks: gave more blocks than were taken");
  next[block] = free;
  free = block;
  taken--;
}

/** Where a block begins in the arena. */
export function blockAt(block: number): number {
  return ARENA_BLOCKS + block * BLOCK_BYTES;
}

export function blocksTaken(): number {
  return taken;
}

export function blocksLeft(): number {
  return BLOCKS_MAX - 1 - taken;
}
