import { equal } from "node:assert/strict";
import { test } from "node:test";
import {
  LATENCY_BOUNDS_MS,
  LATENCY_BUCKETS,
  latencyBucket,
  LIFE_BOUNDS_MS,
  LIFE_BUCKETS,
  lifeBucket,
} from "../../src/shared/histogram.ts";

const KINDS = [
  { name: "latency", bucketOf: latencyBucket, bounds: LATENCY_BOUNDS_MS, buckets: LATENCY_BUCKETS },
  { name: "life", bucketOf: lifeBucket, bounds: LIFE_BOUNDS_MS, buckets: LIFE_BUCKETS },
];

/** The first bucket whose bound is not below it: what a bucket means to Prometheus. */
function searched(bounds: readonly number[], ms: number): number {
  const bucket = bounds.findIndex((bound) => ms <= bound);
  return bucket < 0 ? bounds.length : bucket;
}

test("bounds rise, one bucket more than they are", () => {
  for (const { name, bounds, buckets } of KINDS) {
    equal(bounds.length, buckets - 1, name);
    bounds.forEach((bound, at) => equal(at === 0 || bound > bounds[at - 1], true, `${name} ${bound}`));
  }
});

test("a value is in the bucket whose bound is the first not below it", () => {
  for (const { name, bucketOf, bounds } of KINDS) {
    const values = bounds.flatMap((bound) => [bound, bound * 0.999, bound * 1.001, bound - 0.1, bound + 0.1]);
    for (const ms of [...values, 0, 0.001, 1e12, Number.MAX_SAFE_INTEGER, Infinity, 2 ** 31, 2 ** 32]) {
      equal(bucketOf(ms), searched(bounds, ms), `${name}: ${ms}`);
    }
    equal(bucketOf(-1), 0, `${name}: a clock that went back`);
    equal(bucketOf(-1e12), 0, name);
  }
});

test("a value by the million is found as a search finds it", () => {
  let seed = 7;
  for (let turn = 0; turn < 20_000; turn++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    const ms = 2 ** ((seed % 4_000) / 100 - 4);
    for (const { name, bucketOf, bounds } of KINDS) {
      equal(bucketOf(ms), searched(bounds, ms), `${name}: ${ms}`);
    }
  }
});
