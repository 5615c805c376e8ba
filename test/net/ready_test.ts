import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { beforeEach, it } from "node:test";
import { ARENA_SCRATCH } from "../../src/base/limits.ts";
import {
  againServe,
  againWaiting,
  Ready,
  readyAdd,
  readyDry,
  readyMute,
  runAgain,
} from "../../src/net/ready.ts";
import { giveSlot, slotFlags, slotGen, slotReady, slotSetState, takeSlot } from "../../src/net/slots.ts";
import { SlotFlag, SlotState } from "../../src/shared/tables.ts";
import { arenaBytes, sys } from "../../src/sys/sys.ts";
import type { FakeKernel } from "../sim/kernel.ts";
import { ipAddress } from "../sim/plans.ts";
import { openTables, SLOTS_ROWS } from "./tables.ts";

let kernel: FakeKernel;

beforeEach(() => {
  ({ kernel } = openTables());
});

function served(): number[] {
  const slots: number[] = [];
  againServe((slot) => slots.push(slot));
  return slots;
}

it("serves a slot once, however often it was put on the list", () => {
  const [first, second] = [takeSlot(SlotState.Open), takeSlot(SlotState.Open)];
  runAgain(second);
  runAgain(first);
  runAgain(second);
  deepStrictEqual(served(), [second, first]);
  strictEqual(againWaiting(), false);
});

it("leaves what is added while it serves for the next turn", () => {
  const slot = takeSlot(SlotState.Open);
  runAgain(slot);
  let count = 0;
  againServe((slot) => {
    count++;
    runAgain(slot);
  });
  strictEqual(count, 1);
  strictEqual(againWaiting(), true);
  deepStrictEqual(served(), [slot]);
});

it("does not serve a slot that is being closed, nor one that was freed and taken again", () => {
  const [closing, freed] = [takeSlot(SlotState.Open), takeSlot(SlotState.Open)];
  runAgain(closing);
  runAgain(freed);
  slotSetState(closing, SlotState.Closing);
  slotSetState(freed, SlotState.Closing);
  giveSlot(freed);
  strictEqual(takeSlot(SlotState.Open), freed);
  deepStrictEqual(served(), []);
});

it("has room for each slot twice: a dead entry and a living one", () => {
  const slots = Array.from({ length: SLOTS_ROWS - 1 }, () => takeSlot(SlotState.Open));
  slots.forEach(runAgain);
  for (const slot of slots) {
    slotSetState(slot, SlotState.Closing);
    giveSlot(slot);
  }
  const again = slots.map(() => takeSlot(SlotState.Open));
  again.forEach(runAgain);
  deepStrictEqual(served().sort(), again.sort());
});

it("a muted source makes no event until it is dry", () => {
  const slot = takeSlot(SlotState.Connecting);
  arenaBytes.set(ipAddress(10, 1, 80), ARENA_SCRATCH);
  strictEqual(sys.connect(slot, slotGen[slot], ARENA_SCRATCH, 0), 0);
  const { socket } = kernel.slot(slot);
  const events = () => sys.poll(64, 16, 0);
  strictEqual(events(), 1);
  readyMute(slot);
  strictEqual(events(), 1, "the change itself tells what is so");
  socket.arrive(new Uint8Array(3));
  strictEqual(events(), 0);
  strictEqual(slotReady[slot] & Ready.In, Ready.In, "it counts as ready");
  readyDry(slot);
  strictEqual(events(), 1, "bytes that came meanwhile");
  strictEqual(slotFlags[slot] & SlotFlag.Muted, 0);
  strictEqual(slotReady[slot] & Ready.In, 0);
  readyAdd(slot, Ready.In);
  readyMute(slot);
  events();
  socket.arriveFin();
  strictEqual(events(), 1, "an end of stream is told all the same");
});
