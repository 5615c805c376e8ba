// The queue of who waits for a place at a server. Who has its turn is told by the again-list.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { NONE, QUEUE_MAX } from "../../src/base/limits.ts";
import { againServe, againWaiting } from "../../src/net/ready.ts";
import { takeSlot } from "../../src/net/slots.ts";
import { exBefore, exDown, exNext, exQueuedMs, exUpstream, takeExchange } from "../../src/proxy/exchanges.ts";
import {
  queueGiveUp,
  queueJoin,
  queueLeave,
  queueLength,
  queueOffer,
  queueRetry,
} from "../../src/proxy/queue.ts";
import { PER_LINE, type Shared } from "../../src/shared/servers.ts";
import { ExState, SlotState } from "../../src/shared/tables.ts";
import { openReactor, ROOM } from "../net/tables.ts";
import type { FakeKernel } from "../sim/kernel.ts";
import { Random } from "../sim/random.ts";

const ROWS = QUEUE_MAX + 10;
/** Upstreams. */
const A = 7, B = 8, C = 9;
const OTHER_ROOMS = [2, 3, 4];

let kernel: FakeKernel, shared: Shared;
/** When the last one came. */
let come = 0;

beforeEach(() => {
  ({ kernel, shared } = openReactor({ slots: ROWS, exchanges: ROWS, rooms: OTHER_ROOMS }));
});

/** An exchange with a client that is to wait for an upstream. */
function makeExchange(upstream: number): number {
  takeSlot(SlotState.Open); // slots and exchanges have different numbers
  const slot = takeSlot(SlotState.Open), ex = takeExchange(ExState.Head);
  exDown[ex] = slot;
  exUpstream[ex] = upstream;
  exQueuedMs[ex] = ++come;
  return ex;
}

function join(upstream: number): number {
  const ex = makeExchange(upstream);
  strictEqual(queueJoin(ex), true);
  return ex;
}

/** Whose turn it is: those whose clients are on the again-list. */
function served(all: readonly number[]): number[] {
  const turns: number[] = [];
  againServe((slot) => turns.push(all.find((ex) => exDown[ex] === slot) ?? NONE));
  return turns;
}

/** Who has its turn when a place at an upstream is free. */
function offered(upstream: number, all: readonly number[]): number[] {
  queueOffer(upstream);
  return served(all);
}

/** In which order those that wait for an upstream get its places, each leaving as it does. */
function order(upstream: number, all: readonly number[]): number[] {
  const turns: number[] = [];
  for (let [ex] = offered(upstream, all); ex !== undefined; [ex] = offered(upstream, all)) {
    turns.push(ex);
    queueLeave(ex);
  }
  return turns;
}

function waiting(room: number): number {
  return Atomics.load(shared.reactorWaiting, room * PER_LINE);
}

/** Rooms that were woken since this was asked last. */
function woken(): number[] {
  return [ROOM, ...OTHER_ROOMS].filter((room) => {
    const { woken } = kernel.rooms[room]!;
    kernel.rooms[room]!.woken = false;
    return woken;
  });
}

describe("places are given", () => {
  it("first come, first served, for each upstream", () => {
    const all = [A, B, A, A, B].map(join), [a1, b1, a2, a3, b2] = all;
    deepStrictEqual(order(B, all), [b1, b2]);
    deepStrictEqual(order(A, all), [a1, a2, a3]);
    strictEqual(queueLength(), 0);
  });

  it("to one at a time, who keeps its place until it leaves", () => {
    const all = [A, A].map(join);
    deepStrictEqual(offered(A, all), [all[0]]);
    deepStrictEqual(offered(A, all), [all[0]]);
    queueLeave(all[0]);
    deepStrictEqual(offered(A, all), [all[1]]);
  });

  it("to nobody who waits for another upstream", () => {
    const all = [A, B].map(join);
    deepStrictEqual(offered(C, all), []);
  });

  for (const at of [0, 1, 2, 3]) {
    it(`number ${at} of four leaves, the others move up`, () => {
      const all = [A, A, A, A].map(join);
      queueLeave(all[at]);
      strictEqual(queueLength(), 3);
      deepStrictEqual([exNext[all[at]], exBefore[all[at]]], [NONE, NONE]);
      const late = join(A), left = all.filter((ex) => ex !== all[at]);
      deepStrictEqual(order(A, [...all, late]), [...left, late]);
    });
  }

  for (const at of [0, 1, 2, 3]) {
    it(`number ${at} of four found its place taken: it is where it was`, () => {
      const all = [A, B, A, A].map(join);
      queueLeave(all[at]);
      strictEqual(queueJoin(all[at]), true);
      const [a1, b1, a2, a3] = all;
      deepStrictEqual(order(A, all), [a1, a2, a3]);
      deepStrictEqual(order(B, all), [b1]);
    });
  }

  it("who found its place taken, and was alone, is the first and the last", () => {
    const first = join(A);
    queueLeave(first);
    queueJoin(first);
    const second = join(A);
    deepStrictEqual(order(A, [first, second]), [first, second]);
    strictEqual(queueLength(), 0);
  });
});

