// The queue of who waits for a place at a server, in a reactor on the fake kernel. Whose turn it is, is told by
// the again-list.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { NONE, QUEUE_MAX } from "../../src/base/limits.ts";
import { againServe, againWaiting } from "../../src/net/ready.ts";
import { takeSlot } from "../../src/net/slots.ts";
import { planHold } from "../../src/proxy/context.ts";
import {
  exDown,
  exFlags,
  exGeneration,
  exQueuedMs,
  exReason,
  exServer,
  exSetState,
  exState,
  exUpstream,
  takeExchange,
} from "../../src/proxy/exchanges.ts";
import {
  queueHand,
  queueJoin,
  queueLeave,
  queueLength,
  queueLook,
  queueRetry,
  queueTell,
  queueWaits,
} from "../../src/proxy/queue.ts";
import { Balance, openPlan } from "../../src/plan/plan.ts";
import { Reason } from "../../src/shared/reason.ts";
import { PER_LINE, type Shared, Verdict } from "../../src/shared/servers.ts";
import { ExFlag, ExState, SlotState } from "../../src/shared/tables.ts";
import { openReactor, ROOM } from "../net/tables.ts";
import type { FakeKernel } from "../sim/kernel.ts";
import { buildPlan, ipAddress } from "../sim/plans.ts";
import { Random } from "../sim/random.ts";

const ROWS = QUEUE_MAX + 10;
/** Upstreams; A has two servers, of which each has this many places. */
const A = 1, B = 2, C = 3;
const A1 = 1, A2 = 2, B1 = 3, PLACES = 2;
const OTHER_ROOMS = [2, 3, 4];
const PLAN = buildPlan({
  generation: 1,
  listeners: [],
  upstreams: [[A1, A2], [B1], [4]].map((servers) => ({ servers, connectMs: 1_000 })),
  connectionsMax: PLACES,
  addresses: [undefined, ...[1, 2, 3, 4].map((host) => ipAddress(10, host, 80))],
  probes: [],
});

let kernel: FakeKernel, shared: Shared;
/** When the last one came. */
let come = 0;

beforeEach(() => {
  ({ kernel, shared } = openReactor({ slots: ROWS, exchanges: ROWS, rooms: OTHER_ROOMS }, PLAN));
  for (const server of [1, 2, 3, 4]) shared.serverInUse[server] = PLACES;
});

/** An exchange with a client that is to wait for an upstream. */
function makeExchange(upstream: number): number {
  takeSlot(SlotState.Open); // slots and exchanges have different numbers
  const slot = takeSlot(SlotState.Open), ex = takeExchange(ExState.Head);
  exSetState(ex, ExState.Connect);
  exDown[ex] = slot;
  exUpstream[ex] = upstream;
  exQueuedMs[ex] = ++come;
  exGeneration[ex] = planHold();
  return ex;
}

function stand(ex: number): void {
  strictEqual(queueJoin(ex), true);
  exSetState(ex, ExState.Queue);
}

function join(upstream: number): number {
  const ex = makeExchange(upstream);
  stand(ex);
  return ex;
}

/** Whose turn it is: those whose clients are on the again-list. */
function served(all: readonly number[]): number[] {
  const turns: number[] = [];
  againServe((slot) => turns.push(all.find((ex) => exDown[ex] === slot) ?? NONE));
  return turns;
}

/** Who gets a place that is handed on. */
function handed(upstream: number, server: number, all: readonly number[]): number[] {
  const isHanded = queueHand(upstream, server), turns = served(all);
  strictEqual(turns.length, isHanded ? 1 : 0);
  return turns;
}

function waiting(room: number): number {
  return Atomics.load(shared.reactorWaiting, room * PER_LINE);
}

/** So many wait for an upstream in another room. */
function waitElsewhere(room: number, upstream: number, count = 1): void {
  Atomics.add(shared.reactorWaiting, room * PER_LINE, count);
  Atomics.add(shared.upstreamWaiting, upstream, count);
}

/** Rooms that were woken since this was asked last. */
function woken(): number[] {
  return [ROOM, ...OTHER_ROOMS].filter((room) => {
    const { woken } = kernel.rooms[room]!;
    kernel.rooms[room]!.woken = false;
    return woken;
  });
}

