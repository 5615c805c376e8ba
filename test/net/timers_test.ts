// The wheel against the plainest model: a map of deadlines, looked through whole at every step.
import { deepEqual, strictEqual } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { TICK_MS, TIMEOUTS_PER_TURN, WHEEL_BUCKETS } from "../../src/base/limits.ts";
import {
  tickAt,
  timerClear,
  timerExtend,
  timersAdvance,
  timersArmed,
  timersCheck,
  timerSet,
  timersOpen,
  timersSleepMs,
} from "../../src/net/timers.ts";
import { makeTable } from "../../src/shared/columns.ts";
import { TIMERS } from "../../src/shared/tables.ts";

const ROWS = 2_000;
const START_MS = 1_000_000;

function due(nowMs: number): number[] {
  const rows: number[] = [];
  while (timersAdvance(nowMs, (row) => rows.push(row)));
  timersCheck();
  return rows.sort((a, b) => a - b);
}

/** mulberry32: a failure prints its seed. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 0x100000000;
  };
}

describe("timers", () => {
  beforeEach(() => timersOpen(makeTable(TIMERS, ROWS), ROWS, START_MS));

  const cases: [ahead: number, early: number, late: number, why: string][] = [
    [1, 0, 2 * TICK_MS, "the nearest"],
    [250, 249, 250 + 2 * TICK_MS, "between two ticks"],
    [
      WHEEL_BUCKETS * TICK_MS - 1,
      (WHEEL_BUCKETS - 1) * TICK_MS - 1,
      WHEEL_BUCKETS * TICK_MS,
      "the end of the wheel",
    ],
    [3_600_000, 3_599_999, 3_600_000 + TICK_MS, "an hour: many rounds"],
  ];
  for (const [ahead, early, late, why] of cases) {
    it(`${why}: not before its deadline, at most two ticks after`, () => {
      timerSet(7, START_MS + ahead);
      deepEqual(due(START_MS + early), []);
      deepEqual(due(START_MS + late), [7]);
      strictEqual(timersArmed(), 0);
    });
  }

  it("a deadline that was moved away comes at its new time, once", () => {
    timerSet(3, START_MS + 1_000);
    timerExtend(3, tickAt(START_MS + 5_000));
    deepEqual(due(START_MS + 4_900), []);
    deepEqual(due(START_MS + 5_200), [3]);
    deepEqual(due(START_MS + 600_000), []);
  });

  it("a deadline that was moved nearer comes at its new time", () => {
    timerSet(3, START_MS + 500_000);
    timerSet(3, START_MS + 300);
    deepEqual(due(START_MS + 500), [3]);
  });

  it("a row that is cleared, or cleared by another that is due, never comes", () => {
    for (const row of [1, 2, 3]) timerSet(row, START_MS + 300);
    timerClear(2);
    const seen: number[] = [];
    timersAdvance(START_MS + 600, (row) => {
      seen.push(row);
      timerClear(row === 1 ? 3 : 1);
    });
    strictEqual(seen.length, 1);
    timersCheck();
  });

  it("a mass of deadlines is served in turns, none forgotten", () => {
    for (let row = 1; row < ROWS; row++) timerSet(row, START_MS + 300);
    let served = 0, turns = 0;
    while (timersAdvance(START_MS + 600, () => served++)) turns++;
    strictEqual(served, ROWS - 1);
    strictEqual(turns, Math.floor((ROWS - 1) / TIMEOUTS_PER_TURN));
  });

  it("after a long sleep everything that was due comes", () => {
    timerSet(1, START_MS + 1_000);
    timerSet(2, START_MS + 400_000);
    timerSet(3, START_MS + 10_000_000);
    deepEqual(due(START_MS + 9_000_000), [1, 2]);
  });

  it("the sleep ends when the wheel has something to look at, and never when it is empty", () => {
    strictEqual(timersSleepMs(START_MS, 10_000), -1);
    timerSet(1, START_MS + 700);
    const sleep = timersSleepMs(START_MS, 10_000);
    strictEqual(sleep > 600 && sleep <= 800, true, `${sleep} ms`);
    strictEqual(timersSleepMs(START_MS, 50), 50);
  });

  it("does what the model does, for 50 seeds", () => {
    for (let seed = 1; seed <= 50; seed++) {
      timersOpen(makeTable(TIMERS, ROWS), ROWS, START_MS);
      const random = seeded(seed), model = new Map<number, number>();
      for (let now = START_MS, step = 0; step < 400; step++) {
        now += Math.floor(random() * (random() < 0.05 ? 300_000 : 400));
        const came = due(now);
        const late = [...model].filter(([, deadline]) => deadline + 2 * TICK_MS <= now).map(([row]) => row);
        for (const row of late) strictEqual(came.includes(row), true, `seed ${seed}: row ${row} is overdue`);
        for (const row of came) {
          strictEqual((model.get(row) ?? Infinity) <= now, true, `seed ${seed}: row ${row} came early`);
          model.delete(row);
        }
        for (let change = 0; change < 5; change++) {
          const row = 1 + Math.floor(random() * 60), deadline = now + Math.floor(random() ** 3 * 500_000);
          if (random() < 0.2) {
            timerClear(row);
            model.delete(row);
          } else if (model.has(row) && random() < 0.5) {
            const later = Math.max(deadline, model.get(row)!);
            timerExtend(row, tickAt(later));
            model.set(row, later);
          } else {
            timerSet(row, deadline);
            model.set(row, deadline);
          }
        }
      }
    }
  });
});
