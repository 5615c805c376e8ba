import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { METER_MS_MAX, METER_UNITS_PER_MS as MS } from "../../src/base/limits.ts";
import { METER_WORDS, meterFill, meterIsIdle, meterLevel, meterTake } from "../../src/shared/meters.ts";

const MOST = 100 * MS, HOUR_MS = 3_600_000;

test("a meter holds its burst, and what it is short of comes with time", () => {
  const words = new Int32Array(2 * METER_WORDS), at = METER_WORDS, now = 1e6;
  meterFill(words, at, now);
  equal(meterLevel(words, at, now, MOST), MOST, "full from the start");
  meterTake(words, at, now, MOST, 60 * MS);
  equal(meterLevel(words, at, now, MOST), 40 * MS);
  meterTake(words, at, now, MOST, 60 * MS);
  equal(meterLevel(words, at, now, MOST), -20 * MS, "in debt");
  equal(meterLevel(words, at, now + 20, MOST), 0, "paid");
  equal(meterLevel(words, at, now + 1_000, MOST), MOST, "no more than it holds");
  meterTake(words, at, now + 1_000, MOST, 100 * MS);
  meterTake(words, at, now + 1_000, MOST, -10 * MS);
  equal(meterLevel(words, at, now + 1_000, MOST), 10 * MS, "what is given back is there");
  equal(words[0] | words[1], 0, "nobody else's words were touched");
});

test("who takes in turn stands in line: the n-th waits for n quanta", () => {
  const words = new Int32Array(METER_WORDS), now = 5e6;
  meterFill(words, 0, now);
  meterTake(words, 0, now, MOST, MOST);
  for (let nth = 1; nth <= 50; nth++) {
    meterTake(words, 0, now, MOST, 5 * MS);
    equal(meterLevel(words, 0, now, MOST), -5 * nth * MS);
  }
});

// Times wrap: at no moment of a machine that runs for a year may an old word look like a debt, or a debt like none.
test("after whatever time a meter is full, and nothing that was taken is forgotten too early", () => {
  const words = new Int32Array(METER_WORDS);
  for (let start = 0; start < 365 * 24 * HOUR_MS; start = start * 1.7 + 977) {
    for (const idle of [0.1, 1, 2, 3, 35, 36.5, 37.3, 38, 73, 74.5, 74.6, 75, 149, 4_000, 8_000]) {
      meterFill(words, 0, start);
      meterTake(words, 0, start, MOST, MOST + 30 * MS);
      equal(meterLevel(words, 0, start, MOST), -30 * MS, `at ${start}`);
      const later = start + idle * HOUR_MS;
      equal(meterLevel(words, 0, later, MOST), MOST, `${idle} hours after ${start}`);
      meterTake(words, 0, later, MOST, 10 * MS);
      equal(meterLevel(words, 0, later, MOST), MOST - 10 * MS, `taken ${idle} hours after ${start}`);
    }
  }
});

test("the longest debt and the largest burst are told apart", () => {
  const words = new Int32Array(METER_WORDS), most = METER_MS_MAX * MS, now = 2 ** 31 / MS;
  meterFill(words, 0, now);
  equal(meterLevel(words, 0, now, most), most);
  meterTake(words, 0, now, most, 2 * most);
  equal(meterLevel(words, 0, now, most), -most);
  equal(meterLevel(words, 0, now + METER_MS_MAX, most), 0);
});

test("a zeroed meter is a full one, once the machine has run as long as it holds", () => {
  const words = new Int32Array(METER_WORDS);
  equal(meterLevel(words, 0, 60_000, MOST), MOST);
  equal(meterLevel(words, 0, 100 * HOUR_MS, MOST), MOST);
});

test("a meter is missed while it is in debt, and for a while behind", () => {
  const words = new Int32Array(METER_WORDS), now = 9e6;
  meterFill(words, 0, now);
  meterTake(words, 0, now, MOST, MOST + 60_000 * MS);
  ok(!meterIsIdle(words, 0, now + 10_000), "in debt");
  ok(meterIsIdle(words, 0, now + 61_000));
  ok(meterIsIdle(words, 0, now + 80 * HOUR_MS));
  meterTake(words, 0, now + 61_000, MOST, 1);
  ok(!meterIsIdle(words, 0, now + 61_500), "touched");
});
