import { deepStrictEqual, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { beforeEach, it } from "node:test";
import { NONE } from "../../src/base/limits.ts";
import {
  giveSlot,
  giveUntouchedSlot,
  slotFlags,
  slotGen,
  slotHold,
  slotMovedBytes,
  slotPeer,
  slotReady,
  slotsCheck,
  slotSetState,
  slotsLeft,
  slotsTaken,
  slotState,
  takeSlot,
} from "../../src/net/slots.ts";
import { SlotFlag, SlotState } from "../../src/shared/tables.ts";
import { openTables, SLOTS_ROWS } from "./tables.ts";

beforeEach(() => void openTables());

it("a slot that is given back is blank, of the next generation", () => {
  const slot = takeSlot(SlotState.Open), generation = slotGen[slot];
  slotFlags[slot] = SlotFlag.Down | SlotFlag.Bulk;
  slotReady[slot] = 31;
  slotPeer[slot] = 3;
  slotMovedBytes[slot] = 1e9;
  slotSetState(slot, SlotState.Closing);
  giveSlot(slot);
  strictEqual(takeSlot(SlotState.Connecting), slot, "the last one given is the next one taken");
  notStrictEqual(slotGen[slot], generation);
  deepStrictEqual([slotFlags[slot], slotReady[slot], slotPeer[slot], slotMovedBytes[slot]], [0, 0, NONE, 0]);
  strictEqual(slotState[slot], SlotState.Connecting);
});

it("an untouched slot changes its generation too", () => {
  const slot = takeSlot(SlotState.Connecting), generation = slotGen[slot];
  giveUntouchedSlot(slot);
  notStrictEqual(slotGen[slot], generation);
  strictEqual(slotsTaken(), 0);
});

it("there is one fewer than rows", () => {
  for (let count = 1; count < SLOTS_ROWS; count++) notStrictEqual(takeSlot(SlotState.Open), NONE);
  strictEqual(slotsLeft(), 0);
  strictEqual(takeSlot(SlotState.Open), NONE);
  slotsCheck();
});

it("an open slot is not freed, nor one that still holds something", () => {
  const slot = takeSlot(SlotState.Open);
  throws(() => giveSlot(slot), { name: "BugError" }, "it was not closed");
  slotSetState(slot, SlotState.Closing);
  slotHold[slot] = 1;
  throws(() => giveSlot(slot), { name: "TableError" }, "its pipe would be lost");
});
