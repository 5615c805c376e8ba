import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, it } from "node:test";
import {
  BUCKET_MS_MAX,
  bucketHas,
  bucketIsFull,
  bucketLeft,
  bucketRest,
  bucketTake,
  TICKS_PER_MS,
  ticksAt,
} from "../../src/shared/buckets.ts";

/** Where clocks are hostile: at 0, and where ticks wrap around 2^31 and 2^32. */
const STARTS = [0, 1, 2 ** 31 - 3, 2 ** 32 - 3, 2 ** 32 * 7 + 5, 2 ** 45];

function makeBucket(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4));
}

/** How many of `tries` at one tick are let through. */
function taken(words: Int32Array, now: number, every: number, burst: number, tries: number): number {
  let through = 0;
  for (let nth = 0; nth < tries; nth++) {
    const has = bucketHas(words, 0, now, every, burst);
    equal(
      bucketTake(words, 0, now, every, burst),
      has,
      "what is said to be there can be taken, and only that",
    );
    if (has) through++;
  }
  return through;
}

const RATES: [amount: number, windowMs: number, burst: number][] = [
  [50, 1_000, 50],
  [1, 1_000, 1],
  [3, 1_000, 7],
  [3_000, 1_000, 3_000],
  [70_000, 1_000, 70_000],
  [100_000, 1_000, 1],
  [20, 60_000, 20],
  [100, 3_600_000, 100],
  [1, 3_600_000, 1],
];

describe("bucketTake", () => {
  it("lets exactly its burst through at once, whatever the time", () => {
    for (const start of STARTS) {
      for (const [amount, windowMs, burst] of RATES) {
        const words = makeBucket(), every = windowMs * TICKS_PER_MS / amount;
        equal(
          taken(words, start, every, burst, burst + 10),
          burst,
          `${amount} in ${windowMs} ms at ${start}`,
        );
      }
    }
  });

  it("lets its rate through for as long as it is asked, to the last one", () => {
    for (const start of STARTS) {
      for (const [amount, windowMs, burst] of RATES) {
        const words = makeBucket(), every = windowMs * TICKS_PER_MS / amount;
        const steps = 500, step = Math.max(1, Math.round(every / 3));
        let through = taken(words, start, every, burst, burst);
        for (let nth = 1; nth <= steps; nth++) through += taken(words, start + nth * step, every, burst, 3);
        const expected = burst + steps * step / every;
        ok(Math.abs(through - expected) <= 1, `${through} of ${expected} at ${amount} in ${windowMs} ms`);
      }
    }
  });

  it("fills up again, and no further than its burst", () => {
    const words = makeBucket(), every = 20 * TICKS_PER_MS, burst = 5;
    equal(taken(words, 1_000_000, every, burst, 9), 5);
    equal(taken(words, 1_000_000 + 2 * every, every, burst, 9), 2);
    equal(taken(words, 1_000_000 + 1_000 * every, every, burst, 9), 5);
  });

  it("a bucket in the past is full, even when ticks have wrapped, if it was made to rest", () => {
    const words = makeBucket(), every = 72_000, burst = 10, hour = ticksAt(3_600_000);
    const start = 2 ** 31;
    equal(taken(words, start, every, burst, 20), 10);
    for (let hours = 1; hours < 40; hours++) {
      const now = start + hours * hour;
      ok(bucketIsFull(words, 0, now), `after ${hours} hours`);
      bucketRest(words, 0, now);
      equal(words[0], 0);
    }
  });

  it("what is not full does not rest", () => {
    const words = makeBucket();
    equal(taken(words, 5_000_000, 200, 3, 2), 2);
    const before = words[0];
    bucketRest(words, 0, 5_000_000);
    deepEqual([words[0], bucketIsFull(words, 0, 5_000_000)], [before, false]);
    equal(bucketLeft(words, 0, 5_000_000, 200, 3), 1);
  });

  it("the longest bucket there may be is told from one in the past", () => {
    const every = ticksAt(BUCKET_MS_MAX) / 1_000_000, words = makeBucket();
    for (const start of STARTS) {
      words[0] = 0;
      equal(taken(words, start, every, 1_000_000, 1), 1);
      words[0] = (start + ticksAt(BUCKET_MS_MAX)) | 0;
      equal(bucketLeft(words, 0, start, every, 1_000_000), 0, "it is empty, not full");
    }
  });
});
