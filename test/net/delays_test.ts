import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { DELAY_BUCKETS, DELAY_MS_MAX, DELAYS_PER_TURN } from "../../src/base/limits.ts";
import {
  delayClear,
  delayIsSet,
  delaysAdvance,
  delaysCheck,
  delaySet,
  delaysOpen,
  delaysSleepMs,
  delaysWaiting,
} from "../../src/net/delays.ts";
import { Random } from "../sim/random.ts";

const ROWS = 2_000;
/** Longer than 32 bits of milliseconds. */
const LATE_MS = 2 ** 33 + 0.25;

function dueAt(nowMs: number): number[] {
  const rows: number[] = [];
  delaysAdvance(nowMs, (row) => rows.push(row));
  delaysCheck();
  return rows;
}

test("nobody waits: nothing to look at, and no sleep is cut short", () => {
  delaysOpen(ROWS, 1_000);
  equal(delaysSleepMs(1_000), -1);
  deepEqual(dueAt(500_000), []);
});

for (const start of [0, 1_000.7, LATE_MS]) {
  test(`no delay ends early, and none more than a tick late: from ${start}`, () => {
    delaysOpen(ROWS, start);
    const random = new Random(7), until = new Float64Array(ROWS);
    let now = start, seen = 0;
    for (let step = 0; step < 20_000; step++) {
      const row = random.between(1, ROWS - 1);
      if (delayIsSet(row)) {
        if (random.oneIn(4)) delayClear(row);
      } else {
        until[row] = now + random.below(DELAY_MS_MAX * 1_000) / 1_000;
        delaySet(row, until[row]);
      }
      const sleep = delaysSleepMs(now), before = now;
      now += random.oneIn(3) ? random.below(3_000) / 1_000 : 0;
      if (sleep >= 0 && random.oneIn(5)) now = before + sleep;
      delaysAdvance(now, (row) => {
        ok(until[row] <= now, `row ${row} ends ${until[row] - now} ms early`);
        ok(!delayIsSet(row));
        seen++;
      });
      for (let row = 1; row < ROWS; row += 97) ok(!delayIsSet(row) || until[row] > now - 1, "one is late");
    }
    delaysCheck();
    ok(seen > 1_000);
    while (delaysWaiting() > 0) ok(dueAt(now + DELAY_MS_MAX + 1).length > 0);
  });
}

test("who waits again while being served waits for a later tick", () => {
  delaysOpen(ROWS, 0);
  delaySet(5, 10);
  let served = 0;
  delaysAdvance(500, (row) => {
    served++;
    delaySet(row, 500.5);
  });
  equal(served, 1);
  deepEqual(dueAt(500.9), []);
  deepEqual(dueAt(501), [5]);
});

test("after a long sleep all are served, so many in a turn", () => {
  delaysOpen(ROWS, 0);
  const many = 3 * DELAYS_PER_TURN + 10;
  for (let row = 1; row <= many; row++) delaySet(row, row % DELAY_MS_MAX);
  let turns = 0, rows = 0;
  for (let left = true; left; turns++) left = delaysAdvance(1e7, () => rows++);
  equal(rows, many);
  equal(turns, 4);
  equal(delaysSleepMs(1e7), -1);
});

test("sleeps end when the next is due, and are never none", () => {
  delaysOpen(ROWS, 0);
  delaySet(1, 17.2);
  equal(delaysSleepMs(0), 18);
  equal(delaysSleepMs(17.9), 1);
  delayClear(1);
  delaySet(2, 10 * DELAY_BUCKETS);
  ok(delaysSleepMs(0) < DELAY_BUCKETS, "one that is too long comes early rather than never");
});

test("a row waits once", () => {
  delaysOpen(ROWS, 0);
  delaySet(1, 5);
  throws(() => delaySet(1, 6), /waits twice/);
  delayClear(1);
  delayClear(1);
  equal(delaysWaiting(), 0);
});
