import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { beforeEach, it } from "node:test";
import { ARENA_RECEIVE, BLOCKS_MAX, NONE, RECEIVE_BYTES } from "../../src/base/limits.ts";
import { blocksTaken, takeBlock } from "../../src/net/blocks.ts";
import { holdBlock, holdGive, holdLeftover, holdPipe, holdsLeft, holdUnread } from "../../src/net/holds.ts";
import { pipesOpenCount, pipesTaken } from "../../src/net/pipes.ts";
import {
  slotFlags,
  slotHold,
  slotHoldBytes,
  slotHoldFrom,
  slotUnread,
  takeSlot,
} from "../../src/net/slots.ts";
import { unreadKeep } from "../../src/net/unread.ts";
import { SlotFlag, SlotState } from "../../src/shared/tables.ts";
import { arenaBytes } from "../../src/sys/sys.ts";
import type { FakeKernel, Weather } from "../sim/kernel.ts";
import { openTables } from "./tables.ts";

let kernel: FakeKernel, weather: Weather, slot: number;

beforeEach(() => {
  ({ kernel, weather } = openTables());
  slot = takeSlot(SlotState.Open);
  for (let byte = 0; byte < RECEIVE_BYTES; byte++) arenaBytes[ARENA_RECEIVE + byte] = byte * 7;
});

it("a leftover goes to a pipe, where there is one", () => {
  holdLeftover(slot, ARENA_RECEIVE + 5, 100);
  strictEqual(slotFlags[slot] & SlotFlag.HoldsPipe, SlotFlag.HoldsPipe);
  strictEqual(slotHoldBytes[slot], 100);
  const bytes: number[] = [];
  kernel.pipe(slotHold[slot]).bytes.take(1_000, (view) => bytes.push(...view));
  deepStrictEqual(bytes, [...arenaBytes.slice(ARENA_RECEIVE + 5, ARENA_RECEIVE + 105)]);
  holdGive(slot, true);
  deepStrictEqual([slotHold[slot], slotHoldBytes[slot], slotFlags[slot], pipesTaken()], [NONE, 0, 0, 0]);
});

it("a leftover goes to a block, where there is no pipe", () => {
  weather.fds = kernel.fdCount;
  holdLeftover(slot, ARENA_RECEIVE + 5, 100);
  strictEqual(slotFlags[slot] & SlotFlag.HoldsPipe, 0);
  const at = slotHold[slot];
  deepStrictEqual(arenaBytes.slice(at, at + 100), arenaBytes.slice(ARENA_RECEIVE + 5, ARENA_RECEIVE + 105));
  holdGive(slot, true);
  deepStrictEqual([slotHold[slot], slotHoldBytes[slot], blocksTaken()], [NONE, 0, 0]);
});

it("a pipe that takes only a part is closed, and the block has it all", () => {
  strictEqual(holdPipe(slot), true);
  holdGive(slot, true);
  weather.pipeTrouble = 1; // from now on writes to it are short, or fail
  holdLeftover(slot, ARENA_RECEIVE, RECEIVE_BYTES);
  strictEqual(slotFlags[slot] & SlotFlag.HoldsPipe, 0);
  strictEqual(slotHoldBytes[slot], RECEIVE_BYTES);
  strictEqual(pipesOpenCount(), 0);
});

it("what is unread is held where it lies, though no block is left", () => {
  strictEqual(unreadKeep(slot, ARENA_RECEIVE, 100, false), true);
  const taken = blocksTaken();
  while (takeBlock() !== NONE) { /* until none is left */ }
  holdUnread(slot, 30);
  deepStrictEqual([slotUnread[slot], slotHoldFrom[slot], slotHoldBytes[slot], slotFlags[slot]], [
    NONE,
    30,
    70,
    0,
  ]);
  const at = slotHold[slot] + slotHoldFrom[slot];
  deepStrictEqual(arenaBytes.slice(at, at + 70), arenaBytes.slice(ARENA_RECEIVE + 30, ARENA_RECEIVE + 100));
  const before = blocksTaken();
  holdGive(slot, true);
  deepStrictEqual([before - blocksTaken(), taken], [1, 1]);
});

it("a slot holds one thing at a time", () => {
  strictEqual(holdBlock(slot), true);
  throws(() => holdBlock(slot), { name: "BugError" });
  throws(() => holdPipe(slot), { name: "BugError" });
});

it("says when there is no place for a leftover", () => {
  for (let count = 1; count < BLOCKS_MAX; count++) {
    strictEqual(holdsLeft(), true);
    takeBlock();
  }
  strictEqual(holdsLeft(), false);
  strictEqual(holdBlock(slot), false);
});
