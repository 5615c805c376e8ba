// A room on the fake kernel with small tables, for the tests of this folder; and a reactor in it, for those
// of proxy/.
import { ARENA_BYTES, CONTROL_ARENA_BYTES } from "../../src/base/limits.ts";
import { blocksOpen } from "../../src/net/blocks.ts";
import { pipesOpen } from "../../src/net/pipes.ts";
import { readyOpen } from "../../src/net/ready.ts";
import { slotsOpen } from "../../src/net/slots.ts";
import { makePlan, NO_SIZES, type Plan } from "../../src/plan/plan.ts";
import { reactorOpen } from "../../src/proxy/reactor.ts";
import { makeTable } from "../../src/shared/columns.ts";
import { makeAsks } from "../../src/shared/asks.ts";
import { LogRing } from "../../src/shared/log_ring.ts";
import { LogState } from "../../src/shared/log_state.ts";
import { makeShared, openShared, type Shared } from "../../src/shared/servers.ts";
import { makeSources } from "../../src/shared/sources.ts";
import { makeStats } from "../../src/shared/stats.ts";
import { EXCHANGES, FLOWS, SLOTS, TIMERS } from "../../src/shared/tables.ts";
import { enterRoom, sys, useProvider } from "../../src/sys/sys.ts";
import { ABI } from "../../src/sys/symbols.ts";
import { fakeProvider, Tally } from "../sim/calls.ts";
import { Clock } from "../sim/clock.ts";
import { CALM } from "../sim/contracts.ts";
import { FakeKernel, type Weather } from "../sim/kernel.ts";
import { Random } from "../sim/random.ts";
import { Socket } from "../sim/socket.ts";

export const ROOM = 1;
export const SLOTS_ROWS = 8;
export const PIPES = 4;

const arena = new ArrayBuffer(ARENA_BYTES);

/** Opens everything anew; what the kernel should do badly is set in `weather`. */
export function openTables(slots = SLOTS_ROWS): { kernel: FakeKernel; weather: Weather; clock: Clock } {
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
  sys.room_open(ROOM, slots, PIPES, ARENA_BYTES);
  enterRoom(ROOM);
  slotsOpen(makeTable(SLOTS, slots), slots);
  readyOpen(slots);
  blocksOpen();
  pipesOpen(PIPES);
  return { kernel, weather, clock };
}

const stats = makeStats(), log = LogRing.make();

/** Rows of each of a reactor's tables, and other rooms whose threads are not there. */
export interface ReactorSizes {
  readonly slots: number;
  readonly exchanges?: number;
  readonly rooms?: readonly number[];
}

/** The same with a reactor, which has nothing to do; without a Plan it works by an empty one. */
export function openReactor(
  { slots, exchanges = 1, rooms = [] }: ReactorSizes,
  plan: Plan = makePlan(1, NO_SIZES),
): { kernel: FakeKernel; weather: Weather; clock: Clock; shared: Shared } {
  const opened = openTables(slots), shared = makeShared();
  for (const room of rooms) sys.room_open(room, 1, 1, ARENA_BYTES);
  reactorOpen({
    library: "",
    room: ROOM,
    role: "reactor",
    handTo: [ROOM],
    counted: [ROOM, ...rooms],
    maxConnections: slots,
    sizes: { slots, exchanges, timers: slots, pipes: PIPES },
    asks: makeAsks(),
    tables: {
      slots: makeTable(SLOTS, slots),
      exchanges: makeTable(EXCHANGES, exchanges),
      timers: makeTable(TIMERS, slots),
      flows: makeTable(FLOWS, slots),
    },
    stats,
    shared,
    sources: makeSources(1, 1),
    log,
    logState: LogState.make(),
    plan: plan.memory,
    seed: 1,
    listeners: [],
  });
  return { ...opened, shared: openShared(shared) };
}
