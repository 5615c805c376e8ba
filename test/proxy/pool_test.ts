// Kept connections, in a reactor on the fake kernel: what the world does is told by its own turns.
import { deepStrictEqual, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ARENA_RECEIVE, ARENA_SCRATCH, NONE, SLOTS_SPARE } from "../../src/base/limits.ts";
import { blocksTaken } from "../../src/net/blocks.ts";
import { Ready, readyAdd } from "../../src/net/ready.ts";
import {
  slotEx,
  slotGen,
  slotPeer,
  slotReady,
  slotsCheck,
  slotSetState,
  slotsLeft,
  slotsTaken,
  slotState,
  takeSlot,
} from "../../src/net/slots.ts";
import { timersArmed, timersCheck } from "../../src/net/timers.ts";
import { unreadKeep } from "../../src/net/unread.ts";
import { makePlan, NO_SIZES, type Plan, SendProxy } from "../../src/plan/plan.ts";
import {
  poolDrop,
  poolDropAll,
  poolEvent,
  poolGive,
  poolIdle,
  poolKeepOnly,
  poolLearn,
  poolShrink,
  poolTake,
} from "../../src/proxy/pool.ts";
import { reactorTurn } from "../../src/proxy/reactor.ts";
import { SlotState } from "../../src/shared/tables.ts";
import { ECONNRESET } from "../../src/sys/errno.ts";
import { arenaBytes, clockMs, sys } from "../../src/sys/sys.ts";
import { openReactor, ROOM } from "../net/tables.ts";
import type { Clock } from "../sim/clock.ts";
import type { FakeKernel } from "../sim/kernel.ts";
import { ipAddress } from "../sim/plans.ts";
import { Random } from "../sim/random.ts";
import type { Socket } from "../sim/socket.ts";

const SLOTS = 64;
/** Servers, by number. */
const ONE = 3, OTHER = 5, THIRD = 9;
const MANY = 1_000;
const AS_LEARNED = -1;

let kernel: FakeKernel, clock: Clock;

beforeEach(() => open(SLOTS));

function open(slots: number): void {
  ({ kernel, clock } = openReactor({ slots }));
  turn();
}

/** A turn of the reactor, when so much time has passed. Whatever was marked is closed by it. */
function turn(ms = 0): void {
  clock.advance(clock.nowMs + ms);
  reactorTurn(0, () => undefined);
  sys.poll(64, 1, 0); // the next turn may do more than close
  slotsCheck();
  timersCheck();
}

/** An open connection to a server, whose first event is over. */
function connect(): number {
  const slot = takeSlot(SlotState.Connecting);
  notStrictEqual(slot, NONE);
  arenaBytes.set(ipAddress(10, 1, 80), ARENA_SCRATCH);
  strictEqual(sys.connect(slot, slotGen[slot], ARENA_SCRATCH, 0), 0);
  slotSetState(slot, SlotState.Open);
  sys.poll(64, 16, 0); // nobody is to be told of it
  slotEx[slot] = 1;
  slotPeer[slot] = 1;
  return slot;
}

function give(server: number, most = MANY, keepMs = AS_LEARNED): number {
  const slot = connect();
  poolGive(slot, server, most, keepMs);
  return slot;
}

const socketOf = (slot: number): Socket => kernel.slot(slot).socket;
const isKept = (slot: number): boolean => slotState[slot] === SlotState.Idle;
const take = (server: number): number => poolTake(server, false);

/** All that are kept of a server, in the order in which they are taken. */
function takeAll(server: number): number[] {
  const slots: number[] = [];
  for (let slot = take(server); slot !== NONE; slot = take(server)) slots.push(slot);
  return slots;
}

/** How long a connection is kept that is given now, when nothing happens to it; in whole ticks. */
function keptFor(server: number, keepMs = AS_LEARNED): number {
  const slot = give(server, MANY, keepMs), generation = slotGen[slot], givenMs = clockMs();
  while (slotGen[slot] === generation) turn(100);
  return clockMs() - givenMs;
}

/** A connection is kept, and its server closes it after that time. */
function closedAfter(server: number, ms: number): void {
  const slot = give(server), socket = socketOf(slot);
  turn(ms);
  strictEqual(isKept(slot), true);
  socket.arriveFin();
  turn();
  strictEqual(socket.closed, true);
}

