// A room on the fake kernel with small tables, for the tests of this folder.
import { ARENA_BYTES, CONTROL_ARENA_BYTES } from "../../src/base/limits.ts";
import { blocksOpen } from "../../src/net/blocks.ts";
import { pipesOpen } from "../../src/net/pipes.ts";
import { readyOpen } from "../../src/net/ready.ts";
import { slotsOpen } from "../../src/net/slots.ts";
import { makeTable } from "../../src/shared/columns.ts";
import { SLOTS } from "../../src/shared/tables.ts";
import { enterRoom, sys, useProvider } from "../../src/sys/sys.ts";
import { ABI } from "../../src/sys/symbols.ts";
import { fakeProvider, Tally } from "../sim/calls.ts";
import { Clock } from "../sim/clock.ts";
import { CALM } from "../sim/contracts.ts";
import { FakeKernel, type Weather } from "../sim/kernel.ts";
import { Random } from "../sim/random.ts";
import { Socket } from "../sim/socket.ts";

const ROOM = 1;
export const SLOTS_ROWS = 8;
export const PIPES = 4;

const arena = new ArrayBuffer(ARENA_BYTES);

/** Opens everything anew; what the kernel should do badly is set in `weather`. */
export function openTables(): { kernel: FakeKernel; weather: Weather; clock: Clock } {
  const weather = { ...CALM }, clock = new Clock(1_000);
  const kernel = new FakeKernel(new Random(1), clock, weather);
  kernel.world = {
    connect: () => new Socket(65_536, 65_536, false),
    adopted() {},
    shut() {},
    betweenTurns() {},
  };
  const nothing = { kernel: { abi: () => ABI }, arena: () => arena } as unknown as Parameters<
    typeof fakeProvider
  >[1];
  useProvider(fakeProvider(kernel, nothing, new Tally()));
  sys.room_open(0, 1, 1, CONTROL_ARENA_BYTES);
  sys.room_open(ROOM, SLOTS_ROWS, PIPES, ARENA_BYTES);
  enterRoom(ROOM);
  slotsOpen(makeTable(SLOTS, SLOTS_ROWS), SLOTS_ROWS);
  readyOpen(SLOTS_ROWS);
  blocksOpen();
  pipesOpen(PIPES);
  return { kernel, weather, clock };
}
