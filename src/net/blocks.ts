// Blocks: pieces of the arena that hold bytes a sink did not take when no pipe was to be had. Bounded
// at start, committed by touch; nobody owns one while idle.
import { ARENA_BLOCKS, BLOCK_BYTES, BLOCKS_MAX } from "../base/limits.ts";
import { Rows } from "./rows.ts";

let rows: Rows;

export function blocksOpen(): void {
  rows = new Rows(new Uint32Array(BLOCKS_MAX), BLOCKS_MAX);
}

/** Takes a block; NONE when all are taken. */
export function takeBlock(): number {
  return rows.take();
}

export function giveBlock(block: number): void {
  rows.give(block);
}

/** Where a block begins in the arena. */
export function blockAt(block: number): number {
  return ARENA_BLOCKS + block * BLOCK_BYTES;
}

export function blocksTaken(): number {
  return rows.taken;
}

export function blocksLeft(): number {
  return rows.left;
}
