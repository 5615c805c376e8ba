// Blocks: pieces of the arena, of two sizes. Large ones hold bytes that a sink did not take or that were
// read too early; small ones the heads of requests under way. Bounded at start, committed by touch;
// nobody owns one while idle. A block is named by where it begins in the arena, so that giving it back
// needs no memory of its size.
import { assertTable } from "../base/assert.ts";
import {
  ARENA_BLOCKS,
  ARENA_SMALL_BLOCKS,
  BLOCK_BYTES,
  BLOCKS_FOR_HOLDS,
  BLOCKS_MAX,
  NONE,
  SMALL_BLOCK_BYTES,
  SMALL_BLOCKS_MAX,
} from "../base/limits.ts";
import { type Layout, makeTable, openTable } from "../shared/columns.ts";
import { Rows } from "./rows.ts";

let rows: Rows;
let smallRows: Rows;

export function blocksOpen(): void {
  rows = new Rows(links(BLOCKS_MAX), BLOCKS_MAX);
  smallRows = new Rows(links(SMALL_BLOCKS_MAX), SMALL_BLOCKS_MAX);
}

/** From free row to free row; committed by touch. */
function links(count: number): Uint32Array {
  return openTable(LINKS, makeTable(LINKS, count), count).next;
}

const LINKS = { next: [Uint32Array, 1] } as const satisfies Layout;

/** Takes a large block; NONE when all are taken. */
export function takeBlock(): number {
  const row = rows.take();
  return row === NONE ? NONE : ARENA_BLOCKS + row * BLOCK_BYTES;
}

/** Takes a block that `bytes` fit into, a small one if there is any; NONE when all are taken but those that
 * leftovers need. */
export function takeBlockFor(bytes: number): number {
  const row = bytes > SMALL_BLOCK_BYTES ? NONE : smallRows.take();
  if (row === NONE) return bytes > BLOCK_BYTES || rows.left <= BLOCKS_FOR_HOLDS ? NONE : takeBlock();
  return ARENA_SMALL_BLOCKS + row * SMALL_BLOCK_BYTES;
}

export function giveBlock(block: number): void {
  assertTable(block >= ARENA_SMALL_BLOCKS, "blocks: gave a block that is none");
  if (block >= ARENA_BLOCKS) rows.give((block - ARENA_BLOCKS) / BLOCK_BYTES);
  else smallRows.give((block - ARENA_SMALL_BLOCKS) / SMALL_BLOCK_BYTES);
}

export function blocksTaken(): number {
  return rows.taken + smallRows.taken;
}

/** Large blocks that can still be taken. */
export function blocksLeft(): number {
  return rows.left;
}