describe("poolTake", () => {
  it("takes the newest first", () => {
    const [first, second, third] = [give(ONE), give(ONE), give(ONE)];
    strictEqual(poolIdle(), 3);
    deepStrictEqual(takeAll(ONE), [third, second, first]);
    strictEqual(poolIdle(), 0);
  });

  it("takes none of another server", () => {
    const [first, second] = [give(ONE), give(OTHER)];
    strictEqual(take(THIRD), NONE);
    strictEqual(take(OTHER), second);
    strictEqual(take(OTHER), NONE);
    strictEqual(take(ONE), first);
  });

  it("gives it open, without exchange, peer or deadline", () => {
    const slot = give(ONE);
    deepStrictEqual([slotState[slot], timersArmed()], [SlotState.Idle, 1]);
    deepStrictEqual([slotEx[slot], take(ONE)], [NONE, slot]);
    deepStrictEqual([slotState[slot], slotEx[slot], slotPeer[slot]], [SlotState.Open, NONE, NONE]);
    strictEqual(timersArmed(), 0);
  });

  const news: [why: string, happen: (socket: Socket) => void][] = [
    ["its server closed it", (socket) => socket.arriveFin()],
    ["its server reset it", (socket) => socket.arriveReset()],
    ["its server said something", (socket) => socket.arrive(new Uint8Array(1))],
  ];
  for (const [why, happen] of news) {
    it(`sure, drops what no event has told of yet: ${why}`, () => {
      const [quiet, second, newest] = [give(ONE), give(ONE), give(ONE)];
      const sockets = [second, newest].map(socketOf);
      sockets.forEach(happen);
      strictEqual(poolTake(ONE, true), quiet);
      strictEqual(poolIdle(), 0);
      turn();
      deepStrictEqual(sockets.map((socket) => socket.closed), [true, true]);
      strictEqual(slotsTaken(), 1);
    });

    it(`not sure, asks nobody: ${why}`, () => {
      const newest = [give(ONE), give(ONE)][1];
      happen(socketOf(newest));
      strictEqual(take(ONE), newest);
    });
  }

  it("sure, has none when each has something to say", () => {
    socketOf(give(ONE)).arriveFin();
    strictEqual(poolTake(ONE, true), NONE);
    strictEqual(poolIdle(), 0);
  });
});

describe("poolGive", () => {
  it("keeps so many of each server", () => {
    const slots = [give(ONE, 2), give(ONE, 2), give(ONE, 2), give(OTHER, 1)];
    deepStrictEqual(slots.map(isKept), [true, true, false, true]);
    take(ONE);
    strictEqual(isKept(give(ONE, 2)), true, "one was taken");
    strictEqual(isKept(give(THIRD, 0)), false);
    turn();
    strictEqual(slotsTaken(), 4, "the one that was taken is somebody's");
  });

  const times: [keepMs: number, want: number, why: string][] = [
    [100, 100, "what is configured"],
    [30_000, 30_000, "what is configured"],
    [300_000, 300_000, "also when it is long"],
    [AS_LEARNED, 60_000, "nothing is known"],
  ];
  for (const [keepMs, want, why] of times) {
    it(`keeps it for ${keepMs} ms: ${why}`, () => strictEqual(keptFor(ONE, keepMs), want));
  }

  it("keeps nothing where connections are not kept", () => {
    const slot = give(ONE, MANY, 0);
    strictEqual(isKept(slot), false);
    turn();
    strictEqual(slotsTaken(), 0);
  });

  it("is not told by the kernel what an event has told", () => {
    const noted: [bits: number, happen: (socket: Socket) => void][] = [
      [Ready.Fin, () => {}],
      [Ready.Err, () => {}],
      [Ready.In, (socket) => socket.arriveFin()],
      [Ready.In, (socket) => socket.arriveReset()],
      [Ready.In, (socket) => socket.arrive(new Uint8Array(1))],
    ];
    for (const [bits, happen] of noted) {
      const slot = connect();
      readyAdd(slot, bits);
      happen(socketOf(slot));
      poolGive(slot, ONE, MANY, AS_LEARNED);
      strictEqual(isKept(slot), false, `${bits}`);
    }
    turn();
    strictEqual(slotsTaken(), 0);
  });

  it("does not keep one with unread bytes, nor the bytes", () => {
    const slot = connect();
    strictEqual(unreadKeep(slot, ARENA_RECEIVE, 5, true), true);
    poolGive(slot, ONE, MANY, AS_LEARNED);
    strictEqual(isKept(slot), false);
    turn();
    strictEqual(blocksTaken(), 0);
  });

  it("looks whether what was ready is dry, and notes it", () => {
    const slot = connect();
    readyAdd(slot, Ready.In | Ready.Out);
    poolGive(slot, ONE, MANY, AS_LEARNED);
    strictEqual(isKept(slot), true);
    strictEqual(slotReady[slot], Ready.Out);
  });
});