it("there is room for so many", () => {
  openReactor({ slots: 2 * ROWS, exchanges: ROWS });
  const all = Array.from({ length: QUEUE_MAX }, () => join(A));
  const late = makeExchange(A);
  strictEqual(queueJoin(late), false);
  strictEqual(queueLength(), QUEUE_MAX);
  deepStrictEqual([exNext[all[QUEUE_MAX - 1]], exBefore[late]], [NONE, NONE], "it is not linked");
  queueLeave(all[500]);
  strictEqual(queueJoin(late), true);
  const left = all.filter((ex) => ex !== all[500]);
  deepStrictEqual(order(A, [...all, late]), [...left, late]);
});

it("the other reactors are told how many wait here", () => {
  const told: number[] = [];
  const tell = () => told.push(waiting(ROOM));
  const [first, second] = [join(A), join(B)];
  tell();
  queueLeave(first);
  tell();
  queueJoin(first);
  tell();
  queueGiveUp(second);
  tell();
  queueGiveUp(first);
  tell();
  deepStrictEqual(told, [2, 1, 2, 1, 0]);
  deepStrictEqual(OTHER_ROOMS.map(waiting), [0, 0, 0]);
});

describe("a place that nobody here waits for", () => {
  const [second, third] = OTHER_ROOMS;
  const cases: [waits: number, here: number[], want: number[], why: string][] = [
    [third, [], [third], "wakes the reactor where somebody waits"],
    [third, [B], [third], "wakes it though somebody waits here for something else"],
    [third, [A], [], "is taken here first"],
    [NONE, [], [], "wakes nobody where nobody waits"],
    [NONE, [B], [], "not even this one"],
  ];
  for (const [room, here, want, why] of cases) {
    it(why, () => {
      here.forEach(join);
      if (room !== NONE) Atomics.store(shared.reactorWaiting, room * PER_LINE, 2);
      queueOffer(A);
      deepStrictEqual(woken(), want);
    });
  }

  it("wakes all where somebody waits: for whom is not known", () => {
    for (const room of [second, third]) Atomics.store(shared.reactorWaiting, room * PER_LINE, 1);
    queueOffer(A);
    deepStrictEqual(woken(), [second, third]);
  });
});

describe("queueGiveUp", () => {
  it("offers what it was offered to the next one", () => {
    const all = [A, B, A].map(join), [a1, , a2] = all;
    queueOffer(A);
    queueGiveUp(a1);
    deepStrictEqual(served(all).includes(a2), true);
    deepStrictEqual(order(A, all), [a2]);
  });

  it("offers it elsewhere when it was the last one here", () => {
    const first = join(A);
    Atomics.store(shared.reactorWaiting, 2 * PER_LINE, 1);
    queueGiveUp(first);
    deepStrictEqual([woken(), queueLength()], [[2], 0]);
  });
});

describe("queueRetry", () => {
  it("gives the first of each upstream its turn, and none behind another of its own", () => {
    const all = [A, A, B, B, C].map(join), [a1, , b1, , c1] = all;
    queueRetry();
    deepStrictEqual(served(all), [a1, b1, c1]);
    strictEqual(queueLength(), 5, "they leave by themselves");
  });

  it("has nothing to do when nobody waits", () => {
    queueRetry();
    strictEqual(againWaiting(), false);
  });
});

it("is a list of those that wait, whoever comes and goes", () => {
  for (let seed = 1; seed <= 50; seed++) {
    ({ kernel, shared } = openReactor({ slots: ROWS, exchanges: ROWS }));
    const random = new Random(seed),
      all = Array.from({ length: 20 }, () => makeExchange(random.pick([A, B])));
    let model: number[] = [];
    for (let step = 0; step < 200; step++) {
      const ex = random.pick(all), text = `seed ${seed} step ${step}`;
      if (!model.includes(ex)) {
        if (random.oneIn(2)) exQueuedMs[ex] = ++come; // else it has been here before
        strictEqual(queueJoin(ex), true);
        model.push(ex);
        model.sort((one, other) => exQueuedMs[one] - exQueuedMs[other]);
      } else {
        if (random.oneIn(2)) queueLeave(ex);
        else queueGiveUp(ex);
        model = model.filter((other) => other !== ex);
      }
      served(all);
      strictEqual(queueLength(), model.length, text);
      strictEqual(waiting(ROOM), model.length, text);
      for (const upstream of [A, B]) {
        const first = model.find((ex) => exUpstream[ex] === upstream);
        deepStrictEqual(offered(upstream, all), first === undefined ? [] : [first], text);
      }
    }
    const ofA = model.filter((ex) => exUpstream[ex] === A);
    deepStrictEqual(order(A, all), ofA, `seed ${seed}`);
  }
});