describe("a place that is given back", () => {
  it("is handed to who came first, of each upstream", () => {
    const all = [A, B, A, A, B].map(join), [a1, b1, a2, a3, b2] = all;
    deepStrictEqual(handed(B, B1, all), [b1]);
    deepStrictEqual(handed(A, A2, all), [a1]);
    deepStrictEqual(handed(A, A1, all), [a2]);
    deepStrictEqual(handed(B, B1, all), [b2]);
    deepStrictEqual(handed(A, A1, all), [a3]);
    strictEqual(queueLength(), 0);
  });

  it("is never free on its way", () => {
    const ex = join(A);
    handed(A, A2, [ex]);
    strictEqual(shared.serverInUse[A2], PLACES);
    deepStrictEqual([exState[ex], exServer[ex]], [ExState.Connect, A2]);
    strictEqual(exFlags[ex] & (ExFlag.Placed | ExFlag.Granted), ExFlag.Placed | ExFlag.Granted);
  });

  it("is nobody's when nobody waits for it", () => {
    const all = [A, B].map(join);
    deepStrictEqual(handed(C, 4, all), []);
  });

  it("is nobody's of those whose Plan has no such server", () => {
    const all = [join(A)];
    deepStrictEqual(handed(A, B1, all), []);
    strictEqual(queueLength(), 1);
  });

  it("every other one is left to the other reactors where somebody waits for it, too", () => {
    waitElsewhere(3, A);
    const all = [A, A, A].map(join);
    const turns = Array.from({ length: 6 }, () => handed(A, A1, all).length);
    deepStrictEqual(turns, [1, 0, 1, 0, 1, 0]);
  });

  it("the turns of one upstream are not those of another", () => {
    waitElsewhere(3, A);
    waitElsewhere(3, B);
    const all = [A, B, A, B, A, B].map(join);
    const turns = [A, B, A, B].map((upstream) => handed(upstream, upstream === A ? A1 : B1, all).length);
    deepStrictEqual(turns, [1, 1, 0, 0]);
  });

  it("to the last who waits here: another may be on its way, which those elsewhere are told of", () => {
    waitElsewhere(3, A);
    const all = [A, A].map(join);
    handed(A, A1, all);
    deepStrictEqual(woken(), [], "somebody is left to take it");
    handed(A, A1, all); // the others' turn
    handed(A, A1, all);
    strictEqual(queueLength(), 0);
    deepStrictEqual(woken(), [3]);
  });

  it("is nobody's while more are taken than there may be", () => {
    const all = [join(A)];
    shared.serverInUse[A1] = PLACES + 1;
    deepStrictEqual(handed(A, A1, all), []);
    shared.serverInUse[A1] = PLACES;
    deepStrictEqual(handed(A, A1, all), all);
  });

  it("stays here where others wait for something else", () => {
    waitElsewhere(3, B);
    const all = [A, A].map(join);
    deepStrictEqual([handed(A, A1, all).length, handed(A, A1, all).length], [1, 1]);
  });

  it("is for those as well whom a server has refused", () => {
    const ex = join(A);
    exReason[ex] = Reason.ConnectionRefused;
    deepStrictEqual(handed(A, A1, [ex]), [ex]);
    strictEqual(exReason[ex], Reason.None);
  });
});

describe("the order", () => {
  for (const at of [0, 1, 2, 3]) {
    it(`number ${at} of four leaves, the others move up`, () => {
      const all = [A, A, A, A].map(join), left = all.filter((_, index) => index !== at);
      queueLeave(all[at]);
      deepStrictEqual(left.map(() => handed(A, A1, all)[0]), left);
    });

    it(`number ${at} of four tried in vain: it is where it was`, () => {
      const all = [A, A, A, A].map(join);
      queueLeave(all[at]);
      exSetState(all[at], ExState.Connect);
      stand(all[at]);
      deepStrictEqual(all.map(() => handed(A, A1, all)[0]), all);
    });
  }
});

it("there is room for so many", () => {
  const all = Array.from({ length: QUEUE_MAX }, () => join(A));
  const late = makeExchange(A);
  strictEqual(queueJoin(late), false);
  strictEqual(queueLength(), QUEUE_MAX);
  queueLeave(all[500]);
  strictEqual(queueJoin(late), true);
});