describe("an event of a kept connection", () => {
  const cases: [bits: number, kept: boolean, why: string][] = [
    [Ready.Out, true, "that it may be written to says nothing"],
    [Ready.Out | Ready.Pieces, true, "nor does that its bytes come in pieces"],
    [0, true, "nor does nothing"],
    [Ready.In, false, "bytes that nobody asked for"],
    [Ready.In | Ready.Out, false, "the same"],
    [Ready.In | Ready.Fin, false, "an end of stream"],
    [Ready.In | Ready.Out | Ready.Fin | Ready.Err, false, "a reset"],
  ];
  for (const [bits, kept, why] of cases) {
    it(`${bits}: ${why}`, () => {
      const [first, slot, last] = [give(ONE), give(ONE), give(ONE)];
      poolEvent(slot, bits);
      strictEqual(isKept(slot), kept);
      deepStrictEqual(takeAll(ONE), kept ? [last, slot, first] : [last, first]);
    });
  }

  const news: [why: string, happen: (socket: Socket) => void][] = [
    ["closes", (socket) => socket.arriveFin()],
    ["resets", (socket) => socket.arriveReset()],
    ["speaks", (socket) => socket.arrive(new Uint8Array(1))],
  ];
  for (const [why, happen] of news) {
    it(`its server ${why}: it is closed in the same turn`, () => {
      const [slot, other] = [give(ONE), give(ONE)], socket = socketOf(slot);
      turn();
      deepStrictEqual([isKept(slot), isKept(other)], [true, true], "that it is connected is no news");
      happen(socket);
      turn();
      strictEqual(socket.closed, true);
      deepStrictEqual([poolIdle(), slotsTaken(), sys.held(ROOM, 0)], [1, 1, 1]);
      deepStrictEqual(takeAll(ONE), [other]);
    });
  }
});

describe("how long a server keeps a connection is learned", () => {
  it("a burst's time-outs are one observation", () => {
    poolLearn(ONE, 5);
    for (let count = 0; count < 40; count++) give(ONE);
    turn(4_100);
    strictEqual(poolIdle(), 0);
    strictEqual(keptFor(ONE), 4_200);
  });

  it("never for less than a second, whatever was seen", () => {
    const slot = give(ONE);
    turn(1_050);
    socketOf(slot).arriveFin();
    turn();
    strictEqual(keptFor(ONE) >= 1_000, true);
  });

  const said: [seconds: number, want: number, why: string][] = [
    [5, 4_000, "a second less than it says"],
    [60, 59_000, "the same"],
    [61, 60_000, "the most"],
    [4_000_000, 60_000, "no longer than when nothing is known"],
    [2, 1_000, "a second is left"],
    [1, 1_000, "the least"],
  ];
  for (const [seconds, want, why] of said) {
    it(`it says ${seconds} s: ${why}`, () => {
      poolLearn(ONE, seconds);
      strictEqual(keptFor(ONE), want);
      strictEqual(keptFor(OTHER), 60_000, "of this server only");
    });
  }

  it("what it said last counts", () => {
    poolLearn(ONE, 30);
    poolLearn(ONE, 5);
    strictEqual(keptFor(ONE), 4_000);
  });

  it("what is configured counts more", () => {
    poolLearn(ONE, 5);
    strictEqual(keptFor(ONE, 7_000), 7_000);
  });

  const closes: [afterMs: number, want: number, why: string][] = [
    [10_000, 9_000, "the next ones are kept a little shorter than it does"],
    [50_000, 45_000, "the same"],
    [2_000, 1_800, "the same"],
    [900, 60_000, "at once: it was restarted, perhaps"],
    [1_000, 60_000, "at once, still"],
  ];
  for (const [afterMs, want, why] of closes) {
    it(`it closes one that was idle for ${afterMs} ms: ${why}`, () => {
      closedAfter(ONE, afterMs);
      strictEqual(keptFor(ONE), want);
      strictEqual(keptFor(OTHER), 60_000, "of this server only");
    });
  }

  it("a shorter time corrects what it said", () => {
    poolLearn(ONE, 31);
    closedAfter(ONE, 20_000);
    strictEqual(keptFor(ONE), 18_000);
  });

  it("a close that is later than what is known teaches nothing", () => {
    poolLearn(ONE, 5);
    const slot = give(ONE, MANY, 30_000);
    turn(20_000);
    socketOf(slot).arriveFin();
    turn();
    strictEqual(keptFor(ONE), 4_000);
  });

  it("what is not closed on us is kept a little longer each time, up to the most", () => {
    poolLearn(ONE, 41);
    const times = Array.from({ length: 12 }, () => keptFor(ONE));
    deepStrictEqual(times.slice(0, 3), [40_000, 42_000, 44_100]);
    times.slice(1).forEach((ms, at) => strictEqual(ms > times[at] || ms === 60_000, true, times.join()));
    strictEqual(times.at(-1), 60_000);
    strictEqual(keptFor(OTHER), 60_000, "where nothing is known, nothing is learned");
    closedAfter(OTHER, 10_000);
    strictEqual(keptFor(OTHER), 9_000);
  });
});

