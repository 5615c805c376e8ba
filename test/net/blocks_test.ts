import { strictEqual, throws } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import {
  ARENA_BLOCKS,
  ARENA_BYTES,
  ARENA_SMALL_BLOCKS,
  BLOCK_BYTES,
  BLOCKS_FOR_HOLDS,
  BLOCKS_MAX,
  NONE,
  SMALL_BLOCK_BYTES,
  SMALL_BLOCKS_MAX,
} from "../../src/base/limits.ts";
import {
  blocksLeft,
  blocksOpen,
  blocksTaken,
  giveBlock,
  takeBlock,
  takeBlockFor,
} from "../../src/net/blocks.ts";
import { Random } from "../sim/random.ts";

const LARGE = BLOCKS_MAX - 1;
const SMALL = SMALL_BLOCKS_MAX - 1;

const isSmall = (block: number): boolean => block < ARENA_BLOCKS;

function takeAll(take: () => number): number[] {
  const blocks: number[] = [];
  for (let block = take(); block !== NONE; block = take()) blocks.push(block);
  return blocks;
}

beforeEach(() => blocksOpen());

describe("takeBlockFor", () => {
  const cases: [bytes: number, small: boolean, why: string][] = [
    [1, true, "the least"],
    [SMALL_BLOCK_BYTES, true, "it just fits"],
    [SMALL_BLOCK_BYTES + 1, false, "one more"],
    [BLOCK_BYTES, false, "it just fits a large one"],
  ];
  for (const [bytes, small, why] of cases) {
    it(`${bytes} bytes: ${why}`, () => strictEqual(isSmall(takeBlockFor(bytes)), small));
  }

  it("has none for more than a large one holds", () => {
    strictEqual(takeBlockFor(BLOCK_BYTES + 1), NONE);
    strictEqual(blocksTaken(), 0);
  });

  it("takes a large one when the small ones are gone", () => {
    const first = takeBlockFor(1);
    for (let count = 1; count < SMALL; count++) strictEqual(isSmall(takeBlockFor(1)), true);
    strictEqual(isSmall(takeBlockFor(1)), false);
    giveBlock(first);
    strictEqual(takeBlockFor(1), first, "and a small one when there is one again");
  });

  it("leaves to leftovers what they need", () => {
    const blocks = takeAll(() => takeBlockFor(BLOCK_BYTES));
    strictEqual(blocks.length, LARGE - BLOCKS_FOR_HOLDS);
    strictEqual(blocksLeft(), BLOCKS_FOR_HOLDS);
    strictEqual(isSmall(takeBlockFor(1)), true, "small ones are no leftover's");
    takeAll(() => takeBlockFor(1));
    strictEqual(blocksLeft(), BLOCKS_FOR_HOLDS, "those who find no small one spare them as well");
    strictEqual(takeAll(takeBlock).length, BLOCKS_FOR_HOLDS);
    giveBlock(blocks[0]);
    strictEqual(takeBlockFor(BLOCK_BYTES), NONE, "the first ones given back are theirs, too");
  });
});

it("takeBlock gives each large block once", () => {
  const blocks = takeAll(takeBlock);
  strictEqual(new Set(blocks).size, LARGE);
  strictEqual(blocksLeft(), 0);
  strictEqual(blocksTaken(), LARGE);
  for (const block of blocks) giveBlock(block);
  strictEqual(blocksTaken(), 0);
  strictEqual(blocksLeft(), LARGE);
});

it("giveBlock takes nothing that is no block", () => {
  const block = takeBlock();
  throws(() => giveBlock(NONE), { name: "TableError" });
  throws(() => giveBlock(ARENA_SMALL_BLOCKS - SMALL_BLOCK_BYTES), { name: "TableError" });
  throws(() => giveBlock(ARENA_SMALL_BLOCKS + SMALL_BLOCK_BYTES), { name: "TableError" }, "none was taken");
  throws(() => giveBlock(block + BLOCK_BYTES), { name: "TableError" }, "this one was not taken");
  strictEqual(blocksTaken(), 1);
});

it("no two blocks that are taken have a byte in common, in whatever order they come and go", () => {
  for (let seed = 1; seed <= 20; seed++) {
    blocksOpen();
    const random = new Random(seed), taken: number[] = [];
    for (let step = 0; step < 400; step++) {
      if (taken.length === 0 || random.oneIn(2)) {
        const block = random.oneIn(3) ? takeBlock() : takeBlockFor(random.size(BLOCK_BYTES));
        strictEqual(taken.includes(block), false, `seed ${seed} step ${step}`);
        taken.push(block);
      } else {
        giveBlock(taken.splice(random.below(taken.length), 1)[0]);
      }
      strictEqual(blocksTaken(), taken.length, `seed ${seed} step ${step}`);
      strictEqual(blocksLeft(), LARGE - taken.filter((block) => !isSmall(block)).length);
    }
    const spans = taken.map((block) => [block, block + (isSmall(block) ? SMALL_BLOCK_BYTES : BLOCK_BYTES)]);
    spans.sort(([a], [b]) => a - b);
    spans.forEach(([from, end], at) => {
      strictEqual(from >= ARENA_SMALL_BLOCKS && end <= ARENA_BYTES, true, `seed ${seed}: ${from}`);
      if (at > 0) strictEqual(from >= spans[at - 1][1], true, `seed ${seed}: ${from}`);
    });
  }
});