it("all are told how many wait here, and for what", () => {
  const told: number[][] = [];
  const tell = () =>
    told.push([waiting(ROOM), shared.upstreamWaiting[A], shared.upstreamWaiting[B], Number(queueWaits(A))]);
  const [first, second] = [join(A), join(B)];
  tell();
  queueLeave(first);
  tell();
  queueLeave(second);
  tell();
  deepStrictEqual(told, [[2, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]);
  deepStrictEqual(OTHER_ROOMS.map(waiting), [0, 0, 0]);
});

describe("queueLook", () => {
  it("gives as many as there are places, in order", () => {
    const all = [A, B, A, A, A].map(join), [a1, , a2, a3] = all;
    shared.serverInUse[A1] -= 2;
    shared.serverInUse[A2] -= 1;
    queueLook(A);
    deepStrictEqual(served(all), [a1, a2, a3]);
    deepStrictEqual([shared.serverInUse[A1], shared.serverInUse[A2]], [PLACES, PLACES]);
    strictEqual(queueLength(), 2);
  });

  it("gives none at a server that is down", () => {
    const all = [join(A)];
    shared.serverInUse[A1] = 0;
    shared.serverVerdict[A1] = Verdict.Down;
    Atomics.add(shared.verdictVersion, 0, 1);
    queueLook(A);
    deepStrictEqual(served(all), []);
    strictEqual(shared.serverInUse[A1], 0);
  });

  it("passes over who was refused: it would go round in circles", () => {
    const all = [join(A), join(A)];
    exReason[all[0]] = Reason.ConnectionRefused;
    shared.serverInUse[A1] = 0;
    queueLook(A);
    deepStrictEqual(served(all), [all[1]]);
  });
});

describe("a look in vain", () => {
  // Of two servers by turn, and of two that are drawn.
  for (const rule of [Balance.RoundRobin, Balance.RandomTwo, Balance.LeastConnections]) {
    const ruled = openPlan(PLAN.memory.slice(0));
    ruled.upstreamBalance[A] = rule;

    it(`moves nothing by which turns go, by rule ${rule}`, () => {
      ({ kernel, shared } = openReactor({ slots: ROWS, exchanges: ROWS, rooms: OTHER_ROOMS }, ruled));
      shared.serverInUse.fill(PLACES);
      const all = [A, A, A].map(join), before = shared.upstreamCursor[A];
      for (let looks = 0; looks < 7; looks++) queueLook(A);
      strictEqual(shared.upstreamCursor[A], before);
      shared.serverInUse[A1]--;
      shared.serverInUse[A2]--;
      queueLook(A);
      deepStrictEqual(served(all), all.slice(0, 2));
      strictEqual(shared.upstreamCursor[A], before + 2, "once for each place");
    });

    it(`never hides a place, wherever the turn stands, by rule ${rule}`, () => {
      for (const [free, cursor] of [A1, A2].flatMap((server) => [0, 1, 2, 3].map((at) => [server, at]))) {
        ({ kernel, shared } = openReactor({ slots: ROWS, exchanges: ROWS, rooms: OTHER_ROOMS }, ruled));
        shared.serverInUse.fill(PLACES);
        shared.upstreamCursor[A] = cursor;
        const all = [A, A].map(join);
        shared.serverInUse[free]--;
        queueLook(A);
        deepStrictEqual(served(all), [all[0]], `server ${free}, turn ${cursor}`);
        strictEqual(exServer[all[0]], free);
      }
    });
  }

  it("leaves whose turn it is to be handed a place as it is", () => {
    waitElsewhere(3, A);
    const all = [A, A].map(join);
    shared.serverInUse[A1] = PLACES + 1; // nobody can be given it
    deepStrictEqual([handed(A, A1, all).length, handed(A, A1, all).length], [0, 0]);
    shared.serverInUse[A1] = PLACES;
    deepStrictEqual(handed(A, A1, all), [all[0]]);
  });
});

describe("queueTell", () => {
  it("looks for the others here, and tells the others elsewhere", () => {
    const all = [A, A].map(join);
    waitElsewhere(3, A);
    shared.serverInUse[A1]--;
    queueLeave(all[0]);
    queueTell(A);
    deepStrictEqual(served(all), [all[1]]);
    deepStrictEqual(woken(), [3]);
  });

  it("wakes nobody who waits for something else", () => {
    queueLeave(join(A));
    waitElsewhere(3, B);
    queueTell(A);
    deepStrictEqual(woken(), []);
  });
});

describe("queueRetry", () => {
  it("looks for whatever is waited for", () => {
    const all = [A, A, B, B, C].map(join), [a1, a2, b1] = all;
    shared.serverInUse[A1] -= 2;
    shared.serverInUse[B1] -= 1;
    queueRetry();
    deepStrictEqual(served(all), [a1, a2, b1]);
    strictEqual(queueLength(), 2);
  });

  it("has nothing to do when nobody waits", () => {
    queueRetry();
    strictEqual(againWaiting(), false);
  });
});

it("is a list of those that wait, whoever comes and goes", () => {
  for (let seed = 1; seed <= 50; seed++) {
    ({ kernel, shared } = openReactor({ slots: ROWS, exchanges: ROWS, rooms: OTHER_ROOMS }, PLAN));
    for (const server of [1, 2, 3, 4]) shared.serverInUse[server] = PLACES;
    const random = new Random(seed);
    const all = Array.from({ length: 20 }, () => makeExchange(random.pick([A, B])));
    let model: number[] = [];
    for (let step = 0; step < 200; step++) {
      const ex = random.pick(all), text = `seed ${seed} step ${step}`;
      if (!model.includes(ex)) {
        if (random.oneIn(2)) exQueuedMs[ex] = ++come; // else it has been here before
        stand(ex);
        model.push(ex);
        model.sort((one, other) => exQueuedMs[one] - exQueuedMs[other]);
      } else {
        queueLeave(ex);
        if (random.oneIn(2)) queueTell(exUpstream[ex]);
        exSetState(ex, ExState.Connect);
        model = model.filter((other) => other !== ex);
      }
      if (random.oneIn(3)) {
        const upstream = random.pick([A, B]), first = model.find((ex) => exUpstream[ex] === upstream);
        deepStrictEqual(
          handed(upstream, upstream === A ? A1 : B1, all),
          first === undefined ? [] : [first],
          text,
        );
        model = model.filter((other) => other !== first);
      }
      strictEqual(queueLength(), model.length, text);
      strictEqual(waiting(ROOM), model.length, text);
      strictEqual(queueWaits(A), model.some((ex) => exUpstream[ex] === A), text);
    }
  }
});