describe("poolDrop", () => {
  for (const at of [0, 1, 2, 3]) {
    it(`takes number ${at} of four out, and closes it`, () => {
      const slots = [give(ONE), give(ONE), give(ONE), give(ONE)], socket = socketOf(slots[at]);
      poolDrop(slots[at]);
      deepStrictEqual([poolIdle(), timersArmed()], [3, 3]);
      deepStrictEqual(takeAll(ONE), slots.filter((slot) => slot !== slots[at]).reverse());
      turn();
      strictEqual(socket.closed, true);
      strictEqual(slotsTaken(), 3);
    });
  }

  it("does not drop what is not kept", () => {
    give(ONE);
    const slot = give(ONE);
    take(ONE);
    throws(() => poolDrop(slot), { name: "TableError" });
  });

  it("makes room for another", () => {
    const first = give(ONE, 1);
    poolDrop(first);
    strictEqual(isKept(give(ONE, 1)), true);
  });

  it("poolDropAll leaves none, of nobody", () => {
    for (const server of [ONE, OTHER, ONE, THIRD]) give(server);
    const open = connect();
    poolDropAll();
    strictEqual(poolIdle(), 0);
    turn();
    deepStrictEqual([slotsTaken(), slotState[open], timersArmed()], [1, SlotState.Open, 0]);
  });
});

describe("poolShrink", () => {
  /** How many are kept of each server. */
  const counts = (slots: readonly (readonly number[])[]): number[] =>
    slots.map((of) => of.filter(isKept).length);

  it("gives up so many, of one server after the other, and goes on where it was", () => {
    const slots = [ONE, OTHER, THIRD].map((server) => [give(server), give(server), give(server)]);
    poolShrink(2);
    deepStrictEqual(counts(slots), [1, 3, 3]);
    poolShrink(2);
    deepStrictEqual(counts(slots), [1, 1, 3], "the next server's turn");
    poolShrink(4);
    deepStrictEqual(counts(slots), [0, 1, 0], "all of the third, then the first again");
    poolShrink(4);
    deepStrictEqual(counts(slots), [0, 0, 0], "there was one left");
    poolShrink(4);
    strictEqual(poolIdle(), 0);
    turn();
    strictEqual(slotsTaken(), 0);
  });

  it("gives up none while there are slots", () => {
    open(SLOTS_SPARE + 3);
    const slot = give(ONE);
    strictEqual(slotsLeft() >= SLOTS_SPARE, true);
    poolShrink(1);
    strictEqual(isKept(slot), true);
    const second = give(OTHER), third = give(OTHER);
    strictEqual(slotsLeft() < SLOTS_SPARE, true);
    poolShrink(1);
    deepStrictEqual([slot, second, third].filter(isKept).length, 2);
  });
});

describe("poolKeepOnly", () => {
  /** A Plan that has these servers, and rows for as many. */
  function planOf(servers: readonly number[], rows = THIRD + 1): Plan {
    const plan = makePlan(2, { ...NO_SIZES, servers: rows, upstreams: 3, arenaBytes: 200 });
    for (const server of servers) {
      plan.serverAddressAt[server] = 8;
      plan.serverUpstream[server] = server === ONE ? 1 : 2;
    }
    return plan;
  }

  const ALL = planOf([ONE, OTHER, THIRD]);

  for (
    const [what, change] of [
      ["TLS, or other TLS", (plan: Plan) => plan.serverTls[ONE] = 1],
      ["a certificate for another name", (plan: Plan) => plan.serverTlsNameBytes[ONE] = 3],
      ["another source", (plan: Plan) => plan.serverSocket[ONE] = 2],
      ["an introduction", (plan: Plan) => plan.upstreamSendProxy[1] = SendProxy.V2],
    ] as const
  ) {
    it(`closes connections to a server that is to have ${what}`, () => {
      const slots = [ONE, OTHER].map((server) => give(server)), after = planOf([ONE, OTHER, THIRD]);
      change(after);
      poolKeepOnly(ALL, after);
      deepStrictEqual(slots.map(isKept), [false, true]);
      poolKeepOnly(after, ALL);
    });
  }

  it("closes connections to servers that went away, and no others", () => {
    const slots = [ONE, OTHER, ONE, THIRD].map((server) => give(server));
    poolKeepOnly(ALL, planOf([ONE, THIRD]));
    deepStrictEqual(slots.map(isKept), [true, false, true, true]);
    poolKeepOnly(ALL, planOf([], ONE));
    deepStrictEqual(slots.map(isKept), [false, false, false, false], "the Plan has no rows for them");
    strictEqual(poolIdle(), 0);
    turn();
    strictEqual(slotsTaken(), 0);
  });

  it("forgets what was learned of one for which it has not even a row", () => {
    poolLearn(THIRD, 5);
    poolKeepOnly(ALL, makePlan(2, { ...NO_SIZES, servers: THIRD - 1 }));
    strictEqual(keptFor(THIRD), 60_000);
  });

  it("forgets what was learned of them, and of no others", () => {
    poolLearn(ONE, 5);
    poolLearn(OTHER, 5);
    poolKeepOnly(ALL, planOf([ONE]));
    strictEqual(keptFor(OTHER), 60_000);
    strictEqual(keptFor(ONE), 4_000);
  });
});

it("a reset is told once: what a look has found is not lost", () => {
  const slot = give(ONE);
  socketOf(slot).arriveReset();
  strictEqual(sys.peek(slot, ARENA_SCRATCH, 1), -ECONNRESET);
  strictEqual(poolTake(ONE, true), NONE, "after the error it looks like an end of stream");
});

/** What is kept, by server, the newest last. */
type Model = Map<number, number[]>;

/** One thing that happens to the pool; all of it is told in the model. */
function step(random: Random, model: Model): void {
  const server = random.pick([ONE, OTHER, THIRD]), kept = model.get(server)!;
  switch (random.below(6)) {
    case 0:
    case 1: {
      const most = random.between(0, 6), wasShort = slotsTaken() > SLOTS - 8;
      if (wasShort) return;
      const room = kept.length < most, slot = give(server, most);
      strictEqual(isKept(slot), room);
      if (room) kept.push(slot);
      return;
    }
    case 2: {
      const slot = take(server);
      strictEqual(slot, kept.pop() ?? NONE);
      if (slot !== NONE) {
        poolGive(slot, server, 0, AS_LEARNED); // its exchange is over, and it is not kept
      }
      return;
    }
    case 3: {
      if (kept.length === 0) return;
      poolDrop(kept.splice(random.below(kept.length), 1)[0]);
      return;
    }
    case 4: {
      if (kept.length === 0) return;
      socketOf(kept.splice(random.below(kept.length), 1)[0]).arriveFin();
      return turn();
    }
    default: {
      const before = poolIdle(), most = random.below(3);
      poolShrink(most);
      strictEqual(poolIdle(), Math.max(0, before - most));
      for (const [server, slots] of model) model.set(server, slots.filter(isKept));
    }
  }
}

it("keeps its books whatever happens, in whatever order", () => {
  for (let seed = 1; seed <= 30; seed++) {
    open(SLOTS);
    const random = new Random(seed);
    const model: Model = new Map([ONE, OTHER, THIRD].map((server) => [server, []]));
    for (let count = 0; count < 200; count++) {
      step(random, model);
      const all = [...model.values()].flat();
      strictEqual(poolIdle(), all.length, `seed ${seed} step ${count}`);
      strictEqual(timersArmed(), all.length, `seed ${seed} step ${count}`);
      strictEqual(all.every(isKept), true, `seed ${seed} step ${count}`);
      if (random.oneIn(3)) turn();
    }
    for (const [server, kept] of model) deepStrictEqual(takeAll(server), kept.toReversed(), `seed ${seed}`);
  }
});
